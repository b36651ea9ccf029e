//! A client that gets nothing while its snapshot is made on another thread.
//!
//! Making a snapshot takes a while, and others may be made before it. What is published meanwhile
//! stays in the log, and the client gets it when the pause ends: up to the snapshot's id before the
//! snapshot, the rest after it. So the ids of its messages keep growing, and nothing is missing or sent
//! twice. Any snapshot that was taken since the pause began will do, so those who come together share
//! one.

use super::Shard;
use crate::broadcast::client::Client;
use crate::broadcast::index::ClientKey;
use crate::broadcast::outgoing::Outgoing;
use crate::domain::{StreamId, Topic, TopicSet};
use std::rc::Rc;
use std::sync::Arc;

/// While it lasts, the client is in no index, and the log forgets nothing that comes.
#[derive(Debug)]
pub(in crate::broadcast) struct Pause {
    shard: Rc<Shard>,
    /// Nothing after this message is sent to the client before the pause ends.
    since: StreamId,
}

impl Pause {
    pub(in crate::broadcast) fn begin(shard: &Rc<Shard>, key: ClientKey, client: &Client) -> Self {
        let since = shard.position();
        shard.log.borrow_mut().hold(since);
        shard.take_out(key, client);
        Self {
            shard: Rc::clone(shard),
            since,
        }
    }

    pub(in crate::broadcast) fn since(&self) -> StreamId {
        self.since
    }

    /// What was published during the pause: up to `id`, and after it.
    pub(in crate::broadcast) fn missed(&self, id: StreamId) -> [Vec<Arc<Outgoing>>; 2] {
        let everything = TopicSet::EMPTY.with(Topic::All);
        let mut before = self.shard.log.borrow().after(everything, self.since);
        let after = before.split_off(before.partition_point(|message| message.id <= id));
        [before, after]
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.shard.log.borrow_mut().release(self.since);
    }
}

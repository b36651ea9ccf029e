//! The beginning of a subscription: snapshot or replay, then live, with no gap and no repeat.
//!
//! Everything that decides happens on the shard's thread between two messages, so what the client
//! gets first ends exactly where live begins. A snapshot is made on another thread, and the client
//! gets nothing until it is there (`shard/pause`). A replay comes from the shard's log. What is older
//! comes from the store, which has every measurement before anybody was told of it; that takes a
//! while, and what was published meanwhile is in the log.

use super::client::Client;
use super::filter::Filter;
use super::frame::close;
use super::index::ClientKey;
use super::outbox::Kept;
use super::outgoing::Outgoing;
use super::protocol::{self, Subscription};
use super::shard::{Pause, Shard};
use super::snapshot::{Snapshot, SnapshotError};
use crate::domain::{StreamId, Topic, TopicSet};
use crate::read_budget::{Lease, Owner};
use crate::store::Published;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Most messages replayed from the store; who has missed more gets a snapshot.
const STORE_REPLAY_MESSAGES_MAX: usize = 10_000;
/// Rows asked of the store at once.
const PAGE_ROWS: u32 = 1000;
/// Bytes of a replayed message with what is sent of it, unless it measures more than most.
const MESSAGE_BYTES: usize = 1536;
/// How long a client waits for others to have taken what they asked for.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);

/// Bytes a message of a replay takes until it is sent.
fn message_bytes(message: &Outgoing) -> usize {
    MESSAGE_BYTES + message.extra_bytes()
}

/// A subscription that is about to begin.
struct Beginning {
    shard: Rc<Shard>,
    key: ClientKey,
    client: Rc<Client>,
    wanted: Subscription,
    /// What its filter is narrowed to: it gets what any of them matches.
    filters: Vec<Filter>,
    /// Called once live has begun.
    begun: Box<dyn FnOnce()>,
}

/// What the client gets before live, and whether with it nothing is missing.
enum Catchup {
    Nothing,
    /// A snapshot, and what was published after it.
    Snapshot(Arc<Snapshot>, Vec<Arc<Outgoing>>),
    /// Messages after the one named, and the memory they take.
    Replay(Vec<Arc<Outgoing>>, StreamId, Kept),
}

/// Begins a subscription, at once or as soon as the stream has come to where it starts.
pub(super) fn subscribe(
    shard: &Rc<Shard>,
    key: ClientKey,
    client: &Rc<Client>,
    wanted: Subscription,
    filters: Vec<Filter>,
    begun: impl FnOnce() + 'static,
) {
    let beginning = Beginning {
        shard: Rc::clone(shard),
        key,
        client: Rc::clone(client),
        wanted,
        filters,
        begun: Box::new(begun),
    };
    let since: Option<StreamId> = beginning
        .wanted
        .since
        .as_deref()
        .and_then(|since| since.parse().ok())
        .filter(|since| *since <= shard.hub.position());
    match since {
        // The client may have seen on another shard what this one has not delivered yet.
        Some(since) => shard.after(since, Box::new(move || beginning.resume(since))),
        None => beginning.start_new(),
    }
}

impl Beginning {
    fn topics(&self) -> TopicSet {
        self.wanted.topics.iter().copied().collect()
    }

    fn wants_measurements(&self) -> bool {
        self.topics().wants(Topic::Measurements)
    }

    /// Begins without a past, or with one that nobody remembers.
    fn start_new(self) {
        let snapshot = self.wanted.snapshot || self.wanted.since.is_some();
        if !(snapshot && self.wants_measurements()) {
            return self.begin(false, Catchup::Nothing);
        }
        let shutdown = self.shard.hub.shutdown().clone();
        shutdown.spawn(self.begin_with_snapshot());
    }

    /// Begins with a snapshot once it is made. A client for which none can be made is closed, so that
    /// it comes back later.
    async fn begin_with_snapshot(self) {
        let made = tokio::select! {
            made = self.snapshot() => made,
            () = self.shard.hub.shutdown().begun() => return (self.begun)(),
        };
        match made {
            // It may have left meanwhile.
            Ok(_) if !self.client.is_open() => (self.begun)(),
            // The snapshot may be ahead of what this shard has delivered.
            Ok((snapshot, pause)) => {
                let shard = Rc::clone(&self.shard);
                let id = snapshot.id;
                let action = move || self.begin_behind(snapshot, &pause);
                shard.after(id, Box::new(action));
            }
            Err(error) => {
                metrics::counter!("iaqverse_broadcast_snapshots_refused_total").increment(1);
                let reason = error.to_string();
                self.client.close(close::TRY_AGAIN_LATER, &reason);
                (self.begun)();
            }
        }
    }

    /// A snapshot that another client has, or a new one as soon as there is memory for it, and the
    /// pause of this client since before it was taken.
    async fn snapshot(&self) -> Result<(Arc<Snapshot>, Pause), SnapshotError> {
        let (hub, encoding) = (&self.shard.hub, self.client.encoding);
        let asked_at = self.shard.position();
        let mut waited_for = None;
        loop {
            let packer = hub.packer().await;
            // A snapshot from before what a client has been sent would take it back in time.
            let is_new = self.client.interest.borrow().all_topics() == TopicSet::EMPTY;
            let since = if is_new {
                asked_at
            } else {
                self.shard.position()
            };
            if let Some(snapshot) = hub.known_snapshot(&self.filters, encoding, since)
                && self.shard.log.borrow().is_complete(self.topics(), since)
            {
                return Ok((snapshot, self.pause(since)));
            }
            let bytes = hub.snapshot_bytes(&self.filters).await?;
            let lease = waited_for.take();
            let lease = lease.or_else(|| hub.read_budget().try_keep(self.owner(), bytes));
            if let Some(lease) = lease {
                let pause = self.pause(self.shard.position());
                let made = hub.make_snapshot(&self.filters, encoding, lease, packer);
                return Ok((made.await?, pause));
            }
            // Others have their turn while this one waits.
            drop(packer);
            let kept = hub
                .read_budget()
                .keep(self.owner(), bytes, TURN_WAIT_MAX)
                .await?;
            waited_for = Some(kept);
        }
    }

    fn pause(&self, since: StreamId) -> Pause {
        Pause::begin(&self.shard, self.key, &self.client, since)
    }

    /// Begins right behind a snapshot, with what was published since it was taken.
    fn begin_behind(self, snapshot: Arc<Snapshot>, pause: &Pause) {
        let [mut before, after] = pause.missed(snapshot.id);
        let interest = self.client.interest.borrow();
        before.retain(|message| interest.has_got(message));
        drop(interest);
        self.shard
            .deliver_chosen(self.key, &self.client, before.iter());
        self.begin(false, Catchup::Snapshot(snapshot, after));
    }

    /// Whose memory is taken.
    fn owner(&self) -> Owner {
        let pass = self.client.pass.borrow();
        let access = self.shard.hub.access();
        access.counted(pass.caller(), self.client.address)
    }

    /// Goes on after the last message the client has seen.
    fn resume(self, since: StreamId) {
        let topics = self.topics();
        if self.shard.log.borrow().is_complete(topics, since) {
            let missed = self.missed(since);
            return self.begin(true, Catchup::Replay(missed, since, Kept::default()));
        }
        // Only measurements are stored.
        if topics != TopicSet::EMPTY.with(Topic::Measurements) {
            return self.start_new();
        }
        let shutdown = self.shard.hub.shutdown().clone();
        shutdown.spawn(self.resume_from_store(since));
    }

    async fn resume_from_store(self, since: StreamId) {
        let until = self.shard.position();
        let Some((mut messages, lease)) = self.stored_messages(since, until).await else {
            return self.start_new();
        };
        if !self.shard.log.borrow().is_complete(self.topics(), until) {
            return self.start_new();
        }
        messages.extend(self.missed(until));
        let kept = Kept::replay(lease);
        self.begin(true, Catchup::Replay(messages, since, kept));
    }

    /// What the log has after `since`, as far as it is wanted.
    fn missed(&self, since: StreamId) -> Vec<Arc<Outgoing>> {
        let mut messages = self.shard.log.borrow().after(self.topics(), since);
        messages.retain(|message| Filter::any_matches(&self.filters, message.subject()));
        messages
    }

    /// The stored measurements with `since < id <= until`; `None` when not all of them are there, they
    /// are too many, or there is no memory for them.
    async fn stored_messages(
        &self,
        since: StreamId,
        until: StreamId,
    ) -> Option<(Vec<Arc<Outgoing>>, Lease)> {
        let hub = &self.shard.hub;
        let page_bytes = PAGE_ROWS as usize * MESSAGE_BYTES;
        let budget = hub.read_budget();
        let lease = budget.keep(self.owner(), page_bytes, TURN_WAIT_MAX);
        let mut lease = lease.await.ok()?;
        let mut bytes = 0;
        let mut messages = Vec::new();
        let mut after = since;
        while after < until {
            let page = match hub.store().replay(after, until, PAGE_ROWS).await {
                Ok(page) => page?,
                Err(error) => {
                    tracing::warn!(%error, "a replay could not be read");
                    return None;
                }
            };
            let Some(last) = page.last() else { break };
            after = last.id;
            let outgoing = page
                .into_iter()
                .map(|stored| Outgoing::new(Published::Measurement(stored), Instant::now()))
                .filter(|message| Filter::any_matches(&self.filters, message.subject()));
            let before = messages.len();
            messages.extend(outgoing.map(Arc::new));
            let new = messages.get(before..).unwrap_or_default();
            bytes += new
                .iter()
                .map(|message| message_bytes(message))
                .sum::<usize>();
            let wanted = bytes + page_bytes;
            let fits = lease.bytes() >= wanted || lease.grow(wanted - lease.bytes());
            if messages.len() > STORE_REPLAY_MESSAGES_MAX || !fits {
                return None;
            }
        }
        lease.shrink_to(bytes);
        Some((messages, lease))
    }

    /// The moment live begins.
    fn begin(self, recovered: bool, mut catchup: Catchup) {
        let mut since = self.shard.position();
        let mut replayed: &[Arc<Outgoing>] = &[];
        if let Catchup::Snapshot(snapshot, _) = &catchup {
            since = snapshot.id;
        }
        if let Catchup::Replay(messages, after, _) = &mut catchup {
            // What the client has got already, because it had subscribed to it before, is not missed.
            let interest = self.client.interest.borrow();
            let has_gaps = self.client.has_gaps.get();
            messages.retain(|message| has_gaps || !interest.has_got(message));
            since = *after;
            replayed = messages;
        }
        self.shard.send_held(&self.client, replayed);
        let count = replayed.len();
        let Self {
            shard,
            key,
            client,
            wanted,
            filters,
            begun,
        } = self;
        if let Some(interval) = wanted.interval {
            shard.set_pace(key, &client, interval);
        }
        shard.change_interest(key, &client, |interest| {
            for filter in &filters {
                interest.add(&wanted.topics, filter, since);
            }
        });
        let answer = protocol::subscribed(&wanted.topics, recovered, count);
        client.send(client.encoding.encode_short(answer.as_bytes()));
        match catchup {
            Catchup::Nothing => {}
            Catchup::Snapshot(snapshot, mut after) => {
                client.catch_up(snapshot.bytes.clone(), Kept::snapshot(snapshot));
                client.flush();
                let interest = client.interest.borrow();
                after.retain(|message| interest.has_got(message));
                drop(interest);
                shard.deliver_chosen(key, &client, after.iter());
            }
            Catchup::Replay(messages, _, kept) => {
                for message in messages {
                    let bytes = message.encoded(client.encoding, &shard.deflater);
                    client.catch_up(bytes.clone(), kept.clone());
                }
            }
        }
        client.flush();
        begun();
    }
}

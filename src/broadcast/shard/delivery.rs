//! Messages → the clients of a shard that want them.

use super::Shard;
use crate::broadcast::client::Client;
use crate::broadcast::index::ClientKey;
use crate::broadcast::outgoing::Outgoing;
use crate::broadcast::pace::Pace;
use crate::broadcast::protocol;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use tokio::time::Instant;

impl Shard {
    /// Sends messages to everybody who wants them.
    pub(in crate::broadcast) fn deliver(&self, messages: &[Arc<Outgoing>]) {
        let Some(last) = messages.last() else { return };
        self.position.set(last.id);
        let mut log = self.log.borrow_mut();
        for message in messages {
            log.push(Arc::clone(message));
        }
        drop(log);
        let index = self.index.borrow();
        let clients = self.clients.borrow();
        for (group, members) in index.groups() {
            let wanted: Vec<_> = messages
                .iter()
                .filter(|message| group.topics.wants(message.topic))
                .map(Arc::clone)
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let parts = wanted
                .iter()
                .map(|message| message.encoded(group.encoding, &self.deflater));
            let joined = join(parts);
            for key in members {
                if let Some(client) = clients.get(*key) {
                    client.deliver_joined(&wanted, &joined, &self.deflater);
                }
            }
        }
        let mut chosen = self.chosen.borrow_mut();
        chosen.clear();
        for (position, message) in messages.iter().enumerate() {
            index.each_chosen(message.topic, message.subject(), |key| {
                chosen.push((key, position));
            });
        }
        chosen.sort_unstable();
        chosen.dedup();
        for run in chosen.chunk_by(|a, b| a.0 == b.0) {
            let wanted = run.iter().filter_map(|(_, at)| messages.get(*at));
            if let Some((key, _)) = run.first()
                && let Some(client) = clients.get(*key)
            {
                self.deliver_chosen(*key, client, wanted);
            }
        }
    }

    /// Sends one client messages that it wants.
    pub(in crate::broadcast) fn deliver_chosen<'a>(
        &self,
        key: ClientKey,
        client: &Client,
        messages: impl Iterator<Item = &'a Arc<Outgoing>>,
    ) {
        let mut pace = client.pace.borrow_mut();
        match &mut *pace {
            Some(pace) => self.deliver_paced(key, client, pace, messages),
            None => client.deliver(messages, &self.deflater),
        }
    }

    /// Holds measurements back. Another message goes at once and takes along what is held, so that
    /// ids keep growing.
    fn deliver_paced<'a>(
        &self,
        key: ClientKey,
        client: &Client,
        pace: &mut Pace,
        messages: impl Iterator<Item = &'a Arc<Outgoing>>,
    ) {
        let now = Instant::now();
        let was_held = pace.due().is_some();
        for message in messages {
            if message.measured().is_some() {
                pace.hold(message);
            } else {
                self.send_released(client, pace, now);
                client.deliver(std::iter::once(message), &self.deflater);
            }
        }
        match pace.due() {
            Some(due) if due <= now => self.send_released(client, pace, now),
            Some(due) if !was_held => self.turns.borrow_mut().push(due, key),
            _ => {}
        }
    }

    pub(super) fn release_paced(&self, now: Instant) {
        let clients = self.clients.borrow();
        loop {
            let Some(key) = self.turns.borrow_mut().pop(now) else {
                return;
            };
            // The client may be gone, another may have its place, or what was held may be out.
            let Some(client) = clients.get(key) else {
                continue;
            };
            let mut pace = client.pace.borrow_mut();
            let Some(pace) = pace.as_mut() else { continue };
            match pace.due() {
                Some(due) if due <= now => self.send_released(client, pace, now),
                Some(due) => self.turns.borrow_mut().push(due, key),
                None => {}
            }
        }
    }

    pub(super) fn send_released(&self, client: &Client, pace: &mut Pace, now: Instant) {
        if pace.due().is_none() {
            return;
        }
        let (messages, told) = pace.release(now);
        if let Some(count) = told {
            let text = protocol::conflated(count);
            client.send(client.encoding.encode_short(text.as_bytes()));
        }
        client.deliver(messages.iter(), &self.deflater);
    }
}

/// Several messages as one run of bytes, which every client of a group then gets with one plain
/// write.
fn join<'a>(mut parts: impl ExactSizeIterator<Item = &'a Bytes> + Clone) -> Bytes {
    if parts.len() == 1 {
        return parts.next().cloned().unwrap_or_default();
    }
    let mut joined = BytesMut::with_capacity(parts.clone().map(Bytes::len).sum());
    for part in parts {
        joined.extend_from_slice(part);
    }
    joined.freeze()
}

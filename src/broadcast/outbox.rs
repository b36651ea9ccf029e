//! The bounded send queue of one client.

use super::outgoing::Outgoing;
use super::snapshot::Snapshot;
use crate::domain::{SensorId, StreamId};
use crate::read_budget::Lease;
use bytes::{Buf, Bytes};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

/// Most buffers handed to the kernel in one write.
const BUFFERS_PER_WRITE_MAX: usize = 64;

/// Bytes that the connection did not take yet, message by message.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
    /// Bytes waiting that count towards the bound.
    bytes: usize,
    /// The first is the rest of one whose beginning is sent.
    first_is_rest: bool,
}

#[derive(Debug)]
struct Waiting {
    bytes: Bytes,
    content: Content,
}

/// What waits, as far as it matters while it does.
#[derive(Debug)]
pub(super) enum Content {
    /// A measurement, which a later one of its sensor may replace.
    Measurement(Arc<Outgoing>),
    /// What must arrive: answers, alerts, control frames.
    Message,
    /// A snapshot or a replay. It does not count towards the bound: there is one at a time and its
    /// size has a bound of its own.
    Catchup {
        /// The memory it takes, which is free for others once its last part is sent.
        kept: Kept,
    },
    /// Tells the client how many measurements were replaced.
    Conflated(u64),
}

/// What a part of a snapshot or a replay keeps from others until it is sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    _lease: Option<Arc<Lease>>,
    _snapshot: Option<Arc<Snapshot>>,
}

impl Kept {
    /// The memory of a replay, but for what is in the shard's log as well.
    pub(super) fn replay(lease: Lease) -> Self {
        Self {
            _lease: Some(Arc::new(lease)),
            _snapshot: None,
        }
    }

    pub(super) fn snapshot(snapshot: Arc<Snapshot>) -> Self {
        Self {
            _lease: None,
            _snapshot: Some(snapshot),
        }
    }
}

impl Content {
    fn counts(&self) -> bool {
        !matches!(self, Self::Catchup { .. })
    }
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes waiting that count towards the bound.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, bytes: Bytes, content: Content) {
        if content.counts() {
            self.bytes += bytes.len();
        }
        self.waiting.push_back(Waiting { bytes, content });
    }

    /// Adds what is left of a message after its first `written` bytes.
    pub(super) fn push_rest(&mut self, mut bytes: Bytes, written: usize, content: Content) {
        bytes.advance(written);
        self.first_is_rest |= written > 0 && self.waiting.is_empty();
        self.push(bytes, content);
    }

    /// The next bytes to write.
    pub(super) fn slices(&self) -> smallvec::SmallVec<[IoSlice<'_>; 8]> {
        let first = self.waiting.iter().take(BUFFERS_PER_WRITE_MAX);
        first.map(|waiting| IoSlice::new(&waiting.bytes)).collect()
    }

    /// The next message, or what is left of it.
    pub(super) fn first(&self) -> Option<&Bytes> {
        self.waiting.front().map(|waiting| &waiting.bytes)
    }

    /// What the next message keeps from others until it is sent.
    pub(super) fn first_kept(&self) -> Kept {
        match self.waiting.front().map(|waiting| &waiting.content) {
            Some(Content::Catchup { kept }) => kept.clone(),
            _ => Kept::default(),
        }
    }

    /// Takes `written` bytes off the front.
    pub(super) fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.waiting.front_mut() {
            let sent = written.min(first.bytes.len());
            if first.content.counts() {
                self.bytes -= sent;
            }
            if sent < first.bytes.len() {
                self.first_is_rest |= sent > 0;
                first.bytes.advance(sent);
                return;
            }
            written -= sent;
            self.first_is_rest = false;
            self.waiting.pop_front();
        }
        // An idle client holds no buffer.
        *self = Self::default();
    }

    /// Forgets everything that has not begun.
    pub(super) fn keep_only_rest(&mut self) {
        self.waiting.truncate(usize::from(self.first_is_rest));
        self.recount();
    }

    /// Leaves of the measurements only the latest of each sensor, and says before the first of them
    /// how many are gone, in the form `notice` gives it. Returns how many.
    pub(super) fn conflate(&mut self, notice: impl FnOnce(u64) -> Bytes) -> u64 {
        let begun = usize::from(self.first_is_rest);
        let latest = self.latest(begun);
        let mut position = 0;
        let (mut replaced, mut told) = (0, 0);
        self.waiting.retain(|waiting| {
            position += 1;
            match &waiting.content {
                _ if position <= begun => true,
                Content::Measurement(message) => {
                    let stays = latest.contains(&message.id);
                    replaced += u64::from(!stays);
                    stays
                }
                Content::Conflated(count) => {
                    told += count;
                    false
                }
                Content::Message | Content::Catchup { .. } => true,
            }
        });
        if replaced + told > 0 {
            let next = self
                .waiting
                .iter()
                .skip(begun)
                .position(|waiting| matches!(waiting.content, Content::Measurement(_)));
            let place = next.map_or(self.waiting.len(), |next| begun + next);
            let waiting = Waiting {
                bytes: notice(replaced + told),
                content: Content::Conflated(replaced + told),
            };
            self.waiting.insert(place, waiting);
        }
        self.recount();
        replaced
    }

    /// The messages that are the latest of their sensor among those after the first `begun`.
    fn latest(&self, begun: usize) -> FxHashSet<StreamId> {
        let mut latest: FxHashMap<&SensorId, &Outgoing> = FxHashMap::default();
        for waiting in self.waiting.iter().skip(begun) {
            if let Content::Measurement(message) = &waiting.content
                && let Some(sensor) = message.measured()
            {
                let newest = latest.entry(sensor).or_insert(message);
                if message.replaces(newest) {
                    *newest = message;
                }
            }
        }
        latest.into_values().map(|message| message.id).collect()
    }

    fn recount(&mut self) {
        let counted = self.waiting.iter().filter(|it| it.content.counts());
        self.bytes = counted.map(|waiting| waiting.bytes.len()).sum();
    }
}

#[cfg(test)]
mod tests;

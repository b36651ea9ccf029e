//! `max_hz`: measurements thinned out for one client.
//!
//! All of them go out together, at most so often, as the latest of each sensor. One clock for the
//! connection, not one for each sensor, keeps the ids of a client's messages growing, so that it can
//! come back with the last one it saw.

use super::index::ClientKey;
use super::outgoing::Outgoing;
use crate::domain::SensorId;
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a client is told how much was left out.
const TELL_INTERVAL: Duration = Duration::from_mins(1);

/// What is held back for one client.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// When measurements may go out again.
    due: Instant,
    held: IndexMap<SensorId, Arc<Outgoing>, FxBuildHasher>,
    /// Measurements left out since the client was told.
    conflated: u64,
    told_at: Instant,
}

impl Pace {
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            due: now,
            held: IndexMap::default(),
            conflated: 0,
            told_at: now,
        }
    }

    pub(super) fn set_interval(&mut self, interval: Duration, now: Instant) {
        self.interval = interval;
        self.due = self.due.min(now + interval);
    }

    /// Holds a measurement back until its turn.
    pub(super) fn hold(&mut self, message: &Arc<Outgoing>) {
        let Some((sensor, observed_at)) = message.measured() else {
            return;
        };
        if let Some(known) = self.held.get_mut(sensor) {
            self.conflated += 1;
            // A late reading does not replace a newer one.
            if known
                .measured()
                .is_none_or(|(_, known)| observed_at >= known)
            {
                *known = Arc::clone(message);
            }
        } else {
            self.held.insert(sensor.clone(), Arc::clone(message));
        }
    }

    /// When what is held goes out; `None` when nothing is.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.held.is_empty()).then_some(self.due)
    }

    /// What goes out now, in order, and how many were left out when it is time to say so.
    pub(super) fn release(&mut self, now: Instant) -> (Vec<Arc<Outgoing>>, Option<u64>) {
        self.due = now + self.interval;
        let mut messages: Vec<_> = self.held.drain(..).map(|(_, message)| message).collect();
        messages.sort_unstable_by_key(|message| message.id);
        self.held.shrink_to_fit();
        let tell = self.conflated > 0 && now.duration_since(self.told_at) >= TELL_INTERVAL;
        let told = tell.then(|| {
            self.told_at = now;
            std::mem::take(&mut self.conflated)
        });
        (messages, told)
    }
}

/// When which client of a shard has its turn.
#[derive(Debug, Default)]
pub(super) struct Turns(BinaryHeap<Reverse<(Instant, ClientKey)>>);

impl Turns {
    pub(super) fn push(&mut self, due: Instant, client: ClientKey) {
        self.0.push(Reverse((due, client)));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((due, _))| *due)
    }

    /// A client whose turn has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<ClientKey> {
        self.next().filter(|due| *due <= now)?;
        self.0.pop().map(|Reverse((_, client))| client)
    }
}

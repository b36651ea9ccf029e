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
        let Some(sensor) = message.measured() else {
            return;
        };
        if let Some(known) = self.held.get_mut(sensor) {
            self.conflated += 1;
            if message.replaces(known) {
                *known = Arc::clone(message);
            }
        } else {
            self.held.insert(sensor.clone(), Arc::clone(message));
        }
    }

    /// Holds these no longer.
    pub(super) fn forget(&mut self, messages: &[Arc<Outgoing>]) {
        let known = |id| messages.binary_search_by_key(&id, |message| message.id);
        self.held.retain(|_, held| known(held.id).is_err());
    }

    /// Holds no longer what is not `wanted`.
    pub(super) fn keep(&mut self, wanted: impl Fn(&Outgoing) -> bool) {
        self.held.retain(|_, held| wanted(held));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broadcast::outgoing::test_support::measurement;
    use pretty_assertions::assert_eq;

    const SECOND: Duration = Duration::from_secs(1);

    fn from(sequence: u64, sensor: &str, second: i64) -> Arc<Outgoing> {
        measurement(sequence, ["site", "room", sensor], second)
    }

    fn sequences(released: &[Arc<Outgoing>]) -> Vec<u64> {
        let sequence = |message: &Arc<Outgoing>| message.id.sequence;
        released.iter().map(sequence).collect()
    }

    #[test]
    fn the_first_is_due_at_once_and_the_next_after_the_interval() {
        let start = Instant::now();
        let mut pace = Pace::new(SECOND, start);
        assert_eq!(pace.due(), None);
        pace.hold(&from(1, "a", 1));
        assert_eq!(pace.due(), Some(start));
        assert_eq!(sequences(&pace.release(start).0), [1]);
        assert_eq!(pace.due(), None);
        pace.hold(&from(2, "a", 2));
        assert_eq!(pace.due(), Some(start + SECOND));
    }

    #[test]
    fn what_is_held_goes_out_as_the_latest_of_each_sensor_in_order() {
        let start = Instant::now();
        let mut pace = Pace::new(SECOND, start);
        for message in [
            from(1, "a", 1),
            from(2, "b", 1),
            from(3, "a", 2),
            // Late: it does not take the place of a newer one.
            from(4, "b", 0),
            from(5, "c", 1),
        ] {
            pace.hold(&message);
        }
        let (released, told) = pace.release(start);
        assert_eq!(sequences(&released), [2, 3, 5]);
        assert_eq!(told, None, "a minute has not passed");
    }

    #[test]
    fn what_was_left_out_is_told_once_a_minute() {
        let start = Instant::now();
        let mut pace = Pace::new(SECOND, start);
        let mut told = Vec::new();
        for second in 0..130 {
            let now = start + SECOND * second;
            for part in 0..3 {
                pace.hold(&from(u64::from(second) * 3 + part, "a", i64::from(second)));
            }
            told.extend(pace.release(now).1.map(|count| (second, count)));
        }
        assert_eq!(told, [(60, 122), (120, 120)]);
    }

    #[test]
    fn a_shorter_interval_counts_from_now() {
        let start = Instant::now();
        let mut pace = Pace::new(100 * SECOND, start);
        pace.hold(&from(1, "a", 1));
        assert_eq!(sequences(&pace.release(start).0), [1]);
        pace.hold(&from(2, "a", 2));
        pace.set_interval(SECOND, start + SECOND);
        assert_eq!(pace.due(), Some(start + 2 * SECOND));
    }

    #[test]
    fn turns_come_in_the_order_of_their_time() {
        let start = Instant::now();
        let mut turns = Turns::default();
        turns.push(start + 2 * SECOND, 7);
        turns.push(start + SECOND, 8);
        assert_eq!(turns.next(), Some(start + SECOND));
        assert_eq!(turns.pop(start), None);
        assert_eq!(turns.pop(start + 3 * SECOND), Some(8));
        assert_eq!(turns.pop(start + 3 * SECOND), Some(7));
        assert_eq!(turns.pop(start + 3 * SECOND), None);
    }
}

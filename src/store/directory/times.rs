//! When the latest reading of a sensor, or what is shown of its state, may be another without anything
//! being written.

use super::{Directory, Found, SensorEntry};
use crate::database::SensorKey;
use crate::domain::Timestamp;

impl Directory {
    /// Sees to it that [`Self::make_stale`] looks at a sensor when something of it ceases to be fresh.
    pub(super) fn set_stale_from(&mut self, sensor: SensorKey) {
        let Some(entry) = self.sensors.get_mut(&sensor) else {
            return;
        };
        let next = next_look(entry, entry.latest.scored.reading.observed_at);
        // What is looked at too early is put off then; that costs less than doing so for each reading.
        let is_in_time = match (entry.stale_from, next) {
            (Some(looks), Some(next)) => looks <= next,
            (_, None) => true,
            (None, Some(_)) => false,
        };
        if is_in_time {
            return;
        }
        if let Some(before) = entry.stale_from {
            self.staling.remove(&(before, sensor));
        }
        entry.stale_from = next;
        self.staling.extend(next.map(|next| (next, sensor)));
    }

    /// Whether anything that is shown may have ceased to be fresh by `now`, or is fresh again because
    /// the clock went back.
    pub(in crate::store) fn has_stale(&self, now: Timestamp) -> bool {
        now < self.stale_until || self.staling.first().is_some_and(|(from, _)| *from < now)
    }

    /// Takes over that it is `now`: what is shown may be another than before.
    pub(in crate::store) fn make_stale(&mut self, now: Timestamp) {
        if now < std::mem::replace(&mut self.stale_until, now) {
            self.staling.clear();
            for entry in self.sensors.values_mut() {
                entry.stale_from = next_look(entry, now);
                let from = entry.stale_from;
                self.staling.extend(from.map(|from| (from, entry.key)));
            }
            self.latest_version += 1;
        }
        while let Some((from, sensor)) = self.staling.first().copied() {
            if from >= now {
                return;
            }
            self.staling.pop_first();
            let Some(entry) = self.sensors.get_mut(&sensor) else {
                continue;
            };
            entry.stale_from = next_look(entry, now);
            self.staling
                .extend(entry.stale_from.map(|from| (from, sensor)));
            if !entry.state.is_all_fresh(now) {
                self.latest_version += 1;
            }
        }
    }

    /// Forgets when a sensor is to be looked at.
    pub(super) fn forget_times(&mut self, sensor: SensorKey) {
        self.set_due(sensor, None);
        self.partial.remove(&sensor);
        if let Some(entry) = self.sensors.get_mut(&sensor)
            && let Some(from) = entry.stale_from.take()
        {
            self.staling.remove(&(from, sensor));
        }
    }

    pub(super) fn set_due(&mut self, sensor: SensorKey, due: Option<Timestamp>) {
        let Some(entry) = self.sensors.get_mut(&sensor) else {
            return;
        };
        if let Some(before) = entry.due {
            self.waiting.remove(&(before, sensor));
        }
        entry.due = due;
        self.waiting.extend(due.map(|due| (due, sensor)));
    }

    /// Whether any latest reading may be another one, now that everything up to `horizon` has come.
    pub(in crate::store) fn has_misplaced(&self, horizon: Timestamp) -> bool {
        let due = self.waiting.first();
        self.latest_max > horizon
            || !self.partial.is_empty()
            || due.is_some_and(|(due, _)| *due <= horizon)
    }

    /// Gives up looking for the rest of a sensor's state.
    pub(in crate::store) fn leave_partial(&mut self, sensor: SensorKey) {
        self.partial.remove(&sensor);
        self.set_due(sensor, None);
        if let Some(entry) = self.sensors.get_mut(&sensor) {
            entry.is_partial = false;
        }
    }

    /// Makes the next [`Self::misplaced`] look at every sensor, because the last pass was interrupted.
    pub(in crate::store) fn look_again(&mut self) {
        self.latest_max = Timestamp::from_millis(i64::MAX);
    }

    /// The sensors of which that is so.
    pub(in crate::store) fn misplaced(&mut self, horizon: Timestamp) -> Vec<SensorKey> {
        let due = self.waiting.iter().take_while(|(due, _)| *due <= horizon);
        let mut misplaced: Vec<_> = due.map(|(_, sensor)| *sensor).collect();
        misplaced.extend(&self.partial);
        if self.latest_max > horizon {
            // The clock has gone back.
            self.latest_max = Timestamp::from_millis(i64::MIN);
            for entry in self.sensors.values().filter(|entry| entry.has_come) {
                let latest_at = entry.latest.scored.reading.observed_at;
                if latest_at > horizon {
                    misplaced.push(entry.key);
                }
                self.latest_max = self.latest_max.max(latest_at);
            }
        }
        misplaced.sort_unstable();
        misplaced.dedup();
        misplaced
    }

    /// Takes over what was found of a sensor, now that everything up to `horizon` has come.
    pub(in crate::store) fn place_latest(
        &mut self,
        sensor: SensorKey,
        found: Found,
        horizon: Timestamp,
    ) {
        let Some(entry) = self.sensors.get(&sensor) else {
            return;
        };
        let id = entry.latest.scored.reading.sensor.clone();
        let newest = found.newest.as_ref();
        let newest = newest.and_then(|row| self.latest_with(&id, row));
        let next = found.next.as_ref();
        let next = next.and_then(|row| self.latest_with(&id, row));
        let Some(entry) = self.sensors.get_mut(&sensor) else {
            return;
        };
        let before = entry.latest.scored.reading.observed_at;
        let had_come = entry.has_come && before <= horizon;
        match newest {
            Some(latest) if !had_come || latest.scored.reading.observed_at > before => {
                entry.room = latest.room;
                entry.latest = latest;
                entry.has_come = true;
            }
            Some(_) => {}
            None if had_come => {}
            None => {
                if let Some(next) = next {
                    entry.room = next.room;
                    entry.latest = next;
                }
                entry.has_come = false;
            }
        }
        self.places_version += 1;
        self.amendments += 1;
        entry.amended = self.amendments;
        entry.state = found.state;
        entry.is_partial = false;
        if entry.has_come {
            let latest_at = entry.latest.scored.reading.observed_at;
            self.latest_max = self.latest_max.max(latest_at);
        }
        self.latest_version += 1;
        self.partial.remove(&sensor);
        self.set_due(sensor, found.due);
        self.set_stale_from(sensor);
    }
}

/// When to look whether something of a sensor has ceased to be fresh: no later than that happens.
fn next_look(entry: &SensorEntry, now: Timestamp) -> Option<Timestamp> {
    let surely = entry.state.surely_fresh_until();
    surely
        .filter(|until| *until > now)
        .or_else(|| entry.state.changes_after(now))
}

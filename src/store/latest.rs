//! Which reading is the latest, when the clock has moved.
//!
//! The latest is the newest whose time has come. What was stored ahead of the clock waits, and becomes
//! the latest when its time comes; and where the clock goes back, the latest of before waits again. Of
//! what waits only the time of the first is in memory, for each sensor; the readings are looked up
//! among those that are stored, and the states of the sensors are made again with them. Only the writer
//! does it, so nothing changes below a plan.

use super::Store;
use super::directory::{Found, SensorEntry};
use super::fold::unpacked;
use super::rows::ReadingRow;
use super::state::{FORGOTTEN_AFTER, SensorState};
use crate::database::{ChunkHead, SensorKey, Series, Span, StoreError};
use crate::domain::{Timestamp, Values};
use rustc_hash::FxHashMap;
use std::time::Duration;

/// Sensors that are looked up together.
const SENSORS_AT_ONCE: usize = 256;
/// How far back the newest values are looked for at first; each further look goes four times as far.
const NEAR: Duration = Duration::from_hours(24);
const FURTHER: u32 = 4;
/// Chunks of a sensor that one look reads: the last of them, so that a sensor that measures each second
/// does not keep the writer.
const CHUNKS_PER_LOOK_MAX: usize = 16;

/// What is known of a sensor before the look.
#[derive(Clone)]
struct Known {
    sensor: SensorKey,
    /// It has no older reading.
    first: Timestamp,
    /// It has no newer one that has come.
    newest: Timestamp,
    /// What is looked through.
    from: Timestamp,
    to: Timestamp,
    /// What is not to be looked for, because it holds.
    state: SensorState,
    /// Quantities that it measured, whose values have to be found.
    wanted: Values,
}

impl Known {
    /// Where to look at first, and whether to go on further back where that is not enough.
    fn of(entry: &SensorEntry, horizon: Timestamp) -> (Self, bool) {
        let latest_at = entry.latest.scored.reading.observed_at;
        let first = entry.first_seen;
        let newest = entry.newest_at.min(horizon);
        // What has come of it stays, and there may be more.
        let holds = !entry.is_partial && (!entry.has_come || latest_at <= horizon);
        let (state, wanted) = if holds {
            (entry.state.clone(), Values::default())
        } else if entry.is_partial {
            entry.state.until(Timestamp::from_millis(i64::MIN))
        } else {
            entry.state.until(horizon)
        };
        let (from, to, goes_far) = if first > horizon {
            // Nothing has come, and the first is the next that will.
            (first, first, false)
        } else if holds {
            let behind = Timestamp::from_millis(latest_at.millis() + 1);
            // After a start the latest may be newer than what has come since the last look.
            let from = match entry.due {
                _ if !entry.has_come => first,
                Some(due) => due.min(behind),
                None => behind,
            };
            (from, entry.newest_at, false)
        } else {
            (first.max(newest.minus(NEAR)), entry.newest_at, true)
        };
        let known = Self {
            sensor: entry.key,
            first,
            newest,
            from,
            to,
            state,
            wanted,
        };
        (known, goes_far)
    }

    /// Whether to look further back than what was `found`.
    fn goes_on(&self, found: Option<&Found>) -> bool {
        let Some(found) = found else {
            return self.from > self.first;
        };
        let Some(newest) = &found.newest else {
            return self.from > self.first;
        };
        let remembered = newest.observed_at.minus(FORGOTTEN_AFTER);
        let mut wanted = self.wanted.iter();
        self.from > self.first.max(remembered)
            && wanted.any(|(quantity, _)| !found.state.has_since(quantity, remembered))
    }
}

impl Store {
    /// Takes over that it is `now`, so that some of what is shown may not be fresh any more.
    pub(super) fn make_stale(&self, now: Timestamp) {
        if self.directory(|directory| directory.has_stale(now)) {
            self.directory.write().make_stale(now);
        }
    }

    /// Brings the latest readings in line with a clock by which everything up to `horizon` has come.
    pub(super) async fn follow(&self, horizon: Timestamp) -> Result<(), StoreError> {
        if !self.directory(|directory| directory.has_misplaced(horizon)) {
            return Ok(());
        }
        let sensors = self.directory.write().misplaced(horizon);
        for sensors in sensors.chunks(SENSORS_AT_ONCE) {
            let mut result = self.place(sensors, horizon).await;
            if matches!(result, Err(StoreError::Corrupt { .. })) {
                result = self.place_each(sensors, horizon).await;
            }
            if result.is_err() {
                self.directory.write().look_again();
            }
            result?;
        }
        Ok(())
    }

    /// One after the other, so that a chunk that cannot be read keeps nobody else's state; of its own
    /// sensor what is known stays.
    async fn place_each(
        &self,
        sensors: &[SensorKey],
        horizon: Timestamp,
    ) -> Result<(), StoreError> {
        for sensor in sensors {
            match self.place(&[*sensor], horizon).await {
                Err(error @ StoreError::Corrupt { .. }) => {
                    tracing::error!(%error, "the state of a sensor cannot be looked up");
                    self.directory.write().leave_partial(*sensor);
                }
                result => result?,
            }
        }
        Ok(())
    }

    async fn place(&self, sensors: &[SensorKey], horizon: Timestamp) -> Result<(), StoreError> {
        let mut near = Vec::with_capacity(sensors.len());
        let mut far = Vec::new();
        self.directory(|directory| {
            for sensor in sensors {
                let Some(entry) = directory.sensor(*sensor) else {
                    continue;
                };
                let (known, goes_far) = Known::of(entry, horizon);
                if goes_far {
                    far.push(known.clone());
                }
                near.push(known);
            }
        });
        let mut found = self.newest_until(horizon, &near).await?;
        let mut back = NEAR;
        loop {
            // A sensor may have been silent for long, and has far more readings than the one wanted.
            far.retain(|known| known.goes_on(found.get(&known.sensor)));
            if far.is_empty() {
                break;
            }
            back = back.saturating_mul(FURTHER);
            for known in &mut far {
                known.to = Timestamp::from_millis(known.from.millis() - 1);
                known.from = known.first.max(known.newest.minus(back));
            }
            for known in &mut far {
                if let Some(found) = found.get(&known.sensor) {
                    known.state = found.state.clone();
                }
            }
            for (sensor, further) in self.newest_until(horizon, &far).await? {
                let found = found.entry(sensor).or_default();
                found.state = further.state;
                found.newest = found.newest.take().or(further.newest);
            }
        }
        let mut directory = self.directory.write();
        for known in &near {
            let found = found.remove(&known.sensor).unwrap_or_default();
            directory.place_latest(known.sensor, found, horizon);
        }
        Ok(())
    }

    async fn newest_until(
        &self,
        horizon: Timestamp,
        sensors: &[Known],
    ) -> Result<FxHashMap<SensorKey, Found>, StoreError> {
        let mut found: FxHashMap<SensorKey, Found> = FxHashMap::default();
        if sensors.is_empty() {
            return Ok(found);
        }
        // First here, then there: what is settled in between is in both.
        let mut recent = Vec::with_capacity(sensors.len());
        let mut spans = Vec::with_capacity(sensors.len());
        for known in sensors {
            let span = known.from..=horizon.min(known.to);
            let (_, next) = self.recent.newest_within(known.sensor, span.clone());
            recent.push((known.sensor, self.recent.within(known.sensor, span), next));
            found.entry(known.sensor).or_default().state = known.state.clone();
            if known.from <= known.to {
                spans.push(Span {
                    sensor: known.sensor,
                    first: known.from,
                    last: known.to,
                });
            }
        }
        spans.sort_unstable_by_key(|span| span.sensor);
        let heads = self.database.chunk_heads(Series::Readings, &spans).await?;
        let mut wanted = Vec::new();
        for span in &spans {
            let first = heads.partition_point(|head| head.sensor < span.sensor);
            let end = heads.partition_point(|head| head.sensor <= span.sensor);
            let heads = heads.get(first..end).unwrap_or_default();
            let overlaps = |head: &&ChunkHead| head.end >= span.first && head.start <= span.last;
            let overlapping: Vec<_> = heads.iter().filter(overlaps).collect();
            let come = overlapping.partition_point(|head| head.start <= horizon);
            let behind = overlapping.get(come);
            let found = found.entry(span.sensor).or_default();
            found.is_due(behind.map(|head| head.start));
            let looked_at = overlapping.iter().take(come);
            let surplus = come.saturating_sub(CHUNKS_PER_LOOK_MAX);
            let next = behind.filter(|_| come == 0);
            let heads = looked_at.skip(surplus).chain(next);
            wanted.extend(heads.map(|head| Span {
                sensor: span.sensor,
                first: head.start,
                last: head.start,
            }));
        }
        let chunks = self.database.chunks(Series::Readings, &wanted, usize::MAX);
        for chunk in chunks.await?.unwrap_or_default() {
            let sensor = chunk.head.sensor;
            let rows: Vec<ReadingRow> = unpacked(&chunk, chunk.head.start, chunk.head.end)?;
            let known = sensors.iter().find(|known| known.sensor == sensor);
            let from = known.map_or(horizon, |known| known.from);
            let to = known.map_or(horizon, |known| known.to.min(horizon));
            let behind = rows.partition_point(|row| row.observed_at <= horizon);
            let next = rows.get(behind).cloned();
            let first = rows.partition_point(|row| row.observed_at < from);
            let end = rows.partition_point(|row| row.observed_at <= to);
            let rows = rows.get(first..end).unwrap_or_default();
            found.entry(sensor).or_default().take(rows, next);
        }
        // These are the newer ones of what is in both.
        for (sensor, rows, next) in recent {
            found.entry(sensor).or_default().take(&rows, next);
        }
        Ok(found)
    }
}

impl Found {
    /// Takes over what is elsewhere: of two readings of the same time that one counts.
    fn take(&mut self, rows: &[ReadingRow], next: Option<ReadingRow>) {
        for row in rows {
            self.state.take(row, None);
        }
        let time = |row: &Option<ReadingRow>| row.as_ref().map(|row| row.observed_at);
        let newest = rows.last();
        if time(&self.newest) <= newest.map(|row| row.observed_at) {
            self.newest = newest.cloned();
        }
        self.is_due(time(&next));
        if time(&self.next).is_none_or(|known| time(&next).is_some_and(|next| next <= known)) {
            self.next = next;
        }
    }

    fn is_due(&mut self, at: Option<Timestamp>) {
        self.due = [self.due, at].into_iter().flatten().min();
    }
}

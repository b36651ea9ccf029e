//! Which reading is the latest, when the clock has moved.
//!
//! The latest is the newest whose time has come. What was stored ahead of the clock waits, and becomes
//! the latest when its time comes; and where the clock goes back, the latest of before waits again. Of
//! what waits only the time of the first is in memory, for each sensor; the readings are looked up
//! among those that are stored. Only the writer does it, so nothing changes below a plan.

use super::Store;
use super::directory::Found;
use super::fold::unpacked;
use super::rows::ReadingRow;
use crate::database::{ChunkHead, SensorKey, Series, Span, StoreError};
use crate::domain::Timestamp;
use rustc_hash::FxHashMap;
use std::time::Duration;

/// Sensors that are looked up together.
const SENSORS_AT_ONCE: usize = 256;
/// How far back the newest reading is looked for at first; each further look goes four times as far.
const NEAR: Duration = Duration::from_hours(24);
const FURTHER: u32 = 4;

/// What is known of a sensor before the look.
struct Known {
    sensor: SensorKey,
    /// It has no older reading.
    first: Timestamp,
    /// It has no newer one that has come.
    newest: Timestamp,
    /// What is looked through.
    from: Timestamp,
    to: Timestamp,
}

impl Store {
    /// Brings the latest readings in line with a clock by which everything up to `horizon` has come.
    pub(super) async fn follow(&self, horizon: Timestamp) -> Result<(), StoreError> {
        if !self.directory(|directory| directory.has_misplaced(horizon)) {
            return Ok(());
        }
        let sensors = self.directory.write().misplaced(horizon);
        for sensors in sensors.chunks(SENSORS_AT_ONCE) {
            let result = self.place(sensors, horizon).await;
            if result.is_err() {
                self.directory.write().look_again();
            }
            result?;
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
                let latest_at = entry.latest.scored.reading.observed_at;
                let first = entry.first_seen;
                let newest = entry.newest_at.min(horizon);
                let known = |from, to| Known {
                    sensor: *sensor,
                    first,
                    newest,
                    from,
                    to,
                };
                if entry.has_come && latest_at <= horizon {
                    let behind = Timestamp::from_millis(latest_at.millis() + 1);
                    near.push(known(behind, entry.newest_at));
                } else if first > horizon {
                    // Nothing has come, and the first is the next that will.
                    near.push(known(first, first));
                } else {
                    let from = first.max(newest.minus(NEAR));
                    near.push(known(from, entry.newest_at));
                    far.push(known(from, entry.newest_at));
                }
            }
        });
        let mut found = self.newest_until(horizon, &near).await?;
        let mut back = NEAR;
        loop {
            // A sensor may have been silent for long, and has far more readings than the one wanted.
            far.retain(|known| {
                let found = found.get(&known.sensor);
                known.from > known.first && found.is_none_or(|found| found.newest.is_none())
            });
            if far.is_empty() {
                break;
            }
            back = back.saturating_mul(FURTHER);
            for known in &mut far {
                known.to = Timestamp::from_millis(known.from.millis() - 1);
                known.from = known.first.max(known.newest.minus(back));
            }
            for (sensor, further) in self.newest_until(horizon, &far).await? {
                found.entry(sensor).or_default().newest = further.newest;
            }
        }
        let mut directory = self.directory.write();
        for known in &near {
            let found = found.remove(&known.sensor).unwrap_or_default();
            directory.place_latest(known.sensor, &found, horizon);
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
        let mut spans = Vec::with_capacity(sensors.len());
        for known in sensors {
            let span = known.from..=horizon.min(known.to);
            let (newest, next) = self.recent.newest_within(known.sensor, span);
            let mut recent = Found::default();
            recent.take(newest, next);
            found.insert(known.sensor, recent);
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
            let mut overlapping = heads.iter().filter(overlaps);
            let until = overlapping.clone().rfind(|head| head.start <= horizon);
            let behind = overlapping.find(|head| head.start > horizon);
            let found = found.entry(span.sensor).or_default();
            found.is_due(behind.map(|head| head.start));
            wanted.extend(until.or(behind).map(|head| Span {
                sensor: span.sensor,
                first: head.start,
                last: head.start,
            }));
        }
        let chunks = self.database.chunks(Series::Readings, &wanted, usize::MAX);
        for chunk in chunks.await?.unwrap_or_default() {
            let sensor = chunk.head.sensor;
            let rows: Vec<ReadingRow> = unpacked(&chunk, chunk.head.start, chunk.head.end)?;
            let from = sensors.iter().find(|known| known.sensor == sensor);
            let from = from.map_or(horizon, |known| known.from);
            let behind = rows.partition_point(|row| row.observed_at <= horizon);
            let next = rows.get(behind).cloned();
            let newest = behind.checked_sub(1).and_then(|last| rows.get(last));
            let newest = newest.filter(|row| row.observed_at >= from).cloned();
            found.entry(sensor).or_default().take(newest, next);
        }
        Ok(found)
    }
}

impl Found {
    /// Takes over what is elsewhere: of two readings of the same time the one that is there already is
    /// the newer.
    fn take(&mut self, newest: Option<ReadingRow>, next: Option<ReadingRow>) {
        let time = |row: &Option<ReadingRow>| row.as_ref().map(|row| row.observed_at);
        if time(&self.newest) < time(&newest) {
            self.newest = newest;
        }
        self.is_due(time(&next));
        if time(&self.next).is_none_or(|known| time(&next).is_some_and(|next| next < known)) {
            self.next = next;
        }
    }

    fn is_due(&mut self, at: Option<Timestamp>) {
        self.due = [self.due, at].into_iter().flatten().min();
    }
}

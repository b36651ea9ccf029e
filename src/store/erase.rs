//! Taking readings out again.
//!
//! A reading goes from the chunks, its buckets are made again of what is left below them, as when a
//! reading changes, and its sensor becomes what it would be without it. Some sensors at a time are one
//! transaction; what breaks off before can be done again.
//!
//! The log tells what was published, and a reading that is gone is not to be told again: the log goes
//! up to the last of them ([`Store::forget_from`]). Clients and webhooks that were not that far hear of
//! it as of any log that has become too short.

use super::directory::{Directory, KnownSensor};
use super::fold::{Change, unpacked};
use super::log_extent::LogExtent;
use super::plan::Identity;
use super::rows::ReadingRow;
use super::settle::{self, SENSORS_AT_ONCE};
use super::state::{FORGOTTEN_AFTER, SensorState};
use super::{Store, pack};
use crate::clock;
use crate::database::{
    ChunkHead, Rewrite, SensorKey, SensorRow, Series, SettledSensor, Span, StoreError,
};
use crate::domain::{StreamId, Timestamp};

/// Readings of the log that are looked at together.
const LOG_READINGS_AT_ONCE: u32 = 16 * 1024;

/// Chunks of a sensor in which its values are looked for.
const CHUNKS_MAX: usize = 64;

impl Store {
    /// Removes from the log whatever has, or comes before, a reading at or after `from`. Only where
    /// nobody else writes this store.
    pub async fn forget_from(&self, from: Timestamp) -> Result<(), StoreError> {
        self.settle_all().await?;
        let (beginning, logged) = (StreamId::default(), self.database.log_sizes().await?);
        let Some((end, _)) = logged.last() else {
            return Ok(());
        };
        let mut after = beginning;
        let mut forgotten = None;
        while after < *end {
            let part = self.database.log(after, *end, LOG_READINGS_AT_ONCE).await?;
            let Some(last) = part.batches.last() else {
                break;
            };
            after = last.last;
            for batch in &part.batches {
                let profile = self.directory(Directory::profile);
                let rows = super::unpacked(batch, profile)?.rows;
                if rows.iter().any(|row| row.reading.observed_at >= from) {
                    forgotten = Some(batch.last);
                }
            }
        }
        if let Some(to) = forgotten {
            self.database.trim_log(to).await?;
            let sizes = self.database.log_sizes().await?;
            let mut log = self.log.lock();
            *log = LogExtent::of(log.limits(), &sizes);
        }
        Ok(())
    }

    /// Removes readings; says how many were there. Their sensors are looked at as of `now`, before and
    /// after: one of which nothing is left stands where it stood then. Only where nobody else writes
    /// this store and no [`super::Keeper`] runs, and after [`Store::forget_from`] the first of them.
    pub async fn erase(
        &self,
        mut readings: Vec<Identity>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.settle_all().await?;
        let horizon = clock::horizon(now);
        self.follow(horizon).await?;
        readings.sort_unstable();
        readings.dedup();
        let by_sensor: Vec<_> = readings.chunk_by(|a, b| a.0 == b.0).collect();
        let mut erased = 0;
        for some in by_sensor.chunks(SENSORS_AT_ONCE) {
            erased += self.erase_at_once(&some.concat()).await?;
        }
        self.follow(horizon).await?;
        Ok(erased)
    }

    pub(super) async fn settle_all(&self) -> Result<(), StoreError> {
        while settle::settle(self).await? > 0 {}
        Ok(())
    }

    /// Removes readings, which come by sensor and time, in one transaction.
    async fn erase_at_once(&self, readings: &[Identity]) -> Result<usize, StoreError> {
        let mut found = self.find_identities(readings).await?;
        found.sort_unstable_by_key(|row| (row.sensor, row.observed_at));
        let mut changes = Vec::new();
        let mut left = Vec::new();
        for rows in found.chunk_by(|a, b| a.sensor == b.sensor) {
            let Some(sensor) = rows.first().map(|row| row.sensor) else {
                continue;
            };
            let times: Vec<_> = rows.iter().map(|row| row.observed_at).collect();
            left.extend(self.left_of(sensor, &times).await?);
            changes.push(Change {
                sensor,
                times,
                rows: Vec::new(),
                before: None,
            });
        }
        let rewrite = Rewrite {
            sensors: self.directory(|directory| {
                let as_of = directory.logged();
                left.iter().map(|sensor| row(sensor, as_of)).collect()
            }),
            ..settle::rewrite(self.database.as_ref(), changes).await?
        };
        self.database.rewrite(&rewrite).await?;
        self.take_over(left);
        self.outdate_means();
        Ok(found.len())
    }

    fn take_over(&self, sensors: Vec<KnownSensor>) {
        let mut directory = self.directory.write();
        for sensor in sensors {
            directory.add_known(sensor);
        }
    }

    /// A sensor as it is without its readings at some times, which are ascending.
    async fn left_of(
        &self,
        sensor: SensorKey,
        times: &[Timestamp],
    ) -> Result<Option<KnownSensor>, StoreError> {
        let Some(mut left) =
            self.directory(|directory| directory.sensor(sensor).map(KnownSensor::of))
        else {
            return Ok(None);
        };
        let goes = |time: Timestamp| times.binary_search(&time).is_ok();
        left.reading_count = left.reading_count.saturating_sub(times.len() as u64);
        if left.first_seen.is_some_and(goes) {
            let oldest = self.some_without(sensor, times, End::Oldest).await?;
            left.first_seen = oldest.first().map(|row| row.observed_at);
        }
        let latest = left.latest.as_ref().map(|row| row.observed_at);
        if latest.is_some_and(goes) || left.newest_at.is_some_and(goes) {
            let newest = self.some_without(sensor, times, End::Newest).await?;
            left.newest_at = newest.last().map(|row| row.observed_at);
            if latest.is_some_and(goes) {
                left.latest = newest.into_iter().next_back();
                left.room = left.latest.as_ref().map_or(left.room, |row| row.room);
            }
        }
        let state = left.state.take().unwrap_or_default();
        let latest = left.latest.as_ref().map(|row| row.observed_at);
        left.state = Some(if state.times().any(goes) {
            self.state_without(sensor, times, &state, latest).await?
        } else {
            state
        });
        if left.latest.is_none() {
            left.first_seen = None;
        }
        Ok(Some(left))
    }

    /// The state of a sensor without its readings at some times: what `state` has is looked for among what
    /// is left. Its rhythm is that of what is left as well.
    pub(super) async fn state_without(
        &self,
        sensor: SensorKey,
        times: &[Timestamp],
        state: &SensorState,
        latest: Option<Timestamp>,
    ) -> Result<SensorState, StoreError> {
        let Some(latest) = latest else {
            return Ok(SensorState::default());
        };
        let mut found = Vec::new();
        for head in self
            .heads(sensor, End::Newest)
            .await?
            .into_iter()
            .take(CHUNKS_MAX)
        {
            let mut rows = self.rows_of(head).await?;
            let goes = |time| times.binary_search(&time).is_ok();
            rows.retain(|row| row.observed_at <= latest && !goes(row.observed_at));
            rows.append(&mut found);
            found = rows;
            let is_found = |quantity| found.iter().any(|row| row.values.has(quantity));
            if state.quantities().all(is_found) || head.start < latest.minus(FORGOTTEN_AFTER) {
                break;
            }
        }
        let mut state = state.without_readings();
        for row in &found {
            state.take(row, None);
        }
        Ok(state)
    }

    async fn heads(&self, sensor: SensorKey, from: End) -> Result<Vec<ChunkHead>, StoreError> {
        let all = Span {
            sensor,
            first: Timestamp::from_millis(i64::MIN),
            last: Timestamp::from_millis(i64::MAX),
        };
        let mut heads = self.database.chunk_heads(Series::Readings, &[all]).await?;
        if from == End::Newest {
            heads.reverse();
        }
        Ok(heads)
    }

    async fn rows_of(&self, head: ChunkHead) -> Result<Vec<ReadingRow>, StoreError> {
        let span = Span {
            sensor: head.sensor,
            first: head.start,
            last: head.end,
        };
        let span = [span];
        let chunks = self.database.chunks(Series::Readings, &span, usize::MAX);
        let mut rows = Vec::new();
        for chunk in chunks.await?.unwrap_or_default() {
            rows.extend(unpacked::<ReadingRow>(&chunk, head.start, head.end)?);
        }
        Ok(rows)
    }

    /// The oldest or newest readings of a sensor, ascending, without those at some times: at least one,
    /// when there is one.
    pub(super) async fn some_without(
        &self,
        sensor: SensorKey,
        times: &[Timestamp],
        end: End,
    ) -> Result<Vec<ReadingRow>, StoreError> {
        for head in self.heads(sensor, end).await? {
            let mut rows = self.rows_of(head).await?;
            rows.retain(|row| times.binary_search(&row.observed_at).is_err());
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
        Ok(Vec::new())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Oldest,
    Newest,
}

pub(super) fn row(sensor: &KnownSensor, as_of: StreamId) -> SensorRow {
    let settled = sensor.latest.as_ref().zip(sensor.first_seen);
    SensorRow {
        key: sensor.key,
        id: sensor.id.clone(),
        room: sensor.room,
        reading_count: sensor.reading_count,
        settled: settled.map(|(latest, first_seen)| SettledSensor {
            first_seen,
            latest: pack::pack_latest(latest),
            newest_at: sensor.newest_at,
            state: sensor.state.clone().map(|state| {
                pack::pack_state(&pack::KeptState {
                    state,
                    as_of,
                    is_partial: false,
                })
            }),
        }),
    }
}

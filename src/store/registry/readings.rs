//! Stored readings follow a change: a piece of a sensor's history at a time, each piece one transaction.
//!
//! Readings are moved and the roll-ups made again of them, as when readings settle. Where retention has
//! removed readings, their roll-ups are moved as they are, each series by itself. A piece that is done
//! again finds nothing left to do, so what was broken off is simply begun again.

use super::{Decision, rooms, sensors};
use crate::database::{
    Chunk, ChunkHead, Rewrite, RoomKey, SensorKey, SensorRow, Series, Span, StoreError,
};
use crate::domain::Timestamp;
use crate::store::aggregate::combined;
use crate::store::directory::KnownSensor;
use crate::store::erase::{End, row};
use crate::store::fold::{Change, Packed, unpacked};
use crate::store::rows::{BucketRow, ReadingRow};
use crate::store::{Store, settle};
use std::collections::VecDeque;

/// What becomes of the readings of a sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Fate {
    /// They are another sensor's, which keeps what it has.
    Into(SensorKey),
    /// Those since some time, of one room or of all, were taken in another room.
    Moved {
        from: Option<RoomKey>,
        since: Timestamp,
        to: RoomKey,
    },
    /// Those of one room, or all, go.
    Gone(Option<RoomKey>),
}

/// Something that is still to be done for a change.
#[derive(Debug)]
pub(in crate::store) struct Task {
    what: What,
    /// What is left of it; `None` before it has begun.
    left: Option<VecDeque<Piece>>,
    /// Readings that were moved or removed.
    readings: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Readings(SensorKey, Fate),
    /// The room is no more.
    EndOfRoom(RoomKey, Option<RoomKey>),
}

/// A time of one series, as long as a chunk was when the task began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Rows(Series, Timestamp, Timestamp),
    /// Whatever is left of the sensor in a series.
    Rest(Series),
}

/// What a step of a task came to.
#[derive(Debug)]
pub(in crate::store) enum Step {
    /// There is more to do.
    More,
    /// It is done, but for a change that says so; it concerned so many readings.
    Ended(Box<Decision>, u64),
}

/// Chunks that are removed by one transaction.
const CHUNKS_AT_ONCE: usize = 64;

impl Task {
    pub(super) fn new(sensor: SensorKey, fate: Fate) -> Self {
        Self {
            what: What::Readings(sensor, fate),
            left: None,
            readings: 0,
        }
    }

    pub(super) fn end_of_room(room: RoomKey, into: Option<RoomKey>) -> Self {
        Self {
            what: What::EndOfRoom(room, into),
            left: None,
            readings: 0,
        }
    }
}

impl Store {
    /// Does the next piece of a task. Nobody else may write meanwhile but the readings that have settled.
    pub(in crate::store) async fn work(&self, task: &mut Task) -> Result<Step, StoreError> {
        let (sensor, fate) = match task.what {
            What::Readings(sensor, fate) => (sensor, fate),
            What::EndOfRoom(room, into) => {
                return Ok(Step::Ended(Box::new(rooms::ended(room, into)), 0));
            }
        };
        let _tidying = self.tidying.lock().await;
        if task.left.is_none() {
            task.left = Some(self.pieces(sensor, fate).await?);
        }
        let pieces = task.left.get_or_insert_default();
        let Some(piece) = pieces.front().copied() else {
            let decision = self.ended(sensor, fate).await?;
            return Ok(Step::Ended(Box::new(decision), task.readings));
        };
        let (is_done, readings) = match piece {
            Piece::Rows(Series::Readings, first, last) => {
                (true, self.move_readings(sensor, fate, first, last).await?)
            }
            Piece::Rows(series, first, last) => {
                self.move_buckets(series, sensor, fate, first, last).await?;
                (true, 0)
            }
            Piece::Rest(series) => (self.clear(series, sensor).await?, 0),
        };
        task.readings += readings;
        if is_done && let Some(pieces) = &mut task.left {
            pieces.pop_front();
        }
        Ok(Step::More)
    }

    async fn pieces(&self, sensor: SensorKey, fate: Fate) -> Result<VecDeque<Piece>, StoreError> {
        let mut pieces = VecDeque::new();
        let removed_to = self.removed_to();
        if fate != Fate::Gone(None) {
            for series in Series::ALL {
                let heads = self.heads_of(series, sensor).await?;
                let wanted = heads.iter().filter(|head| match series {
                    Series::Readings => head.end >= removed_to,
                    _ => head.start < removed_to,
                });
                pieces.extend(wanted.map(|head| Piece::Rows(series, head.start, head.end)));
            }
        }
        if matches!(fate, Fate::Gone(None) | Fate::Into(_)) {
            pieces.extend(Series::ALL.map(Piece::Rest));
        }
        Ok(pieces)
    }

    async fn heads_of(
        &self,
        series: Series,
        sensor: SensorKey,
    ) -> Result<Vec<ChunkHead>, StoreError> {
        let all = Span {
            sensor,
            first: Timestamp::from_millis(i64::MIN),
            last: Timestamp::from_millis(i64::MAX),
        };
        self.database.chunk_heads(series, &[all]).await
    }

    /// Moves the readings of a time with the roll-ups that are made of them; says how many there were.
    async fn move_readings(
        &self,
        sensor: SensorKey,
        fate: Fate,
        first: Timestamp,
        last: Timestamp,
    ) -> Result<u64, StoreError> {
        let first = first.max(self.removed_to());
        let rows: Vec<ReadingRow> = self
            .rows_within(Series::Readings, sensor, first, last)
            .await?;
        let meant: Vec<_> = rows
            .into_iter()
            .filter(|row| is_meant(fate, row.room, row.observed_at))
            .collect();
        if meant.is_empty() {
            return Ok(0);
        }
        let times: Vec<_> = meant.iter().map(|row| row.observed_at).collect();
        let count = meant.len() as u64;
        let change = |sensor, rows| Change {
            sensor,
            times: times.clone(),
            rows,
            before: None,
        };
        let mut repeated = 0;
        let mut changes = match fate {
            Fate::Gone(_) => vec![change(sensor, Vec::new())],
            Fate::Moved { to, .. } => {
                let rows = meant.into_iter().map(|row| ReadingRow { room: to, ..row });
                vec![change(sensor, rows.collect())]
            }
            Fate::Into(into) => {
                let (rows, both) = self.with_those_of(into, meant).await?;
                repeated = both;
                vec![change(sensor, Vec::new()), change(into, rows)]
            }
        };
        changes.sort_unstable_by_key(|change| change.sensor);
        let mut rewrite = settle::rewrite(self.database.as_ref(), changes).await?;
        let counted = self.counted(sensor, fate, count, repeated);
        rewrite.sensors = counted.iter().map(|(_, row)| row.clone()).collect();
        self.database.rewrite(&rewrite).await?;
        let mut directory = self.directory.write();
        for (key, row) in counted {
            directory.set_reading_count(key, row.reading_count);
        }
        Ok(count)
    }

    /// Readings as those of another sensor, which has some of them already; says how many.
    async fn with_those_of(
        &self,
        into: SensorKey,
        rows: Vec<ReadingRow>,
    ) -> Result<(Vec<ReadingRow>, u64), StoreError> {
        let identities: Vec<_> = rows.iter().map(|row| (into, row.observed_at)).collect();
        if identities
            .iter()
            .any(|(key, at)| self.recent.find(*key, *at).is_some())
        {
            // What settles later would take the place of what is put together here.
            self.settle_all().await?;
        }
        let mut found = self.find_identities(&identities).await?;
        found.sort_unstable_by_key(|row| row.observed_at);
        let mut both = 0;
        let joined = rows.into_iter().map(|row| {
            let known = found.binary_search_by_key(&row.observed_at, |row| row.observed_at);
            match known.ok().and_then(|position| found.get(position)) {
                Some(known) => {
                    both += 1;
                    let mut known = known.clone();
                    known.take_missing(&row);
                    known
                }
                None => ReadingRow {
                    sensor: into,
                    ..row
                },
            }
        });
        let joined = joined.collect();
        Ok((joined, both))
    }

    /// Sensors that have fewer readings than before.
    fn counted(
        &self,
        sensor: SensorKey,
        fate: Fate,
        count: u64,
        repeated: u64,
    ) -> Vec<(SensorKey, SensorRow)> {
        let (key, fewer) = match fate {
            Fate::Gone(_) => (sensor, count),
            Fate::Into(into) => (into, repeated),
            Fate::Moved { .. } => return Vec::new(),
        };
        self.directory(|directory| {
            let entry = directory.sensor(key).filter(|_| fewer > 0);
            let rows = entry.map(|entry| {
                let mut known = KnownSensor::of(entry);
                known.reading_count = known.reading_count.saturating_sub(fewer);
                (key, row(&known, directory.logged()))
            });
            rows.into_iter().collect()
        })
    }

    /// Moves roll-ups whose readings retention has removed.
    async fn move_buckets(
        &self,
        series: Series,
        sensor: SensorKey,
        fate: Fate,
        first: Timestamp,
        last: Timestamp,
    ) -> Result<(), StoreError> {
        let end = Timestamp::from_millis(self.removed_to().millis().saturating_sub(1));
        let last = last.min(end);
        let rows: Vec<BucketRow> = self.rows_within(series, sensor, first, last).await?;
        let meant = rows
            .iter()
            .filter(|row| is_meant(fate, row.room, row.start));
        let mut times: Vec<_> = meant.map(|row| row.start).collect();
        times.dedup();
        if times.is_empty() {
            return Ok(());
        }
        let touched = rows
            .into_iter()
            .filter(|row| times.binary_search(&row.start).is_ok());
        let (meant, others): (Vec<_>, Vec<_>) =
            touched.partition(|row| is_meant(fate, row.room, row.start));
        let change = |sensor, rows| Change {
            sensor,
            times: times.clone(),
            rows,
            before: None,
        };
        let mut changes = match fate {
            Fate::Gone(_) => vec![change(sensor, others)],
            Fate::Moved { to, .. } => {
                let moved = meant.into_iter().map(|row| BucketRow { room: to, ..row });
                vec![change(
                    sensor,
                    combined(others.into_iter().chain(moved).collect()),
                )]
            }
            Fate::Into(into) => {
                let mut known: Vec<BucketRow> = self.rows_within(series, into, first, last).await?;
                known.retain(|row| times.binary_search(&row.start).is_ok());
                let moved = meant.into_iter().map(|row| BucketRow {
                    sensor: into,
                    ..row
                });
                let rows = combined(known.into_iter().chain(moved).collect());
                vec![change(sensor, others), change(into, rows)]
            }
        };
        changes.sort_unstable_by_key(|change| change.sensor);
        let mut rewrite = Rewrite::default();
        // Coarser roll-ups are moved by themselves.
        settle::fold_all(self.database.as_ref(), series, changes, &mut rewrite).await?;
        self.database.rewrite(&rewrite).await
    }

    /// Removes chunks of a sensor, some at a time; whether none is left.
    async fn clear(&self, series: Series, sensor: SensorKey) -> Result<bool, StoreError> {
        let heads = self.heads_of(series, sensor).await?;
        let some = heads.iter().take(CHUNKS_AT_ONCE);
        let rewrite = Rewrite {
            removed: some.map(|head| (series, sensor, head.start)).collect(),
            ..Rewrite::default()
        };
        self.database.rewrite(&rewrite).await?;
        Ok(heads.len() <= CHUNKS_AT_ONCE)
    }

    async fn rows_within<T: Packed>(
        &self,
        series: Series,
        sensor: SensorKey,
        first: Timestamp,
        last: Timestamp,
    ) -> Result<Vec<T>, StoreError> {
        if last < first {
            return Ok(Vec::new());
        }
        let spans = [Span {
            sensor,
            first,
            last,
        }];
        let chunks: Vec<Chunk> = self
            .database
            .chunks(series, &spans, usize::MAX)
            .await?
            .unwrap_or_default();
        let mut rows = Vec::new();
        for chunk in chunks {
            rows.extend(unpacked::<T>(&chunk, first, last)?);
        }
        Ok(rows)
    }

    /// The change that says that a task is done.
    async fn ended(&self, sensor: SensorKey, fate: Fate) -> Result<Decision, StoreError> {
        match fate {
            Fate::Into(into) => Ok(sensors::ended(sensor, Some(into))),
            Fate::Gone(None) => Ok(sensors::ended(sensor, None)),
            Fate::Moved { from: Some(_), .. } => Ok(Decision::default()),
            Fate::Moved { from: None, .. } => Ok(self.directory(|directory| {
                let entry = directory.sensor(sensor);
                entry.map(sensors::arrived).unwrap_or_default()
            })),
            Fate::Gone(Some(room)) => self.without_room(sensor, room).await,
        }
    }

    /// What a sensor is without what it measured in a room, of which nothing is stored any more.
    async fn without_room(&self, sensor: SensorKey, room: RoomKey) -> Result<Decision, StoreError> {
        // What came meanwhile counts as well, and is looked for in chunks.
        self.settle_all().await?;
        let known = self.directory(|directory| {
            let entry = directory.sensor(sensor)?;
            let elsewhere = entry.rooms.iter().find(|other| **other != room).copied();
            Some((KnownSensor::of(entry), elsewhere))
        });
        let Some((mut known, elsewhere)) = known else {
            return Ok(Decision::default());
        };
        let oldest = self.some_without(sensor, &[], End::Oldest).await?;
        known.first_seen = oldest.first().map(|row| row.observed_at);
        let newest = self.some_without(sensor, &[], End::Newest).await?;
        known.newest_at = newest.last().map(|row| row.observed_at);
        if known
            .latest
            .as_ref()
            .is_some_and(|latest| latest.room == room)
        {
            known.latest = newest.into_iter().next_back();
        }
        let Some(latest) = &known.latest else {
            let mut decision = Decision::default();
            match elsewhere {
                // Roll-ups may be left of what it measured there.
                Some(elsewhere) => decision.known.push(KnownSensor {
                    room: elsewhere,
                    state: None,
                    ..known
                }),
                None => sensors::gone(sensor, &mut decision),
            }
            return Ok(decision);
        };
        known.room = latest.room;
        let state = known.state.take().unwrap_or_default();
        let state = self.state_without(sensor, &[], &state, Some(latest.observed_at));
        known.state = Some(state.await?);
        Ok(Decision {
            known: vec![known],
            ..Decision::default()
        })
    }
}

/// Whether something of this room and time is concerned.
fn is_meant(fate: Fate, room: RoomKey, at: Timestamp) -> bool {
    match fate {
        Fate::Into(_) | Fate::Gone(None) => true,
        Fate::Moved { from, since, to } => {
            at >= since && room != to && from.is_none_or(|from| room == from)
        }
        Fate::Gone(Some(gone)) => room == gone,
    }
}

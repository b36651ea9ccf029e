//! Readings that are durable in the log and not in chunks yet.
//!
//! They gather in one generation; to be settled it is frozen and another begins, so that readings go
//! on coming meanwhile. A query looks here first and in the chunks after that: what it misses here
//! because it has just been settled it finds there.

use super::rows::ReadingRow;
use crate::database::SensorKey;
use crate::domain::{StreamId, Timestamp};
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use tokio::sync::Notify;

/// Bytes in memory at which a generation is worth settling: about 40 000 readings. The more there are
/// of a sensor, the less often its last chunk is written again.
const SETTLE_BYTES: usize = 8 * 1024 * 1024;
/// The same for each sensor there is, about 32 readings, because settling costs about the same for one
/// reading of a sensor as for a hundred.
const SETTLE_BYTES_PER_SENSOR: usize = 32 * size_of::<ReadingRow>();
/// However many sensors there are.
const SETTLE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Generations of readings that may gather while one is being settled; then writing waits.
const GENERATIONS_MAX: usize = 2;

/// The readings in memory, in two generations: one gathers, one is being settled.
#[derive(Debug)]
pub(super) struct Recent {
    generations: RwLock<Generations>,
    /// Told when a generation is worth settling.
    grown: Notify,
    /// Told when one is settled.
    shrunk: Notify,
}

#[derive(Debug, Default)]
struct Generations {
    gathering: Rows,
    settling: Option<Arc<Rows>>,
}

/// The readings of some time of the stream: of each identity the last.
#[derive(Debug, Default)]
pub(super) struct Rows {
    by_sensor: FxHashMap<SensorKey, Vec<ReadingRow>>,
    bytes: usize,
    count: usize,
    last: StreamId,
}

impl Rows {
    /// Takes over a reading that was published under `id`, behind all others.
    pub(super) fn insert(&mut self, id: StreamId, row: ReadingRow) {
        self.last = id;
        self.bytes += row.bytes();
        self.count += 1;
        let rows = self.by_sensor.entry(row.sensor).or_default();
        match rows.last() {
            Some(newest) if newest.observed_at >= row.observed_at => {
                let position = rows.binary_search_by_key(&row.observed_at, |row| row.observed_at);
                match position {
                    Ok(position) => {
                        let before = std::mem::replace(&mut rows[position], row);
                        self.bytes -= before.bytes();
                        self.count -= 1;
                    }
                    Err(position) => rows.insert(position, row),
                }
            }
            _ => rows.push(row),
        }
    }

    /// Readings of a sensor, ascending by time.
    pub(super) fn of(&self, sensor: SensorKey) -> &[ReadingRow] {
        self.by_sensor.get(&sensor).map_or(&[], Vec::as_slice)
    }

    pub(super) fn sensors(&self) -> impl Iterator<Item = SensorKey> + '_ {
        self.by_sensor.keys().copied()
    }

    /// The last id among them.
    pub(super) fn last(&self) -> StreamId {
        self.last
    }

    fn within(&self, sensor: SensorKey, span: &RangeInclusive<Timestamp>) -> &[ReadingRow] {
        let rows = self.of(sensor);
        let first = rows.partition_point(|row| row.observed_at < *span.start());
        let end = rows.partition_point(|row| row.observed_at <= *span.end());
        rows.get(first..end).unwrap_or_default()
    }
}

impl Recent {
    /// Begins with readings that were in the log; so many that they are worth it are settled at once.
    pub(super) fn new(rows: Rows) -> Self {
        let grown = Notify::new();
        if rows.bytes >= SETTLE_BYTES {
            grown.notify_one();
        }
        Self {
            generations: RwLock::new(Generations {
                gathering: rows,
                settling: None,
            }),
            grown,
            shrunk: Notify::new(),
        }
    }

    /// Takes over readings that have just become durable, in the order of their ids.
    pub(super) fn insert(
        &self,
        rows: impl Iterator<Item = (StreamId, ReadingRow)>,
        sensor_count: usize,
    ) {
        let mut generations = self.generations.write();
        for (id, row) in rows {
            generations.gathering.insert(id, row);
        }
        if generations.gathering.bytes >= settle_at(sensor_count) {
            self.grown.notify_one();
        }
    }

    pub(super) fn find(&self, sensor: SensorKey, at: Timestamp) -> Option<ReadingRow> {
        let generations = self.generations.read();
        let mut found = generations
            .newest_first()
            .filter_map(|rows| rows.within(sensor, &(at..=at)).first());
        found.next().cloned()
    }

    /// Readings of a sensor within a span, ascending by time.
    pub(super) fn within(
        &self,
        sensor: SensorKey,
        span: RangeInclusive<Timestamp>,
    ) -> Vec<ReadingRow> {
        let generations = self.generations.read();
        let mut merged: Vec<ReadingRow> = Vec::new();
        for rows in generations.newest_first() {
            let older = rows.within(sensor, &span).to_vec();
            merged = merge(older, merged);
        }
        merged
    }

    /// The newest reading of a sensor within a span, and the first one behind it.
    pub(super) fn newest_within(
        &self,
        sensor: SensorKey,
        span: RangeInclusive<Timestamp>,
    ) -> (Option<ReadingRow>, Option<ReadingRow>) {
        let generations = self.generations.read();
        let mut newest: Option<&ReadingRow> = None;
        let mut next: Option<&ReadingRow> = None;
        for rows in generations.newest_first() {
            // Of two with the same time the one that is seen first is the newer.
            if let Some(row) = rows.within(sensor, &span).last()
                && newest.is_none_or(|newest| newest.observed_at < row.observed_at)
            {
                newest = Some(row);
            }
            let of_sensor = rows.of(sensor);
            let behind = of_sensor.partition_point(|row| row.observed_at <= *span.end());
            if let Some(row) = of_sensor.get(behind)
                && next.is_none_or(|next| row.observed_at < next.observed_at)
            {
                next = Some(row);
            }
        }
        (newest.cloned(), next.cloned())
    }

    /// Times of a sensor's readings within a span; some may come twice.
    pub(super) fn times_within(
        &self,
        sensor: SensorKey,
        span: RangeInclusive<Timestamp>,
    ) -> Vec<Timestamp> {
        let generations = self.generations.read();
        let rows = generations
            .newest_first()
            .flat_map(|rows| rows.within(sensor, &span));
        rows.map(|row| row.observed_at).collect()
    }

    /// How many readings of a sensor are here within a span, at most that many are in no chunk.
    pub(super) fn count_within(&self, sensor: SensorKey, span: RangeInclusive<Timestamp>) -> usize {
        let generations = self.generations.read();
        let counts = generations
            .newest_first()
            .map(|rows| rows.within(sensor, &span).len());
        counts.sum()
    }

    /// Whether there is a reading from before `limit`.
    pub(super) fn has_before(&self, limit: Timestamp) -> bool {
        let generations = self.generations.read();
        let mut oldest = generations.newest_first().flat_map(|rows| {
            let firsts = rows.by_sensor.values().filter_map(|rows| rows.first());
            firsts.map(|row| row.observed_at)
        });
        oldest.any(|time| time < limit)
    }

    /// The readings to be settled: those whose settling did not succeed, or what has gathered.
    pub(super) fn freeze(&self) -> Option<Arc<Rows>> {
        let mut generations = self.generations.write();
        let generations = &mut *generations;
        if generations.settling.is_none() && generations.gathering.bytes > 0 {
            let rows = std::mem::take(&mut generations.gathering);
            generations.gathering.last = rows.last;
            generations.settling = Some(Arc::new(rows));
        }
        generations.settling.clone()
    }

    /// Forgets the frozen readings, which are in chunks now.
    pub(super) fn release(&self) {
        self.generations.write().settling = None;
        self.shrunk.notify_waiters();
    }

    /// How many readings are here.
    pub(super) fn count(&self) -> usize {
        let generations = self.generations.read();
        generations.newest_first().map(|rows| rows.count).sum()
    }

    /// Waits until there is something worth settling.
    pub(super) async fn grown(&self) {
        self.grown.notified().await;
    }

    /// Waits until so few readings are here that more may come.
    pub(super) async fn has_capacity(&self, sensor_count: usize) {
        loop {
            let shrunk = self.shrunk.notified();
            let bytes_max = GENERATIONS_MAX * settle_at(sensor_count);
            if self.generations.read().gathering.bytes < bytes_max {
                return;
            }
            // Nothing is inserted while writing waits, so nothing else would have them settled.
            self.grown.notify_one();
            shrunk.await;
        }
    }
}

impl Generations {
    fn newest_first(&self) -> impl Iterator<Item = &Rows> {
        std::iter::once(&self.gathering).chain(self.settling.as_deref())
    }
}

fn settle_at(sensor_count: usize) -> usize {
    (sensor_count * SETTLE_BYTES_PER_SENSOR).clamp(SETTLE_BYTES, SETTLE_BYTES_MAX)
}

/// Both rows of readings of one sensor as one; of two with the same time the newer.
pub(super) fn merge(older: Vec<ReadingRow>, newer: Vec<ReadingRow>) -> Vec<ReadingRow> {
    if older.is_empty() {
        return newer;
    }
    if newer.is_empty() {
        return older;
    }
    let mut merged = Vec::with_capacity(older.len() + newer.len());
    let mut older = older.into_iter().peekable();
    for row in newer {
        while let Some(before) = older.next_if(|old| old.observed_at < row.observed_at) {
            merged.push(before);
        }
        older.next_if(|old| old.observed_at == row.observed_at);
        merged.push(row);
    }
    merged.extend(older);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::RoomKey;
    use crate::domain::{Extras, Quantity, Values};
    use futures_util::FutureExt;
    use pretty_assertions::assert_eq;

    const SENSOR: SensorKey = SensorKey(1);

    fn row(second: i64, co2: f64) -> ReadingRow {
        let mut values = Values::default();
        assert!(values.set(Quantity::Co2, co2));
        ReadingRow {
            sensor: SENSOR,
            observed_at: at(second),
            room: RoomKey(1),
            values,
            extras: Extras::default(),
            tvoc_unit_assumed: false,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    fn insert(recent: &Recent, sequence: u64, row: ReadingRow) {
        let id = StreamId { epoch: 1, sequence };
        recent.insert(std::iter::once((id, row)), 1);
    }

    #[test]
    fn the_newer_generation_is_seen_before_the_one_being_settled() {
        let recent = Recent::new(Rows::default());
        insert(&recent, 1, row(5, 500.0));
        insert(&recent, 2, row(3, 300.0));
        let frozen = recent.freeze().unwrap();
        insert(&recent, 3, row(5, 501.0));
        insert(&recent, 4, row(4, 400.0));
        let all = || recent.within(SENSOR, at(0)..=at(9));
        assert_eq!(all(), [row(3, 300.0), row(4, 400.0), row(5, 501.0)]);
        assert_eq!(recent.find(SENSOR, at(5)), Some(row(5, 501.0)));
        assert_eq!(recent.find(SENSOR, at(6)), None);

        // What failed to settle is settled first, and it ends where it ended.
        let again = recent.freeze().unwrap();
        assert_eq!(again.last().sequence, 2);
        assert_eq!(again.of(SENSOR), frozen.of(SENSOR));
        recent.release();
        assert_eq!(all(), [row(4, 400.0), row(5, 501.0)]);
        assert_eq!(recent.freeze().unwrap().last().sequence, 4);
        recent.release();
        assert!(recent.freeze().is_none());
    }

    #[test]
    fn what_replaces_a_reading_takes_no_room_of_its_own() {
        let recent = Recent::new(Rows::default());
        for sequence in 1..1_000_000 {
            insert(&recent, sequence, row(1, 500.0));
        }
        assert!(recent.grown().now_or_never().is_none());
        assert!(recent.has_capacity(1).now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_writes_waits_while_too_much_is_not_settled() {
        let recent = Recent::new(Rows::default());
        let enough = SETTLE_BYTES / size_of::<ReadingRow>() + 1;
        let fill = |from: usize| {
            for second in from..from + enough {
                insert(
                    &recent,
                    second as u64 + 1,
                    row(i64::try_from(second).unwrap(), 500.0),
                );
            }
        };
        fill(0);
        recent.grown().await;
        recent.freeze();
        for generation in 1..=GENERATIONS_MAX {
            assert!(recent.has_capacity(1).now_or_never().is_some());
            fill(generation * enough);
        }
        let mut capacity = Box::pin(recent.has_capacity(1));
        assert!(capacity.as_mut().now_or_never().is_none());
        recent.release();
        recent.freeze();
        recent.release();
        capacity.await;
    }

    /// Readings of one sensor, as many as take this much memory.
    fn rows_of(bytes: usize) -> Rows {
        let mut rows = Rows::default();
        for second in 0.. {
            if rows.bytes >= bytes {
                break;
            }
            rows.insert(StreamId::default(), row(second, 500.0));
        }
        rows
    }

    #[test]
    fn a_start_with_much_that_is_not_settled_has_it_settled() {
        let recent = Recent::new(rows_of(SETTLE_BYTES));
        assert!(recent.grown().now_or_never().is_some());
        let recent = Recent::new(rows_of(SETTLE_BYTES - 1024));
        assert!(recent.grown().now_or_never().is_none());
    }

    #[test]
    fn who_waits_for_room_has_something_settled() {
        let recent = Recent::new(rows_of(GENERATIONS_MAX * SETTLE_BYTES));
        assert!(recent.grown().now_or_never().is_some());
        let mut capacity = Box::pin(recent.has_capacity(1));
        assert!(capacity.as_mut().now_or_never().is_none());
        assert!(recent.grown().now_or_never().is_some());
        recent.freeze().unwrap();
        recent.release();
        assert!(capacity.now_or_never().is_some());
    }
}

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
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// How many were settled.
    settled: AtomicU64,
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
    /// Readings of the sensor that has the most.
    longest: usize,
    last: StreamId,
}

/// Readings that are taken over together: by sensor and time, of each identity the last.
#[derive(Debug)]
pub(super) struct Run {
    rows: Vec<ReadingRow>,
    last: Option<StreamId>,
}

impl Run {
    /// Readings as they were published, in the order of their ids.
    pub(super) fn of(rows: impl Iterator<Item = (StreamId, ReadingRow)>) -> Self {
        let mut last = None;
        let mut rows: Vec<_> = rows
            .map(|(id, row)| {
                last = Some(id);
                row
            })
            .collect();
        rows.sort_by_key(|row| (row.sensor, row.observed_at));
        rows.dedup_by(|newer, older| {
            let is_same = (newer.sensor, newer.observed_at) == (older.sensor, older.observed_at);
            if is_same {
                std::mem::swap(newer, older);
            }
            is_same
        });
        Self { rows, last }
    }
}

impl Rows {
    /// Takes over readings that were published behind all others. Those of a sensor are put among the
    /// ones that are here once for all of them, so their order costs no more than one pass.
    pub(super) fn insert(&mut self, run: Run) {
        self.last = run.last.unwrap_or(self.last);
        let mut run = run.rows.into_iter().peekable();
        while let Some(first) = run.peek() {
            let sensor = first.sensor;
            let rows = self.by_sensor.entry(sensor).or_default();
            let known = rows.len();
            while let Some(row) = run.next_if(|row| row.sensor == sensor) {
                self.bytes += row.bytes();
                self.count += 1;
                let is_newest = known == 0 || rows[known - 1].observed_at < row.observed_at;
                let among = rows.get(..known).filter(|_| !is_newest).unwrap_or_default();
                match among.binary_search_by_key(&row.observed_at, |row| row.observed_at) {
                    Ok(position) => {
                        let before = std::mem::replace(&mut rows[position], row);
                        self.bytes -= before.bytes();
                        self.count -= 1;
                    }
                    Err(_) => rows.push(row),
                }
            }
            put_in_order(rows, known);
            self.longest = self.longest.max(rows.len());
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

    /// Whether they are so many generations: all of them, or those of one sensor, which are moved
    /// when others come in between.
    fn has_reached(&self, generations: usize, sensor_count: usize) -> bool {
        let longest_bytes = self.longest * size_of::<ReadingRow>();
        self.bytes >= generations * settle_at(sensor_count)
            || longest_bytes >= generations * SETTLE_BYTES
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
            settled: AtomicU64::new(0),
        }
    }

    /// Takes over readings that have just become durable.
    pub(super) fn insert(&self, run: Run, sensor_count: usize) {
        let mut generations = self.generations.write();
        generations.gathering.insert(run);
        if generations.gathering.has_reached(1, sensor_count) {
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
        self.settled.fetch_add(1, Ordering::Relaxed);
        self.shrunk.notify_waiters();
    }

    /// How many readings are here.
    pub(super) fn count(&self) -> usize {
        let generations = self.generations.read();
        generations.newest_first().map(|rows| rows.count).sum()
    }

    /// How many generations were settled.
    pub(super) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    /// Has settled what there is, however little; says at which number of generations it is.
    pub(super) fn settle_soon(&self) -> u64 {
        let generations = self.generations.read();
        let is_settling = generations.settling.is_some();
        let has_gathered = generations.gathering.bytes > 0;
        if has_gathered {
            self.grown.notify_one();
        }
        self.settled() + u64::from(is_settling) + u64::from(has_gathered)
    }

    /// Waits until there is something worth settling.
    pub(super) async fn grown(&self) {
        self.grown.notified().await;
    }

    /// Whether others have to be settled before more may come.
    fn is_full(&self, sensor_count: usize) -> bool {
        let gathering = &self.generations.read().gathering;
        gathering.has_reached(GENERATIONS_MAX, sensor_count)
    }

    /// Waits until so few readings are here that more may come.
    pub(super) async fn has_capacity(&self, sensor_count: usize) {
        loop {
            let shrunk = self.shrunk.notified();
            if !self.is_full(sensor_count) {
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

/// Puts rows, whose first `known` are ascending and the others as well, in order.
fn put_in_order(rows: &mut [ReadingRow], known: usize) {
    let Some(first) = rows.get(known).map(|row| row.observed_at) else {
        return;
    };
    let from = rows[..known].partition_point(|row| row.observed_at < first);
    // A stable sort finds both runs and merges them.
    if from < known {
        rows[from..].sort_by_key(|row| row.observed_at);
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
mod tests;

//! Reading the past: out of chunks and, for what is not there yet, out of what came last.

use super::Store;
use super::aggregate::{Aggregate, combined};
use super::bucket::{Bucket, BucketFinder};
use super::fold::{Packed, unpacked};
use super::recent::merge;
use super::rows::{BucketRow, ReadingRow};
use crate::database::{Chunk, RoomKey, SensorKey, Series, Span, StoreError};
use crate::domain::{TimeRange, Timestamp};
use rustc_hash::{FxHashMap, FxHashSet};

/// Which history is asked for.
#[derive(Debug, Clone, Default)]
pub struct HistoryQuery {
    pub sensors: Vec<SensorKey>,
    /// Only readings taken in these rooms; `None` for all.
    pub rooms: Option<Vec<RoomKey>>,
}

/// Sensors whose chunks are in memory at once.
pub const SENSORS_AT_ONCE: usize = 128;
/// Bytes of a chunk, unless its readings have many values of their own.
pub const CHUNK_BYTES_USUAL_MAX: usize = 64 * 1024;
/// Rows of chunks that are unpacked where they are asked for, which takes about a tenth of a
/// millisecond; more of them are unpacked on a thread for such work.
const UNPACKED_AT_ONCE_MAX: u64 = 4096;

/// One stored reading.
pub type HistoryRow = ReadingRow;

/// A time, and the series that is read for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    series: Series,
    time: TimeRange,
}

impl Part {
    /// This time of each sensor, by sensor.
    fn spans(&self, sensors: &[SensorKey]) -> Vec<Span> {
        let mut spans: Vec<_> = sensors.iter().map(|sensor| self.span(*sensor)).collect();
        spans.sort_unstable_by_key(|span| span.sensor);
        spans
    }

    fn span(&self, sensor: SensorKey) -> Span {
        let (first, last) = self.time.inclusive().into_inner();
        Span {
            sensor,
            first,
            last,
        }
    }
}

/// A time in parts: whole buckets of `series` in the middle, finer ones at the ends.
fn cover(series: Series, time: TimeRange, parts: &mut Vec<Part>) {
    if time.is_empty() {
        return;
    }
    let Some(finer) = series.finer() else {
        parts.push(Part { series, time });
        return;
    };
    let width = series.width_ms();
    let whole_start = time
        .start
        .millis()
        .saturating_add(width - 1)
        .div_euclid(width)
        * width;
    let whole = TimeRange::new(Timestamp::from_millis(whole_start), series.start(time.end));
    if whole.is_empty() {
        cover(finer, time, parts);
        return;
    }
    cover(finer, TimeRange::new(time.start, whole.start), parts);
    parts.push(Part {
        series,
        time: whole,
    });
    cover(finer, TimeRange::new(whole.end, time.end), parts);
}

impl Store {
    /// Readings of a time, by time and sensor. `None` when they, or those of them that
    /// are read in vain, take more than `bytes_max`: ask for less time.
    pub async fn history(
        &self,
        query: &HistoryQuery,
        time: TimeRange,
        bytes_max: usize,
    ) -> Result<Option<Vec<HistoryRow>>, StoreError> {
        let part = Part {
            series: Series::Readings,
            time: time.starting_from(self.removed_to()),
        };
        let mut rows = Vec::new();
        if part.time.is_empty() {
            return Ok(Some(rows));
        }
        let mut left = BytesLeft(bytes_max);
        for sensors in query.sensors.chunks(SENSORS_AT_ONCE) {
            let spans = part.spans(sensors);
            let Some(readings) = self.readings_in(&spans, &mut left).await? else {
                return Ok(None);
            };
            for (_, of_sensor) in readings {
                rows.extend(of_sensor.into_iter().filter(|row| query.includes(row.room)));
            }
        }
        if query.sensors.len() > 1 {
            rows.sort_by_key(|row| (row.observed_at, row.sensor));
        }
        Ok(Some(rows))
    }

    /// Buckets of the readings of a time, by start, sensor and room. `None` when what
    /// they are made of takes more than `bytes_max`: ask for less time.
    pub async fn buckets(
        &self,
        query: &HistoryQuery,
        bucket: &Bucket,
        time: TimeRange,
        bytes_max: usize,
    ) -> Result<Option<Vec<BucketRow>>, StoreError> {
        let mut rows = Vec::new();
        let mut left = BytesLeft(bytes_max);
        let series = bucket.series(time);
        let mut finder = BucketFinder::new(bucket);
        for sensors in query.sensors.chunks(SENSORS_AT_ONCE) {
            let parts = self.parts_within(sensors, series, time, &mut left);
            let Some(parts) = parts.await? else {
                return Ok(None);
            };
            for (_, parts) in parts {
                let wanted = parts.into_iter().filter(|part| query.includes(part.room));
                let parts = wanted.map(|mut part| {
                    part.start = finder.start(part.start);
                    part
                });
                rows.extend(combined(parts.collect()));
            }
        }
        if query.sensors.len() > 1 {
            rows.sort_by_key(BucketRow::order);
        }
        Ok(Some(rows))
    }

    /// The same buckets, however much they are made of: what takes more than `bytes_max` is read and
    /// put together piece by piece. It is for a few buckets only.
    pub async fn large_buckets(
        &self,
        query: &HistoryQuery,
        bucket: &Bucket,
        time: TimeRange,
        bytes_max: usize,
    ) -> Result<Vec<BucketRow>, StoreError> {
        let mut rows = Vec::new();
        let mut left = time;
        let mut width_ms = i64::try_from(time.width_ms()).unwrap_or(i64::MAX);
        while !left.is_empty() {
            let end = left.start.millis().saturating_add(width_ms);
            let end = Timestamp::from_millis(end).min(left.end);
            let piece = TimeRange::new(left.start, end);
            let bytes_max = if width_ms > 1 { bytes_max } else { usize::MAX };
            match self.buckets(query, bucket, piece, bytes_max).await? {
                Some(more) => {
                    rows.extend(more);
                    rows = combined(rows);
                    left.start = end;
                    width_ms = width_ms.saturating_mul(2);
                }
                None => width_ms /= 2,
            }
        }
        Ok(rows)
    }

    /// About how many readings there are of a time: not too few.
    pub async fn reading_count(
        &self,
        query: &HistoryQuery,
        time: TimeRange,
    ) -> Result<u64, StoreError> {
        let part = Part {
            series: Series::Readings,
            time: time.starting_from(self.removed_to()),
        };
        if part.time.is_empty() {
            return Ok(0);
        }
        let spans = part.spans(&query.sensors);
        let recent = spans.iter().map(|span| {
            let count = self
                .recent
                .count_within(span.sensor, span.first..=span.last);
            count as u64
        });
        let recent: u64 = recent.sum();
        let heads = self.database.chunk_heads(Series::Readings, &spans).await?;
        let overlapping = heads
            .iter()
            .filter(|head| head.start < part.time.end && head.end >= part.time.start);
        Ok(recent + overlapping.map(|head| u64::from(head.rows)).sum::<u64>())
    }

    /// The stored readings at some times of some sensors, whatever room they were taken in.
    pub async fn find(
        &self,
        places: &[(Timestamp, SensorKey, RoomKey)],
    ) -> Result<Vec<HistoryRow>, StoreError> {
        let identities: Vec<_> = places
            .iter()
            .map(|(at, sensor, _)| (*sensor, *at))
            .collect();
        self.find_identities(&identities).await
    }

    /// The stored readings among the identities asked for.
    pub(super) async fn find_identities(
        &self,
        identities: &[(SensorKey, Timestamp)],
    ) -> Result<Vec<ReadingRow>, StoreError> {
        let mut found = Vec::new();
        let mut elsewhere = FxHashSet::default();
        for (sensor, at) in identities {
            match self.recent.find(*sensor, *at) {
                Some(row) => found.push(row),
                None => {
                    elsewhere.insert((*sensor, *at));
                }
            }
        }
        if elsewhere.is_empty() {
            return Ok(found);
        }
        let mut spans: Vec<_> = elsewhere
            .iter()
            .map(|(sensor, at)| Span {
                sensor: *sensor,
                first: *at,
                last: *at,
            })
            .collect();
        spans.sort_unstable_by_key(|span| (span.sensor, span.first));
        let chunks = self.database.chunks(Series::Readings, &spans, usize::MAX);
        for chunk in chunks.await?.unwrap_or_default() {
            let rows: Vec<ReadingRow> = unpacked(&chunk, chunk.head.start, chunk.head.end)?;
            let wanted = rows
                .into_iter()
                .filter(|row| elsewhere.contains(&(row.sensor, row.observed_at)));
            found.extend(wanted);
        }
        Ok(found)
    }

    /// What the readings of a time are put together from: for each sensor roll-ups up to `coarsest`, and
    /// readings where those are not up to date or would be too wide.
    pub(super) async fn parts(
        &self,
        sensors: &[SensorKey],
        coarsest: Series,
        time: TimeRange,
    ) -> Result<Vec<(SensorKey, Vec<BucketRow>)>, StoreError> {
        let mut left = BytesLeft(usize::MAX);
        let parts = self.parts_within(sensors, coarsest, time, &mut left);
        Ok(parts.await?.unwrap_or_default())
    }

    /// The same, or `None` when they take more bytes than are left.
    async fn parts_within(
        &self,
        sensors: &[SensorKey],
        coarsest: Series,
        time: TimeRange,
        left: &mut BytesLeft,
    ) -> Result<Option<Vec<(SensorKey, Vec<BucketRow>)>>, StoreError> {
        let mut parts = Vec::new();
        cover(coarsest, time, &mut parts);
        let mut collected: FxHashMap<SensorKey, Vec<BucketRow>> = FxHashMap::default();
        let mut of_readings = Vec::new();
        let removed_to = self.removed_to();
        for part in &parts {
            if part.series == Series::Readings {
                let time = part.time.starting_from(removed_to);
                let part = Part { time, ..*part };
                if !part.time.is_empty() {
                    of_readings.extend(part.spans(sensors));
                }
                continue;
            }
            let stale = self.stale(sensors, part);
            of_readings.extend(stale.iter().flat_map(|(sensor, starts)| {
                let width = part.series.width_ms();
                joined(*sensor, starts, width)
            }));
            let spans = part.spans(sensors);
            let buckets = self.unpacked_in::<BucketRow>(part.series, &spans, left);
            let Some(buckets) = buckets.await? else {
                return Ok(None);
            };
            for (sensor, mut buckets) in buckets {
                if let Some(starts) = stale.get(&sensor) {
                    buckets.retain(|bucket| starts.binary_search(&bucket.start).is_err());
                }
                collected.entry(sensor).or_default().extend(buckets);
            }
        }
        of_readings.sort_unstable_by_key(|span| (span.sensor, span.first));
        let Some(readings) = self.readings_in(&of_readings, left).await? else {
            return Ok(None);
        };
        for (sensor, rows) in readings {
            let rows: Vec<_> = rows.iter().map(|row| row.bucket(row.observed_at)).collect();
            if !left.takes(&rows) {
                return Ok(None);
            }
            collected.entry(sensor).or_default().extend(rows);
        }
        let mut collected: Vec<_> = collected.into_iter().collect();
        collected.sort_unstable_by_key(|(sensor, _)| *sensor);
        Ok(Some(collected))
    }

    /// The buckets of a part that have readings which are not settled, by their starts, ascending.
    fn stale(&self, sensors: &[SensorKey], part: &Part) -> FxHashMap<SensorKey, Vec<Timestamp>> {
        let stale = sensors.iter().filter_map(|sensor| {
            let span = part.span(*sensor);
            let times = self.recent.times_within(*sensor, span.first..=span.last);
            let mut starts: Vec<_> = times.iter().map(|time| part.series.start(*time)).collect();
            starts.sort_unstable();
            starts.dedup();
            (!starts.is_empty()).then_some((*sensor, starts))
        });
        stale.collect()
    }

    /// Readings in the spans, settled or not, by sensor and in each ascending by time; `None` when they
    /// take more bytes than are left. Spans come by sensor and time and do not overlap.
    async fn readings_in(
        &self,
        spans: &[Span],
        left: &mut BytesLeft,
    ) -> Result<Option<Vec<(SensorKey, Vec<ReadingRow>)>>, StoreError> {
        // First here, then there: what is settled in between is in both.
        let mut recent: FxHashMap<SensorKey, Vec<ReadingRow>> = FxHashMap::default();
        for span in spans {
            let rows = self.recent.within(span.sensor, span.first..=span.last);
            if !left.takes(&rows) {
                return Ok(None);
            }
            if !rows.is_empty() {
                recent.entry(span.sensor).or_default().extend(rows);
            }
        }
        let Some(settled) = self.unpacked_in(Series::Readings, spans, left).await? else {
            return Ok(None);
        };
        let mut readings = Vec::new();
        for (sensor, older) in settled {
            let newer = recent.remove(&sensor).unwrap_or_default();
            readings.push((sensor, merge(older, newer)));
        }
        readings.extend(recent);
        readings.sort_unstable_by_key(|(sensor, _)| *sensor);
        Ok(Some(readings))
    }

    /// What chunks have in the spans, by sensor and in each ascending; `None` when that takes more
    /// bytes than are left. Spans come by sensor and time and do not overlap.
    async fn unpacked_in<T: Packed + Send + 'static>(
        &self,
        series: Series,
        spans: &[Span],
        left: &mut BytesLeft,
    ) -> Result<Option<Vec<(SensorKey, Vec<T>)>>, StoreError> {
        if spans.is_empty() {
            return Ok(Some(Vec::new()));
        }
        // Even of a short time every sensor's chunk is read as a whole.
        let whole_chunks = spans.len().saturating_mul(CHUNK_BYTES_USUAL_MAX);
        let payload_bytes_max = left.0.saturating_add(whole_chunks);
        let chunks = self.database.chunks(series, spans, payload_bytes_max);
        let Some(chunks) = chunks.await? else {
            return Ok(None);
        };
        let rows: u64 = chunks.iter().map(|chunk| u64::from(chunk.head.rows)).sum();
        if rows <= UNPACKED_AT_ONCE_MAX {
            return all_unpacked(&chunks, spans, left);
        }
        let (spans, mut remaining) = (spans.to_vec(), *left);
        // Connections of this thread are not to wait for it.
        let unpacking = tokio::task::spawn_blocking(move || {
            all_unpacked(&chunks, &spans, &mut remaining).map(|rows| (rows, remaining))
        });
        let (rows, remaining) = unpacking
            .await
            .map_err(|error| StoreError::Unusable(format!("unpacking broke off: {error}")))??;
        *left = remaining;
        Ok(rows)
    }
}

type RowsBySensor<T> = Vec<(SensorKey, Vec<T>)>;

/// The rows of chunks that lie in the spans; `None` when they take more bytes than are left.
fn all_unpacked<T: Packed>(
    chunks: &[Chunk],
    spans: &[Span],
    left: &mut BytesLeft,
) -> Result<Option<RowsBySensor<T>>, StoreError> {
    let mut collected: RowsBySensor<T> = Vec::new();
    for chunk in chunks {
        let head = chunk.head;
        let first =
            spans.partition_point(|span| (span.sensor, span.last) < (head.sensor, head.start));
        let overlapping = spans
            .get(first..)
            .unwrap_or_default()
            .iter()
            .take_while(|span| span.sensor == head.sensor && span.first <= head.end);
        for span in overlapping {
            let rows = unpacked(chunk, span.first, span.last)?;
            if !left.takes(&rows) {
                return Ok(None);
            }
            match collected.last_mut() {
                Some((sensor, before)) if *sensor == head.sensor => before.extend(rows),
                _ => collected.push((head.sensor, rows)),
            }
        }
    }
    Ok(Some(collected))
}

/// Bytes that rows may still take.
#[derive(Debug, Clone, Copy)]
struct BytesLeft(usize);

impl BytesLeft {
    /// Whether these still fit, whose bytes then are theirs.
    fn takes<T: Packed>(&mut self, rows: &[T]) -> bool {
        let bytes = rows.iter().map(Packed::bytes).sum();
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or_default();
        left.is_some()
    }
}

impl HistoryQuery {
    fn includes(&self, room: RoomKey) -> bool {
        self.rooms
            .as_ref()
            .is_none_or(|rooms| rooms.contains(&room))
    }
}

/// Buckets of one width by their starts as few spans.
fn joined(sensor: SensorKey, starts: &[Timestamp], width_ms: i64) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for start in starts {
        let last = Timestamp::from_millis(start.millis() + width_ms - 1);
        match spans.last_mut() {
            Some(span) if span.last.millis() + 1 == start.millis() => span.last = last,
            _ => spans.push(Span {
                sensor,
                first: *start,
                last,
            }),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    proptest! {
        #[test]
        fn parts_follow_each_other_in_whole_buckets_and_none_is_finer_than_it_must_be(
            from in 0..400_000_000_i64,
            width in 1..400_000_000_i64,
            coarsest in prop::sample::select(&Series::ALL),
        ) {
            let time = TimeRange::new(at(from), at(from + width));
            let mut parts = Vec::new();
            cover(coarsest, time, &mut parts);
            let mut next = time.start;
            for Part { series, time } in parts {
                prop_assert_eq!(time.start, next);
                prop_assert!(!time.is_empty() && series <= coarsest);
                prop_assert_eq!(series.start(time.start), time.start);
                prop_assert_eq!(series.start(time.end), time.end);
                next = time.end;
                // A bucket of the next series does not fit into it.
                if let Some(coarser) = series.coarser().filter(|coarser| *coarser <= coarsest) {
                    let first = coarser.start(at(time.start.millis() + coarser.width_ms() - 1));
                    prop_assert!(first.millis() + coarser.width_ms() > time.end.millis());
                }
            }
            prop_assert_eq!(next, time.end);
        }
    }

    #[test]
    fn neighbours_are_joined() {
        let span = |first, last| Span {
            sensor: SensorKey(1),
            first: at(first),
            last: at(last),
        };
        let starts = [0, 10, 30, 40].map(at);
        assert_eq!(
            joined(SensorKey(1), &starts, 10),
            [span(0, 19), span(30, 49)]
        );
    }
}

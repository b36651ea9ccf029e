//! Where new rows go among packed ones: the arithmetic of settling, without a database.
//!
//! Rows come as changes: everything of a sensor at some times is replaced by other rows. For readings
//! the times are those of the new readings; for a roll-up they are the starts of the buckets that have
//! any of them, which are made again from the finer rows. Nothing is ever added to a stored sum, so
//! late, repeated and merged readings need no care of their own.
//!
//! A bucket of which finer rows are gone cannot be made again. That is never asked for while retention
//! goes by a right clock; where it is all the same, what is new is added to what the bucket has.

use super::aggregate::{Aggregate, bucketed, combined};
use super::pack::{self, PackError};
use super::rows::{BucketRow, ReadingRow};
use crate::database::{Chunk, ChunkHead, SensorKey, Series, Span, StoreError};
use crate::domain::Timestamp;

/// Rows of one sensor that take the place of all rows at some times.
#[derive(Debug)]
pub(super) struct Change<T> {
    pub(super) sensor: SensorKey,
    /// Ascending, each once.
    pub(super) times: Vec<Timestamp>,
    /// At those times only, ascending.
    pub(super) rows: Vec<T>,
    /// What the rows were made of before, when they are made of finer ones.
    pub(super) before: Option<Before<T>>,
}

/// Tells whether buckets still have everything they were made of.
#[derive(Debug)]
pub(super) struct Before<T> {
    /// Number of readings in the finer rows, one for each time.
    pub(super) readings: Vec<u64>,
    /// Buckets made of the newly added finer rows only, ascending. Empty for a time without finer rows
    /// before: there the rows of the change already are these.
    pub(super) new: Vec<T>,
}

/// What a change does to the chunks of its series.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// Starts of chunks that go.
    pub(super) removed: Vec<Timestamp>,
    pub(super) written: Vec<Chunk>,
}

/// A row that is kept in chunks.
pub(super) trait Packed: Aggregate + Clone {
    fn time(&self) -> Timestamp;
    /// How many readings it stands for.
    fn readings(&self) -> u64;
    /// Rows of the same time as one for each room.
    fn joined(rows: Vec<Self>) -> Vec<Self>
    where
        Self: Sized;
    /// Bytes it takes in memory, about.
    fn bytes(&self) -> usize;
    fn pack(rows: &[Self]) -> Vec<u8>;
    fn unpack(
        sensor: SensorKey,
        payload: &[u8],
        first: Timestamp,
        last: Timestamp,
    ) -> Result<Vec<Self>, PackError>
    where
        Self: Sized;
}

impl Packed for ReadingRow {
    fn time(&self) -> Timestamp {
        self.observed_at
    }

    fn readings(&self) -> u64 {
        1
    }

    fn joined(rows: Vec<Self>) -> Vec<Self> {
        rows
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }

    fn pack(rows: &[Self]) -> Vec<u8> {
        pack::pack_readings(rows)
    }

    fn unpack(
        sensor: SensorKey,
        payload: &[u8],
        first: Timestamp,
        last: Timestamp,
    ) -> Result<Vec<Self>, PackError> {
        pack::unpack_readings(sensor, payload, first, last)
    }
}

impl Packed for BucketRow {
    fn time(&self) -> Timestamp {
        self.start
    }

    fn readings(&self) -> u64 {
        u64::from(self.readings)
    }

    fn joined(rows: Vec<Self>) -> Vec<Self> {
        combined(rows)
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }

    fn pack(rows: &[Self]) -> Vec<u8> {
        pack::pack_buckets(rows)
    }

    fn unpack(
        sensor: SensorKey,
        payload: &[u8],
        first: Timestamp,
        last: Timestamp,
    ) -> Result<Vec<Self>, PackError> {
        pack::unpack_buckets(sensor, payload, first, last)
    }
}

/// The rows of a chunk within a span.
pub(super) fn unpacked<T: Packed>(
    chunk: &Chunk,
    first: Timestamp,
    last: Timestamp,
) -> Result<Vec<T>, StoreError> {
    T::unpack(chunk.head.sensor, &chunk.payload, first, last)
        .map_err(|error| StoreError::corrupt("chunks", error.to_string()))
}

/// The times of which every row is needed to make a change: its own and, where a coarser series is
/// made of this one, the buckets they lie in.
pub(super) fn spans<T>(series: Series, change: &Change<T>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for time in &change.times {
        let (first, last) = match series.coarser() {
            Some(coarser) => {
                let start = coarser.start(*time);
                let last = start.millis() + coarser.width_ms() - 1;
                (start, Timestamp::from_millis(last))
            }
            None => (*time, *time),
        };
        match spans.last_mut() {
            Some(span) if first.millis() <= span.last.millis().saturating_add(1) => {
                span.last = span.last.max(last);
            }
            _ => spans.push(Span {
                sensor: change.sensor,
                first,
                last,
            }),
        }
    }
    spans
}

/// Rows from the start of one chunk up to that of the next.
struct Piece<T> {
    start: Timestamp,
    /// The chunk that the rows come from and that goes when they change.
    head: Option<ChunkHead>,
    rows: Vec<T>,
    changed: bool,
}

/// Makes a change in the chunks of its sensor, and the change that follows from it for the coarser
/// series. `heads` are those of every chunk that overlaps the [`spans`] of the change and of the last
/// chunk before each span, by start. So no chunk is unknown that starts between a head and a time of
/// the change behind it, and chunks never come to overlap. `chunks` are all that overlap a span, and
/// those of the others that may grow.
pub(super) fn fold<T: Packed>(
    series: Series,
    change: Change<T>,
    heads: &[ChunkHead],
    chunks: &[Chunk],
) -> Result<(Folded, Option<Change<BucketRow>>), StoreError> {
    let mut pieces = pieces(&spans(series, &change), heads, chunks)?;
    let sensor = change.sensor;
    let times = change.times.clone();
    let before = series
        .coarser()
        .map(|coarser| counted(coarser, &times, &pieces));
    place(change, &mut pieces);
    let coarser = series.coarser().zip(before);
    let coarser =
        coarser.map(|(coarser, before)| coarser_change(coarser, sensor, &times, &before, &pieces));
    let mut folded = Folded::default();
    for piece in pieces.iter().filter(|piece| piece.changed) {
        write(series, sensor, piece, &mut folded);
    }
    Ok((folded, coarser))
}

/// The rows of chunks; and none for what comes before all of them, or behind one that is not among
/// `chunks`, which gets a chunk of its own.
fn pieces<T: Packed>(
    spans: &[Span],
    heads: &[ChunkHead],
    chunks: &[Chunk],
) -> Result<Vec<Piece<T>>, StoreError> {
    let mut pieces = vec![Piece {
        start: Timestamp::from_millis(i64::MIN),
        head: None,
        rows: Vec::new(),
        changed: false,
    }];
    for (position, head) in heads.iter().enumerate() {
        let mut start = head.start;
        if position == 0 {
            // No chunk is between the start of a span and the first chunk in it, which so may grow there.
            let around = spans.iter().find(|span| span.last >= start);
            start = around.map_or(start, |span| start.min(span.first));
        }
        let found = chunks.binary_search_by_key(&head.start, |chunk| chunk.head.start);
        let chunk = found.ok().and_then(|position| chunks.get(position));
        let rows = chunk.map(|chunk| unpacked(chunk, head.start, head.end));
        pieces.push(Piece {
            start,
            head: chunk.map(|chunk| chunk.head),
            rows: rows.transpose()?.unwrap_or_default(),
            changed: false,
        });
    }
    Ok(pieces)
}

/// Puts each changed time into the piece it belongs to: the last that starts at or before it.
fn place<T: Packed>(mut change: Change<T>, pieces: &mut [Piece<T>]) {
    if let Some(before) = change.before.take() {
        keep_what_is_lost(&mut change, &before, pieces);
    }
    let mut times = change.times.into_iter().peekable();
    let mut rows = change.rows.into_iter().peekable();
    for position in 0..pieces.len() {
        let end = pieces.get(position + 1).map(|next| next.start);
        let ours = |time: Timestamp| end.is_none_or(|end| time < end);
        let mut here = Vec::new();
        while let Some(time) = times.next_if(|time| ours(*time)) {
            here.push(time);
        }
        if here.is_empty() {
            continue;
        }
        let mut new = Vec::new();
        while let Some(row) = rows.next_if(|row| ours(row.time())) {
            new.push(row);
        }
        let piece = &mut pieces[position];
        piece.rows = replaced(std::mem::take(&mut piece.rows), &here, new);
        piece.changed = true;
    }
}

/// Where a bucket has more readings than the finer rows it was made of, those are gone: then it stays
/// and only what is new comes to it.
fn keep_what_is_lost<T: Packed>(change: &mut Change<T>, before: &Before<T>, pieces: &[Piece<T>]) {
    for (time, readings_before) in change.times.iter().zip(&before.readings) {
        // Pieces and their rows are by time, and a piece has all rows of its last time.
        let piece = pieces.iter().rfind(|piece| {
            let first = piece.rows.first();
            first.is_some_and(|row| row.time() <= *time)
        });
        let stored = piece.map_or(&[][..], |piece| at(&piece.rows, *time));
        let readings_stored: u64 = stored.iter().map(Packed::readings).sum();
        if readings_stored <= *readings_before {
            continue;
        }
        let new = if *readings_before == 0 {
            at(&change.rows, *time)
        } else {
            at(&before.new, *time)
        };
        let kept = stored.iter().chain(new).cloned();
        let kept = T::joined(kept.collect());
        let first = change.rows.partition_point(|row| row.time() < *time);
        let end = change.rows.partition_point(|row| row.time() <= *time);
        change.rows.splice(first..end, kept);
    }
}

/// The rows of one time.
fn at<T: Packed>(rows: &[T], time: Timestamp) -> &[T] {
    let first = rows.partition_point(|row| row.time() < time);
    let end = rows.partition_point(|row| row.time() <= time);
    rows.get(first..end).unwrap_or_default()
}

/// What there is before a change, of what it touches.
struct Counted {
    /// Number of readings in each coarser bucket, by start.
    readings: Vec<u64>,
    /// The changed times that have a row.
    times: Vec<Timestamp>,
}

fn counted<T: Packed>(coarser: Series, times: &[Timestamp], pieces: &[Piece<T>]) -> Counted {
    let starts = starts(coarser, times);
    let mut counted = Counted {
        readings: vec![0; starts.len()],
        times: Vec::new(),
    };
    for row in pieces.iter().flat_map(|piece| &piece.rows) {
        if let Ok(position) = starts.binary_search(&coarser.start(row.time())) {
            counted.readings[position] += row.readings();
            if times.binary_search(&row.time()).is_ok() {
                counted.times.push(row.time());
            }
        }
    }
    counted
}

fn starts(coarser: Series, times: &[Timestamp]) -> Vec<Timestamp> {
    let mut starts: Vec<_> = times.iter().map(|time| coarser.start(*time)).collect();
    starts.dedup();
    starts
}

/// `old` without everything at `times`, and `new` instead.
fn replaced<T: Packed>(old: Vec<T>, times: &[Timestamp], new: Vec<T>) -> Vec<T> {
    let mut rows = Vec::with_capacity(old.len() + new.len());
    let mut new = new.into_iter().peekable();
    for row in old {
        let time = row.time();
        while let Some(before) = new.next_if(|new| new.time() <= time) {
            rows.push(before);
        }
        if times.binary_search(&time).is_err() {
            rows.push(row);
        }
    }
    rows.extend(new);
    rows
}

/// Makes the coarser buckets that have any of `times` again.
fn coarser_change<T: Packed>(
    coarser: Series,
    sensor: SensorKey,
    times: &[Timestamp],
    before: &Counted,
    pieces: &[Piece<T>],
) -> Change<BucketRow> {
    let starts = starts(coarser, times);
    let rows = pieces.iter().flat_map(|piece| &piece.rows);
    let touched = rows.filter_map(|row| {
        let start = coarser.start(row.time());
        starts.binary_search(&start).is_ok().then_some((start, row))
    });
    let touched: Vec<_> = touched.collect();
    let had_readings = |start: &Timestamp| {
        let position = starts.binary_search(start);
        position.is_ok_and(|position| before.readings[position] > 0)
    };
    let is_new = |row: &T| {
        let (time, had) = (row.time(), &before.times);
        times.binary_search(&time).is_ok() && had.binary_search(&time).is_err()
    };
    let new = touched.iter().copied();
    let new = new.filter(|(start, row)| had_readings(start) && is_new(row));
    let before = Before {
        readings: before.readings.clone(),
        new: bucketed(new),
    };
    Change {
        sensor,
        rows: bucketed(touched.into_iter()),
        times: starts,
        before: Some(before),
    }
}

/// Cuts a piece into chunks. What only grew at its end is filled up; what grew inside is cut evenly,
/// so that more fit in.
fn write<T: Packed>(series: Series, sensor: SensorKey, piece: &Piece<T>, folded: &mut Folded) {
    let rows_max = series.chunk_rows_max();
    let len = piece.rows.len();
    folded.removed.extend(piece.head.map(|head| head.start));
    let grew_at_end = piece.head.is_none_or(|head| {
        let before = usize::try_from(head.rows).unwrap_or(usize::MAX);
        let last_before = before.checked_sub(1).and_then(|last| piece.rows.get(last));
        last_before.is_some_and(|row| row.time() == head.end)
    });
    let each = if grew_at_end {
        rows_max
    } else {
        len.div_ceil(len.div_ceil(rows_max).max(1)).max(1)
    };
    let mut rest = piece.rows.as_slice();
    while !rest.is_empty() {
        // Rows of one time stay together: chunks are told apart by their times.
        let mut cut = each.min(rest.len());
        while cut < rest.len() && rest[cut].time() == rest[cut - 1].time() {
            cut += 1;
        }
        let (rows, after) = rest.split_at(cut);
        rest = after;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return;
        };
        folded.written.push(Chunk {
            head: ChunkHead {
                sensor,
                start: first.time(),
                end: last.time(),
                rows: u32::try_from(rows.len()).unwrap_or(u32::MAX),
            },
            payload: T::pack(rows),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::RoomKey;
    use crate::domain::{Extras, Quantity, Values};
    use pretty_assertions::assert_eq;

    const SENSOR: SensorKey = SensorKey(1);

    fn reading(second: i64, co2: f64) -> ReadingRow {
        let mut values = Values::default();
        assert!(values.set(Quantity::Co2, co2));
        ReadingRow {
            sensor: SENSOR,
            observed_at: Timestamp::from_millis(second * 1000),
            room: RoomKey(1),
            values,
            extras: Extras::default(),
            tvoc_unit_assumed: false,
        }
    }

    fn change(seconds: impl Iterator<Item = i64>, co2: f64) -> Change<ReadingRow> {
        let rows: Vec<_> = seconds.map(|second| reading(second, co2)).collect();
        Change {
            sensor: SENSOR,
            times: rows.iter().map(|row| row.observed_at).collect(),
            rows,
            before: None,
        }
    }

    fn heads(chunks: &[Chunk]) -> Vec<ChunkHead> {
        chunks.iter().map(|chunk| chunk.head).collect()
    }

    /// Rows of each chunk after a change.
    fn folded(change: Change<ReadingRow>, chunks: &mut Vec<Chunk>) -> Vec<u32> {
        let (folded, _) = fold(Series::Readings, change, &heads(chunks), chunks).unwrap();
        chunks.retain(|chunk| !folded.removed.contains(&chunk.head.start));
        chunks.extend(folded.written);
        chunks.sort_by_key(|chunk| chunk.head.start);
        chunks.iter().map(|chunk| chunk.head.rows).collect()
    }

    #[test]
    fn what_comes_behind_fills_the_last_chunk_up() {
        let mut chunks = Vec::new();
        assert_eq!(folded(change(0..1000, 500.0), &mut chunks), [1000]);
        assert_eq!(folded(change(1000..1100, 500.0), &mut chunks), [1024, 76]);
    }

    #[test]
    fn what_comes_between_cuts_a_full_chunk_evenly() {
        let mut chunks = Vec::new();
        let even = (0..2048).map(|second| 2 * second);
        assert_eq!(folded(change(even, 500.0), &mut chunks), [1024, 1024]);
        let late = change(std::iter::once(101), 600.0);
        assert_eq!(folded(late, &mut chunks), [513, 512, 1024]);
        let starts_and_ends: Vec<_> = chunks
            .iter()
            .map(|chunk| (chunk.head.start.millis(), chunk.head.end.millis()))
            .collect();
        assert!(starts_and_ends.is_sorted_by(|a, b| a.1 < b.0));
    }

    /// One chunk is behind a gap and not looked into; what is new lies at both sides of it.
    #[test]
    fn what_comes_around_a_chunk_stays_around_it() {
        for has_space in [true, false] {
            let mut chunks = Vec::new();
            folded(change(0..10, 500.0), &mut chunks);
            let between = if has_space { 1000..1001 } else { 1000..2024 };
            let far = change(between.clone(), 500.0);
            let (far, _) = fold(Series::Readings, far, &[], &[]).unwrap();
            chunks.extend(far.written);
            let known = heads(&chunks);
            let looked_into = if has_space { &chunks[..] } else { &chunks[..1] };
            let around = change([5, 700, 3000].into_iter(), 600.0);
            let (new, _) = fold(Series::Readings, around, &known, looked_into).unwrap();
            chunks.retain(|chunk| !new.removed.contains(&chunk.head.start));
            chunks.extend(new.written);
            chunks.sort_by_key(|chunk| chunk.head.start);
            let seconds = |at: Timestamp| at.millis() / 1000;
            let ends: Vec<_> = chunks
                .iter()
                .map(|chunk| (seconds(chunk.head.start), seconds(chunk.head.end)))
                .collect();
            if has_space {
                assert_eq!(ends, [(0, 700), (1000, 3000)]);
            } else {
                assert_eq!(ends, [(0, 700), (1000, 2023), (3000, 3000)]);
            }
        }
    }

    #[test]
    fn what_comes_just_before_the_first_chunk_goes_into_it_and_what_comes_long_before_does_not() {
        let mut chunks = Vec::new();
        folded(change(600..610, 500.0), &mut chunks);
        assert_eq!(folded(change(590..600, 500.0), &mut chunks), [10, 10]);
        let in_its_minute = change(588..590, 500.0);
        assert_eq!(folded(in_its_minute, &mut chunks), [12, 10]);
    }

    #[test]
    fn a_reading_takes_the_place_of_the_one_at_its_time_and_its_minute_is_made_again() {
        let mut chunks = Vec::new();
        folded(change(0..120, 500.0), &mut chunks);
        let newer = change(std::iter::once(70), 800.0);
        let (folded, minutes) = fold(Series::Readings, newer, &heads(&chunks), &chunks).unwrap();
        let rows: Vec<ReadingRow> = unpacked(
            &folded.written[0],
            Timestamp::from_millis(70_000),
            Timestamp::from_millis(70_000),
        )
        .unwrap();
        assert_eq!(rows, [reading(70, 800.0)]);
        let minutes = minutes.unwrap();
        assert_eq!(minutes.times, [Timestamp::from_millis(60_000)]);
        assert_eq!(minutes.rows.len(), 1);
        assert_eq!(minutes.rows[0].readings, 60);
        let co2 = crate::store::Measure::Quantity(Quantity::Co2);
        let co2 = minutes.rows[0].get(co2).unwrap();
        assert_eq!((co2.count, co2.min, co2.max), (60, 500.0, 800.0));
        let mean = (59.0 * 500.0 + 800.0) / 60.0;
        assert_eq!(co2.mean().to_bits(), f64::to_bits(mean));
    }

    #[test]
    fn a_bucket_that_nothing_is_left_of_goes() {
        let bucket = |room| BucketRow {
            room: RoomKey(room),
            ..reading(0, 500.0).bucket(Timestamp::from_millis(0))
        };
        let at = Timestamp::from_millis(0);
        let both = Change {
            sensor: SENSOR,
            times: vec![at],
            rows: vec![bucket(1), bucket(2)],
            before: None,
        };
        let (before, _) = fold(Series::Days, both, &[], &[]).unwrap();
        let moved = Change {
            sensor: SENSOR,
            times: vec![at],
            rows: vec![bucket(2)],
            before: None,
        };
        let (after, _) = fold(
            Series::Days,
            moved,
            &heads(&before.written),
            &before.written,
        )
        .unwrap();
        let rows: Vec<BucketRow> = unpacked(&after.written[0], at, at).unwrap();
        assert_eq!(rows, [bucket(2)]);
    }
}

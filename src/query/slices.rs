//! A long history in pieces of bounded size.
//!
//! The time asked for is cut so that each piece takes about as much memory as it is allowed to: where
//! many sensors share the time of a piece, small ones would have the store unpack the same readings
//! again and again. No database connection is held between two pieces, so slow readers cost nothing.

use super::rows::{Order, Rows};
use crate::database::StoreError;
use crate::domain::{TimeRange, Timestamp};
use crate::store::{Bucket, CHUNK_BYTES_USUAL_MAX, HistoryQuery, SENSORS_AT_ONCE, Store};
use std::time::Duration;

/// Rows the first piece is aimed at when few are asked for: the estimate is no better than that.
const ROWS_WANTED_MIN: u32 = 100;
/// Bytes a row is taken to have before any is known.
const ROW_BYTES_USUAL: usize = 256;
/// Bytes no piece is aimed below.
const BYTES_WANTED_MIN: usize = 16 * 1024;
/// A piece of this many times the bytes wanted is cut in half and asked for again.
const OVERSHOOT_MAX: usize = 2;
/// After a piece that was too large, the target grows by this part with each piece.
const RECOVERY: usize = 32;
/// A piece is at most this many times as wide as the one before.
const GROWTH_MAX: i64 = 8;

/// Readings that are looked up together.
const READINGS_AT_ONCE: usize = 16;

/// The rows of a query, piece by piece.
#[derive(Debug)]
pub(super) struct Slices {
    store: Store,
    query: HistoryQuery,
    bucket: Option<Bucket>,
    /// What is still to be given.
    left: TimeRange,
    width_ms: i64,
    /// Bytes of rows a piece is aimed at: at first and at most `bytes_wanted_max`, less where pieces
    /// turned out to be too large.
    bytes_wanted: usize,
    bytes_wanted_max: usize,
    /// The width comes from the piece before, not from halves of one that was too large.
    is_adapted: bool,
    /// The last row that was used of the time that is left; nothing up to it is given again.
    used: Option<Order>,
    /// Number of sensors that are done, in a time that is too short to be cut.
    done_sensors: Option<usize>,
    /// Most sensors read together in such a time.
    group_max: usize,
    /// Bytes the rows of such a time had so far.
    group_bytes: usize,
    last: Last,
    /// Readings that stand in the place of means, in order, and how many of them are given.
    readings: Vec<Order>,
    readings_given: usize,
}

/// The last piece that was given.
#[derive(Debug)]
struct Last {
    from: Timestamp,
    is_group: bool,
    bytes: usize,
}

impl Slices {
    /// The rows of `time`, in pieces of about `bytes_wanted`. The first piece is cut by
    /// `rows_per_ms`, an estimate, and is no larger than `limit` makes sensible.
    pub(super) fn new(
        store: Store,
        query: HistoryQuery,
        bucket: Option<Bucket>,
        time: TimeRange,
        rows_per_ms: f64,
        limit: u64,
        bytes_wanted: usize,
    ) -> Self {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let rows_usual = u32::try_from(bytes_wanted / ROW_BYTES_USUAL).unwrap_or(u32::MAX);
        let rows_wanted = limit.max(ROWS_WANTED_MIN).min(rows_usual);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float saturates when cast"
        )]
        let width_ms = (f64::from(rows_wanted) / rows_per_ms.max(f64::MIN_POSITIVE)) as i64;
        Self {
            store,
            query,
            bucket,
            left: time,
            width_ms: width_ms.max(1),
            bytes_wanted,
            bytes_wanted_max: bytes_wanted,
            is_adapted: false,
            used: None,
            done_sensors: None,
            group_max: usize::MAX,
            group_bytes: 0,
            last: Last {
                from: time.start,
                is_group: false,
                bytes: 0,
            },
            readings: Vec::new(),
            readings_given: 0,
        }
    }

    /// The same with some readings in the place of means that begin when they were taken, and among the
    /// others.
    pub(super) fn with_readings(mut self, readings: Vec<Order>) -> Self {
        self.readings = readings;
        self
    }

    /// Bytes that getting a piece takes, about: rows twice, while they are put in order, and the
    /// chunks they come from.
    pub(super) fn work_bytes(&self) -> usize {
        let sensors = self.query.sensors.len().min(SENSORS_AT_ONCE);
        let readings = self.readings.len().min(READINGS_AT_ONCE);
        2 * self.bytes_max() + (sensors / 2 + readings) * CHUNK_BYTES_USUAL_MAX
    }

    /// Bytes that are kept to go on with.
    pub(super) fn kept_bytes(&self) -> usize {
        size_of_val(self.readings.as_slice())
    }

    /// Whether [`Self::next`] has nothing any more.
    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty() && self.readings_given == self.readings.len()
    }

    /// The next rows, by time, sensor and room; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Rows>, StoreError> {
        let rows = self.next_rows().await?;
        if self.readings_given == self.readings.len() {
            return Ok(rows);
        }
        let mut rows = rows.unwrap_or_else(|| Rows::none(self.bucket.as_ref()));
        let last = rows.len().checked_sub(1).and_then(|last| rows.order(last));
        let until = match last {
            Some(last) if !self.left.is_empty() => {
                self.readings.partition_point(|reading| *reading <= last)
            }
            _ => self.readings.len(),
        };
        let due = self.readings.get(self.readings_given..until);
        for some in due.unwrap_or_default().chunks(READINGS_AT_ONCE) {
            rows.put_in(&self.store.find(some).await?, some);
        }
        self.readings_given = until.max(self.readings_given);
        Ok((rows.len() > 0).then_some(rows))
    }

    /// The next rows without readings among them. Empty pieces are passed over.
    async fn next_rows(&mut self) -> Result<Option<Rows>, StoreError> {
        while !self.left.is_empty() {
            let piece = TimeRange::new(self.left.start, self.cut());
            let width_ms = i64::try_from(piece.width_ms()).unwrap_or(i64::MAX);
            let is_group = self.done_sensors.is_some() || !self.can_be_cut(piece);
            let rows = if is_group {
                self.next_group(piece).await?
            } else {
                self.next_whole(piece, width_ms).await?
            };
            if let Some(rows) = rows.filter(|rows| rows.len() > 0) {
                self.last = Last {
                    from: piece.start,
                    is_group,
                    bytes: rows.bytes(),
                };
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    /// The rows of a piece; `None` when they are too many, and less is to be asked for.
    async fn next_whole(
        &mut self,
        piece: TimeRange,
        width_ms: i64,
    ) -> Result<Option<Rows>, StoreError> {
        let bytes_max = self.bytes_max();
        let (query, bucket) = (&self.query, self.bucket.as_ref());
        let rows = Rows::fetch(&self.store, query, bucket, piece, bytes_max).await?;
        let Some(mut rows) = rows else {
            self.width_ms = (width_ms / 2).max(1);
            if std::mem::take(&mut self.is_adapted) {
                // Rows are not all it takes: those they are put together from count as well.
                self.bytes_wanted = (self.bytes_wanted / 4 * 3).max(BYTES_WANTED_MIN);
            }
            return Ok(None);
        };
        self.left.start = piece.end;
        self.adapt(rows.bytes(), width_ms);
        if let Some(used) = self.used.take() {
            rows.remove_to(used);
        }
        Ok(Some(rows))
    }

    /// The rows of some sensors in a piece, between which nothing can be cut any more; `None` when
    /// they are too many. All of them have one time, so sensors one after the other are in order.
    async fn next_group(&mut self, piece: TimeRange) -> Result<Option<Rows>, StoreError> {
        let sensors = &self.query.sensors;
        let first = self.done_sensors.unwrap_or_default();
        let last = first.saturating_add(self.group_max).min(sensors.len());
        let query = HistoryQuery {
            sensors: sensors.get(first..last).unwrap_or_default().to_vec(),
            rooms: self.query.rooms.clone(),
        };
        let bytes_max = self.bytes_max();
        let (store, bucket) = (&self.store, self.bucket.as_ref());
        let mut rows = match Rows::fetch(store, &query, bucket, piece, bytes_max).await? {
            Some(rows) => rows,
            None if query.sensors.len() > 1 => {
                self.group_max = query.sensors.len() / 2;
                self.done_sensors = Some(first);
                return Ok(None);
            }
            None => Rows::fetch_large(store, &query, bucket, piece, bytes_max).await?,
        };
        self.group_bytes = self.group_bytes.saturating_add(rows.bytes());
        if let Some(used) = self.used {
            rows.remove_to(used);
        }
        if last < sensors.len() {
            self.done_sensors = Some(last);
        } else {
            let bytes = std::mem::take(&mut self.group_bytes);
            (self.left.start, self.used, self.done_sensors) = (piece.end, None, None);
            self.adapt(bytes, i64::try_from(piece.width_ms()).unwrap_or(i64::MAX));
        }
        Ok(Some(rows))
    }

    /// Goes on right behind `used`, a row that was read before.
    pub(super) fn go_on_behind(&mut self, used: Order) {
        // A bucket may begin before what was asked for.
        self.left.start = used.0.max(self.last.from);
        self.used = Some(used);
        self.readings_given = self.readings.partition_point(|reading| *reading <= used);
    }

    /// Goes on right behind `used`, a row of the last piece, because there was capacity for the first
    /// `used_bytes` of it only. Later pieces are smaller.
    pub(super) fn go_back(&mut self, used: Order, used_bytes: usize) {
        self.go_on_behind(used);
        let (_, sensor, _) = used;
        self.done_sensors = self.last.is_group.then(|| {
            let sensors = &self.query.sensors;
            sensors.partition_point(|known| *known < sensor)
        });
        let total = self.last.bytes.max(1);
        let share = |of: usize| of / total.div_ceil(used_bytes.max(1)).max(2);
        self.bytes_wanted = share(self.bytes_wanted).max(BYTES_WANTED_MIN);
        self.group_max = share(self.group_max.min(self.query.sensors.len())).max(1);
        self.width_ms = (self.width_ms / 2).max(1);
    }

    /// Most bytes that a piece, and what it is put together from, may take.
    fn bytes_max(&self) -> usize {
        self.bytes_wanted_max * OVERSHOOT_MAX
    }

    /// Aims the next piece by what the last one had.
    fn adapt(&mut self, bytes: usize, width_ms: i64) {
        self.is_adapted = true;
        let more = self.bytes_wanted / RECOVERY;
        self.bytes_wanted = (self.bytes_wanted + more).min(self.bytes_wanted_max);
        let widest = width_ms.saturating_mul(GROWTH_MAX);
        self.width_ms = match i64::try_from(bytes) {
            Ok(bytes @ 1..) => {
                let wanted = i64::try_from(self.bytes_wanted).unwrap_or(i64::MAX);
                let wanted = width_ms.saturating_mul(wanted);
                (wanted / bytes).clamp(1, widest.max(1))
            }
            _ => widest,
        };
    }

    /// Whether a piece is more than a bucket, or a moment.
    fn can_be_cut(&self, piece: TimeRange) -> bool {
        match &self.bucket {
            None => piece.width_ms() > 1,
            Some(bucket) => piece.end > bucket.span(piece.start).end,
        }
    }

    /// Where the next piece ends: never inside a bucket.
    fn cut(&self) -> Timestamp {
        let width_ms = match self.done_sensors {
            Some(_) => 1,
            None => self.width_ms,
        };
        let wanted = self
            .left
            .start
            .plus(Duration::from_millis(width_ms.unsigned_abs()))
            .min(self.left.end);
        let whole = match &self.bucket {
            None => wanted,
            Some(bucket) => {
                let first = bucket.span(self.left.start);
                if wanted == self.left.end {
                    return wanted;
                }
                bucket.start(wanted).max(first.end)
            }
        };
        whole.min(self.left.end)
    }
}

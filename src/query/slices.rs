//! A long history in pieces of bounded size.
//!
//! The time asked for is cut so that the first piece is small and comes at once, and later ones are
//! large: where many sensors share the time of a piece, small ones would have the store unpack the
//! same readings again and again. No database connection is held between two pieces, so slow readers
//! cost nothing.

use super::rows::Rows;
use crate::domain::Timestamp;
use crate::store::{Bucket, HistoryQuery, Store, StoreError};
use std::time::Duration;

/// Rows the first piece is aimed at; each later one at twice as many as the one before.
const ROWS_WANTED_FIRST: u32 = 2_000;
/// Rows no piece is aimed above.
const ROWS_WANTED_MAX: u32 = 16_000;
/// Rows the first piece is aimed at when few are asked for: the estimate is no better than that.
const ROWS_WANTED_MIN: u32 = 100;
/// A piece of this many times the rows wanted is cut in half and asked for again.
const OVERSHOOT_MAX: u32 = 5;
/// A piece is at most this many times as wide as the one before.
const GROWTH_MAX: i64 = 8;

/// The rows of a query, piece by piece.
#[derive(Debug)]
pub(super) struct Slices {
    store: Store,
    query: HistoryQuery,
    bucket: Option<Bucket>,
    next: Timestamp,
    end: Timestamp,
    width_ms: i64,
    rows_wanted: u32,
}

impl Slices {
    /// From `start` to `end`. The first piece is cut by `rows_per_ms`, an estimate, and is no larger
    /// than `limit` makes sensible.
    pub(super) fn new(
        store: Store,
        query: HistoryQuery,
        bucket: Option<Bucket>,
        (start, end): (Timestamp, Timestamp),
        rows_per_ms: f64,
        limit: u64,
    ) -> Self {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let rows_wanted = limit.clamp(ROWS_WANTED_MIN, ROWS_WANTED_FIRST);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float saturates when cast"
        )]
        let width_ms = (f64::from(rows_wanted) / rows_per_ms.max(f64::MIN_POSITIVE)) as i64;
        let mut slices = Self {
            store,
            query,
            bucket,
            next: start,
            end,
            width_ms,
            rows_wanted,
        };
        slices.width_ms = width_ms.max(slices.width_min_ms());
        slices
    }

    /// Whether [`Self::next`] has nothing any more.
    pub(super) fn is_done(&self) -> bool {
        self.next >= self.end
    }

    /// The next rows, by time, sensor and room; `None` at the end. Empty pieces are passed over.
    pub(super) async fn next(&mut self) -> Result<Option<Rows>, StoreError> {
        while !self.is_done() {
            let to = self.cut();
            let width_ms = to.millis().saturating_sub(self.next.millis());
            let smallest = width_ms <= self.width_min_ms();
            let rows_max = if smallest {
                u32::MAX
            } else {
                self.rows_wanted * OVERSHOOT_MAX
            };
            let (query, bucket) = (&self.query, self.bucket);
            let rows = Rows::fetch(&self.store, query, bucket, self.next, to, rows_max).await?;
            if !smallest && rows.len() >= rows_max as usize {
                self.width_ms = (width_ms / 2).max(self.width_min_ms());
                continue;
            }
            self.next = to;
            self.adapt(rows.len(), width_ms);
            if rows.len() > 0 {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    /// Aims the next piece by what the last one had.
    fn adapt(&mut self, row_count: usize, width_ms: i64) {
        let widest = width_ms.saturating_mul(GROWTH_MAX);
        self.width_ms = match i64::try_from(row_count) {
            Ok(row_count @ 1..) => {
                self.rows_wanted = (self.rows_wanted * 2).min(ROWS_WANTED_MAX);
                let wanted = width_ms.saturating_mul(self.rows_wanted.into());
                (wanted / row_count).clamp(self.width_min_ms(), widest.max(self.width_min_ms()))
            }
            _ => widest,
        };
    }

    fn width_min_ms(&self) -> i64 {
        self.bucket.map_or(1, |bucket| bucket.width_ms)
    }

    /// Where the next piece ends: never inside a bucket.
    fn cut(&self) -> Timestamp {
        let width = Duration::from_millis(self.width_ms.unsigned_abs());
        let wanted = self.next.plus(width);
        let whole = match self.bucket {
            None => wanted,
            Some(bucket) => {
                let start = bucket.start(wanted);
                let after_next = bucket.start(self.next).millis() + bucket.width_ms;
                Timestamp::from_millis(start.millis().max(after_next))
            }
        };
        whole.min(self.end)
    }
}

//! A long history in pieces of bounded size.
//!
//! The time asked for is cut so that each piece has about [`ROWS_WANTED`] rows, whatever the number
//! of sensors. No database connection is held between two pieces, so slow readers cost nothing.

use crate::domain::Timestamp;
use crate::store::{HistoryQuery, HistoryRow, Store, StoreError};
use std::time::Duration;

/// Rows a piece is aimed at.
const ROWS_WANTED: u32 = 2_000;
/// Rows at which a piece is cut in half and asked for again.
const ROWS_MAX: u32 = 10_000;

/// The rows of a query from `next` to `end`, piece by piece.
#[derive(Debug)]
pub(super) struct Slices {
    store: Store,
    query: HistoryQuery,
    next: Timestamp,
    end: Timestamp,
    width_ms: i64,
}

impl Slices {
    /// `rows_per_ms` is an estimate from which the first piece is cut.
    pub(super) fn new(
        store: Store,
        query: HistoryQuery,
        start: Timestamp,
        end: Timestamp,
        rows_per_ms: f64,
    ) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float saturates when cast"
        )]
        let width_ms = (f64::from(ROWS_WANTED) / rows_per_ms.max(f64::MIN_POSITIVE)) as i64;
        let width_ms = width_ms.max(query.bucket.map_or(1, |bucket| bucket.width_ms));
        Self {
            store,
            query,
            next: start,
            end,
            width_ms,
        }
    }

    /// The next rows, by time and sensor; `None` at the end. Empty pieces are passed over.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<HistoryRow>>, StoreError> {
        while self.next < self.end {
            let to = self.cut();
            let smallest = to.millis() - self.next.millis() <= self.width_min_ms();
            let rows_max = if smallest { u32::MAX } else { ROWS_MAX };
            let rows = self
                .store
                .history(&self.query, self.next, to, rows_max)
                .await?;
            if !smallest && rows.len() >= ROWS_MAX as usize {
                self.width_ms = (self.width_ms / 2).max(self.width_min_ms());
                continue;
            }
            self.next = to;
            if rows.len() < (ROWS_WANTED / 2) as usize {
                self.width_ms = self.width_ms.saturating_mul(2);
            }
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    fn width_min_ms(&self) -> i64 {
        self.query.bucket.map_or(1, |bucket| bucket.width_ms)
    }

    /// Where the next piece ends: never inside a bucket.
    fn cut(&self) -> Timestamp {
        let width = Duration::from_millis(self.width_ms.unsigned_abs());
        let wanted = self.next.plus(width);
        let whole = match self.query.bucket {
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

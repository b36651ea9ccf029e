//! How long the log is, in memory, so that trimming it takes no counting.

use crate::store::engine::{LogRow, ReplayLimits, StoreError};
use sqlx::sqlite::SqliteConnection;
use std::collections::VecDeque;

/// Most rows of a chunk that was put together from smaller ones.
const CHUNK_ROWS_MAX: usize = 4096;
/// Chunks the rows to keep are divided in, when they are not too large then.
const CHUNKS: usize = 64;
/// Rows that go at once, together with the rest of their chunk, when many more are there than are to
/// be kept, as after a change of the setting: it bounds the pause.
const TRIM_ROWS_MAX: usize = 4 * CHUNK_ROWS_MAX;

/// The log as a row of chunks, the oldest first.
#[derive(Debug)]
pub(super) struct Log {
    limits: ReplayLimits,
    chunk_rows: usize,
    rows: usize,
    chunks: VecDeque<Chunk>,
}

/// Rows that go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chunk {
    /// The last row, as packed in the database.
    last: i64,
    rows: usize,
}

impl Log {
    fn new(limits: ReplayLimits) -> Self {
        Self {
            limits,
            chunk_rows: (limits.readings_kept / CHUNKS).clamp(1, CHUNK_ROWS_MAX),
            rows: 0,
            chunks: VecDeque::new(),
        }
    }

    /// Reads the whole log once: about 50 ms for 100 000 rows.
    pub(super) async fn load(
        connection: &mut SqliteConnection,
        limits: ReplayLimits,
    ) -> Result<Self, StoreError> {
        let mut log = Self::new(limits);
        let chunks: Vec<(i64, i64)> = sqlx::query_as(
            "select max(arrival), count(*) from (
                select arrival, (row_number() over (order by arrival) - 1) / $1 as chunk
                from arrivals
            ) group by chunk order by chunk",
        )
        .bind(i64::try_from(log.chunk_rows).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
        for (last, rows) in chunks {
            log.push(last, usize::try_from(rows).unwrap_or(usize::MAX));
        }
        Ok(log)
    }

    /// Starts again with what is in the log.
    pub(super) async fn reload(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        *self = Self::load(connection, self.limits).await?;
        Ok(())
    }

    /// Takes over rows that have come to the end of the log.
    pub(super) fn append(&mut self, rows: &[LogRow]) {
        if let Some(last) = rows.last() {
            self.push(last.id.to_i64(), rows.len());
        }
    }

    fn push(&mut self, last: i64, rows: usize) {
        self.rows += rows;
        match self.chunks.back_mut() {
            Some(chunk) if chunk.rows + rows <= self.chunk_rows => {
                chunk.last = last;
                chunk.rows += rows;
            }
            _ => self.chunks.push_back(Chunk { last, rows }),
        }
    }

    /// The last row that is not needed any more, when there is one.
    pub(super) fn surplus_to(&self) -> Option<i64> {
        let mut rows = 0;
        let surplus = self.chunks.iter().take_while(|chunk| {
            let goes =
                rows < TRIM_ROWS_MAX && rows + chunk.rows + self.limits.readings_kept <= self.rows;
            rows += chunk.rows;
            goes
        });
        surplus.last().map(|chunk| chunk.last)
    }

    /// Takes over that the rows up to `last` are gone.
    pub(super) fn trimmed(&mut self, last: Option<i64>) {
        while let Some(chunk) = self.chunks.front()
            && Some(chunk.last) <= last
        {
            self.rows -= chunk.rows;
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    fn log(readings_kept: usize) -> Log {
        Log::new(ReplayLimits { readings_kept })
    }

    fn trim(log: &mut Log) -> Option<i64> {
        let to = log.surplus_to();
        log.trimmed(to);
        to
    }

    #[test]
    fn whole_chunks_go_as_long_as_enough_rows_stay() {
        let mut log = log(10);
        for (last, rows) in [(4, 4), (9, 5), (10, 1), (19, 9)] {
            log.push(last, rows);
        }
        assert_eq!(trim(&mut log), Some(9));
        assert_eq!(trim(&mut log), None);
        assert_eq!(log.rows, 10);
        log.push(30, 10);
        assert_eq!((trim(&mut log), log.rows), (Some(19), 10));
    }

    #[test]
    fn nothing_stays_when_nothing_is_to_be_kept() {
        let mut log = log(0);
        assert_eq!(trim(&mut log), None);
        log.push(1, 1);
        log.push(7, 3);
        assert_eq!((trim(&mut log), log.rows), (Some(7), 0));
    }

    #[test]
    fn small_batches_share_a_chunk() {
        let mut log = log(640);
        for last in 1..=640 {
            log.push(last, 1);
        }
        assert_eq!(log.chunks.len(), 64);
        log.push(641, 1);
        assert_eq!(trim(&mut log), None);
        for last in 642..=650 {
            log.push(last, 1);
        }
        assert_eq!((trim(&mut log), log.rows), (Some(10), 640));
    }

    #[test]
    fn many_rows_too_many_go_in_several_turns() {
        let mut log = log(0);
        for last in 1..=40 {
            log.push(last, 1000);
        }
        assert_eq!(trim(&mut log), Some(17));
        assert_eq!(trim(&mut log), Some(34));
        assert_eq!((trim(&mut log), trim(&mut log)), (Some(40), None));
    }
}

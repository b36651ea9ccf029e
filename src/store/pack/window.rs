//! Which packed rows to unpack: those within a span of time.

use crate::domain::Timestamp;
use std::ops::Range;

/// The rows of a span, reached by their positions among all that are packed.
#[derive(Debug)]
pub(super) struct Window<Row> {
    /// Number of rows before the span.
    before: usize,
    rows: Vec<Row>,
}

impl<Row> Window<Row> {
    /// Makes the rows whose times, which are in order, lie between `first` and `last` inclusive.
    pub(super) fn new(
        times: &[i64],
        first: Timestamp,
        last: Timestamp,
        row: impl Fn(Timestamp) -> Row,
    ) -> Self {
        let before = times.partition_point(|time| *time < first.millis());
        let inside = times[before..].partition_point(|time| *time <= last.millis());
        let times = times[before..before + inside].iter();
        let times = times.copied().map(Timestamp::from_millis);
        Self {
            before,
            rows: times.map(row).collect(),
        }
    }

    /// The row at a position; `None` when it was not asked for.
    #[inline]
    pub(super) fn get(&mut self, position: usize) -> Option<&mut Row> {
        self.rows.get_mut(position.checked_sub(self.before)?)
    }

    /// Those of some positions that were asked for.
    pub(super) fn range(&mut self, positions: &Range<usize>) -> &mut [Row] {
        let inside = |position: usize| position.saturating_sub(self.before).min(self.rows.len());
        let range = inside(positions.start)..inside(positions.end);
        &mut self.rows[range]
    }

    pub(super) fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}

//! A piece of history in memory: readings, or buckets of them.

use super::write::Line;
use crate::domain::Timestamp;
use crate::score::Profile;
use crate::store::{
    Bucket, BucketRow, HistoryQuery, HistoryRow, RoomKey, SensorKey, Store, StoreError,
};

/// Rows of one kind, by time, sensor and room.
#[derive(Debug)]
pub(super) enum Rows {
    Readings(Vec<HistoryRow>),
    Buckets(Vec<BucketRow>),
}

impl Rows {
    /// No rows: of buckets, or of readings where there is none.
    pub(super) fn none(bucket: Option<Bucket>) -> Self {
        match bucket {
            Some(_) => Self::Buckets(Vec::new()),
            None => Self::Readings(Vec::new()),
        }
    }

    /// The rows of `from <= t < to`, at most `rows_max`.
    pub(super) async fn fetch(
        store: &Store,
        query: &HistoryQuery,
        bucket: Option<Bucket>,
        from: Timestamp,
        to: Timestamp,
        rows_max: u32,
    ) -> Result<Self, StoreError> {
        Ok(match bucket {
            Some(bucket) => Self::Buckets(store.buckets(query, bucket, from, to, rows_max).await?),
            None => Self::Readings(store.history(query, from, to, rows_max).await?),
        })
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Readings(rows) => rows.len(),
            Self::Buckets(rows) => rows.len(),
        }
    }

    /// What is written of the row at `position`.
    pub(super) fn line(&self, position: usize, profile: Profile) -> Option<Line<'_>> {
        match self {
            Self::Readings(rows) => rows.get(position).map(|row| Line::of_reading(row, profile)),
            Self::Buckets(rows) => rows.get(position).map(|row| Line::of_bucket(row, profile)),
        }
    }

    /// Leaves the rows at `positions`, which ascend.
    pub(super) fn keep(&mut self, positions: &[usize]) {
        match self {
            Self::Readings(rows) => keep(rows, positions),
            Self::Buckets(rows) => keep(rows, positions),
        }
    }

    /// Takes over the rows of `other`, which are of the same kind.
    pub(super) fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Readings(rows), Self::Readings(mut others)) => rows.append(&mut others),
            (Self::Buckets(rows), Self::Buckets(mut others)) => rows.append(&mut others),
            _ => debug_assert!(false, "rows of two kinds"),
        }
    }

    /// Puts rows of several sensors in order.
    pub(super) fn sort(&mut self) {
        type Order = (Timestamp, SensorKey, RoomKey);
        fn of_reading(row: &HistoryRow) -> Order {
            (row.observed_at, row.sensor, row.room)
        }
        fn of_bucket(row: &BucketRow) -> Order {
            (row.start, row.sensor, row.room)
        }
        match self {
            Self::Readings(rows) => rows.sort_by_cached_key(of_reading),
            Self::Buckets(rows) => rows.sort_by_cached_key(of_bucket),
        }
    }
}

fn keep<T>(rows: &mut Vec<T>, positions: &[usize]) {
    let mut position = 0;
    let mut wanted = positions.iter().peekable();
    rows.retain(|_| {
        let kept = wanted.next_if_eq(&&position).is_some();
        position += 1;
        kept
    });
}

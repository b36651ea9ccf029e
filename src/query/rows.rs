//! A piece of history in memory: readings, or buckets of them.

use super::write::Line;
use crate::database::{RoomKey, SensorKey, StoreError};
use crate::domain::{TimeRange, Timestamp};
use crate::score::Profile;
use crate::store::{Bucket, BucketRow, HistoryQuery, HistoryRow, Store};

/// Rows of one kind, by time, sensor and room.
#[derive(Debug)]
pub(super) enum Rows {
    Readings(Vec<HistoryRow>),
    Buckets(Vec<BucketRow>),
}

/// What rows are in order by; no two of a history have the same.
pub(super) type Order = (Timestamp, SensorKey, RoomKey);

fn of_reading(row: &HistoryRow) -> Order {
    (row.observed_at, row.sensor, row.room)
}

fn of_bucket(row: &BucketRow) -> Order {
    (row.start, row.sensor, row.room)
}

impl Rows {
    /// No rows: of buckets, or of readings where there is none.
    pub(super) fn none(bucket: Option<&Bucket>) -> Self {
        match bucket {
            Some(_) => Self::Buckets(Vec::new()),
            None => Self::Readings(Vec::new()),
        }
    }

    /// The rows of a time; `None` when they take more than `bytes_max`.
    pub(super) async fn fetch(
        store: &Store,
        query: &HistoryQuery,
        bucket: Option<&Bucket>,
        time: TimeRange,
        bytes_max: usize,
    ) -> Result<Option<Self>, StoreError> {
        if let Some(bucket) = bucket {
            let rows = store.buckets(query, bucket, time, bytes_max).await?;
            Ok(rows.map(Self::Buckets))
        } else {
            let rows = store.history(query, time, bytes_max).await?;
            Ok(rows.map(Self::Readings))
        }
    }

    /// The rows of a few buckets or readings, whatever they are made of. It is read in pieces of
    /// `bytes_max`.
    pub(super) async fn fetch_large(
        store: &Store,
        query: &HistoryQuery,
        bucket: Option<&Bucket>,
        time: TimeRange,
        bytes_max: usize,
    ) -> Result<Self, StoreError> {
        if let Some(bucket) = bucket {
            let rows = store.large_buckets(query, bucket, time, bytes_max);
            Ok(Self::Buckets(rows.await?))
        } else {
            let rows = store.history(query, time, usize::MAX).await?;
            Ok(Self::Readings(rows.unwrap_or_default()))
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Readings(rows) => rows.len(),
            Self::Buckets(rows) => rows.len(),
        }
    }

    /// Bytes they take in memory, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Readings(rows) => rows.iter().map(HistoryRow::bytes).sum(),
            Self::Buckets(rows) => rows.iter().map(BucketRow::bytes).sum(),
        }
    }

    /// Bytes of the first `count` of them.
    pub(super) fn bytes_of_first(&self, count: usize) -> usize {
        match self {
            Self::Readings(rows) => rows.iter().take(count).map(HistoryRow::bytes).sum(),
            Self::Buckets(rows) => rows.iter().take(count).map(BucketRow::bytes).sum(),
        }
    }

    /// What is written of the row at `position`.
    pub(super) fn line(&self, position: usize, profile: Profile) -> Option<Line<'_>> {
        match self {
            Self::Readings(rows) => rows.get(position).map(|row| Line::of_reading(row, profile)),
            Self::Buckets(rows) => rows.get(position).map(|row| Line::of_bucket(row, profile)),
        }
    }

    pub(super) fn order(&self, position: usize) -> Option<Order> {
        match self {
            Self::Readings(rows) => rows.get(position).map(of_reading),
            Self::Buckets(rows) => rows.get(position).map(of_bucket),
        }
    }

    /// Leaves the rows whose positions are wanted.
    pub(super) fn retain(&mut self, mut is_wanted: impl FnMut(usize) -> bool) {
        let mut position = 0;
        let mut next = || {
            position += 1;
            is_wanted(position - 1)
        };
        match self {
            Self::Readings(rows) => rows.retain(|_| next()),
            Self::Buckets(rows) => rows.retain(|_| next()),
        }
    }

    /// Removes the rows up to `last`.
    pub(super) fn remove_to(&mut self, last: Order) {
        match self {
            Self::Readings(rows) => rows.retain(|row| of_reading(row) > last),
            Self::Buckets(rows) => rows.retain(|row| of_bucket(row) > last),
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

    /// Puts readings in the place of means, and among the others; `orders` are all that were looked for.
    pub(super) fn put_in(&mut self, readings: &[HistoryRow], orders: &[Order]) {
        let Self::Buckets(rows) = self else {
            debug_assert!(false, "readings among readings");
            return;
        };
        rows.retain(|row| orders.binary_search(&of_bucket(row)).is_err());
        let wanted = readings
            .iter()
            .filter(|row| orders.binary_search(&of_reading(row)).is_ok());
        rows.extend(wanted.map(BucketRow::of_reading));
        rows.sort_by_cached_key(of_bucket);
    }

    /// Puts rows of several sensors in order.
    pub(super) fn sort(&mut self) {
        match self {
            Self::Readings(rows) => rows.sort_by_cached_key(of_reading),
            Self::Buckets(rows) => rows.sort_by_cached_key(of_bucket),
        }
    }
}

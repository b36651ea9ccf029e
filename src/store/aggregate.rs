//! Readings and buckets into wider buckets.

use super::rows::{BucketRow, Measure, ReadingRow, Statistics};
use crate::database::{RoomKey, SensorKey};
use crate::domain::Timestamp;
use crate::score::Profile;
use smallvec::SmallVec;

/// What can be taken into a bucket.
pub(super) trait Aggregate {
    fn room(&self) -> RoomKey;

    /// The bucket of this alone that starts at `start`.
    fn bucket(&self, start: Timestamp) -> BucketRow;

    /// Takes this into a bucket of its sensor and room.
    fn add_to(&self, bucket: &mut BucketRow);
}

impl Aggregate for ReadingRow {
    fn room(&self) -> RoomKey {
        self.room
    }

    fn bucket(&self, start: Timestamp) -> BucketRow {
        let mut bucket = BucketRow {
            sensor: self.sensor,
            start,
            room: self.room,
            readings: 0,
            statistics: SmallVec::new(),
        };
        self.add_to(&mut bucket);
        bucket
    }

    fn add_to(&self, bucket: &mut BucketRow) {
        let quantities = self
            .values
            .iter()
            .map(|(quantity, number)| (Measure::Quantity(quantity), number));
        let scores = [Profile::Iaqverse, Profile::Classic].into_iter();
        let scores = scores.filter_map(|profile| {
            let score = profile.assess(&self.values).shown()?;
            Some((Measure::Score(profile), f64::from(score)))
        });
        let measured = quantities.chain(scores);
        bucket.take_in(
            1,
            measured.map(|(measure, number)| (measure, Statistics::of(number))),
        );
    }
}

impl Aggregate for BucketRow {
    fn room(&self) -> RoomKey {
        self.room
    }

    fn bucket(&self, start: Timestamp) -> BucketRow {
        Self {
            start,
            ..self.clone()
        }
    }

    fn add_to(&self, bucket: &mut BucketRow) {
        bucket.take_in(self.readings, self.statistics.iter().copied());
    }
}

impl BucketRow {
    /// A bucket of one reading, which begins when it was taken.
    pub fn of_reading(row: &ReadingRow) -> Self {
        row.bucket(row.observed_at)
    }

    /// Takes readings in, of which there are statistics by measure, ascending.
    fn take_in(&mut self, readings: u32, statistics: impl Iterator<Item = (Measure, Statistics)>) {
        self.readings = self.readings.saturating_add(readings);
        let mut position = 0;
        for (measure, more) in statistics {
            while self
                .statistics
                .get(position)
                .is_some_and(|(of, _)| *of < measure)
            {
                position += 1;
            }
            match self.statistics.get_mut(position) {
                Some((of, known)) if *of == measure => known.add(&more),
                _ => self.statistics.insert(position, (measure, more)),
            }
            position += 1;
        }
    }

    pub(super) fn order(&self) -> (Timestamp, SensorKey, RoomKey) {
        (self.start, self.sensor, self.room)
    }
}

/// Rows of one sensor in buckets, by start and room; `start` says in which. It may not go down from
/// one row to the next.
pub(super) fn bucketed<'a, T: Aggregate + 'a>(
    rows: impl Iterator<Item = (Timestamp, &'a T)>,
) -> Vec<BucketRow> {
    let mut buckets: Vec<BucketRow> = Vec::new();
    for (start, row) in rows {
        // Nearly always the last: a sensor seldom moves.
        let mut open = buckets
            .iter_mut()
            .rev()
            .take_while(|bucket| bucket.start == start);
        match open.find(|bucket| bucket.room == row.room()) {
            Some(bucket) => row.add_to(bucket),
            None => buckets.push(row.bucket(start)),
        }
    }
    buckets.sort_by_key(BucketRow::order);
    buckets
}

/// One bucket for each start, sensor and room of the parts, in this order.
pub(super) fn combined(mut parts: Vec<BucketRow>) -> Vec<BucketRow> {
    // Stable and quick on what is sorted already, as it mostly is.
    parts.sort_by_key(BucketRow::order);
    parts.dedup_by(|next, bucket| {
        let same = next.order() == bucket.order();
        if same {
            next.add_to(bucket);
        }
        same
    });
    parts
}

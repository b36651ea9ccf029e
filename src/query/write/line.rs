//! What is written of a reading or a bucket.

use crate::database::{RoomKey, SensorKey};
use crate::domain::{Extras, Quantity, Timestamp, Values};
use crate::score::Profile;
use crate::store::{BucketRow, HistoryRow, Measure};

/// One reading, or what the readings of a bucket come to: their means, scored.
#[derive(Debug)]
pub struct Line<'a> {
    pub timestamp: Timestamp,
    pub sensor: SensorKey,
    pub room: RoomKey,
    /// Values of the reading, or means.
    pub values: Values,
    /// Values of no known quantity; a bucket has none.
    pub extras: Option<&'a Extras>,
    /// Score of the values as it is shown.
    pub score: Option<u8>,
    profile: Profile,
    bucket: Option<&'a BucketRow>,
}

impl<'a> Line<'a> {
    pub fn of_reading(row: &'a HistoryRow, profile: Profile) -> Self {
        Self {
            timestamp: row.observed_at,
            sensor: row.sensor,
            room: row.room,
            values: row.values,
            extras: Some(&row.extras),
            score: profile.assess(&row.values).shown(),
            profile,
            bucket: None,
        }
    }

    pub fn of_bucket(row: &'a BucketRow, profile: Profile) -> Self {
        let values = means(row);
        Self {
            timestamp: row.start,
            sensor: row.sensor,
            room: row.room,
            values,
            extras: None,
            score: profile.assess(&values).shown(),
            profile,
            bucket: Some(row),
        }
    }

    /// Number of readings it stands for.
    pub fn reading_count(&self) -> u32 {
        self.bucket.map_or(1, |bucket| bucket.readings)
    }

    /// Least and greatest value; those of one reading are its value.
    pub fn extremes(&self, quantity: Quantity) -> Option<(f64, f64)> {
        match self.bucket {
            Some(bucket) => extremes(bucket, Measure::Quantity(quantity)),
            None => self.values.get(quantity).map(|number| (number, number)),
        }
    }

    /// Least and greatest score of single readings, as shown.
    pub fn score_extremes(&self) -> Option<(f64, f64)> {
        match self.bucket {
            Some(bucket) => extremes(bucket, Measure::Score(self.profile)),
            None => self.score.map(|score| (score.into(), score.into())),
        }
    }
}

fn extremes(bucket: &BucketRow, measure: Measure) -> Option<(f64, f64)> {
    let statistics = bucket.get(measure)?;
    Some((statistics.min, statistics.max))
}

/// The mean of each quantity of a bucket.
pub(in crate::query) fn means(bucket: &BucketRow) -> Values {
    let mut values = Values::default();
    for (measure, statistics) in &bucket.statistics {
        if let Measure::Quantity(quantity) = measure {
            // A mean lies between values that were in range.
            let _in_range = values.set(*quantity, statistics.mean());
        }
    }
    values
}

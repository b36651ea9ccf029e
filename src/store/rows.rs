//! What the store reads and writes, as it is in memory.

use super::{ScoredReading, ShownState, Stored};
use crate::database::{RoomKey, SensorKey};
use crate::domain::{Extras, Place, Quantity, Reading, SensorId, StreamId, Timestamp, Values};
use crate::score::Profile;
use smallvec::SmallVec;
use std::sync::Arc;

/// One stored reading.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadingRow {
    pub sensor: SensorKey,
    pub observed_at: Timestamp,
    pub room: RoomKey,
    pub values: Values,
    pub extras: Extras,
    pub tvoc_unit_assumed: bool,
}

/// An event of the stream: a reading that was stored, or changed, as it was from then on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LogRow {
    pub id: StreamId,
    /// All of its values were older than the newest of their quantities.
    pub late: bool,
    /// It was stored for the first time, not changed.
    pub is_new: bool,
    /// It was the first of its sensor in a request or message.
    pub begins_delivery: bool,
    pub reading: ReadingRow,
    /// The state of its sensor from then on, where that is not what the reading says alone.
    pub state: Option<Arc<ShownState>>,
}

impl LogRow {
    /// The event as it is published.
    pub(super) fn stored(self, sensor: SensorId, place: Arc<Place>, profile: Profile) -> Stored {
        Stored {
            id: self.id,
            place,
            scored: Arc::new(self.reading.scored(sensor, profile)),
            late: self.late,
            state: self.state,
        }
    }
}

/// The readings of one commit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CommittedRows {
    /// When they arrived; `None` in what earlier versions wrote.
    pub arrived_at: Option<Timestamp>,
    pub rows: Vec<LogRow>,
    /// In what earlier versions wrote, which did not say what is new: how many readings each of the
    /// sensors had.
    pub reading_counts: Vec<(SensorKey, u64)>,
}

/// What the readings of one sensor, in one room, within one bucket come to.
#[derive(Debug, Clone, PartialEq)]
pub struct BucketRow {
    pub sensor: SensorKey,
    pub start: Timestamp,
    pub room: RoomKey,
    /// Number of readings, whatever they measured.
    pub readings: u32,
    /// At most one for each measure, in their order.
    pub statistics: SmallVec<[(Measure, Statistics); 7]>,
}

impl ReadingRow {
    /// The row as a reading of the sensor `id`, scored by `profile`.
    pub(super) fn scored(&self, id: SensorId, profile: Profile) -> ScoredReading {
        ScoredReading {
            assessment: profile.assess(&self.values),
            reading: Reading {
                sensor: id,
                site: None,
                room: None,
                observed_at: self.observed_at,
                values: self.values,
                extras: self.extras.clone(),
                tvoc_unit_assumed: self.tvoc_unit_assumed,
            },
        }
    }

    /// Takes over what another reading of the same moment has and this one has not.
    pub(super) fn take_missing(&mut self, other: &Self) {
        for (quantity, number) in other.values.iter() {
            if !self.values.has(quantity) {
                // It was in range when it was stored.
                let _in_range = self.values.set(quantity, number);
                if quantity == Quantity::Tvoc {
                    self.tvoc_unit_assumed = other.tvoc_unit_assumed;
                }
            }
        }
        for (key, number) in other.extras.iter() {
            // A key that is there stays, and beyond the most that are kept none is taken.
            self.extras.insert(key, number).unwrap_or_default();
        }
    }

    /// Bytes it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let extras = self.extras.iter();
        let extras = extras.map(|(key, _)| key.len() + size_of::<(Box<str>, f64)>());
        size_of::<Self>() + extras.sum::<usize>()
    }
}

impl BucketRow {
    /// Bytes it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let spilled = if self.statistics.spilled() {
            self.statistics.capacity() * size_of::<(Measure, Statistics)>()
        } else {
            0
        };
        size_of::<Self>() + spilled
    }

    pub fn get(&self, measure: Measure) -> Option<&Statistics> {
        let known = self.statistics.iter().find(|(of, _)| *of == measure);
        known.map(|(_, statistics)| statistics)
    }
}

/// What a roll-up has statistics of: a quantity, or the score of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    Quantity(Quantity),
    /// The score as it is shown, an integer from 0 to 100.
    Score(Profile),
}

impl Measure {
    /// Number of measures.
    pub const COUNT: usize = Quantity::COUNT + 2;

    /// Every measure, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        let quantities = Quantity::ALL.into_iter().map(Self::Quantity);
        quantities.chain([Profile::Iaqverse, Profile::Classic].map(Self::Score))
    }

    /// Position in [`Measure::all`].
    pub const fn index(self) -> usize {
        match self {
            Self::Quantity(quantity) => quantity.index(),
            Self::Score(Profile::Iaqverse) => Quantity::COUNT,
            Self::Score(Profile::Classic) => Quantity::COUNT + 1,
        }
    }

    pub fn from_index(index: usize) -> Option<Self> {
        Self::all().nth(index)
    }
}

/// Number, sum and extremes of some numbers.
///
/// The sum is that of the numbers rounded to a millionth: integers add up to the same in any order,
/// so a mean is the same to the last digit from readings, from any roll-up and in any database.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    pub count: u32,
    /// In millionths of the unit.
    pub sum_millionths: i64,
    pub min: f64,
    pub max: f64,
}

impl Statistics {
    /// Of one number.
    pub fn of(number: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "values have ranges far inside that of the integer"
        )]
        let sum_millionths = (number * 1e6).round() as i64;
        Self {
            count: 1,
            sum_millionths,
            min: number,
            max: number,
        }
    }

    /// Takes the numbers of `other` in.
    pub fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum_millionths = self.sum_millionths.saturating_add(other.sum_millionths);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    pub fn mean(&self) -> f64 {
        if self.min.to_bits() == self.max.to_bits() {
            // Of equal numbers, or one, it is the number itself, not its millionths.
            return self.min;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a sum of more digits than a float has is of more readings than that matters for"
        )]
        let mean = self.sum_millionths as f64 / f64::from(self.count) / 1e6;
        mean.clamp(self.min, self.max)
    }
}

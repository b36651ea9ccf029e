//! The numbers of one sensor that points are chosen by: memory for a bounded number of rows, whatever
//! their number is.

use super::lttb::{Positions, Series};
use super::rows::Rows;
use super::write::means;
use crate::database::RoomKey;
use crate::domain::{Quantity, TimeRange, Timestamp, Values};
use crate::store::Measure;
use smallvec::SmallVec;
use std::ops::Range;

/// Bytes that are kept of a row.
pub(super) const COLUMN_BYTES: usize =
    size_of::<f64>() + size_of::<RoomKey>() + Quantity::COUNT * size_of::<f32>();
/// Of the rows that there is room for, the part that may be left when they are thinned.
const LEFT_PART: usize = 4;

/// The values of one sensor, each quantity scaled by its range, so that no unit outweighs another.
#[derive(Debug)]
pub(super) struct Columns {
    time: TimeRange,
    /// Milliseconds since the start of the time.
    times: Vec<f64>,
    rooms: Vec<RoomKey>,
    /// Of every quantity that is not always the same; a missing value is not a number.
    scaled: Vec<Vec<f32>>,
    rows_max: usize,
    /// Of the values, or means.
    of_values: Peaks,
    /// Of what means are made of.
    of_readings: Peaks,
}

/// Where the least and the greatest number of every quantity are.
#[derive(Debug, Default)]
pub(super) struct Peaks {
    least: [Option<Peak>; Quantity::COUNT],
    greatest: [Option<Peak>; Quantity::COUNT],
}

/// A number that no other is less or greater than, and the first row that has it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Peak {
    number: f64,
    position: usize,
}

/// What stands out in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Outstanding {
    First,
    Last,
    /// No number of the quantity is greater.
    Greatest(Quantity, f64),
    /// No number of the quantity is less.
    Least(Quantity, f64),
}

impl Peaks {
    fn note(&mut self, position: usize, quantity: Quantity, min: f64, max: f64) {
        let index = quantity.index();
        let peak = |number| Some(Peak { number, position });
        if self.least[index].is_none_or(|least| min < least.number) {
            self.least[index] = peak(min);
        }
        if self.greatest[index].is_none_or(|greatest| max > greatest.number) {
            self.greatest[index] = peak(max);
        }
    }

    /// The rows, first those with the greatest numbers.
    fn outstanding(&self) -> impl Iterator<Item = (usize, Outstanding)> {
        let of = |peaks: &[Option<Peak>; Quantity::COUNT],
                  what: fn(Quantity, f64) -> Outstanding| {
            let quantities = Quantity::ALL.into_iter().zip(*peaks);
            quantities.filter_map(move |(quantity, peak)| {
                let Peak { number, position } = peak?;
                Some((position, what(quantity, number)))
            })
        };
        let greatest = of(&self.greatest, Outstanding::Greatest);
        greatest.chain(of(&self.least, Outstanding::Least))
    }

    fn peaks_mut(&mut self) -> impl Iterator<Item = &mut Peak> {
        self.least.iter_mut().chain(&mut self.greatest).flatten()
    }
}

impl Columns {
    pub(super) fn new(time: TimeRange, rows_max: usize) -> Self {
        Self {
            time,
            times: Vec::with_capacity(rows_max),
            rooms: Vec::with_capacity(rows_max),
            scaled: vec![Vec::new(); Quantity::COUNT],
            rows_max,
            of_values: Peaks::default(),
            of_readings: Peaks::default(),
        }
    }

    /// Adds rows behind those that are here.
    pub(super) fn take(&mut self, rows: &Rows) {
        match rows {
            Rows::Readings(rows) => {
                for row in rows {
                    self.push(row.observed_at, row.room, row.values);
                }
            }
            Rows::Buckets(rows) => {
                for row in rows {
                    for (measure, statistics) in &row.statistics {
                        if let Measure::Quantity(quantity) = measure {
                            let (min, max) = (statistics.min, statistics.max);
                            self.of_readings.note(self.times.len(), *quantity, min, max);
                        }
                    }
                    self.push(row.start, row.room, means(row));
                }
            }
        }
    }

    pub(super) fn push(&mut self, at: Timestamp, room: RoomKey, values: Values) {
        let position = self.times.len();
        for (quantity, number) in values.iter() {
            self.of_values.note(position, quantity, number, number);
            let column = &mut self.scaled[quantity.index()];
            if column.capacity() == 0 {
                column.reserve_exact(self.rows_max);
            }
            column.resize(position, f32::NAN);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "seven digits are enough to draw by"
            )]
            column.push(number as f32);
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "the times of readings are exact"
        )]
        self.times
            .push((at.millis() - self.time.start.millis()) as f64);
        self.rooms.push(room);
    }

    /// Makes room where a lot is here: of as many spans of equal width as there is room for, the least
    /// and the greatest numbers stay, and the first and the last row. What stayed once stays, so that
    /// the old is as dense as the new, and no peak is lost.
    pub(super) fn thin(&mut self) {
        self.fill_up();
        let columns = self
            .scaled
            .iter()
            .filter(|column| !column.is_empty())
            .count();
        let spans = (self.rows_max / LEFT_PART / (2 * columns).max(1)).max(1);
        let mut stays = vec![false; self.times.len()];
        for range in self.spans(spans) {
            for position in self.extremes(range) {
                stays[position] = true;
            }
        }
        // The numbers of the columns are rounded.
        let peaks = self
            .of_values
            .peaks_mut()
            .chain(self.of_readings.peaks_mut());
        for peak in peaks {
            stays[peak.position] = true;
        }
        let ends = [0, stays.len().saturating_sub(1)];
        for end in ends {
            if let Some(stays) = stays.get_mut(end) {
                *stays = true;
            }
        }
        let before = positions_before(&stays);
        for peak in self
            .of_values
            .peaks_mut()
            .chain(self.of_readings.peaks_mut())
        {
            peak.position = before[peak.position];
        }
        retain(&mut self.times, &stays);
        retain(&mut self.rooms, &stays);
        for column in &mut self.scaled {
            retain(column, &stays);
        }
    }

    /// The rows cut into spans of equal width; those without rows are left out.
    fn spans(&self, count: usize) -> Vec<Range<usize>> {
        #[expect(clippy::cast_precision_loss, reason = "a width")]
        let width = self.time.width_ms().max(1) as f64 / count as f64;
        #[expect(clippy::cast_possible_truncation, reason = "a number of a span")]
        let of = |time: f64| (time / width).floor() as i64;
        let mut spans = Vec::new();
        let mut begin = 0;
        for group in self.times.chunk_by(|a, b| of(*a) == of(*b)) {
            spans.push(begin..begin + group.len());
            begin += group.len();
        }
        spans
    }

    /// Makes the numbers of every quantity go from 0 to 1. Called once, when all are here.
    pub(super) fn scale(&mut self) {
        self.fill_up();
        self.scaled.retain_mut(|column| scale(column));
    }

    fn fill_up(&mut self) {
        let columns = self.scaled.iter_mut();
        for column in columns.filter(|column| !column.is_empty()) {
            column.resize(self.times.len(), f32::NAN);
        }
    }

    /// Time and room of a row.
    pub(super) fn key(&self, position: usize) -> (Timestamp, RoomKey) {
        #[expect(clippy::cast_possible_truncation, reason = "it was an integer before")]
        let since_ms = self.times[position] as i64;
        let time = Timestamp::from_millis(self.time.start.millis() + since_ms);
        (time, self.rooms[position])
    }

    /// The rows that are to stay whatever is left out, what matters most first: both ends, then the
    /// greatest and the least values.
    pub(super) fn outstanding(&self) -> impl Iterator<Item = (usize, Outstanding)> {
        self.ends().chain(self.of_values.outstanding())
    }

    /// The same by what means are made of.
    pub(super) fn outstanding_readings(&self) -> impl Iterator<Item = (usize, Outstanding)> {
        self.ends().chain(self.of_readings.outstanding())
    }

    fn ends(&self) -> impl Iterator<Item = (usize, Outstanding)> + use<> {
        let last = self.len().checked_sub(1);
        let ends = last.map(|last| [(0, Outstanding::First), (last, Outstanding::Last)]);
        ends.into_iter().flatten()
    }
}

/// How many stay before each.
fn positions_before(stays: &[bool]) -> Vec<usize> {
    let mut count = 0;
    let positions = stays.iter().map(|stays| {
        let before = count;
        count += usize::from(*stays);
        before
    });
    positions.collect()
}

/// Leaves what stays.
fn retain<T>(all: &mut Vec<T>, stays: &[bool]) {
    let mut stays = stays.iter();
    all.retain(|_| stays.next().is_some_and(|stays| *stays));
}

/// Makes numbers go from 0 to 1; `false` when they are all the same.
fn scale(column: &mut [f32]) -> bool {
    let min = column.iter().copied().fold(f32::INFINITY, f32::min);
    let max = column.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for number in &mut *column {
        *number = (*number - min) / (max - min);
    }
    min < max
}

/// The middle of some rows, in the order of the columns.
#[derive(Debug)]
pub(super) struct Average {
    time: f64,
    values: SmallVec<[f64; Quantity::COUNT]>,
}

impl Series for Columns {
    type Average = Average;

    fn len(&self) -> usize {
        self.times.len()
    }

    fn extremes(&self, range: Range<usize>) -> Positions {
        let mut positions = Positions::new();
        for column in &self.scaled {
            let Some(numbers) = column.get(range.clone()) else {
                continue;
            };
            let (mut least, mut greatest) = (None, None);
            for (number, position) in numbers.iter().zip(range.clone()) {
                if number.is_nan() {
                    continue;
                }
                if least.is_none_or(|(least, _)| number < least) {
                    least = Some((number, position));
                }
                if greatest.is_none_or(|(greatest, _)| number > greatest) {
                    greatest = Some((number, position));
                }
            }
            positions.extend([least, greatest].into_iter().flatten().map(|(_, at)| at));
        }
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    fn average(&self, range: Range<usize>) -> Average {
        let columns = self.scaled.iter();
        Average {
            time: mean(self.times[range.clone()].iter().copied()),
            values: columns
                .map(|column| {
                    mean(
                        column[range.clone()]
                            .iter()
                            .map(|number| f64::from(*number)),
                    )
                })
                .collect(),
        }
    }

    /// The sum of the areas of all quantities. One that is missing at a corner has none.
    fn area(&self, kept: usize, candidate: usize, next: &Average) -> f64 {
        let to_next = self.times[kept] - next.time;
        let to_candidate = self.times[kept] - self.times[candidate];
        let mut sum = 0.0;
        for (column, next) in self.scaled.iter().zip(&next.values) {
            let value = f64::from(column[kept]);
            let area =
                to_next * (f64::from(column[candidate]) - value) - to_candidate * (next - value);
            if !area.is_nan() {
                sum += area.abs();
            }
        }
        sum
    }
}

/// The mean of the numbers that are there.
fn mean(numbers: impl Iterator<Item = f64>) -> f64 {
    let there = numbers.filter(|number| !number.is_nan());
    let (sum, count) = there.fold((0.0, 0.0), |(sum, count), number| {
        (sum + number, count + 1.0)
    });
    sum / count
}

#[cfg(test)]
mod tests;

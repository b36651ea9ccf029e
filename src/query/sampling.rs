//! Histories of any length as few points enough to draw.

use super::lttb::{Series, lttb};
use super::rows::Rows;
use super::step::{DAY_MS, HOUR_MS, MINUTE_MS};
use super::write::means;
use crate::domain::{Quantity, Timestamp, Values};
use crate::store::{Bucket, HistoryQuery, Store, StoreError};
use smallvec::SmallVec;
use std::ops::Range;

/// Fewest points a line can be drawn through.
pub(super) const POINTS_MIN: u32 = 2;
/// Most points of one sensor.
pub(super) const POINTS_MAX: u32 = 100_000;
/// Most points of all sensors together: they are in memory until they are sent.
pub(super) const POINTS_TOTAL_MAX: usize = 200_000;
/// Readings, on average of a sensor, up to which the points are readings; above they are means.
const READINGS_SAMPLED_MAX: u64 = 20_000;
/// Rows of one sensor that are in memory at once. Readings more than that are put together; means of
/// a step that was asked for are refused.
const ROWS_SAMPLED_MAX: u32 = 100_000;
/// Means for each point: enough to choose from.
const MEANS_PER_POINT: u64 = 16;
/// Widths of the means that points are chosen from when there are too many readings.
const WIDTHS_MS: [i64; 4] = [MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, DAY_MS];

/// A history to be drawn.
#[derive(Debug)]
pub(super) struct Sampling<'a> {
    pub(super) store: &'a Store,
    pub(super) query: &'a HistoryQuery,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    /// Most points of each sensor.
    pub(super) points: u32,
    /// Means to choose from, when they are asked for.
    pub(super) step: Option<Bucket>,
}

impl Sampling<'_> {
    /// The points of all sensors, in order; `None` when the step gives more means than can be chosen
    /// from.
    pub(super) async fn rows(&self) -> Result<Option<Rows>, StoreError> {
        if self.query.sensors.is_empty() || self.from >= self.to {
            return Ok(Some(Rows::none(self.step)));
        }
        for source in self.sources().await? {
            if let Some(rows) = self.chosen_from(source).await? {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    /// What the points can be chosen from, the best first. The next is for when the one before turns
    /// out to be too much.
    async fn sources(&self) -> Result<SmallVec<[Option<Bucket>; 5]>, StoreError> {
        if self.step.is_some() {
            return Ok(SmallVec::from_slice(&[self.step]));
        }
        let mut sources = SmallVec::new();
        let readings = self.store.reading_count(self.query, self.from, self.to);
        let of_each = readings.await? / self.query.sensors.len() as u64;
        // Also when no reading would be left out.
        if of_each <= READINGS_SAMPLED_MAX.max(self.points.into()) {
            sources.push(None);
        }
        let means_max = (u64::from(self.points) * MEANS_PER_POINT).min(ROWS_SAMPLED_MAX.into());
        let span_ms = self.to.millis().abs_diff(self.from.millis());
        for width_ms in WIDTHS_MS {
            // It may begin and end inside a bucket.
            let means = span_ms / width_ms.unsigned_abs() + 2;
            if means <= means_max || width_ms == DAY_MS {
                sources.push(Some(Bucket {
                    width_ms,
                    origin_ms: 0,
                }));
            }
        }
        Ok(sources)
    }

    /// The points of all sensors chosen from readings or means; `None` when one sensor has too many.
    async fn chosen_from(&self, source: Option<Bucket>) -> Result<Option<Rows>, StoreError> {
        let mut chosen = Rows::none(source);
        // One after the other, so that only one is in memory as a whole.
        for sensor in &self.query.sensors {
            let query = HistoryQuery {
                sensors: vec![*sensor],
                rooms: self.query.rooms.clone(),
            };
            let (from, to) = (self.from, self.to);
            let mut rows =
                Rows::fetch(self.store, &query, source, from, to, ROWS_SAMPLED_MAX).await?;
            if rows.len() >= ROWS_SAMPLED_MAX as usize {
                return Ok(None);
            }
            if rows.len() > self.points as usize {
                let columns = Columns::of(&rows);
                rows.keep(&lttb(&columns, self.points as usize));
            }
            chosen.append(rows);
        }
        chosen.sort();
        Ok(Some(chosen))
    }
}

/// The values of one sensor, each quantity scaled by its range, so that no unit outweighs another.
#[derive(Debug)]
struct Columns {
    /// Milliseconds since the first row.
    times: Vec<f64>,
    /// Of every quantity that is not always the same; a missing value is not a number.
    scaled: Vec<Vec<f64>>,
}

impl Columns {
    fn of(rows: &Rows) -> Self {
        match rows {
            Rows::Readings(rows) => Self::new(rows.iter().map(|row| (row.observed_at, row.values))),
            Rows::Buckets(rows) => Self::new(rows.iter().map(|row| (row.start, means(row)))),
        }
    }

    fn new(points: impl Iterator<Item = (Timestamp, Values)>) -> Self {
        let mut times = Vec::new();
        let mut scaled = vec![Vec::new(); Quantity::COUNT];
        let mut first_ms = None;
        for (at, values) in points {
            for (quantity, number) in values.iter() {
                let column = &mut scaled[quantity.index()];
                column.resize(times.len(), f64::NAN);
                column.push(number);
            }
            let since_ms = at.millis() - *first_ms.get_or_insert(at.millis());
            #[expect(
                clippy::cast_precision_loss,
                reason = "the times of readings are exact"
            )]
            times.push(since_ms as f64);
        }
        scaled.retain_mut(|column| scale(column));
        for column in &mut scaled {
            column.resize(times.len(), f64::NAN);
        }
        Self { times, scaled }
    }
}

/// Makes numbers go from 0 to 1; `false` when they are all the same.
fn scale(column: &mut [f64]) -> bool {
    let min = column.iter().copied().fold(f64::INFINITY, f64::min);
    let max = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for number in &mut *column {
        *number = (*number - min) / (max - min);
    }
    min < max
}

/// The middle of some rows, in the order of the columns.
struct Average {
    time: f64,
    values: SmallVec<[f64; Quantity::COUNT]>,
}

impl Series for Columns {
    type Average = Average;

    fn len(&self) -> usize {
        self.times.len()
    }

    fn average(&self, range: Range<usize>) -> Average {
        let columns = self.scaled.iter();
        Average {
            time: mean(&self.times[range.clone()]),
            values: columns.map(|column| mean(&column[range.clone()])).collect(),
        }
    }

    /// The sum of the areas of all quantities. One that is missing at a corner has none.
    fn area(&self, kept: usize, candidate: usize, next: &Average) -> f64 {
        let to_next = self.times[kept] - next.time;
        let to_candidate = self.times[kept] - self.times[candidate];
        let mut sum = 0.0;
        for (column, next) in self.scaled.iter().zip(&next.values) {
            let value = column[kept];
            let area = to_next * (column[candidate] - value) - to_candidate * (next - value);
            if !area.is_nan() {
                sum += area.abs();
            }
        }
        sum
    }
}

/// The mean of the numbers that are there.
fn mean(numbers: &[f64]) -> f64 {
    let there = numbers.iter().filter(|number| !number.is_nan());
    let (sum, count) = there.fold((0.0, 0.0), |(sum, count), number| {
        (sum + number, count + 1.0)
    });
    sum / count
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    fn columns(rows: &[&[(Quantity, f64)]]) -> Columns {
        let points = rows.iter().zip(0..).map(|(row, minute)| {
            let mut values = Values::default();
            for (quantity, number) in *row {
                assert!(values.set(*quantity, *number));
            }
            (Timestamp::from_millis(minute * MINUTE_MS), values)
        });
        Columns::new(points)
    }

    /// The row of ten that stays beside both ends: row 2 has more of `one`, row 5 of both.
    fn chosen(one: (Quantity, f64), both: [(Quantity, f64); 2]) -> usize {
        let level = |quantity: Quantity| match quantity {
            Quantity::Co2 => 600.0,
            _ => 20.0,
        };
        let mut rows = vec![both.map(|(quantity, _)| (quantity, level(quantity))); 10];
        for (at, more) in [(2, &[one][..]), (5, &both[..])] {
            for (quantity, number) in &mut rows[at] {
                let more = more.iter().find(|(of, _)| of == quantity);
                *number += more.map_or(0.0, |(_, more)| *more);
            }
        }
        let columns = columns(&rows.iter().map(|row| &row[..]).collect::<Vec<_>>());
        lttb(&columns, 3)[1]
    }

    #[test]
    fn no_quantity_outweighs_another_by_its_unit() {
        let (co2, temperature) = (Quantity::Co2, Quantity::Temperature);
        assert_eq!(chosen((co2, 100.0), [(co2, 10.0), (temperature, 1.0)]), 5);
        assert_eq!(
            chosen((temperature, 1.0), [(co2, 100.0), (temperature, 0.1)]),
            5
        );
        assert_eq!(chosen((co2, 100.0), [(co2, 0.0), (temperature, 0.0)]), 2);
    }

    #[test]
    fn what_is_missing_or_always_the_same_has_no_area() {
        let (co2, pm25, humidity) = (Quantity::Co2, Quantity::Pm25, Quantity::Humidity);
        let columns = columns(&[
            &[(co2, 600.0), (humidity, 40.0)],
            &[(pm25, 5.0), (humidity, 40.0)],
            &[(co2, 700.0), (humidity, 40.0)],
            &[(co2, 600.0), (pm25, 9.0)],
        ]);
        assert_eq!(columns.scaled.len(), 2, "humidity never changes");
        let end = columns.average(3..4);
        assert!(columns.area(0, 1, &end) < f64::EPSILON);
        assert!(columns.area(0, 2, &end) > 0.0);
        let middle = columns.average(0..3).values[0];
        assert!((middle - 0.5).abs() < f64::EPSILON, "{middle}");
    }
}

//! Histories of any length as few points enough to draw.
//!
//! What points are chosen from is read in pieces. All that is kept of them are the numbers the choice
//! is made by, and the rows themselves while they are few; when they are many, the chosen ones are
//! read again as they are sent.

use super::body::{LeasedRows, TEXT_BYTES_MAX};
use super::lttb::{Series, lttb};
use super::rows::{Order, Rows};
use super::slices::Slices;
use super::step::{DAY_MS, HOUR_MS, MINUTE_MS};
use super::write::means;
use crate::database::{RoomKey, SensorKey, StoreError};
use crate::domain::{Quantity, TimeRange, Timestamp, Values};
use crate::read_budget::{Lease, Owner, ReadBudget, TooMuchRead};
use crate::store::{Bucket, HistoryQuery, Store};
use smallvec::SmallVec;
use std::ops::Range;
use std::time::Duration;

/// Fewest points a line can be drawn through.
pub(super) const POINTS_MIN: u32 = 2;
/// Most points of one sensor: more than any screen has columns.
pub(super) const POINTS_MAX: u32 = 10_000;
/// Most points of all sensors together.
pub(super) const POINTS_TOTAL_MAX: usize = 100_000;
/// Readings, on average of a sensor, up to which the points are readings; above they are means.
const READINGS_SAMPLED_MAX: u64 = 20_000;
/// Rows of one sensor that points are chosen from. Readings more than that are put together; means of
/// a step that was asked for are refused.
const ROWS_SAMPLED_MAX: u32 = 100_000;
/// Means for each point: enough to choose from.
const MEANS_PER_POINT: u64 = 16;
/// Widths of the means that points are chosen from when there are too many readings.
const WIDTHS_MS: [i64; 4] = [MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, DAY_MS];
/// Bytes of rows read at once.
const SLICE_BYTES_WANTED: usize = 512 * 1024;
/// Bytes of rows of one sensor that are kept to choose from, and of all sensors that are chosen.
/// What is more is read again.
const ROWS_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Bytes of a row, when it has more values than most.
const ROW_BYTES_MAX: usize = 1024;
/// Bytes that are kept of a row to choose it by.
const COLUMN_BYTES: usize =
    size_of::<f64>() + size_of::<RoomKey>() + Quantity::COUNT * size_of::<f32>();
/// Rows from which points are chosen where they are asked for, which takes less than a millisecond;
/// of more of them they are chosen on a thread for such work.
const CHOSEN_AT_ONCE_MAX: usize = 2_000;

/// A history to be drawn.
#[derive(Debug)]
pub(super) struct Sampling<'a> {
    pub(super) store: &'a Store,
    pub(super) query: &'a HistoryQuery,
    pub(super) time: TimeRange,
    /// Most points of each sensor.
    pub(super) points: u32,
    /// Means to choose from, when they are asked for.
    pub(super) step: Option<Bucket>,
    /// Whose memory is taken while points are chosen.
    pub(super) budget: &'a ReadBudget,
    pub(super) owner: Owner,
    /// How long that is waited for.
    pub(super) turn_wait_max: Duration,
}

/// The points that were chosen.
#[derive(Debug)]
pub(super) struct Points {
    /// What they are means of; readings when there is none.
    pub(super) source: Option<Bucket>,
    /// Which rows they are, in order.
    pub(super) chosen: Vec<Order>,
    /// They themselves, unless they are too many to be kept.
    pub(super) rows: Option<LeasedRows>,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub(super) enum SamplingError {
    #[error("the step gives more means than can be chosen from")]
    StepTooShort,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    TooMuchRead(#[from] TooMuchRead),
}

impl Sampling<'_> {
    /// The points of all sensors.
    pub(super) async fn points(&self) -> Result<Points, SamplingError> {
        if self.query.sensors.is_empty() || self.time.is_empty() {
            return Ok(Points {
                source: self.step,
                chosen: Vec::new(),
                rows: None,
            });
        }
        for (source, rows_max) in self.sources().await? {
            let lease = self.work(source, rows_max).await?;
            if let Some(points) = self.chosen_from(source, rows_max, lease).await? {
                return Ok(points);
            }
        }
        Err(SamplingError::StepTooShort)
    }

    /// What the points can be chosen from, the best first, and about how many rows of a sensor that
    /// can be. The next is for when the one before turns out to be too much.
    async fn sources(&self) -> Result<SmallVec<[(Option<Bucket>, usize); 5]>, StoreError> {
        let rows_max = |rows: u64| {
            let rows = u32::try_from(rows).unwrap_or(ROWS_SAMPLED_MAX);
            rows.min(ROWS_SAMPLED_MAX) as usize
        };
        let span_ms = self.time.width_ms();
        // It may begin and end inside a bucket.
        let means_in = |width_ms: i64| span_ms / width_ms.unsigned_abs() + 2;
        let mut sources = SmallVec::new();
        if let Some(step) = self.step {
            sources.push((self.step, rows_max(means_in(step.width_ms))));
            return Ok(sources);
        }
        let readings = self.store.reading_count(self.query, self.time);
        let readings = readings.await?;
        let of_each = readings / self.query.sensors.len() as u64;
        if of_each <= READINGS_SAMPLED_MAX {
            sources.push((None, rows_max(readings)));
        }
        let means_max = (u64::from(self.points) * MEANS_PER_POINT).min(ROWS_SAMPLED_MAX.into());
        for width_ms in WIDTHS_MS {
            let means = means_in(width_ms);
            if means <= means_max || width_ms == DAY_MS {
                let bucket = Bucket {
                    width_ms,
                    origin_ms: 0,
                };
                sources.push((Some(bucket), rows_max(means)));
            }
        }
        Ok(sources)
    }

    /// The memory it takes to choose from `rows_max` rows of a sensor.
    async fn work(&self, source: Option<Bucket>, rows_max: usize) -> Result<Lease, TooMuchRead> {
        let kept = (rows_max * ROW_BYTES_MAX).min(ROWS_BYTES_MAX);
        let points = (self.points as usize).min(rows_max) * self.query.sensors.len();
        let chosen = points.saturating_mul(ROW_BYTES_MAX).min(ROWS_BYTES_MAX);
        let slices = self.slices(SensorKey(0), source, rows_max).work_bytes();
        let bytes = rows_max * COLUMN_BYTES + kept + chosen + slices;
        let work = self.budget.work(self.owner, bytes, self.turn_wait_max);
        work.await
    }

    /// The rows of one sensor.
    fn slices(&self, sensor: SensorKey, source: Option<Bucket>, rows_max: usize) -> Slices {
        let query = HistoryQuery {
            sensors: vec![sensor],
            rooms: self.query.rooms.clone(),
        };
        let span_ms = self.time.width_ms().max(1);
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let rows_per_ms = rows_max as f64 / span_ms as f64;
        let store = self.store.clone();
        let bytes = SLICE_BYTES_WANTED;
        Slices::new(
            store,
            query,
            source,
            self.time,
            rows_per_ms,
            u64::MAX,
            bytes,
        )
    }

    /// The points of all sensors chosen from readings or means; `None` when one sensor has too many.
    async fn chosen_from(
        &self,
        source: Option<Bucket>,
        rows_max: usize,
        mut lease: Lease,
    ) -> Result<Option<Points>, StoreError> {
        let mut chosen = Vec::new();
        let mut rows = Some(Rows::none(source));
        // One after the other, so that the numbers of only one are in memory.
        for sensor in &self.query.sensors {
            let slices = self.slices(*sensor, source, rows_max);
            let Some(candidates) = Candidates::of(slices, source, rows_max).await? else {
                return Ok(None);
            };
            let (orders, of_sensor) = candidates.chosen(*sensor, self.points as usize).await?;
            chosen.extend(orders);
            rows = match (rows, of_sensor) {
                (Some(mut rows), Some(more)) if rows.bytes() + more.bytes() <= ROWS_BYTES_MAX => {
                    rows.append(more);
                    Some(rows)
                }
                _ => None,
            };
        }
        chosen.sort_unstable();
        let rows = rows.map(|mut rows| {
            rows.sort();
            lease.shrink_to(rows.bytes() + TEXT_BYTES_MAX);
            let lease = Some(lease);
            LeasedRows { rows, lease }
        });
        Ok(Some(Points {
            source,
            chosen,
            rows,
        }))
    }
}

/// What the points of one sensor are chosen from.
#[derive(Debug)]
struct Candidates {
    columns: Columns,
    /// The rows themselves, unless they are too many to be kept.
    rows: Option<Rows>,
}

impl Candidates {
    /// `None` when there are too many.
    async fn of(
        mut slices: Slices,
        source: Option<Bucket>,
        rows_max: usize,
    ) -> Result<Option<Self>, StoreError> {
        let mut columns = Columns::with_room_for(rows_max);
        let mut kept = Some(Rows::none(source));
        let mut bytes = 0;
        while let Some(rows) = slices.next().await? {
            columns.take(&rows);
            if columns.times.len() >= ROWS_SAMPLED_MAX as usize {
                return Ok(None);
            }
            bytes += rows.bytes();
            if bytes > ROWS_BYTES_MAX {
                kept = None;
            } else if let Some(kept) = &mut kept {
                kept.append(rows);
            }
        }
        Ok(Some(Self {
            columns,
            rows: kept,
        }))
    }

    /// The points, and their rows if they are here.
    async fn chosen(
        self,
        sensor: SensorKey,
        points: usize,
    ) -> Result<(Vec<Order>, Option<Rows>), StoreError> {
        let is_small = self.columns.times.len() <= CHOSEN_AT_ONCE_MAX;
        let choose = move || {
            let Self { mut columns, rows } = self;
            columns.scale();
            let positions = lttb(&columns, points);
            let orders = positions.iter().map(|position| {
                let (time, room) = columns.key(*position);
                (time, sensor, room)
            });
            let orders = orders.collect();
            let mut wanted = positions.iter().peekable();
            let rows = rows.map(|mut rows| {
                rows.retain(|position| wanted.next_if_eq(&&position).is_some());
                rows
            });
            (orders, rows)
        };
        if is_small {
            return Ok(choose());
        }
        let chosen = tokio::task::spawn_blocking(choose).await;
        chosen.map_err(|error| StoreError::Unusable(format!("choosing broke off: {error}")))
    }
}

/// The values of one sensor, each quantity scaled by its range, so that no unit outweighs another.
#[derive(Debug)]
struct Columns {
    first_ms: i64,
    /// Milliseconds since the first row.
    times: Vec<f64>,
    rooms: Vec<RoomKey>,
    /// Of every quantity that is not always the same; a missing value is not a number.
    scaled: Vec<Vec<f32>>,
    rows_max: usize,
}

impl Columns {
    fn with_room_for(rows_max: usize) -> Self {
        Self {
            first_ms: 0,
            times: Vec::with_capacity(rows_max),
            rooms: Vec::with_capacity(rows_max),
            scaled: vec![Vec::new(); Quantity::COUNT],
            rows_max,
        }
    }

    /// Adds rows behind those that are here.
    fn take(&mut self, rows: &Rows) {
        match rows {
            Rows::Readings(rows) => {
                for row in rows {
                    self.push(row.observed_at, row.room, row.values);
                }
            }
            Rows::Buckets(rows) => {
                for row in rows {
                    self.push(row.start, row.room, means(row));
                }
            }
        }
    }

    fn push(&mut self, at: Timestamp, room: RoomKey, values: Values) {
        if self.times.is_empty() {
            self.first_ms = at.millis();
        }
        for (quantity, number) in values.iter() {
            let column = &mut self.scaled[quantity.index()];
            if column.capacity() == 0 {
                column.reserve_exact(self.rows_max);
            }
            column.resize(self.times.len(), f32::NAN);
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
        self.times.push((at.millis() - self.first_ms) as f64);
        self.rooms.push(room);
    }

    /// Makes the numbers of every quantity go from 0 to 1. Called once, when all are here.
    fn scale(&mut self) {
        self.scaled.retain_mut(|column| scale(column));
        for column in &mut self.scaled {
            column.resize(self.times.len(), f32::NAN);
        }
    }

    /// Time and room of a row.
    fn key(&self, position: usize) -> (Timestamp, RoomKey) {
        #[expect(clippy::cast_possible_truncation, reason = "it was an integer before")]
        let since_ms = self.times[position] as i64;
        let time = Timestamp::from_millis(self.first_ms + since_ms);
        (time, self.rooms[position])
    }
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
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    fn columns(rows: &[&[(Quantity, f64)]]) -> Columns {
        let mut columns = Columns::with_room_for(rows.len());
        for (row, minute) in rows.iter().zip(0..) {
            let mut values = Values::default();
            for (quantity, number) in *row {
                assert!(values.set(*quantity, *number));
            }
            let at = Timestamp::from_millis(minute * MINUTE_MS);
            columns.push(at, RoomKey(1), values);
        }
        columns.scale();
        columns
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

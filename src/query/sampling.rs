//! Histories of any length as few points enough to draw.
//!
//! What points are chosen from is read in pieces. All that is kept of them are the numbers the choice
//! is made by, and the rows themselves while they are few; when they are many, the chosen ones are
//! read again as they are sent.
//!
//! Whatever is left out, both ends and the least and the greatest value of every quantity stay. A mean
//! hides them, so where points are means the readings themselves are looked for and stand in the place
//! of the means that hide them.

use super::body::{LeasedRows, TEXT_BYTES_MAX};
use super::columns::{COLUMN_BYTES, Columns, Outstanding};
use super::lttb::{Series, between};
use super::rows::{Order, Rows};
use super::slices::Slices;
use super::step::{DAY_MS, HOUR_MS, MINUTE_MS};
use crate::database::{RoomKey, SensorKey, StoreError};
use crate::domain::{TimeRange, Timestamp, Zone};
use crate::read_budget::{Lease, Owner, ReadBudget, TooMuchRead};
use crate::store::{Bucket, BucketRow, HistoryQuery, Measure, Store};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Fewest points a line can be drawn through.
pub(super) const POINTS_MIN: u32 = 2;
/// Most points of one sensor: more than any screen has columns.
pub(super) const POINTS_MAX: u32 = 10_000;
/// Most points of all sensors together.
pub(super) const POINTS_TOTAL_MAX: usize = 100_000;
/// Readings, on average of a sensor, up to which the points are readings, and those of all sensors up to
/// which they are; above they are means.
const READINGS_SAMPLED_MAX: u64 = 20_000;
const READINGS_SAMPLED_TOTAL_MAX: u64 = 200_000;
/// Rows of one sensor whose numbers are kept. Of more readings those that stand out are; more means of a
/// step that was asked for are refused.
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
    /// Whether the least and the greatest reading of a mean are shown with it.
    pub(super) minmax: bool,
    /// Whose days means of a day are of.
    pub(super) zone: &'a Zone,
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
    /// Those of them that are readings in the place of means, in order.
    pub(super) readings: Vec<Order>,
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
                source: self.step.clone(),
                chosen: Vec::new(),
                readings: Vec::new(),
                rows: None,
            });
        }
        for (source, rows_max) in self.sources().await? {
            let lease = self.work(source.as_ref(), rows_max).await?;
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
        if let Some(step) = &self.step {
            sources.push((Some(step.clone()), rows_max(means_in(step.usual_ms()))));
            return Ok(sources);
        }
        let readings = self.store.reading_count(self.query, self.time);
        let readings = readings.await?;
        let of_each = readings / self.query.sensors.len() as u64;
        let are_few = of_each <= READINGS_SAMPLED_MAX || readings <= READINGS_SAMPLED_TOTAL_MAX;
        // Where some may be gone, only means know of all.
        if are_few && self.time.start >= self.store.readings_from() {
            sources.push((None, rows_max(readings)));
        }
        let means_max = (u64::from(self.points) * MEANS_PER_POINT).min(ROWS_SAMPLED_MAX.into());
        for width_ms in WIDTHS_MS {
            let means = means_in(width_ms);
            if means <= means_max || width_ms == DAY_MS {
                let bucket = if width_ms == DAY_MS {
                    Bucket::days(self.zone, 1, 0)
                } else {
                    Bucket::even(width_ms)
                };
                sources.push((Some(bucket), rows_max(means)));
            }
        }
        Ok(sources)
    }

    /// The memory it takes to choose from `rows_max` rows of a sensor.
    async fn work(&self, source: Option<&Bucket>, rows_max: usize) -> Result<Lease, TooMuchRead> {
        let kept = (rows_max * ROW_BYTES_MAX).min(ROWS_BYTES_MAX);
        let points = (self.points as usize).min(rows_max) * self.query.sensors.len();
        let chosen = points.saturating_mul(ROW_BYTES_MAX).min(ROWS_BYTES_MAX);
        let slices = self.slices(SensorKey(0), source, rows_max);
        let slices = slices.work_bytes();
        let bytes = rows_max * COLUMN_BYTES + kept + chosen + slices;
        let work = self.budget.work(self.owner, bytes, self.turn_wait_max);
        work.await
    }

    /// The rows of one sensor.
    fn slices(&self, sensor: SensorKey, source: Option<&Bucket>, rows_max: usize) -> Slices {
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
            source.cloned(),
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
        let (mut chosen, mut readings) = (Vec::new(), Vec::new());
        let mut rows = Some(Rows::none(source.as_ref()));
        // One after the other, so that the numbers of only one are in memory.
        for sensor in &self.query.sensors {
            let slices = self.slices(*sensor, source.as_ref(), rows_max);
            let candidates = Candidates::of(slices, source.as_ref(), self.time, rows_max);
            let Some(candidates) = candidates.await? else {
                return Ok(None);
            };
            let pinned = self.pinned(*sensor, source.as_ref(), &candidates.columns);
            let pinned = pinned.await?;
            let of_sensor = candidates.chosen(*sensor, pinned, self.points as usize);
            let of_sensor = of_sensor.await?;
            chosen.extend(of_sensor.orders);
            readings.extend(of_sensor.readings);
            rows = match (rows, of_sensor.rows) {
                (Some(mut rows), Some(more)) if rows.bytes() + more.bytes() <= ROWS_BYTES_MAX => {
                    rows.append(more);
                    Some(rows)
                }
                _ => None,
            };
        }
        chosen.sort_unstable();
        readings.sort_unstable();
        let rows = rows.map(|mut rows| {
            rows.sort();
            lease.shrink_to(rows.bytes() + TEXT_BYTES_MAX);
            let lease = Some(lease);
            LeasedRows { rows, lease }
        });
        Ok(Some(Points {
            source,
            chosen,
            readings,
            rows,
        }))
    }

    /// The rows of a sensor that stay, whatever becomes of the others, as far as there are points for
    /// them.
    async fn pinned(
        &self,
        sensor: SensorKey,
        source: Option<&Bucket>,
        columns: &Columns,
    ) -> Result<Pinned, StoreError> {
        let points_max = self.points as usize;
        let mut pinned = Pinned::default();
        match source {
            Some(bucket) if self.step.is_none() => {
                for (position, what) in columns.outstanding_readings() {
                    if pinned.points() >= points_max {
                        break;
                    }
                    let reading = self.hidden(sensor, bucket, columns.key(position), what);
                    pinned.add_reading(position, reading.await?, points_max);
                }
            }
            source => {
                pinned.add_rows(columns.outstanding(), points_max);
                if source.is_some() && self.minmax {
                    pinned.add_rows(columns.outstanding_readings(), points_max);
                }
            }
        }
        Ok(pinned)
    }

    /// The reading that stands out in a mean, looked for in finer and finer means; `None` when it is
    /// not kept any more.
    async fn hidden(
        &self,
        sensor: SensorKey,
        bucket: &Bucket,
        (at, room): (Timestamp, RoomKey),
        what: Outstanding,
    ) -> Result<Option<BucketRow>, StoreError> {
        let query = HistoryQuery {
            sensors: vec![sensor],
            rooms: Some(vec![room]),
        };
        let mut time = bucket.span(at).intersect(self.time);
        for width_ms in WIDTHS_MS.into_iter().rev() {
            if width_ms >= bucket.usual_ms() {
                continue;
            }
            let finer = Bucket::even(width_ms);
            let means = self
                .store
                .large_buckets(&query, &finer, time, SLICE_BYTES_WANTED);
            let Some(mean) = what.find(&means.await?).map(|mean| mean.start) else {
                return Ok(None);
            };
            time = finer.span(mean).intersect(time);
        }
        // Mostly few enough for one piece.
        let rate = 0.0;
        let store = self.store.clone();
        let bytes = SLICE_BYTES_WANTED;
        let mut slices = Slices::new(store, query, None, time, rate, u64::MAX, bytes);
        let mut found = None;
        while let Some(rows) = slices.next().await? {
            let Rows::Readings(rows) = rows else { break };
            let rows: Vec<_> = rows.iter().map(BucketRow::of_reading).collect();
            found = what.find(&rows).cloned().or(found);
            if found.is_some() && what != Outstanding::Last {
                break;
            }
        }
        Ok(found)
    }
}

impl Outstanding {
    /// The first row that has it; of the last, the last.
    fn find(self, rows: &[BucketRow]) -> Option<&BucketRow> {
        let numbers = |row: &BucketRow, quantity| {
            let statistics = row.get(Measure::Quantity(quantity));
            statistics.map(|statistics| (statistics.min, statistics.max))
        };
        let is = |a: f64, b: f64| a.total_cmp(&b).is_eq();
        match self {
            Self::First => rows.first(),
            Self::Last => rows.last(),
            Self::Greatest(quantity, number) => rows
                .iter()
                .find(|row| numbers(row, quantity).is_some_and(|(_, max)| is(max, number))),
            Self::Least(quantity, number) => rows
                .iter()
                .find(|row| numbers(row, quantity).is_some_and(|(min, _)| is(min, number))),
        }
    }
}

/// The rows of a sensor that stay: they themselves, or readings in their place.
#[derive(Debug, Default)]
struct Pinned {
    /// By position.
    rows: BTreeMap<usize, Vec<BucketRow>>,
    readings: BTreeSet<Timestamp>,
}

impl Pinned {
    /// How many points they are.
    fn points(&self) -> usize {
        self.rows
            .values()
            .map(|readings| readings.len().max(1))
            .sum()
    }

    fn add_rows(&mut self, rows: impl Iterator<Item = (usize, Outstanding)>, points_max: usize) {
        for (position, _) in rows {
            if self.points() < points_max {
                self.rows.entry(position).or_default();
            }
        }
    }

    /// Pins a row by its reading, or itself where there is none, if there is a point left for it.
    fn add_reading(&mut self, position: usize, reading: Option<BucketRow>, points_max: usize) {
        if self.points() >= points_max {
            return;
        }
        let readings = self.rows.entry(position).or_default();
        if let Some(reading) = reading
            && self.readings.insert(reading.start)
        {
            readings.push(reading);
        }
    }
}

/// What was chosen of one sensor.
#[derive(Debug)]
struct Chosen {
    orders: Vec<Order>,
    readings: Vec<Order>,
    rows: Option<Rows>,
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
        source: Option<&Bucket>,
        time: TimeRange,
        rows_max: usize,
    ) -> Result<Option<Self>, StoreError> {
        let mut columns = Columns::new(time, rows_max);
        let mut kept = Some(Rows::none(source));
        let mut bytes = 0;
        while let Some(rows) = slices.next().await? {
            let is_full = columns.len() + rows.len() > ROWS_SAMPLED_MAX as usize;
            if is_full && source.is_some() {
                return Ok(None);
            }
            if is_full {
                kept = None;
                columns = thinned(columns).await?;
            }
            columns.take(&rows);
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
        pinned: Pinned,
        points: usize,
    ) -> Result<Chosen, StoreError> {
        if self.columns.len() <= CHOSEN_AT_ONCE_MAX {
            return Ok(self.choose(sensor, pinned, points));
        }
        let choosing = tokio::task::spawn_blocking(move || self.choose(sensor, pinned, points));
        choosing.await.map_err(broken_off)
    }

    fn choose(self, sensor: SensorKey, pinned: Pinned, points: usize) -> Chosen {
        let Self { mut columns, rows } = self;
        columns.scale();
        let left = points.saturating_sub(pinned.points());
        let positions: Vec<_> = pinned.rows.keys().copied().collect();
        let mut positions = between(&columns, &positions, left);
        let replaced = |readings: &Vec<_>| !readings.is_empty();
        let themselves = pinned
            .rows
            .iter()
            .filter(|(_, readings)| !replaced(readings));
        positions.extend(themselves.map(|(position, _)| *position));
        positions.sort_unstable();
        let order = |(time, room)| (time, sensor, room);
        let mut orders: Vec<_> = positions
            .iter()
            .map(|position| order(columns.key(*position)))
            .collect();
        let readings: Vec<_> = pinned.rows.into_values().flatten().collect();
        let of_readings: Vec<_> = readings
            .iter()
            .map(|row| order((row.start, row.room)))
            .collect();
        orders.extend(&of_readings);
        let mut wanted = positions.iter().peekable();
        let rows = rows.map(|mut rows| {
            rows.retain(|position| wanted.next_if_eq(&&position).is_some());
            if !readings.is_empty() {
                rows.append(Rows::Buckets(readings));
            }
            rows
        });
        Chosen {
            orders,
            readings: of_readings,
            rows,
        }
    }
}

/// The same rows thinned, on a thread for such work.
async fn thinned(mut columns: Columns) -> Result<Columns, StoreError> {
    let thinning = tokio::task::spawn_blocking(move || {
        columns.thin();
        columns
    });
    thinning.await.map_err(broken_off)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn broken_off(error: tokio::task::JoinError) -> StoreError {
    StoreError::Unusable(format!("choosing broke off: {error}"))
}

#[cfg(test)]
mod tests;

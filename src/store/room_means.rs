//! Averages of every room over the windows of the score.
//!
//! What a sensor adds to them is kept, and readings that come behind all others are added to it. It is read
//! again where anything else has changed, and after a while in any case, because windows move on: with
//! few sensors after a second, with many so seldom that their number read in a second stays the same.

use super::Store;
use super::directory::{Directory, SensorEntry};
use super::history::SENSORS_AT_ONCE;
use super::rows::{Measure, ReadingRow, Statistics};
use super::state::window_minutes;
use crate::clock::CLOCK_PRECISION;
use crate::database::{RoomKey, SensorKey, Series, StoreError};
use crate::domain::{Quantity, Sites, TimeRange, Timestamp, Values};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// Average values of each room that had any.
pub type RoomMeans = FxHashMap<RoomKey, Values>;

/// How far room averages may lag behind, so that many pages asking at once cost one look.
const AGE_MS_MAX: i64 = 1000;
/// How long what a sensor adds is kept, for each sensor there is: of 20 000, a minute.
const KEPT_MS_PER_SENSOR: i64 = 3;
/// However many there are: a tenth of the shortest window.
const KEPT_MS_MAX: i64 = 60_000;

/// Averages and what they are made of.
#[derive(Debug, Default)]
pub(super) struct KeptMeans {
    /// Those of all rooms, and when they were taken.
    whole: Option<(Timestamp, Arc<RoomMeans>)>,
    of_sensors: FxHashMap<SensorKey, Kept>,
}

/// What one sensor adds to the averages.
#[derive(Debug)]
struct Kept {
    /// As of when it was read.
    read_at: Timestamp,
    /// When it is read again.
    due: Timestamp,
    seen: Seen,
    sums: Sums,
}

/// How far a sensor's readings are known: with nothing amended and so many of them, they are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    amended: u64,
    reading_count: u64,
    newest_at: Timestamp,
}

type Sums = SmallVec<[(RoomKey, Quantity, Statistics); 5]>;

impl Seen {
    fn of(entry: &SensorEntry) -> Self {
        Self {
            amended: entry.amended,
            reading_count: entry.reading_count,
            newest_at: entry.newest_at,
        }
    }
}

impl Kept {
    fn add(&mut self, row: &ReadingRow) {
        for (quantity, number) in row.values.iter() {
            add(&mut self.sums, row.room, quantity, &Statistics::of(number));
        }
    }
}

fn add(sums: &mut Sums, room: RoomKey, quantity: Quantity, statistics: &Statistics) {
    let mut known = sums.iter_mut();
    match known.find(|(of, what, _)| (*of, *what) == (room, quantity)) {
        Some((.., sum)) => sum.add(statistics),
        None => sums.push((room, quantity, *statistics)),
    }
}

/// Quantities that are averaged over the same time, and the sensors that measure them.
#[derive(Debug)]
struct AveragingWindow {
    minutes: u32,
    quantities: Vec<Quantity>,
    sensors: Vec<SensorKey>,
}

impl Store {
    /// Averages of the rooms of these sites, and perhaps of others, over the windows of the score; of all
    /// rooms at most a second old.
    pub async fn room_means(
        &self,
        sites: &Sites,
        now: Timestamp,
    ) -> Result<Arc<RoomMeans>, StoreError> {
        let mut kept = self.room_means.lock().await;
        let kept = kept.get_or_insert_default();
        if let Some((at, means)) = &kept.whole
            && (now.millis() - at.millis()).abs() < AGE_MS_MAX
        {
            return Ok(Arc::clone(means));
        }
        self.bring_up_to_date(&mut kept.of_sensors, sites, now)
            .await?;
        let means = self.directory(|directory| means(directory, &kept.of_sensors, sites, now));
        let means = Arc::new(means);
        if sites.are_all() {
            kept.whole = Some((now, Arc::clone(&means)));
        }
        Ok(means)
    }

    /// Sees to it that what the sensors of the sites add is known.
    async fn bring_up_to_date(
        &self,
        kept: &mut FxHashMap<SensorKey, Kept>,
        sites: &Sites,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // What is further ahead has not come.
        let end = now.plus(CLOCK_PRECISION);
        let (unread, count) = self.directory(|directory| {
            let unread = directory.sensors_of(sites).filter(|sensor| {
                let known = kept.get_mut(&sensor.key);
                !known.is_some_and(|known| self.continues(known, sensor, now, end))
            });
            let unread: Vec<_> = unread
                .map(|sensor| (sensor.key, Seen::of(sensor)))
                .collect();
            (unread, directory.sensor_count())
        });
        if kept.len() > count {
            self.directory(|directory| kept.retain(|key, _| directory.sensor(*key).is_some()));
        }
        if unread.is_empty() {
            return Ok(());
        }
        let mut read = self.read_windows(&unread, now, end).await?;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let kept_ms = KEPT_MS_PER_SENSOR.saturating_mul(count);
        let kept_ms = kept_ms.clamp(AGE_MS_MAX, KEPT_MS_MAX);
        self.directory(|directory| {
            for (key, seen) in unread {
                let sums = read.remove(&key).unwrap_or_default();
                // What came while it was read may be in it or not, and what is ahead is not.
                let is_same = directory.sensor(key).map(Seen::of) == Some(seen);
                let due = if is_same && seen.newest_at <= end {
                    due(key, now, kept_ms)
                } else {
                    now
                };
                let read_at = now;
                kept.insert(
                    key,
                    Kept {
                        read_at,
                        due,
                        seen,
                        sums,
                    },
                );
            }
        });
        Ok(())
    }

    /// Adds what came behind all that is known of a sensor; `false` when it has to be read again.
    fn continues(
        &self,
        known: &mut Kept,
        sensor: &SensorEntry,
        now: Timestamp,
        end: Timestamp,
    ) -> bool {
        let seen = Seen::of(sensor);
        if now >= known.due || now < known.read_at || seen.amended != known.seen.amended {
            return false;
        }
        if seen == known.seen {
            return true;
        }
        let behind = Timestamp::from_millis(known.seen.newest_at.millis().saturating_add(1));
        let rows = self.recent.within(sensor.key, behind..=seen.newest_at);
        let are_all = known.seen.reading_count + rows.len() as u64 == seen.reading_count;
        if !are_all || seen.newest_at > end {
            return false;
        }
        for row in &rows {
            known.add(row);
        }
        known.seen = seen;
        true
    }

    /// What sensors have in the windows.
    async fn read_windows(
        &self,
        sensors: &[(SensorKey, Seen)],
        now: Timestamp,
        end: Timestamp,
    ) -> Result<FxHashMap<SensorKey, Sums>, StoreError> {
        let windows = self.directory(|directory| {
            let entries = sensors.iter();
            let entries = entries.filter_map(|(key, _)| directory.sensor(*key));
            windows(&entries.collect::<Vec<_>>(), now)
        });
        let mut read: FxHashMap<SensorKey, Sums> = FxHashMap::default();
        for window in &windows {
            let time = TimeRange::new(window.start(now), end);
            for sensors in window.sensors.chunks(SENSORS_AT_ONCE) {
                let parts = self.parts(sensors, Series::Hours, time).await?;
                for bucket in parts.iter().flat_map(|(_, buckets)| buckets) {
                    for quantity in &window.quantities {
                        if let Some(statistics) = bucket.get(Measure::Quantity(*quantity)) {
                            let sums = read.entry(bucket.sensor).or_default();
                            add(sums, bucket.room, *quantity, statistics);
                        }
                    }
                }
            }
        }
        Ok(read)
    }
}

/// When a sensor is read again: each at a moment of its own, so that they do not come all at once.
fn due(key: SensorKey, now: Timestamp, kept_ms: i64) -> Timestamp {
    if kept_ms <= AGE_MS_MAX {
        return Timestamp::from_millis(now.millis().saturating_add(kept_ms));
    }
    // Steps of the golden ratio lie evenly, however many there are.
    let phase = key.0.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed());
    let since = (now.millis().wrapping_add(phase)).rem_euclid(kept_ms);
    Timestamp::from_millis(now.millis().saturating_add(kept_ms - since))
}

/// The averages of what sensors of the sites add, each of which counts once, however often it measures.
fn means(
    directory: &Directory,
    kept: &FxHashMap<SensorKey, Kept>,
    sites: &Sites,
    now: Timestamp,
) -> RoomMeans {
    let mut of_rooms: FxHashMap<RoomKey, SmallVec<[(Quantity, Statistics); 8]>> =
        FxHashMap::default();
    for sensor in directory.sensors_of(sites) {
        let sums = kept.get(&sensor.key).map(|kept| kept.sums.as_slice());
        let outside = fresh_outside_windows(sensor, now);
        let is_outside = |room: RoomKey, quantity: Quantity| {
            let mut outside = outside.iter();
            outside.any(|(of, what, _)| (*of, *what) == (room, quantity))
        };
        let within = sums.unwrap_or_default().iter();
        let within = within.filter(|(room, quantity, _)| !is_outside(*room, *quantity));
        let within = within.map(|(room, quantity, sum)| (*room, *quantity, sum.mean()));
        for (room, quantity, mean) in within.chain(outside.iter().copied()) {
            let mean = Statistics::of(mean);
            let of_room = of_rooms.entry(room).or_default();
            match of_room.iter_mut().find(|(of, _)| *of == quantity) {
                Some((_, sum)) => sum.add(&mean),
                None => of_room.push((quantity, mean)),
            }
        }
    }
    let mut means = RoomMeans::default();
    for (room, sums) in of_rooms {
        let values = means.entry(room).or_default();
        for (quantity, sum) in sums {
            // A mean lies between numbers that are in range.
            let _in_range = values.set(quantity, sum.mean());
        }
    }
    means
}

impl AveragingWindow {
    /// Start of the window that ends at `now`.
    fn start(&self, now: Timestamp) -> Timestamp {
        now.minus(Duration::from_mins(u64::from(self.minutes)))
    }

    /// The windows of all quantities, without sensors.
    fn all() -> Vec<Self> {
        let mut windows: Vec<Self> = Vec::new();
        for quantity in Quantity::ALL {
            let minutes = window_minutes(quantity);
            match windows.iter_mut().find(|window| window.minutes == minutes) {
                Some(window) => window.quantities.push(quantity),
                None => {
                    windows.push(Self {
                        minutes,
                        quantities: vec![quantity],
                        sensors: Vec::new(),
                    });
                }
            }
        }
        windows
    }
}

/// Values of a sensor that are fresh, though older than the window of their quantity, as of one that
/// measures once an hour.
fn fresh_outside_windows(
    sensor: &SensorEntry,
    now: Timestamp,
) -> SmallVec<[(RoomKey, Quantity, f64); 4]> {
    let mut found = SmallVec::new();
    let is_old = |(quantity, observed_at)| observed_at < window_start(quantity, now);
    let Some(latest) = sensor
        .come()
        .filter(|_| sensor.state.quantity_times().any(is_old))
    else {
        return found;
    };
    for (quantity, number, observed_at) in sensor.state.fresh(latest.room, now) {
        if observed_at < window_start(quantity, now) {
            found.push((latest.room, quantity, number));
        }
    }
    found
}

/// Start of the window of a quantity.
fn window_start(quantity: Quantity, now: Timestamp) -> Timestamp {
    now.minus(Duration::from_mins(window_minutes(quantity).into()))
}

/// The windows worth looking into: a sensor is looked at only for what it measured within one.
fn windows(sensors: &[&SensorEntry], now: Timestamp) -> Vec<AveragingWindow> {
    let mut windows = AveragingWindow::all();
    for window in &mut windows {
        let start = window.start(now);
        for sensor in sensors {
            let measured = |quantity: &Quantity| sensor.state.has_since(*quantity, start);
            if window.quantities.iter().any(measured) {
                window.sensors.push(sensor.key);
            }
        }
    }
    windows.retain(|window| !window.sensors.is_empty());
    for window in &mut windows {
        window.sensors.sort_unstable();
    }
    windows
}

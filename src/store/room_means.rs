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
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Average values of each room that had any.
pub type RoomMeans = FxHashMap<RoomKey, Values>;

/// How far room averages may lag behind, so that many pages asking at once cost one look.
const AGE_MS_MAX: i64 = 1000;
/// How long what a sensor adds is kept, for each sensor there is: of 20 000, a minute.
const KEPT_MS_PER_SENSOR: i64 = 3;
/// However many there are: a tenth of the shortest window.
const KEPT_MS_MAX: i64 = 60_000;

/// Sensors of which the averages are put together where they are asked for; with more it is done on a
/// thread for such work.
const SENSORS_HERE_MAX: usize = 200;

/// Averages and what they are made of.
#[derive(Debug, Default)]
pub(super) struct KeptMeans {
    /// Those of all rooms, and when they were taken.
    whole: Option<(Timestamp, Arc<RoomMeans>)>,
    /// How often what is kept had to be forgotten.
    outdated: u64,
    of_sensors: FxHashMap<SensorKey, Kept>,
}

/// The right to work on what is kept.
type Guard = tokio::sync::OwnedMutexGuard<KeptMeans>;

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
    /// Takes a reading in, as far as it is within the windows.
    fn add(&mut self, row: &ReadingRow, now: Timestamp) {
        for (quantity, number) in row.values.iter() {
            let window = Duration::from_mins(window_minutes(quantity).into());
            if row.observed_at < now.minus(window) {
                continue;
            }
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
        let mut kept = Arc::clone(&self.room_means).lock_owned().await;
        let outdated = self.means_outdated.load(Ordering::Relaxed);
        if kept.outdated != outdated {
            *kept = KeptMeans {
                outdated,
                ..KeptMeans::default()
            };
        }
        if let Some((at, means)) = &kept.whole
            && (now.millis() - at.millis()).abs() < AGE_MS_MAX
        {
            return Ok(Arc::clone(means));
        }
        let store = self.clone();
        let asked = sites.clone();
        let (kept, unread) = self
            .working(kept, move |kept| store.unread(kept, &asked, now))
            .await?;
        // Nothing waits for this lock but other looks, and none of them holds a thread meanwhile.
        let read = self.read_windows(&unread, now).await?;
        let store = self.clone();
        let asked = sites.clone();
        let (_, means) = self
            .working(kept, move |kept| {
                store.keep(kept, unread, read, now);
                let means = store.directory(|it| means(it, &kept.of_sensors, &asked, now));
                let means = Arc::new(means);
                if asked.are_all() {
                    kept.whole = Some((now, Arc::clone(&means)));
                }
                means
            })
            .await?;
        Ok(means)
    }

    /// What is kept was put together of readings that are elsewhere now. Nobody waits for it.
    pub(super) fn outdate_means(&self) {
        self.means_outdated.fetch_add(1, Ordering::Relaxed);
    }

    /// Works on what is kept: with many sensors on a thread for that, which waits for nobody.
    async fn working<T: Send + 'static>(
        &self,
        mut kept: Guard,
        work: impl FnOnce(&mut KeptMeans) -> T + Send + 'static,
    ) -> Result<(Guard, T), StoreError> {
        if self.directory(Directory::sensor_count) <= SENSORS_HERE_MAX {
            let result = work(&mut kept);
            return Ok((kept, result));
        }
        let working = tokio::task::spawn_blocking(move || {
            let result = work(&mut kept);
            (kept, result)
        });
        working
            .await
            .map_err(|error| StoreError::Unusable(format!("averages broke off: {error}")))
    }

    /// The sensors of the sites of which it has to be read what they add.
    fn unread(
        &self,
        kept: &mut KeptMeans,
        sites: &Sites,
        now: Timestamp,
    ) -> Vec<(SensorKey, Seen)> {
        let kept = &mut kept.of_sensors;
        let end = now.plus(CLOCK_PRECISION);
        let unread: Vec<_> = self.directory(|directory| {
            let unread = directory.sensors_of(sites).filter(|sensor| {
                let known = kept.get_mut(&sensor.key);
                !known.is_some_and(|known| self.continues(known, sensor, now, end))
            });
            unread
                .map(|sensor| (sensor.key, Seen::of(sensor)))
                .collect()
        });
        self.directory(|directory| {
            if kept.len() > directory.sensor_count() {
                kept.retain(|key, _| directory.sensor(*key).is_some());
            }
        });
        unread
    }

    /// Keeps what was read.
    fn keep(
        &self,
        kept: &mut KeptMeans,
        unread: Vec<(SensorKey, Seen)>,
        mut read: FxHashMap<SensorKey, Sums>,
        now: Timestamp,
    ) {
        let end = now.plus(CLOCK_PRECISION);
        self.directory(|directory| {
            let count = i64::try_from(directory.sensor_count()).unwrap_or(i64::MAX);
            let kept_ms = KEPT_MS_PER_SENSOR.saturating_mul(count);
            let kept_ms = kept_ms.clamp(AGE_MS_MAX, KEPT_MS_MAX);
            for (key, seen) in unread {
                // What came while it was read may be in it or not, and what is ahead is not.
                let is_same = directory.sensor(key).map(Seen::of) == Some(seen);
                let due = if is_same && seen.newest_at < end {
                    due(key, now, kept_ms)
                } else {
                    now
                };
                let known = Kept {
                    read_at: now,
                    due,
                    seen,
                    sums: read.remove(&key).unwrap_or_default(),
                };
                kept.of_sensors.insert(key, known);
            }
        });
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
        let went_back = known.read_at.millis() - now.millis() > AGE_MS_MAX;
        if now >= known.due || went_back || seen.amended != known.seen.amended {
            return false;
        }
        if seen == known.seen {
            return true;
        }
        let behind = Timestamp::from_millis(known.seen.newest_at.millis().saturating_add(1));
        let rows = self.recent.within(sensor.key, behind..=seen.newest_at);
        let are_all = known.seen.reading_count + rows.len() as u64 == seen.reading_count;
        if !are_all || seen.newest_at >= end {
            return false;
        }
        for row in &rows {
            known.add(row, now);
        }
        known.seen = seen;
        true
    }

    /// What sensors have in the windows.
    async fn read_windows(
        &self,
        sensors: &[(SensorKey, Seen)],
        now: Timestamp,
    ) -> Result<FxHashMap<SensorKey, Sums>, StoreError> {
        if sensors.is_empty() {
            return Ok(FxHashMap::default());
        }
        // What is further ahead has not come.
        let end = now.plus(CLOCK_PRECISION);
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

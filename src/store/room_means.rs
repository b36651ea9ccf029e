//! Averages of every room over the windows of the score.

use super::Store;
use super::directory::Directory;
use super::rows::{Measure, Statistics};
use super::state::window_minutes;
use crate::clock::CLOCK_PRECISION;
use crate::database::{RoomKey, SensorKey, Series, StoreError};
use crate::domain::{Quantity, TimeRange, Timestamp, Values};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::Duration;

/// Average values of each room that had any.
pub type RoomMeans = FxHashMap<RoomKey, Values>;

/// Room averages and when they were taken.
pub(super) type TimedMeans = (Timestamp, Arc<RoomMeans>);

/// How far room averages may lag behind, so that many pages asking at once cost one look.
const AGE_MS_MAX: i64 = 1000;

/// Quantities that are averaged over the same time, and the sensors that measure them.
#[derive(Debug)]
struct AveragingWindow {
    minutes: u32,
    quantities: Vec<Quantity>,
    sensors: Vec<SensorKey>,
}

impl Store {
    /// Averages of every room over the windows of the score, at most a second old.
    pub async fn room_means(&self, now: Timestamp) -> Result<Arc<RoomMeans>, StoreError> {
        let mut kept = self.room_means.lock().await;
        if let Some((at, means)) = &*kept
            && (now.millis() - at.millis()).abs() < AGE_MS_MAX
        {
            return Ok(Arc::clone(means));
        }
        let windows = self.directory(|directory| windows(directory, now));
        let mut of_sensors: FxHashMap<(RoomKey, Quantity, SensorKey), Statistics> =
            FxHashMap::default();
        // What is further ahead has not come.
        let end = now.plus(CLOCK_PRECISION);
        for window in &windows {
            let time = TimeRange::new(window.start(now), end);
            let parts = self.parts(&window.sensors, Series::Hours, time).await?;
            for bucket in parts.iter().flat_map(|(_, buckets)| buckets) {
                for quantity in &window.quantities {
                    if let Some(statistics) = bucket.get(Measure::Quantity(*quantity)) {
                        of_sensors
                            .entry((bucket.room, *quantity, bucket.sensor))
                            .and_modify(|sum| sum.add(statistics))
                            .or_insert(*statistics);
                    }
                }
            }
        }
        self.directory(|directory| {
            for (of_sensor, number) in fresh_outside_windows(directory, now) {
                of_sensors.insert(of_sensor, Statistics::of(number));
            }
        });
        // Each sensor counts once, however often it measures.
        let mut of_rooms: FxHashMap<(RoomKey, Quantity), Statistics> = FxHashMap::default();
        for ((room, quantity, _), sum) in of_sensors {
            let mean = Statistics::of(sum.mean());
            of_rooms
                .entry((room, quantity))
                .and_modify(|sum| sum.add(&mean))
                .or_insert(mean);
        }
        let mut means = RoomMeans::default();
        for ((room, quantity), sum) in of_rooms {
            // A mean lies between numbers that are in range.
            let _in_range = means.entry(room).or_default().set(quantity, sum.mean());
        }
        let means = Arc::new(means);
        *kept = Some((now, Arc::clone(&means)));
        Ok(means)
    }
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

/// Values that are fresh, though older than the window of their quantity, as of a sensor that measures
/// once an hour.
fn fresh_outside_windows(
    directory: &Directory,
    now: Timestamp,
) -> Vec<((RoomKey, Quantity, SensorKey), f64)> {
    let mut found = Vec::new();
    for sensor in directory.sensors() {
        let Some(latest) = sensor.come() else {
            continue;
        };
        for (quantity, number, observed_at) in sensor.state.fresh(latest.room, now) {
            let window = Duration::from_mins(window_minutes(quantity).into());
            if observed_at < now.minus(window) {
                found.push(((latest.room, quantity, sensor.key), number));
            }
        }
    }
    found
}

/// The windows worth looking into: a sensor is looked at only for what it measured within one.
fn windows(directory: &Directory, now: Timestamp) -> Vec<AveragingWindow> {
    let mut windows = AveragingWindow::all();
    for window in &mut windows {
        let start = window.start(now);
        for sensor in directory.sensors() {
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

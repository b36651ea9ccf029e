//! Finds the sensors, rooms and times that a history can touch.

use super::write::Names;
use crate::database::RoomKey;
use crate::domain::{Place, Selector, Sites, Subject, TimeRange, Timestamp};
use crate::store::{Directory, HistoryQuery, SensorEntry};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::Duration;

/// The sites that have all a selector finds: the one it names, or those somebody may see.
pub(super) fn asked(wanted: &Selector, sites: &Sites) -> Sites {
    let named = wanted.site.as_deref().map(ToOwned::to_owned);
    // A text that is no name of a site is compared with all of them, and finds none.
    let named = named.and_then(|site| Sites::only([site]).ok());
    named.unwrap_or_else(|| sites.clone())
}

/// What a selector finds.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) query: HistoryQuery,
    pub(super) names: Names,
    /// Time between readings of each sensor, in any order.
    periods_ms: Vec<f64>,
    /// The oldest and the newest reading of its sensors, in whatever room.
    seen: Option<(Timestamp, Timestamp)>,
    /// Behind the last row that can be among the first that are asked for.
    pub(super) end: Option<Timestamp>,
}

/// The first so many readings of a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct First {
    pub(super) limit: u64,
    pub(super) time: TimeRange,
}

/// Time between the readings of a sensor that has shown no rhythm yet.
const PERIOD_UNKNOWN_MS: f64 = 60_000.0;

impl Scope {
    pub(super) fn find(
        directory: &Directory,
        wanted: &Selector,
        sites: &Sites,
        first: Option<First>,
    ) -> Self {
        let of_place = |wanted: &Selector| Selector {
            sensor: None,
            ..wanted.clone()
        };
        let meant = directory.meant(wanted);
        let places: Vec<_> = meant.iter().map(of_place).collect();
        let mut scope = Self {
            query: HistoryQuery::default(),
            names: Names::default(),
            periods_ms: Vec::new(),
            seen: None,
            end: None,
        };
        // What is meant by a name of before may be at another site.
        let asked: Vec<_> = meant.iter().map(|meant| asked(meant, sites)).collect();
        for (key, place) in asked
            .iter()
            .flat_map(|asked| directory.rooms_of_sites(asked))
        {
            if sites.allow(place.site.as_str())
                && Selector::any_matches(&places, Subject::at(place))
            {
                scope.names.rooms.insert(key, Arc::clone(place));
            }
        }
        let mut sensors: Vec<_> = if let Some(id) = &wanted.sensor {
            let key = directory.sensor_key(id);
            let sensor = key.and_then(|key| directory.sensor(key));
            sensor.into_iter().collect()
        } else {
            let of_sites = asked
                .iter()
                .flat_map(|asked| directory.every_sensor_of(asked));
            let mut sensors: Vec<_> = of_sites.collect();
            sensors.sort_unstable_by_key(|sensor| sensor.key);
            sensors.dedup_by_key(|sensor| sensor.key);
            sensors
        };
        let rooms = &scope.names.rooms;
        sensors.retain(|sensor| sensor.rooms.iter().any(|room| rooms.contains_key(room)));
        if let Some(first) = first {
            scope.end = narrow(&mut sensors, rooms, first);
        }
        for sensor in sensors {
            scope.take(sensor);
        }
        // What has not followed into another sensor yet is shown as that one's.
        for (key, into) in directory.leading_on() {
            if let Some(id) = scope.names.sensors.get(&into).cloned() {
                scope.names.sensors.insert(key, id);
                scope.query.sensors.push(key);
            }
        }
        scope.query.sensors.sort();
        if !of_place(wanted).is_open() || !sites.are_all() {
            scope.query.rooms = Some(scope.names.rooms.keys().copied().collect());
        }
        scope
    }

    /// Takes a sensor in.
    fn take(&mut self, sensor: &SensorEntry) {
        let newest = &sensor.latest.scored.reading;
        self.query.sensors.push(sensor.key);
        self.names.sensors.insert(sensor.key, newest.sensor.clone());
        self.periods_ms
            .push(sensor.state.period().map_or(PERIOD_UNKNOWN_MS, millis));
        let (first, last) = (sensor.first_seen, sensor.newest_at);
        self.seen = Some(match self.seen {
            Some((oldest, newest)) => (oldest.min(first), newest.max(last)),
            None => (first, last),
        });
    }

    /// Rows a millisecond, when there is at most one row of a sensor every `step_ms`: an estimate.
    pub(super) fn rows_per_ms(&self, step_ms: i64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let step_ms = step_ms as f64;
        let rates = self.periods_ms.iter();
        rates.map(|period_ms| 1.0 / period_ms.max(step_ms)).sum()
    }

    /// The part of a time in which there can be readings.
    pub(super) fn within(&self, time: TimeRange) -> TimeRange {
        match self.seen {
            Some((oldest, newest)) => {
                let behind_newest = Timestamp::from_millis(newest.millis() + 1);
                time.intersect(TimeRange::new(oldest, behind_newest))
            }
            None => TimeRange::new(time.start, time.start),
        }
    }
}

/// Leaves those sensors that can have any of the first readings; returns the time behind the last of
/// these, where it is known.
///
/// The first reading of a sensor is known without looking. Where it is in the time and in a room that is
/// asked for, it is a row; so many of these as are wanted are enough, and sensors that begin behind them
/// have none of the first.
fn narrow(
    sensors: &mut Vec<&SensorEntry>,
    rooms: &FxHashMap<RoomKey, Arc<Place>>,
    First { limit, time }: First,
) -> Option<Timestamp> {
    sensors.retain(|sensor| sensor.first_seen < time.end && sensor.newest_at >= time.start);
    let is_row = |sensor: &SensorEntry| {
        let is_wanted = |room| rooms.contains_key(room);
        sensor.first_seen >= time.start && sensor.rooms.iter().all(is_wanted)
    };
    let begins = |sensor: &SensorEntry| (sensor.first_seen, sensor.key);
    let known = sensors.iter().filter(|sensor| is_row(sensor));
    let mut known: Vec<_> = known.map(|sensor| begins(sensor)).collect();
    let last = usize::try_from(limit).ok()?.checked_sub(1)?;
    if last >= known.len() {
        return None;
    }
    let (_, last, _) = known.select_nth_unstable(last);
    let last = *last;
    sensors.retain(|sensor| begins(sensor) <= last);
    Some(Timestamp::from_millis(last.0.millis().saturating_add(1)))
}

fn millis(period: Duration) -> f64 {
    period.as_secs_f64() * 1000.0
}

//! Finds the sensors, rooms and times that a history can touch.

use super::write::Names;
use crate::domain::{Selector, Sites, Subject, TimeRange, Timestamp};
use crate::store::{Directory, HistoryQuery, SensorEntry};
use std::sync::Arc;
use std::time::Duration;

/// What a selector finds.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) query: HistoryQuery,
    pub(super) names: Names,
    /// Time between readings of each sensor, in any order.
    periods_ms: Vec<f64>,
    /// The oldest and the newest reading of its sensors, in whatever room.
    seen: Option<(Timestamp, Timestamp)>,
}

/// Time between the readings of a sensor that has shown no rhythm yet.
const PERIOD_UNKNOWN_MS: f64 = 60_000.0;

impl Scope {
    pub(super) fn find(directory: &Directory, wanted: &Selector, sites: &Sites) -> Self {
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
        };
        for (key, place) in directory.rooms() {
            if sites.allow(place.site.as_str())
                && Selector::any_matches(&places, Subject::at(place))
            {
                scope.names.rooms.insert(key, Arc::clone(place));
            }
        }
        let only = wanted.sensor.as_deref().map(|id| directory.sensor_key(id));
        for sensor in directory.every_sensor() {
            if only.is_none_or(|key| key == Some(sensor.key)) {
                scope.take(sensor);
            }
        }
        scope.query.sensors.sort();
        if !of_place(wanted).is_open() || !sites.are_all() {
            scope.query.rooms = Some(scope.names.rooms.keys().copied().collect());
        }
        scope
    }

    /// Takes a sensor in when it ever was in one of the rooms.
    fn take(&mut self, sensor: &SensorEntry) {
        let rooms = &self.names.rooms;
        if !sensor.rooms.iter().any(|room| rooms.contains_key(room)) {
            return;
        }
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

fn millis(period: Duration) -> f64 {
    period.as_secs_f64() * 1000.0
}

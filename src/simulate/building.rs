//! All rooms of a simulation with their sensors.

use chrono::{DateTime, Utc};

use super::config::{SimulateError, SimulationConfig};
use super::layout::Place;
use super::reading::{SimulatedReading, SimulatedUnits};
use super::room::{Room, RoomIdentity};
use super::sensor::Sensor;

/// A building in simulated time.
#[derive(Debug)]
pub struct Building {
    rooms: Vec<FurnishedRoom>,
    at: DateTime<Utc>,
}

#[derive(Debug)]
struct FurnishedRoom {
    place: Place,
    room: Room,
    sensor: Sensor,
}

impl Building {
    /// A building that has been in use for a day when it is `start`.
    pub fn new(config: &SimulationConfig, start: DateTime<Utc>) -> Result<Self, SimulateError> {
        config.validate()?;
        let offset_minutes = i64::from(config.utc_offset.local_minus_utc()) / 60;
        let rooms = (0..config.rooms)
            .map(|number| {
                let place = Place::numbered(number);
                let identity = RoomIdentity {
                    seed: config.seed,
                    number: u64::from(number),
                    site: place.site,
                    kind: place.kind,
                    offset_minutes,
                };
                FurnishedRoom {
                    room: Room::new(identity, start.timestamp_millis()),
                    sensor: Sensor::new(config.seed, u64::from(number)),
                    place,
                }
            })
            .collect();
        Ok(Self { rooms, at: start })
    }

    /// Number of rooms.
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// Moves every room to `at`; an earlier instant than the present one changes nothing.
    pub fn advance_to(&mut self, at: DateTime<Utc>) {
        self.at = self.at.max(at);
        for furnished in &mut self.rooms {
            furnished.room.advance_to(at.timestamp_millis());
        }
    }

    /// One reading of every sensor at the instant last advanced to.
    pub fn readings(&self) -> Vec<SimulatedReading> {
        self.rooms
            .iter()
            .map(|furnished| furnished.reading(self.at))
            .collect()
    }

    /// Moves one room to `at` and reads its sensor; `None` if there is no such room.
    pub fn read_room(&mut self, index: usize, at: DateTime<Utc>) -> Option<SimulatedReading> {
        let furnished = self.rooms.get_mut(index)?;
        furnished.room.advance_to(at.timestamp_millis());
        Some(furnished.reading(at))
    }
}

impl FurnishedRoom {
    fn reading(&self, at: DateTime<Utc>) -> SimulatedReading {
        let unix_ms = at.timestamp_millis();
        let air = self.room.air_at(unix_ms);
        SimulatedReading {
            sensor_id: self.place.sensor_id.clone(),
            enseigne: self.place.site_name.clone(),
            salle: self.place.room_name.clone(),
            timestamp: at,
            values: self.sensor.measure(&air, self.room.people(), unix_ms),
            units: SimulatedUnits::ALL,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, TimeZone};

    use super::*;

    fn config(rooms: u32, seed: u64) -> SimulationConfig {
        SimulationConfig {
            rooms,
            seed,
            ..SimulationConfig::default()
        }
    }

    /// A Monday in winter.
    fn start() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 1, 12, 0, 0, 0).unwrap()
    }

    /// Readings every `step_minutes` for `hours`.
    fn series(
        config: &SimulationConfig,
        start: DateTime<Utc>,
        hours: i64,
        step_minutes: i64,
    ) -> Vec<SimulatedReading> {
        let mut building = Building::new(config, start).unwrap();
        (0..hours * 60 / step_minutes)
            .flat_map(|step| {
                building.advance_to(start + TimeDelta::minutes(step * step_minutes));
                building.readings()
            })
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_readings_and_another_does_not() {
        let first = series(&config(10, 5), start(), 24, 10);
        assert_eq!(first, series(&config(10, 5), start(), 24, 10));
        assert_ne!(first, series(&config(10, 6), start(), 24, 10));
    }

    #[test]
    fn more_rooms_leave_the_others_alone() {
        let few = series(&config(7, 5), start(), 24, 30);
        let mut many = series(&config(40, 5), start(), 24, 30);
        let known: std::collections::HashSet<_> = few
            .iter()
            .map(|reading| reading.sensor_id.clone())
            .collect();
        many.retain(|reading| known.contains(&reading.sensor_id));
        assert_eq!(few, many);
    }

    #[test]
    fn the_air_does_not_depend_on_how_often_it_is_read() {
        let end = start() + TimeDelta::hours(20);
        let mut walked = Building::new(&config(10, 2), start()).unwrap();
        let mut at = start();
        while at < end {
            at += TimeDelta::milliseconds(37_123);
            walked.advance_to(at.min(end));
        }
        let mut leapt = Building::new(&config(10, 2), start()).unwrap();
        leapt.advance_to(end);
        assert_eq!(walked.readings(), leapt.readings());
        assert_eq!(
            leapt.read_room(3, end),
            walked.readings().into_iter().nth(3)
        );
    }

    #[test]
    fn the_start_hardly_matters_after_the_warm_up() {
        let late = Building::new(&config(30, 2), start()).unwrap().readings();
        let mut early = Building::new(&config(30, 2), start() - TimeDelta::days(5)).unwrap();
        early.advance_to(start());
        let early = early.readings();
        let near = early.iter().zip(&late).filter(|(early, late)| {
            early.values.co2_ppm.abs_diff(late.values.co2_ppm) < 40
                && (early.values.temperature_c - late.values.temperature_c).abs() < 1.0
        });
        assert!(near.count() >= 27);
    }

    #[test]
    fn a_week_of_fifty_rooms_stays_plausible_in_every_season() {
        for month in [1, 4, 7, 10] {
            let start = Utc.with_ymd_and_hms(2026, month, 5, 0, 0, 0).unwrap();
            for reading in series(&config(50, 11), start, 7 * 24, 10) {
                let values = &reading.values;
                let dust = [values.pm1_ug_m3, values.pm2_5_ug_m3, values.pm10_ug_m3];
                let plausible = (380..=5000).contains(&values.co2_ppm)
                    && (8.0..=38.0).contains(&values.temperature_c)
                    && (8.0..=100.0).contains(&values.humidity_pct)
                    && (5..=5000).contains(&values.tvoc_ppb)
                    && dust[2] <= 600.0
                    && values.occupants <= 29;
                assert!(plausible, "{reading:?}");
                assert!(dust[0] <= dust[1] && dust[1] <= dust[2], "{reading:?}");
            }
        }
    }

    #[test]
    fn people_raise_co2() {
        let week = series(&config(30, 3), start(), 7 * 24, 10);
        let mean = |occupied: bool| {
            let values: Vec<f64> = week
                .iter()
                .filter(|reading| (reading.values.occupants > 0) == occupied)
                .map(|reading| f64::from(reading.values.co2_ppm))
                .collect();
            values.iter().sum::<f64>() / f64::from(u32::try_from(values.len()).unwrap())
        };
        assert!(
            mean(true) > mean(false) + 200.0,
            "{} {}",
            mean(true),
            mean(false)
        );
    }

    #[test]
    fn an_earlier_instant_changes_nothing() {
        let mut building = Building::new(&config(3, 1), start()).unwrap();
        building.advance_to(start() + TimeDelta::hours(1));
        let before = building.readings();
        building.advance_to(start());
        assert_eq!(building.readings(), before);
    }

    #[test]
    fn the_ends_of_time_do_no_harm() {
        for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            let mut building = Building::new(&config(1, 1), start()).unwrap();
            building.advance_to(at);
            assert_eq!(building.readings().len(), 1);
            assert!(Building::new(&config(1, 1), at).is_ok());
        }
    }
}

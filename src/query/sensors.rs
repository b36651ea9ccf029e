//! `GET /api/sensors` and `/api/sensors/{id}`: who measures, and whether it still does.

use super::Source;
use super::leased_body::json;
use super::own_counts::{look_up, rooms_at};
use crate::access::{Call, Caller, CountedAs, Need, call};
use crate::domain::Timestamp;
use crate::http::{Parameters, Problem};
use crate::read_budget::ANSWER_TURN_WAIT_MAX;
use crate::store::{RoomsOfSensor, SensorEntry};
use crate::wire::Number;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// What is known of a sensor.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Sensor)]
struct Known {
    sensor_id: String,
    enseigne: String,
    salle: String,
    first_seen: Timestamp,
    last_seen: Timestamp,
    /// Usual time between its readings in seconds; `null` until there are two.
    #[schema(value_type = Option<f64>, required = true)]
    expected_period_s: Option<Number>,
    /// Usual time from one request or message with new readings to the next, by which `state` goes;
    /// `null` until there are two.
    #[schema(value_type = Option<f64>, required = true)]
    expected_delivery_s: Option<Number>,
    state: State,
    reading_count: u64,
}

pub(super) fn calls() -> Vec<Call> {
    vec![call!(Need::VIEWER, sensors), call!(Need::VIEWER, sensor)]
}

/// All sensors
#[utoipa::path(get, path = "/api/sensors", tag = "readings",
    responses(
        (status = 200, description = "By id", body = Vec<Known>),
        (status = 422, description = "There are no parameters"),
    ))]
async fn sensors(
    caller: Caller,
    request: HttpRequest,
    counted_as: CountedAs,
    source: web::Data<Source>,
) -> Result<HttpResponse, Problem> {
    Parameters::none(&request)?;
    let now = source.clock.now();
    let count = source.store.directory(|directory| {
        let own = directory.sensors().filter(|entry| is_own(&caller, entry));
        own.count()
    });
    let budget = &source.budget;
    let lease = budget.keep(counted_as.0, count * SENSOR_BYTES, ANSWER_TURN_WAIT_MAX);
    let lease = lease.await?;
    let (mut sensors, moved) = source.store.directory(|directory| {
        let (mut sensors, mut moved) = (Vec::with_capacity(count), Moved::default());
        for entry in directory.sensors().filter(|entry| is_own(&caller, entry)) {
            moved.add(sensors.len(), rooms_at(directory, entry, caller.sites()));
            sensors.push(shown(entry, now));
        }
        (sensors, moved)
    });
    moved.correct(&source, &mut sensors, now).await?;
    sensors.sort_by(|a, b| a.sensor_id.cmp(&b.sensor_id));
    Ok(json(&mut HttpResponse::Ok(), &sensors, lease))
}

/// Bytes a sensor takes in the answer and while that is made, about.
const SENSOR_BYTES: usize = 512;

/// One sensor
#[utoipa::path(get, path = "/api/sensors/{id}", tag = "readings",
    params(("id" = String, Path, description = "Id of the sensor")),
    responses(
        (status = 200, description = "The sensor", body = Known),
        (status = 404, description = "There is none"),
        (status = 422, description = "There are no parameters"),
    ))]
async fn sensor(
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
    source: web::Data<Source>,
) -> Result<HttpResponse, Problem> {
    Parameters::none(&request)?;
    let now = source.clock.now();
    let sensor = source.store.directory(|directory| {
        let key = directory.sensor_key(&id)?;
        let own = directory
            .sensor(key)
            .filter(|entry| is_own(&caller, entry))?;
        let mut moved = Moved::default();
        moved.add(0, rooms_at(directory, own, caller.sites()));
        Some((shown(own, now), moved))
    });
    let (mut sensor, moved) = sensor.ok_or_else(Problem::not_found)?;
    moved
        .correct(&source, std::slice::from_mut(&mut sensor), now)
        .await?;
    Ok(HttpResponse::Ok().json(sensor))
}

/// Sensors that were at sites that their caller may not see, by their positions in the answer.
#[derive(Debug, Default)]
struct Moved {
    positions: Vec<usize>,
    rooms: Vec<RoomsOfSensor>,
}

impl Moved {
    fn add(&mut self, position: usize, rooms: Option<RoomsOfSensor>) {
        if let Some(rooms) = rooms {
            self.positions.push(position);
            self.rooms.push(rooms);
        }
    }

    /// Tells of them what they have at the caller's sites.
    async fn correct(
        self,
        source: &Source,
        sensors: &mut [Known],
        now: Timestamp,
    ) -> Result<(), Problem> {
        let counts = look_up(source, &self.rooms, now).await?;
        for (position, count) in self.positions.into_iter().zip(counts) {
            if let Some(sensor) = sensors.get_mut(position) {
                sensor.reading_count = count.readings;
                sensor.first_seen = count.first.unwrap_or(sensor.last_seen);
            }
        }
        Ok(())
    }
}

fn is_own(caller: &Caller, entry: &SensorEntry) -> bool {
    caller.sites().allow(entry.latest.place.site.as_str())
}

fn shown(entry: &SensorEntry, now: Timestamp) -> Known {
    let reading = &entry.latest.scored.reading;
    Known {
        sensor_id: reading.sensor.as_str().to_owned(),
        enseigne: entry.latest.place.site.as_str().to_owned(),
        salle: entry.latest.place.room.as_str().to_owned(),
        first_seen: entry.first_seen,
        last_seen: reading.observed_at,
        expected_period_s: entry.state.period().map(seconds),
        expected_delivery_s: entry.state.delivery_period().map(seconds),
        state: match entry.come() {
            Some(_) => state(
                now.since(reading.observed_at),
                entry.state.delivery_period(),
            ),
            None => State::Offline,
        },
        reading_count: entry.reading_count,
    }
}

fn seconds(period: Duration) -> Number {
    Number(super::record::rounded(period.as_secs_f64(), 1000.0))
}

/// Whether a sensor keeps its rhythm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SensorState)]
pub(super) enum State {
    Online,
    Late,
    Offline,
}

/// Rhythm of a sensor that has not shown one yet.
const PERIOD_UNKNOWN: Duration = Duration::from_mins(5);
/// No sensor is late before this: networks hiccup.
const PERIOD_MIN: Duration = Duration::from_secs(10);

/// Late after two periods of silence, offline after three.
pub(super) fn state(silence: Duration, period: Option<Duration>) -> State {
    let period = period.unwrap_or(PERIOD_UNKNOWN).max(PERIOD_MIN);
    match silence {
        silence if silence <= 2 * period => State::Online,
        silence if silence <= 3 * period => State::Late,
        _ => State::Offline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_judged_by_the_rhythm_of_the_sensor() {
        let after = |seconds, period_s: Option<f64>| {
            let period = period_s.map(Duration::from_secs_f64);
            state(Duration::from_secs(seconds), period)
        };
        assert_eq!(after(120, Some(60.0)), State::Online);
        assert_eq!(after(121, Some(60.0)), State::Late);
        assert_eq!(after(181, Some(60.0)), State::Offline);
        assert_eq!(after(20, Some(0.5)), State::Online);
        assert_eq!(after(31, Some(0.5)), State::Offline);
        assert_eq!(after(600, None), State::Online);
        assert_eq!(after(901, None), State::Offline);
    }
}

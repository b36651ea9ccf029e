//! `GET /api/sensors` and `/api/sensors/{id}`: who measures, and whether it still does.

use super::Source;
use super::leased_body::json;
use super::own_counts::{look_up, rooms_at};
use crate::access::{Call, Caller, CountedAs, Need, call};
use crate::database::{RoomKey, SensorKey};
use crate::domain::{Place, Timestamp};
use crate::http::{Parameters, Problem};
use crate::read_budget::ANSWER_TURN_WAIT_MAX;
use crate::store::{Directory, RoomsOfSensor, SensorEntry};
use crate::validate::TvocUnit;
use crate::wire::Number;
use actix_web::{HttpRequest, HttpResponse, web};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// What is known of a sensor.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Sensor)]
pub(crate) struct ShownSensor {
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
    /// A person has said where it stands: what room its readings name is ignored and told.
    pinned: bool,
    /// Ids that lead to it besides its own.
    aliases: Vec<String>,
    /// Rooms between which it goes back and forth, as when two devices have its id; `null` when it does
    /// not.
    #[schema(required = true)]
    conflict: Option<Vec<ConflictRoom>>,
    /// The unit of its TVOC values that come without one, where a person has said it.
    #[schema(required = true)]
    tvoc_unit: Option<&'static str>,
    /// What kind of device it is, where a person has said it.
    #[schema(required = true)]
    model: Option<String>,
}

/// One of the rooms that a sensor seems to be in at once.
#[derive(Debug, Serialize, ToSchema)]
struct ConflictRoom {
    enseigne: String,
    salle: String,
}

pub(super) fn calls() -> Vec<Call> {
    vec![call!(Need::VIEWER, sensors), call!(Need::VIEWER, sensor)]
}

/// All sensors
#[utoipa::path(get, path = "/api/sensors", tag = "readings",
    responses(
        (status = 200, description = "By id", body = Vec<ShownSensor>),
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
        let own = directory
            .sensors()
            .filter(|entry| is_own(directory, &caller, entry));
        own.count()
    });
    let budget = &source.budget;
    let lease = budget.keep(counted_as.0, count * SENSOR_BYTES, ANSWER_TURN_WAIT_MAX);
    let lease = lease.await?;
    let (mut sensors, moved) = source.store.directory(|directory| {
        let mut aliases = FxHashMap::<SensorKey, Vec<String>>::default();
        for (id, key) in directory.sensor_aliases() {
            aliases.entry(key).or_default().push(id.as_str().to_owned());
        }
        let (mut sensors, mut moved) = (Vec::with_capacity(count), Moved::default());
        let own = directory.sensors();
        for entry in own.filter(|entry| is_own(directory, &caller, entry)) {
            moved.add(sensors.len(), rooms_at(directory, entry, caller.sites()));
            let aliases = aliases.remove(&entry.key).unwrap_or_default();
            sensors.push(shown(directory, &caller, entry, aliases, now));
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
        (status = 200, description = "The sensor", body = ShownSensor),
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
    let sensor = shown_sensor(&source, &caller, &id).await?;
    let sensor = sensor.ok_or_else(Problem::not_found)?;
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
        sensors: &mut [ShownSensor],
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

/// A sensor by its id or one that it had before, when somebody may see it.
pub(crate) async fn shown_sensor(
    source: &Source,
    caller: &Caller,
    id: &str,
) -> Result<Option<ShownSensor>, Problem> {
    let now = source.clock.now();
    let found = source.store.directory(|directory| {
        let entry = directory.sensor(directory.sensor_key(id)?)?;
        if entry.is_removed || !is_own(directory, caller, entry) {
            return None;
        }
        let aliases = directory.sensor_aliases_of(entry.key);
        let aliases = aliases.map(|id| id.as_str().to_owned()).collect();
        let mut moved = Moved::default();
        moved.add(0, rooms_at(directory, entry, caller.sites()));
        Some((shown(directory, caller, entry, aliases, now), moved))
    });
    let Some((mut sensor, moved)) = found else {
        return Ok(None);
    };
    let sensors = std::slice::from_mut(&mut sensor);
    moved.correct(source, sensors, now).await?;
    Ok(Some(sensor))
}

/// Where a sensor stands, which may be said by a person.
fn stands<'a>(directory: &'a Directory, entry: &'a SensorEntry) -> &'a Place {
    let place = directory.place(entry.stands_in());
    place.unwrap_or(&entry.latest.place)
}

fn is_own(directory: &Directory, caller: &Caller, entry: &SensorEntry) -> bool {
    let site = &stands(directory, entry).site;
    caller.sites().allow(site.as_str())
}

fn shown(
    directory: &Directory,
    caller: &Caller,
    entry: &SensorEntry,
    mut aliases: Vec<String>,
    now: Timestamp,
) -> ShownSensor {
    let reading = &entry.latest.scored.reading;
    let place = stands(directory, entry);
    let settings = entry.settings();
    aliases.sort();
    ShownSensor {
        sensor_id: entry.id().as_str().to_owned(),
        enseigne: place.site.as_str().to_owned(),
        salle: place.room.as_str().to_owned(),
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
        pinned: settings.pin.is_some(),
        aliases,
        conflict: entry
            .conflict(now)
            .map(|rooms| conflict(directory, caller, &rooms)),
        tvoc_unit: settings.tvoc_unit.map(TvocUnit::name),
        model: settings.model.clone(),
    }
}

/// Those of the rooms that somebody may know of.
fn conflict(directory: &Directory, caller: &Caller, rooms: &[RoomKey]) -> Vec<ConflictRoom> {
    let places = rooms.iter().filter_map(|room| directory.place(*room));
    let own = places.filter(|place| caller.sites().allow(place.site.as_str()));
    own.map(|place| ConflictRoom {
        enseigne: place.site.as_str().to_owned(),
        salle: place.room.as_str().to_owned(),
    })
    .collect()
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

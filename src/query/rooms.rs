//! `GET /api/rooms`: which room is bad, and why.

use super::Source;
use super::leased_body::{json, json_bytes};
use super::parameters::profile;
use super::record::{Averaging, explanation, verdict};
use super::sensors::{State, state};
use super::shapes;
use crate::access::{Call, Caller, CountedAs, Need, call};
use crate::database::RoomKey;
use crate::domain::{Place, Quantity, Sites, Timestamp, Values};
use crate::http::{Parameters, Problem};
use crate::read_budget::ANSWER_TURN_WAIT_MAX;
use crate::score::{Assessment, Profile};
use crate::store::{Directory, RoomMeans, Statistics};
use crate::wire::flat_values;
use actix_web::{HttpRequest, HttpResponse, web};
use rustc_hash::FxHashMap;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::sync::Arc;
use utoipa::ToSchema;

pub(super) fn calls() -> Vec<Call> {
    vec![call!(Need::VIEWER, rooms)]
}

/// Sites and their rooms as they are now
#[utoipa::path(get, path = "/api/rooms", tag = "readings",
    params(("profile" = Option<String>, Query, description = "Score: iaqverse or classic")),
    responses(
        (status = 200, description = "By site and room", body = Vec<Site>),
        (status = 422, description = "A parameter cannot be read"),
    ))]
async fn rooms(
    caller: Caller,
    request: HttpRequest,
    counted_as: CountedAs,
    source: web::Data<Source>,
) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request);
    let profile = profile(&mut parameters, source.profile);
    parameters.done()?;
    let now = source.clock.now();
    let count = source
        .store
        .directory(|directory| directory.sensors_of(caller.sites()).count());
    let asked = caller.sites().clone();
    let store = source.store.clone();
    let means = store.room_means(&asked, now).await;
    let means = means.map_err(|error| Problem::store_unavailable(&error))?;
    let found = move || store.directory(|it| rooms_of(it, &asked, &means, profile, now));
    let rooms = if count <= SENSORS_HERE_MAX {
        found()
    } else {
        let found = tokio::task::spawn_blocking(found);
        found.await.map_err(|_panicked| Problem::internal())?
    };
    let bytes = rooms.len() * ROOM_BYTES + count * SENSOR_BYTES;
    let lease = source
        .budget
        .keep(counted_as.0, bytes, ANSWER_TURN_WAIT_MAX);
    let lease = lease.await?;
    if count <= SENSORS_HERE_MAX {
        return Ok(json(&mut HttpResponse::Ok(), &sites(rooms), lease));
    }
    let written = move || serde_json::to_vec(&sites(rooms)).unwrap_or_default();
    let written = tokio::task::spawn_blocking(written).await;
    let written = written.map_err(|_panicked| Problem::internal())?;
    Ok(json_bytes(&mut HttpResponse::Ok(), written.into(), lease))
}

/// Sensors of which the rooms are put together where they are asked for, which takes about a
/// millisecond; with more of them it is done on a thread for such work.
const SENSORS_HERE_MAX: usize = 200;

/// Bytes a room and the id of a sensor take in the answer and while that is made, about.
const ROOM_BYTES: usize = 2048;
const SENSOR_BYTES: usize = 128;

struct Room {
    place: Arc<Place>,
    means: Values,
    assessment: Assessment,
    newest: Timestamp,
    stale: bool,
    sensors: Vec<String>,
    /// The last values of its sensors, for when nothing of the room is of now.
    last: FxHashMap<Quantity, Statistics>,
}

impl Room {
    /// Of a room of which nothing is of now the last values count, each sensor's once.
    fn take_last(&mut self, profile: Profile) {
        for (quantity, statistics) in std::mem::take(&mut self.last) {
            // A mean lies between numbers that are in range.
            let _in_range = self.means.set(quantity, statistics.mean());
        }
        self.assessment = profile.assess(&self.means);
    }
}

fn rooms_of(
    directory: &Directory,
    own: &Sites,
    means: &RoomMeans,
    profile: Profile,
    now: Timestamp,
) -> Vec<Room> {
    let mut rooms = Vec::<Room>::new();
    // Two keys may be one room, and most sensors are in a room that is here already.
    let mut of_places = FxHashMap::<Arc<Place>, usize>::default();
    let mut of_keys = FxHashMap::<RoomKey, usize>::default();
    for sensor in directory.sensors_of(own) {
        let Some(latest) = sensor.come() else {
            continue;
        };
        if !own.allow(latest.place.site.as_str()) {
            continue;
        }
        let observed_at = latest.scored.reading.observed_at;
        let position = *of_keys.entry(latest.room).or_insert_with(|| {
            let of_place = of_places.entry(Arc::clone(&latest.place));
            *of_place.or_insert_with(|| {
                let means = means.get(&latest.room).copied().unwrap_or_default();
                rooms.push(Room {
                    place: Arc::clone(&latest.place),
                    means,
                    assessment: profile.assess(&means),
                    newest: observed_at,
                    stale: true,
                    sensors: Vec::new(),
                    last: FxHashMap::default(),
                });
                rooms.len() - 1
            })
        });
        let room = &mut rooms[position];
        if room.means.is_empty() {
            for (quantity, number) in sensor.shown(now, profile).values.iter() {
                let number = Statistics::of(number);
                let last = room.last.entry(quantity);
                last.and_modify(|last| last.add(&number)).or_insert(number);
            }
        }
        room.newest = room.newest.max(observed_at);
        if room.stale {
            let period = sensor.state.delivery_period();
            room.stale = state(now.since(observed_at), period) == State::Offline;
        }
        room.sensors
            .push(latest.scored.reading.sensor.as_str().to_owned());
    }
    for room in &mut rooms {
        room.sensors.sort();
        if room.means.is_empty() {
            room.take_last(profile);
        }
    }
    rooms.sort_by(|a, b| a.place.cmp(&b.place));
    rooms
}

/// A site and its rooms.
#[derive(Serialize, ToSchema)]
struct Site {
    enseigne: String,
    #[schema(value_type = Vec<shapes::Room>)]
    salles: Vec<Room>,
}

fn sites(rooms: Vec<Room>) -> Vec<Site> {
    let mut sites: Vec<Site> = Vec::new();
    // Rooms come sorted by site, then by name.
    for room in rooms {
        let name = room.place.site.as_str();
        match sites.last_mut() {
            Some(site) if site.enseigne == name => site.salles.push(room),
            _ => sites.push(Site {
                enseigne: name.to_owned(),
                salles: vec![room],
            }),
        }
    }
    sites
}

impl Serialize for Room {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("salle", self.place.room.as_str())?;
        verdict(&mut map, &self.assessment)?;
        explanation(&mut map, &self.assessment, &self.means, Averaging::Windows)?;
        flat_values(&mut map, &self.means)?;
        map.serialize_entry("timestamp", &self.newest.to_string())?;
        map.serialize_entry("stale", &self.stale)?;
        map.serialize_entry("sensors", &self.sensors)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PlaceName;

    #[test]
    fn a_room_is_written_as_it_is_described() {
        let means = Values::default();
        let room = Room {
            place: Arc::new(Place {
                site: PlaceName::parse("Home").unwrap(),
                room: PlaceName::parse("Office").unwrap(),
            }),
            means,
            assessment: Profile::Iaqverse.assess(&means),
            newest: Timestamp::from_millis(0),
            stale: true,
            sensors: Vec::new(),
            last: FxHashMap::default(),
        };
        shapes::describes::<shapes::Room>(&serde_json::to_value(room).unwrap());
    }
}

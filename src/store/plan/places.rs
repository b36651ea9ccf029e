//! Who a reading is from and where it was taken: known places, and new ones within the limits.

use super::{PlannedSensor, Planner};
use crate::database::{RoomKey, RoomRow, SensorKey};
use crate::domain::{Place, Reading, SensorId, Sites};
use crate::fault::{FORBIDDEN, FieldError, OTHER_SENSOR, SENSOR_UNREADABLE};
use crate::store::directory::SensorEntry;
use std::sync::Arc;

/// The sensor of a reading, and the room it was taken in.
pub(super) struct Located {
    pub(super) sensor: SensorKey,
    pub(super) room: RoomKey,
    pub(super) place: Arc<Place>,
    /// The reading names another room, and a person has said that the sensor stands in this one.
    pub(super) ignores_place: bool,
}

/// What a person has said of where a sensor stands.
enum Pinned {
    Here(Located),
    /// A reading is from before that; then it stood here.
    Before(RoomKey, Arc<Place>),
}

impl Planner<'_> {
    /// Why a reading may not be written by somebody who has to do with `sites` only: its sensor stands
    /// elsewhere, or what is stored of this moment was measured elsewhere.
    pub(super) fn forbidden(&mut self, reading: &Reading, sites: &Sites) -> Option<FieldError> {
        if sites.are_all() {
            return None;
        }
        if reading
            .site
            .as_ref()
            .is_some_and(|site| !sites.allow(site.as_str()))
        {
            return Some(FieldError::new(
                "/enseigne",
                FORBIDDEN,
                "is none of your sites",
            ));
        }
        let sensor = self.known(&reading.sensor)?;
        let place = match self.pinned(sensor, reading) {
            Some(Pinned::Here(Located { place, .. }) | Pinned::Before(_, place)) => place,
            None => Arc::clone(&self.sensor(sensor).place),
        };
        if !sites.allow(place.site.as_str()) {
            let detail = "is taken by a sensor elsewhere: ids are one namespace for all sites; choose \
                another, or have an admin rename or remove that sensor";
            return Some(FieldError::new("/sensor_id", OTHER_SENSOR, detail));
        }
        let stored = self.stored((sensor, reading.observed_at))?;
        let place = self.place_of(stored.room)?;
        if sites.allow(place.site.as_str()) {
            return None;
        }
        let detail = "was at none of your sites at this moment";
        Some(FieldError::new("/timestamp", FORBIDDEN, detail))
    }

    /// Why nothing is taken of its sensor, whoever writes it.
    pub(super) fn unusable(&self, reading: &Reading) -> Option<FieldError> {
        self.directory.is_aside_id(&reading.sensor).then(|| {
            let detail = "what is stored of this sensor cannot be read, so nothing is added to it; the \
                log of the server's start says why";
            FieldError::new("/sensor_id", SENSOR_UNREADABLE, detail)
        })
    }

    fn known(&self, id: &SensorId) -> Option<SensorKey> {
        let new = || self.new_sensors.get(id).copied();
        self.directory.key_of(id).or_else(new)
    }

    /// The sensor and the room of a reading, registering what is new.
    pub(super) fn locate(
        &mut self,
        reading: &Reading,
        sites: &Sites,
    ) -> Result<Located, Vec<FieldError>> {
        let known = self.known(&reading.sensor);
        if known.is_none() {
            // Before its room, which a reading that is refused must not make.
            self.require_sensor_share(reading)?;
        }
        let here = match known.and_then(|sensor| self.pinned(sensor, reading)) {
            Some(Pinned::Here(located)) => return Ok(located),
            Some(Pinned::Before(room, place)) => Some((room, place)),
            None => known.map(|sensor| {
                let sensor = self.sensor(sensor);
                (sensor.room, Arc::clone(&sensor.place))
            }),
        };
        let (room, place) = match (&reading.site, &reading.room, here) {
            (None, None, Some(here)) => here,
            (site, room, here) => {
                let here = here.map(|(_, place)| place);
                let site = site
                    .clone()
                    .or_else(|| here.as_ref().map(|place| place.site.clone()));
                let room = room
                    .clone()
                    .or_else(|| here.as_ref().map(|place| place.room.clone()));
                match (site, room) {
                    (Some(site), Some(room)) => self.room(Place { site, room }, known)?,
                    (site, room) => return Err(missing_place(site.is_none(), room.is_none())),
                }
            }
        };
        if !sites.allow(place.site.as_str()) {
            // By a name that it had before it was found, and it is elsewhere now.
            let detail = "is a room of another site now";
            return Err(vec![FieldError::new("/salle", FORBIDDEN, detail)]);
        }
        let sensor = match known {
            Some(sensor) => sensor,
            None => self.register(&reading.sensor, room, &place),
        };
        Ok(Located {
            sensor,
            room,
            place,
            ignores_place: false,
        })
    }

    /// Where a person has said that a sensor stands, or stood before.
    fn pinned(&self, sensor: SensorKey, reading: &Reading) -> Option<Pinned> {
        let pin = self.directory.sensor(sensor)?.pin()?;
        if reading.observed_at < pin.since {
            let place = self.directory.place(pin.left)?;
            return Some(Pinned::Before(pin.left, Arc::clone(place)));
        }
        let place = self.directory.place(pin.room)?;
        let names_another = match (&reading.site, &reading.room) {
            (None, None) => false,
            (site, room) => {
                let named = Place {
                    site: site.clone().unwrap_or_else(|| place.site.clone()),
                    room: room.clone().unwrap_or_else(|| place.room.clone()),
                };
                self.directory.room_key(&named) != Some(pin.room)
            }
        };
        Some(Pinned::Here(Located {
            sensor,
            room: pin.room,
            place: Arc::clone(place),
            ignores_place: names_another,
        }))
    }

    /// A reading that names a sensor as it was called before is one of the sensor as it is called now.
    pub(super) fn call_by_name(&self, sensor: SensorKey, reading: &mut Reading) {
        let entry = self.directory.sensor(sensor);
        let emptied = || self.directory.emptied(sensor).map(|emptied| &emptied.id);
        if let Some(id) = entry.map(SensorEntry::id).or_else(emptied)
            && *id != reading.sensor
        {
            reading.sensor = id.clone();
        }
    }

    fn register(&mut self, id: &SensorId, room: RoomKey, place: &Arc<Place>) -> SensorKey {
        let key = self
            .next_sensor
            .unwrap_or_else(|| self.directory.next_sensor_key());
        self.next_sensor = Some(SensorKey(key.0 + 1));
        self.new_sensors.insert(id.clone(), key);
        self.plan.sensors.push((key, id.clone(), room));
        self.sensors
            .insert(key, PlannedSensor::new(room, Arc::clone(place)));
        key
    }

    fn room(
        &mut self,
        place: Place,
        sensor: Option<SensorKey>,
    ) -> Result<(RoomKey, Arc<Place>), Vec<FieldError>> {
        if let Some(key) = self.directory.room_key(&place)
            && let Some(place) = self.directory.place(key)
        {
            return Ok((key, Arc::clone(place)));
        }
        if let Some((key, place)) = self.new_rooms.get(&place) {
            return Ok((*key, Arc::clone(place)));
        }
        self.require_room_share(&place, sensor)?;
        let key = self
            .next_room
            .unwrap_or_else(|| self.directory.next_room_key());
        self.next_room = Some(RoomKey(key.0 + 1));
        self.plan.rooms.push(RoomRow {
            key,
            site: place.site.as_str().into(),
            room: place.room.as_str().into(),
        });
        let shared = Arc::new(place.clone());
        self.new_rooms.insert(place, (key, Arc::clone(&shared)));
        Ok((key, shared))
    }

    pub(super) fn place_of(&self, room: RoomKey) -> Option<Arc<Place>> {
        self.directory.place(room).cloned().or_else(|| {
            let mut new = self.new_rooms.values();
            new.find(|(key, _)| *key == room)
                .map(|(_, place)| Arc::clone(place))
        })
    }
}

fn missing_place(site: bool, room: bool) -> Vec<FieldError> {
    [(site, "/enseigne"), (room, "/salle")]
        .into_iter()
        .filter(|(missing, _)| *missing)
        .map(|(_, pointer)| {
            FieldError::new(
                pointer,
                "required",
                "a sensor the server does not know needs it",
            )
        })
        .collect()
}

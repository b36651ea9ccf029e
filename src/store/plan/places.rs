//! Who a reading is from and where it was taken: known places, and new ones within the limits.

use super::{PlannedSensor, Planner};
use crate::database::{RoomKey, RoomRow, SensorKey};
use crate::domain::{Place, Reading, SensorId, Sites};
use crate::fault::{FORBIDDEN, FieldError};
use std::sync::Arc;

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
        if !sites.allow(self.sensor(sensor).place.site.as_str()) {
            let detail = "is not a sensor of your sites";
            return Some(FieldError::new("/sensor_id", FORBIDDEN, detail));
        }
        let stored = self.stored((sensor, reading.observed_at))?;
        let place = self.place_of(stored.room)?;
        if sites.allow(place.site.as_str()) {
            return None;
        }
        let detail = "was at none of your sites at this moment";
        Some(FieldError::new("/timestamp", FORBIDDEN, detail))
    }

    fn known(&self, id: &SensorId) -> Option<SensorKey> {
        let new = || self.new_sensors.get(id).copied();
        self.directory.key_of(id).or_else(new)
    }

    /// The sensor and the room of a reading, registering what is new.
    pub(super) fn locate(
        &mut self,
        reading: &Reading,
    ) -> Result<(SensorKey, RoomKey, Arc<Place>), Vec<FieldError>> {
        let known = self.known(&reading.sensor);
        if known.is_none() {
            // Before its room, which a reading that is refused must not make.
            self.require_sensor_share(reading)?;
        }
        let here = known.map(|sensor| {
            let sensor = self.sensor(sensor);
            (sensor.room, Arc::clone(&sensor.place))
        });
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
        let sensor = match known {
            Some(sensor) => sensor,
            None => self.register(&reading.sensor, room, &place),
        };
        Ok((sensor, room, place))
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

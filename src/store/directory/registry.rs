//! What sensors and rooms are called besides their names, and what they were before.

use super::{Directory, EmptiedSensor, KnownSensor, LatestReading, SensorEntry};
use crate::database::{Former, RegistryPatch, RoomKey, RoomRow, SensorKey, StoreError};
use crate::domain::{Place, PlaceName, Selector, SensorId};
use crate::store::ScoredReading;
use crate::store::registry::SensorSettings;
use crate::store::rows::ReadingRow;
use crate::validate::TvocUnit;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Names that lead somewhere besides the names of now, and keys that did.
#[derive(Debug, Default)]
pub(super) struct Names {
    rooms: FxHashMap<Place, RoomKey>,
    sensors: FxHashMap<SensorId, SensorKey>,
    former_rooms: FxHashMap<RoomKey, Former<RoomKey>>,
    former_sensors: FxHashMap<SensorKey, Former<SensorKey>>,
}

impl Names {
    pub(super) fn room(&self, place: &Place) -> Option<RoomKey> {
        self.rooms.get(place).copied()
    }

    pub(super) fn sensor(&self, id: &SensorId) -> Option<SensorKey> {
        self.sensors.get(id).copied()
    }

    /// How many rooms are no more whose readings are another's.
    pub(super) fn led_on_count(&self) -> usize {
        let formers = self.former_rooms.values();
        formers.filter(|former| former.into.is_some()).count()
    }

    /// The greatest keys that are not to be given out again.
    pub(super) fn keys_max(&self) -> (i64, i64) {
        let rooms = self.former_rooms.keys().map(|key| key.0);
        let sensors = self.former_sensors.keys().map(|key| key.0);
        (rooms.max().unwrap_or(0), sensors.max().unwrap_or(0))
    }

    pub(super) fn is_gone(&self, row: &ReadingRow) -> bool {
        let room = self.former_rooms.get(&row.room);
        self.sensor_of(row.sensor).is_none() || room.is_some_and(|former| former.into.is_none())
    }

    /// To which sensor the readings of one that is no more belong; `None` when they are gone. Any other
    /// is itself.
    pub(super) fn sensor_of(&self, key: SensorKey) -> Option<SensorKey> {
        self.former_sensors
            .get(&key)
            .map_or(Some(key), |former| former.into)
    }
}

impl Directory {
    /// Other names of a room.
    pub fn room_aliases_of(&self, room: RoomKey) -> impl Iterator<Item = &Place> {
        let aliases = self.names.rooms.iter();
        aliases
            .filter(move |(_, key)| **key == room)
            .map(|(place, _)| place)
    }

    /// Other ids of a sensor.
    pub fn sensor_aliases_of(&self, sensor: SensorKey) -> impl Iterator<Item = &SensorId> {
        let aliases = self.names.sensors.iter();
        aliases
            .filter(move |(_, key)| **key == sensor)
            .map(|(id, _)| id)
    }

    /// Every other id there is, with the sensor it leads to.
    pub fn sensor_aliases(&self) -> impl Iterator<Item = (&SensorId, SensorKey)> {
        self.names.sensors.iter().map(|(id, key)| (id, *key))
    }

    /// Every other name of a room there is, with the room it leads to.
    pub fn room_aliases(&self) -> impl Iterator<Item = (&Place, RoomKey)> {
        self.names.rooms.iter().map(|(place, key)| (place, *key))
    }

    /// Every sensor, those included that people removed and whose readings are kept.
    pub fn every_sensor(&self) -> impl Iterator<Item = &SensorEntry> {
        self.sensors.values()
    }

    /// Sensors that are no more while chunks still say otherwise.
    pub(in crate::store) fn pending_sensors(
        &self,
    ) -> impl Iterator<Item = (SensorKey, Option<SensorKey>)> {
        let formers = self.names.former_sensors.values();
        let pending = formers.filter(|former| former.is_pending);
        pending.map(|former| (former.key, former.into))
    }

    /// Sensors that became one with another, not all of whose readings are there yet.
    pub fn leading_on(&self) -> impl Iterator<Item = (SensorKey, SensorKey)> {
        self.pending_sensors()
            .filter_map(|(key, into)| Some((key, into?)))
    }

    /// Rooms that are no more while chunks still say otherwise.
    pub(in crate::store) fn pending_rooms(
        &self,
    ) -> impl Iterator<Item = (RoomKey, Option<RoomKey>)> {
        let formers = self.names.former_rooms.values();
        let pending = formers.filter(|former| former.is_pending);
        pending.map(|former| (former.key, former.into))
    }

    /// Rooms of old that have the same name as one, in the form that names have now.
    pub(in crate::store) fn twins_of(&self, room: RoomKey) -> Vec<RoomKey> {
        let Some(place) = self.rooms.get(&room) else {
            return Vec::new();
        };
        let same = self.rooms.iter().filter(|(key, other)| {
            **key != room && *other == place && !self.names.former_rooms.contains_key(key)
        });
        let mut twins: Vec<_> = same.map(|(key, _)| *key).collect();
        twins.sort_unstable();
        twins
    }

    /// Sensors without readings that stood in a room.
    pub(in crate::store) fn emptied_in(&self, room: RoomKey) -> Vec<(SensorKey, KnownSensor)> {
        let emptied = self.emptied.iter();
        let here = emptied.filter(|(_, sensor)| sensor.room == room);
        here.map(|(key, sensor)| (*key, sensor.known(*key)))
            .collect()
    }

    /// What somebody means who asks by names of before: what is called so now, and what was.
    pub fn meant(&self, asked: &Selector) -> Vec<Selector> {
        let sensor = asked.sensor.as_deref().and_then(|id| {
            let entry = self.sensor(self.sensor_key(id)?)?;
            Some(entry.id().as_str().into())
        });
        let asked = Selector {
            sensor: sensor.or_else(|| asked.sensor.clone()),
            ..asked.clone()
        };
        let mut meant = vec![asked.clone()];
        let Some(room) = asked.room.as_deref() else {
            return meant;
        };
        for (place, key) in self.room_aliases() {
            let is_meant = place.room.as_str() == room
                && asked
                    .site
                    .as_deref()
                    .is_none_or(|site| place.site.as_str() == site);
            let Some(now) = self.place(key).filter(|_| is_meant) else {
                continue;
            };
            let now = Selector {
                site: Some(now.site.as_str().into()),
                room: Some(now.room.as_str().into()),
                sensor: asked.sensor.clone(),
            };
            if !meant.contains(&now) {
                meant.push(now);
            }
        }
        meant
    }

    /// To which room the readings of one that is no more belong, or that they are gone; `None` for any
    /// other.
    pub fn former_room(&self, room: RoomKey) -> Option<Option<RoomKey>> {
        self.names.former_rooms.get(&room).map(|former| former.into)
    }

    /// Sensors whose TVOC comes in a unit that a person has said, by every id they have.
    pub fn tvoc_units(&self) -> &Arc<FxHashMap<Box<str>, TvocUnit>> {
        &self.tvoc_units
    }

    fn collect_tvoc_units(&mut self) {
        let mut units = FxHashMap::default();
        let unit_of = |settings: &Option<Box<SensorSettings>>| settings.as_ref()?.tvoc_unit;
        let sensors = self.sensors.iter();
        let sensors = sensors.map(|(key, entry)| (*key, entry.id(), unit_of(&entry.settings)));
        let emptied = self.emptied.iter();
        let emptied = emptied.map(|(key, entry)| (*key, &entry.id, unit_of(&entry.settings)));
        let mut of_keys = FxHashMap::default();
        for (key, id, unit) in sensors.chain(emptied) {
            if let Some(unit) = unit {
                units.insert(id.as_str().into(), unit);
                of_keys.insert(key, unit);
            }
        }
        for (id, key) in &self.names.sensors {
            if let Some(unit) = of_keys.get(key) {
                units.insert(id.as_str().into(), *unit);
            }
        }
        self.tvoc_units = Arc::new(units);
    }

    /// Whether a person has removed a sensor and kept its readings.
    pub(in crate::store) fn is_removed(&self, sensor: SensorKey) -> bool {
        let entry = self.sensors.get(&sensor).map(|entry| entry.is_removed);
        let emptied = || self.emptied.get(&sensor).map(|emptied| emptied.is_removed);
        entry.or_else(emptied).unwrap_or(false)
    }

    /// A sensor that was removed has sent a reading.
    pub(in crate::store) fn show_again(&mut self, sensor: SensorKey) {
        if let Some(entry) = self.sensors.get_mut(&sensor) {
            entry.is_removed = false;
            self.latest_version += 1;
        }
    }

    /// Takes over a change that is durable.
    pub(in crate::store) fn change_registry(
        &mut self,
        patch: &RegistryPatch,
        known: Vec<KnownSensor>,
    ) -> Result<(), StoreError> {
        for (site, room) in &patch.freed_rooms {
            self.names.rooms.remove(&place(site, room));
        }
        for id in &patch.freed_sensors {
            self.names.sensors.remove(id);
        }
        for room in &patch.rooms {
            self.put_room(room);
        }
        for (key, id) in &patch.sensor_ids {
            self.put_sensor_id(*key, id);
        }
        for (sensor, room) in &patch.sensor_rooms {
            self.add_sensor_room(*sensor, *room);
        }
        self.put_rows(patch)?;
        for sensor in known {
            self.add_known(sensor);
        }
        for room in &patch.gone_rooms {
            self.forget_room(*room);
        }
        for sensor in &patch.gone_sensors {
            self.forget_sensor(*sensor);
        }
        self.collect_tvoc_units();
        self.places_changed();
        self.latest_version += 1;
        Ok(())
    }

    fn put_rows(&mut self, patch: &RegistryPatch) -> Result<(), StoreError> {
        let rows = &patch.rows;
        for former in &rows.former_rooms {
            self.put_former_room(*former);
        }
        if !rows.former_rooms.is_empty() {
            self.lead_rooms_on();
        }
        for former in &rows.former_sensors {
            self.put_former_sensor(*former);
        }
        for alias in &rows.room_aliases {
            let place = place(&alias.site, &alias.room);
            // A name of now leads to its own room.
            if !self.room_keys.contains_key(&place) {
                self.names.rooms.insert(place, alias.key);
            }
        }
        for (id, key) in &rows.sensor_aliases {
            self.names.sensors.insert(id.clone(), *key);
        }
        for (key, json) in &rows.settings {
            let settings = SensorSettings::from_json(json).map_err(|error| {
                StoreError::corrupt("sensors", format!("settings of key {}: {error}", key.0))
            })?;
            let is_any = settings != SensorSettings::default();
            let settings = is_any.then(|| Box::new(settings));
            if let Some(entry) = self.sensors.get_mut(key) {
                entry.settings = settings;
            } else if let Some(emptied) = self.emptied.get_mut(key) {
                emptied.settings = settings;
            }
        }
        for key in &rows.removed {
            if let Some(entry) = self.sensors.get_mut(key) {
                entry.is_removed = true;
            } else if let Some(emptied) = self.emptied.get_mut(key) {
                emptied.is_removed = true;
            }
        }
        Ok(())
    }

    /// A room that is new or gets another name.
    fn put_room(&mut self, room: &RoomRow) {
        let place = Arc::new(place(&room.site, &room.room));
        self.names.rooms.remove(&*place);
        if let Some(before) = self.rooms.get(&room.key).cloned() {
            self.room_keys.remove(&before);
            for shared in self.rooms.values_mut() {
                if **shared == *before {
                    *shared = Arc::clone(&place);
                }
            }
        }
        self.rooms.insert(room.key, Arc::clone(&place));
        self.room_keys.insert(place, room.key);
        self.follow_places();
    }

    /// Sensors and their latest readings show rooms as they are called now.
    fn follow_places(&mut self) {
        let rooms = &self.rooms;
        for entry in self.sensors.values_mut() {
            if let Some(place) = rooms.get(&entry.latest.room)
                && !Arc::ptr_eq(place, &entry.latest.place)
            {
                entry.latest.place = Arc::clone(place);
            }
        }
        for emptied in self.emptied.values_mut() {
            if let Some(place) = rooms.get(&emptied.room) {
                emptied.place = Arc::clone(place);
            }
        }
    }

    fn put_sensor_id(&mut self, key: SensorKey, id: &SensorId) {
        if let Some(entry) = self.sensors.get_mut(&key) {
            self.sensor_keys.remove(entry.id());
            entry.latest = entry.latest.of_sensor(id);
            self.sensor_keys.insert(id.clone(), key);
        } else if let Some(emptied) = self.emptied.get_mut(&key) {
            self.emptied_keys.remove(&emptied.id);
            emptied.id = id.clone();
            self.emptied_keys.insert(id.clone(), key);
        }
    }

    /// Takes over a room that is no more but for its readings.
    pub(in crate::store) fn add_former_room(&mut self, room: &RoomRow) {
        let place = Arc::new(place(&room.site, &room.room));
        self.rooms.insert(room.key, place);
    }

    fn put_former_room(&mut self, former: Former<RoomKey>) {
        let names = &mut self.names;
        for earlier in names.former_rooms.values_mut() {
            if earlier.into == Some(former.key) {
                earlier.into = former.into;
            }
        }
        for key in names.rooms.values_mut() {
            *key = former.into.filter(|_| *key == former.key).unwrap_or(*key);
        }
        names.former_rooms.insert(former.key, former);
        let before = self.rooms.get(&former.key).cloned();
        let is_own = |place: &Arc<Place>| self.room_keys.get(place) == Some(&former.key);
        if let Some(before) = before.filter(is_own) {
            self.room_keys.remove(&before);
        }
    }

    /// What is stored, and logged, under a key is shown as of the room that it leads to.
    fn lead_rooms_on(&mut self) {
        for Former { key, into, .. } in self.names.former_rooms.values() {
            let place = into.and_then(|into| self.rooms.get(&into).cloned());
            if let Some(place) = place {
                self.rooms.insert(*key, place);
            }
        }
        self.follow_places();
    }

    fn put_former_sensor(&mut self, former: Former<SensorKey>) {
        let names = &mut self.names;
        for earlier in names.former_sensors.values_mut() {
            if earlier.into == Some(former.key) {
                earlier.into = former.into;
            }
        }
        names.former_sensors.insert(former.key, former);
        let ids = names.sensors.iter().filter(|(_, key)| **key == former.key);
        let ids: Vec<_> = ids.map(|(id, _)| id.clone()).collect();
        let own = self
            .sensors
            .get(&former.key)
            .map(|entry| entry.id().clone());
        for id in ids.into_iter().chain(own) {
            match former.into {
                Some(into) => drop(self.names.sensors.insert(id, into)),
                None => drop(self.names.sensors.remove(&id)),
            }
        }
        self.hide_sensor(former.key);
    }

    /// Nobody is shown a sensor any more, and nothing leads to it.
    fn hide_sensor(&mut self, key: SensorKey) {
        self.forget_times(key);
        self.partial.remove(&key);
        if let Some(entry) = self.sensors.remove(&key) {
            self.sensor_keys.remove(entry.id());
        }
        if let Some(emptied) = self.emptied.remove(&key) {
            self.emptied_keys.remove(&emptied.id);
        }
    }

    fn forget_sensor(&mut self, key: SensorKey) {
        self.hide_sensor(key);
        self.names.sensors.retain(|_, leads_to| *leads_to != key);
    }

    fn forget_room(&mut self, key: RoomKey) {
        self.names.rooms.retain(|_, leads_to| *leads_to != key);
        let former = self.names.former_rooms.get(&key);
        if former.is_none_or(|former| former.into.is_none())
            && let Some(place) = self.rooms.remove(&key)
            && self.room_keys.get(&place) == Some(&key)
        {
            self.room_keys.remove(&place);
        }
        for entry in self.sensors.values_mut() {
            entry.rooms.retain(|room| *room != key);
        }
        for emptied in self.emptied.values_mut() {
            emptied.rooms.retain(|room| *room != key);
        }
    }
}

impl EmptiedSensor {
    fn known(&self, key: SensorKey) -> KnownSensor {
        KnownSensor {
            key,
            id: self.id.clone(),
            room: self.room,
            reading_count: self.reading_count,
            first_seen: None,
            latest: None,
            newest_at: None,
            state: None,
        }
    }
}

impl LatestReading {
    /// The same of a sensor that is called otherwise.
    fn of_sensor(&self, id: &SensorId) -> Self {
        let mut scored: ScoredReading = (*self.scored).clone();
        scored.reading.sensor = id.clone();
        Self {
            scored: Arc::new(scored),
            ..self.clone()
        }
    }
}

fn place(site: &str, room: &str) -> Place {
    Place {
        site: PlaceName::nearest(site),
        room: PlaceName::nearest(room),
    }
}

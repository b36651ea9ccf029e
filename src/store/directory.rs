//! The sensors, their rooms and their latest readings, in memory.
//!
//! A mirror of what is durable: the writer changes it after each commit, everybody else reads it.

mod moves;
mod registry;
mod sites;
mod times;

use super::registry::{Pin, SensorSettings};
use super::rows::{LogRow, ReadingRow};
use super::state::{Arrival, SensorState, ShownState};
use super::{ScoredReading, Stored};
use crate::database::{RoomKey, RoomRow, SensorKey};
use crate::domain::{Place, PlaceName, SensorId, StreamId, Timestamp};
use crate::score::Profile;
use crate::validate::TvocUnit;
use moves::Moves;
use parking_lot::Mutex;
use registry::Names;
use rustc_hash::{FxHashMap, FxHashSet};
use sites::SiteIndex;
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One sensor and where it stands now.
#[derive(Debug, Clone)]
pub struct SensorEntry {
    pub key: SensorKey,
    pub room: RoomKey,
    /// Every room it has readings in.
    pub rooms: SmallVec<[RoomKey; 1]>,
    pub first_seen: Timestamp,
    pub reading_count: u64,
    /// What it measures now.
    pub state: SensorState,
    /// The newest reading whose time has come. As long as there is none, the first of the others, which
    /// is not to be shown as the latest: see [`Self::come`].
    pub latest: LatestReading,
    /// Whether the time of `latest` has come. Either way it says where the sensor stands.
    pub(super) has_come: bool,
    /// Time of its newest reading, whether that time has come or not.
    pub newest_at: Timestamp,
    /// No later than the first reading that is newer than `latest`: when it may become the latest.
    /// `None` when there is no newer one.
    pub(super) due: Option<Timestamp>,
    /// `state` is that of `latest` alone and has to be looked up, as after a start with what an earlier
    /// version wrote.
    pub(super) is_partial: bool,
    /// The request or message that its last reading came with.
    pub(super) delivery: u64,
    /// Number of the last change of its readings that was more than one behind all others.
    pub(super) amended: u64,
    /// No later than when something shown of `state` is not fresh any more.
    stale_from: Option<Timestamp>,
    /// What people said of it; most say nothing.
    settings: Option<Box<SensorSettings>>,
    /// Its last moves; most have none.
    moves: Option<Box<Moves>>,
    /// A person removed it and kept its readings: it is shown nowhere until it sends again.
    pub is_removed: bool,
}

static NO_SETTINGS: SensorSettings = SensorSettings {
    pin: None,
    tvoc_unit: None,
    model: None,
};

impl SensorEntry {
    /// A sensor with one reading, which is all that is known of it.
    fn new(key: SensorKey, latest: LatestReading) -> Self {
        let observed_at = latest.scored.reading.observed_at;
        Self {
            key,
            room: latest.room,
            rooms: SmallVec::new(),
            first_seen: observed_at,
            reading_count: 0,
            state: SensorState::default(),
            latest,
            has_come: false,
            newest_at: observed_at,
            due: None,
            is_partial: false,
            delivery: 0,
            amended: 0,
            stale_from: None,
            settings: None,
            moves: None,
            is_removed: false,
        }
    }

    pub fn id(&self) -> &SensorId {
        &self.latest.scored.reading.sensor
    }

    /// What people said of it.
    pub fn settings(&self) -> &SensorSettings {
        self.settings.as_deref().unwrap_or(&NO_SETTINGS)
    }

    /// The rooms between which it goes back and forth, as when two devices have its id.
    pub fn conflict(&self, now: Timestamp) -> Option<[RoomKey; 2]> {
        let moves = self.moves.as_ref()?;
        moves.conflict(now, self.state.delivery_period())
    }

    pub(super) fn pin(&self) -> Option<Pin> {
        self.settings().pin
    }

    /// The room in which it stands: where a person said, or else where its latest reading was taken.
    pub fn stands_in(&self) -> RoomKey {
        self.pin().map_or(self.room, |pin| pin.room)
    }

    /// What is shown of its state.
    pub fn shown(&self, now: Timestamp, profile: Profile) -> ShownState {
        let with = self.latest.scored.reading.observed_at;
        self.state.shown(self.latest.room, with, now, profile)
    }

    /// The latest reading with the state, as it would be published now; `None` as long as the time of
    /// none has come.
    pub fn stored(&self, now: Timestamp, profile: Profile) -> Option<Stored> {
        let latest = self.come()?;
        let mut stored = latest.stored();
        let reading = &latest.scored.reading;
        let says_all = self
            .state
            .is_of(&reading.values, reading.observed_at, latest.room);
        if !(says_all && self.state.is_all_fresh(now)) {
            stored.state = Some(Arc::new(self.shown(now, profile)));
        }
        Some(stored)
    }

    /// The latest reading, when the time of any has come.
    pub fn come(&self) -> Option<&LatestReading> {
        self.has_come.then_some(&self.latest)
    }
}

/// The newest reading of a sensor.
#[derive(Debug, Clone)]
pub struct LatestReading {
    /// Its position in the stream, or the beginning of this epoch when it was loaded at start.
    pub id: StreamId,
    pub room: RoomKey,
    pub place: Arc<Place>,
    pub scored: Arc<ScoredReading>,
}

/// A sensor as it is in the database.
#[derive(Debug)]
pub(super) struct KnownSensor {
    pub(super) key: SensorKey,
    pub(super) id: SensorId,
    /// Where it stands when it has no reading that says so.
    pub(super) room: RoomKey,
    pub(super) reading_count: u64,
    pub(super) first_seen: Option<Timestamp>,
    pub(super) latest: Option<ReadingRow>,
    pub(super) newest_at: Option<Timestamp>,
    /// `None` when it has to be looked up.
    pub(super) state: Option<SensorState>,
}

/// A sensor none of whose readings is left: nobody is shown it, but its id, key and rooms are taken
/// and it can post again.
#[derive(Debug)]
pub(super) struct EmptiedSensor {
    pub(super) id: SensorId,
    /// Where it stood last.
    pub(super) room: RoomKey,
    pub(super) place: Arc<Place>,
    rooms: SmallVec<[RoomKey; 1]>,
    pub(super) reading_count: u64,
    settings: Option<Box<SensorSettings>>,
    is_removed: bool,
}

impl LatestReading {
    /// The reading as it is stored, of the sensor `key`.
    pub(super) fn row(&self, sensor: SensorKey) -> ReadingRow {
        let reading = &self.scored.reading;
        ReadingRow {
            sensor,
            observed_at: reading.observed_at,
            room: self.room,
            values: reading.values,
            extras: reading.extras.clone(),
            tvoc_unit_assumed: reading.tvoc_unit_assumed,
        }
    }

    /// The reading as it was, or would have been, published.
    pub fn stored(&self) -> Stored {
        Stored {
            id: self.id,
            place: Arc::clone(&self.place),
            scored: Arc::clone(&self.scored),
            late: false,
            state: None,
        }
    }
}

/// The sensors and rooms, with the latest reading of each sensor.
#[derive(Debug)]
pub struct Directory {
    profile: Profile,
    rooms: FxHashMap<RoomKey, Arc<Place>>,
    room_keys: FxHashMap<Arc<Place>, RoomKey>,
    sensors: FxHashMap<SensorKey, SensorEntry>,
    sensor_keys: FxHashMap<SensorId, SensorKey>,
    emptied: FxHashMap<SensorKey, EmptiedSensor>,
    emptied_keys: FxHashMap<SensorId, SensorKey>,
    /// Sensors that cannot be used: their keys and ids are taken.
    aside: FxHashSet<SensorKey>,
    aside_ids: FxHashSet<SensorId>,
    position: StreamId,
    logged: StreamId,
    /// Ids up to here are never given out, whether anything was published under them or not.
    reserved: StreamId,
    removed_to: Timestamp,
    latest_version: u64,
    /// Changes whenever a sensor or room is elsewhere, new or gone.
    places_version: u64,
    site_index: Mutex<Arc<SiteIndex>>,
    /// Number of the last change of readings that were there.
    amendments: u64,
    /// No latest reading is newer.
    latest_max: Timestamp,
    /// Sensors with readings that are newer than the latest, by when that may change.
    waiting: BTreeSet<(Timestamp, SensorKey)>,
    /// Sensors by when something that is shown of them may not be fresh any more.
    staling: BTreeSet<(Timestamp, SensorKey)>,
    /// The time of the last look at those.
    stale_until: Timestamp,
    /// Sensors whose state has to be looked up.
    partial: BTreeSet<SensorKey>,
    names: Names,
    tvoc_units: Arc<FxHashMap<Box<str>, TvocUnit>>,
}

/// What is stored around the present.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The state with what was found.
    pub(super) state: SensorState,
    /// The newest reading that has come.
    pub(super) newest: Option<ReadingRow>,
    /// The first that has not; always when nothing has come, else only where it is at hand.
    pub(super) next: Option<ReadingRow>,
    /// Its time.
    pub(super) due: Option<Timestamp>,
}

impl Directory {
    /// Without sensors and rooms, at the beginning of an epoch.
    pub(super) fn new(profile: Profile, epoch: u64, removed_to: Timestamp) -> Self {
        let beginning = StreamId { epoch, sequence: 0 };
        Self {
            profile,
            rooms: FxHashMap::default(),
            room_keys: FxHashMap::default(),
            sensors: FxHashMap::default(),
            sensor_keys: FxHashMap::default(),
            emptied: FxHashMap::default(),
            emptied_keys: FxHashMap::default(),
            aside: FxHashSet::default(),
            aside_ids: FxHashSet::default(),
            position: beginning,
            logged: beginning,
            reserved: beginning,
            removed_to,
            latest_version: 1,
            places_version: 1,
            site_index: Mutex::default(),
            amendments: 0,
            latest_max: Timestamp::from_millis(i64::MIN),
            waiting: BTreeSet::new(),
            staling: BTreeSet::new(),
            stale_until: Timestamp::from_millis(i64::MIN),
            partial: BTreeSet::new(),
            names: Names::default(),
            tvoc_units: Arc::default(),
        }
    }

    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Position of the last message that was numbered, a stored reading or a notice.
    pub fn position(&self) -> StreamId {
        self.position
    }

    /// Position of the last stored reading, or the beginning of this epoch. Readings behind it may
    /// have reached the disk, but are not published.
    pub(super) fn logged(&self) -> StreamId {
        self.logged
    }

    /// The id the next message comes right behind.
    pub(super) fn last_id(&self) -> StreamId {
        self.position.max(self.reserved)
    }

    /// How many messages can still be numbered before the next start.
    pub(super) fn ids_left(&self) -> u64 {
        StreamId::SEQUENCE_MAX.saturating_sub(self.last_id().sequence)
    }

    /// Gives out the next position, when there is one.
    pub(super) fn advance(&mut self) -> Option<StreamId> {
        if self.ids_left() == 0 {
            return None;
        }
        self.position = self.last_id().plus(1);
        Some(self.position)
    }

    /// Keeps the next `count` ids from being given out; returns the one before them.
    pub(super) fn reserve(&mut self, count: usize) -> StreamId {
        let behind = self.last_id();
        self.reserved = behind.plus(count as u64);
        behind
    }

    /// Takes over that the reading `id`, numbered behind [`Self::last_id`], is stored.
    pub(super) fn set_logged(&mut self, id: StreamId) {
        self.position = id;
        self.logged = id;
    }

    /// The sensor of a stored reading and where it was taken.
    pub(super) fn origin(&self, row: &ReadingRow) -> Option<(SensorId, Arc<Place>)> {
        let key = self.names.sensor_of(row.sensor)?;
        let sensor = match self.sensors.get(&key) {
            Some(entry) => entry.id(),
            None => &self.emptied.get(&key)?.id,
        };
        let place = self.rooms.get(&row.room)?;
        Some((sensor.clone(), Arc::clone(place)))
    }

    /// Whether the readings of a sensor or a room have been removed.
    pub(super) fn is_gone(&self, row: &ReadingRow) -> bool {
        self.names.is_gone(row)
    }

    /// Readings before this time may be gone.
    pub(super) fn removed_to(&self) -> Timestamp {
        self.removed_to
    }

    /// Takes over that readings before `limit`, and no others, may go.
    pub(super) fn remove_to(&mut self, limit: Timestamp) {
        self.removed_to = limit;
    }

    /// Changes whenever a latest reading does.
    pub fn latest_version(&self) -> u64 {
        self.latest_version
    }

    pub fn sensor_count(&self) -> usize {
        self.sensors.len()
    }

    /// The sensor that is called so, or was before.
    pub fn sensor_key(&self, id: &str) -> Option<SensorKey> {
        // A text that is no sensor id is no sensor's id either.
        let id = SensorId::parse(id).ok()?;
        let own = self.sensor_keys.get(&id).copied();
        let key = own.or_else(|| self.names.sensor(&id))?;
        self.sensors.contains_key(&key).then_some(key)
    }

    /// The key of a sensor with or without readings that is called so, or was before.
    pub(super) fn key_of(&self, id: &SensorId) -> Option<SensorKey> {
        let keys = [&self.sensor_keys, &self.emptied_keys];
        let own = keys.into_iter().find_map(|keys| keys.get(id).copied());
        own.or_else(|| self.names.sensor(id))
    }

    pub(super) fn emptied(&self, key: SensorKey) -> Option<&EmptiedSensor> {
        self.emptied.get(&key)
    }

    /// Number of ids that are taken, by sensors with and without readings.
    pub(super) fn id_count(&self) -> usize {
        self.sensors.len() + self.emptied.len() + self.aside.len()
    }

    /// Takes over a sensor that cannot be used.
    pub(super) fn set_aside(&mut self, key: SensorKey, id: Option<SensorId>) {
        self.aside.insert(key);
        self.aside_ids.extend(id);
    }

    pub(super) fn is_aside(&self, key: SensorKey) -> bool {
        self.aside.contains(&key)
    }

    /// Whether an id is that of a sensor that cannot be used.
    pub(super) fn is_aside_id(&self, id: &SensorId) -> bool {
        self.aside_ids.contains(id)
    }

    /// Whether it is known that a sensor was in a room.
    pub(super) fn was_in(&self, sensor: SensorKey, room: RoomKey) -> bool {
        let rooms = match self.sensors.get(&sensor) {
            Some(entry) => Some(&entry.rooms),
            None => self.emptied.get(&sensor).map(|emptied| &emptied.rooms),
        };
        rooms.is_some_and(|rooms| rooms.contains(&room))
    }

    /// Rooms that a sensor, with or without readings, has been in.
    pub(super) fn rooms_of(&self, sensor: SensorKey) -> &[RoomKey] {
        let emptied = || Some(self.emptied.get(&sensor)?.rooms.as_slice());
        let entry = self.sensors.get(&sensor);
        let rooms = entry.map(|entry| entry.rooms.as_slice());
        rooms.or_else(emptied).unwrap_or_default()
    }

    /// All sensors, with and without readings: where each stands, and its id.
    pub(super) fn ids_with_rooms(&self) -> impl Iterator<Item = (SensorKey, RoomKey, &str)> {
        let sensors = self.sensors.values().map(|entry| {
            let id = entry.latest.scored.reading.sensor.as_str();
            (entry.key, entry.room, id)
        });
        let emptied = self.emptied.iter();
        let emptied = emptied.map(|(key, emptied)| (*key, emptied.room, emptied.id.as_str()));
        sensors.chain(emptied)
    }

    pub fn sensor(&self, key: SensorKey) -> Option<&SensorEntry> {
        self.sensors.get(&key)
    }

    /// Every sensor that is shown.
    pub fn sensors(&self) -> impl Iterator<Item = &SensorEntry> {
        self.sensors.values().filter(|entry| !entry.is_removed)
    }

    pub fn place(&self, key: RoomKey) -> Option<&Arc<Place>> {
        self.rooms.get(&key)
    }

    pub fn rooms(&self) -> impl Iterator<Item = (RoomKey, &Arc<Place>)> {
        self.rooms.iter().map(|(key, place)| (*key, place))
    }

    /// The key of a room that a reading has named, by its name or one that it had before.
    pub fn room_key(&self, place: &Place) -> Option<RoomKey> {
        let own = self.room_keys.get(place).copied();
        own.or_else(|| self.names.room(place))
    }

    /// Number of rooms, without those that are no more.
    pub(super) fn room_count(&self) -> usize {
        self.rooms.len().saturating_sub(self.names.led_on_count())
    }

    pub(super) fn next_sensor_key(&self) -> SensorKey {
        let keys = self.sensors.keys().chain(self.emptied.keys());
        let keys = keys.chain(&self.aside);
        let (_, former) = self.names.keys_max();
        SensorKey(keys.map(|key| key.0).max().unwrap_or(0).max(former) + 1)
    }

    pub(super) fn next_room_key(&self) -> RoomKey {
        let (former, _) = self.names.keys_max();
        let known = self.rooms.keys().map(|key| key.0).max().unwrap_or(0);
        RoomKey(known.max(former) + 1)
    }

    /// Takes a room over. Rooms of old whose names are the same in the form that names have now are one
    /// room to everybody: what is measured there from now on goes to the one that was written in that
    /// form, or else to the first.
    pub(super) fn add_room(&mut self, room: &RoomRow) {
        self.places_changed();
        let place = Place {
            site: PlaceName::nearest(&room.site),
            room: PlaceName::nearest(&room.room),
        };
        let is_in_form = *room.site == *place.site.as_str() && *room.room == *place.room.as_str();
        let known = self.room_keys.get_key_value(&place);
        let known = known.map(|(place, _)| Arc::clone(place));
        if is_in_form || known.is_none() {
            let place = known.clone().unwrap_or_else(|| Arc::new(place));
            self.room_keys.insert(Arc::clone(&place), room.key);
            self.rooms.insert(room.key, place);
        } else if let Some(place) = known {
            self.rooms.insert(room.key, place);
        }
    }

    /// Takes over a sensor out of the database, or what it is after some of its readings were erased.
    pub(super) fn add_known(&mut self, sensor: KnownSensor) {
        let Some((row, first_seen)) = sensor.latest.as_ref().zip(sensor.first_seen) else {
            self.add_emptied(sensor);
            return;
        };
        let Some(latest) = self.latest_with(&sensor.id, row) else {
            return;
        };
        let observed_at = row.observed_at;
        let newest_at = sensor
            .newest_at
            .map_or(observed_at, |at| at.max(observed_at));
        let known = self.sensors.get_mut(&sensor.key);
        let known = known.map(|entry| {
            let rooms = std::mem::take(&mut entry.rooms);
            (rooms, entry.settings.take(), entry.is_removed)
        });
        let (rooms, settings, is_removed) = known.unwrap_or_default();
        let is_partial = sensor.state.is_none();
        // A state without a reading is one of a time when none had come.
        let has_come = sensor.state.as_ref().is_none_or(SensorState::has_any);
        let state = sensor.state.unwrap_or_else(|| {
            let mut state = SensorState::default();
            state.take(row, None);
            state
        });
        self.amendments += 1;
        let entry = SensorEntry {
            amended: self.amendments,
            // Where its latest reading was taken: what is known besides may be from before.
            room: row.room,
            rooms,
            settings,
            is_removed,
            first_seen,
            reading_count: sensor.reading_count,
            state,
            has_come,
            newest_at,
            is_partial,
            ..SensorEntry::new(sensor.key, latest)
        };
        if has_come {
            self.latest_max = self.latest_max.max(observed_at);
        }
        self.latest_version += 1;
        self.forget_times(sensor.key);
        self.add_sensor(sensor.id, entry);
        if is_partial {
            self.partial.insert(sensor.key);
        }
        self.set_stale_from(sensor.key);
        if !has_come {
            self.set_due(sensor.key, Some(first_seen));
        } else if newest_at > observed_at {
            self.set_due(
                sensor.key,
                Some(Timestamp::from_millis(observed_at.millis() + 1)),
            );
        }
    }

    fn add_emptied(&mut self, sensor: KnownSensor) {
        let Some(place) = self.rooms.get(&sensor.room).cloned() else {
            return;
        };
        self.forget_times(sensor.key);
        let known = self.sensors.remove(&sensor.key);
        let known = known.map(|entry| (entry.rooms, entry.settings, entry.is_removed));
        let before = self.emptied.remove(&sensor.key);
        let before = before.map(|entry| (entry.rooms, entry.settings, entry.is_removed));
        let (rooms, settings, is_removed) = known.or(before).unwrap_or_default();
        self.sensor_keys.remove(&sensor.id);
        self.places_changed();
        self.latest_version += 1;
        self.emptied_keys.insert(sensor.id.clone(), sensor.key);
        self.emptied.insert(
            sensor.key,
            EmptiedSensor {
                id: sensor.id,
                room: sensor.room,
                place,
                rooms,
                settings,
                is_removed,
                reading_count: sensor.reading_count,
            },
        );
    }

    /// A stored reading as the latest of its sensor.
    pub(super) fn latest_of(&self, row: &ReadingRow) -> Option<LatestReading> {
        let (sensor, _) = self.origin(row)?;
        self.latest_with(&sensor, row)
    }

    fn latest_with(&self, id: &SensorId, row: &ReadingRow) -> Option<LatestReading> {
        let place = Arc::clone(self.rooms.get(&row.room)?);
        let scored = row.scored(id.clone(), self.profile);
        let id = StreamId {
            sequence: 0,
            ..self.position
        };
        Some(LatestReading {
            id,
            room: row.room,
            place,
            scored: Arc::new(scored),
        })
    }

    pub(super) fn add_sensor(&mut self, id: SensorId, mut entry: SensorEntry) {
        self.places_changed();
        if let Some(emptied) = self.emptied.remove(&entry.key) {
            self.emptied_keys.remove(&id);
            entry.rooms = emptied.rooms;
            entry.settings = emptied.settings;
            entry.is_removed = emptied.is_removed;
        }
        self.sensor_keys.insert(id, entry.key);
        self.sensors.insert(entry.key, entry);
    }

    pub(super) fn add_sensor_room(&mut self, sensor: SensorKey, room: RoomKey) {
        let rooms = if let Some(entry) = self.sensors.get_mut(&sensor) {
            Some(&mut entry.rooms)
        } else {
            let emptied = self.emptied.get_mut(&sensor);
            emptied.map(|emptied| &mut emptied.rooms)
        };
        if let Some(rooms) = rooms
            && !rooms.contains(&room)
        {
            rooms.push(room);
            self.places_changed();
        }
    }

    /// Takes over an event that is stored: that of a live commit, or of one that is loaded. `latest`
    /// makes its reading what the latest of a sensor is. What is newer than `horizon` waits for its time.
    pub(super) fn apply(
        &mut self,
        row: &LogRow,
        arrived_at: Option<Timestamp>,
        latest: impl FnOnce(&Self) -> Option<LatestReading>,
        horizon: Timestamp,
    ) {
        let reading = &row.reading;
        let (sensor, observed_at) = (reading.sensor, reading.observed_at);
        let waits = observed_at > horizon;
        let stands = self.sensors.get(&sensor).map(|entry| {
            let latest_at = entry.latest.scored.reading.observed_at;
            stands_by(observed_at, waits, Some(latest_at), entry.has_come)
        });
        let is_known = stands.is_some();
        let latest = if stands.unwrap_or(true) {
            latest(self)
        } else {
            None
        };
        if !is_known {
            let Some(latest) = latest.clone() else {
                return;
            };
            let id = latest.scored.reading.sensor.clone();
            let mut entry = SensorEntry::new(sensor, latest);
            if let Some(emptied) = self.emptied.get(&sensor) {
                entry.reading_count = emptied.reading_count;
            }
            self.add_sensor(id, entry);
        }
        let Some(entry) = self.sensors.get_mut(&sensor) else {
            return;
        };
        let is_behind_all = entry.reading_count == 0 || observed_at > entry.newest_at;
        if !(row.is_new && is_behind_all) {
            self.amendments += 1;
            entry.amended = self.amendments;
        }
        entry.first_seen = entry.first_seen.min(observed_at);
        entry.newest_at = entry.newest_at.max(observed_at);
        entry.reading_count += u64::from(row.is_new);
        if let Some(latest) = latest {
            if entry.room != latest.room {
                self.places_version += 1;
                if !waits {
                    let moves = entry.moves.get_or_insert_default();
                    moves.add(observed_at, latest.room);
                }
            }
            entry.room = latest.room;
            entry.latest = latest;
        }
        if waits {
            let due = entry.due.map_or(observed_at, |due| due.min(observed_at));
            self.set_due(sensor, Some(due));
            return;
        }
        entry.has_come = true;
        let arrival = arrived_at.map(|at| Arrival {
            at,
            begins: row.begins_delivery,
        });
        entry.state.take(reading, arrival);
        if !row.late {
            self.latest_version += 1;
        }
        self.latest_max = self.latest_max.max(observed_at);
        self.set_stale_from(sensor);
    }

    pub(super) fn set_delivery(&mut self, sensor: SensorKey, delivery: u64) {
        if let Some(entry) = self.sensors.get_mut(&sensor) {
            entry.delivery = delivery;
        }
    }

    /// Takes over how many readings a sensor has, where what is loaded does not say it by itself.
    pub(super) fn set_reading_count(&mut self, sensor: SensorKey, count: u64) {
        if let Some(entry) = self.sensors.get_mut(&sensor) {
            entry.reading_count = count;
        }
    }
}

/// Whether a reading says where its sensor stands, and what its latest is: the newest that has come does,
/// and the first of those that wait as long as nothing has come.
pub(super) fn stands_by(
    observed_at: Timestamp,
    waits: bool,
    latest_at: Option<Timestamp>,
    has_come: bool,
) -> bool {
    match (waits, has_come) {
        (false, false) => true,
        (false, true) => latest_at.is_none_or(|latest| observed_at >= latest),
        (true, false) => latest_at.is_none_or(|first| observed_at <= first),
        (true, true) => false,
    }
}

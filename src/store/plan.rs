//! What one transaction will change, decided in memory before anything is written.
//!
//! Pure: takes the directory and the stored readings that may be touched, and says for each appended
//! reading whether it is new, changes a stored one or repeats it. What is new or changes something is
//! an event, which gets its place in the stream here.

mod places;
mod shares;

use super::author::Author;
use super::directory::{Directory, LatestReading, stands_by};
use super::rows::{LogRow, ReadingRow};
use super::state::{Arrival, SensorState};
use super::turns::Party;
use super::{Became, LeftOut, Outcome, ScoredReading, Stored, pack};
use crate::database::{Batch, Commit, RoomKey, RoomRow, SensorKey};
use crate::domain::{
    ExtrasError, Merged, Place, PlaceName, Reading, SensorId, StreamId, Timestamp,
};
use crate::fault::{FieldError, Rejection};
use crate::score::Profile;
use places::Located;
use rustc_hash::{FxHashMap, FxHashSet};
use shares::Has;
use std::sync::Arc;

/// What makes a reading the same reading.
pub(super) type Identity = (SensorKey, Timestamp);

/// Most places the directory takes; more are refused, so that a sender of random names cannot fill
/// memory.
#[derive(Debug, Clone, Copy)]
pub struct RegistryLimits {
    pub sensors_max: usize,
    pub rooms_max: usize,
}

/// Most readings in one transaction, so that nobody waits long for it.
pub(super) const READINGS_MAX: usize = 1024;

/// A reading that is to be stored.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) scored: ScoredReading,
    pub(super) author: Arc<Author>,
    /// Number of the request or message that it came with.
    pub(super) delivery: u64,
}

/// The moment of a transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Timestamp,
    /// What is newer waits for its time.
    pub(super) horizon: Timestamp,
}

/// A decided transaction.
#[derive(Debug)]
pub(super) struct Plan {
    moment: Moment,
    /// Rooms seen for the first time, with their sites.
    rooms: Vec<RoomRow>,
    /// Sensors seen for the first time.
    sensors: Vec<(SensorKey, SensorId, RoomKey)>,
    /// Sensors seen in a room for the first time.
    sensor_rooms: Vec<(SensorKey, RoomKey)>,
    /// Sensors that were removed and are shown again.
    returned: Vec<SensorKey>,
    /// Readings to insert, or to put in place of the one with the same identity, by their ids. Of
    /// several with one identity the last has everything the others had.
    readings: Vec<LogRow>,
    /// One for each appended reading, in order.
    outcomes: Vec<Outcome>,
    /// One for each of `readings`, in order.
    events: Vec<Event>,
}

/// What is published of a reading besides its row.
#[derive(Debug)]
struct Event {
    place: Arc<Place>,
    scored: Arc<ScoredReading>,
    delivery: u64,
}

/// Identities whose stored reading the plan needs: those no newer than the newest of their sensor. A
/// newer one cannot be stored yet, and the latest is in the directory.
pub(super) fn identities_to_find(directory: &Directory, readings: &[Sent]) -> Vec<Identity> {
    readings
        .iter()
        .filter_map(|Sent { scored, .. }| {
            let key = directory.key_of(&scored.reading.sensor)?;
            let entry = directory.sensor(key)?;
            let observed_at = scored.reading.observed_at;
            let is_latest = observed_at == entry.latest.scored.reading.observed_at;
            // Nothing is stored between the latest reading and the next that is due.
            let is_next = entry.has_come
                && observed_at > entry.latest.scored.reading.observed_at
                && entry.due.is_none_or(|due| observed_at < due);
            (observed_at <= entry.newest_at && !is_latest && !is_next).then_some((key, observed_at))
        })
        .collect()
}

/// What becomes of `readings`, where those of `found` are stored.
pub(super) fn plan(
    directory: &Directory,
    found: Vec<ReadingRow>,
    readings: Vec<Sent>,
    profile: Profile,
    limits: RegistryLimits,
    moment: Moment,
) -> Plan {
    let mut planner = Planner::new(directory, found, profile, limits, moment);
    for sent in readings {
        planner.delivery = sent.delivery;
        planner.author = sent.author;
        let outcome = planner.add(sent.scored);
        planner.plan.outcomes.push(outcome);
    }
    planner.plan.forget_unused_rooms();
    planner.plan
}

impl Plan {
    /// Id of the last event, when there is any.
    pub(super) fn last_id(&self) -> Option<StreamId> {
        self.readings.last().map(|row| row.id)
    }

    /// Number of events.
    pub(super) fn event_count(&self) -> usize {
        self.readings.len()
    }

    /// What makes the plan durable; `None` when it changes nothing. Places that only a refused
    /// reading named are no change.
    pub(super) fn commit(&self) -> Option<Commit> {
        let batch = Batch {
            last: self.last_id()?,
            readings: u32::try_from(self.readings.len()).unwrap_or(u32::MAX),
            payload: pack::pack_batch(self.moment.now, &self.readings),
        };
        Some(Commit {
            rooms: self.rooms.clone(),
            sensors: self.sensors.clone(),
            sensor_rooms: self.sensor_rooms.clone(),
            returned: self.returned.clone(),
            batch: Some(batch),
        })
    }

    /// Forgets new rooms that nothing was measured in: a reading that is refused or changes nothing makes
    /// none.
    fn forget_unused_rooms(&mut self) {
        if !self.rooms.is_empty() {
            let rows = self.readings.iter();
            let used: FxHashSet<RoomKey> = rows.map(|row| row.reading.room).collect();
            self.rooms.retain(|room| used.contains(&room.key));
        }
    }

    /// Gives the events the ids right behind `behind`.
    pub(super) fn renumber(&mut self, behind: StreamId) {
        let mut id = behind;
        for row in &mut self.readings {
            id = id.plus(1);
            row.id = id;
        }
    }

    /// Takes the committed plan over into the directory. What is left of it are the readings that
    /// belong to the recent ones.
    pub(super) fn apply(
        self,
        directory: &mut Directory,
    ) -> (Vec<Outcome>, Vec<Stored>, Vec<LogRow>) {
        if self.readings.is_empty() {
            return (self.outcomes, Vec::new(), Vec::new());
        }
        for room in &self.rooms {
            directory.add_room(room);
        }
        let mut stored = Vec::with_capacity(self.events.len());
        for (row, event) in self.readings.iter().zip(self.events) {
            directory.set_logged(row.id);
            let latest = |_: &Directory| {
                Some(LatestReading {
                    id: row.id,
                    room: row.reading.room,
                    place: Arc::clone(&event.place),
                    scored: Arc::clone(&event.scored),
                })
            };
            directory.apply(row, Some(self.moment.now), latest, self.moment.horizon);
            directory.set_delivery(row.reading.sensor, event.delivery);
            stored.push(Stored {
                id: row.id,
                place: event.place,
                scored: event.scored,
                late: row.late,
                state: row.state.clone(),
            });
        }
        for sensor in self.returned {
            directory.show_again(sensor);
        }
        for (sensor, room) in self.sensor_rooms {
            directory.add_sensor_room(sensor, room);
        }
        (self.outcomes, stored, self.readings)
    }
}

struct Planner<'a> {
    directory: &'a Directory,
    profile: Profile,
    limits: RegistryLimits,
    plan: Plan,
    /// Id of the last event, of this plan or before it.
    last_id: StreamId,
    /// That of the reading that is looked at.
    delivery: u64,
    /// Whose that is.
    author: Arc<Author>,
    /// What those who are restricted to sensors have of them.
    shares: FxHashMap<Option<Party>, Has>,
    /// What sites had before this plan.
    at_sites: FxHashMap<PlaceName, Has>,
    /// Stored readings that may be merged into.
    found: FxHashMap<Identity, ReadingRow>,
    /// Index in `plan.readings` of the last reading that this plan writes for an identity.
    written: FxHashMap<Identity, usize>,
    sensors: FxHashMap<SensorKey, PlannedSensor>,
    new_sensors: FxHashMap<SensorId, SensorKey>,
    new_rooms: FxHashMap<Place, (RoomKey, Arc<Place>)>,
    next_sensor: Option<SensorKey>,
    next_room: Option<RoomKey>,
}

/// A sensor as it will be after the readings planned so far.
struct PlannedSensor {
    room: RoomKey,
    place: Arc<Place>,
    /// Time of the reading that says where it stands, as [`super::SensorEntry::latest`] does.
    stands_at: Option<Timestamp>,
    /// Whether that time has come.
    has_come: bool,
    /// Time of the newest, whether it has come or not.
    newest_at: Option<Timestamp>,
    state: SensorState,
    /// Of its last reading.
    delivery: u64,
}

impl PlannedSensor {
    /// One without readings.
    fn new(room: RoomKey, place: Arc<Place>) -> Self {
        Self {
            room,
            place,
            stands_at: None,
            has_come: false,
            newest_at: None,
            state: SensorState::default(),
            delivery: 0,
        }
    }

    fn is_moved_by(&self, observed_at: Timestamp, waits: bool) -> bool {
        stands_by(observed_at, waits, self.stands_at, self.has_come)
    }
}

impl<'a> Planner<'a> {
    fn new(
        directory: &'a Directory,
        found: Vec<ReadingRow>,
        profile: Profile,
        limits: RegistryLimits,
        moment: Moment,
    ) -> Self {
        Self {
            directory,
            profile,
            limits,
            plan: Plan {
                moment,
                rooms: Vec::new(),
                sensors: Vec::new(),
                sensor_rooms: Vec::new(),
                returned: Vec::new(),
                readings: Vec::new(),
                outcomes: Vec::new(),
                events: Vec::new(),
            },
            last_id: directory.last_id(),
            delivery: 0,
            author: Arc::default(),
            shares: FxHashMap::default(),
            at_sites: FxHashMap::default(),
            found: found
                .into_iter()
                .map(|row| ((row.sensor, row.observed_at), row))
                .collect(),
            written: FxHashMap::default(),
            sensors: FxHashMap::default(),
            new_sensors: FxHashMap::default(),
            new_rooms: FxHashMap::default(),
            next_sensor: None,
            next_room: None,
        }
    }

    fn add(&mut self, mut scored: ScoredReading) -> Outcome {
        if scored.reading.observed_at < self.directory.removed_to() {
            return Outcome::Refused(too_old(&scored.reading, self.directory.removed_to()));
        }
        let sites = self.author.sites.clone();
        if let Some(error) = self
            .unusable(&scored.reading)
            .or_else(|| self.forbidden(&scored.reading, &sites))
        {
            return Outcome::Refused(Rejection {
                sensor_id: Some(scored.reading.sensor.as_str().to_owned()),
                errors: vec![error],
            });
        }
        let Located {
            sensor,
            room,
            place,
            ignores_place,
        } = match self.locate(&scored.reading, &sites) {
            Ok(located) => located,
            Err(error) => {
                return Outcome::Refused(Rejection {
                    sensor_id: Some(scored.reading.sensor.as_str().to_owned()),
                    errors: error,
                });
            }
        };
        self.call_by_name(sensor, &mut scored.reading);
        let identity = (sensor, scored.reading.observed_at);
        let left_out = LeftOut {
            keys: 0,
            place: ignores_place,
        };
        if self
            .sensor(sensor)
            .newest_at
            .is_none_or(|newest| identity.1 > newest)
        {
            // Newer than all there is, so nothing can be stored under its identity.
            let kept = self.insert(sensor, room, place, scored);
            return Outcome::new(kept, Became::New, left_out);
        }
        match self.stored(identity) {
            None => {
                let kept = self.insert(sensor, room, place, scored);
                Outcome::new(kept, Became::New, left_out)
            }
            Some(row) => self.merge(identity, row, room, &scored.reading, left_out),
        }
    }

    fn insert(
        &mut self,
        sensor: SensorKey,
        room: RoomKey,
        place: Arc<Place>,
        scored: ScoredReading,
    ) -> Arc<ScoredReading> {
        let reading = &scored.reading;
        let row = ReadingRow {
            sensor,
            observed_at: reading.observed_at,
            room,
            values: reading.values,
            extras: reading.extras.clone(),
            tvoc_unit_assumed: reading.tvoc_unit_assumed,
        };
        let sensor = self.sensor(sensor);
        sensor.newest_at = sensor.newest_at.max(Some(row.observed_at));
        self.record(row, true, place, scored)
    }

    fn merge(
        &mut self,
        identity: Identity,
        mut row: ReadingRow,
        room: RoomKey,
        newer: &Reading,
        left_out: LeftOut,
    ) -> Outcome {
        let mut merged = row.scored(newer.sensor.clone(), self.profile);
        let Merged {
            changed,
            left_out: keys,
        } = merged.reading.merge(newer);
        if keys > 0 && keys == newer.extras.len() && newer.values.is_empty() {
            return Outcome::Refused(too_many_keys(newer));
        }
        let left_out = LeftOut { keys, ..left_out };
        if !changed {
            return Outcome::new(Arc::new(merged), Became::Same, left_out);
        }
        row.values = merged.reading.values;
        row.extras = merged.reading.extras.clone();
        row.tvoc_unit_assumed = merged.reading.tvoc_unit_assumed;
        if (newer.site.is_some() || newer.room.is_some()) && !left_out.place {
            row.room = room;
        }
        merged.assessment = self.profile.assess(&row.values);
        let place = self
            .place_of(row.room)
            .unwrap_or_else(|| Arc::clone(&self.sensor(identity.0).place));
        let stored = self.record(row, false, place, merged);
        Outcome::new(stored, Became::Changed, left_out)
    }

    /// Adds the event that a reading is stored as it is in `row`.
    fn record(
        &mut self,
        row: ReadingRow,
        is_new: bool,
        place: Arc<Place>,
        scored: ScoredReading,
    ) -> Arc<ScoredReading> {
        let (delivery, profile) = (self.delivery, self.profile);
        let Moment { now, horizon } = self.plan.moment;
        let observed_at = row.observed_at;
        let waits = observed_at > horizon;
        let sensor = self.sensor(row.sensor);
        let begins_delivery = std::mem::replace(&mut sensor.delivery, delivery) != delivery;
        let late = !waits && sensor.state.is_late(&row.values, observed_at);
        if sensor.is_moved_by(observed_at, waits) {
            // It is where that reading was taken, also when that is known better now.
            sensor.stands_at = Some(observed_at);
            sensor.room = row.room;
            sensor.place = Arc::clone(&place);
        }
        if !waits {
            sensor.has_come = true;
            let begins = begins_delivery;
            sensor.state.take(&row, Some(Arrival { at: now, begins }));
        }
        let says_all = !waits
            && sensor.state.is_of(&row.values, observed_at, row.room)
            && sensor.state.is_all_fresh(now);
        // Whoever sees the room of the reading may not see the one where the sensor stands.
        let state = (!says_all).then(|| {
            let shown = sensor.state.shown(row.room, observed_at, now, profile);
            Arc::new(shown)
        });

        self.note_room(row.sensor, row.room);
        self.note_return(row.sensor);
        let identity = (row.sensor, observed_at);
        self.written.insert(identity, self.plan.readings.len());
        self.last_id = self.last_id.plus(1);
        self.plan.readings.push(LogRow {
            id: self.last_id,
            late,
            is_new,
            begins_delivery,
            reading: row,
            state,
        });
        let scored = Arc::new(scored);
        self.plan.events.push(Event {
            place,
            scored: Arc::clone(&scored),
            delivery,
        });
        scored
    }

    /// What is stored, or will be by this plan, under an identity.
    fn stored(&self, identity: Identity) -> Option<ReadingRow> {
        if let Some(position) = self.written.get(&identity) {
            let written = self.plan.readings.get(*position);
            return written.map(|row| row.reading.clone());
        }
        if let Some(row) = self.found.get(&identity) {
            return Some(row.clone());
        }
        let latest = &self.directory.sensor(identity.0)?.latest;
        let is_latest = latest.scored.reading.observed_at == identity.1;
        is_latest.then(|| latest.row(identity.0))
    }

    fn note_room(&mut self, sensor: SensorKey, room: RoomKey) {
        let known = self.directory.was_in(sensor, room);
        if !known && !self.plan.sensor_rooms.contains(&(sensor, room)) {
            self.plan.sensor_rooms.push((sensor, room));
        }
    }

    fn note_return(&mut self, sensor: SensorKey) {
        if self.directory.is_removed(sensor) && !self.plan.returned.contains(&sensor) {
            self.plan.returned.push(sensor);
        }
    }

    /// A sensor that is in the directory or was registered by this plan.
    fn sensor(&mut self, sensor: SensorKey) -> &mut PlannedSensor {
        let directory = self.directory;
        self.sensors.entry(sensor).or_insert_with(|| {
            let Some(entry) = directory.sensor(sensor) else {
                let emptied = directory
                    .emptied(sensor)
                    .expect("a sensor is in the directory or registered by this plan");
                return PlannedSensor::new(emptied.room, Arc::clone(&emptied.place));
            };
            let place = directory.place(entry.room);
            PlannedSensor {
                room: entry.room,
                place: Arc::clone(place.unwrap_or(&entry.latest.place)),
                stands_at: Some(entry.latest.scored.reading.observed_at),
                has_come: entry.has_come,
                newest_at: Some(entry.newest_at),
                state: entry.state.clone(),
                delivery: entry.delivery,
            }
        })
    }
}

fn too_old(reading: &Reading, limit: Timestamp) -> Rejection {
    Rejection {
        sensor_id: Some(reading.sensor.as_str().to_owned()),
        errors: vec![FieldError::new(
            "/timestamp",
            "timestamp_too_old",
            format!("readings from before {limit} are not kept"),
        )],
    }
}

fn too_many_keys(reading: &Reading) -> Rejection {
    Rejection {
        sensor_id: Some(reading.sensor.as_str().to_owned()),
        errors: vec![FieldError::new(
            "/values",
            "too_many_keys",
            ExtrasError::TooMany.to_string(),
        )],
    }
}

#[cfg(test)]
mod tests;

//! What one transaction will change, decided in memory before anything is written.
//!
//! Pure: takes the directory and the stored readings that may be touched, and says for each appended
//! reading whether it is new, changes a stored one or repeats it. What is new or changes something is
//! an event, which gets its place in the stream here.

mod places;

use super::directory::{Directory, LatestReading, SensorEntry};
use super::recent::Recent;
use super::rhythm::smoothed_period;
use super::rows::{LogRow, ReadingRow, SensorCounters};
use super::{Outcome, ScoredReading, Stored, pack};
use crate::database::{Batch, Commit, RoomKey, RoomRow, SensorKey};
use crate::domain::{ExtrasError, Merged, Place, Reading, SensorId, Sites, StreamId, Timestamp};
use crate::fault::{FieldError, Rejection};
use crate::score::Profile;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
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

/// A decided transaction.
#[derive(Debug)]
pub(super) struct Plan {
    /// What is newer waits for its time.
    horizon: Timestamp,
    /// Rooms seen for the first time, with their sites.
    rooms: Vec<RoomRow>,
    /// Sensors seen for the first time.
    sensors: Vec<(SensorKey, SensorId, RoomKey)>,
    /// Sensors seen in a room for the first time.
    sensor_rooms: Vec<(SensorKey, RoomKey)>,
    /// State of each sensor that has new readings.
    counters: Vec<SensorCounters>,
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
}

/// Identities whose stored reading the plan needs: those no newer than the newest of their sensor. A
/// newer one cannot be stored yet, and the latest is in the directory.
pub(super) fn identities_to_find(
    directory: &Directory,
    readings: &[(ScoredReading, Sites)],
) -> Vec<Identity> {
    readings
        .iter()
        .filter_map(|(scored, _)| {
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

/// `readings` come with the sites that their senders may write to. Those newer than `horizon` are of
/// the future.
pub(super) fn plan(
    directory: &Directory,
    found: Vec<ReadingRow>,
    readings: Vec<(ScoredReading, Sites)>,
    profile: Profile,
    limits: RegistryLimits,
    horizon: Timestamp,
) -> Plan {
    let mut planner = Planner::new(directory, found, profile, limits, horizon);
    for (scored, sites) in readings {
        let outcome = planner.add(scored, &sites);
        planner.plan.outcomes.push(outcome);
    }
    planner.finish()
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
            payload: pack::pack_batch(&self.readings, &self.counters),
        };
        Some(Commit {
            rooms: self.rooms.clone(),
            sensors: self.sensors.clone(),
            sensor_rooms: self.sensor_rooms.clone(),
            batch: Some(batch),
        })
    }

    /// Gives the events the ids right behind `behind`.
    pub(super) fn renumber(&mut self, behind: StreamId) {
        let mut id = behind;
        for row in &mut self.readings {
            id = id.plus(1);
            row.id = id;
        }
    }

    /// Takes the committed plan over into memory.
    pub(super) fn apply(
        self,
        directory: &mut Directory,
        recent: &Recent,
    ) -> (Vec<Outcome>, Vec<Stored>) {
        if self.readings.is_empty() {
            return (self.outcomes, Vec::new());
        }
        for room in &self.rooms {
            directory.add_room(room);
        }
        let mut stored = Vec::with_capacity(self.events.len());
        for (row, event) in self.readings.iter().zip(self.events) {
            let LogRow { id, late, reading } = row;
            let (id, late) = (*id, *late);
            directory.set_logged(id);
            let latest = LatestReading {
                id,
                room: reading.room,
                place: Arc::clone(&event.place),
                scored: Arc::clone(&event.scored),
            };
            if directory.sensor(reading.sensor).is_none() {
                let entry = SensorEntry {
                    key: reading.sensor,
                    room: reading.room,
                    rooms: SmallVec::new(),
                    first_seen: reading.observed_at,
                    reading_count: 0,
                    period_ms: None,
                    latest: latest.clone(),
                    has_come: false,
                    newest_at: reading.observed_at,
                    due: None,
                };
                directory.add_sensor(event.scored.reading.sensor.clone(), entry);
            }
            directory.set_reading(reading.sensor, latest, self.horizon);
            stored.push(Stored {
                id,
                place: event.place,
                scored: event.scored,
                late,
            });
        }
        for (sensor, room) in self.sensor_rooms {
            directory.add_sensor_room(sensor, room);
        }
        for counters in &self.counters {
            directory.set_counters(counters);
        }
        let rows = self.readings.into_iter().map(|row| (row.id, row.reading));
        recent.insert(rows, directory.sensor_count());
        (self.outcomes, stored)
    }
}

struct Planner<'a> {
    directory: &'a Directory,
    profile: Profile,
    limits: RegistryLimits,
    plan: Plan,
    /// Id of the last event, of this plan or before it.
    last_id: StreamId,
    /// Stored readings that may be merged into.
    found: FxHashMap<Identity, ReadingRow>,
    /// Index in `plan.readings` of the last reading that this plan writes for an identity.
    written: FxHashMap<Identity, usize>,
    sensors: FxHashMap<SensorKey, SensorState>,
    new_sensors: FxHashMap<SensorId, SensorKey>,
    new_rooms: FxHashMap<Place, (RoomKey, Arc<Place>)>,
    next_sensor: Option<SensorKey>,
    next_room: Option<RoomKey>,
}

/// A sensor as it will be after the readings planned so far.
struct SensorState {
    room: RoomKey,
    place: Arc<Place>,
    /// Time of the reading that says where it stands, as [`SensorEntry::latest`] does.
    stands_at: Option<Timestamp>,
    /// Whether that time has come.
    has_come: bool,
    /// Time of the newest, whether it has come or not.
    newest_at: Option<Timestamp>,
    reading_count: u64,
    period_ms: Option<f64>,
}

impl SensorState {
    /// Whether a reading is older than the latest; one that waits for its time never is.
    fn is_late(&self, observed_at: Timestamp, waits: bool) -> bool {
        !waits && self.has_come && self.stands_at.is_some_and(|latest| observed_at < latest)
    }

    /// Whether a reading says where the sensor stands: the latest does, and the first of those that
    /// wait as long as nothing has come.
    fn is_moved_by(&self, observed_at: Timestamp, waits: bool) -> bool {
        let stands_at = self.stands_at;
        match (waits, self.has_come) {
            (false, false) => true,
            (false, true) => stands_at.is_none_or(|latest| observed_at >= latest),
            (true, false) => stands_at.is_none_or(|first| observed_at <= first),
            (true, true) => false,
        }
    }
}

impl<'a> Planner<'a> {
    fn new(
        directory: &'a Directory,
        found: Vec<ReadingRow>,
        profile: Profile,
        limits: RegistryLimits,
        horizon: Timestamp,
    ) -> Self {
        Self {
            directory,
            profile,
            limits,
            plan: Plan {
                horizon,
                rooms: Vec::new(),
                sensors: Vec::new(),
                sensor_rooms: Vec::new(),
                counters: Vec::new(),
                readings: Vec::new(),
                outcomes: Vec::new(),
                events: Vec::new(),
            },
            last_id: directory.last_id(),
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

    fn add(&mut self, scored: ScoredReading, sites: &Sites) -> Outcome {
        if scored.reading.observed_at < self.directory.removed_to() {
            return Outcome::Refused(too_old(&scored.reading, self.directory.removed_to()));
        }
        if let Some(error) = self.forbidden(&scored.reading, sites) {
            return Outcome::Refused(Rejection {
                sensor_id: Some(scored.reading.sensor.as_str().to_owned()),
                errors: vec![error],
            });
        }
        let (sensor, room, place) = match self.locate(&scored.reading) {
            Ok(located) => located,
            Err(error) => {
                return Outcome::Refused(Rejection {
                    sensor_id: Some(scored.reading.sensor.as_str().to_owned()),
                    errors: error,
                });
            }
        };
        let identity = (sensor, scored.reading.observed_at);
        if self
            .state(sensor)
            .newest_at
            .is_none_or(|newest| identity.1 > newest)
        {
            // Newer than all there is, so nothing can be stored under its identity.
            return self.insert(sensor, room, place, scored);
        }
        match self.stored(identity) {
            None => self.insert(sensor, room, place, scored),
            Some(row) => self.merge(identity, row, room, &scored.reading),
        }
    }

    fn insert(
        &mut self,
        sensor: SensorKey,
        room: RoomKey,
        place: Arc<Place>,
        scored: ScoredReading,
    ) -> Outcome {
        let reading = &scored.reading;
        let row = ReadingRow {
            sensor,
            observed_at: reading.observed_at,
            room,
            values: reading.values,
            extras: reading.extras.clone(),
            tvoc_unit_assumed: reading.tvoc_unit_assumed,
        };
        let late = self.count_in(sensor, room, &place, reading.observed_at);
        Outcome::Accepted(self.record(row, late, place, scored))
    }

    fn merge(
        &mut self,
        identity: Identity,
        mut row: ReadingRow,
        room: RoomKey,
        newer: &Reading,
    ) -> Outcome {
        let mut merged = row.scored(newer.sensor.clone(), self.profile);
        let Merged { changed, left_out } = merged.reading.merge(newer);
        if left_out > 0 && left_out == newer.extras.len() && newer.values.is_empty() {
            return Outcome::Refused(too_many_keys(newer));
        }
        if !changed {
            return outcome(Arc::new(merged), changed, left_out);
        }
        row.values = merged.reading.values;
        row.extras = merged.reading.extras.clone();
        row.tvoc_unit_assumed = merged.reading.tvoc_unit_assumed;
        if newer.site.is_some() || newer.room.is_some() {
            row.room = room;
        }
        merged.assessment = self.profile.assess(&row.values);

        let (sensor, observed_at) = identity;
        let place = self
            .place_of(row.room)
            .unwrap_or_else(|| Arc::clone(&self.state(sensor).place));
        let waits = observed_at > self.plan.horizon;
        let state = self.state(sensor);
        let late = state.is_late(observed_at, waits);
        if state.is_moved_by(observed_at, waits) {
            // It is where that reading was taken, also when that is known better now.
            state.room = row.room;
            state.place = Arc::clone(&place);
        }
        outcome(self.record(row, late, place, merged), changed, left_out)
    }

    /// Adds the event that a reading is stored as it is in `row`.
    fn record(
        &mut self,
        row: ReadingRow,
        late: bool,
        place: Arc<Place>,
        scored: ScoredReading,
    ) -> Arc<ScoredReading> {
        self.note_room(row.sensor, row.room);
        let identity = (row.sensor, row.observed_at);
        self.written.insert(identity, self.plan.readings.len());
        self.last_id = self.last_id.plus(1);
        self.plan.readings.push(LogRow {
            id: self.last_id,
            late,
            reading: row,
        });
        let scored = Arc::new(scored);
        self.plan.events.push(Event {
            place,
            scored: Arc::clone(&scored),
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

    /// Counts a new reading in; says whether it is late.
    fn count_in(
        &mut self,
        sensor: SensorKey,
        room: RoomKey,
        place: &Arc<Place>,
        observed_at: Timestamp,
    ) -> bool {
        let waits = observed_at > self.plan.horizon;
        let state = self.state(sensor);
        state.reading_count += 1;
        state.newest_at = state.newest_at.max(Some(observed_at));
        if !state.is_moved_by(observed_at, waits) {
            return state.is_late(observed_at, waits);
        }
        if let Some(latest) = state.stands_at.filter(|_| state.has_come) {
            state.period_ms = Some(smoothed_period(state.period_ms, latest, observed_at));
        }
        state.stands_at = Some(observed_at);
        state.has_come |= !waits;
        state.room = room;
        state.place = Arc::clone(place);
        false
    }

    fn note_room(&mut self, sensor: SensorKey, room: RoomKey) {
        let known = self.directory.was_in(sensor, room);
        if !known && !self.plan.sensor_rooms.contains(&(sensor, room)) {
            self.plan.sensor_rooms.push((sensor, room));
        }
    }

    /// The state of a sensor that is in the directory or was registered by this plan.
    fn state(&mut self, sensor: SensorKey) -> &mut SensorState {
        let directory = self.directory;
        self.sensors.entry(sensor).or_insert_with(|| {
            let Some(entry) = directory.sensor(sensor) else {
                let emptied = directory
                    .emptied(sensor)
                    .expect("a sensor is in the directory or registered by this plan");
                return SensorState {
                    room: emptied.room,
                    place: Arc::clone(&emptied.place),
                    stands_at: None,
                    has_come: false,
                    newest_at: None,
                    reading_count: emptied.reading_count,
                    period_ms: None,
                };
            };
            SensorState {
                room: entry.room,
                place: directory
                    .place(entry.room)
                    .map_or_else(|| Arc::clone(&entry.latest.place), Arc::clone),
                stands_at: Some(entry.latest.scored.reading.observed_at),
                has_come: entry.has_come,
                newest_at: Some(entry.newest_at),
                reading_count: entry.reading_count,
                period_ms: entry.period_ms,
            }
        })
    }

    fn finish(mut self) -> Plan {
        let counters = self
            .sensors
            .into_iter()
            .map(|(sensor, state)| SensorCounters {
                sensor,
                room: state.room,
                reading_count: state.reading_count,
                period_ms: state.period_ms,
            });
        self.plan.counters = counters.collect();
        self.plan
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

/// What became of a reading that was merged.
fn outcome(scored: Arc<ScoredReading>, changed: bool, left_out: usize) -> Outcome {
    match (changed, left_out) {
        (true, 0) => Outcome::Updated(scored),
        (false, 0) => Outcome::Duplicate(scored),
        (changed, left_out) => Outcome::InPart {
            scored,
            changed,
            left_out,
        },
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

//! Changes of sensors and rooms against a naive model: any changes between any writes, with changes that
//! fail or break off, settling and restarts.

use super::*;
use crate::database::{Database as _, Series};
use crate::domain::{Quantity, TimeRange};
use crate::store::bucket::Bucket;
use crate::store::rows::Measure;
use crate::store::tests::{Failure, Running, on_postgres, on_sqlite};
use crate::store::{HistoryQuery, Outcome, ScoredReading, Stored};
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Seconds in several minutes, hours and days.
const TIMES: [i64; 8] = [0, 1, 61, 3599, 3600, 86_399, 86_400, 200_000];

fn at(time: u8) -> Timestamp {
    Timestamp::from_millis((20_000 * 86_400 + TIMES[usize::from(time)]) * 1000)
}

fn sensor_id(number: u8) -> SensorId {
    SensorId::parse(&format!("s{number}")).unwrap()
}

fn place(number: u8) -> Place {
    Place {
        site: PlaceName::parse("site").unwrap(),
        room: PlaceName::parse(&format!("room {number}")).unwrap(),
    }
}

#[derive(Debug, Clone)]
struct Write {
    sensor: u8,
    time: u8,
    room: Option<u8>,
    co2: Option<u8>,
    pm25: Option<u8>,
}

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<Write>),
    Change(RegistryChange),
    /// It fails at the first write, or after so many pieces.
    FailToChange(RegistryChange, Failure),
    BreakOff(RegistryChange, u32, bool),
    Settle,
    Restart,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Sensor {
    id: u8,
    /// Room, since, and the room before.
    pin: Option<(u32, Timestamp, u32)>,
    is_removed: bool,
    was_in: BTreeSet<u32>,
}

#[derive(Debug, Clone, PartialEq)]
struct Stayed {
    room: u32,
    co2: Option<u8>,
    pm25: Option<u8>,
}

/// What the store should hold, kept the simplest way.
#[derive(Debug, Clone, Default)]
struct Model {
    sensors: BTreeMap<u32, Sensor>,
    sensor_aliases: BTreeMap<u8, u32>,
    rooms: BTreeMap<u32, u8>,
    room_aliases: BTreeMap<u8, u32>,
    readings: BTreeMap<(u32, Timestamp), Stayed>,
    next: u32,
}

impl Model {
    fn sensor(&self, id: u8) -> Option<u32> {
        let own = self.sensors.iter().find(|(_, sensor)| sensor.id == id);
        own.map(|(key, _)| *key)
            .or_else(|| self.sensor_aliases.get(&id).copied())
    }

    fn known(&self, id: &SensorId) -> Result<u32, RegistryRefusal> {
        let key = self.sensor(number(id.as_str()));
        key.ok_or(RegistryRefusal::UnknownSensor)
    }

    fn shown(&self, id: &SensorId) -> Result<u32, RegistryRefusal> {
        let key = self.sensor(number(id.as_str()));
        key.filter(|key| !self.sensors[key].is_removed)
            .ok_or(RegistryRefusal::UnknownSensor)
    }

    fn room(&self, name: u8) -> Option<u32> {
        let own = self.rooms.iter().find(|(_, known)| **known == name);
        own.map(|(key, _)| *key)
            .or_else(|| self.room_aliases.get(&name).copied())
    }

    fn room_or_new(&mut self, name: u8) -> u32 {
        self.room(name).unwrap_or_else(|| {
            self.next += 1;
            self.rooms.insert(self.next, name);
            self.next
        })
    }

    fn latest(&self, sensor: u32) -> Option<(Timestamp, &Stayed)> {
        let mut of_sensor = self
            .readings
            .range((sensor, Timestamp::from_millis(i64::MIN))..);
        let last = of_sensor
            .by_ref()
            .take_while(|((key, _), _)| *key == sensor)
            .last();
        last.map(|((_, at), kept)| (*at, kept))
    }

    fn stands_in(&self, sensor: u32) -> u32 {
        let latest = self.latest(sensor).unwrap().1.room;
        self.sensors[&sensor].pin.map_or(latest, |(room, ..)| room)
    }

    /// A room that is new is there when something was measured in it.
    fn write_all(&mut self, batch: &[Write]) {
        let before = self.rooms.clone();
        let used = batch.iter().filter_map(|write| self.write(write));
        let used: BTreeSet<_> = used.collect();
        self.rooms
            .retain(|room, _| before.contains_key(room) || used.contains(room));
    }

    /// The room in which something has changed.
    fn write(&mut self, write: &Write) -> Option<u32> {
        let observed_at = at(write.time);
        let known = self.sensor(write.sensor);
        let pin = known.and_then(|key| self.sensors[&key].pin);
        let (room, is_named) = match pin {
            Some((room, since, _)) if observed_at >= since => {
                let named = write.room.and_then(|name| self.room(name));
                (room, named == Some(room))
            }
            _ => match (write.room, known, pin) {
                (Some(name), ..) => (self.room_or_new(name), true),
                (None, Some(_), Some((_, _, left))) => (left, false),
                (None, Some(key), None) => (self.latest(key).unwrap().1.room, false),
                (None, None, _) => return None,
            },
        };
        let key = known.unwrap_or_else(|| {
            self.next += 1;
            let sensor = Sensor {
                id: write.sensor,
                ..Sensor::default()
            };
            self.sensors.insert(self.next, sensor);
            self.next
        });
        let reading = Stayed {
            room,
            co2: write.co2,
            pm25: write.pm25,
        };
        let kept = self.readings.entry((key, observed_at));
        let before = match &kept {
            std::collections::btree_map::Entry::Occupied(kept) => Some(kept.get().clone()),
            std::collections::btree_map::Entry::Vacant(_) => None,
        };
        let kept = kept.or_insert_with(|| reading.clone());
        kept.co2 = reading.co2.or(kept.co2);
        kept.pm25 = reading.pm25.or(kept.pm25);
        let changed =
            before.is_none_or(|before| (before.co2, before.pm25) != (kept.co2, kept.pm25));
        if !changed {
            return None;
        }
        if is_named {
            kept.room = room;
        }
        let room = kept.room;
        let sensor = self.sensors.get_mut(&key).unwrap();
        sensor.is_removed = false;
        sensor.was_in.insert(room);
        Some(room)
    }

    fn change(&mut self, change: &RegistryChange) -> Result<(), RegistryRefusal> {
        match change {
            RegistryChange::EditSensor { id, edit } => self.edit(id, edit),
            RegistryChange::MergeSensors { from, into } => self.merge(from, into),
            RegistryChange::RemoveSensor { id, readings } => self.remove(id, *readings),
            RegistryChange::MoveRoom { from, to } => {
                let to = to.room.as_ref().unwrap();
                self.move_room(from, number(to.as_str()))
            }
            RegistryChange::RemoveRoom { place, readings } => self.remove_room(place, *readings),
        }
    }

    fn edit(&mut self, id: &SensorId, edit: &SensorEdit) -> Result<(), RegistryRefusal> {
        let key = self.shown(id)?;
        let here = self.stands_in(key);
        let new_id = edit.id.as_ref().map(|id| number(id.as_str()));
        let own = self.sensors[&key].id;
        let new_id = new_id.filter(|new| *new != own);
        if let Some(new) = new_id
            && self.sensor(new).is_some_and(|other| other != key)
        {
            return Err(RegistryRefusal::SensorIdTaken);
        }
        match (&edit.room, edit.is_pinned) {
            (Some(room), _) => {
                let room = self.room_or_new(number(room.as_str()));
                let since = edit.since.unwrap_or(crate::store::tests::LATER);
                let sensor = self.sensors.get_mut(&key).unwrap();
                let left = match sensor.pin {
                    Some((pinned, before, left)) if pinned == room || since < before => left,
                    _ => here,
                };
                sensor.pin = Some((room, since, left));
                if edit.since.is_some() {
                    sensor.was_in.insert(room);
                    for ((of, at), kept) in &mut self.readings {
                        if *of == key && *at >= since {
                            kept.room = room;
                        }
                    }
                }
            }
            (None, Some(true)) if self.sensors[&key].pin.is_none() => {
                let now = crate::store::tests::LATER;
                self.sensors.get_mut(&key).unwrap().pin = Some((here, now, here));
            }
            (None, Some(false)) => self.sensors.get_mut(&key).unwrap().pin = None,
            _ => {}
        }
        if let Some(new) = new_id {
            self.sensor_aliases.remove(&new);
            self.sensor_aliases.insert(own, key);
            self.sensors.get_mut(&key).unwrap().id = new;
        }
        Ok(())
    }

    fn merge(&mut self, from: &SensorId, into: &SensorId) -> Result<(), RegistryRefusal> {
        let (from, into) = (self.known(from)?, self.shown(into)?);
        if from == into {
            return Err(RegistryRefusal::SameSensor);
        }
        let gone = self.sensors.remove(&from).unwrap();
        for key in self.sensor_aliases.values_mut().filter(|key| **key == from) {
            *key = into;
        }
        self.sensor_aliases.insert(gone.id, into);
        self.sensors
            .get_mut(&into)
            .unwrap()
            .was_in
            .extend(gone.was_in);
        let moved: Vec<_> = self
            .readings
            .keys()
            .filter(|(of, _)| *of == from)
            .copied()
            .collect();
        for (of, at) in moved {
            let reading = self.readings.remove(&(of, at)).unwrap();
            let kept = self
                .readings
                .entry((into, at))
                .or_insert_with(|| reading.clone());
            kept.co2 = kept.co2.or(reading.co2);
            kept.pm25 = kept.pm25.or(reading.pm25);
        }
        Ok(())
    }

    fn remove(&mut self, id: &SensorId, readings: Kept) -> Result<(), RegistryRefusal> {
        let key = self.known(id)?;
        let id = number(id.as_str());
        if self.sensors[&key].id != id {
            self.sensor_aliases.remove(&id);
            return Ok(());
        }
        self.sensor_aliases.retain(|_, of| *of != key);
        if readings == Kept::Keep {
            let sensor = self.sensors.get_mut(&key).unwrap();
            (sensor.is_removed, sensor.pin) = (true, None);
        } else {
            self.sensors.remove(&key);
            self.readings.retain(|(of, _), _| *of != key);
        }
        Ok(())
    }

    fn move_room(&mut self, from: &Place, to: u8) -> Result<(), RegistryRefusal> {
        let from = number(from.room.as_str());
        let key = self.room(from).ok_or(RegistryRefusal::UnknownRoom)?;
        let own = self.rooms[&key];
        let there = self
            .rooms
            .iter()
            .find(|(_, name)| **name == to)
            .map(|(key, _)| *key);
        match there {
            Some(there) if there == key => {}
            Some(into) => {
                for alias in self.room_aliases.values_mut().filter(|of| **of == key) {
                    *alias = into;
                }
                self.room_aliases.insert(own, into);
                self.rooms.remove(&key);
                let led_on = |room: &mut u32| *room = if *room == key { into } else { *room };
                self.readings
                    .values_mut()
                    .for_each(|kept| led_on(&mut kept.room));
                for sensor in self.sensors.values_mut() {
                    if let Some((room, _, left)) = &mut sensor.pin {
                        led_on(room);
                        led_on(left);
                    }
                    if sensor.was_in.remove(&key) {
                        sensor.was_in.insert(into);
                    }
                }
            }
            None => {
                self.room_aliases.remove(&to);
                self.room_aliases.insert(own, key);
                self.rooms.insert(key, to);
            }
        }
        Ok(())
    }

    fn remove_room(&mut self, place: &Place, readings: Kept) -> Result<(), RegistryRefusal> {
        let name = number(place.room.as_str());
        let key = self.room(name).ok_or(RegistryRefusal::UnknownRoom)?;
        if self.rooms[&key] != name {
            self.room_aliases.remove(&name);
            return Ok(());
        }
        let shown = self.sensors.iter().filter(|(_, sensor)| !sensor.is_removed);
        let mut shown = shown.map(|(sensor, _)| *sensor);
        if shown.any(|sensor| {
            self.stands_in(sensor) == key || self.latest(sensor).unwrap().1.room == key
        }) {
            return Err(RegistryRefusal::RoomInUse);
        }
        self.room_aliases.retain(|_, of| *of != key);
        let was_there = self
            .sensors
            .values()
            .any(|sensor| sensor.was_in.contains(&key));
        if readings == Kept::Keep && was_there {
            return Ok(());
        }
        self.rooms.remove(&key);
        self.readings.retain(|_, kept| kept.room != key);
        for sensor in self.sensors.values_mut() {
            sensor.was_in.remove(&key);
        }
        let left: BTreeSet<_> = self.readings.keys().map(|(sensor, _)| *sensor).collect();
        let gone = |sensor: &u32| !left.contains(sensor);
        self.sensors.retain(|sensor, _| !gone(sensor));
        self.sensor_aliases.retain(|_, sensor| !gone(sensor));
        Ok(())
    }
}

/// The number in a name of these tests.
fn number(name: &str) -> u8 {
    let digits = name.trim_start_matches(|character: char| !character.is_ascii_digit());
    digits.parse().unwrap()
}

struct Trial<'a> {
    url: &'a str,
    running: Running,
    model: Model,
}

impl Trial<'_> {
    async fn step(&mut self, step: Step) {
        match step {
            Step::Write(batch) => self.write(&batch).await,
            Step::Settle => self.running.settle().await,
            Step::Restart => self.restart().await,
            Step::Change(change) => {
                let expected = self.model.change(&change);
                self.expect(&change, expected).await;
            }
            Step::FailToChange(change, failure) => {
                *self.running.database.failure.lock() = Some(failure);
                self.disturbed(&change).await;
            }
            Step::BreakOff(change, after, restarts) => {
                // What gathered is settled first, which is not what is to break off here.
                self.running.settle().await;
                *self.running.database.rewrites_left.lock() = Some(after);
                let result = self.running.queue.change(change.clone(), &Sites::ALL).await;
                let broke_off = self.running.database.rewrites_left.lock().take().is_none();
                if !broke_off {
                    let expected = self.model.change(&change);
                    assert_eq!(result.map(drop).map_err(refusal), expected);
                    return;
                }
                self.model.change(&change).unwrap();
                if restarts {
                    self.restart_unchecked().await;
                }
                self.finish().await;
            }
        }
        self.check().await;
    }

    async fn expect(&self, change: &RegistryChange, expected: Result<(), RegistryRefusal>) {
        let result = self.running.queue.change(change.clone(), &Sites::ALL).await;
        assert_eq!(result.map(drop).map_err(refusal), expected, "{change:?}");
    }

    /// Makes a change of which the first write fails.
    async fn disturbed(&mut self, change: &RegistryChange) {
        let expected = self.model.change(change);
        let result = self.running.queue.change(change.clone(), &Sites::ALL).await;
        if self.running.database.failure.lock().take().is_some() {
            // There was nothing to write.
            assert_eq!(result.map(drop).map_err(refusal), expected, "{change:?}");
            return;
        }
        assert!(matches!(result, Err(RegistryError::Store(_))), "{result:?}");
        expected.unwrap();
        self.finish().await;
    }

    /// Waits until a change that failed is made: it is before anything else is written.
    async fn finish(&mut self) {
        let write = Write {
            sensor: 9,
            time: 0,
            room: Some(9),
            co2: Some(1),
            pm25: None,
        };
        self.write(&[write]).await;
        let nothing = RegistryChange::EditSensor {
            id: sensor_id(9),
            edit: SensorEdit::default(),
        };
        self.expect(&nothing, Ok(())).await;
    }

    async fn write(&mut self, batch: &[Write]) {
        let readings = batch.iter().map(Write::scored).collect();
        self.model.write_all(batch);
        let outcomes = self
            .running
            .queue
            .append(readings, &Sites::ALL)
            .await
            .unwrap();
        for (outcome, write) in outcomes.iter().zip(batch) {
            let is_refused = matches!(outcome, Outcome::Refused(_));
            assert!(!is_refused || write.room.is_none(), "{outcome:?}");
        }
    }

    async fn restart_unchecked(&mut self) {
        self.running.close().await;
        self.running = Running::open(self.url, 100, 100).await;
    }

    async fn restart(&mut self) {
        self.restart_unchecked().await;
        self.check().await;
    }

    async fn check(&self) {
        self.check_directory();
        let all = TimeRange::new(Timestamp::from_millis(0), crate::store::tests::LATER);
        let query = every_sensor(&self.running);
        self.check_history(&query, all).await;
        self.check_buckets(&query, all).await;
        let replayed = self
            .running
            .replay(crate::domain::StreamId::default())
            .await;
        let ids: BTreeSet<_> = self
            .model
            .sensors
            .values()
            .map(|sensor| sensor.id)
            .collect();
        let names: BTreeSet<_> = self.model.rooms.values().copied().collect();
        for Stored { place, scored, .. } in replayed.unwrap_or_default() {
            assert!(ids.contains(&number(scored.reading.sensor.as_str())));
            assert!(names.contains(&number(place.room.as_str())));
        }
    }

    fn check_directory(&self) {
        self.running.store.directory(|directory| {
            let mut found = BTreeMap::new();
            for entry in directory.every_sensor() {
                let latest = &entry.latest.scored.reading;
                let stands = directory.place(entry.stands_in()).unwrap();
                let values = [Quantity::Co2, Quantity::Pm25].map(|of| latest.values.get(of));
                found.insert(
                    number(entry.id().as_str()),
                    (
                        entry.is_removed,
                        entry.reading_count,
                        entry.first_seen,
                        latest.observed_at,
                        values,
                        number(stands.room.as_str()),
                        number(entry.latest.place.room.as_str()),
                    ),
                );
                let state = entry.stored(crate::store::tests::LATER, directory.profile());
                assert!(state.is_some());
            }
            let mut expected = BTreeMap::new();
            for (key, sensor) in &self.model.sensors {
                let (at, latest) = self.model.latest(*key).unwrap();
                let times = self.model.readings.keys().filter(|(of, _)| of == key);
                let values = [latest.co2, latest.pm25].map(|value| value.map(f64::from));
                expected.insert(
                    sensor.id,
                    (
                        sensor.is_removed,
                        times.clone().count() as u64,
                        times.map(|(_, at)| *at).min().unwrap(),
                        at,
                        values,
                        self.model.rooms[&self.model.stands_in(*key)],
                        self.model.rooms[&latest.room],
                    ),
                );
            }
            assert_eq!(found, expected);
            for (alias, key) in &self.model.sensor_aliases {
                let found = directory.sensor_key(sensor_id(*alias).as_str()).unwrap();
                let id = directory.sensor(found).unwrap().id();
                assert_eq!(number(id.as_str()), self.model.sensors[key].id);
            }
            for name in 0..10 {
                let found = directory.room_key(&place(name));
                let found = found.map(|key| number(directory.place(key).unwrap().room.as_str()));
                let expected = self.model.room(name).map(|key| self.model.rooms[&key]);
                assert_eq!(found, expected, "room {name}");
            }
        });
    }

    async fn check_history(&self, query: &HistoryQuery, all: TimeRange) {
        let store = &self.running.store;
        let rows = store
            .history(query, all, usize::MAX)
            .await
            .unwrap()
            .unwrap();
        let found: BTreeMap<_, _> = store.directory(|directory| {
            let rows = rows.iter().map(|row| {
                let values = [Quantity::Co2, Quantity::Pm25].map(|of| row.values.get(of));
                let (id, room) = called(directory, row.sensor, row.room);
                ((id, row.observed_at), (room, values))
            });
            rows.collect()
        });
        assert_eq!(found.len(), rows.len());
        let expected = self.model.readings.iter().map(|((sensor, at), kept)| {
            let (id, room) = self.called(*sensor, kept.room);
            let values = [kept.co2, kept.pm25].map(|value| value.map(f64::from));
            ((id, *at), (room, values))
        });
        assert_eq!(found, expected.collect::<BTreeMap<_, _>>());
    }

    /// A sensor and a room by the names of now.
    fn called(&self, sensor: u32, room: u32) -> (u8, u8) {
        (self.model.sensors[&sensor].id, self.model.rooms[&room])
    }

    async fn check_buckets(&self, query: &HistoryQuery, all: TimeRange) {
        let store = &self.running.store;
        for width_ms in [60_000, 3_600_000, 86_400_000] {
            let bucket = Bucket::even(width_ms);
            let rows = store
                .buckets(query, &bucket, all, usize::MAX)
                .await
                .unwrap()
                .unwrap();
            let found: BTreeMap<_, _> = store.directory(|directory| {
                let rows = rows.iter().map(|row| {
                    let co2 = row.get(Measure::Quantity(Quantity::Co2));
                    let co2 = co2.map_or((0, 0), |co2| (co2.count, co2.sum_millionths));
                    (
                        (row.start, called(directory, row.sensor, row.room)),
                        (row.readings, co2),
                    )
                });
                rows.collect()
            });
            assert_eq!(found.len(), rows.len(), "one row for each room and bucket");
            let mut expected = BTreeMap::new();
            for ((sensor, at), kept) in &self.model.readings {
                let called = self.called(*sensor, kept.room);
                let bucket = expected
                    .entry((bucket.start(*at), called))
                    .or_insert((0, (0, 0)));
                bucket.0 += 1;
                if let Some(co2) = kept.co2 {
                    bucket.1.0 += 1;
                    bucket.1.1 += i64::from(co2) * 1_000_000;
                }
            }
            assert_eq!(found, expected, "{width_ms}");
        }
    }
}

fn every_sensor(running: &Running) -> HistoryQuery {
    let sensors = running.store.directory(|directory| {
        let mut keys: Vec<_> = directory.every_sensor().map(|entry| entry.key).collect();
        keys.sort_unstable();
        keys
    });
    HistoryQuery {
        sensors,
        rooms: None,
    }
}

fn called(directory: &Directory, sensor: SensorKey, room: RoomKey) -> (u8, u8) {
    let id = directory.sensor(sensor).unwrap().id();
    let place = directory.place(room).unwrap();
    (number(id.as_str()), number(place.room.as_str()))
}

fn refusal(error: RegistryError) -> RegistryRefusal {
    match error {
        RegistryError::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

impl Write {
    fn scored(&self) -> ScoredReading {
        let name = self.room.map(place);
        let mut scored = crate::store::tests::reading("s", 0, 0.0);
        let reading = &mut scored.reading;
        reading.sensor = sensor_id(self.sensor);
        reading.observed_at = at(self.time);
        reading.site = name.as_ref().map(|place| place.site.clone());
        reading.room = name.map(|place| place.room);
        reading.values = crate::domain::Values::default();
        for (quantity, number) in [(Quantity::Co2, self.co2), (Quantity::Pm25, self.pm25)] {
            if let Some(number) = number {
                assert!(reading.values.set(quantity, f64::from(number)));
            }
        }
        scored.assessment = crate::score::Profile::Iaqverse.assess(&reading.values);
        scored
    }
}

fn any_write() -> impl Strategy<Value = Write> {
    let time = 0..u8::try_from(TIMES.len()).unwrap();
    let value = || prop::option::weighted(0.7, 0..3_u8);
    (
        0..4_u8,
        time,
        prop::option::weighted(0.7, 0..3_u8),
        value(),
        value(),
    )
        .prop_map(|(sensor, time, room, co2, pm25)| Write {
            sensor,
            time,
            room,
            co2: co2.or(pm25.is_none().then_some(0)),
            pm25,
        })
}

fn any_change() -> impl Strategy<Value = RegistryChange> {
    let sensor = || (0..5_u8).prop_map(sensor_id);
    let room = || (0..5_u8).prop_map(place);
    let kept = || prop_oneof![Just(Kept::Keep), Just(Kept::Remove)];
    let since = prop::option::of((0..u8::try_from(TIMES.len()).unwrap()).prop_map(at));
    let rename = prop::option::weighted(0.2, sensor());
    let moved = (rename, room(), since).prop_map(|(id, room, since)| SensorEdit {
        id,
        room: Some(room.room),
        since,
        ..SensorEdit::default()
    });
    let edit = prop_oneof![
        3 => moved,
        3 => sensor().prop_map(|id| SensorEdit { id: Some(id), ..SensorEdit::default() }),
        1 => any::<bool>().prop_map(|is_pinned| SensorEdit {
            is_pinned: Some(is_pinned),
            ..SensorEdit::default()
        }),
    ];
    prop_oneof![
        3 => (sensor(), edit).prop_map(|(id, edit)| RegistryChange::EditSensor { id, edit }),
        2 => (sensor(), sensor())
            .prop_map(|(from, into)| RegistryChange::MergeSensors { from, into }),
        1 => (sensor(), kept())
            .prop_map(|(id, readings)| RegistryChange::RemoveSensor { id, readings }),
        2 => (room(), room()).prop_map(|(from, to)| RegistryChange::MoveRoom { from, to: to.into() }),
        1 => (room(), kept())
            .prop_map(|(place, readings)| RegistryChange::RemoveRoom { place, readings }),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let failure = prop_oneof![Just(Failure::Lost), Just(Failure::Unheard)];
    prop_oneof![
        6 => prop::collection::vec(any_write(), 1..10).prop_map(Step::Write),
        6 => any_change().prop_map(Step::Change),
        1 => (any_change(), failure)
            .prop_map(|(change, failure)| Step::FailToChange(change, failure)),
        1 => (any_change(), 0..3_u32, any::<bool>())
            .prop_map(|(change, after, restarts)| Step::BreakOff(change, after, restarts)),
        1 => Just(Step::Settle),
        1 => Just(Step::Restart),
    ]
}

async fn run(url: &str, steps: Vec<Step>) {
    let mut trial = Trial {
        url,
        running: Running::open(url, 100, 100).await,
        model: Model::default(),
    };
    for step in steps {
        trial.step(step).await;
    }
    trial.restart().await;
    trial.running.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn on_sqlite_what_is_shown_after_any_changes_is_what_a_naive_model_shows(
        steps in prop::collection::vec(any_step(), 1..16)
    ) {
        on_sqlite(&async |url: &str| run(url, steps.clone()).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn on_postgres_what_is_shown_after_any_changes_is_what_a_naive_model_shows(
        steps in prop::collection::vec(any_step(), 1..16)
    ) {
        on_postgres(&async |url: &str| run(url, steps.clone()).await);
    }
}

/// CO2 of each day, sensor and room: whether it is before a time, of how many readings and their sum.
async fn daily(running: &Running, limit: Timestamp) -> Vec<(bool, (u8, u8), u32, i64)> {
    let store = &running.store;
    let all = TimeRange::new(Timestamp::from_millis(0), crate::store::tests::LATER);
    let bucket = Bucket::even(86_400_000);
    let query = every_sensor(running);
    let rows = store.buckets(&query, &bucket, all, usize::MAX).await;
    let rows = rows.unwrap().unwrap();
    store.directory(|directory| {
        let rows = rows.iter().map(|row| {
            let co2 = row.get(Measure::Quantity(Quantity::Co2)).unwrap();
            let names = called(directory, row.sensor, row.room);
            let sum = co2.sum_millionths / 1_000_000;
            (row.start < limit, names, co2.count, sum)
        });
        rows.collect()
    })
}

fn write_co2(sensor: u8, time: u8, room: u8, co2: u8) -> Write {
    Write {
        sensor,
        time,
        room: Some(room),
        co2: Some(co2),
        pm25: None,
    }
}

/// Retention has removed the readings of the first days; their roll-ups follow all the same.
#[test]
fn roll_ups_without_readings_follow_as_well() {
    on_sqlite(&async |url: &str| {
        let mut running = Running::open(url, 100, 100).await;
        let all = [
            write_co2(0, 0, 0, 1),
            write_co2(0, 4, 0, 3),
            write_co2(1, 4, 0, 5),
            write_co2(1, 5, 1, 7),
            write_co2(0, 7, 0, 9),
            write_co2(1, 7, 1, 9),
        ];
        let readings = all.iter().map(Write::scored).collect();
        running.queue.append(readings, &Sites::ALL).await.unwrap();
        running.settle().await;
        let limit = at(6);
        let database = &running.database;
        database
            .remove_chunks(Series::Readings, limit, 100)
            .await
            .unwrap();
        running.close().await;
        let mut running = Running::open(url, 100, 100).await;

        let expected = [
            (true, (0, 0), 2, 4),
            (true, (1, 0), 1, 5),
            (true, (1, 1), 1, 7),
            (false, (0, 0), 1, 9),
            (false, (1, 1), 1, 9),
        ];
        assert_eq!(daily(&running, limit).await, expected);
        let change = async |change| running.queue.change(change, &Sites::ALL).await.unwrap();
        change(RegistryChange::MoveRoom {
            from: place(1),
            to: place(0).into(),
        })
        .await;
        let expected = [
            (true, (0, 0), 2, 4),
            (true, (1, 0), 2, 12),
            (false, (0, 0), 1, 9),
            (false, (1, 0), 1, 9),
        ];
        assert_eq!(daily(&running, limit).await, expected);
        change(RegistryChange::MergeSensors {
            from: sensor_id(1),
            into: sensor_id(0),
        })
        .await;
        // Of the moment that both have the reading of the sensor they became counts.
        assert_eq!(
            daily(&running, limit).await,
            [(true, (0, 0), 4, 16), (false, (0, 0), 1, 9)]
        );
        change(RegistryChange::EditSensor {
            id: sensor_id(0),
            edit: SensorEdit {
                room: Some(place(2).room),
                since: Some(at(0)),
                ..SensorEdit::default()
            },
        })
        .await;
        let expected = [(true, (0, 2), 4, 16), (false, (0, 2), 1, 9)];
        assert_eq!(daily(&running, limit).await, expected);
        running.close().await;
    });
}

#[test]
fn a_name_of_before_means_what_is_called_otherwise_now() {
    on_sqlite(&async |url: &str| {
        let mut running = Running::open(url, 100, 100).await;
        let write = |sensor, room| Write {
            sensor,
            time: 0,
            room: Some(room),
            co2: Some(1),
            pm25: None,
        };
        let readings = [write(0, 0), write(1, 1)]
            .iter()
            .map(Write::scored)
            .collect();
        running.queue.append(readings, &Sites::ALL).await.unwrap();
        let renamed = RegistryChange::MoveRoom {
            from: place(0),
            to: place(2).into(),
        };
        running.queue.change(renamed, &Sites::ALL).await.unwrap();
        let called = RegistryChange::EditSensor {
            id: sensor_id(0),
            edit: SensorEdit {
                id: Some(sensor_id(3)),
                ..SensorEdit::default()
            },
        };
        running.queue.change(called, &Sites::ALL).await.unwrap();
        running.store.directory(|directory| {
            let meant = |site: Option<&str>, room: Option<&str>, sensor: Option<&str>| {
                let asked = crate::domain::Selector::of_names(site, room, sensor);
                let meant = directory.meant(&asked);
                let reading = crate::domain::Subject {
                    site: Some("site"),
                    room: Some("room 2"),
                    sensor: Some("s3"),
                };
                crate::domain::Selector::any_matches(&meant, reading)
            };
            assert!(meant(Some("site"), Some("room 0"), Some("s0")));
            assert!(meant(None, Some("room 0"), None));
            assert!(meant(Some("site"), Some("room 2"), Some("s3")));
            assert!(!meant(Some("other"), Some("room 0"), None));
            assert!(!meant(None, Some("room 1"), None));
            assert!(!meant(None, None, Some("s1")));
        });
        running.close().await;
    });
}

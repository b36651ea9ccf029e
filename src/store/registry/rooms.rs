//! What changes of a room come to.

use super::{
    ALIASES_MAX, Asking, Decision, Fate, Kept, NewName, Pin, RegistryRefusal, Renamed, Task,
    sensors,
};
use crate::database::{Former, RoomKey, RoomRow, SensorKey};
use crate::domain::{Place, Timestamp};
use crate::store::directory::{Directory, KnownSensor};
use RegistryRefusal::{OtherSite, RoomInUse, TooManyAliases, UnknownRoom};

fn find(
    directory: &Directory,
    place: &Place,
    asking: &Asking,
) -> Result<(RoomKey, Place), RegistryRefusal> {
    let key = directory.room_key(place).ok_or(UnknownRoom)?;
    let place = directory.place(key).ok_or(UnknownRoom)?;
    if !asking.sites.allow(place.site.as_str()) {
        return Err(UnknownRoom);
    }
    Ok((key, (**place).clone()))
}

fn row(key: RoomKey, place: &Place) -> RoomRow {
    RoomRow {
        key,
        site: place.site.as_str().into(),
        room: place.room.as_str().into(),
    }
}

fn name(place: &Place) -> (Box<str>, Box<str>) {
    (place.site.as_str().into(), place.room.as_str().into())
}

pub(super) fn rename(
    directory: &Directory,
    from: &Place,
    to: &NewName,
    asking: &Asking,
) -> Result<Decision, RegistryRefusal> {
    let (key, here) = find(directory, from, asking)?;
    let to = Place {
        site: to.site.clone().unwrap_or_else(|| here.site.clone()),
        room: to.room.clone().unwrap_or_else(|| here.room.clone()),
    };
    if !asking.sites.allow(to.site.as_str()) {
        return Err(OtherSite);
    }
    let there = directory.room_key(&to).filter(|there| {
        let place = directory.place(*there);
        place.is_some_and(|place| **place == to)
    });
    // Rooms of old that have the same name go along.
    let mut decision = Decision::default();
    decision.changed.place = Some(to.clone());
    if let Some(into) = there {
        for twin in directory.twins_of(into) {
            lead_on(directory, twin, into, &mut decision);
        }
        if into != key {
            decision.changed.is_merged = true;
            become_one(directory, (key, &here), (into, &to), &mut decision)?;
        }
        return Ok(decision);
    }
    if directory.room_aliases_of(key).count() >= ALIASES_MAX {
        return Err(TooManyAliases);
    }
    for twin in directory.twins_of(key) {
        lead_on(directory, twin, key, &mut decision);
    }
    let patch = &mut decision.patch;
    // What led there as a name of before leads there as the name of now, whosever it was.
    patch.freed_rooms.push(name(&to));
    patch.rooms.push(row(key, &to));
    patch.rows.room_aliases.push(row(key, &here));
    decision.renamed.push(Renamed::Room { from: here, to });
    Ok(decision)
}

/// A room and its twins become one with another, to which its names lead.
fn become_one(
    directory: &Directory,
    (from, here): (RoomKey, &Place),
    (into, to): (RoomKey, &Place),
    decision: &mut Decision,
) -> Result<(), RegistryRefusal> {
    let aliases: Vec<_> = directory.room_aliases_of(from).cloned().collect();
    if directory.room_aliases_of(into).count() + aliases.len() >= ALIASES_MAX {
        return Err(TooManyAliases);
    }
    for place in aliases.iter().chain([here]) {
        decision.patch.rows.room_aliases.push(row(into, place));
        decision.renamed.push(Renamed::Room {
            from: place.clone(),
            to: to.clone(),
        });
    }
    for from in directory.twins_of(from).into_iter().chain([from]) {
        lead_on(directory, from, into, decision);
    }
    Ok(())
}

/// Everything of a room belongs to another.
fn lead_on(directory: &Directory, from: RoomKey, into: RoomKey, decision: &mut Decision) {
    let patch = &mut decision.patch;
    patch.rows.former_rooms.push(Former {
        key: from,
        into: Some(into),
        is_pending: true,
    });
    decision.changed.former_rooms.push((from, Some(into)));
    let led = |room: RoomKey| if room == from { into } else { room };
    for entry in directory.every_sensor() {
        let settings = entry.settings();
        if let Some(pin) = settings.pin
            && (pin.room == from || pin.left == from)
        {
            let mut settings = settings.clone();
            settings.pin = Some(Pin {
                room: led(pin.room),
                left: led(pin.left),
                ..pin
            });
            patch.rows.settings.push((entry.key, settings.to_json()));
        }
        if !entry.rooms.contains(&from) {
            continue;
        }
        patch.sensor_rooms.push((entry.key, into));
        // It may have been in several of the rooms that become one.
        let known = decision
            .known
            .iter_mut()
            .find(|known| known.key == entry.key);
        if let Some(known) = known {
            known.lead_on(from, into);
        } else {
            let mut known = KnownSensor::of(entry);
            known.lead_on(from, into);
            decision.known.push(known);
        }
        decision.tasks.push(moved(entry.key, from, into));
    }
    for (key, known) in directory.emptied_in(from) {
        decision.known.push(KnownSensor {
            room: into,
            ..known
        });
        patch.sensor_rooms.push((key, into));
    }
    decision.tasks.push(Task::end_of_room(from, Some(into)));
}

impl KnownSensor {
    fn lead_on(&mut self, from: RoomKey, into: RoomKey) {
        if self.room == from {
            self.room = into;
        }
        if let Some(latest) = &mut self.latest
            && latest.room == from
        {
            latest.room = into;
        }
        if let Some(state) = &mut self.state {
            state.move_room(from, into);
        }
    }
}

fn moved(sensor: SensorKey, from: RoomKey, to: RoomKey) -> Task {
    let fate = Fate::Moved {
        from: Some(from),
        since: Timestamp::from_millis(i64::MIN),
        to,
    };
    Task::new(sensor, fate)
}

pub(super) fn remove(
    directory: &Directory,
    place: &Place,
    readings: Kept,
    asking: &Asking,
) -> Result<Decision, RegistryRefusal> {
    let (key, here) = find(directory, place, asking)?;
    let mut decision = Decision::default();
    decision.changed.place = Some(here.clone());
    if here != *place {
        // It only was called so before, and is not any more.
        decision.patch.freed_rooms.push(name(place));
        return Ok(decision);
    }
    let mut keys = directory.twins_of(key);
    keys.push(key);
    let is_here = |room: RoomKey| keys.contains(&room);
    let mut shown = directory.sensors();
    if shown.any(|entry| is_here(entry.stands_in()) || is_here(entry.room)) {
        return Err(RoomInUse);
    }
    let aliases = directory.room_aliases_of(key).map(name);
    decision.patch.freed_rooms = aliases.collect();
    let mut every = directory.every_sensor();
    if readings == Kept::Keep && every.any(|entry| entry.rooms.iter().any(|room| is_here(*room))) {
        return Ok(decision);
    }
    for key in keys {
        end(directory, key, &mut decision);
    }
    Ok(decision)
}

/// A room is no more, nor is anything that was measured there.
fn end(directory: &Directory, key: RoomKey, decision: &mut Decision) {
    decision.changed.former_rooms.push((key, None));
    decision.patch.rows.former_rooms.push(Former {
        key,
        into: None,
        is_pending: true,
    });
    for (emptied, _) in directory.emptied_in(key) {
        sensors::gone(emptied, decision);
    }
    let every = directory.every_sensor();
    let was_there = every.filter(|entry| entry.rooms.contains(&key));
    let gone = was_there.map(|entry| Task::new(entry.key, Fate::Gone(Some(key))));
    decision.tasks.extend(gone);
    decision.tasks.push(Task::end_of_room(key, None));
}

/// What ends the tasks of a room: it is no more.
pub(in crate::store) fn ended(key: RoomKey, into: Option<RoomKey>) -> Decision {
    let mut decision = Decision::default();
    decision.patch.rows.former_rooms.push(Former {
        key,
        into,
        is_pending: false,
    });
    decision.patch.gone_rooms.push(key);
    decision.changed.former_rooms = vec![(key, into)];
    decision
}

/// What is left to be done for rooms that are no more.
pub(super) fn pending(directory: &Directory) -> Vec<Task> {
    let mut tasks = Vec::new();
    for (key, into) in directory.pending_rooms() {
        let was_there = directory
            .every_sensor()
            .filter(|entry| entry.rooms.contains(&key));
        let sensors = was_there.map(|entry| entry.key);
        tasks.extend(sensors.map(|sensor| match into {
            Some(into) => moved(sensor, key, into),
            None => Task::new(sensor, Fate::Gone(Some(key))),
        }));
        tasks.push(Task::end_of_room(key, into));
    }
    tasks
}

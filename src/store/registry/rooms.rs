//! What changes of a room come to.

use super::{ALIASES_MAX, Asking, Changed, Decision, Fate, Kept, RegistryRefusal, Renamed, Task};
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
    to: &Place,
    asking: &Asking,
) -> Result<Decision, RegistryRefusal> {
    let (key, here) = find(directory, from, asking)?;
    if !asking.sites.allow(to.site.as_str()) {
        return Err(OtherSite);
    }
    let there = directory.room_key(to);
    let is_own_name = there
        .and_then(|room| directory.place(room))
        .is_some_and(|place| **place == *to);
    match there {
        Some(there) if there != key && is_own_name => {
            return merge(directory, (key, &here), (there, to), asking);
        }
        Some(_) if here == *to => {
            let mut decision = Decision::default();
            decision.changed.place = Some(here);
            return Ok(decision);
        }
        _ => {}
    }
    let aliases = directory.room_aliases_of(key).count();
    if aliases >= ALIASES_MAX {
        return Err(TooManyAliases);
    }
    let mut decision = Decision::default();
    let patch = &mut decision.patch;
    // What led there as a name of before leads there as the name of now, whosever it was.
    patch.freed_rooms.push(name(to));
    patch.rooms.push(row(key, to));
    patch.rows.room_aliases.push(row(key, &here));
    decision.renamed.push(Renamed::Room {
        from: here,
        to: to.clone(),
    });
    decision.changed.place = Some(to.clone());
    Ok(decision)
}

fn merge(
    directory: &Directory,
    (from, here): (RoomKey, &Place),
    (into, to): (RoomKey, &Place),
    asking: &Asking,
) -> Result<Decision, RegistryRefusal> {
    let aliases: Vec<_> = directory.room_aliases_of(from).cloned().collect();
    if directory.room_aliases_of(into).count() + aliases.len() >= ALIASES_MAX {
        return Err(TooManyAliases);
    }
    let mut decision = Decision {
        changed: Changed {
            place: Some(to.clone()),
            is_merged: true,
            former_rooms: vec![(from, Some(into))],
            ..Changed::default()
        },
        ..Decision::default()
    };
    let patch = &mut decision.patch;
    for place in aliases.iter().chain([here]) {
        patch.rows.room_aliases.push(row(into, place));
        decision.renamed.push(Renamed::Room {
            from: place.clone(),
            to: to.clone(),
        });
    }
    patch.rows.former_rooms.push(Former {
        key: from,
        into: Some(into),
        is_pending: true,
    });
    for entry in directory.every_sensor() {
        let settings = entry.settings();
        if let Some(pin) = settings.pin
            && (pin.room == from || pin.left == from)
        {
            let mut settings = settings.clone();
            settings.pin = Some(super::Pin {
                room: if pin.room == from { into } else { pin.room },
                left: if pin.left == from { into } else { pin.left },
                ..pin
            });
            patch.rows.settings.push((entry.key, settings.to_json()));
        }
        if !entry.rooms.contains(&from) {
            continue;
        }
        patch.sensor_rooms.push((entry.key, into));
        let mut known = KnownSensor::of(entry);
        if known.room == from {
            known.room = into;
        }
        if let Some(latest) = &mut known.latest
            && latest.room == from
        {
            latest.room = into;
        }
        if let Some(state) = &mut known.state {
            state.move_room(from, into);
        }
        decision.known.push(known);
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
    debug_assert!(asking.sites.allow(to.site.as_str()), "asked before");
    Ok(decision)
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
    let mut shown = directory.sensors();
    if shown.any(|entry| entry.stands_in() == key || entry.room == key) {
        return Err(RoomInUse);
    }
    let aliases = directory.room_aliases_of(key).map(name);
    decision.patch.freed_rooms = aliases.collect();
    let was_there = directory
        .every_sensor()
        .filter(|entry| entry.rooms.contains(&key));
    let sensors: Vec<_> = was_there.map(|entry| entry.key).collect();
    if readings == Kept::Keep && !sensors.is_empty() {
        decision.changed.former_rooms = vec![(key, None)];
        return Ok(decision);
    }
    let ended = directory.emptied_in(key).is_empty().then_some(());
    if sensors.is_empty() && ended.is_some() {
        decision = ended_room(decision, key, None);
        return Ok(decision);
    }
    decision.changed.former_rooms = vec![(key, None)];
    decision.patch.rows.former_rooms.push(Former {
        key,
        into: None,
        is_pending: true,
    });
    let gone = sensors
        .iter()
        .map(|sensor| Task::new(*sensor, Fate::Gone(Some(key))));
    decision.tasks = gone.collect();
    decision.tasks.push(Task::end_of_room(key, None));
    Ok(decision)
}

/// What ends the tasks of a room: it is no more.
pub(in crate::store) fn ended(key: RoomKey, into: Option<RoomKey>) -> Decision {
    ended_room(Decision::default(), key, into)
}

fn ended_room(mut decision: Decision, key: RoomKey, into: Option<RoomKey>) -> Decision {
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

//! What changes of a sensor come to.

use super::{
    ALIASES_MAX, Asking, Changed, Decision, Fate, Kept, Pin, RegistryRefusal, Renamed, SensorEdit,
    SensorSettings, Task, all_are_own, new_room,
};
use crate::database::{Former, RoomKey, RoomRow, SensorKey};
use crate::domain::{Place, SensorId, Timestamp};
use crate::store::directory::{Directory, KnownSensor, SensorEntry};
use crate::store::state::SensorState;
use RegistryRefusal::{
    MovedUnpinned, OtherSite, ReadingsElsewhere, SameSensor, SensorIdTaken, SinceInFuture,
    SinceWithoutRoom, TooManyAliases, UnknownSensor,
};

/// The sensor of an id, when it stands at a site of whoever asks; also one that was removed and whose
/// readings are kept.
fn find<'a>(
    directory: &'a Directory,
    id: &SensorId,
    asking: &Asking,
) -> Result<&'a SensorEntry, RegistryRefusal> {
    let entry = directory.key_of(id).and_then(|key| directory.sensor(key));
    let own = entry.filter(|entry| {
        let place = directory.place(entry.stands_in());
        place.is_some_and(|place| asking.sites.allow(place.site.as_str()))
    });
    own.ok_or(UnknownSensor)
}

/// The same of one that is shown.
fn find_shown<'a>(
    directory: &'a Directory,
    id: &SensorId,
    asking: &Asking,
) -> Result<&'a SensorEntry, RegistryRefusal> {
    let entry = find(directory, id, asking)?;
    (!entry.is_removed).then_some(entry).ok_or(UnknownSensor)
}

pub(super) fn edit(
    directory: &Directory,
    id: &SensorId,
    edit: &SensorEdit,
    asking: &Asking,
) -> Result<Decision, RegistryRefusal> {
    let entry = find_shown(directory, id, asking)?;
    let mut decision = Decision::default();
    let mut settings = entry.settings().clone();
    if let Some(unit) = edit.tvoc_unit {
        settings.tvoc_unit = unit;
    }
    if let Some(model) = &edit.model {
        settings.model.clone_from(model);
    }
    move_to(directory, entry, edit, asking, &mut settings, &mut decision)?;
    if settings != *entry.settings() {
        let settings = (entry.key, settings.to_json());
        decision.patch.rows.settings.push(settings);
    }
    let own_id = entry.id().clone();
    let new_id = edit.id.as_ref().unwrap_or(&own_id);
    if *new_id != own_id {
        rename(directory, entry, new_id, asking, &mut decision)?;
    }
    for known in &mut decision.known {
        known.id = new_id.clone();
    }
    decision.changed.sensor = Some(new_id.clone());
    Ok(decision)
}

fn rename(
    directory: &Directory,
    entry: &SensorEntry,
    new_id: &SensorId,
    asking: &Asking,
    decision: &mut Decision,
) -> Result<(), RegistryRefusal> {
    if !all_are_own(directory, entry.key, &asking.sites) {
        return Err(ReadingsElsewhere);
    }
    match directory.key_of(new_id) {
        // It was called so before.
        Some(key) if key == entry.key => decision.patch.freed_sensors.push(new_id.clone()),
        Some(_) => return Err(SensorIdTaken),
        None if directory.sensor_aliases_of(entry.key).count() >= ALIASES_MAX => {
            return Err(TooManyAliases);
        }
        None => {}
    }
    let old_id = entry.id().clone();
    let patch = &mut decision.patch;
    patch.sensor_ids.push((entry.key, new_id.clone()));
    patch.rows.sensor_aliases.push((old_id.clone(), entry.key));
    decision.renamed.push(Renamed::Sensor {
        from: old_id,
        to: new_id.clone(),
    });
    Ok(())
}

/// Pins and unpins a sensor, and moves it.
fn move_to(
    directory: &Directory,
    entry: &SensorEntry,
    edit: &SensorEdit,
    asking: &Asking,
    settings: &mut SensorSettings,
    decision: &mut Decision,
) -> Result<(), RegistryRefusal> {
    let here = directory.place(entry.stands_in()).ok_or(UnknownSensor)?;
    let is_moved = edit.site.is_some() || edit.room.is_some();
    match (is_moved, edit.is_pinned, edit.since) {
        (false, _, Some(_)) => return Err(SinceWithoutRoom),
        (true, Some(false), _) => return Err(MovedUnpinned),
        (_, _, Some(since)) if since > asking.now => return Err(SinceInFuture),
        (false, Some(false), _) => settings.pin = None,
        (false, Some(true), _) if settings.pin.is_none() => {
            settings.pin = Some(Pin {
                room: entry.stands_in(),
                since: asking.now,
                left: entry.stands_in(),
                is_moving: false,
            });
        }
        _ => {}
    }
    if !is_moved {
        return Ok(());
    }
    let place = Place {
        site: edit.site.clone().unwrap_or_else(|| here.site.clone()),
        room: edit.room.clone().unwrap_or_else(|| here.room.clone()),
    };
    let (room, place) = room_of(directory, place, asking, decision)?;
    let since = edit.since.unwrap_or(asking.now);
    let left = match entry.pin() {
        // It is said again, or for a time before: where it stood until then is known.
        Some(pin) if pin.room == room || since < pin.since => pin.left,
        _ => entry.stands_in(),
    };
    settings.pin = Some(Pin {
        room,
        since,
        left,
        is_moving: edit.since.is_some(),
    });
    decision.changed.place = Some(place);
    if edit.since.is_none() {
        return Ok(());
    }
    if !all_are_own(directory, entry.key, &asking.sites) {
        return Err(ReadingsElsewhere);
    }
    decision.patch.sensor_rooms.push((entry.key, room));
    let mut known = KnownSensor::of(entry);
    let is_meant = |at| at >= since;
    if let Some(latest) = &mut known.latest
        && is_meant(latest.observed_at)
    {
        latest.room = room;
        known.room = room;
    }
    if let Some(state) = &mut known.state {
        state.move_from(is_meant, room);
    }
    decision.known.push(known);
    decision.tasks.push(moved(entry.key, since, room));
    Ok(())
}

fn moved(sensor: SensorKey, since: Timestamp, to: RoomKey) -> Task {
    let fate = Fate::Moved {
        from: None,
        since,
        to,
    };
    Task::new(sensor, fate)
}

/// The room of a name, registered when it is new.
fn room_of(
    directory: &Directory,
    place: Place,
    asking: &Asking,
    decision: &mut Decision,
) -> Result<(RoomKey, Place), RegistryRefusal> {
    if let Some(room) = directory.room_key(&place) {
        // By another name it may be at another site.
        let place = directory
            .place(room)
            .map_or(place, |place| (**place).clone());
        if !asking.sites.allow(place.site.as_str()) {
            return Err(OtherSite);
        }
        return Ok((room, place));
    }
    if !asking.sites.allow(place.site.as_str()) {
        return Err(OtherSite);
    }
    let key = new_room(directory, asking.rooms_max)?;
    decision.patch.rooms.push(RoomRow {
        key,
        site: place.site.as_str().into(),
        room: place.room.as_str().into(),
    });
    Ok((key, place))
}

pub(super) fn merge(
    directory: &Directory,
    from: &SensorId,
    into: &SensorId,
    asking: &Asking,
) -> Result<Decision, RegistryRefusal> {
    let from = find(directory, from, asking)?;
    let into = find_shown(directory, into, asking)?;
    if from.key == into.key {
        return Err(SameSensor);
    }
    if ![from, into]
        .iter()
        .all(|entry| all_are_own(directory, entry.key, &asking.sites))
    {
        return Err(ReadingsElsewhere);
    }
    let aliases: Vec<_> = directory.sensor_aliases_of(from.key).cloned().collect();
    if directory.sensor_aliases_of(into.key).count() + aliases.len() >= ALIASES_MAX {
        return Err(TooManyAliases);
    }
    let mut decision = Decision {
        known: vec![joined(from, into)],
        tasks: vec![Task::new(from.key, Fate::Into(into.key))],
        changed: Changed {
            sensor: Some(into.id().clone()),
            is_merged: true,
            ..Changed::default()
        },
        ..Decision::default()
    };
    let patch = &mut decision.patch;
    patch.sensor_rooms = from.rooms.iter().map(|room| (into.key, *room)).collect();
    let ids = aliases.into_iter().chain([from.id().clone()]);
    for id in ids {
        patch.rows.sensor_aliases.push((id.clone(), into.key));
        let to = into.id().clone();
        decision.renamed.push(Renamed::Sensor { from: id, to });
    }
    patch.rows.former_sensors.push(Former {
        key: from.key,
        into: Some(into.key),
        is_pending: true,
    });
    let settings = SensorSettings {
        pin: into.settings().pin,
        tvoc_unit: into.settings().tvoc_unit.or(from.settings().tvoc_unit),
        model: into
            .settings()
            .model
            .clone()
            .or_else(|| from.settings().model.clone()),
    };
    if settings != *into.settings() {
        patch.rows.settings.push((into.key, settings.to_json()));
    }
    Ok(decision)
}

/// A sensor with everything another has.
fn joined(from: &SensorEntry, into: &SensorEntry) -> KnownSensor {
    let (mut known, other) = (KnownSensor::of(into), KnownSensor::of(from));
    known.reading_count += other.reading_count;
    known.first_seen = known.first_seen.min(other.first_seen);
    known.newest_at = known.newest_at.max(other.newest_at);
    let (state, other_state) = (known.state.take(), other.state);
    known.state = state
        .zip(other_state)
        .map(|(state, other)| state.joined(&other));
    let come = |entry: &SensorEntry| entry.has_come;
    if let (Some(latest), Some(other)) = (&mut known.latest, other.latest) {
        let is_other = match (come(into), come(from)) {
            (true, true) => other.observed_at > latest.observed_at,
            (false, false) => other.observed_at < latest.observed_at,
            (has_come, _) => !has_come,
        };
        if is_other {
            *latest = crate::store::rows::ReadingRow {
                sensor: into.key,
                ..other
            };
        } else if other.observed_at == latest.observed_at {
            latest.take_missing(&other);
        }
        known.room = latest.room;
    }
    known
}

pub(super) fn remove(
    directory: &Directory,
    id: &SensorId,
    readings: Kept,
    asking: &Asking,
) -> Result<Decision, RegistryRefusal> {
    if let Some(key) = directory.key_of(id)
        && let Some(emptied) = directory.emptied(key)
        && asking.sites.allow(emptied.place.site.as_str())
    {
        let mut decision = Decision::default();
        decision.changed.sensor = Some(id.clone());
        if emptied.id == *id {
            gone(key, &mut decision);
        } else {
            decision.patch.freed_sensors.push(id.clone());
        }
        return Ok(decision);
    }
    let entry = find(directory, id, asking)?;
    let mut decision = Decision::default();
    decision.changed.sensor = Some(entry.id().clone());
    if entry.id() != id {
        // It only was called so before, and is not any more.
        decision.patch.freed_sensors.push(id.clone());
        return Ok(decision);
    }
    let aliases = directory.sensor_aliases_of(entry.key).cloned();
    decision.patch.freed_sensors = aliases.collect();
    match readings {
        Kept::Keep => {
            decision.patch.rows.removed.push(entry.key);
            // It may stand anywhere when it comes back.
            let settings = SensorSettings {
                pin: None,
                ..entry.settings().clone()
            };
            let settings = (entry.key, settings.to_json());
            decision.patch.rows.settings.push(settings);
        }
        Kept::Remove => {
            if !all_are_own(directory, entry.key, &asking.sites) {
                return Err(ReadingsElsewhere);
            }
            decision.changed.readings = entry.reading_count;
            gone(entry.key, &mut decision);
        }
    }
    Ok(decision)
}

/// A sensor is no more, and whatever is stored of it goes.
pub(super) fn gone(key: SensorKey, decision: &mut Decision) {
    decision.patch.rows.former_sensors.push(Former {
        key,
        into: None,
        is_pending: true,
    });
    decision.tasks.push(Task::new(key, Fate::Gone(None)));
}

/// What is left to be done for sensors that are no more, and for those that were moved.
pub(super) fn pending(directory: &Directory) -> Vec<Task> {
    let pending = directory.pending_sensors();
    let tasks =
        pending.map(|(key, into)| Task::new(key, into.map_or(Fate::Gone(None), Fate::Into)));
    let moving = directory.every_sensor().filter_map(|entry| {
        let pin = entry.pin().filter(|pin| pin.is_moving)?;
        Some(moved(entry.key, pin.since, pin.room))
    });
    tasks.chain(moving).collect()
}

/// What ends the move of a sensor: its readings have followed.
pub(in crate::store) fn arrived(entry: &SensorEntry) -> Decision {
    let mut decision = Decision::default();
    let mut settings = entry.settings().clone();
    if let Some(pin) = &mut settings.pin {
        pin.is_moving = false;
    }
    if settings != *entry.settings() {
        let settings = (entry.key, settings.to_json());
        decision.patch.rows.settings.push(settings);
    }
    decision
}

/// What ends a task: its sensor is no more.
pub(in crate::store) fn ended(key: SensorKey, into: Option<SensorKey>) -> Decision {
    let mut decision = Decision::default();
    decision.patch.rows.former_sensors.push(Former {
        key,
        into,
        is_pending: false,
    });
    decision.patch.gone_sensors.push(key);
    decision
}

impl KnownSensor {
    /// What is known of a sensor now.
    pub(in crate::store) fn of(entry: &SensorEntry) -> Self {
        let state: SensorState = entry.state.clone();
        Self {
            key: entry.key,
            id: entry.id().clone(),
            room: entry.room,
            reading_count: entry.reading_count,
            first_seen: Some(entry.first_seen),
            latest: Some(entry.latest.row(entry.key)),
            newest_at: Some(entry.newest_at),
            state: Some(state),
        }
    }
}

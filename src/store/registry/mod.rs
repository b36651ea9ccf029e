//! The life of sensors and rooms: renamed, moved, merged and removed, with their history.
//!
//! A change is decided in memory (`sensors`, `rooms`), made durable by one transaction, and taken over
//! by the directory; from then on everything that is new goes by it. Where stored readings have to
//! follow, that is done behind it a piece at a time (`readings`), between two commits of the writer. The
//! transaction says that it is still to be done, so a start goes on with it.

mod readings;
mod rooms;
mod sensors;
mod settings;
#[cfg(test)]
mod tests;

pub use settings::{Pin, SensorSettings};

pub(super) use readings::{Fate, Step, Task};

use super::directory::{Directory, KnownSensor};
use super::queue::AppendError;
use crate::database::{RegistryPatch, RoomKey, SensorKey, StoreError};
use crate::domain::{Place, PlaceName, SensorId, Sites, Timestamp};
use crate::validate::TvocUnit;

/// What is to be changed of a sensor or room.
#[derive(Debug, Clone, PartialEq)]
pub enum RegistryChange {
    EditSensor {
        id: SensorId,
        edit: SensorEdit,
    },
    /// All readings of a sensor become those of another, and its id leads there.
    MergeSensors {
        from: SensorId,
        into: SensorId,
    },
    RemoveSensor {
        id: SensorId,
        readings: Kept,
    },
    /// Another name for a room; when there is a room of that name, they become one.
    MoveRoom {
        from: Place,
        to: NewName,
    },
    RemoveRoom {
        place: Place,
        readings: Kept,
    },
}

/// What a room is to be called; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewName {
    pub site: Option<PlaceName>,
    pub room: Option<PlaceName>,
}

impl From<Place> for NewName {
    fn from(place: Place) -> Self {
        Self {
            site: Some(place.site),
            room: Some(place.room),
        }
    }
}

/// What becomes of the readings of something that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kept {
    #[default]
    Keep,
    Remove,
}

/// What is to be changed of a sensor; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SensorEdit {
    pub id: Option<SensorId>,
    pub site: Option<PlaceName>,
    pub room: Option<PlaceName>,
    /// From when on it has stood in the room that is named.
    pub since: Option<Timestamp>,
    pub is_pinned: Option<bool>,
    /// The unit of its TVOC values that come without one; `Some(None)` forgets it.
    pub tvoc_unit: Option<Option<TvocUnit>>,
    pub model: Option<Option<String>>,
}

/// What a change came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changed {
    /// The sensor that it was about, as it is called now.
    pub sensor: Option<SensorId>,
    /// The room that it was about, as it is called now.
    pub place: Option<Place>,
    /// Keys of rooms that are no more, and to which what was theirs belongs.
    pub former_rooms: Vec<(RoomKey, Option<RoomKey>)>,
    /// Two became one.
    pub is_merged: bool,
    /// Stored readings that were moved or removed.
    pub readings: u64,
}

/// Why a change is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RegistryRefusal {
    #[error("there is no such sensor")]
    UnknownSensor,
    #[error("there is no such room")]
    UnknownRoom,
    #[error("is none of your sites")]
    OtherSite,
    #[error("has readings at other sites than yours")]
    ReadingsElsewhere,
    #[error("is the id of another sensor, or was it before")]
    SensorIdTaken,
    #[error("is the same sensor")]
    SameSensor,
    #[error("a sensor stands there")]
    RoomInUse,
    #[error("the server takes {0} rooms and has them")]
    TooManyRooms(usize),
    #[error("says when the sensor came to a room: name the room as well")]
    SinceWithoutRoom,
    #[error("must not be ahead of now")]
    SinceInFuture,
    #[error("a sensor with a room that is said to be its own is pinned")]
    MovedUnpinned,
    #[error("too many names lead there already")]
    TooManyAliases,
}

/// Why a change is not made, or not known to be.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error(transparent)]
    Refused(#[from] RegistryRefusal),
    #[error(transparent)]
    Queue(#[from] AppendError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Names that one room or sensor may have besides its own.
pub(super) const ALIASES_MAX: usize = 64;

/// What is called otherwise from now on, for those who have asked for it by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renamed {
    Sensor { from: SensorId, to: SensorId },
    Room { from: Place, to: Place },
}

/// A change that is decided.
#[derive(Debug, Default)]
pub(super) struct Decision {
    /// What becomes durable; the sensors in it are `known`.
    pub(super) patch: RegistryPatch,
    /// Sensors as they are then.
    pub(super) known: Vec<KnownSensor>,
    /// Readings that have to follow.
    pub(super) tasks: Vec<Task>,
    pub(super) renamed: Vec<Renamed>,
    pub(super) changed: Changed,
}

/// Whoever asks, and the moment.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) sites: Sites,
    pub(super) now: Timestamp,
    pub(super) rooms_max: usize,
}

impl Decision {
    pub(super) fn of(
        directory: &Directory,
        change: &RegistryChange,
        asking: &Asking,
    ) -> Result<Self, RegistryRefusal> {
        match change {
            RegistryChange::EditSensor { id, edit } => sensors::edit(directory, id, edit, asking),
            RegistryChange::MergeSensors { from, into } => {
                sensors::merge(directory, from, into, asking)
            }
            RegistryChange::RemoveSensor { id, readings } => {
                sensors::remove(directory, id, *readings, asking)
            }
            RegistryChange::MoveRoom { from, to } => rooms::rename(directory, from, to, asking),
            RegistryChange::RemoveRoom { place, readings } => {
                rooms::remove(directory, place, *readings, asking)
            }
        }
    }

    /// Whether readings that are stored belong to other keys then.
    pub(super) fn changes_keys(&self) -> bool {
        let rows = &self.patch.rows;
        !(self.tasks.is_empty() && rows.former_rooms.is_empty() && rows.former_sensors.is_empty())
    }

    /// What is left to be done of changes that were broken off.
    pub(super) fn pending(directory: &Directory) -> Vec<Task> {
        let mut tasks = sensors::pending(directory);
        tasks.extend(rooms::pending(directory));
        tasks
    }
}

/// The key that is given to a new room.
fn new_room(directory: &Directory, rooms_max: usize) -> Result<RoomKey, RegistryRefusal> {
    if directory.room_count() >= rooms_max {
        return Err(RegistryRefusal::TooManyRooms(rooms_max));
    }
    Ok(directory.next_room_key())
}

/// Whether every room a sensor has readings in is one of somebody's.
fn all_are_own(directory: &Directory, sensor: SensorKey, sites: &Sites) -> bool {
    let entry = directory.sensor(sensor);
    let mut rooms = entry.into_iter().flat_map(|entry| &entry.rooms);
    sites.are_all()
        || rooms.all(|room| {
            let place = directory.place(*room);
            place.is_none_or(|place| sites.allow(place.site.as_str()))
        })
}

//! Names of sensors and rooms, looked up once and written many times.

use super::Line;
use crate::database::{RoomKey, SensorKey};
use crate::domain::{Place, SensorId};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Names of the sensors and rooms that lines can refer to.
#[derive(Debug, Clone, Default)]
pub struct Names {
    pub sensors: FxHashMap<SensorKey, SensorId>,
    pub rooms: FxHashMap<RoomKey, Arc<Place>>,
}

impl Names {
    /// The names as a format writes them.
    pub(super) fn written(
        &self,
        sensor: impl Fn(&SensorId) -> Vec<u8>,
        place: impl Fn(&Place) -> Vec<u8>,
    ) -> WrittenNames {
        let sensors = self.sensors.iter();
        let rooms = self.rooms.iter();
        WrittenNames {
            sensors: sensors.map(|(key, id)| (*key, sensor(id))).collect(),
            rooms: rooms.map(|(key, name)| (*key, place(name))).collect(),
        }
    }
}

/// [`Names`], escaped.
#[derive(Debug)]
pub(super) struct WrittenNames {
    sensors: FxHashMap<SensorKey, Vec<u8>>,
    rooms: FxHashMap<RoomKey, Vec<u8>>,
}

impl WrittenNames {
    /// Sensor and place of a line.
    pub(super) fn of(&self, line: &Line<'_>) -> Option<(&[u8], &[u8])> {
        let sensor = self.sensors.get(&line.sensor)?;
        Some((sensor, self.rooms.get(&line.room)?))
    }
}

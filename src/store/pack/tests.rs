//! Rows to pack, and what all formats promise.

mod any;
mod damage;
mod layout;
mod round_trip;
mod size;

use super::*;
use crate::database::{RoomKey, SensorKey};
use crate::domain::{Extras, Quantity, StreamId, Timestamp, Values};
use crate::score::Profile;
use crate::store::rows::{BucketRow, CommittedRows, LogRow, ReadingRow};
use crate::store::state::SensorState;

const SENSOR: SensorKey = SensorKey(17);
const LAST: StreamId = StreamId {
    epoch: 3,
    sequence: 1_000_000,
};

fn ever() -> (Timestamp, Timestamp) {
    let [first, last] = [i64::MIN, i64::MAX].map(Timestamp::from_millis);
    (first, last)
}

/// When the readings of a batch came.
const ARRIVED: Timestamp = Timestamp::from_millis(1_780_000_000_000);

fn pack_log(rows: &[LogRow]) -> Vec<u8> {
    pack_batch(ARRIVED, rows)
}

fn unpack_log(last: StreamId, payload: &[u8]) -> Result<CommittedRows, PackError> {
    unpack_batch(last, payload, Profile::Iaqverse)
}

fn kept(state: SensorState) -> KeptState {
    KeptState {
        state,
        as_of: LAST,
        is_partial: false,
    }
}

fn unpack_all_readings(payload: &[u8]) -> Result<Vec<ReadingRow>, PackError> {
    let (first, last) = ever();
    unpack_readings(SENSOR, payload, first, last)
}

fn unpack_all_buckets(payload: &[u8]) -> Result<Vec<BucketRow>, PackError> {
    let (first, last) = ever();
    unpack_buckets(SENSOR, payload, first, last)
}

/// The readings as a log that ends with [`LAST`].
fn log(rows: Vec<(bool, ReadingRow)>) -> Vec<LogRow> {
    let mut id = LAST.minus(rows.len() as u64).unwrap();
    let rows = rows.into_iter();
    rows.map(|(late, reading)| {
        id = id.plus(1);
        LogRow {
            id,
            late,
            is_new: !late,
            begins_delivery: false,
            reading,
            state: None,
        }
    })
    .collect()
}

fn reading(at_ms: i64, numbers: &[(Quantity, f64)], extras: &[(&str, f64)]) -> ReadingRow {
    let mut row = ReadingRow {
        sensor: SENSOR,
        observed_at: Timestamp::from_millis(at_ms),
        room: RoomKey(5),
        values: Values::default(),
        extras: Extras::default(),
        tvoc_unit_assumed: false,
    };
    for (quantity, number) in numbers {
        assert!(row.values.set(*quantity, *number), "{quantity:?} {number}");
    }
    for (key, number) in extras {
        row.extras.insert(key, *number).unwrap();
    }
    row
}

/// Every bit of what was packed shows here: other than `==`, it tells -0.0 from 0.0.
fn shown(rows: &impl std::fmt::Debug) -> String {
    format!("{rows:?}")
}

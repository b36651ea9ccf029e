//! Readings of one sensor, by column.

use super::bytes::{Reader, Writer};
use super::column::{Column, read_runs, read_times, write_runs, write_times};
use super::error::{Fault, PackError};
use super::window::Window;
use crate::database::{RoomKey, SensorKey};
use crate::domain::{Extras, Quantity, Timestamp, Values};
use crate::store::rows::ReadingRow;
use std::collections::BTreeMap;

const VERSION: u8 = 1;

/// Capacity reserved at first, for each row and beside them: seldom too little.
const BYTES_PER_ROW: usize = 12;
const BYTES_BESIDE: usize = 48;

/// Packs readings of one sensor, in the order of their times.
pub(in crate::store) fn pack_readings(rows: &[ReadingRow]) -> Vec<u8> {
    debug_assert!(
        rows.is_sorted_by_key(|row| row.observed_at),
        "times descend"
    );
    let mut out = Writer::new(VERSION, BYTES_BESIDE + rows.len() * BYTES_PER_ROW);
    out.count(rows.len());
    write_times(&mut out, rows.iter().map(|row| row.observed_at.millis()));
    write_runs(&mut out, rows.iter().map(|row| row.room.0));
    write_runs(
        &mut out,
        rows.iter().map(|row| row.tvoc_unit_assumed.into()),
    );
    write_values(&mut out, rows);
    write_extras(&mut out, rows);
    out.finish()
}

fn write_values(out: &mut Writer, rows: &[ReadingRow]) {
    let mut columns: [Column; Quantity::COUNT] = Default::default();
    for (position, row) in rows.iter().enumerate() {
        for (quantity, number) in row.values.iter() {
            columns[quantity.index()].push(position, number);
        }
    }
    let known = columns.iter().enumerate();
    let known = known.filter(|(_, column)| !column.is_empty());
    let indices = known.clone().map(|(index, _)| index);
    out.unsigned(indices.fold(0, |mask, index| mask | 1 << index));
    for (_, column) in known {
        column.write(out, rows.len());
    }
}

fn write_extras(out: &mut Writer, rows: &[ReadingRow]) {
    let mut columns: BTreeMap<&str, Column> = BTreeMap::new();
    for (position, row) in rows.iter().enumerate() {
        for (key, number) in row.extras.iter() {
            columns.entry(key).or_default().push(position, number);
        }
    }
    out.count(columns.len());
    for (key, column) in columns {
        out.text(key);
        column.write(out, rows.len());
    }
}

/// The readings of `sensor` from `first` to `last`, both included, out of all that are packed.
pub(in crate::store) fn unpack_readings(
    sensor: SensorKey,
    payload: &[u8],
    first: Timestamp,
    last: Timestamp,
) -> Result<Vec<ReadingRow>, PackError> {
    let mut reader = Reader::new(payload, VERSION)?;
    let count = reader.count(1)?;
    let times = read_times(&mut reader, count)?;
    let mut window = Window::new(&times, first, last, |observed_at| ReadingRow {
        sensor,
        observed_at,
        // All that follows is filled in by column.
        room: RoomKey(0),
        values: Values::default(),
        extras: Extras::default(),
        tvoc_unit_assumed: false,
    });
    read_runs(&mut reader, count, |positions, room| {
        for row in window.range(&positions) {
            row.room = RoomKey(room);
        }
        Ok(())
    })?;
    read_runs(&mut reader, count, |positions, assumed| {
        if !(0..=1).contains(&assumed) {
            return Err(Fault::Marker);
        }
        for row in window.range(&positions) {
            row.tvoc_unit_assumed = assumed == 1;
        }
        Ok(())
    })?;
    read_values(&mut reader, count, &mut window)?;
    read_extras(&mut reader, count, &mut window)?;
    reader.finish()?;
    Ok(window.into_rows())
}

fn read_values(
    reader: &mut Reader<'_>,
    count: usize,
    window: &mut Window<ReadingRow>,
) -> Result<(), PackError> {
    let mask = reader.mask(Quantity::COUNT)?;
    for quantity in Quantity::ALL {
        if mask & 1 << quantity.index() == 0 {
            continue;
        }
        Column::read(reader, count, |position, number| {
            let row = window.get(position);
            if row.is_none_or(|row| row.values.set(quantity, number)) {
                return Ok(());
            }
            Err(Fault::Number)
        })?;
    }
    Ok(())
}

fn read_extras(
    reader: &mut Reader<'_>,
    count: usize,
    window: &mut Window<ReadingRow>,
) -> Result<(), PackError> {
    for _ in 0..reader.unsigned()? {
        let key = reader.text()?;
        Column::read(reader, count, |position, number| {
            match window.get(position) {
                Some(row) => row.extras.insert(key, number).map_err(Fault::Extras),
                None => Ok(()),
            }
        })?;
    }
    Ok(())
}

/// Packs the newest reading of a sensor.
pub(in crate::store) fn pack_latest(row: &ReadingRow) -> Vec<u8> {
    pack_readings(std::slice::from_ref(row))
}

/// The newest reading of `sensor`, as [`pack_latest`] packed it.
pub(in crate::store) fn unpack_latest(
    sensor: SensorKey,
    payload: &[u8],
) -> Result<ReadingRow, PackError> {
    let [first, last] = [i64::MIN, i64::MAX].map(Timestamp::from_millis);
    let rows = unpack_readings(sensor, payload, first, last)?;
    match <[ReadingRow; 1]>::try_from(rows) {
        Ok([row]) => Ok(row),
        Err(_) => Err(PackError {
            fault: Fault::Row,
            offset: payload.len(),
        }),
    }
}

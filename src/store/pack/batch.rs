//! The readings of one commit, row by row.

use super::bytes::{Reader, Running, Writer};
use super::decimal;
use super::error::{Fault, PackError};
use crate::database::{RoomKey, SensorKey};
use crate::domain::{Extras, Quantity, StreamId, Timestamp, Values};
use crate::store::rows::{LogRow, ReadingRow, SensorCounters};

const VERSION: u8 = 1;

/// Capacity reserved at first, for each: seldom too little.
const BYTES_PER_ROW: usize = 40;
const BYTES_PER_SENSOR: usize = 24;

const LATE: u8 = 1 << 0;
const TVOC_UNIT_ASSUMED: u8 = 1 << 1;
const EXTRAS: u8 = 1 << 2;

/// Fewest bytes of a row: sensor, room, time, flags and quantities.
const ROW_BYTES_MIN: usize = 5;
/// Fewest bytes of the counters of a sensor.
const COUNTERS_BYTES_MIN: usize = 3;

/// Packs what one commit adds to the log and how it leaves the sensors. The ids of the rows are not
/// in it: they are consecutive.
pub(in crate::store) fn pack_batch(rows: &[LogRow], counters: &[SensorCounters]) -> Vec<u8> {
    debug_assert!(
        rows.is_sorted_by(|row, next| row.id.plus(1) == next.id),
        "ids are not consecutive"
    );
    let capacity = rows.len() * BYTES_PER_ROW + counters.len() * BYTES_PER_SENSOR + 4;
    let mut out = Writer::new(VERSION, capacity);
    let mut before = Before::default();
    out.count(rows.len());
    for row in rows {
        before.write_row(&mut out, row);
    }
    out.count(counters.len());
    for counters in counters {
        before.write_counters(&mut out, counters);
    }
    out.finish()
}

/// The rows, the last of which has the id `last`, and the counters of a batch.
pub(in crate::store) fn unpack_batch(
    last: StreamId,
    payload: &[u8],
) -> Result<(Vec<LogRow>, Vec<SensorCounters>), PackError> {
    let mut reader = Reader::new(payload, VERSION)?;
    let mut before = Before::default();
    let count = reader.count(ROW_BYTES_MIN)?;
    let Some(mut id) = last.minus(count as u64) else {
        return Err(reader.error(Fault::Ids));
    };
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        id = id.plus(1);
        rows.push(before.read_row(&mut reader, id)?);
    }
    let count = reader.count(COUNTERS_BYTES_MIN)?;
    let mut counters = Vec::with_capacity(count);
    for _ in 0..count {
        counters.push(before.read_counters(&mut reader)?);
    }
    reader.finish()?;
    Ok((rows, counters))
}

/// What rows are told as the difference to. The counters go on where the rows end: those of a commit
/// of one reading have its sensor and its room.
#[derive(Debug, Default)]
struct Before {
    sensor: Running,
    room: Running,
    observed_at_ms: Running,
}

impl Before {
    fn write_row(&mut self, out: &mut Writer, row: &LogRow) {
        let reading = &row.reading;
        self.sensor.write(out, reading.sensor.0);
        self.room.write(out, reading.room.0);
        self.observed_at_ms.write(out, reading.observed_at.millis());
        let flag = |set, flag| if set { flag } else { 0 };
        out.byte(
            flag(row.late, LATE)
                | flag(reading.tvoc_unit_assumed, TVOC_UNIT_ASSUMED)
                | flag(!reading.extras.is_empty(), EXTRAS),
        );
        write_values(out, &reading.values);
        if !reading.extras.is_empty() {
            write_extras(out, &reading.extras);
        }
    }

    fn read_row(&mut self, reader: &mut Reader<'_>, id: StreamId) -> Result<LogRow, PackError> {
        let sensor = SensorKey(self.sensor.read(reader)?);
        let room = RoomKey(self.room.read(reader)?);
        let observed_at = Timestamp::from_millis(self.observed_at_ms.read(reader)?);
        let flags = reader.byte()?;
        if flags & !(LATE | TVOC_UNIT_ASSUMED | EXTRAS) != 0 {
            return Err(reader.error(Fault::Marker));
        }
        let values = read_values(reader)?;
        let extras = match flags & EXTRAS {
            0 => Extras::default(),
            _ => read_extras(reader)?,
        };
        Ok(LogRow {
            id,
            late: flags & LATE != 0,
            reading: ReadingRow {
                sensor,
                observed_at,
                room,
                values,
                extras,
                tvoc_unit_assumed: flags & TVOC_UNIT_ASSUMED != 0,
            },
        })
    }

    fn write_counters(&mut self, out: &mut Writer, counters: &SensorCounters) {
        self.sensor.write(out, counters.sensor.0);
        self.room.write(out, counters.room.0);
        out.unsigned(counters.reading_count);
        out.byte(counters.period_ms.is_some().into());
        if let Some(period_ms) = counters.period_ms {
            out.raw(period_ms);
        }
    }

    fn read_counters(&mut self, reader: &mut Reader<'_>) -> Result<SensorCounters, PackError> {
        Ok(SensorCounters {
            sensor: SensorKey(self.sensor.read(reader)?),
            room: RoomKey(self.room.read(reader)?),
            reading_count: reader.unsigned()?,
            period_ms: match reader.byte()? {
                0 => None,
                1 => Some(reader.raw()?),
                _ => return Err(reader.error(Fault::Marker)),
            },
        })
    }
}

fn write_values(out: &mut Writer, values: &Values) {
    let quantities = values.iter().map(|(quantity, _)| quantity.index());
    out.unsigned(quantities.fold(0, |mask, index| mask | 1 << index));
    for (_, number) in values.iter() {
        decimal::write(out, number);
    }
}

fn read_values(reader: &mut Reader<'_>) -> Result<Values, PackError> {
    let mut values = Values::default();
    let mut mask = reader.mask(Quantity::COUNT)?;
    while mask != 0 {
        let quantity = Quantity::ALL[mask.trailing_zeros() as usize];
        if !values.set(quantity, decimal::read(reader)?) {
            return Err(reader.error(Fault::Number));
        }
        mask &= mask - 1;
    }
    Ok(values)
}

fn write_extras(out: &mut Writer, extras: &Extras) {
    out.count(extras.iter().len());
    for (key, number) in extras.iter() {
        out.text(key);
        decimal::write(out, number);
    }
}

fn read_extras(reader: &mut Reader<'_>) -> Result<Extras, PackError> {
    let mut extras = Extras::default();
    for _ in 0..reader.unsigned()? {
        let key = reader.text()?;
        let number = decimal::read(reader)?;
        let inserted = extras.insert(key, number);
        inserted.map_err(|fault| reader.error(Fault::Extras(fault)))?;
    }
    Ok(extras)
}

//! The readings of one commit, row by row.

use super::bytes::{Reader, Running, Writer};
use super::decimal;
use super::error::{Fault, PackError};
use crate::database::{RoomKey, SensorKey};
use crate::domain::{Extras, Quantity, StreamId, Timestamp, Values};
use crate::score::Profile;
use crate::store::ShownState;
use crate::store::rows::{CommittedRows, LogRow, ReadingRow};
use smallvec::SmallVec;
use std::sync::Arc;

const VERSION: u8 = 2;
/// Had counters of the sensors behind the rows, and less in these.
const VERSION_WITH_COUNTERS: u8 = 1;

/// Capacity reserved at first: seldom too little.
const BYTES_PER_ROW: usize = 40;

const LATE: u8 = 1 << 0;
const TVOC_UNIT_ASSUMED: u8 = 1 << 1;
const EXTRAS: u8 = 1 << 2;
const NEW: u8 = 1 << 3;
const BEGINS_DELIVERY: u8 = 1 << 4;
const STATE: u8 = 1 << 5;
/// The state is the reading, which is too old to be of now.
const STALE: u8 = 1 << 6;
/// All of them.
const FLAGS: u8 = LATE | TVOC_UNIT_ASSUMED | EXTRAS | NEW | BEGINS_DELIVERY | STATE | STALE;
/// Of a state.
const ALL_STALE: u8 = 1 << 0;

/// Fewest bytes of a row: sensor, room, time, flags and quantities.
const ROW_BYTES_MIN: usize = 5;
/// Fewest bytes of the counters of a sensor.
const COUNTERS_BYTES_MIN: usize = 3;

/// Packs what one commit adds to the log. The ids of the rows are not in it: they are consecutive.
pub(in crate::store) fn pack_batch(arrived_at: Timestamp, rows: &[LogRow]) -> Vec<u8> {
    debug_assert!(
        rows.is_sorted_by(|row, next| row.id.plus(1) == next.id),
        "ids are not consecutive"
    );
    let mut out = Writer::new(VERSION, rows.len() * BYTES_PER_ROW + 16);
    let mut before = Before::default();
    out.signed(arrived_at.millis());
    out.count(rows.len());
    for row in rows {
        before.write_row(&mut out, row);
    }
    out.finish()
}

/// The rows of a batch, the last of which has the id `last`, with states scored by `profile`.
pub(in crate::store) fn unpack_batch(
    last: StreamId,
    payload: &[u8],
    profile: Profile,
) -> Result<CommittedRows, PackError> {
    let has_counters = payload.first() == Some(&VERSION_WITH_COUNTERS);
    let version = if has_counters {
        VERSION_WITH_COUNTERS
    } else {
        VERSION
    };
    let mut reader = Reader::new(payload, version)?;
    let mut before = Before::default();
    let arrived_at = if has_counters {
        None
    } else {
        Some(Timestamp::from_millis(reader.signed()?))
    };
    let count = reader.count(ROW_BYTES_MIN)?;
    let Some(mut id) = last.minus(count as u64) else {
        return Err(reader.error(Fault::Ids));
    };
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        id = id.plus(1);
        rows.push(before.read_row(&mut reader, id, profile)?);
    }
    let mut reading_counts = Vec::new();
    if has_counters {
        for _ in 0..reader.count(COUNTERS_BYTES_MIN)? {
            reading_counts.push(before.read_counters(&mut reader)?);
        }
    }
    reader.finish()?;
    Ok(CommittedRows {
        arrived_at,
        rows,
        reading_counts,
    })
}

/// What rows are told as the difference to.
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
                | flag(!reading.extras.is_empty(), EXTRAS)
                | flag(row.is_new, NEW)
                | flag(row.begins_delivery, BEGINS_DELIVERY)
                | match &row.state {
                    None => 0,
                    Some(state) if is_stale_reading(state, reading) => STALE,
                    Some(_) => STATE,
                },
        );
        write_values(out, &reading.values);
        if !reading.extras.is_empty() {
            write_extras(out, &reading.extras);
        }
        if let Some(state) = &row.state
            && !is_stale_reading(state, reading)
        {
            write_state(out, state, reading.observed_at);
        }
    }

    fn read_row(
        &mut self,
        reader: &mut Reader<'_>,
        id: StreamId,
        profile: Profile,
    ) -> Result<LogRow, PackError> {
        let sensor = SensorKey(self.sensor.read(reader)?);
        let room = RoomKey(self.room.read(reader)?);
        let observed_at = Timestamp::from_millis(self.observed_at_ms.read(reader)?);
        let flags = reader.byte()?;
        if flags & !FLAGS != 0 {
            return Err(reader.error(Fault::Marker));
        }
        let values = read_values(reader)?;
        let extras = match flags & EXTRAS {
            0 => Extras::default(),
            _ => read_extras(reader)?,
        };
        let tvoc_unit_assumed = flags & TVOC_UNIT_ASSUMED != 0;
        let state = match flags & (STATE | STALE) {
            0 => None,
            STALE => Some(stale_reading(values, tvoc_unit_assumed, profile)),
            STATE => Some(read_state(reader, observed_at, profile)?),
            _ => return Err(reader.error(Fault::Marker)),
        };
        Ok(LogRow {
            id,
            late: flags & LATE != 0,
            is_new: flags & NEW != 0,
            begins_delivery: flags & BEGINS_DELIVERY != 0,
            reading: ReadingRow {
                sensor,
                observed_at,
                room,
                values,
                extras,
                tvoc_unit_assumed,
            },
            state: state.map(Arc::new),
        })
    }

    fn read_counters(&mut self, reader: &mut Reader<'_>) -> Result<(SensorKey, u64), PackError> {
        let sensor = SensorKey(self.sensor.read(reader)?);
        let _room = self.room.read(reader)?;
        let readings = reader.unsigned()?;
        match reader.byte()? {
            0 => {}
            1 => {
                let _period_ms = reader.raw()?;
            }
            _ => return Err(reader.error(Fault::Marker)),
        }
        Ok((sensor, readings))
    }
}

/// What is shown when the reading is all there is, and too old to be of now.
fn stale_reading(values: Values, tvoc_unit_assumed: bool, profile: Profile) -> ShownState {
    ShownState {
        measured_at: SmallVec::new(),
        stale_values: SmallVec::new(),
        is_stale: true,
        tvoc_unit_assumed: tvoc_unit_assumed && values.has(Quantity::Tvoc),
        assessment: profile.assess(&values),
        values,
    }
}

fn is_stale_reading(state: &ShownState, reading: &ReadingRow) -> bool {
    let has_tvoc = reading.values.has(Quantity::Tvoc);
    state.is_stale
        && state.measured_at.is_empty()
        && state.stale_values.is_empty()
        && state.values == reading.values
        && state.tvoc_unit_assumed == (reading.tvoc_unit_assumed && has_tvoc)
}

/// Writes what is shown of a state with a reading of the time `with`.
fn write_state(out: &mut Writer, state: &ShownState, with: Timestamp) {
    write_values(out, &state.values);
    for (quantity, _) in state.values.iter() {
        let mut older = state.measured_at.iter();
        let measured = older.find(|(of, _)| *of == quantity);
        let age_ms = measured.map_or(0, |(_, at)| with.millis().wrapping_sub(at.millis()));
        out.signed(age_ms);
    }
    let too_old = state.stale_values.iter();
    out.unsigned(too_old.fold(0, |mask, quantity| mask | 1 << quantity.index()));
    let flag = |set, flag| if set { flag } else { 0 };
    out.byte(flag(state.is_stale, ALL_STALE) | flag(state.tvoc_unit_assumed, TVOC_UNIT_ASSUMED));
}

fn read_state(
    reader: &mut Reader<'_>,
    with: Timestamp,
    profile: Profile,
) -> Result<ShownState, PackError> {
    let values = read_values(reader)?;
    let mut measured_at = SmallVec::new();
    for (quantity, _) in values.iter() {
        let age_ms = reader.signed()?;
        if age_ms != 0 {
            let at = Timestamp::from_millis(with.millis().wrapping_sub(age_ms));
            measured_at.push((quantity, at));
        }
    }
    let mut mask = reader.mask(Quantity::COUNT)?;
    let mut stale_values = SmallVec::new();
    while mask != 0 {
        stale_values.push(Quantity::ALL[mask.trailing_zeros() as usize]);
        mask &= mask - 1;
    }
    let flags = reader.byte()?;
    if flags & !(ALL_STALE | TVOC_UNIT_ASSUMED) != 0 {
        return Err(reader.error(Fault::Marker));
    }
    Ok(ShownState {
        assessment: profile.assess(&values),
        values,
        measured_at,
        stale_values,
        is_stale: flags & ALL_STALE != 0,
        tvoc_unit_assumed: flags & TVOC_UNIT_ASSUMED != 0,
    })
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

//! Buckets of one sensor's roll-up, by column.

use super::bytes::{Reader, Running, Writer};
use super::column::{
    Encoding, Presence, common_divisor, read_runs, read_times, write_runs, write_times,
};
use super::error::{Fault, PackError};
use super::window::Window;
use crate::database::{RoomKey, SensorKey};
use crate::domain::Timestamp;
use crate::store::rows::{BucketRow, Measure, Statistics};
use smallvec::SmallVec;

const VERSION: u8 = 1;

/// Capacity reserved at first, for each row and beside them: seldom too little.
const BYTES_PER_ROW: usize = 40;
const BYTES_BESIDE: usize = 48;

/// Fewest bytes of a row: its start and its number of readings.
const ROW_BYTES_MIN: usize = 2;

/// Packs buckets of one sensor in the order of their starts; one start may have several, of
/// different rooms.
///
/// A statistic of one value is stored as the value alone: its minimum, maximum and mean must equal it, as
/// [`Statistics::of`] makes them.
pub(in crate::store) fn pack_buckets(rows: &[BucketRow]) -> Vec<u8> {
    debug_assert!(rows.is_sorted_by_key(|row| row.start), "starts descend");
    let mut out = Writer::new(VERSION, BYTES_BESIDE + rows.len() * BYTES_PER_ROW);
    out.count(rows.len());
    write_times(&mut out, rows.iter().map(|row| row.start.millis()));
    write_runs(&mut out, rows.iter().map(|row| row.room.0));
    for row in rows {
        out.unsigned(row.readings.into());
    }
    let measures = rows.iter().flat_map(|row| &row.statistics);
    let mask = measures.fold(0, |mask, (measure, _)| mask | 1 << measure.index());
    out.unsigned(mask);
    for measure in Measure::all() {
        if mask & 1 << measure.index() != 0 {
            write_measure(&mut out, rows, measure);
        }
    }
    out.finish()
}

/// Each count of a column is the number of readings in its bucket.
const COUNTS_ARE_READINGS: u8 = 0;
/// Each count is told, as its difference to that number.
const COUNTS_ARE_TOLD: u8 = 1;

/// Writes the statistics of one measure, of the rows that have them.
fn write_measure(out: &mut Writer, rows: &[BucketRow], measure: Measure) {
    let known = rows.iter().enumerate();
    let known = known.filter_map(|(position, row)| {
        let statistics = row.get(measure)?;
        debug_assert!(
            statistics.count != 1 || *statistics == Statistics::of(statistics.min),
            "statistics of one number that are not those of it"
        );
        Some((position, (row.readings, statistics)))
    });
    let (present, known): (Vec<_>, Vec<_>) = known.unzip();
    Presence::write(out, rows.len(), &present);

    let statistics = known.iter().map(|(_, statistics)| *statistics);
    let encoding = Encoding::of(statistics.clone().flat_map(|of| [of.min, of.max]));
    encoding.write(out);
    let several = statistics.filter(|statistics| statistics.count != 1);
    let sum_unit = common_divisor(several.map(above_least_sum));
    out.unsigned(sum_unit.cast_unsigned());
    let counts_told = known.iter().any(|(readings, of)| of.count != *readings);
    let counting = if counts_told {
        COUNTS_ARE_TOLD
    } else {
        COUNTS_ARE_READINGS
    };
    out.byte(counting);

    let mut min = Running::default();
    for (readings, statistics) in known {
        if counts_told {
            out.signed(i64::from(statistics.count) - i64::from(readings));
        }
        encoding.write_number(out, &mut min, statistics.min);
        if statistics.count != 1 {
            let mut max = min;
            encoding.write_number(out, &mut max, statistics.max);
            out.signed(above_least_sum(statistics) / sum_unit);
        }
    }
}

/// The sum, in millionths, of as many numbers as there are, were each the smallest.
fn least_sum(statistics: &Statistics) -> i64 {
    let min = Statistics::of(statistics.min).sum_millionths;
    min.wrapping_mul(statistics.count.into())
}

fn above_least_sum(statistics: &Statistics) -> i64 {
    let least = least_sum(statistics);
    statistics.sum_millionths.wrapping_sub(least)
}

/// The buckets of `sensor` that start from `first` to `last`, both included, out of all that are
/// packed.
pub(in crate::store) fn unpack_buckets(
    sensor: SensorKey,
    payload: &[u8],
    first: Timestamp,
    last: Timestamp,
) -> Result<Vec<BucketRow>, PackError> {
    let mut reader = Reader::new(payload, VERSION)?;
    let count = reader.count(ROW_BYTES_MIN)?;
    let starts = read_times(&mut reader, count)?;
    let mut window = Window::new(&starts, first, last, |start| BucketRow {
        sensor,
        start,
        // All that follows is filled in by column.
        room: RoomKey(0),
        readings: 0,
        statistics: SmallVec::new(),
    });
    read_runs(&mut reader, count, |positions, room| {
        for row in window.range(&positions) {
            row.room = RoomKey(room);
        }
        Ok(())
    })?;
    let mut readings = Vec::with_capacity(count);
    for position in 0..count {
        let Ok(number) = u32::try_from(reader.unsigned()?) else {
            return Err(reader.error(Fault::Integer));
        };
        readings.push(number);
        if let Some(row) = window.get(position) {
            row.readings = number;
        }
    }
    let mask = reader.mask(Measure::COUNT)?;
    for row in window.range(&(0..count)) {
        // Else those that have more than fit into a row would get capacity for twice as many.
        row.statistics.reserve_exact(mask.count_ones() as usize);
    }
    for measure in Measure::all() {
        if mask & 1 << measure.index() != 0 {
            read_measure(&mut reader, &readings, |position, statistics| {
                if let Some(row) = window.get(position) {
                    row.statistics.push((measure, statistics));
                }
            })?;
        }
    }
    reader.finish()?;
    Ok(window.into_rows())
}

/// Reads what [`write_measure`] wrote; gives each row and its statistics to `take`.
fn read_measure(
    reader: &mut Reader<'_>,
    readings: &[u32],
    mut take: impl FnMut(usize, Statistics),
) -> Result<(), PackError> {
    let presence = Presence::read(reader, readings.len())?;
    let encoding = Encoding::read(reader)?;
    let sum_unit = reader.unsigned()?.cast_signed();
    let counts_told = match reader.byte()? {
        COUNTS_ARE_READINGS => false,
        COUNTS_ARE_TOLD => true,
        _ => return Err(reader.error(Fault::Marker)),
    };
    let mut min = Running::default();
    for row in presence.rows() {
        let mut count = readings[row];
        if counts_told {
            let told = i64::from(count).checked_add(reader.signed()?);
            let told = told.and_then(|count| u32::try_from(count).ok());
            count = told.ok_or_else(|| reader.error(Fault::Integer))?;
        }
        let mut statistics = Statistics::of(encoding.read_number(reader, &mut min)?);
        if count != 1 {
            let mut max = min;
            statistics.count = count;
            statistics.max = encoding.read_number(reader, &mut max)?;
            let above = reader.signed()?.wrapping_mul(sum_unit);
            statistics.sum_millionths = least_sum(&statistics).wrapping_add(above);
        }
        take(row, statistics);
    }
    Ok(())
}

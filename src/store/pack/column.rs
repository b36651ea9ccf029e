//! Packs one field of many rows together: times, runs of equal values, and numbers some rows have.

use super::bytes::{Reader, Running, Writer};
use super::decimal;
use super::error::{Fault, PackError};
use std::ops::Range;

/// Writes times that do not descend: the first, the greatest common divisor of the steps between
/// them, and by how much each step differs from the one before, in that unit.
///
/// A steady rhythm takes a byte a time, and so does one that is off by some seconds when the times
/// are whole seconds.
pub(super) fn write_times(out: &mut Writer, times: impl Iterator<Item = i64> + Clone) {
    let Some(first) = times.clone().next() else {
        return;
    };
    let steps = times.clone().zip(times.skip(1));
    let steps = steps.map(|(from, to)| to.wrapping_sub(from));
    let unit = common_divisor(steps.clone());
    out.signed(first);
    out.unsigned(unit.cast_unsigned());
    let mut step_units = Running::default();
    for step in steps {
        step_units.write(out, step / unit);
    }
}

/// Reads `count` times that [`write_times`] wrote.
pub(super) fn read_times(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, PackError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut time = reader.signed()?;
    let unit = reader.unsigned()?.cast_signed();
    let mut step_units = Running::default();
    let mut times = Vec::with_capacity(count);
    times.push(time);
    for _ in 1..count {
        let step = step_units.read(reader)?.wrapping_mul(unit);
        let next = time.wrapping_add(step);
        if next < time {
            return Err(reader.error(Fault::Order));
        }
        time = next;
        times.push(time);
    }
    Ok(times)
}

/// The greatest integer that divides all of `integers`; 1 when they are all zero.
pub(super) fn common_divisor(integers: impl Iterator<Item = i64>) -> i64 {
    let mut divisor = 0;
    for integer in integers {
        let mut rest = integer.unsigned_abs();
        while rest != 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        if divisor == 1 {
            break;
        }
    }
    divisor.max(1).cast_signed()
}

/// Writes integers that seldom change: how much each run differs from the one before, and its length.
pub(super) fn write_runs(out: &mut Writer, integers: impl Iterator<Item = i64>) {
    let mut integers = integers.peekable();
    let mut running = Running::default();
    while let Some(integer) = integers.next() {
        let mut length = 1;
        while integers.next_if_eq(&integer).is_some() {
            length += 1;
        }
        running.write(out, integer);
        out.count(length);
    }
}

/// Reads the runs of `rows` rows.
pub(super) fn read_runs(
    reader: &mut Reader<'_>,
    rows: usize,
    mut take: impl FnMut(Range<usize>, i64) -> Result<(), Fault>,
) -> Result<(), PackError> {
    let mut running = Running::default();
    let mut start = 0;
    while start < rows {
        let integer = running.read(reader)?;
        let length = usize::try_from(reader.unsigned()?).unwrap_or(usize::MAX);
        let end = start.saturating_add(length);
        if length == 0 || end > rows {
            return Err(reader.error(Fault::Row));
        }
        take(start..end, integer).map_err(|fault| reader.error(fault))?;
        start = end;
    }
    Ok(())
}

/// Which rows have a number.
#[derive(Debug)]
pub(super) enum Presence {
    /// Every row up to this number.
    All(usize),
    /// These, in order.
    Some(Vec<usize>),
}

const PRESENT_ALL: u8 = 0;
const PRESENT_BITMAP: u8 = 1;
const PRESENT_LIST: u8 = 2;

impl Presence {
    /// Writes which of `rows` rows are `present`.
    pub(super) fn write(out: &mut Writer, rows: usize, present: &[usize]) {
        // In a list a row takes a byte, or two when it is far from the one before.
        if present.len() == rows {
            out.byte(PRESENT_ALL);
        } else if present.len() < rows / 16 {
            out.byte(PRESENT_LIST);
            out.count(present.len());
            let mut next = 0;
            for row in present {
                out.count(row - next);
                next = row + 1;
            }
        } else {
            let mut bitmap = vec![0; rows.div_ceil(8)];
            for row in present {
                bitmap[row / 8] |= 1 << (row % 8);
            }
            out.byte(PRESENT_BITMAP);
            out.bytes(&bitmap);
        }
    }

    /// Reads which of `rows` rows are present.
    pub(super) fn read(reader: &mut Reader<'_>, rows: usize) -> Result<Self, PackError> {
        let present = match reader.byte()? {
            PRESENT_ALL => return Ok(Self::All(rows)),
            PRESENT_LIST => Self::read_list(reader)?,
            PRESENT_BITMAP => Self::of_bitmap(reader.bytes(rows.div_ceil(8))?),
            _ => return Err(reader.error(Fault::Marker)),
        };
        if present.last().is_some_and(|last| *last >= rows) {
            return Err(reader.error(Fault::Row));
        }
        Ok(Self::Some(present))
    }

    fn read_list(reader: &mut Reader<'_>) -> Result<Vec<usize>, PackError> {
        let count = reader.count(1)?;
        let mut present = Vec::with_capacity(count);
        let mut next = 0_u64;
        for _ in 0..count {
            let row = next.checked_add(reader.unsigned()?);
            let (Some(row), Some(after)) = (row, row.and_then(|row| row.checked_add(1))) else {
                return Err(reader.error(Fault::Row));
            };
            present.push(usize::try_from(row).unwrap_or(usize::MAX));
            next = after;
        }
        Ok(present)
    }

    fn of_bitmap(bitmap: &[u8]) -> Vec<usize> {
        let mut present = Vec::new();
        for (position, byte) in bitmap.iter().enumerate() {
            let mut bits = *byte;
            while bits != 0 {
                present.push(position * 8 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
        present
    }

    /// The rows, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = usize> {
        let (all, some) = match self {
            Self::All(rows) => (0..*rows, [].as_slice()),
            Self::Some(rows) => (0..0, rows.as_slice()),
        };
        all.chain(some.iter().copied())
    }
}

/// How the numbers of a column are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Encoding {
    /// As mantissas with this exponent.
    Decimal(usize),
    /// With all their bits.
    Raw,
}

impl Encoding {
    /// The shorter one that keeps every bit of `numbers`.
    pub(super) fn of(numbers: impl Iterator<Item = f64>) -> Self {
        decimal::common_exponent(numbers).map_or(Self::Raw, Self::Decimal)
    }

    pub(super) fn write(self, out: &mut Writer) {
        match self {
            Self::Decimal(exponent) => out.count(exponent),
            Self::Raw => out.byte(decimal::RAW),
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, PackError> {
        let exponent = reader.byte()?;
        if exponent == decimal::RAW {
            return Ok(Self::Raw);
        }
        match usize::from(exponent) {
            exponent if exponent <= decimal::EXPONENT_MAX => Ok(Self::Decimal(exponent)),
            _ => Err(reader.error(Fault::Marker)),
        }
    }

    /// Writes a number of a column as its difference to the one before.
    #[inline]
    pub(super) fn write_number(self, out: &mut Writer, running: &mut Running, number: f64) {
        match self {
            Self::Decimal(exponent) => running.write(out, decimal::rounded(number, exponent)),
            Self::Raw => out.raw(number),
        }
    }

    #[inline]
    pub(super) fn read_number(
        self,
        reader: &mut Reader<'_>,
        running: &mut Running,
    ) -> Result<f64, PackError> {
        match self {
            Self::Decimal(exponent) => Ok(decimal::number(running.read(reader)?, exponent)),
            Self::Raw => reader.raw(),
        }
    }
}

/// The numbers some rows have.
#[derive(Debug, Default)]
pub(super) struct Column {
    present: Vec<usize>,
    numbers: Vec<f64>,
}

impl Column {
    pub(super) fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// Adds a number; its row is behind those of all before.
    pub(super) fn push(&mut self, row: usize, number: f64) {
        self.present.push(row);
        self.numbers.push(number);
    }

    /// Writes it as that of `rows` rows.
    pub(super) fn write(&self, out: &mut Writer, rows: usize) {
        Presence::write(out, rows, &self.present);
        let encoding = Encoding::of(self.numbers.iter().copied());
        encoding.write(out);
        let mut running = Running::default();
        for number in &self.numbers {
            encoding.write_number(out, &mut running, *number);
        }
    }

    /// Reads what [`Column::write`] wrote of `rows` rows; gives each row and its number to `take`.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        rows: usize,
        mut take: impl FnMut(usize, f64) -> Result<(), Fault>,
    ) -> Result<(), PackError> {
        let presence = Presence::read(reader, rows)?;
        let encoding = Encoding::read(reader)?;
        let mut running = Running::default();
        for row in presence.rows() {
            let number = encoding.read_number(reader, &mut running)?;
            take(row, number).map_err(|fault| reader.error(fault))?;
        }
        Ok(())
    }
}

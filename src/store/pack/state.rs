//! The state of one sensor, as it is kept for the next start.

use super::bytes::{Reader, Writer};
use super::decimal;
use super::error::{Fault, PackError};
use crate::database::RoomKey;
use crate::domain::{Quantity, StreamId, Timestamp, Values};
use crate::store::rhythm::{Candidate, Rhythm};
use crate::store::state::{Gaps, Newest, SensorState};

const VERSION: u8 = 1;

/// Packs the state of a sensor as it is after the event `as_of`.
pub(in crate::store) fn pack_state(state: &SensorState, as_of: StreamId) -> Vec<u8> {
    let mut out = Writer::new(VERSION, 256);
    out.unsigned(as_of.epoch);
    out.unsigned(as_of.sequence);
    for gaps in [&state.measuring, &state.deliveries, &state.arrivals] {
        out.byte(gaps.last.is_some().into());
        if let Some(last) = gaps.last {
            out.signed(last.millis());
        }
        write_rhythm(&mut out, &gaps.rhythm);
    }
    out.byte(state.tvoc_unit_assumed.into());
    let quantities = state.newest.iter().map(|newest| newest.quantity.index());
    out.unsigned(quantities.fold(0, |mask, index| mask | 1 << index));
    for newest in &state.newest {
        decimal::write(&mut out, newest.number);
        out.signed(newest.observed_at.millis());
        out.signed(newest.room.0);
        write_rhythm(&mut out, &newest.rhythm);
    }
    out.finish()
}

/// A packed state, and the last event that it includes.
pub(in crate::store) fn unpack_state(payload: &[u8]) -> Result<(SensorState, StreamId), PackError> {
    let mut reader = Reader::new(payload, VERSION)?;
    let as_of = StreamId {
        epoch: reader.unsigned()?,
        sequence: reader.unsigned()?,
    };
    let [measuring, deliveries, arrivals] = [
        read_gaps(&mut reader)?,
        read_gaps(&mut reader)?,
        read_gaps(&mut reader)?,
    ];
    let mut state = SensorState {
        measuring,
        deliveries,
        arrivals,
        tvoc_unit_assumed: read_flag(&mut reader)?,
        ..SensorState::default()
    };
    let mut mask = reader.mask(Quantity::COUNT)?;
    while mask != 0 {
        let quantity = Quantity::ALL[mask.trailing_zeros() as usize];
        let number = decimal::read(&mut reader)?;
        if !Values::default().set(quantity, number) {
            return Err(reader.error(Fault::Number));
        }
        state.newest.push(Newest {
            quantity,
            number,
            observed_at: Timestamp::from_millis(reader.signed()?),
            room: RoomKey(reader.signed()?),
            rhythm: read_rhythm(&mut reader)?,
        });
        mask &= mask - 1;
    }
    reader.finish()?;
    Ok((state, as_of))
}

fn read_flag(reader: &mut Reader<'_>) -> Result<bool, PackError> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reader.error(Fault::Marker)),
    }
}

fn read_gaps(reader: &mut Reader<'_>) -> Result<Gaps, PackError> {
    let last = if read_flag(reader)? {
        Some(Timestamp::from_millis(reader.signed()?))
    } else {
        None
    };
    Ok(Gaps::known(last, read_rhythm(reader)?))
}

fn write_rhythm(out: &mut Writer, rhythm: &Rhythm) {
    let Rhythm {
        usual_ms,
        longer: [longer, longest],
        run_ms,
        run,
    } = rhythm;
    let candidates = [longer, longest].map(|candidate| [candidate.gap_ms, candidate.since_ms]);
    let [[longer, since_longer], [longest, since_longest]] = candidates;
    for number in [
        *usual_ms,
        longer,
        since_longer,
        longest,
        since_longest,
        *run_ms,
    ] {
        out.bytes(&number.to_le_bytes());
    }
    out.byte(*run);
}

fn read_rhythm(reader: &mut Reader<'_>) -> Result<Rhythm, PackError> {
    let mut numbers = [0.0; 6];
    for number in &mut numbers {
        let bytes = reader.bytes(size_of::<f32>())?;
        *number = bytes.try_into().map_or(f32::NAN, f32::from_le_bytes);
        if !number.is_finite() || *number < 0.0 {
            return Err(reader.error(Fault::Number));
        }
    }
    let [
        usual_ms,
        longer,
        since_longer,
        longest,
        since_longest,
        run_ms,
    ] = numbers;
    let candidate = |gap_ms, since_ms| Candidate { gap_ms, since_ms };
    Ok(Rhythm {
        usual_ms,
        longer: [
            candidate(longer, since_longer),
            candidate(longest, since_longest),
        ],
        run_ms,
        run: reader.byte()?,
    })
}

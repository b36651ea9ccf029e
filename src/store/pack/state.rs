//! The state of one sensor, as it is kept for the next start.

use super::bytes::{Reader, Writer};
use super::decimal;
use super::error::{Fault, PackError};
use crate::database::RoomKey;
use crate::domain::{Quantity, StreamId, Timestamp, Values};
use crate::store::rhythm::{Candidate, Rhythm};
use crate::store::state::{Gaps, Newest, SensorState};

const VERSION: u8 = 1;

const TVOC_UNIT_ASSUMED: u8 = 1 << 0;
const PARTIAL: u8 = 1 << 1;

/// The state of a sensor as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::store) struct KeptState {
    pub(in crate::store) state: SensorState,
    /// The last event that it includes.
    pub(in crate::store) as_of: StreamId,
    /// The rest of it has still to be looked up.
    pub(in crate::store) is_partial: bool,
}

pub(in crate::store) fn pack_state(kept: &KeptState) -> Vec<u8> {
    let KeptState {
        state,
        as_of,
        is_partial,
    } = kept;
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
    let flag = |set, flag| if set { flag } else { 0 };
    out.byte(flag(state.tvoc_unit_assumed, TVOC_UNIT_ASSUMED) | flag(*is_partial, PARTIAL));
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

pub(in crate::store) fn unpack_state(payload: &[u8]) -> Result<KeptState, PackError> {
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
    let flags = reader.byte()?;
    if flags & !(TVOC_UNIT_ASSUMED | PARTIAL) != 0 {
        return Err(reader.error(Fault::Marker));
    }
    let mut state = SensorState {
        measuring,
        deliveries,
        arrivals,
        tvoc_unit_assumed: flags & TVOC_UNIT_ASSUMED != 0,
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
    Ok(KeptState {
        state,
        as_of,
        is_partial: flags & PARTIAL != 0,
    })
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
        is_confirmed,
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
    out.byte((*is_confirmed).into());
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
        is_confirmed: read_flag(reader)?,
        run: reader.byte()?,
    })
}

//! [`RawReading`] → [`Reading`]: shape, units, plausible ranges, clock.
//!
//! The only way a [`Reading`] comes in from outside. A value that is bad is left out and told, and costs
//! the others nothing; what is wrong with the sensor, the place or the time spoils the reading. Faults
//! are reported at once, up to [`FAULTS_MAX`](crate::fault::FAULTS_MAX) of them, each with a JSON
//! pointer to its field.

mod faults;
mod measured;
mod number;
mod units;

use crate::domain::{PlaceName, Reading, SensorId, Timestamp};
use crate::fault::{FieldError, Ignored, Rejection, pointer};
use crate::payload::{RawField, RawItem, RawReading, ShapeFault};
use faults::{Faults, lone_surrogate};
use measured::measured;
use std::time::Duration;

/// How far a reading's time may be ahead of the server's: device clocks drift.
pub const CLOCK_AHEAD_MAX: Duration = Duration::from_mins(5);

/// What validation needs to know besides the reading.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Time of receipt.
    pub now: Timestamp,
    /// Unit of a TVOC value that comes without one.
    pub tvoc_unit: TvocUnit,
    /// The same where a person has said it of this sensor, so that it is not taken for granted.
    pub tvoc_unit_said: Option<TvocUnit>,
    /// Most faults that are looked for in one reading, at least 1: [`FAULTS_MAX`](crate::fault::FAULTS_MAX) where they are told.
    pub faults_max: usize,
}

/// Unit that TVOC values without a declared unit are taken to be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TvocUnit {
    #[default]
    Ppb,
    MicrogramsPerCubicMeter,
    MilligramsPerCubicMeter,
}

impl TvocUnit {
    const ALL: [Self; 3] = [
        Self::Ppb,
        Self::MicrogramsPerCubicMeter,
        Self::MilligramsPerCubicMeter,
    ];

    /// What is declared by a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.name() == name)
    }

    /// As it is declared.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ppb => "ppb",
            Self::MicrogramsPerCubicMeter => "ug/m3",
            Self::MilligramsPerCubicMeter => "mg/m3",
        }
    }
}

/// A reading that can be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Valid {
    pub reading: Reading,
    /// What was left out of it.
    pub ignored: Ignored,
}

/// Checks one element of a batch.
pub fn item(item: &RawItem<'_>, rules: &Rules) -> Result<Valid, Rejection> {
    match item {
        RawItem::Reading(raw) => reading(raw, rules),
        RawItem::Fault(fault) => Err(Rejection::of(fault.clone())),
    }
}

/// Checks one reading and collects what is wrong with it.
pub fn reading(raw: &RawReading<'_>, rules: &Rules) -> Result<Valid, Rejection> {
    let mut faults = Faults::up_to(rules.faults_max);
    for fault in &raw.faults {
        faults.refuse(|| misshapen(*fault));
    }

    let sensor = match &raw.sensor_id {
        RawField::Text(text) => faults.keep(SensorId::parse(text), "/sensor_id", "bad_sensor_id"),
        field => faults.require(field, "/sensor_id", "a sensor needs an id"),
    };
    let site = place_name(&raw.enseigne, "/enseigne", &mut faults);
    let room = place_name(&raw.salle, "/salle", &mut faults);
    let observed_at = observed_at(&raw.timestamp, rules, &mut faults);
    let measured = measured(raw, rules, &mut faults);

    match (sensor, observed_at) {
        (Some(sensor), Some(observed_at)) if !faults.refuse_it() && !measured.is_empty() => {
            Ok(Valid {
                reading: Reading {
                    sensor,
                    site,
                    room,
                    observed_at,
                    values: measured.values,
                    extras: measured.extras,
                    tvoc_unit_assumed: measured.tvoc_unit_assumed,
                },
                ignored: faults.ignored,
            })
        }
        (sensor, _) => Err(Rejection {
            sensor_id: sensor.map(|sensor| sensor.as_str().to_owned()),
            errors: faults.into_errors(),
        }),
    }
}

fn misshapen(fault: ShapeFault) -> FieldError {
    match fault {
        ShapeFault::Duplicate(field) => FieldError::new(
            pointer("/", field),
            "duplicate_key",
            "the field is given twice",
        ),
        ShapeFault::NotAnObject(field) => {
            FieldError::new(pointer("/", field), "not_an_object", "must be an object")
        }
    }
}

fn place_name(
    field: &RawField<'_>,
    pointer: &'static str,
    faults: &mut Faults,
) -> Option<PlaceName> {
    match field {
        RawField::Absent => None,
        RawField::Text(text) => faults.keep(PlaceName::parse(text), pointer, "bad_name"),
        field => faults.require(field, pointer, ""),
    }
}

fn observed_at(field: &RawField<'_>, rules: &Rules, faults: &mut Faults) -> Option<Timestamp> {
    const POINTER: &str = "/timestamp";
    let at = match field {
        RawField::Absent => return Some(rules.now),
        RawField::Text(text) => {
            Timestamp::parse(text).or_else(|| Timestamp::parse_number(text.trim()))
        }
        RawField::Number(digits) => Timestamp::parse_number(digits),
        RawField::LoneSurrogate => {
            faults.refuse(|| lone_surrogate(POINTER));
            return None;
        }
        RawField::UnderLoneSurrogate | RawField::Other => None,
    };
    let Some(at) = at else {
        faults.refuse(|| FieldError::new(POINTER, "bad_timestamp", TIMESTAMP_EXPECTED));
        return None;
    };
    // A clock that is not set knows nothing of the future.
    if rules.now.is_set() && at > rules.now.plus(CLOCK_AHEAD_MAX) {
        faults.refuse(|| {
            let detail = format!(
                "is more than 5 minutes ahead of the server, where it is {}",
                rules.now
            );
            FieldError::new(POINTER, "timestamp_in_future", detail)
        });
    } else if at < Timestamp::OLDEST {
        faults.refuse(|| {
            let detail = format!("must not be before {}", Timestamp::OLDEST);
            FieldError::new(POINTER, "timestamp_too_old", detail)
        });
    }
    Some(at)
}

const TIMESTAMP_EXPECTED: &str = "must be RFC 3339 with an offset, for example \
    2025-11-19T10:05:00Z, or a number of seconds or milliseconds since 1970";

#[cfg(test)]
mod tests;

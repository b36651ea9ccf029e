//! [`RawReading`] → [`Reading`]: shape, units, plausible ranges, clock.
//!
//! The only way a [`Reading`] comes in from outside. The faults of a reading are reported at once, up to
//! [`FAULTS_MAX`](crate::fault::FAULTS_MAX) of them, each with a JSON pointer to its field.

mod number;
mod units;

use crate::domain::{
    Extras, ExtrasError, PlaceName, Quantity, Reading, SensorId, Timestamp, Values,
};
use crate::fault::{FieldError, Rejection, pointer, shortened};
use crate::payload::{KEYS_MAX, RawField, RawItem, RawReading, ShapeFault};
use std::borrow::Cow;
use std::time::Duration;
use units::Unit;

/// How far a reading's time may be ahead of the server's: device clocks drift.
pub const CLOCK_AHEAD_MAX: Duration = Duration::from_mins(5);

/// What validation needs to know besides the reading.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Time of receipt.
    pub now: Timestamp,
    /// Unit of a TVOC value that comes without one.
    pub tvoc_unit: TvocUnit,
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
    const fn name(self) -> &'static str {
        match self {
            Self::Ppb => "ppb",
            Self::MicrogramsPerCubicMeter => "ug/m3",
            Self::MilligramsPerCubicMeter => "mg/m3",
        }
    }
}

/// Checks one element of a batch.
pub fn item(item: &RawItem<'_>, rules: &Rules) -> Result<Reading, Rejection> {
    match item {
        RawItem::Reading(raw) => reading(raw, rules),
        RawItem::Fault(fault) => Err(Rejection::of(fault.clone())),
    }
}

/// Checks one reading and collects what is wrong with it.
pub fn reading(raw: &RawReading<'_>, rules: &Rules) -> Result<Reading, Rejection> {
    let mut faults = Faults::up_to(rules.faults_max);
    for fault in &raw.faults {
        faults.push(misshapen(*fault));
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
        (Some(sensor), Some(observed_at)) if faults.errors.is_empty() => Ok(Reading {
            sensor,
            site,
            room,
            observed_at,
            values: measured.values,
            extras: measured.extras,
            tvoc_unit_assumed: measured.tvoc_unit_assumed,
        }),
        (sensor, _) => Err(Rejection {
            sensor_id: sensor.map(|sensor| sensor.as_str().to_owned()),
            errors: faults.errors,
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
    let text = match field {
        RawField::Absent => return Some(rules.now),
        RawField::Text(text) => text,
        field => return faults.require(field, POINTER, ""),
    };
    let Some(at) = Timestamp::parse(text) else {
        faults.push(FieldError::new(
            POINTER,
            "bad_timestamp",
            "must be RFC 3339 with an offset, for example 2025-11-19T10:05:00Z",
        ));
        return None;
    };
    // A clock that is not set knows nothing of the future.
    if rules.now.is_set() && at > rules.now.plus(CLOCK_AHEAD_MAX) {
        faults.push(FieldError::new(
            POINTER,
            "timestamp_in_future",
            format!(
                "is more than 5 minutes ahead of the server, where it is {}",
                rules.now
            ),
        ));
    } else if at < Timestamp::OLDEST {
        faults.push(FieldError::new(
            POINTER,
            "timestamp_too_old",
            format!("must not be before {}", Timestamp::OLDEST),
        ));
    }
    Some(at)
}

#[derive(Default)]
struct Measured {
    values: Values,
    extras: Extras,
    tvoc_unit_assumed: bool,
}

fn measured(raw: &RawReading<'_>, rules: &Rules, faults: &mut Faults) -> Measured {
    let mut measured = Measured::default();
    let entries = raw.values.as_deref().unwrap_or_default();
    for (pointer, keys) in [("/values", entries.len()), ("/units", raw.units.len())] {
        if keys > KEYS_MAX {
            // Nothing of it is looked at, so that a hostile object costs no more than its parsing.
            faults.push(FieldError::new(
                pointer,
                "too_many_keys",
                "at most 50 keys are read",
            ));
            return measured;
        }
    }
    if entries.iter().all(|(_, field)| *field == RawField::Absent)
        && !raw.faults.contains(&ShapeFault::NotAnObject("values"))
    {
        faults.push(FieldError::new(
            "/values",
            "no_values",
            "a reading needs at least one value",
        ));
    }
    let units = declared_units(raw, faults);
    let mut named: Vec<Cow<'_, str>> = Vec::with_capacity(entries.len());
    for (key, field) in entries {
        if faults.are_enough() {
            break;
        }
        let quantity = Quantity::from_key(key);
        let name = quantity.map_or(Cow::Borrowed(&**key), |quantity| quantity.wire_key().into());
        if named.contains(&name) {
            faults.push(FieldError::new(
                pointer("/values/", key),
                "duplicate_key",
                format!("{} is given twice", shortened(&name)),
            ));
            continue;
        }
        named.push(name);
        let Some(number) = faults.number(field, || pointer("/values/", key)) else {
            continue;
        };
        match quantity {
            Some(quantity) => value(&mut measured, quantity, number, key, &units, rules, faults),
            None => {
                if let Err(error) = measured.extras.insert(key, number) {
                    faults.push(FieldError::new(
                        pointer("/values/", key),
                        extras_code(error),
                        error.to_string(),
                    ));
                }
            }
        }
    }
    measured
}

fn value(
    measured: &mut Measured,
    quantity: Quantity,
    number: f64,
    key: &str,
    units: &[(Quantity, Unit)],
    rules: &Rules,
    faults: &mut Faults,
) {
    let declared = units
        .iter()
        .find(|(of, _)| *of == quantity)
        .map(|(_, unit)| *unit);
    let assumed = if quantity == Quantity::Tvoc && declared.is_none() {
        measured.tvoc_unit_assumed = true;
        Unit::of(quantity, rules.tvoc_unit.name())
    } else {
        None
    };
    let stored = declared
        .or(assumed)
        .map_or(number, |unit| unit.convert(number));
    if !measured.values.set(quantity, stored) {
        let range = quantity.range();
        faults.push(FieldError::new(
            pointer("/values/", key),
            "out_of_range",
            format!(
                "must be {} to {} {}",
                range.start(),
                range.end(),
                quantity.unit()
            ),
        ));
    }
}

fn declared_units(raw: &RawReading<'_>, faults: &mut Faults) -> Vec<(Quantity, Unit)> {
    let mut units: Vec<(Quantity, Unit)> = Vec::new();
    for (key, field) in &raw.units {
        if faults.are_enough() {
            break;
        }
        // A unit of a key that takes no part in anything changes nothing of what is stored.
        let Some(quantity) = Quantity::from_key(key) else {
            continue;
        };
        let unit = match field {
            RawField::Absent => continue,
            RawField::Text(name) => Unit::of(quantity, name),
            _ => None,
        };
        match unit {
            Some(_) if units.iter().any(|(known, _)| *known == quantity) => {
                faults.push(FieldError::new(
                    pointer("/units/", key),
                    "duplicate_key",
                    format!("the unit of {} is given twice", quantity.wire_key()),
                ));
            }
            Some(unit) => units.push((quantity, unit)),
            None => faults.push(FieldError::new(
                pointer("/units/", key),
                "unknown_unit",
                format!("must be one of {}", units::names(quantity)),
            )),
        }
    }
    units
}

fn extras_code(error: ExtrasError) -> &'static str {
    match error {
        ExtrasError::KeyLength => "bad_key",
        ExtrasError::TooMany => "too_many_keys",
        ExtrasError::NotFinite => "not_a_number",
        ExtrasError::Duplicate => "duplicate_key",
    }
}

/// The faults found so far, up to those that are told.
struct Faults {
    errors: Vec<FieldError>,
    errors_max: usize,
}

impl Faults {
    fn up_to(errors_max: usize) -> Self {
        Self {
            errors: Vec::new(),
            errors_max: errors_max.max(1),
        }
    }

    fn are_enough(&self) -> bool {
        self.errors.len() >= self.errors_max
    }

    fn push(&mut self, error: FieldError) {
        if !self.are_enough() {
            self.errors.push(error);
        }
    }

    fn keep<T, E: std::fmt::Display>(
        &mut self,
        result: Result<T, E>,
        pointer: &'static str,
        code: &'static str,
    ) -> Option<T> {
        result
            .map_err(|error| self.push(FieldError::new(pointer, code, error.to_string())))
            .ok()
    }

    /// Reports a field that is absent or not a text.
    fn require<T>(
        &mut self,
        field: &RawField<'_>,
        pointer: &'static str,
        absent: &'static str,
    ) -> Option<T> {
        self.push(match field {
            RawField::Absent => FieldError::new(pointer, "required", absent),
            _ => FieldError::new(pointer, "not_text", "must be a text"),
        });
        None
    }

    /// The finite number a field holds; some firmware sends numbers as text only.
    fn number(&mut self, field: &RawField<'_>, pointer: impl Fn() -> String) -> Option<f64> {
        let number = match field {
            RawField::Absent => return None,
            RawField::Number(digits) => number::parse(digits),
            RawField::Text(text) => number::parse(text.trim()),
            RawField::Other => None,
        };
        if number.is_none() {
            self.push(FieldError::new(
                pointer(),
                "not_a_number",
                "must be a finite number",
            ));
        }
        number
    }
}

#[cfg(test)]
mod tests;

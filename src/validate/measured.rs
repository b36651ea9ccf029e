//! The values of a reading: each is taken or left out by itself.

use super::Rules;
use super::faults::{Faults, lone_surrogate};
use super::number::{self, Number};
use super::units::{self, Unit};
use crate::domain::{Extras, ExtrasError, Quantity, Values};
use crate::fault::{FieldError, pointer, shortened};
use crate::payload::{KEYS_MAX, RawField, RawReading, ShapeFault};
use std::borrow::Cow;

/// What is taken of a reading.
#[derive(Default)]
pub(super) struct Measured {
    pub(super) values: Values,
    pub(super) extras: Extras,
    pub(super) tvoc_unit_assumed: bool,
}

impl Measured {
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.extras.is_empty()
    }
}

pub(super) fn measured(raw: &RawReading<'_>, rules: &Rules, faults: &mut Faults) -> Measured {
    let mut measured = Measured::default();
    let units = declared_units(raw, faults);
    let (entries, unread) = match &raw.values {
        Some(values) => (values.read.as_slice(), values.unread),
        None => (Default::default(), 0),
    };
    let mut is_any_given = false;
    let mut named: Vec<Cow<'_, str>> = Vec::with_capacity(entries.len());
    for (key, field) in entries {
        if faults.are_enough() {
            break;
        }
        if *field == RawField::UnderLoneSurrogate {
            is_any_given = true;
            faults.leave_out(1, || lone_surrogate(pointer("/values/", key)));
            continue;
        }
        let quantity = Quantity::from_key(key);
        let name = quantity.map_or(Cow::Borrowed(&**key), |quantity| quantity.wire_key().into());
        if named.contains(&name) {
            is_any_given = true;
            faults.refuse(|| duplicate(pointer("/values/", key), &shortened(&name)));
            continue;
        }
        named.push(name);
        let taken = match number::of(field) {
            Number::Absent => continue,
            Number::Finite(number) => match quantity {
                Some(quantity) => measured.take(quantity, number, key, &units, rules),
                None => measured.take_extra(key, number),
            },
            Number::LoneSurrogate => Err(lone_surrogate(pointer("/values/", key))),
            Number::None => Err(FieldError::new(
                pointer("/values/", key),
                "not_a_number",
                "must be a finite number",
            )),
        };
        is_any_given = true;
        if let Err(error) = taken {
            faults.leave_out(1, || error);
        }
    }
    faults.leave_out(unread, || {
        let detail =
            format!("only the first {KEYS_MAX} keys and the quantities behind them are read");
        FieldError::new("/values", "too_many_keys", detail)
    });
    let is_misshapen = raw.faults.contains(&ShapeFault::NotAnObject("values"));
    if !is_any_given && unread == 0 && !is_misshapen {
        faults.refuse(|| {
            FieldError::new("/values", "no_values", "a reading needs at least one value")
        });
    }
    measured
}

impl Measured {
    fn take(
        &mut self,
        quantity: Quantity,
        number: f64,
        key: &str,
        units: &[(Quantity, Declared<'_>)],
        rules: &Rules,
    ) -> Result<(), FieldError> {
        let declared = units.iter().find(|(of, _)| *of == quantity);
        let is_tvoc = quantity == Quantity::Tvoc;
        let (unit, is_assumed) = match declared.map_or(Declared::Nothing, |(_, unit)| *unit) {
            Declared::Unit(unit) => (Some(unit), false),
            Declared::Nothing if is_tvoc => {
                let unit = rules.tvoc_unit_said.unwrap_or(rules.tvoc_unit);
                (
                    Unit::of(quantity, unit.name()),
                    rules.tvoc_unit_said.is_none(),
                )
            }
            Declared::Nothing => (None, false),
            Declared::Unknown(key) => {
                return Err(FieldError::new(
                    pointer("/units/", key),
                    "unknown_unit",
                    format!("must be one of {}", units::names(quantity)),
                ));
            }
        };
        let stored = unit.map_or(number, |unit| unit.convert(number));
        if self.values.set(quantity, stored) {
            self.tvoc_unit_assumed |= is_assumed;
            return Ok(());
        }
        let range = quantity.range();
        let (start, end, unit) = (range.start(), range.end(), quantity.unit());
        Err(FieldError::new(
            pointer("/values/", key),
            "out_of_range",
            format!("must be {start} to {end} {unit}"),
        ))
    }

    fn take_extra(&mut self, key: &str, number: f64) -> Result<(), FieldError> {
        self.extras.insert(key, number).map_err(|error| {
            let code = match error {
                ExtrasError::KeyLength => "bad_key",
                ExtrasError::TooMany => "too_many_keys",
                ExtrasError::NotFinite => "not_a_number",
                ExtrasError::Duplicate => "duplicate_key",
            };
            FieldError::new(pointer("/values/", key), code, error.to_string())
        })
    }
}

/// What a reading says of the unit of a quantity.
#[derive(Clone, Copy)]
enum Declared<'a> {
    Nothing,
    Unit(Unit),
    /// It cannot be in the unit that stands under this key.
    Unknown(&'a str),
}

fn declared_units<'a>(
    raw: &'a RawReading<'_>,
    faults: &mut Faults,
) -> Vec<(Quantity, Declared<'a>)> {
    let mut units: Vec<(Quantity, Declared<'a>)> = Vec::new();
    for (key, field) in &raw.units.read {
        if faults.are_enough() {
            break;
        }
        // A unit of a key that takes no part in anything changes nothing of what is stored.
        let Some(quantity) = Quantity::from_key(key) else {
            continue;
        };
        if units.iter().any(|(known, _)| *known == quantity) {
            let what = format!("the unit of {}", quantity.wire_key());
            faults.refuse(|| duplicate(pointer("/units/", key), &what));
            continue;
        }
        let declared = match field {
            RawField::Absent => Declared::Nothing,
            RawField::Text(name) => {
                Unit::of(quantity, name).map_or(Declared::Unknown(key), Declared::Unit)
            }
            _ => Declared::Unknown(key),
        };
        units.push((quantity, declared));
    }
    units
}

fn duplicate(pointer: String, what: &str) -> FieldError {
    FieldError::new(pointer, "duplicate_key", format!("{what} is given twice"))
}

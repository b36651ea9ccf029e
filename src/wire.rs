//! The wire form of a reading: the JSON that the stream, the calls and webhooks show it in.
//!
//! `query/write/json.rs` writes the same flat keys by hand, because histories are long; a property
//! test holds both to one form.

use crate::domain::{Level, Quantity, Timestamp};
use crate::score::{Confidence, Profile};
use crate::store::{ShownState, Stored};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A number as sensors write it: without a fraction when it has none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number(pub(crate) f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Above this a float has no unit digit any more.
        const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;
        if self.0.fract() == 0.0 && self.0.abs() < INTEGER_MAX {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it is a whole number in range"
            )]
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// The `measurement` message of a stored reading.
#[derive(Debug)]
pub(crate) struct Measurement<'a>(pub(crate) &'a Stored);

impl Serialize for Measurement<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Stored {
            id,
            place,
            scored,
            late,
            state,
        } = self.0;
        let reading = &scored.reading;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "measurement")?;
        map.serialize_entry("id", &Shown(id))?;
        map.serialize_entry("timestamp", &Shown(&reading.observed_at))?;
        map.serialize_entry("sensor_id", reading.sensor.as_str())?;
        map.serialize_entry("enseigne", place.site.as_str())?;
        map.serialize_entry("salle", place.room.as_str())?;
        map.serialize_entry("values", &WireValues(self.0))?;
        let (values, assessment) = match state {
            Some(state) => (&state.values, &state.assessment),
            None => (&reading.values, &scored.assessment),
        };
        flat_values(&mut map, values)?;
        map.serialize_entry("global_score", &assessment.shown())?;
        map.serialize_entry("global_level", &assessment.level().map(Level::as_str))?;
        map.serialize_entry("dominant", &assessment.dominant.map(Quantity::flat_key))?;
        if let Some(state) = state {
            state_times(&mut map, state)?;
        }
        if *late {
            map.serialize_entry("late", &true)?;
        }
        map.end()
    }
}

/// `values` as devices send them, the keys no quantity has included.
struct WireValues<'a>(&'a Stored);

impl Serialize for WireValues<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let reading = &self.0.scored.reading;
        let mut map = serializer.serialize_map(None)?;
        for (quantity, number) in reading.values.iter() {
            map.serialize_entry(quantity.wire_key(), &Number(number))?;
        }
        for (key, number) in reading.extras.iter() {
            map.serialize_entry(key, &Number(number))?;
        }
        map.end()
    }
}

/// Quantities whose flat key is always there, `null` when not measured, as pages expect.
pub(crate) const FLAT_ALWAYS: [Quantity; 5] = [
    Quantity::Co2,
    Quantity::Pm25,
    Quantity::Tvoc,
    Quantity::Temperature,
    Quantity::Humidity,
];

/// Writes the flat lower-case keys of records and messages. `occupants` is 0 when nobody counted.
pub(crate) fn flat_values<M: SerializeMap>(
    map: &mut M,
    values: &crate::domain::Values,
) -> Result<(), M::Error> {
    for quantity in FLAT_ALWAYS {
        map.serialize_entry(quantity.flat_key(), &values.get(quantity).map(Number))?;
    }
    let occupants = values.get(Quantity::Occupants).unwrap_or(0.0);
    map.serialize_entry(Quantity::Occupants.flat_key(), &Number(occupants))?;
    for (quantity, number) in values.iter() {
        if !FLAT_ALWAYS.contains(&quantity) && quantity != Quantity::Occupants {
            map.serialize_entry(quantity.flat_key(), &Number(number))?;
        }
    }
    Ok(())
}

/// Writes which of the flat values are from before, and which are not shown because they are too old.
pub(crate) fn state_times<M: SerializeMap>(
    map: &mut M,
    state: &ShownState,
) -> Result<(), M::Error> {
    for quantity in &state.stale_values {
        if !FLAT_ALWAYS.contains(quantity) && *quantity != Quantity::Occupants {
            map.serialize_entry(quantity.flat_key(), &None::<Number>)?;
        }
    }
    if !state.measured_at.is_empty() {
        map.serialize_entry("measured_at", &Times(&state.measured_at))?;
    }
    if !state.stale_values.is_empty() {
        let keys: Vec<_> = state.stale_values.iter().map(|of| of.flat_key()).collect();
        map.serialize_entry("stale_values", &keys)?;
    }
    if state.is_stale && !state.values.is_empty() {
        map.serialize_entry("stale", &true)?;
    }
    Ok(())
}

struct Times<'a>(&'a [(Quantity, Timestamp)]);

impl Serialize for Times<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let times = self.0.iter();
        serializer.collect_map(times.map(|(quantity, at)| (quantity.flat_key(), Shown(at))))
    }
}

/// Serialises by its `Display`, without a text in between.
pub(crate) struct Shown<'a, T>(pub(crate) &'a T);

impl<T: std::fmt::Display> Serialize for Shown<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// RFC 3339 in UTC.
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        text.format(Some(format)).into()
    }
}

impl ToSchema for Timestamp {}

/// Shows a type of names in JSON, and lists its names in the API document.
macro_rules! named {
    ($kind:ty, [$($name:expr),+]) => {
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl PartialSchema for $kind {
            fn schema() -> RefOr<Schema> {
                let names = [$($name.as_str()),+];
                let text = ObjectBuilder::new().schema_type(Type::String);
                text.enum_values(Some(names)).into()
            }
        }

        impl ToSchema for $kind {}
    };
}

named!(
    Level,
    [
        Level::Excellent,
        Level::Good,
        Level::Moderate,
        Level::Poor,
        Level::VeryPoor
    ]
);
named!(Profile, [Profile::Iaqverse, Profile::Classic]);
named!(
    Confidence,
    [Confidence::High, Confidence::Medium, Confidence::Low]
);

/// The JSON text of a `measurement` message.
pub fn measurement(stored: &Stored) -> Vec<u8> {
    let mut json = Vec::with_capacity(512);
    // Serialising texts and finite numbers into memory cannot fail.
    serde_json::to_writer(&mut json, &Measurement(stored)).unwrap_or_default();
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Place, PlaceName, Reading, SensorId, StreamId};
    use crate::store::ScoredReading;
    use pretty_assertions::assert_eq;
    use std::sync::Arc;

    fn stored(late: bool) -> Stored {
        let mut values = crate::domain::Values::default();
        for (quantity, number) in [
            (Quantity::Co2, 645.0),
            (Quantity::Pm25, 12.0),
            (Quantity::Tvoc, 40.0),
            (Quantity::Temperature, 22.3),
            (Quantity::Humidity, 45.0),
        ] {
            assert!(values.set(quantity, number));
        }
        let mut extras = crate::domain::Extras::default();
        extras.insert("battery", 3.5).unwrap();
        Stored {
            id: StreamId {
                epoch: 3,
                sequence: 17,
            },
            place: Arc::new(Place {
                site: PlaceName::parse("Maison").unwrap(),
                room: PlaceName::parse("Bureau \"<1>\"").unwrap(),
            }),
            scored: Arc::new(ScoredReading {
                assessment: Profile::Iaqverse.assess(&values),
                reading: Reading {
                    sensor: SensorId::parse("bureau1").unwrap(),
                    site: None,
                    room: None,
                    observed_at: Timestamp::parse("2025-11-19T10:05:00Z").unwrap(),
                    values,
                    extras,
                    tvoc_unit_assumed: true,
                },
            }),
            late,
            state: None,
        }
    }

    #[test]
    fn a_measurement_has_values_and_flat_keys() {
        assert_eq!(
            String::from_utf8(measurement(&stored(false))).unwrap(),
            concat!(
                r#"{"type":"measurement","id":"3-17","timestamp":"2025-11-19T10:05:00Z","#,
                r#""sensor_id":"bureau1","enseigne":"Maison","salle":"Bureau \"<1>\"","#,
                r#""values":{"CO2":645,"PM25":12,"TVOC":40,"Temperature":22.3,"Humidity":45,"#,
                r#""battery":3.5},"co2":645,"pm25":12,"tvoc":40,"temperature":22.3,"humidity":45,"#,
                r#""occupants":0,"global_score":81,"global_level":"good","dominant":"pm25"}"#,
            )
        );
    }

    #[test]
    fn only_a_late_measurement_says_so() {
        let json = String::from_utf8(measurement(&stored(true))).unwrap();
        assert!(json.ends_with(r#","late":true}"#));
    }
}

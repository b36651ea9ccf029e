//! A reading as it was sent: nothing judged, and nothing lost that could be taken.

use crate::domain::{Extras, Quantity};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// One JSON value of a reading, told apart by its kind only.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum RawField<'a> {
    /// Not there, or `null`, which counts the same.
    #[default]
    Absent,
    Text(Cow<'a, str>),
    /// The digits as sent; they may be out of range for a float.
    Number(&'a str),
    /// An array, an object or a boolean.
    Other,
}

/// Most keys that `values` and `units` can have: every quantity and the extra keys that are kept. One
/// more is kept of an object, which tells that it has too many; the rest takes no memory.
pub const KEYS_MAX: usize = Quantity::COUNT + Extras::KEYS_MAX;
/// Longest text whose escapes are undone. It is longer than any name, key or number, whatever of it is
/// escaped, so a longer one is refused as it is and takes no memory besides the body.
const ESCAPED_BYTES_MAX: usize = 4 * 1024;

/// Keys and values of an object, in the order sent, duplicates included, at most [`KEYS_MAX`] and one.
pub(super) type Entries<'a> = Vec<(Cow<'a, str>, RawField<'a>)>;

/// A reading as it came: fields of whatever kind, keys in the order sent.
///
/// Fields it does not know are ignored.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RawReading<'a> {
    pub sensor_id: RawField<'a>,
    pub enseigne: RawField<'a>,
    pub salle: RawField<'a>,
    pub timestamp: RawField<'a>,
    /// Entries of `values`; `None` when the field is absent or not an object.
    pub values: Option<Entries<'a>>,
    /// Entries of `units`.
    pub units: Entries<'a>,
    /// Known fields that were given more than once, or are not the object they should be; each once.
    pub faults: Vec<ShapeFault>,
}

/// What is wrong with the shape of a known field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShapeFault {
    Duplicate(&'static str),
    NotAnObject(&'static str),
}

impl RawReading<'_> {
    fn note(&mut self, fault: ShapeFault) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawField<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        Ok(match text.as_bytes() {
            [b'"', ..] => Self::Text(unquote(text).map_err(serde::de::Error::custom)?),
            [b'n', ..] => Self::Absent,
            [b'-' | b'0'..=b'9', ..] => Self::Number(text),
            _ => Self::Other,
        })
    }
}

/// The text of a JSON string, borrowed when it has no escapes or is too long for anything.
fn unquote(json: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    match json.get(1..json.len().saturating_sub(1)) {
        Some(inner) if inner.len() > ESCAPED_BYTES_MAX || !inner.contains('\\') => {
            Ok(Cow::Borrowed(inner))
        }
        _ => serde_json::from_str(json).map(Cow::Owned),
    }
}

struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Raw: the parser would copy a long key with an escape into a buffer of its own.
        let json = <&RawValue>::deserialize(deserializer)?.get();
        unquote(json).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The entries of an object, in order and with duplicates; `None` for `null`.
///
/// Taken from raw JSON so that any other kind is a fault of the field, not of the whole body.
fn entries<'a>(json: &'a RawValue) -> Result<Option<Entries<'a>>, NotAnObject> {
    struct Object<'a>(Entries<'a>);
    impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct EntriesVisitor;
            impl<'de> Visitor<'de> for EntriesVisitor {
                type Value = Object<'de>;
                fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                    out.write_str("an object")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    let mut entries = Vec::with_capacity(8);
                    while entries.len() <= KEYS_MAX {
                        let Some(Key(key)) = map.next_key()? else {
                            return Ok(Object(entries));
                        };
                        entries.push((key, map.next_value()?));
                    }
                    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                    Ok(Object(entries))
                }
            }
            deserializer.deserialize_map(EntriesVisitor)
        }
    }
    match json.get().as_bytes() {
        [b'{', ..] => match serde_json::from_str::<Object<'a>>(json.get()) {
            Ok(Object(entries)) => Ok(Some(entries)),
            Err(_) => Err(NotAnObject),
        },
        [b'n', ..] => Ok(None),
        _ => Err(NotAnObject),
    }
}

struct NotAnObject;

impl<'de: 'a, 'a> Deserialize<'de> for RawReading<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadingVisitor)
    }
}

struct ReadingVisitor;

impl<'de> Visitor<'de> for ReadingVisitor {
    type Value = RawReading<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a reading object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut raw = RawReading::default();
        let mut seen = Vec::with_capacity(FIELDS.len());
        while let Some(Key(key)) = map.next_key()? {
            let Some(field) = FIELDS.into_iter().find(|field| *field == key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if seen.contains(&field) {
                raw.note(ShapeFault::Duplicate(field));
            } else {
                seen.push(field);
            }
            match field {
                SENSOR_ID => raw.sensor_id = map.next_value()?,
                ENSEIGNE => raw.enseigne = map.next_value()?,
                SALLE => raw.salle = map.next_value()?,
                TIMESTAMP => raw.timestamp = map.next_value()?,
                _ => match entries(map.next_value()?) {
                    Ok(entries) if field == VALUES => raw.values = entries,
                    Ok(entries) => raw.units = entries.unwrap_or_default(),
                    Err(NotAnObject) => raw.note(ShapeFault::NotAnObject(field)),
                },
            }
        }
        Ok(raw)
    }
}

const SENSOR_ID: &str = "sensor_id";
const ENSEIGNE: &str = "enseigne";
const SALLE: &str = "salle";
const TIMESTAMP: &str = "timestamp";
const VALUES: &str = "values";
const UNITS: &str = "units";
const FIELDS: [&str; 6] = [SENSOR_ID, ENSEIGNE, SALLE, TIMESTAMP, VALUES, UNITS];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> RawReading<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn fields_are_told_apart_by_kind() {
        let raw = parse(
            r#"{"sensor_id":"a\u0041","timestamp":17,"salle":null,"enseigne":["x"],
               "values":{"CO2":645,"PM25":"12.5","TVOC":null,"x":true,"big":1e999},"other":{}}"#,
        );
        assert_eq!(raw.sensor_id, RawField::Text("aA".into()));
        assert_eq!(raw.timestamp, RawField::Number("17"));
        assert_eq!(raw.salle, RawField::Absent);
        assert_eq!(raw.enseigne, RawField::Other);
        let kinds: Vec<_> = raw
            .values
            .unwrap()
            .into_iter()
            .map(|(_, field)| field)
            .collect();
        assert_eq!(
            kinds,
            [
                RawField::Number("645"),
                RawField::Text("12.5".into()),
                RawField::Absent,
                RawField::Other,
                RawField::Number("1e999"),
            ]
        );
    }

    #[test]
    fn text_without_escapes_is_borrowed() {
        let RawField::Text(text) = parse(r#"{"sensor_id":"bureau1"}"#).sensor_id else {
            panic!("not text");
        };
        assert!(matches!(text, Cow::Borrowed("bureau1")));
    }

    #[test]
    fn duplicate_fields_and_wrong_kinds_are_remembered() {
        assert_eq!(
            parse(r#"{"salle":"a","salle":"b","salle":"c","values":[1],"units":3,"units":4}"#)
                .faults,
            [
                ShapeFault::Duplicate("salle"),
                ShapeFault::NotAnObject("values"),
                ShapeFault::NotAnObject("units"),
                ShapeFault::Duplicate("units")
            ]
        );
    }

    #[test]
    fn keys_are_unescaped_and_those_of_long_ones_borrowed() {
        let long = format!(r"\n{}", "k".repeat(ESCAPED_BYTES_MAX));
        let json = format!(r#"{{"values":{{"C\u004f2":1,"{long}":"{long}"}}}}"#);
        let values = parse(&json).values.unwrap();
        let (key, _) = &values[0];
        assert_eq!(key, "CO2");
        let (key, RawField::Text(text)) = &values[1] else {
            panic!("not text");
        };
        assert!(matches!((key, text), (Cow::Borrowed(_), Cow::Borrowed(_))));
    }

    #[test]
    fn of_too_many_keys_one_too_many_is_kept() {
        let many: Vec<_> = (0..1000)
            .map(|number| format!(r#""k{number}":1"#))
            .collect();
        let json = format!(r#"{{"values":{{{}}},"salle":"after"}}"#, many.join(","));
        let raw = parse(&json);
        assert_eq!(raw.values.unwrap().len(), KEYS_MAX + 1);
        assert_eq!(raw.salle, RawField::Text("after".into()));
    }

    #[test]
    fn duplicate_value_keys_are_all_kept_for_validation_to_see() {
        let raw = parse(r#"{"values":{"CO2":1,"co2":2,"CO2":3}}"#);
        assert_eq!(raw.values.unwrap().len(), 3);
    }
}

//! A reading as it was sent: nothing judged, and nothing lost that could be taken.

use super::text::{replaced, unquote};
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
    /// A text with half of a surrogate pair, such as `\ud83d` alone, which is no character.
    LoneSurrogate,
    /// Of whatever kind, under a key with half of a surrogate pair.
    UnderLoneSurrogate,
    /// The digits as sent; they may be out of range for a float.
    Number(&'a str),
    /// An array, an object or a boolean.
    Other,
}

/// Keys of `values` and `units` that are read, whatever they are: as many as every quantity and the
/// extra keys that are kept. Behind them quantities are, and the rest takes no memory.
pub const KEYS_MAX: usize = Quantity::COUNT + Extras::KEYS_MAX;
/// Most entries kept: with so many quantities behind the first keys, one of them is there twice.
const ENTRIES_MAX: usize = KEYS_MAX + Quantity::COUNT + 1;

/// Keys and values of an object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Entries<'a> {
    /// In the order sent, duplicates included: the first [`KEYS_MAX`], and the quantities behind them.
    pub read: Vec<(Cow<'a, str>, RawField<'a>)>,
    /// How many there are besides.
    pub unread: usize,
}

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
    /// Entries of `units`; none when the field is absent or not an object.
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
            [b'"', ..] => unquote(text).map_or(Self::LoneSurrogate, Self::Text),
            [b'n', ..] => Self::Absent,
            [b'-' | b'0'..=b'9', ..] => Self::Number(text),
            _ => Self::Other,
        })
    }
}

struct Key<'a> {
    text: Cow<'a, str>,
    has_lone_surrogate: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Raw: the parser would copy a long key with an escape into a buffer of its own.
        let json = <&RawValue>::deserialize(deserializer)?.get();
        let text = unquote(json);
        Ok(Self {
            has_lone_surrogate: text.is_none(),
            text: text.unwrap_or_else(|| replaced(json).into()),
        })
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
                    let mut entries = Entries {
                        read: Vec::with_capacity(8),
                        unread: 0,
                    };
                    while let Some(key) = map.next_key()? {
                        if entries.takes(&key) {
                            let (text, field) = entry(key, map.next_value()?);
                            entries.read.push((text, field));
                        } else {
                            map.next_value::<IgnoredAny>()?;
                            entries.unread += 1;
                        }
                    }
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

impl Entries<'_> {
    fn takes(&self, key: &Key<'_>) -> bool {
        let count = self.read.len();
        count < KEYS_MAX || (count < ENTRIES_MAX && Quantity::from_key(&key.text).is_some())
    }
}

fn entry<'a>(key: Key<'a>, field: RawField<'a>) -> (Cow<'a, str>, RawField<'a>) {
    if key.has_lone_surrogate {
        (key.text, RawField::UnderLoneSurrogate)
    } else {
        (key.text, field)
    }
}

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
        while let Some(Key { text: key, .. }) = map.next_key()? {
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
            .read
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
    fn keys_are_unescaped() {
        let values = parse(r#"{"values":{"C\u004f2":1}}"#).values.unwrap();
        assert_eq!(values.read[0].0, "CO2");
    }

    #[test]
    fn half_a_surrogate_pair_spoils_the_field_it_is_in() {
        let raw = parse(
            r#"{"salle":"a\ud83d","\ud83d":1,"enseigne":"\ud83d\ude00",
               "values":{"a\udc00":1,"CO2":"\ud83d","PM25":2}}"#,
        );
        assert_eq!(raw.salle, RawField::LoneSurrogate);
        assert_eq!(raw.enseigne, RawField::Text("\u{1f600}".into()));
        assert_eq!(
            raw.values.unwrap().read,
            [
                ("a\u{fffd}".into(), RawField::UnderLoneSurrogate),
                ("CO2".into(), RawField::LoneSurrogate),
                ("PM25".into(), RawField::Number("2")),
            ]
        );
    }

    #[test]
    fn of_too_many_keys_the_first_and_the_quantities_are_kept() {
        let many = |count: usize| {
            let keys: Vec<_> = (0..count)
                .map(|number| format!(r#""k{number}":1"#))
                .collect();
            keys.join(",")
        };
        let json = format!(
            r#"{{"values":{{{},"CO2":645,"x":1}},"salle":"after"}}"#,
            many(1000)
        );
        let raw = parse(&json);
        let values = raw.values.unwrap();
        assert_eq!((values.read.len(), values.unread), (KEYS_MAX + 1, 951));
        assert_eq!(
            values.read[KEYS_MAX],
            ("CO2".into(), RawField::Number("645"))
        );
        assert_eq!(raw.salle, RawField::Text("after".into()));

        let twice = vec![r#""CO2":1"#; 1000].join(",");
        let json = format!(r#"{{"values":{{{twice}}}}}"#);
        let values = parse(&json).values.unwrap();
        assert_eq!(
            (values.read.len(), values.unread),
            (ENTRIES_MAX, 1000 - ENTRIES_MAX)
        );
    }

    #[test]
    fn duplicate_value_keys_are_all_kept_for_validation_to_see() {
        let raw = parse(r#"{"values":{"CO2":1,"co2":2,"CO2":3}}"#);
        assert_eq!(raw.values.unwrap().read.len(), 3);
    }
}

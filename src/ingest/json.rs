//! JSON bodies: one reading, an array of readings, or one reading a line.

use super::{RawField, RawReading};
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// One element of a batch: a reading, or why it is none.
#[derive(Debug)]
pub enum RawItem<'a> {
    Reading(RawReading<'a>),
    /// Valid JSON of another kind than an object.
    NotAnObject,
    /// A line that is not JSON.
    NotJson(String),
}

/// The elements of a batch in the order sent.
pub type RawBatch<'a> = Vec<RawItem<'a>>;

impl RawItem<'_> {
    /// Whether it is a reading that says nothing of when it was taken.
    pub fn has_no_time(&self) -> bool {
        matches!(self, Self::Reading(reading) if reading.timestamp == RawField::Absent)
    }
}

/// Why a body as a whole cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    #[error("{0}")]
    NotJson(#[from] serde_json::Error),
    #[error("the batch has more than {readings_max} readings")]
    TooMany { readings_max: usize },
}

/// Reads a single reading object.
pub fn parse_one(bytes: &[u8]) -> Result<RawItem<'_>, BatchError> {
    let json: &RawValue = serde_json::from_slice(bytes)?;
    Ok(item(json))
}

/// Reads an array of readings. An element that is no reading spoils only itself.
pub fn parse_array(bytes: &[u8], readings_max: usize) -> Result<RawBatch<'_>, BatchError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let batch = deserializer.deserialize_seq(ArrayVisitor { readings_max })?;
    if batch.len() > readings_max {
        return Err(BatchError::TooMany { readings_max });
    }
    deserializer.end()?;
    Ok(batch)
}

/// Reads newline-delimited JSON. Blank lines are skipped; a bad line spoils only itself.
pub fn parse_lines(bytes: &[u8], readings_max: usize) -> Result<RawBatch<'_>, BatchError> {
    let mut batch = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if line.is_empty() {
            continue;
        }
        if batch.len() == readings_max {
            return Err(BatchError::TooMany { readings_max });
        }
        batch.push(match serde_json::from_slice::<&RawValue>(line) {
            Ok(json) => item(json),
            Err(error) => RawItem::NotJson(error.to_string()),
        });
    }
    Ok(batch)
}

fn item(json: &RawValue) -> RawItem<'_> {
    match serde_json::from_str(json.get()) {
        Ok(reading) => RawItem::Reading(reading),
        Err(_) => RawItem::NotAnObject,
    }
}

struct ArrayVisitor {
    readings_max: usize,
}

impl<'de> Visitor<'de> for ArrayVisitor {
    type Value = RawBatch<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array of readings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut batch = Vec::new();
        // One more than allowed is enough to know that there are too many.
        while batch.len() <= self.readings_max {
            match elements.next_element::<&RawValue>()? {
                Some(json) => batch.push(item(json)),
                None => break,
            }
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::RawField;

    fn kinds(batch: &RawBatch<'_>) -> Vec<&'static str> {
        batch
            .iter()
            .map(|item| match item {
                RawItem::Reading(_) => "reading",
                RawItem::NotAnObject => "not an object",
                RawItem::NotJson(_) => "not json",
            })
            .collect()
    }

    #[test]
    fn an_element_that_is_no_reading_spoils_only_itself() {
        let batch = parse_array(br#" [{"sensor_id":"a"}, 3, {"sensor_id":"b"}] "#, 10).unwrap();
        assert_eq!(kinds(&batch), ["reading", "not an object", "reading"]);
    }

    #[test]
    fn lines_are_read_one_by_one() {
        let batch = parse_lines(b"{\"sensor_id\":\"a\"}\r\n\n{oops\n[]\n{}", 10).unwrap();
        assert_eq!(
            kinds(&batch),
            ["reading", "not json", "not an object", "reading"]
        );
        let RawItem::Reading(first) = &batch[0] else {
            panic!("no reading")
        };
        assert_eq!(first.sensor_id, RawField::Text("a".into()));
    }

    #[test]
    fn more_readings_than_allowed_are_refused_in_both_forms() {
        assert_eq!(parse_array(b"[{},{}]", 2).unwrap().len(), 2);
        assert!(matches!(
            parse_array(b"[{},{},{}]", 2),
            Err(BatchError::TooMany { .. })
        ));
        assert_eq!(parse_lines(b"{}\n{}\n", 2).unwrap().len(), 2);
        assert!(matches!(
            parse_lines(b"{}\n{}\n{}", 2),
            Err(BatchError::TooMany { .. })
        ));
    }

    #[test]
    fn broken_json_and_trailing_text_are_errors() {
        assert!(parse_array(b"[{}", 10).is_err());
        assert!(parse_array(b"[{}] x", 10).is_err());
        assert!(parse_one(b"{} {}").is_err());
        assert!(parse_one(b"{\"values\":{\"CO2\":NaN}}").is_err());
    }
}

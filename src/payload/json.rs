//! JSON bodies: one reading, an array of readings, or one reading a line.

use super::{BatchError, Format, RawItem};
use crate::fault::FieldError;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// One JSON object.
#[derive(Debug, Clone, Copy)]
pub struct JsonObject;

/// A JSON array of objects.
#[derive(Debug, Clone, Copy)]
pub struct JsonArray;

/// One JSON object a line.
#[derive(Debug, Clone, Copy)]
pub struct JsonLines;

impl Format for JsonObject {
    fn read<'a>(
        &self,
        bytes: &'a [u8],
        _: usize,
        take: &mut dyn FnMut(RawItem<'a>),
    ) -> Result<(), BatchError> {
        take(parse_one(bytes)?);
        Ok(())
    }
}

impl Format for JsonArray {
    fn read<'a>(
        &self,
        bytes: &'a [u8],
        readings_max: usize,
        take: &mut dyn FnMut(RawItem<'a>),
    ) -> Result<(), BatchError> {
        parse_array(bytes, readings_max, take)
    }
}

impl Format for JsonLines {
    fn read<'a>(
        &self,
        bytes: &'a [u8],
        readings_max: usize,
        take: &mut dyn FnMut(RawItem<'a>),
    ) -> Result<(), BatchError> {
        parse_lines(bytes, readings_max, take)
    }
}

/// Code of what is not JSON.
const NOT_JSON: &str = "not_json";

#[expect(clippy::needless_pass_by_value, reason = "it maps an error")]
fn not_json(error: serde_json::Error) -> BatchError {
    BatchError::Unreadable {
        code: NOT_JSON,
        detail: format!("the body is not JSON: {error}"),
    }
}

/// Reads a single reading object.
pub fn parse_one(bytes: &[u8]) -> Result<RawItem<'_>, BatchError> {
    let json: &RawValue = serde_json::from_slice(bytes).map_err(not_json)?;
    Ok(item(json))
}

/// Reads an array of readings and hands over one after the other, so that only one of them is in
/// memory. An element that is no reading spoils only itself.
pub fn parse_array<'a>(
    bytes: &'a [u8],
    readings_max: usize,
    take: impl FnMut(RawItem<'a>),
) -> Result<(), BatchError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let mut has_too_many = false;
    let read = deserializer.deserialize_seq(ArrayVisitor {
        readings_max,
        take,
        has_too_many: &mut has_too_many,
    });
    if has_too_many {
        return Err(BatchError::TooMany { readings_max });
    }
    read.map_err(not_json)?;
    deserializer.end().map_err(not_json)?;
    Ok(())
}

/// Reads newline-delimited JSON and hands over one reading after the other. Blank lines are skipped;
/// a bad line spoils only itself.
pub fn parse_lines<'a>(
    bytes: &'a [u8],
    readings_max: usize,
    mut take: impl FnMut(RawItem<'a>),
) -> Result<(), BatchError> {
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    for (index, line) in lines.filter(|line| !line.is_empty()).enumerate() {
        if index == readings_max {
            return Err(BatchError::TooMany { readings_max });
        }
        take(match serde_json::from_slice::<&RawValue>(line) {
            Ok(json) => item(json),
            Err(error) => RawItem::Fault(FieldError::new("", NOT_JSON, error.to_string())),
        });
    }
    Ok(())
}

fn item(json: &RawValue) -> RawItem<'_> {
    match serde_json::from_str(json.get()) {
        Ok(reading) => RawItem::Reading(reading),
        Err(_) => RawItem::Fault(FieldError::new(
            "",
            "not_an_object",
            "must be a JSON object",
        )),
    }
}

struct ArrayVisitor<'b, F> {
    readings_max: usize,
    take: F,
    /// Set when an element comes after the last that is allowed.
    has_too_many: &'b mut bool,
}

impl<'de, F: FnMut(RawItem<'de>)> Visitor<'de> for ArrayVisitor<'_, F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array of readings")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let mut count = 0;
        while let Some(json) = elements.next_element::<&RawValue>()? {
            if count == self.readings_max {
                *self.has_too_many = true;
                // What follows is not read: the caller answers by the mark alone.
                return Err(A::Error::custom("too many"));
            }
            count += 1;
            (self.take)(item(json));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::RawField;

    fn array(bytes: &[u8], readings_max: usize) -> Result<Vec<RawItem<'_>>, BatchError> {
        let mut batch = Vec::new();
        parse_array(bytes, readings_max, |item| batch.push(item)).map(|()| batch)
    }

    fn lines(bytes: &[u8], readings_max: usize) -> Result<Vec<RawItem<'_>>, BatchError> {
        let mut batch = Vec::new();
        parse_lines(bytes, readings_max, |item| batch.push(item)).map(|()| batch)
    }

    fn kinds(batch: &[RawItem<'_>]) -> Vec<&'static str> {
        batch
            .iter()
            .map(|item| match item {
                RawItem::Reading(_) => "reading",
                RawItem::Fault(fault) => fault.code,
            })
            .collect()
    }

    #[test]
    fn an_element_that_is_no_reading_spoils_only_itself() {
        let batch = array(br#" [{"sensor_id":"a"}, 3, {"sensor_id":"b"}] "#, 10).unwrap();
        assert_eq!(kinds(&batch), ["reading", "not_an_object", "reading"]);
    }

    #[test]
    fn lines_are_read_one_by_one() {
        let batch = lines(b"{\"sensor_id\":\"a\"}\r\n\n{oops\n[]\n{}", 10).unwrap();
        assert_eq!(
            kinds(&batch),
            ["reading", "not_json", "not_an_object", "reading"]
        );
        let RawItem::Reading(first) = &batch[0] else {
            panic!("no reading")
        };
        assert_eq!(first.sensor_id, RawField::Text("a".into()));
    }

    #[test]
    fn more_readings_than_allowed_are_refused_in_both_forms() {
        assert_eq!(array(b"[{},{}]", 2).unwrap().len(), 2);
        assert!(matches!(
            array(b"[{},{},{}]", 2),
            Err(BatchError::TooMany { .. })
        ));
        assert!(matches!(
            array(b"[{},{},{},{}, not read", 2),
            Err(BatchError::TooMany { .. })
        ));
        assert_eq!(lines(b"{}\n{}\n", 2).unwrap().len(), 2);
        assert!(matches!(
            lines(b"{}\n{}\n{}", 2),
            Err(BatchError::TooMany { .. })
        ));
    }

    #[test]
    fn broken_json_and_trailing_text_are_errors() {
        assert!(array(b"[{}", 10).is_err());
        assert!(array(b"[{}] x", 10).is_err());
        assert!(parse_one(b"{} {}").is_err());
        assert!(parse_one(b"{\"values\":{\"CO2\":NaN}}").is_err());
    }
}

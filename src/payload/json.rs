//! JSON bodies: one reading, an array of readings, or one reading a line.

use super::mend::{mend, trimmed_mut};
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
    fn read(
        &self,
        bytes: &mut [u8],
        _: usize,
        take: &mut dyn FnMut(RawItem<'_>),
    ) -> Result<(), BatchError> {
        take_one(trimmed_mut(bytes), take).map_err(not_json)
    }
}

impl Format for JsonArray {
    fn read(
        &self,
        bytes: &mut [u8],
        readings_max: usize,
        take: &mut dyn FnMut(RawItem<'_>),
    ) -> Result<(), BatchError> {
        let bytes = trimmed_mut(bytes);
        let mut taken = 0;
        let read = read_array(bytes, readings_max, |item| {
            taken += 1;
            take(item);
        });
        match read {
            Err(BatchError::Unreadable { .. }) if mend(bytes) => {
                // Those before the first that was mended are taken already.
                let mut index = 0;
                read_array(bytes, readings_max, |item| {
                    index += 1;
                    if index > taken {
                        take(item);
                    }
                })
            }
            read => read,
        }
    }
}

impl Format for JsonLines {
    /// Blank lines are skipped; a bad line spoils only itself.
    fn read(
        &self,
        bytes: &mut [u8],
        readings_max: usize,
        take: &mut dyn FnMut(RawItem<'_>),
    ) -> Result<(), BatchError> {
        let lines = bytes.split_mut(|byte| *byte == b'\n').map(trimmed_mut);
        for (index, line) in lines.filter(|line| !line.is_empty()).enumerate() {
            if index == readings_max {
                return Err(BatchError::TooMany { readings_max });
            }
            if let Err(error) = take_one(line, take) {
                take(RawItem::Fault(FieldError::new(
                    "",
                    NOT_JSON,
                    error.to_string(),
                )));
            }
        }
        Ok(())
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

/// Hands over the reading that the bytes are. Only when they are not JSON is it looked whether they can
/// be made that, so that it costs nobody else anything.
fn take_one(bytes: &mut [u8], take: &mut dyn FnMut(RawItem<'_>)) -> Result<(), serde_json::Error> {
    match serde_json::from_slice(bytes) {
        Ok(json) => {
            take(item(json));
            return Ok(());
        }
        Err(error) => {
            if !mend(bytes) {
                return Err(error);
            }
        }
    }
    take(item(serde_json::from_slice(bytes)?));
    Ok(())
}

/// Reads an array of readings and hands over one after the other, so that only one of them is in
/// memory. An element that is no reading spoils only itself.
fn read_array<'a>(
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

    /// What a format makes of a body: the code of each fault, and the id in each reading.
    fn read(
        format: &dyn Format,
        bytes: &[u8],
        readings_max: usize,
    ) -> Result<Vec<String>, BatchError> {
        let mut read = Vec::new();
        let mut take = |item: RawItem<'_>| {
            read.push(match item {
                RawItem::Reading(reading) => match reading.sensor_id {
                    RawField::Text(id) => id.into_owned(),
                    field => format!("{field:?}"),
                },
                RawItem::Fault(fault) => fault.code.to_owned(),
            });
        };
        format.read(&mut bytes.to_vec(), readings_max, &mut take)?;
        Ok(read)
    }

    fn array(bytes: &[u8], readings_max: usize) -> Result<Vec<String>, BatchError> {
        read(&JsonArray, bytes, readings_max)
    }

    fn lines(bytes: &[u8], readings_max: usize) -> Result<Vec<String>, BatchError> {
        read(&JsonLines, bytes, readings_max)
    }

    #[test]
    fn an_element_that_is_no_reading_spoils_only_itself() {
        let batch = array(br#" [{"sensor_id":"a"}, 3, {"sensor_id":"b"}] "#, 10).unwrap();
        assert_eq!(batch, ["a", "not_an_object", "b"]);
    }

    #[test]
    fn lines_are_read_one_by_one() {
        let batch = lines(b"{\"sensor_id\":\"a\"}\r\n\n{oops\n[]\n{}", 10).unwrap();
        assert_eq!(batch, ["a", "not_json", "not_an_object", "Absent"]);
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
        assert!(array(b"[{}] [NaN]", 10).is_err());
        assert!(read(&JsonObject, b"{} {}", 1).is_err());
        assert!(read(&JsonObject, b"NaN", 1).is_err());
    }

    #[test]
    fn marks_around_a_body_and_around_lines_are_no_part_of_them() {
        let one = b"\xef\xbb\xbf{\"sensor_id\":\"a\"}\0";
        assert_eq!(read(&JsonObject, one, 1).unwrap(), ["a"]);
        let of_array = b"\xef\xbb\xbf[{\"sensor_id\":\"a\"}]\0\n";
        assert_eq!(array(of_array, 10).unwrap(), ["a"]);
        let of_lines = [&one[..], b"\r\n", one, b"\n\0\n\xef\xbb\xbf"].concat();
        assert_eq!(lines(&of_lines, 10).unwrap(), ["a", "a"]);
    }

    #[test]
    fn a_bare_word_costs_the_others_nothing_and_nobody_is_handed_over_twice() {
        let reading =
            |id: &str, value: &str| format!(r#"{{"sensor_id":"{id}","values":{{"CO2":{value}}}}}"#);
        let all = [
            reading("a", "1"),
            reading("b", "NaN"),
            reading("c", "2"),
            reading("d", "-Infinity"),
        ];
        let body = format!("[{}]", all.join(","));
        assert_eq!(array(body.as_bytes(), 4).unwrap(), ["a", "b", "c", "d"]);
        assert!(matches!(
            array(body.as_bytes(), 3),
            Err(BatchError::TooMany { .. })
        ));
        assert!(array(body.replace("2}", "2").as_bytes(), 4).is_err());
        let body = all.join("\n");
        assert_eq!(lines(body.as_bytes(), 4).unwrap(), ["a", "b", "c", "d"]);
        assert_eq!(read(&JsonObject, all[1].as_bytes(), 1).unwrap(), ["b"]);
    }
}

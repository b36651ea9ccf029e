//! What is wrong with what was sent: a fault of one field, or all faults of one reading.

use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// Most faults that are told of one reading, or of one body of another kind.
pub const FAULTS_MAX: usize = 20;

/// Code of a reading that may not be written by whoever sent it.
pub const FORBIDDEN: &str = "forbidden";
/// Code of one whose id is taken by a sensor of a site that its sender has nothing to do with: ids are
/// one namespace for all sites.
pub const OTHER_SENSOR: &str = "other_sensor";

/// Code of one of a sensor of which what is stored cannot be read.
pub const SENSOR_UNREADABLE: &str = "sensor_unreadable";

/// Whether a reading with a fault of this code may be valid, but is not its sender's to write.
pub fn is_not_to_write(code: &str) -> bool {
    matches!(code, FORBIDDEN | OTHER_SENSOR)
}

/// Codes that a reading is refused by, as they are told and counted.
pub const READING_CODES: [&str; 28] = [
    "required",
    "not_text",
    "not_an_object",
    "not_json",
    "duplicate_key",
    "too_many_keys",
    "bad_key",
    "bad_sensor_id",
    "bad_name",
    "bad_timestamp",
    "timestamp_in_future",
    "timestamp_too_old",
    "no_values",
    "not_a_number",
    "lone_surrogate",
    "out_of_range",
    "unknown_unit",
    "too_many_sensors",
    "too_many_rooms",
    "too_many_sensors_of_key",
    "too_many_rooms_of_key",
    "too_many_sensors_of_site",
    "too_many_rooms_of_site",
    "too_many_rooms_of_sensor",
    "pinned",
    FORBIDDEN,
    OTHER_SENSOR,
    SENSOR_UNREADABLE,
];

/// Everything wrong with one reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// The sensor it claims to be from, when that much could be read.
    pub sensor_id: Option<String>,
    pub errors: Vec<FieldError>,
}

impl Rejection {
    pub fn of(error: FieldError) -> Self {
        Self {
            sensor_id: None,
            errors: vec![error],
        }
    }

    /// Code of its first fault, by which refusals are counted.
    pub fn code(&self) -> &'static str {
        self.errors.first().map_or("refused", |error| error.code)
    }

    /// Least number of bytes it takes to tell.
    pub fn told_bytes(&self) -> usize {
        let errors = self.errors.iter();
        let texts = errors.map(|error| error.pointer.len() + error.code.len() + error.detail.len());
        texts.sum::<usize>() + self.sensor_id.as_ref().map_or(0, String::len)
    }
}

/// The values of a reading that are left out, while the others are taken.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ignored {
    /// What is wrong with the first of them.
    pub told: Vec<FieldError>,
    /// How many there are.
    pub total: usize,
}

/// One fault of one field, as it is sent to the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) from the reading to the field; empty for the reading itself.
    #[schema(value_type = String)]
    pub pointer: Cow<'static, str>,
    /// Stable name of the fault.
    pub code: &'static str,
    /// What is expected, for people.
    #[schema(value_type = String)]
    pub detail: Cow<'static, str>,
}

impl FieldError {
    pub fn new(
        pointer: impl Into<Cow<'static, str>>,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            pointer: pointer.into(),
            code,
            detail: detail.into(),
        }
    }
}

/// Longest key repeated in an answer: a sender's mistake must not be echoed at any size.
const KEY_CHARACTERS_SHOWN: usize = 64;

pub(crate) fn shortened(key: &str) -> Cow<'_, str> {
    match key.char_indices().nth(KEY_CHARACTERS_SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", key.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(key),
    }
}

/// `parent` followed by `key`, escaped as RFC 6901 says.
pub(crate) fn pointer(parent: &str, key: &str) -> String {
    format!(
        "{parent}{}",
        shortened(key).replace('~', "~0").replace('/', "~1")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_escaped_and_shortened() {
        assert_eq!(pointer("/values/", "a/b~c"), "/values/a~1b~0c");
        assert_eq!(
            pointer("/values/", &"é".repeat(70)),
            format!("/values/{}…", "é".repeat(64))
        );
    }
}

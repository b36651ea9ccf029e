//! Readings as they are sent, and what is answered, as the API document shows them.
//!
//! Readings are read by `payload`, which tells every fault and loses no good value, and the answer to a
//! batch is written by `answer` without a copy: so all but [`OneTaken`] only describe.

use crate::domain::{Level, Timestamp};
use crate::fault::FieldError;
use crate::pipeline::Notes;
use crate::validate::TvocUnit;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What a sensor measured at one moment.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes")]
#[schema(example = json!({"sensor_id": "bureau1", "enseigne": "Home", "salle": "Office",
    "values": {"CO2": 645, "PM25": 12, "TVOC": 40, "Temperature": 22.3, "Humidity": 45}}))]
pub(super) struct Reading {
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    sensor_id: String,
    /// Site. May be left out for a sensor the server knows.
    #[schema(min_length = 1, max_length = 128)]
    enseigne: Option<String>,
    /// Room. May be left out for a sensor the server knows.
    #[schema(min_length = 1, max_length = 128)]
    salle: Option<String>,
    /// The time of receipt when it is left out.
    timestamp: Option<Time>,
    /// Numbers by quantity, such as `CO2`, `PM25`, `TVOC`, `Temperature`, `Humidity`; `null` and the
    /// texts `""`, `"-"`, `"nan"` and `"NA"` in any case count as absent.
    values: BTreeMap<String, Option<Value>>,
    /// Units of values that come in others than the usual ones.
    units: Option<BTreeMap<String, String>>,
}

/// RFC 3339 with an offset, or a number of seconds, milliseconds, microseconds or nanoseconds since
/// 1970: its size says which.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes")]
#[serde(untagged)]
enum Time {
    Text(Timestamp),
    Number(f64),
}

/// A number, which may come as text.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes")]
#[serde(untagged)]
enum Value {
    Number(f64),
    Text(String),
}

/// One reading, or several.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes")]
#[serde(untagged)]
pub(super) enum ReadingOrReadings {
    One(Reading),
    Several(Vec<Reading>),
}

/// What became of one reading.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OneTaken<'a> {
    pub(super) status: Status,
    pub(super) message: &'static str,
    pub(super) sensor_id: &'a str,
    pub(super) timestamp: Timestamp,
    #[schema(minimum = 0, maximum = 100, required = true)]
    pub(super) global_score: Option<u8>,
    #[schema(required = true)]
    pub(super) global_level: Option<Level>,
    /// The same was stored before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub(super) duplicate: bool,
    /// It was merged into one of the same sensor and moment.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub(super) updated: bool,
    /// The first of the values that were left out of it, when there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 20)]
    pub(super) ignored: Vec<&'a FieldError>,
    /// How many values were left out, when there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ignored_total: Option<usize>,
    /// What the reading does not say and was taken to be so, when there is anything.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    pub(super) assumed: &'a [Assumed],
}

/// Whether everything was taken, or something was refused or left out.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Success,
    Partial,
}

impl Status {
    pub(super) fn of(everything_is_taken: bool) -> Self {
        if everything_is_taken {
            Self::Success
        } else {
            Self::Partial
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Partial => "partial",
        }
    }
}

/// A value left out of a reading that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ignored<'a> {
    /// The place of its reading among those sent.
    index: usize,
    /// JSON pointer (RFC 6901) from the reading to the field.
    pointer: &'a str,
    /// Stable name of the fault.
    code: &'static str,
    /// What is expected, for people.
    detail: &'a str,
}

impl<'a> Ignored<'a> {
    pub(super) fn of(index: usize, error: &'a FieldError) -> Self {
        Self {
            index,
            pointer: &error.pointer,
            code: error.code,
            detail: &error.detail,
        }
    }
}

/// What readings do not say and was taken to be so.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Assumed {
    /// JSON pointer (RFC 6901) from a reading to the field that would say it.
    pointer: &'static str,
    /// Stable name of the assumption.
    code: &'static str,
    /// What was assumed, for people.
    detail: String,
    /// How many readings it was assumed of.
    readings: usize,
}

impl Assumed {
    pub(super) fn of(notes: &Notes, tvoc_unit: TvocUnit) -> Vec<Self> {
        let readings = notes.tvoc_units_assumed;
        let tvoc = (readings > 0).then(|| Self {
            pointer: "/units/TVOC",
            code: "unit_assumed",
            detail: format!(
                "TVOC came without its unit and was taken as {}",
                tvoc_unit.name()
            ),
            readings,
        });
        tvoc.into_iter().collect()
    }
}

/// What became of several readings: the counts, with `rejected_total`, add up to those sent.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes")]
pub(super) struct BatchTaken<'a> {
    status: Status,
    accepted: u64,
    duplicates: u64,
    updated: u64,
    /// The first of those that were not taken; fewer when the answer would be larger than 256 KiB.
    #[schema(max_items = 100)]
    rejected: Vec<Rejected<'a>>,
    /// How many were not taken, when there are any.
    rejected_total: Option<u64>,
    /// How many were not taken, by the code of the first fault of each, when there are any.
    rejected_by_code: Option<BTreeMap<String, u64>>,
    /// The first of the values left out of readings that were taken, when there are any; fewer when the
    /// answer would be larger than 256 KiB.
    #[schema(max_items = 100)]
    ignored: Option<Vec<Ignored<'a>>>,
    /// How many values were left out, when there are any.
    ignored_total: Option<u64>,
    /// What readings do not say and was taken to be so, when there is anything.
    assumed: Option<Vec<Assumed>>,
}

/// A reading that was not taken.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rejected<'a> {
    /// Its place among those sent.
    pub(super) index: usize,
    #[schema(required = true)]
    pub(super) sensor_id: Option<&'a str>,
    #[schema(max_items = 20)]
    pub(super) errors: &'a [FieldError],
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes")]
#[serde(untagged)]
pub(super) enum OneOrBatch<'a> {
    One(OneTaken<'a>),
    Batch(BatchTaken<'a>),
}

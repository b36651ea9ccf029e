//! Readings as they are sent, and what is answered, as the API document shows them.
//!
//! Readings are read by `payload`, which tells every fault and loses no good value, and the answer to a
//! batch is written by `answer` without a copy: so all but [`Taken`] only describe.

use crate::domain::{Level, Timestamp};
use crate::fault::FieldError;
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
    /// RFC 3339; the time of receipt when it is left out.
    timestamp: Option<Timestamp>,
    /// Numbers by quantity, such as `CO2`, `PM25`, `TVOC`, `Temperature`, `Humidity`; `null` counts as
    /// absent.
    values: BTreeMap<String, Option<Value>>,
    /// Units of values that come in others than the usual ones.
    units: Option<BTreeMap<String, String>>,
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
pub(super) struct Taken<'a> {
    pub(super) status: Success,
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
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Success {
    Success,
}

/// What became of several readings: the counts, with `rejected_total`, add up to those sent.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes")]
pub(super) struct BatchTaken<'a> {
    status: BatchStatus,
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
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes")]
#[schema(rename_all = "lowercase")]
enum BatchStatus {
    Success,
    Partial,
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
    One(Taken<'a>),
    Batch(BatchTaken<'a>),
}

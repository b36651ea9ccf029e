//! Readings in, and records out.

use super::FieldError;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What a sensor measured at one moment.
#[derive(ToSchema)]
#[schema(example = json!({"sensor_id": "bureau1", "enseigne": "Home", "salle": "Office",
    "values": {"CO2": 645, "PM25": 12, "TVOC": 40, "Temperature": 22.3, "Humidity": 45}}))]
pub(in crate::server::openapi) struct Reading {
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    sensor_id: String,
    /// Site. May be left out for a sensor the server knows.
    #[schema(min_length = 1, max_length = 128)]
    enseigne: Option<String>,
    /// Room. May be left out for a sensor the server knows.
    #[schema(min_length = 1, max_length = 128)]
    salle: Option<String>,
    /// RFC 3339; the time of receipt when it is left out.
    #[schema(format = DateTime)]
    timestamp: Option<String>,
    /// Numbers by quantity, such as `CO2`, `PM25`, `TVOC`, `Temperature`, `Humidity`; `null` counts as
    /// absent.
    values: BTreeMap<String, Option<Value>>,
    /// Units of values that come in others than the usual ones.
    units: Option<BTreeMap<String, String>>,
}

/// A number, which may come as text.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::server::openapi) enum Value {
    Number(f64),
    Text(String),
}

/// One reading, or several.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::server::openapi) enum ReadingOrReadings {
    One(Reading),
    Several(Vec<Reading>),
}

/// What became of one reading.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct Taken {
    status: Success,
    message: String,
    sensor_id: String,
    #[schema(format = DateTime)]
    timestamp: String,
    #[schema(minimum = 0, maximum = 100, required = true)]
    global_score: Option<u8>,
    #[schema(required = true)]
    global_level: Option<Level>,
    /// The same was stored before.
    duplicate: Option<bool>,
    /// It was merged into one of the same sensor and moment.
    updated: Option<bool>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::server::openapi) enum Success {
    Success,
}

/// What became of several readings: the counts, with `rejected_total`, add up to those sent.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct BatchTaken {
    status: BatchStatus,
    accepted: u64,
    duplicates: u64,
    updated: u64,
    /// The first of those that were not taken; fewer when the answer would be larger than 256 KiB.
    #[schema(max_items = 100)]
    rejected: Vec<Rejected>,
    /// How many were not taken, when there are any.
    rejected_total: Option<u64>,
    /// How many were not taken, by the code of the first fault of each, when there are any.
    rejected_by_code: Option<BTreeMap<String, u64>>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::server::openapi) enum BatchStatus {
    Success,
    Partial,
}

/// A reading that was not taken.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct Rejected {
    /// Its place among those sent.
    index: u64,
    #[schema(required = true)]
    sensor_id: Option<String>,
    #[schema(max_items = 20)]
    errors: Vec<FieldError>,
}

#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::server::openapi) enum OneOrBatch {
    One(Taken),
    Batch(BatchTaken),
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::server::openapi) enum Level {
    Excellent,
    Good,
    Moderate,
    Poor,
    VeryPoor,
}

/// A reading, or the mean of several. Further quantities have a member of their own.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct Record {
    #[schema(format = DateTime)]
    timestamp: String,
    sensor_id: String,
    enseigne: String,
    salle: String,
    /// ppm
    #[schema(required = true)]
    co2: Option<f64>,
    /// µg/m³
    #[schema(required = true)]
    pm25: Option<f64>,
    /// ppb
    #[schema(required = true)]
    tvoc: Option<f64>,
    /// °C
    #[schema(required = true)]
    temperature: Option<f64>,
    /// % RH
    #[schema(required = true)]
    humidity: Option<f64>,
    /// People; 0 when nobody counted.
    occupants: f64,
    /// Values of no known quantity.
    extra: Option<BTreeMap<String, f64>>,
    #[schema(minimum = 0, maximum = 100, required = true)]
    global_score: Option<f64>,
    #[schema(required = true)]
    global_level: Option<Level>,
}

/// A sensor's latest reading, and why its score is what it is.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct Latest {
    #[schema(inline)]
    #[serde(flatten)]
    record: Record,
    #[schema(inline)]
    #[serde(flatten)]
    explanation: Explanation,
    /// The unit of TVOC was not sent but taken for granted.
    tvoc_unit_assumed: Option<bool>,
}

/// Why a score is what it is.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct Explanation {
    profile: Profile,
    /// The pollutant that costs the most.
    #[schema(required = true)]
    dominant: Option<String>,
    /// For each quantity its score, value, unit, averaging time and the source of the limit.
    sub_scores: BTreeMap<String, SubScore>,
    /// Quantities that would make it complete.
    missing: Vec<String>,
    #[schema(minimum = 0, maximum = 1)]
    coverage: f64,
    confidence: Confidence,
}

#[derive(ToSchema)]
pub(in crate::server::openapi) struct SubScore {
    #[schema(minimum = 0, maximum = 100)]
    score: f64,
    value: f64,
    unit: String,
    averaging: String,
    source: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::server::openapi) enum Profile {
    Iaqverse,
    Classic,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::server::openapi) enum Confidence {
    High,
    Medium,
    Low,
}

/// What is known of a sensor.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct Sensor {
    sensor_id: String,
    enseigne: String,
    salle: String,
    #[schema(format = DateTime)]
    first_seen: String,
    #[schema(format = DateTime)]
    last_seen: String,
    /// Smoothed time between readings in seconds; `null` until there are two.
    #[schema(required = true)]
    expected_period_s: Option<f64>,
    state: SensorState,
    reading_count: u64,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::server::openapi) enum SensorState {
    Online,
    Late,
    Offline,
}

/// A site and its rooms.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct Site {
    enseigne: String,
    salles: Vec<Room>,
}

/// A room as it is now: averages over the window of each pollutant.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct Room {
    salle: String,
    #[schema(minimum = 0, maximum = 100, required = true)]
    global_score: Option<f64>,
    #[schema(required = true)]
    global_level: Option<Level>,
    #[schema(inline)]
    #[serde(flatten)]
    explanation: Explanation,
    #[schema(format = DateTime)]
    timestamp: String,
    /// Every sensor of the room is offline.
    stale: bool,
    sensors: Vec<String>,
}

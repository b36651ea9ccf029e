//! Readings in and out.

use super::shapes::Problem;
use super::shapes::readings::{
    BatchTaken, Latest, OneOrBatch, ReadingOrReadings, Record, Sensor, Site,
};

/// Takes readings
///
/// One object, an array, or lines of JSON, up to 10 000 readings. A 2xx means that they are durable.
/// Of those refused the first 100 are told, in up to 256 KiB; when there are any, `rejected_total` and
/// `rejected_by_code` count all of them, also in the problem of a batch of which none was taken.
#[utoipa::path(post, path = "/api/ingest", tag = "readings",
    params(("Content-Encoding" = Option<String>, Header, description = "gzip, deflate or zstd")),
    request_body(content(
        (ReadingOrReadings = "application/json"),
        (String = "application/x-ndjson"),
    )),
    responses(
        (status = 200, description = "All taken", body = OneOrBatch),
        (status = 207, description = "Some of a batch taken", body = BatchTaken),
        (status = 422, description = "None taken", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn ingest() {}

/// Readings of the past
///
/// As they were, as means, or as points to draw; ascending, of any length.
#[utoipa::path(get, path = "/api/iaq/data", tag = "readings",
    params(
        ("enseigne" = Option<String>, Query, description = "Site"),
        ("salle" = Option<String>, Query, description = "Room"),
        ("sensor_id" = Option<String>, Query, description = "Sensor"),
        ("start" = Option<String>, Query, description = "RFC 3339, inclusive"),
        ("end" = Option<String>, Query, description = "RFC 3339, exclusive"),
        ("hours" = Option<f64>, Query, minimum = 0.001, maximum = 1_000_000,
            description = "Hours before the end; 24"),
        ("step" = Option<String>, Query, description = "5min, 15min, 1h, daily, weekly, or a number \
            with s, min, h or d; 1min stands for single readings"),
        ("raw" = Option<bool>, Query, description = "Single readings, whatever step says"),
        ("points" = Option<u32>, Query, minimum = 2, maximum = 10_000,
            description = "At most so many of each sensor, to draw"),
        ("minmax" = Option<bool>, Query, description = "With extremes"),
        ("limit" = Option<u64>, Query, minimum = 1, description = "The first so many"),
        ("profile" = Option<String>, Query, description = "Score: iaqverse or classic"),
        ("format" = Option<String>, Query, description = "json, csv or ndjson; else Accept decides"),
    ),
    responses(
        (status = 200, description = "Records", content(
            (Vec<Record> = "application/json"),
            (String = "text/csv"),
            (String = "application/x-ndjson"),
        )),
        (status = 422, description = "A parameter cannot be read", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn history() {}

/// The latest reading of each sensor
#[utoipa::path(get, path = "/api/latest", tag = "readings",
    params(
        ("enseigne" = Option<String>, Query, description = "Site"),
        ("salle" = Option<String>, Query, description = "Room"),
        ("since" = Option<String>, Query, description = "RFC 3339; only newer ones"),
        ("profile" = Option<String>, Query, description = "Score: iaqverse or classic"),
        ("If-None-Match" = Option<String>, Header, description = "ETag of the answer one has"),
    ),
    responses(
        (status = 200, description = "By site, room and sensor", body = Vec<Latest>,
            headers(("ETag" = String, description = "Changes with the readings"))),
        (status = 304, description = "Nothing has changed"),
        (status = 422, description = "A parameter cannot be read", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn latest() {}

/// All sensors
#[utoipa::path(get, path = "/api/sensors", tag = "readings",
    responses((status = 200, description = "By id", body = Vec<Sensor>)))]
pub(super) fn sensors() {}

/// One sensor
#[utoipa::path(get, path = "/api/sensors/{id}", tag = "readings",
    params(("id" = String, Path, description = "Id of the sensor")),
    responses(
        (status = 200, description = "The sensor", body = Sensor),
        (status = 404, description = "There is none", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn sensor() {}

/// Sites and their rooms as they are now
#[utoipa::path(get, path = "/api/rooms", tag = "readings",
    params(("profile" = Option<String>, Query, description = "Score: iaqverse or classic")),
    responses(
        (status = 200, description = "By site and room", body = Vec<Site>),
        (status = 422, description = "A parameter cannot be read", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn rooms() {}

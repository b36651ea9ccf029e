//! `GET /api/iaq/data`: readings of the past, as they were or as means.

use super::parameters::Parameters;
use super::record::Record;
use super::slices::Slices;
use super::unavailable;
use crate::domain::{Place, SensorId, Timestamp};
use crate::http::{Problem, Services};
use crate::score::Profile;
use crate::store::{Bucket, Directory, HistoryQuery, HistoryRow, RoomKey, SensorKey, StoreError};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::Duration;
use validator::Validate;

/// Hours shown when nothing else is asked for.
const HOURS_DEFAULT: f64 = 24.0;

#[derive(Debug, Validate)]
struct Wanted {
    site: Option<String>,
    room: Option<String>,
    sensor: Option<String>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    #[validate(range(min = 0.001, max = 1_000_000.0, message = "must be 0.001 to 1000000"))]
    hours: Option<f64>,
    #[validate(range(min = 1, message = "must be at least 1"))]
    limit: Option<u64>,
    bucket: Option<Bucket>,
    profile: Profile,
}

/// A bare array, ascending by time. It is written as it is read, so its length has no bound.
pub async fn history(
    request: HttpRequest,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    let wanted = wanted(&request, services.profile)?;
    let end = wanted.end.unwrap_or_else(|| {
        // What came this very millisecond, or from a clock a little ahead, is history too.
        services.clock.now().plus(crate::validate::CLOCK_AHEAD_MAX)
    });
    let start = wanted.start.unwrap_or_else(|| {
        let hours = wanted.hours.unwrap_or(HOURS_DEFAULT);
        let until = wanted.end.unwrap_or_else(|| services.clock.now());
        until.minus(Duration::from_secs_f64(hours * 3600.0))
    });
    let found = services
        .store
        .directory(|directory| find(directory, &wanted));
    let mut slices = Slices::new(
        services.store.clone(),
        found.query,
        start,
        end,
        found.rows_per_ms,
    );
    // Fetched before the answer begins, so that a store that fails is told by the status.
    let first = slices.next().await.map_err(|error| unavailable(&error))?;
    let writer = ArrayWriter {
        names: found.names,
        profile: wanted.profile,
        rows_left: wanted.limit.unwrap_or(u64::MAX),
        begun: false,
    };
    let body = stream::unfold(
        Stage::Rows {
            slices,
            writer,
            rows: first,
        },
        Stage::next,
    );
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(body))
}

fn wanted(request: &HttpRequest, profile: Profile) -> Result<Wanted, Problem> {
    let mut parameters = Parameters::of(request);
    parameters.refuse("format", &["json"]);
    parameters.refuse("points", &[]);
    parameters.refuse("minmax", &["false"]);
    let raw = matches!(parameters.text("raw"), Some("true" | "1"));
    let step = parameters.text("step").and_then(step);
    if parameters.text("step").is_some() && step.is_none() {
        parameters.fault(
            "step",
            "bad_step",
            "must be 1min, 5min, 15min, 1h, daily, weekly or a number with s, min, h or d",
        );
    }
    let wanted = Wanted {
        site: parameters.text("enseigne").map(str::to_owned),
        room: parameters.text("salle").map(str::to_owned),
        sensor: parameters.text("sensor_id").map(str::to_owned),
        start: parameters.timestamp("start"),
        end: parameters.timestamp("end"),
        hours: parameters.number("hours"),
        limit: parameters.number("limit"),
        bucket: match step {
            Some(Step::Mean(bucket)) if !raw => Some(bucket),
            _ => None,
        },
        profile: parameters.profile(profile),
    };
    parameters.finish(wanted)
}

/// How readings are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Not at all.
    Raw,
    Mean(Bucket),
}

/// Monday 1970-01-05T00:00:00Z: weeks begin here, everything else at the epoch.
const FIRST_MONDAY_MS: i64 = 4 * DAY_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const SECOND_MS: i64 = 1000;
/// Longest step, ten years: beyond it a bucket has no meaning.
const STEP_MS_MAX: i64 = 3660 * DAY_MS;

/// What a step asks for; `None` when it is no step.
fn step(text: &str) -> Option<Step> {
    let of = |width_ms, origin_ms| {
        Some(Step::Mean(Bucket {
            width_ms,
            origin_ms,
        }))
    };
    match text {
        // Deployed pages mean single readings by it.
        "1min" => return Some(Step::Raw),
        "daily" => return of(DAY_MS, 0),
        "weekly" => return of(7 * DAY_MS, FIRST_MONDAY_MS),
        _ => {}
    }
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (count, unit) = text.split_at_checked(digits)?;
    let unit_ms = match unit {
        "s" => SECOND_MS,
        "min" => MINUTE_MS,
        "h" => HOUR_MS,
        "d" => DAY_MS,
        _ => return None,
    };
    let width_ms = count.parse::<i64>().ok()?.checked_mul(unit_ms)?;
    (1..=STEP_MS_MAX)
        .contains(&width_ms)
        .then(|| of(width_ms, 0))
        .flatten()
}

/// What the directory says about a query.
struct Found {
    query: HistoryQuery,
    names: Names,
    rows_per_ms: f64,
}

/// Names of the sensors and rooms that rows can refer to.
#[derive(Default)]
struct Names {
    sensors: FxHashMap<SensorKey, SensorId>,
    rooms: FxHashMap<RoomKey, Arc<Place>>,
}

/// Rows a millisecond of a sensor that has shown no rhythm yet.
const RATE_UNKNOWN: f64 = 1.0 / 60_000.0;

fn find(directory: &Directory, wanted: &Wanted) -> Found {
    let is =
        |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    let mut names = Names::default();
    for (key, place) in directory.rooms() {
        if is(&wanted.site, place.site.as_str()) && is(&wanted.room, place.room.as_str()) {
            names.rooms.insert(key, Arc::clone(place));
        }
    }
    let mut query = HistoryQuery {
        bucket: wanted.bucket,
        ..HistoryQuery::default()
    };
    let mut rows_per_ms = 0.0;
    let only = wanted.sensor.as_deref().map(|id| directory.sensor_key(id));
    for sensor in directory.sensors() {
        let asked_for = only.is_none_or(|key| key == Some(sensor.key));
        if asked_for
            && sensor
                .rooms
                .iter()
                .any(|room| names.rooms.contains_key(room))
        {
            query.sensors.push(sensor.key);
            names
                .sensors
                .insert(sensor.key, sensor.latest.scored.reading.sensor.clone());
            rows_per_ms += match (wanted.bucket, sensor.period_ms) {
                #[expect(clippy::cast_precision_loss, reason = "an estimate")]
                (Some(bucket), _) => 1.0 / bucket.width_ms as f64,
                (None, Some(period_ms)) => 1.0 / period_ms.max(1.0),
                (None, None) => RATE_UNKNOWN,
            };
        }
    }
    query.sensors.sort();
    if wanted.site.is_some() || wanted.room.is_some() {
        query.rooms = Some(names.rooms.keys().copied().collect());
    }
    Found {
        query,
        names,
        rows_per_ms,
    }
}

/// Where the writing of an answer is.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and it is moved rarely"
)]
enum Stage {
    Rows {
        slices: Slices,
        writer: ArrayWriter,
        rows: Option<Vec<HistoryRow>>,
    },
    End,
}

impl Stage {
    async fn next(self) -> Option<(Result<Bytes, StoreError>, Self)> {
        let Self::Rows {
            mut slices,
            mut writer,
            rows,
        } = self
        else {
            return None;
        };
        let rows = match rows {
            Some(rows) => Ok(Some(rows)),
            None => slices.next().await,
        };
        match rows {
            Ok(Some(rows)) if writer.rows_left > 0 => {
                let piece = writer.write(&rows);
                Some((
                    Ok(piece),
                    Self::Rows {
                        slices,
                        writer,
                        rows: None,
                    },
                ))
            }
            Ok(_) => Some((Ok(writer.end()), Self::End)),
            Err(error) => {
                // The status is sent; only breaking off can tell the client that rows are missing.
                tracing::error!(%error, "a history broke off");
                Some((Err(error), Self::End))
            }
        }
    }
}

/// Writes rows as the elements of one JSON array.
struct ArrayWriter {
    names: Names,
    profile: Profile,
    rows_left: u64,
    begun: bool,
}

impl ArrayWriter {
    fn write(&mut self, rows: &[HistoryRow]) -> Bytes {
        let mut json = Vec::with_capacity(rows.len() * 256);
        for row in rows {
            let (Some(sensor), Some(place)) = (
                self.names.sensors.get(&row.sensor),
                self.names.rooms.get(&row.room),
            ) else {
                // The sensor came to this room after the question was asked.
                continue;
            };
            if self.rows_left == 0 {
                break;
            }
            self.rows_left -= 1;
            json.push(if self.begun { b',' } else { b'[' });
            self.begun = true;
            let record = Record {
                timestamp: row.observed_at,
                sensor,
                place,
                values: &row.values,
                extras: &row.extras,
                assessment: self.profile.assess(&row.values),
            };
            // Serialising texts and finite numbers into memory cannot fail.
            serde_json::to_writer(&mut json, &record).unwrap_or_default();
        }
        json.into()
    }

    fn end(&mut self) -> Bytes {
        Bytes::from_static(if self.begun { b"]" } else { b"[]" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("5min", Some((5 * MINUTE_MS, 0)))]
    #[case("90s", Some((90 * SECOND_MS, 0)))]
    #[case("2d", Some((2 * DAY_MS, 0)))]
    #[case("daily", Some((DAY_MS, 0)))]
    #[case("weekly", Some((7 * DAY_MS, FIRST_MONDAY_MS)))]
    #[case("1min", None)]
    fn steps_are_buckets(#[case] text: &str, #[case] bucket: Option<(i64, i64)>) {
        let expected = bucket.map_or(Step::Raw, |(width_ms, origin_ms)| {
            Step::Mean(Bucket {
                width_ms,
                origin_ms,
            })
        });
        assert_eq!(step(text), Some(expected));
    }

    #[rstest]
    fn other_texts_are_no_steps(
        #[values(
            "",
            "min",
            "0s",
            "5",
            "5 min",
            "-1h",
            "5weeks",
            "99999d",
            "99999999999999999h"
        )]
        text: &str,
    ) {
        assert_eq!(step(text), None);
    }

    #[test]
    fn weeks_begin_on_monday() {
        let Some(Step::Mean(bucket)) = step("weekly") else {
            panic!("not a mean")
        };
        let start = bucket.start(Timestamp::parse("2025-11-19T10:05:00Z").unwrap());
        assert_eq!(start.to_string(), "2025-11-17T00:00:00Z");
    }
}

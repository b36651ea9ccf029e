//! `POST /api/ingest`.

use super::answer::Counts;
use super::shapes::{Assumed, BatchTaken, OneOrBatch, OneTaken, ReadingOrReadings, Status};
use crate::access::{Call, Caller, CountedAs, Need, call};
use crate::fault::{FORBIDDEN, SENSOR_UNREADABLE, is_not_to_write};
use crate::http::{BodyReader, ConnectionGuard, Problem, media_type};
use crate::payload::{self, BatchError, Format, JsonArray, JsonLines, JsonObject};
use crate::pipeline::{Notes, Pipeline, PipelineError, Taken};
use crate::shutdown::Shutdown;
use crate::store::{AppendError, Became, Outcome};
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use std::rc::Rc;

/// When a device may try again to send a reading without a time.
const CLOCK_WAIT_S: u32 = 10;

pub(crate) fn calls() -> Vec<Call> {
    vec![call!(Need::Writing, ingest)]
}

/// Takes readings
///
/// One object, an array, or lines of JSON, up to 10 000 readings. A 2xx means that they are durable.
/// A value that is out of range or no number is left out and told in `ignored`, and the others of its
/// reading are stored; the `status` is `partial` then. A reading of which nothing is left is refused.
/// Of those refused the first 100 are told, in up to 256 KiB; when there are any, `rejected_total` and
/// `rejected_by_code` count all of them, also in the problem of a batch of which none was taken.
#[utoipa::path(post, path = "/api/ingest", tag = "readings",
    params(("Content-Encoding" = Option<String>, Header, description = "gzip, deflate or zstd")),
    request_body(content(
        (ReadingOrReadings = "application/json"),
        (String = "application/x-ndjson"),
    )),
    responses(
        (status = 200, description = "All taken, if not with every value", body = OneOrBatch),
        (status = 207, description = "Some of a batch taken", body = BatchTaken),
        (status = 409, description = "What is stored of the sensor cannot be read"),
        (status = 422, description = "None taken"),
    ))]
async fn ingest(
    caller: Caller,
    counted_as: CountedAs,
    request: HttpRequest,
    payload: web::Payload,
    pipeline: web::Data<Pipeline>,
    bodies: web::Data<BodyReader>,
    shutdown: web::Data<Shutdown>,
) -> Result<HttpResponse, Problem> {
    if let Some(connection) = request.conn_data::<Rc<ConnectionGuard>>() {
        connection.keep(|| pipeline.queue.sender());
    }
    let media = media(request.headers())?;
    if shutdown.has_begun() {
        return Err(refusal(AppendError::Closed).closing());
    }
    let body = bodies.read(request.headers(), payload).await?;
    let is_one = media == Media::Json && !begins_array(body.bytes());
    let format: &dyn Format = match media {
        Media::Lines => &JsonLines,
        Media::Json if is_one => &JsonObject,
        Media::Json => &JsonArray,
    };
    let Taken { outcomes, notes } = pipeline
        .take(&caller, counted_as.0, body, format)
        .await
        .map_err(|error| match error {
            PipelineError::Append(error) => refusal(error),
            PipelineError::Body(error) => unreadable(&error),
            PipelineError::Aborted => Problem::internal(),
            PipelineError::ClockNotSet => clock_not_set(),
            PipelineError::Limited(limited) => limited.into(),
        })?;
    log_refusals(&outcomes);
    log_ignored(&notes);
    let assumed = Assumed::of(&notes, pipeline.tvoc_unit);
    if is_one {
        one(&outcomes, &notes, &assumed)
    } else {
        batch(outcomes, notes, assumed)
    }
}

/// What a body is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    /// One object, or an array of them.
    Json,
    /// An object a line.
    Lines,
}

fn media(headers: &HeaderMap) -> Result<Media, Problem> {
    match media_type(headers).as_deref() {
        None | Some("application/json" | "text/json") => Ok(Media::Json),
        Some("application/x-ndjson" | "application/ndjson" | "application/jsonl") => {
            Ok(Media::Lines)
        }
        Some(_) => {
            let detail = "send application/json or application/x-ndjson";
            Err(Problem::unsupported_media_type(detail).closing())
        }
    }
}

fn begins_array(body: &[u8]) -> bool {
    payload::trimmed(body).starts_with(b"[")
}

fn unreadable(error: &BatchError) -> Problem {
    match error {
        BatchError::Unreadable { code, detail } => Problem::bad_request(code, detail.clone()),
        BatchError::TooMany { readings_max } => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "batch_too_large",
            "Too many readings",
            format!("one request may have {readings_max} readings"),
        ),
    }
}

fn refusal(error: AppendError) -> Problem {
    match error {
        AppendError::Busy => {
            Problem::unavailable("queue_full", "too many readings wait to be written")
        }
        AppendError::Closed => Problem::unavailable("stopping", "the server is stopping"),
        AppendError::Failed => Problem::unavailable(
            "store_unavailable",
            "the readings could not be stored; sending them again is harmless",
        ),
    }
}

/// Nothing is taken of the request, so repeating it is all a device has to do.
fn clock_not_set() -> Problem {
    Problem {
        retry_after_s: Some(CLOCK_WAIT_S),
        ..Problem::unavailable(
            "clock_not_set",
            "the clock of the server is not set, so readings need a timestamp of their own",
        )
    }
}

fn forbidden() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        FORBIDDEN,
        "Forbidden",
        "readings of these sensors may not be written with these credentials",
    )
}

/// Nothing is wrong with what was sent.
fn sensor_unreadable() -> Problem {
    Problem::conflict(
        SENSOR_UNREADABLE,
        "what is stored of these sensors cannot be read, so nothing is added to it",
    )
}

/// One line for each refused reading that is told, for whoever looks after the sender, and one for the
/// others.
fn log_refusals(outcomes: &[Outcome]) {
    let mut counted = 0;
    for outcome in outcomes {
        match outcome {
            Outcome::Refused(rejection) => tracing::debug!(
                sensor_id = rejection.sensor_id.as_deref().unwrap_or_default(),
                errors = ?rejection.errors,
                "reading refused"
            ),
            Outcome::Counted(_) => counted += 1,
            _ => {}
        }
    }
    if counted > 0 {
        tracing::debug!(counted, "more readings refused");
    }
}

/// One line for what was left out of readings that were taken.
fn log_ignored(notes: &Notes) {
    if notes.ignored_total > 0 {
        let (total, told) = (notes.ignored_total, &notes.ignored);
        tracing::debug!(total, ?told, "values left out");
    }
}

fn one(outcomes: &[Outcome], notes: &Notes, assumed: &[Assumed]) -> Result<HttpResponse, Problem> {
    const MERGED: &str = "reading merged with the stored one";
    const REPEATED: &str = "reading was already stored";
    let (scored, became) = match outcomes {
        [Outcome::Refused(rejection)] if is_not_to_write(rejection.code()) => {
            return Err(Problem {
                errors: rejection.errors.clone(),
                ..forbidden()
            });
        }
        [Outcome::Refused(rejection)] if rejection.code() == SENSOR_UNREADABLE => {
            return Err(Problem {
                errors: rejection.errors.clone(),
                ..sensor_unreadable()
            });
        }
        [Outcome::Refused(rejection)] => {
            return Err(Problem::invalid(
                "reading_rejected",
                "Reading rejected",
                rejection.errors.clone(),
            ));
        }
        [outcome] => outcome.taken().ok_or_else(Problem::internal)?,
        _ => return Err(Problem::internal()),
    };
    let (message, duplicate, updated) = match became {
        Became::New => ("reading stored", false, false),
        Became::Changed => (MERGED, false, true),
        Became::Same => (REPEATED, true, false),
    };
    let ignored = notes.ignored.iter().map(|(_, error)| error);
    Ok(HttpResponse::Ok().json(OneTaken {
        status: Status::of(notes.ignored_total == 0),
        message,
        sensor_id: scored.reading.sensor.as_str(),
        timestamp: scored.reading.observed_at,
        global_score: scored.assessment.shown(),
        global_level: scored.assessment.level(),
        duplicate,
        updated,
        ignored: ignored.collect(),
        ignored_total: (notes.ignored_total > 0).then_some(notes.ignored_total),
        assumed,
    }))
}

fn batch(
    outcomes: Vec<Outcome>,
    notes: Notes,
    assumed: Vec<Assumed>,
) -> Result<HttpResponse, Problem> {
    let counts = Counts::of(outcomes, notes, assumed);
    if counts.all_are_refused() {
        let problem = if counts.are_all_refused_as(is_not_to_write) {
            forbidden()
        } else if counts.are_all_refused_as(|code| code == SENSOR_UNREADABLE) {
            sensor_unreadable()
        } else {
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "batch_rejected",
                "All readings rejected",
                "see rejected for what is wrong with each",
            )
        };
        return Err(Problem {
            members: counts.members(),
            ..problem
        });
    }
    let mut response = if counts.none_is_refused() {
        HttpResponse::Ok()
    } else {
        HttpResponse::MultiStatus()
    };
    let status = Status::of(counts.none_is_refused() && counts.nothing_is_ignored());
    let answer = format!(r#"{{"status":"{}",{}}}"#, status.as_str(), counts.members());
    Ok(response.content_type(ContentType::json()).body(answer))
}

//! `GET /api/iaq/data`: readings of the past, as they were, as means or as points to draw.

use super::Source;
use super::accept::accepted;
use super::body::{BODY_BYTES_MAX, Body, BodyError, TEXT_BYTES_MAX, Writing};
use super::parameters;
use super::rows::Order;
use super::sampling::{POINTS_MAX, POINTS_MIN, POINTS_TOTAL_MAX, Points, Sampling, SamplingError};
use super::scope::{First, Scope};
use super::shapes;
use super::slices::Slices;
use super::step::{Step, step};
use super::write::{Dialect, Format};
use crate::access::{Access, Call, Caller, CountedAs, Need, call};
use crate::domain::{Selector, TimeRange, Timestamp, Zone};
use crate::http::{Parameters, Problem};
use crate::read_budget::{ANSWER_TURN_WAIT_MAX, Owner, ReadBudget};
use crate::score::Profile;
use crate::store::Bucket;
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::convert::Infallible;
use std::time::Duration;
use validator::Validate;

/// Hours shown when nothing else is asked for.
const HOURS_DEFAULT: f64 = 24.0;

/// Bytes of rows that are read at once.
const SLICE_BYTES_WANTED: usize = 512 * 1024;
/// Bytes the name of a sensor or a room takes, as it is written, in each answer, about.
const NAME_BYTES: usize = 192;

/// As far as 64-bit integers go in other languages.
const LIMIT_MAX: u64 = i64::MAX.unsigned_abs();

#[derive(Debug, Validate)]
struct Wanted {
    selector: Selector,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    #[validate(range(min = 0.001, max = 1_000_000.0, message = "must be 0.001 to 1000000"))]
    hours: Option<f64>,
    #[validate(range(min = 1, max = LIMIT_MAX, message = "must be 1 to 9223372036854775807"))]
    limit: Option<u64>,
    bucket: Option<Bucket>,
    #[validate(range(min = POINTS_MIN, max = POINTS_MAX, message = "must be 2 to 10000"))]
    points: Option<u32>,
    minmax: bool,
    zone: Zone,
    format: Format,
    dialect: Dialect,
    profile: Profile,
}

pub(super) fn calls() -> Vec<Call> {
    vec![call!(Need::VIEWER, history)]
}

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
        ("tz" = Option<String>, Query, description = "Zone whose days steps of whole days are of, a name \
            of the IANA database, for example Europe/Paris; IAQ_TIMEZONE decides else"),
        ("raw" = Option<bool>, Query, description = "Single readings, whatever step says"),
        ("points" = Option<u32>, Query, minimum = 2, maximum = 10_000,
            description = "At most so many of each sensor, to draw: among them the first, the last, the \
            least and the greatest of every quantity"),
        ("minmax" = Option<bool>, Query, description = "With extremes"),
        ("limit" = Option<u64>, Query, minimum = 1, description = "The first so many"),
        ("profile" = Option<String>, Query, description = "Score: iaqverse or classic"),
        ("format" = Option<String>, Query, description = "json, csv or ndjson; else Accept decides"),
        ("delimiter" = Option<String>, Query, description = "Of CSV: , or ; or tab"),
        ("decimal" = Option<String>, Query, description = "Of CSV: . or , (not with the delimiter ,)"),
        ("bom" = Option<bool>, Query, description = "CSV begins with a byte order mark"),
    ),
    responses(
        (status = 200, description = "Records", content(
            (Vec<shapes::Record> = "application/json"),
            (String = "text/csv"),
            (String = "application/x-ndjson"),
        )),
        (status = 422, description = "A parameter cannot be read"),
    ))]
async fn history(
    caller: Caller,
    request: HttpRequest,
    counted_as: CountedAs,
    access: web::Data<Access>,
    source: web::Data<Source>,
) -> Result<HttpResponse, Problem> {
    let wanted = wanted(&request, &source)?;
    let time = wanted.time(source.clock.now());
    let is_of_rows = wanted.bucket.is_none() && wanted.points.is_none();
    let first = wanted.limit.filter(|_| is_of_rows).map(|limit| First {
        limit,
        time: time.starting_from(source.store.readings_from()),
    });
    let scope = source
        .store
        .directory(|directory| Scope::find(directory, &wanted.selector, caller.sites(), first));
    let reading = Reading {
        source: &source,
        scope: &scope,
        time,
        owner: counted_as.0,
    };
    if *request.method() == Method::HEAD {
        // Nothing is read of what nobody gets.
        return Ok(answer(&wanted).streaming(stream::pending::<Result<Bytes, Infallible>>()));
    }
    // Begun before the answer begins, so that a store that fails is told by the status.
    let body = match wanted.points {
        Some(points) => wanted.sampled(&reading, points).await?,
        None => wanted.whole(&reading).await?,
    };
    let body = body.begun(ANSWER_TURN_WAIT_MAX).await?;
    let mut response = answer(&wanted);
    let pieces = body.stream().map(move |piece| {
        // It may be read for hours; that its token ends meanwhile is no reason to break it off.
        if access.is_revoked(&caller) {
            return Err(BrokenOff::Revoked);
        }
        Ok(piece?)
    });
    Ok(response.streaming(pieces))
}

fn answer(wanted: &Wanted) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .content_type(wanted.format.content_type())
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::VARY, "Accept"));
    if wanted.format == Format::Csv {
        let name = "attachment; filename=\"iaqverse.csv\"";
        response.insert_header((header::CONTENT_DISPOSITION, name));
    }
    response
}

/// Why a history ends before its end.
#[derive(Debug, thiserror::Error)]
enum BrokenOff {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("whoever asked for it may have it no more")]
    Revoked,
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Store(error) => Self::store_unavailable(&error),
            BodyError::TooMuchRead(error) => error.into(),
        }
    }
}

impl From<SamplingError> for Problem {
    fn from(error: SamplingError) -> Self {
        match error {
            SamplingError::Store(error) => Self::store_unavailable(&error),
            SamplingError::TooMuchRead(error) => error.into(),
            SamplingError::StepTooShort => {
                let detail =
                    "gives too many means to choose points from: take a longer step, or none";
                Parameters::problem("step", "step_too_short", detail)
            }
        }
    }
}

/// What is read, and for whom.
struct Reading<'a> {
    source: &'a Source,
    scope: &'a Scope,
    time: TimeRange,
    owner: Owner,
}

impl Reading<'_> {
    fn budget(&self) -> &ReadBudget {
        &self.source.budget
    }

    /// The part of the time in which there can be rows.
    fn within(&self) -> TimeRange {
        self.scope.within(self.time)
    }

    /// The rows, from where there can be any.
    fn slices(&self, source: Option<Bucket>, time: TimeRange, limit: u64) -> Slices {
        let step_ms = source.as_ref().map_or(1, Bucket::usual_ms);
        Slices::new(
            self.source.store.clone(),
            self.scope.query.clone(),
            source,
            time,
            self.scope.rows_per_ms(step_ms),
            limit,
            SLICE_BYTES_WANTED,
        )
    }

    /// Bytes an answer keeps while it is sent, with `points` chosen.
    fn kept_bytes(&self, points: usize) -> usize {
        let names = &self.scope.names;
        let names = (names.sensors.len() + names.rooms.len()) * NAME_BYTES;
        BODY_BYTES_MAX + names + points.saturating_mul(size_of::<Order>())
    }
}

impl Wanted {
    /// The time that is asked for.
    fn time(&self, now: Timestamp) -> TimeRange {
        let end = self.end.unwrap_or_else(|| {
            // What came this very millisecond, or from a clock a little ahead, is history too.
            now.plus(crate::validate::CLOCK_AHEAD_MAX)
        });
        let start = self.start.unwrap_or_else(|| {
            let hours = self.hours.unwrap_or(HOURS_DEFAULT);
            let until = self.end.unwrap_or(now);
            until.minus(Duration::from_secs_f64(hours * 3600.0))
        });
        TimeRange::new(start, end)
    }

    /// The points to draw.
    async fn sampled(&self, reading: &Reading<'_>, points: u32) -> Result<Body, Problem> {
        let query = &reading.scope.query;
        let sensors = query.sensors.len();
        let total = sensors.saturating_mul(points as usize);
        if total > POINTS_TOTAL_MAX {
            let detail = format!(
                "{points} points of {sensors} sensors are more than {POINTS_TOTAL_MAX}: ask for \
                fewer points or fewer sensors"
            );
            return Err(Parameters::problem("points", "too_many_points", detail));
        }
        let (budget, owner) = (reading.budget(), reading.owner);
        let kept = budget.keep(owner, reading.kept_bytes(total), ANSWER_TURN_WAIT_MAX);
        let mut kept = kept.await?;
        let time = reading.within();
        let sampling = Sampling {
            store: &reading.source.store,
            query,
            time,
            points,
            step: self.bucket.clone(),
            minmax: self.minmax,
            zone: &self.zone,
            budget,
            owner,
            turn_wait_max: ANSWER_TURN_WAIT_MAX,
        };
        let Points {
            source,
            chosen,
            readings,
            rows,
        } = sampling.points().await?;
        let further = reading.slices(source, time, u64::MAX);
        let further = further.with_readings(readings);
        kept.shrink_to(reading.kept_bytes(chosen.len()) + further.kept_bytes());
        Ok(Body {
            rows,
            further: Some(further),
            writing: self.writing(reading.scope, Some(chosen)),
            text_bytes_max: TEXT_BYTES_MAX,
            share: Some((budget.clone(), owner)),
            kept: Some(kept),
        })
    }

    /// All there is.
    async fn whole(&self, reading: &Reading<'_>) -> Result<Body, Problem> {
        let (budget, owner) = (reading.budget(), reading.owner);
        let kept = budget.keep(reading.owner, reading.kept_bytes(0), ANSWER_TURN_WAIT_MAX);
        let kept = kept.await?;
        // Readings may still come behind the newest there is, but none is older than the oldest.
        let mut time = reading.time.starting_from(reading.within().start);
        if let Some(end) = reading.scope.end {
            time.end = time.end.min(end);
        }
        if reading.scope.query.sensors.is_empty() {
            time.end = time.start;
        }
        let limit = self.limit.unwrap_or(u64::MAX);
        Ok(Body {
            rows: None,
            further: Some(reading.slices(self.bucket.clone(), time, limit)),
            writing: self.writing(reading.scope, None),
            text_bytes_max: TEXT_BYTES_MAX,
            share: Some((budget.clone(), owner)),
            kept: Some(kept),
        })
    }

    fn writing(&self, scope: &Scope, chosen: Option<Vec<Order>>) -> Writing {
        Writing {
            writer: self.format.writer(&scope.names, self.minmax, self.dialect),
            profile: self.profile,
            lines_left: self.limit.unwrap_or(u64::MAX),
            chosen,
        }
    }
}

fn wanted(request: &HttpRequest, source: &Source) -> Result<Wanted, Problem> {
    let mut query = Parameters::of(request);
    let raw = query.flag("raw");
    let zone = parameters::zone(&mut query, &source.zone);
    let step = query.text("step").and_then(|text| step(text, &zone));
    if query.text("step").is_some() && step.is_none() {
        query.fault(
            "step",
            "bad_step",
            "must be 1min, 5min, 15min, 1h, daily, weekly or a number with s, min, h or d",
        );
    }
    let wanted = Wanted {
        selector: parameters::selector(&query),
        start: query.timestamp("start"),
        end: query.timestamp("end"),
        hours: query.number("hours"),
        limit: query.number("limit"),
        bucket: match step {
            Some(Step::Mean(bucket)) if !raw => Some(bucket),
            _ => None,
        },
        points: query.number("points"),
        minmax: query.flag("minmax"),
        zone,
        dialect: parameters::dialect(&mut query),
        format: parameters::format(&mut query).unwrap_or_else(|| {
            let accept = request.headers().get_all(header::ACCEPT);
            accepted(accept.filter_map(|value| value.to_str().ok()))
        }),
        profile: parameters::profile(&mut query, source.profile),
    };
    query.finish(wanted)
}

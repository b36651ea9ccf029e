//! `GET /api/iaq/data`: readings of the past, as they were, as means or as points to draw.

use super::accept::accepted;
use super::body::Body;
use super::parameters::Parameters;
use super::rows::Rows;
use super::sampling::{POINTS_MAX, POINTS_MIN, POINTS_TOTAL_MAX, Sampling};
use super::scope::{Filter, Scope};
use super::slices::Slices;
use super::step::{Step, step};
use super::write::Format;
use crate::access::Caller;
use crate::domain::Timestamp;
use crate::http::{Problem, Services};
use crate::score::Profile;
use crate::store::{Bucket, Store, StoreError};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use std::time::Duration;
use validator::Validate;

/// Hours shown when nothing else is asked for.
const HOURS_DEFAULT: f64 = 24.0;

/// As far as 64-bit integers go in other languages.
const LIMIT_MAX: u64 = i64::MAX.unsigned_abs();

#[derive(Debug, Validate)]
struct Wanted {
    filter: Filter,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    #[validate(range(min = 0.001, max = 1_000_000.0, message = "must be 0.001 to 1000000"))]
    hours: Option<f64>,
    #[validate(range(min = 1, max = LIMIT_MAX, message = "must be 1 to 9223372036854775807"))]
    limit: Option<u64>,
    bucket: Option<Bucket>,
    #[validate(range(min = POINTS_MIN, max = POINTS_MAX, message = "must be 2 to 100000"))]
    points: Option<u32>,
    minmax: bool,
    format: Format,
    profile: Profile,
}

/// Records ascending by time. They are written as they are read, so their number has no bound; only
/// those of `points` are all in memory.
pub async fn history(
    caller: Caller,
    request: HttpRequest,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    let wanted = wanted(&request, services.profile)?;
    let store = &services.store;
    let scope = store.directory(|directory| Scope::find(directory, &wanted.filter, caller.sites()));
    let (from, to) = wanted.time(services.clock.now());
    // Fetched before the answer begins, so that a store that fails is told by the status.
    let (rows, further) = match wanted.points {
        Some(points) => (wanted.sampled(store, &scope, points, from, to).await?, None),
        None => wanted.first_of_all(store, &scope, from, to).await?,
    };
    let body = Body {
        rows,
        further,
        writer: wanted.format.writer(&scope.names, wanted.minmax),
        profile: wanted.profile,
        lines_left: wanted.limit.unwrap_or(u64::MAX),
    };
    let mut response = HttpResponse::Ok();
    response
        .content_type(wanted.format.content_type())
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::VARY, "Accept"));
    if wanted.format == Format::Csv {
        let name = "attachment; filename=\"iaqverse.csv\"";
        response.insert_header((header::CONTENT_DISPOSITION, name));
    }
    let access = services.access.clone();
    let pieces = body.stream().map(move |piece| {
        // It may be read for hours; that its token ends meanwhile is no reason to break it off.
        if access.is_revoked(&caller) {
            return Err(BrokenOff::Revoked);
        }
        Ok(piece?)
    });
    Ok(response.streaming(pieces))
}

/// Why a history ends before its end.
#[derive(Debug, thiserror::Error)]
enum BrokenOff {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("whoever asked for it may have it no more")]
    Revoked,
}

impl Wanted {
    /// From when to when.
    fn time(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        let end = self.end.unwrap_or_else(|| {
            // What came this very millisecond, or from a clock a little ahead, is history too.
            now.plus(crate::validate::CLOCK_AHEAD_MAX)
        });
        let start = self.start.unwrap_or_else(|| {
            let hours = self.hours.unwrap_or(HOURS_DEFAULT);
            let until = self.end.unwrap_or(now);
            until.minus(Duration::from_secs_f64(hours * 3600.0))
        });
        (start, end)
    }

    /// The points to draw.
    async fn sampled(
        &self,
        store: &Store,
        scope: &Scope,
        points: u32,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Rows, Problem> {
        let sensors = scope.query.sensors.len();
        if sensors.saturating_mul(points as usize) > POINTS_TOTAL_MAX {
            let detail = format!(
                "{points} points of {sensors} sensors are more than {POINTS_TOTAL_MAX}: ask for \
                fewer points or fewer sensors"
            );
            return Err(Parameters::problem("points", "too_many_points", detail));
        }
        let (from, to) = scope.within(from, to);
        let sampling = Sampling {
            store,
            query: &scope.query,
            from,
            to,
            points,
            step: self.bucket,
        };
        let rows = sampling
            .rows()
            .await
            .map_err(|error| Problem::store_unavailable(&error))?;
        rows.ok_or_else(|| {
            let detail = "gives too many means to choose points from: take a longer step, or none";
            Parameters::problem("step", "step_too_short", detail)
        })
    }

    /// The first rows of a history that is written as it is read, and what gives the others.
    async fn first_of_all(
        &self,
        store: &Store,
        scope: &Scope,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<(Rows, Option<Slices>), Problem> {
        let step_ms = self.bucket.map_or(1, |bucket| bucket.width_ms);
        // Readings may still come behind the newest there is, but none is older than the oldest.
        let (from, _) = scope.within(from, to);
        let mut slices = Slices::new(
            store.clone(),
            scope.query.clone(),
            self.bucket,
            (from, to),
            scope.rows_per_ms(step_ms),
            self.limit.unwrap_or(u64::MAX),
        );
        let first = slices
            .next()
            .await
            .map_err(|error| Problem::store_unavailable(&error))?;
        Ok((first.unwrap_or(Rows::none(self.bucket)), Some(slices)))
    }
}

fn wanted(request: &HttpRequest, profile: Profile) -> Result<Wanted, Problem> {
    let mut parameters = Parameters::of(request);
    let raw = parameters.flag("raw");
    let step = parameters.text("step").and_then(step);
    if parameters.text("step").is_some() && step.is_none() {
        parameters.fault(
            "step",
            "bad_step",
            "must be 1min, 5min, 15min, 1h, daily, weekly or a number with s, min, h or d",
        );
    }
    let wanted = Wanted {
        filter: Filter {
            site: parameters.text("enseigne").map(str::to_owned),
            room: parameters.text("salle").map(str::to_owned),
            sensor: parameters.text("sensor_id").map(str::to_owned),
        },
        start: parameters.timestamp("start"),
        end: parameters.timestamp("end"),
        hours: parameters.number("hours"),
        limit: parameters.number("limit"),
        bucket: match step {
            Some(Step::Mean(bucket)) if !raw => Some(bucket),
            _ => None,
        },
        points: parameters.number("points"),
        minmax: parameters.flag("minmax"),
        format: parameters.format().unwrap_or_else(|| {
            let accept = request.headers().get_all(header::ACCEPT);
            accepted(accept.filter_map(|value| value.to_str().ok()))
        }),
        profile: parameters.profile(profile),
    };
    parameters.finish(wanted)
}

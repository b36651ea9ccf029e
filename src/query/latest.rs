//! `GET /api/latest`: the latest reading of each sensor, cheap to poll.

use super::parameters::Parameters;
use super::record::LatestRecord;
use crate::access::Caller;
use crate::http::{Problem, Services, is_known};
use crate::store::{LatestReading, SensorEntry};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use std::hash::{DefaultHasher, Hash, Hasher};
use validator::Validate;

#[derive(Debug, Validate)]
struct Wanted {
    since: Option<crate::domain::Timestamp>,
}

/// A bare array by site, room and sensor; `304` when nothing has changed since the client's `ETag`.
pub async fn latest(
    caller: Caller,
    request: HttpRequest,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request);
    let site = parameters.text("enseigne").map(str::to_owned);
    let room = parameters.text("salle").map(str::to_owned);
    let profile = parameters.profile(services.profile);
    let since = parameters.timestamp("since");
    let wanted = parameters.finish(Wanted { since })?;

    let version = services.store.directory(|directory| {
        let (epoch, version) = (directory.position().epoch, directory.latest_version());
        format!("{epoch}-{version}")
    });
    let tag = tag(&version, &caller);
    if is_known(&request, &tag) {
        return Ok(HttpResponse::NotModified()
            .insert_header((header::ETAG, tag))
            .finish());
    }
    let mut latest: Vec<LatestReading> = services.store.directory(|directory| {
        let is = |wanted: &Option<String>, name: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == name)
        };
        directory
            .sensors()
            .filter_map(SensorEntry::come)
            .filter(|latest| {
                caller.sites().allow(latest.place.site.as_str())
                    && is(&site, latest.place.site.as_str())
                    && is(&room, latest.place.room.as_str())
                    && wanted
                        .since
                        .is_none_or(|since| latest.scored.reading.observed_at > since)
            })
            .cloned()
            .collect()
    });
    latest.sort_by(|a, b| {
        (&a.place, &a.scored.reading.sensor).cmp(&(&b.place, &b.scored.reading.sensor))
    });
    let records: Vec<_> = latest
        .iter()
        .map(|latest| LatestRecord { latest, profile })
        .collect();
    Ok(HttpResponse::Ok()
        .insert_header((header::ETAG, tag))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::VARY, "Authorization"))
        .json(records))
}

/// The name of a version, another one for whoever sees other sites: two people may use one browser.
fn tag(version: &str, caller: &Caller) -> String {
    match caller.sites().names() {
        None => format!("\"{version}\""),
        Some(names) => {
            let mut hasher = DefaultHasher::new();
            names.for_each(|name| name.hash(&mut hasher));
            format!("\"{version}-{:x}\"", hasher.finish())
        }
    }
}

//! `GET /api/latest`: the latest reading of each sensor, cheap to poll.

use super::Source;
use super::parameters::{place_selector, profile};
use super::record::LatestRecord;
use super::scope::asked;
use super::shapes;
use crate::access::{Call, Caller, CountedAs, Need, call};
use crate::domain::{Quantity, Selector, Subject, Timestamp};
use crate::http::{Parameters, Problem, is_known};
use crate::read_budget::{ANSWER_TURN_WAIT_MAX, Lease};
use crate::score::Profile;
use crate::store::{ScoredReading, SensorEntry, ShownState, Stored};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::convert::Infallible;
use std::future::ready;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::vec;

pub(super) fn calls() -> Vec<Call> {
    vec![call!(Need::VIEWER, latest)]
}

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
        (status = 200, description = "By site, room and sensor", body = Vec<shapes::Latest>,
            headers(("ETag" = String, description = "Changes with the readings"))),
        (status = 304, description = "Nothing has changed"),
        (status = 422, description = "A parameter cannot be read"),
    ))]
async fn latest(
    caller: Caller,
    request: HttpRequest,
    counted_as: CountedAs,
    source: web::Data<Source>,
) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request);
    let selector = place_selector(&parameters);
    let profile = profile(&mut parameters, source.profile);
    let since = parameters.timestamp("since");
    parameters.done()?;

    let version = source.store.directory(|directory| {
        let (epoch, version) = (directory.position().epoch, directory.latest_version());
        format!("{epoch}-{version}")
    });
    let tag = tag(&version, &caller);
    if is_known(&request, &tag) {
        return Ok(HttpResponse::NotModified()
            .insert_header((header::ETAG, tag))
            .finish());
    }
    let now = source.clock.now();
    let meant = source
        .store
        .directory(|directory| directory.meant(&selector));
    let is_wanted = |sensor: &&SensorEntry| {
        sensor.come().is_some_and(|latest| {
            caller.sites().allow(latest.place.site.as_str())
                && Selector::any_matches(&meant, Subject::at(&latest.place))
                && since.is_none_or(|since| latest.scored.reading.observed_at > since)
        })
    };
    // Whoever names a site pays for that one, unless a name of before may mean another.
    let sites = if meant.len() > 1 {
        caller.sites().clone()
    } else {
        asked(&selector, caller.sites())
    };
    let bytes: usize = source.store.directory(|directory| {
        let wanted = directory.sensors_of(&sites).filter(is_wanted);
        wanted.map(|sensor| bytes(&sensor.latest.scored)).sum()
    });
    let budget = &source.budget;
    let kept = budget.keep(counted_as.0, ANSWER_BYTES + bytes, ANSWER_TURN_WAIT_MAX);
    let kept = kept.await?;
    let latest: Vec<Stored> = source.store.directory(|directory| {
        let wanted = directory.sensors_of(&sites).filter(is_wanted);
        wanted
            .filter_map(|sensor| sensor.stored(now, profile))
            .collect()
    });
    let mut records = Records {
        latest: sorted(latest).await?.into_iter(),
        profile,
        begun: false,
        kept,
    };
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::ETAG, tag))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::VARY, "Authorization"))
        .content_type("application/json");
    let first = records.next_piece().unwrap_or_default();
    if records.is_done() {
        return Ok(response.body(first));
    }
    let first = stream::once(ready(Ok::<_, Infallible>(first)));
    let further = stream::unfold(records, |mut records| async {
        let piece = records.next_piece()?;
        Some((Ok(piece), records))
    });
    Ok(response.streaming(first.chain(further)))
}

/// Bytes that are written before they are sent. With the longest record it stays below 84 KiB.
const PIECE_BYTES_WANTED: usize = 64 * 1024;
/// Bytes that one answer keeps besides the readings that are not written yet: a piece, and what the
/// connection has taken over but not sent.
const ANSWER_BYTES: usize = 256 * 1024;
/// Readings that are put in order where they are asked for, which takes less than a millisecond; more
/// of them are on a thread for such work.
const SORTED_AT_ONCE_MAX: usize = 1000;

/// Bytes a reading keeps in memory when another has taken its place, with the state that is shown.
fn bytes(latest: &ScoredReading) -> usize {
    let extras = latest.reading.extras.iter();
    let extras = extras.map(|(key, _)| key.len() + size_of::<(Box<str>, f64)>());
    // A state with more times than it has room for puts them elsewhere.
    let times = Quantity::COUNT * size_of::<(Quantity, Timestamp)>();
    let fixed = size_of::<Stored>() + size_of::<ScoredReading>() + size_of::<ShownState>() + times;
    fixed + extras.sum::<usize>()
}

async fn sorted(mut latest: Vec<Stored>) -> Result<Vec<Stored>, Problem> {
    let is_small = latest.len() <= SORTED_AT_ONCE_MAX;
    let sort = move || {
        latest.sort_by(|a, b| {
            (&a.place, &a.scored.reading.sensor).cmp(&(&b.place, &b.scored.reading.sensor))
        });
        latest
    };
    if is_small {
        return Ok(sort());
    }
    let sorting = tokio::task::spawn_blocking(sort);
    sorting.await.map_err(|_broken| Problem::internal())
}

/// Records that are written as they are sent.
struct Records {
    latest: vec::IntoIter<Stored>,
    profile: Profile,
    begun: bool,
    kept: Lease,
}

impl Records {
    /// The next bytes of the array; `None` when all are written.
    fn next_piece(&mut self) -> Option<Bytes> {
        if self.is_done() {
            return None;
        }
        let mut piece = Vec::new();
        let mut written = 0;
        while piece.len() < PIECE_BYTES_WANTED
            && let Some(latest) = self.latest.next()
        {
            written += bytes(&latest.scored);
            piece.push(if self.begun { b',' } else { b'[' });
            self.begun = true;
            let profile = self.profile;
            let latest = &latest;
            // Texts and finite numbers, in memory: that cannot fail.
            serde_json::to_writer(&mut piece, &LatestRecord { latest, profile })
                .unwrap_or_default();
        }
        if !self.begun {
            self.begun = true;
            piece.push(b'[');
        }
        if self.latest.len() == 0 {
            piece.push(b']');
        }
        let left = self.kept.bytes().saturating_sub(written);
        self.kept.shrink_to(left.max(ANSWER_BYTES));
        Some(piece.into())
    }

    fn is_done(&self) -> bool {
        self.begun && self.latest.len() == 0
    }
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

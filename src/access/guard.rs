//! The middleware that lets requests through.

use super::caller::Caller;
use super::gate::{Access, counted_address, credential, forbidden, token_in_query};
use super::rate::Counted;
use super::rule::{self, Need};
use crate::http::{AllowedOrigins, Problem, TrustedProxies};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, web};
use std::future::{Ready, ready};

/// What decides who gets in over HTTP. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Door {
    pub access: Access,
    pub origins: AllowedOrigins,
    pub trusted_proxies: TrustedProxies,
}

/// As whom a request is counted, in limits and in budgets; `None` for one that nothing is counted of.
/// The guard has put it there for every request that has a [`Caller`].
#[derive(Debug, Clone, Copy)]
pub struct CountedAs(pub Option<Counted>);

impl FromRequest for CountedAs {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let counted = request.extensions().get::<Self>().copied();
        ready(counted.ok_or_else(Problem::internal))
    }
}

/// The one call that browsers cannot send a header with.
const EVENTS: &str = "/api/events";

/// Lets a request to `path` through that may be made, with its [`Caller`]; answers the others.
///
/// Every request that reaches a handler has passed this guard under the path it is registered with,
/// however its URL was spelled. `None` is for what is no call at all.
pub(crate) async fn guard(
    path: Option<&'static str>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(door) = request.app_data::<web::Data<Door>>().cloned() else {
        return Ok(request.error_response(Problem::internal()));
    };
    match admit(&door, path, &request) {
        Ok(admitted) => {
            if let Some((caller, counted_as)) = admitted {
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(counted_as);
            }
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        Err(problem) => {
            // What may still come of a body is not read.
            let has_body = !request.method().is_safe();
            let problem = if has_body { problem.closing() } else { problem };
            Ok(request.error_response(problem))
        }
    }
}

/// Who may make this request; `None` where it needs nobody.
fn admit(
    door: &Door,
    path: Option<&'static str>,
    request: &ServiceRequest,
) -> Result<Option<(Caller, CountedAs)>, Problem> {
    // A page of another site must not be able to do anything through its visitor's browser.
    if !request.method().is_safe() && !door.origins.allow(request.headers()) {
        return Err(Problem::forbidden_origin());
    }
    let access = &door.access;
    access.require_host(request.headers(), &door.origins)?;
    let need = path.and_then(|path| rule::need(request.method(), path));
    if need == Some(Need::Nothing) {
        return Ok(None);
    }
    let address = door
        .trusted_proxies
        .client(request.peer_addr(), request.headers());
    let limits = access.limits();
    if need == Some(Need::Itself) {
        if let Some(counted) = counted_address(address) {
            limits.api.check(counted)?;
        }
        return Ok(None);
    }
    let in_query = || (path == Some(EVENTS)).then(|| token_in_query(request.query_string()));
    let credential = credential(request.headers()).or_else(|| in_query()?);
    let caller = access.caller(credential.as_deref()).map_err(|refusal| {
        let limited = access.count_refused(address).err();
        limited.map_or(refusal.into(), Problem::from)
    })?;
    let counted = access.counted(&caller, address);
    if let Some(counted) = counted {
        let limit = match need {
            Some(Need::Writing) => &limits.ingest,
            _ => &limits.api,
        };
        limit.check(counted)?;
    }
    match (need, path) {
        (Some(need), _) => need.check(&caller).map_err(forbidden)?,
        (None, Some(path)) => return Err(not_for_anybody(path)),
        // There is nothing there, which may be told.
        (None, None) => {}
    }
    Ok(Some((caller, CountedAs(counted))))
}

/// A method that no rule has for this path.
pub(crate) fn not_for_anybody(path: &str) -> Problem {
    let mut problem = Problem::of_status(StatusCode::METHOD_NOT_ALLOWED);
    if let Ok(allowed) = rule::methods(path).join(", ").parse() {
        problem.headers.push((header::ALLOW, allowed));
    }
    problem
}

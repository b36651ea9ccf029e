//! The middleware that lets requests through.

use super::caller::Caller;
use super::gate::{counted_address, credential, forbidden, token_in_query};
use super::rule::{self, Need};
use crate::http::{Problem, Services};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};

/// The one call that browsers cannot send a header with.
const EVENTS: &str = "/api/events";

/// Lets a request to `path` through that may be made, with its [`Caller`]; answers the others.
///
/// The path is the one the router has found, as it was registered: whatever a request looks like that
/// comes to a handler, it was this guard's to let through. `None` is for what is no call at all.
pub(crate) async fn guard(
    path: Option<&'static str>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(services) = request.app_data::<web::Data<Services>>().cloned() else {
        return Ok(request.error_response(Problem::internal()));
    };
    match admit(&services, path, &request) {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
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
    services: &Services,
    path: Option<&'static str>,
    request: &ServiceRequest,
) -> Result<Option<Caller>, Problem> {
    // A page of another site must not be able to do anything through its visitor's browser.
    if !request.method().is_safe() && !services.origins.allow(request.headers()) {
        return Err(Problem::forbidden_origin());
    }
    services
        .access
        .require_host(request.headers(), &services.origins)?;
    let need = path.and_then(|path| rule::need(request.method(), path));
    if need == Some(Need::Nothing) {
        return Ok(None);
    }
    let access = &services.access;
    let address = services
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
    if let Some(counted) = access.counted(&caller, address) {
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
    Ok(Some(caller))
}

/// A method that no rule has for this path.
pub(crate) fn not_for_anybody(path: &str) -> Problem {
    let mut problem = Problem::of_status(StatusCode::METHOD_NOT_ALLOWED);
    if let Ok(allowed) = rule::methods(path).join(", ").parse() {
        problem.headers.push((header::ALLOW, allowed));
    }
    problem
}

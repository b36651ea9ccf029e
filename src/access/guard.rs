//! The middleware that lets requests through.

use super::caller::{Caller, Who};
use super::gate::{counted_address, credential, forbidden};
use super::rule::{self, Need};
use crate::http::{Problem, Services};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};

/// Where calls are; everything else is a page.
const CALLS: [&str; 4] = ["api", "ws", "health", "metrics"];
/// The one call that browsers cannot send a header with.
const EVENTS: &str = "/api/events";

/// Lets a request through that may be made, with its [`Caller`]; answers the others.
pub(crate) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(services) = request.app_data::<web::Data<Services>>().cloned() else {
        return Ok(request.error_response(Problem::internal()));
    };
    match admit(&services, &request) {
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
fn admit(services: &Services, request: &ServiceRequest) -> Result<Option<Caller>, Problem> {
    // A page of another site must not be able to do anything through its visitor's browser.
    if !request.method().is_safe() && !services.origins.allow(request.headers()) {
        return Err(Problem::forbidden_origin());
    }
    let path = request.match_pattern();
    let need = match &path {
        Some(path) => rule::need(request.method(), path),
        None => None,
    };
    if need == Some(Need::Nothing) || need.is_none() && is_page(request.path()) {
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
    let query = (path.as_deref() == Some(EVENTS)).then(|| request.query_string());
    let credential = credential(request.headers(), query);
    let caller = access.caller(credential.as_deref()).map_err(|refusal| {
        // Whoever tries out credentials is slowed down like everybody else.
        let tried = counted_address(address).map_or(Ok(()), |address| limits.api.check(address));
        tried.err().map_or(refusal.into(), Problem::from)
    })?;
    if let Some(counted) = access.counted(&caller, address) {
        let limit = match need {
            Some(Need::Writing) => &limits.ingest,
            _ => &limits.api,
        };
        limit.check(counted)?;
    }
    match (need, path) {
        (Some(need), _) => require(&caller, need)?,
        // The router knows what to say.
        (None, None) => {}
        (None, Some(path)) => return Err(not_for_anybody(&path)),
    }
    Ok(Some(caller))
}

fn require(caller: &Caller, need: Need) -> Result<(), Problem> {
    let role = match need {
        Need::Nothing | Need::Itself | Need::Somebody => return Ok(()),
        Need::Writing if matches!(caller.who(), Who::Device { .. }) => return Ok(()),
        Need::Writing => super::role::Role::Operator,
        Need::Role(role) => role,
    };
    if caller.is_at_least(role) {
        Ok(())
    } else {
        Err(forbidden(role))
    }
}

/// Whether a path is that of a page or one of its files.
fn is_page(path: &str) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    !CALLS.contains(&first)
}

fn not_for_anybody(path: &str) -> Problem {
    let methods = rule::methods(path);
    let mut problem = Problem::of_status(StatusCode::METHOD_NOT_ALLOWED);
    if let Ok(allowed) = methods.join(", ").parse() {
        problem.headers.push((header::ALLOW, allowed));
    }
    problem
}

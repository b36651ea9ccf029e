//! What happens around every request: its id, its log line, its security headers, its error body.

use super::answer::finished;
use super::connection::ConnectionGuard;
use super::cors;
use super::origin::AllowedOrigins;
use super::problem::{PROBLEM_JSON, Problem};
use super::request_id::{RequestIds, X_REQUEST_ID};
use super::security_headers::SECURITY_HEADERS;
use crate::clock::Clock;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use std::rc::Rc;
use std::time::Instant;

const X_SERVER_TIME: HeaderName = HeaderName::from_static("x-server-time");

/// Middleware around all routes.
pub(crate) async fn request_context(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let guard = request.conn_data::<Rc<ConnectionGuard>>().cloned();
    if let Some(guard) = &guard {
        guard.request_begun();
        guard.expects(declared_length(&request));
        guard.turn().await;
    }
    let begun = Instant::now();
    let id = request
        .app_data::<web::Data<RequestIds>>()
        .map(|ids| ids.of(request.headers()))
        .unwrap_or_default();

    let result = next.call(request).await;

    if let Some(guard) = &guard {
        guard.request_ended();
    }
    let mut response = result?.map_into_boxed_body();
    let status = response.status();
    let is_last = guard.as_ref().is_some_and(|guard| guard.is_last_of(status));
    if is_last {
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
    if status.is_client_error() || status.is_server_error() {
        response = with_problem(response, &id);
        let closes = is_last || problem_of(&response).is_some_and(|problem| problem.close);
        if let Some(guard) = guard.as_ref().filter(|_| closes) {
            guard.end_soon();
        }
    }
    log(&response, &id, begun);
    set_headers(&mut response, &id);
    Ok(finished(response, guard.as_ref()))
}

/// The length that the head declares; a body in chunks has none.
fn declared_length(request: &ServiceRequest) -> u64 {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or(0)
}

/// Gives an error the body every error has, whoever made it.
fn with_problem(mut response: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let made_by = response.response().error();
    let body = if let Some(problem) = problem_of(&response) {
        problem.body(id)
    } else {
        if let Some(error) = made_by
            && status.is_server_error()
        {
            tracing::error!(request_id = id, %error, "a request failed");
        }
        Problem::of_status(status).body(id)
    };
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, PROBLEM_JSON);
    response.map_body(|_, _| BoxBody::new(body))
}

/// The problem an answer was made from.
fn problem_of(response: &ServiceResponse<BoxBody>) -> Option<&Problem> {
    response.response().error()?.as_error::<Problem>()
}

fn set_headers(response: &mut ServiceResponse<BoxBody>, id: &str) {
    let request = response.request().clone();
    let headers = response.headers_mut();
    if let Some(origins) = request.app_data::<web::Data<AllowedOrigins>>() {
        cors::set_headers(origins, request.headers(), headers);
    }
    // When the answer was made, to the millisecond that `Date` does not tell: a page whose clock is
    // wrong can say how old readings are.
    if let Some(clock) = request.app_data::<web::Data<dyn Clock>>()
        && let Ok(time) = HeaderValue::try_from(clock.now().to_string())
    {
        headers.insert(X_SERVER_TIME, time);
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(X_REQUEST_ID, id);
    }
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, value);
    }
}

/// One line for each request: failures are for operators, refusals worth a look, the rest is detail.
/// The query is left out, for it may carry a token.
fn log(response: &ServiceResponse<BoxBody>, request_id: &str, begun: Instant) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                request_id,
                method = %response.request().method(),
                path = response.request().path(),
                status = response.status().as_u16(),
                duration_ms = begun.elapsed().as_secs_f64() * 1000.0,
                "request"
            )
        };
    }
    match response.status() {
        StatusCode::SERVICE_UNAVAILABLE => line!(warn),
        status if status.is_server_error() => line!(error),
        status if status.is_client_error() => line!(info),
        _ => line!(debug),
    }
}

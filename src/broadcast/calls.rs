//! The calls that begin a stream or tell of it, but for `/ws` itself, which `handshake` answers.

use super::handshake::upgrade_required;
use super::hub::Hub;
use super::stats::Stats;
use super::{admission, events};
use crate::access::{Call, Need, call};
use crate::http::{Problem, ProblemBody};
use actix_web::HttpResponse;
use actix_web::web::{Data, Json};

pub(crate) fn calls() -> Vec<Call> {
    let mut calls = vec![call!(admission::NEED, ws), call!(Need::VIEWER, ws_stats)];
    calls.extend(events::calls());
    calls
}

/// The stream as a WebSocket
///
/// Messages and commands are in docs/API.md. Bad credentials close it with 1008 after the upgrade.
#[utoipa::path(get, path = "/ws", tag = "live",
    params(
        ("topics" = Option<String>, Query, description = "Comma-separated; all"),
        ("token" = Option<String>, Query, description = "Where no header can be set"),
    ),
    responses(
        (status = 101, description = "A WebSocket from here on"),
        (status = 400, description = "Not a handshake"),
        (status = 429, description = "Too many bad credentials of one address"),
        (status = 426, description = "It does not ask for a WebSocket"),
        (status = "default", description = "Refused", body = ProblemBody,
            content_type = "application/problem+json"),
    ))]
async fn ws() -> Result<HttpResponse, Problem> {
    // Requests that do upgrade never come here.
    Err(upgrade_required())
}

/// Who is connected
#[utoipa::path(get, path = "/ws/stats", tag = "live",
    responses((status = 200, description = "Clients and what they listen to", body = Stats)))]
async fn ws_stats(hub: Data<Hub>) -> Json<Stats> {
    Json(hub.stats())
}

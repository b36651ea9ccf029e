//! The stream of what happens.

use super::shapes::Problem;
use super::shapes::operation::StreamStats;

/// The stream as server-sent events
#[utoipa::path(get, path = "/api/events", tag = "live",
    params(
        ("topics" = Option<String>, Query, description = "Comma-separated; all"),
        ("enseigne" = Option<String>, Query, description = "Site"),
        ("salle" = Option<String>, Query, description = "Room"),
        ("sensor_id" = Option<String>, Query, description = "Sensor"),
        ("snapshot" = Option<bool>, Query, description = "The latest of every sensor first"),
        ("since" = Option<String>, Query, description = "Id of the last message one has"),
        ("max_hz" = Option<f64>, Query, description = "Measurements at most so often"),
        ("token" = Option<String>, Query, description = "Where no header can be set"),
        ("Last-Event-ID" = Option<String>, Header, description = "The same as since"),
    ),
    responses(
        (status = 200, description = "Events without end", body = String,
            content_type = "text/event-stream"),
        (status = 422, description = "A parameter cannot be read", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn events() {}

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
        (status = 400, description = "Not a handshake", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "Too many bad credentials of one address", body = Problem,
            content_type = "application/problem+json"),
        (status = 426, description = "It does not ask for a WebSocket", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn ws() {}

/// Who is connected
#[utoipa::path(get, path = "/ws/stats", tag = "live",
    responses((status = 200, description = "Clients and what they listen to", body = StreamStats)))]
pub(super) fn ws_stats() {}

//! How the server is.

use super::shapes::operation::{Alive, Health};

/// Numbers for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "Prometheus text", body = String,
        content_type = "text/plain")))]
pub(super) fn metrics() {}

/// State of the store and the stream
///
/// Always 200, so that a broken store does not hide the rest.
#[utoipa::path(get, path = "/api/health", tag = "operation",
    responses((status = 200, description = "How it is", body = Health)))]
pub(super) fn api_health() {}

/// The same without a body
#[utoipa::path(head, path = "/api/health", tag = "operation",
    responses((status = 200, description = "It answers")))]
pub(super) fn api_health_head() {}

/// State of the store and the stream
#[utoipa::path(get, path = "/health", tag = "operation",
    responses((status = 200, description = "How it is", body = Health)))]
pub(super) fn health() {}

/// The same without a body
#[utoipa::path(head, path = "/health", tag = "operation",
    responses((status = 200, description = "It answers")))]
pub(super) fn health_head() {}

/// Whether the server takes readings
#[utoipa::path(get, path = "/health/ready", tag = "operation",
    responses((status = 200, description = "It does", body = Health)))]
pub(super) fn ready() {}

/// The same without a body
#[utoipa::path(head, path = "/health/ready", tag = "operation",
    responses((status = 200, description = "It does")))]
pub(super) fn ready_head() {}

/// Whether the process runs
#[utoipa::path(get, path = "/health/live", tag = "operation",
    responses((status = 200, description = "It does", body = Alive)))]
pub(super) fn live() {}

/// The same without a body
#[utoipa::path(head, path = "/health/live", tag = "operation",
    responses((status = 200, description = "It does")))]
pub(super) fn live_head() {}

/// This document
#[utoipa::path(get, path = "/api/openapi.json", tag = "operation",
    params(("If-None-Match" = Option<String>, Header, description = "ETag of the one one has")),
    responses(
        (status = 200, description = "OpenAPI 3.1", body = Object,
            content_type = "application/json"),
        (status = 304, description = "Nothing has changed"),
    ))]
pub(super) fn document() {}

//! The API as an OpenAPI 3.1 document.
//!
//! Answers are written by hand where they are long or shared, so what is here is a description and
//! nothing else: one function without a body for each call, and a type for each shape. What a call
//! needs, and the refusals that follow from it, come from the table that the guard goes by.
#![expect(
    dead_code,
    reason = "nothing here is called or read: the macros make the document of it"
)]
#![expect(clippy::struct_field_names, reason = "they are the names on the wire")]

mod access;
mod common;
mod live;
mod models;
mod operation;
mod readings;
mod shapes;
mod webhooks;

use crate::access::hex;
use crate::http::is_known;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use common::Common;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "IAQverse",
        description = "Indoor air quality: readings come in, are checked, scored and stored, and \
            reach everybody who listens. Units, ranges and messages of the WebSocket are explained \
            in docs/API.md.",
        license(name = "MIT", identifier = "MIT"),
    ),
    paths(
        readings::ingest,
        readings::history,
        readings::latest,
        readings::sensors,
        readings::sensor,
        readings::rooms,
        live::events,
        live::ws,
        live::ws_stats,
        operation::metrics,
        operation::api_health,
        operation::api_health_head,
        operation::health,
        operation::health_head,
        operation::ready,
        operation::ready_head,
        operation::live,
        operation::live_head,
        operation::document,
        access::log_in,
        access::refresh,
        access::log_out,
        access::me,
        access::change_password,
        access::users,
        access::add_user,
        access::change_user,
        access::remove_user,
        access::device_keys,
        access::add_device_key,
        access::revoke_device_key,
        access::claims,
        access::claim,
        access::drop_claim,
        access::redeem,
        models::models,
        models::put_model,
        models::model,
        models::remove_model,
        webhooks::webhooks,
        webhooks::add_webhook,
        webhooks::remove_webhook,
        webhooks::test_webhook,
    ),
    components(schemas(shapes::Problem)),
    modifiers(&Common),
    tags(
        (name = "readings", description = "Readings in and out"),
        (name = "live", description = "The stream of what happens"),
        (name = "operation", description = "How the server is"),
        (name = "sessions", description = "Logging in and out"),
        (name = "people", description = "Accounts"),
        (name = "devices", description = "Keys of devices, and how a sensor gets one"),
        (name = "models", description = "3D models of rooms"),
        (name = "webhooks", description = "Measurements pushed to other systems"),
    )
)]
struct Document;

struct Text {
    json: String,
    tag: String,
}

static TEXT: LazyLock<Text> = LazyLock::new(|| {
    // Serialising texts and numbers into memory cannot fail.
    let json = Document::openapi().to_json().unwrap_or_default();
    let tag = format!("\"{}\"", hex(&Sha256::digest(&json)));
    Text { json, tag }
});

/// `GET /api/openapi.json`.
pub(super) async fn openapi(request: HttpRequest) -> HttpResponse {
    if is_known(&request, &TEXT.tag) {
        return HttpResponse::NotModified()
            .insert_header((header::ETAG, TEXT.tag.as_str()))
            .finish();
    }
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::ETAG, TEXT.tag.as_str()))
        .body(TEXT.json.as_str())
}

#[cfg(test)]
mod tests;

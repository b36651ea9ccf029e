//! The API as an OpenAPI 3.1 document, made of the declarations of all calls.

mod common;

use super::routes;
use crate::access::{Call, Need, call, hex};
use crate::http::{ProblemBody, is_known};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "IAQverse",
        description = "Indoor air quality: readings come in, are checked, scored and stored, and \
            reach everybody who listens. HEAD is answered wherever GET is. Units, ranges and messages of the WebSocket are explained \
            in docs/API.md.",
        license(name = "MIT", identifier = "MIT"),
    ),
    // Wherever the document is read from.
    servers((url = "/")),
    components(schemas(ProblemBody)),
    tags(
        (name = "readings", description = "Readings in and out"),
        (name = "registry", description = "Sensors and rooms renamed, moved, merged and removed"),
        (name = "live", description = "The stream of what happens"),
        (name = "operation", description = "How the server is"),
        (name = "sessions", description = "Logging in and out"),
        (name = "people", description = "Accounts"),
        (name = "devices", description = "Keys of devices, and how a sensor gets one"),
        (name = "models", description = "3D models of rooms"),
        (name = "webhooks", description = "Measurements pushed to other systems"),
    )
)]
struct Head;

/// The document of every call.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Head::openapi();
    common::add_credentials(&mut document);
    for call in routes::calls() {
        common::add_call(&mut document, &call);
    }
    document
}

struct Text {
    json: String,
    tag: String,
}

static TEXT: LazyLock<Text> = LazyLock::new(|| {
    // Serialising texts and numbers into memory cannot fail.
    let json = document().to_json().unwrap_or_default();
    let tag = format!("\"{}\"", hex(&Sha256::digest(&json)));
    Text { json, tag }
});

pub(super) fn calls() -> Vec<Call> {
    vec![call!(Need::VIEWER, openapi)]
}

/// This document
#[utoipa::path(get, path = "/api/openapi.json", tag = "operation",
    params(("If-None-Match" = Option<String>, Header, description = "ETag of the one one has")),
    responses(
        (status = 200, description = "OpenAPI 3.1", body = Object,
            content_type = "application/json"),
        (status = 304, description = "Nothing has changed"),
    ))]
async fn openapi(request: HttpRequest) -> HttpResponse {
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

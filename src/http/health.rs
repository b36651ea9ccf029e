//! Whether the server lives, and whether it can do its work.

use super::routes::Services;
use actix_web::http::StatusCode;
use actix_web::{
    FromRequest, Handler, HttpResponse, HttpResponseBuilder, Resource, Responder, web,
};
use serde_json::json;

/// A path that answers GET and HEAD, as probes use both.
pub(super) fn resource<F, Arguments>(path: &str, handler: F) -> Resource
where
    F: Handler<Arguments> + Clone,
    Arguments: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path)
        .route(web::get().to(handler.clone()))
        .route(web::head().to(handler))
}

/// The process runs.
pub(super) async fn live() -> impl Responder {
    web::Json(json!({"status": "ok"}))
}

/// The server takes readings: the store answers and nobody asked it to stop.
pub(super) async fn ready(services: web::Data<Services>) -> HttpResponse {
    answer(&services).await.1
}

/// The same in more words, always 200 so that a broken store does not hide the rest.
pub(super) async fn health(services: web::Data<Services>) -> HttpResponse {
    let (body, _) = answer(&services).await;
    HttpResponse::Ok().json(body)
}

async fn answer(services: &Services) -> (serde_json::Value, HttpResponse) {
    let store = match services.store.check().await {
        Ok(()) => "ok",
        Err(error) => {
            tracing::warn!(%error, "the store does not answer");
            "unavailable"
        }
    };
    let stopping = services.shutdown.has_begun();
    let ready = store == "ok" && !stopping;
    let clients = services.hub.stats().active_connections;
    let body = json!({
        "status": if ready { "ok" } else if stopping { "stopping" } else { "degraded" },
        "timestamp": services.clock.now().to_string(),
        "services": {"api": "ok", "store": store, "websocket": "ok"},
        "websocket_clients": clients,
        "version": env!("CARGO_PKG_VERSION"),
    });
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let response = HttpResponseBuilder::new(status).json(&body);
    (body, response)
}

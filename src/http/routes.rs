//! The whole route table.

use super::client_address::TrustedProxies;
use super::origin::AllowedOrigins;
use super::problem::Problem;
use super::request_id::RequestIds;
use super::{health, pages};
use crate::access::{Access, http as accounts};
use crate::broadcast::{self, Hub};
use crate::clock::Clock;
use crate::ingest::{self, body::BodyReader};
use crate::pipeline::Pipeline;
use crate::query;
use crate::score::Profile;
use crate::shutdown::Shutdown;
use crate::store::Store;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Responder};
use metrics_exporter_prometheus::PrometheusHandle;
use std::path::PathBuf;
use std::sync::Arc;

/// What handlers work with. Cheap to clone: one for each worker.
#[derive(Debug, Clone)]
pub struct Services {
    pub clock: Arc<dyn Clock>,
    pub profile: Profile,
    pub pipeline: Pipeline,
    pub bodies: BodyReader,
    pub store: Store,
    pub hub: Hub,
    pub access: Access,
    pub origins: AllowedOrigins,
    pub trusted_proxies: TrustedProxies,
    pub metrics: PrometheusHandle,
    pub request_ids: RequestIds,
    pub shutdown: Shutdown,
    pub pages_dir: PathBuf,
}

/// Registers every path.
pub fn routes(services: &Services, app: &mut ServiceConfig) {
    let pages_dir = services.pages_dir.clone();
    app.app_data(web::Data::new(services.clone()))
        .service(web::resource("/api/ingest").route(web::post().to(ingest::http::ingest)))
        .service(web::resource("/api/iaq/data").route(web::get().to(query::history)))
        .service(web::resource("/api/latest").route(web::get().to(query::latest)))
        .service(web::resource("/api/sensors").route(web::get().to(query::sensors)))
        .service(web::resource("/api/sensors/{id}").route(web::get().to(query::sensor)))
        .service(web::resource("/api/rooms").route(web::get().to(query::rooms)))
        .service(health::resource("/api/health", health::health))
        .service(health::resource("/health", health::health))
        .service(health::resource("/health/live", health::live))
        .service(health::resource("/health/ready", health::ready))
        .service(web::resource("/api/events").route(web::get().to(broadcast::events)))
        .service(web::resource("/metrics").route(web::get().to(metrics)))
        .service(web::resource("/ws/stats").route(web::get().to(ws_stats)))
        .service(web::resource("/ws").to(upgrade_required))
        .configure(account_routes)
        .service(web::scope("/api").default_service(web::to(not_found)))
        .default_service(web::to(move |request: HttpRequest| {
            std::future::ready(pages::page(&request, &pages_dir))
        }));
}

fn account_routes(app: &mut ServiceConfig) {
    app.service(web::resource("/api/auth/login").route(web::post().to(accounts::log_in)))
        .service(web::resource("/api/auth/refresh").route(web::post().to(accounts::refresh)))
        .service(web::resource("/api/auth/logout").route(web::post().to(accounts::log_out)))
        .service(web::resource("/api/auth/me").route(web::get().to(accounts::me)))
        .service(
            web::resource("/api/auth/password").route(web::put().to(accounts::change_password)),
        )
        .service(
            web::resource("/api/users")
                .route(web::get().to(accounts::users))
                .route(web::post().to(accounts::add_user)),
        )
        .service(
            web::resource("/api/users/{name}")
                .route(web::patch().to(accounts::change_user))
                .route(web::delete().to(accounts::remove_user)),
        )
        .service(
            web::resource("/api/device-keys")
                .route(web::get().to(accounts::device_keys))
                .route(web::post().to(accounts::add_device_key)),
        )
        .service(
            web::resource("/api/device-keys/{id}")
                .route(web::delete().to(accounts::revoke_device_key)),
        )
        .service(
            web::resource("/api/claims")
                .route(web::get().to(accounts::claims))
                .route(web::post().to(accounts::claim)),
        )
        .service(web::resource("/api/claims/redeem").route(web::post().to(accounts::redeem)))
        .service(web::resource("/api/claims/{id}").route(web::delete().to(accounts::drop_claim)));
}

async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found())
}

/// Requests that do upgrade never come here: see `broadcast::handshake`.
async fn upgrade_required() -> Result<HttpResponse, Problem> {
    Err(broadcast::upgrade_required())
}

async fn ws_stats(services: web::Data<Services>) -> impl Responder {
    web::Json(services.hub.stats())
}

/// What operators watch, as Prometheus reads it.
async fn metrics(services: web::Data<Services>) -> impl Responder {
    crate::metrics::update(&services.hub, &services.store);
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(services.metrics.render())
}

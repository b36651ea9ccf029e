//! The whole route table.

use super::client_address::TrustedProxies;
use super::origin::AllowedOrigins;
use super::problem::Problem;
use super::request_id::RequestIds;
use super::{health, pages};
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
        .service(web::scope("/api").default_service(web::to(not_found)))
        .default_service(web::to(move |request: HttpRequest| {
            std::future::ready(pages::page(&request, &pages_dir))
        }));
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

//! The whole route table.

use super::{health, openapi, pages};
use crate::access::{self, Door, http as accounts};
use crate::broadcast::{self, Hub};
use crate::clock::Clock;
use crate::http::{BodyReader, Problem, RequestIds};
use crate::ingest;
use crate::models::{self, Models};
use crate::pipeline::Pipeline;
use crate::query;
use crate::query::Source;
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::webhook::{self, Webhooks};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder};
use metrics_exporter_prometheus::PrometheusHandle;
use std::path::PathBuf;
use std::sync::Arc;

/// What handlers are given, each by itself. Cheap to clone: one for each worker.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pipeline: Pipeline,
    pub(super) bodies: BodyReader,
    pub(super) source: Source,
    pub(super) hub: Hub,
    pub(super) door: Door,
    pub(super) models: Models,
    pub(super) webhooks: Webhooks,
    pub(super) metrics: PrometheusHandle,
    pub(super) request_ids: RequestIds,
    pub(super) shutdown: Shutdown,
    pub(super) pages_dir: PathBuf,
}

impl Parts {
    fn give_to(&self, app: &mut ServiceConfig) {
        let Self {
            clock,
            pipeline,
            bodies,
            source,
            hub,
            door,
            models,
            webhooks,
            metrics,
            request_ids,
            shutdown,
            pages_dir: _,
        } = self.clone();
        app.app_data(Data::from(clock))
            .app_data(Data::new(pipeline))
            .app_data(Data::new(bodies))
            .app_data(Data::new(source.store.clone()))
            .app_data(Data::new(source))
            .app_data(Data::new(hub))
            .app_data(Data::new(door.access.clone()))
            .app_data(Data::new(door.trusted_proxies.clone()))
            .app_data(Data::new(door))
            .app_data(Data::new(models))
            .app_data(Data::new(webhooks))
            .app_data(Data::new(metrics))
            .app_data(Data::new(request_ids))
            .app_data(Data::new(shutdown));
    }
}

/// Registers every path.
pub(super) fn routes(parts: &Parts, app: &mut ServiceConfig) {
    let pages_dir = parts.pages_dir.clone();
    parts.give_to(app);
    calls(&mut Calls(app));
    app.service(
        web::scope("/api")
            .wrap(from_fn(|request, next| access::guard(None, request, next)))
            .default_service(web::to(not_found)),
    )
    .default_service(web::to(move |request: HttpRequest| {
        std::future::ready(pages::page(&request, &pages_dir))
    }));
}

/// The only way to register a call: behind the guard, which knows it by its path.
struct Calls<'a>(&'a mut ServiceConfig);

impl Calls<'_> {
    fn call(&mut self, path: &'static str, add: impl FnOnce(Resource) -> Resource) -> &mut Self {
        let guard = from_fn(move |request, next| access::guard(Some(path), request, next));
        self.0.service(add(web::resource(path)).wrap(guard));
        self
    }

    fn get<F, Arguments>(&mut self, path: &'static str, handler: F) -> &mut Self
    where
        F: Handler<Arguments>,
        Arguments: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.call(path, |resource| resource.route(web::get().to(handler)))
    }

    /// Answers HEAD too, as probes use both.
    fn probe<F, Arguments>(&mut self, path: &'static str, handler: F) -> &mut Self
    where
        F: Handler<Arguments> + Clone,
        Arguments: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.call(path, |resource| {
            resource
                .route(web::get().to(handler.clone()))
                .route(web::head().to(handler))
        })
    }

    fn post<F, Arguments>(&mut self, path: &'static str, handler: F) -> &mut Self
    where
        F: Handler<Arguments>,
        Arguments: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.call(path, |resource| resource.route(web::post().to(handler)))
    }
}

/// What each of them needs is in `access::rule`.
fn calls(calls: &mut Calls<'_>) {
    calls
        .post("/api/ingest", ingest::http::ingest)
        .get("/api/iaq/data", query::history)
        .get("/api/latest", query::latest)
        .get("/api/sensors", query::sensors)
        .get("/api/sensors/{id}", query::sensor)
        .get("/api/rooms", query::rooms)
        .probe("/api/health", health::health)
        .probe("/health", health::health)
        .probe("/health/live", health::live)
        .probe("/health/ready", health::ready)
        .get("/api/events", broadcast::events)
        .get("/api/openapi.json", openapi::openapi)
        .get("/metrics", metrics)
        .get("/ws/stats", ws_stats)
        .get("/ws", upgrade_required);
    calls
        .post("/api/auth/login", accounts::log_in)
        .post("/api/auth/refresh", accounts::refresh)
        .post("/api/auth/logout", accounts::log_out)
        .get("/api/auth/me", accounts::me)
        .call("/api/auth/password", |password| {
            password.route(web::put().to(accounts::change_password))
        })
        .call("/api/users", |users| {
            users
                .route(web::get().to(accounts::users))
                .route(web::post().to(accounts::add_user))
        })
        .call("/api/users/{name}", |user| {
            user.route(web::patch().to(accounts::change_user))
                .route(web::delete().to(accounts::remove_user))
        })
        .call("/api/device-keys", |keys| {
            keys.route(web::get().to(accounts::device_keys))
                .route(web::post().to(accounts::add_device_key))
        })
        .call("/api/device-keys/{id}", |key| {
            key.route(web::delete().to(accounts::revoke_device_key))
        })
        .call("/api/claims", |claims| {
            claims
                .route(web::get().to(accounts::claims))
                .route(web::post().to(accounts::claim))
        })
        .post("/api/claims/redeem", accounts::redeem)
        .call("/api/claims/{id}", |claim| {
            claim.route(web::delete().to(accounts::drop_claim))
        });
    calls
        .call("/api/models", |models| {
            models
                .route(web::get().to(models::http::models))
                .route(web::put().to(models::http::put_model))
        })
        .call("/api/models/{id}", |model| {
            model
                .route(web::get().to(models::http::model))
                .route(web::delete().to(models::http::remove_model))
        })
        .call("/api/webhooks", |webhooks| {
            webhooks
                .route(web::get().to(webhook::http::webhooks))
                .route(web::post().to(webhook::http::add_webhook))
        })
        .call("/api/webhooks/{id}", |webhook| {
            webhook.route(web::delete().to(webhook::http::remove_webhook))
        })
        .post("/api/webhooks/{id}/test", webhook::http::test_webhook);
}

async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found())
}

/// Requests that do upgrade never come here: see `broadcast::handshake`.
async fn upgrade_required() -> Result<HttpResponse, Problem> {
    Err(broadcast::upgrade_required())
}

async fn ws_stats(hub: Data<Hub>) -> impl Responder {
    web::Json(hub.stats())
}

/// What operators watch, as Prometheus reads it.
async fn metrics(
    hub: Data<Hub>,
    store: Data<Store>,
    models: Data<Models>,
    page: Data<PrometheusHandle>,
) -> impl Responder {
    super::metrics::update(&hub, &store, &models);
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(page.render())
}

//! All calls put together, and what their handlers are given.

use super::{health, metrics, openapi, pages};
use crate::access::{self, Call, Door, PathRules};
use crate::broadcast::{self, Hub};
use crate::clock::Clock;
use crate::http::{
    BodyReader, PAGES_ROUTE, Problem, RequestIds, RouteMeasure, RouteMeasures, UNKNOWN_ROUTE,
};
use crate::ingest;
use crate::models::{self, Models};
use crate::pipeline::Pipeline;
use crate::query;
use crate::query::Source;
use crate::registry;
use crate::shutdown::Shutdown;
use crate::webhook::{self, Webhooks};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

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
    pub(super) page: metrics::Page,
    pub(super) measures: Arc<RouteMeasures>,
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
            page,
            measures: _,
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
            .app_data(Data::new(door.origins.clone()))
            .app_data(Data::new(door.trusted_proxies.clone()))
            .app_data(Data::new(door))
            .app_data(Data::new(models))
            .app_data(Data::new(webhooks))
            .app_data(Data::new(page))
            .app_data(Data::new(request_ids))
            .app_data(Data::new(shutdown));
    }
}

/// Every call there is.
pub fn calls() -> Vec<Call> {
    [
        ingest::calls(),
        query::calls(),
        registry::calls(),
        broadcast::calls(),
        access::calls(),
        models::calls(),
        webhook::calls(),
        health::calls(),
        metrics::calls(),
        openapi::calls(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Registers every call behind the guard, which knows what it needs, and the pages.
pub(super) fn routes(parts: &Parts, app: &mut ServiceConfig) {
    let pages_dir = parts.pages_dir.clone();
    parts.give_to(app);
    for (path, resource, rules) in access::resources(calls()) {
        let measure = parts.measures.of(&path);
        let guard = move |request, next| guard(&measure, Some(Rc::clone(&rules)), request, next);
        app.service(resource.wrap(from_fn(guard)));
    }
    let unknown = parts.measures.of(UNKNOWN_ROUTE);
    let found = parts.measures.of(PAGES_ROUTE);
    let outside = Arc::clone(&unknown);
    app.service(
        web::scope("/api")
            .wrap(from_fn(move |request, next| {
                guard(&outside, None, request, next)
            }))
            .default_service(web::to(not_found)),
    )
    .default_service(web::to(move |request: HttpRequest| {
        let begun = Instant::now();
        let page = pages::page(&request, &pages_dir);
        let (measure, status) = match &page {
            Ok(page) => (&found, page.status()),
            Err(problem) => (&unknown, problem.status),
        };
        measure.answered(request.method(), status, begun.elapsed());
        std::future::ready(page)
    }));
}

/// The guard, with what it answers counted like what is behind it.
fn guard<B: MessageBody + 'static>(
    measure: &Arc<RouteMeasure>,
    rules: Option<Rc<PathRules>>,
    request: ServiceRequest,
    next: Next<B>,
) -> impl Future<Output = Result<ServiceResponse<BoxBody>, Error>> + use<B> {
    let (measure, method) = (Arc::clone(measure), request.method().clone());
    async move {
        let answering = access::guard(rules, request, next);
        measure.around(method, answering).await
    }
}

async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found())
}

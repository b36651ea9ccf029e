//! What is counted and measured, each with its meaning, and the way out to Prometheus.

use crate::access::{Call, Need, call};
use crate::broadcast::Hub;
use crate::models::Models;
use crate::store::Store;
use actix_web::HttpResponse;
use actix_web::web::Data;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

pub(super) fn calls() -> Vec<Call> {
    vec![call!(Need::VIEWER, metrics)]
}

/// Numbers for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "Prometheus text", body = String,
        content_type = "text/plain")))]
async fn metrics(
    hub: Data<Hub>,
    store: Data<Store>,
    models: Data<Models>,
    page: Data<PrometheusHandle>,
) -> HttpResponse {
    update(&hub, &store, &models);
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(page.render())
}

/// Starts counting. Whoever starts a second time in one process gets a page of its own that stays
/// empty: what counts is the first.
pub(super) fn start() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_ok() {
        describe();
    }
    handle
}

fn describe() {
    for (name, meaning) in [
        (
            "iaqverse_broadcast_encodes_total",
            "Messages and snapshots encoded, each once for all clients",
        ),
        (
            "iaqverse_broadcast_compressions_total",
            "Messages and snapshots compressed, each at most once for all clients",
        ),
        (
            "iaqverse_broadcast_conflated_total",
            "Measurements left out because a slow client's queue was full and had newer ones",
        ),
        (
            "iaqverse_broadcast_slow_clients_closed_total",
            "Clients closed with 1013 because their queue stayed full",
        ),
        (
            "iaqverse_webhook_deliveries_total",
            "Deliveries of webhooks that were taken",
        ),
        (
            "iaqverse_webhook_failures_total",
            "Deliveries of webhooks that were not taken and are tried again",
        ),
        (
            "iaqverse_broadcast_silent_clients_dropped_total",
            "Clients dropped because they gave no sign of life",
        ),
        (
            "iaqverse_model_uploads_refused_total",
            "Uploads of models of rooms that were refused or broken off",
        ),
    ] {
        describe_counter!(name, meaning);
        counter!(name).absolute(0);
    }
    describe_gauge!("iaqverse_broadcast_clients", "Clients connected");
    describe_gauge!("iaqverse_sensors", "Sensors known");
    describe_gauge!("iaqverse_models", "Models of rooms");
    describe_gauge!("iaqverse_models_bytes", "Size of all models of rooms");
}

/// Brings what is not counted as it happens up to date.
fn update(hub: &Hub, store: &Store, models: &Models) {
    gauge!("iaqverse_broadcast_clients").set(as_f64(hub.stats().active_connections));
    let sensors = store.directory(crate::store::Directory::sensor_count);
    gauge!("iaqverse_sensors").set(as_f64(sensors));
    let (count, bytes) = models.totals();
    gauge!("iaqverse_models").set(as_f64(count));
    gauge!("iaqverse_models_bytes").set(as_f64(usize::try_from(bytes).unwrap_or(usize::MAX)));
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts stay far below 2 to the power of 53"
)]
fn as_f64(count: usize) -> f64 {
    count as f64
}

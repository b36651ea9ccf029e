//! What is counted and measured, and the way out to Prometheus.
//!
//! What happens often is counted where it happens, by handles that are looked up once; what can be
//! seen at any moment is looked at when the page is asked for.

mod database_size;
mod names;
mod process;

use crate::access::{Call, Need, call};
use crate::broadcast::{Hub, Transport};
use crate::clock::Clock;
use crate::models::Models;
use crate::pipeline::Pipeline;
use crate::shutdown::Shutdown;
use crate::store::{Store, StoreCondition};
use crate::webhook::Webhooks;
use actix_web::HttpResponse;
use actix_web::web::Data;
use database_size::DatabaseSize;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use names::Kind;
use std::time::Duration;
use tokio::time::interval;

/// How often what was measured is put into buckets. Until then each measurement takes 8 bytes.
const GATHER_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn calls() -> Vec<Call> {
    vec![call!(Need::VIEWER, metrics)]
}

/// The page, and what it keeps from one time to the next. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Page {
    handle: PrometheusHandle,
    database_size: DatabaseSize,
}

/// Numbers for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "Prometheus text", body = String,
        content_type = "text/plain")))]
async fn metrics(
    hub: Data<Hub>,
    store: Data<Store>,
    models: Data<Models>,
    webhooks: Data<Webhooks>,
    pipeline: Data<Pipeline>,
    clock: Data<dyn Clock>,
    page: Data<Page>,
) -> HttpResponse {
    let bytes = page.database_size.bytes(&store).await;
    set("iaqverse_database_bytes", bytes.map_or(f64::NAN, as_f64));
    show_store(&store.condition(), clock.as_ref());
    let queue = &pipeline.queue;
    set("iaqverse_write_queue_readings", as_f64(queue.waiting()));
    set(
        "iaqverse_write_queue_capacity_readings",
        as_f64(queue.capacity()),
    );
    for (transport, name) in [
        (Transport::WebSocket, "websocket"),
        (Transport::Events, "events"),
    ] {
        let clients = as_f64(hub.clients(transport));
        gauge!("iaqverse_broadcast_clients", "transport" => name).set(clients);
    }
    let lag = webhooks.lag();
    set("iaqverse_webhooks", as_f64(lag.webhooks));
    set("iaqverse_webhooks_failing", as_f64(lag.failing));
    set("iaqverse_webhook_lag_seconds", lag.time.as_secs_f64());
    set("iaqverse_webhook_lag_messages", as_f64(lag.messages));
    let (count, bytes) = models.totals();
    set("iaqverse_models", as_f64(count));
    set("iaqverse_models_bytes", as_f64(bytes));
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(page.handle.render() + &process::lines())
}

fn show_store(store: &StoreCondition, clock: &dyn Clock) {
    let now = clock.now();
    let age_ms = store.newest_at.map(|at| as_f64(now.millis() - at.millis()));
    let age = age_ms.map_or(f64::NAN, |age_ms| age_ms / 1000.0);
    let oldest = store.oldest_waiting.unwrap_or_default();
    set("iaqverse_newest_reading_age_seconds", age);
    set("iaqverse_store_up", if store.is_up { 1.0 } else { 0.0 });
    set("iaqverse_sensors", as_f64(store.sensors));
    set("iaqverse_log_readings", as_f64(store.log_readings));
    set(
        "iaqverse_unsettled_readings",
        as_f64(store.unsettled_readings),
    );
    set("iaqverse_stream_epoch", as_f64(store.position.epoch));
    set("iaqverse_stream_sequence", as_f64(store.position.sequence));
    set("iaqverse_write_queue_oldest_seconds", oldest.as_secs_f64());
}

/// Starts counting: before anything is opened that counts, for what was looked up before counts
/// nothing. Whoever starts a second time in one process gets a page of its own that stays empty: what
/// counts is the first.
pub(super) fn start(database: &'static str) -> anyhow::Result<Page> {
    let mut builder = PrometheusBuilder::new();
    for measure in names::ALL {
        if let Kind::Histogram(bounds) = measure.kind {
            let name = Matcher::Full(measure.name.to_owned());
            builder = builder.set_buckets_for_metric(name, bounds)?;
        }
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_ok() {
        describe();
        let version = env!("CARGO_PKG_VERSION");
        gauge!("iaqverse_build_info", "version" => version, "database" => database).set(1.0);
    }
    Ok(Page {
        handle,
        database_size: DatabaseSize::default(),
    })
}

/// Gives every name its meaning, and its zero, so that the first of what is rare is a change.
fn describe() {
    for measure in names::ALL {
        let (name, meaning) = (measure.name, measure.meaning);
        let is_ours = name.starts_with("iaqverse_") && measure.labels.is_empty();
        match measure.kind {
            Kind::Counter => {
                describe_counter!(name, meaning);
                if is_ours {
                    counter!(name).absolute(0);
                }
            }
            Kind::Gauge => describe_gauge!(name, meaning),
            Kind::Histogram(_) => {
                describe_histogram!(name, meaning);
                if is_ours {
                    drop(histogram!(name));
                }
            }
        }
    }
}

/// Puts what was measured into buckets until the server stops, also when nobody asks for the page.
pub(super) async fn gather(page: Page, shutdown: Shutdown) {
    let mut ticks = interval(GATHER_INTERVAL);
    while !shutdown.has_begun() {
        tokio::select! {
            _ = ticks.tick() => page.handle.run_upkeep(),
            () = shutdown.begun() => {}
        }
    }
}

fn set(name: &'static str, value: f64) {
    gauge!(name).set(value);
}

/// A count, none of which comes near 2 to the power of 53.
fn as_f64(count: impl TryInto<i64>) -> f64 {
    let count = count.try_into().unwrap_or(i64::MAX);
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    let count = count as f64;
    count
}

//! Whether the server lives, and whether it can do its work.

use crate::broadcast::Hub;
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::http::Problem;
use crate::store::Store;
use actix_web::{HttpResponse, Responder, web};
use serde_json::json;

/// The process runs.
pub(super) async fn live() -> impl Responder {
    web::Json(json!({"status": "ok"}))
}

/// The server takes readings: the store answers and nobody asked it to stop. Else the problem that
/// keeps it from it.
pub(super) async fn ready(
    store: web::Data<Store>,
    hub: web::Data<Hub>,
    clock: web::Data<dyn Clock>,
) -> Result<HttpResponse, Problem> {
    let condition = Condition::of(&store, &hub).await;
    if condition.is_stopping {
        return Err(Problem::unavailable("stopping", "the server is stopping"));
    }
    if let Some(reason) = condition.fault {
        return Err(Problem::unavailable("store_unavailable", reason));
    }
    Ok(HttpResponse::Ok().json(condition.body(&hub, clock.now())))
}

/// The same in more words, always 200 so that a broken store does not hide the rest.
pub(super) async fn health(
    store: web::Data<Store>,
    hub: web::Data<Hub>,
    clock: web::Data<dyn Clock>,
) -> HttpResponse {
    let condition = Condition::of(&store, &hub).await;
    HttpResponse::Ok().json(condition.body(&hub, clock.now()))
}

/// How the server is.
struct Condition {
    /// Why the store takes no readings.
    fault: Option<&'static str>,
    is_stopping: bool,
}

impl Condition {
    async fn of(store: &Store, hub: &Hub) -> Self {
        let fault = store.check().await.err().map(|error| {
            tracing::debug!(%error, "the store does not work");
            error.reason()
        });
        Self {
            fault,
            is_stopping: hub.shutdown().has_begun(),
        }
    }

    fn body(&self, hub: &Hub, now: Timestamp) -> serde_json::Value {
        let status = match self {
            Self {
                is_stopping: true, ..
            } => "stopping",
            Self { fault: Some(_), .. } => "degraded",
            Self { fault: None, .. } => "ok",
        };
        let store = if self.fault.is_some() {
            "unavailable"
        } else {
            "ok"
        };
        let mut body = json!({
            "status": status,
            "timestamp": now.to_string(),
            "services": {"api": "ok", "store": store, "websocket": "ok"},
            "websocket_clients": hub.stats().active_connections,
            "version": env!("CARGO_PKG_VERSION"),
        });
        if let Some(reason) = self.fault {
            body["reason"] = reason.into();
        }
        body
    }
}

//! Whether the server lives, and whether it can do its work.

use crate::access::{Call, Need, call};
use crate::broadcast::Hub;
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::http::Problem;
use crate::store::Store;
use actix_web::web::{Data, Json};
use serde::Serialize;
use utoipa::ToSchema;

pub(super) fn calls() -> Vec<Call> {
    vec![
        call!(Need::VIEWER, api_health),
        call!(Need::VIEWER, health),
        call!(Need::VIEWER, ready),
        call!(Need::Nothing, live),
    ]
}

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    status: Status,
    timestamp: Timestamp,
    services: Services,
    websocket_clients: usize,
    version: &'static str,
    /// What is wrong, when something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = HealthStatus)]
enum Status {
    Ok,
    Degraded,
    Stopping,
}

#[derive(Debug, Serialize, ToSchema)]
struct Services {
    api: Service,
    store: Service,
    websocket: Service,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Service {
    Ok,
    Unavailable,
}

#[derive(Debug, Serialize, ToSchema)]
struct Alive {
    #[schema(inline)]
    status: Running,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Running {
    Ok,
}

/// Whether the process runs
#[utoipa::path(method(get, head), path = "/health/live", tag = "operation",
    responses((status = 200, description = "It does", body = Alive)))]
async fn live() -> Json<Alive> {
    let status = Running::Ok;
    Json(Alive { status })
}

/// Whether the server takes readings
///
/// It does when the store answers and nobody asked the server to stop. Else the problem says what keeps
/// it from that.
#[utoipa::path(method(get, head), path = "/health/ready", tag = "operation",
    responses((status = 200, description = "It does", body = Health)))]
async fn ready(
    store: Data<Store>,
    hub: Data<Hub>,
    clock: Data<dyn Clock>,
) -> Result<Json<Health>, Problem> {
    let condition = Condition::of(&store, &hub).await;
    if condition.is_stopping {
        return Err(Problem::unavailable("stopping", "the server is stopping"));
    }
    if let Some(reason) = condition.fault {
        return Err(Problem::unavailable("store_unavailable", reason));
    }
    Ok(Json(condition.shown(&hub, clock.now())))
}

/// State of the store and the stream
///
/// Always 200, so that a broken store does not hide the rest.
#[utoipa::path(method(get, head), path = "/health", tag = "operation",
    responses((status = 200, description = "How it is", body = Health)))]
async fn health(store: Data<Store>, hub: Data<Hub>, clock: Data<dyn Clock>) -> Json<Health> {
    let condition = Condition::of(&store, &hub).await;
    Json(condition.shown(&hub, clock.now()))
}

/// State of the store and the stream
///
/// Always 200, so that a broken store does not hide the rest.
#[utoipa::path(method(get, head), path = "/api/health", tag = "operation",
    responses((status = 200, description = "How it is", body = Health)))]
async fn api_health(store: Data<Store>, hub: Data<Hub>, clock: Data<dyn Clock>) -> Json<Health> {
    health(store, hub, clock).await
}

/// What its health follows from.
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

    fn shown(&self, hub: &Hub, now: Timestamp) -> Health {
        let (status, store) = match self.fault {
            None => (Status::Ok, Service::Ok),
            Some(_) => (Status::Degraded, Service::Unavailable),
        };
        Health {
            status: if self.is_stopping {
                Status::Stopping
            } else {
                status
            },
            timestamp: now,
            services: Services {
                api: Service::Ok,
                store,
                websocket: Service::Ok,
            },
            websocket_clients: hub.stats().active_connections,
            version: env!("CARGO_PKG_VERSION"),
            reason: self.fault,
        }
    }
}

//! How the server is, and who is connected.

use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Who is connected.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct StreamStats {
    active_connections: u64,
    /// The same number under the name older clients read.
    total_connections: u64,
    /// Clients by topic; those of `all` count there only.
    subscriptions: BTreeMap<String, u64>,
}

/// How the server is.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct Health {
    status: HealthStatus,
    #[schema(format = DateTime)]
    timestamp: String,
    services: BTreeMap<String, String>,
    websocket_clients: u64,
    version: String,
    /// What is wrong, when something is.
    reason: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::server::openapi) enum HealthStatus {
    Ok,
    Degraded,
    Stopping,
}

#[derive(ToSchema)]
pub(in crate::server::openapi) struct Alive {
    status: Ok,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::server::openapi) enum Ok {
    Ok,
}

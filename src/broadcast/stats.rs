//! Who is connected, as `/ws/stats` and the socket tell it.

use serde::Serialize;
use utoipa::ToSchema;

/// How a client is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    WebSocket,
    Events,
}

impl Transport {
    pub const COUNT: usize = 2;
}

/// Who is connected.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = StreamStats)]
pub struct Stats {
    pub active_connections: usize,
    /// The same number under the name older clients read.
    pub total_connections: usize,
    pub subscriptions: Subscriptions,
}

/// Clients of each topic; those of `all` are counted there only.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Subscriptions {
    pub measurements: usize,
    pub predictions: usize,
    pub actions: usize,
    pub alerts: usize,
    pub modules: usize,
    pub system: usize,
    pub all: usize,
}

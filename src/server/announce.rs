//! Host metrics for everybody who subscribed to `system`.

use crate::broadcast::Hub;
use crate::clock::Clock;
use crate::domain::Topic;
use crate::host::Host;
use crate::shutdown::Shutdown;
use crate::store::{Notice, WriteQueue};
use serde_json::Map;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Announces host metrics at each interval, as long as somebody listens; a zero interval is never.
pub(super) async fn announce(
    hub: Hub,
    queue: WriteQueue,
    host: Arc<Host>,
    clock: Arc<dyn Clock>,
    period: Duration,
    shutdown: Shutdown,
) {
    if period.is_zero() {
        return;
    }
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.begun() => return,
        }
        if !hub.is_wanted(Topic::System) {
            continue;
        }
        let metrics = serde_json::to_value(host.metrics()).unwrap_or_default();
        let mut body = Map::new();
        body.insert("timestamp".to_owned(), clock.now().to_string().into());
        body.insert("data".to_owned(), metrics);
        let notice = Notice {
            topic: Topic::System,
            kind: "metrics_update",
            site: None,
            room: None,
            sensor: None,
            body,
        };
        if let Err(error) = queue.announce(notice) {
            tracing::debug!(%error, "host metrics were not announced");
        }
    }
}

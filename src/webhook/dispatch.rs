//! Gives every webhook its task, and writes how far they have come.

use super::webhooks::Webhooks;
use crate::shutdown::Shutdown;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::TaskTracker;

/// Time between two writes of what was delivered: what a crash may have delivered twice.
const WRITE_INTERVAL: Duration = Duration::from_secs(2);
/// Every Nth write also saves the position of webhooks that had nothing to deliver. Losing such a
/// position costs only reading the log again after a start.
const WRITES_PER_FULL_WRITE: u32 = 30;

/// Delivers until the server stops.
pub async fn dispatch(webhooks: Webhooks, shutdown: Shutdown) {
    let workers = TaskTracker::new();
    let mut ticks = interval(WRITE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut writes: u32 = 0;
    let mut fails = false;
    while !shutdown.has_begun() {
        for worker in webhooks.workers() {
            shutdown.spawn(workers.track_future(worker.run(shutdown.clone())));
        }
        tokio::select! {
            () = webhooks.added() => {}
            () = shutdown.begun() => {}
            _ = ticks.tick() => {
                writes = (writes + 1) % WRITES_PER_FULL_WRITE;
                match webhooks.write_progress(writes == 0).await {
                    Ok(()) => fails = false,
                    // Once, not every time for as long as it lasts.
                    Err(error) if !fails => {
                        tracing::warn!(%error, "how far webhooks have come cannot be written");
                        fails = true;
                    }
                    Err(_) => {}
                }
            }
        }
    }
    workers.close();
    workers.wait().await;
    if let Err(error) = webhooks.write_progress(true).await {
        tracing::warn!(%error, "how far webhooks have come is not written");
    }
}

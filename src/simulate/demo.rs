//! The simulated building of `iaqverse serve --demo`.

use super::{Now, SimulationConfig, Target, run};
use crate::clock::{Clock, SystemClock};
use crate::shutdown::Shutdown;
use chrono::{DateTime, Utc};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// History of the demo building, so that its charts are not empty.
const DEMO_BACKFILL: Duration = Duration::from_hours(24);

/// Starts a simulated building that posts to the server at `address` with a token until it stops.
pub fn start_demo(address: SocketAddr, token: String, shutdown: &Shutdown) {
    let config = SimulationConfig {
        backfill: DEMO_BACKFILL,
        ..SimulationConfig::default()
    };
    let target = Target {
        url: format!("http://{address}"),
        bearer: Some(token),
    };
    let stop = shutdown.token();
    shutdown.spawn(async move {
        if let Err(error) = run(config, target, system_time(), stop).await {
            tracing::error!(%error, "the demo building does not run");
        }
    });
}

/// The machine's clock.
pub(crate) fn system_time() -> Now {
    Arc::new(|| {
        let now = SystemClock.now().millis();
        DateTime::<Utc>::from_timestamp_millis(now).unwrap_or_default()
    })
}

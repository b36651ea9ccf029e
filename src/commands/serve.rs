//! `iaqverse serve`: the server.

use crate::config::ServeConfig;
use crate::server::{Application, telemetry};

/// Serves until it is asked to stop.
pub(super) async fn command(config: ServeConfig) -> anyhow::Result<()> {
    telemetry::start(&config.log)?;
    Application::build(config).await?.run_until_stopped().await
}

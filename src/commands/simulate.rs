//! `iaqverse simulate`: a simulated building that posts to a server.

use crate::config::LogConfig;
use crate::config::bounds::duration;
use crate::server::telemetry;
use crate::shutdown::Signals;
use crate::simulate::{SimulationConfig, Target, run, system_time};
use chrono::FixedOffset;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Settings of `iaqverse simulate`.
#[derive(Debug, Clone, Args)]
pub struct SimulateArgs {
    /// Server that takes the readings
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,

    /// Rooms, each with one sensor, 1 to 1000
    #[arg(long, default_value_t = 12)]
    pub rooms: u32,

    /// The same seed gives the same building and the same habits
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Time between two readings of one sensor
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub interval: Duration,

    /// Simulated seconds per real second; timestamps stay real
    #[arg(long, default_value_t = 1.0)]
    pub speed: f64,

    /// History to post before going live
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub backfill: Duration,

    /// Time between two readings of one sensor in the history
    #[arg(long, default_value = "1min", value_parser = duration)]
    pub backfill_step: Duration,

    /// Local time of the building, which its people follow
    #[arg(long, default_value = "+00:00", allow_hyphen_values = true)]
    pub utc_offset: FixedOffset,

    /// Token of an operator, or device key, where the server asks for one
    #[arg(
        long,
        env = "IAQ_TOKEN",
        value_name = "IAQ_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<SecretString>,

    #[command(flatten)]
    pub log: LogConfig,
}

/// Simulates until interrupted.
pub(crate) async fn command(arguments: SimulateArgs) -> anyhow::Result<()> {
    telemetry::start(&arguments.log)?;
    let config = SimulationConfig {
        rooms: arguments.rooms,
        seed: arguments.seed,
        interval: arguments.interval,
        speed: arguments.speed,
        backfill: arguments.backfill,
        backfill_step: arguments.backfill_step,
        utc_offset: arguments.utc_offset,
    };
    let target = Target {
        url: arguments.url,
        bearer: arguments
            .token
            .map(|token| token.expose_secret().to_owned()),
    };
    let stop = CancellationToken::new();
    let mut signals = Signals::listen()?;
    let simulation = run(config, target, system_time(), stop.clone());
    tokio::pin!(simulation);
    tokio::select! {
        ended = &mut simulation => return Ok(ended?),
        signal = signals.next() => tracing::info!(signal, "stopping"),
    }
    stop.cancel();
    Ok(simulation.await?)
}

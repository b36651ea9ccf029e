//! Every setting: meaning, unit, default. Secret ones are shown by no `Debug` and not in the help.
//!
//! Each is an environment variable and a flag of the same meaning; the flag wins.
#![expect(
    rustdoc::bare_urls,
    clippy::doc_markdown,
    reason = "these comments are the help text"
)]

mod access;
pub(crate) mod bounds;
mod http;
mod models;
pub(crate) mod names;
mod store;
mod webhook;

pub use access::AccessConfig;
pub use http::HttpConfig;
pub use models::ModelsConfig;
pub use store::{DatabaseConfig, StoreConfig};
pub use webhook::WebhookConfig;

use crate::broadcast::{HubLimits, LogLimits};
use crate::domain::Zone;
use crate::read_budget::READ_BYTES_MIN;
use crate::score::Profile;
use crate::validate::TvocUnit;
use bounds::{BYTES_MAX, COUNT_MAX, MESSAGE_BYTES_MAX, THREADS_MAX, duration, up_to};
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Settings of the server.
#[derive(Debug, Clone, Args)]
pub struct ServeConfig {
    /// Address to listen on; port 0 picks a free one
    #[arg(
        long,
        env = "IAQ_BIND",
        value_name = "IAQ_BIND",
        default_value = "127.0.0.1:8080"
    )]
    pub bind: SocketAddr,

    #[command(flatten)]
    pub access: AccessConfig,

    /// Worker threads; 0 takes the number of cores
    #[arg(
        long,
        env = "IAQ_WORKERS",
        value_parser = up_to(THREADS_MAX),
        value_name = "IAQ_WORKERS",
        default_value_t = 0
    )]
    pub workers: usize,

    #[command(flatten)]
    pub store: StoreConfig,

    #[command(flatten)]
    pub models: ModelsConfig,

    /// Folder of the built pages
    #[arg(
        long,
        env = "IAQ_PAGES_DIR",
        value_name = "IAQ_PAGES_DIR",
        default_value = "frontend/dist"
    )]
    pub pages_dir: PathBuf,

    /// Add a simulated building that posts to this server
    #[arg(long)]
    pub demo: bool,

    /// Score of the air
    #[arg(
        long,
        env = "IAQ_SCORE_PROFILE",
        value_name = "IAQ_SCORE_PROFILE",
        value_parser = names::profile(),
        default_value = "iaqverse"
    )]
    pub score_profile: Profile,

    /// Time zone of days and weeks where nothing else says, for example Europe/Paris
    #[arg(
        long,
        env = "IAQ_TIMEZONE",
        value_name = "IAQ_TIMEZONE",
        value_parser = names::zone,
        default_value = "UTC"
    )]
    pub timezone: Zone,

    /// Unit of TVOC values that come without one
    #[arg(
        long,
        env = "IAQ_TVOC_UNIT",
        value_name = "IAQ_TVOC_UNIT",
        value_parser = names::tvoc_unit(),
        default_value = "ppb"
    )]
    pub tvoc_unit: TvocUnit,

    #[command(flatten)]
    pub http: HttpConfig,

    /// Proxies whose X-Forwarded-For is believed, as comma-separated CIDRs
    #[arg(long, env = "IAQ_TRUSTED_PROXIES", value_name = "IAQ_TRUSTED_PROXIES",
        value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,

    /// Largest request body in bytes, as sent
    #[arg(long, value_parser = up_to(MESSAGE_BYTES_MAX), env = "IAQ_BODY_BYTES_MAX", value_name = "IAQ_BODY_BYTES_MAX",
        default_value_t = 1024 * 1024)]
    pub body_bytes_max: usize,

    /// Largest request body in bytes, after decompression
    #[arg(long, value_parser = up_to(MESSAGE_BYTES_MAX), env = "IAQ_BODY_EXPANDED_BYTES_MAX", value_name = "IAQ_BODY_EXPANDED_BYTES_MAX",
        default_value_t = 16 * 1024 * 1024)]
    pub body_expanded_bytes_max: usize,

    /// Bytes of memory for answers that are read from the store and not taken yet: histories, latest
    /// readings, snapshots and replays of all clients together; who asks for too much of it is
    /// answered 503
    #[arg(long, value_parser = up_to(BYTES_MAX), env = "IAQ_READ_BYTES_MAX", value_name = "IAQ_READ_BYTES_MAX",
        default_value_t = 128 * 1024 * 1024)]
    pub read_bytes_max: usize,

    /// Most readings in one request
    #[arg(
        long,
        env = "IAQ_BATCH_READINGS_MAX",
        value_parser = up_to(COUNT_MAX),
        value_name = "IAQ_BATCH_READINGS_MAX",
        default_value_t = 10_000
    )]
    pub batch_readings_max: usize,

    /// Longest time for a request's head to arrive
    #[arg(long, env = "IAQ_HEAD_TIMEOUT", value_name = "IAQ_HEAD_TIMEOUT", default_value = "5s",
        value_parser = duration)]
    pub head_timeout: Duration,

    /// Longest time for a request's body to arrive
    #[arg(long, env = "IAQ_BODY_TIMEOUT", value_name = "IAQ_BODY_TIMEOUT", default_value = "30s",
        value_parser = duration)]
    pub body_timeout: Duration,

    /// Most WebSocket connections; 0 for no limit
    #[arg(
        long,
        env = "IAQ_WS_MAX",
        value_parser = up_to(COUNT_MAX),
        value_name = "IAQ_WS_MAX",
        default_value_t = 20_000
    )]
    pub ws_max: usize,

    /// Most WebSocket connections of one address; 0 for no limit
    #[arg(
        long,
        env = "IAQ_WS_MAX_PER_IP",
        value_parser = up_to(COUNT_MAX),
        value_name = "IAQ_WS_MAX_PER_IP",
        default_value_t = 100
    )]
    pub ws_max_per_ip: usize,

    /// Bytes that may wait for one WebSocket client; a client further behind is closed with 1013
    #[arg(long, value_parser = up_to(MESSAGE_BYTES_MAX), env = "IAQ_WS_QUEUE_BYTES_MAX", value_name = "IAQ_WS_QUEUE_BYTES_MAX",
        default_value_t = 256 * 1024)]
    pub ws_queue_bytes_max: usize,

    /// Time between pings to a WebSocket client
    #[arg(long, env = "IAQ_WS_PING_INTERVAL", value_name = "IAQ_WS_PING_INTERVAL",
        default_value = "30s", value_parser = duration)]
    pub ws_ping_interval: Duration,

    /// A WebSocket client that is silent for this long is dropped
    #[arg(long, env = "IAQ_WS_SILENCE_MAX", value_name = "IAQ_WS_SILENCE_MAX",
        default_value = "60s", value_parser = duration)]
    pub ws_silence_max: Duration,

    /// Commands a WebSocket client may send each second; 0 for no limit
    #[arg(
        long,
        env = "IAQ_WS_COMMANDS_PER_SECOND",
        value_name = "IAQ_WS_COMMANDS_PER_SECOND",
        default_value_t = 20
    )]
    pub ws_commands_per_second: u32,

    /// Filters the subscriptions of a WebSocket client may have
    #[arg(
        long,
        env = "IAQ_WS_FILTERS_MAX",
        value_parser = up_to(COUNT_MAX),
        value_name = "IAQ_WS_FILTERS_MAX",
        default_value_t = 32
    )]
    pub ws_filters_max: usize,

    /// Threads that serve WebSocket clients; 0 takes half of the cores
    #[arg(
        long,
        env = "IAQ_WS_THREADS",
        value_parser = up_to(THREADS_MAX),
        value_name = "IAQ_WS_THREADS",
        default_value_t = 0
    )]
    pub ws_threads: usize,

    /// Messages of each topic kept in memory for clients that come back
    #[arg(
        long,
        env = "IAQ_REPLAY_MESSAGES",
        value_parser = up_to(COUNT_MAX),
        value_name = "IAQ_REPLAY_MESSAGES",
        default_value_t = 10_000
    )]
    pub replay_messages: usize,

    /// How long messages are kept in memory for clients that come back
    #[arg(long, env = "IAQ_REPLAY_AGE", value_name = "IAQ_REPLAY_AGE",
        default_value = "10m", value_parser = duration)]
    pub replay_age: Duration,

    /// Time between two broadcasts of host metrics; 0s for none
    #[arg(long, env = "IAQ_SYSTEM_INTERVAL", value_name = "IAQ_SYSTEM_INTERVAL",
        default_value = "2s", value_parser = duration)]
    pub system_interval: Duration,

    /// Longest time for requests and WebSockets to end when the server stops
    #[arg(long, env = "IAQ_SHUTDOWN_TIMEOUT", value_name = "IAQ_SHUTDOWN_TIMEOUT",
        default_value = "10s", value_parser = duration)]
    pub shutdown_timeout: Duration,

    #[command(flatten)]
    pub webhook: WebhookConfig,

    #[command(flatten)]
    pub log: LogConfig,
}

/// What is logged and how.
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    /// Level, or levels by module: info, debug, iaqverse::http=debug …
    #[arg(
        long = "log",
        env = "IAQ_LOG",
        value_name = "IAQ_LOG",
        default_value = "info"
    )]
    pub filter: String,

    /// Form of a line; by default pretty on a terminal and json elsewhere
    #[arg(
        long = "log-format",
        env = "IAQ_LOG_FORMAT",
        value_name = "IAQ_LOG_FORMAT"
    )]
    pub format: Option<LogFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Pretty,
    Json,
}

/// A combination of settings the server cannot start with.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{setting}: {reason}")]
pub struct ConfigError {
    pub setting: &'static str,
    pub reason: String,
}

impl ServeConfig {
    /// Checks what no single setting can tell.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |setting, reason: String| Err(ConfigError { setting, reason });
        self.access.check(self.bind.ip())?;
        self.store.check()?;
        self.models.check()?;
        for (setting, number) in [
            ("IAQ_BODY_BYTES_MAX", self.body_bytes_max),
            ("IAQ_BODY_EXPANDED_BYTES_MAX", self.body_expanded_bytes_max),
            ("IAQ_BATCH_READINGS_MAX", self.batch_readings_max),
        ] {
            if number == 0 {
                return refuse(setting, "must be at least 1".to_owned());
            }
        }
        if self.read_bytes_max < READ_BYTES_MIN {
            return refuse(
                "IAQ_READ_BYTES_MAX",
                format!("must be at least {READ_BYTES_MIN}"),
            );
        }
        if self.store.queue_readings_max < self.batch_readings_max {
            return refuse(
                "IAQ_QUEUE_READINGS_MAX",
                format!("must hold a whole batch of {}", self.batch_readings_max),
            );
        }
        if self.ws_queue_bytes_max < WS_QUEUE_BYTES_MIN {
            return refuse(
                "IAQ_WS_QUEUE_BYTES_MAX",
                format!("must be at least {WS_QUEUE_BYTES_MIN}"),
            );
        }
        if self.ws_ping_interval.is_zero() || self.ws_silence_max <= self.ws_ping_interval {
            return refuse(
                "IAQ_WS_SILENCE_MAX",
                "must be longer than IAQ_WS_PING_INTERVAL, which must not be zero".to_owned(),
            );
        }
        for (setting, duration) in [
            ("IAQ_BODY_TIMEOUT", self.body_timeout),
            ("IAQ_SHUTDOWN_TIMEOUT", self.shutdown_timeout),
        ] {
            if duration < Duration::from_millis(1) {
                return refuse(setting, "must be at least 1ms".to_owned());
            }
        }
        if !self.system_interval.is_zero() && self.system_interval < SYSTEM_INTERVAL_MIN {
            return refuse(
                "IAQ_SYSTEM_INTERVAL",
                "must be at least 10ms, or 0s for none".to_owned(),
            );
        }
        if self.head_timeout < HEAD_TIMEOUT_MIN {
            return refuse("IAQ_HEAD_TIMEOUT", "must be at least 1s".to_owned());
        }
        self.http.check()
    }

    /// Bounds of the hub.
    pub fn hub_limits(&self) -> HubLimits {
        HubLimits {
            connections_max: self.ws_max,
            connections_per_address_max: self.ws_max_per_ip,
            queue_bytes_max: self.ws_queue_bytes_max,
            commands_per_second: self.ws_commands_per_second,
            filters_max: self.ws_filters_max,
            ping_interval: self.ws_ping_interval,
            silence_max: self.ws_silence_max,
            replay: LogLimits {
                messages_max: self.replay_messages,
                age_max: self.replay_age,
            },
        }
    }

    pub fn hub_thread_count(&self) -> usize {
        match self.ws_threads {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
            threads => threads,
        }
    }

    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }
}

/// The HTTP library reads its clock twice a second.
const HEAD_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// Below this the measuring would be most of what is measured.
const SYSTEM_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Below this not even the frames of one snapshot page would fit.
const WS_QUEUE_BYTES_MIN: usize = 4096;

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("must be 1 or 0".to_owned()),
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_invalid| format!("{text:?} is no network like 10.0.0.0/8"))
}

#[cfg(test)]
mod tests;

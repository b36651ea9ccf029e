//! Settings of how HTTP is spoken, and with which pages.
#![expect(rustdoc::bare_urls, reason = "these comments are the help text")]

use super::ConfigError;
use super::bounds::{COUNT_MAX, duration, up_to};
use crate::http::{Patience, is_origin};
use clap::Args;
use std::time::Duration;

/// Connections, and the pages of others.
#[derive(Debug, Clone, Args)]
pub struct HttpConfig {
    /// Origins whose pages may use this server besides its own, comma-separated, for example
    /// https://dashboard.example; null and file:// stand for pages that have none, such as files
    #[arg(
        long,
        env = "IAQ_ALLOWED_ORIGINS",
        value_name = "IAQ_ALLOWED_ORIGINS",
        value_delimiter = ','
    )]
    pub allowed_origins: Vec<String>,

    /// How long a connection is kept for its next request
    #[arg(long, env = "IAQ_IDLE_TIMEOUT", value_name = "IAQ_IDLE_TIMEOUT", default_value = "75s",
        value_parser = duration)]
    pub idle_timeout: Duration,

    /// Most connections that are kept for their next request, one address a quarter of them; beyond
    /// that one of the address with the most is closed, the one that has waited the longest
    #[arg(
        long,
        env = "IAQ_IDLE_CONNECTIONS_MAX",
        value_parser = up_to(COUNT_MAX),
        value_name = "IAQ_IDLE_CONNECTIONS_MAX",
        default_value_t = 4096
    )]
    pub idle_connections_max: usize,
}

/// What clients are told is in whole seconds.
const IDLE_TIMEOUT_MIN: Duration = Duration::from_secs(1);

impl HttpConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |setting, reason: String| Err(ConfigError { setting, reason });
        if let Some(text) = self.allowed_origins.iter().find(|text| !is_origin(text)) {
            return refuse(
                "IAQ_ALLOWED_ORIGINS",
                format!("{text:?} is no origin like https://dashboard.example"),
            );
        }
        if self.idle_timeout < IDLE_TIMEOUT_MIN {
            return refuse("IAQ_IDLE_TIMEOUT", "must be at least 1s".to_owned());
        }
        if self.idle_connections_max == 0 {
            return refuse("IAQ_IDLE_CONNECTIONS_MAX", "must be at least 1".to_owned());
        }
        Ok(())
    }

    pub fn patience(&self, head: Duration) -> Patience {
        Patience {
            head,
            idle: self.idle_timeout,
        }
    }
}

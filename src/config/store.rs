//! Settings of the store.
#![expect(rustdoc::bare_urls, reason = "these comments are the help text")]

use super::ConfigError;
use super::bounds::{COUNT_MAX, up_to};
use crate::database::Series;
use crate::store::{KeptTooShort, RegistryLimits, ReplayLimits, Retention};
use clap::Args;
use std::fmt;

/// Bound of the write queue: what fits in memory without a thought.
const QUEUE_READINGS_LIMIT: usize = 1_000_000;

/// Where the readings are.
#[derive(Clone, Args)]
pub struct DatabaseConfig {
    /// Database: sqlite://<file>, created when it is missing, or postgres://<user>@<host>/<database>
    #[arg(
        long,
        env = "DATABASE_URL",
        value_name = "DATABASE_URL",
        default_value = "sqlite://iaqverse.db",
        hide_env_values = true
    )]
    pub database_url: String,
}

/// Without the password that the URL may have.
impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = match url::Url::parse(&self.database_url) {
            Ok(mut url) if url.password().is_some() => {
                // Only a URL without a host could not have one.
                url.set_password(Some("…")).unwrap_or_default();
                url.to_string()
            }
            Ok(_) => self.database_url.clone(),
            Err(_) => "…".to_owned(),
        };
        out.debug_struct("DatabaseConfig")
            .field("database_url", &shown)
            .finish()
    }
}

/// Settings of whoever writes the store.
#[derive(Debug, Clone, Args)]
pub struct StoreConfig {
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// Most sensors there may be
    #[arg(
        long,
        env = "IAQ_SENSORS_MAX",
        value_parser = up_to(COUNT_MAX),
        value_name = "IAQ_SENSORS_MAX",
        default_value_t = 100_000
    )]
    pub sensors_max: usize,

    /// Most rooms there may be
    #[arg(
        long,
        env = "IAQ_ROOMS_MAX",
        value_parser = up_to(COUNT_MAX),
        value_name = "IAQ_ROOMS_MAX",
        default_value_t = 20_000
    )]
    pub rooms_max: usize,

    /// Readings that may wait to be written, three quarters of them of one key, account or address;
    /// more are answered 503
    #[arg(
        long,
        env = "IAQ_QUEUE_READINGS_MAX",
        value_parser = up_to(COUNT_MAX),
        value_name = "IAQ_QUEUE_READINGS_MAX",
        default_value_t = 65_536
    )]
    pub queue_readings_max: usize,

    /// Measurements kept in the database, in the order they came, for clients that come back later
    /// or after a restart
    #[arg(
        long,
        env = "IAQ_REPLAY_READINGS",
        value_parser = up_to(COUNT_MAX),
        value_name = "IAQ_REPLAY_READINGS",
        default_value_t = 100_000
    )]
    pub replay_readings: usize,

    /// Days readings are kept, their roll-ups stay; 0 keeps them for ever
    #[arg(
        long = "retention-days",
        env = "IAQ_RETENTION_DAYS",
        value_name = "IAQ_RETENTION_DAYS",
        default_value_t = 0
    )]
    pub retention_days: u32,

    /// Days the means of a minute are kept; 0 keeps them for ever
    #[arg(
        long = "retention-1min-days",
        env = "IAQ_RETENTION_1MIN_DAYS",
        value_name = "IAQ_RETENTION_1MIN_DAYS",
        default_value_t = 0
    )]
    pub retention_1min_days: u32,

    /// Days the means of a quarter of an hour are kept; 0 keeps them for ever
    #[arg(
        long = "retention-15min-days",
        env = "IAQ_RETENTION_15MIN_DAYS",
        value_name = "IAQ_RETENTION_15MIN_DAYS",
        default_value_t = 0
    )]
    pub retention_15min_days: u32,

    /// Days the means of an hour are kept; 0 keeps them for ever
    #[arg(
        long = "retention-1h-days",
        env = "IAQ_RETENTION_1H_DAYS",
        value_name = "IAQ_RETENTION_1H_DAYS",
        default_value_t = 0
    )]
    pub retention_1h_days: u32,

    /// Days the means of a day are kept; 0 keeps them for ever
    #[arg(
        long = "retention-1d-days",
        env = "IAQ_RETENTION_1D_DAYS",
        value_name = "IAQ_RETENTION_1D_DAYS",
        default_value_t = 0
    )]
    pub retention_1d_days: u32,
}

impl DatabaseConfig {
    pub fn check(&self) -> Result<(), ConfigError> {
        let schemes = ["sqlite:", "postgres:", "postgresql:"];
        if schemes
            .iter()
            .any(|scheme| self.database_url.starts_with(scheme))
        {
            return Ok(());
        }
        Err(ConfigError {
            setting: "DATABASE_URL",
            reason: "must begin with sqlite:// or postgres://".to_owned(),
        })
    }
}

impl StoreConfig {
    /// Checks what no single setting can tell.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |setting, reason: String| Err(ConfigError { setting, reason });
        self.database.check()?;
        for (setting, number) in [
            ("IAQ_SENSORS_MAX", self.sensors_max),
            ("IAQ_ROOMS_MAX", self.rooms_max),
        ] {
            if number == 0 {
                return refuse(setting, "must be at least 1".to_owned());
            }
        }
        if !(1..=QUEUE_READINGS_LIMIT).contains(&self.queue_readings_max) {
            return refuse(
                "IAQ_QUEUE_READINGS_MAX",
                format!("must be 1 to {QUEUE_READINGS_LIMIT}"),
            );
        }
        if let Err(KeptTooShort { finer, coarser }) = self.retention().check() {
            return refuse(
                retention_setting(coarser),
                format!("must not be shorter than {}", retention_setting(finer)),
            );
        }
        Ok(())
    }

    pub fn registry_limits(&self) -> RegistryLimits {
        RegistryLimits {
            sensors_max: self.sensors_max,
            rooms_max: self.rooms_max,
        }
    }

    pub fn replay_limits(&self) -> ReplayLimits {
        ReplayLimits {
            readings_kept: self.replay_readings,
        }
    }

    pub fn retention(&self) -> Retention {
        Retention {
            readings_days: self.retention_days,
            minutes_days: self.retention_1min_days,
            quarter_hours_days: self.retention_15min_days,
            hours_days: self.retention_1h_days,
            days_days: self.retention_1d_days,
        }
    }
}

fn retention_setting(series: Series) -> &'static str {
    match series {
        Series::Readings => "IAQ_RETENTION_DAYS",
        Series::Minutes => "IAQ_RETENTION_1MIN_DAYS",
        Series::QuarterHours => "IAQ_RETENTION_15MIN_DAYS",
        Series::Hours => "IAQ_RETENTION_1H_DAYS",
        Series::Days => "IAQ_RETENTION_1D_DAYS",
    }
}

//! Settings of the models of rooms.

use super::ConfigError;
use super::bounds::duration;
use crate::models::ModelLimits;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Where models are and how large they may be.
#[derive(Debug, Clone, Args)]
pub struct ModelsConfig {
    /// Folder of the 3D models of rooms, of this server alone, made when it is missing. By default
    /// beside the SQLite file, with -models behind its name; iaqverse-models with Postgres
    #[arg(long, env = "IAQ_MODELS_DIR", value_name = "IAQ_MODELS_DIR")]
    pub models_dir: Option<PathBuf>,

    /// Largest 3D model in bytes
    #[arg(long, env = "IAQ_MODEL_BYTES_MAX", value_name = "IAQ_MODEL_BYTES_MAX",
        default_value_t = 32 * 1024 * 1024)]
    pub model_bytes_max: u64,

    /// Most bytes of all 3D models together
    #[arg(long, env = "IAQ_MODELS_BYTES_MAX", value_name = "IAQ_MODELS_BYTES_MAX",
        default_value_t = 1024 * 1024 * 1024)]
    pub models_bytes_max: u64,

    /// Longest time for a 3D model to arrive
    #[arg(long, env = "IAQ_MODEL_TIMEOUT", value_name = "IAQ_MODEL_TIMEOUT", default_value = "5m",
        value_parser = duration)]
    pub model_timeout: Duration,
}

/// The format cannot hold longer ones.
const MODEL_BYTES_LIMIT: u64 = u32::MAX as u64;

impl ModelsConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |setting, reason: String| Err(ConfigError { setting, reason });
        if !(1..=MODEL_BYTES_LIMIT).contains(&self.model_bytes_max) {
            return refuse(
                "IAQ_MODEL_BYTES_MAX",
                format!("must be 1 to {MODEL_BYTES_LIMIT}"),
            );
        }
        if self.models_bytes_max < self.model_bytes_max {
            return refuse(
                "IAQ_MODELS_BYTES_MAX",
                "must not be less than IAQ_MODEL_BYTES_MAX".to_owned(),
            );
        }
        if self.model_timeout < Duration::from_millis(1) {
            return refuse("IAQ_MODEL_TIMEOUT", "must be at least 1ms".to_owned());
        }
        Ok(())
    }

    /// The folder, beside the database's `file` if it is one.
    pub fn folder(&self, file: Option<PathBuf>) -> PathBuf {
        self.models_dir.clone().unwrap_or_else(|| match file {
            Some(file) => {
                let mut name = file.into_os_string();
                name.push("-models");
                name.into()
            }
            None => PathBuf::from("iaqverse-models"),
        })
    }

    pub fn limits(&self) -> ModelLimits {
        ModelLimits {
            bytes_max: self.model_bytes_max,
            all_bytes_max: self.models_bytes_max,
            timeout: self.model_timeout,
        }
    }
}

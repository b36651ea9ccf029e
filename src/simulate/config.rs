//! Settings of a simulation, the target of its readings, and what can be wrong with either.

use std::fmt;
use std::time::Duration;

use chrono::FixedOffset;

/// Most rooms a building has.
const ROOMS_MAX: u32 = 1000;

const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_hours(1);
const SPEED_MIN: f64 = 0.01;
const SPEED_MAX: f64 = 3600.0;
const BACKFILL_MAX: Duration = Duration::from_hours(366 * 24);
const BACKFILL_STEP_MIN: Duration = Duration::from_secs(1);
const BACKFILL_STEP_MAX: Duration = Duration::from_hours(24);

/// What to simulate, and how often to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulationConfig {
    /// Rooms, each with one sensor, 1 to 1000.
    pub rooms: u32,
    /// The same seed, rooms and start give the same readings.
    pub seed: u64,
    /// Time between two readings of one sensor, 100 ms to 1 h.
    pub interval: Duration,
    /// Simulated seconds per real second, 0.01 to 3600. Timestamps stay real time at every speed.
    pub speed: f64,
    /// History posted before going live, up to 366 days; zero for none. It runs at speed 1.
    pub backfill: Duration,
    /// Time between two readings of one sensor in the history, 1 s to 24 h.
    pub backfill_step: Duration,
    /// Local time of the building, which people's habits follow; no daylight saving.
    pub utc_offset: FixedOffset,
}

impl Default for SimulationConfig {
    /// Twelve rooms, one reading per 5 s and sensor, real speed, no history, UTC.
    fn default() -> Self {
        Self {
            rooms: 12,
            seed: 1,
            interval: Duration::from_secs(5),
            speed: 1.0,
            backfill: Duration::ZERO,
            backfill_step: Duration::from_mins(1),
            utc_offset: chrono::Offset::fix(&chrono::Utc),
        }
    }
}

impl SimulationConfig {
    /// Refuses a value outside its range.
    pub fn validate(&self) -> Result<(), SimulateError> {
        let problem = if !(1..=ROOMS_MAX).contains(&self.rooms) {
            "rooms must be 1 to 1000"
        } else if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&self.interval) {
            "interval must be 100 ms to 1 h"
        } else if !(SPEED_MIN..=SPEED_MAX).contains(&self.speed) {
            "speed must be 0.01 to 3600"
        } else if self.backfill > BACKFILL_MAX {
            "backfill must be at most 366 days"
        } else if !(BACKFILL_STEP_MIN..=BACKFILL_STEP_MAX).contains(&self.backfill_step) {
            "backfill step must be 1 s to 24 h"
        } else {
            return Ok(());
        };
        Err(SimulateError::Config(problem))
    }
}

/// Server that takes the readings.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Base address, such as `http://127.0.0.1:8080`; `/api/ingest` is appended. Plain HTTP only.
    pub url: String,
    /// Key sent as `Authorization: Bearer …` where the server asks devices for one.
    pub bearer: Option<String>,
}

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key must not reach a log.
        formatter
            .debug_struct("Target")
            .field("url", &self.url)
            .field("bearer", &self.bearer.is_some())
            .finish()
    }
}

/// Why a simulation cannot run. A server that is away is no reason: it is waited for.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A setting is out of its range.
    #[error("{0}")]
    Config(&'static str),
    /// The address or the key of the target cannot be used.
    #[error("simulation target {0}")]
    Target(&'static str),
    /// The HTTP client could not be built.
    #[error("http client failed to start")]
    Client(#[from] reqwest::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut SimulationConfig), problem: Option<&str>) {
        let mut config = SimulationConfig::default();
        change(&mut config);
        let got = config.validate().err().map(|error| error.to_string());
        assert_eq!(got.as_deref(), problem);
    }

    #[test]
    fn ranges_are_enforced() {
        check(|_| (), None);
        check(|c| c.rooms = 0, Some("rooms must be 1 to 1000"));
        check(|c| c.rooms = 1000, None);
        check(|c| c.rooms = 1001, Some("rooms must be 1 to 1000"));
        check(
            |c| c.interval = Duration::ZERO,
            Some("interval must be 100 ms to 1 h"),
        );
        check(|c| c.speed = f64::NAN, Some("speed must be 0.01 to 3600"));
        check(
            |c| c.speed = f64::INFINITY,
            Some("speed must be 0.01 to 3600"),
        );
        check(
            |c| c.backfill = Duration::MAX,
            Some("backfill must be at most 366 days"),
        );
        check(
            |c| c.backfill_step = Duration::ZERO,
            Some("backfill step must be 1 s to 24 h"),
        );
    }

    #[test]
    fn debug_output_hides_the_key() {
        let target = Target {
            url: "http://x".to_owned(),
            bearer: Some("s3cret".to_owned()),
        };
        assert!(!format!("{target:?}").contains("s3cret"));
    }
}

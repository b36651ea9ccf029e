//! The rhythm of a sensor: the usual time between its readings.

use crate::domain::Timestamp;

/// Weight of the newest interval in a sensor's period.
const PERIOD_WEIGHT: f64 = 0.2;
/// An interval of more periods than this is an outage, not the sensor's rhythm.
const OUTAGE_PERIODS: f64 = 10.0;

/// The period after another reading: a moving mean that an outage does not count in.
pub(super) fn smoothed_period(period_ms: Option<f64>, previous: Timestamp, next: Timestamp) -> f64 {
    let interval_ms = next.since(previous).as_secs_f64() * 1000.0;
    match period_ms {
        None => interval_ms,
        Some(period) if interval_ms > OUTAGE_PERIODS * period && period > 0.0 => period,
        Some(period) => period + PERIOD_WEIGHT * (interval_ms - period),
    }
}

//! Where the time comes from. No other module asks the system for it.

use crate::domain::Timestamp;
use std::fmt::Debug;
use std::time::Duration;

/// How exact clocks are taken to be: what is no further ahead is of now.
pub const CLOCK_PRECISION: Duration = Duration::from_secs(2);

/// Up to which time readings have come when the clock says `now`: everything has when it is not set,
/// for then nobody can say what lies ahead.
pub fn horizon(now: Timestamp) -> Timestamp {
    if now.is_set() {
        now.plus(CLOCK_PRECISION)
    } else {
        Timestamp::from_millis(i64::MAX)
    }
}

/// Gives the current time. Shared as `Arc<dyn Clock>`.
pub trait Clock: Debug + Send + Sync {
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that may ask"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::from_utc(chrono::Utc::now())
    }
}

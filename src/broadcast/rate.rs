//! How much a client may send: a token bucket for its commands, and one for the frames around them.

use super::protocol::CommandError;
use std::time::Duration;
use tokio::time::Instant;

/// Why a client is closed that sends frame after frame and no message.
pub(super) const TOO_MANY_OVERHEAD_FRAMES: &str = "too many frames that end no message";

/// Frames a second that end no message. A browser sends none but the answers to our pings.
const OVERHEAD_FRAMES_PER_SECOND: u32 = 100;

/// A second's worth at once, and as many each second after that.
#[derive(Debug)]
pub(super) struct RateBudget {
    per_second: u32,
    /// When the budget would be full again.
    full_at: Option<Instant>,
}

impl RateBudget {
    /// 0 is no limit.
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            per_second,
            full_at: None,
        }
    }

    /// For frames that end no message.
    pub(super) fn of_overhead_frames() -> Self {
        Self::new(OVERHEAD_FRAMES_PER_SECOND)
    }

    /// Whether there is one left, which is then taken.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let full_at =
            self.full_at.map_or(now, |at| at.max(now)) + Duration::from_secs(1) / self.per_second;
        let allowed = full_at <= now + Duration::from_secs(1);
        if allowed {
            self.full_at = Some(full_at);
        }
        allowed
    }

    pub(super) fn exceeded(&self, what: &str) -> CommandError {
        CommandError {
            code: "rate_limited",
            detail: format!("{} {what} a second are allowed", self.per_second),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_steady_rate() {
        let start = Instant::now();
        let mut budget = RateBudget::new(20);
        let at = |ms| start + Duration::from_millis(ms);
        let burst = (0..30).filter(|_| budget.take(at(0))).count();
        assert_eq!(burst, 20);
        assert!(!budget.take(at(49)));
        assert!(budget.take(at(50)) && !budget.take(at(50)));
        let later = (0..30).filter(|_| budget.take(at(10_000))).count();
        assert_eq!(later, 20);
        assert!((0..1000).all(|_| RateBudget::new(0).take(start)));
    }
}

//! The time that retention goes by.
//!
//! What is removed does not come back, so it is not removed on the word of the machine's clock alone,
//! which may be years ahead at a start without a battery and without a network. The time here goes on
//! with the monotonic clock and follows the machine's clock back at once, but ahead only as far as
//! ordinary downtime and corrections go. When the clock is further ahead, it is in doubt: nothing is
//! removed on its word until it has run evenly for a week. So after a long absence old readings go
//! late, and no wrong clock takes any.
//!
//! Pure: whoever looks brings the clocks along.

use crate::database::{ClockRecord, Doubt};
use crate::domain::Timestamp;
use std::time::Duration;

/// How far the clock may be ahead at once: downtime, suspension, a correction.
const AHEAD_MAX: Duration = Duration::from_hours(24);
/// Each hour of running gives back this many hours of that allowance, so six hours a day restore it
/// all. A clock that runs too fast can therefore be followed at most so many times as fast as real time.
const AHEAD_REGAINED: u32 = 3;
/// How long a clock in doubt must run evenly until it is believed. Time off does not count.
const EVEN_NEEDED: Duration = Duration::from_hours(7 * 24);
/// How far both clocks may differ from one look to the next and be even.
const UNEVEN_MAX: Duration = Duration::from_secs(2);

/// What a look at the clocks came to, when it is worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The clock is so far ahead that it is in doubt from now on.
    Doubted,
    /// It went back, or is not in doubt any more because it is right again.
    CameBack,
    /// It has run evenly for long enough.
    Believed,
}

/// The state of the clock that retention goes by.
#[derive(Debug, Clone)]
pub(super) struct RetentionClock {
    /// `None` until the clock of a store that has no record is set.
    record: Option<ClockRecord>,
    /// How far the clock may still be ahead.
    ahead_left: Duration,
}

impl RetentionClock {
    /// Goes on from what was recorded.
    pub(super) fn new(record: Option<ClockRecord>) -> Self {
        Self {
            record,
            ahead_left: AHEAD_MAX,
        }
    }

    pub(super) fn record(&self) -> Option<ClockRecord> {
        self.record
    }

    /// The time to go by; `None` when there is none yet.
    pub(super) fn now(&self) -> Option<Timestamp> {
        self.record.map(|record| record.trusted)
    }

    /// Takes over what the clock says now, `elapsed` after the last look by the monotonic clock.
    pub(super) fn look(&mut self, clock: Timestamp, elapsed: Duration) -> Option<Turn> {
        let regained = elapsed.saturating_mul(AHEAD_REGAINED);
        self.ahead_left = self.ahead_left.saturating_add(regained).min(AHEAD_MAX);
        let Some(record) = &mut self.record else {
            // Nothing has a time here that could be later, so the first clock that is set is as good
            // as any.
            self.record = clock.is_set().then_some(ClockRecord {
                trusted: clock,
                doubt: None,
            });
            return None;
        };
        let before = record.trusted;
        record.trusted = before.plus(elapsed);
        if !clock.is_set() {
            // It says nothing, neither about what was nor about how long ago that is.
            return None;
        }
        let ahead = clock.since(record.trusted);
        if ahead <= self.ahead_left {
            self.ahead_left -= ahead;
            let was_in_doubt = record.doubt.take().is_some();
            let went_back = before.since(clock) > AHEAD_MAX;
            record.trusted = clock;
            return (was_in_doubt || went_back).then_some(Turn::CameBack);
        }
        let Some(doubt) = &mut record.doubt else {
            record.doubt = Some(Doubt {
                clock,
                even: Duration::ZERO,
            });
            return Some(Turn::Doubted);
        };
        let expected = doubt.clock.plus(elapsed);
        let (behind, beyond) = (expected.since(clock), clock.since(expected));
        if behind.max(beyond) <= UNEVEN_MAX {
            doubt.even += elapsed;
        } else if behind > UNEVEN_MAX || beyond > AHEAD_MAX {
            // Another clock than the one that ran until now.
            doubt.even = Duration::ZERO;
        }
        doubt.clock = clock;
        if doubt.even < EVEN_NEEDED {
            return None;
        }
        record.trusted = clock;
        record.doubt = None;
        Some(Turn::Believed)
    }

    /// What a store without a record begins with: as much of the clock as is borne out by what is
    /// stored, the times of the last start and of the newest reading.
    pub(super) fn of_evidence(evidence: Option<Timestamp>, clock: Timestamp) -> Self {
        let trusted = match evidence {
            Some(evidence) if clock.is_set() => Some(clock.min(evidence)),
            Some(evidence) => Some(evidence),
            None => None,
        };
        Self::new(trusted.map(|trusted| ClockRecord {
            trusted,
            doubt: None,
        }))
    }
}

#[cfg(test)]
mod tests;

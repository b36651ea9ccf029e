//! A span of time.

use super::Timestamp;
use std::ops::RangeInclusive;

/// The time from `start` to before `end`; empty when it ends no later than it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    pub start: Timestamp,
    pub end: Timestamp,
}

impl TimeRange {
    pub const fn new(start: Timestamp, end: Timestamp) -> Self {
        Self { start, end }
    }

    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Its part that is not before `start`.
    #[must_use]
    pub fn starting_from(self, start: Timestamp) -> Self {
        Self::new(self.start.max(start), self.end)
    }

    /// What it and another have in common.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// Milliseconds from start to end; 0 when it is empty.
    pub fn width_ms(self) -> u64 {
        if self.is_empty() {
            return 0;
        }
        self.end.millis().abs_diff(self.start.millis())
    }

    /// Its first and its last millisecond.
    pub fn inclusive(self) -> RangeInclusive<Timestamp> {
        self.start..=Timestamp::from_millis(self.end.millis().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start_ms: i64, end_ms: i64) -> TimeRange {
        let (start, end) = (start_ms, end_ms);
        TimeRange::new(Timestamp::from_millis(start), Timestamp::from_millis(end))
    }

    #[test]
    fn its_end_is_no_part_of_it() {
        let two = range(5, 7);
        assert_eq!(two.width_ms(), 2);
        let (first, last) = two.inclusive().into_inner();
        assert_eq!((first.millis(), last.millis()), (5, 6));
        assert!(!two.is_empty() && range(5, 5).is_empty() && range(6, 5).is_empty());
        assert_eq!(range(6, 5).width_ms(), 0);
    }

    #[test]
    fn parts_lie_within_it() {
        assert_eq!(range(0, 10).intersect(range(5, 15)), range(5, 10));
        assert!(range(0, 5).intersect(range(5, 10)).is_empty());
        assert_eq!(
            range(0, 10).starting_from(Timestamp::from_millis(4)),
            range(4, 10)
        );
        assert_eq!(
            range(4, 10).starting_from(Timestamp::from_millis(0)),
            range(4, 10)
        );
    }

    #[test]
    fn the_whole_of_time_has_a_width() {
        assert_eq!(range(i64::MIN, i64::MAX).width_ms(), u64::MAX);
    }
}

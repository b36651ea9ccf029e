//! A moment, to the millisecond.

use super::timestamp_text;
use chrono::{DateTime, SecondsFormat, Utc};
use std::fmt;
use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z. Shown as RFC 3339 in UTC, with a fraction only when
/// there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 2000-01-01T00:00:00Z: nothing older is a reading of this product.
    pub const OLDEST: Self = Self(946_684_800_000);
    /// 2025-01-01T00:00:00Z: a clock that says less is not set, because there was no such product yet.
    /// Machines without a battery start in 1970.
    pub const CLOCK_MIN: Self = Self(1_735_689_600_000);

    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whether a clock that says this is set.
    pub const fn is_set(self) -> bool {
        self.0 >= Self::CLOCK_MIN.0
    }

    /// Reads RFC 3339 with any offset, and what devices make of it: see [`timestamp_text`]. Anything
    /// finer than a millisecond is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        timestamp_text::millis_of_text(text).map(Self)
    }

    /// Reads a decimal number of seconds, milliseconds, microseconds or nanoseconds since 1970; which
    /// of them it is, is told by its size.
    pub fn parse_number(digits: &str) -> Option<Self> {
        timestamp_text::millis_of_number(digits).map(Self)
    }

    pub fn from_utc(at: DateTime<Utc>) -> Self {
        Self(at.timestamp_millis())
    }

    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis_of(duration)))
    }

    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis_of(duration)))
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn millis_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(at) => out.write_str(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => write!(out, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        Timestamp::parse(text).map(|at| at.to_string())
    }

    #[test]
    fn any_offset_is_read_and_shown_in_utc() {
        assert_eq!(
            shown("2025-11-19T10:05:00Z").unwrap(),
            "2025-11-19T10:05:00Z"
        );
        assert_eq!(
            shown("2025-11-19T11:05:00.250+01:00").unwrap(),
            "2025-11-19T10:05:00.250Z"
        );
        assert_eq!(
            shown("2025-11-19T10:05:00.123999Z").unwrap(),
            "2025-11-19T10:05:00.123Z"
        );
    }

    #[test]
    fn texts_without_an_offset_or_that_are_no_time_are_not_read() {
        for text in [
            "2025-11-19T10:05:00",
            "1763546700",
            "",
            "2025-13-01T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), None);
        }
    }
}

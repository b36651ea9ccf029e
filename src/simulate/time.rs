//! Minutes since the Unix epoch, and the local day they fall in.

/// Minutes in a day.
pub(super) const DAY_MINUTES: i64 = 1440;

/// Milliseconds in a minute.
pub(super) const MINUTE_MS: i64 = 60_000;

/// A minute of a local calendar day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LocalMinute {
    /// Days since 1970-01-01, local time.
    pub(super) day: i64,
    /// 0 to 1439.
    pub(super) minute_of_day: u32,
}

impl LocalMinute {
    /// Local form of a minute since the Unix epoch, where local time is `offset_minutes` east.
    pub(super) fn at(minute: i64, offset_minutes: i64) -> Self {
        let local = minute.saturating_add(offset_minutes);
        Self {
            day: local.div_euclid(DAY_MINUTES),
            minute_of_day: u32::try_from(local.rem_euclid(DAY_MINUTES)).unwrap_or(0),
        }
    }

    /// Local hour with its fraction, `[0, 24)`.
    pub(super) fn hour(self) -> f64 {
        f64::from(self.minute_of_day) / 60.0
    }

    /// Days since 1970-01-01 with their fraction; the phase of the year repeats every 365.2425.
    pub(super) fn days(self) -> f64 {
        f64::from(i32::try_from(self.day).unwrap_or(0)) + f64::from(self.minute_of_day) / 1440.0
    }

    pub(super) fn weekday(self) -> Weekday {
        // 1970-01-01 was a Thursday.
        match (self.day + 3).rem_euclid(7) {
            2 => Weekday::Wednesday,
            4 => Weekday::Friday,
            5 => Weekday::Saturday,
            6 => Weekday::Sunday,
            _ => Weekday::Other,
        }
    }
}

/// Day of the week, as far as habits differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weekday {
    Wednesday,
    Friday,
    Saturday,
    Sunday,
    /// Monday, Tuesday or Thursday.
    Other,
}

impl Weekday {
    pub(super) fn is_weekend(self) -> bool {
        matches!(self, Self::Saturday | Self::Sunday)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, TimeZone, Utc};

    use super::*;

    #[test]
    fn weekdays_agree_with_the_calendar() {
        for day in 1..=28 {
            let at = Utc.with_ymd_and_hms(2026, 2, day, 12, 0, 0).unwrap();
            let local = LocalMinute::at(at.timestamp() / 60, 0);
            let want = match at.weekday() {
                chrono::Weekday::Wed => Weekday::Wednesday,
                chrono::Weekday::Fri => Weekday::Friday,
                chrono::Weekday::Sat => Weekday::Saturday,
                chrono::Weekday::Sun => Weekday::Sunday,
                _ => Weekday::Other,
            };
            assert_eq!(local.weekday(), want, "{at}");
        }
    }

    #[test]
    fn the_offset_moves_the_day() {
        let local = LocalMinute::at(DAY_MINUTES - 30, 60);
        assert_eq!(
            local,
            LocalMinute {
                day: 1,
                minute_of_day: 30
            }
        );
        assert_eq!(
            LocalMinute::at(-1, 0),
            LocalMinute {
                day: -1,
                minute_of_day: 1439
            }
        );
    }
}

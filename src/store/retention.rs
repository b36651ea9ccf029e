//! How long the past is kept.

use crate::database::Series;
use crate::domain::Timestamp;
use std::time::Duration;

/// Days each series is kept; 0 keeps it for ever.
///
/// No series is kept shorter than the one it is made of, so that a late reading finds everything that
/// has to be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    pub readings_days: u32,
    pub minutes_days: u32,
    pub quarter_hours_days: u32,
    pub hours_days: u32,
    pub days_days: u32,
}

/// A roll-up that would be kept shorter than what it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptTooShort {
    pub finer: Series,
    pub coarser: Series,
}

impl Retention {
    pub fn days(&self, series: Series) -> u32 {
        match series {
            Series::Readings => self.readings_days,
            Series::Minutes => self.minutes_days,
            Series::QuarterHours => self.quarter_hours_days,
            Series::Hours => self.hours_days,
            Series::Days => self.days_days,
        }
    }

    /// Finds the first roll-up that is kept too short.
    pub fn check(&self) -> Result<(), KeptTooShort> {
        for finer in Series::ALL {
            let Some(coarser) = finer.coarser() else {
                continue;
            };
            let (kept, needed) = (self.days(coarser), self.days(finer));
            if kept != 0 && (needed == 0 || kept < needed) {
                return Err(KeptTooShort { finer, coarser });
            }
        }
        Ok(())
    }

    /// What lies before this goes: always whole days, so that every bucket that can still change has
    /// all its readings. `None` when nothing goes.
    pub fn limit(&self, series: Series, now: Timestamp) -> Option<Timestamp> {
        let days = self.days(series);
        let age = Duration::from_hours(24 * u64::from(days));
        (days > 0).then(|| Series::Days.start(now.minus(age)))
    }

    /// Readings from before this are neither taken nor shown, when those from before `removed_to` may
    /// be gone.
    pub(super) fn refused_before(&self, removed_to: Timestamp, now: Timestamp) -> Timestamp {
        let limit = self.limit(Series::Readings, now);
        let limit = limit.unwrap_or(Timestamp::from_millis(i64::MIN));
        if can_be_removed_to(removed_to, now) {
            limit.max(removed_to)
        } else {
            limit
        }
    }
}

/// The shortest that readings can be kept.
const KEPT_MIN: Duration = Duration::from_hours(24);

/// Whether readings from before `removed_to` can be gone by rights: nothing that is younger than a day
/// is ever removed, but on the word of a wrong clock.
pub(super) fn can_be_removed_to(removed_to: Timestamp, now: Timestamp) -> bool {
    removed_to <= Series::Days.start(now.minus(KEPT_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_days_go() {
        let retention = Retention {
            readings_days: 2,
            ..Retention::default()
        };
        let now = Timestamp::parse("2025-11-19T10:05:00Z").unwrap();
        let limit = retention.limit(Series::Readings, now).unwrap();
        assert_eq!(limit.to_string(), "2025-11-17T00:00:00Z");
        assert_eq!(retention.limit(Series::Hours, now), None);
    }

    #[test]
    fn what_was_removed_on_the_word_of_a_wrong_clock_is_not_refused_for_ever() {
        let at = |text| Timestamp::parse(text).unwrap();
        let kept = |readings_days| Retention {
            readings_days,
            ..Retention::default()
        };
        let now = at("2026-11-30T10:05:00Z");
        let refused = |days, removed_to| kept(days).refused_before(at(removed_to), now);
        let limit = at("2026-10-31T00:00:00Z");
        let ahead = "2027-12-05T00:00:00Z";
        assert_eq!(refused(30, ahead), limit);
        assert_eq!(refused(0, ahead), Timestamp::from_millis(i64::MIN));
        // What is gone stays gone where readings are kept longer from now on.
        let gone = "2026-11-29T00:00:00Z";
        assert_eq!(refused(30, gone), at(gone));
        assert_eq!(refused(0, gone), at(gone));
    }

    #[test]
    fn a_roll_up_is_not_kept_shorter_than_what_it_is_made_of() {
        let kept = |readings_days, minutes_days, hours_days| Retention {
            readings_days,
            minutes_days,
            hours_days,
            ..Retention::default()
        };
        assert_eq!(kept(0, 0, 0).check(), Ok(()));
        assert_eq!(kept(30, 0, 0).check(), Ok(()));
        let finer_and_coarser = |retention: Retention| {
            let error = retention.check().unwrap_err();
            (error.finer, error.coarser)
        };
        let minutes = (Series::Readings, Series::Minutes);
        assert_eq!(finer_and_coarser(kept(30, 29, 0)), minutes);
        assert_eq!(finer_and_coarser(kept(0, 30, 0)), minutes);
        let hours = (Series::QuarterHours, Series::Hours);
        assert_eq!(finer_and_coarser(kept(30, 30, 90)), hours);
    }
}

//! The days of a place, as its clocks show them.

use super::{TimeRange, Timestamp};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::fmt;
use std::sync::LazyLock;

/// The rules that come with the program, so that every machine has the same ones.
static RULES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Clocks anywhere differ from UTC by less.
const OFFSET_MS_MAX: i64 = 26 * 60 * 60 * 1000;

/// A time zone of the IANA database.
///
/// Days are counted from 1970-01-01. One begins at the first moment at which the clocks of the zone show
/// it or a later one: where midnight does not exist, when they leap over it; where it comes twice, the
/// first time. So days follow each other without a gap, whatever becomes of the clocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone called `name`, in capitals or not.
    pub fn named(name: &str) -> Option<Self> {
        let zone = RULES.get(name).ok()?;
        (!zone.is_unknown()).then_some(Self(zone))
    }

    /// Whether its clocks have shown UTC as long as there are readings, and will.
    pub(crate) fn is_utc(&self) -> bool {
        let oldest = Timestamp::OLDEST.millis();
        let changes = self.0.following(instant(oldest)).next();
        changes.is_none() && self.offset_ms(oldest) == 0
    }

    /// The day that has begun at `at`.
    pub(crate) fn day(&self, at: Timestamp) -> i64 {
        let local_ms = at.millis().saturating_add(self.offset_ms(at.millis()));
        let mut day = local_ms.div_euclid(DAY_MS);
        // Clocks that are set back behind midnight show the day before once more.
        let mut next = self.start(day + 1);
        while next <= at {
            day += 1;
            let after = self.start(day + 1);
            if after <= next {
                // At the end of time no day begins any more.
                break;
            }
            next = after;
        }
        day
    }

    /// When a day begins.
    pub(crate) fn start(&self, day: i64) -> Timestamp {
        let midnight_ms = day.saturating_mul(DAY_MS);
        let before_ms = midnight_ms.saturating_sub(OFFSET_MS_MAX);
        let mut offset_ms = self.offset_ms(before_ms);
        for change in self.0.following(instant(before_ms)) {
            let change_ms = change.timestamp().as_millisecond();
            if midnight_ms.saturating_sub(offset_ms) < change_ms {
                break;
            }
            offset_ms = i64::from(change.offset().seconds()) * 1000;
            if change_ms + offset_ms >= midnight_ms {
                return Timestamp::from_millis(change_ms);
            }
        }
        Timestamp::from_millis(midnight_ms.saturating_sub(offset_ms))
    }

    /// A width of which the beginnings of all days of a time are multiples: the greatest that is known
    /// without looking at each of them.
    pub(crate) fn grain_ms(&self, time: TimeRange) -> i64 {
        let first_ms = time.start.millis().saturating_sub(OFFSET_MS_MAX);
        let last_ms = time.end.millis().saturating_add(OFFSET_MS_MAX);
        let mut grain_ms = common(DAY_MS, self.offset_ms(first_ms));
        for change in self.0.following(instant(first_ms)) {
            let change_ms = change.timestamp().as_millisecond();
            if change_ms > last_ms {
                break;
            }
            // A day may begin with the change itself.
            grain_ms = common(grain_ms, change_ms);
            grain_ms = common(grain_ms, i64::from(change.offset().seconds()) * 1000);
        }
        grain_ms
    }

    fn offset_ms(&self, at_ms: i64) -> i64 {
        i64::from(self.0.to_offset(instant(at_ms)).seconds()) * 1000
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

/// The moment, or the nearest that the calendar has.
fn instant(at_ms: i64) -> jiff::Timestamp {
    let nearest = if at_ms < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    };
    jiff::Timestamp::from_millisecond(at_ms).unwrap_or(nearest)
}

/// The greatest width that both are multiples of.
fn common(one: i64, other: i64) -> i64 {
    let (mut one, mut other) = (one, other.abs());
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

#[cfg(test)]
mod tests;

//! The spans of time that readings are put together over.

use crate::database::Series;
use crate::domain::{TimeRange, Timestamp, Zone};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Spans of time that follow each other without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bucket {
    /// Each of `width_ms`; one of them starts at `origin_ms`.
    Even { width_ms: i64, origin_ms: i64 },
    /// Each of `days` days of a place; one of them starts with the day `origin`, which like all days is
    /// counted from 1970-01-01. Clocks that are changed make some of them shorter or longer.
    Days { zone: Zone, days: i64, origin: i64 },
}

impl Bucket {
    /// Spans of `width_ms` from the beginning of 1970 in UTC on.
    pub const fn even(width_ms: i64) -> Self {
        Self::Even {
            width_ms,
            origin_ms: 0,
        }
    }

    /// Spans of some days of a place, one of which starts with the day `origin`.
    pub fn days(zone: &Zone, days: i64, origin: i64) -> Self {
        if zone.is_utc() {
            return Self::Even {
                width_ms: days * DAY_MS,
                origin_ms: origin * DAY_MS,
            };
        }
        Self::Days {
            zone: zone.clone(),
            days,
            origin,
        }
    }

    /// The bucket that holds `at`.
    pub fn span(&self, at: Timestamp) -> TimeRange {
        match self {
            Self::Even {
                width_ms,
                origin_ms,
            } => {
                let since_origin = at.millis().saturating_sub(*origin_ms);
                let start = at
                    .millis()
                    .saturating_sub(since_origin.rem_euclid(*width_ms));
                let end = start.saturating_add(*width_ms);
                TimeRange::new(Timestamp::from_millis(start), Timestamp::from_millis(end))
            }
            Self::Days { zone, days, origin } => {
                let since_origin = (zone.day(at) - origin).div_euclid(*days) * days;
                let first = origin + since_origin;
                TimeRange::new(zone.start(first), zone.start(first + days))
            }
        }
    }

    /// Start of the bucket that holds `at`.
    pub fn start(&self, at: Timestamp) -> Timestamp {
        self.span(at).start
    }

    /// The width of all of them, or of most.
    pub fn usual_ms(&self) -> i64 {
        match self {
            Self::Even { width_ms, .. } => *width_ms,
            Self::Days { days, .. } => days * DAY_MS,
        }
    }

    /// The coarsest series whose buckets lie whole in these, as far as they are in `time`.
    pub(super) fn series(&self, time: TimeRange) -> Series {
        let grains_ms = match self {
            Self::Even {
                width_ms,
                origin_ms,
            } => [*width_ms, *origin_ms],
            Self::Days { zone, .. } => [zone.grain_ms(time), 0],
        };
        let fits = |series: &Series| grains_ms.iter().all(|grain| grain % series.width_ms() == 0);
        let mut coarsest_first = Series::ALL.into_iter().rev();
        coarsest_first.find(fits).unwrap_or(Series::Readings)
    }
}

/// Finds the buckets of moments of which neighbours mostly have the same.
#[derive(Debug)]
pub(super) struct BucketFinder<'a> {
    bucket: &'a Bucket,
    last: TimeRange,
}

impl<'a> BucketFinder<'a> {
    pub(super) fn new(bucket: &'a Bucket) -> Self {
        let never = Timestamp::from_millis(i64::MIN);
        Self {
            bucket,
            last: TimeRange::new(never, never),
        }
    }

    /// Start of the bucket that holds `at`.
    pub(super) fn start(&mut self, at: Timestamp) -> Timestamp {
        if !(self.last.start..self.last.end).contains(&at) {
            self.last = self.bucket.span(at);
        }
        self.last.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use rstest::rstest;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn zone(name: &str) -> Zone {
        Zone::named(name).unwrap()
    }

    #[rstest]
    #[case(30_000, 0, Series::Readings)]
    #[case(60_000, 0, Series::Minutes)]
    #[case(300_000, 0, Series::Minutes)]
    #[case(1_800_000, 0, Series::QuarterHours)]
    #[case(7_200_000, 0, Series::Hours)]
    #[case(7_200_000, 60_000, Series::Minutes)]
    #[case(604_800_000, 345_600_000, Series::Days)]
    fn a_bucket_is_made_of_the_coarsest_series_that_fits(
        #[case] width_ms: i64,
        #[case] origin_ms: i64,
        #[case] series: Series,
    ) {
        let bucket = Bucket::Even {
            width_ms,
            origin_ms,
        };
        let all = TimeRange::new(Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
        assert_eq!(bucket.series(all), series);
    }

    #[rstest]
    #[case("UTC", "2025-06-01T00:00:00Z", Series::Days)]
    #[case("Europe/Paris", "2025-06-01T00:00:00Z", Series::Hours)]
    #[case("Europe/Paris", "2025-03-01T00:00:00Z", Series::Hours)]
    #[case("Europe/London", "2025-12-01T00:00:00Z", Series::Days)]
    #[case("Europe/London", "2025-03-01T00:00:00Z", Series::Hours)]
    #[case("Asia/Kolkata", "2025-06-01T00:00:00Z", Series::QuarterHours)]
    #[case("Asia/Kathmandu", "2025-06-01T00:00:00Z", Series::QuarterHours)]
    #[case("Australia/Lord_Howe", "2025-06-01T00:00:00Z", Series::QuarterHours)]
    #[case("America/St_Johns", "2010-11-01T00:00:00Z", Series::Minutes)]
    fn local_days_are_made_of_what_fits_the_clocks(
        #[case] name: &str,
        #[case] start: &str,
        #[case] series: Series,
    ) {
        let start = at(start);
        let time = TimeRange::new(start, Timestamp::from_millis(start.millis() + 40 * DAY_MS));
        assert_eq!(Bucket::days(&zone(name), 1, 0).series(time), series);
    }

    #[test]
    fn weeks_begin_on_the_local_monday() {
        let week = |name, moment| {
            let span = Bucket::days(&zone(name), 7, 4).span(at(moment));
            (span.start.to_string(), span.width_ms() / 3_600_000)
        };
        let expected = |start: &str, hours| (start.to_owned(), hours);
        assert_eq!(
            week("UTC", "2025-11-19T10:05:00Z"),
            expected("2025-11-17T00:00:00Z", 168)
        );
        assert_eq!(
            week("Europe/Paris", "2025-10-26T22:59:59Z"),
            expected("2025-10-19T22:00:00Z", 169)
        );
        assert_eq!(
            week("Asia/Kolkata", "2025-11-16T18:30:00Z"),
            expected("2025-11-16T18:30:00Z", 168)
        );
    }

    proptest! {
        #[test]
        fn buckets_follow_each_other(
            name in prop::sample::select(vec!["Europe/Paris", "Pacific/Apia", "Asia/Beirut", "UTC"]),
            days in 1..40_i64,
            origin in 0..7_i64,
            at_ms in 946_684_800_000..2_208_988_800_000_i64,
        ) {
            let bucket = Bucket::days(&zone(name), days, origin);
            let at = Timestamp::from_millis(at_ms);
            let span = bucket.span(at);
            prop_assert!(span.start <= at && at < span.end);
            let last = Timestamp::from_millis(span.end.millis() - 1);
            prop_assert_eq!(bucket.span(last), span);
            prop_assert_eq!(bucket.span(span.end).start, span.end);
            let mut finder = BucketFinder::new(&bucket);
            prop_assert_eq!(finder.start(at), span.start);
            prop_assert_eq!(finder.start(last), span.start);
            prop_assert_eq!(finder.start(span.end), span.end);
        }
    }
}

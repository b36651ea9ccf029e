//! The lengths of time that readings can be put together over.

use crate::domain::Zone;
use crate::store::Bucket;

/// How readings are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Not at all.
    Raw,
    Mean(Bucket),
}

/// Monday 1970-01-05: weeks begin here, everything else with 1970.
const FIRST_MONDAY: i64 = 4;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;
pub(super) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(super) const MINUTE_MS: i64 = 60 * SECOND_MS;
const SECOND_MS: i64 = 1000;
/// Longest step, ten years: beyond it a bucket has no meaning.
const STEP_MS_MAX: i64 = 3660 * DAY_MS;

/// What a step asks for; `None` when it is no step.
///
/// Whole days, however they are written, are those of `zone`. What is shorter, or no whole number of
/// days, is a length of time that is the same everywhere: a day of 23 or 25 hours has no halves of 12.
pub(super) fn step(text: &str, zone: &Zone) -> Option<Step> {
    match text {
        // Deployed pages mean single readings by it.
        "1min" => return Some(Step::Raw),
        "daily" => return Some(Step::Mean(Bucket::days(zone, 1, 0))),
        "weekly" => return Some(Step::Mean(Bucket::days(zone, 7, FIRST_MONDAY))),
        _ => {}
    }
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (count, unit) = text.split_at_checked(digits)?;
    let unit_ms = match unit {
        "s" => SECOND_MS,
        "min" => MINUTE_MS,
        "h" => HOUR_MS,
        "d" => DAY_MS,
        _ => return None,
    };
    let width_ms = count.parse::<i64>().ok()?.checked_mul(unit_ms)?;
    if !(1..=STEP_MS_MAX).contains(&width_ms) {
        return None;
    }
    Some(Step::Mean(if width_ms % DAY_MS == 0 {
        Bucket::days(zone, width_ms / DAY_MS, 0)
    } else {
        Bucket::even(width_ms)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use rstest::rstest;

    #[rstest]
    #[case("5min", Bucket::even(5 * MINUTE_MS))]
    #[case("90s", Bucket::even(90 * SECOND_MS))]
    #[case("2d", Bucket::even(2 * DAY_MS))]
    #[case("daily", Bucket::even(DAY_MS))]
    #[case("weekly", Bucket::Even { width_ms: 7 * DAY_MS, origin_ms: 4 * DAY_MS })]
    fn steps_are_buckets(#[case] text: &str, #[case] bucket: Bucket) {
        assert_eq!(step(text, &Zone::UTC), Some(Step::Mean(bucket)));
        assert_eq!(step("1min", &Zone::UTC), Some(Step::Raw));
    }

    #[rstest]
    #[case("daily", Some((1, 0)))]
    #[case("weekly", Some((7, 4)))]
    #[case("2d", Some((2, 0)))]
    #[case("24h", Some((1, 0)))]
    #[case("1440min", Some((1, 0)))]
    #[case("36h", None)]
    #[case("12h", None)]
    #[case("1h", None)]
    fn whole_days_are_those_of_the_zone(#[case] text: &str, #[case] days: Option<(i64, i64)>) {
        let zone = Zone::named("Europe/Paris").unwrap();
        let Some(Step::Mean(bucket)) = step(text, &zone) else {
            panic!("not a mean")
        };
        match days {
            Some((days, origin)) => assert_eq!(bucket, Bucket::Days { zone, days, origin }),
            None => assert!(matches!(bucket, Bucket::Even { .. })),
        }
    }

    #[rstest]
    fn other_texts_are_no_steps(
        #[values(
            "",
            "min",
            "0s",
            "5",
            "5 min",
            "-1h",
            "5weeks",
            "99999d",
            "99999999999999999h"
        )]
        text: &str,
    ) {
        assert_eq!(step(text, &Zone::UTC), None);
    }
}

//! The lengths of time that readings can be put together over.

use crate::store::Bucket;

/// How readings are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Not at all.
    Raw,
    Mean(Bucket),
}

/// Monday 1970-01-05T00:00:00Z: weeks begin here, everything else at the epoch.
const FIRST_MONDAY_MS: i64 = 4 * DAY_MS;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;
pub(super) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(super) const MINUTE_MS: i64 = 60 * SECOND_MS;
const SECOND_MS: i64 = 1000;
/// Longest step, ten years: beyond it a bucket has no meaning.
const STEP_MS_MAX: i64 = 3660 * DAY_MS;

/// What a step asks for; `None` when it is no step.
pub(super) fn step(text: &str) -> Option<Step> {
    let of = |width_ms, origin_ms| {
        Some(Step::Mean(Bucket {
            width_ms,
            origin_ms,
        }))
    };
    match text {
        // Deployed pages mean single readings by it.
        "1min" => return Some(Step::Raw),
        "daily" => return of(DAY_MS, 0),
        "weekly" => return of(7 * DAY_MS, FIRST_MONDAY_MS),
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
    (1..=STEP_MS_MAX)
        .contains(&width_ms)
        .then(|| of(width_ms, 0))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use rstest::rstest;

    #[rstest]
    #[case("5min", Some((5 * MINUTE_MS, 0)))]
    #[case("90s", Some((90 * SECOND_MS, 0)))]
    #[case("2d", Some((2 * DAY_MS, 0)))]
    #[case("daily", Some((DAY_MS, 0)))]
    #[case("weekly", Some((7 * DAY_MS, FIRST_MONDAY_MS)))]
    #[case("1min", None)]
    fn steps_are_buckets(#[case] text: &str, #[case] bucket: Option<(i64, i64)>) {
        let expected = bucket.map_or(Step::Raw, |(width_ms, origin_ms)| {
            Step::Mean(Bucket {
                width_ms,
                origin_ms,
            })
        });
        assert_eq!(step(text), Some(expected));
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
        assert_eq!(step(text), None);
    }

    #[test]
    fn weeks_begin_on_monday() {
        let Some(Step::Mean(bucket)) = step("weekly") else {
            panic!("not a mean")
        };
        let start = bucket.start(Timestamp::parse("2025-11-19T10:05:00Z").unwrap());
        assert_eq!(start.to_string(), "2025-11-17T00:00:00Z");
    }
}

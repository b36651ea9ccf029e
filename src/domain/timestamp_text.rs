//! Times as devices write them.

use chrono::DateTime;

/// Milliseconds since 1970 of a time with an offset: RFC 3339, and what devices make of it. The seconds
/// may be missing, a comma may stand for the point, a blank for the `T` and before the offset, and the
/// offset may come without its colon or minutes. What is finer than a millisecond is cut off.
pub(super) fn millis_of_text(text: &str) -> Option<i64> {
    let strict = |text: &str| Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis());
    strict(text).or_else(|| strict(&written_strictly(text)?))
}

/// The same time in RFC 3339. Digits are only looked at where others may be missing: whoever reads it
/// does the rest.
fn written_strictly(text: &str) -> Option<String> {
    let (date, rest) = text.trim().split_at_checked("2025-11-19".len())?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let offset_at = rest.find(['Z', 'z', '+', '-'])?;
    let (time, offset) = rest.split_at_checked(offset_at)?;
    let (time, seconds) = time.trim_end().split_at_checked("10:05".len())?;
    let seconds = match seconds {
        "" => ":00".to_owned(),
        seconds => seconds.replacen(',', ".", 1),
    };
    Some(format!(
        "{date}T{time}{seconds}{}",
        offset_strictly(offset)?
    ))
}

fn offset_strictly(offset: &str) -> Option<String> {
    let (sign, digits) = offset.split_at_checked(1)?;
    let (hours, minutes) = match (sign, digits.len()) {
        ("Z" | "z", 0) => return Some("Z".to_owned()),
        ("+" | "-", 2) => (digits, "00"),
        ("+" | "-", 4) => digits.split_at_checked(2)?,
        ("+" | "-", 5) => digits.split_once(':')?,
        _ => return None,
    };
    Some(format!("{sign}{hours}:{minutes}"))
}

/// Milliseconds since 1970 of a number, which counts seconds, milliseconds, microseconds or nanoseconds
/// by its size: as seconds it would be after the year 5138, as the next smaller unit before 1973. What
/// is finer than a millisecond is cut off.
pub(super) fn millis_of_number(digits: &str) -> Option<i64> {
    let (negative, unsigned) = match digits.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    let millis = match unsigned.find(['e', 'E']) {
        Some(_) => millis_of_float(unsigned)?,
        None => millis_of_decimal(unsigned)?,
    };
    Some(if negative { -millis } else { millis })
}

/// Numbers below count seconds; a thousand times as much, milliseconds, and so on.
const SECONDS_END: i64 = 100_000_000_000;

fn millis_of_decimal(unsigned: &str) -> Option<i64> {
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    if whole >= SECONDS_END {
        return Some(millis_of_larger(whole));
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    let millis = digits.fold(0, |millis, digit| 10 * millis + i64::from(digit - b'0'));
    Some(whole * 1000 + millis)
}

/// Of what is written with an exponent, which no clock needs to be exact.
fn millis_of_float(unsigned: &str) -> Option<i64> {
    let numeric = |byte: u8| byte.is_ascii_digit() || b".eE+-".contains(&byte);
    let number: f64 = unsigned
        .bytes()
        .all(numeric)
        .then(|| unsigned.parse().ok())??;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is too large saturates"
    )]
    let (whole, millis) = (number as i64, (number * 1000.0) as i64);
    Some(if whole >= SECONDS_END {
        millis_of_larger(whole)
    } else {
        millis
    })
}

/// Of a number that counts less than seconds.
fn millis_of_larger(whole: i64) -> i64 {
    if whole < 1000 * SECONDS_END {
        whole
    } else if whole < 1_000_000 * SECONDS_END {
        whole / 1000
    } else {
        whole / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    const THEN: i64 = 1_763_546_700_000;

    #[rstest]
    #[case::strict("2025-11-19T10:05:00Z", 0)]
    #[case::offset_without_colon("2025-11-19T11:05:00+0100", 0)]
    #[case::offset_of_hours("2025-11-19T11:05:00+01", 0)]
    #[case::offset_behind("2025-11-19T04:35:00-0530", 0)]
    #[case::offset_behind_a_blank("2025-11-19 11:05:00 +0100", 0)]
    #[case::no_seconds("2025-11-19T10:05Z", 0)]
    #[case::no_seconds_with_an_offset("2025-11-19T11:05+01:00", 0)]
    #[case::comma("2025-11-19T10:05:00,5Z", 500)]
    #[case::comma_and_offset("2025-11-19T11:05:00,123999+01", 123)]
    #[case::small_letters("2025-11-19t10:05:00z", 0)]
    #[case::blanks_around(" 2025-11-19T10:05:00Z\r\n", 0)]
    fn times_are_read_as_devices_write_them(#[case] text: &str, #[case] millis: i64) {
        assert_eq!(millis_of_text(text), Some(THEN + millis));
    }

    #[rstest]
    #[case("2025-11-19T10:05:00")]
    #[case("2025-11-19T10:05:00,5")]
    #[case("2025-11-19T10:05")]
    #[case("2025-11-19")]
    #[case("2025-11-19T10Z")]
    #[case("2025-11-19T10:05,5Z")]
    #[case("2025-11-19T10:05:00+1")]
    #[case("2025-11-19T10:05:00+01:")]
    #[case("2025-11-19T10:05:00+01:0é")]
    #[case("2025-11-19T10:05:00,Z")]
    #[case("2025-11-19T10:05:00,5,5Z")]
    #[case("2025-11-19T25:05Z")]
    #[case("2025-13-01T00:00:00Z")]
    #[case("19/11/2025 10:05")]
    #[case("1763546700")]
    #[case("éééééééééééééé")]
    #[case("")]
    fn what_is_no_time_or_has_no_offset_is_not_read(#[case] text: &str) {
        assert_eq!(millis_of_text(text), None);
    }

    #[rstest]
    #[case("1763546700", 0)]
    #[case("1763546700.5", 500)]
    #[case("1763546700.1239", 123)]
    #[case("1763546700123", 123)]
    #[case("1763546700123.9", 123)]
    #[case("1763546700123999", 123)]
    #[case("1763546700123999999", 123)]
    #[case("+1763546700", 0)]
    #[case("1.7635467e9", 0)]
    #[case("1.7635467E+12", 0)]
    fn a_number_counts_what_its_size_says(#[case] digits: &str, #[case] millis: i64) {
        assert_eq!(millis_of_number(digits), Some(THEN + millis));
    }

    #[rstest]
    #[case("5", 5_000)]
    #[case("-5.5", -5_500)]
    #[case("99999999999", 99_999_999_999_000)]
    #[case("100000000000", 100_000_000_000)]
    #[case("9223372036854775807", 9_223_372_036_854)]
    fn every_size_has_one_meaning(#[case] digits: &str, #[case] millis: i64) {
        assert_eq!(millis_of_number(digits), Some(millis));
    }

    #[rstest]
    #[case("")]
    #[case("-")]
    #[case(".5")]
    #[case("17 63")]
    #[case("nan")]
    #[case("1e")]
    #[case("9223372036854775808")]
    #[case("--5")]
    fn what_is_no_number_is_not_read(#[case] digits: &str) {
        assert_eq!(millis_of_number(digits), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in "\\PC{0,40}|[-0-9T:.,+Z e]{0,40}") {
            millis_of_text(&text);
            millis_of_number(&text);
        }

        #[test]
        fn every_time_is_read_in_every_way_to_write_it(
            seconds in 946_684_800_i64..4_102_444_800, millis in 0_i64..1000,
        ) {
            let at = seconds * 1000 + millis;
            let strict = super::super::Timestamp::from_millis(at).to_string();
            let comma = strict.replace('.', ",").replace('Z', "+00");
            prop_assert_eq!(millis_of_text(&strict), Some(at));
            prop_assert_eq!(millis_of_text(&comma), Some(at));
            for number in [
                format!("{seconds}.{millis:03}"), format!("{at}"), format!("{at}999"), format!("{at}000001"),
            ] {
                prop_assert_eq!(millis_of_number(&number), Some(at), "{}", number);
            }
        }
    }
}

//! Numbers and times as text, for writers of millions of them.

use crate::domain::{Extras, Timestamp};
use crate::wire::Number;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::io::Write;

/// A number as JSON and CSV have it: without a fraction when it has none.
pub(super) fn number(number: f64, out: &mut Vec<u8>) {
    json(&Number(number), out);
}

/// JSON of texts and finite numbers, which cannot fail in memory.
pub(super) fn json(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).unwrap_or_default();
}

/// Extra values as one JSON object.
pub(super) fn extras(extras: &Extras, out: &mut Vec<u8>) {
    struct Object<'a>(&'a Extras);
    impl Serialize for Object<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            for (key, number) in self.0.iter() {
                map.serialize_entry(key, &Number(number))?;
            }
            map.end()
        }
    }
    json(&Object(extras), out);
}

const DAY_MS: i64 = 86_400_000;
/// 0000-01-01T00:00:00Z.
const YEAR_0_MS: i64 = -62_167_219_200_000;
/// 10000-01-01T00:00:00Z.
const YEAR_10000_MS: i64 = 253_402_300_800_000;

/// A time as [`Timestamp`] shows itself, without the detour over a calendar type.
pub(super) fn timestamp(at: Timestamp, out: &mut Vec<u8>) {
    let millis = at.millis();
    if !(YEAR_0_MS..YEAR_10000_MS).contains(&millis) {
        // Only such years have not four digits. Writing into memory cannot fail.
        write!(out, "{at}").unwrap_or_default();
        return;
    }
    let (year, month, day) = date(millis.div_euclid(DAY_MS));
    let time = millis.rem_euclid(DAY_MS);
    let fraction = time % 1000;
    let mut text = *b"0000-00-00T00:00:00.000Z";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], time / 3_600_000);
    digits(&mut text[14..16], time / 60_000 % 60);
    digits(&mut text[17..19], time / 1000 % 60);
    if fraction == 0 {
        out.extend_from_slice(&text[..19]);
        out.push(b'Z');
    } else {
        digits(&mut text[20..23], fraction);
        out.extend_from_slice(&text);
    }
}

/// Year, month and day of a number of days since 1970-01-01. The year is taken to begin in March, so
/// that the day a leap year has more is its last.
fn date(days: i64) -> (i64, i64, i64) {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    /// From 0000-03-01 to 1970-01-01.
    const DAYS_BEFORE: i64 = 719_468;
    let days = days + DAYS_BEFORE;
    let era = days.div_euclid(DAYS_OF_400_YEARS);
    let day_of_era = days.rem_euclid(DAYS_OF_400_YEARS);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Five months from March, and again from August, have 153 days.
    let months_since_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
    let month = (months_since_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// Writes a number that has at most as many digits as there is space for.
fn digits(space: &mut [u8], mut number: i64) {
    for place in space.iter_mut().rev() {
        #[expect(clippy::cast_sign_loss, reason = "a digit")]
        let digit = (number % 10) as u8;
        *place = b'0' + digit;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(at: Timestamp) -> String {
        let mut out = Vec::new();
        timestamp(at, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn leap_days_and_the_ends_of_the_calendar_are_shown() {
        for text in [
            "2000-02-29T00:00:00Z",
            "2024-02-29T23:59:59.999Z",
            "2100-03-01T00:00:00Z",
            "1969-12-31T23:59:59.001Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
        ] {
            assert_eq!(shown(Timestamp::parse(text).unwrap()), text);
        }
        for millis in [YEAR_0_MS - 1, YEAR_10000_MS, i64::MIN, i64::MAX] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(shown(at), at.to_string());
        }
    }

    proptest! {
        #[test]
        fn every_time_is_shown_as_it_shows_itself(
            day in YEAR_0_MS / DAY_MS..YEAR_10000_MS / DAY_MS,
            millis in prop_oneof![0..DAY_MS, (0..DAY_MS / 1000).prop_map(|second| second * 1000)],
        ) {
            let at = Timestamp::from_millis(day * DAY_MS + millis);
            prop_assert_eq!(shown(at), at.to_string());
        }
    }
}

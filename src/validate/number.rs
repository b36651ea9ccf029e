//! Numbers as devices write them.

use crate::payload::RawField;

/// What a field of `values` holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Finite(f64),
    /// Nothing was measured.
    Absent,
    /// Something else.
    None,
    LoneSurrogate,
}

/// Texts that stand for no value, in any case.
const ABSENT_WORDS: [&str; 4] = ["", "-", "nan", "na"];

/// Some firmware sends numbers as text only, and words for those it has not.
pub(super) fn of(field: &RawField<'_>) -> Number {
    let number = match field {
        RawField::Absent => return Number::Absent,
        RawField::LoneSurrogate => return Number::LoneSurrogate,
        RawField::Number(digits) => parse(digits),
        RawField::Text(text) => {
            let text = text.trim();
            let is_absent = |word: &str| word.eq_ignore_ascii_case(text);
            if ABSENT_WORDS.into_iter().any(is_absent) {
                return Number::Absent;
            }
            parse(text)
        }
        RawField::UnderLoneSurrogate | RawField::Other => None,
    };
    number.map_or(Number::None, Number::Finite)
}

/// A finite decimal number: the grammar of JSON, a leading `+` allowed. Words like `nan` and `inf`,
/// which a float parser would take, are no measurement.
fn parse(text: &str) -> Option<f64> {
    let numeric = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if !text.bytes().all(numeric) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_no_value_are_told_from_values_and_from_other_texts() {
        let text = |text: &'static str| of(&RawField::Text(text.into()));
        for word in ["", " ", "-", "nan", "NaN", "NA", "na", " NAN\n"] {
            assert_eq!(text(word), Number::Absent, "{word:?}");
        }
        for word in ["--", "n/a", "none", "inf", "NA 5"] {
            assert_eq!(text(word), Number::None, "{word:?}");
        }
        assert_eq!(text(" 21.5 "), Number::Finite(21.5));
        assert_eq!(of(&RawField::Absent), Number::Absent);
        assert_eq!(of(&RawField::Other), Number::None);
    }

    #[test]
    fn finite_decimals_are_numbers_and_nothing_else_is() {
        assert_eq!(parse("21.5"), Some(21.5));
        assert_eq!(parse("-4e1"), Some(-40.0));
        for text in [
            "",
            "nan",
            "inf",
            "-Infinity",
            "1e999",
            "0x10",
            "1,5",
            "12 ppm",
            "e",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

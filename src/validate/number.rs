//! Numbers as devices write them.

/// A finite decimal number: the grammar of JSON, a leading `+` allowed. Words like `nan` and `inf`,
/// which a float parser would take, are no measurement.
pub(super) fn parse(text: &str) -> Option<f64> {
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

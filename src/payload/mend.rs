//! What devices send beside JSON: marks before and behind it, and words for numbers that are none.

/// The mark some software puts before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A body, or a line of one, without byte order marks before it, NULs behind it, and white space on
/// both sides.
pub fn trimmed(bytes: &[u8]) -> &[u8] {
    let (start, end) = edges(bytes);
    bytes.get(start..end).unwrap_or_default()
}

/// The same, to be mended.
pub(super) fn trimmed_mut(bytes: &mut [u8]) -> &mut [u8] {
    let (start, end) = edges(bytes);
    bytes.get_mut(start..end).unwrap_or_default()
}

fn edges(bytes: &[u8]) -> (usize, usize) {
    let mut inner = bytes.trim_ascii_start();
    while let Some(rest) = inner.strip_prefix(BYTE_ORDER_MARK) {
        inner = rest.trim_ascii_start();
    }
    let start = bytes.len() - inner.len();
    inner = inner.trim_ascii_end();
    while let Some(rest) = inner.strip_suffix(b"\0") {
        inner = rest.trim_ascii_end();
    }
    (start, start + inner.len())
}

/// Words that are written in place of a number that is none, as floats are printed by common software;
/// in any case, with or without a sign. A longer one comes before those it begins with.
const WORDS: [&[u8]; 3] = [b"nan", b"infinity", b"inf"];

/// Makes JSON of what is JSON but for such bare words in place of values; says whether there was one.
///
/// Each becomes an empty text, which stands for nothing as well. It is never longer than the word, so
/// nothing moves and no memory is needed. What stands within texts is not touched, nor is a word that
/// anything but the end of a value follows, so that no other fault is hidden.
pub fn mend(bytes: &mut [u8]) -> bool {
    let mut has_mended = false;
    let mut before = b' ';
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        if byte == b'"' {
            at = behind_text(bytes, at);
        } else if can_be_followed_by_a_value(before)
            && let Some(length) = word(bytes.get(at..).unwrap_or_default())
        {
            if let Some(word) = bytes.get_mut(at..at + length) {
                word.fill(b' ');
                word.iter_mut().take(2).for_each(|byte| *byte = b'"');
            }
            has_mended = true;
            at += length;
        } else {
            at += 1;
        }
        if !byte.is_ascii_whitespace() {
            before = byte;
        }
    }
    has_mended
}

fn can_be_followed_by_a_value(byte: u8) -> bool {
    matches!(byte, b':' | b',' | b'[')
}

/// The position behind the text that begins at a position.
fn behind_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return bytes.len(),
        }
    }
}

/// Length of the word that begins here and is a whole value.
fn word(bytes: &[u8]) -> Option<usize> {
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let unsigned = bytes.get(sign..)?;
    let is_it = |word: &&&[u8]| {
        let head = unsigned.get(..word.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(word))
    };
    let length = WORDS.iter().find(is_it)?.len();
    let behind = unsigned.get(length..)?.trim_ascii_start();
    matches!(behind.first(), Some(b',' | b'}' | b']')).then_some(sign + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::Value;

    fn mended(text: &str) -> Option<String> {
        let mut bytes = text.as_bytes().to_vec();
        mend(&mut bytes).then(|| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn marks_and_blanks_around_a_body_are_no_part_of_it() {
        for bytes in [
            &b"{}"[..],
            b"\xef\xbb\xbf{}",
            b" \r\n\xef\xbb\xbf\xef\xbb\xbf {} \0\0",
            b"{}\0\r\n\0",
        ] {
            assert_eq!(trimmed(bytes), b"{}");
            assert_eq!(trimmed_mut(&mut bytes.to_vec()), b"{}");
        }
        for nothing in [&b""[..], b"\0", b"\xef\xbb\xbf", b" \xef\xbb\xbf \0 "] {
            assert_eq!(trimmed(nothing), b"");
        }
        // Half a mark is not one, and what stands inside stays.
        assert_eq!(trimmed(b"\xef\xbb{\0}"), b"\xef\xbb{\0}");
    }

    #[rstest]
    #[case(r#"{"a":NaN}"#, r#"{"a":"" }"#)]
    #[case(r#"{"a": -Infinity , "b":1}"#, r#"{"a": ""        , "b":1}"#)]
    #[case(r#"{"a":inf,"b":[Infinity,nan]}"#, r#"{"a":"" ,"b":[""      ,"" ]}"#)]
    #[case(r#"{"a":-nan,"b":+INF}"#, r#"{"a":""  ,"b":""  }"#)]
    #[case(r#"{"NaN\",NaN,":NaN}"#, r#"{"NaN\",NaN,":"" }"#)]
    fn bare_words_become_empty_texts(#[case] sent: &str, #[case] json: &str) {
        assert_eq!(mended(sent).unwrap(), json);
        serde_json::from_str::<Value>(json).unwrap();
    }

    #[rstest]
    #[case::within_a_text(r#"{"a":"x, NaN, y"}"#)]
    #[case::behind_an_escaped_quote(r#"{"a":"x\":NaN,"}"#)]
    #[case::as_a_key("{NaN:1}")]
    #[case::alone("NaN")]
    #[case::longer(r#"{"a":nano}"#)]
    #[case::behind_a_number(r#"{"a":1 NaN}"#)]
    #[case::two(r#"{"a":NaN NaN}"#)]
    #[case::without_an_end(r#"{"a":NaN"#)]
    #[case::in_an_open_text(r#"{"a":"NaN}"#)]
    fn nothing_else_is_touched(#[case] sent: &str) {
        assert_eq!(mended(sent), None);
    }

    /// Texts that look like JSON with words in it.
    fn nearly_json() -> impl Strategy<Value = String> {
        let parts = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "NaN",
            "-Infinity",
            "inf",
            "1",
            " ",
            "a",
            "\"k\":",
        ];
        prop::collection::vec(prop::sample::select(parts.to_vec()), 0..20)
            .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn what_is_json_stays_as_it_is(text in nearly_json()) {
            if serde_json::from_str::<Value>(&text).is_ok() {
                prop_assert_eq!(mended(&text), None, "{}", text);
            }
        }

        #[test]
        fn what_becomes_json_is_so_with_null_for_each_word(text in nearly_json()) {
            if let Some(mended) = mended(&text) {
                prop_assert_eq!(mended.len(), text.len());
                let nulled = text.replace("-Infinity", "null").replace("NaN", "null").replace("inf", "null");
                let is_json = |text: &str| serde_json::from_str::<Value>(text).is_ok();
                prop_assert!(!is_json(&mended) || text.contains('"') || is_json(&nulled), "{}", text);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            mend(&mut bytes);
            trimmed_mut(&mut bytes);
        }
    }
}

//! Texts of JSON: their escapes undone.

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Longest text whose escapes are undone. It is longer than any name, key or number, whatever of it is
/// escaped, so a longer one is refused as it is and takes no memory besides the body.
const ESCAPED_BYTES_MAX: usize = 4 * 1024;

/// The text of a JSON string, borrowed when it has no escapes or is too long for anything; `None` when
/// it has half of a surrogate pair, which is the one thing that JSON can write and text cannot have.
pub(super) fn unquote(json: &str) -> Option<Cow<'_, str>> {
    match json.get(1..json.len().saturating_sub(1)) {
        Some(inner) if inner.len() > ESCAPED_BYTES_MAX || !inner.contains('\\') => {
            Some(Cow::Borrowed(inner))
        }
        _ => serde_json::from_str(json).map(Cow::Owned).ok(),
    }
}

/// The text of a JSON string with the character for what cannot be shown in place of each half of a
/// surrogate pair.
pub(super) fn replaced(json: &str) -> String {
    let bytes = serde_json::from_str(json).map(|Bytes(bytes)| bytes);
    let mut text = String::new();
    let mut is_replaced = false;
    for chunk in bytes.unwrap_or_default().utf8_chunks() {
        // Each half is three bytes, and invalid one by one.
        if !chunk.valid().is_empty() {
            is_replaced = false;
        }
        text += chunk.valid();
        if !chunk.invalid().is_empty() && !is_replaced {
            text.push(char::REPLACEMENT_CHARACTER);
            is_replaced = true;
        }
    }
    text
}

/// A string as the bytes that each of its code points is in UTF-8, the halves included.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;
        impl Visitor<'_> for BytesVisitor {
            type Value = Bytes;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a text")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_long_texts_borrowed() {
        assert_eq!(unquote(r#""a\u0041\n""#).unwrap(), "aA\n");
        let long = format!(r#""\n{}""#, "k".repeat(ESCAPED_BYTES_MAX));
        for borrowed in [r#""bureau1""#, &long] {
            assert!(matches!(unquote(borrowed), Some(Cow::Borrowed(_))));
        }
    }

    #[test]
    fn halves_of_surrogate_pairs_are_no_text_and_are_shown_as_what_cannot_be_shown() {
        for (json, shown) in [
            (r#""a\ud83d""#, "a\u{fffd}"),
            (r#""\ude00b\ud83dc""#, "\u{fffd}b\u{fffd}c"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
        ] {
            assert_eq!(unquote(json), None);
            assert_eq!(replaced(json), shown);
        }
        assert_eq!(unquote(r#""\ud83d\ude00""#).unwrap(), "\u{1f600}");
    }
}

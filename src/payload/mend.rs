//! What devices send beside JSON: marks before and behind it, and words for numbers that are none.

/// The mark some software puts before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A body, or a line of one, without byte order marks before it, NULs behind it, and white space on
/// both sides.
pub fn trimmed(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes.trim_ascii();
    while let Some(rest) = bytes.strip_prefix(BYTE_ORDER_MARK) {
        bytes = rest.trim_ascii_start();
    }
    while let Some(rest) = bytes.strip_suffix(b"\0") {
        bytes = rest.trim_ascii_end();
    }
    bytes
}

/// Where [`trimmed`] leaves a part of `bytes`.
pub(super) fn trimmed_mut(bytes: &mut [u8]) -> &mut [u8] {
    let inner = trimmed(bytes);
    let behind = bytes.len() - bytes.trim_ascii_start().len();
    // What is cut off the front is at most as long as what is before the part, wherever that is.
    let start = inner.as_ptr().addr() - bytes.as_ptr().addr();
    debug_assert!(start >= behind || inner.is_empty());
    let length = inner.len();
    bytes.get_mut(start..start + length).unwrap_or_default()
}

//! Bytes → [`RawReading`]: every way a reading can come in, one file each.
//!
//! This stage knows formats and sizes. It does not judge what a reading says: that is `validate`.

mod answer;
pub mod body;
pub mod http;
mod json;
mod raw;

pub use json::{BatchError, RawItem, parse_array, parse_lines, parse_one};
pub use raw::{Fault, KEYS_MAX, RawField, RawReading};

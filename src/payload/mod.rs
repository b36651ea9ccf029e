//! Bytes → [`RawReading`]: how readings can be laid out, one file each.
//!
//! A [`Format`] knows shapes and bounds. It does not judge what a reading says, which is the work of
//! `validate`, and it does not know where the bytes came from, which is the work of a door (`ingest`).
//!
//! To add a format: implement [`Format`] in a file here, make its fields a [`RawReading`], and test it
//! with bodies as the devices send them. A door then chooses it.

mod format;
mod json;
mod mend;
mod raw;
mod text;

pub use format::{BatchError, Format, RawItem};
pub use json::{JsonArray, JsonLines, JsonObject};
pub use mend::{mend, trimmed};
pub use raw::{Entries, KEYS_MAX, RawField, RawReading, ShapeFault};

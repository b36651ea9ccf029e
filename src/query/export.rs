//! A history without a request: what `iaqverse export` writes.

use super::body::{Body, BodyError, Writing};
use super::scope::Scope;
use super::slices::Slices;
use super::write::Format;
use crate::domain::{Selector, Sites, TimeRange, Timestamp};
use crate::score::Profile;
use crate::store::Store;
use bytes::Bytes;
use futures_util::Stream;

/// Bytes of rows that are read at once, and of what is written of them: there is one reader only.
const SLICE_BYTES_WANTED: usize = 4 * 1024 * 1024;
const TEXT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Which readings are written, and how.
#[derive(Debug)]
pub struct Export {
    pub selector: Selector,
    /// Without it, the beginning.
    pub start: Option<Timestamp>,
    /// Without it, the newest there can be.
    pub end: Option<Timestamp>,
    pub format: Format,
    pub profile: Profile,
}

impl Export {
    /// The bytes, in pieces that are read and written when they are asked for.
    pub fn stream(
        self,
        store: &Store,
        now: Timestamp,
    ) -> impl Stream<Item = Result<Bytes, BodyError>> {
        let scope =
            store.directory(|directory| Scope::find(directory, &self.selector, &Sites::ALL));
        let start = self.start.unwrap_or(Timestamp::from_millis(0));
        let end = self
            .end
            .unwrap_or(now.plus(crate::validate::CLOCK_AHEAD_MAX));
        let time = scope.within(TimeRange::new(start, end));
        let rate = scope.rows_per_ms(1);
        let slices = Slices::new(
            store.clone(),
            scope.query,
            None,
            time,
            rate,
            u64::MAX,
            SLICE_BYTES_WANTED,
        );
        let body = Body {
            rows: None,
            further: Some(slices),
            writing: Writing {
                writer: self.format.writer(&scope.names, false),
                profile: self.profile,
                lines_left: u64::MAX,
                chosen: None,
            },
            text_bytes_max: TEXT_BYTES_MAX,
            share: None,
            kept: None,
        };
        body.stream()
    }
}

//! A history without a request: what `iaqverse export` writes.

use super::body::{Body, BodyError, Writing};
use super::scope::Scope;
use super::slices::Slices;
use super::step::{Step, step};
use super::write::{Dialect, Format};
use crate::domain::{Selector, Sites, TimeRange, Timestamp, Zone};
use crate::score::Profile;
use crate::store::{Bucket, Store};
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
    /// What means are of; without it, single readings.
    pub bucket: Option<Bucket>,
    pub format: Format,
    pub dialect: Dialect,
    pub profile: Profile,
}

/// The buckets that a step asks for, if it is one: none for single readings.
pub fn buckets_of_step(text: &str, zone: &Zone) -> Option<Option<Bucket>> {
    match step(text, zone)? {
        Step::Raw => Some(None),
        Step::Mean(bucket) => Some(Some(bucket)),
    }
}

impl Export {
    /// The bytes, in pieces that are read and written when they are asked for.
    pub fn stream(
        self,
        store: &Store,
        now: Timestamp,
    ) -> impl Stream<Item = Result<Bytes, BodyError>> {
        let scope =
            store.directory(|directory| Scope::find(directory, &self.selector, &Sites::ALL, None));
        let start = self.start.unwrap_or(Timestamp::from_millis(0));
        let end = self
            .end
            .unwrap_or(now.plus(crate::validate::CLOCK_AHEAD_MAX));
        let time = scope.within(TimeRange::new(start, end));
        let rate = scope.rows_per_ms(self.bucket.as_ref().map_or(1, Bucket::usual_ms));
        // A mean says of how many readings it is, so that nobody takes it for one.
        let minmax = self.bucket.is_some();
        let slices = Slices::new(
            store.clone(),
            scope.query,
            self.bucket,
            time,
            rate,
            u64::MAX,
            SLICE_BYTES_WANTED,
        );
        let body = Body {
            rows: None,
            further: Some(slices),
            writing: Writing {
                writer: self.format.writer(&scope.names, minmax, self.dialect),
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

//! The readings of a sensor from some time on, a bounded piece at a time.

use super::rows::ReadingRow;
use super::{HistoryQuery, Store};
use crate::database::{SensorKey, Series, Span, StoreError};
use crate::domain::{TimeRange, Timestamp};

/// Chunks that a page is read from.
const PAGE_CHUNKS: usize = 4;
/// Sensors looked up at once.
const SENSORS_AT_ONCE: usize = 1024;
/// No reading has it.
const END: Timestamp = Timestamp::from_millis(i64::MAX);

/// Readings of one sensor, ascending. There may be none of them even though others follow.
#[derive(Debug)]
pub struct Page {
    pub rows: Vec<ReadingRow>,
    /// Where the next page begins; `None` when nothing follows.
    pub next: Option<Timestamp>,
}

impl Store {
    /// The sensors that have readings at or after `from`, by key.
    pub async fn sensors_from(&self, from: Timestamp) -> Result<Vec<SensorKey>, StoreError> {
        let mut sensors: Vec<_> =
            self.directory(|directory| directory.every_sensor().map(|entry| entry.key).collect());
        sensors.sort_unstable();
        let mut found = Vec::new();
        for some in sensors.chunks(SENSORS_AT_ONCE) {
            let recent = some.iter().copied();
            // First here, then in chunks: what is settled in between is in both.
            let is_recent = |sensor: &SensorKey| self.recent.count_within(*sensor, from..=END) > 0;
            found.extend(recent.filter(is_recent));
            let spans: Vec<_> = some.iter().map(|sensor| span(*sensor, from)).collect();
            let heads = self.database.chunk_heads(Series::Readings, &spans).await?;
            let overlapping = heads.iter().filter(|head| head.end >= from);
            found.extend(overlapping.map(|head| head.sensor));
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The first readings of a sensor at or after `from`.
    pub async fn page(&self, sensor: SensorKey, from: Timestamp) -> Result<Page, StoreError> {
        let spans = [span(sensor, from)];
        let heads = self.database.chunk_heads(Series::Readings, &spans).await?;
        let mut overlapping = heads.iter().filter(|head| head.end >= from);
        let next = overlapping.nth(PAGE_CHUNKS).map(|head| head.start);
        let query = HistoryQuery {
            sensors: vec![sensor],
            rooms: None,
        };
        let to = next.unwrap_or(END);
        let rows = self
            .history(&query, TimeRange::new(from, to), usize::MAX)
            .await?;
        let rows = rows.unwrap_or_default();
        Ok(Page { rows, next })
    }
}

fn span(sensor: SensorKey, first: Timestamp) -> Span {
    Span {
        sensor,
        first,
        last: END,
    }
}

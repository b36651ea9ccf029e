//! The state of every sensor in one message.

use super::encoding::{Encoded, Encoding};
use super::filter::{Filter, Subject};
use super::frame::Deflater;
use super::message::{Measurement, Shown};
use crate::domain::Topic;
use crate::store::{LatestReading, SensorEntry, Store, Stored, StreamId};
use bytes::Bytes;
use serde::Serialize;
use std::cell::RefCell;

/// The latest reading of every sensor that any of the filters matches, and where live goes on.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) id: StreamId,
    latest: Vec<Stored>,
    encoded: Encoded,
}

impl Snapshot {
    pub(super) fn take(store: &Store, filters: &[Filter]) -> Self {
        store.directory(|directory| {
            let latest = directory
                .sensors()
                .filter_map(SensorEntry::come)
                .filter(|latest| Filter::any_matches(filters, subject(latest)))
                .map(LatestReading::stored)
                .collect();
            Self {
                id: directory.position(),
                latest,
                encoded: Encoded::default(),
            }
        })
    }

    /// The complete bytes to send.
    pub(super) fn encoded(&self, encoding: Encoding, deflater: &RefCell<Deflater>) -> Bytes {
        let bytes = self
            .encoded
            .get(encoding, self.id, deflater, || self.json());
        bytes.clone()
    }

    fn json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Message<'a> {
            r#type: &'static str,
            topic: &'static str,
            id: Shown<'a, StreamId>,
            data: Vec<Measurement<'a>>,
        }
        let message = Message {
            r#type: "snapshot",
            topic: Topic::Measurements.as_str(),
            id: Shown(&self.id),
            data: self.latest.iter().map(Measurement).collect(),
        };
        // Serialising texts and finite numbers into memory cannot fail.
        serde_json::to_vec(&message).unwrap_or_default()
    }
}

fn subject(latest: &LatestReading) -> Subject<'_> {
    Subject {
        site: Some(latest.place.site.as_str()),
        room: Some(latest.place.room.as_str()),
        sensor: Some(latest.scored.reading.sensor.as_str()),
    }
}

//! A message on its way to every client that wants it.

use super::encoding::{Encoded, Encoding};
use super::frame::Deflater;
use super::message;
use crate::domain::{PlaceName, SensorId, StreamId, Subject, Topic};
use crate::store::Published;
use bytes::Bytes;
use std::cell::RefCell;
use tokio::time::Instant;

/// A published message, and each form it was encoded in.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) id: StreamId,
    pub(super) topic: Topic,
    pub(super) published_at: Instant,
    content: Published,
    /// Filled by whoever needs it first, and not at all when nobody listens.
    encoded: Encoded,
}

impl Outgoing {
    pub(super) fn new(content: Published, published_at: Instant) -> Self {
        let (id, topic) = match &content {
            Published::Measurement(stored) => (stored.id, Topic::Measurements),
            Published::Notice { id, notice } => (*id, notice.topic),
        };
        Self {
            id,
            topic,
            published_at,
            content,
            encoded: Encoded::default(),
        }
    }

    pub(super) fn subject(&self) -> Subject<'_> {
        match &self.content {
            Published::Measurement(stored) => {
                Subject::of(&stored.place, &stored.scored.reading.sensor)
            }
            Published::Notice { notice, .. } => Subject {
                site: notice.site.as_ref().map(PlaceName::as_str),
                room: notice.room.as_ref().map(PlaceName::as_str),
                sensor: notice.sensor.as_ref().map(SensorId::as_str),
            },
        }
    }

    /// Whose measurement this is; `None` for messages that must not be replaced by later ones.
    pub(super) fn measured(&self) -> Option<&SensorId> {
        match &self.content {
            Published::Measurement(stored) => Some(&stored.scored.reading.sensor),
            Published::Notice { .. } => None,
        }
    }

    /// Whether this measurement says all that an earlier one of its sensor says: it has the newer state,
    /// unless it is late.
    pub(super) fn replaces(&self, earlier: &Self) -> bool {
        !self.is_late() || earlier.is_late()
    }

    fn is_late(&self) -> bool {
        match &self.content {
            Published::Measurement(stored) => stored.late,
            Published::Notice { .. } => false,
        }
    }

    /// Bytes of the values it has under keys of its own, in memory and as they are sent.
    pub(super) fn extra_bytes(&self) -> usize {
        match &self.content {
            Published::Measurement(stored) => {
                let extras = stored.scored.reading.extras.iter();
                extras.map(|(key, _)| 2 * (key.len() + 32)).sum()
            }
            Published::Notice { .. } => 0,
        }
    }

    /// The complete bytes to send.
    pub(super) fn encoded(&self, encoding: Encoding, deflater: &RefCell<Deflater>) -> &Bytes {
        let json = || message::published(&self.content);
        self.encoded.get(encoding, self.id, deflater, json)
    }
}

#[cfg(test)]
pub(super) mod test_support {
    use super::*;
    use crate::domain::{Place, Reading, Timestamp, Values};
    use crate::score::Profile;
    use crate::store::{Notice, ScoredReading, Stored};
    use std::sync::Arc;

    pub(in crate::broadcast) fn id(sequence: u64) -> StreamId {
        StreamId { epoch: 1, sequence }
    }

    /// A message of `topic` about nothing in particular.
    pub(in crate::broadcast) fn notice(id: StreamId, topic: Topic) -> Outgoing {
        let notice = Notice {
            topic,
            kind: "test",
            site: None,
            room: None,
            sensor: None,
            body: serde_json::Map::new(),
        };
        let content = Published::Notice {
            id,
            notice: Arc::new(notice),
        };
        Outgoing::new(content, Instant::now())
    }

    /// A measurement of `sensor` in a room, taken `second` seconds after some moment; that of the moment
    /// itself is late.
    pub(in crate::broadcast) fn measurement(
        sequence: u64,
        [site, room, sensor]: [&str; 3],
        second: i64,
    ) -> Arc<Outgoing> {
        let values = Values::default();
        let stored = Stored {
            id: id(sequence),
            place: Arc::new(Place {
                site: PlaceName::parse(site).unwrap(),
                room: PlaceName::parse(room).unwrap(),
            }),
            scored: Arc::new(ScoredReading {
                assessment: Profile::Iaqverse.assess(&values),
                reading: Reading {
                    sensor: SensorId::parse(sensor).unwrap(),
                    site: None,
                    room: None,
                    observed_at: Timestamp::from_millis(second * 1000),
                    values,
                    extras: crate::domain::Extras::default(),
                    tvoc_unit_assumed: false,
                },
            }),
            late: second == 0,
            state: None,
        };
        Arc::new(Outgoing::new(
            Published::Measurement(stored),
            Instant::now(),
        ))
    }
}

//! What is published: stored readings, and whatever else is to be told in the same stream.

use super::Stored;
use crate::domain::{PlaceName, SensorId, StreamId, Topic};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Something told besides readings. It has a place in the stream but is not stored, so nobody who
/// missed it can be told again.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    pub topic: Topic,
    /// `type` of the message.
    pub kind: &'static str,
    /// What it is about, for filters.
    pub site: Option<PlaceName>,
    pub room: Option<PlaceName>,
    pub sensor: Option<SensorId>,
    /// The other fields of the message.
    pub body: Map<String, Value>,
}

/// One message of the stream.
#[derive(Debug, Clone)]
pub enum Published {
    Measurement(Stored),
    Notice { id: StreamId, notice: Arc<Notice> },
}

impl Published {
    pub fn id(&self) -> StreamId {
        match self {
            Self::Measurement(stored) => stored.id,
            Self::Notice { id, .. } => *id,
        }
    }
}

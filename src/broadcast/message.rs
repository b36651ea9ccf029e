//! Messages of the server as JSON.

use crate::domain::StreamId;
use crate::store::{Notice, Published};
use crate::wire::{Shown, measurement};
use serde::Serialize;

/// The JSON text of whatever was published.
pub(super) fn published(content: &Published) -> Vec<u8> {
    match content {
        Published::Measurement(stored) => measurement(stored),
        Published::Notice { id, notice } => self::notice(*id, notice),
    }
}

fn notice(id: StreamId, notice: &Notice) -> Vec<u8> {
    #[derive(Serialize)]
    struct Message<'a> {
        r#type: &'static str,
        id: Shown<'a, StreamId>,
        #[serde(flatten)]
        body: &'a serde_json::Map<String, serde_json::Value>,
    }
    let message = Message {
        r#type: notice.kind,
        id: Shown(&id),
        body: &notice.body,
    };
    // Serialising texts and finite numbers into memory cannot fail.
    serde_json::to_vec(&message).unwrap_or_default()
}

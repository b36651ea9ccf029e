//! The forms a message is sent in, each made once however many clients get it.

use super::frame::{self, Deflater, Negotiated};
use crate::domain::{StreamId, Timestamp};
use bytes::{BufMut, Bytes, BytesMut};
use std::cell::RefCell;
use std::sync::OnceLock;

/// In which form a client gets its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Encoding {
    /// WebSocket frames.
    Frames,
    /// WebSocket frames, compressed where that helps.
    Compressed(Negotiated),
    /// Server-sent events.
    Events,
}

/// Payloads shorter than this are not worth compressing.
const COMPRESS_FROM_BYTES: usize = 128;

impl Encoding {
    /// A message for one client only, which has no place in the stream.
    pub(super) fn encode(self, json: &[u8], deflater: &RefCell<Deflater>) -> Bytes {
        match self {
            Self::Compressed(terms) if compresses(terms, json) => {
                frame::compressed(&deflater.borrow_mut().deflate(json))
            }
            _ => self.encode_short(json),
        }
    }

    /// The same for a message that is too short to compress.
    pub(super) fn encode_short(self, json: &[u8]) -> Bytes {
        match self {
            Self::Frames | Self::Compressed(_) => frame::text(json),
            Self::Events => event(None, json),
        }
    }

    /// What keeps an idle connection alive.
    pub(super) fn ping(self, now: Timestamp) -> Bytes {
        match self {
            Self::Frames | Self::Compressed(_) => frame::ping(),
            // A page can ask for no time on this stream, and read none in a comment. It has a name,
            // so that whoever listens to messages does not hear it, and a type for those who hear all.
            Self::Events => {
                let json = format!(r#"{{"type":"time","timestamp":"{now}"}}"#);
                format!("event: time\ndata: {json}\n\n").into()
            }
        }
    }
}

fn compresses(terms: Negotiated, json: &[u8]) -> bool {
    json.len() >= COMPRESS_FROM_BYTES && terms.takes(json.len())
}

/// A server-sent event; `id` is what the client names when it comes back.
pub(super) fn event(id: Option<StreamId>, json: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(json.len() + 64);
    if let Some(id) = id {
        event.put_slice(format!("id: {id}\n").as_bytes());
    }
    event.put_slice(b"data: ");
    event.put_slice(json);
    event.put_slice(b"\n\n");
    event.freeze()
}

/// One message in the forms that were asked for so far.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    frame: OnceLock<Bytes>,
    compressed: OnceLock<Bytes>,
    event: OnceLock<Bytes>,
}

impl Encoded {
    /// A message that was made as a frame before.
    pub(super) fn of_frame(frame: Bytes) -> Self {
        Self {
            frame: OnceLock::from(frame),
            ..Self::default()
        }
    }

    /// The bytes to send; `json` is called at most once in all.
    pub(super) fn get(
        &self,
        encoding: Encoding,
        id: StreamId,
        deflater: &RefCell<Deflater>,
        json: impl FnOnce() -> Vec<u8>,
    ) -> &Bytes {
        let frame = self.frame.get_or_init(|| {
            metrics::counter!("iaqverse_broadcast_encodes_total").increment(1);
            frame::text(&json())
        });
        let json = frame::payload(frame);
        match encoding {
            Encoding::Compressed(terms) if compresses(terms, json) => {
                self.compressed.get_or_init(|| {
                    metrics::counter!("iaqverse_broadcast_compressions_total").increment(1);
                    frame::compressed(&deflater.borrow_mut().deflate(json))
                })
            }
            Encoding::Frames | Encoding::Compressed(_) => frame,
            Encoding::Events => self.event.get_or_init(|| event(Some(id), json)),
        }
    }
}

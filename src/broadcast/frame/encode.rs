//! Frames the server sends.

use super::{BINARY, CLOSE, COMPRESSED, CONTROL_BYTES_MAX, FIN, PING, PONG, TEXT};
use bytes::{BufMut, Bytes, BytesMut};

/// A text message.
pub(crate) fn text(payload: &[u8]) -> Bytes {
    frame(FIN | TEXT, payload)
}

/// A text message whose payload went through [`Deflater`](super::Deflater).
pub(crate) fn compressed(payload: &[u8]) -> Bytes {
    frame(FIN | COMPRESSED | TEXT, payload)
}

/// A binary message.
pub(crate) fn binary(payload: &[u8]) -> Bytes {
    frame(FIN | BINARY, payload)
}

pub(crate) fn ping() -> Bytes {
    frame(FIN | PING, b"")
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    frame(FIN | PONG, payload)
}

/// A close frame. The reason is cut to what a control frame can hold.
pub(crate) fn goodbye(code: u16, reason: &str) -> Bytes {
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.put_u16(code);
    for character in reason.chars() {
        if payload.len() + character.len_utf8() > CONTROL_BYTES_MAX {
            break;
        }
        payload.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    frame(FIN | CLOSE, &payload)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "each length is matched to its field"
)]
pub(super) fn frame(first: u8, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(10 + payload.len());
    frame.put_u8(first);
    match payload.len() {
        length @ 0..=125 => frame.put_u8(length as u8),
        length @ 126..=0xffff => {
            frame.put_u8(126);
            frame.put_u16(length as u16);
        }
        length => {
            frame.put_u8(127);
            frame.put_u64(length as u64);
        }
    }
    frame.put_slice(payload);
    frame.freeze()
}

/// The payload of a frame made here.
pub(crate) fn payload(frame: &[u8]) -> &[u8] {
    let head = match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    };
    frame.get(head..).unwrap_or_default()
}

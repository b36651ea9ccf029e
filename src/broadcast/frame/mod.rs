//! WebSocket frames (RFC 6455 §5), for the server's side.
//!
//! Outgoing frames are encoded once into shared [`Bytes`]. Incoming bytes go through [`Decoder`],
//! which refuses a frame by its header: nothing is buffered for a length that is not allowed.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// A whole message or control frame of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    Binary(Bytes),
    Ping(Bytes),
    Pong,
    /// The code and reason the client gave, if any.
    Close(Option<u16>),
}

/// Why a connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("{0}")]
    Protocol(&'static str),
    #[error("a text message must be UTF-8")]
    NotUtf8,
    #[error("a message may have {message_bytes_max} bytes")]
    TooBig { message_bytes_max: usize },
}

impl FrameError {
    /// The code to close with.
    pub fn close_code(self) -> u16 {
        match self {
            Self::Protocol(_) => close::PROTOCOL_ERROR,
            Self::NotUtf8 => close::INVALID_PAYLOAD,
            Self::TooBig { .. } => close::MESSAGE_TOO_BIG,
        }
    }
}

/// Close codes (RFC 6455 §7.4.1).
pub(super) mod close {
    pub(crate) const NORMAL: u16 = 1000;
    pub(crate) const GOING_AWAY: u16 = 1001;
    pub(crate) const PROTOCOL_ERROR: u16 = 1002;
    pub(crate) const UNSUPPORTED: u16 = 1003;
    pub(crate) const INVALID_PAYLOAD: u16 = 1007;
    pub(crate) const POLICY: u16 = 1008;
    pub(crate) const MESSAGE_TOO_BIG: u16 = 1009;
    pub(crate) const TRY_AGAIN_LATER: u16 = 1013;
}

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
/// Largest payload of a control frame.
const CONTROL_BYTES_MAX: usize = 125;

/// A text frame.
pub(super) fn text(payload: &[u8]) -> Bytes {
    encode(TEXT, payload)
}

pub(super) fn ping() -> Bytes {
    encode(PING, b"")
}

/// The answer to a ping.
pub(super) fn pong(payload: &[u8]) -> Bytes {
    encode(PONG, payload)
}

/// A close frame. The reason is cut to what a control frame can hold.
pub(super) fn goodbye(code: u16, reason: &str) -> Bytes {
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.put_u16(code);
    for character in reason.chars() {
        if payload.len() + character.len_utf8() > CONTROL_BYTES_MAX {
            break;
        }
        payload.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    encode(CLOSE, &payload)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "each length is matched to its field"
)]
fn encode(opcode: u8, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(10 + payload.len());
    frame.put_u8(FIN | opcode);
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

/// Turns a client's bytes, cut anywhere, into frames.
#[derive(Debug)]
pub struct Decoder {
    received: BytesMut,
    /// Opcode and payload so far of a message sent in fragments.
    fragments: Option<(u8, BytesMut)>,
    message_bytes_max: usize,
}

struct Header {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    head_length: usize,
    payload_length: usize,
}

impl Decoder {
    /// A decoder for messages of at most `message_bytes_max` bytes.
    pub fn new(message_bytes_max: usize) -> Self {
        Self {
            received: BytesMut::new(),
            fragments: None,
            message_bytes_max,
        }
    }

    /// Adds received bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// The next frame or whole message; `None` when more bytes are needed. After an error nothing
    /// more may be read.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            if self.received.len() < header.head_length + header.payload_length {
                return Ok(None);
            }
            self.received.advance(header.head_length);
            let mut payload = self.received.split_to(header.payload_length);
            if self.received.is_empty() {
                // An idle connection holds no buffer.
                self.received = BytesMut::new();
            }
            unmask(&mut payload, header.mask);
            if let Some(frame) = self.accept(&header, payload)? {
                return Ok(Some(frame));
            }
        }
    }

    /// Reads and judges a header, before its payload is waited for.
    fn header(&self) -> Result<Option<Header>, FrameError> {
        let [first, second, rest @ ..] = &self.received[..] else {
            return Ok(None);
        };
        let opcode = first & 0x0f;
        let fin = first & FIN != 0;
        self.judge(*first, *second)?;
        let (length, length_bytes) = match second & !MASKED {
            126 => match rest.first_chunk::<2>() {
                Some(length) => (u64::from(u16::from_be_bytes(*length)), 2),
                None => return Ok(None),
            },
            127 => match rest.first_chunk::<8>() {
                Some(length) => (u64::from_be_bytes(*length), 8),
                None => return Ok(None),
            },
            length => (u64::from(length), 0),
        };
        let message_bytes_max = self.message_bytes_max;
        let assembled = match &self.fragments {
            Some((_, payload)) if opcode == CONTINUATION => payload.len(),
            _ => 0,
        };
        let payload_length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= message_bytes_max.saturating_sub(assembled))
            .ok_or(FrameError::TooBig { message_bytes_max })?;
        let Some(mask) = rest
            .get(length_bytes..)
            .and_then(|rest| rest.first_chunk::<4>())
        else {
            return Ok(None);
        };
        let head_length = 2 + length_bytes + mask.len();
        Ok(Some(Header {
            fin,
            opcode,
            mask: *mask,
            head_length,
            payload_length,
        }))
    }

    fn judge(&self, first: u8, second: u8) -> Result<(), FrameError> {
        let opcode = first & 0x0f;
        if first & RESERVED != 0 {
            return Err(FrameError::Protocol("a reserved bit is set"));
        }
        if second & MASKED == 0 {
            return Err(FrameError::Protocol("a client must mask its frames"));
        }
        match opcode {
            CONTINUATION if self.fragments.is_none() => {
                Err(FrameError::Protocol("there is no message to continue"))
            }
            TEXT | BINARY if self.fragments.is_some() => {
                Err(FrameError::Protocol("a message began within another"))
            }
            CLOSE | PING | PONG if first & FIN == 0 => Err(FrameError::Protocol(
                "a control frame must not be fragmented",
            )),
            CLOSE | PING | PONG if usize::from(second & !MASKED) > CONTROL_BYTES_MAX => {
                Err(FrameError::Protocol("a control frame may have 125 bytes"))
            }
            CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG => Ok(()),
            _ => Err(FrameError::Protocol("unknown opcode")),
        }
    }

    fn accept(&mut self, header: &Header, payload: BytesMut) -> Result<Option<Frame>, FrameError> {
        Ok(Some(match header.opcode {
            PING => Frame::Ping(payload.freeze()),
            PONG => Frame::Pong,
            CLOSE => Frame::Close(close_code(&payload)?),
            opcode => {
                let (kind, message) = match self.fragments.take() {
                    Some((kind, mut message)) => {
                        message.unsplit(payload);
                        (kind, message)
                    }
                    None => (opcode, payload),
                };
                if !header.fin {
                    self.fragments = Some((kind, message));
                    return Ok(None);
                }
                match kind {
                    TEXT => Frame::Text(
                        String::from_utf8(message.into())
                            .map_err(|_invalid| FrameError::NotUtf8)?,
                    ),
                    _ => Frame::Binary(message.freeze()),
                }
            }
        }))
    }
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    for (byte, mask) in payload.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

/// The code of a close frame that is as it must be.
fn close_code(payload: &[u8]) -> Result<Option<u16>, FrameError> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload {
            [] => Ok(None),
            _ => Err(FrameError::Protocol("a close code has two bytes")),
        };
    };
    if std::str::from_utf8(reason).is_err() {
        return Err(FrameError::NotUtf8);
    }
    match u16::from_be_bytes(*code) {
        code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Ok(Some(code)),
        _ => Err(FrameError::Protocol("this close code must not be sent")),
    }
}

#[cfg(test)]
mod tests;

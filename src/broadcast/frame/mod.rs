//! WebSocket frames (RFC 6455 §5) and their compression (RFC 7692), for the server's side.
//!
//! Outgoing frames are encoded once into shared [`Bytes`] (`encode`). Incoming bytes go through
//! [`Decoder`], which refuses a frame by its header: nothing is buffered for a length that is not
//! allowed. Neither side keeps a compression window between messages, so a compressed message is the
//! same for everybody and a connection costs no memory for it (`deflate`).

mod decode;
mod deflate;
mod encode;

pub use decode::Decoder;
pub use deflate::Inflater;
pub(super) use deflate::{Deflater, Negotiated};
pub(super) use encode::{binary, compressed, goodbye, payload, ping, pong, text};

use bytes::Bytes;

/// What a client's frame amounts to: a whole message, a control frame, or a part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    Binary(Bytes),
    /// A part of a message that goes on; what is in it comes with the whole message.
    Fragment,
    Ping(Bytes),
    Pong,
    /// The code the client gave, if any.
    Close(Option<u16>),
}

impl Frame {
    /// Whether it ends no message: a ping, a pong, or a fragment before the last.
    pub fn is_overhead(&self) -> bool {
        matches!(self, Self::Fragment | Self::Ping(_) | Self::Pong)
    }
}

/// Why a connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("{0}")]
    Protocol(&'static str),
    #[error("a text message must be UTF-8")]
    NotUtf8,
    #[error("a compressed message must be raw deflate")]
    NotDeflate,
    #[error("a message may have {message_bytes_max} bytes")]
    TooBig { message_bytes_max: usize },
}

impl FrameError {
    /// The code to close with.
    pub fn close_code(self) -> u16 {
        match self {
            Self::Protocol(_) => close::PROTOCOL_ERROR,
            Self::NotUtf8 | Self::NotDeflate => close::INVALID_PAYLOAD,
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
/// The message is compressed (RFC 7692 §6).
const COMPRESSED: u8 = 0x40;
const RESERVED: u8 = 0x30;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
/// Largest payload of a control frame.
const CONTROL_BYTES_MAX: usize = 125;

#[cfg(test)]
mod tests;

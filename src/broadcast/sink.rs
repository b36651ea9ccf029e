//! Where a client's bytes go.

use super::outbox::Outbox;
use bytes::Bytes;
use smallvec::SmallVec;
use std::io::{self, IoSlice};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// A connection's way out. Both kinds say `WouldBlock` when they are full.
#[derive(Debug)]
pub(super) enum Sink {
    /// The raw socket of a WebSocket.
    Socket(TcpStream),
    /// The body of an HTTP response.
    Body(mpsc::Sender<Bytes>),
}

impl Sink {
    pub(super) fn try_write(&self, bytes: &Bytes) -> io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.try_write(bytes),
            Self::Body(body) => try_send(body, bytes.clone()),
        }
    }

    pub(super) fn try_write_parts(&self, parts: &[&Bytes]) -> io::Result<usize> {
        match (self, parts) {
            (_, [part]) => self.try_write(part),
            (Self::Socket(stream), parts) => {
                let slices: SmallVec<[IoSlice<'_>; 8]> =
                    parts.iter().map(|part| IoSlice::new(part)).collect();
                stream.try_write_vectored(&slices)
            }
            (Self::Body(body), parts) => {
                let parts: Vec<&[u8]> = parts.iter().map(|part| &***part).collect();
                try_send(body, parts.concat().into())
            }
        }
    }

    pub(super) fn try_write_waiting(&self, outbox: &Outbox) -> io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.try_write_vectored(&outbox.slices()),
            Self::Body(body) => outbox
                .first()
                .map_or(Ok(0), |bytes| try_send(body, bytes.clone())),
        }
    }
}

fn try_send(body: &mpsc::Sender<Bytes>, bytes: Bytes) -> io::Result<usize> {
    let length = bytes.len();
    match body.try_send(bytes) {
        Ok(()) => Ok(length),
        Err(TrySendError::Full(_)) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TrySendError::Closed(_)) => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

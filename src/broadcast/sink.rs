//! The two ways out to a client: a raw socket, or the body of an HTTP response.

use super::outbox::{Kept, Outbox};
use bytes::Bytes;
use smallvec::SmallVec;
use std::io::{self, IoSlice};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// A connection's way out. Both kinds say `WouldBlock` when they are full.
#[derive(Debug)]
pub(super) enum Sink {
    /// The raw socket of a WebSocket.
    Socket(TcpStream),
    /// The body of an HTTP response.
    Body(BodySender),
}

impl Sink {
    pub(super) fn try_write(&self, bytes: &Bytes) -> io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.try_write(bytes),
            Self::Body(body) => body.try_send(bytes, Kept::default()),
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
                let mut written = 0;
                for part in parts {
                    match body.try_send(part, Kept::default()) {
                        Ok(length) => written += length,
                        // What does not go waits in the queue, where it is counted.
                        Err(_) if written > 0 => break,
                        Err(error) => return Err(error),
                    }
                }
                Ok(written)
            }
        }
    }

    pub(super) fn try_write_waiting(&self, outbox: &Outbox) -> io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.try_write_vectored(&outbox.slices()),
            Self::Body(body) => outbox
                .first()
                .map_or(Ok(0), |bytes| body.try_send(bytes, outbox.first_kept())),
        }
    }
}

/// The way into the body of a response, bounded in bytes.
#[derive(Debug, Clone)]
pub(super) struct BodySender {
    parts: mpsc::Sender<Part>,
    capacity: Arc<Semaphore>,
}

/// Bytes on their way into a response; their part of the capacity is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) bytes: Bytes,
    _capacity: OwnedSemaphorePermit,
    /// The memory of a snapshot or a replay, which counts until it is sent.
    _kept: Kept,
}

/// Bytes that may wait for a response besides those in the client's queue; a socket's buffer in the
/// kernel holds more.
const BODY_BYTES_MAX: u32 = 256 * 1024;
/// Writes that may wait for a response, however short they are.
const BODY_PARTS_MAX: usize = 1024;

/// A body that takes what its sender is given.
pub(super) fn body() -> (BodySender, mpsc::Receiver<Part>) {
    let (parts, received) = mpsc::channel(BODY_PARTS_MAX);
    let capacity = Arc::new(Semaphore::new(BODY_BYTES_MAX as usize));
    (BodySender { parts, capacity }, received)
}

impl BodySender {
    fn try_send(&self, bytes: &Bytes, kept: Kept) -> io::Result<usize> {
        let capacity = Arc::clone(&self.capacity)
            .try_acquire_many_owned(capacity_of(bytes.len()))
            .map_err(|_full| io::ErrorKind::WouldBlock)?;
        let part = Part {
            bytes: bytes.clone(),
            _capacity: capacity,
            _kept: kept,
        };
        match self.parts.try_send(part) {
            Ok(()) => Ok(bytes.len()),
            Err(TrySendError::Full(_)) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TrySendError::Closed(_)) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Ends when there is capacity for so many bytes.
    pub(super) async fn ready(&self, length: usize) {
        // Nobody closes the semaphore, and who closes the channel is noticed elsewhere.
        drop(self.capacity.acquire_many(capacity_of(length)).await);
        drop(self.parts.reserve().await);
    }

    /// Ends when nobody takes anything any more.
    pub(super) async fn closed(&self) {
        self.parts.closed().await;
    }
}

/// What is larger than all there is goes alone.
fn capacity_of(length: usize) -> u32 {
    u32::try_from(length)
        .unwrap_or(u32::MAX)
        .min(BODY_BYTES_MAX)
}

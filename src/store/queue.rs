//! The bounded way into the writer.

use super::{Outcome, ScoredReading};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Longest an append waits for its commit. When it passes, the readings may or may not be stored;
/// sending them again is harmless.
const COMMIT_WAIT_MAX: Duration = Duration::from_secs(10);

/// Why readings were not acknowledged. All of it may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("the write queue is full")]
    Busy,
    #[error("the server is shutting down")]
    Closed,
    #[error("the readings could not be made durable")]
    Failed,
}

/// Readings of one request, waiting to be written together.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) readings: Vec<ScoredReading>,
    pub(super) reply: oneshot::Sender<Result<Vec<Outcome>, AppendError>>,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub(super) enum Message {
    Append(Append),
    /// Nothing comes after this one.
    Close(oneshot::Sender<()>),
}

/// The way into the writer, bounded in readings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WriteQueue {
    messages: mpsc::Sender<Message>,
    room: Arc<Semaphore>,
}

impl WriteQueue {
    pub(super) fn new(readings_max: usize) -> (Self, mpsc::Receiver<Message>) {
        // Every request has at least one reading, so the channel never fills before the semaphore;
        // the place left over is for the message that closes it.
        let (messages, receiver) = mpsc::channel(readings_max + 1);
        (
            Self {
                messages,
                room: Arc::new(Semaphore::new(readings_max)),
            },
            receiver,
        )
    }

    pub fn announce(&self, _notice: super::Notice) -> Result<(), AppendError> {
        Ok(())
    }

    /// Waits until the readings are durable and says what became of each, in order.
    ///
    /// Not waiting for the answer does not take the readings back.
    pub async fn append(&self, readings: Vec<ScoredReading>) -> Result<Vec<Outcome>, AppendError> {
        if readings.is_empty() {
            return Ok(Vec::new());
        }
        let count = u32::try_from(readings.len()).map_err(|_huge| AppendError::Busy)?;
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(count)
            .map_err(|error| match error {
                tokio::sync::TryAcquireError::Closed => AppendError::Closed,
                tokio::sync::TryAcquireError::NoPermits => AppendError::Busy,
            })?;
        let (reply, answer) = oneshot::channel();
        let append = Append {
            readings,
            reply,
            _room: room,
        };
        self.messages
            .try_send(Message::Append(append))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => AppendError::Busy,
                mpsc::error::TrySendError::Closed(_) => AppendError::Closed,
            })?;
        match tokio::time::timeout(COMMIT_WAIT_MAX, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(AppendError::Closed),
            Err(_) => Err(AppendError::Failed),
        }
    }

    /// Takes nothing more and waits until everything taken is written and answered.
    pub async fn close(&self) {
        self.room.close();
        let (done, drained) = oneshot::channel();
        if self.messages.send(Message::Close(done)).await.is_ok() {
            // The writer ends after its last answer; either way nothing is left to wait for.
            drained.await.unwrap_or_default();
        }
    }
}

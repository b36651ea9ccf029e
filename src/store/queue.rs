//! The bounded way into the writer.

use super::pace::{CommitPace, Sender};
use super::{Changed, Notice, Outcome, RegistryChange, RegistryError, ScoredReading};
use crate::domain::Sites;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Longest an append waits for its commit. When it passes, the readings may or may not be stored;
/// sending them again is harmless.
const COMMIT_WAIT_MAX: Duration = Duration::from_millis(1800);

/// Why readings, or a notice, were not taken. All of it may be tried again.
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
    /// Where their sender may write.
    pub(super) sites: Sites,
    pub(super) reply: oneshot::Sender<Result<Vec<Outcome>, AppendError>>,
    /// When it was taken in.
    pub(super) since: Instant,
    _capacity: OwnedSemaphorePermit,
}

/// A notice waiting to be published.
#[derive(Debug)]
pub(super) struct Announcement {
    pub(super) notice: Notice,
    _capacity: OwnedSemaphorePermit,
}

/// A change of sensors or rooms waiting to be made.
#[derive(Debug)]
pub(super) struct ChangeRequest {
    pub(super) change: RegistryChange,
    /// What whoever asks has to do with.
    pub(super) sites: Sites,
    reply: oneshot::Sender<Result<Changed, RegistryError>>,
    _capacity: OwnedSemaphorePermit,
}

impl ChangeRequest {
    pub(super) fn answer(self, result: Result<Changed, RegistryError>) {
        // Whoever asked may have gone away; it is done all the same.
        self.reply.send(result).unwrap_or_default();
    }
}

#[derive(Debug)]
pub(super) enum Message {
    Append(Append),
    Announce(Announcement),
    Change(Box<ChangeRequest>),
    /// Nothing comes after this one.
    Close(oneshot::Sender<()>),
}

/// The way into the writer, bounded in readings and notices. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WriteQueue {
    messages: mpsc::Sender<Message>,
    capacity: Arc<Semaphore>,
    readings_max: usize,
    pace: Arc<CommitPace>,
}

impl WriteQueue {
    pub(super) fn new(
        readings_max: usize,
        pace: Arc<CommitPace>,
    ) -> (Self, mpsc::Receiver<Message>) {
        // Every request has at least one reading, and a notice counts as one, so the channel never
        // fills before the semaphore; the place left over is for the message that closes it.
        let (messages, receiver) = mpsc::channel(readings_max + 1);
        (
            Self {
                messages,
                capacity: Arc::new(Semaphore::new(readings_max)),
                readings_max,
                pace,
            },
            receiver,
        )
    }

    /// How many readings and notices may wait.
    pub fn capacity(&self) -> usize {
        self.readings_max
    }

    /// How many readings and notices are taken in and not durable, or not published, yet.
    pub fn waiting(&self) -> usize {
        let free = self.capacity.available_permits();
        self.readings_max.saturating_sub(free)
    }

    /// Counts somebody among those who send readings, for as long as the value is kept: commits begin
    /// when enough of them wait.
    pub fn sender(&self) -> Sender {
        Sender::new(Arc::clone(&self.pace))
    }

    /// Waits until the readings are durable and says what became of each, in order. What is at none
    /// of `sites` is neither changed nor added to.
    ///
    /// Not waiting for the answer does not take the readings back.
    pub async fn append(
        &self,
        readings: Vec<ScoredReading>,
        sites: &Sites,
    ) -> Result<Vec<Outcome>, AppendError> {
        if readings.is_empty() {
            return Ok(Vec::new());
        }
        let capacity = self.take_capacity(readings.len())?;
        let (reply, answer) = oneshot::channel();
        // Counted first: once it is sent, it may be taken at any moment.
        self.pace.came();
        let sent = self.send(Message::Append(Append {
            readings,
            sites: sites.clone(),
            reply,
            since: Instant::now(),
            _capacity: capacity,
        }));
        if let Err(error) = sent {
            self.pace.taken(1);
            return Err(error);
        }
        match tokio::time::timeout(COMMIT_WAIT_MAX, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(AppendError::Closed),
            Err(_) => Err(AppendError::Failed),
        }
    }

    /// Has a sensor or room changed, and waits until its stored readings have followed.
    ///
    /// Not waiting for the answer does not take the change back.
    pub async fn change(
        &self,
        change: RegistryChange,
        sites: &Sites,
    ) -> Result<Changed, RegistryError> {
        let (reply, answer) = oneshot::channel();
        let request = ChangeRequest {
            change,
            sites: sites.clone(),
            reply,
            _capacity: self.take_capacity(1)?,
        };
        self.send(Message::Change(Box::new(request)))?;
        answer.await.unwrap_or(Err(AppendError::Closed.into()))
    }

    /// Has a notice published behind everything that was published so far. What is taken is
    /// published even when the database fails; only a stop at the same moment can lose it.
    pub fn announce(&self, notice: Notice) -> Result<(), AppendError> {
        let capacity = self.take_capacity(1)?;
        self.send(Message::Announce(Announcement {
            notice,
            _capacity: capacity,
        }))
    }

    fn take_capacity(&self, count: usize) -> Result<OwnedSemaphorePermit, AppendError> {
        let count = u32::try_from(count).map_err(|_huge| AppendError::Busy)?;
        let capacity = Arc::clone(&self.capacity).try_acquire_many_owned(count);
        capacity.map_err(|error| match error {
            tokio::sync::TryAcquireError::Closed => AppendError::Closed,
            tokio::sync::TryAcquireError::NoPermits => AppendError::Busy,
        })
    }

    fn send(&self, message: Message) -> Result<(), AppendError> {
        self.messages
            .try_send(message)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => AppendError::Busy,
                mpsc::error::TrySendError::Closed(_) => AppendError::Closed,
            })
    }

    /// Takes nothing more and waits until everything taken is written, published and answered.
    pub async fn close(&self) {
        self.capacity.close();
        let (done, drained) = oneshot::channel();
        if self.messages.send(Message::Close(done)).await.is_ok() {
            // The writer ends after its last answer; either way nothing is left to wait for.
            drained.await.unwrap_or_default();
        }
    }
}

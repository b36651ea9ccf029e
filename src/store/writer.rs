//! Group commit: one task writes what has gathered, then answers everybody.
//!
//! While a transaction is on its way to the disk the next readings gather in the queue, so under
//! load the transactions grow by themselves, and an idle server commits a lone reading at once.
//! Notices that gathered with readings are published behind them, so that they cost no transaction.

use super::directory::Directory;
use super::engine::{Changes, Engine};
use super::plan::{self, RegistryLimits};
use super::queue::{Announcement, Append, AppendError, Message, WriteQueue};
use super::{Outcome, Published, ScoredReading, Store, StoreError, Stored};
use crate::score::Profile;
use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Told of every message in the order of the ids, of a reading after it is durable. While it waits, so
/// does the writer.
pub trait Publish: std::fmt::Debug + Send + Sync {
    fn publish(&self, published: Vec<Published>) -> BoxFuture<'_, ()>;
}

/// Ids one transaction may need: its own, and those of one that failed before it.
const TRANSACTION_IDS_MAX: u64 = 2 * Changes::READINGS_MAX as u64;

/// Messages that are handled together.
#[derive(Debug, Default)]
struct Batch {
    appends: Vec<Append>,
    announcements: Vec<Announcement>,
    closing: Option<oneshot::Sender<()>>,
}

/// See the module.
#[derive(Debug)]
pub struct Writer {
    messages: mpsc::Receiver<Message>,
    engine: Arc<dyn Engine>,
    directory: Arc<RwLock<Directory>>,
    publisher: Arc<dyn Publish>,
    profile: Profile,
    limits: RegistryLimits,
    /// The last commit failed, so the directory may not be what is stored.
    doubtful: bool,
}

impl Writer {
    /// A writer for `store` and the queue into it, which takes `queue_readings_max` readings.
    pub fn new(
        store: &Store,
        publisher: Arc<dyn Publish>,
        profile: Profile,
        limits: RegistryLimits,
        queue_readings_max: usize,
    ) -> (Self, WriteQueue) {
        let (queue, messages) = WriteQueue::new(queue_readings_max);
        let writer = Self {
            messages,
            engine: Arc::clone(&store.engine),
            directory: Arc::clone(&store.directory),
            publisher,
            profile,
            limits,
            doubtful: false,
        };
        (writer, queue)
    }

    /// Runs until the queue is closed and drained. Any thread can run it.
    pub async fn run(mut self) {
        while let Some(first) = self.messages.recv().await {
            let Batch {
                appends,
                announcements,
                closing,
            } = self.gather(first);
            self.write(appends).await;
            self.announce(announcements).await;
            if let Some(done) = closing {
                // Whoever closes the queue may have stopped waiting; there is nothing to do then.
                done.send(()).unwrap_or_default();
                return;
            }
        }
    }

    /// `message` and what has gathered behind it, enough for one transaction.
    fn gather(&mut self, message: Message) -> Batch {
        let mut batch = Batch::default();
        let mut size = 0;
        let mut next = Some(message);
        while let Some(message) = next {
            match message {
                Message::Append(append) => {
                    size += append.readings.len();
                    batch.appends.push(append);
                }
                Message::Announce(announcement) => {
                    size += 1;
                    batch.announcements.push(announcement);
                }
                Message::Close(done) => {
                    batch.closing = Some(done);
                    break;
                }
            }
            if size >= Changes::READINGS_MAX {
                break;
            }
            next = self.messages.try_recv().ok();
        }
        batch
    }

    /// Writes the readings of all requests in as few transactions as they fit and answers.
    async fn write(&mut self, mut appends: Vec<Append>) {
        let mut results: Vec<Result<Vec<Outcome>, AppendError>> = appends
            .iter()
            .map(|append| Ok(Vec::with_capacity(append.readings.len())))
            .collect();
        let mut readings = Vec::new();
        let mut positions = Vec::new();
        for (position, append) in appends.iter_mut().enumerate() {
            positions.extend(std::iter::repeat_n(position, append.readings.len()));
            readings.append(&mut append.readings);
        }
        let mut readings = readings.into_iter();
        for positions in positions.chunks(Changes::READINGS_MAX) {
            let chunk = readings.by_ref().take(positions.len()).collect();
            match self.commit(chunk).await {
                Ok((outcomes, stored)) => {
                    self.publish(stored).await;
                    for (position, outcome) in positions.iter().zip(outcomes) {
                        if let Ok(outcomes) = &mut results[*position] {
                            outcomes.push(outcome);
                        }
                    }
                }
                Err(error) => {
                    if !self.doubtful {
                        tracing::error!(%error, "readings could not be stored");
                    }
                    self.doubtful = true;
                    for position in positions {
                        results[*position] = Err(AppendError::Failed);
                    }
                }
            }
        }
        for (append, result) in appends.into_iter().zip(results) {
            // A client that went away has no use for its answer; its readings are stored.
            append.reply.send(result).unwrap_or_default();
        }
    }

    async fn commit(
        &mut self,
        readings: Vec<ScoredReading>,
    ) -> Result<(Vec<Outcome>, Vec<Stored>), StoreError> {
        if self.directory.read().ids_left() < TRANSACTION_IDS_MAX {
            return Err(StoreError::Unusable(
                "every id of this start is given out, the server must be started again".to_owned(),
            ));
        }
        if self.doubtful {
            self.recover().await?;
        }
        let identities = plan::identities_to_find(&self.directory.read(), &readings);
        let found = if identities.is_empty() {
            Vec::new()
        } else {
            self.engine.find(&identities).await?
        };
        let plan = plan::plan(
            &self.directory.read(),
            found,
            readings,
            self.profile,
            self.limits,
        );
        if !plan.changes.is_empty()
            && let Err(error) = self.engine.commit(&plan.changes).await
        {
            // If it reached the disk all the same, its ids are in the log; notices need others.
            let ids = plan.changes.readings.len();
            self.directory.write().reserve(ids);
            return Err(error);
        }
        Ok(plan.apply(&mut self.directory.write()))
    }

    /// Asks the database whether the failed commit reached the disk, and publishes what did: under
    /// new ids, because notices may have been published under greater ones than it had.
    async fn recover(&mut self) -> Result<(), StoreError> {
        let (logged, behind) = {
            let mut directory = self.directory.write();
            (directory.logged(), directory.reserve(Changes::READINGS_MAX))
        };
        let rows = self.engine.renumber(logged, behind).await?;
        let snapshot = self.engine.load().await?;
        let stored = {
            let mut directory = self.directory.write();
            directory.reload(snapshot);
            directory.take_over(rows)
        };
        self.doubtful = false;
        tracing::info!(recovered = stored.len(), "the store takes readings again");
        self.publish(stored).await;
        Ok(())
    }

    async fn publish(&self, stored: Vec<Stored>) {
        if !stored.is_empty() {
            let published = stored.into_iter().map(Published::Measurement);
            self.publisher.publish(published.collect()).await;
        }
    }

    async fn announce(&self, announcements: Vec<Announcement>) {
        if announcements.is_empty() {
            return;
        }
        let mut published = Vec::with_capacity(announcements.len());
        {
            let mut directory = self.directory.write();
            for announcement in announcements {
                let Some(id) = directory.advance() else {
                    tracing::error!(
                        kind = announcement.notice.kind,
                        "a notice is lost, every id of this start is given out"
                    );
                    continue;
                };
                let notice = Arc::new(announcement.notice);
                published.push(Published::Notice { id, notice });
            }
        }
        self.publisher.publish(published).await;
    }
}

//! Group commit: one task writes what has gathered, then answers everybody.
//!
//! While a transaction is on its way to the disk the next readings gather in the queue, so under
//! load the transactions grow by themselves, and an idle server commits a lone reading at once.

use super::directory::Directory;
use super::engine::{Changes, Engine};
use super::plan::{self, RegistryLimits};
use super::queue::{Append, AppendError, Message, WriteQueue};
use super::{Outcome, ScoredReading, Store, StoreError, Stored};
use crate::score::Profile;
use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Told of every stored reading, in order, after it is durable. While it waits, so does the writer.
pub trait Publish: std::fmt::Debug + Send + Sync {
    fn publish(&self, stored: Vec<super::Published>) -> BoxFuture<'_, ()>;
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

    /// Runs until the queue is closed and drained.
    pub async fn run(mut self) {
        loop {
            let mut closing = None;
            let mut appends = Vec::new();
            let mut readings = 0;
            let mut next = self.messages.recv().await;
            loop {
                match next {
                    None => return,
                    Some(Message::Append(append)) => {
                        readings += append.readings.len();
                        appends.push(append);
                    }
                    Some(Message::Close(done)) => {
                        closing = Some(done);
                        break;
                    }
                }
                if readings >= Changes::READINGS_MAX {
                    break;
                }
                match self.messages.try_recv() {
                    Ok(message) => next = Some(message),
                    Err(_) => break,
                }
            }
            self.write(appends).await;
            if let Some(done) = closing {
                // Whoever closes the queue may have stopped waiting; there is nothing to do then.
                done.send(()).unwrap_or_default();
                return;
            }
        }
    }

    /// Writes the readings of all requests in as few transactions as they fit and answers.
    async fn write(&mut self, mut appends: Vec<Append>) {
        let mut results: Vec<Result<Vec<Outcome>, AppendError>> = appends
            .iter()
            .map(|append| Ok(Vec::with_capacity(append.readings.len())))
            .collect();
        let mut readings = appends
            .iter_mut()
            .enumerate()
            .flat_map(|(position, append)| {
                std::mem::take(&mut append.readings)
                    .into_iter()
                    .map(move |one| (position, one))
            })
            .peekable();
        while readings.peek().is_some() {
            let (positions, chunk): (Vec<_>, Vec<_>) =
                readings.by_ref().take(Changes::READINGS_MAX).unzip();
            match self.commit(chunk).await {
                Ok((outcomes, stored)) => {
                    if !stored.is_empty() {
                        self.publisher
                            .publish(
                                stored
                                    .into_iter()
                                    .map(super::Published::Measurement)
                                    .collect(),
                            )
                            .await;
                    }
                    for (position, outcome) in positions.into_iter().zip(outcomes) {
                        if let Ok(outcomes) = &mut results[position] {
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
                        results[position] = Err(AppendError::Failed);
                    }
                }
            }
        }
        drop(readings);
        for (append, result) in appends.into_iter().zip(results) {
            // A client that went away has no use for its answer; its readings are stored.
            append.reply.send(result).unwrap_or_default();
        }
    }

    async fn commit(
        &mut self,
        readings: Vec<ScoredReading>,
    ) -> Result<(Vec<Outcome>, Vec<Stored>), StoreError> {
        if self.doubtful {
            // Nobody knows whether the failed commit reached the disk: ask it.
            let snapshot = self.engine.load().await?;
            self.directory.write().reload(snapshot);
            self.doubtful = false;
            tracing::info!("the store takes readings again");
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
        if !plan.changes.is_empty() {
            self.engine.commit(&plan.changes).await?;
        }
        Ok(plan.apply(&mut self.directory.write()))
    }
}

//! Group commit: one task writes what has gathered, then answers everybody.
//!
//! While a transaction is on its way to the disk the next readings gather in the queue, so under
//! load the transactions grow by themselves, and an idle server commits a lone reading at once
//! (`pace`). What is more than one transaction takes is written in turns of those who sent it
//! (`turns`).
//! Notices that gathered with readings are published behind them, so that they cost no transaction.

mod changes;

use super::pace::CommitPace;
use super::plan::{self, Moment, Plan, READINGS_MAX, RegistryLimits, Sent};
use super::queue::{Announcement, AppendError, Message, WriteQueue};
use super::recent::Run;
use super::registry::Decision;
use super::waiting::{Portions, Waiting};
use super::{Outcome, Published, Renamed, Store, Stored};
use crate::clock::{self, Clock};
use crate::database::StoreError;
use crate::score::Profile;
use changes::Changes;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Told of every message in the order of the ids, of a reading after it is durable. While it waits, so
/// does the writer.
pub trait Publish: std::fmt::Debug + Send + Sync {
    fn publish(&self, published: Vec<Published>) -> BoxFuture<'_, ()>;

    /// Told that something is called otherwise in all that is published from now on.
    fn rename(&self, _renamed: Vec<Renamed>) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Ids one transaction may need: its own, and those of one that failed before it.
const TRANSACTION_IDS_MAX: u64 = 2 * READINGS_MAX as u64;
/// Longest a commit waits for the store to be put in order: see [`super::keeper`].
const CAPACITY_WAIT_MAX: Duration = Duration::from_secs(1);
/// How often it is looked, when nobody writes, whether what a change waits for is settled.
const SETTLING_LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How often it is looked, when nobody writes, whose time has come and whether the clock went back.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);
/// How often a database that failed is asked whether it takes writes again, when nobody writes.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(1);

/// What has come besides readings.
#[derive(Debug, Default)]
struct Batch {
    announcements: Vec<Announcement>,
    closing: Option<oneshot::Sender<()>>,
}

/// The task that commits readings and publishes what it has committed.
#[derive(Debug)]
pub struct Writer {
    messages: mpsc::Receiver<Message>,
    pace: Arc<CommitPace>,
    store: Store,
    publisher: Arc<dyn Publish>,
    profile: Profile,
    limits: RegistryLimits,
    clock: Arc<dyn Clock>,
    /// The last commit failed; this is what may be stored all the same.
    doubtful: Option<Plan>,
    looks: Interval,
    /// Requests that are not answered yet.
    waiting: Waiting,
    changes: Changes,
}

impl Writer {
    /// A writer for `store` and the queue into it, which takes `queue_readings_max` readings.
    pub fn new(
        store: &Store,
        publisher: Arc<dyn Publish>,
        profile: Profile,
        limits: RegistryLimits,
        queue_readings_max: usize,
        clock: Arc<dyn Clock>,
    ) -> (Self, WriteQueue) {
        let pace = Arc::new(CommitPace::new());
        let mut looks = interval(CLOCK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (queue, messages) = WriteQueue::new(queue_readings_max, Arc::clone(&pace));
        let writer = Self {
            messages,
            pace,
            store: store.clone(),
            publisher,
            profile,
            limits,
            clock,
            doubtful: None,
            looks,
            waiting: Waiting::default(),
            changes: Changes::left_over(store.directory(Decision::pending)),
        };
        (writer, queue)
    }

    /// Runs until the queue is closed and drained. Any thread can run it.
    pub async fn run(mut self) {
        let mut batch = Batch::default();
        loop {
            if self.waiting.is_empty() {
                if let Some(done) = batch.closing {
                    self.changes.close();
                    // Whoever closes the queue may have stopped waiting; there is nothing to do then.
                    done.send(()).unwrap_or_default();
                    return;
                }
                let Some(first) = self.next().await else {
                    return;
                };
                self.take(first, &mut batch);
            }
            if !self.waiting.is_empty() {
                self.pace.begin().await;
            }
            while let Ok(message) = self.messages.try_recv() {
                self.take(message, &mut batch);
            }
            if !self.waiting.is_empty() {
                self.write().await;
            }
            let announcements = std::mem::take(&mut batch.announcements);
            self.announce(announcements).await;
            let is_failing = self.store.fault.read().is_some();
            if is_failing {
                self.refuse_changes();
            }
            if batch.closing.is_none() && !is_failing && self.changes.has_work() {
                self.step_changes().await;
            }
        }
    }

    /// Puts a message to those of its kind.
    fn take(&mut self, message: Message, batch: &mut Batch) {
        match message {
            Message::Append(append) => self.waiting.push(append),
            Message::Announce(announcement) => batch.announcements.push(announcement),
            Message::Change(request) => self.changes.add(*request),
            Message::Close(done) => batch.closing = Some(done),
        }
    }

    /// The next message. Until it comes, a store that failed is tried from time to time.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if self.store.fault.read().is_some() {
                let next = tokio::time::timeout(RECOVERY_INTERVAL, self.messages.recv());
                if let Ok(message) = next.await {
                    return message;
                }
                self.store.make_stale(self.clock.now());
                if let Err(error) = self.try_again().await {
                    tracing::debug!(%error, "the store still takes no readings");
                    self.store.fails(&error);
                    self.refuse_changes();
                }
            } else if self.changes.waits_to_settle(&self.store) {
                let next = tokio::time::timeout(SETTLING_LOOK_INTERVAL, self.messages.recv());
                if let Ok(message) = next.await {
                    return message;
                }
            } else if self.changes.has_work() {
                match self.messages.try_recv() {
                    Ok(message) => return Some(message),
                    Err(TryRecvError::Disconnected) => return None,
                    Err(TryRecvError::Empty) => self.step_changes().await,
                }
            } else {
                tokio::select! {
                    biased;
                    message = self.messages.recv() => return message,
                    _ = self.looks.tick() => {
                        self.follow_clock().await;
                        if let Err(error) = self.store.database.require_files() {
                            self.store.fails(&error);
                        }
                    }
                }
            }
        }
    }

    /// Brings the latest readings in line with the clock; returns the moment that they are of.
    async fn follow_clock(&self) -> Moment {
        let now = self.clock.now();
        let horizon = clock::horizon(now);
        self.store.make_stale(now);
        if let Err(error) = self.store.follow(horizon).await {
            // Tried again at once: the latest readings are those of before until then.
            tracing::debug!(%error, "latest readings cannot be looked up");
        }
        Moment { now, horizon }
    }

    /// Looks whether readings could be stored now, by writing something else.
    async fn try_again(&mut self) -> Result<(), StoreError> {
        self.recover().await?;
        self.make_sure().await?;
        self.require_capacity().await?;
        self.store.fault.write().take();
        tracing::info!("the store takes readings again");
        Ok(())
    }

    /// Writes the readings whose turn it is in one transaction and answers the requests that have none
    /// left.
    async fn write(&mut self) {
        let Portions {
            readings,
            of_requests,
            since,
        } = self.waiting.take(READINGS_MAX);
        if readings.is_empty() {
            return;
        }
        let measures = Arc::clone(&self.store.measures);
        measures.writes(since);
        let result = match self.commit(readings).await {
            Ok((outcomes, stored)) => {
                self.publish(stored).await;
                Ok(outcomes)
            }
            Err(error) => {
                measures.commit_failed();
                self.store.fails(&error);
                Err(AppendError::Failed)
            }
        };
        let answered = self.waiting.written(&of_requests, result, &measures);
        measures.writes(None);
        self.pace.taken(answered);
    }

    async fn commit(
        &mut self,
        readings: Vec<Sent>,
    ) -> Result<(Vec<Outcome>, Vec<Stored>), StoreError> {
        self.recover_if_doubtful().await?;
        self.require_capacity().await?;
        let moment = self.follow_clock().await;
        let identities = plan::identities_to_find(&self.store.directory.read(), &readings);
        let found = if identities.is_empty() {
            Vec::new()
        } else {
            self.store.find_identities(&identities).await?
        };
        let plan = plan::plan(
            &self.store.directory.read(),
            found,
            readings,
            self.profile,
            self.limits,
            moment,
        );
        if let Some(commit) = plan.commit() {
            let begun = Instant::now();
            if let Err(error) = self.store.database.commit(&commit).await {
                // If it reached the disk all the same, its ids are in the log; notices need others.
                self.store.directory.write().reserve(plan.event_count());
                self.doubtful = Some(plan);
                return Err(error);
            }
            let measures = &self.store.measures;
            measures.committed(plan.event_count(), begun.elapsed());
        }
        self.store.fault.write().take();
        Ok(self.apply(plan))
    }

    async fn recover_if_doubtful(&mut self) -> Result<(), StoreError> {
        if self.doubtful.is_some() {
            self.recover().await?;
        }
        self.make_sure().await
    }

    /// Whether there are ids, and memory, for the readings of a transaction.
    async fn require_capacity(&self) -> Result<(), StoreError> {
        let (ids_left, sensor_count) = self
            .store
            .directory(|directory| (directory.ids_left(), directory.sensor_count()));
        if ids_left < TRANSACTION_IDS_MAX {
            return Err(StoreError::Unusable(
                "every id of this start is given out, the server must be started again".to_owned(),
            ));
        }
        let capacity = self.store.recent.has_capacity(sensor_count);
        let waited = tokio::time::timeout(CAPACITY_WAIT_MAX, capacity).await;
        waited.map_err(|_elapsed| StoreError::Failing("readings cannot be put in order"))
    }

    fn apply(&self, plan: Plan) -> (Vec<Outcome>, Vec<Stored>) {
        if let Some(last) = plan.last_id() {
            self.store.log.lock().append(last, plan.event_count());
        }
        let mut directory = self.store.directory.write();
        let (outcomes, stored, rows) = plan.apply(&mut directory);
        let run = Run::of(rows.into_iter().map(|row| (row.id, row.reading)));
        // Under the same lock, so that who looks at both finds what belongs together.
        let sensor_count = directory.sensor_count();
        self.store.recent.insert(run, sensor_count);
        drop(directory);
        self.store.measures.taken(&outcomes, &stored);
        (outcomes, stored)
    }

    /// Asks the database whether a failed commit reached the disk, and publishes what did: under new
    /// ids, because notices may have been published under greater ones than it had. The question is a
    /// write, also when there is nothing to ask for.
    async fn recover(&mut self) -> Result<(), StoreError> {
        let count = self.doubtful.as_ref().map_or(0, Plan::event_count);
        let (logged, behind) = {
            let mut directory = self.store.directory.write();
            (directory.logged(), directory.reserve(count))
        };
        let to = behind.plus(count as u64);
        let is_stored = self.store.database.renumber(logged, to).await?;
        let Some(mut plan) = self.doubtful.take().filter(|_| is_stored) else {
            return Ok(());
        };
        plan.renumber(behind);
        tracing::info!(
            recovered = plan.event_count(),
            "readings that failed are stored"
        );
        let (_, stored) = self.apply(plan);
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
            let mut directory = self.store.directory.write();
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

//! Changes of sensors and rooms, made by the writer between two commits of readings.
//!
//! A change is decided only when nothing is between the log and the chunks, so that no reading is on its
//! way under a name or a key that is about to change. The readings that have to follow do so in steps,
//! one between two commits; another change waits until they have.

use super::Writer;
use crate::database::{RegistryPatch, StoreError};
use crate::domain::StreamId;
use crate::store::Store;
use crate::store::directory::{Directory, KnownSensor};
use crate::store::erase::row;
use crate::store::queue::{AppendError, ChangeRequest};
use crate::store::registry::{Asking, Changed, Decision, RegistryError, Step, Task};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What the writer has to do for changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Those that wait for their turn.
    waiting: VecDeque<ChangeRequest>,
    /// The one whose readings are on their way, and what it has come to so far.
    current: Option<(ChangeRequest, Changed)>,
    /// What is left to be done of it, or of those that were broken off before the start.
    tasks: VecDeque<Task>,
    /// What is settled in the background for the first of those that wait.
    settling: Option<Settling>,
    /// What may be durable already: whether it was is not known, and it is made so before anything else.
    doubtful: Option<Box<Decision>>,
}

/// Most of what has to be settled before a change is, beside the commits of others; only what came
/// meanwhile is left to the writer.
#[derive(Debug, Clone, Copy)]
struct Settling {
    /// It is when so many generations of readings are.
    settled: u64,
    /// It is not waited for longer.
    until: Instant,
}

/// Longest that a change waits for the keeper, which may be failing.
const SETTLING_WAIT_MAX: Duration = Duration::from_secs(30);

impl Changes {
    /// What was broken off when the server was stopped.
    pub(super) fn left_over(tasks: Vec<Task>) -> Self {
        Self {
            tasks: tasks.into(),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, request: ChangeRequest) {
        self.waiting.push_back(request);
    }

    pub(super) fn has_work(&self) -> bool {
        let is_idle = self.waiting.is_empty() && self.tasks.is_empty();
        !is_idle || self.current.is_some() || self.doubtful.is_some()
    }

    /// Whether nothing can be done before more is settled.
    pub(super) fn waits_to_settle(&self, store: &Store) -> bool {
        let is_blocked = self.tasks.is_empty() && self.doubtful.is_none();
        is_blocked
            && self.settling.is_some_and(|settling| {
                store.recent.settled() < settling.settled && Instant::now() < settling.until
            })
    }

    /// Nothing more is done: whoever waits is told so.
    pub(super) fn close(&mut self) {
        let current = self.current.take().map(|(request, _)| request);
        for request in self.waiting.drain(..).chain(current) {
            request.answer(Err(AppendError::Closed.into()));
        }
    }
}

impl Writer {
    /// Does the next thing that changes ask for.
    pub(super) async fn step_changes(&mut self) {
        if let Err(error) = self.make_sure().await {
            tracing::debug!(%error, "a change of sensors or rooms still cannot be stored");
            self.fail_changes(error);
            return;
        }
        if let Some(task) = self.changes.tasks.front_mut() {
            match self.store.work(task).await {
                Ok(Step::More) => {}
                Ok(Step::Ended(decision, readings)) => {
                    self.changes.tasks.pop_front();
                    // They were put together of readings that were elsewhere.
                    self.store.outdate_means();
                    if let Some((_, changed)) = &mut self.changes.current {
                        changed.readings += readings;
                    }
                    self.carry_out(*decision).await.unwrap_or_else(|error| {
                        tracing::error!(%error, "the end of a change could not be stored");
                        self.fail_changes(error);
                    });
                }
                Err(error) => {
                    tracing::error!(%error, "stored readings could not follow a change");
                    if matches!(error, StoreError::Corrupt { .. }) {
                        self.changes.tasks.clear();
                    } else {
                        // It is tried again when the store takes readings again.
                        self.store.fails(&error);
                    }
                    self.fail_changes(error);
                    return;
                }
            }
            if !self.changes.tasks.is_empty() {
                return;
            }
        }
        if let Some((request, changed)) = self.changes.current.take() {
            request.answer(Ok(changed));
        }
        if self.changes.waits_to_settle(&self.store) || self.settles_first() {
            return;
        }
        self.changes.settling = None;
        if let Some(request) = self.changes.waiting.pop_front() {
            self.begin_change(request).await;
        }
    }

    /// Has the keeper settle what there is, when the next change needs that and it was not asked yet.
    fn settles_first(&mut self) -> bool {
        let Some(request) = self.changes.waiting.front() else {
            return false;
        };
        let is_kept = self.store.is_kept.load(Ordering::Relaxed);
        if !is_kept || self.changes.settling.is_some() {
            return false;
        }
        let asking = self.asking(request);
        let decide = |directory: &Directory| Decision::of(directory, &request.change, &asking);
        let decided = self.store.directory(decide);
        if !decided.is_ok_and(|decision| decision.changes_keys()) {
            return false;
        }
        self.changes.settling = Some(Settling {
            settled: self.store.recent.settle_soon(),
            until: Instant::now() + SETTLING_WAIT_MAX,
        });
        true
    }

    fn asking(&self, request: &ChangeRequest) -> Asking {
        Asking {
            sites: request.sites.clone(),
            now: self.clock.now(),
            rooms_max: self.limits.rooms_max,
        }
    }

    async fn begin_change(&mut self, request: ChangeRequest) {
        match self.begun(&request).await {
            Ok(changed) => self.changes.current = Some((request, changed)),
            Err(error) => request.answer(Err(error)),
        }
    }

    async fn begun(&mut self, request: &ChangeRequest) -> Result<Changed, RegistryError> {
        // What failed may be stored all the same, under names of before.
        self.recover_if_doubtful().await?;
        let asking = self.asking(request);
        let decide = |directory: &Directory| Decision::of(directory, &request.change, &asking);
        let mut decision = self.store.directory(decide)?;
        if decision.changes_keys() {
            // So that no reading is on its way to the chunks under a key that is about to change.
            let _tidying = self.store.tidying.lock().await;
            self.store.settle_all().await?;
        }
        let changed = std::mem::take(&mut decision.changed);
        self.carry_out(decision).await?;
        Ok(changed)
    }

    /// Makes a decision durable and takes it over.
    async fn carry_out(&mut self, mut decision: Decision) -> Result<(), StoreError> {
        let as_of = self.store.directory(Directory::logged);
        decision.patch.sensors = rows(&decision.known, as_of);
        if decision.patch == RegistryPatch::default() {
            return Ok(());
        }
        self.changes.doubtful = Some(Box::new(decision));
        self.make_sure().await
    }

    /// What was decided becomes durable, if it is not, and is taken over. Whether an attempt that failed
    /// was stored after all makes no difference: doing it again changes nothing.
    pub(super) async fn make_sure(&mut self) -> Result<(), StoreError> {
        let Some(decision) = &self.changes.doubtful else {
            return Ok(());
        };
        if let Err(error) = self.store.database.change_registry(&decision.patch).await {
            if error.is_for_good() {
                // Nothing of it is stored and nothing ever will be: readings must not wait for it.
                tracing::error!(%error, "a change of sensors or rooms is refused by the database");
                self.changes.doubtful = None;
            } else {
                self.store.fails(&error);
            }
            return Err(error);
        }
        let Some(decision) = self.changes.doubtful.take() else {
            return Ok(());
        };
        let Decision {
            patch,
            known,
            tasks,
            renamed,
            ..
        } = *decision;
        let moves_readings = !(known.is_empty() && patch.rows.former_rooms.is_empty());
        self.store
            .directory
            .write()
            .change_registry(&patch, known)?;
        // Before those that were there: what goes must be nobody's by then.
        for task in tasks.into_iter().rev() {
            self.changes.tasks.push_front(task);
        }
        if moves_readings {
            self.store.outdate_means();
        }
        if !renamed.is_empty() {
            self.publisher.rename(renamed).await;
        }
        Ok(())
    }

    /// Nothing can be stored now: whoever waits for a change is told so.
    pub(super) fn refuse_changes(&mut self) {
        for request in self.changes.waiting.drain(..) {
            request.answer(Err(AppendError::Failed.into()));
        }
    }

    /// Whoever waits for the change under way is told that it failed.
    fn fail_changes(&mut self, error: StoreError) {
        if let Some((request, _)) = self.changes.current.take() {
            request.answer(Err(error.into()));
        } else if let Some(request) = self.changes.waiting.pop_front() {
            request.answer(Err(error.into()));
        }
    }
}

fn rows(known: &[KnownSensor], as_of: StreamId) -> Vec<crate::database::SensorRow> {
    known.iter().map(|sensor| row(sensor, as_of)).collect()
}

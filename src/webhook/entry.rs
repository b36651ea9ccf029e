//! A webhook and how it is doing, shared by its task and the calls about it.

use super::courier::Failure;
use super::record::{Progress, Webhook};
use crate::database::Document;
use crate::documents::Record;
use crate::domain::{StreamId, Timestamp};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// A webhook, its settings and its delivery state.
#[derive(Debug)]
pub(super) struct Entry {
    pub webhook: Webhook,
    state: Mutex<State>,
    has_task: AtomicBool,
    /// Its task is to end at once.
    pub removed: CancellationToken,
    /// Its task has ended.
    pub ended: CancellationToken,
}

#[derive(Debug)]
struct State {
    progress: Progress,
    /// What the database has.
    written: Option<Progress>,
    /// Why the last try failed; `None` when it did not.
    fault: Option<String>,
    /// Since when there is something behind its position.
    behind_since: Option<Instant>,
}

/// How a webhook is doing.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub progress: Progress,
    pub fault: Option<String>,
    /// Since when it has not had everything.
    pub behind_since: Option<Instant>,
}

impl Entry {
    /// `written` is whether the database has this progress.
    pub(super) fn new(webhook: Webhook, progress: Progress, written: bool) -> Self {
        let written = written.then(|| progress.clone());
        Self {
            webhook,
            state: Mutex::new(State {
                progress,
                written,
                fault: None,
                behind_since: None,
            }),
            has_task: AtomicBool::new(false),
            removed: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }

    /// Whether it needs a task; says so once.
    pub(super) fn claim_task(&self) -> bool {
        !self.has_task.swap(true, Ordering::AcqRel)
    }

    pub(super) fn has_task(&self) -> bool {
        self.has_task.load(Ordering::Acquire)
    }

    pub(super) fn condition(&self) -> Condition {
        let state = self.state.lock();
        Condition {
            progress: state.progress.clone(),
            fault: state.fault.clone(),
            behind_since: state.behind_since,
        }
    }

    /// Whether there is something that it has not had.
    pub(super) fn set_behind(&self, is_behind: bool) {
        let mut state = self.state.lock();
        let since = || state.behind_since.unwrap_or_else(Instant::now);
        state.behind_since = is_behind.then(since);
    }

    /// There was nothing up to `position` that was asked for.
    pub(super) fn passed(&self, position: StreamId) {
        self.state.lock().progress.position = position;
    }

    /// What was to come is not there any more; it goes on behind `position`.
    pub(super) fn skipped_to(&self, position: StreamId) {
        let progress = &mut self.state.lock().progress;
        progress.position = position;
        progress.gap = true;
    }

    /// So many messages were taken, and those were all up to `position`.
    pub(super) fn delivered(&self, position: StreamId, messages: usize, now: Timestamp) {
        let mut state = self.state.lock();
        state.progress = Progress {
            position,
            delivered: state.progress.delivered.saturating_add(messages as u64),
            delivery_ms: Some(now.millis()),
            gap: false,
        };
        if state.fault.take().is_some() {
            tracing::info!(id = self.webhook.id, "a webhook is taken again");
        }
    }

    /// A delivery was not taken.
    pub(super) fn failed(&self, failure: Failure) {
        self.at_fault(&failure.to_string());
    }

    /// Nothing could be read to deliver.
    pub(super) fn unread(&self) {
        self.at_fault("the store does not answer");
    }

    fn at_fault(&self, reason: &str) {
        let id = &self.webhook.id;
        let before = self.state.lock().fault.replace(reason.to_owned());
        // Once, not at every try.
        if before.is_none() {
            tracing::warn!(id, reason, "a webhook fails and will be tried again");
        } else {
            tracing::debug!(id, reason, "a webhook still fails");
        }
    }

    /// Its progress, when the database has another; `always` counts what was only passed, too.
    pub(super) fn unwritten(&self, always: bool) -> Option<(Document, Progress)> {
        let state = self.state.lock();
        let progress = &state.progress;
        let is_known = state.written.as_ref().is_some_and(|written| {
            let only_passed =
                written.delivered == progress.delivered && written.gap == progress.gap;
            written == progress || (only_passed && !always)
        });
        let unwritten = (!is_known).then(|| progress.clone());
        unwritten.map(|progress| {
            (
                Document::of(Progress::KIND, &self.webhook.id, &progress),
                progress,
            )
        })
    }

    pub(super) fn written(&self, progress: Progress) {
        self.state.lock().written = Some(progress);
    }
}

//! All webhooks: in memory, and as documents in the database.
//!
//! The book says which webhooks there are, whoever has added or removed them; each has an entry here
//! with its task, which follows.

use super::additions::Additions;
use super::book::Book;
use super::change::{self, WebhookRefusal};
use super::courier::{Attempt, Courier, Delivery};
use super::entry::Entry;
use super::news::News;
use super::record::{Progress, Webhook};
use super::selection::Selection;
use super::target::{Reach, Target, TargetError};
use super::worker::Worker;
use crate::access::{random_id, random_secret};
use crate::clock::Clock;
use crate::database::{DocumentDatabase, DocumentVersions, StoreError};
use crate::documents::{self, Book as _, Collection, Follower};
use crate::domain::StreamId;
use crate::store::Store;
use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use secrecy::SecretString;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long a removal waits for the webhook's task to be gone.
const END_WAIT_MAX: Duration = Duration::from_secs(1);

/// The collection of webhooks and the operations on it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Webhooks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    records: Collection<Book>,
    additions: Additions,
    store: Store,
    clock: Arc<dyn Clock>,
    courier: Courier,
    news: News,
    count_max: usize,
    entries: RwLock<FxHashMap<String, Arc<Entry>>>,
    added: Notify,
}

/// What webhooks work with.
#[derive(Debug)]
pub struct WebhookParts {
    pub database: Arc<dyn DocumentDatabase>,
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub reach: Reach,
    pub news: News,
    /// Most webhooks; those that exist above this go on, but no more can be added.
    pub count_max: usize,
}

/// How all webhooks are doing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lag {
    pub webhooks: usize,
    /// Those whose last try failed.
    pub failing: usize,
    /// For how long the one has not had everything for which that has lasted the longest.
    pub time: Duration,
    /// About how many messages come behind the one that is behind the most, asked for or not.
    pub messages: u64,
}

/// Why a webhook was not added or removed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChangeError {
    #[error("there are too many webhooks")]
    TooMany,
    #[error("there is no such webhook")]
    Unknown,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<documents::ChangeError<WebhookRefusal>> for ChangeError {
    fn from(error: documents::ChangeError<WebhookRefusal>) -> Self {
        match error {
            documents::ChangeError::Refused(WebhookRefusal::TooMany) => Self::TooMany,
            documents::ChangeError::Refused(WebhookRefusal::Unknown) => Self::Unknown,
            documents::ChangeError::Store(error) => Self::Store(error),
        }
    }
}

impl Follower for Webhooks {
    fn kinds(&self) -> &'static [&'static str] {
        Book::KINDS
    }

    fn subject(&self) -> &'static str {
        Book::SUBJECT
    }

    fn follow<'a>(
        &'a self,
        versions: &'a DocumentVersions,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async {
            self.0.records.refresh_to(versions).await?;
            self.remove_abandoned().await?;
            self.follow_book();
            Ok(())
        })
    }
}

impl Webhooks {
    /// Reads the webhooks there are. One whose progress is not known goes on from the present.
    pub async fn open(parts: WebhookParts) -> anyhow::Result<Self> {
        let WebhookParts {
            database,
            store,
            clock,
            reach,
            news,
            count_max,
        } = parts;
        let webhooks = Self(Arc::new(Shared {
            records: Collection::open(database).await?,
            additions: Additions::default(),
            courier: Courier::new(reach, Arc::clone(&clock)),
            store,
            clock,
            news,
            count_max,
            entries: RwLock::default(),
            added: Notify::new(),
        }));
        webhooks.follow_book();
        Ok(webhooks)
    }

    /// Where a new webhook would lead, if it may.
    pub(super) async fn target(&self, url: &str) -> Result<Target, TargetError> {
        let target = self.0.courier.reach().check(url)?;
        let found = self.0.courier.look_up(&target).await;
        found.map_err(|_none| TargetError::Address)?;
        Ok(target)
    }

    /// Every webhook, the newest first.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        let mut all: Vec<_> = self.0.entries.read().values().cloned().collect();
        all.sort_by(|a, b| {
            let (a, b) = (&a.webhook, &b.webhook);
            (b.created_ms, &a.id).cmp(&(a.created_ms, &b.id))
        });
        all
    }

    /// How all of them are doing.
    pub fn lag(&self) -> Lag {
        let mut lag = Lag::default();
        for entry in self.0.entries.read().values() {
            let condition = entry.condition();
            let time = condition.behind_since.map(|since| since.elapsed());
            let messages = self.0.store.behind(condition.progress.position);
            lag.webhooks += 1;
            lag.failing += usize::from(condition.fault.is_some());
            lag.time = lag.time.max(time.unwrap_or_default());
            lag.messages = lag.messages.max(messages);
        }
        lag
    }

    /// Where the stream is.
    pub(super) fn present(&self) -> StreamId {
        self.0.store.position()
    }

    /// Adds a webhook that gets what is published from now on.
    pub(super) async fn add(
        &self,
        target: &Target,
        selection: Selection,
        created_by: &str,
    ) -> Result<(Arc<Entry>, SecretString), ChangeError> {
        let secret = SecretString::from(random_secret());
        let webhook = Webhook {
            id: random_id::<6>(),
            url: target.url().to_string(),
            selection,
            secret: secret.clone(),
            created_ms: self.0.clock.now().millis(),
            created_by: created_by.to_owned(),
        };
        let progress = Progress::behind(self.0.store.position());
        self.remove_abandoned().await?;
        // Until it is told, nobody but this call knows of it.
        let addition = self.0.additions.begin(&webhook.id);
        let added = self.0.records.change(|book| {
            let change = change::add(book, &webhook, &progress, self.0.count_max)?;
            Ok((change, ()))
        });
        if let Err(error) = added.await {
            if let documents::ChangeError::Refused(_) = error {
                addition.tell();
            }
            return Err(error.into());
        }
        let id = webhook.id.clone();
        let entry = Arc::new(Entry::new(webhook, progress, true));
        self.0.entries.write().insert(id, Arc::clone(&entry));
        addition.tell();
        self.0.added.notify_one();
        Ok((entry, secret))
    }

    /// Removes a webhook; when it returns nothing is delivered any more.
    pub(super) async fn remove(&self, id: &str) -> Result<(), ChangeError> {
        let entry = self.0.entries.read().get(id).cloned();
        let removed = self.0.records.change(|book| {
            let change = change::remove(book, id)?;
            Ok((change, ()))
        });
        match (removed.await, &entry) {
            // Somebody else has removed it, or nobody has heard that it was.
            (Ok(()) | Err(documents::ChangeError::Refused(WebhookRefusal::Unknown)), Some(_)) => {}
            (removed, _) => removed?,
        }
        self.follow_book();
        let Some(entry) = entry else {
            return Ok(());
        };
        if entry.has_task()
            && timeout(END_WAIT_MAX, entry.ended.cancelled())
                .await
                .is_err()
        {
            tracing::warn!(id, "the task of a removed webhook has not ended yet");
        }
        Ok(())
    }

    /// Gives every webhook of the book its entry, and ends those that are not there any more. One
    /// whose progress is not known goes on from the present.
    fn follow_book(&self) {
        let mut entries = self.0.entries.write();
        let mut has_new = false;
        self.0.records.book(|book| {
            entries.retain(|id, entry| {
                let stays = book.webhooks.contains_key(id);
                if !stays {
                    entry.removed.cancel();
                }
                stays
            });
            for (id, webhook) in book.webhooks.iter() {
                if entries.contains_key(id) || self.0.additions.has(id) {
                    continue;
                }
                let known = book.progress.get(id).cloned();
                let is_known = known.is_some();
                let progress = known.unwrap_or_else(|| Progress::behind(self.0.store.position()));
                let entry = Entry::new(webhook.clone(), progress, is_known);
                entries.insert(id.clone(), Arc::new(entry));
                has_new = true;
            }
        });
        drop(entries);
        if has_new {
            self.0.added.notify_one();
        }
    }

    /// Removes webhooks nobody was told of.
    async fn remove_abandoned(&self) -> Result<(), StoreError> {
        let abandoned = self.0.additions.abandoned();
        if abandoned.is_empty() {
            return Ok(());
        }
        let removed = self.0.records.change(|_| {
            let change = change::remove_all(&abandoned);
            Ok::<_, Infallible>((change, ()))
        });
        match removed.await {
            Ok(()) => {}
            Err(documents::ChangeError::Store(error)) => return Err(error),
            Err(documents::ChangeError::Refused(never)) => match never {},
        }
        self.0.additions.forget(&abandoned);
        Ok(())
    }

    /// Delivers a message without content and says what came of it; `None` when there is no such
    /// webhook.
    pub(super) async fn test(&self, id: &str) -> Option<Attempt> {
        let entry = self.0.entries.read().get(id).cloned()?;
        let delivery = Delivery {
            id: "test".to_owned(),
            body: br#"{"type":"test"}"#.to_vec(),
        };
        let Webhook { url, secret, .. } = &entry.webhook;
        Some(self.0.courier.deliver(url, secret, delivery).await)
    }

    /// Ends when a webhook was added.
    pub(super) async fn added(&self) {
        self.0.added.notified().await;
    }

    /// Tasks for the webhooks that have none yet.
    pub(super) fn workers(&self) -> Vec<Worker> {
        let entries = self.0.entries.read();
        let without = entries.values().filter(|entry| entry.claim_task());
        without
            .map(|entry| Worker {
                entry: Arc::clone(entry),
                store: self.0.store.clone(),
                courier: self.0.courier.clone(),
                clock: Arc::clone(&self.0.clock),
                news: self.0.news.clone(),
            })
            .collect()
    }

    /// Writes how far they have come; see [`Entry::unwritten`].
    pub(super) async fn write_progress(&self, always: bool) -> Result<(), StoreError> {
        let entries: Vec<_> = self.0.entries.read().values().cloned().collect();
        let mut written = Vec::new();
        let mut entries = entries.into_iter();
        let noted = self.0.records.note(|book, count_max| {
            let mut documents = Vec::new();
            for entry in entries.by_ref() {
                if book.webhooks.contains_key(&entry.webhook.id)
                    && let Some((document, progress)) = entry.unwritten(always)
                {
                    documents.push(document);
                    written.push((entry, progress));
                }
                if documents.len() == count_max {
                    break;
                }
            }
            documents
        });
        noted.await?;
        for (entry, progress) in written {
            entry.written(progress);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

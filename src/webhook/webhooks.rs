//! All webhooks: in memory, and as documents in the database.
//!
//! Only this process changes them, so what is in memory is what counts. A change is durable first.

use super::courier::{Attempt, Courier, Delivery};
use super::entry::Entry;
use super::news::News;
use super::record::{PROGRESS, Progress, WEBHOOK, Webhook};
use super::selection::Selection;
use super::target::{Reach, Target, TargetError};
use super::worker::Worker;
use crate::access::{random_id, random_secret};
use crate::clock::Clock;
use crate::database::{Certainty, Document, DocumentChange, DocumentDatabase, StoreError};
use crate::domain::StreamId;
use crate::store::Store;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, Notify};
use tokio::time::timeout;

/// How long a removal waits for the webhook's task to be gone.
const END_WAIT_MAX: Duration = Duration::from_secs(1);

/// The collection of webhooks and the operations on it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Webhooks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    database: Arc<dyn DocumentDatabase>,
    store: Store,
    clock: Arc<dyn Clock>,
    courier: Courier,
    news: News,
    count_max: usize,
    entries: RwLock<FxHashMap<String, Arc<Entry>>>,
    /// Held while documents are written, so that none comes back that was removed.
    writing: Mutex<Certainty>,
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
        let loaded = database.load().await?;
        let mut progress: FxHashMap<&str, Progress> = FxHashMap::default();
        for document in loaded.documents.iter().filter(|it| it.kind == PROGRESS) {
            progress.insert(&document.id, document.record()?);
        }
        let mut entries = FxHashMap::default();
        for document in loaded.documents.iter().filter(|it| it.kind == WEBHOOK) {
            let webhook = Webhook {
                id: document.id.clone(),
                ..document.record()?
            };
            let known = progress.remove(document.id.as_str());
            let is_known = known.is_some();
            let progress = known.unwrap_or_else(|| Progress::behind(store.position()));
            let entry = Entry::new(webhook, progress, is_known);
            entries.insert(document.id.clone(), Arc::new(entry));
        }
        Ok(Self(Arc::new(Shared {
            courier: Courier::new(reach, Arc::clone(&clock)),
            database,
            store,
            clock,
            news,
            count_max,
            entries: RwLock::new(entries),
            writing: Mutex::default(),
            added: Notify::new(),
        })))
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
        let mut certainty = self.certain().await?;
        if self.0.entries.read().len() >= self.0.count_max {
            return Err(ChangeError::TooMany);
        }
        let id = webhook.id.clone();
        let change = DocumentChange {
            put: vec![
                Document::of(WEBHOOK, &id, &webhook),
                Document::of(PROGRESS, &id, &progress),
            ],
            removed: Vec::new(),
        };
        self.0
            .database
            .change_or_doubt(&mut certainty, &change)
            .await?;
        let entry = Arc::new(Entry::new(webhook, progress, true));
        self.0.entries.write().insert(id, Arc::clone(&entry));
        self.0.added.notify_one();
        Ok((entry, secret))
    }

    /// Removes a webhook; when it returns nothing is delivered any more.
    pub(super) async fn remove(&self, id: &str) -> Result<(), ChangeError> {
        let entry = {
            let mut certainty = self.certain().await?;
            if !self.0.entries.read().contains_key(id) {
                return Err(ChangeError::Unknown);
            }
            self.0
                .database
                .change_or_doubt(&mut certainty, &removal_of(id))
                .await?;
            self.0.entries.write().remove(id)
        };
        let Some(entry) = entry else {
            return Ok(());
        };
        entry.removed.cancel();
        if entry.has_task()
            && timeout(END_WAIT_MAX, entry.ended.cancelled())
                .await
                .is_err()
        {
            tracing::warn!(id, "the task of a removed webhook has not ended yet");
        }
        Ok(())
    }

    /// The right to change something, with entries that are what the database has.
    ///
    /// A webhook whose addition nobody saw through was never shown to anybody, nor its secret: it goes.
    /// One whose removal nobody saw through is removed again by whoever wants it gone.
    async fn certain(&self) -> Result<MutexGuard<'_, Certainty>, StoreError> {
        let mut certainty = self.0.writing.lock().await;
        if *certainty == Certainty::Unsure {
            let loaded = self.0.database.load().await?;
            let stored = loaded.documents.iter().filter(|it| it.kind == WEBHOOK);
            let mut change = DocumentChange::default();
            for document in stored {
                if !self.0.entries.read().contains_key(&document.id) {
                    change.removed.extend(removal_of(&document.id).removed);
                }
            }
            if !change.removed.is_empty() {
                self.0.database.change_own(&change).await?;
            }
            *certainty = Certainty::Sure;
        }
        Ok(certainty)
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
        let _certainty = self.certain().await?;
        let entries: Vec<_> = self.0.entries.read().values().cloned().collect();
        let mut documents = Vec::new();
        let mut written = Vec::new();
        for entry in entries {
            if let Some((document, progress)) = entry.unwritten(always) {
                documents.push(document);
                written.push((entry, progress));
            }
        }
        if documents.is_empty() {
            return Ok(());
        }
        self.0.database.note(&documents).await?;
        for (entry, progress) in written {
            entry.written(progress);
        }
        Ok(())
    }
}

fn removal_of(id: &str) -> DocumentChange {
    DocumentChange {
        put: Vec::new(),
        removed: [WEBHOOK, PROGRESS]
            .map(|kind| (kind.to_owned(), id.to_owned()))
            .to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::test_support::MemoryDocuments;
    use crate::clock::SystemClock;
    use crate::database::{self, LoadedDocuments, OpenMode};
    use crate::domain::Timestamp;
    use crate::score::Profile;
    use crate::store::ReplayLimits;
    use crate::webhook::address::AllowedNetworks;
    use futures_util::future::BoxFuture;
    use pretty_assertions::assert_eq;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A database whose next change is durable, though nobody hears of it.
    #[derive(Debug, Default)]
    struct Unheard {
        documents: MemoryDocuments,
        is_silent: AtomicBool,
    }

    impl DocumentDatabase for Unheard {
        fn version(&self) -> BoxFuture<'_, Result<i64, StoreError>> {
            self.documents.version()
        }

        fn load(&self) -> BoxFuture<'_, Result<LoadedDocuments, StoreError>> {
            self.documents.load()
        }

        fn change<'a>(
            &'a self,
            version: i64,
            change: &'a DocumentChange,
        ) -> BoxFuture<'a, Result<bool, StoreError>> {
            Box::pin(async move {
                let changed = self.documents.change(version, change).await;
                if self.is_silent.swap(false, Ordering::Relaxed) {
                    return Err(StoreError::Failing("nobody hears of it"));
                }
                changed
            })
        }

        fn note<'a>(&'a self, documents: &'a [Document]) -> BoxFuture<'a, Result<(), StoreError>> {
            self.documents.note(documents)
        }

        fn close(&self) -> BoxFuture<'_, ()> {
            self.documents.close()
        }
    }

    #[tokio::test]
    async fn a_webhook_nobody_was_told_of_is_gone_again() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("readings.db").display());
        let readings = database::open(&url, OpenMode::Owner).await.unwrap();
        let (start, limits) = (Timestamp::from_millis(0), ReplayLimits::default());
        let store = Store::open(readings, Profile::Iaqverse, start, limits);
        let unheard = Arc::new(Unheard::default());
        let webhooks = Webhooks::open(WebhookParts {
            database: Arc::clone(&unheard) as _,
            store: store.await.unwrap(),
            clock: Arc::new(SystemClock),
            reach: Reach::new(
                &[443],
                AllowedNetworks::new(&["192.0.2.0/24".parse().unwrap()]),
            ),
            news: tokio::sync::watch::channel(()).1,
            count_max: 1,
        });
        let webhooks = webhooks.await.unwrap();
        let stored = async || {
            let documents = unheard.load().await.unwrap().documents.into_iter();
            documents.map(|it| it.kind).collect::<Vec<_>>()
        };
        let target = webhooks.target("https://192.0.2.1/").await.unwrap();
        let add = async || webhooks.add(&target, Selection::default(), "ada").await;

        unheard.is_silent.store(true, Ordering::Relaxed);
        assert!(matches!(add().await, Err(ChangeError::Store(_))));
        assert_eq!(stored().await, [WEBHOOK, PROGRESS]);
        webhooks.write_progress(false).await.unwrap();
        assert_eq!(stored().await, [] as [&str; 0]);

        let (entry, _) = add().await.unwrap();
        unheard.is_silent.store(true, Ordering::Relaxed);
        assert!(matches!(
            webhooks.remove(&entry.webhook.id).await,
            Err(ChangeError::Store(_))
        ));
        assert_eq!(webhooks.all().len(), 1);
        webhooks.remove(&entry.webhook.id).await.unwrap();
        assert!(webhooks.all().is_empty());
    }
}

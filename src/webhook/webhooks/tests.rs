use super::*;
use crate::clock::SystemClock;
use crate::database::{self, OpenMode};
use crate::documents::test_support::MemoryDocuments;
use crate::domain::Timestamp;
use crate::score::Profile;
use crate::store::ReplayLimits;
use crate::webhook::address::AllowedNetworks;
use pretty_assertions::assert_eq;
use tempfile::TempDir;

/// Servers on the same documents.
struct Servers {
    documents: Arc<MemoryDocuments>,
    store: Store,
    _folder: TempDir,
}

impl Servers {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("readings.db").display());
        let readings = database::open(&url, OpenMode::Owner).await.unwrap();
        let (start, limits) = (Timestamp::from_millis(0), ReplayLimits::default());
        let store = Store::open(readings, Profile::Iaqverse, start, limits);
        Self {
            documents: Arc::default(),
            store: store.await.unwrap(),
            _folder: folder,
        }
    }

    async fn start(&self) -> Webhooks {
        let webhooks = Webhooks::open(WebhookParts {
            database: Arc::clone(&self.documents) as _,
            store: self.store.clone(),
            clock: Arc::new(SystemClock),
            reach: Reach::new(
                &[443],
                AllowedNetworks::new(&["192.0.2.0/24".parse().unwrap()]),
            ),
            news: tokio::sync::watch::channel(()).1,
            count_max: 1,
        });
        webhooks.await.unwrap()
    }
}

async fn add(webhooks: &Webhooks) -> Result<Arc<Entry>, ChangeError> {
    let target = webhooks.target("https://192.0.2.1/").await.unwrap();
    let added = webhooks.add(&target, Selection::default(), "ada").await;
    added.map(|(entry, _)| entry)
}

async fn follow(webhooks: &Webhooks, documents: &MemoryDocuments) {
    let versions = documents.versions(Book::KINDS).await.unwrap();
    webhooks.follow(&versions).await.unwrap();
}

#[tokio::test]
async fn a_webhook_nobody_was_told_of_is_gone_again() {
    let servers = Servers::new().await;
    let documents = &servers.documents;
    let webhooks = servers.start().await;

    documents.fall_silent();
    assert!(matches!(add(&webhooks).await, Err(ChangeError::Store(_))));
    assert_eq!(documents.kinds(), ["webhook", "webhook_progress"]);
    follow(&webhooks, documents).await;
    assert_eq!(documents.kinds(), [""; 0]);
    assert!(webhooks.all().is_empty() && webhooks.workers().is_empty());

    // Whoever asks again need not wait for that.
    documents.fall_silent();
    assert!(matches!(add(&webhooks).await, Err(ChangeError::Store(_))));
    let entry = add(&webhooks).await.unwrap();
    assert_eq!(webhooks.all().len(), 1);

    documents.fall_silent();
    assert!(matches!(
        webhooks.remove(&entry.webhook.id).await,
        Err(ChangeError::Store(_))
    ));
    assert_eq!(webhooks.all().len(), 1);
    webhooks.remove(&entry.webhook.id).await.unwrap();
    assert!(webhooks.all().is_empty());
    let again = webhooks.remove(&entry.webhook.id).await;
    assert!(matches!(again, Err(ChangeError::Unknown)));
}

#[tokio::test]
async fn tasks_follow_what_another_process_does() {
    let servers = Servers::new().await;
    let (one, other) = (servers.start().await, servers.start().await);
    let added = add(&one).await.unwrap();
    assert_eq!(other.workers().len(), 0);
    follow(&other, &servers.documents).await;
    let workers = other.workers();
    assert_eq!(workers.len(), 1);
    assert_eq!(workers[0].entry.webhook.id, added.webhook.id);
    // Somebody waits for it.
    timeout(END_WAIT_MAX, other.added()).await.unwrap();

    // Nothing moves where nothing has changed.
    follow(&other, &servers.documents).await;
    assert!(other.workers().is_empty() && !workers[0].entry.removed.is_cancelled());
    let too_many = add(&other).await;
    assert!(matches!(too_many, Err(ChangeError::TooMany)));

    added.skipped_to("7-1".parse().unwrap());
    one.remove(&added.webhook.id).await.unwrap();
    assert!(added.removed.is_cancelled());
    follow(&other, &servers.documents).await;
    assert!(workers[0].entry.removed.is_cancelled());
    assert!(other.all().is_empty());
    // Its progress does not come back.
    other.write_progress(true).await.unwrap();
    one.write_progress(true).await.unwrap();
    assert_eq!(servers.documents.kinds(), [""; 0]);
}

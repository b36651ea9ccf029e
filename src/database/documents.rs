//! Small records beside the readings: what a database must be able to do for them.
//!
//! Accounts, sessions, keys, claims, models and webhooks are kept so. Their owner has all of them in
//! memory; where several processes change them, it asks now and then whether another one did. So this
//! is no way to keep what is many or changes often.

use super::error::within;
use super::{OpenMode, PostgresDocuments, SqliteDocuments, StoreError, WORK_WAIT_MAX, open};
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// How often a change is made again because somebody else changed documents at that moment.
const CHANGE_TRIES_MAX: usize = 10;

/// A record by its kind and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub kind: String,
    pub id: String,
    /// JSON.
    pub body: String,
}

impl Document {
    /// A record as it is kept.
    ///
    /// # Panics
    ///
    /// When the record cannot be JSON, which no record of texts and numbers is. An empty document must
    /// not take the place of what is stored.
    pub fn of(kind: &str, id: &str, record: &impl Serialize) -> Self {
        Self {
            kind: kind.to_owned(),
            id: id.to_owned(),
            body: serde_json::to_string(record).expect("texts and numbers become JSON"),
        }
    }

    /// The record it was made of.
    pub fn record<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_str(&self.body).map_err(|error| {
            // Without what was read: there are secrets among documents.
            self.corrupt(&format!("line {} column {}", error.line(), error.column()))
        })
    }

    /// The error of a document that is not what it should be.
    pub fn corrupt(&self, detail: &str) -> StoreError {
        StoreError::Corrupt {
            table: "documents",
            detail: format!("{} {}: {detail}", self.kind, self.id),
        }
    }
}

/// Everything there was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedDocuments {
    pub version: i64,
    pub documents: Vec<Document>,
}

/// What one transaction changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentChange {
    /// Documents that are new or take the place of those with their kind and id.
    pub put: Vec<Document>,
    /// Kinds and ids of documents that go.
    pub removed: Vec<(String, String)>,
}

/// Whether what its owner has in memory is what the database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Certainty {
    #[default]
    Sure,
    /// A change was begun whose end nobody has seen.
    Unsure,
}

/// A database that keeps documents. It has a connection of its own, and any number of processes may
/// use it beside the owner of the readings.
pub trait DocumentDatabase: std::fmt::Debug + Send + Sync {
    fn version(&self) -> BoxFuture<'_, Result<i64, StoreError>>;

    fn load(&self) -> BoxFuture<'_, Result<LoadedDocuments, StoreError>>;

    /// Makes the change durable if nobody has changed anything since `version`, and raises the
    /// version by one; `false` when somebody has, and nothing is changed.
    fn change<'a>(
        &'a self,
        version: i64,
        change: &'a DocumentChange,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Writes documents that nobody needs to hear of: the version stays.
    fn note<'a>(&'a self, documents: &'a [Document]) -> BoxFuture<'a, Result<(), StoreError>>;

    fn close(&self) -> BoxFuture<'_, ()>;
}

impl dyn DocumentDatabase {
    /// [`change_own`](Self::change_own). When that fails, or nobody waits for its end, what is in
    /// memory is no longer known to be right.
    pub async fn change_or_doubt(
        &self,
        certainty: &mut Certainty,
        change: &DocumentChange,
    ) -> Result<(), StoreError> {
        *certainty = Certainty::Unsure;
        self.change_own(change).await?;
        *certainty = Certainty::Sure;
        Ok(())
    }

    /// Makes a change durable whatever else is changed at that moment: for documents that nobody but
    /// the caller changes.
    pub async fn change_own(&self, change: &DocumentChange) -> Result<(), StoreError> {
        for _ in 0..CHANGE_TRIES_MAX {
            let version = self.version().await?;
            if self.change(version, change).await? {
                return Ok(());
            }
        }
        Err(StoreError::InUse(
            "others change documents all the time".to_owned(),
        ))
    }
}

/// Opens the documents of a database that has its tables.
pub async fn open_documents(url: &str) -> Result<Arc<dyn DocumentDatabase>, StoreError> {
    within(WORK_WAIT_MAX, async {
        let documents: Arc<dyn DocumentDatabase> = if super::is_postgres(url) {
            Arc::new(PostgresDocuments::open(url).await?)
        } else {
            Arc::new(SqliteDocuments::open(url).await?)
        };
        Ok(documents)
    })
    .await
}

/// Makes the tables if there is no server that has done so, and opens the documents: for commands that
/// run before the first start or beside a server.
pub async fn prepare_documents(url: &str) -> Result<Arc<dyn DocumentDatabase>, StoreError> {
    match open(url, OpenMode::Owner).await {
        Ok(database) => database.close().await,
        Err(StoreError::InUse(_)) => {}
        Err(error) => return Err(error),
    }
    open_documents(url).await
}

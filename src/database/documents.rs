//! Small records beside the readings: what a database must be able to do for them.
//!
//! Accounts, sessions, keys, claims, models and webhooks are kept so. Each kind has a version, which
//! grows with every change of it. Whoever uses a kind has all of it in memory (`documents` at the top),
//! and asks now and then whether another process has changed it. So this is no way to keep what is many
//! or changes often.

use super::error::within;
use super::{OpenMode, PostgresDocuments, SqliteDocuments, StoreError, WORK_WAIT_MAX, open};
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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

/// The version of each kind; a kind that never changed has 0.
pub type DocumentVersions = BTreeMap<String, i64>;

/// Everything there was of some kinds at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadedDocuments {
    /// Of every kind that was asked for.
    pub versions: DocumentVersions,
    /// By kind and id.
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

impl DocumentChange {
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.removed.is_empty()
    }

    /// The kinds of what is put or removed.
    pub fn kinds(&self) -> BTreeSet<&str> {
        let put = self.put.iter().map(|document| document.kind.as_str());
        put.chain(self.removed.iter().map(|(kind, _)| kind.as_str()))
            .collect()
    }

    /// By how much each kind is raised that this changes or that it was decided on: 1 or 0.
    pub(super) fn raises<'a>(&'a self, expected: &'a DocumentVersions) -> BTreeMap<&'a str, i64> {
        let mut raises: BTreeMap<&str, i64> =
            expected.keys().map(|kind| (kind.as_str(), 0)).collect();
        raises.extend(self.kinds().into_iter().map(|kind| (kind, 1)));
        raises
    }
}

/// Whether `versions`, which were raised like this, come from those that were expected.
pub(super) fn are_expected(
    expected: &DocumentVersions,
    raises: &BTreeMap<&str, i64>,
    versions: &[(String, i64)],
) -> bool {
    versions.iter().all(|(kind, version)| {
        let before = raises.get(kind.as_str()).map(|raise| version - raise);
        expected
            .get(kind)
            .is_none_or(|expected| before == Some(*expected))
    })
}

/// A database that keeps documents. It has a connection of its own, and any number of processes may
/// use it beside the owner of the readings.
pub trait DocumentDatabase: std::fmt::Debug + Send + Sync {
    /// The versions of `kinds`.
    fn versions<'a>(
        &'a self,
        kinds: &'a [&'a str],
    ) -> BoxFuture<'a, Result<DocumentVersions, StoreError>>;

    /// The documents of `kinds`, with the versions of the same moment.
    fn load<'a>(
        &'a self,
        kinds: &'a [&'a str],
    ) -> BoxFuture<'a, Result<LoadedDocuments, StoreError>>;

    /// Makes the change durable if every kind in `expected` still has its version there, and raises
    /// the version of exactly the kinds it changes by one; `false` when one has moved, and nothing is
    /// changed.
    fn change<'a>(
        &'a self,
        expected: &'a DocumentVersions,
        change: &'a DocumentChange,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Writes documents that nobody needs to hear of: no version grows.
    fn note<'a>(&'a self, documents: &'a [Document]) -> BoxFuture<'a, Result<(), StoreError>>;

    fn close(&self) -> BoxFuture<'_, ()>;
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

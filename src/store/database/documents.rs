//! Small records beside the readings: what a database must be able to do for them.
//!
//! Whoever owns them has all of them in memory and asks now and then whether another process changed
//! any. So this is no way to keep what is many or changes often.

use super::error::within;
use super::{Access, PostgresDocuments, SqliteDocuments, StoreError, WORK_WAIT_MAX, open};
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// A record by its kind and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub kind: String,
    pub id: String,
    /// JSON.
    pub body: String,
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
    match open(url, Access::Owner).await {
        Ok(database) => database.close().await,
        Err(StoreError::InUse(_)) => {}
        Err(error) => return Err(error),
    }
    open_documents(url).await
}

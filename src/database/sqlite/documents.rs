//! Documents in SQLite.

use super::{options, path_of, write};
use crate::database::error::within;
use crate::database::{
    ANSWER_WAIT_MAX, Document, DocumentChange, DocumentDatabase, LoadedDocuments, StoreError,
    WORK_WAIT_MAX, decode, sql,
};
use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

/// Documents in a SQLite file. One connection both reads and writes: all of it is small.
#[derive(Debug)]
pub struct SqliteDocuments {
    pool: SqlitePool,
}

impl SqliteDocuments {
    /// Opens the documents of a database that an owner has looked at and migrated.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let path = path_of(url)?;
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(WORK_WAIT_MAX)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .connect_with(options(&path).synchronous(SqliteSynchronous::Full))
            .await?;
        Ok(Self { pool })
    }
}

impl DocumentDatabase for SqliteDocuments {
    fn version(&self) -> BoxFuture<'_, Result<i64, StoreError>> {
        Box::pin(within(ANSWER_WAIT_MAX, async {
            let version = sqlx::query_scalar(sql::DOCUMENT_VERSION);
            Ok(version.fetch_one(&self.pool).await?)
        }))
    }

    fn load(&self) -> BoxFuture<'_, Result<LoadedDocuments, StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async {
            let rows = sqlx::query_as(sql::DOCUMENTS).fetch_all(&self.pool).await?;
            decode::documents(rows)
        }))
    }

    fn change<'a>(
        &'a self,
        version: i64,
        change: &'a DocumentChange,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            // A transaction that began by reading might not get the right to write later.
            let mut transaction = self.pool.begin_with("begin immediate").await?;
            let advanced = sqlx::query(sql::ADVANCE_DOCUMENTS)
                .bind(version)
                .execute(&mut *transaction)
                .await?;
            if advanced.rows_affected() == 0 {
                transaction.rollback().await?;
                return Ok(false);
            }
            for (kind, id) in &change.removed {
                sqlx::query(sql::REMOVE_DOCUMENT)
                    .bind(kind)
                    .bind(id)
                    .execute(&mut *transaction)
                    .await?;
            }
            put(&mut transaction, &change.put).await?;
            transaction.commit().await?;
            Ok(true)
        }))
    }

    fn note<'a>(&'a self, documents: &'a [Document]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut transaction = self.pool.begin_with("begin immediate").await?;
            put(&mut transaction, documents).await?;
            transaction.commit().await?;
            Ok(())
        }))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.pool.close())
    }
}

/// All in one statement, as JSON.
pub(in crate::database) async fn put(
    connection: &mut SqliteConnection,
    documents: &[Document],
) -> Result<(), StoreError> {
    if documents.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = documents
        .iter()
        .map(|document| (&document.kind, &document.id, &document.body))
        .collect();
    sqlx::query(
        "insert into documents (kind, id, body)
        select value ->> 0, value ->> 1, value ->> 2 from json_each($1) where true
        on conflict (kind, id) do update set body = excluded.body",
    )
    .bind(write::json(&rows)?)
    .execute(connection)
    .await?;
    Ok(())
}

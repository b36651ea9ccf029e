//! Documents in SQLite.

use super::files::Files;
use super::look::look;
use super::{options, path_of, write};
use crate::database::documents::are_expected;
use crate::database::error::within;
use crate::database::{
    ANSWER_WAIT_MAX, Document, DocumentChange, DocumentDatabase, DocumentVersions, LoadedDocuments,
    OpenMode, StoreError, WORK_WAIT_MAX, decode, sql,
};
use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

/// Documents in a SQLite file. One connection both reads and writes: all of it is small.
#[derive(Debug)]
pub struct SqliteDocuments {
    pool: SqlitePool,
    files: Files,
}

impl SqliteDocuments {
    /// Opens the documents of a database that an owner has looked at and migrated.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let path = path_of(url)?;
        look(&path, OpenMode::Reader).await?;
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(WORK_WAIT_MAX)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .connect_with(options(&path).synchronous(SqliteSynchronous::Full))
            .await?;
        // Only who has read has all files open.
        sqlx::query(sql::DOCUMENT_VERSIONS).fetch_all(&pool).await?;
        let files = Files::of(&path)?;
        Ok(Self { pool, files })
    }
}

impl DocumentDatabase for SqliteDocuments {
    fn versions<'a>(
        &'a self,
        kinds: &'a [&'a str],
    ) -> BoxFuture<'a, Result<DocumentVersions, StoreError>> {
        Box::pin(within(ANSWER_WAIT_MAX, async move {
            let rows = sqlx::query_as(sql::DOCUMENT_VERSIONS);
            let rows = rows.fetch_all(&self.pool).await?;
            Ok(decode::document_versions(kinds, rows))
        }))
    }

    fn load<'a>(
        &'a self,
        kinds: &'a [&'a str],
    ) -> BoxFuture<'a, Result<LoadedDocuments, StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            // One statement, so that versions and documents are of one moment.
            let rows = sqlx::query_as(
                "select asked.value, coalesce(version, 0), documents.id, body
                from json_each($1) as asked
                    left join document_versions as versions on versions.kind = asked.value
                    left join documents on documents.kind = asked.value
                order by asked.value, documents.id",
            )
            .bind(write::json(&kinds)?)
            .fetch_all(&self.pool)
            .await?;
            Ok(decode::documents(rows))
        }))
    }

    fn change<'a>(
        &'a self,
        expected: &'a DocumentVersions,
        change: &'a DocumentChange,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            self.files.require()?;
            // A transaction that began by reading might not get the right to write later.
            let mut transaction = self.pool.begin_with("begin immediate").await?;
            let raises = change.raises(expected);
            let versions: Vec<decode::VersionColumns> = sqlx::query_as(
                "insert into document_versions (kind, version)
                select value ->> 0, value ->> 1 from json_each($1) where true
                on conflict (kind) do update set version = version + excluded.version
                returning kind, version",
            )
            .bind(write::json(&Vec::from_iter(&raises))?)
            .fetch_all(&mut *transaction)
            .await?;
            if !are_expected(expected, &raises, &versions) {
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
            self.files.require()?;
            Ok(true)
        }))
    }

    fn note<'a>(&'a self, documents: &'a [Document]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            self.files.require()?;
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

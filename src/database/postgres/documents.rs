//! Documents in Postgres.

use super::{options, require_readable};
use crate::database::documents::are_expected;
use crate::database::error::within;
use crate::database::{
    ANSWER_WAIT_MAX, Document, DocumentChange, DocumentDatabase, DocumentVersions, LoadedDocuments,
    StoreError, WORK_WAIT_MAX, decode, sql,
};
use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};

const CONNECTIONS_MAX: u32 = 2;

/// Documents in a Postgres database, by a connection pool of their own.
#[derive(Debug)]
pub struct PostgresDocuments {
    pool: PgPool,
}

impl PostgresDocuments {
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let options = options(url)?;
        require_readable(&options).await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(WORK_WAIT_MAX)
            .connect_lazy_with(options);
        Ok(Self { pool })
    }
}

impl DocumentDatabase for PostgresDocuments {
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
                "select asked.kind, coalesce(version, 0), documents.id, body
                from unnest($1) as asked (kind)
                    left join document_versions as versions on versions.kind = asked.kind
                    left join documents on documents.kind = asked.kind
                order by asked.kind, documents.id",
            )
            .bind(kinds)
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
            let mut transaction = self.pool.begin().await?;
            let raises = change.raises(expected);
            let (kinds, by): (Vec<&str>, Vec<i64>) = raises.iter().unzip();
            // Locks a row for each kind, also for one that has none yet, so that a second change waits
            // here and then finds another version. In order, so that no two wait for each other.
            let versions: Vec<decode::VersionColumns> = sqlx::query_as(
                "insert into document_versions (kind, version)
                select kind, raise from unnest($1, $2) as raises (kind, raise) order by kind
                on conflict (kind)
                    do update set version = document_versions.version + excluded.version
                returning kind, version",
            )
            .bind(kinds)
            .bind(by)
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
            Ok(true)
        }))
    }

    fn note<'a>(&'a self, documents: &'a [Document]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut transaction = self.pool.begin().await?;
            put(&mut transaction, documents).await?;
            transaction.commit().await?;
            Ok(())
        }))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.pool.close())
    }
}

async fn put(connection: &mut PgConnection, documents: &[Document]) -> Result<(), StoreError> {
    if documents.is_empty() {
        return Ok(());
    }
    let column = |part: fn(&Document) -> &String| -> Vec<&str> {
        let texts = documents.iter().map(|document| part(document).as_str());
        texts.collect()
    };
    sqlx::query(
        "insert into documents (kind, id, body) select * from unnest($1, $2, $3)
        on conflict (kind, id) do update set body = excluded.body",
    )
    .bind(column(|document| &document.kind))
    .bind(column(|document| &document.id))
    .bind(column(|document| &document.body))
    .execute(connection)
    .await?;
    Ok(())
}

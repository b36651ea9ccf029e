//! Documents in Postgres.

use super::{options, require_readable};
use crate::database::error::within;
use crate::database::{
    ANSWER_WAIT_MAX, Document, DocumentChange, DocumentDatabase, LoadedDocuments, StoreError,
    WORK_WAIT_MAX, decode, sql,
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
            let mut transaction = self.pool.begin().await?;
            // Locks the row, so that a second change waits here and then finds another version.
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

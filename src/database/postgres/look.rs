//! A look at a database before anything is written to it.

use super::MIGRATIONS;
use crate::database::layout::{self, Applied, EARLY_TABLES, SELECT_APPLIED, TABLES};
use crate::database::{OpenMode, StoreError};
use sqlx::postgres::PgConnection;

/// Refuses a schema with tables in it that are called like ours and are not.
pub(super) async fn require_ours(
    connection: &mut PgConnection,
    mode: OpenMode,
) -> Result<(), StoreError> {
    let relations: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class
        where relnamespace = (select oid from pg_namespace where nspname = current_schema())
            and relkind in ('r', 'p', 'v', 'm', 'f', 'S')",
    )
    .fetch_all(&mut *connection)
    .await?;
    let has = |table: &str| relations.iter().any(|name| name == table);
    let applied: Vec<Applied> = if has("_sqlx_migrations") {
        sqlx::query_as(SELECT_APPLIED)
            .fetch_all(&mut *connection)
            .await?
    } else {
        Vec::new()
    };
    let description = description(connection).await?;
    if applied.is_empty() {
        let mut tables = TABLES.into_iter().map(|(table, _)| table);
        if let Some(table) = tables.find(|table| has(table)) {
            return Err(StoreError::Unusable(format!(
                "{description} has a table {table} of another program"
            )));
        }
        return match mode {
            OpenMode::Owner => Ok(()),
            OpenMode::Reader => Err(StoreError::Unusable(format!(
                "{description} has no tables: start the server on it once"
            ))),
        };
    }
    if !EARLY_TABLES.into_iter().all(has) {
        return Err(StoreError::Unusable(format!(
            "{description} has migrations of another program"
        )));
    }
    layout::require_known(&description, &applied, &MIGRATIONS, mode)
}

async fn description(connection: &mut PgConnection) -> Result<String, StoreError> {
    let names: (String, Option<String>) =
        sqlx::query_as("select current_database()::text, current_schema()::text")
            .fetch_one(connection)
            .await?;
    match names {
        (database, Some(schema)) => Ok(format!("schema {schema} of Postgres database {database}")),
        (_, None) => Err(no_schema()),
    }
}

pub(super) fn no_schema() -> StoreError {
    StoreError::Unusable("no schema of the Postgres search_path is there".into())
}

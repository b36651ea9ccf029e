//! Copies of a database while it is written to.

use super::copy::NewFile;
use crate::database::StoreError;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::path::Path;

/// Copies `database` to the new file `to`, as it is at one moment.
pub(super) async fn back_up(database: &Path, to: &Path) -> Result<(), StoreError> {
    let file = NewFile::new(to)?;
    let Some(partial) = file.partial().to_str() else {
        return Err(StoreError::Unusable(format!(
            "{} is no text: SQLite needs a name in UTF-8",
            to.display()
        )));
    };
    // On a connection of its own, so that it takes none from queries for as long as it lasts.
    let options = SqliteConnectOptions::new()
        .filename(database)
        .read_only(true)
        .busy_timeout(super::LOCK_WAIT_MAX)
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    sqlx::query("vacuum into $1")
        .bind(partial)
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    file.complete().await
}

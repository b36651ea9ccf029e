//! A look at a file before anything is written to it.

use super::{APPLICATION_ID, MIGRATIONS, beside};
use crate::database::layout::{self, Applied, EARLY_TABLES, SELECT_APPLIED, TABLES};
use crate::database::{OpenMode, StoreError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// No file, an empty one, or one that was only claimed: an interrupted claim is undone when the
    /// file is opened.
    Nothing,
    /// A database of this product that this version can use.
    Ours,
}

/// Looks at `path` and refuses what is not for us, byte for byte as it was.
pub(super) async fn look(path: &Path, mode: OpenMode) -> Result<Found, StoreError> {
    let has_wal = beside(path, "-wal").exists();
    let bytes = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        Ok(_) => return Err(unusable(path, "is not a file")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if has_wal {
                let why = "is missing, but the file with its latest changes is there: \
                    SQLite would throw them away";
                return Err(unusable(path, why));
            }
            0
        }
        Err(error) => return Err(StoreError::file(format!("open {}", path.display()))(error)),
    };
    match (bytes, mode) {
        (0, OpenMode::Owner) => Ok(Found::Nothing),
        (0, OpenMode::Reader) => Err(unusable(path, "does not exist or is empty")),
        _ => look_inside(path, mode, has_wal).await,
    }
}

/// Bytes of the file and of the one with its latest changes.
pub(super) async fn size_bytes(path: PathBuf) -> Result<u64, StoreError> {
    let looking = tokio::task::spawn_blocking(move || {
        let latest = std::fs::metadata(beside(&path, "-wal"));
        let latest_bytes = latest.map_or(0, |file| file.len());
        match std::fs::metadata(&path) {
            Ok(file) => Ok(file.len() + latest_bytes),
            Err(error) => Err(StoreError::file(format!("look at {}", path.display()))(
                error,
            )),
        }
    });
    let stopped = |_| StoreError::Failing("the size of the database cannot be looked at");
    looking.await.map_err(stopped)?
}

async fn look_inside(path: &Path, mode: OpenMode, has_wal: bool) -> Result<Found, StoreError> {
    // Without changes outside of the file, SQLite need not create the files it shares with other
    // processes, and a refused database is left as it was found.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(!has_wal)
        .busy_timeout(super::LOCK_WAIT_MAX)
        .disable_statement_logging();
    let connection = options.connect().await;
    let mut connection = connection.map_err(|error| unreadable(path, error))?;
    let result = require_ours(&mut connection, path, mode).await;
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "the look at the database did not end cleanly");
    }
    result
}

async fn require_ours(
    connection: &mut SqliteConnection,
    path: &Path,
    mode: OpenMode,
) -> Result<Found, StoreError> {
    let unreadable = |error| unreadable(path, error);
    let application: i64 = sqlx::query_scalar("pragma application_id")
        .fetch_one(&mut *connection)
        .await
        .map_err(unreadable)?;
    let tables: Vec<String> =
        sqlx::query_scalar("select name from sqlite_schema where type = 'table'")
            .fetch_all(&mut *connection)
            .await
            .map_err(unreadable)?;
    let has = |table: &str| tables.iter().any(|name| name == table);
    if application != APPLICATION_ID {
        return Err(if EARLY_TABLES.into_iter().all(has) {
            unusable(path, &layout::early())
        } else {
            unusable(path, "is a SQLite database of another program")
        });
    }
    if !has("_sqlx_migrations") {
        // Made, but not filled: a start was interrupted. An owner goes on with it.
        return match mode {
            OpenMode::Owner if tables.is_empty() => Ok(Found::Nothing),
            _ => Err(unusable(path, "has no tables: start the server on it once")),
        };
    }
    let applied: Vec<Applied> = sqlx::query_as(SELECT_APPLIED)
        .fetch_all(&mut *connection)
        .await
        .map_err(unreadable)?;
    layout::require_known(&path.display().to_string(), &applied, &MIGRATIONS, mode)?;
    for (table, migration) in TABLES {
        if !applied.iter().any(|applied| applied.version == migration) {
            continue;
        }
        if !has(table) {
            return Err(unusable(
                path,
                &format!("is damaged: it has no table {table}"),
            ));
        }
        sqlx::query(AssertSqlSafe(format!("select 1 from {table} limit 1")))
            .fetch_optional(&mut *connection)
            .await
            .map_err(unreadable)?;
    }
    Ok(Found::Ours)
}

/// Why a file could not be read, in words.
fn unreadable(path: &Path, error: sqlx::Error) -> StoreError {
    const CORRUPT: i32 = 11;
    const NOT_A_DATABASE: i32 = 26;
    let database = error.as_database_error();
    let code = database.and_then(|error| error.code()?.parse::<i32>().ok());
    // What is above the lowest byte only says more about it.
    match code.map(|code| code & 0xff) {
        Some(NOT_A_DATABASE) => unusable(path, "is not a SQLite database"),
        Some(CORRUPT) => unusable(path, &format!("is damaged: {error}")),
        _ => error.into(),
    }
}

fn unusable(path: &Path, why: &str) -> StoreError {
    StoreError::Unusable(format!("{} {why}", path.display()))
}

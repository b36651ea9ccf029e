//! What can go wrong with a database.

use std::path::PathBuf;
use std::time::Duration;

/// Why the store cannot do what is asked. No message has a password in it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed, is locked or full; the same call may succeed later.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// No answer came in this time; the same call may succeed later. What was asked may be done, or
    /// may be done still, but not after the next call that writes has begun.
    #[error("database: no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Another process is the owner of the database.
    #[error("{0}")]
    InUse(String),
    /// The database cannot be used at all.
    #[error("{0}")]
    Unusable(String),
    /// A stored row that nothing valid could have left there.
    #[error("{table} holds a row that breaks an invariant: {detail}")]
    Corrupt { table: &'static str, detail: String },
    /// What failed before fails still; it is tried again without being asked.
    #[error("the store takes no readings: {0}")]
    Failing(&'static str),
    /// The files of the database are not those that were opened; they may be again.
    #[error("{}: {reason}", .path.display())]
    FilesChanged { path: PathBuf, reason: &'static str },
    /// A file beside the database, or a copy of it, could not be written.
    #[error("{action}: {source}")]
    File {
        action: String,
        source: std::io::Error,
    },
}

impl StoreError {
    pub(crate) fn corrupt(table: &'static str, detail: String) -> Self {
        Self::Corrupt { table, detail }
    }

    /// What an operator has to know, in a word or two and without anything from inside.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Database(error) => reason_of(error),
            Self::Timeout(_) => "the database does not answer",
            Self::InUse(_) => "another process writes the database",
            Self::Corrupt { .. } => "the database is damaged",
            Self::Failing(reason) | Self::FilesChanged { reason, .. } => reason,
            Self::Migration(_) | Self::Unusable(_) => "the database cannot be used",
            Self::File { .. } => "a file cannot be written",
        }
    }

    /// The database has refused what it was asked, and will refuse it again: nothing of it is stored.
    pub fn is_for_good(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else {
            return false;
        };
        error.is_unique_violation()
            || error.is_foreign_key_violation()
            || error.is_check_violation()
    }

    /// For the `map_err` of what is done to a file.
    pub(super) fn file(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        move |source| Self::File { action, source }
    }
}

/// Primary result codes of SQLite (sqlite.org/rescode.html) and classes of SQLSTATE.
fn reason_of(error: &sqlx::Error) -> &'static str {
    let sqlx::Error::Database(error) = error else {
        return "the database cannot be reached";
    };
    let code = error.code().unwrap_or_default();
    if let Some(postgres) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        return match postgres.code().get(..2) {
            Some("53") => "the database has no resources left",
            Some("57") => "the database is being stopped",
            Some("25") => "the database is read-only",
            _ => "the database failed",
        };
    }
    // The low byte; the others tell more than an operator asks.
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(5 | 6) => "the database is locked by another process",
        Ok(8) => "the database is read-only",
        Ok(10) => "the disk failed",
        Ok(11 | 26) => "the database is damaged",
        Ok(13) => "the disk is full",
        Ok(14) => "the database cannot be opened",
        _ => "the database failed",
    }
}

/// Waits for `work` no longer than `wait_max`.
pub(super) async fn within<T>(
    wait_max: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(wait_max, work).await {
        Ok(result) => result,
        Err(_elapsed) => Err(StoreError::Timeout(wait_max)),
    }
}

//! SQLite: the default engine.
//!
//! WAL with `synchronous=FULL`, so a commit survives a power cut. One connection writes and never
//! expires; a pool of read-only connections answers queries beside it.
//!
//! A commit appends its events to `arrivals`, the log of the stream; from there they are copied to
//! `readings` before anybody looks ("settled"), and later trimmed. The one row of `stream_log` says
//! how far both have come, and changes in the same transactions.

mod log;
mod read;
mod write;

use super::StreamId;
use super::directory::SensorKey;
use super::engine::{
    AveragingWindow, Changes, Engine, HistoryQuery, HistoryRow, LogRow, ReadingRow, ReplayLimits,
    RoomMeans, Snapshot, StoreError,
};
use crate::domain::Timestamp;
use futures_util::future::BoxFuture;
use log::Log;
use sqlx::ConnectOptions;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// Older versions can corrupt a WAL database that two connections write to (the WAL-reset bug).
const SQLITE_VERSION_MIN: (u32, u32, u32) = (3, 51, 3);
/// How long a statement waits for a lock another process holds.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long a query waits for a free read connection.
const READER_WAIT_MAX: Duration = Duration::from_secs(2);
const READERS: u32 = 4;
/// Memory for pages of each connection: 16 MiB, in KiB and negative as SQLite wants it.
const CACHE_SIZE: &str = "-16384";
/// Pages in the WAL at which they are copied to the database: 16 MiB. A page that was written many
/// times since is copied once.
const CHECKPOINT_PAGES: &str = "4096";
/// The WAL file is cut back to this size after a checkpoint.
const WAL_BYTES_KEPT: &str = "67108864";
/// Arrivals that are copied to their place without anybody asking for them. It bounds the work at
/// start and the pause a copy makes, about 15 ms.
const UNSETTLED_READINGS_MAX: usize = 4096;

/// See the module.
#[derive(Debug)]
pub struct SqliteEngine {
    writer: Mutex<Option<Writing>>,
    /// Rows of `arrivals` that may not be in `readings`, or more; changed only under the writer's
    /// lock.
    unsettled: AtomicUsize,
    readers: SqlitePool,
    statements: write::Statements,
}

#[derive(Debug)]
struct Writing {
    connection: SqliteConnection,
    log: Log,
    /// A settle has begun. When whoever waited for it gave up, its transaction may be open still.
    settling: bool,
}

impl SqliteEngine {
    /// Opens the database of a `sqlite://` URL, creating and migrating it as needed.
    pub async fn open(url: &str, replay: ReplayLimits) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(LOCK_WAIT_MAX)
            .statement_cache_capacity(64)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("cache_size", CACHE_SIZE)
            .pragma("journal_size_limit", WAL_BYTES_KEPT)
            .disable_statement_logging();
        let mut writer = options.connect().await?;
        require_version(&mut writer).await?;
        MIGRATIONS.run(&mut writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(READER_WAIT_MAX)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_with(options.read_only(true))
            .await?;
        let unsettled: i64 = sqlx::query_scalar(
            "select count(*) from arrivals where arrival > (select settled_to from stream_log)",
        )
        .fetch_one(&mut writer)
        .await?;
        let log = Log::load(&mut writer, replay).await?;
        Ok(Self {
            writer: Mutex::new(Some(Writing {
                connection: writer,
                log,
                settling: false,
            })),
            unsettled: AtomicUsize::new(usize::try_from(unsettled).unwrap_or(usize::MAX)),
            readers,
            statements: write::Statements::new(),
        })
    }

    /// What writes, outside any transaction.
    async fn writing(&self) -> Result<MappedMutexGuard<'_, Writing>, StoreError> {
        let writer = self.writer.lock().await;
        let mut writing = MutexGuard::try_map(writer, Option::as_mut)
            .map_err(|_closed| sqlx::Error::PoolClosed)?;
        if writing.settling {
            write::roll_back(&mut writing.connection).await;
            writing.settling = false;
        }
        Ok(writing)
    }

    /// Brings `readings` up to date with everything committed so far, for a query to see.
    async fn settle(&self) -> Result<(), StoreError> {
        if self.unsettled.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let mut writing = self.writing().await?;
        self.settle_locked(&mut writing).await
    }

    /// Settles and trims in one transaction: what is trimmed is settled.
    async fn settle_locked(&self, writing: &mut Writing) -> Result<(), StoreError> {
        let begun = Instant::now();
        let trim_to = writing.log.surplus_to();
        writing.settling = true;
        let result = write::settle(&mut writing.connection, &self.statements, trim_to).await;
        writing.settling = false;
        result?;
        writing.log.trimmed(trim_to);
        let rows = self.unsettled.swap(0, Ordering::AcqRel);
        let duration_ms = begun.elapsed().as_secs_f64() * 1000.0;
        tracing::debug!(rows, duration_ms, "arrivals settled");
        Ok(())
    }
}

async fn require_version(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let version: String = sqlx::query_scalar("select sqlite_version()")
        .fetch_one(connection)
        .await?;
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let (major, minor, patch) = (next(), next(), next());
    if (major, minor, patch) < SQLITE_VERSION_MIN {
        let (a, b, c) = SQLITE_VERSION_MIN;
        return Err(StoreError::Unusable(format!(
            "SQLite {version} can corrupt the database; {a}.{b}.{c} or newer is needed"
        )));
    }
    Ok(())
}

impl Engine for SqliteEngine {
    fn begin_epoch(&self, started_at: Timestamp) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            let mut writing = self.writing().await?;
            let epoch: i64 = sqlx::query_scalar(
                "insert into stream_epochs (started_ms) values ($1) returning epoch",
            )
            .bind(started_at.millis())
            .fetch_one(&mut writing.connection)
            .await?;
            match u64::try_from(epoch) {
                Ok(number) if number <= StreamId::EPOCH_MAX => Ok(number),
                _ => Err(StoreError::Corrupt {
                    table: "stream_epochs",
                    detail: format!("epoch {epoch}"),
                }),
            }
        })
    }

    fn load(&self) -> BoxFuture<'_, Result<Snapshot, StoreError>> {
        Box::pin(async move {
            self.settle().await?;
            read::load(&self.readers).await
        })
    }

    fn find<'a>(
        &'a self,
        identities: &'a [(SensorKey, Timestamp)],
    ) -> BoxFuture<'a, Result<Vec<ReadingRow>, StoreError>> {
        Box::pin(async move {
            self.settle().await?;
            read::find(&self.readers, identities).await
        })
    }

    fn commit<'a>(&'a self, changes: &'a Changes) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut writing = self.writing().await?;
            let rows = changes.readings.len();
            let result = write::commit(&mut writing.connection, &self.statements, changes).await;
            // Also when it failed: it may have reached the disk.
            let unsettled = self.unsettled.fetch_add(rows, Ordering::AcqRel) + rows;
            result?;
            writing.log.append(&changes.readings);
            if unsettled >= UNSETTLED_READINGS_MAX
                && let Err(error) = self.settle_locked(&mut writing).await
            {
                // The commit stands all the same; the next one tries again.
                tracing::warn!(%error, "arrivals could not be settled");
            }
            Ok(())
        })
    }

    fn renumber(
        &self,
        after: StreamId,
        behind: StreamId,
    ) -> BoxFuture<'_, Result<Vec<LogRow>, StoreError>> {
        Box::pin(async move {
            let mut writing = self.writing().await?;
            let Writing {
                connection, log, ..
            } = &mut *writing;
            write::renumber(connection, after, behind).await?;
            let rows = read::log_rows(connection, behind).await?;
            // Nobody has counted these rows, or somebody did so under other ids.
            log.reload(connection).await?;
            Ok(rows)
        })
    }

    fn replay(
        &self,
        after: StreamId,
        up_to: StreamId,
        rows_max: u32,
    ) -> BoxFuture<'_, Result<Option<Vec<LogRow>>, StoreError>> {
        Box::pin(read::replay(&self.readers, after, up_to, rows_max))
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        from: Timestamp,
        to: Timestamp,
        rows_max: u32,
    ) -> BoxFuture<'a, Result<Vec<HistoryRow>, StoreError>> {
        Box::pin(async move {
            self.settle().await?;
            read::history(&self.readers, query, from, to, rows_max).await
        })
    }

    fn room_means<'a>(
        &'a self,
        windows: &'a [AveragingWindow],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<RoomMeans, StoreError>> {
        Box::pin(async move {
            self.settle().await?;
            read::room_means(&self.readers, windows, now).await
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            sqlx::query("select 1").execute(&self.readers).await?;
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.readers.close().await;
            if let Some(writing) = self.writer.lock().await.take() {
                use sqlx::Connection;
                if let Err(error) = writing.connection.close().await {
                    tracing::warn!(%error, "the database did not close cleanly");
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;

//! SQLite: the default.
//!
//! WAL with `synchronous=FULL`, so a commit survives a power cut. One connection writes and never
//! expires; a pool of read-only connections answers queries beside it. Each awaited statement costs a
//! hand-off to the connection's thread, so many rows go in one statement, as JSON, and their payloads
//! in one blob.

mod backup;
mod copy;
mod documents;
mod files;
mod lock;
mod look;
mod read;
mod write;

pub(super) use copy::{Copy, NewFile};
pub use documents::SqliteDocuments;
pub(super) use write::{integer, require_all};

use super::error::within;
use super::{
    ANSWER_WAIT_MAX, Chunk, ChunkHead, Commit, Database, Loaded, LogPart, OpenMode, RegistryPatch,
    Rewrite, Span, StoreError, WORK_WAIT_MAX, decode,
};
use crate::database::{ClockRecord, Series};
use crate::domain::{StreamId, Timestamp};
use crate::private_files;
use files::Files;
use futures_util::future::{BoxFuture, try_join_all};
use lock::OwnerLock;
use look::Found;
use parking_lot::Mutex as SyncMutex;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// In the header of every database of this product: "`IAQv`".
const APPLICATION_ID: i64 = 0x4941_5176;
/// Older versions can corrupt a WAL database that two connections write to (the WAL-reset bug).
const SQLITE_VERSION_MIN: (u32, u32, u32) = (3, 51, 3);
/// How long a statement waits for a lock another process holds.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(1);
const READERS: u32 = 4;
/// Memory for pages of each connection: 16 MiB, in KiB and negative as SQLite wants it.
const CACHE_SIZE: &str = "-16384";
/// Pages in the WAL at which they are copied to the database: 16 MiB. A page that was written many
/// times since is copied once.
const CHECKPOINT_PAGES: &str = "4096";
/// The WAL file is cut back to this size after a checkpoint.
const WAL_BYTES_KEPT: &str = "67108864";

/// A database in one SQLite file.
#[derive(Debug)]
pub struct SqliteDatabase {
    path: PathBuf,
    mode: OpenMode,
    /// `None` for a reader, and after closing.
    writer: Mutex<Option<Writer>>,
    readers: SqlitePool,
    /// `None` for a reader, beside whom they may change.
    files: Option<Arc<Files>>,
    /// Behind the connections, so that it is the last thing to go.
    lock: SyncMutex<Option<OwnerLock>>,
}

#[derive(Debug)]
struct Writer {
    connection: SqliteConnection,
    /// Work has begun. When whoever waited for it gave up, it may be under way still, and its
    /// transaction open.
    dirty: bool,
    files: Arc<Files>,
}

impl SqliteDatabase {
    /// Opens the database of a `sqlite://` URL. An owner creates and migrates it as needed. A file
    /// that is not a database of this product is refused and not touched.
    pub async fn open(url: &str, mode: OpenMode) -> Result<Self, StoreError> {
        require_version().await?;
        let path = path_of(url)?;
        let mut lock = match mode {
            OpenMode::Owner => Some(OwnerLock::take(&path)?),
            OpenMode::Reader => None,
        };
        let found = look::look(&path, mode).await?;
        let options = options(&path);
        let writer = if let Some(lock) = &mut lock {
            lock.hold(&path)?;
            private_files::warn_if_shared(&path);
            let connection = open_writer(&path, &options, found).await?;
            let files = Arc::new(Files::of(&path)?);
            Some(Writer {
                connection,
                dirty: false,
                files,
            })
        } else {
            None
        };
        let files = writer.as_ref().map(|writer| Arc::clone(&writer.files));
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ANSWER_WAIT_MAX)
            .max_lifetime(None)
            .idle_timeout(None)
            // They are on threads of this process: there is nothing to lose them to.
            .test_before_acquire(false)
            .connect_with(options.read_only(true))
            .await?;
        // All of them now: one that is opened later might be to a file that has come in its place.
        let opened = (0..READERS).map(|_| readers.acquire());
        drop(try_join_all(opened).await?);
        if let Some(files) = &files {
            files.require()?;
        }
        Ok(Self {
            path,
            mode,
            writer: Mutex::new(writer),
            readers,
            files,
            lock: SyncMutex::new(lock),
        })
    }

    /// What writes, outside any transaction. Whoever takes it ends with [`Writer::end`].
    async fn writing(&self) -> Result<MappedMutexGuard<'_, Writer>, StoreError> {
        if self.mode == OpenMode::Reader {
            return Err(StoreError::Unusable(
                "the database is open for reading only".into(),
            ));
        }
        let writer = self.writer.lock().await;
        let mut writer = MutexGuard::try_map(writer, Option::as_mut)
            .map_err(|_closed| sqlx::Error::PoolClosed)?;
        if writer.dirty {
            // This waits in line behind what nobody waits for any more.
            write::roll_back(&mut writer.connection).await;
        }
        writer.dirty = true;
        writer.files.require()?;
        Ok(writer)
    }
}

impl Writer {
    /// Leaves no transaction open.
    async fn end<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_err() {
            write::roll_back(&mut self.connection).await;
        }
        self.dirty = false;
        let result = result?;
        // What was written to a file that is not in its place is not to be found again.
        self.files.require()?;
        Ok(result)
    }
}

/// The file of a URL, with no link in its folder's path, so that it has one lock file.
pub(super) fn path_of(url: &str) -> Result<PathBuf, StoreError> {
    if !url.starts_with("sqlite:") {
        return Err(StoreError::Unusable(
            "the URL of a database must begin with sqlite:// or postgres://".into(),
        ));
    }
    let (_, parameters) = url.split_once('?').unwrap_or((url, ""));
    let in_memory = url.contains(":memory:") || parameters.contains("mode=memory");
    if in_memory {
        return Err(StoreError::Unusable(
            "a database in memory is lost at every stop: name a file".into(),
        ));
    }
    if !(parameters.is_empty() || parameters == "mode=rwc" || parameters == "mode=rw") {
        return Err(StoreError::Unusable(format!(
            "the URL of a SQLite database has no parameters: {parameters:?}"
        )));
    }
    let named = SqliteConnectOptions::from_str(url)?;
    let named = named.get_filename();
    let action = || format!("open {}", named.display());
    let path = std::path::absolute(named).map_err(StoreError::file(action()))?;
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(StoreError::Unusable(format!(
            "{} is not a file",
            path.display()
        )));
    };
    let folder = folder.canonicalize().map_err(StoreError::file(action()))?;
    Ok(folder.join(name))
}

/// `path` with something behind its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What all connections have. Only the one that writes can set the rest.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(LOCK_WAIT_MAX)
        .statement_cache_capacity(64)
        .pragma("cache_size", CACHE_SIZE)
        .disable_statement_logging()
}

async fn open_writer(
    path: &Path,
    options: &SqliteConnectOptions,
    found: Found,
) -> Result<SqliteConnection, StoreError> {
    if found == Found::Nothing {
        // First of all and durable on its own, so that whatever interrupts the rest, the file is
        // known for ours.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        claim(&mut connection).await?;
        connection.close().await?;
    }
    let options = options
        .clone()
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", WAL_BYTES_KEPT);
    let mut writer = options.connect().await?;
    migrate(&mut writer).await?;
    Ok(writer)
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    // Not `run`: with it the compiler does not see that this may go on in another thread.
    MIGRATIONS.run_direct(None, connection, false).await?;
    Ok(())
}

/// Marks a new database as ours.
async fn claim(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let claim = format!("pragma application_id = {APPLICATION_ID}");
    sqlx::query(AssertSqlSafe(claim))
        .execute(connection)
        .await?;
    Ok(())
}

async fn require_version() -> Result<(), StoreError> {
    let mut connection = SqliteConnectOptions::new().connect().await?;
    let version: String = sqlx::query_scalar("select sqlite_version()")
        .fetch_one(&mut connection)
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

impl Database for SqliteDatabase {
    fn begin_epoch(&self, started_at: Timestamp) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut writer = self.writing().await?;
            let result = write::begin_epoch(&mut writer.connection, started_at).await;
            decode::epoch(writer.end(result).await?)
        }))
    }

    fn load(&self) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, read::load(&self.readers)))
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(within(ANSWER_WAIT_MAX, async move {
            let mut writer = self.writing().await?;
            let result = write::commit(&mut writer.connection, commit).await;
            writer.end(result).await
        }))
    }

    fn renumber(&self, after: StreamId, to: StreamId) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(within(ANSWER_WAIT_MAX, async move {
            let mut writer = self.writing().await?;
            let result = write::renumber(&mut writer.connection, after, to).await;
            writer.end(result).await
        }))
    }

    fn log(
        &self,
        after: StreamId,
        up_to: StreamId,
        readings_max: u32,
    ) -> BoxFuture<'_, Result<LogPart, StoreError>> {
        let work = read::log(&self.readers, after, up_to, readings_max);
        Box::pin(within(WORK_WAIT_MAX, work))
    }

    fn log_sizes(&self) -> BoxFuture<'_, Result<Vec<(StreamId, u32)>, StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, read::log_sizes(&self.readers)))
    }

    fn trim_log(&self, to: StreamId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut writer = self.writing().await?;
            let result = write::trim_log(&mut writer.connection, to).await;
            writer.end(result).await
        }))
    }

    fn chunk_heads<'a>(
        &'a self,
        series: Series,
        spans: &'a [Span],
    ) -> BoxFuture<'a, Result<Vec<ChunkHead>, StoreError>> {
        let work = read::chunk_heads(&self.readers, series, spans);
        Box::pin(within(WORK_WAIT_MAX, work))
    }

    fn chunks<'a>(
        &'a self,
        series: Series,
        spans: &'a [Span],
        payload_bytes_max: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<Chunk>>, StoreError>> {
        let work = read::chunks(&self.readers, series, spans, payload_bytes_max);
        Box::pin(within(WORK_WAIT_MAX, work))
    }

    fn rewrite<'a>(&'a self, rewrite: &'a Rewrite) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut writer = self.writing().await?;
            let result = write::rewrite(&mut writer.connection, rewrite).await;
            writer.end(result).await
        }))
    }

    fn change_registry<'a>(
        &'a self,
        patch: &'a RegistryPatch,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut writer = self.writing().await?;
            let result = write::change_registry(&mut writer.connection, patch).await;
            writer.end(result).await
        }))
    }

    fn remove_chunks(
        &self,
        series: Series,
        before: Timestamp,
        chunks_max: u32,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut writer = self.writing().await?;
            let connection = &mut writer.connection;
            let result = write::remove_chunks(connection, series, before, chunks_max).await;
            writer.end(result).await
        }))
    }

    fn put_clock(
        &self,
        clock: ClockRecord,
        removed_to: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut writer = self.writing().await?;
            let result = write::put_clock(&mut writer.connection, clock, removed_to).await;
            writer.end(result).await
        }))
    }

    fn back_up<'a>(&'a self, to: &'a Path) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.require_files()?;
            backup::back_up(&self.path, to).await
        })
    }

    fn size_bytes(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        let path = self.path.clone();
        Box::pin(within(WORK_WAIT_MAX, look::size_bytes(path)))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(within(ANSWER_WAIT_MAX, async move {
            self.require_files()?;
            read::check(&self.readers).await
        }))
    }

    fn require_files(&self) -> Result<(), StoreError> {
        if self.readers.is_closed() {
            return Err(sqlx::Error::PoolClosed.into());
        }
        self.files.as_ref().map_or(Ok(()), |files| files.require())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.readers.close().await;
            if let Some(writer) = self.writer.lock().await.take()
                && let Err(error) = writer.connection.close().await
            {
                tracing::warn!(%error, "the database did not close cleanly");
            }
            drop(self.lock.lock().take());
        })
    }
}

#[cfg(test)]
impl SqliteDatabase {
    /// Runs statements as a call that writes, and gives up before its end.
    pub(super) async fn abandon(&self, statements: &'static str) {
        let mut writer = self.writing().await.unwrap();
        let connection = &mut writer.connection;
        sqlx::raw_sql(statements).execute(connection).await.unwrap();
    }

    /// What a call that writes has as long as it lasts.
    pub(super) async fn hold(&self) -> impl Drop {
        self.writing().await.unwrap()
    }

    pub(super) async fn writer_setting(&self, pragma: &'static str) -> String {
        use sqlx::Row;
        let mut writer = self.writing().await.unwrap();
        let row = sqlx::query(pragma).fetch_one(&mut writer.connection).await;
        let row = writer.end(row.map_err(StoreError::from)).await.unwrap();
        let text: Result<String, _> = row.try_get_unchecked(0);
        text.unwrap()
    }
}

/// Queries with tables that may only be searched, for a test of their plans.
#[cfg(test)]
pub(super) mod plans {
    use super::{read, write};
    use crate::database::sql;

    pub(in crate::database) const QUERIES: &[(&str, &[&str])] = &[
        (read::CHUNKS, &["chunks", "before"]),
        (read::HEADS, &["chunks", "before"]),
        (write::REMOVE, &["chunks"]),
        (write::REMOVE_OLD, &["chunks"]),
        (sql::LOG, &["log"]),
        (sql::UNSETTLED, &["log"]),
    ];
}

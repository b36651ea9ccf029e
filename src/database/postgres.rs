//! Postgres, for more than one file can take.
//!
//! One connection writes, and holds an advisory lock that makes its process the owner; a pool answers
//! queries. A server that does not answer is given up on, and so is the connection: the next call
//! makes a new one, so a Postgres that comes back is used again.

mod backup;
mod documents;
mod look;
mod owner;
mod read;
mod write;

pub use documents::PostgresDocuments;

use super::error::within;
use super::{
    ANSWER_WAIT_MAX, Chunk, ChunkHead, Commit, Database, Loaded, LogPart, OpenMode, RegistryPatch,
    Rewrite, Span, StoreError, WORK_WAIT_MAX, decode,
};
use crate::database::{ClockRecord, Series};
use crate::domain::{StreamId, Timestamp};
use futures_util::future::BoxFuture;
use owner::Owner;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, Postgres};
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::Mutex;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/postgres");

/// As `server_version_num` has it: 15.0.
const SERVER_VERSION_MIN: i32 = 150_000;
const READERS: u32 = 8;
/// How long a statement waits for a lock of another process, that of the owner among them: for some
/// moments after a process is gone, Postgres may still be busy with what it last asked for.
const LOCK_WAIT_MAX: Duration = Duration::from_millis(700);

/// A database on a Postgres server.
pub struct PostgresDatabase {
    options: PgConnectOptions,
    /// `None` for a reader.
    owner: Option<Mutex<Owner>>,
    readers: PgPool,
}

impl fmt::Debug for PostgresDatabase {
    /// Without the options, which have the password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PostgresDatabase")
            .field("owner", &self.owner)
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}

impl PostgresDatabase {
    /// Opens the database of a `postgres://` URL, which must be there; an owner creates and migrates
    /// the tables in the schema that its connections use. Tables of somebody else are refused and not
    /// touched.
    pub async fn open(url: &str, mode: OpenMode) -> Result<Self, StoreError> {
        let options = options(url)?;
        let owner = match mode {
            OpenMode::Owner => {
                let owner = within(WORK_WAIT_MAX, Owner::open(&options)).await?;
                Some(Mutex::new(owner))
            }
            OpenMode::Reader => {
                within(WORK_WAIT_MAX, require_readable(&options)).await?;
                None
            }
        };
        let readers = PgPoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ANSWER_WAIT_MAX)
            .connect_lazy_with(options.clone());
        Ok(Self {
            options,
            owner,
            readers,
        })
    }

    fn owner(&self) -> Result<&Mutex<Owner>, StoreError> {
        self.owner
            .as_ref()
            .ok_or_else(|| StoreError::Unusable("the database is open for reading only".into()))
    }

    async fn reading(&self) -> Result<Reading, StoreError> {
        let connection = self.readers.acquire().await?;
        Ok(Reading {
            connection: Some(connection),
        })
    }
}

/// A connection of the pool in use. Unless it is given back it is dropped, and so is one that nobody
/// waits for any longer: a connection in the middle of something that hangs would hang the next.
struct Reading {
    connection: Option<PoolConnection<Postgres>>,
}

impl Reading {
    fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        let connection = self.connection.as_deref_mut();
        connection.ok_or(StoreError::Database(sqlx::Error::PoolClosed))
    }

    fn end<T>(mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_ok() {
            drop(self.connection.take());
        }
        result
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

/// A URL's options. The error never has the URL in it, because the URL may have a password.
fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let milliseconds = |duration: Duration| format!("{}ms", duration.as_millis());
    let mut options = PgConnectOptions::from_str(url)?;
    let host = options.get_host();
    let is_here = host == "localhost" || host.parse().is_ok_and(|host: IpAddr| host.is_loopback());
    if is_here && matches!(options.get_ssl_mode(), PgSslMode::Prefer) {
        // A commit of more than one TLS record waits 40 ms for the acknowledgement of the first,
        // because the library leaves the socket's delay on; on this machine nothing is gained by it.
        options = options.ssl_mode(PgSslMode::Disable);
    }
    Ok(options
        .application_name("iaqverse")
        .options([
            ("synchronous_commit", "on".to_owned()),
            ("statement_timeout", milliseconds(WORK_WAIT_MAX)),
            ("lock_timeout", milliseconds(LOCK_WAIT_MAX)),
            // So that a server notices soon when this machine is gone, and lets go of the lock.
            ("tcp_keepalives_idle", "10s".to_owned()),
            ("tcp_keepalives_interval", "5s".to_owned()),
            ("tcp_keepalives_count", "3".to_owned()),
        ])
        .disable_statement_logging())
}

/// Refuses a server that is too old.
async fn require_version(connection: &mut PgConnection) -> Result<(), StoreError> {
    let version: String = sqlx::query_scalar("select current_setting('server_version_num')")
        .fetch_one(connection)
        .await?;
    if version.parse::<i32>().unwrap_or(0) < SERVER_VERSION_MIN {
        return Err(StoreError::Unusable(format!(
            "PostgreSQL {} or newer is needed; this one is {version}",
            SERVER_VERSION_MIN / 10_000
        )));
    }
    Ok(())
}

async fn migrate(connection: &mut PgConnection) -> Result<(), StoreError> {
    // Not `run`: with it the compiler does not see that this may go on in another thread.
    MIGRATIONS.run_direct(None, connection, false).await?;
    Ok(())
}

async fn require_readable(options: &PgConnectOptions) -> Result<(), StoreError> {
    let mut connection = options.connect().await?;
    require_version(&mut connection).await?;
    look::require_ours(&mut connection, OpenMode::Reader).await?;
    connection.close().await?;
    Ok(())
}

impl Database for PostgresDatabase {
    fn begin_epoch(&self, started_at: Timestamp) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut owner = self.owner()?.lock().await;
            let epoch = owner.begin_epoch(&self.options, started_at).await?;
            decode::epoch(epoch)
        }))
    }

    fn load(&self) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut reading = self.reading().await?;
            let result = read::load(reading.connection()?).await;
            reading.end(result)
        }))
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(within(ANSWER_WAIT_MAX, async move {
            let mut owner = self.owner()?.lock().await;
            let mut connection = owner.take(&self.options).await?;
            let result = write::commit(&mut connection, commit).await;
            owner.give_back(connection, result)
        }))
    }

    fn renumber(&self, after: StreamId, to: StreamId) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(within(ANSWER_WAIT_MAX, async move {
            let mut owner = self.owner()?.lock().await;
            let mut connection = owner.take(&self.options).await?;
            let result = write::renumber(&mut connection, after, to).await;
            owner.give_back(connection, result)
        }))
    }

    fn log(
        &self,
        after: StreamId,
        up_to: StreamId,
        readings_max: u32,
    ) -> BoxFuture<'_, Result<LogPart, StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut reading = self.reading().await?;
            let result = read::log(reading.connection()?, after, up_to, readings_max).await;
            reading.end(result)
        }))
    }

    fn log_sizes(&self) -> BoxFuture<'_, Result<Vec<(StreamId, u32)>, StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut reading = self.reading().await?;
            let result = read::log_sizes(reading.connection()?).await;
            reading.end(result)
        }))
    }

    fn trim_log(&self, to: StreamId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut owner = self.owner()?.lock().await;
            let mut connection = owner.take(&self.options).await?;
            let result = write::trim_log(&mut connection, to).await;
            owner.give_back(connection, result)
        }))
    }

    fn chunk_heads<'a>(
        &'a self,
        series: Series,
        spans: &'a [Span],
    ) -> BoxFuture<'a, Result<Vec<ChunkHead>, StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut reading = self.reading().await?;
            let result = read::chunk_heads(reading.connection()?, series, spans).await;
            reading.end(result)
        }))
    }

    fn chunks<'a>(
        &'a self,
        series: Series,
        spans: &'a [Span],
        payload_bytes_max: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<Chunk>>, StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut reading = self.reading().await?;
            let result =
                read::chunks(reading.connection()?, series, spans, payload_bytes_max).await;
            reading.end(result)
        }))
    }

    fn rewrite<'a>(&'a self, rewrite: &'a Rewrite) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut owner = self.owner()?.lock().await;
            let mut connection = owner.take(&self.options).await?;
            let result = write::rewrite(&mut connection, rewrite).await;
            owner.give_back(connection, result)
        }))
    }

    fn change_registry<'a>(
        &'a self,
        patch: &'a RegistryPatch,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut owner = self.owner()?.lock().await;
            let mut connection = owner.take(&self.options).await?;
            let result = write::change_registry(&mut connection, patch).await;
            owner.give_back(connection, result)
        }))
    }

    fn remove_chunks(
        &self,
        series: Series,
        before: Timestamp,
        chunks_max: u32,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut owner = self.owner()?.lock().await;
            let mut connection = owner.take(&self.options).await?;
            let result = write::remove_chunks(&mut connection, series, before, chunks_max).await;
            owner.give_back(connection, result)
        }))
    }

    fn put_clock(
        &self,
        clock: ClockRecord,
        removed_to: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut owner = self.owner()?.lock().await;
            let mut connection = owner.take(&self.options).await?;
            let result = write::put_clock(&mut connection, clock, removed_to).await;
            owner.give_back(connection, result)
        }))
    }

    fn back_up<'a>(&'a self, to: &'a Path) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if self.readers.is_closed() {
                return Err(sqlx::Error::PoolClosed.into());
            }
            backup::back_up(&self.options, to).await
        })
    }

    fn size_bytes(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(within(WORK_WAIT_MAX, async move {
            let mut reading = self.reading().await?;
            let result = read::size_bytes(reading.connection()?).await;
            reading.end(result)
        }))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(within(ANSWER_WAIT_MAX, async move {
            let mut reading = self.reading().await?;
            let result = read::check(reading.connection()?).await;
            reading.end(result)
        }))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let closing = within(WORK_WAIT_MAX, async {
                if let Some(owner) = &self.owner {
                    owner.lock().await.close().await?;
                }
                self.readers.close().await;
                Ok(())
            });
            if let Err(error) = closing.await {
                tracing::warn!(%error, "the database did not close cleanly");
            }
        })
    }
}

#[cfg(test)]
impl PostgresDatabase {
    pub(super) async fn writer_setting(&self, setting: &str) -> String {
        let mut owner = self.owner().unwrap().lock().await;
        let mut connection = owner.take(&self.options).await.unwrap();
        let value = sqlx::query_scalar("select current_setting($1)")
            .bind(setting)
            .fetch_one(&mut *connection)
            .await;
        let value = value.map_err(StoreError::from);
        owner.give_back(connection, value).unwrap()
    }
}

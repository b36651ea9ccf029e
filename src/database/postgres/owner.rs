//! The one connection that writes.

use super::{look, migrate, require_version, write};
use crate::database::{OpenMode, StoreError};
use crate::domain::Timestamp;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use std::fmt;

/// First half of the advisory lock that the owner holds, "`IAQv`"; the second is the schema, so that
/// servers with tables in different schemas do not keep each other out.
const LOCK: i32 = 0x4941_5176;
/// Connections that were given up on and are remembered. There is a new one for each failed call.
const GHOSTS_MAX: usize = 16;
/// How long the server is waited for to end what it still does for such a connection.
const GHOST_WAIT_MS: i64 = 300;
/// What Postgres calls a lock that did not become free in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Who owns the database, whether or not it is connected right now.
pub(super) struct Owner {
    state: State,
    /// Backends of Postgres that may still run a statement whose caller timed out.
    ghosts: Vec<String>,
    /// The greatest epoch when this process last held the lock; `None` when that is not known.
    epoch: Option<i64>,
}

enum State {
    Connected(Box<PgConnection>),
    /// A call has the connection, or it was lost.
    Apart,
    Closed,
}

impl fmt::Debug for Owner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connected = matches!(self.state, State::Connected(_));
        out.debug_struct("Owner")
            .field("connected", &connected)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl Owner {
    /// Becomes the owner, and creates and migrates the tables as needed.
    pub(super) async fn open(options: &PgConnectOptions) -> Result<Self, StoreError> {
        let mut owner = Self {
            state: State::Apart,
            ghosts: Vec::new(),
            epoch: None,
        };
        let mut connection = options.connect().await?;
        require_version(&mut connection).await?;
        owner.lock(&mut connection).await?;
        look::require_ours(&mut connection, OpenMode::Owner).await?;
        migrate(&mut connection).await?;
        owner.require_no_other(&mut connection).await?;
        owner.state = State::Connected(Box::new(connection));
        Ok(owner)
    }

    /// The connection, a new one if need be. Dropped rather than given back it is replaced: that is
    /// what becomes of it when somebody gives up waiting for an answer.
    pub(super) async fn take(
        &mut self,
        options: &PgConnectOptions,
    ) -> Result<Box<PgConnection>, StoreError> {
        match std::mem::replace(&mut self.state, State::Apart) {
            State::Connected(connection) => return Ok(connection),
            State::Apart => {}
            State::Closed => {
                self.state = State::Closed;
                return Err(sqlx::Error::PoolClosed.into());
            }
        }
        let mut connection = options.connect().await?;
        self.end_ghosts(&mut connection).await?;
        self.lock(&mut connection).await?;
        self.require_no_other(&mut connection).await?;
        tracing::info!("connected to the database again");
        Ok(Box::new(connection))
    }

    /// Keeps the connection if all went well. After an error nobody knows what it is in the middle of.
    pub(super) fn give_back<T>(
        &mut self,
        connection: Box<PgConnection>,
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if result.is_ok() {
            self.state = State::Connected(connection);
        }
        result
    }

    pub(super) async fn begin_epoch(
        &mut self,
        options: &PgConnectOptions,
        started_at: Timestamp,
    ) -> Result<i64, StoreError> {
        let mut connection = self.take(options).await?;
        // Until the answer comes it is not known whether there is another.
        self.epoch = None;
        let result = write::begin_epoch(&mut connection, started_at).await;
        self.epoch = result.as_ref().ok().copied();
        self.give_back(connection, result)
    }

    pub(super) async fn close(&mut self) -> Result<(), StoreError> {
        let state = std::mem::replace(&mut self.state, State::Closed);
        if let State::Connected(connection) = state {
            connection.close().await?;
        }
        Ok(())
    }

    /// Ends what the server may still be doing for connections that were given up on, so that the
    /// lock becomes free. As long as the lock is not, nothing is written: what comes late can never
    /// come in between.
    async fn end_ghosts(&mut self, connection: &mut PgConnection) -> Result<(), StoreError> {
        if self.ghosts.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "select pg_terminate_backend(pid, $2) from pg_stat_activity
            where concat(pid, ' ', backend_start) = any($1)",
        )
        .bind(&self.ghosts)
        .bind(GHOST_WAIT_MS)
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn lock(&mut self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let session: String = sqlx::query_scalar(
            "select concat(pid, ' ', backend_start) from pg_stat_activity
            where pid = pg_backend_pid()",
        )
        .fetch_one(&mut *connection)
        .await?;
        // Before the lock is asked for: when nobody hears the answer, this session may have it.
        if self.ghosts.len() == GHOSTS_MAX {
            self.ghosts.remove(0);
        }
        self.ghosts.push(session);
        // The number of a schema has 32 bits and no sign.
        let locked = sqlx::query(
            "select pg_advisory_lock($1, (oid::bigint - 2147483648)::integer)
            from pg_namespace where nspname = current_schema()",
        )
        .bind(LOCK)
        .fetch_optional(connection)
        .await;
        let locked = locked.map_err(|error| {
            let database = error.as_database_error();
            let code = database.and_then(sqlx::error::DatabaseError::code);
            if code.as_deref() == Some(LOCK_NOT_AVAILABLE) {
                return StoreError::InUse(
                    "another process has this Postgres database open: \
                    only one server can write to a database"
                        .into(),
                );
            }
            error.into()
        })?;
        if locked.is_none() {
            return Err(look::no_schema());
        }
        let current = self.ghosts.len().saturating_sub(1);
        self.ghosts.drain(..current);
        Ok(())
    }

    /// Refuses to go on when another process was the owner while this one was not connected: what is
    /// in memory here is not what is in the database any more.
    async fn require_no_other(&mut self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let epoch: i64 = sqlx::query_scalar("select coalesce(max(epoch), 0) from stream_epochs")
            .fetch_one(connection)
            .await?;
        if self.epoch.is_some_and(|known| known != epoch) {
            return Err(StoreError::Unusable(
                "another server wrote to the database while this one was cut off from it: \
                restart this one"
                    .into(),
            ));
        }
        self.epoch = Some(epoch);
        Ok(())
    }
}

//! Databases for tests, each used by one and gone after it.

use super::{Database, OpenMode, StoreError};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use url::Url;

const SERVER_VARIABLE: &str = "IAQ_TEST_POSTGRES_URL";
const SERVER_STANDARD: &str = "postgres://postgres@127.0.0.1:5432/postgres";
/// Names of test databases: this, the time they were made in seconds, and a random number.
const NAME_PREFIX: &str = "iaqtest_";
/// A test that was killed leaves its database behind; one of this age is nobody's.
const LEFTOVER_AGE_S: i64 = 24 * 60 * 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// A database of either kind that is not there yet, or empty. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct TestDatabase {
    url: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Sqlite(TempDir),
    Postgres { server: Url, name: String },
}

impl TestDatabase {
    pub(crate) async fn new(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self::sqlite(),
            Kind::Postgres => Self::postgres().await,
        }
    }

    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            url: format!("sqlite://{}", folder.path().join("test.db").display()),
            place: Place::Sqlite(folder),
        }
    }

    pub(crate) async fn postgres() -> Self {
        let server = server();
        let mut connection = connect(&server).await;
        remove_leftovers(&mut connection).await;
        let now: i64 = sqlx::query_scalar("select extract(epoch from now())::bigint")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let name = format!("{NAME_PREFIX}{now}_{:016x}", rand::random::<u64>());
        let create = format!("create database {name}");
        sqlx::query(AssertSqlSafe(create))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        let mut url = server.clone();
        url.set_path(&name);
        Self {
            url: url.into(),
            place: Place::Postgres { server, name },
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The file of a SQLite database.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder().join("test.db")
    }

    /// What only a SQLite database has, with nothing else in it.
    pub(crate) fn folder(&self) -> &Path {
        match &self.place {
            Place::Sqlite(folder) => folder.path(),
            Place::Postgres { .. } => panic!("a Postgres database has no folder"),
        }
    }

    pub(crate) async fn open(&self) -> Arc<dyn Database> {
        self.try_open(OpenMode::Owner).await.unwrap()
    }

    pub(crate) async fn try_open(&self, mode: OpenMode) -> Result<Arc<dyn Database>, StoreError> {
        super::open(&self.url, mode).await
    }

    /// Runs statements on a connection that knows nothing of owners.
    pub(crate) async fn execute(&self, statements: &'static str) {
        let mut connection = self.connect().await;
        connection.execute(statements).await;
        connection.close().await;
    }

    /// A connection that knows nothing of owners.
    pub(crate) async fn connect(&self) -> TestConnection {
        match &self.place {
            Place::Sqlite(_) => {
                let url = format!("{}?mode=rwc", self.url);
                TestConnection::Sqlite(SqliteConnection::connect(&url).await.unwrap())
            }
            Place::Postgres { .. } => {
                TestConnection::Postgres(PgConnection::connect(&self.url).await.unwrap())
            }
        }
    }

    /// Keeps everybody else from writing for as long as the connection lives.
    pub(crate) async fn hold_writes(&self) -> TestConnection {
        let mut connection = self.connect().await;
        let statement = match connection {
            TestConnection::Sqlite(_) => "begin immediate",
            TestConnection::Postgres(_) => "begin; lock table marks, log in exclusive mode",
        };
        connection.execute(statement).await;
        connection
    }
}

#[derive(Debug)]
pub(crate) enum TestConnection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl TestConnection {
    pub(crate) async fn execute(&mut self, statements: &'static str) {
        match self {
            Self::Sqlite(connection) => {
                sqlx::raw_sql(statements).execute(connection).await.unwrap();
            }
            Self::Postgres(connection) => {
                sqlx::raw_sql(statements).execute(connection).await.unwrap();
            }
        }
    }

    /// The one number that a query comes to.
    pub(crate) async fn number(&mut self, query: &'static str) -> i64 {
        let query = AssertSqlSafe(query);
        match self {
            Self::Sqlite(connection) => sqlx::query_scalar(query).fetch_one(connection).await,
            Self::Postgres(connection) => sqlx::query_scalar(query).fetch_one(connection).await,
        }
        .unwrap()
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Sqlite(connection) => connection.close().await.unwrap(),
            Self::Postgres(connection) => connection.close().await.unwrap(),
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Place::Postgres { server, name } = &self.place else {
            return;
        };
        let (server, name) = (server.clone(), name.clone());
        // In a thread of its own, because the test's runtime cannot be waited for in here.
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut connection = connect(&server).await;
                remove(&mut connection, &name).await.unwrap();
                connection.close().await.unwrap();
            });
        });
        removed.join().unwrap();
    }
}

fn server() -> Url {
    #[expect(clippy::disallowed_methods, reason = "a test has no configuration")]
    let server = std::env::var(SERVER_VARIABLE);
    let server = server.unwrap_or_else(|_unset| SERVER_STANDARD.into());
    server.parse().unwrap()
}

async fn connect(server: &Url) -> PgConnection {
    match PgConnection::connect(server.as_str()).await {
        Ok(connection) => connection,
        Err(error) => panic!(
            "no Postgres to test with ({error}): `make test` starts one; \
            by hand, set {SERVER_VARIABLE} to the URL of one where databases may be made, \
            for example to what scripts/test-postgres prints"
        ),
    }
}

async fn remove_leftovers(connection: &mut PgConnection) {
    let leftovers: Vec<String> = sqlx::query_scalar(
        "select datname::text from pg_database where datname ~ ('^' || $1 || '[0-9]+_')
            and split_part(datname, '_', 2)::bigint < extract(epoch from now()) - $2",
    )
    .bind(NAME_PREFIX)
    .bind(LEFTOVER_AGE_S)
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    for name in leftovers {
        // Fails when another test is at it too.
        drop(remove(connection, &name).await);
    }
}

async fn remove(connection: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    let remove = format!("drop database if exists {name} with (force)");
    let removed = sqlx::query(AssertSqlSafe(remove)).execute(connection);
    removed.await.map(drop)
}

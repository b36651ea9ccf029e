//! Accounts, keys and tokens from the command line, beside a running server or without one.

pub(super) mod device_key;
pub(super) mod token;
pub(super) mod user;

use crate::access::registry::{ChangeError, Registry};
use crate::config::DatabaseConfig;
use crate::database::prepare_documents;
use anyhow::Context;

/// The registry of a database. A server that runs on it notices changes by itself.
async fn open(database: &DatabaseConfig) -> anyhow::Result<Registry> {
    database.check()?;
    let documents = prepare_documents(&database.database_url)
        .await
        .context("DATABASE_URL: the database cannot be opened")?;
    Registry::open(documents)
        .await
        .context("DATABASE_URL: the accounts cannot be read")
}

fn not_changed(error: ChangeError<anyhow::Error>) -> anyhow::Error {
    match error {
        ChangeError::Refused(error) => error,
        ChangeError::Store(error) => anyhow::Error::new(error).context("nothing is changed"),
    }
}

fn say(text: &str) {
    #[expect(clippy::print_stdout, reason = "a command talks to its user")]
    {
        println!("{text}");
    }
}

fn note(text: &str) {
    #[expect(clippy::print_stderr, reason = "a command talks to its user")]
    {
        eprintln!("{text}");
    }
}

/// Sites named on the command line; none for all.
fn sites(names: &[String]) -> anyhow::Result<crate::domain::Sites> {
    if names.is_empty() {
        return Ok(crate::domain::Sites::ALL);
    }
    crate::domain::Sites::only(names.iter().cloned())
        .map_err(|detail| anyhow::anyhow!("--site: {detail}"))
}

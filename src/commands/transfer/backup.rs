//! `iaqverse backup`: a consistent copy of the database, while the server runs or not.

use crate::config::DatabaseConfig;
use crate::database::{self, OpenMode};
use anyhow::Context;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// File to write, a SQLite database that `iaqverse serve` can run on; it must not exist
    pub to: PathBuf,

    #[command(flatten)]
    pub database: DatabaseConfig,
}

/// Copies everything that is acknowledged when it begins, or leaves no file behind.
pub(crate) async fn command(arguments: BackupArgs) -> anyhow::Result<()> {
    arguments.database.check()?;
    let database = database::open(&arguments.database.database_url, OpenMode::Reader)
        .await
        .context("DATABASE_URL: the database cannot be opened")?;
    let result = database.back_up(&arguments.to).await;
    database.close().await;
    result.with_context(|| format!("{} cannot be written", arguments.to.display()))
}

//! `iaqverse export`: readings of the past as a file.

use crate::clock::{Clock, SystemClock};
use crate::config::DatabaseConfig;
use crate::config::names;
use crate::database::{self, OpenMode};
use crate::domain::Selector;
use crate::domain::Timestamp;
use crate::domain::Zone;
use crate::private_files;
use crate::query::{Dialect, Export, Format, buckets_of_step};
use crate::score::Profile;
use crate::store::{Bucket, Store};
use anyhow::Context;
use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// How the readings are written
    #[arg(long, default_value = "csv")]
    pub format: ExportFormat,

    /// File to write, which must not exist; without it, standard output
    #[arg(long, short)]
    pub output: Option<PathBuf>,

    /// First time, RFC 3339; without it, from the beginning
    #[arg(long, value_parser = timestamp)]
    pub start: Option<Timestamp>,

    /// Time before which it ends, RFC 3339; without it, up to the newest that is not in the future
    #[arg(long, value_parser = timestamp)]
    pub end: Option<Timestamp>,

    /// Only this sensor
    #[arg(long)]
    pub sensor_id: Option<String>,

    /// Only this site
    #[arg(long)]
    pub enseigne: Option<String>,

    /// Only this room
    #[arg(long)]
    pub salle: Option<String>,

    /// Means over a time instead of single readings, as GET /api/iaq/data has them, with extremes and
    /// counts: 5min, 1h, daily, weekly, or a number with s, min, h or d
    #[arg(long)]
    pub step: Option<String>,

    /// Time zone of days and weeks, for example Europe/Paris
    #[arg(long = "tz", env = "IAQ_TIMEZONE", default_value = "UTC", value_parser = names::zone)]
    pub zone: Zone,

    /// What parts the cells of CSV: , or ; or tab
    #[arg(long)]
    pub delimiter: Option<String>,

    /// What parts the whole of a number from its fraction in CSV: . or , (not with the delimiter ,)
    #[arg(long)]
    pub decimal: Option<String>,

    /// Begin CSV with a byte order mark, by which spreadsheets know that it is UTF-8
    #[arg(long)]
    pub bom: bool,

    /// Profile of the scores
    #[arg(long, env = "IAQ_SCORE_PROFILE", default_value = "iaqverse",
        value_parser = names::profile())]
    pub score_profile: Profile,

    #[command(flatten)]
    pub database: DatabaseConfig,
}

impl ExportArgs {
    fn dialect(&self) -> anyhow::Result<Dialect> {
        let (delimiter, decimal) = (self.delimiter.as_deref(), self.decimal.as_deref());
        let dialect = Dialect::new(delimiter, decimal, self.bom);
        dialect.map_err(|error| anyhow::anyhow!("--{} {error}", error.parameter()))
    }

    /// What the means are of; `None` for single readings.
    fn bucket(&self) -> anyhow::Result<Option<Bucket>> {
        let Some(step) = &self.step else {
            return Ok(None);
        };
        let detail =
            "--step must be 1min, 5min, 15min, 1h, daily, weekly or a number with s, min, h or d";
        buckets_of_step(step, &self.zone).context(detail)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Csv,
    Ndjson,
}

pub(in crate::commands) fn timestamp(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::parse(text).ok_or("must be RFC 3339 with an offset, as in 2025-11-19T10:05:00Z")
}

/// Writes all that was asked for, in memory that does not grow with it. What is stored after it began
/// may be missing.
pub(crate) async fn command(arguments: ExportArgs) -> anyhow::Result<()> {
    arguments.database.check()?;
    let dialect = arguments.dialect()?;
    let bucket = arguments.bucket()?;
    let database = database::open(&arguments.database.database_url, OpenMode::Reader)
        .await
        .context("DATABASE_URL: the database cannot be opened")?;
    let store = Store::open_to_read(database, arguments.score_profile)
        .await
        .context("DATABASE_URL: the database cannot be read")?;
    let output: Box<dyn Write> = match &arguments.output {
        Some(path) => {
            let mut options = private_files::options();
            let file = options.write(true).create_new(true).open(path);
            Box::new(file.with_context(|| format!("{}", path.display()))?)
        }
        None => Box::new(std::io::stdout()),
    };
    let export = Export {
        selector: Selector::of_names(
            arguments.enseigne.as_deref(),
            arguments.salle.as_deref(),
            arguments.sensor_id.as_deref(),
        ),
        start: arguments.start,
        end: arguments.end,
        bucket,
        dialect,
        format: match arguments.format {
            ExportFormat::Csv => Format::Csv,
            ExportFormat::Ndjson => Format::NdJson,
        },
        profile: arguments.score_profile,
    };
    let result = write(&store, export, output).await;
    store.close().await;
    result
}

async fn write(store: &Store, export: Export, output: Box<dyn Write>) -> anyhow::Result<()> {
    let mut output = BufWriter::new(output);
    let mut pieces = std::pin::pin!(export.stream(store, SystemClock.now()));
    while let Some(piece) = pieces.next().await {
        output
            .write_all(&piece.context("reading")?)
            .context("writing")?;
    }
    output.flush().context("writing")
}

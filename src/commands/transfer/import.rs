//! `iaqverse import`: readings out of files.

use super::csv_records::{CsvRecord, CsvRecords, skip_line};
use super::record::{RecordError, of_cells, of_json};
use crate::access::Caller;
use crate::clock::{Clock, SystemClock};
use crate::config::StoreConfig;
use crate::config::names;
use crate::database::{self, OpenMode};
use crate::fault::{FieldError, Rejection};
use crate::payload::{JsonLines, trimmed};
use crate::pipeline::{Pipeline, PipelineError, Taken};
use crate::score::Profile;
use crate::store::{AppendError, Became, Keeper, Outcome, Publish, Published, Store, Writer};
use crate::validate::TvocUnit;
use anyhow::Context;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures_util::future::BoxFuture;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// Files to read; - is standard input
    #[arg(required = true)]
    pub files: Vec<PathBuf>,

    /// How the readings are written; by default what the name ends with says it
    #[arg(long)]
    pub format: Option<Format>,

    /// Unit of TVOC values that come as from a device, without one
    #[arg(long, env = "IAQ_TVOC_UNIT", default_value = "ppb", value_parser = names::tvoc_unit())]
    pub tvoc_unit: TvocUnit,

    #[command(flatten)]
    pub store: StoreConfig,
}

/// How readings are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A header, then a reading a line, as `iaqverse export --format csv` writes it in any dialect: the
    /// header says by , or ; or a tab what parts cells, and where that is no comma, 21,5 is a number
    Csv,
    /// A JSON object a line, as exported or as devices send it
    Ndjson,
}

impl Format {
    fn of(file: &Path) -> anyhow::Result<Self> {
        match file.extension().and_then(std::ffi::OsStr::to_str) {
            Some("csv") => Ok(Self::Csv),
            Some("ndjson" | "jsonl" | "json") => Ok(Self::Ndjson),
            _ => anyhow::bail!("{}: name its --format, csv or ndjson", file.display()),
        }
    }
}

/// Lines that are stored together.
const LINES_AT_ONCE: usize = 1024;
/// Bytes of lines that are stored together, when that is fewer.
const BYTES_AT_ONCE: usize = 4 * 1024 * 1024;
/// Longest line, or record of CSV; a longer one is bad.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Bad lines that are shown; the others are counted.
const BAD_LINES_SHOWN: u64 = 100;
/// Values left out that are shown; the others are counted.
const IGNORED_SHOWN: u64 = 100;
/// Wait before the database is tried again, and how often it is.
pub(super) const RETRY_WAIT: Duration = Duration::from_secs(1);
pub(super) const TRIES: u32 = 30;

/// Stores the readings of all files. What is stored already stays as it is, so an import that was
/// broken off can be done again from its beginning.
pub(crate) async fn command(arguments: ImportArgs) -> anyhow::Result<()> {
    arguments.store.check()?;
    let formats = arguments.files.iter().map(|file| match arguments.format {
        Some(format) => Ok(format),
        None => Format::of(file),
    });
    let formats: Vec<_> = formats.collect::<Result<_, _>>()?;
    let database = database::open(&arguments.store.database.database_url, OpenMode::Owner)
        .await
        .context("DATABASE_URL: the database cannot be opened")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (profile, limits) = (Profile::default(), arguments.store.replay_limits());
    let store = Store::open(database, profile, clock.now(), limits)
        .await
        .context("DATABASE_URL: the database cannot be read")?;
    let keeper = Keeper::new(&store, arguments.store.retention(), Arc::clone(&clock));
    let (writer, queue) = Writer::new(
        &store,
        Arc::new(Nobody),
        profile,
        arguments.store.registry_limits(),
        arguments.store.queue_readings_max.max(LINES_AT_ONCE),
        Arc::clone(&clock),
    );
    let written = CancellationToken::new();
    let writing = actix_rt::spawn(writer.run());
    let keeping = actix_rt::spawn(keeper.run(written.clone()));
    let pipeline = Pipeline {
        clock,
        tvoc_unit: arguments.tvoc_unit,
        profile,
        readings_max: LINES_AT_ONCE,
        store: store.clone(),
        queue: queue.clone(),
        measures: Arc::default(),
        access: None,
    };
    let mut import = Import::new(pipeline);
    let mut result = Ok(());
    for (file, format) in arguments.files.iter().zip(formats) {
        result = import.file(file, format).await;
        if result.is_err() {
            break;
        }
    }
    queue.close().await;
    writing.await.context("the writer")?;
    written.cancel();
    keeping.await.context("the keeper of the store")?;
    store.close().await;
    import.report(result)
}

/// Who hears of imported readings.
#[derive(Debug)]
pub(in crate::commands) struct Nobody;

impl Publish for Nobody {
    fn publish(&self, _published: Vec<Published>) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// How far an import is.
struct Import {
    pipeline: Pipeline,
    bar: ProgressBar,
    file: String,
    waiting: Vec<(u64, String)>,
    waiting_bytes: usize,
    accepted: u64,
    updated: u64,
    duplicates: u64,
    bad: u64,
    /// Values left out of readings that were taken.
    ignored: u64,
}

impl Import {
    fn new(pipeline: Pipeline) -> Self {
        Self {
            pipeline,
            bar: ProgressBar::no_length(),
            file: String::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            accepted: 0,
            updated: 0,
            duplicates: 0,
            bad: 0,
            ignored: 0,
        }
    }

    async fn file(&mut self, file: &Path, format: Format) -> anyhow::Result<()> {
        self.file = file.display().to_string();
        let (reader, length): (Box<dyn Read>, _) = if file.as_os_str() == "-" {
            (Box::new(std::io::stdin()), None)
        } else {
            let opened = File::open(file).with_context(|| self.file.clone())?;
            let length = opened.metadata().map(|known| known.len()).ok();
            (Box::new(opened), length)
        };
        self.bar = progress(length)?;
        let reader = BufReader::with_capacity(256 * 1024, self.bar.wrap_read(reader));
        match format {
            Format::Ndjson => self.lines(reader).await?,
            Format::Csv => self.cells(reader).await?,
        }
        self.store().await?;
        self.bar.finish_and_clear();
        Ok(())
    }

    async fn lines(&mut self, mut reader: impl BufRead) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            let mut limited = reader.by_ref().take(LINE_BYTES_MAX as u64);
            if limited.read_until(b'\n', &mut bytes).context("reading")? == 0 {
                break;
            }
            if bytes.last() != Some(&b'\n') && bytes.len() == LINE_BYTES_MAX {
                self.note_bad(number, &format!("longer than {LINE_BYTES_MAX} bytes"));
                skip_line(&mut reader)?;
                continue;
            }
            match std::str::from_utf8(trimmed(&bytes)) {
                Ok("") => {}
                Ok(line) => self.take(number, of_json(line)).await?,
                Err(_) => self.note_bad(number, "not UTF-8"),
            }
        }
        Ok(())
    }

    async fn cells(&mut self, reader: impl BufRead) -> anyhow::Result<()> {
        let mut records = CsvRecords::new(reader, LINE_BYTES_MAX)?;
        let decimal_comma = records.may_have_decimal_comma();
        let header = records.next()?.map(|record| record.cells).transpose();
        let header = header.context("the header")?.unwrap_or_default();
        let header: Vec<_> = header.into_iter().map(str::to_owned).collect();
        anyhow::ensure!(
            header.iter().any(|column| column == "sensor_id"),
            "{}: the header names no sensor_id",
            self.file
        );
        while let Some(CsvRecord { line, cells }) = records.next()? {
            match cells {
                Ok(cells) if cells.len() == header.len() => {
                    let columns = header.iter().map(String::as_str);
                    let record = of_cells(columns.zip(cells), decimal_comma);
                    self.take(line, record).await?;
                }
                Ok(cells) => {
                    let (cells, columns) = (cells.len(), header.len());
                    self.note_bad(line, &format!("{cells} cells under {columns} columns"));
                }
                Err(fault) => self.note_bad(line, &fault.to_string()),
            }
        }
        Ok(())
    }

    async fn take(
        &mut self,
        number: u64,
        record: Result<String, RecordError>,
    ) -> anyhow::Result<()> {
        match record {
            Ok(line) => {
                self.waiting_bytes += line.len();
                self.waiting.push((number, line));
            }
            Err(error) => self.note_bad(number, &error.to_string()),
        }
        if self.waiting.len() >= LINES_AT_ONCE || self.waiting_bytes >= BYTES_AT_ONCE {
            self.store().await?;
        }
        Ok(())
    }

    /// Stores what waits.
    async fn store(&mut self) -> anyhow::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        if waiting.is_empty() {
            return Ok(());
        }
        let mut body = String::new();
        for (_, line) in &waiting {
            body.push_str(line);
            body.push('\n');
        }
        let Taken { outcomes, notes } = self.stored(body.into()).await?;
        for (index, error) in &notes.ignored {
            let number = waiting.get(*index).map_or(0, |(number, _)| *number);
            self.note_ignored(number, error);
        }
        let told = notes.ignored.len();
        self.count_ignored(notes.ignored_total.saturating_sub(told));
        for ((number, _), outcome) in waiting.iter().zip(outcomes) {
            match outcome {
                Outcome::Refused(rejection) => self.note_bad(*number, &reasons(&rejection)),
                Outcome::Counted(code) => self.note_bad(*number, code),
                taken => match taken.taken() {
                    Some((_, Became::New)) => self.accepted += 1,
                    Some((_, Became::Changed)) => self.updated += 1,
                    Some((_, Became::Same)) | None => self.duplicates += 1,
                },
            }
        }
        Ok(())
    }

    /// What becomes of the readings; a database that fails for a while is waited for.
    async fn stored(&self, body: Bytes) -> anyhow::Result<Taken> {
        // Whoever can open the database may write for every sensor.
        let caller = Caller::anyone();
        for _try in 1..TRIES {
            let result = self
                .pipeline
                .take(&caller, None, body.clone().into(), &JsonLines)
                .await;
            match result {
                Err(PipelineError::Append(AppendError::Failed | AppendError::Busy)) => {
                    tokio::time::sleep(RETRY_WAIT).await;
                }
                result => return result.context("the readings cannot be stored"),
            }
        }
        let result = self
            .pipeline
            .take(&caller, None, body.into(), &JsonLines)
            .await;
        result.context("the readings cannot be stored")
    }

    fn note_bad(&mut self, number: u64, reason: &str) {
        self.bad += 1;
        if self.bad <= BAD_LINES_SHOWN {
            let file = &self.file;
            self.bar
                .suspend(|| note(&format!("{file}:{number}: {reason}")));
        } else if self.bad == BAD_LINES_SHOWN + 1 {
            self.bar.suspend(|| note("more bad lines are only counted"));
        }
    }

    fn note_ignored(&mut self, number: u64, error: &FieldError) {
        if self.ignored < IGNORED_SHOWN {
            let (file, reason) = (&self.file, reason(error));
            self.bar
                .suspend(|| note(&format!("{file}:{number}: left out: {reason}")));
        }
        self.count_ignored(1);
    }

    fn count_ignored(&mut self, count: usize) {
        let before = self.ignored;
        self.ignored += count as u64;
        if before <= IGNORED_SHOWN && self.ignored > IGNORED_SHOWN {
            self.bar
                .suspend(|| note("more values left out are only counted"));
        }
    }

    /// Says what became of all readings; an error when not all of them were taken.
    fn report(&self, result: anyhow::Result<()>) -> anyhow::Result<()> {
        self.bar.finish_and_clear();
        note(&format!(
            "{} new, {} changed, {} already there, {} bad",
            self.accepted, self.updated, self.duplicates, self.bad
        ));
        if self.ignored > 0 {
            note(&format!("{} values left out", self.ignored));
        }
        result?;
        anyhow::ensure!(self.bad == 0, "{} lines were not taken", self.bad);
        Ok(())
    }
}

fn reasons(rejection: &Rejection) -> String {
    let reasons: Vec<_> = rejection.errors.iter().map(reason).collect();
    reasons.join("; ")
}

fn reason(error: &FieldError) -> String {
    format!("{} {}: {}", error.pointer, error.code, error.detail)
}

/// A bar on a terminal, nothing elsewhere.
fn progress(length: Option<u64>) -> anyhow::Result<ProgressBar> {
    let Some(length) = length else {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template(
            "{spinner} {bytes} {bytes_per_sec}",
        )?);
        return Ok(bar);
    };
    let bar = ProgressBar::new(length);
    bar.set_style(ProgressStyle::with_template(
        "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    )?);
    Ok(bar)
}

pub(in crate::commands) fn note(text: &str) {
    // Nobody is left to tell when standard error is closed.
    writeln!(std::io::stderr(), "{text}").unwrap_or_default();
}

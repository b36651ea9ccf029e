//! `iaqverse future`: what is stored under a time in the future.
//!
//! A reading that brings no time is stored under the server's. One that came while the clock was ahead
//! is kept under a time that nobody has lived yet. Nothing but this command moves or removes it.

mod listing;
mod moving;

use super::export::timestamp;
use super::import::note;
use crate::clock::{Clock, SystemClock};
use crate::config::StoreConfig;
use crate::config::bounds::duration;
use crate::database::{self, OpenMode, SensorKey, StoreError};
use crate::domain::Timestamp;
use crate::score::Profile;
use crate::store::Store;
use crate::validate::CLOCK_AHEAD_MAX;
use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use listing::Listed;
use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

#[derive(Debug, Clone, Args)]
pub struct FutureArgs {
    #[command(subcommand)]
    pub action: FutureAction,

    #[command(flatten)]
    pub store: StoreConfig,
}

#[derive(Debug, Clone, Subcommand)]
pub enum FutureAction {
    /// Show which sensors have such readings, how many and when, also while the server runs
    List {
        #[command(flatten)]
        which: Which,

        /// How they are written
        #[arg(long, default_value = "table")]
        format: ListFormat,
    },
    /// Store them under an earlier time, while no server runs
    Move {
        /// How far back, as in 400d or 1h30m
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        by: Duration,

        #[command(flatten)]
        which: Which,
    },
    /// Remove them, while no server runs
    Remove {
        #[command(flatten)]
        which: Which,

        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Which readings are meant.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// Time, RFC 3339, after which readings are taken to be in the future; without it, five minutes
    /// after what the clock of this machine says
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    pub after: Option<Timestamp>,

    /// Only this sensor; may be given several times
    #[arg(long = "sensor", value_name = "ID")]
    pub sensors: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    Table,
    Csv,
    Json,
}

/// Readings after a time, of all sensors or some.
#[derive(Debug)]
struct Selection {
    now: Timestamp,
    after: Timestamp,
    sensors: Vec<String>,
}

/// Readings that are taken out together.
const READINGS_AT_ONCE: usize = 4096;

/// Does what the command line says.
pub(crate) async fn command(arguments: FutureArgs) -> anyhow::Result<()> {
    arguments.store.check()?;
    let (access, which) = match &arguments.action {
        FutureAction::List { which, .. } => (OpenMode::Reader, which),
        FutureAction::Move { which, by } => {
            anyhow::ensure!(!by.is_zero(), "--by: must be more than nothing");
            (OpenMode::Owner, which)
        }
        FutureAction::Remove { which, .. } => (OpenMode::Owner, which),
    };
    let now = SystemClock.now();
    let selection = Selection {
        now,
        after: which.after.unwrap_or(now.plus(CLOCK_AHEAD_MAX)),
        sensors: which.sensors.clone(),
    };
    let store = open(&arguments.store, access, now).await?;
    let result = run(&store, &selection, &arguments).await;
    store.close().await;
    result
}

async fn open(config: &StoreConfig, mode: OpenMode, now: Timestamp) -> anyhow::Result<Store> {
    let database = database::open(&config.database.database_url, mode)
        .await
        .context("DATABASE_URL: the database cannot be opened")?;
    let profile = Profile::default();
    match mode {
        OpenMode::Owner => Store::open(database, profile, now, config.replay_limits()).await,
        OpenMode::Reader => Store::open_to_read(database, profile).await,
    }
    .context("DATABASE_URL: the database cannot be read")
}

async fn run(store: &Store, selection: &Selection, arguments: &FutureArgs) -> anyhow::Result<()> {
    let Selection { now, after, .. } = selection;
    note(&format!(
        "the clock of this machine says {now}; readings after {after} are taken to be in the future"
    ));
    let listed = selection
        .listed(store)
        .await
        .context("the readings cannot be read")?;
    match &arguments.action {
        FutureAction::List { format, .. } => print(&listing::written(&listed, *format)),
        FutureAction::Move { by, .. } => {
            moving::run(store, selection, &listed, *by, &arguments.store).await
        }
        FutureAction::Remove { yes, .. } => remove(store, selection, &listed, *yes).await,
    }
}

async fn remove(
    store: &Store,
    selection: &Selection,
    listed: &[Listed],
    yes: bool,
) -> anyhow::Result<()> {
    print(&listing::written(listed, ListFormat::Table))?;
    let sensors = listing::sensors(listed);
    if sensors.is_empty() {
        note("nothing is to be removed");
        return Ok(());
    }
    let readings: u64 = listed.iter().map(|one| one.count).sum();
    if !yes && !confirmed(&format!("Remove {readings} readings for good?"))? {
        bail!("nothing is removed");
    }
    let removed = erase_all(store, selection, &sensors).await;
    removed.context("not everything is removed; the command can be repeated")
}

async fn erase_all(
    store: &Store,
    selection: &Selection,
    sensors: &[SensorKey],
) -> Result<(), StoreError> {
    store.forget_from(selection.begin()).await?;
    let mut removed = 0;
    let mut waiting = Vec::new();
    for sensor in sensors {
        let mut next = Some(selection.begin());
        while let Some(from) = next {
            let page = store.page(*sensor, from).await?;
            next = page.next;
            waiting.extend(page.rows.iter().map(|row| (row.sensor, row.observed_at)));
            if waiting.len() >= READINGS_AT_ONCE {
                removed += store
                    .erase(std::mem::take(&mut waiting), selection.now)
                    .await?;
            }
        }
    }
    removed += store.erase(waiting, selection.now).await?;
    note(&format!("{removed} readings are removed"));
    Ok(())
}

/// Asks on a terminal; fails where nobody could answer.
fn confirmed(question: &str) -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    anyhow::ensure!(
        stdin.is_terminal(),
        "nothing is removed: --yes says it where nobody can be asked"
    );
    let mut stderr = std::io::stderr();
    write!(stderr, "{question} Type yes: ").context("standard error")?;
    stderr.flush().context("standard error")?;
    let mut answer = String::new();
    stdin
        .lock()
        .read_line(&mut answer)
        .context("standard input")?;
    Ok(answer.trim() == "yes")
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    stdout.write_all(text.as_bytes()).context("writing")?;
    stdout.flush().context("writing")
}

impl Selection {
    /// The first time that is meant.
    fn begin(&self) -> Timestamp {
        self.after.plus(Duration::from_millis(1))
    }

    async fn listed(&self, store: &Store) -> Result<Vec<Listed>, StoreError> {
        let mut listed = Vec::new();
        for sensor in store.sensors_from(self.begin()).await? {
            if self.has(store, sensor) {
                listed.extend(listing::of_sensor(store, sensor, self.begin()).await?);
            }
        }
        listed.sort_by(|a, b| a.names().cmp(&b.names()));
        Ok(listed)
    }

    fn has(&self, store: &Store, sensor: SensorKey) -> bool {
        let is_named = |id: &str| self.sensors.iter().any(|named| named == id);
        self.sensors.is_empty()
            || store.directory(|directory| {
                let entry = directory.sensor(sensor);
                entry.is_some_and(|entry| is_named(entry.latest.scored.reading.sensor.as_str()))
            })
    }
}

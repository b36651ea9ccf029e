//! The commands that change sensors and rooms while no server runs; a running one has calls for it.

pub(super) mod room;
pub(super) mod sensor;

use crate::clock::{Clock, SystemClock};
use crate::commands::transfer::import::{Nobody, note};
use crate::config::StoreConfig;
use crate::database::{self, OpenMode};
use crate::domain::Sites;
use crate::score::Profile;
use crate::store::{Changed, Directory, Keeper, Kept, RegistryChange, Store, Writer};
use anyhow::Context;
use clap::ValueEnum;
use std::sync::Arc;

/// What becomes of the readings of something that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Readings {
    /// History goes on having them
    Keep,
    /// They go as well
    Remove,
}

impl From<Readings> for Kept {
    fn from(readings: Readings) -> Self {
        match readings {
            Readings::Keep => Self::Keep,
            Readings::Remove => Self::Remove,
        }
    }
}

/// Makes a change in a database that no server has open, and says what it came to.
async fn change(config: &StoreConfig, change: RegistryChange) -> anyhow::Result<Changed> {
    config.check()?;
    let database = database::open(&config.database.database_url, OpenMode::Owner)
        .await
        .context(
            "DATABASE_URL: the database cannot be opened; while a server runs, ask that: PATCH and \
             DELETE /api/sensors/{id} and /api/rooms",
        )?;
    let profile = Profile::default();
    let clock = Arc::new(SystemClock);
    let store = Store::open(database, profile, clock.now(), config.replay_limits()).await;
    let store = store.context("DATABASE_URL: the database cannot be read")?;
    // Readings are refused, and hidden, by the same limit as in a running server.
    drop(Keeper::new(
        &store,
        config.retention(),
        Arc::clone(&clock) as _,
    ));
    let (writer, queue) = Writer::new(
        &store,
        Arc::new(Nobody),
        profile,
        config.registry_limits(),
        config.queue_readings_max,
        clock,
    );
    let ((), changed) = tokio::join!(writer.run(), async {
        let changed = queue.change(change, &Sites::ALL).await;
        queue.close().await;
        changed
    });
    store.close().await;
    changed.context("nothing is changed, or not all of it; the command can be repeated")
}

/// Reads a database, also while a server runs.
async fn read(config: &StoreConfig, look: impl FnOnce(&Directory)) -> anyhow::Result<()> {
    config.check()?;
    let database = database::open(&config.database.database_url, OpenMode::Reader)
        .await
        .context("DATABASE_URL: the database cannot be opened")?;
    let store = Store::open_to_read(database, Profile::default()).await;
    let store = store.context("DATABASE_URL: the database cannot be read")?;
    store.directory(look);
    store.close().await;
    Ok(())
}

fn report(changed: &Changed) {
    let sensor = changed.sensor.as_ref().map(|id| id.as_str().to_owned());
    let place = changed
        .place
        .as_ref()
        .map(|place| format!("{} / {}", place.site.as_str(), place.room.as_str()));
    let what: Vec<_> = sensor.into_iter().chain(place).collect();
    note(&format!(
        "done: {}; {} stored readings moved or removed",
        what.join(", "),
        changed.readings
    ));
}

fn say(lines: &[String]) {
    #[expect(clippy::print_stdout, reason = "a command talks to its user")]
    for line in lines {
        println!("{line}");
    }
}

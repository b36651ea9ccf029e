//! A store out of what is in the database.

use super::directory::Directory;
use super::log_extent::{LogExtent, ReplayLimits};
use super::recent::{Recent, Rows, Run};
use super::salvage::{self, Sensors};
use super::{KnownTime, SensorEntry, Store, unpacked};
use crate::clock;
use crate::database::{Database, Loaded, RegistryPatch, SensorKey, StoreError};
use crate::domain::{StreamId, Timestamp};
use crate::score::Profile;
use parking_lot::{Mutex, RwLock};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

impl Store {
    /// Loads an opened database and starts a new epoch of ids. Only for the owner of the database.
    pub async fn open(
        database: Arc<dyn Database>,
        profile: Profile,
        started_at: Timestamp,
        limits: ReplayLimits,
    ) -> Result<Self, StoreError> {
        let epoch = database.begin_epoch(started_at).await?;
        let log = LogExtent::of(limits, &database.log_sizes().await?);
        let horizon = clock::horizon(started_at);
        let store = Self::load(database, profile, epoch, log, horizon).await?;
        if let Err(error) = store.follow(horizon).await {
            // The writer goes on trying; a chunk that cannot be read is no reason not to start.
            tracing::warn!(%error, "latest readings cannot be looked up");
        }
        Ok(store)
    }

    /// The store as it is now, for a process that only reads; what comes later it does not see.
    pub async fn open_to_read(
        database: Arc<dyn Database>,
        profile: Profile,
    ) -> Result<Self, StoreError> {
        let log = LogExtent::new(ReplayLimits::default());
        // Without a clock everything has come.
        let horizon = Timestamp::from_millis(i64::MAX);
        Self::load(database, profile, 0, log, horizon).await
    }

    async fn load(
        database: Arc<dyn Database>,
        profile: Profile,
        epoch: u64,
        log: LogExtent,
        horizon: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut loaded = database.load().await?;
        let marks = loaded.marks;
        // What is left of the rows of sensors that are no more says nothing.
        let former = &loaded.registry.former_sensors;
        let is_former = |key| former.iter().any(|former| former.key == key);
        loaded.damaged.retain(|row| !is_former(row.key));
        loaded.sensors.retain(|row| !is_former(row.key));
        let sensors = salvage::sensors(database.as_ref(), &mut loaded).await?;
        let (directory, rows) = replayed(loaded, sensors, profile, epoch, horizon)?;
        let known_time = KnownTime {
            record: marks.clock,
            // What was started by a clock that is wrong says nothing where readings can.
            evidence: usual_newest(&directory).or(marks.started_before),
        };
        Ok(Self {
            database,
            directory: Arc::new(RwLock::new(directory)),
            recent: Arc::new(Recent::new(rows)),
            log: Arc::new(Mutex::new(log)),
            room_means: Arc::default(),
            means_outdated: Arc::default(),
            is_kept: Arc::default(),
            tidying: Arc::default(),
            counts_in_rooms: Arc::default(),
            fault: Arc::default(),
            measures: Arc::default(),
            known_time,
            certain_ms: Arc::new(AtomicI64::new(i64::MIN)),
        })
    }
}

/// The newest reading of a sensor in the middle, so that one clock that is ahead does not count.
fn usual_newest(directory: &Directory) -> Option<Timestamp> {
    let newest = |sensor: &SensorEntry| sensor.latest.scored.reading.observed_at;
    let mut newest: Vec<_> = directory.sensors().map(newest).collect();
    newest.sort_unstable();
    let middle = newest.len().checked_sub(1)? / 2;
    newest.get(middle).copied()
}

/// What was settled, with what came after it.
fn replayed(
    loaded: Loaded,
    sensors: Sensors,
    profile: Profile,
    epoch: u64,
    horizon: Timestamp,
) -> Result<(Directory, Rows), StoreError> {
    let mut directory = Directory::new(profile, epoch, loaded.marks.removed_to);
    let former = &loaded.registry.former_rooms;
    for room in &loaded.rooms {
        if former.iter().any(|former| former.key == room.key) {
            directory.add_former_room(room);
        } else {
            directory.add_room(room);
        }
    }
    // What the states of sensors include already: they are written with what is settled, but not all
    // at once.
    let mut included: FxHashMap<SensorKey, StreamId> = FxHashMap::default();
    for (known, as_of) in sensors.known {
        included.extend(as_of.map(|as_of| (known.key, as_of)));
        directory.add_known(known);
    }
    let patch = RegistryPatch {
        rows: loaded.registry,
        ..RegistryPatch::default()
    };
    directory.change_registry(&patch, Vec::new())?;
    let mut unreadable = FxHashSet::default();
    for sensor in sensors.aside {
        if !sensor.has_readable_chunks {
            unreadable.insert(sensor.key);
        }
        directory.set_aside(sensor.key, sensor.id);
    }
    let mut rows = Rows::default();
    for batch in &loaded.log {
        let committed = unpacked(batch, profile)?;
        let is_included = |sensor: SensorKey, id: StreamId| {
            included.get(&sensor).is_some_and(|as_of| id <= *as_of)
        };
        for row in &committed.rows {
            if unreadable.contains(&row.reading.sensor) {
                // With them nothing of the store could be put in order.
                tracing::error!(id = %row.id, "a reading of a sensor that is set aside is only in the log");
                continue;
            }
            if !is_included(row.reading.sensor, row.id) {
                let reading = &row.reading;
                let latest = |directory: &Directory| directory.latest_of(reading);
                directory.apply(row, committed.arrived_at, latest, horizon);
            }
        }
        let committed_rows = committed.rows.into_iter();
        let committed_rows = committed_rows.filter(|row| !unreadable.contains(&row.reading.sensor));
        rows.insert(Run::of(committed_rows.map(|row| (row.id, row.reading))));
        for (sensor, count) in committed.reading_counts {
            if !is_included(sensor, batch.last) {
                directory.set_reading_count(sensor, count);
            }
        }
    }
    for (sensor, room) in loaded.sensor_rooms {
        directory.add_sensor_room(sensor, room);
    }
    Ok((directory, rows))
}

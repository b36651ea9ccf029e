//! A store out of what is in the database.

use super::directory::{Directory, KnownSensor};
use super::log_extent::{LogExtent, ReplayLimits};
use super::recent::{Recent, Rows, Run};
use super::{KnownTime, SensorEntry, Store, pack, unpacked};
use crate::clock;
use crate::database::{Database, Loaded, SensorKey, SensorRow, StoreError};
use crate::domain::{StreamId, Timestamp};
use crate::score::Profile;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
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
        let loaded = database.load().await?;
        let marks = loaded.marks;
        let (directory, rows) = replayed(loaded, profile, epoch, horizon)?;
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
            fault: Arc::default(),
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
    profile: Profile,
    epoch: u64,
    horizon: Timestamp,
) -> Result<(Directory, Rows), StoreError> {
    let mut directory = Directory::new(profile, epoch, loaded.marks.removed_to);
    for room in &loaded.rooms {
        directory.add_room(room);
    }
    // What the states of sensors include already: they are written with what is settled, but not all
    // at once.
    let mut included: FxHashMap<SensorKey, StreamId> = FxHashMap::default();
    for sensor in loaded.sensors {
        let (known, as_of) = settled(&sensor)?;
        included.extend(as_of.map(|as_of| (known.key, as_of)));
        directory.add_known(known);
    }
    let mut rows = Rows::default();
    for batch in &loaded.log {
        let committed = unpacked(batch, profile)?;
        let is_included = |sensor: SensorKey, id: StreamId| {
            included.get(&sensor).is_some_and(|as_of| id <= *as_of)
        };
        for row in &committed.rows {
            if !is_included(row.reading.sensor, row.id) {
                let reading = &row.reading;
                let latest = |directory: &Directory| directory.latest_of(reading);
                directory.apply(row, committed.arrived_at, latest, horizon);
            }
        }
        let committed_rows = committed.rows.into_iter();
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

/// A sensor as it was when it was settled, and the last event that its state includes.
fn settled(row: &SensorRow) -> Result<(KnownSensor, Option<StreamId>), StoreError> {
    let corrupt = |error: pack::PackError| {
        StoreError::corrupt("sensors", format!("{}: {error}", row.id.as_str()))
    };
    let settled = row.settled.as_ref();
    let latest = settled.map(|settled| pack::unpack_latest(row.key, &settled.latest));
    let state = settled.and_then(|settled| settled.state.as_deref());
    let kept = state.map(pack::unpack_state).transpose().map_err(corrupt)?;
    let as_of = kept.as_ref().map(|kept| kept.as_of);
    let kept = kept.filter(|kept| !kept.is_partial);
    let known = KnownSensor {
        key: row.key,
        id: row.id.clone(),
        room: row.room,
        reading_count: row.reading_count,
        first_seen: settled.map(|settled| settled.first_seen),
        latest: latest.transpose().map_err(corrupt)?,
        newest_at: settled.and_then(|settled| settled.newest_at),
        state: kept.map(|kept| kept.state),
    };
    Ok((known, as_of))
}

//! A store out of what is in the database.

use super::directory::{Directory, KnownSensor};
use super::log_extent::{LogExtent, ReplayLimits};
use super::recent::{Recent, Rows};
use super::rows::{LogRow, SensorCounters};
use super::{KnownTime, SensorEntry, Store, pack, unpacked};
use crate::clock;
use crate::database::{Database, Loaded, SensorRow, StoreError};
use crate::domain::Timestamp;
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
        let store = Self::load(database, profile, epoch, log).await?;
        if let Err(error) = store.follow(clock::horizon(started_at)).await {
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
        Self::load(database, profile, 0, log).await
    }

    async fn load(
        database: Arc<dyn Database>,
        profile: Profile,
        epoch: u64,
        log: LogExtent,
    ) -> Result<Self, StoreError> {
        let loaded = database.load().await?;
        let marks = loaded.marks;
        let (directory, rows) = replayed(loaded, profile, epoch)?;
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
fn replayed(loaded: Loaded, profile: Profile, epoch: u64) -> Result<(Directory, Rows), StoreError> {
    let mut rows = Rows::default();
    let mut counters: FxHashMap<_, SensorCounters> = FxHashMap::default();
    let mut newest: FxHashMap<_, LogRow> = FxHashMap::default();
    let mut oldest: FxHashMap<_, Timestamp> = FxHashMap::default();
    for batch in &loaded.log {
        let (events, states) = unpacked(batch)?;
        counters.extend(states.into_iter().map(|state| (state.sensor, state)));
        for event in events {
            let reading = &event.reading;
            let first = oldest.entry(reading.sensor).or_insert(reading.observed_at);
            *first = reading.observed_at.min(*first);
            if newest
                .get(&reading.sensor)
                .is_none_or(|known| known.reading.observed_at <= reading.observed_at)
            {
                newest.insert(reading.sensor, event.clone());
            }
            rows.insert(event.id, event.reading);
        }
    }
    let mut directory = Directory::new(profile, epoch, loaded.marks.removed_to);
    for room in &loaded.rooms {
        directory.add_room(room);
    }
    for sensor in loaded.sensors {
        let mut known = settled(&sensor)?;
        if let Some(event) = newest.remove(&known.key) {
            known.newest_at = known.newest_at.max(Some(event.reading.observed_at));
            let is_newest = known
                .latest
                .as_ref()
                .is_none_or(|settled| settled.observed_at <= event.reading.observed_at);
            if is_newest {
                known.latest = Some(event.reading);
            }
        }
        let first = oldest.get(&known.key).copied();
        known.first_seen = match (known.first_seen, first) {
            (Some(settled), Some(first)) => Some(settled.min(first)),
            (settled, first) => settled.or(first),
        };
        if let Some(state) = counters.get(&known.key) {
            known.room = state.room;
            known.reading_count = state.reading_count;
            known.period_ms = state.period_ms;
        }
        directory.add_known(known);
    }
    for (sensor, room) in loaded.sensor_rooms {
        directory.add_sensor_room(sensor, room);
    }
    Ok((directory, rows))
}

fn settled(row: &SensorRow) -> Result<KnownSensor, StoreError> {
    let latest = row.settled.as_ref().map(|settled| {
        pack::unpack_latest(row.key, &settled.latest).map_err(|error| {
            StoreError::corrupt("sensors", format!("{}: {error}", row.id.as_str()))
        })
    });
    Ok(KnownSensor {
        key: row.key,
        id: row.id.clone(),
        room: row.room,
        reading_count: row.reading_count,
        period_ms: row.period_ms,
        first_seen: row.settled.as_ref().map(|settled| settled.first_seen),
        latest: latest.transpose()?,
        newest_at: row.settled.as_ref().and_then(|settled| settled.newest_at),
    })
}

//! What a database must be able to do for this product.

use super::directory::{RoomKey, SensorKey, scored};
use super::{Stored, StreamId};
use crate::domain::{Extras, Place, PlaceName, Quantity, SensorId, Timestamp, Values};
use crate::score::{Profile, standard};
use futures_util::future::BoxFuture;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::Duration;

/// Why the store cannot do what is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed, is locked or full; the same call may succeed later.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The database cannot be used at all.
    #[error("{0}")]
    Unusable(String),
    /// A stored row that no valid reading could have left there.
    #[error("{table} holds a row that breaks an invariant: {detail}")]
    Corrupt { table: &'static str, detail: String },
}

/// A database engine. All methods may be called at any time from any thread, except
/// [`Engine::commit`] and [`Engine::renumber`], which only the writer calls.
pub trait Engine: std::fmt::Debug + Send + Sync {
    /// Records a start of the server and returns its number, never given before.
    fn begin_epoch(&self, started_at: Timestamp) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Everything the directory is made of.
    fn load(&self) -> BoxFuture<'_, Result<Snapshot, StoreError>>;

    /// The stored readings among the identities asked for.
    fn find<'a>(
        &'a self,
        identities: &'a [(SensorKey, Timestamp)],
    ) -> BoxFuture<'a, Result<Vec<ReadingRow>, StoreError>>;

    /// Makes all changes durable, or none of them. An error may leave it unknown which.
    fn commit<'a>(&'a self, changes: &'a Changes) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Gives the events after `after` new ids, the ones right behind `behind`, in the same order, and
    /// returns them. An error may leave it unknown whether it did.
    ///
    /// This is for events of a commit that failed and yet reached the disk: other messages may have
    /// been published since under greater ids. The writer has no more than one such commit.
    fn renumber(
        &self,
        after: StreamId,
        behind: StreamId,
    ) -> BoxFuture<'_, Result<Vec<LogRow>, StoreError>>;

    /// The events with `after < id <= up_to` in order, the first `rows_max` of them; `None` when one
    /// after `after` may be gone from the log. That `after` was given out is for the caller to know.
    fn replay(
        &self,
        after: StreamId,
        up_to: StreamId,
        rows_max: u32,
    ) -> BoxFuture<'_, Result<Option<Vec<LogRow>>, StoreError>>;

    /// Rows with `from <= observed_at < to`, by time and sensor, at most `rows_max`.
    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        from: Timestamp,
        to: Timestamp,
        rows_max: u32,
    ) -> BoxFuture<'a, Result<Vec<HistoryRow>, StoreError>>;

    /// Averages of each room over windows that end at `now`.
    fn room_means<'a>(
        &'a self,
        windows: &'a [AveragingWindow],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<RoomMeans, StoreError>>;

    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Average values of each room that had any.
pub type RoomMeans = FxHashMap<RoomKey, Values>;

/// What is in the database besides history.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub rooms: Vec<RoomRow>,
    pub sensors: Vec<SensorRow>,
    pub sensor_rooms: Vec<(SensorKey, RoomKey)>,
}

#[derive(Debug, Clone)]
pub struct RoomRow {
    pub key: RoomKey,
    pub site: PlaceName,
    pub room: PlaceName,
}

#[derive(Debug, Clone)]
pub struct SensorRow {
    pub key: SensorKey,
    pub id: SensorId,
    pub room: RoomKey,
    pub reading_count: u64,
    pub period_ms: Option<f64>,
    pub first_seen: Timestamp,
    pub latest: ReadingRow,
}

/// One stored reading.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadingRow {
    pub sensor: SensorKey,
    pub observed_at: Timestamp,
    pub room: RoomKey,
    pub values: Values,
    pub extras: Extras,
    pub tvoc_unit_assumed: bool,
}

/// An event of the stream: a reading that was stored, or changed, as it was from then on.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRow {
    pub id: StreamId,
    /// Older than the newest reading of its sensor at that time.
    pub late: bool,
    pub reading: ReadingRow,
}

impl LogRow {
    /// The event as it is published.
    pub(super) fn stored(self, sensor: SensorId, place: Arc<Place>, profile: Profile) -> Stored {
        Stored {
            id: self.id,
            place,
            scored: Arc::new(scored(sensor, &self.reading, profile)),
            late: self.late,
        }
    }
}

/// How much of the stream is kept to be told again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayLimits {
    /// Readings published last that are there at least. Somewhat more are, because they go in
    /// chunks; with 0 all those go that are in the history.
    pub readings_kept: usize,
}

impl Default for ReplayLimits {
    fn default() -> Self {
        Self {
            readings_kept: 100_000,
        }
    }
}

/// What one transaction writes.
#[derive(Debug, Default)]
pub struct Changes {
    /// Rooms seen for the first time, with their sites.
    pub rooms: Vec<RoomRow>,
    /// Sensors seen for the first time; their counts are in `counters`.
    pub sensors: Vec<(SensorKey, SensorId, RoomKey)>,
    /// Sensors seen in a room for the first time.
    pub sensor_rooms: Vec<(SensorKey, RoomKey)>,
    /// State of each sensor that has new readings.
    pub counters: Vec<SensorCounters>,
    /// Readings to insert, or to put in place of the one with the same identity, by their ids. Of
    /// several with one identity the last has everything the others had. At most
    /// [`Changes::READINGS_MAX`].
    pub readings: Vec<LogRow>,
}

impl Changes {
    /// Most readings in one transaction: what fits one statement, and so short that nobody waits
    /// long for it.
    pub const READINGS_MAX: usize = 1024;

    pub fn is_empty(&self) -> bool {
        self.readings.is_empty() && !self.has_new_places()
    }

    /// Whether something else than readings and counters is written.
    pub fn has_new_places(&self) -> bool {
        !(self.rooms.is_empty() && self.sensors.is_empty() && self.sensor_rooms.is_empty())
    }
}

#[derive(Debug, Clone, Copy)]
pub struct SensorCounters {
    pub sensor: SensorKey,
    pub room: RoomKey,
    pub reading_count: u64,
    pub period_ms: Option<f64>,
}

/// Which history is asked for.
#[derive(Debug, Clone, Default)]
pub struct HistoryQuery {
    pub sensors: Vec<SensorKey>,
    /// Only readings taken in these rooms; `None` for all.
    pub rooms: Option<Vec<RoomKey>>,
    /// Means over buckets instead of single readings.
    pub bucket: Option<Bucket>,
}

/// Buckets of `width_ms`, one of which starts at `origin_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    pub width_ms: i64,
    pub origin_ms: i64,
}

impl Bucket {
    /// Start of the bucket that holds `at`.
    pub fn start(self, at: Timestamp) -> Timestamp {
        let since_origin = at.millis() - self.origin_ms;
        Timestamp::from_millis(at.millis() - since_origin.rem_euclid(self.width_ms))
    }
}

/// One reading, or the mean of a bucket, whose time is the bucket's start.
pub type HistoryRow = ReadingRow;

/// Quantities that are averaged over the same time, and the sensors that measure them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AveragingWindow {
    pub minutes: u32,
    pub quantities: Vec<Quantity>,
    pub sensors: Vec<SensorKey>,
}

impl AveragingWindow {
    /// Start of the window that ends at `now`.
    pub fn start(&self, now: Timestamp) -> Timestamp {
        now.minus(Duration::from_mins(u64::from(self.minutes)))
    }

    /// The windows of all quantities, without sensors.
    pub(super) fn all() -> Vec<Self> {
        let mut windows: Vec<Self> = Vec::new();
        for quantity in Quantity::ALL {
            let minutes = standard(quantity).map_or(WITHOUT_STANDARD_MINUTES, |standard| {
                standard.averaging_minutes
            });
            match windows.iter_mut().find(|window| window.minutes == minutes) {
                Some(window) => window.quantities.push(quantity),
                None => {
                    windows.push(Self {
                        minutes,
                        quantities: vec![quantity],
                        sensors: Vec::new(),
                    });
                }
            }
        }
        windows
    }
}

/// Averaging time of quantities that have no score.
const WITHOUT_STANDARD_MINUTES: u32 = 10;

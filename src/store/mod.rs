//! [`ScoredReading`] → durable rows, and back.
//!
//! Writes go through one queue to one writer, which commits what has gathered as one transaction and
//! only then answers and publishes (`writer`). What is published is numbered in one sequence, together
//! with notices, and stored under its number, so that it can be told again (`Store::replay`). What
//! every request needs at once, the sensors and their latest readings, is kept in memory (`directory`)
//! and is always what a restart would load. The database itself is behind [`engine::Engine`].

mod directory;
pub mod engine;
mod notice;
mod plan;
mod queue;
mod sqlite;
mod stream_id;
mod writer;

pub use directory::{Directory, LatestReading, RoomKey, SensorEntry, SensorKey};
pub use engine::{Bucket, HistoryQuery, HistoryRow, ReplayLimits, RoomMeans, StoreError};
pub use notice::{Notice, Published};
pub use plan::RegistryLimits;
pub use queue::{AppendError, WriteQueue};
pub use sqlite::SqliteEngine;
pub use stream_id::{StreamId, StreamIdError};
pub use writer::{Publish, Writer};

use crate::domain::{Place, Quantity, Reading, Timestamp};
use crate::score::{Assessment, Profile};
use crate::validate::Rejection;
use engine::{AveragingWindow, Engine, LogRow};
use parking_lot::RwLock;
use std::sync::Arc;
use tokio::sync::Mutex;

/// A valid reading with its score: what is stored and broadcast.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredReading {
    pub reading: Reading,
    pub assessment: Assessment,
}

/// What became of one appended reading.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Stored for the first time.
    Accepted(Arc<ScoredReading>),
    /// Merged into the reading of the same identity, which changed.
    Updated(Arc<ScoredReading>),
    /// The same as what is stored; nothing was written.
    Duplicate(Arc<ScoredReading>),
    /// Not stored: only the registry could tell that it can't be.
    Refused(Rejection),
}

/// A reading that has just become durable, in the order stored.
#[derive(Debug, Clone)]
pub struct Stored {
    pub id: StreamId,
    pub place: Arc<Place>,
    pub scored: Arc<ScoredReading>,
    /// Older than the newest reading of its sensor.
    pub late: bool,
}

/// How far room averages may lag behind, so that many pages asking at once cost one query.
const ROOM_MEANS_AGE_MS_MAX: i64 = 1000;

/// Room averages and when they were taken.
type TimedMeans = (Timestamp, Arc<RoomMeans>);

/// The reading side of the store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    engine: Arc<dyn Engine>,
    directory: Arc<RwLock<Directory>>,
    room_means: Arc<Mutex<Option<TimedMeans>>>,
}

impl Store {
    /// Loads the directory of an opened database and starts a new epoch of ids.
    pub async fn load(
        engine: Arc<dyn Engine>,
        profile: Profile,
        started_at: Timestamp,
    ) -> Result<Self, StoreError> {
        let epoch = engine.begin_epoch(started_at).await?;
        let directory = Directory::new(engine.load().await?, profile, epoch);
        Ok(Self {
            engine,
            directory: Arc::new(RwLock::new(directory)),
            room_means: Arc::default(),
        })
    }

    /// Looks something up in the directory; `look` must be short, writers wait for it.
    pub fn directory<T>(&self, look: impl FnOnce(&Directory) -> T) -> T {
        look(&self.directory.read())
    }

    /// Rows of the history between two moments, at most `rows_max`, by time and sensor.
    pub async fn history(
        &self,
        query: &HistoryQuery,
        from: Timestamp,
        to: Timestamp,
        rows_max: u32,
    ) -> Result<Vec<HistoryRow>, StoreError> {
        self.engine.history(query, from, to, rows_max).await
    }

    /// Averages of every room over the windows of the score, at most a second old.
    pub async fn room_means(&self, now: Timestamp) -> Result<Arc<RoomMeans>, StoreError> {
        let mut kept = self.room_means.lock().await;
        if let Some((at, means)) = &*kept
            && (now.millis() - at.millis()).abs() < ROOM_MEANS_AGE_MS_MAX
        {
            return Ok(Arc::clone(means));
        }
        let windows = self.directory(|directory| averaging_windows(directory, now));
        let means = Arc::new(self.engine.room_means(&windows, now).await?);
        *kept = Some((now, Arc::clone(&means)));
        Ok(means)
    }

    /// Where the stream is: the last message that was numbered.
    pub fn position(&self) -> StreamId {
        self.directory(Directory::position)
    }

    /// The readings published with `after < id <= up_to`, in order, at most `rows_max` of them: when
    /// there are that many, the next call goes on after the last. `None` when some reading after
    /// `after` is no longer there, or `after` is not yet given out.
    ///
    /// They are as they were published, except that they name no site and room of the sender's: the
    /// place is the one of that time. `after` may be the id of any message or the beginning of an
    /// epoch. Ids of earlier starts are taken as they are: nobody knows where the notices of a start
    /// that is over ended.
    pub async fn replay(
        &self,
        after: StreamId,
        up_to: StreamId,
        rows_max: u32,
    ) -> Result<Option<Vec<Stored>>, StoreError> {
        let (position, logged, profile) = self.directory(|directory| {
            let profile = directory.profile();
            (directory.position(), directory.logged(), profile)
        });
        if after > position {
            return Ok(None);
        }
        // What is behind `logged` may be on the disk, but is not published yet.
        let up_to = up_to.min(logged);
        let Some(rows) = self.engine.replay(after, up_to, rows_max).await? else {
            return Ok(None);
        };
        let origins: Vec<_> = self.directory(|directory| {
            let origins = rows.iter().map(|row| directory.origin(&row.reading));
            origins.collect()
        });
        let stored = rows.into_iter().zip(origins).map(|(row, origin)| {
            let (sensor, place) = origin.ok_or_else(|| unknown_origin(&row))?;
            Ok(row.stored(sensor, place, profile))
        });
        stored.collect::<Result<_, _>>().map(Some)
    }

    /// Whether the database answers.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.engine.check().await
    }

    /// Closes the database; every call after it fails.
    pub async fn close(&self) {
        self.engine.close().await;
    }
}

fn unknown_origin(row: &LogRow) -> StoreError {
    StoreError::Corrupt {
        table: "log",
        detail: format!("{} is of a sensor or room that is not there", row.id),
    }
}

/// The windows worth asking for: a sensor is asked only for what its latest reading has, and only
/// when that reading lies in the window.
fn averaging_windows(directory: &Directory, now: Timestamp) -> Vec<AveragingWindow> {
    let mut windows = AveragingWindow::all();
    for window in &mut windows {
        let start = window.start(now);
        for sensor in directory.sensors() {
            let latest = &sensor.latest.scored.reading;
            let measures = |quantity: &Quantity| latest.values.has(*quantity);
            if latest.observed_at >= start && window.quantities.iter().any(measures) {
                window.sensors.push(sensor.key);
            }
        }
    }
    windows.retain(|window| !window.sensors.is_empty());
    windows
}

#[cfg(test)]
mod tests;

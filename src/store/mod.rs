//! [`ScoredReading`] → durable rows, and back.
//!
//! Writes go through one queue to one writer, which commits what has gathered as one row of a log and
//! only then answers and publishes (`writer`, `plan`). What is published is numbered in one sequence,
//! together with notices, so that it can be told again ([`Store::replay`]).
//!
//! From the log readings go to chunks, packed by sensor and time, and to roll-ups of them (`keeper`,
//! `settle`, `fold`, `pack`). Until then they are in memory (`recent`), where queries look as well
//! (`history`). What every request needs at once, the sensors and their latest readings, is kept in
//! memory too (`directory`). All of it is what a restart would load (`opening`). The database behind it
//! keeps bytes and knows nothing of readings ([`crate::database::Database`]).

mod aggregate;
mod author;
mod bucket;
mod capacity;
mod counts_in_rooms;
mod directory;
mod erase;
mod fold;
mod history;
mod keeper;
mod latest;
mod log_extent;
mod measures;
mod notice;
mod opening;
mod pace;
mod pack;
mod page;
mod plan;
mod queue;
mod recent;
mod registry;
mod retention;
mod retention_clock;
mod rhythm;
mod room_means;
mod rows;
mod salvage;
mod settle;
mod state;
mod telling;
mod turns;
mod waiting;
mod writer;

pub use author::{Author, Covers};
pub use bucket::Bucket;
pub use counts_in_rooms::{CountInRooms, RoomsOfSensor};
pub use directory::{Directory, LatestReading, SensorEntry};
pub use history::{CHUNK_BYTES_USUAL_MAX, HistoryQuery, HistoryRow, SENSORS_AT_ONCE};
pub use keeper::Keeper;
pub use log_extent::ReplayLimits;
pub use measures::StoreCondition;
pub use notice::{Notice, Published};
pub use pace::Sender;
pub use page::Page;
pub use plan::RegistryLimits;
pub use queue::{AppendError, WriteQueue};
pub use registry::{
    Changed, Kept, NewName, Pin, RegistryChange, RegistryError, RegistryRefusal, Renamed,
    SensorEdit, SensorSettings,
};
pub use retention::{KeptTooShort, Retention};
pub use room_means::RoomMeans;
pub use rows::{BucketRow, Measure, ReadingRow, Statistics};
pub use state::{SensorState, ShownState};
pub use telling::{REFUSALS_TOLD_BYTES_MAX, REFUSALS_TOLD_MAX, Telling};
pub use turns::Party;
pub use writer::{Publish, Writer};

use crate::database::{Batch, ClockRecord, Database, StoreError};
use crate::domain::{Place, Reading, StreamId, Timestamp};
use crate::fault::Rejection;
use crate::score::{Assessment, Profile};
use counts_in_rooms::TimedCounts;
use log_extent::LogExtent;
use measures::Measures;
use parking_lot::{Mutex, RwLock};
use recent::Recent;
use room_means::KeptMeans;
use rows::{CommittedRows, LogRow};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

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
    /// Any of these, but for some of what it says.
    InPart {
        scored: Arc<ScoredReading>,
        became: Became,
        left_out: LeftOut,
    },
    /// Not stored: only the directory could tell that it can't be.
    Refused(Rejection),
    /// Not stored either, but beyond what is told of one batch: the code of its first fault.
    Counted(&'static str),
}

/// What a reading became in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    New,
    Changed,
    Same,
}

/// What of a reading was not taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Extra keys, because with those of the reading it was merged into there are too many.
    pub keys: usize,
    /// The room it names, because a person has said where its sensor stands.
    pub place: bool,
}

impl Outcome {
    fn new(scored: Arc<ScoredReading>, became: Became, left_out: LeftOut) -> Self {
        if left_out != LeftOut::default() {
            return Self::InPart {
                scored,
                became,
                left_out,
            };
        }
        match became {
            Became::New => Self::Accepted(scored),
            Became::Changed => Self::Updated(scored),
            Became::Same => Self::Duplicate(scored),
        }
    }

    /// The reading as it is stored, by this or by an earlier request; `None` when it is not.
    pub fn taken(&self) -> Option<(&Arc<ScoredReading>, Became)> {
        match self {
            Self::Accepted(scored) => Some((scored, Became::New)),
            Self::Updated(scored) => Some((scored, Became::Changed)),
            Self::Duplicate(scored) => Some((scored, Became::Same)),
            Self::InPart { scored, became, .. } => Some((scored, *became)),
            Self::Refused(_) | Self::Counted(_) => None,
        }
    }
}

/// A reading that has just become durable, in the order stored.
#[derive(Debug, Clone)]
pub struct Stored {
    pub id: StreamId,
    pub place: Arc<Place>,
    pub scored: Arc<ScoredReading>,
    /// All of its values are older than the newest of their quantities.
    pub late: bool,
    /// The state of its sensor, where that is not what the reading says alone.
    pub state: Option<Arc<ShownState>>,
}

/// What a database knows of the time.
#[derive(Debug, Clone, Copy)]
struct KnownTime {
    record: Option<ClockRecord>,
    /// The middle one of the times of the sensors' newest readings, so that one wrong clock among many
    /// says nothing; without any, the time of the last start.
    evidence: Option<Timestamp>,
}

/// The reading side of the store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    database: Arc<dyn Database>,
    directory: Arc<RwLock<Directory>>,
    recent: Arc<Recent>,
    log: Arc<Mutex<LogExtent>>,
    room_means: Arc<tokio::sync::Mutex<KeptMeans>>,
    /// How often what is kept of room averages had to be forgotten.
    means_outdated: Arc<AtomicU64>,
    counts_in_rooms: Arc<Mutex<TimedCounts>>,
    /// What was known of the time when it was opened.
    known_time: KnownTime,
    /// The time that retention goes by, in milliseconds.
    certain_ms: Arc<AtomicI64>,
    /// Somebody settles readings in the background.
    is_kept: Arc<AtomicBool>,
    /// Held by whoever changes chunks.
    tidying: Arc<tokio::sync::Mutex<()>>,
    /// Why the last write failed; `None` when it did not.
    fault: Arc<RwLock<Option<&'static str>>>,
    measures: Arc<Measures>,
}

impl Store {
    /// Looks something up in the directory; `look` must be short, writers wait for it.
    pub fn directory<T>(&self, look: impl FnOnce(&Directory) -> T) -> T {
        look(&self.directory.read())
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
        let mut rows = Vec::new();
        let mut from = after;
        while from < up_to && rows.len() < rows_max as usize {
            let part = self.database.log(from, up_to, rows_max).await?;
            if from < part.trimmed_to {
                return Ok(None);
            }
            let Some(last) = part.batches.last() else {
                break;
            };
            from = last.last;
            for batch in &part.batches {
                let unpacked = unpacked(batch, profile)?;
                // The first and the last may have others before and behind. What a person has removed
                // since is told to nobody any more.
                self.directory(|directory| {
                    let wanted = unpacked.rows.into_iter().filter(|row| {
                        after < row.id
                            && row.id <= up_to
                            && !directory.is_gone(&row.reading)
                            && !directory.is_aside(row.reading.sensor)
                    });
                    rows.extend(wanted);
                });
            }
        }
        rows.truncate(rows_max as usize);
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

    /// No later than it is, whatever the clock says: what is over by this time is over. The keeper
    /// takes it from [`retention_clock`].
    pub fn certain_now(&self) -> Timestamp {
        Timestamp::from_millis(self.certain_ms.load(Ordering::Relaxed))
    }

    /// Readings before this may be gone, of which roll-ups still know.
    pub fn readings_from(&self) -> Timestamp {
        self.removed_to()
    }

    /// Readings before this may be gone, so none is shown and none is taken.
    fn removed_to(&self) -> Timestamp {
        self.directory(Directory::removed_to)
    }

    /// From now on readings from before `limit` are neither taken nor shown.
    fn refuse_before(&self, limit: Timestamp) {
        if limit != self.removed_to() {
            self.directory.write().remove_to(limit);
        }
    }

    /// From now on the store takes no readings until it is tried with success; said once.
    fn fails(&self, error: &StoreError) {
        let mut fault = self.fault.write();
        if fault.is_none() {
            tracing::error!(%error, "nothing can be stored");
        }
        *fault = Some(error.reason());
    }

    /// Whether the database answers and takes writes.
    pub async fn check(&self) -> Result<(), StoreError> {
        if let Some(fault) = *self.fault.read() {
            return Err(StoreError::Failing(fault));
        }
        self.database.check().await
    }

    /// Closes the database; every call after it fails.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

fn unpacked(batch: &Batch, profile: Profile) -> Result<CommittedRows, StoreError> {
    pack::unpack_batch(batch.last, &batch.payload, profile)
        .map_err(|error| StoreError::corrupt("log", format!("{}: {error}", batch.last)))
}

fn unknown_origin(row: &LogRow) -> StoreError {
    StoreError::corrupt(
        "log",
        format!("{} is of a sensor or room that is not there", row.id),
    )
}

#[cfg(test)]
mod tests;

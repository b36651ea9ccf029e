//! What a database must be able to do for this product.
//!
//! Little: it keeps texts, integers and packed bytes. What is in the bytes, when they are written
//! and what is read out of them is the same code for every database (`store::pack`, `store::settle`, `store::history`), so
//! the databases cannot differ in it.

mod decode;
mod documents;
mod error;
mod layout;
mod lookup;
mod postgres;
mod registry;
mod series;
mod sql;
mod sqlite;
#[cfg(test)]
pub(crate) mod test_database;
#[cfg(test)]
mod tests;

pub use documents::{
    Document, DocumentChange, DocumentDatabase, DocumentVersions, LoadedDocuments, open_documents,
    prepare_documents,
};
pub use error::StoreError;
pub use postgres::{PostgresDatabase, PostgresDocuments};
pub use registry::{Former, RegistryPatch, RegistryRows};
pub use series::Series;
pub use sqlite::{SqliteDatabase, SqliteDocuments};

use crate::domain::{SensorId, StreamId, Timestamp};
use futures_util::future::BoxFuture;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How a database is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// The one process that writes. Opening fails while there is another.
    Owner,
    /// Anybody who only reads, also while an owner writes.
    Reader,
}

/// Opens the database of a `sqlite://` or `postgres://` URL; an owner creates and migrates it.
pub async fn open(url: &str, mode: OpenMode) -> Result<Arc<dyn Database>, StoreError> {
    if is_postgres(url) {
        Ok(Arc::new(PostgresDatabase::open(url, mode).await?))
    } else {
        Ok(Arc::new(SqliteDatabase::open(url, mode).await?))
    }
}

/// The file of a `sqlite://` URL, absolute; `None` for Postgres.
pub fn file_of(url: &str) -> Result<Option<PathBuf>, StoreError> {
    if is_postgres(url) {
        return Ok(None);
    }
    sqlite::path_of(url).map(Some)
}

/// What the database of a URL is called.
pub fn kind_of(url: &str) -> &'static str {
    if is_postgres(url) {
        "postgres"
    } else {
        "sqlite"
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// A database. All methods may be called at any time from any thread. [`Database::commit`],
/// [`Database::renumber`] and [`Database::check`] return within [`ANSWER_WAIT_MAX`], the others but
/// [`Database::back_up`] and [`Database::close`] within [`WORK_WAIT_MAX`]; when the time is over it is
/// an error that leaves unknown what was done. A write that timed out may still finish later, but never
/// after the next write has begun. A reader's calls that write fail.
pub trait Database: std::fmt::Debug + Send + Sync {
    /// Records a start of the server and returns its number, never given before.
    fn begin_epoch(&self, started_at: Timestamp) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Everything but chunks, and of the log only what is not settled; all of the same moment.
    fn load(&self) -> BoxFuture<'_, Result<Loaded, StoreError>>;

    /// Makes all of it durable, or none. An error may leave it unknown which.
    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Gives the batch behind `after`, of which there is one at most, ids that end with `to`; `false`
    /// when there is none. It always writes something, so that it fails when the database takes no
    /// writes.
    fn renumber(&self, after: StreamId, to: StreamId) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Batches of the log with readings in `after < id <= up_to`, in order, the first of them up to
    /// the one that brings the number of readings to `readings_max`.
    fn log(
        &self,
        after: StreamId,
        up_to: StreamId,
        readings_max: u32,
    ) -> BoxFuture<'_, Result<LogPart, StoreError>>;

    /// Sizes of the batches of the log, in order.
    fn log_sizes(&self) -> BoxFuture<'_, Result<Vec<(StreamId, u32)>, StoreError>>;

    /// Removes the batches that end with `to` or before it, and moves `trimmed_to` there.
    fn trim_log(&self, to: StreamId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// What is known of the chunks that overlap the spans, without their payload: by sensor and
    /// start. With each span comes the last chunk that starts before it, whether it overlaps or not.
    fn chunk_heads<'a>(
        &'a self,
        series: Series,
        spans: &'a [Span],
    ) -> BoxFuture<'a, Result<Vec<ChunkHead>, StoreError>>;

    /// The chunks that overlap the spans, by sensor and start. Spans of one sensor do not overlap; a
    /// chunk that overlaps several of them comes once. `None` when their payloads have more than
    /// `payload_bytes_max`, which then are not read further.
    fn chunks<'a>(
        &'a self,
        series: Series,
        spans: &'a [Span],
        payload_bytes_max: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<Chunk>>, StoreError>>;

    /// Replaces chunks and moves marks, all or nothing.
    fn rewrite<'a>(&'a self, rewrite: &'a Rewrite) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Changes which sensors and rooms there are and what they are called, all or nothing. Doing it
    /// again changes nothing.
    fn change_registry<'a>(
        &'a self,
        patch: &'a RegistryPatch,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Removes chunks that end before `before`, at most `chunks_max` of them; says how many. For
    /// readings it moves `removed_to_ms` there as well.
    fn remove_chunks(
        &self,
        series: Series,
        before: Timestamp,
        chunks_max: u32,
    ) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Puts the time that retention goes by in place of the one before and, when readings from before
    /// another time may be gone than was said, `removed_to_ms`.
    fn put_clock(
        &self,
        clock: ClockRecord,
        removed_to: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Writes a consistent copy to a new SQLite file, while others go on writing. Fails when there is
    /// a file of this name.
    fn back_up<'a>(&'a self, to: &'a Path) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Refuses when its files are not those that it opened. It is not asked and nobody waits; a
    /// database that has no files of its own here has nothing to say.
    fn require_files(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// About how many bytes it takes, with what it has beside its tables.
    fn size_bytes(&self) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Whether it answers.
    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Every call after it fails.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Longest a database may take for one call of [`Database::commit`], [`Database::renumber`] or
/// [`Database::check`].
pub const ANSWER_WAIT_MAX: Duration = Duration::from_millis(1500);

/// Longest a database may take for one call of anything else, but a copy of itself.
pub const WORK_WAIT_MAX: Duration = Duration::from_secs(10);

/// Number of a sensor in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SensorKey(pub i64);

/// Number of a room in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomKey(pub i64);

/// A room with its site, by the names that were kept when it was new. What they are called is decided
/// by whoever reads them (`store::directory`): names had more than one form once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomRow {
    pub key: RoomKey,
    pub site: Box<str>,
    pub room: Box<str>,
}

/// The time that retention goes by, kept over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockRecord {
    /// The time that retention goes by.
    pub trusted: Timestamp,
    /// The clock is further ahead than it may be.
    pub doubt: Option<Doubt>,
}

/// What speaks for a clock that is too far ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// What it said at the last look.
    pub clock: Timestamp,
    /// How long it has run evenly.
    pub even: Duration,
}

/// What a store begins with.
#[derive(Debug)]
pub struct Loaded {
    pub rooms: Vec<RoomRow>,
    pub sensors: Vec<SensorRow>,
    /// Further ones.
    pub damaged: Vec<DamagedSensor>,
    pub sensor_rooms: Vec<(SensorKey, RoomKey)>,
    pub registry: RegistryRows,
    pub marks: Marks,
    /// The log behind `marks.settled_to`.
    pub log: Vec<Batch>,
}

/// A sensor as it was when its readings last went to chunks.
#[derive(Debug, Clone, PartialEq)]
pub struct SensorRow {
    pub key: SensorKey,
    pub id: SensorId,
    pub room: RoomKey,
    pub reading_count: u64,
    /// `None` when nothing of it went there.
    pub settled: Option<SettledSensor>,
}

/// A row of a sensor that nothing valid could have left there, column by column.
#[derive(Debug, Clone, PartialEq)]
pub struct DamagedSensor {
    pub key: SensorKey,
    /// What stands for its id.
    pub id: String,
    pub room: RoomKey,
    reading_count: i64,
    first_ms: Option<i64>,
    latest: Option<Vec<u8>>,
    newest_ms: Option<i64>,
    state: Option<Vec<u8>>,
    /// What is wrong with it.
    pub detail: String,
}

impl DamagedSensor {
    /// A row whose columns could be read, but not what is in them.
    pub fn of(row: SensorRow, detail: String) -> Self {
        let settled = row.settled;
        let first_ms = settled.as_ref().map(|settled| settled.first_seen.millis());
        let newest_at = settled.as_ref().and_then(|settled| settled.newest_at);
        let (latest, state) = settled
            .map(|settled| (settled.latest, settled.state))
            .unzip();
        Self {
            key: row.key,
            id: row.id.as_str().to_owned(),
            room: row.room,
            reading_count: i64::try_from(row.reading_count).unwrap_or(i64::MAX),
            first_ms,
            latest,
            newest_ms: newest_at.map(Timestamp::millis),
            state: state.flatten(),
            detail,
        }
    }
}

/// What chunks have of a sensor.
#[derive(Debug, Clone, PartialEq)]
pub struct SettledSensor {
    pub first_seen: Timestamp,
    /// Its newest reading whose time has come, packed; where there is none, another.
    pub latest: Vec<u8>,
    /// Time of its newest reading; `None` when it is that of `latest`.
    pub newest_at: Option<Timestamp>,
    /// What it measures, packed; `None` in what earlier versions wrote.
    pub state: Option<Vec<u8>>,
}

/// How far the store has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// The log up to here is in chunks.
    pub settled_to: StreamId,
    /// The log up to here may be gone.
    pub trimmed_to: StreamId,
    /// Readings before this time may be gone.
    pub removed_to: Timestamp,
    /// The time that retention goes by; `None` in a database that had none yet.
    pub clock: Option<ClockRecord>,
    /// When the server was started before this time.
    pub started_before: Option<Timestamp>,
}

/// One row of the log: the readings of one commit, packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Id of its last reading. The others have the ids right before.
    pub last: StreamId,
    pub readings: u32,
    pub payload: Vec<u8>,
}

/// What one transaction adds.
#[derive(Debug, Default)]
pub struct Commit {
    /// Rooms seen for the first time, with their sites.
    pub rooms: Vec<RoomRow>,
    /// Sensors seen for the first time.
    pub sensors: Vec<(SensorKey, SensorId, RoomKey)>,
    /// Sensors seen in a room for the first time.
    pub sensor_rooms: Vec<(SensorKey, RoomKey)>,
    /// Sensors that were removed and send readings again.
    pub returned: Vec<SensorKey>,
    pub batch: Option<Batch>,
}

impl Commit {
    /// Whether it adds more than a batch.
    fn has_new_places(&self) -> bool {
        !(self.rooms.is_empty()
            && self.sensors.is_empty()
            && self.sensor_rooms.is_empty()
            && self.returned.is_empty())
    }
}

/// Part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    /// Where the log began when it was read.
    pub trimmed_to: StreamId,
    pub batches: Vec<Batch>,
}

/// A time of one sensor, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub sensor: SensorKey,
    pub first: Timestamp,
    pub last: Timestamp,
}

/// A chunk without what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkHead {
    pub sensor: SensorKey,
    /// Time of its first row.
    pub start: Timestamp,
    /// Time of its last row.
    pub end: Timestamp,
    pub rows: u32,
}

/// Rows of one sensor, packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub head: ChunkHead,
    pub payload: Vec<u8>,
}

/// What settling changes.
#[derive(Debug, Default)]
pub struct Rewrite {
    /// Chunks that go, by their starts.
    pub removed: Vec<(Series, SensorKey, Timestamp)>,
    /// Chunks that come; their starts may be those of chunks that go.
    pub written: Vec<(Series, Chunk)>,
    /// Sensors as they are now.
    pub sensors: Vec<SensorRow>,
    /// Where `settled_to` moves.
    pub settled_to: Option<StreamId>,
}

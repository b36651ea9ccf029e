//! Rows of either database, checked on the way in.

use super::registry::{RegistryColumns, name_of_before};
use super::{
    Batch, Chunk, ChunkHead, DamagedSensor, Document, DocumentVersions, Loaded, LoadedDocuments,
    LogPart, Marks, SensorRow, SettledSensor, StoreError,
};
use crate::database::{ClockRecord, Doubt, RoomKey, RoomRow, SensorKey};
use crate::domain::{SensorId, StreamId, Timestamp};
use futures_util::{Stream, TryStreamExt};
use sqlx::Database;
use std::time::Duration;

/// A text as it is stored, whose bytes may be damaged: what of them is no UTF-8 is U+FFFD here.
#[derive(Debug)]
pub(super) struct Text(pub(super) String);

impl<D: Database> sqlx::Type<D> for Text
where
    str: sqlx::Type<D>,
{
    fn type_info() -> D::TypeInfo {
        <str as sqlx::Type<D>>::type_info()
    }

    fn compatible(kind: &D::TypeInfo) -> bool {
        <str as sqlx::Type<D>>::compatible(kind)
    }
}

impl<'r, D: Database> sqlx::Decode<'r, D> for Text
where
    &'r [u8]: sqlx::Decode<'r, D>,
{
    fn decode(value: D::ValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        let bytes = <&[u8]>::decode(value)?;
        Ok(Self(String::from_utf8_lossy(bytes).into_owned()))
    }
}

/// Key, site and name of a room.
pub(super) type RoomColumns = (i64, Text, Text);
/// Key, id, room, number of readings, time of the first reading, the latest reading, the time of the
/// newest and the state.
pub(super) type SensorColumns = (
    i64,
    Text,
    i64,
    i64,
    Option<i64>,
    Option<Vec<u8>>,
    Option<i64>,
    Option<Vec<u8>>,
);
/// `settled_to`, `trimmed_to`, `removed_to_ms`, `trusted_ms`, `doubted_ms`, `even_ms`, and when the
/// server was started before.
pub(super) type MarkColumns = (
    i64,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);
/// Last id, number of readings and payload.
pub(super) type BatchColumns = (i64, i64, Vec<u8>);
/// `trimmed_to`, and a batch if there is one.
pub(super) type LogColumns = (i64, Option<i64>, Option<i64>, Option<Vec<u8>>);
/// Sensor, start, end and number of rows.
pub(super) type HeadColumns = (i64, i64, i64, i64);
/// A kind and its version.
pub(super) type VersionColumns = (String, i64);
/// Kind, id and body of a document.
pub(super) type DocumentColumns = (String, String, String);
/// A kind, its version, and a document of it if there is one: id and body.
pub(super) type LoadedDocumentColumns = (String, i64, Option<String>, Option<String>);
/// A head and its payload.
pub(super) type ChunkColumns = (i64, i64, i64, i64, Vec<u8>);

/// The versions of `kinds`: 0 for a kind that never changed.
pub(super) fn document_versions(kinds: &[&str], rows: Vec<VersionColumns>) -> DocumentVersions {
    let mut versions: DocumentVersions = kinds.iter().map(|kind| ((*kind).into(), 0)).collect();
    for (kind, version) in rows {
        if let Some(asked) = versions.get_mut(&kind) {
            *asked = version;
        }
    }
    versions
}

pub(super) fn document((kind, id, body): DocumentColumns) -> Document {
    Document { kind, id, body }
}

pub(super) fn documents(rows: Vec<LoadedDocumentColumns>) -> LoadedDocuments {
    let mut loaded = LoadedDocuments::default();
    for (kind, version, id, body) in rows {
        loaded.versions.insert(kind.clone(), version);
        if let (Some(id), Some(body)) = (id, body) {
            loaded.documents.push(Document { kind, id, body });
        }
    }
    loaded
}

/// A room; one whose names are none, because no server ever took such, is called by what is left of
/// them.
pub(super) fn room((key, site, room): RoomColumns) -> RoomRow {
    let name = |Text(text): Text| -> Box<str> {
        let text = name_of_before(&text).map_or(text.clone(), str::to_owned);
        let is_damaged = text.is_empty() || text.chars().any(char::is_control);
        if !is_damaged {
            return text.into();
        }
        let left: String = text.chars().filter(|one| !one.is_control()).collect();
        let left = if left.is_empty() {
            format!("#{key}")
        } else {
            left
        };
        tracing::error!(key, name = ?text, called = left, "the name of a room or its site is damaged");
        left.into()
    };
    RoomRow {
        key: RoomKey(key),
        site: name(site),
        room: name(room),
    }
}

pub(super) fn sensor(columns: SensorColumns) -> Result<SensorRow, DamagedSensor> {
    let (key, Text(id), room, count, first_ms, latest, newest_ms, state) = columns;
    let detail = match (
        SensorId::parse(&id),
        u64::try_from(count),
        first_ms,
        &latest,
    ) {
        (Err(error), ..) => format!("sensor_id {error}"),
        (_, Err(_negative), ..) => format!("reading_count is {count}"),
        (_, _, Some(_), None) => "first_ms without latest".to_owned(),
        (_, _, None, Some(_)) => "latest without first_ms".to_owned(),
        (Ok(id), Ok(reading_count), ..) => {
            let settled = first_ms
                .zip(latest)
                .map(|(first_ms, latest)| SettledSensor {
                    first_seen: Timestamp::from_millis(first_ms),
                    latest,
                    newest_at: newest_ms.map(Timestamp::from_millis),
                    state,
                });
            return Ok(SensorRow {
                key: SensorKey(key),
                id,
                room: RoomKey(room),
                reading_count,
                settled,
            });
        }
    };
    Err(DamagedSensor {
        key: SensorKey(key),
        id,
        room: RoomKey(room),
        reading_count: count,
        first_ms,
        latest,
        newest_ms,
        state,
        detail,
    })
}

pub(super) fn sensor_room((sensor, room): (i64, i64)) -> (SensorKey, RoomKey) {
    (SensorKey(sensor), RoomKey(room))
}

pub(super) fn marks(row: Option<MarkColumns>) -> Result<Marks, StoreError> {
    let (settled_to, trimmed_to, removed_to_ms, trusted_ms, doubted_ms, even_ms, started_ms) =
        row.ok_or_else(no_marks)?;
    let doubt = match (doubted_ms, even_ms) {
        (Some(doubted_ms), Some(even_ms)) => Some(Doubt {
            clock: Timestamp::from_millis(doubted_ms),
            even: u64::try_from(even_ms)
                .map(Duration::from_millis)
                .map_err(|_negative| corrupt("marks", format!("even_ms {even_ms}")))?,
        }),
        _ => None,
    };
    Ok(Marks {
        settled_to: stream_id("marks", settled_to)?,
        trimmed_to: stream_id("marks", trimmed_to)?,
        removed_to: Timestamp::from_millis(removed_to_ms),
        clock: trusted_ms.map(|trusted_ms| ClockRecord {
            trusted: Timestamp::from_millis(trusted_ms),
            doubt,
        }),
        started_before: started_ms.map(Timestamp::from_millis),
    })
}

pub(super) fn batch((last_id, readings, payload): BatchColumns) -> Result<Batch, StoreError> {
    let (last, readings) = batch_size((last_id, readings))?;
    Ok(Batch {
        last,
        readings,
        payload,
    })
}

pub(super) fn batch_size((last_id, readings): (i64, i64)) -> Result<(StreamId, u32), StoreError> {
    let last = stream_id("log", last_id)?;
    let count = positive("log", "readings", readings)?;
    if u64::from(count) > last.sequence {
        let detail = format!("{count} readings that end with {last}");
        return Err(corrupt("log", detail));
    }
    Ok((last, count))
}

pub(super) fn log_part(rows: Vec<LogColumns>) -> Result<LogPart, StoreError> {
    let Some((trimmed_to, ..)) = rows.first() else {
        return Err(no_marks());
    };
    let trimmed_to = stream_id("marks", *trimmed_to)?;
    let mut batches = Vec::with_capacity(rows.len());
    for row in rows {
        if let (_, Some(last_id), Some(readings), Some(payload)) = row {
            batches.push(batch((last_id, readings, payload))?);
        }
    }
    Ok(LogPart {
        trimmed_to,
        batches,
    })
}

pub(super) fn head((sensor, start, end, rows): HeadColumns) -> Result<ChunkHead, StoreError> {
    if end < start {
        return Err(corrupt("chunks", format!("from {start} to {end}")));
    }
    Ok(ChunkHead {
        sensor: SensorKey(sensor),
        start: Timestamp::from_millis(start),
        end: Timestamp::from_millis(end),
        rows: positive("chunks", "rows", rows)?,
    })
}

pub(super) fn chunk(columns: ChunkColumns) -> Result<Chunk, StoreError> {
    let (sensor, start, end, rows, payload) = columns;
    Ok(Chunk {
        head: head((sensor, start, end, rows))?,
        payload,
    })
}

/// Chunks by sensor and start. They come in this order already, but nothing promises it, and the
/// databases would sort the payloads.
///
/// `None` when the payloads have more than `payload_bytes_max`.
pub(super) async fn chunks(
    mut rows: impl Stream<Item = Result<ChunkColumns, sqlx::Error>> + Unpin,
    payload_bytes_max: usize,
) -> Result<Option<Vec<Chunk>>, StoreError> {
    let mut chunks = Vec::new();
    let mut payload_bytes = 0;
    while let Some(row) = rows.try_next().await? {
        let chunk = chunk(row)?;
        payload_bytes += chunk.payload.len();
        if payload_bytes > payload_bytes_max {
            return Ok(None);
        }
        chunks.push(chunk);
    }
    chunks.sort_by_key(|chunk| (chunk.head.sensor, chunk.head.start));
    Ok(Some(chunks))
}

/// Everything a store begins with.
pub(super) fn loaded(
    rooms: Vec<RoomColumns>,
    sensors: Vec<SensorColumns>,
    sensor_rooms: Vec<(i64, i64)>,
    registry: RegistryColumns,
    mark_row: Option<MarkColumns>,
    log: Vec<BatchColumns>,
) -> Result<Loaded, StoreError> {
    let (mut whole, mut damaged) = (Vec::with_capacity(sensors.len()), Vec::new());
    for columns in sensors {
        match sensor(columns) {
            Ok(row) => whole.push(row),
            Err(row) => damaged.push(row),
        }
    }
    Ok(Loaded {
        rooms: rooms.into_iter().map(room).collect(),
        sensors: whole,
        damaged,
        sensor_rooms: sensor_rooms.into_iter().map(sensor_room).collect(),
        registry: registry.decoded()?,
        marks: marks(mark_row)?,
        log: log.into_iter().map(batch).collect::<Result<_, _>>()?,
    })
}

/// The number of a start of the server.
pub(super) fn epoch(number: i64) -> Result<u64, StoreError> {
    match u64::try_from(number) {
        Ok(epoch) if epoch <= StreamId::EPOCH_MAX => Ok(epoch),
        _ => Err(corrupt("stream_epochs", format!("epoch {number}"))),
    }
}

pub(super) fn no_marks() -> StoreError {
    corrupt("marks", "no row".into())
}

/// A record of the clock as columns: `trusted_ms`, `doubted_ms` and `even_ms`.
pub(super) fn clock_columns(clock: ClockRecord) -> (i64, Option<i64>, Option<i64>) {
    let doubt = clock.doubt;
    (
        clock.trusted.millis(),
        doubt.map(|doubt| doubt.clock.millis()),
        doubt.map(|doubt| i64::try_from(doubt.even.as_millis()).unwrap_or(i64::MAX)),
    )
}

pub(super) fn corrupt(table: &'static str, detail: String) -> StoreError {
    StoreError::Corrupt { table, detail }
}

fn stream_id(table: &'static str, packed: i64) -> Result<StreamId, StoreError> {
    StreamId::from_i64(packed).ok_or_else(|| corrupt(table, format!("id {packed}")))
}

fn positive(table: &'static str, column: &str, number: i64) -> Result<u32, StoreError> {
    match u32::try_from(number) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(corrupt(table, format!("{column} {number}"))),
    }
}

//! Sensors out of the database, those too whose rows cannot be read.
//!
//! One damaged row is no reason not to start. What a row says besides the id follows from the chunks of
//! its sensor; where they cannot be read either, or the id is none, the sensor is set aside: nobody is
//! shown it, nothing of it is taken, and what is stored of it stays as it is.

use super::directory::KnownSensor;
use super::fold::unpacked;
use super::pack;
use super::rows::ReadingRow;
use crate::database::{
    DamagedSensor, Database, Loaded, RoomKey, SensorKey, SensorRow, Series, Span, StoreError,
};
use crate::domain::{SensorId, StreamId, Timestamp};
use rustc_hash::FxHashSet;

/// All sensors of a database.
#[derive(Debug, Default)]
pub(super) struct Sensors {
    /// Each with the last event that its state includes.
    pub(super) known: Vec<(KnownSensor, Option<StreamId>)>,
    pub(super) aside: Vec<AsideSensor>,
}

/// A sensor that cannot be used.
#[derive(Debug)]
pub(super) struct AsideSensor {
    pub(super) key: SensorKey,
    /// `None` when what stands for it is no id.
    pub(super) id: Option<SensorId>,
    /// Whether readings can be put to those that it has.
    pub(super) has_readable_chunks: bool,
}

/// What the chunks say of a sensor.
enum Chunks {
    None,
    /// Their newest reading in a room that there is, if there is any, and what they have in all.
    Readable {
        latest: Option<ReadingRow>,
        first: Timestamp,
        last: Timestamp,
        readings: u64,
    },
    Damaged(StoreError),
}

/// Takes the sensors out of what was loaded.
pub(super) async fn sensors(
    database: &dyn Database,
    loaded: &mut Loaded,
) -> Result<Sensors, StoreError> {
    let rooms: FxHashSet<RoomKey> = loaded.rooms.iter().map(|room| room.key).collect();
    let mut sensors = Sensors::default();
    let mut damaged = std::mem::take(&mut loaded.damaged);
    for row in std::mem::take(&mut loaded.sensors) {
        match settled(&row, &rooms) {
            Ok(known) => sensors.known.push(known),
            Err(detail) => damaged.push(DamagedSensor::of(row, detail)),
        }
    }
    for row in damaged {
        salvage(database, row, &rooms, &mut sensors).await?;
    }
    Ok(sensors)
}

/// A sensor as it was when it was settled, and the last event that its state includes.
fn settled(
    row: &SensorRow,
    rooms: &FxHashSet<RoomKey>,
) -> Result<(KnownSensor, Option<StreamId>), String> {
    let settled = row.settled.as_ref();
    let latest = settled.map(|settled| pack::unpack_latest(row.key, &settled.latest));
    let latest = latest
        .transpose()
        .map_err(|error| format!("latest: {error}"))?;
    let room = latest.as_ref().map_or(row.room, |latest| latest.room);
    if !rooms.contains(&room) {
        return Err(format!("there is no room {}", room.0));
    }
    let state = settled.and_then(|settled| settled.state.as_deref());
    let kept = state.and_then(|state| match pack::unpack_state(state) {
        Ok(kept) => Some(kept),
        Err(error) => {
            let sensor_id = row.id.as_str();
            tracing::error!(sensor_id, %error, "the state of a sensor cannot be read: it is made again");
            None
        }
    });
    let as_of = kept.as_ref().map(|kept| kept.as_of);
    let kept = kept.filter(|kept| !kept.is_partial);
    let known = KnownSensor {
        key: row.key,
        id: row.id.clone(),
        room: row.room,
        reading_count: row.reading_count,
        first_seen: settled.map(|settled| settled.first_seen),
        latest,
        newest_at: settled.and_then(|settled| settled.newest_at),
        state: kept.map(|kept| kept.state),
    };
    Ok((known, as_of))
}

async fn salvage(
    database: &dyn Database,
    row: DamagedSensor,
    rooms: &FxHashSet<RoomKey>,
    sensors: &mut Sensors,
) -> Result<(), StoreError> {
    let DamagedSensor {
        key,
        room,
        detail,
        id: sensor_id,
        ..
    } = row;
    let id = SensorId::parse(&sensor_id).ok();
    let chunks = chunks_of(database, key, rooms).await?;
    let known = id
        .clone()
        .and_then(|id| known(key, id, room, rooms, &chunks));
    if let Some(known) = known {
        tracing::error!(
            key = key.0,
            sensor_id,
            detail,
            "the row of a sensor cannot be read: what it says is made again of its readings"
        );
        sensors.known.push((known, None));
        return Ok(());
    }
    let chunks_error = match &chunks {
        Chunks::Damaged(error) => Some(error.to_string()),
        _ => None,
    };
    tracing::error!(
        key = key.0,
        sensor_id,
        detail,
        chunks_error,
        "the row of a sensor cannot be read: it is set aside, and its readings stay in the database"
    );
    sensors.aside.push(AsideSensor {
        key,
        id,
        has_readable_chunks: chunks_error.is_none(),
    });
    Ok(())
}

fn known(
    key: SensorKey,
    id: SensorId,
    room: RoomKey,
    rooms: &FxHashSet<RoomKey>,
    chunks: &Chunks,
) -> Option<KnownSensor> {
    let empty = KnownSensor {
        key,
        id,
        room,
        reading_count: 0,
        first_seen: None,
        latest: None,
        newest_at: None,
        state: None,
    };
    match chunks {
        Chunks::None => rooms.contains(&room).then_some(empty),
        Chunks::Readable {
            latest: Some(latest),
            first,
            last,
            readings,
        } => Some(KnownSensor {
            room: latest.room,
            reading_count: *readings,
            first_seen: Some(*first),
            latest: Some(latest.clone()),
            newest_at: Some(*last),
            ..empty
        }),
        _ => None,
    }
}

async fn chunks_of(
    database: &dyn Database,
    sensor: SensorKey,
    rooms: &FxHashSet<RoomKey>,
) -> Result<Chunks, StoreError> {
    match readable_chunks(database, sensor, rooms).await {
        Err(error @ StoreError::Corrupt { .. }) => Ok(Chunks::Damaged(error)),
        result => result,
    }
}

async fn readable_chunks(
    database: &dyn Database,
    sensor: SensorKey,
    rooms: &FxHashSet<RoomKey>,
) -> Result<Chunks, StoreError> {
    let all = Span {
        sensor,
        first: Timestamp::from_millis(i64::MIN),
        last: Timestamp::from_millis(i64::MAX),
    };
    let heads = database.chunk_heads(Series::Readings, &[all]).await?;
    let (Some(first), Some(last)) = (heads.first(), heads.last()) else {
        return Ok(Chunks::None);
    };
    let newest = Span {
        sensor,
        first: last.start,
        last: last.start,
    };
    let chunks = database
        .chunks(Series::Readings, &[newest], usize::MAX)
        .await?;
    let mut latest = None;
    for chunk in chunks.unwrap_or_default() {
        let rows: Vec<ReadingRow> = unpacked(&chunk, chunk.head.start, chunk.head.end)?;
        let mut rows = rows.into_iter().rev();
        latest = rows.find(|row| rooms.contains(&row.room)).or(latest);
    }
    Ok(Chunks::Readable {
        latest,
        first: first.start,
        last: last.end,
        readings: heads.iter().map(|head| u64::from(head.rows)).sum(),
    })
}

//! What every database must do, and what one of them does besides.

mod backup;
mod chunks;
mod documents;
mod log;
mod opening;
mod postgres;
mod sqlite;
mod writing;

use super::test_database::{Kind, TestDatabase};
use super::{
    Batch, Chunk, ChunkHead, Commit, Database, Marks, OpenMode, Rewrite, SensorRow, SettledSensor,
    Span, StoreError,
};
use crate::database::{RoomKey, RoomRow, SensorKey, Series};
use crate::domain::{SensorId, StreamId, Timestamp};

fn id(sequence: u64) -> StreamId {
    StreamId { epoch: 1, sequence }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn room(key: i64, site: &str, room: &str) -> RoomRow {
    RoomRow {
        key: RoomKey(key),
        site: site.into(),
        room: room.into(),
    }
}

fn sensor_id(text: &str) -> SensorId {
    SensorId::parse(text).unwrap()
}

fn batch(last: u64, readings: u32) -> Batch {
    Batch {
        last: id(last),
        readings,
        payload: format!("{last}/{readings}\0").into_bytes(),
    }
}

/// A commit of nothing but a batch.
fn appending(last: u64, readings: u32) -> Commit {
    Commit {
        batch: Some(batch(last, readings)),
        ..Commit::default()
    }
}

/// Two rooms of one site with the sensors 1 to 3.
fn places() -> Commit {
    Commit {
        rooms: vec![room(1, "Maison", "Bureau"), room(2, "Maison", "Grenier")],
        sensors: vec![
            (SensorKey(1), sensor_id("a"), RoomKey(1)),
            (SensorKey(2), sensor_id("b"), RoomKey(2)),
            (SensorKey(3), sensor_id("c"), RoomKey(2)),
        ],
        sensor_rooms: vec![
            (SensorKey(1), RoomKey(1)),
            (SensorKey(1), RoomKey(2)),
            (SensorKey(2), RoomKey(2)),
            (SensorKey(3), RoomKey(2)),
        ],
        returned: Vec::new(),
        batch: None,
    }
}

fn new_sensor(key: i64, name: &str, room: i64) -> SensorRow {
    SensorRow {
        key: SensorKey(key),
        id: sensor_id(name),
        room: RoomKey(room),
        reading_count: 0,
        settled: None,
    }
}

fn chunk(sensor: i64, start: i64, end: i64) -> Chunk {
    Chunk {
        head: ChunkHead {
            sensor: SensorKey(sensor),
            start: at(start),
            end: at(end),
            rows: 7,
        },
        payload: format!("{sensor}: {start}..{end}\0").into_bytes(),
    }
}

fn span(sensor: i64, first: i64, last: i64) -> Span {
    Span {
        sensor: SensorKey(sensor),
        first: at(first),
        last: at(last),
    }
}

/// Every chunk of every sensor.
const EVERYTHING: [(i64, i64, i64); 3] = [
    (1, i64::MIN, i64::MAX),
    (2, i64::MIN, i64::MAX),
    (3, i64::MIN, i64::MAX),
];

fn spans(spans: &[(i64, i64, i64)]) -> Vec<Span> {
    let spans = spans.iter();
    spans
        .map(|(sensor, first, last)| span(*sensor, *first, *last))
        .collect()
}

/// A database with the places.
async fn filled(test: &TestDatabase) -> std::sync::Arc<dyn Database> {
    let database = test.open().await;
    database.commit(&places()).await.unwrap();
    database
}

async fn write(database: &dyn Database, written: Vec<(Series, Chunk)>) {
    let rewrite = Rewrite {
        written,
        ..Rewrite::default()
    };
    database.rewrite(&rewrite).await.unwrap();
}

async fn log_lasts(database: &dyn Database) -> Vec<u64> {
    let sizes = database.log_sizes().await.unwrap();
    sizes.iter().map(|(last, _)| last.sequence).collect()
}

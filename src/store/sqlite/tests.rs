//! Databases of earlier versions, and a commit that nobody hears of.

use super::*;
use crate::domain::Quantity;
use crate::store::engine::SensorCounters;
use crate::store::{RoomKey, StreamId};
use pretty_assertions::assert_eq;
use sqlx::Connection;

/// A database as the version before the log left it, with arrivals that are in no other table.
const UNSETTLED: &str = "
    insert into sites (key, name) values (1, 'Maison');
    insert into rooms (key, site_key, name) values (1, 1, 'Bureau'), (2, 1, 'Grenier');
    insert into sensors (key, sensor_id, room_key, reading_count, period_ms)
    values (1, 'a', 1, 1, null), (2, 'b', 1, 0, null);
    insert into sensor_rooms (sensor_key, room_key) values (1, 1), (1, 2), (2, 1);
    insert into readings (sensor_key, observed_ms, room_key, flags, co2, extras)
    values (1, 1000, 1, 0, 500.5, null);
    insert into arrivals (
        sensor_key, observed_ms, room_key, flags, co2, light, extras,
        sensor_room_key, sensor_reading_count, sensor_period_ms
    ) values
        (1, 3000, 2, 1, 600, null, null, 2, 2, 2000),
        (2, 1000, 1, 0, 700, null, '{\"x\":1.5}', 1, 1, null),
        (1, 1000, 1, 0, 501, 9.25, null, 2, 2, 2000),
        (1, 3000, 2, 0, 601, null, null, 2, 2, 2000);
    insert into stream_epochs (started_ms) values (10), (20), (30);";

#[tokio::test]
async fn a_database_without_a_log_loses_nothing_and_replays_what_comes() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("test.db").display());
    let options = SqliteConnectOptions::from_str(&url).unwrap();
    let options = options.create_if_missing(true);
    let mut old = SqliteConnection::connect_with(&options).await.unwrap();
    MIGRATIONS.run_to(1, &mut old).await.unwrap();
    sqlx::query(UNSETTLED).execute(&mut old).await.unwrap();
    old.close().await.unwrap();

    let engine = SqliteEngine::open(&url, ReplayLimits::default())
        .await
        .unwrap();
    let epoch = engine
        .begin_epoch(Timestamp::from_millis(40))
        .await
        .unwrap();
    assert_eq!(epoch, 4);
    let mut snapshot = engine.load().await.unwrap();
    snapshot.sensors.sort_by_key(|sensor| sensor.key);
    let sensors: Vec<_> = snapshot
        .sensors
        .iter()
        .map(|sensor| (sensor.room.0, sensor.reading_count, sensor.period_ms))
        .collect();
    assert_eq!(sensors, [(2, 2, Some(2000.0)), (1, 1, None)]);
    let identities = [(1, 1000), (1, 3000), (2, 1000)]
        .map(|(sensor, at)| (SensorKey(sensor), Timestamp::from_millis(at)));
    let rows = engine.find(&identities).await.unwrap();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let values: Vec<_> = row.values.iter().map(|(_, number)| number).collect();
            let extras: Vec<_> = row.extras.iter().collect();
            (row.room.0, row.tvoc_unit_assumed, values, extras)
        })
        .collect();
    assert_eq!(
        rows,
        [
            (1, false, vec![501.0, 9.25], vec![]),
            (2, false, vec![601.0], vec![]),
            (1, false, vec![700.0], vec![("x", 1.5)]),
        ]
    );

    // What earlier starts published is not known.
    let id = |epoch, sequence| StreamId { epoch, sequence };
    let end = id(4, 9);
    for before in [id(0, 0), id(1, 5), id(3, 0), id(3, 70_000)] {
        assert_eq!(engine.replay(before, end, 10).await.unwrap(), None);
    }
    assert_eq!(
        engine.replay(id(4, 0), end, 10).await.unwrap(),
        Some(vec![])
    );
    let row = arrival(id(4, 3));
    engine.commit(&changes(row.clone())).await.unwrap();
    let replayed = engine.replay(id(4, 0), end, 10).await.unwrap();
    assert_eq!(replayed, Some(vec![row]));
    engine.close().await;
}

fn arrival(id: StreamId) -> LogRow {
    let mut values = crate::domain::Values::default();
    assert!(values.set(Quantity::Tvoc, 40.0));
    LogRow {
        id,
        late: true,
        reading: ReadingRow {
            sensor: SensorKey(1),
            observed_at: Timestamp::from_millis(2000),
            room: RoomKey(1),
            values,
            extras: crate::domain::Extras::default(),
            tvoc_unit_assumed: true,
        },
    }
}

fn changes(row: LogRow) -> Changes {
    Changes {
        counters: vec![SensorCounters {
            sensor: row.reading.sensor,
            room: RoomKey(2),
            reading_count: 3,
            period_ms: Some(2000.0),
        }],
        readings: vec![row],
        ..Changes::default()
    }
}

impl SqliteEngine {
    /// What a commit does that reaches the disk and fails all the same.
    pub(in crate::store) async fn commit_unheard(&self, changes: &Changes) {
        let connection = &mut self.writing().await.unwrap().connection;
        let result = write::commit(connection, &self.statements, changes).await;
        result.unwrap();
        let rows = changes.readings.len();
        self.unsettled.fetch_add(rows, Ordering::AcqRel);
    }
}

#[tokio::test]
async fn a_commit_that_fails_may_have_left_something_to_settle() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("test.db").display());
    let engine = SqliteEngine::open(&url, ReplayLimits::default())
        .await
        .unwrap();
    let id = |sequence| StreamId { epoch: 1, sequence };
    engine.commit(&changes(arrival(id(1)))).await.unwrap();
    engine.settle().await.unwrap();
    // Ids are given out once.
    assert!(engine.commit(&changes(arrival(id(1)))).await.is_err());
    assert_eq!(engine.unsettled.load(Ordering::Acquire), 1);
    engine.commit(&changes(arrival(id(2)))).await.unwrap();
    let log = engine.replay(id(0), id(9), 9).await.unwrap();
    assert_eq!(log, Some(vec![arrival(id(1)), arrival(id(2))]));
    engine.close().await;
}

#[tokio::test]
async fn a_query_that_is_given_up_while_it_settles_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("test.db").display());
    let engine = SqliteEngine::open(&url, ReplayLimits { readings_kept: 3 })
        .await
        .unwrap();
    for sequence in 1..=200 {
        let mut row = arrival(StreamId { epoch: 1, sequence });
        row.reading.observed_at = Timestamp::from_millis(i64::try_from(sequence).unwrap());
        engine.commit(&changes(row)).await.unwrap();
        let soon = tokio::time::sleep(Duration::from_micros(10 * sequence));
        tokio::select! {
            result = engine.settle() => result.unwrap(),
            () = soon => {}
        }
    }
    engine.settle().await.unwrap();
    let rows: i64 = sqlx::query_scalar("select count(*) from readings")
        .fetch_one(&engine.readers)
        .await
        .unwrap();
    assert_eq!(rows, 200);
    engine.close().await;
}

#[tokio::test]
async fn that_a_reading_was_late_stays_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("test.db").display());
    let engine = SqliteEngine::open(&url, ReplayLimits::default())
        .await
        .unwrap();
    let id = StreamId {
        epoch: 1,
        sequence: 1,
    };
    engine.commit(&changes(arrival(id))).await.unwrap();
    engine.settle().await.unwrap();
    let flags: i64 = sqlx::query_scalar("select flags from readings")
        .fetch_one(&engine.readers)
        .await
        .unwrap();
    assert_eq!(flags, write::TVOC_UNIT_ASSUMED);
    engine.close().await;
}

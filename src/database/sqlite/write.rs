//! What changes the database. All of it runs on the one connection that writes, and leaves a
//! transaction open when it fails in the middle: its caller rolls back.

use crate::database::decode::{clock_columns, corrupt};
use crate::database::registry;
use crate::database::sql::PUT_CLOCK;
use crate::database::{
    Batch, Chunk, ClockRecord, Commit, RegistryPatch, Rewrite, RoomKey, RoomRow, SensorKey,
    SensorRow, Series, StoreError,
};
use crate::domain::{StreamId, Timestamp};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;
use std::sync::LazyLock;

/// Sensors that one statement updates.
const SENSORS_PER_STATEMENT: usize = 32;

pub(super) async fn begin_epoch(
    connection: &mut SqliteConnection,
    started_at: Timestamp,
) -> Result<i64, StoreError> {
    // The row comes before a statement on its own is committed, and nobody would hear of that failing.
    begin(connection).await?;
    let epoch =
        sqlx::query_scalar("insert into stream_epochs (started_ms) values ($1) returning epoch")
            .bind(started_at.millis())
            .fetch_one(&mut *connection)
            .await?;
    end(connection).await?;
    Ok(epoch)
}

pub(super) async fn commit(
    connection: &mut SqliteConnection,
    commit: &Commit,
) -> Result<(), StoreError> {
    if !commit.has_new_places() {
        return append(connection, commit.batch.as_ref()).await;
    }
    begin(connection).await?;
    add_places(
        connection,
        &commit.rooms,
        &commit.sensors,
        &commit.sensor_rooms,
    )
    .await?;
    bring_back(connection, &commit.returned).await?;
    append(connection, commit.batch.as_ref()).await?;
    end(connection).await
}

pub(super) async fn append(
    connection: &mut SqliteConnection,
    batch: Option<&Batch>,
) -> Result<(), StoreError> {
    let Some(batch) = batch else { return Ok(()) };
    sqlx::query("insert into log (last_id, readings, payload) values ($1, $2, $3)")
        .bind(batch.last.to_i64())
        .bind(batch.readings)
        .bind(batch.payload.as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn add_places(
    connection: &mut SqliteConnection,
    rooms: &[RoomRow],
    sensors: &[(SensorKey, crate::domain::SensorId, RoomKey)],
    sensor_rooms: &[(SensorKey, RoomKey)],
) -> Result<(), StoreError> {
    let rooms: Vec<_> = rooms
        .iter()
        .map(|room| (room.key.0, &*room.site, &*room.room))
        .collect();
    let sensors: Vec<_> = sensors
        .iter()
        .map(|(key, id, room)| (key.0, id.as_str(), room.0))
        .collect();
    let sensor_rooms: Vec<_> = sensor_rooms
        .iter()
        .map(|(sensor, room)| (sensor.0, room.0))
        .collect();
    sqlx::query(
        "insert into sites (name)
        select distinct value ->> 1 from json_each($1) where true
        on conflict do nothing;
        insert into rooms (key, site_key, name)
        select value ->> 0, sites.key, value ->> 2
        from json_each($1) join sites on sites.name = value ->> 1;
        insert into sensors (key, sensor_id, room_key, reading_count)
        select value ->> 0, value ->> 1, value ->> 2, 0 from json_each($2);
        insert into sensor_rooms (sensor_key, room_key)
        select value ->> 0, value ->> 1 from json_each($3)",
    )
    .bind(json(&rooms)?)
    .bind(json(&sensors)?)
    .bind(json(&sensor_rooms)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// Sensors that were removed are shown again.
async fn bring_back(
    connection: &mut SqliteConnection,
    returned: &[SensorKey],
) -> Result<(), StoreError> {
    if returned.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = returned.iter().map(|key| key.0).collect();
    sqlx::query("update sensors set removed = 0 where key in (select value from json_each($1))")
        .bind(json(&keys)?)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn renumber(
    connection: &mut SqliteConnection,
    after: StreamId,
    to: StreamId,
) -> Result<bool, StoreError> {
    let renumbered: Vec<i64> = sqlx::query_scalar(
        "begin immediate;
        update marks set recoveries = recoveries + 1 where key = 1;
        update log set last_id = $2 where last_id > $1 returning last_id;
        commit",
    )
    .bind(after.to_i64())
    .bind(to.to_i64())
    .fetch_all(connection)
    .await?;
    Ok(!renumbered.is_empty())
}

pub(super) async fn trim_log(
    connection: &mut SqliteConnection,
    to: StreamId,
) -> Result<(), StoreError> {
    sqlx::query(
        "begin immediate;
        delete from log where last_id <= $1;
        update marks set trimmed_to = max(trimmed_to, $1) where key = 1;
        commit",
    )
    .bind(to.to_i64())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn rewrite(
    connection: &mut SqliteConnection,
    rewrite: &Rewrite,
) -> Result<(), StoreError> {
    begin(connection).await?;
    remove(connection, &rewrite.removed).await?;
    insert_chunks(connection, &rewrite.written).await?;
    update_sensors(connection, &rewrite.sensors).await?;
    if let Some(settled_to) = rewrite.settled_to {
        sqlx::query("update marks set settled_to = max(settled_to, $1) where key = 1")
            .bind(settled_to.to_i64())
            .execute(&mut *connection)
            .await?;
    }
    end(connection).await
}

pub(super) async fn change_registry(
    connection: &mut SqliteConnection,
    patch: &RegistryPatch,
) -> Result<(), StoreError> {
    begin(connection).await?;
    put_registry(connection, patch).await?;
    end(connection).await
}

/// In the transaction of the caller.
pub(super) async fn put_registry(
    connection: &mut SqliteConnection,
    patch: &RegistryPatch,
) -> Result<(), StoreError> {
    registry::sqlite::patch(connection, patch).await?;
    update_sensors(connection, &patch.sensors).await?;
    registry::sqlite::forget(connection, patch).await
}

async fn remove(
    connection: &mut SqliteConnection,
    removed: &[(Series, SensorKey, Timestamp)],
) -> Result<(), StoreError> {
    if removed.is_empty() {
        return Ok(());
    }
    let removed: Vec<_> = removed
        .iter()
        .map(|(series, sensor, start)| (series.number(), sensor.0, start.millis()))
        .collect();
    sqlx::query(REMOVE)
        .bind(json(&removed)?)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) const REMOVE: &str = "delete from chunks where key in (
        select chunks.key from json_each($1) as gone cross join chunks
        on chunks.series = gone.value ->> 0
            and chunks.sensor_key = gone.value ->> 1
            and chunks.start_ms = gone.value ->> 2
    )";

/// The payloads go as one blob, and the rows say which part of it is theirs.
pub(super) async fn insert_chunks(
    connection: &mut SqliteConnection,
    chunks: &[(Series, Chunk)],
) -> Result<(), StoreError> {
    if chunks.is_empty() {
        return Ok(());
    }
    let mut payloads = Vec::with_capacity(chunks.iter().map(|(_, c)| c.payload.len()).sum());
    let mut rows = Vec::with_capacity(chunks.len());
    for (series, chunk) in chunks {
        let head = chunk.head;
        rows.push((
            series.number(),
            head.sensor.0,
            head.start.millis(),
            head.end.millis(),
            head.rows,
            // SQLite counts bytes from 1.
            payloads.len() + 1,
            chunk.payload.len(),
        ));
        payloads.extend_from_slice(&chunk.payload);
    }
    sqlx::query(
        "insert into chunks (series, sensor_key, start_ms, end_ms, rows, payload)
        select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
            substr($2, value ->> 5, value ->> 6)
        from json_each($1)",
    )
    .bind(json(&rows)?)
    .bind(payloads)
    .execute(connection)
    .await?;
    Ok(())
}

/// Bound one by one: JSON has no bytes.
pub(super) async fn update_sensors(
    connection: &mut SqliteConnection,
    sensors: &[SensorRow],
) -> Result<(), StoreError> {
    static UPDATE: LazyLock<String> = LazyLock::new(|| {
        // Rows whose parameters are left unbound are null and match nothing.
        let rows = vec!["(?, ?, ?, ?, ?, ?, ?)"; SENSORS_PER_STATEMENT].join(", ");
        format!(
            "update sensors set room_key = now.column2, reading_count = now.column3,
                first_ms = now.column4, latest = now.column5, newest_ms = now.column6,
                state = now.column7
            from (values {rows}) as now where sensors.key = now.column1"
        )
    });
    for sensors in sensors.chunks(SENSORS_PER_STATEMENT) {
        let mut update = sqlx::query(AssertSqlSafe(UPDATE.as_str()));
        for sensor in sensors {
            let settled = sensor.settled.as_ref();
            update = update
                .bind(sensor.key.0)
                .bind(sensor.room.0)
                .bind(integer(sensor.reading_count)?)
                .bind(settled.map(|settled| settled.first_seen.millis()))
                .bind(settled.map(|settled| settled.latest.as_slice()))
                .bind(settled.and_then(|settled| Some(settled.newest_at?.millis())))
                .bind(settled.and_then(|settled| settled.state.as_deref()));
        }
        let updated = update.execute(&mut *connection).await?.rows_affected();
        require_all(updated, sensors)?;
    }
    Ok(())
}

/// Refuses to have changed another number of sensors than was asked for.
pub(in crate::database) fn require_all(
    updated: u64,
    sensors: &[SensorRow],
) -> Result<(), StoreError> {
    if u64::try_from(sensors.len()) == Ok(updated) {
        return Ok(());
    }
    let keys: Vec<_> = sensors.iter().map(|sensor| sensor.key.0).collect();
    let detail = format!("{updated} rows have the keys {keys:?}");
    Err(corrupt("sensors", detail))
}

pub(super) async fn remove_chunks(
    connection: &mut SqliteConnection,
    series: Series,
    before: Timestamp,
    chunks_max: u32,
) -> Result<u64, StoreError> {
    begin(connection).await?;
    let removed = sqlx::query(REMOVE_OLD)
        .bind(series.number())
        .bind(before.millis())
        .bind(chunks_max)
        .execute(&mut *connection)
        .await?
        .rows_affected();
    if series == Series::Readings {
        sqlx::query("update marks set removed_to_ms = max(removed_to_ms, $1) where key = 1")
            .bind(before.millis())
            .execute(&mut *connection)
            .await?;
    }
    end(connection).await?;
    Ok(removed)
}

pub(super) async fn put_clock(
    connection: &mut SqliteConnection,
    clock: ClockRecord,
    removed_to: Option<Timestamp>,
) -> Result<(), StoreError> {
    let (trusted_ms, doubted_ms, even_ms) = clock_columns(clock);
    sqlx::query(PUT_CLOCK)
        .bind(trusted_ms)
        .bind(doubted_ms)
        .bind(even_ms)
        .bind(removed_to.map(Timestamp::millis))
        .execute(connection)
        .await?;
    Ok(())
}

/// Chunks of a sensor are in the order of their ends too, so nothing that stays is looked at, but the
/// first of each sensor.
pub(super) const REMOVE_OLD: &str = "delete from chunks where key in (
        select chunks.key from sensors cross join chunks
        on chunks.series = $1 and chunks.sensor_key = sensors.key and chunks.start_ms < $2
        where chunks.end_ms < $2 limit $3
    )";

/// Takes the right to write at once: a transaction that began by reading may not get it later.
pub(super) async fn begin(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query("begin immediate").execute(connection).await?;
    Ok(())
}

pub(super) async fn end(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query("commit").execute(connection).await?;
    Ok(())
}

/// Leaves no transaction open.
pub(super) async fn roll_back(connection: &mut SqliteConnection) {
    // Fails when there is none, or when SQLite has rolled back by itself, which is as good.
    if let Err(error) = sqlx::query("rollback").execute(connection).await {
        tracing::debug!(%error, "nothing to roll back");
    }
}

pub(super) fn json(rows: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()).into())
}

/// A count as databases have it.
pub(in crate::database) fn integer(count: u64) -> Result<i64, StoreError> {
    i64::try_from(count).map_err(|error| sqlx::Error::Encode(error.into()).into())
}

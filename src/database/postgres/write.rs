//! What changes the database. What is one statement needs no transaction and is one round trip.

use crate::database::decode::clock_columns;
use crate::database::registry;
use crate::database::sql::PUT_CLOCK;
use crate::database::sqlite::{integer, require_all};
use crate::database::{
    Batch, Chunk, ClockRecord, Commit, RegistryPatch, Rewrite, SensorKey, SensorRow, Series,
    StoreError,
};
use crate::domain::{StreamId, Timestamp};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

pub(super) async fn begin_epoch(
    connection: &mut PgConnection,
    started_at: Timestamp,
) -> Result<i64, StoreError> {
    let mut transaction = connection.begin().await?;
    let epoch =
        sqlx::query_scalar("insert into stream_epochs (started_ms) values ($1) returning epoch")
            .bind(started_at.millis())
            .fetch_one(&mut *transaction)
            .await?;
    // The row comes before the commit, which may fail yet.
    transaction.commit().await?;
    Ok(epoch)
}

pub(super) async fn commit(
    connection: &mut PgConnection,
    commit: &Commit,
) -> Result<(), StoreError> {
    if commit.has_new_places() {
        return add_places(connection, commit).await;
    }
    let Some(batch) = &commit.batch else {
        return Ok(());
    };
    sqlx::query("insert into log (last_id, readings, payload) values ($1, $2, $3)")
        .bind(batch.last.to_i64())
        .bind(i64::from(batch.readings))
        .bind(batch.payload.as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

async fn add_places(connection: &mut PgConnection, commit: &Commit) -> Result<(), StoreError> {
    let Commit {
        rooms,
        sensors,
        sensor_rooms,
        returned,
        batch,
    } = commit;
    let batch: Option<&Batch> = batch.as_ref();
    // A part of a statement does not see what another part writes, so new sites come back by name.
    sqlx::query(
        "with new_sites as (
            insert into sites (name) select distinct name from unnest($2::text[]) as given (name)
            on conflict (name) do nothing returning key, name
        ), known_sites as (
            select key, name from new_sites
            union all select key, name from sites where name = any ($2)
        ), new_rooms as (
            insert into rooms (key, site_key, name)
            select given.key, known_sites.key, given.name
            from unnest($1::bigint[], $2::text[], $3::text[]) as given (key, site, name)
            join known_sites on known_sites.name = given.site
        ), new_sensors as (
            insert into sensors (key, sensor_id, room_key, reading_count)
            select key, id, room, 0
            from unnest($4::bigint[], $5::text[], $6::bigint[]) as given (key, id, room)
        ), new_sensor_rooms as (
            insert into sensor_rooms (sensor_key, room_key)
            select sensor, room from unnest($7::bigint[], $8::bigint[]) as given (sensor, room)
        ), brought_back as (
            update sensors set removed = 0 where key = any ($12::bigint[])
        )
        insert into log (last_id, readings, payload)
        select $9, $10, $11 where $9::bigint is not null",
    )
    .bind(column(rooms, |room| room.key.0))
    .bind(column(rooms, |room| &*room.site))
    .bind(column(rooms, |room| &*room.room))
    .bind(column(sensors, |(key, _, _)| key.0))
    .bind(column(sensors, |(_, id, _)| id.as_str()))
    .bind(column(sensors, |(_, _, room)| room.0))
    .bind(column(sensor_rooms, |(sensor, _)| sensor.0))
    .bind(column(sensor_rooms, |(_, room)| room.0))
    .bind(batch.map(|batch| batch.last.to_i64()))
    .bind(batch.map(|batch| i64::from(batch.readings)))
    .bind(batch.map(|batch| batch.payload.as_slice()))
    .bind(column(returned, |key| key.0))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn renumber(
    connection: &mut PgConnection,
    after: StreamId,
    to: StreamId,
) -> Result<bool, StoreError> {
    let renumbered = sqlx::query(
        "with counted as (update marks set recoveries = recoveries + 1 where key = 1)
        update log set last_id = $2 where last_id > $1",
    )
    .bind(after.to_i64())
    .bind(to.to_i64())
    .execute(connection)
    .await?;
    Ok(renumbered.rows_affected() > 0)
}

pub(super) async fn trim_log(
    connection: &mut PgConnection,
    to: StreamId,
) -> Result<(), StoreError> {
    sqlx::query(
        "with marked as (
            update marks set trimmed_to = greatest(trimmed_to, $1) where key = 1
        )
        delete from log where last_id <= $1",
    )
    .bind(to.to_i64())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn rewrite(
    connection: &mut PgConnection,
    rewrite: &Rewrite,
) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    remove(&mut transaction, &rewrite.removed).await?;
    insert(&mut transaction, &rewrite.written).await?;
    update_sensors(&mut transaction, &rewrite.sensors).await?;
    if let Some(settled_to) = rewrite.settled_to {
        sqlx::query("update marks set settled_to = greatest(settled_to, $1) where key = 1")
            .bind(settled_to.to_i64())
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn change_registry(
    connection: &mut PgConnection,
    patch: &RegistryPatch,
) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    registry::postgres::patch(&mut transaction, patch).await?;
    update_sensors(&mut transaction, &patch.sensors).await?;
    registry::postgres::forget(&mut transaction, patch).await?;
    transaction.commit().await?;
    Ok(())
}

async fn remove(
    connection: &mut PgConnection,
    removed: &[(Series, SensorKey, Timestamp)],
) -> Result<(), StoreError> {
    if removed.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from chunks using unnest($1::bigint[], $2::bigint[], $3::bigint[])
            as gone (series, sensor_key, start_ms)
        where chunks.series = gone.series and chunks.sensor_key = gone.sensor_key
            and chunks.start_ms = gone.start_ms",
    )
    .bind(column(removed, |(series, _, _)| series.number()))
    .bind(column(removed, |(_, sensor, _)| sensor.0))
    .bind(column(removed, |(_, _, start)| start.millis()))
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert(
    connection: &mut PgConnection,
    chunks: &[(Series, Chunk)],
) -> Result<(), StoreError> {
    if chunks.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into chunks (series, sensor_key, start_ms, end_ms, rows, payload)
        select * from unnest(
            $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[]
        )",
    )
    .bind(column(chunks, |(series, _)| series.number()))
    .bind(column(chunks, |(_, chunk)| chunk.head.sensor.0))
    .bind(column(chunks, |(_, chunk)| chunk.head.start.millis()))
    .bind(column(chunks, |(_, chunk)| chunk.head.end.millis()))
    .bind(column(chunks, |(_, chunk)| i64::from(chunk.head.rows)))
    .bind(column(chunks, |(_, chunk)| chunk.payload.as_slice()))
    .execute(connection)
    .await?;
    Ok(())
}

async fn update_sensors(
    connection: &mut PgConnection,
    sensors: &[SensorRow],
) -> Result<(), StoreError> {
    if sensors.is_empty() {
        return Ok(());
    }
    let counts: Result<Vec<_>, _> = sensors
        .iter()
        .map(|sensor| integer(sensor.reading_count))
        .collect();
    let updated = sqlx::query(
        "update sensors set room_key = now.room_key, reading_count = now.reading_count,
            first_ms = now.first_ms, latest = now.latest, newest_ms = now.newest_ms,
            state = now.state
        from unnest(
            $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[],
            $7::bytea[]
        ) as now (key, room_key, reading_count, first_ms, latest, newest_ms, state)
        where sensors.key = now.key",
    )
    .bind(column(sensors, |sensor| sensor.key.0))
    .bind(column(sensors, |sensor| sensor.room.0))
    .bind(counts?)
    .bind(column(sensors, |sensor| {
        let settled = sensor.settled.as_ref();
        settled.map(|settled| settled.first_seen.millis())
    }))
    .bind(column(sensors, |sensor| {
        let settled = sensor.settled.as_ref();
        settled.map(|settled| settled.latest.as_slice())
    }))
    .bind(column(sensors, |sensor| {
        let settled = sensor.settled.as_ref();
        settled.and_then(|settled| Some(settled.newest_at?.millis()))
    }))
    .bind(column(sensors, |sensor| {
        let settled = sensor.settled.as_ref();
        settled.and_then(|settled| settled.state.as_deref())
    }))
    .execute(connection)
    .await?;
    require_all(updated.rows_affected(), sensors)
}

pub(super) async fn remove_chunks(
    connection: &mut PgConnection,
    series: Series,
    before: Timestamp,
    chunks_max: u32,
) -> Result<u64, StoreError> {
    // Chunks of a sensor are in the order of their ends too, so nothing that stays is looked at, but
    // the first of each sensor.
    let removed = sqlx::query(
        "with marked as (
            update marks set removed_to_ms = greatest(removed_to_ms, $2) where key = 1 and $1 = $4
        )
        delete from chunks using (
            select old.sensor_key, old.start_ms
            from sensors cross join lateral (
                select sensor_key, start_ms from chunks
                where series = $1 and sensor_key = sensors.key
                    and start_ms < $2 and end_ms < $2
                order by start_ms limit $3
            ) as old limit $3
        ) as gone
        where chunks.series = $1 and chunks.sensor_key = gone.sensor_key
            and chunks.start_ms = gone.start_ms",
    )
    .bind(series.number())
    .bind(before.millis())
    .bind(i64::from(chunks_max))
    .bind(Series::Readings.number())
    .execute(connection)
    .await?;
    Ok(removed.rows_affected())
}

pub(super) async fn put_clock(
    connection: &mut PgConnection,
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

/// One column of some rows, for `unnest`.
fn column<'a, R, V>(rows: &'a [R], value: impl Fn(&'a R) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

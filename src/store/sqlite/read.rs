//! Queries.

use super::write::{LATE, TVOC_UNIT_ASSUMED, json};
use crate::domain::{Extras, PlaceName, Quantity, SensorId, Timestamp, Values};
use crate::store::StreamId;
use crate::store::directory::{RoomKey, SensorKey};
use crate::store::engine::{
    AveragingWindow, HistoryQuery, LogRow, ReadingRow, RoomMeans, RoomRow, SensorRow, Snapshot,
    StoreError,
};
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeMap;

/// Columns of [`ReadingRow`] in the order [`reading_row`] reads them, from a table called `r`.
fn reading_columns(value: impl Fn(&'static str) -> String) -> String {
    let quantities: Vec<String> = Quantity::ALL
        .into_iter()
        .map(|quantity| value(quantity.flat_key()))
        .collect();
    quantities.join(", ")
}

fn stored_columns() -> String {
    let quantities = reading_columns(|column| format!("r.{column}"));
    format!("r.sensor_key, r.observed_ms, r.room_key, r.flags, r.extras, {quantities}")
}

/// Position of the first quantity among the columns.
const FIRST_QUANTITY: usize = 5;

pub(super) async fn load(readers: &SqlitePool) -> Result<Snapshot, StoreError> {
    let mut snapshot = Snapshot::default();
    let rooms = sqlx::query(
        "select rooms.key, sites.name, rooms.name from rooms join sites on sites.key = site_key",
    )
    .fetch_all(readers)
    .await?;
    for row in rooms {
        snapshot.rooms.push(RoomRow {
            key: RoomKey(row.try_get(0)?),
            site: place_name(row.try_get(1)?)?,
            room: place_name(row.try_get(2)?)?,
        });
    }
    let sensors = sqlx::query(AssertSqlSafe(format!(
        "select {columns}, s.sensor_id, s.room_key, s.reading_count, s.period_ms,
            (select min(observed_ms) from readings where sensor_key = s.key)
        from sensors s join readings r on r.sensor_key = s.key
        where r.observed_ms = (select max(observed_ms) from readings where sensor_key = s.key)",
        columns = stored_columns(),
    )))
    .fetch_all(readers)
    .await?;
    for row in sensors {
        snapshot.sensors.push(sensor_row(&row)?);
    }
    let sensor_rooms = sqlx::query("select sensor_key, room_key from sensor_rooms")
        .fetch_all(readers)
        .await?;
    for row in sensor_rooms {
        snapshot
            .sensor_rooms
            .push((SensorKey(row.try_get(0)?), RoomKey(row.try_get(1)?)));
    }
    Ok(snapshot)
}

fn sensor_row(row: &SqliteRow) -> Result<SensorRow, StoreError> {
    let latest = reading_row(row)?;
    let after = FIRST_QUANTITY + Quantity::COUNT;
    let id: String = row.try_get(after)?;
    let count: i64 = row.try_get(after + 2)?;
    Ok(SensorRow {
        key: latest.sensor,
        id: SensorId::parse(&id).map_err(|error| corrupt("sensors", format!("{id:?} {error}")))?,
        room: RoomKey(row.try_get(after + 1)?),
        reading_count: u64::try_from(count)
            .map_err(|_negative| corrupt("sensors", format!("reading_count {count}")))?,
        period_ms: row.try_get(after + 3)?,
        first_seen: Timestamp::from_millis(row.try_get(after + 4)?),
        latest,
    })
}

pub(super) async fn find(
    readers: &SqlitePool,
    identities: &[(SensorKey, Timestamp)],
) -> Result<Vec<ReadingRow>, StoreError> {
    let keys: Vec<_> = identities
        .iter()
        .map(|(sensor, at)| (sensor.0, at.millis()))
        .collect();
    let rows = sqlx::query(AssertSqlSafe(format!(
        "select {columns} from json_each($1) as identity join readings r
            on r.sensor_key = identity.value ->> 0 and r.observed_ms = identity.value ->> 1",
        columns = stored_columns(),
    )))
    .bind(json(&keys)?)
    .fetch_all(readers)
    .await?;
    rows.iter().map(reading_row).collect()
}

pub(super) async fn history(
    readers: &SqlitePool,
    query: &HistoryQuery,
    from: Timestamp,
    to: Timestamp,
    rows_max: u32,
) -> Result<Vec<ReadingRow>, StoreError> {
    const MATCHING: &str = "from json_each($1) as sensor
        join readings r on r.sensor_key = sensor.value
        where r.observed_ms >= $2 and r.observed_ms < $3
            and ($4 is null or r.room_key in (select value from json_each($4)))";
    let sql = match query.bucket {
        None => format!(
            "select {columns} {MATCHING} order by r.observed_ms, r.sensor_key limit $5",
            columns = stored_columns(),
        ),
        // The origin lies before every reading, so the remainder is never negative.
        Some(_) => format!(
            "select r.sensor_key,
                r.observed_ms - (r.observed_ms - $7) % $6 as bucket_ms,
                r.room_key, max(r.flags), null, {means}
            {MATCHING}
            group by r.sensor_key, r.room_key, bucket_ms
            order by bucket_ms, r.sensor_key, r.room_key limit $5",
            means = reading_columns(|column| format!("avg(r.{column})")),
        ),
    };
    let sensors: Vec<_> = query.sensors.iter().map(|key| key.0).collect();
    let rooms: Option<Vec<_>> = query
        .rooms
        .as_ref()
        .map(|rooms| rooms.iter().map(|key| key.0).collect());
    let mut statement = sqlx::query(AssertSqlSafe(sql))
        .bind(json(&sensors)?)
        .bind(from.millis())
        .bind(to.millis())
        .bind(rooms.map(|rooms| json(&rooms)).transpose()?)
        .bind(rows_max);
    if let Some(bucket) = query.bucket {
        statement = statement.bind(bucket.width_ms).bind(bucket.origin_ms);
    }
    let rows = statement.fetch_all(readers).await?;
    rows.iter().map(reading_row).collect()
}

pub(super) async fn room_means(
    readers: &SqlitePool,
    windows: &[AveragingWindow],
    now: Timestamp,
) -> Result<RoomMeans, StoreError> {
    let mut means = RoomMeans::default();
    for window in windows {
        let columns: Vec<_> = window
            .quantities
            .iter()
            .map(|quantity| format!("avg(r.{})", quantity.flat_key()))
            .collect();
        let sensors: Vec<_> = window.sensors.iter().map(|key| key.0).collect();
        let rows = sqlx::query(AssertSqlSafe(format!(
            "select r.room_key, {columns} from json_each($1) as sensor
            join readings r on r.sensor_key = sensor.value
            where r.observed_ms >= $2 group by r.room_key",
            columns = columns.join(", "),
        )))
        .bind(json(&sensors)?)
        .bind(window.start(now).millis())
        .fetch_all(readers)
        .await?;
        for row in rows {
            let values = means.entry(RoomKey(row.try_get(0)?)).or_default();
            for (position, quantity) in window.quantities.iter().enumerate() {
                set(values, *quantity, row.try_get(position + 1)?)?;
            }
        }
    }
    Ok(means)
}

pub(super) async fn replay(
    readers: &SqlitePool,
    after: StreamId,
    up_to: StreamId,
    rows_max: u32,
) -> Result<Option<Vec<LogRow>>, StoreError> {
    const ID: usize = FIRST_QUANTITY + Quantity::COUNT;
    // One statement, so that nothing is trimmed between the look at the mark and that at the rows.
    // The row that holds the mark is there also when no other is.
    let rows = sqlx::query(AssertSqlSafe(format!(
        "select {columns}, r.arrival, log.trimmed_to
        from stream_log log left join arrivals r on r.arrival > $1 and r.arrival <= $2
        where log.key = 1 order by r.arrival limit $3",
        columns = stored_columns(),
    )))
    .bind(after.to_i64())
    .bind(up_to.to_i64())
    .bind(rows_max.max(1))
    .fetch_all(readers)
    .await?;
    let mut replayed = Vec::with_capacity(rows.len());
    for row in &rows {
        let trimmed_to: i64 = row.try_get(ID + 1)?;
        if after.to_i64() < trimmed_to {
            return Ok(None);
        }
        if let Some(id) = row.try_get(ID)? {
            replayed.push(log_row(row, id)?);
        }
    }
    replayed.truncate(rows_max as usize);
    Ok(Some(replayed))
}

/// The end of the log, for the connection that writes it.
pub(super) async fn log_rows(
    connection: &mut SqliteConnection,
    after: StreamId,
) -> Result<Vec<LogRow>, StoreError> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "select {columns}, r.arrival from arrivals r where r.arrival > $1 order by r.arrival",
        columns = stored_columns(),
    )))
    .bind(after.to_i64())
    .fetch_all(connection)
    .await?;
    let id = FIRST_QUANTITY + Quantity::COUNT;
    rows.iter()
        .map(|row| log_row(row, row.try_get(id)?))
        .collect()
}

fn log_row(row: &SqliteRow, id: i64) -> Result<LogRow, StoreError> {
    let flags: i64 = row.try_get(3)?;
    Ok(LogRow {
        id: StreamId::from_i64(id).ok_or_else(|| corrupt("arrivals", format!("arrival {id}")))?,
        late: flags & LATE != 0,
        reading: reading_row(row)?,
    })
}

fn reading_row(row: &SqliteRow) -> Result<ReadingRow, StoreError> {
    let mut values = Values::default();
    for quantity in Quantity::ALL {
        set(
            &mut values,
            quantity,
            row.try_get(FIRST_QUANTITY + quantity.index())?,
        )?;
    }
    let flags: i64 = row.try_get(3)?;
    Ok(ReadingRow {
        sensor: SensorKey(row.try_get(0)?),
        observed_at: Timestamp::from_millis(row.try_get(1)?),
        room: RoomKey(row.try_get(2)?),
        tvoc_unit_assumed: flags & TVOC_UNIT_ASSUMED != 0,
        extras: extras(row.try_get(4)?)?,
        values,
    })
}

fn set(values: &mut Values, quantity: Quantity, number: Option<f64>) -> Result<(), StoreError> {
    match number {
        Some(number) if !values.set(quantity, number) => Err(corrupt(
            "readings",
            format!("{} {number}", quantity.flat_key()),
        )),
        _ => Ok(()),
    }
}

fn extras(json: Option<&str>) -> Result<Extras, StoreError> {
    let mut extras = Extras::default();
    let Some(json) = json else { return Ok(extras) };
    let object: BTreeMap<String, f64> =
        serde_json::from_str(json).map_err(|error| corrupt("readings", error.to_string()))?;
    for (key, number) in object {
        extras
            .insert(&key, number)
            .map_err(|error| corrupt("readings", error.to_string()))?;
    }
    Ok(extras)
}

fn place_name(text: &str) -> Result<PlaceName, StoreError> {
    PlaceName::parse(text).map_err(|error| corrupt("rooms", format!("{text:?} {error}")))
}

fn corrupt(table: &'static str, detail: String) -> StoreError {
    StoreError::Corrupt { table, detail }
}

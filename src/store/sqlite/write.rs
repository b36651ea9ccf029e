//! One transaction.
//!
//! Each awaited statement costs a hand-off to the connection's thread, so the usual commit is a
//! single text of four statements, prepared once.

use crate::domain::{Extras, Quantity};
use crate::store::engine::{Changes, ReadingRow, SensorCounters, StoreError};
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe};
use std::fmt::Write;
use std::sync::Arc;

/// Flag bit: the unit of TVOC was assumed.
pub(super) const TVOC_UNIT_ASSUMED: i64 = 1;

/// The statements that write 1, 2, 4 … [`Changes::READINGS_MAX`] readings. A batch uses the next
/// larger one; rows whose parameters are left unbound are null and skipped.
#[derive(Debug)]
pub(super) struct InsertStatements(Vec<Insert>);

#[derive(Debug)]
struct Insert {
    /// Inside a transaction that is already open.
    inside: Arc<str>,
    /// With a transaction around it.
    alone: Arc<str>,
}

impl InsertStatements {
    pub(super) fn new() -> Self {
        let mut statements = Vec::new();
        let mut rows = 1;
        while rows <= Changes::READINGS_MAX {
            let inside = statement(rows);
            let alone = format!("begin immediate; {inside}; commit").into();
            statements.push(Insert { inside: inside.into(), alone });
            rows *= 2;
        }
        Self(statements)
    }

    fn for_rows(&self, rows: usize) -> Result<&Insert, StoreError> {
        self.0.get(rows.next_power_of_two().ilog2() as usize).ok_or_else(|| {
            StoreError::Unusable(format!("{rows} readings are too many for one transaction"))
        })
    }
}

/// Columns of a reading before its quantities.
const KEY_COLUMNS: [&str; 4] = ["sensor_key", "observed_ms", "room_key", "flags"];

fn statement(rows: usize) -> String {
    let columns: Vec<&str> = KEY_COLUMNS
        .into_iter()
        .chain(Quantity::ALL.into_iter().map(Quantity::flat_key))
        .chain(["extras"])
        .collect();
    let row = format!("({})", vec!["?"; columns.len()].join(", "));
    let changed: Vec<String> =
        columns.iter().skip(2).map(|column| format!("{column} = excluded.{column}")).collect();
    format!(
        "update sensors set
            room_key = change.value ->> 1,
            reading_count = change.value ->> 2,
            period_ms = change.value ->> 3
        from json_each(?) as change
        where sensors.key = change.value ->> 0;
        insert into readings ({columns})
        select * from (values {rows}) where column1 is not null
        on conflict (sensor_key, observed_ms) do update set {changed}",
        columns = columns.join(", "),
        rows = vec![row; rows].join(", "),
        changed = changed.join(", "),
    )
}

/// Makes `changes` durable or, when it fails, leaves no transaction open.
pub(super) async fn commit(
    connection: &mut SqliteConnection,
    statements: &InsertStatements,
    changes: &Changes,
) -> Result<(), StoreError> {
    let insert = statements.for_rows(changes.readings.len())?;
    let result = if changes.has_new_places() {
        commit_with_places(connection, insert, changes).await
    } else {
        write_readings(connection, &insert.alone, changes).await
    };
    if result.is_err() {
        // Fails when the database has already rolled back by itself, which is as good.
        if let Err(error) = sqlx::query("rollback").execute(connection).await {
            tracing::debug!(%error, "nothing to roll back");
        }
    }
    result
}

async fn commit_with_places(
    connection: &mut SqliteConnection,
    insert: &Insert,
    changes: &Changes,
) -> Result<(), StoreError> {
    sqlx::query("begin immediate").execute(&mut *connection).await?;
    add_places(connection, changes).await?;
    write_readings(connection, &insert.inside, changes).await?;
    sqlx::query("commit").execute(connection).await?;
    Ok(())
}

async fn write_readings(
    connection: &mut SqliteConnection,
    statement: &Arc<str>,
    changes: &Changes,
) -> Result<(), StoreError> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(1 + changes.readings.len() * (KEY_COLUMNS.len() + Quantity::COUNT + 1), 0);
    bind_all(&mut arguments, changes).map_err(sqlx::Error::Encode)?;
    sqlx::query_with(AssertSqlSafe(Arc::clone(statement)), arguments).execute(connection).await?;
    Ok(())
}

async fn add_places(
    connection: &mut SqliteConnection,
    changes: &Changes,
) -> Result<(), StoreError> {
    let rooms: Vec<_> = changes
        .rooms
        .iter()
        .map(|room| (room.key.0, room.site.as_str(), room.room.as_str()))
        .collect();
    let sensors: Vec<_> =
        changes.sensors.iter().map(|(key, id, room)| (key.0, id.as_str(), room.0)).collect();
    let sensor_rooms: Vec<_> =
        changes.sensor_rooms.iter().map(|(sensor, room)| (sensor.0, room.0)).collect();
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

pub(super) fn json(rows: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()).into())
}

fn bind_all(
    arguments: &mut SqliteArguments,
    changes: &Changes,
) -> Result<(), sqlx::error::BoxDynError> {
    arguments.add(counters_json(&changes.counters))?;
    for row in &changes.readings {
        bind(arguments, row)?;
    }
    Ok(())
}

fn bind(
    arguments: &mut SqliteArguments,
    row: &ReadingRow,
) -> Result<(), sqlx::error::BoxDynError> {
    arguments.add(row.sensor.0)?;
    arguments.add(row.observed_at.millis())?;
    arguments.add(row.room.0)?;
    arguments.add(if row.tvoc_unit_assumed { TVOC_UNIT_ASSUMED } else { 0 })?;
    for quantity in Quantity::ALL {
        arguments.add(row.values.get(quantity))?;
    }
    arguments.add(extras_json(&row.extras)?)?;
    Ok(())
}

fn counters_json(counters: &[SensorCounters]) -> String {
    let mut json = String::with_capacity(counters.len() * 32);
    for (position, one) in counters.iter().enumerate() {
        let comma = if position == 0 { '[' } else { ',' };
        // Writing to a string cannot fail.
        let _: std::fmt::Result =
            write!(json, "{comma}[{},{},{},", one.sensor.0, one.room.0, one.reading_count);
        let _: std::fmt::Result = match one.period_ms {
            Some(period) => write!(json, "{period}]"),
            None => write!(json, "null]"),
        };
    }
    json.push(']');
    json
}

fn extras_json(extras: &Extras) -> Result<Option<String>, serde_json::Error> {
    if extras.is_empty() {
        return Ok(None);
    }
    let object: std::collections::BTreeMap<_, _> = extras.iter().collect();
    serde_json::to_string(&object).map(Some)
}

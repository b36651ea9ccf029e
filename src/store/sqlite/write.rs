//! Transactions.
//!
//! A commit appends to `arrivals`; [`settle`] copies what has gathered to `readings`, sorted, so that
//! each page of it is written once for many readings. Each awaited statement costs a hand-off to the
//! connection's thread, so a transaction is a single text of several statements, prepared once.

use crate::domain::{Extras, Quantity};
use crate::store::StreamId;
use crate::store::directory::SensorKey;
use crate::store::engine::{Changes, LogRow, SensorCounters, StoreError};
use rustc_hash::FxHashMap;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe};
use std::sync::Arc;

/// Flag bit: the unit of TVOC was assumed.
pub(super) const TVOC_UNIT_ASSUMED: i64 = 1;
/// Flag bit of an arrival only: it was late.
pub(super) const LATE: i64 = 2;

/// Columns of a reading before and after its quantities.
const KEY_COLUMNS: [&str; 4] = ["sensor_key", "observed_ms", "room_key", "flags"];
const EXTRAS_COLUMN: &str = "extras";
/// What `arrivals` has before and after those.
const ID_COLUMN: &str = "arrival";
const SENSOR_COLUMNS: [&str; 3] = [
    "sensor_room_key",
    "sensor_reading_count",
    "sensor_period_ms",
];

/// Quantities that nearly every sensor of this product sends, and that are bound for every reading.
/// The others, and extras, are bound only in batches that have any.
const USUAL: [Quantity; 5] = [
    Quantity::Co2,
    Quantity::Pm25,
    Quantity::Tvoc,
    Quantity::Temperature,
    Quantity::Humidity,
];

/// Which columns a statement binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Usual,
    Full,
}

impl Width {
    fn of(readings: &[LogRow]) -> Self {
        let usual = |row: &LogRow| {
            let mut values = row.reading.values.iter();
            row.reading.extras.is_empty() && values.all(|(quantity, _)| USUAL.contains(&quantity))
        };
        if readings.iter().all(usual) {
            Self::Usual
        } else {
            Self::Full
        }
    }

    fn quantities(self) -> &'static [Quantity] {
        match self {
            Self::Usual => &USUAL,
            Self::Full => &Quantity::ALL,
        }
    }
}

/// Texts of the statements that write.
#[derive(Debug)]
pub(super) struct Statements {
    usual: Vec<Arrive>,
    full: Vec<Arrive>,
    settle: Arc<str>,
}

#[derive(Debug)]
struct Arrive {
    /// Inside a transaction that is already open.
    inside: Arc<str>,
    /// With a transaction around it.
    alone: Arc<str>,
}

impl Statements {
    pub(super) fn new() -> Self {
        Self {
            usual: arrive_statements(Width::Usual),
            full: arrive_statements(Width::Full),
            settle: settle_statement().into(),
        }
    }

    fn arrive(&self, width: Width, rows: usize) -> Result<&Arrive, StoreError> {
        let statements = match width {
            Width::Usual => &self.usual,
            Width::Full => &self.full,
        };
        statements
            .get(rows.next_power_of_two().ilog2() as usize)
            .ok_or_else(|| {
                StoreError::Unusable(format!("{rows} readings are too many for one transaction"))
            })
    }
}

/// Statements for 1, 2, 4 … [`Changes::READINGS_MAX`] readings. A batch uses the next larger one;
/// rows whose parameters are left unbound are null and skipped.
fn arrive_statements(width: Width) -> Vec<Arrive> {
    let mut statements = Vec::new();
    let mut rows = 1;
    while rows <= Changes::READINGS_MAX {
        let inside = arrive_statement(width, rows);
        let alone = format!("begin immediate; {inside}; commit").into();
        statements.push(Arrive {
            inside: inside.into(),
            alone,
        });
        rows *= 2;
    }
    statements
}

fn reading_columns() -> Vec<&'static str> {
    let quantities = Quantity::ALL.into_iter().map(Quantity::flat_key);
    KEY_COLUMNS
        .into_iter()
        .chain(quantities)
        .chain([EXTRAS_COLUMN])
        .collect()
}

fn arrive_statement(width: Width, rows: usize) -> String {
    let columns: Vec<_> = [ID_COLUMN]
        .into_iter()
        .chain(KEY_COLUMNS)
        .chain(
            width
                .quantities()
                .iter()
                .map(|quantity| quantity.flat_key()),
        )
        .chain((width == Width::Full).then_some(EXTRAS_COLUMN))
        .chain(SENSOR_COLUMNS)
        .collect();
    let row = format!("({})", vec!["?"; columns.len()].join(", "));
    format!(
        "insert into arrivals ({columns})
        select * from (values {rows}) where column1 is not null",
        columns = columns.join(", "),
        rows = vec![row; rows].join(", "),
    )
}

/// Condition for arrivals that are not in `readings` yet.
const UNSETTLED: &str = "arrival > (select settled_to from stream_log)";

/// Its parameter is the last row to trim, or null.
fn settle_statement() -> String {
    let columns = reading_columns();
    let changed: Vec<_> = columns
        .iter()
        .skip(2)
        .map(|column| format!("{column} = excluded.{column}"))
        .collect();
    let arrived: Vec<_> = columns
        .iter()
        .map(|column| match *column {
            "flags" => format!("arrivals.flags & {TVOC_UNIT_ASSUMED}"),
            column => format!("arrivals.{column}"),
        })
        .collect();
    // Only keys are sorted, not whole rows; the limit keeps SQLite from dropping the order. Of
    // several rows with one identity the last to arrive has everything the others had. The other
    // columns of `max` are those of the row that has the maximum.
    format!(
        "begin immediate;
        insert into readings ({columns})
        select {arrived} from (
            select arrival from arrivals where {UNSETTLED}
            order by sensor_key, observed_ms, arrival limit -1
        ) as sorted cross join arrivals on arrivals.arrival = sorted.arrival
        where true
        on conflict (sensor_key, observed_ms) do update set {changed};
        update sensors set
            room_key = newest.sensor_room_key,
            reading_count = newest.sensor_reading_count,
            period_ms = newest.sensor_period_ms
        from (
            select sensor_key, max(arrival), sensor_room_key, sensor_reading_count, sensor_period_ms
            from arrivals where {UNSETTLED} group by sensor_key
        ) as newest
        where sensors.key = newest.sensor_key;
        update stream_log set
            settled_to = max(settled_to, coalesce((select max(arrival) from arrivals), 0)),
            trimmed_to = max(trimmed_to, coalesce($1, trimmed_to));
        delete from arrivals where arrival <= $1;
        commit",
        columns = columns.join(", "),
        arrived = arrived.join(", "),
        changed = changed.join(", "),
    )
}

/// Makes `changes` durable or, when it fails, leaves no transaction open.
pub(super) async fn commit(
    connection: &mut SqliteConnection,
    statements: &Statements,
    changes: &Changes,
) -> Result<(), StoreError> {
    let width = Width::of(&changes.readings);
    let arrive = statements.arrive(width, changes.readings.len())?;
    let result = if changes.has_new_places() {
        commit_with_places(connection, arrive, width, changes).await
    } else {
        write_readings(connection, &arrive.alone, width, changes).await
    };
    roll_back_unless_done(connection, result).await
}

/// Copies everything from `arrivals` that is not there yet to `readings`, and removes its rows up to
/// `trim_to`.
pub(super) async fn settle(
    connection: &mut SqliteConnection,
    statements: &Statements,
    trim_to: Option<i64>,
) -> Result<(), StoreError> {
    let settle = AssertSqlSafe(Arc::clone(&statements.settle));
    let result = sqlx::query(settle)
        .bind(trim_to)
        .execute(&mut *connection)
        .await;
    roll_back_unless_done(connection, result.map(drop).map_err(StoreError::from)).await
}

/// Gives the arrivals after `after` the ids right behind `behind`.
pub(super) async fn renumber(
    connection: &mut SqliteConnection,
    after: StreamId,
    behind: StreamId,
) -> Result<(), StoreError> {
    // They count as unsettled then. That is no harm when they are not: nothing came after them.
    sqlx::query(
        "update arrivals set arrival = $2 + renumbered.number
        from (
            select arrival, row_number() over (order by arrival) as number
            from arrivals where arrival > $1
        ) as renumbered
        where arrivals.arrival = renumbered.arrival",
    )
    .bind(after.to_i64())
    .bind(behind.to_i64())
    .execute(connection)
    .await?;
    Ok(())
}

async fn roll_back_unless_done(
    connection: &mut SqliteConnection,
    result: Result<(), StoreError>,
) -> Result<(), StoreError> {
    if result.is_err() {
        roll_back(connection).await;
    }
    result
}

/// Leaves no transaction open.
pub(super) async fn roll_back(connection: &mut SqliteConnection) {
    // Fails when the database has already rolled back by itself, which is as good.
    if let Err(error) = sqlx::query("rollback").execute(connection).await {
        tracing::debug!(%error, "nothing to roll back");
    }
}

async fn commit_with_places(
    connection: &mut SqliteConnection,
    arrive: &Arrive,
    width: Width,
    changes: &Changes,
) -> Result<(), StoreError> {
    sqlx::query("begin immediate")
        .execute(&mut *connection)
        .await?;
    add_places(connection, changes).await?;
    write_readings(connection, &arrive.inside, width, changes).await?;
    sqlx::query("commit").execute(connection).await?;
    Ok(())
}

async fn write_readings(
    connection: &mut SqliteConnection,
    statement: &Arc<str>,
    width: Width,
    changes: &Changes,
) -> Result<(), StoreError> {
    let columns = 1 + KEY_COLUMNS.len() + Quantity::COUNT + 1 + SENSOR_COLUMNS.len();
    let mut arguments = SqliteArguments::default();
    arguments.reserve(changes.readings.len() * columns, 0);
    bind_all(&mut arguments, width, changes).map_err(sqlx::Error::Encode)?;
    sqlx::query_with(AssertSqlSafe(Arc::clone(statement)), arguments)
        .execute(connection)
        .await?;
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
    let sensors: Vec<_> = changes
        .sensors
        .iter()
        .map(|(key, id, room)| (key.0, id.as_str(), room.0))
        .collect();
    let sensor_rooms: Vec<_> = changes
        .sensor_rooms
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

pub(super) fn json(rows: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()).into())
}

fn bind_all(
    arguments: &mut SqliteArguments,
    width: Width,
    changes: &Changes,
) -> Result<(), BoxDynError> {
    let counters: FxHashMap<SensorKey, &SensorCounters> = changes
        .counters
        .iter()
        .map(|counters| (counters.sensor, counters))
        .collect();
    for row in &changes.readings {
        bind(arguments, width, row)?;
        let counters = counters
            .get(&row.reading.sensor)
            .ok_or("a reading has no counters")?;
        arguments.add(counters.room.0)?;
        arguments.add(i64::try_from(counters.reading_count)?)?;
        arguments.add(counters.period_ms)?;
    }
    Ok(())
}

fn bind(arguments: &mut SqliteArguments, width: Width, row: &LogRow) -> Result<(), BoxDynError> {
    let LogRow { id, late, reading } = row;
    arguments.add(id.to_i64())?;
    arguments.add(reading.sensor.0)?;
    arguments.add(reading.observed_at.millis())?;
    arguments.add(reading.room.0)?;
    let flag = |bit, set| if set { bit } else { 0 };
    arguments.add(flag(TVOC_UNIT_ASSUMED, reading.tvoc_unit_assumed) | flag(LATE, *late))?;
    for quantity in width.quantities() {
        arguments.add(reading.values.get(*quantity))?;
    }
    if width == Width::Full {
        arguments.add(extras_json(&reading.extras)?)?;
    }
    Ok(())
}

fn extras_json(extras: &Extras) -> Result<Option<String>, serde_json::Error> {
    if extras.is_empty() {
        return Ok(None);
    }
    let object: std::collections::BTreeMap<_, _> = extras.iter().collect();
    serde_json::to_string(&object).map(Some)
}

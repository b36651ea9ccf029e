//! The reading half of the database on Postgres.

use crate::database::lookup::lookups;
use crate::database::registry;
use crate::database::{Chunk, ChunkHead, Loaded, LogPart, Series, Span, StoreError, decode, sql};
use crate::domain::StreamId;
use sqlx::Connection;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::QueryAs;

/// Begins a transaction that sees one moment.
pub(super) const MOMENT: &str = "begin isolation level repeatable read read only";

pub(super) async fn load(connection: &mut PgConnection) -> Result<Loaded, StoreError> {
    let mut moment = connection.begin_with(MOMENT).await?;
    let mut loaded = load_places(&mut moment).await?;
    let log = sqlx::query_as(sql::UNSETTLED)
        .fetch_all(&mut *moment)
        .await?;
    moment.commit().await?;
    loaded.log = log
        .into_iter()
        .map(decode::batch)
        .collect::<Result<_, _>>()?;
    Ok(loaded)
}

/// Everything but the log, in the transaction of the caller.
pub(super) async fn load_places(connection: &mut PgConnection) -> Result<Loaded, StoreError> {
    let rooms = sqlx::query_as(sql::ROOMS)
        .fetch_all(&mut *connection)
        .await?;
    let sensors = sqlx::query_as(sql::SENSORS)
        .fetch_all(&mut *connection)
        .await?;
    let sensor_rooms = sqlx::query_as(sql::SENSOR_ROOMS)
        .fetch_all(&mut *connection)
        .await?;
    let registry = registry::postgres::load(connection).await?;
    let marks = sqlx::query_as(sql::MARKS)
        .fetch_optional(&mut *connection)
        .await?;
    decode::loaded(rooms, sensors, sensor_rooms, registry, marks, Vec::new())
}

pub(super) async fn log(
    connection: &mut PgConnection,
    after: StreamId,
    up_to: StreamId,
    readings_max: u32,
) -> Result<LogPart, StoreError> {
    let rows = sqlx::query_as(sql::LOG)
        .bind(after.to_i64())
        .bind(up_to.to_i64())
        .bind(i64::from(readings_max))
        .fetch_all(connection)
        .await?;
    decode::log_part(rows)
}

pub(super) async fn log_sizes(
    connection: &mut PgConnection,
) -> Result<Vec<(StreamId, u32)>, StoreError> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(sql::LOG_SIZES).fetch_all(connection).await?;
    rows.into_iter().map(decode::batch_size).collect()
}

pub(super) async fn chunk_heads(
    connection: &mut PgConnection,
    series: Series,
    spans: &[Span],
) -> Result<Vec<ChunkHead>, StoreError> {
    let query = sqlx::query_as(HEADS);
    let rows: Vec<decode::HeadColumns> = bind(query, series, spans).fetch_all(connection).await?;
    rows.into_iter().map(decode::head).collect()
}

pub(super) async fn chunks(
    connection: &mut PgConnection,
    series: Series,
    spans: &[Span],
    payload_bytes_max: usize,
) -> Result<Option<Vec<Chunk>>, StoreError> {
    let query = sqlx::query_as(CHUNKS);
    let rows = bind(query, series, spans).fetch(connection);
    decode::chunks(rows, payload_bytes_max).await
}

fn bind<'q, R>(
    query: QueryAs<'q, sqlx::Postgres, R, PgArguments>,
    series: Series,
    spans: &[Span],
) -> QueryAs<'q, sqlx::Postgres, R, PgArguments> {
    let spans = lookups(spans);
    let column = |value: fn(&crate::database::lookup::Lookup) -> i64| -> Vec<i64> {
        spans.iter().map(value).collect()
    };
    query
        .bind(series.number())
        .bind(column(|span| span.sensor))
        .bind(column(|span| span.first_ms))
        .bind(column(|span| span.last_ms))
        .bind(column(|span| span.from_ms))
}

/// Of the chunks that start before a span only the last can overlap it, so the look begins there.
const CHUNKS: &str =
    "select chunks.sensor_key, chunks.start_ms, chunks.end_ms, chunks.rows, chunks.payload
    from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
        as span (sensor, first_ms, last_ms, from_ms)
    cross join lateral (
        select * from chunks
        where series = $1 and sensor_key = span.sensor and start_ms <= span.last_ms
            and start_ms >= greatest(span.from_ms, coalesce((
                select max(start_ms) from chunks as before
                where before.series = $1 and before.sensor_key = span.sensor
                    and before.start_ms <= span.first_ms
            ), span.first_ms))
            and end_ms >= span.first_ms
    ) as chunks";

const HEADS: &str = "select chunks.sensor_key, chunks.start_ms, chunks.end_ms, chunks.rows
    from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
        as span (sensor, first_ms, last_ms, from_ms)
    cross join lateral (
        select sensor_key, start_ms, end_ms, rows from chunks
        where series = $1 and sensor_key = span.sensor and start_ms <= span.last_ms
            and start_ms >= greatest(span.from_ms, coalesce((
                select max(start_ms) from chunks as before
                where before.series = $1 and before.sensor_key = span.sensor
                    and before.start_ms <= span.first_ms
            ), span.first_ms))
    ) as chunks
    order by chunks.sensor_key, chunks.start_ms";

pub(super) async fn size_bytes(connection: &mut PgConnection) -> Result<u64, StoreError> {
    let size: i64 = sqlx::query_scalar("select pg_database_size(current_database())")
        .fetch_one(connection)
        .await?;
    Ok(size.unsigned_abs())
}

pub(super) async fn check(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query(sql::MARKS).fetch_optional(connection).await?;
    Ok(())
}

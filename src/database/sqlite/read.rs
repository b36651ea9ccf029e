//! The reading half of the database on SQLite.

use super::write::json;
use crate::database::lookup::lookups;
use crate::database::registry;
use crate::database::{Chunk, ChunkHead, Loaded, LogPart, Series, Span, StoreError, decode, sql};
use crate::domain::StreamId;
use sqlx::sqlite::SqlitePool;

pub(super) async fn load(readers: &SqlitePool) -> Result<Loaded, StoreError> {
    // In a transaction, so that all of it is of one moment.
    let mut moment = readers.begin().await?;
    let rooms = sqlx::query_as(sql::ROOMS).fetch_all(&mut *moment).await?;
    let sensors = sqlx::query_as(sql::SENSORS).fetch_all(&mut *moment).await?;
    let sensor_rooms = sqlx::query_as(sql::SENSOR_ROOMS)
        .fetch_all(&mut *moment)
        .await?;
    let registry = registry::sqlite::load(&mut moment).await?;
    let marks = sqlx::query_as(sql::MARKS)
        .fetch_optional(&mut *moment)
        .await?;
    let log = sqlx::query_as(sql::UNSETTLED)
        .fetch_all(&mut *moment)
        .await?;
    moment.commit().await?;
    decode::loaded(rooms, sensors, sensor_rooms, registry, marks, log)
}

pub(super) async fn log(
    readers: &SqlitePool,
    after: StreamId,
    up_to: StreamId,
    readings_max: u32,
) -> Result<LogPart, StoreError> {
    let rows = sqlx::query_as(sql::LOG)
        .bind(after.to_i64())
        .bind(up_to.to_i64())
        .bind(i64::from(readings_max))
        .fetch_all(readers)
        .await?;
    decode::log_part(rows)
}

pub(super) async fn log_sizes(readers: &SqlitePool) -> Result<Vec<(StreamId, u32)>, StoreError> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(sql::LOG_SIZES).fetch_all(readers).await?;
    rows.into_iter().map(decode::batch_size).collect()
}

pub(super) async fn chunk_heads(
    readers: &SqlitePool,
    series: Series,
    spans: &[Span],
) -> Result<Vec<ChunkHead>, StoreError> {
    let rows: Vec<decode::HeadColumns> = sqlx::query_as(HEADS)
        .bind(series.number())
        .bind(spans_json(spans)?)
        .fetch_all(readers)
        .await?;
    rows.into_iter().map(decode::head).collect()
}

pub(super) async fn chunks(
    readers: &SqlitePool,
    series: Series,
    spans: &[Span],
    payload_bytes_max: usize,
) -> Result<Option<Vec<Chunk>>, StoreError> {
    let rows = sqlx::query_as(CHUNKS)
        .bind(series.number())
        .bind(spans_json(spans)?)
        .fetch(readers);
    decode::chunks(rows, payload_bytes_max).await
}

fn spans_json(spans: &[Span]) -> Result<String, StoreError> {
    let spans: Vec<_> = lookups(spans)
        .iter()
        .map(|span| (span.sensor, span.first_ms, span.last_ms, span.from_ms))
        .collect();
    json(&spans)
}

/// Of the chunks that start before a span only the last can overlap it, so the look begins there.
pub(super) const CHUNKS: &str =
    "select chunks.sensor_key, chunks.start_ms, chunks.end_ms, chunks.rows, chunks.payload
    from json_each($2) as span cross join chunks
    on chunks.series = $1 and chunks.sensor_key = span.value ->> 0
        and chunks.start_ms <= span.value ->> 2
        and chunks.start_ms >= max(span.value ->> 3, coalesce((
            select max(start_ms) from chunks as before
            where before.series = $1 and before.sensor_key = span.value ->> 0
                and before.start_ms <= span.value ->> 1
        ), span.value ->> 1))
    where chunks.end_ms >= span.value ->> 1";

pub(super) const HEADS: &str =
    "select chunks.sensor_key, chunks.start_ms, chunks.end_ms, chunks.rows
    from json_each($2) as span cross join chunks
    on chunks.series = $1 and chunks.sensor_key = span.value ->> 0
        and chunks.start_ms <= span.value ->> 2
        and chunks.start_ms >= max(span.value ->> 3, coalesce((
            select max(start_ms) from chunks as before
            where before.series = $1 and before.sensor_key = span.value ->> 0
                and before.start_ms <= span.value ->> 1
        ), span.value ->> 1))
    order by chunks.sensor_key, chunks.start_ms";

pub(super) async fn check(readers: &SqlitePool) -> Result<(), StoreError> {
    sqlx::query(sql::MARKS).fetch_optional(readers).await?;
    Ok(())
}

//! Copies of a database, as a SQLite file that a server can run on.

use super::read::{self, MOMENT};
use crate::database::error::within;
use crate::database::sqlite::{Copy, NewFile};
use crate::database::{Series, StoreError, WORK_WAIT_MAX, decode, sql};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use std::path::Path;

/// Rows that are in memory at once, some megabytes of chunks.
macro_rules! page {
    ($cursor:literal) => {
        concat!("fetch 256 from ", $cursor)
    };
}

pub(super) async fn back_up(options: &PgConnectOptions, to: &Path) -> Result<(), StoreError> {
    let file = NewFile::new(to)?;
    // On a connection of its own, so that it takes none from queries for as long as it lasts.
    let mut connection = within(WORK_WAIT_MAX, async { Ok(options.connect().await?) }).await?;
    let mut copy = Copy::begin(file.partial()).await?;
    {
        let mut moment = connection.begin_with(MOMENT).await?;
        copy_places(&mut moment, &mut copy).await?;
        copy_documents(&mut moment, &mut copy).await?;
        copy_log(&mut moment, &mut copy).await?;
        copy_chunks(&mut moment, &mut copy).await?;
        moment.commit().await?;
    }
    copy.end().await?;
    file.complete().await?;
    connection.close().await?;
    Ok(())
}

async fn copy_places(connection: &mut PgConnection, copy: &mut Copy) -> Result<(), StoreError> {
    let (loaded, epochs) = within(WORK_WAIT_MAX, async {
        let loaded = read::load_places(connection).await?;
        let epochs: Vec<(i64, i64)> =
            sqlx::query_as("select epoch, started_ms from stream_epochs order by epoch")
                .fetch_all(connection)
                .await?;
        Ok((loaded, epochs))
    })
    .await?;
    copy.put(&loaded, &epochs).await
}

async fn copy_documents(connection: &mut PgConnection, copy: &mut Copy) -> Result<(), StoreError> {
    let (versions, documents) = within(WORK_WAIT_MAX, async {
        let versions: Vec<decode::VersionColumns> = sqlx::query_as(sql::DOCUMENT_VERSIONS)
            .fetch_all(&mut *connection)
            .await?;
        let documents: Vec<decode::DocumentColumns> = sqlx::query_as(sql::ALL_DOCUMENTS)
            .fetch_all(connection)
            .await?;
        Ok((versions, documents))
    })
    .await?;
    let documents: Vec<_> = documents.into_iter().map(decode::document).collect();
    copy.put_documents(&versions, &documents).await
}

async fn copy_log(connection: &mut PgConnection, copy: &mut Copy) -> Result<(), StoreError> {
    sqlx::query(
        "declare batches no scroll cursor for
        select last_id, readings, payload from log order by last_id",
    )
    .execute(&mut *connection)
    .await?;
    loop {
        let page = sqlx::query_as(page!("batches")).fetch_all(&mut *connection);
        let rows: Vec<decode::BatchColumns> =
            within(WORK_WAIT_MAX, async { Ok(page.await?) }).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let batches: Result<Vec<_>, _> = rows.into_iter().map(decode::batch).collect();
        copy.put_log(&batches?).await?;
    }
}

async fn copy_chunks(connection: &mut PgConnection, copy: &mut Copy) -> Result<(), StoreError> {
    type Row = (i64, i64, i64, i64, i64, Vec<u8>);
    sqlx::query(
        "declare packed no scroll cursor for
        select series, sensor_key, start_ms, end_ms, rows, payload from chunks
        order by series, sensor_key, start_ms",
    )
    .execute(&mut *connection)
    .await?;
    loop {
        let page = sqlx::query_as(page!("packed")).fetch_all(&mut *connection);
        let rows: Vec<Row> = within(WORK_WAIT_MAX, async { Ok(page.await?) }).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut chunks = Vec::with_capacity(rows.len());
        for (series, sensor, start, end, rows, payload) in rows {
            let chunk = decode::chunk((sensor, start, end, rows, payload))?;
            chunks.push((series_of(series)?, chunk));
        }
        copy.put_chunks(&chunks).await?;
    }
}

fn series_of(number: i64) -> Result<Series, StoreError> {
    let mut every = Series::ALL.into_iter();
    let series = every.find(|series| series.number() == number);
    series.ok_or_else(|| decode::corrupt("chunks", format!("series {number}")))
}

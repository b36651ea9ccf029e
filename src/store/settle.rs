//! From the log to chunks and roll-ups, in the background.
//!
//! A few sensors at a time: their readings of one generation and all roll-ups that follow from them
//! are one transaction, so that the next commit waits for no more than that. When it breaks off, the
//! readings are still in the log and settling them again changes nothing.

use super::directory::Directory;
use super::fold::{Change, Folded, Packed, fold, spans};
use super::recent::Rows;
use super::rows::{BucketRow, ReadingRow};
use super::{Store, pack};
use crate::database::{
    Chunk, ChunkHead, Database, Rewrite, SensorKey, SensorRow, Series, SettledSensor, Span,
    StoreError,
};

/// Sensors whose readings are settled by one transaction.
pub(super) const SENSORS_AT_ONCE: usize = 8;
/// Readings at which a transaction has enough sensors.
const READINGS_AT_ONCE: usize = 4096;
/// Sensors whose state is written by one transaction.
const STATES_AT_ONCE: usize = 1024;

/// Brings everything that is in the log into chunks and removes what the log has too much; says how
/// many readings were settled.
pub(super) async fn settle(store: &Store) -> Result<usize, StoreError> {
    let Some(rows) = store.recent.freeze() else {
        return Ok(0);
    };
    let mut sensors: Vec<_> = rows.sensors().collect();
    sensors.sort_unstable();
    for group in groups(&rows, &sensors) {
        let changes = group.iter().map(|sensor| change(&rows, *sensor)).collect();
        let rewrite = rewrite(store.database.as_ref(), changes).await?;
        store.database.rewrite(&rewrite).await?;
    }
    let mut states = sensors.chunks(STATES_AT_ONCE).peekable();
    while let Some(some) = states.next() {
        let settled_to = states.peek().is_none().then(|| rows.last());
        let rewrite = Rewrite {
            sensors: store.directory(|directory| {
                let rows = some.iter().filter_map(|key| state(directory, *key));
                rows.collect()
            }),
            settled_to,
            ..Rewrite::default()
        };
        store.database.rewrite(&rewrite).await?;
    }
    store.recent.release();
    let count = sensors.iter().map(|sensor| rows.of(*sensor).len()).sum();
    trim(store, &rows).await?;
    Ok(count)
}

/// Removes what the log has beyond what is to be kept.
async fn trim(store: &Store, settled: &Rows) -> Result<(), StoreError> {
    loop {
        let surplus = store.log.lock().surplus_to(settled.last());
        let Some(to) = surplus else { return Ok(()) };
        store.database.trim_log(to).await?;
        store.log.lock().trimmed(to);
    }
}

/// The sensors in groups that are settled together.
fn groups<'a>(rows: &'a Rows, sensors: &'a [SensorKey]) -> impl Iterator<Item = &'a [SensorKey]> {
    let mut rest = sensors;
    std::iter::from_fn(move || {
        let mut readings = 0;
        let mut count = 0;
        for sensor in rest.iter().take(SENSORS_AT_ONCE) {
            readings += rows.of(*sensor).len();
            count += 1;
            if readings >= READINGS_AT_ONCE {
                break;
            }
        }
        let (group, after) = rest.split_at(count);
        rest = after;
        (count > 0).then_some(group)
    })
}

fn state(directory: &Directory, key: SensorKey) -> Option<SensorRow> {
    let entry = directory.sensor(key)?;
    Some(SensorRow {
        key,
        id: entry.latest.scored.reading.sensor.clone(),
        room: entry.room,
        reading_count: entry.reading_count,
        settled: Some(SettledSensor {
            first_seen: entry.first_seen,
            latest: pack::pack_latest(&entry.latest.row(key)),
            newest_at: Some(entry.newest_at),
            state: Some(pack::pack_state(&pack::KeptState {
                state: entry.state.clone(),
                as_of: directory.logged(),
                is_partial: entry.is_partial,
            })),
        }),
    })
}

fn change(rows: &Rows, sensor: SensorKey) -> Change<ReadingRow> {
    let rows = rows.of(sensor).to_vec();
    Change {
        sensor,
        times: rows.iter().map(|row| row.observed_at).collect(),
        rows,
        before: None,
    }
}

/// Folds changed readings into every series, the finest first; `changes` come by sensor.
pub(super) async fn rewrite(
    database: &dyn Database,
    changes: Vec<Change<ReadingRow>>,
) -> Result<Rewrite, StoreError> {
    let mut rewrite = Rewrite::default();
    let mut changes = fold_all(database, Series::Readings, changes, &mut rewrite).await?;
    for series in Series::ALL.into_iter().skip(1) {
        changes = fold_all::<BucketRow>(database, series, changes, &mut rewrite).await?;
    }
    Ok(rewrite)
}

/// Makes the changes of one series; returns those that follow for the next.
pub(super) async fn fold_all<T: Packed + Send + 'static>(
    database: &dyn Database,
    series: Series,
    changes: Vec<Change<T>>,
    rewrite: &mut Rewrite,
) -> Result<Vec<Change<BucketRow>>, StoreError> {
    let spans: Vec<Span> = changes
        .iter()
        .flat_map(|change| spans(series, change))
        .collect();
    let heads = database.chunk_heads(series, &spans).await?;
    let wanted: Vec<Span> = heads
        .iter()
        .filter(|head| is_needed(series, head, &spans))
        .map(|head| Span {
            sensor: head.sensor,
            first: head.start,
            last: head.end,
        })
        .collect();
    let chunks = database
        .chunks(series, &wanted, usize::MAX)
        .await?
        .unwrap_or_default();
    // Packing is work for a processor, which commits are not to wait for.
    let folded = tokio::task::spawn_blocking(move || fold_each(series, changes, &heads, &chunks));
    let folded = folded
        .await
        .map_err(|error| StoreError::Unusable(format!("settling broke off: {error}")))??;
    let mut coarser = Vec::with_capacity(folded.len());
    for (sensor, folded, change) in folded {
        let removed = folded.removed.into_iter();
        rewrite
            .removed
            .extend(removed.map(|start| (series, sensor, start)));
        let written = folded.written.into_iter();
        rewrite.written.extend(written.map(|chunk| (series, chunk)));
        coarser.extend(change);
    }
    Ok(coarser)
}

type FoldedSensor = (SensorKey, Folded, Option<Change<BucketRow>>);

fn fold_each<T: Packed>(
    series: Series,
    changes: Vec<Change<T>>,
    heads: &[ChunkHead],
    chunks: &[Chunk],
) -> Result<Vec<FoldedSensor>, StoreError> {
    let each = changes.into_iter().map(|change| {
        let sensor = change.sensor;
        let heads = of_sensor(heads, sensor, |head| head.sensor);
        let chunks = of_sensor(chunks, sensor, |chunk| chunk.head.sensor);
        let (folded, coarser) = fold(series, change, heads, chunks)?;
        Ok((sensor, folded, coarser))
    });
    each.collect()
}

/// Those of one sensor, of what comes by sensor.
fn of_sensor<T>(all: &[T], sensor: SensorKey, sensor_of: impl Fn(&T) -> SensorKey) -> &[T] {
    let first = all.partition_point(|each| sensor_of(each) < sensor);
    let end = all.partition_point(|each| sensor_of(each) <= sensor);
    all.get(first..end).unwrap_or_default()
}

/// Whether a chunk is looked into: when it has rows of a span, or space for those that come after it.
fn is_needed(series: Series, head: &ChunkHead, spans: &[Span]) -> bool {
    let has_space = (head.rows as usize) < series.chunk_rows_max();
    has_space || overlaps(head, spans)
}

fn overlaps(head: &ChunkHead, spans: &[Span]) -> bool {
    let position =
        spans.partition_point(|span| (span.sensor, span.last) < (head.sensor, head.start));
    spans
        .get(position)
        .is_some_and(|span| span.sensor == head.sensor && span.first <= head.end)
}

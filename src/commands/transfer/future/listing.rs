//! Lists readings that are stored under a time in the future, as a table, CSV or JSON.

use super::ListFormat;
use crate::database::{RoomKey, SensorKey, StoreError};
use crate::domain::Timestamp;
use crate::query::guarded;
use crate::store::Store;
use std::collections::BTreeMap;

/// Readings of one sensor in one room.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) sensor: SensorKey,
    pub(super) count: u64,
    enseigne: String,
    salle: String,
    sensor_id: String,
    first: Timestamp,
    last: Timestamp,
}

const COLUMNS: [&str; 6] = ["enseigne", "salle", "sensor_id", "count", "first", "last"];

impl Listed {
    pub(super) fn names(&self) -> (&str, &str, &str) {
        (&self.enseigne, &self.salle, &self.sensor_id)
    }

    fn cells(&self) -> [String; COLUMNS.len()] {
        [
            self.enseigne.clone(),
            self.salle.clone(),
            self.sensor_id.clone(),
            self.count.to_string(),
            self.first.to_string(),
            self.last.to_string(),
        ]
    }
}

/// The readings of a sensor at or after `from`, by room.
pub(super) async fn of_sensor(
    store: &Store,
    sensor: SensorKey,
    from: Timestamp,
) -> Result<Vec<Listed>, StoreError> {
    let mut by_room: BTreeMap<RoomKey, (u64, Timestamp, Timestamp)> = BTreeMap::new();
    let mut next = Some(from);
    while let Some(from) = next {
        let page = store.page(sensor, from).await?;
        next = page.next;
        for row in page.rows {
            let at = row.observed_at;
            let (count, _, last) = by_room.entry(row.room).or_insert((0, at, at));
            *count += 1;
            *last = at;
        }
    }
    let listed = by_room
        .into_iter()
        .filter_map(|(room, (count, first, last))| {
            store.directory(|directory| {
                let place = directory.place(room)?;
                let entry = directory.sensor(sensor)?;
                Some(Listed {
                    sensor,
                    count,
                    enseigne: place.site.as_str().to_owned(),
                    salle: place.room.as_str().to_owned(),
                    sensor_id: entry.latest.scored.reading.sensor.as_str().to_owned(),
                    first,
                    last,
                })
            })
        });
    Ok(listed.collect())
}

/// The sensors of a list, each once.
pub(super) fn sensors(listed: &[Listed]) -> Vec<SensorKey> {
    let mut sensors: Vec<_> = listed.iter().map(|one| one.sensor).collect();
    sensors.sort_unstable();
    sensors.dedup();
    sensors
}

pub(super) fn written(listed: &[Listed], format: ListFormat) -> String {
    match format {
        ListFormat::Table => table(listed),
        ListFormat::Csv => csv(listed),
        ListFormat::Json => json(listed),
    }
}

fn table(listed: &[Listed]) -> String {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(listed.iter().map(Listed::cells));
    let mut widths = [0; COLUMNS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths);
        let cells: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn csv(listed: &[Listed]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let rows = std::iter::once(COLUMNS.map(str::to_owned));
    for row in rows.chain(listed.iter().map(Listed::cells)) {
        let harmless = row.map(|cell| guarded(&cell).into_owned());
        // Writing into memory cannot fail.
        writer.write_record(&harmless).unwrap_or_default();
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn json(listed: &[Listed]) -> String {
    let all: serde_json::Value = listed
        .iter()
        .map(|one| {
            serde_json::json!({
                "enseigne": one.enseigne,
                "salle": one.salle,
                "sensor_id": one.sensor_id,
                "count": one.count,
                "first": one.first.to_string(),
                "last": one.last.to_string(),
            })
        })
        .collect();
    format!("{all}\n")
}

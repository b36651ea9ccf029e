//! Lines of files as requests to store a reading: records as `iaqverse export` and `/api/iaq/data`
//! write them, flat, and readings as devices send them, with `values`.

use crate::domain::Quantity;
use crate::payload::{Format, JsonObject, RawItem, mend};
use crate::query::unguarded;
use serde_json::{Map, Value, json};

/// Why a line is not a reading.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    #[error("not JSON: {0}")]
    NotJson(String),
    #[error("not a JSON object")]
    NotAnObject,
    #[error("a mean over some time, not a reading")]
    Mean,
    #[error("extra: {0}")]
    Extra(String),
}

/// A line of NDJSON as `POST /api/ingest` takes it.
pub(super) fn of_json(line: &str) -> Result<String, RecordError> {
    if has_values(line)? {
        return Ok(line.to_owned());
    }
    let fields: Map<String, Value> = match serde_json::from_str(line) {
        Ok(fields) => fields,
        Err(error) => {
            let mut bytes = line.as_bytes().to_vec();
            if !mend(&mut bytes) {
                return Err(RecordError::NotJson(error.to_string()));
            }
            serde_json::from_slice(&bytes)
                .map_err(|error| RecordError::NotJson(error.to_string()))?
        }
    };
    let extra = match fields.get("extra") {
        Some(Value::Object(extra)) => extra.clone(),
        _ => Map::new(),
    };
    of_fields(&fields, extra)
}

/// Whether it is a reading as devices send it, of whose values the road is the judge.
fn has_values(line: &str) -> Result<bool, RecordError> {
    let mut found = Ok(false);
    let mut take = |item: RawItem<'_>| {
        found = match item {
            RawItem::Reading(raw) => Ok(raw.values.is_some() || !raw.faults.is_empty()),
            RawItem::Fault(_) => Err(RecordError::NotAnObject),
        };
    };
    let read = JsonObject.read(&mut line.as_bytes().to_vec(), 1, &mut take);
    read.map_err(|error| RecordError::NotJson(error.to_string()))?;
    found
}

/// A record of CSV under its header, the same way. With `decimal_comma` numbers may have a comma before
/// their fraction.
pub(super) fn of_cells<'a>(
    cells: impl Iterator<Item = (&'a str, &'a str)>,
    decimal_comma: bool,
) -> Result<String, RecordError> {
    let mut fields = Map::new();
    let mut extra = Map::new();
    for (column, cell) in cells {
        // Some software ends a file with them.
        let cell = cell.trim_end_matches('\0');
        if cell.is_empty() {
            continue;
        }
        if column == "extra" {
            extra = serde_json::from_str(cell)
                .map_err(|error| RecordError::Extra(error.to_string()))?;
        } else if decimal_comma && is_number(column) {
            fields.insert(column.to_owned(), cell.replacen(',', ".", 1).into());
        } else {
            fields.insert(column.to_owned(), unguarded(cell).into());
        }
    }
    of_fields(&fields, extra)
}

/// Whether a column has numbers that are stored.
fn is_number(column: &str) -> bool {
    let mut quantities = Quantity::ALL.into_iter();
    quantities.any(|quantity| quantity.flat_key() == column)
}

fn of_fields(
    fields: &Map<String, Value>,
    extra: Map<String, Value>,
) -> Result<String, RecordError> {
    if fields.contains_key("count") {
        return Err(RecordError::Mean);
    }
    let mut values = extra;
    for quantity in Quantity::ALL {
        if let Some(number) = fields.get(quantity.flat_key()) {
            values.insert(quantity.wire_key().to_owned(), number.clone());
        }
    }
    let mut reading = Map::new();
    for key in ["sensor_id", "enseigne", "salle", "timestamp"] {
        if let Some(value) = fields.get(key) {
            reading.insert(key.to_owned(), value.clone());
        }
    }
    // What is exported is in the units that are stored, whatever the setting says of devices.
    if values.contains_key(Quantity::Tvoc.wire_key()) {
        reading.insert(
            "units".to_owned(),
            json!({Quantity::Tvoc.wire_key(): "ppb"}),
        );
    }
    reading.insert("values".to_owned(), Value::Object(values));
    Ok(Value::Object(reading).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    fn json_of(record: Result<String, RecordError>) -> Value {
        serde_json::from_str(&record.unwrap()).unwrap()
    }

    #[test]
    fn a_record_becomes_the_reading_it_was() {
        let line = r#"{"timestamp":"2025-11-19T10:05:00Z","sensor_id":"a","enseigne":"M","salle":"B",
            "co2":645,"tvoc":40,"pm25":null,"global_score":81,"global_level":"good","extra":{"battery":3.1}}"#;
        let expected = json!({
            "timestamp": "2025-11-19T10:05:00Z", "sensor_id": "a", "enseigne": "M", "salle": "B",
            "values": {"CO2": 645, "TVOC": 40, "PM25": null, "battery": 3.1},
            "units": {"TVOC": "ppb"},
        });
        assert_eq!(json_of(of_json(line)), expected);
    }

    #[test]
    fn a_reading_as_devices_send_it_stays_as_it_is() {
        let line = r#"{"sensor_id":"a","values":{"CO2":"645"},"units":{}}"#;
        assert_eq!(of_json(line).unwrap(), line);
    }

    #[test]
    fn what_is_no_json_only_for_its_words_is_read_all_the_same() {
        let line = r#"{"sensor_id":"a","values":{"CO2":NaN,"\ud83d":1}}"#;
        assert_eq!(of_json(line).unwrap(), line);
        let flat = r#"{"sensor_id":"a","co2":NaN,"pm25":4}"#;
        let expected = json!({"sensor_id": "a", "values": {"CO2": "", "PM25": 4}});
        assert_eq!(json_of(of_json(flat)), expected);
    }

    #[test]
    fn cells_lose_the_apostrophe_that_made_them_harmless_and_no_other() {
        let cells = [
            ("sensor_id", "a"),
            ("enseigne", "'=HYPERLINK(1)"),
            ("salle", "''s Hertogenbosch"),
            ("co2", "645.5"),
            ("pm25", ""),
            ("temperature", "-1.5"),
            ("extra", r#"{"battery":3.1}"#),
        ];
        let expected = json!({
            "sensor_id": "a", "enseigne": "=HYPERLINK(1)", "salle": "'s Hertogenbosch",
            "values": {"CO2": "645.5", "Temperature": "-1.5", "battery": 3.1},
        });
        assert_eq!(json_of(of_cells(cells.into_iter(), false)), expected);
    }

    #[test]
    fn a_decimal_comma_is_one_of_numbers_only() {
        let cells = [
            ("salle", "a,b"),
            ("co2", "645,5"),
            ("temperature", "-1.5"),
            ("pm25", "1,2,3"),
        ];
        let expected = |co2, pm25| json!({"salle": "a,b", "values": {"CO2": co2, "Temperature": "-1.5", "PM25": pm25}});
        let with = json_of(of_cells(cells.into_iter(), true));
        assert_eq!(
            with,
            expected("645.5", "1.2,3"),
            "the second comma is refused as no number"
        );
        let without = json_of(of_cells(cells.into_iter(), false));
        assert_eq!(without, expected("645,5", "1,2,3"));
    }

    #[test]
    fn what_is_no_reading_is_told() {
        assert_eq!(of_json("[]"), Err(RecordError::NotAnObject));
        assert_eq!(of_json(r#"{"count":3,"co2":1}"#), Err(RecordError::Mean));
        assert!(matches!(of_json("{"), Err(RecordError::NotJson(_))));
        let cells = [("extra", "no")].into_iter();
        assert!(matches!(of_cells(cells, false), Err(RecordError::Extra(_))));
    }
}

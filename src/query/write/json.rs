//! Flat JSON records, in one array or one a line.
//!
//! They are put together by hand: with a serialiser every key is escaped again for every record.

use super::names::WrittenNames;
use super::text::{extras, json, number, timestamp};
use super::{Line, Names, RowWriter};
use crate::domain::{Level, Place, Quantity, SensorId};
use crate::wire::FLAT_ALWAYS;

/// See [`super::Format::Json`].
#[derive(Debug)]
pub(super) struct JsonArray {
    records: Records,
    begun: bool,
}

impl JsonArray {
    pub(super) fn new(names: &Names, minmax: bool) -> Self {
        Self {
            records: Records::new(names, minmax, true),
            begun: false,
        }
    }
}

impl RowWriter for JsonArray {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.push(b'[');
    }

    fn row(&mut self, line: &Line<'_>, out: &mut Vec<u8>) -> bool {
        let separator: &[u8] = if self.begun { b"," } else { b"" };
        let written = self.records.write(separator, line, out);
        self.begun |= written;
        written
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.push(b']');
    }
}

/// See [`super::Format::NdJson`].
#[derive(Debug)]
pub(super) struct NdJson {
    records: Records,
}

impl NdJson {
    pub(super) fn new(names: &Names, minmax: bool) -> Self {
        Self {
            records: Records::new(names, minmax, false),
        }
    }
}

impl RowWriter for NdJson {
    fn begin(&mut self, _out: &mut Vec<u8>) {}

    fn row(&mut self, line: &Line<'_>, out: &mut Vec<u8>) -> bool {
        let written = self.records.write(b"", line, out);
        if written {
            out.push(b'\n');
        }
        written
    }

    fn end(&mut self, _out: &mut Vec<u8>) {}
}

#[derive(Debug)]
struct Records {
    names: WrittenNames,
    minmax: bool,
    /// Whether nobody counted is told as nobody there, as deployed pages expect it.
    occupants_always: bool,
}

impl Records {
    fn new(names: &Names, minmax: bool, occupants_always: bool) -> Self {
        Self {
            names: names.written(sensor, place),
            minmax,
            occupants_always,
        }
    }

    fn write(&self, before: &[u8], line: &Line<'_>, out: &mut Vec<u8>) -> bool {
        let Some((sensor, place)) = self.names.of(line) else {
            return false;
        };
        out.extend_from_slice(before);
        out.extend_from_slice(b"{\"timestamp\":\"");
        timestamp(line.timestamp, out);
        out.push(b'"');
        out.extend_from_slice(sensor);
        out.extend_from_slice(place);
        values(line, self.occupants_always, out);
        score(line, out);
        if self.minmax {
            minmax(line, out);
        }
        out.push(b'}');
        true
    }
}

fn sensor(id: &SensorId) -> Vec<u8> {
    let mut out = b",\"sensor_id\":".to_vec();
    json(id.as_str(), &mut out);
    out
}

fn place(place: &Place) -> Vec<u8> {
    let mut out = b",\"enseigne\":".to_vec();
    json(place.site.as_str(), &mut out);
    out.extend_from_slice(b",\"salle\":");
    json(place.room.as_str(), &mut out);
    out
}

/// The same as [`crate::wire::flat_values`], and `extra`.
fn values(line: &Line<'_>, occupants_always: bool, out: &mut Vec<u8>) {
    for quantity in FLAT_ALWAYS {
        key(quantity.flat_key(), "", out);
        match line.values.get(quantity) {
            Some(value) => number(value, out),
            None => out.extend_from_slice(b"null"),
        }
    }
    let counted = line.values.get(Quantity::Occupants);
    if let Some(occupants) = counted.or(occupants_always.then_some(0.0)) {
        key(Quantity::Occupants.flat_key(), "", out);
        number(occupants, out);
    }
    for (quantity, value) in line.values.iter() {
        if !FLAT_ALWAYS.contains(&quantity) && quantity != Quantity::Occupants {
            key(quantity.flat_key(), "", out);
            number(value, out);
        }
    }
    if let Some(extra) = line.extras.filter(|extra| !extra.is_empty()) {
        key("extra", "", out);
        extras(extra, out);
    }
}

fn score(line: &Line<'_>, out: &mut Vec<u8>) {
    let Some(score) = line.score else {
        out.extend_from_slice(b",\"global_score\":null,\"global_level\":null");
        return;
    };
    key("global_score", "", out);
    number(score.into(), out);
    out.extend_from_slice(b",\"global_level\":\"");
    out.extend_from_slice(Level::of(score).as_str().as_bytes());
    out.push(b'"');
}

fn minmax(line: &Line<'_>, out: &mut Vec<u8>) {
    for (quantity, _) in line.values.iter() {
        envelope(quantity.flat_key(), line.extremes(quantity), out);
    }
    envelope("global_score", line.score_extremes(), out);
    key("count", "", out);
    number(line.reading_count().into(), out);
}

fn envelope(name: &str, extremes: Option<(f64, f64)>, out: &mut Vec<u8>) {
    let Some((min, max)) = extremes else { return };
    key(name, "_min", out);
    number(min, out);
    key(name, "_max", out);
    number(max, out);
}

/// A key that needs no escapes, with what parts it from the value before it and from its own.
fn key(name: &str, suffix: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(suffix.as_bytes());
    out.extend_from_slice(b"\":");
}

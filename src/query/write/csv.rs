//! CSV after RFC 4180: for spreadsheets, and for programs that want columns.

use super::dialect::Dialect;
use super::guard::{guard_json, guarded};
use super::names::WrittenNames;
use super::text::{extras, number, timestamp};
use super::{Line, Names, RowWriter};
use crate::domain::{Level, Quantity};
use csv::{Terminator, WriterBuilder};

/// See [`super::Format::Csv`]. The columns are always the same, so that no look ahead is needed; a
/// cell is empty when there is nothing to say.
#[derive(Debug)]
pub(super) struct Csv {
    names: WrittenNames,
    minmax: bool,
    dialect: Dialect,
    /// Used again for every line that has some.
    extra: Vec<u8>,
    json: Vec<u8>,
}

impl Csv {
    pub(super) fn new(names: &Names, minmax: bool, dialect: Dialect) -> Self {
        let names = names.written(
            |id| cells(&[id.as_str()], dialect),
            |place| cells(&[place.site.as_str(), place.room.as_str()], dialect),
        );
        Self {
            names,
            minmax,
            dialect,
            extra: Vec::new(),
            json: Vec::new(),
        }
    }

    fn next_cell(&self, out: &mut Vec<u8>) {
        out.push(self.dialect.delimiter());
    }

    fn text(&self, text: &str, out: &mut Vec<u8>) {
        self.next_cell(out);
        out.extend_from_slice(text.as_bytes());
    }

    fn column(&self, name: &str, suffix: &str, out: &mut Vec<u8>) {
        self.text(name, out);
        out.extend_from_slice(suffix.as_bytes());
    }

    fn number(&self, value: Option<f64>, out: &mut Vec<u8>) {
        self.next_cell(out);
        let Some(value) = value else { return };
        let begin = out.len();
        number(value, out);
        if self.dialect.has_decimal_comma() {
            let written = out.iter_mut().skip(begin);
            written
                .filter(|byte| **byte == b'.')
                .for_each(|point| *point = b',');
        }
    }

    fn envelope(&self, extremes: Option<(f64, f64)>, out: &mut Vec<u8>) {
        self.number(extremes.map(|(min, _)| min), out);
        self.number(extremes.map(|(_, max)| max), out);
    }
}

impl RowWriter for Csv {
    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.dialect.has_mark() {
            out.extend_from_slice("\u{feff}".as_bytes());
        }
        out.extend_from_slice(b"timestamp");
        for name in ["sensor_id", "enseigne", "salle"] {
            self.text(name, out);
        }
        for quantity in Quantity::ALL {
            self.column(quantity.flat_key(), "", out);
        }
        if self.minmax {
            for quantity in Quantity::ALL {
                self.column(quantity.flat_key(), "_min", out);
                self.column(quantity.flat_key(), "_max", out);
            }
        }
        for name in ["global_score", "global_level"] {
            self.text(name, out);
        }
        if self.minmax {
            for name in ["global_score_min", "global_score_max", "count"] {
                self.text(name, out);
            }
        }
        self.text("extra", out);
        out.extend_from_slice(b"\r\n");
    }

    fn row(&mut self, line: &Line<'_>, out: &mut Vec<u8>) -> bool {
        let Some((sensor, place)) = self.names.of(line) else {
            return false;
        };
        timestamp(line.timestamp, out);
        self.next_cell(out);
        out.extend_from_slice(sensor);
        self.next_cell(out);
        out.extend_from_slice(place);
        for quantity in Quantity::ALL {
            self.number(line.values.get(quantity), out);
        }
        if self.minmax {
            for quantity in Quantity::ALL {
                self.envelope(line.extremes(quantity), out);
            }
        }
        self.number(line.score.map(f64::from), out);
        let level = line.score.map_or("", |score| Level::of(score).as_str());
        self.text(level, out);
        if self.minmax {
            self.envelope(line.score_extremes(), out);
            self.number(Some(line.reading_count().into()), out);
        }
        self.next_cell(out);
        if let Some(extra) = line.extras.filter(|extra| !extra.is_empty()) {
            self.json.clear();
            extras(extra, &mut self.json);
            self.extra.clear();
            guard_json(&self.json, &mut self.extra);
            out.extend_from_slice(&row_of(&[&self.extra], self.dialect));
        }
        out.extend_from_slice(b"\r\n");
        true
    }

    fn end(&mut self, _out: &mut Vec<u8>) {}
}

/// Texts that people chose, as cells a spreadsheet shows and never runs.
fn cells(texts: &[&str], dialect: Dialect) -> Vec<u8> {
    let guarded: Vec<_> = texts.iter().map(|text| guarded(text)).collect();
    let harmless: Vec<_> = guarded.iter().map(|text| text.as_bytes()).collect();
    row_of(&harmless, dialect)
}

/// Cells with a delimiter between each two, in quotes where they need them.
fn row_of(cells: &[&[u8]], dialect: Dialect) -> Vec<u8> {
    let mut row = Vec::new();
    let mut writer = WriterBuilder::new()
        .delimiter(dialect.delimiter())
        .terminator(Terminator::Any(b'\n'))
        .buffer_capacity(256)
        .from_writer(&mut row);
    // Writing into memory cannot fail.
    writer.write_record(cells).unwrap_or_default();
    writer.flush().unwrap_or_default();
    drop(writer);
    row.pop();
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("Bureau", "Bureau")]
    #[case("a,b", "\"a,b\"")]
    #[case("the \"den\"", "\"the \"\"den\"\"\"")]
    #[case("two\nlines", "\"two\nlines\"")]
    #[case("two\rlines", "\"two\rlines\"")]
    #[case("2 - 1 = 1", "2 - 1 = 1")]
    #[case("=1+1", "'=1+1")]
    #[case("a;=1+1", "a;'=1+1")]
    #[case("a,=1+1", "\"a,'=1+1\"")]
    #[case("＝1+1", "'＝1+1")]
    #[case("＋1", "'＋1")]
    #[case("－1", "'－1")]
    #[case("＠SUM(A1)", "'＠SUM(A1)")]
    #[case("'s Hertogenbosch", "''s Hertogenbosch")]
    #[case("+1", "'+1")]
    #[case("-1", "'-1")]
    #[case("@SUM(A1)", "'@SUM(A1)")]
    #[case("\t=1", "'\t'=1")]
    #[case("\r=1", "\"'\r=1\"")]
    #[case("\0=1", "'\0=1")]
    #[case(
        "=HYPERLINK(\"http://x\",\"y\")",
        "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""
    )]
    fn texts_are_quoted_and_never_formulas(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(
            String::from_utf8(cells(&[text], Dialect::default())).unwrap(),
            expected
        );
    }
    #[rstest]
    #[case(";", "a;b", "\"a;b\"")]
    #[case(";", "a,b", "a,b")]
    #[case("tab", "a\tb", "\"a\tb\"")]
    #[case("tab", "\t=1", "\"'\t'=1\"")]
    fn what_parts_cells_is_quoted(
        #[case] delimiter: &str,
        #[case] text: &str,
        #[case] expected: &str,
    ) {
        let dialect = Dialect::new(Some(delimiter), None, false).unwrap();
        assert_eq!(
            String::from_utf8(cells(&[text], dialect)).unwrap(),
            expected
        );
    }
}

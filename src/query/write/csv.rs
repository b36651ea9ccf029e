//! CSV after RFC 4180: for spreadsheets, and for programs that want columns.

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
    /// Used again for every line that has some.
    extra: Vec<u8>,
}

impl Csv {
    pub(super) fn new(names: &Names, minmax: bool) -> Self {
        let names = names.written(
            |id| cells(&[id.as_str()]),
            |place| cells(&[place.site.as_str(), place.room.as_str()]),
        );
        Self {
            names,
            minmax,
            extra: Vec::new(),
        }
    }
}

impl RowWriter for Csv {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"timestamp,sensor_id,enseigne,salle");
        for quantity in Quantity::ALL {
            column(quantity.flat_key(), "", out);
        }
        if self.minmax {
            for quantity in Quantity::ALL {
                column(quantity.flat_key(), "_min", out);
                column(quantity.flat_key(), "_max", out);
            }
        }
        out.extend_from_slice(b",global_score,global_level");
        if self.minmax {
            out.extend_from_slice(b",global_score_min,global_score_max,count");
        }
        out.extend_from_slice(b",extra\r\n");
    }

    fn row(&mut self, line: &Line<'_>, out: &mut Vec<u8>) -> bool {
        let Some((sensor, place)) = self.names.of(line) else {
            return false;
        };
        timestamp(line.timestamp, out);
        out.push(b',');
        out.extend_from_slice(sensor);
        out.push(b',');
        out.extend_from_slice(place);
        for quantity in Quantity::ALL {
            cell(line.values.get(quantity), out);
        }
        if self.minmax {
            for quantity in Quantity::ALL {
                envelope(line.extremes(quantity), out);
            }
        }
        cell(line.score.map(f64::from), out);
        out.push(b',');
        let level = line.score.map_or("", |score| Level::of(score).as_str());
        out.extend_from_slice(level.as_bytes());
        if self.minmax {
            envelope(line.score_extremes(), out);
            cell(Some(line.reading_count().into()), out);
        }
        out.push(b',');
        if let Some(extra) = line.extras.filter(|extra| !extra.is_empty()) {
            self.extra.clear();
            extras(extra, &mut self.extra);
            out.extend_from_slice(&row_of(&[&self.extra]));
        }
        out.extend_from_slice(b"\r\n");
        true
    }

    fn end(&mut self, _out: &mut Vec<u8>) {}
}

fn column(name: &str, suffix: &str, out: &mut Vec<u8>) {
    out.push(b',');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(suffix.as_bytes());
}

fn cell(value: Option<f64>, out: &mut Vec<u8>) {
    out.push(b',');
    if let Some(value) = value {
        number(value, out);
    }
}

fn envelope(extremes: Option<(f64, f64)>, out: &mut Vec<u8>) {
    cell(extremes.map(|(min, _)| min), out);
    cell(extremes.map(|(_, max)| max), out);
}

/// What makes a spreadsheet take a text for a formula, or skip to one, when it comes first; and the
/// apostrophe that keeps it from it, so that one who reads the file knows which were there before.
pub(crate) const GUARDED_BEGINS: [char; 8] = ['=', '+', '-', '@', '\t', '\r', '\0', '\''];

/// Texts that people chose, as cells a spreadsheet shows and never runs.
fn cells(texts: &[&str]) -> Vec<u8> {
    let harmless: Vec<_> = texts
        .iter()
        .map(|text| {
            let guard = if text.starts_with(GUARDED_BEGINS) {
                "'"
            } else {
                ""
            };
            format!("{guard}{text}").into_bytes()
        })
        .collect();
    let harmless: Vec<_> = harmless.iter().map(Vec::as_slice).collect();
    row_of(&harmless)
}

/// Cells with a comma between each two, in quotes where they need them.
fn row_of(cells: &[&[u8]]) -> Vec<u8> {
    let mut row = Vec::new();
    let mut writer = WriterBuilder::new()
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
    #[case("'s Hertogenbosch", "''s Hertogenbosch")]
    #[case("+1", "'+1")]
    #[case("-1", "'-1")]
    #[case("@SUM(A1)", "'@SUM(A1)")]
    #[case("\t=1", "'\t=1")]
    #[case("\r=1", "\"'\r=1\"")]
    #[case("\0=1", "'\0=1")]
    #[case(
        "=HYPERLINK(\"http://x\",\"y\")",
        "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""
    )]
    fn texts_are_quoted_and_never_formulas(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(String::from_utf8(cells(&[text])).unwrap(), expected);
    }
}

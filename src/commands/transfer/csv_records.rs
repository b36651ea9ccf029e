//! Records of CSV one by one, in memory that no file makes grow.
//!
//! The delimiter is the first that the header has. Exports part cells by `,`, `;` or a tab, and only
//! beside one that is no comma can a comma be that of a number.

use anyhow::Context;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use std::io::{BufRead, Chain, Cursor, Read};

/// What can part cells.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];
/// What a file may begin with to say that it is UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();
/// Room for a usual record.
const BYTES_USUAL: usize = 1024;
const CELLS_USUAL: usize = 64;

/// The records of a file, the header first.
pub(super) struct CsvRecords<R> {
    reader: Chain<Cursor<Vec<u8>>, R>,
    core: Reader,
    delimiter: u8,
    record_bytes_max: usize,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// A record and the line it begins in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CsvRecord<'a> {
    pub(super) line: u64,
    pub(super) cells: Result<Vec<&'a str>, CsvFault>,
}

/// Why a record has no cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CsvFault {
    #[error("longer than {0} bytes")]
    TooLong(usize),
    #[error("not UTF-8")]
    NotUtf8,
}

impl<R: BufRead> CsvRecords<R> {
    /// A record longer than `record_bytes_max` is passed over.
    pub(super) fn new(mut reader: R, record_bytes_max: usize) -> anyhow::Result<Self> {
        let mut line = Vec::new();
        let mut limited = reader.by_ref().take(record_bytes_max as u64);
        limited.read_until(b'\n', &mut line).context("reading")?;
        if line.starts_with(MARK) {
            line.drain(..MARK.len());
        }
        let delimiter = delimiter(&line);
        Ok(Self {
            reader: Cursor::new(line).chain(reader),
            core: core(delimiter, 1),
            delimiter,
            record_bytes_max,
            bytes: vec![0; BYTES_USUAL],
            ends: vec![0; CELLS_USUAL],
        })
    }

    /// Whether a number may have a comma before its fraction.
    pub(super) fn may_have_decimal_comma(&self) -> bool {
        self.delimiter != b','
    }

    /// The next record; `None` at the end.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<CsvRecord<'_>>> {
        let (mut bytes, mut cells, mut used) = (0, 0, 0);
        let mut line = self.core.line();
        loop {
            let input = self.reader.fill_buf().context("reading")?;
            let empty = input.iter().take_while(|byte| b"\r\n".contains(byte));
            if used == 0 && empty.clone().next().is_some() {
                // Empty lines between records are none.
                let (passed, lines) = (empty.clone().count(), empty.filter(|byte| **byte == b'\n'));
                line += lines.count() as u64;
                self.core.set_line(line);
                self.reader.consume(passed);
                continue;
            }
            let limited = input.get(..self.record_bytes_max - used).unwrap_or(input);
            if limited.is_empty() && !input.is_empty() {
                // A quote that is never closed would go on to the end: the next line is a new record.
                let passed = self.core.line();
                skip_line(&mut self.reader)?;
                self.core = core(self.delimiter, passed + 1);
                let fault = CsvFault::TooLong(self.record_bytes_max);
                return Ok(Some(CsvRecord {
                    line,
                    cells: Err(fault),
                }));
            }
            let free = (
                self.bytes.get_mut(bytes..).unwrap_or_default(),
                self.ends.get_mut(cells..).unwrap_or_default(),
            );
            let (result, taken, written, ended) = self.core.read_record(limited, free.0, free.1);
            self.reader.consume(taken);
            (bytes, cells, used) = (bytes + written, cells + ended, used + taken);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.bytes.resize(self.bytes.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    let cells = self.cells(cells);
                    return Ok(Some(CsvRecord { line, cells }));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    fn cells(&self, count: usize) -> Result<Vec<&str>, CsvFault> {
        let mut begin = 0;
        let cells = self.ends.iter().take(count).map(|end| {
            let cell = self.bytes.get(begin..*end).unwrap_or_default();
            begin = *end;
            std::str::from_utf8(cell).ok().ok_or(CsvFault::NotUtf8)
        });
        cells.collect()
    }
}

fn core(delimiter: u8, line: u64) -> Reader {
    let mut core = ReaderBuilder::new().delimiter(delimiter).build();
    core.set_line(line);
    core
}

/// The first delimiter of a header that is not in quotes.
fn delimiter(header: &[u8]) -> u8 {
    let mut quoted = false;
    for byte in header {
        quoted ^= *byte == b'"';
        if !quoted && DELIMITERS.contains(byte) {
            return *byte;
        }
    }
    b','
}

/// Passes over what is left of a line.
pub(super) fn skip_line(reader: &mut impl BufRead) -> anyhow::Result<()> {
    loop {
        let buffer = reader.fill_buf().context("reading")?;
        let (used, ends) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(position) => (position + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(used);
        if ends {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use rstest::rstest;
    use std::io::BufReader;

    type Told = Vec<(u64, Result<Vec<String>, CsvFault>)>;

    fn records(text: &[u8], record_bytes_max: usize, buffer_bytes: usize) -> Told {
        let reader = BufReader::with_capacity(buffer_bytes, text);
        let mut records = CsvRecords::new(reader, record_bytes_max).unwrap();
        let mut told = Vec::new();
        while let Some(CsvRecord { line, cells }) = records.next().unwrap() {
            let owned = cells.map(|cells| cells.into_iter().map(str::to_owned).collect());
            told.push((line, owned));
        }
        told
    }

    fn cells(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[rstest]
    #[case("a,b\n1,2\n", "1")]
    #[case("a;b\n1;2\n", "1")]
    #[case("a\tb\r\n1\t2", "1")]
    #[case("\u{feff}a;b\n1;2\n", "1")]
    #[case("\"a,x\";b\n1;2\n", "1")]
    #[case("a;b\n\"1;\n\"\"\";2\n", "1;\n\"")]
    fn the_header_says_what_parts_cells(#[case] text: &str, #[case] cell: &str) {
        let told = records(text.as_bytes(), 100, 3);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[1], (2, Ok(cells(&[cell, "2"]))));
    }

    #[rstest]
    fn a_record_that_is_too_long_is_told_and_the_rest_goes_on(
        #[values(1, 7, 64, 4096)] buffer_bytes: usize,
    ) {
        let long = "x".repeat(100);
        let text = format!("a,b\n{long},1\n\n3,4\n\"{long}\n,5\n6,7\n");
        let told = records(text.as_bytes(), 64, buffer_bytes);
        let too_long = Err(CsvFault::TooLong(64));
        let expected = [
            (1, Ok(cells(&["a", "b"]))),
            (2, too_long.clone()),
            (4, Ok(cells(&["3", "4"]))),
            (5, too_long),
            (6, Ok(cells(&["", "5"]))),
            (7, Ok(cells(&["6", "7"]))),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn many_empty_lines_are_no_record() {
        let text = format!("a,b\n{}1,2\n", "\n".repeat(500));
        let told = records(text.as_bytes(), 64, 16);
        assert_eq!(
            told,
            [(1, Ok(cells(&["a", "b"]))), (502, Ok(cells(&["1", "2"])))]
        );
    }

    #[test]
    fn what_is_not_utf_8_is_told() {
        let told = records(b"a,b\n\xff,2\n1,2\n", 64, 16);
        let expected = [
            (1, Ok(cells(&["a", "b"]))),
            (2, Err(CsvFault::NotUtf8)),
            (3, Ok(cells(&["1", "2"]))),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_file_without_end_and_lines_takes_little_memory() {
        let reader = BufReader::new(std::io::repeat(0).take(100 << 20));
        let mut records = CsvRecords::new(reader, 1 << 20).unwrap();
        while records.next().unwrap().is_some() {}
        assert!(records.bytes.capacity() <= 4 << 20 && records.ends.capacity() <= 1 << 20);
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(
            rows in prop::collection::vec(prop::collection::vec(any::<String>(), 2..4), 1..10),
            delimiter in prop::sample::select(&DELIMITERS),
            buffer_bytes in 1..100_usize,
        ) {
            let mut writer = csv::WriterBuilder::new()
                .delimiter(delimiter)
                .flexible(true)
                .from_writer(Vec::new());
            writer.write_record(["sensor_id", "salle", "extra"]).unwrap();
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let text = writer.into_inner().unwrap();
            let told = records(&text, 1 << 20, buffer_bytes);
            let cells: Vec<_> = told.into_iter().skip(1).map(|(_, cells)| cells.unwrap()).collect();
            prop_assert_eq!(cells, rows);
        }
    }
}

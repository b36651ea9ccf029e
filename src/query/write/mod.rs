//! Readings and buckets → bytes that people and programs take away.
//!
//! Nothing here knows of HTTP: a [`RowWriter`] appends to a buffer, whoever sends or stores it.

mod csv;
mod dialect;
mod guard;
mod json;
mod line;
mod names;
mod text;

pub use dialect::{Dialect, DialectError};
pub(crate) use guard::{guarded, unguarded};
pub use line::Line;
pub(super) use line::means;
pub use names::Names;

use std::fmt::Debug;

/// How a history is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One array of flat records.
    Json,
    /// A header line, then one line for each record (RFC 4180).
    Csv,
    /// One flat record a line.
    NdJson,
}

impl Format {
    /// Every format, the preferred first.
    pub const ALL: [Self; 3] = [Self::Json, Self::Csv, Self::NdJson];

    /// The name it is asked for by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::NdJson => "ndjson",
        }
    }

    /// The format called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }

    /// Type and subtype, without parameters.
    pub const fn media_type(self) -> (&'static str, &'static str) {
        match self {
            Self::Json => ("application", "json"),
            Self::Csv => ("text", "csv"),
            Self::NdJson => ("application", "x-ndjson"),
        }
    }

    /// Value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::NdJson => "application/x-ndjson",
        }
    }

    /// A writer of this format. With `minmax` each record also has the least and greatest value of
    /// every quantity and of the score, and the number of readings it stands for. The dialect is that of
    /// CSV.
    pub fn writer(self, names: &Names, minmax: bool, dialect: Dialect) -> Box<dyn RowWriter> {
        match self {
            Self::Json => Box::new(json::JsonArray::new(names, minmax)),
            Self::Csv => Box::new(csv::Csv::new(names, minmax, dialect)),
            Self::NdJson => Box::new(json::NdJson::new(names, minmax)),
        }
    }
}

/// Writes lines of a history, in the order they come in.
pub trait RowWriter: Debug + Send {
    /// What is before the first line; called once.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// One line. `false`, and nothing is written, when its sensor or room is not among the names:
    /// the sensor came there after they were taken.
    fn row(&mut self, line: &Line<'_>, out: &mut Vec<u8>) -> bool;

    /// What is behind the last line; called once, also when there was none.
    fn end(&mut self, out: &mut Vec<u8>);
}

#[cfg(test)]
mod tests;

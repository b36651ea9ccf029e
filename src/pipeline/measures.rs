//! What the road counts of itself for operators. What each name means stands in `server::metrics`.

use super::Notes;
use crate::fault::READING_CODES;
use crate::store::Outcome;
use metrics::{Counter, counter};

/// What refusals are counted as whose code is not in the list.
const OTHER: &str = "other";

/// Counters, looked up once.
#[derive(Debug)]
pub struct Measures {
    refused: Vec<(&'static str, Counter)>,
    other: Counter,
    partial: Counter,
    left_out: Counter,
}

impl Default for Measures {
    fn default() -> Self {
        let refused = |code| counter!("iaqverse_readings_refused_total", "code" => code);
        Self {
            refused: READING_CODES.map(|code| (code, refused(code))).to_vec(),
            other: refused(OTHER),
            partial: counter!("iaqverse_readings_partial_total"),
            left_out: counter!("iaqverse_values_left_out_total"),
        }
    }
}

impl Measures {
    /// What became of the readings of a body.
    pub(super) fn told(&self, outcomes: &[Outcome], notes: &Notes) {
        for outcome in outcomes {
            match outcome {
                Outcome::Refused(rejection) => self.refused(rejection.code()),
                Outcome::Counted(code) => self.refused(code),
                // The store counts these.
                Outcome::Accepted(_)
                | Outcome::Updated(_)
                | Outcome::Duplicate(_)
                | Outcome::InPart { .. } => {}
            }
        }
        self.partial.increment(notes.partial_readings as u64);
        self.left_out.increment(notes.ignored_total as u64);
    }

    fn refused(&self, code: &str) {
        let mut refused = self.refused.iter();
        let known = refused.find(|(known, _)| *known == code);
        known
            .map_or(&self.other, |(_, counter)| counter)
            .increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    /// The document and the counters have the same codes, so that none is counted as another.
    #[test]
    fn every_code_of_a_reading_is_counted_by_its_name() {
        let document = include_str!("../../docs/API.md");
        let (_, codes) = document.split_once("Codes of fields: ").unwrap();
        let (codes, _) = codes.split_once("; of the calls about").unwrap();
        let (codes, is_name) = (codes.split('`'), |at: &usize| at % 2 == 1);
        let codes = codes.enumerate().filter(|(at, _)| is_name(at));
        let codes: Vec<_> = codes
            .map(|(_, code)| code)
            .filter(|code| !code.starts_with('\\'))
            .collect();
        assert_eq!(codes, READING_CODES);
    }
}

//! Bounds how many refused readings of one batch are told in detail; the others are counted.

use super::Outcome;

/// Most refused readings of one batch that are told with their faults; the others are counted.
pub const REFUSALS_TOLD_MAX: usize = 100;
/// Most bytes of such faults: what an answer has space for.
pub const REFUSALS_TOLD_BYTES_MAX: usize = 256 * 1024;

/// What is left to be told of one batch.
#[derive(Debug, Clone)]
pub struct Telling {
    refusals_left: usize,
    bytes_left: usize,
}

impl Default for Telling {
    fn default() -> Self {
        Self {
            refusals_left: REFUSALS_TOLD_MAX,
            bytes_left: REFUSALS_TOLD_BYTES_MAX,
        }
    }
}

impl Telling {
    /// The same outcome; of a refusal only its code, when enough of them came before it.
    pub fn of(&mut self, outcome: Outcome) -> Outcome {
        match &outcome {
            Outcome::Refused(rejection) => {
                let bytes = rejection.told_bytes();
                if !self.has_ended() && bytes <= self.bytes_left {
                    self.refusals_left -= 1;
                    self.bytes_left -= bytes;
                    return outcome;
                }
                self.end();
                Outcome::Counted(rejection.code())
            }
            Outcome::Counted(_) => {
                self.end();
                outcome
            }
            Outcome::Accepted(_)
            | Outcome::Updated(_)
            | Outcome::Duplicate(_)
            | Outcome::InPart { .. } => outcome,
        }
    }

    /// Those told are the first: none behind one that is counted is told.
    fn end(&mut self) {
        self.refusals_left = 0;
    }

    /// Whether no further refusal is told.
    pub fn has_ended(&self) -> bool {
        self.refusals_left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{FieldError, Rejection};

    fn refusal(detail: String) -> Outcome {
        Outcome::Refused(Rejection::of(FieldError::new("/salle", "bad_name", detail)))
    }

    fn told(outcomes: impl Iterator<Item = Outcome>) -> usize {
        let mut telling = Telling::default();
        let thinned = outcomes.map(|outcome| telling.of(outcome));
        let is_told = thinned.map(|outcome| match outcome {
            Outcome::Refused(_) => true,
            Outcome::Counted("bad_name") => false,
            other => panic!("{other:?}"),
        });
        let is_told: Vec<_> = is_told.collect();
        assert!(
            is_told.is_sorted_by(|a, b| a >= b),
            "those told are the first"
        );
        is_told.into_iter().filter(|told| *told).count()
    }

    #[test]
    fn refusals_are_told_up_to_a_number_and_to_a_size() {
        assert_eq!(
            told((0..200).map(|_| refusal(String::new()))),
            REFUSALS_TOLD_MAX
        );
        let long = || refusal("x".repeat(REFUSALS_TOLD_BYTES_MAX / 10));
        // The smaller ones behind the one that did not fit are not told.
        let small = (0..5).map(|_| refusal(String::new()));
        assert_eq!(told((0..20).map(|_| long()).chain(small)), 9);
    }
}

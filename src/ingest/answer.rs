//! What became of the readings of a batch, as it is answered.

use super::shapes::Rejected;
use crate::fault::Rejection;
use crate::store::{Outcome, REFUSALS_TOLD_BYTES_MAX};
use std::collections::BTreeMap;

/// Largest answer to a batch. A refused reading that does not fit is not told, nor are those behind
/// it; all are counted.
pub(super) const ANSWER_BYTES_MAX: usize = REFUSALS_TOLD_BYTES_MAX;
/// What an answer has before and behind the counts: the members of a problem.
const REST_BYTES_MAX: usize = 2 * 1024;

/// Counts of a batch; together they are the readings sent.
#[derive(Debug, Default)]
pub(super) struct Counts {
    accepted: usize,
    duplicates: usize,
    updated: usize,
    rejected: usize,
    /// Readings refused, by the code of the first fault of each.
    rejected_by_code: BTreeMap<&'static str, usize>,
    /// The first of those refused, with their places among the readings sent.
    told: Vec<(usize, Rejection)>,
}

impl Counts {
    pub(super) fn of(outcomes: Vec<Outcome>) -> Self {
        let mut counts = Self::default();
        for (index, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Outcome::Accepted(_) => counts.accepted += 1,
                Outcome::Duplicate(_) => counts.duplicates += 1,
                Outcome::Updated(_) => counts.updated += 1,
                Outcome::Refused(rejection) => {
                    counts.refuse(rejection.code());
                    counts.told.push((index, rejection));
                }
                Outcome::Counted(code) => counts.refuse(code),
            }
        }
        counts
    }

    fn refuse(&mut self, code: &'static str) {
        self.rejected += 1;
        *self.rejected_by_code.entry(code).or_default() += 1;
    }

    pub(super) fn none_is_refused(&self) -> bool {
        self.rejected == 0
    }

    pub(super) fn all_are_refused(&self) -> bool {
        self.rejected > 0 && self.accepted + self.duplicates + self.updated == 0
    }

    /// Whether every refusal is for this reason.
    pub(super) fn are_all_refused_as(&self, code: &str) -> bool {
        self.rejected_by_code.keys().all(|known| *known == code)
    }

    /// The counts as members of a JSON object, without its braces. Each refusal is written once, into
    /// the text that is sent.
    pub(super) fn members(&self) -> String {
        let Self {
            accepted,
            duplicates,
            updated,
            rejected,
            ..
        } = self;
        let end = if self.none_is_refused() {
            "]".to_owned()
        } else {
            // Only texts and numbers: serialising them cannot fail.
            let by_code = serde_json::to_string(&self.rejected_by_code).unwrap_or_default();
            format!(r#"],"rejected_total":{rejected},"rejected_by_code":{by_code}"#)
        };
        let mut members = format!(
            r#""accepted":{accepted},"duplicates":{duplicates},"updated":{updated},"rejected":["#
        );
        let bytes_max = ANSWER_BYTES_MAX - REST_BYTES_MAX - end.len();
        for (index, rejection) in &self.told {
            let told = Rejected {
                index: *index,
                sensor_id: rejection.sensor_id.as_deref(),
                errors: &rejection.errors,
            };
            let told = serde_json::to_string(&told).unwrap_or_default();
            if members.len() + 1 + told.len() > bytes_max {
                break;
            }
            if !members.ends_with('[') {
                members.push(',');
            }
            members += &told;
        }
        members + &end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FieldError;
    use crate::ingest::shapes::BatchTaken;
    use serde_json::{Value, json};
    use utoipa::PartialSchema;

    fn refused(detail: &str) -> Outcome {
        let error = FieldError::new("/salle", "bad_name", detail.to_owned());
        Outcome::Refused(Rejection::of(error))
    }

    fn parsed(counts: &Counts) -> Value {
        let members = counts.members();
        assert!(members.len() <= ANSWER_BYTES_MAX - REST_BYTES_MAX);
        serde_json::from_str(&format!("{{{members}}}")).unwrap()
    }

    #[test]
    fn refusals_are_told_while_they_fit_and_always_counted() {
        // A control character takes six bytes in JSON, so that more is told than fits.
        let long = "\u{1}".repeat(1024);
        let mut outcomes: Vec<_> = (0..100).map(|_| refused(&long)).collect();
        outcomes.push(Outcome::Counted("not_json"));
        let counts = Counts::of(outcomes);
        assert!(counts.all_are_refused() && !counts.are_all_refused_as("bad_name"));
        let answer = parsed(&counts);
        assert_eq!(answer["rejected"].as_array().unwrap().len(), 41);
        assert_eq!(answer["rejected"][40]["index"], 40);
        assert_eq!(answer["rejected_total"], 101);
        assert_eq!(
            answer["rejected_by_code"],
            json!({"bad_name": 100, "not_json": 1})
        );
    }

    #[test]
    fn counts_are_written_as_they_are_described() {
        let schema = serde_json::to_value(BatchTaken::schema()).unwrap();
        let described = schema["properties"].as_object().unwrap();
        let counts = parsed(&Counts::of(vec![refused("x")]));
        let mut written: Vec<_> = counts.as_object().unwrap().keys().collect();
        let status = "status".to_owned();
        written.push(&status);
        assert!(written.iter().all(|name| described.contains_key(*name)));
        assert_eq!(written.len(), described.len());
    }

    #[test]
    fn an_answer_that_refuses_nothing_names_no_refusals() {
        let nothing = json!({"accepted": 0, "duplicates": 0, "updated": 0, "rejected": []});
        let counts = Counts::of(Vec::new());
        assert!(counts.none_is_refused() && !counts.all_are_refused());
        assert_eq!(parsed(&counts), nothing);
    }
}

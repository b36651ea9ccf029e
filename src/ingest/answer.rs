//! What became of the readings of a batch, as it is answered.

use super::shapes::{Assumed, Ignored, Rejected};
use crate::fault::Rejection;
use crate::pipeline::Notes;
use crate::store::{Became, Outcome, REFUSALS_TOLD_BYTES_MAX};
use serde::Serialize;
use std::collections::BTreeMap;

/// Largest answer to a batch. A refused reading that does not fit is not told, nor are those behind
/// it; all are counted.
pub(super) const ANSWER_BYTES_MAX: usize = REFUSALS_TOLD_BYTES_MAX;
/// What an answer has before and behind the counts: the members of a problem.
const REST_BYTES_MAX: usize = 2 * 1024;
/// What the values left out of readings may take of it, so that they leave space for refused readings.
const IGNORED_BYTES_MAX: usize = 64 * 1024;

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
    /// What else is told of those that were taken.
    notes: Notes,
    assumed: Vec<Assumed>,
}

impl Counts {
    pub(super) fn of(outcomes: Vec<Outcome>, notes: Notes, assumed: Vec<Assumed>) -> Self {
        let mut counts = Self {
            notes,
            assumed,
            ..Self::default()
        };
        for (index, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Outcome::Refused(rejection) => {
                    counts.refuse(rejection.code());
                    counts.told.push((index, rejection));
                }
                Outcome::Counted(code) => counts.refuse(code),
                taken => match taken.taken() {
                    Some((_, Became::New)) => counts.accepted += 1,
                    Some((_, Became::Changed)) => counts.updated += 1,
                    Some((_, Became::Same)) | None => counts.duplicates += 1,
                },
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

    pub(super) fn nothing_is_ignored(&self) -> bool {
        self.notes.ignored_total == 0
    }

    pub(super) fn all_are_refused(&self) -> bool {
        self.rejected > 0 && self.accepted + self.duplicates + self.updated == 0
    }

    /// Whether every refusal is for a reason of this kind.
    pub(super) fn are_all_refused_as(&self, is_kind: impl Fn(&str) -> bool) -> bool {
        self.rejected_by_code.keys().all(|code| is_kind(code))
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
        let counted = if self.none_is_refused() {
            String::new()
        } else {
            let by_code = json(&self.rejected_by_code);
            format!(r#","rejected_total":{rejected},"rejected_by_code":{by_code}"#)
        };
        let end = format!("]{counted}{}{}", self.ignored(), self.assumed());
        let mut members = format!(
            r#""accepted":{accepted},"duplicates":{duplicates},"updated":{updated},"rejected":["#
        );
        let bytes_max = ANSWER_BYTES_MAX - REST_BYTES_MAX - end.len();
        let told = self.told.iter().map(|(index, rejection)| Rejected {
            index: *index,
            sensor_id: rejection.sensor_id.as_deref(),
            errors: &rejection.errors,
        });
        push_while_they_fit(&mut members, bytes_max, told);
        members + &end
    }

    /// What was left out, as further members; nothing when nothing was.
    fn ignored(&self) -> String {
        if self.nothing_is_ignored() {
            return String::new();
        }
        let told = self.notes.ignored.iter();
        let told = told.map(|(index, error)| Ignored::of(*index, error));
        let mut members = r#","ignored":["#.to_owned();
        push_while_they_fit(&mut members, IGNORED_BYTES_MAX, told);
        let total = self.notes.ignored_total;
        format!(r#"{members}],"ignored_total":{total}"#)
    }

    /// What was assumed, as a further member; nothing when nothing was.
    fn assumed(&self) -> String {
        if self.assumed.is_empty() {
            return String::new();
        }
        format!(r#","assumed":{}"#, json(&self.assumed))
    }
}

/// Writes items of a list behind its bracket, up to the first that would make the text too long.
fn push_while_they_fit(
    text: &mut String,
    bytes_max: usize,
    items: impl Iterator<Item = impl Serialize>,
) {
    for item in items {
        let item = json(&item);
        if text.len() + 1 + item.len() > bytes_max {
            return;
        }
        if !text.ends_with('[') {
            text.push(',');
        }
        *text += &item;
    }
}

fn json(told: &impl Serialize) -> String {
    // Only texts and numbers: serialising them cannot fail.
    serde_json::to_string(told).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FieldError;
    use crate::ingest::shapes::BatchTaken;
    use crate::validate::TvocUnit;
    use serde_json::{Value, json};
    use utoipa::PartialSchema;

    fn error(detail: &str) -> FieldError {
        FieldError::new("/salle", "bad_name", detail.to_owned())
    }

    fn refused(detail: &str) -> Outcome {
        Outcome::Refused(Rejection::of(error(detail)))
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
        let counts = Counts::of(outcomes, Notes::default(), Vec::new());
        assert!(counts.all_are_refused() && !counts.are_all_refused_as(|code| code == "bad_name"));
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
    fn values_left_out_leave_space_for_refusals() {
        let long = "\u{1}".repeat(1024);
        let notes = Notes {
            ignored: (0..100).map(|index| (index, error(&long))).collect(),
            ignored_total: 5000,
            partial_readings: 100,
            tvoc_units_assumed: 0,
        };
        let outcomes = (0..100).map(|_| refused(&long)).collect();
        let answer = parsed(&Counts::of(outcomes, notes, Vec::new()));
        assert_eq!(answer["ignored"].as_array().unwrap().len(), 10);
        assert_eq!(answer["ignored"][9]["index"], 9);
        assert_eq!(answer["ignored_total"], 5000);
        assert_eq!(answer["rejected"].as_array().unwrap().len(), 31);
    }

    #[test]
    fn counts_are_written_as_they_are_described() {
        let schema = serde_json::to_value(BatchTaken::schema()).unwrap();
        let described = schema["properties"].as_object().unwrap();
        let notes = Notes {
            ignored: vec![(1, error("x"))],
            ignored_total: 1,
            partial_readings: 1,
            tvoc_units_assumed: 1,
        };
        let assumed = Assumed::of(&notes, TvocUnit::Ppb);
        let counts = parsed(&Counts::of(vec![refused("x")], notes, assumed));
        let mut written: Vec<_> = counts.as_object().unwrap().keys().collect();
        let status = "status".to_owned();
        written.push(&status);
        assert!(written.iter().all(|name| described.contains_key(*name)));
        assert_eq!(written.len(), described.len());
    }

    #[test]
    fn an_answer_that_refuses_nothing_names_no_refusals() {
        let nothing = json!({"accepted": 0, "duplicates": 0, "updated": 0, "rejected": []});
        let counts = Counts::of(Vec::new(), Notes::default(), Vec::new());
        assert!(counts.none_is_refused() && !counts.all_are_refused());
        assert_eq!(parsed(&counts), nothing);
    }
}

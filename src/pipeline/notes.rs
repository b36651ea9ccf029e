//! What is told of the readings of a body that are taken.

use crate::fault::{FieldError, Ignored};
use crate::store::{LeftOut, Outcome};

/// Most values left out of the readings of one body that are told with their faults; the others are
/// counted.
pub const IGNORED_TOLD_MAX: usize = 100;

/// What whoever sent readings should know of those that are taken.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Notes {
    /// The first of the values that were left out, each with the place of its reading among those sent.
    pub ignored: Vec<(usize, FieldError)>,
    /// How many values were left out.
    pub ignored_total: usize,
    /// Of how many readings.
    pub partial_readings: usize,
    /// Readings whose TVOC came without its unit.
    pub tvoc_units_assumed: usize,
}

/// What is to be told of one reading, once it is stored.
#[derive(Debug)]
struct Note {
    index: usize,
    ignored: Ignored,
    is_tvoc_unit_assumed: bool,
}

/// Notes of readings that are on their way to the store.
#[derive(Debug)]
pub(super) struct NoteBook {
    notes: Vec<Note>,
    told_left: usize,
}

impl Default for NoteBook {
    fn default() -> Self {
        Self {
            notes: Vec::new(),
            told_left: IGNORED_TOLD_MAX,
        }
    }
}

impl NoteBook {
    /// Whether no further fault is told.
    pub(super) fn has_ended(&self) -> bool {
        self.told_left == 0
    }

    pub(super) fn add(&mut self, index: usize, mut ignored: Ignored, is_tvoc_unit_assumed: bool) {
        if ignored.total == 0 && !is_tvoc_unit_assumed {
            return;
        }
        ignored.told.truncate(self.told_left);
        // There may be a note for each of many readings: none keeps space for what it does not tell.
        ignored.told.shrink_to_fit();
        self.told_left -= ignored.told.len();
        self.notes.push(Note {
            index,
            ignored,
            is_tvoc_unit_assumed,
        });
    }

    /// What is told, now that it is known what became of each reading: of one that the store refused,
    /// nothing, and of one that it merged, the keys that had no space.
    pub(super) fn of_taken(self, outcomes: &[Outcome]) -> Notes {
        let mut taken = Notes::default();
        let mut told_left = self.told_left;
        let mut notes = self.notes.into_iter().peekable();
        for (index, outcome) in outcomes.iter().enumerate() {
            let before = taken.ignored_total;
            let note = notes.next_if(|note| note.index == index);
            if let Some(note) = note.filter(|_| outcome.taken().is_some()) {
                let told = note.ignored.told.into_iter();
                taken.ignored.extend(told.map(|error| (index, error)));
                taken.ignored_total += note.ignored.total;
                taken.tvoc_units_assumed += usize::from(note.is_tvoc_unit_assumed);
            }
            if let Outcome::InPart { left_out, .. } = outcome {
                let LeftOut { keys, place } = *left_out;
                taken.ignored_total += keys + usize::from(place);
                let told = [(keys > 0).then(no_space), place.then(pinned)];
                for error in told.into_iter().flatten().take(told_left) {
                    taken.ignored.push((index, error));
                }
                told_left = told_left.saturating_sub(told_count(*left_out));
            }
            taken.partial_readings += usize::from(taken.ignored_total > before);
        }
        taken
    }
}

fn told_count(left_out: LeftOut) -> usize {
    usize::from(left_out.keys > 0) + usize::from(left_out.place)
}

fn pinned() -> FieldError {
    FieldError::new(
        "/salle",
        "pinned",
        "a person has said that the sensor stands in another room, which counts until the sensor is \
            pinned no more",
    )
}

fn no_space() -> FieldError {
    FieldError::new(
        "/values",
        "too_many_keys",
        "with what is stored of this moment there are more than the 32 keys that are kept beside the \
            known quantities",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Extras, Reading, SensorId, Timestamp, Values};
    use crate::score::Profile;
    use crate::store::{Became, ScoredReading};
    use pretty_assertions::assert_eq;
    use std::sync::Arc;

    fn ignored(told: usize, total: usize) -> Ignored {
        let error = FieldError::new("/values/CO2", "out_of_range", "");
        Ignored {
            told: vec![error; told],
            total,
        }
    }

    #[test]
    fn what_is_refused_where_it_is_stored_is_not_told_and_what_has_no_space_there_is() {
        let mut book = NoteBook::default();
        book.add(0, ignored(1, 1), true);
        book.add(2, ignored(1, 3), true);
        let scored = Arc::new(scored());
        let outcomes = [
            Outcome::Counted("forbidden"),
            Outcome::InPart {
                scored: Arc::clone(&scored),
                became: Became::Changed,
                left_out: LeftOut {
                    keys: 4,
                    place: false,
                },
            },
            Outcome::Accepted(scored),
        ];
        let notes = book.of_taken(&outcomes);
        let told = notes
            .ignored
            .iter()
            .map(|(index, error)| (*index, error.code));
        let expected = [(1, "too_many_keys"), (2, "out_of_range")];
        assert_eq!(told.collect::<Vec<_>>(), expected);
        assert_eq!((notes.ignored_total, notes.tvoc_units_assumed), (7, 1));
        assert_eq!(notes.partial_readings, 2);
    }

    fn scored() -> ScoredReading {
        let values = Values::default();
        ScoredReading {
            assessment: Profile::Iaqverse.assess(&values),
            reading: Reading {
                sensor: SensorId::parse("s").unwrap(),
                site: None,
                room: None,
                observed_at: Timestamp::from_millis(0),
                values,
                extras: Extras::default(),
                tvoc_unit_assumed: false,
            },
        }
    }

    #[test]
    fn values_left_out_are_told_up_to_a_number_and_all_counted() {
        let mut book = NoteBook::default();
        for index in 0..10 {
            assert_eq!(book.has_ended(), index >= 5);
            book.add(index, ignored(20, 50), false);
        }
        let outcomes = vec![Outcome::Counted("x"); 10];
        assert_eq!(
            book.notes
                .iter()
                .map(|note| note.ignored.told.len())
                .sum::<usize>(),
            100
        );
        assert_eq!(book.of_taken(&outcomes), Notes::default());
    }
}

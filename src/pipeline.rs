//! THE road of a reading, in one function.
//!
//! bytes → [`RawReading`](crate::payload::RawReading) → [`Reading`](crate::domain::Reading) →
//! [`ScoredReading`] → durable → broadcast. The last step is the writer's: it publishes what it has
//! committed before it answers, so nothing is broadcast or acknowledged that a restart can lose.

mod measures;
mod notes;

pub use measures::Measures;
pub use notes::{IGNORED_TOLD_MAX, Notes};

use crate::access::{Access, Caller, Counted, Limited, may_write};
use crate::clock::Clock;
use crate::domain::Reading;
use crate::fault::{FAULTS_MAX, Rejection};
use crate::http::{Body, BodyMemory};
use crate::payload::{BatchError, Format, RawItem};
use crate::score::Profile;
use crate::store::{AppendError, Author, Outcome, ScoredReading, Store, Telling, WriteQueue};
use crate::validate::{self, Rules, TvocUnit, Valid};
use notes::NoteBook;
use rustc_hash::FxHashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Why no reading of a body was taken.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error(transparent)]
    Body(#[from] BatchError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("the body could not be worked on")]
    Aborted,
    /// A reading without a time came while the server has none either.
    #[error("the clock of the server is not set")]
    ClockNotSet,
    #[error("too many readings of one sender")]
    Limited(Limited),
}

/// The stages a reading passes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pipeline {
    pub clock: Arc<dyn Clock>,
    pub tvoc_unit: TvocUnit,
    pub profile: Profile,
    pub readings_max: usize,
    pub store: Store,
    pub queue: WriteQueue,
    pub measures: Arc<Measures>,
    /// Whose limits count; `None` where nobody is limited.
    pub access: Option<Access>,
}

/// What became of the readings of a body.
#[derive(Debug)]
pub struct Taken {
    /// One for each reading, in the order sent.
    pub outcomes: Vec<Outcome>,
    pub notes: Notes,
}

impl Pipeline {
    /// Takes a whole body and says what became of each reading once it is durable. What the caller
    /// may not write is refused like what is not valid. Of many refusals only the first are told, see
    /// [`Telling`], and of many values left out only the first as well, see [`Notes`]. The readings are
    /// those of `counted` in limits and turns.
    pub async fn take(
        &self,
        caller: &Caller,
        counted: Option<Counted>,
        body: Body,
        format: &'static dyn Format,
    ) -> Result<Taken, PipelineError> {
        let (checked, memory) = self.check(caller, body, format).await?;
        let Checked {
            scored,
            refused,
            notes,
        } = checked;
        self.count(counted, refused.len())?;
        let author = Author {
            party: counted.map(|counted| self.queue.party(&counted)),
            sites: caller.sites().clone(),
            sensors: caller.sensors(),
        };
        let appended = self.queue.append_of(author, scored).await?;
        let mut appended = appended.into_iter();
        // The readings are with the store now, or gone.
        drop(memory);
        let mut telling = Telling::default();
        let outcomes: Vec<_> = refused
            .into_iter()
            .filter_map(|refused| refused.or_else(|| appended.next()))
            .map(|outcome| telling.of(outcome))
            .collect();
        let notes = notes.of_taken(&outcomes);
        self.measures.told(&outcomes, &notes);
        Ok(Taken { outcomes, notes })
    }

    /// Counts readings in the limit of who sends them.
    fn count(&self, counted: Option<Counted>, readings: usize) -> Result<(), PipelineError> {
        let count = u32::try_from(readings).unwrap_or(u32::MAX);
        let Some(((access, counted), count)) = self
            .access
            .as_ref()
            .zip(counted)
            .zip(NonZeroU32::new(count))
        else {
            return Ok(());
        };
        let checked = access.limits().readings.check_many(counted, count);
        checked.map_err(PipelineError::Limited)
    }

    async fn check(
        &self,
        caller: &Caller,
        body: Body,
        format: &'static dyn Format,
    ) -> Result<(Checked, BodyMemory), PipelineError> {
        let rules = Rules {
            now: self.clock.now(),
            tvoc_unit: self.tvoc_unit,
            tvoc_unit_said: None,
            faults_max: FAULTS_MAX,
        };
        let tvoc_units = self
            .store
            .directory(|directory| Arc::clone(directory.tvoc_units()));
        let mut checker = Checker {
            rules,
            tvoc_units,
            profile: self.profile,
            caller: caller.clone(),
            telling: Telling::default(),
            checked: Checked::default(),
            lacks_clock: false,
        };
        let readings_max = self.readings_max;
        let large = body.is_large();
        let work = move || -> Result<_, PipelineError> {
            let (mut bytes, memory) = body.into_parts();
            format.read(&mut bytes, readings_max, &mut |item| checker.take(&item))?;
            if checker.lacks_clock {
                return Err(PipelineError::ClockNotSet);
            }
            Ok((checker.checked, memory))
        };
        if large {
            let done = tokio::task::spawn_blocking(work).await;
            done.map_err(|_panicked| PipelineError::Aborted)?
        } else {
            work()
        }
    }
}

/// The readings of a body that may be stored, and where they stood in it.
#[derive(Debug, Default)]
struct Checked {
    scored: Vec<ScoredReading>,
    /// One for each reading sent: why it is refused, or `None` for the next of `scored`.
    refused: Vec<Option<Outcome>>,
    notes: NoteBook,
}

/// Checks one reading after the other, as they are read.
#[derive(Debug)]
struct Checker {
    rules: Rules,
    /// What people have said of sensors.
    tvoc_units: Arc<FxHashMap<Box<str>, TvocUnit>>,
    profile: Profile,
    caller: Caller,
    telling: Telling,
    checked: Checked,
    /// A reading has no time of its own, and the server cannot tell one.
    lacks_clock: bool,
}

impl Checker {
    fn take(&mut self, item: &RawItem<'_>) {
        self.rules.tvoc_unit_said = item
            .sensor_id()
            .and_then(|id| self.tvoc_units.get(id).copied());
        self.lacks_clock |= !self.rules.now.is_set() && item.has_no_time();
        let refused = match self.judge(item) {
            Ok(Valid { reading, ignored }) => {
                let index = self.checked.refused.len();
                let notes = &mut self.checked.notes;
                notes.add(index, ignored, reading.tvoc_unit_assumed);
                self.checked.scored.push(scored(reading, self.profile));
                None
            }
            Err(rejection) => Some(self.telling.of(Outcome::Refused(rejection))),
        };
        self.checked.refused.push(refused);
        if self.telling.has_ended() || self.checked.notes.has_ended() {
            // Most of what is found from now on is only counted.
            self.rules.faults_max = 1;
        }
    }

    fn judge(&self, item: &RawItem<'_>) -> Result<Valid, Rejection> {
        let mut judged = validate::item(item, &self.rules);
        let is_told = match &judged {
            Ok(valid) => valid.ignored.total > 1 && !self.checked.notes.has_ended(),
            Err(_) => !self.telling.has_ended(),
        };
        if is_told && self.rules.faults_max < FAULTS_MAX {
            let rules = Rules {
                faults_max: FAULTS_MAX,
                ..self.rules
            };
            judged = validate::item(item, &rules);
        }
        let mut valid = judged?;
        may_write(&self.caller, &mut valid.reading)?;
        Ok(valid)
    }
}

fn scored(reading: Reading, profile: Profile) -> ScoredReading {
    let assessment = profile.assess(&reading.values);
    ScoredReading {
        reading,
        assessment,
    }
}

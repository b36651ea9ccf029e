//! THE road of a reading, in one function.
//!
//! bytes → [`RawReading`](crate::ingest::RawReading) → [`Reading`](crate::domain::Reading) →
//! [`ScoredReading`] → durable → broadcast. The last step is the writer's: it publishes what it has
//! committed before it answers, so nothing is broadcast or acknowledged that a restart can lose.

use crate::access::{Caller, may_write};
use crate::clock::Clock;
use crate::domain::Reading;
use crate::ingest::{BatchError, RawItem, parse_array, parse_lines, parse_one};
use crate::score::Profile;
use crate::store::{AppendError, Outcome, ScoredReading, WriteQueue};
use crate::validate::{self, Rejection, Rules, TvocUnit};
use bytes::Bytes;
use std::sync::Arc;

/// How the readings of a body are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One JSON object.
    One,
    /// A JSON array of objects.
    Array,
    /// One JSON object a line.
    Lines,
}

/// Bodies larger than this are parsed on a thread of their own, so that a large batch does not hold
/// up everybody else of its worker.
const INLINE_BYTES_MAX: usize = 64 * 1024;

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
}

/// The stages a reading passes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pipeline {
    pub clock: Arc<dyn Clock>,
    pub tvoc_unit: TvocUnit,
    pub profile: Profile,
    pub readings_max: usize,
    pub queue: WriteQueue,
}

impl Pipeline {
    /// Takes a whole body and says, in the order sent, what became of each reading once it is
    /// durable. What the caller may not write is refused like what is not valid.
    pub async fn take(
        &self,
        caller: &Caller,
        body: Bytes,
        layout: Layout,
    ) -> Result<Vec<Outcome>, PipelineError> {
        let checked = self.check(caller, body, layout).await?;
        let mut outcomes = Vec::with_capacity(checked.len());
        let mut scored = Vec::with_capacity(checked.len());
        for one in checked {
            // A place is kept for each accepted reading until its outcome is known.
            match one {
                Ok(reading) => {
                    scored.push(reading);
                    outcomes.push(None);
                }
                Err(rejection) => outcomes.push(Some(Outcome::Refused(rejection))),
            }
        }
        let mut appended = self.queue.append(scored, caller.sites()).await?.into_iter();
        Ok(outcomes
            .into_iter()
            .filter_map(|known| known.or_else(|| appended.next()))
            .collect())
    }

    async fn check(
        &self,
        caller: &Caller,
        body: Bytes,
        layout: Layout,
    ) -> Result<Vec<Result<ScoredReading, Rejection>>, PipelineError> {
        let rules = Rules {
            now: self.clock.now(),
            tvoc_unit: self.tvoc_unit,
        };
        let (profile, readings_max) = (self.profile, self.readings_max);
        let large = body.len() > INLINE_BYTES_MAX;
        let caller = caller.clone();
        let work = move || -> Result<_, PipelineError> {
            let raw = match layout {
                Layout::One => vec![parse_one(&body)?],
                Layout::Array => parse_array(&body, readings_max)?,
                Layout::Lines => parse_lines(&body, readings_max)?,
            };
            if !rules.now.is_set() && raw.iter().any(RawItem::has_no_time) {
                return Err(PipelineError::ClockNotSet);
            }
            Ok(raw
                .iter()
                .map(|item| {
                    let mut reading = validate::item(item, &rules)?;
                    may_write(&caller, &mut reading)?;
                    Ok(scored(reading, profile))
                })
                .collect())
        };
        if large {
            let done = tokio::task::spawn_blocking(work).await;
            done.map_err(|_panicked| PipelineError::Aborted)?
        } else {
            work()
        }
    }
}

fn scored(reading: Reading, profile: Profile) -> ScoredReading {
    let assessment = profile.assess(&reading.values);
    ScoredReading {
        reading,
        assessment,
    }
}

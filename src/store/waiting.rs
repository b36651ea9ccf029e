//! Requests with readings that wait for their turns, and what has become of their readings so far.

use super::measures::Measures;
use super::plan::Sent;
use super::queue::{Append, AppendError};
use super::turns::{Ticket, Turns};
use super::{Outcome, ScoredReading, Telling};
use rustc_hash::FxHashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Instant;
use std::vec;

/// Requests that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    turns: Turns,
    requests: FxHashMap<u64, Request>,
    /// Number of the last one.
    last: u64,
}

/// A request of which some readings may be written and others not.
#[derive(Debug)]
struct Request {
    append: Append,
    left: vec::IntoIter<ScoredReading>,
    readings: usize,
    outcomes: Vec<Outcome>,
    telling: Telling,
}

/// Readings that are written together, and whose they are.
#[derive(Debug)]
pub(super) struct Portions {
    pub(super) readings: Vec<Sent>,
    pub(super) of_requests: Vec<(Ticket, usize)>,
    /// When the first of the requests was taken in.
    pub(super) since: Option<Instant>,
}

impl Waiting {
    pub(super) fn push(&mut self, mut append: Append) {
        self.last += 1;
        let left = std::mem::take(&mut append.readings).into_iter();
        let ticket = Ticket(self.last);
        self.turns.push(append.author.party, ticket, left.len());
        let request = Request {
            append,
            readings: left.len(),
            outcomes: Vec::with_capacity(left.len()),
            left,
            telling: Telling::default(),
        };
        self.requests.insert(self.last, request);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// The next readings, at most so many.
    pub(super) fn take(&mut self, readings_max: usize) -> Portions {
        let mut portions = Portions {
            readings: Vec::with_capacity(readings_max),
            of_requests: self.turns.take(readings_max),
            since: None,
        };
        // Of a request that has failed nothing more is written.
        let requests = &mut self.requests;
        let known = |(Ticket(number), _): &(Ticket, usize)| requests.contains_key(number);
        portions.of_requests.retain(known);
        for (Ticket(number), count) in &portions.of_requests {
            if let Some(request) = requests.get_mut(number) {
                let since = Some(request.append.since);
                portions.since = portions.since.min(since).or(since);
                let author = &request.append.author;
                let scored = request.left.by_ref().take(*count);
                portions.readings.extend(scored.map(|scored| Sent {
                    scored,
                    author: Arc::clone(author),
                    delivery: *number,
                }));
            }
        }
        portions
    }

    /// Takes over what became of the readings of requests, in order, and answers those that have none
    /// left; says how many that are. A request of which any could not be written has failed.
    pub(super) fn written(
        &mut self,
        of_requests: &[(Ticket, usize)],
        result: Result<Vec<Outcome>, AppendError>,
        measures: &Measures,
    ) -> usize {
        let (mut outcomes, error) = match result {
            Ok(outcomes) => (outcomes.into_iter(), None),
            Err(error) => (Vec::new().into_iter(), Some(error)),
        };
        let mut answered = 0;
        for (Ticket(number), count) in of_requests {
            let Entry::Occupied(mut entry) = self.requests.entry(*number) else {
                continue;
            };
            let request = entry.get_mut();
            let telling = &mut request.telling;
            let told = outcomes.by_ref().take(*count).map(|one| telling.of(one));
            request.outcomes.extend(told);
            if error.is_none() && request.outcomes.len() < request.readings {
                continue;
            }
            let Request {
                append, outcomes, ..
            } = entry.remove();
            if error.is_none() {
                measures.waited(append.since.elapsed());
            }
            // A client that went away has no use for its answer; its readings are stored.
            let answer = error.map_or(Ok(outcomes), Err);
            append.reply.send(answer).unwrap_or_default();
            answered += 1;
        }
        answered
    }
}

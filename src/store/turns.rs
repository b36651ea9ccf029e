//! In which order readings that wait are written: everybody who has some waiting has a turn.
//!
//! In a turn one party has a bounded number of its readings taken, of as many requests as that needs;
//! then the next party has its turn. So who sends much waits for itself, and others wait for a turn of
//! each who waits, whatever those have sent. Requests of one party are taken in the order they came.

use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Readings of one party that are taken before the next has its turn.
pub(super) const TURN_READINGS_MAX: usize = 128;

/// All that is counted as one sender: what comes with one key, of one account or from one address,
/// over however many connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Party(pub(super) u64);

/// A request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(pub(super) u64);

/// Requests that wait, with how many readings each has left.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Only who has some waiting.
    of_party: FxHashMap<Option<Party>, VecDeque<(Ticket, usize)>>,
    /// Each of them once, the next first.
    order: VecDeque<Option<Party>>,
}

impl Turns {
    /// Lets a request wait behind the others of its party; those that have no party are one.
    pub(super) fn push(&mut self, party: Option<Party>, ticket: Ticket, readings: usize) {
        if readings == 0 {
            return;
        }
        let waiting = self.of_party.entry(party).or_insert_with(|| {
            self.order.push_back(party);
            VecDeque::new()
        });
        waiting.push_back((ticket, readings));
    }

    /// Takes the next readings, at most so many: of which request how many. A request may come more than
    /// once.
    pub(super) fn take(&mut self, readings_max: usize) -> Vec<(Ticket, usize)> {
        let mut taken = Vec::new();
        let mut left = readings_max;
        while left > 0
            && let Some(party) = self.order.pop_front()
        {
            let Some(waiting) = self.of_party.get_mut(&party) else {
                continue;
            };
            let mut turn = left.min(TURN_READINGS_MAX);
            left -= turn;
            while turn > 0
                && let Some((ticket, readings)) = waiting.front_mut()
            {
                let count = turn.min(*readings);
                taken.push((*ticket, count));
                turn -= count;
                *readings -= count;
                if *readings == 0 {
                    waiting.pop_front();
                }
            }
            left += turn;
            if waiting.is_empty() {
                self.of_party.remove(&party);
            } else {
                self.order.push_back(party);
            }
        }
        taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    const GREEDY: Option<Party> = Some(Party(1));
    const DEVICE: Option<Party> = Some(Party(2));

    #[test]
    fn a_reading_waits_for_one_turn_of_who_sends_much() {
        let mut turns = Turns::default();
        for request in 0..8 {
            turns.push(GREEDY, Ticket(request), 10_000);
        }
        turns.push(DEVICE, Ticket(8), 1);
        let taken = turns.take(1024);
        let expected = [(Ticket(0), TURN_READINGS_MAX), (Ticket(8), 1)];
        assert_eq!(taken.get(..2), Some(expected.as_slice()));
        assert_eq!(taken.iter().map(|(_, count)| count).sum::<usize>(), 1024);
    }

    #[test]
    fn a_turn_is_of_readings_and_not_of_requests() {
        let mut turns = Turns::default();
        turns.push(GREEDY, Ticket(0), 10_000);
        for request in 1..=200 {
            turns.push(DEVICE, Ticket(request), 1);
        }
        let taken = turns.take(2 * TURN_READINGS_MAX);
        let singles = taken.iter().filter(|(_, count)| *count == 1).count();
        assert_eq!(singles, TURN_READINGS_MAX);
    }

    /// What happens to the turns.
    #[derive(Debug, Clone)]
    enum Step {
        Push { party: u64, readings: usize },
        Take(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u64..5, 1_usize..700).prop_map(|(party, readings)| Step::Push { party, readings }),
            (1_usize..1200).prop_map(Step::Take),
        ]
    }

    /// The plainest description of what waits: for each party its readings, one by one.
    #[derive(Debug, Default)]
    struct Model {
        of_party: [VecDeque<Ticket>; 5],
        /// Readings of others that were taken since a party was last served or came to wait.
        passed_by: [usize; 5],
    }

    impl Model {
        fn push(&mut self, party: usize, ticket: Ticket, readings: usize) {
            if self.of_party[party].is_empty() {
                self.passed_by[party] = 0;
            }
            self.of_party[party].extend(std::iter::repeat_n(ticket, readings));
        }

        /// One reading is taken: it must be the first of its party, and nobody may have waited for more
        /// than a turn of each other party.
        fn take(&mut self, ticket: Ticket) {
            let first = |waiting: &VecDeque<Ticket>| waiting.front() == Some(&ticket);
            let party = self.of_party.iter().position(first);
            let party = party.expect("the first of somebody");
            self.of_party[party].pop_front();
            for other in (0..5).filter(|other| *other != party) {
                self.passed_by[other] += 1;
                let waits = !self.of_party[other].is_empty();
                assert!(!waits || self.passed_by[other] <= 4 * TURN_READINGS_MAX);
            }
            self.passed_by[party] = 0;
        }
    }

    proptest! {
        #[test]
        fn nobody_waits_for_more_than_a_turn_of_each_other(
            steps in prop::collection::vec(step(), 1..60),
        ) {
            let (mut turns, mut model) = (Turns::default(), Model::default());
            for (number, step) in steps.into_iter().chain([Step::Take(usize::MAX)]).enumerate() {
                match step {
                    Step::Push { party, readings } => {
                        let ticket = Ticket(number as u64);
                        turns.push(Some(Party(party)), ticket, readings);
                        model.push(usize::try_from(party).unwrap(), ticket, readings);
                    }
                    Step::Take(readings_max) => {
                        let waiting: usize = model.of_party.iter().map(VecDeque::len).sum();
                        let taken = turns.take(readings_max);
                        let count: usize = taken.iter().map(|(_, count)| count).sum();
                        prop_assert_eq!(count, waiting.min(readings_max));
                        for (ticket, count) in taken {
                            for _reading in 0..count {
                                model.take(ticket);
                            }
                        }
                    }
                }
            }
            prop_assert!(turns.is_empty());
        }
    }
}

//! How many readings and notices may wait for the writer, and how many of them of one party.

use super::queue::AppendError;
use super::turns::Party;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// One party may hold this part, of four, of what the others have not taken, so that some is left for
/// the next one, however greedy several are. Who holds nothing may have all that is free, because what
/// is sent at once is taken whole or not at all.
const PARTY_QUARTERS: usize = 3;

/// The capacity of the write queue.
#[derive(Debug)]
pub(super) struct Capacity {
    readings_max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    /// Only who holds something.
    of_party: FxHashMap<Party, usize>,
    is_closed: bool,
}

/// A part of the capacity, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    capacity: Arc<Capacity>,
    party: Option<Party>,
    count: usize,
}

impl Capacity {
    pub(super) fn new(readings_max: usize) -> Arc<Self> {
        Arc::new(Self {
            readings_max,
            held: Mutex::default(),
        })
    }

    /// A place for so many readings at once. What has no party is bounded by the whole only.
    pub(super) fn take(
        self: &Arc<Self>,
        party: Option<Party>,
        count: usize,
    ) -> Result<Share, AppendError> {
        let mut held = self.held.lock();
        if held.is_closed {
            return Err(AppendError::Closed);
        }
        if count > self.readings_max - held.total {
            return Err(AppendError::Busy);
        }
        if let Some(party) = party {
            let own = held.of_party.get(&party).copied().unwrap_or_default();
            let left_by_others = self.readings_max - (held.total - own);
            if own > 0 && own + count > left_by_others / 4 * PARTY_QUARTERS {
                return Err(AppendError::Busy);
            }
            held.of_party.insert(party, own + count);
        }
        held.total += count;
        Ok(Share {
            capacity: Arc::clone(self),
            party,
            count,
        })
    }

    /// How much is held.
    pub(super) fn taken(&self) -> usize {
        self.held.lock().total
    }

    /// Gives out nothing more.
    pub(super) fn close(&self) {
        self.held.lock().is_closed = true;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.capacity.held.lock();
        held.total -= self.count;
        if let Some(party) = self.party
            && let Some(own) = held.of_party.get_mut(&party)
        {
            *own -= self.count;
            if *own == 0 {
                held.of_party.remove(&party);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREEDY: Option<Party> = Some(Party(1));
    const DEVICE: Option<Party> = Some(Party(2));

    /// As many shares as are to be had.
    fn all(capacity: &Arc<Capacity>, party: Option<Party>, count: usize) -> Vec<Share> {
        std::iter::from_fn(|| capacity.take(party, count).ok()).collect()
    }

    #[test]
    fn who_takes_much_is_refused_and_others_are_not() {
        let capacity = Capacity::new(100);
        let taken = all(&capacity, GREEDY, 10);
        assert_eq!(taken.len(), 7);
        assert!(capacity.take(DEVICE, 1).is_ok());
        // Nobody's notices are bounded by the whole only.
        assert_eq!(all(&capacity, None, 10).len(), 3);
        drop(taken);
        assert_eq!(all(&capacity, DEVICE, 1).len(), 75);
    }

    #[test]
    fn several_who_take_much_leave_some() {
        let capacity = Capacity::new(10_000);
        let greedy: Vec<_> = (1..=3)
            .map(|party| all(&capacity, Some(Party(party)), 10))
            .collect();
        let taken: usize = greedy.iter().map(Vec::len).sum();
        assert!(taken < 990, "{taken}");
        assert!(capacity.take(Some(Party(9)), 1).is_ok());
    }

    #[test]
    fn who_holds_nothing_may_have_all() {
        let capacity = Capacity::new(100);
        let share = capacity.take(DEVICE, 100).unwrap();
        assert_eq!(capacity.take(GREEDY, 1).unwrap_err(), AppendError::Busy);
        drop(share);
        assert_eq!(capacity.take(GREEDY, 101).unwrap_err(), AppendError::Busy);
        capacity.close();
        assert_eq!(capacity.take(GREEDY, 1).unwrap_err(), AppendError::Closed);
    }

    #[test]
    fn what_is_given_back_is_forgotten() {
        let capacity = Capacity::new(100);
        drop(all(&capacity, GREEDY, 3));
        let held = capacity.held.lock();
        assert!(held.total == 0 && held.of_party.is_empty());
    }
}

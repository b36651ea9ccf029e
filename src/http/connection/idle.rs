//! Connections that wait for their next request.
//!
//! They are kept for long, because devices that post every minute do not look whether a connection is
//! still open, and each costs two buffers. So there is a bound: beyond it one of the address that has the
//! most ends, the one that has waited the longest; and one of an address that has a quarter by itself.

use rustc_hash::FxHashMap;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Waker;

/// The part of all idle connections that one address may have.
const ADDRESS_PART: usize = 4;

/// What ends one connection.
#[derive(Debug, Default)]
pub(super) struct Notice {
    given: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Notice {
    /// Whether the connection has to end, unless its next request has come.
    pub(super) fn is_given(&self) -> bool {
        self.given.get()
    }

    pub(super) fn wake_by(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    fn give(&self) {
        self.given.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The idle connections of one worker.
#[derive(Debug)]
pub struct IdleConnections {
    connections_max: usize,
    waiting: RefCell<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// In the order in which they began to wait.
    all: BTreeMap<u64, (Option<IpAddr>, Rc<Notice>)>,
    of_address: FxHashMap<Option<IpAddr>, BTreeSet<u64>>,
    last: u64,
}

impl IdleConnections {
    /// At most `connections_max` in this worker.
    pub fn new(connections_max: usize) -> Self {
        Self {
            connections_max: connections_max.max(1),
            waiting: RefCell::default(),
        }
    }

    /// A connection of `address` waits from now on, under the number that this gives.
    pub(super) fn enter(&self, address: Option<IpAddr>, notice: &Rc<Notice>) -> u64 {
        let mut waiting = self.waiting.borrow_mut();
        let number = waiting.last + 1;
        waiting.last = number;
        notice.given.set(false);
        waiting.all.insert(number, (address, Rc::clone(notice)));
        let of_address = waiting.of_address.entry(address).or_default();
        of_address.insert(number);
        let has_many = of_address.len() > (self.connections_max / ADDRESS_PART).max(1);
        let oldest = if has_many {
            of_address.first().copied()
        } else if waiting.all.len() > self.connections_max {
            // Of whoever has the most: others that renew theirs often must not push it out.
            let of_addresses = waiting.of_address.values();
            let most = of_addresses.max_by_key(|of| (of.len(), Reverse(of.first().copied())));
            most.and_then(|of_address| of_address.first().copied())
        } else {
            None
        };
        let ended = oldest.and_then(|oldest| waiting.remove(oldest));
        drop(waiting);
        if let Some(ended) = ended {
            ended.give();
        }
        number
    }

    /// It does not wait any more.
    pub(super) fn leave(&self, number: u64) {
        self.waiting.borrow_mut().remove(number);
    }
}

impl Waiting {
    fn remove(&mut self, number: u64) -> Option<Rc<Notice>> {
        let (address, notice) = self.all.remove(&number)?;
        if let Some(of_address) = self.of_address.get_mut(&address) {
            of_address.remove(&number);
            if of_address.is_empty() {
                self.of_address.remove(&address);
            }
        }
        Some(notice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    #[test]
    fn beyond_the_bound_the_one_that_has_waited_the_longest_ends() {
        let idle = IdleConnections::new(4);
        let notices: Vec<_> = (0..5).map(|_| Rc::<Notice>::default()).collect();
        let first = idle.enter(Some(address(0)), &notices[0]);
        idle.leave(first);
        for (number, notice) in (1..).zip(&notices[1..]) {
            idle.enter(Some(address(number)), notice);
        }
        idle.enter(Some(address(0)), &notices[0]);
        let ended: Vec<_> = notices.iter().map(|notice| notice.is_given()).collect();
        assert_eq!(ended, [false, true, false, false, false]);
    }

    #[test]
    fn an_address_with_many_ends_its_own() {
        let idle = IdleConnections::new(8);
        let quiet = Rc::<Notice>::default();
        idle.enter(Some(address(1)), &quiet);
        let many: Vec<_> = (0..20).map(|_| Rc::<Notice>::default()).collect();
        for notice in &many {
            idle.enter(Some(address(2)), notice);
        }
        assert!(!quiet.is_given());
        let kept = many.iter().filter(|notice| !notice.is_given());
        assert_eq!(kept.count(), 2);
    }

    #[test]
    fn a_few_addresses_that_fill_the_bound_end_their_own() {
        let idle = IdleConnections::new(8);
        let quiet = Rc::<Notice>::default();
        idle.enter(Some(address(9)), &quiet);
        for _ in 0..10 {
            for number in 0..4 {
                idle.enter(Some(address(number)), &Rc::default());
            }
        }
        assert!(!quiet.is_given());
    }

    proptest! {
        #[test]
        fn there_are_never_more_than_the_bound_and_nothing_is_left_behind(
            bound in 1_usize..12,
            steps in prop::collection::vec((0_u32..5, any::<bool>()), 0..200),
        ) {
            let idle = IdleConnections::new(bound);
            let mut numbers = Vec::new();
            for (from, leaves) in steps {
                numbers.push(idle.enter(Some(address(from)), &Rc::default()));
                if leaves {
                    let number = numbers.swap_remove(numbers.len() / 2);
                    idle.leave(number);
                }
                let waiting = idle.waiting.borrow();
                prop_assert!(waiting.all.len() <= bound);
                let counted: usize = waiting.of_address.values().map(BTreeSet::len).sum();
                prop_assert_eq!(counted, waiting.all.len());
            }
            for number in numbers {
                idle.leave(number);
            }
            prop_assert!(idle.waiting.borrow().of_address.is_empty());
        }
    }
}

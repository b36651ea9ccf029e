//! How much memory answers may take that are read from the store, all together.
//!
//! Two shares of one setting: one for what waits for its readers, who may take their time, and one for
//! work, which never waits for a reader and so always ends. Each is given out in the order it is asked
//! for, but an owner gets no more than a part of what the others leave, so several greedy ones together
//! leave some of it as well. An owner that has its part waits and lets others pass.

use crate::access::Counted;
use crate::http::Problem;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a request waits for others before it is refused.
pub const ANSWER_TURN_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long an answer that has begun waits before it breaks off. What it waits for is work that ends
/// by itself.
pub const WORK_TURN_WAIT_MAX: Duration = Duration::from_secs(30);
/// The part that one account or address may have of what the others have not taken.
const OWNER_PART: usize = 4;
/// Most that may wait, of all owners and of one; more are refused at once.
const WAITING_MAX: usize = 1024;
const OWNER_WAITING_MAX: usize = 64;
/// The least setting. Below it one ordinary answer would be more than what one reader may have.
pub const READ_BYTES_MIN: usize = 8 * 1024 * 1024;

/// Whose a lease is: an account, a key, or an address where nobody logs in; `None` where there is not
/// even that.
pub type Owner = Option<Counted>;

/// The budget. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReadBudget {
    kept: Arc<Pool>,
    work: Arc<Pool>,
}

/// Nothing became free in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is read at once")]
pub struct TooMuchRead;

impl From<TooMuchRead> for Problem {
    fn from(_: TooMuchRead) -> Self {
        Self::unavailable(
            "too_much_read_at_once",
            "answers that are not taken yet fill the memory for them: read those, or ask again later",
        )
    }
}

impl ReadBudget {
    pub fn new(bytes_max: usize) -> Self {
        let kept = bytes_max / 2;
        Self {
            kept: Pool::new(kept),
            work: Pool::new(bytes_max - kept),
        }
    }

    /// Bytes that are kept until their reader has taken them. An owner that holds none may get more
    /// than its part, up to the whole pool, once that is free: so one large answer is possible.
    pub async fn keep(
        &self,
        owner: Owner,
        bytes: usize,
        wait_max: Duration,
    ) -> Result<Lease, TooMuchRead> {
        self.kept.lease(owner, bytes, wait_max).await
    }

    /// The same at once or not at all.
    pub fn try_keep(&self, owner: Owner, bytes: usize) -> Option<Lease> {
        self.kept.try_lease(owner, bytes)
    }

    /// Bytes that are needed for a moment. They must not be held while waiting for a reader to
    /// take bytes.
    pub async fn work(
        &self,
        owner: Owner,
        bytes: usize,
        wait_max: Duration,
    ) -> Result<Lease, TooMuchRead> {
        self.work.lease(owner, bytes, wait_max).await
    }
}

/// Some bytes of the budget, which it gets back when this is dropped.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    owner: Owner,
    bytes: usize,
}

impl Lease {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back what is more than `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        if bytes < self.bytes {
            self.pool.give_back(self.owner, self.bytes - bytes);
            self.bytes = bytes;
        }
    }

    /// Takes `more` bytes when they are free and nobody waits for them.
    #[must_use]
    pub fn grow(&mut self, more: usize) -> bool {
        let Some(mut grown) = self.pool.try_lease(self.owner, more) else {
            return false;
        };
        self.bytes += std::mem::take(&mut grown.bytes);
        true
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.pool.give_back(self.owner, self.bytes);
        }
    }
}

/// Bytes that are given out in turns.
#[derive(Debug)]
struct Pool {
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    /// Of those who have any.
    by_owner: FxHashMap<Owner, usize>,
    waiting: VecDeque<Waiting>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    owner: Owner,
    bytes: usize,
    lease: oneshot::Sender<Lease>,
}

impl Pool {
    fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            state: Mutex::default(),
        })
    }

    async fn lease(
        self: &Arc<Self>,
        owner: Owner,
        bytes: usize,
        wait_max: Duration,
    ) -> Result<Lease, TooMuchRead> {
        if let Some(lease) = self.try_lease(owner, bytes) {
            return Ok(lease);
        }
        let (lease, given) = oneshot::channel();
        let _place = {
            let mut state = self.state.lock();
            let waiting = state.waiting.iter();
            let owners = waiting.filter(|waiting| waiting.owner == owner).count();
            if state.waiting.len() >= WAITING_MAX || owners >= OWNER_WAITING_MAX {
                return Err(TooMuchRead);
            }
            let ticket = state.next_ticket;
            state.next_ticket += 1;
            state.waiting.push_back(Waiting {
                ticket,
                owner,
                bytes: bytes.min(self.bytes_max),
                lease,
            });
            Place { pool: self, ticket }
        };
        self.give_out();
        match timeout(wait_max, given).await {
            Ok(Ok(lease)) => Ok(lease),
            _ => Err(TooMuchRead),
        }
    }

    fn try_lease(self: &Arc<Self>, owner: Owner, bytes: usize) -> Option<Lease> {
        let bytes = bytes.min(self.bytes_max);
        let mut state = self.state.lock();
        let is_first = state.waiting.iter().all(|waiting| {
            self.is_owners_turn(&state, waiting.owner, waiting.bytes) == Turn::Later
        });
        let is_free = is_first && self.is_owners_turn(&state, owner, bytes) == Turn::Now;
        is_free.then(|| {
            state.take(owner, bytes);
            self.leased(owner, bytes)
        })
    }

    fn leased(self: &Arc<Self>, owner: Owner, bytes: usize) -> Lease {
        Lease {
            pool: Arc::clone(self),
            owner,
            bytes,
        }
    }

    fn give_back(self: &Arc<Self>, owner: Owner, bytes: usize) {
        self.state.lock().give_back(owner, bytes);
        self.give_out();
    }

    /// Gives what is free to those who wait.
    fn give_out(self: &Arc<Self>) {
        let mut given = Vec::new();
        let mut state = self.state.lock();
        let mut position = 0;
        while let Some(first) = state.waiting.get(position) {
            let (owner, bytes) = (first.owner, first.bytes);
            match self.is_owners_turn(&state, owner, bytes) {
                Turn::Later => position += 1,
                // Those behind wait too, or the large would wait for ever.
                Turn::WhenFree => break,
                Turn::Now => {
                    state.take(owner, bytes);
                    given.extend(state.waiting.remove(position));
                }
            }
        }
        drop(state);
        for Waiting {
            owner,
            bytes,
            lease,
            ..
        } in given
        {
            // Who has gone gives it back by this.
            drop(lease.send(self.leased(owner, bytes)));
        }
    }

    fn is_owners_turn(&self, state: &State, owner: Owner, bytes: usize) -> Turn {
        let has = state.by_owner.get(&owner).copied().unwrap_or_default();
        let left_by_others = self.bytes_max - (state.used - has);
        if has > 0 && has + bytes > left_by_others / OWNER_PART {
            Turn::Later
        } else if state.used + bytes > self.bytes_max {
            Turn::WhenFree
        } else {
            Turn::Now
        }
    }
}

/// When a lease can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Now,
    /// When others give something back.
    WhenFree,
    /// When its owner has less, or others leave more. Whoever is behind goes first.
    Later,
}

impl State {
    fn take(&mut self, owner: Owner, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.used += bytes;
        *self.by_owner.entry(owner).or_default() += bytes;
    }

    fn give_back(&mut self, owner: Owner, bytes: usize) {
        self.used -= bytes;
        if let Some(has) = self.by_owner.get_mut(&owner) {
            *has -= bytes;
            if *has == 0 {
                self.by_owner.remove(&owner);
            }
        }
    }
}

/// A place among those who wait, given up when this is dropped.
struct Place<'a> {
    pool: &'a Arc<Pool>,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        let waiting = &mut state.waiting;
        if let Ok(position) = waiting.binary_search_by_key(&self.ticket, |waiting| waiting.ticket) {
            waiting.remove(position);
            drop(state);
            self.pool.give_out();
        }
    }
}

#[cfg(test)]
mod tests;

//! The credentials of a live connection. A token ends sooner than most connections, so a shard compares
//! them with the accounts and with the clock again and again.

use crate::access::{Access, Caller, Refusal};
use crate::domain::Timestamp;
use std::time::Duration;

/// How long before their end a client is told, so that it can get others; half of their time when
/// that is less.
const NOTICE_BEFORE: Duration = Duration::from_secs(30);

/// The credentials of one connection, and when they are looked at again.
#[derive(Debug)]
pub(super) struct Pass {
    caller: Caller,
    /// When the client is to be told; `None` once it is, and where nothing ends.
    notice_at: Option<Timestamp>,
    /// The state of accounts they were last compared with.
    checked: u64,
}

/// What a client is to be told about its credentials.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Expiring(Timestamp),
    /// They count no more.
    Over(Refusal),
}

impl Pass {
    /// Credentials that are shown now.
    pub(super) fn new(caller: Caller, now: Timestamp) -> Self {
        let notice_at = caller
            .expires_at()
            .map(|end| end.minus(NOTICE_BEFORE.min(end.since(now) / 2)));
        Self {
            caller,
            notice_at,
            checked: 0,
        }
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Whether there is something to tell now.
    pub(super) fn check(&mut self, access: &Access, now: Timestamp) -> Option<Ending> {
        let generation = access.generation();
        let has_changed = self.checked != generation;
        self.checked = generation;
        let expires_at = self.caller.expires_at();
        let has_expired = expires_at.is_some_and(|end| end <= now);
        if (has_changed || has_expired)
            && let Err(refusal) = access.check(&self.caller)
        {
            return Some(Ending::Over(refusal));
        }
        if self.notice_at.is_some_and(|at| at <= now) {
            self.notice_at = None;
            return expires_at.map(Ending::Expiring);
        }
        None
    }
}

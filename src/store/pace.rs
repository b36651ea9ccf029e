//! When the next commit begins: how readings of many requests come to share one.
//!
//! A commit costs the same for one reading and for a hundred, so under load it is worth waiting a
//! moment for others. An idle server must not wait: the commit begins at once when the last one began
//! longer than [`INTERVAL`] ago, or when so many requests wait that no more can come before some are
//! answered. How many those are is known from the senders, each of which has one request at a time.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Least time between the beginnings of two commits, unless enough requests wait before.
const INTERVAL: Duration = Duration::from_millis(2);

/// Shared by those who send and the one who commits.
#[derive(Debug)]
pub(super) struct CommitPace {
    senders: AtomicUsize,
    waiting: AtomicUsize,
    /// Number of waiting requests at which the writer wants to be woken; `usize::MAX` for never.
    wanted: AtomicUsize,
    enough: Notify,
    last_begun: Mutex<Option<Instant>>,
}

/// Somebody who has sent readings and may do so again, one request at a time: a connection, or a session
/// of another protocol. A door keeps it for as long as that lasts.
#[derive(Debug)]
pub struct Sender(Arc<CommitPace>);

impl Sender {
    pub(super) fn new(pace: Arc<CommitPace>) -> Self {
        pace.senders.fetch_add(1, Ordering::Relaxed);
        Self(pace)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.senders.fetch_sub(1, Ordering::Relaxed);
    }
}

impl CommitPace {
    pub(super) fn new() -> Self {
        Self {
            senders: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            wanted: AtomicUsize::new(usize::MAX),
            enough: Notify::new(),
            last_begun: Mutex::new(None),
        }
    }

    /// A request has come to wait.
    pub(super) fn came(&self) {
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        if waiting >= self.wanted.load(Ordering::SeqCst) {
            self.enough.notify_one();
        }
    }

    /// Requests have been taken to be committed.
    pub(super) fn taken(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::SeqCst);
    }

    /// Waits until the next commit is to begin. Something waits already.
    pub(super) async fn begin(&self) {
        let enough = self.senders.load(Ordering::Relaxed);
        let now = Instant::now();
        let due = (*self.last_begun.lock()).map_or(now, |begun| begun + INTERVAL);
        if now < due && self.waiting.load(Ordering::SeqCst) < enough {
            self.wanted.store(enough, Ordering::SeqCst);
            // One that came just before the store above woke nobody.
            if self.waiting.load(Ordering::SeqCst) < enough {
                // Whichever comes first, the commit begins.
                drop(tokio::time::timeout_at(due, self.enough.notified()).await);
            }
            self.wanted.store(usize::MAX, Ordering::SeqCst);
        }
        *self.last_begun.lock() = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn senders(pace: &Arc<CommitPace>, count: usize) -> Vec<Sender> {
        (0..count).map(|_| Sender::new(Arc::clone(pace))).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_commit_and_one_after_a_pause_begin_at_once() {
        let pace = Arc::new(CommitPace::new());
        let _senders = senders(&pace, 10);
        pace.came();
        assert!(pace.begin().now_or_never().is_some());
        tokio::time::advance(INTERVAL).await;
        assert!(pace.begin().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn under_load_a_commit_waits_for_all_who_post() {
        let pace = Arc::new(CommitPace::new());
        let _senders = senders(&pace, 5);
        pace.begin().await;
        for _ in 0..4 {
            pace.came();
        }
        let mut begin = Box::pin(pace.begin());
        assert!(begin.as_mut().now_or_never().is_none());
        pace.came();
        assert!(begin.now_or_never().is_some());
        pace.taken(5);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_longer_than_the_interval() {
        let pace = Arc::new(CommitPace::new());
        let _senders = senders(&pace, 10);
        pace.begin().await;
        pace.came();
        let begun = Instant::now();
        pace.begin().await;
        assert_eq!(begun.elapsed(), INTERVAL);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_alone_or_gone_is_not_waited_for() {
        let pace = Arc::new(CommitPace::new());
        let mut all = senders(&pace, 1);
        pace.begin().await;
        pace.came();
        assert!(pace.begin().now_or_never().is_some());
        pace.taken(1);
        all.extend(senders(&pace, 8));
        drop(all);
        pace.came();
        assert!(pace.begin().now_or_never().is_some());
    }
}

//! The task of one webhook: reads what is new, delivers it, and goes on behind it.
//!
//! Nothing waits in memory. What is not delivered yet is in the store, and is read again for the next
//! try.

use super::courier::{Courier, Delivery};
use super::entry::Entry;
use super::news::News;
use crate::clock::Clock;
use crate::database::StoreError;
use crate::domain::{Selector, Subject};
use crate::shutdown::Shutdown;
use crate::store::{Store, Stored};
use crate::wire::measurement;
use metrics::counter;
use rand::Rng;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Readings read at once: the most messages of a delivery.
const PAGE_ROWS: u32 = 200;
/// Shortest time from one delivery to the next while the webhook has everything: what is new
/// meanwhile goes together. One that is behind does not wait.
const DELIVERY_INTERVAL: Duration = Duration::from_secs(1);
/// Most of the pause after a first failure; it doubles with each further one.
const RETRY_PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Most of any pause.
const RETRY_PAUSE_MAX: Duration = Duration::from_mins(5);
/// How long a delivery that is on its way may take when the server stops. One that is cut off is made
/// again after the start.
const STOP_WAIT_MAX: Duration = Duration::from_secs(2);

/// Delivers the measurements of one webhook, in order.
#[derive(Debug)]
pub(super) struct Worker {
    pub entry: Arc<Entry>,
    pub store: Store,
    pub courier: Courier,
    pub clock: Arc<dyn Clock>,
    pub news: News,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// There may be more.
    Read,
    /// Everything is delivered.
    Wait,
    /// The delivery failed; it is tried again after a pause.
    TryAgain,
}

impl Worker {
    /// Runs until the webhook is removed or the server stops.
    pub(super) async fn run(self, shutdown: Shutdown) {
        let entry = Arc::clone(&self.entry);
        tokio::select! {
            // What is on its way is given up.
            () = entry.removed.cancelled() => {}
            () = self.work(&shutdown) => {}
        }
        entry.ended.cancel();
    }

    async fn work(mut self, shutdown: &Shutdown) {
        let mut failures = 0;
        while !shutdown.has_begun() {
            let began = Instant::now();
            self.news.borrow_and_update();
            let next = tokio::select! {
                next = self.step() => next,
                () = given_up(shutdown) => return,
            };
            failures = if next == Next::TryAgain {
                failures + 1
            } else {
                0
            };
            tokio::select! {
                () = self.pause(next, began, failures) => {}
                () = shutdown.begun() => return,
            }
        }
    }

    async fn pause(&mut self, next: Next, began: Instant, failures: u32) {
        match next {
            Next::Read => {}
            Next::Wait => {
                sleep_until(began + DELIVERY_INTERVAL).await;
                // The writer, which has the other end, lives until the server stops.
                if self.news.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            Next::TryAgain => {
                let max = retry_pause_max(failures);
                // Full jitter, so that webhooks that failed together do not come back together.
                let pause = max.mul_f64(rand::rng().random_range(0.0..=1.0));
                sleep(pause).await;
            }
        }
    }

    /// Reads a page and delivers what was asked for of it.
    async fn step(&self) -> Next {
        match self.deliver_page().await {
            Ok(next) => {
                self.entry.set_behind(next != Next::Wait);
                next
            }
            Err(error) => {
                tracing::debug!(%error, id = self.entry.webhook.id, "nothing to deliver was read");
                self.entry.unread();
                Next::TryAgain
            }
        }
    }

    async fn deliver_page(&self) -> Result<Next, StoreError> {
        let progress = self.entry.condition().progress;
        let until = self.store.position();
        if progress.position == until {
            return Ok(Next::Wait);
        }
        self.entry.set_behind(true);
        let page = self.store.replay(progress.position, until, PAGE_ROWS);
        let Some(page) = page.await? else {
            self.entry.skipped_to(until);
            let id = &self.entry.webhook.id;
            tracing::warn!(id, "a webhook has missed what is not kept any more");
            return Ok(Next::Read);
        };
        let (end, next) = match page.last() {
            Some(last) if page.len() >= PAGE_ROWS as usize => (last.id, Next::Read),
            _ => (until, Next::Wait),
        };
        let asked = self.entry.webhook.selection.selector();
        let meant = self.store.directory(|directory| directory.meant(&asked));
        let wanted: Vec<_> = page
            .iter()
            .filter(|one| Selector::any_matches(&meant, subject(one)))
            .collect();
        let Some(last) = wanted.last() else {
            self.entry.passed(end);
            return Ok(next);
        };
        let delivery = Delivery {
            id: last.id.to_string(),
            body: body(&wanted, progress.gap),
        };
        let webhook = &self.entry.webhook;
        let attempt = self
            .courier
            .deliver(&webhook.url, &webhook.secret, delivery)
            .await;
        match attempt.result {
            Ok(_) => {
                counter!("iaqverse_webhook_deliveries_total").increment(1);
                self.entry.delivered(end, wanted.len(), self.clock.now());
                Ok(next)
            }
            Err(failure) => {
                counter!("iaqverse_webhook_failures_total").increment(1);
                self.entry.failed(failure);
                Ok(Next::TryAgain)
            }
        }
    }
}

/// Ends when the server stops and a delivery has had its time.
async fn given_up(shutdown: &Shutdown) {
    shutdown.begun().await;
    sleep(STOP_WAIT_MAX).await;
}

fn retry_pause_max(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    RETRY_PAUSE_FIRST
        .saturating_mul(doubled)
        .min(RETRY_PAUSE_MAX)
}

/// The body of a delivery: the messages as the WebSocket has them.
fn body(messages: &[&Stored], gap: bool) -> Vec<u8> {
    let mut body = br#"{"messages":["#.to_vec();
    for (number, message) in messages.iter().enumerate() {
        if number > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&measurement(message));
    }
    body.extend_from_slice(if gap { br#"],"gap":true}"# } else { b"]}" });
    body
}

fn subject(stored: &Stored) -> Subject<'_> {
    Subject::of(&stored.place, &stored.scored.reading.sensor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_a_second_to_five_minutes() {
        let pauses =
            [1, 2, 3, 8, 9, 10, 100, u32::MAX].map(|failures| retry_pause_max(failures).as_secs());
        assert_eq!(pauses, [1, 2, 4, 128, 256, 300, 300, 300]);
    }

    #[test]
    fn a_body_is_json_also_without_messages() {
        assert_eq!(body(&[], false), br#"{"messages":[]}"#);
        assert_eq!(body(&[], true), br#"{"messages":[],"gap":true}"#);
    }
}

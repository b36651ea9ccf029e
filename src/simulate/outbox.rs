//! Readings that wait to be posted, bounded in number.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::reading::SimulatedReading;

/// Most readings kept while the server is away; about 10 MB.
pub(super) const PENDING_READINGS_MAX: usize = 20_000;

/// Most readings in one request; about 150 kB of JSON, far below the server's limits.
pub(super) const BATCH_READINGS_MAX: usize = 500;

/// Queue between the simulation and its delivery. When full, the oldest readings go.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    pending: VecDeque<SimulatedReading>,
    dropping: bool,
}

impl Outbox {
    /// Adds a reading, at the cost of the oldest one if there is no room.
    pub(super) fn push(&self, reading: SimulatedReading) {
        let mut state = self.lock();
        if state.pending.len() >= PENDING_READINGS_MAX {
            state.pending.pop_front();
            if !state.dropping {
                state.dropping = true;
                tracing::warn!(
                    pending = PENDING_READINGS_MAX,
                    "simulated readings wait too long, dropping the oldest"
                );
            }
        }
        state.pending.push_back(reading);
        drop(state);
        self.filled.notify_one();
    }

    /// Takes the oldest readings, at most a batch; waits while there are none.
    ///
    /// Cancellation safe: readings are taken only when it returns.
    pub(super) async fn next_batch(&self) -> Vec<SimulatedReading> {
        loop {
            let batch = self.take();
            if !batch.is_empty() {
                return batch;
            }
            // A push between `take` and here has stored a permit, so it is not missed.
            self.filled.notified().await;
        }
    }

    fn take(&self) -> Vec<SimulatedReading> {
        let mut state = self.lock();
        state.dropping = false;
        let count = state.pending.len().min(BATCH_READINGS_MAX);
        state.pending.drain(..count).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No invariant spans two statements under the lock, so a poisoned queue is still sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::simulate::building::Building;
    use crate::simulate::config::SimulationConfig;

    fn readings(count: usize) -> Vec<SimulatedReading> {
        let config = SimulationConfig {
            rooms: 1,
            ..SimulationConfig::default()
        };
        let mut building = Building::new(&config, DateTime::UNIX_EPOCH).unwrap();
        let reading = building.read_room(0, DateTime::UNIX_EPOCH).unwrap();
        (0..count)
            .map(|n| SimulatedReading {
                sensor_id: n.to_string(),
                ..reading.clone()
            })
            .collect()
    }

    fn fill(outbox: &Outbox, count: usize) {
        for reading in readings(count) {
            outbox.push(reading);
        }
    }

    #[tokio::test]
    async fn batches_keep_the_order_and_the_bound() {
        let outbox = Outbox::default();
        fill(&outbox, 700);
        let (first, second) = (outbox.next_batch().await, outbox.next_batch().await);
        assert_eq!((first.len(), second.len()), (500, 200));
        assert_eq!(
            (first[0].sensor_id.as_str(), second[0].sensor_id.as_str()),
            ("0", "500")
        );
    }

    #[tokio::test]
    async fn a_full_outbox_drops_the_oldest() {
        let outbox = Outbox::default();
        fill(&outbox, PENDING_READINGS_MAX + 3);
        assert_eq!(outbox.lock().pending.len(), PENDING_READINGS_MAX);
        assert_eq!(outbox.next_batch().await[0].sensor_id, "3");
    }

    #[tokio::test]
    async fn waiting_ends_with_a_push() {
        let outbox = Outbox::default();
        let reading = readings(1).remove(0);
        let (batch, ()) = tokio::join!(outbox.next_batch(), async { outbox.push(reading) });
        assert_eq!(batch.len(), 1);
    }
}

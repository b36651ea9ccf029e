//! Keeps the store in order beside the writer: settles what has gathered, looks at the clock and
//! removes what is too old.

use super::retention::{Retention, can_be_removed_to};
use super::retention_clock::{RetentionClock, Turn};
use super::{Store, settle};
use crate::clock::Clock;
use crate::database::{ClockRecord, Series, StoreError};
use crate::domain::Timestamp;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often the clock is looked at: so soon a wrong one that was put right is followed.
const CLOCK_INTERVAL: Duration = Duration::from_secs(2);
/// How often the time is written when the clock behaves. A crash loses so much of it, which counts as
/// downtime.
const CLOCK_WRITE_INTERVAL: Duration = Duration::from_hours(1);
/// How often it is looked for what is too old.
const RETENTION_INTERVAL: Duration = Duration::from_mins(10);
/// Wait after something failed.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// Chunks removed by one transaction.
const CHUNKS_AT_ONCE: u32 = 64;

/// The background task that settles readings and applies retention.
#[derive(Debug)]
pub struct Keeper {
    store: Store,
    retention: Retention,
    clock: Arc<dyn Clock>,
    time: RetentionClock,
    looked: Instant,
    /// When the time was written, and what; `None` until it is for the first time.
    written: Option<(Instant, ClockRecord)>,
    /// What the database says: readings from before this may be gone.
    removed_to: Timestamp,
    /// Readings from before this have been refused since the last removal.
    refused_before: Option<Timestamp>,
}

impl Keeper {
    /// From now on the store refuses readings that are older than they are to be kept.
    pub fn new(store: &Store, retention: Retention, clock: Arc<dyn Clock>) -> Self {
        let known = store.known_time;
        let time = if known.record.is_some() {
            RetentionClock::new(known.record)
        } else {
            RetentionClock::of_evidence(known.evidence, clock.now())
        };
        let mut keeper = Self {
            store: store.clone(),
            retention,
            clock,
            time,
            looked: Instant::now(),
            written: None,
            removed_to: store.removed_to(),
            refused_before: None,
        };
        keeper.look();
        keeper.refused_before = keeper.limit(Series::Readings);
        keeper
    }

    /// Runs until it is told to stop; then it settles what there is, so that the next start is quick.
    pub async fn run(mut self, stopping: CancellationToken) {
        self.store.is_kept.store(true, Ordering::Relaxed);
        let mut removals = interval(RETENTION_INTERVAL);
        let mut looks = interval(CLOCK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            let wait_to_retry = async {
                if failing {
                    tokio::time::sleep(RETRY_WAIT).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            let result = tokio::select! {
                () = stopping.cancelled() => break,
                () = self.store.recent.grown() => self.settle().await,
                () = wait_to_retry => self.catch_up().await,
                _ = removals.tick() => self.remove_old().await,
                _ = looks.tick() => self.look_and_write().await,
            };
            if let Err(error) = &result {
                // The writer says so of its files, within a second and for all.
                let is_said = matches!(error, StoreError::FilesChanged { .. });
                if !failing && !is_said {
                    tracing::error!(%error, "the store could not be put in order");
                }
            } else if failing {
                tracing::info!("the store is put in order again");
            }
            failing = result.is_err();
        }
        if let Err(error) = self.settle().await {
            tracing::warn!(%error, "readings are left to be settled at the next start");
        }
        self.look();
        if let Err(error) = self.write_time(None).await {
            tracing::warn!(%error, "the time is not written");
        }
    }

    /// Does again whatever failed.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        self.settle().await?;
        self.look_and_write().await?;
        self.remove_old().await
    }

    /// Looks at the clocks, and refuses readings by the time that they come to.
    fn look(&mut self) -> Option<Turn> {
        let now = Instant::now();
        let elapsed = now - std::mem::replace(&mut self.looked, now);
        let clock = self.clock.now();
        let turn = self.time.look(clock, elapsed);
        let now = self.time.now()?;
        self.store.certain_ms.store(now.millis(), Ordering::Relaxed);
        match turn {
            Some(Turn::Doubted) => tracing::warn!(
                %clock,
                certain = %now,
                "the clock is far ahead of the last time that is certain: nothing is removed on its \
                 word until it has run evenly for a week"
            ),
            Some(Turn::CameBack) => tracing::info!(%clock, "the clock came back"),
            Some(Turn::Believed) => tracing::info!(%clock, "the clock ran evenly and is believed"),
            None => {}
        }
        let refused_before = self.retention.refused_before(self.removed_to, now);
        self.store.refuse_before(refused_before);
        turn
    }

    async fn look_and_write(&mut self) -> Result<(), StoreError> {
        let turn = self.look();
        let due = self
            .written
            .is_none_or(|(at, _)| at.elapsed() >= CLOCK_WRITE_INTERVAL);
        if !due && turn.is_none() {
            return Ok(());
        }
        // What a wrong clock left behind goes when another has run for a while.
        let corrected = self.time.now().filter(|now| {
            due && self.written.is_some() && !can_be_removed_to(self.removed_to, *now)
        });
        let corrected = corrected.map(|now| self.retention.refused_before(self.removed_to, now));
        self.write_time(corrected).await
    }

    /// Writes the time, and from before when readings may be gone when that was wrong.
    async fn write_time(&mut self, removed_to: Option<Timestamp>) -> Result<(), StoreError> {
        let Some(record) = self.time.record() else {
            return Ok(());
        };
        let is_news = self.written.is_none_or(|(_, before)| before != record);
        if is_news || removed_to.is_some() {
            self.store.database.put_clock(record, removed_to).await?;
        }
        self.written = Some((Instant::now(), record));
        self.removed_to = removed_to.unwrap_or(self.removed_to);
        Ok(())
    }

    /// What of a series lies before this goes.
    fn limit(&self, series: Series) -> Option<Timestamp> {
        self.retention.limit(series, self.time.now()?)
    }

    async fn settle(&self) -> Result<(), StoreError> {
        let begun = std::time::Instant::now();
        let _tidying = self.store.tidying.lock().await;
        let result = settle::settle(&self.store).await;
        let nothing = matches!(result, Ok(0));
        if !nothing {
            let measures = &self.store.measures;
            measures.settled(begun.elapsed(), result.is_err());
        }
        let readings = result?;
        let duration_ms = begun.elapsed().as_secs_f64() * 1000.0;
        tracing::debug!(readings, duration_ms, "readings settled");
        Ok(())
    }

    /// Removes what is older than it is to be kept, in small steps.
    async fn remove_old(&mut self) -> Result<(), StoreError> {
        let limit = self.limit(Series::Readings);
        // Only up to the limit of the last run: since then older readings have been refused, and those
        // that came before are settled first, because their buckets could not be made again afterwards.
        // When the clock went back in between, the limit is lower and older readings may have come.
        let before = self.refused_before.min(limit);
        if let Some(before) = before {
            while self.store.recent.has_before(before) {
                self.settle().await?;
            }
            self.remove(Series::Readings, before).await?;
            self.removed_to = self.removed_to.max(before);
        }
        self.refused_before = limit;
        for series in Series::ALL.into_iter().skip(1) {
            if let Some(before) = self.limit(series) {
                self.remove(series, before).await?;
            }
        }
        Ok(())
    }

    async fn remove(&self, series: Series, before: Timestamp) -> Result<(), StoreError> {
        let mut chunks = 0;
        loop {
            let _tidying = self.store.tidying.lock().await;
            let database = &self.store.database;
            let removed = database
                .remove_chunks(series, before, CHUNKS_AT_ONCE)
                .await?;
            chunks += removed;
            if removed < u64::from(CHUNKS_AT_ONCE) {
                break;
            }
        }
        if chunks > 0 {
            tracing::info!(?series, %before, chunks, "old history removed");
        }
        Ok(())
    }
}

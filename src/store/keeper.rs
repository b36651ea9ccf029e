//! Keeps the store in order beside the writer: settles what has gathered and removes what is too old.

use super::retention::Retention;
use super::series::Series;
use super::{Store, StoreError, settle};
use crate::clock::Clock;
use crate::domain::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked for what is too old.
const RETENTION_INTERVAL: Duration = Duration::from_mins(10);
/// Wait after something failed.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// Chunks removed by one transaction.
const CHUNKS_AT_ONCE: u32 = 64;

/// See the module.
#[derive(Debug)]
pub struct Keeper {
    store: Store,
    retention: Retention,
    clock: Arc<dyn Clock>,
    /// Readings from before this are refused.
    refused_before: Option<Timestamp>,
}

impl Keeper {
    /// From now on the store refuses readings that are older than they are to be kept.
    pub fn new(store: &Store, retention: Retention, clock: Arc<dyn Clock>) -> Self {
        let limit = retention.limit(Series::Readings, clock.now());
        Self {
            store: store.clone(),
            retention,
            clock,
            refused_before: store.refuse_before(limit),
        }
    }

    /// Runs until it is told to stop; then it settles what there is, so that the next start is quick.
    pub async fn run(mut self, stopping: CancellationToken) {
        let mut look = tokio::time::interval(RETENTION_INTERVAL);
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
                _ = look.tick() => self.remove_old().await,
            };
            if let Err(error) = &result {
                if !failing {
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
    }

    /// Does again whatever failed.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        self.settle().await?;
        self.remove_old().await
    }

    async fn settle(&self) -> Result<(), StoreError> {
        let begun = std::time::Instant::now();
        let readings = settle::settle(&self.store).await?;
        let duration_ms = begun.elapsed().as_secs_f64() * 1000.0;
        tracing::debug!(readings, duration_ms, "readings settled");
        Ok(())
    }

    /// Removes what is older than it is to be kept, in small steps.
    async fn remove_old(&mut self) -> Result<(), StoreError> {
        // The limit of the last look: nothing older has come since, and what came before is about to
        // be in its buckets. They could not be made again from readings that are gone.
        if let Some(before) = self.refused_before {
            while self.store.recent.has_before(before) {
                self.settle().await?;
            }
            self.remove(Series::Readings, before).await?;
        }
        let now = self.clock.now();
        self.refused_before = self
            .store
            .refuse_before(self.retention.limit(Series::Readings, now));
        for series in Series::ALL.into_iter().skip(1) {
            if let Some(before) = self.retention.limit(series, now) {
                self.remove(series, before).await?;
            }
        }
        Ok(())
    }

    async fn remove(&self, series: Series, before: Timestamp) -> Result<(), StoreError> {
        let mut chunks = 0;
        loop {
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

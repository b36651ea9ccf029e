//! The store on a real database.

mod erase;
mod keeping;
mod model;
mod states;
mod stream;

use super::*;
use crate::clock::Clock;
use crate::database::test_database::TestDatabase;
use crate::database::{
    self, Chunk, ChunkHead, Commit, Loaded, LogPart, OpenMode, RegistryPatch, Rewrite, SensorKey,
    Series, Span,
};
use crate::domain::{Extras, PlaceName, Quantity, SensorId, Sites, TimeRange, Topic, Values};
use crate::score::Profile;
use futures_util::future::BoxFuture;
use parking_lot::Mutex as SyncMutex;
use std::path::Path;

const PROFILE: Profile = Profile::Iaqverse;
const LIMITS: RegistryLimits = RegistryLimits {
    sensors_max: 100,
    rooms_max: 100,
};
const QUEUE_MAX: usize = 10_000;

/// Remembers what was published.
#[derive(Debug, Default)]
struct Listener(SyncMutex<Vec<Published>>);

impl Publish for Listener {
    fn publish(&self, published: Vec<Published>) -> BoxFuture<'_, ()> {
        self.0.lock().extend(published);
        Box::pin(std::future::ready(()))
    }
}

/// How a commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing reaches the disk.
    Lost,
    /// Everything does, but nobody is told.
    Unheard,
}

/// A database whose next commit, or some rewrite, can be made to fail.
#[derive(Debug)]
pub(super) struct Fallible {
    database: Arc<dyn Database>,
    pub(super) failure: SyncMutex<Option<Failure>>,
    /// Rewrites that still succeed before one fails.
    pub(super) rewrites_left: SyncMutex<Option<u32>>,
    /// Nothing can be looked up.
    is_blind: SyncMutex<bool>,
}

impl Database for Fallible {
    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<(), StoreError>> {
        let failure = self.failure.lock().take();
        Box::pin(async move {
            match failure {
                None => return self.database.commit(commit).await,
                Some(Failure::Unheard) => self.database.commit(commit).await?,
                Some(Failure::Lost) => {}
            }
            Err(StoreError::Unusable(format!("{failure:?}")))
        })
    }

    fn rewrite<'a>(&'a self, rewrite: &'a Rewrite) -> BoxFuture<'a, Result<(), StoreError>> {
        let fails = {
            let mut left = self.rewrites_left.lock();
            let fails = *left == Some(0);
            *left = if fails {
                None
            } else {
                left.map(|left| left - 1)
            };
            fails
        };
        Box::pin(async move {
            if fails {
                return Err(StoreError::Unusable("rewrite".to_owned()));
            }
            self.database.rewrite(rewrite).await
        })
    }

    fn begin_epoch(&self, started_at: Timestamp) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.database.begin_epoch(started_at)
    }

    fn change_registry<'a>(
        &'a self,
        patch: &'a RegistryPatch,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let failure = self.failure.lock().take();
        Box::pin(async move {
            match failure {
                None => return self.database.change_registry(patch).await,
                Some(Failure::Unheard) => self.database.change_registry(patch).await?,
                Some(Failure::Lost) => {}
            }
            Err(StoreError::Unusable(format!("{failure:?}")))
        })
    }

    fn load(&self) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        self.database.load()
    }

    fn renumber(&self, after: StreamId, to: StreamId) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.database.renumber(after, to)
    }

    fn log(
        &self,
        after: StreamId,
        up_to: StreamId,
        readings_max: u32,
    ) -> BoxFuture<'_, Result<LogPart, StoreError>> {
        self.database.log(after, up_to, readings_max)
    }

    fn log_sizes(&self) -> BoxFuture<'_, Result<Vec<(StreamId, u32)>, StoreError>> {
        self.database.log_sizes()
    }

    fn trim_log(&self, to: StreamId) -> BoxFuture<'_, Result<(), StoreError>> {
        self.database.trim_log(to)
    }

    fn chunk_heads<'a>(
        &'a self,
        series: Series,
        spans: &'a [Span],
    ) -> BoxFuture<'a, Result<Vec<ChunkHead>, StoreError>> {
        self.database.chunk_heads(series, spans)
    }

    fn chunks<'a>(
        &'a self,
        series: Series,
        spans: &'a [Span],
        payload_bytes_max: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<Chunk>>, StoreError>> {
        if *self.is_blind.lock() {
            let error = StoreError::Unusable("blind".to_owned());
            return Box::pin(std::future::ready(Err(error)));
        }
        self.database.chunks(series, spans, payload_bytes_max)
    }

    fn remove_chunks(
        &self,
        series: Series,
        before: Timestamp,
        chunks_max: u32,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.database.remove_chunks(series, before, chunks_max)
    }

    fn put_clock(
        &self,
        clock: ClockRecord,
        removed_to: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.database.put_clock(clock, removed_to)
    }

    fn back_up<'a>(&'a self, to: &'a Path) -> BoxFuture<'a, Result<(), StoreError>> {
        self.database.back_up(to)
    }

    fn size_bytes(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.database.size_bytes()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.database.check()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.database.close()
    }
}

/// A clock that says what it was told.
#[derive(Debug)]
struct ToldClock(AtomicI64);

impl Clock for ToldClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Long after all readings of these tests.
pub(super) const LATER: Timestamp = Timestamp::from_millis(2_000_000_000_000);

pub(super) struct Running {
    clock: Arc<ToldClock>,
    pub(super) store: Store,
    pub(super) database: Arc<Fallible>,
    pub(super) queue: WriteQueue,
    listener: Arc<Listener>,
    writing: tokio::task::JoinHandle<()>,
}

impl Running {
    pub(super) async fn open(url: &str, readings_kept: usize, queue_max: usize) -> Self {
        Self::open_at(url, readings_kept, queue_max, LATER).await
    }

    async fn open_at(url: &str, readings_kept: usize, queue_max: usize, now: Timestamp) -> Self {
        let limits = ReplayLimits { readings_kept };
        let database = Arc::new(Fallible {
            database: database::open(url, OpenMode::Owner).await.unwrap(),
            failure: SyncMutex::default(),
            rewrites_left: SyncMutex::default(),
            is_blind: SyncMutex::default(),
        });
        let clock = Arc::new(ToldClock(AtomicI64::new(now.millis())));
        let store = Store::open(Arc::clone(&database) as _, PROFILE, now, limits)
            .await
            .unwrap();
        let listener = Arc::new(Listener::default());
        let publisher: Arc<dyn Publish> = Arc::clone(&listener) as _;
        let told = Arc::clone(&clock) as _;
        let (writer, queue) = Writer::new(&store, publisher, PROFILE, LIMITS, queue_max, told);
        let writing = tokio::task::spawn_local(writer.run());
        Self {
            clock,
            store,
            database,
            queue,
            listener,
            writing,
        }
    }

    pub(super) async fn close(&mut self) {
        self.queue.close().await;
        (&mut self.writing).await.unwrap();
        self.store.close().await;
    }

    /// What was published since the last look.
    fn published(&self) -> Vec<Published> {
        std::mem::take(&mut self.listener.0.lock())
    }

    /// Announces a notice and waits until it is published.
    async fn announce(&self) {
        self.queue.announce(notice()).unwrap();
        while !matches!(
            self.listener.0.lock().last(),
            Some(Published::Notice { .. })
        ) {
            tokio::task::yield_now().await;
        }
    }

    async fn rows(&self) -> Vec<HistoryRow> {
        let sensors = self
            .store
            .directory(|directory| directory.sensors().map(|s| s.key).collect());
        let query = HistoryQuery {
            sensors,
            rooms: None,
        };
        let (from, to) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
        self.store
            .history(&query, TimeRange::new(from, to), usize::MAX)
            .await
            .unwrap()
            .unwrap()
    }

    /// Brings everything into chunks, as the keeper does from time to time.
    pub(super) async fn settle(&self) {
        settle::settle(&self.store).await.unwrap();
    }

    /// Erases what sensors have from a time on, and says how many readings that were.
    async fn erase(
        &self,
        from: Timestamp,
        is_meant: &dyn Fn(&SensorId) -> bool,
    ) -> Result<usize, StoreError> {
        self.store.forget_from(from).await?;
        let mut readings = Vec::new();
        for sensor in self.store.sensors_from(from).await? {
            let id = |directory: &Directory| {
                let entry = directory.sensor(sensor).unwrap();
                entry.latest.scored.reading.sensor.clone()
            };
            if !is_meant(&self.store.directory(id)) {
                continue;
            }
            let mut next = Some(from);
            while let Some(from) = next {
                let page = self.store.page(sensor, from).await?;
                next = page.next;
                readings.extend(page.rows.iter().map(|row| (row.sensor, row.observed_at)));
            }
        }
        self.store.erase(readings, self.clock.now()).await
    }

    pub(super) async fn replay(&self, after: StreamId) -> Option<Vec<Stored>> {
        let up_to = self.store.position();
        self.store.replay(after, up_to, u32::MAX).await.unwrap()
    }
}

/// A reading of CO2 at a second.
pub(super) fn reading(sensor: &str, second: i64, co2: f64) -> ScoredReading {
    let mut values = Values::default();
    assert!(values.set(Quantity::Co2, co2));
    ScoredReading {
        assessment: PROFILE.assess(&values),
        reading: Reading {
            sensor: SensorId::parse(sensor).unwrap(),
            site: Some(PlaceName::parse("site").unwrap()),
            room: Some(PlaceName::parse("room").unwrap()),
            observed_at: Timestamp::from_millis(second * 1000),
            values,
            extras: Extras::default(),
            tvoc_unit_assumed: false,
        },
    }
}

fn notice() -> Notice {
    Notice {
        topic: Topic::Alerts,
        kind: "alert",
        site: None,
        room: None,
        sensor: None,
        body: serde_json::Map::new(),
    }
}

/// Runs a test on each database, with one of its own, on one thread.
fn on_each_database(test: &impl AsyncFn(&str)) {
    on_sqlite(test);
    on_postgres(test);
}

pub(super) fn on_postgres(test: &impl AsyncFn(&str)) {
    on_one_thread(async {
        let database = TestDatabase::postgres().await;
        test(database.url()).await;
    });
}

pub(super) fn on_sqlite(test: &impl AsyncFn(&str)) {
    on_one_thread(async {
        let database = TestDatabase::sqlite();
        test(database.url()).await;
    });
}

fn on_one_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

#[test]
fn a_large_request_is_stored_whole_and_answered_in_order() {
    on_each_database(&async |url: &str| {
        let mut running = Running::open(url, 100_000, QUEUE_MAX).await;
        let readings = (0..5000)
            .map(|second| reading("a", second, 500.0))
            .collect();
        let outcomes = running.queue.append(readings, &Sites::ALL).await.unwrap();
        let times: Vec<_> = outcomes
            .iter()
            .map(|outcome| match outcome {
                Outcome::Accepted(scored) => scored.reading.observed_at.millis() / 1000,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(times, (0..5000).collect::<Vec<_>>());
        assert_eq!(running.rows().await.len(), 5000);
        running.close().await;
    });
}

#[test]
fn a_full_queue_says_so_and_a_closed_one_takes_nothing() {
    on_each_database(&async |url: &str| {
        let mut running = Running::open(url, 0, QUEUE_MAX).await;
        let many = vec![reading("a", 0, 500.0); QUEUE_MAX + 1];
        assert_eq!(
            running.queue.append(many, &Sites::ALL).await.unwrap_err(),
            AppendError::Busy
        );
        running.close().await;
        let one = vec![reading("a", 0, 500.0)];
        let result = running.queue.append(one, &Sites::ALL).await;
        assert_eq!(result.unwrap_err(), AppendError::Closed);
        assert_eq!(running.queue.announce(notice()), Err(AppendError::Closed));
    });
}

#[test]
fn a_store_that_failed_is_ready_again_without_being_written_to() {
    on_each_database(&async |url: &str| {
        let mut running = Running::open(url, 100, QUEUE_MAX).await;
        running
            .queue
            .append(vec![reading("a", 9, 500.0)], &Sites::ALL)
            .await
            .unwrap();
        running.settle().await;
        *running.database.is_blind.lock() = true;
        let late = running
            .queue
            .append(vec![reading("a", 5, 500.0)], &Sites::ALL)
            .await;
        assert_eq!(late.unwrap_err(), AppendError::Failed);
        running.store.check().await.unwrap_err();
        *running.database.is_blind.lock() = false;
        let ready = async {
            while running.store.check().await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        let patience = std::time::Duration::from_secs(20);
        tokio::time::timeout(patience, ready).await.unwrap();
        assert_eq!(running.published().len(), 1);
        running.close().await;
    });
}

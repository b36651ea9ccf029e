//! The store on a real database.

mod model;
mod stream;

use super::engine::{Changes, HistoryQuery, Snapshot};
use super::*;
use crate::domain::{Extras, PlaceName, Quantity, SensorId, Topic, Values};
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
enum Failure {
    /// Nothing reaches the disk.
    Lost,
    /// Everything does, but nobody is told.
    Unheard,
}

/// A database whose next commit can be made to fail.
#[derive(Debug)]
struct Fallible {
    engine: SqliteEngine,
    failure: SyncMutex<Option<Failure>>,
}

impl Engine for Fallible {
    fn commit<'a>(&'a self, changes: &'a Changes) -> BoxFuture<'a, Result<(), StoreError>> {
        let failure = self.failure.lock().take();
        Box::pin(async move {
            match failure {
                None => return self.engine.commit(changes).await,
                Some(Failure::Unheard) => self.engine.commit_unheard(changes).await,
                Some(Failure::Lost) => {}
            }
            Err(StoreError::Unusable(format!("{failure:?}")))
        })
    }

    fn begin_epoch(&self, started_at: Timestamp) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.engine.begin_epoch(started_at)
    }

    fn load(&self) -> BoxFuture<'_, Result<Snapshot, StoreError>> {
        self.engine.load()
    }

    fn find<'a>(
        &'a self,
        identities: &'a [(SensorKey, Timestamp)],
    ) -> BoxFuture<'a, Result<Vec<HistoryRow>, StoreError>> {
        self.engine.find(identities)
    }

    fn renumber(
        &self,
        after: StreamId,
        behind: StreamId,
    ) -> BoxFuture<'_, Result<Vec<LogRow>, StoreError>> {
        self.engine.renumber(after, behind)
    }

    fn replay(
        &self,
        after: StreamId,
        up_to: StreamId,
        rows_max: u32,
    ) -> BoxFuture<'_, Result<Option<Vec<LogRow>>, StoreError>> {
        self.engine.replay(after, up_to, rows_max)
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        from: Timestamp,
        to: Timestamp,
        rows_max: u32,
    ) -> BoxFuture<'a, Result<Vec<HistoryRow>, StoreError>> {
        self.engine.history(query, from, to, rows_max)
    }

    fn room_means<'a>(
        &'a self,
        windows: &'a [AveragingWindow],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<RoomMeans, StoreError>> {
        self.engine.room_means(windows, now)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.engine.check()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.engine.close()
    }
}

fn url(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("test.db").display())
}

struct Running {
    store: Store,
    engine: Arc<Fallible>,
    queue: WriteQueue,
    listener: Arc<Listener>,
    writing: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn open(folder: &Path, readings_kept: usize, queue_max: usize) -> Self {
        let limits = ReplayLimits { readings_kept };
        let engine = Arc::new(Fallible {
            engine: SqliteEngine::open(&url(folder), limits).await.unwrap(),
            failure: SyncMutex::default(),
        });
        let store = Store::load(Arc::clone(&engine) as _, PROFILE, Timestamp::from_millis(0))
            .await
            .unwrap();
        let listener = Arc::new(Listener::default());
        let publisher: Arc<dyn Publish> = Arc::clone(&listener) as _;
        let (writer, queue) = Writer::new(&store, publisher, PROFILE, LIMITS, queue_max);
        let writing = tokio::task::spawn_local(writer.run());
        Self {
            store,
            engine,
            queue,
            listener,
            writing,
        }
    }

    async fn close(&mut self) {
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
            ..HistoryQuery::default()
        };
        let (from, to) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
        self.store
            .history(&query, from, to, u32::MAX)
            .await
            .unwrap()
    }

    async fn replay(&self, after: StreamId) -> Option<Vec<Stored>> {
        let up_to = self.store.position();
        self.store.replay(after, up_to, u32::MAX).await.unwrap()
    }
}

/// A reading of CO2 at a second.
fn reading(sensor: &str, second: i64, co2: f64) -> ScoredReading {
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

/// Runs a test with a folder of its own on one thread.
fn on_one_thread<F: Future<Output = ()>>(test: impl FnOnce(std::path::PathBuf) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let test = test(folder.path().to_owned());
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

#[test]
fn a_large_request_is_stored_whole_and_answered_in_order() {
    on_one_thread(async |folder| {
        let mut running = Running::open(&folder, 100_000, QUEUE_MAX).await;
        let readings = (0..5000)
            .map(|second| reading("a", second, 500.0))
            .collect();
        let outcomes = running.queue.append(readings).await.unwrap();
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
    on_one_thread(async |folder| {
        let mut running = Running::open(&folder, 0, QUEUE_MAX).await;
        let many = vec![reading("a", 0, 500.0); QUEUE_MAX + 1];
        assert_eq!(
            running.queue.append(many).await.unwrap_err(),
            AppendError::Busy
        );
        running.close().await;
        let one = vec![reading("a", 0, 500.0)];
        let result = running.queue.append(one).await;
        assert_eq!(result.unwrap_err(), AppendError::Closed);
        assert_eq!(running.queue.announce(notice()), Err(AppendError::Closed));
    });
}

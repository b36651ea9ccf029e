//! The store against a naive model: any writes, in any order and batches, with restarts between.

use super::engine::HistoryQuery;
use super::*;
use crate::domain::{PlaceName, Quantity, SensorId, Values};
use futures_util::future::BoxFuture;
use parking_lot::Mutex as SyncMutex;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

const PROFILE: Profile = Profile::Iaqverse;
const LIMITS: RegistryLimits = RegistryLimits {
    sensors_max: 100,
    rooms_max: 100,
};

/// Remembers what was published.
#[derive(Debug, Default)]
struct Published(SyncMutex<Vec<Stored>>);

impl Publish for Published {
    fn publish(&self, stored: Vec<super::Published>) -> BoxFuture<'_, ()> {
        self.0.lock().extend(stored.into_iter().filter_map(|it| {
            if let super::Published::Measurement(it) = it {
                Some(it)
            } else {
                None
            }
        }));
        Box::pin(std::future::ready(()))
    }
}

struct Running {
    store: Store,
    queue: WriteQueue,
    published: Arc<Published>,
    writing: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn open(folder: &Path) -> Self {
        let url = format!("sqlite://{}", folder.join("test.db").display());
        let engine = Arc::new(SqliteEngine::open(&url).await.unwrap());
        let store = Store::load(engine, PROFILE, Timestamp::from_millis(0))
            .await
            .unwrap();
        let published = Arc::new(Published::default());
        let listener: Arc<dyn Publish> = Arc::clone(&published) as _;
        let (writer, queue) = Writer::new(&store, listener, PROFILE, LIMITS, 10_000);
        let writing = tokio::task::spawn_local(writer.run());
        Self {
            store,
            queue,
            published,
            writing,
        }
    }

    async fn close(self) -> Vec<Stored> {
        self.queue.close().await;
        self.writing.await.unwrap();
        self.store.close().await;
        std::mem::take(&mut self.published.0.lock())
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
}

/// One write: sensor, second, room, CO2 and PM2.5.
type Write = (u8, u8, Option<u8>, Option<u16>, Option<u16>);
type Identity = (String, i64);

fn values(co2: Option<u16>, pm25: Option<u16>) -> Values {
    let mut values = Values::default();
    for (quantity, number) in [(Quantity::Co2, co2), (Quantity::Pm25, pm25)] {
        if let Some(number) = number {
            assert!(values.set(quantity, f64::from(number) + 0.1));
        }
    }
    values
}

fn scored(write: &Write) -> ScoredReading {
    let (sensor, second, room, co2, pm25) = *write;
    let values = values(co2, pm25);
    let name = |text: String| PlaceName::parse(&text).unwrap();
    ScoredReading {
        assessment: PROFILE.assess(&values),
        reading: Reading {
            sensor: SensorId::parse(&format!("s{sensor}")).unwrap(),
            site: room.map(|_| name("site".to_owned())),
            room: room.map(|room| name(format!("room {room}"))),
            observed_at: Timestamp::from_millis(i64::from(second) * 1000),
            values,
            extras: crate::domain::Extras::default(),
            tvoc_unit_assumed: false,
        },
    }
}

/// What the store should hold, kept the simplest way.
#[derive(Default)]
struct Model {
    readings: BTreeMap<Identity, Values>,
}

impl Model {
    /// Writes and says what the store should answer.
    fn write(&mut self, write: &Write) -> &'static str {
        let (sensor, second, room, co2, pm25) = *write;
        let sensor = format!("s{sensor}");
        if room.is_none() && !self.readings.keys().any(|(known, _)| *known == sensor) {
            return "refused";
        }
        let identity = (sensor, i64::from(second) * 1000);
        match self.readings.get_mut(&identity) {
            None => {
                self.readings.insert(identity, values(co2, pm25));
                "accepted"
            }
            Some(kept) => {
                if kept.merge(&values(co2, pm25)) {
                    "updated"
                } else {
                    "duplicate"
                }
            }
        }
    }

    fn latest(&self, sensor: &str) -> Option<(i64, Values)> {
        let of_sensor = self
            .readings
            .iter()
            .filter(|((known, _), _)| known == sensor);
        of_sensor
            .map(|((_, at), values)| (*at, *values))
            .next_back()
    }
}

fn name_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted(_) => "accepted",
        Outcome::Updated(_) => "updated",
        Outcome::Duplicate(_) => "duplicate",
        Outcome::Refused(_) => "refused",
    }
}

async fn check(running: &Running, model: &Model) {
    let rows = running.rows().await;
    let stored: BTreeMap<Identity, Values> = running.store.directory(|directory| {
        let id = |row: &HistoryRow| {
            directory
                .sensor(row.sensor)
                .unwrap()
                .latest
                .scored
                .reading
                .sensor
                .as_str()
                .to_owned()
        };
        rows.iter()
            .map(|row| ((id(row), row.observed_at.millis()), row.values))
            .collect()
    });
    assert_eq!(stored, model.readings);
    assert_eq!(rows.len(), stored.len(), "no reading is there twice");
    running.store.directory(|directory| {
        for sensor in directory.sensors() {
            let latest = &sensor.latest.scored;
            let id = latest.reading.sensor.as_str();
            let expected = model.latest(id).unwrap();
            assert_eq!(
                (latest.reading.observed_at.millis(), latest.reading.values),
                expected
            );
            assert_eq!(latest.assessment, PROFILE.assess(&latest.reading.values));
            let count = model
                .readings
                .keys()
                .filter(|(known, _)| known == id)
                .count();
            assert_eq!(sensor.reading_count, count as u64);
        }
    });
}

async fn run(batches: Vec<(Vec<Write>, bool)>) {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    let mut running = Running::open(folder.path()).await;
    let mut last_id = StreamId::default();
    for (batch, restart) in batches {
        let expected: Vec<_> = batch.iter().map(|write| model.write(write)).collect();
        let outcomes = running
            .queue
            .append(batch.iter().map(scored).collect())
            .await
            .unwrap();
        assert_eq!(outcomes.iter().map(name_of).collect::<Vec<_>>(), expected);
        if restart {
            check(&running, &model).await;
            for stored in running.close().await {
                assert!(stored.id > last_id, "ids grow, across restarts too");
                last_id = stored.id;
            }
            running = Running::open(folder.path()).await;
        }
    }
    check(&running, &model).await;
    running.close().await;
}

fn any_write() -> impl Strategy<Value = Write> {
    let number = prop::option::weighted(0.8, 0..3_u16);
    (
        0..3_u8,
        0..6_u8,
        prop::option::of(0..3_u8),
        0..3_u16,
        number,
    )
        .prop_map(|(sensor, second, room, co2, pm25)| (sensor, second, room, Some(co2), pm25))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_store_holds_what_a_naive_model_holds(
        batches in prop::collection::vec(
            (prop::collection::vec(any_write(), 1..12), prop::bool::weighted(0.3)),
            1..8,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, run(batches));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_large_request_is_stored_whole_and_answered_in_order() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let folder = tempfile::tempdir().unwrap();
            let running = Running::open(folder.path()).await;
            let readings: Vec<_> = (0..5000_i64)
                .map(|number| {
                    let mut one = scored(&(0, 0, Some(0), Some(1), None));
                    one.reading.observed_at = Timestamp::from_millis(number);
                    one
                })
                .collect();
            let outcomes = running.queue.append(readings).await.unwrap();
            let times: Vec<_> = outcomes
                .iter()
                .map(|outcome| match outcome {
                    Outcome::Accepted(scored) => scored.reading.observed_at.millis(),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(times, (0..5000).collect::<Vec<_>>());
            assert_eq!(running.rows().await.len(), 5000);
            running.close().await;
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_full_queue_says_so_and_a_closed_one_takes_nothing() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let folder = tempfile::tempdir().unwrap();
            let running = Running::open(folder.path()).await;
            let many = vec![scored(&(0, 0, Some(0), Some(1), None)); 10_001];
            assert_eq!(
                running.queue.append(many).await.unwrap_err(),
                AppendError::Busy
            );
            let queue = running.queue.clone();
            running.close().await;
            let one = vec![scored(&(0, 0, Some(0), Some(1), None))];
            assert_eq!(queue.append(one).await.unwrap_err(), AppendError::Closed);
        })
        .await;
}

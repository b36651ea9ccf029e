//! Fills a database with a year and more of readings, as sensors would have sent them.
//!
//! `cargo bench --bench fill -- sqlite://big.db 95 365` writes one reading a minute of 95 sensors over
//! 365 days, 49.9 million, through the writer that the server uses.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "what it is for")]
#![expect(
    clippy::disallowed_methods,
    reason = "there is no server whose stop would wait for tasks"
)]

use futures_util::future::BoxFuture;
use iaqverse::clock::SystemClock;
use iaqverse::database::{self, OpenMode};
use iaqverse::domain::{Extras, PlaceName, Quantity, Reading, SensorId, Sites, Timestamp, Values};
use iaqverse::score::Profile;
use iaqverse::store::{
    Keeper, Publish, Published, RegistryLimits, ReplayLimits, Retention, ScoredReading, Store,
    Writer,
};
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// 2025-01-01T00:00:00Z.
const BEGIN_MS: i64 = 1_735_689_600_000;
const MINUTE_MS: i64 = 60_000;
const MINUTES_OF_A_DAY: i64 = 24 * 60;
const BATCH: usize = 1024;

#[derive(Debug)]
struct Nobody;

impl Publish for Nobody {
    fn publish(&self, _published: Vec<Published>) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A room's air: each value wanders a little from minute to minute, in the steps a sensor has.
struct Room {
    sensor: SensorId,
    place: (PlaceName, PlaceName),
    state: u64,
    values: [f64; 5],
}

/// Quantity, least, greatest, decimals and largest step of each.
const WALKS: [(Quantity, f64, f64, f64, f64); 5] = [
    (Quantity::Co2, 400.0, 2000.0, 1.0, 25.0),
    (Quantity::Pm25, 0.0, 80.0, 10.0, 1.0),
    (Quantity::Tvoc, 0.0, 900.0, 1.0, 15.0),
    (Quantity::Temperature, 16.0, 28.0, 10.0, 0.2),
    (Quantity::Humidity, 25.0, 70.0, 10.0, 0.5),
];

impl Room {
    fn new(number: usize) -> Self {
        let name = |text: String| PlaceName::parse(&text).unwrap();
        Self {
            sensor: SensorId::parse(&format!("sensor-{number:03}")).unwrap(),
            place: (
                name(format!("Site {}", number / 20)),
                name(format!("Room {number}")),
            ),
            state: 0x9e37_79b9_7f4a_7c15 ^ (number as u64).wrapping_mul(0x2545_f491_4f6c_dd1d),
            values: [600.0, 8.0, 120.0, 21.5, 45.0],
        }
    }

    /// From -1 to 1.
    fn random(&mut self) -> f64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        f64::from(u32::try_from(self.state >> 32).unwrap()) / f64::from(u32::MAX) * 2.0 - 1.0
    }

    fn reading(&mut self, millis: i64) -> ScoredReading {
        let mut values = Values::default();
        for (position, (quantity, least, greatest, decimals, step)) in WALKS.into_iter().enumerate()
        {
            let walked = self.values[position] + self.random() * step;
            let number = (walked.clamp(least, greatest) * decimals).round() / decimals;
            self.values[position] = number;
            assert!(values.set(quantity, number));
        }
        ScoredReading {
            assessment: Profile::Iaqverse.assess(&values),
            reading: Reading {
                sensor: self.sensor.clone(),
                site: Some(self.place.0.clone()),
                room: Some(self.place.1.clone()),
                observed_at: Timestamp::from_millis(millis),
                values,
                extras: Extras::default(),
                tvoc_unit_assumed: false,
            },
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let [url, sensors, days] = arguments.as_slice() else {
        println!("usage: fill URL SENSORS DAYS");
        return;
    };
    let (sensors, days): (usize, i64) = (sensors.parse().unwrap(), days.parse().unwrap());
    let database = database::open(url, OpenMode::Owner).await.unwrap();
    let (profile, limits) = (Profile::Iaqverse, ReplayLimits::default());
    let now = Timestamp::from_millis(BEGIN_MS);
    let store = Store::open(database, profile, now, limits).await.unwrap();
    let keeper = Keeper::new(&store, Retention::default(), Arc::new(SystemClock));
    let registry = RegistryLimits {
        sensors_max: 100_000,
        rooms_max: 100_000,
    };
    let (writer, queue) = Writer::new(
        &store,
        Arc::new(Nobody),
        profile,
        registry,
        64 * 1024,
        Arc::new(SystemClock),
    );
    let written = CancellationToken::new();
    let writing = tokio::spawn(writer.run());
    let keeping = tokio::spawn(keeper.run(written.clone()));

    let begun = Instant::now();
    let mut rooms: Vec<_> = (0..sensors).map(Room::new).collect();
    let mut batch = Vec::with_capacity(BATCH);
    let mut before = None;
    for minute in 0..days * MINUTES_OF_A_DAY {
        for room in &mut rooms {
            batch.push(room.reading(BEGIN_MS + minute * MINUTE_MS));
            if batch.len() == BATCH {
                let readings = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                let queue = queue.clone();
                // The next batch is made while this one is written.
                let next = tokio::spawn(async move { queue.append(readings, &Sites::ALL).await });
                if let Some(append) = before.replace(next) {
                    append.await.unwrap().unwrap();
                }
            }
        }
    }
    if let Some(append) = before {
        append.await.unwrap().unwrap();
    }
    queue.append(batch, &Sites::ALL).await.unwrap();
    queue.close().await;
    writing.await.unwrap();
    written.cancel();
    keeping.await.unwrap();
    store.close().await;
    let readings = i64::try_from(sensors).unwrap() * days * MINUTES_OF_A_DAY;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{readings} readings in {seconds:.1} s");
}

//! One sender with much does not keep the readings of another waiting, nor out.

use super::stage::{Credentials, Stage};
use crate::harness::{at_millis, client};
use futures_util::future::{join, join_all};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Connections of the one with much, and readings of each of its requests.
const CONNECTIONS: u64 = 8;
const BATCH: u64 = 1000;
/// Readings that fill the queue, if one sender could.
const QUEUE: &str = "4000";
/// Far less than the readings of all those connections take.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Late readings of one sensor, in an order that is none.
fn scattered(batch: u64) -> Value {
    let readings = (0..BATCH).map(|number| {
        let second = (batch * BATCH + number) * 7_919 % 1_000_003;
        let millis = 1_750_000_000_000 + i64::try_from(second).unwrap() * 1000;
        json!({"sensor_id": "greedy", "enseigne": "Site", "salle": "Greedy",
            "timestamp": at_millis(millis), "values": {"CO2": 500 + number % 100}})
    });
    readings.collect()
}

async fn post(stage: &Stage, who: &Credentials, body: &Value) -> reqwest::Response {
    let (name, value) = who.0.clone().unwrap();
    let request = client().post(stage.server.url("/api/ingest"));
    request.header(name, value).json(body).send().await.unwrap()
}

#[tokio::test]
async fn who_sends_much_over_many_connections_waits_for_itself() {
    let settings = [
        ("IAQ_BATCH_READINGS_MAX", "1000"),
        ("IAQ_QUEUE_READINGS_MAX", QUEUE),
    ];
    let stage = Stage::with(&settings).await;
    let (_, greedy) = stage.device(&json!({"sensors": ["greedy"]})).await;
    let (_, device) = stage.device(&json!({"sensors": ["device"]})).await;
    let is_over = Cell::new(false);
    let flood = join_all((0..CONNECTIONS).map(|connection| {
        let (stage, greedy, is_over) = (&stage, &greedy, &is_over);
        async move {
            let mut refused = 0;
            for batch in (connection..).step_by(8) {
                if is_over.get() {
                    break;
                }
                match post(stage, greedy, &scattered(batch))
                    .await
                    .status()
                    .as_u16()
                {
                    200 => {}
                    503 => refused += 1,
                    other => panic!("{other}"),
                }
            }
            refused
        }
    }));
    let others = async {
        for number in 0..40 {
            let reading = json!({"sensor_id": "device", "enseigne": "Site", "salle": "Device",
                "values": {"CO2": 500 + number}});
            let begun = Instant::now();
            assert_eq!(post(&stage, &device, &reading).await.status(), 200);
            let waited = begun.elapsed();
            assert!(waited < WAIT_MAX, "{waited:?}");
            // A device has its own pace.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        is_over.set(true);
    };
    let (refused, ()) = join(flood, others).await;
    let refused: u32 = refused.into_iter().sum();
    assert!(
        refused > 0,
        "nobody was beyond its share, so this shows nothing"
    );
}

//! Readings go when they are old, what was made of them stays.

use crate::harness::{Server, at_millis, faults, from_now, millis_of, problem};
use crate::place::{Kind, Place};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Between two readings: enough of them that whole chunks are old.
const STEP_MS: i64 = 2 * 60 * 1000;
const DAYS: i64 = 6;
const DAYS_KEPT: i64 = 2;

fn reading(at_ms: i64, co2: i64) -> Value {
    json!({"sensor_id": "s1", "enseigne": "M", "salle": "B", "timestamp": at_millis(at_ms),
        "values": {"CO2": co2, "Temperature": 0.5}})
}

fn start(url: &str, days_kept: i64) -> Server {
    let days = days_kept.to_string();
    Server::with(&[
        ("DATABASE_URL", url),
        ("IAQ_RETENTION_DAYS", &days),
        ("IAQ_LOG", "debug"),
    ])
}

async fn daily(server: &Server, from_ms: i64, to_ms: i64) -> Vec<Value> {
    let (start, end) = (at_millis(from_ms), at_millis(to_ms));
    let path = format!("/api/iaq/data?step=daily&minmax=true&start={start}&end={end}");
    server.get_json(&path).await.as_array().unwrap().clone()
}

async fn raw_times(server: &Server, from_ms: i64, to_ms: i64) -> Vec<i64> {
    let (start, end) = (at_millis(from_ms), at_millis(to_ms));
    let found = server
        .get_json(&format!("/api/iaq/data?raw=true&start={start}&end={end}"))
        .await;
    let times = found
        .as_array()
        .unwrap()
        .iter()
        .map(|record| millis_of(&record["timestamp"]));
    times.collect()
}

#[rstest]
#[tokio::test]
async fn old_readings_go_and_their_means_stay(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let place = Place::new(kind);
    let url = place.new_database().await;
    let today_ms = millis_of(&from_now(0).into()) / DAY_MS * DAY_MS;
    let (begin_ms, limit_ms) = (today_ms - DAYS * DAY_MS, today_ms - DAYS_KEPT * DAY_MS);
    let times: Vec<i64> = (begin_ms..today_ms)
        .step_by(usize::try_from(STEP_MS).unwrap())
        .collect();

    let server = start(&url, 0);
    for some in times.chunks(1440) {
        let batch: Value = some
            .iter()
            .map(|at| reading(*at, 400 + at / STEP_MS % 977))
            .collect();
        server.accept(&batch).await;
    }
    let before = daily(&server, begin_ms, today_ms).await;
    assert_eq!(before.len(), usize::try_from(DAYS).unwrap());
    assert_eq!(raw_times(&server, begin_ms, today_ms).await, times);
    server.terminate();
    assert!(server.ended_well().await);

    let server = start(&url, DAYS_KEPT);
    server.logged("old history removed");
    let kept: Vec<i64> = times.iter().copied().filter(|at| *at >= limit_ms).collect();
    assert_eq!(raw_times(&server, begin_ms, today_ms).await, kept);
    assert_eq!(daily(&server, begin_ms, today_ms).await, before);

    let refused = server.post(&reading(limit_ms - 1, 400)).await;
    let body = problem(refused, 422, "reading_rejected").await;
    assert_eq!(
        faults(&body["errors"]),
        [("/timestamp", "timestamp_too_old")]
    );

    // On the oldest day that is kept: its mean is made again of all its readings.
    server.accept(&reading(limit_ms + 1, 9000)).await;
    let after = daily(&server, begin_ms, today_ms).await;
    let changed = usize::try_from(DAYS - DAYS_KEPT).unwrap();
    assert_eq!(
        after[changed]["count"],
        before[changed]["count"].as_u64().unwrap() + 1
    );
    assert_eq!(after[changed]["co2_max"], 9000);
    let mut others = after.clone();
    others[changed] = before[changed].clone();
    assert_eq!(others, before);
    server.terminate();
    assert!(server.ended_well().await);

    // What is gone does not come back, and the late reading is in the mean that was written.
    let server = start(&url, 0);
    assert_eq!(
        raw_times(&server, begin_ms, limit_ms).await,
        Vec::<i64>::new()
    );
    assert_eq!(daily(&server, begin_ms, today_ms).await, after);
}

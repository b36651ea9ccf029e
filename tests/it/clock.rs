//! A clock that is wrong: it takes nothing along, and once it is right everything is as it should be.

use crate::harness::{Server, at_millis, from_now, millis_of, problem};
use crate::place::{Kind, Place};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{interval, timeout};

const MINUTE_MS: i64 = 60_000;
/// How soon a clock that is right again must be followed.
const HEALED_WITHIN: Duration = Duration::from_mins(1);
const READINGS: i64 = 200;
const A_YEAR_AHEAD: &str = "+400d";
const RIGHT: &str = "+0";
const NOT_SET: &str = "@1970-01-02 03:04:05";

/// The wall clock of a server, which a test sets as it likes.
struct WallClock(tempfile::TempDir);

impl WallClock {
    fn new(offset: &str) -> Self {
        let clock = Self(tempfile::tempdir().unwrap());
        clock.set(offset);
        clock
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("offset")
    }

    fn set(&self, offset: &str) {
        let next = self.0.path().join("next");
        std::fs::write(&next, offset).unwrap();
        std::fs::rename(next, self.file()).unwrap();
    }

    /// A server that goes by it; its monotonic clock is the machine's.
    fn start(&self, settings: &[(&str, &str)]) -> Server {
        let file = self.file();
        let library = library();
        let mut all = vec![
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            ("TZ", "UTC"),
        ];
        all.extend(settings);
        Server::with(&all)
    }
}

fn library() -> PathBuf {
    let machines = std::fs::read_dir("/usr/lib").unwrap();
    let mut libraries = machines.filter_map(|machine| {
        let library = machine.unwrap().path().join("faketime/libfaketimeMT.so.1");
        library.exists().then_some(library)
    });
    let library = libraries.next();
    library.expect("libfaketime is needed: scripts/install-test-tools installs it")
}

fn reading(sensor: &str, at_ms: Option<i64>, co2: i64) -> Value {
    let mut reading = json!({"sensor_id": sensor, "enseigne": "M", "salle": "B",
        "values": {"CO2": co2}});
    if let Some(at_ms) = at_ms {
        reading["timestamp"] = at_millis(at_ms).into();
    }
    reading
}

fn now_ms() -> i64 {
    millis_of(&from_now(0).into())
}

/// Times of the stored readings of some time.
async fn times(server: &Server, from_ms: i64, to_ms: i64) -> Vec<i64> {
    let (start, end) = (at_millis(from_ms), at_millis(to_ms));
    let path = format!("/api/iaq/data?raw=true&sensor_id=s1&start={start}&end={end}");
    let found = server.get_json(&path).await;
    let found = found.as_array().unwrap().iter();
    found
        .map(|record| millis_of(&record["timestamp"]))
        .collect()
}

async fn latest(server: &Server, sensor: &str) -> Value {
    let all = server.get_json("/api/latest").await;
    let mut all = all.as_array().unwrap().clone().into_iter();
    all.find(|record| record["sensor_id"] == sensor)
        .unwrap_or(Value::Null)
}

/// Posts a reading of now until it is taken and shown.
async fn healed(server: &Server, co2: i64) -> i64 {
    let mut tries = interval(Duration::from_millis(100));
    let healed = async {
        loop {
            tries.tick().await;
            let at_ms = now_ms();
            let answer = server.post(&reading("s1", Some(at_ms), co2)).await;
            if answer.status() != 200 {
                continue;
            }
            let latest = latest(server, "s1").await;
            if latest["co2"] == co2 && millis_of(&latest["timestamp"]) == at_ms {
                return at_ms;
            }
        }
    };
    let healed = timeout(HEALED_WITHIN, healed).await;
    healed.expect("what is of now is taken and shown within a minute")
}

#[rstest]
#[tokio::test]
async fn a_clock_that_was_ahead_takes_nothing_along(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
    #[values("0", "30")] days_kept: &str,
) {
    let place = Place::new(kind);
    let url = place.new_database().await;
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("IAQ_RETENTION_DAYS", days_kept),
    ];
    let begin_ms = (now_ms() / MINUTE_MS - READINGS - 10) * MINUTE_MS;
    let end_ms = begin_ms + READINGS * MINUTE_MS;
    let expected: Vec<i64> = (0..READINGS)
        .map(|minute| begin_ms + minute * MINUTE_MS)
        .collect();
    let clock = WallClock::new(RIGHT);
    let server = clock.start(&settings);
    let batch = expected
        .iter()
        .map(|at_ms| reading("s1", Some(*at_ms), 500));
    server.accept(&batch.collect()).await;
    server.terminate();
    assert!(server.ended_well().await);

    // Started ahead: what has no time of its own is stored a year ahead.
    clock.set(A_YEAR_AHEAD);
    let server = clock.start(&settings);
    server.accept(&reading("s1", None, 9000)).await;
    assert_eq!(times(&server, begin_ms, end_ms).await, expected);
    // Put right, ahead and right again, while it runs.
    clock.set(RIGHT);
    let mut shown = vec![healed(&server, 700).await];
    server.logged("the clock came back");
    clock.set(A_YEAR_AHEAD);
    server.logged("the clock is far ahead");
    server.terminate();
    assert!(server.ended_well().await);

    // Started ahead again and killed; then started with the right clock.
    let mut server = clock.start(&settings);
    server.accept(&reading("s1", None, 9001)).await;
    assert_eq!(times(&server, begin_ms, end_ms).await, expected);
    server.kill();
    clock.set(RIGHT);
    let server = clock.start(&settings);
    shown.push(healed(&server, 701).await);
    assert_eq!(times(&server, begin_ms, end_ms).await, expected);
    let since = times(&server, end_ms, now_ms() + MINUTE_MS).await;
    assert!(shown.iter().all(|at_ms| since.contains(at_ms)), "{since:?}");
    // What was stored ahead is there, and waits for its time.
    let ahead_ms = now_ms() + 399 * 24 * 60 * MINUTE_MS;
    let ahead = times(&server, ahead_ms, ahead_ms + 48 * 60 * MINUTE_MS).await;
    assert_eq!(ahead.len(), 2);
    let sensor = server.get_json("/api/sensors/s1").await;
    assert_eq!(sensor["state"], "online");
    assert_eq!(millis_of(&sensor["last_seen"]), shown[1]);
}

#[rstest]
#[tokio::test]
async fn what_is_ahead_of_the_clock_becomes_the_latest_when_its_time_comes(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let place = Place::new(kind);
    let url = place.new_database().await;
    let clock = WallClock::new(RIGHT);
    let server = clock.start(&[("DATABASE_URL", &url)]);
    let (at_ms, ahead_ms) = (now_ms(), now_ms() + 4 * MINUTE_MS);
    let mut watching = server.watch("?topics=measurements").await;
    let only_ahead = reading("s2", Some(ahead_ms), 800);
    let both = json!([reading("s1", Some(ahead_ms), 900), only_ahead]);
    server.accept(&both).await;
    server.accept(&reading("s1", Some(at_ms), 500)).await;
    // It is told and stored as everything is, and is no latest reading yet.
    let told: Vec<i64> = watching
        .take(3)
        .await
        .iter()
        .map(|message| message["values"]["CO2"].as_i64().unwrap())
        .collect();
    assert_eq!(told, [900, 800, 500]);
    assert_eq!(times(&server, at_ms, ahead_ms + 1).await, [at_ms, ahead_ms]);
    let check = async |server: &Server| {
        assert_eq!(latest(server, "s1").await["co2"], 500);
        assert_eq!(latest(server, "s2").await, Value::Null);
        let states = server.get_json("/api/sensors").await;
        assert_eq!(states[0]["last_seen"], at_millis(at_ms));
        assert_eq!(
            [&states[0]["state"], &states[1]["state"]],
            ["online", "offline"]
        );
        let rooms = server.get_json("/api/rooms").await;
        assert_eq!(rooms[0]["salles"][0]["sensors"], json!(["s1"]));
        assert_eq!(rooms[0]["salles"][0]["timestamp"], at_millis(at_ms));
        let again = server.accept(&reading("s1", Some(ahead_ms), 900)).await;
        assert_eq!(again["duplicate"], true);
        let merged = server.accept(&only_ahead).await;
        assert_eq!(merged["duplicate"], true);
    };
    check(&server).await;
    // After a restart with all of it in chunks, too.
    server.terminate();
    assert!(server.ended_well().await);
    let server = clock.start(&[("DATABASE_URL", &url)]);
    check(&server).await;
    let tag = server.get("/api/latest").await.headers()["etag"].clone();
    clock.set("+5m");
    let mut looks = interval(Duration::from_millis(50));
    let came = async {
        while latest(&server, "s1").await["co2"] != 900 || latest(&server, "s2").await["co2"] != 800
        {
            looks.tick().await;
        }
    };
    timeout(HEALED_WITHIN, came).await.unwrap();
    assert_ne!(server.get("/api/latest").await.headers()["etag"], tag);
    // The clock goes back: what was the latest before is it again.
    clock.set(RIGHT);
    let went = async {
        while latest(&server, "s1").await["co2"] != 500 {
            looks.tick().await;
        }
    };
    timeout(HEALED_WITHIN, went).await.unwrap();
    check(&server).await;
}

#[tokio::test]
async fn without_a_clock_readings_need_a_time_of_their_own() {
    let clock = WallClock::new(NOT_SET);
    let server = clock.start(&[("IAQ_RETENTION_DAYS", "30")]);
    let refused = server.post(&reading("s1", None, 500)).await;
    assert_eq!(refused.headers()["retry-after"], "10");
    problem(refused, 503, "clock_not_set").await;
    let at_ms = now_ms();
    let batch = json!([reading("s1", Some(at_ms), 500), reading("s1", None, 500)]);
    problem(server.post(&batch).await, 503, "clock_not_set").await;
    server.accept(&reading("s1", Some(at_ms), 600)).await;
    assert_eq!(
        times(&server, at_ms - MINUTE_MS, at_ms + MINUTE_MS).await,
        [at_ms]
    );
    // What has a time is shown, though the server cannot say how old it is.
    assert_eq!(latest(&server, "s1").await["co2"], 600);
    clock.set(RIGHT);
    healed(&server, 700).await;
    assert_eq!(times(&server, at_ms, now_ms()).await.len(), 2);
    server.accept(&reading("s2", None, 500)).await;
}

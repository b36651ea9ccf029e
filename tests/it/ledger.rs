//! What was sent to a server and what it answered, to be held against what it has in the end.

use crate::harness::{Server, at_millis, client};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use sqlx::Connection;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Longest that a request may wait for an answer, whatever the store does.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(2);
/// How soon a store that works again must take readings.
pub const RECOVERY_WAIT_MAX: Duration = Duration::from_secs(5);
/// What a server may take for requests that it refuses.
pub const REFUSING_KIB_MAX: u64 = 50 * 1024;

/// Sensors of each poster.
const SENSORS: u32 = 4;
const START_MS: i64 = 1_700_000_000_000;
/// Readings whose answer was lost, kept to be sent again.
const UNKNOWN_KEPT: usize = 20;

/// Sensor and time of a reading.
pub type Identity = (String, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Answered with anything but success, or not at all: it may be stored or not.
    Unknown,
    Acknowledged,
}

/// How one request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    Success,
    Unavailable,
    /// The connection broke.
    Nothing,
}

/// See the module.
#[derive(Default)]
pub struct Ledger {
    sent: RefCell<HashMap<Identity, (i64, Outcome)>>,
    unknown: RefCell<Vec<Vec<i64>>>,
    acknowledged: Cell<usize>,
    refused: Cell<usize>,
    next: Cell<i64>,
    progress: Notify,
}

/// What decides a run that has no seed of its own; printed, so that a failing run can be had again.
pub fn seed() -> u64 {
    let seed = variable("IAQ_TEST_SEED").unwrap_or_else(rand::random);
    note(&format!("IAQ_TEST_SEED={seed}"));
    seed
}

/// How often a test repeats itself: the default is for every run, more is for a release.
pub fn rounds(default: u64) -> u64 {
    variable("IAQ_TEST_ROUNDS").unwrap_or(default)
}

#[expect(
    clippy::disallowed_methods,
    reason = "settings of the tests, not of the product"
)]
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap())
}

/// Says something that is shown when the test fails.
#[expect(
    clippy::print_stderr,
    reason = "a failing run must be told how to have it again"
)]
pub fn note(text: &str) {
    eprintln!("{text}");
}

fn identity(number: i64) -> Identity {
    // Every tenth comes hours late; no two of one sensor have the same time.
    let at = match number % 10 {
        3 => START_MS + 7 * number - 50_000_003,
        _ => START_MS + 7 * number,
    };
    let sensor = format!("s{}-{}", number % 8, number / 8 % i64::from(SENSORS));
    (sensor, at_millis(at))
}

/// Two values that together tell the number, so that a mixed-up row shows.
fn values(number: i64) -> (i64, i64) {
    (number % 40_000, number / 40_000)
}

fn reading(number: i64) -> Value {
    let (sensor, timestamp) = identity(number);
    let (co2, light) = values(number);
    json!({"sensor_id": sensor, "enseigne": "Maison", "salle": format!("Salle {}", number % 5),
        "timestamp": timestamp, "values": {"CO2": co2, "Light": light}})
}

impl Ledger {
    /// Readings that were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.get()
    }

    /// Requests that were answered 503.
    pub fn refused(&self) -> usize {
        self.refused.get()
    }

    /// Sends readings that were never sent, in one request, and notes the answer.
    pub async fn post(&self, http: &reqwest::Client, url: &str, count: usize) -> Answered {
        let first = self.next.get();
        let numbers: Vec<i64> = (first..).take(count).collect();
        self.next.set(numbers.last().unwrap() + 1);
        self.send(http, url, numbers).await
    }

    async fn send(&self, http: &reqwest::Client, url: &str, numbers: Vec<i64>) -> Answered {
        for number in &numbers {
            let mut sent = self.sent.borrow_mut();
            let known = (*number, Outcome::Unknown);
            sent.entry(identity(*number)).or_insert(known);
        }
        let body = match &numbers[..] {
            [alone] => reading(*alone),
            several => several.iter().copied().map(reading).collect(),
        };
        let begun = Instant::now();
        let answer = http.post(url).json(&body).send().await;
        let waited = begun.elapsed();
        let answered = match answer {
            Ok(response) if response.status() == 200 => {
                // The status is the promise, whether or not the rest of the answer arrives.
                self.acknowledge(&numbers);
                Answered::Success
            }
            Ok(response) => {
                check_refusal(response).await;
                self.refused.set(self.refused.get() + 1);
                Answered::Unavailable
            }
            Err(error) if error.is_timeout() => panic!("no answer: {error}"),
            Err(_broken) => Answered::Nothing,
        };
        if answered != Answered::Nothing {
            let margin = Duration::from_millis(200);
            assert!(
                waited < ANSWER_WAIT_MAX + margin,
                "answered after {waited:?}"
            );
        }
        if answered != Answered::Success && self.unknown.borrow().len() < UNKNOWN_KEPT {
            self.unknown.borrow_mut().push(numbers);
        }
        self.progress.notify_one();
        answered
    }

    fn acknowledge(&self, numbers: &[i64]) {
        for number in numbers {
            let mut sent = self.sent.borrow_mut();
            let before = sent.insert(identity(*number), (*number, Outcome::Acknowledged));
            if before.is_some_and(|(_, outcome)| outcome == Outcome::Unknown) {
                self.acknowledged.set(self.acknowledged.get() + 1);
            }
        }
    }

    /// Sends again what got no answer or a bad one, as devices do.
    pub async fn send_unknown_again(&self, server: &Server) {
        let http = client();
        for numbers in self.unknown.take() {
            let url = server.url("/api/ingest");
            assert_eq!(self.send(&http, &url, numbers).await, Answered::Success);
        }
    }

    /// One device that posts, now a reading and now a batch, until the server is gone.
    pub async fn device(&self, url: &str, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let http = client();
        loop {
            let count = match random.random_range(0..10) {
                0..=4 => 1,
                5..=7 => random.random_range(2..30),
                _ => 1000,
            };
            if self.post(&http, url, count).await == Answered::Nothing {
                return;
            }
        }
    }

    /// Waits until so many readings are acknowledged.
    pub async fn reach(&self, acknowledged: usize) {
        while self.acknowledged() < acknowledged {
            self.progress.notified().await;
        }
    }

    /// Posts single readings until one is taken; says how long that took.
    pub async fn post_until_taken(&self, server: &Server) -> Duration {
        let begun = Instant::now();
        let http = client();
        let url = server.url("/api/ingest");
        let mut tries = tokio::time::interval(Duration::from_millis(50));
        while self.post(&http, &url, 1).await != Answered::Success {
            assert!(
                begun.elapsed() < RECOVERY_WAIT_MAX,
                "refused: {:?}",
                readiness(server).await
            );
            tries.tick().await;
        }
        let took = begun.elapsed();
        assert!(took < RECOVERY_WAIT_MAX, "taken after {took:?}");
        took
    }

    /// What is acknowledged by now.
    pub fn promised(&self) -> HashSet<Identity> {
        let sent = self.sent.borrow();
        let promised = sent
            .iter()
            .filter(|(_, (_, outcome))| *outcome == Outcome::Acknowledged);
        promised.map(|(identity, _)| identity.clone()).collect()
    }

    /// Reads everything a server has and fails unless what was acknowledged is there exactly once and
    /// nothing else than what was sent.
    pub async fn check(&self, server: &Server) {
        self.check_copy(server, &self.promised()).await;
    }

    /// The same of a server that need not have more than what was acknowledged at some time.
    pub async fn check_copy(&self, server: &Server, promised: &HashSet<Identity>) {
        let stored = stored(server).await;
        let sensors = server.get_json("/api/sensors").await;
        let lost: Vec<_> = promised
            .iter()
            .filter(|it| !stored.contains_key(*it))
            .collect();
        let first = lost.first();
        assert!(
            first.is_none(),
            "{} were acknowledged and are lost: {first:?}",
            lost.len()
        );
        let sent = self.sent.borrow();
        let mut counts = BTreeMap::<&str, u64>::new();
        for (identity, found) in &stored {
            let (number, _) = sent
                .get(identity)
                .unwrap_or_else(|| panic!("{identity:?} was never sent"));
            assert_eq!(
                *found,
                values(*number),
                "{identity:?} was sent with other values"
            );
            *counts.entry(&identity.0).or_default() += 1;
        }
        let sensors = sensors.as_array().unwrap();
        let counted: BTreeMap<&str, u64> = sensors
            .iter()
            .map(|one| {
                (
                    one["sensor_id"].as_str().unwrap(),
                    one["reading_count"].as_u64().unwrap(),
                )
            })
            .collect();
        assert_eq!(counted, counts);
        assert_eq!(server.panics(), Vec::<String>::new());
    }
}

/// What every refusal must be.
async fn check_refusal(response: reqwest::Response) {
    let header = |name: &str| {
        let value = response.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    let status = response.status();
    let (retry_after, content_type) = (header("retry-after"), header("content-type"));
    let body = response.text().await.unwrap();
    assert_eq!(status, 503, "{body}");
    assert!(
        retry_after.is_some_and(|seconds| seconds.parse::<u32>().is_ok()),
        "{body}"
    );
    assert_eq!(
        content_type.as_deref(),
        Some("application/problem+json"),
        "{body}"
    );
    assert!(
        ["store_unavailable", "queue_full", "stopping"]
            .iter()
            .any(|it| body.contains(it)),
        "{body}"
    );
}

/// Every reading a server has, with its values; fails when one is there twice.
async fn stored(server: &Server) -> HashMap<Identity, (i64, i64)> {
    let path =
        "/api/iaq/data?format=ndjson&raw=true&start=2000-01-01T00:00:00Z&end=2030-01-01T00:00:00Z";
    let response = server.get(path).await;
    assert_eq!(response.status(), 200);
    let body = response.text().await.unwrap();
    let mut stored = HashMap::new();
    for line in body.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| record[field].as_str().unwrap().to_owned();
        let number = |field: &str| record[field].as_i64().unwrap();
        let identity = (text("sensor_id"), text("timestamp"));
        let before = stored.insert(identity, (number("co2"), number("light")));
        assert_eq!(before, None, "{record} is there twice");
    }
    stored
}

/// Fails unless SQLite finds nothing wrong with a file.
pub async fn check_integrity(database: &Path) {
    let url = format!("sqlite://{}", database.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let found: Vec<String> = sqlx::query_scalar("pragma integrity_check")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(found, ["ok"]);
    connection.close().await.unwrap();
}

/// What `/health/ready` answers: its status, and the reason it gives.
pub async fn readiness(server: &Server) -> (u16, Option<String>) {
    let response = server.get("/health/ready").await;
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    (status, body["detail"].as_str().map(str::to_owned))
}

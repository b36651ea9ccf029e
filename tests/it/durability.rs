//! What a 2xx promises: the reading is there after a power cut and after a stop, exactly once.

use crate::harness::{PATIENCE, Server, Socket, at_millis, problem, reading, unlock_store};
use futures_util::StreamExt;
use futures_util::future::{join_all, select};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;

/// Devices that post at the same time. Each has two sensors that it sends in one batch and one that
/// it sends alone.
const DEVICES: usize = 6;
const START_MS: i64 = 1_760_000_000_000;

/// A reading by its identity, and what identifies its values.
type Identity = (String, String);

/// What devices sent and what of it was acknowledged.
#[derive(Default)]
struct Book {
    sent: RefCell<HashMap<Identity, i64>>,
    acknowledged: RefCell<HashMap<Identity, i64>>,
    /// Statuses other than success.
    refused: RefCell<Vec<u16>>,
    /// The number of the next reading of all devices together, so that no two have the same values.
    next: Cell<i64>,
    /// What a page was shown of it.
    shown: RefCell<Vec<Value>>,
    progress: Notify,
}

impl Book {
    fn write(&self, sensor: String) -> (Identity, i64, Value) {
        let number = self.next.replace(self.next.get() + 1);
        let timestamp = at_millis(START_MS + 7 * number);
        // Two values that both tell the number, so that a mixed-up row shows.
        let reading = json!({
            "sensor_id": sensor, "enseigne": "Maison", "salle": format!("Salle {}", number % 5),
            "timestamp": timestamp,
            "values": {"CO2": number % 40_000, "Light": number},
        });
        ((sensor, timestamp), number, reading)
    }

    /// One device that posts until the server is gone.
    async fn device(&self, url: &str, device: usize) {
        let client = crate::harness::client();
        for turn in 0.. {
            let sensors = match turn % 2 {
                0 => vec![format!("d{device}-alone")],
                _ => vec![format!("d{device}-a"), format!("d{device}-b")],
            };
            let written: Vec<_> = sensors
                .into_iter()
                .map(|sensor| self.write(sensor))
                .collect();
            for (identity, number, _) in &written {
                self.sent.borrow_mut().insert(identity.clone(), *number);
            }
            let body = match &written[..] {
                [(_, _, alone)] => alone.clone(),
                several => several
                    .iter()
                    .map(|(_, _, reading)| reading.clone())
                    .collect(),
            };
            let response = match client.post(url).json(&body).send().await {
                Ok(response) if response.status().is_success() => response,
                Ok(response) => {
                    self.refused.borrow_mut().push(response.status().as_u16());
                    self.progress.notify_one();
                    return;
                }
                Err(_) => return,
            };
            // The status is the promise, whether or not the rest of the answer arrives.
            drop(response);
            for (identity, number, _) in written {
                self.acknowledged.borrow_mut().insert(identity, number);
            }
            self.progress.notify_one();
        }
    }

    /// Everything a page receives until the server is gone.
    async fn watch(&self, socket: &mut Socket) {
        while let Some(Ok(message)) = socket.0.next().await {
            if let Message::Text(text) = message {
                self.shown
                    .borrow_mut()
                    .push(serde_json::from_str(&text).unwrap());
                self.progress.notify_one();
            }
        }
    }

    /// All devices at once, and pages that read meanwhile; `interrupt` is called when so many more
    /// readings are acknowledged and so many were shown.
    async fn devices_until(
        &self,
        server: &mut Server,
        more: usize,
        shown: usize,
        pages: usize,
        interrupt: fn(&mut Server),
    ) {
        let url = server.url("/api/ingest");
        let goal = self.acknowledged.borrow().len() + more;
        let interruption = async {
            while self.acknowledged.borrow().len() < goal || self.shown.borrow().len() < shown {
                self.progress.notified().await;
            }
            interrupt(server);
        };
        let devices = join_all((0..DEVICES).map(|device| self.device(&url, device)));
        let history = url.replace("ingest", "iaq/data?start=2000-01-01T00:00:00Z");
        let pages = join_all((0..pages).map(|_| page(&history)));
        let all = async { tokio::join!(interruption, devices, pages) };
        tokio::time::timeout(PATIENCE, all).await.unwrap();
    }
}

/// Reads all history again and again until the server is gone: a query makes the store move what has
/// arrived, so that a kill also meets that.
async fn page(url: &str) {
    let client = crate::harness::client();
    while let Ok(response) = client.get(url).send().await {
        if response.bytes().await.is_err() {
            return;
        }
    }
}

/// Every reading a server has, with its number; fails when one is there twice or mixed up.
async fn stored(server: &Server) -> HashMap<Identity, i64> {
    let all = server
        .get_json("/api/iaq/data?start=2000-01-01T00:00:00Z")
        .await;
    let mut stored = HashMap::new();
    for record in all.as_array().unwrap() {
        let text = |field: &str| record[field].as_str().unwrap().to_owned();
        let number = record["light"].as_i64().unwrap();
        assert_eq!(record["co2"], number % 40_000, "{record}");
        assert_eq!(record["salle"], format!("Salle {}", number % 5), "{record}");
        let before = stored.insert((text("sensor_id"), text("timestamp")), number);
        assert_eq!(before, None, "{record} is there twice");
    }
    stored
}

/// Checks a server that was started again against what was sent to it before.
async fn check(server: &Server, book: &Book) {
    let stored = stored(server).await;
    let (acknowledged, sent) = (
        book.acknowledged.borrow().clone(),
        book.sent.borrow().clone(),
    );
    for (identity, number) in acknowledged {
        assert_eq!(
            stored.get(&identity),
            Some(&number),
            "{identity:?} was acknowledged"
        );
    }
    for (identity, number) in &stored {
        assert_eq!(
            sent.get(identity),
            Some(number),
            "{identity:?} was never sent like this"
        );
    }

    let mut counts = HashMap::<_, u64>::new();
    let mut newest = HashMap::<_, i64>::new();
    for ((sensor, _), number) in &stored {
        *counts.entry(sensor.clone()).or_default() += 1;
        let known = newest.entry(sensor.clone()).or_insert(*number);
        *known = (*known).max(*number);
    }
    let sensors = server.get_json("/api/sensors").await;
    let counted: HashMap<_, _> = sensors
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["sensor_id"].as_str().unwrap().to_owned(),
                one["reading_count"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(counted, counts);
    let latest = server.get_json("/api/latest").await;
    let shown: HashMap<_, _> = latest
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["sensor_id"].as_str().unwrap().to_owned(),
                one["light"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(shown, newest);
}

/// The place of an id of the stream. The two numbers grow, the first with each start.
fn place(message: &Value) -> (u64, u64) {
    let (epoch, sequence) = message["id"].as_str().unwrap().split_once('-').unwrap();
    (epoch.parse().unwrap(), sequence.parse().unwrap())
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9_exactly_once() {
    let book = Book::default();
    let mut server = Server::start();
    let mut newest_id = (0, 0);
    for round in 1..=4 {
        let mut socket = server.socket("").await;
        let welcome = socket.next().await;
        assert!(
            place(&welcome) > newest_id,
            "round {round}: {welcome} after {newest_id:?}"
        );
        newest_id = place(&welcome);

        let watching = book.watch(&mut socket);
        let posting = book.devices_until(&mut server, 300, 200, round % 2, Server::kill);
        tokio::join!(watching, posting);
        server = server.revive();
        check(&server, &book).await;

        let stored = stored(&server).await;
        for message in book.shown.take() {
            assert!(
                place(&message) > newest_id,
                "round {round}: {message} after {newest_id:?}"
            );
            newest_id = place(&message);
            let text = |field: &str| message[field].as_str().unwrap().to_owned();
            // Durable before broadcast: nobody saw what the power cut lost.
            let number = stored.get(&(text("sensor_id"), text("timestamp")));
            assert_eq!(
                number.copied(),
                message["light"].as_i64(),
                "round {round}: {message}"
            );
        }
    }
}

#[tokio::test]
async fn readings_sent_again_after_a_power_cut_are_stored_once() {
    let book = Book::default();
    let mut server = Server::start();
    book.devices_until(&mut server, 100, 0, 0, Server::kill)
        .await;
    let server = server.revive();
    let sent = book.sent.borrow().clone();
    let again: Vec<_> = sent
        .iter()
        .map(|((sensor, timestamp), number)| {
            json!({"sensor_id": sensor, "enseigne": "Maison",
                "salle": format!("Salle {}", number % 5), "timestamp": timestamp,
                "values": {"CO2": number % 40_000, "Light": number}})
        })
        .collect();
    let answer = server.accept(&again.into()).await;
    let [accepted, duplicates] =
        ["accepted", "duplicates"].map(|key| answer[key].as_u64().unwrap());
    assert_eq!(accepted + duplicates, sent.len() as u64, "{answer}");
    assert!(
        duplicates >= book.acknowledged.borrow().len() as u64,
        "{answer}"
    );
    assert_eq!(stored(&server).await, sent);
}

#[tokio::test]
async fn a_large_batch_cut_off_by_a_power_cut_can_be_sent_again() {
    let mut server = Server::start();
    let mut socket = server.watch("").await;
    let book = Book::default();
    let batch: Vec<_> = (0..5000)
        .map(|_| {
            let (identity, number, reading) = book.write("sensor".to_owned());
            book.sent.borrow_mut().insert(identity, number);
            reading
        })
        .collect();
    let batch = Value::from(batch);
    let url = server.url("/api/ingest");
    let posting = crate::harness::client().post(url).json(&batch).send();
    let cutting = async {
        // The first of several transactions is durable; the others are on their way.
        socket.next().await;
        server.kill();
    };
    let (answer, ()) = tokio::join!(posting, cutting);
    let server = server.revive();
    let survived = stored(&server).await.len();
    assert!(survived > 0);
    if answer.is_ok_and(|answer| answer.status() == 200) {
        assert_eq!(survived, 5000);
    }
    let counted = server.get_json("/api/sensors/sensor").await["reading_count"].clone();
    assert_eq!(counted, survived);
    let answer = server.accept(&batch).await;
    assert_eq!(
        (&answer["duplicates"], &answer["accepted"]),
        (&json!(survived), &json!(5000 - survived))
    );
    check(&server, &book).await;
    assert_eq!(stored(&server).await.len(), 5000);
}

#[tokio::test]
async fn a_merge_survives_a_power_cut() {
    let server = Server::start();
    let at = |values| {
        let mut reading = reading(values);
        reading["timestamp"] = "2025-11-19T10:05:00Z".into();
        reading
    };
    server
        .accept(&at(json!({"CO2": 645, "PM25": 12, "x": 1})))
        .await;
    server.accept(&at(json!({"CO2": 700, "y": 2}))).await;
    let before = server.get_json("/api/latest").await;
    let server = server.revive();
    assert_eq!(server.get_json("/api/latest").await, before);
    assert_eq!(
        (&before[0]["co2"], &before[0]["pm25"]),
        (&json!(700), &json!(12))
    );
    assert_eq!(before[0]["extra"], json!({"x": 1, "y": 2}));
    assert_eq!(
        server.accept(&at(json!({"CO2": 700}))).await["duplicate"],
        true
    );
    assert_eq!(
        server.get_json("/api/sensors/bureau1").await["reading_count"],
        1
    );
}

#[tokio::test]
async fn registry_and_rhythm_survive_a_power_cut() {
    let server = Server::start();
    for minute in 0..5 {
        let mut reading = reading(json!({"TVOC": 40}));
        reading["timestamp"] = format!("2025-11-19T10:0{minute}:00Z").into();
        server.accept(&reading).await;
    }
    let paths = [
        "/api/sensors",
        "/api/latest",
        "/api/iaq/data?start=2025-11-19T00:00:00Z",
    ];
    let mut before = Vec::new();
    for path in paths {
        before.push(server.get_json(path).await);
    }
    assert_eq!(before[0][0]["expected_period_s"], 60);
    let server = server.revive();
    for (path, before) in paths.into_iter().zip(before) {
        assert_eq!(server.get_json(path).await, before, "{path}");
    }
}

#[tokio::test]
async fn a_stop_under_load_loses_nothing_acknowledged_and_is_no_failure() {
    let book = Book::default();
    let mut server = Server::start();
    let mut socket = server.watch("").await;
    book.devices_until(&mut server, 300, 0, 1, |server| server.terminate())
        .await;
    let (content, server) = server.ended_and_started_again().await;
    assert!(content);
    check(&server, &book).await;
    for status in book.refused.borrow().iter() {
        assert_eq!(*status, 503);
    }
    book.watch(&mut socket).await;
    let shown = book.shown.borrow().len();
    assert!(shown >= 300, "{shown}");
    let stored = stored(&server).await.len();
    assert_eq!(shown, stored, "what a stop stores it also shows");
}

#[tokio::test]
async fn ids_go_on_after_a_stop() {
    let server = Server::start();
    let mut socket = server.watch("").await;
    server.accept(&reading(json!({"CO2": 600}))).await;
    let last = socket.next().await;
    server.terminate();
    let (_, server) = server.ended_and_started_again().await;
    let mut socket = server.socket("").await;
    let welcome = socket.next().await;
    assert!(place(&welcome) > place(&last), "{welcome} after {last}");
    server.accept(&reading(json!({"CO2": 601}))).await;
    assert!(place(&socket.next().await) > place(&welcome));
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_server_stops() {
    let server = Server::start();
    let body = reading(json!({"CO2": 645})).to_string();
    let mut stream = server.connect().await;
    let head = format!(
        "POST /api/ingest HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server is waiting for the body when it says this.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(
        String::from_utf8_lossy(&go_on),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );

    server.terminate();
    server.logged("stopping");
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    tokio::time::timeout(PATIENCE, reading)
        .await
        .unwrap()
        .unwrap();
    let (content, server) = server.ended_and_started_again().await;
    assert!(content);
    let stored = server
        .get_json("/api/iaq/data")
        .await
        .as_array()
        .unwrap()
        .len();
    let answered = answer.starts_with("HTTP/1.1 200 ");
    if !answered {
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(
            answer.to_lowercase().contains("\r\nretry-after: "),
            "{answer}"
        );
    }
    assert_eq!(stored, usize::from(answered), "{answer}");
}

#[tokio::test]
async fn a_reading_that_waits_for_the_store_is_written_before_the_server_stops() {
    let server = Server::with(&[
        ("IAQ_QUEUE_READINGS_MAX", "1"),
        ("IAQ_BATCH_READINGS_MAX", "1"),
    ]);
    let at = |time: &str| {
        let mut reading = reading(json!({"CO2": 600}));
        reading["timestamp"] = format!("2025-11-19T{time}Z").into();
        reading
    };
    server.accept(&at("10:00:00")).await;
    let lock = server.lock_store().await;
    let (first, second) = (at("10:01:00"), at("10:02:00"));
    let posts = select(
        Box::pin(server.post(&first)),
        Box::pin(server.post(&second)),
    );
    // The queue has one place: that one of the two is refused shows that the other waits in it.
    let (refused, waiting) = posts.await.factor_first();
    problem(refused, 503, "queue_full").await;

    server.terminate();
    server.logged("stopping");
    unlock_store(lock).await;
    let answer = waiting.await;
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    let (content, server) = server.ended_and_started_again().await;
    assert!(content);
    let found = server
        .get_json("/api/iaq/data?start=2025-01-01T00:00:00Z")
        .await;
    assert_eq!(found.as_array().unwrap().len(), 2, "{found}");
    assert_eq!(found[1]["timestamp"], answer["timestamp"]);
}

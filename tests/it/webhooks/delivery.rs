//! What is delivered: signed, in order, at least once.

use super::receiver::{Receiver, stage_reaching, to};
use crate::access::stage::{Credentials, Stage, admin, operator, viewer};
use crate::harness::{PATIENCE, Socket, readings_of_two_sites};
use crate::place::{Kind, Place};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn a_delivery_is_signed_and_has_what_the_websocket_has() {
    let receiver = Receiver::start().await;
    let stage = stage_reaching(&[receiver.port()], &[]).await;
    let webhook = stage.webhook(&to(&receiver.url("/iaq"))).await;
    let secret = webhook["secret"].as_str().unwrap();
    assert_eq!(secret.len(), 43);
    let Credentials(Some((header, value))) = viewer() else {
        panic!("nobody");
    };
    let url = format!("ws://{}/ws?topics=measurements", stage.server.address);
    let mut socket = Socket::open(&url, &[(header, &value)]).await.unwrap();
    assert_eq!(socket.next().await["type"], "connection");
    stage.post_numbers([500]).await;
    let message = socket.next().await;
    let delivery = receiver.next().await;
    assert_eq!(delivery.body, json!({"messages": [message]}));
    assert_eq!(delivery.path, "/iaq");
    assert_eq!(delivery.id, message["id"].as_str().unwrap());
    assert_eq!(delivery.content_type, "application/json");
    assert!(delivery.is_signed_with(secret));
    assert!(!delivery.is_signed_with("another"));
    let now = crate::access::stage::now_s();
    let sent: u64 = delivery.timestamp.parse().unwrap();
    assert!(sent <= now && now - sent < PATIENCE.as_secs(), "{sent}");
    let listed = stage.webhook_becomes(|it| it["delivered"] == 1).await;
    assert_eq!(
        (&listed["state"], &listed["lag"], &listed["created_by"]),
        (&json!("active"), &json!(0), &json!("admin"))
    );
    assert!(listed["last_delivery_at"].is_string() && listed["last_error"].is_null());
}

#[tokio::test]
async fn what_was_before_is_not_delivered_and_what_comes_is_in_order_and_once() {
    let receiver = Receiver::start().await;
    let stage = stage_reaching(&[receiver.port()], &[]).await;
    stage.post_numbers(1..=50).await;
    stage.webhook(&to(&receiver.url("/"))).await;
    for first in (100..1100).step_by(100) {
        stage.post_numbers(first..first + 100).await;
    }
    let mut numbers = Vec::new();
    while numbers.len() < 1000 {
        let delivery = receiver.next().await;
        assert!(delivery.messages().len() <= 200);
        assert_eq!(
            delivery.messages().last().unwrap()["id"],
            delivery.id.as_str()
        );
        numbers.extend(delivery.numbers());
    }
    assert_eq!(numbers, (100..1100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_receiver_that_fails_gets_everything_when_it_is_back() {
    let receiver = Receiver::start().await;
    let stage = stage_reaching(&[receiver.port()], &[]).await;
    receiver.answer(503);
    stage.webhook(&to(&receiver.url("/"))).await;
    stage.post_numbers([1]).await;
    let first = receiver.next().await;
    stage.post_numbers([2, 3]).await;
    let failing = stage.webhook_becomes(|it| it["state"] == "failing").await;
    assert_eq!(failing["last_error"], "status 503");
    assert_eq!(
        (&failing["delivered"], &failing["lag"]),
        (&json!(0), &json!(3))
    );
    receiver.answer(204);
    assert_eq!(first.numbers(), [1]);
    assert_eq!(receiver.numbers_up_to(3).await, [1, 2, 3]);
    let well = stage.webhook_becomes(|it| it["state"] == "active").await;
    assert_eq!(
        (&well["delivered"], &well["last_error"]),
        (&json!(3), &Value::Null)
    );
}

#[rstest]
#[case::stopped(false)]
#[case::killed(true)]
#[tokio::test]
async fn over_a_restart_nothing_is_lost(
    #[case] killed: bool,
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let receiver = Receiver::start().await;
    let place = Place::new(kind);
    let database = place.new_database().await;
    let settings = [("DATABASE_URL", database.as_str())];
    let mut stage = stage_reaching(&[receiver.port()], &settings).await;
    let webhook = stage.webhook(&to(&receiver.url("/"))).await;
    stage.post_numbers([1, 2]).await;
    assert_eq!(receiver.numbers_up_to(2).await, [1, 2]);
    receiver.answer(500);
    stage.post_numbers([3, 4]).await;
    assert_eq!(receiver.next().await.numbers(), [3, 4]);
    stage.server = if killed {
        stage.server.revive()
    } else {
        stage.webhook_becomes(|it| it["delivered"] == 2).await;
        stage.server.terminate();
        let (content, server) = stage.server.ended_and_started_again().await;
        assert!(content);
        server
    };
    receiver.answer(204);
    stage.post_numbers([5]).await;
    let delivered = receiver.numbers_up_to(5).await;
    if killed {
        // What had been delivered may not have been written yet.
        assert!(delivered.ends_with(&[3, 4, 5]), "{delivered:?}");
    } else {
        assert_eq!(delivered, [3, 4, 5]);
        let after = stage.webhook_becomes(|it| it["delivered"] == 5).await;
        assert_eq!(after["created_at"], webhook["created_at"]);
    }
    // The secret is the one of before.
    stage.try_out(&webhook).await;
    let test = receiver.taken().await;
    assert!(test.is_signed_with(webhook["secret"].as_str().unwrap()));
}

#[tokio::test]
async fn a_gap_is_told() {
    let receiver = Receiver::start().await;
    let none_kept = ("IAQ_REPLAY_READINGS", "0");
    let mut stage = stage_reaching(&[receiver.port()], &[none_kept]).await;
    receiver.answer(500);
    stage.webhook(&to(&receiver.url("/"))).await;
    stage.post_numbers([1, 2]).await;
    receiver.next().await;
    // A server that stops in order settles them, and keeps none for those who come back.
    stage.server.terminate();
    let (content, server) = stage.server.ended_and_started_again().await;
    assert!(content);
    stage.server = server;
    receiver.answer(204);
    stage.server.logged("has missed");
    stage.post_numbers([3]).await;
    let delivery = receiver.taken().await;
    assert_eq!(
        (&delivery.body["gap"], delivery.numbers()),
        (&json!(true), vec![3])
    );
    stage.post_numbers([4]).await;
    let delivery = receiver.taken().await;
    assert_eq!(
        (&delivery.body["gap"], delivery.numbers()),
        (&Value::Null, vec![4])
    );
}

#[rstest]
#[case::site(json!({"enseigne": "Maison"}), &[1, 2])]
#[case::room(json!({"salle": "Bureau"}), &[1, 3])]
#[case::sensor(json!({"sensor_id": "s4"}), &[4])]
#[case::site_and_room(json!({"enseigne": "École", "salle": "Bureau"}), &[3])]
#[tokio::test]
async fn a_webhook_gets_what_it_is_about(#[case] mut filter: Value, #[case] wanted: &[u32]) {
    let receiver = Receiver::start().await;
    let stage = stage_reaching(&[receiver.port()], &[]).await;
    filter["url"] = receiver.url("/").into();
    let made = stage.webhook(&filter).await;
    for field in ["enseigne", "salle", "sensor_id"] {
        assert_eq!(made[field], filter[field]);
    }
    let readings = readings_of_two_sites();
    let who = operator();
    let posted = stage.call("POST /api/ingest", &who, Some(&readings)).await;
    assert_eq!(posted.status(), 200);
    assert_eq!(receiver.next().await.numbers(), wanted);
    // What it is not about is no backlog.
    stage.webhook_becomes(|it| it["lag"] == 0).await;
}

#[tokio::test]
async fn a_webhook_that_was_removed_gets_nothing_more() {
    let receiver = Receiver::start().await;
    let stage = stage_reaching(&[receiver.port()], &[]).await;
    let removed = stage.webhook(&to(&receiver.url("/removed"))).await;
    stage.post_numbers([1]).await;
    receiver.next().await;
    receiver.answer(500);
    stage.post_numbers([2]).await;
    receiver.next().await;
    let call = format!("DELETE /api/webhooks/{}", removed["id"].as_str().unwrap());
    assert_eq!(stage.status(&call, &admin()).await, 204);
    assert_eq!(stage.status(&call, &admin()).await, 404);
    receiver.answer(204);
    // One that stays shows that deliveries go on.
    stage.webhook(&to(&receiver.url("/stays"))).await;
    for number in 3..6 {
        stage.post_numbers([number]).await;
        // A try from before the removal was answered 500.
        assert_eq!(receiver.taken().await.path, "/stays");
    }
    stage.the_webhook().await;
}

#[tokio::test]
async fn removal_does_not_wait_for_a_receiver_that_does_not_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let stage = stage_reaching(&[port], &[]).await;
    let webhook = stage
        .webhook(&to(&format!("http://127.0.0.1:{port}/")))
        .await;
    stage.post_numbers([1]).await;
    let (mut connection, _) = silent.accept().await.unwrap();
    let call = format!("DELETE /api/webhooks/{}", webhook["id"].as_str().unwrap());
    let who = admin();
    let removal = tokio::time::timeout(Duration::from_secs(2), stage.status(&call, &who));
    assert_eq!(removal.await.unwrap(), 204);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut rest));
    // Ended or reset: both are an end.
    ended
        .await
        .expect("its connection ends")
        .unwrap_or_default();
}

#[tokio::test]
async fn a_test_says_what_came_back() {
    let receiver = Receiver::start().await;
    let stage = stage_reaching(&[receiver.port()], &[]).await;
    let webhook = stage.webhook(&to(&receiver.url("/"))).await;
    for (status, delivered, reason) in [
        (204, true, Value::Null),
        (418, false, json!("status 418")),
        (302, false, json!("status 302")),
    ] {
        receiver.answer(status);
        let result = stage.try_out(&webhook).await;
        assert_eq!(
            (&result["delivered"], &result["status"], &result["reason"]),
            (&json!(delivered), &json!(status), &reason)
        );
        assert!(result["duration_ms"].is_u64());
        let delivery = receiver.next().await;
        assert_eq!(delivery.body, json!({"type": "test"}));
        assert!(delivery.is_signed_with(webhook["secret"].as_str().unwrap()));
    }
    // Whatever it says, it is no delivery.
    let listed = stage.the_webhook().await;
    assert_eq!(
        (&listed["delivered"], &listed["state"]),
        (&json!(0), &json!("active"))
    );
}

/// A receiver that takes a request and goes on as `answer` does.
async fn receiver_that<F: Future<Output = ()> + Send>(
    answer: impl Fn(TcpStream) -> F + Send + 'static,
) -> (u16, impl Drop) {
    struct Ending(tokio::task::JoinHandle<()>);
    impl Drop for Ending {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepting = async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            drop(connection.read(&mut head).await);
            answer(connection).await;
        }
    };
    (port, Ending(spawned(accepting)))
}

#[expect(clippy::disallowed_methods, reason = "a task of a test ends with it")]
fn spawned(task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(task)
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_times_out() {
    let (port, _receiver) = receiver_that(|connection| async move {
        let _open = connection;
        std::future::pending::<()>().await;
    })
    .await;
    let stage = stage_reaching(&[port], &[]).await;
    let webhook = stage
        .webhook(&to(&format!("http://127.0.0.1:{port}/")))
        .await;
    let result = stage.try_out(&webhook).await;
    assert_eq!(
        (&result["reason"], &result["status"]),
        (&json!("timed out"), &Value::Null)
    );
    let duration_ms = result["duration_ms"].as_u64().unwrap();
    assert!((10_000..15_000).contains(&duration_ms), "{duration_ms}");
}

static WRITTEN: AtomicU64 = AtomicU64::new(0);

#[tokio::test]
async fn an_answer_of_a_gibibyte_is_not_read() {
    const GIBIBYTE: u64 = 1 << 30;
    let (port, _receiver) = receiver_that(|mut connection| async move {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {GIBIBYTE}\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        let part = vec![b'x'; 64 * 1024];
        while WRITTEN.load(Ordering::SeqCst) < GIBIBYTE {
            if connection.write_all(&part).await.is_err() {
                return;
            }
            WRITTEN.fetch_add(part.len() as u64, Ordering::SeqCst);
        }
    })
    .await;
    let stage = stage_reaching(&[port], &[]).await;
    let webhook = stage
        .webhook(&to(&format!("http://127.0.0.1:{port}/")))
        .await;
    let before = stage.server.resident_kib();
    let result = stage.try_out(&webhook).await;
    assert_eq!(
        (&result["delivered"], &result["status"]),
        (&json!(true), &json!(200))
    );
    let growth = stage.server.peak_kib().saturating_sub(before);
    assert!(growth < 10 * 1024, "{growth} KiB");
    // What fits into the buffers of two sockets, at most.
    let written = WRITTEN.load(Ordering::SeqCst);
    assert!(written < 32 << 20, "{written} bytes");
}

#[tokio::test]
async fn no_secret_is_in_the_list_or_the_log() {
    let receiver = Receiver::start().await;
    let stage = stage_reaching(&[receiver.port()], &[("IAQ_LOG", "trace")]).await;
    let webhook = stage.webhook(&to(&receiver.url("/canary-path"))).await;
    let secret = webhook["secret"].as_str().unwrap().to_owned();
    stage.post_numbers([1]).await;
    let taken = receiver.next().await;
    receiver.answer(500);
    stage.post_numbers([2]).await;
    receiver.next().await;
    stage.webhook_becomes(|it| it["state"] == "failing").await;
    stage.try_out(&webhook).await;
    let listed = stage.json("GET /api/webhooks", &admin(), None).await;
    assert!(!listed.to_string().contains(&secret) && listed[0].get("secret").is_none());
    let log = stage.log_up_to_now().await;
    for canary in [&secret, &taken.signature, "canary-path"] {
        assert!(!log.contains(canary), "{canary}");
    }
}

#[tokio::test]
async fn there_are_only_so_many() {
    let receiver = Receiver::start().await;
    let few = ("IAQ_WEBHOOKS_MAX", "1");
    let stage = stage_reaching(&[receiver.port()], &[few]).await;
    stage.webhook(&to(&receiver.url("/"))).await;
    let second = to(&receiver.url("/"));
    let refused = stage
        .problem("POST /api/webhooks", &admin(), Some(&second))
        .await;
    assert_eq!(refused, (409, "too_many_webhooks".to_owned()));
    stage.the_webhook().await;
}

#[rstest]
#[case::no_url(json!({}), "/url", "required")]
#[case::number(json!({"url": 1}), "/url", "not_text")]
#[case::name(json!({"url": "https://1.1.1.1/", "enseigne": "a\nb"}), "/enseigne", "bad_name")]
#[case::sensor(json!({"url": "https://1.1.1.1/", "sensor_id": "a b"}), "/sensor_id", "bad_sensor_id")]
#[case::unknown(json!({"url": "https://1.1.1.1/", "secret": "mine"}), "/secret", "unknown_field")]
#[tokio::test]
async fn what_is_wrong_with_a_webhook_is_told(
    #[case] body: Value,
    #[case] pointer: &str,
    #[case] code: &str,
) {
    let stage = Stage::new().await;
    let response = stage
        .call("POST /api/webhooks", &admin(), Some(&body))
        .await;
    assert_eq!(response.status(), 422);
    let problem: Value = response.json().await.unwrap();
    let error = &problem["errors"][0];
    assert_eq!(
        (&error["pointer"], &error["code"]),
        (&json!(pointer), &json!(code))
    );
}

/// Answers without end that are no answer: the time of a delivery is not waited for, and what the
/// receiver sends is bounded whatever it is.
#[rstest]
#[case::informational(
    "",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n",
    "refused"
)]
#[case::one_head("HTTP/1.1 200 OK\r\n", "X-Filler: x\r\n", "refused")]
#[case::one_body(
    "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n",
    "1\r\nx\r\n",
    "status 500"
)]
#[tokio::test]
async fn a_receiver_that_never_comes_to_an_end_is_cut_off(
    #[case] beginning: &str,
    #[case] piece: &str,
    #[case] reason: &str,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stage = stage_reaching(&[port], &[]).await;
    let webhook = stage
        .webhook(&to(&format!("http://127.0.0.1:{port}/")))
        .await;
    let pieces = piece.repeat(1000);
    let sent = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        // What comes before the request is no answer to it.
        connection.read_u8().await.unwrap();
        connection.write_all(beginning.as_bytes()).await.unwrap();
        let mut sent = 0;
        while connection.write_all(pieces.as_bytes()).await.is_ok() {
            sent += pieces.len();
        }
        sent
    };
    let both = futures_util::future::join(sent, stage.try_out(&webhook));
    let (sent, result) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert_eq!(
        (&result["delivered"], &result["reason"]),
        (&json!(false), &json!(reason)),
        "{result}"
    );
    assert!(sent < 32 << 20, "{sent} bytes went out before it ended");
}

//! What those can do who are not let in, and those who are and misbehave.

use super::stage::{Credentials, Stage, operator, viewer};
use crate::harness::{CROWDED, PATIENCE, TEXT, Wire, gzip, handshake, masked};
use futures_util::future::join_all;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::json;
use tokio::time::timeout;

/// How much memory may grow, in KiB.
const GROWTH_KIB_MAX: u64 = 10 * 1024;
const CROWD: usize = 500;

fn header(who: &Credentials) -> String {
    let (name, value) = who.0.as_ref().unwrap();
    format!("{name}: {value}\r\n")
}

/// Beginnings of requests that never end.
fn slow(who: &Credentials) -> [String; 4] {
    let ingest = format!(
        "POST /api/ingest HTTP/1.1\r\nHost: server\r\n{}Content-Type: application/json\r\n",
        header(who)
    );
    [
        String::new(),
        "GET /api/latest HTTP/1.1\r\nHost: ser".to_owned(),
        format!("{ingest}Content-Length: 100\r\n\r\n{{\"s"),
        format!("{ingest}Transfer-Encoding: chunked\r\n\r\n64\r\n{{\"s"),
    ]
}

#[tokio::test]
async fn five_hundred_slow_senders_are_ended_and_cost_little() {
    let stage = Stage::with(&[CROWDED, ("IAQ_BODY_TIMEOUT", "5s")]).await;
    let who = operator();
    let beginnings = slow(&who);
    let before = stage.server.resident_kib();
    let slow = (0..CROWD).map(async |number| {
        let mut wire = Wire::open(stage.server.address).await;
        wire.send(&beginnings[number % beginnings.len()]).await;
        wire
    });
    let mut slow = join_all(slow).await;
    // The others are served as ever.
    let reading = json!({"sensor_id": "bureau1", "values": {"CO2": 900}});
    for _ in 0..50 {
        let posted = stage.call("POST /api/ingest", &who, Some(&reading)).await;
        assert_eq!(posted.status(), 200);
        assert_eq!(stage.status("GET /api/latest", &viewer()).await, 200);
    }
    let growth = stage.server.peak_kib().saturating_sub(before);
    assert!(growth < GROWTH_KIB_MAX, "{growth} KiB");
    for wire in &mut slow {
        let rest = timeout(PATIENCE, wire.rest()).await.unwrap();
        assert!(
            rest.is_empty() || rest.starts_with("HTTP/1.1 408 "),
            "{rest:?}"
        );
    }
}

#[tokio::test]
async fn five_hundred_sockets_of_nobody_are_closed_and_cost_little() {
    let stage = Stage::with(&[CROWDED]).await;
    let before = stage.server.resident_kib();
    let crowd = (0..CROWD).map(async |_| {
        let mut wire = Wire::open(stage.server.address).await;
        wire.send(handshake("/ws", "")).await;
        assert_eq!(wire.answer().await.status, 101);
        wire
    });
    let mut crowd = join_all(crowd).await;
    assert_eq!(stage.status("GET /api/latest", &viewer()).await, 200);
    let growth = stage.server.peak_kib().saturating_sub(before);
    assert!(growth < GROWTH_KIB_MAX, "{growth} KiB");
    for wire in &mut crowd {
        assert_eq!(wire.close_code().await, 1008);
    }
}

/// No bytes are kept, whatever length is announced.
#[rstest]
#[case::a_frame_of_a_tebibyte([&[TEXT, 0xff][..], &(1_u64 << 40).to_be_bytes(), &[1, 2, 3, 4]].concat())]
#[case::fragments_without_end(masked(TEXT & 0x7f, b"x"))]
#[tokio::test]
async fn whoever_is_not_let_in_yet_cannot_fill_memory(#[case] beginning: Vec<u8>) {
    let stage = Stage::new().await;
    let mut wire = Wire::open(stage.server.address).await;
    wire.send(handshake("/ws", "")).await;
    assert_eq!(wire.answer().await.status, 101);
    let before = stage.server.resident_kib();
    wire.send(beginning).await;
    let filler = masked(0, &vec![b'x'; 60_000]);
    for _ in 0..2000 {
        let sent = tokio::io::AsyncWriteExt::write_all(&mut wire.stream, &filler);
        if timeout(PATIENCE, sent).await.unwrap().is_err() {
            break;
        }
    }
    let growth = stage.server.peak_kib().saturating_sub(before);
    assert!(growth < GROWTH_KIB_MAX, "{growth} KiB");
    assert_eq!(stage.status("GET /api/latest", &viewer()).await, 200);
}

#[rstest]
#[case::nobody(Credentials::none(), 401)]
#[case::somebody(operator(), 413)]
#[tokio::test]
async fn a_bomb_costs_nothing(#[case] who: Credentials, #[case] status: u16) {
    let stage = Stage::new().await;
    let bomb = gzip(&vec![b' '; 128 << 20]);
    let before = stage.server.resident_kib();
    for _ in 0..8 {
        let mut request = crate::harness::client()
            .post(stage.server.url("/api/ingest"))
            .header("content-encoding", "gzip")
            .header("content-type", "application/json")
            .body(bomb.clone());
        if let Some((name, value)) = &who.0 {
            request = request.header(*name, value);
        }
        assert_eq!(request.send().await.unwrap().status(), status);
    }
    let growth = stage.server.peak_kib().saturating_sub(before);
    assert!(growth < GROWTH_KIB_MAX, "{growth} KiB");
}

/// Whoever is nobody yet sends a few names; what takes more memory is not even read.
#[tokio::test]
async fn a_call_that_everybody_may_make_takes_small_bodies_only() {
    let stage = Stage::new().await;
    let before = stage.server.resident_kib();
    let numbers = format!("{{\"refresh_token\":[{}0]}}", "0,".repeat(8 << 20));
    let bomb = gzip(numbers.as_bytes());
    let fields = |count: u32| {
        let members: Vec<_> = (0..count)
            .map(|number| format!("\"f{number}\":0"))
            .collect();
        format!("{{{}}}", members.join(","))
    };
    for path in ["login", "refresh", "logout"].map(|call| format!("/api/auth/{call}")) {
        let post = || crate::harness::client().post(stage.server.url(&path));
        let json = || post().header("content-type", "application/json");
        let sent = json().header("content-encoding", "gzip").body(bomb.clone());
        assert_eq!(sent.send().await.unwrap().status(), 413, "{path}");
        assert_eq!(
            json().body(fields(50_000)).send().await.unwrap().status(),
            413,
            "{path}"
        );
        let answer = json().body(fields(4000)).send().await.unwrap();
        assert_eq!(answer.status(), 422, "{path}");
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(problem["errors"].as_array().unwrap().len(), 20, "{path}");
    }
    let growth = stage.server.peak_kib().saturating_sub(before);
    assert!(growth < GROWTH_KIB_MAX, "{growth} KiB");
}

/// A herd that comes back at once is let in, each with a token that is checked, while readings are
/// taken.
#[tokio::test]
async fn a_thousand_come_back_at_once_with_their_tokens() {
    let stage = Stage::with(&[CROWDED]).await;
    let who = viewer();
    let target = handshake("/ws?topics=alerts", &header(&who));
    for _ in 0..2 {
        let herd = (0..1000).map(async |_| {
            let mut wire = Wire::open(stage.server.address).await;
            wire.send(&target).await;
            assert_eq!(wire.answer().await.status, 101);
            assert_eq!(wire.frame().await.0, TEXT);
            let subscribe = json!({"type": "subscribe", "topics": ["measurements"],
                "snapshot": true});
            wire.send(masked(TEXT, subscribe.to_string().as_bytes()))
                .await;
            for kind in ["subscribed", "snapshot"] {
                let (_, payload) = wire.frame().await;
                let message: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                assert_eq!(message["type"], kind);
            }
            wire
        });
        let reading = json!({"sensor_id": "bureau1", "values": {"CO2": 645}});
        let posts = async {
            for _ in 0..20 {
                let who = operator();
                let posted = stage.call("POST /api/ingest", &who, Some(&reading)).await;
                assert!(posted.status().is_success());
            }
        };
        let (herd, ()) = timeout(PATIENCE, futures_util::future::join(join_all(herd), posts))
            .await
            .expect("everybody is back in time");
        assert_eq!(herd.len(), 1000);
    }
}

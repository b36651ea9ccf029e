//! Many clients that come and go.

use crate::harness::{
    CLOSE, CROWDED, PATIENCE, PING, Server, TEXT, Wire, handshake, masked, number, numbered,
};
use futures_util::future::join_all;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// A WebSocket past its welcome, as cheap as can be.
async fn watcher(server: &Server, target: &str) -> Wire {
    let mut wire = Wire::over(server.connect().await);
    wire.send(handshake(target, "")).await;
    assert_eq!(wire.answer().await.status, 101);
    assert_eq!(wire.frame().await.0, TEXT);
    wire
}

/// The next message.
async fn next(wire: &mut Wire) -> Value {
    loop {
        let (first, payload) = wire.frame().await;
        if first != PING {
            assert_eq!(first, TEXT);
            return serde_json::from_slice(&payload).unwrap();
        }
    }
}

/// Ways to come and go: those of sockets, then those of streams.
const WAYS: usize = 8;
const WAYS_OF_SOCKETS: usize = 7;

async fn come_and_go(server: &Server, way: usize) {
    match way {
        // Gone in the middle of the handshake, and before its answer.
        0 => {
            let mut wire = Wire::over(server.connect().await);
            wire.send(&handshake("/ws", "").as_bytes()[..50]).await;
        }
        1 => {
            let mut wire = Wire::over(server.connect().await);
            wire.send(handshake("/ws", "")).await;
        }
        // Closed as it should be.
        2 => {
            let mut wire = watcher(server, "/ws").await;
            wire.send(masked(CLOSE, &1000_u16.to_be_bytes())).await;
            // Messages may come before the answer.
            while wire.frame().await.0 != CLOSE {}
        }
        // Without a word, politely and not.
        3 => drop(watcher(server, "/ws?topics=measurements").await),
        4 => {
            let wire = watcher(server, "/ws").await;
            wire.stream.set_zero_linger().unwrap();
        }
        // With a command that is just being followed.
        5 => {
            let mut wire = watcher(server, "/ws?topics=alerts").await;
            let command = json!({"type": "subscribe", "topics": ["measurements", "system"],
                "snapshot": true, "max_hz": 1, "filter": {"sensor_id": "a"}});
            wire.send(masked(TEXT, command.to_string().as_bytes()))
                .await;
        }
        // In the middle of a frame.
        6 => {
            let mut wire = watcher(server, "/ws").await;
            wire.send(&masked(TEXT, br#"{"type":"ping"}"#)[..9]).await;
        }
        // A stream, with what comes first still on its way.
        _ => {
            let mut wire = Wire::over(server.connect().await);
            wire.send("GET /api/events?snapshot=true HTTP/1.1\r\nHost: server\r\n\r\n")
                .await;
            assert_eq!(wire.line().await, "HTTP/1.1 200 OK");
        }
    }
}

/// Comes and goes `cycles` times in the first so many ways, several at once.
async fn churn(server: &Server, cycles: usize, ways: usize) {
    const AT_ONCE: usize = 24;
    let each = (0..AT_ONCE).map(|first| async move {
        for cycle in (first..cycles).step_by(AT_ONCE) {
            come_and_go(server, (cycle / AT_ONCE + first) % ways).await;
        }
    });
    join_all(each).await;
}

/// The stats when so many want measurements and nobody else is there.
fn counted(measurements: u32) -> Value {
    json!({"active_connections": measurements, "total_connections": measurements,
        "subscriptions": {"measurements": measurements, "predictions": 0, "actions": 0,
            "alerts": 0, "modules": 0, "system": 0, "all": 0}})
}

#[tokio::test]
async fn thousands_that_come_and_go_leave_nothing_behind() {
    const CYCLES: usize = 4000;
    /// What the allocator keeps for itself may differ by this, in KiB: half a KiB for each client.
    const SLACK_KIB: u64 = 2 * 1024;
    // A stream that has left politely is noticed by the signs of life.
    let server = Server::with(&[CROWDED, ("IAQ_WS_PING_INTERVAL", "1s")]);
    server.accept(&numbered("a", 1)).await;
    let mut witness = watcher(&server, "/ws").await;
    drop(witness);
    churn(&server, CYCLES, WAYS).await;
    server.connected(0).await;
    let before = server.resident_kib();
    churn(&server, CYCLES, WAYS).await;
    server.connected(0).await;
    let after = server.resident_kib();
    assert!(
        after <= before + SLACK_KIB,
        "{before} KiB, then {after} KiB"
    );

    // Who was gone before its handshake was read may be noticed only now.
    server.stats_become(|stats| *stats == counted(0)).await;
    assert_eq!(server.get_json("/api/health").await["websocket_clients"], 0);
    // And it works as before.
    witness = watcher(&server, "/ws").await;
    server.accept(&numbered("a", 2)).await;
    assert_eq!(number(&next(&mut witness).await), 2);
}

/// Publishes while `cycles` clients come and go, and follows it with a few that stay.
async fn churn_under_load(threads: &str, cycles: usize, ways: usize) {
    let server = Server::with(&[CROWDED, ("IAQ_WS_THREADS", threads)]);
    let mut staying = Vec::new();
    for _ in 0..4 {
        staying.push(watcher(&server, "/ws?topics=measurements").await);
    }
    let (done, is_done) = tokio::sync::watch::channel(false);
    let publish = async {
        let mut posted = 0;
        while !*is_done.borrow() {
            posted += 1;
            server.accept(&numbered("a", posted)).await;
            for wire in &mut staying {
                assert_eq!(number(&next(wire).await), posted);
            }
        }
    };
    let come_and_go = async {
        churn(&server, cycles, ways).await;
        done.send_replace(true);
    };
    tokio::join!(publish, come_and_go);
    server.stats_become(|stats| *stats == counted(4)).await;
}

#[rstest]
#[tokio::test]
async fn sockets_that_come_and_go_while_others_publish_cost_nobody_a_message(
    #[values("1", "2")] threads: &str,
) {
    churn_under_load(threads, 700, WAYS_OF_SOCKETS).await;
}

#[rstest]
#[tokio::test]
async fn who_takes_the_place_of_a_stream_that_left_gets_nothing_of_it(
    #[values("1", "2")] threads: &str,
) {
    const CYCLES: u32 = 150;
    let server = Server::with(&[CROWDED, ("IAQ_WS_THREADS", threads)]);
    let (done, is_done) = tokio::sync::watch::channel(false);
    let publish = async |sensor: &str| {
        let mut posted = 0;
        while !*is_done.borrow() {
            posted += 1;
            server.accept(&numbered(sensor, posted)).await;
        }
    };
    let come_and_go = async {
        let each = (0..16).map(|_| async {
            for _ in 0..CYCLES {
                come_and_go(&server, WAYS_OF_SOCKETS).await;
                let mut wire = watcher(&server, "/ws?topics=alerts").await;
                wire.send(masked(TEXT, br#"{"type":"ping"}"#)).await;
                assert_eq!(next(&mut wire).await["type"], "pong");
            }
        });
        join_all(each).await;
        done.send_replace(true);
    };
    tokio::join!(publish("a"), publish("b"), come_and_go);
    server.stats_become(|stats| *stats == counted(0)).await;
}

/// As many watchers, all at once.
async fn crowd(server: &Server, count: usize) -> Vec<Wire> {
    let mut wires = Vec::new();
    while wires.len() < count {
        let some = (0..50.min(count - wires.len())).map(|_| watcher(server, "/ws"));
        wires.extend(join_all(some).await);
    }
    wires
}

#[rstest]
#[case::politely(false)]
#[case::by_reset(true)]
#[tokio::test]
async fn half_of_a_thousand_leave_at_once_and_the_others_do_not_notice(#[case] reset: bool) {
    /// What the rest may have to wait on a busy machine.
    const BUSY: Duration = PATIENCE;
    let server = Server::with(&[CROWDED]);
    let mut staying = crowd(&server, 1000).await;
    let leaving = staying.split_off(500);
    assert_eq!(
        server.get_json("/ws/stats").await["active_connections"],
        1000
    );
    for wire in &leaving {
        if reset {
            wire.stream.set_zero_linger().unwrap();
        }
    }
    drop(leaving);
    let others = async {
        server.accept(&numbered("a", 1)).await;
        for wire in &mut staying {
            assert_eq!(number(&next(wire).await), 1);
        }
        let mut newcomer = watcher(&server, "/ws").await;
        server.accept(&numbered("a", 2)).await;
        assert_eq!(number(&next(&mut newcomer).await), 2);
        staying.push(newcomer);
    };
    timeout(BUSY, others).await.expect("messages in time");
    server.connected(501).await;
}

#[tokio::test]
async fn a_thousand_that_leave_and_come_back_at_once_cost_what_they_did_before() {
    /// What the allocator keeps for itself may differ by this, in KiB: 4 KiB for each client.
    const SLACK_KIB: u64 = 4 * 1024;
    let server = Server::with(&[CROWDED]);
    let first = crowd(&server, 1000).await;
    let before = server.resident_kib();
    drop(first);
    server.connected(0).await;
    let second = crowd(&server, 1000).await;
    let after = server.resident_kib();
    assert!(
        after <= before + SLACK_KIB,
        "{before} KiB, then {after} KiB"
    );
    drop(second);
    server.connected(0).await;
}

#[tokio::test]
async fn a_stop_closes_everybody_with_1001_one_batch_after_the_other() {
    const CLIENTS: usize = 1010;
    /// Three batches of 500 have two pauses of 50 ms between them.
    const PAUSES: Duration = Duration::from_millis(100);
    let server = Server::with(&[
        CROWDED,
        ("IAQ_WS_THREADS", "1"),
        ("IAQ_SHUTDOWN_TIMEOUT", "60s"),
    ]);
    let mut wires = crowd(&server, CLIENTS).await;
    server.accept(&numbered("a", 1)).await;
    let begun = Instant::now();
    server.terminate();
    for wire in &mut wires {
        // What was acknowledged comes first.
        assert_eq!(number(&next(wire).await), 1);
        assert_eq!(wire.close_code().await, 1001);
        // It may be too late for an answer.
        drop(
            wire.stream
                .try_write(&masked(CLOSE, &1001_u16.to_be_bytes())),
        );
    }
    // Never shorter, however fast or slow the machine is.
    assert!(begun.elapsed() >= PAUSES, "{:?}", begun.elapsed());
    for mut wire in wires {
        assert_eq!(wire.rest().await, "");
    }
    assert!(server.ended_well().await);
}

//! What a client may ask besides measurements, and how much.

use crate::harness::{
    CLOSE, ONE_SHARD, PATIENCE, PING, Server, TALKATIVE, TEXT, Wire, ask, handshake, masked,
    millis_of, number, numbered, position, subscribe,
};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{interval, timeout};

/// Wants nothing that ever comes, until a command asks for more.
const NOTHING: &str = "?topics=alerts";

#[tokio::test]
async fn the_stats_come_when_asked_for_and_are_those_of_the_page() {
    let server = Server::start();
    let mut socket = server.watch("?topics=measurements,system").await;
    let _other = server.watch("").await;
    let _stream = server.follow(NOTHING).await;
    let answer = ask(&mut socket, &json!({"type": "get_stats"})).await;
    assert_eq!(answer["type"], "stats_update");
    assert!(millis_of(&answer["timestamp"]) > 0);
    assert_eq!(answer["data"], server.get_json("/ws/stats").await);
    assert_eq!(answer["data"]["active_connections"], 3);
    assert_eq!(answer["data"]["subscriptions"]["measurements"], 1);
}

#[tokio::test]
async fn a_token_on_a_live_connection_is_acknowledged_and_never_logged() {
    let server = Server::with(&[ONE_SHARD]);
    let mut socket = server.watch("").await;
    let answer = ask(&mut socket, &json!({"type": "auth"})).await;
    assert_eq!(answer["code"], "bad_json", "{answer}");
    // Where nobody has to log in, a token that is not valid is as good as none.
    let auth = json!({"type": "auth", "token": "secret.of.somebody"});
    let answer = ask(&mut socket, &auth).await;
    assert_eq!(answer["type"], "authenticated", "{answer}");
    assert!(millis_of(&answer["timestamp"]) > 0);
    assert!(!answer.to_string().contains("secret"));
    // What it had subscribed to goes on.
    server.accept(&numbered("a", 1)).await;
    assert_eq!(number(&socket.next().await), 1);
    drop(socket);
    server.connected(0).await;
    let log = server.log_so_far();
    assert!(log.iter().any(|line| line.contains("client disconnected")));
    assert!(!log.iter().any(|line| line.contains("secret")));
}

/// Kinds of the answers up to the close, and its code.
async fn until_closed(wire: &mut Wire) -> (Vec<String>, u16) {
    let mut kinds = Vec::new();
    loop {
        let (first, payload) = wire.frame().await;
        if first == CLOSE {
            return (kinds, u16::from_be_bytes(payload[..2].try_into().unwrap()));
        }
        assert_eq!(first, TEXT);
        let answer: Value = serde_json::from_slice(&payload).unwrap();
        let kind = if answer["type"] == "error" {
            &answer["code"]
        } else {
            &answer["type"]
        };
        kinds.push(kind.as_str().unwrap().to_owned());
    }
}

#[rstest]
#[case::by_default(None, 20)]
#[case::as_set(Some("5"), 5)]
#[tokio::test]
async fn a_burst_of_commands_is_limited_and_who_goes_on_is_closed_with_1008(
    #[case] setting: Option<&str>,
    #[case] burst: usize,
) {
    /// Commands that a machine which holds the server up in the middle may allow on top.
    const HELD_UP_MAX: usize = 5;
    let setting = setting.map(|setting| ("IAQ_WS_COMMANDS_PER_SECOND", setting));
    let server = Server::with(setting.as_slice());
    let mut wire = Wire::over(server.connect().await);
    wire.send(handshake("/ws?topics=alerts", "")).await;
    assert_eq!(wire.answer().await.status, 101);
    assert_eq!(wire.frame().await.0, TEXT);
    // All in one write, so that they arrive together.
    wire.send(masked(TEXT, br#"{"type":"ping"}"#).repeat(200))
        .await;
    let (kinds, code) = until_closed(&mut wire).await;
    assert_eq!(code, 1008);
    assert_eq!(kinds[..burst], vec!["pong"; burst]);
    assert_eq!(kinds[burst..].last().unwrap(), "rate_limited");
    let pongs = kinds.iter().filter(|kind| *kind == "pong").count();
    assert!(pongs <= burst + HELD_UP_MAX, "{pongs} pongs");
    assert_eq!(kinds[kinds.len() - 20..], ["rate_limited"; 20]);
    assert!(
        kinds
            .iter()
            .all(|kind| kind == "pong" || kind == "rate_limited")
    );
}

#[tokio::test]
async fn a_command_beyond_the_limit_is_not_followed_and_who_waits_may_go_on() {
    let server = Server::with(&[ONE_SHARD, ("IAQ_WS_COMMANDS_PER_SECOND", "1")]);
    let mut socket = server.watch(NOTHING).await;
    let mut witness = server.watch("").await;
    let mut commands = 0;
    // The first one is allowed; one of those right behind it is not.
    let refused = loop {
        commands += 1;
        assert!(commands < 15, "no limit");
        let answer = ask(&mut socket, &subscribe(&["measurements"])).await;
        if answer["type"] == "error" {
            break answer;
        }
        ask(
            &mut socket,
            &json!({"type": "unsubscribe", "topics": ["measurements"]}),
        )
        .await;
    };
    assert_eq!(refused["code"], "rate_limited");
    assert!(
        refused["detail"].as_str().unwrap().contains('1'),
        "{refused}"
    );
    server.accept(&numbered("a", 1)).await;
    witness.next().await;

    let mut tries = interval(Duration::from_millis(250));
    let allowed = timeout(PATIENCE, async {
        while ask(&mut socket, &json!({"type": "ping"})).await["type"] != "pong" {
            tries.tick().await;
        }
    });
    allowed.await.expect("it may go on");
}

#[tokio::test]
async fn control_frames_are_no_commands() {
    let server = Server::start();
    let mut wire = Wire::over(server.connect().await);
    wire.send(handshake("/ws?topics=alerts", "")).await;
    assert_eq!(wire.answer().await.status, 101);
    assert_eq!(wire.frame().await.0, TEXT);
    let mut bytes = masked(PING, b"").repeat(90);
    bytes.extend(masked(TEXT, br#"{"type":"ping"}"#));
    wire.send(bytes).await;
    for _ in 0..90 {
        assert_eq!(wire.frame().await.1, b"");
    }
    assert_eq!(wire.frame().await.0, TEXT);
}

#[rstest]
#[case::to_subscribe_to("subscribe")]
#[case::to_leave("unsubscribe")]
#[tokio::test]
async fn a_list_may_name_16_topics(#[case] kind: &str) {
    let server = Server::with(&[ONE_SHARD]);
    let mut socket = server.watch("?topics=measurements").await;
    let sixteen = vec!["system"; 16];
    let answer = ask(&mut socket, &json!({"type": kind, "topics": sixteen})).await;
    assert_eq!(answer["type"], format!("{kind}d"), "{answer}");
    // A subscription names everything that there is by now.
    let named = match kind {
        "subscribe" => json!(["measurements", "system"]),
        _ => json!(sixteen),
    };
    assert_eq!(answer["topics"], named);
    let seventeen = vec!["measurements"; 17];
    let answer = ask(&mut socket, &json!({"type": kind, "topics": seventeen})).await;
    assert_eq!(
        (&answer["type"], &answer["code"]),
        (&json!("error"), &json!("too_many_topics")),
        "{answer}"
    );
    server.accept(&numbered("a", 1)).await;
    assert_eq!(number(&socket.next().await), 1, "nothing has changed");
}

#[tokio::test]
async fn a_query_that_names_too_many_topics_is_told() {
    let server = Server::start();
    let names = ["measurements"; 17].join(",");
    let mut socket = server.socket(&format!("?topics={names}")).await;
    assert_eq!(socket.next().await["type"], "connection");
    assert_eq!(socket.next().await["code"], "too_many_topics");
    assert_eq!(
        ask(&mut socket, &json!({"type": "ping"})).await["type"],
        "pong"
    );
}

#[tokio::test]
async fn a_filter_on_all_lets_through_what_is_about_it_only() {
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.watch("").await;
    let mut socket = server.watch(NOTHING).await;
    for filter in [json!({"sensor_id": "a"}), json!({"salle": "Salon"})] {
        let command = json!({"type": "subscribe", "topics": ["all"], "filter": filter});
        assert_eq!(ask(&mut socket, &command).await["type"], "subscribed");
    }
    let mut in_the_salon = numbered("c", 3);
    in_the_salon["salle"] = "Salon".into();
    server
        .accept(&json!([numbered("a", 1), numbered("b", 2), in_the_salon]))
        .await;
    witness.take(3).await;
    let numbers: Vec<_> = socket.drain().await.iter().map(number).collect();
    assert_eq!(numbers, [1, 3]);
    let stats = server.get_json("/ws/stats").await;
    assert_eq!(stats["subscriptions"]["all"], 2);

    ask(
        &mut socket,
        &json!({"type": "unsubscribe", "topics": ["all"]}),
    )
    .await;
    server.accept(&numbered("a", 4)).await;
    witness.next().await;
    assert_eq!(socket.drain().await, [] as [Value; 0]);
}

/// A connection that is pinged every half second, which tells the time without a clock.
async fn pinged(server: &Server) -> Wire {
    let mut wire = Wire::over(server.connect().await);
    wire.send(handshake("/ws?topics=alerts", "")).await;
    assert_eq!(wire.answer().await.status, 101);
    assert_eq!(wire.frame().await.0, TEXT);
    wire
}

/// Two pings: several times the interval between host metrics.
async fn a_while(pinged: &mut Wire) {
    for _ in 0..2 {
        assert_eq!(pinged.frame().await.0, PING);
    }
}

async fn latest_id(server: &Server) -> Value {
    server.socket(NOTHING).await.next().await["id"].clone()
}

#[rstest]
#[case::by_name("?topics=system", true)]
#[case::among_all("", true)]
#[case::by_another_name("?topics=measurements,alerts,actions,predictions,modules", false)]
#[tokio::test]
async fn host_metrics_are_told_at_intervals_as_long_as_somebody_listens(
    #[case] query: &str,
    #[case] listens: bool,
) {
    let server = Server::with(&[
        ("IAQ_SYSTEM_INTERVAL", "100ms"),
        ("IAQ_WS_PING_INTERVAL", "500ms"),
    ]);
    let mut clock = pinged(&server).await;
    let before = latest_id(&server).await;
    a_while(&mut clock).await;
    assert_eq!(latest_id(&server).await, before, "nobody listens yet");

    let mut socket = server.watch(query).await;
    if !listens {
        a_while(&mut clock).await;
        assert_eq!(latest_id(&server).await, before, "nobody listens to that");
        assert_eq!(socket.drain().await, [] as [Value; 0]);
        return;
    }
    let mut last = position(&json!({"id": before}));
    for _ in 0..5 {
        let update = socket.next().await;
        assert_eq!(update["type"], "metrics_update");
        assert!(position(&update) > last, "{update}");
        assert!(millis_of(&update["timestamp"]) > 0);
        assert!(
            update["data"]["memory"]["total_mb"].as_f64().unwrap() > 0.0,
            "{update}"
        );
        last = position(&update);
    }
    drop(socket);
    server.logged("client disconnected");
    // One may have been on its way.
    a_while(&mut clock).await;
    let after = latest_id(&server).await;
    a_while(&mut clock).await;
    assert_eq!(latest_id(&server).await, after, "nobody listens any more");
}

#[tokio::test]
async fn host_metrics_reach_who_listens_on_whichever_way_and_nobody_who_chose_a_place() {
    let server = Server::with(&[ONE_SHARD, ("IAQ_SYSTEM_INTERVAL", "100ms")]);
    let mut chosen = server.watch(NOTHING).await;
    let filtered = json!({"type": "subscribe", "topics": ["all"], "filter": {"salle": "Bureau"}});
    ask(&mut chosen, &filtered).await;
    let mut socket = server.watch("?topics=system").await;
    let mut events = server.follow("?topics=system").await;
    let first = events.next().await;
    assert_eq!(first.data["type"], "metrics_update");
    assert_eq!(first.id.as_deref(), first.data["id"].as_str());
    // Which of the two came first is open; both have come to the same message in the end.
    while socket.next().await != first.data {}
    // It has its place among the measurements.
    server.accept(&numbered("a", 1)).await;
    let id = position(&chosen.next().await);
    while position(&socket.next().await) < id {}
    assert_eq!(chosen.drain().await, [] as [Value; 0]);
}

#[tokio::test]
async fn no_interval_is_no_broadcast_but_an_answer_to_who_asks() {
    let server = Server::with(&[
        TALKATIVE,
        ("IAQ_SYSTEM_INTERVAL", "0s"),
        ("IAQ_WS_PING_INTERVAL", "500ms"),
    ]);
    let mut clock = pinged(&server).await;
    let mut socket = server.watch("?topics=system").await;
    a_while(&mut clock).await;
    assert_eq!(socket.drain().await, [] as [Value; 0]);
    for _ in 0..3 {
        let answer = ask(&mut socket, &json!({"type": "request_metrics"})).await;
        assert_eq!(answer["type"], "metrics_update");
        assert_eq!(answer.get("id"), None, "it has no place in the stream");
    }
}

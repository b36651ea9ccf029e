//! The stream for networks that let no WebSocket through.

use crate::harness::{
    Event, Events, GROWTH_KIB_MAX, LONG_READINGS_CO2_MAX, ONE_SHARD, PATIENCE, SIGN_OF_LIFE,
    Server, Socket, TALKATIVE, UNSETTLED_KIB_MAX, Wire, ask, client, faults, from_now, handshake,
    is_sign_of_life, long_readings, millis_of, number, numbered, post_much, problem,
    readings_of_two_sites, resume, seen,
};
use futures_util::future::join_all;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;
use tokio::time::timeout;

/// A sign of life every half second, if the server finds the time.
const PINGING: (&str, &str) = ("IAQ_WS_PING_INTERVAL", "500ms");

/// How many readings that make long messages are more than fits anywhere.
const LONG_READINGS: u32 = 5000;

/// A request for a stream, as the bytes a browser sends.
const GET_EVENTS: &str = "GET /api/events HTTP/1.1\r\nHost: server\r\n\r\n";

/// A client that has asked for a stream and reads none of it yet. It takes little before it reads,
/// and reads fast once it does.
async fn unread(server: &Server, query: &str) -> Wire {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(256 * 1024).unwrap();
    let mut wire = Wire::over(socket.connect(server.address).await.unwrap());
    wire.send(GET_EVENTS.replace("/api/events", &format!("/api/events{query}")))
        .await;
    wire.stream.readable().await.unwrap();
    wire
}

/// Posts more than fits into all buffers between server and client, in batches that each would.
async fn post_bit_by_bit(server: &Server, sensor: impl Fn(u32) -> String) {
    for first in (0..LONG_READINGS).step_by(100) {
        let mut batch = long_readings(first, 100);
        for (number, reading) in (first..).zip(batch.as_array_mut().unwrap()) {
            reading["sensor_id"] = sensor(number).into();
        }
        server.accept(&batch).await;
    }
}

/// A stream past the answer to its subscription, which is given back too.
async fn opened(server: &Server, query: &str, headers: &[(&str, &str)]) -> (Events, Value) {
    let url = server.url(&format!("/api/events{query}"));
    let mut events = Events::open(&url, headers).await;
    assert!(events.block().await.unwrap().starts_with("retry: "));
    assert_eq!(events.next().await.data["type"], "connection");
    let subscribed = events.next().await.data;
    assert_eq!(subscribed["type"], "subscribed");
    (events, subscribed)
}

/// Everything that comes before the second sign of life from now on: the first may have been on its
/// way already.
async fn until_two_signs(events: &mut Events) -> Vec<String> {
    let (mut blocks, mut signs) = (Vec::new(), 0);
    while signs < 2 {
        match events.block().await.unwrap() {
            sign if sign.starts_with(SIGN_OF_LIFE) => signs += 1,
            block => blocks.push(block),
        }
    }
    blocks
}

/// A page on this stream can ask for nothing: it is told the time with each sign of life, by the
/// server's clock, to the millisecond, as an event that no listener to messages hears.
#[tokio::test]
async fn a_sign_of_life_tells_the_time_of_the_server() {
    let server = Server::with(&[PINGING]);
    let mut last = millis_of(&from_now(0).into());
    let mut events = server.follow("?topics=alerts").await;
    for _ in 0..2 {
        let block = events.block().await.unwrap();
        let data = block.strip_prefix(SIGN_OF_LIFE).expect(&block);
        let data: Value = serde_json::from_str(data).unwrap();
        let time = millis_of(&data["timestamp"]);
        let now = millis_of(&from_now(0).into());
        assert!((last..=now).contains(&time), "{block}");
        last = time;
    }
}

#[tokio::test]
async fn the_answer_is_a_stream_that_nobody_keeps_or_gathers() {
    let server = Server::start();
    let events = server.stream("").await;
    let header = |name: &str| {
        let values = events.response.headers().get_all(name);
        let texts = values
            .iter()
            .map(|value| value.to_str().unwrap().to_owned());
        texts.collect::<Vec<_>>()
    };
    assert_eq!(header("content-type"), ["text/event-stream"]);
    assert_eq!(header("cache-control"), ["no-cache"]);
    assert_eq!(header("x-accel-buffering"), ["no"]);
    assert_eq!(header("x-request-id").len(), 1);
    assert_eq!(header("content-length"), [] as [&str; 0]);
    assert_eq!(header("content-encoding"), [] as [&str; 0]);
}

#[tokio::test]
async fn it_begins_with_when_to_come_back_then_the_welcome_then_the_subscription() {
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.watch("").await;
    server.accept(&numbered("a", 1)).await;
    let measurement = witness.next().await;
    let mut events = server.stream("?topics=measurements,alerts").await;

    let retry = events.block().await.unwrap();
    let wait: u32 = retry.strip_prefix("retry: ").unwrap().parse().unwrap();
    assert!((1000..=5000).contains(&wait), "{retry}");

    let welcome = events.next().await;
    assert_eq!(welcome.data["type"], "connection");
    assert_eq!(welcome.data["status"], "connected");
    assert_eq!(
        welcome.data["subscriptions"],
        json!(["measurements", "alerts"])
    );
    assert!(!welcome.data["node"].as_str().unwrap().is_empty());
    // A browser that loses the stream before the first message goes on from here.
    assert_eq!(welcome.data["id"], measurement["id"]);
    assert_eq!(welcome.id.as_deref(), measurement["id"].as_str());

    let subscribed = Event {
        id: None,
        data: json!({"type": "subscribed", "topics": ["measurements", "alerts"],
            "recovered": false, "replayed": 0}),
    };
    assert_eq!(events.next().await, subscribed);
}

#[tokio::test]
async fn browsers_are_told_different_times_to_come_back() {
    let server = Server::start();
    let mut waits = Vec::new();
    for _ in 0..10 {
        waits.push(server.stream("").await.block().await.unwrap());
    }
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 1, "{waits:?}");
}

#[tokio::test]
async fn an_event_is_what_a_websocket_carries_with_its_id() {
    let server = Server::start();
    let mut socket = server.watch("").await;
    let mut events = server.follow("").await;
    let mut place = numbered("a", 1);
    place["salle"] = "Bureau \"1\" é".into();
    place["values"]["a\u{2028}"] = json!(1);
    server.accept(&place).await;
    let batch: Value = (2..=50).map(|each| numbered("a", each)).collect();
    server.accept(&batch).await;
    for _ in 1..=50 {
        let (event, message) = (events.next().await, socket.next().await);
        assert_eq!(event.id.as_deref(), message["id"].as_str());
        assert_eq!(event.data, message);
    }
}

/// Queries and the numbers they choose of the readings of two sites.
const CHOICES: [(&str, &[u32]); 11] = [
    ("", &[1, 2, 3, 4]),
    ("topics=measurements", &[1, 2, 3, 4]),
    (
        "topics=alerts&topics=measurements,%20measurements",
        &[1, 2, 3, 4],
    ),
    ("topics=", &[1, 2, 3, 4]),
    ("topics=alerts,system", &[]),
    ("topics=measurements&enseigne=Maison", &[1, 2]),
    ("salle=Bureau", &[1, 3]),
    ("sensor_id=s4", &[4]),
    ("enseigne=%C3%89cole&salle=Salle+%221%22", &[4]),
    ("enseigne=maison", &[]),
    ("sensor_id=s1&_=1763546700", &[1]),
];

#[tokio::test]
async fn the_query_chooses_what_comes_live_in_a_snapshot_and_in_a_replay() {
    let server = Server::with(&[ONE_SHARD, PINGING]);
    let numbers = |messages: &[Value]| messages.iter().map(number).collect::<Vec<_>>();
    let start = server.socket("").await.next().await["id"].clone();
    let mut open = Vec::new();
    for (query, _) in CHOICES {
        open.push((query, server.follow(&format!("?{query}")).await));
    }
    server.accept(&readings_of_two_sites()).await;
    for (at, (query, wanted)) in CHOICES.into_iter().enumerate() {
        let live = open[at].1.take(wanted.len()).await;
        assert_eq!(numbers(&live), wanted, "{query}");

        let since = format!("?{query}&since={}", start.as_str().unwrap());
        let (mut back, answer) = opened(&server, &since, &[]).await;
        let answered = (&answer["recovered"], &answer["replayed"]);
        assert_eq!(answered, (&json!(true), &json!(wanted.len())), "{query}");
        assert_eq!(back.take(wanted.len()).await, live, "{query}");
        open.push((query, back));

        let (mut late, answer) = opened(&server, &format!("?{query}&snapshot=true"), &[]).await;
        let answered = (&answer["recovered"], &answer["replayed"]);
        assert_eq!(answered, (&json!(false), &json!(0)), "{query}");
        // There is one of measurements only.
        if query != "topics=alerts,system" {
            let snapshot = late.next().await;
            assert_eq!(snapshot.data["type"], "snapshot", "{query}");
            assert_eq!(
                snapshot.id.as_deref(),
                snapshot.data["id"].as_str(),
                "{query}"
            );
            let mut of_snapshot = numbers(snapshot.data["data"].as_array().unwrap());
            of_snapshot.sort_unstable();
            assert_eq!(of_snapshot, wanted, "{query}");
        }
        open.push((query, late));
    }
    for (query, events) in &mut open {
        let block = events.block().await;
        assert!(is_sign_of_life(block.as_deref()), "{query}: {block:?}");
    }
}

#[rstest]
#[case::no("", false)]
#[case::said_so("?snapshot=true", true)]
#[case::as_a_number("?snapshot=1", true)]
#[case::refused("?snapshot=false", false)]
#[tokio::test]
async fn a_snapshot_comes_when_asked_for(#[case] query: &str, #[case] comes: bool) {
    let server = Server::with(&[ONE_SHARD]);
    server.accept(&numbered("a", 1)).await;
    let mut events = server.follow(query).await;
    server.accept(&numbered("a", 2)).await;
    let types: &[&str] = if comes {
        &["snapshot", "measurement"]
    } else {
        &["measurement"]
    };
    for wanted in types {
        assert_eq!(events.next().await.data["type"], *wanted);
    }
}

/// How a client that comes back names the last id it has seen: in the query, and in the header.
#[rstest]
#[case::as_pages_do(Some(2), None, 3)]
#[case::as_browsers_do(None, Some(2), 3)]
#[case::a_browser_whose_page_once_named_one(Some(1), Some(3), 4)]
#[tokio::test]
async fn who_comes_back_is_replayed_exactly_what_it_missed(
    #[case] in_query: Option<usize>,
    #[case] in_header: Option<usize>,
    #[case] first: u32,
) {
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.follow("").await;
    let batch: Value = (1..=5).map(|each| numbered("a", each)).collect();
    server.accept(&batch).await;
    let stream = witness.take(5).await;
    let id = |number: usize| stream[number - 1]["id"].as_str().unwrap();

    let query = in_query.map_or(String::new(), |seen| format!("?since={}", id(seen)));
    let header = in_header.map(|seen| ("Last-Event-ID", id(seen)));
    let url = server.url(&format!("/api/events{query}"));
    let mut back = Events::open(&url, header.as_slice()).await;
    back.block().await;
    let welcome = back.next().await;
    // What it has seen stays what the browser knows until the replay has come.
    assert_eq!(
        (welcome.data["type"].as_str(), welcome.id),
        (Some("connection"), None)
    );
    let answer = back.next().await;
    assert_eq!(
        answer.data,
        json!({"type": "subscribed", "topics": ["all"], "recovered": true,
            "replayed": 6 - first})
    );
    assert_eq!(answer.id, None);
    for missed in &stream[usize::try_from(first).unwrap() - 1..] {
        let event = back.next().await;
        assert_eq!(event.id.as_deref(), missed["id"].as_str());
        assert_eq!(&event.data, missed);
    }
    server.accept(&numbered("a", 6)).await;
    assert_eq!(number(&back.next().await.data), 6);
}

#[tokio::test]
async fn who_missed_too_much_or_names_nonsense_gets_a_snapshot() {
    let server = Server::with(&[ONE_SHARD, ("IAQ_REPLAY_MESSAGES", "3")]);
    let start = server.socket("").await.next().await["id"].clone();
    let batch: Value = (1..=4).map(|each| numbered("a", each)).collect();
    server.accept(&batch).await;
    for since in [
        start.as_str().unwrap(),
        "yesterday",
        "999999-1",
        "1-1-1",
        "",
    ] {
        for header in [true, false] {
            let (query, headers) = if header {
                (String::new(), vec![("last-event-id", since)])
            } else {
                (format!("?since={since}"), vec![])
            };
            let (mut events, answer) = opened(&server, &query, &headers).await;
            assert_eq!(
                (&answer["recovered"], &answer["replayed"]),
                (&json!(false), &json!(0)),
                "{since} in the header: {header}"
            );
            let snapshot = events.next().await.data;
            assert_eq!(
                snapshot["type"], "snapshot",
                "{since} in the header: {header}"
            );
            assert_eq!(seen(snapshot["data"].as_array().unwrap()), [("a", 4)]);
        }
    }
}

#[tokio::test]
async fn a_stream_and_a_websocket_take_over_from_each_other() {
    let server = Server::with(&[("IAQ_WS_THREADS", "2"), TALKATIVE]);
    let start = server.socket("").await.next().await["id"].clone();
    let publish = async {
        for post in 0..60 {
            let numbers = (1..=5).map(|each| post * 5 + each);
            let batch: Value = numbers.map(|each| numbered("a", each)).collect();
            server.accept(&batch).await;
        }
    };
    let hop = async {
        let (mut last, mut known) = (start, 0);
        for hop in 1.. {
            // A few messages each time.
            let wanted = (300 - known).min(hop % 7 + 1);
            let count = usize::try_from(wanted).unwrap();
            let (answer, messages) = if hop % 2 == 0 {
                let mut socket = server.watch("?topics=alerts").await;
                let answer = ask(&mut socket, &resume(&["all"], &last)).await;
                (answer, socket.take(count).await)
            } else {
                let header = [("last-event-id", last.as_str().unwrap())];
                let (mut events, answer) = opened(&server, "", &header).await;
                (answer, events.take(count).await)
            };
            assert_eq!(answer["recovered"], true, "{answer}");
            for message in messages {
                assert_eq!(number(&message), known + 1);
                known += 1;
                last = message["id"].clone();
            }
            if known == 300 {
                break;
            }
        }
    };
    tokio::join!(publish, hop);
}

/// Joins a stream with a snapshot in the middle and follows it to the last number.
async fn follow_from_snapshot(server: &Server, last: u32) {
    let mut events = server.follow("?snapshot=true").await;
    let snapshot = events.next().await.data;
    assert_eq!(snapshot["type"], "snapshot");
    let mut known: BTreeMap<String, u32> = BTreeMap::new();
    for latest in snapshot["data"].as_array().unwrap() {
        known.insert(
            latest["sensor_id"].as_str().unwrap().to_owned(),
            number(latest),
        );
    }
    while ["a", "b"]
        .iter()
        .any(|sensor| known.get(*sensor) != Some(&last))
    {
        let message = events.next().await.data;
        let sensor = message["sensor_id"].as_str().unwrap().to_owned();
        let known = known.entry(sensor).or_insert(0);
        assert_eq!(number(&message), *known + 1, "{message}");
        *known += 1;
    }
}

#[tokio::test]
async fn a_snapshot_and_the_events_after_it_have_no_gap_and_no_repeat() {
    let server = Server::with(&[("IAQ_WS_THREADS", "2")]);
    let publish = |sensor: &'static str| {
        let server = &server;
        async move {
            for post in 0..50 {
                let numbers = (1..=4).map(|each| post * 4 + each);
                let batch: Value = numbers.map(|each| numbered(sensor, each)).collect();
                server.accept(&batch).await;
            }
        }
    };
    let followers = join_all((0..20).map(|_| follow_from_snapshot(&server, 200)));
    tokio::join!(publish("a"), publish("b"), followers);
}

#[tokio::test]
async fn max_hz_holds_back_what_comes_too_soon() {
    let server = Server::with(&[ONE_SHARD, PINGING]);
    let mut witness = server.watch("").await;
    let mut paced = server.follow("?max_hz=0.001").await;
    let mut unpaced = server.follow("?max_hz=0").await;
    server.accept(&numbered("a", 1)).await;
    assert_eq!(number(&paced.next().await.data), 1);
    for each in 2..=60 {
        server.accept(&numbered("a", each)).await;
    }
    witness.take(60).await;
    assert_eq!(until_two_signs(&mut paced).await, [] as [&str; 0]);
    assert_eq!(unpaced.take(60).await.last().map(number), Some(60));
}

#[rstest]
#[case::unknown_topic("topics=measurements,weather", "/topics", "unknown_topic")]
#[case::too_many_topics(
    "topics=all,all,all,all,all,all,all,all,all,all,all,all,all,all,all,all,all",
    "/topics",
    "too_many_topics"
)]
#[case::max_hz_no_number("max_hz=often", "/max_hz", "not_a_number")]
#[case::max_hz_negative("max_hz=-1", "/max_hz", "out_of_range")]
#[case::max_hz_endless("max_hz=inf", "/max_hz", "not_a_number")]
#[case::snapshot_neither("snapshot=zzz", "/snapshot", "not_a_flag")]
#[tokio::test]
async fn a_query_that_makes_no_sense_is_refused_with(
    #[case] query: &str,
    #[case] pointer: &str,
    #[case] code: &str,
) {
    let server = Server::start();
    let response = server.get(&format!("/api/events?{query}")).await;
    let body = problem(response, 422, "bad_parameter").await;
    assert_eq!(faults(&body["errors"]), [(pointer, code)]);
    assert_eq!(server.get_json("/ws/stats").await["active_connections"], 0);
}

#[tokio::test]
async fn a_name_that_nothing_can_have_is_refused() {
    let server = Server::start();
    for field in ["enseigne", "salle", "sensor_id"] {
        let longest = "é".repeat(128);
        server.stream(&format!("?{field}={longest}")).await;
        let response = server.get(&format!("/api/events?{field}={longest}x")).await;
        let body = problem(response, 422, "bad_parameter").await;
        let pointer = format!("/{field}");
        assert_eq!(faults(&body["errors"]), [(pointer.as_str(), "bad_name")]);
    }
}

#[tokio::test]
async fn an_empty_parameter_counts_as_absent() {
    let server = Server::start();
    let query = "?topics=&enseigne=&salle=&sensor_id=&snapshot=&max_hz=";
    let mut events = server.follow(query).await;
    server.accept(&numbered("a", 1)).await;
    assert_eq!(number(&events.next().await.data), 1);
}

#[rstest]
#[case::in_all("IAQ_WS_MAX")]
#[case::of_one_address("IAQ_WS_MAX_PER_IP")]
#[tokio::test]
async fn too_many_are_told_when_to_try_again_until_somebody_leaves(#[case] limit: &str) {
    let server = Server::with(&[(limit, "2"), PINGING]);
    let socket = server.watch("").await;
    let events = server.follow("").await;
    let response = server.get("/api/events").await;
    let wait: u32 = response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait));
    problem(response, 503, "server_full").await;
    assert_eq!(server.socket("").await.close_code().await, 1013);

    drop(events);
    server.connected(1).await;
    let _another = server.follow("").await;
    problem(server.get("/api/events").await, 503, "server_full").await;
    drop(socket);
    server.connected(1).await;
    server.follow("").await;
}

#[tokio::test]
async fn a_stream_is_counted_under_its_topics_until_the_client_leaves() {
    let server = Server::with(&[PINGING]);
    let measurements = server
        .follow("?topics=measurements,alerts&sensor_id=a")
        .await;
    let all = server.follow("").await;
    let stats = server.get_json("/ws/stats").await;
    assert_eq!(stats["active_connections"], 2);
    assert_eq!(stats["total_connections"], 2);
    assert_eq!(
        stats["subscriptions"],
        json!({"measurements": 1, "predictions": 0, "actions": 0, "alerts": 1, "modules": 0,
            "system": 0, "all": 1})
    );
    assert_eq!(server.get_json("/api/health").await["websocket_clients"], 2);
    drop(measurements);
    server.connected(1).await;
    let line: Value = serde_json::from_str(&server.logged("event stream closed")).unwrap();
    assert_eq!(line["total"], 1, "{line}");
    let stats = server.get_json("/ws/stats").await;
    assert_eq!(stats["subscriptions"]["measurements"], 0);
    assert_eq!(stats["subscriptions"]["all"], 1);
    drop(all);
    server.connected(0).await;
    assert_eq!(
        server.get_json("/ws/stats").await["subscriptions"]["all"],
        0
    );
}

#[tokio::test]
async fn that_a_client_has_left_is_noticed_without_sending_anything() {
    /// Less than the time between two signs of life, and much for a busy machine.
    const SOON: Duration = Duration::from_secs(10);
    let server = Server::start();
    let events = server.follow("?topics=alerts").await;
    drop(events);
    let left = timeout(SOON, server.connected(0)).await;
    left.expect("it is noticed");
}

#[tokio::test]
async fn a_stream_on_which_nothing_happens_outlives_a_connection_on_which_nothing_happens() {
    // The shortest there is; the time between two signs of life is longer.
    let server = Server::with(&[("IAQ_HEAD_TIMEOUT", "1s"), ("IAQ_IDLE_TIMEOUT", "1s")]);
    let mut events = server.follow("?topics=measurements").await;
    // Begun behind the stream, so when it ends the stream has been idle for longer.
    let mut idle = Wire::over(server.connect().await);
    idle.send("GET /health/live HTTP/1.1\r\nHost: server\r\n\r\n")
        .await;
    assert_eq!(idle.answer().await.status, 200);
    assert_eq!(idle.rest().await, "");
    server.accept(&numbered("a", 1)).await;
    assert_eq!(number(&events.next().await.data), 1);
}

#[tokio::test]
async fn a_stream_ends_properly_when_the_server_stops_which_is_quick() {
    const STREAMS: usize = 40;
    let server = Server::with(&[("IAQ_SHUTDOWN_TIMEOUT", "60s")]);
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(server.follow("").await);
    }
    server.accept(&numbered("a", 1)).await;
    server.terminate();
    let ends = streams.iter_mut().map(|events| async move {
        assert_eq!(
            number(&events.next().await.data),
            1,
            "what was acknowledged comes first"
        );
        assert_eq!(events.block().await, None);
    });
    join_all(ends).await;
    // The harness has less patience than the server's timeout.
    assert!(server.ended_well().await);
}

#[tokio::test]
async fn a_stopping_server_begins_no_stream() {
    let server = Server::with(&[("IAQ_SHUTDOWN_TIMEOUT", "60s")]);
    // It does not answer the close frame, so the stop takes its time.
    let mut holding = Wire::upgraded(server.connect().await).await;
    let mut waiting = Wire::over(server.connect().await);
    server.terminate();
    server.logged("stopping");
    assert_eq!(holding.close_code().await, 1001);
    // A connection that was closed meanwhile is as good an answer.
    drop(tokio::io::AsyncWriteExt::write_all(&mut waiting.stream, GET_EVENTS.as_bytes()).await);
    let rest = waiting.rest().await;
    assert!(
        rest.is_empty() || rest.starts_with("HTTP/1.1 503 "),
        "{rest}"
    );
    drop(holding);
    assert!(server.ended_well().await);
}

#[tokio::test]
async fn a_stream_that_is_never_read_does_not_hold_the_stop_beyond_its_timeout() {
    let server = Server::with(&[
        ("IAQ_SHUTDOWN_TIMEOUT", "1s"),
        ("IAQ_WS_QUEUE_BYTES_MAX", "100000000"),
    ]);
    let _stuck = unread(&server, "").await;
    post_bit_by_bit(&server, |number| format!("s{number}")).await;
    server.terminate();
    server.logged("stopping");
    // As long for the clients as for the rest, and what a busy machine needs.
    let bound = 2 * Duration::from_secs(1) + Duration::from_secs(8);
    let ended = timeout(bound, server.ended_well()).await;
    assert!(ended.expect("an end in time"));
}

#[tokio::test]
async fn a_reader_that_never_reads_is_dropped_and_costs_little() {
    let server = Server::with(&[
        ("IAQ_WS_QUEUE_BYTES_MAX", "65536"),
        PINGING,
        ("IAQ_WS_SILENCE_MAX", "3s"),
        ("IAQ_REPLAY_MESSAGES", "100"),
    ]);
    let mut reader = server.follow("").await;
    let mut posted = 0;
    let mut post = async |reader: &mut Events| {
        server.accept(&long_readings(posted, 50)).await;
        for _ in 0..50 {
            let co2 = posted % LONG_READINGS_CO2_MAX;
            assert_eq!(reader.next().await.data["co2"], co2);
            posted += 1;
        }
    };
    // The database fills its cache before anything is measured.
    for _ in 0..60 {
        post(&mut reader).await;
    }
    let _stuck = unread(&server, "").await;
    let before = server.peak_kib();
    let closed = |line: &String| line.contains("event stream closed");
    let begun = Instant::now();
    while !server.log_so_far().iter().any(closed) {
        assert!(begun.elapsed() < PATIENCE, "it is still connected");
        post(&mut reader).await;
    }
    assert_eq!(server.get_json("/ws/stats").await["active_connections"], 1);
    let growth = server.peak_kib() - before;
    let bound = GROWTH_KIB_MAX + UNSETTLED_KIB_MAX;
    assert!(growth < bound, "{growth} KiB, more than {bound} KiB");
}

#[rstest]
#[case::of_everything("")]
#[case::of_a_room("?salle=Bureau")]
#[tokio::test]
async fn readers_that_never_read_cost_no_more_than_their_queues(#[case] query: &str) {
    const READERS: u64 = 40;
    const QUEUE_KIB: u64 = 64;
    const RESPONSE_KIB: u64 = 1024;
    let server = Server::with(&[
        ("IAQ_WS_QUEUE_BYTES_MAX", "65536"),
        ("IAQ_REPLAY_MESSAGES", "100"),
    ]);
    // The database fills its cache before anything is measured.
    post_much(&server, |number| format!("before{number}")).await;
    let before = server.peak_kib();
    let mut stuck = Vec::new();
    for _ in 0..READERS {
        stuck.push(unread(&server, query).await);
    }
    post_much(&server, |number| format!("s{number}")).await;
    server.connected(0).await;
    let growth = server.peak_kib() - before;
    // Some waits outside of the queue, in the response; without a bound it was eight times this. The
    // store has as many readings again in memory until they are settled.
    let bound = READERS * (QUEUE_KIB + RESPONSE_KIB) + GROWTH_KIB_MAX + UNSETTLED_KIB_MAX;
    assert!(growth < bound, "{growth} KiB, more than {bound} KiB");
}

#[tokio::test]
async fn a_silent_stream_that_is_read_stays_and_one_that_is_not_is_dropped() {
    let server = Server::with(&[
        PINGING,
        ("IAQ_WS_SILENCE_MAX", "3s"),
        // More than enough for what waits.
        ("IAQ_WS_QUEUE_BYTES_MAX", "100000000"),
    ]);
    let _stuck = unread(&server, "").await;
    let mut idle = server.follow("?topics=alerts").await;
    post_bit_by_bit(&server, |number| format!("s{number}")).await;
    // It is alive for longer than the silence that is allowed.
    for _ in 0..5 {
        assert!(is_sign_of_life(idle.block().await.as_deref()));
    }
    server.connected(1).await;
    assert!(is_sign_of_life(idle.block().await.as_deref()));
}

#[tokio::test]
async fn a_slow_reader_gets_the_latest_of_each_sensor_and_is_told_how_many_were_left_out() {
    let server = Server::with(&[("IAQ_WS_QUEUE_BYTES_MAX", "65536")]);
    let mut late = unread(&server, "").await;
    post_bit_by_bit(&server, |number| format!("s{}", number % 3)).await;
    let (mut seen, mut left_out, mut previous) = (0, 0, None);
    while previous != Some(u64::from(LONG_READINGS) - 1) {
        let line = late.line().await;
        let Some(data) = line.strip_prefix("data: ") else {
            continue;
        };
        let message: Value = serde_json::from_str(data).unwrap();
        match message["type"].as_str().unwrap() {
            "conflated" => left_out += message["count"].as_u64().unwrap(),
            "measurement" => {
                let number = message["co2"].as_u64();
                assert!(number > previous, "in the order stored");
                previous = number;
                seen += 1;
            }
            _ => {}
        }
    }
    assert!(left_out > 0, "the queue was never full");
    assert_eq!(
        seen + left_out,
        u64::from(LONG_READINGS),
        "every one is sent or counted"
    );
}

#[tokio::test]
async fn a_reader_whose_queue_stays_full_is_ended_between_two_events_and_may_come_back() {
    let server = Server::with(&[("IAQ_WS_QUEUE_BYTES_MAX", "65536")]);
    let mut late = unread(&server, "").await;
    // No two of one sensor, so none can take another's place.
    post_bit_by_bit(&server, |number| format!("s{number}")).await;
    let mut whole = 0;
    let mut line = String::new();
    // The last chunk of the answer.
    while line != "0" {
        line = late.line().await;
        if let Some(data) = line.strip_prefix("data: ") {
            serde_json::from_str::<Value>(data).expect("a whole event");
            whole += 1;
        }
    }
    assert!(whole < LONG_READINGS);
    assert_eq!(
        server
            .counter("iaqverse_broadcast_slow_clients_closed_total")
            .await,
        1
    );
    server.connected(0).await;
}

#[tokio::test]
async fn streams_and_sockets_share_what_is_encoded() {
    let server = Server::with(&[("IAQ_WS_THREADS", "2")]);
    let mut streams = Vec::new();
    let mut sockets: Vec<Socket> = Vec::new();
    for _ in 0..10 {
        streams.push(server.follow("").await);
        sockets.push(server.watch("").await);
    }
    let before = server.counter("iaqverse_broadcast_encodes_total").await;
    for each in 1..=20 {
        server.accept(&numbered("a", each)).await;
    }
    for (events, socket) in streams.iter_mut().zip(&mut sockets) {
        assert_eq!(events.take(20).await, socket.take(20).await);
    }
    let after = server.counter("iaqverse_broadcast_encodes_total").await;
    assert_eq!(after - before, 20);
}

#[tokio::test]
async fn only_a_plain_get_opens_a_stream() {
    let server = Server::start();
    let post = client().post(server.url("/api/events")).send().await;
    problem(post.unwrap(), 405, "method_not_allowed").await;
    let mut wire = Wire::over(server.connect().await);
    wire.send(handshake("/api/events", "")).await;
    wire.answer().await.problem(404, "not_found");
    assert_eq!(server.get_json("/ws/stats").await["active_connections"], 0);
}

/// Some clients take every empty line for the end of an event.
#[tokio::test]
async fn an_empty_line_ends_an_event_and_nothing_else() {
    let server = Server::with(&[PINGING]);
    let mut wire = Wire::over(server.connect().await);
    wire.send("GET /api/events?topics=alerts HTTP/1.0\r\nHost: server\r\n\r\n")
        .await;
    while !wire.line().await.is_empty() {}
    assert!(wire.line().await.starts_with("retry: "));
    assert!(wire.line().await.starts_with("id: "));
    for kind in ["connection", "subscribed"] {
        assert!(wire.line().await.contains(&format!("\"type\":\"{kind}\"")));
        assert_eq!(wire.line().await, "");
    }
    for _ in 0..3 {
        assert_eq!(wire.line().await, "event: time");
        assert!(wire.line().await.starts_with(r#"data: {"type":"time","#));
        assert_eq!(wire.line().await, "");
    }
}

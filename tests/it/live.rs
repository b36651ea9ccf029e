//! From a posted reading to the browsers that watch.

use crate::harness::{
    BINARY, CLOSE, ONE_SHARD, PING, PONG, Server, Socket, TALKATIVE, TEXT, Wire, ask, example,
    handshake, masked, millis_of, number, numbered, position, reading, readings_of_two_sites,
    subscribe,
};
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

#[tokio::test]
async fn the_welcome_says_what_is_subscribed_where_the_stream_is_and_which_node_it_is() {
    let server = Server::with(&[ONE_SHARD]);
    let mut watcher = server.watch("").await;
    server.accept(&example("2025-11-19T10:05:00Z")).await;
    let measurement = watcher.next().await;
    let welcome = server.socket("").await.next().await;
    assert_eq!(welcome["type"], "connection");
    assert_eq!(welcome["status"], "connected");
    assert_eq!(welcome["subscriptions"], json!(["all"]));
    assert_eq!(welcome["id"], measurement["id"]);
    assert!(!welcome["node"].as_str().unwrap().is_empty());
    assert!(millis_of(&welcome["timestamp"]) > 0);
}

#[rstest]
#[case::none("", &["all"])]
#[case::no_names("?topics=", &["all"])]
#[case::one("?topics=alerts", &["alerts"])]
#[case::two("?topics=measurements,system", &["measurements", "system"])]
#[case::escaped("?token=x&topics=measurements%2Csystem", &["measurements", "system"])]
#[case::every(
    "?topics=measurements,predictions,actions,alerts,modules,system,all",
    &["measurements", "predictions", "actions", "alerts", "modules", "system", "all"]
)]
#[tokio::test]
async fn the_query_names_the_topics(#[case] query: &str, #[case] topics: &[&str]) {
    let server = Server::start();
    assert_eq!(
        server.socket(query).await.next().await["subscriptions"],
        json!(topics)
    );
}

#[tokio::test]
async fn an_unknown_topic_in_the_query_is_told_and_the_known_ones_are_served() {
    let server = Server::start();
    let mut socket = server.socket("?topics=weather,measurements").await;
    assert_eq!(
        socket.next().await["subscriptions"],
        json!(["measurements"])
    );
    let error = socket.next().await;
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("error"), &json!("unknown_topic"))
    );
    server.accept(&reading(json!({"CO2": 1}))).await;
    assert_eq!(socket.next().await["type"], "measurement");
}

#[tokio::test]
async fn a_reading_reaches_every_subscriber_with_values_and_flat_keys() {
    let server = Server::start();
    let mut sockets = Vec::new();
    for query in ["", "?topics=measurements", "?topics=measurements,alerts"] {
        sockets.push(server.watch(query).await);
    }
    let mut sent = example("2025-11-19T10:05:00.250Z");
    sent["values"]["battery"] = json!(3.5);
    server.accept(&sent).await;
    let wanted = json!({
        "type": "measurement", "timestamp": "2025-11-19T10:05:00.250Z",
        "sensor_id": "bureau1", "enseigne": "Maison", "salle": "Bureau",
        "values": {"CO2": 645, "PM25": 12, "TVOC": 40, "Temperature": 22.3, "Humidity": 45,
            "battery": 3.5},
        "co2": 645, "pm25": 12, "tvoc": 40, "temperature": 22.3, "humidity": 45,
        "occupants": 0, "global_score": 81, "global_level": "good",
    });
    for socket in &mut sockets {
        let got = socket.next().await;
        assert!(got["id"].is_string());
        for (key, value) in wanted.as_object().unwrap() {
            assert_eq!(&got[key], value, "{key}");
        }
    }
}

#[tokio::test]
async fn a_message_comes_once_whatever_number_of_topics_match() {
    let server = Server::start();
    let mut socket = server.watch("?topics=measurements,all").await;
    for command in [
        subscribe(&["measurements", "all", "all"]),
        json!({"type": "subscribe", "topics": ["all"], "filter": {"enseigne": "Maison"}}),
        json!({"type": "subscribe", "topics": ["measurements"], "filter": {"salle": "Bureau"}}),
    ] {
        assert_eq!(ask(&mut socket, &command).await["type"], "subscribed");
    }
    for each in 1..=3 {
        server.accept(&numbered("bureau1", each)).await;
    }
    for each in 1..=3 {
        assert_eq!(number(&socket.next().await), each);
    }
}

#[tokio::test]
async fn readings_of_a_sensor_come_in_the_order_stored_with_growing_ids() {
    let server = Server::start();
    let mut sockets = vec![server.watch("").await, server.watch("").await];
    let posts = ["a", "b", "c"].map(|sensor| {
        let server = &server;
        async move {
            for each in 1..=40 {
                server.accept(&numbered(sensor, each)).await;
            }
            let batch: Vec<_> = (41..=80).map(|each| numbered(sensor, each)).collect();
            server.accept(&json!(batch)).await;
        }
    });
    join_all(posts).await;
    for socket in &mut sockets {
        let mut last_number = BTreeMap::new();
        let mut last_position = (0, 0);
        for _ in 0..3 * 80 {
            let measurement = socket.next().await;
            assert!(position(&measurement) > last_position, "{measurement}");
            last_position = position(&measurement);
            let sensor = measurement["sensor_id"].as_str().unwrap().to_owned();
            let last = last_number.entry(sensor).or_insert(0);
            assert_eq!(number(&measurement), *last + 1);
            *last += 1;
        }
    }
}

#[tokio::test]
async fn ids_are_never_used_again_after_a_restart() {
    let server = Server::start();
    let mut socket = server.watch("").await;
    server.accept(&numbered("a", 1)).await;
    let before = position(&socket.next().await);
    let server = server.revive();
    let mut socket = server.socket("").await;
    assert!(position(&socket.next().await) > before);
    server.accept(&numbered("a", 2)).await;
    assert!(position(&socket.next().await) > before);
}

#[tokio::test]
async fn a_duplicate_is_not_broadcast_again_but_a_change_is() {
    let server = Server::start();
    let mut socket = server.watch("").await;
    let first = numbered("a", 1);
    server.accept(&first).await;
    assert_eq!(server.accept(&first).await["duplicate"], true);
    let mut changed = first.clone();
    changed["values"] = json!({"PM25": 7});
    server.accept(&changed).await;
    assert_eq!(socket.next().await["values"], json!({"CO2": 1}));
    assert_eq!(socket.next().await["values"], json!({"CO2": 1, "PM25": 7}));
}

#[tokio::test]
async fn a_late_reading_says_so_and_is_not_in_the_snapshot() {
    let server = Server::start();
    let mut socket = server.watch("").await;
    server.accept(&numbered("a", 2)).await;
    server.accept(&numbered("a", 1)).await;
    assert_eq!(socket.next().await.get("late"), None);
    let late = socket.next().await;
    assert_eq!((number(&late), &late["late"]), (1, &json!(true)));
    let wanted = json!({"type": "subscribe", "topics": ["all"], "snapshot": true});
    assert_eq!(ask(&mut socket, &wanted).await["type"], "subscribed");
    let snapshot = socket.next().await;
    assert_eq!(
        snapshot["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(number)
            .collect::<Vec<_>>(),
        [2]
    );
}

#[tokio::test]
async fn unsubscribing_stops_what_was_subscribed_filtered_or_not() {
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.watch("").await;
    let mut socket = server.watch("?topics=measurements").await;
    let filtered =
        json!({"type": "subscribe", "topics": ["measurements"], "filter": {"sensor_id": "a"}});
    assert_eq!(
        ask(&mut socket, &filtered).await,
        json!({"type": "subscribed", "topics": ["measurements"], "recovered": false, "replayed": 0})
    );
    server.accept(&numbered("a", 1)).await;
    assert_eq!(number(&socket.next().await), 1);
    assert_eq!(
        ask(
            &mut socket,
            &json!({"type": "unsubscribe", "topics": ["measurements"]})
        )
        .await,
        json!({"type": "unsubscribed", "topics": ["measurements"]})
    );
    server.accept(&numbered("a", 2)).await;
    for each in 1..=2 {
        assert_eq!(number(&witness.next().await), each);
    }
    assert_eq!(socket.drain().await, [] as [Value; 0]);
    ask(&mut socket, &subscribe(&["measurements"])).await;
    server.accept(&numbered("a", 3)).await;
    assert_eq!(number(&socket.next().await), 3);
}

#[tokio::test]
async fn measurements_do_not_reach_who_wants_something_else() {
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.watch("").await;
    let mut socket = server
        .watch("?topics=predictions,actions,alerts,modules,system")
        .await;
    server.accept(&numbered("a", 1)).await;
    assert_eq!(number(&witness.next().await), 1);
    assert_eq!(socket.drain().await, [] as [Value; 0]);
}

#[rstest]
#[case::open(json!({}), &[1, 2, 3, 4])]
#[case::site(json!({"enseigne": "Maison"}), &[1, 2])]
#[case::room(json!({"salle": "Bureau"}), &[1, 3])]
#[case::sensor(json!({"sensor_id": "s4"}), &[4])]
#[case::site_and_room(json!({"enseigne": "École", "salle": "Salle \"1\""}), &[4])]
#[case::contradiction(json!({"enseigne": "Maison", "sensor_id": "s3"}), &[])]
#[case::nobody(json!({"enseigne": "maison"}), &[])]
#[tokio::test]
async fn a_filter_chooses_what_comes_live_and_in_the_snapshot(
    #[case] filter: Value,
    #[case] wanted: &[u32],
    #[values("measurements", "all")] topic: &str,
) {
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.watch("").await;
    let mut live = server.watch("?topics=alerts").await;
    let mut command = json!({"type": "subscribe", "topics": [topic], "filter": filter});
    assert_eq!(ask(&mut live, &command).await["type"], "subscribed");
    server.accept(&readings_of_two_sites()).await;
    for _ in 1..=4 {
        witness.next().await;
    }
    let numbers = live.drain().await.iter().map(number).collect::<Vec<_>>();
    assert_eq!(numbers, wanted);

    let mut late = server.watch("?topics=alerts").await;
    command["snapshot"] = true.into();
    assert_eq!(ask(&mut late, &command).await["type"], "subscribed");
    let snapshot = late.next().await;
    let mut numbers: Vec<_> = snapshot["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(number)
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, wanted);
}

#[tokio::test]
async fn filters_add_up_and_an_open_subscription_takes_their_place() {
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.watch("").await;
    let mut socket = server.watch("?topics=alerts").await;
    for sensor in ["s1", "s3"] {
        let filter = json!({"sensor_id": sensor});
        let command = json!({"type": "subscribe", "topics": ["measurements"], "filter": filter});
        ask(&mut socket, &command).await;
    }
    server.accept(&readings_of_two_sites()).await;
    for _ in 1..=4 {
        witness.next().await;
    }
    assert_eq!(
        socket.drain().await.iter().map(number).collect::<Vec<_>>(),
        [1, 3]
    );
    ask(&mut socket, &subscribe(&["measurements"])).await;
    server.accept(&numbered("s2", 10)).await;
    assert_eq!(number(&socket.next().await), 10);
}

#[rstest]
#[case::by_default(&[TALKATIVE], 32)]
#[case::set(&[TALKATIVE, ("IAQ_WS_FILTERS_MAX", "2")], 2)]
#[tokio::test]
async fn a_connection_may_have_so_many_filters_and_keeps_them_when_it_asks_for_more(
    #[case] settings: &[(&str, &str)],
    #[case] most: u32,
) {
    let server = Server::with(settings);
    let mut socket = server.watch("?topics=alerts").await;
    for each in 1..=most + 1 {
        let filter = json!({"sensor_id": format!("s{each}")});
        let command = json!({"type": "subscribe", "topics": ["measurements"], "filter": filter});
        let answer = ask(&mut socket, &command).await;
        assert_eq!(
            answer["type"],
            if each <= most { "subscribed" } else { "error" },
            "{each}"
        );
    }
    let numbered = |each: u32| numbered(&format!("s{each}"), each);
    server
        .accept(&json!([numbered(most + 1), numbered(most)]))
        .await;
    assert_eq!(number(&socket.next().await), most);
}

#[tokio::test]
async fn asking_again_for_a_filter_it_has_takes_no_room() {
    let server = Server::with(&[TALKATIVE]);
    let mut socket = server.watch("?topics=alerts").await;
    for each in (1..=32).chain(1..=32) {
        let filter = json!({"sensor_id": format!("s{each}")});
        let command = json!({"type": "subscribe", "topics": ["measurements"], "filter": filter});
        assert_eq!(
            ask(&mut socket, &command).await["type"],
            "subscribed",
            "{each}"
        );
    }
}

#[tokio::test]
async fn a_snapshot_is_one_frame_with_the_latest_of_each_sensor() {
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.watch("").await;
    let mut latest = Vec::new();
    for (sensor, each) in [("a", 1), ("b", 2), ("a", 3)] {
        server.accept(&numbered(sensor, each)).await;
        latest.push(witness.next().await);
    }
    let mut socket = server.watch("?topics=alerts").await;
    let wanted = json!({"type": "subscribe", "topics": ["measurements"], "snapshot": true});
    assert_eq!(
        ask(&mut socket, &wanted).await,
        json!({"type": "subscribed", "topics": ["measurements", "alerts"],
            "recovered": false, "replayed": 0})
    );
    let mut snapshot = socket.next().await;
    snapshot["data"].as_array_mut().unwrap().sort_by_key(number);
    assert_eq!(
        snapshot,
        json!({"type": "snapshot", "topic": "measurements", "id": latest[2]["id"],
            "data": [latest[1], latest[2]]})
    );
    assert_eq!(socket.drain().await, [] as [Value; 0]);
}

#[rstest]
#[case::not_asked_for(json!({"type": "subscribe", "topics": ["measurements"]}))]
#[case::refused(json!({"type": "subscribe", "topics": ["measurements"], "snapshot": false}))]
#[case::nothing_to_tell(json!({"type": "subscribe", "topics": ["alerts"], "snapshot": true}))]
#[tokio::test]
async fn no_snapshot_comes_when(#[case] command: Value) {
    let server = Server::start();
    server.accept(&numbered("a", 1)).await;
    let mut socket = server.watch("?topics=alerts").await;
    assert_eq!(ask(&mut socket, &command).await["type"], "subscribed");
    assert_eq!(socket.drain().await, [] as [Value; 0]);
}

/// Posts of one round of the tests under load, and readings in each.
const POSTS: u32 = 30;
const READINGS: u32 = 20;

/// Posts the numbers after `first` as fast as they are taken, in batches.
async fn post_numbers(server: &Server, sensor: &str, first: u32) {
    for post in 0..POSTS {
        let numbers = (1..=READINGS).map(|each| first + post * READINGS + each);
        let batch: Value = numbers.map(|each| numbered(sensor, each)).collect();
        server.accept(&batch).await;
    }
}

/// Joins in the middle and follows the sensors up to `last`.
async fn follow_from_snapshot(server: &Server, sensors: &[&str], last: u32) {
    let mut socket = server.watch("?topics=alerts").await;
    let wanted = json!({"type": "subscribe", "topics": ["measurements"], "snapshot": true});
    assert_eq!(ask(&mut socket, &wanted).await["type"], "subscribed");
    let snapshot = socket.next().await;
    assert_eq!(snapshot["type"], "snapshot");
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for latest in snapshot["data"].as_array().unwrap() {
        let sensor = latest["sensor_id"].as_str().unwrap().to_owned();
        assert_eq!(seen.insert(sensor, number(latest)), None);
        assert!(position(latest) <= position(&snapshot));
    }
    while sensors
        .iter()
        .any(|sensor| seen.get(*sensor) != Some(&last))
    {
        let live = socket.next().await;
        let sensor = live["sensor_id"].as_str().unwrap().to_owned();
        let seen = seen.entry(sensor).or_insert(0);
        assert_eq!(number(&live), *seen + 1, "{live}");
        assert!(position(&live) > position(&snapshot));
        *seen += 1;
    }
    assert_eq!(socket.drain().await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_snapshot_and_the_live_messages_after_it_have_no_gap_and_no_repeat() {
    const SENSORS: [&str; 3] = ["a", "b", "c"];
    let server = Server::start();
    for round in 0..5 {
        let first = round * POSTS * READINGS;
        let posts = SENSORS.map(|sensor| post_numbers(&server, sensor, first));
        let last = first + POSTS * READINGS;
        let watchers = (0..20).map(|_| follow_from_snapshot(&server, &SENSORS, last));
        tokio::join!(join_all(posts), join_all(watchers));
    }
}

#[tokio::test]
async fn asking_for_a_snapshot_takes_nothing_from_what_was_subscribed_before() {
    let server = Server::with(&[TALKATIVE]);
    let sockets = join_all((0..8).map(|_| server.watch("?topics=measurements"))).await;
    let watchers = sockets.into_iter().map(async |mut socket| {
        let other = json!({"type": "subscribe", "topics": ["measurements"],
            "filter": {"sensor_id": "other"}, "snapshot": true});
        let mut seen = 0;
        while seen < POSTS * READINGS {
            let message = socket.next().await;
            if message["type"] == "measurement" {
                assert_eq!(number(&message), seen + 1);
                seen += 1;
                socket.send(&other).await;
            }
        }
    });
    tokio::join!(post_numbers(&server, "a", 0), join_all(watchers));
}

#[tokio::test]
async fn who_comes_back_is_told_whether_anything_was_missed() {
    let server = Server::with(&[ONE_SHARD]);
    let mut socket = server.watch("").await;
    server.accept(&numbered("a", 1)).await;
    let seen = socket.next().await["id"].clone();
    let since = json!({"type": "subscribe", "topics": ["measurements"], "since": seen});

    // Nothing was missed: live goes on, and there is no snapshot.
    let mut back = server.watch("?topics=alerts").await;
    let answer = ask(&mut back, &since).await;
    assert_eq!(
        (&answer["recovered"], &answer["replayed"]),
        (&json!(true), &json!(0))
    );
    server.accept(&numbered("a", 2)).await;
    assert_eq!(number(&back.next().await), 2);
    assert_eq!(number(&socket.next().await), 2);

    // Something was missed: either all of it is replayed, or a snapshot says what is true now.
    let mut back = server.watch("?topics=alerts").await;
    let answer = ask(&mut back, &since).await;
    let message = back.next().await;
    if answer["recovered"] == true {
        assert_eq!((&answer["replayed"], number(&message)), (&json!(1), 2));
    } else {
        assert_eq!(message["type"], "snapshot");
        assert_eq!(
            message["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(number)
                .collect::<Vec<_>>(),
            [2]
        );
    }
    assert_eq!(back.drain().await, [] as [Value; 0]);
}

#[rstest]
#[case::of_the_future("999-999")]
#[case::nonsense("yesterday")]
#[case::empty("")]
#[tokio::test]
async fn a_since_that_never_was_gets_a_snapshot(#[case] since: &str) {
    let server = Server::start();
    server.accept(&numbered("a", 1)).await;
    let mut socket = server.watch("?topics=alerts").await;
    let command = json!({"type": "subscribe", "topics": ["measurements"], "since": since});
    assert_eq!(ask(&mut socket, &command).await["recovered"], false);
    assert_eq!(socket.next().await["type"], "snapshot");
}

#[tokio::test]
async fn who_comes_back_after_a_restart_gets_a_snapshot_of_everything_stored() {
    let server = Server::start();
    let mut socket = server.watch("").await;
    server.accept(&numbered("a", 1)).await;
    let seen = socket.next().await["id"].clone();
    let server = server.revive();
    let mut socket = server.watch("").await;
    let since = json!({"type": "subscribe", "topics": ["all"], "since": seen});
    assert_eq!(ask(&mut socket, &since).await["recovered"], false);
    let snapshot = socket.next().await;
    assert_eq!(
        snapshot["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(number)
            .collect::<Vec<_>>(),
        [1]
    );
    server.accept(&numbered("a", 2)).await;
    assert_eq!(number(&socket.next().await), 2);
}

#[rstest]
#[case::without_an_id(json!({"type": "ping"}), None)]
#[case::with_a_text(json!({"type": "ping", "id": "é1"}), Some(json!("é1")))]
#[case::with_a_number(json!({"type": "ping", "id": 7}), Some(json!(7)))]
#[case::with_more_than_it_needs(json!({"type": "ping", "id": 7, "mood": "good"}), Some(json!(7)))]
#[tokio::test]
async fn a_ping_is_answered_with_its_id_and_the_time(
    #[case] ping: Value,
    #[case] id: Option<Value>,
) {
    let server = Server::start();
    let pong = ask(&mut server.watch("").await, &ping).await;
    assert_eq!(pong["type"], "pong");
    assert_eq!(pong.get("id"), id.as_ref());
    assert!(millis_of(&pong["timestamp"]) > 0);
}

#[tokio::test]
async fn metrics_come_at_once_when_asked_for() {
    let server = Server::start();
    let answer = ask(
        &mut server.watch("").await,
        &json!({"type": "request_metrics"}),
    )
    .await;
    assert_eq!(answer["type"], "metrics_update");
    assert!(
        answer["data"]
            .as_object()
            .is_some_and(|data| !data.is_empty()),
        "{answer}"
    );
    assert!(millis_of(&answer["timestamp"]) > 0);
}

#[rstest]
#[case::no_json("{", "bad_json")]
#[case::no_object("[1]", "bad_json")]
#[case::nothing("", "bad_json")]
#[case::no_type("{}", "bad_json")]
#[case::topics_no_list(r#"{"type":"subscribe","topics":"all"}"#, "bad_json")]
#[case::no_topics(r#"{"type":"subscribe"}"#, "bad_json")]
#[case::misspelt_filter(
    r#"{"type":"subscribe","topics":["all"],"filter":{"site":"x"}}"#,
    "bad_json"
)]
#[case::unknown_type(r#"{"type":"dance"}"#, "unknown_type")]
#[case::unknown_topic(r#"{"type":"subscribe","topics":["all","weather"]}"#, "unknown_topic")]
#[case::unknown_topic_left(r#"{"type":"unsubscribe","topics":["weather"]}"#, "unknown_topic")]
#[case::max_hz(r#"{"type":"subscribe","topics":["all"],"max_hz":-1}"#, "bad_json")]
#[tokio::test]
async fn what_makes_no_sense_is_answered_and_changes_nothing(
    #[case] text: &str,
    #[case] code: &str,
) {
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.watch("").await;
    let mut socket = server.watch("?topics=alerts").await;
    socket.0.send(Message::text(text)).await.unwrap();
    let error = socket.next().await;
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("error"), &json!(code)),
        "{error}"
    );
    server.accept(&numbered("a", 1)).await;
    witness.next().await;
    assert_eq!(socket.drain().await, [] as [Value; 0]);
}

#[tokio::test]
async fn who_keeps_making_no_sense_is_closed_with_1008() {
    let server = Server::start();
    let mut socket = server.watch("").await;
    let senseless = json!({"type": "dance"});
    for _ in 0..19 {
        assert_eq!(ask(&mut socket, &senseless).await["type"], "error");
    }
    // One message that makes sense is enough to begin anew.
    assert_eq!(
        ask(&mut socket, &json!({"type": "ping"})).await["type"],
        "pong"
    );
    for _ in 0..20 {
        assert_eq!(ask(&mut socket, &senseless).await["type"], "error");
    }
    assert_eq!(socket.close_code().await, 1008);
}

#[tokio::test]
async fn a_message_in_fragments_with_a_ping_between_is_one_message() {
    let server = Server::start();
    let mut wire = Wire::upgraded(server.connect().await).await;
    let fin = 0x80;
    let mut bytes = masked(TEXT & !fin, br#"{"type":"#);
    bytes.extend(masked(PING, b"between"));
    bytes.extend(masked(0, br#""ping","id"#));
    bytes.extend(masked(0, b""));
    bytes.extend(masked(fin, br#"":"whole"}"#));
    wire.send(bytes).await;
    assert_eq!(wire.frame().await, (PONG, b"between".to_vec()));
    let (kind, payload) = wire.frame().await;
    assert_eq!(
        (
            kind,
            &serde_json::from_slice::<Value>(&payload).unwrap()["id"]
        ),
        (TEXT, &json!("whole"))
    );
}

#[tokio::test]
async fn frames_are_understood_however_they_are_cut() {
    let server = Server::with(&[TALKATIVE]);
    let mut wire = Wire::over(server.connect().await);
    wire.stream.set_nodelay(true).unwrap();
    // The first frame is sent right behind the handshake, before its answer is known.
    let mut bytes = handshake("/ws?topics=alerts", "").into_bytes();
    bytes.extend(masked(TEXT, br#"{"type":"ping","id":0}"#));
    wire.send(bytes).await;
    assert_eq!(wire.answer().await.status, 101);
    assert_eq!(wire.frame().await.0, TEXT);
    for byte in masked(TEXT, br#"{"type":"ping","id":1}"#) {
        wire.send([byte]).await;
    }
    let several: Vec<_> = (2..50)
        .flat_map(|id| masked(TEXT, format!(r#"{{"type":"ping","id":{id}}}"#).as_bytes()))
        .collect();
    wire.send(several).await;
    for id in 0..50 {
        let pong: Value = serde_json::from_slice(&wire.frame().await.1).unwrap();
        assert_eq!(pong["id"], id);
    }
}

#[tokio::test]
async fn a_message_of_64_kib_is_still_read() {
    let server = Server::start();
    let mut wire = Wire::upgraded(server.connect().await).await;
    let message = r#"{"type":"ping"}"#.to_owned() + &" ".repeat(65_536 - 15);
    wire.send(masked(TEXT, message.as_bytes())).await;
    let pong: Value = serde_json::from_slice(&wire.frame().await.1).unwrap();
    assert_eq!(pong["type"], "pong");
}

/// Two fragments that only together are too much.
fn too_much_in_fragments() -> Vec<u8> {
    let mut bytes = masked(TEXT & 0x7f, &vec![b' '; 40_000]);
    bytes.extend(masked(0x80, &vec![b' '; 40_000]));
    bytes
}

#[rstest]
#[case::binary(masked(BINARY, b"{}"), 1003)]
#[case::not_utf8(masked(TEXT, b"\xff\xfe"), 1007)]
#[case::half_a_character(masked(TEXT, b"\xc3"), 1007)]
#[case::reason_not_utf8(masked(CLOSE, b"\x03\xe8\xff"), 1007)]
#[case::unmasked(b"\x81\x02{}".to_vec(), 1002)]
#[case::reserved_bit_1(masked(TEXT | 0x40, b"{}"), 1002)]
#[case::reserved_bit_2(masked(TEXT | 0x20, b"{}"), 1002)]
#[case::reserved_bit_3(masked(TEXT | 0x10, b"{}"), 1002)]
#[case::unknown_data_frame(masked(0x83, b""), 1002)]
#[case::unknown_control_frame(masked(0x8b, b""), 1002)]
#[case::fragmented_ping(masked(PING & 0x7f, b""), 1002)]
#[case::long_ping(masked(PING, &[0; 126]), 1002)]
#[case::nothing_to_continue(masked(0x80, b"{}"), 1002)]
#[case::message_within_a_message([masked(TEXT & 0x7f, b"{"), masked(TEXT, b"{}")].concat(), 1002)]
#[case::half_a_close_code(masked(CLOSE, b"\x03"), 1002)]
#[case::close_code_that_must_not_be_sent(masked(CLOSE, &1005_u16.to_be_bytes()), 1002)]
#[case::too_big(masked(TEXT, &vec![b' '; 65_537]), 1009)]
#[case::too_big_in_fragments(too_much_in_fragments(), 1009)]
#[tokio::test]
async fn what_the_websocket_protocol_forbids_is_closed_with(
    #[case] bytes: Vec<u8>,
    #[case] code: u16,
) {
    let server = Server::start();
    let mut wire = Wire::upgraded(server.connect().await).await;
    wire.send(bytes).await;
    assert_eq!(wire.close_code().await, code);
    wire.send(masked(CLOSE, &code.to_be_bytes())).await;
    assert_eq!(wire.rest().await, "");
}

#[tokio::test]
async fn a_client_that_does_not_answer_a_close_is_cut_off() {
    let server = Server::start();
    let mut wire = Wire::upgraded(server.connect().await).await;
    wire.send(masked(BINARY, b"")).await;
    assert_eq!(wire.close_code().await, 1003);
    assert_eq!(wire.rest().await, "");
}

#[rstest]
#[case(1000)]
#[case(1001)]
#[case(3000)]
#[case(4999)]
#[tokio::test]
async fn a_close_is_answered_with_its_code(#[case] code: u16) {
    let server = Server::start();
    let mut socket = server.watch("").await;
    let close = CloseFrame {
        code: code.into(),
        reason: "enough".into(),
    };
    socket.0.close(Some(close)).await.unwrap();
    assert_eq!(socket.close_code().await, code);
    assert!(socket.0.next().await.is_none(), "the connection ends");
}

#[tokio::test]
async fn a_close_without_a_code_is_answered_too() {
    let server = Server::start();
    let mut wire = Wire::upgraded(server.connect().await).await;
    wire.send(masked(CLOSE, b"")).await;
    assert_eq!(wire.frame().await.0, CLOSE);
    assert_eq!(wire.rest().await, "");
}

#[rstest]
#[case::none("", &[])]
#[case::ours("Sec-WebSocket-Protocol: iaqverse.v1\r\n", &["iaqverse.v1"])]
#[case::token_only("Sec-WebSocket-Protocol: bearer.x\r\n", &["bearer.x"])]
#[case::ours_and_token("Sec-WebSocket-Protocol: bearer.x, iaqverse.v1\r\n", &["iaqverse.v1"])]
#[case::two_lines(
    "Sec-WebSocket-Protocol: bearer.x\r\nSec-WebSocket-Protocol: iaqverse.v1\r\n",
    &["iaqverse.v1"]
)]
#[case::another("Sec-WebSocket-Protocol: mqtt\r\n", &[])]
#[tokio::test]
async fn our_subprotocol_is_agreed_on_and_else_the_one_with_the_token(
    #[case] offer: &str,
    #[case] agreed: &[&str],
) {
    let server = Server::start();
    let mut wire = Wire::over(server.connect().await);
    wire.send(handshake("/ws", offer)).await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.all("sec-websocket-protocol"), agreed);
    // The answer to the key of RFC 6455 §1.3.
    assert_eq!(
        answer.all("sec-websocket-accept"),
        ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]
    );
    assert_eq!(answer.all("upgrade"), ["websocket"]);
    assert_eq!(answer.all("connection"), ["Upgrade"]);
    assert_eq!(answer.all("x-request-id").len(), 1);
}

#[rstest]
#[case::as_browsers_write_it("Connection: Upgrade\r\n", "Connection: keep-alive, Upgrade\r\n")]
#[case::in_other_letters("Upgrade: websocket\r\n", "upgrade: WebSocket\r\n")]
#[tokio::test]
async fn a_handshake_may_be_written_differently(#[case] usual: &str, #[case] written: &str) {
    let server = Server::start();
    let mut wire = Wire::over(server.connect().await);
    wire.send(handshake("/ws", "").replace(usual, written))
        .await;
    assert_eq!(wire.answer().await.status, 101);
}

#[rstest]
#[case::another_path("GET /ws ", "GET /ws2 ", 404, "not_found")]
#[case::path_below("GET /ws ", "GET /ws/x ", 404, "not_found")]
#[case::api_path("GET /ws ", "GET /api/latest ", 404, "not_found")]
#[case::post("GET ", "POST ", 405, "method_not_allowed")]
#[case::other_version("Version: 13", "Version: 8", 426, "upgrade_required")]
#[case::no_version("Sec-WebSocket-Version: 13\r\n", "", 426, "upgrade_required")]
#[case::no_upgrade_asked_for(
    "Connection: Upgrade",
    "Connection: keep-alive",
    426,
    "upgrade_required"
)]
#[case::no_connection("Connection: Upgrade\r\n", "", 426, "upgrade_required")]
#[case::no_upgrade("Upgrade: websocket\r\n", "", 426, "upgrade_required")]
#[case::other_upgrade("Upgrade: websocket", "Upgrade: h2c", 426, "upgrade_required")]
#[case::no_key("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400, "bad_key")]
#[case::short_key("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBs", 400, "bad_key")]
#[case::key_not_base64("dGhlIHNhbXBsZSBub25jZQ==", "not base64!", 400, "bad_key")]
#[case::foreign_origin(
    "\r\n\r\n",
    "\r\nOrigin: http://evil.example\r\n\r\n",
    403,
    "forbidden_origin"
)]
#[case::other_port(
    "\r\n\r\n",
    "\r\nOrigin: http://server:81\r\n\r\n",
    403,
    "forbidden_origin"
)]
#[case::origin_of_a_file("\r\n\r\n", "\r\nOrigin: null\r\n\r\n", 403, "forbidden_origin")]
#[tokio::test]
async fn a_handshake_is_refused_with(
    #[case] usual: &str,
    #[case] written: &str,
    #[case] status: u16,
    #[case] code: &str,
) {
    let server = Server::start();
    let mut wire = Wire::over(server.connect().await);
    let request = handshake("/ws", "");
    assert!(request.contains(usual));
    wire.send(request.replacen(usual, written, 1)).await;
    let answer = wire.answer().await;
    answer.problem(status, code);
    if status == 426 {
        assert_eq!(answer.all("sec-websocket-version"), ["13"]);
        assert_eq!(answer.all("upgrade"), ["websocket"]);
    }
    assert_eq!(server.get_json("/ws/stats").await["active_connections"], 0);
}

#[tokio::test]
async fn a_websocket_needs_http_1_1() {
    let server = Server::start();
    let mut wire = Wire::over(server.connect().await);
    wire.send(handshake("/ws", "").replace("HTTP/1.1", "HTTP/1.0"))
        .await;
    let answer = wire.answer().await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
}

#[tokio::test]
async fn a_plain_request_for_the_websocket_is_told_to_upgrade() {
    let server = Server::start();
    let response = server.get("/ws").await;
    assert_eq!(response.headers()["upgrade"], "websocket");
    assert_eq!(response.headers()["sec-websocket-version"], "13");
    crate::harness::problem(response, 426, "upgrade_required").await;
}

#[rstest]
#[case::listed("https://dashboard.example", 101)]
#[case::same_host("http://server", 101)]
#[case::same_host_by_tls("https://server", 101)]
#[case::listed_by_another_scheme("http://dashboard.example", 403)]
#[case::longer_than_listed("https://dashboard.example.evil.example", 403)]
#[case::not_listed("https://other.example", 403)]
#[tokio::test]
async fn listed_origins_and_the_same_host_may_connect(#[case] origin: &str, #[case] status: u16) {
    let server = Server::with(&[(
        "IAQ_ALLOWED_ORIGINS",
        "https://dashboard.example,https://another.example",
    )]);
    let mut wire = Wire::over(server.connect().await);
    wire.send(handshake("/ws", &format!("Origin: {origin}\r\n")))
        .await;
    assert_eq!(wire.answer().await.status, status);
}

fn stats(connections: u32, subscriptions: &[(&str, u32)]) -> Value {
    let mut counts = json!({"measurements": 0, "predictions": 0, "actions": 0, "alerts": 0,
        "modules": 0, "system": 0, "all": 0});
    for (topic, count) in subscriptions {
        counts[topic] = (*count).into();
    }
    json!({"active_connections": connections, "total_connections": connections,
        "subscriptions": counts})
}

#[tokio::test]
async fn the_stats_follow_connections_and_subscriptions() {
    let server = Server::start();
    assert_eq!(server.get_json("/ws/stats").await, stats(0, &[]));
    let mut one = server.watch("").await;
    let mut other = server.watch("?topics=measurements,alerts").await;
    let both = stats(2, &[("all", 1), ("measurements", 1), ("alerts", 1)]);
    assert_eq!(server.get_json("/ws/stats").await, both);

    // Who wants all is counted under all only, and under the rest once that is given up.
    ask(&mut other, &subscribe(&["all", "system"])).await;
    assert_eq!(server.get_json("/ws/stats").await, stats(2, &[("all", 2)]));
    ask(
        &mut other,
        &json!({"type": "unsubscribe", "topics": ["all"]}),
    )
    .await;
    let three = [
        ("all", 1),
        ("measurements", 1),
        ("alerts", 1),
        ("system", 1),
    ];
    assert_eq!(server.get_json("/ws/stats").await, stats(2, &three));

    // A filtered subscription is one, and the same one twice is still one.
    ask(&mut one, &json!({"type": "unsubscribe", "topics": ["all"]})).await;
    let filtered =
        json!({"type": "subscribe", "topics": ["modules"], "filter": {"salle": "Bureau"}});
    ask(&mut one, &filtered).await;
    ask(&mut one, &filtered).await;
    let four = [
        ("measurements", 1),
        ("alerts", 1),
        ("system", 1),
        ("modules", 1),
    ];
    assert_eq!(server.get_json("/ws/stats").await, stats(2, &four));

    one.0.close(None).await.unwrap();
    drop(other);
    for _ in 0..2 {
        server.logged("client disconnected");
    }
    assert_eq!(server.get_json("/ws/stats").await, stats(0, &[]));
    assert_eq!(server.get_json("/api/health").await["websocket_clients"], 0);
}

#[tokio::test]
async fn connecting_and_disconnecting_is_logged_with_the_total_and_the_topics() {
    let server = Server::start();
    let logged = |text| serde_json::from_str::<Value>(&server.logged(text)).unwrap();
    let first = server.watch("?topics=measurements,alerts").await;
    let line = logged("client connected");
    assert_eq!(
        (&line["level"], &line["total"]),
        (&json!("INFO"), &json!(1)),
        "{line}"
    );
    assert!(
        line["topics"].to_string().contains("measurements"),
        "{line}"
    );
    assert!(line["topics"].to_string().contains("alerts"), "{line}");
    let _second = server.watch("").await;
    assert_eq!(logged("client connected")["total"], 2);
    drop(first);
    let line = logged("client disconnected");
    assert_eq!(
        (&line["level"], &line["total"]),
        (&json!("INFO"), &json!(1)),
        "{line}"
    );
    assert!(line["topics"].to_string().contains("alerts"), "{line}");
}

/// A client that a proxy speaks for.
async fn forwarded(server: &Server, forwarded_for: &str) -> Socket {
    let url = format!("ws://{}/ws", server.address);
    Socket::open(&url, &[("x-forwarded-for", forwarded_for)])
        .await
        .unwrap()
}

#[rstest]
#[case::in_all("IAQ_WS_MAX")]
#[case::of_one_address("IAQ_WS_MAX_PER_IP")]
#[tokio::test]
async fn connections_above_the_limit_are_closed_with_1013(#[case] limit: &str) {
    let server = Server::with(&[(limit, "2")]);
    let mut kept = server.watch("").await;
    let leaving = server.watch("").await;
    assert_eq!(server.socket("").await.close_code().await, 1013);
    drop(leaving);
    server.logged("client disconnected");
    let mut next = server.watch("").await;
    assert_eq!(server.socket("").await.close_code().await, 1013);
    server.accept(&numbered("a", 1)).await;
    assert_eq!(number(&kept.next().await), 1);
    assert_eq!(number(&next.next().await), 1);
}

#[tokio::test]
async fn an_address_may_have_a_hundred_connections() {
    let server = Server::start();
    let mut sockets = Vec::new();
    for _ in 0..100 {
        sockets.push(server.watch("").await);
    }
    assert_eq!(server.socket("").await.close_code().await, 1013);
}

#[tokio::test]
async fn no_limit_is_no_limit() {
    let server = Server::with(&[("IAQ_WS_MAX", "0"), ("IAQ_WS_MAX_PER_IP", "0")]);
    let mut sockets = Vec::new();
    for _ in 0..110 {
        sockets.push(server.watch("").await);
    }
    assert_eq!(
        server.get_json("/ws/stats").await["active_connections"],
        110
    );
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_the_addresses_behind_it() {
    let server = Server::with(&[
        ("IAQ_WS_MAX_PER_IP", "1"),
        ("IAQ_TRUSTED_PROXIES", "127.0.0.0/8"),
    ]);
    let mut first = forwarded(&server, "203.0.113.7").await;
    assert_eq!(first.next().await["type"], "connection");
    assert!(server.logged("client connected").contains("203.0.113.7"));
    let mut second = forwarded(&server, "203.0.113.8").await;
    assert_eq!(second.next().await["type"], "connection");
    // What stands before the proxy's own entry is what the client claims.
    let mut third = forwarded(&server, "198.51.100.1, 203.0.113.8").await;
    assert_eq!(third.close_code().await, 1013);
}

#[tokio::test]
async fn nobody_else_may_claim_another_address() {
    let server = Server::with(&[
        ("IAQ_WS_MAX_PER_IP", "1"),
        ("IAQ_TRUSTED_PROXIES", "10.0.0.0/8"),
    ]);
    let mut first = forwarded(&server, "203.0.113.7").await;
    assert_eq!(first.next().await["type"], "connection");
    assert!(server.logged("client connected").contains("127.0.0.1"));
    let mut second = forwarded(&server, "203.0.113.8").await;
    assert_eq!(second.close_code().await, 1013);
}

#[tokio::test]
async fn five_hundred_clients_each_receive_each_of_fifty_messages() {
    let server = Server::with(&[("IAQ_WS_MAX_PER_IP", "0")]);
    let mut sockets = Vec::new();
    for _ in 0..500 {
        sockets.push(server.watch("").await);
    }
    for each in 1..=50 {
        server.accept(&numbered("a", each)).await;
    }
    for socket in &mut sockets {
        for each in 1..=50 {
            assert_eq!(number(&socket.next().await), each);
        }
        assert_eq!(socket.drain().await, [] as [Value; 0]);
    }
    assert_eq!(
        server.get_json("/ws/stats").await,
        stats(500, &[("all", 500)])
    );
}

#[tokio::test]
async fn a_subscription_names_all_that_the_connection_gets_by_now() {
    let server = Server::with(&[ONE_SHARD]);
    let mut socket = server.watch("").await;
    let room = json!({"type": "subscribe", "topics": ["measurements"],
        "filter": {"enseigne": "Maison", "salle": "Salon"}});
    let both = ask(&mut socket, &room).await;
    assert_eq!(both["topics"], json!(["measurements", "all"]));
    // One room only, as the documents tell it.
    let leave = json!({"type": "unsubscribe", "topics": ["all"]});
    assert_eq!(ask(&mut socket, &leave).await["type"], "unsubscribed");
    let only = ask(&mut socket, &room).await;
    assert_eq!(only["topics"], json!(["measurements"]));
    server.accept(&numbered("a", 1)).await;
    let mut there = numbered("b", 2);
    there["salle"] = "Salon".into();
    server.accept(&there).await;
    assert_eq!(number(&socket.next().await), 2);
}

//! `max_hz`: readings thinned out for one client.
//!
//! At 0.001 Hz the turn that comes at once is the only one a test ever sees, so what arrives behind
//! it was released by something else.

use crate::harness::{
    ONE_SHARD, Server, Socket, TALKATIVE, ask, number, numbered, position, resume, seen, subscribe,
};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;

/// Wants nothing that ever comes, until a command asks for more.
const NOTHING: &str = "?topics=alerts";

fn paced(topics: &[&str], max_hz: f64) -> Value {
    json!({"type": "subscribe", "topics": topics, "max_hz": max_hz})
}

/// A client that wants measurements once and then, for the time of a test, no more.
async fn slow(server: &Server) -> Socket {
    let mut socket = server.watch(NOTHING).await;
    let answer = ask(&mut socket, &paced(&["measurements"], 0.001)).await;
    assert_eq!(answer["type"], "subscribed", "{answer}");
    socket
}

/// The same after its first measurement, which is given back too.
async fn slowed(server: &Server) -> (Socket, Value) {
    let mut socket = slow(server).await;
    server.accept(&numbered("a", 1)).await;
    let first = socket.next().await;
    assert_eq!(seen(std::slice::from_ref(&first)), [("a", 1)]);
    (socket, first)
}

/// Posts readings of the sensors in turns, one by one, with the numbers from `first` to `last`.
async fn post_in_turns(server: &Server, sensors: &[&str], first: u32, last: u32) {
    for each in first..=last {
        let sensor = sensors[usize::try_from(each).unwrap() % sensors.len()];
        server.accept(&numbered(sensor, each)).await;
    }
}

/// The measurements among some messages, which must come in the order of their ids.
fn measurements(messages: Vec<Value>) -> Vec<Value> {
    let measurements: Vec<_> = messages
        .into_iter()
        .filter(|message| message["type"] == "measurement")
        .collect();
    assert!(measurements.is_sorted_by_key(position), "{measurements:?}");
    measurements
}

#[rstest]
#[case::raised(1000.0)]
#[case::lifted(0.0)]
#[tokio::test]
async fn the_first_comes_at_once_and_of_the_next_the_latest_of_each_sensor_when_its_turn_comes(
    #[case] max_hz: f64,
) {
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.watch("").await;
    let (mut slow, first) = slowed(&server).await;
    assert_eq!(witness.next().await, first);
    post_in_turns(&server, &["a", "b", "c"], 2, 101).await;
    let live = witness.take(100).await;
    assert_eq!(slow.drain().await, [] as [Value; 0], "nothing of a hundred");

    slow.send(&paced(&["measurements"], max_hz)).await;
    let mut released = Vec::new();
    while released.len() < 3 {
        let message = slow.next().await;
        if message["type"] != "subscribed" {
            released.push(message);
        }
    }
    // To the letter what the others got.
    assert_eq!(released, live[97..]);
    assert_eq!(measurements(slow.drain().await), [] as [Value; 0]);
}

#[tokio::test]
async fn all_sensors_of_one_turn_come_together() {
    let server = Server::with(&[ONE_SHARD]);
    let mut slow = slow(&server).await;
    let batch: Value = ["a", "b", "a", "c", "b"]
        .iter()
        .zip(1..)
        .map(|(sensor, each)| numbered(sensor, each))
        .collect();
    server.accept(&batch).await;
    assert_eq!(seen(&slow.take(3).await), [("a", 3), ("c", 4), ("b", 5)]);
    server.accept(&numbered("d", 6)).await;
    assert_eq!(
        slow.drain().await,
        [] as [Value; 0],
        "a new sensor waits for the next turn"
    );
}

#[tokio::test]
async fn a_sensor_comes_no_more_often_than_asked_for_and_its_latest_comes_in_the_end() {
    const HZ: f64 = 20.0;
    const READINGS: u32 = 150;
    let server = Server::with(&[ONE_SHARD]);
    let mut socket = server.watch(NOTHING).await;
    let begun = Instant::now();
    ask(&mut socket, &paced(&["measurements"], HZ)).await;
    let mut numbers: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let receive = async {
        while !["a", "b"].iter().all(|sensor| {
            let last = numbers.get(*sensor).and_then(|numbers| numbers.last());
            last.is_some_and(|last| *last >= READINGS - 1)
        }) {
            let message = socket.next().await;
            let sensor = message["sensor_id"].as_str().unwrap().to_owned();
            numbers.entry(sensor).or_default().push(number(&message));
        }
    };
    tokio::join!(post_in_turns(&server, &["a", "b"], 1, READINGS), receive);
    // The server took no longer than this, so there were no more turns.
    let turns = begun.elapsed().as_secs_f64() * HZ + 1.0;
    for (sensor, numbers) in numbers {
        assert!(numbers.is_sorted(), "{sensor} {numbers:?}");
        let count = u32::try_from(numbers.len()).unwrap();
        assert!(
            f64::from(count) <= turns,
            "{sensor}: {count} in {turns} turns"
        );
    }
}

#[tokio::test]
async fn the_others_get_everything() {
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.watch("").await;
    let mut filtered = server.watch(NOTHING).await;
    let mut wanted = subscribe(&["measurements"]);
    wanted["filter"] = json!({"sensor_id": "a"});
    ask(&mut filtered, &wanted).await;
    let (mut slow, _) = slowed(&server).await;
    post_in_turns(&server, &["a"], 2, 50).await;
    for each in 1..=50 {
        assert_eq!(number(&witness.next().await), each);
        assert_eq!(number(&filtered.next().await), each);
    }
    assert_eq!(slow.drain().await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_late_reading_does_not_take_the_place_of_a_newer_one() {
    let server = Server::with(&[ONE_SHARD]);
    let (mut slow, _) = slowed(&server).await;
    for each in [5, 3] {
        server.accept(&numbered("a", each)).await;
    }
    server.accept(&numbered("b", 4)).await;
    slow.send(&paced(&["measurements"], 0.0)).await;
    assert_eq!(
        seen(&measurements(slow.drain().await)),
        [("a", 5), ("b", 4)]
    );
}

#[tokio::test]
async fn without_a_limit_everything_comes_again() {
    let server = Server::with(&[ONE_SHARD]);
    let (mut slow, _) = slowed(&server).await;
    post_in_turns(&server, &["a"], 2, 5).await;
    slow.send(&paced(&["measurements"], 0.0)).await;
    assert_eq!(seen(&measurements(slow.drain().await)), [("a", 5)]);
    post_in_turns(&server, &["a"], 6, 30).await;
    for each in 6..=30 {
        assert_eq!(number(&slow.next().await), each);
    }
}

#[tokio::test]
async fn a_filter_chooses_before_the_pace_does() {
    let server = Server::with(&[ONE_SHARD]);
    let mut socket = server.watch(NOTHING).await;
    let mut wanted = paced(&["measurements"], 0.001);
    wanted["filter"] = json!({"sensor_id": "b"});
    ask(&mut socket, &wanted).await;
    // A reading that is not wanted must not take the turn.
    server.accept(&numbered("a", 1)).await;
    server.accept(&numbered("b", 2)).await;
    assert_eq!(number(&socket.next().await), 2);
    post_in_turns(&server, &["a", "b"], 3, 9).await;
    assert_eq!(socket.drain().await, [] as [Value; 0]);
    socket.send(&paced(&["system"], 0.0)).await;
    assert_eq!(seen(&measurements(socket.drain().await)), [("b", 9)]);
}

#[rstest]
#[case::negative(json!(-1))]
#[case::a_microscopic_part(json!(1e-9))]
#[case::more_than_there_is(json!(1e9))]
#[case::text(json!("1"))]
#[case::list(json!([1]))]
#[tokio::test]
async fn a_pace_that_makes_no_sense_is_bad_json_and_changes_nothing(#[case] max_hz: Value) {
    let server = Server::with(&[ONE_SHARD]);
    let mut socket = server.watch("?topics=measurements").await;
    let command = json!({"type": "subscribe", "topics": ["all"], "max_hz": max_hz});
    let answer = ask(&mut socket, &command).await;
    assert_eq!(
        (&answer["type"], &answer["code"]),
        (&json!("error"), &json!("bad_json"))
    );
    for each in 1..=3 {
        server.accept(&numbered("a", each)).await;
        assert_eq!(number(&socket.next().await), each);
    }
    assert_eq!(
        server.get_json("/ws/stats").await["subscriptions"]["all"],
        0
    );
}

#[tokio::test]
async fn a_pace_of_null_or_none_leaves_it_as_it_was() {
    let server = Server::with(&[ONE_SHARD, TALKATIVE]);
    let (mut slow, _) = slowed(&server).await;
    for command in [
        subscribe(&["measurements"]),
        json!({"type": "subscribe", "topics": ["system"], "max_hz": null}),
        json!({"type": "unsubscribe", "topics": ["system"]}),
    ] {
        ask(&mut slow, &command).await;
        post_in_turns(&server, &["a"], 2, 9).await;
        assert_eq!(
            measurements(slow.drain().await),
            [] as [Value; 0],
            "{command}"
        );
    }
}

#[tokio::test]
async fn who_was_held_back_and_lost_its_connection_resumes_behind_what_it_has_seen() {
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.watch("").await;
    let mut slow = slow(&server).await;
    server
        .accept(&json!([numbered("a", 1), numbered("b", 2)]))
        .await;
    let seen_last = slow.take(2).await[1]["id"].clone();
    post_in_turns(&server, &["a", "b", "c"], 3, 20).await;
    assert_eq!(slow.drain().await, [] as [Value; 0]);
    drop(slow);
    let live = witness.take(20).await;

    let mut sockets = Vec::new();
    for max_hz in [0.0, 0.001] {
        let mut back = server.watch(NOTHING).await;
        let mut command = resume(&["measurements"], &seen_last);
        command["max_hz"] = max_hz.into();
        let answer = ask(&mut back, &command).await;
        assert_eq!(
            (&answer["recovered"], &answer["replayed"]),
            (&json!(true), &json!(18))
        );
        // What it missed comes whole, whatever the pace from now on.
        assert_eq!(back.take(18).await, live[2..]);
        assert_eq!(back.drain().await, [] as [Value; 0]);
        sockets.push(back);
    }
    server.accept(&numbered("a", 21)).await;
    for socket in &mut sockets {
        assert_eq!(number(&socket.next().await), 21);
    }
    post_in_turns(&server, &["a"], 22, 29).await;
    for each in 22..=29 {
        assert_eq!(number(&sockets[0].next().await), each);
    }
    assert_eq!(sockets[1].drain().await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_client_that_resumes_its_own_held_readings_gets_each_once() {
    let server = Server::with(&[ONE_SHARD]);
    let (mut slow, first) = slowed(&server).await;
    post_in_turns(&server, &["a", "b"], 2, 9).await;
    // What was left out for its pace was missed, and what waits for its turn is among it.
    slow.send(&resume(&["measurements"], &first["id"])).await;
    slow.send(&paced(&["measurements"], 0.0)).await;
    let numbers: Vec<_> = measurements(slow.drain().await)
        .iter()
        .map(number)
        .collect();
    assert_eq!(numbers, [2, 3, 4, 5, 6, 7, 8, 9]);
}

#[rstest]
#[case::replay(false)]
#[case::snapshot(true)]
#[tokio::test]
async fn ids_grow_when_a_client_that_is_held_back_subscribes_to_more(#[case] snapshot: bool) {
    let server = Server::with(&[ONE_SHARD]);
    let mut socket = server.watch(NOTHING).await;
    let of = |sensor: &str| json!({"sensor_id": sensor});
    let mut first = paced(&["measurements"], 0.001);
    first["filter"] = of("a");
    ask(&mut socket, &first).await;
    server.accept(&numbered("a", 1)).await;
    let start = socket.next().await["id"].clone();
    // One is held for the client; the one behind it is not wanted yet.
    server.accept(&numbered("a", 2)).await;
    server.accept(&numbered("b", 3)).await;
    let mut more = if snapshot {
        json!({"type": "subscribe", "topics": ["measurements"], "snapshot": true})
    } else {
        resume(&["measurements"], &start)
    };
    more["filter"] = of("b");
    socket.send(&more).await;
    socket.send(&paced(&["measurements"], 0.0)).await;
    let messages = socket.drain().await;
    let ids: Vec<_> = messages
        .iter()
        .filter(|message| message["type"] != "subscribed")
        .map(position)
        .collect();
    // Else who loses its connection in between and resumes would never get the first.
    assert!(ids.len() >= 2 && ids.is_sorted(), "{messages:?}");
}

#[tokio::test]
async fn another_topic_comes_at_once_and_takes_along_what_waits() {
    const ROUNDS: u32 = 5;
    let server = Server::with(&[ONE_SHARD, ("IAQ_SYSTEM_INTERVAL", "200ms")]);
    let mut socket = server.watch(NOTHING).await;
    ask(&mut socket, &paced(&["measurements", "system"], 0.001)).await;
    let mut messages = Vec::new();
    for round in 1..=ROUNDS {
        let batch: Value = (1..=10)
            .map(|each| {
                numbered(
                    ["a", "b"][each % 2],
                    round * 10 + u32::try_from(each).unwrap(),
                )
            })
            .collect();
        server.accept(&batch).await;
        loop {
            messages.push(socket.next().await);
            let last = messages
                .iter()
                .rev()
                .find(|message| message["co2"].is_u64());
            let is_out = last.is_some_and(|last| number(last) == round * 10 + 10);
            if is_out && messages.last().unwrap()["type"] == "metrics_update" {
                break;
            }
        }
    }
    assert!(messages.is_sorted_by_key(position), "{messages:?}");
    // The very first came by themselves, in their turn; all others were taken along: the latest of
    // each sensor, right before what took them.
    let mut taken = messages.split(|message| message["type"] == "metrics_update");
    let mut numbers = Vec::new();
    for together in &mut taken {
        let seen = seen(together);
        assert!(seen.len() <= 2, "{seen:?}");
        numbers.extend(seen);
    }
    let wanted: Vec<_> = (1..=ROUNDS)
        .flat_map(|round| [("b", round * 10 + 9), ("a", round * 10 + 10)])
        .collect();
    assert_eq!(numbers, wanted);
}

#[tokio::test]
async fn what_is_held_back_is_not_for_who_has_unsubscribed() {
    let server = Server::start();
    let (mut socket, _) = slowed(&server).await;
    server.accept(&numbered("a", 2)).await;
    let unsubscribe = json!({"type": "unsubscribe", "topics": ["measurements"]});
    assert_eq!(ask(&mut socket, &unsubscribe).await["type"], "unsubscribed");
    let answer = ask(&mut socket, &paced(&["alerts"], 0.0)).await;
    assert_eq!(answer["type"], "subscribed", "{answer}");
    assert_eq!(measurements(socket.drain().await), [Value::Null; 0]);
}

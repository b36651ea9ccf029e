//! Coming back: a client names the last id it has seen and goes on from there.

use crate::harness::{
    ONE_SHARD, PATIENCE, Server, Socket, TALKATIVE, ask, number, numbered, position,
    readings_of_two_sites, resume, seen, subscribe,
};
use futures_util::future::join_all;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{interval, timeout};

/// A connection that wants nothing that ever comes, so that what it gets was asked for by a command.
const NOTHING: &str = "?topics=alerts";

/// Comes back on a new connection; the answer says that nothing is missing. Gives back what was
/// replayed.
async fn replayed(server: &Server, command: &Value) -> (Socket, Vec<Value>) {
    let mut socket = server.watch(NOTHING).await;
    let answer = ask(&mut socket, command).await;
    assert_eq!(
        (&answer["type"], &answer["recovered"]),
        (&json!("subscribed"), &json!(true)),
        "{command} {answer}"
    );
    let count = answer["replayed"].as_u64().unwrap();
    let replayed = socket.take(usize::try_from(count).unwrap()).await;
    (socket, replayed)
}

/// Checks that a snapshot comes instead of a replay, and gives it back.
async fn snapshot(socket: &mut Socket, command: &Value) -> Value {
    let answer = ask(socket, command).await;
    let has = answer["topics"].as_array().unwrap();
    let mut wanted = command["topics"].as_array().unwrap().iter();
    assert!(
        wanted.all(|topic| has.contains(topic)),
        "{command} {answer}"
    );
    assert_eq!(
        answer,
        json!({"type": "subscribed", "topics": has, "recovered": false, "replayed": 0}),
        "{command}"
    );
    let snapshot = socket.next().await;
    assert_eq!(snapshot["type"], "snapshot", "{command} {snapshot}");
    snapshot
}

/// Id of the latest message.
async fn latest_id(server: &Server) -> Value {
    server.socket(NOTHING).await.next().await["id"].clone()
}

#[rstest]
#[case::open(json!({}), &[1, 2, 3, 4])]
#[case::site(json!({"enseigne": "Maison"}), &[1, 2])]
#[case::room(json!({"salle": "Bureau"}), &[1, 3])]
#[case::sensor(json!({"sensor_id": "s4"}), &[4])]
#[case::site_and_room(json!({"enseigne": "École", "salle": "Bureau"}), &[3])]
#[case::nobody(json!({"enseigne": "maison"}), &[])]
#[tokio::test]
async fn a_replay_is_what_the_filter_chooses_of_what_was_missed(
    #[case] filter: Value,
    #[case] wanted: &[u32],
) {
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.watch("").await;
    server.accept(&numbered("s1", 0)).await;
    let last_seen = witness.next().await["id"].clone();
    server.accept(&readings_of_two_sites()).await;
    let mut missed = witness.take(4).await;
    missed.retain(|message| wanted.contains(&number(message)));
    for topics in [&["measurements"][..], &["all"], &["measurements", "system"]] {
        let mut command = resume(topics, &last_seen);
        command["filter"] = filter.clone();
        let (mut socket, replayed) = replayed(&server, &command).await;
        // To the letter what came live.
        assert_eq!(replayed, missed, "{topics:?}");
        assert_eq!(socket.drain().await, [] as [Value; 0], "{topics:?}");
    }
}

#[tokio::test]
async fn a_replay_begins_right_behind_the_id_wherever_that_is_and_live_goes_on_behind_it() {
    const MESSAGES: u32 = 12;
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.watch("").await;
    let mut ids = vec![latest_id(&server).await];
    let mut stream = Vec::new();
    for each in 1..=MESSAGES {
        server.accept(&numbered("a", each)).await;
        stream.push(witness.next().await);
        ids.extend(stream.last().map(|message| message["id"].clone()));
    }
    let mut sockets = Vec::new();
    for (after, id) in ids.iter().enumerate() {
        let (socket, replayed) = replayed(&server, &resume(&["measurements"], id)).await;
        assert_eq!(replayed, stream[after..], "after {id}");
        sockets.push(socket);
    }
    server.accept(&numbered("a", MESSAGES + 1)).await;
    for socket in &mut sockets {
        assert_eq!(number(&socket.next().await), MESSAGES + 1);
    }
}

#[tokio::test]
async fn a_late_reading_and_a_changed_one_are_replayed_as_they_came() {
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.watch("").await;
    let start = latest_id(&server).await;
    let mut changed = numbered("a", 5);
    changed["values"] = json!({"PM25": 7});
    for reading in [
        &numbered("a", 5),
        &numbered("a", 3),
        &changed,
        &numbered("a", 5),
    ] {
        server.accept(reading).await;
    }
    // The last one said nothing new.
    let live = witness.take(3).await;
    assert_eq!(live[1]["late"], true);
    assert_eq!(live[2]["values"], json!({"CO2": 5, "PM25": 7}));
    let (_, replayed) = replayed(&server, &resume(&["all"], &start)).await;
    assert_eq!(replayed, live);
}

#[tokio::test]
async fn a_topic_without_messages_has_nothing_to_replay() {
    let server = Server::with(&[ONE_SHARD]);
    let start = latest_id(&server).await;
    server.accept(&numbered("a", 1)).await;
    let topics = ["alerts", "actions", "predictions", "modules"];
    let (mut socket, replayed) = replayed(&server, &resume(&topics, &start)).await;
    assert_eq!(replayed, [] as [Value; 0]);
    assert_eq!(socket.drain().await, [] as [Value; 0]);
}

/// Readings that publishers post at the same time: sensors, posts of each and readings of a post.
const SENSORS: [&str; 3] = ["a", "b", "c"];
const POSTS: u32 = 80;
const READINGS: u32 = 5;
const LAST: u32 = POSTS * READINGS;

async fn publish(server: &Server, sensor: &str) {
    for post in 0..POSTS {
        let numbers = (1..=READINGS).map(|each| post * READINGS + each);
        let batch: Value = numbers.map(|each| numbered(sensor, each)).collect();
        server.accept(&batch).await;
    }
}

/// How far a client has seen each sensor, and the last id it has seen.
#[derive(Clone)]
struct Progress {
    numbers: BTreeMap<&'static str, u32>,
    id: Value,
}

impl Progress {
    fn from(id: &Value, sensors: &[&'static str]) -> Self {
        Self {
            numbers: sensors.iter().map(|sensor| (*sensor, 0)).collect(),
            id: id.clone(),
        }
    }

    /// Takes the next message, which must be the very next one of its sensor.
    fn follow(&mut self, message: &Value) {
        let sensor = message["sensor_id"].as_str().unwrap();
        let known = self.numbers.get_mut(sensor);
        let known = known.unwrap_or_else(|| panic!("not asked for: {message}"));
        assert_eq!(number(message), *known + 1, "{message}");
        let before = json!({"id": self.id});
        assert!(position(message) > position(&before), "{message}");
        *known += 1;
        self.id = message["id"].clone();
    }

    /// Takes a snapshot, which must not be behind what is known.
    fn restart(&mut self, snapshot: &Value) {
        assert!(position(snapshot) >= position(&json!({"id": self.id})));
        for latest in snapshot["data"].as_array().unwrap() {
            let sensor = latest["sensor_id"].as_str().unwrap();
            let known = self.numbers.get_mut(sensor).unwrap();
            assert!(number(latest) >= *known, "{latest}");
            *known = number(latest);
        }
        self.id = snapshot["id"].clone();
    }

    fn is_complete(&self) -> bool {
        self.numbers.values().all(|number| *number == LAST)
    }
}

/// Loses its connection after every few messages and comes back with the last id it has seen, until
/// it has seen everything.
async fn come_back_over_and_over(
    server: &Server,
    command: &Value,
    mut progress: Progress,
    restlessness: u32,
) {
    let mut connections = 0;
    while !progress.is_complete() {
        connections += 1;
        let mut socket = server.watch(NOTHING).await;
        let mut command = command.clone();
        command["since"] = progress.id.clone();
        let answer = ask(&mut socket, &command).await;
        assert_eq!(answer["recovered"], true, "{answer}");
        for _ in 0..=(connections * restlessness % 23) {
            if !progress.is_complete() {
                progress.follow(&socket.next().await);
            }
        }
    }
    let mut command = command.clone();
    command["since"] = progress.id;
    let (mut socket, more) = replayed(server, &command).await;
    assert_eq!(more, [] as [Value; 0]);
    assert_eq!(socket.drain().await, [] as [Value; 0]);
}

#[rstest]
#[tokio::test]
async fn clients_that_come_back_over_and_over_get_every_reading_once_and_in_order(
    #[values("1", "2")] threads: &str,
) {
    let server = Server::with(&[("IAQ_WS_THREADS", threads)]);
    let start = latest_id(&server).await;
    let whole = Progress::from(&start, &SENSORS);
    let only_b = Progress::from(&start, &["b"]);
    let filtered = json!({"type": "subscribe", "topics": ["measurements"],
        "filter": {"sensor_id": "b"}});
    let clients = [
        (subscribe(&["measurements"]), &whole),
        (subscribe(&["measurements"]), &whole),
        (subscribe(&["all"]), &whole),
        (subscribe(&["measurements", "alerts", "system"]), &whole),
        (filtered, &only_b),
    ];
    let clients = (5..).zip(&clients).map(|(restlessness, (command, from))| {
        come_back_over_and_over(&server, command, (*from).clone(), restlessness)
    });
    let publishers = SENSORS.map(|sensor| publish(&server, sensor));
    tokio::join!(join_all(publishers), join_all(clients));
}

/// Comes back over and over like a page: the connection has the topic from the start, and asks for
/// what it has missed. When it has seen the last reading of each sensor, it has seen all, and each once.
async fn come_back_already_live(server: &Server, start: &Value) {
    let mut seen = BTreeMap::new();
    let mut last = start.clone();
    while !SENSORS
        .iter()
        .all(|sensor| seen.contains_key(&((*sensor).to_owned(), LAST)))
    {
        let mut socket = server.socket("?topics=measurements").await;
        assert_eq!(socket.next().await["type"], "connection");
        socket.send(&resume(&["measurements"], &last)).await;
        let mut messages = Vec::new();
        let answer = loop {
            let message = socket.next().await;
            if message["type"] == "subscribed" {
                break message;
            }
            messages.push(message);
        };
        assert_eq!(answer["recovered"], true, "{answer}");
        let replayed = answer["replayed"].as_u64().unwrap();
        messages.extend(socket.take(usize::try_from(replayed).unwrap()).await);
        for message in messages {
            let sensor = message["sensor_id"].as_str().unwrap().to_owned();
            let again = seen.insert((sensor, number(&message)), message["id"].clone());
            assert_eq!(again, None, "{message}");
            if position(&message) > position(&json!({"id": last})) {
                last = message["id"].clone();
            }
        }
    }
    assert_eq!(seen.len(), SENSORS.len() * usize::try_from(LAST).unwrap());
}

#[rstest]
#[tokio::test]
async fn pages_that_come_back_while_much_is_published_miss_nothing(
    #[values("1", "2")] threads: &str,
) {
    let server = Server::with(&[("IAQ_WS_THREADS", threads)]);
    let start = latest_id(&server).await;
    let publishers = SENSORS.map(|sensor| publish(&server, sensor));
    let pages = (0..4).map(|_| come_back_already_live(&server, &start));
    tokio::join!(join_all(publishers), join_all(pages));
}

/// Comes back with an id just seen and with one from long ago, in turns, and sees to it that each
/// time either everything is replayed or a snapshot takes its place. Ends when it has seen the end
/// and both kinds of answers.
async fn come_back_too_late_at_times(server: &Server, start: &Progress) {
    let mut progress = start.clone();
    let (mut replays, mut snapshots, mut connections) = (0, 0, 0);
    while !(progress.is_complete() && replays > 0 && snapshots > 0) {
        connections += 1;
        let mut now = if connections % 3 == 0 {
            start.clone()
        } else {
            progress.clone()
        };
        let mut socket = server.watch(NOTHING).await;
        let answer = ask(&mut socket, &resume(&["all"], &now.id)).await;
        if answer["recovered"] == true {
            replays += 1;
        } else {
            snapshots += 1;
            assert_eq!(answer["replayed"], 0);
            let snapshot = socket.next().await;
            assert_eq!(snapshot["type"], "snapshot");
            now.restart(&snapshot);
        }
        for _ in 0..connections * 7 % 40 {
            if !now.is_complete() {
                now.follow(&socket.next().await);
            }
        }
        if connections % 3 != 0 {
            progress = now;
        }
    }
}

#[rstest]
#[tokio::test]
async fn with_a_small_log_a_client_is_either_replayed_everything_or_sent_a_snapshot(
    #[values("1", "2")] threads: &str,
) {
    let server = Server::with(&[("IAQ_WS_THREADS", threads), ("IAQ_REPLAY_MESSAGES", "30")]);
    let start = Progress::from(&latest_id(&server).await, &SENSORS);
    let publishers = SENSORS.map(|sensor| publish(&server, sensor));
    let clients = (0..4).map(|_| come_back_too_late_at_times(&server, &start));
    tokio::join!(join_all(publishers), join_all(clients));
}

#[tokio::test]
async fn who_has_missed_more_than_the_log_holds_gets_a_snapshot_and_never_a_part() {
    const MISSED_MAX: usize = 5;
    let server = Server::with(&[ONE_SHARD, ("IAQ_REPLAY_MESSAGES", "5"), TALKATIVE]);
    let mut witness = server.watch("").await;
    let start = latest_id(&server).await;
    let mut stream = Vec::new();
    for each in 1..=9 {
        server
            .accept(&numbered(
                ["a", "b"][each % 2],
                u32::try_from(each).unwrap(),
            ))
            .await;
        stream.push(witness.next().await);
        let ids = [&start]
            .into_iter()
            .chain(stream.iter().map(|it| &it["id"]));
        for (after, id) in ids.enumerate() {
            let command = resume(&["all"], id);
            if each - after <= MISSED_MAX {
                let (_, replayed) = replayed(&server, &command).await;
                assert_eq!(replayed, stream[after..], "{each} after {id}");
                continue;
            }
            let mut socket = server.watch(NOTHING).await;
            let mut snapshot = snapshot(&mut socket, &command).await;
            assert_eq!(snapshot["id"], stream[each - 1]["id"]);
            snapshot["data"].as_array_mut().unwrap().sort_by_key(number);
            assert_eq!(snapshot["data"], json!(stream[each - 2..]));
            assert_eq!(socket.drain().await, [] as [Value; 0]);
        }
    }
}

#[tokio::test]
async fn a_snapshot_instead_of_a_replay_is_filtered_as_asked() {
    let server = Server::with(&[ONE_SHARD, ("IAQ_REPLAY_MESSAGES", "1")]);
    let start = latest_id(&server).await;
    server.accept(&readings_of_two_sites()).await;
    let mut command = resume(&["all"], &start);
    command["filter"] = json!({"salle": "Bureau", "enseigne": "École"});
    let mut socket = server.watch(NOTHING).await;
    let snapshot = snapshot(&mut socket, &command).await;
    assert_eq!(seen(snapshot["data"].as_array().unwrap()), [("s3", 3)]);
}

#[tokio::test]
async fn what_is_too_old_is_forgotten_all_at_once_for_whoever_asks() {
    let server = Server::with(&[ONE_SHARD, TALKATIVE, ("IAQ_REPLAY_AGE", "1s")]);
    let start = latest_id(&server).await;
    let batch: Value = (1..=20).map(|each| numbered("a", each)).collect();
    server.accept(&batch).await;
    let mut looks = interval(Duration::from_millis(50));
    let forgotten = timeout(PATIENCE, async {
        loop {
            let mut socket = server.watch(NOTHING).await;
            let answer = ask(&mut socket, &resume(&["all"], &start)).await;
            if answer["recovered"] == false {
                return socket.next().await;
            }
            assert_eq!(answer["replayed"], 20);
            looks.tick().await;
        }
    });
    let snapshot = forgotten.await.expect("it forgets");
    assert_eq!(seen(snapshot["data"].as_array().unwrap()), [("a", 20)]);
}

#[tokio::test]
async fn an_id_that_never_was_gets_a_snapshot_and_live_behind_it() {
    let server = Server::with(&[ONE_SHARD]);
    server.accept(&numbered("a", 1)).await;
    let (epoch, sequence) = position(&json!({"id": latest_id(&server).await}));
    let mut sockets = Vec::new();
    for since in [
        String::new(),
        "yesterday".to_owned(),
        "1".to_owned(),
        "-".to_owned(),
        format!("{epoch}-"),
        format!("-{sequence}"),
        format!("{epoch}-{sequence}-0"),
        format!("{epoch}-{sequence}x"),
        format!(" {epoch}-{sequence}"),
        format!("{epoch}--{sequence}"),
        format!("{epoch}-{}", sequence + 1),
        format!("{}-0", epoch + 1),
        format!("{epoch}-{}", u64::MAX),
        format!("{epoch}-{}0", u64::MAX),
        format!("{}-0", u64::MAX),
        // Before this start of the server.
        "0-0".to_owned(),
        format!("{}-{}", epoch - 1, u64::MAX),
    ] {
        let mut socket = server.watch(NOTHING).await;
        let snapshot = snapshot(&mut socket, &resume(&["all"], &json!(since))).await;
        assert_eq!(position(&snapshot), (epoch, sequence), "{since:?}");
        assert_eq!(
            seen(snapshot["data"].as_array().unwrap()),
            [("a", 1)],
            "{since:?}"
        );
        sockets.push(socket);
    }
    server.accept(&numbered("a", 2)).await;
    for socket in &mut sockets {
        assert_eq!(number(&socket.next().await), 2);
    }
}

#[rstest]
#[case::number(json!(7))]
#[case::object(json!({"id": "1-1"}))]
#[case::list(json!(["1-1"]))]
#[tokio::test]
async fn an_id_that_is_no_text_is_bad_json_and_subscribes_to_nothing(#[case] since: Value) {
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.watch("").await;
    let mut socket = server.watch(NOTHING).await;
    let answer = ask(&mut socket, &resume(&["all"], &since)).await;
    assert_eq!(
        (&answer["type"], &answer["code"]),
        (&json!("error"), &json!("bad_json"))
    );
    server.accept(&numbered("a", 1)).await;
    witness.next().await;
    assert_eq!(socket.drain().await, [] as [Value; 0]);
}

#[tokio::test]
async fn ids_of_every_start_are_new_and_the_old_ones_lead_to_a_snapshot() {
    let mut server = Server::with(&[ONE_SHARD]);
    let mut ids: Vec<Value> = Vec::new();
    for start in 1..=3 {
        let mut socket = server.watch(NOTHING).await;
        for id in &ids {
            let snapshot = snapshot(&mut socket, &resume(&["all"], id)).await;
            assert_eq!(number(&snapshot["data"][0]), start - 1, "{id}");
            assert!(position(&snapshot) > position(&json!({"id": id})));
        }
        let mut witness = server.watch("").await;
        server.accept(&numbered("a", start)).await;
        let message = witness.next().await;
        for id in &ids {
            assert!(position(&message) > position(&json!({"id": id})));
        }
        ids.push(message["id"].clone());
        server = server.revive();
    }
}

#[tokio::test]
async fn what_was_missed_over_a_kill_is_replayed_from_the_store() {
    let server = Server::with(&[ONE_SHARD]);
    let mut witness = server.watch("").await;
    server.accept(&numbered("s1", 0)).await;
    let last_seen = witness.next().await["id"].clone();
    server.accept(&readings_of_two_sites()).await;
    let mut changed = numbered("s1", 0);
    changed["values"] = json!({"PM25": 7});
    server.accept(&changed).await;
    let mut missed = witness.take(5).await;
    let server = server.revive();
    server.accept(&numbered("a", 1)).await;

    let (mut socket, mut messages) =
        replayed(&server, &resume(&["measurements"], &last_seen)).await;
    assert_eq!(number(&messages.pop().unwrap()), 1);
    assert_eq!(messages, missed, "to the letter what came live");
    server.accept(&numbered("a", 2)).await;
    assert_eq!(number(&socket.next().await), 2);

    let mut command = resume(&["measurements"], &last_seen);
    command["filter"] = json!({"sensor_id": "s4"});
    let (_, messages) = replayed(&server, &command).await;
    missed.retain(|message| message["sensor_id"] == "s4");
    assert_eq!(messages, missed);
}

#[tokio::test]
async fn what_the_store_has_forgotten_leads_to_a_snapshot_and_never_to_a_part() {
    // Of this many settled readings none is kept for those who come back.
    let server = Server::with(&[ONE_SHARD, ("IAQ_REPLAY_READINGS", "0")]);
    let mut witness = server.watch("").await;
    server.accept(&numbered("a", 1)).await;
    let last_seen = witness.next().await["id"].clone();
    for each in 2..=5 {
        server.accept(&numbered("a", each)).await;
    }
    // A server that stops in order settles them.
    server.terminate();
    let (content, server) = server.ended_and_started_again().await;
    assert!(content);
    let mut socket = server.watch(NOTHING).await;
    let snapshot = snapshot(&mut socket, &resume(&["measurements"], &last_seen)).await;
    assert_eq!(number(&snapshot["data"][0]), 5);
}

#[tokio::test]
async fn after_a_restart_a_topic_that_is_not_stored_is_not_recovered() {
    let server = Server::with(&[ONE_SHARD]);
    let seen_before = latest_id(&server).await;
    let server = server.revive();
    server.accept(&numbered("a", 1)).await;
    let mut socket = server.watch(NOTHING).await;
    let answer = ask(&mut socket, &resume(&["system"], &seen_before)).await;
    assert_eq!(answer["recovered"], false);
    // There is no snapshot of what has no state.
    assert_eq!(socket.drain().await, [] as [Value; 0]);
}

/// A client that gets `topics` already, what it got live, and the id from before all of it.
async fn already_subscribed(server: &Server, query: &str) -> (Socket, Value) {
    let start = latest_id(server).await;
    server.accept(&readings_of_two_sites()).await;
    (server.watch(query).await, start)
}

#[rstest]
#[case::the_same_topic("?topics=measurements", &["measurements"])]
#[case::all_of_them("", &["all"])]
#[case::part_of_all("", &["measurements"])]
#[case::more_than_it_had("?topics=measurements", &["all"])]
#[tokio::test]
async fn who_gets_a_topic_already_is_replayed_only_what_came_before(
    #[case] query: &str,
    #[case] topics: &[&str],
) {
    let server = Server::with(&[ONE_SHARD]);
    let (mut socket, start) = already_subscribed(&server, query).await;
    server
        .accept(&json!([numbered("s1", 10), numbered("s5", 11)]))
        .await;
    assert_eq!(
        socket.take(2).await.iter().map(number).collect::<Vec<_>>(),
        [10, 11]
    );
    let answer = ask(&mut socket, &resume(topics, &start)).await;
    assert_eq!(
        (&answer["recovered"], &answer["replayed"]),
        (&json!(true), &json!(4))
    );
    let replayed = socket.take(4).await;
    assert_eq!(
        replayed.iter().map(number).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    server.accept(&numbered("s1", 12)).await;
    assert_eq!(number(&socket.next().await), 12);
    assert_eq!(socket.drain().await, [] as [Value; 0]);
}

#[tokio::test]
async fn who_gets_a_part_of_a_topic_already_is_replayed_the_rest() {
    let server = Server::with(&[ONE_SHARD]);
    let (mut socket, start) = already_subscribed(&server, NOTHING).await;
    let mut part = subscribe(&["measurements"]);
    part["filter"] = json!({"sensor_id": "s1"});
    ask(&mut socket, &part).await;
    server
        .accept(&json!([numbered("s1", 10), numbered("s5", 11)]))
        .await;
    assert_eq!(number(&socket.next().await), 10);
    let answer = ask(&mut socket, &resume(&["measurements"], &start)).await;
    assert_eq!(
        (&answer["recovered"], &answer["replayed"]),
        (&json!(true), &json!(5))
    );
    let replayed = socket.take(5).await;
    assert_eq!(
        replayed.iter().map(number).collect::<Vec<_>>(),
        [1, 2, 3, 4, 11]
    );
    assert_eq!(socket.drain().await, [] as [Value; 0]);
}

#[rstest]
#[case::another_topic(subscribe(&["system"]))]
#[case::the_same_topic(subscribe(&["measurements"]))]
#[case::a_filter_that_adds_nothing(
    json!({"type": "subscribe", "topics": ["measurements"], "filter": {"salle": "Bureau"}})
)]
#[case::less(json!({"type": "unsubscribe", "topics": ["alerts"]}))]
#[tokio::test]
async fn what_came_live_is_not_replayed_whatever_was_asked_for_in_between(#[case] between: Value) {
    let server = Server::with(&[ONE_SHARD]);
    let start = latest_id(&server).await;
    let mut socket = server.watch("?topics=measurements").await;
    server.accept(&numbered("a", 1)).await;
    assert_eq!(number(&socket.next().await), 1);
    ask(&mut socket, &between).await;
    let answer = ask(&mut socket, &resume(&["measurements"], &start)).await;
    assert_eq!(
        (&answer["recovered"], &answer["replayed"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(socket.drain().await, [] as [Value; 0]);
}

#[tokio::test]
async fn what_was_replayed_is_not_replayed_again_on_the_same_connection() {
    let server = Server::with(&[ONE_SHARD]);
    let start = latest_id(&server).await;
    server.accept(&readings_of_two_sites()).await;
    let (mut socket, missed) = replayed(&server, &resume(&["measurements"], &start)).await;
    assert_eq!(missed.len(), 4);
    let answer = ask(&mut socket, &resume(&["measurements"], &start)).await;
    assert_eq!(
        (&answer["recovered"], &answer["replayed"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(socket.drain().await, [] as [Value; 0]);
}

#[tokio::test]
async fn who_gets_a_topic_already_and_resumes_it_under_load_gets_nothing_twice() {
    let server = Server::with(&[("IAQ_WS_THREADS", "2")]);
    let start = latest_id(&server).await;
    let clients = (0..12).map(|_| async {
        let mut socket = server.watch("?topics=measurements").await;
        let welcomed = Progress::from(&start, &SENSORS);
        socket.send(&resume(&["all"], &start)).await;
        let mut ids = Vec::new();
        while ids.len() < SENSORS.len() * LAST as usize {
            let message = socket.next().await;
            if message["type"] == "subscribed" {
                assert_eq!(message["recovered"], true);
                continue;
            }
            assert!(
                welcomed
                    .numbers
                    .contains_key(message["sensor_id"].as_str().unwrap())
            );
            ids.push(position(&message));
        }
        assert_eq!(socket.drain().await, [] as [Value; 0]);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), SENSORS.len() * LAST as usize);
    });
    let publishers = SENSORS.map(|sensor| publish(&server, sensor));
    tokio::join!(join_all(publishers), join_all(clients));
}

#[tokio::test]
async fn an_id_seen_on_one_shard_is_resumed_on_another_at_once() {
    const MESSAGES: u32 = 60;
    let server = Server::with(&[("IAQ_WS_THREADS", "2")]);
    let start = Progress::from(&latest_id(&server).await, &["a"]);
    // Connections go to the shards in turns, so these two are on different ones.
    let mut first = (server.watch("?topics=measurements").await, start.clone());
    let mut second = (server.watch("?topics=measurements").await, start);
    for each in 1..=MESSAGES {
        server.post(&numbered("a", each)).await;
        for (socket, progress) in [&mut first, &mut second] {
            progress.follow(&socket.next().await);
            // Again in turns: one of them is on the shard that may be behind.
            for _ in 0..2 {
                let (_, missed) = replayed(&server, &resume(&["all"], &progress.id)).await;
                assert_eq!(missed, [] as [Value; 0]);
            }
        }
    }
}

#[tokio::test]
async fn a_client_carries_its_progress_from_shard_to_shard_while_others_publish() {
    let server = Server::with(&[("IAQ_WS_THREADS", "2")]);
    let start = Progress::from(&latest_id(&server).await, &SENSORS);
    let hop = async {
        let mut progress = start.clone();
        while !progress.is_complete() {
            // As soon as one message has come.
            let mut socket = server.watch(NOTHING).await;
            let answer = ask(&mut socket, &resume(&["all"], &progress.id)).await;
            assert_eq!(answer["recovered"], true, "{answer}");
            for _ in 0..answer["replayed"].as_u64().unwrap().max(1) {
                progress.follow(&socket.next().await);
            }
        }
    };
    let publishers = SENSORS.map(|sensor| publish(&server, sensor));
    tokio::join!(join_all(publishers), hop);
}

#[tokio::test]
async fn host_metrics_are_replayed_among_the_measurements_in_the_order_they_came() {
    let server = Server::with(&[ONE_SHARD, ("IAQ_SYSTEM_INTERVAL", "50ms")]);
    let start = latest_id(&server).await;
    let mut witness = server.watch("").await;
    let (mut live, mut posted) = (Vec::new(), 0);
    while posted < 10 {
        // One reading behind each report, so that both are among what was missed.
        let message = witness.next().await;
        if message["type"] == "metrics_update" {
            posted += 1;
            server.accept(&numbered("a", posted)).await;
        }
        live.push(message);
    }
    let count = |kind: &str, of: &[Value]| of.iter().filter(|it| it["type"] == kind).count();
    for (topics, kinds) in [
        (&["all"][..], &["measurement", "metrics_update"][..]),
        (
            &["measurements", "system"],
            &["measurement", "metrics_update"],
        ),
        (&["system"], &["metrics_update"]),
        (&["measurements"], &["measurement"]),
    ] {
        let (_, missed) = replayed(&server, &resume(topics, &start)).await;
        let wanted = |message: &&Value| kinds.iter().any(|kind| message["type"] == *kind);
        let seen: Vec<_> = live.iter().filter(wanted).collect();
        assert!(
            missed
                .iter()
                .zip(&seen)
                .all(|(missed, seen)| missed == *seen),
            "{topics:?}"
        );
        assert!(missed.len() >= seen.len());
        assert_eq!(
            count("measurement", &missed) > 0,
            kinds.contains(&"measurement")
        );
        assert_eq!(
            count("metrics_update", &missed) > 0,
            kinds.contains(&"metrics_update")
        );
    }
}

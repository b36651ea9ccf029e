//! `iaqverse future`: readings that came while the clock was ahead, on databases of both kinds.

use crate::harness::{Ended, Run, Server, at_millis, command, from_now, millis_of};
use crate::ledger::seed;
use crate::place::{Kind, Place};
use pretty_assertions::assert_eq;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rstest::rstest;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const DAYS_AHEAD: i64 = 400;
/// Without it an export goes up to what the clock says.
const END: &str = "2100-01-01T00:00:00Z";

fn run(url: &str, arguments: &[&str]) -> Ended {
    Run::of(&mut with_database(url, arguments)).ended()
}

fn with_database(url: &str, arguments: &[&str]) -> Command {
    let mut command = command();
    command.args(arguments).env("DATABASE_URL", url);
    command
}

/// What went well printed.
fn printed(url: &str, arguments: &[&str]) -> String {
    let ended = run(url, arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.logged);
    ended.printed
}

fn listed(url: &str, further: &[&str]) -> Value {
    let arguments = [&["future", "list", "--format", "json"], further].concat();
    serde_json::from_str(&printed(url, &arguments)).unwrap()
}

/// All readings by time, sensor and everything else, without what is only shown.
fn readings(url: &str) -> Vec<Value> {
    let exported = printed(url, &["export", "--format", "ndjson", "--end", END]);
    let readings = exported
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    sorted(readings.collect())
}

fn sorted(mut readings: Vec<Value>) -> Vec<Value> {
    readings.sort_by_key(|reading| {
        let sensor = reading["sensor_id"].as_str().unwrap().to_owned();
        (millis_of(&reading["timestamp"]), sensor)
    });
    readings
}

/// The readings with those after a time moved back.
fn moved(readings: &[Value], after_ms: i64, by_ms: i64) -> Vec<Value> {
    let moved = readings.iter().map(|reading| {
        let mut reading = reading.clone();
        let at_ms = millis_of(&reading["timestamp"]);
        if at_ms > after_ms {
            reading["timestamp"] = at_millis(at_ms - by_ms).into();
        }
        reading
    });
    sorted(moved.collect())
}

fn in_five_minutes_ms() -> i64 {
    millis_of(&from_now(300).into())
}

fn start(url: &str) -> Server {
    Server::with(&[("DATABASE_URL", url), ("IAQ_LOG", "info")])
}

/// A server whose clock is ahead.
fn start_ahead(url: &str) -> Server {
    let offset = format!("+{DAYS_AHEAD}d");
    let mut faketime = Command::new("faketime");
    // It says itself what makes a program believe it.
    let told = faketime.args(["-m", "-f", &offset, "env"]).output();
    let told = String::from_utf8(told.expect("faketime is installed").stdout).unwrap();
    let preload = told
        .lines()
        .find_map(|line| line.strip_prefix("LD_PRELOAD="));
    Server::with(&[
        ("DATABASE_URL", url),
        ("IAQ_LOG", "info"),
        ("LD_PRELOAD", preload.unwrap()),
        ("FAKETIME", &offset),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ])
}

async fn stop(server: Server) {
    server.terminate();
    assert!(server.ended_well().await);
}

fn reading(sensor: &str, room: &str, at: Option<String>, co2: u32) -> Value {
    let mut reading = json!({"sensor_id": sensor, "enseigne": "M", "salle": room, "values": {"CO2": co2, "battery": 3.5}});
    if let Some(at) = at {
        reading["timestamp"] = at.into();
    }
    reading
}

/// Many readings, one each 20 s up to now on a clock.
fn many(sensor: &str, count: u32, days_ahead: i64) -> Value {
    let each = (0..count).map(|number| {
        let seconds = days_ahead * DAY_MS / 1000 - i64::from(number) * 20;
        reading(sensor, "B", Some(from_now(seconds)), 400 + number % 977)
    });
    each.collect()
}

/// A database with readings of the last hours, and those that came while the clock was ahead: many of
/// `a`, which has moved since, one of `b`, and all of `c`.
async fn after_a_wrong_clock(url: &str) {
    let server = start(url);
    server.accept(&many("a", 300, 0)).await;
    server
        .accept(&reading("b", "C", Some(from_now(-90)), 500))
        .await;
    stop(server).await;
    let server = start_ahead(url);
    server.accept(&many("a", 5000, DAYS_AHEAD)).await;
    server
        .accept(&json!([
            reading("a", "=moved", None, 501),
            reading("b", "C", None, 502)
        ]))
        .await;
    server.accept(&reading("c", "D", None, 503)).await;
    stop(server).await;
}

/// Means by the hour of everything.
async fn means(server: &Server) -> Value {
    let path =
        "/api/iaq/data?step=1h&minmax=true&start=2000-01-01T00:00:00Z&end=2100-01-01T00:00:00Z";
    server.get_json(path).await
}

#[rstest]
#[tokio::test]
async fn what_came_while_the_clock_was_ahead_is_listed_and_moved(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let place = Place::new(kind);
    let url = place.new_database().await;
    after_a_wrong_clock(&url).await;
    let before = readings(&url);
    let expected = moved(&before, in_five_minutes_ms(), DAYS_AHEAD * DAY_MS);
    assert_eq!(before.len(), 5304);

    let server = start(&url);
    check_lists(&url);
    let refused = run(&url, &["future", "move", "--by", "400d"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.logged.contains("another"), "{}", refused.logged);
    stop(server).await;
    let beyond = from_now(DAYS_AHEAD * DAY_MS / 1000 + 3600);
    assert_eq!(listed(&url, &["--after", &beyond]), json!([]));

    for (by, reason) in [
        ("30d", "timestamp_in_future"),
        ("30years", "timestamp_too_old"),
    ] {
        let ended = run(&url, &["future", "move", "--by", by]);
        assert_eq!(ended.code, Some(1), "{}", ended.logged);
        let stay = format!("5003 {reason}");
        assert!(ended.logged.contains(&stay), "{}", ended.logged);
        assert_eq!(readings(&url), before);
    }
    let ended = run(&url, &["future", "move", "--by", "400d"]);
    assert_eq!(ended.code, Some(0), "{}", ended.logged);
    let moved = "5003 new, 0 changed, 0 already there";
    assert!(ended.logged.contains(moved), "{}", ended.logged);
    assert_eq!(readings(&url), expected);
    assert_eq!(listed(&url, &[]), json!([]));
    check_like_an_import(&place, &url).await;
}

/// Looks at every form of the list of [`after_a_wrong_clock`].
fn check_lists(url: &str) {
    let rows = listed(url, &[]);
    let rows = rows.as_array().unwrap();
    let counts: Vec<_> = rows
        .iter()
        .map(|row| {
            let (first_ms, last_ms) = (millis_of(&row["first"]), millis_of(&row["last"]));
            assert!(
                in_five_minutes_ms() < first_ms && first_ms <= last_ms,
                "{row}"
            );
            let name = |key: &str| row[key].as_str().unwrap();
            (
                name("salle"),
                name("sensor_id"),
                row["count"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("=moved", "a", 1),
        ("B", "a", 5000),
        ("C", "b", 1),
        ("D", "c", 1),
    ];
    assert_eq!(counts, expected);
    let csv = printed(url, &["future", "list", "--format", "csv", "--sensor", "a"]);
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines[0], "enseigne,salle,sensor_id,count,first,last");
    assert!(lines[1].starts_with("M,'=moved,a,1,"), "{csv}");
    assert!(lines[2].starts_with("M,B,a,5000,"), "{csv}");
    assert_eq!(lines.len(), 3);
    let table = printed(url, &["future", "list"]);
    assert_eq!(table.lines().count(), 5, "{table}");
}

/// Compares a server with one into whose database the same readings were imported.
async fn check_like_an_import(place: &Place, url: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("readings.ndjson");
    std::fs::write(
        &file,
        printed(url, &["export", "--format", "ndjson", "--end", END]),
    )
    .unwrap();
    let other = place.new_database().await;
    printed(&other, &["import", file.to_str().unwrap()]);
    let (server, fresh) = (start(url), start(&other));
    assert_eq!(
        by_text(&means(&server).await),
        by_text(&means(&fresh).await)
    );
    for path in ["/api/latest", "/api/rooms"] {
        let (shown, expected) = (server.get_json(path).await, fresh.get_json(path).await);
        assert_eq!(by_text(&shown), by_text(&expected), "{path}");
    }
    let known = |sensors: &Value| -> Vec<Value> {
        let fields = [
            "sensor_id",
            "salle",
            "first_seen",
            "last_seen",
            "reading_count",
        ];
        let sensors = sensors.as_array().unwrap().iter();
        let known = sensors.map(|sensor| fields.map(|field| sensor[field].clone()).to_vec());
        known.map(Value::from).collect()
    };
    let (shown, expected) = (
        server.get_json("/api/sensors").await,
        fresh.get_json("/api/sensors").await,
    );
    assert_eq!(known(&shown), known(&expected));
    server.accept(&reading("a", "B", None, 600)).await;
    stop(server).await;
}

/// A list in an order that does not depend on the keys of sensors.
fn by_text(list: &Value) -> Vec<String> {
    let mut texts: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    texts.sort_unstable();
    texts
}

#[rstest]
#[tokio::test]
async fn what_is_in_the_future_is_removed_and_a_sensor_without_readings_posts_again(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let place = Place::new(kind);
    let url = place.new_database().await;
    let server = start(&url);
    server.accept(&many("a", 300, 0)).await;
    let before = means(&server).await;
    stop(server).await;
    let kept = readings(&url);
    let server = start_ahead(&url);
    server.accept(&many("a", 1500, DAYS_AHEAD)).await;
    server.accept(&reading("c", "D", None, 503)).await;
    stop(server).await;
    let all = readings(&url);

    let ended = run(&url, &["future", "remove"]);
    assert_eq!(ended.code, Some(1), "{}", ended.logged);
    assert!(ended.logged.contains("--yes"), "{}", ended.logged);
    assert_eq!(readings(&url), all);
    let shown = printed(&url, &["future", "remove", "--yes", "--sensor", "c"]);
    assert!(shown.contains('D') && !shown.contains('B'), "{shown}");
    assert_eq!(readings(&url).len(), all.len() - 1);
    for removed in ["1500 readings are removed", "nothing is to be removed"] {
        let ended = run(&url, &["future", "remove", "--yes"]);
        assert_eq!(ended.code, Some(0), "{}", ended.logged);
        assert!(ended.logged.contains(removed), "{}", ended.logged);
        assert_eq!(readings(&url), kept);
    }

    let server = start(&url);
    assert_eq!(means(&server).await, before);
    let sensors = server.get_json("/api/sensors").await;
    assert_eq!(sensors.as_array().unwrap().len(), 1, "{sensors}");
    assert_eq!(sensors[0]["reading_count"], 300);
    // A new one, and the one that is known without readings, which need not say where it is.
    server.accept(&reading("d", "E", None, 505)).await;
    server
        .accept(&json!({"sensor_id": "c", "values": {"CO2": 504}}))
        .await;
    let sensor = server.get_json("/api/sensors/c").await;
    assert_eq!(
        (&sensor["salle"], &sensor["reading_count"]),
        (&json!("D"), &json!(1))
    );
    stop(server).await;
    let server = start(&url);
    assert_eq!(
        server
            .get_json("/api/sensors")
            .await
            .as_array()
            .unwrap()
            .len(),
        3
    );
    stop(server).await;
}

#[rstest]
#[tokio::test]
async fn nothing_comes_to_lie_among_what_is_still_to_be_moved(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let place = Place::new(kind);
    let url = place.new_database().await;
    let server = start(&url);
    let after_ms = millis_of(&from_now(-3600).into());
    let minutes = |from: i64, to: i64| -> Value {
        let each = (from..to).map(|minute| {
            let at = Some(at_millis(after_ms + minute * 60_000));
            reading("a", "B", at, 500 + u32::try_from(minute + 10).unwrap())
        });
        each.collect()
    };
    server.accept(&minutes(-5, 11)).await;
    stop(server).await;
    let before = readings(&url);
    let arguments = [
        "future",
        "move",
        "--by",
        "3m",
        "--after",
        &at_millis(after_ms),
    ];
    let ended = run(&url, &arguments);
    assert_eq!(ended.code, Some(1), "{}", ended.logged);
    // What was stored under the new times is merged with, as by an import.
    assert!(
        ended.logged.contains("0 new, 3 changed, 0 already there"),
        "{}",
        ended.logged
    );
    assert!(
        ended.logged.contains("7 timestamp_in_future"),
        "{}",
        ended.logged
    );
    let mut expected = before.clone();
    for minute in 1..=3_usize {
        let from = minute + 5;
        expected[from - 3]["co2"] = before[from]["co2"].clone();
        expected[from - 3]["global_score"] = before[from]["global_score"].clone();
        expected[from - 3]["global_level"] = before[from]["global_level"].clone();
    }
    expected.drain(6..=8);
    assert_eq!(readings(&url), expected);
    assert_eq!(run(&url, &arguments).code, Some(1));
    assert_eq!(readings(&url), expected, "the second time");
}

#[rstest]
#[tokio::test]
async fn a_move_that_was_killed_at_any_moment_is_finished_by_another(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let place = Place::new(kind);
    let url = place.new_database().await;
    after_a_wrong_clock(&url).await;
    let after = from_now(600);
    let expected = moved(&readings(&url), in_five_minutes_ms(), DAYS_AHEAD * DAY_MS);
    let arguments = ["future", "move", "--by", "400d", "--after", &after];
    let mut random = StdRng::seed_from_u64(seed());
    for _ in 0..8 {
        let moving = Run::of(&mut with_database(&url, &arguments));
        moving.logged("the clock of this machine says");
        // Nothing is waited for: its end is where the kill falls, which is to be anywhere.
        tokio::time::sleep(random.random_range(Duration::ZERO..Duration::from_millis(400))).await;
        drop(moving);
    }
    let ended = run(&url, &arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.logged);
    assert_eq!(readings(&url), expected);
    let server = start(&url);
    let sensors = server.get_json("/api/sensors").await;
    let counts = sensors
        .as_array()
        .unwrap()
        .iter()
        .map(|sensor| &sensor["reading_count"]);
    assert_eq!(counts.collect::<Vec<_>>(), [5301, 2, 1]);
    stop(server).await;
}

#[rstest]
#[tokio::test]
async fn what_is_stored_already_is_only_taken_out_and_what_is_refused_stays(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let place = Place::new(kind);
    let url = place.new_database().await;
    let server = start(&url);
    let after_ms = millis_of(&from_now(-3600).into());
    let at = |seconds: i64| Some(at_millis(after_ms + seconds * 1000));
    let (there, later) = (
        reading("a", "B", at(-50), 501),
        reading("a", "B", at(10), 501),
    );
    let (mut full, refused) = (
        reading("a", "B", at(-40), 502),
        reading("a", "B", at(20), 503),
    );
    // As many further keys as a reading may have, so that one more cannot be merged in.
    full["values"] = (0..32)
        .map(|key| (format!("key{key}"), json!(key)))
        .collect();
    server.accept(&json!([there, later, full, refused])).await;
    stop(server).await;
    let before = readings(&url);
    let after = at_millis(after_ms);
    let ended = run(&url, &["future", "move", "--by", "1m", "--after", &after]);
    assert_eq!(ended.code, Some(1), "{}", ended.logged);
    for told in ["0 new, 0 changed, 1 already there", "1 too_many_keys"] {
        assert!(ended.logged.contains(told), "{}", ended.logged);
    }
    // What could be merged in was; the reading itself stays, because of the rest of it.
    let mut expected = [&before[..2], &before[3..]].concat();
    for key in ["co2", "global_score", "global_level"] {
        expected[1][key] = before[3][key].clone();
    }
    assert_eq!(readings(&url), expected);
}

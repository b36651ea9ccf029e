//! The commands beside `serve`, run like users run them.

use crate::harness::{Run, Server, Socket, client, command, database_url, example, millis_of};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

fn simulate(server: &Server, arguments: &[&str]) -> Run {
    let mut command = command();
    command
        .args(["simulate", "--seed", "7", "--url", &server.url("")])
        .args(arguments);
    Run::of(&mut command)
}

/// Measurements until `enough` says so.
async fn measurements(socket: &mut Socket, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let mut seen = Vec::new();
    while !enough(&seen) {
        let message = socket.next().await;
        assert_eq!(message["type"], "measurement", "{message}");
        seen.push(message);
    }
    seen
}

#[track_caller]
fn check_plausible(measurement: &Value) {
    for (key, lowest, highest) in [
        ("co2", 380.0, 5000.0),
        ("pm25", 0.0, 300.0),
        ("pm10", 0.0, 500.0),
        ("tvoc", 0.0, 5000.0),
        ("temperature", 5.0, 40.0),
        ("humidity", 10.0, 95.0),
        ("occupants", 0.0, 200.0),
        ("global_score", 0.0, 100.0),
    ] {
        let number = measurement[key].as_f64();
        let plausible = number.is_some_and(|number| (lowest..=highest).contains(&number));
        assert!(plausible, "{key}: {measurement}");
    }
    assert!(
        measurement["pm10"].as_f64() >= measurement["pm25"].as_f64(),
        "{measurement}"
    );
}

#[tokio::test]
async fn a_simulated_building_posts_plausible_readings() {
    let server = Server::start();
    let mut socket = server.watch("?topics=measurements").await;
    let simulation = simulate(&server, &["--rooms", "3", "--interval", "200ms"]);
    let seen = measurements(&mut socket, |seen| seen.len() >= 12).await;
    seen.iter().for_each(check_plausible);
    let mut of_each = HashMap::<_, usize>::new();
    for measurement in &seen {
        *of_each
            .entry(measurement["sensor_id"].as_str().unwrap())
            .or_default() += 1;
    }
    assert_eq!(of_each.len(), 3);
    assert!(of_each.values().all(|count| *count >= 3), "{of_each:?}");
    let rooms: HashSet<_> = seen
        .iter()
        .map(|one| one["salle"].as_str().unwrap())
        .collect();
    assert_eq!(rooms.len(), 3);
    simulation.interrupt();
    assert_eq!(simulation.ended().code, Some(0));
}

#[tokio::test]
async fn the_same_seed_is_the_same_building() {
    let mut buildings = Vec::new();
    for _ in 0..2 {
        let server = Server::start();
        let mut socket = server.watch("").await;
        let _simulation = simulate(&server, &["--rooms", "3", "--interval", "200ms"]);
        let seen = measurements(&mut socket, |seen| seen.len() >= 6).await;
        let mut sensors: Vec<_> = seen
            .iter()
            .map(|one| ["sensor_id", "enseigne", "salle"].map(|key| one[key].to_string()))
            .collect();
        sensors.sort();
        sensors.dedup();
        buildings.push(sensors);
    }
    assert_eq!(buildings[0], buildings[1]);
    assert_eq!(buildings[0].len(), 3);
}

#[tokio::test]
async fn a_backfill_makes_history() {
    let server = Server::start();
    let mut socket = server.watch("").await;
    let _simulation = simulate(
        &server,
        &[
            "--rooms",
            "3",
            "--interval",
            "200ms",
            "--backfill",
            "10min",
            "--backfill-step",
            "1min",
        ],
    );
    // Ten minutes of three sensors; what comes after them is live.
    let seen = measurements(&mut socket, |seen| seen.len() >= 36).await;
    assert!(seen.iter().all(|measurement| measurement["late"].is_null()));
    let history = server.get_json("/api/iaq/data?hours=1").await;
    let mut times = HashMap::<_, Vec<_>>::new();
    for record in history.as_array().unwrap() {
        check_plausible(record);
        let sensor = record["sensor_id"].as_str().unwrap();
        times
            .entry(sensor)
            .or_default()
            .push(millis_of(&record["timestamp"]));
    }
    assert_eq!(times.len(), 3);
    for (sensor, times) in times {
        let span_s = (times.last().unwrap() - times[0]) / 1000;
        assert!((540..=660).contains(&span_s), "{sensor}: {span_s} s");
        let minutes = times
            .windows(2)
            .filter(|pair| pair[1] - pair[0] == 60_000)
            .count();
        assert!(
            (8..=10).contains(&minutes),
            "{sensor}: {minutes} steps of a minute"
        );
    }
}

#[rstest]
#[case(&["--rooms", "0"], "rooms")]
#[case(&["--interval", "1ms"], "interval")]
#[case(&["--url", "ftp://127.0.0.1"], "target")]
#[case(&["--speed", "NaN"], "speed")]
#[test]
fn a_simulation_that_cannot_run_says_why(#[case] arguments: &[&str], #[case] why: &str) {
    let ended = Run::of(command().arg("simulate").args(arguments)).ended();
    assert_ne!(ended.code, Some(0));
    assert!(ended.logged.contains(why), "{}", ended.logged);
}

#[tokio::test]
async fn the_demo_shows_rooms_with_history() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Run::of(
        command()
            .args(["serve", "--demo"])
            .env("IAQ_BIND", "127.0.0.1:0")
            .env("IAQ_LOG_FORMAT", "json")
            .env("DATABASE_URL", database_url(folder.path())),
    );
    let line = demo.logged("listening on http://");
    let address = line
        .split_once("listening on http://")
        .unwrap()
        .1
        .split('"')
        .next()
        .unwrap();
    let mut socket = Socket::open(&format!("ws://{address}/ws?topics=measurements"), &[])
        .await
        .unwrap();
    assert_eq!(socket.next().await["type"], "connection");
    measurements(&mut socket, |seen| seen.len() >= 24).await;

    let get = async |path: &str| {
        let response = client()
            .get(format!("http://{address}{path}"))
            .send()
            .await
            .unwrap();
        response.json::<Value>().await.unwrap()
    };
    let sites = get("/api/rooms").await;
    let rooms: usize = sites
        .as_array()
        .unwrap()
        .iter()
        .map(|site| site["salles"].as_array().unwrap().len())
        .sum();
    assert_eq!(rooms, 12);
    assert_eq!(get("/api/sensors").await.as_array().unwrap().len(), 12);
    assert!(
        get("/api/iaq/data?hours=25")
            .await
            .as_array()
            .unwrap()
            .len()
            >= 24
    );
    demo.interrupt();
    assert_eq!(demo.ended().code, Some(0));
}

fn watch(server: &Server, arguments: &[&str]) -> Run {
    let url = format!("ws://{}/ws", server.address);
    Run::of(command().args(["watch", &url]).args(arguments))
}

fn message(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[tokio::test]
async fn watch_prints_as_many_messages_as_wanted_one_a_line() {
    let server = Server::start();
    let watching = watch(&server, &["--count", "3"]);
    assert_eq!(message(&watching.next_printed())["type"], "connection");
    for second in 0..3 {
        server
            .accept(&example(&format!("2025-11-19T10:05:0{second}Z")))
            .await;
    }
    let ended = watching.ended();
    assert_eq!(ended.code, Some(0));
    let lines: Vec<_> = ended.printed.lines().map(message).collect();
    let times: Vec<_> = lines
        .iter()
        .map(|line| line["timestamp"].as_str().unwrap())
        .collect();
    assert_eq!(times, ["2025-11-19T10:05:00Z", "2025-11-19T10:05:01Z"]);
    assert!(
        lines
            .iter()
            .all(|line| line["type"] == "measurement" && line["co2"] == 645)
    );
}

#[tokio::test]
async fn watch_shows_the_latest_readings_first_when_asked() {
    let server = Server::start();
    server.accept(&example("2025-11-19T10:05:00Z")).await;
    let ended = watch(
        &server,
        &["--snapshot", "--topics", "measurements", "--count", "3"],
    )
    .ended();
    let lines: Vec<_> = ended.printed.lines().map(message).collect();
    let types: Vec<_> = lines
        .iter()
        .map(|line| line["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["connection", "subscribed", "snapshot"]);
    assert_eq!(lines[0]["subscriptions"], json!(["measurements"]));
    assert_eq!(lines[2]["data"][0]["sensor_id"], "bureau1");
}

#[tokio::test]
async fn watch_ends_without_a_failure_when_interrupted() {
    let server = Server::start();
    let watching = watch(&server, &[]);
    watching.next_printed();
    watching.interrupt();
    assert_eq!(watching.ended().code, Some(0));
}

#[tokio::test]
async fn watch_comes_back_after_its_server_was_gone() {
    let server = Server::start();
    let watching = watch(&server, &[]);
    assert_eq!(message(&watching.next_printed())["type"], "connection");
    let _server = server.kill_and_restart();
    assert_eq!(message(&watching.next_printed())["type"], "connection");
    assert!(watching.logged("trying again").contains("ms"));
}

#[test]
fn watch_refuses_what_is_no_websocket() {
    let ended = Run::of(command().args(["watch", "http://127.0.0.1:1/"])).ended();
    assert_ne!(ended.code, Some(0));
    assert!(ended.logged.contains("ws://"), "{}", ended.logged);
}

#[rstest]
#[case::as_a_flag(true)]
#[case::as_a_variable(false)]
#[test]
fn healthcheck_tells_a_running_server_from_a_stopped_one(#[case] as_flag: bool) {
    let mut server = Server::start();
    let address = server.address.to_string();
    let check = || {
        let mut command = command();
        command.arg("healthcheck");
        if as_flag {
            command.args(["--bind", &address]);
        } else {
            command.env("IAQ_BIND", &address);
        }
        Run::of(&mut command).ended()
    };
    assert_eq!(check().code, Some(0));
    server.kill();
    let ended = check();
    assert_eq!(ended.code, Some(1));
    assert!(ended.logged.contains(&address), "{}", ended.logged);
}

#[test]
fn a_bad_setting_of_the_server_does_not_matter_to_a_command_without_it() {
    let server = Server::start();
    let mut check = command();
    check
        .args(["healthcheck", "--bind", &server.address.to_string()])
        .env("IAQ_WORKERS", "many");
    let ended = Run::of(&mut check).ended();
    assert_eq!(ended.code, Some(0), "{}", ended.logged);
}

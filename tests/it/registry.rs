//! Sensors and rooms renamed, moved, merged and removed, by calls and by commands.

use crate::access::stage::{Stage, admin, of_site, operator, viewer};
use crate::harness::{Server, ask, client, command, problem, subscribe};
use crate::place::{Kind, Place};
use crate::query::of;
use pretty_assertions::assert_eq;
use reqwest::{Method, Response};
use rstest::rstest;
use serde_json::{Value, json};

async fn call(server: &Server, method: Method, path: &str, body: &Value) -> Response {
    let request = client().request(method, server.url(path));
    let request = if body.is_null() {
        request
    } else {
        request.json(body)
    };
    request.send().await.unwrap()
}

async fn patch(server: &Server, path: &str, body: Value) -> Value {
    let response = call(server, Method::PATCH, path, &body).await;
    assert_eq!(response.status(), 200, "{path} {body}");
    response.json().await.unwrap()
}

async fn delete(server: &Server, path: &str) -> u16 {
    let response = call(server, Method::DELETE, path, &Value::Null).await;
    response.status().as_u16()
}

/// Time, sensor, room and CO2 of each record of a query.
async fn history(server: &Server, query: &str) -> Vec<(String, String, String, f64)> {
    let start = "start=2025-11-19T00:00:00Z&end=2025-11-22T00:00:00Z";
    let records = server
        .get_json(&format!("/api/iaq/data?{start}&{query}"))
        .await;
    let text = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
    let records = records.as_array().unwrap().iter();
    records
        .map(|record| {
            let co2 = record["co2"].as_f64().unwrap();
            (
                text(record, "timestamp"),
                text(record, "sensor_id"),
                text(record, "salle"),
                co2,
            )
        })
        .collect()
}

/// What a query shows of the names of sensors and rooms, each once.
async fn names(server: &Server, query: &str) -> Vec<(String, String)> {
    let records = history(server, query).await;
    let mut names: Vec<_> = records
        .into_iter()
        .map(|(_, sensor, room, _)| (sensor, room))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn pair(sensor: &str, room: &str) -> (String, String) {
    (sensor.to_owned(), room.to_owned())
}

/// CO2 of a sensor at a minute of the 19th of November 2025.
fn at_minute(sensor: &str, room: &str, minute: u32, co2: u32) -> Value {
    let time = format!("2025-11-19T{:02}:{:02}:00Z", minute / 60, minute % 60);
    of(sensor, "Maison", room, &time, json!({"CO2": co2}))
}

async fn post_all(server: &Server, readings: Vec<Value>) {
    let response = server.post(&Value::Array(readings)).await;
    assert_eq!(response.status(), 200);
}

async fn on(kind: Kind) -> (Place, Server) {
    let place = Place::new(kind);
    let url = place.new_database().await;
    let server = Server::with(&[("DATABASE_URL", &url)]);
    (place, server)
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn a_room_that_is_renamed_keeps_everything_and_its_old_name_leads_there(#[case] kind: Kind) {
    let (_place, server) = on(kind).await;
    let welcome = server.socket("").await.next().await;
    post_all(
        &server,
        vec![
            at_minute("a", "Bureua", 1, 500),
            at_minute("b", "Autre", 1, 600),
        ],
    )
    .await;
    let mut socket = server.watch("?topics=alerts").await;
    let mut wanted = subscribe(&["measurements"]);
    wanted["filter"] = json!({"salle": "Bureua"});
    ask(&mut socket, &wanted).await;

    let renamed = json!({"enseigne": "Maison", "salle": "Bureua", "to": {"salle": "Bureau"}});
    let room = patch(&server, "/api/rooms", renamed).await;
    assert_eq!(room["salle"], "Bureau");
    assert_eq!(room["merged"], false);
    assert_eq!(
        room["aliases"],
        json!([{"enseigne": "Maison", "salle": "Bureua"}])
    );
    for name in ["Bureau", "Bureua"] {
        let query = format!("salle={name}");
        assert_eq!(names(&server, &query).await, [pair("a", "Bureau")]);
        assert_eq!(
            names(&server, &format!("{query}&step=1h")).await,
            [pair("a", "Bureau")]
        );
        let latest = server.get_json(&format!("/api/latest?salle={name}")).await;
        assert_eq!(latest[0]["salle"], "Bureau");
    }
    // The device goes on under the name it knows, and so does whoever listens.
    let answer = server.accept(&at_minute("a", "Bureua", 2, 510)).await;
    assert_eq!(answer["status"], "success");
    let message = socket.next().await;
    assert_eq!(
        (&message["sensor_id"], &message["salle"]),
        (&json!("a"), &json!("Bureau"))
    );
    // What is told again to somebody who was away, and asks by the old name, has the name of now.
    server.accept(&at_minute("a", "Bureua", 3, 520)).await;
    let mut later = server.watch("?topics=alerts").await;
    let mut wanted = subscribe(&["measurements"]);
    wanted["filter"] = json!({"salle": "Bureua"});
    wanted["since"] = welcome["id"].clone();
    let subscribed = ask(&mut later, &wanted).await;
    assert_eq!(
        (&subscribed["recovered"], &subscribed["replayed"]),
        (&json!(true), &json!(3))
    );
    for _ in 0..3 {
        assert_eq!(later.next().await["salle"], "Bureau");
    }

    let server = server.kill_and_restart();
    assert_eq!(names(&server, "salle=Bureua").await, [pair("a", "Bureau")]);
    let sites = server.get_json("/api/rooms").await;
    let rooms: Vec<_> = sites[0]["salles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|room| &room["salle"])
        .collect();
    assert_eq!(rooms, ["Autre", "Bureau"]);
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn rooms_become_one_with_their_means(#[case] kind: Kind) {
    let (_place, server) = on(kind).await;
    post_all(
        &server,
        vec![
            at_minute("a", "Salon", 1, 400),
            at_minute("a", "salon", 2, 800),
            at_minute("b", "Salon", 3, 500),
        ],
    )
    .await;
    let merged = json!({"enseigne": "Maison", "salle": "salon", "to": {"salle": "Salon"}});
    let room = patch(&server, "/api/rooms", merged).await;
    assert_eq!(
        (&room["merged"], &room["readings_moved"]),
        (&json!(true), &json!(1))
    );
    let server = server.kill_and_restart();
    let hourly = history(&server, "step=1h&sensor_id=a").await;
    let hour = "2025-11-19T00:00:00Z".to_owned();
    assert_eq!(hourly, [(hour, "a".to_owned(), "Salon".to_owned(), 600.0)]);
    // Both names are one room to devices, and nobody can tell them apart any more.
    server.accept(&at_minute("b", "salon", 4, 500)).await;
    assert_eq!(
        names(&server, "").await,
        [pair("a", "Salon"), pair("b", "Salon")]
    );
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn a_device_that_replaced_another_goes_on_with_its_history(#[case] kind: Kind) {
    let (_place, server) = on(kind).await;
    let old = (0..200).map(|minute| at_minute("esp-1", "Bureau", minute, 500));
    let new = (190..400).map(|minute| at_minute("esp-2", "Bureau", minute, 700));
    post_all(&server, old.chain(new).collect()).await;
    let mut socket = server.watch("?topics=alerts").await;
    let mut wanted = subscribe(&["measurements"]);
    wanted["filter"] = json!({"sensor_id": "esp-2"});
    ask(&mut socket, &wanted).await;

    let response = call(
        &server,
        Method::POST,
        "/api/sensors/esp-2/merge",
        &json!({"into": "esp-1"}),
    )
    .await;
    assert_eq!(response.status(), 200);
    let sensor: Value = response.json().await.unwrap();
    assert_eq!(
        (
            &sensor["sensor_id"],
            &sensor["reading_count"],
            &sensor["aliases"]
        ),
        (&json!("esp-1"), &json!(400), &json!(["esp-2"]))
    );
    assert_eq!(sensor["last_seen"], "2025-11-19T06:39:00Z");
    server.accept(&at_minute("esp-2", "Bureau", 400, 710)).await;
    assert_eq!(socket.next().await["sensor_id"], "esp-1");
    let again = server.accept(&at_minute("esp-2", "Bureau", 300, 700)).await;
    assert_eq!(again["duplicate"], true);

    let server = server.kill_and_restart();
    let records = history(&server, "sensor_id=esp-2").await;
    assert_eq!(records.len(), 401);
    assert!(records.iter().all(|(_, sensor, _, _)| sensor == "esp-1"));
    // Where both had a reading, the one it became keeps its own.
    let co2: Vec<_> = records.iter().map(|(.., co2)| *co2).collect();
    assert_eq!((co2[195], co2[205]), (500.0, 700.0));
    assert_eq!(
        server
            .get_json("/api/sensors")
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // Then a third device gets the id, which is none of theirs any more.
    assert_eq!(delete(&server, "/api/sensors/esp-2").await, 204);
    server.accept(&at_minute("esp-2", "Bureau", 401, 900)).await;
    assert_eq!(
        names(&server, "sensor_id=esp-2").await,
        [pair("esp-2", "Bureau")]
    );
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn a_sensor_that_was_carried_is_moved_from_a_time_on_and_stays_there(#[case] kind: Kind) {
    let (_place, server) = on(kind).await;
    post_all(
        &server,
        (0..120)
            .map(|minute| at_minute("a", "Cave", minute, 400))
            .collect(),
    )
    .await;
    let moved = json!({"salle": "Salon", "since": "2025-11-19T01:00:00Z"});
    let sensor = patch(&server, "/api/sensors/a", moved).await;
    assert_eq!(
        (
            &sensor["salle"],
            &sensor["pinned"],
            &sensor["readings_moved"]
        ),
        (&json!("Salon"), &json!(true), &json!(60))
    );
    let server = server.kill_and_restart();
    assert_eq!(history(&server, "salle=Cave").await.len(), 60);
    let hourly = history(&server, "step=1h").await;
    let rooms: Vec<_> = hourly.iter().map(|(.., room, _)| room.as_str()).collect();
    assert_eq!(rooms, ["Cave", "Salon"]);

    // The device still says where it stood, which is ignored and told; what is from before is not.
    let answer = server.accept(&at_minute("a", "Cave", 130, 410)).await;
    assert_eq!(answer["status"], "partial");
    assert_eq!(answer["ignored"][0]["code"], "pinned");
    assert_eq!(answer["ignored"][0]["pointer"], "/salle");
    let late = of(
        "a",
        "Maison",
        "Cave",
        "2025-11-19T00:30:30Z",
        json!({"CO2": 405}),
    );
    assert_eq!(server.accept(&late).await["status"], "success");
    assert_eq!(history(&server, "salle=Cave").await.len(), 61);
    assert_eq!(history(&server, "salle=Salon").await.len(), 61);

    let sensor = patch(&server, "/api/sensors/a", json!({"pinned": false})).await;
    assert_eq!(sensor["pinned"], false);
    server.accept(&at_minute("a", "Cave", 131, 410)).await;
    assert_eq!(server.get_json("/api/sensors/a").await["salle"], "Cave");
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn what_is_removed_goes_with_or_without_its_readings(#[case] kind: Kind) {
    let (_place, server) = on(kind).await;
    post_all(
        &server,
        vec![
            at_minute("test", "Essai", 1, 400),
            at_minute("kept", "Essai", 1, 500),
            at_minute("kept", "Salon", 2, 510),
        ],
    )
    .await;
    let room = "/api/rooms?enseigne=Maison&salle=Essai&readings=remove";
    let in_use = call(&server, Method::DELETE, room, &Value::Null).await;
    problem(in_use, 409, "room_in_use").await;
    assert_eq!(
        delete(&server, "/api/sensors/test?readings=remove").await,
        204
    );
    assert_eq!(delete(&server, "/api/sensors/test").await, 404);
    assert_eq!(
        names(&server, "").await,
        [pair("kept", "Essai"), pair("kept", "Salon")]
    );
    assert_eq!(delete(&server, room).await, 204);
    let server = server.kill_and_restart();
    assert_eq!(names(&server, "").await, [pair("kept", "Salon")]);
    let sensor = server.get_json("/api/sensors/kept").await;
    assert_eq!(sensor["reading_count"], 1);

    // A sensor whose readings are kept is shown nowhere but in history, until it sends again.
    assert_eq!(delete(&server, "/api/sensors/kept").await, 204);
    assert_eq!(server.get_json("/api/sensors").await, json!([]));
    assert_eq!(server.get_json("/api/latest").await, json!([]));
    assert_eq!(
        names(&server, "sensor_id=kept").await,
        [pair("kept", "Salon")]
    );
    let server = server.kill_and_restart();
    assert_eq!(server.get_json("/api/latest").await, json!([]));
    let again = server.accept(&at_minute("kept", "Salon", 2, 510)).await;
    assert_eq!(again["duplicate"], true);
    server.accept(&at_minute("kept", "Salon", 3, 520)).await;
    let server = server.kill_and_restart();
    assert_eq!(server.get_json("/api/sensors").await[0]["reading_count"], 2);
    // An id and a room that are gone are free.
    server.accept(&at_minute("test", "Essai", 9, 450)).await;
    assert_eq!(
        names(&server, "sensor_id=test").await,
        [pair("test", "Essai")]
    );
}

#[tokio::test]
async fn an_id_that_posts_from_two_rooms_is_told() {
    let server = Server::start();
    for second in 0..4_i64 {
        let room = if second % 2 == 0 { "Salon" } else { "Cave" };
        let time = crate::harness::from_now(second - 10);
        server
            .accept(&of("twice", "Maison", room, &time, json!({"CO2": 600})))
            .await;
    }
    let sensor = server.get_json("/api/sensors/twice").await;
    let rooms = json!([
        {"enseigne": "Maison", "salle": "Salon"},
        {"enseigne": "Maison", "salle": "Cave"},
    ]);
    assert_eq!(sensor["conflict"], rooms);
    server.accept(&at_minute("once", "Salon", 1, 600)).await;
    assert_eq!(
        server.get_json("/api/sensors/once").await["conflict"],
        Value::Null
    );
}

#[tokio::test]
async fn the_unit_that_a_person_says_is_not_taken_for_granted() {
    let server = Server::start();
    server.accept(&at_minute("a", "Salon", 1, 400)).await;
    let said = json!({"tvoc_unit": "mg/m3", "model": "SGP40"});
    let sensor = patch(&server, "/api/sensors/a", said).await;
    assert_eq!(
        (&sensor["tvoc_unit"], &sensor["model"]),
        (&json!("mg/m3"), &json!("SGP40"))
    );
    let server = server.kill_and_restart();
    let tvoc = |minute| {
        let time = format!("2025-11-19T01:{minute:02}:00Z");
        of("a", "Maison", "Salon", &time, json!({"TVOC": 1}))
    };
    let answer = server.accept(&tvoc(1)).await;
    assert_eq!(answer["assumed"], Value::Null);
    let in_ppb = server.get_json("/api/latest").await[0]["tvoc"]
        .as_f64()
        .unwrap();
    assert!(in_ppb > 100.0, "{in_ppb}");
    let sensor = patch(&server, "/api/sensors/a", json!({"tvoc_unit": null})).await;
    assert_eq!(
        (&sensor["tvoc_unit"], &sensor["model"]),
        (&Value::Null, &json!("SGP40"))
    );
    assert!(server.accept(&tvoc(2)).await["assumed"].is_array());
}

/// A wrong change: method, path, body, and the status, code and pointer that it is answered with.
type Wrong = (
    &'static str,
    &'static str,
    &'static str,
    u16,
    &'static str,
    &'static str,
);

#[rustfmt::skip]
const WRONG: &[Wrong] = &[
    ("PATCH", "/api/sensors/none", r#"{"model": "x"}"#, 404, "not_found", ""),
    ("PATCH", "/api/sensors/a", r#"{"sensor_id": "b"}"#, 409, "sensor_id_taken", ""),
    ("PATCH", "/api/sensors/a", r#"{"sensor_id": "é"}"#, 422, "bad_body", "/sensor_id"),
    ("PATCH", "/api/sensors/a", r#"{"salles": "x"}"#, 422, "bad_body", "/salles"),
    ("PATCH", "/api/sensors/a", r#"{"since": "2025-11-19T00:00:00Z"}"#, 422, "bad_body", "/since"),
    ("PATCH", "/api/sensors/a", r#"{"salle": "x", "since": "2125-11-19T00:00:00Z"}"#, 422, "bad_body", "/since"),
    ("PATCH", "/api/sensors/a", r#"{"salle": "x", "pinned": false}"#, 422, "bad_body", "/pinned"),
    ("PATCH", "/api/sensors/a", r#"{"pinned": "no"}"#, 422, "bad_body", "/pinned"),
    ("PATCH", "/api/sensors/a", r#"{"tvoc_unit": "stone"}"#, 422, "bad_body", "/tvoc_unit"),
    ("PATCH", "/api/sensors/a", "{}", 422, "bad_body", ""),
    ("POST", "/api/sensors/a/merge", "{}", 422, "bad_body", "/into"),
    ("POST", "/api/sensors/a/merge", r#"{"into": "a"}"#, 422, "bad_body", "/into"),
    ("POST", "/api/sensors/a/merge", r#"{"into": "none"}"#, 404, "not_found", ""),
    ("DELETE", "/api/sensors/a?readings=maybe", "null", 422, "bad_parameter", "/readings"),
    ("PATCH", "/api/rooms", r#"{"enseigne": "Maison", "salle": "Salon"}"#, 422, "bad_body", "/to"),
    ("PATCH", "/api/rooms", r#"{"enseigne": "Maison", "salle": "Salon", "to": {"name": "x"}}"#, 422, "bad_body", "/to"),
    ("PATCH", "/api/rooms", r#"{"enseigne": "Maison", "salle": "Nulle", "to": {"salle": "x"}}"#, 404, "not_found", ""),
    ("DELETE", "/api/rooms?enseigne=Maison", "null", 422, "bad_parameter", "/salle"),
    ("DELETE", "/api/rooms?enseigne=Maison&salle=Nulle", "null", 404, "not_found", ""),
];

#[tokio::test]
async fn what_is_wrong_with_a_change_is_told() {
    let server = Server::start();
    post_all(
        &server,
        vec![
            at_minute("a", "Salon", 1, 400),
            at_minute("b", "Cave", 1, 400),
        ],
    )
    .await;
    for (method, path, body, status, code, pointer) in WRONG {
        let what = format!("{method} {path} {body}");
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let body = serde_json::from_str(body).unwrap();
        let response = call(&server, method, path, &body).await;
        let told = problem(response, *status, code).await;
        if !pointer.is_empty() {
            assert_eq!(told["errors"][0]["pointer"], *pointer, "{what} {told}");
        }
    }
}

/// What an operator of Maison asks for, and what that is answered with.
#[rustfmt::skip]
const OF_ONE_SITE: &[(&str, &str, u16)] = &[
    ("PATCH /api/sensors/b", r#"{"model": "x"}"#, 404),
    ("PATCH /api/sensors/a", r#"{"model": "x"}"#, 200),
    ("PATCH /api/sensors/a", r#"{"enseigne": "Bureau"}"#, 422),
    ("PATCH /api/sensors/c", r#"{"sensor_id": "d"}"#, 403),
    ("POST /api/sensors/a/merge", r#"{"into": "b"}"#, 404),
    ("POST /api/sensors/a/merge", r#"{"into": "c"}"#, 403),
    ("DELETE /api/sensors/c?readings=remove", "null", 403),
    ("PATCH /api/rooms", r#"{"enseigne": "Bureau", "salle": "Hall", "to": {"salle": "x"}}"#, 404),
    ("PATCH /api/rooms", r#"{"enseigne": "Maison", "salle": "Salon", "to": {"enseigne": "Bureau"}}"#, 422),
    ("DELETE /api/rooms?enseigne=Bureau&salle=Hall", "null", 404),
];

#[tokio::test]
async fn an_operator_changes_what_is_at_the_own_sites_and_nothing_else() {
    let server = Stage::new().await;
    let post = |reading| {
        let server = &server;
        async move {
            let taken = server
                .call("POST /api/ingest", &operator(), Some(&reading))
                .await;
            assert_eq!(taken.status(), 200);
        }
    };
    let time = |minute| format!("2025-11-19T00:{minute:02}:00Z");
    post(of("a", "Maison", "Salon", &time(1), json!({"CO2": 400}))).await;
    post(of("b", "Bureau", "Hall", &time(1), json!({"CO2": 400}))).await;
    post(of("c", "Bureau", "Hall", &time(1), json!({"CO2": 400}))).await;
    post(of("c", "Maison", "Salon", &time(2), json!({"CO2": 400}))).await;
    let own = of_site("operator", "Maison");
    for (call, body, status) in OF_ONE_SITE {
        let body: Value = serde_json::from_str(body).unwrap();
        let body = (!body.is_null()).then_some(&body);
        let answer = server.call(call, &own, body).await;
        assert_eq!(answer.status(), *status, "{call} {body:?}");
    }
    let model = json!({"model": "x"});
    let refused = server
        .call("PATCH /api/sensors/a", &viewer(), Some(&model))
        .await;
    assert_eq!(refused.status(), 403);
}

fn run(url: &str, arguments: &[&str]) -> (bool, String, String) {
    let mut command = command();
    command.env("DATABASE_URL", url).args(arguments);
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn commands_do_the_same_while_no_server_runs(#[case] kind: Kind) {
    let place = Place::new(kind);
    let url = place.new_database().await;
    let server = Server::with(&[("DATABASE_URL", &url)]);
    post_all(
        &server,
        vec![
            at_minute("a", "Salon", 1, 400),
            at_minute("b", "Cave", 1, 500),
        ],
    )
    .await;
    let (done, _, said) = run(&url, &["sensor", "rename", "a", "c"]);
    assert!(!done && said.contains("/api/sensors"), "{said}");
    server.terminate();
    assert!(server.ended_well().await);
    for arguments in [
        &["sensor", "rename", "a", "salon-1"][..],
        &[
            "sensor",
            "move",
            "b",
            "--salle",
            "Grenier",
            "--since",
            "2025-11-19T00:00:00Z",
        ],
        &[
            "room",
            "rename",
            "--enseigne",
            "Maison",
            "--salle",
            "Salon",
            "--to-salle",
            "Séjour",
        ],
        &["sensor", "merge", "b", "--into", "salon-1"],
        &[
            "room",
            "remove",
            "--enseigne",
            "Maison",
            "--salle",
            "Cave",
            "--readings",
            "remove",
        ],
    ] {
        let (done, _, said) = run(&url, arguments);
        assert!(done, "{arguments:?}: {said}");
    }
    let (_, sensors, _) = run(&url, &["sensor", "list"]);
    let mut fields: Vec<_> = sensors.trim().split('\t').collect();
    fields.truncate(3);
    assert_eq!(fields[0..2], ["salon-1", "Maison"], "{sensors}");
    let (_, rooms, _) = run(&url, &["room", "list"]);
    assert_eq!(rooms, "Maison\tGrenier\nMaison\tSéjour\n");
    let (done, _, said) = run(&url, &["sensor", "rename", "nobody", "d"]);
    assert!(!done && said.contains("there is no such sensor"), "{said}");

    let server = Server::with(&[("DATABASE_URL", &url)]);
    let records = history(&server, "sensor_id=salon-1").await;
    let co2: Vec<_> = records.iter().map(|(.., co2)| *co2).collect();
    assert_eq!(co2, [400.0]);
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn what_is_removed_while_it_sends_is_new_again_and_costs_nobody_else(#[case] kind: Kind) {
    let (_place, server) = on(kind).await;
    let many = (0..3000).map(|minute| at_minute("big", "Essai", minute % 1440, 400));
    post_all(&server, many.collect()).await;
    for round in 0..5 {
        let removed = delete(&server, "/api/sensors/big?readings=remove");
        let other = at_minute("other", "Salon", round, 500);
        let again = at_minute("big", "Essai", round, 600);
        let both = Value::Array(vec![other, again]);
        let (removed, taken) = tokio::join!(removed, server.post(&both));
        // Whichever of the two was first.
        assert!([204, 404].contains(&removed), "{removed}");
        assert_eq!(taken.status(), 200, "{round}");
    }
    delete(&server, "/api/sensors/big?readings=remove").await;
    for round in 0..5 {
        let room = "/api/rooms?enseigne=Maison&salle=Essai&readings=remove";
        let status = delete(&server, room).await;
        assert!([204, 404, 409].contains(&status), "{status}");
        let taken = server
            .post(&at_minute("other", "Salon", 10 + round, 500))
            .await;
        assert_eq!(taken.status(), 200);
    }
    let server = server.kill_and_restart();
    assert_eq!(names(&server, "").await, [pair("other", "Salon")]);
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn a_move_that_is_cut_off_goes_on_after_the_start(#[case] kind: Kind) {
    let (_place, server) = on(kind).await;
    for part in 0..6 {
        let readings = (0..9000).map(|second| {
            let second = part * 9000 + second;
            let time = format!(
                "2025-11-{:02}T{:02}:{:02}:{:02}Z",
                19 + second / 86_400,
                second / 3600 % 24,
                second / 60 % 60,
                second % 60
            );
            of("a", "Maison", "Cave", &time, json!({"CO2": 400}))
        });
        post_all(&server, readings.collect()).await;
    }
    let moved = json!({"salle": "Salon", "since": "2025-11-19T00:00:00Z"});
    let asked = client().patch(server.url("/api/sensors/a")).json(&moved);
    // It has begun as soon as the sensor stands there.
    let begun = async { while server.get_json("/api/sensors/a").await["salle"] != "Salon" {} };
    tokio::select! {
        answer = asked.send() => assert_eq!(answer.unwrap().status(), 200),
        () = begun => {}
    }
    let server = server.kill_and_restart();
    // A change waits until the one before it is done.
    patch(&server, "/api/sensors/a", json!({"model": "carried"})).await;
    assert_eq!(history(&server, "salle=Cave&step=1d").await, []);
    let daily = server
        .get_json(
            "/api/iaq/data?start=2025-11-19T00:00:00Z&end=2025-11-22T00:00:00Z&step=1d&minmax=true",
        )
        .await;
    assert_eq!(
        (&daily[0]["count"], &daily[0]["salle"]),
        (&json!(54_000), &json!("Salon"))
    );
}

#[tokio::test]
async fn who_may_write_is_decided_by_where_a_reading_ends() {
    let stage = Stage::new().await;
    let body = |sensor: &str, site: Option<&str>, room: Option<&str>, minute: u32| {
        let mut body = json!({"sensor_id": sensor, "values": {"CO2": 500},
            "timestamp": format!("2025-11-19T00:{minute:02}:00Z")});
        body["enseigne"] = json!(site);
        body["salle"] = json!(room);
        body
    };
    let key = |site: &str| json!({"sensors": ["*"], "sites": [site]});
    let (_, here) = stage.device(&key("Maison")).await;
    let (_, there) = stage.device(&key("Bureau")).await;
    let status = async |who, body| {
        let response = stage.call("POST /api/ingest", who, Some(&body)).await;
        response.status().as_u16()
    };
    let change = async |call: &str, body| stage.json(call, &admin(), Some(&body)).await;
    assert_eq!(
        status(&here, body("s3", Some("Maison"), Some("Old"), 1)).await,
        200
    );
    // A room that is elsewhere now is not written to by its name of before.
    let moved = json!({"enseigne": "Maison", "salle": "Old",
        "to": {"enseigne": "Bureau", "salle": "New"}});
    assert_eq!(
        status(&here, body("s4", Some("Maison"), Some("Salon"), 1)).await,
        200
    );
    change("PATCH /api/rooms", moved).await;
    assert_eq!(
        status(&here, body("s4", Some("Maison"), Some("Old"), 2)).await,
        403
    );
    assert_eq!(status(&here, body("s4", None, Some("Old"), 2)).await, 403);
    // A sensor that a person has moved is of the site where it stands, and what is from before is not.
    let pinned = json!({"enseigne": "Bureau", "salle": "Hall", "since": "2025-11-19T00:10:00Z"});
    change("PATCH /api/sensors/s4", pinned).await;
    assert_eq!(status(&here, body("s4", None, None, 20)).await, 403);
    assert_eq!(status(&there, body("s4", None, None, 20)).await, 200);
    assert_eq!(status(&there, body("s4", None, None, 5)).await, 403);
    assert_eq!(status(&there, body("s4", None, Some("evil"), 5)).await, 403);
    // Nor does an operator of one site take over what was measured at another.
    let taken = json!({"salle": "Bureau 2", "since": "2025-11-19T00:00:00Z"});
    let operator = of_site("operator", "Bureau");
    let refused = stage
        .call("PATCH /api/sensors/s4", &operator, Some(&taken))
        .await;
    assert_eq!(refused.status(), 403);
}

#[tokio::test]
async fn rooms_that_became_one_count_once_and_old_names_keep_their_site() {
    let server = Server::with(&[("IAQ_ROOMS_MAX", "3")]);
    post_all(
        &server,
        vec![
            at_minute("a", "r1", 1, 400),
            at_minute("b", "r2", 1, 400),
            at_minute("c", "r3", 1, 400),
        ],
    )
    .await;
    for room in ["r2", "r3"] {
        let merged = json!({"enseigne": "Maison", "salle": room, "to": {"salle": "r1"}});
        patch(&server, "/api/rooms", merged).await;
    }
    server.accept(&at_minute("a", "r4", 2, 400)).await;
    let away = json!({"enseigne": "Maison", "salle": "r1", "to": {"enseigne": "Autre"}});
    patch(&server, "/api/rooms", away).await;
    let again = json!({"enseigne": "Maison", "salle": "r2", "to": {"salle": "Accueil"}});
    let room = patch(&server, "/api/rooms", again).await;
    assert_eq!(
        (&room["enseigne"], &room["salle"]),
        (&json!("Autre"), &json!("Accueil"))
    );
}

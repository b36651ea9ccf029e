//! One row of the database that nothing valid could have left there: it is named, the server starts, and
//! everybody else's readings are taken and shown as before.

use crate::harness::{Server, faults, problem};
use crate::ledger::note;
use crate::place::{Kind, Place};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

const BROKEN: &str = "broken";
const WHOLE: &str = "whole";
const ALL: &str = "/api/iaq/data?raw=true&start=2025-01-01T00:00:00Z&end=2026-01-01T00:00:00Z";

fn of(sensor: &str, minute: u32, co2: u32) -> Value {
    json!({"sensor_id": sensor, "enseigne": "Maison", "salle": format!("Salle {sensor}"),
        "timestamp": format!("2025-11-19T10:{minute:02}:00Z"), "values": {"CO2": co2}})
}

async fn execute(url: &str, statement: &str) {
    let statement = AssertSqlSafe(statement.to_owned());
    if url.starts_with("postgres") {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let executed = sqlx::raw_sql(statement).execute(&mut connection).await;
        assert_eq!(executed.unwrap().rows_affected(), 1);
        connection.close().await.unwrap();
    } else {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        sqlx::raw_sql("pragma foreign_keys = off")
            .execute(&mut connection)
            .await
            .unwrap();
        let executed = sqlx::raw_sql(statement).execute(&mut connection).await;
        assert_eq!(executed.unwrap().rows_affected(), 1);
        connection.close().await.unwrap();
    }
}

fn start(url: &str) -> Server {
    Server::with(&[("DATABASE_URL", url), ("IAQ_LOG", "info")])
}

/// Everything settled, then something damaged while no server runs.
async fn damaged(url: &str, statements: &[String]) -> (Server, Value) {
    let server = start(url);
    for minute in 0..5 {
        let readings = json!([
            of(WHOLE, minute, 500 + minute),
            of(BROKEN, minute, 700 + minute)
        ]);
        server.accept(&readings).await;
    }
    let sensors = server.get_json("/api/sensors").await;
    server.terminate();
    assert!(server.ended_well().await);
    for statement in statements {
        execute(url, statement).await;
    }
    (start(url), sensors)
}

fn of_sensor<'a>(sensors: &'a Value, sensor: &str) -> Option<&'a Value> {
    let mut sensors = sensors.as_array().unwrap().iter();
    sensors.find(|one| one["sensor_id"] == sensor)
}

async fn history_of(server: &Server, sensor: &str) -> Vec<Value> {
    let history = server.get_json(&format!("{ALL}&sensor_id={sensor}")).await;
    let rows = history.as_array().unwrap().iter();
    rows.map(|row| row["co2"].clone()).collect()
}

/// The others go on, also together with the damaged one, and after another start.
async fn check_whole(server: &Server, minute: u32) {
    let answer = server
        .post(&json!([of(BROKEN, minute, 1), of(WHOLE, minute, 600)]))
        .await;
    assert!([200, 207].contains(&answer.status().as_u16()));
    let new = server.post(&of(&format!("new{minute}"), minute, 900)).await;
    assert_eq!(new.status(), 200);
    assert!(history_of(server, WHOLE).await.contains(&json!(600)));
    assert_eq!(server.get("/health/ready").await.status(), 200);
}

async fn started_again(server: Server, url: &str) -> Server {
    server.terminate();
    assert!(server.ended_well().await);
    start(url)
}

/// What is done to the columns of a sensor, one after the other.
const DAMAGES: [&str; 9] = [
    "reading_count = -1",
    "first_ms = null",
    "latest = null",
    "latest = BYTES",
    "latest = NONE",
    "newest_ms = 9000000000000000000",
    "newest_ms = -9000000000000000000",
    "state = BYTES",
    "state = NONE",
];

#[rstest]
#[tokio::test]
async fn what_a_damaged_row_said_is_made_again_of_the_readings(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let place = Place::new(kind);
    let (bytes, none) = match kind {
        Kind::Sqlite => ("x'ff01'", "x''"),
        Kind::Postgres => (r"'\xff01'::bytea", r"'\x'::bytea"),
    };
    for damage in DAMAGES {
        let url = place.new_database().await;
        let damage = damage.replace("BYTES", bytes).replace("NONE", none);
        note(&damage);
        let damage = format!("update sensors set {damage} where sensor_id = '{BROKEN}'");
        let (server, before) = damaged(&url, &[damage]).await;
        let sensors = server.get_json("/api/sensors").await;
        let known = |sensors: &Value| {
            let sensor = of_sensor(sensors, BROKEN).unwrap();
            ["first_seen", "last_seen", "reading_count", "salle"].map(|key| sensor[key].clone())
        };
        assert_eq!(known(&sensors), known(&before));
        assert_eq!(history_of(&server, BROKEN).await, [700, 701, 702, 703, 704]);
        check_whole(&server, 10).await;
        assert!(history_of(&server, BROKEN).await.contains(&json!(1)));
        let server = started_again(server, &url).await;
        let lines = server.log_so_far();
        let complaints = lines.iter().filter(|line| line.contains("cannot be read"));
        assert_eq!(complaints.count(), 0, "it is put right");
        check_whole(&server, 11).await;
        assert_eq!(history_of(&server, BROKEN).await.len(), 7);
    }
}

#[rstest]
#[tokio::test]
async fn a_sensor_of_which_nothing_can_be_read_is_set_aside(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let place = Place::new(kind);
    let url = place.new_database().await;
    let bytes = match kind {
        Kind::Sqlite => "x'ff01'",
        Kind::Postgres => r"'\xff01'::bytea",
    };
    let statements = [
        format!("update sensors set latest = {bytes} where sensor_id = '{BROKEN}'"),
        format!(
            "update chunks set payload = {bytes} where series = 0 and sensor_key =
                (select key from sensors where sensor_id = '{BROKEN}')"
        ),
    ];
    let (mut server, _) = damaged(&url, &statements).await;
    for minute in [10, 11] {
        assert!(of_sensor(&server.get_json("/api/sensors").await, BROKEN).is_none());
        let refused = server.post(&of(BROKEN, minute, 1)).await;
        let refused = problem(refused, 409, "sensor_unreadable").await;
        assert_eq!(
            faults(&refused["errors"]),
            [("/sensor_id", "sensor_unreadable")]
        );
        let all = server.post(&json!([of(BROKEN, minute, 1)])).await;
        problem(all, 409, "sensor_unreadable").await;
        check_whole(&server, minute).await;
        server = started_again(server, &url).await;
    }
    assert_eq!(history_of(&server, WHOLE).await.len(), 7);
    // Its readings stay: there is a chunk to be damaged again.
    server.terminate();
    assert!(server.ended_well().await);
    execute(&url, &statements[1]).await;
}

#[rstest]
#[tokio::test]
async fn a_sensor_whose_id_is_damaged_is_named_and_its_id_is_free(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let place = Place::new(kind);
    let url = place.new_database().await;
    let damage = format!("update sensors set sensor_id = 'no id!' where sensor_id = '{BROKEN}'");
    let (server, _) = damaged(&url, &[damage]).await;
    check_whole(&server, 10).await;
    assert_eq!(history_of(&server, BROKEN).await, [1], "a new sensor");
    let server = started_again(server, &url).await;
    check_whole(&server, 11).await;
}

#[rstest]
#[tokio::test]
async fn a_room_whose_name_is_damaged_is_called_by_what_is_left_of_it(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let place = Place::new(kind);
    for (name, called) in [("''", "#"), ("'\u{1}Salle bro\u{2}ken'", "Salle broken")] {
        let url = place.new_database().await;
        let damage = format!("update rooms set name = {name} where name = 'Salle {BROKEN}'");
        let (server, _) = damaged(&url, &[damage]).await;
        let sensors = server.get_json("/api/sensors").await;
        let room = of_sensor(&sensors, BROKEN).unwrap()["salle"].clone();
        assert!(room.as_str().unwrap().starts_with(called), "{room}");
        assert_eq!(history_of(&server, BROKEN).await.len(), 5);
        check_whole(&server, 10).await;
    }
}

#[tokio::test]
async fn a_room_that_is_gone_takes_along_only_its_sensors() {
    let place = Place::new(Kind::Sqlite);
    let url = place.new_database().await;
    let damage = format!("delete from rooms where name = 'Salle {BROKEN}'");
    let (server, _) = damaged(&url, &[damage]).await;
    let refused = server.post(&of(BROKEN, 10, 1)).await;
    problem(refused, 409, "sensor_unreadable").await;
    check_whole(&server, 10).await;
}

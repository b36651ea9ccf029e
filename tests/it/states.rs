//! What a sensor and a room measure now, and whether a sensor keeps its rhythm, whatever way its readings
//! come.

use crate::harness::{Server, Socket, client, from_now, subscribe};
use crate::place::{Kind, Place};
use crate::query::{of, path};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};

const MINUTE_S: i64 = 60;

/// A reading of a sensor in the kitchen.
fn kitchen(sensor: &str, seconds: i64, values: Value) -> Value {
    of(sensor, "Maison", "Cuisine", &from_now(seconds), values)
}

async fn latest(server: &Server, sensor: &str) -> Value {
    let all = server.get_json("/api/latest").await;
    let mut all = all.as_array().unwrap().iter();
    let found = all.find(|record| record["sensor_id"] == sensor);
    found.unwrap_or_else(|| panic!("no {sensor}")).clone()
}

async fn sensor(server: &Server, id: &str) -> Value {
    server.get_json(&format!("/api/sensors/{id}")).await
}

async fn post(server: &Server, reading: &Value) {
    let response = server.post(reading).await;
    assert_eq!(response.status(), 200, "{reading}");
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn a_quantity_a_message_is_as_good_as_all_in_one(#[case] kind: Kind) {
    let place = Place::new(kind);
    let url = place.new_database().await;
    let server = Server::with(&[("DATABASE_URL", &url)]);
    let mut socket = server.watch("?topics=measurements").await;
    let co2 = from_now(-3);
    post(
        &server,
        &of("z1", "Maison", "Cuisine", &co2, json!({"CO2": 2500})),
    )
    .await;
    post(
        &server,
        &kitchen("z1", -2, json!({"Temperature": 21.4, "battery": 80})),
    )
    .await;
    let humidity = from_now(-1);
    post(
        &server,
        &of(
            "z1",
            "Maison",
            "Cuisine",
            &humidity,
            json!({"Humidity": 40}),
        ),
    )
    .await;

    let messages = next_three(&mut socket).await;
    assert_eq!(messages[0]["measured_at"], Value::Null);
    let last = &messages[2];
    assert_eq!(last["values"], json!({"Humidity": 40}));
    assert_eq!(
        (&last["co2"], &last["temperature"]),
        (&json!(2500), &json!(21.4))
    );
    assert_eq!(last["measured_at"]["co2"], json!(co2));
    assert_eq!(last["measured_at"]["humidity"], Value::Null);
    assert_eq!(last["global_score"], messages[0]["global_score"]);
    assert!(last["global_score"].is_number());

    let server = server.kill_and_restart();
    let record = latest(&server, "z1").await;
    assert_eq!(
        (&record["co2"], &record["humidity"]),
        (&json!(2500), &json!(40))
    );
    assert_eq!(record["timestamp"], json!(humidity));
    assert_eq!(record["measured_at"]["co2"], json!(co2));
    assert_eq!(record["global_score"], last["global_score"]);
    assert_eq!(record["sub_scores"]["co2"]["value"], json!(2500));

    // A snapshot shows the same, and so does what is told again.
    let mut socket = server.watch("?topics=alerts").await;
    let mut wanted = subscribe(&["measurements"]);
    wanted["snapshot"] = true.into();
    socket.send(&wanted).await;
    let subscribed = socket.next().await;
    assert_eq!(subscribed["type"], "subscribed");
    let snapshot = socket.next().await;
    assert_eq!(snapshot["data"][0]["co2"], json!(2500));
    let mut socket = server.watch("?topics=alerts").await;
    let mut wanted = subscribe(&["measurements"]);
    wanted["since"] = messages[0]["id"].clone();
    socket.send(&wanted).await;
    assert_eq!(socket.next().await["recovered"], true);
    assert_eq!(&socket.next().await, &messages[1]);
    assert_eq!(&socket.next().await, last);
}

async fn next_three(socket: &mut Socket) -> Vec<Value> {
    let mut messages = Vec::new();
    while messages.len() < 3 {
        let message = socket.next().await;
        if message["type"] == "measurement" {
            messages.push(message);
        }
    }
    messages
}

#[tokio::test]
async fn what_is_too_old_is_named_and_what_was_measured_elsewhere_is_left_out() {
    let server = Server::start();
    // A temperature has no averaging time of its own, so it is old after a quarter of an hour.
    post(
        &server,
        &kitchen("a", -20 * MINUTE_S, json!({"Temperature": 20})),
    )
    .await;
    for minute in (0..7).rev() {
        post(
            &server,
            &kitchen("a", -minute * MINUTE_S, json!({"CO2": 700})),
        )
        .await;
    }
    let record = latest(&server, "a").await;
    assert_eq!(
        (&record["co2"], &record["temperature"]),
        (&json!(700), &Value::Null)
    );
    assert_eq!(record["stale_values"], json!(["temperature"]));

    // Of one that has fallen silent the last values are shown.
    post(&server, &kitchen("b", -86_400, json!({"CO2": 5000}))).await;
    post(&server, &kitchen("b", -86_300, json!({"Humidity": 30}))).await;
    let record = latest(&server, "b").await;
    assert_eq!(
        (&record["co2"], &record["humidity"]),
        (&json!(5000), &json!(30))
    );
    assert_eq!(record["stale"], true);

    post(&server, &kitchen("c", -9, json!({"CO2": 3000}))).await;
    post(
        &server,
        &of(
            "c",
            "Maison",
            "Bureau",
            &from_now(-4),
            json!({"Humidity": 30}),
        ),
    )
    .await;
    let record = latest(&server, "c").await;
    assert_eq!(
        (&record["co2"], &record["salle"]),
        (&Value::Null, &json!("Bureau"))
    );
}

#[tokio::test]
async fn a_value_is_late_when_its_quantity_has_a_newer_one() {
    let server = Server::start();
    let mut socket = server.watch("?topics=measurements").await;
    post(&server, &kitchen("a", -10, json!({"CO2": 700}))).await;
    post(&server, &kitchen("a", -20, json!({"Humidity": 40}))).await;
    post(
        &server,
        &kitchen("a", -30, json!({"CO2": 900, "Humidity": 50})),
    )
    .await;
    let messages = next_three(&mut socket).await;
    let late: Vec<_> = messages.iter().map(|message| &message["late"]).collect();
    assert_eq!(late, [&Value::Null, &Value::Null, &json!(true)]);
    for message in &messages[1..] {
        assert_eq!(
            (&message["co2"], &message["humidity"]),
            (&json!(700), &json!(40))
        );
    }
    let record = latest(&server, "a").await;
    assert_eq!(
        (&record["co2"], &record["humidity"]),
        (&json!(700), &json!(40))
    );
}

#[tokio::test]
async fn a_device_that_was_ahead_does_not_hide_what_comes() {
    let server = Server::start();
    post(&server, &kitchen("a", 290, json!({"CO2": 400}))).await;
    post(&server, &kitchen("a", 0, json!({"CO2": 2400}))).await;
    assert_eq!(latest(&server, "a").await["co2"], 2400);
}

#[tokio::test]
async fn a_room_with_several_sensors_has_one_state_in_which_each_counts_once() {
    let server = Server::start();
    for second in -10..0 {
        post(&server, &kitchen("s1", second, json!({"CO2": 600}))).await;
    }
    post(&server, &kitchen("s2", -5, json!({"CO2": 2000}))).await;
    post(&server, &kitchen("s2", -4, json!({"Temperature": 20}))).await;
    let rooms = server.get_json("/api/rooms").await;
    let room = &rooms[0]["salles"][0];
    assert_eq!(room["co2"], 1300, "{room}");
    assert_eq!(room["sub_scores"]["co2"]["value"], 1300);
    assert_eq!(room["temperature"], 20);
    assert_eq!(room["sensors"], json!(["s1", "s2"]));
}

#[tokio::test]
async fn what_is_measured_once_an_hour_counts_in_its_room_until_it_is_old() {
    let server = Server::start();
    for hour in (0..3).rev() {
        let seconds = -hour * 3600 - 30 * MINUTE_S;
        post(&server, &kitchen("s1", seconds, json!({"CO2": 2500}))).await;
    }
    post(&server, &kitchen("s2", -5, json!({"Temperature": 20}))).await;
    post(&server, &kitchen("s3", -3 * 86_400, json!({"CO2": 5000}))).await;
    let rooms = server.get_json("/api/rooms").await;
    let room = &rooms[0]["salles"][0];
    assert_eq!(
        (&room["co2"], &room["temperature"]),
        (&json!(2500), &json!(20))
    );
    assert_eq!(room["stale"], false);
}

/// A late reading is told where it was measured, and says nothing of where its sensor stands now.
#[tokio::test]
async fn a_late_message_says_nothing_of_another_place() {
    let server = Server::start();
    let at = |site: &str, seconds: i64, co2: u32| {
        of("s", site, "Bureau", &from_now(seconds), json!({"CO2": co2}))
    };
    post(&server, &at("Maison", -60, 600)).await;
    post(&server, &at("École", -10, 2000)).await;
    let mut socket = server.watch("?topics=measurements").await;
    post(&server, &at("Maison", -30, 610)).await;
    let late = socket.next().await;
    assert_eq!(
        (&late["enseigne"], &late["late"]),
        (&json!("Maison"), &json!(true))
    );
    assert_eq!(
        (&late["co2"], &late["global_score"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(latest(&server, "s").await["co2"], 2000);
}

#[tokio::test]
async fn a_room_in_which_all_is_old_shows_the_last() {
    let server = Server::start();
    post(&server, &kitchen("s1", -3 * 86_400, json!({"CO2": 5000}))).await;
    let rooms = server.get_json("/api/rooms").await;
    let room = &rooms[0]["salles"][0];
    assert_eq!((&room["co2"], &room["stale"]), (&json!(5000), &json!(true)));
}

#[tokio::test]
async fn another_interval_is_noticed() {
    let server = Server::start();
    for seconds in [-1520, -1510, -1210, -910, -610, -310, -40] {
        post(&server, &kitchen("iv", seconds, json!({"CO2": 600}))).await;
    }
    let known = sensor(&server, "iv").await;
    assert_eq!(known["state"], "online");
    let period = known["expected_period_s"].as_f64().unwrap();
    assert!((270.0..=330.0).contains(&period), "{known}");
    let server = server.kill_and_restart();
    assert_eq!(sensor(&server, "iv").await, known);
}

#[tokio::test]
async fn a_device_that_wakes_to_send_a_batch_has_missed_nothing_between_two() {
    let server = Server::start();
    for batch in (0..3).rev() {
        let end = -10 * MINUTE_S - batch * 15 * MINUTE_S;
        let minutes = (0..15).rev();
        let readings: Vec<_> = minutes
            .map(|minute| kitchen("battery", end - minute * MINUTE_S, json!({"CO2": 600})))
            .collect();
        post(&server, &json!(readings)).await;
    }
    let known = sensor(&server, "battery").await;
    assert_eq!(known["state"], "online", "{known}");
    let seconds = |of: &str| known[of].as_f64().unwrap().round();
    assert_eq!(seconds("expected_period_s").to_string(), "60");
    assert_eq!(seconds("expected_delivery_s").to_string(), "900");
}

#[tokio::test]
async fn a_wrong_year_is_no_rhythm() {
    let server = Server::start();
    let year = of(
        "y",
        "Maison",
        "Cuisine",
        "2000-01-01T00:00:07Z",
        json!({"CO2": 600}),
    );
    post(&server, &year).await;
    post(&server, &kitchen("y", -259_200, json!({"CO2": 600}))).await;
    let known = sensor(&server, "y").await;
    assert_eq!(known["state"], "offline");
    assert_eq!(known["expected_period_s"], Value::Null);
}

/// Whoever asks with the tag of before hears of it when a value is not fresh any more.
#[tokio::test]
async fn what_is_not_fresh_any_more_changes_the_answer() {
    let server = Server::start();
    // Fresh for a quarter of an hour, of which a second is left.
    post(&server, &kitchen("a", -899, json!({"Temperature": 20}))).await;
    post(&server, &kitchen("a", -898, json!({"CO2": 700}))).await;
    let url = server.url(&path("/api/latest", &[("enseigne", "Maison")]));
    let first = client().get(&url).send().await.unwrap();
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    let is_changed = async || loop {
        let again = client().get(&url).header("if-none-match", &tag);
        let again = again.send().await.unwrap();
        if again.status() == 200 {
            return again.json::<Value>().await.unwrap();
        }
        tokio::task::yield_now().await;
    };
    let record = tokio::time::timeout(crate::harness::PATIENCE, is_changed());
    let record = record.await.unwrap();
    assert_eq!(record[0]["stale_values"], json!(["temperature"]));
}

//! One key does not use up the rooms and sensors of everybody.

use super::stage::{Credentials, Stage};
use crate::harness::{at_millis, client};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

async fn post(stage: &Stage, who: &Credentials, body: &Value) -> (u16, Value) {
    let (name, value) = who.0.clone().unwrap();
    let request = client().post(stage.server.url("/api/ingest"));
    let response = request.header(name, value).json(body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Readings of the sensors in the rooms, a second apart.
fn readings(first: i64, places: impl Iterator<Item = (String, String)>) -> Value {
    let readings = places.zip(first..).map(|((sensor, room), second)| {
        json!({"sensor_id": sensor, "enseigne": "Maison", "salle": room,
            "timestamp": at_millis(1_750_000_000_000 + second * 1000), "values": {"CO2": 645}})
    });
    readings.collect()
}

fn room(number: i64) -> String {
    format!("Room {number}")
}

#[tokio::test]
async fn a_key_makes_a_few_rooms_and_a_share_of_the_sensors_also_after_a_restart() {
    let settings = [("IAQ_ROOMS_MAX", "100"), ("IAQ_SENSORS_MAX", "80")];
    let mut stage = Stage::with(&settings).await;
    let (_, exact) = stage.device(&json!({"sensors": ["bureau1"]})).await;
    let (_, many) = stage.device(&json!({"sensors": ["x-*"]})).await;
    let (_, other) = stage.device(&json!({"sensors": ["other"]})).await;

    let of_one =
        |first: i64| (first..first + 50).map(|number| ("bureau1".to_owned(), room(number)));
    let (status, answer) = post(&stage, &exact, &readings(0, of_one(0))).await;
    assert_eq!(status, 207, "{answer}");
    // It stands in a room already.
    assert_eq!(answer["accepted"], 15, "{answer}");
    assert_eq!(
        answer["rejected_by_code"],
        json!({"too_many_rooms_of_sensor": 35})
    );
    assert_eq!(answer["rejected"][0]["errors"][0]["pointer"], "/salle");

    let of_many = (0..50).map(|number| (format!("x-{number}"), room(0)));
    let (_, answer) = post(&stage, &many, &readings(0, of_many)).await;
    assert_eq!(answer["accepted"], 20, "{answer}");
    assert_eq!(
        answer["rejected_by_code"],
        json!({"too_many_sensors_of_key": 30})
    );

    stage.server = stage.server.kill_and_restart();
    let (status, answer) = post(&stage, &exact, &readings(100, of_one(50))).await;
    assert_eq!(status, 422, "{answer}");
    let more = (50..60).map(|number| (format!("x-{number}"), room(0)));
    assert_eq!(post(&stage, &many, &readings(0, more)).await.0, 422);
    let new = std::iter::once(("other".to_owned(), "Other".to_owned()));
    assert_eq!(post(&stage, &other, &readings(0, new)).await.0, 200);
}

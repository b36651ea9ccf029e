//! Readings to post, and what is in the messages that come of them.

use super::{Server, client};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;

/// A reading of the sensor `bureau1` with these values.
pub fn reading(values: Value) -> Value {
    let mut reading = json!({"sensor_id": "bureau1", "enseigne": "Maison", "salle": "Bureau"});
    reading["values"] = values;
    reading
}

/// When the reading of the contract's example was taken.
pub const THEN: &str = "2025-11-19T10:05:00Z";

/// The same reading with a time.
pub fn taken_at(timestamp: &str, values: Value) -> Value {
    let mut reading = reading(values);
    reading["timestamp"] = timestamp.into();
    reading
}

/// All history of a server as records.
pub async fn stored(server: &Server) -> Vec<Value> {
    let all = server
        .get_json("/api/iaq/data?start=2000-01-01T00:00:00Z")
        .await;
    all.as_array().unwrap().clone()
}

/// The reading of the contract's example, taken at `timestamp`.
pub fn example(timestamp: &str) -> Value {
    let mut reading =
        reading(json!({"CO2": 645, "PM25": 12, "TVOC": 40, "Temperature": 22.3, "Humidity": 45}));
    reading["timestamp"] = timestamp.into();
    reading
}

/// The server's present, so many seconds away.
pub fn from_now(seconds: i64) -> String {
    use iaqverse::clock::{Clock, SystemClock};
    at_millis(SystemClock.now().millis() + seconds * 1000)
}

/// Milliseconds since 1970 as they are written on the wire.
pub fn at_millis(millis: i64) -> String {
    iaqverse::domain::Timestamp::from_millis(millis).to_string()
}

/// Milliseconds since 1970 of a time on the wire.
pub fn millis_of(timestamp: &Value) -> i64 {
    iaqverse::domain::Timestamp::parse(timestamp.as_str().unwrap())
        .unwrap()
        .millis()
}

/// A reading of `sensor` with a number in it, later than those with lower numbers.
pub fn numbered(sensor: &str, number: u32) -> Value {
    let timestamp = format!(
        "2025-01-01T{:02}:{:02}:{:02}Z",
        number / 3600,
        number / 60 % 60,
        number % 60
    );
    json!({"sensor_id": sensor, "enseigne": "Maison", "salle": "Bureau", "timestamp": timestamp,
        "values": {"CO2": number}})
}

/// The number in a measurement.
pub fn number(measurement: &Value) -> u32 {
    // The flat keys of a message are the state of its sensor, those of a record what was measured.
    let measured = &measurement["values"]["CO2"];
    let number = measured.as_u64().or(measurement["co2"].as_u64());
    u32::try_from(number.unwrap_or_else(|| panic!("no measurement: {measurement}"))).unwrap()
}

/// Sensor and number of each measurement.
pub fn seen(measurements: &[Value]) -> Vec<(&str, u32)> {
    measurements
        .iter()
        .map(|each| (each["sensor_id"].as_str().unwrap(), number(each)))
        .collect()
}

/// Where in the stream a message is.
pub fn position(message: &Value) -> (u64, u64) {
    let id = message["id"].as_str();
    let id = id.unwrap_or_else(|| panic!("no id: {message}"));
    let (epoch, sequence) = id.split_once('-').unwrap();
    (epoch.parse().unwrap(), sequence.parse().unwrap())
}

/// Readings of two sites with rooms of the same name; their numbers are what filters choose.
pub fn readings_of_two_sites() -> Value {
    let places = [
        ("s1", "Maison", "Bureau"),
        ("s2", "Maison", "Salon"),
        ("s3", "École", "Bureau"),
        ("s4", "École", "Salle \"1\""),
    ];
    let readings = (1..).zip(places).map(|(each, (sensor, site, room))| {
        let mut reading = numbered(sensor, each);
        reading["enseigne"] = site.into();
        reading["salle"] = room.into();
        reading
    });
    readings.collect()
}

/// Their CO2 counts up and begins again here.
pub const LONG_READINGS_CO2_MAX: u32 = 40_000;

/// A batch of readings that make long messages, numbered from `first` on.
pub fn long_readings(first: u32, count: u32) -> Value {
    let mut values: Value = (0..30)
        .map(|key| (format!("{key:064}"), json!(0.125)))
        .collect();
    let readings = (first..first + count).map(|each| {
        values["CO2"] = (each % LONG_READINGS_CO2_MAX).into();
        let mut reading = reading(values.clone());
        let (minutes, seconds) = (each / 60 % 60, each % 60);
        let timestamp = format!("2025-01-01T{:02}:{minutes:02}:{seconds:02}Z", each / 3600);
        reading["timestamp"] = timestamp.into();
        reading
    });
    readings.collect()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A batch whose messages are larger than all buffers between server and client.
pub async fn post_much(server: &Server, sensor: impl Fn(u32) -> String) {
    let mut batch = long_readings(0, 5000);
    for (number, reading) in (0..).zip(batch.as_array_mut().unwrap()) {
        reading["sensor_id"] = sensor(number).into();
    }
    let post = client()
        .post(server.url("/api/ingest"))
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(gzip(batch.to_string().as_bytes()));
    assert_eq!(post.send().await.unwrap().status(), 200);
}

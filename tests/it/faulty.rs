//! Readings that are refused cost whoever sends them an answer, and nobody else anything.

use crate::harness::{Server, client, faults, gzip, problem};
use futures_util::future::join_all;
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use std::fmt::Write as _;

const ANSWER_BYTES_MAX: usize = 256 * 1024;
const GROWTH_KIB_MAX: u64 = 64 * 1024;
const READINGS: usize = 10_000;

/// Members of a JSON object, `count` of them.
fn members(count: usize, member: impl Fn(usize) -> String) -> String {
    let members: Vec<_> = (0..count).map(member).collect();
    members.join(",")
}

fn lines(reading: &str) -> String {
    format!("{reading}\n").repeat(READINGS)
}

fn array(reading: &str) -> String {
    format!("[{}{reading}]", format!("{reading},").repeat(READINGS - 1))
}

const LINES: &str = "application/x-ndjson";

/// Bodies of which something is taken, and its beginning left out.
fn bodies_in_part() -> Vec<(&'static str, &'static str, String)> {
    let values = |members: String| {
        format!(r#"{{"sensor_id":"s","enseigne":"M","salle":"B","values":{{{members},"CO2":1}}}}"#)
    };
    let no_numbers = values(members(49, |number| format!(r#""k{number}":"?""#)));
    let words = values(members(49, |number| format!(r#""k{number}":NaN"#)));
    let long_keys = values(members(15, |number| {
        format!(r#""{}{number}":"?""#, r"\u0001".repeat(4) + &"k".repeat(40))
    }));
    let surrogates = values(members(49, |number| format!(r#""\ud83d{number}":1"#)));
    let keys = values(members(200_000, |number| format!(r#""{number}":1"#)));
    let text = values(format!(r#""k":"\n{}","x":NaN"#, "x".repeat(15 << 20)));
    vec![
        ("few numbers", LINES, lines(&no_numbers)),
        (
            "few numbers in an array",
            "application/json",
            array(&no_numbers),
        ),
        ("few numbers and long keys", LINES, lines(&long_keys)),
        ("bare words", LINES, lines(&words)),
        ("bare words in an array", "application/json", array(&words)),
        ("lone surrogates", "application/json", array(&surrogates)),
        ("one with many more keys", "application/json", keys),
        ("one with a long text and a word", "application/json", text),
    ]
}

/// Bodies that a sensor with a broken firmware, or somebody who wants to do harm, might send.
fn faulty_bodies() -> Vec<(&'static str, &'static str, String)> {
    let values = |members: String| format!(r#"{{"sensor_id":"s","values":{{{members}}}}}"#);
    let no_numbers = values(members(50, |number| format!(r#""k{number}":"?""#)));
    let long_keys = values(members(20, |number| {
        format!(r#""{}{number}":"?""#, r"\u0001".repeat(4) + &"k".repeat(40))
    }));
    let twice = values(members(50, |_| r#""CO2":1"#.to_owned()));
    let units = format!(
        r#"{{"sensor_id":"s","values":{{"CO2":1}},"units":{{{}}}}}"#,
        members(50, |_| r#""TVOC":"?""#.to_owned())
    );
    // What is no reading, and one that is a whole body.
    let keys = members(1_000_000, |_| r#""":1"#.to_owned());
    let text = format!(r#"{{"sensor_id":"\n{}"}}"#, "x".repeat(15 << 20));
    vec![
        ("no numbers", LINES, lines(&no_numbers)),
        (
            "no numbers in an array",
            "application/json",
            array(&no_numbers),
        ),
        ("no units", LINES, lines(&units)),
        ("long keys", LINES, lines(&long_keys)),
        ("the same key", LINES, lines(&twice)),
        ("no objects", LINES, lines("1")),
        ("one with many keys", "application/json", values(keys)),
        ("one with a long text", "application/json", text),
    ]
}

/// Sends a body eight times at once until it is answered with this status.
async fn send_at_once(
    server: &Server,
    (shape, content_type, body): &(&str, &'static str, String),
    expected: u16,
) {
    let client = client();
    let packed = gzip(body.as_bytes());
    let post = || async {
        loop {
            let request = client
                .post(server.url("/api/ingest"))
                .header("content-type", *content_type)
                .header("content-encoding", "gzip")
                .timeout(std::time::Duration::from_mins(2));
            let answer = request.body(packed.clone()).send().await.unwrap();
            let status = answer.status().as_u16();
            // Whoever waits for the memory of others, or for the writer, too long is to come back.
            if status == 503 {
                let busy = ["too_many_bodies", "queue_full", "store_unavailable"];
                let problem: Value = answer.json().await.unwrap();
                let is_busy = busy.map(Value::from).contains(&problem["code"]);
                assert!(is_busy, "{problem}");
                continue;
            }
            return (status, answer.bytes().await.unwrap().len());
        }
    };
    for (status, bytes) in join_all((0..8).map(|_| post())).await {
        assert_eq!(status, expected, "{shape}");
        assert!(bytes <= ANSWER_BYTES_MAX, "{shape}: {bytes} bytes");
    }
}

#[tokio::test]
async fn faulty_bodies_at_once_take_little_memory_and_get_short_answers() {
    let server = Server::with(&[("IAQ_LOG", "info")]);
    server.get_json("/api/latest").await;
    let before = server.resident_kib();
    for body in faulty_bodies() {
        send_at_once(&server, &body, 422).await;
        let growth = server.peak_kib().saturating_sub(before);
        assert!(growth <= GROWTH_KIB_MAX, "{}: {growth} KiB", body.0);
    }
}

#[tokio::test]
async fn what_is_left_out_takes_little_memory_beside_what_is_taken() {
    let growth = |body| async move {
        let server = Server::with(&[("IAQ_LOG", "info")]);
        server.get_json("/api/latest").await;
        let before = server.resident_kib();
        send_at_once(&server, &body, 200).await;
        server.peak_kib().saturating_sub(before)
    };
    let good = r#"{"sensor_id":"s","enseigne":"M","salle":"B","values":{"CO2":1}}"#;
    let of_good = growth(("good", LINES, lines(good))).await;
    for body in bodies_in_part() {
        let shape = body.0;
        let growth = growth(body).await;
        // Two of these bodies, expanded, are 32 MiB by themselves; those of good readings are short.
        let is_little = growth <= of_good + GROWTH_KIB_MAX;
        assert!(
            is_little,
            "{shape}: {growth} KiB, {of_good} KiB where all is good"
        );
    }
}

#[tokio::test]
async fn of_many_refused_readings_the_first_are_told_and_all_counted() {
    let server = Server::start();
    let mut body = String::new();
    for number in 0..400 {
        let place = json!({"enseigne": "Maison", "salle": "Bureau"});
        let mut reading = match number % 4 {
            0 => json!({"sensor_id": format!("s{number}"), "values": {"CO2": 500}}),
            // Refused where it is stored: nobody knows where this sensor is.
            1 => json!({"sensor_id": format!("lost{number}"), "values": {"CO2": 500}}),
            2 => json!({"sensor_id": "s", "values": {"CO2": "?", "TVOC": -1}}),
            _ => json!("no reading"),
        };
        if number % 4 == 0 {
            let place = place.as_object().unwrap().clone();
            reading.as_object_mut().unwrap().extend(place);
        }
        writeln!(body, "{reading}").unwrap();
    }
    let answer = server.post_body("application/x-ndjson", body).await;
    assert_eq!(answer.status(), 207);
    let answer: Value = answer.json().await.unwrap();
    let rejected = answer["rejected"].as_array().unwrap();
    let told: Vec<_> = rejected
        .iter()
        .map(|one| one["index"].as_u64().unwrap())
        .collect();
    let expected: Vec<_> = (0..400)
        .filter(|number| number % 4 != 0)
        .take(100)
        .collect();
    assert_eq!(told, expected);
    assert_eq!(faults(&rejected[0]["errors"])[0].1, "required");
    assert_eq!(
        (&answer["accepted"], &answer["rejected_total"]),
        (&json!(100), &json!(300))
    );
    let by_code = json!({"required": 100, "not_a_number": 100, "not_an_object": 100});
    assert_eq!(answer["rejected_by_code"], by_code);
}

#[tokio::test]
async fn of_one_reading_the_first_faults_are_told() {
    let server = Server::start();
    let values = members(50, |number| format!(r#""k{number}":"?""#));
    let reading = format!(r#"{{"sensor_id":"s","values":{{{values}}}}}"#);
    let answer = server.post_body("application/json", reading).await;
    let problem = problem(answer, 422, "reading_rejected").await;
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 20);
    assert_eq!(errors[19]["pointer"], "/values/k19");
}

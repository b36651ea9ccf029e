//! `POST /api/ingest`, as devices see it.

use crate::harness::{
    Server, THEN, client, example, faults, from_now, gzip, millis_of, problem, reading, stored,
    taken_at, unlock_store,
};
use flate2::Compression;
use flate2::write::{DeflateEncoder, ZlibEncoder};
use futures_util::future::join_all;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The latest record of the only sensor of a server.
async fn latest(server: &Server) -> Value {
    let latest = server.get_json("/api/latest").await;
    assert_eq!(latest.as_array().unwrap().len(), 1, "{latest}");
    latest[0].clone()
}

#[track_caller]
fn close_to(got: &Value, expected: f64) {
    let number = got.as_f64().unwrap();
    assert!(
        (number - expected).abs() < 1e-3 * expected.abs().max(1.0),
        "{number} for {expected}"
    );
}

async fn post_with(server: &Server, headers: &[(&str, &str)], body: Vec<u8>) -> reqwest::Response {
    let mut request = client().post(server.url("/api/ingest"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).send().await.unwrap()
}

#[tokio::test]
async fn a_single_reading_is_answered_with_its_score() {
    let server = Server::start();
    let mut answer = server.accept(&example(THEN)).await;
    let message = answer.as_object_mut().unwrap().remove("message").unwrap();
    assert!(!message.as_str().unwrap().is_empty());
    let assumed = answer.as_object_mut().unwrap().remove("assumed").unwrap();
    assert_eq!(faults(&assumed), [("/units/TVOC", "unit_assumed")]);
    let expected = json!({
        "status": "success", "sensor_id": "bureau1", "timestamp": THEN,
        "global_score": 81, "global_level": "good",
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn without_a_timestamp_the_time_of_receipt_counts() {
    let server = Server::start();
    let before = millis_of(&from_now(0).into());
    let answer = server.accept(&reading(json!({"CO2": 645}))).await;
    let received = millis_of(&answer["timestamp"]);
    assert!(
        (before..=millis_of(&from_now(0).into())).contains(&received),
        "{answer}"
    );
    assert_eq!(latest(&server).await["timestamp"], answer["timestamp"]);
}

#[tokio::test]
async fn a_timestamp_with_an_offset_is_answered_in_utc_with_its_milliseconds() {
    let server = Server::start();
    let answer = server
        .accept(&example("2025-11-19T11:05:00.250+01:00"))
        .await;
    assert_eq!(answer["timestamp"], "2025-11-19T10:05:00.250Z");
}

#[tokio::test]
async fn a_reading_without_pollutants_has_no_score() {
    let server = Server::start();
    let answer = server.accept(&reading(json!({"Temperature": 21}))).await;
    assert_eq!(
        (&answer["global_score"], &answer["global_level"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_refused_reading_is_told_everything_that_is_wrong_with_it() {
    let server = Server::start();
    let response = server
        .post(&json!({
            "sensor_id": "bureau1", "enseigne": "", "salle": "Bureau", "timestamp": "yesterday",
            "values": {"CO2": 99_999, "PM25": "much", "Temperature": 21},
        }))
        .await;
    let problem = problem(response, 422, "reading_rejected").await;
    let expected = [
        ("/enseigne", "bad_name"),
        ("/timestamp", "bad_timestamp"),
        ("/values/CO2", "out_of_range"),
        ("/values/PM25", "not_a_number"),
    ];
    assert_eq!(faults(&problem["errors"]), expected);
    assert_eq!(stored(&server).await, Vec::<Value>::new());
}

#[rstest]
#[case::absent_id("sensor_id", json!(null), "/sensor_id", "required")]
#[case::empty_id("sensor_id", json!(""), "/sensor_id", "bad_sensor_id")]
#[case::id_with_a_space("sensor_id", json!("bureau 1"), "/sensor_id", "bad_sensor_id")]
#[case::id_of_65("sensor_id", json!("a".repeat(65)), "/sensor_id", "bad_sensor_id")]
#[case::id_as_a_number("sensor_id", json!(7), "/sensor_id", "not_text")]
#[case::control_character("salle", json!("Bu\nreau"), "/salle", "bad_name")]
#[case::name_of_129("enseigne", json!("é".repeat(129)), "/enseigne", "bad_name")]
#[case::time_since_a_start("timestamp", json!(5), "/timestamp", "timestamp_too_old")]
#[case::time_as_a_flag("timestamp", json!(true), "/timestamp", "bad_timestamp")]
#[case::local_time("timestamp", json!("2025-11-19T10:05:00"), "/timestamp", "bad_timestamp")]
#[case::values_as_an_array("values", json!([645]), "/values", "not_an_object")]
#[case::no_values_field("values", json!(null), "/values", "no_values")]
#[case::no_value("values", json!({}), "/values", "no_values")]
#[case::only_null("values", json!({"CO2": null, "x": null}), "/values", "no_values")]
#[case::only_words_for_nothing("values", json!({"CO2": "NaN", "x": "-"}), "/values", "no_values")]
#[case::infinity("values", json!({"CO2": "-Infinity"}), "/values/CO2", "not_a_number")]
#[case::boolean("values", json!({"CO2": true}), "/values/CO2", "not_a_number")]
#[case::nested("values", json!({"CO2": {"value": 645}}), "/values/CO2", "not_a_number")]
#[case::extra_text("values", json!({"x": "a lot"}), "/values/x", "not_a_number")]
#[case::escaped_key("values", json!({"a/b~c": "?"}), "/values/a~1b~0c", "not_a_number")]
#[case::units_as_text("units", json!("ppm"), "/units", "not_an_object")]
#[tokio::test]
async fn each_bad_field_is_pointed_at(
    #[case] field: &str,
    #[case] bad: Value,
    #[case] pointer: &str,
    #[case] code: &str,
) {
    let server = Server::start();
    let mut reading = example(THEN);
    reading[field] = bad;
    let problem = problem(server.post(&reading).await, 422, "reading_rejected").await;
    assert_eq!(faults(&problem["errors"]), [(pointer, code)]);
}

#[tokio::test]
async fn each_quantity_is_taken_up_to_both_ends_of_its_range_and_no_further() {
    let server = Server::start();
    let ranges = [
        ("CO2", 0.0, 40_000.0),
        ("PM25", 0.0, 1_000.0),
        ("PM10", 0.0, 2_000.0),
        ("PM1", 0.0, 2_000.0),
        ("TVOC", 0.0, 65_000.0),
        ("Temperature", -40.0, 85.0),
        ("Humidity", 0.0, 100.0),
        ("NO2", 0.0, 10_000.0),
        ("O3", 0.0, 10_000.0),
        ("HCHO", 0.0, 10_000.0),
        ("CO", 0.0, 1_000.0),
        ("Radon", 0.0, 100_000.0),
        ("Pressure", 300.0, 1_100.0),
        ("VOCIndex", 1.0, 500.0),
        ("NOxIndex", 1.0, 500.0),
        ("Noise", 0.0, 150.0),
        ("Light", 0.0, 200_000.0),
        ("Occupants", 0.0, 10_000.0),
    ];
    for (key, lowest, highest) in ranges {
        let batch: Vec<_> = [lowest, highest, lowest - 0.01, highest + 0.01]
            .iter()
            .enumerate()
            .map(|(second, number)| {
                taken_at(
                    &format!("2025-11-19T10:05:0{second}Z"),
                    json!({key: number}),
                )
            })
            .collect();
        let response = server.post(&batch.into()).await;
        let answer: Value = response.json().await.unwrap();
        let rejected = answer["rejected"].as_array().unwrap();
        let refused: Vec<_> = rejected
            .iter()
            .map(|one| one["index"].as_u64().unwrap())
            .collect();
        assert_eq!(refused, [2, 3], "{key}: {answer}");
        for one in rejected {
            assert_eq!(
                faults(&one["errors"]),
                [(&*format!("/values/{key}"), "out_of_range")]
            );
        }
    }
}

#[tokio::test]
async fn a_request_id_is_given_unless_the_client_brings_one() {
    let server = Server::start();
    let id = |response: &reqwest::Response| response.headers()["x-request-id"].clone();
    let own = post_with(&server, &[("x-request-id", "gateway-17.4")], b"{}".to_vec()).await;
    assert_eq!(id(&own), "gateway-17.4");
    assert_eq!(
        problem(own, 422, "reading_rejected").await["request_id"],
        "gateway-17.4"
    );
    let (first, second) = (
        server.post(&example(THEN)).await,
        server.post(&example(THEN)).await,
    );
    assert_ne!(id(&first), id(&second));
}

#[tokio::test]
async fn a_request_id_that_could_forge_a_log_line_is_replaced() {
    let server = Server::start();
    let response = post_with(&server, &[("x-request-id", "a\" b")], b"{}".to_vec()).await;
    assert_ne!(response.headers()["x-request-id"], "a\" b");
}

#[rstest]
#[case::nothing(b"")]
#[case::half(b"{\"sensor_id\":\"a\"")]
#[case::two(b"{} {}")]
#[case::only_a_bare_word(b"NaN")]
#[case::a_bare_word_as_a_key(b"{\"sensor_id\":\"a\",\"values\":{NaN:1}}")]
#[case::half_an_array(b"[{}")]
#[case::behind_an_array(b"[{}] x")]
#[case::not_utf8(b"{\"sensor_id\":\"\xff\"}")]
#[case::form(b"sensor_id=bureau1")]
#[tokio::test]
async fn what_is_not_json_is_a_bad_request(#[case] body: &'static [u8]) {
    let server = Server::start();
    let response = server.post_body("application/json", body).await;
    problem(response, 400, "not_json").await;
}

#[rstest]
#[case("3")]
#[case("null")]
#[case("\"reading\"")]
#[tokio::test]
async fn json_that_is_no_object_is_no_reading(#[case] body: &'static str) {
    let server = Server::start();
    let problem = problem(
        server.post_body("application/json", body).await,
        422,
        "reading_rejected",
    )
    .await;
    assert_eq!(faults(&problem["errors"]), [("", "not_an_object")]);
}

#[tokio::test]
async fn a_body_nested_without_end_harms_nobody() {
    let server = Server::start();
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let deep_value = format!("{{\"sensor_id\":\"a\",\"values\":{{\"CO2\":{deep}}}}}");
    for (body, code) in [(deep, "batch_rejected"), (deep_value, "reading_rejected")] {
        let response = server.post_body("application/json", body).await;
        problem(response, 422, code).await;
    }
    server.accept(&example(THEN)).await;
}

#[tokio::test]
async fn the_counts_of_a_batch_add_up_to_the_readings_sent() {
    let server = Server::start();
    server
        .accept(&taken_at("2025-11-19T10:00:00Z", json!({"CO2": 600})))
        .await;
    server
        .accept(&taken_at("2025-11-19T10:01:00Z", json!({"CO2": 610})))
        .await;
    let response = server
        .post(&json!([
            taken_at("2025-11-19T10:00:00Z", json!({"CO2": 600})),
            taken_at("2025-11-19T10:01:00Z", json!({"CO2": 611})),
            taken_at("2025-11-19T10:02:00Z", json!({"CO2": 620})),
            taken_at("2025-11-19T10:02:00Z", json!({"CO2": 620})),
            taken_at("2025-11-19T10:03:00Z", json!({"CO2": -1})),
            "not a reading",
            {"sensor_id": "stranger", "values": {"CO2": 600}},
        ]))
        .await;
    assert_eq!(response.status(), 207);
    let answer: Value = response.json().await.unwrap();
    let rejected = answer["rejected"].as_array().unwrap();
    let counts = ["accepted", "duplicates", "updated"].map(|key| answer[key].as_u64().unwrap());
    assert_eq!((counts, rejected.len()), ([1, 2, 1], 3), "{answer}");
    assert_eq!(answer["status"], "partial");
    let who: Vec<_> = rejected
        .iter()
        .map(|one| (one["index"].as_u64().unwrap(), one["sensor_id"].as_str()))
        .collect();
    assert_eq!(
        who,
        [(4, Some("bureau1")), (5, None), (6, Some("stranger"))]
    );
    assert_eq!(
        faults(&rejected[0]["errors"]),
        [("/values/CO2", "out_of_range")]
    );
    assert_eq!(faults(&rejected[1]["errors"]), [("", "not_an_object")]);
    assert_eq!(
        faults(&rejected[2]["errors"]),
        [("/enseigne", "required"), ("/salle", "required")]
    );
    let co2: Vec<_> = stored(&server)
        .await
        .iter()
        .map(|one| one["co2"].clone())
        .collect();
    assert_eq!(co2, [600, 611, 620]);
}

#[tokio::test]
async fn a_batch_without_a_fault_is_a_success() {
    let server = Server::start();
    let of = |timestamp| taken_at(timestamp, json!({"CO2": 645, "Humidity": "nan"}));
    let answer = server
        .accept(&json!([of(THEN), of("2025-11-19T10:06:00Z")]))
        .await;
    let expected =
        json!({"status": "success", "accepted": 2, "duplicates": 0, "updated": 0, "rejected": []});
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn a_batch_of_which_nothing_can_be_taken_is_refused_with_every_reason() {
    let server = Server::start();
    let bad = json!({"sensor_id": "bureau1", "values": {"CO2": 645}});
    let problem = problem(server.post(&json!([bad, {}])).await, 422, "batch_rejected").await;
    assert_eq!(problem["accepted"], 0);
    assert_eq!(problem["rejected"][0]["sensor_id"], "bureau1");
    let second = &problem["rejected"][1];
    assert_eq!(second["index"], 1);
    assert_eq!(
        faults(&second["errors"]),
        [("/sensor_id", "required"), ("/values", "no_values")]
    );
}

#[rstest]
#[tokio::test]
async fn a_bad_line_is_one_rejected_item_and_blank_lines_are_none(
    #[values("application/x-ndjson", "application/x-ndjson; charset=utf-8")] content_type: &str,
) {
    let server = Server::start();
    let lines = format!(
        "\n{}\r\n\n  \n{{oops\n{{\"values\":nothing}}\n{}",
        example(THEN),
        example("2025-11-19T10:06:00Z")
    );
    let response = server.post_body(content_type, lines).await;
    assert_eq!(response.status(), 207);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(
        (&answer["accepted"], &answer["status"]),
        (&json!(2), &json!("partial"))
    );
    let rejected = answer["rejected"].as_array().unwrap();
    let faults: Vec<_> = rejected
        .iter()
        .map(|one| (one["index"].as_u64().unwrap(), faults(&one["errors"])))
        .collect();
    assert_eq!(
        faults,
        [(1, vec![("", "not_json")]), (2, vec![("", "not_json")])]
    );
}

#[tokio::test]
async fn lines_are_answered_like_an_array() {
    let server = Server::start();
    let good = server
        .post_body("application/x-ndjson", example(THEN).to_string())
        .await;
    assert_eq!(good.status(), 200);
    assert_eq!(good.json::<Value>().await.unwrap()["accepted"], 1);
    let bad = server.post_body("application/x-ndjson", "oops\n").await;
    assert_eq!(
        problem(bad, 422, "batch_rejected").await["rejected"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

/// So many readings, each of a second of its own, small enough for one request.
fn many(count: usize, separator: &str) -> String {
    let mut body = String::new();
    for second in 0..count {
        let timestamp =
            crate::harness::at_millis(1_763_500_000_000 + 1000 * i64::try_from(second).unwrap());
        let end = if second + 1 == count { "" } else { separator };
        write!(
            body,
            r#"{{"sensor_id":"s","timestamp":"{timestamp}","values":{{"CO2":{}}}}}{end}"#,
            400 + second
        )
        .unwrap();
    }
    body
}

#[rstest]
#[tokio::test]
async fn ten_thousand_readings_are_one_batch_and_one_more_is_too_many(
    #[values(true, false)] as_lines: bool,
) {
    let server = Server::start();
    server
        .accept(
            &json!({"sensor_id": "s", "enseigne": "Maison", "salle": "Bureau",
            "timestamp": "2025-01-01T00:00:00Z", "values": {"CO2": 400}}),
        )
        .await;
    let post = async |count| {
        if as_lines {
            server
                .post_body("application/x-ndjson", many(count, "\n"))
                .await
        } else {
            server
                .post_body("application/json", format!("[{}]", many(count, ",")))
                .await
        }
    };
    problem(post(10_001).await, 413, "batch_too_large").await;
    assert_eq!(stored(&server).await.len(), 1);
    let response = post(10_000).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.json::<Value>().await.unwrap()["accepted"], 10_000);
    assert_eq!(stored(&server).await.len(), 10_001);
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn gzip_in_two_members(bytes: &[u8]) -> Vec<u8> {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    [gzip(first), gzip(second)].concat()
}

fn as_it_is(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

#[rstest]
#[case("gzip", gzip)]
#[case("GZIP", gzip)]
#[case("gzip", gzip_in_two_members)]
#[case("deflate", zlib)]
#[case("deflate", raw_deflate)]
#[case("zstd", zstd)]
#[case("identity", as_it_is)]
#[tokio::test]
async fn a_compressed_body_is_understood(#[case] name: &str, #[case] encode: fn(&[u8]) -> Vec<u8>) {
    let server = Server::start();
    let body = encode(example(THEN).to_string().as_bytes());
    let response = post_with(&server, &[("content-encoding", name)], body).await;
    assert_eq!(response.status(), 200);
    assert_eq!(latest(&server).await["co2"], 645);
}

#[rstest]
#[case("gzip")]
#[case("deflate")]
#[case("zstd")]
#[tokio::test]
async fn a_body_that_is_not_what_its_encoding_says_is_a_bad_request(#[case] name: &str) {
    let server = Server::start();
    let body = example(THEN).to_string().into_bytes();
    let response = post_with(&server, &[("content-encoding", name)], body).await;
    problem(response, 400, "bad_encoding").await;
}

#[rstest]
#[case::unknown(&["br"])]
#[case::twice_in_one(&["gzip, gzip"])]
#[case::two_in_one(&["gzip, zstd"])]
#[case::twice(&["gzip", "gzip"])]
#[tokio::test]
async fn other_encodings_are_unsupported(#[case] names: &[&str]) {
    let server = Server::start();
    let headers: Vec<_> = names
        .iter()
        .map(|name| ("content-encoding", *name))
        .collect();
    let body = gzip(&gzip(example(THEN).to_string().as_bytes()));
    problem(
        post_with(&server, &headers, body).await,
        415,
        "unsupported_encoding",
    )
    .await;
}

#[rstest]
#[case("text/plain")]
#[case("multipart/form-data; boundary=x")]
#[case("application/x-www-form-urlencoded")]
#[tokio::test]
async fn other_content_types_are_unsupported(#[case] content_type: &str) {
    let server = Server::start();
    let response = server
        .post_body(content_type, example(THEN).to_string())
        .await;
    problem(response, 415, "unsupported_media_type").await;
}

#[rstest]
#[case(&[])]
#[case(&[("content-type", "application/json; charset=utf-8")])]
#[case(&[("content-type", "Application/JSON")])]
#[tokio::test]
async fn json_may_be_named_in_any_way_or_not_at_all(#[case] headers: &[(&str, &str)]) {
    let server = Server::start();
    let body = example(THEN).to_string().into_bytes();
    assert_eq!(post_with(&server, headers, body).await.status(), 200);
}

/// The example, made as long as wanted by blanks.
fn padded(length: usize) -> Vec<u8> {
    let mut body = example(THEN).to_string().into_bytes();
    assert!(body.len() <= length);
    body.resize(length, b' ');
    body
}

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_body_of_a_mebibyte_is_taken_and_one_byte_more_is_too_large() {
    let server = Server::start();
    assert_eq!(
        server
            .post_body("application/json", padded(MIB))
            .await
            .status(),
        200
    );
    let response = server.post_body("application/json", padded(MIB + 1)).await;
    problem(response, 413, "too_large").await;
}

#[tokio::test]
async fn a_body_declared_too_large_is_refused_before_it_is_sent() {
    let server = Server::start();
    let head = format!(
        "POST /api/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        MIB + 1
    );
    let answer = server.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
}

#[tokio::test]
async fn a_chunked_body_is_refused_as_soon_as_it_is_too_large() {
    let server = Server::start();
    let mut stream = server.connect().await;
    let head = "POST /api/ingest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    // Sixteen chunks are the limit; the last one is never sent, so the body has no end.
    for _ in 0..17 {
        stream.write_all(&chunk).await.unwrap();
    }
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(crate::harness::PATIENCE, stream.read(&mut answer));
    let length = read.await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_chunked_body_within_the_limit_is_taken() {
    let server = Server::start();
    let body = example(THEN).to_string();
    let (first, second) = body.split_at(10);
    let request = format!(
        "POST /api/ingest HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
         \r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
        first.len(),
        second.len()
    );
    let answer = server.raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[rstest]
#[case("gzip", gzip)]
#[case("deflate", zlib)]
#[case("deflate", raw_deflate)]
#[case("zstd", zstd)]
#[tokio::test]
async fn an_expanded_body_may_have_its_limit_and_not_a_byte_more(
    #[case] name: &str,
    #[case] encode: fn(&[u8]) -> Vec<u8>,
) {
    let server = Server::with(&[("IAQ_BODY_EXPANDED_BYTES_MAX", "20000")]);
    let post = async |length| {
        post_with(
            &server,
            &[("content-encoding", name)],
            encode(&padded(length)),
        )
        .await
    };
    assert_eq!(post(20_000).await.status(), 200);
    problem(post(20_001).await, 413, "too_large").await;
}

#[rstest]
#[case("gzip", gzip)]
#[case("deflate", zlib)]
#[case("deflate", raw_deflate)]
#[case("zstd", zstd)]
#[tokio::test]
async fn a_bomb_is_refused_without_being_expanded(
    #[case] name: &str,
    #[case] encode: fn(&[u8]) -> Vec<u8>,
) {
    const BOMB_MIB: usize = 160;
    let server = Server::start();
    let bomb = encode(&vec![b' '; BOMB_MIB * MIB]);
    assert!(
        bomb.len() <= MIB,
        "it is refused for what it is, not for its size as sent"
    );
    let post = async |body: Vec<u8>| post_with(&server, &[("content-encoding", name)], body).await;
    // What the first request of a server leaves behind is not the bombs'.
    assert_eq!(post(encode(&padded(MIB))).await.status(), 200);
    let before_kib = server.resident_kib();
    for _ in 0..10 {
        problem(post(bomb.clone()).await, 413, "too_large").await;
    }
    let grown_kib = server.resident_kib().saturating_sub(before_kib);
    assert!(grown_kib < 8 * 1024, "{grown_kib} KiB more after ten bombs");
    // The limit is 16 MiB; a buffer that grows by doubling is copied once from there.
    let peak_kib = server.peak_kib().saturating_sub(before_kib);
    assert!(
        peak_kib < 64 * 1024,
        "{peak_kib} KiB for a body that may have 16 MiB"
    );
    server.accept(&example(THEN)).await;
}

#[rstest]
#[case("pm2.5", "pm25")]
#[case("PM2_5", "pm25")]
#[case("Pm02", "pm25")]
#[case("voc", "tvoc")]
#[case("Temp", "temperature")]
#[case("RH", "humidity")]
#[case("co2", "co2")]
#[case("VOCINDEX", "vocindex")]
#[case("noxindex", "noxindex")]
#[case("RADON", "radon")]
#[tokio::test]
async fn a_key_is_known_by_its_aliases_in_any_case(#[case] sent: &str, #[case] shown: &str) {
    let server = Server::start();
    server.accept(&taken_at(THEN, json!({sent: 17}))).await;
    let latest = latest(&server).await;
    assert_eq!(
        (&latest[shown], &latest["extra"]),
        (&json!(17), &Value::Null)
    );
}

#[rstest]
#[case("Temperature", "F", 72.14, 22.3)]
#[case("Temperature", "K", 295.45, 22.3)]
#[case("Temperature", "Cel", 22.3, 22.3)]
#[case("TVOC", "mg/m3", 0.18, 40.0)]
#[case("TVOC", "ug/m3", 180.0, 40.0)]
#[case("TVOC", "ppm", 0.04, 40.0)]
#[case("PM25", "mg/m3", 0.012, 12.0)]
#[case("CO2", "%", 0.0645, 645.0)]
#[case("Humidity", "/", 0.45, 45.0)]
#[case("Pressure", "Pa", 101_325.0, 1013.25)]
#[case("Radon", "pCi/L", 4.0, 148.0)]
#[case("NO2", "ug/m3", 100.0, 53.152)]
#[tokio::test]
async fn a_declared_unit_is_converted_on_entry(
    #[case] key: &str,
    #[case] unit: &str,
    #[case] sent: f64,
    #[case] shown: f64,
) {
    let server = Server::start();
    let mut reading = taken_at(THEN, json!({key: sent}));
    reading["units"] = json!({key.to_lowercase(): unit});
    let mut socket = server.watch("").await;
    server.accept(&reading).await;
    let flat = key.to_lowercase();
    close_to(&latest(&server).await[&flat], shown);
    close_to(&stored(&server).await[0][&flat], shown);
    close_to(&socket.next().await["values"][key], shown);
}

#[tokio::test]
async fn a_range_is_that_of_the_converted_value() {
    let server = Server::start();
    let mut reading = taken_at(THEN, json!({"Temperature": 100}));
    problem(server.post(&reading).await, 422, "reading_rejected").await;
    reading["units"] = json!({"Temperature": "F"});
    server.accept(&reading).await;
}

#[tokio::test]
async fn keys_nobody_knows_are_kept_and_shown_but_not_scored() {
    let server = Server::start();
    let mut socket = server.watch("").await;
    let mut reading = example(THEN);
    reading["values"]["battery"] = json!(3.7);
    reading["values"]["Übertemperatur"] = json!("12");
    assert_eq!(server.accept(&reading).await["global_score"], 81);
    let expected = json!({"battery": 3.7, "Übertemperatur": 12});
    assert_eq!(stored(&server).await[0]["extra"], expected);
    assert_eq!(latest(&server).await["extra"], expected);
    let values = &socket.next().await["values"];
    assert_eq!(
        (&values["battery"], &values["Übertemperatur"]),
        (&json!(3.7), &json!(12))
    );
    assert_eq!(values["CO2"], 645);
}

#[rstest]
#[case::as_many_as_allowed(32, 64, None)]
#[case::too_many(33, 8, Some("too_many_keys"))]
#[case::too_long(1, 65, Some("bad_key"))]
#[tokio::test]
async fn a_reading_may_have_32_extra_keys_of_64_characters(
    #[case] count: usize,
    #[case] length: usize,
    #[case] fault: Option<&str>,
) {
    let server = Server::start();
    let mut reading = example(THEN);
    for key in 0..count {
        reading["values"][format!("{key:é>length$}")] = json!(key);
    }
    let response = server.post(&reading).await;
    assert_eq!(response.status(), 200);
    let answer: Value = response.json().await.unwrap();
    let kept = match fault {
        None => {
            assert_eq!(answer["status"], "success");
            count
        }
        Some(code) => {
            assert_eq!(answer["status"], "partial");
            assert_eq!(faults(&answer["ignored"])[0].1, code);
            count - 1
        }
    };
    let latest = latest(&server).await;
    let extra = latest["extra"].as_object().map_or(0, serde_json::Map::len);
    assert_eq!((extra, &latest["co2"]), (kept, &json!(645)));
}

#[tokio::test]
async fn numbers_may_come_as_text() {
    let server = Server::start();
    let values = json!({"Temperature": "21.5", "CO2": " 645 ", "PM25": "1.2e1"});
    server.accept(&taken_at(THEN, values)).await;
    let latest = latest(&server).await;
    let shown = ["temperature", "co2", "pm25"].map(|key| latest[key].clone());
    assert_eq!(shown, [json!(21.5), json!(645), json!(12)]);
}

#[tokio::test]
async fn null_is_as_good_as_absent() {
    let server = Server::start();
    server
        .accept(&taken_at(
            THEN,
            json!({"CO2": 645, "PM25": null, "x": null}),
        ))
        .await;
    let mut reading = taken_at("2025-11-19T10:06:00Z", json!({"CO2": 645}));
    for field in ["enseigne", "salle", "units"] {
        reading[field] = Value::Null;
    }
    server.accept(&reading).await;
    let latest = latest(&server).await;
    assert_eq!(
        (&latest["pm25"], &latest["extra"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(latest["salle"], "Bureau");
}

#[rstest]
#[case(
    r#"{"sensor_id":"a","sensor_id":"b","enseigne":"M","salle":"B","values":{"CO2":1}}"#,
    "/sensor_id"
)]
#[case(
    r#"{"sensor_id":"a","enseigne":"M","salle":"B","salle":"B","values":{"CO2":1}}"#,
    "/salle"
)]
#[case(
    r#"{"sensor_id":"a","enseigne":"M","salle":"B","values":{"CO2":1},"values":{"CO2":1}}"#,
    "/values"
)]
#[case(
    r#"{"sensor_id":"a","enseigne":"M","salle":"B","values":{"CO2":1,"CO2":1}}"#,
    "/values/CO2"
)]
#[case(
    r#"{"sensor_id":"a","enseigne":"M","salle":"B","values":{"CO2":1,"\u0043O2":2}}"#,
    "/values/CO2"
)]
#[case(
    r#"{"sensor_id":"a","enseigne":"M","salle":"B","values":{"PM25":1,"pm2.5":2}}"#,
    "/values/pm2.5"
)]
#[case(
    r#"{"sensor_id":"a","enseigne":"M","salle":"B","values":{"x":1,"x":2}}"#,
    "/values/x"
)]
#[case(
    r#"{"sensor_id":"a","enseigne":"M","salle":"B","values":{"CO2":1},
    "units":{"CO2":"ppm","co2":"ppb"}}"#,
    "/units/co2"
)]
#[tokio::test]
async fn a_key_given_twice_is_refused(#[case] body: &'static str, #[case] pointer: &str) {
    let server = Server::start();
    let response = server.post_body("application/json", body).await;
    let problem = problem(response, 422, "reading_rejected").await;
    assert_eq!(faults(&problem["errors"]), [(pointer, "duplicate_key")]);
}

#[rstest]
#[case(&["enseigne"])]
#[case(&["salle"])]
#[case(&["enseigne", "salle"])]
#[tokio::test]
async fn only_a_known_sensor_may_leave_out_where_it_is(#[case] left_out: &[&str]) {
    let server = Server::start();
    let mut reading = example("2025-11-19T10:06:00Z");
    for field in left_out {
        reading.as_object_mut().unwrap().remove(*field);
    }
    let problem = problem(server.post(&reading).await, 422, "reading_rejected").await;
    let expected: Vec<_> = left_out
        .iter()
        .map(|field| (format!("/{field}"), "required"))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(pointer, code)| (&**pointer, *code))
        .collect();
    assert_eq!(faults(&problem["errors"]), expected);

    server.accept(&example(THEN)).await;
    server.accept(&reading).await;
    let latest = latest(&server).await;
    assert_eq!(
        (&latest["enseigne"], &latest["salle"]),
        (&json!("Maison"), &json!("Bureau"))
    );
}

#[tokio::test]
async fn a_reading_sent_again_is_a_duplicate_that_nobody_sees() {
    let server = Server::start();
    let mut socket = server.watch("").await;
    assert_eq!(
        server.accept(&example(THEN)).await["duplicate"],
        Value::Null
    );
    assert_eq!(socket.next().await["type"], "measurement");
    for part in [example(THEN), taken_at(THEN, json!({"CO2": 645.0}))] {
        let answer = server.accept(&part).await;
        assert_eq!(
            (&answer["status"], &answer["duplicate"]),
            (&json!("success"), &json!(true))
        );
        assert_eq!(answer["global_score"], 81);
    }
    assert_eq!(socket.drain().await, Vec::<Value>::new());
    assert_eq!(stored(&server).await.len(), 1);
    assert_eq!(
        server.get_json("/api/sensors/bureau1").await["reading_count"],
        1
    );
}

#[tokio::test]
async fn other_values_for_the_same_reading_are_merged_and_shown_again() {
    let server = Server::start();
    let mut socket = server.watch("").await;
    server
        .accept(&taken_at(THEN, json!({"CO2": 645, "PM25": 12, "x": 1})))
        .await;
    let first = socket.next().await;
    let answer = server
        .accept(&taken_at(THEN, json!({"CO2": 2000, "TVOC": 40, "y": 2})))
        .await;
    assert_eq!(
        (&answer["updated"], &answer["duplicate"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(answer["global_level"], "poor");
    let second = socket.next().await;
    assert_ne!(second["id"], first["id"]);
    assert_eq!(
        second["values"],
        json!({"CO2": 2000, "PM25": 12, "TVOC": 40, "x": 1, "y": 2})
    );
    let stored = stored(&server).await;
    assert_eq!(stored.len(), 1);
    for record in [&stored[0], &latest(&server).await] {
        assert_eq!(
            (
                &record["co2"],
                &record["pm25"],
                &record["tvoc"],
                &record["extra"]
            ),
            (
                &json!(2000),
                &json!(12),
                &json!(40),
                &json!({"x": 1, "y": 2})
            )
        );
    }
    assert_eq!(
        server.get_json("/api/sensors/bureau1").await["reading_count"],
        1
    );
}

#[tokio::test]
async fn a_late_reading_is_history_and_never_the_latest() {
    let server = Server::start();
    let mut socket = server.watch("").await;
    server.accept(&taken_at(THEN, json!({"CO2": 645}))).await;
    assert_eq!(socket.next().await["late"], Value::Null);
    server
        .accept(&taken_at("2025-11-19T10:00:00Z", json!({"CO2": 3000})))
        .await;
    let late = socket.next().await;
    assert_eq!(late["values"], json!({"CO2": 3000}));
    assert_eq!((&late["late"], &late["co2"]), (&json!(true), &json!(645)));
    assert_eq!(latest(&server).await["co2"], 645);
    let co2: Vec<_> = stored(&server)
        .await
        .iter()
        .map(|one| one["co2"].clone())
        .collect();
    assert_eq!(co2, [3000, 645]);
}

#[tokio::test]
async fn a_late_reading_of_another_room_does_not_move_its_sensor() {
    let server = Server::start();
    server.accept(&taken_at(THEN, json!({"CO2": 645}))).await;
    let mut late = taken_at("2025-11-19T10:00:00Z", json!({"CO2": 3000}));
    late["salle"] = "Cave".into();
    server.accept(&late).await;
    assert_eq!(latest(&server).await["salle"], "Bureau");
    assert_eq!(
        server.get_json("/api/sensors/bureau1").await["salle"],
        "Bureau"
    );
    let cellar = server
        .get_json("/api/iaq/data?salle=Cave&start=2000-01-01T00:00:00Z")
        .await;
    assert_eq!(cellar[0]["co2"], 3000);
}

#[rstest]
#[case::ahead(from_now(360), Some("timestamp_in_future"))]
#[case::a_little_ahead(from_now(240), None)]
#[case::too_old("1999-12-31T23:59:59.999Z".to_owned(), Some("timestamp_too_old"))]
#[case::oldest("2000-01-01T00:00:00Z".to_owned(), None)]
#[tokio::test]
async fn time_is_believed_from_the_year_2000_to_five_minutes_ahead(
    #[case] timestamp: String,
    #[case] fault: Option<&str>,
) {
    let server = Server::start();
    let response = server.post(&example(&timestamp)).await;
    let Some(code) = fault else {
        assert_eq!(response.status(), 200);
        let taken: Value = response.json().await.unwrap();
        assert_eq!(taken["timestamp"], *timestamp);
        return;
    };
    let problem = problem(response, 422, "reading_rejected").await;
    assert_eq!(faults(&problem["errors"]), [("/timestamp", code)]);
}

#[rstest]
#[case::other_site("https://evil.example", false)]
#[case::sandbox("null", false)]
#[case::other_port("http://127.0.0.1:1", false)]
#[case::listed("https://dashboard.example", true)]
#[tokio::test]
async fn pages_of_other_sites_cannot_post(#[case] origin: &str, #[case] allowed: bool) {
    let server = Server::with(&[("IAQ_ALLOWED_ORIGINS", "https://dashboard.example")]);
    let body = example(THEN).to_string().into_bytes();
    let response = post_with(&server, &[("origin", origin)], body).await;
    if allowed {
        assert_eq!(response.status(), 200);
    } else {
        problem(response, 403, "forbidden_origin").await;
        assert_eq!(stored(&server).await, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn pages_of_the_server_itself_can_post() {
    let server = Server::with(&[("IAQ_ALLOWED_ORIGINS", "https://dashboard.example")]);
    let origin = server.url("");
    let body = example(THEN).to_string().into_bytes();
    assert_eq!(
        post_with(&server, &[("origin", &origin)], body)
            .await
            .status(),
        200
    );
}

#[rstest]
#[case("GET", "/api/ingest", 405, "method_not_allowed")]
#[case("PUT", "/api/ingest", 405, "method_not_allowed")]
#[case("PUT", "/api/sensors/bureau1", 405, "method_not_allowed")]
#[case("POST", "/api/latest", 405, "method_not_allowed")]
#[case("POST", "/health", 405, "method_not_allowed")]
#[case("GET", "/api/nothing", 404, "not_found")]
#[case("POST", "/api", 404, "not_found")]
#[case("POST", "/nothing", 404, "not_found")]
#[case("GET", "/nothing", 404, "not_found")]
#[tokio::test]
async fn a_wrong_method_or_path_is_a_problem_like_any_other(
    #[case] method: &str,
    #[case] path: &str,
    #[case] status: u16,
    #[case] code: &str,
) {
    let server = Server::start();
    let request = client().request(method.parse().unwrap(), server.url(path));
    problem(request.send().await.unwrap(), status, code).await;
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let server = Server::start();
    let response = server.get("/api/ingest").await;
    // RFC 9110 §15.5.6: a 405 has to have it.
    assert_eq!(response.headers().get("allow").unwrap(), "POST");
}

#[rstest]
#[case("ppb", 40.0, 40.0)]
#[case("ug/m3", 180.0, 40.0)]
#[case("mg/m3", 0.18, 40.0)]
#[tokio::test]
async fn tvoc_without_a_unit_is_taken_in_the_configured_one_and_said_so(
    #[case] unit: &str,
    #[case] sent: f64,
    #[case] shown: f64,
) {
    let server = Server::with(&[("IAQ_TVOC_UNIT", unit)]);
    server.accept(&taken_at(THEN, json!({"TVOC": sent}))).await;
    let assumed = latest(&server).await;
    close_to(&assumed["tvoc"], shown);
    assert_eq!(assumed["tvoc_unit_assumed"], true);
    let mut declared = taken_at("2025-11-19T10:06:00Z", json!({"TVOC": 50}));
    declared["units"] = json!({"TVOC": "ppb"});
    server.accept(&declared).await;
    let declared = latest(&server).await;
    assert_eq!(
        (&declared["tvoc"], &declared["tvoc_unit_assumed"]),
        (&json!(50), &Value::Null)
    );
}

#[tokio::test]
async fn the_classic_score_is_given_where_it_is_configured() {
    let server = Server::with(&[("IAQ_SCORE_PROFILE", "classic")]);
    let mut socket = server.watch("").await;
    let answer = server.accept(&example(THEN)).await;
    // CO2 645 is 80 and 22.3 °C is 80; particles, TVOC and humidity are 100.
    assert_eq!(
        (&answer["global_score"], &answer["global_level"]),
        (&json!(92), &json!("excellent"))
    );
    assert_eq!(socket.next().await["global_score"], 92);
    assert_eq!(latest(&server).await["global_score"], 92);
    assert_eq!(stored(&server).await[0]["global_score"], 92);
    assert_eq!(
        server.get_json("/api/latest?profile=iaqverse").await[0]["global_score"],
        81
    );
}

#[tokio::test]
async fn the_classic_score_is_given_where_it_is_asked_for() {
    let server = Server::start();
    let now = server.accept(&example(&from_now(-5))).await;
    assert_eq!(now["global_score"], 81);
    for path in ["/api/latest", "/api/iaq/data", "/api/rooms"] {
        for (query, profile, score) in [
            ("", "iaqverse", 81),
            ("?profile=iaqverse", "iaqverse", 81),
            ("?profile=classic", "classic", 92),
        ] {
            let answer = server.get_json(&format!("{path}{query}")).await;
            let record = match path {
                "/api/rooms" => &answer[0]["salles"][0],
                _ => &answer[0],
            };
            assert_eq!(record["global_score"], score, "{path}{query}");
            if path != "/api/iaq/data" {
                assert_eq!(record["profile"], profile, "{path}{query}");
            }
        }
    }
}

#[tokio::test]
async fn while_the_store_cannot_write_readings_are_refused_and_nothing_is_lost() {
    let server = Server::start();
    let mut socket = server.watch("").await;
    let at = |second: usize| {
        taken_at(
            &format!("2025-11-19T10:05:0{second}Z"),
            json!({"CO2": 600 + second}),
        )
    };
    server.accept(&at(0)).await;
    socket.next().await;

    let lock = server.lock_store().await;
    for second in 1..3 {
        let response = server.post(&at(second)).await;
        assert_eq!(response.headers()["retry-after"], "1");
        let problem = problem(response, 503, "store_unavailable").await;
        let text = problem.to_string().to_lowercase();
        assert!(
            !text.contains("sqlite") && !text.contains("locked"),
            "{problem}"
        );
    }
    assert_eq!(server.get("/health/live").await.status(), 200);
    unlock_store(lock).await;

    for second in 0..4 {
        let answer = server.accept(&at(second)).await;
        let duplicate = if second == 0 {
            json!(true)
        } else {
            Value::Null
        };
        assert_eq!(answer["duplicate"], duplicate, "second {second}");
    }
    let co2: Vec<_> = stored(&server)
        .await
        .iter()
        .map(|one| one["co2"].clone())
        .collect();
    assert_eq!(co2, [600, 601, 602, 603]);
    let seen: Vec<_> = socket
        .drain()
        .await
        .iter()
        .map(|one| one["co2"].clone())
        .collect();
    assert_eq!(seen, [601, 602, 603]);
    assert_eq!(
        server.get_json("/api/sensors/bureau1").await["reading_count"],
        4
    );
}

#[tokio::test]
async fn when_the_queue_is_full_readings_are_refused_until_there_is_room() {
    let server = Server::with(&[
        ("IAQ_QUEUE_READINGS_MAX", "2"),
        ("IAQ_BATCH_READINGS_MAX", "2"),
    ]);
    server
        .accept(&taken_at("2025-11-19T10:00:00Z", json!({"CO2": 600})))
        .await;
    let batch = |minute: usize| {
        let at = |second| {
            taken_at(
                &format!("2025-11-19T10:1{minute}:0{second}Z"),
                json!({"CO2": 600}),
            )
        };
        json!([at(0), at(1)])
    };
    let lock = server.lock_store().await;
    let batches: Vec<_> = (0..6).map(batch).collect();
    let responses = join_all(batches.iter().map(|batch| server.post(batch))).await;
    let mut codes = Vec::new();
    for response in responses {
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.status(), 503);
        let problem: Value = response.json().await.unwrap();
        codes.push(problem["code"].as_str().unwrap().to_owned());
    }
    codes.sort();
    codes.dedup();
    assert_eq!(codes, ["queue_full", "store_unavailable"]);
    unlock_store(lock).await;

    for batch in &batches {
        // What waited may still be on its way out.
        let taken = loop {
            let response = server.post(batch).await;
            if response.status() != 503 {
                break response;
            }
        };
        assert_eq!(taken.status(), 200);
        let answer: Value = taken.json().await.unwrap();
        assert_eq!(answer["accepted"], 2);
    }
    assert_eq!(stored(&server).await.len(), 13);
}

#[tokio::test]
async fn a_late_reading_can_be_merged_and_is_late_again() {
    let server = Server::start();
    server
        .accept(&taken_at("2025-11-19T10:00:00Z", json!({"CO2": 600})))
        .await;
    server.accept(&taken_at(THEN, json!({"CO2": 645}))).await;
    let mut socket = server.watch("").await;
    let answer = server
        .accept(&taken_at("2025-11-19T10:00:00Z", json!({"PM25": 12})))
        .await;
    assert_eq!(answer["updated"], true);
    let again = server
        .accept(&taken_at("2025-11-19T10:00:00Z", json!({"PM25": 12})))
        .await;
    assert_eq!(again["duplicate"], true);
    server
        .accept(&taken_at(THEN, json!({"CO2": 645, "PM25": 13})))
        .await;
    server
        .accept(&taken_at("2025-11-19T10:00:00Z", json!({"PM25": 14})))
        .await;
    let seen = socket.drain().await;
    let seen: Vec<_> = seen
        .iter()
        .map(|message| (&message["late"], &message["values"], &message["pm25"]))
        .collect();
    // The first is the newest there is of its quantity, the last is not any more.
    assert_eq!(
        seen,
        [
            (&Value::Null, &json!({"CO2": 600, "PM25": 12}), &json!(12)),
            (&Value::Null, &json!({"CO2": 645, "PM25": 13}), &json!(13)),
            (&json!(true), &json!({"CO2": 600, "PM25": 14}), &json!(13)),
        ]
    );
    assert_eq!(latest(&server).await["co2"], 645);
    assert_eq!(stored(&server).await.len(), 2);
}

#[tokio::test]
async fn a_merge_never_leaves_more_extra_keys_than_a_reading_may_have() {
    let server = Server::start();
    let extras = |from: usize| -> Value {
        (from..from + 32)
            .map(|key| (format!("key{key}"), json!(key)))
            .collect()
    };
    server.accept(&taken_at(THEN, extras(0))).await;
    let response = server.post(&taken_at(THEN, extras(32))).await;
    // Nothing of it has space.
    problem(response, 422, "reading_rejected").await;
    assert_eq!(latest(&server).await["extra"], extras(0));

    // What has none costs the others nothing.
    let mut newer = extras(32);
    newer["CO2"] = json!(645);
    newer["key3"] = json!(33);
    newer.as_object_mut().unwrap().remove("key63");
    let answer = server.accept(&taken_at(THEN, newer)).await;
    assert_eq!(
        (&answer["status"], &answer["updated"]),
        (&json!("partial"), &json!(true))
    );
    assert_eq!(faults(&answer["ignored"]), [("/values", "too_many_keys")]);
    assert_eq!(answer["ignored_total"], 31);
    let latest = latest(&server).await;
    let mut merged = extras(0);
    merged["key3"] = json!(33);
    assert_eq!((&latest["co2"], &latest["extra"]), (&json!(645), &merged));
}

#[rstest]
#[case::sensors("IAQ_SENSORS_MAX", "/sensor_id", "too_many_sensors")]
#[case::rooms("IAQ_ROOMS_MAX", "/salle", "too_many_rooms")]
#[tokio::test]
async fn a_full_registry_takes_nobody_new_and_goes_on_with_the_others(
    #[case] limit: &str,
    #[case] pointer: &str,
    #[case] code: &str,
) {
    let server = Server::with(&[(limit, "1")]);
    server
        .accept(&taken_at("2025-11-19T10:00:00Z", json!({"CO2": 600})))
        .await;
    let mut other = example(THEN);
    other["sensor_id"] = "salon1".into();
    other["salle"] = "Salon".into();
    let problem = problem(server.post(&other).await, 422, "reading_rejected").await;
    assert_eq!(faults(&problem["errors"]), [(pointer, code)]);
    server.accept(&example(THEN)).await;
}

#[rstest]
#[case("gzip", gzip)]
#[case("deflate", zlib)]
#[case("deflate", raw_deflate)]
#[case("zstd", zstd)]
#[tokio::test]
async fn a_compressed_body_that_ends_early_is_a_bad_request(
    #[case] name: &str,
    #[case] encode: fn(&[u8]) -> Vec<u8>,
) {
    let server = Server::start();
    let mut body = encode(example(THEN).to_string().as_bytes());
    body.truncate(body.len() - 9);
    let response = post_with(&server, &[("content-encoding", name)], body).await;
    problem(response, 400, "bad_encoding").await;
}

#[tokio::test]
async fn a_query_while_the_store_is_locked_is_answered_or_told_to_come_back() {
    let server = Server::start();
    server.accept(&example(&from_now(-5))).await;
    let lock = server.lock_store().await;
    for path in ["/api/latest", "/api/sensors", "/api/health"] {
        assert_eq!(server.get(path).await.status(), 200, "{path}");
    }
    for path in ["/api/iaq/data", "/api/rooms"] {
        let response = server.get(path).await;
        if response.status() != 200 {
            assert_eq!(response.headers()["retry-after"], "1", "{path}");
            problem(response, 503, "store_unavailable").await;
        }
    }
    unlock_store(lock).await;
    assert_eq!(stored(&server).await.len(), 1);
}

#[rstest]
#[case::stays_assumed(None, json!({"CO2": 645}), None, json!(true))]
#[case::is_declared_later(None, json!({"TVOC": 50}), Some("ppb"), json!(null))]
#[case::stays_declared(Some("ppb"), json!({"CO2": 645}), None, json!(null))]
#[case::is_assumed_later(Some("ppb"), json!({"TVOC": 50}), None, json!(true))]
#[tokio::test]
async fn a_merge_knows_whether_the_unit_of_the_value_it_keeps_was_assumed(
    #[case] first_unit: Option<&str>,
    #[case] second: Value,
    #[case] second_unit: Option<&str>,
    #[case] assumed: Value,
) {
    let server = Server::start();
    let mut first = taken_at(THEN, json!({"TVOC": 40}));
    first["units"] = json!({"TVOC": first_unit});
    let mut second = taken_at(THEN, second);
    second["units"] = json!({"TVOC": second_unit});
    server.accept(&first).await;
    server.accept(&second).await;
    assert_eq!(latest(&server).await["tvoc_unit_assumed"], assumed);
    let server = server.revive();
    assert_eq!(latest(&server).await["tvoc_unit_assumed"], assumed);
}

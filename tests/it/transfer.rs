//! `export`, `import` and `backup` on databases of both kinds.

use crate::harness::{Ended, PATIENCE, Run, Server, command};
use crate::ledger::{Ledger, check_integrity};
use crate::place::{Kind, Place};
use futures_util::future::join_all;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::path::Path;

fn run(url: &str, arguments: &[&str]) -> Ended {
    Run::of(command().args(arguments).env("DATABASE_URL", url)).ended()
}

fn start(url: &str) -> Server {
    Server::with(&[("DATABASE_URL", url), ("IAQ_LOG", "info")])
}

/// Everything as a text, after checking that it went well.
fn export(url: &str, format: &str) -> String {
    let ended = run(url, &["export", "--format", format]);
    assert_eq!(ended.code, Some(0), "{}", ended.logged);
    ended.printed
}

/// Readings with everything that could get lost on the way: names that look like formulas or have
/// quotes and line ends, a sensor that moves, times between milliseconds, quantities of no list.
fn readings() -> Value {
    let reading = |sensor: &str, site: &str, room: &str, at: &str, values: Value| json!({"sensor_id": sensor, "enseigne": site, "salle": room, "timestamp": at, "values": values});
    let mut all = vec![
        // Known before the one below, of which there is an older reading.
        reading(
            "z",
            "M",
            "B",
            "2025-03-01T10:00:00Z",
            json!({"CO2": 645, "PM25": 12.25}),
        ),
        reading("a", "M", "B", "2025-03-01T10:00:00Z", json!({"CO2": 646.5})),
        reading(
            "a",
            "M",
            "B",
            "2025-02-01T10:00:00Z",
            json!({"Temperature": -1.5, "TVOC": 40.125}),
        ),
        reading(
            "-1",
            "=HYPERLINK(\"http://x\")",
            "+1",
            "2025-03-01T10:00:01.5Z",
            json!({"CO2": 700}),
        ),
        reading(
            "q",
            "'=1",
            "''",
            "2025-03-01T10:00:01.501Z",
            json!({"CO2": 701}),
        ),
        reading(
            "q2",
            "l'\"été\", là",
            "@x",
            "2025-03-01T10:00:02Z",
            json!({"CO2": 0, "battery": 3.1, "=x": 1}),
        ),
        reading(
            "q2",
            "M",
            "moved",
            "2025-03-01T10:01:02+01:00",
            json!({"Humidity": 0.1, "battery": 1e-7}),
        ),
        reading(
            "n",
            "M",
            "-",
            "2025-03-01T10:00:03Z",
            json!({"occupants": 3, "Light": 123_456.5, "CO2": null}),
        ),
    ];
    all.extend((0..2500_u32).map(|each| {
        let (minutes, seconds) = (each / 60 % 60, each % 60);
        let at = format!(
            "2025-04-01T{:02}:{minutes:02}:{seconds:02}.{:03}Z",
            each / 3600,
            each % 1000
        );
        let sensor = ["z", "a", "q"][each as usize % 3];
        reading(
            sensor,
            "M",
            "B",
            &at,
            json!({"CO2": 400 + each % 777, "Humidity": 30.0 + f64::from(each) / 100.0}),
        )
    }));
    all.into()
}

#[rstest]
#[tokio::test]
async fn what_is_exported_can_be_imported_and_is_the_same_again(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
    #[values("csv", "ndjson")] format: &str,
) {
    let place = Place::new(kind);
    let url = place.new_database().await;
    let server = start(&url);
    let taken = server.accept(&readings()).await;
    let count = readings().as_array().unwrap().len();
    assert_eq!(taken["accepted"], count, "{taken}");

    let exported = export(&url, format);
    let path = format!("/api/iaq/data?format={format}&raw=true&start=1970-01-01T00:00:00Z");
    let shown = server.get(&path).await.text().await.unwrap();
    assert_eq!(
        exported.replace('\r', ""),
        shown.replace('\r', ""),
        "as the server shows it"
    );
    if format == "csv" {
        assert!(
            exported.contains("\"'=HYPERLINK(\"\"http://x\"\")\""),
            "{exported:.3000}"
        );
        assert!(exported.contains(",'+1,"), "{exported:.3000}");
        assert!(exported.contains(",-1.5,"), "{exported:.3000}");
    }
    server.terminate();
    assert!(server.ended_well().await);
    assert_eq!(export(&url, format), exported, "without the server");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("readings.{format}"));
    std::fs::write(&file, &exported).unwrap();
    let file = file.to_str().unwrap();
    let other = place.new_database().await;
    let ended = run(&other, &["import", file]);
    assert_eq!(ended.code, Some(0), "{}", ended.logged);
    assert!(
        ended
            .logged
            .contains(&format!("{count} new, 0 changed, 0 already there, 0 bad")),
        "{}",
        ended.logged
    );
    let imported = export(&other, format);
    assert_eq!(sorted(&imported), sorted(&exported), "after the import");

    let ended = run(&other, &["import", file]);
    assert_eq!(ended.code, Some(0), "{}", ended.logged);
    assert!(
        ended
            .logged
            .contains(&format!("0 new, 0 changed, {count} already there, 0 bad")),
        "{}",
        ended.logged
    );
    assert_eq!(export(&other, format), imported, "after a second import");

    // Records of the same time are in the order in which their sensors became known, which is that of
    // the file from now on.
    std::fs::write(file, &imported).unwrap();
    let third = place.new_database().await;
    assert_eq!(run(&third, &["import", file]).code, Some(0));
    assert_eq!(export(&third, format), imported, "after another import");
}

#[rstest]
#[tokio::test]
async fn every_dialect_that_is_exported_can_be_imported(
    #[values(",", ";", "tab")] delimiter: &str,
    #[values(".", ",")] decimal: &str,
    #[values(true, false)] bom: bool,
) {
    let place = Place::new(Kind::Sqlite);
    let url = place.new_database().await;
    let server = start(&url);
    let hostile = [
        "=1+1", "＝1+1", "＋1", "－1", "＠x", "'x", "a;=1", "a,＝1", "a;'x,''", "a;b", "1,5",
        "a\"b\";", "\"", "é",
    ];
    let hostile = (0..).zip(hostile).map(|(minute, name)| {
        json!({"sensor_id": format!("h{minute}"), "enseigne": name, "salle": name,
            "timestamp": format!("2025-03-02T10:{minute:02}:00Z"),
            "values": {"Temperature": -1.5, "CO2": 1234.25, name: 0.5}})
    });
    let mut readings = readings();
    readings.as_array_mut().unwrap().extend(hostile);
    server.accept(&readings).await;
    let plain = export(&url, "csv");
    server.terminate();
    assert!(server.ended_well().await);

    let mut arguments = vec!["export", "--delimiter", delimiter, "--decimal", decimal];
    if bom {
        arguments.push("--bom");
    }
    let ended = run(&url, &arguments);
    if (delimiter, decimal) == (",", ",") {
        assert_eq!(ended.code, Some(1), "{}", ended.logged);
        assert!(ended.logged.contains("--decimal"), "{}", ended.logged);
        return;
    }
    assert_eq!(ended.code, Some(0), "{}", ended.logged);
    assert_eq!(ended.printed.starts_with('\u{feff}'), bom);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("readings.csv");
    std::fs::write(&file, &ended.printed).unwrap();
    let other = place.new_database().await;
    let ended = run(&other, &["import", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{}", ended.logged);
    assert_eq!(sorted(&export(&other, "csv")), sorted(&plain));
}

#[tokio::test]
async fn days_of_a_zone_are_exported_and_not_taken_for_readings() {
    let place = Place::new(Kind::Sqlite);
    let url = place.new_database().await;
    let server = start(&url);
    let reading = |at: &str| json!({"sensor_id": "a", "enseigne": "M", "salle": "B", "timestamp": at, "values": {"CO2": 600}});
    let of_one_day = [
        reading("2025-03-29T23:30:00Z"),
        reading("2025-03-30T21:30:00Z"),
    ];
    server.accept(&json!(of_one_day)).await;
    server.terminate();
    assert!(server.ended_well().await);
    let daily = [
        "export",
        "--format",
        "ndjson",
        "--step",
        "daily",
        "--tz",
        "Europe/Paris",
    ];
    let ended = run(&url, &daily);
    assert_eq!(ended.code, Some(0), "{}", ended.logged);
    let day: Value = serde_json::from_str(&ended.printed).unwrap();
    assert_eq!(
        (&day["timestamp"], &day["count"]),
        (&json!("2025-03-29T23:00:00Z"), &json!(2))
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("days.ndjson");
    std::fs::write(&file, &ended.printed).unwrap();
    let ended = run(&url, &["import", file.to_str().unwrap()]);
    assert!(
        ended.code == Some(1) && ended.logged.contains("mean"),
        "{}",
        ended.logged
    );
    for (name, value) in [("--step", "never"), ("--tz", "Paris"), ("--delimiter", "|")] {
        let ended = run(&url, &["export", name, value]);
        assert!(
            ended.code != Some(0) && ended.logged.contains(name),
            "{}",
            ended.logged
        );
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[rstest]
#[case::ndjson("readings.ndjson", &[
    r#"{"sensor_id":"a","enseigne":"M","salle":"B","timestamp":"2025-03-01T10:00:00Z","values":{"CO2":600}}"#,
    "{no",
    r#"{"sensor_id":"a","enseigne":"M","salle":"B","timestamp":"2025-03-01T10:01:00Z","co2":601}"#,
    r#"{"sensor_id":"a","enseigne":"M","salle":"B","timestamp":"2025-03-01T10:02:00Z","values":{"CO2":-5}}"#,
    r#"{"sensor_id":"a","enseigne":"M","salle":"B","timestamp":"2025-03-01T10:03:00Z","values":{"CO2":602}}"#,
], &[2, 4], 3)]
#[case::csv("readings.csv", &[
    "sensor_id,enseigne,salle,timestamp,co2",
    "a,M,B,2025-03-01T10:00:00Z,600",
    "a,M,B,2025-03-01T10:01:00Z",
    "a,M,B,yesterday,600",
    "a,M,B,2025-03-01T10:03:00Z,602",
], &[3, 4], 2)]
#[tokio::test]
async fn bad_lines_are_named_and_the_others_taken(
    #[case] name: &str,
    #[case] lines: &[&str],
    #[case] bad: &[usize],
    #[case] good: usize,
) {
    let place = Place::new(Kind::Sqlite);
    let url = place.new_database().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, lines.join("\n")).unwrap();
    let file = file.to_str().unwrap();
    let ended = run(&url, &["import", file]);
    assert_eq!(ended.code, Some(1), "{}", ended.logged);
    for line in bad {
        assert!(
            ended.logged.contains(&format!("{file}:{line}: ")),
            "{line}: {}",
            ended.logged
        );
    }
    assert_eq!(
        ended.logged.matches(file).count(),
        bad.len(),
        "{}",
        ended.logged
    );
    assert!(
        ended.logged.contains(&format!("{good} new, ")),
        "{}",
        ended.logged
    );
    assert_eq!(export(&url, "ndjson").lines().count(), good);
}

#[rstest]
#[tokio::test]
async fn nothing_is_imported_beside_a_server(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let place = Place::new(kind);
    let url = place.new_database().await;
    let server = start(&url);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("readings.ndjson");
    let line = r#"{"sensor_id":"a","enseigne":"M","salle":"B","timestamp":"2025-03-01T10:00:00Z","co2":600}"#;
    std::fs::write(&file, line).unwrap();
    let ended = run(&url, &["import", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.logged.contains("another"), "{}", ended.logged);
    assert!(!ended.logged.contains("panicked"), "{}", ended.logged);
    assert_eq!(server.get_json("/api/sensors").await, json!([]));
    // The server was not disturbed.
    server
        .accept(
            &serde_json::from_str(
                r#"{"sensor_id":"b","enseigne":"M","salle":"B","values":{"CO2":600}}"#,
            )
            .unwrap(),
        )
        .await;
}

#[rstest]
#[tokio::test]
async fn a_backup_under_load_has_what_was_acknowledged_before(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let place = Place::new(kind);
    let url = place.new_database().await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    let mut server = start(&url);
    let ledger = Ledger::default();
    let post_url = server.url("/api/ingest");
    let backup = async {
        ledger.reach(5000).await;
        let promised = ledger.promised();
        let (url, to) = (url.clone(), copy.clone());
        let ended =
            tokio::task::spawn_blocking(move || run(&url, &["backup", to.to_str().unwrap()]));
        let ended = ended.await.unwrap();
        assert_eq!(ended.code, Some(0), "{}", ended.logged);
        assert!(
            ledger.acknowledged() > promised.len(),
            "nothing was posted meanwhile"
        );
        server.kill();
        promised
    };
    let devices = join_all((0..3).map(|seed| ledger.device(&post_url, seed)));
    let both = async { tokio::join!(backup, devices) };
    let (promised, _) = tokio::time::timeout(2 * PATIENCE, both).await.unwrap();
    check_integrity(&copy).await;
    check_refuses_to_overwrite(&url, &copy);

    let copied = start(&format!("sqlite://{}", copy.display()));
    ledger.check_copy(&copied, &promised).await;
    ledger.post_until_taken(&copied).await;
}

fn check_refuses_to_overwrite(url: &str, copy: &Path) {
    let before = std::fs::read(copy).unwrap();
    let ended = run(url, &["backup", copy.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.logged.contains("copy.db"), "{}", ended.logged);
    assert!(
        std::fs::read(copy).unwrap() == before,
        "the file has changed"
    );
}

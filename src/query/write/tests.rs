//! What is written, line by line.

use super::{Dialect, Format, Line, Names};
use crate::database::{RoomKey, SensorKey};
use crate::domain::{Extras, Place, PlaceName, Quantity, SensorId, Timestamp, Values};
use crate::query::record::Record;
use crate::query::shapes::{self, describes};
use crate::score::Profile;
use crate::store::{BucketRow, HistoryRow, Measure, Statistics};
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use std::sync::Arc;

const SENSOR: SensorKey = SensorKey(7);
const ROOM: RoomKey = RoomKey(3);

fn names(sensor: &str, site: &str, room: &str) -> Names {
    let mut names = Names::default();
    names
        .sensors
        .insert(SENSOR, SensorId::parse(sensor).unwrap());
    let place = Place {
        site: PlaceName::nearest(site),
        room: PlaceName::nearest(room),
    };
    names.rooms.insert(ROOM, Arc::new(place));
    names
}

fn reading(millis: i64, numbers: &[(Quantity, f64)], extra: &[(&str, f64)]) -> HistoryRow {
    let mut values = Values::default();
    for (quantity, number) in numbers {
        assert!(values.set(*quantity, *number));
    }
    let mut extras = Extras::default();
    for (key, number) in extra {
        extras.insert(key, *number).unwrap();
    }
    HistoryRow {
        sensor: SENSOR,
        observed_at: Timestamp::from_millis(millis),
        room: ROOM,
        values,
        extras,
        tvoc_unit_assumed: false,
    }
}

/// CO2 of 600 and 1000, scored 95 and 80, in the hour from the epoch.
fn bucket() -> BucketRow {
    let of = |numbers: [f64; 2]| {
        let mut statistics = Statistics::of(numbers[0]);
        statistics.add(&Statistics::of(numbers[1]));
        statistics
    };
    BucketRow {
        sensor: SENSOR,
        start: Timestamp::from_millis(0),
        room: ROOM,
        readings: 3,
        statistics: [
            (Measure::Quantity(Quantity::Co2), of([600.0, 1000.0])),
            (Measure::Score(Profile::Iaqverse), of([95.0, 80.0])),
            (Measure::Score(Profile::Classic), of([11.0, 12.0])),
        ]
        .into_iter()
        .collect(),
    }
}

#[test]
fn records_with_extremes_are_written_as_they_are_described() {
    let names = names("bureau1", "Maison", "Bureau");
    let numbers: Vec<_> = Quantity::ALL
        .into_iter()
        .map(|quantity| (quantity, *quantity.range().end()))
        .collect();
    let row = reading(0, &numbers, &[("battery", 3.5)]);
    let bucket = bucket();
    for profile in [Profile::Iaqverse, Profile::Classic] {
        for line in [
            Line::of_reading(&row, profile),
            Line::of_bucket(&bucket, profile),
        ] {
            for minmax in [true, false] {
                let json = written(Format::Json, &names, minmax, std::slice::from_ref(&line));
                let records: serde_json::Value = serde_json::from_str(&json).unwrap();
                describes::<shapes::Record>(&records[0]);
            }
        }
    }
}

fn written(format: Format, names: &Names, minmax: bool, lines: &[Line<'_>]) -> String {
    let mut writer = format.writer(names, minmax, Dialect::default());
    let mut out = Vec::new();
    writer.begin(&mut out);
    for line in lines {
        assert!(writer.row(line, &mut out));
    }
    writer.end(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_history_without_lines_is_well_formed() {
    let names = Names::default();
    assert_eq!(written(Format::Json, &names, false, &[]), "[]");
    assert_eq!(written(Format::NdJson, &names, false, &[]), "");
    assert_eq!(written(Format::Csv, &names, false, &[]).lines().count(), 1);
}

#[test]
fn a_line_of_an_unknown_sensor_leaves_no_trace() {
    let known = names("s1", "M", "B");
    let rows = [600.0, 700.0].map(|co2| reading(0, &[(Quantity::Co2, co2)], &[]));
    for format in Format::ALL {
        let mut lines = rows
            .each_ref()
            .map(|row| Line::of_reading(row, Profile::Iaqverse));
        let expected = written(format, &known, false, &lines[1..]);
        lines[0].sensor = SensorKey(8);
        let mut writer = format.writer(&known, false, Dialect::default());
        let mut out = Vec::new();
        writer.begin(&mut out);
        assert!(!writer.row(&lines[0], &mut out));
        assert!(writer.row(&lines[1], &mut out));
        writer.end(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn json_records_are_separated_and_lines_are_ended() {
    let names = names("s1", "M", "B");
    let counted = [(Quantity::Co2, 600.0), (Quantity::Occupants, 2.0)];
    let row = reading(0, &counted, &[]);
    let lines = [0, 1].map(|_| Line::of_reading(&row, Profile::Iaqverse));
    let record = written(Format::NdJson, &names, false, &lines[..1]);
    let record = record.strip_suffix('\n').unwrap();
    assert_eq!(
        written(Format::Json, &names, false, &lines),
        format!("[{record},{record}]")
    );
    assert_eq!(
        written(Format::NdJson, &names, false, &lines),
        format!("{record}\n{record}\n")
    );
}

#[test]
fn who_was_not_counted_is_nobody_for_the_pages_and_absent_elsewhere() {
    let names = names("s1", "M", "B");
    let row = reading(0, &[(Quantity::Co2, 600.0)], &[]);
    let line = || [Line::of_reading(&row, Profile::Iaqverse)];
    let array = written(Format::Json, &names, false, &line());
    assert!(array.contains(r#","occupants":0,"#), "{array}");
    let record = written(Format::NdJson, &names, false, &line());
    assert!(!record.contains("occupants"), "{record}");
}

#[test]
fn a_bucket_has_its_means_and_with_minmax_their_envelope() {
    let names = names("s1", "M", "B");
    let bucket = bucket();
    let line = || [Line::of_bucket(&bucket, Profile::Iaqverse)];
    let plain = concat!(
        r#"{"timestamp":"1970-01-01T00:00:00Z","sensor_id":"s1","enseigne":"M","salle":"B","#,
        r#""co2":800,"pm25":null,"tvoc":null,"temperature":null,"humidity":null,"#,
        r#""global_score":90,"global_level":"excellent""#,
    );
    assert_eq!(
        written(Format::NdJson, &names, false, &line()),
        format!("{plain}}}\n")
    );
    assert_eq!(
        written(Format::NdJson, &names, true, &line()),
        format!(
            "{plain},{}}}\n",
            r#""co2_min":600,"co2_max":1000,"global_score_min":80,"global_score_max":95,"count":3"#
        )
    );
}

#[test]
fn the_envelope_of_a_reading_is_the_reading() {
    let names = names("s1", "M", "B");
    let row = reading(0, &[(Quantity::Temperature, -1.5)], &[]);
    let lines = [Line::of_reading(&row, Profile::Iaqverse)];
    let record = written(Format::NdJson, &names, true, &lines);
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["temperature_min"], -1.5);
    assert_eq!(record["temperature_max"], -1.5);
    assert_eq!(record["global_score_min"], record["global_score"]);
    assert_eq!(record["global_score_max"], record["global_score"]);
    assert_eq!(record["count"], 1);
    assert_eq!(record.get("co2_min"), None);
}

/// Header and first line of a CSV, read back by a reader of another make than the writer.
fn cells(names: &Names, minmax: bool, line: Line<'_>) -> Vec<(String, String)> {
    let text = written(Format::Csv, names, minmax, &[line]);
    assert!(text.ends_with("\r\n"), "{text:?}");
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let records: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 1);
    let cells = header.iter().zip(&records[0]);
    cells.map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

#[test]
fn a_csv_line_has_a_cell_for_every_column() {
    let names = names("s1", "A, \"B\"", "=HYPERLINK(\"http://x\")");
    let row = reading(
        1,
        &[
            (Quantity::Co2, 600.0),
            (Quantity::Temperature, -1.5),
            (Quantity::Occupants, 2.0),
        ],
        &[("a\"b", 1.0), ("c", -0.5)],
    );
    let cells = cells(&names, false, Line::of_reading(&row, Profile::Iaqverse));
    let columns: Vec<_> = cells.iter().map(|(column, _)| column.as_str()).collect();
    let mut expected = vec!["timestamp", "sensor_id", "enseigne", "salle"];
    expected.extend(Quantity::ALL.map(Quantity::flat_key));
    expected.extend(["global_score", "global_level", "extra"]);
    assert_eq!(columns, expected);

    let score = Profile::Iaqverse.assess(&row.values).shown().unwrap();
    let filled: Vec<_> = cells.iter().filter(|(_, cell)| !cell.is_empty()).collect();
    let expected = [
        ("timestamp", "1970-01-01T00:00:00.001Z"),
        ("sensor_id", "s1"),
        ("enseigne", "A, \"B\""),
        ("salle", "'=HYPERLINK(\"http://x\")"),
        ("co2", "600"),
        ("temperature", "-1.5"),
        ("occupants", "2"),
        ("global_score", &score.to_string()),
        ("global_level", crate::domain::Level::of(score).as_str()),
        ("extra", r#"{"a\"b":1,"c":-0.5}"#),
    ]
    .map(|(column, cell)| (column.to_owned(), cell.to_owned()));
    assert_eq!(filled, expected.iter().collect::<Vec<_>>());
}

#[test]
fn a_csv_with_minmax_has_columns_for_it() {
    let names = names("-s1", "M", "B");
    let bucket = bucket();
    let cells = cells(&names, true, Line::of_bucket(&bucket, Profile::Classic));
    assert_eq!(cells.len(), 4 + 3 * Quantity::COUNT + 2 + 3 + 1);
    for (column, expected) in [
        ("sensor_id", "'-s1"),
        ("co2", "800"),
        ("co2_min", "600"),
        ("co2_max", "1000"),
        ("pm25_min", ""),
        ("global_score_min", "11"),
        ("global_score_max", "12"),
        ("count", "3"),
        ("extra", ""),
    ] {
        let cell = cells.iter().find(|(name, _)| name == column);
        assert_eq!(cell.unwrap().1, expected, "{column}");
    }
}

proptest! {
    /// The serialiser of `/api/latest` says what a record is; the writer by hand must not differ.
    #[test]
    fn a_record_is_what_a_serialiser_makes_of_it(
        millis in 946_684_800_000..4_102_444_800_000_i64,
        shares in prop::collection::vec(prop::option::of(prop_oneof![Just(0.0), Just(1.0), 0.0..1.0]), Quantity::COUNT),
        extra in prop::collection::btree_map(".{1,12}", -1e12..1e12, 0..4),
        site in "[^\\p{Cc}]{1,20}",
        room in "[^\\p{Cc}]{1,20}",
        classic in any::<bool>(),
    ) {
        let numbers: Vec<_> = Quantity::ALL.into_iter().zip(shares).filter_map(|(quantity, share)| {
            let (min, max) = (*quantity.range().start(), *quantity.range().end());
            Some((quantity, (min + share? * (max - min)).clamp(min, max)))
        }).collect();
        let extra: Vec<_> = extra.iter().map(|(key, number)| (key.as_str(), *number)).collect();
        let row = reading(millis, &numbers, &extra);
        let names = names("a.b_c-D:9", &site, &room);
        let profile = if classic { Profile::Classic } else { Profile::Iaqverse };
        let expected = serde_json::to_string(&Record {
            timestamp: row.observed_at,
            sensor: &names.sensors[&SENSOR],
            place: &names.rooms[&ROOM],
            values: &row.values,
            extras: &row.extras,
            assessment: profile.assess(&row.values),
        }).unwrap();
        let lines = [Line::of_reading(&row, profile)];
        prop_assert_eq!(written(Format::Json, &names, false, &lines), format!("[{expected}]"));
    }
}

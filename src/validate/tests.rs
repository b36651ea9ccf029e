//! Tables of good and bad readings.

use super::*;
use crate::fault::FAULTS_MAX;
use crate::payload::parse_one;
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use rstest::rstest;

fn rules() -> Rules {
    Rules {
        now: Timestamp::parse("2025-11-19T10:00:00Z").unwrap(),
        tvoc_unit: TvocUnit::Ppb,
        faults_max: FAULTS_MAX,
    }
}

fn validate(json: &str) -> Result<Reading, Rejection> {
    item(&parse_one(json.as_bytes()).unwrap(), &rules())
}

/// A reading with `fields` beside its id, and `values`.
fn with(fields: &str, values: &str) -> Result<Reading, Rejection> {
    validate(&format!(
        r#"{{"sensor_id":"s",{fields}"values":{{{values}}}}}"#
    ))
}

fn faults(result: Result<Reading, Rejection>) -> Vec<(String, &'static str)> {
    result
        .unwrap_err()
        .errors
        .into_iter()
        .map(|error| (error.pointer.into_owned(), error.code))
        .collect()
}

#[test]
fn a_complete_reading_is_taken_as_it_is() {
    let reading = validate(
        r#"{"sensor_id":"bureau1","enseigne":"Maison","salle":"Bureau",
            "timestamp":"2025-11-19T09:05:00.125Z","values":{"CO2":645,"pm2.5":"12.5","rh":45}}"#,
    )
    .unwrap();
    assert_eq!(reading.sensor.as_str(), "bureau1");
    assert_eq!(reading.site.unwrap().as_str(), "Maison");
    assert_eq!(reading.room.unwrap().as_str(), "Bureau");
    assert_eq!(reading.observed_at.to_string(), "2025-11-19T09:05:00.125Z");
    let values: Vec<_> = reading.values.iter().collect();
    assert_eq!(
        values,
        [
            (Quantity::Co2, 645.0),
            (Quantity::Pm25, 12.5),
            (Quantity::Humidity, 45.0)
        ]
    );
}

#[test]
fn a_missing_timestamp_is_the_time_of_receipt() {
    assert_eq!(with("", r#""CO2":1"#).unwrap().observed_at, rules().now);
    assert_eq!(
        with(r#""timestamp":null,"#, r#""CO2":1"#)
            .unwrap()
            .observed_at,
        rules().now
    );
}

#[rstest]
#[case::just_ahead("2025-11-19T10:05:00Z", None)]
#[case::too_far_ahead("2025-11-19T10:05:00.001Z", Some("timestamp_in_future"))]
#[case::oldest("2000-01-01T00:00:00Z", None)]
#[case::too_old("1999-12-31T23:59:59.999Z", Some("timestamp_too_old"))]
#[case::no_offset("2025-11-19T10:00:00", Some("bad_timestamp"))]
fn time_limits(#[case] timestamp: &str, #[case] code: Option<&'static str>) {
    let result = with(&format!(r#""timestamp":"{timestamp}","#), r#""CO2":1"#);
    match code {
        None => assert!(result.is_ok()),
        Some(code) => assert_eq!(faults(result), [("/timestamp".to_owned(), code)]),
    }
}

#[rstest]
#[case(r#""CO2":-1"#, "/values/CO2", "out_of_range")]
#[case(r#""CO2":40000.1"#, "/values/CO2", "out_of_range")]
#[case(r#""CO2":1e999"#, "/values/CO2", "not_a_number")]
#[case(r#""CO2":"NaN""#, "/values/CO2", "not_a_number")]
#[case(r#""CO2":"Infinity""#, "/values/CO2", "not_a_number")]
#[case(r#""CO2":"lots""#, "/values/CO2", "not_a_number")]
#[case(r#""CO2":true"#, "/values/CO2", "not_a_number")]
#[case(r#""CO2":[1]"#, "/values/CO2", "not_a_number")]
#[case(r#""pm2_5":1001"#, "/values/pm2_5", "out_of_range")]
#[case(r#""CO2":1,"co2":1"#, "/values/co2", "duplicate_key")]
#[case(r#""PM25":1,"PM2.5":1"#, "/values/PM2.5", "duplicate_key")]
#[case(r#""x":1,"x":1"#, "/values/x", "duplicate_key")]
#[case(r#""CO2":null,"CO2":1"#, "/values/CO2", "duplicate_key")]
#[case(r#""a/b":"x""#, "/values/a~1b", "not_a_number")]
#[case(r#""CO2":null"#, "/values", "no_values")]
#[case("", "/values", "no_values")]
fn values_are_refused_with_a_pointer(
    #[case] values: &str,
    #[case] pointer: &str,
    #[case] code: &'static str,
) {
    assert_eq!(faults(with("", values)), [(pointer.to_owned(), code)]);
}

#[rstest]
#[case(r#"{"values":{"CO2":1}}"#, "/sensor_id", "required")]
#[case(r#"{"sensor_id":7,"values":{"CO2":1}}"#, "/sensor_id", "not_text")]
#[case(
    r#"{"sensor_id":"a b","values":{"CO2":1}}"#,
    "/sensor_id",
    "bad_sensor_id"
)]
#[case(
    r#"{"sensor_id":"s","salle":"a\nb","values":{"CO2":1}}"#,
    "/salle",
    "bad_name"
)]
#[case(
    r#"{"sensor_id":"s","enseigne":5,"values":{"CO2":1}}"#,
    "/enseigne",
    "not_text"
)]
#[case(
    r#"{"sensor_id":"s","sensor_id":"s","values":{"CO2":1}}"#,
    "/sensor_id",
    "duplicate_key"
)]
#[case(r#"{"sensor_id":"s","values":[1]}"#, "/values", "not_an_object")]
#[case(r#"{"sensor_id":"s"}"#, "/values", "no_values")]
#[case(
    r#"{"sensor_id":"s","timestamp":5,"values":{"CO2":1}}"#,
    "/timestamp",
    "not_text"
)]
#[case("[]", "", "not_an_object")]
#[case(
    r#"{"sensor_id":"s","units":{"CO2":"m"},"values":{"CO2":1}}"#,
    "/units/CO2",
    "unknown_unit"
)]
#[case(
    r#"{"sensor_id":"s","units":{"CO2":"ppm","co2":"ppb"},"values":{"CO2":1}}"#,
    "/units/co2",
    "duplicate_key"
)]
fn fields_are_refused_with_a_pointer(
    #[case] json: &str,
    #[case] pointer: &str,
    #[case] code: &'static str,
) {
    assert_eq!(faults(validate(json)), [(pointer.to_owned(), code)]);
}

#[test]
fn all_faults_are_reported_at_once_with_the_sensor() {
    let rejection = with(r#""salle":"","timestamp":"x","#, r#""CO2":-1,"TVOC":"?""#).unwrap_err();
    assert_eq!(rejection.sensor_id.as_deref(), Some("s"));
    let codes: Vec<_> = rejection.errors.iter().map(|error| error.code).collect();
    assert_eq!(
        codes,
        ["bad_name", "bad_timestamp", "out_of_range", "not_a_number"]
    );
}

#[test]
fn of_many_faults_the_first_are_told_wherever_they_are() {
    let values: Vec<_> = (0..50)
        .map(|number| format!(r#""k{number}":"?""#))
        .collect();
    let (values, twice) = (values.join(","), [r#""CO2":1"#; 50].join(","));
    let no_unit = [r#""CO2":"m""#; 50].join(",");
    for (fields, values, first) in [
        ("", &values, ("/values/k0", "not_a_number")),
        ("", &twice, ("/values/CO2", "duplicate_key")),
        (
            &*format!(r#""units":{{{no_unit}}},"#),
            &r#""CO2":1"#.to_owned(),
            ("/units/CO2", "unknown_unit"),
        ),
    ] {
        let told = faults(with(fields, values));
        assert_eq!(told.len(), FAULTS_MAX);
        assert_eq!((told[0].0.as_str(), told[0].1), first);
    }
    let only_one = Rules {
        faults_max: 1,
        ..rules()
    };
    let json = format!(r#"{{"sensor_id":"s","values":{{{values}}}}}"#);
    let refused = item(&parse_one(json.as_bytes()).unwrap(), &only_one).unwrap_err();
    assert_eq!((refused.errors.len(), refused.code()), (1, "not_a_number"));
}

#[test]
fn declared_units_are_converted_before_the_range_is_checked() {
    let reading = with(
        r#""units":{"TVOC":"mg/m3","temp":"F","PM1":null,"colour":"x"},"#,
        r#""TVOC":0.45,"Temperature":212"#,
    );
    assert_eq!(
        faults(reading),
        [("/values/Temperature".to_owned(), "out_of_range")]
    );
    let reading = with(r#""units":{"TVOC":"mg/m3"},"#, r#""TVOC":0.45"#).unwrap();
    assert!((reading.values.get(Quantity::Tvoc).unwrap() - 100.0).abs() < 1e-9);
    assert!(!reading.tvoc_unit_assumed);
}

#[test]
fn tvoc_without_a_unit_takes_the_configured_one_and_says_so() {
    let raw = parse_one(br#"{"sensor_id":"s","values":{"TVOC":0.45}}"#).unwrap();
    let rules = Rules {
        tvoc_unit: TvocUnit::MilligramsPerCubicMeter,
        ..rules()
    };
    let reading = item(&raw, &rules).unwrap();
    assert!((reading.values.get(Quantity::Tvoc).unwrap() - 100.0).abs() < 1e-9);
    assert!(reading.tvoc_unit_assumed);
}

#[test]
fn keys_that_are_no_quantity_are_kept_up_to_the_limit() {
    let reading = with("", r#""battery":3.1,"VOCRaw":"31000""#).unwrap();
    assert_eq!(
        reading.extras.iter().collect::<Vec<_>>(),
        [("VOCRaw", 31_000.0), ("battery", 3.1)]
    );
    let many: Vec<_> = (0..33).map(|number| format!(r#""k{number}":1"#)).collect();
    assert_eq!(
        faults(with("", &many.join(","))),
        [("/values/k32".to_owned(), "too_many_keys")]
    );
    let many: Vec<_> = (0..51).map(|number| format!(r#""k{number}":1"#)).collect();
    assert_eq!(
        faults(with("", &many.join(","))),
        [("/values".to_owned(), "too_many_keys")]
    );
    let long = "k".repeat(65);
    assert_eq!(faults(with("", &format!(r#""{long}":1"#)))[0].1, "bad_key");
}

proptest! {
    #[test]
    fn whatever_is_accepted_is_finite_and_in_range(
        key in prop::sample::select(Quantity::ALL.to_vec()), number in prop::num::f64::ANY,
    ) {
        let text = format!("{number:e}");
        let accepted = with("", &format!(r#""{}":"{text}""#, key.flat_key())).is_ok();
        prop_assert_eq!(accepted, key.range().contains(&number));
    }

    #[test]
    fn no_text_makes_validation_panic(json in "\\PC*") {
        if let Ok(raw) = parse_one(json.as_bytes()) {
            prop_assert!(item(&raw, &rules()).is_err());
        }
    }
}

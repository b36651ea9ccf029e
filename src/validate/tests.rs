//! Tables of good and bad readings.

use super::*;
use crate::domain::Quantity;
use crate::fault::FAULTS_MAX;
use crate::payload::{Format as _, JsonObject};
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use rstest::rstest;

fn rules() -> Rules {
    Rules {
        now: Timestamp::parse("2025-11-19T10:00:00Z").unwrap(),
        tvoc_unit_said: None,
        tvoc_unit: TvocUnit::Ppb,
        faults_max: FAULTS_MAX,
    }
}

fn read_by(json: &str, rules: &Rules) -> Result<Valid, Rejection> {
    let mut read = Err(Rejection::of(FieldError::new("", "not_json", "")));
    let mut take = |raw: RawItem<'_>| read = item(&raw, rules);
    // What cannot be read stays as it is.
    JsonObject
        .read(&mut json.as_bytes().to_vec(), 1, &mut take)
        .unwrap_or_default();
    read
}

/// A reading of which everything is taken.
fn validate(json: &str) -> Result<Reading, Rejection> {
    let valid = read_by(json, &rules())?;
    assert_eq!(valid.ignored, Ignored::default(), "{json}");
    Ok(valid.reading)
}

fn json_with(fields: &str, values: &str) -> String {
    format!(r#"{{"sensor_id":"s",{fields}"values":{{{values}}}}}"#)
}

/// A reading with `fields` beside its id, and `values`, of which everything is taken.
fn with(fields: &str, values: &str) -> Result<Reading, Rejection> {
    validate(&json_with(fields, values))
}

/// A reading of which something is left out.
fn in_part(fields: &str, values: &str) -> Valid {
    let valid = read_by(&json_with(fields, values), &rules()).unwrap();
    assert!(valid.ignored.total > 0, "{values}");
    valid
}

fn told(errors: &[FieldError]) -> Vec<(&str, &str)> {
    errors
        .iter()
        .map(|error| (&*error.pointer, error.code))
        .collect()
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
#[case::no_seconds("2025-11-19T10:00+0100", None)]
#[case::seconds_as_text("1763546700", None)]
fn time_limits(#[case] timestamp: &str, #[case] code: Option<&'static str>) {
    let result = with(&format!(r#""timestamp":"{timestamp}","#), r#""CO2":1"#);
    match code {
        None => assert!(result.is_ok()),
        Some(code) => assert_eq!(faults(result), [("/timestamp".to_owned(), code)]),
    }
}

#[rstest]
#[case::seconds("1763546100", Ok("2025-11-19T09:55:00Z"))]
#[case::seconds_with_a_fraction("1763546100.784", Ok("2025-11-19T09:55:00.784Z"))]
#[case::milliseconds("1763546100784", Ok("2025-11-19T09:55:00.784Z"))]
#[case::nanoseconds("1763546100784999999", Ok("2025-11-19T09:55:00.784Z"))]
#[case::time_since_the_device_started("5", Err("timestamp_too_old"))]
#[case::of_next_year("1795000000", Err("timestamp_in_future"))]
#[case::endless("1e999", Err("timestamp_in_future"))]
#[case::a_flag("true", Err("bad_timestamp"))]
#[case::a_list("[1763546100]", Err("bad_timestamp"))]
#[case::a_bare_word("NaN", Err("bad_timestamp"))]
#[case::half_a_surrogate_pair(r#""\ud83d""#, Err("lone_surrogate"))]
fn numbers_are_times_by_their_size(#[case] json: &str, #[case] expected: Result<&str, &str>) {
    let result = with(&format!(r#""timestamp":{json},"#), r#""CO2":1"#);
    let got = result.map(|reading| reading.observed_at.to_string());
    let got = got.as_deref().map_err(Rejection::code);
    assert_eq!(got, expected);
}

#[test]
fn what_is_no_time_is_told_with_an_example() {
    let rejection = with(r#""timestamp":{},"#, r#""CO2":1"#).unwrap_err();
    assert!(rejection.errors[0].detail.contains("2025-11-19T10:05:00Z"));
}

#[rstest]
#[case(r#""CO2":-1"#, "/values/CO2", "out_of_range")]
#[case(r#""CO2":40000.1"#, "/values/CO2", "out_of_range")]
#[case(r#""CO2":1e999"#, "/values/CO2", "not_a_number")]
#[case(r#""CO2":"Infinity""#, "/values/CO2", "not_a_number")]
#[case(r#""CO2":"lots""#, "/values/CO2", "not_a_number")]
#[case(r#""CO2":true"#, "/values/CO2", "not_a_number")]
#[case(r#""CO2":[1]"#, "/values/CO2", "not_a_number")]
#[case(r#""CO2":"\ud83d""#, "/values/CO2", "lone_surrogate")]
#[case(r#""a\ud83d":1"#, "/values/a\u{fffd}", "lone_surrogate")]
#[case(r#""pm2_5":1001"#, "/values/pm2_5", "out_of_range")]
#[case(r#""a/b":"x""#, "/values/a~1b", "not_a_number")]
#[case(r#""":1"#, "/values/", "bad_key")]
fn a_bad_value_is_left_out_and_told_and_costs_the_others_nothing(
    #[case] bad: &str,
    #[case] pointer: &str,
    #[case] code: &'static str,
) {
    for values in [
        format!(r#"{bad},"Temperature":21.5,"battery":3"#),
        format!(r#""Temperature":21.5,"battery":3,{bad}"#),
    ] {
        let Valid { reading, ignored } = in_part("", &values);
        assert_eq!(told(&ignored.told), [(pointer, code)]);
        assert_eq!(ignored.total, 1);
        let values: Vec<_> = reading.values.iter().collect();
        assert_eq!(values, [(Quantity::Temperature, 21.5)]);
        let extras: Vec<_> = reading.extras.iter().collect();
        assert_eq!(extras, [("battery", 3.0)]);
    }
    // With nothing left the same is what it is refused for.
    assert_eq!(faults(with("", bad)), [(pointer.to_owned(), code)]);
}

#[rstest]
#[case("null")]
#[case(r#""""#)]
#[case(r#""-""#)]
#[case(r#""nan""#)]
#[case(r#""NaN""#)]
#[case(r#""NA""#)]
#[case("NaN")]
#[case("Infinity")]
#[case("-Infinity")]
#[case("nan")]
fn words_for_no_value_need_not_be_told(#[case] word: &str) {
    let values = format!(r#""CO2":{word},"x":{word},"Temperature":21.5"#);
    let reading = with("", &values).unwrap();
    assert!(reading.extras.is_empty());
    assert_eq!(reading.values.iter().count(), 1);
    let nothing = with("", &format!(r#""CO2":{word},"x":{word}"#));
    assert_eq!(faults(nothing), [("/values".to_owned(), "no_values")]);
}

#[rstest]
#[case(r#""CO2":1,"co2":1"#, "/values/co2", "duplicate_key")]
#[case(r#""PM25":1,"PM2.5":1"#, "/values/PM2.5", "duplicate_key")]
#[case(r#""x":1,"x":1"#, "/values/x", "duplicate_key")]
#[case(r#""CO2":null,"CO2":1"#, "/values/CO2", "duplicate_key")]
#[case(r#""CO2":null"#, "/values", "no_values")]
#[case("", "/values", "no_values")]
fn values_are_refused_with_a_pointer(
    #[case] values: &str,
    #[case] pointer: &str,
    #[case] code: &'static str,
) {
    assert_eq!(faults(with("", values)), [(pointer.to_owned(), code)]);
}

#[test]
fn every_quantity_is_left_out_by_itself() {
    for bad in Quantity::ALL {
        let values = Quantity::ALL.into_iter().map(|quantity| {
            let range = quantity.range();
            let number = if quantity == bad {
                range.end() + 1.0
            } else {
                *range.start()
            };
            format!(r#""{}":{number}"#, quantity.wire_key())
        });
        let values: Vec<_> = values.collect();
        let Valid { reading, ignored } = in_part("", &values.join(","));
        assert_eq!(reading.values.iter().count(), Quantity::COUNT - 1);
        assert_eq!(reading.values.get(bad), None);
        assert!(!(bad == Quantity::Tvoc && reading.tvoc_unit_assumed));
        let pointer = format!("/values/{}", bad.wire_key());
        assert_eq!(told(&ignored.told), [(&*pointer, "out_of_range")]);
    }
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
    r#"{"sensor_id":"s","salle":"a\ud83d","values":{"CO2":1}}"#,
    "/salle",
    "lone_surrogate"
)]
#[case(
    r#"{"sensor_id":"s","salle":"a\u202eb","values":{"CO2":1}}"#,
    "/salle",
    "bad_name"
)]
#[case(
    r#"{"sensor_id":"\udc00","values":{"CO2":1}}"#,
    "/sensor_id",
    "lone_surrogate"
)]
#[case("[]", "", "not_an_object")]
#[case(
    r#"{"sensor_id":"s","units":{"CO2":"m"},"values":{"CO2":1}}"#,
    "/units/CO2",
    "unknown_unit"
)]
#[case(
    r#"{"sensor_id":"s","units":"ppm","values":{"CO2":1}}"#,
    "/units",
    "not_an_object"
)]
#[case(
    r#"{"sensor_id":"s","units":{"CO2":null,"CO2":"ppm"},"values":{"CO2":1}}"#,
    "/units/CO2",
    "duplicate_key"
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
fn reasons_to_refuse_are_told_before_values_that_would_be_left_out() {
    let rejection = with("", r#""CO2":-1,"x":1,"x":2"#).unwrap_err();
    let expected = [
        ("/values/x", "duplicate_key"),
        ("/values/CO2", "out_of_range"),
    ];
    assert_eq!(told(&rejection.errors), expected);
    assert_eq!(rejection.code(), "duplicate_key");
}

#[test]
fn of_many_faults_the_first_are_told_wherever_they_are() {
    let values: Vec<_> = (0..50)
        .map(|number| format!(r#""k{number}":"?""#))
        .collect();
    let (values, twice) = (values.join(","), [r#""CO2":1"#; 50].join(","));
    let same_unit = [r#""CO2":"m""#; 50].join(",");
    for (fields, values, first) in [
        ("", &values, ("/values/k0", "not_a_number")),
        ("", &twice, ("/values/CO2", "duplicate_key")),
        (
            &*format!(r#""units":{{{same_unit}}},"#),
            &r#""CO2":1"#.to_owned(),
            ("/units/CO2", "duplicate_key"),
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
    let refused = read_by(&json_with("", &values), &only_one).unwrap_err();
    assert_eq!((refused.errors.len(), refused.code()), (1, "not_a_number"));
    // However many are bad, the good one behind them is taken.
    let valid = read_by(&json_with("", &format!(r#"{values},"CO2":645"#)), &only_one).unwrap();
    assert_eq!((valid.ignored.told.len(), valid.ignored.total), (1, 50));
    assert_eq!(valid.reading.values.get(Quantity::Co2), Some(645.0));
}

#[test]
fn declared_units_are_converted_before_the_range_is_checked() {
    let Valid { reading, ignored } = in_part(
        r#""units":{"TVOC":"mg/m3","temp":"F","PM1":null,"colour":"x"},"#,
        r#""TVOC":0.45,"Temperature":212"#,
    );
    assert_eq!(
        told(&ignored.told),
        [("/values/Temperature", "out_of_range")]
    );
    assert!((reading.values.get(Quantity::Tvoc).unwrap() - 100.0).abs() < 1e-9);
    assert!(!reading.tvoc_unit_assumed);
}

#[rstest]
#[case(r#""furlong""#)]
#[case("7")]
#[case(r#""\ud83d""#)]
fn an_unknown_unit_costs_the_value_it_is_of(#[case] unit: &str) {
    let fields = format!(r#""units":{{"co2":{unit},"PM1":"?","temp":"F"}},"#);
    let Valid { reading, ignored } = in_part(&fields, r#""CO2":645,"Temperature":72.14"#);
    assert_eq!(told(&ignored.told), [("/units/co2", "unknown_unit")]);
    let values: Vec<_> = reading
        .values
        .iter()
        .map(|(quantity, _)| quantity)
        .collect();
    assert_eq!(values, [Quantity::Temperature]);
}

#[test]
fn tvoc_without_a_unit_takes_the_configured_one_and_says_so() {
    let rules = Rules {
        tvoc_unit: TvocUnit::MilligramsPerCubicMeter,
        ..rules()
    };
    let valid = read_by(&json_with("", r#""TVOC":0.45"#), &rules).unwrap();
    let reading = valid.reading;
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
    let many = |count: usize| {
        let keys: Vec<_> = (0..count)
            .map(|number| format!(r#""k{number}":1"#))
            .collect();
        keys.join(",")
    };
    let Valid { reading, ignored } = in_part("", &many(33));
    assert_eq!(reading.extras.iter().count(), 32);
    assert_eq!(told(&ignored.told), [("/values/k32", "too_many_keys")]);

    let Valid { reading, ignored } = in_part("", &format!(r#"{},"CO2":645"#, many(60)));
    assert_eq!(reading.values.get(Quantity::Co2), Some(645.0));
    assert_eq!((ignored.total, ignored.told.len()), (28, 19));
    assert_eq!(told(&ignored.told)[18], ("/values", "too_many_keys"));

    let long = format!(r#""{}":1,"CO2":645"#, "k".repeat(65));
    assert_eq!(told(&in_part("", &long).ignored.told)[0].1, "bad_key");
}

#[test]
fn units_are_found_behind_any_number_of_others() {
    let many: Vec<_> = (0..1000)
        .map(|number| format!(r#""k{number}":"x""#))
        .collect();
    let fields = format!(r#""units":{{{},"Temperature":"F"}},"#, many.join(","));
    let reading = with(&fields, r#""Temperature":72.14"#).unwrap();
    assert!((reading.values.get(Quantity::Temperature).unwrap() - 22.3).abs() < 0.01);
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
        prop_assert!(read_by(&json, &rules()).is_err());
    }
}

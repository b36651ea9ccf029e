use super::*;
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use rstest::rstest;

const HOUR_MS: i64 = 60 * 60 * 1000;
const MINUTE_MS: i64 = 60 * 1000;

/// Zones with whatever clocks do: none of it, whole and half hours, midnights that are leapt over or come
/// twice, a change a minute past midnight, a day that never was.
const ZONES: [&str; 20] = [
    "UTC",
    "Etc/GMT+12",
    "Europe/Paris",
    "Europe/London",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Havana",
    "America/Santiago",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Tehran",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
];

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// The day that contains a moment, as its beginning and its hours.
fn day_of(zone: &str, moment: &str) -> (String, f64) {
    let zone = Zone::named(zone).unwrap();
    let day = zone.day(at(moment));
    let (start, end) = (zone.start(day), zone.start(day + 1));
    let hours = end.since(start).as_secs_f64() / 3600.0;
    (start.to_string(), hours)
}

#[rstest]
#[case::winter("Europe/Paris", "2025-01-15T12:00:00Z", "2025-01-14T23:00:00Z", 24.0)]
#[case::summer("Europe/Paris", "2025-07-15T22:00:00Z", "2025-07-15T22:00:00Z", 24.0)]
#[case::short("Europe/Paris", "2025-03-30T12:00:00Z", "2025-03-29T23:00:00Z", 23.0)]
#[case::long("Europe/Paris", "2025-10-26T12:00:00Z", "2025-10-25T22:00:00Z", 25.0)]
#[case::half_an_hour("Asia/Kolkata", "2025-01-15T12:00:00Z", "2025-01-14T18:30:00Z", 24.0)]
#[case::a_quarter("Asia/Kathmandu", "2025-01-15T12:00:00Z", "2025-01-14T18:15:00Z", 24.0)]
#[case::half_an_hour_less(
    "Australia/Lord_Howe",
    "2025-10-05T12:00:00+11:00",
    "2025-10-04T13:30:00Z",
    23.5
)]
#[case::half_an_hour_more(
    "Australia/Lord_Howe",
    "2025-04-06T12:00:00+11:00",
    "2025-04-05T13:00:00Z",
    24.5
)]
#[case::no_midnight(
    "America/Sao_Paulo",
    "2018-11-04T12:00:00Z",
    "2018-11-04T03:00:00Z",
    23.0
)]
#[case::twice_23(
    "America/Sao_Paulo",
    "2018-02-17T12:00:00Z",
    "2018-02-17T02:00:00Z",
    25.0
)]
#[case::no_midnight_in_cairo("Africa/Cairo", "2025-04-25T12:00:00Z", "2025-04-24T22:00:00Z", 23.0)]
#[case::twice_23_in_cairo("Africa/Cairo", "2025-10-30T12:00:00Z", "2025-10-29T21:00:00Z", 25.0)]
#[case::no_midnight_in_beirut("Asia/Beirut", "2025-03-30T12:00:00Z", "2025-03-29T22:00:00Z", 23.0)]
#[case::midnight_twice("America/Havana", "2025-11-02T12:00:00Z", "2025-11-02T04:00:00Z", 25.0)]
#[case::a_minute_past_midnight(
    "America/St_Johns",
    "2010-11-07T02:32:00Z",
    "2010-11-07T02:30:00Z",
    25.0
)]
#[case::shown_twice(
    "America/St_Johns",
    "2010-11-07T03:00:00Z",
    "2010-11-07T02:30:00Z",
    25.0
)]
#[case::without_the_30th("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", 24.0)]
fn a_day_begins_when_it_is_first_shown(
    #[case] zone: &str,
    #[case] moment: &str,
    #[case] start: &str,
    #[case] hours: f64,
) {
    assert_eq!(day_of(zone, moment), (start.to_owned(), hours));
}

#[test]
fn zones_have_names_and_nothing_else_is_one() {
    for name in [
        "Europe/Paris",
        "europe/paris",
        "Etc/GMT+5",
        "UTC",
        "US/Eastern",
    ] {
        assert!(Zone::named(name).is_some(), "{name}");
    }
    for name in [
        "",
        "Paris",
        "+02:00",
        "CEST",
        "Etc/Unknown",
        "../Europe/Paris",
        "Europe/Paris\0",
    ] {
        assert_eq!(Zone::named(name), None, "{name}");
    }
    assert_eq!(
        Zone::named("europe/paris").unwrap().to_string(),
        "Europe/Paris"
    );
    assert_eq!(Zone::UTC.to_string(), "UTC");
}

#[test]
fn where_clocks_show_utc_is_known() {
    let is_utc = |name| Zone::named(name).unwrap().is_utc();
    assert!(Zone::UTC.is_utc() && is_utc("Etc/UTC") && is_utc("GMT") && is_utc("Africa/Abidjan"));
    assert!(!is_utc("Europe/London") && !is_utc("Asia/Kolkata"));
}

#[test]
fn times_beyond_the_calendar_have_days_too() {
    let zone = Zone::named("America/New_York").unwrap();
    for millis in [i64::MIN / 2, -1, 0, i64::MAX / 2] {
        let day = zone.day(Timestamp::from_millis(millis));
        assert!(zone.start(day).millis() <= millis, "{millis}");
        assert!(zone.start(day + 1).millis() > millis, "{millis}");
    }
}

/// The date that clocks show, by the calendar of the library.
fn shown(zone: &Zone, at_ms: i64) -> jiff::civil::Date {
    instant(at_ms).to_zoned(zone.0.clone()).date()
}

/// The latest date that was shown by then, looked for minute by minute.
fn naive_date(zone: &Zone, at_ms: i64) -> jiff::civil::Date {
    let since = (at_ms - 3 * HOUR_MS).div_euclid(MINUTE_MS);
    let minutes = since..=at_ms.div_euclid(MINUTE_MS);
    minutes
        .map(|minute| shown(zone, minute * MINUTE_MS))
        .max()
        .unwrap()
}

/// When a date or a later one was first shown, looked for minute by minute.
fn naive_start(zone: &Zone, date: jiff::civil::Date) -> i64 {
    let midnight = date
        .to_zoned(TimeZone::UTC)
        .unwrap()
        .timestamp()
        .as_millisecond();
    let mut minutes = (midnight - OFFSET_MS_MAX..).step_by(usize::try_from(MINUTE_MS).unwrap());
    minutes.find(|at_ms| shown(zone, *at_ms) >= date).unwrap()
}

/// A moment less than two days from a change of the clocks, or any where there is none.
fn near_a_change() -> impl Strategy<Value = (Zone, i64)> {
    let zone = prop::sample::select(&ZONES);
    let since = Timestamp::OLDEST.millis();
    let moment = since..at("2040-01-01T00:00:00Z").millis();
    (zone, moment, -48 * HOUR_MS..48 * HOUR_MS).prop_map(move |(name, moment, from_change)| {
        let zone = Zone::named(name).unwrap();
        let change = zone.0.following(instant(moment)).next();
        let change = change.map_or(moment, |change| change.timestamp().as_millisecond());
        (zone, change.max(since) + from_change)
    })
}

proptest! {
    #[test]
    fn days_are_those_that_the_calendar_shows((zone, at_ms) in near_a_change()) {
        let day = zone.day(Timestamp::from_millis(at_ms));
        let date = naive_date(&zone, at_ms);
        let epoch = jiff::civil::date(1970, 1, 1);
        let counted = date.since((jiff::Unit::Day, epoch)).unwrap().get_days();
        prop_assert_eq!(day, i64::from(counted));
        prop_assert_eq!(zone.start(day).millis(), naive_start(&zone, date));
        prop_assert!(zone.start(day + 1).millis() > at_ms);
    }

    #[test]
    fn the_grain_divides_the_beginning_of_every_day(
        (zone, at_ms) in near_a_change(),
        days in 1..400_i64,
    ) {
        let start = Timestamp::from_millis(at_ms);
        let time = TimeRange::new(start, Timestamp::from_millis(at_ms + days * DAY_MS));
        let grain_ms = zone.grain_ms(time);
        prop_assert!(grain_ms > 0 && DAY_MS % grain_ms == 0);
        for day in zone.day(time.start)..=zone.day(time.end) {
            prop_assert_eq!(zone.start(day).millis() % grain_ms, 0);
        }
    }
}

#[test]
fn days_at_the_ends_of_time_are_days() {
    for name in ["UTC", "Europe/Paris", "Pacific/Kiritimati"] {
        let zone = Zone::named(name).unwrap();
        for at_ms in [i64::MIN, i64::MAX] {
            let day = zone.day(Timestamp::from_millis(at_ms));
            assert!(zone.start(day) <= zone.start(day + 1), "{name} {at_ms}");
        }
    }
}

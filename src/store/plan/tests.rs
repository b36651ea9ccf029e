//! Plans against what the contract says of new, late, duplicate and merged readings.

use super::*;
use crate::domain::{PlaceName, Quantity, Sites, Values};
use pretty_assertions::assert_eq;
use std::time::Duration;

const PROFILE: Profile = Profile::Iaqverse;
const LIMITS: RegistryLimits = RegistryLimits {
    sensors_max: 3,
    rooms_max: 3,
};

/// Behind all readings but those that are said to be ahead.
const NOW: Timestamp = Timestamp::from_millis(1_000_000_000_000);
const MOMENT: Moment = Moment {
    now: NOW,
    horizon: NOW,
};

fn empty() -> Directory {
    Directory::new(PROFILE, 7, Timestamp::from_millis(i64::MIN))
}

fn reading(sensor: &str, place: Option<(&str, &str)>, at_s: i64, co2: f64) -> ScoredReading {
    let mut values = Values::default();
    assert!(values.set(Quantity::Co2, co2));
    let name = |text: &str| PlaceName::parse(text).unwrap();
    ScoredReading {
        assessment: PROFILE.assess(&values),
        reading: Reading {
            sensor: SensorId::parse(sensor).unwrap(),
            site: place.map(|(site, _)| name(site)),
            room: place.map(|(_, room)| name(room)),
            observed_at: Timestamp::from_millis(at_s * 1000),
            values,
            extras: crate::domain::Extras::default(),
            tvoc_unit_assumed: false,
        },
    }
}

const OFFICE: Option<(&str, &str)> = Some(("Maison", "Bureau"));
const ATTIC: Option<(&str, &str)> = Some(("Maison", "Grenier"));

fn of_anybody(readings: Vec<ScoredReading>) -> Vec<Sent> {
    let all = readings.into_iter();
    all.map(|scored| sent(scored, &Sites::ALL)).collect()
}

/// A reading that is a message of its own.
fn sent(scored: ScoredReading, sites: &Sites) -> Sent {
    let delivery = scored.reading.observed_at.millis().unsigned_abs() + 1;
    Sent {
        scored,
        author: Arc::new(Author::at(sites)),
        delivery,
    }
}

/// Plans with nothing found in the database and takes the plan over.
fn add(
    directory: &mut Directory,
    readings: Vec<ScoredReading>,
) -> (Vec<&'static str>, Vec<Stored>) {
    add_found(directory, Vec::new(), readings)
}

fn add_found(
    directory: &mut Directory,
    found: Vec<ReadingRow>,
    readings: Vec<ScoredReading>,
) -> (Vec<&'static str>, Vec<Stored>) {
    add_sent(directory, found, of_anybody(readings))
}

fn add_sent(
    directory: &mut Directory,
    found: Vec<ReadingRow>,
    readings: Vec<Sent>,
) -> (Vec<&'static str>, Vec<Stored>) {
    let plan = plan(directory, found, readings, PROFILE, LIMITS, MOMENT);
    let (outcomes, stored, _) = plan.apply(directory);
    let names = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Accepted(_) => "accepted",
            Outcome::Updated(_) => "updated",
            Outcome::Duplicate(_) => "duplicate",
            Outcome::InPart { .. } => "in part",
            Outcome::Refused(rejection) => rejection.code(),
            Outcome::Counted(code) => code,
        })
        .collect();
    (names, stored)
}

fn latest_co2(directory: &Directory, sensor: &str) -> Option<f64> {
    let key = directory.sensor_key(sensor).unwrap();
    let latest = &directory.sensor(key).unwrap().latest;
    latest.scored.reading.values.get(Quantity::Co2)
}

#[test]
fn every_event_is_written_and_published_under_the_next_id() {
    let mut directory = empty();
    directory.reserve(2);
    assert_eq!(directory.advance().unwrap().to_string(), "7-3");
    let readings = vec![
        reading("a", OFFICE, 1, 500.0),
        reading("a", OFFICE, 1, 500.0),
        reading("nowhere", None, 1, 500.0),
        reading("a", OFFICE, 2, 600.0),
        reading("a", OFFICE, 1, 501.0),
        reading("a", OFFICE, 1, 502.0),
    ];
    let plan = plan(
        &directory,
        Vec::new(),
        of_anybody(readings),
        PROFILE,
        LIMITS,
        MOMENT,
    );
    let shown = |id: StreamId, late: bool, values: &Values| {
        let co2 = values.get(Quantity::Co2).unwrap();
        format!("{id} {co2} {}", if late { "late" } else { "new" })
    };
    let written: Vec<_> = (plan.readings.iter())
        .map(|row| shown(row.id, row.late, &row.reading.values))
        .collect();
    let expected = ["7-4 500 new", "7-5 600 new", "7-6 501 late", "7-7 502 late"];
    assert_eq!(written, expected);

    let (outcomes, stored, _) = plan.apply(&mut directory);
    assert_eq!(outcomes.len(), 6);
    let published: Vec<_> = stored
        .iter()
        .map(|stored| shown(stored.id, stored.late, &stored.scored.reading.values))
        .collect();
    assert_eq!(published, expected);
    assert_eq!(directory.position().to_string(), "7-7");
    assert_eq!(directory.logged(), directory.position());
    assert_eq!(latest_co2(&directory, "a"), Some(600.0));
}

#[test]
fn a_sensor_may_leave_its_place_out_once_it_is_known() {
    let mut directory = empty();
    let (outcomes, _) = add(&mut directory, vec![reading("a", None, 1, 500.0)]);
    assert_eq!(outcomes, ["required"]);
    let (outcomes, stored) = add(
        &mut directory,
        vec![reading("a", OFFICE, 1, 500.0), reading("a", None, 2, 600.0)],
    );
    assert_eq!(outcomes, ["accepted", "accepted"]);
    assert_eq!(stored[1].place.room.as_str(), "Bureau");
}

#[test]
fn a_repeated_reading_is_a_duplicate_and_not_published() {
    let mut directory = empty();
    let (outcomes, stored) = add(
        &mut directory,
        vec![
            reading("a", OFFICE, 1, 500.0),
            reading("a", OFFICE, 1, 500.0),
        ],
    );
    assert_eq!((outcomes, stored.len()), (vec!["accepted", "duplicate"], 1));
    let (outcomes, stored) = add(&mut directory, vec![reading("a", None, 1, 500.0)]);
    assert_eq!((outcomes, stored.len()), (vec!["duplicate"], 0));
}

#[test]
fn other_values_for_the_same_identity_are_merged_and_scored_again() {
    let mut directory = empty();
    add(&mut directory, vec![reading("a", OFFICE, 1, 500.0)]);
    let mut more = reading("a", None, 1, 3000.0);
    assert!(more.reading.values.set(Quantity::Pm25, 5.0));
    let (outcomes, stored) = add(&mut directory, vec![more]);
    assert_eq!(outcomes, ["updated"]);
    let merged = &stored[0].scored;
    assert_eq!(merged.reading.values.get(Quantity::Co2), Some(3000.0));
    assert_eq!(merged.reading.values.get(Quantity::Pm25), Some(5.0));
    assert_eq!(merged.assessment, PROFILE.assess(&merged.reading.values));
    assert_eq!(latest_co2(&directory, "a"), Some(3000.0));
    let key = directory.sensor_key("a").unwrap();
    assert_eq!(directory.sensor(key).unwrap().reading_count, 1);
}

#[test]
fn a_late_reading_is_marked_and_never_the_latest() {
    let mut directory = empty();
    add(&mut directory, vec![reading("a", OFFICE, 10, 500.0)]);
    let (outcomes, stored) = add(&mut directory, vec![reading("a", ATTIC, 5, 900.0)]);
    assert_eq!(outcomes, ["accepted"]);
    assert!(stored[0].late);
    assert_eq!(stored[0].place.room.as_str(), "Grenier");
    assert_eq!(latest_co2(&directory, "a"), Some(500.0));
    let key = directory.sensor_key("a").unwrap();
    let entry = directory.sensor(key).unwrap();
    assert_eq!(directory.place(entry.room).unwrap().room.as_str(), "Bureau");
    assert_eq!((entry.reading_count, entry.rooms.len()), (2, 2));
    assert_eq!(entry.first_seen.millis(), 5000);
}

#[test]
fn only_readings_older_than_the_newest_are_looked_up() {
    let mut directory = empty();
    add(&mut directory, vec![reading("a", OFFICE, 10, 500.0)]);
    let asked = identities_to_find(
        &directory,
        &of_anybody(vec![
            reading("a", None, 5, 1.0),
            reading("a", None, 10, 1.0),
            reading("a", None, 15, 1.0),
            reading("unknown", None, 5, 1.0),
        ]),
    );
    let key = directory.sensor_key("a").unwrap();
    assert_eq!(asked, [(key, Timestamp::from_millis(5000))]);
}

#[test]
fn a_late_reading_that_is_stored_already_is_merged_with_what_was_found() {
    let mut directory = empty();
    add(&mut directory, vec![reading("a", OFFICE, 10, 500.0)]);
    let key = directory.sensor_key("a").unwrap();
    let late = reading("a", None, 5, 900.0);
    let found = ReadingRow {
        sensor: key,
        observed_at: late.reading.observed_at,
        room: directory.sensor(key).unwrap().room,
        values: late.reading.values,
        extras: late.reading.extras.clone(),
        tvoc_unit_assumed: false,
    };
    let (outcomes, _) = add_found(&mut directory, vec![found.clone()], vec![late]);
    assert_eq!(outcomes, ["duplicate"]);
    let (outcomes, stored) = add_found(
        &mut directory,
        vec![found],
        vec![reading("a", None, 5, 901.0)],
    );
    assert_eq!((outcomes, stored[0].late), (vec!["updated"], true));
}

#[test]
fn a_correction_of_the_newest_reading_moves_the_sensor() {
    let mut directory = empty();
    add(&mut directory, vec![reading("a", OFFICE, 1, 500.0)]);
    let (outcomes, stored) = add(
        &mut directory,
        vec![reading("a", ATTIC, 1, 501.0), reading("a", None, 2, 502.0)],
    );
    assert_eq!(outcomes, ["updated", "accepted"]);
    assert_eq!(stored[1].place.room.as_str(), "Grenier");
    let entry = directory.sensor(directory.sensor_key("a").unwrap());
    let room = directory.place(entry.unwrap().room).unwrap();
    assert_eq!(room.room.as_str(), "Grenier");
}

/// A sensor was at a site until 1 s and is at another one since.
#[test]
fn what_was_measured_at_a_site_is_changed_only_by_those_who_may_write_there() {
    const CHALET: Option<(&str, &str)> = Some(("Chalet", "Cuisine"));
    let only = |site: &str| Sites::only([site.to_owned()]).unwrap();
    let mut directory = empty();
    add(
        &mut directory,
        vec![
            reading("a", CHALET, 1, 500.0),
            reading("a", OFFICE, 2, 600.0),
        ],
    );
    let key = directory.sensor_key("a").unwrap();
    let old = ReadingRow {
        sensor: key,
        observed_at: Timestamp::from_millis(1000),
        room: directory.sensor(key).unwrap().rooms[0],
        values: reading("a", None, 1, 500.0).reading.values,
        extras: crate::domain::Extras::default(),
        tvoc_unit_assumed: false,
    };
    let (outcomes, stored) = add_sent(
        &mut directory,
        vec![old],
        vec![
            sent(reading("a", None, 1, 1.0), &only("Maison")),
            sent(reading("a", OFFICE, 1, 1.0), &only("Maison")),
            sent(reading("a", CHALET, 1, 1.0), &only("Maison")),
            sent(reading("a", CHALET, 1, 1.0), &only("Chalet")),
            sent(reading("a", None, 3, 1.0), &only("Chalet")),
            sent(reading("b", CHALET, 3, 1.0), &only("Maison")),
        ],
    );
    let (site, sensor) = ("forbidden", "other_sensor");
    assert_eq!(outcomes, [site, site, site, sensor, sensor, site]);
    assert!(stored.is_empty());
    let (outcomes, _) = add_sent(
        &mut directory,
        Vec::new(),
        vec![
            sent(reading("a", None, 2, 601.0), &only("Maison")),
            sent(reading("a", ATTIC, 3, 602.0), &only("Maison")),
        ],
    );
    assert_eq!(outcomes, ["updated", "accepted"]);
}

#[test]
fn a_newer_reading_moves_the_sensor() {
    let mut directory = empty();
    add(
        &mut directory,
        vec![
            reading("a", OFFICE, 1, 500.0),
            reading("a", ATTIC, 2, 500.0),
        ],
    );
    let key = directory.sensor_key("a").unwrap();
    let entry = directory.sensor(key).unwrap();
    assert_eq!(
        directory.place(entry.room).unwrap().room.as_str(),
        "Grenier"
    );
    assert_eq!(entry.latest.place.room.as_str(), "Grenier");
}

#[test]
fn the_registry_is_bounded() {
    let mut directory = empty();
    let (outcomes, _) = add(
        &mut directory,
        ["a", "b", "c", "d"]
            .map(|sensor| reading(sensor, OFFICE, 1, 500.0))
            .to_vec(),
    );
    assert_eq!(
        outcomes,
        ["accepted", "accepted", "accepted", "too_many_sensors"]
    );
    let (outcomes, _) = add(
        &mut directory,
        ["1", "2", "3"]
            .map(|room| reading("a", Some(("Maison", room)), 2, 500.0))
            .to_vec(),
    );
    assert_eq!(outcomes, ["accepted", "duplicate", "too_many_rooms"]);
}

#[test]
fn the_period_follows_the_rhythm_but_not_an_outage() {
    let mut directory = empty();
    let period = |directory: &Directory| {
        directory
            .sensor(directory.sensor_key("a").unwrap())
            .unwrap()
            .state
            .period()
            .map(|period| period.as_secs())
    };
    add(&mut directory, vec![reading("a", OFFICE, 0, 500.0)]);
    assert_eq!(period(&directory), None);
    add(
        &mut directory,
        vec![
            reading("a", OFFICE, 10, 500.0),
            reading("a", OFFICE, 20, 500.0),
        ],
    );
    assert_eq!(period(&directory), Some(10));
    add(&mut directory, vec![reading("a", OFFICE, 86_400, 500.0)]);
    assert_eq!(period(&directory), Some(10));
}

const AHEAD_S: i64 = NOW.millis() / 1000 + 60;

#[test]
fn what_is_ahead_of_the_clock_waits_and_is_merged_into_all_the_same() {
    let mut directory = empty();
    let first = vec![reading("a", OFFICE, 1, 500.0)];
    add(&mut directory, first);
    let ahead = vec![
        reading("a", ATTIC, AHEAD_S, 900.0),
        reading("a", None, 2, 600.0),
        reading("a", None, AHEAD_S, 900.0),
    ];
    let (answers, stored) = add(&mut directory, ahead);
    assert_eq!(answers, ["accepted", "accepted", "duplicate"]);
    assert!(stored.iter().all(|stored| !stored.late));
    // It stays where its latest reading was taken.
    assert_eq!(stored[1].place.room.as_str(), "Bureau");
    assert_eq!(latest_co2(&directory, "a"), Some(600.0));
    let key = directory.sensor_key("a").unwrap();
    let entry = directory.sensor(key).unwrap();
    assert_eq!(entry.newest_at, Timestamp::from_millis(AHEAD_S * 1000));
    assert_eq!(entry.state.period(), Some(Duration::from_secs(1)));
    let again = of_anybody(vec![reading("a", None, AHEAD_S, 901.0)]);
    let identities = identities_to_find(&directory, &again);
    assert_eq!(identities, [(key, entry.newest_at)]);
    let horizon = NOW.plus(Duration::from_secs(59));
    assert!(!directory.has_misplaced(horizon));
    assert!(directory.has_misplaced(Timestamp::from_millis(AHEAD_S * 1000)));
    assert!(directory.has_misplaced(Timestamp::from_millis(1999)));
}

#[test]
fn a_sensor_of_which_nothing_has_come_has_no_latest_reading() {
    let mut directory = empty();
    let ahead = vec![
        reading("a", OFFICE, AHEAD_S + 9, 900.0),
        reading("a", ATTIC, AHEAD_S, 800.0),
        reading("a", None, AHEAD_S + 5, 700.0),
    ];
    let (_, stored) = add(&mut directory, ahead);
    // It stands where the first of them was taken.
    assert_eq!(stored[2].place.room.as_str(), "Grenier");
    let key = directory.sensor_key("a").unwrap();
    assert!(directory.sensor(key).unwrap().come().is_none());
    let (_, stored) = add(&mut directory, vec![reading("a", OFFICE, 1, 500.0)]);
    assert!(!stored[0].late);
    let entry = directory.sensor(key).unwrap();
    assert_eq!(entry.come().unwrap().place.room.as_str(), "Bureau");
    assert_eq!(entry.first_seen, Timestamp::from_millis(1000));
}

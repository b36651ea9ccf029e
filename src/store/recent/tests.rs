//! What gathers and is settled, in whatever order it came.

use super::*;
use crate::database::RoomKey;
use crate::domain::{Extras, Quantity, Values};
use futures_util::FutureExt;
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const SENSOR: SensorKey = SensorKey(1);

fn row(second: i64, co2: f64) -> ReadingRow {
    let mut values = Values::default();
    assert!(values.set(Quantity::Co2, co2));
    ReadingRow {
        sensor: SENSOR,
        observed_at: at(second),
        room: RoomKey(1),
        values,
        extras: Extras::default(),
        tvoc_unit_assumed: false,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

fn insert(recent: &Recent, sequence: u64, row: ReadingRow) {
    let id = StreamId { epoch: 1, sequence };
    recent.insert(Run::of(std::iter::once((id, row))), 1);
}

#[test]
fn the_newer_generation_is_seen_before_the_one_being_settled() {
    let recent = Recent::new(Rows::default());
    insert(&recent, 1, row(5, 500.0));
    insert(&recent, 2, row(3, 300.0));
    let frozen = recent.freeze().unwrap();
    insert(&recent, 3, row(5, 501.0));
    insert(&recent, 4, row(4, 400.0));
    let all = || recent.within(SENSOR, at(0)..=at(9));
    assert_eq!(all(), [row(3, 300.0), row(4, 400.0), row(5, 501.0)]);
    assert_eq!(recent.find(SENSOR, at(5)), Some(row(5, 501.0)));
    assert_eq!(recent.find(SENSOR, at(6)), None);

    // What failed to settle is settled first, and it ends where it ended.
    let again = recent.freeze().unwrap();
    assert_eq!(again.last().sequence, 2);
    assert_eq!(again.of(SENSOR), frozen.of(SENSOR));
    recent.release();
    assert_eq!(all(), [row(4, 400.0), row(5, 501.0)]);
    assert_eq!(recent.freeze().unwrap().last().sequence, 4);
    recent.release();
    assert!(recent.freeze().is_none());
}

/// Commits of 1 024 readings of one sensor, told by their seconds; how long they took.
fn commits(recent: &Recent, seconds: &[i64]) -> Duration {
    let begun = Instant::now();
    for (number, seconds) in seconds.chunks(1024).enumerate() {
        let id = StreamId {
            epoch: 1,
            sequence: number as u64 + 1,
        };
        let rows = seconds.iter().map(|second| (id, row(*second, 500.0)));
        recent.insert(Run::of(rows), 1);
    }
    begun.elapsed()
}

#[test]
fn readings_in_any_order_cost_about_the_same() {
    const COUNT: i64 = 100_000;
    let ascending: Vec<i64> = (0..COUNT).collect();
    let mut descending = ascending.clone();
    descending.reverse();
    // A step without a common divisor comes past each of them once.
    let scattered: Vec<i64> = ascending
        .iter()
        .map(|second| second * 61_803 % COUNT)
        .collect();
    let least = commits(&Recent::new(Rows::default()), &ascending);
    for seconds in [descending, scattered] {
        let recent = Recent::new(Rows::default());
        let took = commits(&recent, &seconds);
        // One by one it would be several hundred times as much.
        assert!(
            took < 20 * least + Duration::from_secs(1),
            "{took:?} and {least:?}"
        );
        let rows = recent.times_within(SENSOR, at(0)..=at(COUNT));
        assert!(rows.is_sorted() && rows.len() == ascending.len());
    }
}

proptest! {
    #[test]
    fn taken_together_they_are_what_one_by_one_they_would_be(
        commits in prop::collection::vec(
            prop::collection::vec((0_i64..3, 0_i64..20, 400_u16..500), 0..12), 0..8),
    ) {
        let (mut together, mut model) = (Rows::default(), BTreeMap::new());
        for (number, commit) in commits.into_iter().enumerate() {
            let id = StreamId { epoch: 1, sequence: number as u64 };
            let rows = commit.into_iter().map(|(sensor, second, co2)| ReadingRow {
                sensor: SensorKey(sensor),
                ..row(second, co2.into())
            });
            let rows: Vec<_> = rows.collect();
            for row in &rows {
                model.insert((row.sensor, row.observed_at), row.clone());
            }
            together.insert(Run::of(rows.into_iter().map(|row| (id, row))));
        }
        for sensor in together.sensors() {
            let expected = model.values().filter(|row| row.sensor == sensor);
            prop_assert!(together.of(sensor).iter().eq(expected));
        }
        let bytes: usize = model.values().map(ReadingRow::bytes).sum();
        prop_assert_eq!(together.bytes, bytes);
    }
}

#[test]
fn what_replaces_a_reading_takes_no_room_of_its_own() {
    let recent = Recent::new(Rows::default());
    for sequence in 1..1_000_000 {
        insert(&recent, sequence, row(1, 500.0));
    }
    assert!(recent.grown().now_or_never().is_none());
    assert!(recent.has_capacity(1).now_or_never().is_some());
}

#[tokio::test]
async fn who_writes_waits_while_too_much_is_not_settled() {
    let recent = Recent::new(Rows::default());
    let enough = SETTLE_BYTES / size_of::<ReadingRow>() + 1;
    let fill = |from: usize| {
        for second in from..from + enough {
            insert(
                &recent,
                second as u64 + 1,
                row(i64::try_from(second).unwrap(), 500.0),
            );
        }
    };
    fill(0);
    recent.grown().await;
    recent.freeze();
    for generation in 1..=GENERATIONS_MAX {
        assert!(recent.has_capacity(1).now_or_never().is_some());
        fill(generation * enough);
    }
    let mut capacity = Box::pin(recent.has_capacity(1));
    assert!(capacity.as_mut().now_or_never().is_none());
    recent.release();
    recent.freeze();
    recent.release();
    capacity.await;
}

/// Readings of one sensor, as many as take this much memory.
fn rows_of(bytes: usize) -> Rows {
    let mut rows = Rows::default();
    for second in 0.. {
        if rows.bytes >= bytes {
            break;
        }
        let one = (StreamId::default(), row(second, 500.0));
        rows.insert(Run::of(std::iter::once(one)));
    }
    rows
}

#[test]
fn a_start_with_much_that_is_not_settled_has_it_settled() {
    let recent = Recent::new(rows_of(SETTLE_BYTES));
    assert!(recent.grown().now_or_never().is_some());
    let recent = Recent::new(rows_of(SETTLE_BYTES - 1024));
    assert!(recent.grown().now_or_never().is_none());
}

#[test]
fn who_waits_for_room_has_something_settled() {
    let recent = Recent::new(rows_of(GENERATIONS_MAX * SETTLE_BYTES));
    assert!(recent.grown().now_or_never().is_some());
    let mut capacity = Box::pin(recent.has_capacity(1));
    assert!(capacity.as_mut().now_or_never().is_none());
    assert!(recent.grown().now_or_never().is_some());
    recent.freeze().unwrap();
    recent.release();
    assert!(capacity.now_or_never().is_some());
}

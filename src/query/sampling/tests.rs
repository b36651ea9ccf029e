use super::*;
use crate::domain::{Quantity, Values};
use pretty_assertions::assert_eq;
use proptest::prelude::*;

const SENSOR: SensorKey = SensorKey(1);
const ROOM: RoomKey = RoomKey(1);
const QUANTITIES: [Quantity; 3] = [Quantity::Co2, Quantity::Temperature, Quantity::Radon];

fn at(position: usize) -> Timestamp {
    Timestamp::from_millis(i64::try_from(position).unwrap() * MINUTE_MS)
}

/// Positions of the points that are chosen of readings a minute apart.
fn chosen(rows: &[[Option<f64>; 3]], points: usize) -> Vec<usize> {
    let time = TimeRange::new(at(0), at(rows.len()));
    let mut columns = Columns::new(time, rows.len());
    for (position, numbers) in rows.iter().enumerate() {
        let mut values = Values::default();
        for (quantity, number) in QUANTITIES.into_iter().zip(numbers) {
            if let Some(number) = number {
                assert!(values.set(quantity, *number));
            }
        }
        columns.push(at(position), ROOM, values);
    }
    let mut pinned = Pinned::default();
    pinned.add_rows(columns.outstanding(), points);
    let candidates = Candidates {
        columns,
        rows: None,
    };
    let orders = candidates.choose(SENSOR, pinned, points).orders;
    let positions = orders.into_iter().map(|(time, sensor, room)| {
        assert_eq!((sensor, room), (SENSOR, ROOM));
        usize::try_from(time.millis() / MINUTE_MS).unwrap()
    });
    let mut positions: Vec<_> = positions.collect();
    positions.sort_unstable();
    positions
}

#[test]
fn a_dip_beside_a_spike_stays() {
    let mut rows: Vec<_> = (0..10_000_i32)
        .map(|number| [Some(600.0 + f64::from(number * 7 % 50)), Some(20.0), None])
        .collect();
    rows[5000][0] = Some(9000.0);
    rows[5001][0] = Some(1.0);
    let found = chosen(&rows, 500);
    assert_eq!(found.len(), 500);
    assert!(found.contains(&5000) && found.contains(&5001));
}

#[test]
fn too_few_points_have_both_ends_then_the_greatest_then_the_least() {
    let row = |co2, temperature| [Some(co2), Some(temperature), None];
    let rows = [
        row(600.0, 20.0),
        row(601.0, 5.0),
        row(100.0, 20.0),
        row(900.0, 20.0),
        row(602.0, 30.0),
        row(600.0, 20.0),
    ];
    let expected: [&[usize]; 5] = [
        &[0, 5],
        &[0, 3, 5],
        &[0, 3, 4, 5],
        &[0, 2, 3, 4, 5],
        &[0, 1, 2, 3, 4, 5],
    ];
    for (points, expected) in (2..).zip(expected) {
        assert_eq!(chosen(&rows, points), expected, "{points}");
    }
}

fn number() -> impl Strategy<Value = Option<f64>> {
    // Many equal ones, so that the first among them counts.
    prop::option::of((0..60_u8).prop_map(|number| f64::from(number) / 3.0))
}

proptest! {
    #[test]
    fn both_ends_and_every_extreme_stay_and_there_are_as_many_points_as_asked_for(
        rows in prop::collection::vec([number(), number(), number()], 1..400),
        points in 8..500_usize,
    ) {
        let found = chosen(&rows, points);
        prop_assert_eq!(found.len(), points.min(rows.len()));
        prop_assert!(found.is_sorted_by(|a, b| a < b));
        prop_assert!(found.contains(&0) && found.contains(&(rows.len() - 1)));
        for quantity in 0..3 {
            let of = |positions: &mut dyn Iterator<Item = usize>| -> Vec<f64> {
                positions.filter_map(|position| rows[position][quantity]).collect()
            };
            let (all, kept) = (of(&mut (0..rows.len())), of(&mut found.iter().copied()));
            let extreme = |numbers: &[f64], choose: fn(f64, f64) -> f64| {
                numbers.iter().copied().reduce(choose)
            };
            prop_assert_eq!(extreme(&all, f64::min), extreme(&kept, f64::min));
            prop_assert_eq!(extreme(&all, f64::max), extreme(&kept, f64::max));
        }
    }

    #[test]
    fn there_are_never_more_points_than_asked_for(
        rows in prop::collection::vec([number(), number(), number()], 1..40),
        points in 2..50_usize,
    ) {
        prop_assert_eq!(chosen(&rows, points).len(), points.min(rows.len()));
    }
}

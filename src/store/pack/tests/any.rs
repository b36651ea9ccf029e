//! Strategies for rows of every kind.

use super::*;
use crate::store::ShownState;
use crate::store::rows::{Measure, Statistics};
use crate::store::state::Arrival;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// How the numbers of a column look. It is chosen for the column: were it chosen for each number,
/// hardly a column would be without an odd one.
#[derive(Debug, Clone, Copy)]
enum Look {
    /// With at most so many digits behind the point.
    Digits(i32),
    Odd,
}

/// How the numbers of a column look, and how often a row has one.
fn column() -> impl Strategy<Value = (Look, f64)> {
    let look = prop_oneof![4 => (0..=6).prop_map(Look::Digits), 1 => Just(Look::Odd)];
    (look, select(vec![0.02, 0.8, 0.999]))
}

fn number(look: Look, range: RangeInclusive<f64>) -> BoxedStrategy<f64> {
    let (low, high) = (*range.start(), *range.end());
    match look {
        Look::Digits(digits) => {
            let power = 10_f64.powi(digits);
            let decimals = range.prop_map(move |number| (number * power).round() / power);
            decimals.boxed()
        }
        Look::Odd => prop_oneof![
            range,
            select(vec![-0.0, 5e-324, low, high, 1.0 / 3.0, 21.3]),
        ]
        .prop_filter("in range", move |number| (low..=high).contains(number))
        .boxed(),
    }
}

fn key() -> impl Strategy<Value = String> {
    let odd = ["key", "é", "\0", " ", "a\"b", "🦀", "日本語"].map(String::from);
    prop_oneof![
        select(odd.to_vec()),
        "[ab]",
        "\\PC{1,64}",
        Just("🦀".repeat(64))
    ]
}

fn extras() -> impl Strategy<Value = Vec<(String, f64)>> {
    let finite = any::<f64>().prop_filter("finite", |number| number.is_finite());
    let number = prop_oneof![
        finite,
        (-1000..1000_i32).prop_map(f64::from),
        select(vec![-0.0, 5e-324, f64::MAX, f64::MIN, 0.1])
    ];
    let some = btree_map(key(), number, 0..=4);
    let many = btree_map("[a-z]{2}", 0.0..1.0, Extras::KEYS_MAX);
    prop_oneof![
        8 => Just(Vec::new()),
        4 => some.prop_map(Vec::from_iter),
        1 => many.prop_map(Vec::from_iter),
    ]
}

/// A reading of the quantities given, or of some of them.
fn row(quantities: Vec<(Quantity, (Look, f64))>) -> impl Strategy<Value = ReadingRow> {
    let numbers: Vec<_> = quantities
        .into_iter()
        .map(|(quantity, (look, often))| {
            let number = number(look, quantity.range());
            (Just(quantity), proptest::option::weighted(often, number))
        })
        .collect();
    (numbers, extras(), 1..=3_i64, any::<bool>(), any::<i64>()).prop_map(
        |(numbers, extras, room, tvoc_unit_assumed, at_ms)| {
            let numbers: Vec<_> = numbers
                .into_iter()
                .filter_map(|(quantity, number)| Some((quantity, number?)))
                .collect();
            let extras: Vec<_> = extras
                .iter()
                .map(|(key, number)| (&**key, *number))
                .collect();
            ReadingRow {
                room: RoomKey(room),
                tvoc_unit_assumed,
                ..reading(at_ms, &numbers, &extras)
            }
        },
    )
}

fn rows(count: RangeInclusive<usize>) -> impl Strategy<Value = Vec<ReadingRow>> {
    let quantity = select(Quantity::ALL.to_vec());
    let quantities = btree_map(quantity, column(), 0..=5);
    quantities.prop_flat_map(move |quantities| vec(row(Vec::from_iter(quantities)), count.clone()))
}

/// Steps between times: steady, in seconds, any, none, and long gaps.
fn times(count: usize, unit: i64) -> impl Strategy<Value = Vec<i64>> {
    let step = prop_oneof![
        6 => Just(60_000),
        2 => (55..65_i64).prop_map(|seconds| seconds * 1000),
        2 => 0..=100_000_i64,
        1 => Just(0),
        1 => 0..=i64::MAX / 2,
    ];
    let start = prop_oneof![4 => Just(1_780_000_000_000), 1 => any::<i64>()];
    (start, vec(step, count)).prop_map(move |(start, steps)| {
        let mut time = start;
        let steps = steps.into_iter().map(|step| step - step % unit);
        steps
            .map(|step| {
                time = time.saturating_add(step);
                time
            })
            .collect()
    })
}

/// Readings of [`SENSOR`] in the order of their times.
pub(super) fn readings() -> impl Strategy<Value = Vec<ReadingRow>> {
    rows(0..=60).prop_flat_map(|rows| {
        (times(rows.len(), 1), Just(rows)).prop_map(|(times, mut rows)| {
            for (row, time) in rows.iter_mut().zip(times) {
                row.observed_at = Timestamp::from_millis(time);
            }
            rows
        })
    })
}

/// A log that ends with [`LAST`].
pub(super) fn batch() -> impl Strategy<Value = Vec<LogRow>> {
    let key = || prop_oneof![1..1000_i64, any::<i64>()];
    rows(0..=12).prop_flat_map(move |rows| {
        let of = (
            any::<[bool; 3]>(),
            key(),
            key(),
            proptest::option::of(shown_state()),
        );
        (vec(of, rows.len()), Just(rows)).prop_map(|(of, rows)| {
            let readings = rows.into_iter().map(|row| (false, row)).collect();
            let mut rows = log(readings);
            for (row, ([late, is_new, begins_delivery], sensor, room, state)) in
                rows.iter_mut().zip(of)
            {
                row.late = late;
                row.is_new = is_new;
                row.begins_delivery = begins_delivery;
                row.reading.sensor = SensorKey(sensor);
                row.reading.room = RoomKey(room);
                row.state = state.map(|mut state| {
                    let with = row.reading.observed_at;
                    state.measured_at.retain(|(_, at)| *at != with);
                    Arc::new(state)
                });
            }
            rows
        })
    })
}

fn shown_state() -> impl Strategy<Value = ShownState> {
    let quantities = || btree_map(select(Quantity::ALL.to_vec()), column(), 0..=4);
    let values = quantities().prop_flat_map(|quantities| row(Vec::from_iter(quantities)));
    let times = vec(proptest::option::of(any::<i64>()), Quantity::COUNT);
    let stale = proptest::sample::subsequence(Quantity::ALL.to_vec(), 0..=3);
    (values, times, stale, any::<[bool; 2]>()).prop_map(|(row, times, stale, flags)| {
        let [is_stale, tvoc_unit_assumed] = flags;
        let measured = row.values.iter().zip(times);
        let measured = measured
            .filter_map(|((quantity, _), at_ms)| Some((quantity, Timestamp::from_millis(at_ms?))));
        ShownState {
            assessment: Profile::Iaqverse.assess(&row.values),
            measured_at: measured.collect(),
            stale_values: stale.into(),
            is_stale,
            tvoc_unit_assumed,
            values: row.values,
        }
    })
}

/// A state that readings have led to.
pub(super) fn state() -> impl Strategy<Value = SensorState> {
    let arrival = proptest::option::of((any::<i64>(), any::<bool>()));
    readings().prop_flat_map(move |rows| {
        (vec(arrival.clone(), rows.len()), Just(rows)).prop_map(|(arrivals, rows)| {
            let mut state = SensorState::default();
            for (row, arrival) in rows.iter().zip(arrivals) {
                let arrival = arrival.map(|(at_ms, begins)| Arrival {
                    at: Timestamp::from_millis(at_ms),
                    begins,
                });
                state.take(row, arrival);
            }
            // A delivery goes on until the server stops, not further.
            state.end_delivery();
            state
        })
    })
}

/// What the numbers of one bucket come to, with a sum that need not be theirs.
fn statistics(look: Look) -> impl Strategy<Value = Statistics> {
    let number = || number(look, -1000.0..=70_000.0);
    let sum = prop_oneof![4 => (0..1_000_000_i64).prop_map(|sum| sum * 1000), 1 => any::<i64>()];
    (
        number(),
        number(),
        prop_oneof![1..=3_u32, any::<u32>()],
        sum,
    )
        .prop_map(|(a, b, count, sum)| {
            let one = Statistics::of(a);
            let several = Statistics {
                count,
                sum_millionths: one
                    .sum_millionths
                    .wrapping_mul(count.into())
                    .wrapping_add(sum),
                min: a.min(b),
                max: a.max(b),
            };
            if count == 1 { one } else { several }
        })
}

/// Buckets of [`SENSOR`] in the order of their starts, several of which may be the same.
pub(super) fn buckets() -> impl Strategy<Value = Vec<BucketRow>> {
    let measures = select((0..Measure::COUNT).collect::<Vec<_>>());
    btree_map(measures, column(), 0..=8).prop_flat_map(|looks| {
        let measures: Vec<_> = looks
            .into_iter()
            .map(|(index, (look, often))| {
                let measure = Just(Measure::from_index(index).unwrap());
                (measure, proptest::option::weighted(often, statistics(look)))
            })
            .collect();
        let readings = prop_oneof![1..=3_u32, any::<u32>()];
        let row = (measures, readings, any::<bool>(), 1..=3_i64);
        vec(row, 0..=60).prop_flat_map(|rows| {
            (times(rows.len(), 60_000), Just(rows)).prop_map(|(times, rows)| {
                let rows = rows.into_iter().zip(times);
                rows.map(|((measures, readings, all, room), start)| {
                    let known = measures.into_iter();
                    let known = known.filter_map(|(measure, of)| Some((measure, of?)));
                    let statistics: smallvec::SmallVec<_> = known.collect();
                    let first = statistics.first().map(|(_, of): &(_, Statistics)| of.count);
                    BucketRow {
                        sensor: SENSOR,
                        start: Timestamp::from_millis(start),
                        room: RoomKey(room),
                        readings: if all {
                            first.unwrap_or(readings)
                        } else {
                            readings
                        },
                        statistics,
                    }
                })
                .collect()
            })
        })
    })
}

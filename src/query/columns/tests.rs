use super::*;
use crate::query::lttb::between;
use crate::query::step::MINUTE_MS;
use pretty_assertions::assert_eq;
use proptest::prelude::*;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_millis(minute * MINUTE_MS)
}

fn columns_of(rows: &[(i64, Values)], rows_max: usize) -> Columns {
    let end = rows.last().map_or(0, |(minute, _)| minute + 1);
    let mut columns = Columns::new(TimeRange::new(at(0), at(end)), rows_max);
    for (minute, values) in rows {
        columns.push(at(*minute), RoomKey(1), *values);
        if columns.len() >= rows_max {
            columns.thin();
        }
    }
    columns
}

fn columns(rows: &[&[(Quantity, f64)]]) -> Columns {
    let rows: Vec<_> = (0..).zip(rows.iter().map(|row| values(row))).collect();
    let mut columns = columns_of(&rows, 1000);
    columns.scale();
    columns
}

fn values(numbers: &[(Quantity, f64)]) -> Values {
    let mut values = Values::default();
    for (quantity, number) in numbers {
        assert!(values.set(*quantity, *number));
    }
    values
}

/// The row of ten that stays beside both ends: row 2 has more of `one`, row 5 of both.
fn chosen(one: (Quantity, f64), both: [(Quantity, f64); 2]) -> usize {
    let level = |quantity: Quantity| match quantity {
        Quantity::Co2 => 600.0,
        _ => 20.0,
    };
    let mut rows = vec![both.map(|(quantity, _)| (quantity, level(quantity))); 10];
    for (at, more) in [(2, &[one][..]), (5, &both[..])] {
        for (quantity, number) in &mut rows[at] {
            let more = more.iter().find(|(of, _)| of == quantity);
            *number += more.map_or(0.0, |(_, more)| *more);
        }
    }
    let columns = columns(&rows.iter().map(|row| &row[..]).collect::<Vec<_>>());
    between(&columns, &[0, 9], 1)[0]
}

#[test]
fn no_quantity_outweighs_another_by_its_unit() {
    let (co2, temperature) = (Quantity::Co2, Quantity::Temperature);
    assert_eq!(chosen((co2, 100.0), [(co2, 10.0), (temperature, 1.0)]), 5);
    assert_eq!(
        chosen((temperature, 1.0), [(co2, 100.0), (temperature, 0.1)]),
        5
    );
    assert_eq!(chosen((co2, 100.0), [(co2, 0.0), (temperature, 0.0)]), 2);
}

#[test]
fn what_is_missing_or_always_the_same_has_no_area() {
    let (co2, pm25, humidity) = (Quantity::Co2, Quantity::Pm25, Quantity::Humidity);
    let columns = columns(&[
        &[(co2, 600.0), (humidity, 40.0)],
        &[(pm25, 5.0), (humidity, 40.0)],
        &[(co2, 700.0), (humidity, 40.0)],
        &[(co2, 600.0), (pm25, 9.0)],
    ]);
    assert_eq!(columns.scaled.len(), 2, "humidity never changes");
    let end = columns.average(3..4);
    assert!(columns.area(0, 1, &end) < f64::EPSILON);
    assert!(columns.area(0, 2, &end) > 0.0);
    let middle = columns.average(0..3).values[0];
    assert!((middle - 0.5).abs() < f64::EPSILON, "{middle}");
}

#[test]
fn numbers_that_differ_by_less_than_is_drawn_are_told_apart() {
    let co2 = |number| values(&[(Quantity::Co2, number)]);
    let rows = [
        (0, co2(1000.0)),
        (1, co2(1_000.000_01)),
        (2, co2(1_000.000_02)),
    ];
    let outstanding: Vec<_> = columns_of(&rows, 10).outstanding().collect();
    assert!(outstanding.contains(&(2, Outstanding::Greatest(Quantity::Co2, 1_000.000_02))));
    assert!(outstanding.contains(&(0, Outstanding::Least(Quantity::Co2, 1000.0))));
}

#[test]
fn what_matters_most_comes_first() {
    let (co2, pm25) = (Quantity::Co2, Quantity::Pm25);
    let row = |a, b| values(&[(co2, a), (pm25, b)]);
    let rows = [
        (0, row(600.0, 5.0)),
        (1, row(400.0, 9.0)),
        (2, row(900.0, 1.0)),
        (3, row(600.0, 5.0)),
    ];
    let positions: Vec<_> = columns_of(&rows, 10)
        .outstanding()
        .map(|(at, _)| at)
        .collect();
    assert_eq!(positions, [0, 3, 2, 1, 1, 2]);
}

proptest! {
    #[test]
    fn thinned_rows_have_both_ends_and_every_extreme_and_are_few(
        rows in prop::collection::vec(
            (1..50_i64, prop::option::of(0..40_u32), prop::option::of(0..1000_u32)),
            1..3000,
        ),
        rows_max in 80..300_usize,
    ) {
        let mut minute = 0;
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(pause, co2, pm25)| {
                minute += pause;
                let numbers = [(Quantity::Co2, co2), (Quantity::Pm25, pm25)];
                let numbers = numbers.into_iter().filter_map(|(quantity, number)| {
                    Some((quantity, f64::from(number?) / 7.0))
                });
                (minute, values(&numbers.collect::<Vec<_>>()))
            })
            .collect();
        let all = columns_of(&rows, usize::from(u16::MAX));
        let thinned = columns_of(&rows, rows_max);
        prop_assert!(thinned.len() < rows_max);
        let shown = |columns: &Columns| -> Vec<_> {
            columns.outstanding().map(|(at, what)| (columns.key(at), what)).collect()
        };
        // Among equals the first stays.
        prop_assert_eq!(shown(&thinned), shown(&all));
        let last = thinned.len() - 1;
        prop_assert_eq!(thinned.key(0), all.key(0));
        prop_assert_eq!(thinned.key(last), all.key(all.len() - 1));
        prop_assert!(thinned.times.is_sorted());
    }
}

//! How many bytes typical rows take.

use super::*;
use crate::store::rows::{Measure, Statistics};

const MINUTE_MS: i64 = 60_000;

/// A sensor of five values, which move a little each time, once a minute or nearly so.
fn typical(count: i64, off_ms: impl Fn(i64) -> i64) -> Vec<ReadingRow> {
    // As integers in the last digit: how far each moves, its bounds, and its digits behind the point.
    let kinds = [
        (Quantity::Co2, 15, 400..=3000, 1.0),
        (Quantity::Pm25, 5, 0..=900, 10.0),
        (Quantity::Tvoc, 20, 0..=2000, 1.0),
        (Quantity::Temperature, 10, 1500..=3000, 100.0),
        (Quantity::Humidity, 4, 200..=800, 10.0),
    ];
    let mut state = 1_u64;
    let mut digits = [612, 57, 120, 2137, 451];
    (0..count)
        .map(|minute| {
            let mut numbers = Vec::new();
            for (digits, (quantity, move_max, bounds, power)) in digits.iter_mut().zip(&kinds) {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let moved =
                    i32::from((state >> 48).to_le_bytes()[0]) % (2 * move_max + 1) - move_max;
                *digits = (*digits + moved).clamp(*bounds.start(), *bounds.end());
                numbers.push((*quantity, f64::from(*digits) / power));
            }
            let at_ms = 1_780_000_000_000 + minute * MINUTE_MS + off_ms(minute);
            reading(at_ms, &numbers, &[])
        })
        .collect()
}

/// What the readings come to in buckets of `width_ms`.
fn rolled_up(rows: &[ReadingRow], width_ms: i64) -> Vec<BucketRow> {
    let mut buckets: Vec<BucketRow> = Vec::new();
    for row in rows {
        let at_ms = row.observed_at.millis();
        let start = Timestamp::from_millis(at_ms - at_ms.rem_euclid(width_ms));
        let values = row.values.iter();
        let values = values.map(|(quantity, number)| (Measure::Quantity(quantity), number));
        let score = (100.0 - row.values.get(Quantity::Co2).unwrap() / 50.0).round();
        let scores = [Profile::Iaqverse, Profile::Classic].map(Measure::Score);
        let measures = values.chain(scores.map(|measure| (measure, score)));
        let measures = measures.map(|(measure, number)| (measure, Statistics::of(number)));
        match buckets.last_mut().filter(|bucket| bucket.start == start) {
            Some(bucket) => {
                bucket.readings += 1;
                for ((_, of), (_, one)) in bucket.statistics.iter_mut().zip(measures) {
                    of.add(&one);
                }
            }
            None => buckets.push(BucketRow {
                sensor: SENSOR,
                start,
                room: row.room,
                readings: 1,
                statistics: measures.collect(),
            }),
        }
    }
    buckets
}

fn check(what: &str, payload: &[u8], rows: usize, tenths_max: usize) {
    let tenths = payload.len() * 10 / rows;
    assert!(
        tenths <= tenths_max,
        "{what}: {}.{} bytes a row",
        tenths / 10,
        tenths % 10
    );
}

#[test]
fn readings_take_few_bytes() {
    let steady = typical(1024, |_| 0);
    check("steady", &pack_readings(&steady), steady.len(), 65);
    let seconds = typical(1024, |minute| minute % 7 % 3 * 1000);
    check(
        "off by seconds",
        &pack_readings(&seconds),
        seconds.len(),
        65,
    );
    let millis = typical(1024, |minute| minute * 7919 % 800);
    check(
        "off by parts of a second",
        &pack_readings(&millis),
        millis.len(),
        75,
    );
    let mut extras = steady;
    for (position, row) in extras.iter_mut().enumerate() {
        let battery = 4.1 - f64::from(u32::try_from(position / 100).unwrap()) / 100.0;
        row.extras
            .insert("battery", (battery * 100.0).round() / 100.0)
            .unwrap();
        row.extras.insert("rssi", -61.0).unwrap();
    }
    check("with two more", &pack_readings(&extras), extras.len(), 85);
    let latest = &extras[0];
    check("with two more, one", &pack_latest(latest), 1, 600);
}

#[test]
fn a_batch_takes_few_bytes() {
    let mut one = typical(1, |_| 0);
    one[0].sensor = SensorKey(817);
    one[0].room = RoomKey(305);
    let rows = one.iter().map(|row| (false, row.clone())).collect();
    let payload = pack_log(&log(rows));
    check("one reading", &payload, 1, 350);

    let mut many = typical(500, |minute| minute * -MINUTE_MS + minute * 7919 % 5000);
    for (sensor, row) in (1..).zip(&mut many) {
        row.sensor = SensorKey(sensor);
        row.room = RoomKey(sensor / 4);
    }
    let count = many.len();
    let rows = many.into_iter().map(|row| (false, row)).collect();
    let payload = pack_log(&log(rows));
    check("one of each sensor", &payload, count, 220);
}

#[test]
fn buckets_take_few_bytes() {
    let rows = typical(256 * 60, |_| 0);
    for (what, width_ms, tenths_max) in [
        ("minutes", MINUTE_MS, 100),
        ("quarter hours", 15 * MINUTE_MS, 300),
        ("hours", 60 * MINUTE_MS, 350),
    ] {
        let buckets = rolled_up(&rows, width_ms);
        check(what, &pack_buckets(&buckets), buckets.len(), tenths_max);
    }
}

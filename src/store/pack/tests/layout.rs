//! The bytes themselves: what was kept by version 1 is read for ever.

use super::*;
use crate::score::Profile;
use crate::store::rows::{Measure, Statistics};
use pretty_assertions::assert_eq;

/// Bytes in the order of the documented layout, a part a line.
fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn a_batch_is_laid_out_as_documented() {
    let mut first = reading(
        1000,
        &[(Quantity::Co2, 612.0), (Quantity::Tvoc, 0.1 + 0.2)],
        &[],
    );
    first.tvoc_unit_assumed = true;
    let mut second = reading(990, &[(Quantity::Temperature, -2.5)], &[("rssi", -61.0)]);
    second.sensor = SensorKey(16);
    let rows = log(vec![(false, first), (true, second)]);
    let counters = [
        SensorCounters {
            sensor: SensorKey(16),
            room: RoomKey(5),
            reading_count: 1,
            period_ms: None,
        },
        SensorCounters {
            sensor: SENSOR,
            room: RoomKey(5),
            reading_count: 300,
            period_ms: Some(1.5),
        },
    ];
    let expected = bytes(&[
        // Version, rows; sensor 17, room 5, time, flags, mask.
        &[1, 2],
        &[34, 10, 0xd0, 0x0f, 2, 0b101],
        // 612 with the exponent 0; then a number that is no decimal.
        &[
            0xc0, 0x4c, 7, 0x34, 0x33, 0x33, 0x33, 0x33, 0x33, 0xd3, 0x3f,
        ],
        // One sensor and 10 ms back; late, with extras; -25 with the exponent 1; a key of 4 bytes.
        &[1, 0, 19, 0b101, 0b1000, 0x89, 0x03, 1, 4],
        b"rssi",
        &[0xc8, 0x07],
        // Two sensors: the same as the last row and the one behind it.
        &[2, 0, 0, 1, 0],
        &[2, 0, 0xac, 0x02, 1, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f],
    ]);
    assert_eq!(pack_batch(&rows, &counters), expected);
    assert_eq!(unpack_batch(LAST, &expected), Ok((rows, counters.to_vec())));
}

#[test]
fn readings_are_laid_out_as_documented() {
    let co2 = |number| (Quantity::Co2, number);
    let mut rows = vec![
        reading(60_000, &[co2(612.0)], &[]),
        reading(120_000, &[co2(613.5)], &[("a", 1.0)]),
        reading(240_000, &[co2(611.5), (Quantity::Humidity, 5e-324)], &[]),
    ];
    rows[2].room = RoomKey(4);
    rows[1].tvoc_unit_assumed = true;
    let expected = bytes(&[
        // Version, rows; the first time, a unit of 60 000 ms, one of it and one more than before.
        &[1, 3, 0xc0, 0xa9, 0x07, 0xe0, 0xd4, 0x03, 2, 2],
        // Two rows in the room 5, one in the one before; one, one and one as to the unit.
        &[10, 2, 1, 1],
        &[0, 1, 2, 1, 1, 1],
        // CO2 and humidity: 6120, 15 more, 20 less, with the exponent 1.
        &[0b1_0001, 0, 1, 0xd0, 0x5f, 30, 39],
        // The third row only, all bits.
        &[1, 0b100, 7, 1, 0, 0, 0, 0, 0, 0, 0],
        // One key, of one byte, in the second row: 1.
        &[1, 1, b'a', 1, 0b10, 0, 2],
    ]);
    assert_eq!(pack_readings(&rows), expected);
    assert_eq!(unpack_all_readings(&expected), Ok(rows));
}

#[test]
fn a_rare_number_is_laid_out_as_documented() {
    let mut rows: Vec<_> = (0..48).map(|at_ms| reading(at_ms, &[], &[])).collect();
    for position in [3, 5] {
        assert!(rows[position].values.set(Quantity::Co2, 7.0));
    }
    let payload = pack_readings(&rows);
    // CO2 in two rows: three before the first, one between; 7 and the same again. No extras.
    let expected = [1, 2, 2, 3, 1, 0, 14, 0, 0];
    assert_eq!(payload[payload.len() - expected.len()..], expected);
    assert_eq!(unpack_all_readings(&payload), Ok(rows));
}

#[test]
fn buckets_are_laid_out_as_documented() {
    let co2 = Measure::Quantity(Quantity::Co2);
    let score = Measure::Score(Profile::Classic);
    let mut several = Statistics::of(600.5);
    several.add(&Statistics::of(602.0));
    several.add(&Statistics::of(600.5));
    let row = |minute: i64, readings, statistics: &[(Measure, Statistics)]| BucketRow {
        sensor: SENSOR,
        start: Timestamp::from_millis(minute * 60_000),
        room: RoomKey(5),
        readings,
        statistics: statistics.iter().copied().collect(),
    };
    let rows = vec![
        row(
            0,
            1,
            &[(co2, Statistics::of(600.0)), (score, Statistics::of(80.0))],
        ),
        row(2, 3, &[(co2, several), (score, Statistics::of(81.0))]),
    ];
    let expected = bytes(&[
        // Version, rows; the first start, a unit of two minutes, one of it; a room for both; readings.
        &[1, 2, 0, 0xc0, 0xa9, 0x07, 2],
        &[10, 2, 1, 3],
        // CO2 and the last measure: the bits 0 and 19.
        &[0x81, 0x80, 0x20],
        // In all rows, with the exponent 1, sums in 1 500 000 millionths, as many as there are readings.
        &[0, 1, 0xe0, 0xc6, 0x5b, 0],
        // 6000; 5 more, up to 15 above it, and a sum that is one unit above three of it.
        &[0xe0, 0x5d, 10, 30, 2],
        // In all rows, whole, no sums, counts told: one as there are readings, and two less.
        &[0, 0, 1, 1, 0, 0xa0, 0x01, 3, 2],
    ]);
    assert_eq!(pack_buckets(&rows), expected);
    assert_eq!(unpack_all_buckets(&expected), Ok(rows));
}

//! The bytes themselves: what was kept by any version is read for ever.

use super::*;
use crate::store::ShownState;
use crate::store::rows::{Measure, Statistics};
use pretty_assertions::assert_eq;
use smallvec::SmallVec;
use std::sync::Arc;

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
    let mut rows = log(vec![(false, first), (true, second)]);
    rows[0].begins_delivery = true;
    let mut values = Values::default();
    assert!(values.set(Quantity::Co2, 612.0) && values.set(Quantity::Temperature, -2.5));
    rows[1].state = Some(Arc::new(ShownState {
        values,
        measured_at: SmallVec::from_slice(&[(Quantity::Co2, Timestamp::from_millis(1000))]),
        stale_values: SmallVec::from_slice(&[Quantity::Tvoc]),
        is_stale: false,
        tvoc_unit_assumed: true,
        assessment: Profile::Iaqverse.assess(&values),
    }));
    let expected = bytes(&[
        // Version, when they came, rows.
        &[2, 0x80, 0xa0, 0xa4, 0x84, 0xce, 0x67, 2],
        // Sensor 17, room 5, time, flags, mask.
        &[34, 10, 0xd0, 0x0f, 2 | 8 | 16, 0b101],
        // 612 with the exponent 0; then a number that is no decimal.
        &[
            0xc0, 0x4c, 7, 0x34, 0x33, 0x33, 0x33, 0x33, 0x33, 0xd3, 0x3f,
        ],
        // One sensor and 10 ms back; late, with extras and a state; -25 with the exponent 1; a key of
        // 4 bytes.
        &[1, 0, 19, 1 | 4 | 32, 0b1000, 0x89, 0x03, 1, 4],
        b"rssi",
        &[0xc8, 0x07],
        // Its state: CO2 from 10 ms later, the temperature; TVOC is stale, its unit was assumed.
        &[0b1001, 0xc0, 0x4c, 0x89, 0x03, 19, 0, 0b100, 2],
    ]);
    assert_eq!(pack_log(&rows), expected);
    assert_eq!(unpack_log(LAST, &expected).unwrap().rows, rows);
}

#[test]
fn a_batch_of_version_1_is_read() {
    let payload = bytes(&[
        // Version, rows; sensor 17, room 5, time, no flags, mask, 612.
        &[1, 1],
        &[34, 10, 0xd0, 0x0f, 0, 1, 0xc0, 0x4c],
        // Counters: sensors 17 and 16, the first with a period.
        &[2, 0, 0, 0xac, 0x02, 1, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f],
        &[1, 0, 1, 0],
    ]);
    let mut rows = log(vec![(false, reading(1000, &[(Quantity::Co2, 612.0)], &[]))]);
    rows[0].is_new = false;
    let expected = CommittedRows {
        arrived_at: None,
        rows,
        reading_counts: vec![(SensorKey(17), 300), (SensorKey(16), 1)],
    };
    assert_eq!(unpack_log(LAST, &payload), Ok(expected));
}

#[test]
fn a_state_is_laid_out_as_documented() {
    let mut state = SensorState::default();
    let mut row = reading(1000, &[(Quantity::Tvoc, 40.0)], &[]);
    row.tvoc_unit_assumed = true;
    state.take(&row, None);
    row.observed_at = Timestamp::from_millis(3000);
    state.take(&row, None);
    state.end_delivery();
    // 2000 ms, and nothing that waits to be confirmed.
    let mut rhythm = [0; 26];
    rhythm[..4].copy_from_slice(&[0, 0, 0xfa, 0x44]);
    let expected = bytes(&[
        // Version, epoch, sequence.
        &[1, 3, 0xc0, 0x84, 0x3d],
        // Readings and deliveries: the last and the rhythm; nothing has arrived.
        &[1, 0xf0, 0x2e],
        &rhythm,
        &[1, 0xf0, 0x2e],
        &rhythm,
        &[0],
        &[0; 26],
        // The unit was assumed; TVOC of 40 at 3000 ms in the room 5.
        &[1, 0b100, 0x80, 0x05, 0xf0, 0x2e, 10],
        &rhythm,
    ]);
    let kept = kept(state);
    assert_eq!(pack_state(&kept), expected);
    assert_eq!(unpack_state(&expected), Ok(kept));
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

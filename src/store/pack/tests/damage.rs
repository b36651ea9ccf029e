//! Bytes that were not packed, or are no longer what they were.

use super::*;
use crate::domain::ExtrasError;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// More than this for each byte of the payload is not held at once while it is unpacked: a byte can
/// stand for a row, and one for a long key of an extra number.
const MEMORY_BYTES_PER_BYTE_MAX: u64 = 1024;

type Unpack = fn(&[u8]) -> Result<usize, PackError>;

/// Every format: its name, and how many rows come of bytes.
const FORMATS: [(&str, Unpack); 5] = [
    ("batch", |payload| {
        unpack_log(LAST, payload).map(|committed| committed.rows.len())
    }),
    ("readings", |payload| {
        unpack_all_readings(payload).map(|rows| rows.len())
    }),
    ("buckets", |payload| {
        unpack_all_buckets(payload).map(|rows| rows.len())
    }),
    ("latest", |payload| {
        unpack_latest(SENSOR, payload).map(|_| 1)
    }),
    ("state", |payload| unpack_state(payload).map(|_| 1)),
];

/// Unpacks anything as everything: it may fail, but not panic, nor make much of little.
fn check(payload: &[u8]) {
    for (format, unpack) in FORMATS {
        let mut rows = 0;
        let memory = allocation_counter::measure(|| rows = unpack(payload).unwrap_or(0));
        assert!(rows <= payload.len(), "{rows} rows of {format}");
        let memory_max = (payload.len() as u64 + 4) * MEMORY_BYTES_PER_BYTE_MAX;
        assert!(
            memory.bytes_max <= memory_max,
            "{} bytes of memory for {} of {format}",
            memory.bytes_max,
            payload.len()
        );
    }
}

/// A payload of any format that is in order.
fn packed() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::batch().prop_map(|rows| pack_log(&rows)),
        any::state().prop_map(|state| pack_state(&kept(state))),
        any::readings().prop_map(|rows| pack_readings(&rows)),
        any::buckets().prop_map(|rows| pack_buckets(&rows)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_survived(payload in vec(any::<u8>(), 0..200)) {
        check(&payload);
        check(&[[1].as_slice(), &payload].concat());
        check(&[[2].as_slice(), &payload].concat());
    }

    #[test]
    fn changed_bytes_are_survived(
        mut payload in packed(),
        changes in vec((any::<Index>(), any::<u8>(), 0..4), 1..6),
    ) {
        for (position, byte, change) in changes {
            let position = position.index(payload.len());
            match change {
                0 => payload.insert(position, byte),
                1 if payload.len() > 1 => drop(payload.remove(position)),
                // One bit.
                2 => payload[position] ^= 1 << (byte % 8),
                _ => payload[position] = byte,
            }
        }
        check(&payload);
    }
}

proptest! {
    // Each case is as many as its payload has bytes.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_beginning_of_a_batch_is_none(rows in any::batch()) {
        let payload = pack_log(&rows);
        for length in 0..payload.len() {
            prop_assert!(unpack_log(LAST, &payload[..length]).is_err());
        }
    }

    #[test]
    fn the_beginning_of_a_state_is_none(state in any::state()) {
        let payload = pack_state(&kept(state));
        for length in 0..payload.len() {
            prop_assert!(unpack_state(&payload[..length]).is_err());
        }
    }

    #[test]
    fn the_beginning_of_readings_is_none(rows in any::readings()) {
        let payload = pack_readings(&rows);
        for length in 0..payload.len() {
            prop_assert!(unpack_all_readings(&payload[..length]).is_err());
        }
    }

    #[test]
    fn the_beginning_of_buckets_is_none(rows in any::buckets()) {
        let payload = pack_buckets(&rows);
        for length in 0..payload.len() {
            prop_assert!(unpack_all_buckets(&payload[..length]).is_err());
        }
    }
}

#[test]
fn an_unknown_version_is_told() {
    for (format, unpack) in FORMATS {
        let expected = PackError {
            fault: Fault::Version(3),
            offset: 1,
        };
        assert_eq!(unpack(&[3, 0, 0, 0, 0, 0]), Err(expected), "{format}");
    }
}

#[test]
fn what_follows_the_end_is_told() {
    let row = reading(0, &[(Quantity::Co2, 600.0)], &[]);
    let payloads = [
        pack_log(&log(vec![(false, row.clone())])),
        pack_readings(std::slice::from_ref(&row)),
        pack_buckets(&[]),
        pack_latest(&row),
        pack_state(&kept(SensorState::default())),
    ];
    for ((format, unpack), mut payload) in FORMATS.into_iter().zip(payloads) {
        unpack(&payload).unwrap();
        payload.push(0);
        assert_eq!(
            unpack(&payload).unwrap_err().fault,
            Fault::Trailing,
            "{format}"
        );
    }
}

#[test]
fn ids_before_an_epoch_are_told() {
    let row = reading(0, &[(Quantity::Co2, 612.0)], &[]);
    let payload = pack_log(&log(vec![(false, row.clone()), (false, row)]));
    let last = |sequence| StreamId { epoch: 3, sequence };
    assert_eq!(unpack_log(last(1), &payload).unwrap_err().fault, Fault::Ids);
    let rows = unpack_log(last(2), &payload).unwrap().rows;
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids, [last(1), last(2)]);
}

/// One reading at the time 0 in the room 0, up to the mask of its quantities.
const ONE_ROW: &[u8] = &[1, 1, 0, 1, 0, 1, 0, 1];

#[test]
fn readings_that_are_not_in_order_are_told() {
    let nan = f64::NAN.to_le_bytes();
    for (after, payload, fault) in [
        (&[][..], &[1, 2, 0, 1, 1][..], Fault::Order),
        // Rooms: a run of two, and of none.
        (&[], &[1, 1, 0, 1, 0, 2], Fault::Row),
        (&[], &[1, 1, 0, 1, 0, 0], Fault::Row),
        // The mark of an assumed unit is neither 0 nor 1.
        (&[], &[1, 1, 0, 1, 0, 1, 4, 1], Fault::Marker),
        // A quantity behind the last.
        (ONE_ROW, &[0x80, 0x80, 0x10], Fault::Marker),
        // CO2, which only a later row has, or that is there in no known way.
        (ONE_ROW, &[1, 1, 2, 0, 0], Fault::Row),
        (ONE_ROW, &[1, 2, 1, 1, 0, 0], Fault::Row),
        (ONE_ROW, &[1, 3], Fault::Marker),
        (ONE_ROW, &[1, 0, 8], Fault::Marker),
        // CO2 of -1, and none at all.
        (ONE_ROW, &[1, 0, 0, 1], Fault::Number),
        (ONE_ROW, &[&[1, 0, 7], &nan[..]].concat(), Fault::Number),
        // Extras: no key, no text, one twice.
        (
            ONE_ROW,
            &[0, 1, 0, 0, 0, 0],
            Fault::Extras(ExtrasError::KeyLength),
        ),
        (ONE_ROW, &[0, 1, 1, 0xff, 0, 0, 0], Fault::Key),
        (
            ONE_ROW,
            &[0, 2, 1, b'a', 0, 0, 0, 1, b'a', 0, 0, 0],
            Fault::Extras(ExtrasError::Duplicate),
        ),
    ] {
        let payload = [after, payload].concat();
        let error = unpack_all_readings(&payload).unwrap_err();
        assert_eq!(error.fault, fault, "{payload:?}");
    }
}

#[test]
fn a_batch_that_is_not_in_order_is_told() {
    // Version, time, one row, sensor, room, time.
    let row = [2, 0, 1, 0, 0, 0].as_slice();
    for (payload, fault) in [
        (&[128, 0][..], Fault::Marker),
        (&[96, 0][..], Fault::Marker),
        (&[0, 0x80, 0x80, 0x10], Fault::Marker),
        // CO2 of -1, and the exponent 7 with a mantissa.
        (&[0, 1, 1 << 3], Fault::Number),
        (&[0, 1, 1 << 3 | 7], Fault::Marker),
        // An extra without a key.
        (&[4, 0, 1, 0, 0], Fault::Extras(ExtrasError::KeyLength)),
        // A state: CO2 of -1, a stale quantity behind the last, a flag that there is not.
        (&[32, 0, 1, 1 << 3], Fault::Number),
        (&[32, 0, 0, 0x80, 0x80, 0x10], Fault::Marker),
        (&[32, 0, 0, 0, 4], Fault::Marker),
    ] {
        let payload = [row, payload].concat();
        let error = unpack_log(LAST, &payload).unwrap_err();
        assert_eq!(error.fault, fault, "{payload:?}");
    }
}

#[test]
fn buckets_that_are_not_in_order_are_told() {
    // Version, one row, start, unit, room, readings; then CO2 of all rows with whole numbers.
    let row = [1, 1, 0, 1, 0, 1].as_slice();
    for (payload, fault) in [
        (&[0x80, 0x80, 0x80, 0x80, 0x10][..], Fault::Integer),
        (&[2, 0x80, 0x80, 0x40], Fault::Marker),
        (&[2, 1, 0, 0, 1, 2], Fault::Marker),
        // Three readings less than two.
        (&[2, 1, 0, 0, 1, 1, 5], Fault::Integer),
    ] {
        let payload = [row, payload].concat();
        let error = unpack_all_buckets(&payload).unwrap_err();
        assert_eq!(error.fault, fault, "{payload:?}");
    }
}

#[test]
fn a_count_is_not_believed() {
    // 2^42 rows, of which there is one byte. A state has no count.
    let payload = [1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0];
    for (format, unpack) in FORMATS.into_iter().filter(|(name, _)| *name != "state") {
        assert_eq!(
            unpack(&payload).unwrap_err().fault,
            Fault::Count,
            "{format}"
        );
    }
    check(&payload);
}

#[test]
fn long_keys_take_bounded_memory() {
    // Each number of a steady one takes a byte, and its key is kept with each.
    let keys: Vec<_> = ('a'..='z')
        .map(|last| format!("{}{last}", "🦀".repeat(63)))
        .collect();
    let extras: Vec<_> = keys.iter().map(|key| (&**key, 1.0)).collect();
    let rows: Vec<_> = (0..1000)
        .map(|at_ms| reading(at_ms, &[], &extras))
        .collect();
    let payload = pack_readings(&rows);
    assert!(payload.len() < 40_000, "{}", payload.len());
    check(&payload);
}

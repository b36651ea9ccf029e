//! What is packed comes back, all of it or the part that is asked for.

use super::*;
use proptest::prelude::*;

/// Two of some times, or times around them, in any order.
fn span(
    times: &[i64],
    positions: (prop::sample::Index, prop::sample::Index),
    off: i64,
) -> [Timestamp; 2] {
    let at = |position: prop::sample::Index, off| match times {
        [] => off,
        times => times[position.index(times.len())].saturating_add(off),
    };
    [at(positions.0, off), at(positions.1, -off)].map(Timestamp::from_millis)
}

proptest! {
    #[test]
    fn a_batch_comes_back(rows in any::batch()) {
        let unpacked = unpack_log(LAST, &pack_log(&rows)).unwrap();
        prop_assert_eq!(unpacked.arrived_at, Some(ARRIVED));
        prop_assert_eq!(shown(&unpacked.rows), shown(&rows));
    }

    #[test]
    fn a_state_comes_back(state in any::state()) {
        let kept = kept(state);
        let unpacked = unpack_state(&pack_state(&kept)).unwrap();
        prop_assert_eq!(shown(&unpacked), shown(&kept));
    }

    #[test]
    fn readings_come_back(rows in any::readings()) {
        let unpacked = unpack_all_readings(&pack_readings(&rows)).unwrap();
        prop_assert_eq!(shown(&unpacked), shown(&rows));
    }

    #[test]
    fn the_readings_of_a_span_come_back(
        mut rows in any::readings(),
        positions: (prop::sample::Index, prop::sample::Index),
        off in -1..=1_i64,
    ) {
        let payload = pack_readings(&rows);
        let times: Vec<_> = rows.iter().map(|row| row.observed_at.millis()).collect();
        let [first, last] = span(&times, positions, off);
        let unpacked = unpack_readings(SENSOR, &payload, first, last).unwrap();
        rows.retain(|row| first <= row.observed_at && row.observed_at <= last);
        prop_assert_eq!(shown(&unpacked), shown(&rows));
    }

    #[test]
    fn buckets_come_back(rows in any::buckets()) {
        let unpacked = unpack_all_buckets(&pack_buckets(&rows)).unwrap();
        prop_assert_eq!(shown(&unpacked), shown(&rows));
    }

    #[test]
    fn the_buckets_of_a_span_come_back(
        mut rows in any::buckets(),
        positions: (prop::sample::Index, prop::sample::Index),
        off in -1..=1_i64,
    ) {
        let payload = pack_buckets(&rows);
        let starts: Vec<_> = rows.iter().map(|row| row.start.millis()).collect();
        let [first, last] = span(&starts, positions, off);
        let unpacked = unpack_buckets(SENSOR, &payload, first, last).unwrap();
        rows.retain(|row| first <= row.start && row.start <= last);
        prop_assert_eq!(shown(&unpacked), shown(&rows));
    }

    #[test]
    fn the_newest_reading_comes_back(rows in any::readings()) {
        for row in rows {
            let unpacked = unpack_latest(SENSOR, &pack_latest(&row)).unwrap();
            prop_assert_eq!(shown(&unpacked), shown(&row));
        }
    }
}

#[test]
fn a_rare_quantity_in_many_rows_comes_back() {
    let mut rows: Vec<_> = (0..2000)
        .map(|minute| reading(minute * 60_000, &[(Quantity::Co2, 600.0)], &[]))
        .collect();
    // Far enough apart that it takes two bytes to say so, and both ends.
    for position in [0, 1, 300, 1999] {
        assert!(rows[position].values.set(Quantity::Radon, 80.5));
        rows[position].extras.insert("boot", 1.0).unwrap();
    }
    let payload = pack_readings(&rows);
    assert_eq!(unpack_all_readings(&payload).unwrap(), rows);
    let dense = pack_readings(&rows[..2]).len();
    assert!(payload.len() < dense + 2 * 2000 + 30, "{}", payload.len());
}

#[test]
fn the_newest_reading_is_one() {
    let row = reading(0, &[(Quantity::Co2, 600.0)], &[]);
    for rows in [vec![], vec![row.clone(), row]] {
        let error = unpack_latest(SENSOR, &pack_readings(&rows)).unwrap_err();
        assert_eq!(error.fault, Fault::Row);
    }
}

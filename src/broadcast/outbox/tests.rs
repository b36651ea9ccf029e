//! The queue of one client against its rules.

use super::*;
use crate::broadcast::outgoing::test_support::measurement;
use pretty_assertions::assert_eq;
use proptest::prelude::*;

fn outbox(messages: &[&'static [u8]]) -> Outbox {
    let mut outbox = Outbox::default();
    for message in messages {
        outbox.push(Bytes::from_static(message), Content::Message);
    }
    outbox
}

fn waiting(outbox: &Outbox) -> Vec<&[u8]> {
    let waiting = outbox.waiting.iter();
    waiting.map(|waiting| &waiting.bytes[..]).collect()
}

#[test]
fn written_bytes_leave_the_front() {
    let mut outbox = outbox(&[b"abc", b"defg", b"h"]);
    outbox.advance(5);
    assert_eq!(waiting(&outbox), [&b"fg"[..], b"h"]);
    assert!(outbox.first_is_rest);
    assert_eq!(outbox.bytes(), 3);
    outbox.advance(2);
    assert!(!outbox.first_is_rest);
    outbox.advance(1);
    assert!(outbox.is_empty() && outbox.bytes() == 0);
}

#[test]
fn a_snapshot_does_not_count_before_nor_after_it_is_sent() {
    let mut outbox = outbox(&[b"abc"]);
    let snapshot = Bytes::from_static(b"a long snapshot");
    outbox.push(
        snapshot,
        Content::Catchup {
            kept: Kept::default(),
        },
    );
    outbox.push(Bytes::from_static(b"de"), Content::Message);
    assert_eq!(outbox.bytes(), 5);
    outbox.advance(3 + 6);
    assert_eq!(outbox.bytes(), 2);
    outbox.advance(9);
    assert_eq!((outbox.bytes(), waiting(&outbox)), (2, vec![&b"de"[..]]));
}

#[test]
fn a_message_that_has_begun_is_finished_whatever_is_forgotten() {
    let mut begun = outbox(&[b"abc", b"def"]);
    begun.advance(1);
    begun.keep_only_rest();
    assert_eq!(waiting(&begun), [&b"bc"[..]]);
    let mut fresh = outbox(&[b"abc", b"def"]);
    fresh.keep_only_rest();
    assert!(fresh.is_empty() && fresh.bytes() == 0);
}

/// Queues a measurement whose bytes are its name.
fn push(outbox: &mut Outbox, sequence: u64, sensor: &str, second: i64) {
    let message = measurement(sequence, ["site", "room", sensor], second);
    let bytes = Bytes::from(format!("{sensor}{sequence}"));
    outbox.push(bytes, Content::Measurement(message));
}

fn notice(count: u64) -> Bytes {
    Bytes::from(format!("-{count}"))
}

fn texts(outbox: &Outbox) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    waiting(outbox).into_iter().map(text).collect()
}

#[test]
fn conflation_leaves_the_latest_of_each_sensor_and_everything_else() {
    let mut outbox = Outbox::default();
    push(&mut outbox, 1, "a", 1);
    push(&mut outbox, 2, "b", 1);
    outbox.push(Bytes::from_static(b"alert"), Content::Message);
    push(&mut outbox, 3, "a", 2);
    push(&mut outbox, 4, "a", 3);
    assert_eq!(outbox.conflate(notice), 2);
    assert_eq!(texts(&outbox), ["-2", "b2", "alert", "a4"]);
    assert_eq!(outbox.bytes(), 11);

    // Told once for both times, before the next measurement.
    push(&mut outbox, 5, "b", 2);
    assert_eq!(outbox.conflate(notice), 1);
    assert_eq!(texts(&outbox), ["alert", "-3", "a4", "b5"]);
}

#[test]
fn a_late_measurement_does_not_replace_a_newer_one() {
    let mut outbox = Outbox::default();
    push(&mut outbox, 1, "a", 5);
    push(&mut outbox, 2, "a", 0);
    assert_eq!(outbox.conflate(notice), 1);
    assert_eq!(texts(&outbox), ["-1", "a1"]);
}

#[test]
fn a_measurement_that_has_begun_stays_in_front() {
    let mut outbox = Outbox::default();
    push(&mut outbox, 1, "a", 1);
    push(&mut outbox, 2, "a", 2);
    push(&mut outbox, 3, "a", 3);
    outbox.advance(1);
    assert_eq!(outbox.conflate(notice), 1);
    assert_eq!(texts(&outbox), ["1", "-1", "a3"]);
}

#[test]
fn nothing_to_leave_out_is_not_told() {
    let mut outbox = Outbox::default();
    push(&mut outbox, 1, "a", 1);
    push(&mut outbox, 2, "b", 1);
    assert_eq!(outbox.conflate(notice), 0);
    assert_eq!(texts(&outbox), ["a1", "b2"]);
}

proptest! {
    #[test]
    fn however_it_was_conflated_order_and_count_are_right(
        pushes in prop::collection::vec((0..5_usize, 0..10_i64, any::<bool>()), 1..60),
    ) {
        let sensors = ["a", "b", "c", "d", "e"];
        let mut outbox = Outbox::default();
        let mut newest: FxHashMap<&str, (bool, u64)> = FxHashMap::default();
        let mut replaced = 0;
        for (sequence, (sensor, second, conflate)) in (1..).zip(&pushes) {
            push(&mut outbox, sequence, sensors[*sensor], *second);
            let entry = newest.entry(sensors[*sensor]).or_default();
            *entry = (*entry).max((*second != 0, sequence));
            if *conflate {
                replaced += outbox.conflate(notice);
            }
        }
        replaced += outbox.conflate(notice);
        let ids: Vec<u64> = outbox
            .waiting
            .iter()
            .filter_map(|waiting| match &waiting.content {
                Content::Measurement(message) => Some(message.id.sequence),
                _ => None,
            })
            .collect();
        let mut expected: Vec<u64> = newest.values().map(|(_, sequence)| *sequence).collect();
        expected.sort_unstable();
        prop_assert_eq!(&ids, &expected, "in the order stored");
        prop_assert_eq!(replaced, (pushes.len() - ids.len()) as u64);
        let told: u64 = outbox
            .waiting
            .iter()
            .map(|waiting| if let Content::Conflated(count) = waiting.content { count } else { 0 })
            .sum();
        prop_assert_eq!(told, replaced);
        let bytes: usize = waiting(&outbox).into_iter().map(<[u8]>::len).sum();
        prop_assert_eq!(outbox.bytes(), bytes);
    }
}

use super::*;
use proptest::prelude::*;

const DAY: Duration = Duration::from_hours(24);
const YEAR: Duration = Duration::from_hours(24 * 365);
const LOOK: Duration = Duration::from_mins(10);

fn start() -> Timestamp {
    Timestamp::parse("2026-12-01T00:00:00Z").unwrap()
}

fn running_since(trusted: Timestamp) -> RetentionClock {
    RetentionClock::new(Some(ClockRecord {
        trusted,
        doubt: None,
    }))
}

/// Goes on from what was recorded, as a restart does.
fn restarted(time: &RetentionClock) -> RetentionClock {
    RetentionClock::new(time.record())
}

/// Lets both clocks run evenly.
fn run(time: &mut RetentionClock, clock: &mut Timestamp, long: Duration) -> Vec<Turn> {
    let mut turns = Vec::new();
    let mut gone = Duration::ZERO;
    while gone < long {
        *clock = clock.plus(LOOK);
        gone += LOOK;
        turns.extend(time.look(*clock, LOOK));
    }
    turns
}

#[test]
fn ordinary_times_are_followed_at_once() {
    let mut time = running_since(start());
    let mut clock = start().plus(Duration::from_hours(14));
    // Switched off for a night, each night.
    for _ in 0..30 {
        assert_eq!(time.look(clock, Duration::ZERO), None);
        assert_eq!(time.now(), Some(clock));
        assert_eq!(run(&mut time, &mut clock, Duration::from_hours(10)), []);
        time = restarted(&time);
        clock = clock.plus(Duration::from_hours(14));
    }
    // Asleep for as long, without a restart.
    time = running_since(clock);
    for _ in 0..30 {
        assert_eq!(run(&mut time, &mut clock, Duration::from_hours(6)), []);
        clock = clock.plus(Duration::from_hours(18));
        assert_eq!(time.look(clock, Duration::ZERO), None);
        assert_eq!(time.now(), Some(clock));
    }
    clock = clock.minus(Duration::from_secs(3));
    assert_eq!(time.look(clock, Duration::ZERO), None);
    assert_eq!(time.now(), Some(clock));
}

#[test]
fn a_clock_that_is_a_year_ahead_is_not_followed_and_comes_back() {
    let mut time = running_since(start());
    let mut wrong = start().plus(YEAR);
    assert_eq!(time.look(wrong, Duration::ZERO), Some(Turn::Doubted));
    assert_eq!(run(&mut time, &mut wrong, DAY), []);
    assert_eq!(time.now(), Some(start().plus(DAY)));
    let right = start().plus(DAY);
    assert_eq!(time.look(right, Duration::ZERO), Some(Turn::CameBack));
    assert_eq!(time.now(), Some(right));
    // And ahead again, from a start.
    let mut time = restarted(&time);
    assert_eq!(time.look(wrong, Duration::ZERO), Some(Turn::Doubted));
    assert_eq!(time.now(), Some(right));
}

#[test]
fn a_store_that_began_ahead_comes_back_and_does_not_go_ahead_again() {
    let wrong = start().plus(YEAR);
    let mut time = RetentionClock::of_evidence(None, wrong);
    assert_eq!(time.look(wrong, Duration::ZERO), None);
    assert_eq!(time.now(), Some(wrong));
    assert_eq!(time.look(start(), LOOK), Some(Turn::CameBack));
    assert_eq!(time.now(), Some(start()));
    assert_eq!(time.look(wrong, LOOK), Some(Turn::Doubted));
    assert_eq!(time.now(), Some(start().plus(LOOK)));
}

#[test]
fn a_clock_that_is_not_set_moves_nothing() {
    let unset = Timestamp::from_millis(1000);
    let mut time = running_since(start());
    assert_eq!(time.look(unset, LOOK), None);
    assert_eq!(time.now(), Some(start().plus(LOOK)));
    let mut time = RetentionClock::of_evidence(None, unset);
    assert_eq!(time.look(unset, LOOK), None);
    assert_eq!(time.now(), None);
    assert_eq!(time.look(start(), LOOK), None);
    assert_eq!(time.now(), Some(start()));
    let time = RetentionClock::of_evidence(Some(start()), unset);
    assert_eq!(time.now(), Some(start()));
}

#[test]
fn a_store_without_a_record_goes_by_what_it_holds() {
    let clock = start().plus(YEAR);
    let mut time = RetentionClock::of_evidence(Some(start()), clock);
    assert_eq!(time.look(clock, Duration::ZERO), Some(Turn::Doubted));
    assert_eq!(time.now(), Some(start()));
    let mut time = RetentionClock::of_evidence(Some(clock.minus(DAY)), clock);
    assert_eq!(time.look(clock, Duration::ZERO), None);
    assert_eq!(time.now(), Some(clock));
    let time = RetentionClock::of_evidence(Some(clock), start());
    assert_eq!(time.now(), Some(start()));
}

#[test]
fn whoever_was_away_for_long_is_believed_after_a_week_of_running() {
    let mut time = running_since(start());
    let mut clock = start().plus(YEAR);
    assert_eq!(time.look(clock, Duration::ZERO), Some(Turn::Doubted));
    // Off at night and corrected a little; that does not begin it anew, nor does it count.
    for day in 0..13 {
        assert_eq!(time.now(), Some(start().plus(day * DAY / 2)));
        assert_eq!(run(&mut time, &mut clock, DAY / 2), []);
        time = restarted(&time);
        clock = clock.plus(DAY / 2);
        assert_eq!(time.look(clock, Duration::ZERO), None, "{day}");
    }
    let turns = run(&mut time, &mut clock, DAY);
    assert_eq!(turns, [Turn::Believed]);
    assert_eq!(time.now(), Some(clock));
}

#[test]
fn another_clock_in_doubt_begins_the_week_anew() {
    let mut time = running_since(start());
    let mut clock = start().plus(YEAR);
    time.look(clock, Duration::ZERO);
    for jump in [YEAR, Duration::from_hours(25)] {
        assert_eq!(run(&mut time, &mut clock, 6 * DAY), []);
        clock = clock.plus(jump);
        assert_eq!(time.look(clock, LOOK), None);
    }
    assert_eq!(run(&mut time, &mut clock, 6 * DAY), []);
    clock = clock.minus(Duration::from_mins(1));
    assert_eq!(time.look(clock, LOOK), None);
    assert_eq!(run(&mut time, &mut clock, 6 * DAY), []);
    assert_eq!(run(&mut time, &mut clock, 2 * DAY), [Turn::Believed]);
}

proptest! {
    /// However the clock jumps, and however fast it runs, the time that counts is ahead of the running
    /// by no more than was allowed: what goes by it is never removed long before its time.
    #[test]
    fn no_clock_takes_the_time_along(
        jumps in prop::collection::vec((-1000_i64..1000, 0_u64..3600), 1..200)
    ) {
        let mut time = running_since(start());
        let mut clock = start();
        let mut ran = Duration::ZERO;
        for (hours, seconds) in jumps {
            let elapsed = Duration::from_secs(seconds);
            ran += elapsed;
            clock = Timestamp::from_millis(clock.plus(elapsed).millis() + hours * 3_600_000);
            time.look(clock, elapsed);
            let latest = start().plus(ran * (AHEAD_REGAINED + 1)).plus(AHEAD_MAX);
            prop_assert!(ran > EVEN_NEEDED || time.now().unwrap() <= latest);
            if clock.is_set() {
                prop_assert!(time.now().unwrap() <= clock);
            }
        }
    }
}

//! What is removed, and what a wrong clock once removed.

use super::*;
use crate::clock::Clock;
use pretty_assertions::assert_eq;
use rstest::rstest;

/// A clock that stands still.
#[derive(Debug)]
struct Still(Timestamp);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }
}

fn kept(readings_days: u32) -> Retention {
    Retention {
        readings_days,
        ..Retention::default()
    }
}

#[rstest]
#[case::kept_for_a_month(30, "2026-11-01T00:00:00Z")]
#[case::kept_for_ever(0, "")]
fn what_was_removed_on_the_word_of_a_wrong_clock_is_taken_again(
    #[case] days: u32,
    #[case] expected: &str,
) {
    on_each_database(&async |url: &str| {
        let ahead = Timestamp::parse("2027-12-05T00:00:00Z").unwrap();
        let now = Timestamp::parse("2026-12-01T10:00:00Z").unwrap();
        let database = database::open(url, OpenMode::Owner).await.unwrap();
        database.begin_epoch(now).await.unwrap();
        database
            .remove_chunks(Series::Readings, ahead, 64)
            .await
            .unwrap();
        let limits = ReplayLimits::default();
        let store = Store::open(Arc::clone(&database), PROFILE, now, limits);
        let store = store.await.unwrap();
        assert_eq!(store.removed_to(), ahead);
        let keeper = Keeper::new(&store, kept(days), Arc::new(Still(now)));
        let never = Timestamp::from_millis(i64::MIN);
        assert_eq!(
            store.removed_to(),
            Timestamp::parse(expected).unwrap_or(never)
        );
        drop(keeper);
        store.close().await;
    });
}

#[test]
fn the_time_of_retention_is_recorded_by_a_server_that_keeps_everything() {
    on_each_database(&async |url: &str| {
        let now = Timestamp::parse("2026-12-01T10:00:00Z").unwrap();
        let a_year = std::time::Duration::from_hours(24 * 365);
        for clock in [now, now.plus(a_year), now] {
            let database = database::open(url, OpenMode::Owner).await.unwrap();
            let limits = ReplayLimits::default();
            let store = Store::open(Arc::clone(&database), PROFILE, clock, limits);
            let store = store.await.unwrap();
            let keeper = Keeper::new(&store, kept(0), Arc::new(Still(clock)));
            let stopping = tokio_util::sync::CancellationToken::new();
            stopping.cancel();
            keeper.run(stopping).await;
            let record = database.load().await.unwrap().marks.clock.unwrap();
            assert!(record.trusted.since(now) < std::time::Duration::from_mins(1));
            assert_eq!(record.doubt.is_some(), clock != now);
            store.close().await;
        }
    });
}

/// Readings of every minute and of one minute, of which all raw ones are gone.
#[rstest]
#[case::one_a_minute(60, 1)]
#[case::several_a_minute(10, 6)]
fn a_bucket_that_lost_its_readings_is_not_made_again_of_a_late_one_alone(
    #[case] step_s: i64,
    #[case] readings_a_minute: u32,
) {
    on_each_database(&async |url: &str| {
        let mut running = Running::open(url, 0, QUEUE_MAX).await;
        let readings = (0..7200 / step_s).map(|each| reading("a", each * step_s, 500.0));
        let readings = readings.collect();
        running.queue.append(readings, &Sites::ALL).await.unwrap();
        running.settle().await;
        let everything = Timestamp::from_millis(i64::MAX);
        let gone = running
            .database
            .remove_chunks(Series::Readings, everything, 64)
            .await
            .unwrap();
        assert!(gone > 0);

        let late = vec![reading("a", 3601, 1000.0), reading("a", 3602, 1000.0)];
        running.queue.append(late, &Sites::ALL).await.unwrap();
        running.settle().await;
        // Settled again, and with another of the same minute.
        let late = vec![reading("a", 3603, 1000.0)];
        running.queue.append(late, &Sites::ALL).await.unwrap();
        running.settle().await;
        for (width_s, of_before) in [(60, readings_a_minute), (3600, 60 * readings_a_minute)] {
            let bucket = Bucket::even(width_s * 1000);
            let query = HistoryQuery {
                sensors: vec![SensorKey(1)],
                rooms: None,
            };
            let at = |second: i64| Timestamp::from_millis(second * 1000);
            let (from, to) = (at(3600), at(3600 + width_s));
            let buckets =
                running
                    .store
                    .buckets(&query, &bucket, TimeRange::new(from, to), usize::MAX);
            let buckets = buckets.await.unwrap().unwrap();
            let counts: Vec<_> = buckets.iter().map(|row| row.readings).collect();
            assert_eq!(counts, [of_before + 3]);
        }
        running.close().await;
    });
}

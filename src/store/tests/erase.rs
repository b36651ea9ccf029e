//! Readings that are taken out again.

use super::*;
use pretty_assertions::assert_eq;
use std::time::Duration;

fn second(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

async fn append(running: &Running, readings: Vec<ScoredReading>) -> Vec<Outcome> {
    running.queue.append(readings, &Sites::ALL).await.unwrap()
}

/// A reading that does not say where.
fn unplaced(sensor: &str, at_second: i64) -> ScoredReading {
    let mut scored = reading(sensor, at_second, 500.0);
    scored.reading.site = None;
    scored.reading.room = None;
    scored
}

#[test]
fn a_sensor_without_readings_is_shown_to_nobody_keeps_its_place_and_posts_again() {
    on_each_database(&async |url: &str| {
        let mut running = Running::open(url, 100, QUEUE_MAX).await;
        append(
            &running,
            vec![reading("a", 5, 500.0), reading("b", 5, 500.0)],
        )
        .await;
        let erased = running.erase(second(0), &|id| id.as_str() == "b").await;
        assert_eq!(erased.unwrap(), 1);
        for _ in 0..2 {
            assert_eq!(running.store.directory(|known| known.sensor_key("b")), None);
            assert_eq!(running.rows().await.len(), 1);
            running.close().await;
            running = Running::open(url, 100, QUEUE_MAX).await;
        }
        // The newest key is that of the emptied sensor: a new one must not get it.
        append(&running, vec![reading("c", 6, 500.0)]).await;
        let again = append(&running, vec![unplaced("b", 6)]).await;
        assert!(
            matches!(again.as_slice(), [Outcome::Accepted(_)]),
            "{again:?}"
        );
        running.settle().await;
        for _ in 0..2 {
            let (first_seen, count) = running.store.directory(|known| {
                let key = known.sensor_key("b").unwrap();
                let entry = known.sensor(key).unwrap();
                assert_eq!(entry.rooms.as_slice(), [entry.room]);
                (entry.first_seen, entry.reading_count)
            });
            assert_eq!((first_seen, count), (second(6), 1));
            assert_eq!(running.rows().await.len(), 3);
            running.close().await;
            running = Running::open(url, 100, QUEUE_MAX).await;
        }
        running.close().await;
    });
}

#[test]
fn many_readings_come_in_pages_settled_or_not_and_a_sensor_is_what_is_left_of_it() {
    on_each_database(&async |url: &str| {
        let mut running = Running::open(url, 100, QUEUE_MAX).await;
        let all = |seconds: std::ops::Range<i64>| {
            seconds.map(|second| reading("a", second, 500.0)).collect()
        };
        append(&running, all(0..6000)).await;
        running.settle().await;
        append(&running, all(6000..6010)).await;
        let sensor = running
            .store
            .directory(|known| known.sensor_key("a"))
            .unwrap();
        let (mut times, mut pages, mut next) = (Vec::new(), 0, Some(second(500)));
        while let Some(from) = next {
            let page = running.store.page(sensor, from).await.unwrap();
            times.extend(page.rows.iter().map(|row| row.observed_at));
            (pages, next) = (pages + 1, page.next);
        }
        assert_eq!(times, (500..6010).map(second).collect::<Vec<_>>());
        assert!(pages > 1);

        let erased = running.erase(second(500), &|_| true).await.unwrap();
        assert_eq!(erased, 5510);
        assert_eq!(running.store.sensors_from(second(500)).await.unwrap(), []);
        assert_eq!(
            running.store.sensors_from(second(499)).await.unwrap(),
            [sensor]
        );
        running.store.directory(|known| {
            let entry = known.sensor(sensor).unwrap();
            assert_eq!(entry.state.period(), Some(Duration::from_secs(1)));
            assert_eq!(entry.latest.scored.reading.observed_at, second(499));
        });
        running.close().await;
    });
}

#[test]
fn the_time_between_readings_is_that_of_those_left() {
    on_sqlite(&async |url: &str| {
        let mut running = Running::open(url, 100, QUEUE_MAX).await;
        // The second comes while the clock is ahead, so there is a year between the first two.
        for at in [0, 31_536_000, 60, 120] {
            append(&running, vec![reading("a", at, 500.0)]).await;
        }
        running.erase(second(1000), &|_| true).await.unwrap();
        let period = running.store.directory(|known| {
            let key = known.sensor_key("a").unwrap();
            known.sensor(key).unwrap().state.period()
        });
        assert_eq!(period, Some(Duration::from_mins(1)));
        running.close().await;
    });
}

#[test]
fn what_was_erased_is_not_told_again_and_what_came_after_is() {
    on_each_database(&async |url: &str| {
        let mut running = Running::open(url, 100, QUEUE_MAX).await;
        for at in [1, 9, 2, 3] {
            append(&running, vec![reading("a", at, 500.0)]).await;
        }
        let beginning = StreamId {
            epoch: 1,
            sequence: 0,
        };
        let ids: Vec<_> = (1..=4).map(|count| beginning.plus(count)).collect();
        assert_eq!(running.replay(beginning).await.unwrap().len(), 4);
        assert_eq!(running.erase(second(5), &|_| true).await.unwrap(), 1);
        for _ in 0..2 {
            assert!(running.replay(ids[0]).await.is_none());
            let told = running.replay(ids[1]).await.unwrap();
            assert_eq!(told.iter().map(|one| one.id).collect::<Vec<_>>(), ids[2..]);
            running.close().await;
            running = Running::open(url, 100, QUEUE_MAX).await;
        }
        // Nothing there: nothing is forgotten.
        assert_eq!(running.erase(second(5), &|_| true).await.unwrap(), 0);
        assert!(running.replay(ids[1]).await.is_some());
        running.close().await;
    });
}

//! What is known of a sensor without looking anything up.

use super::*;
use crate::database::Rewrite;
use pretty_assertions::assert_eq;
use std::time::Duration;

/// A reading of one quantity, so many seconds before [`LATER`].
fn of(quantity: Quantity, number: f64, seconds: i64) -> ScoredReading {
    let second = LATER.millis() / 1000 - seconds;
    let mut scored = reading("a", second, 0.0);
    scored.reading.values = Values::default();
    assert!(scored.reading.values.set(quantity, number));
    scored.assessment = PROFILE.assess(&scored.reading.values);
    scored
}

async fn append(running: &Running, readings: Vec<ScoredReading>) {
    running.queue.append(readings, &Sites::ALL).await.unwrap();
}

fn shown(running: &Running) -> Stored {
    running.store.directory(|directory| {
        let key = directory.sensor_key("a").unwrap();
        let entry = directory.sensor(key).unwrap();
        entry.stored(running.clock.now(), PROFILE).unwrap()
    })
}

/// As after an upgrade from a version that kept no states.
#[test]
fn a_state_that_is_not_kept_is_looked_up() {
    on_each_database(&async |url: &str| {
        let mut running = Running::open(url, 100, QUEUE_MAX).await;
        append(&running, vec![of(Quantity::Temperature, 20.0, 300)]).await;
        append(&running, vec![of(Quantity::Humidity, 40.0, 200)]).await;
        append(&running, vec![of(Quantity::Co2, 700.0, 100)]).await;
        running.settle().await;
        let before = shown(&running).state.unwrap();
        assert_eq!(before.values.count(), 3);
        let mut sensors = running.database.load().await.unwrap().sensors;
        for sensor in &mut sensors {
            sensor.settled.as_mut().unwrap().state = None;
        }
        let rewrite = Rewrite {
            sensors,
            ..Rewrite::default()
        };
        running.database.rewrite(&rewrite).await.unwrap();
        running.close().await;
        let mut running = Running::open(url, 100, QUEUE_MAX).await;
        assert_eq!(shown(&running).state.unwrap(), before);
        running.close().await;
    });
}

#[test]
fn a_restart_changes_nothing_of_a_state() {
    on_sqlite(&async |url: &str| {
        let mut running = Running::open(url, 100, QUEUE_MAX).await;
        let state = |running: &Running| {
            running.store.directory(|directory| {
                let key = directory.sensor_key("a").unwrap();
                let mut state = directory.sensor(key).unwrap().state.clone();
                state.end_delivery();
                state
            })
        };
        for (quantity, seconds) in [
            (Quantity::Co2, 900),
            (Quantity::Temperature, 890),
            (Quantity::Co2, 600),
            (Quantity::Temperature, 590),
            (Quantity::Co2, 300),
        ] {
            append(&running, vec![of(quantity, 20.0, seconds)]).await;
            if seconds == 600 {
                running.settle().await;
            }
        }
        let before = state(&running);
        assert_eq!(before.delivery_period(), before.period());
        running.close().await;
        let mut running = Running::open(url, 100, QUEUE_MAX).await;
        assert_eq!(state(&running), before);
        running.close().await;
    });
}

#[test]
fn what_is_not_fresh_any_more_is_not_shown_and_changes_the_version() {
    on_sqlite(&async |url: &str| {
        let mut running = Running::open(url, 100, QUEUE_MAX).await;
        append(&running, vec![of(Quantity::Temperature, 20.0, 100)]).await;
        append(&running, vec![of(Quantity::Co2, 700.0, 0)]).await;
        let version = || running.store.directory(Directory::latest_version);
        let before = version();
        // Three times five minutes, since there is no second value.
        let end = LATER.plus(Duration::from_secs(800));
        running.store.make_stale(end);
        assert_eq!(version(), before);
        running.clock.0.store(end.millis(), Ordering::Relaxed);
        assert!(shown(&running).state.unwrap().stale_values.is_empty());
        let behind = end.plus(Duration::from_millis(1));
        running.store.make_stale(behind);
        assert!(version() > before);
        running.clock.0.store(behind.millis(), Ordering::Relaxed);
        let state = shown(&running).state.unwrap();
        assert_eq!(state.stale_values.as_slice(), [Quantity::Temperature]);
        assert_eq!(state.values.get(Quantity::Co2), Some(700.0));
        running.close().await;
    });
}

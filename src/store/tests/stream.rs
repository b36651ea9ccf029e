//! The one sequence of readings and notices, and what of it is told again.

use super::*;
use pretty_assertions::assert_eq;

fn readings(seconds: std::ops::Range<i64>) -> Vec<ScoredReading> {
    seconds.map(|second| reading("a", second, 500.0)).collect()
}

fn id(epoch: u64, sequence: u64) -> StreamId {
    StreamId { epoch, sequence }
}

/// Ids as they go over the wire, notices with their kind.
fn names(published: &[Published]) -> Vec<String> {
    let name = |message: &Published| match message {
        Published::Measurement(stored) => stored.id.to_string(),
        Published::Notice { id, notice } => format!("{id} {}", notice.kind),
    };
    published.iter().map(name).collect()
}

fn ids(stored: &[Stored]) -> Vec<StreamId> {
    stored.iter().map(|stored| stored.id).collect()
}

/// The writer can run on any thread.
#[expect(dead_code, reason = "it need only compile")]
fn the_writer_is_send(writer: Writer) -> impl Send {
    writer.run()
}

#[test]
fn notices_and_readings_share_one_sequence_and_only_readings_are_replayed() {
    on_each_database(&async |url: &str| {
        let mut running = Running::open(url, 100, QUEUE_MAX).await;
        running
            .queue
            .append(readings(0..2), &Sites::ALL)
            .await
            .unwrap();
        running.announce().await;
        running
            .queue
            .append(readings(2..3), &Sites::ALL)
            .await
            .unwrap();
        running.announce().await;
        assert_eq!(
            names(&running.published()),
            ["1-1", "1-2", "1-3 alert", "1-4", "1-5 alert"]
        );
        assert_eq!(running.store.position(), id(1, 5));
        for (after, expected) in [
            (id(1, 0), vec![id(1, 1), id(1, 2), id(1, 4)]),
            (id(1, 2), vec![id(1, 4)]),
            (id(1, 3), vec![id(1, 4)]),
            (id(1, 4), vec![]),
            (id(1, 5), vec![]),
        ] {
            assert_eq!(ids(&running.replay(after).await.unwrap()), expected);
        }
        assert!(running.replay(id(1, 6)).await.is_none());
        running.close().await;

        let mut running = Running::open(url, 100, QUEUE_MAX).await;
        running.announce().await;
        running
            .queue
            .append(readings(3..4), &Sites::ALL)
            .await
            .unwrap();
        for after in [id(1, 4), id(1, 5), id(2, 0), id(2, 1)] {
            assert_eq!(ids(&running.replay(after).await.unwrap()), [id(2, 2)]);
        }
        let part = running.store.replay(id(1, 1), id(2, 1), 9).await.unwrap();
        assert_eq!(ids(&part.unwrap()), [id(1, 2), id(1, 4)]);
        for future in [id(2, 3), id(3, 0)] {
            assert!(running.replay(future).await.is_none());
        }
        running.close().await;
    });
}

#[test]
fn notices_that_gathered_with_readings_come_behind_them() {
    on_each_database(&async |url: &str| {
        let mut running = Running::open(url, 100, QUEUE_MAX).await;
        // The writer has had no turn yet.
        running.queue.announce(notice()).unwrap();
        let (first, second) = tokio::join!(
            running.queue.append(readings(0..1), &Sites::ALL),
            running.queue.append(readings(1..2), &Sites::ALL),
        );
        assert!(first.is_ok() && second.is_ok());
        running.queue.close().await;
        assert_eq!(names(&running.published()), ["1-1", "1-2", "1-3 alert"]);
        running.store.close().await;
        (&mut running.writing).await.unwrap();
    });
}

#[test]
fn a_notice_takes_the_room_of_a_reading_until_it_is_published() {
    on_each_database(&async |url: &str| {
        let mut running = Running::open(url, 0, 2).await;
        running.queue.announce(notice()).unwrap();
        running.queue.announce(notice()).unwrap();
        assert_eq!(running.queue.announce(notice()), Err(AppendError::Busy));
        let result = running.queue.append(readings(0..1), &Sites::ALL).await;
        assert_eq!(result.unwrap_err(), AppendError::Busy);
        while running.listener.0.lock().len() < 2 {
            tokio::task::yield_now().await;
        }
        running
            .queue
            .append(readings(0..2), &Sites::ALL)
            .await
            .unwrap();
        running.close().await;
    });
}

#[test]
fn a_notice_is_published_while_the_database_fails_and_never_under_the_id_of_a_reading() {
    on_each_database(&async |url: &str| {
        let mut running = Running::open(url, 100, QUEUE_MAX).await;
        running
            .queue
            .append(readings(0..1), &Sites::ALL)
            .await
            .unwrap();
        *running.database.failure.lock() = Some(Failure::Unheard);
        let result = running.queue.append(readings(1..3), &Sites::ALL).await;
        assert_eq!(result.unwrap_err(), AppendError::Failed);
        running.announce().await;
        assert_eq!(names(&running.published()), ["1-1", "1-4 alert"]);
        // They may be on the disk, but nobody knows.
        assert_eq!(ids(&running.replay(id(1, 0)).await.unwrap()), [id(1, 1)]);
        assert_eq!(ids(&running.replay(id(1, 4)).await.unwrap()), []);

        running
            .queue
            .append(readings(3..4), &Sites::ALL)
            .await
            .unwrap();
        let published = running.published();
        let measured = |message: &Published| match message {
            Published::Measurement(stored) => stored.scored.reading.observed_at.millis() / 1000,
            Published::Notice { .. } => panic!("{message:?}"),
        };
        assert_eq!(
            published.iter().map(measured).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        let told: Vec<_> = published.iter().map(Published::id).collect();
        assert_eq!(ids(&running.replay(id(1, 4)).await.unwrap()), told);
        running.close().await;
    });
}

#[test]
fn a_long_replay_comes_in_parts_and_from_what_is_kept_only() {
    const READINGS: i64 = 5000;
    const KEPT: usize = 640;
    on_each_database(&async |url: &str| {
        let mut running = Running::open(url, KEPT, QUEUE_MAX).await;
        for start in (0..READINGS).step_by(8) {
            running
                .queue
                .append(readings(start..start + 8), &Sites::ALL)
                .await
                .unwrap();
        }
        running.settle().await;
        assert!(running.replay(id(1, 0)).await.is_none());
        assert_eq!(running.rows().await.len(), 5000);
        for _start in 0..2 {
            let mut after = id(1, 5000 - KEPT as u64);
            let mut told = Vec::new();
            loop {
                let up_to = running.store.position();
                let part = running.store.replay(after, up_to, 100).await.unwrap();
                let part = ids(&part.unwrap());
                told.extend_from_slice(&part);
                match part.last() {
                    Some(last) if part.len() == 100 => after = *last,
                    _ => break,
                }
            }
            let expected = 5001 - KEPT as u64..=5000;
            assert_eq!(told, expected.map(|n| id(1, n)).collect::<Vec<_>>());
            // A chunk more than is to be kept, at most.
            assert!(
                running
                    .replay(id(1, 5000 - KEPT as u64 - 10))
                    .await
                    .is_none()
            );
            running.close().await;
            running = Running::open(url, KEPT, QUEUE_MAX).await;
        }
        // What was there before counts.
        let later = READINGS..READINGS + i64::try_from(KEPT).unwrap();
        running
            .queue
            .append(readings(later), &Sites::ALL)
            .await
            .unwrap();
        running.settle().await;
        assert_eq!(running.rows().await.len(), 5000 + KEPT);
        assert!(running.replay(id(1, 4999)).await.is_none());
        assert_eq!(running.replay(id(3, 0)).await.unwrap().len(), KEPT);
        running.close().await;
    });
}

#[test]
fn nothing_is_kept_beyond_what_is_unsettled_when_nothing_is_to_be() {
    on_each_database(&async |url: &str| {
        let mut running = Running::open(url, 0, QUEUE_MAX).await;
        running
            .queue
            .append(readings(0..3), &Sites::ALL)
            .await
            .unwrap();
        assert_eq!(running.replay(id(1, 1)).await.unwrap().len(), 2);
        running.settle().await;
        assert_eq!(running.rows().await.len(), 3);
        assert!(running.replay(id(1, 2)).await.is_none());
        assert!(running.replay(id(1, 3)).await.unwrap().is_empty());
        running.close().await;
    });
}

#[test]
fn the_ids_of_an_epoch_end_before_the_next() {
    on_each_database(&async |url: &str| {
        let mut running = Running::open(url, 100, QUEUE_MAX).await;
        let all = usize::try_from(StreamId::SEQUENCE_MAX).unwrap();
        running.store.directory.write().reserve(all - 2);
        let result = running.queue.append(readings(0..1), &Sites::ALL).await;
        assert_eq!(result.unwrap_err(), AppendError::Failed);
        for _notice in 0..3 {
            running.queue.announce(notice()).unwrap();
        }
        running.close().await;
        let published: Vec<_> = running.published().iter().map(Published::id).collect();
        let last = StreamId::SEQUENCE_MAX;
        assert_eq!(published, [id(1, last - 1), id(1, last)]);

        let mut running = Running::open(url, 100, QUEUE_MAX).await;
        running
            .queue
            .append(readings(0..1), &Sites::ALL)
            .await
            .unwrap();
        assert_eq!(ids(&running.replay(id(1, last)).await.unwrap()), [id(2, 1)]);
        running.close().await;
    });
}

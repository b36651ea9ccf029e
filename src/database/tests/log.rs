use super::*;
use pretty_assertions::assert_eq;
use rstest::rstest;

/// Batches with the ids 1 to 3, 4, 5 to 9 and, after a gap, 12 and 13.
async fn four_batches(test: &TestDatabase) -> std::sync::Arc<dyn Database> {
    let database = filled(test).await;
    for (last, readings) in [(3, 3), (4, 1), (9, 5), (13, 2)] {
        database.commit(&appending(last, readings)).await.unwrap();
    }
    database
}

#[rstest]
#[tokio::test]
async fn a_part_of_the_log_is_what_has_readings_in_it(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let test = TestDatabase::new(kind).await;
    let database = four_batches(&test).await;
    let cases: [(u64, u64, u32, &[u64]); 19] = [
        (0, 13, 100, &[3, 4, 9, 13]),
        (0, 1_000, 100, &[3, 4, 9, 13]),
        // The ends: after is outside, up to is inside, and a part of a batch is enough.
        (2, 13, 100, &[3, 4, 9, 13]),
        (3, 13, 100, &[4, 9, 13]),
        (8, 13, 100, &[9, 13]),
        (9, 13, 100, &[13]),
        (13, 13, 100, &[]),
        (13, 1_000, 100, &[]),
        (0, 0, 100, &[]),
        (0, 1, 100, &[3]),
        (0, 4, 100, &[3, 4]),
        (0, 5, 100, &[3, 4, 9]),
        (4, 11, 100, &[9]),
        (9, 11, 100, &[]),
        (9, 12, 100, &[13]),
        // As many as it takes to have so many readings.
        (0, 13, 1, &[3]),
        (0, 13, 3, &[3]),
        (0, 13, 4, &[3, 4]),
        (0, 13, 5, &[3, 4, 9]),
    ];
    for (after, up_to, readings_max, lasts) in cases {
        let part = database.log(id(after), id(up_to), readings_max).await;
        let part = part.unwrap();
        let found: Vec<_> = part.batches.iter().map(|b| b.last.sequence).collect();
        assert_eq!(found, lasts, "{after} {up_to} {readings_max}");
        assert_eq!(part.trimmed_to, StreamId::default());
    }
    let part = database.log(id(4), id(13), 100).await.unwrap();
    assert_eq!(part.batches, [batch(9, 5), batch(13, 2)]);
    let other_epochs = |epoch| StreamId { epoch, sequence: 0 };
    let part = database.log(other_epochs(0), other_epochs(9), 100).await;
    assert_eq!(part.unwrap().batches.len(), 4);
    database.close().await;
}

#[rstest]
#[tokio::test]
async fn trimming_takes_whole_batches_and_moves_the_mark_on(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let test = TestDatabase::new(kind).await;
    let database = four_batches(&test).await;
    let check = async |trimmed_to: u64, sizes: &[(u64, u32)]| {
        let part = database.log(id(0), id(99), 99).await.unwrap();
        assert_eq!(part.trimmed_to, id(trimmed_to));
        let found = database.log_sizes().await.unwrap();
        let found: Vec<_> = found.iter().map(|(last, n)| (last.sequence, *n)).collect();
        assert_eq!(found, sizes);
        assert_eq!(part.batches.len(), sizes.len());
        assert_eq!(
            database.load().await.unwrap().marks.trimmed_to,
            id(trimmed_to)
        );
    };
    database.trim_log(id(8)).await.unwrap();
    check(8, &[(9, 5), (13, 2)]).await;
    database.trim_log(id(9)).await.unwrap();
    check(9, &[(13, 2)]).await;
    database.trim_log(id(4)).await.unwrap();
    check(9, &[(13, 2)]).await;
    database.trim_log(id(20)).await.unwrap();
    check(20, &[]).await;
    database.close().await;
}

#[rstest]
#[tokio::test]
async fn renumbering_changes_one_batch_or_none(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let test = TestDatabase::new(kind).await;
    let database = four_batches(&test).await;
    assert!(!database.renumber(id(13), id(50)).await.unwrap());
    assert!(database.renumber(id(9), id(51)).await.unwrap());
    assert_eq!(log_lasts(&*database).await, [3, 4, 9, 51]);
    // The payload stays what it was.
    let part = database.log(id(49), id(51), 9).await.unwrap();
    assert_eq!(part.batches[0].payload, batch(13, 2).payload);
    // The same again, when nobody heard of it.
    assert!(database.renumber(id(9), id(51)).await.unwrap());
    assert_eq!(log_lasts(&*database).await, [3, 4, 9, 51]);

    // Ids that are given out are not given again.
    database.renumber(id(9), id(4)).await.unwrap_err();
    assert_eq!(log_lasts(&*database).await, [3, 4, 9, 51]);
    database.commit(&appending(52, 1)).await.unwrap();
    database.close().await;
}

#[rstest]
#[tokio::test]
async fn renumbering_nothing_writes_all_the_same(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let test = TestDatabase::new(kind).await;
    let database = filled(&test).await;
    let held = test.hold_writes().await;
    database.renumber(id(1), id(2)).await.unwrap_err();
    database.commit(&appending(1, 1)).await.unwrap_err();
    // Reading goes on.
    database.check().await.unwrap();
    assert_eq!(database.load().await.unwrap().rooms, places().rooms);
    held.close().await;
    assert!(!database.renumber(id(1), id(2)).await.unwrap());
    let count = "select recoveries from marks";
    assert_eq!(test.connect().await.number(count).await, 1);
    database.commit(&appending(1, 1)).await.unwrap();
    database.close().await;
}

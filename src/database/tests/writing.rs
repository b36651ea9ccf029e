use super::*;
use pretty_assertions::assert_eq;
use rstest::rstest;
use std::time::Duration;

const MARKS: Marks = Marks {
    settled_to: StreamId {
        epoch: 0,
        sequence: 0,
    },
    trimmed_to: StreamId {
        epoch: 0,
        sequence: 0,
    },
    removed_to: Timestamp::from_millis(i64::MIN),
    clock: None,
    started_before: None,
};

#[rstest]
#[tokio::test]
async fn the_size_grows_by_what_is_written(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    const BYTES: u64 = 1024 * 1024;
    let test = TestDatabase::new(kind).await;
    let database = test.open().await;
    let before = database.size_bytes().await.unwrap();
    assert!((4096..64 * BYTES).contains(&before), "{before}");
    let mut large = appending(1, 1);
    // Nothing that a database could make smaller.
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    });
    let payload: Vec<u8> = noise.take(1024 * 1024).collect();
    large.batch = large.batch.map(|batch| Batch { payload, ..batch });
    database.commit(&large).await.unwrap();
    let after = database.size_bytes().await.unwrap();
    assert!(
        (before + BYTES..before + 8 * BYTES).contains(&after),
        "{before} {after}"
    );
    database.close().await;
}

#[rstest]
#[tokio::test]
async fn what_is_committed_is_loaded(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let test = TestDatabase::new(kind).await;
    let database = test.open().await;
    let empty = database.load().await.unwrap();
    assert_eq!(empty.marks, MARKS);
    assert_eq!((empty.rooms, empty.sensors), (vec![], vec![]));

    let mut first = places();
    first.batch = Some(batch(2, 2));
    database.commit(&first).await.unwrap();
    database.commit(&Commit::default()).await.unwrap();
    database.commit(&appending(3, 1)).await.unwrap();
    // A room of a site that is there, one of another site, and a sensor that is there in both.
    let later = Commit {
        rooms: vec![room(3, "Maison", "会议室"), room(4, "O'Brien\"s", "Bureau")],
        sensor_rooms: vec![(SensorKey(2), RoomKey(3)), (SensorKey(2), RoomKey(4))],
        ..Commit::default()
    };
    database.commit(&later).await.unwrap();

    let check = async |database: &dyn Database| {
        let loaded = database.load().await.unwrap();
        let rooms = [first.rooms.clone(), later.rooms.clone()].concat();
        assert_eq!(loaded.rooms, rooms);
        let sensors = [("a", 1), ("b", 2), ("c", 2)];
        let sensors = (1..).zip(sensors);
        let sensors = sensors.map(|(key, (name, room))| new_sensor(key, name, room));
        assert_eq!(loaded.sensors, sensors.collect::<Vec<_>>());
        let pairs: Vec<_> = loaded
            .sensor_rooms
            .iter()
            .map(|(s, r)| (s.0, r.0))
            .collect();
        assert_eq!(pairs, [(1, 1), (1, 2), (2, 2), (2, 3), (2, 4), (3, 2)]);
        assert_eq!(loaded.log, [batch(2, 2), batch(3, 1)]);
        assert_eq!(loaded.marks, MARKS);
    };
    check(&*database).await;
    database.close().await;
    let database = test.open().await;
    check(&*database).await;
    database.close().await;
}

#[rstest]
#[tokio::test]
async fn settled_sensors_are_loaded_to_the_last_bit(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let test = TestDatabase::new(kind).await;
    let database = test.open().await;
    // More than one statement of SQLite updates.
    let mut sensors: Vec<_> = (1..=70)
        .map(|key| new_sensor(key, &format!("s{key}"), 1))
        .collect();
    let commit = Commit {
        rooms: vec![room(1, "Maison", "Bureau"), room(2, "Maison", "Grenier")],
        sensors: sensors
            .iter()
            .map(|sensor| (sensor.key, sensor.id.clone(), sensor.room))
            .collect(),
        ..Commit::default()
    };
    database.commit(&commit).await.unwrap();
    for (number, sensor) in (0_u32..).zip(&mut sensors) {
        sensor.room = RoomKey(2);
        sensor.reading_count = u64::from(number) << 40;
        sensor.settled = (number % 5 > 0).then(|| SettledSensor {
            first_seen: at(-i64::from(number)),
            latest: number.to_le_bytes().repeat(9),
            newest_at: Some(at(7)),
            state: (number % 3 > 0).then(|| number.to_le_bytes().repeat(5)),
        });
    }
    let rewrite = Rewrite {
        sensors: sensors.clone(),
        ..Rewrite::default()
    };
    database.rewrite(&rewrite).await.unwrap();
    assert_eq!(database.load().await.unwrap().sensors, sensors);
    database.close().await;
}

#[rstest]
#[case::batch_is_there(1, 1, 4)]
#[case::room_is_there(5, 1, 4)]
#[case::room_of_the_sensor_is_not_there(5, 4, 5)]
#[tokio::test]
async fn a_commit_is_all_or_nothing(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
    #[case] last: u64,
    #[case] new_room: i64,
    #[case] of_sensor: i64,
) {
    let test = TestDatabase::new(kind).await;
    let database = filled(&test).await;
    database.commit(&appending(1, 1)).await.unwrap();
    let before = format!("{:?}", database.load().await.unwrap());
    let commit = Commit {
        rooms: vec![room(8, "Neuf", "Cave"), room(new_room, "Neuf", "Bureau")],
        sensors: vec![(SensorKey(4), sensor_id("d"), RoomKey(of_sensor))],
        sensor_rooms: vec![(SensorKey(1), RoomKey(8))],
        returned: Vec::new(),
        batch: Some(batch(last, 1)),
    };
    database.commit(&commit).await.unwrap_err();
    assert_eq!(format!("{:?}", database.load().await.unwrap()), before);
    database.commit(&appending(9, 1)).await.unwrap();
    assert_eq!(log_lasts(&*database).await, [1, 9]);
    database.close().await;
}

#[rstest]
#[tokio::test]
async fn an_epoch_never_comes_again(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let test = TestDatabase::new(kind).await;
    let mut given = Vec::new();
    for _ in 0..2 {
        let database = test.open().await;
        given.push(database.begin_epoch(at(5)).await.unwrap());
        given.push(database.begin_epoch(at(5)).await.unwrap());
        database.close().await;
        test.execute("delete from stream_epochs").await;
    }
    assert_eq!(given, [1, 2, 3, 4]);
}

#[rstest]
#[tokio::test]
async fn a_rewrite_replaces_and_moves_at_once(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let test = TestDatabase::new(kind).await;
    let database = filled(&test).await;
    for last in 1..=3 {
        database.commit(&appending(last, 1)).await.unwrap();
    }
    let old = [chunk(1, 0, 9), chunk(1, 10, 19), chunk(2, 0, 9)];
    let rows = |series: Series, chunks: &[Chunk]| -> Vec<_> {
        let chunks = chunks.iter().cloned();
        chunks.map(|chunk| (series, chunk)).collect()
    };
    write(&*database, rows(Series::Readings, &old)).await;
    write(&*database, rows(Series::Hours, &old)).await;

    let mut merged = chunk(1, 0, 19);
    merged.payload = Vec::new();
    let mut large = chunk(2, 0, 5);
    large.payload = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let sensor = SensorRow {
        reading_count: 3,
        settled: Some(SettledSensor {
            first_seen: at(0),
            latest: vec![0, 255],
            newest_at: Some(at(7)),
            state: Some(vec![1, 255]),
        }),
        ..new_sensor(1, "a", 2)
    };
    let key = |sensor: i64, start: i64| (Series::Readings, SensorKey(sensor), at(start));
    let rewrite = Rewrite {
        removed: vec![key(1, 0), key(1, 10), key(2, 0)],
        written: rows(Series::Readings, &[merged.clone(), large.clone()]),
        sensors: vec![sensor.clone()],
        settled_to: Some(id(2)),
    };
    database.rewrite(&rewrite).await.unwrap();
    let everything = spans(&EVERYTHING);
    let check = async || {
        let chunks = database.chunks(Series::Readings, &everything, usize::MAX);
        assert_eq!(
            chunks.await.unwrap().unwrap(),
            [merged.clone(), large.clone()]
        );
        let chunks = database.chunks(Series::Hours, &everything, usize::MAX);
        assert_eq!(chunks.await.unwrap().unwrap(), old);
        let loaded = database.load().await.unwrap();
        assert_eq!(loaded.marks.settled_to, id(2));
        assert_eq!(loaded.log, [batch(3, 1)]);
        assert_eq!(loaded.sensors[0], sensor);
    };
    check().await;

    // What cannot be done in whole is not done at all.
    let all_of = |settled_to| Rewrite {
        removed: vec![key(1, 0)],
        written: rows(Series::Readings, &[chunk(3, 0, 9)]),
        sensors: vec![new_sensor(1, "a", 1)],
        settled_to,
    };
    let mut twice = all_of(Some(id(3)));
    twice.written.push((Series::Readings, chunk(2, 0, 1)));
    let mut unknown = all_of(Some(id(3)));
    unknown.sensors.push(new_sensor(9, "z", 1));
    for rewrite in [twice, unknown] {
        database.rewrite(&rewrite).await.unwrap_err();
        check().await;
    }
    // The mark only moves on.
    let back = Rewrite {
        settled_to: Some(id(1)),
        ..Rewrite::default()
    };
    database.rewrite(&back).await.unwrap();
    check().await;
    database.close().await;
}

#[rstest]
#[tokio::test]
async fn old_chunks_are_removed_a_few_at_a_time(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let test = TestDatabase::new(kind).await;
    let database = filled(&test).await;
    let mut written = Vec::new();
    for series in [Series::Readings, Series::Minutes] {
        for sensor in 1..=3 {
            for start in [0, 10, 20] {
                written.push((series, chunk(sensor, start, start + 9)));
            }
        }
    }
    write(&*database, written).await;
    let remove = async |series, before| database.remove_chunks(series, at(before), 4).await;
    let removed_to = async || database.load().await.unwrap().marks.removed_to;

    assert_eq!(remove(Series::Minutes, 19).await.unwrap(), 3);
    assert_eq!(removed_to().await, at(i64::MIN));
    assert_eq!(remove(Series::Readings, 20).await.unwrap(), 4);
    assert_eq!(removed_to().await, at(20));
    assert_eq!(remove(Series::Readings, 20).await.unwrap(), 2);
    assert_eq!(remove(Series::Readings, 20).await.unwrap(), 0);
    assert_eq!(remove(Series::Readings, 0).await.unwrap(), 0);
    assert_eq!(removed_to().await, at(20));

    let starts = async |series| -> Vec<_> {
        let heads = database.chunk_heads(series, &spans(&EVERYTHING)).await;
        let heads = heads.unwrap().into_iter();
        heads
            .map(|head| (head.sensor.0, head.start.millis()))
            .collect()
    };
    assert_eq!(starts(Series::Readings).await, [(1, 20), (2, 20), (3, 20)]);
    let rest = [(1, 10), (1, 20), (2, 10), (2, 20), (3, 10), (3, 20)];
    assert_eq!(starts(Series::Minutes).await, rest);
    database.close().await;
}

#[rstest]
#[tokio::test]
async fn a_commit_nobody_waits_for_is_whole_or_gone(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let test = TestDatabase::new(kind).await;
    let database = filled(&test).await;
    let mut whole = 0;
    for number in 1..=40_u32 {
        let key = i64::from(number) + 10;
        let commit = Commit {
            rooms: vec![room(key, "Neuf", &format!("r{key}"))],
            sensors: vec![(SensorKey(key), sensor_id(&format!("s{key}")), RoomKey(key))],
            batch: Some(batch(u64::from(number) * 10, 1)),
            ..Commit::default()
        };
        let wait = Duration::from_micros(100) * number;
        drop(tokio::time::timeout(wait, database.commit(&commit)).await);
        let next = appending(u64::from(number) * 10 + 1, 1);
        database.commit(&next).await.unwrap();

        let loaded = database.load().await.unwrap();
        assert_eq!(loaded.log.last(), next.batch.as_ref());
        let has_batch = loaded.log.contains(commit.batch.as_ref().unwrap());
        let has_room = loaded.rooms.contains(&commit.rooms[0]);
        let has_sensor = loaded.sensors.iter().any(|sensor| sensor.key.0 == key);
        assert_eq!([has_room, has_sensor], [has_batch; 2]);
        whole += usize::from(has_batch);
    }
    println!("{whole} of 40 were whole");
    database.close().await;
}

#[rstest]
#[case::no_marks("delete from marks", "marks")]
#[case::negative_mark("update marks set trimmed_to = -1", "marks")]
#[case::no_readings("update log set readings = 0", "log")]
#[case::more_readings_than_ids("update log set readings = 2", "log")]
#[case::too_many_readings("update log set readings = 4294967296", "log")]
#[tokio::test]
async fn a_row_nothing_valid_left_is_an_error(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
    #[case] damage: &'static str,
    #[case] damaged: &str,
) {
    let test = TestDatabase::new(kind).await;
    let database = filled(&test).await;
    database.commit(&appending(1, 1)).await.unwrap();
    test.execute(damage).await;
    match database.load().await {
        Err(StoreError::Corrupt { table, .. }) => assert_eq!(table, damaged),
        other => panic!("{other:?}"),
    }
    if damaged == "log" {
        let log = database.log(id(0), id(9), 9).await;
        assert!(matches!(log, Err(StoreError::Corrupt { .. })), "{log:?}");
        let sizes = database.log_sizes().await;
        assert!(matches!(sizes, Err(StoreError::Corrupt { .. })));
    }
    database.close().await;
}

#[rstest]
#[case::name(
    "update sensors set sensor_id = 'no spaces' where key = 1",
    "sensor_id"
)]
#[case::count("update sensors set reading_count = -1 where key = 1", "reading_count")]
#[case::half_of_what_is_settled("update sensors set first_ms = 0 where key = 1", "first_ms")]
#[tokio::test]
async fn a_sensor_nothing_valid_left_is_apart_also_in_a_copy(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
    #[case] damage: &'static str,
    #[case] column: &str,
) {
    let test = TestDatabase::new(kind).await;
    let database = filled(&test).await;
    let whole = database.load().await.unwrap();
    test.execute(damage).await;
    let loaded = database.load().await.unwrap();
    let [damaged] = &loaded.damaged[..] else {
        panic!("{loaded:?}");
    };
    assert_eq!(damaged.key, SensorKey(1));
    assert!(damaged.detail.contains(column), "{damaged:?}");
    assert_eq!(loaded.sensors, whole.sensors[1..]);
    assert_eq!(loaded.sensor_rooms, whole.sensor_rooms);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("copy.db");
    database.back_up(&file).await.unwrap();
    database.close().await;
    let url = format!("sqlite://{}", file.display());
    let copy = crate::database::open(&url, OpenMode::Owner).await.unwrap();
    let copied = copy.load().await.unwrap();
    assert_eq!(copied.damaged, loaded.damaged);
    assert_eq!(copied.sensor_rooms, whole.sensor_rooms);
    copy.close().await;
}

#[rstest]
#[case::of_a_room("update rooms set name = '' where key = 1", "#1")]
#[case::of_controls("update rooms set name = '\u{1}Den\u{2}' where key = 1", "Den")]
#[tokio::test]
async fn a_room_whose_name_is_damaged_is_called_by_what_is_left_of_it(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
    #[case] damage: &'static str,
    #[case] called: &str,
) {
    let test = TestDatabase::new(kind).await;
    let database = filled(&test).await;
    test.execute(damage).await;
    let loaded = database.load().await.unwrap();
    assert_eq!(&*loaded.rooms[0].room, called);
    database.close().await;
}

#[tokio::test]
async fn a_text_that_is_no_utf_8_damages_its_row_alone() {
    let test = TestDatabase::sqlite();
    let database = filled(&test).await;
    test.execute(
        "update rooms set name = cast(x'42ff' as text) where key = 1;
        update sensors set sensor_id = cast(x'61ff' as text) where key = 1",
    )
    .await;
    let loaded = database.load().await.unwrap();
    assert_eq!(&*loaded.rooms[0].room, "B\u{fffd}");
    assert_eq!(loaded.damaged[0].id, "a\u{fffd}");
    database.close().await;
}

#[rstest]
#[case("update chunks set end_ms = start_ms - 1")]
#[case("update chunks set rows = 0")]
#[tokio::test]
async fn a_chunk_nothing_valid_left_is_an_error(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
    #[case] damage: &'static str,
) {
    let test = TestDatabase::new(kind).await;
    let database = filled(&test).await;
    write(&*database, vec![(Series::Days, chunk(1, 5, 5))]).await;
    test.execute(damage).await;
    let spans = spans(&[(1, 0, 9)]);
    // From the end of the line on, so that the damaged one counts as overlapping.
    let everything = [span(1, i64::MIN, 9)];
    let chunks = database.chunks(Series::Days, &everything, usize::MAX).await;
    assert!(
        matches!(chunks, Err(StoreError::Corrupt { .. })),
        "{chunks:?}"
    );
    let heads = database.chunk_heads(Series::Days, &spans).await;
    assert!(
        matches!(heads, Err(StoreError::Corrupt { .. })),
        "{heads:?}"
    );
    database.close().await;
}

#[rstest]
#[tokio::test]
async fn after_closing_every_call_fails(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let test = TestDatabase::new(kind).await;
    let database = filled(&test).await;
    database.close().await;
    let copy = tempfile::tempdir().unwrap();
    let all = spans(&EVERYTHING);
    let errors = [
        database.begin_epoch(at(0)).await.err(),
        database.load().await.err(),
        database.commit(&appending(1, 1)).await.err(),
        database.renumber(id(1), id(2)).await.err(),
        database.log(id(0), id(9), 9).await.err(),
        database.log_sizes().await.err(),
        database.trim_log(id(0)).await.err(),
        database.chunk_heads(Series::Days, &all).await.err(),
        database.chunks(Series::Days, &all, usize::MAX).await.err(),
        database.rewrite(&Rewrite::default()).await.err(),
        database.remove_chunks(Series::Days, at(0), 1).await.err(),
        database.back_up(&copy.path().join("copy.db")).await.err(),
        database.check().await.err(),
    ];
    for (number, error) in errors.into_iter().enumerate() {
        let closed = Some(StoreError::Database(sqlx::Error::PoolClosed));
        assert_eq!(format!("{error:?}"), format!("{closed:?}"), "{number}");
    }
    database.close().await;
}

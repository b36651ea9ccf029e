use super::*;
use crate::database::open;
use pretty_assertions::assert_eq;
use rstest::rstest;

/// Everything a database tells.
#[derive(Debug, PartialEq)]
struct Contents {
    loaded: String,
    log: Vec<Batch>,
    trimmed_to: StreamId,
    chunks: Vec<Vec<Chunk>>,
}

async fn contents(database: &dyn Database) -> Contents {
    let part = database
        .log(StreamId::default(), id(1 << 30), 1 << 30)
        .await;
    let part = part.unwrap();
    let mut chunks = Vec::new();
    for series in Series::ALL {
        let all = database
            .chunks(series, &spans(&EVERYTHING), usize::MAX)
            .await;
        chunks.push(all.unwrap().unwrap());
    }
    Contents {
        loaded: format!("{:?}", database.load().await.unwrap()),
        log: part.batches,
        trimmed_to: part.trimmed_to,
        chunks,
    }
}

#[rstest]
#[tokio::test]
async fn a_copy_is_a_database_with_the_same_in_it(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let test = TestDatabase::new(kind).await;
    let database = filled(&test).await;
    assert_eq!(database.begin_epoch(at(1)).await.unwrap(), 1);
    assert_eq!(database.begin_epoch(at(2)).await.unwrap(), 2);
    // More of both than goes at once.
    for last in 1..=600 {
        database.commit(&appending(last, 1)).await.unwrap();
    }
    let mut written = Vec::new();
    for number in 0..300 {
        written.push((Series::Readings, chunk(1, number * 10, number * 10 + 9)));
        written.push((Series::Days, chunk(2, number * 10, number * 10 + 9)));
    }
    let rewrite = Rewrite {
        written,
        sensors: vec![SensorRow {
            reading_count: 12,
            settled: Some(SettledSensor {
                first_seen: at(7),
                latest: vec![0, 1, 2],
                newest_at: Some(at(7)),
                state: Some(vec![3, 4, 5]),
            }),
            ..new_sensor(1, "a", 2)
        }],
        settled_to: Some(id(300)),
        removed: Vec::new(),
    };
    database.rewrite(&rewrite).await.unwrap();
    database.trim_log(id(20)).await.unwrap();
    database
        .remove_chunks(Series::Readings, at(25), 99)
        .await
        .unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    database.back_up(&path).await.unwrap();
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");

    let original = contents(&*database).await;
    let url = format!("sqlite://{}", path.display());
    let copy = open(&url, OpenMode::Reader).await.unwrap();
    assert_eq!(contents(&*copy).await, original);
    copy.close().await;
    let copy = open(&url, OpenMode::Owner).await.unwrap();
    assert_eq!(contents(&*copy).await, original);
    assert_eq!((original.log.len(), original.chunks[0].len()), (580, 298));
    // It can be gone on with.
    assert_eq!(copy.begin_epoch(at(3)).await.unwrap(), 3);
    copy.commit(&appending(601, 1)).await.unwrap();
    let later = Commit {
        rooms: vec![room(3, "Maison", "Cave")],
        ..Commit::default()
    };
    copy.commit(&later).await.unwrap();
    copy.close().await;

    // A file that is there is not touched.
    let before = std::fs::read(&path).unwrap();
    let refused = database.back_up(&path).await.unwrap_err();
    assert!(
        refused.to_string().ends_with("is there already"),
        "{refused}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let nowhere = folder.path().join("no/such/folder/copy.db");
    database.back_up(&nowhere).await.unwrap_err();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    database.close().await;
}

use super::*;
use pretty_assertions::assert_eq;
use rstest::rstest;

#[rstest]
#[tokio::test]
async fn a_database_has_one_owner(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let test = TestDatabase::new(kind).await;
    let first = filled(&test).await;
    for _ in 0..2 {
        let refused = test.try_open(OpenMode::Owner).await.unwrap_err();
        assert!(matches!(refused, StoreError::InUse(_)), "{refused:?}");
        assert!(refused.to_string().contains("only one server"), "{refused}");
    }
    first.commit(&appending(1, 1)).await.unwrap();
    first.close().await;
    let second = test.open().await;
    second.commit(&appending(2, 1)).await.unwrap();
    first.commit(&appending(3, 1)).await.unwrap_err();
    assert_eq!(log_lasts(&*second).await, [1, 2]);
    // An owner that is only dropped is none any more either.
    drop(second);
    let third = test.open().await;
    third.close().await;
}

#[rstest]
#[tokio::test]
async fn readers_see_what_the_owner_commits(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let test = TestDatabase::new(kind).await;
    let owner = filled(&test).await;
    let reader = test.try_open(OpenMode::Reader).await.unwrap();
    owner.commit(&appending(1, 1)).await.unwrap();
    assert_eq!(log_lasts(&*reader).await, [1]);
    reader.check().await.unwrap();
    let writes = [
        reader.commit(&appending(2, 1)).await.err(),
        reader.begin_epoch(at(1)).await.err(),
        reader.trim_log(id(1)).await.err(),
    ];
    for error in writes {
        assert!(matches!(error, Some(StoreError::Unusable(_))), "{error:?}");
    }
    owner.commit(&appending(2, 1)).await.unwrap();
    owner.close().await;
    // Without an owner too, also when it is opened only then.
    assert_eq!(log_lasts(&*reader).await, [1, 2]);
    reader.close().await;
    let reader = test.try_open(OpenMode::Reader).await.unwrap();
    assert_eq!(log_lasts(&*reader).await, [1, 2]);
    let owner = test.open().await;
    owner.commit(&appending(3, 1)).await.unwrap();
    assert_eq!(log_lasts(&*reader).await, [1, 2, 3]);
    reader.close().await;
    owner.close().await;
}

#[rstest]
#[case::newer(
    "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
    values (9, 'later', true, '', 1)",
    "was written by a newer version of IAQverse: it has migration 9, and this version knows those \
    up to 6"
)]
#[case::earlier_layout(
    "update _sqlx_migrations set checksum = '\\x00'",
    "was written by an unreleased version"
)]
#[case::half_way(
    "update _sqlx_migrations set success = false",
    "half-way in migration 1"
)]
#[tokio::test]
async fn other_versions_are_refused_and_left_alone(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
    #[values(OpenMode::Owner, OpenMode::Reader)] mode: OpenMode,
    #[case] change: &'static str,
    #[case] message: &str,
) {
    let test = TestDatabase::new(kind).await;
    filled(&test).await.close().await;
    // The same text is bytes in Postgres and has to be said to be that in SQLite.
    let change = match (kind, change) {
        (Kind::Sqlite, change) if change.contains("checksum = ") => {
            "update _sqlx_migrations set checksum = x'00'"
        }
        (Kind::Sqlite, change) if change.starts_with("insert") => {
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
            values (9, 'later', true, x'', 1)"
        }
        (_, change) => change,
    };
    test.execute(change).await;
    let before = state(&test, kind).await;
    let refused = test.try_open(mode).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unusable(_)), "{refused:?}");
    assert!(refused.to_string().contains(message), "{refused}");
    assert_eq!(state(&test, kind).await, before);
}

#[rstest]
#[tokio::test]
async fn a_reader_creates_nothing(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let test = TestDatabase::new(kind).await;
    let before = state(&test, kind).await;
    let refused = test.try_open(OpenMode::Reader).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unusable(_)), "{refused:?}");
    assert_eq!(state(&test, kind).await, before);
}

#[tokio::test]
async fn other_urls_are_refused_without_saying_them() {
    for url in [
        "mysql://me:secret@host/db",
        "iaqverse.db",
        "",
        "postgre://me:secret@host",
    ] {
        let refused = crate::database::open(url, OpenMode::Owner).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("sqlite:// or postgres://"), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }
}

/// What is in the database, down to every byte of a file.
async fn state(test: &TestDatabase, kind: Kind) -> Vec<(String, u64)> {
    if kind == Kind::Sqlite {
        return sqlite::files(test.folder());
    }
    let mut connection = test.connect().await;
    let tables = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    let tables = connection.number(tables).await;
    let mut state = vec![("relations".to_owned(), tables.cast_unsigned())];
    if tables > 0 {
        let migrations = "select sum(hashtext(m::text)) from _sqlx_migrations as m";
        let migrations = connection.number(migrations).await;
        state.push(("migrations".to_owned(), migrations.cast_unsigned()));
    }
    connection.close().await;
    state
}

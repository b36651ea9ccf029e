use super::*;
use crate::database::SqliteDatabase;
use crate::database::sqlite::plans;
use crate::database::test_database::TestConnection;
use pretty_assertions::assert_eq;
use rstest::rstest;
use rustc_hash::FxBuildHasher;
use std::hash::BuildHasher;
use std::path::Path;

/// Names of all files of a folder, with a hash of what is in them.
pub(super) fn files(folder: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut files: Vec<_> = entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (
                name,
                FxBuildHasher.hash_one(std::fs::read(entry.path()).unwrap()),
            )
        })
        .collect();
    files.sort();
    files
}

fn names(test: &TestDatabase) -> Vec<String> {
    let files = files(test.folder()).into_iter();
    files.map(|(name, _)| name).collect()
}

/// Both kinds of access are refused with this message and nothing in the folder changes.
async fn check_refused(test: &TestDatabase, message: &str) {
    let before = files(test.folder());
    for mode in [OpenMode::Owner, OpenMode::Reader] {
        let refused = test.try_open(mode).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unusable(_)), "{refused:?}");
        assert!(refused.to_string().contains(message), "{refused}");
        assert_eq!(files(test.folder()), before);
    }
}

#[rstest]
#[case::text(b"dear diary".as_slice())]
#[case::long_text(&[b'x'; 10_000])]
#[case::zeros(&[0; 8192])]
#[case::only_a_header(b"SQLite format 3\0")]
#[tokio::test]
async fn a_file_that_is_no_database_is_refused(#[case] bytes: &[u8]) {
    let test = TestDatabase::sqlite();
    std::fs::write(test.path(), bytes).unwrap();
    check_refused(&test, "test.db is not a SQLite database").await;
}

#[rstest]
#[case::journal("create table diary (entry text)")]
#[case::wal("pragma journal_mode = wal; create table diary (entry text)")]
#[case::empty("pragma user_version = 3")]
#[case::same_names("create table rooms (name text); create table sensors (id text)")]
#[case::of_sqlx("create table _sqlx_migrations (version integer)")]
#[tokio::test]
async fn a_database_of_another_program_is_refused(#[case] made_by: &'static str) {
    let test = TestDatabase::sqlite();
    let mut connection = test.connect().await;
    connection.execute(made_by).await;
    connection.close().await;
    check_refused(&test, "is a SQLite database of another program").await;
}

#[tokio::test]
async fn a_database_of_another_program_in_use_is_refused() {
    let test = TestDatabase::sqlite();
    let mut connection = test.connect().await;
    connection
        .execute("pragma journal_mode = wal; create table diary (entry text)")
        .await;
    assert_eq!(names(&test), ["test.db", "test.db-shm", "test.db-wal"]);
    let before = files(test.folder());
    let refused = test.try_open(OpenMode::Owner).await.unwrap_err();
    assert!(refused.to_string().contains("another program"), "{refused}");
    // The file in the middle is what processes share in memory, and changes by being looked at.
    let after = files(test.folder());
    assert_eq!((&before[0], &before[2]), (&after[0], &after[2]));
    assert_eq!(before.len(), after.len());
    connection.close().await;
}

#[tokio::test]
async fn a_database_of_an_unreleased_version_is_refused() {
    let test = TestDatabase::sqlite();
    let mut connection = test.connect().await;
    connection
        .execute(
            "create table _sqlx_migrations (version integer);
            create table stream_epochs (epoch integer)",
        )
        .await;
    connection.close().await;
    check_refused(&test, "was written by an unreleased version").await;
}

/// A first start that is killed while it claims the file leaves a journal that takes the claim back.
#[tokio::test]
async fn a_claim_that_was_interrupted_is_made_again() {
    let test = TestDatabase::sqlite();
    let mut connection = test.connect().await;
    connection
        .execute("pragma application_id = 1229017462")
        .await;
    connection.close().await;
    // The header of a journal of an empty file: nothing to restore, and no page to be left.
    let magic = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    let [records, nonce, pages, sector, page] = [0_u32, 1, 0, 512, 4096].map(u32::to_be_bytes);
    let mut journal = [&magic[..], &records, &nonce, &pages, &sector, &page].concat();
    journal.resize(512, 0);
    std::fs::write(test.folder().join("test.db-journal"), journal).unwrap();
    for _ in 0..2 {
        test.try_open(OpenMode::Owner).await.unwrap().close().await;
    }
}

#[rstest]
#[case::cut_off(|bytes: &mut Vec<u8>| bytes.truncate(8192))]
#[case::schema(|bytes: &mut Vec<u8>| bytes[100..4096].fill(0xff))]
#[case::a_table(|bytes: &mut Vec<u8>| bytes[4096..].fill(0xff))]
#[tokio::test]
async fn a_damaged_database_is_refused(#[case] damage: fn(&mut Vec<u8>)) {
    let test = TestDatabase::sqlite();
    filled(&test).await.close().await;
    let mut bytes = std::fs::read(test.path()).unwrap();
    assert!(bytes.len() > 8192);
    damage(&mut bytes);
    std::fs::write(test.path(), bytes).unwrap();
    check_refused(&test, "is damaged").await;
}

#[tokio::test]
async fn a_database_with_a_damaged_table_is_refused() {
    let test = TestDatabase::sqlite();
    filled(&test).await.close().await;
    let mut connection = test.connect().await;
    let root = connection
        .number("select rootpage from sqlite_schema where name = 'log'")
        .await;
    connection.close().await;
    let mut bytes = std::fs::read(test.path()).unwrap();
    let begin = (usize::try_from(root).unwrap() - 1) * 4096;
    bytes[begin..begin + 4096].fill(0xff);
    std::fs::write(test.path(), bytes).unwrap();
    check_refused(&test, "is damaged").await;
}

#[tokio::test]
async fn a_database_without_one_of_its_tables_is_refused() {
    let test = TestDatabase::sqlite();
    filled(&test).await.close().await;
    test.execute("drop table marks").await;
    check_refused(&test, "is damaged: it has no table marks").await;
}

#[tokio::test]
async fn a_file_that_lost_its_changes_is_not_made_anew() {
    let test = TestDatabase::sqlite();
    std::fs::write(test.folder().join("test.db-wal"), "changes").unwrap();
    check_refused(&test, "is missing").await;
}

#[tokio::test]
async fn a_folder_is_no_database() {
    let test = TestDatabase::sqlite();
    std::fs::create_dir(test.path()).unwrap();
    let refused = test.try_open(OpenMode::Owner).await.unwrap_err();
    assert!(refused.to_string().contains("is not a file"), "{refused}");
}

#[rstest]
#[case("sqlite::memory:")]
#[case("sqlite://:memory:")]
#[case("sqlite://x.db?mode=memory")]
#[case("sqlite://x.db?mode=ro")]
#[case("sqlite://x.db?immutable=1")]
#[tokio::test]
async fn urls_without_a_file_of_their_own_are_refused(#[case] url: &str) {
    let refused = SqliteDatabase::open(url, OpenMode::Owner)
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::Unusable(_)), "{refused:?}");
    assert!(!Path::new("x.db").exists());
}

#[tokio::test]
async fn names_of_files_may_have_anything_in_them() {
    let test = TestDatabase::sqlite();
    let url = format!("sqlite://{}/a%3Fb%20%23%25é.db", test.folder().display());
    let database = SqliteDatabase::open(&url, OpenMode::Owner).await.unwrap();
    database.commit(&places()).await.unwrap();
    let copy = test.folder().join("file:copy?x=%20.db");
    database.back_up(&copy).await.unwrap();
    database.close().await;
    assert_eq!(names(&test), ["a?b #%é.db", "file:copy?x=%20.db"]);
    // A copy has no free pages, and migrations leave some behind.
    let bytes_of = |path| std::fs::metadata(path).unwrap().len();
    let bytes = bytes_of(test.folder().join("a?b #%é.db"));
    let copied = bytes_of(copy);
    assert!(bytes / 2 < copied && copied <= bytes, "{copied} of {bytes}");
}

#[tokio::test]
async fn an_interrupted_creation_is_gone_on_with() {
    let test = TestDatabase::sqlite();
    test.execute("pragma application_id = 0x49415176").await;
    let refused = test.try_open(OpenMode::Reader).await.unwrap_err();
    assert!(refused.to_string().contains("has no tables"), "{refused}");
    filled(&test).await.close().await;
    // A file somebody made for it to be written to is as good.
    std::fs::write(test.path(), "").unwrap();
    filled(&test).await.close().await;
}

#[tokio::test]
async fn one_file_is_left_after_closing() {
    let test = TestDatabase::sqlite();
    let database = filled(&test).await;
    let open = ["test.db", "test.db-shm", "test.db-wal", "test.db.lock"];
    assert_eq!(names(&test), open);
    database.close().await;
    assert_eq!(names(&test), ["test.db"]);
}

#[tokio::test]
async fn a_lock_file_without_a_process_means_nothing() {
    let test = TestDatabase::sqlite();
    std::fs::write(test.folder().join("test.db.lock"), "").unwrap();
    filled(&test).await.close().await;
    assert_eq!(names(&test), ["test.db"]);
}

#[tokio::test]
async fn one_database_under_two_names_has_one_owner() {
    let test = TestDatabase::sqlite();
    let database = filled(&test).await;
    let link = test.folder().join("link.db");
    std::os::unix::fs::symlink(test.path(), &link).unwrap();
    let url = format!("sqlite://{}", link.display());
    let refused = SqliteDatabase::open(&url, OpenMode::Owner).await;
    assert!(matches!(refused, Err(StoreError::InUse(_))), "{refused:?}");
    database.close().await;
}

#[tokio::test]
async fn a_transaction_nobody_ends_is_rolled_back() {
    let test = TestDatabase::sqlite();
    let database = SqliteDatabase::open(test.url(), OpenMode::Owner).await;
    let database = database.unwrap();
    database.commit(&places()).await.unwrap();
    database
        .abandon("begin immediate; update marks set settled_to = 5; delete from rooms where false")
        .await;
    database.commit(&appending(1, 1)).await.unwrap();
    let loaded = database.load().await.unwrap();
    assert_eq!(loaded.marks.settled_to, StreamId::default());
    assert_eq!(loaded.log, [batch(1, 1)]);
    database.close().await;
}

#[tokio::test]
async fn an_answer_comes_in_time_while_something_else_writes() {
    let test = TestDatabase::sqlite();
    let database = SqliteDatabase::open(test.url(), OpenMode::Owner).await;
    let database = database.unwrap();
    database.commit(&places()).await.unwrap();
    let writing = database.hold().await;
    tokio::time::pause();
    let commit = database.commit(&appending(1, 1)).await;
    assert!(matches!(commit, Err(StoreError::Timeout(_))), "{commit:?}");
    let renumber = database.renumber(id(1), id(2)).await;
    assert!(matches!(renumber, Err(StoreError::Timeout(_))));
    tokio::time::resume();
    drop(writing);
    database.commit(&appending(2, 1)).await.unwrap();
    assert_eq!(log_lasts(&database).await, [2]);
    database.close().await;
}

#[tokio::test]
async fn a_commit_is_on_the_disk() {
    let test = TestDatabase::sqlite();
    let database = SqliteDatabase::open(test.url(), OpenMode::Owner).await;
    let database = database.unwrap();
    let set = [
        ("pragma journal_mode", "wal"),
        ("pragma synchronous", "2"),
        ("pragma foreign_keys", "1"),
        ("pragma busy_timeout", "1000"),
        ("pragma wal_autocheckpoint", "4096"),
        ("pragma application_id", "1229017462"),
    ];
    for (pragma, value) in set {
        assert_eq!(database.writer_setting(pragma).await, value, "{pragma}");
    }
    database.close().await;
}

/// No query looks at more chunks, or batches, than it has to.
#[tokio::test]
async fn queries_search_and_do_not_scan() {
    let test = TestDatabase::sqlite();
    filled(&test).await.close().await;
    let TestConnection::Sqlite(mut connection) = test.connect().await else {
        panic!("a connection to another database");
    };
    for (query, tables) in plans::QUERIES {
        let explain = format!("explain query plan {query}");
        let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(explain))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let steps: Vec<_> = steps.into_iter().map(|(_, _, _, step)| step).collect();
        for table in *tables {
            let scan = format!("SCAN {table}");
            let scans = steps.iter().any(|step| step.starts_with(&scan));
            assert!(!scans, "{query}\n{steps:#?}");
            let search = format!("SEARCH {table} USING ");
            let searches = steps.iter().any(|step| step.starts_with(&search));
            assert!(searches, "{query}\n{steps:#?}");
        }
        println!("{steps:#?}");
    }
}

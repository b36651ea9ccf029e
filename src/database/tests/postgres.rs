use super::*;
use crate::database::PostgresDatabase;
use pretty_assertions::assert_eq;
use rstest::rstest;

const OWNER_SESSIONS: &str = "select count(*) from pg_locks
    where locktype = 'advisory' and classid = 1229017462
        and database = (select oid from pg_database where datname = current_database())";
/// Ends the owner's session as a restart of the server would.
const END_OWNER: &str = "select pg_terminate_backend(pid, 5000) from pg_locks
    where locktype = 'advisory' and classid = 1229017462
        and database = (select oid from pg_database where datname = current_database())";

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let test = TestDatabase::postgres().await;
    let database = filled(&test).await;
    for round in 0..3 {
        test.execute(END_OWNER).await;
        let first = appending(round * 10 + 1, 1);
        // Whether the server did it before it went cannot be known.
        database.commit(&first).await.unwrap_err();
        assert!(!database.renumber(id(round * 10 + 1), id(99)).await.unwrap());
        database.commit(&first).await.unwrap();
        assert_eq!(test.connect().await.number(OWNER_SESSIONS).await, 1);
    }
    assert_eq!(log_lasts(&*database).await, [1, 11, 21]);
    database.close().await;
}

#[tokio::test]
async fn lost_readers_are_replaced() {
    let test = TestDatabase::postgres().await;
    let database = filled(&test).await;
    for _ in 0..3 {
        let (a, b, c) = tokio::join!(database.load(), database.log_sizes(), database.check());
        assert_eq!([a.is_ok(), b.is_ok(), c.is_ok()], [true; 3]);
        test.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()",
        )
        .await;
    }
    database.check().await.unwrap();
    database.close().await;
}

#[tokio::test]
async fn who_lost_the_lock_to_another_does_not_write() {
    let test = TestDatabase::postgres().await;
    let first = filled(&test).await;
    assert_eq!(first.begin_epoch(at(1)).await.unwrap(), 1);
    test.execute(END_OWNER).await;
    let second = test.open().await;
    first.commit(&appending(1, 1)).await.unwrap_err();
    for _ in 0..2 {
        let refused = first.commit(&appending(1, 1)).await.unwrap_err();
        assert!(matches!(refused, StoreError::InUse(_)), "{refused:?}");
    }
    second.close().await;
    // The other has not begun anything: what the first knows still holds.
    first.commit(&appending(1, 1)).await.unwrap();

    test.execute(END_OWNER).await;
    let second = test.open().await;
    assert_eq!(second.begin_epoch(at(2)).await.unwrap(), 2);
    second.close().await;
    first.commit(&appending(2, 1)).await.unwrap_err();
    for _ in 0..2 {
        let refused = first.commit(&appending(2, 1)).await.unwrap_err();
        assert!(refused.to_string().contains("another server"), "{refused}");
    }
    assert_eq!(test.connect().await.number(OWNER_SESSIONS).await, 0);
    assert_eq!(log_lasts(&*first).await, [1]);
    first.close().await;
}

#[tokio::test]
async fn what_nobody_waits_for_ends_before_anything_else_is_written() {
    let test = TestDatabase::postgres().await;
    let database = filled(&test).await;
    test.execute(
        "create function slow() returns trigger language plpgsql as
        $$ begin perform pg_sleep(9); return new; end $$;
        create trigger slow before insert on log for each row
        when (new.readings = 2) execute function slow()",
    )
    .await;
    let late = appending(2, 2);
    let mut watcher = test.connect().await;
    let begun = async {
        let sleeping = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event = 'PgSleep'";
        while watcher.number(sleeping).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    // The server has begun, and nobody waits for it any more.
    tokio::select! {
        early = database.commit(&late) => panic!("{early:?}"),
        () = begun => {}
    }
    database.commit(&appending(3, 1)).await.unwrap();
    assert_eq!(log_lasts(&*database).await, [3]);
    assert_eq!(watcher.number(OWNER_SESSIONS).await, 1);
    database.close().await;
}

#[tokio::test]
async fn owners_of_different_schemas_do_not_meet() {
    let test = TestDatabase::postgres().await;
    test.execute("create schema one; create schema two").await;
    let url = |schema: &str| format!("{}?options=-csearch_path%3D{schema}", test.url());
    let one = PostgresDatabase::open(&url("one"), OpenMode::Owner).await;
    let two = PostgresDatabase::open(&url("two,public"), OpenMode::Owner).await;
    let (one, two) = (one.unwrap(), two.unwrap());
    one.commit(&places()).await.unwrap();
    assert_eq!(two.load().await.unwrap().rooms, []);
    let in_two = "select count(*) from two.sites";
    assert_eq!(test.connect().await.number(in_two).await, 0);
    assert_eq!(
        test.connect()
            .await
            .number("select count(*) from one.sites")
            .await,
        1
    );
    let refused = PostgresDatabase::open(&url("one"), OpenMode::Owner).await;
    assert!(matches!(refused, Err(StoreError::InUse(_))), "{refused:?}");
    let refused = PostgresDatabase::open(&url("none"), OpenMode::Owner).await;
    assert!(
        matches!(refused, Err(StoreError::Unusable(_))),
        "{refused:?}"
    );
    one.close().await;
    two.close().await;
}

#[rstest]
#[case::table(
    "create table rooms (name text)",
    "has a table rooms of another program"
)]
#[case::view(
    "create view marks as select 1",
    "has a table marks of another program"
)]
#[case::migrations(
    "create table _sqlx_migrations (version bigint, success boolean, checksum bytea);
    insert into _sqlx_migrations values (1, true, 'x')",
    "has migrations of another program"
)]
#[case::early(
    "create table _sqlx_migrations (version bigint, success boolean, checksum bytea);
    insert into _sqlx_migrations values (1, true, 'x');
    create table stream_epochs (epoch bigint)",
    "was written by an unreleased version"
)]
#[tokio::test]
async fn tables_of_another_program_are_refused(
    #[values(OpenMode::Owner, OpenMode::Reader)] mode: OpenMode,
    #[case] made_by: &'static str,
    #[case] message: &str,
) {
    let test = TestDatabase::postgres().await;
    test.execute(made_by).await;
    let relations = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    let before = test.connect().await.number(relations).await;
    let refused = test.try_open(mode).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unusable(_)), "{refused:?}");
    assert!(refused.to_string().contains(message), "{refused}");
    assert_eq!(test.connect().await.number(relations).await, before);
}

#[tokio::test]
async fn tables_of_other_names_are_nobodys_business() {
    let test = TestDatabase::postgres().await;
    test.execute("create table diary (entry text)").await;
    filled(&test).await.close().await;
}

#[rstest]
#[case::no_server("127.0.0.1:9")]
#[case::no_host("host.invalid")]
#[case::no_port("127.0.0.1:port")]
#[tokio::test]
async fn no_error_has_the_password(#[case] host: &str) {
    let url = format!("postgres://me:verysecret@{host}/db");
    let refused = PostgresDatabase::open(&url, OpenMode::Owner)
        .await
        .unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("verysecret"));
    let reader = PostgresDatabase::open(&url, OpenMode::Reader)
        .await
        .unwrap_err();
    assert!(!format!("{reader} {reader:?}").contains("verysecret"));
}

#[tokio::test]
async fn what_is_shown_of_a_database_has_no_password() {
    let test = TestDatabase::postgres().await;
    let mut url: url::Url = test.url().parse().unwrap();
    if url.password().is_none() {
        url.set_password(Some("verysecret")).unwrap();
    }
    let password = url.password().unwrap().to_owned();
    let database = PostgresDatabase::open(url.as_str(), OpenMode::Owner).await;
    let database = database.unwrap();
    assert!(!format!("{database:?}").contains(&password));
    database.close().await;
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_on() {
    // Connections to it succeed, as to a server that is stopped, and nothing ever comes.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://me@{}/db", silent.local_addr().unwrap());
    tokio::time::pause();
    for mode in [OpenMode::Owner, OpenMode::Reader] {
        let refused = PostgresDatabase::open(&url, mode).await.unwrap_err();
        assert!(matches!(refused, StoreError::Timeout(_)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_commit_is_on_the_disk() {
    let test = TestDatabase::postgres().await;
    // Not even when whoever set the server up had it otherwise.
    let url = format!("{}?options=-csynchronous_commit%3Doff", test.url());
    let database = PostgresDatabase::open(&url, OpenMode::Owner).await.unwrap();
    let set = [
        ("synchronous_commit", "on"),
        ("statement_timeout", "10s"),
        ("lock_timeout", "700ms"),
        ("application_name", "iaqverse"),
    ];
    for (setting, value) in set {
        assert_eq!(database.writer_setting(setting).await, value, "{setting}");
    }
    database.close().await;
}

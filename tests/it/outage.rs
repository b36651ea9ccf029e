//! A database that is away for a while: locked by another process, stopped, hanging, without room for
//! one more connection. Readings are refused at once, everything else goes on, and when it is back it
//! is used again without a restart.

use crate::cluster::Cluster;
use crate::harness::{Server, client, status_of};
use crate::ledger::{Answered, Ledger, REFUSING_KIB_MAX, readiness};
use futures_util::{StreamExt, stream};
use pretty_assertions::assert_eq;
use rstest::rstest;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::interval;

/// Between requests: 50 a second.
const POST_INTERVAL: Duration = Duration::from_millis(20);

/// Posts at a steady rate whatever becomes of it, for so long; then waits for all answers.
async fn post_steadily(ledger: &Ledger, server: &Server, requests: usize) {
    let http = client();
    let url = server.url("/api/ingest");
    let ticks = stream::unfold(interval(POST_INTERVAL), |mut ticks| async {
        Some((ticks.tick().await, ticks))
    });
    let posts = ticks.take(requests).for_each_concurrent(None, |_| async {
        assert_ne!(ledger.post(&http, &url, 1).await, Answered::Nothing);
    });
    posts.await;
}

/// What holds while the database is away: refusals, a reason, life, and no memory for it.
async fn check_away(ledger: &Ledger, server: &Server, requests: usize, reasons: &[&str]) {
    let before_kib = server.resident_kib();
    let refused_before = ledger.refused();
    let looking = async {
        let mut looks = interval(Duration::from_millis(200));
        for _ in 0..requests / 20 {
            looks.tick().await;
            assert_eq!(status_of(server, "/health/live").await, 200);
        }
        readiness(server).await
    };
    let ((), (status, reason)) = tokio::join!(post_steadily(ledger, server, requests), looking);
    assert_eq!(status, 503);
    let reason = reason.expect("a reason");
    assert!(reasons.contains(&reason.as_str()), "{reason}");
    assert_eq!(ledger.refused() - refused_before, requests);
    let growth_kib = server.resident_kib().saturating_sub(before_kib);
    assert!(growth_kib < REFUSING_KIB_MAX, "{growth_kib} KiB");
}

async fn check_back(ledger: &Ledger, server: &Server) {
    ledger.post_until_taken(server).await;
    assert_eq!(readiness(server).await, (200, None));
    ledger.send_unknown_again(server).await;
    ledger.check(server).await;
}

#[rstest]
#[tokio::test]
async fn a_locked_database_refuses_until_it_is_free(
    #[values("begin immediate", "begin exclusive")] statement: &'static str,
) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/iaqverse.db", folder.path().display());
    let server = Server::with(&[("DATABASE_URL", &url), ("IAQ_LOG", "info")]);
    let ledger = Ledger::default();
    ledger.post_until_taken(&server).await;
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query(AssertSqlSafe(statement))
        .execute(&mut other)
        .await
        .unwrap();
    check_away(
        &ledger,
        &server,
        150,
        &["the database is locked by another process"],
    )
    .await;
    assert_eq!(status_of(&server, "/api/iaq/data").await, 200);
    sqlx::query("rollback").execute(&mut other).await.unwrap();
    check_back(&ledger, &server).await;
}

async fn with_postgres(cluster: &Cluster) -> (Server, Ledger) {
    let url = cluster.new_database().await;
    let server = Server::with(&[("DATABASE_URL", &url), ("IAQ_LOG", "info")]);
    let ledger = Ledger::default();
    post_steadily(&ledger, &server, 20).await;
    assert_eq!(ledger.acknowledged(), 20);
    (server, ledger)
}

#[tokio::test]
async fn a_postgres_that_crashed_is_used_again_when_it_is_back() {
    let cluster = Arc::new(Cluster::start());
    let (server, ledger) = with_postgres(&cluster).await;
    let posting = post_steadily(&ledger, &server, 100);
    let crash = async {
        ledger.reach(40).await;
        let cluster = Arc::clone(&cluster);
        tokio::task::spawn_blocking(move || cluster.stop())
            .await
            .unwrap();
    };
    tokio::join!(posting, crash);
    check_away(
        &ledger,
        &server,
        150,
        &[
            "the database cannot be reached",
            "the database is being stopped",
        ],
    )
    .await;
    cluster.start_again();
    check_back(&ledger, &server).await;
}

#[tokio::test]
async fn a_postgres_that_hangs_is_used_again_when_it_goes_on() {
    let cluster = Cluster::start();
    let (server, ledger) = with_postgres(&cluster).await;
    cluster.signal("STOP");
    check_away(&ledger, &server, 200, &["the database does not answer"]).await;
    cluster.signal("CONT");
    check_back(&ledger, &server).await;
}

#[tokio::test]
async fn a_postgres_without_a_free_connection_is_used_again_when_it_has_one() {
    let cluster = Cluster::start();
    let (server, ledger) = with_postgres(&cluster).await;
    let url = cluster.new_database().await;
    // Its own connections end, and others take their places before it gets new ones.
    cluster.stop();
    cluster.start_again();
    let mut others = Vec::new();
    loop {
        match sqlx::PgConnection::connect(&url).await {
            Ok(connection) => others.push(connection),
            Err(sqlx::Error::Database(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    check_away(
        &ledger,
        &server,
        150,
        &[
            "the database has no resources left",
            "the database cannot be reached",
        ],
    )
    .await;
    drop(others);
    check_back(&ledger, &server).await;
}

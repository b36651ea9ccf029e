//! A disk that fails: each write and each sync in turn, once or from then on; one that is full; one
//! that became read-only. Nothing that was acknowledged is lost, nobody waits, and a disk that works
//! again is used again without a restart.

use crate::disk::{Disk, EIO, ENOSPC, borrowed};
use crate::harness::{Server, client, status_of};
use crate::ledger::{Answered, Ledger, REFUSING_KIB_MAX, check_integrity, note, readiness, rounds};
use pretty_assertions::assert_eq;
use rstest::rstest;

/// Requests of one server at most: about five writes and syncs each.
const POSTS: usize = 45;
/// Operations of a start and of those posts.
const OPERATIONS: u64 = 200;
const FOR_EVER: u64 = u64::MAX;

/// The operations that are made to fail: all of them in a full run.
fn operations(default: usize) -> Vec<u64> {
    let step = if rounds(0) > 0 {
        1
    } else {
        usize::try_from(OPERATIONS).unwrap() / default
    };
    (1..=OPERATIONS).step_by(step).collect()
}

/// One posts until it is refused or has posted enough.
async fn post_until_refused(ledger: &Ledger, server: &Server) {
    let http = client();
    let url = server.url("/api/ingest");
    for each in 0..POSTS {
        let count = if each % 8 == 7 { 300 } else { 1 };
        if ledger.post(&http, &url, count).await != Answered::Success {
            return;
        }
    }
}

/// What a start that failed leaves: an error, no panic, no death by signal.
fn check_failed_start(ended: &crate::harness::Ended) {
    assert_eq!(ended.code, Some(1), "{}", ended.logged);
    assert!(ended.logged.contains("error: "), "{}", ended.logged);
    assert!(!ended.logged.contains("panicked"), "{}", ended.logged);
}

/// Ends the server as a crash or as a power cut does, and checks what the next one has.
async fn check_after_the_end(mut disk: Disk, ledger: &Ledger, with_power_cut: bool) {
    if with_power_cut {
        disk.cut_power();
    }
    let url = disk.database_url();
    let server = Server::with(&[("DATABASE_URL", &url), ("IAQ_LOG", "info")]);
    ledger.check(&server).await;
    ledger.post_until_taken(&server).await;
    ledger.check(&server).await;
    check_integrity(&disk.database()).await;
}

#[rstest]
#[case::once(1)]
#[case::for_ever(FOR_EVER)]
#[tokio::test]
async fn a_write_or_sync_that_fails_is_never_acknowledged(#[case] count: u64) {
    let mut failed_starts = 0;
    let mut refused = 0;
    for first in operations(20) {
        note(&format!("operation {first}"));
        let disk = Disk::new();
        let ledger = Ledger::default();
        disk.fail(first, count, if first % 2 == 0 { EIO } else { ENOSPC });
        let started = Server::attempt(&borrowed(&disk.settings()));
        match started {
            Err(ended) => {
                assert!(disk.failed() > 0, "{}", ended.logged);
                check_failed_start(&ended);
                failed_starts += 1;
                disk.heal();
            }
            Ok(mut server) => {
                post_until_refused(&ledger, &server).await;
                if count == FOR_EVER && ledger.refused() > 0 {
                    let (status, reason) = readiness(&server).await;
                    assert_eq!(status, 503, "operation {first}");
                    assert!(
                        reason.is_some_and(|reason| reason.contains("disk")),
                        "operation {first}"
                    );
                    assert_eq!(status_of(&server, "/health/live").await, 200);
                    disk.heal();
                }
                ledger.post_until_taken(&server).await;
                assert_eq!(readiness(&server).await, (200, None), "operation {first}");
                refused += ledger.refused();
                server.kill();
                assert_eq!(server.panics(), Vec::<String>::new(), "operation {first}");
                disk.heal();
            }
        }
        check_after_the_end(disk, &ledger, first % 3 != 0).await;
    }
    assert!(
        failed_starts > 0 && refused > 0,
        "{failed_starts} and {refused}"
    );
}

/// A start on a database that is there writes little; whatever of it fails, no later start may take the
/// ids that this one gave out.
#[tokio::test]
async fn a_start_that_cannot_write_gives_out_no_ids() {
    let mut failed_starts = 0;
    for first in 1.. {
        assert!(first < 100, "a start writes no end");
        note(&format!("operation {first}"));
        let disk = Disk::new();
        let ledger = Ledger::default();
        let mut server = Server::with(&borrowed(&disk.settings()));
        ledger.post_until_taken(&server).await;
        server.kill();
        disk.fail(first, 1, EIO);
        match Server::attempt(&borrowed(&disk.settings())) {
            Err(ended) => {
                check_failed_start(&ended);
                failed_starts += 1;
            }
            Ok(mut server) => {
                let has_failed = disk.failed() > 0;
                post_until_refused(&ledger, &server).await;
                server.kill();
                if !has_failed {
                    break;
                }
            }
        }
        disk.heal();
        check_after_the_end(disk, &ledger, false).await;
    }
    assert!(failed_starts > 0);
}

#[tokio::test]
async fn a_disk_that_fails_during_the_stop_loses_nothing() {
    let step = if rounds(0) > 0 { 1 } else { 7 };
    let mut hit = 0;
    for first in (1..=60).step_by(step) {
        let disk = Disk::new();
        let ledger = Ledger::default();
        let server = Server::with(&borrowed(&disk.settings()));
        post_until_refused(&ledger, &server).await;
        assert_eq!(ledger.refused(), 0);
        let count = if first % 2 == 0 { 1 } else { FOR_EVER };
        disk.fail(first, count, EIO);
        server.terminate();
        let (_, panics) = server.ended_with_panics().await;
        assert_eq!(panics, Vec::<String>::new(), "operation {first}");
        hit += disk.failed();
        disk.heal();
        check_after_the_end(disk, &ledger, first % 3 != 0).await;
    }
    assert!(hit > 0, "nothing was written at any stop");
}

/// Refuses readings as long as the disk does, answers everything else, and takes no memory for it.
async fn refuse(ledger: &Ledger, server: &Server, requests: usize) {
    let url = server.url("/api/ingest");
    let http = client();
    let before_kib = server.resident_kib();
    let refused_before = ledger.refused();
    for _ in 0..requests / 10 {
        let posts = (0..10).map(|_| ledger.post(&http, &url, 1));
        futures_util::future::join_all(posts).await;
    }
    let refused = ledger.refused() - refused_before;
    assert!(
        refused > requests * 9 / 10,
        "{refused} of {requests} refused"
    );
    let growth_kib = server.resident_kib().saturating_sub(before_kib);
    assert!(growth_kib < REFUSING_KIB_MAX, "{growth_kib} KiB");
    for path in [
        "/api/iaq/data",
        "/api/latest",
        "/api/sensors",
        "/health/live",
    ] {
        assert_eq!(status_of(server, path).await, 200, "{path}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_until_there_is_room() {
    let mut disk = Disk::new();
    let ledger = Ledger::default();
    let mut server = Server::with(&borrowed(&disk.settings()));
    for room in [300_000, 20_000, 0] {
        disk.leave_room(room);
        let url = server.url("/api/ingest");
        let http = client();
        let mut posts = 0;
        while ledger.post(&http, &url, 200).await == Answered::Success {
            posts += 1;
            assert!(posts < 1000, "there is room for everything");
        }
        refuse(&ledger, &server, 700).await;
        let (status, reason) = readiness(&server).await;
        assert_eq!((status, reason.as_deref()), (503, Some("the disk is full")));
        disk.heal();
        ledger.post_until_taken(&server).await;
        assert_eq!(readiness(&server).await, (200, None));
        ledger.check(&server).await;
    }
    server.kill();
    disk.cut_power();
    check_after_the_end(disk, &ledger, false).await;
}

#[tokio::test]
async fn a_disk_that_becomes_read_only_refuses_until_it_is_not() {
    let disk = Disk::new();
    let ledger = Ledger::default();
    let mut server = Server::with(&borrowed(&disk.settings()));
    ledger.post_until_taken(&server).await;
    disk.make_read_only();
    refuse(&ledger, &server, 100).await;
    let (status, reason) = readiness(&server).await;
    assert_eq!((status, reason.as_deref()), (503, Some("the disk failed")));
    disk.heal();
    ledger.post_until_taken(&server).await;
    server.kill();

    disk.make_read_only();
    let ended = Server::attempt(&borrowed(&disk.settings()))
        .err()
        .expect("it cannot write");
    check_failed_start(&ended);
    disk.heal();
    check_after_the_end(disk, &ledger, false).await;
}

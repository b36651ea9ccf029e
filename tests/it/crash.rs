//! `kill -9` under load, at any moment: what was acknowledged is there afterwards, exactly once.

use crate::cluster::Cluster;
use crate::disk::{Disk, borrowed};
use crate::harness::{PATIENCE, Run, Server, command};
use crate::ledger::{Ledger, check_integrity, note, rounds, seed};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

const DEVICES: u64 = 4;
/// After so many rounds another database is begun, so that reading it all does not become the test.
const ROUNDS_PER_DATABASE: u64 = 5;
/// Readings that are acknowledged before a kill, at most: more than gather before they are settled.
const READINGS_MAX: usize = 40_000;
/// How soon a server that was killed must listen again. A release build is far below.
const START_WAIT_MAX: Duration = Duration::from_secs(5);

/// Lets a random time pass. Nothing is waited for: its end is where the fault falls, which is to be
/// anywhere, not only behind something that can be seen from outside.
async fn some_time(longest: Duration, random: &mut StdRng) {
    tokio::time::sleep(random.random_range(Duration::ZERO..longest)).await;
}

/// Posts from all devices and kills the server at a random moment.
async fn load_and_kill(ledger: &Ledger, server: &mut Server, random: &mut StdRng) {
    let url = server.url("/api/ingest");
    let goal = ledger.acknowledged() + random.random_range(0..READINGS_MAX);
    // A stop settles what has gathered, which is what a kill is to meet as often as anything else.
    let while_it_stops = random.random_bool(0.4);
    let devices: Vec<u64> = (0..DEVICES).map(|_| random.random()).collect();
    let kill = async {
        ledger.reach(goal).await;
        some_time(Duration::from_millis(20), random).await;
        if while_it_stops {
            server.terminate();
            some_time(Duration::from_millis(400), random).await;
        }
        server.kill();
    };
    let devices = join_all(devices.into_iter().map(|seed| ledger.device(&url, seed)));
    let all = async { tokio::join!(kill, devices) };
    tokio::time::timeout(3 * PATIENCE, all).await.unwrap();
}

/// Starts a server and kills it at a random moment, most likely before it listens.
async fn kill_while_it_starts(settings: &[(&'static str, String)], random: &mut StdRng) {
    let starting = Run::of(
        command()
            .envs(settings.iter().cloned())
            .env("IAQ_BIND", "127.0.0.1:0"),
    );
    some_time(Duration::from_millis(100), random).await;
    drop(starting);
}

fn start(settings: &[(&'static str, String)]) -> Server {
    let begun = Instant::now();
    let server = Server::with(&borrowed(settings));
    let took = begun.elapsed();
    assert!(took < START_WAIT_MAX, "listens after {took:?}");
    server
}

/// Kills a server on one database so many times and checks it after each.
async fn live_through(
    settings: &[(&'static str, String)],
    rounds: u64,
    random: &mut StdRng,
) -> usize {
    let ledger = Ledger::default();
    kill_while_it_starts(settings, random).await;
    let mut server = start(settings);
    for round in 0..rounds {
        load_and_kill(&ledger, &mut server, random).await;
        assert_eq!(server.panics(), Vec::<String>::new());
        kill_while_it_starts(settings, random).await;
        server = start(settings);
        ledger.check(&server).await;
        if round % 2 == 1 {
            ledger.send_unknown_again(&server).await;
        }
    }
    ledger.check(&server).await;
    ledger.acknowledged()
}

#[tokio::test]
async fn kill_9_loses_nothing_acknowledged() {
    let mut random = StdRng::seed_from_u64(seed());
    let (mut left, mut acknowledged) = (rounds(5), 0);
    while left > 0 {
        let rounds = left.min(ROUNDS_PER_DATABASE);
        left -= rounds;
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("iaqverse.db");
        let url = format!("sqlite://{}", database.display());
        let settings = [("DATABASE_URL", url), ("IAQ_LOG", "info".to_owned())];
        acknowledged += live_through(&settings, rounds, &mut random).await;
        check_integrity(&database).await;
    }
    note(&format!("{acknowledged} readings acknowledged, none lost"));
}

#[tokio::test]
async fn kill_9_loses_nothing_acknowledged_by_postgres() {
    let mut random = StdRng::seed_from_u64(seed());
    let cluster = Cluster::start();
    let mut left = rounds(15).div_ceil(5);
    while left > 0 {
        let rounds = left.min(ROUNDS_PER_DATABASE);
        left -= rounds;
        let url = cluster.new_database().await;
        let settings = [("DATABASE_URL", url), ("IAQ_LOG", "info".to_owned())];
        live_through(&settings, rounds, &mut random).await;
    }
}

#[tokio::test]
async fn a_power_cut_loses_nothing_acknowledged() {
    let mut random = StdRng::seed_from_u64(seed());
    let (mut left, mut acknowledged) = (rounds(3), 0);
    while left > 0 {
        let mut disk = Disk::new();
        let ledger = Ledger::default();
        let rounds = left.min(ROUNDS_PER_DATABASE);
        left -= rounds;
        // The first start has the most to write.
        for _ in 0..rounds {
            kill_while_it_starts(&disk.settings(), &mut random).await;
            disk.cut_power();
        }
        let mut server = start(&disk.settings());
        for _ in 0..rounds {
            load_and_kill(&ledger, &mut server, &mut random).await;
            disk.cut_power();
            kill_while_it_starts(&disk.settings(), &mut random).await;
            disk.cut_power();
            server = start(&disk.settings());
            ledger.check(&server).await;
            check_integrity(&disk.database()).await;
        }
        assert!(disk.operations() > 0, "the server's disk is not this one");
        acknowledged += ledger.acknowledged();
    }
    note(&format!("{acknowledged} readings acknowledged, none lost"));
}

//! Memory that a peak took comes back.

use crate::harness::{PATIENCE, Server};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{interval, timeout};

/// As many as a process may have by default, with some to spare for everything else.
const CONNECTIONS: usize = 900;
/// How long it may take.
const WAIT_MAX: Duration = Duration::from_mins(1);

#[tokio::test]
async fn memory_of_connections_that_are_gone_comes_back() {
    let server = Server::with(&[
        ("IAQ_IDLE_CONNECTIONS_MAX", "100000"),
        ("IAQ_RATE_API", "0"),
    ]);
    let connect = async || {
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let mut answer = [0; 1024];
        let read = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap();
        assert!(read.unwrap() > 0);
        stream
    };
    connect().await;
    let before_kib = server.resident_kib();
    let mut idle = Vec::new();
    while idle.len() < CONNECTIONS {
        idle.extend(join_all((0..50).map(|_| connect())).await);
    }
    let growth_kib = server.resident_kib() - before_kib;
    assert!(growth_kib > 4096, "{growth_kib} KiB for nothing");
    drop(idle);
    let mut looks = interval(Duration::from_millis(200));
    let returned = async {
        while server.resident_kib() > before_kib + growth_kib / 3 {
            looks.tick().await;
        }
    };
    let returned = timeout(WAIT_MAX, returned).await;
    let kept_kib = server.resident_kib().saturating_sub(before_kib);
    assert!(returned.is_ok(), "{kept_kib} KiB of {growth_kib} KiB stay");
}

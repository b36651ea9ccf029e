//! What one peer that sends without a pause cannot do to the others: every loop that reads from a peer
//! gives the turn away.

use crate::harness::{
    ONE_SHARD, PATIENCE, PING, PONG, Server, TEXT, Wire, handshake, masked, number, numbered,
};
use rstest::rstest;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// From a post to its message at a client: far more than it takes, far less than a flood that is
/// served first makes of it.
const WAIT_MAX: Duration = Duration::from_secs(1);
const READINGS: u32 = 40;

/// Somebody who connects, sends `chunk` as fast as it goes, and comes back whenever it is thrown out.
struct Flood {
    stopped: Arc<AtomicBool>,
    sender: JoinHandle<()>,
}

impl Flood {
    fn begin(address: SocketAddr, first: Vec<u8>, chunk: Vec<u8>, reads: bool) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stopped);
        let sender = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let Ok(mut stream) = TcpStream::connect(address) else {
                    return;
                };
                stream
                    .set_write_timeout(Some(Duration::from_millis(100)))
                    .unwrap();
                let mut answers = stream.try_clone().unwrap();
                let reader = std::thread::spawn(move || {
                    let mut bytes = vec![0; 64 * 1024];
                    while reads && answers.read(&mut bytes).is_ok_and(|count| count > 0) {}
                });
                let mut sent = stream.write_all(&first);
                while sent.is_ok() && !is_over.load(Ordering::Relaxed) {
                    sent = match stream.write_all(&chunk) {
                        // Whoever does not read is not read either; it keeps trying.
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
                        sent => sent,
                    };
                }
                drop(stream.shutdown(Shutdown::Both));
                reader.join().unwrap();
            }
        });
        Self { stopped, sender }
    }

    fn end(self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.sender.join().unwrap();
    }
}

fn server() -> Server {
    Server::with(&[
        ONE_SHARD,
        ("IAQ_WORKERS", "1"),
        ("IAQ_RATE_INGEST", "0"),
        ("IAQ_WS_MAX_PER_IP", "0"),
        // Whoever is not heard for so long is dropped, and the witness must not be.
        ("IAQ_WS_PING_INTERVAL", "500ms"),
        ("IAQ_WS_SILENCE_MAX", "3s"),
    ])
}

/// Posts readings one after the other; each is taken and reaches a client in time.
async fn others_are_served(server: &Server, flood: impl FnOnce() -> Flood) {
    let mut witness = server.watch("?topics=measurements").await;
    server.accept(&numbered("a", 0)).await;
    assert_eq!(number(&witness.next().await), 0);
    let flood = flood();
    let mut longest = Duration::ZERO;
    for each in 1..=READINGS {
        let begun = Instant::now();
        server.accept(&numbered("a", each)).await;
        assert_eq!(number(&witness.next().await), each, "nothing is left out");
        longest = longest.max(begun.elapsed());
    }
    flood.end();
    assert!(longest < WAIT_MAX, "a reading took {longest:?}");
}

#[rstest]
#[case::pings(&[], masked(PING, b""))]
#[case::pongs(&[], masked(PONG, b"x"))]
#[case::empty_fragments(&[TEXT & 0x7f, 0x80, 0, 0, 0, 0], masked(0, b""))]
#[case::short_fragments(&[TEXT & 0x7f, 0x80, 0, 0, 0, 0], masked(0, b"x"))]
#[case::commands_of_no_sense(&[], masked(TEXT, b"{}"))]
#[case::long_messages(&[], masked(TEXT, &vec![b'x'; 60_000]))]
#[tokio::test]
async fn frames_without_end_hold_up_nobody(
    #[case] beginning: &[u8],
    #[case] frame: Vec<u8>,
    #[values(true, false)] reads: bool,
) {
    let server = server();
    let first = [handshake("/ws?topics=alerts", "").as_bytes(), beginning].concat();
    let chunk = frame.repeat((16 * 1024 / frame.len()).max(1));
    others_are_served(&server, || {
        Flood::begin(server.address, first, chunk, reads)
    })
    .await;
}

#[rstest]
#[case::of_pages("GET / HTTP/1.1\r\nHost: server\r\n\r\n")]
#[case::of_readings("GET /api/latest HTTP/1.1\r\nHost: server\r\n\r\n")]
#[case::of_life("GET /health/live HTTP/1.1\r\nHost: server\r\n\r\n")]
#[tokio::test]
async fn requests_that_wait_for_no_answer_hold_up_nobody(
    #[case] request: &str,
    #[values(true, false)] reads: bool,
) {
    let server = server();
    let chunk = request.repeat(16 * 1024 / request.len()).into_bytes();
    others_are_served(&server, || {
        Flood::begin(server.address, Vec::new(), chunk, reads)
    })
    .await;
}

/// The limit is the same for each kind of frame that ends no message, and a browser keeps it easily.
#[rstest]
#[case::pings(masked(PING, b"x"))]
#[case::pongs(masked(PONG, b""))]
#[case::fragments(masked(0, b""))]
#[tokio::test]
async fn a_hundred_frames_a_second_may_end_no_message(#[case] frame: Vec<u8>) {
    let server = Server::start();
    let mut wire = Wire::upgraded(server.connect().await).await;
    let begins = usize::from(frame[0] == 0);
    wire.send(masked(TEXT & 0x7f, b"").repeat(begins)).await;
    wire.send(frame.repeat(99 - begins)).await;
    wire.send(masked(PING, b"last")).await;
    loop {
        let (first, payload) = wire.frame().await;
        assert_eq!(first, PONG);
        if payload == b"last" {
            break;
        }
    }
    wire.send(frame.repeat(200)).await;
    let closed = async {
        loop {
            let (first, payload) = wire.frame().await;
            if first != PONG {
                return (first, payload);
            }
        }
    };
    let (first, payload) = timeout(PATIENCE, closed).await.unwrap();
    assert_eq!(
        (first, &payload[..2]),
        (crate::harness::CLOSE, &1008_u16.to_be_bytes()[..])
    );
}

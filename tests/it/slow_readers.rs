//! Answers that are asked for faster than they are read.

use crate::harness::{PATIENCE, Server, TEXT, at_millis, handshake, masked, millis_of};
use crate::query::of;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Duration, Instant, timeout};

/// The least that can be set.
const BUDGET_BYTES: u64 = 8 * 1024 * 1024;
/// What a debug build may take besides: connections, arenas, chunks on their way.
const BESIDES_BYTES: u64 = 40 * 1024 * 1024;
const MINUTE_MS: i64 = 60_000;
const MINUTES: i64 = 9_000;
const BEGIN: &str = "2025-11-10T00:00:00Z";
const CSV: &str = "/api/iaq/data?start=2025-11-10T00:00:00Z&format=csv";
const DAY: &str = "/api/iaq/data?start=2025-11-10T00:00:00Z&end=2025-11-11T00:00:00Z";
const MEANS: &str = "/api/iaq/data?start=2025-11-10T00:00:00Z&step=60s&minmax=true&points=9000";

/// A week of minutes of everything that can be measured.
async fn a_busy_week(server: &Server) {
    let begin = millis_of(&BEGIN.into());
    let readings: Vec<Value> = (0..MINUTES)
        .map(|minute| {
            let values = json!({
                "CO2": 400 + minute % 900, "PM25": minute % 80, "TVOC": minute % 500,
                "Temperature": 20 + minute % 5, "Humidity": 40 + minute % 20, "PM10": minute % 90,
                "PM1": minute % 30, "NO2": minute % 40, "O3": minute % 50, "Pressure": 1013,
            });
            of(
                "busy",
                "M",
                "B",
                &at_millis(begin + minute * MINUTE_MS),
                values,
            )
        })
        .collect();
    for batch in readings.chunks(2_500) {
        server.accept(&batch.into()).await;
    }
}

/// A connection that takes in next to nothing by itself.
async fn narrow(server: &Server) -> TcpStream {
    let address: SocketAddr = server.address;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

async fn ask(server: &Server, path: &str) -> TcpStream {
    let mut stream = narrow(server).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The head of an answer, and nothing of what follows.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap();
        head.push(byte);
    }
    String::from_utf8(head).unwrap()
}

/// The rest of a chunked body.
async fn body(stream: &mut TcpStream) -> String {
    let mut chunked = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut chunked))
        .await
        .unwrap()
        .unwrap();
    let mut body = Vec::new();
    let mut rest = &chunked[..];
    loop {
        let line = rest.windows(2).position(|end| end == b"\r\n").unwrap();
        let length = std::str::from_utf8(&rest[..line]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            return String::from_utf8(body).unwrap();
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + length]);
        rest = &rest[line + 4 + length..];
    }
}

/// Somebody with another address.
fn neighbour() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .local_address(std::net::IpAddr::from([127, 0, 0, 2]))
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

#[tokio::test]
async fn who_reads_slowly_takes_a_bounded_piece_and_nothing_from_others() {
    let budget = BUDGET_BYTES.to_string();
    let server = Server::with(&[("IAQ_READ_BYTES_MAX", &budget), ("IAQ_RATE_API", "0")]);
    a_busy_week(&server).await;
    let whole = server.get(CSV).await.text().await.unwrap();
    assert_eq!(whole.lines().count(), 1 + usize::try_from(MINUTES).unwrap());
    let drawn = server.get(MEANS).await.text().await.unwrap();
    let before = server.resident_kib() * 1024;

    let mut streams = Vec::new();
    for _ in 0..25 {
        streams.push(ask(&server, MEANS).await);
        streams.push(ask(&server, CSV).await);
    }
    let neighbour = neighbour();
    for path in ["/health/live", "/api/latest", DAY] {
        let begun = Instant::now();
        let response = neighbour.get(server.url(path)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.bytes().await.unwrap();
        // A release build needs less than a tenth of it.
        assert!(begun.elapsed() < Duration::from_secs(5), "{path}");
    }
    let mut slow = None;
    let mut refused = 0;
    for mut stream in streams {
        let head = head(&mut stream).await;
        if head.starts_with("HTTP/1.1 503 ") {
            assert!(head.to_lowercase().contains("\r\nretry-after: "), "{head}");
            let mut body = String::new();
            stream.read_to_string(&mut body).await.unwrap();
            assert!(body.contains("\"too_much_read_at_once\""), "{body}");
            refused += 1;
        } else {
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            slow = Some((head, stream));
        }
    }
    let grown = server.resident_kib() * 1024;
    assert!(
        grown < before + BUDGET_BYTES + BESIDES_BYTES,
        "{before} grew to {grown}"
    );
    assert!(refused > 0, "nobody was refused");
    let (head, mut stream) = slow.expect("somebody is answered");
    let found = body(&mut stream).await;
    let expected = if head.contains("csv") { &whole } else { &drawn };
    assert!(found == *expected, "what is read slowly is whole");
}

#[tokio::test]
async fn a_step_that_no_roll_up_fits_is_put_together_in_pieces() {
    let budget = BUDGET_BYTES.to_string();
    let server = Server::with(&[("IAQ_READ_BYTES_MAX", &budget)]);
    a_busy_week(&server).await;
    // Weeks, but not of whole minutes, so that they are made of readings.
    let path = "/api/iaq/data?start=2025-11-10T00:00:00Z&step=31536001s&minmax=true";
    let found: Value = server.get_json(path).await;
    let counts = found.as_array().unwrap().iter();
    let counts: i64 = counts.map(|bucket| bucket["count"].as_i64().unwrap()).sum();
    assert_eq!(counts, MINUTES);
}

const SENSORS: usize = 20_000;
const SNAPSHOTS: usize = 100;
/// Room for a snapshot of all of them, and for others beside it.
const SNAPSHOT_BUDGET_BYTES: u64 = 64 * 1024 * 1024;

/// Whether the subscription of a stream begins, before the stream ends.
async fn begins(stream: &mut TcpStream) -> bool {
    let mut came = Vec::new();
    loop {
        let Ok(byte) = timeout(PATIENCE, stream.read_u8()).await.unwrap() else {
            return false;
        };
        came.push(byte);
        if came.ends_with(b"\"subscribed\"") {
            return true;
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Transport {
    Events,
    WebSocket,
}

#[rstest]
#[tokio::test]
async fn snapshots_that_nobody_reads_take_no_more_than_their_budget(
    #[values(Transport::Events, Transport::WebSocket)] transport: Transport,
) {
    let budget = SNAPSHOT_BUDGET_BYTES.to_string();
    let server = Server::with(&[
        ("IAQ_READ_BYTES_MAX", &budget),
        ("IAQ_WS_MAX_PER_IP", "0"),
        ("IAQ_RATE_INGEST", "0"),
    ]);
    let reading = |sensor: usize| {
        let sensor = format!("s{sensor}");
        json!({"sensor_id": sensor, "enseigne": "M", "salle": "B", "values": {"CO2": 500}})
    };
    let readings: Vec<Value> = (0..SENSORS).map(reading).collect();
    for batch in readings.chunks(1_000) {
        server.accept(&batch.into()).await;
    }
    let before = server.resident_kib() * 1024;

    let mut streams = Vec::new();
    for client in 0..SNAPSHOTS {
        // No two of them get the same one.
        server.accept(&reading(client)).await;
        streams.push(match transport {
            Transport::Events => {
                ask(&server, "/api/events?topics=measurements&snapshot=true").await
            }
            Transport::WebSocket => {
                let mut stream = narrow(&server).await;
                let upgrade = handshake("/ws?topics=alerts", "");
                stream.write_all(upgrade.as_bytes()).await.unwrap();
                let subscribe =
                    br#"{"type":"subscribe","topics":["measurements"],"snapshot":true}"#;
                stream.write_all(&masked(TEXT, subscribe)).await.unwrap();
                stream
            }
        });
    }
    let neighbour = neighbour();
    let asked_at = Instant::now();
    let path = "/api/events?topics=measurements&snapshot=true&sensor_id=s1";
    let mut live = neighbour.get(server.url(path)).send().await.unwrap();
    let mut events = String::new();
    while !events.contains("\"snapshot\"") {
        events += &String::from_utf8_lossy(&live.chunk().await.unwrap().unwrap());
    }
    // A release build needs less than a tenth of it.
    assert!(asked_at.elapsed() < Duration::from_secs(5));
    let (mut begun_count, mut refused_count) = (0, 0);
    for stream in &mut streams {
        if begins(stream).await {
            begun_count += 1;
        } else {
            refused_count += 1;
        }
    }
    assert!(
        begun_count > 0 && refused_count > 0,
        "{begun_count} begun, {refused_count} refused"
    );
    let grown = server.resident_kib() * 1024;
    assert!(
        grown < before + SNAPSHOT_BUDGET_BYTES + BESIDES_BYTES,
        "{before} grew to {grown}, {begun_count} begun, {refused_count} refused"
    );
}

//! How the server stops when it is asked to.

use crate::harness::{CLOSE, PATIENCE, Server, Wire, handshake, masked, reading};
use futures_util::future::join_all;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

const ALIVE: &str = "GET /health/live HTTP/1.1\r\nHost: server\r\n\r\n";

fn numbered(sensor: &str, number: u32) -> Value {
    let mut reading = reading(json!({"CO2": number}));
    reading["sensor_id"] = sensor.into();
    let (minutes, seconds) = (number / 60, number % 60);
    reading["timestamp"] = format!("2025-01-01T00:{minutes:02}:{seconds:02}Z").into();
    reading
}

/// A WebSocket that leaves the close frame of the server without an answer, so that the stop takes
/// its time.
async fn unanswering(server: &Server) -> Wire {
    Wire::upgraded(server.connect().await).await
}

/// Fills the database with more than fits between server and client in one answer.
async fn fill(server: &Server) {
    for sensor in 0..8 {
        let batch: Value = (0..3600)
            .map(|each| numbered(&format!("s{sensor}"), each))
            .collect();
        server.accept(&batch).await;
    }
}

const EVERYTHING: &str =
    "/api/iaq/data?start=2025-01-01T00:00:00Z&end=2025-01-02T00:00:00Z&raw=true";

#[rstest]
#[tokio::test]
async fn every_websocket_is_told_1001_and_the_exit_is_clean(
    #[values("TERM", "INT", "HUP")] signal: &str,
) {
    let server = Server::start();
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(server.watch("").await);
    }
    server.signal(signal);
    let codes = join_all(sockets.iter_mut().map(|socket| async move {
        let code = socket.close_code().await;
        // Reading on sends the answer to the close frame.
        while futures_util::StreamExt::next(&mut socket.0).await.is_some() {}
        code
    }))
    .await;
    assert_eq!(codes, [1001; 20]);
    assert!(server.ended_well().await);
}

#[tokio::test]
async fn a_server_that_serves_nobody_stops_at_once() {
    let server = Server::with(&[("IAQ_SHUTDOWN_TIMEOUT", "60s")]);
    server.terminate();
    assert!(server.ended_well().await);
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let server = Server::with(&[("IAQ_SHUTDOWN_TIMEOUT", "60s")]);
    let mut idle = Wire::over(server.connect().await);
    idle.send(ALIVE).await;
    assert_eq!(idle.answer().await.status, 200);
    server.terminate();
    assert_eq!(idle.rest().await, "");
    assert!(server.ended_well().await);
}

#[tokio::test]
async fn an_answer_that_has_begun_is_finished() {
    let server = Server::start();
    fill(&server).await;
    let mut whole = Wire::over(server.connect().await);
    let request = format!("GET {EVERYTHING} HTTP/1.0\r\nHost: server\r\n\r\n");
    whole.send(&request).await;
    let (whole_head, whole_body) = split(&whole.rest().await);
    assert!(whole_head.starts_with("HTTP/1.0 200 ") || whole_head.starts_with("HTTP/1.1 200 "));
    assert!(whole_body.len() > 5_000_000, "{}", whole_body.len());

    let mut slow = Wire::over(server.narrow().await);
    slow.send(&request).await;
    slow.stream.readable().await.unwrap();
    server.terminate();
    server.logged("stopping");
    let (_, body) = split(&slow.rest().await);
    assert!(
        body == whole_body,
        "{} of {} bytes",
        body.len(),
        whole_body.len()
    );
    assert!(server.ended_well().await);
}

fn split(answer: &str) -> (String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn while_it_stops_nothing_new_is_taken() {
    let server = Server::with(&[("IAQ_SHUTDOWN_TIMEOUT", "60s")]);
    let mut holding = unanswering(&server).await;
    server.terminate();
    server.logged("stopping");
    assert_eq!(holding.close_code().await, 1001);

    let body = numbered("a", 1).to_string();
    let post = format!(
        "POST /api/ingest HTTP/1.1\r\nHost: server\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let ready = "GET /health/ready HTTP/1.1\r\nHost: server\r\n\r\n";
    for request in [ready, &post, &handshake("/ws", "")] {
        // A listener that is closed already is as good an answer.
        let Ok(stream) = TcpStream::connect(server.address).await else {
            continue;
        };
        let mut wire = Wire::over(stream);
        wire.send(request).await;
        let rest = wire.rest().await;
        assert!(
            rest.is_empty() || rest.starts_with("HTTP/1.1 503 "),
            "{request}: {rest}"
        );
    }
    holding.send(masked(CLOSE, &1001_u16.to_be_bytes())).await;
    let (content, server) = server.ended_and_started_again().await;
    assert!(content);
    assert_eq!(server.get_json("/api/latest").await, json!([]));
}

#[tokio::test]
async fn a_client_that_never_answers_the_close_does_not_hold_the_stop() {
    let server = Server::with(&[("IAQ_SHUTDOWN_TIMEOUT", "60s")]);
    let _stuck = unanswering(&server).await;
    server.terminate();
    assert!(server.ended_well().await);
}

#[tokio::test]
async fn clients_that_never_read_do_not_hold_the_stop_beyond_its_timeout() {
    let server = Server::with(&[
        ("IAQ_SHUTDOWN_TIMEOUT", "3s"),
        ("IAQ_WS_QUEUE_BYTES_MAX", "100000000"),
    ]);
    // Two whose socket buffers are full: one of a WebSocket, one of an answer.
    let _socket = Wire::upgraded(server.narrow().await).await;
    fill(&server).await;
    let mut answer = Wire::over(server.narrow().await);
    answer
        .send(format!("GET {EVERYTHING} HTTP/1.1\r\nHost: server\r\n\r\n"))
        .await;
    answer.stream.readable().await.unwrap();
    server.terminate();
    server.logged("stopping");
    let margin = Duration::from_secs(4);
    let ended = timeout(Duration::from_secs(3) + margin, server.ended_well()).await;
    assert!(ended.expect("an end in time"));
}

#[rstest]
#[case::half_of_it(20)]
#[case::none_of_it(0)]
#[tokio::test]
async fn a_body_that_ends_after_the_stop_began_is_not_acknowledged_unless_stored(
    #[case] sent_before: usize,
) {
    let server = Server::start();
    let body = numbered("a", 1).to_string();
    let mut wire = Wire::over(server.connect().await);
    let head = format!(
        "POST /api/ingest HTTP/1.1\r\nHost: server\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let (before, after) = body.as_bytes().split_at(sent_before);
    wire.send([head.as_bytes(), before].concat()).await;
    // Answered over another connection, so the first request has long been begun.
    assert_eq!(server.get("/health/live").await.status(), 200);
    server.terminate();
    server.logged("stopping");
    // The server may have ended the connection, which is an answer too.
    drop(tokio::io::AsyncWriteExt::write_all(&mut wire.stream, after).await);
    let rest = wire.rest().await;
    let (content, server) = server.ended_and_started_again().await;
    assert!(content);
    let stored = server.get_json("/api/latest").await != json!([]);
    if rest.starts_with("HTTP/1.1 200 ") {
        assert!(stored);
    } else {
        assert!(
            rest.is_empty() || rest.starts_with("HTTP/1.1 503 "),
            "{rest}"
        );
    }
}

#[tokio::test]
async fn a_body_that_never_ends_does_not_hold_the_stop() {
    let server = Server::with(&[("IAQ_SHUTDOWN_TIMEOUT", "2s")]);
    let mut wire = Wire::over(server.connect().await);
    wire.send(
        "POST /api/ingest HTTP/1.1\r\nHost: server\r\nContent-Type: application/json\r\n\
               Content-Length: 100\r\n\r\n{\"s",
    )
    .await;
    assert_eq!(server.get("/health/live").await.status(), 200);
    server.terminate();
    server.logged("stopping");
    let ended = timeout(Duration::from_secs(2 + 4), server.ended_well()).await;
    assert!(ended.expect("an end in time"));
}

#[tokio::test]
async fn what_was_acknowledged_while_it_stopped_is_stored() {
    const DEVICES: u32 = 16;
    let server = Server::start();
    let device = |device: u32| {
        let address = server.address;
        async move {
            let mut acknowledged = Vec::new();
            let http = crate::harness::client();
            for each in 0..3000 {
                let body = numbered(&format!("s{device}"), each).to_string();
                let post = http.post(format!("http://{address}/api/ingest")).body(body);
                match post.header("content-type", "application/json").send().await {
                    Ok(answer) if answer.status() == 200 => acknowledged.push(each),
                    Ok(answer) => assert_eq!(answer.status(), 503),
                    Err(_) => break,
                }
            }
            acknowledged
        }
    };
    let stop = async {
        // In the middle of it: each device has had an answer by then.
        while server
            .get_json("/api/latest")
            .await
            .as_array()
            .unwrap()
            .len()
            < DEVICES as usize
        {}
        server.terminate();
    };
    let (acknowledged, ()) = tokio::join!(join_all((0..DEVICES).map(device)), stop);
    let (content, server) = server.ended_and_started_again().await;
    assert!(content);
    let stored = server.get_json(EVERYTHING).await;
    let stored: Vec<(&str, u64)> = stored
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["sensor_id"].as_str().unwrap(),
                row["co2"].as_u64().unwrap(),
            )
        })
        .collect();
    for (device, numbers) in acknowledged.iter().enumerate() {
        assert!(numbers.len() < 3000, "the stop came in the middle");
        let sensor = format!("s{device}");
        for each in numbers {
            assert!(
                stored.contains(&(sensor.as_str(), u64::from(*each))),
                "{sensor} {each}"
            );
        }
    }
}

#[tokio::test]
async fn a_second_signal_changes_nothing() {
    let server = Server::start();
    let mut socket = server.watch("").await;
    server.terminate();
    server.logged("stopping");
    server.terminate();
    server.signal("INT");
    assert_eq!(timeout(PATIENCE, socket.close_code()).await.unwrap(), 1001);
    while futures_util::StreamExt::next(&mut socket.0).await.is_some() {}
    assert!(server.ended_well().await);
}

#[tokio::test]
async fn a_server_that_is_to_outlive_its_terminal_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new("nohup");
    command
        .arg(env!("CARGO_BIN_EXE_iaqverse"))
        .env("IAQ_BIND", "127.0.0.1:0")
        .env("DATABASE_URL", crate::harness::database_url(folder.path()))
        .current_dir(folder.path());
    let run = crate::harness::Run::of(&mut command);
    run.logged("listening on");
    run.signal("HUP");
    run.signal("INT");
    let ended = run.ended();
    assert!(
        ended.logged.contains("SIGINT") && !ended.logged.contains("SIGHUP"),
        "{}",
        ended.logged
    );
}

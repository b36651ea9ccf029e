//! What a hostile or broken client cannot do to the server and to the others.

use crate::harness::{
    CLOSE, GROWTH_KIB_MAX, PATIENCE, PING, Server, Socket, TEXT, UNSETTLED_KIB_MAX, Wire,
    handshake, long_readings, masked, post_much, reading,
};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::{interval, timeout};

const ALIVE: &str = "GET /health/live HTTP/1.1\r\nHost: server\r\n\r\n";
const INGEST: &str =
    "POST /api/ingest HTTP/1.1\r\nHost: server\r\nContent-Type: application/json\r\n";

/// Writes `chunk` over and over, `bytes` in all or until the server has enough.
async fn flood(wire: &mut Wire, chunk: &[u8], bytes: usize) {
    for _ in 0..bytes / chunk.len() {
        let written = timeout(PATIENCE, wire.stream.write_all(chunk)).await;
        if written.expect("the server reads on or ends").is_err() {
            return;
        }
    }
}

#[rstest]
#[case::in_one_frame([&[TEXT, 0xff][..], &(1_u64 << 40).to_be_bytes(), &[1, 2, 3, 4]].concat())]
#[case::of_the_largest_length([&[TEXT, 0xff][..], &u64::MAX.to_be_bytes(), &[1, 2, 3, 4]].concat())]
#[case::without_its_mask([&[TEXT, 0xff][..], &(1_u64 << 40).to_be_bytes()].concat())]
#[tokio::test]
async fn a_frame_declared_too_long_is_refused_by_its_header(#[case] header: Vec<u8>) {
    let server = Server::start();
    let mut wire = Wire::upgraded(server.connect().await).await;
    let before = server.resident_kib();
    wire.send(header).await;
    assert_eq!(wire.close_code().await, 1009);
    flood(&mut wire, &vec![b'x'; 64 * 1024], 128 << 20).await;
    assert!(server.peak_kib() < before + GROWTH_KIB_MAX);
    assert_eq!(server.get("/health/live").await.status(), 200);
}

#[tokio::test]
async fn a_message_of_endless_fragments_is_refused() {
    let server = Server::start();
    let mut wire = Wire::upgraded(server.connect().await).await;
    let before = server.resident_kib();
    wire.send(masked(TEXT & 0x7f, b"x")).await;
    flood(&mut wire, &masked(0, &[b'x'; 1000]), 128 << 20).await;
    assert_eq!(wire.close_code().await, 1009);
    assert!(server.peak_kib() < before + GROWTH_KIB_MAX);
}

/// A server that soon gives up on clients of which it hears nothing. One that does not read is not
/// heard.
fn attentive() -> Server {
    Server::with(&[
        ("IAQ_WS_PING_INTERVAL", "200ms"),
        ("IAQ_WS_SILENCE_MAX", "1s"),
    ])
}

#[tokio::test]
async fn a_client_that_pings_and_never_reads_costs_little_and_is_cut_off() {
    let server = attentive();
    let mut wire = Wire::upgraded(server.narrow().await).await;
    let before = server.resident_kib();
    flood(&mut wire, &masked(PING, &[b'x'; 125]), 64 << 20).await;
    server.logged("client disconnected");
    assert!(server.peak_kib() < before + GROWTH_KIB_MAX);
}

#[tokio::test]
async fn a_client_that_asks_for_snapshots_and_never_reads_costs_little_and_is_cut_off() {
    let server = attentive();
    let sensors: Value = (0..100)
        .map(|each| {
            let mut reading = reading(json!({"CO2": 645}));
            reading["sensor_id"] = format!("s{each}").into();
            reading
        })
        .collect();
    server.accept(&sensors).await;
    let mut wire = Wire::upgraded(server.narrow().await).await;
    let before = server.peak_kib();
    let wanted = json!({"type": "subscribe", "topics": ["measurements"], "snapshot": true,
        "filter": {"enseigne": "Maison"}});
    flood(
        &mut wire,
        &masked(TEXT, wanted.to_string().as_bytes()),
        1 << 20,
    )
    .await;
    server.logged("client disconnected");
    let growth = server.peak_kib() - before;
    assert!(growth < GROWTH_KIB_MAX, "{growth} KiB");
}

/// Posts long readings and checks that `reader` receives each of them.
async fn pass_on(server: &Server, reader: &mut Socket, number: &mut u32) {
    const BATCH: u32 = 50;
    server.accept(&long_readings(*number, BATCH)).await;
    for _ in 0..BATCH {
        assert_eq!(reader.next().await["co2"], *number);
        *number += 1;
    }
}

#[tokio::test]
async fn a_client_that_never_reads_is_dropped_and_holds_up_nobody() {
    let server = Server::with(&[
        ("IAQ_WS_QUEUE_BYTES_MAX", "65536"),
        ("IAQ_WS_THREADS", "1"),
        ("IAQ_REPLAY_MESSAGES", "100"),
        ("IAQ_WS_PING_INTERVAL", "1s"),
        ("IAQ_WS_SILENCE_MAX", "3s"),
    ]);
    let mut reader = server.watch("").await;
    let mut number = 0;
    // The database fills its cache before anything is measured.
    while number < 5000 {
        pass_on(&server, &mut reader, &mut number).await;
    }
    let _stuck = Wire::upgraded(server.narrow().await).await;
    let before = server.peak_kib();
    while !server
        .log_so_far()
        .iter()
        .any(|line| line.contains("client disconnected"))
    {
        assert!(number < 40_000, "it is still connected");
        pass_on(&server, &mut reader, &mut number).await;
    }
    assert_eq!(server.get_json("/ws/stats").await["active_connections"], 1);
    let growth = server.peak_kib() - before;
    let bound = GROWTH_KIB_MAX + UNSETTLED_KIB_MAX;
    assert!(growth < bound, "{growth} KiB, more than {bound} KiB");
}

#[tokio::test]
async fn a_slow_client_gets_the_latest_of_each_sensor_and_is_told_how_many_were_left_out() {
    let server = Server::with(&[("IAQ_WS_QUEUE_BYTES_MAX", "65536")]);
    let mut late = Wire::upgraded(server.narrow().await).await;
    post_much(&server, |number| format!("s{}", number % 3)).await;
    let (mut seen, mut left_out, mut previous) = (0, 0, None);
    while previous != Some(4999) {
        let (kind, payload) = late.frame().await;
        assert_eq!(kind, TEXT);
        let message: Value = serde_json::from_slice(&payload).unwrap();
        if message["type"] == "conflated" {
            left_out += message["count"].as_u64().unwrap();
            continue;
        }
        seen += 1;
        let number = message["co2"].as_u64();
        assert!(number > previous, "in the order stored");
        previous = number;
    }
    assert!(left_out > 0, "the queue was never full");
    assert_eq!(seen + left_out, 5000, "every one is sent or counted");
    let metrics = server.get("/metrics").await.text().await.unwrap();
    let counted = format!("iaqverse_broadcast_conflated_total {left_out}\n");
    assert!(metrics.contains(&counted), "{metrics}");
}

#[tokio::test]
async fn a_client_whose_queue_stays_full_is_closed_with_1013() {
    let server = Server::with(&[("IAQ_WS_QUEUE_BYTES_MAX", "65536")]);
    let mut late = Wire::upgraded(server.narrow().await).await;
    // No two of one sensor, so none can take another's place.
    post_much(&server, |number| format!("s{number}")).await;
    for number in 0..5000 {
        let (kind, payload) = late.frame().await;
        if kind == CLOSE {
            assert_eq!(payload[..2], 1013_u16.to_be_bytes());
            let metrics = server.get("/metrics").await.text().await.unwrap();
            assert!(metrics.contains("iaqverse_broadcast_slow_clients_closed_total 1\n"));
            return;
        }
        let message: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(message["co2"], number);
    }
    panic!("all of it fitted somewhere");
}

#[tokio::test]
async fn a_silent_client_is_dropped_and_one_that_answers_pings_stays() {
    let server = attentive();
    let mut answering = server.watch("?topics=alerts").await;
    let mut silent = Wire::upgraded(server.connect().await).await;
    let _neither_reads_nor_writes = Wire::upgraded(server.connect().await).await;
    let rest = tokio::select! {
        rest = silent.rest() => rest,
        message = answering.next_message() => panic!("nothing was to come: {message:?}"),
    };
    assert!(
        rest.as_bytes().ends_with(b"\x00"),
        "it was pinged: {rest:?}"
    );
    server.logged("client disconnected");
    tokio::select! {
        logged = server_logged(&server, "client disconnected") => assert!(logged),
        message = answering.next_message() => panic!("nothing was to come: {message:?}"),
    }
    assert_eq!(answering.drain().await, [] as [Value; 0]);
    assert_eq!(server.get_json("/ws/stats").await["active_connections"], 1);
}

/// Waits for a log line without keeping the other connections of the test from being served.
async fn server_logged(server: &Server, text: &str) -> bool {
    let mut looks = interval(Duration::from_millis(20));
    let found = async {
        while !server.log_so_far().iter().any(|line| line.contains(text)) {
            looks.tick().await;
        }
    };
    timeout(PATIENCE, found).await.is_ok()
}

/// A server that is soon out of patience.
fn impatient() -> Server {
    Server::with(&[("IAQ_HEAD_TIMEOUT", "1s"), ("IAQ_BODY_TIMEOUT", "300ms")])
}

/// Sends `bytes` one by one, for ever slower than they would have to come, and gives back what the
/// server has said when it ends the connection.
async fn drip(wire: &mut Wire, bytes: &str) -> String {
    let (mut reader, mut writer) = tokio::io::split(&mut wire.stream);
    let mut answer = Vec::new();
    let dripping = async {
        let mut drops = interval(Duration::from_millis(40));
        for byte in bytes.bytes().cycle() {
            drops.tick().await;
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
        }
    };
    let answered = timeout(PATIENCE, async {
        tokio::select! {
            end = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut answer) => drop(end),
            () = dripping => {}
        }
    });
    answered.await.expect("an end of the connection");
    String::from_utf8(answer).unwrap()
}

#[rstest]
#[case::nothing("")]
#[case::half_a_line("GET /health")]
#[case::half_a_head("GET /health/live HTTP/1.1\r\nHost: server\r\nX-Thing: ")]
#[tokio::test]
async fn a_first_head_that_does_not_end_is_answered_408(#[case] beginning: &str) {
    let server = impatient();
    let mut wire = Wire::over(server.connect().await);
    wire.send(beginning).await;
    let rest = wire.rest().await;
    assert!(rest.starts_with("HTTP/1.1 408 "), "{rest:?}");
}

#[tokio::test]
async fn a_head_that_drips_is_ended() {
    let server = impatient();
    let mut wire = Wire::over(server.connect().await);
    wire.send("GET /health/live HTTP/1.1\r\nX-Thing: ").await;
    let answer = drip(&mut wire, "x").await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408 "),
        "{answer:?}"
    );
}

/// Only 408 may be said before the end.
fn assert_timed_out(rest: &str) {
    assert!(
        rest.is_empty() || rest.starts_with("HTTP/1.1 408 "),
        "{rest:?}"
    );
}

#[rstest]
#[case::by_a_byte("G")]
#[case::by_half_a_head("GET /health/live HTTP/1.1\r\nHost: ")]
#[tokio::test]
async fn a_second_head_that_stalls_is_ended(#[case] beginning: &str) {
    let server = impatient();
    let mut wire = Wire::over(server.connect().await);
    wire.send(ALIVE).await;
    assert_eq!(wire.answer().await.status, 200);
    wire.send(beginning).await;
    assert_timed_out(&wire.rest().await);
}

#[tokio::test]
async fn a_second_head_that_drips_is_ended() {
    let server = impatient();
    let mut wire = Wire::over(server.connect().await);
    wire.send(ALIVE).await;
    assert_eq!(wire.answer().await.status, 200);
    wire.send("GET /health/live HTTP/1.1\r\nX-Thing: ").await;
    assert_timed_out(&drip(&mut wire, "x").await);
}

#[tokio::test]
async fn a_head_begun_together_with_the_request_before_it_is_ended() {
    let server = impatient();
    let mut wire = Wire::over(server.connect().await);
    wire.send(ALIVE.to_owned() + "GET /health/live HTTP/1.1\r\nHost: ")
        .await;
    assert_eq!(wire.answer().await.status, 200);
    assert_timed_out(&wire.rest().await);
}

#[rstest]
#[case::declared("Content-Length: 100\r\n\r\n{\"s")]
#[case::not_begun("Content-Length: 100\r\n\r\n")]
#[case::chunked("Transfer-Encoding: chunked\r\n\r\n64\r\n{\"s")]
#[case::between_chunks("Transfer-Encoding: chunked\r\n\r\n3\r\n{\"s\r\n")]
#[tokio::test]
async fn a_body_that_stalls_is_answered_408_and_ended(#[case] beginning: &str) {
    let server = impatient();
    let mut wire = Wire::over(server.connect().await);
    wire.send(INGEST.to_owned() + beginning).await;
    wire.answer().await.problem(408, "request_timeout");
    assert_eq!(wire.rest().await, "");
}

#[tokio::test]
async fn a_body_that_drips_is_answered_408_and_ended() {
    let server = impatient();
    let mut wire = Wire::over(server.connect().await);
    wire.send(INGEST.to_owned() + "Content-Length: 100000\r\n\r\n[")
        .await;
    let answer = drip(&mut wire, " ").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
}

#[tokio::test]
async fn an_idle_connection_outlives_the_head_timer_and_serves_again() {
    let server = impatient();
    let mut idle = Wire::over(server.connect().await);
    idle.send(ALIVE).await;
    assert_eq!(idle.answer().await.status, 200);
    // Begun later and ended by the timer, so the idle one has had more than its time.
    for _ in 0..2 {
        let mut stalled = Wire::over(server.connect().await);
        stalled.send(ALIVE).await;
        assert_eq!(stalled.answer().await.status, 200);
        stalled.send("G").await;
        assert_timed_out(&stalled.rest().await);
    }
    idle.send(ALIVE).await;
    assert_eq!(idle.answer().await.status, 200);
}

#[rstest]
#[case::length_and_chunked("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")]
#[case::chunked_and_length("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")]
#[case::two_lengths("Content-Length: 5\r\nContent-Length: 6\r\n", "12345")]
#[case::the_same_length_twice("Content-Length: 5\r\nContent-Length: 5\r\n", "12345")]
#[case::a_list_of_lengths("Content-Length: 5, 5\r\n", "12345")]
#[case::chunked_twice(
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "0\r\n\r\n"
)]
#[case::misspelt_chunked("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")]
#[case::chunked_over_gzip("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")]
#[case::identity("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", "12345")]
#[case::folded("X-Thing: a\r\n b\r\n", "")]
#[case::folded_encoding("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n")]
#[case::space_before_the_colon("Content-Length : 5\r\n", "12345")]
#[case::space_before_the_colon_of_chunked("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")]
#[case::plus("Content-Length: +1\r\n", "1")]
#[case::minus("Content-Length: -1\r\n", "")]
#[case::hexadecimal("Content-Length: 0x1\r\n", "1")]
#[case::empty_length("Content-Length: \r\n", "")]
#[case::overflow("Content-Length: 18446744073709551617\r\n", "1")]
#[case::second_host("Host: other\r\n", "")]
#[case::control_character("X-Thing: a\x01b\r\n", "")]
#[case::bare_carriage_return("X-Thing: a\rContent-Length: 5\r\n", "")]
#[case::nameless_header(": x\r\n", "")]
#[tokio::test]
async fn a_request_two_servers_could_read_differently_is_refused(
    #[case] headers: &str,
    #[case] body: &str,
) {
    let server = Server::start();
    let mut wire = Wire::over(server.connect().await);
    wire.send(format!("{INGEST}{headers}\r\n{body}{ALIVE}"))
        .await;
    let rest = wire.rest().await;
    assert!(rest.starts_with("HTTP/1.1 400 "), "{rest:?}");
    assert_eq!(
        rest.matches("HTTP/1.1 ").count(),
        1,
        "nothing after it is served: {rest:?}"
    );
}

#[rstest]
#[case::no_host("GET /health/live HTTP/1.1\r\n\r\n")]
#[case::chunked_on_1_0("POST /api/ingest HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
#[case::bare_line_feed_after_a_chunk_size(
    "POST /api/ingest HTTP/1.1\r\nHost: server\r\nTransfer-Encoding: chunked\r\n\r\n1\n{\r\n0\r\n\r\n"
)]
#[case::chunk_longer_than_it_says(
    "POST /api/ingest HTTP/1.1\r\nHost: server\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n"
)]
#[case::chunk_size_no_number(
    "POST /api/ingest HTTP/1.1\r\nHost: server\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"
)]
#[case::no_http("hello\r\n\r\n")]
#[case::tls("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n")]
#[tokio::test]
async fn what_is_not_http_is_refused(#[case] request: &str) {
    let server = Server::start();
    let mut wire = Wire::over(server.connect().await);
    wire.send(request).await;
    let rest = wire.rest().await;
    assert!(rest.starts_with("HTTP/1.1 400 "), "{rest:?}");
    assert_eq!(rest.matches("HTTP/1.1 ").count(), 1, "{rest:?}");
}

#[tokio::test]
async fn http_2_is_not_spoken() {
    let server = Server::start();
    let mut wire = Wire::over(server.connect().await);
    wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    let rest = wire.rest().await;
    assert!(
        rest.starts_with("HTTP/1.1 4") || rest.starts_with("HTTP/1.1 505 "),
        "{rest:?}"
    );

    let mut wire = Wire::over(server.connect().await);
    let upgrade =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    wire.send(ALIVE.replace("\r\n\r\n", &format!("\r\n{upgrade}\r\n")))
        .await;
    assert_eq!(wire.answer().await.status, 200);
}

#[rstest]
#[case::one_long_header(format!("X-Thing: {}\r\n", "x".repeat(140_000)))]
#[case::many_headers("X-Thing: x\r\n".repeat(200))]
#[tokio::test]
async fn a_head_too_large_is_answered_431(#[case] headers: String) {
    let server = Server::start();
    let mut wire = Wire::over(server.connect().await);
    wire.send(ALIVE.replace("\r\n\r\n", &format!("\r\n{headers}\r\n")))
        .await;
    let rest = wire.rest().await;
    assert!(rest.starts_with("HTTP/1.1 431 "), "{rest:?}");
}

#[tokio::test]
async fn a_body_declared_too_large_is_answered_413_even_to_who_is_still_sending() {
    let server = Server::start();
    let before = server.resident_kib();
    let mut wire = Wire::over(server.connect().await);
    wire.send(format!("{INGEST}Content-Length: {}\r\n\r\n", 1_u64 << 40))
        .await;
    flood(&mut wire, &vec![b' '; 64 * 1024], 128 << 20).await;
    wire.answer().await.problem(413, "too_large");
    assert_eq!(wire.rest().await, "");
    assert!(server.peak_kib() < before + GROWTH_KIB_MAX);
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_answered_413_and_ended() {
    let server = Server::start();
    let before = server.resident_kib();
    let mut wire = Wire::over(server.connect().await);
    wire.send(format!("{INGEST}Transfer-Encoding: chunked\r\n\r\n"))
        .await;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    flood(&mut wire, chunk.as_bytes(), 128 << 20).await;
    wire.answer().await.problem(413, "too_large");
    assert_eq!(wire.rest().await, "");
    assert!(server.peak_kib() < before + GROWTH_KIB_MAX);
}

#[rstest]
#[case::of_a_get("GET /api/latest HTTP/1.1\r\nHost: server\r\n")]
#[case::of_nowhere("POST /api/nowhere HTTP/1.1\r\nHost: server\r\n")]
#[tokio::test]
async fn an_endless_body_that_nobody_asked_for_costs_no_memory(#[case] request: &str) {
    let server = Server::start();
    let before = server.resident_kib();
    let mut wire = Wire::over(server.connect().await);
    wire.send(format!("{request}Content-Length: {}\r\n\r\n", 1_u64 << 40))
        .await;
    flood(&mut wire, &vec![b' '; 64 * 1024], 128 << 20).await;
    assert!(matches!(wire.answer().await.status, 200 | 404));
    assert!(server.peak_kib() < before + GROWTH_KIB_MAX);
    assert_eq!(server.get("/health/live").await.status(), 200);
}

#[tokio::test]
async fn who_asks_before_sending_a_body_is_told_to_go_on() {
    let server = Server::start();
    let body = reading(json!({"CO2": 645})).to_string();
    let mut wire = Wire::over(server.connect().await);
    let length = body.len();
    wire.send(format!(
        "{INGEST}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    ))
    .await;
    assert_eq!(wire.answer().await.status, 100);
    wire.send(body).await;
    assert_eq!(wire.answer().await.status, 200);
}

#[tokio::test]
async fn three_hundred_requests_in_one_go_are_answered_in_order() {
    let server = Server::start();
    let mut wire = Wire::over(server.connect().await);
    let requests: Vec<String> = (0..300)
        .map(|each| ALIVE.replace("\r\n\r\n", &format!("\r\nX-Request-Id: {each}\r\n\r\n")))
        .collect();
    wire.send(requests.concat()).await;
    for each in 0..300 {
        let answer = wire.answer().await;
        assert_eq!(
            (answer.status, answer.all("x-request-id")),
            (200, vec![each.to_string().as_str()])
        );
    }
}

#[tokio::test]
async fn answers_before_a_handshake_in_one_go_are_not_lost() {
    let server = Server::start();
    let mut wire = Wire::over(server.connect().await);
    wire.send(ALIVE.repeat(3) + &handshake("/ws", "")).await;
    for _ in 0..3 {
        assert_eq!(wire.answer().await.status, 200);
    }
    assert_eq!(wire.answer().await.status, 101);
    assert_eq!(wire.frame().await.0, TEXT);
}

#[tokio::test]
async fn even_a_request_that_cannot_be_read_is_answered_with_a_problem() {
    let server = Server::start();
    let mut wire = Wire::over(server.connect().await);
    wire.send("hello\r\n\r\n").await;
    let answer = wire.answer().await;
    answer.problem(400, "bad_request");
}

//! How clients of all kinds are answered: browsers with pages of other origins, old ones, careful ones.

use crate::harness::{
    Answer, Server, Wire, client, from_now, millis_of, number, numbered, problem, reading,
};
use pretty_assertions::assert_eq;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response};
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Read;

const LISTED: &str = "http://localhost:1880";

fn listing(origins: &str) -> Server {
    Server::with(&[
        ("IAQ_ALLOWED_ORIGINS", origins),
        ("IAQ_BODY_BYTES_MAX", "4096"),
    ])
}

async fn asked(server: &Server, call: &str, headers: &[(&str, &str)]) -> Response {
    let (method, path) = call.split_once(' ').unwrap();
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = client().request(method, server.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// Every call that the document has, as `GET /api/latest`.
async fn calls(server: &Server) -> BTreeSet<(String, String)> {
    let document = server.get_json("/api/openapi.json").await;
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, operations)| {
            let methods = operations.as_object().unwrap().keys();
            methods.map(|method| (method.to_uppercase(), path.replace(['{', '}'], "")))
        })
        .collect()
}

#[tokio::test]
async fn pages_of_listed_origins_may_ask_for_every_call() {
    let server = listing(LISTED);
    for (method, path) in calls(&server).await {
        let call = format!("OPTIONS {path}");
        let wanted = [
            ("origin", LISTED),
            ("access-control-request-method", &*method),
            (
                "access-control-request-headers",
                "authorization,content-type",
            ),
            ("access-control-request-private-network", "true"),
            ("sec-fetch-site", "cross-site"),
        ];
        let allowed = asked(&server, &call, &wanted).await;
        assert_eq!(allowed.status(), 204, "{call}");
        let headers = allowed.headers();
        assert_eq!(text(headers, "access-control-allow-origin"), LISTED);
        assert_eq!(text(headers, "access-control-allow-credentials"), "true");
        assert_eq!(
            text(headers, "access-control-allow-private-network"),
            "true"
        );
        let methods = text(headers, "access-control-allow-methods");
        assert!(
            methods.split(", ").any(|one| one == method),
            "{call}: {methods}"
        );
        let names = text(headers, "access-control-allow-headers").to_lowercase();
        for name in [
            "authorization",
            "x-api-key",
            "content-type",
            "if-none-match",
            "if-match",
            "last-event-id",
        ] {
            assert!(names.contains(name), "{names}");
        }
        assert_ne!(text(headers, "access-control-max-age"), "");
        // A page of anywhere else is told what was compared, and its browser nothing.
        let foreign = [
            ("origin", "http://evil.example"),
            ("access-control-request-method", "GET"),
        ];
        let refused = asked(&server, &call, &foreign).await;
        assert_eq!(text(refused.headers(), "access-control-allow-origin"), "");
        let refused = problem(refused, 403, "forbidden_origin").await;
        let detail = refused["detail"].as_str().unwrap();
        assert!(
            detail.contains("http://evil.example") && detail.contains(&server.address.to_string())
        );
    }
}

#[tokio::test]
async fn whatever_they_are_answered_they_can_read() {
    let server = listing(LISTED);
    let origin = ("origin", LISTED);
    for (call, status) in [
        ("GET /api/latest", 200),
        ("GET /api/events?topics=alerts", 200),
        ("GET /health/live", 200),
        ("GET /api/nothing", 404),
        ("GET /nothing.html", 404),
        ("GET /api/ingest", 405),
        ("POST /api/ingest", 400),
        ("GET /api/latest?since=then", 422),
    ] {
        let answer = asked(&server, call, &[origin, ("sec-fetch-site", "cross-site")]).await;
        assert_eq!(answer.status(), status, "{call}");
        assert_eq!(
            text(answer.headers(), "access-control-allow-origin"),
            LISTED,
            "{call}"
        );
        let exposed = text(answer.headers(), "access-control-expose-headers");
        assert!(
            ["ETag", "Retry-After", "X-Server-Time"]
                .iter()
                .all(|name| exposed.contains(name)),
            "{exposed}"
        );
        let vary = answer.headers().get_all("vary").iter();
        assert!(vary.into_iter().any(|value| value == "Origin"), "{call}");
    }
    let posted = client()
        .post(server.url("/api/ingest"))
        .header("origin", LISTED)
        .json(&reading(json!({"CO2": 645})));
    assert_eq!(posted.send().await.unwrap().status(), 200);
    let foreign = asked(
        &server,
        "GET /api/latest",
        &[("origin", "http://evil.example")],
    )
    .await;
    assert_eq!(text(foreign.headers(), "access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_refusal_for_want_of_credentials_or_for_too_many_requests_can_be_read_too() {
    let limited = [
        ("IAQ_ALLOWED_ORIGINS", LISTED),
        ("IAQ_AUTH", "required"),
        ("IAQ_RATE_API", "1"),
    ];
    let server = Server::with(&limited);
    let mut statuses = BTreeSet::new();
    for _ in 0..5 {
        let refused = asked(&server, "GET /api/latest", &[("origin", LISTED)]).await;
        assert_eq!(
            text(refused.headers(), "access-control-allow-origin"),
            LISTED
        );
        statuses.insert(refused.status().as_u16());
    }
    assert_eq!(statuses, BTreeSet::from([401, 429]));
}

/// Programs that show pages of files have such origins; whoever has a key needs none.
#[rstest]
#[case::files("file://")]
#[case::sandboxed("null")]
#[tokio::test]
async fn a_page_of_a_file_is_listed_or_shows_a_credential(#[case] origin: &str) {
    let listed = listing(origin);
    let unlisted = Server::start();
    let headers = [("origin", origin), ("sec-fetch-site", "cross-site")];
    let post = async |server: &Server, further: Option<(&str, &str)>| {
        let mut request = client()
            .post(server.url("/api/ingest"))
            .json(&reading(json!({"CO2": 645})));
        for (name, value) in headers.into_iter().chain(further) {
            request = request.header(name, value);
        }
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(post(&listed, None).await, 200);
    assert_eq!(post(&unlisted, None).await, 403);
    assert_eq!(
        post(&unlisted, Some(("authorization", "Basic YTpi"))).await,
        403
    );
    assert_eq!(
        post(&unlisted, Some(("cookie", "iaqverse_refresh=a"))).await,
        403
    );
    for own in [("x-api-key", "iaqk_a_b"), ("authorization", "Bearer a")] {
        // Any page can get itself the origin `null`, behind a proxy that adds the header.
        let expected = if origin == "null" { 403 } else { 200 };
        assert_eq!(post(&unlisted, Some(own)).await, expected, "{own:?}");
        let as_a_program = asked(&unlisted, "GET /api/latest", &[("origin", origin), own]).await;
        assert_eq!(as_a_program.status(), 200, "{own:?}");
        let mut wire = Wire::over(unlisted.connect().await);
        let further = format!("Origin: {origin}\r\n{}: {}\r\n", own.0, own.1);
        wire.send(crate::harness::handshake("/ws", &further)).await;
        assert_eq!(wire.answer().await.status, 101, "{own:?}");
    }
    let refused = post_in_required_mode(origin).await;
    assert_eq!(refused, 401);
}

/// A credential that does not count is refused as such, not for its page.
async fn post_in_required_mode(origin: &str) -> u16 {
    let server = Server::with(&[("IAQ_AUTH", "required")]);
    let headers = [("origin", origin), ("authorization", "Bearer a")];
    asked(&server, "POST /api/ingest", &headers)
        .await
        .status()
        .as_u16()
}

#[tokio::test]
async fn where_nobody_logs_in_pages_of_other_sites_read_nothing() {
    let server = Server::start();
    let from = |mode: &'static str, kind: &'static str| {
        [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", mode),
            ("sec-fetch-dest", kind),
        ]
    };
    for call in [
        "GET /api/latest",
        "GET /metrics",
        "GET /api/events",
        "HEAD /health/live",
    ] {
        let refused = asked(&server, call, &from("no-cors", "image")).await;
        assert_eq!(refused.status(), 403, "{call}");
        let same = asked(&server, call, &[("sec-fetch-site", "same-origin")]).await;
        assert_eq!(same.status(), 200, "{call}");
    }
    // A link that somebody follows.
    let link = asked(&server, "GET /api/latest", &from("navigate", "document")).await;
    assert_eq!(link.status(), 200);
    // Where everybody logs in, such a page has no credentials.
    let server = Server::with(&[("IAQ_AUTH", "required")]);
    let live = asked(&server, "GET /health/live", &from("no-cors", "image")).await;
    assert_eq!(live.status(), 200);
}

#[rstest]
#[case("raspberrypi.local:8080", 200)]
#[case("localhost.", 200)]
#[case("iaq.home.arpa", 200)]
#[case("iaq.internal", 200)]
#[case("iaq.lan", 403)]
#[case("rebound.example", 403)]
#[tokio::test]
async fn names_that_nobody_on_the_internet_can_have_are_ours(
    #[case] host: &str,
    #[case] status: u16,
) {
    let server = Server::start();
    let answer = asked(&server, "GET /api/latest", &[("host", host)]).await;
    assert_eq!(answer.status(), status, "{host}");
    if status == 403 {
        let refused = problem(answer, 403, "foreign_host").await;
        assert!(refused["detail"].as_str().unwrap().contains(host));
    }
}

/// What a HEAD and a GET have in common.
fn comparable(answer: &Response) -> (u16, BTreeSet<(String, String)>) {
    let headers = answer.headers().iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let varying = ["date", "x-request-id", "x-server-time"];
    let headers = headers.filter(|(name, _)| !varying.contains(&name.as_str()));
    (answer.status().as_u16(), headers.collect())
}

#[tokio::test]
async fn head_is_answered_like_get_without_a_body() {
    let server = Server::start();
    server.accept(&reading(json!({"CO2": 645}))).await;
    for (method, path) in calls(&server).await {
        if method != "GET" {
            continue;
        }
        let get = comparable(&asked(&server, &format!("GET {path}"), &[]).await);
        let head = asked(&server, &format!("HEAD {path}"), &[]).await;
        let (mut get_headers, mut head_headers) = (get.1, comparable(&head).1);
        if get.0 >= 400
            || path == "/metrics"
            || path.starts_with("/health")
            || path.starts_with("/api/health")
        {
            // They say something else each time.
            for headers in [&mut get_headers, &mut head_headers] {
                headers.retain(|(name, _)| name != "content-length");
            }
        }
        assert_eq!(
            (get.0, get_headers),
            (comparable(&head).0, head_headers),
            "{path}"
        );
        assert_eq!(head.bytes().await.unwrap(), "", "{path}");
    }
}

#[tokio::test]
async fn head_opens_no_stream_and_the_connection_goes_on() {
    let server = Server::start();
    let mut wire = Wire::over(server.connect().await);
    for path in [
        "/api/events",
        "/api/iaq/data",
        "/api/latest",
        "/api/nothing",
    ] {
        wire.send(format!("HEAD {path} HTTP/1.1\r\nHost: server\r\n\r\n"))
            .await;
        while !wire.line().await.is_empty() {}
    }
    wire.send("GET /ws/stats HTTP/1.1\r\nHost: server\r\n\r\n")
        .await;
    assert_eq!(wire.answer().await.json()["active_connections"], 0);
}

#[tokio::test]
async fn a_slash_behind_a_call_changes_nothing() {
    let server = Server::with(&[("IAQ_AUTH", "required"), ("IAQ_RATE_API", "2")]);
    let plain = asked(&server, "GET /api/latest", &[]).await;
    let slash = asked(&server, "GET /api/latest/", &[]).await;
    assert_eq!(
        (plain.status(), slash.status()),
        (reqwest::StatusCode::UNAUTHORIZED, plain.status())
    );
    let mut last = 0;
    for _ in 0..8 {
        last = asked(&server, "GET /api/latest/", &[])
            .await
            .status()
            .as_u16();
    }
    assert_eq!(last, 429, "it counts like the call");
    let open = Server::start();
    let posted = client()
        .post(open.url("/api/ingest/"))
        .json(&reading(json!({"CO2": 645})));
    assert_eq!(posted.send().await.unwrap().status(), 200);
    assert_eq!(open.get("/api/sensors/bureau1/").await.status(), 200);
    assert_eq!(open.get("/api/ingest//").await.status(), 404);
    let mut wire = Wire::over(open.connect().await);
    wire.send(crate::harness::handshake("/ws/", "")).await;
    assert_eq!(wire.answer().await.status, 101);
}

#[rstest]
#[case::json("/api/iaq/data", "[{")]
#[case::csv("/api/iaq/data?format=csv", "timestamp")]
#[case::latest("/api/latest", "[{")]
#[tokio::test]
async fn an_old_client_gets_the_body_up_to_the_end_of_the_connection(
    #[case] path: &str,
    #[case] begins: &str,
    #[values("", "Connection: keep-alive\r\n")] further: &str,
) {
    let server = Server::start();
    server.accept(&reading(json!({"CO2": 645}))).await;
    let request = format!("GET {path} HTTP/1.0\r\nHost: server\r\n{further}\r\n");
    let mut wire = Wire::over(server.connect().await);
    wire.send(request).await;
    let mut has_length = false;
    loop {
        let line = wire.line().await.to_lowercase();
        assert!(!line.starts_with("transfer-encoding"), "{line}");
        has_length |= line.starts_with("content-length");
        if line.is_empty() {
            break;
        }
    }
    if has_length && !further.is_empty() {
        return;
    }
    let body = wire.rest().await;
    assert!(
        body.starts_with(begins) && body.contains("bureau1"),
        "{body}"
    );
}

#[tokio::test]
async fn events_reach_an_old_client() {
    let server = Server::start();
    let mut wire = Wire::over(server.connect().await);
    wire.send("GET /api/events?topics=measurements HTTP/1.0\r\nHost: server\r\n\r\n")
        .await;
    while !wire.line().await.contains("subscribed") {}
    server.accept(&numbered("a", 7)).await;
    assert_eq!(wire.line().await, "");
    assert!(wire.line().await.starts_with("id: "));
    let data = wire.line().await;
    let data = data.strip_prefix("data: ").unwrap();
    assert_eq!(number(&serde_json::from_str(data).unwrap()), 7);
}

async fn alive(wire: &mut Wire, further: &str) -> Answer {
    wire.send(format!(
        "GET /health/live HTTP/1.1\r\nHost: server\r\n{further}\r\n"
    ))
    .await;
    wire.answer().await
}

#[tokio::test]
async fn a_client_is_told_how_long_its_connection_is_kept() {
    let server = Server::start();
    let mut wire = Wire::over(server.connect().await);
    let answer = alive(&mut wire, "").await;
    assert_eq!(answer.header("keep-alive"), Some("timeout=75"));
    assert_eq!(answer.header("connection"), None);
    let last = alive(&mut wire, "Connection: close\r\n").await;
    assert_eq!(last.header("keep-alive"), None);
    assert_eq!(last.header("connection"), Some("close"));
    assert_eq!(wire.rest().await, "");
}

#[tokio::test]
async fn an_offer_of_http_2_is_declined_without_a_word() {
    let server = Server::start();
    let mut wire = Wire::over(server.connect().await);
    let offer =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let answer = alive(&mut wire, offer).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(answer.header("upgrade"), None);
}

#[tokio::test]
async fn of_many_idle_connections_the_oldest_ends() {
    let server = Server::with(&[("IAQ_WORKERS", "1"), ("IAQ_IDLE_CONNECTIONS_MAX", "8")]);
    let mut wires = Vec::new();
    for _ in 0..3 {
        let mut wire = Wire::over(server.connect().await);
        assert_eq!(alive(&mut wire, "").await.status, 200);
        wires.push(wire);
    }
    // One address has a quarter of them.
    assert_eq!(wires[0].rest().await, "");
    for wire in &mut wires[1..] {
        assert_eq!(alive(wire, "").await.status, 200);
    }
}

#[tokio::test]
async fn an_idle_connection_ends_when_it_was_told() {
    let server = Server::with(&[("IAQ_IDLE_TIMEOUT", "1s")]);
    let mut wire = Wire::over(server.connect().await);
    let begun = std::time::Instant::now();
    assert_eq!(
        alive(&mut wire, "").await.header("keep-alive"),
        Some("timeout=1")
    );
    assert_eq!(wire.rest().await, "");
    let waited = begun.elapsed().as_secs_f64();
    assert!((1.0..10.0).contains(&waited), "{waited}");
}

fn expanded(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut bytes),
        "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut bytes),
        _ => panic!("{coding}"),
    }
    .unwrap();
    bytes
}

fn much() -> Value {
    (0..3000).map(|each| numbered("a", each)).collect()
}

#[rstest]
#[case::history(
    "/api/iaq/data?start=2025-01-01T00:00:00Z&hours=100000",
    "application/json"
)]
#[case::table(
    "/api/iaq/data?start=2025-01-01T00:00:00Z&hours=100000&format=csv",
    "text/csv; charset=utf-8"
)]
#[case::lines(
    "/api/iaq/data?start=2025-01-01T00:00:00Z&hours=100000&format=ndjson",
    "application/x-ndjson"
)]
#[case::document("/api/openapi.json", "application/json")]
#[case::numbers("/metrics", "text/plain; version=0.0.4; charset=utf-8")]
#[tokio::test]
async fn answers_are_compressed_for_who_takes_that(
    #[case] path: &str,
    #[case] kind: &str,
    #[values("gzip", "br")] coding: &str,
) {
    let server = Server::start();
    server.accept(&much()).await;
    let plain = server.get(path).await;
    assert_eq!(text(plain.headers(), "content-encoding"), "");
    let varies = |headers: &HeaderMap| {
        let mut vary = headers.get_all("vary").iter();
        vary.any(|value| value.to_str().unwrap().contains("Accept-Encoding"))
    };
    assert!(varies(plain.headers()));
    let call = format!("GET {path}");
    let packed = asked(&server, &call, &[("accept-encoding", coding)]).await;
    assert_eq!(text(packed.headers(), "content-encoding"), coding);
    assert_eq!(text(packed.headers(), "content-type"), kind);
    assert!(varies(packed.headers()));
    let (plain, packed) = (plain.bytes().await.unwrap(), packed.bytes().await.unwrap());
    assert!(
        packed.len() * 2 < plain.len(),
        "{} of {}",
        packed.len(),
        plain.len()
    );
    if path != "/metrics" {
        assert_eq!(expanded(coding, &packed), plain);
    }
}

/// A page whose clock is wrong, and that only polls, learns the time from any answer.
#[tokio::test]
async fn every_answer_tells_the_time_of_the_server_to_the_millisecond() {
    let server = Server::start();
    let tag = server.get("/api/latest").await;
    let tag = text(tag.headers(), "etag").to_owned();
    for (call, headers, status) in [
        ("GET /api/latest", vec![], 200),
        ("GET /api/latest", vec![("if-none-match", &*tag)], 304),
        ("HEAD /api/rooms", vec![], 200),
        ("GET /api/events?topics=alerts", vec![], 200),
        ("GET /api/sensors/none", vec![], 404),
        ("POST /api/ingest", vec![], 400),
    ] {
        let before = millis_of(&from_now(0).into());
        let answer = asked(&server, call, &headers).await;
        assert_eq!(answer.status(), status, "{call}");
        let time = text(answer.headers(), "x-server-time");
        let within = before..=millis_of(&from_now(0).into());
        assert!(within.contains(&millis_of(&time.into())), "{call}: {time}");
    }
}

#[tokio::test]
async fn a_compressed_answer_is_another_form_of_the_same_version() {
    let server = Server::start();
    let packed = asked(
        &server,
        "GET /api/openapi.json",
        &[("accept-encoding", "br")],
    )
    .await;
    let weak = text(packed.headers(), "etag").to_owned();
    assert!(weak.starts_with("W/"), "{weak}");
    let known = [("accept-encoding", "br"), ("if-none-match", &*weak)];
    let known = asked(&server, "GET /api/openapi.json", &known).await;
    assert_eq!(known.status(), 304);
    assert_eq!(text(known.headers(), "etag"), weak);
    let plain = server.get("/api/openapi.json").await;
    assert_eq!(format!("W/{}", text(plain.headers(), "etag")), weak);
}

#[tokio::test]
async fn what_is_short_or_secret_or_live_is_sent_as_it_is() {
    let server = Server::start();
    for call in [
        "GET /health/live",
        "GET /api/events?topics=alerts",
        "POST /api/auth/logout",
    ] {
        let answer = asked(&server, call, &[("accept-encoding", "gzip, br")]).await;
        assert_eq!(text(answer.headers(), "content-encoding"), "", "{call}");
    }
}

//! The server behind nginx, with the configuration that is delivered.

use crate::glb;
use crate::harness::{
    Answer, Events, PATIENCE, Server, TEXT, Wire, handshake, is_sign_of_life, number, numbered,
    reading,
};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{interval, timeout};

const PAGE: &str = "<!doctype html><title>IAQverse</title>";

/// nginx in front of a server; it ends when dropped.
struct Nginx {
    process: Child,
    /// Lines of the access log.
    accesses: mpsc::Receiver<String>,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

/// The program, which Debian keeps where the `PATH` of an ordinary user does not lead.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("nginx"))
        .find(|program| program.is_file());
    found.expect("nginx is not installed; `make test` installs what the tests need")
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A port nobody listens on, outside of the range that is given out for port 0.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = std::process::id() * 100 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(20_000 + next % 10_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// Replaces what must be there.
fn replaced(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "nginx.conf has no {old:?}");
    text.replace(old, new)
}

impl Nginx {
    /// nginx in front of `server`, which may be down.
    async fn before(server: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let assets = folder.path().join("frontend/dist/assets");
        std::fs::create_dir_all(&assets).unwrap();
        std::fs::write(assets.join("../index.html"), PAGE).unwrap();
        std::fs::write(assets.join("../digital-twin.html"), PAGE).unwrap();
        std::fs::write(assets.join("app-1a2b.js"), "export {};\n".repeat(500)).unwrap();
        std::fs::write(assets.join("room.glb"), [0_u8; 2000]).unwrap();

        let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let conf = std::fs::read_to_string(repository().join("nginx.conf")).unwrap();
        let conf = replaced(&conf, "listen 8080 ", &format!("listen {address} "));
        let conf = replaced(&conf, "127.0.0.1:8081", &server.to_string());
        std::fs::write(folder.path().join("nginx.conf"), conf).unwrap();

        let root = if is_root() { "user root; " } else { "" };
        let mut process = Command::new(program())
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(folder.path().join("nginx.conf"))
            .args(["-e", "stderr", "-g", &format!("{root}daemon off;")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, accesses) = mpsc::channel();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let mut nginx = Self {
            process,
            accesses,
            address,
            folder,
        };
        nginx.wait_until_it_listens().await;
        nginx
    }

    async fn wait_until_it_listens(&mut self) {
        let mut attempts = interval(Duration::from_millis(20));
        let listens = async {
            while TcpStream::connect(self.address).await.is_err() {
                attempts.tick().await;
                if self.process.try_wait().unwrap().is_some() {
                    let mut said = String::new();
                    self.process
                        .stderr
                        .take()
                        .unwrap()
                        .read_to_string(&mut said)
                        .unwrap();
                    panic!("nginx does not start: {said}");
                }
            }
        };
        timeout(PATIENCE, listens)
            .await
            .expect("nginx listens in time");
    }

    async fn wire(&self) -> Wire {
        Wire::open(self.address).await
    }

    /// The answer to a request with these lines, the first of which is the request line.
    async fn ask(&self, lines: &[&str]) -> Answer {
        let mut wire = self.wire().await;
        wire.send(request(lines, "")).await;
        wire.answer().await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&[&format!("GET {path} HTTP/1.1")]).await
    }

    async fn post(&self, reading: &Value) -> Answer {
        let body = reading.to_string();
        let length = format!("Content-Length: {}", body.len());
        let lines = [
            "POST /api/ingest HTTP/1.1",
            "Content-Type: application/json",
            &length,
        ];
        let mut wire = self.wire().await;
        wire.send(request(&lines, &body)).await;
        wire.answer().await
    }

    /// The next line of the access log about `path`.
    fn accessed(&self, path: &str) -> Value {
        loop {
            let line = self
                .accesses
                .recv_timeout(PATIENCE)
                .expect("a line of the access log");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["path"] == path {
                return line;
            }
        }
    }
}

fn request(lines: &[&str], body: &str) -> String {
    format!(
        "{}\r\nHost: building.example:8443\r\n\r\n{body}",
        lines.join("\r\n")
    )
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Not killed: its workers would live on.
        let pid = self.process.id().to_string();
        drop(Command::new("kill").args(["-s", "TERM", &pid]).status());
        drop(self.process.wait());
    }
}

/// A server that believes nginx, and nginx in front of it.
async fn pair() -> (Server, Nginx) {
    pair_with(&[]).await
}

async fn pair_with(settings: &[(&str, &str)]) -> (Server, Nginx) {
    // Nobody has to log in, so the server must know the name that nginx has.
    let open = [
        ("IAQ_TRUSTED_PROXIES", "127.0.0.1"),
        ("IAQ_ALLOWED_ORIGINS", "https://building.example"),
    ];
    let settings = [&open[..], settings].concat();
    let server = Server::with(&settings);
    let nginx = Nginx::before(server.address).await;
    (server, nginx)
}

fn sensors(count: u32, co2: u32) -> Value {
    let readings = (0..count).map(|each| {
        let mut reading = reading(json!({"CO2": co2}));
        reading["sensor_id"] = format!("s{each}").into();
        reading
    });
    readings.collect()
}

#[rstest]
#[case::start("/", 200, "text/html", "no-cache")]
#[case::page("/digital-twin.html", 200, "text/html", "no-cache")]
#[case::page_without_its_ending("/digital-twin", 200, "text/html", "no-cache")]
#[case::script(
    "/assets/app-1a2b.js",
    200,
    "text/javascript",
    "public, max-age=31536000, immutable"
)]
#[case::model(
    "/assets/room.glb",
    200,
    "model/gltf-binary",
    "public, max-age=31536000, immutable"
)]
#[case::missing("/nowhere.html", 404, "text/html", "no-cache")]
#[case::missing_asset("/assets/old-0000.js", 404, "text/html", "no-cache")]
#[case::outside("/../nginx.conf", 400, "application/problem+json", "no-cache")]
#[case::metrics("/metrics", 404, "text/html", "no-cache")]
#[tokio::test]
async fn pages_are_served_with_their_type_and_lifetime(
    #[case] path: &str,
    #[case] status: u16,
    #[case] content_type: &str,
    #[case] cache: &str,
) {
    let (_server, nginx) = pair().await;
    let answer = nginx.get(path).await;
    assert_eq!(answer.status, status, "{answer:?}");
    let got = answer.header("content-type").unwrap();
    assert_eq!(got.split(';').next().unwrap(), content_type);
    assert_eq!(answer.all("cache-control"), [cache]);
}

#[rstest]
#[case::page("GET / HTTP/1.1", 200)]
#[case::asset("GET /assets/app-1a2b.js HTTP/1.1", 200)]
#[case::missing_page("GET /nowhere HTTP/1.1", 404)]
#[case::api("GET /api/latest HTTP/1.1", 200)]
#[case::health("GET /health/ready HTTP/1.1", 200)]
#[case::stats("GET /ws/stats HTTP/1.1", 200)]
#[case::missing_api("GET /api/nowhere HTTP/1.1", 404)]
#[case::wrong_method("DELETE /api/latest HTTP/1.1", 405)]
#[case::no_upgrade("GET /ws HTTP/1.1", 426)]
#[tokio::test]
async fn security_headers_come_once_each(#[case] line: &str, #[case] status: u16) {
    let (_server, nginx) = pair().await;
    let answer = nginx.ask(&[line]).await;
    assert_eq!(answer.status, status, "{answer:?}");
    for name in [
        "content-security-policy",
        "x-content-type-options",
        "referrer-policy",
        "cross-origin-opener-policy",
        "cross-origin-resource-policy",
        "permissions-policy",
        "x-request-id",
    ] {
        assert_eq!(answer.all(name).len(), 1, "{name}: {answer:?}");
    }
    assert!(answer.all("cache-control").len() <= 1, "{answer:?}");
    assert!(
        answer
            .header("content-security-policy")
            .unwrap()
            .contains("default-src 'self'")
    );
    assert_eq!(
        answer.header("strict-transport-security"),
        None,
        "without TLS it means nothing"
    );
    if line.contains("/api/") && status >= 400 {
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
    }
}

#[tokio::test]
async fn a_reading_posted_through_nginx_arrives_through_nginx() {
    let (_server, nginx) = pair().await;
    let mut wire = nginx.wire().await;
    // As a browser sends it: nginx must pass on the Host with its port, or the origin is foreign.
    let upgrade = handshake("/ws", "Origin: https://building.example:8443\r\n")
        .replace("Host: server", "Host: building.example:8443");
    wire.send(upgrade).await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(
        answer.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(wire.frame().await.0, TEXT);
    assert_eq!(nginx.post(&reading(json!({"CO2": 645}))).await.status, 200);
    let (_, message) = wire.frame().await;
    let message: Value = serde_json::from_slice(&message).unwrap();
    assert_eq!(
        (&message["type"], &message["co2"]),
        (&json!("measurement"), &json!(645))
    );
    assert_eq!(nginx.get("/api/latest").await.json()[0]["co2"], 645);
}

#[tokio::test]
async fn a_page_of_another_site_is_refused_through_nginx_too() {
    let (_server, nginx) = pair().await;
    let mut wire = nginx.wire().await;
    wire.send(handshake("/ws", "Origin: https://evil.example\r\n"))
        .await;
    wire.answer().await.problem(403, "forbidden_origin");
}

#[rstest]
#[case("/api/latest")]
#[case("/health/live")]
#[case("/ws/stats")]
#[tokio::test]
async fn an_upgrade_is_passed_on_to_the_websocket_only(#[case] path: &str) {
    let (_server, nginx) = pair().await;
    let mut wire = nginx.wire().await;
    wire.send(handshake(path, "")).await;
    assert_eq!(wire.answer().await.status, 200);
}

/// A WebSocket through nginx from one of this machine's addresses, with what the client claims.
async fn watch_from(nginx: &Nginx, address: &str, claims: &str) -> Wire {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(format!("{address}:0").parse().unwrap())
        .unwrap();
    let mut wire = Wire::over(socket.connect(nginx.address).await.unwrap());
    wire.send(handshake("/ws", claims)).await;
    assert_eq!(wire.answer().await.status, 101);
    wire
}

#[tokio::test]
async fn the_address_of_a_client_is_what_nginx_sees_whatever_it_claims() {
    let (server, nginx) = pair_with(&[("IAQ_WS_MAX_PER_IP", "1")]).await;
    let claims = "X-Forwarded-For: 203.0.113.7\r\nX-Real-IP: 203.0.113.7\r\n\
                  Forwarded: for=203.0.113.7\r\n";
    let mut first = watch_from(&nginx, "127.0.0.2", claims).await;
    assert_eq!(first.frame().await.0, TEXT);
    let line = server.logged("client connected");
    assert!(
        line.contains("127.0.0.2") && !line.contains("203.0.113.7"),
        "{line}"
    );
    let mut again = watch_from(&nginx, "127.0.0.2", "X-Forwarded-For: 203.0.113.8\r\n").await;
    assert_eq!(again.close_code().await, 1013);
    let mut other = watch_from(&nginx, "127.0.0.3", claims).await;
    assert_eq!(other.frame().await.0, TEXT);
}

#[tokio::test]
async fn who_guesses_passwords_is_told_to_wait_whatever_address_it_claims() {
    let (_server, nginx) = pair_with(&[("IAQ_RATE_LOGIN", "0")]).await;
    let mut refused = None;
    for each in 0..60 {
        let claim = format!("X-Forwarded-For: 203.0.113.{each}");
        let lines = [
            "POST /api/auth/login?token=secret HTTP/1.1",
            "Content-Length: 0",
            &claim,
        ];
        let answer = nginx.ask(&lines).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let answer = refused.expect("nginx has a limit of its own");
    answer.problem(429, "rate_limited");
    assert_eq!(answer.all("retry-after"), ["5"]);
    let access = nginx.accessed("/api/auth/login");
    assert_eq!(access["method"], "POST");
    assert!(!access.to_string().contains("secret"), "{access}");
    assert_eq!(nginx.get("/api/latest").await.status, 200);
}

#[tokio::test]
async fn a_body_above_1_mib_is_answered_with_a_problem() {
    let (server, nginx) = pair().await;
    let lines = [
        "POST /api/ingest HTTP/1.1",
        "Content-Type: application/json",
    ];
    let declared = [&lines[..], &["Content-Length: 1048577"]].concat();
    nginx.ask(&declared).await.problem(413, "too_large");

    // One whose length only shows on the way; it must not be stored either.
    let mut wire = nginx.wire().await;
    let chunked = [&lines[..], &["Transfer-Encoding: chunked"]].concat();
    let body = reading(json!({"CO2": 645})).to_string();
    wire.send(request(
        &chunked,
        &format!("{:x}\r\n{body}\r\n", body.len()),
    ))
    .await;
    let blank = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    wire.send(blank.repeat(17)).await;
    wire.answer().await.problem(413, "too_large");
    assert_eq!(server.get_json("/api/latest").await, json!([]));
}

#[tokio::test]
async fn a_model_may_be_larger_and_passes_unchanged() {
    let (server, nginx) = pair().await;
    let file = glb::triangle_and(3 * 1024 * 1024);
    let path = "/api/models?enseigne=Maison&salle=Bureau";
    let lines = [
        &format!("PUT {path} HTTP/1.1"),
        "Content-Type: model/gltf-binary",
    ];
    let length = format!("Content-Length: {}", file.len());
    let mut wire = nginx.wire().await;
    wire.send(request(&[&lines[..], &[&length]].concat(), ""))
        .await;
    wire.send(&file).await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let url = answer.json()["url"].as_str().unwrap().to_owned();
    let answer = nginx.get(&url).await;
    assert!(answer.body == file);
    assert_eq!(
        answer.all("cache-control"),
        ["private, max-age=31536000, immutable"]
    );
    assert_eq!(answer.all("content-type"), ["model/gltf-binary"]);
    assert_eq!(answer.all("x-content-type-options"), ["nosniff"]);
    // Above the limit, and everywhere else above the usual one.
    let declared = [&lines[..], &["Content-Length: 33554433"]].concat();
    let refused = nginx.ask(&declared).await.problem(413, "too_large");
    assert_eq!(refused["detail"], "the body is larger than 32 MiB");
    let elsewhere = format!("PUT {url} HTTP/1.1");
    let declared = [&elsewhere, "Content-Length: 1048577"];
    let refused = nginx.ask(&declared).await.problem(413, "too_large");
    assert_eq!(refused["detail"], "the body is larger than 1 MiB");
    assert_eq!(
        server
            .get_json("/api/models")
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[rstest]
#[case::no_http("GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400, "bad_request")]
#[case::no_host("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "bad_request")]
#[case::two_lengths(
    "POST /api/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
        .to_owned(),
    400,
    "bad_request"
)]
#[case::both_lengths(
    "POST /api/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\
     \r\n0\r\n\r\n"
        .to_owned(),
    400,
    "bad_request"
)]
#[case::long_address(
    format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(9000)),
    414,
    "uri_too_long"
)]
#[case::long_header(
    format!("GET / HTTP/1.1\r\nHost: x\r\nX-Thing: {}\r\n\r\n", "x".repeat(9000)),
    431,
    "headers_too_large"
)]
#[case::unknown_encoding(
    "POST /api/ingest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(),
    501,
    "not_implemented"
)]
#[tokio::test]
async fn what_nginx_refuses_itself_is_a_problem_too(
    #[case] request: String,
    #[case] status: u16,
    #[case] code: &str,
) {
    let (_server, nginx) = pair().await;
    let mut wire = nginx.wire().await;
    wire.send(request).await;
    wire.answer().await.problem(status, code);
}

/// The whole answer of one request, whatever its framing, as head and body.
async fn whole(nginx: &Nginx, lines: &[&str]) -> (String, Vec<u8>) {
    let response = crate::harness::client();
    let (path, headers) = lines.split_first().unwrap();
    let mut request = response.get(format!("http://{}{path}", nginx.address));
    for header in headers {
        let (name, value) = header.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let answer = request.send().await.unwrap();
    let head = format!("{} {:?}", answer.status().as_u16(), answer.headers());
    (head, answer.bytes().await.unwrap().to_vec())
}

fn gunzipped(body: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(body)
        .read_to_string(&mut text)
        .unwrap();
    text
}

#[tokio::test]
async fn text_is_compressed_for_who_can_read_that() {
    let (server, nginx) = pair().await;
    server.accept(&sensors(20, 645)).await;
    for path in ["/assets/app-1a2b.js", "/api/latest", "/assets/room.glb"] {
        let (head, plain) = whole(&nginx, &[path]).await;
        assert!(
            !head.contains("content-encoding") && head.contains("Accept-Encoding"),
            "{head}"
        );
        let (head, packed) = whole(&nginx, &[path, "Accept-Encoding: gzip, br"]).await;
        assert!(head.contains(r#""vary": "Accept-Encoding""#), "{head}");
        // What comes from the server is compressed there.
        let expanded = if head.contains(r#""content-encoding": "br""#) {
            let mut text = Vec::new();
            brotli::Decompressor::new(&packed[..], 4096)
                .read_to_end(&mut text)
                .unwrap();
            text
        } else {
            assert!(head.contains(r#""content-encoding": "gzip""#), "{head}");
            gunzipped(&packed).into_bytes()
        };
        assert_eq!(expanded, plain, "{path}");
        assert!(packed.len() < plain.len() / 2, "{path}");
    }
}

#[tokio::test]
async fn polling_through_nginx_costs_a_304_until_something_changes() {
    let (server, nginx) = pair().await;
    server.accept(&sensors(20, 645)).await;
    for accept in ["Accept-Encoding: gzip", "Accept-Encoding: identity"] {
        let poll = |tag: String| {
            let client = crate::harness::client();
            let (name, value) = accept.split_once(": ").unwrap();
            let request = client
                .get(format!("http://{}/api/latest", nginx.address))
                .header(name, value)
                .header("if-none-match", tag);
            async move { request.send().await.unwrap() }
        };
        let first = poll("\"none\"".to_owned()).await;
        assert_eq!(first.status(), 200);
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        let unchanged = poll(tag.clone()).await;
        assert_eq!(unchanged.status(), 304, "{tag}");
        assert_eq!(unchanged.bytes().await.unwrap().len(), 0);

        server.accept(&sensors(20, 700)).await;
        let changed = poll(tag.clone()).await;
        assert_eq!(changed.status(), 200);
        assert_ne!(changed.headers()["etag"].to_str().unwrap(), tag);
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_a_problem_to_try_again_and_works_again_when_it_is_back() {
    let (mut server, nginx) = pair().await;
    assert_eq!(nginx.post(&reading(json!({"CO2": 645}))).await.status, 200);
    server.kill();
    for answer in [
        nginx.get("/api/latest").await,
        nginx.get("/health/ready").await,
        nginx.post(&reading(json!({"CO2": 700}))).await,
        nginx
            .ask(&[
                "GET /ws HTTP/1.1",
                "Upgrade: websocket",
                "Connection: upgrade",
            ])
            .await,
    ] {
        let code = if answer.status == 503 {
            "unavailable"
        } else {
            "upstream_unreachable"
        };
        let status = if answer.status == 503 { 503 } else { 502 };
        answer.problem(status, code);
        let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds));
    }
    assert_eq!(
        nginx.get("/").await.status,
        200,
        "pages come without the server"
    );
    let _server = server.kill_and_restart();
    assert_eq!(nginx.get("/api/latest").await.json()[0]["co2"], 645);
}

#[tokio::test]
async fn a_stopping_server_ends_its_websockets_through_nginx_with_1001() {
    let (server, nginx) = pair().await;
    let mut wire = watch_from(&nginx, "127.0.0.1", "").await;
    assert_eq!(wire.frame().await.0, TEXT);
    server.terminate();
    assert_eq!(wire.close_code().await, 1001);
}

/// A stream of events through nginx, as a browser opens it.
async fn stream_through(nginx: &Nginx, query: &str, last_event_id: Option<&str>) -> Events {
    let mut headers = vec![
        ("accept", "text/event-stream"),
        ("accept-encoding", "gzip, br"),
    ];
    headers.extend(last_event_id.map(|id| ("last-event-id", id)));
    let url = format!("http://{}/api/events{query}", nginx.address);
    Events::open(&url, &headers).await
}

#[tokio::test]
async fn events_come_through_nginx_one_by_one_as_they_happen() {
    let (server, nginx) = pair_with(&[("IAQ_WS_PING_INTERVAL", "1s")]).await;
    let mut events = stream_through(&nginx, "?topics=measurements", None).await;
    let headers = events.response.headers();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers.get("content-encoding"), None);
    for name in ["cache-control", "x-request-id", "content-security-policy"] {
        assert_eq!(headers.get_all(name).iter().count(), 1, "{name}");
    }
    assert_eq!(headers["cache-control"], "no-cache");
    assert!(events.block().await.unwrap().starts_with("retry: "));
    assert_eq!(events.next().await.data["type"], "connection");
    assert_eq!(events.next().await.data["type"], "subscribed");
    let mut last = None;
    for each in 1..=5 {
        assert_eq!(nginx.post(&numbered("a", each)).await.status, 200);
        // The next is not posted before this one is here: nothing is gathered on the way.
        let event = events.next().await;
        assert_eq!(number(&event.data), each);
        last = event.id;
    }
    // The stream lives, and so does what is between.
    for _ in 0..2 {
        assert!(is_sign_of_life(events.block().await.as_deref()));
    }
    drop(events);
    server.connected(0).await;

    server.accept(&numbered("a", 6)).await;
    let mut back = stream_through(&nginx, "", last.as_deref()).await;
    back.block().await;
    assert_eq!(back.next().await.data["type"], "connection");
    let answer = back.next().await.data;
    assert_eq!(
        (&answer["recovered"], &answer["replayed"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(number(&back.next().await.data), 6);
}

#[tokio::test]
async fn a_stopping_server_ends_its_streams_through_nginx_properly() {
    let (server, nginx) = pair().await;
    let mut events = stream_through(&nginx, "", None).await;
    for _ in 0..3 {
        events.block().await;
    }
    server.terminate();
    assert_eq!(events.block().await, None);
    assert!(server.ended_well().await);
}

#[tokio::test]
async fn too_many_streams_are_told_so_through_nginx() {
    let (_server, nginx) = pair_with(&[("IAQ_WS_MAX", "1")]).await;
    let _events = stream_through(&nginx, "", None).await;
    let answer = nginx.get("/api/events").await;
    answer.problem(503, "server_full");
    assert_eq!(answer.all("retry-after").len(), 1);
}

#[tokio::test]
async fn a_request_has_one_id_in_the_answer_in_both_logs_and_in_the_error() {
    let (server, nginx) = pair().await;
    let answer = nginx
        .ask(&[
            "GET /api/nowhere?token=secret HTTP/1.1",
            "X-Request-Id: chosen-by-the-client",
        ])
        .await;
    // The problem's id is compared with the header's there.
    answer.problem(404, "not_found");
    let id = answer.header("x-request-id").unwrap();
    assert_ne!(id, "chosen-by-the-client");
    let line = server.logged(id);
    assert!(line.contains("/api/nowhere"), "{line}");
    let access = nginx.accessed("/api/nowhere");
    assert_eq!(
        (access["request_id"].as_str(), &access["status"]),
        (Some(id), &json!(404))
    );
    assert!(!access.to_string().contains("secret"), "{access}");
    assert!(
        !server
            .log_so_far()
            .iter()
            .any(|line| line.contains("secret"))
    );
}

#[tokio::test]
async fn a_token_in_the_address_of_the_websocket_is_not_logged() {
    let (server, nginx) = pair().await;
    let mut wire = nginx.wire().await;
    wire.send(handshake("/ws?token=secret", "")).await;
    assert_eq!(wire.answer().await.status, 101);
    drop(wire);
    let access = nginx.accessed("/ws");
    assert_eq!(access["status"], 101);
    assert!(!access.to_string().contains("secret"), "{access}");
    assert!(!server.logged("client disconnected").contains("secret"));
}

#[tokio::test]
async fn what_nginx_writes_lies_below_its_folder() {
    let (_server, nginx) = pair().await;
    assert!(nginx.folder.path().join("nginx.pid").is_file());
    assert!(nginx.folder.path().join("nginx-temp").is_dir());
}

#[test]
fn the_configuration_and_its_https_variant_are_valid() {
    let mut path = program().parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let check = Command::new(repository().join("scripts/check-nginx"))
        .env("PATH", path)
        .output();
    let check = check.unwrap();
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stderr)
    );
}

#[tokio::test]
async fn a_page_of_a_listed_origin_uses_the_calls_through_nginx() {
    let (server, nginx) = pair().await;
    server.accept(&sensors(20, 645)).await;
    let url = |path: &str| format!("http://{}{path}", nginx.address);
    let origin = "https://building.example";
    let asked = crate::harness::client()
        .request(reqwest::Method::OPTIONS, url("/api/ingest"))
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type");
    let allowed = asked.send().await.unwrap();
    assert_eq!(allowed.status(), 204);
    assert_eq!(allowed.headers()["access-control-allow-methods"], "POST");
    for (path, status) in [("/api/latest", 200), ("/api/nothing", 404)] {
        let asked = crate::harness::client()
            .get(url(path))
            .header("origin", origin);
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), status);
        let allowed = answer.headers().get_all("access-control-allow-origin");
        assert_eq!(allowed.iter().collect::<Vec<_>>(), [origin]);
    }
}

#[tokio::test]
async fn a_slash_behind_a_call_changes_nothing_through_nginx_either() {
    let (_server, nginx) = pair().await;
    let post = async |path: &str, body: Value| {
        let url = format!("http://{}{path}", nginx.address);
        let posted = crate::harness::client().post(url).json(&body);
        posted.send().await.unwrap().status().as_u16()
    };
    assert_eq!(
        post("/api/ingest/", reading(json!({"CO2": 645}))).await,
        200
    );
    let mut wire = nginx.wire().await;
    wire.send(handshake("/ws/", "")).await;
    assert_eq!(wire.answer().await.status, 101);
    assert_eq!(nginx.get("/ws/stats/").await.status, 200);
    assert_eq!(nginx.get("/metrics/").await.status, 404);
    // Guesses are counted however the path is written.
    let login = json!({"name": "ada", "password": "a guess"});
    let mut statuses = Vec::new();
    for each in 0..60 {
        let path = ["/api/auth/login", "/api/auth/login/"][each % 2];
        statuses.push(post(path, login.clone()).await);
    }
    let limited = statuses.iter().filter(|status| **status == 429);
    assert!(limited.count() > 10, "{statuses:?}");
}

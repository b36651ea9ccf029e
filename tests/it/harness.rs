//! Starts the real binary on a free port and talks to it like devices and browsers do.

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long anything a test waits for may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running server; it is killed when dropped.
pub struct Server {
    process: Child,
    log: mpsc::Receiver<String>,
    panics: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
    pub address: SocketAddr,
    settings: Vec<(String, String)>,
    folder: std::sync::Arc<tempfile::TempDir>,
}

impl Server {
    /// A server with default settings and an empty database.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// A server with settings of its own, as environment variables.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
        let settings = settings
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Self::launch(folder, "127.0.0.1:0", settings)
    }

    fn launch(
        folder: std::sync::Arc<tempfile::TempDir>,
        bind: &str,
        settings: Vec<(String, String)>,
    ) -> Self {
        let launched = Self::try_launch(folder, bind, settings);
        launched.unwrap_or_else(|ended| panic!("the server ended: {}", ended.logged))
    }

    /// A server like [`Server::with`] has it, or how it ended before it listened.
    pub fn attempt(settings: &[(&str, &str)]) -> Result<Self, Ended> {
        let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
        let settings = settings
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Self::try_launch(folder, "127.0.0.1:0", settings)
    }

    fn try_launch(
        folder: std::sync::Arc<tempfile::TempDir>,
        bind: &str,
        settings: Vec<(String, String)>,
    ) -> Result<Self, Ended> {
        let mut process = command()
            .env("IAQ_BIND", bind)
            .env("DATABASE_URL", database_url(folder.path()))
            .env("IAQ_PAGES_DIR", folder.path().join("pages"))
            // With Postgres the default is in the working folder, which all tests share.
            .env("IAQ_MODELS_DIR", folder.path().join("iaqverse.db-models"))
            .env("IAQ_LOG", "debug")
            .env("IAQ_LOG_FORMAT", "json")
            // What nobody posted would come in between.
            .env("IAQ_SYSTEM_INTERVAL", "0s")
            // All tests come from one address.
            .env("IAQ_RATE_INGEST", "0")
            .env("IAQ_RATE_API", "0")
            .env("IAQ_RATE_LOGIN", "0")
            .envs(settings.iter().map(|(key, value)| (key, value)))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, log) = mpsc::channel();
        let panics = std::sync::Arc::<std::sync::Mutex<Vec<String>>>::default();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let seen = std::sync::Arc::clone(&panics);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains("panicked") {
                    seen.lock().unwrap().push(line.clone());
                }
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut server = Self {
            process,
            log,
            panics,
            address: "127.0.0.1:0".parse().unwrap(),
            settings,
            folder,
        };
        let mut logged = String::new();
        loop {
            match server.log.recv_timeout(PATIENCE) {
                Ok(line) => {
                    if let Some((_, address)) = line.split_once("listening on http://") {
                        server.address = address.split('"').next().unwrap().parse().unwrap();
                        return Ok(server);
                    }
                    logged = logged + &line + "\n";
                }
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it never listens: {logged}"),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let code = server.process.wait().unwrap().code();
                    let printed = String::new();
                    return Err(Ended {
                        code,
                        printed,
                        logged,
                    });
                }
            }
        }
    }

    /// Waits for the process to end by itself and says whether it was content, and what panicked.
    pub async fn ended_with_panics(self) -> (bool, Vec<String>) {
        let panics = std::sync::Arc::clone(&self.panics);
        let content = self.ended_well().await;
        let panics = panics.lock().unwrap().clone();
        (content, panics)
    }

    /// Log lines of panics so far.
    pub fn panics(&self) -> Vec<String> {
        self.panics.lock().unwrap().clone()
    }

    /// Ends the server as a power cut would and starts it again on the same port and database.
    pub fn kill_and_restart(mut self) -> Self {
        self.kill();
        let (bind, settings) = (self.address.to_string(), std::mem::take(&mut self.settings));
        let folder = std::sync::Arc::clone(&self.folder);
        drop(self);
        Self::launch(folder, &bind, settings)
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks the server to stop.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the process to end by itself and says whether it was content.
    pub async fn ended_well(mut self) -> bool {
        let ended = tokio::task::spawn_blocking(move || self.process.wait().unwrap().success());
        timeout(PATIENCE, ended).await.unwrap().unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The next log line that contains `text`.
    pub fn logged(&self, text: &str) -> String {
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(error) => panic!("no log line contains {text:?}: {error}"),
            }
        }
    }

    /// Every log line so far.
    pub fn log_so_far(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        client().get(self.url(path)).send().await.unwrap()
    }

    pub async fn get_json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    /// Posts a JSON body to `/api/ingest`.
    pub async fn post(&self, body: &Value) -> reqwest::Response {
        self.post_body("application/json", body.to_string()).await
    }

    pub async fn post_body(
        &self,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Response {
        let request = client()
            .post(self.url("/api/ingest"))
            .header("content-type", content_type);
        request.body(body).send().await.unwrap()
    }

    /// Posts a reading that must be accepted and gives the answer back.
    pub async fn accept(&self, reading: &Value) -> Value {
        let response = self.post(reading).await;
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// A WebSocket of which the welcome is not read yet.
    pub async fn socket(&self, query: &str) -> Socket {
        Socket::open(&format!("ws://{}/ws{query}", self.address), &[])
            .await
            .unwrap()
    }

    /// A WebSocket past its welcome.
    pub async fn watch(&self, query: &str) -> Socket {
        let mut socket = self.socket(query).await;
        assert_eq!(socket.next().await["type"], "connection");
        socket
    }

    /// A bare connection.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        self.process.kill().unwrap_or_default();
        drop(self.process.wait());
    }
}

/// The binary under test, without the settings of whoever runs the tests.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iaqverse"));
    for (name, _) in std::env::vars() {
        if name.starts_with("IAQ_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command
}

pub fn database_url(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("iaqverse.db").display())
}

pub fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

/// Status of an answer that is read to its end.
pub async fn status_of(server: &Server, path: &str) -> u16 {
    let response = server.get(path).await;
    let status = response.status().as_u16();
    response.bytes().await.unwrap();
    status
}

/// A WebSocket client.
pub struct Socket(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub async fn open(
        url: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tokio_tungstenite::tungstenite::Error> {
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let connected = timeout(PATIENCE, tokio_tungstenite::connect_async(request))
            .await
            .unwrap();
        connected.map(|(socket, _)| Self(socket))
    }

    /// The next text message; pings in between are answered by the library.
    pub async fn next(&mut self) -> Value {
        match self.next_message().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("not a text message: {other:?}"),
        }
    }

    /// The next message that is no ping or pong.
    pub async fn next_message(&mut self) -> Message {
        let next = async {
            loop {
                let message = self.0.next().await.expect("an open connection");
                match message.unwrap() {
                    Message::Ping(_) | Message::Pong(_) => {}
                    message => return message,
                }
            }
        };
        timeout(PATIENCE, next).await.expect("a message in time")
    }

    /// The code of the close frame that comes next.
    pub async fn close_code(&mut self) -> u16 {
        match self.next_message().await {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("not a close frame with a code: {other:?}"),
        }
    }

    pub async fn send(&mut self, message: &Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    /// Everything received before the answer to a ping sent now.
    pub async fn drain(&mut self) -> Vec<Value> {
        self.send(&json!({"type": "ping", "id": "drain"})).await;
        let mut messages = Vec::new();
        loop {
            let message = self.next().await;
            if message["type"] == "pong" && message["id"] == "drain" {
                return messages;
            }
            messages.push(message);
        }
    }
}

/// A reading of the sensor `bureau1` with these values.
pub fn reading(values: Value) -> Value {
    let mut reading = json!({"sensor_id": "bureau1", "enseigne": "Maison", "salle": "Bureau"});
    reading["values"] = values;
    reading
}

/// The reading of the contract's example, taken at `timestamp`.
pub fn example(timestamp: &str) -> Value {
    let mut reading =
        reading(json!({"CO2": 645, "PM25": 12, "TVOC": 40, "Temperature": 22.3, "Humidity": 45}));
    reading["timestamp"] = timestamp.into();
    reading
}

impl Server {
    /// Ends the server as a power cut would and starts it again on the same database. It listens on
    /// a fresh port, because another test may have taken the old one meanwhile.
    pub fn revive(mut self) -> Self {
        self.kill();
        self.again()
    }

    /// Waits for the process to end by itself, says whether it was content, and starts it again on
    /// the same database.
    pub async fn ended_and_started_again(mut self) -> (bool, Self) {
        let (folder, settings) = (
            std::sync::Arc::clone(&self.folder),
            std::mem::take(&mut self.settings),
        );
        let content = self.ended_well().await;
        (content, Self::launch(folder, "127.0.0.1:0", settings))
    }

    fn again(mut self) -> Self {
        let settings = std::mem::take(&mut self.settings);
        Self::launch(std::sync::Arc::clone(&self.folder), "127.0.0.1:0", settings)
    }

    /// Most memory that was ever resident, in KiB.
    pub fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Sends bytes over a connection of their own and gives back everything answered until the
    /// server ends it.
    pub async fn raw(&self, request: &[u8]) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .unwrap()
            .unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// Another connection to the server's database that keeps everybody from writing until it is
    /// dropped.
    pub async fn lock_store(&self) -> sqlx::SqliteConnection {
        use sqlx::Connection;
        let mut connection = sqlx::SqliteConnection::connect(&database_url(self.folder()))
            .await
            .unwrap();
        sqlx::query("begin immediate")
            .execute(&mut connection)
            .await
            .unwrap();
        connection
    }
}

/// Ends what [`Server::lock_store`] began.
pub async fn unlock_store(connection: sqlx::SqliteConnection) {
    use sqlx::Connection;
    connection.close().await.unwrap();
}

/// The body of an error answer, which has everything that every error answer has.
pub async fn problem(response: reqwest::Response, status: u16, code: &str) -> Value {
    let header = |name: &str| {
        response
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let (content_type, request_id) = (header("content-type"), header("x-request-id"));
    let got = response.status().as_u16();
    let text = response.text().await.unwrap();
    assert_eq!(got, status, "{text}");
    assert_eq!(
        content_type.as_deref(),
        Some("application/problem+json"),
        "{text}"
    );
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&body["status"], &body["code"]),
        (&json!(status), &json!(code)),
        "{text}"
    );
    assert_eq!(body["request_id"].as_str(), request_id.as_deref(), "{text}");
    for member in ["type", "title", "detail", "request_id"] {
        assert!(
            body[member].as_str().is_some_and(|text| !text.is_empty()),
            "{member}: {text}"
        );
    }
    body
}

/// Pointer and code of each error of a problem or of a rejected reading, sorted.
pub fn faults(errors: &Value) -> Vec<(&str, &str)> {
    let mut faults = Vec::new();
    for error in errors.as_array().unwrap() {
        assert!(
            error["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{error}"
        );
        faults.push((
            error["pointer"].as_str().unwrap(),
            error["code"].as_str().unwrap(),
        ));
    }
    faults.sort_unstable();
    faults
}

/// The server's present, so many seconds away.
pub fn from_now(seconds: i64) -> String {
    use iaqverse::clock::{Clock, SystemClock};
    at_millis(SystemClock.now().millis() + seconds * 1000)
}

/// Milliseconds since 1970 as they are written on the wire.
pub fn at_millis(millis: i64) -> String {
    iaqverse::domain::Timestamp::from_millis(millis).to_string()
}

/// Milliseconds since 1970 of a time on the wire.
pub fn millis_of(timestamp: &Value) -> i64 {
    iaqverse::domain::Timestamp::parse(timestamp.as_str().unwrap())
        .unwrap()
        .millis()
}

/// Any run of the binary; it is killed when dropped.
pub struct Run {
    process: Child,
    printed: mpsc::Receiver<String>,
    logged: mpsc::Receiver<String>,
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub printed: String,
    pub logged: String,
}

impl Run {
    pub fn of(command: &mut Command) -> Self {
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = lines_of(process.stdout.take().unwrap());
        let logged = lines_of(process.stderr.take().unwrap());
        Self {
            process,
            printed,
            logged,
        }
    }

    /// The next line on standard output.
    pub fn next_printed(&self) -> String {
        self.printed.recv_timeout(PATIENCE).unwrap()
    }

    /// The next line on standard error that contains `text`.
    pub fn logged(&self, text: &str) -> String {
        loop {
            let line = self.logged.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("no line contains {text:?}: {error}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    pub fn interrupt(&self) {
        let pid = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", "INT", &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end and for everything written before it.
    pub fn ended(mut self) -> Ended {
        let rest = |lines: &mpsc::Receiver<String>| {
            let mut text = String::new();
            loop {
                match lines.recv_timeout(PATIENCE) {
                    Ok(line) => text = text + &line + "\n",
                    Err(mpsc::RecvTimeoutError::Disconnected) => return text,
                    Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end: {text}"),
                }
            }
        };
        let (printed, logged) = (rest(&self.printed), rest(&self.logged));
        Ended {
            code: self.process.wait().unwrap().code(),
            printed,
            logged,
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        self.process.kill().unwrap_or_default();
        drop(self.process.wait());
    }
}

/// The lines of a pipe, read by a thread so that whoever writes never waits.
fn lines_of(pipe: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// An HTTP answer exactly as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Every value of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = |header: &&(String, String)| header.0.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .filter(same)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The body, after checking that it is the problem it must be.
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.all("content-type"),
            ["application/problem+json"],
            "{self:?}"
        );
        let body = self.json();
        assert_eq!(
            (&body["status"], &body["code"]),
            (&json!(status), &json!(code)),
            "{self:?}"
        );
        assert_eq!(
            body["request_id"].as_str(),
            self.header("x-request-id"),
            "{self:?}"
        );
        body
    }
}

/// A connection that sends just the bytes it is given and hides nothing of what comes back.
pub struct Wire {
    pub stream: TcpStream,
    received: Vec<u8>,
}

/// First byte of a whole frame of each kind.
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// The handshake of RFC 6455 §1.3 for `target`, with further header lines.
pub fn handshake(target: &str, further: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: server\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{further}\r\n"
    )
}

/// A frame as clients send it.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..=0xffff => {
            frame.push(0x80 | 0x7e);
            frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 0x7f);
            frame.extend_from_slice(&u64::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

impl Wire {
    pub async fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    pub fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// A WebSocket past its welcome.
    pub async fn upgraded(stream: TcpStream) -> Self {
        let mut wire = Self::over(stream);
        wire.send(handshake("/ws", "")).await;
        assert_eq!(wire.answer().await.status, 101);
        assert_eq!(wire.frame().await.0, TEXT);
        wire
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        use tokio::io::AsyncWriteExt;
        timeout(PATIENCE, self.stream.write_all(bytes.as_ref()))
            .await
            .unwrap()
            .unwrap();
    }

    /// Receives more; `false` when the server has ended the connection, politely or not.
    async fn more(&mut self) -> bool {
        use tokio::io::AsyncReadExt;
        let read = self.stream.read_buf(&mut self.received);
        let count = timeout(PATIENCE, read).await.expect("bytes in time");
        count.is_ok_and(|count| count > 0)
    }

    /// At least `count` bytes.
    async fn need(&mut self, count: usize) {
        while self.received.len() < count {
            assert!(
                self.more().await,
                "ended: {}",
                String::from_utf8_lossy(&self.received)
            );
        }
    }

    /// The next answer, whose body must have a declared length or none.
    pub async fn answer(&mut self) -> Answer {
        let head_length = loop {
            match self
                .received
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
            {
                Some(position) => break position + 4,
                None => self.need(self.received.len() + 1).await,
            }
        };
        let head: Vec<u8> = self.received.drain(..head_length).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        assert_eq!(answer.header("transfer-encoding"), None, "{answer:?}");
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        self.need(length).await;
        answer.body = self.received.drain(..length).collect();
        answer
    }

    /// The first byte and the payload of the next WebSocket frame.
    pub async fn frame(&mut self) -> (u8, Vec<u8>) {
        self.need(2).await;
        let (first, second) = (self.received[0], self.received[1]);
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (header, length) = match second {
            126 => {
                self.need(4).await;
                (
                    4,
                    u16::from_be_bytes(self.received[2..4].try_into().unwrap()).into(),
                )
            }
            127 => {
                self.need(10).await;
                let length = u64::from_be_bytes(self.received[2..10].try_into().unwrap());
                (10, usize::try_from(length).unwrap())
            }
            length => (2, length.into()),
        };
        self.need(header + length).await;
        let payload = self
            .received
            .drain(..header + length)
            .skip(header)
            .collect();
        (first, payload)
    }

    /// The next line, without its end.
    pub async fn line(&mut self) -> String {
        let length = loop {
            match self.received.iter().position(|byte| *byte == b'\n') {
                Some(position) => break position + 1,
                None => self.need(self.received.len() + 1).await,
            }
        };
        let line: Vec<u8> = self.received.drain(..length).collect();
        let line = String::from_utf8(line).unwrap();
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// The code of the close frame that comes next.
    pub async fn close_code(&mut self) -> u16 {
        let (first, payload) = self.frame().await;
        assert_eq!(first, CLOSE, "{}", String::from_utf8_lossy(&payload));
        u16::from_be_bytes(payload[..2].try_into().unwrap())
    }

    /// Everything that comes until the server ends the connection.
    pub async fn rest(&mut self) -> String {
        timeout(PATIENCE, async { while self.more().await {} })
            .await
            .expect("the end in time");
        String::from_utf8_lossy(&std::mem::take(&mut self.received)).into_owned()
    }
}

/// One shard delivers to all its clients before it does anything else, so what one client has
/// received every other one has been sent.
pub const ONE_SHARD: (&str, &str) = ("IAQ_WS_THREADS", "1");
/// Any number of commands.
pub const TALKATIVE: (&str, &str) = ("IAQ_WS_COMMANDS_PER_SECOND", "0");
/// Any number of connections from this machine.
pub const CROWDED: (&str, &str) = ("IAQ_WS_MAX_PER_IP", "0");

/// What the store may have in memory of readings that are not settled, and while it settles them.
pub const UNSETTLED_KIB_MAX: u64 = 32 * 1024;

/// Memory that a server may take for whatever one client does, in KiB: a fraction of what is sent.
pub const GROWTH_KIB_MAX: u64 = 32 * 1024;

/// A reading of `sensor` with a number in it, later than those with lower numbers.
pub fn numbered(sensor: &str, number: u32) -> Value {
    let timestamp = format!(
        "2025-01-01T{:02}:{:02}:{:02}Z",
        number / 3600,
        number / 60 % 60,
        number % 60
    );
    json!({"sensor_id": sensor, "enseigne": "Maison", "salle": "Bureau", "timestamp": timestamp,
        "values": {"CO2": number}})
}

/// The number in a measurement.
pub fn number(measurement: &Value) -> u32 {
    let number = measurement["co2"].as_u64();
    u32::try_from(number.unwrap_or_else(|| panic!("no measurement: {measurement}"))).unwrap()
}

/// Sensor and number of each measurement.
pub fn seen(measurements: &[Value]) -> Vec<(&str, u32)> {
    measurements
        .iter()
        .map(|each| (each["sensor_id"].as_str().unwrap(), number(each)))
        .collect()
}

/// Where in the stream a message is.
pub fn position(message: &Value) -> (u64, u64) {
    let id = message["id"].as_str();
    let id = id.unwrap_or_else(|| panic!("no id: {message}"));
    let (epoch, sequence) = id.split_once('-').unwrap();
    (epoch.parse().unwrap(), sequence.parse().unwrap())
}

/// Readings of two sites with rooms of the same name; their numbers are what filters choose.
pub fn readings_of_two_sites() -> Value {
    let places = [
        ("s1", "Maison", "Bureau"),
        ("s2", "Maison", "Salon"),
        ("s3", "École", "Bureau"),
        ("s4", "École", "Salle \"1\""),
    ];
    let readings = (1..).zip(places).map(|(each, (sensor, site, room))| {
        let mut reading = numbered(sensor, each);
        reading["enseigne"] = site.into();
        reading["salle"] = room.into();
        reading
    });
    readings.collect()
}

/// Their CO2 counts up and begins again here.
pub const LONG_READINGS_CO2_MAX: u32 = 40_000;

/// A batch of readings that make long messages, numbered from `first` on.
pub fn long_readings(first: u32, count: u32) -> Value {
    let mut values: Value = (0..30)
        .map(|key| (format!("{key:064}"), json!(0.125)))
        .collect();
    let readings = (first..first + count).map(|each| {
        values["CO2"] = (each % LONG_READINGS_CO2_MAX).into();
        let mut reading = reading(values.clone());
        let (minutes, seconds) = (each / 60 % 60, each % 60);
        let timestamp = format!("2025-01-01T{:02}:{minutes:02}:{seconds:02}Z", each / 3600);
        reading["timestamp"] = timestamp.into();
        reading
    });
    readings.collect()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A batch whose messages are larger than all buffers between server and client.
pub async fn post_much(server: &Server, sensor: impl Fn(u32) -> String) {
    let mut batch = long_readings(0, 5000);
    for (number, reading) in (0..).zip(batch.as_array_mut().unwrap()) {
        reading["sensor_id"] = sensor(number).into();
    }
    let post = client()
        .post(server.url("/api/ingest"))
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(gzip(batch.to_string().as_bytes()));
    assert_eq!(post.send().await.unwrap().status(), 200);
}

pub fn subscribe(topics: &[&str]) -> Value {
    json!({"type": "subscribe", "topics": topics})
}

/// The command of a client that comes back and has seen everything up to `since`.
pub fn resume(topics: &[&str], since: &Value) -> Value {
    json!({"type": "subscribe", "topics": topics, "since": since})
}

/// Sends a command and gives its answer back.
pub async fn ask(socket: &mut Socket, command: &Value) -> Value {
    socket.send(command).await;
    socket.next().await
}

impl Socket {
    /// The next `count` messages.
    pub async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut messages = Vec::new();
        while messages.len() < count {
            messages.push(self.next().await);
        }
        messages
    }
}

impl Server {
    /// A connection whose peer cannot send much before it reads.
    pub async fn narrow(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// What a counter of `/metrics` stands at.
    pub async fn counter(&self, name: &str) -> u64 {
        let page = self.get("/metrics").await.text().await.unwrap();
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("{name} is not in {page}"));
        value.parse().unwrap()
    }

    /// Looks at `/ws/stats` until so many are connected.
    pub async fn connected(&self, count: usize) {
        self.stats_become(|stats| stats["active_connections"] == count)
            .await;
    }

    /// Looks at `/ws/stats` until they are as they must be.
    pub async fn stats_become(&self, wanted: impl Fn(&Value) -> bool) {
        let mut looks = interval(Duration::from_millis(20));
        let mut last = Value::Null;
        let found = async {
            while !wanted(&last) {
                looks.tick().await;
                last = self.get_json("/ws/stats").await;
            }
        };
        let found = timeout(PATIENCE, found).await;
        assert!(found.is_ok(), "they stay {last}");
    }

    /// A stream of server-sent events of which nothing is read yet.
    pub async fn stream(&self, query: &str) -> Events {
        Events::open(&self.url(&format!("/api/events{query}")), &[]).await
    }

    /// A stream of server-sent events past the answer to its subscription.
    pub async fn follow(&self, query: &str) -> Events {
        let mut events = self.stream(query).await;
        assert!(events.block().await.unwrap().starts_with("retry: "));
        assert_eq!(events.next().await.data["type"], "connection");
        assert_eq!(events.next().await.data["type"], "subscribed");
        events
    }
}

/// A stream of server-sent events.
pub struct Events {
    pub response: reqwest::Response,
    received: Vec<u8>,
}

/// One event, of which only these fields are ever used.
#[derive(Debug, PartialEq)]
pub struct Event {
    pub id: Option<String>,
    pub data: Value,
}

impl Events {
    pub async fn open(url: &str, headers: &[(&str, &str)]) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .build()
            .unwrap();
        let mut request = client.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = timeout(PATIENCE, request.send()).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        Self {
            response,
            received: Vec::new(),
        }
    }

    /// The lines up to the next empty one; `None` when the stream has come to its proper end.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            let end = self.received.windows(2).position(|two| two == b"\n\n");
            if let Some(end) = end {
                let block: Vec<u8> = self.received.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8(block).unwrap());
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await;
            let Some(chunk) = chunk.expect("an event in time").unwrap() else {
                assert_eq!(self.received, b"", "half an event");
                return None;
            };
            self.received.extend_from_slice(&chunk);
        }
    }

    /// The next event; comments in between are skipped, as browsers do.
    pub async fn next(&mut self) -> Event {
        let next = async {
            loop {
                let block = self.block().await.expect("an open stream");
                if block != ":" {
                    return block;
                }
            }
        };
        let block = timeout(PATIENCE, next).await.expect("an event in time");
        let (id, data) = match block
            .strip_prefix("id: ")
            .and_then(|it| it.split_once('\n'))
        {
            Some((id, data)) => (Some(id.to_owned()), data),
            None => (None, &*block),
        };
        let data = data.strip_prefix("data: ");
        let data = data.unwrap_or_else(|| panic!("no event: {block:?}"));
        Event {
            id,
            data: serde_json::from_str(data).unwrap(),
        }
    }

    /// The data of the next `count` events.
    pub async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut messages = Vec::new();
        while messages.len() < count {
            messages.push(self.next().await.data);
        }
        messages
    }
}

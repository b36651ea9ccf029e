//! The real server on a free port, started and ended like people do.

use super::{Ended, Events, PATIENCE, Socket, client, command};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{interval, timeout};

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

pub fn database_url(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("iaqverse.db").display())
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

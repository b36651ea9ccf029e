//! A Postgres of a test's own, which it may stop and start as it likes.

use rand::Rng;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// Ports are taken at random from here: below those that systems give to clients.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// See the module; it ends with the test.
pub struct Cluster {
    folder: TempDir,
    port: u16,
}

/// The folder of Postgres's programs: Debian keeps those of each version where no PATH leads.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let versions = versions
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path().join("bin"));
    let newest = versions.filter(|bin| bin.join("initdb").exists()).max();
    newest.unwrap_or_default()
}

/// Runs a program of Postgres, which refuses to be root.
fn run(program: &str, arguments: &[&str]) -> Output {
    let program = programs().join(program);
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null());
    let run = command.output();
    run.expect("PostgreSQL is needed: scripts/install-test-tools installs it")
}

fn is_root() -> bool {
    Path::new("/proc/self").metadata().unwrap().uid() == 0
}

impl Cluster {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        if is_root() {
            let changed = Command::new("chown")
                .arg("postgres")
                .arg(folder.path())
                .status();
            assert!(changed.unwrap().success(), "there is a user postgres");
        }
        let mut cluster = Self { folder, port: 0 };
        let data = cluster.data();
        let arguments = [
            "-D",
            &data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ];
        let made = run("initdb", &arguments);
        assert!(made.status.success(), "{made:?}");
        // Somebody else may have the port.
        for _ in 0..10 {
            cluster.port = rand::rng().random_range(PORTS);
            if cluster.try_start().is_ok() {
                return cluster;
            }
        }
        panic!("no Postgres starts: {:?}", cluster.try_start());
    }

    fn data(&self) -> String {
        self.folder.path().join("data").to_str().unwrap().to_owned()
    }

    fn try_start(&self) -> Result<(), Output> {
        let options = format!(
            "-p {} -h 127.0.0.1 -k '' -F -c max_connections=30 -c superuser_reserved_connections=1",
            self.port
        );
        let log = format!("{}/server.log", self.data());
        let arguments = [
            "-D",
            &self.data(),
            "-l",
            &log,
            "-w",
            "-t",
            "60",
            "-o",
            &options,
            "start",
        ];
        let started = run("pg_ctl", &arguments);
        if started.status.success() {
            Ok(())
        } else {
            Err(started)
        }
    }

    /// Ends it as if it had crashed.
    pub fn stop(&self) {
        let arguments = ["-D", &self.data(), "-m", "immediate", "-w", "stop"];
        let stopped = run("pg_ctl", &arguments);
        assert!(stopped.status.success(), "{stopped:?}");
    }

    /// Starts it again on the same port.
    pub fn start_again(&self) {
        self.try_start().unwrap();
    }

    /// Sends a signal to every process of it.
    pub fn signal(&self, name: &str) {
        let pid = std::fs::read_to_string(format!("{}/postmaster.pid", self.data())).unwrap();
        let postmaster = pid.lines().next().unwrap();
        let children = format!("/proc/{postmaster}/task/{postmaster}/children");
        let children = std::fs::read_to_string(children).unwrap();
        let all = std::iter::once(postmaster).chain(children.split_whitespace());
        // It fails for one that has just ended, which needs no signal.
        drop(
            Command::new("kill")
                .args(["-s", name])
                .args(all)
                .output()
                .unwrap(),
        );
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A database with nothing in it; its URL.
    pub async fn new_database(&self) -> String {
        let name = format!("test{:016x}", rand::random::<u64>());
        let mut connection = self.connect().await.unwrap();
        sqlx::query(AssertSqlSafe(format!("create database {name}")))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        self.url(&name)
    }

    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&self.url("postgres")).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if Path::new(&format!("{}/postmaster.pid", self.data())).exists() {
            self.signal("CONT");
        }
        let arguments = ["-D", &self.data(), "-m", "immediate", "-w", "stop"];
        // Fails when it was stopped already.
        drop(run("pg_ctl", &arguments));
    }
}

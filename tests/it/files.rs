//! The files of the database under a running server: removed, replaced, moved, linked; and who may
//! read what a server writes.

use crate::harness::{Run, Server, client, command, problem, reading};
use crate::ledger::{Ledger, check_integrity, readiness};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const GONE: &str = "is not in its place any more";
const REPLACED: &str = "another file is in the place of the database";
const LINKED: &str = "has a second name";
const BESIDE: &str = "a file beside the database (-wal, -shm) was removed or replaced";
/// Within a second, on a machine that does other things as well.
const NOTICED_AFTER_MAX: Duration = Duration::from_secs(3);

/// A database in a folder of its own below that of the server, so that the folder can be renamed.
struct Stage {
    there: tempfile::TempDir,
    server: Server,
    ledger: Ledger,
}

impl Stage {
    async fn new() -> Self {
        let there = tempfile::tempdir().unwrap();
        let folder = there.path().join("data");
        fs::create_dir(&folder).unwrap();
        let url = format!("sqlite://{}", folder.join("iaqverse.db").display());
        let server = Server::with(&[("DATABASE_URL", &url), ("IAQ_LOG", "info")]);
        let ledger = Ledger::default();
        for _ in 0..3 {
            ledger.post_until_taken(&server).await;
        }
        // What was settled is read from the disk.
        server.terminate();
        let (content, server) = server.ended_and_started_again().await;
        assert!(content);
        Self {
            there,
            server,
            ledger,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.there.path().join("data").join(name)
    }

    fn aside(&self) -> PathBuf {
        self.there.path().join("aside")
    }

    /// Nobody asks, and the log says it; then nothing is acknowledged and everybody is told why.
    async fn check_noticed(&self, reason: &str) {
        let begun = Instant::now();
        let line = self.server.logged(reason);
        assert!(begun.elapsed() < NOTICED_AFTER_MAX, "{:?}", begun.elapsed());
        assert!(line.contains("ERROR"), "{line}");
        self.check_refuses(reason).await;
    }

    async fn check_refuses(&self, reason: &str) {
        for _ in 0..3 {
            let refused = self.server.post(&reading(json!({"CO2": 700}))).await;
            problem(refused, 503, "store_unavailable").await;
        }
        let key = client().post(self.server.url("/api/device-keys"));
        let key = key.json(&json!({"sensors": ["*"]})).send().await.unwrap();
        assert_eq!(key.status(), 503);
        let (status, told) = readiness(&self.server).await;
        assert_eq!(status, 503);
        assert!(told.as_deref().unwrap().contains(reason), "{told:?}");
        let health = self.server.get_json("/health").await;
        assert_eq!(health["status"], "degraded");
        // What was stored is still shown, out of the files that are open.
        let history = self
            .server
            .get_json("/api/iaq/data?start=2023-01-01T00:00:00Z&raw=true&limit=10")
            .await;
        assert!(!history.as_array().unwrap().is_empty());
        self.check_said_once(reason);
    }

    fn check_said_once(&self, reason: &str) {
        let repeated = self.server.log_so_far();
        let is_repeated = |line: &&String| line.contains(reason);
        let repeated: Vec<_> = repeated.iter().filter(is_repeated).collect();
        assert!(repeated.is_empty(), "said again: {repeated:?}");
    }

    async fn check_goes_on(&self) {
        self.ledger.post_until_taken(&self.server).await;
        assert_eq!(readiness(&self.server).await, (200, None));
        self.ledger.check(&self.server).await;
        check_integrity(&self.file("iaqverse.db")).await;
    }
}

#[tokio::test]
async fn a_database_that_is_removed_takes_nothing_more() {
    let stage = Stage::new().await;
    fs::remove_file(stage.file("iaqverse.db")).unwrap();
    stage.check_noticed(GONE).await;
    // Another one in its place changes nothing, but what is told.
    fs::write(stage.file("iaqverse.db"), "").unwrap();
    stage.check_told(REPLACED).await;
}

#[tokio::test]
async fn nothing_is_acknowledged_between_the_change_and_the_notice() {
    let stage = Stage::new().await;
    fs::remove_file(stage.file("iaqverse.db")).unwrap();
    let refused = stage.server.post(&reading(json!({"CO2": 700}))).await;
    problem(refused, 503, "store_unavailable").await;
    let ready = client().get(stage.server.url("/health/ready"));
    assert_eq!(ready.send().await.unwrap().status(), 503);
}

#[tokio::test]
async fn a_database_that_is_replaced_takes_nothing_until_it_is_back() {
    let stage = Stage::new().await;
    let (file, aside) = (stage.file("iaqverse.db"), stage.aside());
    fs::rename(&file, &aside).unwrap();
    fs::copy(&aside, &file).unwrap();
    stage.check_told(REPLACED).await;
    fs::rename(&aside, &file).unwrap();
    stage.check_goes_on().await;
}

#[rstest]
#[case::the_file(&["iaqverse.db"], GONE)]
#[case::all_of_them(&["iaqverse.db", "iaqverse.db-wal", "iaqverse.db-shm"], GONE)]
#[case::the_log(&["iaqverse.db-wal"], BESIDE)]
#[case::the_index(&["iaqverse.db-shm"], BESIDE)]
#[tokio::test]
async fn files_that_are_moved_are_used_again_when_they_are_back(
    #[case] names: &[&str],
    #[case] reason: &str,
) {
    let stage = Stage::new().await;
    fs::create_dir(stage.aside()).unwrap();
    for name in names {
        fs::rename(stage.file(name), stage.aside().join(name)).unwrap();
    }
    stage.check_noticed(reason).await;
    for name in names {
        fs::rename(stage.aside().join(name), stage.file(name)).unwrap();
    }
    stage.check_goes_on().await;
}

#[rstest]
#[tokio::test]
async fn a_file_beside_the_database_that_is_removed_or_replaced_stops_it(
    #[values("iaqverse.db-wal", "iaqverse.db-shm")] name: &str,
    #[values(false, true)] is_replaced: bool,
) {
    let stage = Stage::new().await;
    fs::remove_file(stage.file(name)).unwrap();
    if is_replaced {
        fs::write(stage.file(name), "").unwrap();
    }
    stage.check_noticed(BESIDE).await;
    // What was acknowledged is in the files that are open, and comes to the main file at the stop.
    stage.server.terminate();
    let (_, server) = stage.server.ended_and_started_again().await;
    stage.ledger.post_until_taken(&server).await;
    stage.ledger.check(&server).await;
}

#[tokio::test]
async fn a_folder_that_is_renamed_is_used_again_when_it_has_its_name() {
    let stage = Stage::new().await;
    let folder = stage.there.path().join("data");
    fs::rename(&folder, stage.aside()).unwrap();
    stage.check_noticed(GONE).await;
    fs::rename(stage.aside(), &folder).unwrap();
    stage.check_goes_on().await;
}

#[tokio::test]
async fn a_second_name_stops_it_until_it_is_removed() {
    let stage = Stage::new().await;
    fs::hard_link(stage.file("iaqverse.db"), stage.aside()).unwrap();
    stage.check_noticed(LINKED).await;
    fs::remove_file(stage.aside()).unwrap();
    stage.check_goes_on().await;
}

impl Stage {
    /// Waits until it is not ready for this reason, where another one may be told before it.
    async fn check_told(&self, reason: &str) {
        let begun = Instant::now();
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        while !readiness(&self.server)
            .await
            .1
            .is_some_and(|told| told.contains(reason))
        {
            assert!(begun.elapsed() < NOTICED_AFTER_MAX, "it is not told");
            looks.tick().await;
        }
    }

    /// A second server on another name of the database does not start, and says why.
    fn check_second_refused(path: &Path, why: &str) {
        let url = format!("sqlite://{}", path.display());
        let Err(ended) = Server::attempt(&[("DATABASE_URL", &url)]) else {
            panic!("a second server runs on {}", path.display());
        };
        assert_eq!(ended.code, Some(1));
        assert!(ended.logged.contains(why), "{}", ended.logged);
    }
}

#[tokio::test]
async fn a_second_server_is_refused_by_whatever_name() {
    let stage = Stage::new().await;
    let file = stage.file("iaqverse.db");
    let link = stage.aside();
    symlink(&file, &link).unwrap();
    let folder = stage.there.path().join("folder");
    symlink(stage.there.path().join("data"), &folder).unwrap();
    let spelling = stage.file("../data/./iaqverse.db");
    for path in [&file, &link, &folder.join("iaqverse.db"), &spelling] {
        Stage::check_second_refused(path, "another process has");
    }
    let hard = stage.there.path().join("hard.db");
    fs::hard_link(&file, &hard).unwrap();
    Stage::check_second_refused(&hard, "open by another name");
    fs::remove_file(&hard).unwrap();
    fs::rename(&file, &hard).unwrap();
    Stage::check_second_refused(&hard, "open by another name");
    fs::rename(&hard, &file).unwrap();
    stage.check_goes_on().await;
}

#[tokio::test]
async fn no_server_starts_on_a_file_with_two_names() {
    let stage = Stage::new().await;
    let file = stage.file("iaqverse.db");
    stage.server.terminate();
    let Stage { server, there, .. } = stage;
    assert!(server.ended_well().await);
    fs::hard_link(&file, there.path().join("hard.db")).unwrap();
    let url = format!("sqlite://{}", file.display());
    let ended = Server::attempt(&[("DATABASE_URL", &url)]).err().unwrap();
    assert!(ended.logged.contains(LINKED), "{}", ended.logged);
}

/// The binary with a umask of its own.
fn with_umask(umask: &str, arguments: &[&str]) -> Command {
    let plain = command();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
        .arg(plain.get_program())
        .args(arguments);
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// Everything below a folder, with its mode.
fn modes(folder: &Path, found: &mut Vec<(String, bool, u32)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = path.metadata().unwrap().mode() & 0o777;
        found.push((path.display().to_string(), path.is_dir(), mode));
        if path.is_dir() {
            modes(&path, found);
        }
    }
}

#[rstest]
#[tokio::test]
async fn what_is_written_is_private_whatever_the_umask(#[values("000", "022")] umask: &str) {
    let there = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", there.path().join("iaqverse.db").display());
    let path = |name: &str| there.path().join(name).display().to_string();
    let models = path("models/of/rooms");
    let run = |arguments: &[&str]| {
        let mut command = with_umask(umask, arguments);
        command.env("DATABASE_URL", &url);
        command
    };
    let mut serve = run(&[]);
    serve
        .env("IAQ_BIND", "127.0.0.1:0")
        .env("IAQ_PAGES_DIR", path("pages"))
        .env("IAQ_MODELS_DIR", &models);
    let server = Run::of(&mut serve);
    let line = server.logged("listening on http://");
    let (_, address) = line.split_once("http://").unwrap();
    let address = address.split(['"', ' ', '\u{1b}']).next().unwrap().trim();
    let posted = client()
        .post(format!("http://{address}/api/ingest"))
        .json(&reading(json!({"CO2": 700})));
    assert_eq!(posted.send().await.unwrap().status(), 200);
    let model = client()
        .put(format!(
            "http://{address}/api/models?enseigne=Maison&salle=Bureau"
        ))
        .header("content-type", "model/gltf-binary")
        .body(crate::glb::triangle());
    let status = model.send().await.unwrap().status();
    assert!(status.is_success(), "{status}");
    for arguments in [
        ["backup", &path("backup.db")].as_slice(),
        &["export", "--output", &path("readings.csv")],
    ] {
        let ended = Run::of(&mut run(arguments)).ended();
        assert_eq!(ended.code, Some(0), "{}", ended.logged);
    }
    let mut found = Vec::new();
    modes(there.path(), &mut found);
    let names = found.iter().map(|(name, ..)| name.as_str());
    let names: Vec<_> = names.collect();
    for expected in [
        "iaqverse.db-wal",
        "iaqverse.db-shm",
        "iaqverse.db.lock",
        ".glb",
    ] {
        assert!(
            names.iter().any(|name| name.ends_with(expected)),
            "{names:?}"
        );
    }
    for (name, is_folder, mode) in &found {
        assert_eq!(*mode, if *is_folder { 0o700 } else { 0o600 }, "{name}");
    }
}

#[tokio::test]
async fn what_others_can_read_is_said_and_left_as_it_is() {
    let there = tempfile::tempdir().unwrap();
    fs::set_permissions(there.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = there.path().join("iaqverse.db");
    let url = format!("sqlite://{}", file.display());
    let settings = [("DATABASE_URL", url.as_str()), ("IAQ_LOG", "info")];
    let server = Server::with(&settings);
    server.terminate();
    assert!(server.ended_well().await);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let mut serve = command();
    serve
        .envs(settings)
        .env("IAQ_BIND", "127.0.0.1:0")
        .env("IAQ_MODELS_DIR", there.path().join("models"));
    let line = Run::of(&mut serve).logged("everybody on this machine can read it");
    assert!(line.contains("iaqverse.db"), "{line}");
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o644);
}

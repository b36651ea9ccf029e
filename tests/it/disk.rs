//! A disk below the server that fails on request: `shims/disk.c`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

pub const EIO: u64 = 5;
pub const ENOSPC: u64 = 28;

const WRITES_AND_SYNCS: u64 = 3;
/// `struct control` of the shim: the numbers of its fields.
const OPERATIONS: u64 = 0;
const FAIL_FROM: u64 = 1;
const FAIL_COUNT: u64 = 2;
const ERROR: u64 = 3;
const KINDS: u64 = 4;
const ROOM: u64 = 5;
const FAILED: u64 = 6;
const READ_ONLY: u64 = 7;

/// See the module. It has a folder for a database, and one for what a power cut would leave of it.
pub struct Disk {
    folder: TempDir,
    control: File,
    cuts: u32,
}

impl Disk {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/shims/disk.c");
        let compiled = Command::new("cc")
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .arg(folder.path().join("disk.so"))
            .args([source, "-ldl", "-lpthread"])
            .output()
            .expect("gcc is needed: scripts/install-test-tools installs it");
        assert!(compiled.status.success(), "{compiled:?}");
        let control = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(folder.path().join("control"))
            .unwrap();
        control.set_len(4096).unwrap();
        let disk = Self {
            folder,
            control,
            cuts: 0,
        };
        std::fs::create_dir_all(disk.current()).unwrap();
        std::fs::create_dir_all(disk.shadow()).unwrap();
        disk.heal();
        disk
    }

    fn current(&self) -> PathBuf {
        self.folder.path().join(format!("disk-{}", self.cuts))
    }

    fn shadow(&self) -> PathBuf {
        self.folder.path().join(format!("shadow-{}", self.cuts))
    }

    pub fn database(&self) -> PathBuf {
        self.current().join("iaqverse.db")
    }

    pub fn database_url(&self) -> String {
        format!("sqlite://{}", self.database().display())
    }

    /// Settings of a server whose database is on this disk.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        vec![
            ("DATABASE_URL", self.database_url()),
            ("IAQ_LOG", "info".to_owned()),
            ("LD_PRELOAD", text(&self.folder.path().join("disk.so"))),
            ("DISK_FOLDER", text(&self.current().canonicalize().unwrap())),
            ("DISK_CONTROL", text(&self.folder.path().join("control"))),
            ("DISK_SHADOW", text(&self.shadow())),
        ]
    }

    /// What is not on the disk for sure is lost. No server may be running.
    pub fn cut_power(&mut self) {
        let left = self.shadow();
        self.cuts += 1;
        std::fs::rename(left, self.current()).unwrap();
        std::fs::create_dir(self.shadow()).unwrap();
        for file in std::fs::read_dir(self.current()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), self.shadow().join(file.file_name())).unwrap();
        }
    }

    /// From the `first` write or sync after this on, `count` of them fail with `error`.
    pub fn fail(&self, first: u64, count: u64, error: u64) {
        self.set(FAIL_FROM, 0);
        self.set(FAIL_COUNT, count);
        self.set(ERROR, error);
        self.set(FAIL_FROM, self.get(OPERATIONS) + first);
    }

    /// Lets files grow by no more than so many bytes.
    pub fn leave_room(&self, bytes: u64) {
        self.set(ROOM, bytes);
    }

    pub fn make_read_only(&self) {
        self.set(READ_ONLY, 1);
    }

    /// Nothing fails from now on.
    pub fn heal(&self) {
        self.set(FAIL_FROM, 0);
        self.set(KINDS, WRITES_AND_SYNCS);
        self.set(ROOM, u64::MAX);
        self.set(READ_ONLY, 0);
    }

    /// How many writes and syncs have failed.
    pub fn failed(&self) -> u64 {
        self.get(FAILED)
    }

    /// How many writes and syncs there were.
    pub fn operations(&self) -> u64 {
        self.get(OPERATIONS)
    }

    fn set(&self, field: u64, value: u64) {
        self.control
            .write_all_at(&value.to_ne_bytes(), 8 * field)
            .unwrap();
    }

    fn get(&self, field: u64) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, 8 * field).unwrap();
        u64::from_ne_bytes(bytes)
    }
}

/// Settings as [`crate::harness::Server::attempt`] takes them.
pub fn borrowed<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    let pairs = settings.iter().map(|(name, value)| (*name, value.as_str()));
    pairs.collect()
}

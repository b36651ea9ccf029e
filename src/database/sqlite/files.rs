//! Whether the files of a database are still those that were opened.
//!
//! SQLite goes on writing to a file that was removed, renamed or replaced, and nobody finds what it
//! wrote there after the next start.

use super::beside;
use crate::database::StoreError;
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub(super) const GONE: &str = "the database file is not in its place any more: move it back if it \
    was moved, else restart the server";
pub(super) const REPLACED: &str = "another file is in the place of the database: put back the one \
    that was there, or restart the server";
pub(super) const LINKED: &str = "the database file has a second name (a hard link), by which another \
    program can damage it: remove that name";
pub(super) const BESIDE_CHANGED: &str = "a file beside the database (-wal, -shm) was removed or \
    replaced: put back the one that was there, or restart the server";
const UNSEEN: &str = "the files of the database cannot be looked at";

/// What a file is whatever it is called, for as long as somebody has it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// The files of an opened database, by their names.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    main: Identity,
    /// Those that stand beside it; none where it has none.
    beside: Vec<(PathBuf, Identity)>,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

impl Files {
    /// Those that are there now. A connection must be open that has read, so that all are there, and
    /// must stay open as long as this is asked.
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        let look = |path: &Path| match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(Identity::of(&metadata))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::file(format!("open {}", path.display()))(error)),
        };
        let main = look(path)?.ok_or_else(|| changed(path, GONE))?;
        let mut others = Vec::with_capacity(2);
        for suffix in ["-wal", "-shm"] {
            let path = beside(path, suffix);
            others.extend(look(&path)?.map(|identity| (path, identity)));
        }
        Ok(Self {
            path: path.to_owned(),
            main,
            beside: others,
        })
    }

    /// Refuses when they are not the ones of before. When they are again, nothing is lost: what was
    /// written in between went to them.
    pub(super) fn require(&self) -> Result<(), StoreError> {
        let found = self.look(&self.path, GONE)?;
        if Identity::of(&found) != self.main {
            return Err(changed(&self.path, REPLACED));
        }
        require_one_name(&self.path, &found)?;
        for (path, identity) in &self.beside {
            let found = self.look(path, BESIDE_CHANGED)?;
            if Identity::of(&found) != *identity {
                return Err(changed(&self.path, BESIDE_CHANGED));
            }
        }
        Ok(())
    }

    fn look(&self, path: &Path, gone: &'static str) -> Result<Metadata, StoreError> {
        std::fs::metadata(path).map_err(|error: io::Error| {
            let is_gone = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
            changed(&self.path, if is_gone { gone } else { UNSEEN })
        })
    }
}

/// Refuses a file that has another name: who opens it by that one has another `-wal` beside it and
/// other locks, and so damages it (sqlite.org/howtocorrupt.html, 2.5).
pub(super) fn require_one_name(path: &Path, metadata: &Metadata) -> Result<(), StoreError> {
    if metadata.nlink() > 1 {
        return Err(changed(path, LINKED));
    }
    Ok(())
}

fn changed(path: &Path, reason: &'static str) -> StoreError {
    StoreError::FilesChanged {
        path: path.to_owned(),
        reason,
    }
}

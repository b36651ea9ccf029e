//! The file that says that a database has an owner.

use crate::database::StoreError;
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How often a lock file may disappear between opening and locking it, each time because another
/// owner ended just then.
const ATTEMPTS_MAX: u32 = 100;

/// A lock that the system releases when the process ends, however it ends. The file is removed with
/// the lock; one that is left behind by a crash means nothing.
#[derive(Debug)]
pub(super) struct OwnerLock {
    path: PathBuf,
    _file: File,
}

impl OwnerLock {
    /// Becomes the owner of `database`, which need not be there yet.
    ///
    /// SQLite's own locks are on the database file itself, and closing any other handle to it would
    /// release them; that is why this one is on a file of its own.
    pub(super) fn take(database: &Path) -> Result<Self, StoreError> {
        let path = super::beside(database, ".lock");
        let action = || format!("lock {}", path.display());
        for _ in 0..ATTEMPTS_MAX {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(StoreError::file(action()))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::InUse(format!(
                        "another process has {} open: only one server can write to a database",
                        database.display()
                    )));
                }
                Err(TryLockError::Error(error)) => return Err(StoreError::file(action())(error)),
            }
            // The owner before may have removed the file after it was opened here.
            let locked = file.metadata().map_err(StoreError::file(action()))?;
            if std::fs::metadata(&path).is_ok_and(|named| named.ino() == locked.ino()) {
                return Ok(Self { path, _file: file });
            }
        }
        Err(StoreError::InUse(format!(
            "{} changes hands all the time",
            path.display()
        )))
    }
}

impl Drop for OwnerLock {
    fn drop(&mut self) {
        // Before the lock goes with the file's handle, so that it is never another owner's.
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "the lock file stays");
        }
    }
}

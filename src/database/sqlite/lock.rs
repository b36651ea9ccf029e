//! The file that says that a database has an owner.

use super::files::require_one_name;
use crate::database::StoreError;
use crate::private_files;
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
    /// The database itself, once it is there: another name of it has another lock file.
    database: Option<File>,
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
            let file = private_files::options()
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
                return Ok(Self {
                    path,
                    _file: file,
                    database: None,
                });
            }
        }
        Err(StoreError::InUse(format!(
            "{} changes hands all the time",
            path.display()
        )))
    }

    /// Becomes the owner of the file as well, whatever it is called; makes it when it is not there.
    ///
    /// This lock (`flock`) and those of SQLite (`fcntl`) know nothing of each other. The handle stays
    /// open until every connection is closed: closing it releases those of SQLite.
    pub(super) fn hold(&mut self, database: &Path) -> Result<(), StoreError> {
        let action = || format!("lock {}", database.display());
        let file = private_files::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(database)
            .map_err(StoreError::file(action()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse(format!(
                    "another process has {} open by another name: only one server can write to a \
                     database",
                    database.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::file(action())(error)),
        }
        let metadata = file.metadata().map_err(StoreError::file(action()))?;
        require_one_name(database, &metadata)?;
        self.database = Some(file);
        Ok(())
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

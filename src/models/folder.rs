//! The folder that holds the files, and nothing else of this product.

use super::id::ModelId;
use crate::private_files;
use rustc_hash::FxHashSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a finished file ends with.
const FINISHED: &str = ".glb";
/// What a file that is being written ends with.
const UNFINISHED: &str = ".part";

/// One server's folder. Cheap to clone. All methods wait for the disk.
#[derive(Debug, Clone)]
pub(super) struct Folder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// The folder itself, locked for as long as the process lives.
    handle: File,
    next: AtomicU64,
}

/// Why a server cannot start with a folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{} cannot be used", .path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error("{} is used by another server", .0.display())]
    InUse(PathBuf),
}

/// A file that is being written; removed when it is dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
    is_there: bool,
}

impl Folder {
    /// Makes the folder when it is missing and becomes its only user.
    pub(super) fn open(path: &Path) -> Result<Self, FolderError> {
        let unusable = |source| FolderError::Unusable {
            path: path.to_owned(),
            source,
        };
        private_files::create_folder(path).map_err(unusable)?;
        private_files::warn_if_shared(path);
        let handle = File::open(path).map_err(unusable)?;
        match handle.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        Ok(Self(Arc::new(Shared {
            path: path.to_owned(),
            handle,
            next: AtomicU64::new(0),
        })))
    }

    pub(super) fn path_of(&self, id: ModelId) -> PathBuf {
        self.0.path.join(format!("{id}{FINISHED}"))
    }

    /// A new file to write and read.
    pub(super) fn create(&self) -> io::Result<(Temporary, File)> {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let path = self.0.path.join(format!("{number}{UNFINISHED}"));
        let mut options = private_files::options();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        let is_there = true;
        Ok((Temporary { path, is_there }, file))
    }

    /// Gives a file that is on the disk its name for good, and makes the name durable.
    pub(super) fn keep(&self, mut temporary: Temporary, id: ModelId) -> io::Result<()> {
        fs::rename(&temporary.path, self.path_of(id))?;
        temporary.is_there = false;
        self.0.handle.sync_all()
    }

    /// Removes a file; one that is not there is fine.
    pub(super) fn remove(&self, id: ModelId) {
        match fs::remove_file(self.path_of(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%id, %error, "the file of a model could not be removed");
            }
            _ => {}
        }
    }

    /// Removes what uploads and changes that were broken off have left behind, and says how many
    /// files that were. Whatever has no name of our making stays. No upload may be under way.
    pub(super) fn sweep(&self, known: &FxHashSet<ModelId>) -> io::Result<usize> {
        self.sweep_if(|name| is_unfinished(name) || is_unknown(name, known))
    }

    /// The same while uploads are under way. No change may be.
    pub(super) fn sweep_finished(&self, known: &FxHashSet<ModelId>) -> io::Result<usize> {
        self.sweep_if(|name| is_unknown(name, known))
    }

    fn sweep_if(&self, is_stray: impl Fn(&str) -> bool) -> io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.0.path)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(&is_stray) && entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn is_unfinished(name: &str) -> bool {
    let number = name.strip_suffix(UNFINISHED);
    number.is_some_and(|number| number.parse::<u64>().is_ok())
}

fn is_unknown(name: &str, known: &FxHashSet<ModelId>) -> bool {
    let id = name.strip_suffix(FINISHED).and_then(ModelId::parse);
    id.is_some_and(|id| !known.contains(&id))
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.is_there
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, "an unfinished file of a model could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn only_strays_of_our_making_are_swept() {
        let there = tempfile::tempdir().unwrap();
        let folder = Folder::open(there.path()).unwrap();
        let known = "0".repeat(32);
        let unknown = "1".repeat(32);
        for name in [
            format!("{known}.glb"),
            format!("{unknown}.glb"),
            "7.part".to_owned(),
            "holiday.glb".to_owned(),
            "notes.part".to_owned(),
        ] {
            fs::write(there.path().join(name), "x").unwrap();
        }
        let ids = FxHashSet::from_iter([ModelId::parse(&known).unwrap()]);
        assert_eq!(folder.sweep_finished(&ids).unwrap(), 1);
        assert_eq!(folder.sweep(&ids).unwrap(), 1);
        let left = [
            format!("{known}.glb"),
            "holiday.glb".into(),
            "notes.part".into(),
        ];
        assert_eq!(names(there.path()), left);
    }

    #[test]
    fn a_file_is_there_under_its_name_or_not_at_all() {
        let there = tempfile::tempdir().unwrap();
        let folder = Folder::open(&there.path().join("made/for/it")).unwrap();
        let path = there.path().join("made/for/it");
        let (dropped, _) = folder.create().unwrap();
        let (kept, _) = folder.create().unwrap();
        assert_eq!(names(&path), ["0.part", "1.part"]);
        drop(dropped);
        let id = ModelId::parse(&"a".repeat(32)).unwrap();
        folder.keep(kept, id).unwrap();
        assert_eq!(names(&path), [format!("{id}.glb")]);
        folder.remove(id);
        folder.remove(id);
        assert_eq!(names(&path), [""; 0]);
    }

    #[test]
    fn a_folder_has_one_user() {
        let there = tempfile::tempdir().unwrap();
        let folder = Folder::open(there.path()).unwrap();
        let second = Folder::open(there.path()).unwrap_err();
        assert!(matches!(second, FolderError::InUse(_)), "{second}");
        drop(folder);
        Folder::open(there.path()).unwrap();
    }
}

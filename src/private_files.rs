//! Files and folders that only the account of the server may read, whatever its umask.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// Of the mode of a file: everybody may read it.
const READ_BY_OTHERS: u32 = 0o004;
/// Of the mode of a folder: everybody may reach what is in it.
const REACHED_BY_OTHERS: u32 = 0o001;

/// How a file is opened that is nobody else's when this makes it. One that is there keeps its mode.
pub fn options() -> OpenOptions {
    let mut options = File::options();
    options.mode(FILE_MODE);
    options
}

/// Makes a folder and those it is in. What is there keeps its mode.
pub fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(FOLDER_MODE).create(path)
}

/// Says so when others can read what is there since an earlier time. It is not changed: somebody may
/// have wanted it.
pub fn warn_if_shared(path: &Path) {
    if is_shared(path) {
        tracing::warn!(
            path = %path.display(),
            "everybody on this machine can read it: take that right away with chmod o-rwx"
        );
    }
}

fn is_shared(path: &Path) -> bool {
    let mode = |path: &Path| path.metadata().map(|metadata| metadata.mode());
    let is_readable = mode(path).is_ok_and(|mode| mode & READ_BY_OTHERS != 0);
    let folder = path.parent().unwrap_or(path);
    is_readable && mode(folder).is_ok_and(|mode| mode & REACHED_BY_OTHERS != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn mode_of(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_private_and_what_is_there_keeps_its_mode() {
        let there = tempfile::tempdir().unwrap();
        let folder = there.path().join("made/for/it");
        create_folder(&folder).unwrap();
        assert_eq!(mode_of(&folder), 0o700);
        assert_eq!(mode_of(&there.path().join("made")), 0o700);
        let file = folder.join("file");
        options().write(true).create(true).open(&file).unwrap();
        assert_eq!(mode_of(&file), 0o600);
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        options().write(true).create(true).open(&file).unwrap();
        create_folder(&folder).unwrap();
        assert_eq!((mode_of(&file), mode_of(&folder)), (0o644, 0o755));
    }

    #[test]
    fn shared_is_what_everybody_can_read_and_reach() {
        let there = tempfile::tempdir().unwrap();
        let file = there.path().join("file");
        fs::write(&file, "x").unwrap();
        for (of_file, of_folder, expected) in [
            (0o644, 0o755, true),
            (0o644, 0o711, true),
            (0o644, 0o750, false),
            (0o640, 0o755, false),
        ] {
            fs::set_permissions(&file, Permissions::from_mode(of_file)).unwrap();
            fs::set_permissions(there.path(), Permissions::from_mode(of_folder)).unwrap();
            assert_eq!(is_shared(&file), expected, "{of_file:o} in {of_folder:o}");
        }
    }
}

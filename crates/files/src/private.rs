//! Whether a file is this user's alone.

use std::path::Path;

use crate::FileError;

/// Why others than this user, and the system's own, could have written the file at `path` or put
/// another in its place, in a sentence; nothing if they could not. What the directories on the way
/// allow counts too. On systems without owners and modes nothing is known.
///
/// # Errors
/// If it cannot be looked at.
#[cfg(unix)]
pub fn writable_by_others(path: &Path) -> Result<Option<String>, FileError> {
    use std::os::unix::fs::MetadataExt;

    let whole = path.canonicalize().map_err(FileError::io(path, "open"))?;
    let me = owner_of_new_files(&whole)?;
    for at in whole.ancestors() {
        let found = at.symlink_metadata().map_err(FileError::io(at, "look at"))?;
        let (owner, mode) = (found.uid(), found.mode());
        // In a directory with the sticky bit only the owner of a file can move it away.
        let shared = mode & 0o022 != 0 && !(found.is_dir() && mode & 0o1000 != 0);
        if at == whole && owner != me {
            return Ok(Some(format!("{} belongs to another user", at.display())));
        }
        if owner != me && owner != 0 {
            return Ok(Some(format!("the directory {} belongs to another user", at.display())));
        }
        if shared {
            return Ok(Some(format!("{} can be written by others (its mode is {:o})", at.display(), mode & 0o7777)));
        }
    }
    Ok(None)
}

/// Whose a file is that this process makes beside `path`: on a network's file systems that may be another
/// than this user.
#[cfg(unix)]
fn owner_of_new_files(path: &Path) -> Result<u32, FileError> {
    let file = crate::WholeFile::create(path)?;
    let made = file.metadata().map_err(FileError::io(path, "look at"))?;
    Ok(std::os::unix::fs::MetadataExt::uid(&made))
}

#[cfg(not(unix))]
pub fn writable_by_others(path: &Path) -> Result<Option<String>, FileError> {
    path.metadata().map(|_| None).map_err(FileError::io(path, "look at"))
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_ones_own_if_it_and_its_directories_are() {
        let directory = tempfile::tempdir().unwrap();
        let (inner, file) = (directory.path().join("inner"), directory.path().join("inner/file"));
        fs::create_dir(&inner).unwrap();
        fs::write(&file, "").unwrap();
        let said = |inner_mode, file_mode| {
            fs::set_permissions(&inner, fs::Permissions::from_mode(inner_mode)).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(file_mode)).unwrap();
            writable_by_others(&file).unwrap()
        };
        assert_eq!(said(0o755, 0o644), None);
        assert_eq!(said(0o1777, 0o600), None, "as /tmp");
        for (inner_mode, file_mode, what) in
            [(0o755, 0o664, "inner/file can"), (0o755, 0o646, "inner/file can"), (0o777, 0o600, "inner can")]
        {
            let told = said(inner_mode, file_mode).unwrap();
            assert!(told.contains(what), "{told}");
        }
    }
}

//! Whether only this user can read or write a file, so that it can be trusted or contain a secret.

use std::fs::Metadata;
use std::path::Path;

use crate::FileError;

/// Returns a reason if the metadata of a file or directory does not prove that only this user could have written it.
/// On a system without owners and modes nothing can prove it.
pub fn not_own(found: &Metadata) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        match (found.uid() == this_user(), found.mode() & 0o022) {
            (false, _) => Some("it belongs to another user"),
            (true, 0) => None,
            (true, _) => Some("others can write to it"),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = found;
        Some("this system does not report its owner")
    }
}

/// The current user. On a network file system that maps several users to one, the files do not belong to this user
/// alone, and are not accepted as such.
#[cfg(unix)]
fn this_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether users other than this one, and other than the system's own, could have written the file at `path` or
/// replaced it: the reason as a sentence; `None` if they could not. The permissions of the directories in the path are
/// checked too. On systems without owners and modes the answer is unknown.
///
/// # Errors
/// If its metadata cannot be read.
#[cfg(unix)]
pub fn writable_by_others(path: &Path) -> Result<Option<String>, FileError> {
    use std::os::unix::fs::MetadataExt;

    let whole = path.canonicalize().map_err(FileError::io(path, "open"))?;
    let me = this_user();
    for at in whole.ancestors() {
        let found = at.symlink_metadata().map_err(FileError::io(at, "read the metadata of"))?;
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

#[cfg(not(unix))]
pub fn writable_by_others(path: &Path) -> Result<Option<String>, FileError> {
    path.metadata().map(|_| None).map_err(FileError::io(path, "read the metadata of"))
}

/// How users other than its owner can access a key or token with this metadata, in a directory with that metadata:
/// `None` if they cannot. Judged by the modes alone, where a system has them; access control lists are not considered.
pub fn exposure(file: &Metadata, directory: Option<&Metadata>) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        judged(file.mode(), directory.map(MetadataExt::mode))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, directory);
        None
    }
}

#[cfg_attr(not(unix), allow(dead_code))]
fn judged(file: u32, directory: Option<u32>) -> Option<&'static str> {
    // In a directory with the sticky bit, such as /tmp, only its owner can move or remove a file.
    let replaceable = directory.is_some_and(|mode| mode & 0o002 != 0 && mode & 0o1000 == 0);
    match (file & 0o044 != 0, file & 0o022 != 0 || replaceable) {
        (true, true) => Some("others can read and replace it"),
        (true, false) => Some("others can read it"),
        (false, true) => Some("others can replace it"),
        (false, false) => None,
    }
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
            assert_eq!(not_own(&file.metadata().unwrap()).is_some(), file_mode & 0o022 != 0);
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

    #[test]
    fn modes_tell_who_can_get_at_a_file() {
        const READ: Option<&str> = Some("others can read it");
        const REPLACE: Option<&str> = Some("others can replace it");
        const BOTH: Option<&str> = Some("others can read and replace it");
        for (file, directory, expected) in [
            (0o100_600, Some(0o40_700), None),
            (0o100_400, Some(0o40_755), None),
            (0o100_600, None, None),
            (0o100_640, Some(0o40_700), READ),
            (0o100_604, Some(0o40_700), READ),
            (0o100_620, Some(0o40_700), REPLACE),
            (0o100_602, Some(0o40_700), REPLACE),
            (0o100_666, Some(0o40_755), BOTH),
            (0o100_600, Some(0o40_777), REPLACE),
            (0o100_600, Some(0o41_777), None),
            (0o100_644, Some(0o40_777), BOTH),
        ] {
            assert_eq!(judged(file, directory), expected, "{file:o} in {directory:?}");
        }
    }
}

//! Directories that are removed when they are no longer needed.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::beneath::Whose;
use crate::whole::{is_partial_of, new_partial_directory};
use crate::{FileError, Root, not_own, sweep};

/// A directory that only its user can enter, outside any release. It is removed when its value is dropped, or, if the
/// process was killed, by the next process that makes such a directory in the same place: its name is always that of
/// an incomplete directory (see [`sweep`]).
#[derive(Debug)]
pub struct Scratch {
    place: Root,
    partial: OsString,
    path: PathBuf,
    /// Held while the directory exists, so that no other process removes it.
    _lock: File,
}

impl Scratch {
    /// Makes a new one in the directory `place`, which a user named; those for the same `purpose` that killed
    /// processes of this user left there are removed.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(place: &Path, purpose: &str) -> Result<Self, FileError> {
        let io = |error| FileError::io(place, "make a directory in")(error);
        let root = Root::open(&place.canonicalize().map_err(io)?)?;
        for (name, _) in root.list()? {
            if is_partial_of(&name, purpose)
                && root.path().join(&name).symlink_metadata().is_ok_and(|found| not_own(&found).is_none())
            {
                // If one cannot be removed now, the next process tries again.
                let _ = sweep(&root, &name);
            }
        }
        let made = new_partial_directory(root.directory_itself(), purpose.as_ref(), Whose::Owner).map_err(io)?;
        let ((_, lock), partial) = made;
        Ok(Self { path: root.path().join(&partial), place: root, partial, _lock: lock })
    }

    /// Its absolute path, without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, with everything in it.
    ///
    /// # Errors
    /// If the system cannot remove it.
    pub fn close(self) -> Result<(), FileError> {
        self.remove().map_err(FileError::io(&self.path, "remove"))
    }

    fn remove(&self) -> std::io::Result<()> {
        self.place.directory_itself().remove(&self.partial)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is removed by the next process.
        let _ = self.remove();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_the_dead_leave_is_swept_and_what_the_living_keep_is_not() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let dead = ".work.0123456789abcdef.retrace-partial";
        fs::create_dir_all(at(dead).join("job/1")).unwrap();
        fs::write(at(dead).join("job/1/data"), "rows").unwrap();
        // One for another purpose, one that others can write, a link, and one with only a similar name.
        let stay = [
            ".workers.0123456789abcdef.retrace-partial",
            ".work.x.0123456789abcdef.retrace-partial",
            ".work.1123456789abcdef.retrace-partial",
            ".work.0123456789abcdeg.retrace-partial",
            "work.0123456789abcdef.retrace-partial",
        ];
        for name in stay {
            fs::create_dir(at(name)).unwrap();
        }
        fs::set_permissions(at(stay[2]), fs::Permissions::from_mode(0o777)).unwrap();
        fs::create_dir(at("outside")).unwrap();
        let link = ".work.2123456789abcdef.retrace-partial";
        std::os::unix::fs::symlink(at("outside"), at(link)).unwrap();
        let first = Scratch::new(place.path(), "work").unwrap();
        let second = Scratch::new(place.path(), "work").unwrap();
        assert!(!at(dead).exists());
        for name in stay.into_iter().chain(["outside", link]) {
            assert!(fs::symlink_metadata(at(name)).is_ok(), "{name}");
        }
        for scratch in [&first, &second] {
            assert_eq!(fs::metadata(scratch.path()).unwrap().permissions().mode() & 0o777, 0o700);
        }
        fs::write(first.path().join("file"), "1").unwrap();
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists() && second.path().exists());
        let path = second.path().to_owned();
        second.close().unwrap();
        assert!(!path.exists());
    }
}

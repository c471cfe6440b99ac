//! Where a worker keeps results until they are fetched: a directory that its user alone can read, and
//! that is removed when the worker ends, or, if it was killed, when the next one begins.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use retrace_files::{Lock, Root};
use tempfile::{Builder, TempDir};

/// What the names of such directories begin with.
const PREFIX: &str = "retrace-cluster-";
/// A new directory may be swept by another worker before it is locked; then another is made, so often.
const TRIES: usize = 8;

/// A worker's own directory. It is locked as long as the worker lives.
#[derive(Debug)]
pub(crate) struct Kept {
    directory: TempDir,
    _lock: Lock,
}

impl Kept {
    /// A new one in `temporary`, where those of workers that are no more are removed.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn new(temporary: &Path) -> io::Result<Self> {
        let mut tries = 1..=TRIES;
        let kept = loop {
            let private = fs::Permissions::from_mode(0o700);
            let directory = Builder::new().prefix(PREFIX).permissions(private).tempdir_in(temporary)?;
            match lock(directory.path()) {
                Ok(lock) => break Self { directory, _lock: lock },
                Err(error) if tries.next().is_none() => return Err(error),
                Err(_) => {}
            }
        };
        kept.sweep(temporary)?;
        Ok(kept)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Removes the directories of workers of this user that are no more.
    fn sweep(&self, temporary: &Path) -> io::Result<()> {
        let user = fs::symlink_metadata(self.path())?.uid();
        for entry in fs::read_dir(temporary)?.flatten() {
            if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
                continue;
            }
            // Nobody else can put a link in the place of what belongs to this user.
            let ours = fs::symlink_metadata(entry.path()).is_ok_and(|found| found.is_dir() && found.uid() == user);
            if ours && let Ok(_lock) = lock(&entry.path()) {
                // What cannot be removed now is tried again by the next worker.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Ok(())
    }
}

/// Locks a worker's directory, as only its worker does as long as it lives.
fn lock(directory: &Path) -> io::Result<Lock> {
    Root::open(directory).and_then(Lock::directory).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_leave_is_swept_and_what_the_living_keep_is_not() {
        let temporary = tempfile::tempdir().unwrap();
        let at = |name: &str| temporary.path().join(name);
        fs::create_dir_all(at("retrace-cluster-dead/job/1")).unwrap();
        fs::write(at("retrace-cluster-dead/job/1/data"), "rows").unwrap();
        fs::create_dir(at("other")).unwrap();
        fs::write(at("retrace-cluster-file"), "").unwrap();
        std::os::unix::fs::symlink(at("other"), at("retrace-cluster-link")).unwrap();
        let first = Kept::new(temporary.path()).unwrap();
        let second = Kept::new(temporary.path()).unwrap();
        assert!(!at("retrace-cluster-dead").exists());
        for stays in ["other", "retrace-cluster-file", "retrace-cluster-link"] {
            assert!(fs::symlink_metadata(at(stays)).is_ok(), "{stays}");
        }
        for kept in [&first, &second] {
            assert_eq!(fs::metadata(kept.path()).unwrap().permissions().mode() & 0o777, 0o700);
        }
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists() && second.path().exists());
    }
}

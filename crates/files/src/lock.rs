//! One writer at a time: advisory locks, which the system releases when a process ends.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

use crate::{FileError, Root};

/// The ending of lock files' names.
const LOCK: &str = DIRECTORY_LOCK;
/// The lock of the directory that contains it.
pub const DIRECTORY_LOCK: &str = ".retrace-lock";
/// At most this much of a lock file is read.
const LONGEST: u64 = 200;

/// While a process holds this lock, no other process can hold the same. Readers need no lock. It is a file, which is
/// removed at the end; one that a killed process left does not block others.
#[derive(Debug)]
pub struct Lock {
    root: Root,
    name: OsString,
    file: File,
}

impl Lock {
    /// Locks a directory that only one process at a time may write into: that of a run or of tables.
    ///
    /// # Errors
    /// [`FileError::Locked`] if another process holds it, or if the file system has no locks.
    pub fn directory(root: Root) -> Result<Self, FileError> {
        let path = root.path().to_owned();
        Self::take(root, LOCK.into(), path)
    }

    /// Locks the file `name` directly in `root`.
    ///
    /// # Errors
    /// As [`Self::directory`].
    pub fn file(root: Root, name: &OsStr) -> Result<Self, FileError> {
        let path = root.path().join(name);
        let mut lock = OsString::from(".");
        lock.push(name);
        lock.push(LOCK);
        Self::take(root, lock, path)
    }

    fn take(root: Root, name: OsString, what: PathBuf) -> Result<Self, FileError> {
        let io = |error| FileError::io(&what, "lock")(error);
        loop {
            let mut file = root.directory_itself().file_to_lock(&name).map_err(io)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    return Err(FileError::Locked { holder: holder(&mut file), path: what });
                }
                Err(TryLockError::Error(error)) => return Err(io(error)),
                Ok(()) => {}
            }
            // The previous holder may have removed the file at this moment.
            if root.directory_itself().is(&name, &file).map_err(io)? {
                let said = file.set_len(0).and_then(|()| write!(file, "{}", this_process()));
                said.map_err(io)?;
                return Ok(Self { root, name, file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is still held; if the file cannot be removed, it does not block others.
        let _ = self.root.directory_itself().remove(&self.name);
        let _ = self.file.unlock();
    }
}

/// Whether a file of this name is a [`Lock`], held or left behind.
pub fn is_lock(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(LOCK)
}

/// For example `process 123 on node7`.
fn this_process() -> String {
    let id = std::process::id();
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(host) => format!("process {id} on {}", host.trim()),
        Err(_) => format!("process {id}"),
    }
}

/// The text that the holder of the lock wrote into it.
fn holder(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = file.rewind().and_then(|()| file.take(LONGEST).read_to_end(&mut bytes));
    match String::from_utf8(bytes) {
        Ok(text) if read.is_ok() && text.starts_with("process ") && !text.contains(char::is_control) => text,
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let root = || Root::open(directory.path()).unwrap();
        let names = || root().list().unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let held = Lock::directory(root()).unwrap();
        let Err(FileError::Locked { holder, .. }) = Lock::directory(root()) else { panic!("held twice") };
        assert!(holder.starts_with(&format!("process {}", std::process::id())), "{holder}");
        let other = Lock::file(root(), "manifest.yaml".as_ref()).unwrap();
        assert!(matches!(Lock::file(root(), "manifest.yaml".as_ref()), Err(FileError::Locked { .. })));
        assert!(names().iter().all(|name| is_lock(name)), "{:?}", names());
        drop((held, other));
        assert!(names().is_empty());
        // A lock file that was left behind.
        std::fs::write(directory.path().join(LOCK), "process 1 on elsewhere").unwrap();
        drop(Lock::directory(root()).unwrap());
        assert!(names().is_empty());
    }

    #[test]
    fn of_many_at_once_one_at_a_time_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let (inside, taken) = (std::sync::atomic::AtomicU32::new(0), std::sync::atomic::AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    use std::sync::atomic::Ordering::SeqCst;
                    for _ in 0..500 {
                        if let Ok(held) = Lock::directory(Root::open(directory.path()).unwrap()) {
                            assert_eq!(inside.fetch_add(1, SeqCst), 0);
                            taken.fetch_add(1, SeqCst);
                            std::thread::yield_now();
                            inside.fetch_sub(1, SeqCst);
                            drop(held);
                        }
                    }
                });
            }
        });
        assert!(taken.into_inner() > 0);
    }
}

//! Files and directories that are written completely or not at all.
//!
//! Each is written under a hidden temporary name in the same directory, synced to disk, and renamed. The name
//! ends in `.retrace-partial`, and the file is locked while it is written. So a leftover of a killed process
//! can be distinguished from a file that another process is writing, and is removed.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use retrace_spec::Digest;

use crate::beneath::{Directory, Whose};
use crate::{EntryKind, FileError, Root};

/// The ending of the names of incomplete files and directories.
const PARTIAL: &str = ".retrace-partial";
/// At most this many bytes of a file's name are in the name of its partial file: systems allow 255 in total.
const LONGEST_NAME: usize = 180;

/// A file that is being written. If it is dropped before [`Self::commit`], nothing remains.
#[derive(Debug)]
pub struct WholeFile {
    root: Root,
    name: OsString,
    partial: OsString,
    writer: Option<BufWriter<File>>,
    hasher: blake3::Hasher,
    committed: bool,
}

impl WholeFile {
    /// Begins the file at `path`, which a user named; its directory is made if necessary. An existing file is kept
    /// until the new one is complete. Below a release, see [`Root::create`].
    ///
    /// # Errors
    /// If the directory or file cannot be made.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        // A link that the user named, such as /dev/stdout, is kept, and so is any other target of it.
        let followed = match path.is_symlink() {
            true => path.canonicalize().map_err(FileError::io(path, "follow"))?,
            false => path.to_owned(),
        };
        let (root, name) = Root::of_file(&followed)?;
        Self::create_in(root, name, Whose::Umask)
    }

    /// Begins the file `name` directly in `root`.
    pub(crate) fn create_in(root: Root, name: &OsStr, whose: Whose) -> Result<Self, FileError> {
        let path = root.path().join(name);
        // A device or a pipe would be removed for all other programs.
        if root.directory_itself().kind(name).map_err(FileError::io(&path, "read the metadata of"))?
            == Some(EntryKind::Special)
        {
            return Err(FileError::NotRegular { path });
        }
        let (file, partial) = new_partial(name, |partial| {
            let file = root.directory_itself().new_file(partial, whose)?;
            // If the file system has no locks, leftover files are never removed.
            let _ = file.try_lock();
            // Another process may have removed the file before it was locked.
            Ok(root.directory_itself().is(partial, &file)?.then_some(file))
        })
        .map_err(FileError::io(&path, "create"))?;
        let writer = Some(BufWriter::with_capacity(1 << 18, file));
        Ok(Self { root, name: name.to_owned(), partial, writer, hasher: blake3::Hasher::new(), committed: false })
    }

    /// The final path of the file.
    pub fn path(&self) -> PathBuf {
        self.root.path().join(&self.name)
    }

    /// Renames the file to its final path and returns its digest.
    ///
    /// # Errors
    /// If writing to the disk fails.
    pub fn commit(mut self) -> Result<Digest, FileError> {
        let path = self.path();
        // It stays open, and so locked, until it has its final name.
        let mut written = None;
        if let Some(writer) = self.writer.take() {
            let file = writer.into_inner().map_err(|e| FileError::io(&path, "write")(e.into_error()))?;
            file.sync_all().map_err(FileError::io(&path, "sync"))?;
            written = Some(file);
        }
        let directory = self.root.directory_itself();
        directory.rename(&self.partial, &self.name).map_err(FileError::io(&path, "rename into place"))?;
        drop(written);
        self.committed = true;
        directory.sync().map_err(FileError::io(self.root.path(), "sync"))?;
        Ok(self.hasher.finalize().into())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let Some(writer) = &mut self.writer else { return Err(std::io::ErrorKind::NotConnected.into()) };
        let written = writer.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.committed {
            // If a file cannot be removed, nothing more can be done: its name shows what it is.
            let _ = self.root.directory_itself().remove(&self.partial);
            self.writer = None;
        }
    }
}

/// Writes `bytes` to `path`, which a user named, completely or not at all, and returns their digest. Below a release,
/// see [`Root::write`].
///
/// # Errors
/// If writing to the disk fails.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<Digest, FileError> {
    write_all(WholeFile::create(path)?, bytes)
}

pub(crate) fn write_all(mut file: WholeFile, bytes: &[u8]) -> Result<Digest, FileError> {
    let path = file.path();
    file.write_all(bytes).map_err(FileError::io(&path, "write"))?;
    file.commit()
}

/// Makes the directory `path`, which a user named, completely or not at all. Below a release, see
/// [`Root::whole_directory`].
///
/// # Errors
/// As [`Root::whole_directory`].
pub fn write_whole_directory<E: From<FileError>>(
    path: &Path,
    fill: impl FnOnce(&Root) -> Result<(), E>,
) -> Result<(), E> {
    let (root, name) = Root::of_file(path)?;
    write_whole_directory_in(&root, name, fill)
}

pub(crate) fn write_whole_directory_in<E: From<FileError>>(
    root: &Root,
    name: &OsStr,
    fill: impl FnOnce(&Root) -> Result<(), E>,
) -> Result<(), E> {
    let (path, directory) = (root.path().join(name), root.directory_itself());
    if directory.has(name).map_err(FileError::io(&path, "read the metadata of"))? {
        let exists = std::io::ErrorKind::AlreadyExists.into();
        return Err(FileError::io(&path, "make directory")(exists).into());
    }
    let made = new_partial_directory(directory, name, Whose::Umask).map_err(FileError::io(&path, "make directory"))?;
    let ((made, _lock), partial) = made;
    let inside = Root::of_directory(root.path().join(&partial), made);
    let placed = fill(&inside).and_then(|()| {
        inside.directory_itself().sync_all().map_err(FileError::io(&path, "sync"))?;
        Ok(directory.rename(&partial, name).map_err(FileError::io(&path, "rename into place"))?)
    });
    if placed.is_err() {
        // The error that matters is the one that is returned.
        let _ = directory.remove(&partial);
        return placed;
    }
    Ok(directory.sync().map_err(FileError::io(root.path(), "sync"))?)
}

/// Removes the directory `name` of `root`: if this process is killed, the directory is still complete, or gone.
pub(crate) fn remove_whole_directory(root: &Root, name: &OsStr) -> Result<(), FileError> {
    let (path, directory) = (root.path().join(name), root.directory_itself());
    match directory.has(name) {
        Ok(false) => return Ok(()),
        there => there.map_err(FileError::io(&path, "remove"))?,
    };
    let partial = partial_name(name);
    directory.rename(name, &partial).map_err(FileError::io(&path, "remove"))?;
    directory.remove(&partial).map_err(FileError::io(&path, "remove"))
}

/// Whether a file or directory of this name is one that retrace is writing, or was writing when it was killed: see
/// [`sweep`].
pub fn is_partial(name: &str) -> bool {
    let random =
        name.strip_prefix('.').and_then(|name| name.strip_suffix(PARTIAL)).and_then(|name| name.rsplit_once('.'));
    random.is_some_and(|(_, random)| random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether it is the partial form ([`is_partial`]) of the file or directory `of`.
pub(crate) fn is_partial_of(name: &str, of: &str) -> bool {
    let random = name.strip_prefix('.').and_then(|name| name.strip_prefix(of)).and_then(|name| name.strip_prefix('.'));
    random.is_some_and(|random| is_partial(name) && !random.trim_end_matches(PARTIAL).contains('.'))
}

/// Removes the partial file or directory `name` directly in `root`, unless another process is writing it; returns
/// whether it is gone.
///
/// # Errors
/// If the system cannot remove it.
pub fn sweep(root: &Root, name: &str) -> Result<bool, FileError> {
    let (path, directory) = (root.path().join(name), root.directory_itself());
    let entry = match directory.entry(name.as_ref()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        // A link with such a name, which retrace never makes: the link itself is removed.
        Err(error) if crate::beneath::is_link(&error) => None,
        entry => Some(entry.map_err(FileError::io(&path, "open"))?),
    };
    match entry.as_ref().map(File::try_lock) {
        Some(Err(TryLockError::WouldBlock)) => return Ok(false),
        Some(Err(TryLockError::Error(error))) => return Err(FileError::io(&path, "lock")(error)),
        Some(Ok(())) | None => {}
    }
    directory.remove(name.as_ref()).map_err(FileError::io(&path, "remove"))?;
    Ok(true)
}

/// Removes what interrupted attempts to make or remove files and directories left directly in `root`.
///
/// # Errors
/// If the system cannot remove it.
pub fn sweep_all(root: &Root) -> Result<(), FileError> {
    for (name, _) in root.list()? {
        if is_partial(&name) {
            sweep(root, &name)?;
        }
    }
    Ok(())
}

/// `.NAME.RANDOM.retrace-partial`.
fn partial_name(name: &OsStr) -> OsString {
    let name = name.to_string_lossy();
    let cut = (0..=name.len().min(LONGEST_NAME)).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    let random = RandomState::new().hash_one(std::process::id());
    format!(".{}.{random:016x}{PARTIAL}", &name[..cut]).into()
}

/// Calls `make` with a partial name that does not exist yet, and returns its result.
fn new_partial<T>(
    name: &OsStr,
    mut make: impl FnMut(&OsStr) -> std::io::Result<Option<T>>,
) -> std::io::Result<(T, OsString)> {
    loop {
        let partial = partial_name(name);
        match make(&partial) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(Some(made)) => return Ok((made, partial)),
            Ok(None) => {}
        }
    }
}

/// A new directory under a unique partial name, and its lock.
pub(crate) fn new_partial_directory(
    directory: &Directory,
    name: &OsStr,
    whose: Whose,
) -> std::io::Result<((Directory, File), OsString)> {
    new_partial(name, |partial| {
        let made = directory.new_directory(partial, whose)?;
        let lock = made.as_file()?;
        // If the file system has no locks, leftover directories are never removed.
        let _ = lock.try_lock();
        // Another process may have removed the directory before it was locked.
        Ok(directory.is(partial, &lock)?.then_some((made, lock)))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use retrace_spec::RelPath;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_whole_or_absent() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/file");
        assert_eq!(write_whole(&path, b"abc").unwrap(), Digest::of(b"abc"));
        {
            let mut file = WholeFile::create(&path).unwrap();
            file.write_all(b"not committed").unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        assert_eq!(names(path.parent().unwrap()), ["file"]);
    }

    #[test]
    fn a_directory_is_whole_or_absent() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("step");
        let a: RelPath = "a".parse().unwrap();
        let fails = write_whole_directory(&path, |partial| {
            partial.write(&a, b"1")?;
            Err::<(), _>(FileError::Name { path: path.clone(), what: "a test".to_owned() })
        });
        assert!(fails.is_err());
        assert!(names(directory.path()).is_empty());
        write_whole_directory(&path, |partial| partial.write(&a, b"1").map(|_| ())).unwrap();
        assert_eq!(names(directory.path()), ["step"]);
        assert_eq!(names(&path), ["a"]);
        assert!(write_whole_directory(&path, |_| Ok::<(), FileError>(())).is_err(), "never replaced");
    }
    #[test]
    fn a_failed_commit_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("taken");
        fs::create_dir_all(path.join("by a directory")).unwrap();
        assert!(write_whole(&path, b"abc").is_err());
        assert_eq!(names(directory.path()), ["taken"]);
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_what_is_being_written_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let left = ".file.0123456789abcdef.retrace-partial";
        fs::write(directory.path().join(left), "half").unwrap();
        let left_directory = ".step.0123456789abcdef.retrace-partial";
        fs::create_dir_all(directory.path().join(left_directory).join("deep")).unwrap();
        fs::write(directory.path().join(left_directory).join("deep/file"), "half").unwrap();
        for not_ours in [".file.partial", "file.0123456789abcdef.retrace-partial", ".file.retrace-partial"] {
            fs::write(directory.path().join(not_ours), "kept").unwrap();
        }
        let mut writing = root.create(&"file".parse().unwrap()).unwrap();
        writing.write_all(b"whole").unwrap();
        root.whole_directory(&"step".parse().unwrap(), |inside| {
            inside.write(&"a".parse().unwrap(), b"1")?;
            sweep_all(&root)
        })
        .unwrap();
        writing.commit().unwrap();
        assert_eq!(fs::read(directory.path().join("file")).unwrap(), b"whole");
        assert_eq!(
            names(directory.path()),
            [".file.partial", ".file.retrace-partial", "file", "file.0123456789abcdef.retrace-partial", "step"]
        );
    }

    #[test]
    fn two_that_write_one_file_do_not_share_a_partial_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut first = WholeFile::create(&path).unwrap();
        let mut second = WholeFile::create(&path).unwrap();
        first.write_all(b"first").unwrap();
        second.write_all(b"second").unwrap();
        second.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        first.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(directory.path()), ["file"]);
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_pipes_stay_and_a_link_that_the_user_named_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("target"), "old").unwrap();
        std::os::unix::fs::symlink("target", path("link")).unwrap();
        write_whole(&path("link"), b"new").unwrap();
        assert!(path("link").is_symlink());
        assert_eq!(fs::read(path("target")).unwrap(), b"new");
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        std::os::unix::fs::symlink("/dev/null", path("null")).unwrap();
        for special in ["pipe", "null"] {
            assert!(matches!(write_whole(&path(special), b"x"), Err(FileError::NotRegular { .. })), "{special}");
        }
        assert!(!path("pipe").is_file());
    }

    #[cfg(unix)]
    #[test]
    fn any_name_that_the_system_takes_can_be_written() {
        use std::os::unix::ffi::OsStrExt;
        let directory = tempfile::tempdir().unwrap();
        let long = "文".repeat(85);
        for name in [OsStr::from_bytes(b"not\xffutf8"), OsStr::new(&long)] {
            write_whole(&directory.path().join(name), b"1").unwrap();
            assert_eq!(fs::read(directory.path().join(name)).unwrap(), b"1");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_dangling_link_counts_as_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("step");
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(write_whole_directory(&path, |_| Ok::<(), FileError>(())).is_err());
        assert_eq!(names(directory.path()), ["step"]);
    }
}

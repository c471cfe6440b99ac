//! Files and directories that are there whole or not at all.
//!
//! Each is written beside its place under a hidden name, forced to the disk, and renamed.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use retrace_spec::Digest;

use crate::FileError;

/// A file in the making. Dropped before [`Self::commit`], it leaves nothing.
#[derive(Debug)]
pub struct WholeFile {
    path: PathBuf,
    partial: PathBuf,
    writer: Option<BufWriter<File>>,
    hasher: blake3::Hasher,
    committed: bool,
}

impl WholeFile {
    /// Begins the file at `path`, making its directory if need be. One that is there stays until
    /// the new one is whole.
    ///
    /// # Errors
    /// If the directory or file cannot be made.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let partial = partial_name(path)?;
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(FileError::io(directory, "make directory"))?;
        }
        // A killed attempt's remains, or a link that was put there to lead the bytes elsewhere.
        match fs::remove_file(&partial) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(FileError::io(&partial, "remove")(e)),
            _ => {}
        }
        let file = File::create_new(&partial).map_err(FileError::io(path, "create"))?;
        let writer = Some(BufWriter::with_capacity(1 << 18, file));
        Ok(Self { path: path.to_owned(), partial, writer, hasher: blake3::Hasher::new(), committed: false })
    }

    /// Puts the file in its place and gives its digest.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn commit(mut self) -> Result<Digest, FileError> {
        if let Some(writer) = self.writer.take() {
            let file = writer.into_inner().map_err(|e| FileError::io(&self.path, "write")(e.into_error()))?;
            file.sync_all().map_err(FileError::io(&self.path, "sync"))?;
        }
        fs::rename(&self.partial, &self.path).map_err(FileError::io(&self.path, "rename into place"))?;
        self.committed = true;
        sync_parent(&self.path)?;
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
            self.writer = None;
            // Nothing to do about a file that cannot be removed: its name says what it is.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Writes `bytes` to `path`, whole or not at all, and gives their digest.
///
/// # Errors
/// If the disk does not take them.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<Digest, FileError> {
    let mut file = WholeFile::create(path)?;
    file.write_all(bytes).map_err(FileError::io(path, "write"))?;
    file.commit()
}

/// Makes the directory `path` whole or not at all: `fill` is given an empty directory beside it,
/// which is forced to the disk with all that is in it, and then takes its place. What an earlier, killed attempt left beside it is removed.
///
/// # Errors
/// What `fill` returns, or if `path` is there already or the disk refuses.
pub fn write_whole_directory<E: From<FileError>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let partial = partial_name(path)?;
    if path.symlink_metadata().is_ok() {
        let exists = std::io::ErrorKind::AlreadyExists.into();
        return Err(FileError::io(path, "make directory")(exists).into());
    }
    if partial.symlink_metadata().is_ok() {
        fs::remove_dir_all(&partial).map_err(FileError::io(&partial, "remove"))?;
    }
    fs::create_dir_all(&partial).map_err(FileError::io(&partial, "make directory"))?;
    let placed = fill(&partial).and_then(|()| {
        sync_all(&partial)?;
        Ok(fs::rename(&partial, path).map_err(FileError::io(path, "rename into place"))?)
    });
    if placed.is_err() {
        // The error that matters is the one that is returned.
        let _ = fs::remove_dir_all(&partial);
        return placed;
    }
    Ok(sync_parent(path)?)
}

/// Removes the directory `path`: it is there whole or not at all, if this is killed on the way. What
/// an earlier, killed attempt left beside it is removed too.
///
/// # Errors
/// If the disk refuses.
pub fn remove_whole_directory(path: &Path) -> Result<(), FileError> {
    let partial = partial_name(path)?;
    if partial.symlink_metadata().is_ok() {
        fs::remove_dir_all(&partial).map_err(FileError::io(&partial, "remove"))?;
    }
    match fs::rename(path, &partial) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(FileError::io(path, "remove")(e)),
        Ok(()) => fs::remove_dir_all(&partial).map_err(FileError::io(&partial, "remove")),
    }
}

/// Removes what killed attempts to make or remove directories left in `directory`.
///
/// # Errors
/// If the disk refuses; a directory that is not there holds nothing.
pub fn remove_partial_directories(directory: &Path) -> Result<(), FileError> {
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(FileError::io(directory, "list"))?,
    };
    for entry in entries {
        let entry = entry.map_err(FileError::io(directory, "list"))?;
        let (path, name) = (entry.path(), entry.file_name());
        let partial = name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(".partial"));
        if partial && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            fs::remove_dir_all(&path).map_err(FileError::io(&path, "remove"))?;
        }
    }
    Ok(())
}

/// `.NAME.partial`, beside `path`.
fn partial_name(path: &Path) -> Result<PathBuf, FileError> {
    match path.file_name().and_then(|name| name.to_str()) {
        Some(name) => Ok(path.with_file_name(format!(".{name}.partial"))),
        None => Err(FileError::Name { path: path.to_owned(), what: "it has no name, or not one in UTF-8".to_owned() }),
    }
}

/// Forces a directory to the disk, with everything below it.
fn sync_all(directory: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(directory).map_err(FileError::io(directory, "list"))? {
        let entry = entry.map_err(FileError::io(directory, "list"))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(FileError::io(directory, "look at"))?);
        if kind.is_dir() {
            sync_all(&path)?;
        } else if kind.is_file() {
            // For writing, because some systems force only what is open so.
            let file = fs::OpenOptions::new().write(true).open(&path).map_err(FileError::io(&path, "open"))?;
            file.sync_all().map_err(FileError::io(&path, "sync"))?;
        }
    }
    sync(directory)
}

/// Forces a directory's entries to the disk; what can be renamed can also be opened on Unix, and
/// elsewhere there is nothing to do.
fn sync(directory: &Path) -> Result<(), FileError> {
    if cfg!(unix) {
        File::open(directory).and_then(|file| file.sync_all()).map_err(FileError::io(directory, "sync"))?;
    }
    Ok(())
}

fn sync_parent(path: &Path) -> Result<(), FileError> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync(Path::new(".")),
        Some(parent) => sync(parent),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
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
        let fails = write_whole_directory(&path, |partial| {
            write_whole(&partial.join("a"), b"1")?;
            Err::<(), _>(FileError::Name { path: path.clone(), what: "a test".to_owned() })
        });
        assert!(fails.is_err());
        assert!(names(directory.path()).is_empty());
        // A killed attempt's remains are replaced.
        fs::create_dir(directory.path().join(".step.partial")).unwrap();
        fs::write(directory.path().join(".step.partial/stale"), b"").unwrap();
        write_whole_directory(&path, |partial| write_whole(&partial.join("a"), b"1").map(|_| ())).unwrap();
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

    /// A planted link at the name of the file in the making must not lead the bytes elsewhere.
    #[cfg(unix)]
    #[test]
    fn a_planted_link_is_not_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let (path, victim) = (directory.path().join("file"), directory.path().join("victim"));
        fs::write(&victim, b"kept").unwrap();
        std::os::unix::fs::symlink(&victim, directory.path().join(".file.partial")).unwrap();
        write_whole(&path, b"abc").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"kept");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read(&path).unwrap(), b"abc");
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

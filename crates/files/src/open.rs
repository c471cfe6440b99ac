//! Files opened so that no link leads out of a release.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};

use retrace_spec::RelPath;

use crate::FileError;

/// A directory below which files are opened. It may itself be reached by links; below it none is
/// followed, whatever is put there meanwhile.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    #[cfg(unix)]
    directory: std::os::fd::OwnedFd,
}

impl Root {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        Ok(Self {
            #[cfg(unix)]
            directory: rustix::fs::openat(rustix::fs::CWD, path, DIRECTORY, rustix::fs::Mode::empty())
                .map_err(|e| FileError::io(path, "open directory")(e.into()))?,
            path: path.to_owned(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the regular file at `path` for reading, and what the system says of it. Never waits, be it
    /// a pipe.
    ///
    /// # Errors
    /// If it cannot be opened, a part of the way is a link, or it is no regular file.
    pub fn file(&self, path: &RelPath) -> Result<(File, Metadata), FileError> {
        let whole = path.under(&self.path);
        let file = self.beneath(path).map_err(FileError::io(&whole, "open"))?;
        regular(&whole, file)
    }

    #[cfg(unix)]
    fn beneath(&self, path: &RelPath) -> std::io::Result<File> {
        use rustix::fs::{Mode, OFlags, openat};

        let file = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{ResolveFlags, openat2};
            use rustix::io::Errno;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            match openat2(&self.directory, path.as_str(), file, Mode::empty(), resolve) {
                // A kernel or a sandbox that does not know the call: part by part, as elsewhere.
                Err(Errno::NOSYS | Errno::PERM) => {}
                opened => return Ok(opened?.into()),
            }
        }
        let mut at = None;
        if let Some(parent) = path.parent() {
            for part in parent.as_str().split('/') {
                let from = at.as_ref().unwrap_or(&self.directory);
                at = Some(openat(from, part, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?);
            }
        }
        Ok(openat(at.as_ref().unwrap_or(&self.directory), path.file_name(), file, Mode::empty())?.into())
    }

    #[cfg(not(unix))]
    fn beneath(&self, path: &RelPath) -> std::io::Result<File> {
        // There is no portable way to open without following; a link put there after this look wins.
        let mut whole = self.path.clone();
        for part in path.as_str().split('/') {
            whole.push(part);
            if whole.symlink_metadata()?.is_symlink() {
                return Err(std::io::Error::other("a part of the way is a symbolic link"));
            }
        }
        File::open(whole)
    }
}

#[cfg(unix)]
const DIRECTORY: rustix::fs::OFlags =
    rustix::fs::OFlags::RDONLY.union(rustix::fs::OFlags::DIRECTORY).union(rustix::fs::OFlags::CLOEXEC);

/// Opens the regular file at `path`, following links; never waits.
pub(crate) fn open_regular(path: &Path) -> Result<(File, Metadata), FileError> {
    // Before it is opened, because the opening of a pipe waits for someone to write into it.
    if !path.metadata().map_err(FileError::io(path, "open"))?.is_file() {
        return Err(not_regular(path));
    }
    regular(path, File::open(path).map_err(FileError::io(path, "open"))?)
}

fn regular(path: &Path, file: File) -> Result<(File, Metadata), FileError> {
    let metadata = file.metadata().map_err(FileError::io(path, "look at"))?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(not_regular(path)) }
}

fn not_regular(path: &Path) -> FileError {
    FileError::Name { path: path.to_owned(), what: "it is not a regular file".to_owned() }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn no_link_is_followed_below_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let (root, outside) = (directory.path().join("root"), directory.path().join("outside"));
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(root.join("a/b/file"), "1").unwrap();
        std::fs::write(outside.join("file"), "secret").unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        std::os::unix::fs::symlink("b/file", root.join("a/alias")).unwrap();
        std::os::unix::fs::symlink(&root, directory.path().join("way in")).unwrap();
        let open = |root: &Path, path: &str| Root::open(root).unwrap().file(&path.parse().unwrap());
        assert!(open(&root, "a/b/file").is_ok());
        assert!(open(&directory.path().join("way in"), "a/b/file").is_ok());
        for refused in ["link/file", "a/alias", "a/b", "a/none", "a/b/file/c"] {
            assert!(open(&root, refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_pipe_is_refused_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        );
        made.unwrap();
        assert!(Root::open(directory.path()).unwrap().file(&"pipe".parse().unwrap()).is_err());
        assert!(open_regular(&pipe).is_err());
    }
}

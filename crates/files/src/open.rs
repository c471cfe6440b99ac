//! Files opened so that no link leads out of a release.

use std::fs::File;
use std::path::Path;

use retrace_spec::RelPath;

use crate::FileError;

/// Opens the regular file at `path` below `root` for reading. The root itself may be a link; below
/// it none is followed, whatever is put there while this runs. Never waits, be it a pipe.
///
/// # Errors
/// If it cannot be opened, a part of the way is a link, or it is no regular file.
pub fn open_beneath(root: &Path, path: &RelPath) -> Result<File, FileError> {
    let whole = path.under(root);
    let file = beneath(root, path).map_err(FileError::io(&whole, "open"))?;
    regular(&whole, file)
}

/// Opens the regular file at `path`, following links; never waits.
pub(crate) fn open_regular(path: &Path) -> Result<File, FileError> {
    // Before it is opened, because the opening of a pipe waits for someone to write into it.
    if !path.metadata().map_err(FileError::io(path, "open"))?.is_file() {
        return Err(not_regular(path));
    }
    regular(path, File::open(path).map_err(FileError::io(path, "open"))?)
}

fn regular(path: &Path, file: File) -> Result<File, FileError> {
    match file.metadata().map_err(FileError::io(path, "look at"))?.is_file() {
        true => Ok(file),
        false => Err(not_regular(path)),
    }
}

fn not_regular(path: &Path) -> FileError {
    FileError::Name { path: path.to_owned(), what: "it is not a regular file".to_owned() }
}

#[cfg(unix)]
fn beneath(root: &Path, path: &RelPath) -> std::io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};

    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = openat(CWD, root, directory, Mode::empty())?;
    if let Some(parent) = path.parent() {
        for part in parent.as_str().split('/') {
            at = openat(&at, part, directory | OFlags::NOFOLLOW, Mode::empty())?;
        }
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(openat(&at, path.file_name(), flags, Mode::empty())?.into())
}

#[cfg(not(unix))]
fn beneath(root: &Path, path: &RelPath) -> std::io::Result<File> {
    // There is no portable way to open without following; a link put there after this look wins.
    let mut whole = root.to_owned();
    for part in path.as_str().split('/') {
        whole.push(part);
        if whole.symlink_metadata()?.is_symlink() {
            return Err(std::io::Error::other("a part of the way is a symbolic link"));
        }
    }
    File::open(whole)
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
        let open = |root: &Path, path: &str| open_beneath(root, &path.parse().unwrap());
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
        assert!(open_beneath(directory.path(), &"pipe".parse().unwrap()).is_err());
        assert!(open_regular(&pipe).is_err());
    }
}

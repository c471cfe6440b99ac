//! System calls for names below an open directory. None of them follows a link below it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Error, Result};
use std::path::Path;

use crate::EntryKind;

#[cfg(not(unix))]
pub(crate) use portable::Directory;
#[cfg(unix)]
pub(crate) use unix::Directory;

/// The owner and mode of a new file or directory, where the system has modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// As the user's umask decides.
    Umask,
    /// Accessible to its owner only, from the beginning.
    Owner,
}

impl Whose {
    #[cfg(unix)]
    const fn mode(self, most: rustix::fs::RawMode) -> rustix::fs::Mode {
        match self {
            Self::Umask => rustix::fs::Mode::from_raw_mode(most),
            Self::Owner => rustix::fs::Mode::from_raw_mode(most & 0o700),
        }
    }
}

/// Whether the system refused because a part of the path is a link.
pub(crate) fn is_link(error: &Error) -> bool {
    #[cfg(unix)]
    return error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    #[cfg(not(unix))]
    return error.kind() == std::io::ErrorKind::Other && error.to_string() == portable::IS_LINK;
}

#[cfg(unix)]
mod unix {
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::ffi::OsStrExt;

    use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, mkdirat, openat, renameat, statat, unlinkat};
    use rustix::io::Errno;

    use super::{EntryKind, Error, File, OsStr, Path, Result, Whose};

    const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    /// Neither waits for the other end of a pipe nor makes a terminal the controlling one.
    const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
    const APPEND: OFlags = OFlags::WRONLY.union(OFlags::APPEND).union(READ);

    #[derive(Debug)]
    pub(crate) struct Directory(OwnedFd);

    impl Directory {
        pub(crate) fn open(path: &Path) -> Result<Self> {
            Ok(Self(openat(CWD, path, DIRECTORY, Mode::empty())?))
        }

        /// The file at `path`; links are followed.
        pub(crate) fn open_anywhere(path: &Path) -> Result<File> {
            Ok(openat(CWD, path, READ, Mode::empty())?.into())
        }

        /// A second handle to it.
        pub(crate) fn again(&self) -> Result<Self> {
            Ok(Self(self.0.try_clone()?))
        }

        /// As a file, to lock it or to sync it to disk.
        pub(crate) fn as_file(&self) -> Result<File> {
            Ok(openat(&self.0, ".", DIRECTORY, Mode::empty())?.into())
        }

        pub(crate) fn file(&self, path: &str) -> Result<File> {
            Ok(self.open_beneath(path, READ)?.into())
        }

        pub(crate) fn append(&self, path: &str) -> Result<File> {
            Ok(self.open_beneath(path, APPEND)?.into())
        }

        pub(crate) fn directory(&self, path: &str) -> Result<Self> {
            self.open_beneath(path, DIRECTORY).map(Self)
        }

        /// The target of the link at `path`.
        pub(crate) fn link(&self, path: &str) -> Result<String> {
            let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
            let parent = self.open_beneath(parent, DIRECTORY)?;
            let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
            target.into_string().map_err(|_| std::io::ErrorKind::InvalidData.into())
        }

        fn open_beneath(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
            let flags = flags | OFlags::NOFOLLOW;
            #[cfg(target_os = "linux")]
            {
                use rustix::fs::{ResolveFlags, openat2};
                let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
                match openat2(&self.0, path, flags, Mode::empty(), resolve) {
                    // If the kernel or a sandbox does not support the call: part by part, as on other systems.
                    Err(Errno::NOSYS | Errno::PERM) => {}
                    // The error for a link in the place of a directory.
                    Err(Errno::NOTDIR) if self.link(path).is_ok() => return Err(Errno::LOOP.into()),
                    opened => return Ok(opened?),
                }
            }
            let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
            let mut at = None;
            for part in parents.split('/').filter(|part| !part.is_empty()) {
                at = Some(self.child(at.as_ref(), part)?);
            }
            let from = at.as_ref().unwrap_or(&self.0);
            openat(from, name, flags, Mode::empty()).map_err(|error| told(from, name, error))
        }

        /// The directory `part` directly below `at`, or below this one.
        fn child(&self, at: Option<&OwnedFd>, part: &str) -> Result<OwnedFd> {
            let from = at.unwrap_or(&self.0);
            openat(from, part, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()).map_err(|error| told(from, part, error))
        }

        pub(crate) fn make_directory(&self, path: &str) -> Result<Self> {
            let mut at: Option<OwnedFd> = None;
            for part in path.split('/') {
                match mkdirat(at.as_ref().unwrap_or(&self.0), part, Mode::from_raw_mode(0o777)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                at = Some(self.child(at.as_ref(), part)?);
            }
            at.map_or_else(|| self.again(), |at| Ok(Self(at)))
        }

        /// Makes a directory of this name, which must not exist yet.
        pub(crate) fn new_directory(&self, name: &OsStr, whose: Whose) -> Result<Self> {
            mkdirat(&self.0, name, whose.mode(0o777))?;
            Ok(Self(openat(&self.0, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?))
        }

        /// Makes a file of this name, which must not exist yet.
        pub(crate) fn new_file(&self, name: &OsStr, whose: Whose) -> Result<File> {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Ok(openat(&self.0, name, flags, whose.mode(0o666))?.into())
        }

        /// The file of this name for reading and writing; it is made if it does not exist.
        pub(crate) fn file_to_lock(&self, name: &OsStr) -> Result<File> {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            Ok(openat(&self.0, name, flags, Mode::from_raw_mode(0o666))?.into())
        }

        /// The entry of this name, opened for locking: a file or a directory, not a link.
        pub(crate) fn entry(&self, name: &OsStr) -> Result<File> {
            Ok(openat(&self.0, name, READ | OFlags::NOFOLLOW, Mode::empty())?.into())
        }

        pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> Result<()> {
            Ok(renameat(&self.0, from, &self.0, to)?)
        }

        pub(crate) fn has(&self, name: &OsStr) -> Result<bool> {
            match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Ok(true),
                Err(Errno::NOENT) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }

        /// The entry of this name, if there is one.
        pub(crate) fn kind(&self, name: &OsStr) -> Result<Option<EntryKind>> {
            match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(there) => Ok(Some(kind_of(FileType::from_raw_mode(there.st_mode)))),
                Err(Errno::NOENT) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }

        /// Whether the entry of this name is the open file.
        pub(crate) fn is(&self, name: &OsStr, file: &File) -> Result<bool> {
            let open = rustix::fs::fstat(file.as_fd())?;
            Ok(statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|there| (there.st_dev, there.st_ino) == (open.st_dev, open.st_ino)))
        }

        pub(crate) fn list(&self) -> Result<Vec<(String, EntryKind)>> {
            let mut names = Vec::new();
            for entry in rustix::fs::Dir::read_from(&self.0)? {
                let entry = entry?;
                let Ok(name) = entry.file_name().to_str() else { continue };
                if name == "." || name == ".." {
                    continue;
                }
                let kind = match entry.file_type() {
                    // Some file systems do not state it in a listing.
                    FileType::Unknown => match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(there) => FileType::from_raw_mode(there.st_mode),
                        Err(Errno::NOENT) => continue,
                        Err(error) => return Err(error.into()),
                    },
                    kind => kind,
                };
                names.push((name.to_owned(), kind_of(kind)));
            }
            Ok(names)
        }

        /// Removes the entry of this name, with everything in it; if there is none, that is not an error.
        pub(crate) fn remove(&self, name: &OsStr) -> Result<()> {
            match unlinkat(&self.0, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                // The error that systems return for a directory.
                Err(Errno::ISDIR | Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
            let inside = Self(openat(&self.0, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?);
            for entry in rustix::fs::Dir::read_from(&inside.0)? {
                let entry = entry?;
                let name = OsStr::from_bytes(entry.file_name().to_bytes());
                if name != "." && name != ".." {
                    inside.remove(name)?;
                }
            }
            match unlinkat(&self.0, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }

        /// Syncs the entries to disk.
        pub(crate) fn sync(&self) -> Result<()> {
            self.as_file()?.sync_all()
        }

        /// Syncs the entries to disk, with everything below.
        pub(crate) fn sync_all(&self) -> Result<()> {
            for entry in rustix::fs::Dir::read_from(&self.0)? {
                let entry = entry?;
                let name = OsStr::from_bytes(entry.file_name().to_bytes());
                if name == "." || name == ".." {
                    continue;
                }
                match openat(&self.0, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()) {
                    Ok(directory) => Self(directory).sync_all()?,
                    Err(Errno::NOTDIR | Errno::LOOP) => {
                        if let Ok(file) = self.entry(name) {
                            file.sync_all()?;
                        }
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            self.sync()
        }
    }

    fn kind_of(kind: FileType) -> EntryKind {
        match kind {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Link,
            _ => EntryKind::Special,
        }
    }

    /// For a link in place of a directory, systems return the error "not a directory"; this function distinguishes the
    /// two.
    fn told(from: &OwnedFd, name: &str, error: Errno) -> Error {
        let is_link = |there: rustix::fs::Stat| FileType::from_raw_mode(there.st_mode).is_symlink();
        match error {
            Errno::NOTDIR if statat(from, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(is_link) => Errno::LOOP.into(),
            error => error.into(),
        }
    }
}

/// For systems that cannot open below a directory without following links: each part is checked before it is opened,
/// and a link that is placed after the check is followed.
#[cfg(not(unix))]
mod portable {
    use std::fs;
    use std::path::PathBuf;

    use super::{EntryKind, Error, File, OsStr, Path, Result, Whose};

    pub(crate) const IS_LINK: &str = "a directory on the path is a symbolic link";

    fn kind_of(kind: fs::FileType) -> EntryKind {
        match kind {
            kind if kind.is_file() => EntryKind::File,
            kind if kind.is_dir() => EntryKind::Directory,
            kind if kind.is_symlink() => EntryKind::Link,
            _ => EntryKind::Special,
        }
    }

    #[derive(Debug)]
    pub(crate) struct Directory(PathBuf);

    impl Directory {
        pub(crate) fn open(path: &Path) -> Result<Self> {
            match fs::metadata(path)?.is_dir() {
                true => Ok(Self(path.to_owned())),
                false => Err(std::io::ErrorKind::NotADirectory.into()),
            }
        }

        pub(crate) fn open_anywhere(path: &Path) -> Result<File> {
            File::open(path)
        }

        pub(crate) fn again(&self) -> Result<Self> {
            Ok(Self(self.0.clone()))
        }

        fn beneath(&self, path: &str) -> Result<PathBuf> {
            let mut whole = self.0.clone();
            for part in path.split('/') {
                whole.push(part);
                if whole.symlink_metadata().is_ok_and(|there| there.is_symlink()) {
                    return Err(Error::other(IS_LINK));
                }
            }
            Ok(whole)
        }

        pub(crate) fn file(&self, path: &str) -> Result<File> {
            File::open(self.beneath(path)?)
        }

        pub(crate) fn link(&self, path: &str) -> Result<String> {
            let target = fs::read_link(self.0.join(path))?;
            Ok(target.to_string_lossy().replace('\\', "/"))
        }

        pub(crate) fn append(&self, path: &str) -> Result<File> {
            fs::OpenOptions::new().append(true).open(self.beneath(path)?)
        }

        pub(crate) fn directory(&self, path: &str) -> Result<Self> {
            Self::open(&self.beneath(path)?)
        }

        pub(crate) fn make_directory(&self, path: &str) -> Result<Self> {
            let whole = self.beneath(path)?;
            fs::create_dir_all(&whole)?;
            Self::open(&whole)
        }

        pub(crate) fn new_directory(&self, name: &OsStr, _: Whose) -> Result<Self> {
            fs::create_dir(self.0.join(name))?;
            Ok(Self(self.0.join(name)))
        }

        pub(crate) fn new_file(&self, name: &OsStr, _: Whose) -> Result<File> {
            fs::OpenOptions::new().read(true).write(true).create_new(true).open(self.0.join(name))
        }

        pub(crate) fn file_to_lock(&self, name: &OsStr) -> Result<File> {
            let mut options = fs::OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).open(self.0.join(name))
        }

        pub(crate) fn entry(&self, name: &OsStr) -> Result<File> {
            File::open(self.0.join(name))
        }

        pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> Result<()> {
            fs::rename(self.0.join(from), self.0.join(to))
        }

        pub(crate) fn has(&self, name: &OsStr) -> Result<bool> {
            match self.0.join(name).symlink_metadata() {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
                there => there.map(|_| true),
            }
        }

        pub(crate) fn kind(&self, name: &OsStr) -> Result<Option<EntryKind>> {
            match self.0.join(name).symlink_metadata() {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                there => Ok(Some(kind_of(there?.file_type()))),
            }
        }

        pub(crate) fn is(&self, name: &OsStr, _: &File) -> Result<bool> {
            self.has(name)
        }

        pub(crate) fn list(&self) -> Result<Vec<(String, EntryKind)>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(&self.0)? {
                let entry = entry?;
                let kind = kind_of(entry.file_type()?);
                if let Ok(name) = entry.file_name().into_string() {
                    names.push((name, kind));
                }
            }
            Ok(names)
        }

        pub(crate) fn remove(&self, name: &OsStr) -> Result<()> {
            let path = self.0.join(name);
            match path.symlink_metadata() {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
                Ok(there) if there.is_dir() => fs::remove_dir_all(path),
                Ok(_) => fs::remove_file(path),
            }
        }

        pub(crate) fn sync(&self) -> Result<()> {
            Ok(())
        }

        pub(crate) fn sync_all(&self) -> Result<()> {
            for entry in fs::read_dir(&self.0)? {
                let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
                if kind.is_dir() {
                    Self(path).sync_all()?;
                } else if kind.is_file() {
                    // For writing, because some systems sync only files that are open for writing.
                    fs::OpenOptions::new().write(true).open(path)?.sync_all()?;
                }
            }
            Ok(())
        }
    }
}

//! Opens files in such a way that only regular files are read, and no link leads out of a release.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use retrace_spec::{Digest, RelPath};

use crate::FileError;
use crate::beneath::{Directory, Whose};
use crate::hash::read_at;
use crate::whole::{WholeFile, remove_whole_directory, write_all, write_whole_directory_in};

/// A regular file, opened for reading, and its path.
#[derive(Debug)]
pub struct RegularFile {
    path: PathBuf,
    file: File,
    metadata: Metadata,
}

impl RegularFile {
    /// Opens the file at `path`, which a user named: links are followed. A pipe, a device or a directory is refused
    /// before it is opened.
    ///
    /// # Errors
    /// If it cannot be opened, or is not a regular file.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        if !path.metadata().map_err(FileError::io(path, "open"))?.is_file() {
            return Err(not_regular(path));
        }
        Self::of(path.to_owned(), Directory::open_anywhere(path).map_err(FileError::io(path, "open"))?)
    }

    fn of(path: PathBuf, file: File) -> Result<Self, FileError> {
        let metadata = file.metadata().map_err(FileError::io(&path, "read the metadata of"))?;
        if metadata.is_file() { Ok(Self { path, file, metadata }) } else { Err(not_regular(&path)) }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes when it was opened.
    pub fn size(&self) -> u64 {
        self.metadata.len()
    }

    /// Its metadata when it was opened.
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The open file.
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// The open file, positioned at its beginning.
    pub fn into_file(self) -> File {
        self.file
    }

    /// Fills `buffer` with the bytes at `offset`, within the length that it had when it was opened. Several threads
    /// may read in parallel.
    ///
    /// # Errors
    /// If they cannot be read, for example because the file has become shorter.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        read_at(&self.path, &self.file, buffer, offset)
    }

    /// All its bytes, at most `most`.
    ///
    /// # Errors
    /// If it cannot be read, or has more bytes: this is checked while reading, because a file can grow.
    pub fn read(self, most: u64) -> Result<Vec<u8>, FileError> {
        let Self { path, file, metadata } = self;
        let too_large = || FileError::TooLarge { path: path.clone(), most };
        if metadata.len() > most {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes);
        match read.map_err(FileError::io(&path, "read"))? as u64 {
            read if read > most => Err(too_large()),
            _ => Ok(bytes),
        }
    }

    /// All its text, of at most `most` bytes.
    ///
    /// # Errors
    /// As [`Self::read`], or if it is not UTF-8.
    pub fn text(self, most: u64) -> Result<String, FileError> {
        let path = self.path.clone();
        String::from_utf8(self.read(most)?).map_err(|e| {
            let what = format!("it is not UTF-8 at byte {}", e.utf8_error().valid_up_to());
            FileError::io(&path, "read")(std::io::Error::new(std::io::ErrorKind::InvalidData, what))
        })
    }
}

/// The type of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A pipe, a device, a socket.
    Special,
}

/// A directory below which files are opened and made. Its own path may contain links; below it no link is followed,
/// whatever is placed there while it is used.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    directory: Directory,
    /// For a snapshot in a hub's cache: the directory that its links may point to.
    blobs: Option<Box<Root>>,
}

impl Root {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let directory = Directory::open(path).map_err(FileError::io(path, "open directory"))?;
        Ok(Self { path: path.to_owned(), directory, blobs: None })
    }

    /// Opens the directory of a model at `path`, which a user named. If it is a snapshot in a hub's cache
    /// (`snapshots/REVISION`, beside `blobs`), its files may be links to those blobs, and such links are followed; no
    /// others are.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open_snapshot(path: &Path) -> Result<Self, FileError> {
        let mut root = Self::open(path)?;
        let whole = path.canonicalize().map_err(FileError::io(path, "open directory"))?;
        if let Some(snapshots) = whole.parent().filter(|parent| parent.ends_with("snapshots"))
            && let Some(cache) = snapshots.parent()
        {
            root.blobs = Self::open(&cache.join("blobs")).ok().map(Box::new);
        }
        Ok(root)
    }

    /// Opens this directory a second time.
    ///
    /// # Errors
    /// If the system's limit of open files is reached.
    pub fn again(&self) -> Result<Self, FileError> {
        let directory = self.directory.again().map_err(FileError::io(&self.path, "open directory"))?;
        let blobs = self.blobs.as_deref().map(Self::again).transpose()?.map(Box::new);
        Ok(Self { path: self.path.clone(), directory, blobs })
    }

    /// Opens the directory at `path`, which a user named; makes it first, if it does not exist.
    ///
    /// # Errors
    /// If it cannot be made or opened.
    pub fn make(path: &Path) -> Result<Self, FileError> {
        std::fs::create_dir_all(path).map_err(FileError::io(path, "make directory"))?;
        Self::open(path)
    }

    /// As [`Self::make`]; a new directory can be entered only by its owner, where the system has modes.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub fn make_private(path: &Path) -> Result<Self, FileError> {
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(path).map_err(FileError::io(path, "make directory"))?;
        Self::open(path)
    }

    /// The directory that contains the file at `path`, and the file's name there. The path is one that a user named:
    /// links in the path of the directory are followed.
    ///
    /// # Errors
    /// If the path does not end in a name, or the directory cannot be opened.
    pub fn of_file(path: &Path) -> Result<(Self, &std::ffi::OsStr), FileError> {
        let name = path.file_name().ok_or_else(|| FileError::Name {
            path: path.to_owned(),
            what: "the path does not end in a file name".to_owned(),
        })?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        Ok((Self::make(parent.unwrap_or(Path::new(".")))?, name))
    }

    pub(crate) const fn of_directory(path: PathBuf, directory: Directory) -> Self {
        Self { path, directory, blobs: None }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn directory_itself(&self) -> &Directory {
        &self.directory
    }

    /// Opens the regular file at `path` for reading. Never waits, even for a pipe.
    ///
    /// # Errors
    /// If it cannot be opened, a part of the path is a link, or it is not a regular file.
    pub fn file(&self, path: &RelPath) -> Result<RegularFile, FileError> {
        let whole = path.under(&self.path);
        match self.directory.file(path.as_str()) {
            Err(error) if crate::beneath::is_link(&error) => match self.blob(path) {
                Some((blobs, name)) => {
                    let file = blobs.directory.file(name.as_str()).map_err(link_or_io(&whole, "open"))?;
                    RegularFile::of(whole, file)
                }
                None => Err(FileError::Link { path: whole }),
            },
            file => RegularFile::of(whole.clone(), file.map_err(FileError::io(&whole, "open"))?),
        }
    }

    /// Whether there is a link at `path` that is followed: see [`Self::open_snapshot`].
    pub fn follows(&self, path: &RelPath) -> bool {
        self.blob(path).is_some()
    }

    /// The target of a snapshot's link to the cache's blobs: `../../blobs/NAME`, with one more `..` for each directory
    /// that contains the file; or the absolute path.
    fn blob(&self, path: &RelPath) -> Option<(&Self, RelPath)> {
        let blobs = self.blobs.as_deref()?;
        let target = self.directory.link(path.as_str()).ok()?;
        let up = "../".repeat(path.as_str().split('/').count() + 1);
        let name = match Path::new(&target).is_absolute() {
            true => Path::new(&target).strip_prefix(&blobs.path).ok()?.to_str()?,
            false => target.strip_prefix(&up)?.strip_prefix("blobs/")?,
        };
        let name: RelPath = name.parse().ok()?;
        (name.parent().is_none()).then_some((blobs, name))
    }

    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// If it cannot be opened, or a part of the path is a link or not a directory.
    pub fn directory(&self, path: &RelPath) -> Result<Self, FileError> {
        let whole = path.under(&self.path);
        let directory = self.directory.directory(path.as_str()).map_err(link_or_io(&whole, "open directory"))?;
        Ok(Self { path: whole, directory, blobs: None })
    }

    /// Opens the directory at `path`; makes it first, with missing parent directories.
    ///
    /// # Errors
    /// If it cannot be made or opened, or a part of the path is a link or not a directory.
    pub fn make_directory(&self, path: &RelPath) -> Result<Self, FileError> {
        let whole = path.under(&self.path);
        let made = self.directory.make_directory(path.as_str()).map_err(link_or_io(&whole, "make directory"))?;
        Ok(Self { path: whole, directory: made, blobs: None })
    }

    /// Whether there is an entry at `path`, even if it is a link. If this cannot be determined, the answer is yes.
    pub fn has(&self, path: &RelPath) -> bool {
        let parent = path.parent().map(|parent| self.directory.directory(parent.as_str()));
        let there = match &parent {
            None => self.directory.has(path.file_name().as_ref()),
            Some(Ok(parent)) => parent.has(path.file_name().as_ref()),
            Some(Err(error)) => return error.kind() != std::io::ErrorKind::NotFound,
        };
        there.unwrap_or(true)
    }

    /// The names of the entries directly in it, sorted, each with its type; names that are not UTF-8 are left out.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub fn list(&self) -> Result<Vec<(String, EntryKind)>, FileError> {
        let mut names = self.directory.list().map_err(FileError::io(&self.path, "list"))?;
        names.sort();
        Ok(names)
    }

    /// The directory that contains `path`; it is made if necessary.
    fn parent(&self, path: &RelPath) -> Result<Self, FileError> {
        match path.parent() {
            Some(parent) => self.make_directory(&parent),
            None => {
                let again = self.directory.again().map_err(FileError::io(&self.path, "open directory"))?;
                Ok(Self { path: self.path.clone(), directory: again, blobs: None })
            }
        }
    }

    /// Begins the file at `path`; its directory is made if necessary. An existing file is kept until the new one is
    /// complete.
    ///
    /// # Errors
    /// If the directory or file cannot be made, or a part of the path is a link.
    pub fn create(&self, path: &RelPath) -> Result<WholeFile, FileError> {
        WholeFile::create_in(self.parent(path)?, path.file_name().as_ref(), Whose::Umask)
    }

    /// Writes `bytes` to `path`, completely or not at all, and returns their digest.
    ///
    /// # Errors
    /// As [`Self::create`], or if writing to the disk fails.
    pub fn write(&self, path: &RelPath, bytes: &[u8]) -> Result<Digest, FileError> {
        write_all(self.create(path)?, bytes)
    }

    /// As [`Self::write`], to a file that only its owner can read or write, whatever the umask.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_private(&self, path: &RelPath, bytes: &[u8]) -> Result<Digest, FileError> {
        write_all(WholeFile::create_in(self.parent(path)?, path.file_name().as_ref(), Whose::Owner)?, bytes)
    }

    /// Copies `file`, with the length that it had when it was opened, to `path`, which must not exist yet. The two
    /// files share their blocks if the file system supports that. The copy is not synced, and is incomplete if this
    /// process is killed: for a directory that is removed when the process ends.
    ///
    /// # Errors
    /// If `path` exists, a part of the path is a link, or writing to the disk fails.
    pub fn copy(&self, path: &RelPath, file: RegularFile) -> Result<(), FileError> {
        let (parent, whole, size) = (self.parent(path)?, path.under(&self.path), file.size());
        let made = parent.directory.new_file(path.file_name().as_ref(), Whose::Umask);
        let copied = made.and_then(|mut made| std::io::copy(&mut file.into_file().take(size), &mut made));
        copied.map(drop).map_err(link_or_io(&whole, "write"))
    }

    /// Opens the regular file at `path` for appending.
    ///
    /// # Errors
    /// If it cannot be opened, a part of the path is a link, or it is not a regular file.
    pub fn append(&self, path: &RelPath) -> Result<File, FileError> {
        let whole = path.under(&self.path);
        let file = self.directory.append(path.as_str()).map_err(link_or_io(&whole, "open"))?;
        RegularFile::of(whole, file).map(RegularFile::into_file)
    }

    /// Makes the directory at `path` completely or not at all: `fill` receives an empty directory beside it, which is
    /// synced to disk with everything in it, and then renamed to `path`.
    ///
    /// # Errors
    /// What `fill` returns, or if `path` exists already or writing to the disk fails.
    pub fn whole_directory<E: From<FileError>>(
        &self,
        path: &RelPath,
        fill: impl FnOnce(&Self) -> Result<(), E>,
    ) -> Result<(), E> {
        write_whole_directory_in(&self.parent(path)?, path.file_name().as_ref(), fill)
    }

    /// Removes the entry at `path`, with everything in it; for a link, the link itself and not its target.
    ///
    /// # Errors
    /// If the system cannot remove it; if there is none, that is not an error.
    pub fn remove(&self, path: &RelPath) -> Result<(), FileError> {
        let whole = path.under(&self.path);
        let parent = match path.parent() {
            Some(parent) => Some(self.directory.directory(parent.as_str()).map_err(link_or_io(&whole, "remove"))?),
            None => None,
        };
        let parent = parent.as_ref().unwrap_or(&self.directory);
        parent.remove(path.file_name().as_ref()).map_err(FileError::io(&whole, "remove"))
    }

    /// Removes the directory at `path`: if this process is killed, the directory is still complete, or gone.
    ///
    /// # Errors
    /// If the system cannot remove it; if there is none, that is not an error.
    pub fn remove_directory(&self, path: &RelPath) -> Result<(), FileError> {
        match path.parent().map(|parent| self.directory(&parent)) {
            Some(Err(FileError::Io { source, .. })) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Some(parent) => remove_whole_directory(&parent?, path.file_name().as_ref()),
            None => remove_whole_directory(self, path.file_name().as_ref()),
        }
    }
}

/// If a part of the path is a link, the error says so, whatever error the system returns.
fn link_or_io(path: &Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> FileError {
    let path = path.to_owned();
    move |error| match crate::beneath::is_link(&error) {
        true => FileError::Link { path },
        false => FileError::Io { path, doing, source: error },
    }
}

pub(crate) fn not_regular(path: &Path) -> FileError {
    FileError::NotRegular { path: path.to_owned() }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[allow(clippy::unwrap_used, reason = "a test")]
    fn pipe(path: &Path) {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }

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
        for link in ["link/file", "a/alias"] {
            assert!(matches!(open(&root, link), Err(FileError::Link { .. })), "{link}");
        }
    }

    #[test]
    fn of_a_snapshot_only_links_into_its_blobs_are_followed() {
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path().join("models--acme--tiny");
        let snapshot = cache.join("snapshots/0123");
        std::fs::create_dir_all(snapshot.join("deep")).unwrap();
        std::fs::create_dir_all(cache.join("blobs/inner")).unwrap();
        std::fs::write(cache.join("blobs/abc"), "blob").unwrap();
        std::fs::write(directory.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink("../../secret", cache.join("blobs/link")).unwrap();
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, snapshot.join(name)).unwrap();
        link("../../blobs/abc", "good");
        let blobs = cache.canonicalize().unwrap().join("blobs");
        link(blobs.join("abc").to_str().unwrap(), "whole");
        link(blobs.join("inner/../abc").to_str().unwrap(), "winding");
        link(directory.path().join("secret").to_str().unwrap(), "elsewhere");
        link("../../../blobs/abc", "deep/good");
        link("../../../secret", "out");
        link("../../blobs/link", "through");
        link("../../blobs/../../secret", "up");
        link("good", "again");
        let read = |root: &Root, path: &str| root.file(&path.parse().unwrap())?.text(99);
        let root = Root::open_snapshot(&snapshot).unwrap();
        for good in ["good", "deep/good", "whole"] {
            assert_eq!(read(&root, good).unwrap(), "blob");
            assert!(read(&Root::open(&snapshot).unwrap(), good).is_err());
        }
        for bad in ["out", "through", "up", "again", "winding", "elsewhere"] {
            assert!(matches!(read(&root, bad), Err(FileError::Link { .. })), "{bad}");
        }
    }

    #[test]
    fn nothing_is_made_or_removed_through_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (root, outside) = (directory.path().join("root"), directory.path().join("outside"));
        std::fs::create_dir(&root).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("file"), "kept").unwrap();
        std::fs::create_dir(outside.join("directory")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        std::os::unix::fs::symlink(outside.join("file"), root.join("alias")).unwrap();
        let opened = Root::open(&root).unwrap();
        let path = |text: &str| text.parse::<RelPath>().unwrap();
        for through in ["link/file", "link/new", "link/directory/deep/new"] {
            assert!(opened.write(&path(through), b"x").is_err(), "{through}");
            assert!(opened.append(&path(through)).is_err(), "{through}");
            assert!(opened.make_directory(&path(through)).is_err(), "{through}");
            assert!(opened.whole_directory(&path(through), |_| Ok::<(), FileError>(())).is_err(), "{through}");
        }
        assert!(opened.append(&path("alias")).is_err());
        let file = || opened.file(&path("a/b")).unwrap();
        opened.write(&path("a/b"), b"1").unwrap();
        for taken in ["alias", "link/new", "a/b"] {
            assert!(opened.copy(&path(taken), file()).is_err(), "{taken}");
        }
        opened.copy(&path("copies/b"), file()).unwrap();
        assert_eq!(std::fs::read(root.join("copies/b")).unwrap(), b"1");
        std::fs::remove_dir_all(root.join("a")).unwrap();
        assert!(opened.remove_directory(&path("link/directory")).is_err());
        // A link in the place of the file is itself replaced, and not its target.
        opened.write(&path("alias"), b"new").unwrap();
        assert_eq!(std::fs::read(outside.join("file")).unwrap(), b"kept");
        assert_eq!(std::fs::read(root.join("alias")).unwrap(), b"new");
        opened.write(&path("a/b/c"), b"1").unwrap();
        assert_eq!(opened.file(&path("a/b/c")).unwrap().text(9).unwrap(), "1");
        opened.remove_directory(&path("link")).unwrap();
        let left: Vec<_> = std::fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn a_pipe_is_refused_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        pipe(&path);
        std::os::unix::fs::symlink(&path, directory.path().join("link")).unwrap();
        let root = Root::open(directory.path()).unwrap();
        assert!(root.file(&"pipe".parse().unwrap()).is_err());
        assert!(root.append(&"pipe".parse().unwrap()).is_err());
        assert!(RegularFile::open(&path).is_err());
        assert!(RegularFile::open(&directory.path().join("link")).is_err());
        assert!(RegularFile::open(Path::new("/dev/zero")).is_err());
        assert!(RegularFile::open(directory.path()).is_err());
    }

    #[test]
    fn no_more_is_read_than_allowed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "four").unwrap();
        let open = || RegularFile::open(&path).unwrap();
        assert_eq!(open().read(4).unwrap(), b"four");
        assert!(matches!(open().read(3), Err(FileError::TooLarge { most: 3, .. })));
        // A file that grows after it was opened.
        let opened = open();
        std::fs::write(&path, "fourteen").unwrap();
        assert!(matches!(opened.read(4), Err(FileError::TooLarge { most: 4, .. })));
        std::fs::write(&path, b"ab\xff").unwrap();
        assert!(open().text(9).unwrap_err().to_string().contains("not UTF-8 at byte 2"));
        // A file without blocks on the disk has the length that its metadata states.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(open().read(1 << 30), Err(FileError::TooLarge { .. })));
    }
}

//! Resuming an interrupted verification.
//!
//! A file that belongs to the caller, not to the release, receives a line for each file that matched, with its stamp
//! at that time. A resumed verification reads it and skips each file whose stamp is the same. So a person who can
//! write this file decides what is not read: it must be writable only by the caller, must be outside the verified
//! directory, and must belong to the same manifest and directory. It is written line by line: if the process is
//! killed, at most the last line is lost, and that file is read again.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use retrace_files::{FileError, Stamp, writable_by_others};
use retrace_spec::{Digest, RelPath};
use serde::{Deserialize, Serialize};

use crate::verify::Expected;

/// The name and version in the first line.
const SCHEMA: &str = "verify-progress/2";
/// The beginning of the first line, as [`First`] is written.
const BEGINNING: &str = "{\"retrace\"";
/// A file whose first line is longer is not such a file.
const LONGEST: u64 = 1 << 32;

/// What the notes are about; for anything else they are ignored.
#[derive(Debug, Clone, Copy)]
pub struct Basis<'a> {
    /// The directory that is verified.
    pub directory: &'a Path,
    /// The root of the manifest, if it is one.
    pub root: Option<Digest>,
    /// Everything that is expected.
    pub expected: &'a [Expected],
}

/// The files that were verified before, and the file for those that are verified now.
#[derive(Debug)]
pub struct Resume {
    path: PathBuf,
    before: HashMap<RelPath, Stamp>,
    reused: AtomicUsize,
    file: Mutex<File>,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    retrace: String,
    root: Option<Digest>,
    /// The directory's canonical path, without links.
    directory: String,
    /// A digest over everything that is expected, including lists beside the manifest.
    of: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    path: RelPath,
    stamp: Stamp,
}

impl Resume {
    /// Opens or creates the file at `path`, for verifying what `basis` describes.
    ///
    /// # Errors
    /// If it is in that directory, others could write it, it cannot be read or written, it is another kind of file, or
    /// it was made for another manifest, list or directory.
    pub fn open(path: &Path, basis: &Basis<'_>) -> Result<Self, FileError> {
        let io = |did| FileError::io(path, did);
        let wrong = |line: usize, what: String| FileError::Json { path: path.to_owned(), line, what };
        let refuse = |what: &str| io("use")(std::io::Error::other(what.to_owned()));
        let first = First::of(basis)?;
        let place = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let place = place.canonicalize().map_err(FileError::io(place, "open directory"))?;
        if place.starts_with(&first.directory) {
            return Err(refuse("it is inside the directory that is verified, and files there are not trusted"));
        }
        let is_new = path.symlink_metadata().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(is_new);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // Before it is opened, because opening a pipe could wait forever.
        if !is_new && !path.symlink_metadata().map_err(io("open"))?.is_file() {
            return Err(refuse("it is not a regular file"));
        }
        let mut file = options.open(path).map_err(io("open"))?;
        if let Some(what) = writable_by_others(path)? {
            return Err(refuse(&format!("others may have written it: {what}")));
        }
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(refuse("another `verify --resume` is using it")),
            Err(TryLockError::Error(error)) => return Err(io("lock")(error)),
            Ok(()) => {}
        }
        let mut before = HashMap::new();
        let mut whole = 0;
        let mut reader = BufReader::new((&file).take(LONGEST));
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(io("read"))?;
            // A line that was cut off by a kill has no line end.
            if !line.ends_with(b"\n") {
                let begun = line.starts_with(BEGINNING.as_bytes()) || BEGINNING.as_bytes().starts_with(&line);
                if number == 1 && !begun {
                    return Err(wrong(1, "it is not a file of `verify --resume`".to_owned()));
                }
                break;
            }
            whole += read as u64;
            let form = |e: serde_json::Error| wrong(number, e.to_string());
            if number == 1 {
                first.agree(&serde_json::from_slice(&line).map_err(form)?).map_err(|what| wrong(1, what))?;
            } else {
                let Line { path, stamp } = serde_json::from_slice(&line).map_err(form)?;
                before.insert(path, stamp);
            }
        }
        file.set_len(whole).map_err(io("write"))?;
        file.seek(SeekFrom::End(0)).map_err(io("write"))?;
        let resume = Self { path: path.to_owned(), before, reused: AtomicUsize::new(0), file: Mutex::new(file) };
        if whole == 0 {
            resume.write(&first)?;
        }
        Ok(resume)
    }

    /// The number of files that were skipped.
    pub fn reused(&self) -> usize {
        self.reused.load(Ordering::Relaxed)
    }

    /// Whether the file at `path` was verified before and still has this stamp.
    pub(crate) fn knows(&self, path: &RelPath, stamp: Stamp) -> bool {
        let known = self.before.get(path) == Some(&stamp);
        if known {
            self.reused.fetch_add(1, Ordering::Relaxed);
        }
        known
    }

    /// Notes that the file at `path` is as expected.
    pub(crate) fn note(&self, path: &RelPath, stamp: Stamp) -> Result<(), FileError> {
        self.write(&Line { path: path.clone(), stamp })
    }

    fn write(&self, line: &impl Serialize) -> Result<(), FileError> {
        let json = |e: serde_json::Error| FileError::Json { path: self.path.clone(), line: 0, what: e.to_string() };
        let mut bytes = serde_json::to_vec(line).map_err(json)?;
        bytes.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // One write call per line, so that the lines of two threads never mix.
        file.write_all(&bytes).map_err(FileError::io(&self.path, "write"))
    }
}

impl First {
    fn of(basis: &Basis<'_>) -> Result<Self, FileError> {
        let directory = basis.directory.canonicalize().map_err(FileError::io(basis.directory, "open directory"))?;
        let mut hasher = blake3::Hasher::new_derive_key("retrace 2026 verify progress");
        for entry in basis.expected {
            let mut text = |text: &str| {
                hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
            };
            text(entry.path.as_str());
            text(&entry.size.map_or_else(String::new, |size| size.to_string()));
            entry.checksums.iter().for_each(|checksum| text(&checksum.to_string()));
            text("");
        }
        let directory = directory.to_string_lossy().into_owned();
        Ok(Self { retrace: SCHEMA.to_owned(), root: basis.root, directory, of: hasher.finalize().into() })
    }

    /// Whether notes that begin with `noted` are about the same basis.
    fn agree(&self, noted: &Self) -> Result<(), String> {
        if noted.retrace != SCHEMA {
            return Err(format!(
                "it is {:?}, and this version reads {SCHEMA:?}; start again with another file",
                noted.retrace
            ));
        }
        if (noted.root, noted.of) != (self.root, self.of) {
            return Err("it belongs to another manifest or list".to_owned());
        }
        if noted.directory != self.directory {
            return Err(format!("it belongs to another directory, {:?}", noted.directory));
        }
        Ok(())
    }
}

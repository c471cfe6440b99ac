//! Verifying that was interrupted, gone on with.
//!
//! A file of the caller's, not the release's, gets a line for each file that was found to be as
//! expected, with its stamp then. Whoever goes on reads it and passes over each file whose stamp is
//! the same. It is written line by line: of what a kill cuts off the last line at most is lost, and
//! that file is read again.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use retrace_files::{FileError, Stamp};
use retrace_spec::{Digest, RelPath};
use serde::{Deserialize, Serialize};

use crate::verify::Expected;

/// What the first line is called, and of what version.
const SCHEMA: &str = "verify-progress/1";
/// With which it begins, as [`First`] is written.
const BEGINNING: &str = "{\"retrace\"";
/// More is no such file.
const LONGEST: u64 = 1 << 32;

/// What was verified before, and a file for what is verified now.
#[derive(Debug)]
pub struct Resume {
    path: PathBuf,
    before: HashMap<RelPath, Stamp>,
    reused: AtomicUsize,
    file: Mutex<File>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    retrace: String,
    /// Over all that is expected: what was verified against another list counts for nothing.
    of: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    path: RelPath,
    stamp: Stamp,
}

impl Resume {
    /// Opens the file at `path`, or begins it, for verifying against `expected`.
    ///
    /// # Errors
    /// If it cannot be read or written, is of something else, or was made for another list.
    pub fn open(path: &Path, expected: &[Expected]) -> Result<Self, FileError> {
        let io = |did| FileError::io(path, did);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io("open"))?;
        let mut text = String::new();
        (&mut file).take(LONGEST).read_to_string(&mut text).map_err(io("read"))?;
        let refuse = |what: &str| FileError::Json { path: path.to_owned(), line: 1, what: what.to_owned() };
        // What a kill cut off ends without a line end.
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let mut lines = text[..whole].lines();
        let of = of(expected);
        let mut before = HashMap::new();
        match lines.next() {
            None if !text.starts_with(BEGINNING) && !BEGINNING.starts_with(&text) => {
                return Err(refuse("it is no file of `verify --resume`"));
            }
            None => {}
            Some(first) => {
                let first: First = serde_json::from_str(first).map_err(|e| refuse(&e.to_string()))?;
                if first.retrace != SCHEMA || first.of != of {
                    return Err(refuse("what it tells of was verified against another manifest or list"));
                }
            }
        }
        for (number, line) in (2..).zip(lines) {
            let line: Line = serde_json::from_str(line).map_err(|e| FileError::Json {
                path: path.to_owned(),
                line: number,
                what: e.to_string(),
            })?;
            before.insert(line.path, line.stamp);
        }
        file.set_len(whole as u64).map_err(io("write"))?;
        file.seek(SeekFrom::End(0)).map_err(io("write"))?;
        let resume = Self { path: path.to_owned(), before, reused: AtomicUsize::new(0), file: Mutex::new(file) };
        if whole == 0 {
            resume.write(&First { retrace: SCHEMA.to_owned(), of })?;
        }
        Ok(resume)
    }

    /// How many files were passed over.
    pub fn reused(&self) -> usize {
        self.reused.load(Ordering::Relaxed)
    }

    /// Whether the file at `path` was verified before and has this stamp still.
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
        // One call a line, so that two threads' lines never mix.
        file.write_all(&bytes).map_err(FileError::io(&self.path, "write"))
    }
}

/// The digest of all that is expected of content.
fn of(expected: &[Expected]) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("retrace 2026 verify progress");
    for entry in expected {
        let mut text = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        };
        text(entry.path.as_str());
        text(&entry.size.map_or_else(String::new, |size| size.to_string()));
        entry.checksums.iter().for_each(|checksum| text(&checksum.to_string()));
        text("");
    }
    hasher.finalize().into()
}

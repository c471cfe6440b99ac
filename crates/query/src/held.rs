//! Checks the files of a query.
//!
//! Before a query on a file is answered, the file is checked against its release's manifest, or otherwise against its
//! own checksum ([`retrace_tables`]). A mismatch is an error, and there is no answer. The complete file is read once
//! for this: the session, and a directory of notes if there is one, store the digest of a file with a certain
//! [`Stamp`]. The notes contain only actual digests; the expected ones are looked up each time. So a note cannot
//! replace a changed manifest, and no file in a release is accepted as proof.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use retrace_files::{FileError, RegularFile, Root, Silent, Stamp, Wanted, hash_beneath, not_own};
use retrace_manifest::Unknown;
use retrace_spec::{Digest, RelPath};
use retrace_tables::has_checksum;
use serde::{Deserialize, Serialize};

use crate::releases::{Release, Sealed};
use crate::{QueryError, Stores};

/// What a file was checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The manifest of the release that it is in.
    Manifest,
    /// Its own checksum, which detects damage but not intent: no manifest covers the file.
    Checksum,
    /// Nothing: no manifest covers it, and it has no checksum.
    Nothing,
}

/// A file that a query read, and what it was checked against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The file, as the user named it.
    pub file: String,
    /// What it was checked against.
    pub by: By,
}

/// A part of a release whose content is unknown, so that a table of the manifest does not include it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownPart {
    /// The manifest, as the user named it.
    pub manifest: String,
    /// The part.
    #[serde(flatten)]
    pub part: Unknown,
}

/// Checks files against their manifests or checksums.
#[derive(Debug)]
pub(crate) struct Holder {
    releases: Vec<Release>,
    /// Whether files are checked.
    checked: bool,
    /// The directory of the notes.
    notes: Option<PathBuf>,
    /// What was checked, by name: with which stamp, if it is a file, and against what.
    held: Mutex<BTreeMap<String, (Option<Stamp>, By)>>,
    /// Whether a query read a table that has a row for everything that a manifest seals.
    asked_manifests: AtomicBool,
}

/// The location of a file.
enum FileLocation<'a> {
    /// Below the directory of a release.
    Release(&'a Release, RelPath),
    /// Somewhere else.
    Named,
}

impl Holder {
    pub(crate) fn new(releases: Vec<Release>, checked: bool, notes: Option<PathBuf>) -> Self {
        Self { releases, checked, notes, held: Mutex::default(), asked_manifests: AtomicBool::new(false) }
    }

    fn place(&self, path: &Path) -> Result<FileLocation<'_>, QueryError> {
        for release in &self.releases {
            if let Some(below) = release.place(path)? {
                return Ok(FileLocation::Release(release, below));
            }
        }
        Ok(FileLocation::Named)
    }

    /// Opens a file, which must be a regular one; in a release, links are not followed.
    pub(crate) fn open(&self, path: &Path) -> Result<RegularFile, QueryError> {
        Ok(match self.place(path)? {
            FileLocation::Release(release, below) => release.directory().file(&below)?,
            FileLocation::Named => RegularFile::open(path)?,
        })
    }

    /// Checks a file or URL before it is queried, and returns its stamp, if it is a file.
    ///
    /// # Errors
    /// If the file does not match its manifest or its own checksum, or cannot be read.
    pub(crate) fn hold(&self, name: &str) -> Result<Option<Stamp>, QueryError> {
        if Stores::knows(name) {
            self.lock().entry(name.to_owned()).or_insert((None, By::Nothing));
            return Ok(None);
        }
        let path = Path::new(name);
        let stamp = Stamp::of(self.open(path)?.metadata());
        if self.lock().get(name).is_none_or(|(known, _)| *known != Some(stamp)) {
            let by = if self.checked { self.hold_anew(path, stamp)? } else { By::Nothing };
            self.lock().insert(name.to_owned(), (Some(stamp), by));
        }
        Ok(Some(stamp))
    }

    /// Checks, after a file was read, that it is the one that was checked.
    ///
    /// # Errors
    /// If it is a different one.
    pub(crate) fn unchanged(&self, name: &str, stamp: Stamp) -> Result<(), QueryError> {
        let path = Path::new(name);
        match Stamp::of(self.open(path)?.metadata()) == stamp {
            true => Ok(()),
            false => {
                Err(FileError::Changed { path: path.to_owned(), what: "it was replaced by another file".to_owned() }
                    .into())
            }
        }
    }

    /// What the files that were queried so far were checked against.
    pub(crate) fn told(&self) -> Vec<Held> {
        self.lock().iter().map(|(file, (_, by))| Held { file: file.clone(), by: *by }).collect()
    }

    /// Notes that a query reads a table that has a row for everything that a manifest seals.
    pub(crate) fn ask_manifests(&self) {
        self.asked_manifests.store(true, Ordering::Relaxed);
    }

    /// What is missing in such tables, if they were queried.
    pub(crate) fn unknown(&self) -> Vec<UnknownPart> {
        let sealed = self.releases.iter().filter_map(Release::manifest);
        let sealed = sealed.filter(|_| self.asked_manifests.load(Ordering::Relaxed));
        let parts = |sealed: &Sealed| {
            let manifest = sealed.path.display().to_string();
            let part = |part: &Unknown| UnknownPart { manifest: manifest.clone(), part: part.clone() };
            sealed.unknown.iter().map(part).collect::<Vec<_>>()
        };
        sealed.flat_map(parts).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Option<Stamp>, By)>> {
        // Always consistent: an entry is inserted only when it is complete.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold_anew(&self, path: &Path, stamp: Stamp) -> Result<By, QueryError> {
        let mut sealed = Vec::new();
        for release in &self.releases {
            if let (Some(below), Some(manifest)) = (release.place(path)?, release.manifest())
                && let Some(artifact) = manifest.artifact(&below)?
            {
                sealed.push((release, below, manifest, artifact));
            }
        }
        let notes = self.notes.as_deref().and_then(|directory| Notes::of(directory, path));
        let noted = notes.as_ref().and_then(|notes| notes.about(path, stamp));
        let mut note = noted.unwrap_or(Note { stamp, digest: None, checksum: None });
        let by = match sealed.first() {
            Some((release, below, ..)) => {
                let digest = match note.digest {
                    Some(digest) => digest,
                    None => {
                        let hashed = hash_beneath(release.directory(), below, Wanted::default(), &Silent)?;
                        if hashed.stamp != Some(stamp) {
                            let what = "it was replaced by another file".to_owned();
                            return Err(FileError::Changed { path: path.to_owned(), what }.into());
                        }
                        hashed.digest
                    }
                };
                // If several opened releases cover the file, all of them are checked.
                if let Some((.., manifest, artifact)) = sealed.iter().find(|(.., artifact)| digest != artifact.digest) {
                    return Err(QueryError::NotAsSealed {
                        path: path.to_owned(),
                        manifest: manifest.path.clone(),
                        sealed: artifact.digest,
                        found: digest,
                    });
                }
                note.digest = Some(digest);
                By::Manifest
            }
            None => {
                let checksum = match note.checksum {
                    Some(checksum) => checksum,
                    None => own_checksum(self.open(path)?)?,
                };
                note.checksum = Some(checksum);
                if checksum { By::Checksum } else { By::Nothing }
            }
        };
        if noted != Some(note)
            && let Some(notes) = notes
        {
            notes.keep(path, note);
        }
        Ok(by)
    }
}

/// Whether a file has a checksum of its own, which matches; a mismatch is an error.
fn own_checksum(opened: RegularFile) -> Result<bool, QueryError> {
    let path = opened.path().to_owned();
    if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("parquet")) {
        return Ok(false);
    }
    Ok(has_checksum(&mut opened.into_file(), &path)?)
}

/// The known facts about the bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    stamp: Stamp,
    digest: Option<Digest>,
    /// Whether it has a checksum of its own, which matches.
    checksum: Option<bool>,
}

/// The known facts about the files in a directory, in a file that only its user can write.
#[derive(Debug)]
struct Notes {
    directory: PathBuf,
    name: RelPath,
    files: BTreeMap<String, Note>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NotesDocument {
    retrace: String,
    files: BTreeMap<String, Note>,
}

/// The kind and version of the notes.
const SCHEMA: &str = "checked-files/1";
/// A longer file of notes is not read.
const LONGEST_NOTES: u64 = 4 << 20;
/// There are no notes about more files than this; beyond it, the file begins with an empty list.
const MOST_NOTES: usize = 10_000;
/// A file that changed more recently than this may change again without a new stamp, because of the clock's
/// resolution.
const SETTLED: Duration = Duration::from_secs(2);

impl Notes {
    /// The notes about the directory that contains `path`; `None` if it has no plain name.
    fn of(directory: &Path, path: &Path) -> Option<Self> {
        let whole = path.canonicalize().ok()?;
        let digest = Digest::of(whole.parent()?.as_os_str().as_encoded_bytes()).to_string();
        let name = format!("{}.json", digest.rsplit(':').next()?.get(..32)?).parse().ok()?;
        let files = read(directory, &name).unwrap_or_default();
        Some(Self { directory: directory.to_owned(), name, files })
    }

    fn about(&self, path: &Path, stamp: Stamp) -> Option<Note> {
        let note = self.files.get(path.file_name()?.to_str()?)?;
        (note.stamp == stamp).then_some(*note)
    }

    /// Stores what was found. If it cannot be stored, the file is read again the next time.
    fn keep(mut self, path: &Path, note: Note) {
        let (Some(name), Ok(metadata)) = (path.file_name().and_then(|name| name.to_str()), path.metadata()) else {
            return;
        };
        if !is_settled(&metadata) {
            return;
        }
        if self.files.len() >= MOST_NOTES {
            self.files.clear();
        }
        self.files.insert(name.to_owned(), note);
        let document = NotesDocument { retrace: SCHEMA.to_owned(), files: self.files };
        if let Ok(bytes) = serde_json::to_vec(&document) {
            let write = || Root::make_private(&self.directory)?.write_private(&self.name, &bytes);
            // As described above.
            let _ = write();
        }
    }
}

/// Notes that only their user can have written.
fn read(directory: &Path, name: &RelPath) -> Option<BTreeMap<String, Note>> {
    let metadata = directory.metadata().ok()?;
    let opened = Root::open(directory).ok()?.file(name).ok()?;
    if not_own(&metadata).or(not_own(opened.metadata())).is_some() {
        return None;
    }
    let document: NotesDocument = serde_json::from_str(&opened.text(LONGEST_NOTES).ok()?).ok()?;
    (document.retrace == SCHEMA).then_some(document.files)
}

fn is_settled(metadata: &std::fs::Metadata) -> bool {
    #[cfg(unix)]
    let changed = {
        use std::os::unix::fs::MetadataExt;
        let (seconds, nanos) =
            (metadata.ctime().max(metadata.mtime()), metadata.ctime_nsec().max(metadata.mtime_nsec()));
        let since = u64::try_from(seconds).ok().zip(u32::try_from(nanos).ok());
        since.map(|(seconds, nanos)| SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos))
    };
    #[cfg(not(unix))]
    let changed = metadata.modified().ok();
    let ago = changed.and_then(|changed| SystemTime::now().duration_since(changed).ok());
    ago.is_some_and(|ago| ago > SETTLED)
}

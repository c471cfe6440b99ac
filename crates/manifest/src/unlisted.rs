//! Files that nobody lists: which are read, and what is said of them.
//!
//! That such a file is there is a finding whatever it holds. It is read only to tell whether it is a
//! listed one under another name, which it can be only if it has as many bytes.

use std::collections::{BTreeMap, HashSet};
use std::fs::Metadata;

use rayon::prelude::*;
use retrace_files::{FileError, Hashed, Progress, Root, Wanted, hash_beneath, is_lock, is_partial};
use retrace_spec::RelPath;
use unicode_normalization::UnicodeNormalization;

use crate::verify::{Entry, Expected, Said, TensorLocations, Verdict, entry};

/// Where no length is listed, longer files are not read.
const MOST_UNSIZED: u64 = 64 << 20;

/// The files that nobody lists.
pub(crate) struct Unlisted<'a> {
    expected: &'a [Expected],
    /// Where they are read.
    root: &'a Root,
    /// The lengths that are listed, and whether some are not; asked only if there is such a file.
    lengths: Option<(HashSet<u64>, bool)>,
    files: Vec<File<'a>>,
}

struct File<'a> {
    path: &'a RelPath,
    size: u64,
    read: Read,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    Yes,
    /// No listed file has as many bytes.
    OtherLength,
    TooLong,
    Sparse,
}

/// What is known of the content of such a file.
pub(crate) struct Extra<'a> {
    path: &'a RelPath,
    read: Read,
}

impl<'a> Unlisted<'a> {
    pub(crate) const fn new(expected: &'a [Expected], root: &'a Root) -> Self {
        Self { expected, root, lengths: None, files: Vec::new() }
    }

    /// Adds the file at `path`.
    pub(crate) fn add(&mut self, path: &'a RelPath) {
        let (lengths, unsized_too) = self.lengths.get_or_insert_with(|| {
            let lengths = self.expected.iter().filter_map(|entry| entry.size).collect();
            (lengths, self.expected.iter().any(|entry| entry.size.is_none()))
        });
        let found = self.root.file(path);
        let (size, sparse) = found.as_ref().map_or((0, false), |file| (file.size(), is_sparse(file.metadata())));
        let read = match () {
            // What goes wrong here goes wrong again where it is read, and is told there.
            () if found.is_err() => Read::Yes,
            () if !lengths.contains(&size) && !*unsized_too => Read::OtherLength,
            () if !lengths.contains(&size) && size > MOST_UNSIZED => Read::TooLong,
            () if sparse => Read::Sparse,
            () => Read::Yes,
        };
        self.files.push(File { path, size, read });
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Bytes of those that are read.
    pub(crate) fn to_read(&self) -> u64 {
        self.files.iter().filter(|file| file.read == Read::Yes).fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// What those come to that are read.
    pub(crate) fn hash(
        self,
        wanted: Wanted<'_>,
        progress: &dyn Progress,
    ) -> Vec<(Extra<'a>, Option<Result<Hashed, FileError>>)> {
        let root = self.root;
        let hash = |file: File<'a>| {
            let hashed = (file.read == Read::Yes).then(|| hash_beneath(root, file.path, wanted, progress));
            (Extra { path: file.path, read: file.read }, hashed)
        };
        self.files.into_par_iter().map(hash).collect()
    }
}

/// Whether nearly all of a file is holes, so that it is read for long and says nothing. Systems that
/// compress take less than a file's length too, but not so much less.
#[cfg(unix)]
pub(crate) fn is_sparse(file: &Metadata) -> bool {
    let allocated = std::os::unix::fs::MetadataExt::blocks(file).saturating_mul(512);
    file.len() > 1 << 20 && allocated < file.len() / 16
}

#[cfg(not(unix))]
pub(crate) fn is_sparse(_: &Metadata) -> bool {
    false
}

/// What is said of listed files and others, while some are found to be others' content.
pub(crate) struct Told<'a> {
    /// Sorted by path.
    expected: &'a [Expected],
    /// Of each that is expected.
    said: Vec<Said>,
    extras: Vec<Entry>,
}

impl<'a> Told<'a> {
    pub(crate) const fn new(expected: &'a [Expected], said: Vec<Said>) -> Self {
        Self { expected, said, extras: Vec::new() }
    }

    /// Takes in a file that nobody lists. If its bytes are those of a missing one, it was renamed, and
    /// what was missing is told as that: once, under its new name.
    pub(crate) fn extra(
        &mut self,
        extra: &Extra<'_>,
        hashed: Option<Result<Hashed, FileError>>,
        places: &TensorLocations<'_>,
    ) {
        let path = extra.path;
        let same = match &hashed {
            Some(Err(error)) => {
                self.extras.push(entry(path, Verdict::Unverifiable, error.to_string()));
                return;
            }
            Some(Ok(hashed)) => hashed.checksums.iter().map(places).find(|paths| !paths.is_empty()),
            None => None,
        };
        let same = same.unwrap_or_default();
        let missing = |old: &RelPath| {
            let at = self.expected.binary_search_by(|entry| entry.path.cmp(old)).ok()?;
            matches!(self.said.get(at)?, Said::Missing).then_some(at)
        };
        if let Some((at, old)) = same.iter().find_map(|(_, old)| Some((missing(old)?, *old))) {
            self.said[at] = Said::Elsewhere;
            let how = match twin(old, path) {
                Some(how) => format!("it was {old}: {how}"),
                None => format!("it was {old}"),
            };
            self.extras.push(Entry { was: Some(old.clone()), ..entry(path, Verdict::Renamed, how) });
            return;
        }
        if let Some((_, original)) = same.first() {
            let diagnosis = format!("it is a copy of {original}, and the manifest does not list it");
            self.extras.push(Entry { was: Some((*original).clone()), ..entry(path, Verdict::Extra, diagnosis) });
            return;
        }
        let mut diagnosis = "the manifest does not list it".to_owned();
        if let Some(what) = leftover(path) {
            diagnosis = format!("{diagnosis}; {what}");
        }
        match extra.read {
            Read::Yes | Read::OtherLength => {}
            Read::TooLong => diagnosis += "; it was not read, because it is long and no lengths are listed",
            Read::Sparse => diagnosis += "; it was not read, because it is a sparse file",
        }
        self.extras.push(entry(path, Verdict::Extra, diagnosis));
    }

    /// What is said of each listed file, and of all others.
    pub(crate) fn finish(mut self) -> (Vec<Said>, Vec<Entry>) {
        self.name_twins();
        (self.said, self.extras)
    }

    /// A missing file and one of other bytes under what is nearly its name are told of each other.
    fn name_twins(&mut self) {
        let key = |path: &RelPath| path.as_str().nfc().collect::<String>().to_lowercase();
        let extras = self.extras.iter().filter(|entry| entry.verdict == Verdict::Extra);
        let extras: BTreeMap<String, RelPath> = extras.map(|entry| (key(&entry.path), entry.path.clone())).collect();
        if extras.is_empty() {
            return;
        }
        let all = self.expected.iter().zip(&mut self.said);
        for (Expected { path, .. }, said) in all.filter(|(_, said)| matches!(said, Said::Missing)) {
            if let Some(there) = extras.get(&key(path))
                && let Some(how) = twin(there, path)
                && let Some(entry) = said.as_entry(path)
            {
                entry.diagnosis = format!("it is missing, but {there} exists, with other bytes: {how}");
            }
        }
    }
}

/// What seems to have left a file of this name, if it is one that programs give to unfinished files.
fn leftover(path: &RelPath) -> Option<String> {
    if is_partial(path.file_name()) || is_lock(path.file_name()) {
        let what = "a partial file of retrace: it remains if retrace is killed, and the next write there removes it";
        return Some(what.to_owned());
    }
    let endings = [".incomplete", ".part", ".partial", ".tmp", ".crdownload", ".aria2"];
    let ending = endings.iter().find(|ending| path.as_str().ends_with(**ending))?;
    Some(format!("{ending} is the ending of unfinished downloads"))
}

/// How two names are one name for some systems.
fn twin(a: &RelPath, b: &RelPath) -> Option<&'static str> {
    let composed = |path: &RelPath| path.as_str().nfc().collect::<String>();
    if composed(a) == composed(b) {
        return Some("only the Unicode form of its name differs");
    }
    (composed(a).to_lowercase() == composed(b).to_lowercase()).then_some("only the case of its name differs")
}

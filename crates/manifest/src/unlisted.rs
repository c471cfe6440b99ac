//! Files that are not listed: which of them are read, and what is reported about them.
//!
//! An unlisted file is a finding whatever it contains. It is read only to find out whether it is a listed file under
//! another name, which is possible only if it has the same length.

use std::collections::{BTreeMap, HashSet};
use std::fs::Metadata;

use rayon::prelude::*;
use retrace_files::{FileError, Hashed, Progress, Root, Wanted, hash_beneath, is_lock, is_partial};
use retrace_spec::RelPath;
use unicode_normalization::UnicodeNormalization;

use crate::verify::{Entry, Expected, Said, TensorLocations, Verdict, entry};

/// If no length is listed, longer files are not read.
const MOST_UNSIZED: u64 = 64 << 20;

/// The files that are not listed.
pub(crate) struct Unlisted<'a> {
    expected: &'a [Expected],
    /// The directory from which they are read.
    root: &'a Root,
    /// The lengths that are listed, and whether some are not; computed only if there is an unlisted file.
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
    /// No listed file has this length.
    OtherLength,
    TooLong,
    Sparse,
}

/// What is known about the content of such a file.
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
            // An error here will occur again when the file is read, and is reported then.
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

    /// Total length of those that are read, in bytes.
    pub(crate) fn to_read(&self) -> u64 {
        self.files.iter().filter(|file| file.read == Read::Yes).fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// The results for those that are read.
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

/// Whether nearly all of a file is holes, so that reading it takes long and gives no information. Compressing file
/// systems also use less than a file's length, but not so much less.
#[cfg(unix)]
pub(crate) fn is_sparse(file: &Metadata) -> bool {
    let allocated = std::os::unix::fs::MetadataExt::blocks(file).saturating_mul(512);
    file.len() > 1 << 20 && allocated < file.len() / 16
}

#[cfg(not(unix))]
pub(crate) fn is_sparse(_: &Metadata) -> bool {
    false
}

/// The entries of listed and other files, while some are found to have the content of others.
pub(crate) struct Told<'a> {
    /// Sorted by path.
    expected: &'a [Expected],
    /// For each expected file.
    said: Vec<Said>,
    extras: Vec<Entry>,
}

impl<'a> Told<'a> {
    pub(crate) const fn new(expected: &'a [Expected], said: Vec<Said>) -> Self {
        Self { expected, said, extras: Vec::new() }
    }

    /// Adds a file that is not listed. If its bytes are those of a missing one, it was renamed, and the two are
    /// reported as one entry, under the new name.
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

    /// The entries of each listed file, and of all others.
    pub(crate) fn finish(mut self) -> (Vec<Said>, Vec<Entry>) {
        self.name_twins();
        (self.said, self.extras)
    }

    /// If a missing file and one with other bytes have nearly the same name, each entry mentions the other.
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

/// What probably left a file of this name, if it is a name that programs give to unfinished files.
fn leftover(path: &RelPath) -> Option<String> {
    if is_partial(path.file_name()) || is_lock(path.file_name()) {
        let what = "a partial file of retrace: it remains if retrace is killed, and the next write there removes it";
        return Some(what.to_owned());
    }
    let endings = [".incomplete", ".part", ".partial", ".tmp", ".crdownload", ".aria2"];
    let ending = endings.iter().find(|ending| path.as_str().ends_with(**ending))?;
    Some(format!("{ending} is the ending of unfinished downloads"))
}

/// In which way two names are the same name for some systems.
fn twin(a: &RelPath, b: &RelPath) -> Option<&'static str> {
    let composed = |path: &RelPath| path.as_str().nfc().collect::<String>();
    if composed(a) == composed(b) {
        return Some("only the Unicode form of its name differs");
    }
    (composed(a).to_lowercase() == composed(b).to_lowercase()).then_some("only the case of its name differs")
}

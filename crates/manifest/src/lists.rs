//! Lists of checksums that other tools write, read as expected files.
//!
//! The supported formats are those of `sha256sum`, `b3sum`, `md5sum` and `sha1sum`, in their own and in the BSD form;
//! Git LFS pointers; and those of the modules here.

mod croissant;
mod dvc;
mod hub;

pub use dvc::Directory;

use std::collections::BTreeMap;

use retrace_files::{Algorithm, Checksum};
use retrace_spec::RelPath;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::verify::Expected;

/// Why a text is not a list of checksums.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{origin}{}: {what}", Line(*.line))]
pub struct ListError {
    /// The list's name.
    pub origin: String,
    /// The line, from 1; 0 if the error has no line.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

struct Line(usize);

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, ":{}", self.0) }
    }
}

/// A contradiction about a file between a list and another source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    /// The file.
    pub path: RelPath,
    /// The contradiction and its sources, as a sentence.
    pub what: String,
}

/// What a list says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct List {
    /// The files, sorted by path.
    pub files: Vec<Expected>,
    /// What is listed and is not checked as a file of this directory.
    pub elsewhere: Vec<Elsewhere>,
    /// Directories whose files are in another list, which [`List::add_directory`] adds.
    pub directories: Vec<Directory>,
    /// Contradictions within the list. The file is checked against what is said first.
    pub disagreements: Vec<Disagreement>,
    /// Why there may be more files than the list has, if it looks so.
    pub part: Option<String>,
}

impl List {
    /// Adds the files of a directory, from the text of its list.
    ///
    /// # Errors
    /// If it is not the text that was listed, or no list.
    pub fn add_directory(&mut self, directory: &Directory, text: &str) -> Result<(), ListError> {
        let name = directory.list.as_str();
        let mut reading = Reading { name, files: BTreeMap::new(), list: Self::default() };
        dvc::files_of(&mut reading, directory, text)?;
        let read = reading.files.into_values().collect();
        self.disagreements.extend(merge(&mut self.files, name, read));
        Ok(())
    }
}

/// An entry of a list that is not checked as a file of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Elsewhere {
    /// Its address or path, and any note that stands in place of a digest.
    pub what: String,
    /// What it is.
    pub place: Place,
    /// Whether the list has a digest of it, which is not checked then.
    pub digest: bool,
}

/// What an entry of a list is, if it is no file of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A repository, or a file outside the directory.
    Address,
    /// A directory of which the list has no file.
    Directory,
}

impl Elsewhere {
    /// Whether something that belongs to the release was not compared.
    pub fn is_finding(&self) -> bool {
        self.digest || self.place == Place::Directory
    }
}

/// Reads the list called `name`. If 64 digits could be SHA-256's or BLAKE3's, the name decides: `SHA256SUMS`,
/// `weights.sha256`, `B3SUMS`, `weights.b3`.
///
/// # Errors
/// The first line that is not a checksum and a path, or contradicts an earlier line about the same path.
pub fn read_list(name: &str, text: &str) -> Result<List, ListError> {
    let mut reading = Reading { name, files: BTreeMap::new(), list: List::default() };
    match text.trim_start() {
        _ if dvc::is_one(name) => dvc::read(&mut reading, text)?,
        start if start.starts_with('[') && text.contains("\"relpath\"") => dvc::directory(&mut reading, text)?,
        start if start.starts_with('[') || hub::is_object(start) => hub::read(&mut reading, text)?,
        start if start.starts_with('{') => croissant::read(&mut reading, text)?,
        _ => match lfs_pointer(text) {
            Some(pointer) => {
                let (oid, size) = pointer.map_err(|what| reading.refuse(0, what))?;
                reading.add(0, name, Some(size), Some(oid))?;
            }
            None => lines(&mut reading, text)?,
        },
    }
    reading.finish()
}

/// Whether a JSON object is a list in one of these formats, and not a manifest or a bundle.
pub fn is_json_list(text: &str) -> bool {
    croissant::is_one(text) || hub::is_object(text)
}

/// A list while it is read.
struct Reading<'a> {
    name: &'a str,
    files: BTreeMap<RelPath, Expected>,
    list: List,
}

impl Reading<'_> {
    fn refuse(&self, line: usize, what: String) -> ListError {
        ListError { origin: self.name.to_owned(), line, what }
    }

    /// Adds a file. Without a checksum it is still listed, and cannot be verified.
    fn add(&mut self, line: usize, path: &str, size: Option<u64>, checksum: Option<Checksum>) -> Result<(), ListError> {
        let parsed = path.strip_prefix("./").unwrap_or(path).parse();
        let path: RelPath = parsed.map_err(|e| self.refuse(line, format!("{e}")))?;
        let entry = self.files.entry(path.clone()).or_insert_with(|| Expected {
            path: path.clone(),
            size,
            checksums: Vec::new(),
            slices: Vec::new(),
            tensors: None,
        });
        let Some(checksum) = checksum else { return Ok(()) };
        match entry.checksums.iter().find(|known| known.algorithm() == checksum.algorithm()) {
            Some(known) if *known != checksum => {
                let what = format!("{path} is listed twice, with {known} and {checksum}");
                Err(self.refuse(line, what))
            }
            Some(_) => Ok(()),
            None => {
                entry.checksums.push(checksum);
                Ok(())
            }
        }
    }

    /// The checksum of the file at `path`.
    fn checksum(&self, path: &str, algorithm: Algorithm, hex: &str) -> Result<Checksum, ListError> {
        let checksum = Checksum::from_hex(algorithm, hex.strip_prefix("sha256:").unwrap_or(hex));
        checksum.ok_or_else(|| self.refuse(0, format!("{path}: {hex:?} is not a {}", algorithm.name())))
    }

    fn finish(self) -> Result<List, ListError> {
        if self.files.is_empty() && self.list.directories.is_empty() {
            let what = match self.list.elsewhere.is_empty() {
                true => "it lists no file".to_owned(),
                false => {
                    let only: Vec<&str> = self.list.elsewhere.iter().map(|entry| entry.what.as_str()).collect();
                    format!("it lists no digest of a file of a copy, but only {}", only.join(" and "))
                }
            };
            return Err(self.refuse(0, what));
        }
        Ok(List { files: self.files.into_values().collect(), ..self.list })
    }
}

fn json<T: for<'de> Deserialize<'de>>(name: &str, text: &str, what: &str) -> Result<T, ListError> {
    serde_json::from_str(text).map_err(|e| ListError {
        origin: name.to_owned(),
        line: e.line(),
        what: format!("it is not a {what}: {e}"),
    })
}

/// Reads lines of checksums and paths.
fn lines(reading: &mut Reading<'_>, text: &str) -> Result<(), ListError> {
    for (line, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        let (path, checksum) = entry(reading.name, text).map_err(|what| reading.refuse(line, what))?;
        reading.add(line, &path, None, Some(checksum))?;
    }
    Ok(())
}

/// What a Git LFS pointer states about the file that it represents, if the text is one.
/// <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>
pub fn lfs_pointer(text: &str) -> Option<Result<(Checksum, u64), String>> {
    let rest = text.strip_prefix("version https://git-lfs.github.com/spec/v1")?;
    let field = |name: &str| rest.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let oid = field("oid").and_then(|oid| Checksum::from_hex(Algorithm::Sha256, oid.strip_prefix("sha256:")?));
    let size = field("size").and_then(|size| size.parse().ok());
    Some(oid.zip(size).ok_or_else(|| "it is a Git LFS pointer without a valid `oid sha256:` and `size`".to_owned()))
}

/// The path and checksum of a line.
fn entry(name: &str, line: &str) -> Result<(String, Checksum), String> {
    if let Some((tag, rest)) = line.split_once(" (")
        && let Some((path, hex)) = rest.rsplit_once(") = ")
    {
        let algorithm = match tag {
            "SHA256" => Algorithm::Sha256,
            "BLAKE3" => Algorithm::Blake3,
            "SHA1" => Algorithm::Sha1,
            "MD5" => Algorithm::Md5,
            _ => return Err(format!("checksums of the kind {tag:?} are not supported")),
        };
        let checksum = Checksum::from_hex(algorithm, hex).ok_or_else(|| format!("{hex:?} is not a {tag}"))?;
        return Ok((path.to_owned(), checksum));
    }
    let (escaped, line) = match line.strip_prefix('\\') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let form = || "it is not a checksum, two spaces and a path".to_owned();
    let (hex, path) = line.split_once(' ').ok_or_else(form)?;
    let path = path.strip_prefix([' ', '*']).unwrap_or(path);
    let path = if escaped {
        unescaped(path).ok_or_else(|| format!("{path:?} has a wrong escape sequence"))?
    } else {
        path.to_owned()
    };
    let lower = name.to_ascii_lowercase();
    let algorithm = match hex.len() {
        32 => Algorithm::Md5,
        40 => Algorithm::Sha1,
        64 if lower.contains("b3") || lower.contains("blake3") => Algorithm::Blake3,
        64 if lower.contains("sha256") || lower.contains("sha-256") => Algorithm::Sha256,
        64 => return Err("64 digits can be SHA-256 or BLAKE3; name the list SHA256SUMS or B3SUMS".to_owned()),
        n => return Err(format!("{} digits are not a supported checksum", n)),
    };
    Checksum::from_hex(algorithm, hex).map(|checksum| (path, checksum)).ok_or_else(form)
}

/// A path with the escapes of `sha256sum`: `\\`, `\n` and `\r`.
fn unescaped(path: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        out.push(match (c, c == '\\') {
            (_, true) => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            (c, false) => c,
        });
    }
    Some(out)
}

/// Adds the content of the list called `name` to `expected`, and returns the contradictions. If there is one, the file
/// is checked against the first source.
pub fn merge(expected: &mut Vec<Expected>, name: &str, list: Vec<Expected>) -> Vec<Disagreement> {
    let mut disagreements = Vec::new();
    let mut known: BTreeMap<RelPath, Expected> =
        std::mem::take(expected).into_iter().map(|entry| (entry.path.clone(), entry)).collect();
    for listed in list {
        let Some(entry) = known.get_mut(&listed.path) else {
            known.insert(listed.path.clone(), listed);
            continue;
        };
        let mut tell = |what: String| disagreements.push(Disagreement { path: listed.path.clone(), what });
        match (entry.size, listed.size) {
            (Some(a), Some(b)) if a != b => tell(format!("{name} says {b} bytes, another source {a}")),
            (None, size) => entry.size = size,
            _ => {}
        }
        for checksum in listed.checksums {
            match entry.checksums.iter().find(|known| known.algorithm() == checksum.algorithm()) {
                Some(known) if *known != checksum => tell(format!("{name} says {checksum}, another source {known}")),
                Some(_) => {}
                None => entry.checksums.push(checksum),
            }
        }
    }
    *expected = known.into_values().collect();
    disagreements
}

#[cfg(test)]
mod tests;

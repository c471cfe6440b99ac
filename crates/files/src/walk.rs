//! The entries of a directory tree.

use std::fs;
use std::path::Path;

use rayon::prelude::*;
use retrace_spec::{Pattern, RelPath};

use crate::open::not_regular;
use crate::{EntryKind, FileError, Root};

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WalkEntry {
    /// A regular file.
    File(RelPath),
    /// A symbolic link or a special file, which is never followed or read.
    Special(RelPath),
    /// An entry that cannot be identified or read: a name that is not allowed in a release, or a directory that cannot
    /// be listed.
    Refused {
        /// Its path; in a name that is not allowed in a release, U+FFFD replaces the invalid part.
        path: RelPath,
        /// Why it is refused.
        what: String,
    },
}

impl WalkEntry {
    /// Its path.
    pub const fn path(&self) -> &RelPath {
        match self {
            Self::File(path) | Self::Special(path) | Self::Refused { path, .. } => path,
        }
    }
}

/// Everything below `root`, sorted by path, except the entries for which `skip` is true, and everything below them.
///
/// # Errors
/// If `root` itself cannot be listed. Entries further down that cannot be read are [`WalkEntry::Refused`], so that
/// they do not hide other entries.
pub fn walk(root: &Path, skip: &dyn Fn(&RelPath) -> bool) -> Result<Vec<WalkEntry>, FileError> {
    let mut found = Vec::new();
    let mut directories = Vec::new();
    list(root, None, skip, &mut found, &mut directories)?;
    while let Some(path) = directories.pop() {
        if let Err(error) = list(&path.under(root), Some(&path), skip, &mut found, &mut directories) {
            found.push(WalkEntry::Refused { path, what: error.to_string() });
        }
    }
    found.par_sort_by(|a, b| a.path().cmp(b.path()));
    Ok(found)
}

/// The entries directly in the directory at `place`, which is `directory` below the root.
fn list(
    place: &Path,
    directory: Option<&RelPath>,
    skip: &dyn Fn(&RelPath) -> bool,
    found: &mut Vec<WalkEntry>,
    directories: &mut Vec<RelPath>,
) -> Result<(), FileError> {
    let below = |name: &str| directory.map_or_else(|| name.parse(), |directory| directory.join(name));
    for entry in fs::read_dir(place).map_err(FileError::io(place, "list"))? {
        let entry = entry.map_err(FileError::io(place, "list"))?;
        let name = entry.file_name();
        let named = name.to_str().ok_or_else(|| format!("name {name:?} is not UTF-8"));
        let path = match named.and_then(|name| below(name).map_err(|e| e.to_string())) {
            Ok(path) => path,
            Err(what) => {
                let wrong = |c: char| matches!(c, '\\' | ':') || c.is_control();
                let path = below(&name.to_string_lossy().replace(wrong, "\u{fffd}"));
                let path = path.map_err(|e| FileError::Name { path: entry.path(), what: e.to_string() })?;
                found.push(WalkEntry::Refused { path, what });
                continue;
            }
        };
        if skip(&path) {
            continue;
        }
        let kind = entry.file_type().map_err(FileError::io(place, "read the metadata of"))?;
        if kind.is_dir() {
            directories.push(path);
        } else if kind.is_file() {
            found.push(WalkEntry::File(path));
        } else {
            found.push(WalkEntry::Special(path));
        }
    }
    Ok(())
}

/// The regular files below `root` that match any of `patterns`, sorted and each only once.
///
/// # Errors
/// If a pattern matches nothing, or matches a link or a special file.
pub fn expand(root: &Root, patterns: &[Pattern]) -> Result<Vec<RelPath>, FileError> {
    matching(root, patterns, EntryKind::File)
}

/// The directories below `root` that match any of `patterns`, sorted and each only once.
///
/// # Errors
/// As [`expand`].
pub fn expand_directories(root: &Root, patterns: &[Pattern]) -> Result<Vec<RelPath>, FileError> {
    matching(root, patterns, EntryKind::Directory)
}

fn matching(root: &Root, patterns: &[Pattern], wanted: EntryKind) -> Result<Vec<RelPath>, FileError> {
    let mut all = Vec::new();
    for pattern in patterns {
        let no_match = || FileError::NoMatch { root: root.path().to_owned(), pattern: pattern.to_string() };
        let directory = pattern.directory();
        let entries = match directory.as_ref().map(|directory| root.directory(directory)) {
            None => root.list()?,
            Some(Err(FileError::Io { source, .. })) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(no_match());
            }
            Some(inside) => inside?.list()?,
        };
        let before = all.len();
        for (name, kind) in entries {
            let other = if wanted == EntryKind::File { EntryKind::Directory } else { EntryKind::File };
            if kind == other || !pattern.matches_name(&name) {
                continue;
            }
            let found = directory.as_ref().map_or_else(|| name.parse(), |directory| directory.join(&name));
            let found = found.map_err(|e| FileError::Name { path: root.path().join(&name), what: e.to_string() })?;
            match kind {
                EntryKind::Link => return Err(FileError::Link { path: found.under(root.path()) }),
                EntryKind::Special => return Err(not_regular(&found.under(root.path()))),
                EntryKind::File | EntryKind::Directory => all.push(found),
            }
        }
        if all.len() == before {
            return Err(no_match());
        }
    }
    all.sort();
    all.dedup();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_and_expands_in_order_and_follows_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for path in ["b/2", "b/1", "a", "skip/x", "b/.hidden"] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), path).unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc", root.join("link")).unwrap();
        let found = walk(root, &|path| path.as_str() == "skip").unwrap();
        let names: Vec<_> = found.iter().map(|found| found.path().as_str()).collect();
        assert_eq!(
            names,
            if cfg!(unix) {
                vec!["a", "b/.hidden", "b/1", "b/2", "link"]
            } else {
                vec!["a", "b/.hidden", "b/1", "b/2"]
            }
        );
        assert!(!cfg!(unix) || matches!(found.last(), Some(WalkEntry::Special(_))));
        let expand = |patterns: &[&str]| {
            let patterns: Vec<Pattern> = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
            expand(&Root::open(root).unwrap(), &patterns)
        };
        let expanded = expand(&["b/*", "b/1", "a"]).unwrap();
        assert_eq!(expanded.iter().map(RelPath::as_str).collect::<Vec<_>>(), ["a", "b/1", "b/2"]);
        assert!(expand(&["c/*"]).is_err());
        assert!(expand(&["b/x*"]).is_err());
        // What is left out must be reported.
        assert!(!cfg!(unix) || matches!(expand(&["*"]), Err(FileError::Link { .. })));
        assert!(!cfg!(unix) || matches!(expand(&["link/passwd"]), Err(FileError::Link { .. })));
    }
    #[cfg(unix)]
    #[test]
    fn a_bad_name_is_told_and_the_rest_is_still_found() {
        use std::os::unix::ffi::OsStrExt;
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for name in [&b"a"[..], b"bad:colon", b"bad\xff", b"z"] {
            fs::write(root.join(std::ffi::OsStr::from_bytes(name)), b"").unwrap();
        }
        let found = walk(root, &|_| false).unwrap();
        let files: Vec<_> =
            found.iter().filter(|f| matches!(f, WalkEntry::File(_))).map(|f| f.path().as_str()).collect();
        assert_eq!(files, ["a", "z"]);
        assert_eq!(found.len(), 4);
    }
}

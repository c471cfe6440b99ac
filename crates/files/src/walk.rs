//! What lies in a directory.

use std::fs;
use std::path::Path;

use retrace_spec::RelPath;

use crate::FileError;

/// Something that lies in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// A regular file.
    File(RelPath),
    /// A symbolic link or a special file, which is never followed or read.
    Special(RelPath),
}

impl Found {
    /// Where it lies.
    pub const fn path(&self) -> &RelPath {
        match self {
            Self::File(path) | Self::Special(path) => path,
        }
    }
}

/// Everything below `root`, sorted by path, but for what `skip` says and what lies below that.
///
/// # Errors
/// If a directory cannot be listed, or a name is not one that a release can have.
pub fn walk(root: &Path, skip: &dyn Fn(&RelPath) -> bool) -> Result<Vec<Found>, FileError> {
    let mut found = Vec::new();
    let mut directories = vec![None];
    while let Some(directory) = directories.pop() {
        let place = directory.as_ref().map_or_else(|| root.to_owned(), |path: &RelPath| path.under(root));
        for entry in fs::read_dir(&place).map_err(FileError::io(&place, "list"))? {
            let entry = entry.map_err(FileError::io(&place, "list"))?;
            let name = entry.file_name();
            let refuse = |what: String| FileError::Name { path: entry.path(), what };
            let name = name.to_str().ok_or_else(|| refuse("its name is not UTF-8".to_owned()))?;
            let path = match &directory {
                Some(directory) => directory.join(name),
                None => name.parse(),
            };
            let path = path.map_err(|e| refuse(e.to_string()))?;
            if skip(&path) {
                continue;
            }
            let kind = entry.file_type().map_err(FileError::io(&place, "look at"))?;
            if kind.is_dir() {
                directories.push(Some(path));
            } else if kind.is_file() {
                found.push(Found::File(path));
            } else {
                found.push(Found::Special(path));
            }
        }
    }
    found.sort_by(|a, b| a.path().cmp(b.path()));
    Ok(found)
}

/// The regular files below `root` that match any of `patterns`, sorted and each once. A pattern is
/// a path whose last part may hold `*`, which stands for any text; a name that begins with a dot is
/// matched only by a pattern that does.
///
/// # Errors
/// If a pattern is no path, or matches nothing.
pub fn expand(root: &Path, patterns: &[String]) -> Result<Vec<RelPath>, FileError> {
    let mut all = Vec::new();
    for pattern in patterns {
        let no_match = || FileError::NoMatch { root: root.to_owned(), pattern: pattern.clone() };
        let path: RelPath = pattern
            .parse()
            .map_err(|e: retrace_spec::PathError| FileError::Name { path: pattern.into(), what: e.to_string() })?;
        let directory = path.parent();
        let place = directory.as_ref().map_or_else(|| root.to_owned(), |path| path.under(root));
        if !place.is_dir() {
            return Err(no_match());
        }
        let before = all.len();
        for entry in fs::read_dir(&place).map_err(FileError::io(&place, "list"))? {
            let entry = entry.map_err(FileError::io(&place, "list"))?;
            let is_file = entry.file_type().map_err(FileError::io(&place, "look at"))?.is_file();
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| is_file && matches(path.file_name(), name)) else { continue };
            let found = directory.as_ref().map_or_else(|| name.parse(), |directory| directory.join(name));
            all.push(found.map_err(|e| FileError::Name { path: entry.path(), what: e.to_string() })?);
        }
        if all.len() == before {
            return Err(no_match());
        }
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// Whether `name` is `pattern`, where `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("a.jsonl", "a.jsonl", true),
            ("a.jsonl", "b.jsonl", false),
            ("*.jsonl", "a.jsonl", true),
            ("*.jsonl", ".jsonl.partial", false),
            ("*", ".hidden", false),
            ("en-*.jsonl", "en-00.jsonl", true),
            ("en-*.jsonl", "select-en-00.jsonl", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

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
        assert!(!cfg!(unix) || matches!(found.last(), Some(Found::Special(_))));
        let expanded = expand(root, &["b/*".to_owned(), "b/1".to_owned(), "a".to_owned()]).unwrap();
        assert_eq!(expanded.iter().map(RelPath::as_str).collect::<Vec<_>>(), ["a", "b/1", "b/2"]);
        assert!(expand(root, &["c/*".to_owned()]).is_err());
        assert!(expand(root, &["b/x*".to_owned()]).is_err());
        assert!(expand(root, &["../*".to_owned()]).is_err());
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
        let files: Vec<_> = found.iter().filter(|f| matches!(f, Found::File(_))).map(|f| f.path().as_str()).collect();
        assert_eq!(files, ["a", "z"]);
        assert_eq!(found.len(), 4);
    }
}

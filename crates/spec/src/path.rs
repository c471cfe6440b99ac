//! Paths inside a release.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// A path inside a release: relative, with `/` between its parts. On no system can it leave the directory that it is
/// joined to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RelPath(String);

/// Why a text is not a path inside a release.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("path {path:?} {why}")]
pub struct PathError {
    /// The text.
    pub path: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl RelPath {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path below `root`.
    pub fn under(&self, root: &Path) -> PathBuf {
        root.join(&self.0)
    }

    /// The path of `name` below this one.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        format!("{}/{name}", self.0).try_into()
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// All but the last part, if there is more than one.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// This path and the directories that contain it, the nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self.as_str()), |path| path.rsplit_once('/').map(|(parent, _)| parent))
    }

    /// Whether this is `directory` or is below it.
    pub fn is_within(&self, directory: &Self) -> bool {
        self.0.strip_prefix(&directory.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl TryFrom<String> for RelPath {
    type Error = PathError;

    fn try_from(path: String) -> Result<Self, PathError> {
        match complaint(&path) {
            Some(why) => Err(PathError { path, why }),
            None => Ok(Self(path)),
        }
    }
}

/// Why a text is not a path inside a release.
fn complaint(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("is empty");
    }
    if path.starts_with('/') {
        return Some("is absolute; give it relative to the release's directory");
    }
    // The control characters beyond ASCII begin with this byte in UTF-8.
    let may_be_control = |byte: u8| byte < b' ' || byte == 0x7f || byte == 0xc2;
    let strange = path.bytes().any(|byte| matches!(byte, b'\\' | b':') || may_be_control(byte));
    if strange && path.chars().any(|c| matches!(c, '\\' | ':') || c.is_control()) {
        return Some("has a backslash, colon or control character, which some systems do not allow in names");
    }
    path.split('/').find_map(|part| match part {
        "" => Some("has an empty part"),
        "." | ".." => Some("has a `.` or `..` part, which is not allowed inside a release"),
        _ => None,
    })
}

impl FromStr for RelPath {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        Self::try_from(path.to_owned())
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leaves_its_directory() {
        for path in [
            "",
            "/etc/passwd",
            "..",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            "./a",
            "C:/x",
            "a\\b",
            "a\nb",
            "a\0",
            "a\u{7f}",
            "\u{85}a",
        ] {
            assert!(path.parse::<RelPath>().is_err(), "{path:?} was taken");
        }
        for path in ["a", "a/b.c", "语料/zh 0.jsonl", "..a", ".hidden"] {
            assert!(path.parse::<RelPath>().is_ok(), "{path:?} was refused");
        }
    }

    #[test]
    fn within_is_by_parts() {
        let path = |text: &str| text.parse::<RelPath>().expect("a path");
        assert_eq!(path("runs/a/x").ancestors().collect::<Vec<_>>(), ["runs/a/x", "runs/a", "runs"]);
        assert!(path("runs/a/x").is_within(&path("runs/a")));
        assert!(path("runs/a").is_within(&path("runs/a")));
        assert!(!path("runs/ab").is_within(&path("runs/a")));
    }
}

//! Patterns of paths, with which documents name several files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{PathError, RelPath};

/// A path inside a release whose last part may contain `*`, which matches any text. A name that begins with a dot is
/// matched only by a pattern that begins with a dot too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Pattern(RelPath);

impl Pattern {
    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The directory that it searches, if that is not the release's own.
    pub fn directory(&self) -> Option<RelPath> {
        self.0.parent()
    }

    /// Its last part, which may contain `*`.
    pub fn name(&self) -> &str {
        self.0.file_name()
    }

    /// The same names in another directory.
    ///
    /// # Errors
    /// If the two do not make a valid path.
    pub fn within(&self, directory: &RelPath) -> Result<Self, PathError> {
        Ok(Self(directory.join(self.name())?))
    }

    /// Whether `path` matches this, where `*` matches any text.
    pub fn matches(&self, path: &RelPath) -> bool {
        path.parent() == self.directory() && self.matches_name(path.file_name())
    }

    /// Whether a file called `name` in [`Self::directory`] matches.
    pub fn matches_name(&self, name: &str) -> bool {
        let pattern = self.name();
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

    /// Whether some name in the same directory matches both.
    pub fn can_share_a_name(&self, other: &Self) -> bool {
        can_meet(self.name().as_bytes(), other.name().as_bytes())
    }
}

/// Whether some text matches both patterns. Computes which pairs of their beginnings a common text can reach.
fn can_meet(a: &[u8], b: &[u8]) -> bool {
    let star = |pattern: &[u8], at: usize| pattern.get(at) == Some(&b'*');
    let mut reached = vec![vec![false; b.len() + 1]; a.len() + 1];
    reached[0][0] = true;
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if !reached[i][j] {
                continue;
            }
            // A `*` ends, or matches one more byte or `*` of the other pattern.
            if star(a, i) {
                reached[i + 1][j] = true;
                if j < b.len() {
                    reached[i][j + 1] = true;
                }
            }
            if star(b, j) {
                reached[i][j + 1] = true;
                if i < a.len() {
                    reached[i + 1][j] = true;
                }
            }
            if i < a.len() && j < b.len() && a[i] == b[j] {
                reached[i + 1][j + 1] = true;
            }
        }
    }
    reached[a.len()][b.len()]
}

impl FromStr for Pattern {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let path: RelPath = text.parse()?;
        if path.parent().is_some_and(|parent| parent.as_str().contains('*')) {
            return Err(PathError {
                path: text.to_owned(),
                why: "has a `*` in a directory; only the file name can have one",
            });
        }
        Ok(Self(path))
    }
}

impl From<RelPath> for Pattern {
    /// The pattern that matches one path. A `*` in its directories is an ordinary character.
    fn from(path: RelPath) -> Self {
        Self(path)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (text, name, expected) in [
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
        ] {
            assert_eq!(pattern(text).matches_name(name), expected, "{text} {name}");
        }
        assert!(pattern("d/*").matches(&"d/x".parse().unwrap()));
        assert!(!pattern("d/*").matches(&"e/x".parse().unwrap()));
        assert!("d*/x".parse::<Pattern>().is_err() && "../x".parse::<Pattern>().is_err());
    }

    /// By brute force: all names of up to four letters from an alphabet of two.
    #[test]
    fn two_patterns_meet_if_some_name_matches_both() {
        let mut names = vec![String::new()];
        for _ in 0..4 {
            let longer: Vec<String> = names.iter().flat_map(|name| [format!("{name}a"), format!("{name}b")]).collect();
            names.extend(longer);
        }
        let texts = ["a", "b", "ab", "*", "a*", "*a", "b*", "*b", "a*b", "b*a", "*a*", "a*a", "*ab*", "aa", "abba"];
        for one in texts {
            for other in texts {
                let (first, second) = (pattern(one), pattern(other));
                let meet =
                    names.iter().any(|name| !name.is_empty() && first.matches_name(name) && second.matches_name(name));
                assert_eq!(first.can_share_a_name(&second), meet, "{one} {other}");
            }
        }
    }
}

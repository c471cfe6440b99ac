//! SQL from files: named queries and rules.

use std::path::{Path, PathBuf};

use retrace_files::{FileError, Root};
use retrace_spec::PathError;

/// A longer file is not a hand-written query.
const LONGEST: u64 = 1 << 20;

/// A file of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlFile {
    /// Its name without `.sql`.
    pub name: String,
    /// Its path.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
}

/// The `*.sql` files in `directory`, sorted by name. They may be untrusted: each must be a regular file of at most 1
/// MiB, and not a link.
///
/// # Errors
/// If the directory cannot be listed, or a file cannot be read, is longer or is not such a file.
pub fn read_sql(directory: &Path) -> Result<Vec<SqlFile>, FileError> {
    let root = Root::open(directory)?;
    let mut files = Vec::new();
    for (file, _) in root.list()? {
        let Some(name) = file.strip_suffix(".sql").filter(|name| !name.is_empty()) else { continue };
        let path = directory.join(&file);
        let refuse = |e: PathError| FileError::Name { path: path.clone(), what: e.to_string() };
        let text = root.file(&file.parse().map_err(refuse)?)?.text(LONGEST)?;
        files.push(SqlFile { name: name.to_owned(), path, text });
    }
    Ok(files)
}

/// A line of the comments at the start of a file of SQL: `-- KEY: VALUE`, or a remark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderLine {
    /// Its line number in the file, from 1.
    pub line: usize,
    /// Its content.
    text: String,
}

impl HeaderLine {
    /// The lines of the header of `sql`. A comment that begins with two spaces continues the line before it.
    pub fn all(sql: &str) -> Vec<Self> {
        let mut lines: Vec<Self> = Vec::new();
        let comments = sql.lines().map_while(|line| line.strip_prefix("--"));
        for (line, comment) in (1..).zip(comments) {
            match lines.last_mut().filter(|_| comment.starts_with("  ")) {
                Some(last) => {
                    last.text.push(' ');
                    last.text.push_str(comment.trim());
                }
                None => lines.push(Self { line, text: comment.trim().to_owned() }),
            }
        }
        lines
    }

    /// The key and its value; `None` for a remark without a colon.
    pub fn field(&self) -> Option<(&str, &str)> {
        let (key, value) = self.text.split_once(": ").or_else(|| self.text.split_once(':'))?;
        Some((key.trim(), value.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_by_hand() {
        let sql =
            "-- title: a: b\n--   goes on\n--needs:t\n-- a remark\n-- parameter x = 'a:b': y\nselect 1\n-- no: more";
        let lines = HeaderLine::all(sql);
        let fields: Vec<_> = lines.iter().map(|line| (line.line, line.field())).collect();
        assert_eq!(
            fields,
            [
                (1, Some(("title", "a: b goes on"))),
                (3, Some(("needs", "t"))),
                (4, None),
                (5, Some(("parameter x = 'a:b'", "y"))),
            ]
        );
        assert_eq!(HeaderLine::all("select 1 -- a: b"), []);
    }
}

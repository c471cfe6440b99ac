//! SQL that comes in files: named queries, rules.

use std::path::{Path, PathBuf};

use retrace_files::{FileError, Root};
use retrace_spec::PathError;

/// More than this is no query of a person.
const LONGEST: u64 = 1 << 20;

/// A file of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlFile {
    /// Its name without `.sql`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

/// The `*.sql` files in `directory`, sorted by name. They may be a stranger's: each is a regular file of
/// at most 1 MiB, and no link.
///
/// # Errors
/// If the directory cannot be listed, or one of them cannot be read, is longer or no such file.
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

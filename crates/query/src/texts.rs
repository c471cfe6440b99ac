//! SQL that comes in files: named queries, rules.

use std::io::Read;
use std::path::{Path, PathBuf};

use retrace_files::{FileError, Root};

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
    for entry in std::fs::read_dir(directory).map_err(FileError::io(directory, "list"))? {
        let path = entry.map_err(FileError::io(directory, "list"))?.path();
        if path.extension().is_none_or(|extension| extension != "sql") {
            continue;
        }
        let refuse = |what: String| FileError::Name { path: path.clone(), what };
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| refuse("its name is not UTF-8".to_owned()))?;
        let (file, _) = root.file(&name.parse().map_err(|e: retrace_spec::PathError| refuse(e.to_string()))?)?;
        let mut text = String::new();
        let read = file.take(LONGEST + 1).read_to_string(&mut text).map_err(FileError::io(&path, "read"))?;
        if read as u64 > LONGEST {
            return Err(refuse(format!("it has more than {LONGEST} bytes, which no query has")));
        }
        files.push(SqlFile { name: name.trim_end_matches(".sql").to_owned(), path, text });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

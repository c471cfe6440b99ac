//! Only one process at a time can write to a directory of tables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use retrace_files::{FileError, Lock, Root, sweep_all};
use retrace_spec::Digest;

use crate::repeated::{Repeated, repeated};
use crate::{Batch, Claim, Row, TablesError, TrainLog, file};

/// The tables of a directory, which no other process writes to meanwhile. A reader sees each table's file complete,
/// either before or after a change.
#[derive(Debug)]
pub struct Tables {
    directory: PathBuf,
    _lock: Lock,
}

impl Tables {
    /// Locks the directory, which is made if necessary, and removes incomplete files of killed writers. Its path may
    /// contain links, but it must not be a link itself: `tables` of an untrusted release cannot refer to another
    /// directory.
    ///
    /// # Errors
    /// If another process writes there, it is a link, or it cannot be made or locked.
    pub fn lock(directory: &Path) -> Result<Self, TablesError> {
        // Without a `/` at its end, which would follow a link.
        let directory: PathBuf = directory.components().collect();
        if directory.is_symlink() {
            return Err(FileError::Link { path: directory }.into());
        }
        let root = Root::make(&directory)?;
        sweep_all(&root)?;
        Ok(Self { directory, _lock: Lock::directory(root)? })
    }

    /// The digest of each file in the table `sources`, by release and source.
    ///
    /// # Errors
    /// If the existing file is not such a table.
    pub fn digests(&self) -> Result<BTreeMap<(String, String), String>, TablesError> {
        file::digests(&self.directory)
    }

    /// How many rows of `new` the training log has from sources other than these, with the same run, step and numbers.
    ///
    /// # Errors
    /// If the existing file is not such a table.
    pub fn repeated(
        &self,
        sources: &BTreeSet<(String, String)>,
        new: &[Batch<TrainLog>],
    ) -> Result<Repeated, TablesError> {
        repeated(&file::others::<TrainLog>(&self.directory, sources)?, new)
    }

    /// The claims of this name that sources other than these make.
    ///
    /// # Errors
    /// If the existing file is not such a table.
    pub fn claims(&self, sources: &BTreeSet<(String, String)>, name: &str) -> Result<Vec<Claim>, TablesError> {
        file::claims(&self.directory, sources, name)
    }

    /// Adds rows to their table: existing rows of these releases and sources are replaced, and all others are kept.
    /// Without rows no file is made.
    ///
    /// # Errors
    /// If the existing file is not such a table, or writing to the disk fails.
    pub fn merge<R: Row>(&self, sources: &BTreeSet<(String, String)>, rows: Vec<Batch<R>>) -> Result<(), TablesError> {
        file::merge(&self.directory, sources, rows)
    }
}

/// Writes `rows`, sorted by their columns from left to right, to the table's file in `directory`.
///
/// # Errors
/// If another process writes there, or writing to the disk fails.
pub fn write<R: Row>(directory: &Path, rows: &[R]) -> Result<Digest, TablesError> {
    let tables = Tables::lock(directory)?;
    file::write(&tables.directory, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    #[cfg(unix)]
    #[test]
    fn no_link_leads_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", directory.path().join("tables")).unwrap();
        for tables in ["tables", "tables/", "tables/."] {
            let told = write::<Source>(&directory.path().join(tables), &[]).unwrap_err().to_string();
            assert!(told.contains("symbolic link"), "{told}");
        }
        assert_eq!(std::fs::read_dir(directory.path().join("elsewhere")).unwrap().count(), 0);
    }

    #[test]
    fn one_writes_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let tables = Tables::lock(directory.path()).unwrap();
        let told = Tables::lock(directory.path()).unwrap_err().to_string();
        assert!(told.contains(&format!("is being written by process {}", std::process::id())), "{told}");
        assert!(write::<Source>(directory.path(), &[]).is_err());
        drop(tables);
        std::fs::write(directory.path().join(".sources.parquet.0123456789abcdef.retrace-partial"), "half").unwrap();
        write::<Source>(directory.path(), &[]).unwrap();
        let names: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["sources.parquet"]);
    }
}

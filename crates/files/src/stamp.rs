//! Whether a file is unchanged, by its metadata.

use std::fs::Metadata;

use serde::{Deserialize, Serialize};

/// Metadata that changes when a file's bytes change: its length, the times of its last change, and which file it is.
/// Not a proof: the owner of the machine can set the clock back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Seconds and nanoseconds; programs can set it.
    modified: (i64, i64),
    /// Of content, name or mode; programs cannot set it. Zero if the system has none.
    changed: (i64, i64),
    /// Device and number. Zero if the system has none.
    file: (u64, u64),
}

impl Stamp {
    /// From the system's metadata of a file.
    #[cfg(unix)]
    pub fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            file: (metadata.dev(), metadata.ino()),
        }
    }

    /// From the system's metadata of a file.
    #[cfg(not(unix))]
    pub fn of(metadata: &Metadata) -> Self {
        let since = metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let modified = since.map_or((0, 0), |since| (since.as_secs() as i64, since.subsec_nanos().into()));
        Self { size: metadata.len(), modified, changed: (0, 0), file: (0, 0) }
    }
}

//! Files mapped into memory. The only module of this crate with `unsafe`.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::FileError;

/// The file's `size` bytes as memory.
///
/// Only for callers whose user requested it: if the file is truncated while it is mapped, the process ends, and if it
/// is written to, the bytes change while they are read.
///
/// # Errors
/// If it cannot be mapped, or its length has changed.
pub(crate) fn map(path: &Path, file: &File, size: u64) -> Result<Mmap, FileError> {
    #[allow(unsafe_code, reason = "there is no mapping without it")]
    // SAFETY: the bytes are only read, and only hashed: if they change meanwhile, no reference to them is used after
    // the hashing, and they affect nothing except a digest, which then differs.
    let map = unsafe { Mmap::map(file) }.map_err(FileError::io(path, "map"))?;
    if map.len() as u64 != size {
        return Err(FileError::Changed { path: path.to_owned(), what: "its length changed".to_owned() });
    }
    // Only a hint: without it the bytes are the same.
    #[cfg(unix)]
    let _ = map.advise(memmap2::Advice::Sequential);
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_its_bytes_and_no_other_length() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, b"some bytes").unwrap();
        let file = File::open(&path).unwrap();
        assert_eq!(&map(&path, &file, 10).unwrap()[..], b"some bytes");
        for wrong in [0, 9, 11, u64::MAX] {
            assert!(map(&path, &file, wrong).is_err());
        }
        assert!(map(&path, &File::open(directory.path()).unwrap(), 0).is_err());
    }
}

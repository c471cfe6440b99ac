//! The digest of a file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use retrace_spec::Digest;

use crate::FileError;

/// Read at once: enough for BLAKE3 to use its widest code and every core.
const BUFFER: usize = 1 << 20;

/// The length and BLAKE3 of the file at `path`, in constant memory.
///
/// The file is opened once; if its length or time of change differ before and after, or other bytes
/// were read than it has, that is an error rather than a digest of nothing in particular.
///
/// # Errors
/// If it cannot be read, is not a regular file, or changes meanwhile.
pub fn hash_file(path: &Path) -> Result<(u64, Digest), FileError> {
    // Before it is opened, because the opening of a pipe waits for someone to write into it.
    if !path.metadata().map_err(FileError::io(path, "open"))?.is_file() {
        return Err(FileError::Name { path: path.to_owned(), what: "it is not a regular file".to_owned() });
    }
    let mut file = File::open(path).map_err(FileError::io(path, "open"))?;
    let before = file.metadata().map_err(FileError::io(path, "look at"))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER.min(before.len() as usize + 1)];
    let mut read = 0u64;
    loop {
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(FileError::io(path, "read")(e)),
            }
        }
        if filled == 0 {
            break;
        }
        hasher.update_rayon(&buffer[..filled]);
        read += filled as u64;
    }
    let after = file.metadata().map_err(FileError::io(path, "look at"))?;
    if read != before.len() || after.len() != before.len() {
        let what = format!("it had {} bytes, then {}, and {read} were read", before.len(), after.len());
        return Err(FileError::Changed { path: path.to_owned(), what });
    }
    if after.modified().ok() != before.modified().ok() {
        return Err(FileError::Changed { path: path.to_owned(), what: "its time of change is another".to_owned() });
    }
    Ok((read, hasher.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_plain_digest_at_every_size() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        // Around the buffer's and BLAKE3's block and chunk sizes.
        for size in [0, 1, 63, 64, 65, 1023, 1024, 1025, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER + 7] {
            let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(hash_file(&path).unwrap(), (size as u64, Digest::of(&bytes)));
        }
        assert!(hash_file(directory.path()).is_err());
        // Never ending, and not regular: refused at once.
        assert!(!cfg!(unix) || hash_file(Path::new("/dev/zero")).is_err());
        assert!(hash_file(&directory.path().join("none")).is_err());
    }
}

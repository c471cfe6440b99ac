//! The results of shards, kept so that a search that was stopped goes on.

use std::path::{Path, PathBuf};

use retrace_files::{RegularFile, write_whole};
use retrace_spec::Digest;

use super::shards::OfShard;
use crate::StepError;

/// A directory with a file for each shard that was searched: named by the digests of the shard, its name and the search.
#[derive(Debug)]
pub(super) struct Kept {
    directory: PathBuf,
    search: Digest,
}

/// The largest file that is read.
const LARGEST: u64 = 4 << 30;

impl Kept {
    pub(super) fn new(directory: &Path, search: &Digest) -> Self {
        Self { directory: directory.to_owned(), search: *search }
    }

    fn file(&self, shard: &str, digest: Digest) -> PathBuf {
        let key = Digest::of(format!("{}\n{digest}\n{shard}", self.search).as_bytes()).to_string();
        let key: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
        self.directory.join(format!("{key}.json"))
    }

    /// The result of a shard, if it was kept. A file that cannot be read is none: the shard is searched again.
    pub(super) fn get(&self, shard: &str, digest: Digest) -> Option<OfShard> {
        let bytes = RegularFile::open(&self.file(shard, digest)).and_then(|file| file.read(LARGEST)).ok()?;
        // The first bytes are the digest of the rest.
        let (stated, rest) = bytes.split_at_checked(Digest::of(b"").to_string().len() + 1)?;
        let whole = stated.strip_suffix(b"\n").is_some_and(|stated| stated == Digest::of(rest).to_string().as_bytes());
        whole.then(|| serde_json::from_slice(rest).ok()).flatten()
    }

    pub(super) fn put(&self, shard: &str, digest: Digest, found: &OfShard) -> Result<(), StepError> {
        let path = self.file(shard, digest);
        let json = |error: serde_json::Error| retrace_files::FileError::Json {
            path: path.clone(),
            line: 0,
            what: error.to_string(),
        };
        let mut text = serde_json::to_string(found).map_err(json)?;
        text.insert_str(0, &format!("{}\n", Digest::of(text.as_bytes())));
        write_whole(&path, text.as_bytes())?;
        Ok(())
    }
}

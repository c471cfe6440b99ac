//! What hubs in the manner of Hugging Face say of the files of a repository or bucket.
//!
//! The forms are those that huggingface_hub 2.4.0 reads and writes: the pages of `/api/models/NAME/tree/main` and of a
//! bucket's tree, an array of `RepoFile` or `BucketFile` (`hf_api.py`, `_buckets.py`); the answer of
//! `/api/models/NAME?blobs=true` (`siblings`); and the listing of a commit that the client keeps below
//! `.cache/huggingface/trees` (`_tree_cache.py`).

use std::collections::{BTreeMap, BTreeSet};

use retrace_files::Algorithm;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Elsewhere, ListError, Place, Reading, json};

/// Entries in a full page of a tree.
const PAGE: usize = 1000;
/// Entries in a full page if the last commit of each file is asked for (`expand=true`), or a divisor of that number.
const EXPANDED_PAGE: usize = 50;

/// One entry of a tree; its other fields are not needed.
#[derive(Deserialize)]
struct Node {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    oid: Option<String>,
    lfs: Option<Lfs>,
    #[serde(rename = "xetHash")]
    xet: Option<String>,
    #[serde(rename = "lastCommit")]
    commit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Lfs {
    #[serde(alias = "sha256")]
    oid: String,
    size: u64,
}

/// The answer about a repository.
#[derive(Deserialize)]
struct Repository {
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    oid: Option<String>,
    lfs: Option<Lfs>,
}

/// The listing that the client keeps.
#[derive(Deserialize)]
struct Kept {
    format_version: u64,
    files: BTreeMap<String, KeptFile>,
}

#[derive(Deserialize)]
struct KeptFile {
    size: u64,
    blob_id: Option<String>,
    lfs_sha256: Option<String>,
    lfs_size: Option<u64>,
    xet_hash: Option<String>,
}

/// The fields of an object that tell which list it is.
#[derive(Deserialize)]
struct Fields {
    siblings: Option<IgnoredAny>,
    format_version: Option<IgnoredAny>,
    files: Option<IgnoredAny>,
    retrace: Option<IgnoredAny>,
}

impl Fields {
    /// The fields of a text that may be such an object; a large manifest is not read twice for this.
    fn of(text: &str) -> Option<Self> {
        let may_be = text.starts_with('{') && (text.contains("\"siblings\"") || text.contains("\"format_version\""));
        let fields: Option<Self> = may_be.then(|| serde_json::from_str(text).ok()).flatten();
        fields.filter(|fields| fields.retrace.is_none())
    }
}

/// Whether a JSON object is a list of a hub.
pub(super) fn is_object(text: &str) -> bool {
    Fields::of(text.trim_start())
        .is_some_and(|fields| fields.siblings.is_some() || (fields.format_version.is_some() && fields.files.is_some()))
}

/// What is known about the content of a file.
struct Content {
    size: Option<u64>,
    /// Git's name of it. If the content is stored outside git, this is the name of a pointer to it.
    oid: Option<String>,
    sha256: Option<String>,
    xet: Option<String>,
}

/// Reads a list in any of the forms.
pub(super) fn read(reading: &mut Reading<'_>, text: &str) -> Result<(), ListError> {
    if text.trim_start().starts_with('[') {
        return tree(reading, text);
    }
    if Fields::of(text.trim_start()).is_some_and(|fields| fields.siblings.is_some()) {
        for Sibling { rfilename, size, oid, lfs } in
            json::<Repository>(reading.name, text, "hub's answer about a repository")?.siblings
        {
            let (sha256, longer) = lfs.map(|lfs| (lfs.oid, lfs.size)).unzip();
            add(reading, &rfilename, Content { size: longer.or(size), oid, sha256, xet: None })?;
        }
        return Ok(());
    }
    let kept: Kept = json(reading.name, text, "listing that a hub's client keeps")?;
    if kept.format_version != 1 {
        let what = format!("it is a hub client's listing of version {}, and only 1 is supported", kept.format_version);
        return Err(reading.refuse(0, what));
    }
    for (path, file) in kept.files {
        let KeptFile { size, blob_id, lfs_sha256, lfs_size, xet_hash } = file;
        let size = Some(lfs_size.unwrap_or(size));
        add(reading, &path, Content { size, oid: blob_id, sha256: lfs_sha256, xet: xet_hash })?;
    }
    Ok(())
}

/// Reads a tree. Its pages may have been written one after the other.
fn tree(reading: &mut Reading<'_>, text: &str) -> Result<(), ListError> {
    let (mut entries, mut expanded) = (0_usize, false);
    let mut directories = Vec::new();
    for page in serde_json::Deserializer::from_str(text).into_iter::<Vec<Node>>() {
        let page = page.map_err(|e| reading.refuse(e.line(), format!("it is not a list of a hub's files: {e}")))?;
        entries += page.len();
        for Node { kind, path, size, oid, lfs, xet, commit } in page {
            expanded |= commit.is_some();
            if kind == "directory" {
                directories.push((path, oid.is_some()));
                continue;
            }
            let (sha256, size) = lfs.map_or((None, size), |lfs| (Some(lfs.oid), lfs.size));
            add(reading, &path, Content { size: Some(size), oid, sha256, xet })?;
        }
    }
    let holding: BTreeSet<&str> = reading.files.keys().flat_map(|path| path.ancestors()).collect();
    directories.retain(|(path, _)| !holding.contains(path.as_str()));
    let elsewhere = |(what, digest)| Elsewhere { what, place: Place::Directory, digest };
    reading.list.elsewhere.extend(directories.into_iter().map(elsewhere));
    let page = if expanded { EXPANDED_PAGE } else { PAGE };
    if entries > 0 && entries.is_multiple_of(page) {
        let what = "which fill pages of the hub's interface; the header `Link` of its answer names the next page";
        reading.list.part = Some(format!("{} has {entries} entries, {what}", reading.name));
    }
    Ok(())
}

fn add(reading: &mut Reading<'_>, path: &str, content: Content) -> Result<(), ListError> {
    let Content { size, oid, sha256, xet } = content;
    // Git's name is that of a pointer if the content is not in git.
    let oid = oid.filter(|_| sha256.is_none() && xet.is_none());
    reading.add(0, path, size, None)?;
    for (algorithm, hex) in [(Algorithm::Sha256, sha256), (Algorithm::Xet, xet), (Algorithm::GitBlob, oid)] {
        let Some(hex) = hex else { continue };
        let checksum = reading.checksum(path, algorithm, &hex)?;
        reading.add(0, path, size, Some(checksum))?;
    }
    Ok(())
}

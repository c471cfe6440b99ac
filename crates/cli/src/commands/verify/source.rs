//! What `verify` checks files against: a manifest, or a list or bundle of another tool.

use std::path::{Path, PathBuf};

use retrace_files::{FileError, Root, WalkEntry, walk};
use retrace_manifest::{Bundle, Elsewhere, Expected, List, lfs_pointer, read_list};
use retrace_spec::{Document, Manifest};

use super::super::{directory_of, read_text};
use crate::errors::{Failure, OrHelp};

/// The kind of source of the expected files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Listing {
    Manifest,
    Bundle,
    List,
}

/// What the files are checked against.
pub(super) struct Source {
    /// If it is a manifest.
    pub(super) manifest: Option<Manifest>,
    /// If it is an OMS bundle.
    pub(super) bundle: Option<Bundle>,
    /// If it is a bundle or a list.
    pub(super) expected: Vec<Expected>,
    /// What a list has that is no file of the directory.
    pub(super) elsewhere: Vec<Elsewhere>,
    /// Its path.
    pub(super) root: PathBuf,
}

impl Source {
    /// A manifest is YAML, or a JSON object that is not a bundle; anything else is a list.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
        let root = directory_of(path);
        let name = file_name(path);
        let elsewhere = Vec::new();
        if path.is_dir() {
            return Ok(Self { manifest: None, bundle: None, expected: pointers(path)?, elsewhere, root });
        }
        let help = "give a manifest or a list of checksums; `retrace seal DIR` makes a manifest";
        let text = read_text(path).or_help(help)?;
        if !yaml {
            if !text.trim_start().starts_with('{') || is_dataset(&text) {
                let List { files: expected, elsewhere } = read_list(&name, &text)?;
                return Ok(Self { manifest: None, bundle: None, expected, elsewhere, root });
            }
            if Bundle::is_one(&text) {
                let bundle = Bundle::parse(&name, &text)?;
                return Ok(Self {
                    manifest: None,
                    expected: bundle.files.clone(),
                    bundle: Some(bundle),
                    elsewhere,
                    root,
                });
            }
        }
        let manifest = Manifest::parse(&text, &path.display().to_string()).map_err(Failure::from);
        let manifest = manifest.or_help(help)?;
        Ok(Self { manifest: Some(manifest), bundle: None, expected: Vec::new(), elsewhere, root })
    }
}

/// Whether a JSON object describes a dataset in Croissant's vocabulary, and is not a manifest.
fn is_dataset(text: &str) -> bool {
    text.contains("\"distribution\"") && !text.contains("\"retrace\"")
}

/// The files described by Git LFS pointers below `root`, as in a clone without its large files.
fn pointers(root: &Path) -> Result<Vec<Expected>, Failure> {
    const LONGEST: u64 = 1024;
    let opened = Root::open(root)?;
    let mut expected = Vec::new();
    for found in walk(root, &|path| path.as_str() == ".git")? {
        let path = match found {
            WalkEntry::File(path) => path,
            // If an entry cannot be read, it is unknown whether it lists a file.
            WalkEntry::Refused { path, what } => return Err(FileError::Name { path: path.under(root), what }.into()),
            WalkEntry::Special(_) => continue,
        };
        match opened.file(&path)?.text(LONGEST) {
            Ok(text) if lfs_pointer(&text).is_some() => expected.extend(read_list(path.as_str(), &text)?.files),
            // Too long to be a pointer, or not text.
            Ok(_) | Err(FileError::TooLarge { .. }) => {}
            Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::InvalidData => {}
            Err(error) => return Err(error.into()),
        }
    }
    if expected.is_empty() {
        let help = "give a manifest, a list, or a clone made with GIT_LFS_SKIP_SMUDGE=1";
        return Err(Failure::usage(format!("{} is a directory without Git LFS pointers", root.display()), help));
    }
    Ok(expected)
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

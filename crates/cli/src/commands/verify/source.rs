//! What `verify` checks files against: a manifest, or a list or bundle of another tool.

use std::path::{Path, PathBuf};

use retrace_files::{FileError, Root, WalkEntry, walk};
use retrace_manifest::{Bundle, Elsewhere, Expected, List, Place, is_json_list, lfs_pointer, read_list};
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
    pub(super) list: List,
    /// Its path.
    pub(super) root: PathBuf,
}

impl Source {
    /// A manifest is YAML, or a JSON object that is not a bundle; anything else is a list.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
        let root = directory_of(path);
        let name = file_name(path);
        if path.is_dir() {
            let list = List { files: pointers(path)?, ..List::default() };
            return Ok(Self { manifest: None, bundle: None, list, root });
        }
        let help = "give a manifest or a list of checksums; `retrace seal DIR` makes a manifest";
        let text = read_text(path).or_help(help)?;
        if !yaml {
            if !text.trim_start().starts_with('{') || is_json_list(&text) {
                let mut list = read_list(&name, &text)?;
                open_directories(&mut list, &root);
                return Ok(Self { manifest: None, bundle: None, list, root });
            }
            if Bundle::is_one(&text) {
                let bundle = Bundle::parse(&name, &text)?;
                let list = List { files: bundle.files.clone(), ..List::default() };
                return Ok(Self { manifest: None, list, bundle: Some(bundle), root });
            }
        }
        let manifest = Manifest::parse(&text, &path.display().to_string()).map_err(Failure::from);
        let manifest = manifest.or_help(help)?;
        Ok(Self { manifest: Some(manifest), bundle: None, list: List::default(), root })
    }
}

/// Reads the lists of directories in the cache of the DVC repository that `root` is in. Those that are not there are
/// not checked.
fn open_directories(list: &mut List, root: &Path) {
    const LONGEST: u64 = 256 << 20;
    let whole = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let repository = whole.ancestors().find(|above| above.join(".dvc").is_dir());
    for directory in std::mem::take(&mut list.directories) {
        let text = repository.map(|repository| Root::open(repository)?.file(&directory.list)?.text(LONGEST));
        let why = match text {
            None => format!("its list is not there: no directory above {} has `.dvc`", root.display()),
            Some(Err(error)) => format!("its list is not there: {error}"),
            Some(Ok(text)) => match list.add_directory(&directory, &text) {
                Ok(()) => continue,
                Err(error) => error.to_string(),
            },
        };
        let what = format!("{} ({why})", directory.path);
        list.elsewhere.push(Elsewhere { what, place: Place::Directory, digest: true });
    }
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

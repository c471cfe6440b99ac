//! The release directories of a query, and the files below them.
//!
//! A release is untrusted: below its directory links are not followed, and only regular files are opened. Other paths
//! that the user names are opened as given, including links.

use std::path::{Component, Path, PathBuf};

use retrace_files::{FileError, RegularFile, Root};
use retrace_manifest::{Unfolded, Unknown, unfold};
use retrace_spec::manifest::Artifact;
use retrace_spec::{Document, Manifest, PathError, RelPath};

use crate::QueryError;

/// A longer manifest is not read.
const LONGEST: u64 = 1 << 30;

/// A release's directory.
#[derive(Debug)]
pub(crate) struct Release {
    directory: Root,
    /// Its directory, as an absolute path: as the user named it, and without links.
    absolute: PathBuf,
    canonical: PathBuf,
    manifest: Option<Sealed>,
}

/// A release's manifest.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// Its path, as the user named it.
    pub(crate) path: PathBuf,
    /// Combined with those of its parts, if it has any.
    pub(crate) manifest: Manifest,
    /// Parts whose content is unknown.
    pub(crate) unknown: Vec<Unknown>,
}

impl Release {
    /// The release at `path`, with its `manifest.yaml`, or otherwise its `manifest.json` if that is one of retrace.
    pub(crate) fn open(path: &Path) -> Result<Self, QueryError> {
        let mut release = Self::without_manifest(path)?;
        let (yaml, json) = (relative("manifest.yaml")?, relative("manifest.json")?);
        if release.directory.has(&yaml) {
            release.read_manifest(&json, true).or_else(|error| match release.directory.has(&json) {
                true => Err(error),
                false => Ok(()),
            })?;
            if release.manifest.is_some() {
                let what = "the directory also has a manifest.yaml; only one of the two can be used".to_owned();
                return Err(FileError::Name { path: json.under(path), what }.into());
            }
            release.read_manifest(&yaml, false)?;
        } else if release.directory.has(&json) {
            release.read_manifest(&json, true)?;
        }
        Ok(release)
    }

    /// The release whose manifest the user named.
    pub(crate) fn of_manifest(path: &Path) -> Result<Self, QueryError> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut release = Self::without_manifest(directory)?;
        // The user named it, so it may be a link.
        let text = RegularFile::open(path)?.text(LONGEST)?;
        release.manifest = Some(Sealed::parse(path, &text, directory)?);
        Ok(release)
    }

    fn without_manifest(path: &Path) -> Result<Self, QueryError> {
        Ok(Self {
            directory: Root::open(path)?,
            absolute: std::path::absolute(path).map_err(FileError::io(path, "open"))?,
            canonical: path.canonicalize().map_err(FileError::io(path, "open"))?,
            manifest: None,
        })
    }

    /// Lists of other tools are called `manifest.json` too: if `ours` is uncertain, a file that does not state that it
    /// is of retrace is not a manifest.
    fn read_manifest(&mut self, name: &RelPath, doubtful: bool) -> Result<(), QueryError> {
        let path = name.under(self.path());
        let text = self.directory.file(name)?.text(LONGEST)?;
        if !doubtful || text.contains("\"retrace\"") {
            self.manifest = Some(Sealed::parse(&path, &text, self.path())?);
        }
        Ok(())
    }

    /// Its manifest, if it has one.
    pub(crate) const fn manifest(&self) -> Option<&Sealed> {
        self.manifest.as_ref()
    }

    /// Its directory, as the user named it.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Its directory, opened.
    pub(crate) const fn directory(&self) -> &Root {
        &self.directory
    }

    /// The path of `path` within this release, if it is below it: as written, or after links above the file are
    /// followed.
    pub(crate) fn place(&self, path: &Path) -> Result<Option<RelPath>, QueryError> {
        let whole = std::path::absolute(path).map_err(FileError::io(path, "open"))?;
        let plain = whole.components().all(|part| part != Component::ParentDir);
        let below = match whole.strip_prefix(&self.absolute) {
            Ok(below) if plain => Some(below.to_owned()),
            _ => canonical(&whole).and_then(|whole| whole.strip_prefix(&self.canonical).ok().map(Path::to_owned)),
        };
        let Some(below) = below else { return Ok(None) };
        let parts: Option<Vec<&str>> = below.iter().map(|part| part.to_str()).collect();
        let parts =
            parts.ok_or_else(|| FileError::Name { path: path.to_owned(), what: "its name is not UTF-8".to_owned() })?;
        relative(&parts.join("/")).map(Some)
    }
}

/// The path of a file without links in its parent directories; the file itself may be one.
fn canonical(path: &Path) -> Option<PathBuf> {
    Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
}

pub(crate) fn relative(path: &str) -> Result<RelPath, QueryError> {
    let refuse = |e: PathError| FileError::Name { path: e.path.clone().into(), what: e.to_string() };
    Ok(path.parse().map_err(refuse)?)
}

impl Sealed {
    /// The manifest with the content `text`, of the release in `directory`.
    fn parse(path: &Path, text: &str, directory: &Path) -> Result<Self, QueryError> {
        let outer = Manifest::parse(text, &path.display().to_string())?;
        let (manifest, unknown) = match unfold(&outer, directory) {
            Some(Unfolded { manifest, unknown, .. }) => (manifest, unknown),
            None => (outer, Vec::new()),
        };
        Ok(Self { path: path.to_owned(), manifest, unknown })
    }

    /// Its entry for the file at `path` of the release.
    ///
    /// # Errors
    /// If that is unknown, because the file is in a part whose manifest is not the sealed one.
    pub(crate) fn artifact(&self, path: &RelPath) -> Result<Option<&Artifact>, QueryError> {
        if let Some(part) = self.unknown.iter().find(|part| path.is_within(&part.at)) {
            return Err(QueryError::UnknownPart { manifest: self.path.clone(), part: part.clone() });
        }
        Ok(self.manifest.artifact(path))
    }

    /// The tables in it that are directly in the release's directory or in `tables/`.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &RelPath> {
        let tables = |path: &&RelPath| {
            let at = path.as_str().strip_prefix("tables/").unwrap_or(path.as_str());
            at.ends_with(".parquet") && !at.contains('/') && !at.starts_with('.')
        };
        self.manifest.artifacts.iter().map(|artifact| &artifact.path).filter(tables)
    }
}

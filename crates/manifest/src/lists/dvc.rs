//! What DVC says of the files that it tracks: `NAME.dvc`, `dvc.lock`, and its lists of directories (`DIGEST.dir`).
//!
//! The forms are those of DVC 3.67 (`dvc/schema.py`, `dvc/output.py`) and its parts dvc-data 3.18 (`hashfile/tree.py`).
//! DVC 3 writes `hash: md5` beside a digest. Without it the digest is of DVC 2, which computes it of a text with its line
//! ends as LF.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use retrace_files::{Algorithm, Checksum, checksum};
use retrace_spec::{RelPath, read_yaml};
use serde::Deserialize;

use super::{Disagreement, Elsewhere, ListError, Place, Reading, json};

/// Where DVC keeps the list of a directory, below its repository.
const CACHE: &str = ".dvc/cache";

/// A `.dvc` file.
#[derive(Deserialize)]
struct Tracked {
    wdir: Option<String>,
    deps: Option<Vec<Output>>,
    outs: Option<Vec<Output>>,
}

/// A `dvc.lock`, as DVC 2 and 3 write it.
#[derive(Deserialize)]
struct Lock {
    stages: BTreeMap<String, Stage>,
}

#[derive(Deserialize)]
struct Stage {
    deps: Option<Vec<Output>>,
    outs: Option<Vec<Output>>,
}

/// A file or directory that a stage reads or makes.
#[derive(Deserialize)]
struct Output {
    path: String,
    md5: Option<String>,
    /// The way of computing the digest; of DVC 2 if there is none.
    hash: Option<String>,
    size: Option<u64>,
    /// The files of a directory, if the remote keeps versions of its own.
    #[serde(default)]
    files: Vec<Listed>,
}

/// A file of a directory.
#[derive(Deserialize)]
struct Listed {
    md5: Option<String>,
    relpath: String,
    size: Option<u64>,
}

/// A directory whose list DVC keeps in its cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The directory.
    pub path: RelPath,
    /// The MD5 of the list's bytes.
    pub digest: Checksum,
    /// Where the list is, below DVC's repository.
    pub list: RelPath,
    /// How the digests in the list are computed.
    algorithm: Algorithm,
}

/// Whether a file of this name is DVC's.
pub(super) fn is_one(name: &str) -> bool {
    name == "dvc.lock" || (name.len() > 4 && name.ends_with(".dvc"))
}

/// Reads a `.dvc` file or a `dvc.lock`.
pub(super) fn read(reading: &mut Reading<'_>, text: &str) -> Result<(), ListError> {
    let refused = |e: retrace_spec::SpecError| ListError { origin: String::new(), line: 0, what: e.to_string() };
    let (mut outs, mut deps) = (Vec::new(), Vec::new());
    if reading.name == "dvc.lock" {
        let lock = read_yaml(text, reading.name, PhantomData::<Lock>).map_err(refused)?;
        for (name, stage) in lock.stages {
            outs.extend(stage.outs.into_iter().flatten().map(|out| (out, None)));
            deps.extend(stage.deps.into_iter().flatten().map(|dep| (dep, Some(name.clone()))));
        }
    } else {
        let Tracked { wdir, deps: read, outs: made } =
            read_yaml(text, reading.name, PhantomData::<Tracked>).map_err(refused)?;
        let within = |mut output: Output| {
            if let Some(wdir) = wdir.as_deref().filter(|wdir| !matches!(*wdir, "." | "")) {
                output.path = format!("{wdir}/{}", output.path);
            }
            (output, None)
        };
        outs.extend(made.into_iter().flatten().map(&within));
        // What a file of the directory was made from is compared; what an import was made from is elsewhere.
        for dep in read.into_iter().flatten() {
            let is_local = dep.md5.is_some() && dep.path.parse::<RelPath>().is_ok();
            match is_local {
                true => deps.push((within(dep).0, Some(reading.name.to_owned()))),
                false => {
                    reading.list.elsewhere.push(Elsewhere { what: dep.path, place: Place::Address, digest: false })
                }
            }
        }
    }
    for (output, reader) in outs.into_iter().chain(deps) {
        add(reading, output, reader)?;
    }
    Ok(())
}

/// Adds what a stage makes or, if `reader` names it, reads.
fn add(reading: &mut Reading<'_>, output: Output, reader: Option<String>) -> Result<(), ListError> {
    let Output { path: name, md5, hash, size, files } = output;
    let algorithm = match hash.as_deref() {
        None | Some("md5-dos2unix") => Algorithm::Md5Text,
        Some("md5") => Algorithm::Md5,
        Some(other) => {
            return Err(reading.refuse(0, format!("{name}: digests of the kind {other:?} are not supported")));
        }
    };
    let path: Result<RelPath, _> = name.strip_prefix("./").unwrap_or(&name).parse();
    let Ok(path) = path else {
        // Outside the directory of the list, or on another host.
        reading.list.elsewhere.push(Elsewhere { what: name, place: Place::Address, digest: md5.is_some() });
        return Ok(());
    };
    if !files.is_empty() {
        return files.into_iter().try_for_each(|file| file.add(reading, &format!("{path}/"), algorithm));
    }
    if let Some(hex) = md5.as_deref().and_then(|md5| md5.strip_suffix(".dir")) {
        let digest = reading.checksum(path.as_str(), Algorithm::Md5, hex)?;
        let hex = digest.hex();
        let (first, rest) = hex.split_at(2);
        let version = if algorithm == Algorithm::Md5 { "files/md5/" } else { "" };
        if let Ok(list) = format!("{CACHE}/{version}{first}/{rest}.dir").parse()
            && !reading.list.directories.iter().any(|known| known.path == path)
        {
            reading.list.directories.push(Directory { path, digest, list, algorithm });
        }
        return Ok(());
    }
    let checksum = md5.map(|hex| reading.checksum(path.as_str(), algorithm, &hex)).transpose()?;
    let known = reading.files.get(&path).and_then(|known| known.checksums.first());
    if let (Some(reader), Some(known), Some(checksum)) = (&reader, known, &checksum)
        && known != checksum
    {
        // A stage that was not run since another made its input anew.
        let what = format!("the stage {reader} read it with {checksum}, and another source says {known}");
        reading.list.disagreements.push(Disagreement { path, what });
        return Ok(());
    }
    reading.add(0, path.as_str(), length(size, algorithm), checksum)
}

/// The length that a file must have. One whose line ends may be any has no certain length.
fn length(size: Option<u64>, algorithm: Algorithm) -> Option<u64> {
    size.filter(|_| algorithm != Algorithm::Md5Text)
}

impl Listed {
    /// Adds it, in a directory whose path ends with `/` or is empty.
    fn add(self, reading: &mut Reading<'_>, directory: &str, algorithm: Algorithm) -> Result<(), ListError> {
        let path = format!("{directory}{}", self.relpath);
        let checksum = self.md5.map(|hex| reading.checksum(&path, algorithm, &hex)).transpose()?;
        reading.add(0, &path, length(self.size, algorithm), checksum)
    }
}

/// Reads DVC's list of the directory that it is used for. It does not say which version wrote it.
pub(super) fn directory(reading: &mut Reading<'_>, text: &str) -> Result<(), ListError> {
    let files: Vec<Listed> = json(reading.name, text, "list of a directory by DVC")?;
    files.into_iter().try_for_each(|file| file.add(reading, "", Algorithm::Md5))
}

/// Reads the list of `directory`.
pub(super) fn files_of(reading: &mut Reading<'_>, directory: &Directory, text: &str) -> Result<(), ListError> {
    let found = checksum(Algorithm::Md5, text.as_bytes());
    if found != Some(directory.digest) {
        let what = format!("it is not the list of {}: that has {}", directory.path, directory.digest);
        return Err(reading.refuse(0, what));
    }
    let files: Vec<Listed> = json(reading.name, text, "list of a directory by DVC")?;
    let within = format!("{}/", directory.path);
    files.into_iter().try_for_each(|file| file.add(reading, &within, directory.algorithm))
}

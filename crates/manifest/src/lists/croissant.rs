//! Croissant's description of a dataset: its `FileObject`s.

use std::collections::BTreeMap;

use retrace_files::{Algorithm, Checksum};
use serde::Deserialize;

use super::{Elsewhere, ListError, Place, Reading, json};

#[derive(Deserialize)]
struct Dataset {
    distribution: Vec<FileObject>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileObject {
    #[serde(rename = "@id")]
    id: Option<String>,
    content_url: Option<String>,
    content_size: Option<serde_json::Value>,
    contained_in: Option<serde_json::Value>,
    encoding_format: Option<String>,
    sha256: Option<String>,
    md5: Option<String>,
}

impl FileObject {
    /// Its digests, and what stands in place of a digest: hubs and people write notes there.
    fn digests(&self) -> (Vec<Checksum>, Vec<String>) {
        let (mut good, mut notes) = (Vec::new(), Vec::new());
        for (algorithm, hex) in [(Algorithm::Sha256, &self.sha256), (Algorithm::Md5, &self.md5)] {
            let Some(hex) = hex else { continue };
            let name = algorithm.name();
            let digits = hex.trim().strip_prefix(name).and_then(|rest| rest.strip_prefix(':')).unwrap_or(hex.trim());
            match Checksum::from_hex(algorithm, digits) {
                Some(checksum) => good.push(checksum),
                None => notes.push(format!("{hex:?} is no {name}")),
            }
        }
        (good, notes)
    }

    /// Whether it is a repository, which has no bytes, whatever the list says.
    fn is_repository(&self) -> bool {
        self.encoding_format.as_deref().is_some_and(|format| format.starts_with("git+"))
    }

    /// The identifiers of what it is in, each as `{"@id": "…"}` or as a text. One that is neither is an empty text.
    fn containers(&self) -> Vec<&str> {
        fn id(value: &serde_json::Value) -> &str {
            value.get("@id").unwrap_or(value).as_str().unwrap_or_default()
        }
        match &self.contained_in {
            None => Vec::new(),
            Some(serde_json::Value::Array(all)) => all.iter().map(id).collect(),
            Some(one) => vec![id(one)],
        }
    }

    /// The length if it is given in bytes: `123 B`. `1.5 MB` is not exact, and gives no length.
    fn size(&self) -> Option<u64> {
        match self.content_size.as_ref()? {
            serde_json::Value::String(text) => {
                text.trim().strip_suffix('B').filter(|n| !n.ends_with(char::is_alphabetic))?.trim().parse().ok()
            }
            number => number.as_u64(),
        }
    }
}

/// The path, in a copy of the repository, of the file that a hub serves at `url`.
fn local(url: &str) -> &str {
    let after = |mark: &str| url.split_once(mark).and_then(|(_, rest)| rest.split_once('/'));
    match (url.contains("://"), after("/resolve/").or_else(|| after("/raw/"))) {
        (true, Some((_, path))) => path.split(['?', '#']).next().unwrap_or(path),
        _ => url,
    }
}

/// Whether a JSON object describes a dataset in Croissant's vocabulary, and is not a manifest.
pub(super) fn is_one(text: &str) -> bool {
    text.contains("\"distribution\"") && !text.contains("\"retrace\"")
}

pub(super) fn read(reading: &mut Reading<'_>, text: &str) -> Result<(), ListError> {
    let files = json::<Dataset>(reading.name, text, "description of a dataset by Croissant")?.distribution;
    let known: BTreeMap<&str, &FileObject> =
        files.iter().filter_map(|file| Some((file.id.as_deref()?, file))).collect();
    for file in &files {
        // Sets of files have no address and no digest.
        let Some(url) = &file.content_url else { continue };
        let (good, notes) = file.digests();
        let within = file.containers().into_iter().find(|id| !known.get(id).is_some_and(|of| of.is_repository()));
        if let Some(within) = within {
            // A file in an archive is no file of this directory. The archive's own digest is of it too.
            let covered = known.get(within).is_some_and(|archive| !archive.digests().0.is_empty());
            if !covered && !good.is_empty() {
                let what = format!("{url} in {within:?}");
                reading.list.elsewhere.push(Elsewhere { what, place: Place::Address, digest: true });
            }
            continue;
        }
        let path = local(url);
        if file.is_repository() || path.contains("://") {
            let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
            let digest = !file.is_repository() && !good.is_empty();
            reading.list.elsewhere.push(Elsewhere { what: format!("{url}{notes}"), place: Place::Address, digest });
            continue;
        }
        reading.add(0, path, file.size(), None)?;
        for checksum in good {
            reading.add(0, path, file.size(), Some(checksum))?;
        }
    }
    Ok(())
}

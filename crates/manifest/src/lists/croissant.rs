//! Croissant's description of a dataset: its `FileObject`s.

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
    content_url: Option<String>,
    content_size: Option<serde_json::Value>,
    contained_in: Option<serde_json::Value>,
    encoding_format: Option<String>,
    sha256: Option<String>,
    md5: Option<String>,
}

impl FileObject {
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
    for file in json::<Dataset>(reading.name, text, "description of a dataset by Croissant")?.distribution {
        // Sets of files have no digest, and files inside an archive are not files of this directory.
        let (Some(url), None) = (&file.content_url, &file.contained_in) else { continue };
        let path = local(url);
        let digests = [(Algorithm::Sha256, &file.sha256), (Algorithm::Md5, &file.md5)];
        let digests = digests.into_iter().filter_map(|(algorithm, hex)| Some((algorithm, hex.as_deref()?)));
        // Hubs and people write notes in place of digests that they do not have.
        let (good, notes): (Vec<_>, Vec<_>) = digests
            .map(|(algorithm, hex)| Checksum::from_hex(algorithm, hex.trim()).ok_or((algorithm.name(), hex)))
            .partition(Result::is_ok);
        let notes: Vec<String> =
            notes.into_iter().filter_map(Result::err).map(|(name, note)| format!("{note:?} is no {name}")).collect();
        let repository = file.encoding_format.as_deref().is_some_and(|format| format.starts_with("git+"));
        if repository || path.contains("://") {
            let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
            // A repository has no bytes, whatever the list says.
            let digest = !repository && !good.is_empty();
            reading.list.elsewhere.push(Elsewhere { what: format!("{url}{notes}"), place: Place::Address, digest });
            continue;
        }
        reading.add(0, path, file.size(), None)?;
        for checksum in good.into_iter().flatten() {
            reading.add(0, path, file.size(), Some(checksum))?;
        }
    }
    Ok(())
}

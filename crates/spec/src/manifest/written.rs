//! Manifests in the form in which they are written, read without the YAML parser, which takes longer for 20,000
//! entries than their files take to be hashed.
//!
//! Only the entries of the artifacts are read here, line by line; everything before and after them is given to the
//! parser. [`read`] gives up at the first line that is not as `to_yaml` writes it, and at every text whose meaning
//! depends on YAML's rules: the parser then reads the whole manifest, or says what is wrong with it.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

use super::{Artifact, ArtifactKind, Manifest, Tensors};
use crate::document;

/// The manifest, if all of its artifacts are written as `to_yaml` writes them.
pub(super) fn read(text: &str) -> Option<Manifest> {
    const LIST: &str = "\nartifacts:\n";
    let begins = text.find(LIST)? + LIST.len();
    let head = &text[..begins - 1];
    // Without quotes, brackets and indentation, each line of the head is an entry of its own.
    let is_plain = |line: &str| line.as_bytes().first().is_some_and(|b| b.is_ascii_lowercase() || *b == b'-');
    if !head.bytes().all(is_simple_or_colon) || !head.lines().all(is_plain) {
        return None;
    }
    let mut lines = Lines { rest: &text[begins..] };
    let mut artifacts = Vec::new();
    while let Some(path) = lines.value("- path: ") {
        artifacts.push(artifact(scalar(path)?, &mut lines)?);
    }
    let tail = lines.rest;
    if !(tail.is_empty() || tail.starts_with("steps:\n")) {
        return None;
    }
    let mut manifest: Manifest = document::read(&format!("{head} []\n{tail}"), "", text.len() + 8).ok()?;
    manifest.artifacts = artifacts;
    Some(manifest)
}

fn artifact(path: &str, lines: &mut Lines<'_>) -> Option<Artifact> {
    let kind: StrDeserializer<'_, Error> = lines.value("  kind: ")?.into_deserializer();
    let mut artifact = Artifact {
        path: path.parse().ok()?,
        kind: ArtifactKind::deserialize(kind).ok()?,
        size: size(lines.value("  size: ")?)?,
        digest: lines.parsed("  digest: ")?,
        sha256: None,
        slices: Vec::new(),
        tensors: None,
    };
    if let Some(sha256) = lines.value("  sha256: ") {
        artifact.sha256 = Some(sha256.parse().ok()?);
    }
    if lines.value("  slices:").is_some_and(str::is_empty) {
        while let Some(slice) = lines.value("  - ") {
            artifact.slices.push(slice.parse().ok()?);
        }
        if artifact.slices.is_empty() {
            return None;
        }
    }
    if lines.value("  tensors:").is_some_and(str::is_empty) {
        let (root, mut digests) = (lines.parsed("    root: ")?, BTreeMap::new());
        if lines.value("    digests:").is_some_and(str::is_empty) {
            while let Some(entry) = lines.value("      ") {
                let (name, digest) = entry.split_once(": ")?;
                if digests.insert(scalar(name)?.to_owned(), digest.parse().ok()?).is_some() {
                    return None;
                }
            }
            if digests.is_empty() {
                return None;
            }
        }
        artifact.tensors = Some(Box::new(Tensors { root, digests }));
    }
    Some(artifact)
}

/// The lines that are not read yet. Each ends with a line feed.
struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Lines<'a> {
    /// What follows `key` in the next line; the line is not taken if it does not begin so.
    fn value(&mut self, key: &str) -> Option<&'a str> {
        let (value, rest) = self.rest.strip_prefix(key)?.split_once('\n')?;
        self.rest = rest;
        Some(value)
    }

    fn parsed<T: FromStr>(&mut self, key: &str) -> Option<T> {
        self.value(key)?.parse().ok()
    }
}

/// A number without a sign or leading zeros, which would make it another number in YAML.
fn size(text: &str) -> Option<u64> {
    let is_decimal = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_decimal { text.parse().ok() } else { None }
}

/// The text that a scalar means, if its characters mean nothing else, in quotes or without.
fn scalar(text: &str) -> Option<&str> {
    let quoted = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    let inner = quoted.unwrap_or(text);
    let begins = inner.chars().next()?;
    let may_begin = begins.is_alphanumeric() || matches!(begins, '.' | '_' | '/');
    let is_simple = |c: char| if c.is_ascii() { is_simple_or_colon(c as u8) && c != ':' } else { c.is_alphanumeric() };
    (may_begin && !inner.ends_with(' ') && !inner.contains('\n') && inner.chars().all(is_simple)).then_some(inner)
}

/// Characters that have no meaning for YAML inside a scalar, the colon and the end of a line.
fn is_simple_or_colon(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'.' | b'_' | b'/' | b'-' | b'+' | b'=' | b'@' | b'~' | b' ' | b':' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{GraphStep, Output, Reference, StepKind};
    use crate::{Digest, Document};
    use proptest::prelude::*;

    /// What the parser reads, without this module.
    fn parser(text: &str) -> Option<Manifest> {
        document::read(text, "", usize::MAX).ok()
    }

    fn digest() -> impl Strategy<Value = Digest> {
        any::<[u8; 32]>().prop_map(Digest::from)
    }

    fn entry() -> impl Strategy<Value = Artifact> {
        let path = prop_oneof![
            "[a-z0-9._-]{1,6}(/[A-Za-z0-9._+=@~ -]{1,8}){0,2}",
            "(true|null|~|yes|no|on|off|0|1e5|0x1f|1_000|012|.5|.inf|2026-01-01|=|<<|- a|a b|数据/文件|é|ß.bin|٣|Ⅷ)",
            "\\PC{1,6}",
        ];
        let path = path.prop_filter_map("not a path", |text| text.parse().ok());
        let digests = prop::collection::btree_map("[a-z0-9._ ]{1,8}|\\PC{1,4}", digest(), 0..3);
        let tensors =
            prop::option::of((digest(), digests).prop_map(|(root, digests)| Box::new(Tensors { root, digests })));
        let sha256 = prop::option::of(
            digest().prop_map(|d| crate::Checksum::new(crate::Algorithm::Sha256, d.as_bytes()).expect("32 bytes")),
        );
        let kind = prop::sample::select(vec![ArtifactKind::Other, ArtifactKind::Checkpoint, ArtifactKind::Table]);
        let slices = prop::collection::vec(digest(), 0..3);
        (path, kind, any::<u64>(), digest(), sha256, slices, tensors).prop_map(
            |(path, kind, size, digest, sha256, slices, tensors)| Artifact {
                path,
                kind,
                size,
                digest,
                sha256,
                slices,
                tensors,
            },
        )
    }

    fn manifest() -> impl Strategy<Value = Manifest> {
        let entries = prop::collection::btree_map(any::<u8>(), entry(), 0..5);
        (entries, any::<bool>(), "[a-z0-9. ':#]{1,8}", any::<bool>()).prop_filter_map(
            "two of one path",
            |(entries, step, name, ignored)| {
                let reference =
                    |artifact: &Artifact| Reference { path: artifact.path.clone(), digest: artifact.digest };
                let entries: Vec<_> = entries.into_values().collect();
                let steps = entries.iter().take(usize::from(step)).map(|made| GraphStep {
                    id: "a".to_owned(),
                    kind: StepKind::Clean,
                    numerics: None,
                    config: None,
                    inputs: vec![reference(made)],
                    outputs: vec![Output { path: made.path.clone(), kind: made.kind, digest: made.digest }],
                    incomplete: None,
                });
                let ignored = if ignored { vec!["left/out".parse().expect("a path")] } else { Vec::new() };
                Manifest::new(&name, "retrace 0.1.0", ignored, entries.clone(), steps.collect()).ok()
            },
        )
    }

    proptest! {
        /// Whatever is read here, the parser reads too; and so it is with any character put in, taken out or replaced.
        #[test]
        fn reads_what_the_parser_reads(manifest in manifest(), edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, "[-a-z0-9 :#'\"|>{}\\[\\]&*!%@?,~/._\n\r\t]"), 1..4)) {
            let text = manifest.to_yaml().expect("YAML");
            prop_assert_eq!(parser(&text), Some(manifest.clone()));
            if let Some(read) = read(&text) {
                prop_assert_eq!(&read, &manifest);
            }
            let mut chars: Vec<char> = text.chars().collect();
            for (at, kind, new) in edits {
                let at = at.index(chars.len());
                match kind {
                    0 => { chars.remove(at); }
                    1 => chars[at] = new.chars().next().expect("one"),
                    _ => chars.insert(at, new.chars().next().expect("one")),
                }
            }
            let edited: String = chars.into_iter().collect();
            if let Some(read) = read(&edited) {
                prop_assert_eq!(Some(read), parser(&edited), "{}", edited);
            }
        }

        #[test]
        fn usual_names_are_read_here(names in prop::collection::btree_set("[A-Za-z0-9_]{1,6}[.][a-z]{1,4}(/[a-z0-9.-]{2,8}x)?|数据/[0-9]{1,3}x", 0..6)) {
            let entry = |name: &String| Artifact {
                path: name.parse().expect("a path"), kind: ArtifactKind::Checkpoint, size: 0, digest: Digest::of(b""), sha256: None,
                slices: vec![Digest::of(b"1")],
                tensors: Some(Box::new(Tensors { root: Digest::of(b""), digests: [("a.weight".to_owned(), Digest::of(b"2"))].into() })),
            };
            let manifest = Manifest::new("m", "retrace 0.1.0", Vec::new(), names.iter().map(entry).collect(), Vec::new()).expect("a manifest");
            let text = manifest.to_yaml().expect("YAML");
            if manifest.artifacts.is_empty() {
                prop_assert_eq!(read(&text), None);
            } else {
                prop_assert_eq!(read(&text), Some(manifest));
            }
        }
    }
}

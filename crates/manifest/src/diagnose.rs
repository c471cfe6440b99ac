//! What probably happened to a file whose bytes are not the expected ones.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use retrace_files::torch::distributed::METADATA;
use retrace_files::{
    Algorithm, Checksum, FileError, Found, Hashed, Root, SLICE, checksum, file_tensors, may_hold_tensors, slices_agree,
};
use retrace_spec::foreign::{excerpt, shown};
use retrace_spec::manifest::Tensors;
use retrace_spec::{Digest, RelPath};

use crate::sharded::why_unreadable;
use crate::verify::Expected;

/// At most this much of a file is read into memory. A checkpoint is larger, but rewritten line ends, or a web page in
/// place of a file, are visible in less.
const LOOK: u64 = 64 << 20;

/// What probably happened to the file, as a sentence; and the tensors that differ.
pub(crate) fn diagnose(root: &Root, expected: &Expected, found: &Hashed) -> (String, Vec<String>) {
    let mut said = sizes(expected, found);
    let bytes = start(root, &expected.path, found.size).unwrap_or_default();
    let whole = bytes.len() as u64 == found.size;
    if let Some(instead) = instead(expected, &bytes) {
        return (format!("{said}; {instead}"), Vec::new());
    }
    if let Some(rewritten) = whole.then(|| rewritten(expected, &bytes)).flatten() {
        return (format!("{said}; {rewritten}"), Vec::new());
    }
    if let Some(ranges) = ranges(expected, found, &bytes) {
        said = format!("{said}; {ranges}");
    }
    let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
    if whole && zeros >= 512 {
        said = format!("{said}; its last {zeros} bytes are zero, as after an interrupted download");
    }
    match &expected.tensors {
        // Its tensors are in other files.
        _ if expected.path.file_name() == METADATA => (said, Vec::new()),
        Some(sealed) => {
            let (told, tensors) = tensors(root, expected, sealed);
            (format!("{said}; {told}"), tensors)
        }
        None => {
            let weights = may_hold_tensors(expected.path.file_name());
            let why = weights.then(|| why_unreadable(root, &expected.path)).flatten();
            let told = why.map_or_else(String::new, |why| format!("; its tensors were not compared: {why}"));
            (said + &told, Vec::new())
        }
    }
}

fn sizes(expected: &Expected, found: &Hashed) -> String {
    let size = found.size;
    let hash = || found.checksums.first().copied().unwrap_or_else(|| found.digest.into());
    match expected.size {
        Some(wanted) if size < wanted => format!("it has {size} bytes and should have {wanted}: it may be truncated"),
        Some(wanted) if size > wanted => format!("it has {size} bytes and should have {wanted}"),
        Some(_) => format!("it has the expected size of {size} bytes, but its digest is {}", hash()),
        None => format!("it has {size} bytes and the digest {}", hash()),
    }
}

/// The part of the file that is read.
fn start(root: &Root, at: &RelPath, size: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    root.file(at).ok()?.into_file().take(size.min(LOOK)).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Other content in place of the file.
fn instead(expected: &Expected, bytes: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]);
    if head.starts_with("version https://git-lfs.github.com/spec/v1") {
        let oid = head.lines().find_map(|line| line.strip_prefix("oid sha256:")).unwrap_or_default();
        let same = expected.checksums.iter().any(|checksum| checksum.hex() == oid);
        let whose = if same { ", of this very file" } else { "" };
        return Some(format!("it is a Git LFS pointer{whose} instead of the file; get the file with `git lfs pull`"));
    }
    let page = head.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    let name = expected.path.file_name();
    if (page.starts_with("<!doctype html") || page.starts_with("<html")) && !name.contains(".htm") {
        return Some(
            "it is a web page, as servers send instead of a file after an error; download it again".to_owned(),
        );
    }
    let packed =
        [(&b"\x1f\x8b"[..], "gzip", ".gz"), (b"\x28\xb5\x2f\xfd", "Zstandard", ".zst"), (b"BZh", "bzip2", ".bz2")];
    let packed = packed.into_iter().find(|(magic, _, ending)| bytes.starts_with(magic) && !name.ends_with(ending));
    packed.map(|(_, kind, _)| format!("it is compressed with {kind}"))
}

/// Changes that tools make to texts, and content that was added before or after the expected bytes.
fn rewritten(expected: &Expected, bytes: &[u8]) -> Option<String> {
    let is = |bytes: &[u8]| expected.is(bytes);
    let wanted = expected.size.and_then(|size| usize::try_from(size).ok());
    if let Some(wanted) = wanted.filter(|wanted| *wanted < bytes.len()) {
        let more = bytes.len() - wanted;
        if is(&bytes[..wanted]) {
            return Some(format!("it has all expected bytes, and {more} more at the end"));
        }
        if is(&bytes[more..]) {
            let mark = if bytes.starts_with(b"\xef\xbb\xbf") && more == 3 { ": a byte order mark" } else { "" };
            return Some(format!("it has all expected bytes, after {more} others{mark}"));
        }
    }
    if !bytes.ends_with(b"\n") && is(&[bytes, b"\n"].concat()) {
        return Some("the line end after its last line is missing".to_owned());
    }
    let mut unix = Vec::with_capacity(bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != b'\r' || bytes.get(at + 1) != Some(&b'\n') {
            unix.push(*byte);
        }
    }
    if unix.len() < bytes.len() && is(&unix) {
        return Some(
            "its line ends are CRLF and should be LF; a program changed them, perhaps git with autocrlf".to_owned(),
        );
    }
    let mut dos = Vec::with_capacity(unix.len() + unix.len() / 16);
    for byte in &unix {
        if *byte == b'\n' {
            dos.push(b'\r');
        }
        dos.push(*byte);
    }
    (dos.len() > bytes.len() && is(&dos))
        .then(|| "its line ends are LF and should be CRLF; a program changed them".to_owned())
}

/// Which ranges of bytes differ, as the expected subtree values show.
fn ranges(expected: &Expected, found: &Hashed, bytes: &[u8]) -> Option<String> {
    let wanted = expected.size?;
    let digest = expected.checksums.iter().find(|checksum| checksum.algorithm() == Algorithm::Blake3)?;
    // Anyone can make a manifest: subtree values that do not match the expected digest are ignored.
    if !slices_agree(wanted, digest, &expected.slices) {
        return None;
    }
    // If the last slice of either file is shorter, it is a different subtree even if its bytes are the same.
    let only = (found.size <= SLICE).then(|| Digest::of(bytes));
    let slices = if found.slices.is_empty() { only.as_slice() } else { &found.slices };
    let mut differing: Vec<(u64, u64)> = Vec::new();
    let common = found.size.min(wanted);
    for (at, slice) in expected.slices.iter().enumerate() {
        let begin = at as u64 * SLICE;
        let end = (begin + SLICE).min(common);
        if begin >= common || slices.get(at) == Some(slice) {
            continue;
        }
        match differing.last_mut() {
            Some((_, last)) if *last == begin => *last = end,
            _ => differing.push((begin, end)),
        }
    }
    let partial = found.size != wanted && common % SLICE != 0;
    let certain: Vec<_> = differing.iter().filter(|(_, end)| !(partial && *end == common)).collect();
    if certain.is_empty() && found.size != wanted && differing.len() <= 1 {
        let first = differing.first().map_or(common, |(begin, _)| *begin);
        return Some(format!("its first {first} bytes are the expected ones"));
    }
    let told: Vec<String> = differing.iter().take(4).map(|(begin, end)| format!("{begin} to {end}")).collect();
    let more = differing.len().saturating_sub(4);
    let more = if more > 0 { format!(" and {more} more ranges") } else { String::new() };
    (!told.is_empty()).then(|| format!("it differs in bytes {}{more}", told.join(", ")))
}

/// Which tensors differ from the sealed ones.
fn tensors(root: &Root, expected: &Expected, sealed: &Tensors) -> (String, Vec<String>) {
    let found = match root.file(&expected.path).and_then(|file| file_tensors(&file, expected.path.file_name())) {
        Ok(Found::Tensors(found)) => found,
        Ok(Found::Unreadable(why)) => return (format!("its tensors cannot be read: {why}"), Vec::new()),
        Ok(Found::Nothing) => return ("its tensors cannot be read".to_owned(), Vec::new()),
        Err(FileError::Safetensors { place, what, .. }) => {
            return (format!("it cannot be read as safetensors: {place}: {what}"), Vec::new());
        }
        Err(error) => return (format!("it cannot be read as safetensors: {error}"), Vec::new()),
    };
    if found.root == sealed.root {
        let rest = match expected.path.as_str().ends_with(".safetensors") {
            true => "only the header differs",
            false => "only the rest of the file differs",
        };
        return (format!("all tensors are equal to the sealed ones; {rest}"), Vec::new());
    }
    differing(&sealed.digests, &found.digests)
}

/// Which tensors differ: in words, and their names.
pub(crate) fn differing(sealed: &BTreeMap<String, Digest>, found: &BTreeMap<String, Digest>) -> (String, Vec<String>) {
    let names: BTreeSet<&String> = sealed.keys().chain(found.keys()).collect();
    let differing: Vec<&String> = names.into_iter().filter(|name| sealed.get(*name) != found.get(*name)).collect();
    let all = sealed.len();
    let parts = differing.iter().take(3).map(|name| {
        let what = match (sealed.get(*name), found.get(*name)) {
            (Some(_), Some(_)) => "differs".to_owned(),
            (Some(gone), None) => match found.iter().find(|(_, digest)| *digest == gone) {
                Some((twin, _)) => format!("is missing, but {} has the same bytes", shown(&excerpt(twin))),
                None => "is missing".to_owned(),
            },
            _ => "is extra".to_owned(),
        };
        format!("tensor {} {what}", shown(&excerpt(name)))
    });
    let mut told = parts.collect::<Vec<_>>().join(", ");
    match differing.len() {
        0..=3 => {}
        n if n == all && found.len() == all => told = format!("all {all} tensors differ: {told} and so on"),
        n => told.push_str(&format!(" and {} more of {all}", n - 3)),
    }
    (told, differing.into_iter().cloned().collect())
}

impl Expected {
    /// Whether `bytes` have all the expected checksums.
    pub(crate) fn is(&self, bytes: &[u8]) -> bool {
        let same = |wanted: &Checksum| checksum(wanted.algorithm(), bytes).as_ref() == Some(wanted);
        self.size.is_none_or(|size| size == bytes.len() as u64)
            && !self.checksums.is_empty()
            && self.checksums.iter().all(same)
    }
}

//! Lists of checksums that other tools write, read as expected files.
//!
//! The supported formats are those of `sha256sum`, `b3sum`, `md5sum` and `sha1sum`, in their own and in the BSD form;
//! the file tree that a model hub's interface returns as JSON; Croissant's description of a dataset (its
//! `FileObject`s); DVC's list of a directory; and Git LFS pointers.

use std::collections::BTreeMap;

use retrace_files::{Algorithm, Checksum};
use retrace_spec::RelPath;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::verify::Expected;

/// Why a text is not a list of checksums.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{origin}{}: {what}", Line(*.line))]
pub struct ListError {
    /// The list's name.
    pub origin: String,
    /// The line, from 1; 0 if the error has no line.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

struct Line(usize);

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, ":{}", self.0) }
    }
}

/// A contradiction about a file between a list and another source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    /// The file.
    pub path: RelPath,
    /// The contradiction and its sources, as a sentence.
    pub what: String,
}

/// What a list says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct List {
    /// The files, sorted by path.
    pub files: Vec<Expected>,
    /// What is listed and is no file of this directory, such as a repository or a file on another host.
    pub elsewhere: Vec<Elsewhere>,
}

/// An entry of a list that is no file of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Elsewhere {
    /// Its address, and any note that stands in place of a digest.
    pub what: String,
    /// Whether the list has a digest of it, which is not checked then.
    pub digest: bool,
}

/// Reads the list called `name`. If 64 digits could be SHA-256's or BLAKE3's, the name decides: `SHA256SUMS`,
/// `weights.sha256`, `B3SUMS`, `weights.b3`.
///
/// # Errors
/// The first line that is not a checksum and a path, or contradicts an earlier line about the same path.
pub fn read_list(name: &str, text: &str) -> Result<List, ListError> {
    let mut elsewhere = Vec::new();
    let mut files: BTreeMap<RelPath, Expected> = BTreeMap::new();
    let mut add = |line: usize, path: &str, size: Option<u64>, checksum: Option<Checksum>| {
        let refuse = |what: String| ListError { origin: name.to_owned(), line, what };
        let path: RelPath = path.strip_prefix("./").unwrap_or(path).parse().map_err(|e| refuse(format!("{e}")))?;
        let entry = files.entry(path.clone()).or_insert_with(|| Expected {
            path: path.clone(),
            size,
            checksums: Vec::new(),
            slices: Vec::new(),
            tensors: None,
        });
        // Without a checksum the file is still listed, and cannot be verified.
        let Some(checksum) = checksum else { return Ok(()) };
        match entry.checksums.iter().find(|known| known.algorithm() == checksum.algorithm()) {
            Some(known) if *known != checksum => {
                return Err(refuse(format!("{path} is listed twice, with {known} and {checksum}")));
            }
            Some(_) => {}
            None => entry.checksums.push(checksum),
        }
        Ok(())
    };
    let checksum = |path: &str, algorithm: Algorithm, hex: &str| {
        let refuse = |what: String| ListError { origin: name.to_owned(), line: 0, what };
        let checksum = Checksum::from_hex(algorithm, hex.strip_prefix("sha256:").unwrap_or(hex));
        checksum.ok_or_else(|| refuse(format!("{path}: {hex:?} is not a {}", algorithm.name())))
    };
    if text.trim_start().starts_with('[') && text.contains("\"relpath\"") {
        for Cached { md5, relpath } in json::<Vec<_>>(name, text, "list of a directory by DVC")? {
            add(0, &relpath, None, Some(checksum(&relpath, Algorithm::Md5, &md5)?))?;
        }
    } else if text.trim_start().starts_with('[') {
        for Node { kind, oid, size, lfs, path } in json::<Vec<_>>(name, text, "list of a hub's files")? {
            if kind == "directory" {
                continue;
            }
            let (algorithm, oid, size) = match &lfs {
                Some(lfs) => (Algorithm::Sha256, &lfs.oid, lfs.size),
                None => (Algorithm::GitBlob, &oid, size),
            };
            add(0, &path, Some(size), Some(checksum(&path, algorithm, oid)?))?;
        }
    } else if text.trim_start().starts_with('{') {
        for file in json::<Dataset>(name, text, "description of a dataset by Croissant")?.distribution {
            // Sets of files have no digest, and files inside an archive are not files of this directory.
            let (Some(url), None) = (&file.content_url, &file.contained_in) else { continue };
            let path = local(url);
            let digests = [(Algorithm::Sha256, &file.sha256), (Algorithm::Md5, &file.md5)];
            let digests = digests.into_iter().filter_map(|(algorithm, hex)| Some((algorithm, hex.as_deref()?)));
            // Hubs and people write notes in place of digests that they do not have.
            let (good, notes): (Vec<_>, Vec<_>) = digests
                .map(|(algorithm, hex)| Checksum::from_hex(algorithm, hex.trim()).ok_or((algorithm.name(), hex)))
                .partition(Result::is_ok);
            let notes: Vec<String> = notes
                .into_iter()
                .filter_map(Result::err)
                .map(|(name, note)| format!("{note:?} is no {name}"))
                .collect();
            let repository = file.encoding_format.as_deref().is_some_and(|format| format.starts_with("git+"));
            if repository || path.contains("://") {
                let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
                // A repository has no bytes, whatever the list says.
                elsewhere.push(Elsewhere { what: format!("{url}{notes}"), digest: !repository && !good.is_empty() });
                continue;
            }
            add(0, path, file.size(), None)?;
            for checksum in good.into_iter().flatten() {
                add(0, path, file.size(), Some(checksum))?;
            }
        }
    } else if let Some(pointer) = lfs_pointer(text) {
        let (oid, size) = pointer.map_err(|what| ListError { origin: name.to_owned(), line: 0, what })?;
        add(0, name, Some(size), Some(oid))?;
    } else {
        for (line, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            let text = text.strip_suffix('\r').unwrap_or(text);
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            let refuse = |what: String| ListError { origin: name.to_owned(), line, what };
            let (path, checksum) = entry(name, text).map_err(refuse)?;
            add(line, &path, None, Some(checksum))?;
        }
    }
    if files.is_empty() {
        let what = match elsewhere.is_empty() {
            true => "it lists no file".to_owned(),
            false => {
                let only: Vec<&str> = elsewhere.iter().map(|entry| entry.what.as_str()).collect();
                format!("it lists no digest of a file of a copy, but only {}", only.join(" and "))
            }
        };
        return Err(ListError { origin: name.to_owned(), line: 0, what });
    }
    Ok(List { files: files.into_values().collect(), elsewhere })
}

/// One file of a hub's tree; its other fields are not needed.
#[derive(Deserialize)]
struct Node {
    #[serde(rename = "type")]
    kind: String,
    oid: String,
    #[serde(default)]
    size: u64,
    lfs: Option<Lfs>,
    path: String,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

/// A file of DVC's list of a directory.
#[derive(Deserialize)]
struct Cached {
    md5: String,
    relpath: String,
}

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

fn json<T: for<'de> Deserialize<'de>>(name: &str, text: &str, what: &str) -> Result<T, ListError> {
    serde_json::from_str(text).map_err(|e| ListError {
        origin: name.to_owned(),
        line: e.line(),
        what: format!("it is not a {what}: {e}"),
    })
}

/// What a Git LFS pointer states about the file that it represents, if the text is one.
/// <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>
pub fn lfs_pointer(text: &str) -> Option<Result<(Checksum, u64), String>> {
    let rest = text.strip_prefix("version https://git-lfs.github.com/spec/v1")?;
    let field = |name: &str| rest.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let oid = field("oid").and_then(|oid| Checksum::from_hex(Algorithm::Sha256, oid.strip_prefix("sha256:")?));
    let size = field("size").and_then(|size| size.parse().ok());
    Some(oid.zip(size).ok_or_else(|| "it is a Git LFS pointer without a valid `oid sha256:` and `size`".to_owned()))
}

/// The path and checksum of a line.
fn entry(name: &str, line: &str) -> Result<(String, Checksum), String> {
    if let Some((tag, rest)) = line.split_once(" (")
        && let Some((path, hex)) = rest.rsplit_once(") = ")
    {
        let algorithm = match tag {
            "SHA256" => Algorithm::Sha256,
            "BLAKE3" => Algorithm::Blake3,
            "SHA1" => Algorithm::Sha1,
            "MD5" => Algorithm::Md5,
            _ => return Err(format!("checksums of the kind {tag:?} are not supported")),
        };
        let checksum = Checksum::from_hex(algorithm, hex).ok_or_else(|| format!("{hex:?} is not a {tag}"))?;
        return Ok((path.to_owned(), checksum));
    }
    let (escaped, line) = match line.strip_prefix('\\') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let form = || "it is not a checksum, two spaces and a path".to_owned();
    let (hex, path) = line.split_once(' ').ok_or_else(form)?;
    let path = path.strip_prefix([' ', '*']).unwrap_or(path);
    let path = if escaped {
        unescaped(path).ok_or_else(|| format!("{path:?} has a wrong escape sequence"))?
    } else {
        path.to_owned()
    };
    let lower = name.to_ascii_lowercase();
    let algorithm = match hex.len() {
        32 => Algorithm::Md5,
        40 => Algorithm::Sha1,
        64 if lower.contains("b3") || lower.contains("blake3") => Algorithm::Blake3,
        64 if lower.contains("sha256") || lower.contains("sha-256") => Algorithm::Sha256,
        64 => return Err("64 digits can be SHA-256 or BLAKE3; name the list SHA256SUMS or B3SUMS".to_owned()),
        n => return Err(format!("{} digits are not a supported checksum", n)),
    };
    Checksum::from_hex(algorithm, hex).map(|checksum| (path, checksum)).ok_or_else(form)
}

/// A path with the escapes of `sha256sum`: `\\`, `\n` and `\r`.
fn unescaped(path: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        out.push(match (c, c == '\\') {
            (_, true) => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            (c, false) => c,
        });
    }
    Some(out)
}

/// Adds the content of the list called `name` to `expected`, and returns the contradictions. If there is one, the file
/// is checked against the first source.
pub fn merge(expected: &mut Vec<Expected>, name: &str, list: Vec<Expected>) -> Vec<Disagreement> {
    let mut disagreements = Vec::new();
    let mut known: BTreeMap<RelPath, Expected> =
        std::mem::take(expected).into_iter().map(|entry| (entry.path.clone(), entry)).collect();
    for listed in list {
        let Some(entry) = known.get_mut(&listed.path) else {
            known.insert(listed.path.clone(), listed);
            continue;
        };
        let mut tell = |what: String| disagreements.push(Disagreement { path: listed.path.clone(), what });
        match (entry.size, listed.size) {
            (Some(a), Some(b)) if a != b => tell(format!("{name} says {b} bytes, another source {a}")),
            (None, size) => entry.size = size,
            _ => {}
        }
        for checksum in listed.checksums {
            match entry.checksums.iter().find(|known| known.algorithm() == checksum.algorithm()) {
                Some(known) if *known != checksum => tell(format!("{name} says {checksum}, another source {known}")),
                Some(_) => {}
                None => entry.checksums.push(checksum),
            }
        }
    }
    *expected = known.into_values().collect();
    disagreements
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(name: &str, text: &str) -> Vec<(String, Option<u64>, Vec<String>)> {
        let list = read_list(name, text).unwrap().files;
        let told = |e: Expected| (e.path.to_string(), e.size, e.checksums.iter().map(ToString::to_string).collect());
        list.into_iter().map(told).collect()
    }

    /// Two files in each tool's format. Their digests are published: `abc` and the empty text are the test vectors of
    /// FIPS 180, RFC 1321 and BLAKE3; git's digest of the empty text is in every repository, that of `abc` is the
    /// output of `git hash-object` 2.47.
    #[test]
    fn lists_of_the_same_files_agree() {
        const SHA: [&str; 2] = [
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ];
        const B3: [&str; 2] = [
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
        ];
        const MD5: [&str; 2] = ["900150983cd24fb0d6963f7d28e17f72", "d41d8cd98f00b204e9800998ecf8427e"];
        const GIT: [&str; 2] = ["f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"];
        let rows = |row: &dyn Fn(usize, &str) -> String| {
            ["d/abc", "naïve.txt"].iter().enumerate().map(|(at, name)| row(at, name)).collect::<Vec<_>>()
        };
        let lists = [
            ("SHA256SUMS", rows(&|at, name| format!("{}  {name}\n", SHA[at])).concat()),
            ("SHA256SUMS.bsd", rows(&|at, name| format!("SHA256 ({name}) = {}\n", SHA[at])).concat()),
            ("B3SUMS", rows(&|at, name| format!("{}  {name}\n", B3[at])).concat()),
            ("checklist.chk", rows(&|at, name| format!("{} {name}\n", MD5[at])).concat()),
            (
                "data.dir",
                format!(
                    "[{}]",
                    rows(&|at, name| format!(r#"{{"md5": "{}", "relpath": "{name}"}}"#, MD5[at])).join(", ")
                ),
            ),
            (
                "tree.json",
                format!(
                    r#"[{{"type": "directory", "oid": "{}", "size": 0, "path": "d"}}, {}]"#,
                    "0".repeat(40),
                    rows(&|at, name| format!(
                        r#"{{"type": "file", "oid": "{}", "size": {}, "path": "{name}"}}"#,
                        GIT[at],
                        [3, 0][at]
                    ))
                    .join(", ")
                ),
            ),
            (
                "croissant.json",
                format!(
                    r#"{{"distribution": [{{"@type": "cr:FileObject", "contentUrl": "d/abc", "contentSize": "3 B", "sha256": "{}"}}]}}"#,
                    SHA[0]
                ),
            ),
        ];
        let mut all = Vec::new();
        for (name, text) in &lists {
            assert_eq!(merge(&mut all, name, read_list(name, text).unwrap().files), [], "{name}");
        }
        let told: Vec<(&str, Option<u64>, Vec<String>)> = all
            .iter()
            .map(|e| (e.path.as_str(), e.size, e.checksums.iter().map(ToString::to_string).collect()))
            .collect();
        let expected = |at: usize| {
            [("sha256", SHA[at]), ("b3", B3[at]), ("md5", MD5[at]), ("git", GIT[at])]
                .map(|(algorithm, hex)| format!("{algorithm}:{hex}"))
                .to_vec()
        };
        assert_eq!(told, [("d/abc", Some(3), expected(0)), ("naïve.txt", Some(0), expected(1))]);
        // A changed digit in any of them is reported, with the name of the list.
        for (name, text) in &lists {
            let digit = text.rfind(|c: char| c.is_ascii_hexdigit() && !"abcdef3".contains(c)).unwrap();
            let mut other = text.clone();
            other.replace_range(digit..=digit, if &text[digit..=digit] == "0" { "1" } else { "0" });
            let disagreements = merge(&mut all.clone(), name, read_list(name, &other).unwrap().files);
            assert!(disagreements.len() == 1 && disagreements[0].what.starts_with(name), "{name}: {disagreements:?}");
        }
    }

    #[test]
    fn every_form_is_read() {
        let (a, b) = ("a".repeat(64), "B".repeat(64));
        let sha = |hex: &str| vec![format!("sha256:{}", hex.to_lowercase())];
        let text = format!("# of today\r\n{a}  one two\r\n\n{b} *./dir/x\n\\{a}  new\\nline\n");
        // A path with a line end is not possible in a release, and is refused at its position.
        let error = read_list("SHA256SUMS", &text).unwrap_err();
        assert_eq!(error.line, 5);
        let text = text.replace("\\a", "a").replace("new\\nline", "new");
        assert_eq!(
            told("SHA256SUMS", &text),
            [
                ("dir/x".to_owned(), None, sha(&b)),
                ("new".to_owned(), None, sha(&a)),
                ("one two".to_owned(), None, sha(&a)),
            ]
        );
        let both = format!("SHA256 (x (1).bin) = {a}\nMD5 (x (1).bin) = {}\n", "0".repeat(32));
        assert_eq!(told("any", &both)[0].2, [format!("sha256:{a}"), format!("md5:{}", "0".repeat(32))]);
        assert_eq!(told("B3SUMS", &format!("{a}  x"))[0].2, [format!("b3:{a}")]);
        assert_eq!(told("checklist.chk", &format!("{} x", "1".repeat(32)))[0].2, [format!("md5:{}", "1".repeat(32))]);
        let tree = format!(
            r#"[{{"type":"directory","oid":"x","size":0,"path":"d"}},
               {{"type":"file","oid":"{}","size":3,"path":"d/small"}},
               {{"type":"file","oid":"{}","size":9,"path":"big","lfs":{{"oid":"{a}","size":9,"pointerSize":1}},"xetHash":"y"}}]"#,
            "2".repeat(40),
            "3".repeat(40)
        );
        assert_eq!(
            told("tree.json", &tree),
            [
                ("big".to_owned(), Some(9), sha(&a)),
                ("d/small".to_owned(), Some(3), vec![format!("git:{}", "2".repeat(40))]),
            ]
        );
    }

    #[test]
    fn descriptions_and_pointers_are_read() {
        let a = "a".repeat(64);
        let croissant = format!(
            r#"{{"@context": {{}}, "distribution": [
               {{"@type": "cr:FileObject", "contentUrl": "https://host/datasets/x/resolve/main/d/one.parquet?download=true", "contentSize": "12 B", "sha256": "{a}"}},
               {{"contentUrl": "two.csv", "contentSize": "1.5 MB", "md5": "{}"}},
               {{"contentUrl": "inside.csv", "containedIn": {{"@id": "zip"}}, "sha256": "{a}"}},
               {{"contentUrl": "undigested.csv"}}, {{"@type": "cr:FileSet", "includes": "*"}}]}}"#,
            "1".repeat(32)
        );
        assert_eq!(
            told("croissant.json", &croissant),
            [
                ("d/one.parquet".to_owned(), Some(12), vec![format!("sha256:{a}")]),
                ("two.csv".to_owned(), None, vec![format!("md5:{}", "1".repeat(32))]),
                ("undigested.csv".to_owned(), None, vec![]),
            ]
        );
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{a}\nsize 7\n");
        assert_eq!(told("model.bin", &pointer), [("model.bin".to_owned(), Some(7), vec![format!("sha256:{a}")])]);
    }

    /// As a hub, Kaggle and OpenML describe data sets: <https://github.com/mlcommons/croissant/issues/80>.
    #[test]
    fn what_is_no_file_of_a_copy_is_left_out_and_named() {
        let (a, md5) = ("a".repeat(64), "1".repeat(32));
        let croissant = format!(
            r#"{{"distribution": [
               {{"contentUrl": "https://hub/x/tree/main", "encodingFormat": "git+https", "sha256": "https://issue/80"}},
               {{"contentUrl": ".", "encodingFormat": "git+https"}},
               {{"contentUrl": "https://openml/61", "md5": "{md5}"}},
               {{"contentUrl": "one", "sha256": null}}, {{"contentUrl": "two", "contentSize": "3 B", "sha256": "TODO"}},
               {{"contentUrl": "three", "sha256": "{a}", "md5": "main"}}]}}"#,
        );
        let list = read_list("croissant.json", &croissant).unwrap();
        let elsewhere = [
            (r#"https://hub/x/tree/main ("https://issue/80" is no sha256)"#, false),
            (".", false),
            ("https://openml/61", true),
        ];
        let elsewhere = elsewhere.map(|(what, digest)| Elsewhere { what: what.to_owned(), digest });
        assert_eq!(list.elsewhere, elsewhere);
        let expected = [("one", None, vec![]), ("three", None, vec![format!("sha256:{a}")]), ("two", Some(3), vec![])];
        assert_eq!(
            told("croissant.json", &croissant),
            expected.map(|(path, size, sums)| (path.to_owned(), size, sums))
        );
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_line() {
        let a = "a".repeat(64);
        for (name, text, line, what) in [
            ("SHA256SUMS", String::new(), 0, "no file"),
            ("SHA256SUMS", format!("{a}  ok\nnothing\n"), 2, "not a checksum"),
            ("SHA256SUMS", format!("{a}  ../out\n"), 1, "`..`"),
            ("SHA256SUMS", format!("{a}  /etc/passwd\n"), 1, "/etc/passwd"),
            ("SHA256SUMS", format!("{}  x\n", "a".repeat(63)), 1, "63 digits"),
            ("SHA256SUMS", format!("{}  x\n", "g".repeat(64)), 1, "not a checksum"),
            ("SHA256SUMS", format!("{a}  x\n{}  x\n", "b".repeat(64)), 2, "is listed twice"),
            ("sums.txt", format!("{a}  x\n"), 1, "SHA-256 or BLAKE3"),
            ("x", format!("SHA512 (x) = {a}\n"), 1, "SHA512"),
            ("x", format!("SHA256 (x) = {}\n", "a".repeat(32)), 1, "is not a SHA256"),
            ("tree.json", "[{\"type\":1}]".to_owned(), 1, "not a list of a hub's files"),
            (
                "c.json",
                r#"{"distribution": [{"contentUrl": "https://h/x", "sha256": "TODO"}]}"#.to_owned(),
                0,
                r#"only https://h/x ("TODO" is no sha256)"#,
            ),
            ("c.json", "{}".to_owned(), 1, "Croissant"),
            ("x.dir", r#"[{"md5": "00", "relpath": "x"}]"#.to_owned(), 0, "is not a md5"),
            ("x", "version https://git-lfs.github.com/spec/v1\nsize 1\n".to_owned(), 0, "LFS pointer without"),
            ("tree.json", r#"[{"type":"file","oid":"00","size":1,"path":"x"}]"#.to_owned(), 0, "is not a git"),
        ] {
            let error = read_list(name, &text).unwrap_err();
            assert!(error.line == line && error.what.contains(what), "{error}");
        }
    }

    #[test]
    fn lists_that_disagree_are_both_named() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let mut expected = read_list("SHA256SUMS", &format!("{a}  x\n{a}  y\n")).unwrap().files;
        let other = read_list("other.sha256", &format!("{b}  x\n{a}  y\n{a}  z\n")).unwrap().files;
        let found = merge(&mut expected, "other.sha256", other);
        assert_eq!(found.len(), 1);
        assert!(found[0].path.as_str() == "x" && found[0].what.contains("other.sha256") && found[0].what.contains(&a));
        assert_eq!(expected.len(), 3);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in any::<String>(), near in "[0-9a-f]{60,66} [ *]?[a-z./\\\\]{0,9}\n", name in "(SHA256SUMS|B3SUMS|x)") {
            let _ = read_list(&name, &text);
            let _ = read_list(&name, &near);
            let _ = read_list(&name, &format!("[{text}"));
        }
    }
}

//! Tests of lists.

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
            format!("[{}]", rows(&|at, name| format!(r#"{{"md5": "{}", "relpath": "{name}"}}"#, MD5[at])).join(", ")),
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
    let told: Vec<(&str, Option<u64>, Vec<String>)> =
        all.iter().map(|e| (e.path.as_str(), e.size, e.checksums.iter().map(ToString::to_string).collect())).collect();
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
        [("dir/x".to_owned(), None, sha(&b)), ("new".to_owned(), None, sha(&a)), ("one two".to_owned(), None, sha(&a)),]
    );
    let both = format!("SHA256 (x (1).bin) = {a}\nMD5 (x (1).bin) = {}\n", "0".repeat(32));
    assert_eq!(told("any", &both)[0].2, [format!("sha256:{a}"), format!("md5:{}", "0".repeat(32))]);
    assert_eq!(told("B3SUMS", &format!("{a}  x"))[0].2, [format!("b3:{a}")]);
    assert_eq!(told("checklist.chk", &format!("{} x", "1".repeat(32)))[0].2, [format!("md5:{}", "1".repeat(32))]);
    let tree = format!(
        r#"[{{"type":"directory","oid":"x","size":0,"path":"d"}},
           {{"type":"file","oid":"{}","size":3,"path":"d/small"}},
           {{"type":"file","oid":"{}","size":9,"path":"big","lfs":{{"oid":"{a}","size":9,"pointerSize":1}},"xetHash":"{b}"}}]"#,
        "2".repeat(40),
        "3".repeat(40)
    );
    assert_eq!(
        told("tree.json", &tree),
        [
            ("big".to_owned(), Some(9), vec![format!("sha256:{a}"), format!("xet:{}", b.to_lowercase())]),
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
           {{"contentUrl": "inside.csv", "containedIn": {{"@id": "zip"}}}},
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
    let elsewhere = elsewhere.map(|(what, digest)| Elsewhere { what: what.to_owned(), place: Place::Address, digest });
    assert_eq!(list.elsewhere, elsewhere);
    let expected = [("one", None, vec![]), ("three", None, vec![format!("sha256:{a}")]), ("two", Some(3), vec![])];
    assert_eq!(told("croissant.json", &croissant), expected.map(|(path, size, sums)| (path.to_owned(), size, sums)));
}

/// As a hub describes them, files are in a repository, which is an entry too, or in an archive.
#[test]
fn a_file_in_a_repository_is_one_of_the_copy_and_one_in_an_archive_is_not() {
    let (a, b) = ("a".repeat(64), "b".repeat(64));
    let croissant = format!(
        r#"{{"distribution": [
           {{"@id": "repo", "contentUrl": "https://hub/x", "encodingFormat": "git+https"}},
           {{"@id": "zip", "contentUrl": "all.zip", "sha256": "sha256:{a}", "containedIn": {{"@id": "repo"}}}},
           {{"@id": "tar", "contentUrl": "more.tar", "containedIn": ["repo"]}},
           {{"contentUrl": "data/one.csv", "sha256": "{b}", "containedIn": [{{"@id": "repo"}}]}},
           {{"contentUrl": "in-zip.csv", "sha256": "{b}", "containedIn": {{"@id": "zip"}}}},
           {{"contentUrl": "in-tar.csv", "sha256": "{b}", "containedIn": {{"@id": "tar"}}}},
           {{"contentUrl": "lost.csv", "sha256": "{b}", "containedIn": {{"@id": "gone"}}}},
           {{"contentUrl": "odd.csv", "sha256": "{b}", "containedIn": 7}}]}}"#,
    );
    let expected =
        [("all.zip", vec![format!("sha256:{a}")]), ("data/one.csv", vec![format!("sha256:{b}")]), ("more.tar", vec![])];
    assert_eq!(told("croissant.json", &croissant), expected.map(|(path, sums)| (path.to_owned(), None, sums)));
    // The digest of the archive is of its files too; nothing else is compared with the other three.
    let list = read_list("croissant.json", &croissant).unwrap();
    let findings: Vec<&str> = list.elsewhere.iter().filter(|of| of.is_finding()).map(|of| of.what.as_str()).collect();
    assert_eq!(findings, [r#"in-tar.csv in "tar""#, r#"lost.csv in "gone""#, r#"odd.csv in """#]);
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

/// A file that is not in git, one that is, and a directory, as the hub and its client write them.
#[test]
fn every_form_of_a_hub_says_the_same() {
    let (a, x, git) = ("a".repeat(64), "b".repeat(64), "2".repeat(40));
    let lfs = format!(r#"{{"oid": "{a}", "size": 9, "pointerSize": 132}}"#);
    let tree = format!(
        r#"{{"type": "file", "oid": "{git}", "size": 9, "path": "d/big", "lfs": {lfs}, "xetHash": "{x}",
            "lastCommit": {{"id": "0", "title": "t", "date": "2026-01-01"}}, "securityFileStatus": {{"status": "safe"}}}},
           {{"type": "directory", "oid": "{git}", "size": 0, "path": "d"}}"#
    );
    let small = format!(r#"{{"type": "file", "oid": "{git}", "size": 3, "path": "small"}}"#);
    let kept = format!(
        r#"{{"format_version": 1, "files": {{"small": {{"size": 3, "blob_id": "{git}"}},
            "d/big": {{"size": 9, "blob_id": "{git}", "lfs_sha256": "{a}", "lfs_size": 9, "xet_hash": "{x}"}}}}}}"#
    );
    let small_files = ("small".to_owned(), Some(3), vec![format!("git:{git}")]);
    let big = |sums: &[String]| ("d/big".to_owned(), Some(9), sums.to_vec());
    let both = [format!("sha256:{a}"), format!("xet:{x}")];
    // Pages that were written one after the other are one list.
    for text in [format!("[{tree}, {small}]"), format!("[{tree}]\n[{small}]\n"), kept.clone()] {
        assert_eq!(told("tree.json", &text), [big(&both), small_files.clone()], "{text}");
        assert_eq!(read_list("tree.json", &text).unwrap().elsewhere, []);
    }
    let bucket = format!(
        r#"[{{"type": "file", "path": "d/big", "size": 9, "xetHash": "{x}", "mtime": null, "uploadedAt": "2026-01-01T00:00:00Z"}},
            {{"type": "directory", "path": "d", "uploadedAt": "2026-01-01T00:00:00Z"}}]"#
    );
    assert_eq!(told("bucket.json", &bucket), [big(&both[1..])]);
    let model = format!(
        r#"{{"id": "x/y", "tags": ["retrace"], "siblings": [{{"rfilename": "small", "size": 3, "blobId": "{git}"}},
            {{"rfilename": "d/big", "size": 9, "blobId": "{git}", "lfs": {{"sha256": "{a}", "size": 9, "pointerSize": 132}}}}]}}"#
    );
    assert_eq!(told("model.json", &model), [big(&both[..1]), small_files]);
    assert!(is_json_list(&kept) && is_json_list(&model));
    assert!(!is_json_list(r#"{"retrace": "manifest/1", "artifacts": [{"path": "siblings"}], "siblings": []}"#));
    for wrong in [kept.replace("version\": 1", "version\": 2"), kept.replace(&x, "b"), bucket.replace(&x, &x[1..])] {
        assert!(read_list("tree.json", &wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_list_that_looks_like_a_part_says_so() {
    let entry = |at: usize, more: &str| {
        format!(r#"{{"type": "file", "oid": "{}", "size": 1, "path": "f{at}"{more}}}"#, "2".repeat(40))
    };
    let commit = r#", "lastCommit": {"id": "0"}"#;
    for (entries, more, part) in
        [(999, "", false), (1000, "", true), (2000, "", true), (50, "", false), (50, commit, true), (51, commit, false)]
    {
        let text: Vec<String> = (0..entries).map(|at| entry(at, more)).collect();
        let list = read_list("tree.json", &format!("[{}]", text.join(","))).unwrap();
        assert_eq!(list.part.is_some(), part, "{entries} {more}");
        assert!(list.part.is_none_or(|part| part.contains(&format!("{entries} entries"))));
    }
    // As a tree without `recursive=true` is: a directory's files are not listed. Another path begins as its path does.
    let text = format!(r#"[{}, {{"type": "directory", "oid": "3", "size": 0, "path": "f"}}]"#, entry(1, ""));
    let list = read_list("tree.json", &text).unwrap();
    assert_eq!(list.elsewhere, [Elsewhere { what: "f".to_owned(), place: Place::Directory, digest: true }]);
    assert!(list.elsewhere[0].is_finding());
}

/// As DVC 3.67 and DVC 2.58 write them.
/// As `dvc import-url data/a b` writes it, and `dvc import`.
#[test]
fn what_a_file_was_made_from_is_compared_if_it_is_beside_it() {
    let (a, b) = ("a".repeat(32), "b".repeat(32));
    let local = format!("deps:\n- md5: {a}\n  hash: md5\n  path: data/a\nouts:\n- md5: {b}\n  hash: md5\n  path: b\n");
    let expected = [("b", format!("md5:{b}")), ("data/a", format!("md5:{a}"))];
    assert_eq!(told("b.dvc", &local), expected.map(|(path, sum)| (path.to_owned(), None, vec![sum])));
    for dep in [
        "- path: x/b\n  repo:\n    url: https://host/r\n    rev_lock: 0123\n",
        "- md5: 7\n  path: https://host/b\n",
        "- md5: 7\n  path: ../b\n",
    ] {
        let list = read_list("b.dvc", &format!("deps:\n{dep}outs:\n- md5: {b}\n  hash: md5\n  path: b\n")).unwrap();
        assert_eq!((list.files.len(), list.elsewhere.len()), (1, 1), "{dep}");
    }
}

#[test]
fn files_of_dvc_are_read() {
    let (one, two) = ("a1".repeat(16), "b2".repeat(16));
    let new = format!("outs:\n- md5: {one}\n  size: 12\n  hash: md5\n  path: data.csv\n");
    assert_eq!(told("data.csv.dvc", &new), [("data.csv".to_owned(), Some(12), vec![format!("md5:{one}")])]);
    // The length of a text whose line ends may be any is not certain.
    let old = format!("md5: {two}\nwdir: sub\nouts:\n- md5: {one}\n  size: 12\n  path: data.csv\n");
    let dos = |hex: &str| vec![format!("md5-dos2unix:{hex}")];
    assert_eq!(told("data.csv.dvc", &old), [("sub/data.csv".to_owned(), None, dos(&one))]);
    let lock = format!(
        "schema: '2.0'\nstages:\n  prepare:\n    cmd: python prepare.py\n    deps:\n    - path: prepare.py\n      \
         hash: md5\n      md5: {one}\n      size: 5\n    - path: s3://bucket/raw\n      md5: {one}\n    params:\n      \
         params.yaml:\n        seed: 1\n    outs:\n    - path: data\n      hash: md5\n      md5: {two}.dir\n      \
         size: 7\n      nfiles: 2\n  train:\n    cmd: [a, b]\n    deps:\n    - path: prepare.py\n      hash: md5\n      \
         md5: {two}\n"
    );
    let list = read_list("dvc.lock", &lock).unwrap();
    assert_eq!(told("dvc.lock", &lock), [("prepare.py".to_owned(), Some(5), vec![format!("md5:{one}")])]);
    assert_eq!(list.elsewhere, [Elsewhere { what: "s3://bucket/raw".to_owned(), place: Place::Address, digest: true }]);
    assert_eq!(list.directories[0].list.as_str(), format!(".dvc/cache/files/md5/b2/{}.dir", &two[2..]));
    assert!(list.disagreements.len() == 1 && list.disagreements[0].what.contains("train"), "{list:?}");
    for wrong in [
        "outs: 5",
        "outs:\n- path: [a]",
        "outs:\n- path: a\n  md5: zz",
        "",
        "outs: []",
        "a: &a [*a]",
        "outs:\n- path: a\n  md5: '1'\n  hash: blake3",
    ] {
        assert!(read_list("x.dvc", wrong).is_err(), "{wrong}");
    }
    // DVC quotes a digest that would be a number.
    let digits = format!("deps:\nouts:\n- md5: '{}'\n  hash: md5\n  path: ./a\n", "1".repeat(32));
    assert_eq!(told("x.dvc", &digits), [("a".to_owned(), None, vec![format!("md5:{}", "1".repeat(32))])]);
    for wrong in ["schema: '2.0'", "stages: [1]", "stages:\n  a: {outs: [{md5: 1}]}"] {
        assert!(read_list("dvc.lock", wrong).is_err(), "{wrong}");
    }
}

/// The list of a directory must be the one that was named; its texts are of DVC 2 if that wrote the name.
#[test]
fn directories_of_dvc_are_read() {
    let text = format!(r#"[{{"md5": "{}", "relpath": "a/b.txt"}}]"#, "1".repeat(32));
    let digest = retrace_files::checksum(Algorithm::Md5, text.as_bytes()).unwrap().hex();
    for (hash, name, list) in [("  hash: md5\n", "md5", ".dvc/cache/files/md5/"), ("", "md5-dos2unix", ".dvc/cache/")] {
        let mut read = read_list("d.dvc", &format!("outs:\n- md5: {digest}.dir\n{hash}  path: d\n")).unwrap();
        let directory = read.directories[0].clone();
        assert_eq!(directory.list.as_str(), format!("{list}{}/{}.dir", &digest[..2], &digest[2..]));
        assert!(
            read.add_directory(&directory, &text.replace('b', "c")).unwrap_err().what.contains("not the list of d")
        );
        read.add_directory(&directory, &text).unwrap();
        assert_eq!(read.files[0].path.as_str(), "d/a/b.txt");
        assert_eq!(read.files[0].checksums[0].to_string(), format!("{name}:{}", "1".repeat(32)));
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(text in any::<String>(), near in "[0-9a-f]{60,66} [ *]?[a-z./\\\\]{0,9}\n", name in "(SHA256SUMS|B3SUMS|x)") {
        let _ = read_list(&name, &text);
        let _ = read_list(&name, &near);
        let _ = read_list(&name, &format!("[{text}"));
        let _ = read_list("x.dvc", &text);
        let _ = read_list("dvc.lock", &format!("stages: {text}"));
        let _ = read_list("x.dvc", &format!("outs:\n- {text}"));
    }
}

//! `retrace verify` of lists as hubs and DVC write them.

use crate::support::Release;

/// Of `abc`: by `hash_files` of hf-xet 1.8.0, by FIPS 180, and by `git hash-object`.
const XET: &str = "55b9df318a7c45f470d57b04d8ca79a15b0637ffe94b25041a58d00c3528afff";
const SHA: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const GIT: &str = "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f";

#[test]
fn a_hub_says_what_it_has_by_xet() {
    let release = Release::new();
    release.write("copy/d/weights", "abc");
    let list = |more: &str| {
        release.write("tree.json", format!(r#"[{{"type": "file", "path": "d/weights", "size": 3, {more}}}]"#));
    };
    let verify = || release.run(&["verify", "tree.json", "copy"]);
    let xet = format!(r#""xetHash": "{XET}""#);
    list(&xet);
    verify().code(0).says(&["verified 1 file"]);
    let lfs = format!(r#""oid": "{GIT}", "lfs": {{"oid": "{SHA}", "size": 3, "pointerSize": 130}}"#);
    list(&format!("{lfs}, {xet}"));
    verify().code(0).says(&["verified 1 file"]);
    // Both are checked.
    list(&format!("{lfs}, {}", xet.replace("afff", "affe")));
    assert!(verify().code(1).out.contains("some checksums match, but not xet"));
    list(&format!("{}, {xet}", lfs.replace("15ad", "15ae")));
    assert!(verify().code(1).out.contains("some checksums match, but not sha256"));
    list(&xet);
    release.write("copy/d/weights", "abd");
    assert!(verify().code(1).out.starts_with("changed      d/weights"));
}

#[test]
fn what_a_hub_lists_in_part_is_told() {
    let release = Release::new();
    release.write("copy/one", "abc");
    let one = format!(r#"{{"type": "file", "path": "one", "size": 3, "oid": "{GIT}", "lastCommit": {{}}}}"#);
    let directory = r#"{"type": "directory", "path": "onnx", "oid": "00", "size": 0}"#;
    release.write("tree.json", format!("[{one}, {directory}]"));
    let ran = release.run(&["verify", "tree.json", "copy"]).code(1);
    assert!(ran.out.starts_with("unverifiable onnx: the list has this directory and none of its files"), "{}", ran.out);
    // With the last commits, a page has 50 entries.
    let links = (1..50).map(|at| {
        release.write(&format!("copy/{at}"), "abc");
        one.replace("\"one\"", &format!("\"{at}\""))
    });
    let page = format!("[{}]", links.chain([one.clone()]).collect::<Vec<_>>().join(", "));
    release.write("tree.json", &page);
    release
        .run(&["verify", "tree.json", "copy"])
        .code(0)
        .says(&["verified 50 files", "may be part tree.json has 50 entries"]);
    let json = release.run(&["verify", "tree.json", "copy", "--json"]).code(0).json("verify/1");
    assert!(json["may_be_parts"][0].as_str().unwrap().contains("50 entries"), "{json}");
    // The next page, written after it.
    release.write("copy/last", "abc");
    release.write("tree.json", format!("{page}\n[{}]\n", one.replace("\"one\"", "\"last\"")));
    let ran = release.run(&["verify", "tree.json", "copy"]).code(0);
    assert!(!ran.err.contains("may be part"), "{}", ran.err);
}

/// The list that the hub's client keeps is beside the files, where it is no extra file.
#[test]
fn the_list_of_a_hubs_client_is_read() {
    let release = Release::new();
    release.write("copy/small", "abc");
    release.write("copy/weights", "abc");
    let kept = format!(
        r#"{{"format_version": 1, "files": {{"small": {{"size": 3, "blob_id": "{GIT}"}}, "weights": {{"size": 3,
            "blob_id": "00", "lfs_sha256": "{SHA}", "lfs_size": 3, "xet_hash": "{XET}"}}}}}}"#
    );
    let list = "copy/.cache/huggingface/trees/0123.json";
    release.write(list, &kept);
    release.run(&["verify", list, "copy"]).code(0).says(&["verified 2 files"]);
    release.write(list, kept.replace("\"format_version\": 1", "\"format_version\": 9"));
    release.run(&["verify", list, "copy"]).code(2).says(&["version 9"]);
}

/// As `dvc add` and `dvc repro` of DVC 3.67 and 2.58 wrote them.
#[test]
fn files_of_dvc_are_lists() {
    let release = Release::new();
    let list = |text: &str| {
        format!(
            r#"[{{"md5": "900150983cd24fb0d6963f7d28e17f72", "relpath": "bin"}}, {{"md5": "{text}", "relpath": "in/crlf.txt"}}]"#
        )
    };
    release.write("r/data/bin", "abc");
    release.write("r/data/in/crlf.txt", "a\r\nb\r\n");
    release.write("r/t.csv", "x,y\r\n1,2\r\n");
    release.write(
        "r/t.csv.dvc",
        "outs:\n- md5: ef4330228809c42919ada65a11393fd1\n  size: 10\n  hash: md5\n  path: t.csv\n",
    );
    release.run(&["verify", "r/t.csv.dvc"]).code(0).says(&["verified 1 file", "only by md5, which can be forged"]);
    let new = "outs:\n- md5: cd39f8a005de1bd8c395aed451292f93.dir\n  size: 9\n  nfiles: 2\n  hash: md5\n  path: data\n";
    release.write("r/data.dvc", new);
    let ran = release.run(&["verify", "r/data.dvc"]).code(1);
    assert!(ran.out.starts_with("unverifiable data (its list is not there"), "{}", ran.out);
    let cached = "r/.dvc/cache/files/md5/cd/39f8a005de1bd8c395aed451292f93.dir";
    release.write(cached, list("59b0d7772f0561efb95518f3cb8abc60"));
    release.run(&["verify", "r/data.dvc"]).code(0).says(&["verified 2 files"]);
    // Also from below the repository, and as the list of a stage.
    let lock = "schema: '2.0'\nstages:\n  s:\n    cmd: cp t.csv out.csv\n    deps:\n    - path: data\n      hash: md5\n      \
                md5: cd39f8a005de1bd8c395aed451292f93.dir\n      size: 9\n      nfiles: 2\n    outs:\n    - path: t.csv\n      \
                hash: md5\n      md5: ef4330228809c42919ada65a11393fd1\n      size: 10\n";
    release.write("r/dvc.lock", lock);
    release.run(&["verify", "r/dvc.lock"]).code(0).says(&["verified 3 files"]);
    release.write("r/data/in/crlf.txt", "a\nb\n");
    let ran = release.run(&["verify", "r/dvc.lock"]).code(1);
    assert!(ran.out.contains("; its line ends are LF and should be CRLF"), "{}", ran.out);
    // DVC 2 has the same digest of both.
    let old = "outs:\n- md5: 8097c4acb33e3ff3bb880a77ad3acb62.dir\n  size: 9\n  nfiles: 2\n  path: data\n";
    let cached = "r/.dvc/cache/80/97c4acb33e3ff3bb880a77ad3acb62.dir";
    release.write("r/data.dvc", old);
    release.write(cached, list("dd8c6a395b5dd36c56d23275028f526c"));
    release.write("r/other.dvc", "outs:\n- md5: 344fd2323dd33d5c058b7cf27de029e8\n  size: 10\n  path: t.csv\n");
    for text in ["a\nb\n", "a\r\nb\r\n"] {
        release.write("r/data/in/crlf.txt", text);
        release
            .run(&["verify", "r/data.dvc", "--also", "r/other.dvc"])
            .code(0)
            .says(&["verified 3 files", "md5-dos2unix"]);
    }
    release.write("r/data/in/crlf.txt", "a\rb\n");
    assert!(release.run(&["verify", "r/data.dvc"]).code(1).out.starts_with("changed      data/in/crlf.txt"));
    // Another list under that name is not believed.
    release.write(cached, list("dd8c6a395b5dd36c56d23275028f526c").replace("bin", "bun"));
    assert!(release.run(&["verify", "r/data.dvc"]).code(1).out.contains("it is not the list of data"));
}

//! `retrace verify` of copies that have other files besides, or not all files, or links, and of lists that describe more
//! than the files of a copy.

use crate::support::Release;

#[test]
fn extra_files_of_known_programs_are_one_line_and_can_be_left_out() {
    let release = Release::new();
    release.run(&["seal", ".", "-o", "manifest.yaml"]).code(0);
    for n in 0..10 {
        release.write(&format!(".cache/huggingface/download/{n}.metadata"), format!("{n}"));
    }
    for file in ["raw/.DS_Store", ".mdl", "other"] {
        release.write(file, file);
    }
    let ran = release.run(&["verify", "manifest.yaml"]).code(1);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 4, "{}", ran.out);
    assert!(lines[0].starts_with("extra        other: "), "{}", ran.out);
    assert!(ran.out.contains("extra        .cache/huggingface: 10 files of the client of Hugging Face"), "{}", ran.out);
    ran.says(&["13 findings", "files are verified, and the others are extra; --ignore-extra"]);
    let json = release.run(&["verify", "manifest.yaml", "--json"]).code(1).json("verify/1");
    assert_eq!(json["counts"]["extra"], 13, "every file is an entry");
    release.run(&["verify", "manifest.yaml", "--ignore-extra"]).code(0).says(&["all as sealed", "not listed 13 paths"]);
    // A changed file comes first, and is a finding whatever is left out.
    release.write("raw/en-01.jsonl", "changed");
    let ran = release.run(&["verify", "manifest.yaml"]).code(1);
    assert!(ran.out.starts_with("changed      raw/en-01.jsonl") && !ran.err.contains("--ignore-extra"), "{}", ran.out);
    release.run(&["verify", "manifest.yaml", "--ignore-extra"]).code(1);
}

#[test]
fn a_partial_copy_holds_only_if_that_is_asked_for() {
    let release = Release::new();
    release.run(&["seal", ".", "-o", "manifest.yaml"]).code(0);
    std::fs::remove_file(release.path("raw/en-01.jsonl")).unwrap();
    assert!(release.run(&["verify", "manifest.yaml"]).code(1).out.contains("missing      raw/en-01.jsonl"));
    let present = ["verify", "manifest.yaml", "--only-present"];
    release.run(&present).code(0).says(&["not there 1 of ", "left out by --only-present"]);
    let json = release.run(&[&present[..], &["--json"]].concat()).code(0).json("verify/1");
    assert_eq!((&json["absent"], &json["counts"]["missing"]), (&1.into(), &serde_json::Value::Null));
    release.write("clean.yaml", "changed");
    assert!(release.run(&present).code(1).out.starts_with("changed      clean.yaml"));
    // A copy of nothing proves nothing.
    std::fs::create_dir(release.path("empty")).unwrap();
    assert!(release.run(&["verify", "manifest.yaml", "empty", "--only-present"]).code(1).out.contains("missing "));
}

#[cfg(unix)]
#[test]
fn links_that_are_not_followed_name_what_follows_them() {
    use std::os::unix::fs::symlink;
    let release = Release::new();
    let (sum, bytes) = ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "abc");
    release.write("cache/blobs/b", bytes);
    release.write("SHA256SUMS", format!("{sum}  file\n"));
    for directory in ["cache/snapshots/1", "plain"] {
        std::fs::create_dir_all(release.path(directory)).unwrap();
    }
    symlink("../../blobs/b", release.path("cache/snapshots/1/file")).unwrap();
    symlink("../cache/blobs/b", release.path("plain/file")).unwrap();
    let verify = |directory: &str| release.run(&["verify", "SHA256SUMS", directory]).code(1);
    verify("cache/snapshots/1").says(&["links this is a snapshot", "--hub-cache follows its links"]);
    verify("plain").says(&["links only links of a hub's cache"]);
    release.run(&["verify", "SHA256SUMS", "cache/snapshots/1", "--hub-cache"]).code(0);
}

/// As the hub describes every data set: <https://github.com/huggingface/dataset-viewer/issues/2450>.
#[test]
fn a_description_of_a_repository_checks_its_files() {
    let release = Release::new();
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let repository =
        r#"{"contentUrl": "https://hub/x/tree/main", "encodingFormat": "git+https", "sha256": "https://issue"}"#;
    release.write("copy/one", "abc");
    let describe = |more: &str| release.write("c.json", format!(r#"{{"distribution": [{repository}{more}]}}"#));
    let verify = || release.run(&["verify", "c.json", "copy"]);
    describe(&format!(r#", {{"contentUrl": "https://hub/x/resolve/main/one", "sha256": "{sum}"}}"#));
    verify().code(0).says(&["verified 1 file", "not checked 1 entry", "\"https://issue\" is no sha256"]);
    // The bytes of another host have a digest that nobody compared here.
    let other = r#", {"contentUrl": "https://openml/61", "md5": "900150983cd24fb0d6963f7d28e17f72"}"#;
    describe(&format!(r#", {{"contentUrl": "one", "sha256": "{sum}"}}{other}"#));
    let ran = verify().code(1);
    assert!(ran.out.starts_with("unverifiable https://openml/61: ") && ran.out.lines().count() == 1, "{}", ran.out);
    ran.says(&["1 finding", "not checked 2 entries"]);
    describe(r#", {"contentUrl": "one", "sha256": null}"#);
    assert!(verify().code(1).out.contains("one: no checksum and no length are listed"));
    describe("");
    verify().code(2).says(&["lists no digest of a file", "\"https://issue\" is no sha256"]);
}

//! `seal` and `verify`: every change of a release is detected.

use std::fs;
use std::process::Command;

use retrace_files::{Lock, Root};

use crate::support::{Release, retrace};

/// A safetensors file, written by hand from the format's description: 16 bytes of data, two tensors of two F32 each.
fn tensors() -> Vec<u8> {
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(0u8..16);
    bytes
}

/// A release with a model in it, sealed after two steps; and its root.
fn sealed() -> (Release, String) {
    let release = Release::new();
    release.write("model/model.safetensors", tensors());
    release.run(&["clean", "clean.yaml"]).code(0);
    release.run(&["tokenize", "tokenize.yaml"]).code(0);
    let root = release.run(&["seal", "."]).code(0).out;
    (release, root.trim_end().to_owned())
}

#[test]
fn what_was_sealed_verifies() {
    let (release, root) = sealed();
    assert!(root.starts_with("b3:") && root.len() == 67, "{root}");
    let verified = release.run(&["verify", "manifest.yaml", "--root", &root]).code(0);
    assert!(verified.out.is_empty(), "{}", verified.out);
    verified.says(&["verified", &root]);
    let document = release.run(&["verify", "--json", "manifest.yaml"]).code(0).json("verify/1");
    assert_eq!((&document["holds"], &document["root"]), (&true.into(), &root.clone().into()));
    // From another directory, and with the manifest elsewhere and in JSON.
    let elsewhere = tempfile::tempdir().unwrap();
    let json = elsewhere.path().join("release.json");
    let run = |arguments: &[&std::ffi::OsStr]| {
        let ran = retrace().args(arguments).current_dir(elsewhere.path()).output().unwrap();
        crate::support::Ran::from(ran)
    };
    fs::remove_file(release.path("manifest.yaml")).unwrap();
    let again = run(&["seal".as_ref(), release.root().as_ref(), "-o".as_ref(), json.as_ref()]).code(0);
    assert_eq!(again.out.trim_end(), root, "the root does not depend on where or how the manifest is written");
    run(&["verify".as_ref(), json.as_ref(), release.root().as_ref()]).code(0);
}

#[test]
fn the_manifest_tells_the_digests_that_b3sum_tells_and_the_steps() {
    let (release, _) = sealed();
    let manifest = String::from_utf8(release.read("manifest.yaml")).unwrap();
    for id in ["id: clean", "id: tokenize", "path: clean/ledger.jsonl", "path: tokens/en.tokens"] {
        assert!(manifest.contains(id), "{id} is not in\n{manifest}");
    }
    for path in ["clean.yaml", "raw/en-00.jsonl", "model/model.safetensors"] {
        let digest = retrace_spec::Digest::of(&release.read(path)).to_string();
        assert!(manifest.contains(&digest), "{path}");
    }
    for secret in [release.root().to_str().unwrap(), ".retrace/"] {
        assert!(!manifest.contains(secret), "{secret} is in\n{manifest}");
    }
}

#[test]
fn two_makings_give_the_same_root() {
    assert_eq!(sealed().1, sealed().1);
}

#[test]
fn every_tampering_shows_and_is_named() {
    type Harm<'a> = &'a dyn Fn(&Release);
    let cases: [(&str, Harm<'_>, &[&str]); 10] = [
        (
            "a flipped bit",
            &|release| {
                let mut bytes = release.read("tokens/en.tokens");
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                release.write("tokens/en.tokens", bytes);
            },
            &["changed", "tokens/en.tokens"],
        ),
        (
            "a flipped bit of a weight",
            &|release| {
                let mut bytes = tensors();
                *bytes.last_mut().unwrap() ^= 1;
                release.write("model/model.safetensors", bytes);
            },
            &["changed", "model/model.safetensors", "tensor b differs"],
        ),
        (
            "a deleted file",
            &|release| fs::remove_file(release.path("clean/en-00.jsonl")).unwrap(),
            &["missing", "clean/en-00.jsonl"],
        ),
        ("an added file", &|release| release.write("clean/en-02.jsonl", b"{}\n"), &["extra", "clean/en-02.jsonl"]),
        (
            "a renamed file",
            &|release| fs::rename(release.path("clean/en-00.jsonl"), release.path("clean/en-05.jsonl")).unwrap(),
            &["renamed", "clean/en-05.jsonl", "clean/en-00.jsonl"],
        ),
        (
            "a truncated file",
            &|release| {
                let bytes = release.read("clean/en-01.jsonl");
                release.write("clean/en-01.jsonl", &bytes[..bytes.len() - 1]);
            },
            &["changed", "clean/en-01.jsonl", "truncated"],
        ),
        (
            "two files with each other's content",
            &|release| {
                let (a, b) = (release.read("raw/en-00.jsonl"), release.read("raw/en-01.jsonl"));
                release.write("raw/en-00.jsonl", b);
                release.write("raw/en-01.jsonl", a);
            },
            &["changed", "raw/en-00.jsonl", "raw/en-01.jsonl", "content of"],
        ),
        (
            "a lying safetensors header",
            &|release| {
                let mut bytes = tensors();
                bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
                release.write("model/model.safetensors", bytes);
            },
            &["changed", "model/model.safetensors", "byte 0", "header"],
        ),
        (
            "a directory instead of a file",
            &|release| {
                fs::remove_file(release.path("raw/en-00.jsonl")).unwrap();
                fs::create_dir(release.path("raw/en-00.jsonl")).unwrap();
            },
            &["missing", "raw/en-00.jsonl"],
        ),
        ("an emptied file", &|release| release.write("clean.yaml", b""), &["changed", "clean.yaml", "0 bytes"]),
    ];
    for (what, harm, parts) in cases {
        let (release, root) = sealed();
        harm(&release);
        let before = release.content();
        let ran = release.run(&["verify", "manifest.yaml", "--root", &root]);
        assert_eq!(ran.code, 1, "{what}: {}{}", ran.out, ran.err);
        for part in parts {
            assert!(ran.out.contains(part), "{what}: {part:?} is not in\n{}", ran.out);
        }
        ran.says(&["finding"]);
        let document = release.run(&["verify", "--json", "manifest.yaml"]).code(1).json("verify/1");
        assert_eq!(document["holds"], false, "{what}");
        assert_eq!(release.content(), before, "{what}: verify changed something");
    }
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_release_is_not_followed() {
    let (release, _) = sealed();
    fs::remove_file(release.path("clean.yaml")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", release.path("clean.yaml")).unwrap();
    let ran = release.run(&["verify", "manifest.yaml"]).code(1);
    assert!(ran.out.contains("clean.yaml") && ran.out.contains("link"), "{}", ran.out);
    release.run(&["seal", "."]).code(2).says(&["clean.yaml", "symbolic link", "--ignore"]);
}

#[test]
fn a_manifest_that_was_sealed_again_has_another_root() {
    let (release, published) = sealed();
    release.write("raw/en-00.jsonl", b"");
    release.write("model/note", b"");
    // The recorded steps no longer match the files, and seal says so.
    release.run(&["seal", "."]).code(2).says(&["raw/en-00.jsonl", "clean"]);
    fs::remove_dir_all(release.path(".retrace")).unwrap();
    release.run(&["seal", "."]).code(0);
    release.run(&["verify", "manifest.yaml"]).code(0);
    let ran = release.run(&["verify", "manifest.yaml", "--root", &published]).code(1);
    assert!(ran.out.starts_with("root") && ran.out.contains(&published), "{}", ran.out);
}

#[test]
fn what_is_ignored_is_said() {
    let release = Release::new();
    release.write("notes/today", "draft");
    let document = release.run(&["seal", ".", "--ignore", "notes", "--json"]).code(0).json("seal/1");
    assert_eq!(document["ignored"], serde_json::json!(["notes"]));
    release.write("notes/today", "changed");
    release.run(&["verify", "manifest.yaml"]).code(0).says(&["not covered", "notes"]);
    release.run(&["seal", ".", "--ignore", "../notes"]).code(2).says(&["`..`"]);
}

#[test]
fn a_manifest_that_is_none_is_refused() {
    let (release, root) = sealed();
    let manifest = String::from_utf8(release.read("manifest.yaml")).unwrap();
    let other = root.replace(&root[10..11], if &root[10..11] == "0" { "1" } else { "0" });
    for (what, text, parts) in [
        ("an edited entry", manifest.replacen("kind: config", "kind: other", 1), &["root", "edited after sealing"][..]),
        ("an edited root", manifest.replace(&root, &other), &["root", "edited after sealing"]),
        ("a path that leaves", manifest.replacen("path: clean.yaml", "path: ../clean.yaml", 1), &["`..`"]),
        ("an unknown key", manifest.replacen("name: ", "nome: ", 1), &["manifest.yaml:2:1", "nome"]),
        ("a cut", manifest[..manifest.len() / 2].to_owned(), &["manifest.yaml"]),
        ("nothing", String::new(), &["manifest.yaml"]),
        ("a YAML bomb", "a: &a [x]\nb: [*a,*a]\n".to_owned(), &["manifest.yaml:1", "anchor"]),
    ] {
        assert_ne!(text, manifest, "{what}");
        release.write("manifest.yaml", &text);
        let ran = release.run(&["verify", "manifest.yaml"]);
        assert_eq!(ran.code, 2, "{what}: {}{}", ran.out, ran.err);
        assert!(ran.out.is_empty(), "{what}");
        ran.says(parts).says(&["retrace seal"]);
    }
    release.run(&["verify", "no-such-manifest.yaml"]).code(2).says(&["no-such-manifest.yaml", "retrace seal"]);
    release.run(&["seal", "no-such-directory"]).code(2).says(&["no-such-directory"]);
}

#[test]
fn b3sum_agrees_if_it_is_here() {
    let (release, _) = sealed();
    let Ok(output) = Command::new("b3sum").arg(release.path("clean.yaml")).output() else { return };
    let sum = String::from_utf8(output.stdout).unwrap();
    let manifest = String::from_utf8(release.read("manifest.yaml")).unwrap();
    assert!(manifest.contains(&format!("b3:{}", sum.split(' ').next().unwrap())));
}

#[test]
fn a_part_or_a_sample_is_verified_and_said_to_be_one() {
    let (release, _) = sealed();
    let only = release.run(&["verify", "manifest.yaml", "--only", "kind=tokens", "--only", "model"]).code(0);
    only.says(&["verified 2 files of 10 files"]);
    release.write("raw/en-00.jsonl", b"{}\n");
    release.run(&["verify", "manifest.yaml", "--only", "raw/en-01.jsonl"]).code(0);
    release.run(&["verify", "manifest.yaml", "--only", "raw/"]).code(1);
    release.run(&["verify", "manifest.yaml", "--only", "kind=weights"]).code(2).says(&["weights", "checkpoint"]);
    release.run(&["verify", "manifest.yaml", "--only", "no/such"]).code(2).says(&["no/such"]);
    release.run(&["verify", "manifest.yaml", "--sample", "100%"]).code(1).says(&["sample 10 of 10", "if 1 or more"]);
    for bad in ["0", "101%", "x", "-1", "nan"] {
        release.run(&["verify", "manifest.yaml", &format!("--sample={bad}")]).code(2);
    }
    let chosen = || release.run(&["verify", "manifest.yaml", "--sample", "30%", "--seed", "s", "--json"]).out;
    assert_eq!(chosen(), chosen());
}

#[test]
fn sha256_is_sealed_if_asked_for_and_is_the_published_one() {
    let release = Release::new();
    release.write("abc", "abc");
    release.run(&["seal", ".", "--sha256"]).code(0);
    let manifest = String::from_utf8(release.read("manifest.yaml")).unwrap();
    // FIPS 180: of "abc".
    assert!(manifest.contains("sha256: sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    release.run(&["verify", "manifest.yaml"]).code(0);
}

/// A part is sealed once; the outer release refers to its manifest, and checks all of it.
#[test]
fn a_part_that_was_sealed_stands_for_its_files_in_the_whole() {
    let release = Release::new();
    release.write("weights/model.safetensors", tensors());
    release.write("weights/notes.txt", "notes");
    release.write("weights/manifest.yaml.sig", "a signature");
    release.run(&["clean", "clean.yaml"]).code(0);
    release.run(&["seal", ".", "--nest", "weights"]).code(2).says(&["weights", "manifest.yaml"]);
    release.run(&["seal", "weights"]).code(0);
    release.run(&["seal", ".", "--nest", "weights"]).code(0);
    let text = String::from_utf8(release.read("manifest.yaml")).unwrap();
    assert!(text.contains("weights/manifest.yaml") && !text.contains("weights/notes.txt"), "{text}");
    let verify = || release.run(&["verify", "manifest.yaml"]);
    verify().code(0).says(&["10 files", "as sealed"]);
    release.run(&["verify", "manifest.yaml", "--only", "weights"]).code(0).says(&["3 files of 10 files"]);
    // In the part and beside it, every change is detected.
    let mut changed = tensors();
    *changed.last_mut().unwrap() ^= 1;
    release.write("weights/model.safetensors", changed);
    release.write("weights/more", "");
    let told = verify().code(1).out;
    assert!(told.contains("changed      weights/model.safetensors") && told.contains("tensor b differs"), "{told}");
    assert!(told.contains("extra        weights/more"), "{told}");
    // A part that was sealed again is not the part that was sealed first: that is a finding, and so is that nothing in
    // it was checked.
    release.run(&["seal", "weights"]).code(0);
    let told = verify().code(1).says(&["2 findings"]).out;
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with("changed      weights/manifest.yaml"), "{told}");
    assert!(
        lines[0].starts_with("unverifiable weights: ") && lines[0].contains("none of its files were checked"),
        "{told}"
    );
    fs::remove_file(release.path("weights/manifest.yaml")).unwrap();
    let told = verify().code(1).out;
    assert!(told.lines().count() == 2 && told.contains("missing      weights/manifest.yaml"), "{told}");
    let json = release.run(&["verify", "manifest.yaml", "--json"]).code(1).json("verify/1");
    assert_eq!((&json["holds"], &json["counts"]["unverifiable"]), (&false.into(), &1.into()));
    let entry = json["entries"].as_array().unwrap().iter().find(|entry| entry["path"] == "weights").unwrap();
    assert!(entry["diagnosis"].as_str().unwrap().contains("cannot be read"), "{entry}");
    // With `--only` for other files it is not a finding; if the selected files might be in the part, it is.
    let only = |what: &str| release.run(&["verify", "manifest.yaml", "--only", what]);
    only("raw").code(0);
    only("kind=config").code(1);
    only("weights").code(1);
    release.run(&["export", "b3sums", "manifest.yaml"]).code(2).says(&["weights cannot be exported"]);
    release.run(&["diff", "manifest.yaml", "manifest.yaml"]).code(0).says(&["not compared weights"]);
}

/// If two releases of the same digest differ, this is reported for the parts too.
#[test]
fn what_parts_hold_is_exported_and_compared() {
    let release = Release::new();
    for whole in ["a", "b"] {
        release.write(&format!("{whole}/part/x"), whole);
        release.run(&["seal", &format!("{whole}/part")]).code(0);
        release.run(&["seal", whole, "--nest", "part"]).code(0);
    }
    let list = release.run(&["export", "b3sums", "a/manifest.yaml"]).code(0).out;
    assert!(list.contains("  part/x\n") && list.contains("  part/manifest.yaml\n"), "{list}");
    let told = release.run(&["diff", "a/manifest.yaml", "b/manifest.yaml"]).code(1).out;
    assert!(told.contains("changed  part/x"), "{told}");
}

/// Parts nested deeper than verify follows are not sealed, and are a finding if another program sealed them.
#[test]
fn parts_are_nested_as_deep_as_they_are_followed() {
    let release = Release::new();
    let directory = |depth: usize| format!("deep{}", "/p".repeat(depth));
    release.write(&format!("{}/x", directory(9)), "x");
    release.run(&["seal", &directory(9)]).code(0);
    for depth in (1..9).rev() {
        release.run(&["seal", &directory(depth), "--nest", "p"]).code(0);
    }
    let told = release.run(&["seal", "deep", "--nest", "p"]).code(2);
    told.says(&["p/p/p/p/p/p/p/p/p cannot be a part of the release", "more than 8 parts deep"]);
    release.run(&["verify", "deep/p/manifest.yaml"]).code(0);
    release.write(&format!("{}/x", directory(9)), "y");
    release.run(&["verify", "deep/p/manifest.yaml"]).code(1);
}

/// A pipeline that ends in `verify manifest.json` is informed if that is only a list of another tool.
#[test]
fn a_list_that_is_called_a_manifest_is_said_to_be_a_list() {
    let release = Release::new();
    release.write("copy/x", "abc");
    // FIPS 180: of "abc"; git's digest of it, from `git hash-object`.
    let sums = "SHA256 (x) = ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
    let tree = r#"[{"type":"file","oid":"f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f","size":3,"path":"x"}]"#;
    for text in [sums, tree] {
        release.write("copy/manifest.json", text);
        let verify = |more: &[&str]| release.run(&[&["verify", "copy/manifest.json"], more].concat());
        verify(&[])
            .code(0)
            .says(&["as listed", "list only manifest.json is an unsigned list of checksums, not a manifest"]);
        let told = verify(&["--json"]).code(0).json("verify/1");
        assert_eq!((&told["listing"], &told["root"]), (&"list".into(), &serde_json::Value::Null));
        let root = format!("b3:{}", "0".repeat(64));
        assert!(verify(&["--root", &root]).code(1).out.starts_with("root "));
        release.write("copy/manifest.yaml", text);
        release.run(&["verify", "copy/manifest.yaml"]).code(2).says(&["manifest.yaml"]);
        fs::remove_file(release.path("copy/manifest.yaml")).unwrap();
    }
    let (sealed, _) = sealed();
    let told = sealed.run(&["verify", "manifest.yaml", "--json"]).code(0).json("verify/1");
    assert_eq!(told["listing"], "manifest");
}

#[test]
fn what_a_killed_seal_left_is_swept_and_never_covered() {
    let release = Release::new();
    release.write("model/a", "a");
    let left = [
        "model/.manifest.yaml.partial",
        "model/.manifest.yaml.0123456789abcdef.retrace-partial",
        "model/sub/.b.fedcba9876543210.retrace-partial",
    ];
    for path in left {
        release.write(path, "half");
    }
    release.write("model/.manifest.yaml.retrace-lock", "process 1 on elsewhere");
    release.run(&["seal", "model"]).code(0).says(&["1 file"]);
    let verify = || release.run(&["verify", "model/manifest.yaml"]);
    verify().code(0).says(&["verified 1 file"]);
    assert!(left.iter().all(|path| !release.path(path).exists()));
    release.write(left[2], "half");
    let told = verify().code(1).out;
    assert!(told.starts_with(&format!("extra        {}", &left[2]["model/".len()..])), "{told}");
    assert!(told.contains("a partial file of retrace"), "{told}");
}

#[test]
fn of_two_seals_at_once_the_second_says_who_holds_it() {
    let (release, _) = sealed();
    let before = release.read("manifest.yaml");
    let held = Lock::file(Root::open(release.root()).unwrap(), "manifest.yaml".as_ref()).unwrap();
    let holder = format!("process {}", std::process::id());
    release.run(&["seal", "."]).code(2).says(&["manifest.yaml is being written by", &holder]);
    // A different manifest does not conflict, and the lock is not covered.
    release.run(&["seal", ".", "-o", "other.json", "--ignore", "manifest.yaml"]).code(0);
    assert!(!String::from_utf8(release.read("other.json")).unwrap().contains("retrace-lock"));
    assert_eq!(release.read("manifest.yaml"), before);
    drop(held);
    release.run(&["seal", "."]).code(0);
}

/// Many real concurrent seals: the resulting files are complete.
#[test]
fn seals_at_once_leave_a_whole_manifest() {
    let release = Release::new();
    for k in 0..200 {
        release.write(&format!("many/{k}"), k.to_string());
    }
    let seals: Vec<_> = (0..4)
        .map(|_| retrace().args(["-q", "seal", "many"]).current_dir(release.root()).output())
        .map(|ran| crate::support::Ran::from(ran.unwrap()))
        .collect();
    assert!(seals.iter().all(|ran| ran.code == 0), "one after the other");
    let children: Vec<_> = (0..4)
        .map(|_| {
            let mut seal = retrace();
            seal.args(["-q", "seal", "many"]).current_dir(release.root()).stderr(std::process::Stdio::piped());
            seal.stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let ended: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    assert!(ended.iter().any(|ran| ran.status.success()));
    for ran in ended.iter().filter(|ran| !ran.status.success()) {
        let told = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.code() == Some(2) && told.contains("is being written by"), "{told}");
    }
    release.run(&["verify", "many/manifest.yaml"]).code(0).says(&["verified 200 files"]);
}

/// Pipes, devices and directories in the place of files that verify reads: reported immediately.
#[cfg(target_os = "linux")]
#[test]
fn what_is_no_file_is_not_read() {
    let key = format!("{}/../sign/tests/data/ed25519.pub.pem", env!("CARGO_MANIFEST_DIR"));
    type Put<'a> = &'a dyn Fn(&std::path::Path);
    let strange: [(&str, Put<'_>); 3] = [
        ("a pipe", &|path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
        ("a device", &|path| std::os::unix::fs::symlink("/dev/zero", path).unwrap()),
        ("a directory", &|path| fs::create_dir(path).unwrap()),
    ];
    for (what, put) in strange {
        let (release, _) = sealed();
        let timed = |arguments: &[&str]| {
            let program = env!("CARGO_BIN_EXE_retrace");
            let mut command = Command::new("timeout");
            let ran = command.args(["60", program]).args(arguments).current_dir(release.root()).output().unwrap();
            crate::support::Ran::from(ran)
        };
        let public_key = ["verify", "manifest.yaml", "--public-key", &key];
        put(&release.path("manifest.yaml.sig"));
        let told = timed(&public_key).code(1).out;
        assert!(told.starts_with("signature ") && told.contains("not a regular file"), "{what}: {told}");
        put(&release.path("strange.yaml"));
        // A directory may be a clone with pointers in it.
        let refused: &[&str] = if what == "a directory" { &["strange.yaml"] } else { &["not a regular file"] };
        for verb in ["verify", "openness"] {
            timed(&[verb, "strange.yaml"]).code(2).says(refused);
        }
        timed(&["export", "b3sums", "strange.yaml"]).code(2).says(&["not a regular file"]);
        timed(&["sign", "strange.yaml", "--key", &key]).code(2);
        timed(&["verify", "manifest.yaml", "--also", "strange.yaml"]).code(2);
        if what != "a directory" {
            timed(&["diff", "manifest.yaml", "strange.yaml"]).code(2);
        }
        timed(&["verify", "manifest.yaml", "--resume", "strange.yaml"]).code(2);
        fs::rename(release.path("manifest.yaml"), release.path("good")).unwrap();
        put(&release.path("manifest.yaml"));
        timed(&["verify", "manifest.yaml"]).code(2);
    }
}

#[test]
fn what_rests_on_notes_is_counted() {
    let (release, _) = sealed();
    let place = tempfile::tempdir().unwrap();
    let notes = place.path().join("notes").display().to_string();
    let verify = |more: &[&str]| release.run(&[&["verify", "manifest.yaml", "--resume", &notes], more].concat());
    assert_eq!(verify(&["--json"]).code(0).json("verify/1")["verified_before"], 0);
    verify(&[]).code(0).says(&["all as sealed; 10 files of them verified before and skipped"]);
    assert_eq!(verify(&["--json"]).code(0).json("verify/1")["verified_before"], 10);
    release.write("extra", "");
    verify(&[]).code(1).says(&["skipped 10 files"]);
    let told = release.run(&["verify", "manifest.yaml", "--resume", "inside"]).code(2);
    told.says(&["inside", "files there are not trusted", "outside DIR"]);
}

/// A clone without its large files states what those should be.
#[test]
fn pointers_in_a_clone_are_verified_against_the_files() {
    let (release, _) = sealed();
    let list = release.run(&["seal", ".", "--sha256", "-o", "with.json"]).code(0);
    assert!(list.out.starts_with("b3:"));
    let sums = release.run(&["export", "sha256sums", "with.json"]).code(0).out;
    let (hex, _) =
        sums.lines().find(|line| line.ends_with("model/model.safetensors")).unwrap().split_once(' ').unwrap();
    let size = release.read("model/model.safetensors").len();
    let clone = tempfile::tempdir().unwrap();
    fs::create_dir(clone.path().join("model")).unwrap();
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{hex}\nsize {size}\n");
    fs::write(clone.path().join("model/model.safetensors"), pointer).unwrap();
    let verify = |copy: &str| release.run(&["verify", clone.path().to_str().unwrap(), copy]);
    verify(".").code(0).says(&["1 file", "as listed"]);
    // The clone itself has no weights, and the output says so.
    assert!(verify(clone.path().to_str().unwrap()).code(1).out.contains("pointer"));
    release.run(&["verify", "raw", "."]).code(2).says(&["a directory without Git LFS pointers"]);
}

#[test]
fn weights_of_one_step_under_two_are_found_in_the_manifest_itself() {
    let release = Release::new();
    for step in ["step1000", "step2000"] {
        release.write(&format!("{step}/model.safetensors"), tensors());
    }
    release.run(&["seal", "."]).code(0);
    let ran = release.run(&["verify", "manifest.yaml"]).code(1);
    assert!(
        ran.out.starts_with("graph") && ran.out.contains("step1000") && ran.out.contains("step 2000"),
        "{}",
        ran.out
    );
}

#[test]
fn diff_tells_what_changed_down_to_the_tensor() {
    let (release, _) = sealed();
    let mut bytes = tensors();
    *bytes.last_mut().unwrap() ^= 1;
    release.write("copy/model.safetensors", &bytes);
    release.write("copy/config.json", "{}");
    let ran = release.run(&["diff", "model", "copy"]).code(1);
    for part in ["added    config.json", "changed  model.safetensors", "1 of 2 tensors differ", "  b  1 of 2 numbers"] {
        assert!(ran.out.contains(part), "{part:?} is not in\n{}", ran.out);
    }
    let document = release.run(&["diff", "model", "copy", "--json"]).code(1).json("diff/1");
    assert_eq!(document["checkpoints"][0]["tensors"][0]["name"], "b");
    assert_eq!(document["checkpoints"][0]["equal"], 1);
    release.run(&["diff", "model", "model"]).code(0).says(&["the same"]);
    // A false statement about the files: the roots cover it, and it is not ignored silently.
    release.run(&["seal", "model", "-o", "plain.yaml"]).code(0);
    release.run(&["seal", "model", "-o", "with.yaml", "--sha256"]).code(0);
    let ran = release.run(&["diff", "plain.yaml", "with.yaml"]).code(0);
    assert!(ran.err.contains("the same") && ran.err.contains("roots differ"), "{}", ran.err);
    assert!(!release.run(&["diff", "plain.yaml", "plain.yaml"]).code(0).err.contains("roots differ"));
    release.run(&["diff", "manifest.yaml", "manifest.yaml"]).code(0);
    release.run(&["diff", "model/model.safetensors", "copy/model.safetensors"]).code(1);
    release.run(&["diff", "model", "nowhere"]).code(2).says(&["nowhere"]);
    // An edited manifest is not a valid manifest, and it is not read as another kind of file either.
    let edited = String::from_utf8(release.read("manifest.yaml")).unwrap().replacen("size: ", "size: 1", 1);
    release.write("edited.yaml", edited);
    release.run(&["diff", "manifest.yaml", "edited.yaml"]).code(2).says(&["edited after sealing"]);
    // A file with a false header: reported as such, and nothing is compared.
    release.write("copy/model.safetensors", u64::MAX.to_le_bytes());
    release.run(&["diff", "model", "copy"]).code(2).says(&["copy/model.safetensors", "byte 0"]);
}

/// The lists are made by the tools themselves, if they are installed.
#[test]
fn lists_of_other_tools_are_verified() {
    let (release, _) = sealed();
    let mut tools = 0;
    for (tool, list) in [("sha256sum", "SHA256SUMS"), ("b3sum", "B3SUMS"), ("md5sum", "checklist.chk")] {
        let listed = ["clean.yaml", "raw/en-00.jsonl", "model/model.safetensors"];
        let Ok(output) = Command::new(tool).args(listed).current_dir(release.root()).output() else { continue };
        tools += 1;
        release.write(list, &output.stdout);
        let ran = release.run(&["verify", list]).code(0).says(&["verified 3 files", "as listed", "not listed"]);
        assert_eq!(ran.err.contains("can be forged"), tool == "md5sum", "{}", ran.err);
    }
    if tools < 2 {
        println!("skipped: no tool that writes lists is here");
        return;
    }
    let lists = ["--also", "SHA256SUMS", "--also", "checklist.chk"];
    let others: Vec<&str> = ["B3SUMS"].into_iter().filter(|list| release.path(list).exists()).collect();
    let also = || [&["verify", "manifest.yaml"], &lists[..]].concat();
    // The lists were added to the release after sealing: they themselves are not findings, other files would be.
    for list in others {
        fs::remove_file(release.path(list)).unwrap();
    }
    release.run(&also()).code(0);
    let list = String::from_utf8(release.read("SHA256SUMS")).unwrap();
    let flipped = list.replacen(&list[..1], if &list[..1] == "0" { "1" } else { "0" }, 1);
    release.write("SHA256SUMS", &flipped);
    let ran = release.run(&also()).code(1);
    assert!(ran.out.contains("clean.yaml") && ran.out.contains("contradicts itself"), "{}", ran.out);
    release.run(&["verify", "SHA256SUMS"]).code(1);
    release.write("SHA256SUMS", format!("{}  ../x\n", "0".repeat(64)));
    release.run(&["verify", "SHA256SUMS"]).code(2).says(&["SHA256SUMS:1", "`..`"]);
}

/// The manifest of a seal, and the statement of a replay, are written over nothing that is part of the release.
#[test]
fn no_output_is_written_over_a_file_of_the_release() {
    let release = Release::new();
    let before = release.read("raw/en-00.jsonl");
    release.run(&["seal", ".", "-o", "raw/en-00.jsonl"]).code(2).says(&["exists and is not a manifest"]);
    release.write("README.md", "The manifest is written as\n\n    retrace: manifest/1\n");
    release.run(&["seal", ".", "-o", "README.md"]).code(2).says(&["exists and is not a manifest"]);
    release.run(&["clean", "clean.yaml"]).code(0);
    release.run(&["seal", "."]).code(0);
    release.run(&["seal", ".", "-o", "manifest.yaml"]).code(0);
    let manifest = release.read("manifest.yaml");
    for output in ["raw/en-00.jsonl", "manifest.yaml"] {
        let ran = release.run(&["replay", "manifest.yaml", "--all", "-o", output]).code(2);
        ran.says(&["would be written over"]);
    }
    for output in ["manifest.yaml", "./manifest.yaml"] {
        release.run(&["export", "b3sums", "manifest.yaml", "-o", output]).code(2).says(&["would be written over"]);
    }
    assert_eq!((release.read("raw/en-00.jsonl"), release.read("manifest.yaml")), (before, manifest));
}

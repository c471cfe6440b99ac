//! Every kind of tampering, and what is reported.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use retrace_files::Silent;
use retrace_files::safetensors::{self, Dtype};
use retrace_manifest::{SealOptions, Verdict, compare, seal, verify};
use retrace_spec::manifest::ArtifactKind;
use retrace_spec::{Document, Manifest};

mod support;

use support::{MODEL, findings, path, release, seal_again};

#[test]
fn a_release_is_sealed_the_same_twice_and_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = release(directory.path());
    assert_eq!(seal_again(directory.path()).unwrap(), manifest);
    fs::write(directory.path().join("manifest.yaml"), manifest.to_yaml().unwrap()).unwrap();
    assert_eq!(Manifest::parse(&manifest.to_yaml().unwrap(), "m").unwrap(), manifest);
    assert_eq!(findings(&manifest, directory.path()), []);
    let kinds: Vec<ArtifactKind> = manifest.artifacts.iter().map(|artifact| artifact.kind).collect();
    use ArtifactKind::{Checkpoint, Config, Other, Shard};
    assert_eq!(kinds, [Other, Config, Other, Shard, Shard, Checkpoint, Checkpoint, Other, Other]);
    assert!(compare(&manifest, &manifest).holds());
}

#[test]
fn every_tampering_is_named() {
    type Tamper = fn(&Path);
    let cases: Vec<(Tamper, &str, Verdict, &str)> = vec![
        (
            |r| fs::write(r.join("raw/a.jsonl"), "{\"a\":3}\n").unwrap(),
            "raw/a.jsonl",
            Verdict::Changed,
            "its digest is b3:",
        ),
        (|r| fs::write(r.join("raw/a.jsonl"), "{\"a\"").unwrap(), "raw/a.jsonl", Verdict::Changed, "may be truncated"),
        (
            |r| fs::write(r.join("raw/a.jsonl"), "{\"a\":1}\n\n").unwrap(),
            "raw/a.jsonl",
            Verdict::Changed,
            "9 bytes and should have 8",
        ),
        (|r| fs::write(r.join("raw/a.jsonl"), "").unwrap(), "raw/a.jsonl", Verdict::Changed, "may be truncated"),
        (|r| fs::remove_file(r.join("raw/a.jsonl")).unwrap(), "raw/a.jsonl", Verdict::Missing, "no such file"),
        (|r| fs::write(r.join("raw/c.jsonl"), "new").unwrap(), "raw/c.jsonl", Verdict::Extra, "does not list it"),
        (|r| fs::write(r.join("raw/.hidden"), "").unwrap(), "raw/.hidden", Verdict::Extra, "does not list it"),
        (
            |r| assert!(fs::copy(r.join("raw/a.jsonl"), r.join("copy")).is_ok()),
            "copy",
            Verdict::Extra,
            "copy of raw/a.jsonl",
        ),
        (
            |r| fs::rename(r.join("raw/a.jsonl"), r.join("raw/z.jsonl")).unwrap(),
            "raw/z.jsonl",
            Verdict::Renamed,
            "it was raw/a.jsonl",
        ),
        (
            |r| assert!(fs::copy(r.join("raw/b.jsonl"), r.join("raw/a.jsonl")).is_ok()),
            "raw/a.jsonl",
            Verdict::Changed,
            "the content of raw/b.jsonl",
        ),
        #[cfg(unix)]
        (
            |r| {
                fs::rename(r.join("raw/a.jsonl"), r.join(".retrace/a")).unwrap();
                std::os::unix::fs::symlink("../.retrace/a", r.join("raw/a.jsonl")).unwrap();
            },
            "raw/a.jsonl",
            Verdict::Unverifiable,
            "symbolic link",
        ),
        (
            |r| {
                fs::remove_file(r.join("raw/a.jsonl")).unwrap();
                fs::create_dir(r.join("raw/a.jsonl")).unwrap();
            },
            "raw/a.jsonl",
            Verdict::Missing,
            "no such file",
        ),
        (
            |r| {
                let bytes = fs::read(r.join(MODEL)).unwrap();
                fs::write(r.join(MODEL), &bytes[..bytes.len() - 1]).unwrap();
            },
            MODEL,
            Verdict::Changed,
            "it cannot be read as safetensors",
        ),
        (
            // Other metadata, the same tensors.
            |r| {
                let text = fs::read(r.join(MODEL)).unwrap();
                let at = text.windows(4).position(|w| w == b"\"pt\"").unwrap();
                let mut text = text;
                text[at + 1] = b'q';
                fs::write(r.join(MODEL), text).unwrap();
            },
            MODEL,
            Verdict::Changed,
            "only the header differs",
        ),
        (
            |r| {
                let mut tensors = safetensors::read(&r.join(MODEL)).unwrap();
                tensors.remove("first.weight");
                safetensors::write(&r.join(MODEL), &tensors).unwrap();
            },
            MODEL,
            Verdict::Changed,
            "tensor first.weight is missing",
        ),
        (
            |r| fs::write(r.join("raw/a.jsonl"), "{\"a\":1}\r\n").unwrap(),
            "raw/a.jsonl",
            Verdict::Changed,
            "line ends are CRLF and should be LF",
        ),
        (
            |r| fs::write(r.join("notes.txt"), "one\ntwo\n").unwrap(),
            "notes.txt",
            Verdict::Changed,
            "line ends are LF and should be CRLF",
        ),
        (
            |r| fs::write(r.join("raw/a.jsonl"), "{\"a\":1}").unwrap(),
            "raw/a.jsonl",
            Verdict::Changed,
            "the line end after its last line is missing",
        ),
        (
            |r| fs::write(r.join("raw/a.jsonl"), "\u{feff}{\"a\":1}\n").unwrap(),
            "raw/a.jsonl",
            Verdict::Changed,
            "after 3 others: a byte order mark",
        ),
        (
            |r| fs::write(r.join("raw/a.jsonl"), "{\"a\":1}\n{\"a\":2}\n").unwrap(),
            "raw/a.jsonl",
            Verdict::Changed,
            "it has all expected bytes, and 8 more at the end",
        ),
        (
            |r| fs::write(r.join("raw/a.jsonl"), "{}\n{\"a\":1}\n").unwrap(),
            "raw/a.jsonl",
            Verdict::Changed,
            "it has all expected bytes, after 3 others",
        ),
        (
            |r| {
                let text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 8\n";
                fs::write(r.join(MODEL), text).unwrap();
            },
            MODEL,
            Verdict::Changed,
            "Git LFS pointer instead of the file",
        ),
        (
            |r| fs::write(r.join(MODEL), "\n<!DOCTYPE HTML>\n<html><body>404</body></html>").unwrap(),
            MODEL,
            Verdict::Changed,
            "a web page",
        ),
        (|r| fs::write(r.join(MODEL), b"\x1f\x8b\x08\0\0\0").unwrap(), MODEL, Verdict::Changed, "compressed with gzip"),
        (
            |r| fs::write(r.join(MODEL), b"\x28\xb5\x2f\xfd\0").unwrap(),
            MODEL,
            Verdict::Changed,
            "compressed with Zstandard",
        ),
        (
            |r| {
                let length = fs::read(r.join("zeros.bin")).unwrap().len();
                let mut bytes = fs::read(r.join("zeros.bin")).unwrap();
                bytes[length / 2..].fill(0);
                fs::write(r.join("zeros.bin"), bytes).unwrap();
            },
            "zeros.bin",
            Verdict::Changed,
            "its last 1000 bytes are zero",
        ),
        (
            |r| fs::rename(r.join("caf\u{e9}.txt"), r.join("cafe\u{301}.txt")).unwrap(),
            "cafe\u{301}.txt",
            Verdict::Renamed,
            "only the Unicode form of its name differs",
        ),
        (
            |r| fs::rename(r.join("raw/a.jsonl"), r.join("raw/A.jsonl")).unwrap(),
            "raw/A.jsonl",
            Verdict::Renamed,
            "only the case of its name differs",
        ),
        (
            |r| fs::write(r.join("raw/a.jsonl.incomplete"), "{").unwrap(),
            "raw/a.jsonl.incomplete",
            Verdict::Extra,
            "unfinished downloads",
        ),
        (
            |r| {
                let length = 20 << 20;
                let file = fs::OpenOptions::new().write(true).open(r.join("big.bin")).unwrap();
                file.set_len(length).unwrap();
            },
            "big.bin",
            Verdict::Changed,
            "its first 16777216 bytes are the expected ones",
        ),
        (
            |r| {
                let mut bytes = fs::read(r.join("big.bin")).unwrap();
                bytes[17 << 20] ^= 1;
                fs::write(r.join("big.bin"), bytes).unwrap();
            },
            "big.bin",
            Verdict::Changed,
            "it differs in bytes 16777216 to 33554432",
        ),
        (
            |r| {
                let mut bytes = fs::read(r.join("big.bin")).unwrap();
                bytes[0] ^= 1;
                bytes[(33 << 20) - 1] ^= 1;
                fs::write(r.join("big.bin"), bytes).unwrap();
            },
            "big.bin",
            Verdict::Changed,
            "it differs in bytes 0 to 16777216, 33554432 to 34603008",
        ),
        (
            // The tensors exchange their names.
            |r| {
                let mut tensors = safetensors::read(&r.join(MODEL)).unwrap();
                let (a, b) = (tensors["first.weight"].clone(), tensors["second.weight"].clone());
                tensors.insert("first.weight".to_owned(), b);
                tensors.insert("second.weight".to_owned(), a);
                safetensors::write(&r.join(MODEL), &tensors).unwrap();
            },
            MODEL,
            Verdict::Changed,
            "tensor first.weight differs, tensor second.weight differs",
        ),
        (
            |r| {
                let mut tensors = safetensors::read(&r.join(MODEL)).unwrap();
                let tensor = tensors.remove("first.weight").unwrap();
                tensors.insert("first.bias".to_owned(), tensor);
                safetensors::write(&r.join(MODEL), &tensors).unwrap();
            },
            MODEL,
            Verdict::Changed,
            "first.weight is missing, but first.bias has the same bytes",
        ),
        (
            // The same number of bytes, another shape.
            |r| {
                let mut tensors = safetensors::read(&r.join(MODEL)).unwrap();
                tensors.get_mut("first.weight").unwrap().shape = vec![4, 1];
                safetensors::write(&r.join(MODEL), &tensors).unwrap();
            },
            MODEL,
            Verdict::Changed,
            "tensor first.weight differs",
        ),
        (
            |r| {
                let mut tensors = safetensors::read(&r.join(MODEL)).unwrap();
                tensors.get_mut("first.weight").unwrap().dtype = Dtype::I32;
                safetensors::write(&r.join(MODEL), &tensors).unwrap();
            },
            MODEL,
            Verdict::Changed,
            "tensor first.weight differs",
        ),
        (
            |r| fs::write(r.join(MODEL), 99_999_999u64.to_le_bytes()).unwrap(),
            MODEL,
            Verdict::Changed,
            "the stated length of the header is",
        ),
        (
            // The header names a tensor twice, and the reference reader uses the last.
            |r| {
                let bytes = fs::read(r.join(MODEL)).unwrap();
                let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
                let header = String::from_utf8(bytes[8..8 + length].to_vec()).unwrap();
                let twice = header.replace("second.weight", "first.weight");
                let forged = [&(twice.len() as u64).to_le_bytes()[..], twice.as_bytes(), &bytes[8 + length..]].concat();
                fs::write(r.join(MODEL), forged).unwrap();
            },
            MODEL,
            Verdict::Changed,
            "occurs twice",
        ),
        (
            |r| {
                let mut bytes = fs::read(r.join(MODEL)).unwrap();
                bytes.extend(b"hidden");
                fs::write(r.join(MODEL), bytes).unwrap();
            },
            MODEL,
            Verdict::Changed,
            "it has all expected bytes, and 6 more at the end",
        ),
        (
            // A step's weights under another step's name: how a mislabelled checkpoint is detected.
            |r| assert!(fs::copy(r.join("run/step-2/model.safetensors"), r.join(MODEL)).is_ok()),
            MODEL,
            Verdict::Changed,
            "the content of run/step-2/model.safetensors",
        ),
        #[cfg(unix)]
        (
            |r| std::os::unix::fs::symlink("/etc/passwd", r.join("raw/link.jsonl")).unwrap(),
            "raw/link.jsonl",
            Verdict::Unverifiable,
            "symbolic link",
        ),
        (
            |r| fs::create_dir_all(r.join("raw/more")).and_then(|()| fs::write(r.join("raw/more/x"), "1")).unwrap(),
            "raw/more/x",
            Verdict::Extra,
            "does not list it",
        ),
        (
            |r| fs::write(r.join("raw/a.jsonl"), "{\"a\":2}\n{}\n").unwrap(),
            "raw/a.jsonl",
            Verdict::Changed,
            "11 bytes and should have 8",
        ),
    ];
    for (tamper, expected_path, expected_verdict, expected_words) in cases {
        let directory = tempfile::tempdir().unwrap();
        let mut manifest = release(directory.path());
        if expected_path == "big.bin" {
            // Longer than two slices of 16 MiB.
            let bytes: Vec<u8> = (0u32..33 << 20).map(|at| (at % 255) as u8 + 1).collect();
            fs::write(directory.path().join("big.bin"), bytes).unwrap();
            manifest = seal_again(directory.path()).unwrap();
        }
        tamper(directory.path());
        let found = findings(&manifest, directory.path());
        assert_eq!(found.len(), 1, "{found:?}");
        let (path, verdict, words) = &found[0];
        assert_eq!((path.as_str(), *verdict), (expected_path, expected_verdict), "{words}");
        assert!(words.contains(expected_words), "{words:?} lacks {expected_words:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_directory_that_became_a_link_is_told_with_what_it_held() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let manifest = release(root);
    fs::rename(root.join("sub"), root.join(".retrace/sub")).unwrap();
    std::os::unix::fs::symlink(".retrace/sub", root.join("sub")).unwrap();
    let found: Vec<_> = findings(&manifest, root).into_iter().map(|(path, verdict, _)| (path, verdict)).collect();
    // It is unknown whether the file is missing: it cannot be searched for.
    assert_eq!(found, ["sub", "sub/deep.txt"].map(|path| (path.to_owned(), Verdict::Unverifiable)));
}

#[test]
fn a_checkpoint_sharded_anew_is_told_as_that() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let manifest = release(root);
    let tensors = safetensors::read(&root.join(MODEL)).unwrap();
    let part = |name: &str| BTreeMap::from([(name.to_owned(), tensors[name].clone())]);
    fs::remove_file(root.join(MODEL)).unwrap();
    safetensors::write(&root.join("run/step-1/model-1.safetensors"), &part("first.weight")).unwrap();
    safetensors::write(&root.join("run/step-1/model-2.safetensors"), &part("second.weight")).unwrap();
    let found = findings(&manifest, root);
    let verdicts: Vec<_> = found.iter().map(|(_, verdict, _)| *verdict).collect();
    assert_eq!(verdicts, [Verdict::Extra, Verdict::Extra, Verdict::Missing]);
    assert!(
        found.iter().all(|(.., words)| words.contains("all tensors in run/step-1 are equal to the sealed ones")),
        "{found:?}"
    );
    // With one bit changed, it is not.
    let mut other = part("second.weight");
    other.get_mut("second.weight").unwrap().bytes[3] ^= 1;
    safetensors::write(&root.join("run/step-1/model-2.safetensors"), &other).unwrap();
    assert!(findings(&manifest, root).iter().all(|(.., words)| !words.contains("every tensor")));
}

/// Longer than what is read into memory, with additional bytes after it: no range is reported that does not differ.
#[test]
fn what_follows_a_large_file_is_not_a_range_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut bytes: Vec<u8> = (0u32..70 << 20).map(|at| (at % 253) as u8 + 1).collect();
    fs::write(root.join("big.bin"), &bytes).unwrap();
    let manifest = seal_again(root).unwrap();
    bytes.extend(b"more");
    fs::write(root.join("big.bin"), &bytes).unwrap();
    let words = findings(&manifest, root).remove(0).2;
    assert!(words.contains("its first 67108864 bytes are the expected ones") && !words.contains("differs"), "{words}");
    // If a manifest's subtree values do not match the file's digest, they say nothing about ranges.
    let mut artifacts = manifest.artifacts;
    artifacts[0].slices[1] = artifacts[0].slices[0];
    let lying = Manifest::new("m", "t", vec![], artifacts, vec![]).unwrap();
    let words = findings(&lying, root).remove(0).2;
    assert!(!words.contains("expected ones") && !words.contains("differs"), "{words}");
}

#[test]
fn two_files_swapped_are_two_findings_that_name_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let manifest = release(root);
    fs::rename(root.join("raw/a.jsonl"), root.join("x")).unwrap();
    fs::rename(root.join("raw/b.jsonl"), root.join("raw/a.jsonl")).unwrap();
    fs::rename(root.join("x"), root.join("raw/b.jsonl")).unwrap();
    let words: Vec<String> = findings(&manifest, root).into_iter().map(|(.., words)| words).collect();
    assert_eq!(words, ["it has the content of raw/b.jsonl", "it has the content of raw/a.jsonl"]);
    let found = verify(&manifest, root, None, &Silent).unwrap();
    let whose: Vec<_> = found.findings().map(|e| (e.was.clone(), e.size)).collect();
    assert_eq!(whose, [(Some(path("raw/b.jsonl")), Some(8)), (Some(path("raw/a.jsonl")), Some(8))]);
    let made = seal(root, &SealOptions { name: "t".into(), tool: "r".into(), ..SealOptions::default() }, &Silent);
    assert!(made.is_err(), "the step read other bytes");
}

#[cfg(unix)]
#[test]
fn a_name_that_no_release_can_have_hides_no_other_finding() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let manifest = release(root);
    fs::write(root.join("raw/a.jsonl"), "{}").unwrap();
    fs::write(root.join("raw/evil:\u{1b}[2J"), "").unwrap();
    let found = findings(&manifest, root);
    let verdicts: Vec<_> = found.iter().map(|(_, verdict, _)| *verdict).collect();
    assert_eq!(verdicts, [Verdict::Changed, Verdict::Unverifiable], "{found:?}");
    assert!(!format!("{}{}", found[1].0, found[1].2).contains('\u{1b}'), "a terminal would obey it");
    assert!(seal_again(root).is_err());
}

#[test]
fn a_tensor_name_cannot_speak_to_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let manifest = release(root);
    let mut tensors = safetensors::read(&root.join(MODEL)).unwrap();
    let tensor = tensors.remove("first.weight").unwrap();
    tensors.insert("\u{1b}[2Jfirst".to_owned(), tensor);
    safetensors::write(&root.join(MODEL), &tensors).unwrap();
    let found = findings(&manifest, root);
    assert!(found[0].2.contains("first is extra") && !found[0].2.contains('\u{1b}'), "{found:?}");
}

#[test]
fn a_diagnosis_does_not_tell_where_the_release_lies() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = release(directory.path());
    fs::write(directory.path().join(MODEL), u64::MAX.to_le_bytes()).unwrap();
    let found = findings(&manifest, directory.path());
    assert!(found[0].2.contains("byte 0") && !found[0].2.contains(directory.path().to_str().unwrap()), "{found:?}");
}

#[test]
fn many_files_renamed_are_each_told_once_and_copies_are_extra() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir(root.join("old")).unwrap();
    for i in 0..30 {
        // Two files of each content, so that a rename has more than one possible origin.
        fs::write(root.join(format!("old/{i:02}")), format!("{}", i / 2)).unwrap();
    }
    let manifest = seal_again(root).unwrap();
    fs::rename(root.join("old"), root.join("new")).unwrap();
    fs::write(root.join("new/x"), "0").unwrap();
    let found = verify(&manifest, root, None, &Silent).unwrap();
    let renamed: Vec<_> =
        found.entries.iter().filter(|e| e.verdict == Verdict::Renamed).map(|e| e.was.clone().unwrap()).collect();
    let sealed: Vec<_> = manifest.artifacts.iter().map(|artifact| artifact.path.clone()).collect();
    assert_eq!(renamed, sealed, "each sealed path once, in order");
    let rest: Vec<_> = found.findings().filter(|e| e.verdict != Verdict::Renamed).map(|e| e.path.as_str()).collect();
    assert_eq!(rest, ["new/x"]);
    let counts = found.counts();
    assert_eq!((counts.get(&Verdict::Missing), counts.get(&Verdict::Extra)), (None, Some(&1)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Any single bit of any file: the file is reported and, if the bit is in a tensor's data, the tensor.
    #[test]
    fn any_flipped_bit_is_found(file in 0usize..9, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let directory = tempfile::tempdir().unwrap();
        let manifest = release(directory.path());
        let artifact = &manifest.artifacts[file];
        let on_disk = artifact.path.under(directory.path());
        let mut bytes = fs::read(&on_disk).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        fs::write(&on_disk, &bytes).unwrap();
        let found = verify(&manifest, directory.path(), None, &Silent).unwrap();
        let findings: Vec<_> = found.findings().collect();
        prop_assert_eq!(findings.len(), 1);
        prop_assert_eq!((&findings[0].path, findings[0].verdict), (&artifact.path, Verdict::Changed));
        if artifact.path.as_str() == MODEL && at >= bytes.len() - 32 {
            let tensor = if at < bytes.len() - 16 { "first.weight" } else { "second.weight" };
            prop_assert_eq!(&findings[0].tensors, &vec![tensor.to_owned()]);
        }
    }
}

//! Every kind of tampering, and what is said of it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use retrace_files::Silent;
use retrace_files::safetensors::{self, Dtype, Tensor};
use retrace_manifest::record::{self, Done};
use retrace_manifest::{SealError, SealOptions, Verdict, compare, seal, verify};
use retrace_spec::manifest::{Kind, StepKind};
use retrace_spec::{Document, Manifest, RelPath};

const MODEL: &str = "run/step-1/model.safetensors";

fn path(text: &str) -> RelPath {
    text.parse().unwrap()
}

fn release(root: &Path) -> Manifest {
    fs::create_dir_all(root.join("raw")).unwrap();
    fs::write(root.join("raw/a.jsonl"), "{\"a\":1}\n").unwrap();
    fs::write(root.join("raw/b.jsonl"), "{\"b\":2}\n").unwrap();
    fs::write(root.join("clean.yaml"), "x: 1\n").unwrap();
    fs::write(root.join("report.html"), "<p>").unwrap();
    let tensor = |seed: u8| Tensor { dtype: Dtype::F32, shape: vec![2, 2], bytes: vec![seed; 16] };
    let tensors = BTreeMap::from([("first.weight".to_owned(), tensor(1)), ("second.weight".to_owned(), tensor(2))]);
    safetensors::write(&root.join(MODEL), &tensors).unwrap();
    let done = Done {
        id: "train".to_owned(),
        kind: StepKind::Train,
        numerics: Some(1),
        config: Some(path("clean.yaml")),
        inputs: vec![path("raw/b.jsonl"), path("raw/a.jsonl")],
        outputs: vec![(path(MODEL), Kind::Checkpoint)],
    };
    record::save(root, done).unwrap();
    seal_again(root).unwrap()
}

fn seal_again(root: &Path) -> Result<Manifest, SealError> {
    let options = SealOptions {
        name: "test".to_owned(),
        tool: "retrace".to_owned(),
        manifest: Some(path("manifest.yaml")),
        ignore: vec![path("report.html")],
    };
    seal(root, &options, &Silent)
}

/// The verdicts that are findings, with what is said.
fn findings(manifest: &Manifest, root: &Path) -> Vec<(String, Verdict, String)> {
    let found = verify(manifest, root, Some(&path("manifest.yaml")), &Silent).unwrap();
    found.findings().map(|e| (e.path.to_string(), e.verdict, e.diagnosis.clone())).collect()
}

#[test]
fn a_release_is_sealed_the_same_twice_and_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = release(directory.path());
    assert_eq!(seal_again(directory.path()).unwrap(), manifest);
    fs::write(directory.path().join("manifest.yaml"), manifest.to_yaml().unwrap()).unwrap();
    assert_eq!(Manifest::parse(&manifest.to_yaml().unwrap(), "m").unwrap(), manifest);
    assert_eq!(findings(&manifest, directory.path()), []);
    let kinds: Vec<Kind> = manifest.artifacts.iter().map(|artifact| artifact.kind).collect();
    assert_eq!(kinds, [Kind::Config, Kind::Shard, Kind::Shard, Kind::Checkpoint]);
    assert!(compare(&manifest, &manifest).holds());
}

#[test]
fn every_tampering_is_named() {
    type Tamper = fn(&Path);
    let cases: Vec<(Tamper, &str, Verdict, &str)> = vec![
        (|r| fs::write(r.join("raw/a.jsonl"), "{\"a\":3}\n").unwrap(), "raw/a.jsonl", Verdict::Changed, "hash to b3:"),
        (|r| fs::write(r.join("raw/a.jsonl"), "{\"a\"").unwrap(), "raw/a.jsonl", Verdict::Changed, "may be truncated"),
        (
            |r| fs::write(r.join("raw/a.jsonl"), "{\"a\":1}\n\n").unwrap(),
            "raw/a.jsonl",
            Verdict::Changed,
            "9 bytes and should have 8",
        ),
        (|r| fs::write(r.join("raw/a.jsonl"), "").unwrap(), "raw/a.jsonl", Verdict::Changed, "may be truncated"),
        (|r| fs::remove_file(r.join("raw/a.jsonl")).unwrap(), "raw/a.jsonl", Verdict::Missing, "not there"),
        (|r| fs::write(r.join("raw/c.jsonl"), "new").unwrap(), "raw/c.jsonl", Verdict::Extra, "does not have it"),
        (|r| fs::write(r.join("raw/.hidden"), "").unwrap(), "raw/.hidden", Verdict::Extra, "does not have it"),
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
            "not there",
        ),
        (
            |r| {
                let bytes = fs::read(r.join(MODEL)).unwrap();
                fs::write(r.join(MODEL), &bytes[..bytes.len() - 1]).unwrap();
            },
            MODEL,
            Verdict::Changed,
            "as safetensors it cannot be read",
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
    ];
    for (tamper, expected_path, expected_verdict, expected_words) in cases {
        let directory = tempfile::tempdir().unwrap();
        let manifest = release(directory.path());
        tamper(directory.path());
        let found = findings(&manifest, directory.path());
        assert_eq!(found.len(), 1, "{found:?}");
        let (path, verdict, words) = &found[0];
        assert_eq!((path.as_str(), *verdict), (expected_path, expected_verdict), "{words}");
        assert!(words.contains(expected_words), "{words:?} lacks {expected_words:?}");
    }
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
    assert_eq!(words, ["it holds the content of raw/b.jsonl", "it holds the content of raw/a.jsonl"]);
    let found = verify(&manifest, root, None, &Silent).unwrap();
    let whose: Vec<_> = found.findings().map(|e| (e.was.clone(), e.size)).collect();
    assert_eq!(whose, [(Some(path("raw/b.jsonl")), Some(8)), (Some(path("raw/a.jsonl")), Some(8))]);
    let made = seal(root, &SealOptions { name: "t".into(), tool: "r".into(), manifest: None, ignore: vec![] }, &Silent);
    assert!(made.is_err(), "the step read other bytes");
}

#[test]
fn what_a_step_made_cannot_be_changed_before_sealing() {
    for (changed, did) in [("raw/a.jsonl", "read"), (MODEL, "made")] {
        let directory = tempfile::tempdir().unwrap();
        release(directory.path());
        fs::remove_file(directory.path().join(changed)).unwrap();
        let error = seal_again(directory.path()).unwrap_err().to_string();
        assert!(
            error.contains(changed) && error.contains(did) && error.contains("train") && error.contains("gone"),
            "{error}"
        );
    }
}

#[test]
fn what_is_ignored_is_listed_once_whether_or_not_it_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let manifest = release(root);
    assert_eq!(manifest.ignored, [path("report.html")]);
    let skipped: Vec<_> = verify(&manifest, root, None, &Silent).unwrap().entries;
    let skipped: Vec<_> = skipped.iter().filter(|e| e.verdict == Verdict::Skipped).map(|e| e.path.as_str()).collect();
    assert_eq!(skipped, [".retrace", "report.html"]);
    let sealed = |ignore: &[&str]| {
        let ignore = ignore.iter().map(|text| path(text)).collect();
        seal(root, &SealOptions { name: "t".to_owned(), tool: "r".to_owned(), manifest: None, ignore }, &Silent)
    };
    let before = sealed(&["report.html", "later", "report.html"]).unwrap();
    assert_eq!(before.ignored, [path("later"), path("report.html")]);
    fs::write(root.join("later"), "made after the seal").unwrap();
    assert_eq!(sealed(&["later", "report.html"]).unwrap(), before);
    assert!(verify(&before, root, None, &Silent).unwrap().holds());
    // What a step made cannot be left out behind its back.
    let error = sealed(&["run"]).unwrap_err().to_string();
    assert!(error.contains(MODEL) && error.contains("not covered"), "{error}");
}

/// A manifest can be made by anyone: what it promises is checked, also where it says to skip it.
#[test]
fn nothing_sealed_is_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let sealed = release(root);
    for (ignored, promised) in [(MODEL, MODEL), ("run", MODEL), ("raw/a.jsonl", "raw/a.jsonl")] {
        let ignored = vec![path("report.html"), path(ignored)];
        let both = Manifest::new("m", "t", ignored, sealed.artifacts.clone(), vec![]).unwrap();
        let found = findings(&both, root);
        assert_eq!(found.iter().map(|(path, ..)| path.as_str()).collect::<Vec<_>>(), [promised]);
    }
}

#[cfg(unix)]
#[test]
fn a_link_is_not_sealed() {
    let directory = tempfile::tempdir().unwrap();
    release(directory.path());
    std::os::unix::fs::symlink("/etc/passwd", directory.path().join("link")).unwrap();
    assert!(matches!(seal_again(directory.path()), Err(SealError::Special { .. })));
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
fn a_step_cannot_be_recorded_outside_the_scratch_directory() {
    let directory = tempfile::tempdir().unwrap();
    let absolute = directory.path().join("x");
    for id in ["", "../../x", "a/b", absolute.to_str().unwrap(), ".."] {
        let done = Done {
            id: id.to_owned(),
            kind: StepKind::Clean,
            numerics: None,
            config: None,
            inputs: vec![],
            outputs: vec![],
        };
        assert!(record::save(directory.path(), done).is_err(), "{id:?}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn many_files_renamed_are_each_told_once_and_copies_are_extra() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir(root.join("old")).unwrap();
    for i in 0..30 {
        // Two of each content, so that a rename has more than one name to come from.
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

    /// Any one bit of any file: the file is named and, where it is in a tensor's data, the tensor.
    #[test]
    fn any_flipped_bit_is_found(file in 0usize..4, at in any::<prop::sample::Index>(), bit in 0u8..8) {
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

#[test]
fn a_comparison_sorts_every_path_into_one_list() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let sealed = |at: usize, files: &[(&str, &str)]| {
        let root = directories[at].path();
        for (name, content) in files {
            fs::write(root.join(name), content).unwrap();
        }
        seal_again(root).unwrap()
    };
    let published = sealed(0, &[("both", "1"), ("differs", "2"), ("only published", "3")]);
    let made = sealed(1, &[("both", "1"), ("differs", "x"), ("only made", "3")]);
    let compared = compare(&published, &made);
    assert!(!compared.holds());
    assert_eq!(compared.identical, [path("both")]);
    assert_eq!(compared.different, [path("differs")]);
    assert_eq!((compared.missing, compared.extra), (vec![path("only published")], vec![path("only made")]));
}

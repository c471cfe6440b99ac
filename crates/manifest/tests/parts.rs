//! Releases whose parts have manifests of their own: a part that cannot be followed is a finding, and is not sealed.

#![allow(clippy::unwrap_used, reason = "a test may take a thing for granted")]

use std::fs;
use std::path::Path;

use retrace_files::Silent;
use retrace_manifest::{SealError, SealOptions, Verdict, seal, unfold, verify};
use retrace_spec::manifest::{Artifact, ArtifactKind};
use retrace_spec::{Digest, Document, Manifest, RelPath};

fn path(text: &str) -> RelPath {
    text.parse().unwrap()
}

fn artifact(path: &str, kind: ArtifactKind, bytes: &[u8]) -> Artifact {
    Artifact {
        path: path.parse().unwrap(),
        kind,
        size: bytes.len() as u64,
        digest: Digest::of(bytes),
        sha256: None,
        slices: vec![],
        tensors: None,
    }
}

/// Writes a manifest of these artifacts to `name` below `root`, and returns it as an artifact of `kind`.
fn written(root: &Path, name: &str, artifacts: Vec<Artifact>) -> (Manifest, Artifact) {
    let manifest = Manifest::new("m", "t", vec![], artifacts, vec![]).unwrap();
    let text = manifest.to_yaml().unwrap();
    fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
    fs::write(root.join(name), &text).unwrap();
    (manifest, artifact(name, ArtifactKind::Manifest, text.as_bytes()))
}

/// Nested parts to this depth, with a file `x` in the innermost; and the outer manifest.
fn deep(root: &Path, depth: usize) -> Manifest {
    let directory = |depth: usize| "p/".repeat(depth);
    fs::create_dir_all(root.join(directory(depth))).unwrap();
    fs::write(root.join(directory(depth)).join("x"), "x").unwrap();
    let mut inside = vec![artifact("x", ArtifactKind::Other, b"x")];
    for depth in (1..=depth).rev() {
        let (_, part) = written(&root.join(directory(depth - 1)), "p/manifest.yaml", inside);
        inside = vec![part];
    }
    written(root, "manifest.yaml", inside).0
}

fn findings(manifest: &Manifest, root: &Path) -> Vec<(String, Verdict, String)> {
    let found = verify(manifest, root, Some(&path("manifest.yaml")), &Silent).unwrap();
    found.findings().map(|e| (e.path.to_string(), e.verdict, e.diagnosis.clone())).collect()
}

fn sealed(root: &Path, nest: &[&str]) -> Result<Manifest, SealError> {
    let nest = nest.iter().map(|directory| path(directory)).collect();
    let own = vec![path("manifest.yaml")];
    let options = SealOptions { name: "n".to_owned(), tool: "t".to_owned(), own, nest, ..SealOptions::default() };
    seal(root, &options, &Silent)
}

#[test]
fn a_part_too_deep_is_a_finding_and_not_sealed() {
    for (depth, followed) in [(8, true), (9, false), (12, false)] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let manifest = deep(root, depth);
        let innermost = format!("{}x", "p/".repeat(depth));
        assert_eq!(findings(&manifest, root).is_empty(), followed);
        assert_eq!(sealed(root, &["p"]).is_ok(), followed);
        fs::write(root.join(&innermost), "y").unwrap();
        let found = findings(&manifest, root);
        let [(at, verdict, told)] = found.as_slice() else { panic!("{found:?}") };
        if followed {
            assert_eq!((at, *verdict), (&innermost, Verdict::Changed));
        } else {
            let unread = "p/".repeat(9);
            assert_eq!((at.as_str(), *verdict), (unread.trim_end_matches('/'), Verdict::Unverifiable));
            assert!(
                told.contains("more than 8 parts deep") && told.contains("none of its files were checked"),
                "{told}"
            );
            let error = sealed(root, &["p"]).unwrap_err().to_string();
            assert!(
                error.contains("cannot be a part of the release") && error.contains("more than 8 parts deep"),
                "{error}"
            );
        }
    }
}

#[test]
fn a_part_that_cannot_be_read_is_a_finding_and_not_sealed() {
    let good = Manifest::new("m", "t", vec![], vec![artifact("x", ArtifactKind::Other, b"x")], vec![]).unwrap();
    let good = good.to_yaml().unwrap();
    let cases = [
        (good.replace("manifest/1", "manifest/2"), "is read here"),
        (good[..good.len() / 2].to_owned(), "its manifest is malformed"),
        ("\u{0}".repeat(10), "its manifest is malformed"),
        (good.replace("size: 1", "size: 2"), "edited after sealing"),
        (String::new(), "its manifest is malformed"),
    ];
    for (text, what) in cases {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir(root.join("code")).unwrap();
        fs::write(root.join("code/x"), "tampered with").unwrap();
        fs::write(root.join("code/manifest.yaml"), &text).unwrap();
        let (whole, _) = written(
            root,
            "manifest.yaml",
            vec![artifact("code/manifest.yaml", ArtifactKind::Manifest, text.as_bytes())],
        );
        let found = findings(&whole, root);
        let [(at, Verdict::Unverifiable, told)] = found.as_slice() else { panic!("{found:?}") };
        assert!(at == "code" && told.contains(what) && told.contains("none of its files were checked"), "{told}");
        assert!(matches!(sealed(root, &["code"]), Err(SealError::Nest { .. })), "{text}");
    }
}

#[test]
fn a_part_that_is_gone_or_another_is_two_findings() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let whole = deep(root, 2);
    let told = |change: &dyn Fn()| {
        change();
        findings(&whole, root).into_iter().map(|(at, verdict, _)| (at, verdict)).collect::<Vec<_>>()
    };
    let part = root.join("p/p/manifest.yaml");
    let expected = |verdict| vec![("p/p".to_owned(), Verdict::Unverifiable), ("p/p/manifest.yaml".to_owned(), verdict)];
    assert_eq!(told(&|| fs::write(&part, "more\n").unwrap()), expected(Verdict::Changed));
    assert_eq!(told(&|| fs::remove_file(&part).unwrap()), expected(Verdict::Missing));
    // Nothing of it remains.
    assert_eq!(told(&|| fs::remove_dir_all(root.join("p/p")).unwrap()), expected(Verdict::Missing));
}

/// A manifest above the size limit, as its length shows: nothing of it is read.
#[test]
fn a_part_with_too_long_a_manifest_is_a_finding() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir(root.join("p")).unwrap();
    fs::write(root.join("p/x"), "x").unwrap();
    let long = Artifact { size: 1 << 40, ..artifact("p/manifest.yaml", ArtifactKind::Manifest, b"") };
    let whole = Manifest::new("m", "t", vec![], vec![long], vec![]).unwrap();
    let unknown = unfold(&whole, root).unwrap().unknown;
    assert!(unknown[0].at.as_str() == "p" && unknown[0].why.contains("1099511627776 bytes"), "{unknown:?}");
}

#[test]
fn what_two_manifests_promise_is_a_finding() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir(root.join("p")).unwrap();
    fs::write(root.join("p/x"), "x").unwrap();
    let (_, part) = written(root, "p/manifest.yaml", vec![]);
    let (_, part) = (
        part.path.clone(),
        written(&root.join("p"), "manifest.yaml", vec![artifact("x", ArtifactKind::Other, b"y")]).1,
    );
    let part = Artifact { path: path("p/manifest.yaml"), ..part };
    let whole =
        Manifest::new("m", "t", vec![], vec![part, artifact("p/x", ArtifactKind::Other, b"x")], vec![]).unwrap();
    let found = findings(&whole, root);
    assert!(
        found.iter().any(|(at, verdict, what)| {
            at == "p/x" && *verdict == Verdict::Unverifiable && what.contains("two manifests list it")
        }),
        "{found:?}"
    );
}

/// A part in the release's own directory: its expected files are checked too.
#[test]
fn a_part_at_the_top_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let (_, part) = written(root, "part.yaml", vec![artifact("gone", ArtifactKind::Other, b"x")]);
    let (whole, _) = written(root, "manifest.yaml", vec![part]);
    let found = findings(&whole, root);
    let [(at, Verdict::Missing, _)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(at, "gone");
}

/// Twenty manifests at each of eight levels, each referring to all of the next level: each is read once.
#[test]
fn manifests_that_all_name_each_other_s_parts_end() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut inside = vec![artifact("x", ArtifactKind::Other, b"x")];
    for depth in (1..=8).rev() {
        let at = root.join("p/".repeat(depth - 1));
        let named = |k: usize| written(&at, &format!("p/m{k:02}.yaml"), inside.clone()).1;
        inside = (0..20).map(named).collect();
    }
    let (whole, _) = written(root, "manifest.yaml", inside);
    fs::write(root.join("p/".repeat(8)).join("x"), "x").unwrap();
    let found = findings(&whole, root);
    assert!(!found.is_empty() && found.iter().all(|(_, verdict, _)| *verdict == Verdict::Unverifiable));
}

/// A part's signature may be beside its manifest; a directory with that name is checked like any other.
#[test]
fn nothing_hides_beside_a_part_s_manifest() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let whole = deep(root, 1);
    fs::write(root.join("p/manifest.yaml.sig"), "a signature").unwrap();
    assert_eq!(findings(&whole, root), []);
    fs::remove_file(root.join("p/manifest.yaml.sig")).unwrap();
    fs::create_dir(root.join("p/manifest.yaml.sig")).unwrap();
    fs::write(root.join("p/manifest.yaml.sig/payload"), "x").unwrap();
    let found = findings(&whole, root);
    assert!(matches!(found.as_slice(), [(at, Verdict::Extra, _)] if at == "p/manifest.yaml.sig/payload"), "{found:?}");
}

#[test]
fn a_part_whose_manifest_would_not_be_covered_is_not_sealed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    deep(root, 1);
    let ignore = vec![path("p/manifest.yaml")];
    let options = SealOptions { ignore, nest: vec![path("p")], ..SealOptions::default() };
    let error = seal(root, &options, &Silent).unwrap_err().to_string();
    assert!(error.contains("p cannot be a part of the release"), "{error}");
}

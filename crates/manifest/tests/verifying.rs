//! Sealing and partial verification, against lists, in a hub's cache, and after an interruption.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use proptest::prelude::*;
use retrace_files::safetensors::{self, Dtype, Tensor};
use retrace_files::{Algorithm, Silent, checksum};
use retrace_manifest::record::{self, Done};
use retrace_manifest::{
    Basis, Expected, Resume, Scope, SealError, SealOptions, Verdict, VerifyOptions, compare, seal, verify,
    verify_expected,
};
use retrace_spec::Manifest;
use retrace_spec::manifest::StepKind;

mod support;

use support::{MODEL, findings, path, release, seal_again};

/// A list of SHA-256 and sizes, without retrace's own digests; and one that contradicts itself.
#[test]
fn other_checksums_are_checked_alike() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    release(root);
    // For other content.
    let sha256 = "sha256:e9b5b9c3d53d9ddd4ac9e5ddf3d10a37f4cb2ff7a3df0a07a3ee4d0f0a2d1c5e";
    let listed = |checksums: &[&str], size| {
        let checksums = checksums.iter().map(|text| text.parse().unwrap()).collect();
        vec![Expected { path: path("raw/a.jsonl"), size, checksums, slices: vec![], tensors: None }]
    };
    let partial = VerifyOptions { partial: true, ..VerifyOptions::default() };
    let said = |expected: &[Expected]| {
        let entries = verify_expected(expected, root, &partial, &Silent).unwrap().entries;
        entries.into_iter().find(|e| e.path.as_str() == "raw/a.jsonl").map(|e| (e.verdict, e.diagnosis)).unwrap()
    };
    let of = |algorithm| checksum(algorithm, b"{\"a\":1}\n").unwrap().to_string();
    let right = of(Algorithm::Sha256);
    assert_eq!(said(&listed(&[&right], Some(8))), (Verdict::Verified, String::new()));
    let (verdict, told) = said(&listed(&[&right], Some(9)));
    assert!(verdict == Verdict::Changed && told.contains("has 8 bytes and 9 are listed"), "{told}");
    assert_eq!(said(&listed(&[sha256], None)).0, Verdict::Changed);
    assert!(said(&listed(&[&right, sha256], None)).1.contains("contradicts itself"));
    let by_md5 = said(&listed(&[&of(Algorithm::Md5)], Some(8)));
    assert!(by_md5.0 == Verdict::Verified && by_md5.1.contains("only by md5, which can be forged"), "{by_md5:?}");
    assert_eq!(said(&listed(&[], Some(8))).0, Verdict::Unverifiable);
    // Files that the list does not name may exist.
    assert!(verify_expected(&listed(&[&right], None), root, &partial, &Silent).unwrap().holds());
}

/// A list that is itself sealed is a file like any other, even if it is what is verified against.
#[test]
fn a_list_that_is_sealed_is_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    release(root);
    fs::write(root.join("SHA256SUMS"), "a list").unwrap();
    let manifest = seal_again(root).unwrap();
    let expected: Vec<Expected> = manifest.artifacts.iter().map(Expected::from).collect();
    let own = vec![path("SHA256SUMS"), path("unsealed list")];
    fs::write(root.join("unsealed list"), "").unwrap();
    let options = VerifyOptions { own, ignored: manifest.ignored.clone(), ..VerifyOptions::default() };
    let said = || verify_expected(&expected, root, &options, &Silent).unwrap();
    assert!(said().holds());
    fs::write(root.join("SHA256SUMS"), "another").unwrap();
    assert_eq!(said().findings().map(|e| e.path.as_str()).collect::<Vec<_>>(), ["SHA256SUMS"]);
}

#[cfg(unix)]
#[test]
fn a_link_that_was_not_chosen_is_no_finding() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let manifest = release(root);
    let expected: Vec<Expected> = manifest.artifacts.iter().map(Expected::from).collect();
    fs::remove_file(root.join("raw/b.jsonl")).unwrap();
    std::os::unix::fs::symlink("a.jsonl", root.join("raw/b.jsonl")).unwrap();
    let said = |chosen: &str| {
        let scope = Scope::Only(BTreeSet::from([path(chosen)]));
        verify_expected(&expected, root, &VerifyOptions { scope, ..VerifyOptions::default() }, &Silent).unwrap().holds()
    };
    assert!(said("raw/a.jsonl") && !said("raw/b.jsonl"));
}

#[test]
fn what_was_verified_before_an_interruption_is_not_read_again() {
    let (directory, notes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (root, notes) = (directory.path(), notes.path().join("notes"));
    let manifest = release(root);
    let expected: Vec<Expected> = manifest.artifacts.iter().map(Expected::from).collect();
    let run = |expected: &[Expected]| {
        let basis = Basis { directory: root, root: Some(manifest.root), expected };
        let resume = Arc::new(Resume::open(&notes, &basis)?);
        let ignored = manifest.ignored.clone();
        let options = VerifyOptions { ignored, resume: Some(Arc::clone(&resume)), ..VerifyOptions::default() };
        let found = verify_expected(expected, root, &options, &Silent)?;
        let told: Vec<String> = found.findings().map(|entry| entry.path.to_string()).collect();
        Ok::<_, retrace_files::FileError>((told, resume.reused()))
    };
    let all = expected.len();
    assert_eq!(run(&expected).unwrap(), (vec![], 0));
    assert_eq!(run(&expected).unwrap(), (vec![], all));
    // Killed in the middle of a line: that file is read again.
    let text = fs::read_to_string(&notes).unwrap();
    fs::write(&notes, &text[..text.len() - 5]).unwrap();
    assert_eq!(run(&expected).unwrap(), (vec![], all - 1));
    // Changed since, with the length and the time that programs can set as before.
    let file = root.join("raw/b.jsonl");
    let (bytes, modified) = (fs::read(&file).unwrap(), file.metadata().unwrap().modified().unwrap());
    let other: Vec<u8> = bytes.iter().map(|byte| byte ^ 1).collect();
    fs::write(&file, &other).unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
    assert_eq!(run(&expected).unwrap(), (vec!["raw/b.jsonl".to_owned()], all - 1));
    // A mismatch is never noted: it is a finding again.
    assert_eq!(run(&expected).unwrap(), (vec!["raw/b.jsonl".to_owned()], all - 1));
    // Notes for another list are ignored, and so is any other file.
    let told = run(&expected[1..]).unwrap_err().to_string();
    assert!(told.contains("another manifest"), "{told}");
    for (bytes, what) in
        [("some text", "not a file of"), ("{}\n", "missing field"), (&format!("{text}{{}}\n"), "missing field")]
    {
        fs::write(&notes, bytes).unwrap();
        let told = run(&expected).unwrap_err().to_string();
        assert!(told.contains(what) && fs::read_to_string(&notes).unwrap() == bytes, "{told}");
    }
    for cut in [0, 1, 9, 30] {
        fs::write(&notes, &text[..cut]).unwrap();
        assert!(run(&expected).is_ok(), "{cut}");
    }
}

/// A person who can write the notes decides what is not read.
#[cfg(unix)]
#[test]
fn notes_are_ones_own_and_of_this_manifest_and_directory() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (directory, other, place) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = directory.path();
    let manifest = release(root);
    let expected: Vec<Expected> = manifest.artifacts.iter().map(Expected::from).collect();
    let basis = Basis { directory: root, root: Some(manifest.root), expected: &expected };
    let told = |notes: &std::path::Path, basis: &Basis<'_>| {
        Resume::open(notes, basis).map(|_| ()).map_err(|error| error.to_string())
    };
    let notes = place.path().join("notes");
    assert_eq!(told(&notes, &basis), Ok(()));
    assert_eq!(notes.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let others = [
        (Basis { root: None, ..basis }, "another manifest"),
        (Basis { expected: &expected[1..], ..basis }, "another manifest"),
        (Basis { directory: other.path(), ..basis }, "another directory"),
    ];
    for (basis, what) in others {
        let told = told(&notes, &basis).unwrap_err();
        assert!(told.contains(what), "{told}");
    }
    let held = Resume::open(&notes, &basis).unwrap();
    assert!(told(&notes, &basis).unwrap_err().contains("is using it"));
    drop(held);
    // Below what is verified, by any path.
    symlink(root, place.path().join("way in")).unwrap();
    for inside in [root.join("notes"), root.join("sub/notes"), place.path().join("way in/notes")] {
        let told = told(&inside, &basis).unwrap_err();
        assert!(told.contains("files there are not trusted") && !inside.exists(), "{told}");
    }
    symlink(&notes, place.path().join("link")).unwrap();
    assert!(told(&place.path().join("link"), &basis).unwrap_err().contains("not a regular file"));
    let mode = |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&notes, 0o620);
    assert!(told(&notes, &basis).unwrap_err().contains("written by others"));
    mode(&notes, 0o600);
    mode(place.path(), 0o777);
    assert!(told(&notes, &basis).unwrap_err().contains("written by others"));
    mode(place.path(), 0o700);
    assert_eq!(told(&notes, &basis), Ok(()));
}

/// An unlisted file is a finding whatever it contains: it is not read for days to report that.
#[cfg(unix)]
#[test]
fn what_says_nothing_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let sparse = |name: &str, length: u64| fs::File::create(root.join(name)).unwrap().set_len(length).unwrap();
    let manifest = release(root);
    // Reading sparse files of 8 TB would take hours: one beside the listed files, one in the place of a listed one.
    sparse("extra", 8 << 40);
    sparse("raw/a.jsonl", 8 << 40);
    fs::rename(root.join("raw/b.jsonl"), root.join("raw/c.jsonl")).unwrap();
    fs::write(root.join("same length"), "{\"c\":3}\n").unwrap();
    let found = findings(&manifest, root);
    let told: Vec<_> = found.iter().map(|(path, verdict, _)| (path.as_str(), *verdict)).collect();
    use Verdict::{Changed, Extra, Renamed};
    assert_eq!(told, [("extra", Extra), ("raw/a.jsonl", Changed), ("raw/c.jsonl", Renamed), ("same length", Extra)]);
    assert!(found[1].2.contains("should have 8") && found[1].2.contains("not read"), "{}", found[1].2);
    // If a listed file has the same length, or no lengths are listed.
    let listed = |size| {
        let checksums = vec![checksum(Algorithm::Blake3, b"gone").unwrap()];
        [Expected { path: path("gone"), size, checksums, slices: vec![], tensors: None }]
    };
    for (size, what) in [(Some(8 << 40), "sparse file"), (None, "no lengths")] {
        let said = verify_expected(&listed(size), root, &VerifyOptions::default(), &Silent).unwrap();
        let extra = said.findings().find(|entry| entry.path.as_str() == "extra").unwrap();
        assert!(extra.diagnosis.contains(what), "{}", extra.diagnosis);
    }
    fs::write(root.join("found"), "gone").unwrap();
    let said = verify_expected(&listed(None), root, &VerifyOptions::default(), &Silent).unwrap();
    assert!(said.findings().any(|entry| entry.path.as_str() == "found" && entry.verdict == Renamed));
}

/// The manifest and its signature are beside what they cover, but nothing can hide behind their names.
#[test]
fn a_directory_in_the_place_of_a_signature_hides_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    release(root);
    fs::create_dir(root.join("manifest.yaml.sig")).unwrap();
    fs::write(root.join("manifest.yaml.sig/payload"), "x").unwrap();
    let own = vec![path("manifest.yaml"), path("manifest.yaml.sig")];
    let options = SealOptions { name: "t".to_owned(), tool: "r".to_owned(), own, ..SealOptions::default() };
    let sealed = seal(root, &options, &Silent).unwrap();
    assert!(sealed.artifact(&path("manifest.yaml.sig/payload")).is_some());
    fs::write(root.join("manifest.yaml.sig/more"), "x").unwrap();
    let expected: Vec<Expected> = sealed.artifacts.iter().map(Expected::from).collect();
    let options = VerifyOptions { own: options.own, ..VerifyOptions::default() };
    let said = verify_expected(&expected, root, &options, &Silent).unwrap();
    assert_eq!(said.findings().map(|e| e.path.as_str()).collect::<Vec<_>>(), ["manifest.yaml.sig/more"]);
}

#[test]
fn a_part_is_verified_without_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let manifest = release(root);
    let expected: Vec<Expected> = manifest.artifacts.iter().map(Expected::from).collect();
    fs::write(root.join("raw/b.jsonl"), "{}").unwrap();
    fs::remove_file(root.join("clean.yaml")).unwrap();
    let said = |scope| {
        let options = VerifyOptions { scope, ignored: manifest.ignored.clone(), ..VerifyOptions::default() };
        let found = verify_expected(&expected, root, &options, &Silent).unwrap();
        found.findings().map(|entry| entry.path.to_string()).collect::<Vec<_>>()
    };
    let chosen = BTreeSet::from([path("raw/a.jsonl")]);
    assert_eq!(said(Scope::Only(chosen.clone())), Vec::<String>::new());
    assert_eq!(said(Scope::Sample(chosen)), ["clean.yaml"], "what is missing shows without reading");
    assert_eq!(said(Scope::Only(BTreeSet::from([path("raw/b.jsonl")]))), ["raw/b.jsonl"]);
    assert_eq!(said(Scope::All), ["clean.yaml", "raw/b.jsonl"]);
}

#[cfg(unix)]
#[test]
fn a_hub_cache_is_followed_into_its_blobs_and_nowhere_else() {
    use std::os::unix::fs::symlink;
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("models--a--b");
    let (blobs, snapshot) = (cache.join("blobs"), cache.join("snapshots/rev"));
    for made in [&blobs, &snapshot.join("sub")] {
        fs::create_dir_all(made).unwrap();
    }
    for (name, content) in [("b1", "one"), ("b2", "two")] {
        fs::write(blobs.join(name), content).unwrap();
    }
    fs::write(cache.join("secret"), "two").unwrap();
    symlink("../../blobs/b1", snapshot.join("one.txt")).unwrap();
    symlink("../../../blobs/b2", snapshot.join("sub/two.txt")).unwrap();
    let listed = |name: &str, content: &[u8]| Expected {
        path: path(name),
        size: None,
        checksums: vec![checksum(Algorithm::Blake3, content).unwrap()],
        slices: vec![],
        tensors: None,
    };
    let expected = [listed("one.txt", b"one"), listed("sub/two.txt", b"two")];
    let holds = |hub_cache| {
        let options = VerifyOptions { hub_cache, ..VerifyOptions::default() };
        let found = verify_expected(&expected, &snapshot, &options, &Silent).unwrap();
        found.findings().map(|entry| (entry.path.to_string(), entry.verdict)).collect::<Vec<_>>()
    };
    assert_eq!(holds(true), []);
    assert_eq!(holds(false).len(), 2, "links are followed only when that is asked for");
    fs::remove_file(snapshot.join("sub/two.txt")).unwrap();
    symlink("../../../secret", snapshot.join("sub/two.txt")).unwrap();
    assert_eq!(holds(true), [("sub/two.txt".to_owned(), Verdict::Unverifiable)]);
    fs::remove_file(snapshot.join("one.txt")).unwrap();
    symlink("../../blobs/b2", snapshot.join("one.txt")).unwrap();
    assert!(holds(true).contains(&("one.txt".to_owned(), Verdict::Changed)));
    // A blob has no file name ending, and is read in the format of the link's name.
    let tensors = |byte| {
        let tensor = Tensor { dtype: Dtype::U8, shape: vec![1], bytes: vec![byte] };
        safetensors::write(&blobs.join("b3"), &BTreeMap::from([("w".to_owned(), tensor)])).unwrap();
    };
    tensors(1);
    let sealed =
        retrace_files::file_tensors(&retrace_files::RegularFile::open(&blobs.join("b3")).unwrap(), "x.safetensors")
            .unwrap()
            .tensors();
    let file =
        Expected { tensors: sealed.map(Box::new), ..listed("x.safetensors", &fs::read(blobs.join("b3")).unwrap()) };
    tensors(2);
    symlink("../../blobs/b3", snapshot.join("x.safetensors")).unwrap();
    let options = VerifyOptions { hub_cache: true, partial: true, ..VerifyOptions::default() };
    let found = verify_expected(&[file], &snapshot, &options, &Silent).unwrap();
    assert_eq!(found.findings().next().unwrap().tensors, ["w"]);
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
        seal(
            root,
            &SealOptions { name: "t".to_owned(), tool: "r".to_owned(), ignore, ..SealOptions::default() },
            &Silent,
        )
    };
    let before = sealed(&["report.html", "later", "report.html"]).unwrap();
    assert_eq!(before.ignored, [path("later"), path("report.html")]);
    fs::write(root.join("later"), "made after the seal").unwrap();
    assert_eq!(sealed(&["later", "report.html"]).unwrap(), before);
    assert!(verify(&before, root, None, &Silent).unwrap().holds());
    // A step's output cannot be excluded unnoticed.
    let error = sealed(&["run"]).unwrap_err().to_string();
    assert!(error.contains(MODEL) && error.contains("not covered"), "{error}");
}

/// Anyone can make a manifest: what it lists is checked, even if it also says to skip it.
#[test]
fn nothing_sealed_is_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let sealed = release(root);
    for (ignored, promised) in [(MODEL, MODEL), ("run/step-1", MODEL), ("raw/a.jsonl", "raw/a.jsonl")] {
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
            incomplete: None,
        };
        assert!(record::save(&retrace_files::Root::open(directory.path()).unwrap(), done).is_err(), "{id:?}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

proptest! {
    #[test]
    fn any_notes_of_a_resumed_run_are_survived(text in any::<String>(), line in "[{}\":,a-z/.0-9\n]{0,60}", cut: prop::sample::Index) {
        let (directory, notes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let basis = Basis { directory: directory.path(), root: None, expected: &[] };
        let notes = notes.path().join("notes");
        drop(Resume::open(&notes, &basis).unwrap());
        let first = fs::read_to_string(&notes).unwrap();
        for text in [text, first[..cut.index(first.len())].to_owned(), first + &line] {
            fs::write(&notes, &text).unwrap();
            // Files that are not read are not changed.
            if Resume::open(&notes, &basis).is_err() {
                prop_assert_eq!(fs::read_to_string(&notes).unwrap(), text);
            }
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

/// A file behind an inaccessible directory may exist: it is unknown whether it is missing.
#[cfg(unix)]
#[test]
fn what_lies_behind_a_link_is_not_said_to_be_missing() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    std::fs::create_dir(root.join("sub")).unwrap();
    std::fs::write(root.join("sub/a"), "1").unwrap();
    let manifest = seal(root, &SealOptions { name: "x".to_owned(), ..SealOptions::default() }, &Silent).unwrap();
    std::fs::rename(root.join("sub"), directory.path().join(".moved")).unwrap();
    std::os::unix::fs::symlink(".moved", root.join("sub")).unwrap();
    let found = retrace_manifest::verify(&manifest, root, None, &Silent).unwrap();
    let of = |path: &str| found.entries.iter().find(|entry| entry.path.as_str() == path).unwrap();
    assert_eq!(of("sub/a").verdict, Verdict::Unverifiable);
    assert!(of("sub/a").diagnosis.contains("sub: it is a symbolic link"), "{}", of("sub/a").diagnosis);
}

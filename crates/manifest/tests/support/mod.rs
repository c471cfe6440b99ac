//! A small release, and the results of verifying it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use retrace_files::Silent;
use retrace_files::safetensors::{self, Dtype, Tensor};
use retrace_manifest::record::{self, Done};
use retrace_manifest::{
    Expected, SealError, SealOptions, Until, Verdict, VerifyOptions, look_ahead, seal, verify, verify_after,
};
use retrace_spec::manifest::{ArtifactKind, StepKind};
use retrace_spec::{Manifest, RelPath};

pub(crate) const MODEL: &str = "run/step-1/model.safetensors";

pub(crate) fn path(text: &str) -> RelPath {
    text.parse().unwrap()
}

pub(crate) fn release(root: &Path) -> Manifest {
    fs::create_dir_all(root.join("raw")).unwrap();
    fs::write(root.join("raw/a.jsonl"), "{\"a\":1}\n").unwrap();
    fs::write(root.join("raw/b.jsonl"), "{\"b\":2}\n").unwrap();
    fs::write(root.join("clean.yaml"), "x: 1\n").unwrap();
    fs::write(root.join("report.html"), "<p>").unwrap();
    let tensor = |seed: u8| Tensor { dtype: Dtype::F32, shape: vec![2, 2], bytes: vec![seed; 16] };
    let tensors = BTreeMap::from([("first.weight".to_owned(), tensor(1)), ("second.weight".to_owned(), tensor(2))]);
    safetensors::write(&root.join(MODEL), &tensors).unwrap();
    let later = BTreeMap::from([("first.weight".to_owned(), tensor(3)), ("second.weight".to_owned(), tensor(4))]);
    safetensors::write(&root.join("run/step-2/model.safetensors"), &later).unwrap();
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(root.join("sub/deep.txt"), "deep\n").unwrap();
    fs::write(root.join("notes.txt"), "one\r\ntwo\r\n").unwrap();
    fs::write(root.join("caf\u{e9}.txt"), "coffee\n").unwrap();
    fs::write(root.join("zeros.bin"), [7u8; 2000]).unwrap();
    let done = Done {
        id: "train".to_owned(),
        kind: StepKind::Train,
        numerics: Some(1),
        config: Some(path("clean.yaml")),
        inputs: vec![path("raw/b.jsonl"), path("raw/a.jsonl")],
        outputs: vec![(path(MODEL), ArtifactKind::Checkpoint)],
        incomplete: None,
    };
    record::save(&retrace_files::Root::open(root).unwrap(), done).unwrap();
    seal_again(root).unwrap()
}

pub(crate) fn seal_again(root: &Path) -> Result<Manifest, SealError> {
    let options = SealOptions {
        name: "test".to_owned(),
        tool: "retrace".to_owned(),
        own: vec![path("manifest.yaml")],
        ignore: vec![path("report.html")],
        ..SealOptions::default()
    };
    seal(root, &options, &Silent)
}

/// The verdicts that are findings, with their text.
pub(crate) fn findings(manifest: &Manifest, root: &Path) -> Vec<(String, Verdict, String)> {
    let found = verify(manifest, root, Some(&path("manifest.yaml")), &Silent).unwrap();
    // The same if files were hashed before the manifest was read.
    let expected: Vec<Expected> = manifest.artifacts.iter().map(Expected::from).collect();
    let (ignored, own) = (manifest.ignored.clone(), vec![path("manifest.yaml")]);
    let options = VerifyOptions { ignored, own, ..VerifyOptions::default() };
    let ahead = look_ahead(root, &Until::default()).unwrap();
    assert_eq!(verify_after(Some(ahead), expected, root, &options, &Silent).unwrap(), found);
    found.findings().map(|e| (e.path.to_string(), e.verdict, e.diagnosis.clone())).collect()
}

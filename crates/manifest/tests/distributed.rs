//! Releases with a distributed checkpoint of PyTorch: sealed, verified and compared by tensor.

#![allow(clippy::unwrap_used, reason = "a test may take a thing for granted")]

use std::fs;
use std::path::{Path, PathBuf};

use retrace_checkpoint::Checkpoint;
use retrace_files::torch::distributed::{METADATA, locate, read};
use retrace_files::{Found, RegularFile, Root, Silent};
use retrace_manifest::{
    Difference, Entry, SealOptions, Side, Verdict, checkpoint_findings, diff, not_tensors, seal, verify,
};
use retrace_spec::manifest::{Artifact, ArtifactKind};
use retrace_spec::{Manifest, RelPath};

/// What PyTorch wrote: `make.py` there.
fn made(inside: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../checkpoint/tests/distributed").join(inside)
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn path(path: &str) -> RelPath {
    path.parse().unwrap()
}

/// The file and the place of the first byte of a tensor's first chunk.
fn first_number(directory: &Path, name: &str) -> (PathBuf, usize) {
    let Found::Tensors(metadata) = read(RegularFile::open(&directory.join(METADATA)).unwrap()).unwrap() else {
        panic!()
    };
    let chunk = &metadata.tensors[name].chunks[0];
    let file = directory.join(&metadata.files[chunk.file].path);
    let Found::Tensors(location) = locate(&RegularFile::open(&file).unwrap(), chunk) else { panic!() };
    (file, location.begin as usize)
}

/// A release with the checkpoint that two processes wrote.
fn release(root: &Path) -> Manifest {
    copy(&made("rows/dcp"), &root.join("run/step10"));
    fs::write(root.join("README.md"), "A run.\n").unwrap();
    let options = SealOptions { name: "run".to_owned(), tool: "test".to_owned(), ..SealOptions::default() };
    seal(root, &options, &Silent).unwrap()
}

fn findings(manifest: &Manifest, root: &Path) -> Vec<Entry> {
    verify(manifest, root, None, &Silent).unwrap().findings().cloned().collect()
}

#[test]
fn the_metadata_has_the_tensors() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = release(directory.path());
    let artifact = |name: &str| -> &Artifact { manifest.artifact(&path(&format!("run/step10/{name}"))).unwrap() };
    let twin = Checkpoint::open(&made("rows/whole")).unwrap().digests().unwrap();
    assert_eq!(artifact(".metadata").tensors.as_deref(), Some(&twin));
    for name in [".metadata", "__0_0.distcp", "__1_0.distcp"] {
        assert_eq!(artifact(name).kind, ArtifactKind::Checkpoint);
    }
    assert!(artifact("__0_0.distcp").tensors.is_none());
    let root = Root::open(directory.path()).unwrap();
    let found = not_tensors(&root, &manifest.artifacts);
    let names = ["train.state.name", "train.state.random", "train.steps"];
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        [(path("run/step10/.metadata"), names.map(str::to_owned).to_vec())]
    );
    assert!(verify(&manifest, directory.path(), None, &Silent).unwrap().holds());
}

#[test]
fn another_split_has_the_sealed_tensors() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = release(directory.path());
    // Four processes on a mesh of two dimensions wrote it.
    copy(&made("mesh/dcp"), &directory.path().join("run/step10"));
    let found = findings(&manifest, directory.path());
    assert_eq!(found.len(), 5);
    for Entry { path, diagnosis, tensors, .. } in &found {
        let told = "all tensors in run/step10 are equal to the sealed ones; only the split into shards differs";
        assert!(diagnosis.contains(told) && tensors.is_empty(), "{path}: {diagnosis}");
    }
}

#[test]
fn a_damaged_file_tells_which_tensors_differ() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = release(directory.path());
    let step = directory.path().join("run/step10");
    let (file, begin) = first_number(&step, "model.embed.weight");
    let good = fs::read(&file).unwrap();
    let with = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        fs::write(&file, &bytes).unwrap();
        let found = findings(&manifest, directory.path());
        assert_eq!((found.len(), found[0].verdict), (1, Verdict::Changed));
        (found[0].diagnosis.clone(), found[0].tensors.clone())
    };
    let (told, tensors) = with(begin);
    assert_eq!(tensors, ["model.embed.weight"]);
    assert!(told.ends_with("; tensor model.embed.weight differs"), "{told}");
    // Between the archive's name and its numbers nothing has a meaning.
    let (told, tensors) = with(begin - 1);
    assert!(
        tensors.is_empty() && told.ends_with("; the tensors with a part in it are equal to the sealed ones"),
        "{told}"
    );
    // A file that is cut off.
    fs::write(&file, &good[..good.len() / 2]).unwrap();
    let found = findings(&manifest, directory.path());
    assert!(
        found[0].diagnosis.contains("its tensors cannot be read: ") && found[0].diagnosis.contains("which has only")
    );
    let paths: Vec<RelPath> = manifest.artifacts.iter().map(|artifact| artifact.path.clone()).collect();
    let root = Root::open(directory.path()).unwrap();
    let contradictions = checkpoint_findings(&root, paths.iter());
    assert_eq!(contradictions.len(), 1);
    assert_eq!(contradictions[0].path, "run/step10/.metadata");
}

#[test]
fn it_is_compared_with_other_files_by_tensor() {
    let directory = tempfile::tempdir().unwrap();
    let side = |of: &Path| Side::of_directory(of, &Silent).unwrap();
    let found = diff(&side(&made("rows/dcp")), &side(&made("rows/whole"))).unwrap();
    assert_eq!((found.checkpoints[0].equal, found.checkpoints[0].tensors.len()), (8, 0));
    let found = diff(&side(&made("mesh/dcp")), &side(&made("rows/dcp"))).unwrap();
    assert_eq!((found.checkpoints[0].equal, found.checkpoints[0].tensors.len()), (8, 0));
    // Only a file of chunks differs.
    copy(&made("rows/dcp"), directory.path());
    let (file, begin) = first_number(directory.path(), "optim.count");
    let mut bytes = fs::read(&file).unwrap();
    bytes[begin] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let found = diff(&side(&made("rows/dcp")), &side(directory.path())).unwrap();
    assert_eq!((found.files.len(), found.checkpoints[0].equal), (1, 7));
    assert!(
        matches!(&found.checkpoints[0].tensors[0].difference, Difference::Changed { distance: Some(distance) } if distance.differing == 1)
    );
    // With a manifest alone.
    let release_directory = tempfile::tempdir().unwrap();
    let manifest = release(release_directory.path());
    let sealed = Side::of_manifest(&manifest, None).unwrap();
    let found = diff(&sealed, &Side::of_manifest(&manifest, Some(release_directory.path())).unwrap()).unwrap();
    assert_eq!((found.equal, found.files.len()), (4, 0));
}

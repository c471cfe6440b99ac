//! Directories of weights, valid and invalid: each has one answer to which tensors it contains.

#![allow(clippy::unwrap_used, reason = "a test may take a thing for granted")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use retrace_checkpoint::{Checkpoint, CheckpointError, contradictions};
use retrace_files::Root;
use retrace_files::safetensors::{self, Dtype, Tensor};
use serde_json::{Value, json};

type Tensors = BTreeMap<String, Tensor>;

fn tensor(byte: u8) -> Tensor {
    Tensor { dtype: Dtype::U8, shape: vec![2], bytes: vec![byte, byte + 1] }
}

fn some(names: &str) -> Tensors {
    names.bytes().map(|name| (char::from(name).to_string(), tensor(name))).collect()
}

const INDEX: &str = "model.safetensors.index.json";

/// A checkpoint of `a`, `b` and `c` in two shards, with its index.
fn good(root: &Path) {
    safetensors::write(&root.join("model-1.safetensors"), &some("a")).unwrap();
    safetensors::write(&root.join("model-2.safetensors"), &some("bc")).unwrap();
    index(root, json!({"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-2.safetensors"}));
}

fn index(root: &Path, weight_map: Value) {
    fs::write(root.join(INDEX), json!({"metadata": {"total_size": 6}, "weight_map": weight_map}).to_string()).unwrap();
}

/// The error for the directory, the same from reading it and from [`contradictions`] alone.
fn said(root: &Path) -> (String, Vec<String>) {
    let read = Checkpoint::open(root).err().map_or_else(String::new, |error| error.to_string());
    let asked = contradictions(&Root::open(root).unwrap(), None).unwrap();
    (read, asked.iter().map(ToString::to_string).collect())
}

/// A way to damage a checkpoint, and the expected error.
type Wrong = (&'static str, fn(&Path), &'static str);

const WRONG: &[Wrong] = &[
    (
        "an index names a tensor that no shard holds",
        |root| {
            index(
                root,
                json!({"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-2.safetensors", "d": "model-2.safetensors"}),
            );
        },
        "index.json: it says that tensor \"d\" is in model-2.safetensors, which does not hold it",
    ),
    (
        "a shard holds a tensor that the index lacks",
        |root| index(root, json!({"a": "model-1.safetensors", "b": "model-2.safetensors"})),
        "model-2.safetensors: it holds tensor \"c\", which model.safetensors.index.json does not list",
    ),
    (
        "a tensor is in another shard than the index says, too",
        |root| {
            safetensors::write(&root.join("model-1.safetensors"), &some("ab")).unwrap();
        },
        "model-1.safetensors: it holds tensor \"b\", which model.safetensors.index.json says is in model-2.safetensors",
    ),
    (
        "a shard is not there",
        |root| fs::remove_file(root.join("model-2.safetensors")).unwrap(),
        "index.json: it says that tensor \"b\" is in model-2.safetensors, which is not there",
    ),
    (
        "a shard is there that the index does not name",
        |root| {
            safetensors::write(&root.join("model-3.safetensors"), &some("d")).unwrap();
        },
        "model-3.safetensors: it holds tensor \"d\", which",
    ),
    (
        "the whole is there beside the shards, and the index does not name it",
        |root| {
            safetensors::write(&root.join("model.safetensors"), &some("abc")).unwrap();
        },
        "model.safetensors: it holds tensor \"a\", which",
    ),
    (
        "a shard is a directory",
        |root| {
            fs::remove_file(root.join("model-2.safetensors")).unwrap();
            fs::create_dir(root.join("model-2.safetensors")).unwrap();
        },
        "model-2.safetensors is not a regular file",
    ),
    (
        "the index is a directory",
        |root| {
            fs::remove_file(root.join(INDEX)).unwrap();
            fs::create_dir(root.join(INDEX)).unwrap();
        },
        "index.json is not a regular file",
    ),
    (
        "a shard is a link",
        |root| {
            fs::rename(root.join("model-2.safetensors"), root.join("elsewhere")).unwrap();
            #[cfg(unix)]
            std::os::unix::fs::symlink("elsewhere", root.join("model-2.safetensors")).unwrap();
        },
        "symbolic link",
    ),
    (
        "the index is cut off",
        |root| fs::write(root.join(INDEX), r#"{"weight_map": {"a": "model-1.safe"#).unwrap(),
        "it is no index of a checkpoint: EOF",
    ),
    (
        "the index says of a tensor twice where it is",
        |root| {
            fs::write(root.join(INDEX), r#"{"weight_map": {"a": "model-1.safetensors", "a": "model-2.safetensors"}}"#)
                .unwrap()
        },
        "tensor \"a\" comes twice",
    ),
    (
        "the index has two maps",
        |root| {
            fs::write(root.join(INDEX), r#"{"weight_map": {}, "weight_map": {"a": "model-1.safetensors"}}"#).unwrap()
        },
        "duplicate field",
    ),
    (
        "a shard lies above",
        |root| index(root, json!({"a": "../model-1.safetensors"})),
        "it says that tensor \"a\" is in \"../model-1.safetensors\", which is not the name of a .safetensors file beside it",
    ),
    ("a shard lies below", |root| index(root, json!({"a": "x/model-1.safetensors"})), "which is not the name of"),
    ("a shard lies anywhere", |root| index(root, json!({"a": "/etc/model-1.safetensors"})), "which is not the name of"),
    ("a shard is of another form", |root| index(root, json!({"a": "pytorch_model.bin"})), "which is not the name of"),
    ("a shard has no name", |root| index(root, json!({"a": ""})), "which is not the name of"),
    ("a shard is a number", |root| index(root, json!({"a": 1})), "it is no index"),
    ("there is no map", |root| fs::write(root.join(INDEX), "{}").unwrap(), "missing field `weight_map`"),
    ("the index is nothing", |root| fs::write(root.join(INDEX), "").unwrap(), "it is no index"),
    ("the index is no text", |root| fs::write(root.join(INDEX), [0xff, 0xfe]).unwrap(), "it is no index"),
    (
        "the index has a million tensors",
        |root| {
            let entries: Vec<String> = (0..1_000_000).map(|at| format!("\"{at}\":\"model-1.safetensors\"")).collect();
            fs::write(root.join(INDEX), format!("{{\"weight_map\":{{{}}}}}", entries.join(","))).unwrap();
        },
        "more than 262144 tensors",
    ),
    (
        "the index has no end",
        |root| fs::File::options().write(true).open(root.join(INDEX)).unwrap().set_len(1 << 40).unwrap(),
        "has more than 67108864 bytes",
    ),
    ("a name has no end", |root| index(root, json!({"a".repeat(2000): "model-1.safetensors"})), "a name of 2000 bytes"),
    (
        "without an index, a tensor is in two shards",
        |root| {
            fs::remove_file(root.join(INDEX)).unwrap();
            safetensors::write(&root.join("model-1.safetensors"), &some("ab")).unwrap();
        },
        "model-2.safetensors: it has tensor \"b\", as model-1.safetensors has: it is in two files",
    ),
    (
        "without an index, a shard is missing by the others' names",
        |root| {
            for name in [INDEX, "model-1.safetensors"] {
                fs::remove_file(root.join(name)).unwrap();
            }
            fs::rename(root.join("model-2.safetensors"), root.join("model-00002-of-00002.safetensors")).unwrap();
        },
        "model-00001-of-00002.safetensors, which should be beside it by its name, is not there",
    ),
];

#[test]
fn a_wrong_checkpoint_is_refused_and_told_of() {
    for (what, spoil, expected) in WRONG {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        good(root);
        assert_eq!(said(root), (String::new(), vec![]), "{what}");
        spoil(root);
        let (read, asked) = said(root);
        assert!(read.contains(expected), "{what}: {read}");
        assert!(asked.len() == 1 && asked[0].contains(expected), "{what}: {asked:?}");
    }
}

#[test]
fn what_is_no_contradiction() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    // An empty directory, and files that are not weights.
    assert!(matches!(Checkpoint::open(root), Err(CheckpointError::Empty { .. })));
    safetensors::write(&root.join("optimizer.safetensors"), &some("z")).unwrap();
    assert!(matches!(Checkpoint::open(root), Err(CheckpointError::Empty { .. })));
    good(root);
    // Other files beside it are ignored.
    safetensors::write(&root.join("adapter_model.safetensors"), &some("a")).unwrap();
    safetensors::write(&root.join("model.ema.safetensors"), &some("abc")).unwrap();
    // PyTorch files that cannot be read here, such as older ones: their content is unknown.
    fs::write(root.join("pytorch_model.bin"), b"\x80\x02\x8a").unwrap();
    fs::write(root.join("pytorch_model.bin.index.json"), r#"{"weight_map": {"q": "pytorch_model.bin"}}"#).unwrap();
    let opened = Checkpoint::open(root).unwrap();
    assert_eq!(opened.read_all().unwrap(), some("abc"));
    assert_eq!(opened.files(), [INDEX, "model-1.safetensors", "model-2.safetensors"]);
    assert_eq!(said(root), (String::new(), vec![]));
    fs::remove_file(root.join(INDEX)).unwrap();
    fs::remove_file(root.join("model-1.safetensors")).unwrap();
    fs::remove_file(root.join("model-2.safetensors")).unwrap();
    fs::remove_file(root.join("model.ema.safetensors")).unwrap();
    assert!(matches!(Checkpoint::open(root), Err(CheckpointError::Unreadable { .. })));
}

proptest! {
    /// However the tensors are divided into files, with or without an index, it is the same checkpoint.
    #[test]
    fn any_cut_is_the_same_checkpoint(bytes in prop::collection::btree_map("[a-z]{1,3}", 0u8..200, 1..12), cut in prop::collection::vec(0usize..4, 12), indexed: bool) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let tensors: Tensors = bytes.into_iter().map(|(name, byte)| (name, tensor(byte))).collect();
        let (mut shards, mut map) = (BTreeMap::<usize, Tensors>::new(), BTreeMap::new());
        for ((name, tensor), at) in tensors.iter().zip(&cut) {
            shards.entry(*at).or_default().insert(name.clone(), tensor.clone());
            map.insert(name.clone(), format!("{}-{at}.safetensors", if indexed { "any" } else { "model" }));
        }
        for (at, shard) in &shards {
            let name = format!("{}-{at}.safetensors", if indexed { "any" } else { "model" });
            safetensors::write(&root.join(name), shard).unwrap();
        }
        if indexed {
            index(root, json!(map));
        }
        let checkpoint = Checkpoint::open(root).unwrap();
        prop_assert_eq!(&checkpoint.read_all().unwrap(), &tensors);
        prop_assert_eq!(checkpoint.files().len(), shards.len() + usize::from(indexed));
        prop_assert_eq!(contradictions(&Root::open(root).unwrap(), None).unwrap(), vec![]);
    }

    #[test]
    fn any_index_is_survived(text in any::<String>(), near in "[{}\\[\\]\":,a-z/.0-9]{0,60}") {
        let directory = tempfile::tempdir().unwrap();
        for text in [text, format!("{{\"weight_map\": {{\"a\": {near}}}}}")] {
            fs::write(directory.path().join(INDEX), text).unwrap();
            prop_assert!(Checkpoint::open(directory.path()).is_err());
            let _ = contradictions(&Root::open(directory.path()).unwrap(), None);
        }
    }
}

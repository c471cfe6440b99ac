//! Distributed checkpoints of PyTorch: the same tensors as in a file, however they were sharded, and a clear error for
//! each way in which `.metadata` and its files can contradict each other.

#![allow(clippy::unwrap_used, reason = "a test may take a thing for granted")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use retrace_checkpoint::{Checkpoint, contradictions};
use retrace_files::safetensors::Dtype;
use retrace_files::torch::distributed::{Chunk, METADATA, Metadata, locate, read};
use retrace_files::{Found, RegularFile, Root};

/// What PyTorch wrote: `distributed/make.py`.
fn made(inside: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/distributed").join(inside)
}

const OF_ROWS: [&str; 3] = [METADATA, "__0_0.distcp", "__1_0.distcp"];

/// A copy of the checkpoint that two processes wrote, by rows.
fn copy() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in OF_ROWS {
        fs::copy(made("rows/dcp").join(name), directory.path().join(name)).unwrap();
    }
    directory
}

fn metadata(directory: &Path) -> Metadata {
    match read(RegularFile::open(&directory.join(METADATA)).unwrap()).unwrap() {
        Found::Tensors(metadata) => metadata,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_tensors_are_those_of_the_same_model_in_one_file() {
    for (checkpoint, whole) in
        [("rows/dcp", "rows/whole"), ("mesh/dcp", "mesh/whole"), ("olmo-core", "olmo-core/whole")]
    {
        let opened = Checkpoint::open(&made(checkpoint)).unwrap();
        let twin = Checkpoint::open(&made(whole)).unwrap();
        assert_eq!(opened.digests().unwrap(), twin.digests().unwrap(), "{checkpoint}");
        assert_eq!(opened.read_all().unwrap(), twin.read_all().unwrap(), "{checkpoint}");
        assert_eq!(opened.not_tensors(), ["train.state.name", "train.state.random", "train.steps"]);
    }
    // By its `.metadata`, by the directory above that of OLMo-core, and below a release.
    let by_name = Checkpoint::open(&made("olmo-core/model_and_optim/.metadata")).unwrap();
    let above = Root::open(&made("olmo-core")).unwrap();
    let below = Checkpoint::of_file(&Arc::new(above), &"model_and_optim/.metadata".parse().unwrap()).unwrap();
    assert_eq!(by_name.digests().unwrap(), below.digests().unwrap());
    assert_eq!(by_name.files(), [METADATA, "__0_0.distcp"]);
    let rows = Checkpoint::open(&made("rows/dcp")).unwrap();
    let held = &rows.tensors()["model.embed.weight"];
    assert!(held.is_in(&"__0_0.distcp".parse().unwrap()) && held.is_in(&"__1_0.distcp".parse().unwrap()));
    let step = &rows.tensors()["optim.step"];
    assert_ne!(step.is_in(&"__0_0.distcp".parse().unwrap()), step.is_in(&"__1_0.distcp".parse().unwrap()));
}

#[test]
fn a_changed_number_changes_one_tensor() {
    let directory = copy();
    let good = Checkpoint::open(directory.path()).unwrap().digests().unwrap();
    let chunk = &metadata(directory.path()).tensors["model.embed.weight"].chunks[1];
    let path = directory.path().join("__1_0.distcp");
    let Found::Tensors(location) = locate(&RegularFile::open(&path).unwrap(), chunk) else { panic!() };
    let mut bytes = fs::read(&path).unwrap();
    bytes[location.begin as usize] ^= 1;
    fs::write(&path, bytes).unwrap();
    let found = Checkpoint::open(directory.path()).unwrap().digests().unwrap();
    let differing: Vec<_> = good.digests.keys().filter(|name| good.digests[*name] != found.digests[*name]).collect();
    assert_eq!(differing, ["model.embed.weight"]);
}

/// A pickle of `.metadata`, with protocol 2.
mod pickle {
    use super::*;

    pub(super) fn text(text: &str) -> Vec<u8> {
        [b"X".as_slice(), (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat()
    }

    fn number(number: u64) -> Vec<u8> {
        [&[0x8a, 8], number.to_le_bytes().as_slice()].concat()
    }

    fn dict(entries: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<u8> {
        let entries = entries.into_iter().map(|(key, value)| [key, value].concat()).collect::<Vec<_>>().concat();
        [b"}(".to_vec(), entries, b"u".to_vec()].concat()
    }

    fn global(name: &str) -> Vec<u8> {
        let (module, name) = name.rsplit_once('.').unwrap();
        format!("c{module}\n{name}\n").into_bytes()
    }

    fn object(class: &str, state: Vec<u8>) -> Vec<u8> {
        [global(class), b")\x81".to_vec(), state, b"b".to_vec()].concat()
    }

    fn size(sizes: &[usize]) -> Vec<u8> {
        let sizes: Vec<u8> = sizes.iter().flat_map(|size| number(*size as u64)).collect();
        [global("torch.Size"), b"((".to_vec(), sizes, b"ttR".to_vec()].concat()
    }

    fn attributes<const N: usize>(all: [(&str, Vec<u8>); N]) -> Vec<u8> {
        dict(all.into_iter().map(|(name, value)| (text(name), value)).collect())
    }

    fn dtype(dtype: Dtype) -> &'static str {
        match dtype {
            Dtype::F32 => "torch.float32",
            Dtype::BF16 => "torch.bfloat16",
            Dtype::F16 => "torch.float16",
            Dtype::I64 => "torch.int64",
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn of(metadata: &Metadata) -> Vec<u8> {
        let of = |class: &str| format!("torch.distributed.checkpoint.metadata.{class}");
        let chunk = |chunk: &Chunk| {
            let state = attributes([("offsets", size(&chunk.offsets)), ("sizes", size(&chunk.sizes))]);
            object(&of("ChunkStorageMetadata"), state)
        };
        let (mut described, mut stored) = (Vec::new(), BTreeMap::new());
        for (name, tensor) in &metadata.tensors {
            let chunks = [b"](".to_vec(), tensor.chunks.iter().flat_map(chunk).collect(), b"e".to_vec()].concat();
            let properties = [b"(".to_vec(), global(dtype(tensor.dtype)), b"t".to_vec()].concat();
            let state = attributes([
                ("properties", object(&of("TensorProperties"), properties)),
                ("size", size(&tensor.shape)),
                ("chunks", chunks),
            ]);
            described.push((text(name), object(&of("TensorStorageMetadata"), state)));
            for chunk in &tensor.chunks {
                let index = attributes([("fqn", text(name)), ("offset", size(&chunk.offsets))]);
                let place = attributes([
                    ("relative_path", text(&metadata.files[chunk.file].path)),
                    ("offset", number(chunk.begin)),
                    ("length", number(chunk.length)),
                ]);
                let key = object(&of("MetadataIndex"), index);
                stored.insert(key, object("torch.distributed.checkpoint.filesystem._StorageInfo", place));
            }
        }
        for name in &metadata.not_tensors {
            described.push((text(name), object(&of("BytesStorageMetadata"), b"}".to_vec())));
        }
        let state = attributes([
            ("state_dict_metadata", dict(described)),
            ("storage_data", dict(stored.into_iter().collect())),
        ]);
        [b"\x80\x02".to_vec(), object(&of("Metadata"), state), b".".to_vec()].concat()
    }
}

/// The error for the directory, the same from reading it and from [`contradictions`].
fn said(directory: &Path) -> String {
    let read = Checkpoint::open(directory).err().map_or_else(String::new, |error| error.to_string());
    let asked = contradictions(&Root::open(directory).unwrap(), None).unwrap();
    assert_eq!(asked.iter().map(ToString::to_string).collect::<Vec<_>>(), [read.as_str()]);
    read
}

fn embed(metadata: &mut Metadata) -> &mut Vec<Chunk> {
    &mut metadata.tensors.get_mut("model.embed.weight").unwrap().chunks
}

/// A way in which `.metadata` can be wrong, and the expected error.
type Wrong = (fn(&mut Metadata), &'static str);

/// The tensor `model.embed.weight` has 7 rows of 6: 4 in the first file and 3 in the second.
const WRONG: &[Wrong] = &[
    (
        |m| drop(embed(m).pop()),
        ".metadata: tensor \"model.embed.weight\" has 42 numbers, and its parts have 24 of them",
    ),
    (|m| embed(m).clear(), "has 42 numbers, and its parts have 0 of them"),
    (|m| embed(m)[1].offsets[0] = 3, "has parts that overlap, at [0, 0] and [3, 0]"),
    (
        |m| embed(m)[1].offsets[0] = 5,
        "has the shape [7, 6], and its part at [5, 0] of the shape [3, 6] is not inside it",
    ),
    (|m| embed(m)[1].offsets = vec![4], "and its part at [4] of the shape [3, 6] is not inside it"),
    (|m| embed(m)[1].offsets[0] = usize::MAX / 2, "is not inside it"),
    (
        |m| embed(m)[1].sizes[0] = 2,
        "the part of tensor \"model.embed.weight\" at [4, 0] has the shape [2, 6], and in \"__1_0.distcp\" it has [3, 6]",
    ),
    (
        |m| m.tensors.get_mut("model.embed.weight").unwrap().dtype = Dtype::BF16,
        "tensor \"model.embed.weight\" is BF16, and its part at [0, 0] is F32",
    ),
    (|m| m.tensors.get_mut("model.embed.weight").unwrap().shape[0] = 8, "has 48 numbers, and its parts have 42"),
    (|m| m.tensors.get_mut("model.embed.weight").unwrap().shape[0] = usize::MAX / 2, "too large for any file"),
    (|m| m.tensors.get_mut("optim.empty").unwrap().shape = vec![2, 2], "has 4 numbers, and its parts have 0"),
    (|m| embed(m)[1].begin = 1 << 40, "from byte 1099511627776 of \"__1_0.distcp\", which has only "),
    (|m| embed(m)[1].length = u64::MAX / 2, "which has only "),
    (
        |m| embed(m)[1].begin += 1,
        "where .metadata says that tensor \"model.embed.weight\" begins, there is no complete tensor of torch.save",
    ),
    (|m| embed(m)[1].length -= 30, "there is no complete tensor of torch.save"),
    (|m| m.files[1].path = "__2_0.distcp".to_owned(), " is in \"__2_0.distcp\", which is not there"),
    (
        |m| m.files[1].path = "../__1_0.distcp".to_owned(),
        " is in \"../__1_0.distcp\", which is no path in its directory",
    ),
    (|m| m.files[1].path = "/etc/passwd".to_owned(), "which is no path in its directory"),
];

#[test]
fn a_metadata_that_lies_is_refused() {
    let directory = copy();
    let path = directory.path().join(METADATA);
    let good = metadata(directory.path());
    let digests = Checkpoint::open(directory.path()).unwrap().digests().unwrap();
    fs::write(&path, pickle::of(&good)).unwrap();
    // What the test writes is read as what it was given.
    assert_eq!(metadata(directory.path()), good);
    // Processes that have the same chunk list it each.
    let mut twice = good.clone();
    let again = embed(&mut twice)[0].clone();
    embed(&mut twice).push(again);
    fs::write(&path, pickle::of(&twice)).unwrap();
    assert_eq!(Checkpoint::open(directory.path()).unwrap().digests().unwrap(), digests);
    for (change, expected) in WRONG {
        let mut wrong = good.clone();
        change(&mut wrong);
        fs::write(&path, pickle::of(&wrong)).unwrap();
        let said = said(directory.path());
        assert!(said.contains(expected), "{said:?} does not say {expected:?}");
    }
}

#[test]
fn damaged_files_are_told() {
    let directory = copy();
    let path = directory.path().join(METADATA);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(said(directory.path()).contains(".metadata: it is cut off, or not the metadata"));
    fs::write(&path, &whole).unwrap();
    let last = directory.path().join("__1_0.distcp");
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() - 1]).unwrap();
    assert!(said(directory.path()).contains("which has only "));
    fs::write(&last, &bytes).unwrap();
    // A file of an earlier checkpoint of more processes; one without any chunk is empty.
    let root = Root::open(directory.path()).unwrap();
    fs::write(directory.path().join("__3_0.distcp"), b"").unwrap();
    assert_eq!(contradictions(&root, None).unwrap(), []);
    fs::write(directory.path().join("__2_0.distcp"), b"more").unwrap();
    let found = contradictions(&root, None).unwrap();
    assert!(found[0].to_string().contains("__2_0.distcp: it is not empty, and .metadata does not name it"));
    // Another program's file of this name.
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join(METADATA), b"{}").unwrap();
    assert!(Checkpoint::open(other.path()).unwrap_err().to_string().contains("holds no weights"));
    assert_eq!(contradictions(&Root::open(other.path()).unwrap(), None).unwrap(), []);
}

#[test]
fn what_cannot_be_read_is_named() {
    let directory = copy();
    let path = directory.path().join(METADATA);
    let good = pickle::of(&metadata(directory.path()));
    let replaced = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|bytes| bytes == from).unwrap();
        [&good[..at], to, &good[at + from.len()..]].concat()
    };
    let place = b"ctorch.distributed.checkpoint.filesystem\n_StorageInfo\n";
    let relative = pickle::text("relative_path");
    let transformed =
        [pickle::text("transform_descriptors"), b"]".to_vec(), pickle::text("stream.zstd/1"), b"a".to_vec()];
    for (bytes, expected) in [
        (replaced(place, b"clab.checkpoint\nOdd\n"), "is of the class lab.checkpoint.Odd, which is not read here"),
        (
            replaced(b"ctorch\nfloat32\n", b"ctorch\nfloat4_e2m1fn_x2\n"),
            "is of torch.float4_e2m1fn_x2, which is not read here",
        ),
        (
            replaced(&relative, &[transformed.concat(), relative.clone()].concat()),
            "is stored through stream.zstd/1, which is not undone here",
        ),
        (replaced(&relative, &pickle::text("absolute_path")), "has no relative_path"),
    ] {
        fs::write(&path, bytes).unwrap();
        let said = Checkpoint::open(directory.path()).unwrap_err().to_string();
        assert!(said.contains(expected), "{said:?} does not say {expected:?}");
        // Not a contradiction: another reader may be able to read it.
        assert_eq!(contradictions(&Root::open(directory.path()).unwrap(), None).unwrap(), []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.min(64), ..Default::default() })]

    /// Whichever bytes are changed or cut off, there is a result.
    #[test]
    fn any_bytes_are_survived(file in 0usize..3, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), cut in prop::option::of(any::<prop::sample::Index>()), ours in any::<bool>()) {
        let directory = copy();
        if ours {
            let bytes = pickle::of(&metadata(directory.path()));
            fs::write(directory.path().join(METADATA), bytes).unwrap();
        }
        let path = directory.path().join(OF_ROWS[file]);
        let mut bytes = fs::read(&path).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&path, bytes).unwrap();
        if let Ok(checkpoint) = Checkpoint::open(directory.path()) {
            let _ = checkpoint.digests();
        }
        let _ = contradictions(&Root::open(directory.path()).unwrap(), None);
    }
}

//! nanotron's checkpoints: a tensor is put together from the ranges that the metadata of its files name.

#![allow(clippy::unwrap_used, reason = "a test may take a thing for granted")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use retrace_checkpoint::{Checkpoint, contradictions};
use retrace_files::Root;
use retrace_files::safetensors::{self, Dtype, Tensor};
use serde_json::json;

/// A file with the tensor `data` of bytes, and this metadata.
fn file(root: &Path, path: &str, shape: &[usize], bytes: &[u8], metadata: Option<(&str, &str)>) {
    let path = root.join("model").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut header = json!({"data": {"dtype": "U8", "shape": shape, "data_offsets": [0, bytes.len()]}});
    if let Some((pairs, whole)) = metadata {
        header["__metadata__"] =
            json!({"version": "1.5", "local_global_slices_pairs": pairs, "unsharded_shape": whole});
    }
    let header = header.to_string();
    fs::write(path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), bytes].concat()).unwrap();
}

/// Two processes of tensor parallelism: a matrix by rows, one by columns, queries and values in one matrix, whose rows
/// are of both, and a norm that is whole. The texts are those of `SlicesPair.tuple_to_str`.
fn good(root: &Path) {
    fs::write(root.join("checkpoint_metadata.json"), "{}").unwrap();
    let name = |name: &str, rank: usize| format!("{name}/model_weight_pp-rank-0-of-1_tp-rank-{rank}-of-2.safetensors");
    let all = "None,None,None";
    for rank in 0..2 {
        let rows: Vec<u8> = (6 * rank as u8..6 * rank as u8 + 6).collect();
        let of_rows = format!("0,3,None|{all}#{},{},None|{all}", 3 * rank, 3 * rank + 3);
        file(root, &name("h/0/up", rank), &[3, 2], &rows, Some((&of_rows, "(6, 2)")));
        let columns: Vec<u8> =
            (0..3).flat_map(|row| [4 * row + 2 * rank as u8, 4 * row + 2 * rank as u8 + 1]).collect();
        let of_columns = format!("{all}|0,2,None#{all}|{},{},None", 2 * rank, 2 * rank + 2);
        file(root, &name("h/0/down", rank), &[3, 2], &columns, Some((&of_columns, "(3, np.int64(4))")));
        // Of the whole, rows 0 and 1 are queries and 2 and 3 values; each process has one of either.
        let both = [rank as u8, rank as u8, 2 + rank as u8, 2 + rank as u8];
        let pairs = format!(
            "0,1,None|{all}#{rank},{},None|{all};1,2,None|{all}#{},{},None|{all}",
            rank + 1,
            rank + 2,
            rank + 3
        );
        file(root, &name("h/0/qv", rank), &[2, 2], &both, Some((&pairs, "(4, 2)")));
    }
    file(root, "h/norm/model_weight.safetensors", &[2], &[7, 8], None);
}

fn expected() -> BTreeMap<String, Tensor> {
    let tensor = |shape: &[usize], bytes: Vec<u8>| Tensor { dtype: Dtype::U8, shape: shape.to_vec(), bytes };
    [
        ("h.0.up.weight", tensor(&[6, 2], (0..12).collect())),
        ("h.0.down.weight", tensor(&[3, 4], (0..12).collect())),
        ("h.0.qv.weight", tensor(&[4, 2], vec![0, 0, 1, 1, 2, 2, 3, 3])),
        ("h.norm.weight", tensor(&[2], vec![7, 8])),
    ]
    .map(|(name, tensor)| (name.to_owned(), tensor))
    .into()
}

#[test]
fn parts_are_put_together() {
    let directory = tempfile::tempdir().unwrap();
    good(directory.path());
    let checkpoint = Checkpoint::open(directory.path()).unwrap();
    assert_eq!(checkpoint.read_all().unwrap(), expected());
    assert_eq!(checkpoint.files().len(), 8);
    let twin = directory.path().join("twin.safetensors");
    safetensors::write(&twin, &expected()).unwrap();
    assert_eq!(checkpoint.digests().unwrap(), Checkpoint::open(&twin).unwrap().digests().unwrap());
    assert_eq!(contradictions(&Root::open(directory.path()).unwrap(), None).unwrap(), []);
}

/// A way to damage it, and the expected error.
type Wrong = (fn(&Path), &'static str);

const WRONG: &[Wrong] = &[
    (
        |root| {
            fs::remove_file(root.join("model/h/0/up/model_weight_pp-rank-0-of-1_tp-rank-1-of-2.safetensors")).unwrap()
        },
        "tensor \"h.0.up.weight\" has 12 numbers, and its parts have 6 of them",
    ),
    (
        |root| {
            let of =
                |rank| root.join(format!("model/h/0/up/model_weight_pp-rank-0-of-1_tp-rank-{rank}-of-2.safetensors"));
            fs::copy(of(0), of(1)).unwrap();
        },
        "tensor \"h.0.up.weight\" has parts that overlap, at [0, 0] and [0, 0]",
    ),
    (
        |root| {
            let pairs = "0,3,None|None,None,None#5,8,None|None,None,None";
            let path = "h/0/up/model_weight_pp-rank-0-of-1_tp-rank-1-of-2.safetensors";
            file(root, path, &[3, 2], &[0; 6], Some((pairs, "(6, 2)")));
        },
        "is no pair of ranges",
    ),
    (
        |root| {
            let path = "h/0/up/model_weight_pp-rank-0-of-1_tp-rank-1-of-2.safetensors";
            file(root, path, &[3, 2], &[0; 6], Some(("0,3,None#3,6,None", "(6, 3)")));
        },
        "is no pair of ranges",
    ),
    (
        |root| {
            let path = "h/0/up/model_weight_pp-rank-0-of-1_tp-rank-1-of-2.safetensors";
            file(root, path, &[3, 2], &[0; 6], Some(("0,3,None#3,6,None", "(7, 2)")));
        },
        "it has a part of another tensor than",
    ),
    (
        |root| fs::write(root.join("model/h/norm/model_weight.safetensors"), b"short").unwrap(),
        "byte 0: the file has only 5",
    ),
];

#[test]
fn contradictions_are_told() {
    for (damage, expected) in WRONG {
        let directory = tempfile::tempdir().unwrap();
        good(directory.path());
        damage(directory.path());
        let said = Checkpoint::open(directory.path()).unwrap_err().to_string();
        assert!(said.contains(expected), "{said:?} does not say {expected:?}");
        let asked = contradictions(&Root::open(directory.path()).unwrap(), None).unwrap();
        assert_eq!(asked.iter().map(ToString::to_string).collect::<Vec<_>>(), [said]);
    }
}

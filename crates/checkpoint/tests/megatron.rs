//! Megatron-LM's older checkpoints: the tensors of each process, after the name of its directory.

#![allow(clippy::unwrap_used, reason = "a test may take a thing for granted")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use retrace_checkpoint::Checkpoint;

#[test]
fn the_tensors_of_each_process_have_its_name() {
    // Any file of PyTorch with nested dictionaries.
    let torch = Path::new(env!("CARGO_MANIFEST_DIR")).join("../files/tests/llama2c/ckpt.pt");
    let directory = tempfile::tempdir().unwrap();
    for rank in ["mp_rank_00", "mp_rank_01"] {
        fs::create_dir(directory.path().join(rank)).unwrap();
        fs::copy(&torch, directory.path().join(rank).join("model_optim_rng.pt")).unwrap();
    }
    let opened = Checkpoint::open(directory.path()).unwrap();
    assert_eq!(opened.files(), ["mp_rank_00/model_optim_rng.pt", "mp_rank_01/model_optim_rng.pt"]);
    let alone = Checkpoint::open(&torch).unwrap().digests().unwrap().digests;
    let expected: BTreeMap<String, _> = ["mp_rank_00", "mp_rank_01"]
        .iter()
        .flat_map(|rank| alone.iter().map(move |(name, digest)| (format!("{rank}.{name}"), *digest)))
        .collect();
    assert_eq!(opened.digests().unwrap().digests, expected);
    // A process without its file, and one that is not there.
    fs::create_dir(directory.path().join("mp_rank_02")).unwrap();
    let error = Checkpoint::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("mp_rank_02") && error.contains("it has no model_optim_rng.pt"), "{error}");
    fs::remove_dir(directory.path().join("mp_rank_02")).unwrap();
    fs::remove_dir_all(directory.path().join("mp_rank_00")).unwrap();
    let error = Checkpoint::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("there is no mp_rank_00"), "{error}");
}

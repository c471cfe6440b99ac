//! Megatron-LM's checkpoints in its older form (`torch`): a directory for each model-parallel process.
//!
//! Source: Megatron-LM, `get_checkpoint_name` in `training/checkpointing.py`. `mp_rank_01/model_optim_rng.pt` is of the
//! tensor-parallel rank 1, `mp_rank_01_002/model_optim_rng.pt` of that and the pipeline-parallel rank 2. How parts of a
//! tensor belong together is not in the files, and depends on the version and the model: so they are not put together.
//! The tensors of a process are called as in its file, after the name of its directory: `mp_rank_01.model.…`.

use std::collections::BTreeMap;
use std::sync::Arc;

use retrace_files::Root;
use retrace_files::safetensors::MOST_TENSORS;

use crate::checkpoint::{Directory, places};
use crate::tensor::HeldFile;
use crate::{CheckpointError, StoredTensor};

/// The files of a process that have tensors.
const FILES: [&str; 2] = ["model_optim_rng.pt", "model_rng.pt"];

/// The directories of processes among the names in a directory.
pub(crate) fn ranks(names: &[String]) -> Vec<&String> {
    let is_rank = |name: &&String| {
        name.strip_prefix("mp_rank_").is_some_and(|ranks| {
            ranks.split('_').all(|rank| !rank.is_empty() && rank.bytes().all(|byte| byte.is_ascii_digit()))
        })
    };
    names.iter().filter(is_rank).collect()
}

/// The tensors of all processes in this directory, and the paths of their files.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn open(
    directory: &Directory<'_>,
    root: &Arc<Root>,
) -> Result<(BTreeMap<String, StoredTensor>, Vec<String>), CheckpointError> {
    let (mut tensors, mut files) = (BTreeMap::new(), Vec::new());
    for rank in ranks(&directory.names) {
        for name in FILES {
            let path = format!("{rank}/{name}");
            let inside = directory.inside(&path)?;
            if !directory.root.has(&inside) {
                continue;
            }
            let file = directory.root.file(&inside)?;
            let held = HeldFile::inside(root, inside, file.size());
            for (tensor, place) in places(&file, name)? {
                tensors.insert(format!("{rank}.{tensor}"), StoredTensor::whole(&held, place));
            }
            if tensors.len() > MOST_TENSORS {
                let what = format!("with those before it there are more than {MOST_TENSORS} tensors");
                return Err(directory.contradiction(&path, what).into());
            }
            files.push(path);
        }
    }
    Ok((tensors, files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_processes() {
        let names: Vec<String> =
            ["mp_rank_00", "mp_rank_01_002", "mp_rank_0x", "mp_rank_", "rank_00"].map(str::to_owned).to_vec();
        assert_eq!(ranks(&names), ["mp_rank_00", "mp_rank_01_002"]);
    }
}

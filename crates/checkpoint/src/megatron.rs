//! Megatron-LM's checkpoints in its older form (`torch`): a directory for each model-parallel process.
//!
//! Source: Megatron-LM, `get_checkpoint_name` in `training/checkpointing.py`. `mp_rank_01/model_optim_rng.pt` is of the
//! tensor-parallel rank 1, `mp_rank_01_002/model_optim_rng.pt` of that and the pipeline-parallel rank 2. How parts of a
//! tensor belong together is not in the files, and depends on the version and the model: so they are not put together.
//! The tensors of a process are called as in its file, after the name of its directory: `mp_rank_01.model.…`.

use std::collections::{BTreeMap, BTreeSet};
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

/// A process whose directory must be there by the names of the others: ranks are counted from 0, and there is a process
/// for each combination of them. What is missing at the end of a count does not show. `None` also if the names have
/// different numbers of ranks.
fn missing(names: &[&String]) -> Option<String> {
    let ranks = |name: &String| -> Option<Vec<u64>> {
        name.strip_prefix("mp_rank_")?.split('_').map(|rank| rank.parse().ok()).collect()
    };
    let there: Option<BTreeSet<Vec<u64>>> = names.iter().map(|name| ranks(name)).collect();
    let (there, first) = (there?, ranks(names.first()?)?);
    if there.iter().any(|ranks| ranks.len() != first.len()) {
        return None;
    }
    // In the order of combinations, the first that is not there; there are at most as many before it as directories.
    let most = |at: usize| there.iter().filter_map(|ranks| ranks.get(at)).max().copied().unwrap_or(0);
    let most: Vec<u64> = (0..first.len()).map(most).collect();
    let mut wanted = vec![0; first.len()];
    while there.contains(&wanted) {
        let at = (0..wanted.len()).rev().find(|at| wanted.get(*at) < most.get(*at))?;
        for (index, rank) in wanted.iter_mut().enumerate() {
            *rank = if index == at {
                *rank + 1
            } else if index > at {
                0
            } else {
                *rank
            };
        }
    }
    let written = |(at, rank): (usize, &u64)| if at == 0 { format!("{rank:02}") } else { format!("{rank:03}") };
    Some(format!("mp_rank_{}", wanted.iter().enumerate().map(written).collect::<Vec<_>>().join("_")))
}

/// The tensors of all processes in this directory, and the paths of their files.
///
/// # Errors
/// If a file cannot be read, or a process is missing.
pub(crate) fn open(
    directory: &Directory<'_>,
    root: &Arc<Root>,
) -> Result<(BTreeMap<String, StoredTensor>, Vec<String>), CheckpointError> {
    let (mut tensors, mut files) = (BTreeMap::new(), Vec::new());
    let ranks = ranks(&directory.names);
    if let (Some(missing), Some(there)) = (missing(&ranks), ranks.first()) {
        let what = format!("there is no {missing}, which is a process by the names of the others");
        return Err(directory.contradiction(there, what).into());
    }
    for rank in ranks {
        let before = files.len();
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
        if files.len() == before {
            let what = format!("it has no {}, as every process has", FILES.join(" or "));
            return Err(directory.contradiction(rank, what).into());
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

    #[test]
    fn processes_that_are_missing() {
        for (there, expected) in [
            (&["00"][..], None),
            (&["00", "01", "02"], None),
            (&["01"], Some("mp_rank_00")),
            (&["00", "02"], Some("mp_rank_01")),
            (&["00_000", "00_001", "01_000", "01_001"], None),
            (&["00_000", "00_001", "01_001"], Some("mp_rank_01_000")),
            (&["00_000", "01_001"], Some("mp_rank_00_001")),
            (&["00_000_000", "00_000_001"], None),
            (&["00", "01_000"], None),
            (&["00", "18446744073709551615"], Some("mp_rank_01")),
            (&["00", "99999999999999999999"], None),
            (&[], None),
        ] {
            let names: Vec<String> = there.iter().map(|ranks| format!("mp_rank_{ranks}")).collect();
            assert_eq!(missing(&names.iter().collect::<Vec<_>>()).as_deref(), expected, "{there:?}");
        }
    }
}

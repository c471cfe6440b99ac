//! Statistics of every tensor of some checkpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rayon::prelude::*;
use retrace_checkpoint::{Checkpoint, CheckpointError, OpenTensor, StoredTensor};
use retrace_files::safetensors::{Dtype, tensor_hasher};
use retrace_files::{FileError, Progress, Unit};
use retrace_spec::Digest;
use serde::Serialize;
use thiserror::Error;

use crate::distance::{has_numbers, is_complex};
use crate::{Moments, Pair, largest_singular_value, numbers, numbers_into};

/// Numbers per block: few enough to stay in a processor's cache.
const BLOCK: u64 = 1 << 14;

/// Why there are no statistics.
#[derive(Debug, Error)]
pub enum StatsError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A tensor has a type whose numbers are not known.
    #[error("{}: tensor {tensor} is of {dtype:?}, and how its numbers share bytes is not defined", .path.display())]
    Numbers {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: Dtype,
    },
}

/// Statistics of a tensor of a checkpoint. Numbers that are not finite are counted and left out of the other
/// statistics; integers beyond 2⁵³ are rounded. The numbers of a complex tensor are the real and the imaginary parts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorStats {
    /// The index of the checkpoint, from 0.
    #[serde(skip)]
    pub checkpoint: usize,
    /// The tensor's name.
    pub tensor: String,
    /// Its dtype.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The number of elements.
    pub elements: u64,
    /// How many of them are NaN or infinite.
    pub non_finite: u64,
    /// The square root of the sum of squares.
    pub norm: f64,
    /// The mean.
    pub mean: Option<f64>,
    /// The standard deviation, of the population.
    pub std: Option<f64>,
    /// The minimum.
    pub min: Option<f64>,
    /// The maximum.
    pub max: Option<f64>,
    /// The fourth central moment divided by the squared variance.
    pub kurtosis: Option<f64>,
    /// For a matrix, if requested: its squared norm divided by its squared largest singular value.
    pub stable_rank: Option<f64>,
    /// The norm of the difference from the checkpoint before, of the same run.
    pub distance_to_previous: Option<f64>,
    /// The cosine with the checkpoint before.
    pub cosine_to_previous: Option<f64>,
    /// The norm of the difference from the first checkpoint of the run.
    pub distance_to_first: Option<f64>,
    /// The cosine with the first checkpoint.
    pub cosine_to_first: Option<f64>,
    /// The digest of its type, shape and bytes, as in a manifest.
    pub digest: Digest,
}

impl TensorStats {
    /// Whether it should have elements and has none, as in a model that was split over many processes and saved without
    /// being gathered first. `_extra_state` of Transformer Engine is empty if there is no such state.
    pub fn lacks_elements(&self) -> bool {
        self.elements == 0 && !self.tensor.ends_with("_extra_state")
    }
}

/// The statistics of every tensor of `checkpoints`, each a directory with weights or one file of them, in their order
/// and then by name. Each is read once; with `stable_rank`, matrices are read once more. `runs` has the run of each
/// checkpoint, as any number: the previous and the first checkpoint are those of the same run. Without, all are of one.
///
/// # Errors
/// If a file cannot be read, or contains no weights.
pub fn stats(
    checkpoints: &[PathBuf],
    runs: &[usize],
    stable_rank: bool,
    progress: &dyn Progress,
) -> Result<Vec<TensorStats>, StatsError> {
    let opened: Vec<Checkpoint> = checkpoints.iter().map(|path| Checkpoint::open(path)).collect::<Result<_, _>>()?;
    let held: Vec<&BTreeMap<String, StoredTensor>> = opened.iter().map(Checkpoint::tensors).collect();
    for (path, tensors) in checkpoints.iter().zip(&held) {
        if let Some((tensor, stored)) = tensors.iter().find(|(_, stored)| !has_numbers(stored.dtype)) {
            let (path, tensor) = (path.clone(), tensor.clone());
            return Err(StatsError::Numbers { path, tensor, dtype: stored.dtype });
        }
    }
    let names: BTreeSet<&String> = held.iter().flat_map(|tensors| tensors.keys()).collect();
    let bytes = held.iter().flat_map(|tensors| tensors.values()).map(StoredTensor::length).sum();
    progress.begin("looking at the weights", bytes, Unit::Bytes);
    let of = |name: &&String| -> Result<Vec<TensorStats>, StatsError> {
        let mut of_run: BTreeMap<Option<usize>, Vec<Reading<'_>>> = BTreeMap::new();
        for (at, tensors) in held.iter().enumerate() {
            if let Some((name, stored)) = tensors.get_key_value(*name) {
                of_run.entry(runs.get(at).copied()).or_default().push(Reading::begin(at, name, stored)?);
            }
        }
        let mut found = Vec::new();
        for tensors in of_run.into_values() {
            found.extend(of_tensor(tensors, stable_rank)?);
        }
        progress.advance(held.iter().filter_map(|tensors| tensors.get(*name)).map(StoredTensor::length).sum());
        Ok(found)
    };
    // The largest are started first, so that no thread has a large one left at the end.
    let mut order: Vec<&String> = names.into_iter().collect();
    order.sort_by_key(|name| {
        std::cmp::Reverse(held.iter().filter_map(|tensors| tensors.get(*name)).map(StoredTensor::length).max())
    });
    let mut all = order.par_iter().with_max_len(1).map(of).try_reduce(Vec::new, |mut a, b| {
        a.extend(b);
        Ok(a)
    })?;
    all.sort_by(|a, b| (a.checkpoint, &a.tensor).cmp(&(b.checkpoint, &b.tensor)));
    progress.end();
    Ok(all)
}

/// A tensor of one checkpoint that is being read.
struct Reading<'a> {
    checkpoint: usize,
    name: &'a str,
    stored: &'a StoredTensor,
    open: OpenTensor,
    /// Bytes of the tensor that were read so far.
    read: u64,
    hasher: blake3::Hasher,
    moments: Option<Moments>,
    previous: Option<Pair>,
    first: Option<Pair>,
}

impl<'a> Reading<'a> {
    fn begin(checkpoint: usize, name: &'a str, stored: &'a StoredTensor) -> Result<Self, FileError> {
        let open = stored.open()?;
        let hasher = tensor_hasher(stored.dtype, &stored.shape);
        Ok(Self { checkpoint, name, stored, open, read: 0, hasher, moments: None, previous: None, first: None })
    }

    /// Reads the next numbers; none at the end.
    fn next(&mut self, from: u64, bytes: &mut Vec<u8>, values: &mut Vec<f64>) -> Result<(), FileError> {
        // A block has a multiple of eight numbers.
        let bytes_of = |numbers: u64| numbers * self.stored.dtype.bits() / 8;
        let length = self.stored.length().saturating_sub(bytes_of(from)).min(bytes_of(BLOCK));
        bytes.resize(length as usize, 0);
        self.open.read_at(bytes, self.read)?;
        self.read += length;
        self.hasher.update(bytes);
        numbers_into(self.stored.dtype, bytes, values);
        if let Some(first) = values.first() {
            self.moments.get_or_insert_with(|| Moments::about(*first)).add(values);
        }
        Ok(())
    }

    fn finish(self, stable_rank: bool) -> Result<TensorStats, FileError> {
        let StoredTensor { dtype, shape, .. } = self.stored;
        let moments = self.moments.unwrap_or_else(|| Moments::about(0.0));
        let stable_rank = match shape[..] {
            [rows, columns]
                if stable_rank && !is_complex(*dtype) && moments.non_finite() == 0 && moments.norm() > 0.0 =>
            {
                let bytes = self.stored.read()?.bytes;
                let values: Vec<f32> = numbers(*dtype, &bytes).into_iter().map(|value| value as f32).collect();
                let largest = largest_singular_value(&values, rows, columns);
                Some((moments.norm() / largest).powi(2))
            }
            _ => None,
        };
        Ok(TensorStats {
            checkpoint: self.checkpoint,
            tensor: self.name.to_owned(),
            dtype: *dtype,
            shape: shape.clone(),
            elements: self.stored.elements(),
            non_finite: moments.non_finite(),
            norm: moments.norm(),
            mean: moments.mean(),
            std: moments.variance().map(f64::sqrt),
            min: moments.min(),
            max: moments.max(),
            kurtosis: moments.kurtosis(),
            stable_rank,
            distance_to_previous: self.previous.and_then(|pair| pair.distance()),
            cosine_to_previous: self.previous.and_then(|pair| pair.cosine()),
            distance_to_first: self.first.and_then(|pair| pair.distance()),
            cosine_to_first: self.first.and_then(|pair| pair.cosine()),
            digest: self.hasher.finalize().into(),
        })
    }
}

/// The statistics of one tensor in every checkpoint of a run that has it, which are read in parallel.
fn of_tensor(mut tensors: Vec<Reading<'_>>, stable_rank: bool) -> Result<Vec<TensorStats>, StatsError> {
    let most = tensors.iter().map(|reading| reading.stored.elements()).max().unwrap_or_default();
    let (mut bytes, mut values) = (Vec::new(), Vec::new());
    let (mut first, mut previous) = (Vec::new(), Vec::new());
    let forms: Vec<(&[usize], bool)> =
        tensors.iter().map(|reading| (reading.stored.shape.as_slice(), is_complex(reading.stored.dtype))).collect();
    for from in (0..most).step_by(BLOCK as usize) {
        for (at, reading) in tensors.iter_mut().enumerate() {
            reading.next(from, &mut bytes, &mut values)?;
            let alike = |other: usize| forms[other] == forms[at];
            if at > 0 && alike(at - 1) {
                reading.previous.get_or_insert_default().add(if at == 1 { &first } else { &previous }, &values);
            }
            if at > 0 && alike(0) {
                reading.first.get_or_insert_default().add(&first, &values);
            }
            // Memory that is no longer needed is reused for the next read.
            std::mem::swap(if at == 0 { &mut first } else { &mut previous }, &mut values);
        }
    }
    tensors.into_iter().map(|reading| Ok(reading.finish(stable_rank)?)).collect()
}

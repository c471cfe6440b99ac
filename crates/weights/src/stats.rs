//! Statistics of every tensor of some checkpoints.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rayon::prelude::*;
use retrace_files::safetensors::{Dtype, TensorLocation, read_tensor, tensor_hasher};
use retrace_files::{FileError, Progress, RegularFile, Unit};
use retrace_manifest::{Shard, TensorLocations, WeightsError, numbers, numbers_into, weights};
use retrace_spec::Digest;
use serde::Serialize;
use thiserror::Error;

use crate::{Moments, Pair, largest_singular_value};

/// Numbers that are looked at at once: few enough to stay in a processor's cache.
const BLOCK: u64 = 1 << 14;

/// Why there are no statistics.
#[derive(Debug, Error)]
pub enum StatsError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A checkpoint has no weights to be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// What the numbers of a tensor of a checkpoint look like. Those that are not finite are counted and
/// left out of the rest; integers beyond 2⁵³ are rounded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorStats {
    /// Which of the checkpoints, from 0.
    #[serde(skip)]
    pub checkpoint: usize,
    /// The tensor's name.
    pub tensor: String,
    /// What it is stored as.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// How many numbers it has.
    pub elements: u64,
    /// How many of them are NaN or infinite.
    pub non_finite: u64,
    /// The root of the sum of squares.
    pub norm: f64,
    /// The mean.
    pub mean: Option<f64>,
    /// The standard deviation, of the population.
    pub std: Option<f64>,
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
    /// The fourth central moment over the squared variance.
    pub kurtosis: Option<f64>,
    /// Of a matrix, where asked for: its squared norm over its squared largest singular value.
    pub stable_rank: Option<f64>,
    /// The norm of the difference from the checkpoint before.
    pub distance_to_previous: Option<f64>,
    /// The cosine with the checkpoint before.
    pub cosine_to_previous: Option<f64>,
    /// The norm of the difference from the first checkpoint.
    pub distance_to_first: Option<f64>,
    /// The cosine with the first checkpoint.
    pub cosine_to_first: Option<f64>,
    /// The digest of its type, shape and bytes, as in a manifest.
    pub digest: Digest,
}

/// The statistics of every tensor of `checkpoints`, each a directory with weights or one file of them,
/// in their order and then by name. Each is read once; with `stable_rank`, matrices once more.
///
/// # Errors
/// If something cannot be read, or holds no weights.
pub fn stats(
    checkpoints: &[PathBuf],
    stable_rank: bool,
    progress: &dyn Progress,
) -> Result<Vec<TensorStats>, StatsError> {
    let places: Vec<TensorLocations> = checkpoints.iter().map(|path| weights(path)).collect::<Result<_, _>>()?;
    let names: BTreeSet<&String> = places.iter().flat_map(TensorLocations::keys).collect();
    let bytes = places.iter().flat_map(TensorLocations::values).map(|(_, place)| place.length).sum();
    progress.begin("computing statistics", bytes, Unit::Bytes);
    let of = |name: &&String| -> Result<Vec<TensorStats>, StatsError> {
        let there =
            places.iter().enumerate().filter_map(|(at, places)| places.get_key_value(*name).map(|found| (at, found)));
        let tensors = there.map(|(at, (name, (shard, place)))| Reading::begin(at, name, shard, place));
        let found = of_tensor(tensors.collect::<Result<_, _>>()?, stable_rank)?;
        progress.advance(places.iter().filter_map(|places| places.get(*name)).map(|(_, place)| place.length).sum());
        Ok(found)
    };
    // The largest are begun first, so that no thread is left with one in the end.
    let mut order: Vec<&String> = names.into_iter().collect();
    order.sort_by_key(|name| {
        std::cmp::Reverse(places.iter().filter_map(|places| places.get(*name)).map(|(_, place)| place.length).max())
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
    place: &'a TensorLocation,
    file: RegularFile,
    /// Bytes of the tensor that were read.
    read: u64,
    hasher: blake3::Hasher,
    moments: Option<Moments>,
    previous: Option<Pair>,
    first: Option<Pair>,
}

impl<'a> Reading<'a> {
    fn begin(checkpoint: usize, name: &'a str, shard: &Shard, place: &'a TensorLocation) -> Result<Self, FileError> {
        let file = shard.open()?;
        let hasher = tensor_hasher(place.dtype, &place.shape);
        Ok(Self { checkpoint, name, place, file, read: 0, hasher, moments: None, previous: None, first: None })
    }

    /// Reads the next numbers; none at the end.
    fn next(&mut self, from: u64, bytes: &mut Vec<u8>, values: &mut Vec<f64>) -> Result<(), FileError> {
        let size = self.place.dtype.size();
        let length = self.place.length.saturating_sub(from * size).min(BLOCK * size);
        bytes.resize(length as usize, 0);
        self.file.read_at(bytes, self.place.begin + self.read)?;
        self.read += length;
        self.hasher.update(bytes);
        numbers_into(self.place.dtype, bytes, values);
        if let Some(first) = values.first() {
            self.moments.get_or_insert_with(|| Moments::about(*first)).add(values);
        }
        Ok(())
    }

    fn finish(self, stable_rank: bool) -> Result<TensorStats, FileError> {
        let TensorLocation { dtype, shape, length, .. } = self.place;
        let moments = self.moments.unwrap_or_else(|| Moments::about(0.0));
        let stable_rank = match shape[..] {
            [rows, columns] if stable_rank && moments.non_finite() == 0 && moments.norm() > 0.0 => {
                let bytes = read_tensor(&self.file, self.place)?;
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
            elements: length / dtype.size(),
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

/// The statistics of one tensor in every checkpoint that has it, all read side by side.
fn of_tensor(mut tensors: Vec<Reading<'_>>, stable_rank: bool) -> Result<Vec<TensorStats>, StatsError> {
    let elements = |reading: &Reading<'_>| reading.place.length / reading.place.dtype.size();
    let most = tensors.iter().map(elements).max().unwrap_or_default();
    let (mut bytes, mut values) = (Vec::new(), Vec::new());
    let (mut first, mut previous) = (Vec::new(), Vec::new());
    let places: Vec<&TensorLocation> = tensors.iter().map(|reading| reading.place).collect();
    for from in (0..most).step_by(BLOCK as usize) {
        for (at, reading) in tensors.iter_mut().enumerate() {
            reading.next(from, &mut bytes, &mut values)?;
            let alike = |other: usize| places[other].shape == places[at].shape;
            if at > 0 && alike(at - 1) {
                reading.previous.get_or_insert_default().add(if at == 1 { &first } else { &previous }, &values);
            }
            if at > 0 && alike(0) {
                reading.first.get_or_insert_default().add(&first, &values);
            }
            // The memory of what is not needed any more is read into next.
            std::mem::swap(if at == 0 { &mut first } else { &mut previous }, &mut values);
        }
    }
    tensors.into_iter().map(|reading| Ok(reading.finish(stable_rank)?)).collect()
}

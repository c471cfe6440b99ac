//! A model's tensors by name.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use half::{bf16, f16};
use retrace_files::safetensors::{self, Dtype};
use retrace_numerics::random::Stream;
use retrace_spec::{Seed, run::Model};

use crate::{Llama, ModelError};

/// The weights, in f32, each under its Hugging Face name.
#[derive(Debug, Clone)]
pub struct Weights(BTreeMap<String, Var>);

impl Weights {
    /// The initial weights: norms are 1; element i of matrix NAME is normal number i of the stream
    /// `initial weights/NAME`, at step 0, with deviation `initializer_range`.
    ///
    /// # Errors
    /// If candle refuses.
    pub fn initial(model: &Model, seed: Seed) -> Result<Self, ModelError> {
        let mut weights = BTreeMap::new();
        for (name, shape) in Llama::shapes(model) {
            let mut values = vec![1.0; shape.iter().product()];
            if shape.len() > 1 {
                let stream = Stream::new(seed.get(), &format!("initial weights/{name}"));
                stream.normal(0, model.initializer_range, &mut values);
            }
            weights.insert(name, Var::from_vec(values, shape, &Device::Cpu)?);
        }
        Ok(Self(weights))
    }

    /// Weights as read from a file, widened to f32.
    ///
    /// # Errors
    /// If a tensor of the model is missing or has another shape, or there is one too many.
    pub fn from_tensors(model: &Model, mut tensors: BTreeMap<String, safetensors::Tensor>) -> Result<Self, ModelError> {
        let mut values = Vec::new();
        for (name, shape) in Llama::shapes(model) {
            let floats = take_floats(&mut tensors, &name, &shape)?;
            values.push((name, shape, floats));
        }
        match tensors.pop_first() {
            Some((name, _)) => Err(ModelError::Unknown { name }),
            None => Self::from_values(values),
        }
    }

    /// Weights from names, shapes and numbers.
    ///
    /// # Errors
    /// If a shape does not fit its numbers.
    pub fn from_values(values: impl IntoIterator<Item = (String, Vec<usize>, Vec<f32>)>) -> Result<Self, ModelError> {
        let mut weights = BTreeMap::new();
        for (name, shape, values) in values {
            weights.insert(name, Var::from_vec(values, shape, &Device::Cpu)?);
        }
        Ok(Self(weights))
    }

    /// The weights as they go to a file.
    ///
    /// # Errors
    /// If candle refuses.
    pub fn to_tensors(&self) -> Result<BTreeMap<String, safetensors::Tensor>, ModelError> {
        self.0
            .iter()
            .map(|(name, var)| {
                let values: Vec<f32> = var.flatten_all()?.to_vec1()?;
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                let tensor = safetensors::Tensor { dtype: Dtype::F32, shape: var.dims().to_vec(), bytes };
                Ok((name.clone(), tensor))
            })
            .collect()
    }

    /// Every name and tensor, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.0.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The tensor called `name`.
    ///
    /// # Errors
    /// If there is none.
    pub fn get(&self, name: &str) -> Result<&Tensor, ModelError> {
        self.0.get(name).map(Var::as_tensor).ok_or_else(|| ModelError::Missing { name: name.to_owned() })
    }

    /// How many numbers there are.
    pub fn parameters(&self) -> u64 {
        self.0.values().map(|var| var.elem_count() as u64).sum()
    }
}

/// Takes the tensor called `name` out of `tensors`, as f32: f16 and bf16 fit it exactly.
///
/// # Errors
/// If it is missing, or has another shape or a dtype that is not one of these.
pub fn take_floats(
    tensors: &mut BTreeMap<String, safetensors::Tensor>,
    name: &str,
    shape: &[usize],
) -> Result<Vec<f32>, ModelError> {
    let Some(tensor) = tensors.remove(name) else { return Err(ModelError::Missing { name: name.to_owned() }) };
    let mismatch = |needed: String| ModelError::Mismatch {
        name: name.to_owned(),
        found: format!("{:?} of shape {:?}", tensor.dtype, tensor.shape),
        needed,
    };
    if tensor.shape != shape {
        return Err(mismatch(format!("of shape {shape:?}")));
    }
    let bytes = &tensor.bytes;
    match tensor.dtype {
        Dtype::F32 => Ok(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::F16 => Ok(bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()),
        Dtype::BF16 => Ok(bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect()),
        _ => Err(mismatch("F32, F16 or BF16".to_owned())),
    }
}

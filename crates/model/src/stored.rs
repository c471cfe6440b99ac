//! Weights in the type of their file, for inference: a matrix becomes f32 when it is needed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use half::f16;
use retrace_files::safetensors::{Dtype, Tensor};
use retrace_numerics::{elementwise, embedding};
use retrace_spec::Model;

use crate::weights::{Parameter, Source, accept, mismatch, take_floats};
use crate::{Layout, ModelError};

/// Weights in the type of their file.
#[derive(Debug)]
pub(crate) struct StoredWeights {
    layout: Layout,
    /// In the order of the layout.
    weights: Vec<Stored>,
}

#[derive(Debug)]
enum Stored {
    Wide(Vec<f32>),
    /// f16 or bf16.
    Half(Dtype, Vec<u8>),
}

impl StoredWeights {
    /// # Errors
    /// If a tensor of the model is missing or has another shape or dtype, or there is an unexpected tensor.
    pub(crate) fn from_tensors(model: &Model, mut tensors: BTreeMap<String, Tensor>) -> Result<Self, ModelError> {
        let layout = accept(model, &mut tensors)?;
        let mut weights = Vec::new();
        for (name, shape, _) in layout.iter() {
            let half = tensors.get(name).is_some_and(|tensor| matches!(tensor.dtype, Dtype::F16 | Dtype::BF16));
            weights.push(match tensors.remove(name) {
                // Each tensor's bytes are its own memory, so nothing is copied.
                Some(tensor) if half && shape.len() > 1 => Stored::Half(tensor.dtype, tensor.bytes),
                Some(tensor) => {
                    let mut one = BTreeMap::from([(name.to_owned(), tensor)]);
                    Stored::Wide(take_floats(&mut one, name, shape)?)
                }
                None => return Err(ModelError::Missing { name: name.to_owned() }),
            });
            if let Some(Stored::Half(dtype, bytes)) = weights.last()
                && bytes.len() != 2 * shape.iter().product::<usize>()
            {
                let tensor = Tensor { dtype: *dtype, shape: shape.to_vec(), bytes: Vec::new() };
                return Err(mismatch(name, &tensor, format!("two bytes for each number, and it has {}", bytes.len())));
            }
        }
        Ok(Self { layout, weights })
    }
}

/// The f32 numbers that f16 or bf16 numbers are.
fn widen(dtype: Dtype, bytes: &[u8], to: &mut [f32]) {
    let halves = bytes.as_chunks::<2>().0;
    match dtype {
        Dtype::F16 => to.iter_mut().zip(halves).for_each(|(to, half)| *to = f16::from_le_bytes(*half).to_f32()),
        _ => elementwise::widen(halves, to),
    }
}

impl Source for StoredWeights {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn vector(&self, parameter: Parameter) -> &[f32] {
        match &self.weights[parameter.index()] {
            Stored::Wide(values) => values,
            // Only matrices are stored in half.
            Stored::Half(..) => &[],
        }
    }

    fn matrix(&self, parameter: Parameter) -> Cow<'_, [f32]> {
        match &self.weights[parameter.index()] {
            Stored::Wide(values) => Cow::Borrowed(values),
            Stored::Half(dtype, bytes) => {
                let mut values = vec![0.0; bytes.len() / 2];
                widen(*dtype, bytes, &mut values);
                Cow::Owned(values)
            }
        }
    }

    fn rows(&self, parameter: Parameter, ids: &[u32], out: &mut [f32]) {
        let width = self.layout.shape(parameter)[1];
        match &self.weights[parameter.index()] {
            Stored::Wide(values) => embedding::forward(values, width, ids, out),
            Stored::Half(dtype, bytes) => {
                for (id, out) in ids.iter().zip(out.chunks_exact_mut(width)) {
                    widen(*dtype, &bytes[*id as usize * 2 * width..][..2 * width], out);
                }
            }
        }
    }
}

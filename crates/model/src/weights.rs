//! A model's weights by name, and their gradient.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;

use half::{bf16, f16};
use retrace_files::safetensors::{self, Dtype};
use retrace_numerics::embedding;
use retrace_numerics::random::Stream;
use retrace_spec::model::Architecture;
use retrace_spec::{Model, Seed};

use crate::{ModelError, architecture};

/// A weight of a model: its index among the sorted names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parameter(usize);

impl Parameter {
    pub(crate) const fn index(self) -> usize {
        self.0
    }
}

/// The names and shapes of a model's weights, sorted by name, and the position of each in the array of all numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    entries: Vec<(String, Vec<usize>, Range<usize>)>,
}

impl Layout {
    /// The layout of the model's weights; empty, if its architecture is not supported here.
    pub fn of(model: &Model) -> Self {
        Self::new(architecture::shapes(model).into_iter().collect())
    }

    /// The layout of weights with these shapes.
    pub fn new(shapes: BTreeMap<String, Vec<usize>>) -> Self {
        let mut at = 0;
        let place = |(name, shape): (String, Vec<usize>)| {
            let from = at;
            at += shape.iter().product::<usize>();
            (name, shape, from..at)
        };
        Self { entries: shapes.into_iter().map(place).collect() }
    }

    /// The total number of elements.
    pub fn parameters(&self) -> usize {
        self.entries.last().map_or(0, |(.., range)| range.end)
    }

    /// Every name, shape and position, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize], Range<usize>)> {
        self.entries.iter().map(|(name, shape, range)| (name.as_str(), shape.as_slice(), range.clone()))
    }

    /// The weight called `name`.
    pub(crate) fn find(&self, name: &str) -> Result<Parameter, ModelError> {
        let found = self.entries.binary_search_by(|(known, ..)| known.as_str().cmp(name));
        found.map(Parameter).map_err(|_| ModelError::Missing { name: name.to_owned() })
    }

    pub(crate) fn shape(&self, parameter: Parameter) -> &[usize] {
        &self.entries[parameter.0].1
    }

    fn range(&self, parameter: Parameter) -> Range<usize> {
        self.entries[parameter.0].2.clone()
    }
}

/// Checks whether there is memory for `copies` of the model's weights, as f32, and for the activations of `tokens`
/// tokens in every layer: this amount is allocated and freed. So a model that is too large gives an error immediately,
/// before hours of computation, and before the system ends the process.
///
/// # Errors
/// If there is not enough.
pub fn check_memory(model: &Model, copies: usize, tokens: usize) -> Result<(), ModelError> {
    let parameters = model.parameters();
    // At least the inputs and outputs of each block of a layer are kept until the gradient has been computed.
    let row = 4 * model.hidden_size as u128 + 2 * model.intermediate_size as u128;
    let floats = copies as u128 * parameters + tokens as u128 * model.num_hidden_layers as u128 * row;
    let bytes = 4 * floats;
    let mut probe: Vec<u8> = Vec::new();
    let given = usize::try_from(bytes).is_ok_and(|bytes| probe.try_reserve_exact(bytes).is_ok());
    // Without this the compiler may remove an allocation that is not used.
    std::hint::black_box(&probe);
    if given { Ok(()) } else { Err(ModelError::Memory { parameters, bytes }) }
}

/// The weights, in f32, each with its Hugging Face name, one after another in the order of their layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    layout: Layout,
    values: Vec<f32>,
}

impl Weights {
    /// The initial weights: norms are 1, biases 0; element i of matrix NAME is normal number i of
    /// the stream `initial weights/NAME`, at step 0, with deviation `initializer_range`. `layout` is that of the
    /// model's weights.
    pub fn initial(model: &Model, layout: Layout, seed: Seed) -> Self {
        let mut values = vec![0.0; layout.parameters()];
        for (name, shape, range) in layout.iter() {
            let values = &mut values[range];
            if shape.len() > 1 {
                Stream::new(seed.get(), &format!("initial weights/{name}")).normal(0, model.initializer_range, values);
            } else if name.ends_with(".weight") {
                values.fill(1.0);
            }
        }
        Self { layout, values }
    }

    /// Weights as read from a file, converted to f32.
    ///
    /// # Errors
    /// If a tensor of the model is missing or has another shape or dtype, or there is an unexpected tensor.
    pub fn from_tensors(model: &Model, mut tensors: BTreeMap<String, safetensors::Tensor>) -> Result<Self, ModelError> {
        let layout = accept(model, &mut tensors)?;
        check_memory(model, 1, 0)?;
        let mut values = Vec::with_capacity(layout.parameters());
        for (name, shape, _) in layout.iter() {
            values.extend(take_floats(&mut tensors, name, shape)?);
        }
        Ok(Self { layout, values })
    }

    /// Weights with this layout and these numbers.
    ///
    /// # Errors
    /// If the number of elements differs from the layout's.
    pub fn from_values(layout: Layout, values: Vec<f32>) -> Result<Self, ModelError> {
        match layout.parameters() == values.len() {
            true => Ok(Self { layout, values }),
            false => {
                let what = format!("{} numbers for a model of {}", values.len(), layout.parameters());
                Err(ModelError::Input(what))
            }
        }
    }

    /// The weights as they are written to a file.
    pub fn to_tensors(&self) -> BTreeMap<String, safetensors::View<'_>> {
        tensors(&self.layout, &self.values, |name| name.to_owned())
    }

    /// Their names, shapes and positions.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// All numbers, one weight after another.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All numbers, one weight after another.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    fn get(&self, parameter: Parameter) -> &[f32] {
        &self.values[self.layout.range(parameter)]
    }
}

/// Weights as a pass reads them, in f32.
pub(crate) trait Source: Debug {
    /// Their names and shapes.
    fn layout(&self) -> &Layout;

    /// A weight with one dimension.
    fn vector(&self, parameter: Parameter) -> &[f32];

    /// A weight with two dimensions.
    fn matrix(&self, parameter: Parameter) -> Cow<'_, [f32]>;

    /// The rows `ids` of a weight with two dimensions.
    fn rows(&self, parameter: Parameter, ids: &[u32], out: &mut [f32]) {
        embedding::forward(&self.matrix(parameter), self.layout().shape(parameter)[1], ids, out);
    }
}

impl Source for Weights {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn vector(&self, parameter: Parameter) -> &[f32] {
        self.get(parameter)
    }

    fn matrix(&self, parameter: Parameter) -> Cow<'_, [f32]> {
        Cow::Borrowed(self.get(parameter))
    }
}

/// The layout of the model's weights, if `tensors` are just these, apart from tables and a head that is tied to the
/// embedding, which are removed.
pub(crate) fn accept(model: &Model, tensors: &mut BTreeMap<String, safetensors::Tensor>) -> Result<Layout, ModelError> {
    let layout = match model.architecture {
        // Only the code of such a model defines which weights it needs.
        Architecture::Own => Layout::new(tensors.iter().map(|(name, t)| (name.clone(), t.shape.clone())).collect()),
        _ => Layout::of(model),
    };
    let (embedding, head) = architecture::ends(model.architecture);
    // Some releases store a head that is tied to the embedding; then it must be equal to it.
    if model.tie_word_embeddings && tensors.contains_key(head) {
        if tensors.get(head) != tensors.get(embedding) {
            let tied = "the same as the embedding, since tie_word_embeddings is true".to_owned();
            let found = "different from the embedding".to_owned();
            return Err(ModelError::Mismatch { name: head.to_owned(), found, needed: tied });
        }
        tensors.remove(head);
    }
    // Memory is allocated for the description only after the existing tensors were found to fit it.
    for (name, shape, _) in layout.iter() {
        check_shape(tensors, name, shape)?;
    }
    let known = |name: &str| layout.find(name).is_ok();
    if let Some(name) = tensors.keys().find(|name| !known(name) && !architecture::is_table(name)) {
        return Err(ModelError::Unknown { name: name.clone() });
    }
    tensors.retain(|name, _| known(name));
    Ok(layout)
}

/// Numbers in the layout of the weights, as tensors whose names are those that `name` makes from the weights' names.
pub fn tensors<'a>(
    layout: &'a Layout,
    values: &'a [f32],
    name: impl Fn(&str) -> String,
) -> BTreeMap<String, safetensors::View<'a>> {
    let tensor = |(weight, shape, range): (&str, &'a [usize], Range<usize>)| {
        let bytes = safetensors::floats_as_bytes(&values[range]);
        (name(weight), safetensors::View { dtype: Dtype::F32, shape, bytes })
    };
    layout.iter().map(tensor).collect()
}

/// Removes the tensor called `name` from `tensors` and returns it as f32, which represents f16 and bf16 exactly.
///
/// # Errors
/// If it is missing, or has another shape or a different dtype.
pub fn take_floats(
    tensors: &mut BTreeMap<String, safetensors::Tensor>,
    name: &str,
    shape: &[usize],
) -> Result<Vec<f32>, ModelError> {
    check_shape(tensors, name, shape)?;
    let Some(tensor) = tensors.remove(name) else { return Err(ModelError::Missing { name: name.to_owned() }) };
    let bytes = &tensor.bytes;
    match tensor.dtype {
        Dtype::F32 => Ok(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::F16 => Ok(bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()),
        Dtype::BF16 => Ok(bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect()),
        _ => Err(mismatch(name, &tensor, "F32, F16 or BF16".to_owned())),
    }
}

pub(crate) fn mismatch(name: &str, tensor: &safetensors::Tensor, needed: String) -> ModelError {
    let found = format!("{:?} of shape {:?}", tensor.dtype, tensor.shape);
    ModelError::Mismatch { name: name.to_owned(), found, needed }
}

/// Whether the tensor called `name` exists, with this shape.
fn check_shape(tensors: &BTreeMap<String, safetensors::Tensor>, name: &str, shape: &[usize]) -> Result<(), ModelError> {
    match tensors.get(name) {
        None => Err(ModelError::Missing { name: name.to_owned() }),
        Some(tensor) if tensor.shape != shape => Err(mismatch(name, tensor, format!("of shape {shape:?}"))),
        Some(_) => Ok(()),
    }
}

/// A gradient with respect to weights, in their layout.
#[derive(Debug)]
pub(crate) struct Gradient<'a> {
    values: &'a mut [f32],
    /// For which weights the gradient has been written.
    written: Vec<bool>,
}

impl<'a> Gradient<'a> {
    /// A gradient whose current content is ignored.
    pub(crate) fn new(values: &'a mut [f32], layout: &Layout) -> Self {
        Self { values, written: vec![false; layout.entries.len()] }
    }

    /// The part of `parameter`, and whether it already has a value, to which the new one must be added.
    pub(crate) fn of(&mut self, layout: &Layout, parameter: Parameter) -> (&mut [f32], bool) {
        let onto = std::mem::replace(&mut self.written[parameter.0], true);
        (&mut self.values[layout.range(parameter)], onto)
    }

    /// Sets the parts that were not written to zero.
    pub(crate) fn finish(self, layout: &Layout) {
        for ((.., range), written) in layout.entries.iter().zip(self.written) {
            if !written {
                self.values[range.clone()].fill(0.0);
            }
        }
    }
}

//! A model's weights as candle's variables.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use retrace_numerics::adamw::Hyperparameters;

use super::adamw::AdamW;
use super::operations::with_floats;
use crate::network::Moments;
use crate::weights::{Layout, Parameter};

/// The variables of a model, sorted by name, in the layout of its weights.
pub(super) struct Variables {
    layout: Layout,
    vars: Vec<Var>,
}

impl Variables {
    /// Variables with a known layout, all zeros.
    pub(super) fn of(layout: &Layout) -> Result<Self> {
        Ok(Self::built(|vars| layout.iter().try_for_each(|(name, shape, _)| vars.get(shape, name).map(drop)))?.0)
    }

    /// The variables that `build` requests, and what it builds.
    pub(super) fn built<M>(build: impl FnOnce(VarBuilder<'_>) -> Result<M>) -> Result<(Self, M)> {
        let map = VarMap::new();
        let model = build(VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu))?;
        let named: BTreeMap<String, Var> = match map.data().lock() {
            Ok(data) => data.iter().map(|(name, var)| (name.clone(), var.clone())).collect(),
            Err(_) => candle_core::bail!("a thread that held the variables has panicked"),
        };
        let shapes = named.iter().map(|(name, var)| (name.clone(), var.dims().to_vec())).collect();
        Ok((Self { layout: Layout::new(shapes), vars: named.into_values().collect() }, model))
    }

    pub(super) const fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn get(&self, parameter: Parameter) -> &Var {
        &self.vars[parameter.index()]
    }

    /// Sets them to these values, which have the same layout.
    pub(super) fn set(&self, values: &[f32]) -> Result<()> {
        for ((_, shape, range), var) in self.layout.iter().zip(&self.vars) {
            var.set(&Tensor::from_slice(&values[range], shape, &Device::Cpu)?)?;
        }
        Ok(())
    }

    /// Their gradients in the same layout; +0 for variables without one.
    pub(super) fn gradient(&self, gradients: &GradStore, to: &mut [f32]) -> Result<()> {
        for ((.., range), var) in self.layout.iter().zip(&self.vars) {
            let to = &mut to[range];
            match gradients.get(var) {
                Some(gradient) => with_floats(gradient, "gradient", |gradient| to.copy_from_slice(gradient))?,
                None => to.fill(0.0),
            }
        }
        Ok(())
    }

    /// Updates `weights`, whose values they receive first, with [`AdamW`] as update number `updates`.
    pub(super) fn update(
        &self,
        weights: &mut [f32],
        moments: Moments<'_>,
        gradient: &[f32],
        numbers: Hyperparameters,
        updates: u64,
    ) -> Result<()> {
        use candle_nn::Optimizer;

        self.set(weights)?;
        let mut optimizer = AdamW::new(self.vars.clone(), (numbers, updates.saturating_sub(1)))?;
        let mut gradients = GradStore::default();
        let parts = || self.layout.iter().map(|(.., range)| range).zip(&self.vars);
        for (range, var) in parts() {
            gradients.insert(var, Tensor::from_slice(&gradient[range], var.shape(), &Device::Cpu)?);
        }
        let Moments { first, second } = moments;
        optimizer.set_moments(parts().map(|(range, _)| [&first[range.clone()], &second[range]]));
        optimizer.step(&gradients)?;
        for ((range, var), [new_first, new_second]) in parts().zip(optimizer.moments()) {
            with_floats(var, "weights", |new| weights[range.clone()].copy_from_slice(new))?;
            first[range.clone()].copy_from_slice(new_first);
            second[range].copy_from_slice(new_second);
        }
        Ok(())
    }
}

//! AdamW on candle's variables, with the kernel.

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, Var};
use candle_nn::Optimizer;
use retrace_numerics::adamw::{Hyperparameters, Update};

use super::operations::with_floats;
use crate::network::for_rank;

/// AdamW (Loshchilov and Hutter, 2019) as an optimizer of candle, with the bits of [`retrace_numerics::adamw`]. Weight
/// decay applies only to matrices.
#[derive(Debug)]
pub struct AdamW {
    vars: Vec<Moving>,
    numbers: Hyperparameters,
    updates: u64,
}

/// A variable with its moments.
#[derive(Debug)]
struct Moving {
    var: Var,
    moments: [Vec<f32>; 2],
}

impl AdamW {
    /// The moments of each variable, first and second.
    pub fn moments(&self) -> impl Iterator<Item = [&[f32]; 2]> {
        self.vars.iter().map(|Moving { moments: [first, second], .. }| [first.as_slice(), second.as_slice()])
    }

    /// Sets the moments of each variable, first and second.
    ///
    /// # Panics
    /// If the lengths are not the variables'.
    pub fn set_moments<'a>(&mut self, moments: impl IntoIterator<Item = [&'a [f32]; 2]>) {
        for (moving, moments) in self.vars.iter_mut().zip(moments) {
            moving.moments.iter_mut().zip(moments).for_each(|(to, from)| to.copy_from_slice(from));
        }
    }
}

impl Optimizer for AdamW {
    /// The parameters of an update, and the number of updates so far.
    type Config = (Hyperparameters, u64);

    fn new(vars: Vec<Var>, (numbers, updates): Self::Config) -> Result<Self> {
        let moving = |var: Var| {
            let zeros = vec![0.0; var.elem_count()];
            Moving { var, moments: [zeros.clone(), zeros] }
        };
        Ok(Self { vars: vars.into_iter().map(moving).collect(), numbers, updates })
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        self.updates += 1;
        for Moving { var, moments: [first, second] } in &mut self.vars {
            let Some(gradient) = gradients.get(var) else { continue };
            let update = Update::new(for_rank(self.numbers, var.rank()), self.updates);
            let mut weights = with_floats(var, "adamw", <[f32]>::to_vec)?;
            with_floats(gradient, "adamw", |gradient| update.apply(&mut weights, first, second, gradient))?;
            var.set(&Tensor::from_vec(weights, var.shape(), &Device::Cpu)?)?;
        }
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.numbers.learning_rate
    }

    fn set_learning_rate(&mut self, rate: f64) {
        self.numbers.learning_rate = rate;
    }
}

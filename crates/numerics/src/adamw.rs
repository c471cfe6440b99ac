//! AdamW (Loshchilov and Hutter, 2019), in PyTorch's order of operations.

use rayon::prelude::*;

use crate::isa::{Kernel, dispatch};
use crate::lanes::Machine;

const TASK: usize = 1 << 13;

/// The factors of one update.
#[derive(Debug, Clone, Copy)]
pub struct Update {
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    /// 1 − rate · decay.
    keep: f32,
    /// −rate / (1 − beta1^t).
    move_by: f32,
    /// sqrt(1 − beta2^t).
    correction: f32,
    epsilon: f32,
    gradient_scale: f32,
}

/// The parameters of an [`Update`], all binary64.
#[derive(Debug, Clone, Copy)]
pub struct Hyperparameters {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the square root of the second moment.
    pub epsilon: f64,
    /// The learning rate of this update.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// The factor of every gradient, for clipping; applied first.
    pub gradient_scale: f64,
}

impl Update {
    /// The factors of update number `t`, counted from 1: computed in binary64 (powers by `libm`), then rounded.
    pub fn new(h: Hyperparameters, t: u64) -> Self {
        let correction1 = 1.0 - libm::pow(h.beta1, t as f64);
        let correction2 = 1.0 - libm::pow(h.beta2, t as f64);
        Self {
            beta1: h.beta1 as f32,
            rest1: (1.0 - h.beta1) as f32,
            beta2: h.beta2 as f32,
            rest2: (1.0 - h.beta2) as f32,
            keep: (1.0 - h.learning_rate * h.weight_decay) as f32,
            move_by: (-h.learning_rate / correction1) as f32,
            correction: correction2.sqrt() as f32,
            epsilon: h.epsilon as f32,
            gradient_scale: h.gradient_scale as f32,
        }
    }

    /// Updates weights `w` and moments `m` and `v` by gradient `g`. For each element, with
    /// g' = g · gradient_scale: m = fma(beta1, m, (1 − beta1) · g'),
    /// v = fma(beta2, v, (1 − beta2) · (g' · g')), w' = w · (1 − rate · decay), and
    /// w = fma(−rate / (1 − beta1^t), m / (sqrt(v) / sqrt(1 − beta2^t) + epsilon), w').
    pub fn apply(&self, w: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32]) {
        w.par_chunks_mut(TASK)
            .zip(m.par_chunks_mut(TASK).zip(v.par_chunks_mut(TASK)))
            .zip(g.par_chunks(TASK))
            .for_each(|((w, (m, v)), g)| dispatch(Apply { by: self, w, m, v, g }));
    }
}

struct Apply<'a, 'o> {
    by: &'a Update,
    w: &'o mut [f32],
    m: &'o mut [f32],
    v: &'o mut [f32],
    g: &'a [f32],
}

impl Kernel for Apply<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let by = self.by;
        for (((w, m), v), g) in self.w.iter_mut().zip(self.m).zip(self.v).zip(self.g) {
            let g = g * by.gradient_scale;
            *m = M::fma(by.beta1, *m, by.rest1 * g);
            *v = M::fma(by.beta2, *v, by.rest2 * (g * g));
            let denominator = v.sqrt() / by.correction + by.epsilon;
            *w = M::fma(by.move_by, *m / denominator, *w * by.keep);
        }
    }
}

//! The Gaussian error linear unit (Hendrycks and Gimpel, 2016), in both of its forms.

use rayon::prelude::*;

use crate::elementary::{erf_lane, exp_lane, logistic};
use crate::isa::{Kernel, dispatch};
use crate::lanes::Machine;

/// Elements per task.
const TASK: usize = 1 << 13;
/// 1/sqrt(2), rounded.
const ROOT_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;
/// 1/sqrt(2π), rounded.
const DENSITY: f32 = f32::from_bits(0x3ecc_422a);
/// 2·sqrt(2/π), rounded.
const STEEPNESS: f32 = f32::from_bits(0x3fcc_422a);
/// The factor of the cube, as published.
const CUBE: f32 = 0.044_715;

/// Which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gelu {
    /// y = (0.5 · x) · (1 + erf(x · 1/sqrt 2)).
    Exact,
    /// With tanh: since 0.5·(1 + tanh(u/2)) = 1 / (1 + e^−u), y = x · (1 / (1 + exp(−u))) with
    /// u = (2·sqrt(2/π) · x) · fma(0.044715 · x, x, 1).
    Tanh,
}

impl Gelu {
    /// y of each element.
    pub fn forward(self, x: &[f32], out: &mut [f32]) {
        out.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).for_each(|(out, x)| dispatch(Forward { form: self, x, out }));
    }

    /// The gradient with respect to x. Exact: dy · fma(x, (1/sqrt(2π)) · exp(−0.5·(x·x)),
    /// 0.5 · (1 + erf(x · 1/sqrt 2))). Tanh, with s = 1 / (1 + exp(−u)): dy · fma(x · s,
    /// (1 − s) · ((2·sqrt(2/π)) · fma(3 · 0.044715 · x, x, 1)), s).
    pub fn backward(self, x: &[f32], dy: &[f32], dx: &mut [f32]) {
        dx.par_chunks_mut(TASK)
            .zip(x.par_chunks(TASK).zip(dy.par_chunks(TASK)))
            .for_each(|(dx, (x, dy))| dispatch(Backward { form: self, x, dy, dx }));
    }
}

struct Forward<'a, 'o> {
    form: Gelu,
    x: &'a [f32],
    out: &'o mut [f32],
}

#[inline(always)]
fn gate<M: Machine>(x: f32) -> f32 {
    logistic::<M>((STEEPNESS * x) * M::fma(CUBE * x, x, 1.0))
}

impl Kernel for Forward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        match self.form {
            Gelu::Exact => {
                for (out, x) in self.out.iter_mut().zip(self.x) {
                    *out = (0.5 * x) * (1.0 + erf_lane::<M>(x * ROOT_HALF));
                }
            }
            Gelu::Tanh => {
                for (out, x) in self.out.iter_mut().zip(self.x) {
                    *out = x * gate::<M>(*x);
                }
            }
        }
    }
}

struct Backward<'a, 'o> {
    form: Gelu,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'o mut [f32],
}

impl Kernel for Backward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let elements = self.dx.iter_mut().zip(self.x.iter().zip(self.dy));
        match self.form {
            Gelu::Exact => {
                for (dx, (x, dy)) in elements {
                    let density = DENSITY * exp_lane::<M>(-0.5 * (x * x));
                    *dx = dy * M::fma(*x, density, 0.5 * (1.0 + erf_lane::<M>(x * ROOT_HALF)));
                }
            }
            Gelu::Tanh => {
                for (dx, (x, dy)) in elements {
                    let s = gate::<M>(*x);
                    let slope = STEEPNESS * M::fma((3.0 * CUBE) * x, *x, 1.0);
                    *dx = dy * M::fma(x * s, (1.0 - s) * slope, s);
                }
            }
        }
    }
}

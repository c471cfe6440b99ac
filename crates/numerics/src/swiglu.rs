//! The gated unit of Llama's feed-forward block: silu(gate) · up (Shazeer, 2020).

use rayon::prelude::*;

use crate::elementary::logistic;
use crate::isa::{Kernel, dispatch};
use crate::lanes::Machine;

/// `x` has rows of `width` gates and then as many ups; `out` has rows of `width`:
/// out = (g · s) · u for each pair, with s = 1 / (1 + exp(−g)).
pub fn forward(x: &[f32], width: usize, out: &mut [f32]) {
    out.par_chunks_mut(width).zip(x.par_chunks(2 * width)).for_each(|(out, x)| {
        let (gate, up) = x.split_at(width);
        dispatch(Forward { gate, up, out });
    });
}

struct Forward<'a, 'o> {
    gate: &'a [f32],
    up: &'a [f32],
    out: &'o mut [f32],
}

impl Kernel for Forward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        for ((out, gate), up) in self.out.iter_mut().zip(self.gate).zip(self.up) {
            *out = (gate * logistic::<M>(*gate)) * up;
        }
    }
}

/// The gradient with respect to `x`: du = dy · (g · s) and dg = (dy · u) · (s · fma(g, 1 − s, 1)).
pub fn backward(x: &[f32], width: usize, dy: &[f32], dx: &mut [f32]) {
    dx.par_chunks_mut(2 * width).zip(x.par_chunks(2 * width).zip(dy.par_chunks(width))).for_each(|(dx, (x, dy))| {
        let ((gate, up), (dgate, dup)) = (x.split_at(width), dx.split_at_mut(width));
        dispatch(Backward { gate, up, dy, dgate, dup });
    });
}

struct Backward<'a, 'o> {
    gate: &'a [f32],
    up: &'a [f32],
    dy: &'a [f32],
    dgate: &'o mut [f32],
    dup: &'o mut [f32],
}

impl Kernel for Backward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let inputs = self.gate.iter().zip(self.up).zip(self.dy);
        for ((dgate, dup), ((gate, up), dy)) in self.dgate.iter_mut().zip(self.dup).zip(inputs) {
            let s = logistic::<M>(*gate);
            *dup = dy * (gate * s);
            *dgate = (dy * up) * (s * M::fma(*gate, 1.0 - s, 1.0));
        }
    }
}

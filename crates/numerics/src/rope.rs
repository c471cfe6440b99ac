//! Rotary position embedding (Su et al., 2021), in the form that turns element i with element
//! i + size/2, as Llama's released weights expect.

use rayon::prelude::*;

use crate::isa::{Kernel, dispatch};
use crate::lanes::Machine;

/// The cosines and sines of every position and pair: position after position, size/2 each.
#[derive(Debug, Clone)]
pub struct Tables {
    half: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Tables {
    /// Tables for heads of `size` (even) and `positions` positions. The angle of pair i at position
    /// p is p · theta^(−2i/size), in binary64, as are its cosine and sine, then rounded.
    pub fn new(theta: f64, size: usize, positions: usize) -> Self {
        let half = size / 2;
        let frequencies: Vec<f64> = (0..half).map(|i| libm::pow(theta, -(2.0 * i as f64) / size as f64)).collect();
        let angles = (0..positions).flat_map(|p| frequencies.iter().map(move |f| p as f64 * f));
        let (cosines, sines) = angles.map(|angle| (libm::cos(angle) as f32, libm::sin(angle) as f32)).unzip();
        Self { half, cosines, sines }
    }

    /// How many positions they reach.
    pub fn positions(&self) -> usize {
        self.cosines.len().checked_div(self.half).unwrap_or(0)
    }

    /// Turns the first `heads` heads of every row of `x` and copies the rest of it. `x` is
    /// (sequence, position, row) in row-major order, with sequences of `positions` positions from
    /// position 0 on.
    ///
    /// With x1 and x2 the two halves of a head: y1 = fma(x1, cos, −(x2·sin)) and
    /// y2 = fma(x2, cos, x1·sin).
    pub fn turn(&self, x: &[f32], heads: usize, row: usize, positions: usize, out: &mut [f32]) {
        self.turn_by(1.0, x, heads, row, positions, out);
    }

    /// The gradient: turns back, with −sin for sin.
    pub fn turn_back(&self, dy: &[f32], heads: usize, row: usize, positions: usize, out: &mut [f32]) {
        self.turn_by(-1.0, dy, heads, row, positions, out);
    }

    fn turn_by(&self, sign: f32, x: &[f32], heads: usize, row: usize, positions: usize, out: &mut [f32]) {
        let turned = heads * self.half * 2;
        out.par_chunks_mut(row).zip(x.par_chunks(row)).enumerate().for_each(|(at, (out, x))| {
            let from = at % positions * self.half;
            let (cosines, sines) = (&self.cosines[from..from + self.half], &self.sines[from..from + self.half]);
            dispatch(Turn { x: &x[..turned], cosines, sines, sign, out: &mut out[..turned] });
            out[turned..].copy_from_slice(&x[turned..]);
        });
    }
}

struct Turn<'a, 'o> {
    x: &'a [f32],
    cosines: &'a [f32],
    sines: &'a [f32],
    sign: f32,
    out: &'o mut [f32],
}

impl Kernel for Turn<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let half = self.cosines.len();
        for (x, out) in self.x.chunks_exact(2 * half).zip(self.out.chunks_exact_mut(2 * half)) {
            let (x1, x2) = x.split_at(half);
            let (y1, y2) = out.split_at_mut(half);
            for i in 0..half {
                let (cos, sin) = (self.cosines[i], self.sines[i] * self.sign);
                y1[i] = M::fma(x1[i], cos, -(x2[i] * sin));
                y2[i] = M::fma(x2[i], cos, x1[i] * sin);
            }
        }
    }
}

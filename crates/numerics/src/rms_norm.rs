//! Root-mean-square normalisation (Zhang and Sennrich, 2019), with a weight.

use rayon::prelude::*;

use crate::isa::{Kernel, dispatch};
use crate::lanes::Machine;
use crate::sum::dot;

/// Columns of the weight's gradient in one task.
const TASK_COLUMNS: usize = 64;

/// y[r, c] = (x[r, c] · s_r) · weight[c] with s_r = 1 / sqrt(m_r + epsilon) and m_r the lane sum of
/// the squares of row r, divided by the row's length. `x` and `out` have rows as long as `weight`.
pub fn forward(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    out.par_chunks_mut(weight.len()).zip(x.par_chunks(weight.len())).for_each(|(out, x)| {
        dispatch(Row { x, weight, epsilon, out });
    });
}

struct Row<'a, 'o> {
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
    out: &'o mut [f32],
}

#[inline(always)]
fn scale<M: Machine>(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (dot::<M>(x, x) / x.len() as f32 + epsilon).sqrt()
}

impl Kernel for Row<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let scale = scale::<M>(self.x, self.epsilon);
        for ((out, x), weight) in self.out.iter_mut().zip(self.x).zip(self.weight) {
            *out = (x * scale) * weight;
        }
    }
}

/// The gradients with respect to `x` and `weight`, given that with respect to y.
///
/// With g[r, c] = dy[r, c] · weight[c], d_r the lane sum of the products g[r, c]·x[r, c], and
/// t_r = ((d_r · s_r) · s_r) · s_r / length: dx[r, c] = fma(g[r, c], s_r, −(x[r, c] · t_r)), and
/// dweight[c] is the chain over rows of dy[r, c] and (x[r, c] · s_r).
pub fn backward(x: &[f32], weight: &[f32], epsilon: f32, dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let mut dx = vec![0.0; x.len()];
    let scales: Vec<f32> = dx
        .par_chunks_mut(width)
        .zip(x.par_chunks(width).zip(dy.par_chunks(width)))
        .map(|(dx, (x, dy))| dispatch(RowBackward { x, weight, epsilon, dy, dx }))
        .collect();
    let mut dweight = vec![0.0; width];
    dweight.par_chunks_mut(TASK_COLUMNS).enumerate().for_each(|(task, dweight)| {
        dispatch(Columns { first: task * TASK_COLUMNS, width, x, scales: &scales, dy, dweight });
    });
    (dx, dweight)
}

struct RowBackward<'a, 'o> {
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
    dy: &'a [f32],
    dx: &'o mut [f32],
}

impl Kernel for RowBackward<'_, '_> {
    type Output = f32;

    #[inline(always)]
    fn run<M: Machine>(self) -> f32 {
        let scale = scale::<M>(self.x, self.epsilon);
        for ((dx, dy), weight) in self.dx.iter_mut().zip(self.dy).zip(self.weight) {
            *dx = dy * weight;
        }
        let along = dot::<M>(self.dx, self.x);
        let t = ((along * scale) * scale) * scale / self.x.len() as f32;
        for (dx, x) in self.dx.iter_mut().zip(self.x) {
            *dx = M::fma(*dx, scale, -(x * t));
        }
        scale
    }
}

struct Columns<'a, 'o> {
    first: usize,
    width: usize,
    x: &'a [f32],
    scales: &'a [f32],
    dy: &'a [f32],
    dweight: &'o mut [f32],
}

impl Kernel for Columns<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let columns = self.first..self.first + self.dweight.len();
        let rows = self.x.chunks_exact(self.width).zip(self.dy.chunks_exact(self.width));
        for ((x, dy), scale) in rows.zip(self.scales) {
            for ((sum, x), dy) in self.dweight.iter_mut().zip(&x[columns.clone()]).zip(&dy[columns.clone()]) {
                *sum = M::fma(*dy, x * scale, *sum);
            }
        }
    }
}

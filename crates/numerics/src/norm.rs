//! Normalisation of rows, or of vectors side by side in rows: by the root mean square (Zhang and Sennrich, 2019) and by
//! mean and variance (Ba, Kiros and Hinton, 2016), with and without parameters.

use rayon::prelude::*;

use crate::isa::{Kernel, dispatch};
use crate::lanes::Machine;
use crate::scratch;
use crate::sum::{dot, sum};

/// Columns of a parameter's gradient per task.
const TASK_COLUMNS: usize = 64;

/// The part of each row that is normalised: one or more vectors, side by side. Each vector is normalised on its own, and
/// all of them have the same parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Elements per row.
    pub row: usize,
    /// The part's first element.
    pub first: usize,
    /// The number of elements of a vector.
    pub width: usize,
    /// The number of vectors, such as the heads of the queries.
    pub vectors: usize,
}

impl Part {
    /// Complete rows of `width`, each of which is one vector.
    pub const fn whole(width: usize) -> Self {
        Self { row: width, first: 0, width, vectors: 1 }
    }

    /// The number of elements of the part.
    pub const fn elements(&self) -> usize {
        self.width * self.vectors
    }

    fn vectors_of(self, row: &[f32]) -> impl Iterator<Item = &[f32]> {
        row[self.first..self.first + self.elements()].chunks_exact(self.width)
    }

    fn vectors_of_mut(self, row: &mut [f32]) -> impl Iterator<Item = &mut [f32]> {
        row[self.first..self.first + self.elements()].chunks_exact_mut(self.width)
    }
}

/// How vectors are normalised. Below, row r is the r-th vector: the vectors of the first row of the matrix, then those of
/// the next.
#[derive(Debug, Clone, Copy)]
pub enum Norm<'a> {
    /// y[r, c] = (x[r, c] · s_r) · weight[c], where s_r = 1 / sqrt(m_r + epsilon) and m_r is the
    /// lane sum of the squares of row r, divided by the row's length.
    Rms {
        /// With the length of a vector.
        weight: &'a [f32],
        /// Added to the mean square.
        epsilon: f32,
    },
    /// With c_r[c] = x[r, c] − (the lane sum of row r, divided by its length), v_r the lane sum of the squares of c_r,
    /// divided by the length, and s_r = 1 / sqrt(v_r + epsilon): y[r, c] = fma(c_r[c] · s_r, weight[c], bias[c]), or
    /// c_r[c] · s_r without parameters.
    Layer {
        /// Weight and bias, each with the length of a vector.
        parameters: Option<(&'a [f32], &'a [f32])>,
        /// Added to the variance.
        epsilon: f32,
    },
}

impl Norm<'_> {
    /// Writes the normalised part of each row of `x` to `out`, whose other elements are not changed.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn forward(&self, x: &[f32], part: Part, out: &mut [f32]) {
        out.par_chunks_mut(part.row).zip(x.par_chunks(part.row)).for_each(|(out, x)| {
            for (x, out) in part.vectors_of(x).zip(part.vectors_of_mut(out)) {
                dispatch(Row { norm: self, x, out });
            }
        });
    }

    /// Adds the gradient with respect to the part of `x` to `dx`, or, if not `onto`, writes it there, and writes the
    /// gradients of the parameters to `dweight` and `dbias` (empty if there is none), given that with respect to y.
    ///
    /// Root mean square, with g[r, c] = dy[r, c] · weight[c], d_r the lane sum of the products
    /// g[r, c]·x[r, c] and t_r = ((d_r · s_r) · s_r) · s_r / length:
    /// dx[r, c] = fma(g[r, c], s_r, −(x[r, c] · t_r)). Mean and variance, with h[r, c] = c_r[c] · s_r,
    /// a_r the lane sum of the g[r, c] divided by the length and b_r that of the products
    /// g[r, c]·h[r, c]: dx[r, c] = fma(−h[r, c], b_r, g[r, c] − a_r) · s_r. Then dweight[c] is the
    /// chain over rows of dy[r, c] and (x[r, c] · s_r) or h[r, c], and dbias[c] the sum of dy[r, c]
    /// by `+`, from +0, rows ascending.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn backward(&self, x: &[f32], part: Part, dy: &[f32], onto: bool, dx: &mut [f32], parameters: Gradients<'_>) {
        let vectors = x.len() / part.row * part.vectors;
        let mut statistics = scratch::floats(2 * vectors);
        dx.par_chunks_mut(part.row)
            .zip(x.par_chunks(part.row).zip(dy.par_chunks(part.row)))
            .zip(statistics.par_chunks_mut(2 * part.vectors))
            .for_each(|((dx, (x, dy)), statistics)| {
                let vectors = part.vectors_of(x).zip(part.vectors_of(dy)).zip(part.vectors_of_mut(dx));
                for (((x, dy), dx), statistics) in vectors.zip(statistics.chunks_exact_mut(2)) {
                    statistics.copy_from_slice(&dispatch(RowBackward { norm: self, x, dy, onto, dx }));
                }
            });
        let Gradients { weight, bias } = parameters;
        let statistics = &*statistics;
        let columns = |first: usize| Columns { part, first, x, statistics, dy };
        weight.par_chunks_mut(TASK_COLUMNS).enumerate().for_each(|(task, dweight)| {
            dispatch(Weight { columns: columns(task * TASK_COLUMNS), dweight });
        });
        bias.par_chunks_mut(TASK_COLUMNS).enumerate().for_each(|(task, dbias)| {
            dispatch(Bias { columns: columns(task * TASK_COLUMNS), dbias });
        });
    }
}

/// Where the gradients of a norm's parameters are written; empty if it has none.
#[derive(Debug, Default)]
pub struct Gradients<'a> {
    /// The weight's.
    pub weight: &'a mut [f32],
    /// The bias's.
    pub bias: &'a mut [f32],
}

/// What is subtracted from each element, and the factor applied after that.
#[inline(always)]
fn statistics<M: Machine>(norm: &Norm<'_>, x: &[f32]) -> [f32; 2] {
    let length = x.len() as f32;
    match norm {
        Norm::Rms { epsilon, .. } => [0.0, 1.0 / (dot::<M>(x, x) / length + epsilon).sqrt()],
        Norm::Layer { epsilon, .. } => {
            let mean = sum(x) / length;
            let mut centred = scratch::floats(x.len());
            for (centred, x) in centred.iter_mut().zip(x) {
                *centred = x - mean;
            }
            [mean, 1.0 / (dot::<M>(&centred, &centred) / length + epsilon).sqrt()]
        }
    }
}

struct Row<'a, 'o> {
    norm: &'a Norm<'a>,
    x: &'a [f32],
    out: &'o mut [f32],
}

impl Kernel for Row<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let Self { norm, x, out } = self;
        let [mean, scale] = statistics::<M>(norm, x);
        match norm {
            Norm::Rms { weight, .. } => {
                for ((out, x), weight) in out.iter_mut().zip(x).zip(*weight) {
                    *out = (x * scale) * weight;
                }
            }
            Norm::Layer { parameters: Some((weight, bias)), .. } => {
                for ((out, x), (weight, bias)) in out.iter_mut().zip(x).zip(weight.iter().zip(*bias)) {
                    *out = M::fma((x - mean) * scale, *weight, *bias);
                }
            }
            Norm::Layer { parameters: None, .. } => {
                for (out, x) in out.iter_mut().zip(x) {
                    *out = (x - mean) * scale;
                }
            }
        }
    }
}

struct RowBackward<'a, 'o> {
    norm: &'a Norm<'a>,
    x: &'a [f32],
    dy: &'a [f32],
    onto: bool,
    dx: &'o mut [f32],
}

impl Kernel for RowBackward<'_, '_> {
    type Output = [f32; 2];

    #[inline(always)]
    fn run<M: Machine>(self) -> [f32; 2] {
        let Self { norm, x, dy, onto, dx } = self;
        let [mean, scale] = statistics::<M>(norm, x);
        let length = x.len() as f32;
        let mut d_normal = scratch::floats(x.len());
        let weight = match norm {
            Norm::Rms { weight, .. } => Some(*weight),
            Norm::Layer { parameters, .. } => parameters.map(|(weight, _)| weight),
        };
        match weight {
            Some(weight) => {
                for ((d, dy), weight) in d_normal.iter_mut().zip(dy).zip(weight) {
                    *d = dy * weight;
                }
            }
            None => d_normal.copy_from_slice(dy),
        }
        if let Norm::Rms { .. } = norm {
            let t = ((dot::<M>(&d_normal, x) * scale) * scale) * scale / length;
            for (d, x) in d_normal.iter_mut().zip(x) {
                *d = M::fma(*d, scale, -(x * t));
            }
        } else {
            let mut normal = scratch::floats(x.len());
            for (normal, x) in normal.iter_mut().zip(x) {
                *normal = (x - mean) * scale;
            }
            let (average, along) = (sum(&d_normal) / length, dot::<M>(&d_normal, &normal) / length);
            for (d, normal) in d_normal.iter_mut().zip(&*normal) {
                *d = M::fma(-normal, along, *d - average) * scale;
            }
        }
        match onto {
            true => dx.iter_mut().zip(&*d_normal).for_each(|(dx, d)| *dx += d),
            false => dx.copy_from_slice(&d_normal),
        }
        [mean, scale]
    }
}

/// Some columns of all vectors.
struct Columns<'a> {
    part: Part,
    /// The first of them.
    first: usize,
    x: &'a [f32],
    statistics: &'a [f32],
    dy: &'a [f32],
}

/// The vectors of all rows of a matrix.
fn vectors(part: Part, matrix: &[f32]) -> impl Iterator<Item = &[f32]> {
    matrix.chunks_exact(part.row).flat_map(move |row| part.vectors_of(row))
}

struct Weight<'a, 'o> {
    columns: Columns<'a>,
    dweight: &'o mut [f32],
}

impl Kernel for Weight<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let Columns { part, first, x, statistics, dy } = self.columns;
        let columns = first..first + self.dweight.len();
        self.dweight.fill(0.0);
        for ((x, dy), statistics) in vectors(part, x).zip(vectors(part, dy)).zip(statistics.chunks_exact(2)) {
            for ((sum, x), dy) in self.dweight.iter_mut().zip(&x[columns.clone()]).zip(&dy[columns.clone()]) {
                *sum = M::fma(*dy, (x - statistics[0]) * statistics[1], *sum);
            }
        }
    }
}

struct Bias<'a, 'o> {
    columns: Columns<'a>,
    dbias: &'o mut [f32],
}

impl Kernel for Bias<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let Columns { part, first, dy, .. } = self.columns;
        let columns = first..first + self.dbias.len();
        self.dbias.fill(0.0);
        for dy in vectors(part, dy) {
            for (sum, dy) in self.dbias.iter_mut().zip(&dy[columns.clone()]) {
                *sum += dy;
            }
        }
    }
}

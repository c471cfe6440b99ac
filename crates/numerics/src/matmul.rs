//! Matrix products: every element one chain.

use rayon::prelude::*;

use crate::isa::{Isa, Kernel, detect, run_on};
use crate::lanes::{LANES, Machine, Vector, fma};

/// A matrix over a slice, in row-major or column-major order.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    /// How far apart neighbours in a column are, and in a row.
    strides: (usize, usize),
}

impl<'a> Matrix<'a> {
    /// `data` as `rows` × `columns`, row after row.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "a {rows} x {columns} matrix over {} numbers", data.len());
        Self { data, rows, columns, strides: (columns, 1) }
    }

    /// The transpose, over the same slice.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { data: self.data, rows: self.columns, columns: self.rows, strides: (self.strides.1, self.strides.0) }
    }

    #[inline(always)]
    fn at(&self, row: usize, column: usize) -> f32 {
        self.data[row * self.strides.0 + column * self.strides.1]
    }
}

/// Terms of a chain that are taken at once. The output is reloaded as the accumulator, so this
/// never shows.
const BLOCK: usize = 256;
/// Most rows of the output in one task.
const TASK_ROWS: usize = 48;

/// `out` = a · b, row after row; element (i, j) is the chain over k of a(i, k) and b(k, j).
///
/// # Panics
/// If the shapes don't fit.
pub fn matmul(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) {
    assert_eq!(a.columns, b.rows, "{} x {} by {} x {}", a.rows, a.columns, b.rows, b.columns);
    assert_eq!(out.len(), a.rows * b.columns, "the output of {} x {} has {} numbers", a.rows, b.columns, out.len());
    if out.is_empty() {
        return;
    }
    if a.columns == 0 {
        out.fill(0.0);
        return;
    }
    product(detect(), a, b, out);
}

fn product(isa: Isa, a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) {
    // As many accumulators as registers leave room for.
    match isa {
        Isa::Avx512 => tiled::<8, 2>(isa, a, b, out),
        Isa::Avx2 | Isa::Baseline => tiled::<6, 1>(isa, a, b, out),
    }
}

/// Tiles of `ROWS` × (`VECTORS` · 16) outputs, kept in registers along k.
fn tiled<const ROWS: usize, const VECTORS: usize>(isa: Isa, a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) {
    let (depth, columns) = (a.columns, b.columns);
    let packed_b = pack_columns::<VECTORS>(b);
    // At least a few tasks a thread, of whole tiles.
    let tasks = 4 * rayon::current_num_threads();
    let rows = a.rows.div_ceil(tasks).next_multiple_of(ROWS).min(TASK_ROWS);
    out.par_chunks_mut(rows * columns).enumerate().for_each(|(task, out)| {
        run_on(isa, Task::<ROWS, VECTORS> { a, first_row: task * rows, packed_b: &packed_b, depth, columns, out });
    });
}

/// b in panels of `VECTORS` · 16 columns, each panel k-major, panels of one block of k together.
fn pack_columns<const VECTORS: usize>(b: Matrix<'_>) -> Vec<f32> {
    let width = VECTORS * LANES;
    let panels = b.columns.div_ceil(width);
    let mut packed = vec![0.0; panels * width * b.rows];
    packed.par_chunks_mut(panels * width * BLOCK).enumerate().for_each(|(block, packed)| {
        let first = block * BLOCK;
        let depth = BLOCK.min(b.rows - first);
        for (panel, packed) in packed.chunks_mut(width * depth).enumerate() {
            let left = panel * width;
            let wide = width.min(b.columns - left);
            if b.strides.1 == 1 {
                for (k, row) in packed.chunks_exact_mut(width).enumerate() {
                    let from = (first + k) * b.strides.0 + left;
                    row[..wide].copy_from_slice(&b.data[from..from + wide]);
                }
            } else {
                for column in 0..wide {
                    let from = (left + column) * b.strides.1 + first * b.strides.0;
                    let source = b.data[from..].iter().step_by(b.strides.0);
                    for (to, value) in packed[column..].iter_mut().step_by(width).zip(source) {
                        *to = *value;
                    }
                }
            }
        }
    });
    packed
}

struct Task<'a, 'o, const ROWS: usize, const VECTORS: usize> {
    a: Matrix<'a>,
    first_row: usize,
    packed_b: &'a [f32],
    depth: usize,
    columns: usize,
    out: &'o mut [f32],
}

impl<const ROWS: usize, const VECTORS: usize> Kernel for Task<'_, '_, ROWS, VECTORS> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let Self { a, first_row, packed_b, depth, columns, out } = self;
        let width = VECTORS * LANES;
        let panels = columns.div_ceil(width);
        let rows = out.len() / columns;
        let mut packed_a = vec![0.0f32; rows.next_multiple_of(ROWS) * BLOCK.min(depth)];
        for first in (0..depth).step_by(BLOCK) {
            let terms = BLOCK.min(depth - first);
            for (strip, packed) in packed_a.chunks_mut(ROWS * terms).take(rows.div_ceil(ROWS)).enumerate() {
                for row in 0..ROWS.min(rows - strip * ROWS) {
                    let a_row = first_row + strip * ROWS + row;
                    for k in 0..terms {
                        packed[k * ROWS + row] = a.at(a_row, first + k);
                    }
                }
            }
            let block = &packed_b[first * panels * width..][..terms * panels * width];
            for (panel, b) in block.chunks_exact(terms * width).enumerate() {
                let left = panel * width;
                let wide = width.min(columns - left);
                for (strip, a) in packed_a.chunks_exact(ROWS * terms).take(rows.div_ceil(ROWS)).enumerate() {
                    let high = ROWS.min(rows - strip * ROWS);
                    let corner = strip * ROWS * columns + left;
                    tile::<M, ROWS, VECTORS>(a, b, &mut out[corner..], columns, high, wide, first > 0);
                }
            }
        }
    }
}

/// One tile over one block of k: `a` is k-major by `ROWS`, `b` k-major by `VECTORS` · 16.
#[inline(always)]
fn tile<M: Machine, const ROWS: usize, const VECTORS: usize>(
    a: &[f32],
    b: &[f32],
    out: &mut [f32],
    stride: usize,
    high: usize,
    wide: usize,
    resume: bool,
) {
    let whole = high == ROWS && wide == VECTORS * LANES;
    let mut sums = [[[0f32; LANES]; VECTORS]; ROWS];
    if resume {
        for (row, sums) in sums.iter_mut().enumerate().take(high) {
            let from = &out[row * stride..][..wide];
            let flat = sums.as_flattened_mut();
            if whole {
                flat.copy_from_slice(&from[..VECTORS * LANES]);
            } else {
                flat[..wide].copy_from_slice(from);
            }
        }
    }
    for (a, b) in a.as_chunks::<ROWS>().0.iter().zip(b.chunks_exact(VECTORS * LANES)) {
        let mut vectors: [Vector; VECTORS] = [[0.0; LANES]; VECTORS];
        vectors.as_flattened_mut().copy_from_slice(b);
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                sums[row][vector] = fma::<M>(a[row], &vectors[vector], &sums[row][vector]);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate().take(high) {
        let to = &mut out[row * stride..][..wide];
        let flat = sums.as_flattened();
        if whole {
            to.copy_from_slice(&flat[..VECTORS * LANES]);
        } else {
            to.copy_from_slice(&flat[..wide]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::tests::here;
    use crate::random::Stream;

    fn random(n: usize, name: &str) -> Vec<f32> {
        let mut values = vec![0.0; n];
        Stream::new(7, name).normal(0, 1.0, &mut values);
        values
    }

    /// The contract's words.
    fn by_the_contract(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
        let mut out = Vec::new();
        for i in 0..a.rows {
            for j in 0..b.columns {
                out.push((0..a.columns).fold(0.0f32, |sum, k| a.at(i, k).mul_add(b.at(k, j), sum)));
            }
        }
        out
    }

    #[test]
    fn every_instruction_set_and_layout_is_the_contract() {
        let shapes = [
            (1, 1, 1),
            (1, 300, 1),
            (3, 5, 2),
            (8, 32, 32),
            (9, 33, 31),
            (50, 257, 65),
            (17, 600, 48),
            (130, 16, 7),
            (2, 0, 3),
        ];
        for (m, k, n) in shapes {
            let (a, b) = (random(m * k, "a"), random(k * n, "b"));
            let layouts_a = [Matrix::new(&a, m, k), Matrix::new(&a, k, m).transposed()];
            let layouts_b = [Matrix::new(&b, k, n), Matrix::new(&b, n, k).transposed()];
            for a in layouts_a {
                for b in layouts_b {
                    let expected: Vec<u32> = by_the_contract(a, b).into_iter().map(f32::to_bits).collect();
                    for isa in here() {
                        let mut out = vec![f32::NAN; m * n];
                        if k == 0 {
                            matmul(a, b, &mut out);
                        } else {
                            product(isa, a, b, &mut out);
                        }
                        let out: Vec<u32> = out.into_iter().map(f32::to_bits).collect();
                        assert_eq!(out, expected, "{m} x {k} x {n} on {}", isa.name());
                    }
                }
            }
        }
    }

    #[test]
    fn threads_make_no_difference() {
        let (a, b) = (random(70 * 300, "a"), random(300 * 90, "b"));
        let product = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = vec![0.0; 70 * 90];
            pool.install(|| matmul(Matrix::new(&a, 70, 300), Matrix::new(&b, 300, 90), &mut out));
            out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let one = product(1);
        assert!([2, 3, 7].into_iter().all(|threads| product(threads) == one));
    }

    #[test]
    fn is_near_the_exact_product() {
        let (m, k, n) = (20, 500, 30);
        let (a, b) = (random(m * k, "a"), random(k * n, "b"));
        let mut out = vec![0.0; m * n];
        matmul(Matrix::new(&a, m, k), Matrix::new(&b, k, n), &mut out);
        for (at, value) in out.iter().enumerate() {
            let terms = (0..k).map(|x| f64::from(a[at / n * k + x]) * f64::from(b[x * n + at % n]));
            let (exact, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
            // Higham (2002), §3.1: a chain of k terms is off by at most k·u·Σ|terms|.
            assert!((f64::from(*value) - exact).abs() <= k as f64 * f64::from(f32::EPSILON) / 2.0 * size);
        }
    }
}

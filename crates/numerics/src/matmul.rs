//! Matrix products: every element is one chain.
//!
//! Blocks of both factors are first copied to contiguous memory, so that the inner loop reads memory in order. The
//! output is loaded again as the accumulator for each block of k, so block sizes do not change any bit (Goto and van
//! de Geijn, 2008, except for that reload).

mod packed;

use rayon::prelude::*;

use crate::isa::{Isa, TILE_ROWS, TiledKernel, detect, run_tiled, tile_width};
use crate::lanes::{LANES, Machine, load, prefetch, store};
use crate::scratch;

pub use packed::{Packed, matmul_packed};

/// A matrix view of a slice, in row-major or column-major order.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    /// The strides between neighbours in a column and in a row; one of them is 1.
    strides: (usize, usize),
}

impl<'a> Matrix<'a> {
    /// `data` as `rows` × `columns`, in row-major order.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "a {rows} x {columns} matrix over {} numbers", data.len());
        Self { data, rows, columns, strides: (columns, 1) }
    }

    /// The `count` columns from `first` on.
    ///
    /// # Panics
    /// If it has fewer.
    #[must_use]
    pub fn columns(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.columns, "columns {first}+{count} of {}", self.columns);
        Self { data: self.data.get(first * self.strides.1..).unwrap_or_default(), columns: count, ..self }
    }

    /// Its columns from `first` on.
    fn columns_from(self, first: usize) -> Self {
        self.columns(first, self.columns - first)
    }

    /// Rows with the given `stride`, of the first `columns` numbers each.
    pub(crate) fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        Self { data, rows, columns, strides: (stride, 1) }
    }

    /// The `count` rows from `first` on.
    pub(crate) fn rows(self, first: usize, count: usize) -> Self {
        Self { data: &self.data[first * self.strides.0..], rows: count, ..self }
    }

    /// Whether it has only one row.
    pub(crate) const fn is_row(&self) -> bool {
        self.rows == 1
    }

    #[inline(always)]
    pub(crate) fn at(&self, row: usize, column: usize) -> f32 {
        self.data[row * self.strides.0 + column * self.strides.1]
    }

    /// Row `row` of a matrix in row-major order.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> &'a [f32] {
        &self.data[row * self.strides.0..][..self.columns]
    }

    /// The transpose, as a view of the same slice.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { data: self.data, rows: self.columns, columns: self.rows, strides: (self.strides.1, self.strides.0) }
    }
}

/// The output of a product: some columns of a matrix in row-major order.
#[derive(Debug)]
pub struct Target<'a> {
    data: &'a mut [f32],
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a> Target<'a> {
    /// `data` as `rows` × `columns`, in row-major order.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "a {rows} x {columns} matrix over {} numbers", data.len());
        Self { data, rows, columns, stride: columns }
    }

    /// Rows with the given `stride`, of the first `columns` numbers each.
    pub(crate) fn strided(data: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        Self { data, rows, columns, stride }
    }

    /// The `count` columns from `first` on.
    ///
    /// # Panics
    /// If it has fewer.
    #[must_use]
    pub fn columns(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.columns, "columns {first}+{count} of {}", self.columns);
        let data = self.data.get_mut(first..).unwrap_or_default();
        Self { data, columns: count, ..self }
    }
}

/// Terms of a chain per block. The output is reloaded as the accumulator, so this never changes a bit.
const BLOCK: usize = 256;
/// The stride of the rows of a packed block of a: not a power of two, so that they are in different sets of the cache.
const ROW: usize = BLOCK + LANES;
/// Rows of it that are packed before the next columns are.
const FEW: usize = 8;
/// How many rows ahead are prefetched before they are packed.
const AHEAD: usize = 24;
/// Columns of b per packed block: with `BLOCK` rows, about the size of a core's second-level cache.
const COLUMNS: usize = 2048;

/// `out` = a · b; element (i, j) is the chain over k of a(i, k) and b(k, j).
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul(a: Matrix<'_>, b: Matrix<'_>, out: Target<'_>) {
    product(detect(), a, b, out, false);
}

/// As [`matmul`], but each chain continues from the value in `out`.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul_onto(a: Matrix<'_>, b: Matrix<'_>, out: Target<'_>) {
    product(detect(), a, b, out, true);
}

fn product(isa: Isa, a: Matrix<'_>, b: Matrix<'_>, out: Target<'_>, onto: bool) {
    assert_eq!(a.columns, b.rows, "{} x {} by {} x {}", a.rows, a.columns, b.rows, b.columns);
    assert_eq!((out.rows, out.columns), (a.rows, b.columns), "the output of {} x {}", a.rows, b.columns);
    if out.rows == 0 || out.columns == 0 {
        return;
    }
    if a.columns == 0 {
        if !onto {
            out.data.chunks_mut(out.stride).for_each(|row| row[..out.columns].fill(0.0));
        }
        return;
    }
    let width = tile_width(isa);
    let threads = rayon::current_num_threads();
    // Many tasks per thread, so that no thread waits long for another.
    let tasks = if threads == 1 { 1 } else { 16 * threads };
    let rows = a.rows.div_ceil(tasks).next_multiple_of(TILE_ROWS);
    let Target { data, columns, stride, .. } = out;
    let depth = BLOCK.min(b.rows);
    let mut packed = scratch::floats(Panels::size(COLUMNS.min(columns), depth, width));
    for left in (0..columns).step_by(COLUMNS) {
        let b = b.columns(left, COLUMNS.min(columns - left));
        for first in (0..b.rows).step_by(BLOCK) {
            let (b, onto) = (b.rows(first, BLOCK.min(b.rows - first)), onto || first > 0);
            let packed = &mut packed[..Panels::size(b.columns, b.rows, width)];
            // As many panels in one task as there are for each thread, so that long ranges of b's rows are read.
            let together = b.columns.div_ceil(width).div_ceil(threads);
            let size = width * b.rows;
            packed.par_chunks_mut(together * size).enumerate().for_each(|(group, packed)| {
                pack_panels(b.columns_from(group * together * width), width, packed);
            });
            let panels = Panels { packed, depth: b.rows, first: 0 };
            data.par_chunks_mut(rows * stride).enumerate().for_each(|(task, data)| {
                let a = a.rows(task * rows, rows.min(a.rows - task * rows)).columns(first, b.rows);
                let out = Target { data: &mut data[left..], rows: a.rows, columns: b.columns, stride };
                run_tiled(isa, Block { a, b: panels, out, onto });
            });
        }
    }
}

/// A matrix b, copied for multiplication: panels with as many columns as a tile, in each panel one k after another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panels<'a> {
    packed: &'a [f32],
    /// Rows of b.
    depth: usize,
    /// The row of b that belongs to the first column of a.
    first: usize,
}

impl<'a> Panels<'a> {
    /// The number of floats in the panels of b.
    pub(crate) fn size(columns: usize, depth: usize, width: usize) -> usize {
        columns.next_multiple_of(width) * depth
    }

    /// Copies b, for tiles of `width` columns.
    pub(crate) fn pack(b: Matrix<'_>, width: usize, packed: &'a mut [f32]) -> Self {
        pack_panels(b, width, packed);
        Self { packed, depth: b.rows, first: 0 }
    }

    /// Panels that were packed before, whose columns have `depth` elements.
    pub(crate) const fn packed(packed: &'a [f32], depth: usize) -> Self {
        Self { packed, depth, first: 0 }
    }

    /// The panels starting with the one that has column `first`, a multiple of `width`.
    pub(crate) fn columns_from(self, first: usize) -> Self {
        Self { packed: &self.packed[first * self.depth..], ..self }
    }

    /// b from row `first` on.
    pub(crate) fn rows_from(self, first: usize) -> Self {
        Self { first: self.first + first, ..self }
    }
}

/// The columns of b as panels of `width`, in each one k after another; columns beyond its last are zeros.
fn pack_panels(b: Matrix<'_>, width: usize, packed: &mut [f32]) {
    let size = width * b.rows;
    if b.strides.1 != 1 {
        for (panel, packed) in packed.chunks_exact_mut(size).enumerate() {
            pack_across(b, panel * width, width, packed);
        }
        return;
    }
    // Some rows of every panel, then the next rows: the reads are contiguous.
    for first in (0..b.rows).step_by(FEW) {
        let rows = first..b.rows.min(first + FEW);
        for (panel, packed) in packed.chunks_exact_mut(size).enumerate() {
            let left = panel * width;
            let wide = width.min(b.columns.saturating_sub(left));
            for k in rows.clone() {
                let row = &mut packed[k * width..][..width];
                let from = &b.data[k * b.strides.0 + left..][..wide];
                for line in (0..wide).step_by(LANES) {
                    prefetch(b.data, (k + AHEAD) * b.strides.0 + left + line);
                }
                // Arrays of a known length are copied in registers, slices by a function call.
                for (to, from) in row.as_chunks_mut::<LANES>().0.iter_mut().zip(from.chunks(LANES)) {
                    match from.first_chunk::<LANES>() {
                        Some(whole) => *to = *whole,
                        None => to[..from.len()].copy_from_slice(from),
                    }
                }
                row[wide..].fill(0.0);
            }
        }
    }
}

/// The panel of b that begins with column `left`, whose columns are contiguous.
fn pack_across(b: Matrix<'_>, left: usize, width: usize, packed: &mut [f32]) {
    let wide = width.min(b.columns - left);
    // In blocks of sixteen by sixteen, so that both sides are read and written in complete cache lines.
    for first in (0..width).step_by(LANES) {
        let columns = LANES.min(wide.saturating_sub(first));
        for (block, packed) in packed.chunks_mut(LANES * width).enumerate() {
            let terms = packed.len() / width;
            let mut square = [[0.0; LANES]; LANES];
            for (column, to) in square.iter_mut().enumerate().take(columns) {
                let from = &b.data[(left + first + column) * b.strides.1 + block * LANES..];
                // An array of a known length is copied in registers, a slice by a function call.
                match from.first_chunk::<LANES>() {
                    Some(whole) if terms == LANES => *to = *whole,
                    _ => to[..terms].copy_from_slice(&from[..terms]),
                }
            }
            for (k, row) in packed.chunks_exact_mut(width).enumerate() {
                for (to, column) in row[first..first + LANES].iter_mut().zip(&square) {
                    *to = column[k];
                }
            }
        }
    }
}

/// a · b on this thread.
pub(crate) struct Block<'a, 'o> {
    pub(crate) a: Matrix<'a>,
    pub(crate) b: Panels<'a>,
    pub(crate) out: Target<'o>,
    pub(crate) onto: bool,
}

impl TiledKernel for Block<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine, const ROWS: usize, const VECTORS: usize>(self) {
        // k is along the rows of a, or across them: each is copied in its own layout.
        match self.a.strides.1 == 1 {
            true => self.blocks::<M, ROWS, VECTORS, true>(),
            false => self.blocks::<M, ROWS, VECTORS, false>(),
        }
    }
}

impl Block<'_, '_> {
    #[inline(always)]
    fn blocks<M: Machine, const ROWS: usize, const VECTORS: usize, const ALONG: bool>(self) {
        let Self { a, b, out, onto } = self;
        let width = VECTORS * LANES;
        // A strip of a stays in the first-level cache while all panels are multiplied; the output is written along its
        // rows.
        let mut packed = scratch::floats(if ALONG { ROWS * ROW } else { ROWS * BLOCK });
        for first in (0..a.columns).step_by(BLOCK) {
            let terms = BLOCK.min(a.columns - first);
            for top in (0..out.rows).step_by(ROWS) {
                let high = ROWS.min(out.rows - top);
                pack_a::<ROWS, ALONG>(a, top, high, first, terms, &mut packed);
                // The data that is packed next is prefetched during this multiplication.
                let (lines, panels) = (ROWS * BLOCK / LANES, out.columns.div_ceil(width));
                let share = lines.div_ceil(panels);
                for (panel, left) in (0..out.columns).step_by(width).enumerate() {
                    let from = panel * width * b.depth + (b.first + first) * width;
                    let b = &b.packed[from..][..terms * width];
                    let wide = width.min(out.columns - left);
                    for line in (panel * share..lines).take(share) {
                        let at = match ALONG {
                            true => {
                                let (row, line) = (line / (BLOCK / LANES), line % (BLOCK / LANES));
                                (top + ROWS + row) * a.strides.0 + first + line * LANES
                            }
                            false => (first + line) * a.strides.1 + top + ROWS,
                        };
                        prefetch(a.data, at);
                    }
                    let to = &mut out.data[top * out.stride + left..];
                    tile::<M, ROWS, VECTORS, ALONG>(&packed, b, to, out.stride, high, wide, onto || first > 0);
                }
            }
        }
    }
}

/// One block of `ROWS` rows of a: either row by row with stride `ROW`, or one k after another. Rows beyond the last
/// are zeros.
#[inline(always)]
fn pack_a<const ROWS: usize, const ALONG: bool>(
    a: Matrix<'_>,
    from: usize,
    high: usize,
    first: usize,
    terms: usize,
    packed: &mut [f32],
) {
    if ALONG {
        for (row, to) in packed.chunks_exact_mut(ROW).enumerate().take(high) {
            to[..terms].copy_from_slice(&a.data[(from + row) * a.strides.0 + first..][..terms]);
        }
        packed[high * ROW..].fill(0.0);
        return;
    }
    for (k, to) in packed.as_chunks_mut::<ROWS>().0.iter_mut().enumerate().take(terms) {
        let source = &a.data[(first + k) * a.strides.1 + from..];
        match source.first_chunk::<ROWS>() {
            Some(whole) if high == ROWS => *to = *whole,
            _ => {
                to.fill(0.0);
                to[..high].copy_from_slice(&source[..high]);
            }
        }
    }
}

/// One tile over one block of k.
#[inline(always)]
fn tile<M: Machine, const ROWS: usize, const VECTORS: usize, const ALONG: bool>(
    a: &[f32],
    b: &[f32],
    out: &mut [f32],
    stride: usize,
    high: usize,
    wide: usize,
    onto: bool,
) {
    if high == ROWS && wide == VECTORS * LANES {
        // All sizes are constants here, so that the sums stay in registers.
        let mut sums = [[M::splat(0.0); VECTORS]; ROWS];
        if onto {
            for row in 0..ROWS {
                let from = out[row * stride..][..VECTORS * LANES].as_chunks::<LANES>().0;
                for vector in 0..VECTORS {
                    sums[row][vector] = M::load(&from[vector]);
                }
            }
        }
        let sums = chains::<M, ROWS, VECTORS, ALONG>(a, b, sums);
        for row in 0..ROWS {
            let to = out[row * stride..][..VECTORS * LANES].as_chunks_mut::<LANES>().0;
            for vector in 0..VECTORS {
                M::store(sums[row][vector], &mut to[vector]);
            }
        }
        return;
    }
    let mut sums = [[M::splat(0.0); VECTORS]; ROWS];
    if onto {
        for (row, sums) in sums.iter_mut().enumerate().take(high) {
            let from = &out[row * stride..][..wide];
            for (vector, sum) in sums.iter_mut().enumerate() {
                *sum = load::<M>(from.get(vector * LANES..).unwrap_or_default());
            }
        }
    }
    let sums = chains::<M, ROWS, VECTORS, ALONG>(a, b, sums);
    for (row, sums) in sums.iter().enumerate().take(high) {
        let to = &mut out[row * stride..][..wide];
        for (vector, sum) in sums.iter().enumerate() {
            if let Some(to) = to.chunks_mut(LANES).nth(vector) {
                store::<M>(*sum, to);
            }
        }
    }
}

/// A tile's chains, continued over a block of k.
#[inline(always)]
fn chains<M: Machine, const ROWS: usize, const VECTORS: usize, const ALONG: bool>(
    a: &[f32],
    b: &[f32],
    mut sums: [[M::Vector; VECTORS]; ROWS],
) -> [[M::Vector; VECTORS]; ROWS] {
    let b = b.as_chunks::<LANES>().0.as_chunks::<VECTORS>().0;
    if ALONG {
        if let Some(a) = a.as_chunks::<ROW>().0.first_chunk::<ROWS>() {
            for (k, b) in b.iter().enumerate().take(BLOCK) {
                terms::<M, ROWS, VECTORS>(std::array::from_fn(|row| a[row][k]), b, &mut sums);
            }
        }
    } else {
        for (a, b) in a.as_chunks::<ROWS>().0.iter().zip(b) {
            terms::<M, ROWS, VECTORS>(*a, b, &mut sums);
        }
    }
    sums
}

/// One term of every chain of a tile.
#[inline(always)]
fn terms<M: Machine, const ROWS: usize, const VECTORS: usize>(
    a: [f32; ROWS],
    b: &[[f32; LANES]; VECTORS],
    sums: &mut [[M::Vector; VECTORS]; ROWS],
) {
    let mut vectors = [M::splat(0.0); VECTORS];
    for vector in 0..VECTORS {
        vectors[vector] = M::load(&b[vector]);
    }
    for row in 0..ROWS {
        let a = M::splat(a[row]);
        for vector in 0..VECTORS {
            sums[row][vector] = M::fma_lanes(a, vectors[vector], sums[row][vector]);
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

    /// The definition in the contract.
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
            (13, 270, 1090),
            (2, 0, 3),
        ];
        for (m, k, n) in shapes {
            let (a, b) = (random(m * k, "a"), random(k * n, "b"));
            let layouts_a = [Matrix::new(&a, m, k), Matrix::new(&a, k, m).transposed()];
            let layouts_b = [Matrix::new(&b, k, n), Matrix::new(&b, n, k).transposed()];
            for a in layouts_a {
                for b in layouts_b {
                    let expected: Vec<u32> = by_the_contract(a, b).into_iter().map(f32::to_bits).collect();
                    // Also some columns of a wider output.
                    let mut out = vec![7.0; m * (n + 3)];
                    matmul_packed(a, &Packed::new(b), Target::new(&mut out, m, n + 3).columns(2, n));
                    for (row, expected) in out.chunks(n + 3).zip(expected.chunks(n)) {
                        let found: Vec<u32> = row[2..n + 2].iter().map(|value| value.to_bits()).collect();
                        assert_eq!(found, expected, "{m} x {k} x {n} packed");
                        assert_eq!((row[0], row[1], row[n + 2]), (7.0, 7.0, 7.0));
                    }
                    for isa in here() {
                        let mut out = vec![f32::NAN; m * n];
                        product(isa, a, b, Target::new(&mut out, m, n), false);
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
            pool.install(|| matmul(Matrix::new(&a, 70, 300), Matrix::new(&b, 300, 90), Target::new(&mut out, 70, 90)));
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
        matmul(Matrix::new(&a, m, k), Matrix::new(&b, k, n), Target::new(&mut out, m, n));
        for (at, value) in out.iter().enumerate() {
            let terms = (0..k).map(|x| f64::from(a[at / n * k + x]) * f64::from(b[x * n + at % n]));
            let (exact, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
            // Higham (2002), §3.1: a chain of k terms has an error of at most k·u·Σ|terms|.
            assert!((f64::from(*value) - exact).abs() <= k as f64 * f64::from(f32::EPSILON) / 2.0 * size);
        }
    }
}

//! Causal attention with grouped heads (Vaswani et al., 2017; Ainslie et al., 2023), one row of
//! scores at a time.

use rayon::prelude::*;

use crate::cross_entropy::largest;
use crate::elementary::exp_lane;
use crate::isa::{Kernel, dispatch};
use crate::lanes::{LANES, Machine, Vector, fma, load, store};
use crate::sum::{dot, sum};

/// The shape of packed queries, keys and values: (sequence, position, head, size) in row-major
/// order, where a position's heads are first the query heads, then the key heads, then as many
/// value heads.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Positions a sequence.
    pub positions: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads: a divisor of `heads`; query head h uses key head
    /// ⌊h / (heads / `key_heads`)⌋.
    pub key_heads: usize,
    /// Elements a head.
    pub size: usize,
}

impl Shape {
    /// Query heads that share a key head.
    fn group(&self) -> usize {
        self.heads / self.key_heads
    }

    /// Elements of a position: queries, keys and values.
    pub fn row(&self) -> usize {
        (self.heads + 2 * self.key_heads) * self.size
    }

    /// Elements of a position's output.
    pub fn output_row(&self) -> usize {
        self.heads * self.size
    }

    /// 1 / sqrt(size), in binary64, rounded.
    fn scale(&self) -> f32 {
        (1.0 / (self.size as f64).sqrt()) as f32
    }
}

/// The output, (sequence, position, query head, size). For query position i of a head, over key
/// positions j ≤ i:
///
/// - s_j is the chain over d of q[i, d] and k[j, d], times 1/sqrt(size);
/// - e_j = exp(s_j − the largest s), z their lane sum, p_j = e_j / z;
/// - out[i, d] is the chain over j of p_j and v[j, d].
pub fn forward(qkv: &[f32], shape: Shape) -> Vec<f32> {
    let units: Vec<Vec<f32>> = units(qkv, shape).map(|unit| dispatch(Forward(unit))).collect();
    let mut out = vec![0.0; qkv.len() / shape.row() * shape.output_row()];
    scatter(units.iter(), shape, shape.group() * shape.size, &mut out, shape.output_row(), 0);
    out
}

/// The gradient with respect to the packed queries, keys and values. With p as in [`forward`] and
/// dy the output's gradient:
///
/// - dp_j is the chain over d of dy[i, d] and v[j, d];
/// - ds_j = (p_j · (dp_j − the lane sum of the products p_j·dp_j)) · 1/sqrt(size);
/// - dq[i, d] is the chain over j of ds_j and k[j, d];
/// - dk[j, d] is the chain over the key head's query heads, ascending, and within each over i ≥ j,
///   of ds_j and q[i, d]; dv[j, d] likewise of p_j and dy[i, d].
pub fn backward(qkv: &[f32], shape: Shape, dy: &[f32]) -> Vec<f32> {
    let units: Vec<[Vec<f32>; 3]> = units(qkv, shape).map(|unit| dispatch(Backward { unit, dy })).collect();
    let mut out = vec![0.0; qkv.len()];
    let (keys, values) = (shape.output_row(), shape.output_row() + shape.key_heads * shape.size);
    let parts = [(shape.group() * shape.size, 0), (shape.size, keys), (shape.size, values)];
    for (part, (width, offset)) in parts.into_iter().enumerate() {
        scatter(units.iter().map(|unit| &unit[part]), shape, width, &mut out, shape.row(), offset);
    }
    out
}

/// One sequence and one key head, with the query heads that use it.
struct Unit<'a> {
    shape: Shape,
    /// The sequence's rows, from the unit's first query, its key and its value on.
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    /// Where the unit's outputs begin in the whole.
    output: usize,
}

fn units(qkv: &[f32], shape: Shape) -> impl IndexedParallelIterator<Item = Unit<'_>> {
    let Shape { positions, key_heads, size, .. } = shape;
    let sequences = qkv.len() / (positions * shape.row());
    (0..sequences * key_heads).into_par_iter().map(move |unit| {
        let (sequence, head) = (unit / key_heads, unit % key_heads);
        let rows = &qkv[sequence * positions * shape.row()..];
        let first = head * shape.group() * size;
        let key = shape.output_row() + head * size;
        let output = sequence * positions * shape.output_row() + first;
        Unit { shape, q: &rows[first..], k: &rows[key..], v: &rows[key + key_heads * size..], output }
    })
}

/// Puts each unit's (position, width) into the whole's rows, from `offset` in the row on.
fn scatter<'a>(
    units: impl Iterator<Item = &'a Vec<f32>>,
    shape: Shape,
    width: usize,
    out: &mut [f32],
    row: usize,
    offset: usize,
) {
    for (at, unit) in units.enumerate() {
        let start = at / shape.key_heads * shape.positions * row + offset + at % shape.key_heads * width;
        for (position, from) in unit.chunks_exact(width).enumerate() {
            out[start + position * row..][..width].copy_from_slice(from);
        }
    }
}

/// Rows of `size` at `stride`, as columns: element (d, j) at d · padded + j.
#[inline(always)]
fn columns(rows: &[f32], stride: usize, size: usize, count: usize) -> (Vec<f32>, usize) {
    let padded = count.next_multiple_of(LANES);
    let mut out = vec![0.0; size * padded];
    for j in 0..count {
        for (d, value) in rows[j * stride..][..size].iter().enumerate() {
            out[d * padded + j] = *value;
        }
    }
    (out, padded)
}

/// out[j], j below `count`, is the chain over d of a[d] and columns (d, j).
#[inline(always)]
fn chains<M: Machine>(a: &[f32], columns: &[f32], padded: usize, count: usize, out: &mut [f32]) {
    const WIDE: usize = 4 * LANES;
    let mut first = 0;
    while first + WIDE <= padded && first < count {
        let mut sums = [[0.0; LANES]; 4];
        for (a, row) in a.iter().zip(columns.chunks_exact(padded)) {
            for (vector, sums) in sums.iter_mut().enumerate() {
                *sums = fma::<M>(*a, &load(&row[first + vector * LANES..]), sums);
            }
        }
        let end = (first + WIDE).min(out.len());
        for (sums, out) in sums.iter().zip(out[first..end].chunks_mut(LANES)) {
            store(sums, out);
        }
        first += WIDE;
    }
    while first < count {
        let mut sums: Vector = [0.0; LANES];
        for (a, row) in a.iter().zip(columns.chunks_exact(padded)) {
            sums = fma::<M>(*a, &load(&row[first..]), &sums);
        }
        let end = (first + LANES).min(out.len());
        store(&sums, &mut out[first..end]);
        first += LANES;
    }
}

/// out[d] is the chain over j of weights[j] and rows[j][d].
#[inline(always)]
fn combine<M: Machine>(weights: &[f32], rows: &[f32], stride: usize, out: &mut [f32]) {
    for (block, out) in out.chunks_mut(2 * LANES).enumerate() {
        let first = block * 2 * LANES;
        let (left, right) = out.split_at_mut(LANES.min(out.len()));
        let (mut low, mut high): (Vector, Vector) = ([0.0; LANES], [0.0; LANES]);
        for (j, weight) in weights.iter().enumerate() {
            let row = &rows[j * stride + first..][..left.len() + right.len()];
            low = fma::<M>(*weight, &load(&row[..left.len()]), &low);
            high = fma::<M>(*weight, &load(&row[left.len()..]), &high);
        }
        store(&low, left);
        store(&high, right);
    }
}

/// p of query row `q` against the first `p.len()` keys.
#[inline(always)]
fn probabilities<M: Machine>(q: &[f32], keys: &[f32], padded: usize, scale: f32, p: &mut [f32]) {
    chains::<M>(q, keys, padded, p.len(), p);
    for s in p.iter_mut() {
        *s *= scale;
    }
    let most = largest(p);
    for s in p.iter_mut() {
        *s = exp_lane::<M>(*s - most);
    }
    let z = sum(p);
    for e in p.iter_mut() {
        *e /= z;
    }
}

struct Forward<'a>(Unit<'a>);

impl Kernel for Forward<'_> {
    /// (position, the unit's query heads, size).
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<M: Machine>(self) -> Vec<f32> {
        let Unit { shape, q, k, v, .. } = self.0;
        let (size, group, row) = (shape.size, shape.group(), shape.row());
        let (keys, padded) = columns(k, row, size, shape.positions);
        let mut out = vec![0.0; shape.positions * group * size];
        let mut p = vec![0.0; shape.positions];
        for i in 0..shape.positions {
            for head in 0..group {
                let q = &q[i * row + head * size..][..size];
                let p = &mut p[..=i];
                probabilities::<M>(q, &keys, padded, shape.scale(), p);
                combine::<M>(p, v, row, &mut out[(i * group + head) * size..][..size]);
            }
        }
        out
    }
}

struct Backward<'a> {
    unit: Unit<'a>,
    dy: &'a [f32],
}

impl Kernel for Backward<'_> {
    /// Of q as (position, the unit's query heads, size), of k and of v as (position, size).
    type Output = [Vec<f32>; 3];

    #[inline(always)]
    fn run<M: Machine>(self) -> Self::Output {
        let Unit { shape, q, k, v, output } = self.unit;
        let (size, group, row, scale) = (shape.size, shape.group(), shape.row(), shape.scale());
        let dy = &self.dy[output..];
        let (keys, padded) = columns(k, row, size, shape.positions);
        let (values, _) = columns(v, row, size, shape.positions);
        let mut dq = vec![0.0; shape.positions * group * size];
        let mut dk = vec![0.0; shape.positions * size];
        let mut dv = vec![0.0; shape.positions * size];
        let (mut p, mut ds) = (vec![0.0; shape.positions], vec![0.0; shape.positions]);
        for head in 0..group {
            for i in 0..shape.positions {
                let q = &q[i * row + head * size..][..size];
                let dy = &dy[i * shape.output_row() + head * size..][..size];
                let (p, ds) = (&mut p[..=i], &mut ds[..=i]);
                probabilities::<M>(q, &keys, padded, scale, p);
                chains::<M>(dy, &values, padded, i + 1, ds);
                let along = dot::<M>(p, ds);
                for (ds, p) in ds.iter_mut().zip(p.iter()) {
                    *ds = (p * (*ds - along)) * scale;
                }
                combine::<M>(ds, k, row, &mut dq[(i * group + head) * size..][..size]);
                for j in 0..=i {
                    let (dk, dv) = (&mut dk[j * size..][..size], &mut dv[j * size..][..size]);
                    for d in 0..size {
                        dk[d] = M::fma(ds[j], q[d], dk[d]);
                        dv[d] = M::fma(p[j], dy[d], dv[d]);
                    }
                }
            }
        }
        [dq, dk, dv]
    }
}

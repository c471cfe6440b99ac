//! Causal attention with grouped heads (Vaswani et al., 2017; Ainslie et al., 2023), full or in a
//! sliding window (Beltagy et al., 2020).
//!
//! Scores are held for a few queries at a time and recomputed for the gradient (Dao et al., 2022), so memory grows
//! with the length of the sequence, not with its square.

use rayon::prelude::*;

use crate::cross_entropy::largest;
use crate::elementary::exp_lane;
use crate::heads::Heads;
use crate::isa::{TiledKernel, detect, run_tiled};
use crate::lanes::{LANES, Machine};
use crate::matmul::{Block, Matrix, Panels, Target};
use crate::scratch;
use crate::sum::{dot, sum};

/// Queries whose scores are held together: complete tiles.
pub(crate) const ROWS: usize = 48;

/// The positions that a query attends to: itself and those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attention {
    /// The layout of queries, keys and values.
    pub heads: Heads,
    /// How many positions a query sees, including its own; all if `None`.
    pub window: Option<usize>,
}

impl Attention {
    /// 1 / sqrt(size), in binary64, rounded.
    pub(crate) fn scale(&self) -> f32 {
        (1.0 / (self.heads.size as f64).sqrt()) as f32
    }

    /// The first position that the query at `i` sees.
    pub(crate) const fn first(&self, i: usize) -> usize {
        match self.window {
            Some(window) => (i + 1).saturating_sub(window),
            None => 0,
        }
    }

    /// Number of floats that [`Self::forward`] stores for [`Self::backward`], for `rows` positions.
    pub const fn statistics(&self, rows: usize) -> usize {
        2 * rows * self.heads.heads
    }

    /// The output, (sequence, position, query head, size), from packed rows. For query position i
    /// of a head, over the key positions j that it sees, ascending:
    ///
    /// - q'[d] = q[i, d] / sqrt(size) (the factor rounded to binary32), and s_j is the chain over d
    ///   of q'[d] and k[j, d];
    /// - e_j = exp(s_j − m), m the largest s; r = 1 / z, z the lane sum of the e_j, with the first of them as term 0;
    /// - out[i, d] is (the chain over j of e_j and v[j, d]) · r.
    ///
    /// `statistics` is filled with m and r of each head and position.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn forward(&self, qkv: &[f32], out: &mut [f32], statistics: &mut [f32]) {
        let Heads { positions, key_heads, size, .. } = self.heads;
        let rows = qkv.len() / self.heads.row();
        assert_eq!((out.len(), statistics.len()), (rows * self.heads.output_row(), self.statistics(rows)));
        let width = self.heads.group() * size;
        let mut parts = scratch::floats(out.len());
        parts
            .par_chunks_mut(positions * width)
            .zip(statistics.par_chunks_mut(2 * positions * self.heads.group()))
            .enumerate()
            .for_each(|(unit, (out, statistics))| {
                run_tiled(detect(), Forward { unit: self.unit(qkv, unit), out, statistics });
            });
        let heads = |head| head * width;
        gather(out, self.heads.output_row(), positions, key_heads, &[(&parts, width, &heads)]);
    }

    /// The gradient with respect to the packed rows, given `out` and `statistics` of
    /// [`Self::forward`] and the output's gradient dy. With m and r of each query,
    ///
    /// - p_j = exp(s_j − m) · r; dp_j is the chain over d of dy[i, d] and v[j, d];
    /// - ds_j = p_j · (dp_j − t), t the lane sum over d of the products dy[i, d]·out[i, d];
    /// - dq[i, d] is (the chain over j of ds_j and k[j, d]) / sqrt(size);
    /// - dk[j, d] is the chain over the key head's query heads, ascending, and within each over the queries i that see
    ///   j, ascending, of ds_j and q'[d]; dv[j, d] is the same chain of p_j and dy[i, d].
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn backward(&self, qkv: &[f32], out: &[f32], statistics: &[f32], dy: &[f32], dqkv: &mut [f32]) {
        let Heads { positions, key_heads, size, .. } = self.heads;
        assert_eq!((out.len(), dqkv.len()), (dy.len(), qkv.len()));
        let group = self.heads.group();
        let keys = qkv.len() / self.heads.row() * key_heads * size;
        let (mut dq, mut dk, mut dv) = (scratch::floats(out.len()), scratch::floats(keys), scratch::floats(keys));
        dq.par_chunks_mut(positions * group * size)
            .zip(dk.par_chunks_mut(positions * size).zip(dv.par_chunks_mut(positions * size)))
            .enumerate()
            .for_each(|(at, (dq, (dk, dv)))| {
                let unit = self.unit(qkv, at);
                let statistics = &statistics[2 * at * positions * group..];
                let first = at / key_heads * positions * self.heads.output_row() + at % key_heads * group * size;
                let (out, dy) = (&out[first..], &dy[first..]);
                run_tiled(detect(), Backward { unit, out, statistics, dy, dq, dk, dv });
            });
        let (query, key, value) = (
            |head: usize| self.heads.query(head * group),
            |head: usize| self.heads.key(head),
            |head: usize| self.heads.value(head),
        );
        let parts: [Part<'_>; 3] = [(&dq, group * size, &query), (&dk, size, &key), (&dv, size, &value)];
        gather(dqkv, self.heads.row(), positions, key_heads, &parts);
    }

    /// Sequence ⌊`at` / key heads⌋ and key head `at` mod key heads.
    fn unit<'a>(&self, qkv: &'a [f32], at: usize) -> Unit<'a> {
        let Heads { positions, key_heads, .. } = self.heads;
        let (sequence, head) = (at / key_heads, at % key_heads);
        Unit { attention: *self, head, rows: &qkv[sequence * positions * self.heads.row()..] }
    }
}

/// A buffer of (sequence, key head, position, width), the width, and its position in a row.
type Part<'a> = (&'a [f32], usize, &'a (dyn Fn(usize) -> usize + Sync));

/// Copies what was computed unit by unit into rows.
fn gather(out: &mut [f32], row: usize, positions: usize, key_heads: usize, parts: &[Part<'_>]) {
    out.par_chunks_mut(positions * row).enumerate().for_each(|(sequence, out)| {
        for (part, width, place) in parts {
            for head in 0..key_heads {
                let unit = &part[(sequence * key_heads + head) * positions * width..][..positions * width];
                for (out, from) in out.chunks_exact_mut(row).zip(unit.chunks_exact(*width)) {
                    out[place(head)..][..*width].copy_from_slice(from);
                }
            }
        }
    });
}

/// One sequence and one key head, with the query heads that use it.
struct Unit<'a> {
    attention: Attention,
    head: usize,
    /// The sequence's rows, and the rest after them.
    rows: &'a [f32],
}

impl<'a> Unit<'a> {
    /// (position, size) of the head that begins at `place` in a row.
    fn matrix(&self, place: usize) -> Matrix<'a> {
        let Heads { positions, size, .. } = self.attention.heads;
        Matrix::strided(&self.rows[place..], positions, size, self.attention.heads.row())
    }

    fn keys(&self) -> Matrix<'a> {
        self.matrix(self.attention.heads.key(self.head))
    }

    fn values(&self) -> Matrix<'a> {
        self.matrix(self.attention.heads.value(self.head))
    }

    /// The `count` queries from position `first` on, of the group's query head `head`, scaled.
    fn scaled_queries(&self, head: usize, first: usize, count: usize, to: &mut [f32]) {
        let (heads, scale) = (self.attention.heads, self.attention.scale());
        let place = heads.query(self.head * heads.group() + head);
        for (position, to) in to.chunks_exact_mut(heads.size).enumerate().take(count) {
            let from = &self.rows[(first + position) * heads.row() + place..][..heads.size];
            for (to, q) in to.iter_mut().zip(from) {
                *to = q * scale;
            }
        }
    }

    /// The queries from `first` on whose scores are held together, and the keys that they see.
    fn band(&self, first: usize) -> Band {
        let count = ROWS.min(self.attention.heads.positions - first);
        Band { attention: self.attention, first, count, from: self.attention.first(first), to: first + count }
    }
}

/// Some queries and the keys that any of them sees.
#[derive(Clone, Copy)]
struct Band {
    attention: Attention,
    /// The first query.
    first: usize,
    /// Their number.
    count: usize,
    /// The first key.
    from: usize,
    /// The index after the last key.
    to: usize,
}

impl Band {
    /// The range that row `row` sees: positions relative to `base`.
    fn seen(&self, row: usize, base: usize) -> std::ops::Range<usize> {
        let i = self.first + row;
        self.attention.first(i) - base..i + 1 - base
    }
}

/// The stride of rows of scores, for sequences of `positions`: not a power of two, so that they are in different sets
/// of the cache.
const fn score_stride(positions: usize, width: usize) -> usize {
    positions.next_multiple_of(width) + LANES
}

/// Adds to each row r of `out` the terms weights(r, j)·rows of b, j ascending through `terms(r)`, whose ends never
/// decrease; each element's chain continues from its current value.
#[inline(always)]
fn banded<M: Machine, const TILE: usize, const VECTORS: usize>(
    weights: Matrix<'_>,
    b: (Panels<'_>, Matrix<'_>),
    out: &mut [f32],
    size: usize,
    terms: impl Fn(usize) -> std::ops::Range<usize>,
) {
    let (panels, b) = b;
    for (strip, out) in out.chunks_mut(TILE * size).enumerate() {
        let rows = out.len() / size;
        let first = strip * TILE;
        // The terms that all rows of the tile have are between those that only some have.
        let common = terms(first + rows - 1).start..terms(first).end;
        let common = common.start..common.end.max(common.start);
        for (row, out) in out.chunks_exact_mut(size).enumerate() {
            let own = terms(first + row);
            each::<M>(weights, b, first + row, own.start..common.start.min(own.end), out);
        }
        if !common.is_empty() {
            let a = weights.rows(first, rows).columns(common.start, common.len());
            let out = Target::new(out, rows, size);
            let block = Block { a, b: panels.rows_from(common.start), out, onto: true };
            block.run::<M, TILE, VECTORS>();
        }
        for (row, out) in out.chunks_exact_mut(size).enumerate() {
            let own = terms(first + row);
            each::<M>(weights, b, first + row, common.end.max(own.start)..own.end, out);
        }
    }
}

/// The terms `terms` of one row's chains.
#[inline(always)]
fn each<M: Machine>(weights: Matrix<'_>, b: Matrix<'_>, row: usize, terms: std::ops::Range<usize>, out: &mut [f32]) {
    for j in terms {
        let weight = weights.at(row, j);
        for (out, b) in out.iter_mut().zip(b.row(j)) {
            *out = M::fma(weight, *b, *out);
        }
    }
}

struct Forward<'a, 'o> {
    unit: Unit<'a>,
    /// (position, the unit's query heads, size).
    out: &'o mut [f32],
    /// (the unit's query heads, position, 2).
    statistics: &'o mut [f32],
}

impl TiledKernel for Forward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine, const TILE: usize, const VECTORS: usize>(self) {
        let Self { unit, out, statistics } = self;
        let Heads { positions, size, .. } = unit.attention.heads;
        let (group, width) = (unit.attention.heads.group(), VECTORS * LANES);
        let stride = score_stride(positions, width);
        let mut packed_keys = scratch::floats(Panels::size(positions, size, width));
        let mut packed_values = scratch::floats(Panels::size(size, positions, width));
        let keys = Panels::pack(unit.keys().transposed(), width, &mut packed_keys);
        let values = (Panels::pack(unit.values(), width, &mut packed_values), unit.values());
        let (mut scores, mut part) = (scratch::floats(ROWS * stride), scratch::floats(ROWS * size));
        for (head, statistics) in statistics.chunks_exact_mut(2 * positions).enumerate() {
            for first in (0..positions).step_by(ROWS) {
                let band = unit.band(first);
                let queries = &mut part[..band.count * size];
                unit.scaled_queries(head, first, band.count, queries);
                let base = band.from / width * width;
                score::<M, TILE, VECTORS>(band, queries, size, keys, base, stride, &mut scores);
                let rows = scores.chunks_exact_mut(stride).zip(statistics[2 * first..].chunks_exact_mut(2));
                for (row, (scores, statistics)) in rows.enumerate().take(band.count) {
                    let scores = &mut scores[band.seen(row, base)];
                    let most = largest(scores);
                    for s in scores.iter_mut() {
                        *s = exp_lane::<M>(*s - most);
                    }
                    statistics.copy_from_slice(&[most, 1.0 / sum(scores)]);
                }
                let weights = Matrix::strided(&scores, band.count, stride, stride);
                let mixed = &mut part[..band.count * size];
                mixed.fill(0.0);
                let values = (values.0.rows_from(base), values.1.rows(base, positions - base));
                banded::<M, TILE, VECTORS>(weights, values, mixed, size, |row| band.seen(row, base));
                for (row, mixed) in mixed.chunks_exact(size).enumerate() {
                    let reciprocal = statistics[2 * (first + row) + 1];
                    let to = &mut out[((first + row) * group + head) * size..][..size];
                    for (to, mixed) in to.iter_mut().zip(mixed) {
                        *to = mixed * reciprocal;
                    }
                }
            }
        }
    }
}

/// The products of the band's rows and the keys from `base` on (all keys that the band sees, and some more), with the
/// given `stride`.
#[inline(always)]
fn score<M: Machine, const TILE: usize, const VECTORS: usize>(
    band: Band,
    rows: &[f32],
    size: usize,
    keys: Panels<'_>,
    base: usize,
    stride: usize,
    to: &mut [f32],
) {
    let a = Matrix::new(rows, band.count, size);
    let columns = (band.to - base).next_multiple_of(VECTORS * LANES);
    let out = Target::strided(to, band.count, columns, stride);
    Block { a, b: keys.columns_from(base), out, onto: false }.run::<M, TILE, VECTORS>();
}

struct Backward<'a, 'o> {
    unit: Unit<'a>,
    /// (position, query head, size), starting with the unit's first head.
    out: &'a [f32],
    dy: &'a [f32],
    /// (the unit's query heads, position, 2), and the rest after it.
    statistics: &'a [f32],
    /// (position, the unit's query heads, size).
    dq: &'o mut [f32],
    /// (position, size).
    dk: &'o mut [f32],
    dv: &'o mut [f32],
}

impl TiledKernel for Backward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine, const TILE: usize, const VECTORS: usize>(self) {
        let Self { unit, out, dy, statistics, dq, dk, dv } = self;
        let Heads { positions, size, .. } = unit.attention.heads;
        let (group, width, scale) = (unit.attention.heads.group(), VECTORS * LANES, unit.attention.scale());
        let (row, stride) = (unit.attention.heads.output_row(), score_stride(positions, width));
        let mut packed_keys = scratch::floats(Panels::size(positions, size, width));
        let mut packed_values = scratch::floats(Panels::size(positions, size, width));
        let mut packed_rows = scratch::floats(Panels::size(size, positions, width));
        let keys_across = Panels::pack(unit.keys().transposed(), width, &mut packed_keys);
        let values_across = Panels::pack(unit.values().transposed(), width, &mut packed_values);
        let keys = (Panels::pack(unit.keys(), width, &mut packed_rows), unit.keys());
        let (mut probabilities, mut d_scores) = (scratch::floats(ROWS * stride), scratch::floats(ROWS * stride));
        let (mut queries, mut gradients) = (scratch::floats(ROWS * size), scratch::floats(ROWS * size));
        let mut part = scratch::floats(ROWS * size);
        let mut packed = scratch::floats(Panels::size(size, ROWS, width));
        dk.fill(0.0);
        dv.fill(0.0);
        for head in 0..group {
            let statistics = &statistics[2 * head * positions..];
            for first in (0..positions).step_by(ROWS) {
                let band = unit.band(first);
                let base = band.from / width * width;
                let queries = &mut queries[..band.count * size];
                unit.scaled_queries(head, first, band.count, queries);
                let gradients = &mut gradients[..band.count * size];
                for (at, to) in gradients.chunks_exact_mut(size).enumerate() {
                    to.copy_from_slice(&dy[(first + at) * row + head * size..][..size]);
                }
                score::<M, TILE, VECTORS>(band, queries, size, keys_across, base, stride, &mut probabilities);
                score::<M, TILE, VECTORS>(band, gradients, size, values_across, base, stride, &mut d_scores);
                let rows = probabilities.chunks_exact_mut(stride).zip(d_scores.chunks_exact_mut(stride));
                for (at, (p, ds)) in rows.enumerate().take(band.count) {
                    let (most, reciprocal) = (statistics[2 * (first + at)], statistics[2 * (first + at) + 1]);
                    let out = &out[(first + at) * row + head * size..][..size];
                    let along = dot::<M>(&gradients[at * size..][..size], out);
                    let seen = band.seen(at, base);
                    for (p, ds) in p[seen.clone()].iter_mut().zip(&mut ds[seen]) {
                        *p = exp_lane::<M>(*p - most) * reciprocal;
                        *ds = *p * (*ds - along);
                    }
                }
                let d_scores = Matrix::strided(&d_scores, band.count, stride, stride);
                let probabilities = Matrix::strided(&probabilities, band.count, stride, stride);
                let part = &mut part[..band.count * size];
                part.fill(0.0);
                let keys = (keys.0.rows_from(base), keys.1.rows(base, positions - base));
                banded::<M, TILE, VECTORS>(d_scores, keys, part, size, |row| band.seen(row, base));
                for (at, part) in part.chunks_exact(size).enumerate() {
                    let to = &mut dq[((first + at) * group + head) * size..][..size];
                    for (to, part) in to.iter_mut().zip(part) {
                        *to = part * scale;
                    }
                }
                // The queries of the band that see the key at base + j, as rows of the band.
                let seen_by = |j: usize| {
                    let key = base + j;
                    let end = match unit.attention.window {
                        Some(window) => (key + window).min(band.to),
                        None => band.to,
                    };
                    let start = key.max(first).min(end);
                    start - first.min(start)..end.max(first) - first
                };
                let to = base * size..band.to * size;
                for (weights, rows, out) in
                    [(d_scores, &*queries, &mut dk[to.clone()]), (probabilities, &*gradients, &mut dv[to])]
                {
                    let rows = Matrix::new(rows, band.count, size);
                    let b = (Panels::pack(rows, width, &mut packed[..Panels::size(size, band.count, width)]), rows);
                    banded::<M, TILE, VECTORS>(weights.transposed(), b, out, size, seen_by);
                }
            }
        }
    }
}

//! Attention of positions that continue known ones: keys and values are kept, and several sequences can continue the
//! same ones.
//!
//! The order of operations of each output is that of [`Attention::forward`]: whether a position's keys were computed
//! just now or kept, and how a sequence was divided, changes no bit.

use std::ops::Range;

use rayon::prelude::*;

use crate::attention::{Attention, ROWS};
use crate::cross_entropy::largest;
use crate::elementary::exp_lane;
use crate::heads::Heads;
use crate::isa::{TiledKernel, detect, run_tiled};
use crate::lanes::{LANES, Machine};
use crate::matmul::{Block, Matrix, Panels, Target};
use crate::scratch;
use crate::sum::sum;

/// The keys and values of consecutive positions of a sequence, of all key heads of a layer.
///
/// They are kept as the panels that a product reads, sixteen columns wide with every instruction set: those of the
/// keys have positions as columns, those of the values elements of a head.
#[derive(Debug, Clone)]
pub struct Context {
    heads: Heads,
    /// The first position.
    first: usize,
    positions: usize,
    /// Positions for which there is memory: a multiple of `LANES`.
    capacity: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Context {
    /// No positions yet; the next is position `first` of its sequence. The field `positions` of `heads` is not used.
    pub const fn new(heads: Heads, first: usize) -> Self {
        Self { heads, first, positions: 0, capacity: 0, keys: Vec::new(), values: Vec::new() }
    }

    /// The positions whose keys and values are kept.
    pub const fn range(&self) -> Range<usize> {
        self.first..self.first + self.positions
    }

    /// Floats of the keys and of the values of one head, if there is memory for `capacity` positions.
    const fn sizes(&self, capacity: usize) -> (usize, usize) {
        (self.heads.size * capacity, self.heads.size.next_multiple_of(LANES) * capacity)
    }

    /// Adds the next positions: packed rows of queries, keys and values, in the order of the positions.
    ///
    /// # Panics
    /// If `rows` are not complete rows.
    pub fn push(&mut self, rows: &[f32]) {
        let heads = self.heads;
        assert!(rows.len().is_multiple_of(heads.row()), "{} numbers in rows of {}", rows.len(), heads.row());
        let count = rows.len() / heads.row();
        self.reserve(count);
        let (keys, values) = self.sizes(self.capacity);
        for head in 0..heads.key_heads {
            let (keys, values) = (&mut self.keys[head * keys..][..keys], &mut self.values[head * values..][..values]);
            for (position, row) in (self.positions..).zip(rows.chunks_exact(heads.row())) {
                let panel = &mut keys[position / LANES * LANES * heads.size..];
                for (at, key) in row[heads.key(head)..][..heads.size].iter().enumerate() {
                    panel[at * LANES + position % LANES] = *key;
                }
                let value = &row[heads.value(head)..][..heads.size];
                for (panel, value) in values.chunks_exact_mut(self.capacity * LANES).zip(value.chunks(LANES)) {
                    panel[position * LANES..][..value.len()].copy_from_slice(value);
                }
            }
        }
        self.positions += count;
    }

    /// Makes room for `count` more positions. It doubles, so that adding positions one at a time takes linear time.
    fn reserve(&mut self, count: usize) {
        let needed = self.positions + count;
        if needed <= self.capacity {
            return;
        }
        let capacity = needed.max(2 * self.capacity).next_multiple_of(LANES);
        let ((old_keys, old_values), (keys, values)) = (self.sizes(self.capacity), self.sizes(capacity));
        let mut grown = vec![0.0; self.heads.key_heads * keys];
        for (to, from) in grown.chunks_exact_mut(keys).zip(self.keys.chunks_exact(old_keys.max(1))) {
            to[..old_keys].copy_from_slice(from);
        }
        self.keys = grown;
        let mut grown = vec![0.0; self.heads.key_heads * values];
        for (to, from) in grown.chunks_exact_mut(values).zip(self.values.chunks_exact(old_values.max(1))) {
            let panels = from.chunks_exact(self.capacity * LANES);
            for (to, from) in to.chunks_exact_mut(capacity * LANES).zip(panels) {
                to[..from.len()].copy_from_slice(from);
            }
        }
        self.values = grown;
        self.capacity = capacity;
    }

    /// The keys of a head from position `at` of this context on, a multiple of `LANES`, as columns.
    fn keys_from(&self, head: usize, at: usize) -> Panels<'_> {
        let (keys, _) = self.sizes(self.capacity);
        Panels::packed(&self.keys[head * keys..][..keys], self.heads.size).columns_from(at)
    }

    /// The values of a head, as rows.
    fn values(&self, head: usize) -> Panels<'_> {
        let (_, values) = self.sizes(self.capacity);
        Panels::packed(&self.values[head * values..][..values], self.capacity)
    }
}

/// Rows that continue a sequence.
#[derive(Debug, Clone)]
pub struct Continued<'a> {
    /// The number of rows; they are the last positions of the last context.
    pub rows: usize,
    /// The sequence: contexts of adjoining positions, ascending from position 0. The last has the rows' own keys.
    pub contexts: Vec<&'a Context>,
}

impl Attention {
    /// The output, (row, query head, size), as of [`Self::forward`], of rows that continue sequences: `qkv` has the
    /// packed rows of the first sequence, then those of the next. The field `positions` of the heads is not used.
    ///
    /// # Panics
    /// If the lengths do not fit, or the contexts of a sequence do not adjoin.
    pub fn continued(&self, qkv: &[f32], sequences: &[Continued<'_>], out: &mut [f32]) {
        let heads = self.heads;
        let (width, rows) = (heads.group() * heads.size, sequences.iter().map(|s| s.rows).sum::<usize>());
        assert_eq!((qkv.len(), out.len()), (rows * heads.row(), rows * heads.output_row()));
        let mut parts = scratch::floats(out.len());
        let (mut units, mut left, mut first) = (Vec::new(), &mut *parts, 0);
        for sequence in sequences {
            sequence.check();
            let own = &qkv[first * heads.row()..][..sequence.rows * heads.row()];
            for head in 0..heads.key_heads {
                let (out, rest) = left.split_at_mut(sequence.rows * width);
                units.push(Unit { attention: *self, sequence, head, rows: own, out });
                left = rest;
            }
            first += sequence.rows;
        }
        // Units have very different sizes.
        units.into_par_iter().with_max_len(1).for_each(|unit| run_tiled(detect(), unit));
        let (mut from, mut to) = (&*parts, out);
        for sequence in sequences {
            let (own, rest) = from.split_at(sequence.rows * heads.output_row());
            let (target, after) = std::mem::take(&mut to).split_at_mut(own.len());
            for (head, part) in own.chunks_exact((sequence.rows * width).max(1)).enumerate() {
                for (out, part) in target.chunks_exact_mut(heads.output_row()).zip(part.chunks_exact(width)) {
                    out[head * width..][..width].copy_from_slice(part);
                }
            }
            (from, to) = (rest, after);
        }
    }
}

impl Continued<'_> {
    fn check(&self) {
        let mut end = 0;
        for context in &self.contexts {
            assert_eq!(context.first, end, "contexts adjoin");
            end = context.range().end;
        }
        assert!(self.contexts.last().is_some_and(|own| own.positions >= self.rows), "the last has the rows' own keys");
    }

    /// The number of positions.
    fn length(&self) -> usize {
        self.contexts.last().map_or(0, |last| last.range().end)
    }
}

/// One sequence and one key head, with the query heads that use it.
struct Unit<'a, 'o> {
    attention: Attention,
    sequence: &'a Continued<'a>,
    head: usize,
    /// The sequence's packed rows.
    rows: &'a [f32],
    /// (row, the unit's query heads, size).
    out: &'o mut [f32],
}

impl TiledKernel for Unit<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine, const TILE: usize, const VECTORS: usize>(self) {
        let Self { attention, sequence, head, rows, out } = self;
        let Heads { size, .. } = attention.heads;
        let (group, length, scale) = (attention.heads.group(), sequence.length(), attention.scale());
        // Not a power of two, so that rows are in different sets of the cache.
        let stride = length.next_multiple_of(LANES) + LANES;
        let held = ROWS.min(sequence.rows);
        let (mut scores, mut part) = (scratch::floats(held * stride), scratch::floats(held * size));
        let mut factors = scratch::floats(held);
        for query in 0..group {
            let place = attention.heads.query(head * group + query);
            for first in (0..sequence.rows).step_by(ROWS) {
                let count = ROWS.min(sequence.rows - first);
                let position = length - sequence.rows + first;
                let seen = |row: usize| attention.first(position + row)..position + row + 1;
                let queries = &mut part[..count * size];
                for (row, to) in queries.chunks_exact_mut(size).enumerate() {
                    let from = &rows[(first + row) * attention.heads.row() + place..][..size];
                    for (to, q) in to.iter_mut().zip(from) {
                        *to = q * scale;
                    }
                }
                let (from, to) = (seen(0).start, position + count);
                for context in &sequence.contexts {
                    let (start, end) = (from.max(context.first), to.min(context.range().end));
                    if start < end {
                        let left = (start - context.first) / LANES * LANES;
                        let columns = end - context.first - left;
                        let a = Matrix::new(queries, count, size);
                        let out = Target::strided(&mut scores[context.first + left..], count, columns, stride);
                        product::<M, TILE>(Block { a, b: context.keys_from(head, left), out, onto: false });
                    }
                }
                for (row, (scores, factor)) in
                    scores.chunks_exact_mut(stride).zip(factors.iter_mut()).enumerate().take(count)
                {
                    let scores = &mut scores[seen(row)];
                    let most = largest(scores);
                    for s in scores.iter_mut() {
                        *s = exp_lane::<M>(*s - most);
                    }
                    *factor = 1.0 / sum(scores);
                }
                let mixed = &mut part[..count * size];
                mixed.fill(0.0);
                for context in &sequence.contexts {
                    let within = |row: usize| {
                        let (seen, known) = (seen(row), context.range());
                        let start = seen.start.clamp(known.start, known.end);
                        start - known.start..seen.end.clamp(start, known.end) - known.start
                    };
                    let scores = scores.get(context.first..).unwrap_or_default();
                    let weights = Matrix::strided(scores, count, context.positions, stride);
                    mix::<M, TILE>(weights, context.values(head), mixed, size, within);
                }
                for (row, (mixed, factor)) in mixed.chunks_exact(size).zip(factors.iter()).enumerate() {
                    let to = &mut out[((first + row) * group + query) * size..][..size];
                    for (to, mixed) in to.iter_mut().zip(mixed) {
                        *to = mixed * factor;
                    }
                }
            }
        }
    }
}

/// A product of few or many rows.
#[inline(always)]
fn product<M: Machine, const TILE: usize>(block: Block<'_, '_>) {
    match block.a.is_row() {
        true => block.run::<M, 1, 1>(),
        false => block.run::<M, TILE, 1>(),
    }
}

/// Adds to each row r of `out` the terms weights(r, j)·rows of b, j ascending through `terms(r)`, whose ends never
/// decrease; each element's chain continues from its current value.
#[inline(always)]
fn mix<M: Machine, const TILE: usize>(
    weights: Matrix<'_>,
    b: Panels<'_>,
    out: &mut [f32],
    size: usize,
    terms: impl Fn(usize) -> Range<usize>,
) {
    for (strip, out) in out.chunks_mut(TILE * size).enumerate() {
        let (first, rows) = (strip * TILE, out.len() / size);
        // The terms that all rows of the tile have are between those that only some have.
        let common = terms(first + rows - 1).start..terms(first).end;
        let common = common.start..common.end.max(common.start);
        for (row, out) in (first..).zip(out.chunks_exact_mut(size)) {
            let own = terms(row);
            let own = own.start..common.start.min(own.end).max(own.start);
            add::<M, TILE>(weights.rows(row, 1), b, own, out, size);
        }
        add::<M, TILE>(weights.rows(first, rows), b, common.clone(), out, size);
        for (row, out) in (first..).zip(out.chunks_exact_mut(size)) {
            let own = terms(row);
            let start = common.end.max(own.start);
            add::<M, TILE>(weights.rows(row, 1), b, start..own.end.max(start), out, size);
        }
    }
}

/// Adds the terms `terms` to every row of `out`.
// Not a closure: it would not be compiled for the instruction set.
#[inline(always)]
fn add<M: Machine, const TILE: usize>(
    weights: Matrix<'_>,
    b: Panels<'_>,
    terms: Range<usize>,
    out: &mut [f32],
    size: usize,
) {
    if !terms.is_empty() {
        let (rows, a) = (out.len() / size, weights.columns(terms.start, terms.len()));
        let out = Target::new(out, rows, size);
        product::<M, TILE>(Block { a, b: b.rows_from(terms.start), out, onto: true });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heads::Order;
    use crate::isa::tests::here;
    use crate::isa::{Isa, force};
    use crate::random::Stream;

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    /// Every division of a sequence gives the bits of the complete sequence, with every instruction set.
    #[test]
    fn continued_is_the_whole() {
        let stream = Stream::new(5, "divisions");
        let mut call = 0;
        let mut below = |n: usize| {
            call += 1;
            stream.below(0, call, n as u64) as usize
        };
        let (best, all): (Isa, Vec<Isa>) = (detect(), here().collect());
        for case in 0..60 {
            let key_heads = [1, 2, 3][below(3)];
            let (order, group) = match below(3) {
                0 => (Order::Interleaved, 1),
                _ => (Order::Grouped, 1 + below(3)),
            };
            let positions = [1, 7, 17, 48, 61, 130, 300][below(7)];
            let size = [4, 16, 24, 64][below(4)];
            let heads = Heads { positions, heads: key_heads * group, key_heads, size, order };
            let window = [None, Some(1), Some(5), Some(40), Some(500)][below(5)];
            let attention = Attention { heads, window };
            let mut qkv = vec![0.0; positions * heads.row()];
            Stream::new(case, "qkv").normal(0, 1.0, &mut qkv);
            let mut whole = vec![f32::NAN; positions * heads.output_row()];
            let mut statistics = vec![0.0; attention.statistics(positions)];
            attention.forward(&qkv, &mut whole, &mut statistics);

            // Other tests that run at the same time have the same bits with it.
            assert!(force(all[case as usize % all.len()]));
            let mut done: Vec<Context> = Vec::new();
            let mut next = Context::new(heads, 0);
            let mut at = 0;
            while at < positions {
                let most = [1, 3, 60, 1000][below(4)];
                let rows = 1 + below(most.min(positions - at));
                let own = &qkv[at * heads.row()..][..rows * heads.row()];
                next.push(own);
                // The same rows twice: two sequences with the same beginning.
                let contexts: Vec<&Context> = done.iter().chain([&next]).collect();
                let sequence = Continued { rows, contexts };
                let mut out = vec![f32::NAN; 2 * rows * heads.output_row()];
                attention.continued(&[own, own].concat(), &[sequence.clone(), sequence], &mut out);
                let expected = &whole[at * heads.output_row()..][..rows * heads.output_row()];
                assert_eq!(bits(&out), bits(&[expected, expected].concat()), "{case}: {attention:?} from {at}");
                at += rows;
                if below(2) == 0 {
                    done.push(std::mem::replace(&mut next, Context::new(heads, at)));
                }
            }
            assert!(force(best));
        }
    }
}

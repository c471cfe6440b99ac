//! Element-wise operations.

use rayon::prelude::*;

use crate::random::Stream;

/// Elements per task; a multiple of 4.
const TASK: usize = 1 << 14;

/// `to` + `from`, in place.
pub fn add(to: &mut [f32], from: &[f32]) {
    to.par_chunks_mut(TASK).zip(from.par_chunks(TASK)).for_each(|(to, from)| {
        to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
    });
}

/// The binary32 numbers whose upper halves are `bits`: those of bfloat16, exactly.
pub fn widen(bits: &[[u8; 2]], to: &mut [f32]) {
    to.par_chunks_mut(TASK).zip(bits.par_chunks(TASK)).for_each(|(to, bits)| {
        let wide = |bits: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*bits)) << 16);
        to.iter_mut().zip(bits).for_each(|(to, bits)| *to = wide(bits));
    });
}

/// `to` · `factor`, in place.
pub fn scale(to: &mut [f32], factor: f32) {
    to.par_chunks_mut(TASK).for_each(|to| to.iter_mut().for_each(|to| *to *= factor));
}

/// Adds `bias` to the elements from `first` on of each row, which has length `row`.
pub fn add_bias(rows: &mut [f32], row: usize, first: usize, bias: &[f32]) {
    rows.par_chunks_mut(row).for_each(|row| {
        row[first..].iter_mut().zip(bias).for_each(|(to, from)| *to += from);
    });
}

/// The gradient of the bias: the sum of the rows of `dy`, each of length `row`, by `+`, from +0, rows ascending;
/// elements from `first` on, as many as `dbias` has.
pub fn sum_rows(dy: &[f32], row: usize, first: usize, dbias: &mut [f32]) {
    dbias.par_chunks_mut(64).enumerate().for_each(|(task, dbias)| {
        dbias.fill(0.0);
        let first = first + task * 64;
        for dy in dy.chunks_exact(row) {
            dbias.iter_mut().zip(&dy[first..]).for_each(|(sum, dy)| *sum += dy);
        }
    });
}

/// Each element clipped to between −`limit` and `limit`.
pub fn clip(x: &[f32], limit: f32, out: &mut [f32]) {
    out.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).for_each(|(out, x)| {
        for (out, x) in out.iter_mut().zip(x) {
            let low = if *x < -limit { -limit } else { *x };
            *out = if low > limit { limit } else { low };
        }
    });
}

/// The gradient of [`clip`], in place: +0 where |x| > limit.
pub fn clip_backward(x: &[f32], limit: f32, dy: &mut [f32]) {
    dy.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).for_each(|(dy, x)| {
        for (dy, x) in dy.iter_mut().zip(x) {
            *dy = if x.abs() > limit { 0.0 } else { *dy };
        }
    });
}

/// Dropout (Srivastava et al., 2014), in place, of the values and, in the same way, of their gradient: element i is +0
/// where word i mod 4 of `stream` at (`step`, `index` + ⌊i/4⌋) is below rate·2^32, and is otherwise multiplied by 1/(1
/// − rate), both factors computed in binary64, the latter rounded.
pub fn dropout(values: &mut [f32], rate: f64, stream: &Stream, step: u64, index: u64) {
    let below = (rate * 4_294_967_296.0) as u64;
    let factor = (1.0 / (1.0 - rate)) as f32;
    values.par_chunks_mut(TASK).enumerate().for_each(|(task, values)| {
        let first = index + (task * TASK / 4) as u64;
        for (block, values) in values.chunks_mut(4).enumerate() {
            let words = stream.at(step, first + block as u64);
            for (value, word) in values.iter_mut().zip(words) {
                *value = if u64::from(word) < below { 0.0 } else { *value * factor };
            }
        }
    });
}

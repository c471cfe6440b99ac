//! Lookup of rows of a table by token.

use rayon::prelude::*;

/// out[t] = table[ids[t]], rows of `width`.
///
/// # Panics
/// If an id has no row.
pub fn forward(table: &[f32], width: usize, ids: &[u32], out: &mut [f32]) {
    out.par_chunks_exact_mut(width).zip(ids).for_each(|(out, id)| {
        out.copy_from_slice(&table[*id as usize * width..][..width]);
    });
}

/// Adds to each row of the table's gradient `dtable`, by `+`, the rows of `dy` at the positions of its token, in
/// ascending order.
///
/// # Panics
/// If an id has no row.
pub fn backward(width: usize, ids: &[u32], dy: &[f32], dtable: &mut [f32]) {
    for (dy, id) in dy.chunks_exact(width).zip(ids) {
        for (sum, dy) in dtable[*id as usize * width..][..width].iter_mut().zip(dy) {
            *sum += dy;
        }
    }
}

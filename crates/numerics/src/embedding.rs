//! Rows of a table, by token.

/// out[t] = table[ids[t]], rows of `width`.
///
/// # Panics
/// If an id has no row.
pub fn forward(table: &[f32], width: usize, ids: &[u32], out: &mut [f32]) {
    for (out, id) in out.chunks_exact_mut(width).zip(ids) {
        out.copy_from_slice(&table[*id as usize * width..][..width]);
    }
}

/// The gradient of the table of `rows` rows: each row adds, by `+` and from +0, the rows of `dy` at
/// which its token stands, in ascending order.
///
/// # Panics
/// If an id has no row.
pub fn backward(rows: usize, width: usize, ids: &[u32], dy: &[f32]) -> Vec<f32> {
    let mut dtable = vec![0.0; rows * width];
    for (dy, id) in dy.chunks_exact(width).zip(ids) {
        for (sum, dy) in dtable[*id as usize * width..][..width].iter_mut().zip(dy) {
            *sum += dy;
        }
    }
    dtable
}

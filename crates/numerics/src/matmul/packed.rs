//! Products with a matrix that was packed before.

use rayon::prelude::*;

use super::{Block, COLUMNS, Matrix, Panels, Target, pack_panels};
use crate::isa::{Isa, detect, run_tiled, tile_width};
use crate::scratch;

/// A matrix that is copied once for many products with few rows, for which copying it each time would take longest.
#[derive(Debug)]
pub struct Packed {
    isa: Isa,
    depth: usize,
    columns: usize,
    panels: Vec<f32>,
}

impl Packed {
    /// Copies `b`, for the instruction set in use.
    pub fn new(b: Matrix<'_>) -> Self {
        let isa = detect();
        let width = tile_width(isa);
        let mut panels = vec![0.0; Panels::size(b.columns, b.rows, width)];
        let together = b.columns.div_ceil(width).div_ceil(rayon::current_num_threads()).max(1);
        panels.par_chunks_mut((together * width * b.rows).max(1)).enumerate().for_each(|(group, packed)| {
            pack_panels(b.columns_from(group * together * width), width, packed);
        });
        Self { isa, depth: b.rows, columns: b.columns, panels }
    }
}

/// As [`matmul`], with a matrix that was packed.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul_packed(a: Matrix<'_>, b: &Packed, out: Target<'_>) {
    assert_eq!(a.columns, b.depth, "{} x {} by {} x {}", a.rows, a.columns, b.depth, b.columns);
    assert_eq!((out.rows, out.columns), (a.rows, b.columns), "the output of {} x {}", a.rows, b.columns);
    let Target { data, rows, columns, stride } = out;
    if rows == 0 || columns == 0 {
        return;
    }
    let width = tile_width(b.isa);
    // Columns per task: the threads divide columns, because there are few rows.
    let share = columns.div_ceil(4 * rayon::current_num_threads()).next_multiple_of(width).min(COLUMNS);
    let mut parts = scratch::floats(rows * columns);
    if b.depth == 0 {
        parts.fill(0.0);
    }
    parts.par_chunks_mut(rows * share).enumerate().for_each(|(task, part)| {
        let (left, columns) = (task * share, part.len() / rows);
        let b_panels = Panels::packed(&b.panels[left * b.depth..], b.depth);
        let out = Target { data: part, rows, columns, stride: columns };
        run_tiled(b.isa, Block { a, b: b_panels, out, onto: false });
    });
    data.par_chunks_mut(stride).take(rows).enumerate().for_each(|(row, to)| {
        for (part, to) in parts.chunks(rows * share).zip(to[..columns].chunks_mut(share)) {
            to.copy_from_slice(&part[row * to.len()..][..to.len()]);
        }
    });
}

//! Rotary position embedding (Su et al., 2021), in the form that rotates element i with element i + n/2 of the n
//! rotated elements, as Llama's and GPT-NeoX's released weights expect.

use rayon::prelude::*;

use crate::heads::Heads;
use crate::isa::{Kernel, dispatch};
use crate::lanes::Machine;

/// The cosines and sines of every position and pair: position after position, one entry per pair.
#[derive(Debug, Clone)]
pub struct Tables {
    pairs: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Tables {
    /// Tables for `positions` positions. The angle of pair i at position p is p · frequencies[i], in
    /// binary64, as are its cosine and sine (by `libm`), each times `factor`, then rounded.
    pub fn new(frequencies: &[f64], factor: f64, positions: usize) -> Self {
        let angles = (0..positions).flat_map(|p| frequencies.iter().map(move |f| p as f64 * f));
        let turned = |angle| ((libm::cos(angle) * factor) as f32, (libm::sin(angle) * factor) as f32);
        let (cosines, sines) = angles.map(turned).unzip();
        Self { pairs: frequencies.len(), cosines, sines }
    }

    /// The frequencies for heads with `turned` rotated elements (an even number): pair i has theta^(−2i/turned), in
    /// binary64 (the power by `libm`).
    pub fn frequencies(theta: f64, turned: usize) -> Vec<f64> {
        (0..turned / 2).map(|i| libm::pow(theta, -(2.0 * i as f64) / turned as f64)).collect()
    }

    /// The number of positions in the tables.
    pub fn positions(&self) -> usize {
        self.cosines.len().checked_div(self.pairs).unwrap_or(usize::MAX)
    }

    /// Rotates the first 2·(pairs) elements of the query and key heads of every row, in place; each sequence begins at
    /// position 0.
    ///
    /// With x1 and x2 the two halves of the rotated elements: y1 = fma(x1, cos, −(x2·sin)) and y2 = fma(x2, cos,
    /// x1·sin).
    pub fn turn(&self, qkv: &mut [f32], heads: &Heads) {
        self.turn_by(1.0, qkv, heads);
    }

    /// As [`Self::turn`], with row r at position `positions`[r] of its sequence.
    ///
    /// # Panics
    /// If there are not as many positions as rows, or one is not in the tables.
    pub fn turn_at(&self, positions: &[usize], qkv: &mut [f32], heads: &Heads) {
        assert_eq!(qkv.len(), positions.len() * heads.row(), "rows and their positions");
        qkv.par_chunks_mut(heads.row())
            .zip(positions)
            .for_each(|(row, position)| self.turn_row(1.0, *position, row, heads));
    }

    /// The gradient: the inverse rotation, with −sin for sin.
    pub fn turn_back(&self, dqkv: &mut [f32], heads: &Heads) {
        self.turn_by(-1.0, dqkv, heads);
    }

    fn turn_by(&self, sign: f32, qkv: &mut [f32], heads: &Heads) {
        let turn = |(at, row)| self.turn_row(sign, at % heads.positions, row, heads);
        qkv.par_chunks_mut(heads.row()).enumerate().for_each(turn);
    }

    fn turn_row(&self, sign: f32, position: usize, row: &mut [f32], heads: &Heads) {
        let from = position * self.pairs;
        let (cosines, sines) = (&self.cosines[from..from + self.pairs], &self.sines[from..from + self.pairs]);
        dispatch(Turn { row, heads, cosines, sines, sign });
    }
}

struct Turn<'a, 'o> {
    row: &'o mut [f32],
    heads: &'a Heads,
    cosines: &'a [f32],
    sines: &'a [f32],
    sign: f32,
}

impl Kernel for Turn<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let Self { row, heads, cosines, sines, sign } = self;
        let pairs = cosines.len();
        for head in 0..heads.heads + heads.key_heads {
            let place = match head.checked_sub(heads.heads) {
                None => heads.query(head),
                Some(key) => heads.key(key),
            };
            let (first, second) = row[place..place + 2 * pairs].split_at_mut(pairs);
            for ((x1, x2), (cos, sin)) in first.iter_mut().zip(second).zip(cosines.iter().zip(sines)) {
                let sin = sin * sign;
                let (y1, y2) = (M::fma(*x1, *cos, -(*x2 * sin)), M::fma(*x2, *cos, *x1 * sin));
                (*x1, *x2) = (y1, y2);
            }
        }
    }
}

//! The negative log-likelihood of the next token, in nats, and the z-loss (de Brébisson and
//! Vincent, 2016; Chowdhery et al., 2022), which keeps the logits' normaliser near 1.

use rayon::prelude::*;

use crate::elementary::exp_lane;
use crate::isa::{Kernel, dispatch};
use crate::lanes::Machine;
use crate::sum::sum;

/// The additional loss of a row of logits, beside the negative log-likelihood.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// Coefficient of the square of the normaliser's logarithm; 0 for none.
    pub z_weight: f32,
}

impl Loss {
    /// For each row r that has a target, out[r] = n_r and z[r] = z_weight · (l_r · l_r), where, with m the largest of
    /// row r and s the lane sum of exp(x[r, c] − m): n_r = ln s − (x[r, target] − m) and l_r = m + ln s; ln in
    /// binary64, rounded. Both are +0 for a row without a target.
    ///
    /// # Panics
    /// If a target is not below `width`.
    pub fn forward(&self, logits: &[f32], width: usize, targets: &[Option<u32>], out: &mut [Row]) {
        out.par_iter_mut().zip(logits.par_chunks(width).zip(targets)).for_each(|(out, (logits, target))| {
            let mut exponentials = crate::scratch::floats(width);
            exponentials.copy_from_slice(logits);
            *out = match target {
                Some(target) => self.row(&mut exponentials, *target).0,
                None => Row::default(),
            };
        });
    }

    /// As [`Self::forward`], and replaces the logits by the gradient of `scale` times the losses' sum: scale ·
    /// (fma(2·(z_weight · l_r), p, p) − [c is the target]), with p = exp(x[r, c] − m) / s; +0 for a row without a
    /// target.
    ///
    /// # Panics
    /// If a target is not below `width`.
    pub fn backward(&self, logits: &mut [f32], width: usize, targets: &[Option<u32>], scale: f32, out: &mut [Row]) {
        out.par_iter_mut().zip(logits.par_chunks_mut(width).zip(targets)).for_each(|(out, (logits, target))| {
            let Some(target) = target else {
                *out = Row::default();
                return logits.fill(0.0);
            };
            let (row, normaliser, total) = self.row(logits, *target);
            *out = row;
            let more = 2.0 * (self.z_weight * normaliser);
            dispatch(Gradient { exponentials: logits, total, more, target: *target as usize, scale });
        });
    }

    /// Replaces logits by their exponentials; returns the row's losses, l and s.
    fn row(&self, logits: &mut [f32], target: u32) -> (Row, f32, f32) {
        let of_target = logits[target as usize];
        let (most, total) = dispatch(Softmax { logits });
        let logarithm = libm::log(f64::from(total)) as f32;
        let normaliser = most + logarithm;
        let row = Row { loss: logarithm - (of_target - most), z_loss: self.z_weight * (normaliser * normaliser) };
        (row, normaliser, total)
    }
}

/// For each (row, target), the negative log-likelihood n of [`Loss::forward`], and the first of the row's largest
/// logits. `logits` are rows of `width`; `asked` has ascending rows. The logits are overwritten.
///
/// # Panics
/// If there is no such row, or a target is not below `width`.
pub fn scores(logits: &mut [f32], width: usize, asked: &[(usize, u32)]) -> Vec<Score> {
    let mut rows: Vec<(&mut [f32], &[(usize, u32)])> = Vec::new();
    let mut left = logits.chunks_exact_mut(width).enumerate();
    for asked in asked.chunk_by(|a, b| a.0 == b.0) {
        let row = left.find(|(row, _)| *row == asked[0].0);
        rows.push((row.expect("rows are ascending, and there are as many").1, asked));
    }
    let loss = Loss { z_weight: 0.0 };
    let of_row = |(logits, asked): (&mut [f32], &[(usize, u32)])| {
        let most = largest(logits);
        let best = logits.iter().position(|logit| *logit == most).unwrap_or(0) as u32;
        let (last, others) = asked.split_last().expect("a row has questions");
        let mut scores = Vec::with_capacity(asked.len());
        if !others.is_empty() {
            let mut exponentials = crate::scratch::floats(width);
            for (_, target) in others {
                exponentials.copy_from_slice(logits);
                scores.push(Score { loss: loss.row(&mut exponentials, *target).0.loss, best });
            }
        }
        scores.push(Score { loss: loss.row(logits, last.1).0.loss, best });
        scores
    };
    rows.into_par_iter().flat_map_iter(of_row).collect()
}

/// How a row of logits predicts a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// The negative log-likelihood of the target, in nats.
    pub loss: f32,
    /// The column of the largest logit; the first, if several are equal.
    pub best: u32,
}

/// The losses of one row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Row {
    /// The negative log-likelihood, in nats.
    pub loss: f32,
    /// The z-loss.
    pub z_loss: f32,
}

/// Replaces logits by exp(x − m) and returns m and their lane sum.
struct Softmax<'o> {
    logits: &'o mut [f32],
}

impl Kernel for Softmax<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run<M: Machine>(self) -> (f32, f32) {
        let most = largest(self.logits);
        for logit in self.logits.iter_mut() {
            *logit = exp_lane::<M>(*logit - most);
        }
        (most, sum(self.logits))
    }
}

struct Gradient<'o> {
    exponentials: &'o mut [f32],
    total: f32,
    more: f32,
    target: usize,
    scale: f32,
}

impl Kernel for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let Self { exponentials, total, more, target, scale } = self;
        let of_target = exponentials[target] / total;
        for value in exponentials.iter_mut() {
            let p = *value / total;
            *value = scale * M::fma(more, p, p);
        }
        exponentials[target] = scale * (M::fma(more, of_target, of_target) - 1.0);
    }
}

/// The largest of `values`; if one is NaN, the exponentials become NaN, so it is visible.
#[inline(always)]
pub(crate) fn largest(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (whole, rest) = values.as_chunks::<16>();
    for chunk in whole {
        for lane in 0..16 {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |most, value| if *value > most { *value } else { most })
}

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
    assert!(asked.is_sorted_by_key(|(row, _)| *row), "ascending rows");
    assert!(asked.last().is_none_or(|(row, _)| (row + 1) * width <= logits.len()), "rows of the logits");
    let of_row = |(row, logits): (usize, &mut [f32])| {
        let first = asked.partition_point(|(before, _)| *before < row);
        let own = &asked[first..first + asked[first..].partition_point(|(at, _)| *at == row)];
        let mut scores = Vec::with_capacity(own.len());
        if let Some(((_, last), others)) = own.split_last() {
            let loss = Loss { z_weight: 0.0 };
            let most = largest(logits);
            let best = logits.iter().position(|logit| *logit == most).unwrap_or(0) as u32;
            for (_, target) in others {
                let mut exponentials = crate::scratch::floats(width);
                exponentials.copy_from_slice(logits);
                scores.push(Score { loss: loss.row(&mut exponentials, *target).0.loss, best });
            }
            scores.push(Score { loss: loss.row(logits, *last).0.loss, best });
        }
        scores
    };
    logits.par_chunks_exact_mut(width).enumerate().flat_map_iter(of_row).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// The losses are those of [`Loss::forward`], to the bit, also of several targets of a row and of rows without one.
    #[test]
    fn scores_are_the_losses() {
        let (rows, width) = (9, 50);
        let mut logits = vec![0.0; rows * width];
        Stream::new(1, "logits").normal(0, 3.0, &mut logits);
        // The largest logit of row 4 is there twice.
        (logits[4 * width + 7], logits[4 * width + 30]) = (100.0, 100.0);
        let asked = [(0, 3), (0, 3), (0, 49), (4, 30), (4, 7), (5, 0), (8, 1)];
        let found = scores(&mut logits.clone(), width, &asked);
        assert_eq!(found.len(), asked.len());
        for ((row, target), found) in asked.into_iter().zip(found) {
            let own = &logits[row * width..][..width];
            let mut expected = [Row::default()];
            Loss { z_weight: 0.0 }.forward(own, width, &[Some(target)], &mut expected);
            assert_eq!(found.loss.to_bits(), expected[0].loss.to_bits());
            let most = own.iter().copied().fold(f32::MIN, f32::max);
            assert_eq!(Some(found.best as usize), own.iter().position(|logit| *logit == most));
            assert!(row != 4 || found.best == 7);
        }
    }
}

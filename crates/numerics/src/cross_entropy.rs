//! The negative log-likelihood of the next token, in nats.

use rayon::prelude::*;

use crate::elementary::exp_lane;
use crate::isa::{Kernel, dispatch};
use crate::lanes::Machine;
use crate::sum::sum;

/// out[r] = ln z − (x[r, target] − m), with m the largest of row r and z the lane sum of
/// exp(x[r, c] − m); ln in binary64, rounded.
///
/// # Panics
/// If a target is not below `width`.
pub fn forward(logits: &[f32], width: usize, targets: &[u32], out: &mut [f32]) {
    out.par_iter_mut().zip(logits.par_chunks(width).zip(targets)).for_each(|(out, (logits, target))| {
        let mut exponentials = vec![0.0; width];
        let (largest, z) = dispatch(Softmax { logits, out: &mut exponentials });
        *out = libm::log(f64::from(z)) as f32 - (logits[*target as usize] - largest);
    });
}

/// The gradient of the logits: dy[r] · (exp(x[r, c] − m) / z − [c is the target]).
///
/// # Panics
/// If a target is not below `width`.
pub fn backward(logits: &[f32], width: usize, targets: &[u32], dy: &[f32]) -> Vec<f32> {
    let mut dlogits = vec![0.0; logits.len()];
    dlogits.par_chunks_mut(width).zip(logits.par_chunks(width)).zip(targets.par_iter().zip(dy)).for_each(
        |((dlogits, logits), (target, dy))| {
            let (_, z) = dispatch(Softmax { logits, out: dlogits });
            for (c, value) in dlogits.iter_mut().enumerate() {
                let probability = *value / z;
                *value = dy * if c == *target as usize { probability - 1.0 } else { probability };
            }
        },
    );
    dlogits
}

/// Writes exp(x − m) and returns m and the lane sum.
struct Softmax<'a, 'o> {
    logits: &'a [f32],
    out: &'o mut [f32],
}

impl Kernel for Softmax<'_, '_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run<M: Machine>(self) -> (f32, f32) {
        let largest = largest(self.logits);
        for (out, logit) in self.out.iter_mut().zip(self.logits) {
            *out = exp_lane::<M>(logit - largest);
        }
        (largest, sum(self.out))
    }
}

/// The largest of `values`; a NaN among them makes the exponentials NaN, and so shows.
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

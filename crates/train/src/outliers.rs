//! Which steps are outliers that do not change the weights.

use std::collections::VecDeque;

use retrace_spec::run::Outliers;

/// The rule, and the losses and gradient norms of the previous steps.
#[derive(Debug)]
pub(crate) struct Recent {
    rule: Outliers,
    losses: VecDeque<f64>,
    norms: VecDeque<f64>,
}

impl Recent {
    /// The rule before the first step.
    pub(crate) fn new(rule: Outliers) -> Self {
        Self { rule, losses: VecDeque::new(), norms: VecDeque::new() }
    }

    /// Whether a step with that loss and norm is an outlier, by the rule of OLMo-core's `SkipStepOptimizer`; the step
    /// is then added to the previous steps.
    ///
    /// With n = min(window, number of previous steps), mean and variance are over the last n: the sum in their order
    /// divided by n, and the sum of (x − mean)² in their order divided by n − 1, all binary64. The step is an outlier
    /// if value − mean > deviations · sqrt(variance) for the loss or the norm, and n is at least window / 2 − 1, with
    /// window / 2 rounded down.
    pub(crate) fn judge(&mut self, loss: f64, norm: f64) -> bool {
        let Outliers { window, deviations } = self.rule;
        let judge = |past: &mut VecDeque<f64>, value: f64| {
            let n = past.len() as f64;
            let mean = past.iter().sum::<f64>() / n;
            let variance = past.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
            let out = past.len() as u64 + 1 >= window / 2 && value - mean > deviations * variance.sqrt();
            past.push_back(value);
            if past.len() as u64 > window {
                past.pop_front();
            }
            out
        };
        let (loss, norm) = (judge(&mut self.losses, loss), judge(&mut self.norms, norm));
        loss || norm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sample deviation of 1, 2, 3, 4, 5 is sqrt(2.5) = 1.5811 around 3.
    #[test]
    fn what_is_too_far_above_the_mean_is_one() {
        let after = |values: &[f64], loss: f64, norm: f64| {
            let mut recent = Recent::new(Outliers { window: 6, deviations: 2.0 });
            values.iter().for_each(|value| {
                recent.judge(*value, *value);
            });
            recent.judge(loss, norm)
        };
        let five = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert!(!after(&five, 6.16, 3.0) && after(&five, 6.17, 3.0), "3 + 2 · 1.5811 = 6.1623");
        assert!(!after(&five, 3.0, 6.16) && after(&five, 3.0, 6.17), "the norm too");
        assert!(!after(&five, -100.0, 0.0), "what is low is none");
        // Only the last six count: these are the same five and a 3 after many earlier values.
        let long = [900.0, 1.0, 2.0, 3.0, 3.0, 4.0, 5.0];
        assert!(after(&long, 6.0, 3.0), "3 + 2 · sqrt(2) = 5.83");
        // Half a window is needed, this step included, as in OLMo-core: here two steps precede it.
        assert!(!after(&[1.0], 1e9, 1.0) && after(&[1.0, 1.0], 1.1, 1.0));
    }
}

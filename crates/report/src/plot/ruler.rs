//! Axes: the positions of values, and which values are labelled.

use super::{Axis, Scale};
use crate::numbers::{digits, short};

/// Whether a value is in the domain of an axis.
pub(super) fn on(scale: Scale, value: f64) -> bool {
    value.is_finite() && (scale == Scale::Linear || value > 0.0)
}

/// An axis with its range and ticks.
#[derive(Debug, Clone)]
pub(super) struct Ruler {
    pub(super) scale: Scale,
    /// The ends, in the scale of the axis.
    ends: (f64, f64),
    /// The values that are labelled.
    pub(super) ticks: Vec<f64>,
    /// Whether only integers are labelled.
    whole: bool,
}

impl Ruler {
    /// The ruler of an axis, as [`Ruler::new`] makes it.
    pub(super) fn of(axis: &Axis, values: Vec<f64>, margin: f64) -> Self {
        let mut ruler = Self::new(axis.scale, values, margin);
        if axis.whole && ruler.ticks.iter().any(|tick| tick.fract() == 0.0) {
            ruler.whole = true;
            ruler.ticks.retain(|tick| tick.fract() == 0.0);
        }
        ruler
    }

    /// An axis that includes all `values`, and a `margin`, relative to its length, at each end.
    pub(super) fn new(scale: Scale, values: Vec<f64>, margin: f64) -> Self {
        let along: Vec<f64> = values.into_iter().filter(|v| on(scale, *v)).map(|v| along(scale, v)).collect();
        let low = along.iter().copied().fold(f64::INFINITY, f64::min);
        let high = along.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let length = if high > low { high - low } else { (low.abs() * 0.2).max(1e-6) };
        let ends = match high > low {
            true => (low - margin * length, high + margin * length),
            false => (low - length, low + length),
        };
        let ticks = match scale {
            Scale::Linear => linear_ticks(ends),
            Scale::Log => log_ticks(ends),
        };
        Self { scale, ends, ticks, whole: false }
    }

    /// The position of a value between two pixels.
    pub(super) fn map(&self, value: f64, pixels: (i32, i32)) -> i32 {
        let share = (along(self.scale, value) - self.ends.0) / (self.ends.1 - self.ends.0);
        pixels.0 + (share * f64::from(pixels.1 - pixels.0)).round() as i32
    }

    pub(super) fn label(&self, tick: f64) -> String {
        if self.whole && self.scale == Scale::Log {
            // Few digits: 1, 20M, 5B.
            return digits(tick);
        }
        let step = self.ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(tick.abs(), f64::min);
        short(tick, step)
    }
}

fn along(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Log => libm::log10(value),
    }
}

/// Three to six round values.
fn linear_ticks((low, high): (f64, f64)) -> Vec<f64> {
    let power = libm::pow(10.0, libm::floor(libm::log10((high - low) / 4.0)));
    let fits = |step: &f64| (high - low) / step <= 5.5;
    let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(fits).unwrap_or(20.0 * power);
    let (first, last) = (libm::ceil(low / step) as i64, libm::floor(high / step) as i64);
    (first..=last).map(|n| n as f64 * step).collect()
}

/// Powers of ten, with two and five times each if there are few.
fn log_ticks((low, high): (f64, f64)) -> Vec<f64> {
    let (first, last) = (libm::floor(low) as i32, libm::ceil(high) as i32);
    let ticks = |times: &[f64]| -> Vec<f64> {
        let all = (first..=last).flat_map(|n| times.iter().map(move |t| t * libm::pow(10.0, f64::from(n))));
        all.filter(|tick| (low..=high).contains(&libm::log10(*tick))).collect()
    };
    let mut found = ticks(&[1.0]);
    if found.len() < 3 {
        found = ticks(&[1.0, 2.0, 5.0]);
    }
    if found.len() < 3 {
        let ends = (libm::pow(10.0, low), libm::pow(10.0, high));
        found = linear_ticks(ends).into_iter().filter(|tick| *tick > 0.0).collect();
    }
    let every = found.len().div_ceil(7);
    found.into_iter().step_by(every.max(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_few_and_within() {
        // By hand.
        assert_eq!(linear_ticks((0.0, 10.0)), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(linear_ticks((2.1, 4.4)), [2.5, 3.0, 3.5, 4.0]);
        assert_eq!(log_ticks((-0.5, 3.5)), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(log_ticks((0.0, 1.0)), [1.0, 2.0, 5.0, 10.0]);
        for (low, high) in [(0.0, 1e-9), (-3.7, 12.2), (1e8, 1.1e8), (0.123, 0.124)] {
            let ticks = linear_ticks((low, high));
            assert!((2..=7).contains(&ticks.len()), "{low} {high}: {ticks:?}");
            assert!(ticks.iter().all(|tick| (low - 1e-9..=high + 1e-9).contains(tick)));
        }
    }
}

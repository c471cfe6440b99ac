//! The learning rate over a phase.

use retrace_spec::run::Schedule;

/// The rate of update number `step` (from 1) of a phase of `steps` updates, in binary64.
///
/// During a warm-up, peak · step / warmup. Let r be the completed fraction of the steps after it (for
/// warmup-stable-decay: of the last `decay` steps, before which the rate is the peak):
///
/// - cosine: floor + (peak − floor) · (1 + cos(π · r)) / 2 (Loshchilov and Hutter, 2017);
/// - linear, and warmup-stable-decay: peak + (floor − peak) · r (Hu et al., 2024, for the latter);
/// - inverse square root: peak · sqrt(warmup / step), with 1 for a warm-up of 0 (Vaswani et al.,
///   2017);
/// - half-life: max(floor, peak · 2^(−(step − 1) / half_life)), MAP-Neo's decay phase (Zhang et al.,
///   2024).
pub fn learning_rate(schedule: &Schedule, step: u64, steps: u64) -> f64 {
    let (warmup, peak) = (schedule.warmup(), schedule.peak());
    if step <= warmup {
        return peak * step as f64 / warmup as f64;
    }
    let done = |after: u64| step.saturating_sub(after) as f64 / (steps - after) as f64;
    match *schedule {
        Schedule::Cosine { floor, .. } => {
            floor + (peak - floor) * (1.0 + libm::cos(core::f64::consts::PI * done(warmup))) / 2.0
        }
        Schedule::Linear { floor, .. } => peak + (floor - peak) * done(warmup),
        Schedule::WarmupStableDecay { decay, floor, .. } => peak + (floor - peak) * done(steps - decay),
        Schedule::InverseSqrt { .. } => peak * (warmup.max(1) as f64 / step as f64).sqrt(),
        Schedule::HalfLife { half_life, floor, .. } => {
            let halvings = (step - 1) as f64 / half_life as f64;
            (peak * libm::exp2(-halvings)).max(floor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_rises_and_falls() {
        let schedule = Schedule::Cosine { warmup: 10, peak: 2.0, floor: 0.5 };
        let rate = |step| learning_rate(&schedule, step, 110);
        assert_eq!(rate(1), 0.2);
        assert_eq!(rate(10), 2.0);
        assert!((rate(60) - 1.25).abs() < 1e-12, "half way between peak and floor");
        assert!((rate(110) - 0.5).abs() < 1e-12);
        assert!((10..110).all(|step| rate(step) > rate(step + 1)));
    }

    #[test]
    fn half_life_halves() {
        let schedule = Schedule::HalfLife { peak: 1.0, half_life: 4, floor: 0.2 };
        let rate = |step| learning_rate(&schedule, step, 20);
        assert_eq!((rate(1), rate(5), rate(9), rate(20)), (1.0, 0.5, 0.25, 0.2));
    }

    #[test]
    fn linear_and_stable_and_root() {
        let rate = |schedule: &Schedule, step| learning_rate(schedule, step, 100);
        let linear = Schedule::Linear { warmup: 20, peak: 2.0, floor: 1.0 };
        assert_eq!([10, 20, 60, 100].map(|step| rate(&linear, step)), [1.0, 2.0, 1.5, 1.0]);
        let stable = Schedule::WarmupStableDecay { warmup: 20, peak: 2.0, decay: 40, floor: 0.0 };
        assert_eq!([10, 20, 59, 60, 80, 100].map(|step| rate(&stable, step)), [1.0, 2.0, 2.0, 2.0, 1.0, 0.0]);
        let root = Schedule::InverseSqrt { warmup: 4, peak: 2.0 };
        assert_eq!([2, 4, 16, 64].map(|step| rate(&root, step)), [1.0, 2.0, 1.0, 0.5]);
    }
}

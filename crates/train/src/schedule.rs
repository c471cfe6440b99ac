//! The learning rate over a phase.

use retrace_spec::run::Schedule;

/// The rate of update number `step` (from 1) of a phase of `steps` updates, in binary64.
///
/// Cosine: peak · step / warmup up to the warm-up's end, then
/// floor + (peak − floor) · (1 + cos(π · r)) / 2 with r the fraction of the steps after warm-up
/// that are done. Half-life: max(floor, peak · 2^(−(step − 1) / half_life)), MAP-Neo's decay phase
/// (Zhang et al., 2024).
pub fn learning_rate(schedule: &Schedule, step: u64, steps: u64) -> f64 {
    match *schedule {
        Schedule::Cosine { warmup, peak, .. } if step <= warmup => peak * step as f64 / warmup as f64,
        Schedule::Cosine { warmup, peak, floor } => {
            let done = (step - warmup) as f64 / (steps - warmup) as f64;
            floor + (peak - floor) * (1.0 + libm::cos(core::f64::consts::PI * done)) / 2.0
        }
        Schedule::HalfLife { peak, half_life, floor } => {
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
}

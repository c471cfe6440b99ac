//! The functional forms, as their parameters are searched for: coefficients as logarithms, and ln N and ln D from
//! their centres, where a term's coefficient hardly depends on its exponent.

use super::elementary::{exp, log, log_and_inverse};
use super::objective::{COLUMNS, Form, LANES, Lanes};

/// E + A/N^α + B/D^β (Hoffmann et al. 2022, approach 3). Parameters: ln A, ln B, ln E, α, β. Columns: ln N, ln D.
#[derive(Debug, Clone, Copy)]
pub(super) struct Additive;

impl Form<5> for Additive {
    #[inline(always)]
    fn value(
        &self,
        [a, b, e, alpha, beta]: &[f64; 5],
        x: &[Lanes; COLUMNS],
        value: &mut Lanes,
        partials: &mut [Lanes; 5],
    ) {
        let constant = exp(*e);
        for lane in 0..LANES {
            let (n, d) = (x[0][lane], x[1][lane]);
            let (of_n, of_d) = (exp(a - alpha * n), exp(b - beta * d));
            let sum = (of_n + of_d) + constant;
            let (logarithm, one) = log_and_inverse(sum);
            value[lane] = logarithm;
            let (part_n, part_d) = (of_n * one, of_d * one);
            partials[0][lane] = part_n;
            partials[1][lane] = part_d;
            partials[2][lane] = constant * one;
            partials[3][lane] = -part_n * n;
            partials[4][lane] = -part_d * d;
        }
    }
}

/// As [`Additive`] with α = β (Muennighoff et al. 2023; Gadre et al. 2024). Parameters: ln A, ln B, ln E, α.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tied;

impl Form<4> for Tied {
    #[inline(always)]
    fn value(&self, [a, b, e, alpha]: &[f64; 4], x: &[Lanes; COLUMNS], value: &mut Lanes, partials: &mut [Lanes; 4]) {
        let mut five = [[0.0; LANES]; 5];
        Additive.value(&[*a, *b, *e, *alpha, *alpha], x, value, &mut five);
        let [of_a, of_b, of_e, of_alpha, of_beta] = five;
        *partials = [of_a, of_b, of_e, core::array::from_fn(|lane| of_alpha[lane] + of_beta[lane])];
    }
}

/// [(N_c/N)^(α_N/α_D) + D_c/D]^α_D (Kaplan et al. 2020, equation 1.5). Parameters: α_N ln N_c, α_D ln D_c, α_N, α_D.
/// Columns: ln N, ln D.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kaplan;

impl Form<4> for Kaplan {
    #[inline(always)]
    fn value(
        &self,
        [a, b, alpha_n, alpha_d]: &[f64; 4],
        x: &[Lanes; COLUMNS],
        value: &mut Lanes,
        partials: &mut [Lanes; 4],
    ) {
        let one = if *alpha_d > 0.0 { 1.0 / alpha_d } else { f64::NAN };
        for lane in 0..LANES {
            let (n, d) = (x[0][lane], x[1][lane]);
            let (to_n, to_d) = ((a - alpha_n * n) * one, b * one - d);
            // From the larger of the two, as the exponents may be large where α_D is small.
            let most = if to_n > to_d { to_n } else { to_d };
            let (of_n, of_d) = (exp(to_n - most), exp(to_d - most));
            let sum = of_n + of_d;
            let logarithm = most + log(sum);
            let (part_n, part_d) = (of_n / sum, of_d / sum);
            value[lane] = alpha_d * logarithm;
            partials[0][lane] = part_n;
            partials[1][lane] = part_d;
            partials[2][lane] = -part_n * n;
            partials[3][lane] = logarithm - part_n * to_n - part_d * (b * one);
        }
    }
}

/// E + A/N^α + B/D^β - d ln D (MAP-Neo 2024, the NEO law). Parameters: ln A, ln B, E - d · (centre of ln D), α, β, d.
/// Columns: ln N, ln D.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neo;

impl Form<6> for Neo {
    #[inline(always)]
    fn value(
        &self,
        [a, b, e, alpha, beta, decline]: &[f64; 6],
        x: &[Lanes; COLUMNS],
        value: &mut Lanes,
        partials: &mut [Lanes; 6],
    ) {
        for lane in 0..LANES {
            let (n, d) = (x[0][lane], x[1][lane]);
            let (of_n, of_d) = (exp(a - alpha * n), exp(b - beta * d));
            let sum = (of_n + of_d) + (e - decline * d);
            let (logarithm, one) = log_and_inverse(sum);
            value[lane] = logarithm;
            partials[0][lane] = of_n * one;
            partials[1][lane] = of_d * one;
            partials[2][lane] = one;
            partials[3][lane] = -(of_n * one) * n;
            partials[4][lane] = -(of_d * one) * d;
            partials[5][lane] = -d * one;
        }
    }
}

/// The decay of repeated tokens and of parameters beyond those that the unique tokens can use (Muennighoff et al.
/// 2023, equation 6), with the other constants fixed. Parameters: ln R_D*, ln R_N*. Columns: ln U_N, ln U_D from the
/// centres, R_N, R_D.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repeated {
    /// ln A, ln B, ln E, α, β, for ln N and ln D from their centres.
    pub(super) fixed: [f64; 5],
}

/// The range of ln r*. Beyond it the objective does not change any more: excess parameters or repeated tokens are then
/// worth nothing, or as much as new ones.
pub(super) const LOG_STAR: f64 = 20.0;

/// ln (1 + r* (1 - e^(-r/r*))), and its derivative by ln r*.
#[inline(always)]
fn decayed(log_star: f64, repeats: f64) -> (f64, f64) {
    let inside = log_star.abs() <= LOG_STAR;
    let star = exp(log_star.clamp(-LOG_STAR, LOG_STAR));
    let part = repeats / star;
    let kept = exp(-part);
    // 1 - e^-x loses all digits for small x, where the series does not.
    let series = part * (1.0 - part * (0.5 - part * (1.0 / 6.0 - part * (1.0 / 24.0 - part * (1.0 / 120.0)))));
    let worth = star * if part < 1e-3 { series } else { 1.0 - kept };
    (log(1.0 + worth), if inside { (worth - repeats * kept) / (1.0 + worth) } else { 0.0 })
}

impl Form<2> for Repeated {
    #[inline(always)]
    fn value(&self, [data, size]: &[f64; 2], x: &[Lanes; COLUMNS], value: &mut Lanes, partials: &mut [Lanes; 2]) {
        let [a, b, e, alpha, beta] = self.fixed;
        let constant = exp(e);
        for lane in 0..LANES {
            let (more_n, slope_n) = decayed(*size, x[2][lane]);
            let (more_d, slope_d) = decayed(*data, x[3][lane]);
            let of_n = exp(a - alpha * (x[0][lane] + more_n));
            let of_d = exp(b - beta * (x[1][lane] + more_d));
            let sum = (of_n + of_d) + constant;
            value[lane] = log(sum);
            partials[0][lane] = -(of_d / sum) * beta * slope_d;
            partials[1][lane] = -(of_n / sum) * alpha * slope_n;
        }
    }
}

/// E + (L₀ - E) h/(1 + h), h = a/N^α + b/T^β + c N^γ/D^δ. Parameters: ln E, ln (L₀ - E), ln a, ln b, ln c, α, β, γ, δ.
/// Columns: ln N, ln T, ln D (unique tokens), each from its centre.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounded;

impl Form<9> for Bounded {
    #[inline(always)]
    fn value(
        &self,
        [e, span, a, b, c, alpha, beta, gamma, delta]: &[f64; 9],
        x: &[Lanes; COLUMNS],
        value: &mut Lanes,
        partials: &mut [Lanes; 9],
    ) {
        let (least, span) = (exp(*e), exp(*span));
        for lane in 0..LANES {
            let (n, t, d) = (x[0][lane], x[1][lane], x[2][lane]);
            let of_n = exp(a - alpha * n);
            let of_t = exp(b - beta * t);
            let of_d = exp(c + gamma * n - delta * d);
            let h = (of_n + of_t) + of_d;
            let share = h / (1.0 + h);
            let sum = least + span * share;
            let one = 1.0 / sum;
            // dL/dh of ln L.
            let slope = span / ((1.0 + h) * (1.0 + h)) * one;
            value[lane] = log(sum);
            partials[0][lane] = least * one;
            partials[1][lane] = span * share * one;
            partials[2][lane] = slope * of_n;
            partials[3][lane] = slope * of_t;
            partials[4][lane] = slope * of_d;
            partials[5][lane] = -slope * of_n * n;
            partials[6][lane] = -slope * of_t * t;
            partials[7][lane] = slope * of_d * n;
            partials[8][lane] = -slope * of_d * d;
        }
    }
}

/// As [`Additive`], but its value is L and not ln L.
#[derive(Debug, Clone, Copy)]
pub(super) struct Untransformed;

impl Form<5> for Untransformed {
    #[inline(always)]
    fn value(
        &self,
        [a, b, e, alpha, beta]: &[f64; 5],
        x: &[Lanes; COLUMNS],
        value: &mut Lanes,
        partials: &mut [Lanes; 5],
    ) {
        let constant = exp(*e);
        for lane in 0..LANES {
            let (n, d) = (x[0][lane], x[1][lane]);
            let (of_n, of_d) = (exp(a - alpha * n), exp(b - beta * d));
            value[lane] = (of_n + of_d) + constant;
            partials[0][lane] = of_n;
            partials[1][lane] = of_d;
            partials[2][lane] = constant;
            partials[3][lane] = -of_n * n;
            partials[4][lane] = -of_d * d;
        }
    }
}

/// Accuracy as a sigmoid of the loss on the task: a/(1 + e^(-k(L - L₀))) + b (Bhagia et al. 2024, step 2). Parameters:
/// a, k, L₀, b. Column: L.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sigmoid {
    /// The parameters that may change; the others stay at a bound.
    pub(super) free: [bool; 4],
}

impl Form<4> for Sigmoid {
    #[inline(always)]
    fn value(&self, [a, k, middle, b]: &[f64; 4], x: &[Lanes; COLUMNS], value: &mut Lanes, partials: &mut [Lanes; 4]) {
        for lane in 0..LANES {
            let from = x[0][lane] - middle;
            let share = 1.0 / (1.0 + exp(-k * from));
            let slope = a * share * (1.0 - share);
            value[lane] = a * share + b;
            let all = [share, slope * from, -slope * k, 1.0];
            for (k, partial) in partials.iter_mut().enumerate() {
                partial[lane] = if self.free[k] { all[k] } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::objective::{Blocks, Huber};
    use super::*;

    /// The gradient beside central differences.
    fn check<const W: usize>(form: &impl Form<W>, at: [f64; W]) {
        let rows = (0..20).map(|i| {
            let t = f64::from(i);
            let (n, d) = ((t * 0.7).sin() * 2.0, (t * 1.3).cos() * 2.0);
            ([n, d, (d - 0.5).abs(), t * 0.3], 1.0 + 0.01 * (t * 5.0).sin(), 1.0 + t % 3.0)
        });
        let blocks = Blocks::new(rows);
        for delta in [1e-3, 0.2, f64::INFINITY] {
            let huber = Huber { delta, scale: 0.5 };
            let (_, gradient) = blocks.objective(form, huber, &at);
            for k in 0..W {
                let moved = |by: f64| {
                    let mut at = at;
                    at[k] += by;
                    blocks.objective(form, huber, &at).0
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!(slope.is_finite() && (slope - gradient[k]).abs() < 1e-6, "{k}: {slope} and {}", gradient[k]);
            }
        }
    }

    #[test]
    fn the_gradients_are_those_of_the_objective() {
        check(&Additive, [0.1, -0.4, 0.4, 0.3, 0.4]);
        check(&Tied, [0.1, -0.4, 0.4, 0.35]);
        check(&Kaplan, [0.9, 0.4, 0.08, 0.1]);
        check(&Neo, [0.1, -0.4, 1.5, 0.3, 0.4, 0.02]);
        check(&Repeated { fixed: [0.1, 0.2, 0.4, 0.35, 0.3] }, [2.0, 1.5]);
        check(&Untransformed, [0.1, -0.4, 0.4, 0.3, 0.4]);
        check(&Sigmoid { free: [true; 4] }, [-0.7, 4.0, 0.6, 0.95]);
        check(&Bounded, [0.3, 2.0, -1.5, -1.8, -3.0, 0.3, 0.4, 0.2, 0.5]);
    }
}

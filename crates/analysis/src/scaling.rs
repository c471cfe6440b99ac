//! The dependence of loss on size and data: the parametric law of Hoffmann et al. (Training Compute-Optimal Large
//! Language Models, 2022, approach 3),
//!
//! L(N, D) = E + A / N^α + B / D^β,
//!
//! fitted in the same way: the logarithm of the law, as a log-sum-exp, is fitted to the logarithm of the loss, with a
//! Huber loss with δ = 10⁻³, from the best of a grid of starting points. The loss is summed and the tolerance is
//! strict: with the mean and a loose tolerance, the search stops too early (Besiroglu et al., Chinchilla Scaling: A
//! replication attempt, 2024).

use std::collections::BTreeSet;

use retrace_spec::recipe::{LossUnit, ParamsUnit};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::minimise::{Minimum, Vector, minimise};

/// A model after training on a number of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// N, its parameters.
    pub params: f64,
    /// D, the tokens that it was trained on.
    pub tokens: f64,
    /// Its loss, in nats per token.
    pub loss: f64,
}

/// The law's five constants, and the quality of the fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// E, the loss that neither size nor data reduces, in nats per token.
    pub e: f64,
    /// A, the coefficient of size.
    pub a: f64,
    /// B, the coefficient of data.
    pub b: f64,
    /// α, the exponent of size.
    pub alpha: f64,
    /// β, the exponent of data.
    pub beta: f64,
    /// The sum of the Huber losses over the points.
    pub objective: f64,
    /// The fraction of the log loss's variance that the law explains, on the same points to which it was fitted.
    pub r2: f64,
    /// The number of points.
    pub points: usize,
    /// The number of different sizes among them.
    pub sizes: usize,
}

/// The points of a fit, and the law or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Law {
    /// What the loss is measured on, in a few words.
    pub loss: String,
    /// Which parameters are counted.
    pub params_unit: ParamsUnit,
    /// The unit of the loss.
    pub loss_unit: LossUnit,
    /// The points.
    pub runs: Vec<RunPoints>,
    /// The law, or why there is none.
    pub fit: Result<Fit, String>,
}

/// The points of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunPoints {
    /// The run.
    pub run: String,
    /// Its model's parameters.
    pub params: f64,
    /// (tokens, loss).
    pub points: Vec<(f64, f64)>,
}

/// Why no law was fitted.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FitError {
    /// Five constants need more than five points.
    #[error("{0} points cannot determine the five constants of the law; at least {LEAST} are needed")]
    TooFew(usize),
    /// One size, or one number of tokens: a term of the law cannot be distinguished from E.
    #[error(
        "all points have the same {0}, so its term cannot be separated from the irreducible loss; at least two values are needed"
    )]
    Single(&'static str),
    /// A number for which the law is not defined.
    #[error("point {at} has {field} {value}, which is not a finite number above 0")]
    Value {
        /// The index of the point, from 0.
        at: usize,
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// No starting point led to a result.
    #[error("no fit was found from any starting point: the range of the points is too large for binary64")]
    NoFit,
}

/// Minimum number of points.
const LEAST: usize = 6;

/// Huber's δ, on log loss.
const DELTA: f64 = 1e-3;

impl Fit {
    /// Whether the constants can be a law: both exponents above 0, so that more size or data means less loss, and at
    /// most 2, the steepest of the starting points. Published exponents are below 1. A term that falls more steeply is
    /// a step between two sizes, or caused by a few outliers.
    pub fn is_plausible(&self) -> bool {
        [self.alpha, self.beta].iter().all(|exponent| *exponent > 0.0 && *exponent <= 2.0)
    }

    /// The law's loss for a model of `params` parameters after `tokens` tokens.
    pub fn loss(&self, params: f64, tokens: f64) -> f64 {
        self.e + self.a * libm::pow(params, -self.alpha) + self.b * libm::pow(tokens, -self.beta)
    }
}

/// Fits the law. The time is that of about a million evaluations per hundred points.
///
/// # Errors
/// If the points cannot determine it: fewer than 6, all of the same size or the same number of tokens, or with numbers
/// that are not finite and above 0.
pub fn fit(points: &[Point]) -> Result<Fit, FitError> {
    for (at, point) in points.iter().enumerate() {
        for (field, value) in [("params", point.params), ("tokens", point.tokens), ("loss", point.loss)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(FitError::Value { at, field, value });
            }
        }
    }
    if points.len() < LEAST {
        return Err(FitError::TooFew(points.len()));
    }
    let distinct = |of: fn(&Point) -> f64| points.iter().map(|p| of(p).to_bits()).collect::<BTreeSet<_>>().len();
    let sizes = distinct(|point| point.params);
    if sizes == 1 {
        return Err(FitError::Single("params"));
    }
    if distinct(|point| point.tokens) == 1 {
        return Err(FitError::Single("tokens"));
    }
    let problem = Problem::new(points);
    let Minimum { at: [a, b, e, alpha, beta], value: objective } = problem.solve().ok_or(FitError::NoFit)?;
    let fit = Fit {
        e: libm::exp(e),
        a: libm::exp(a + alpha * problem.middle_n),
        b: libm::exp(b + beta * problem.middle_d),
        alpha,
        beta,
        objective,
        r2: problem.r2(&[a, b, e, alpha, beta]),
        points: points.len(),
        sizes,
    };
    let all = [fit.e, fit.a, fit.b, fit.alpha, fit.beta, fit.r2];
    if all.iter().all(|value| value.is_finite()) { Ok(fit) } else { Err(FitError::NoFit) }
}

/// The points as logarithms, with sizes and tokens relative to their centre: then a term's coefficient hardly depends
/// on its exponent, and the search converges faster.
struct Problem {
    /// (ln N - middle, ln D - middle, ln L).
    points: Vec<[f64; 3]>,
    middle_n: f64,
    middle_d: f64,
}

impl Problem {
    fn new(points: &[Point]) -> Self {
        let mut logs: Vec<[f64; 3]> =
            points.iter().map(|p| [libm::log(p.params), libm::log(p.tokens), libm::log(p.loss)]).collect();
        // A sum depends on its order: sorting makes it independent of the order of the input.
        logs.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])).then(a[2].total_cmp(&b[2])));
        let middle = |k: usize| logs.iter().map(|log| log[k]).sum::<f64>() / logs.len() as f64;
        let (middle_n, middle_d) = (middle(0), middle(1));
        let points = logs.iter().map(|[n, d, l]| [n - middle_n, d - middle_d, *l]).collect();
        Self { points, middle_n, middle_d }
    }

    /// The lowest minimum from all starting points; the first of equals.
    ///
    /// The grid is that of Hoffmann et al. (A, B and E as logarithms). A short search from each starting point finds
    /// the basin; the best are then continued to convergence.
    fn solve(&self) -> Option<Minimum> {
        let function = |at: &Vector| self.objective(at);
        let exponents = || (0..5).map(|i| f64::from(i) * 0.5);
        let mut found = Vec::new();
        for alpha in exponents() {
            for beta in exponents() {
                for e in (-2..=2).map(|i| f64::from(i) * 0.5) {
                    for a in (0..6).map(|i| f64::from(i) * 5.0) {
                        for b in (0..6).map(|i| f64::from(i) * 5.0) {
                            let start = [a - alpha * self.middle_n, b - beta * self.middle_d, e, alpha, beta];
                            found.extend(minimise(&function, start, 1e-6, SHORT));
                        }
                    }
                }
            }
        }
        found.sort_by(|a, b| a.value.total_cmp(&b.value));
        found.truncate(FOLLOWED);
        let followed = found.iter().filter_map(|minimum| minimise(&function, minimum.at, 1e-14, 4000));
        followed.reduce(|best, next| if next.value < best.value { next } else { best })
    }

    /// The law's log loss at a point, and the fraction of each term in it.
    fn law(&self, [a, b, e, alpha, beta]: &Vector, [n, d, _]: &[f64; 3]) -> (f64, [f64; 3]) {
        let terms = [a - alpha * n, b - beta * d, *e];
        let most = terms[0].max(terms[1]).max(terms[2]);
        let parts = terms.map(|term| libm::exp(term - most));
        let sum = parts[0] + parts[1] + parts[2];
        (most + libm::log(sum), parts.map(|part| part / sum))
    }

    /// The sum of Huber losses, and its gradient.
    fn objective(&self, at: &Vector) -> (f64, Vector) {
        let (mut value, mut gradient) = (0.0, [0.0; 5]);
        for point in &self.points {
            let (law, [of_a, of_b, of_e]) = self.law(at, point);
            let residual = law - point[2];
            let size = residual.abs();
            value += if size <= DELTA { 0.5 * residual * residual } else { DELTA * (size - 0.5 * DELTA) };
            let slope = residual.clamp(-DELTA, DELTA);
            gradient[0] += slope * of_a;
            gradient[1] += slope * of_b;
            gradient[2] += slope * of_e;
            gradient[3] -= slope * of_a * point[0];
            gradient[4] -= slope * of_b * point[1];
        }
        (value, gradient)
    }

    fn r2(&self, at: &Vector) -> f64 {
        let mean = self.points.iter().map(|point| point[2]).sum::<f64>() / self.points.len() as f64;
        let (mut missed, mut whole) = (0.0, 0.0);
        for point in &self.points {
            let (miss, from_mean) = (self.law(at, point).0 - point[2], point[2] - mean);
            missed += miss * miss;
            whole += from_mean * from_mean;
        }
        if whole > 0.0 { 1.0 - missed / whole } else { 0.0 }
    }
}

/// Updates of the first, short search.
const SHORT: usize = 40;

/// The number of the best that are continued to convergence.
const FOLLOWED: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    /// Points from the law itself, with noise in the log loss from a fixed sequence.
    fn points([e, a, b, alpha, beta]: [f64; 5], noise: f64) -> Vec<Point> {
        let mut points = Vec::new();
        let mut state = 1u64;
        for params in [4.4e7_f64, 1.5e8, 4e8, 1.2e9, 3e9, 1e10] {
            for multiple in [2.0, 5.0, 20.0, 80.0, 200.0] {
                // Park and Miller's generator; the sum of three draws is sufficiently close to a normal distribution.
                let mut bell = 0.0;
                for _ in 0..3 {
                    state = state * 48271 % 2_147_483_647;
                    bell += state as f64 / 2_147_483_647.0 - 0.5;
                }
                let tokens = multiple * params;
                let loss = e + a * params.powf(-alpha) + b * tokens.powf(-beta);
                points.push(Point { params, tokens, loss: loss * (noise * 2.0 * bell).exp() });
            }
        }
        points
    }

    fn near(found: f64, expected: f64, relative: f64, what: &str) {
        assert!((found / expected - 1.0).abs() <= relative, "{what}: {found}, not {expected}");
    }

    #[test]
    fn recovers_the_constants_that_made_the_points() {
        // The constants of Hoffmann et al., as rounded in their paper; and others, far from them.
        for law in [[1.69, 406.4, 410.7, 0.34, 0.28], [0.5, 30.0, 3000.0, 0.2, 0.45]] {
            let fit = fit(&points(law, 0.0)).unwrap();
            for (found, expected) in [fit.e, fit.a, fit.b, fit.alpha, fit.beta].into_iter().zip(law) {
                near(found, expected, 1e-4, "exact");
            }
            assert!(fit.objective < 1e-12 && fit.r2 > 1.0 - 1e-9, "{fit:?}");
            assert_eq!((fit.points, fit.sizes), (30, 6));
            near(
                fit.loss(7e9, 1.4e12),
                law[0] + law[1] * 7e9f64.powf(-law[3]) + law[2] * 1.4e12f64.powf(-law[4]),
                1e-5,
                "loss",
            );
        }
    }

    #[test]
    fn noise_moves_the_constants_a_little_and_an_outlier_hardly() {
        let law = [1.69, 406.4, 410.7, 0.34, 0.28];
        let mut noisy = points(law, 0.001);
        let first = fit(&noisy).unwrap();
        near(first.e, law[0], 0.05, "E");
        near(first.alpha, law[3], 0.1, "alpha");
        near(first.beta, law[4], 0.1, "beta");
        // The optimum is never higher than the value at the true constants.
        let truth = Problem::new(&noisy);
        let at =
            [law[1].ln() - law[3] * truth.middle_n, law[2].ln() - law[4] * truth.middle_d, law[0].ln(), law[3], law[4]];
        assert!(first.objective <= truth.objective(&at).0);
        noisy[7].loss *= 1.3;
        let second = fit(&noisy).unwrap();
        near(second.alpha, first.alpha, 0.1, "alpha with an outlier");
        near(second.beta, first.beta, 0.1, "beta with an outlier");
    }

    #[test]
    fn points_that_follow_no_law_are_not_taken_for_one() {
        // Two larger sizes that are equally good are a step, not a slope.
        let mut step = Vec::new();
        for (params, least) in [(1e5, 1.0), (4e5, 0.6), (1.2e6, 0.63)] {
            step.extend([1e5, 2e5, 3e5, 4e5].map(|tokens| Point { params, tokens, loss: least + 2e4 / tokens }));
        }
        assert!(!fit(&step).unwrap().is_plausible());
        // Larger models are worse.
        let worse = points([1.69, 406.4, 410.7, 0.34, 0.28], 0.0);
        let worse: Vec<Point> = worse.iter().map(|p| Point { params: 1e18 / p.params, ..*p }).collect();
        assert!(!fit(&worse).unwrap().is_plausible());
        assert!(fit(&points([1.69, 406.4, 410.7, 0.34, 0.28], 0.001)).unwrap().is_plausible());
    }

    #[test]
    fn the_order_of_the_points_does_not_show() {
        let mut points = points([1.8, 480.0, 2000.0, 0.35, 0.37], 0.002);
        let forward = fit(&points).unwrap();
        points.reverse();
        assert_eq!(fit(&points).unwrap(), forward);
    }

    #[test]
    fn the_gradient_is_that_of_the_objective() {
        let problem = Problem::new(&points([1.69, 406.4, 410.7, 0.34, 0.28], 0.01));
        let at = [0.1, -0.4, 0.4, 0.3, 0.4];
        let (_, gradient) = problem.objective(&at);
        for k in 0..5 {
            let moved = |by: f64| {
                let mut at = at;
                at[k] += by;
                problem.objective(&at).0
            };
            let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!((slope - gradient[k]).abs() < 1e-6, "{k}: {slope} and {}", gradient[k]);
        }
    }

    #[test]
    fn what_cannot_determine_the_law_is_refused() {
        let good = points([1.69, 406.4, 410.7, 0.34, 0.28], 0.0);
        assert_eq!(fit(&good[..5]), Err(FitError::TooFew(5)));
        assert_eq!(fit(&[]), Err(FitError::TooFew(0)));
        let one_size: Vec<Point> = good.iter().map(|point| Point { params: 1e9, ..*point }).collect();
        assert_eq!(fit(&one_size), Err(FitError::Single("params")));
        let one_length: Vec<Point> = good.iter().map(|point| Point { tokens: 1e9, ..*point }).collect();
        assert_eq!(fit(&one_length), Err(FitError::Single("tokens")));
        for bad in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
            for field in ["params", "tokens", "loss"] {
                let mut points = good.clone();
                match field {
                    "params" => points[3].params = bad,
                    "tokens" => points[3].tokens = bad,
                    _ => points[3].loss = bad,
                }
                let error = fit(&points).unwrap_err();
                assert!(matches!(error, FitError::Value { at: 3, field: f, .. } if f == field), "{error}");
            }
        }
    }

    /// The lowest minimum that scipy 1.17.1 finds for the same sum of Huber losses on the same points: `minimize(f,
    /// start, jac=True, method="BFGS", options={"gtol": 1e-12})` from 900 starting points, with numpy's logarithms and
    /// `scipy.special.logsumexp`. The points are from the law that Besiroglu et al. (2024) publish, with noise and one
    /// outlier.
    #[test]
    fn agrees_with_another_search_for_the_minimum() {
        let mut points = points([1.8172, 482.01, 2085.43, 0.3478, 0.3658], 0.01);
        points[7].loss *= 1.3;
        let fit = fit(&points).unwrap();
        near(fit.e, 1.762_293_986, 1e-5, "E");
        near(fit.a, 346.842_331_5, 1e-4, "A");
        near(fit.b, 1_927.219_798, 1e-4, "B");
        near(fit.alpha, 0.324_750_931_6, 1e-5, "alpha");
        near(fit.beta, 0.361_966_800_9, 1e-5, "beta");
        near(fit.objective, 4.534_881_566_5e-4, 1e-7, "objective");
    }
}

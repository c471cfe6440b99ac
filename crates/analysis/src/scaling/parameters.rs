//! Between a law's own parameters and those that the search uses, and where the searches start.

use super::form::{Additive, Bounded, Kaplan, LOG_STAR, Neo, Repeated, Tied, Untransformed};
use super::objective::{COLUMNS, Form};

/// The means of the columns' logarithms, from which the search counts them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Centre {
    /// Of ln N, ln D, and of the third column where the form has one.
    pub(super) x: [f64; COLUMNS],
    /// The least loss.
    pub(super) least: f64,
    /// The largest loss.
    pub(super) most: f64,
}

/// A form with a law's parameters.
pub(super) trait Search<const W: usize>: Form<W> + Copy {
    /// The law's parameters, in the order of [`super::LawName::parameters`].
    fn law(&self, at: &[f64; W], centre: &Centre) -> Vec<f64>;

    /// The inverse of [`Self::law`]; `None` if there are not as many parameters or one is not possible.
    fn at(&self, parameters: &[f64], centre: &Centre) -> Option<[f64; W]>;

    /// The paper's grid of starting points, or ours where the paper states none.
    fn grid(&self, centre: &Centre) -> Vec<[f64; W]>;

    /// What the form's value is compared with for a loss.
    fn target(&self, loss: f64) -> f64 {
        libm::log(loss)
    }
}

/// All combinations of the values of each dimension, the last the fastest.
fn product<const W: usize>(values: [&[f64]; W]) -> Vec<[f64; W]> {
    let mut all = vec![[0.0; W]];
    for (k, values) in values.into_iter().enumerate() {
        all = all
            .iter()
            .flat_map(|start| {
                values.iter().map(move |value| {
                    let mut start = *start;
                    start[k] = *value;
                    start
                })
            })
            .collect();
    }
    all
}

/// A logarithm that exists.
fn ln(value: f64) -> Option<f64> {
    (value.is_finite() && value > 0.0).then(|| libm::log(value))
}

const EXPONENTS: [f64; 5] = [0.0, 0.5, 1.0, 1.5, 2.0];
const LOG_COEFFICIENTS: [f64; 6] = [0.0, 5.0, 10.0, 15.0, 20.0, 25.0];
const LOG_E: [f64; 5] = [-1.0, -0.5, 0.0, 0.5, 1.0];

impl Search<5> for Additive {
    fn law(&self, [a, b, e, alpha, beta]: &[f64; 5], centre: &Centre) -> Vec<f64> {
        let [n, d, ..] = centre.x;
        vec![libm::exp(*e), libm::exp(a + alpha * n), libm::exp(b + beta * d), *alpha, *beta]
    }

    fn at(&self, parameters: &[f64], centre: &Centre) -> Option<[f64; 5]> {
        let &[e, a, b, alpha, beta] = parameters else { return None };
        let [n, d, ..] = centre.x;
        Some([ln(a)? - alpha * n, ln(b)? - beta * d, ln(e)?, alpha, beta])
    }

    /// The 4,500 points of Hoffmann et al. (2022, appendix D.3).
    fn grid(&self, centre: &Centre) -> Vec<[f64; 5]> {
        let [n, d, ..] = centre.x;
        let starts = product([&EXPONENTS, &EXPONENTS, &LOG_E, &LOG_COEFFICIENTS, &LOG_COEFFICIENTS]);
        starts.into_iter().map(|[alpha, beta, e, a, b]| [a - alpha * n, b - beta * d, e, alpha, beta]).collect()
    }
}

impl Search<4> for Tied {
    fn law(&self, [a, b, e, alpha]: &[f64; 4], centre: &Centre) -> Vec<f64> {
        Additive.law(&[*a, *b, *e, *alpha, *alpha], centre)
    }

    fn at(&self, parameters: &[f64], centre: &Centre) -> Option<[f64; 4]> {
        let [a, b, e, alpha, beta] = Additive.at(parameters, centre)?;
        (alpha == beta).then_some([a, b, e, alpha])
    }

    fn grid(&self, centre: &Centre) -> Vec<[f64; 4]> {
        let [n, d, ..] = centre.x;
        let starts = product([&EXPONENTS, &LOG_E, &LOG_COEFFICIENTS, &LOG_COEFFICIENTS]);
        starts.into_iter().map(|[alpha, e, a, b]| [a - alpha * n, b - alpha * d, e, alpha]).collect()
    }
}

impl Search<5> for Untransformed {
    fn law(&self, at: &[f64; 5], centre: &Centre) -> Vec<f64> {
        Additive.law(at, centre)
    }

    /// The exponents alone are enough, as in [`Self::grid`].
    fn at(&self, parameters: &[f64], centre: &Centre) -> Option<[f64; 5]> {
        match parameters {
            &[alpha, beta] => Some([0.0, 0.0, 0.0, alpha, beta]),
            parameters => Additive.at(parameters, centre),
        }
    }

    fn target(&self, loss: f64) -> f64 {
        loss
    }

    /// Only the exponents: the linear solution for each gives the rest.
    fn grid(&self, _: &Centre) -> Vec<[f64; 5]> {
        let exponents: Vec<f64> = (1..=40).map(|i| f64::from(i) * 0.05).collect();
        product([&[0.0], &[0.0], &[0.0], &exponents, &exponents])
    }
}

impl Search<4> for Kaplan {
    fn law(&self, [a, b, alpha_n, alpha_d]: &[f64; 4], centre: &Centre) -> Vec<f64> {
        let [n, d, ..] = centre.x;
        vec![libm::exp(a / alpha_n + n), libm::exp(b / alpha_d + d), *alpha_n, *alpha_d]
    }

    fn at(&self, parameters: &[f64], centre: &Centre) -> Option<[f64; 4]> {
        let &[n_c, d_c, alpha_n, alpha_d] = parameters else { return None };
        let [n, d, ..] = centre.x;
        Some([alpha_n * (ln(n_c)? - n), alpha_d * (ln(d_c)? - d), alpha_n, alpha_d])
    }

    /// The paper states no starting points: N_c and D_c from the centre of the points to e^20 times it.
    fn grid(&self, _: &Centre) -> Vec<[f64; 4]> {
        let (exponents, offsets) = ([0.05, 0.1, 0.2, 0.4], [0.0, 5.0, 10.0, 15.0, 20.0]);
        let starts = product([&offsets, &offsets, &exponents, &exponents]);
        starts.into_iter().map(|[n, d, alpha_n, alpha_d]| [alpha_n * n, alpha_d * d, alpha_n, alpha_d]).collect()
    }
}

impl Search<6> for Neo {
    fn law(&self, [a, b, e, alpha, beta, decline]: &[f64; 6], centre: &Centre) -> Vec<f64> {
        let [n, d, ..] = centre.x;
        let (a, b) = (libm::exp(a + alpha * n), libm::exp(b + beta * d));
        vec![e + decline * d, a, b, *alpha, *beta, *decline]
    }

    fn at(&self, parameters: &[f64], centre: &Centre) -> Option<[f64; 6]> {
        let &[e, a, b, alpha, beta, decline] = parameters else { return None };
        let [n, d, ..] = centre.x;
        Some([ln(a)? - alpha * n, ln(b)? - beta * d, e - decline * d, alpha, beta, decline])
    }

    /// The paper states no starting points.
    fn grid(&self, centre: &Centre) -> Vec<[f64; 6]> {
        let (terms, exponents) = ([-4.0, -2.0, 0.0], [0.2, 0.5, 1.0]);
        let least = [0.4, 0.7, 0.95].map(|part| part * centre.least);
        product([&terms, &terms, &least, &exponents, &exponents, &[0.0, 0.02, 0.1]])
    }
}

impl Search<2> for Repeated {
    fn law(&self, [data, size]: &[f64; 2], centre: &Centre) -> Vec<f64> {
        let mut all = Additive.law(&self.fixed, centre);
        let star = |log: f64| libm::exp(log.clamp(-LOG_STAR, LOG_STAR));
        all.extend([star(*data), star(*size)]);
        all
    }

    fn at(&self, parameters: &[f64], _: &Centre) -> Option<[f64; 2]> {
        let &[.., data, size] = parameters else { return None };
        Some([ln(data)?, ln(size)?])
    }

    fn grid(&self, _: &Centre) -> Vec<[f64; 2]> {
        let stars = [-2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0];
        product([&stars, &stars])
    }
}

impl Search<9> for Bounded {
    fn law(&self, at: &[f64; 9], centre: &Centre) -> Vec<f64> {
        let [e, span, a, b, c, alpha, beta, gamma, delta] = *at;
        let ([n, t, d, _], e) = (centre.x, libm::exp(e));
        let (a, b) = (libm::exp(a + alpha * n), libm::exp(b + beta * t));
        vec![e, e + libm::exp(span), a, b, libm::exp(c - gamma * n + delta * d), alpha, beta, gamma, delta]
    }

    fn at(&self, parameters: &[f64], centre: &Centre) -> Option<[f64; 9]> {
        let &[e, start, a, b, c, alpha, beta, gamma, delta] = parameters else { return None };
        let [n, t, d, _] = centre.x;
        let (a, b, c) = (ln(a)? - alpha * n, ln(b)? - beta * t, ln(c)? + gamma * n - delta * d);
        Some([ln(e)?, ln(start - e)?, a, b, c, alpha, beta, gamma, delta])
    }

    /// Ours: E below the least loss, L₀ above the largest.
    fn grid(&self, centre: &Centre) -> Vec<[f64; 9]> {
        let least = [0.5, 0.85].map(|part| libm::log(part * centre.least));
        let span = [1.2, 4.0].map(|times| libm::log(times * centre.most - 0.5 * centre.least));
        let (terms, repeats, exponents) = ([-3.0, -1.0], [-5.0, -2.0], [0.3, 0.7]);
        product([&least, &span, &terms, &terms, &repeats, &exponents, &exponents, &exponents, &exponents])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CENTRE: Centre = Centre { x: [20.0, 23.0, 22.0, 0.0], least: 2.0, most: 4.0 };

    fn there_and_back<const W: usize>(form: impl Search<W>) {
        let grid = form.grid(&CENTRE);
        for start in grid.iter().step_by(grid.len() / 7 + 1) {
            let again = form.at(&form.law(start, &CENTRE), &CENTRE).unwrap();
            for (a, b) in start.iter().zip(again) {
                assert!((a - b).abs() < 1e-9, "{start:?} {again:?}");
            }
        }
    }

    #[test]
    fn the_laws_parameters_give_the_searchs_back() {
        assert_eq!(Additive.grid(&CENTRE).len(), 4500);
        there_and_back(Additive);
        there_and_back(Tied);
        there_and_back(Kaplan);
        there_and_back(Neo);
        there_and_back(Repeated { fixed: [0.1, 0.2, 0.4, 0.35, 0.3] });
        there_and_back(Bounded);
    }
}

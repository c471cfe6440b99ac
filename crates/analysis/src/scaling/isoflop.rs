//! Approaches 1 and 2 end alike: powers of C through the best sizes. Approach 2 finds them as the minima of parabolas.

use retrace_spec::recipe::scaling::{FitOptions, LawName};

use super::fit::{Fit, FitError, Prepared, Starts, distinct, named};
use super::point::Points;
use super::regression::{line, lowest};
use super::search::{Refit, Sample};
use super::warning::Warning;

/// The best size and tokens at a compute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Best {
    pub(super) log_compute: f64,
    pub(super) log_params: f64,
    pub(super) log_tokens: f64,
}

/// (G_N, a, G_D, b) of N_opt = G_N C^a and D_opt = G_D C^b, by least squares of the logarithms.
pub(super) fn powers(best: &[Best]) -> Option<Vec<f64>> {
    let of = |y: fn(&Best) -> f64| {
        let points: Vec<[f64; 3]> = best.iter().map(|b| [b.log_compute, y(b), 1.0]).collect();
        line(&points)
    };
    let (n, a) = of(|best| best.log_params)?;
    let (d, b) = of(|best| best.log_tokens)?;
    let all = vec![libm::exp(n), a, libm::exp(d), b];
    all.iter().all(|value| value.is_finite()).then_some(all)
}

/// The result of approach 1 or 2 from the best sizes.
pub(super) fn result(
    law: LawName,
    points: &Points,
    best: &[Best],
    again: Box<dyn Refit>,
    options: &FitOptions,
) -> Result<Prepared, FitError> {
    let values = powers(best).ok_or(FitError::NoFit)?;
    let predicted = |best: &Best| libm::log(values[0]) + values[1] * best.log_compute;
    let pairs = best.iter().map(|b| (b.log_params, predicted(b)));
    let mut fit = Fit {
        law,
        parameters: named(law, &values),
        objective: 0.5 * pairs.clone().map(|(value, predicted)| (value - predicted) * (value - predicted)).sum::<f64>(),
        r2: super::fit::explained(pairs),
        points: points.rows().len(),
        sizes: distinct(points, |point| point.params),
        // Least squares of a line has one solution and no search.
        starts: Starts { tried: 1, failed: 0, reached: 1, converged: true },
        intervals: None,
        warnings: Vec::new(),
    };
    fit.warnings = Warning::of(&fit, points, options);
    Ok(Prepared { fit, points: points.clone(), again })
}

/// Points of equal compute, for parabolas of loss over ln N (Hoffmann et al. 2022, approach 2).
#[derive(Debug, Clone)]
pub(super) struct IsoFlop {
    /// For each parabola its rows: (index, ln C, ln N, ln D).
    budgets: Vec<Vec<(usize, [f64; 3])>>,
    losses: Vec<f64>,
}

impl IsoFlop {
    /// The budgets among the points: rows whose compute is within the option's factor of the smallest of the budget,
    /// with at least three sizes.
    pub(super) fn new(points: &Points, factor: f64) -> Self {
        let mut rows: Vec<(usize, [f64; 3])> = points
            .rows()
            .iter()
            .enumerate()
            .map(|(at, p)| (at, [p.compute(), p.params, p.tokens].map(libm::log)))
            .collect();
        rows.sort_by(|a, b| a.1[0].total_cmp(&b.1[0]));
        let mut budgets: Vec<Vec<(usize, [f64; 3])>> = Vec::new();
        for row in rows {
            match budgets.last_mut() {
                Some(budget) if row.1[0] - budget[0].1[0] <= libm::log(factor) => budget.push(row),
                _ => budgets.push(vec![row]),
            }
        }
        budgets.retain(|budget| {
            let mut sizes: Vec<u64> = budget.iter().map(|row| row.1[1].to_bits()).collect();
            sizes.sort_unstable();
            sizes.dedup();
            sizes.len() >= 3
        });
        Self { budgets, losses: points.rows().iter().map(|p| p.loss).collect() }
    }

    /// The minima that lie between the smallest and the largest size of their budget.
    pub(super) fn best(&self, weight: impl Fn(usize) -> f64, loss: impl Fn(usize) -> f64) -> Vec<Best> {
        let mut all = Vec::new();
        for budget in &self.budgets {
            let of = |k: usize| {
                let mut rows = budget.iter().filter(|row| weight(row.0) > 0.0).map(|row| row.1[k]);
                let first = rows.next().unwrap_or(f64::NAN);
                rows.fold((first, first), |(low, high), value| (low.min(value), high.max(value)))
            };
            let points: Vec<[f64; 3]> =
                budget.iter().map(|row| [row.1[1], loss(row.0), weight(row.0)]).filter(|p| p[2] > 0.0).collect();
            let Some((log_params, _)) = lowest(&points) else { continue };
            let (smallest, largest) = of(1);
            if !(smallest..=largest).contains(&log_params) {
                continue;
            }
            let middle = |k: usize| {
                let total: f64 = budget.iter().map(|row| weight(row.0)).sum();
                budget.iter().map(|row| weight(row.0) * row.1[k]).sum::<f64>() / total
            };
            // N D is constant along a budget, so that ln D at the minimum follows from the means.
            let log_tokens = middle(1) + middle(2) - log_params;
            all.push(Best { log_compute: middle(0), log_params, log_tokens });
        }
        all
    }

    pub(super) fn fit(points: &Points, options: &FitOptions) -> Result<Prepared, FitError> {
        let law = LawName::Hoffmann2;
        let points = points.finals();
        let isoflop = Self::new(&points, options.isoflop);
        let best = isoflop.best(|_| 1.0, |at| isoflop.losses[at]);
        if best.len() < 2 {
            let what = "at least two numbers of compute with final losses of three or more sizes each, on both sides of the best size";
            return Err(FitError::Needs { law, what });
        }
        let (missed, left_out) = (isoflop.budgets.len() - best.len(), isoflop.left_out());
        let mut prepared = result(law, &points, &best, Box::new(isoflop), options)?;
        let warnings = &mut prepared.fit.warnings;
        if missed > 0 {
            warnings.push(Warning::NoMinimum { budgets: missed });
        }
        if left_out > 0 {
            warnings.push(Warning::LeftOut { points: left_out });
        }
        // The additive law needs six points; two budgets of three sizes have them.
        let additive =
            super::fit(&points, LawName::Hoffmann3, &FitOptions { isoflop: options.isoflop, ..FitOptions::default() });
        if let Ok(additive) = additive {
            warnings.extend(off_centre(&points, &additive, options));
        }
        Ok(prepared)
    }

    /// The number of points that belong to no budget.
    fn left_out(&self) -> usize {
        self.losses.len() - self.budgets.iter().map(Vec::len).sum::<usize>()
    }
}

/// The parabola of loss over ln N through the points of one compute.
#[derive(Debug, Clone, PartialEq)]
pub struct Parabola {
    /// C, the mean of its points in ln C.
    pub compute: f64,
    /// (N, loss) of its points, by size.
    pub points: Vec<(f64, f64)>,
    /// N at its lowest place.
    pub params: f64,
    /// The loss there.
    pub loss: f64,
    /// c in loss = lowest + c (ln N - ln N_lowest)².
    pub curvature: f64,
}

impl Parabola {
    /// Its loss at a size.
    pub fn loss_at(&self, params: f64) -> f64 {
        let along = libm::log(params / self.params);
        self.loss + self.curvature * along * along
    }
}

/// The parabolas of approach 2: those with a lowest place between their sizes, by compute.
pub fn parabolas(points: &Points, options: &FitOptions) -> Vec<Parabola> {
    let points = points.finals();
    let isoflop = IsoFlop::new(&points, options.isoflop);
    let of = |budget: &Vec<(usize, [f64; 3])>| {
        let rows: Vec<[f64; 3]> = budget.iter().map(|(at, row)| [row[1], isoflop.losses[*at], 1.0]).collect();
        let (place, loss) = lowest(&rows)?;
        // The vertex is that of the least squares, so the curvature is the best for this vertex.
        let power = |[x, ..]: &[f64; 3]| (x - place) * (x - place);
        let curvature = rows.iter().map(|row| power(row) * (row[1] - loss)).sum::<f64>()
            / rows.iter().map(|row| power(row) * power(row)).sum::<f64>();
        let compute = libm::exp(budget.iter().map(|(_, row)| row[0]).sum::<f64>() / budget.len() as f64);
        let mut points: Vec<(f64, f64)> = rows.iter().map(|[n, loss, _]| (libm::exp(*n), *loss)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let params = libm::exp(place);
        let within = points.first()?.0 <= params && params <= points.last()?.0;
        within.then_some(Parabola { compute, points, params, loss, curvature })
    };
    isoflop.budgets.iter().filter_map(of).collect()
}

/// A difference of the exponent that is below every interval seen in practice.
const BIAS: f64 = 1e-3;

/// The bias of approach 2 on the sizes and computes of these points: what it finds on exact losses of the law
/// E + A/N^α + B/D^β, whose exponent is known. Parabolas are exact only around the centre of a symmetric grid with α = β
/// (arXiv 2603.22339). `None` if approach 2 finds nothing, the law has no optimum, or the bias is below 10⁻³.
pub fn off_centre(points: &Points, law: &Fit, options: &FitOptions) -> Option<Warning> {
    let of = |name: &str| law.parameters.get(name).copied().filter(|value| *value > 0.0);
    let (alpha, beta) = (of("alpha")?, of("beta")?);
    let isoflop = IsoFlop::new(points, options.isoflop);
    let found = *powers(&isoflop.best(|_| 1.0, |at| law.loss_at(&points.rows()[at])))?.get(1)?;
    let expected = beta / (alpha + beta);
    ((found - expected).abs() > BIAS).then_some(Warning::OffCentre { found, expected })
}

impl Refit for IsoFlop {
    fn refit(&self, sample: Sample<'_>) -> Option<Vec<f64>> {
        let losses = sample.losses.unwrap_or(&self.losses);
        powers(&self.best(|at| sample.weights[at], |at| losses[at]))
    }
}

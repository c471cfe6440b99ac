//! The data-constrained law in the two steps of its paper (Muennighoff et al. 2023): the law without repetition, then
//! R_D* and R_N* with its constants fixed.

use retrace_spec::recipe::scaling::{FitOptions, Grid, LawName};

use super::fit::{FitError, Prepared, finish, huber, starts};
use super::form::{Repeated, Tied};
use super::law::Repetition;
use super::parameters::{Centre, Search as _};
use super::point::Points;
use super::search::{Found, Refit, Row, Sample, search, stop};

const LAW: LawName = LawName::DataConstrained;

pub(super) fn fit(points: &Points, options: &FitOptions) -> Result<Prepared, FitError> {
    let repeats = |at: usize| points.rows()[at].unique_tokens.is_some_and(|unique| unique < points.rows()[at].tokens);
    if points.rows().iter().any(|p| p.unique_tokens.is_none()) {
        return Err(FitError::Needs { law: LAW, what: "the unique tokens of every point" });
    }
    let all: Vec<usize> = (0..points.rows().len()).collect();
    if all.iter().filter(|at| repeats(**at)).count() < 3 {
        return Err(FitError::Needs { law: LAW, what: "at least three points with repeated tokens" });
    }
    let (base, first) = match options.base {
        Some(base) => (base.values(), None),
        None => {
            let once = points.keep(|at| !repeats(at));
            if once.rows().len() < 6 {
                let what = "six points without repetition, or the constants of the law without repetition";
                return Err(FitError::Needs { law: LAW, what });
            }
            super::fit::enough(&once, LawName::Hoffmann3)?;
            let (rows, centre) = super::fit::rows(&once, libm::log);
            let huber = huber(options, rows.len());
            let starts = Tied.grid(&centre);
            let first = search(Tied, rows, centre, huber, &starts, stop(options))?;
            (array(&first.parameters()).ok_or(FitError::NoFit)?, Some(first))
        }
    };
    let second = second(points, &base, options)?;
    let values = second.parameters();
    let once: Vec<bool> = all.iter().map(|at| !repeats(*at)).collect();
    let again = Again { points: points.clone(), once, first, base, options: options.clone(), best: second.best.at };
    let mut prepared = finish(points.clone(), LAW, values, second, options)?;
    prepared.again = Box::new(again);
    Ok(prepared)
}

fn array(values: &[f64]) -> Option<[f64; 5]> {
    values.get(..5)?.try_into().ok()
}

fn second(points: &Points, base: &[f64; 5], options: &FitOptions) -> Result<Found<Repeated, 2>, FitError> {
    let parts: Vec<(Repetition, f64)> = points
        .rows()
        .iter()
        .map(|p| (Repetition::new(base, p.params, p.tokens, p.unique_tokens.unwrap_or(p.tokens)), libm::log(p.loss)))
        .collect();
    let centre = Centre { x: [0.0; 4], least: 0.0, most: 0.0 };
    let fixed = super::form::Additive.at(base, &centre).ok_or(FitError::NoFit)?;
    let form = Repeated { fixed };
    let rows: Vec<Row> = parts
        .iter()
        .map(|(part, target)| {
            let x = [
                libm::log(part.unique_params),
                libm::log(part.unique_tokens),
                part.params_repeats,
                part.tokens_repeats,
            ];
            Row { x, target: *target }
        })
        .collect();
    let huber = huber(options, rows.len());
    let starts = starts(&form, &centre, LAW, &options.grid)?;
    search(form, rows, centre, huber, &starts, stop(options))
}

/// Both steps for a sample.
struct Again {
    points: Points,
    /// Which points are without repetition.
    once: Vec<bool>,
    first: Option<Found<Tied, 4>>,
    base: [f64; 5],
    options: FitOptions,
    best: [f64; 2],
}

impl Refit for Again {
    fn refit(&self, sample: Sample<'_>) -> Option<Vec<f64>> {
        let of_once = |values: &[f64]| -> Vec<f64> {
            values.iter().zip(&self.once).filter(|(_, once)| **once).map(|(value, _)| *value).collect()
        };
        let base = match &self.first {
            None => self.base,
            Some(first) => {
                let (weights, losses) = (of_once(sample.weights), sample.losses.map(of_once));
                array(&first.refit(Sample { weights: &weights, losses: losses.as_deref() })?)?
            }
        };
        let options = FitOptions { grid: Grid::one(LAW, &self.best.map(libm::exp)), ..self.options.clone() };
        second(&self.points, &base, &options).ok()?.refit(sample)
    }
}

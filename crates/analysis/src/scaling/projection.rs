//! E + A/N^α + B/D^β by least squares on L. For each (α, β) the law is linear in E, A and B, so that a grid over two
//! numbers finds the starts (variable projection; arXiv 2603.22339 fits scaling laws so); all five are then searched
//! for together from the best of them, which ends in the same minimum.

use retrace_spec::recipe::scaling::{FitOptions, LawName};

use super::fit::{FitError, Prepared, finish, huber, rows, starts};
use super::form::Untransformed;
use super::objective::Huber;
use super::parameters::Search as _;
use super::point::Points;
use super::search::{Row, search, stop};

const LAW: LawName = LawName::VariableProjection;

/// The starts that are followed.
const FOLLOWED: usize = 20;

pub(super) fn fit(points: &Points, options: &FitOptions) -> Result<Prepared, FitError> {
    let form = Untransformed;
    let (rows, centre) = rows(points, |loss| form.target(loss));
    let huber = Huber { delta: f64::INFINITY, ..huber(options, rows.len()) };
    let mut all: Vec<(f64, [f64; 5])> = starts(&form, &centre, LAW, &options.grid)?
        .into_iter()
        .filter_map(|[_, _, _, alpha, beta]| solve(&rows, alpha, beta))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let starts: Vec<[f64; 5]> = all.into_iter().take(FOLLOWED).map(|(_, start)| start).collect();
    let found = search(form, rows, centre, huber, &starts, stop(options))?;
    finish(points.clone(), LAW, found.parameters(), found, options)
}

/// The least sum of squares for these exponents and where it is; `None` if a coefficient would not be above 0.
fn solve(rows: &[Row], alpha: f64, beta: f64) -> Option<(f64, [f64; 5])> {
    // Rows of (1, N^-α, D^-β, L).
    let design: Vec<[f64; 4]> =
        rows.iter().map(|row| [1.0, libm::exp(-alpha * row.x[0]), libm::exp(-beta * row.x[1]), row.target]).collect();
    let product = |i: usize, j: usize| design.iter().map(|row| row[i] * row[j]).sum::<f64>();
    let matrix: [[f64; 3]; 3] = core::array::from_fn(|i| core::array::from_fn(|j| product(i, j)));
    let inverse = super::minimise::inverse(&matrix)?;
    let right: [f64; 3] = core::array::from_fn(|i| product(i, 3));
    let [e, a, b]: [f64; 3] = core::array::from_fn(|i| (0..3).map(|j| inverse[i][j] * right[j]).sum());
    let missed = |row: &[f64; 4]| e * row[0] + a * row[1] + b * row[2] - row[3];
    let squares = design.iter().map(|row| missed(row) * missed(row)).sum();
    (e > 0.0 && a > 0.0 && b > 0.0).then(|| (squares, [libm::log(a), libm::log(b), libm::log(e), alpha, beta]))
}

//! Scaling laws: the dependence of loss on parameters, tokens and compute.
//!
//! [`Points`] with their units are fitted by [`fit`] to a law of [`retrace_spec::recipe::scaling::LawName`], each by the procedure of its paper;
//! [`bootstrap`] adds intervals.
//!
//! The losses are summed and the tolerance is strict by default: with the mean and an absolute tolerance the search
//! stops too early (Besiroglu et al., Chinchilla Scaling: A replication attempt, 2024).

mod bootstrap;
mod elementary;
mod envelope;
mod fit;
mod form;
mod holdout;
mod isoflop;
mod law;
mod minimise;
mod objective;
mod parameters;
mod point;
mod predict;
mod predictions;
mod projection;
mod regression;
mod repeated;
mod report;
mod search;
mod two_step;
mod warning;

pub use bootstrap::{Intervals, Resampled, bootstrap};
pub use fit::{Fit, FitError, Starts, fit};
pub use holdout::{Holdout, compare, hold_out_compute, leave_largest_out, rolling};
pub use isoflop::{Parabola, off_centre, parabolas};
pub use point::{Point, PointError, Points};
pub use predict::{DIGITISATION, Distance, Optimum, OptimumInterval, Outcome, Prediction, distance};
pub use predictions::{CheckError, Checked, Checks, Incomparable, NotCompared, Predicted, Predictions};
pub use report::{Compared, FrontierPoint, LawReport, Report, Request, Tested, Told};
pub use warning::Warning;

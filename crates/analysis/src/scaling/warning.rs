//! What a reader must know before believing a fit: the mistakes that published scaling laws have made.

use core::fmt;
use std::collections::BTreeMap;

use retrace_spec::recipe::scaling::{FitOptions, LawName, ParamsUnit, Reduction};
use serde::{Deserialize, Serialize};

use super::fit::Fit;
use super::point::Points;

/// Something about a fit or a prediction that makes its numbers less than they seem. `Display` says it in a sentence. Its
/// numbers are finite, so that a document can have them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "warning", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Warning {
    /// The best search had not converged.
    StoppedEarly {
        /// The part of the objective by which it decreases when the search is continued.
        gain: f64,
        /// The parameter that then changes most.
        parameter: String,
        /// The part of itself by which it changes.
        change: f64,
    },
    /// The objective is a mean of Huber losses.
    Mean,
    /// Few starts found the best optimum.
    RarelyReached {
        /// Those that did.
        reached: usize,
        /// All.
        tried: usize,
    },
    /// The losses are rounded so coarsely that the rounding is not small against the residuals.
    RoundedLosses {
        /// The decimals that they have.
        decimals: u32,
    },
    /// The parameters, rounded to three significant digits, do not give the law's losses any more.
    RoundedConstants {
        /// The significant digits at which the losses change by less than 10⁻⁴ of themselves.
        digits: u32,
        /// The largest relative change of a loss at three digits.
        change: f64,
    },
    /// Points far from the law.
    Outliers {
        /// Their indices among [`Points::rows`].
        rows: Vec<usize>,
        /// The parameter that changes most without them.
        parameter: String,
        /// Its value without them.
        without: f64,
    },
    /// Points that are there more than once.
    Duplicates {
        /// The number of points that repeat another.
        points: usize,
    },
    /// Points that nearly repeat others, as two readings of one figure do.
    Digitisations {
        /// The number of points that have such a neighbour.
        points: usize,
    },
    /// Points along runs were taken as if each were a run's end.
    Checkpoints {
        /// The points that are not the last of their run.
        points: usize,
    },
    /// Approach 2 on exact points of the law at the same sizes and computes gives another exponent than the law.
    OffCentre {
        /// The exponent a of N_opt that approach 2 finds.
        found: f64,
        /// The law's own, β/(α+β).
        expected: f64,
    },
    /// Budgets of approach 2 whose parabola has no minimum between their sizes; they were left out.
    NoMinimum {
        /// Their number.
        budgets: usize,
    },
    /// Points that approach 2 left out because fewer than three sizes share their compute.
    LeftOut {
        /// Their number.
        points: usize,
    },
    /// Exponents that are not above 0 or are above 2.
    Implausible {
        /// The parameters.
        parameters: Vec<String>,
    },
    /// The points do not bound a parameter: the law is as good with it at an end of its range.
    Unbound {
        /// The parameter.
        parameter: String,
    },
    /// The law falls without end as tokens grow (NEO).
    Unbounded {
        /// The tokens beyond which the term d ln D lowers the loss more than B/D^β does.
        tokens: f64,
    },
    /// Few sizes.
    FewSizes {
        /// Their number.
        sizes: usize,
    },
    /// A unit that nobody states.
    UnknownUnit {
        /// `params` or `loss`.
        what: String,
    },
    /// Kaplan's law counts parameters without embeddings; these have them.
    WithEmbeddings,
    /// The measured compute is not 6 N D.
    Compute {
        /// The smallest quotient of C and 6 N D.
        least: f64,
        /// The largest.
        most: f64,
    },
    /// A prediction far beyond the data.
    Extrapolation {
        /// The quantity that is farthest outside: `compute`, `params`, `tokens`.
        what: String,
        /// The factor by which it exceeds the largest among the points, or below 1 the smallest.
        factor: f64,
    },
}

/// A prediction is far beyond the data from this factor on. Published laws were checked at up to some 10 to 300 times.
const FAR: f64 = 10.0;

impl Warning {
    pub(super) fn stopped_early(gain: f64, from: &BTreeMap<String, f64>, to: &BTreeMap<String, f64>) -> Self {
        let (parameter, change) = most_changed(from, to);
        Self::StoppedEarly { gain, parameter, change }
    }

    /// What the points, the options and the parameters alone show.
    pub(super) fn of(fit: &Fit, points: &Points, options: &FitOptions) -> Vec<Self> {
        let mut all = Vec::new();
        if points.params_unit().is_none() {
            all.push(Self::UnknownUnit { what: "params".to_owned() });
        }
        if points.loss_unit().is_none() {
            all.push(Self::UnknownUnit { what: "loss".to_owned() });
        }
        if fit.law == LawName::Kaplan && points.params_unit() == Some(ParamsUnit::Total) {
            all.push(Self::WithEmbeddings);
        }
        if options.reduction == Reduction::Mean && fit.law.has_loss() {
            all.push(Self::Mean);
        }
        if fit.starts.tried >= 100 && fit.starts.reached * 100 < fit.starts.tried {
            all.push(Self::RarelyReached { reached: fit.starts.reached, tried: fit.starts.tried });
        }
        all.extend(rounded_losses(fit, points));
        all.extend(rounded_constants(fit, points));
        all.extend(repeated_points(points));
        if fit.law != LawName::Hoffmann1 && points.along_runs() {
            let points = points.rows().len() - points.finals().rows().len();
            all.push(Self::Checkpoints { points });
        }
        let parameters: Vec<String> = fit
            .parameters
            .iter()
            .filter(|(name, _)| matches!(name.as_str(), "alpha" | "beta" | "alpha_N" | "alpha_D"))
            .filter(|(_, value)| !(**value > 0.0 && **value <= 2.0))
            .map(|(name, _)| name.clone())
            .collect();
        if !parameters.is_empty() {
            all.push(Self::Implausible { parameters });
        }
        for parameter in ["R_D", "R_N"] {
            // Beyond a millionth or a million repetitions there are no points.
            if fit.parameters.get(parameter).is_some_and(|value| !(1e-6..1e6).contains(value)) {
                all.push(Self::Unbound { parameter: parameter.to_owned() });
            }
        }
        let least = points.rows().iter().map(|p| p.loss).fold(f64::INFINITY, f64::min);
        // NEO's E is not a lower limit, and may have any sign.
        if fit.law != LawName::Neo && fit.parameters.get("E").is_some_and(|value| *value < 1e-6 * least) {
            all.push(Self::Unbound { parameter: "E".to_owned() });
        }
        if fit.law == LawName::Neo {
            let of = |name: &str| fit.parameters.get(name).copied().unwrap_or(f64::NAN);
            // -dL/d ln D = β B D^-β + d.
            let tokens = libm::pow(of("beta") * of("B") / of("d"), 1.0 / of("beta")).min(f64::MAX);
            if of("d") > 0.0 {
                all.push(Self::Unbounded { tokens });
            }
        }
        if fit.sizes < 5 {
            all.push(Self::FewSizes { sizes: fit.sizes });
        }
        let quotients =
            points.rows().iter().filter(|p| p.flops.is_some()).map(|p| p.compute() / (6.0 * p.params * p.tokens));
        let (least, most) = quotients.fold((f64::INFINITY, 0.0_f64), |(low, high), q| (low.min(q), high.max(q)));
        if least <= most && (least < 0.9 || most > 1.1) {
            all.push(Self::Compute { least: least.min(f64::MAX), most: most.min(f64::MAX) });
        }
        all
    }

    /// Whether a model or a budget is far beyond the points, and in what.
    pub(super) fn extrapolation(points: &Points, params: f64, tokens: f64, compute: f64) -> Option<Self> {
        let of = |what: &str, value: f64, of: fn(&super::Point) -> f64| {
            let values = points.rows().iter().map(of);
            let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
            let factor = if value > high {
                value / high
            } else if value < low {
                value / low
            } else {
                1.0
            };
            (what.to_owned(), factor)
        };
        let all = [
            of("params", params, |p| p.params),
            of("tokens", tokens, |p| p.tokens),
            of("compute", compute, super::Point::compute),
        ];
        let size = |factor: f64| if factor < 1.0 { 1.0 / factor } else { factor };
        let (what, factor) = all.into_iter().max_by(|a, b| size(a.1).total_cmp(&size(b.1)))?;
        (size(factor) > FAR).then_some(Self::Extrapolation { what, factor: factor.min(f64::MAX) })
    }
}

/// The parameter that changes by the largest part of itself, and the part.
pub(super) fn most_changed(from: &BTreeMap<String, f64>, to: &BTreeMap<String, f64>) -> (String, f64) {
    let changes = from.iter().filter_map(|(name, from)| {
        let to = to.get(name)?;
        Some((name.clone(), (to - from) / from)).filter(|(_, change)| change.is_finite())
    });
    changes.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).unwrap_or_default()
}

fn rounded_losses(fit: &Fit, points: &Points) -> Option<Warning> {
    let decimals = (0..4_u32).find(|decimals| {
        let scale = f64::from(10_u32.pow(*decimals));
        points.rows().iter().all(|p| (p.loss * scale - (p.loss * scale).round()).abs() < 1e-9)
    })?;
    // A rounded number is off by up to half a unit of its last decimal, evenly: a standard deviation of 1/√12.
    let rounding = libm::pow(10.0, -f64::from(decimals)) / 12.0_f64.sqrt();
    let squares = points.rows().iter().map(|p| {
        let missed = fit.loss_at(p) - p.loss;
        missed * missed
    });
    let residual = (squares.sum::<f64>() / points.rows().len() as f64).sqrt();
    (residual.is_nan() || rounding > 0.1 * residual).then_some(Warning::RoundedLosses { decimals })
}

/// `value` to `digits` significant digits.
pub(super) fn significant(value: f64, digits: u32) -> f64 {
    format!("{value:.*e}", digits.saturating_sub(1) as usize).parse().unwrap_or(value)
}

fn rounded_constants(fit: &Fit, points: &Points) -> Option<Warning> {
    if !fit.law.has_loss() {
        return None;
    }
    let change = |digits: u32| {
        let mut rounded = fit.clone();
        rounded.parameters.values_mut().for_each(|value| *value = significant(*value, digits));
        let changes = points.rows().iter().map(|p| (rounded.loss_at(p) / fit.loss_at(p) - 1.0).abs());
        changes.fold(0.0, f64::max)
    };
    let at_three = change(3);
    let digits = (4..=17).find(|digits| change(*digits) < 1e-4)?;
    (at_three.is_finite() && at_three > 1e-3).then_some(Warning::RoundedConstants { digits, change: at_three })
}

/// Two readings of one point differ by less than this part in size and tokens, and a quarter of it in loss.
const READING: f64 = 0.02;

fn repeated_points(points: &Points) -> Vec<Warning> {
    let rows = points.rows();
    let (mut same, mut near) = (0, 0);
    let close = |a: f64, b: f64, part: f64| (a / b - 1.0).abs() < part;
    for (at, point) in rows.iter().enumerate() {
        let equal = |other: &super::Point| {
            other.params == point.params && other.tokens == point.tokens && other.loss == point.loss
        };
        // Rows are sorted: equal ones are beside each other, and readings of one point near each other.
        same += usize::from(rows[..at].last().is_some_and(equal));
        let after = rows[at + 1..].iter().take_while(|other| other.params < point.params * (1.0 + READING));
        let before = rows[..at].iter().rev().take_while(|other| point.params < other.params * (1.0 + READING));
        let reading = |other: &super::Point| {
            other.params != point.params
                && other.tokens != point.tokens
                && close(other.tokens, point.tokens, READING)
                && close(other.loss, point.loss, READING / 4.0)
                && (other.run.is_none() || other.run != point.run)
        };
        near += usize::from(after.chain(before).any(reading));
    }
    let mut all = Vec::new();
    if same > 0 {
        all.push(Warning::Duplicates { points: same });
    }
    // Some neighbours are chance; most points having one is not.
    if near * 2 > rows.len() {
        all.push(Warning::Digitisations { points: near });
    }
    all
}

/// A factor in few digits.
fn times(factor: f64) -> String {
    if factor < 1e6 { format!("{factor:.0}") } else { format!("{factor:.1e}") }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |part: f64| format!("{:.2} %", 100.0 * part);
        match self {
            Self::StoppedEarly { gain, parameter, change } => write!(
                f,
                "The search stopped early: when it is continued, the objective decreases by {} and {parameter} changes by {}.",
                percent(*gain),
                percent(*change)
            ),
            Self::Mean => f.write_str(
                "The objective is the mean of the Huber losses, not their sum: an absolute tolerance then stops the search too early.",
            ),
            Self::RarelyReached { reached: 0, tried } => write!(
                f,
                "None of the {tried} starts reached the best optimum; it was found when the best of them was continued. There may be a better one."
            ),
            Self::RarelyReached { reached, tried } => {
                write!(f, "Only {reached} of {tried} starts reached the best optimum; there may be a better one.")
            }
            Self::RoundedLosses { decimals } => write!(
                f,
                "All losses are rounded to {decimals} decimals, which is not small against the distance between points and law."
            ),
            Self::RoundedConstants { digits, change } => write!(
                f,
                "With parameters rounded to 3 significant digits the law's losses change by up to {}; state {digits} digits.",
                percent(*change)
            ),
            Self::Outliers { rows, parameter, without } => write!(
                f,
                "{} points are far from the law; without them {parameter} would be {without:.4}.",
                rows.len()
            ),
            Self::Duplicates { points } => write!(f, "{points} points repeat another point exactly."),
            Self::Digitisations { points } => write!(
                f,
                "{points} points nearly repeat another in size, tokens and loss, as two readings of one figure do; they are not independent."
            ),
            Self::Checkpoints { points } => write!(
                f,
                "{points} points are not the last of their run. At an intermediate checkpoint the learning rate has not fallen yet, so that its loss is higher than that of a run which ends there."
            ),
            Self::OffCentre { found, expected } => write!(
                f,
                "Approach 2 is biased on these sizes: on exact points of the law it finds N_opt ~ C^{found:.4} instead of C^{expected:.4}."
            ),
            Self::NoMinimum { budgets } => write!(
                f,
                "{budgets} budgets were left out: their parabola has no minimum between the smallest and the largest size."
            ),
            Self::LeftOut { points } => {
                write!(f, "{points} points were left out: fewer than three sizes share their compute.")
            }
            Self::Implausible { parameters } => {
                write!(f, "Exponents outside 0 to 2 are no scaling law: {}.", parameters.join(", "))
            }
            Self::Unbound { parameter } => {
                write!(f, "The points do not bound {parameter}: the best law has it at an end of its range.")
            }
            Self::Unbounded { tokens } => write!(
                f,
                "The law falls without end as tokens grow; beyond {tokens:.1e} tokens the term d ln D lowers the loss more than B/D^beta does."
            ),
            Self::FewSizes { sizes } => write!(f, "The points have only {sizes} sizes."),
            Self::UnknownUnit { what } => write!(f, "The unit of {what} is not known."),
            Self::WithEmbeddings => f.write_str(
                "Kaplan's law counts parameters without embeddings; these points count all, which changes its exponents.",
            ),
            Self::Compute { least, most } => {
                write!(f, "The measured compute is {least:.2} to {most:.2} times 6 N D.")
            }
            Self::Extrapolation { what, factor } if *factor < 1.0 => {
                write!(f, "The {what} is {} times smaller than the smallest among the points.", times(1.0 / factor))
            }
            Self::Extrapolation { what, factor } => {
                write!(f, "The {what} is {} times the largest among the points.", times(*factor))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_has_few_digits() {
        for (factor, said) in
            [(40.0, "40 times the largest"), (f64::MAX, "1.8e308 times the largest"), (1e-300, "1.0e300 times smaller")]
        {
            let text = Warning::Extrapolation { what: "compute".to_owned(), factor }.to_string();
            assert!(text.contains(said), "{text}");
        }
    }
}

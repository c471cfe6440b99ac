//! The tables of a report of scaling laws: the laws, the best models, predictions.

use retrace_analysis::scaling::{Incomparable, LawReport, Points, Prediction, Report};
use retrace_spec::recipe::scaling::{Bootstrap, LawName, Resampling};

use super::block::{Block, Section, Table};
use crate::numbers::{grouped, percent, round};

/// A number of a law, in four digits.
pub(super) fn number(value: f64) -> String {
    in_digits(value, 4)
}

/// A number in so many significant digits.
fn in_digits(value: f64, digits: u32) -> String {
    let after = digits.saturating_sub(1);
    match value.abs() {
        0.0 => "0".to_owned(),
        size if (0.001..100_000.0).contains(&size) => {
            let places = (i64::from(after) - libm::floor(libm::log10(size)) as i64).clamp(0, 20) as usize;
            format!("{value:.places$}")
        }
        _ => format!("{value:.*e}", after as usize),
    }
}

fn between(interval: [f64; 2], shown: fn(f64) -> String) -> String {
    let [low, high] = interval.map(shown);
    format!("{low} to {high}")
}

fn with_interval(value: f64, interval: Option<[f64; 2]>, shown: fn(f64) -> String) -> String {
    match interval {
        Some(interval) => format!("{} ({})", shown(value), between(interval, shown)),
        None => shown(value),
    }
}

fn missing() -> String {
    "–".to_owned()
}

/// The form of a law, as its paper has it.
const fn form(law: LawName) -> &'static str {
    match law {
        LawName::Kaplan => "L = [(N_c/N)^(α_N/α_D) + D_c/D]^α_D",
        LawName::Hoffmann1 => "N_opt = G_N C^a, D_opt = G_D C^b, from the least loss at each C",
        LawName::Hoffmann2 => "N_opt = G_N C^a, D_opt = G_D C^b, from parabolas at equal C",
        LawName::Hoffmann3 => "L = E + A/N^α + B/D^β",
        LawName::Neo => "L = E + A/N^α + B/D^β − d ln D",
        LawName::DataConstrained => "L = E + A/N'^α + B/D'^β, N' and D' lower for repeated tokens",
        LawName::TwoStep => "L = E + A/N^α + B/D^β on the task; accuracy = a/(1 + exp(−k (L − L₀))) + b",
        LawName::VariableProjection => "L = E + A/N^α + B/D^β, least squares on L",
        LawName::Bounded => "L = E + (L₀ − E) h/(1 + h), h = a/N^α + b/T^β + c N^γ/D^δ",
    }
}

const fn by(resampling: Resampling) -> &'static str {
    match resampling {
        Resampling::Run => "run",
        Resampling::Case => "point",
        Resampling::Parametric => "new losses around the law",
        Resampling::None => "nothing",
    }
}

pub(super) fn laws(report: &Report) -> Section {
    let lead = "Each law is fitted by the procedure of its paper, unless the arguments below say otherwise.".to_owned();
    let blocks = report.laws.iter().flat_map(|of| law(of, report)).collect();
    Section { id: "laws", title: "Laws", lead, blocks }
}

/// What is said of a law of the report.
pub(super) fn law(law: &LawReport, report: &Report) -> Vec<Block> {
    let mut blocks = vec![Block::Heading(law.law.name().to_owned()), Block::Text(form(law.law).to_owned())];
    if let Some(why) = &law.failed {
        blocks.push(Block::Text(format!("Not fitted: {why}.")));
        return blocks;
    }
    let intervals = !law.intervals.is_empty();
    let mut table = Table::new(&["Parameter"], if intervals { &["Value", "Interval"] } else { &["Value"] });
    for name in law.law.parameters() {
        let Some(value) = law.parameters.get(*name) else { continue };
        let interval = || law.intervals.get(*name).map_or_else(missing, |interval| between(*interval, number));
        table.row([(*name).to_owned(), in_digits(*value, law.digits())].into_iter().chain(intervals.then(interval)));
    }
    let mut said = format!("{} points of {} sizes.", grouped(law.points as u64), grouped(law.sizes as u64));
    if let Some(objective) = law.objective {
        said += &format!(" Objective {objective:.6e}.");
    }
    if let Some(r2) = law.r2 {
        said += &format!(" R² {r2:.4}, over the points that were fitted: it says nothing of larger models.");
    }
    if let Some(starts) = law.starts {
        let (reached, tried) = (grouped(starts.reached as u64), grouped(starts.tried as u64));
        let converged = if starts.converged { "converged" } else { "did not converge" };
        said += &format!(" {reached} of {tried} starts reached the best optimum, and it {converged}.");
    }
    if intervals {
        let Bootstrap { by: drawn, samples, level, seed } = report.request.intervals;
        let (level, samples) = (percent(level), grouped(samples as u64));
        said += &format!(" Intervals hold {level} of {samples} bootstrap samples by {}, seed {seed}", by(drawn));
        if law.samples_failed > 0 {
            said += &format!("; {} samples gave no law and are left out", grouped(law.samples_failed as u64));
        }
        said.push('.');
    }
    blocks.extend([Block::Table(table), Block::Text(said)]);
    if !law.is_plausible() {
        blocks.push(Block::Text(no_law(&report.points)));
    }
    if !law.warnings.is_empty() {
        blocks.push(Block::Text("Read it with care:".to_owned()));
        blocks.push(Block::List(law.warnings.iter().map(|told| told.text.clone()).collect()));
    }
    blocks
}

/// What is said of points that follow no law, with the reason if the points show it.
fn no_law(points: &Points) -> String {
    let mut said = "These points follow no such law.".to_owned();
    if points.larger_is_no_better() {
        said += " Most likely some larger model is no better than a smaller one: look at the points of each size.";
    }
    said
}

pub(super) fn frontier(report: &Report) -> Option<Section> {
    let mut table = Table::new(&["Law"], &["Compute", "Parameters", "Tokens", "Tokens per parameter"]);
    for law in report.laws.iter().filter(|law| law.is_plausible()) {
        for at in &law.frontier {
            let (best, of) = (at.best, at.intervals);
            table.row([
                law.law.name().to_owned(),
                format!("{:.0e}", best.compute),
                with_interval(best.params, of.map(|of| of.params), round),
                with_interval(best.tokens, of.map(|of| of.tokens), round),
                with_interval(best.tokens_per_param, of.map(|of| of.tokens_per_param), number),
            ]);
        }
    }
    let lead = "The size and the number of tokens with the least loss for a training compute of 6 N D. The last two rows of a law are beyond the points.".to_owned();
    let blocks = vec![Block::Table(table)];
    let empty = matches!(blocks.as_slice(), [Block::Table(table)] if table.is_empty());
    (!empty).then_some(Section { id: "frontier", title: "Compute-optimal models", lead, blocks })
}

pub(super) fn predictions(report: &Report) -> Option<Section> {
    let mut table =
        Table::new(&["Law", "For"], &["Parameters", "Tokens", "Loss", "Of the law", "Of a run", "Accuracy"]);
    let mut warnings = Vec::new();
    for law in report.fitted() {
        for (budget, of) in report.request.predict.iter().zip(&law.predictions) {
            let names = [law.law.name().to_owned(), budget.to_string()];
            if let Err(why) = of.as_ref().map_or(Err(Incomparable::NoOptimum), Prediction::checkable) {
                warnings.push(format!("{}, {budget}: {why}. No later run can be compared with it.", law.law));
            }
            let Some(of) = of else {
                table.row(names.into_iter().chain(["no optimum".to_owned()]).chain((0..5).map(|_| missing())));
                continue;
            };
            let Prediction { params, tokens, loss, loss_interval, run_interval, accuracy, accuracy_interval, .. } = of;
            let interval = |of: &Option<[f64; 2]>| of.map_or_else(missing, |of| between(of, number));
            table.row(names.into_iter().chain([
                round(*params),
                round(*tokens),
                loss.map_or_else(missing, number),
                interval(loss_interval),
                interval(run_interval),
                accuracy.map_or_else(missing, |value| with_interval(value, *accuracy_interval, number)),
            ]));
            warnings.extend(of.warnings.iter().map(|warning| format!("{}, {budget}: {warning}", law.law)));
        }
    }
    if table.is_empty() {
        return None;
    }
    let lead = "What the laws say of models that were not trained. The interval of a run is what its loss is compared with later.".to_owned();
    let mut blocks = vec![Block::Table(table)];
    if !warnings.is_empty() {
        blocks.push(Block::List(warnings));
    }
    Some(Section { id: "predictions", title: "Predictions", lead, blocks })
}

#[cfg(test)]
mod tests {
    use retrace_analysis::scaling::Point;

    use super::*;

    #[test]
    fn numbers_have_as_many_digits_as_they_need() {
        for (value, digits, expected) in [
            (0.341_712_3, 4, "0.3417"),
            (0.341_712_3, 6, "0.341712"),
            (420.903_6, 4, "420.9"),
            (420.903_6, 6, "420.904"),
            (2_180_231.303_9, 4, "2.180e6"),
            (2_180_231.303_9, 6, "2.18023e6"),
            (0.001_234_567, 5, "0.0012346"),
        ] {
            assert_eq!(in_digits(value, digits), expected);
        }
    }

    #[test]
    fn a_reason_is_given_only_if_the_points_show_it() {
        let said = |loss: f64| {
            let rows = vec![Point::new(1e8, 1e9, 3.0), Point::new(2e8, 1e9, loss)];
            no_law(&Points::new(None, None, rows).unwrap())
        };
        assert_eq!(said(2.9), "These points follow no such law.");
        assert!(said(3.1).contains("some larger model is no better"));
    }
}

//! The tables of the section as CSV.

use retrace_analysis::exposure::{Effect, Group, Interval, NotCompared};
use retrace_spec::Step;

use super::{Exposed, Exposures, Score};
use crate::contamination::DataTable;

/// What was compared.
pub(super) const FIRST: &str = "first checkpoint after";
pub(super) const LAST: &str = "last checkpoint";

/// The comparisons of a benchmark in a run: what with what, and the effect.
pub(super) fn effects(of: &Exposed) -> Vec<(String, &Effect)> {
    let within = [(FIRST, &of.comparison.first), (LAST, &of.comparison.last)];
    let within = within.into_iter().filter_map(|(name, effect)| Some((name.to_owned(), effect.as_ref()?)));
    let twin = of.twin.iter().filter_map(|(twin, of)| Some((format!("against {twin}"), of.last.as_ref()?)));
    within.chain(twin).collect()
}

/// The scores at each checkpoint.
pub(super) fn checkpoints(exposures: &Exposures) -> DataTable {
    let columns = vec![
        "run",
        "benchmark",
        "score",
        "step",
        "tokens",
        "clean",
        "clean_mean",
        "clean_stderr",
        "seen",
        "seen_mean",
        "seen_stderr",
        "not_seen",
        "not_seen_mean",
        "not_seen_stderr",
        "difference",
        "difference_low",
        "difference_high",
        "twin",
        "twin_difference",
        "twin_low",
        "twin_high",
    ];
    let mut rows = Vec::new();
    for of in &exposures.exposed {
        for at in &of.comparison.checkpoints {
            let step = at.checkpoint.step;
            let mut row = vec![
                of.run.clone(),
                of.benchmark.clone(),
                score_name(of.score).to_owned(),
                step.to_string(),
                at.checkpoint.tokens.get().to_string(),
            ];
            for kind in [at.clean, at.seen, at.unseen] {
                row.extend(group(kind));
            }
            row.push(number(at.difference));
            row.extend(interval(at.interval));
            let twin = of
                .twin
                .as_ref()
                .and_then(|(name, twin)| Some((name, twin.checkpoints.iter().find(|at| at.checkpoint.step == step)?)));
            row.push(twin.map(|(name, _)| name.clone()).unwrap_or_default());
            row.push(number(twin.and_then(|(_, at)| at.difference)));
            row.extend(interval(twin.and_then(|(_, at)| at.interval)));
            rows.push(row);
        }
    }
    DataTable { name: "checkpoints", columns, rows }
}

/// The tests.
pub(super) fn tests(exposures: &Exposures) -> DataTable {
    let columns = vec![
        "run",
        "benchmark",
        "score",
        "compared",
        "leaked",
        "clean",
        "change",
        "low",
        "high",
        "rose",
        "fell",
        "p",
        "p_adjusted",
    ];
    let row = |of: &Exposed, (compared, effect): (String, &Effect)| {
        let mut row = vec![of.run.clone(), of.benchmark.clone(), score_name(of.score).to_owned(), compared];
        row.extend([effect.leaked.to_string(), effect.clean.to_string(), number(Some(effect.mean))]);
        row.extend(interval(effect.interval));
        row.extend([effect.rose.to_string(), effect.fell.to_string()]);
        row.extend([number(Some(effect.p)), number(Some(effect.p_adjusted))]);
        row
    };
    let rows = exposures.exposed.iter().flat_map(|of| effects(of).into_iter().map(move |effect| row(of, effect)));
    DataTable { name: "tests", columns, rows: rows.collect() }
}

/// The leaked items.
pub(super) fn items(of: &Exposed) -> DataTable {
    let columns = vec![
        "item",
        "steps",
        "step_before",
        "before",
        "step_after",
        "after",
        "step_last",
        "last",
        "change",
        "last_change",
        "not_compared",
    ];
    let at = |at: Option<(Step, f64)>| [at.map(|at| at.0.to_string()).unwrap_or_default(), number(at.map(|at| at.1))];
    let rows = of.comparison.leaked.iter().map(|item| {
        let steps: Vec<String> = item.exposures.iter().map(ToString::to_string).collect();
        let mut row = vec![item.item.clone(), steps.join(" ")];
        row.extend([item.before, item.after, item.last].into_iter().flat_map(at));
        row.extend([number(item.change), number(item.last_change)]);
        row.push(item.not_compared.map(why).unwrap_or_default().to_owned());
        row
    });
    DataTable { name: "items", columns, rows: rows.collect() }
}

pub(super) const fn score_name(score: Score) -> &'static str {
    match score {
        Score::Correct => "correct",
        Score::LogLikelihood => "log_likelihood",
    }
}

/// Why an item was not compared, in words.
pub(super) const fn why(why: NotCompared) -> &'static str {
    match why {
        NotCompared::PartlyKnown => "not all documents that leak it are in the table",
        NotCompared::NeverSeen => "the run did not see it",
        NotCompared::NoCheckpointBefore => "seen before the first checkpoint",
        NotCompared::NoCheckpointAfter => "seen after the last checkpoint",
        NotCompared::NoScore => "no score at a checkpoint",
        NotCompared::NoCleanItems => "the benchmark has no clean item",
    }
}

/// All digits, or nothing.
fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn interval(of: Option<Interval>) -> [String; 2] {
    [number(of.map(|of| of.low)), number(of.map(|of| of.high))]
}

fn group(of: Option<Group>) -> [String; 3] {
    let items = of.map_or(0, |of| of.items).to_string();
    [items, number(of.map(|of| of.mean)), number(of.and_then(|of| of.stderr))]
}

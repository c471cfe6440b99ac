//! The content of a page, as plain numbers and text, and how it is read from the tables.

use std::collections::BTreeMap;

use retrace_analysis::scaling::Report;
use retrace_manifest::{Comparison, Order, Verification};
use retrace_query::{Answer, Session};
use retrace_spec::Manifest;
use retrace_train::Replay;
use serde::Serialize;

use crate::ReportError;
use crate::exposure::Exposures;
use crate::figure::Figures;

mod contamination;

pub(crate) use contamination::check_same_search;
pub use contamination::{Contaminated, Example, FirstSeen, Leaks, Split};

/// The checks of a release, for the top of a page.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'a> {
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// The comparison of the files with the published release.
    pub comparison: Option<&'a Comparison>,
    /// The comparison of the files with the manifest.
    pub verification: Option<&'a Verification>,
    /// The ranges of training that were recomputed.
    pub replays: &'a [CheckedReplay],
}

/// A range of training that was recomputed.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedReplay {
    /// The id of its step.
    pub step: String,
    /// The engine that computed it.
    pub engine: String,
    /// The result.
    pub replay: Replay,
}

/// A section of a page, with its content.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Part {
    /// The training loss of each run.
    Training(Vec<Loss>),
    /// The metrics, by task.
    Evaluation(Vec<MetricOverTokens>),
    /// Scaling laws.
    Scaling(Box<Report>),
    /// The result of cleaning.
    Cleaning(Cleaning),
    /// The items of benchmarks in the corpus.
    Contamination(Contaminated),
    /// Figures of query results.
    Figures(Vec<Figures>),
    /// What leaks changed in runs.
    Exposure(Exposures),
}

/// The results for the documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cleaning {
    /// Documents that were read.
    pub documents: u64,
    /// Documents that were kept.
    pub kept: u64,
    /// Of these, documents of which something was cut.
    pub cut: u64,
    /// The rules that dropped the others, in their order, and the number of each.
    pub dropped: Vec<(String, u64)>,
}

/// The artifacts of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KindOf {
    /// The kind.
    pub kind: String,
    /// Their number.
    pub files: u64,
    /// Their total length in bytes.
    pub bytes: u64,
}

/// A step of the release's graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MadeBy {
    /// Its id.
    pub id: String,
    /// What it does.
    pub kind: String,
    /// The document that describes it.
    pub config: String,
    /// That document's digest.
    pub digest: String,
    /// The numerics version, if it computes with it.
    pub numerics: Option<u64>,
    /// Number of input files.
    pub inputs: u64,
    /// Number of output files.
    pub outputs: u64,
}

/// The training loss of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Loss {
    /// The run.
    pub run: String,
    /// Its model's parameters, if known.
    pub params: Option<u64>,
    /// (tokens, nats per token).
    pub points: Vec<(f64, f64)>,
    /// The phases after the first, and the tokens at which each begins.
    pub phases: Vec<(String, f64)>,
}

/// A metric over the checkpoints of every run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricOverTokens {
    /// The task.
    pub task: String,
    /// The metric.
    pub metric: String,
    /// The result of guessing.
    pub chance: Option<f64>,
    /// One line per run.
    pub runs: Vec<MetricOfRun>,
}

/// A metric over the checkpoints of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricOfRun {
    /// The run.
    pub run: String,
    /// (tokens, value).
    pub points: Vec<(f64, f64)>,
    /// The standard error of each; NaN where there is none.
    pub errors: Vec<f64>,
}

/// The artifacts of a manifest, by kind, the largest first.
pub(crate) fn kinds(manifest: &Manifest) -> Vec<KindOf> {
    let mut kinds: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for artifact in &manifest.artifacts {
        let of = kinds.entry(format!("{:?}", artifact.kind).to_lowercase()).or_default();
        *of = (of.0 + 1, of.1 + artifact.size);
    }
    let mut kinds: Vec<KindOf> =
        kinds.into_iter().map(|(kind, (files, bytes))| KindOf { kind, files, bytes }).collect();
    kinds.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.kind.cmp(&b.kind)));
    kinds
}

/// The steps of a manifest, each after those that it needs.
pub(crate) fn steps(manifest: &Manifest) -> Vec<MadeBy> {
    let order = Order::of(&manifest.steps).steps;
    let steps = order.into_iter().filter_map(|at| manifest.steps.get(at));
    let made = steps.map(|step| MadeBy {
        id: step.id.clone(),
        kind: format!("{:?}", step.kind).to_lowercase(),
        config: step.config.as_ref().map(ToString::to_string).unwrap_or_default(),
        digest: step
            .config
            .as_ref()
            .and_then(|config| manifest.artifact(config))
            .map(|artifact| artifact.digest.to_string())
            .unwrap_or_default(),
        numerics: step.numerics.map(u64::from),
        inputs: step.inputs.len() as u64,
        outputs: step.outputs.len() as u64,
    });
    made.collect()
}

impl Part {
    /// The content of the table `train_log`; `checkpoints`, if it exists, has the sizes of models.
    ///
    /// # Errors
    /// If a table lacks a column.
    pub fn training(session: &Session) -> Result<Self, ReportError> {
        let rows = session.run("SELECT run, tokens, phase, loss FROM train_log ORDER BY run, step")?;
        let mut losses = losses(&rows, &params(session)?)?;
        losses.sort_by_key(|loss| loss.params);
        Ok(Self::Training(losses))
    }

    /// The content of the table `metrics`; `checkpoints`, if it exists, has the sizes of models. `chance` has the
    /// accuracy of guessing for multiple-choice tasks.
    ///
    /// # Errors
    /// If a table lacks a column.
    pub fn evaluation(session: &Session, chance: &BTreeMap<String, f64>) -> Result<Self, ReportError> {
        let sql =
            "SELECT task, metric, run, tokens, value, stderr FROM metrics ORDER BY task, metric, run, tokens, step";
        let mut metrics = metrics(&session.run(sql)?, chance)?;
        let params = params(session)?;
        for metric in &mut metrics {
            metric.runs.sort_by_key(|of| params.get(&of.run).copied());
        }
        Ok(Self::Evaluation(metrics))
    }
}

/// The parameters of each run's model, if the tables have them.
fn params(session: &Session) -> Result<BTreeMap<String, u64>, ReportError> {
    if !session.has("checkpoints") {
        return Ok(BTreeMap::new());
    }
    let rows = session.run("SELECT run, max(parameters) AS parameters FROM checkpoints GROUP BY run ORDER BY run")?;
    let all = rows.texts("run")?.into_iter().zip(rows.numbers("parameters")?);
    Ok(all.filter_map(|(run, parameters)| Some((run, parameters?))).collect())
}

fn losses(rows: &Answer, params: &BTreeMap<String, u64>) -> Result<Vec<Loss>, ReportError> {
    let mut losses: Vec<Loss> = Vec::new();
    let mut phase = String::new();
    let all = rows.texts("run")?.into_iter().zip(rows.floats("tokens")?);
    for (((run, tokens), now), loss) in all.zip(rows.texts("phase")?).zip(rows.floats("loss")?) {
        if losses.last().is_none_or(|last| last.run != run) {
            let params = params.get(&run).copied();
            losses.push(Loss { run, params, points: Vec::new(), phases: Vec::new() });
            phase.clone_from(&now);
        }
        let Some(last) = losses.last_mut() else { continue };
        if now != phase {
            // A phase begins where the step before it ended.
            let began = last.points.last().map_or(tokens, |(tokens, _)| *tokens);
            last.phases.push((now.clone(), began));
            phase = now;
        }
        last.points.push((tokens, loss));
    }
    Ok(losses)
}

fn metrics(rows: &Answer, chance: &BTreeMap<String, f64>) -> Result<Vec<MetricOverTokens>, ReportError> {
    let mut metrics: Vec<MetricOverTokens> = Vec::new();
    let names = rows.texts("task")?.into_iter().zip(rows.texts("metric")?).zip(rows.texts("run")?);
    let values = rows.floats("tokens")?.into_iter().zip(rows.floats("value")?).zip(rows.floats("stderr")?);
    for (((task, metric), run), ((tokens, value), stderr)) in names.zip(values) {
        if metrics.last().is_none_or(|last| last.task != task || last.metric != metric) {
            let chance = chance.get(&task).copied();
            metrics.push(MetricOverTokens { task, metric, chance, runs: Vec::new() });
        }
        let Some(of) = metrics.last_mut() else { continue };
        if of.runs.last().is_none_or(|last| last.run != run) {
            of.runs.push(MetricOfRun { run, points: Vec::new(), errors: Vec::new() });
        }
        if let Some(last) = of.runs.last_mut() {
            last.points.push((tokens, value));
            last.errors.push(stderr);
        }
    }
    Ok(metrics)
}

//! The content of a page, as plain numbers and text, and how it is read from the tables.

use std::collections::{BTreeMap, BTreeSet};

use retrace_analysis::contamination::{Counts, THRESHOLD, TaskCounts};
use retrace_analysis::scaling::Report;
use retrace_manifest::{Comparison, Order, Verification};
use retrace_query::{Answer, Session};
use retrace_spec::Manifest;
use retrace_train::Replay;
use serde::Serialize;

use crate::ReportError;

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
    Scaling(Report),
    /// The result of cleaning.
    Cleaning(Cleaning),
    /// The items of benchmarks in the corpus.
    Contamination(Vec<Contaminated>),
}

/// The results for the documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cleaning {
    /// Documents that were read.
    pub documents: u64,
    /// Documents that were kept.
    pub kept: u64,
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

/// A benchmark in the corpus.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contaminated {
    /// The benchmark.
    pub task: String,
    /// Its items.
    pub items: u64,
    /// Items that a document of the corpus contains.
    pub flagged: u64,
    /// Items too short for the search.
    pub too_short: u64,
    /// The first few, ordered by the step at which they were used.
    pub examples: Vec<Example>,
    /// The last checkpoint of each run, on the flagged items and on the others.
    pub accuracy: Vec<Split>,
}

/// An item and a document that contains it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Example {
    /// The item.
    pub item: String,
    /// The document.
    pub document: String,
    /// The location of the document: shard and line.
    pub place: String,
    /// The fraction of the item that it contains.
    pub overlap: f64,
    /// The run that was trained on it and the first step that used it.
    pub seen: Option<(String, u64)>,
}

/// Accuracy on the items that a corpus has, and on the others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Split {
    /// The run.
    pub run: String,
    /// The step of its last checkpoint.
    pub step: u64,
    /// Flagged items, and the number of correct answers.
    pub flagged: (u64, u64),
    /// The other items, and the number of correct answers.
    pub clean: (u64, u64),
}

/// Examples per benchmark.
const EXAMPLES: usize = 5;

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

    /// The content of the table `contamination` and the counts of the search; `samples`, if it exists, has the results
    /// of the last checkpoints for the items that were found.
    ///
    /// # Errors
    /// If a table lacks a column.
    pub fn contamination(session: &Session, counts: &Counts) -> Result<Self, ReportError> {
        let rows = session.run(&format!(
            "SELECT task, item, document, shard, line, overlap, run, seen_at FROM contamination
             WHERE overlap >= {THRESHOLD} ORDER BY task, seen_at NULLS LAST, item, document, run"
        ))?;
        let mut benchmarks = contaminated(&rows, counts)?;
        let params = params(session)?;
        for benchmark in &mut benchmarks {
            split_samples(session, benchmark)?;
            benchmark.accuracy.sort_by_key(|split| params.get(&split.run).copied());
        }
        Ok(Self::Contamination(benchmarks))
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

fn contaminated(rows: &Answer, counts: &Counts) -> Result<Vec<Contaminated>, ReportError> {
    let benchmark = |TaskCounts { task, items, too_short, .. }: &TaskCounts| Contaminated {
        task: task.clone(),
        items: *items,
        flagged: 0,
        too_short: *too_short,
        examples: Vec::new(),
        accuracy: Vec::new(),
    };
    let mut found: BTreeMap<String, Contaminated> =
        counts.tasks.iter().map(|task| (task.task.clone(), benchmark(task))).collect();
    let mut items = BTreeSet::new();
    let names = rows.texts("task")?.into_iter().zip(rows.texts("item")?).zip(rows.texts("document")?);
    let places = rows.texts("shard")?.into_iter().zip(rows.numbers("line")?).zip(rows.floats("overlap")?);
    let seen = rows.texts("run")?.into_iter().zip(rows.numbers("seen_at")?);
    for ((((task, item), document), ((shard, line), overlap)), (run, at)) in names.zip(places).zip(seen) {
        // A row of a task without counts is from another search.
        let Some(of) = found.get_mut(&task) else { continue };
        if items.insert((task, item.clone())) {
            of.flagged += 1;
            if of.examples.len() < EXAMPLES {
                let place = format!("{shard}:{}", line.unwrap_or(0));
                of.examples.push(Example { item, document, place, overlap, seen: at.map(|at| (run, at)) });
            }
        }
    }
    Ok(found.into_values().collect())
}

/// The results of the last checkpoints for the flagged items, and for the others.
fn split_samples(session: &Session, benchmark: &mut Contaminated) -> Result<(), ReportError> {
    if !session.has("samples") {
        return Ok(());
    }
    let task = benchmark.task.replace('\'', "''");
    let rows = session.run(&format!(
        "WITH last AS (SELECT run, max(step) AS step FROM samples WHERE task = '{task}' GROUP BY run),
              held AS (SELECT DISTINCT item FROM contamination WHERE task = '{task}' AND overlap >= {THRESHOLD})
         SELECT s.run, s.step,
                sum(CASE WHEN held.item IS NOT NULL THEN 1 ELSE 0 END) AS held,
                sum(CASE WHEN held.item IS NOT NULL AND s.correct THEN 1 ELSE 0 END) AS held_right,
                sum(CASE WHEN held.item IS NULL THEN 1 ELSE 0 END) AS clean,
                sum(CASE WHEN held.item IS NULL AND s.correct THEN 1 ELSE 0 END) AS clean_right
         FROM samples s JOIN last ON s.run = last.run AND s.step = last.step LEFT JOIN held ON held.item = s.item
         WHERE s.task = '{task}' AND s.correct IS NOT NULL GROUP BY s.run, s.step ORDER BY s.run"
    ))?;
    let number = |name: &str| -> Result<Vec<u64>, ReportError> {
        Ok(rows.numbers(name)?.into_iter().map(|value| value.unwrap_or(0)).collect())
    };
    let (steps, held, held_right) = (number("step")?, number("held")?, number("held_right")?);
    let (clean, clean_right) = (number("clean")?, number("clean_right")?);
    let all = rows.texts("run")?.into_iter().zip(steps).zip(held.into_iter().zip(held_right));
    for (((run, step), flagged), clean) in all.zip(clean.into_iter().zip(clean_right)) {
        benchmark.accuracy.push(Split { run, step, flagged, clean });
    }
    Ok(())
}

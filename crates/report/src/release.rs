//! What a release's page says, as plain numbers and words, and how the tables fill it.

use std::collections::BTreeMap;

use retrace_analysis::scaling::{self, Fit, Point};
use retrace_query::{Answer, Session};
use serde::{Deserialize, Serialize};

use crate::ReportError;

/// What is known of a release beside its tables: who it is and what was checked of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// What it is called.
    pub name: String,
    /// Its root digest.
    pub root: Option<String>,
    /// How what is here stands to what was published.
    pub comparison: Option<Comparison>,
    /// How what is here stands to its manifest.
    pub verification: Option<Verification>,
    /// The stretches of runs that were computed again.
    pub replays: Vec<Replayed>,
    /// What cleaning did.
    pub cleaning: Option<Cleaning>,
    /// For each multiple-choice task, how often a guess is right.
    pub chance: BTreeMap<String, f64>,
    /// For each benchmark that the corpus was searched for, how many items were too short to judge.
    /// One that is not here and not in the tables has no word on the page.
    pub too_short: BTreeMap<String, u64>,
}

/// How the artifacts that were made stand to the published ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Paths with the same bytes in both.
    pub identical: u64,
    /// Paths with other bytes.
    pub different: Vec<String>,
    /// Paths that only the published release has.
    pub missing: Vec<String>,
    /// Paths that only this one has.
    pub extra: Vec<String>,
}

/// How the files stand to their manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Files with the sealed bytes.
    pub verified: u64,
    /// Paths that the manifest says it does not cover.
    pub skipped: u64,
    /// Everything else.
    pub findings: Vec<Finding>,
}

/// Something that is not as sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Where.
    pub path: String,
    /// `changed`, `missing`, `extra` …
    pub verdict: String,
    /// What seems to have happened.
    pub diagnosis: String,
}

/// A stretch of a run that was computed again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// The run.
    pub run: String,
    /// The checkpoint that it began with.
    pub from: u64,
    /// The last step that was computed.
    pub to: u64,
    /// Checkpoints that were compared and are the same.
    pub checkpoints: u64,
    /// What differs, in words, first things first; empty if every bit is the same.
    pub differences: Vec<String>,
}

/// What became of the documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleaning {
    /// Documents that were read.
    pub documents: u64,
    /// Documents that were kept.
    pub kept: u64,
    /// What dropped the others, in the order of the rules, and how many.
    pub dropped: Vec<(String, u64)>,
}

/// All that a release's page says.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ReleaseReport {
    /// What was checked.
    pub checked: Checked,
    /// What it is made of.
    pub kinds: Vec<KindOf>,
    /// What made it, in the order in which things are made.
    pub steps: Vec<MadeBy>,
    /// The training loss of each run.
    pub losses: Vec<Loss>,
    /// The metrics, by task.
    pub metrics: Vec<MetricOverTokens>,
    /// The scaling law, if there are enough checkpoints.
    pub scaling: Option<Scaling>,
    /// The benchmarks in the corpus.
    pub contamination: Vec<Contaminated>,
}

/// The artifacts of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KindOf {
    /// The kind.
    pub kind: String,
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A step of the release's graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MadeBy {
    /// Its id.
    pub id: String,
    /// What was done.
    pub kind: String,
    /// The document that says how.
    pub config: String,
    /// That document's digest.
    pub digest: String,
    /// The numerics version, if it computes with it.
    pub numerics: Option<u64>,
    /// Files that it read.
    pub inputs: u64,
    /// Files that it made.
    pub outputs: u64,
}

/// The training loss of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Loss {
    /// The run.
    pub run: String,
    /// Its model's parameters, if known.
    pub params: Option<u64>,
    /// (tokens, nats a token).
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
    /// What a guess would get.
    pub chance: Option<f64>,
    /// One line a run.
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

/// A scaling law and the points that it was fitted to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scaling {
    /// What the loss is.
    pub loss: String,
    /// The runs' checkpoints.
    pub runs: Vec<ScalingRun>,
    /// The law, or why there is none.
    pub fit: Result<Fit, String>,
}

/// A run's checkpoints, for the law.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScalingRun {
    /// The run.
    pub run: String,
    /// Its model's parameters.
    pub params: f64,
    /// (tokens, loss).
    pub points: Vec<(f64, f64)>,
}

/// A benchmark in the corpus.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contaminated {
    /// The benchmark.
    pub task: String,
    /// Its items, if the tables know.
    pub items: Option<u64>,
    /// Items that a document of the corpus holds.
    pub flagged: u64,
    /// Items too short to be looked for.
    pub too_short: u64,
    /// The first few, by the step at which they were seen.
    pub examples: Vec<Example>,
    /// The last checkpoint of each run, on the items that were flagged and on the others.
    pub accuracy: Vec<Split>,
}

/// An item and a document that holds it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Example {
    /// The item.
    pub item: String,
    /// The document.
    pub document: String,
    /// Where the document lies: shard and line.
    pub place: String,
    /// The fraction of the item that it holds.
    pub overlap: f64,
    /// The run that learned from it and the first step at which it did.
    pub seen: Option<(String, u64)>,
}

/// Accuracy on the items that a corpus has, and on the others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Split {
    /// The run.
    pub run: String,
    /// The step of its last checkpoint.
    pub step: u64,
    /// Flagged items, and how many of them were answered right.
    pub flagged: (u64, u64),
    /// The other items, and how many of them were answered right.
    pub clean: (u64, u64),
}

/// An overlap from which on an item counts as held.
const FLAGGED: f64 = retrace_analysis::contamination::THRESHOLD;

/// Examples a benchmark.
const EXAMPLES: usize = 5;

/// What the session's tables say of one release, with what was checked of it. A table that is not
/// there leaves its part empty.
///
/// # Errors
/// If a table lacks a column.
pub fn gather(session: &Session, checked: Checked) -> Result<ReleaseReport, ReportError> {
    let asked = |tables: &[&str], sql: &str| -> Result<Option<Answer>, ReportError> {
        let there = tables.iter().all(|table| session.tables().contains_key(*table));
        Ok(if there { Some(session.run(sql)?) } else { None })
    };
    let mut report = ReleaseReport { checked, ..ReleaseReport::default() };
    if let Some(rows) = asked(
        &["artifacts"],
        "SELECT kind, count(*) AS files, sum(size) AS bytes FROM artifacts GROUP BY kind ORDER BY bytes DESC, kind",
    )? {
        let all = rows.texts("kind")?.into_iter().zip(rows.numbers("files")?).zip(rows.numbers("bytes")?);
        let kind = |((kind, files), bytes): ((_, Option<u64>), Option<u64>)| KindOf {
            kind,
            files: files.unwrap_or(0),
            bytes: bytes.unwrap_or(0),
        };
        report.kinds = all.map(kind).collect();
    }
    if let Some(rows) = asked(
        &["steps", "artifacts"],
        "SELECT s.id, s.kind, s.config, a.digest, s.numerics, s.inputs, s.outputs
         FROM steps s LEFT JOIN artifacts a ON a.path = s.config AND a.release = s.release
         ORDER BY CASE s.kind WHEN 'generate' THEN 0 WHEN 'clean' THEN 1 WHEN 'tokenize' THEN 2
                  WHEN 'train' THEN 3 WHEN 'eval' THEN 4 ELSE 5 END, s.id",
    )? {
        let (ids, kinds, configs) = (rows.texts("id")?, rows.texts("kind")?, rows.texts("config")?);
        let (digests, numerics) = (rows.texts("digest")?, rows.numbers("numerics")?);
        let (inputs, outputs) = (rows.numbers("inputs")?, rows.numbers("outputs")?);
        let texts = ids.into_iter().zip(kinds).zip(configs).zip(digests);
        for ((((id, kind), config), digest), ((numerics, inputs), outputs)) in
            texts.zip(numerics.into_iter().zip(inputs).zip(outputs))
        {
            let (inputs, outputs) = (inputs.unwrap_or(0), outputs.unwrap_or(0));
            report.steps.push(MadeBy { id, kind, config, digest, numerics, inputs, outputs });
        }
    }
    let mut params: BTreeMap<String, u64> = BTreeMap::new();
    if let Some(rows) =
        asked(&["checkpoints"], "SELECT run, max(parameters) AS parameters FROM checkpoints GROUP BY run ORDER BY run")?
    {
        let all = rows.texts("run")?.into_iter().zip(rows.numbers("parameters")?);
        params.extend(all.filter_map(|(run, parameters)| Some((run, parameters?))));
    }
    if let Some(rows) = asked(&["train_log"], "SELECT run, tokens, phase, loss FROM train_log ORDER BY run, step")? {
        report.losses = losses(&rows, &params)?;
        report.losses.sort_by_key(|loss| loss.params);
    }
    if let Some(rows) = asked(
        &["metrics"],
        "SELECT task, metric, run, tokens, value, stderr FROM metrics ORDER BY task, metric, run, tokens, step",
    )? {
        report.metrics = metrics(&rows, &report.checked.chance)?;
        for metric in &mut report.metrics {
            metric.runs.sort_by_key(|of| params.get(&of.run).copied());
        }
        report.scaling = scaling_of(&report.metrics, &params);
    }
    if let Some(rows) = asked(
        &["contamination"],
        &format!(
            "SELECT task, item, document, shard, line, overlap, run, seen_at FROM contamination
             WHERE overlap >= {FLAGGED} ORDER BY task, seen_at NULLS LAST, item, document, run"
        ),
    )? {
        report.contamination = contaminated(&rows, &report.checked.too_short)?;
        for benchmark in &mut report.contamination {
            fill_from_samples(session, benchmark)?;
            benchmark.accuracy.sort_by_key(|split| params.get(&split.run).copied());
        }
    }
    Ok(report)
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

/// The law over the mean bits per byte of the held-out texts, where every such task has the
/// checkpoint.
fn scaling_of(metrics: &[MetricOverTokens], params: &BTreeMap<String, u64>) -> Option<Scaling> {
    let tasks: Vec<&MetricOverTokens> = metrics.iter().filter(|of| of.metric == "bits_per_byte").collect();
    let mut sums: BTreeMap<(u64, &str, u64), (usize, f64)> = BTreeMap::new();
    for of in tasks.iter().flat_map(|task| &task.runs) {
        let Some(params) = params.get(&of.run) else { continue };
        for (tokens, value) in of.points.iter().filter(|(tokens, _)| *tokens > 0.0) {
            let (count, sum) = sums.entry((*params, &of.run, *tokens as u64)).or_insert((0, 0.0));
            *count += 1;
            *sum += value;
        }
    }
    let mut runs: Vec<ScalingRun> = Vec::new();
    for ((params, run, tokens), (count, sum)) in sums {
        if count != tasks.len() {
            continue;
        }
        if runs.last().is_none_or(|last| last.run != run) {
            runs.push(ScalingRun { run: run.to_owned(), params: params as f64, points: Vec::new() });
        }
        if let Some(last) = runs.last_mut() {
            last.points.push((tokens as f64, sum / count as f64));
        }
    }
    if runs.len() < 2 {
        return None;
    }
    let point =
        |run: &ScalingRun, (tokens, loss): &(f64, f64)| Point { params: run.params, tokens: *tokens, loss: *loss };
    let points: Vec<Point> = runs.iter().flat_map(|run| run.points.iter().map(|at| point(run, at))).collect();
    let names: Vec<&str> = tasks.iter().map(|task| task.task.as_str()).collect();
    let loss = match names.as_slice() {
        [one] => format!("bits per byte of {one}"),
        several => format!("mean bits per byte of {}", several.join(", ")),
    };
    Some(Scaling { loss, runs, fit: scaling::fit(&points).map_err(|error| error.to_string()) })
}

fn contaminated(rows: &Answer, too_short: &BTreeMap<String, u64>) -> Result<Vec<Contaminated>, ReportError> {
    let mut found: BTreeMap<String, Contaminated> = BTreeMap::new();
    let benchmark = |task: &str| Contaminated {
        task: task.to_owned(),
        items: None,
        flagged: 0,
        too_short: too_short.get(task).copied().unwrap_or(0),
        examples: Vec::new(),
        accuracy: Vec::new(),
    };
    for task in too_short.keys() {
        found.insert(task.clone(), benchmark(task));
    }
    let mut items = std::collections::BTreeSet::new();
    let names = rows.texts("task")?.into_iter().zip(rows.texts("item")?).zip(rows.texts("document")?);
    let places = rows.texts("shard")?.into_iter().zip(rows.numbers("line")?).zip(rows.floats("overlap")?);
    let seen = rows.texts("run")?.into_iter().zip(rows.numbers("seen_at")?);
    for ((((task, item), document), ((shard, line), overlap)), (run, at)) in names.zip(places).zip(seen) {
        let of = found.entry(task.clone()).or_insert_with(|| benchmark(&task));
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

/// How many items the benchmark has, and how the last checkpoints do on those that were flagged.
fn fill_from_samples(session: &Session, benchmark: &mut Contaminated) -> Result<(), ReportError> {
    if !session.tables().contains_key("samples") {
        return Ok(());
    }
    let task = benchmark.task.replace('\'', "''");
    let count = session.run(&format!("SELECT count(DISTINCT item) AS items FROM samples WHERE task = '{task}'"))?;
    benchmark.items = count.numbers("items")?.first().copied().flatten().filter(|items| *items > 0);
    let rows = session.run(&format!(
        "WITH last AS (SELECT run, max(step) AS step FROM samples WHERE task = '{task}' GROUP BY run),
              held AS (SELECT DISTINCT item FROM contamination WHERE task = '{task}' AND overlap >= {FLAGGED})
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

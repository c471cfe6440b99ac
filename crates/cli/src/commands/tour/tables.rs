//! The tour's tables: what its journals, results and corpus say, as rows.

use std::collections::BTreeMap;

use retrace_analysis::contamination::{Index, Item};
use retrace_corpus::Document;
use retrace_eval::{Items, LoadedTask, Results, Scores};
use retrace_files::{Progress, Root, Unit, expand, json_lines};
use retrace_manifest::record::{self, Done};
use retrace_model::Layout;
use retrace_spec::manifest::{Kind, StepKind};
use retrace_spec::{RelPath, ResultKey, Run, Step, Tokens};
use retrace_tables::{Checkpoint, Contamination, Metric, Row, Sample, TrainLog};
use retrace_train::{Batches, Journal, checkpoints};

use super::super::{eval, in_release};
use super::{NAME, results_path};
use crate::errors::Failure;

/// Units of an n-gram in which a benchmark's items are looked for in the corpus.
const UNITS: usize = 8;
/// The id of the step that writes the tables.
pub(super) const STEP: &str = "tables";

/// Writes the tables below `root` and records the step. Gives, for each task, how many of its items
/// are too short to be looked for in the corpus.
pub(super) fn write(
    root: &Root,
    runs: &[Run],
    tasks: &[&str],
    progress: &dyn Progress,
) -> Result<BTreeMap<String, u64>, Failure> {
    let mut inputs = Vec::new();
    let (mut log, mut metrics, mut samples, mut saved) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in runs {
        let journal_path = in_release(&format!("{}/{}", run.output, Journal::NAME))?;
        let output = root.directory(&run.output)?;
        let journal = Journal::read(&output)?;
        let parameters = Layout::of(&run.model).parameters() as u64;
        for step in checkpoints(&output)? {
            let tokens = journal.line(step).map_or(Tokens(0), |line| line.tokens);
            let path = results_path(run, step)?;
            let results = Results::read(root.file(&path)?)?;
            for scores in &results.scores {
                metrics.extend(metric_rows(run, step, tokens, scores, &path));
                samples.extend(sample_rows(run, step, scores, &path));
            }
            inputs.push(path);
            let directory = format!("{}/step-{:06}", run.output, step.get());
            let state: RelPath = in_release(&format!("{directory}/state.json"))?;
            let digest = retrace_train::stated_digest(root.file(&state)?)?;
            saved.push(Checkpoint {
                release: NAME.to_owned(),
                run: run.name.clone(),
                label: format!("step-{:06}", step.get()),
                step: Some(step),
                tokens: Some(tokens),
                parameters: Some(parameters),
                path: directory,
                state: Some(digest),
                source: state.to_string(),
                place: "/state".to_owned(),
            });
            inputs.push(state);
        }
        log.extend(journal.lines().iter().zip(1..).map(|(line, number)| TrainLog {
            release: NAME.to_owned(),
            run: run.name.clone(),
            step: line.step,
            tokens: Some(line.tokens),
            phase: Some(line.phase.clone()),
            learning_rate: Some(line.learning_rate),
            loss: Some(line.loss),
            grad_norm: Some(line.grad_norm),
            source: journal_path.to_string(),
            place: format!("line {number}"),
        }));
        inputs.push(journal_path);
    }
    let shards = expand(
        root,
        &["clean/en-*.jsonl".to_owned(), "clean/zh-*.jsonl".to_owned(), "clean/select-*.jsonl".to_owned()],
    )?;
    let (contaminated, too_short) = contamination(root, runs, tasks, &shards, progress)?;
    inputs.extend(shards);
    inputs.extend(
        runs.iter().flat_map(|run| &run.phases).flat_map(|phase| &phase.mix).map(|source| source.tokens.clone()),
    );
    for task in tasks {
        inputs.push(in_release(&format!("tasks/{task}.yaml"))?);
        inputs.push(in_release(&format!("tasks/{task}.jsonl"))?);
    }
    let outputs = vec![
        table(root, &log)?,
        table(root, &metrics)?,
        table(root, &samples)?,
        table(root, &saved)?,
        table(root, &contaminated)?,
    ];
    let done = Done { id: STEP.to_owned(), kind: StepKind::Import, numerics: None, config: None, inputs, outputs };
    record::save(root, done)?;
    Ok(too_short)
}

fn table<R: Row>(root: &Root, rows: &[R]) -> Result<(RelPath, Kind), Failure> {
    retrace_tables::write(&root.path().join("tables"), rows)?;
    let path = in_release(&format!("tables/{}.parquet", R::TABLE))?;
    Ok((path, Kind::Table))
}

fn metric_rows(run: &Run, step: Step, tokens: Tokens, scores: &Scores, source: &RelPath) -> Vec<Metric> {
    let row = |metric: &retrace_eval::Metric| Metric {
        release: NAME.to_owned(),
        run: run.name.clone(),
        step: Some(step),
        tokens: Some(tokens),
        task: scores.task.clone(),
        shots: Some(0),
        metric: metric.name.clone(),
        value: metric.value,
        stderr: metric.stderr,
        source: source.to_string(),
        place: format!("/results/{}/{}", scores.task, ResultKey::unfiltered(&metric.name)),
    };
    scores.metrics.iter().map(row).collect()
}

fn sample_rows(run: &Run, step: Step, scores: &Scores, source: &RelPath) -> Vec<Sample> {
    let row = |(at, sample): (usize, &retrace_eval::Sample)| Sample {
        release: NAME.to_owned(),
        run: run.name.clone(),
        step: Some(step),
        task: scores.task.clone(),
        item: sample.item.clone(),
        correct: sample.correct,
        log_likelihood: Some(sample.log_likelihoods.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        source: source.to_string(),
        place: format!("/samples/{}/{at}", scores.task),
    };
    scores.samples.iter().enumerate().map(row).collect()
}

/// Every item of a task that a cleaned document holds at least half of, and when each run saw it.
fn contamination(
    root: &Root,
    runs: &[Run],
    tasks: &[&str],
    shards: &[RelPath],
    progress: &dyn Progress,
) -> Result<(Vec<Contamination>, BTreeMap<String, u64>), Failure> {
    let mut indexes = Vec::new();
    for name in tasks {
        let task = eval::load(&root.path().join("tasks").join(format!("{name}.yaml")))?;
        indexes.push((*name, Index::new(&items(&task), UNITS)?));
    }
    let mut batches = Vec::new();
    for run in runs {
        batches.push((run, Batches::open(root, run)?));
    }
    let mut rows = Vec::new();
    progress.begin("looking for the benchmarks in the corpus", shards.len() as u64, Unit::Files);
    for shard in shards {
        for line in json_lines::<Document>(root.file(shard)?) {
            let (line, document) = line?;
            for (task, index) in &indexes {
                for hit in index.scan(&document.text).into_iter().filter(|hit| hit.flagged) {
                    for (run, batches) in &batches {
                        rows.push(Contamination {
                            task: (*task).to_owned(),
                            item: hit.item.clone(),
                            document: document.id.clone(),
                            shard: shard.to_string(),
                            line: line as u64,
                            overlap: hit.overlap,
                            run: Some(run.name.clone()),
                            seen_at: batches.first_seen(shard, line),
                        });
                    }
                }
            }
        }
        progress.advance(1);
    }
    progress.end();
    let too_short = indexes.iter().map(|(task, index)| ((*task).to_owned(), index.too_short().len() as u64));
    Ok((rows, too_short.collect()))
}

/// What of a task would be a leak: a text, or a question with its right answer.
fn items(task: &LoadedTask) -> Vec<Item> {
    match &task.items {
        Items::Texts(texts) => texts.iter().map(|text| Item { id: text.id.clone(), text: text.text.clone() }).collect(),
        Items::Questions(questions) => questions
            .iter()
            .map(|question| {
                let answer = question.choices.get(question.answer).map_or("", String::as_str);
                let text = format!("{}{}{answer}", question.question, task.task.delimiter);
                Item { id: question.id.clone(), text }
            })
            .collect(),
    }
}

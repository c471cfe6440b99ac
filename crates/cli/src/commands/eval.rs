//! `retrace eval`

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use retrace_eval::{LoadedTask, Results};
use retrace_files::{Root, Unit, WholeFile};
use retrace_harness::results::Row;
use retrace_harness::{Limit, Options as TaskOptions, VERSION};
use retrace_spec::{EvalRecipe, Task};
use retrace_steps::{
    Evaluated, HarnessOptions, HarnessOutput, HarnessScores, HarnessTasks, Options, carry_out, evaluate,
};
use serde_json::{Value, json};

use super::{Exit, Opened, open};
use crate::engine::EngineChoice;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Evaluate checkpoints on tasks
///
/// A model is a directory with `config.json`, `tokenizer.json`, and `model.safetensors` or
/// `pytorch_model.bin` (one file or shards). A task is a
/// YAML file, given by its path, or by its name with --include-path. Prints each metric. With -o, writes
/// a results file for each model in the format of lm-evaluation-harness, with the result of every item.
/// Instead of models, you can give a document that lists models and tasks; the evaluation is then
/// recorded as a step of the release, as by `retrace make`.
///
/// With --harness, the tasks are those of lm-evaluation-harness: its own task files, by name, group or tag, with the
/// rules of that version. Nothing of them is executed: functions in Python are ported, and a function whose
/// source is not known is refused. Data are read from --data: `OWNER/NAME/SPLIT.jsonl` or `.parquet`, or as on the hub.
/// With -o, each model has a directory with `results.json` and `samples_TASK.jsonl` as the harness writes them, and
/// answers are kept in DIR/answers: an evaluation that was interrupted goes on, and a checkpoint is computed once,
/// wherever it lies. Chat templates are not applied: a model is scored as a base model.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace eval runs/base/step-000240 --tasks tasks/heldout-en.yaml
  retrace eval runs/base/step-* --tasks heldout-en,facts-en --include-path tasks -o results
  retrace eval release/eval.yaml
  retrace eval runs/base/step-* --harness 0.4.13 --include-path lm_eval/tasks --tasks hellaswag,mmlu --data data -o results

A document; its paths are relative to its directory:
  retrace: eval/1
  name: eval-base
  models: [runs/base/step-*]
  tasks: [tasks/heldout-en.yaml]
  output: eval/base            # one file per model, such as step-000240.json")]
pub(crate) struct Eval {
    /// Model directories, or one document
    #[arg(required = true)]
    models: Vec<PathBuf>,
    /// Tasks, separated by commas
    #[arg(long, value_delimiter = ',')]
    tasks: Vec<PathBuf>,
    /// The directory of tasks given by name
    #[arg(long, value_name = "DIR")]
    include_path: Option<PathBuf>,
    /// Evaluate tasks of lm-evaluation-harness by the rules of this version; 0.4.13 is known
    #[arg(long, value_name = "VERSION")]
    harness: Option<String>,
    /// The directory of the data sets of --harness; can be repeated
    #[arg(long, value_name = "DIR", requires = "harness")]
    data: Vec<PathBuf>,
    /// The number of examples in each prompt, for --harness [default: what the task says]
    #[arg(long, value_name = "N", requires = "harness")]
    num_fewshot: Option<usize>,
    /// Evaluate only the first N documents of each task, or that part of them if N is below 1, for --harness
    #[arg(long, value_name = "N", requires = "harness")]
    limit: Option<f64>,
    /// The number of samples that are drawn for a standard error without a formula, for --harness
    #[arg(long, value_name = "N", default_value_t = 100_000, requires = "harness")]
    bootstrap_iters: usize,
    /// The directory for results, one file or directory per model
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineChoice,
}

impl Eval {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        if let Some(version) = &self.harness {
            return self.by_harness(version, terminal);
        }
        let all = match self.models.as_slice() {
            [document] if document.is_file() => self.by_document(document, terminal)?,
            _ => self.by_arguments(terminal)?,
        };
        let values: Vec<Value> = all
            .iter()
            .map(|(model, results)| json!({"model": model.display().to_string(), "results": results.harness()}))
            .collect();
        terminal.result("eval/1", &json!({ "models": values }), |out| {
            let mut rows: Vec<[String; 4]> = Vec::new();
            for (model, results) in &all {
                for scores in &results.scores {
                    for metric in &scores.metrics {
                        let error = metric.stderr.map(|e| format!(" ± {e:.4}")).unwrap_or_default();
                        let value = format!("{:.4}{error}", metric.value);
                        rows.push([model.display().to_string(), scores.task.clone(), metric.name.clone(), value]);
                    }
                }
            }
            let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
            let (first, second, third) = (width(0), width(1), width(2));
            for [model, task, metric, value] in &rows {
                writeln!(out, "{model:<first$}  {task:<second$}  {metric:<third$}  {value}")?;
            }
            Ok(())
        })?;
        terminal.say(
            Tone::Good,
            "evaluated",
            format_args!(
                "{} on {}",
                count(all.len(), "model"),
                count(all.first().map_or(0, |(_, results)| results.scores.len()), "task")
            ),
        );
        Ok(Exit::Holds)
    }

    fn by_document(&self, document: &Path, terminal: &Terminal) -> Result<Vec<(PathBuf, Results)>, Failure> {
        if !self.tasks.is_empty() || self.include_path.is_some() || self.output.is_some() {
            let what = format!("{} is a document, which gives the tasks and the output itself", document.display());
            return Err(Failure::usage(what, "leave out --tasks, --include-path and --output, or give models"));
        }
        let Opened { document: recipe, root, path } = open::<EvalRecipe>(document)?;
        let options = Options { engine: self.engine.get(), ..Options::default() };
        let Evaluated(all) = carry_out(&root, &path, &recipe, &options, terminal.progress().as_ref())?;
        Ok(all.into_iter().map(|(model, results)| (model.under(root.path()), results)).collect())
    }

    fn by_arguments(&self, terminal: &Terminal) -> Result<Vec<(PathBuf, Results)>, Failure> {
        self.check_models()?;
        let mut tasks = Vec::new();
        for task in &self.tasks {
            let path = match &self.include_path {
                Some(directory) if is_name(task) => directory.join(task).with_extension("yaml"),
                _ => task.clone(),
            };
            tasks.push(load(&path)?);
        }
        let progress = terminal.progress();
        progress.begin("evaluating", (self.models.len() * tasks.len()) as u64, Unit::Items);
        let mut all = Vec::new();
        for model in &self.models {
            let results = evaluate(&Root::open_snapshot(model)?, &tasks, self.engine.get(), progress.as_ref())?;
            if let Some(directory) = &self.output {
                results.write(WholeFile::create(&directory.join(file_name(model)))?)?;
            }
            all.push((model.clone(), results));
        }
        progress.end();
        Ok(all)
    }
}

/// Options, tables and files of --harness.
impl Eval {
    fn by_harness(&self, version: &str, terminal: &Terminal) -> Result<Exit, Failure> {
        if version != VERSION {
            let what = format!("the rules of lm-evaluation-harness {version} are not known");
            return Err(Failure::usage(what, "give --harness 0.4.13"));
        }
        self.check_models()?;
        let limit = match self.limit {
            None => None,
            Some(count) if count >= 1.0 && count.fract() == 0.0 && count <= 1e15 => Some(Limit::First(count as usize)),
            Some(part) if part > 0.0 && part < 1.0 => Some(Limit::Part(part)),
            Some(other) => {
                let what = format!("{other} is neither a number of documents nor a part of them");
                return Err(Failure::usage(what, "give a whole number from 1 on, or a number between 0 and 1"));
            }
        };
        let tasks = self.tasks.iter().map(|task| task.display().to_string()).collect();
        let options = TaskOptions { shots: self.num_fewshot, limit, ..TaskOptions::default() };
        let options = HarnessOptions {
            tasks,
            files: self.include_path.clone().into_iter().collect(),
            data: self.data.clone(),
            options,
            bootstraps: self.bootstrap_iters,
        };
        let progress = terminal.progress();
        let mut tasks = HarnessTasks::prepare(options, progress.as_ref())?;
        let mut all: Vec<(String, HarnessScores)> = Vec::new();
        for model in &self.models {
            let name = run_name(model);
            if all.iter().any(|(other, _)| *other == name) {
                let what = format!("two models have the name {name}, by the last two parts of their paths");
                return Err(Failure::usage(what, "evaluate them in two commands"));
            }
            let paths = self.output.as_ref().map(|output| (output.join(&name), output.join("answers")));
            let output = paths.as_ref().map(|(directory, answers)| HarnessOutput { directory, answers });
            let root = Root::open_snapshot(model)?;
            let scores = tasks.evaluate(&root, &name, self.engine.get(), output.as_ref(), progress.as_ref())?;
            all.push((name, scores));
        }
        let values: Vec<Value> = all
            .iter()
            .map(|(name, scores)| {
                let truncated: Value = scores.truncated.iter().map(|(task, lost)| (task.as_str(), *lost)).collect();
                json!({"model": name, "results": scores.results, "truncated": truncated})
            })
            .collect();
        terminal.result("eval/1", &json!({ "harness": VERSION, "models": values }), |out| {
            for (name, scores) in &all {
                writeln!(out, "{name}")?;
                write_rows(out, &scores.rows)?;
                if !scores.groups.is_empty() {
                    write_rows(out, &scores.groups)?;
                }
            }
            Ok(())
        })?;
        for (name, scores) in &all {
            for (task, lost) in &scores.truncated {
                let what = format_args!(
                    "{} of {task} with {name}: longer than the model reads, so the beginning is left out",
                    count(*lost, "prompt")
                );
                terminal.say(Tone::Faint, "cut", what);
            }
        }
        let (models, tasks) = (count(all.len(), "model"), count(tasks.len(), "task"));
        terminal.say(Tone::Good, "evaluated", format_args!("{models} on {tasks}"));
        Ok(Exit::Holds)
    }

    /// Refuses what is no directory of a model, and a command without tasks.
    fn check_models(&self) -> Result<(), Failure> {
        if let Some(model) = self.models.iter().find(|model| !model.join("config.json").is_file()) {
            let what = format!("{} is not a model: it has no config.json", model.display());
            return Err(Failure::usage(what, "give checkpoint directories, such as runs/NAME/step-000240"));
        }
        if self.tasks.is_empty() {
            return Err(Failure::usage("no task given", "give tasks with --tasks A,B"));
        }
        Ok(())
    }
}

/// Writes the table of a model.
fn write_rows(out: &mut dyn std::io::Write, rows: &[Row]) -> std::io::Result<()> {
    let head = ["task", "version", "filter", "n-shot", "metric", "", "value", "", "stderr"].map(str::to_owned);
    let cells = |row: &Row| {
        let Row { name, version, filter, shots, metric, direction, value, sign, error } = row.clone();
        [name, version, filter, shots, metric, direction, value, sign, error]
    };
    let lines: Vec<[String; 9]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..9).map(width).collect();
    for line in &lines {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            text.push_str(&format!("  {cell:<width$}"));
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

/// Whether it is the name of a task, and not a path.
fn is_name(task: &Path) -> bool {
    !task.as_os_str().as_encoded_bytes().iter().any(|byte| matches!(byte, b'/' | b'.'))
}

/// The name of a model's results: the last two parts of its path.
fn file_name(model: &Path) -> OsString {
    let mut name = last_parts(model);
    name.push(".json");
    name
}

fn last_parts(model: &Path) -> OsString {
    let parts: Vec<_> = model.components().map(|part| part.as_os_str()).collect();
    parts[parts.len().saturating_sub(2)..].join(OsStr::new("-"))
}

/// The name of a model in results of the harness.
fn run_name(model: &Path) -> String {
    last_parts(model).to_string_lossy().trim_start_matches(['/', '.', '-']).replace('/', "-")
}

/// Reads the task at `path` and its items, whose path is relative to its directory.
fn load(path: &Path) -> Result<LoadedTask, Failure> {
    let Opened { document, root, .. } = open::<Task>(path)?;
    Ok(LoadedTask::read(&root, document)?)
}

//! `retrace eval`

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use retrace_corpus::tokenizer::Tokenizer;
use retrace_eval::{LoadedTask, Results, score};
use retrace_files::{Progress, Root, Unit, WholeFile};
use retrace_model::{Inference, hub};
use retrace_spec::Task;
use serde_json::{Value, json};

use super::{Exit, Opened, in_release, open};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Evaluate checkpoints on tasks
///
/// A model is a directory with `config.json`, `model.safetensors` and `tokenizer.json`. A task is a
/// YAML file, given by its path, or by its name where --include-path says where it lies. Prints each
/// number; with -o, writes a results file for each model, in the shape of lm-evaluation-harness's
/// and with every item's outcome.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace eval runs/base/step-000240 --tasks tasks/heldout-en.yaml
  retrace eval runs/base/step-* --tasks heldout-en,facts-en --include-path tasks -o results")]
pub(crate) struct Eval {
    /// Model directories
    #[arg(required = true)]
    models: Vec<PathBuf>,
    /// Tasks, with commas between them
    #[arg(long, required = true, value_delimiter = ',')]
    tasks: Vec<PathBuf>,
    /// Where the files of tasks given by name lie
    #[arg(long, value_name = "DIR")]
    include_path: Option<PathBuf>,
    /// Where results are written, one file a model
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl Eval {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        if let Some(model) = self.models.iter().find(|model| !model.join("config.json").is_file()) {
            let what = format!("{} is no model: it has no config.json", model.display());
            return Err(Failure::usage(what, "give directories of checkpoints, such as runs/NAME/step-000240"));
        }
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
            let results = evaluate(model, &tasks, progress.as_ref())?;
            if let Some(directory) = &self.output {
                results.write(WholeFile::create(&directory.join(file_name(model)))?)?;
            }
            all.push((model, results));
        }
        progress.end();
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
            format_args!("{} on {}", count(all.len(), "model"), count(tasks.len(), "task")),
        );
        Ok(Exit::Holds)
    }
}

/// Whether it is the name of a task, and no path.
fn is_name(task: &Path) -> bool {
    !task.as_os_str().as_encoded_bytes().iter().any(|byte| matches!(byte, b'/' | b'.'))
}

/// What the results of a model are called: by the last two parts of its path.
fn file_name(model: &Path) -> OsString {
    let parts: Vec<_> = model.components().map(|part| part.as_os_str()).collect();
    let mut name = parts[parts.len().saturating_sub(2)..].join(OsStr::new("-"));
    name.push(".json");
    name
}

/// Reads the task at `path` and its items, which lie beside it.
pub(super) fn load(path: &Path) -> Result<LoadedTask, Failure> {
    let Opened { document, root, .. } = open::<Task>(path)?;
    Ok(LoadedTask::read(&root, document)?)
}

/// Scores the model in a directory on every task.
pub(super) fn evaluate(model: &Path, tasks: &[LoadedTask], progress: &dyn Progress) -> Result<Results, Failure> {
    let model = Root::open_snapshot(model)?;
    let (description, weights) = hub::read(&model)?;
    let inference = Inference::new(&description, weights)?;
    let tokenizer = Tokenizer::read(model.file(&in_release("tokenizer.json")?)?)?;
    let mut scores = Vec::new();
    for task in tasks {
        scores.push(score(&inference, &tokenizer, task)?);
        progress.advance(1);
    }
    Ok(Results { scores })
}

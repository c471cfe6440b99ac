//! `retrace eval`

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use retrace_eval::{LoadedTask, Results};
use retrace_files::{Root, Unit, WholeFile};
use retrace_spec::{EvalRecipe, Task};
use retrace_steps::{Evaluated, Options, carry_out, evaluate};
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
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace eval runs/base/step-000240 --tasks tasks/heldout-en.yaml
  retrace eval runs/base/step-* --tasks heldout-en,facts-en --include-path tasks -o results
  retrace eval release/eval.yaml

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
    /// The directory for results, one file per model
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineChoice,
}

impl Eval {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
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
        if let Some(model) = self.models.iter().find(|model| !model.join("config.json").is_file()) {
            let what = format!("{} is not a model: it has no config.json", model.display());
            return Err(Failure::usage(what, "give checkpoint directories, such as runs/NAME/step-000240"));
        }
        if self.tasks.is_empty() {
            return Err(Failure::usage("no task given", "give tasks with --tasks A,B"));
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

/// Whether it is the name of a task, and not a path.
fn is_name(task: &Path) -> bool {
    !task.as_os_str().as_encoded_bytes().iter().any(|byte| matches!(byte, b'/' | b'.'))
}

/// The name of a model's results: the last two parts of its path.
fn file_name(model: &Path) -> OsString {
    let parts: Vec<_> = model.components().map(|part| part.as_os_str()).collect();
    let mut name = parts[parts.len().saturating_sub(2)..].join(OsStr::new("-"));
    name.push(".json");
    name
}

/// Reads the task at `path` and its items, whose path is relative to its directory.
fn load(path: &Path) -> Result<LoadedTask, Failure> {
    let Opened { document, root, .. } = open::<Task>(path)?;
    Ok(LoadedTask::read(&root, document)?)
}

//! Evaluation.

use std::collections::BTreeMap;
use std::fmt;

use retrace_checkpoint::Checkpoint;
use retrace_corpus::tokenizer::Tokenizer;
use retrace_eval::{LoadedTask, Results, score};
use retrace_files::{Progress, Root, Unit, expand_directories};
use retrace_model::{Engine, Inference, ModelError, hub};
use retrace_spec::manifest::{ArtifactKind, StepKind};
use retrace_spec::{EvalRecipe, Pattern, RelPath, Task};

use crate::StepError;
use crate::step::{Files, Need, Options, Outputs, Step, counted, read};

/// The scores of each model, by its directory.
#[derive(Debug)]
pub struct Evaluated(pub Vec<(RelPath, Results)>);

impl fmt::Display for Evaluated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = self.0.first().map_or(0, |(_, results)| results.scores.len());
        write!(f, "{} on {}", counted(self.0.len(), "model"), counted(tasks, "task"))
    }
}

/// Reads the task at `path` below `root`, and its items, whose path is relative to its directory.
///
/// # Errors
/// If it is not a task, or its items cannot be read.
pub fn load(root: &Root, path: &RelPath) -> Result<LoadedTask, StepError> {
    let task: Task = read(root, path)?;
    let directory = match path.parent() {
        Some(parent) => root.directory(&parent)?,
        None => Root::open(root.path())?,
    };
    Ok(LoadedTask::read(&directory, task)?)
}

/// The files of the task at `path`: its document and its items.
pub(crate) fn files_of_task(root: &Root, path: &RelPath) -> Result<[RelPath; 2], StepError> {
    let task: Task = read(root, path)?;
    let items = match path.parent() {
        Some(parent) => parent.join(task.items.as_str())?,
        None => task.items,
    };
    Ok([path.clone(), items])
}

/// Scores the model in a directory on every task, with `engine`.
///
/// # Errors
/// If the model cannot be read, or a task cannot be computed.
pub fn evaluate(
    model: &Root,
    tasks: &[LoadedTask],
    engine: Engine,
    progress: &dyn Progress,
) -> Result<Results, StepError> {
    let (description, weights) = hub::read(model)?;
    let inference = Inference::new(&description, weights, engine)?;
    let tokenizer = Tokenizer::read(model.file(&TOKENIZER.parse()?)?)?;
    let mut scores = Vec::new();
    for task in tasks {
        scores.push(score(&inference, &tokenizer, task)?);
        progress.advance(1);
    }
    Ok(Results { scores })
}

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";

/// The files of a model's directory that an evaluation reads.
fn files_of_model(root: &Root, directory: &RelPath) -> Result<Vec<RelPath>, StepError> {
    let mut files = vec![directory.join(CONFIG)?, directory.join(TOKENIZER)?];
    let checkpoint = Checkpoint::in_directory(&root.directory(directory)?).map_err(ModelError::from)?;
    for name in checkpoint.files() {
        files.push(directory.join(name)?);
    }
    Ok(files)
}

/// The directories of the models.
fn models(recipe: &EvalRecipe, root: &Root) -> Result<Vec<RelPath>, StepError> {
    Ok(expand_directories(root, &recipe.models)?)
}

/// The path of a model's results.
fn results(recipe: &EvalRecipe, model: &RelPath) -> Result<RelPath, StepError> {
    Ok(recipe.output.join(&format!("{}.json", model.file_name()))?)
}

impl Step for EvalRecipe {
    type Report = Evaluated;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn kind(&self) -> StepKind {
        StepKind::Eval
    }

    fn numerics(&self) -> Option<u32> {
        Some(retrace_numerics::VERSION)
    }

    fn reads(&self, root: &Root) -> Result<Vec<Need>, StepError> {
        let mut files: Vec<Files> = self.models.iter().cloned().map(Files::Below).collect();
        for task in &self.tasks {
            files.extend(files_of_task(root, task)?.map(Files::one));
        }
        Ok(files.into_iter().map(Need::from).collect())
    }

    fn makes(&self) -> Result<Vec<Files>, StepError> {
        let results = |model: &Pattern| -> Result<Files, StepError> {
            let name: Pattern = format!("{}.json", model.name()).parse()?;
            Ok(Files::Matching(name.within(&self.output)?))
        };
        self.models.iter().map(results).collect()
    }

    fn inputs(&self, root: &Root) -> Result<Vec<RelPath>, StepError> {
        let mut inputs = Vec::new();
        for model in models(self, root)? {
            inputs.extend(files_of_model(root, &model)?);
        }
        for task in &self.tasks {
            inputs.extend(files_of_task(root, task)?);
        }
        Ok(inputs)
    }

    fn carry_out(
        &self,
        root: &Root,
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<(Evaluated, Outputs), StepError> {
        let mut tasks: Vec<LoadedTask> = Vec::new();
        for path in &self.tasks {
            let task = load(root, path)?;
            if tasks.iter().any(|other| other.task.name == task.task.name) {
                let what = format!("{path} has the same name as another task, {:?}", task.task.name);
                return Err(StepError::Field { field: "tasks".to_owned(), what });
            }
            tasks.push(task);
        }
        let mut outputs: BTreeMap<RelPath, RelPath> = BTreeMap::new();
        for model in models(self, root)? {
            if let Some(other) = outputs.insert(results(self, &model)?, model.clone()) {
                let what = format!(
                    "the results of {other} and {model} have the same file name; use a separate document for each"
                );
                return Err(StepError::Field { field: "models".to_owned(), what });
            }
        }
        progress.begin(&format!("evaluating ({})", self.name), (outputs.len() * tasks.len()) as u64, Unit::Items);
        let mut evaluated = Vec::new();
        for (path, model) in &outputs {
            let results = evaluate(&root.directory(model)?, &tasks, options.engine, progress)?;
            results.write(root.create(path)?)?;
            evaluated.push((model.clone(), results));
        }
        progress.end();
        Ok((Evaluated(evaluated), outputs.into_keys().map(|path| (path, ArtifactKind::Log)).collect()))
    }
}

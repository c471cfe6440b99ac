//! The step that makes tables: rows from journals, checkpoints and results, and files of other tools.

use std::fmt;
use std::path::{Path, PathBuf};

use retrace_eval::{Results, Scores};
use retrace_files::{Progress, Root, expand};
use retrace_import::{ImportKind, Mapping, import};
use retrace_model::Layout;
use retrace_spec::manifest::{ArtifactKind, StepKind};
use retrace_spec::recipe::{Imports, RunTables};
use retrace_spec::{Pattern, RelPath, ResultKey, Run, TablesRecipe, Tokens};
use retrace_tables::{Checkpoint, Metric, Row, Sample, TrainLog, write};
use retrace_train::{Journal, RECORDED_RUN, checkpoints, directory_of, recorded_run, stated_digest};

use crate::StepError;
use crate::step::{Files, Need, Options, Outputs, Step, read};

/// The number of rows that each table got from runs, and the number of imported files.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<(&'static str, usize)>,
    /// Results files whose checkpoint does not exist.
    left_out: usize,
    imported: usize,
    /// Imported files that were not read completely.
    problems: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.rows.iter().map(|(table, rows)| format!("{table} {rows}")).collect();
        if self.imported > 0 {
            parts.push(format!("files imported: {}", self.imported));
        }
        parts.extend(self.missing());
        f.write_str(&parts.join(", "))
    }
}

impl Report {
    /// What is missing in the tables.
    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.left_out > 0 {
            missing.push(format!("left out results without a checkpoint: {}", self.left_out));
        }
        if self.problems > 0 {
            let of = "imported files with problems, listed in the table `sources`";
            missing.push(format!("{of}: {} of {}", self.problems, self.imported));
        }
        missing
    }
}

/// The tables that are filled from runs, and those that imports may also fill.
const OF_RUNS: [&str; 4] = [TrainLog::TABLE, Metric::TABLE, Sample::TABLE, Checkpoint::TABLE];
const OF_IMPORTS: [&str; 2] = ["claims", "sources"];

/// The file of a table in a directory of tables.
pub(crate) fn table(directory: &RelPath, name: &str) -> Result<RelPath, StepError> {
    Ok(directory.join(&format!("{name}.parquet"))?)
}

/// A run whose output is read.
struct Trained {
    run: Run,
    steps: Vec<retrace_spec::Step>,
}

impl Trained {
    fn read(root: &Root, of: &RunTables) -> Result<Self, StepError> {
        let output = root.directory(&of.run)?;
        let Some(run) = recorded_run(&output)? else {
            let what = format!("{} has no {RECORDED_RUN}, so it is not a run of `retrace train`", of.run);
            return Err(StepError::Field { field: "runs".to_owned(), what });
        };
        Ok(Self { run, steps: checkpoints(&output)? })
    }
}

/// The path of a checkpoint's results, if they are requested.
fn results(of: &RunTables, step: retrace_spec::Step) -> Result<Option<RelPath>, StepError> {
    let Some(directory) = &of.results else { return Ok(None) };
    Ok(Some(directory.join(&format!("{}.json", directory_of(step)?))?))
}

fn state(of: &RunTables, step: retrace_spec::Step) -> Result<RelPath, StepError> {
    Ok(of.run.join(&format!("{}/state.json", directory_of(step)?))?)
}

impl Step for TablesRecipe {
    type Report = Report;

    fn incomplete(report: &Report) -> Option<String> {
        let missing = report.missing();
        (!missing.is_empty()).then(|| missing.join(", "))
    }

    fn id(&self) -> String {
        self.name.clone()
    }

    fn kind(&self) -> StepKind {
        StepKind::Tables
    }

    fn reads(&self, _: &Root) -> Result<Vec<Need>, StepError> {
        let mut files = Vec::new();
        for of in &self.runs {
            files.push(Files::one(of.run.join(RECORDED_RUN)?));
            files.push(Files::one(of.run.join(Journal::NAME)?));
            files.push(Files::Below(format!("{}/step-*", of.run).parse::<Pattern>()?));
            if let Some(results) = &of.results {
                files.push(Files::Matching(format!("{results}/step-*.json").parse()?));
            }
        }
        for imports in &self.imports {
            files.extend(imports.files.iter().cloned().map(Files::Matching));
            files.extend(imports.mapping.clone().map(Files::one));
        }
        Ok(files.into_iter().map(Need::from).collect())
    }

    fn makes(&self) -> Result<Vec<Files>, StepError> {
        let of_imports: &[&str] = if self.imports.is_empty() { &[] } else { &OF_IMPORTS };
        OF_RUNS.iter().chain(of_imports).map(|name| Ok(Files::one(table(&self.output, name)?))).collect()
    }

    fn inputs(&self, root: &Root) -> Result<Vec<RelPath>, StepError> {
        let mut inputs = Vec::new();
        for of in &self.runs {
            inputs.extend([of.run.join(RECORDED_RUN)?, of.run.join(Journal::NAME)?]);
            for step in Trained::read(root, of)?.steps {
                inputs.push(state(of, step)?);
                inputs.extend(results(of, step)?);
            }
        }
        for imports in &self.imports {
            inputs.extend(expand(root, &imports.files)?);
            inputs.extend(imports.mapping.clone());
        }
        Ok(inputs)
    }

    fn carry_out(&self, root: &Root, _: &Options, progress: &dyn Progress) -> Result<(Report, Outputs), StepError> {
        let mut left_out = 0;
        let (mut log, mut metrics, mut samples, mut saved) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for of in &self.runs {
            let Trained { run, steps } = Trained::read(root, of)?;
            let journal_path = of.run.join(Journal::NAME)?;
            let journal = Journal::read(&root.directory(&of.run)?)?;
            // The weights of a user's own architecture are not known here.
            let parameters = Some(Layout::of(&run.model).parameters() as u64).filter(|parameters| *parameters > 0);
            if let Some(directory) = &of.results {
                let there = Files::Matching(format!("{directory}/step-*.json").parse()?).there(root)?;
                left_out += there.len().saturating_sub(steps.len());
            }
            for step in steps {
                let tokens = journal.line(step).map_or(Tokens(0), |line| line.tokens);
                let state = state(of, step)?;
                let checkpoint = Checkpoint {
                    release: self.release.clone(),
                    run: run.name.clone(),
                    label: directory_of(step)?.to_string(),
                    step: Some(step),
                    tokens: Some(tokens),
                    parameters,
                    path: of.run.join(directory_of(step)?.as_str())?.to_string(),
                    state: Some(stated_digest(root.file(&state)?)?),
                    source: state.to_string(),
                    place: "/state".to_owned(),
                };
                if let Some(path) = results(of, step)? {
                    for scores in Results::read(root.file(&path)?)?.scores {
                        metrics.extend(metric_rows(&self.release, &checkpoint, &scores, &path));
                        samples.extend(sample_rows(&self.release, &checkpoint, &scores, &path));
                    }
                }
                saved.push(checkpoint);
            }
            log.extend(journal.lines().iter().zip(1..).map(|(line, number)| TrainLog {
                release: self.release.clone(),
                run: run.name.clone(),
                step: line.step,
                tokens: Some(line.tokens),
                phase: Some(line.phase.clone()),
                learning_rate: Some(line.learning_rate),
                loss: Some(line.loss),
                grad_norm: Some(line.grad_norm),
                source: journal_path.to_string(),
                place: format!("line {number}"),
                time: None,
            }));
        }
        // An import adds to existing tables, so there must not be any.
        for files in Step::makes(self)? {
            for path in files.there(root)? {
                root.remove(&path)?;
            }
        }
        let directory = self.output.under(root.path());
        let mut report = Report { left_out, ..Report::default() };
        if !self.runs.is_empty() {
            report.put(&directory, &log)?;
            report.put(&directory, &saved)?;
        }
        if self.runs.iter().any(|of| of.results.is_some()) {
            report.put(&directory, &metrics)?;
            report.put(&directory, &samples)?;
        }
        for imports in &self.imports {
            bring_in(self, root, imports, &mut report, progress)?;
        }
        let mut outputs = Vec::new();
        for files in Step::makes(self)? {
            outputs.extend(files.there(root)?.into_iter().map(|path| (path, ArtifactKind::Table)));
        }
        Ok((report, outputs))
    }
}

impl Report {
    fn put<R: Row>(&mut self, directory: &Path, rows: &[R]) -> Result<(), StepError> {
        write(directory, rows)?;
        self.rows.push((R::TABLE, rows.len()));
        Ok(())
    }
}

/// The metrics of a checkpoint on one task.
fn metric_rows(release: &str, at: &Checkpoint, scores: &Scores, source: &RelPath) -> Vec<Metric> {
    let row = |metric: &retrace_eval::Metric| Metric {
        release: release.to_owned(),
        run: at.run.clone(),
        step: at.step,
        tokens: at.tokens,
        task: scores.task.clone(),
        shots: Some(0),
        metric: metric.name.clone(),
        value: metric.value,
        stderr: metric.stderr,
        source: source.to_string(),
        place: format!("/results/{}/{}", scores.task, ResultKey::unfiltered(&metric.name)),
        is_group: None,
        time: None,
    };
    scores.metrics.iter().map(row).collect()
}

/// The results for each item of one task.
fn sample_rows(release: &str, at: &Checkpoint, scores: &Scores, source: &RelPath) -> Vec<Sample> {
    let row = |(number, sample): (usize, &retrace_eval::ItemScore)| Sample {
        release: release.to_owned(),
        run: at.run.clone(),
        step: at.step,
        task: scores.task.clone(),
        item: sample.item.clone(),
        correct: sample.correct,
        log_likelihood: Some(sample.log_likelihoods.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        source: source.to_string(),
        place: format!("/samples/{}/{number}", scores.task),
        filter: None,
        shots: None,
    };
    scores.samples.iter().enumerate().map(row).collect()
}

/// Adds files of other tools to the tables.
fn bring_in(
    recipe: &TablesRecipe,
    root: &Root,
    imports: &Imports,
    report: &mut Report,
    progress: &dyn Progress,
) -> Result<(), StepError> {
    let kind: ImportKind =
        imports.kind.parse().map_err(|what: String| StepError::Field { field: "imports.kind".to_owned(), what })?;
    let mapping = match &imports.mapping {
        Some(path) if kind.is_mapped() => read::<Mapping>(root, path)?,
        Some(_) => {
            let what = format!("does not apply to {kind}; leave it out, or import the tables as csv or wandb");
            return Err(StepError::Field { field: "imports.mapping".to_owned(), what });
        }
        None => Mapping::default(),
    };
    let release = Some(recipe.release.clone());
    let options = retrace_import::Options { release, mapping, tokens_per_step: imports.tokens_per_step };
    let files: Vec<PathBuf> = expand(root, &imports.files)?.iter().map(|path| path.under(root.path())).collect();
    let imported = import(kind, &files, &options, &recipe.output.under(root.path()), progress)?;
    // These tables had nothing but what this document imports.
    if let Some((_, source)) = imported.replaced.first() {
        let what = format!("two files have the same source name {source:?}");
        return Err(StepError::Field { field: "imports.files".to_owned(), what });
    }
    report.imported += imported.sources.len();
    report.problems += imported.sources.iter().filter(|source| source.problem.is_some()).count();
    Ok(())
}

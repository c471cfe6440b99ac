//! The step that searches a corpus for the items of benchmarks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write as _;

use retrace_analysis::contamination::Verdict;
use retrace_eval::LoadedTask;
use retrace_files::{FileError, Progress, Root, expand};
use retrace_report::contamination::{ContaminationCounts, ContaminationReport, RunExposure, not_searched, unsearched};
use retrace_spec::manifest::{ArtifactKind, StepKind};
use retrace_spec::{ContaminationRecipe, RelPath, Run};
use retrace_tables::{Contamination, Exposure, Row, write};
use retrace_train::{Batches, RECORDED_RUN, recorded_run};

use crate::StepError;
use crate::eval::{files_of_task, load};
use crate::step::{Files, Need, Options, Outputs, Step, counted};
use crate::tables::table;

mod benchmarks;
mod inputs;
mod report;
mod scan;
mod shards;
mod state;

pub use inputs::{Columns, Named, named};
pub use report::write_contamination;
pub use scan::{Scan, TaskItems};

/// The result of the search.
#[derive(Debug)]
pub struct Report(ContaminationCounts);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = self.0.methods.len() > 1;
        for (at, rate) in self.0.benchmarks().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let of = counted(rate.leaked.of, "item");
            write!(f, "{comma}{} {} of {of} leaked", rate.benchmark, rate.leaked.count)?;
            if several {
                write!(f, " by {}", rate.method.name())?;
            }
            if rate.not_searched > 0 {
                write!(f, ", {} not searched", rate.not_searched)?;
            }
        }
        for RunExposure { run, documents, absent, .. } in self.0.runs.iter().filter(|of| of.absent > 0) {
            write!(f, "; {absent} of {documents} documents with a leak are in no token shard of {run}")?;
        }
        for of in self.0.runs.iter().filter(|of| of.unsearched > 0) {
            write!(f, "; {}", unsearched(of))?;
        }
        Ok(())
    }
}

/// The run that is recorded in a run's directory.
fn run(root: &Root, directory: &RelPath) -> Result<Run, StepError> {
    recorded_run(&root.directory(directory)?)?.ok_or_else(|| {
        let what = format!("{directory} has no {RECORDED_RUN}, so it is not a run of `retrace train`");
        StepError::Field { field: "runs".to_owned(), what }
    })
}

/// The search that `recipe` describes.
fn scan(root: &Root, recipe: &ContaminationRecipe) -> Result<Scan, StepError> {
    let columns = |field: &str, given: &BTreeMap<String, String>, of: fn(&[String]) -> Result<Columns, String>| {
        let given: Vec<String> = given.iter().map(|(name, column)| format!("{name}={column}")).collect();
        of(&given).map_err(|what| StepError::Field { field: field.to_owned(), what })
    };
    let task = |path: &RelPath| {
        let task: LoadedTask = load(root, path)?;
        let [_, items] = files_of_task(root, path)?;
        let file = Named::of_release(root, &[items])?.pop();
        let items = benchmarks::of_task(&task);
        Ok::<_, StepError>(file.map(|file| TaskItems { task: task.task.name, items, file }))
    };
    let tasks = recipe.tasks.iter().map(task).collect::<Result<Vec<_>, _>>()?;
    let files = match recipe.benchmarks.as_slice() {
        [] => Vec::new(),
        patterns => expand(root, patterns)?,
    };
    Ok(Scan {
        tasks: tasks.into_iter().flatten().collect(),
        benchmarks: Named::of_release(root, &files)?,
        fields: columns("fields", &recipe.fields, Columns::of_benchmarks)?,
        corpus: Named::of_release(root, &expand(root, &recipe.corpus)?)?,
        corpus_fields: columns("corpus_fields", &recipe.corpus_fields, Columns::of_documents)?,
        methods: recipe.methods.clone(),
        skip_unreadable: false,
        impossible: recipe.impossible,
        most: usize::try_from(recipe.documents_per_item).unwrap_or(usize::MAX),
        kept: None,
    })
}

/// The documents with a leak, by shard and line.
fn leaking(report: &ContaminationReport) -> BTreeMap<(&str, u64), &str> {
    let leaks = report.findings.iter().filter(|hit| hit.verdict == Verdict::Leak);
    leaks.map(|hit| ((hit.shard.as_str(), hit.line), hit.document.as_str())).collect()
}

/// The steps at which the run `name` used the documents with a leak.
fn exposures(
    name: &str,
    batches: &Batches,
    searched: &BTreeSet<RelPath>,
    leaking: &BTreeMap<(&str, u64), &str>,
    rows: &mut Vec<Exposure>,
) -> Result<RunExposure, StepError> {
    let unsearched = batches.sources().into_iter().filter(|shard| !searched.contains(shard)).count() as u64;
    let mut of = RunExposure { run: name.to_owned(), documents: leaking.len() as u64, used: 0, absent: 0, unsearched };
    for ((shard, line), document) in leaking {
        let path: RelPath = shard.parse()?;
        let steps = usize::try_from(*line).ok().and_then(|line| batches.seen(&path, line));
        of.absent += u64::from(steps.is_none());
        of.used += u64::from(steps.as_ref().is_some_and(|steps| !steps.is_empty()));
        rows.extend(steps.into_iter().flatten().map(|step| Exposure {
            run: name.to_owned(),
            document: (*document).to_owned(),
            shard: (*shard).to_owned(),
            line: *line,
            step,
        }));
    }
    Ok(of)
}

/// The files of a report in `directory`; which of them there are depends on the corpus.
fn of_report(directory: &RelPath) -> Result<[Files; 2], StepError> {
    Ok([Files::one(directory.join("report.html")?), Files::Below(directory.join("csv")?.into())])
}

impl Step for ContaminationRecipe {
    type Report = Report;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn kind(&self) -> StepKind {
        StepKind::Contamination
    }

    fn reads(&self, root: &Root) -> Result<Vec<Need>, StepError> {
        let mut files: Vec<Files> = self.corpus.iter().chain(&self.benchmarks).cloned().map(Files::Matching).collect();
        for task in &self.tasks {
            files.extend(files_of_task(root, task)?.map(Files::one));
        }
        for directory in &self.runs {
            files.push(Files::one(directory.join(RECORDED_RUN)?));
        }
        Ok(files.into_iter().map(Need::from).collect())
    }

    fn makes(&self) -> Result<Vec<Files>, StepError> {
        let mut files = vec![Files::one(table(&self.output, Contamination::TABLE)?), Files::one(self.counts.clone())];
        if !self.runs.is_empty() {
            files.push(Files::one(table(&self.output, Exposure::TABLE)?));
        }
        if let Some(directory) = &self.report {
            files.extend(of_report(directory)?);
        }
        Ok(files)
    }

    fn inputs(&self, root: &Root) -> Result<Vec<RelPath>, StepError> {
        let mut inputs = expand(root, &self.corpus)?;
        if !self.benchmarks.is_empty() {
            inputs.extend(expand(root, &self.benchmarks)?);
        }
        for task in &self.tasks {
            inputs.extend(files_of_task(root, task)?);
        }
        for directory in &self.runs {
            inputs.push(directory.join(RECORDED_RUN)?);
            let run = run(root, directory)?;
            inputs.extend(run.phases.iter().flat_map(|phase| &phase.mix).map(|source| source.tokens.clone()));
        }
        Ok(inputs)
    }

    fn incomplete(report: &Report) -> Option<String> {
        let left_out = report.0.leaks_left_out();
        let left_out = (left_out > 0).then(|| {
            format!(
                "up to {left_out} more documents leak an item and have no row; `documents_per_item` says how many are kept"
            )
        });
        let lacks: Vec<String> = left_out.into_iter().chain(not_searched(report.0.rates.iter())).collect();
        (!lacks.is_empty()).then(|| lacks.join("; "))
    }

    fn carry_out(&self, root: &Root, _: &Options, progress: &dyn Progress) -> Result<(Report, Outputs), StepError> {
        let scan = scan(root, self)?;
        let mut runs = BTreeMap::new();
        for directory in &self.runs {
            let run = run(root, directory)?;
            let batches = Batches::open(root, &run)?;
            if runs.insert(run.name.clone(), batches).is_some() {
                let what = format!("two of them have the name {:?}", run.name);
                return Err(StepError::Field { field: "runs".to_owned(), what });
            }
        }
        let report = scan.report(progress)?;
        let leaking = leaking(&report);
        let searched = expand(root, &self.corpus)?.into_iter().collect();
        let mut rows = Vec::new();
        let used = runs.iter().map(|(name, batches)| exposures(name, batches, &searched, &leaking, &mut rows));
        let used = used.collect::<Result<Vec<_>, _>>()?;
        let counts = ContaminationCounts::new(&report, used);
        let tables = self.output.under(root.path());
        if let Some(directory) = &self.report {
            report::remove_page(&directory.under(root.path()))?;
        }
        report::write_findings(&tables, &report)?;
        let mut outputs = vec![
            (table(&self.output, Contamination::TABLE)?, ArtifactKind::Table),
            (self.counts.clone(), ArtifactKind::Log),
        ];
        if !self.runs.is_empty() {
            write(&tables, &rows)?;
            outputs.push((table(&self.output, Exposure::TABLE)?, ArtifactKind::Table));
        }
        if let Some(directory) = &self.report {
            for name in report::write_page(&directory.under(root.path()), &report)? {
                outputs.push((directory.join(&name)?, ArtifactKind::Other));
            }
        }
        write_json(root, &self.counts, &counts)?;
        Ok((Report(counts), outputs))
    }
}

/// Writes a value as JSON.
pub(crate) fn write_json<T: serde::Serialize>(root: &Root, path: &RelPath, value: &T) -> Result<(), StepError> {
    let place = path.under(root.path());
    let json = |e: serde_json::Error| FileError::Json { path: place.clone(), line: 0, what: e.to_string() };
    let mut file = root.create(path)?;
    serde_json::to_writer_pretty(&mut file, value).map_err(json)?;
    file.write_all(b"\n").map_err(FileError::io(&place, "write"))?;
    file.commit()?;
    Ok(())
}

/// Reads a value that [`write_json`] wrote.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(root: &Root, path: &RelPath) -> Result<T, StepError> {
    const LONGEST: u64 = 256 << 20;
    let file = root.file(path)?;
    let place = file.path().to_owned();
    let json = |e: serde_json::Error| FileError::Json { path: place.clone(), line: e.line(), what: e.to_string() };
    Ok(serde_json::from_slice(&file.read(LONGEST)?).map_err(json)?)
}

#[cfg(test)]
mod tests {
    use retrace_analysis::contamination::Method;
    use retrace_report::contamination::{Rate, Share};

    use super::*;

    #[test]
    fn what_was_not_searched_is_said() {
        let rate = |items: u64, not_searched: u64| Rate {
            method: Method::Spans,
            benchmark: "b".to_owned(),
            subset: None,
            leaked: Share::new(0, items),
            with_answer: 0,
            verdicts: Vec::new(),
            nothing: items,
            not_searched,
        };
        let of = |items, not_searched, unsearched| {
            let run = RunExposure { run: "base".to_owned(), documents: 0, used: 0, absent: 0, unsearched };
            Report(ContaminationCounts {
                rates: vec![rate(items, not_searched)],
                runs: vec![run],
                ..Default::default()
            })
        };
        assert_eq!(of(1, 0, 0).to_string(), "b 0 of 1 item leaked");
        assert_eq!(ContaminationRecipe::incomplete(&of(1, 0, 0)), None);
        let report = of(2, 1, 3);
        let shards = "3 shards that base was trained on were not searched, and may have leaks that it used";
        assert_eq!(report.to_string(), format!("b 0 of 2 items leaked, 1 not searched; {shards}"));
        assert_eq!(ContaminationRecipe::incomplete(&report).unwrap(), "1 item of b has nothing to search for");
    }
}

//! The step that searches a corpus for the items of benchmarks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write as _;

use retrace_analysis::contamination::{Counts, Index, Item, TaskCounts};
use retrace_corpus::CorpusDocument;
use retrace_eval::{Items, LoadedTask};
use retrace_files::{FileError, Progress, Root, Unit, expand, json_lines};
use retrace_spec::manifest::{ArtifactKind, StepKind};
use retrace_spec::{ContaminationRecipe, RelPath, Run};
use retrace_tables::{Contamination, Row, write};
use retrace_train::{Batches, RECORDED_RUN, recorded_run};

use crate::StepError;
use crate::eval::{files_of_task, load};
use crate::step::{Files, Need, Options, Outputs, Step};
use crate::tables::table;

mod benchmarks;
mod inputs;
mod report;
mod scan;
mod state;

pub use inputs::Columns;
pub use report::write_contamination;
pub use scan::Scan;

/// The result of the search.
#[derive(Debug)]
pub struct Report(Counts);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, TaskCounts { task, items, flagged, too_short }) in self.0.tasks.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{task} {flagged} of {items} items")?;
            if *too_short > 0 {
                write!(f, " ({too_short} too short to judge)")?;
            }
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

/// The text of a task whose occurrence would be a leak: a text, or a question with its correct answer.
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

impl Step for ContaminationRecipe {
    type Report = Report;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn kind(&self) -> StepKind {
        StepKind::Contamination
    }

    fn reads(&self, root: &Root) -> Result<Vec<Need>, StepError> {
        let mut files: Vec<Files> = self.corpus.iter().cloned().map(Files::Matching).collect();
        for task in &self.tasks {
            files.extend(files_of_task(root, task)?.map(Files::one));
        }
        for directory in &self.runs {
            files.push(Files::one(directory.join(RECORDED_RUN)?));
        }
        Ok(files.into_iter().map(Need::from).collect())
    }

    fn makes(&self) -> Result<Vec<Files>, StepError> {
        Ok(vec![Files::one(table(&self.output, Contamination::TABLE)?), Files::one(self.counts.clone())])
    }

    fn inputs(&self, root: &Root) -> Result<Vec<RelPath>, StepError> {
        let mut inputs = expand(root, &self.corpus)?;
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

    fn carry_out(&self, root: &Root, _: &Options, progress: &dyn Progress) -> Result<(Report, Outputs), StepError> {
        let shards = expand(root, &self.corpus)?;
        let mut indexes = Vec::new();
        for path in &self.tasks {
            let task = load(root, path)?;
            let items = items(&task);
            let index =
                Index::new(&items, self.ngram).map_err(|source| StepError::Items { task: path.clone(), source })?;
            indexes.push((task.task.name, items.len() as u64, index));
        }
        let mut runs = Vec::new();
        for directory in &self.runs {
            let run = run(root, directory)?;
            let batches = Batches::open(root, &run)?;
            runs.push((run.name, batches));
        }
        let mut rows = Vec::new();
        let mut flagged: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        progress.begin("searching the corpus for the items of tasks", shards.len() as u64, Unit::Files);
        for shard in &shards {
            for line in json_lines::<CorpusDocument>(root.file(shard)?) {
                let (line, document) = line?;
                for (task, _, index) in &indexes {
                    for hit in index.scan(&document.text).into_iter().filter(|hit| hit.flagged) {
                        let row = |run: Option<&(String, Batches)>| Contamination {
                            task: task.clone(),
                            item: hit.item.clone(),
                            document: document.id.clone(),
                            shard: shard.to_string(),
                            line: line as u64,
                            overlap: hit.overlap,
                            run: run.map(|(name, _)| name.clone()),
                            seen_at: run.and_then(|(_, batches)| batches.first_seen(shard, line)),
                        };
                        match runs.is_empty() {
                            true => rows.push(row(None)),
                            false => rows.extend(runs.iter().map(|run| row(Some(run)))),
                        }
                        flagged.entry(task).or_default().insert(hit.item.clone());
                    }
                }
            }
            progress.advance(1);
        }
        progress.end();
        let tasks = indexes.iter().map(|(task, items, index)| TaskCounts {
            task: task.clone(),
            items: *items,
            flagged: flagged.get(task.as_str()).map_or(0, BTreeSet::len) as u64,
            too_short: index.too_short().len() as u64,
        });
        let counts = Counts { tasks: tasks.collect() };
        write(&self.output.under(root.path()), &rows)?;
        write_json(root, &self.counts, &counts)?;
        let outputs = vec![
            (table(&self.output, Contamination::TABLE)?, ArtifactKind::Table),
            (self.counts.clone(), ArtifactKind::Log),
        ];
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

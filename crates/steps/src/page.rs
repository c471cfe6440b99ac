//! Pages.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use retrace_analysis::scaling::Report as ScalingReport;
use retrace_corpus::{CONTAMINATION, LedgerEntry};
use retrace_eval::Items;
use retrace_files::{FileError, Progress, Root, expand, json_lines};
use retrace_query::Session;
use retrace_report::contamination::ContaminationCounts;
use retrace_report::exposure::Exposures;
use retrace_report::{Choice, Cleaning, Part, page, weights};
use retrace_spec::manifest::{ArtifactKind, StepKind};
use retrace_spec::recipe::{Rule, Section};
use retrace_spec::{CleanRecipe, PageRecipe, Pattern, RelPath};

use crate::StepError;
use crate::clean::ledger;
use crate::contamination::read_json;
use crate::eval::{files_of_task, load};
use crate::step::{Files, Need, Options, Outputs, Step, counted, read};
use crate::tables::table;

/// The number of sections of a page.
#[derive(Debug)]
pub struct Report(usize);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a page of {}", counted(self.0, "section"))
    }
}

/// The tables that a section requires, and those that are optional.
const fn tables_of(section: &Section) -> (&'static [&'static str], &'static [&'static str]) {
    match section {
        Section::Training { .. } => (&["train_log"], &["checkpoints"]),
        Section::Evaluation { .. } => (&["metrics"], &["checkpoints"]),
        Section::Contamination { .. } => (&["contamination"], &["exposures", "samples", "checkpoints"]),
        Section::Checkpoints { .. } => (&["metrics"], &["train_log"]),
        Section::Weights { .. } => (&["tensors"], &[]),
        Section::Exposure { .. } => (&["contamination", "exposures", "samples", "checkpoints"], &[]),
        Section::Scaling { .. } | Section::Cleaning { .. } => (&[], &[]),
    }
}

/// The directory of tables that a section reads.
const fn directory_of(section: &Section) -> Option<&RelPath> {
    match section {
        Section::Training { tables }
        | Section::Evaluation { tables, .. }
        | Section::Contamination { tables, .. }
        | Section::Checkpoints { tables, .. }
        | Section::Weights { tables, .. }
        | Section::Exposure { tables, .. } => Some(tables),
        Section::Scaling { .. } | Section::Cleaning { .. } => None,
    }
}

/// The tables of a section that exist.
fn tables_there(root: &Root, section: &Section) -> Result<Vec<RelPath>, StepError> {
    let Some(directory) = directory_of(section) else { return Ok(Vec::new()) };
    let (needed, optional) = tables_of(section);
    let mut all = needed.iter().map(|name| table(directory, name)).collect::<Result<Vec<_>, _>>()?;
    for name in optional {
        let path = table(directory, name)?;
        if root.has(&path) {
            all.push(path);
        }
    }
    Ok(all)
}

/// The shards that a recipe wrote, by patterns that match its ledger too.
fn cleaned(recipe: &CleanRecipe) -> Result<Vec<Pattern>, StepError> {
    Ok(recipe.cleaned()?)
}

/// The shards that a recipe wrote.
fn kept(root: &Root, recipe: &CleanRecipe) -> Result<Vec<RelPath>, StepError> {
    let ledger = ledger(recipe)?;
    let mut shards = expand(root, &cleaned(recipe)?)?;
    shards.retain(|path| *path != ledger);
    Ok(shards)
}

impl Step for PageRecipe {
    type Report = Report;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn kind(&self) -> StepKind {
        StepKind::Page
    }

    fn reads(&self, root: &Root) -> Result<Vec<Need>, StepError> {
        let mut needs: Vec<Need> = Vec::new();
        for section in &self.sections {
            if let Some(directory) = directory_of(section) {
                let (needed, optional) = tables_of(section);
                for name in needed {
                    needs.push(Files::one(table(directory, name)?).into());
                }
                for name in optional {
                    needs.push(Need { files: Files::one(table(directory, name)?), optional: true });
                }
            }
            let mut files = Vec::new();
            match section {
                Section::Training { .. } | Section::Checkpoints { .. } | Section::Weights { .. } => {}
                Section::Evaluation { tasks, .. } => {
                    for task in tasks {
                        files.extend(files_of_task(root, task)?.map(Files::one));
                    }
                }
                Section::Scaling { law } => files.push(Files::one(law.clone())),
                Section::Cleaning { recipe } => {
                    let of = read::<CleanRecipe>(root, recipe)?;
                    files.extend([Files::one(recipe.clone()), Files::one(ledger(&of)?)]);
                    files.extend(cleaned(&of)?.into_iter().map(Files::Matching));
                }
                Section::Contamination { counts, .. } | Section::Exposure { counts, .. } => {
                    files.push(Files::one(counts.clone()));
                }
            }
            needs.extend(files.into_iter().map(Need::from));
        }
        Ok(needs)
    }

    fn makes(&self) -> Result<Vec<Files>, StepError> {
        Ok(vec![Files::one(self.output.clone())])
    }

    fn inputs(&self, root: &Root) -> Result<Vec<RelPath>, StepError> {
        let mut inputs = Vec::new();
        for section in &self.sections {
            inputs.extend(tables_there(root, section)?);
            match section {
                Section::Training { .. } | Section::Checkpoints { .. } | Section::Weights { .. } => {}
                Section::Evaluation { tasks, .. } => {
                    for task in tasks {
                        inputs.extend(files_of_task(root, task)?);
                    }
                }
                Section::Scaling { law } => inputs.push(law.clone()),
                Section::Cleaning { recipe } => {
                    let of = read::<CleanRecipe>(root, recipe)?;
                    inputs.extend([recipe.clone(), ledger(&of)?]);
                    inputs.extend(kept(root, &of)?);
                }
                Section::Contamination { counts, .. } | Section::Exposure { counts, .. } => inputs.push(counts.clone()),
            }
        }
        Ok(inputs)
    }

    fn carry_out(&self, root: &Root, _: &Options, _: &dyn Progress) -> Result<(Report, Outputs), StepError> {
        let text = page(&self.title, None, &sections(root, self)?)?;
        root.write(&self.output, text.as_bytes())?;
        Ok((Report(self.sections.len()), vec![(self.output.clone(), ArtifactKind::Other)]))
    }
}

/// The sections of a page, with the data of their files.
///
/// # Errors
/// If one cannot be read.
pub fn sections(root: &Root, recipe: &PageRecipe) -> Result<Vec<Part>, StepError> {
    recipe.sections.iter().map(|section| part(root, section)).collect()
}

fn part(root: &Root, section: &Section) -> Result<Part, StepError> {
    let session = || -> Result<Session, StepError> {
        let tables: Vec<PathBuf> = tables_there(root, section)?.iter().map(|table| table.under(root.path())).collect();
        Ok(Session::open(&tables)?)
    };
    Ok(match section {
        Section::Training { .. } => Part::training(&session()?)?,
        Section::Evaluation { tasks, .. } => Part::evaluation(&session()?, &chance(root, tasks)?)?,
        Section::Scaling { law } => Part::Scaling(Box::new(read_json::<ScalingReport>(root, law)?)),
        Section::Cleaning { recipe } => Part::Cleaning(cleaning(root, &read(root, recipe)?)?),
        Section::Contamination { counts, .. } => {
            Part::contamination(&session()?, read_json::<ContaminationCounts>(root, counts)?)?
        }
        Section::Checkpoints { metrics, runs, interpolate, .. } => {
            let choice = Choice { metrics: metrics.clone(), runs: runs.clone(), interpolate: *interpolate };
            Part::Figures(choice.figures(&session()?)?)
        }
        Section::Weights { runs, .. } => Part::Figures(weights(&session()?, runs)?),
        Section::Exposure { counts, twins, .. } => {
            let counts: ContaminationCounts = read_json(root, counts)?;
            Part::Exposure(Exposures::read(&session()?, &counts, twins)?)
        }
    })
}

/// For each multiple-choice task, the accuracy of guessing: the mean over its questions.
fn chance(root: &Root, tasks: &[RelPath]) -> Result<BTreeMap<String, f64>, StepError> {
    let mut chance = BTreeMap::new();
    for path in tasks {
        let task = load(root, path)?;
        if let Items::Questions(questions) = &task.items {
            let sum: f64 = questions.iter().map(|question| 1.0 / question.choices.len() as f64).sum();
            chance.insert(task.task.name.clone(), sum / questions.len() as f64);
        }
    }
    Ok(chance)
}

/// The result of cleaning, from its ledger and its outputs; rules in the order of the recipe.
fn cleaning(root: &Root, recipe: &CleanRecipe) -> Result<Cleaning, StepError> {
    let (mut dropped, mut cut) = (BTreeMap::<(usize, String), u64>::new(), 0);
    let rules: Vec<&str> = [CONTAMINATION].into_iter().chain(recipe.rules.iter().map(Rule::name)).collect();
    for line in json_lines::<LedgerEntry>(root.file(&ledger(recipe)?)?) {
        let (_, entry) = line?;
        if entry.is_kept() {
            cut += 1;
            continue;
        }
        let place = rules.iter().position(|known| **known == entry.rule).unwrap_or(usize::MAX);
        *dropped.entry((place, entry.rule)).or_default() += 1;
    }
    let mut kept = 0;
    for shard in self::kept(root, recipe)? {
        let file = root.file(&shard)?;
        let path = file.path().to_owned();
        for line in BufReader::new(file.into_file()).split(b'\n') {
            kept += u64::from(!line.map_err(FileError::io(&path, "read"))?.is_empty());
        }
    }
    let documents = kept + dropped.values().sum::<u64>();
    Ok(Cleaning {
        documents,
        kept,
        cut,
        dropped: dropped.into_iter().map(|((_, rule), count)| (rule, count)).collect(),
    })
}

//! What a page says of the items of benchmarks in the corpus.

use std::collections::{BTreeMap, BTreeSet};

use retrace_analysis::contamination::Method;
use retrace_query::Session;
use serde::Serialize;

use super::{Part, params};
use crate::ReportError;
use crate::contamination::ContaminationCounts;

/// The items of benchmarks in the corpus.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contaminated {
    /// The counts of the search.
    pub counts: ContaminationCounts,
    /// The benchmarks of which an item leaked, by the first method.
    pub benchmarks: Vec<Leaks>,
}

/// The leaks of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Leaks {
    /// The benchmark.
    pub benchmark: String,
    /// Items with a leak.
    pub items: u64,
    /// When each run first used a document with one of them.
    pub first: Vec<FirstSeen>,
    /// The first few, ordered by the step at which they were used.
    pub examples: Vec<Example>,
    /// The last checkpoint of each run, on these items and on the others.
    pub accuracy: Vec<Split>,
}

/// When a run saw leaked items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FirstSeen {
    /// The run.
    pub run: String,
    /// How many of the items it saw.
    pub items: u64,
    /// The first step that saw one.
    pub first: u64,
    /// The step by which it had seen all of these.
    pub all: u64,
}

/// An item and a document that leaks it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Example {
    /// The item.
    pub item: String,
    /// The document.
    pub document: String,
    /// The location of the document: shard and line.
    pub place: String,
    /// How much of the deciding part was found, from 0 to 1.
    pub score: f64,
    /// Whether the right answer stands at the question.
    pub with_answer: bool,
    /// The run that first used the document, and the step.
    pub seen: Option<(String, u64)>,
}

/// Accuracy on the items that leaked, and on the others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Split {
    /// The run.
    pub run: String,
    /// The step of its last checkpoint.
    pub step: u64,
    /// Leaked items, and the number of correct answers.
    pub leaked: (u64, u64),
    /// The other items, and the number of correct answers.
    pub clean: (u64, u64),
}

/// Examples per benchmark.
const EXAMPLES: usize = 5;

impl Part {
    /// The content of the table `contamination` and the counts of the search. Of other tables, if they exist,
    /// `exposures` has the steps that used the documents, and `samples` the results of the last checkpoints.
    ///
    /// # Errors
    /// If a table lacks a column, or the counts are of another search than the table.
    pub fn contamination(session: &Session, counts: ContaminationCounts) -> Result<Self, ReportError> {
        check_same_search(session, &counts)?;
        let Some(method) = counts.methods.first().copied() else {
            return Ok(Self::Contamination(Contaminated { counts, benchmarks: Vec::new() }));
        };
        let mut benchmarks = leaks(session, method)?;
        let params = params(session)?;
        for leaks in &mut benchmarks {
            leaks.accuracy = split_samples(session, method, &leaks.benchmark)?;
            leaks.accuracy.sort_by_key(|split| params.get(&split.run).copied());
            leaks.first.sort_by_key(|first| params.get(&first.run).copied());
        }
        Ok(Self::Contamination(Contaminated { counts, benchmarks }))
    }
}

/// Fails if the table `contamination` has other leaked items than `counts`.
pub(crate) fn check_same_search(session: &Session, counts: &ContaminationCounts) -> Result<(), ReportError> {
    let rows = session.run(
        "SELECT method, benchmark, count(DISTINCT item) AS items FROM contamination WHERE verdict = 'leak'
         GROUP BY method, benchmark",
    )?;
    let mut leaked: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    let names = rows.texts("method")?.into_iter().zip(rows.texts("benchmark")?);
    for (name, items) in names.zip(rows.numbers("items")?) {
        leaked.entry(name).or_default().0 = items.unwrap_or(0);
    }
    for rate in counts.benchmarks() {
        let name = (rate.method.name().to_owned(), rate.benchmark.clone());
        leaked.entry(name).or_default().1 = rate.leaked.count;
    }
    match leaked.into_iter().find(|(_, (table, counts))| table != counts) {
        None => Ok(()),
        Some(((method, benchmark), (table, counts))) => {
            Err(ReportError::OtherSearch { benchmark, method, table, counts })
        }
    }
}

/// For each run, the first step that used a document.
type FirstUsed = BTreeMap<String, u64>;

/// The first step of each run that used each document, by its shard and line.
fn first_used(session: &Session) -> Result<BTreeMap<(String, u64), FirstUsed>, ReportError> {
    let mut first: BTreeMap<(String, u64), FirstUsed> = BTreeMap::new();
    if !session.has("exposures") {
        return Ok(first);
    }
    let rows = session.run(
        "SELECT run, shard, line, min(step) AS step FROM exposures GROUP BY run, shard, line ORDER BY run, shard, line",
    )?;
    let places = rows.texts("shard")?.into_iter().zip(rows.numbers("line")?);
    let steps = rows.texts("run")?.into_iter().zip(rows.numbers("step")?);
    for (place, (run, step)) in places.zip(steps) {
        if let ((shard, Some(line)), Some(step)) = (place, step) {
            first.entry((shard, line)).or_default().insert(run, step);
        }
    }
    Ok(first)
}

fn leaks(session: &Session, method: Method) -> Result<Vec<Leaks>, ReportError> {
    let used = first_used(session)?;
    let rows = session.run(&format!(
        "SELECT benchmark, item, document, shard, line, score, CASE WHEN with_answer THEN 1 ELSE 0 END AS answered
         FROM contamination WHERE verdict = 'leak' AND method = '{}' ORDER BY benchmark, item, shard, line",
        method.name()
    ))?;
    let items = rows.texts("benchmark")?.into_iter().zip(rows.texts("item")?).zip(rows.texts("document")?);
    let places = rows.texts("shard")?.into_iter().zip(rows.numbers("line")?);
    let scores = rows.floats("score")?.into_iter().zip(rows.numbers("answered")?);
    let mut of_benchmark: BTreeMap<String, Vec<(Example, FirstUsed)>> = BTreeMap::new();
    for ((((benchmark, item), document), (shard, line)), (score, answered)) in items.zip(places).zip(scores) {
        let place = (shard, line.unwrap_or(0));
        let used = used.get(&place).cloned().unwrap_or_default();
        let seen = used.iter().min_by_key(|(_, step)| **step).map(|(run, step)| (run.clone(), *step));
        let with_answer = answered == Some(1);
        let place = format!("{}:{}", place.0, place.1);
        let example = Example { item, document, place, score, with_answer, seen };
        of_benchmark.entry(benchmark).or_default().push((example, used));
    }
    Ok(of_benchmark.into_iter().map(|(benchmark, leaks)| of(benchmark, leaks)).collect())
}

fn of(benchmark: String, leaks: Vec<(Example, FirstUsed)>) -> Leaks {
    // For each run, the first step at which it saw each item.
    let mut seen: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for (example, used) in &leaks {
        for (run, step) in used {
            let first = seen.entry(run.clone()).or_default().entry(example.item.clone()).or_insert(*step);
            *first = (*first).min(*step);
        }
    }
    let first = seen.into_iter().filter_map(|(run, steps)| {
        let (first, all) = (*steps.values().min()?, *steps.values().max()?);
        Some(FirstSeen { run, items: steps.len() as u64, first, all })
    });
    let mut examples: Vec<Example> = leaks.into_iter().map(|(example, _)| example).collect();
    let when = |example: &Example| example.seen.as_ref().map_or(u64::MAX, |(_, step)| *step);
    examples.sort_by(|one, two| {
        let (one, two) = ((when(one), &one.item, &one.document), (when(two), &two.item, &two.document));
        one.cmp(&two)
    });
    let mut items = BTreeSet::new();
    examples.retain(|example| items.insert(example.item.clone()));
    examples.truncate(EXAMPLES);
    let (first, items) = (first.collect(), items.len() as u64);
    Leaks { benchmark, items, first, examples, accuracy: Vec::new() }
}

/// The results of the last checkpoints for the leaked items, and for the others.
fn split_samples(session: &Session, method: Method, benchmark: &str) -> Result<Vec<Split>, ReportError> {
    if !session.has("samples") {
        return Ok(Vec::new());
    }
    let (task, method) = (benchmark.replace('\'', "''"), method.name());
    let rows = session.run(&format!(
        "WITH last AS (SELECT run, max(step) AS step FROM samples WHERE task = '{task}' GROUP BY run),
              leaked AS (SELECT DISTINCT item FROM contamination
                         WHERE benchmark = '{task}' AND verdict = 'leak' AND method = '{method}')
         SELECT s.run, s.step,
                sum(CASE WHEN leaked.item IS NOT NULL THEN 1 ELSE 0 END) AS leaked,
                sum(CASE WHEN leaked.item IS NOT NULL AND s.correct THEN 1 ELSE 0 END) AS leaked_right,
                sum(CASE WHEN leaked.item IS NULL THEN 1 ELSE 0 END) AS clean,
                sum(CASE WHEN leaked.item IS NULL AND s.correct THEN 1 ELSE 0 END) AS clean_right
         FROM samples s JOIN last ON s.run = last.run AND s.step = last.step LEFT JOIN leaked ON leaked.item = s.item
         WHERE s.task = '{task}' AND s.correct IS NOT NULL GROUP BY s.run, s.step ORDER BY s.run"
    ))?;
    let number = |name: &str| -> Result<Vec<u64>, ReportError> {
        Ok(rows.numbers(name)?.into_iter().map(|value| value.unwrap_or(0)).collect())
    };
    let (steps, leaked, leaked_right) = (number("step")?, number("leaked")?, number("leaked_right")?);
    let (clean, clean_right) = (number("clean")?, number("clean_right")?);
    let all = rows.texts("run")?.into_iter().zip(steps).zip(leaked.into_iter().zip(leaked_right));
    let all = all.zip(clean.into_iter().zip(clean_right));
    Ok(all.map(|(((run, step), leaked), clean)| Split { run, step, leaked, clean }).collect())
}

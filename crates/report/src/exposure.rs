//! Leaked items in the training of runs: the content of the section, and how it is read from the tables.

use std::collections::{BTreeMap, BTreeSet};

use retrace_analysis::exposure::{
    Checkpoint, Comparison, Effect, Item, Leak, Scored, TwinComparison, adjust, compare, compare_with_twin,
};
use retrace_query::Session;
use retrace_spec::{Step, Tokens};
use serde::Serialize;

use crate::ReportError;
use crate::contamination::ContaminationCounts;
use crate::release::check_same_search;

mod section;
mod tables;

pub(crate) use section::section;

/// The leaked items of benchmarks in runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exposures {
    /// By run, then by benchmark.
    pub exposed: Vec<Exposed>,
    /// Runs that have scores of these benchmarks and used no document that leaks them.
    pub unexposed: Vec<String>,
    /// Runs that have scores of these benchmarks and that the search did not look at.
    pub unsearched: Vec<String>,
    /// Runs of which the search did not read all shards, and how many it did not.
    pub partly_searched: Vec<(String, u64)>,
    /// Checkpoints with scores whose tokens the tables do not have; they are left out.
    pub without_tokens: u64,
}

/// The leaked items of a benchmark in a run that saw some of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exposed {
    /// The run.
    pub run: String,
    /// The benchmark.
    pub benchmark: String,
    /// What an item's score is.
    pub score: Score,
    /// Its items before and after.
    pub comparison: Comparison,
    /// The run without the leak, and the comparison with it.
    pub twin: Option<(String, TwinComparison)>,
}

/// The score of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// 1 if the answer is correct, else 0.
    Correct,
    /// The log-likelihood of the text, in nats.
    LogLikelihood,
}

/// The scores of a run on a benchmark.
#[derive(Default)]
struct Samples {
    checkpoints: BTreeMap<Step, Tokens>,
    /// By item, then by step: correct and log-likelihood; NaN where there is none.
    items: BTreeMap<String, BTreeMap<Step, [f64; 2]>>,
}

/// The leaks of a benchmark, by item, and whether all documents that leak it are in the table.
type Leaks = BTreeMap<String, BTreeMap<String, bool>>;

/// The steps at which a run saw leaked items, by benchmark and item.
type Seen = BTreeMap<(String, String), BTreeMap<String, Vec<Step>>>;

impl Exposures {
    /// The content of the tables `contamination`, `exposures`, `samples` and `checkpoints`, with the counts of the search
    /// that made the first two. `twins` has, for a run, one that was trained as it was but without the documents that leak.
    ///
    /// # Errors
    /// If a table lacks a column; if the counts are of another search than the table; if a run or its twin has no scores; if the twin saw a leak, or may have seen one because
    /// it or its shards were not searched.
    pub fn read(
        session: &Session,
        counts: &ContaminationCounts,
        twins: &BTreeMap<String, String>,
    ) -> Result<Self, ReportError> {
        check_same_search(session, counts)?;
        // The others say what the methods of papers would find.
        let leak = match counts.methods.first() {
            Some(method) => format!("verdict = 'leak' AND method = '{}'", method.name()),
            None => "false".to_owned(),
        };
        let (leaks, seen, samples) = (leaks(session, &leak)?, seen(session, &leak)?, samples(session, &leak)?);
        let searched = |run: &str| counts.runs.iter().find(|of| of.run == run);
        for (run, twin) in twins {
            let refuse = |what: String| ReportError::Twin { run: run.clone(), twin: twin.clone(), what };
            for name in [run, twin] {
                if !samples.keys().any(|(run, _)| run == name) {
                    return Err(refuse(format!("{name:?} has no scores of a benchmark with a leak")));
                }
            }
            if let Some((_, benchmark)) = seen.keys().find(|(run, _)| run == twin) {
                return Err(refuse(format!("{twin:?} saw leaked items of {benchmark:?} too")));
            }
            match searched(twin).map(|of| of.unsearched) {
                Some(0) => {}
                None => return Err(refuse(format!("the search does not name {twin:?}, which may have seen leaks"))),
                Some(shards) => {
                    return Err(refuse(format!("{shards} shards of {twin:?} were not searched and may have leaks")));
                }
            }
        }
        let mut exposed = Vec::new();
        for ((run, benchmark), of_run) in &samples {
            let Some(steps) = seen.get(&(run.clone(), benchmark.clone())) else { continue };
            let Some(leaks) = leaks.get(benchmark) else { continue };
            let score = of_run.score();
            let scored = of_run.scored(score, leaks, steps);
            let against = |twin: &String| {
                let other = samples.get(&(twin.clone(), benchmark.clone()))?.scored(score, leaks, &BTreeMap::new());
                Some((twin.clone(), compare_with_twin(&scored, &other)))
            };
            let twin = twins.get(run).and_then(against);
            let (run, benchmark) = (run.clone(), benchmark.clone());
            exposed.push(Exposed { run, benchmark, score, comparison: compare(&scored), twin });
        }
        adjust_by_run(&mut exposed);
        let runs: BTreeSet<&String> = samples.keys().map(|(run, _)| run).collect();
        let others = runs.iter().filter(|run| !exposed.iter().any(|of| of.run == ***run)).map(|run| (*run).clone());
        let (unexposed, unsearched) = others.partition(|run| searched(run).is_some());
        let partly = counts.runs.iter().filter(|of| of.unsearched > 0 && runs.contains(&of.run));
        let partly_searched = partly.map(|of| (of.run.clone(), of.unsearched)).collect();
        let without_tokens = without_tokens(session, &leak)?;
        Ok(Self { exposed, unexposed, unsearched, partly_searched, without_tokens })
    }
}

/// Adjusts the tests of each kind for the several benchmarks of a run.
fn adjust_by_run(exposed: &mut [Exposed]) {
    let kinds: [fn(&mut Exposed) -> Option<&mut Effect>; 3] = [
        |of| of.comparison.first.as_mut(),
        |of| of.comparison.last.as_mut(),
        |of| of.twin.as_mut().and_then(|(_, twin)| twin.last.as_mut()),
    ];
    for of_run in exposed.chunk_by_mut(|a, b| a.run == b.run) {
        for kind in kinds {
            adjust(&mut of_run.iter_mut().filter_map(kind).collect::<Vec<_>>());
        }
    }
}

impl Samples {
    /// Whether answers are correct, if the tables say so of any; else log-likelihoods.
    fn score(&self) -> Score {
        let known = self.items.values().flat_map(BTreeMap::values).any(|[correct, _]| correct.is_finite());
        if known { Score::Correct } else { Score::LogLikelihood }
    }

    fn scored(&self, score: Score, leaks: &BTreeMap<String, bool>, seen: &BTreeMap<String, Vec<Step>>) -> Scored {
        let item = |(id, scores): (&String, &BTreeMap<Step, [f64; 2]>)| Item {
            id: id.clone(),
            leak: match leaks.get(id) {
                None => Leak::None,
                Some(false) => Leak::PartlyKnown,
                Some(true) => Leak::Seen(seen.get(id).cloned().unwrap_or_default()),
            },
            scores: self
                .checkpoints
                .keys()
                .map(|step| {
                    let [correct, log_likelihood] = *scores.get(step)?;
                    Some(match score {
                        Score::Correct => correct,
                        Score::LogLikelihood => log_likelihood,
                    })
                })
                .collect(),
        };
        let checkpoints = self.checkpoints.iter().map(|(step, tokens)| Checkpoint { step: *step, tokens: *tokens });
        Scored { checkpoints: checkpoints.collect(), items: self.items.iter().map(item).collect() }
    }
}

fn leaks(session: &Session, leak: &str) -> Result<Leaks, ReportError> {
    let rows = session.run(&format!(
        "SELECT benchmark, item, max(left_out) AS left_out FROM contamination
         WHERE {leak} GROUP BY benchmark, item ORDER BY benchmark, item"
    ))?;
    let mut leaks = Leaks::new();
    let all = rows.texts("benchmark")?.into_iter().zip(rows.texts("item")?).zip(rows.numbers("left_out")?);
    for ((benchmark, item), left_out) in all {
        leaks.entry(benchmark).or_default().insert(item, left_out == Some(0));
    }
    Ok(leaks)
}

fn seen(session: &Session, leak: &str) -> Result<Seen, ReportError> {
    let rows = session.run(&format!(
        "SELECT DISTINCT e.run, c.benchmark, c.item, e.step
         FROM contamination c JOIN exposures e ON e.shard = c.shard AND e.line = c.line
         WHERE {leak} ORDER BY e.run, c.benchmark, c.item, e.step"
    ))?;
    let mut seen = Seen::new();
    let names = rows.texts("run")?.into_iter().zip(rows.texts("benchmark")?).zip(rows.texts("item")?);
    for (((run, benchmark), item), step) in names.zip(rows.numbers("step")?) {
        let Some(step) = step else { continue };
        seen.entry((run, benchmark)).or_default().entry(item).or_default().push(Step(step));
    }
    Ok(seen)
}

fn samples(session: &Session, leak: &str) -> Result<BTreeMap<(String, String), Samples>, ReportError> {
    let rows = session.run(&format!(
        "SELECT s.run, s.task, s.item, s.step, max(c.tokens) AS tokens,
                avg(CASE WHEN s.correct THEN 1.0 WHEN NOT s.correct THEN 0.0 END) AS correct,
                avg(s.log_likelihood) AS log_likelihood
         FROM samples s JOIN checkpoints c ON c.release = s.release AND c.run = s.run AND c.step = s.step
         WHERE c.tokens IS NOT NULL AND s.task IN (SELECT benchmark FROM contamination WHERE {leak})
         GROUP BY s.run, s.task, s.item, s.step ORDER BY s.run, s.task, s.item, s.step"
    ))?;
    let mut samples: BTreeMap<(String, String), Samples> = BTreeMap::new();
    let names = rows.texts("run")?.into_iter().zip(rows.texts("task")?).zip(rows.texts("item")?);
    let places = rows.numbers("step")?.into_iter().zip(rows.numbers("tokens")?);
    let scores = rows.floats("correct")?.into_iter().zip(rows.floats("log_likelihood")?);
    for ((((run, task), item), place), (correct, log_likelihood)) in names.zip(places).zip(scores) {
        let (Some(step), Some(tokens)) = place else { continue };
        let of = samples.entry((run, task)).or_default();
        of.checkpoints.insert(Step(step), Tokens(tokens));
        of.items.entry(item).or_default().insert(Step(step), [correct, log_likelihood]);
    }
    Ok(samples)
}

/// The checkpoints with scores whose tokens are not known.
fn without_tokens(session: &Session, leak: &str) -> Result<u64, ReportError> {
    let rows = session.run(&format!(
        "SELECT DISTINCT s.release, s.run, s.step
         FROM samples s LEFT JOIN checkpoints c ON c.release = s.release AND c.run = s.run AND c.step = s.step
         WHERE c.tokens IS NULL AND s.task IN (SELECT benchmark FROM contamination WHERE {leak})"
    ))?;
    Ok(rows.rows() as u64)
}

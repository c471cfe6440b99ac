//! The counts of a search, which a page needs besides its tables.

use retrace_analysis::contamination::Method;
use serde::{Deserialize, Serialize};

use super::{ContaminationReport, FalseAlarms, LeftOut, Rate};
use crate::numbers::counted;

/// The counts of a search for the items of benchmarks in a corpus.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContaminationCounts {
    /// The methods, ours first.
    pub methods: Vec<Method>,
    /// Documents searched.
    pub documents: u64,
    /// Items by benchmark and subset.
    pub rates: Vec<Rate>,
    /// What was found of impossible items; none if none were searched for.
    pub false_alarms: Option<Vec<FalseAlarms>>,
    /// Items of which more documents were found than are kept.
    pub left_out: Vec<LeftOut>,
    /// The runs, and what each used of the documents with a leak.
    pub runs: Vec<RunExposure>,
}

/// What a run used of the documents with a leak.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunExposure {
    /// The run.
    pub run: String,
    /// Documents with a leak.
    pub documents: u64,
    /// Of these, how many were in the batch of some step.
    pub used: u64,
    /// Of these, how many are in none of the run's token shards: it was not trained on these shards of the corpus.
    pub absent: u64,
    /// Shards of the run's token shards that the search did not read, so that it may have used leaks in them.
    pub unsearched: u64,
}

/// That shards of a run were not searched, in words.
pub fn unsearched(of: &RunExposure) -> String {
    let (shards, were) = (counted(of.unsearched, "shard"), if of.unsearched == 1 { "was" } else { "were" });
    format!("{shards} that {} was trained on {were} not searched, and may have leaks that it used", of.run)
}

impl ContaminationCounts {
    /// The counts of `report`, and what `runs` used.
    pub fn new(report: &ContaminationReport, runs: Vec<RunExposure>) -> Self {
        Self {
            methods: report.methods.clone(),
            documents: report.documents,
            rates: report.rates.clone(),
            false_alarms: report.false_alarms.clone(),
            left_out: report.left_out.clone(),
            runs,
        }
    }

    /// The rates of whole benchmarks.
    pub fn benchmarks(&self) -> impl Iterator<Item = &Rate> {
        self.rates.iter().filter(|rate| rate.subset.is_none())
    }

    /// Documents with a leak that were counted and not kept.
    pub fn leaks_left_out(&self) -> u64 {
        self.left_out.iter().map(|left_out| left_out.leaks).sum()
    }
}

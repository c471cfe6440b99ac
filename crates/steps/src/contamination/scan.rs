//! A corpus searched for the items of benchmarks, shard by shard.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use retrace_analysis::contamination::{BenchmarkItem, Impossible, Method, Outcome, Search, impossible};
use retrace_files::{Progress, Unit, hash_file};
use retrace_spec::Digest;
use serde::{Deserialize, Serialize};

use super::benchmarks;
use super::inputs::{self, Columns, Named, Skipped};
use super::shards::{Searches, Shards, Sum};
use super::state::Kept;
use crate::StepError;
use crate::step::counted;

/// A search of a corpus for the items of benchmarks.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Tasks, each a benchmark.
    pub tasks: Vec<TaskItems>,
    /// The files of benchmarks.
    pub benchmarks: Vec<Named>,
    /// Which of their columns are what.
    pub fields: Columns,
    /// The corpus's shards.
    pub corpus: Vec<Named>,
    /// Which of their columns are what.
    pub corpus_fields: Columns,
    /// How to search.
    pub methods: Vec<Method>,
    /// Whether lines and rows that cannot be read are counted and not an error.
    pub skip_unreadable: bool,
    /// Whether impossible items are searched for too, for an estimate of false alarms.
    pub impossible: bool,
    /// Of each item so many documents are kept by each method, the worst. The others are counted.
    pub most: usize,
    /// A directory in which the results of each shard are kept, and taken from if the shard and the search are the same.
    pub kept: Option<PathBuf>,
}

/// The items of a task, and the file that has them.
#[derive(Debug, Clone)]
pub struct TaskItems {
    /// The task's name.
    pub task: String,
    /// The items.
    pub items: Vec<BenchmarkItem>,
    /// Their file.
    pub file: Named,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) digest: Digest,
    /// Items or documents.
    pub(super) records: u64,
    pub(super) skipped: Skipped,
    /// What can be read in two ways, and how it was read.
    pub(super) remark: Option<String>,
}

/// What a search found.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) items: Vec<BenchmarkItem>,
    /// For each item, whether it has anything to search for.
    pub(super) searchable: Vec<bool>,
    pub(super) benchmarks: Vec<Read>,
    pub(super) shards: Vec<Read>,
    pub(super) outcome: Outcome,
    pub(super) sources: Counts,
    pub(super) languages: Counts,
    /// The impossible items, with how each was made, and what was found of them. None if they were not to be searched for.
    pub(super) impossible: Option<(Vec<(Impossible, BenchmarkItem)>, Outcome)>,
}

/// Documents by a value that they have; the empty text for those without. Of too many different values, no counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) counts: BTreeMap<String, u64>,
    pub(super) too_many: bool,
}

impl Counts {
    /// The most different values: more are no sources but identifiers.
    pub(super) const MOST: usize = 200;

    pub(super) fn add(&mut self, value: &str, documents: u64) {
        if self.too_many {
            return;
        }
        match self.counts.get_mut(value) {
            Some(count) => *count += documents,
            None => {
                self.counts.insert(value.to_owned(), documents);
            }
        }
        if self.counts.len() > Self::MOST {
            *self = Self { counts: BTreeMap::new(), too_many: true };
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if other.too_many {
            *self = other.clone();
        }
        other.counts.iter().for_each(|(value, count)| self.add(value, *count));
    }
}

impl Scan {
    /// Reads the benchmarks, then each shard once.
    pub(super) fn carry_out(&self, progress: &dyn Progress) -> Result<Scanned, StepError> {
        let (items, benchmarks) = self.benchmarks(progress)?;
        let real = Search::new(items, &self.methods)?.keeping(self.most);
        let searchable: Vec<bool> = (0..real.items().len()).map(|item| real.is_searchable(item)).collect();
        let impossible = if self.impossible {
            let items = real.items().iter().zip(&searchable).filter(|(_, searchable)| **searchable);
            self.impossible(&items.map(|(item, _)| item.clone()).collect::<Vec<_>>())?
        } else {
            None
        };
        let searches = Searches { impossible, real };
        let total = self.corpus.iter().map(|file| file.path.metadata().map_or(0, |metadata| metadata.len())).sum();
        progress.begin("searching the corpus", total, Unit::Bytes);
        let shards = Shards {
            searches: &searches,
            files: &self.corpus,
            fields: &self.corpus_fields,
            skip_unreadable: self.skip_unreadable,
            kept: self.kept.as_ref().map(|directory| Kept::new(directory, &self.search_digest(&searches))),
            progress,
        };
        let sum = shards.search();
        progress.end();
        let Sum { read, sources, languages, had, tally, impossible: of_impossible, before } = sum?;
        if before > 0 {
            progress.remark(&format!("searched before: {before} of {}", counted(self.corpus.len(), "shard")));
        }
        self.corpus_fields.check_given(&had, "document")?;
        if read.iter().all(|shard| shard.records == 0) {
            return Err(StepError::NoRecords { what: "the corpus has no document".to_owned() });
        }
        let outcome = searches.real.finish(&tally);
        let impossible = searches.impossible.zip(of_impossible).map(|((how, search), tally)| {
            let outcome = search.finish(&tally);
            (how.into_iter().zip(search.items().iter().cloned()).collect(), outcome)
        });
        // That there are none is not that they were not to be searched for.
        let none = || (Vec::new(), Outcome { findings: Vec::new(), left_out: Vec::new(), documents: 0, bytes: 0 });
        let impossible = impossible.or_else(|| self.impossible.then(none));
        let items = searches.real.items().to_vec();
        Ok(Scanned { items, searchable, benchmarks, shards: read, outcome, sources, languages, impossible })
    }

    fn benchmarks(&self, progress: &dyn Progress) -> Result<(Vec<BenchmarkItem>, Vec<Read>), StepError> {
        let files = inputs::benchmarks(&self.benchmarks)?;
        progress.begin("reading the benchmarks", files.len() as u64, Unit::Files);
        let (mut items, mut read, mut had) = (Vec::new(), Vec::new(), BTreeSet::new());
        for TaskItems { task, items: of_task, file } in &self.tasks {
            if let Some((_, other)) = files.iter().find(|(benchmark, _)| benchmark == task) {
                let what = format!("the task {task:?} and {} would both be that benchmark", other.name);
                return Err(StepError::Inputs { what });
            }
            let (size, digest) = hash_file(&file.path)?;
            let (name, records, skipped) = (file.name.clone(), of_task.len() as u64, Skipped::default());
            read.push(Read { name, size, digest, records, skipped, remark: None });
            items.extend(of_task.iter().cloned());
        }
        for (benchmark, Named { name, path }) in files {
            let (size, digest) = hash_file(path)?;
            let of = benchmarks::read(path, &benchmark, &self.fields, self.skip_unreadable)?;
            had.extend(of.had);
            let (records, skipped, remark) = (of.items.len() as u64, of.skipped, of.remark);
            read.push(Read { name: name.clone(), size, digest, records, skipped, remark });
            items.extend(of.items);
            progress.advance(1);
        }
        progress.end();
        self.fields.check_given(&had, "item of the benchmarks")?;
        for Read { name, remark, .. } in &read {
            if let Some(remark) = remark {
                progress.remark(&format!("{name}: {remark}"));
            }
        }
        Ok((items, read))
    }

    /// The search for items that no document can have.
    fn impossible(&self, items: &[BenchmarkItem]) -> Result<Option<(Vec<Impossible>, Search)>, StepError> {
        let (mut how, mut all) = (Vec::new(), Vec::new());
        for (kind, name) in [(Impossible::Shuffled, "shuffled"), (Impossible::Spliced, "spliced")] {
            let blank = |item: &BenchmarkItem| item.question.as_deref().is_none_or(|text| text.trim().is_empty());
            for mut item in impossible(items, kind).into_iter().filter(|item| !blank(item)) {
                item.benchmark = format!("{} ({name})", item.benchmark);
                how.push(kind);
                all.push(item);
            }
        }
        if all.is_empty() {
            return Ok(None);
        }
        Ok(Some((how, Search::new(all, &self.methods)?)))
    }

    /// What determines the result of a shard, apart from the shard.
    fn search_digest(&self, searches: &Searches) -> Digest {
        let methods: Vec<&str> = self.methods.iter().map(|method| method.name()).collect();
        let columns = format!("{:?}", self.corpus_fields);
        let how = (self.skip_unreadable, self.most);
        let what = (env!("CARGO_PKG_VERSION"), searches.real.items(), methods, columns, how);
        let what = serde_json::to_vec(&(what, searches.impossible.is_some())).unwrap_or_default();
        Digest::of(&what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_the_same_in_any_order() {
        let of = |from: usize, to: usize| {
            let mut counts = Counts::default();
            (from..to).for_each(|n| counts.add(&n.to_string(), 1));
            counts
        };
        let merged = |parts: &[Counts]| {
            let mut sum = Counts::default();
            parts.iter().for_each(|part| sum.merge(part));
            sum
        };
        let most = Counts::MOST;
        for (one, two) in [(of(0, 30), of(20, 50)), (of(0, most), of(1, most)), (of(0, most), of(most, most + 1))] {
            assert_eq!(merged(&[one.clone(), two.clone()]), merged(&[two, one]));
        }
        assert!(!merged(&[of(0, most), of(1, most)]).too_many);
        assert!(merged(&[of(0, most), of(most, most + 1)]).too_many);
    }
}

//! A corpus searched for the items of benchmarks, shard by shard.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use retrace_analysis::contamination::{
    BenchmarkItem, Document, Impossible, Method, Outcome, Scanner, Search, Tally, impossible,
};
use retrace_corpus::records::{Records, columns};
use retrace_files::{FileError, Progress, RegularFile, Unit, hash_file};
use retrace_spec::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::benchmarks::{self, text};
use super::inputs::{self, Columns, Layout, Named, Skipped};
use super::state::Kept;
use crate::StepError;

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
}

/// What a search found.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) items: Vec<BenchmarkItem>,
    pub(super) benchmarks: Vec<Read>,
    pub(super) shards: Vec<Read>,
    pub(super) outcome: Outcome,
    pub(super) sources: Counts,
    pub(super) languages: Counts,
    /// The impossible items, with how each was made, and what was found of them.
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

    fn add(&mut self, value: &str, documents: u64) {
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

    fn merge(&mut self, other: &Self) {
        if other.too_many {
            *self = other.clone();
        }
        other.counts.iter().for_each(|(value, count)| self.add(value, *count));
    }
}

/// What was found in one shard.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfShard {
    pub(super) documents: u64,
    pub(super) skipped: Skipped,
    pub(super) sources: Counts,
    pub(super) languages: Counts,
    pub(super) tally: Tally,
    pub(super) impossible: Option<Tally>,
}

/// The two searches of a scan.
struct Searches {
    real: Search,
    impossible: Option<(Vec<Impossible>, Search)>,
}

impl Scan {
    /// Reads the benchmarks, then each shard once.
    pub(super) fn carry_out(&self, progress: &dyn Progress) -> Result<Scanned, StepError> {
        let (items, benchmarks) = self.benchmarks(progress)?;
        let searches = Searches {
            impossible: if self.impossible { self.impossible(&items)? } else { None },
            real: Search::new(items, &self.methods)?.keeping(self.most),
        };
        let shards = &self.corpus;
        let kept = self.kept.as_ref().map(|directory| Kept::new(directory, &self.search_digest(&searches)));
        let total: u64 = shards.iter().map(|file| file.path.metadata().map_or(0, |metadata| metadata.len())).sum();
        progress.begin("searching the corpus", total, Unit::Bytes);
        let sum = Mutex::new((searches.real.tally(), searches.impossible.as_ref().map(|(_, search)| search.tally())));
        let first_failed = AtomicUsize::new(usize::MAX);
        let before = AtomicUsize::new(0);
        let read = shards.par_iter().enumerate().map(|(at, file)| {
            // Of several errors the first by name is told, whichever thread comes to it first.
            if at > first_failed.load(Ordering::Relaxed) {
                return None;
            }
            let done = self.shard(&searches, (&file.name, &file.path), kept.as_ref(), &before, progress).and_then(
                |(read, found)| {
                    // A thread that panicked has stopped the search.
                    let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    sum.0.merge(found.tally)?;
                    if let (Some(sum), Some(more)) = (&mut sum.1, found.impossible) {
                        sum.merge(more)?;
                    }
                    Ok((read, found.sources, found.languages))
                },
            );
            if done.is_err() {
                first_failed.fetch_min(at, Ordering::Relaxed);
            }
            Some(done)
        });
        let read: Vec<Option<Result<_, StepError>>> = read.collect();
        progress.end();
        match before.into_inner() {
            0 => {}
            count => progress.remark(&format!("{count} of {} shards were searched before", shards.len())),
        }
        let mut all = Vec::new();
        let (mut sources, mut languages) = (Counts::default(), Counts::default());
        for read in read.into_iter().flatten() {
            let (read, of_sources, of_languages) = read?;
            sources.merge(&of_sources);
            languages.merge(&of_languages);
            all.push(read);
        }
        if all.iter().all(|shard| shard.records == 0) {
            return Err(StepError::Inputs { what: "the corpus has no document".to_owned() });
        }
        let (tally, of_impossible) = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let outcome = searches.real.finish(&tally);
        let impossible = searches.impossible.zip(of_impossible).map(|((how, search), tally)| {
            let outcome = search.finish(&tally);
            (how.into_iter().zip(search.items().iter().cloned()).collect(), outcome)
        });
        let items = searches.real.items().to_vec();
        Ok(Scanned { items, benchmarks, shards: all, outcome, sources, languages, impossible })
    }

    fn benchmarks(&self, progress: &dyn Progress) -> Result<(Vec<BenchmarkItem>, Vec<Read>), StepError> {
        let files = inputs::benchmarks(&self.benchmarks)?;
        progress.begin("reading the benchmarks", files.len() as u64, Unit::Files);
        let (mut items, mut read, mut layouts) = (Vec::new(), Vec::new(), Vec::new());
        for TaskItems { task, items: of_task, file } in &self.tasks {
            if let Some((_, other)) = files.iter().find(|(benchmark, _)| benchmark == task) {
                let what = format!("the task {task:?} and {} would both be that benchmark", other.name);
                return Err(StepError::Inputs { what });
            }
            let (size, digest) = hash_file(&file.path)?;
            let (name, records, skipped) = (file.name.clone(), of_task.len() as u64, Skipped::default());
            read.push(Read { name, size, digest, records, skipped });
            items.extend(of_task.iter().cloned());
        }
        for (benchmark, Named { name, path }) in files {
            let (size, digest) = hash_file(path)?;
            let (more, skipped, layout) = benchmarks::read(path, &benchmark, &self.fields, self.skip_unreadable)?;
            layouts.push(layout);
            read.push(Read { name: name.clone(), size, digest, records: more.len() as u64, skipped });
            items.extend(more);
            progress.advance(1);
        }
        progress.end();
        if let Some(unused) = self.fields.unused(&layouts) {
            return Err(StepError::Inputs { what: format!("no benchmark has the column of --fields {unused}") });
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

    fn shard(
        &self,
        searches: &Searches,
        (name, path): (&str, &Path),
        kept: Option<&Kept>,
        before: &AtomicUsize,
        progress: &dyn Progress,
    ) -> Result<(Read, OfShard), StepError> {
        let (size, digest) = hash_file(path)?;
        let same = |tally: &OfShard| {
            let impossible = match (&searches.impossible, &tally.impossible) {
                (Some((_, search)), Some(tally)) => search.made(tally),
                (None, None) => true,
                _ => false,
            };
            searches.real.made(&tally.tally) && impossible
        };
        let found = match kept.and_then(|kept| kept.get(name, digest)).filter(same) {
            Some(found) => {
                before.fetch_add(1, Ordering::Relaxed);
                progress.advance(size);
                found
            }
            None => {
                let found = self.scan(searches, name, path, progress)?;
                if let Some(kept) = kept {
                    kept.put(name, digest, &found)?;
                }
                found
            }
        };
        let read =
            Read { name: name.to_owned(), size, digest, records: found.documents, skipped: found.skipped.clone() };
        Ok((read, found))
    }

    fn scan(
        &self,
        searches: &Searches,
        name: &str,
        path: &Path,
        progress: &dyn Progress,
    ) -> Result<OfShard, StepError> {
        let there = columns(RegularFile::open(path)?)?;
        let layout = self.corpus_fields.of_file(&there);
        if !there.is_empty() {
            let ledger = ["shard", "line", "rule", "detail"];
            if ledger.iter().all(|field| there.iter().any(|name| name == field)) {
                return Err(StepError::Ledger { path: path.to_owned() });
            }
            layout.check(path, &there, &["text"])?;
        }
        let mut found = OfShard {
            documents: 0,
            skipped: Skipped::default(),
            sources: Counts::default(),
            languages: Counts::default(),
            tally: searches.real.tally(),
            impossible: searches.impossible.as_ref().map(|(_, search)| search.tally()),
        };
        let mut scanners = (searches.real.scanner(), searches.impossible.as_ref().map(|(_, search)| search.scanner()));
        let mut records = Records::open(RegularFile::open(path)?, layout.all())?;
        let mut told = 0;
        while let Some(record) = records.next() {
            let (line, values) = match record {
                Ok(record) => record,
                Err(FileError::Json { line, what, .. }) => {
                    found.skipped.or_fail(self.skip_unreadable, &mut records, path, line as u64, what)?;
                    continue;
                }
                Err(other) => return Err(other.into()),
            };
            if let Err(what) = document(&mut scanners, &mut found, &layout, (name, line), &values) {
                found.skipped.or_fail(self.skip_unreadable, &mut records, path, line, what)?;
            }
            let read = records.consumed();
            progress.advance(read.saturating_sub(told));
            told = told.max(read);
        }
        Ok(found)
    }
}

/// Scans the document in a record of the shard `place.0`, at the line `place.1`.
fn document(
    scanners: &mut (Scanner<'_>, Option<Scanner<'_>>),
    found: &mut OfShard,
    layout: &Layout,
    place: (&str, u64),
    values: &[Value],
) -> Result<(), String> {
    let of = |field: &str| {
        let value = layout.of(field, values).next().unwrap_or(&Value::Null);
        text(value).map_err(|what| format!("{field} {what}"))
    };
    let (id, document, lang, source) = (of("id")?, of("text")?, of("lang")?, of("source")?);
    let document = document.ok_or("has no text")?;
    let (shard, line) = place;
    let id = id.unwrap_or_else(|| line.to_string());
    let (lang, source) = (lang.as_deref(), source.as_deref());
    let document = Document { id: &id, text: &document, lang, source, shard, line };
    scanners.0.scan(&document, &mut found.tally);
    if let (Some(scanner), Some(tally)) = (&mut scanners.1, &mut found.impossible) {
        scanner.scan(&document, tally);
    }
    found.documents += 1;
    found.sources.add(source.unwrap_or_default(), 1);
    found.languages.add(lang.unwrap_or_default(), 1);
    Ok(())
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

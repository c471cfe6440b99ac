//! The shards of a corpus, read and searched by several threads.
//!
//! Each thread reads shards, one at a time, and searches what it read. A thread that finds no shard left searches what
//! others read: they hand it batches of documents. So one large shard has all threads too, and no more documents are in
//! memory than a batch for each thread.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use retrace_analysis::contamination::{Document, Impossible, Scanner, Search, Tally};
use retrace_corpus::records::{Records, columns};
use retrace_files::{FileError, Progress, RegularFile, hash_file};
use retrace_spec::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::benchmarks::text;
use super::inputs::{Columns, Layout, Named, Skipped};
use super::scan::{Counts, Read};
use super::state::Kept;
use crate::StepError;

/// Documents are handed over when they have so many bytes of text together.
const BATCH: usize = 1 << 20;

/// What was found in one shard.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfShard {
    pub(super) documents: u64,
    pub(super) skipped: Skipped,
    pub(super) sources: Counts,
    pub(super) languages: Counts,
    /// The columns that a document has.
    pub(super) had: BTreeSet<String>,
    pub(super) tally: Tally,
    pub(super) impossible: Option<Tally>,
}

/// The two searches of a scan.
pub(super) struct Searches {
    pub(super) real: Search,
    pub(super) impossible: Option<(Vec<Impossible>, Search)>,
}

/// The results of some documents by both searches.
type Tallies = (Tally, Option<Tally>);

impl Searches {
    fn tallies(&self) -> Tallies {
        (self.real.tally(), self.impossible.as_ref().map(|(_, search)| search.tally()))
    }

    fn scanners(&self) -> Scanners<'_> {
        (self.real.scanner(), self.impossible.as_ref().map(|(_, search)| search.scanner()))
    }
}

type Scanners<'a> = (Scanner<'a>, Option<Scanner<'a>>);

fn merge(sum: &mut Tallies, more: Tallies) -> Result<(), StepError> {
    sum.0.merge(more.0)?;
    if let (Some(sum), Some(more)) = (&mut sum.1, more.1) {
        sum.merge(more)?;
    }
    Ok(())
}

/// A corpus that is searched.
pub(super) struct Shards<'a> {
    pub(super) searches: &'a Searches,
    pub(super) files: &'a [Named],
    pub(super) fields: &'a Columns,
    pub(super) skip_unreadable: bool,
    pub(super) kept: Option<Kept>,
    pub(super) progress: &'a dyn Progress,
}

/// What was found in all shards.
pub(super) struct Sum {
    pub(super) read: Vec<Read>,
    pub(super) sources: Counts,
    pub(super) languages: Counts,
    /// The columns that a document has.
    pub(super) had: BTreeSet<String>,
    pub(super) tally: Tally,
    pub(super) impossible: Option<Tally>,
    /// Shards whose results were kept before.
    pub(super) before: usize,
}

/// A shard that is searched. It is done when nobody has it any more.
struct Work {
    /// Its place among the shards.
    at: usize,
    size: u64,
    digest: Digest,
    /// What its records are, once they are all read.
    read: Mutex<Option<OfRecords>>,
    /// The results of batches, each of those that one thread had so far.
    tallies: Mutex<Vec<Tallies>>,
}

/// What the records of a shard are, without what was found in them.
#[derive(Default)]
struct OfRecords {
    documents: u64,
    skipped: Skipped,
    sources: Counts,
    languages: Counts,
    had: BTreeSet<String>,
}

/// Documents of a shard.
#[derive(Default)]
struct Batch {
    documents: Vec<Owned>,
    bytes: usize,
}

struct Owned {
    line: u64,
    id: String,
    text: String,
    lang: Option<String>,
    source: Option<String>,
}

/// What was read of a shard, its documents by source and by language, and the columns that a document has.
type ReadShard = (Read, Counts, Counts, BTreeSet<String>);

/// What the threads share.
struct Shared<'a> {
    next: AtomicUsize,
    /// Of several errors the first by name is told, whichever thread comes to it first.
    first_failed: AtomicUsize,
    before: AtomicUsize,
    sum: Mutex<Tallies>,
    done: Mutex<BTreeMap<usize, Result<ReadShard, StepError>>>,
    handed: &'a Handed,
}

/// Batches for threads that have nothing else to do.
struct Handed {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    batches: Vec<(Arc<Work>, Batch)>,
    waiting: usize,
    /// Threads that read shards, and may hand over more.
    reading: usize,
}

/// A thread that panicked has stopped the search.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handed {
    /// Gives a batch to a thread that waits for one, or back.
    fn offer(&self, work: &Arc<Work>, batch: Batch) -> Option<Batch> {
        let mut state = lock(&self.state);
        if state.waiting <= state.batches.len() {
            return Some(batch);
        }
        state.batches.push((Arc::clone(work), batch));
        self.changed.notify_one();
        None
    }

    /// Waits for a batch. None if there will be no more.
    fn take(&self) -> Option<(Arc<Work>, Batch)> {
        let mut state = lock(&self.state);
        state.waiting += 1;
        while state.batches.is_empty() && state.reading > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
        state.batches.pop()
    }
}

/// A thread that reads; dropped also if it panics, so that nobody waits for it.
struct Reading<'a>(&'a Handed);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).reading -= 1;
        self.0.changed.notify_all();
    }
}

impl Shards<'_> {
    /// Searches all shards by as many threads as rayon would use.
    pub(super) fn search(&self) -> Result<Sum, StepError> {
        let threads = rayon::current_num_threads().max(1);
        let state = Mutex::new(State { batches: Vec::new(), waiting: 0, reading: threads });
        let handed = Handed { state, changed: Condvar::new() };
        let shared = Shared {
            next: AtomicUsize::new(0),
            first_failed: AtomicUsize::new(usize::MAX),
            before: AtomicUsize::new(0),
            sum: Mutex::new(self.searches.tallies()),
            done: Mutex::new(BTreeMap::new()),
            handed: &handed,
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| self.work(&shared));
            }
        });
        let (tally, impossible) = shared.sum.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (sources, languages, before) = (Counts::default(), Counts::default(), shared.before.into_inner());
        let had = BTreeSet::new();
        let mut sum = Sum { read: Vec::new(), sources, languages, had, tally, impossible, before };
        for done in shared.done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values() {
            let (read, sources, languages, had) = done?;
            sum.had.extend(had);
            sum.sources.merge(&sources);
            sum.languages.merge(&languages);
            sum.read.push(read);
        }
        Ok(sum)
    }

    /// What one thread does.
    fn work(&self, shared: &Shared<'_>) {
        let mut scanners = self.searches.scanners();
        let reading = Reading(shared.handed);
        loop {
            let at = shared.next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = self.files.get(at) else { break };
            if at > shared.first_failed.load(Ordering::Relaxed) {
                break;
            }
            if let Err(error) = self.shard(shared, &mut scanners, at, file) {
                shared.fail(at, error);
            }
        }
        drop(reading);
        while let Some((work, batch)) = shared.handed.take() {
            self.scan(&mut scanners, &work, &batch);
            self.finish(shared, work);
        }
    }

    /// Reads the shard `file`, and searches what no other thread takes.
    fn shard(
        &self,
        shared: &Shared<'_>,
        scanners: &mut Scanners<'_>,
        at: usize,
        file: &Named,
    ) -> Result<(), StepError> {
        let (size, digest) = hash_file(&file.path)?;
        let same = |found: &OfShard| {
            let impossible = match (&self.searches.impossible, &found.impossible) {
                (Some((_, search)), Some(tally)) => search.made(tally),
                (None, None) => true,
                _ => false,
            };
            self.searches.real.made(&found.tally) && impossible
        };
        if let Some(found) = self.kept.as_ref().and_then(|kept| kept.get(&file.name, digest)).filter(same) {
            shared.before.fetch_add(1, Ordering::Relaxed);
            self.progress.advance(size);
            return self.add(shared, (at, size, digest), found);
        }
        let (read, tallies) = (Mutex::new(None), Mutex::new(Vec::new()));
        let work = Arc::new(Work { at, size, digest, read, tallies });
        let mut take = |batch: Batch, last: bool| {
            let ours = if last { Some(batch) } else { shared.handed.offer(&work, batch) };
            if let Some(batch) = ours {
                self.scan(scanners, &work, &batch);
            }
        };
        let records = self.read(&file.path, &mut take)?;
        *lock(&work.read) = Some(records);
        self.finish(shared, work);
        Ok(())
    }

    /// Reads the records of a shard and passes on their documents; with the last batch it says so.
    fn read(&self, path: &Path, take: &mut dyn FnMut(Batch, bool)) -> Result<OfRecords, StepError> {
        let there = columns(RegularFile::open(path)?, &self.fields.every())?;
        let layout = self.fields.of_file(&there);
        if !there.is_empty() {
            let ledger = ["shard", "line", "rule", "detail"];
            if ledger.iter().all(|field| there.iter().any(|name| name == field)) {
                return Err(StepError::Ledger { path: path.to_owned() });
            }
            // The first record alone does not tell what others have; those without a text are skipped.
            if !self.skip_unreadable || layout.other_name("text").is_none() {
                layout.check(path, &there, &["text"])?;
            }
        }
        let mut all = OfRecords { had: there.into_iter().collect(), ..OfRecords::default() };
        let mut records = Records::open(RegularFile::open(path)?, layout.all())?;
        let mut batch = Batch::default();
        let mut told = 0;
        while let Some(record) = records.next() {
            let (line, values) = match record {
                Ok(record) => record,
                Err(FileError::Json { line, what, .. }) => {
                    all.skipped.or_fail(self.skip_unreadable, &mut records, path, line as u64, what)?;
                    continue;
                }
                Err(other) => return Err(other.into()),
            };
            layout.note(&values, &mut all.had);
            match document(&layout, line, &values) {
                Ok(document) => {
                    all.documents += 1;
                    all.sources.add(document.source.as_deref().unwrap_or_default(), 1);
                    all.languages.add(document.lang.as_deref().unwrap_or_default(), 1);
                    batch.bytes += document.text.len();
                    batch.documents.push(document);
                }
                Err(what) => all.skipped.or_fail(self.skip_unreadable, &mut records, path, line, what)?,
            }
            if batch.bytes >= BATCH {
                take(std::mem::take(&mut batch), false);
                let read = records.consumed();
                self.progress.advance(read.saturating_sub(told));
                told = told.max(read);
            }
        }
        take(batch, true);
        self.progress.advance(records.consumed().saturating_sub(told));
        Ok(all)
    }

    fn scan(&self, scanners: &mut Scanners<'_>, work: &Work, batch: &Batch) {
        let shard = self.files.get(work.at).map_or("", |file| &file.name);
        let known = lock(&work.tallies).pop();
        let mut tallies = known.unwrap_or_else(|| self.searches.tallies());
        for Owned { line, id, text, lang, source } in &batch.documents {
            let (lang, source) = (lang.as_deref(), source.as_deref());
            let document = Document { id, text, lang, source, shard, line: *line };
            scanners.0.scan(&document, &mut tallies.0);
            if let (Some(scanner), Some(tally)) = (&mut scanners.1, &mut tallies.1) {
                scanner.scan(&document, tally);
            }
        }
        lock(&work.tallies).push(tallies);
    }

    /// Lets go of a shard, and adds what was found in it if nobody else has it and all of it was read.
    fn finish(&self, shared: &Shared<'_>, work: Arc<Work>) {
        let Some(Work { at, size, digest, read, tallies }) = Arc::into_inner(work) else { return };
        let Some(OfRecords { documents, skipped, sources, languages, had }) = read.into_inner().ok().flatten() else {
            return;
        };
        let mut sum = None;
        let all = tallies.into_inner().unwrap_or_else(PoisonError::into_inner);
        let merged = all.into_iter().try_for_each(|tallies| match &mut sum {
            None => {
                sum = Some(tallies);
                Ok(())
            }
            Some(sum) => merge(sum, tallies),
        });
        let (tally, impossible) = sum.unwrap_or_else(|| self.searches.tallies());
        let found = OfShard { documents, skipped, sources, languages, had, tally, impossible };
        let kept = merged.and_then(|()| match (&self.kept, self.files.get(at)) {
            (Some(kept), Some(file)) => kept.put(&file.name, digest, &found),
            _ => Ok(()),
        });
        if let Err(error) = kept.and_then(|()| self.add(shared, (at, size, digest), found)) {
            shared.fail(at, error);
        }
    }

    fn add(
        &self,
        shared: &Shared<'_>,
        (at, size, digest): (usize, u64, Digest),
        found: OfShard,
    ) -> Result<(), StepError> {
        merge(&mut lock(&shared.sum), (found.tally, found.impossible))?;
        let name = self.files.get(at).map_or_else(String::new, |file| file.name.clone());
        let read = Read { name, size, digest, records: found.documents, skipped: found.skipped, remark: None };
        lock(&shared.done).insert(at, Ok((read, found.sources, found.languages, found.had)));
        Ok(())
    }
}

impl Shared<'_> {
    fn fail(&self, at: usize, error: StepError) {
        self.first_failed.fetch_min(at, Ordering::Relaxed);
        lock(&self.done).insert(at, Err(error));
    }
}

/// The document in a record.
fn document(layout: &Layout, line: u64, values: &[Value]) -> Result<Owned, String> {
    let of = |field: &str| {
        let value = layout.of(field, values).next().unwrap_or(&Value::Null);
        text(value).map_err(|what| format!("{field} {what}"))
    };
    let (id, text, lang, source) = (of("id")?, of("text")?, of("lang")?, of("source")?);
    let text = text.ok_or_else(|| match layout.other_name("text") {
        Some(column) => format!("has no text in the column {column:?}"),
        None => "has no text".to_owned(),
    })?;
    Ok(Owned { line, id: id.unwrap_or_else(|| line.to_string()), text, lang, source })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use retrace_analysis::contamination::{BenchmarkItem, Method};

    use super::*;

    #[test]
    fn any_number_of_threads_finds_the_same_in_one_shard_and_in_several() {
        let question = |n: usize| {
            format!("Which of the {n} bells of Saint Oswin cracked in the winter of the long frost of 17{n}?")
        };
        let item =
            |n: usize| BenchmarkItem { id: n.to_string(), question: Some(question(n)), ..BenchmarkItem::default() };
        let search = || Search::new((10..16).map(item).collect(), &[Method::Spans]).unwrap();
        let searches = Searches { real: search(), impossible: Some((Vec::new(), search())) };
        let directory = tempfile::tempdir().unwrap();
        // One shard of several batches, and small ones. Some documents have the same id.
        let file = |name: &str, documents: usize| {
            let text = "The quiet harbour opened a new market near the old road. ".repeat(200);
            let mut lines = String::new();
            for n in 0..documents {
                let asked = if n % 3 == 0 { question(10 + n % 7) } else { String::new() };
                writeln!(
                    lines,
                    "{}",
                    serde_json::json!({"id": n / 2, "text": format!("{text}{asked} {n}"), "source": n % 2})
                )
                .unwrap();
            }
            let path = directory.path().join(name);
            std::fs::write(&path, lines).unwrap();
            Named { name: name.to_owned(), path }
        };
        let files = [file("a.jsonl", 500), file("b.jsonl", 3), file("c.jsonl", 1)];
        let fields = Columns::of_documents(&[]).unwrap();
        let searched = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let progress = &retrace_files::Silent;
            let (searches, files, fields) = (&searches, &files, &fields);
            let shards = Shards { searches, files, fields, skip_unreadable: false, kept: None, progress };
            pool.install(|| shards.search()).unwrap()
        };
        let one = searched(1);
        assert_eq!(one.tally.documents, 504);
        let findings = searches.real.finish(&one.tally).findings;
        assert!(findings.len() > 100);
        for threads in [2, 5] {
            let several = searched(threads);
            assert_eq!(several.tally, one.tally);
            assert_eq!(several.impossible, one.impossible);
            assert_eq!((several.read, several.sources), (one.read.clone(), one.sources.clone()));
            assert_eq!(searches.real.finish(&several.tally).findings, findings);
        }
    }
}

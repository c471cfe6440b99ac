//! A search: items and methods, documents scanned one at a time, verdicts at the end.

use std::collections::HashSet;

use retrace_spec::recipe::{Method, Verdict};
use thiserror::Error;

use super::finding::Finding;
use super::index::Targets;
use super::item::{BenchmarkItem, Document, Part};
use super::published::Published;
use super::spans::Scratch;
use super::tally::{Basis, Candidate, KEPT, OfItem, Tally};
use super::text::{Reader, Unit, mixed};

/// A shorter answer or solution does not give an item away without its question (`judge.rs`).
const GIVES_AWAY: f64 = 20.0;

/// Why a search cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SearchError {
    /// Nothing to search for.
    #[error("no items: there is nothing to search for")]
    NoItems,
    /// No method.
    #[error("no method: name at least one")]
    NoMethod,
    /// More items than numbers for them.
    #[error("{0} items; the most is 2^32 - 1")]
    Many(usize),
    /// Two items of one benchmark with the same id.
    #[error("two items of the benchmark {benchmark:?} have the id {id:?}; ids must be unique")]
    Twice {
        /// The benchmark.
        benchmark: String,
        /// The id.
        id: String,
    },
    /// An item of which nothing can be searched for.
    #[error("the item {id:?} of the benchmark {benchmark:?} has no question, passage, solution or answer")]
    Empty {
        /// The benchmark.
        benchmark: String,
        /// The id.
        id: String,
    },
}

/// Items and how they are searched for. Its memory depends on the items alone.
#[derive(Debug)]
pub struct Search {
    items: Vec<BenchmarkItem>,
    methods: Vec<Method>,
    reader: Reader,
    targets: Targets,
    published: Published,
    digest: u64,
    kept: usize,
}

/// Scans documents, one at a time. Each thread has its own.
#[derive(Debug)]
pub struct Scanner<'a> {
    search: &'a Search,
    units: Vec<Unit>,
    spans: Scratch,
}

/// What a search found, once all documents were scanned.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// By item, method, verdict, score and document.
    pub findings: Vec<Finding>,
    /// Items of which more documents were found than are kept.
    pub left_out: Vec<LeftOut>,
    /// Documents scanned.
    pub documents: u64,
    /// Bytes of text scanned.
    pub bytes: u64,
}

/// Documents with something of an item that were counted and not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// The method.
    pub method: Method,
    /// The item's place in the benchmarks as they were given.
    pub item: u32,
    /// How many.
    pub findings: u64,
    /// Of these, how many leak the item, by what is in the document alone.
    pub leaks: u64,
}

impl Search {
    /// A search for `items` by `methods`.
    ///
    /// # Errors
    /// If there are no items or methods, an id is there twice in a benchmark, or an item has nothing to search for.
    pub fn new(items: Vec<BenchmarkItem>, methods: &[Method]) -> Result<Self, SearchError> {
        if items.is_empty() {
            return Err(SearchError::NoItems);
        }
        if methods.is_empty() {
            return Err(SearchError::NoMethod);
        }
        if u32::try_from(items.len()).is_err() {
            return Err(SearchError::Many(items.len()));
        }
        let mut ids = HashSet::new();
        for item in &items {
            let (benchmark, id) = (item.benchmark.clone(), item.id.clone());
            if !ids.insert((&item.benchmark, &item.id)) {
                return Err(SearchError::Twice { benchmark, id });
            }
            let texts = [&item.question, &item.passage, &item.solution, &item.answer];
            if texts.into_iter().flatten().all(|text| text.trim().is_empty()) {
                return Err(SearchError::Empty { benchmark, id });
            }
        }
        drop(ids);
        let mut methods = methods.to_vec();
        methods.sort_unstable();
        methods.dedup();
        let reader = Reader::new();
        let targets = Targets::new(&items, &reader);
        let published = Published::new(&items, &methods, &reader);
        let digest = digest(&items, &methods);
        Ok(Self { items, methods, reader, targets, published, digest, kept: KEPT })
    }

    /// The same search, which keeps `most` documents of an item by a method, in place of [`KEPT`].
    #[must_use]
    pub const fn keeping(mut self, most: usize) -> Self {
        self.kept = most;
        self
    }

    /// The items, in their order.
    pub fn items(&self) -> &[BenchmarkItem] {
        &self.items
    }

    /// Whether the item number `item` has anything that a document could leak: a question with words, or an answer or
    /// solution that is long enough to give the item away.
    pub fn is_searchable(&self, item: usize) -> bool {
        let pieces = self.targets.own.get(item).map(Vec::as_slice).unwrap_or_default();
        pieces.iter().any(|own| {
            let target = own.target.and_then(|target| self.targets.all.get(target as usize));
            target.is_some_and(|target| match own.piece.part {
                Part::Question => true,
                Part::Answer | Part::Solution => target.words() >= GIVES_AWAY,
                Part::Choices | Part::Passage => false,
            })
        })
    }

    /// Results of no documents yet.
    pub fn tally(&self) -> Tally {
        Tally::new(self.digest, self.targets.seeds.len(), self.kept)
    }

    /// Whether `tally` is of this search: results that were kept may be of another one.
    pub fn made(&self, tally: &Tally) -> bool {
        (tally.search, tally.seeds.len(), tally.kept) == (self.digest, self.targets.seeds.len(), self.kept)
    }

    /// A scanner.
    pub fn scanner(&self) -> Scanner<'_> {
        Scanner { search: self, units: Vec::new(), spans: Scratch::new(&self.targets) }
    }

    /// The verdicts, now that all documents are known.
    pub fn finish(&self, tally: &Tally) -> Outcome {
        let mut findings = Vec::new();
        let mut left_out = Vec::new();
        for ((method, item), of_item) in &tally.items {
            if of_item.dropped() > 0 {
                let (method, item) = (*method, *item);
                left_out.push(LeftOut { method, item, findings: of_item.dropped(), leaks: of_item.dropped_leaks() });
            }
            for candidate in &of_item.candidates {
                let mut finding = candidate.finding.clone();
                if finding.verdict == Verdict::Leak && stock(tally, of_item, candidate) {
                    finding.verdict = Verdict::StockPhrase;
                }
                findings.push(finding);
            }
        }
        findings.sort_by(|one, two| {
            (one.item, one.method, one.verdict)
                .cmp(&(two.item, two.method, two.verdict))
                .then(two.score.total_cmp(&one.score))
                .then_with(|| (&one.shard, &one.document).cmp(&(&two.shard, &two.document)))
        });
        left_out.sort_unstable_by_key(|left_out| (left_out.item, left_out.method));
        Outcome { findings, left_out, documents: tally.documents, bytes: tally.bytes }
    }
}

/// Whether what was found is a phrase that many documents have without the rest of the item.
fn stock(tally: &Tally, of_item: &OfItem, candidate: &Candidate) -> bool {
    match candidate.basis {
        Basis::Settled => false,
        // A question that is often asked, and hardly ever with its choices or answer.
        Basis::Bare => of_item.bare >= 8 && of_item.whole * 5 < of_item.bare,
        // Documents that have the whole item have its pieces too.
        Basis::Piece => {
            let few = 3 + tally.documents / 1000 + of_item.whole;
            let count = |seed: &u32| tally.seeds.get(*seed as usize).copied().map_or(0, u64::from);
            let rare = candidate.seeds.iter().filter(|seed| count(seed) <= few).count();
            rare * 10 < candidate.seeds.len() * 3
        }
    }
}

/// Tells searches apart, so that results of one are not merged with those of another.
fn digest(items: &[BenchmarkItem], methods: &[Method]) -> u64 {
    let mut sum = items.len() as u64;
    let mut add = |text: &str| {
        for b in text.bytes().chain([0xFF]) {
            sum = (sum ^ u64::from(b)).wrapping_mul(0x100_0000_01B3);
        }
        sum = mixed(sum);
    };
    for item in items {
        let fields = [&item.subset, &item.question, &item.answer, &item.passage, &item.solution];
        add(&item.benchmark);
        add(&item.id);
        for field in fields {
            add(field.as_deref().unwrap_or("\0"));
        }
        for choice in &item.choices {
            add(choice);
        }
    }
    for method in methods {
        add(method.name());
    }
    sum
}

impl Scanner<'_> {
    /// Adds to `tally` what `document` has of the items.
    pub fn scan(&mut self, document: &Document<'_>, tally: &mut Tally) {
        tally.documents += 1;
        tally.bytes += document.text.len() as u64;
        self.search.reader.units(document.text, &mut self.units);
        if self.search.methods.contains(&Method::Spans) {
            self.spans.scan(&self.search.items, &self.search.targets, document, &self.units, tally);
        }
        self.search.published.scan(document, &self.units, tally);
    }
}

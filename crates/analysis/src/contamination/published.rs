//! The methods that others have published, by their papers' parameters, as far as they are stated for one document.
//!
//! They see an item as one text: passage, question, choices and answer, in this order. Words are runs between white
//! space, so that a Chinese clause is one word, as in their programs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use retrace_spec::recipe::{Method, Verdict};

use super::decon::Decon;
use super::finding::{Excerpt, Finding, Form, Seen};
use super::item::{BenchmarkItem, Document, Part};
use super::tally::{Basis, Candidate, Tally};
use super::text::{Reader, Unit, mixed};

/// GPT-3: the percentile of an item's words that is a benchmark's n, and its bounds.
const GPT3: (usize, usize, usize) = (5, 8, 13);

/// PaLM: words of an n-gram, and the part of an item's n-grams that a document must have.
const PALM: (usize, f64) = (8, 0.7);

/// Llama 2: a match starts with so many equal units and is longer; so many later ones may differ; an item is dirty from
/// this part of its units on, and not clean from that.
const LLAMA2: (usize, usize, f64, f64) = (10, 4, 0.8, 0.2);

/// OLMo: the fewest words of a paragraph.
const OLMO: usize = 13;

/// A word and its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    pub(super) hash: u64,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The words of `text`: between white space; in lower case and without punctuation if `plain`.
pub(super) fn words(text: &str, plain: bool) -> Vec<Word> {
    let mut words = Vec::new();
    for (start, piece) in pieces(text) {
        let mut hash: u64 = 0xCBF2_9CE4_8422_2325;
        let mut add = |c: char| hash = (hash ^ u64::from(c as u32)).wrapping_mul(0x100_0000_01B3);
        let kept = |c: char| !plain || !c.is_ascii_punctuation() && !matches!(c, '‘' | '’' | '“' | '”');
        let mut any = false;
        for c in piece.chars().filter(|c| kept(*c)) {
            any = true;
            if plain {
                c.to_lowercase().for_each(&mut add);
            } else {
                add(c);
            }
        }
        if any {
            words.push(Word { hash: mixed(hash), start, end: start + piece.len() });
        }
    }
    words
}

/// The runs between white space, and where they start.
fn pieces(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_whitespace().map(move |piece| (piece.as_ptr() as usize - text.as_ptr() as usize, piece))
}

/// The item as one text.
pub(super) fn whole(item: &BenchmarkItem) -> String {
    let mut parts: Vec<&str> = Vec::new();
    parts.extend(item.passage.as_deref());
    parts.extend(item.question.as_deref());
    parts.extend(item.choices.iter().map(String::as_str));
    parts.extend(item.answer.as_deref());
    parts.join("\n")
}

/// The hash value of each n-gram.
pub(super) fn grams(hashes: &[u64], n: usize) -> impl Iterator<Item = u64> {
    let joined = |gram: &[u64]| gram.iter().fold(0, |sum: u64, hash| mixed(sum.rotate_left(5) ^ hash));
    hashes.windows(n.max(1)).map(joined)
}

fn hashes(words: &[Word]) -> Vec<u64> {
    words.iter().map(|word| word.hash).collect()
}

/// For each n-gram, the items that have it, and where.
type Holders = HashMap<u64, Vec<(u32, u32)>>;

fn add(holders: &mut Holders, item: usize, hashes: &[u64], n: usize) {
    for (at, gram) in grams(hashes, n).enumerate() {
        holders.entry(gram).or_default().push((item as u32, at as u32));
    }
}

/// The published methods of a search.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// By n.
    gpt3: Option<BTreeMap<usize, Holders>>,
    /// And for each item the number of different n-grams.
    palm: Option<(Holders, Vec<usize>)>,
    /// And the items' units.
    llama2: Option<(Holders, Vec<Vec<u64>>)>,
    olmo: Option<Holders>,
    decon: Option<Decon>,
}

/// What a method found of an item: its score, and where in the document.
pub(super) struct Matched {
    pub(super) item: u32,
    pub(super) score: f64,
    pub(super) leak: bool,
    pub(super) place: (usize, usize),
}

impl Published {
    pub(super) fn new(items: &[BenchmarkItem], methods: &[Method], reader: &Reader) -> Self {
        let mut published = Self::default();
        let texts: Vec<String> = if methods.iter().all(|method| *method == Method::Spans) {
            Vec::new()
        } else {
            items.iter().map(whole).collect()
        };
        for method in methods {
            match method {
                Method::Spans => {}
                Method::Gpt3 => published.gpt3 = Some(gpt3(items, &texts)),
                Method::Palm => {
                    let mut holders = Holders::new();
                    let mut counts = Vec::new();
                    for (number, text) in texts.iter().enumerate() {
                        let hashes = hashes(&words(text, false));
                        add(&mut holders, number, &hashes, PALM.0);
                        counts.push(grams(&hashes, PALM.0).collect::<BTreeSet<u64>>().len());
                    }
                    published.palm = Some((holders, counts));
                }
                Method::Llama2 => {
                    let mut holders = Holders::new();
                    let mut all = Vec::new();
                    let mut units = Vec::new();
                    for (number, text) in texts.iter().enumerate() {
                        reader.units(text, &mut units);
                        let hashes: Vec<u64> = units.iter().map(|unit| unit.hash).collect();
                        add(&mut holders, number, &hashes, LLAMA2.0);
                        all.push(hashes);
                    }
                    published.llama2 = Some((holders, all));
                }
                Method::Olmo => {
                    let mut holders = Holders::new();
                    for (number, text) in texts.iter().enumerate() {
                        for (hash, _) in paragraphs(text) {
                            holders.entry(hash).or_default().push((number as u32, 0));
                        }
                    }
                    published.olmo = Some(holders);
                }
                Method::Decon => published.decon = Some(Decon::new(items)),
            }
        }
        published
    }

    /// Adds to `tally` what the methods find in `document`, whose units are `units`.
    pub(super) fn scan(&self, document: &Document<'_>, units: &[Unit], tally: &mut Tally) {
        let plain = if self.gpt3.is_some() || self.decon.is_some() { words(document.text, true) } else { Vec::new() };
        if let Some(by_n) = &self.gpt3 {
            add_all(tally, document, Method::Gpt3, any_gram(by_n, &plain));
        }
        if let Some((holders, counts)) = &self.palm {
            add_all(tally, document, Method::Palm, most_grams(holders, counts, &words(document.text, false)));
        }
        if let Some((holders, items)) = &self.llama2 {
            add_all(tally, document, Method::Llama2, skipgrams(holders, items, units));
        }
        if let Some(holders) = &self.olmo {
            let mut found = BTreeMap::new();
            for (hash, place) in paragraphs(document.text) {
                for (item, _) in holders.get(&hash).into_iter().flatten() {
                    found.entry(*item).or_insert(Matched { item: *item, score: 1.0, leak: true, place });
                }
            }
            add_all(tally, document, Method::Olmo, found.into_values().collect());
        }
        if let Some(decon) = &self.decon {
            add_all(tally, document, Method::Decon, decon.scan(&plain));
        }
    }
}

fn add_all(tally: &mut Tally, document: &Document<'_>, method: Method, matched: Vec<Matched>) {
    for Matched { item, score, leak, place } in matched {
        let seen = Seen {
            part: Part::Question,
            form: Form::Edited,
            score,
            units: 0,
            found: 0,
            item: Vec::new(),
            document: vec![(place.0 as u64, place.1 as u64)],
        };
        let finding = Finding {
            method,
            item,
            document: document.id.to_owned(),
            shard: document.shard.to_owned(),
            line: document.line,
            lang: document.lang.map(str::to_owned),
            source: document.source.map(str::to_owned),
            verdict: if leak { Verdict::Leak } else { Verdict::NearMiss },
            score,
            excerpt: Excerpt::of(document.text, std::slice::from_ref(&seen)),
            seen: vec![seen],
            with_answer: false,
        };
        tally.add(Candidate { finding, basis: Basis::Settled, seeds: Vec::new() });
    }
}

/// The n-grams of each benchmark, whose n is the 5th percentile of its items' words, from 8 to 13.
fn gpt3(items: &[BenchmarkItem], texts: &[String]) -> BTreeMap<usize, Holders> {
    let mut of_benchmark: BTreeMap<&str, Vec<(usize, Vec<u64>)>> = BTreeMap::new();
    for (number, (item, text)) in items.iter().zip(texts).enumerate() {
        of_benchmark.entry(&item.benchmark).or_default().push((number, hashes(&words(text, true))));
    }
    let mut by_n: BTreeMap<usize, Holders> = BTreeMap::new();
    for items in of_benchmark.into_values() {
        let mut lengths: Vec<usize> = items.iter().map(|(_, hashes)| hashes.len()).collect();
        lengths.sort_unstable();
        let n = lengths.get(lengths.len() * GPT3.0 / 100).copied().unwrap_or(0).clamp(GPT3.1, GPT3.2);
        let holders = by_n.entry(n).or_default();
        for (number, hashes) in items {
            add(holders, number, &hashes, n);
        }
    }
    by_n
}

/// Items of which the document has any n-gram. The score is 1.
fn any_gram(by_n: &BTreeMap<usize, Holders>, words: &[Word]) -> Vec<Matched> {
    let hashes = hashes(words);
    let mut found: BTreeMap<u32, Matched> = BTreeMap::new();
    for (n, holders) in by_n {
        for (at, gram) in grams(&hashes, *n).enumerate() {
            for (item, _) in holders.get(&gram).into_iter().flatten() {
                let place = place(words, at, at + n);
                let matched = found.entry(*item).or_insert(Matched { item: *item, score: 1.0, leak: true, place });
                matched.place.1 = place.1;
            }
        }
    }
    found.into_values().collect()
}

/// Items and the part of their n-grams that the document has.
fn most_grams(holders: &Holders, counts: &[usize], words: &[Word]) -> Vec<Matched> {
    let hashes = hashes(words);
    let mut found: BTreeMap<u32, (BTreeSet<u64>, (usize, usize))> = BTreeMap::new();
    for (at, gram) in grams(&hashes, PALM.0).enumerate() {
        for (item, _) in holders.get(&gram).into_iter().flatten() {
            let place = place(words, at, at + PALM.0);
            let (grams, whole) = found.entry(*item).or_insert((BTreeSet::new(), place));
            grams.insert(gram);
            whole.1 = place.1;
        }
    }
    let matched = |(item, (grams, place)): (u32, (BTreeSet<u64>, (usize, usize)))| {
        let score = grams.len() as f64 / counts.get(item as usize).copied().unwrap_or(1).max(1) as f64;
        Matched { item, score, leak: score >= PALM.1, place }
    };
    found.into_iter().map(matched).collect()
}

/// Items and the part of their units within matches: ten equal ones, then more of which four may differ, the last not.
fn skipgrams(holders: &Holders, items: &[Vec<u64>], units: &[Unit]) -> Vec<Matched> {
    let hashes: Vec<u64> = units.iter().map(|unit| unit.hash).collect();
    let mut found: BTreeMap<u32, (Vec<bool>, (usize, usize))> = BTreeMap::new();
    for (j, gram) in grams(&hashes, LLAMA2.0).enumerate() {
        for (item, i) in holders.get(&gram).into_iter().flatten() {
            let Some(of_item) = items.get(*item as usize) else { continue };
            let i = *i as usize;
            let (mut length, mut skipped) = (LLAMA2.0, 0);
            for k in LLAMA2.0.. {
                let (Some(one), Some(two)) = (of_item.get(i + k), hashes.get(j + k)) else { break };
                if one == two {
                    length = k + 1;
                } else {
                    skipped += 1;
                    if skipped > LLAMA2.1 {
                        break;
                    }
                }
            }
            if length > LLAMA2.0 {
                let start = units.get(j).map_or(0, |unit| unit.start);
                let end = units.get(j + length - 1).map_or(start, |unit| unit.end);
                let (marked, place) = found.entry(*item).or_insert((vec![false; of_item.len()], (start, end)));
                marked.iter_mut().skip(i).take(length).for_each(|unit| *unit = true);
                place.1 = place.1.max(end);
            }
        }
    }
    let matched = |(item, (marked, place)): (u32, (Vec<bool>, (usize, usize)))| {
        let score = marked.iter().filter(|unit| **unit).count() as f64 / marked.len() as f64;
        (score >= LLAMA2.3).then_some(Matched { item, score, leak: score >= LLAMA2.2, place })
    };
    found.into_iter().filter_map(matched).collect()
}

/// The hash values of the paragraphs (lines) of at least 13 words with a letter or digit, and their places.
fn paragraphs(text: &str) -> Vec<(u64, (usize, usize))> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split('\n') {
        let trimmed = line.trim();
        if line.split_whitespace().count() >= OLMO && trimmed.chars().any(char::is_alphanumeric) {
            let hash = trimmed.bytes().fold(0, |sum: u64, b| mixed(sum ^ u64::from(b)));
            found.push((hash, (start, start + line.len())));
        }
        start += line.len() + 1;
    }
    found
}

/// The bytes of the words from `from` to before `to`.
pub(super) fn place(words: &[Word], from: usize, to: usize) -> (usize, usize) {
    let start = words.get(from).map_or(0, |word| word.start);
    (start, words.get(to.saturating_sub(1).min(words.len().saturating_sub(1))).map_or(start, |word| word.end))
}

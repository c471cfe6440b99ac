//! decon, as its program does it (allenai/decon, OLMo 3), on words in place of its tokens.
//!
//! Every tenth 5-gram of a document is looked up. From a hit, the cluster grows to both sides until an item's n-grams
//! are missed eleven times in a row. Question, answer and passage are scored by the inverse document frequency of their
//! n-grams among items, ln(N / df), and weighted 0.7, 0.2 and 0.1 (0.75 and 0.25 without passage, 0.85 and 0.15 without
//! answer). The threshold is 0.8, and 1 for items of 20 words and fewer, linear up to 50 words.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::item::BenchmarkItem;
use super::published::{Matched, Word, grams, place, words};

const N: usize = 5;
const PASSAGE_N: usize = 4;
const ANSWER_N: usize = 3;
const SAMPLED: usize = 10;
const MISSES: usize = 11;
const PASSAGE_MISSES: usize = 2;
const THRESHOLD: f64 = 0.8;
/// Items with fewer words or different words are left out.
const FEWEST: (usize, usize) = (20, 4);
/// An answer of so many words and fewer must stand within so many words of the question, in this form.
const SHORT_ANSWER: (usize, usize) = (3, 50);
/// A longer one within so many words, or twice its length.
const NEAR: usize = 100;

/// N-grams, how many items have each, and what an item's weigh together.
#[derive(Debug, Default)]
struct Grams {
    holders: HashMap<u64, Vec<u32>>,
    idf: HashMap<u64, f64>,
    whole: Vec<f64>,
}

impl Grams {
    fn new(texts: &[Vec<u64>], n: usize) -> Self {
        let mut all = Self::default();
        let sets: Vec<BTreeSet<u64>> = texts.iter().map(|hashes| grams(hashes, n).collect()).collect();
        for (number, set) in sets.iter().enumerate() {
            for gram in set {
                all.holders.entry(*gram).or_default().push(number as u32);
            }
        }
        let count = texts.iter().filter(|text| !text.is_empty()).count() as f64;
        all.idf = all.holders.iter().map(|(gram, holders)| (*gram, libm::log(count / holders.len() as f64))).collect();
        all.whole = sets.iter().map(|set| all.sum(set.iter())).collect();
        all
    }

    /// In the order of `grams`, which must not depend on a hash map.
    fn sum<'a>(&self, grams: impl Iterator<Item = &'a u64>) -> f64 {
        grams.map(|gram| self.idf.get(gram).copied().unwrap_or(0.0)).sum()
    }

    fn part(&self, item: u32, found: &BTreeSet<u64>) -> f64 {
        let whole = self.whole.get(item as usize).copied().unwrap_or(0.0);
        if whole > 0.0 { self.sum(found.iter()) / whole } else { 0.0 }
    }

    fn has(&self, gram: u64, item: u32) -> bool {
        self.holders.get(&gram).is_some_and(|holders| holders.binary_search(&item).is_ok())
    }
}

/// The index.
#[derive(Debug)]
pub(super) struct Decon {
    questions: Grams,
    passages: Grams,
    answers: Grams,
    /// Words of the question, passage and answer; the question's are none if the item is left out.
    items: Vec<[Vec<u64>; 3]>,
}

impl Decon {
    pub(super) fn new(items: &[BenchmarkItem]) -> Self {
        let read = |text: &str| words(text, true).iter().map(|word| word.hash).collect::<Vec<u64>>();
        let items: Vec<[Vec<u64>; 3]> = items
            .iter()
            .map(|item| {
                let question = [item.question.as_deref().unwrap_or_default(), &item.choices.join(" ")].join(" ");
                let parts = [
                    &question,
                    item.passage.as_deref().unwrap_or_default(),
                    item.answer.as_deref().unwrap_or_default(),
                ];
                let [mut question, passage, answer] = parts.map(read);
                let different = question.iter().collect::<BTreeSet<_>>().len();
                if question.len() + passage.len() + answer.len() < FEWEST.0 || different < FEWEST.1 {
                    question.clear();
                }
                [question, passage, answer]
            })
            .collect();
        let of = |part: usize, n: usize| {
            let texts: Vec<Vec<u64>> = items.iter().map(|item| item.get(part).cloned().unwrap_or_default()).collect();
            Grams::new(&texts, n)
        };
        Self { questions: of(0, N), passages: of(1, PASSAGE_N), answers: of(2, ANSWER_N), items }
    }

    pub(super) fn scan(&self, words: &[Word]) -> Vec<Matched> {
        let hashes: Vec<u64> = words.iter().map(|word| word.hash).collect();
        let all: Vec<u64> = grams(&hashes, N).collect();
        let mut best: BTreeMap<u32, Matched> = BTreeMap::new();
        let mut done: BTreeMap<u32, usize> = BTreeMap::new();
        for at in (0..all.len()).step_by(SAMPLED) {
            let Some(gram) = all.get(at) else { continue };
            for item in self.questions.holders.get(gram).into_iter().flatten() {
                if done.get(item).is_some_and(|end| at < *end) {
                    continue;
                }
                let has = |gram: u64| self.questions.has(gram, *item);
                let (from, to, found) = grown(&all, at, MISSES, has);
                done.insert(*item, to);
                let score = self.score(*item, &found, (from, to + N - 1), &hashes);
                let Some(length) =
                    self.items.get(*item as usize).map(|parts| parts.iter().map(Vec::len).sum::<usize>())
                else {
                    continue;
                };
                // 1 up to 20 words, then falling to 0.8 at 50.
                let threshold = THRESHOLD + (1.0 - THRESHOLD) * ((50.0 - length as f64) / 30.0).clamp(0.0, 1.0);
                let matched = Matched {
                    item: *item,
                    score,
                    leak: score >= threshold - 1e-12,
                    place: place(words, from, to + N - 1),
                };
                match best.get(item) {
                    Some(known) if known.score >= score => {}
                    _ => drop(best.insert(*item, matched)),
                }
            }
        }
        best.into_values().filter(|matched| matched.score >= 0.3).collect()
    }

    fn score(&self, item: u32, found: &BTreeSet<u64>, cluster: (usize, usize), hashes: &[u64]) -> f64 {
        let question = self.questions.part(item, found);
        let Some([_, passage, answer]) = self.items.get(item as usize) else { return 0.0 };
        let near = |margin: usize| {
            hashes.get(cluster.0.saturating_sub(margin)..(cluster.1 + margin).min(hashes.len())).unwrap_or_default()
        };
        let answered = || {
            if answer.len() <= SHORT_ANSWER.0 {
                let there = near(SHORT_ANSWER.1).windows(answer.len()).any(|window| window == answer.as_slice());
                return if there { 1.0 } else { 0.0 };
            }
            let found = grams(near(NEAR.max(2 * answer.len())), ANSWER_N);
            self.answers.part(item, &found.filter(|gram| self.answers.has(*gram, item)).collect())
        };
        let passed = || {
            let all: Vec<u64> = grams(near(2 * passage.len() + NEAR), PASSAGE_N).collect();
            let has = |gram: u64| self.passages.has(gram, item);
            let mut best: f64 = 0.0;
            let mut at = 0;
            while at < all.len() {
                if all.get(at).is_some_and(|gram| has(*gram)) {
                    let (_, to, found) = grown(&all, at, PASSAGE_MISSES, has);
                    best = best.max(self.passages.part(item, &found));
                    at = to;
                }
                at += 1;
            }
            best
        };
        match (answer.is_empty(), passage.is_empty()) {
            (true, true) => question,
            (false, true) => 0.75 * question + 0.25 * answered(),
            (true, false) => 0.85 * question + 0.15 * passed(),
            (false, false) => 0.7 * question + 0.2 * answered() + 0.1 * passed(),
        }
    }
}

/// From `at` to both sides until the n-grams of an item are missed more than `misses` times in a row: the first hit,
/// the end of the last, and the n-grams that were found.
fn grown(all: &[u64], at: usize, misses: usize, has: impl Fn(u64) -> bool) -> (usize, usize, BTreeSet<u64>) {
    let mut found = BTreeSet::new();
    let mut walk = |places: &mut dyn Iterator<Item = usize>| {
        let (mut last, mut missed) = (at, 0);
        for place in places {
            match all.get(place) {
                Some(gram) if has(*gram) => {
                    found.insert(*gram);
                    (last, missed) = (place, 0);
                }
                _ => missed += 1,
            }
            if missed >= misses {
                break;
            }
        }
        last
    };
    let from = walk(&mut (0..=at).rev());
    let to = walk(&mut (at..all.len())) + 1;
    (from, to, found)
}

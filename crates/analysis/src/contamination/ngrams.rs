//! Searches a corpus for the items of a benchmark, in English, Chinese or both.
//!
//! A text is split into units. After NFKC and lower-casing, every Han or kana character is one unit, and so
//! is every other run of letters and digits between white space. All other characters are removed, including
//! ideographic and full-width punctuation. An item is represented by its n-grams of units. Its overlap with a
//! document is the fraction of these n-grams that the document has. So line breaks, case, punctuation and
//! width do not hide an item, and Chinese text, which has no white space between words, has n-grams too.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;

use super::text::is_cjk;

/// The default length of an n-gram, in units.
pub const LENGTH: usize = 8;

/// An item whose overlap with a document is at least this is flagged.
pub const THRESHOLD: f64 = 0.5;

/// An item with fewer units cannot be judged: such a short text occurs anywhere.
pub const SHORTEST: usize = 4;

/// An item of a benchmark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Unique in the benchmark.
    pub id: String,
    /// The text that is searched for.
    pub text: String,
}

/// An item that shares n-grams with a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// The item's id.
    pub item: String,
    /// The fraction of the item's n-grams that the document has, above 0.
    pub overlap: f64,
    /// Whether that is at least [`THRESHOLD`].
    pub flagged: bool,
}

/// The results of a search, by task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// The tasks, in the order in which they were given.
    pub tasks: Vec<TaskCounts>,
}

/// The result of a search for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskCounts {
    /// The task.
    pub task: String,
    /// Its items.
    pub items: u64,
    /// Items whose overlap with some document is at least [`THRESHOLD`].
    pub flagged: u64,
    /// Items of fewer than [`SHORTEST`] units, which were not searched for.
    pub too_short: u64,
}

/// Why an index cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IndexError {
    /// The n-grams are too short to be significant.
    #[error("n-grams of {0} units are too short and match everywhere; the minimum is {SHORTEST}")]
    Length(usize),
    /// Two items with the same id.
    #[error("two items have the id {0:?}; ids must be unique")]
    Twice(String),
}

/// The n-grams of a benchmark's items. Its memory depends on the items; documents are processed one at a time.
#[derive(Debug)]
pub struct Index {
    /// The number of every unit of an item. Other units occur in no item.
    units: HashMap<String, u32>,
    /// For each length, n-grams and their numbers. All have the same length except those of short items.
    grams: BTreeMap<usize, HashMap<Box<[u32]>, usize>>,
    /// For each n-gram, the items that contain it.
    holders: Vec<Vec<usize>>,
    /// For each item, its id and its number of different n-grams.
    items: Vec<(String, usize)>,
    too_short: Vec<String>,
}

impl Index {
    /// The index of `items` with n-grams of `n` units. An item of fewer than `n` units is one n-gram of its full
    /// length; one of fewer than [`SHORTEST`] is [`Self::too_short`].
    ///
    /// # Errors
    /// If `n` is below [`SHORTEST`], or two items have the same id.
    pub fn new(items: &[Item], n: usize) -> Result<Self, IndexError> {
        if n < SHORTEST {
            return Err(IndexError::Length(n));
        }
        let mut index = Self {
            units: HashMap::new(),
            grams: BTreeMap::new(),
            holders: Vec::new(),
            items: Vec::new(),
            too_short: Vec::new(),
        };
        let mut ids = HashSet::new();
        for item in items {
            if !ids.insert(&item.id) {
                return Err(IndexError::Twice(item.id.clone()));
            }
            let mut numbers = Vec::new();
            for_each_unit(&item.text, |unit| {
                let next = index.units.len() as u32;
                numbers.push(*index.units.entry(unit.to_owned()).or_insert(next));
            });
            if numbers.len() < SHORTEST {
                index.too_short.push(item.id.clone());
                continue;
            }
            let length = n.min(numbers.len());
            let of_length = index.grams.entry(length).or_default();
            let different: BTreeSet<&[u32]> = numbers.windows(length).collect();
            for gram in &different {
                let number = *of_length.entry(Box::from(*gram)).or_insert(index.holders.len());
                match index.holders.get_mut(number) {
                    Some(holders) => holders.push(index.items.len()),
                    None => index.holders.push(vec![index.items.len()]),
                }
            }
            index.items.push((item.id.clone(), different.len()));
        }
        Ok(index)
    }

    /// The number of items that can be found.
    pub const fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether no item can be found.
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The items of fewer than [`SHORTEST`] units, which are not searched for, in their order.
    pub fn too_short(&self) -> &[String] {
        &self.too_short
    }

    /// The items that share at least one n-gram with `document`, in the order of the index.
    pub fn scan(&self, document: &str) -> Vec<Hit> {
        // A unit that is in no item has no number and ends every n-gram.
        let mut numbers = Vec::new();
        for_each_unit(document, |unit| numbers.push(self.units.get(unit).copied()));
        let mut found = HashSet::new();
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for run in numbers.split(Option::is_none) {
            let run: Vec<u32> = run.iter().copied().flatten().collect();
            for (length, grams) in &self.grams {
                for number in run.windows(*length).filter_map(|gram| grams.get(gram)) {
                    if found.insert(*number) {
                        for item in self.holders.get(*number).into_iter().flatten() {
                            *counts.entry(*item).or_insert(0) += 1;
                        }
                    }
                }
            }
        }
        let hits = counts.into_iter().filter_map(|(item, count)| {
            let (id, of) = self.items.get(item)?;
            let overlap = count as f64 / *of as f64;
            Some(Hit { item: id.clone(), overlap, flagged: overlap >= THRESHOLD })
        });
        hits.collect()
    }
}

/// Passes every unit of `text` to `take`, in order.
fn for_each_unit(text: &str, mut take: impl FnMut(&str)) {
    let mut word = String::new();
    for c in text.nfkc().flat_map(char::to_lowercase) {
        let alone = is_cjk(c);
        if alone || c.is_whitespace() {
            if !word.is_empty() {
                take(&word);
                word.clear();
            }
            if alone {
                take(c.encode_utf8(&mut [0; 4]));
            }
        } else if c.is_alphanumeric() {
            word.push(c);
        }
    }
    if !word.is_empty() {
        take(&word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn units(text: &str) -> Vec<String> {
        let mut units = Vec::new();
        for_each_unit(text, |unit| units.push(unit.to_owned()));
        units
    }

    fn item(id: &str, text: &str) -> Item {
        Item { id: id.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn units_are_as_described() {
        // By hand.
        for (text, expected) in [
            ("", ""),
            ("Don't stop, it's 3.14!", "dont stop its 314"),
            ("在Python里写3个函数。", "在 python 里 写 3 个 函 数"),
            ("ＡＢＣ　１２３，（全角）", "abc 123 全 角"),
            ("一\u{3000}二、「三」…\n四\u{200B}五", "一 二 三 四 五"),
            ("ｶﾞ々〇 한국어 text", "ガ 々 〇 한국어 text"),
            ("①㍿ﬁ", "1 株 式 会 社 fi"),
            ("𠀀🙂x", "𠀀 x"),
        ] {
            assert_eq!(units(text).join(" "), expected, "{text}");
        }
    }

    const EN: &str = "A train leaves the station at nine in the morning and travels north at sixty miles an hour; \
                      how far has it gone when the clock strikes noon?";
    const ZH: &str = "在下列四个选项中，哪一个城市曾经是唐朝的都城，并且位于今天的陕西省境内？";

    fn index() -> Index {
        let items = [item("en", EN), item("zh", ZH), item("ab", "短"), item("short", "the capital of France")];
        Index::new(&items, LENGTH).unwrap()
    }

    fn flagged(index: &Index, document: &str) -> Vec<String> {
        index.scan(document).into_iter().filter(|hit| hit.flagged).map(|hit| hit.item).collect()
    }

    #[test]
    fn planted_items_are_found_and_clean_texts_are_not() {
        let index = index();
        assert_eq!(index.too_short(), ["ab"]);
        assert_eq!(index.len(), 3);
        let full_width = |text: &str| -> String {
            let wide = |c: char| match c {
                '!'..='~' => char::from_u32(c as u32 + 0xFEE0).unwrap(),
                ' ' => '\u{3000}',
                c => c,
            };
            text.chars().map(wide).collect()
        };
        let long = "The quick brown fox has nothing to do with any of it. 春眠不觉晓，处处闻啼鸟。\n".repeat(500);
        for (id, text) in [("en", EN), ("zh", ZH)] {
            let planted = [
                text.to_owned(),
                text.replace(' ', "\n"),
                text.chars()
                    .enumerate()
                    .map(|(i, c)| if i % 11 == 10 && id == "zh" { format!("{c}\n") } else { c.to_string() })
                    .collect(),
                text.to_uppercase().replace([',', ';', '，'], " -- "),
                full_width(text),
                format!("{long}{text}\n{long}"),
            ];
            for document in planted {
                let hits = index.scan(&document);
                assert_eq!(hits, [Hit { item: id.to_owned(), overlap: 1.0, flagged: true }], "{id}");
            }
        }
        let spaced: String = ZH.chars().map(|c| format!("{c} ")).collect();
        assert_eq!(flagged(&index, &spaced), ["zh"]);
        assert_eq!(flagged(&index, "Question: what is The Capital, of France?"), ["short"]);
        assert_eq!(flagged(&index, "the capital, as it were, of France"), [""; 0]);
        assert_eq!(index.scan(&long), []);
        assert_eq!(index.scan(""), []);
        // Half of an item's n-grams flag it, fewer do not.
        let words: Vec<&str> = EN.split(' ').collect();
        let grams = words.len() - LENGTH + 1;
        for kept in LENGTH..=words.len() {
            let hits = index.scan(&words[..kept].join(" "));
            let overlap = (kept - LENGTH + 1) as f64 / grams as f64;
            assert_eq!(hits, [Hit { item: "en".to_owned(), overlap, flagged: overlap >= 0.5 }]);
        }
    }

    #[test]
    fn what_cannot_be_indexed_is_refused() {
        assert_eq!(Index::new(&[], 3).unwrap_err(), IndexError::Length(3));
        assert_eq!(Index::new(&[item("a", EN), item("a", ZH)], 8).unwrap_err(), IndexError::Twice("a".to_owned()));
        assert!(Index::new(&[], 8).unwrap().scan(EN).is_empty());
    }

    /// The definition, literally, without an index.
    fn overlap(item: &str, document: &str, n: usize) -> Option<f64> {
        let (item, document) = (units(item), units(document));
        if item.len() < SHORTEST {
            return None;
        }
        let length = n.min(item.len());
        let grams: BTreeSet<&[String]> = item.windows(length).collect();
        let found = grams.iter().filter(|gram| document.windows(length).any(|window| window == **gram)).count();
        Some(found as f64 / grams.len() as f64)
    }

    proptest! {
        #[test]
        fn agrees_with_brute_force(
            items in prop::collection::vec("[ab 一二，]{0,30}", 0..8),
            documents in prop::collection::vec("[abc 一二三。\n]{0,80}", 1..4),
            n in 4usize..7,
        ) {
            let items: Vec<Item> = items.iter().enumerate().map(|(i, text)| item(&i.to_string(), text)).collect();
            let index = Index::new(&items, n).unwrap();
            for document in documents {
                let expected: Vec<Hit> = items
                    .iter()
                    .filter_map(|item| Some((item.id.clone(), overlap(&item.text, &document, n)?)))
                    .filter(|(_, overlap)| *overlap > 0.0)
                    .map(|(item, overlap)| Hit { item, overlap, flagged: overlap >= THRESHOLD })
                    .collect();
                prop_assert_eq!(index.scan(&document), expected);
            }
        }
    }
}

//! Writes a corpus with known leaks for `benches/contamination.sh`: twenty benchmarks, documents that have their items
//! in the forms of `tests/labelled` or are its hard negatives, and others between them that have no item, of words drawn
//! by Zipf's law. One benchmark is written by hand, five are made from patterns, and fourteen have questions of their
//! own words. The same arguments give the same bytes.
//!
//! ```text
//! contamination_set DIRECTORY MEGABYTES SHARDS
//! ```
//!
//! `benchmarks/NAME.jsonl` have the items, `corpus/part-N.jsonl` the documents (`id`, `text`), and `labels.jsonl` what
//! each labelled document is: its `kind`, and the `benchmark` and `item` that it leaks, if any.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, dead_code, unreachable_pub)]

#[path = "../tests/labelled/forms.rs"]
mod forms;
#[path = "../tests/labelled/invented.rs"]
mod invented;
#[path = "../tests/labelled/set.rs"]
mod set;
#[path = "../tests/labelled/texts.rs"]
mod texts;
#[path = "../tests/labelled/traditional.rs"]
mod traditional;

use std::fs::{File, create_dir_all};
use std::io::{BufWriter, Write};
use std::path::Path;

use forms::Random;
use retrace_analysis::contamination::BenchmarkItem;
use serde_json::json;
use set::Set;

const BENCHMARKS: u64 = 20;
/// The benchmarks before this are written by hand or made from patterns.
const PATTERNS: u64 = 6;
/// Items of each other benchmark, and how many of them are planted.
const ITEMS: (usize, usize) = (500, 100);

/// Words of the vocabulary, with those of the items.
const WORDS: usize = 40_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, megabytes, shards] = &arguments[..] else { panic!("DIRECTORY MEGABYTES SHARDS") };
    let directory = Path::new(directory);
    let (bytes, shards) = (megabytes.parse::<usize>().unwrap() * 1_000_000, shards.parse::<usize>().unwrap());
    for name in ["benchmarks", "corpus"] {
        create_dir_all(directory.join(name)).unwrap();
    }
    let mut labels = BufWriter::new(File::create(directory.join("labels.jsonl")).unwrap());
    let mut planted: Vec<(String, String)> = Vec::new();
    let words = Words::new();
    for number in 0..BENCHMARKS {
        let benchmark = format!("b{number:02}");
        let set = benchmark_set(number, &words);
        let mut file = BufWriter::new(
            File::create(directory.join("benchmarks").join(&benchmark).with_extension("jsonl")).unwrap(),
        );
        for item in &set.items {
            let row = json!({
                "id": item.id, "question": item.question, "choices": item.choices, "answer": item.answer,
                "passage": item.passage, "solution": item.solution,
            });
            writeln!(file, "{row}").unwrap();
        }
        for (at, document) in set.documents.into_iter().enumerate() {
            let id = format!("{benchmark}-{at}");
            let item = document.leaked.map(|item| set.items[item].id.clone());
            let label = json!({"document": id, "kind": document.kind, "benchmark": benchmark, "item": item});
            writeln!(labels, "{label}").unwrap();
            planted.push((id, document.text));
        }
    }
    let mut random = Random(77);
    random.shuffle(&mut planted);
    let per_shard = bytes / shards;
    let mut number = 0;
    for shard in 0..shards {
        let path = directory.join("corpus").join(format!("part-{shard:02}.jsonl"));
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
        let mut of_shard = planted.iter().skip(shard).step_by(shards);
        let mean = per_shard / planted.len().div_ceil(shards);
        let (mut written, mut next) = (0, mean);
        let mut write = |id: &str, text: &str| {
            writeln!(file, "{}", json!({"id": id, "text": text})).unwrap();
            text.len()
        };
        while written < per_shard {
            if written >= next {
                if let Some((id, text)) = of_shard.next() {
                    written += write(id, text);
                }
                next += mean;
            }
            number += 1;
            written += write(&format!("d{number}"), &words.text(&mut random));
        }
        for (id, text) in of_shard {
            write(id, text);
        }
    }
}

fn benchmark_set(number: u64, words: &Words) -> Set {
    if number == 0 {
        return set::written(1);
    }
    let mut random = Random(1000 + number);
    let mut set = Set::default();
    // Pairs of an English and a Chinese item.
    let add = |set: &mut Set, random: &mut Random, items: usize| match number {
        1..PATTERNS => invented::add(set, random, items / 2),
        _ => (0..items).for_each(|_| words.item(set, random)),
    };
    add(&mut set, &mut random, ITEMS.1);
    let all = set.items.len();
    set.plant(&mut random, 0..all, 4);
    set.negatives(&mut random, 1);
    add(&mut set, &mut random, ITEMS.0 - ITEMS.1);
    set
}

/// Words by how often they are drawn.
struct Words {
    words: Vec<String>,
    /// The sum of 1 / (rank + 2) up to each.
    sums: Vec<f64>,
}

impl Words {
    /// First those that English texts have most, then invented ones.
    fn new() -> Self {
        let most = "the of and to a in is it you that he was for on are with as his they be at one have this from or had by not but \
            what all were when we there can an your which their said if do will each about how up out them then she many some so \
            these would other into has more her two like him see time could no make than first been its who now people my made over \
            did down only way find use may water long little very after words called just where most know get through back much";
        let mut words: Vec<String> = most.split_whitespace().map(str::to_owned).collect();
        let mut random = Random(5);
        let syllables = [
            "ba", "cor", "den", "fi", "gal", "hu", "jen", "ki", "lor", "ma", "nis", "o", "per", "qua", "ri", "sto",
            "tan", "ul", "ver", "wi",
        ];
        while words.len() < WORDS {
            let count = 2 + random.below(3);
            words.push((0..count).map(|_| syllables[random.below(syllables.len())]).collect());
        }
        let mut sum = 0.0;
        let add = |rank: usize| {
            sum += 1.0 / (rank + 2) as f64;
            sum
        };
        let sums = (0..words.len()).map(add).collect();
        Self { words, sums }
    }

    fn word(&self, random: &mut Random) -> &str {
        let at = (random.next() >> 11) as f64 / (1_u64 << 53) as f64 * self.sums[self.sums.len() - 1];
        &self.words[self.sums.partition_point(|sum| *sum < at).min(self.words.len() - 1)]
    }

    fn words(&self, random: &mut Random, count: usize) -> String {
        (0..count).map(|_| self.word(random)).collect::<Vec<_>>().join(" ")
    }

    /// Adds an item with a question of 8 to 60 words, half of them short, and choices or an answer.
    fn item(&self, set: &mut Set, random: &mut Random) {
        let count = if random.below(2) == 0 { 6 + random.below(6) } else { 16 + random.below(44) };
        let question = format!("What {} {}?", random.of(&["is", "did", "makes", "could"]), self.words(random, count));
        let mut choices = Vec::new();
        for _ in 0..4 * random.below(2) {
            let count = 1 + random.below(4);
            choices.push(self.words(random, count));
        }
        let answer = choices.first().cloned().unwrap_or_else(|| self.words(random, 3));
        set.add(false, &question, BenchmarkItem { choices, answer: Some(answer), ..BenchmarkItem::default() });
    }

    /// A document: paragraphs of sentences, from 0.3 to 10 kB, most of them short.
    fn text(&self, random: &mut Random) -> String {
        let length = 300 + random.below(100) * random.below(100);
        let mut text = String::with_capacity(length + 200);
        while text.len() < length {
            for at in 0..6 + random.below(18) {
                let word = self.word(random);
                if at == 0 {
                    text.push_str(&word[..1].to_uppercase());
                    text.push_str(&word[1..]);
                } else {
                    text.push_str(if random.below(12) == 0 { ", " } else { " " });
                    text.push_str(word);
                }
            }
            text.push_str(if random.below(6) == 0 { ".\n\n" } else { ". " });
        }
        text
    }
}

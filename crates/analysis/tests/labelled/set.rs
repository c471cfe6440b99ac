//! A labelled set: items, and documents with and without them.

use std::fs;
use std::path::Path;

use retrace_analysis::contamination::BenchmarkItem;
use serde_json::Value;

use super::forms::{self, Random, plain, prose, sentence};
use super::{invented, texts};

/// A document and what is in it.
pub(crate) struct Labelled {
    pub(crate) text: String,
    /// The form of the leak, or the kind of the negative.
    pub(crate) kind: &'static str,
    /// The item that is leaked.
    pub(crate) leaked: Option<usize>,
}

#[derive(Default)]
pub(crate) struct Set {
    pub(crate) items: Vec<BenchmarkItem>,
    /// Whether each item is Chinese, and its question with values in braces.
    pub(crate) about: Vec<(bool, String)>,
    pub(crate) documents: Vec<Labelled>,
    /// Texts to plant items in, English and Chinese. Without any, invented sentences are.
    hosts: [Vec<String>; 2],
}

impl Set {
    pub(crate) fn add(&mut self, zh: bool, slotted: &str, mut item: BenchmarkItem) -> usize {
        item.id = format!("{}", self.items.len());
        if item.benchmark.is_empty() {
            item.benchmark = if zh { "own-zh" } else { "own-en" }.to_owned();
        }
        item.question = Some(plain(slotted));
        self.items.push(item);
        self.about.push((zh, slotted.to_owned()));
        self.items.len() - 1
    }

    fn document(&mut self, random: &mut Random, zh: bool, kind: &'static str, leaked: Option<usize>, text: &str) {
        let hosts = &self.hosts[usize::from(zh)];
        let around = |random: &mut Random| {
            let sentences = 2 + random.below(12);
            if hosts.is_empty() {
                return prose(random, zh, sentences);
            }
            let host = &hosts[random.below(hosts.len())];
            host.chars().skip(random.below(200)).take(60 * sentences).collect()
        };
        let (before, after) = (around(random), around(random));
        let joint = if random.below(2) == 0 { "\n" } else { "\n\n" };
        let text = format!("{before}{joint}{text}{joint}{after}");
        self.documents.push(Labelled { text, kind, leaked });
    }

    /// Documents with the items from `range` in `count` forms each.
    pub(crate) fn plant(&mut self, random: &mut Random, range: std::ops::Range<usize>, count: usize) {
        for number in range {
            let item = self.items[number].clone();
            let zh = self.about[number].0;
            let mut all = vec![
                "verbatim",
                "own paragraph",
                "short lines",
                "mid-sentence",
                "case and punctuation",
                "tenth replaced",
                "question only",
                "markup",
                "json",
                "full width",
            ];
            if !item.choices.is_empty() {
                all.push("choices reordered");
            }
            if zh {
                all.extend(["traditional", "spaced"]);
            }
            if item.passage.is_some() {
                all.extend(["half passage", "half passage"]);
            }
            random.shuffle(&mut all);
            for kind in all.into_iter().take(count) {
                self.plant_one(random, number, kind);
            }
        }
    }

    fn plant_one(&mut self, random: &mut Random, number: usize, kind: &'static str) {
        let item = self.items[number].clone();
        let zh = self.about[number].0;
        let question = item.question.clone().unwrap();
        let whole = whole(&item, &item.choices, zh);
        let text = match kind {
            "verbatim" => whole,
            "own paragraph" => format!("\n\n{question}\n\n"),
            "short lines" => forms::short_lines(&whole, zh),
            "mid-sentence" => {
                let before = sentence(random, zh);
                let before = before.trim_end_matches(['.', ' ', '。']);
                let after = sentence(random, zh);
                if zh {
                    format!("{before}，有人问{question}，{after}")
                } else {
                    format!("{before} and someone asked {question} whereupon {after}")
                }
            }
            "case and punctuation" => forms::case_punctuation(&whole, random),
            "tenth replaced" => forms::tenth_replaced(&whole, random, zh),
            "question only" => question,
            "choices reordered" => {
                let mut choices = item.choices.clone();
                random.shuffle(&mut choices);
                self::whole(&item, &choices, zh)
            }
            "half passage" => {
                let passage = item.passage.clone().unwrap();
                let middle = passage.chars().count() / 2;
                let half: String = if random.below(2) == 0 {
                    passage.chars().take(middle).collect()
                } else {
                    passage.chars().skip(middle).collect()
                };
                format!("{half}\n{question}")
            }
            "traditional" => forms::traditional(&whole),
            "spaced" => forms::spaced(&whole),
            "markup" => forms::markup(&whole, random),
            "json" => forms::json(&whole, random),
            "full width" => forms::full_width(&whole),
            _ => unreachable!("{kind}"),
        };
        self.document(random, zh, kind, Some(number), &text);
    }

    /// Documents that give no item away, from what the items and the stock texts have.
    pub(crate) fn negatives(&mut self, random: &mut Random, count: usize) {
        for number in 0..self.items.len() {
            let item = self.items[number].clone();
            let (zh, slotted) = self.about[number].clone();
            if slotted.contains('{') {
                for _ in 0..2 {
                    let other = forms::other_values(&slotted, random);
                    self.document(random, zh, "other values", None, &other);
                }
            }
            if let Some(passage) = &item.passage {
                let around = format!("{}{passage}{}", prose(random, zh, 3), prose(random, zh, 3));
                self.document(random, zh, "source of a passage", None, &around);
                let half: String = passage.chars().take(passage.chars().count() / 2).collect();
                self.document(random, zh, "source of a passage", None, &half);
            }
            // A whole solution that is long and rare gives its item away; the result does not.
            if let Some(answer) = item.answer.as_deref().and_then(|answer| answer.rsplit("#### ").next()) {
                let said = if zh {
                    format!("大家都认为是{answer}。")
                } else {
                    format!("In the end it was {answer}, of course.")
                };
                self.document(random, zh, "answer only", None, &said);
            }
            let topic = topic(item.question.as_deref().unwrap(), random, zh);
            self.document(random, zh, "same topic", None, &topic);
        }
        for _ in 0..count {
            for (kind, text, _) in texts::STOCK {
                self.document(random, !text.is_ascii(), kind, None, text);
            }
            for (instruction, _) in texts::INSTRUCTIONS {
                let zh = !instruction.is_ascii();
                let text = format!("{instruction}\n{}", sentence(random, zh));
                self.document(random, zh, "instruction", None, &text);
            }
            for scaffold in texts::SCAFFOLDS {
                self.document(random, !scaffold.is_ascii(), "scaffold", None, scaffold);
            }
            for code in texts::BOILERPLATE {
                self.document(random, false, "boilerplate", None, code);
            }
            self.document(random, false, "truth table", None, texts::TRUTH_TABLE);
            for zh in [false, true] {
                let text = prose(random, zh, 12);
                self.document(random, zh, "clean", None, &text);
            }
        }
    }
}

/// An item as a page has it.
fn whole(item: &BenchmarkItem, choices: &[String], zh: bool) -> String {
    let mut text = item.passage.clone().map_or_else(String::new, |passage| passage + "\n");
    text += item.question.as_deref().unwrap();
    for (choice, letter) in choices.iter().zip('A'..) {
        text += &format!("\n{letter}. {choice}");
    }
    if let Some(answer) = &item.answer {
        text += &if zh { format!("\n答案：{answer}") } else { format!("\nAnswer: {answer}") };
    }
    text
}

/// Sentences about what the question is about, with its words in another order.
fn topic(question: &str, random: &mut Random, zh: bool) -> String {
    if zh {
        let chars: Vec<char> = question.chars().filter(|c| *c >= '\u{4E00}' && *c < '\u{A000}').collect();
        let mut pairs: Vec<String> = chars.chunks(2).map(|two| two.iter().collect()).collect();
        random.shuffle(&mut pairs);
        return pairs.iter().map(|pair| format!("{pair}，{}", sentence(random, true))).collect();
    }
    let mut words: Vec<&str> = question.split(' ').collect();
    random.shuffle(&mut words);
    words.chunks(2).map(|two| format!("{}{} ", sentence(random, false), two.join(" "))).collect()
}

fn split(line: &str) -> Vec<String> {
    line.split('|').map(str::to_owned).collect()
}

/// The items written by hand, and questions that quote stock texts.
pub(crate) fn written(seed: u64) -> Set {
    let mut random = Random(seed);
    let mut set = Set::default();
    let choices = |random: &mut Random, of: &[String]| {
        let mut choices = of.to_vec();
        random.shuffle(&mut choices);
        choices
    };
    for (zh, short, long, reading) in [
        (false, texts::SHORT_EN, texts::LONG_EN, texts::READING_EN),
        (true, texts::SHORT_ZH, texts::LONG_ZH, texts::READING_ZH),
    ] {
        for line in short {
            let parts = split(line);
            let choices = choices(&mut random, &parts[1..]);
            set.add(
                zh,
                &parts[0],
                BenchmarkItem { choices, answer: Some(parts[1].clone()), ..BenchmarkItem::default() },
            );
        }
        for line in long {
            let parts = split(line);
            let (solution, answer) = (Some(parts[1].clone()), Some(parts[2].clone()));
            set.add(zh, &parts[0], BenchmarkItem { solution, answer, ..BenchmarkItem::default() });
        }
        for line in reading {
            let parts = split(line);
            let choices = choices(&mut random, &parts[2..]);
            let (passage, answer) = (Some(parts[0].clone()), Some(parts[2].clone()));
            set.add(zh, &parts[1], BenchmarkItem { passage, choices, answer, ..BenchmarkItem::default() });
        }
    }
    for (instruction, ask) in texts::INSTRUCTIONS {
        let zh = !instruction.is_ascii();
        set.add(zh, &format!("{instruction}{}{ask}", if zh { "" } else { " " }), BenchmarkItem::default());
    }
    for (_, text, question) in texts::STOCK {
        set.add(!text.is_ascii(), &question.replace("{}", text), BenchmarkItem::default());
    }
    let code = "from typing import List\n\n\ndef merged_tides(tables: List[int]) -> int:\n    \"\"\"Merge tide tables of two harbours \
                and return how often both have high water within the same hour.\"\"\"\n";
    set.add(false, code, BenchmarkItem::default());
    let planted = set.items.len();
    // These have nothing of their own, and are never leaked.
    let truth = format!("Complete the truth table.\n{}", texts::TRUTH_TABLE);
    set.add(false, &truth, BenchmarkItem::default());
    let scaffold = ["true", "false", "all of the above", "none of the above"].map(str::to_owned).to_vec();
    set.add(
        false,
        "Which of the following statements is true?",
        BenchmarkItem { choices: scaffold, answer: Some("B".to_owned()), ..BenchmarkItem::default() },
    );
    let scaffold = ["以上都对", "以上都不对", "只有①正确", "只有②正确"].map(str::to_owned).to_vec();
    set.add(
        true,
        "下列说法正确的是",
        BenchmarkItem { choices: scaffold, answer: Some("A".to_owned()), ..BenchmarkItem::default() },
    );
    set.plant(&mut random, 0..planted, 5);
    set.negatives(&mut random, 4);
    set
}

/// Items of GSM8K and BBH in documents of the corpus. Their numbers are in braces.
pub(crate) fn real(data: &Path, seed: u64) -> Set {
    let mut random = Random(seed);
    let mut set = Set::default();
    let lines = |path: &Path| fs::read_to_string(path).unwrap();
    let field = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
    for (shard, zh) in [("en-00000", false), ("en-00004", false), ("zh-00000", true), ("zh-00006", true)] {
        for line in lines(&data.join("corpus/clean").join(shard).with_extension("jsonl")).lines() {
            set.hosts[usize::from(zh)].push(field(&serde_json::from_str(line).unwrap(), "text"));
        }
    }
    let gsm8k = lines(&data.join("bench/gsm8k/grade_school_math/data/test.jsonl"));
    for line in gsm8k.lines().step_by(6) {
        let item: Value = serde_json::from_str(line).unwrap();
        let answer = Some(field(&item, "answer"));
        set.add(false, &braces(&field(&item, "question")), BenchmarkItem { answer, ..BenchmarkItem::default() });
    }
    // Tasks whose items have words of their own.
    for task in
        ["causal_judgement", "disambiguation_qa", "formal_fallacies", "movie_recommendation", "ruin_names", "snarks"]
    {
        let file: Value =
            serde_json::from_str(&lines(&data.join("bench/bbh/bbh").join(task).with_extension("json"))).unwrap();
        for item in file["examples"].as_array().unwrap().iter().step_by(12) {
            let (answer, subset) = (Some(field(item, "target")), Some(task.to_owned()));
            set.add(false, &field(item, "input"), BenchmarkItem { answer, subset, ..BenchmarkItem::default() });
        }
    }
    let english = set.items.len();
    for (zh, slotted, item) in
        written(seed).about.into_iter().zip(written(seed).items).map(|((zh, slotted), item)| (zh, slotted, item))
    {
        if zh && item.passage.is_none() && item.answer.is_some() && slotted.chars().count() > 10 {
            set.add(zh, &slotted, item);
        }
    }
    let all = set.items.len();
    assert!(english > 250 && all > english + 20);
    set.plant(&mut random, 0..all, 4);
    set.negatives(&mut random, 2);
    set
}

/// `text` with every number in braces.
fn braces(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in text.chars() {
        if c.is_ascii_digit() != inside {
            out.push(if inside { '}' } else { '{' });
            inside = !inside;
        }
        out.push(c);
    }
    if inside { out + "}" } else { out }
}

/// Texts of one form as items, in a corpus that has many others of the form.
pub(crate) fn of_a_form(seed: u64) -> Set {
    let mut random = Random(seed);
    let mut set = Set::default();
    let mut known = [Vec::new(), Vec::new()];
    for zh in [false, true] {
        for _ in 0..30 {
            let values = invented::values(&mut random, zh);
            set.add(zh, &invented::of_a_form(&values, zh), BenchmarkItem::default());
            known[usize::from(zh)].push(values);
        }
    }
    // Half of the items are leaked.
    for range in [0..15, 30..45] {
        set.plant(&mut random, range, 4);
    }
    for number in 0..600 {
        let zh = number % 2 == 1;
        let values = loop {
            let values = invented::values(&mut random, zh);
            let same = |known: &Vec<&str>| known.iter().zip(&values).filter(|(one, other)| one == other).count();
            // With half of the values it could as well be the item with some words replaced.
            if known[usize::from(zh)].iter().all(|known| same(known) < 4) {
                break values;
            }
        };
        set.document(&mut random, zh, "another of the form", None, &invented::of_a_form(&values, zh));
    }
    set
}

/// Items made from patterns.
pub(crate) fn invented(seed: u64) -> Set {
    let mut random = Random(seed);
    let mut set = Set::default();
    invented::add(&mut set, &mut random, 60);
    let all = set.items.len();
    set.plant(&mut random, 0..all, 4);
    set.negatives(&mut random, 2);
    set
}

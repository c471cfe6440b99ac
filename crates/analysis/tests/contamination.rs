//! The methods compared on sets of documents whose leaks are known.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, unreachable_pub)]

#[path = "labelled/forms.rs"]
mod forms;
#[path = "labelled/invented.rs"]
mod invented;
#[path = "labelled/real_data.rs"]
mod real_data;
#[path = "labelled/set.rs"]
mod set;
#[path = "labelled/texts.rs"]
mod texts;
#[path = "labelled/traditional.rs"]
mod traditional;

use std::collections::BTreeMap;

use proptest::prelude::*;
use retrace_analysis::contamination::{
    BenchmarkItem, Document, Finding, Form, Impossible, KEPT, LeftOut, Method, OtherSearch, Outcome, Part, Search,
    SearchError, Tally, Verdict, impossible,
};
use set::{Labelled, Set};

/// What a method made of a set.
#[derive(Default)]
struct Score {
    /// By form: leaks found, and all.
    forms: BTreeMap<&'static str, (usize, usize)>,
    /// By kind of negative, and by form if another item was flagged: false alarms, and documents.
    alarms: BTreeMap<&'static str, (usize, usize)>,
    short: (usize, usize),
    right: usize,
    wrong: usize,
    missed: usize,
}

impl Score {
    fn precision(&self) -> f64 {
        self.right as f64 / (self.right + self.wrong).max(1) as f64
    }
    fn recall(&self) -> f64 {
        self.right as f64 / (self.right + self.missed).max(1) as f64
    }
    fn f1(&self) -> f64 {
        2.0 * self.precision() * self.recall() / (self.precision() + self.recall()).max(1e-9)
    }
}

fn outcome(set: &Set, methods: &[Method]) -> Outcome {
    let search = Search::new(set.items.clone(), methods).unwrap();
    let mut tally = search.tally();
    let mut scanner = search.scanner();
    for (number, document) in set.documents.iter().enumerate() {
        let id = number.to_string();
        let (text, line) = (&document.text, number as u64 + 1);
        scanner.scan(&Document { id: &id, text, lang: None, source: None, shard: "s", line }, &mut tally);
    }
    search.finish(&tally)
}

/// A question of fewer than 13 words, or of fewer than 20 characters.
fn is_short(set: &Set, item: usize) -> bool {
    let question = set.items[item].question.as_deref().unwrap();
    if set.about[item].0 { question.chars().count() < 20 } else { question.split_whitespace().count() < 13 }
}

fn score(set: &Set, findings: &[Finding], method: Method, show: bool) -> Score {
    let mut score = Score::default();
    let mut by_document: BTreeMap<usize, Vec<&Finding>> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.method == method) {
        by_document.entry(finding.document.parse().unwrap()).or_default().push(finding);
    }
    for (number, Labelled { text, kind, leaked, .. }) in set.documents.iter().enumerate() {
        let findings = by_document.get(&number).map(Vec::as_slice).unwrap_or_default();
        let flagged: Vec<usize> = findings
            .iter()
            .filter(|finding| finding.verdict == Verdict::Leak)
            .map(|finding| finding.item as usize)
            .collect();
        let wrong: Vec<usize> =
            flagged.iter().copied().filter(|item| Some(*item) != *leaked && !same(set, *item, *leaked)).collect();
        let alarm = score.alarms.entry(kind).or_default();
        alarm.0 += usize::from(!wrong.is_empty());
        alarm.1 += 1;
        score.wrong += usize::from(!wrong.is_empty());
        if show && !wrong.is_empty() {
            let item = &set.items[wrong[0]];
            eprintln!(
                "ALARM {kind}: {:?}\n   item {:?}\n   text {:?}",
                findings.iter().map(|f| (f.verdict, f.score)).collect::<Vec<_>>(),
                item.question,
                text
            );
        }
        let Some(item) = leaked else { continue };
        let found = flagged.contains(item);
        let form = score.forms.entry(kind).or_default();
        form.0 += usize::from(found);
        form.1 += 1;
        if is_short(set, *item) {
            score.short.0 += usize::from(found);
            score.short.1 += 1;
        }
        score.right += usize::from(found);
        score.missed += usize::from(!found);
        if show && !found {
            let what: Vec<_> =
                findings.iter().filter(|f| f.item as usize == *item).map(|f| (f.verdict, f.score)).collect();
            eprintln!("MISSED {kind}: {what:?}\n   item {:?}\n   text {:?}", set.items[*item].question, text);
        }
    }
    score
}

/// Whether two items have the same question, without the choices: either is right then.
fn same(set: &Set, one: usize, other: Option<usize>) -> bool {
    let stem = |item: usize| set.items[item].question.as_deref().unwrap().split("Options:").next();
    other.is_some_and(|other| stem(one) == stem(other))
}

fn print(name: &str, scores: &[(Method, Score)]) {
    println!("\n{name}");
    print!("{:<24}", "");
    for (method, _) in scores {
        print!("{:>12}", method.name());
    }
    let row = |name: &str, of: &dyn Fn(&Score) -> String| {
        print!("\n{name:<24}");
        for (_, score) in scores {
            print!("{:>12}", of(score));
        }
    };
    let first = &scores[0].1;
    for form in first.forms.keys() {
        row(form, &|score| format!("{}/{}", score.forms[form].0, score.forms[form].1));
    }
    row("short questions", &|score| format!("{}/{}", score.short.0, score.short.1));
    print!("\n-- false alarms");
    for kind in first.alarms.keys() {
        row(kind, &|score| format!("{}/{}", score.alarms[kind].0, score.alarms[kind].1));
    }
    row("precision", &|score| format!("{:.3}", score.precision()));
    row("recall", &|score| format!("{:.3}", score.recall()));
    row("F1", &|score| format!("{:.3}", score.f1()));
    println!();
}

fn show() -> bool {
    std::env::var_os("SHOW").is_some()
}

/// Prints the table of a set, and checks what our method must reach on it.
fn compared(name: &str, set: &Set) {
    let outcome = outcome(set, &Method::ALL);
    let shown = |method| show() && method == Method::Spans;
    let scores: Vec<(Method, Score)> =
        Method::ALL.into_iter().map(|method| (method, score(set, &outcome.findings, method, shown(method)))).collect();
    print(name, &scores);
    let ours = &scores[0].1;
    assert!(ours.precision() >= 0.97 && ours.f1() >= 0.95, "{} {}", ours.precision(), ours.f1());
    for (form, (found, all)) in &ours.forms {
        assert!(*found as f64 >= 0.85 * *all as f64, "{form}: {found} of {all}");
    }
    assert!(ours.short.0 as f64 >= 0.9 * ours.short.1 as f64);
    for (method, other) in &scores[1..] {
        assert!(ours.f1() > other.f1() && ours.recall() > other.recall(), "{}", method.name());
    }
}

#[test]
fn leaks_are_found_and_hard_negatives_are_not() {
    for seed in 1..4 {
        compared(&format!("written by hand, seed {seed}"), &set::written(seed));
    }
}

#[test]
fn items_of_a_pattern_are_told_apart() {
    for seed in 1..3 {
        compared(&format!("made from patterns, seed {seed}"), &set::invented(seed));
    }
}

#[test]
fn texts_of_a_form_are_told_apart() {
    for seed in 1..3 {
        compared(&format!("texts of one form, seed {seed}"), &set::of_a_form(seed));
    }
}

#[test]
fn another_subject_with_an_answer_of_many_items_is_no_leak() {
    let towns = ["Greywick", "Larkmead", "Aldermoor", "Brackwater"];
    // Each part of a name is in several items.
    let first = ["Nell", "Caspar", "Hugo", "Mara", "Ilse", "Oren", "Petra"];
    let last = ["Tarn", "Holm", "Quill", "Brisk", "Velt", "Oakes", "Fenn"];
    let others = ["Caspar Holm", "Mara Tarn", "Ilse Holm", "Nell Brisk"];
    let names: Vec<String> = first.iter().flat_map(|one| last.map(|two| format!("{one} {two}"))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| !others.contains(name)).collect();
    let items: Vec<BenchmarkItem> = (0..)
        .zip(&names)
        .map(|(at, name)| BenchmarkItem {
            benchmark: "facts".to_owned(),
            id: (*name).to_owned(),
            question: Some(format!("The home of {name} is in")),
            choices: towns.map(str::to_owned).to_vec(),
            answer: Some(towns[at % 4].to_owned()),
            ..BenchmarkItem::default()
        })
        .collect();
    // The same sentence about others, with the same towns; and one item as it is.
    let texts = [
        "We walked for a week. The home of Caspar Holm is in Brackwater. It rains in Greywick, Larkmead and Aldermoor.",
        "We walked for a week. The home of Mara Tarn is in Greywick. It rains in Brackwater, Larkmead and Aldermoor.",
        "We walked for a week. The home of Ilse Velt is in Aldermoor. It rains in Greywick, Larkmead and Brackwater.",
        "We walked for a week. The home of Ilse Holm is in the hills.",
        "We walked for a week. The home of Nell Brisk is in the north, they say.",
    ];
    let search = Search::new(items.clone(), &[Method::Spans]).unwrap();
    let (mut scanner, mut tally) = (search.scanner(), search.tally());
    for (line, text) in (1..).zip(texts) {
        let id = line.to_string();
        let document = Document { id: &id, text, lang: None, source: None, shard: "a", line };
        scanner.scan(&document, &mut tally);
    }
    let outcome = search.finish(&tally);
    let leaks = outcome.findings.iter().filter(|finding| finding.verdict == Verdict::Leak);
    let leaks: Vec<(&str, u64)> = leaks.map(|leak| (items[leak.item as usize].id.as_str(), leak.line)).collect();
    assert_eq!(leaks, [("Ilse Velt", 3)]);
}

/// What our method says of `items` in each of `texts`.
fn found(items: &[BenchmarkItem], texts: &[String]) -> Vec<Finding> {
    let search = Search::new(items.to_vec(), &[Method::Spans]).unwrap();
    let (mut scanner, mut tally) = (search.scanner(), search.tally());
    for (line, text) in (1..).zip(texts) {
        let id = line.to_string();
        scanner.scan(&Document { id: &id, text, lang: None, source: None, shard: "a", line }, &mut tally);
    }
    search.finish(&tally).findings
}

#[test]
fn a_list_of_the_choices_does_not_give_the_answer() {
    let choices = ["the crop", "the gizzard", "the hindgut", "the spiracle"].map(str::to_owned).to_vec();
    let question = "Which organ of a honeybee stores the nectar that it gathers?".to_owned();
    let item = BenchmarkItem {
        id: "1".to_owned(),
        question: Some(question.clone()),
        answer: choices.get(2).cloned(),
        choices,
        ..BenchmarkItem::default()
    };
    let list = format!("{question}\nA. the crop\nB. the gizzard\nC. the hindgut\nD. the spiracle\n");
    // Choices elsewhere are no list.
    let elsewhere = "It is not the gizzard that matters to a bee. Others say so of the crop.";
    let texts = [
        list.clone(),
        format!("{list}Answer: A"),
        format!("{list}Answer: C"),
        format!("{list}The correct answer is (C)."),
        format!("{list}It is the hindgut."),
        format!("{question} the hindgut"),
        format!("{question} the crop"),
        format!("{question} The hindgut. {elsewhere}"),
    ];
    let mut findings = found(&[item], &texts);
    findings.sort_by_key(|finding| finding.line);
    assert!(findings.iter().all(|finding| finding.verdict == Verdict::Leak));
    let with_answer: Vec<bool> = findings.iter().map(|finding| finding.with_answer).collect();
    assert_eq!(with_answer, [false, false, true, true, true, true, false, true]);
}

#[test]
fn a_copy_is_found_in_scripts_without_spaces() {
    // Questions with their answers' form, and another sentence of the language, written for this test.
    for (question, other) in [
        ("แม่น้ำสายใดไหลผ่านเมืองเก่าที่มีสะพานไม้สามแห่ง", "ชาวบ้านนำผลไม้ไปขายที่ตลาดทุกเช้าวันเสาร์"),
        ("ແມ່ນ້ຳສາຍໃດໄຫຼຜ່ານເມືອງເກົ່າທີ່ມີຂົວໄມ້ສາມແຫ່ງ", "ຊາວບ້ານເອົາໝາກໄມ້ໄປຂາຍທີ່ຕະຫຼາດທຸກເຊົ້າ"),
        ("သစ်သားတံတားသုံးခုရှိသောမြို့ဟောင်းကိုဘယ်မြစ်ဖြတ်စီးသနည်း", "ရွာသူရွာသားများသည်မနက်တိုင်းသစ်သီးရောင်းသည်"),
        ("តើទន្លេណាហូរកាត់ទីក្រុងចាស់ដែលមានស្ពានឈើបី", "អ្នកភូមិយកផ្លែឈើទៅលក់នៅផ្សាររៀងរាល់ព្រឹក"),
    ] {
        let item =
            BenchmarkItem { id: "1".to_owned(), question: Some(question.to_owned()), ..BenchmarkItem::default() };
        let texts = [format!("{other} {question} {other}"), format!("{other}{other}"), format!("{other}{question}")];
        let findings = found(&[item], &texts);
        let leaks: Vec<u64> =
            findings.iter().filter(|finding| finding.verdict == Verdict::Leak).map(|finding| finding.line).collect();
        assert_eq!(leaks, [1, 3], "{question}");
    }
}

#[test]
fn an_item_of_a_template_with_thousands_is_found_word_for_word() {
    let question = |n: usize| {
        let (hour, miles) = (n / 300, 100 + n % 300);
        format!(
            "A coach leaves Wendle at {hour} and drives {miles} miles to Sorrow Hill. How long does the drive of {miles} miles take from {hour}?"
        )
    };
    let items: Vec<BenchmarkItem> = (0..6000)
        .map(|n| BenchmarkItem { id: n.to_string(), question: Some(question(n)), ..BenchmarkItem::default() })
        .collect();
    let texts = [format!("Notes of a year. {} More notes.", question(1234)), question(6001)];
    let findings = found(&items, &texts);
    let leaks: Vec<(u32, u64)> = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Leak)
        .map(|finding| (finding.item, finding.line))
        .collect();
    assert_eq!(leaks, [(1234, 1)]);
}

#[test]
fn a_leak_is_kept_behind_many_stock_phrases() {
    let question = "Which river runs through the capital of the northern province?";
    let choices = ["the Ambel", "the Corrow", "the Teshin", "the Wyke"].map(str::to_owned).to_vec();
    let item = BenchmarkItem {
        id: "1".to_owned(),
        question: Some(question.to_owned()),
        answer: choices.first().cloned(),
        choices: choices.clone(),
        ..BenchmarkItem::default()
    };
    let mut texts = vec![question.to_owned(); KEPT + 10];
    texts.push(format!("{question}\nA. {}\nAnswer: A. The Ambel", choices.join("\nX. ")));
    let findings = found(&[item], &texts);
    let leaks: Vec<u64> =
        findings.iter().filter(|finding| finding.verdict == Verdict::Leak).map(|finding| finding.line).collect();
    assert_eq!(leaks, [texts.len() as u64]);
}

#[test]
fn the_order_of_documents_and_the_number_of_tallies_do_not_show() {
    let set = set::written(5);
    let search = Search::new(set.items.clone(), &Method::ALL).unwrap();
    let once = outcome(&set, &Method::ALL);
    let documents: Vec<(String, &str)> = set
        .documents
        .iter()
        .enumerate()
        .map(|(number, document)| (number.to_string(), document.text.as_str()))
        .collect();
    let scan = |documents: &mut dyn Iterator<Item = &(String, &str)>| {
        let (mut tally, mut scanner) = (search.tally(), search.scanner());
        for (id, text) in documents {
            let line = id.parse::<u64>().unwrap() + 1;
            scanner.scan(&Document { id, text, lang: None, source: None, shard: "s", line }, &mut tally);
        }
        tally
    };
    let mut merged = search.tally();
    for part in (0..5).rev() {
        let tally = scan(&mut documents.iter().rev().skip(part).step_by(5));
        // Kept between runs.
        let kept: Tally = serde_json::from_str(&serde_json::to_string(&tally).unwrap()).unwrap();
        assert_eq!(kept, tally);
        assert!(search.made(&kept));
        merged.merge(kept).unwrap();
    }
    assert_eq!(merged, scan(&mut documents.iter()));
    assert_eq!(search.finish(&merged), once);
    assert_eq!(once.documents as usize, documents.len());
    let other = Search::new(set.items[1..].to_vec(), &Method::ALL).unwrap();
    assert!(!other.made(&merged));
    assert_eq!(other.tally().merge(merged), Err(OtherSearch));
}

#[test]
fn what_was_found_is_marked_in_both_texts() {
    let set = set::written(6);
    let outcome = outcome(&set, &[Method::Spans]);
    let mut checked = 0;
    for finding in &outcome.findings {
        let document = &set.documents[finding.document.parse::<usize>().unwrap()];
        let item = &set.items[finding.item as usize];
        for seen in &finding.seen {
            assert_eq!(seen.item.len(), seen.document.len());
            assert!(seen.found <= seen.units && (0.0..=1.0).contains(&seen.score), "{seen:?}");
            for (span, (start, end)) in seen.item.iter().zip(&seen.document) {
                let field = match span.field {
                    Part::Question => item.question.as_deref().unwrap(),
                    Part::Choices => &item.choices[span.choice as usize],
                    Part::Answer => item.answer.as_deref().unwrap(),
                    Part::Passage => item.passage.as_deref().unwrap(),
                    Part::Solution => item.solution.as_deref().unwrap(),
                };
                let ours = field.get(span.start as usize..span.end as usize).unwrap();
                let theirs = document.text.get(*start as usize..*end as usize).unwrap();
                assert!(!ours.is_empty() && !theirs.is_empty());
                if seen.form == Form::Verbatim {
                    assert_eq!(ours, theirs);
                    checked += 1;
                }
            }
        }
        // What stands there as it is, is seen so.
        if document.kind == "question only" && document.leaked == Some(finding.item as usize) {
            assert_eq!((finding.seen[0].part, finding.seen[0].form), (Part::Question, Form::Verbatim));
            assert_eq!(finding.seen[0].found, finding.seen[0].units);
        }
        if document.kind == "answer only" {
            assert_ne!(finding.verdict, Verdict::Leak);
        }
    }
    assert!(checked > 100);
}

#[test]
fn more_documents_than_are_kept_are_counted() {
    let question = "Which of the nine bells of Saint Oswin cracked in the winter of the long frost?".to_owned();
    let item = BenchmarkItem { id: "1".to_owned(), question: Some(question.clone()), ..BenchmarkItem::default() };
    let search = Search::new(vec![item], &[Method::Spans]).unwrap();
    let (mut tally, mut scanner) = (search.tally(), search.scanner());
    for number in 0..KEPT + 10 {
        let (id, text, line) = (format!("{number:03}"), &question, number as u64);
        scanner.scan(&Document { id: &id, text, lang: Some("en"), source: None, shard: "s", line }, &mut tally);
    }
    let outcome = search.finish(&tally);
    assert_eq!(outcome.findings.len(), KEPT);
    assert!(outcome.findings.iter().all(|finding| finding.verdict == Verdict::Leak && finding.score == 1.0));
    // Documents that have half of it are no leaks, and count as left out too.
    assert_eq!(outcome.left_out, [LeftOut { method: Method::Spans, item: 0, findings: 10, leaks: 10 }]);
    let text = "Which of the nine bells of Saint Oswin cracked in the fire?";
    let (id, line) = ("half", KEPT as u64 + 10);
    scanner.scan(&Document { id, text, lang: Some("en"), source: None, shard: "s", line }, &mut tally);
    assert_eq!(search.finish(&tally).left_out, [LeftOut { method: Method::Spans, item: 0, findings: 11, leaks: 10 }]);
    assert_eq!(outcome.findings[0].lang.as_deref(), Some("en"));
}

#[test]
fn items_that_nobody_asked_are_not_found() {
    let set = set::written(7);
    for how in [Impossible::Shuffled, Impossible::Spliced] {
        let items = impossible(&set.items, how);
        assert!(items.len() > 80);
        let search = Search::new(items, &[Method::Spans]).unwrap();
        let (mut tally, mut scanner) = (search.tally(), search.scanner());
        // A document with half of a question has half of the spliced one, rightly.
        let without = |document: &Labelled| match how {
            Impossible::Shuffled => document.leaked.is_none(),
            Impossible::Spliced => ["clean", "same topic", "answer only", "boilerplate"].contains(&document.kind),
        };
        for (number, document) in set.documents.iter().enumerate().filter(|(_, document)| without(document)) {
            let id = number.to_string();
            let (text, line) = (&document.text, number as u64);
            scanner.scan(&Document { id: &id, text, lang: None, source: None, shard: "s", line }, &mut tally);
        }
        assert!(tally.documents > 100);
        let outcome = search.finish(&tally);
        assert_eq!(outcome.findings.iter().find(|finding| finding.verdict == Verdict::Leak), None, "{how:?}");
    }
}

#[test]
fn what_cannot_be_searched_for_is_refused() {
    let item = |id: &str, question: &str| BenchmarkItem {
        id: id.to_owned(),
        benchmark: "b".to_owned(),
        question: Some(question.to_owned()),
        ..BenchmarkItem::default()
    };
    let refused = |items: Vec<BenchmarkItem>, methods: &[Method]| Search::new(items, methods).unwrap_err();
    assert_eq!(refused(Vec::new(), &Method::ALL), SearchError::NoItems);
    assert_eq!(refused(vec![item("1", "a")], &[]), SearchError::NoMethod);
    let (id, benchmark) = ("1".to_owned(), "b".to_owned());
    assert_eq!(
        refused(vec![item("1", "a"), item("1", "b")], &[Method::Spans]),
        SearchError::Twice { benchmark: benchmark.clone(), id: id.clone() }
    );
    assert_eq!(refused(vec![item("1", " ")], &[Method::Spans]), SearchError::Empty { benchmark, id });
    for method in Method::ALL {
        assert_eq!(Method::named(method.name()), Some(method));
    }
    assert_eq!(Method::named("ngram"), None);
}

proptest! {
    #[test]
    fn any_document_survived(
        text in "([a-c 一二三\n<>&;\\\\\"'(A).?]|which bell|of the nine|\\PC){0,80}",
        question in "([a-c 一二三\n<>&;\\\\\"'(A).?]|which bell|of the nine|\\PC){1,60}",
    ) {
        let item = BenchmarkItem { question: Some(format!("which bell {question}")), ..BenchmarkItem::default() };
        let search = Search::new(vec![item], &Method::ALL).unwrap();
        let (mut tally, mut scanner) = (search.tally(), search.scanner());
        for text in [text.as_str(), &question, &format!("{text} which bell {question} {text}")] {
            scanner.scan(&Document { id: "1", text, lang: None, source: None, shard: "s", line: 1 }, &mut tally);
        }
        for finding in search.finish(&tally).findings {
            prop_assert!((0.0..=1.0).contains(&finding.score), "{finding:?}");
        }
    }
}

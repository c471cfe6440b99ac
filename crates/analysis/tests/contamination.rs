//! The methods compared on sets of documents whose leaks are known.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, unreachable_pub)]

#[path = "labelled/forms.rs"]
mod forms;
#[path = "labelled/invented.rs"]
mod invented;
#[path = "labelled/set.rs"]
mod set;
#[path = "labelled/texts.rs"]
mod texts;
#[path = "labelled/traditional.rs"]
mod traditional;

use std::collections::BTreeMap;

use retrace_analysis::contamination::{Document, Finding, Method, Outcome, Search, Verdict};
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
        scanner.scan(&Document { id: &id, text: &document.text, lang: None, source: None, shard: "s" }, &mut tally);
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

/// Whether two items have the same question: either is right then.
fn same(set: &Set, one: usize, other: Option<usize>) -> bool {
    other.is_some_and(|other| set.items[one].question == set.items[other].question)
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
    compared("made from patterns", &set::invented(1));
}

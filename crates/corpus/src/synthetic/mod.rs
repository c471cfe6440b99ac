//! A raw bilingual corpus from a seed: texts about a small invented world, made by our own grammar.
//!
//! People live in towns, have a trade, keep an animal, like a dish and own something of a colour. Documents of several
//! kinds describe them in English and Chinese, so that a small model can learn both the languages and the facts, and
//! questions can test the facts. Typical defects of a real crawl are planted: duplicates, near duplicates,
//! boilerplate, wrong labels, junk, and a leak of questions and of held-out documents.

mod chinese;
mod english;
mod plant;
mod world;

use std::io::Write;

use retrace_files::{FileError, Progress, Root, Unit, WholeFile};
use retrace_numerics::random::Stream;
use retrace_spec::{GenerateRecipe, RelPath};
use serde::Serialize;

use crate::{CorpusDocument, CorpusError, Language};
use plant::Leaked;
use world::World;

pub use plant::Planted;

/// The result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Generated {
    /// Documents in all shards.
    pub documents: u64,
    /// The number of planted ones, by kind.
    pub planted: Planted,
    /// Raw shards.
    pub shards: Vec<RelPath>,
    /// Held-out text and questions.
    pub benchmarks: Vec<RelPath>,
}

/// A question that its correct answer continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Question {
    pub(crate) id: String,
    pub(crate) question: String,
    pub(crate) choices: Vec<String>,
    pub(crate) answer: usize,
}

impl Question {
    /// The question with its correct answer.
    pub(crate) fn told(&self, language: Language) -> String {
        let answer = self.choices.get(self.answer).map_or("", String::as_str);
        match language {
            Language::En => format!("{} {answer}.", self.question),
            Language::Zh => format!("{}{answer}。", self.question),
        }
    }
}

/// Maximum number of documents in a shard.
const SHARD: usize = 1000;

/// Makes the corpus of `plan` below `root`: `raw/en-*.jsonl`, `raw/zh-*.jsonl`, `raw/select-en-*.jsonl`,
/// `raw/select-zh-*.jsonl`, and, in `tasks/`, held-out text and questions.
///
/// # Errors
/// If a file cannot be written.
pub fn generate(root: &Root, plan: &GenerateRecipe, progress: &dyn Progress) -> Result<Generated, CorpusError> {
    let world = World::new(plan.seed, plan.questions as usize);
    let mut made = Generated { documents: 0, planted: Planted::default(), shards: Vec::new(), benchmarks: Vec::new() };
    progress.begin("writing the corpus", 2 * (plan.documents + plan.selected), Unit::Documents);
    for language in [Language::En, Language::Zh] {
        let (code, write): (_, fn(&World, DocumentKind, &mut Pen) -> String) = match language {
            Language::En => ("en", english::write),
            Language::Zh => ("zh", chinese::write),
        };
        let part = |part: &'static str, count: u64, kinds: &'static [DocumentKind]| {
            let stream = Stream::new(plan.seed.get(), &format!("synthetic/{code}/{part}"));
            (0..count).map(move |number| (number, Pen::new(stream, number), kinds))
        };
        let document = |part: &str, (number, mut pen, kinds): (u64, Pen, &[DocumentKind])| {
            let kind = *pen.pick(kinds);
            CorpusDocument {
                id: format!("{code}-{part}-{number:05}"),
                text: write(&world, kind, &mut pen),
                lang: language,
                source: kind.source().to_owned(),
            }
        };
        let questions = questions(&world, plan, language);
        let general: Vec<CorpusDocument> =
            part("general", plan.documents, DocumentKind::GENERAL).map(|d| document("general", d)).collect();
        progress.advance(plan.documents);
        let held_out: Vec<CorpusDocument> =
            part("held-out", plan.held_out, DocumentKind::GENERAL).map(|d| document("held-out", d)).collect();
        let mut pen = Pen::new(Stream::new(plan.seed.get(), &format!("synthetic/{code}/plant")), 0);
        let leaked = Leaked {
            questions: &questions[..(plan.leaked as usize).min(questions.len())],
            texts: &held_out[..(plan.leaked_texts as usize).min(held_out.len())],
        };
        let general = plant::plant(general, language, &leaked, &mut pen, &mut made.planted);
        let selected: Vec<CorpusDocument> =
            part("selected", plan.selected, DocumentKind::SELECTED).map(|d| document("selected", d)).collect();
        progress.advance(plan.selected);
        for (name, documents) in [(code.to_owned(), &general), (format!("select-{code}"), &selected)] {
            for (number, shard) in documents.chunks(SHARD).enumerate() {
                let path: RelPath = format!("raw/{name}-{number:05}.jsonl").parse()?;
                write_lines(root.create(&path)?, shard)?;
                made.shards.push(path);
            }
            made.documents += documents.len() as u64;
        }
        let path: RelPath = format!("tasks/heldout-{code}.jsonl").parse()?;
        write_lines(root.create(&path)?, &held_out)?;
        made.benchmarks.push(path);
        let path: RelPath = format!("tasks/facts-{code}.jsonl").parse()?;
        write_lines(root.create(&path)?, &questions)?;
        made.benchmarks.push(path);
    }
    progress.end();
    Ok(made)
}

/// Questions about facts, each with three wrong answers of the same kind. No fact is used twice.
fn questions(world: &World, plan: &GenerateRecipe, language: Language) -> Vec<Question> {
    let mut pen = Pen::new(Stream::new(plan.seed.get(), "synthetic/questions"), 0);
    let asked = world.asked.iter().enumerate();
    asked
        .map(|(number, (person, fact))| {
            let (person, fact) = (&world.people[*person], *fact);
            let right = person.facts[fact];
            let all = world.values(fact).len();
            let mut values: Vec<usize> =
                pen.shuffled(all).into_iter().filter(|value| *value != right).take(3).collect();
            let answer = pen.below(4) as usize;
            values.insert(answer.min(values.len()), right);
            let (question, choices): (String, Vec<String>) = match language {
                Language::En => (
                    english::question(world, person, fact),
                    values.iter().map(|v| world.values(fact)[*v].0.to_owned()).collect(),
                ),
                Language::Zh => (
                    chinese::question(world, person, fact),
                    values.iter().map(|v| world.values(fact)[*v].1.to_owned()).collect(),
                ),
            };
            let code = if language == Language::En { "en" } else { "zh" };
            Question { id: format!("facts-{code}-{number:03}"), question, choices, answer }
        })
        .collect()
}

fn write_lines<T: Serialize>(mut file: WholeFile, values: &[T]) -> Result<(), CorpusError> {
    let path = &file.path();
    for (at, value) in values.iter().enumerate() {
        let mut line = serde_json::to_vec(value).map_err(|e| FileError::Json {
            path: path.to_owned(),
            line: at + 1,
            what: e.to_string(),
        })?;
        line.push(b'\n');
        file.write_all(&line).map_err(FileError::io(path, "write"))?;
    }
    file.commit()?;
    Ok(())
}

/// The kind of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DocumentKind {
    /// A description of a person.
    Entry,
    /// A day in a town.
    Story,
    /// A letter from one person to another.
    Letter,
    /// A recipe of a dish.
    Recipe,
    /// Events at the market.
    Notice,
    /// Questions with their answers.
    Answers,
}

impl DocumentKind {
    const GENERAL: &'static [Self] =
        &[Self::Entry, Self::Story, Self::Story, Self::Letter, Self::Letter, Self::Recipe, Self::Notice];
    const SELECTED: &'static [Self] = &[Self::Entry, Self::Entry, Self::Answers];

    const fn source(self) -> &'static str {
        match self {
            Self::Entry => "almanac",
            Self::Story => "tales",
            Self::Letter => "letters",
            Self::Recipe => "kitchen",
            Self::Notice => "notices",
            Self::Answers => "school",
        }
    }
}

/// Makes the random choices of one document.
#[derive(Debug)]
pub(crate) struct Pen {
    stream: Stream,
    document: u64,
    next: u64,
}

impl Pen {
    fn new(stream: Stream, document: u64) -> Self {
        Self { stream, document, next: 0 }
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> u64 {
        self.next += 1;
        self.stream.below(self.document, self.next, n as u64)
    }

    /// One of `all`, which must not be empty.
    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let at = self.below(all.len()) as usize;
        &all[at]
    }

    /// One of some words.
    pub(crate) fn word(&mut self, all: &[&'static str]) -> &'static str {
        let at = self.below(all.len()) as usize;
        all[at]
    }

    /// The numbers below `n` in random order (Fisher and Yates).
    pub(crate) fn shuffled(&mut self, n: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            let other = self.below(last + 1) as usize;
            all.swap(last, other);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean;
    use retrace_files::{RegularFile, Silent, json_lines};
    use retrace_spec::{CleanRecipe, Document as _, Seed};

    fn plan(seed: u64) -> GenerateRecipe {
        let text = format!(
            "retrace: synthetic/1\nseed: {seed}\ndocuments: 300\nselected: 60\nheld_out: 20\nquestions: 40\nleaked: 6\n"
        );
        GenerateRecipe::parse(&text, "corpus.yaml").unwrap()
    }

    #[test]
    fn the_seed_decides_every_byte() {
        let bytes = |seed| {
            let directory = tempfile::tempdir().unwrap();
            let made = generate(&Root::open(directory.path()).unwrap(), &plan(seed), &Silent).unwrap();
            made.shards
                .iter()
                .chain(&made.benchmarks)
                .map(|path| std::fs::read(path.under(directory.path())).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn what_is_planted_is_what_cleaning_finds() {
        let directory = tempfile::tempdir().unwrap();
        let made = generate(&Root::open(directory.path()).unwrap(), &plan(1), &Silent).unwrap();
        let recipe = include_str!("../../../../manifests/tour/clean.yaml");
        let recipe = CleanRecipe::parse(recipe, "clean.yaml").unwrap();
        let report = clean(&Root::open(directory.path()).unwrap(), &recipe, &crate::Found::new(), &Silent).unwrap();
        let planted = made.planted;
        let found = |rule: &str| report.dropped.get(rule).copied().unwrap_or(0);
        assert_eq!(found("boilerplate"), planted.boilerplate);
        assert_eq!(found("script"), planted.wrong_label);
        assert_eq!(found("symbols"), planted.junk);
        assert_eq!(found("characters"), planted.short);
        assert_eq!(found("repeated_lines"), planted.repeating);
        assert_eq!(found("duplicate"), planted.exact_duplicates);
        assert_eq!(report.documents, made.documents);
        assert_eq!(
            made.documents,
            report.kept
                + planted.boilerplate
                + planted.wrong_label
                + planted.junk
                + planted.short
                + planted.repeating
                + planted.exact_duplicates
        );
    }

    #[test]
    fn leaked_texts_are_documents_at_random_places_and_change_no_other() {
        let documents = |leaked: u64| {
            let directory = tempfile::tempdir().unwrap();
            let plan = GenerateRecipe { leaked_texts: leaked, ..plan(1) };
            generate(&Root::open(directory.path()).unwrap(), &plan, &Silent).unwrap();
            let read = |path: &str| -> Vec<CorpusDocument> {
                let file = RegularFile::open(&directory.path().join(path)).unwrap();
                json_lines::<CorpusDocument>(file).map(|line| line.unwrap().1).collect()
            };
            ["en", "zh"]
                .map(|code| (read(&format!("raw/{code}-00000.jsonl")), read(&format!("tasks/heldout-{code}.jsonl"))))
        };
        for ((with, held_out), (without, same)) in documents(5).into_iter().zip(documents(0)) {
            assert_eq!(held_out, same);
            let (leaked, others): (Vec<_>, Vec<_>) = with.iter().partition(|of| of.id.contains("-leak-"));
            assert!(others.into_iter().eq(&without));
            let mut texts: Vec<&str> = leaked.iter().map(|of| of.text.as_str()).collect();
            let mut expected: Vec<&str> = held_out.iter().take(5).map(|of| of.text.as_str()).collect();
            texts.sort_unstable();
            expected.sort_unstable();
            assert_eq!(texts, expected);
            let places: Vec<usize> = (0..with.len()).filter(|at| with[*at].id.contains("-leak-")).collect();
            assert!(places.last().unwrap() - places.first().unwrap() > with.len() / 4, "{places:?}");
        }
    }

    #[test]
    fn questions_have_one_right_answer_and_some_are_leaked() {
        let directory = tempfile::tempdir().unwrap();
        let made = generate(&Root::open(directory.path()).unwrap(), &plan(1), &Silent).unwrap();
        let world = World::new(Seed(1), 40);
        let mut all = String::new();
        for shard in &made.shards {
            for line in json_lines::<CorpusDocument>(RegularFile::open(&shard.under(directory.path())).unwrap()) {
                all.push_str(&line.unwrap().1.text);
                all.push('\n');
            }
        }
        for language in [Language::En, Language::Zh] {
            let questions = questions(&world, &plan(1), language);
            assert_eq!(questions.len(), 40);
            for (number, question) in questions.iter().enumerate() {
                let mut choices = question.choices.clone();
                choices.sort();
                choices.dedup();
                assert_eq!(choices.len(), 4, "{question:?}");
                assert!(number >= 6 || all.contains(&question.told(language)), "{question:?} is not leaked");
            }
        }
    }
}

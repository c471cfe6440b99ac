//! The recipe of a search for benchmark items in a corpus.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{check_input, check_name};
use crate::document::Complaint;
use crate::{Document, Pattern, RelPath};

/// A search for the items of tasks and benchmarks in a corpus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContaminationRecipe {
    /// `contamination/1`.
    pub retrace: String,
    /// The name of the step in the manifest.
    pub name: String,
    /// The tasks' documents, `task/1`. A task is a benchmark of its own name, with its own item ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<RelPath>,
    /// Files of benchmarks, JSON lines (plain, gzip or zstd), JSON lists or Parquet; a `*` in the last part matches any
    /// text. A benchmark has the name of its file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub benchmarks: Vec<Pattern>,
    /// Columns of the benchmarks' files that have other names than the fields: `question: prompt`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// The shards that are searched, in the same formats; a `*` in the last part matches any text.
    pub corpus: Vec<Pattern>,
    /// Columns of the shards that have other names than the fields: `text: content`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub corpus_fields: BTreeMap<String, String>,
    /// How to search.
    #[serde(default = "ours")]
    pub methods: Vec<Method>,
    /// Whether impossible items are searched for too, which estimates false alarms and takes as long as the search.
    #[serde(default = "yes")]
    pub impossible: bool,
    /// Of each item so many documents are kept by each method, the worst. Further ones are counted, and have no rows.
    #[serde(default = "thousand")]
    pub documents_per_item: u64,
    /// The output directories of runs that were trained on these shards: the steps at which each used a document with a
    /// leak are written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RelPath>,
    /// The directory of tables in which `contamination.parquet` is written, and, if there are runs, `exposures.parquet`.
    pub output: RelPath,
    /// Where the counts are written, JSON: for each benchmark and method its items by what was found of them.
    pub counts: RelPath,
    /// A directory in which the page of `retrace report contamination` and its CSV files are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<RelPath>,
    /// What an earlier version of this document had, to say so.
    #[serde(default, skip_serializing)]
    ngram: Option<u64>,
}

fn ours() -> Vec<Method> {
    vec![Method::Spans]
}

const fn thousand() -> u64 {
    1000
}

const fn yes() -> bool {
    true
}

/// How items are searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Ours: common spans in order, weighted by rarity, the parts of an item told apart.
    Spans,
    /// GPT-3 (Brown et al. 2020, appendix C): any n-gram of words, n from 8 to 13 by the benchmark.
    Gpt3,
    /// PaLM (Chowdhery et al. 2022): 70 % of an item's 8-grams of words.
    Palm,
    /// Llama 2 (Touvron et al. 2023, appendix A.6): 80 % of an item's units in spans of more than ten.
    Llama2,
    /// OLMo (Paloma, Magnusson et al. 2023): a whole paragraph of at least 13 words.
    Olmo,
    /// decon (OLMo 3): sampled 5-grams weighted by their rarity among items.
    Decon,
}

impl Method {
    /// All methods, ours first.
    pub const ALL: [Self; 6] = [Self::Spans, Self::Gpt3, Self::Palm, Self::Llama2, Self::Olmo, Self::Decon];

    /// The name that it is called by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Gpt3 => "gpt3",
            Self::Palm => "palm",
            Self::Llama2 => "llama2",
            Self::Olmo => "olmo",
            Self::Decon => "decon",
        }
    }

    /// The method called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// Whether a document gives an item away, or why not. From the worst to the most harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The document has the question, or so much of it, or so long and rare an answer, that it can only be the item.
    Leak,
    /// Much of the item is there, but not enough to say so.
    NearMiss,
    /// The same words with other numbers or names, or an item of the same template.
    SameTemplate,
    /// The passage without the question: the document may be where the item has it from.
    PassageOnly,
    /// A text that the question quotes, without what it asks about that text.
    Quotation,
    /// The answer or the solution, without the question.
    AnswerOnly,
    /// The choices without the question.
    ChoicesOnly,
    /// What was found is in many documents or items: an instruction, a licence, a common question.
    StockPhrase,
    /// The question is so short that any text may have it.
    TooShort,
}

impl Verdict {
    /// Its name in documents and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leak => "leak",
            Self::NearMiss => "near_miss",
            Self::SameTemplate => "same_template",
            Self::PassageOnly => "passage_only",
            Self::Quotation => "quotation",
            Self::AnswerOnly => "answer_only",
            Self::ChoicesOnly => "choices_only",
            Self::StockPhrase => "stock_phrase",
            Self::TooShort => "too_short",
        }
    }
}

impl Document for ContaminationRecipe {
    const SCHEMA: &'static str = "contamination/1";

    fn schema(&self) -> &str {
        &self.retrace
    }

    fn check(&self) -> Result<(), Complaint> {
        check_name(&self.name)?;
        if self.ngram.is_some() {
            let what = "is not a field any more: items are no longer searched for by n-grams of one length. Leave it out \
                        (`methods` says how to search, by default `[spans]`)";
            return Err(("ngram".to_owned(), what.to_owned()));
        }
        if self.tasks.is_empty() && self.benchmarks.is_empty() {
            return Err(("tasks".to_owned(), "is empty, and there are no benchmarks either".to_owned()));
        }
        if self.benchmarks.is_empty() && !self.fields.is_empty() {
            return Err(("fields".to_owned(), "names columns of benchmarks, and there are none".to_owned()));
        }
        check_input("corpus", &self.corpus)?;
        if !(1..=1_000_000).contains(&self.documents_per_item) {
            let what = format!("{} is not between 1 and 1,000,000", self.documents_per_item);
            return Err(("documents_per_item".to_owned(), what));
        }
        check_once("methods", &self.methods)
    }
}

/// Fails if `methods` is empty or has one twice.
pub(super) fn check_once<T: Copy + Ord + Serialize>(field: &str, all: &[T]) -> Result<(), Complaint> {
    check_input(field, all)?;
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).any(|two| two.first() == two.last()) {
        true => Err((field.to_owned(), "has one of its values twice".to_owned())),
        false => Ok(()),
    }
}

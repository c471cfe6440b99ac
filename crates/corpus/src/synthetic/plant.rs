//! The defects of a real crawl that a clean corpus does not have.

use serde::Serialize;

use super::{Pen, Question};
use crate::{CorpusDocument, Language};

/// The number of planted documents, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Planted {
    /// The text of an earlier document, with other white space or full-width letters.
    pub exact_duplicates: u64,
    /// The text of an earlier document with a sentence added.
    pub near_duplicates: u64,
    /// Cookie notices and navigation.
    pub boilerplate: u64,
    /// Text in one language labelled as the other.
    pub wrong_label: u64,
    /// A few words.
    pub short: u64,
    /// Strings of symbols.
    pub junk: u64,
    /// One line repeated.
    pub repeating: u64,
    /// Evaluation questions with their answers, in the middle of a document.
    pub leaked: u64,
    /// Held-out documents.
    pub leaked_texts: u64,
}

/// What the corpus has of the benchmarks.
#[derive(Debug)]
pub(super) struct Leaked<'a> {
    /// Questions, each inserted into one document with its answer.
    pub(super) questions: &'a [Question],
    /// Held-out documents, each a document of its own.
    pub(super) texts: &'a [CorpusDocument],
}

/// One planted document of each kind per this many documents.
const EVERY: usize = 50;

/// Plants into `documents`, at random positions.
pub(super) fn plant(
    mut documents: Vec<CorpusDocument>,
    language: Language,
    leaked: &Leaked<'_>,
    pen: &mut Pen,
    planted: &mut Planted,
) -> Vec<CorpusDocument> {
    let genuine = documents.len();
    if genuine == 0 {
        return documents;
    }
    // With the leak inserted, the text of this document is no longer that of any other document.
    let hosts = pen.shuffled(genuine);
    for (question, host) in leaked.questions.iter().zip(&hosts) {
        let text = &mut documents[*host].text;
        *text = format!("{text}\n\n{}", question.told(language));
        planted.leaked += 1;
    }
    let rounds = genuine.div_ceil(EVERY);
    let mut extra = Vec::new();
    for round in 0..rounds {
        let mut add = |what: &str, text: String, count: &mut u64| {
            let id = format!("{}-{what}-{round:04}", if language == Language::En { "en" } else { "zh" });
            extra.push(CorpusDocument { id, text, lang: language, source: "crawl".to_owned() });
            *count += 1;
        };
        // Each is a copy of a different document, so that no two planted ones are the same.
        let original = &documents[hosts[(leaked.questions.len() + 2 * round) % genuine]].text;
        let spaced = match round % 2 {
            0 => original.replace(' ', "  ").replace('\n', " \n"),
            _ => format!(" {}\n", full_width(original)),
        };
        add("copy", spaced, &mut planted.exact_duplicates);
        let original = &documents[hosts[(leaked.questions.len() + 2 * round + 1) % genuine]].text;
        let added = match language {
            Language::En => format!("{original} This page was last changed {} days ago.", round + 2),
            Language::Zh => format!("{original}本页最后修改于{}天前。", round + 2),
        };
        add("near", added, &mut planted.near_duplicates);
        let (boilerplate, wrong, short, repeated) = match language {
            Language::En => (
                format!(
                    "Home | About | Contact\nWe use cookies to improve your experience.\nAccept all cookies\nAll rights reserved {}.",
                    1000 + round
                ),
                format!("这一页被错误地标成了英文，编号为{}。其实这里全是中文，没有一个英文句子。", round),
                format!("Page {round}."),
                format!("Read on to part {round} of the tale.\n").repeat(12),
            ),
            Language::Zh => (
                format!(
                    "首页 | 关于我们 | 联系我们\n本站使用Cookie改善您的体验。\n接受全部Cookie\n版权所有 {}。",
                    1000 + round
                ),
                format!(
                    "This page number {round} was labelled as Chinese by mistake. There is not one Chinese sentence in it."
                ),
                format!("第{round}页。"),
                format!("请继续阅读故事的第{round}部分。\n").repeat(12),
            ),
        };
        add("page", boilerplate, &mut planted.boilerplate);
        add("label", wrong, &mut planted.wrong_label);
        add("stub", short, &mut planted.short);
        add("again", repeated, &mut planted.repeating);
        let symbols: String = (0..120).map(|_| *pen.pick(&['#', '@', '~', '^', '*', '=', '|', '$'])).collect();
        let word = if language == Language::En { "code" } else { "代码" };
        add("junk", format!("{word}{round} {symbols}"), &mut planted.junk);
    }
    for (number, held_out) in leaked.texts.iter().enumerate() {
        let code = if language == Language::En { "en" } else { "zh" };
        let document = CorpusDocument { id: format!("{code}-leak-{number:04}"), ..held_out.clone() };
        extra.push(CorpusDocument { source: "crawl".to_owned(), ..document });
        planted.leaked_texts += 1;
    }
    for document in extra {
        let at = pen.below(documents.len() + 1) as usize;
        documents.insert(at, document);
    }
    documents
}

/// ASCII letters and digits in their full-width form, which NFKC reverses.
fn full_width(text: &str) -> String {
    let wide = |c: char| if c.is_ascii_alphanumeric() { char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c) } else { c };
    text.chars().map(wide).collect()
}

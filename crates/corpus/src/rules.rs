//! The rules by which a document is dropped.

use std::collections::BTreeSet;

use retrace_spec::recipe::Rule;
use unicode_normalization::UnicodeNormalization;

use crate::{Document, Language};

/// Why `rule` drops `document`, or `None` if it does not.
pub(crate) fn broken(rule: &Rule, document: &Document) -> Option<String> {
    match rule {
        Rule::Characters { at_least, at_most } => {
            let count = document.text.chars().filter(|c| !c.is_whitespace()).count() as u64;
            (!(at_least..=at_most).contains(&&count)).then(|| format!("{count} characters"))
        }
        Rule::RepeatedLines { at_most } => {
            let mut seen = BTreeSet::new();
            let lines: Vec<&str> = lines(&document.text).collect();
            let repeated = lines.iter().filter(|line| !seen.insert(**line)).count();
            over(repeated, lines.len(), *at_most, "lines repeat earlier ones")
        }
        Rule::Boilerplate { at_most, phrases } => {
            let phrases: Vec<String> = phrases.iter().map(|phrase| folded(phrase)).collect();
            let lines: Vec<String> = lines(&document.text).map(folded).collect();
            let holds = |line: &String| phrases.iter().any(|phrase| line.contains(phrase.as_str()));
            over(lines.iter().filter(|line| holds(line)).count(), lines.len(), *at_most, "lines are boilerplate")
        }
        Rule::Script { at_least } => {
            let letters: Vec<char> = document.text.nfkc().filter(|c| c.is_alphabetic()).collect();
            let of_script = |c: &&char| match document.lang {
                Language::En => c.is_ascii_alphabetic() || ('\u{c0}'..='\u{24f}').contains(*c),
                Language::Zh => is_han(**c),
            };
            let own = letters.iter().filter(of_script).count();
            let fraction = if letters.is_empty() { 0.0 } else { own as f64 / letters.len() as f64 };
            (fraction < *at_least).then(|| format!("{own} of {} letters are of the language's script", letters.len()))
        }
        Rule::Symbols { at_most } => {
            let all = document.text.chars().count();
            over(document.text.chars().filter(|c| is_symbol(*c)).count(), all, *at_most, "characters are symbols")
        }
    }
}

fn over(count: usize, all: usize, at_most: f64, what: &str) -> Option<String> {
    let fraction = if all == 0 { 0.0 } else { count as f64 / all as f64 };
    (fraction > at_most).then(|| format!("{count} of {all} {what}"))
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// The text in NFKC and lower case, with any white space as one space.
pub(crate) fn folded(text: &str) -> String {
    let lower: String = text.nfkc().flat_map(char::to_lowercase).collect();
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether `c` is a Chinese character: the unified ideographs, their extensions and compatibility
/// forms (Unicode, blocks named CJK … Ideographs).
pub(crate) fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

fn is_symbol(c: char) -> bool {
    const PUNCTUATION: &str = ".,;:!?'\"()[]-–—‘’“”…、。，；：！？（）《》〈〉「」『』【】·%/&";
    !(c.is_alphanumeric() || c.is_whitespace() || PUNCTUATION.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(lang: Language, text: &str) -> Document {
        Document { id: "d".to_owned(), text: text.to_owned(), lang, source: String::new() }
    }

    #[test]
    fn each_rule_fires_at_its_threshold() {
        use Language::{En, Zh};
        let phrases = vec!["Accept All Cookies".to_owned()];
        let cases = [
            (Rule::Characters { at_least: 3, at_most: 5 }, En, "a b c", "a b"),
            (Rule::Characters { at_least: 3, at_most: 5 }, En, "a b c d e", "abc def"),
            (Rule::RepeatedLines { at_most: 0.5 }, En, "a\na\n\nb", "a\na\na"),
            (
                Rule::Boilerplate { at_most: 0.5, phrases: phrases.clone() },
                En,
                "please accept all cookies\ntext",
                "ＡＣＣＥＰＴ all\tcookies",
            ),
            (Rule::Script { at_least: 0.5 }, En, "English 中文", "en 中文的"),
            (Rule::Script { at_least: 0.5 }, Zh, "中文 en", "English 中文"),
            (Rule::Script { at_least: 0.5 }, Zh, "，12 中", "12, 34"),
            (Rule::Symbols { at_most: 0.5 }, En, "ab#$", "a###"),
        ];
        for (rule, lang, kept, dropped) in cases {
            assert_eq!(broken(&rule, &document(lang, kept)), None, "{rule:?} {kept:?}");
            assert!(broken(&rule, &document(lang, dropped)).is_some(), "{rule:?} {dropped:?}");
        }
    }

    #[test]
    fn folding_takes_full_width_and_white_space_away() {
        assert_eq!(folded("Ｈｅｌｌｏ　　World\n！"), "hello world !");
    }

    /// `dirty` holds pages labelled zh that are mostly English, and says which.
    #[test]
    fn the_script_rule_finds_what_people_found() {
        #[derive(serde::Deserialize)]
        struct Labelled {
            #[serde(flatten)]
            document: Document,
            kind: Option<String>,
        }
        let shared = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/corpus");
        if !shared.exists() {
            return;
        }
        let rule = Rule::Script { at_least: 0.3 };
        let (mut wrong, mut found, mut clean, mut false_alarms) = (0, 0, 0, 0);
        for path in std::fs::read_dir(shared.join("dirty")).unwrap().map(|e| e.unwrap().path()) {
            if path.extension().is_some_and(|e| e == "jsonl") {
                for line in std::fs::read_to_string(&path).unwrap().lines() {
                    let Ok(labelled) = serde_json::from_str::<Labelled>(line) else { continue };
                    if labelled.kind.as_deref() == Some("mislabelled-language") {
                        wrong += 1;
                        found += usize::from(broken(&rule, &labelled.document).is_some());
                    }
                }
            }
        }
        for path in std::fs::read_dir(shared.join("clean")).unwrap().map(|e| e.unwrap().path()) {
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                let document: Document = serde_json::from_str(line).unwrap();
                clean += 1;
                false_alarms += usize::from(broken(&rule, &document).is_some());
            }
        }
        assert!(wrong > 0 && found * 10 >= wrong * 9, "{found} of {wrong}");
        assert!(false_alarms * 200 <= clean, "{false_alarms} of {clean}");
    }
}

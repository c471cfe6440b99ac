//! The rules that drop documents.

use std::collections::BTreeSet;

use retrace_spec::recipe::Rule;
use unicode_normalization::UnicodeNormalization;

use crate::Language;

/// Why `rule` drops a document with this text in this language, or `None` if it does not.
pub(crate) fn broken(rule: &Rule, text: &str, lang: Option<Language>) -> Option<String> {
    match rule {
        Rule::Characters { at_least, at_most } => {
            let count = text.chars().filter(|c| !c.is_whitespace()).count() as u64;
            (!(at_least..=at_most).contains(&&count)).then(|| format!("{count} characters"))
        }
        Rule::RepeatedLines { at_most } => {
            let mut seen = BTreeSet::new();
            let lines: Vec<&str> = lines(text).collect();
            let repeated = lines.iter().filter(|line| !seen.insert(**line)).count();
            over(repeated, lines.len(), *at_most, "lines repeat earlier ones")
        }
        Rule::Boilerplate { at_most, phrases } => {
            let phrases: Vec<String> = phrases.iter().map(|phrase| folded(phrase)).collect();
            let lines: Vec<String> = lines(text).map(folded).collect();
            let holds = |line: &String| phrases.iter().any(|phrase| line.contains(phrase.as_str()));
            over(lines.iter().filter(|line| holds(line)).count(), lines.len(), *at_most, "lines are boilerplate")
        }
        Rule::Script { at_least } => {
            let letters: Vec<char> = text.nfkc().filter(|c| c.is_alphabetic()).collect();
            let of_script = |c: &&char| match lang {
                Some(Language::En) => c.is_ascii_alphabetic() || ('\u{c0}'..='\u{24f}').contains(*c),
                Some(Language::Zh) => is_han(**c),
                None => false,
            };
            let own = letters.iter().filter(of_script).count();
            let fraction = if letters.is_empty() { 0.0 } else { own as f64 / letters.len() as f64 };
            (fraction < *at_least).then(|| format!("{own} of {} letters are of the language's script", letters.len()))
        }
        Rule::Symbols { at_most } => {
            let all = text.chars().count();
            over(text.chars().filter(|c| is_symbol(*c)).count(), all, *at_most, "characters are symbols")
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
            assert_eq!(broken(&rule, kept, Some(lang)), None, "{rule:?} {kept:?}");
            assert!(broken(&rule, dropped, Some(lang)).is_some(), "{rule:?} {dropped:?}");
        }
    }

    #[test]
    fn folding_takes_full_width_and_white_space_away() {
        assert_eq!(folded("Ｈｅｌｌｏ　　World\n！"), "hello world !");
    }

    /// Pages with given numbers of letters of the two scripts, separated by other characters: dropped if, and only if,
    /// the fraction of the language's own letters is less than required.
    #[test]
    fn the_script_rule_counts_letters_alone() {
        let rule = Rule::Script { at_least: 0.3 };
        let latin: Vec<char> = ('a'..='z').chain('À'..='Ö').chain('ａ'..='ｚ').collect();
        let (mut dropped, mut kept) = (0, 0);
        for (lang, latin_is_own) in [(Language::En, true), (Language::Zh, false)] {
            for han in 0..20_usize {
                for other in 0..20_usize {
                    let mut text = String::new();
                    for at in 0..han.max(other) {
                        text.extend(char::from_u32(0x4e00 + 97 * at as u32).filter(|_| at < han));
                        text.extend(latin.get(13 * at % latin.len()).filter(|_| at < other));
                        text += [", ", "。", " 7", "\n- "][at % 4];
                    }
                    let own = if latin_is_own { other } else { han };
                    // own / all < 3 / 10, in integers; a page without letters has none of its own.
                    let expected = own * 10 < (han + other) * 3 || han + other == 0;
                    let found = broken(&rule, &text, Some(lang)).is_some();
                    assert_eq!(found, expected, "{lang:?}: {han} of Han, {other} of Latin: {text:?}");
                    (dropped, kept) = (dropped + usize::from(found), kept + usize::from(!found));
                }
            }
        }
        assert!(dropped > 100 && kept > 100, "{dropped} dropped, {kept} kept");
    }
}

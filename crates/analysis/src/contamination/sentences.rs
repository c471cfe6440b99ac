//! Which part of a question asks, and which part it only quotes.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use super::text::Unit;

/// Words that point at a text which stands in the question.
const POINTING: &str = "following|this|these|above|below|the |quoted|以下|下列|下面|上述|上面|这|该|本|出自";

/// Words for a text that many books have.
const TEXTS: &str = "poem|speech|passage|text|lines|line |excerpt|quotation|quote|clause|licence|license|statute|\
    statement|verse|stanza|paragraph|document|address|lyrics|song|prayer|oath|extract|snippet|words|\
    notice|preamble|contract|agreement|诗|词|文字|文段|短文|段话|句|条款|许可|演讲|名言|作者|选段|歌词|法律|规定|宣言|声明";

/// Quotation marks, opening and closing. A text within fewer units is a name, not a quotation.
const MARKS: [(char, char); 5] = [('“', '”'), ('"', '"'), ('「', '」'), ('『', '』'), ('«', '»')];
const SHORTEST: usize = 6;

/// Words that ask. A question mark does too.
const ASKING: &str = "what|which|who|whom|whose|how|why|when|where|is|are|was|were|do|does|did|can|could|will|would|\
    should|has|have|name|find|define|explain|calculate|whats|write|complete|solve|list|give";
/// The first of them do nothing else.
const ONLY_ASKING: usize = 9;
const ASKING_CJK: &str = "什么|哪|谁|为何|怎|几|多少|多大|多长|多久|吗|是否|如何|请|求|何时|何地|下列|计算";

/// Whether a text starts with a word that asks, or has one that only asks, or a question mark.
pub(super) fn asks(text: &str) -> bool {
    let lower = text.trim().to_lowercase();
    let first = lower.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    lower.ends_with(['?', '？']) && ASKING.split('|').take(ONLY_ASKING).any(|word| lower.contains(word))
        || ASKING.split('|').any(|word| word == first)
        || ASKING_CJK.split('|').any(|word| lower.contains(word))
}

/// The words that only ask, and those for texts.
static ASKING_WORDS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| ASKING.split('|').take(ONLY_ASKING).chain(TEXTS.split('|')).collect());

/// Whether each unit is a word that asks, or points at a text.
pub(super) fn asking(text: &str, units: &[Unit]) -> Vec<bool> {
    let mut asking = vec![false; units.len()];
    for (unit, asks) in units.iter().zip(&mut asking) {
        let word = text.get(unit.start..unit.end).unwrap_or_default().to_lowercase();
        *asks = ASKING_WORDS.contains(word.as_str());
    }
    for (at, word) in ASKING_CJK.split('|').flat_map(|word| text.match_indices(word)) {
        let range =
            units.partition_point(|unit| unit.start < at)..units.partition_point(|unit| unit.start < at + word.len());
        asking.iter_mut().take(range.end).skip(range.start).for_each(|unit| *unit = true);
    }
    asking
}

/// The sentences of a question that ask: those that end with a question mark, and those that point at a text (`Who
/// wrote these lines`, `以下条款出自`). In units. If the last sentence does either, it alone; else those that point, as a
/// quoted text may ask too. A sentence that is most of the question is the question itself.
pub(super) fn frames(text: &str, units: &[Unit]) -> Vec<Range<usize>> {
    let (mut asking, mut pointing, mut last) = (Vec::new(), Vec::new(), None);
    let mut add = |from: usize, to: usize| {
        let inside = |at: usize| units.partition_point(|unit| unit.start < at);
        let range = inside(from)..inside(to);
        let sentence = text.get(from..to).unwrap_or_default().to_lowercase();
        let asks = sentence.ends_with(['?', '？']);
        let points = POINTING.split('|').any(|word| sentence.contains(word))
            && TEXTS.split('|').any(|word| sentence.contains(word));
        if range.is_empty() {
            return;
        }
        last = None;
        if range.len() * 5 <= units.len() * 3 {
            last = (points || asks).then(|| range.clone());
            match (points, asks) {
                (true, _) => pointing.push(range),
                (false, true) => asking.push(range),
                (false, false) => {}
            }
        }
    };
    let mut from = 0;
    for (at, c) in text.char_indices() {
        let point = c == '.' && text.get(at + 1..).is_some_and(|rest| rest.starts_with(char::is_whitespace));
        if point || matches!(c, '?' | '!' | '\n' | ':' | '。' | '？' | '！' | '：') {
            add(from, at + c.len_utf8());
            from = at + c.len_utf8();
        }
    }
    add(from, text.len());
    match last {
        Some(last) => vec![last],
        None if pointing.is_empty() => asking,
        None => pointing,
    }
}

/// Whether each unit stands in a quotation of some length.
pub(super) fn quoted(text: &str, units: &[Unit]) -> Vec<bool> {
    let mut quoted = vec![false; units.len()];
    // Three marks are a string of code.
    for (open, close) in MARKS.into_iter().filter(|(open, _)| *open != '"' || !text.contains("\"\"\"")) {
        let mut start = None;
        for (at, c) in text.char_indices() {
            match start {
                None if c == open => start = Some(at),
                Some(from) if c == close => {
                    let range =
                        units.partition_point(|unit| unit.start < from)..units.partition_point(|unit| unit.start < at);
                    if range.len() >= SHORTEST {
                        quoted.iter_mut().take(range.end).skip(range.start).for_each(|unit| *unit = true);
                    }
                    start = None;
                }
                _ => {}
            }
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::super::text::Reader;
    use super::*;

    fn read(text: &str) -> (Vec<String>, String) {
        let mut units = Vec::new();
        Reader::new().units(text, &mut units);
        let slice = |range: &Range<usize>| text[units[range.start].start..units[range.end - 1].end].to_owned();
        let inside = units.iter().zip(quoted(text, &units)).filter(|(_, quoted)| *quoted);
        let inside: Vec<&str> = inside.map(|(unit, _)| &text[unit.start..unit.end]).collect();
        (frames(text, &units).iter().map(slice).collect(), inside.join(" "))
    }

    #[test]
    fn asking_is_told_from_quoting() {
        let lines = "Once the river froze, nobody crossed it before the bells rang in the spring";
        assert_eq!(
            read(&format!("Who wrote these lines? \"{lines}.\"")),
            (vec!["Who wrote these lines".to_owned()], lines.replace(',', ""))
        );
        assert_eq!(read(&format!("{lines}. Name the author of the poem.")).0, ["Name the author of the poem"]);
        assert_eq!(
            read("以下条款出自哪部法律：任何人不得在河面结冰以前过河，违者罚款五元，由镇长收取。").0,
            ["以下条款出自哪部法律"]
        );
        assert_eq!(read("How many apples are there?").0, [""; 0]);
        assert_eq!(
            read("Tom has 5 apples and 3 pears in a box of wood. How many apples are there?").0,
            ["How many apples are there"]
        );
    }
}

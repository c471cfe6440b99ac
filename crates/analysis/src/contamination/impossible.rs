//! Items that no document can have, made from real ones: what a search finds of them is a false alarm.

use super::item::BenchmarkItem;
use super::text::{is_unspaced, mixed};

/// How an impossible item is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impossible {
    /// The words of the question (characters, in Chinese) in random order.
    Shuffled,
    /// The first half of the question, and the second half of another one of the benchmark.
    Spliced,
}

/// For each of `items` one with the same id and benchmark, the same number of words, and a question that nobody asked.
/// Choices, answer, passage and solution are left out, as they are real. Items without a question, and spliced ones
/// without another item in their benchmark, are left out. The same items give the same result.
pub fn impossible(items: &[BenchmarkItem], how: Impossible) -> Vec<BenchmarkItem> {
    let made = |(number, item): (usize, &BenchmarkItem)| {
        let question = item.question.as_deref()?;
        let question = match how {
            Impossible::Shuffled => shuffled(&pieces(question), number as u64),
            Impossible::Spliced => {
                let other = another(items, number)?;
                let (first, second) = (pieces(question), pieces(other));
                let halves = first.iter().take(first.len() / 2).chain(second.iter().skip(second.len() / 2));
                halves.copied().collect::<String>()
            }
        };
        let (id, benchmark, subset) = (item.id.clone(), item.benchmark.clone(), item.subset.clone());
        Some(BenchmarkItem { id, benchmark, subset, question: Some(question), ..BenchmarkItem::default() })
    };
    items.iter().enumerate().filter_map(made).collect()
}

/// The question of another item of the benchmark, about half a benchmark away.
fn another(items: &[BenchmarkItem], number: usize) -> Option<&str> {
    let item = items.get(number)?;
    let far = items.len() / 2;
    let others = (0..items.len()).map(|k| (number + far + k) % items.len());
    others
        .filter_map(|other| items.get(other))
        .filter(|other| other.benchmark == item.benchmark)
        .filter_map(|other| other.question.as_deref())
        .find(|other| Some(*other) != item.question.as_deref())
}

/// Words with the white space after them, and single characters of scripts without.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut before = 'x';
    for (at, c) in text.char_indices() {
        if at > start && (is_unspaced(c) || is_unspaced(before) || before.is_whitespace() && !c.is_whitespace()) {
            pieces.extend(text.get(start..at));
            start = at;
        }
        before = c;
    }
    pieces.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    pieces
}

fn shuffled(pieces: &[&str], seed: u64) -> String {
    let mut order: Vec<(u64, &str)> = pieces
        .iter()
        .enumerate()
        .map(|(at, piece)| (mixed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ at as u64), *piece))
        .collect();
    order.sort_unstable();
    let mut out = String::new();
    for (_, piece) in order {
        out.push_str(piece);
        if !piece.ends_with(char::is_whitespace) && piece.is_ascii() {
            out.push(' ');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, question: &str) -> BenchmarkItem {
        let (id, benchmark) = (id.to_owned(), "b".to_owned());
        BenchmarkItem { id, benchmark, question: Some(question.to_owned()), ..BenchmarkItem::default() }
    }

    #[test]
    fn words_are_kept_and_order_is_not() {
        let items = [
            item("1", "one two three four five six seven eight nine ten"),
            item("2", "甲乙丙丁戊己庚辛壬癸"),
            item("3", "a b c d e f g h"),
        ];
        for (real, made) in items.iter().zip(impossible(&items, Impossible::Shuffled)) {
            let (real, made) = (real.question.as_deref().unwrap(), made.question.unwrap());
            let sorted = |text: &str| {
                let mut words: Vec<String> = pieces(text).iter().map(|piece| piece.trim().to_owned()).collect();
                words.sort();
                words
            };
            assert_eq!(sorted(real), sorted(&made));
            assert_ne!(real, made.trim());
        }
        let spliced = impossible(&items, Impossible::Spliced);
        assert_eq!(spliced[0].question.as_deref(), Some("one two three four five 己庚辛壬癸"));
        assert!(impossible(&items[..1], Impossible::Spliced).is_empty());
    }
}

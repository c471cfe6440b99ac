//! BLEU and chrF of a corpus, as sacrebleu 2.6 computes them with the settings of the harness. Both are made of counts
//! that are added up over documents.

use std::collections::BTreeMap;

use crate::numpy::count;
use crate::object::Object;
use crate::python::is_space;

/// A metric of translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Translation {
    /// BLEU (Papineni et al. 2002) with the tokenizer 13a and exponential smoothing.
    Bleu,
    /// chrF (Popović 2015): characters, up to six at once, and up to so many words.
    Chrf {
        /// How many words at once: 0 for chrF, 2 for chrF++.
        words: usize,
    },
}

/// How many words at once BLEU compares at most.
const WORDS: usize = 4;
/// How many characters at once chrF compares at most.
const CHARACTERS: usize = 6;

impl Translation {
    /// The counts of each document, of pairs of a reference (or a list of them) and a text.
    pub(crate) fn counts(self, values: &[Object]) -> Result<Vec<Vec<u64>>, String> {
        let mut number = None;
        values
            .iter()
            .map(|value| {
                let (references, text) = pair(value)?;
                if *number.get_or_insert(references.len()) != references.len() {
                    return Err("documents have different numbers of references, which is not supported".to_owned());
                }
                Ok(match self {
                    Self::Bleu => bleu_counts(&references, text),
                    Self::Chrf { words } => chrf_counts(&references, text, words),
                })
            })
            .collect()
    }

    /// The score of counts that were added up.
    pub(crate) fn score(self, counts: &[u64]) -> f64 {
        match self {
            Self::Bleu => bleu(counts),
            Self::Chrf { .. } => chrf(counts),
        }
    }

    /// The score of a corpus.
    pub(crate) fn of(self, values: &[Object]) -> Result<f64, String> {
        let counts = self.counts(values)?;
        let mut total = vec![0; counts.first().map_or(0, Vec::len)];
        for counts in &counts {
            add(&mut total, counts);
        }
        Ok(self.score(&total))
    }
}

/// Adds counts to a total.
pub(crate) fn add(total: &mut [u64], counts: &[u64]) {
    for (total, count) in total.iter_mut().zip(counts) {
        *total += count;
    }
}

fn as_text(object: &Object) -> Result<&str, String> {
    match object {
        Object::Text(text) => Ok(text),
        other => Err(format!("{} stands where a text is needed", other.kind())),
    }
}

fn pair(value: &Object) -> Result<(Vec<&str>, &str), String> {
    let (Object::List(pair) | Object::Tuple(pair)) = value else {
        return Err(format!("a value is {}, not a pair of a reference and a text", value.kind()));
    };
    let [references, text] = pair.as_slice() else { return Err("a value is not a pair".to_owned()) };
    let references = match references {
        Object::List(references) | Object::Tuple(references) => {
            references.iter().map(as_text).collect::<Result<Vec<_>, _>>()?
        }
        other => vec![as_text(other)?],
    };
    if references.is_empty() {
        return Err("a document has no reference".to_owned());
    }
    let text = match text {
        Object::List(texts) if texts.len() == 1 => as_text(&texts[0])?,
        other => as_text(other)?,
    };
    Ok((references, text))
}

/// Python's `str.split`.
fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// The tokenizer 13a of WMT: punctuation becomes words, points and commas within numbers do not.
fn tokenized(text: &str) -> String {
    let text = text.trim_end_matches(is_space);
    let mut text = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    for (entity, character) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        text = text.replace(entity, character);
    }
    let mut out = String::with_capacity(2 * text.len());
    for character in format!(" {text} ").chars() {
        if matches!(character, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/') {
            out.extend([' ', character, ' ']);
        } else {
            out.push(character);
        }
    }
    let stop = |character: char| matches!(character, '.' | ',');
    let digit = |character: char| character.is_ascii_digit();
    out = pairs(&out, |first, second| !digit(first) && stop(second), |a, b| [a, ' ', b, ' '].into_iter().collect());
    out = pairs(&out, |first, second| stop(first) && !digit(second), |a, b| [' ', a, ' ', b].into_iter().collect());
    pairs(&out, |first, second| digit(first) && second == '-', |a, b| [a, ' ', b, ' '].into_iter().collect())
}

/// Replaces pairs of neighbours from left to right; none is a part of two pairs.
fn pairs(text: &str, found: impl Fn(char, char) -> bool, replaced: impl Fn(char, char) -> String) -> String {
    let mut out = String::with_capacity(2 * text.len());
    let mut characters = text.chars().peekable();
    while let Some(first) = characters.next() {
        match characters.next_if(|second| found(first, *second)) {
            Some(second) => out.push_str(&replaced(first, second)),
            None => out.push(first),
        }
    }
    out
}

/// How often each run of so many neighbours occurs.
fn runs<T: Ord>(items: &[T], length: usize) -> BTreeMap<&[T], u64> {
    let mut runs = BTreeMap::new();
    for run in items.windows(length) {
        *runs.entry(run).or_insert(0) += 1;
    }
    runs
}

/// The lengths of text and reference, then for each number of words how many runs are right, then how many there are.
fn bleu_counts(references: &[&str], text: &str) -> Vec<u64> {
    let text = tokenized(text);
    let words: Vec<&str> = split(&text).collect();
    let references: Vec<String> = references.iter().map(|reference| tokenized(reference)).collect();
    let references: Vec<Vec<&str>> = references.iter().map(|reference| split(reference).collect()).collect();
    let closest = references.iter().map(Vec::len).min_by_key(|length| (length.abs_diff(words.len()), *length));
    let mut counts = vec![words.len() as u64, closest.unwrap_or(0) as u64];
    counts.resize(2 + 2 * WORDS, 0);
    for length in 1..=WORDS {
        let known: Vec<_> = references.iter().map(|reference| runs(reference, length)).collect();
        for (run, number) in runs(&words, length) {
            let most = known.iter().filter_map(|known| known.get(run)).max().copied().unwrap_or(0);
            counts[1 + length] += number.min(most);
            counts[1 + WORDS + length] += number;
        }
    }
    counts
}

fn bleu(counts: &[u64]) -> f64 {
    let number = |place: usize| count(usize::try_from(counts[place]).unwrap_or(usize::MAX));
    let (length, reference) = (number(0), number(1));
    let brevity = if counts[0] >= counts[1] {
        1.0
    } else if counts[0] > 0 {
        libm::exp(1.0 - reference / length)
    } else {
        0.0
    };
    if counts[2..2 + WORDS].iter().all(|right| *right == 0) {
        return 0.0;
    }
    let mut precisions = [0.0; WORDS];
    let mut smoothing = 1.0;
    for (place, precision) in precisions.iter_mut().enumerate() {
        let (right, all) = (number(2 + place), number(2 + WORDS + place));
        if all == 0.0 {
            break;
        }
        *precision = if right == 0.0 {
            smoothing *= 2.0;
            100.0 / (smoothing * all)
        } else {
            100.0 * right / all
        };
    }
    // sacrebleu's logarithm of nothing.
    let logarithm = |precision: &f64| if *precision == 0.0 { -9_999_999_999.0 } else { libm::log(*precision) };
    brevity * libm::exp(precisions.iter().map(logarithm).fold(0.0, |sum, value| sum + value) / count(WORDS))
}

/// Punctuation at the end of a word, or else at its start, becomes a word.
fn separated(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in split(text) {
        let ends = |character: Option<char>| character.filter(char::is_ascii_punctuation);
        if word.chars().nth(1).is_none() {
            words.push(word.to_owned());
        } else if let Some(end) = ends(word.chars().next_back()) {
            words.extend([word[..word.len() - 1].to_owned(), end.to_string()]);
        } else if let Some(start) = ends(word.chars().next()) {
            words.extend([start.to_string(), word[1..].to_owned()]);
        } else {
            words.push(word.to_owned());
        }
    }
    words
}

/// For each number of characters, then of words: the runs of the text, of the reference, and of both. Of several
/// references the one with the best score.
fn chrf_counts(references: &[&str], text: &str, words: usize) -> Vec<u64> {
    let characters = |text: &str| -> Vec<char> { text.chars().filter(|character| !is_space(*character)).collect() };
    let (text_characters, text_words) = (characters(text), separated(text));
    let mut best: Option<(f64, Vec<u64>)> = None;
    for reference in references {
        let (reference_characters, reference_words) = (characters(reference), separated(reference));
        let mut counts = Vec::with_capacity(3 * (CHARACTERS + words));
        for length in 1..=CHARACTERS {
            counts.extend(common(&runs(&text_characters, length), &runs(&reference_characters, length)));
        }
        for length in 1..=words {
            counts.extend(common(&runs(&text_words, length), &runs(&reference_words, length)));
        }
        let score = chrf(&counts);
        if best.as_ref().is_none_or(|(other, _)| score > *other) {
            best = Some((score, counts));
        }
    }
    best.map_or_else(Vec::new, |(_, counts)| counts)
}

fn common<T: Ord>(text: &BTreeMap<&[T], u64>, reference: &BTreeMap<&[T], u64>) -> [u64; 3] {
    let both = text.iter().map(|(run, number)| reference.get(run).map_or(0, |other| *number.min(other))).sum();
    let of_text = if reference.is_empty() { 0 } else { text.values().sum() };
    [of_text, reference.values().sum(), both]
}

fn chrf(counts: &[u64]) -> f64 {
    // Recall counts twice as much as precision.
    const FACTOR: f64 = 4.0;
    let (mut precision, mut recall, mut lengths) = (0.0, 0.0, 0_usize);
    for of_length in counts.chunks_exact(3) {
        let number = |place: usize| count(usize::try_from(of_length[place]).unwrap_or(usize::MAX));
        if of_length[0] > 0 && of_length[1] > 0 {
            precision += number(2) / number(0);
            recall += number(2) / number(1);
            lengths += 1;
        }
    }
    if lengths > 0 {
        precision /= count(lengths);
        recall /= count(lengths);
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    100.0 * ((1.0 + FACTOR) * precision * recall / (FACTOR * precision + recall))
}

//! Whether what a document has of an item is a leak.
//!
//! The question decides. Each threshold is said where it stands; `score` of a finding lets a reader judge the cut.

use retrace_spec::recipe::Verdict;

use super::cover::Cover;
use super::index::Target;
use super::tally::Basis;

/// A question that tells less has no content of its own: `Which of the following is true?` tells 0.8 or less.
pub(super) const TELLS: f64 = 1.5;

/// A question of fewer words is short (13 words, or 20 characters: two words are three characters).
const SHORT: f64 = 13.0;

/// A shorter answer is looked for beside its question only.
pub(super) const SHORTEST_ANSWER: usize = 5;

/// An answer or a choice that more items have is one of a list: colours, towns. Beside a short question that is not there
/// word for word it says nothing: the question may be another one of the same form.
pub(super) const ALIKE: usize = 3;

/// What stands beside a question.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Beside {
    /// Whether the answer does.
    pub(super) answer: bool,
    /// What that answer tells.
    pub(super) answer_tells: f64,
    /// Whether more than [`ALIKE`] items have that answer.
    pub(super) answer_shared: bool,
    /// Whether choices follow, and none is the item's.
    pub(super) other_choices: bool,
}

/// What was found of the parts of one item.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) question: Option<(&'a Target, &'a Cover)>,
    pub(super) passage: Option<(&'a Target, &'a Cover)>,
    pub(super) solution: Option<(&'a Target, &'a Cover)>,
    pub(super) answer: Option<(&'a Target, &'a Cover)>,
    /// Of the choices: how many there are, how many were found, and what these tell together.
    pub(super) choices: (usize, usize, f64),
    /// What the found choices tell that at most [`ALIKE`] items have.
    pub(super) own_choices: f64,
    pub(super) beside: Beside,
}

/// The verdict, its score, and what it rests on. None if there is nothing to say.
pub(super) fn judge(parts: &Parts<'_>) -> Option<(Verdict, f64, Basis)> {
    let by_question = parts.question.map(|(target, cover)| question(target, cover, parts));
    if let Some(verdict @ (Verdict::Leak, _, _)) = by_question {
        return Some(verdict);
    }
    // A long answer or solution that no other text has gives the item away too.
    for (target, cover) in [parts.solution, parts.answer].into_iter().flatten() {
        let long = target.words() >= 20.0 && cover.tells(target) >= 8.0;
        if long && cover.weighted >= 0.75 && cover.density() >= 0.6 && !other_values(target, cover) {
            return Some((Verdict::Leak, cover.weighted, Basis::Piece));
        }
    }
    let (all, seen, tell) = parts.choices;
    let mut rest = Vec::new();
    if let Some((target, cover)) = parts.passage
        && (cover.longest() >= 13 && cover.weighted >= 0.2 || cover.weighted >= 0.5)
    {
        rest.push((Verdict::PassageOnly, cover.weighted.min(cover.tells(target))));
    }
    for (target, cover) in [parts.solution, parts.answer].into_iter().flatten() {
        // A short answer stands anywhere.
        if cover.weighted >= 0.6 && target.units.len() >= SHORTEST_ANSWER {
            rest.push((Verdict::AnswerOnly, cover.weighted));
        }
    }
    if all > 1 && seen * 4 >= all * 3 && tell >= 3.0 {
        rest.push((Verdict::ChoicesOnly, seen as f64 / all as f64));
    }
    let other = rest.first().map(|(verdict, score)| (*verdict, *score, Basis::Settled));
    match by_question {
        // What the question alone says, unless another part was seen better.
        Some((Verdict::NearMiss, score, _)) if score < 0.5 && other.is_some() => other,
        Some((Verdict::TooShort | Verdict::StockPhrase, _, _)) if other.is_some() => other,
        Some((Verdict::NearMiss, score, _)) if score < 0.3 || parts.question.is_some_and(few) => other,
        // Digits in a row are in every table.
        Some((Verdict::NearMiss, score, _))
            if score < 0.9 && parts.question.is_some_and(|(target, _)| only_numbers(target)) =>
        {
            other
        }
        Some(verdict) => Some(verdict),
        None => other,
    }
}

/// Whether hardly any units were found, however much they tell: a name.
fn few((_, cover): (&Target, &Cover)) -> bool {
    cover.counted < 0.3 || cover.pairs.len() < 4
}

fn question(target: &Target, cover: &Cover, parts: &Parts<'_>) -> (Verdict, f64, Basis) {
    let (all, seen, tell) = parts.choices;
    let choices = all > 1 && seen * 4 >= all * 3;
    let score = cover.weighted;
    let passage = parts.passage.is_some_and(|(target, cover)| cover.weighted >= 0.3 && target.content >= TELLS);
    // However many items are of its template, a text with all of its values is this item and no other one.
    let exact = cover.counted == 1.0 && cover.density() == 1.0 && target.alone >= TELLS && target.items.len() <= ALIKE;
    if target.content < TELLS && !exact {
        // The question has no content: choices, passage or answer must have it.
        let whole = cover.counted >= 0.75;
        let answer = parts.beside.answer && parts.beside.answer_tells >= 0.8 && target.units.len() >= 3;
        if whole && (choices && tell >= 3.0 || passage || answer) {
            return (Verdict::Leak, cover.counted, Basis::Settled);
        }
        let verdict = match (whole, target.words() < 4.0) {
            (false, _) => Verdict::NearMiss,
            (true, true) => Verdict::TooShort,
            (true, false) => Verdict::StockPhrase,
        };
        return (verdict, cover.counted * cover.weighted.min(0.9), Basis::Settled);
    }
    // Other values would have another answer.
    let short = target.words() < SHORT;
    let whole = cover.counted >= 0.95 && cover.density() >= 0.9;
    let (answer, tell) = match short && !whole {
        true => (parts.beside.answer && !parts.beside.answer_shared, parts.own_choices),
        false => (parts.beside.answer, tell),
    };
    let answered = answer && parts.beside.answer_tells >= 0.8 || choices && tell >= 1.0;
    let supported = answered || passage;
    let other_values = !answered && other_values(target, cover);
    let (least, all_units) = match (short, supported) {
        (true, true) => (0.55, 0.65),
        (true, false) => (0.72, 0.75),
        (false, _) => (0.7, 0.68),
    };
    if score >= least && cover.counted >= all_units {
        // A name in running text is no question without the words that ask about it.
        let name_only = (short || !target.asks) && !supported && (ends_missing(target, cover) || no_ask(target, cover));
        if cover.density() < if supported { 0.4 } else { 0.65 }
            || name_only
            || only_numbers(target) && (cover.counted < 1.0 || cover.density() < 1.0)
        {
            return (Verdict::NearMiss, score, Basis::Settled);
        }
        if !supported
            && (!target.asks && (target.words() < 6.0 || target.content < 3.0)
                || only_numbers(target) && target.units.len() < 6)
        {
            return (Verdict::TooShort, score, Basis::Settled);
        }
        if other_values || parts.beside.other_choices && !supported {
            return (Verdict::SameTemplate, score, Basis::Settled);
        }
        if frame_missing(target, cover) || ask_missing(target, cover) || quote_only(target, cover) {
            return (Verdict::Quotation, score, Basis::Settled);
        }
        let basis = if short && !supported { Basis::Bare } else { Basis::Settled };
        return (Verdict::Leak, score, basis);
    }
    if score >= 0.5 && (choices && tell >= 3.0 || passage) && !other_values {
        return (Verdict::Leak, score, Basis::Settled);
    }
    // A long piece of it, whole in itself: half a question.
    let extent = cover.extent();
    let whole_piece = cover.pairs.len() as f64 >= 0.8 * extent as f64 && cover.density() >= 0.7;
    let words = target.words() * extent as f64 / target.units.len().max(1) as f64;
    if score >= 0.35 && whole_piece && words >= 13.0 && cover.tells(target) >= 4.0 {
        if other_values {
            return (Verdict::SameTemplate, score, Basis::Settled);
        }
        let framed = frame_missing(target, cover) && rest_found(target, cover);
        if quotes(target, cover) || framed || in_the_midst(target, cover) {
            return (Verdict::Quotation, score, Basis::Settled);
        }
        return (Verdict::Leak, score, Basis::Piece);
    }
    (Verdict::NearMiss, score, Basis::Settled)
}

/// Whether values differ while the other words agree: the item's template with other values, and no copy in which words
/// were replaced at random. Of numbers in digits, in words, of names, and of what is not of the form, each apart: the sign
/// of a ratio of likelihoods says so: a template changes 85 % of its values (70 % of those that may be from a short list)
/// and 2 % of its other words, an editor a tenth of either.
fn other_values(target: &Target, cover: &Cover) -> bool {
    let (Some(first), Some(last)) = (cover.pairs.first(), cover.pairs.last()) else { return false };
    // A value at an end of what was found counts as changed, not as missing.
    let (from, to) = (first.0.saturating_sub(3), last.0 + 4);
    let units = || target.classes.iter().zip(&target.of_form).zip(&cover.found).take(to).skip(from);
    let mut counts = [[0.0_f64; 2]; 4];
    let mut last = (0, true);
    for ((class, _), found) in units() {
        let kind = class.value().map_or(0, |kind| kind + 1);
        // Units that are replaced side by side are one word, or one name of some length.
        if (kind, *found) == last && !found {
            continue;
        }
        last = (kind, *found);
        if let Some(count) = counts.get_mut(kind).and_then(|of| of.get_mut(usize::from(!*found))) {
            *count += 1.0;
        }
    }
    let [words, values @ ..] = counts;
    if values.into_iter().any(|[same, changed]| changed > same && is_template(words, [same, changed], 0.85)) {
        return true;
    }
    if !target.of_form.contains(&true) {
        return false;
    }
    // What stands between two phrases of the form is one value, of any words.
    let (mut words, mut values) = ([0.0_f64; 2], [0.0_f64; 2]);
    let units: Vec<(bool, bool)> = units().map(|((_, of_form), found)| (*of_form, *found)).collect();
    for stretch in stretches(&units).chunk_by(|one, two| one.0 == two.0) {
        let found = stretch.iter().filter(|(_, found)| *found).count();
        if stretch.first().is_some_and(|(of_form, _)| *of_form) {
            words = [words[0] + found as f64, words[1] + (stretch.len() - found) as f64];
        } else {
            values[usize::from(found * 2 <= stretch.len())] += 1.0;
        }
    }
    // One of several that differs may be an editor's.
    let enough = values[1] >= 2.0 || values[1] >= 1.0 && values[1] >= values[0];
    enough && is_template(words, values, 0.7)
}

/// Units as (of the form, found), where a word of the form that is missing beside a missing value is part of the value: an
/// article changes with its noun.
fn stretches(units: &[(bool, bool)]) -> Vec<(bool, bool)> {
    let changed = |at: Option<usize>| at.and_then(|at| units.get(at)) == Some(&(false, false));
    let beside = |at: usize| changed(at.checked_sub(1)) || changed(Some(at + 1));
    units.iter().enumerate().map(|(at, (of_form, found))| (*of_form && (*found || !beside(at)), *found)).collect()
}

/// Whether a template, which gives a value anew and another one with probability `other`, explains better than an editor
/// how many words and values are the same and how many changed.
fn is_template(words: [f64; 2], values: [f64; 2], other: f64) -> bool {
    let ln = libm::log;
    let of_words = words[0].min(30.0) * ln(0.98 / 0.9) + words[1] * ln(0.02 / 0.1);
    values[1] * ln(other / 0.1) + values[0] * ln((1.0 - other) / 0.9) + of_words > 1.0
}

/// Whether more than a word or an eighth is missing at the start and the end together. Of characters, more than one
/// if any tells something, or more than three.
fn ends_missing(target: &Target, cover: &Cover) -> bool {
    let (Some(first), Some(last)) = (cover.pairs.first(), cover.pairs.last()) else { return true };
    let missing = target.units.len() - cover.extent();
    if target.classes.first().is_some_and(|class| class.is_cjk()) {
        let mut at_ends = target.weights.iter().enumerate().filter(|(at, _)| *at < first.0 || *at > last.0);
        return missing > 3.max(target.units.len() / 8) || missing > 1 && at_ends.any(|(_, weight)| *weight >= 0.2);
    }
    missing > 1.max(target.units.len() / 8)
}

/// Whether all words that ask are missing at the start or the end.
fn no_ask(target: &Target, cover: &Cover) -> bool {
    let (Some(first), Some(last)) = (cover.pairs.first(), cover.pairs.last()) else { return false };
    let mut asking = target.asking.iter().enumerate().filter(|(_, asks)| **asks).peekable();
    asking.peek().is_some() && asking.all(|(at, _)| at < first.0 || at > last.0)
}

/// Whether it is a calculation: nearly all units are numbers.
fn only_numbers(target: &Target) -> bool {
    let numbers = target.classes.iter().filter(|class| class.is_number()).count();
    numbers * 10 >= target.units.len() * 8
}

/// Whether nothing of what the question asks was found, though it asks in sentences of their own.
fn frame_missing(target: &Target, cover: &Cover) -> bool {
    let units: usize = target.frames.iter().map(ExactSizeIterator::len).sum();
    let found = target.frames.iter().flat_map(Clone::clone).filter(|at| cover.found.get(*at) == Some(&true)).count();
    units > 0 && found * 3 < units
}

/// Whether some words at one end are missing, among them one that asks, and everything else is there: a text that the
/// question only quotes. Words that were replaced at random do not stand together.
fn ask_missing(target: &Target, cover: &Cover) -> bool {
    let (Some(first), Some(last)) = (cover.pairs.first(), cover.pairs.last()) else { return false };
    let least = if target.classes.first().is_some_and(|class| class.is_cjk()) { 4 } else { 3 };
    let asks = |mut flags: std::iter::Take<std::slice::Iter<'_, bool>>| flags.any(|asks| *asks);
    let head = first.0 >= least && asks(target.asking.iter().take(first.0));
    let tail = target.asking.get(last.0 + 1..).unwrap_or_default();
    let tail = tail.len() >= least && asks(tail.iter().take(tail.len()));
    (head || tail) && cover.pairs.len() * 33 >= cover.extent() * 32
}

/// Whether what was found stands in quotation marks, and what stands outside is missing.
fn quote_only(target: &Target, cover: &Cover) -> bool {
    let outside = target.quoted.iter().zip(&cover.found).filter(|(quoted, _)| !**quoted);
    let (all, found) = outside.fold((0, 0), |sum, (_, found)| (sum.0 + 1, sum.1 + usize::from(*found)));
    all >= 2 && found * 5 < all * 2 && quotes(target, cover)
}

/// Whether all else of it was found, and is no problem's data, which has numbers.
fn rest_found(target: &Target, cover: &Cover) -> bool {
    let frame = |at: usize| target.frames.iter().any(|range| range.contains(&at));
    let outside: Vec<bool> =
        cover.found.iter().enumerate().filter(|(at, _)| !frame(*at)).map(|(_, found)| *found).collect();
    let found = outside.iter().filter(|found| **found).count();
    let numbers = target.classes.iter().zip(&cover.found).filter(|(class, found)| **found && class.is_number()).count();
    found * 20 >= outside.len() * 17 && (numbers < 2 || found < 20)
}

/// Whether what was found has its start and its end in the midst of the question, which asks outside of it.
fn in_the_midst(target: &Target, cover: &Cover) -> bool {
    let (Some(first), Some(last)) = (cover.pairs.first(), cover.pairs.last()) else { return false };
    let tail = target.units.len() - 1 - last.0;
    let mut outside = target.asking.iter().enumerate().filter(|(at, _)| *at < first.0 || *at > last.0);
    first.0 >= 3 && tail >= 3 && outside.any(|(_, asks)| *asks)
}

/// Whether what was found stands within quotation marks in the question.
fn quotes(target: &Target, cover: &Cover) -> bool {
    let quoted = cover.pairs.iter().filter(|(i, _)| target.quoted.get(*i) == Some(&true)).count();
    quoted * 5 >= cover.pairs.len() * 3
}

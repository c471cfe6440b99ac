//! Our method: what a document has of each item, part by part.

use std::collections::BTreeMap;

use retrace_spec::recipe::{Method, Verdict};

use super::align::aligned;
use super::cover::{Cover, cover};
use super::finding::{Excerpt, Finding};
use super::index::{Own, Target, Targets};
use super::item::{BenchmarkItem, Document, Part};
use super::judge::{ALIKE, Beside, Parts, TELLS, judge};
use super::seeds::{Hit, NONE};
use super::seen::seen;
use super::tally::{Basis, Candidate, Tally};
use super::text::Unit;
use super::words::Class;

/// Choices and answer are looked for so many units around the question, and twice their own length.
const NEAR: usize = 60;

/// The answer is looked for so many units after the question, and its choices.
const AFTER: usize = 20;

/// The letter of the answer is one of so many units after the choices: `Answer: C`, `Correct answer is option C`.
const LETTER: usize = 6;

/// Between two choices of a list stand at most so many units: a letter, a number, "or".
const BETWEEN: usize = 2;

/// A question without content that more items have is looked at only where another of their parts is.
const SHARED: usize = 3;

/// The most seeds of a finding whose documents are counted.
const SAMPLED: usize = 32;

/// Memory for one document, used again for the next.
#[derive(Debug)]
pub(super) struct Scratch {
    hits: Vec<Hit>,
    /// For each seed, the last document that had it.
    last: Vec<u8>,
    /// The document's number. It starts again before `last` has no room for it.
    number: u8,
    /// A place of each seed of a document.
    different: Vec<Hit>,
    /// For each target, what is left of it to find.
    left: Vec<Left>,
    documents: u32,
}

/// How many more seeds of a target a document must have to be compared with it.
#[derive(Debug, Clone, Copy)]
struct Left {
    /// At the start of each document.
    least: u32,
    /// Of `document`.
    left: u32,
    document: u32,
}

/// What a document has of each piece of an item.
type Covers = BTreeMap<usize, Cover>;

/// An item of which a document has something, and what that is by the document alone.
struct Judged {
    item: u32,
    covers: Covers,
    verdict: Verdict,
    score: f64,
    basis: Basis,
    with_answer: bool,
}

impl Scratch {
    pub(super) fn new(targets: &Targets) -> Self {
        let left = |least: &u32| Left { least: *least, left: 0, document: 0 };
        Self {
            hits: Vec::new(),
            last: vec![0; targets.seeds.len()],
            number: 0,
            different: Vec::new(),
            left: targets.least.iter().map(left).collect(),
            documents: 0,
        }
    }

    /// Adds to `tally` what `document`, whose units are `units`, has of the items.
    pub(super) fn scan(
        &mut self,
        items: &[BenchmarkItem],
        targets: &Targets,
        document: &Document<'_>,
        units: &[Unit],
        tally: &mut Tally,
    ) {
        let led = self.led(targets, units, tally);
        if led.is_empty() {
            return;
        }
        self.hits.sort_unstable();
        let mut covers: BTreeMap<u32, Cover> = BTreeMap::new();
        for number in led {
            let Some(target) = targets.get(number) else { continue };
            if let Some(cover) = cover(target, units, &self.hits) {
                covers.insert(number, cover);
            }
        }
        let mut found: Vec<Judged> = Vec::new();
        for (number, of_item) in by_item(targets, &covers) {
            let Some(own) = targets.own.get(number as usize) else { continue };
            let (of_item, beside) = beside(targets, own, of_item, units);
            let of_item = without_copies(targets, own, of_item, units);
            let parts = parts(targets, own, &of_item, beside);
            if let Some((verdict, score, basis)) = judge(&parts) {
                found.push(Judged { item: number, covers: of_item, verdict, score, basis, with_answer: beside.answer });
            }
        }
        let siblings = siblings(targets, &found);
        for (judged, sibling) in found.into_iter().zip(siblings) {
            let Judged { item: number, covers, verdict, score, basis, with_answer } = judged;
            let (Some(own), Some(item)) = (targets.own.get(number as usize), items.get(number as usize)) else {
                continue;
            };
            let verdict = if sibling { Verdict::SameTemplate } else { verdict };
            let seeds = sampled(targets, own, &covers);
            let seen = seen(targets, item, own, &covers, document.text, units);
            let finding = Finding {
                method: Method::Spans,
                item: number,
                document: document.id.to_owned(),
                shard: document.shard.to_owned(),
                line: document.line,
                lang: document.lang.map(str::to_owned),
                source: document.source.map(str::to_owned),
                verdict,
                score,
                excerpt: Excerpt::of(document.text, &seen),
                seen,
                with_answer,
            };
            tally.add(Candidate { finding, basis, seeds });
        }
    }

    /// The targets of which the document has seeds enough, by number; counts the documents of each seed.
    fn led(&mut self, targets: &Targets, units: &[Unit], tally: &mut Tally) -> Vec<u32> {
        targets.seeds.find(units, &mut self.hits);
        self.begin();
        self.different.clear();
        self.different.extend_from_slice(&self.hits);
        let mut count = 0;
        // Without a branch for each: whether a seed is new nobody could foresee.
        for hit in &self.hits {
            let seed = hit.seed as usize;
            let (Some(last), Some(known)) = (self.last.get_mut(seed), tally.seeds.get_mut(seed)) else { continue };
            let new = *last != self.number;
            *last = self.number;
            *known = known.saturating_add(u32::from(new));
            if let Some(slot) = self.different.get_mut(count) {
                *slot = *hit;
            }
            count += usize::from(new);
        }
        let mut led = Vec::new();
        for hit in self.different.iter().take(count) {
            for target in targets.seeds.targets(*hit) {
                let Some(of_target) = self.left.get_mut(target as usize) else { continue };
                let left = if of_target.document == self.documents { of_target.left } else { of_target.least };
                (of_target.document, of_target.left) = (self.documents, left.wrapping_sub(1));
                if left == 1 {
                    led.push(target);
                }
            }
        }
        led.sort_unstable();
        led
    }

    /// Numbers the next document.
    fn begin(&mut self) {
        if self.number == u8::MAX {
            self.last.fill(0);
            self.number = 0;
        }
        self.number += 1;
        if self.documents == u32::MAX {
            self.left.iter_mut().for_each(|of_target| of_target.document = 0);
            self.documents = 0;
        }
        self.documents += 1;
    }
}

/// A question that was found where the passage says the same is looked for after the passage, and else left out. It stays
/// if hardly more of the passage is there than the question repeats.
fn without_copies(targets: &Targets, own: &[Own], mut covers: Covers, units: &[Unit]) -> Covers {
    let is = |piece: usize, part: Part| own.get(piece).is_some_and(|own| own.piece.part == part);
    let find = |part: Part| covers.iter().find(|(piece, _)| is(**piece, part));
    let (Some((question, asked)), Some((_, passage))) = (find(Part::Question), find(Part::Passage)) else {
        return covers;
    };
    let mut places: Vec<usize> = passage.pairs.iter().map(|pair| pair.1).collect();
    places.sort_unstable();
    let inside = asked.pairs.iter().filter(|pair| places.binary_search(&pair.1).is_ok()).count();
    if inside * 5 >= asked.pairs.len() * 4 && passage.pairs.len() * 2 > asked.pairs.len() * 3 {
        let (question, end) = (*question, passage.in_document().1);
        covers.remove(&question);
        let target = own.get(question).and_then(|own| targets.get(own.target?));
        if let Some(target) = target {
            let after = units.get(end..(end + 2 * target.units.len() + NEAR).min(units.len())).unwrap_or_default();
            let hashes: Vec<u64> = after.iter().map(|unit| unit.hash).collect();
            let pairs: Vec<(usize, usize)> =
                aligned(&target.units, &hashes).into_iter().map(|(i, j)| (i, end + j)).collect();
            if !pairs.is_empty() {
                covers.insert(question, Cover::new(target, pairs));
            }
        }
    }
    covers
}

/// What was found, by item and piece.
fn by_item(targets: &Targets, covers: &BTreeMap<u32, Cover>) -> BTreeMap<u32, Covers> {
    let mut found: BTreeMap<u32, Covers> = BTreeMap::new();
    let mut add = |number: u32, wanted: &dyn Fn(&BTreeMap<u32, Covers>, u32) -> bool| {
        let (Some(target), Some(cover)) = (targets.get(number), covers.get(&number)) else { return };
        for item in &target.items {
            if !wanted(&found, *item) {
                continue;
            }
            let own = targets.own.get(*item as usize).map(Vec::as_slice).unwrap_or_default();
            for (piece, _) in own.iter().enumerate().filter(|(_, own)| own.target == Some(number)) {
                found.entry(*item).or_default().insert(piece, cover.clone());
            }
        }
    };
    let shared = |number: &u32| {
        targets.get(*number).is_some_and(|target| {
            target.part == Part::Question && target.items.len() > SHARED && target.content < TELLS
        })
    };
    for number in covers.keys().filter(|number| !shared(number)) {
        add(*number, &|_, _| true);
    }
    for number in covers.keys().filter(|number| shared(number)) {
        add(*number, &|found, item| found.contains_key(&item));
    }
    found
}

/// Adds choices and answer that stand beside the question. Also says whether the answer does, and what it tells.
fn beside(targets: &Targets, own: &[Own], mut covers: Covers, units: &[Unit]) -> (Covers, Beside) {
    let is = |piece: usize, part: Part| own.get(piece).is_some_and(|own| own.piece.part == part);
    let question = covers.iter().find(|(piece, _)| is(**piece, Part::Question)).map(|(_, cover)| cover.in_document());
    let Some((first, end)) = question else { return (covers, Beside::default()) };
    let length: usize = own
        .iter()
        .filter(|own| own.piece.part == Part::Choices)
        .filter_map(|own| targets.get(own.target?))
        .map(|target| target.units.len())
        .sum();
    let margin = NEAR + 2 * length;
    let from = first.saturating_sub(margin);
    let near = units.get(from..(end + margin).min(units.len())).unwrap_or_default();
    let find = |target: &Target, within: std::ops::Range<usize>, not: Option<usize>| {
        let skipped = within.start;
        let windows = near.get(within).unwrap_or_default().windows(target.units.len()).enumerate();
        let is = |window: &[Unit]| window.iter().map(|unit| unit.hash).eq(target.units.iter().copied());
        let places = windows.filter(|(_, window)| is(window)).map(|(at, _)| from + skipped + at);
        places.into_iter().find(|place| Some(*place) != not)
    };
    let at =
        |target: &Target, place: usize| Cover::new(target, (0..target.units.len()).map(|i| (i, place + i)).collect());
    let target_of = |own: &Own| own.target.and_then(|target| targets.get(target));
    let pieces = |part: Part| own.iter().enumerate().filter(move |(_, own)| own.piece.part == part);
    // Of each choice its target, and its place if it is there as it is.
    let mut listed: Vec<(&Target, usize, Option<usize>)> = Vec::new();
    for (piece, own) in pieces(Part::Choices) {
        let Some(target) = target_of(own) else { continue };
        let place = find(target, 0..near.len(), None);
        if let Some(place) = place {
            covers.insert(piece, at(target, place));
        }
        listed.push((target, own.piece.choice, place));
    }
    let mut places: Vec<(usize, usize)> =
        listed.iter().filter_map(|(target, _, place)| Some(((*place)?, (*place)? + target.units.len()))).collect();
    places.sort_unstable();
    // Choices that follow each other are a list.
    let follow = |one: &[(usize, usize)]| matches!(one, [one, next] if next.0 <= one.1 + BETWEEN);
    let in_a_list = |place: usize| places.windows(2).any(|two| follow(two) && two.iter().any(|of| of.0 == place));
    let list_end = places.windows(2).filter(|two| follow(two)).filter_map(|two| Some(two.last()?.1)).max();
    let mut beside = Beside::default();
    for (piece, own) in pieces(Part::Answer) {
        let Some(target) = target_of(own) else { continue };
        let choice = listed.iter().find(|(choice, ..)| choice.units == target.units);
        // The answer comes after the question and its choices; the word may be in the question too. In a list of the
        // choices it is one of them, and gives nothing away.
        let in_list = choice.and_then(|(_, _, place)| *place).filter(|place| in_a_list(*place));
        let after = end - from..(end - from + AFTER + 2 * length + target.units.len()).min(near.len());
        let place = find(target, after, in_list);
        let letter = choice.and_then(|(_, number, _)| targets.letters.get(*number)).zip(list_end);
        let letter = letter.is_some_and(|(letter, end)| {
            let mut after = units.get(end..(end + LETTER).min(units.len())).unwrap_or_default().iter();
            after.find(|unit| targets.letters.contains(&unit.hash)).is_some_and(|unit| unit.hash == *letter)
        });
        if let Some(place) = place {
            covers.insert(piece, at(target, place));
        }
        let elsewhere = in_list.is_none() && covers.get(&piece).is_some_and(|cover| cover.weighted >= 0.75);
        if place.is_some() || letter || elsewhere {
            beside.answer = true;
            beside.answer_tells = target.content;
            beside.answer_shared = target.alike > ALIKE;
        }
    }
    let there = |piece: usize| covers.get(&piece).is_some_and(|cover| cover.counted >= 0.5);
    let choices = pieces(Part::Choices).filter(|(_, own)| target_of(own).is_some());
    let choices = choices.fold((0, 0), |sum, (piece, _)| (sum.0 + 1, sum.1 + usize::from(there(piece))));
    // Other choices: a second letter soon after the first, and none of the item's.
    let after = units.get(end..(end + NEAR).min(units.len())).unwrap_or_default();
    let letter = |letter: u64, within: usize| after.iter().take(within).any(|unit| unit.hash == letter);
    let [a, b] = [0, 1].map(|at| targets.letters.get(at).copied().unwrap_or_default());
    beside.other_choices = choices.0 > 1 && choices.1 == 0 && letter(a, 3) && letter(b, NEAR);
    (covers, beside)
}

fn parts<'a>(targets: &'a Targets, own: &[Own], covers: &'a Covers, beside: Beside) -> Parts<'a> {
    let mut parts = Parts { beside, ..Parts::default() };
    for (piece, own) in own.iter().enumerate() {
        let Some(target) = own.target.and_then(|target| targets.get(target)) else { continue };
        let cover = covers.get(&piece);
        let both = cover.map(|cover| (target, cover));
        match own.piece.part {
            Part::Question => parts.question = parts.question.or(both),
            Part::Passage => parts.passage = parts.passage.or(both),
            Part::Solution => parts.solution = parts.solution.or(both),
            Part::Answer => parts.answer = parts.answer.or(both),
            Part::Choices => {
                parts.choices.0 += 1;
                if cover.is_some_and(|cover| cover.counted >= 0.75) {
                    parts.choices.1 += 1;
                    parts.choices.2 += content(target);
                    parts.own_choices += if target.alike > ALIKE { 0.0 } else { content(target) };
                }
            }
        }
    }
    parts
}

/// What a choice tells. Numbers alone tell little: many questions have the choices 1, 2, 3, 4.
fn content(target: &Target) -> f64 {
    let of = |(weight, class): (&f64, &Class)| if class.is_number() { 0.3 * weight } else { *weight };
    target.weights.iter().zip(&target.classes).map(of).sum()
}

/// For each item with a leaked question, whether another item explains the same place of the document better: then it
/// is that one's template.
fn siblings(targets: &Targets, found: &[Judged]) -> Vec<bool> {
    let question = |judged: &Judged| -> Option<(Cover, (usize, usize))> {
        let own = targets.own.get(judged.item as usize)?;
        let is_question = |piece: usize| own.get(piece).is_some_and(|own| own.piece.part == Part::Question);
        let (_, cover) = judged.covers.iter().find(|(piece, _)| is_question(**piece))?;
        (judged.verdict == Verdict::Leak).then(|| (cover.clone(), cover.in_document()))
    };
    let all: Vec<_> = found.iter().map(question).collect();
    all.iter()
        .map(|one| {
            let Some((cover, place)) = one else { return false };
            all.iter().flatten().any(|(other, there)| {
                let common = place.1.min(there.1).saturating_sub(place.0.max(there.0));
                common * 2 >= place.1 - place.0
                    && other.counted > cover.counted
                    && other.pairs.len() >= cover.pairs.len()
            })
        })
        .collect()
}

/// Seeds of what was found, evenly spread.
fn sampled(targets: &Targets, own: &[Own], covers: &Covers) -> Vec<u32> {
    let mut seeds = Vec::new();
    for (piece, cover) in covers {
        let Some(own) = own.get(*piece).filter(|own| own.piece.part != Part::Choices) else { continue };
        let Some(target) = own.target.and_then(|target| targets.get(target)) else { continue };
        for (at, seed) in target.seeds.iter().enumerate() {
            let length = if target.classes.get(at).is_some_and(|class| class.is_cjk()) { 4 } else { 3 };
            let whole = cover.found.get(at..at + length).is_some_and(|found| found.iter().all(|found| *found));
            if *seed != NONE && whole {
                seeds.push(*seed);
            }
        }
    }
    let step = seeds.len().div_ceil(SAMPLED).max(1);
    seeds.into_iter().step_by(step).collect()
}

//! How much of a text that is searched for a document has.

use std::ops::Range;

use super::align::{Present, aligned};
use super::index::Target;
use super::seeds::{Hit, NONE};
use super::text::Unit;

/// A longer text is aligned in pieces of this many units.
const PIECE: usize = 400;

/// The seeds that a document has, and where: sorted.
pub(super) type Hits = [Hit];

/// What a document has of a text.
#[derive(Debug, Clone, Default)]
pub(super) struct Cover {
    /// Equal units: place in the text, place in the document. Rising in the text.
    pub(super) pairs: Vec<(usize, usize)>,
    /// Whether each unit of the text was found.
    pub(super) found: Vec<bool>,
    /// The part of the text's weight that was found, from 0 to 1.
    pub(super) weighted: f64,
    /// The part of its units.
    pub(super) counted: f64,
}

impl Cover {
    pub(super) fn new(target: &Target, pairs: Vec<(usize, usize)>) -> Self {
        let mut found = vec![false; target.units.len()];
        for (i, _) in &pairs {
            if let Some(found) = found.get_mut(*i) {
                *found = true;
            }
        }
        let counted = pairs.len() as f64 / target.units.len().max(1) as f64;
        let weighted = weighted(target, &found);
        Self { pairs, found, weighted, counted }
    }

    /// What the units tell that were found.
    pub(super) fn tells(&self, target: &Target) -> f64 {
        self.weighted * target.content
    }

    /// The units of the text from the first to the last that was found.
    pub(super) fn extent(&self) -> usize {
        self.pairs.last().zip(self.pairs.first()).map_or(0, |(last, first)| last.0 + 1 - first.0)
    }

    /// The units of the document from the first to the last that was found.
    pub(super) fn in_document(&self) -> (usize, usize) {
        let first = self.pairs.iter().map(|pair| pair.1).min().unwrap_or(0);
        (first, self.pairs.iter().map(|pair| pair.1 + 1).max().unwrap_or(0))
    }

    /// The part of the units of that stretch of the document that belong to the text.
    pub(super) fn density(&self) -> f64 {
        let (first, end) = self.in_document();
        self.pairs.len() as f64 / (end - first).max(1) as f64
    }

    /// The most units in a row in both.
    pub(super) fn longest(&self) -> usize {
        let (mut longest, mut run, mut last) = (0, 0, None);
        for pair in &self.pairs {
            run = if last == Some((pair.0.wrapping_sub(1), pair.1.wrapping_sub(1))) { run + 1 } else { 1 };
            longest = longest.max(run);
            last = Some(*pair);
        }
        longest
    }
}

/// Less of a text is not looked at further: of its weight, and units in a row.
const LEAST: (f64, usize) = (0.2, 8);

/// What `document` has of `target`, where most of it is in one place, if it is enough to look at.
pub(super) fn cover(target: &Target, document: &[Unit], hits: &Hits) -> Option<Cover> {
    let mut pieces = Vec::new();
    let mut may_be = vec![false; target.units.len()];
    let mut from = 0;
    while from < target.units.len() {
        let to = (from + PIECE).min(target.units.len());
        // The last piece takes a short rest with it.
        let to = if target.units.len() - to < PIECE / 2 { target.units.len() } else { to };
        if let Some((start, units)) = around(target, from..to, document, hits) {
            let present = Present::new(&units);
            for (unit, may_be) in target.units.iter().zip(&mut may_be).take(to).skip(from) {
                *may_be = present.has(*unit);
            }
            pieces.push((from..to, start, units));
        }
        from = to;
    }
    // To align is long, and what is not there at all cannot be enough.
    let longest = may_be.split(|may_be| !may_be).map(<[bool]>::len).max();
    if !enough(weighted(target, &may_be), longest.unwrap_or(0)) {
        return None;
    }
    let mut pairs = Vec::new();
    for (range, start, units) in pieces {
        let aligned = aligned(target.units.get(range.clone()).unwrap_or_default(), &units);
        pairs.extend(aligned.into_iter().map(|(i, j)| (range.start + i, start + j)));
    }
    let cover = Cover::new(target, pairs);
    (!cover.pairs.is_empty() && enough(cover.weighted, cover.longest())).then_some(cover)
}

/// The part of the weight of `target` that its units `found` have.
fn weighted(target: &Target, found: &[bool]) -> f64 {
    let whole: f64 = target.weights.iter().sum();
    let found = target.weights.iter().zip(found).filter(|(_, found)| **found);
    if whole > 0.0 {
        found.map(|(weight, _)| weight).sum::<f64>() / whole
    } else {
        found.count() as f64 / target.units.len().max(1) as f64
    }
}

fn enough(weighted: f64, longest: usize) -> bool {
    weighted >= LEAST.0 || longest >= LEAST.1
}

/// The units of `document` where most of this range of `target` is, and where they start.
fn around(target: &Target, range: Range<usize>, document: &[Unit], hits: &Hits) -> Option<(usize, Vec<u64>)> {
    let length = range.len();
    let (first, last) = place(target.seeds.get(range).unwrap_or_default(), hits, 2 * length + 20)?;
    let margin = length / 2 + 10;
    let start = first.saturating_sub(margin);
    let end = (last + margin).min(document.len());
    Some((start, document.get(start..end).unwrap_or_default().iter().map(|unit| unit.hash).collect()))
}

/// The stretch of at most `window` units that has the most different ones of `seeds`: its first and its last.
fn place(seeds: &[u32], hits: &Hits, window: usize) -> Option<(usize, usize)> {
    let mut different: Vec<u32> = seeds.iter().copied().filter(|seed| *seed != NONE).collect();
    different.sort_unstable();
    different.dedup();
    let mut places: Vec<(usize, usize)> = Vec::new();
    for (number, seed) in different.iter().enumerate() {
        let start = hits.partition_point(|hit| hit.seed < *seed);
        places.extend(hits.iter().skip(start).take_while(|hit| hit.seed == *seed).map(|hit| (hit.at as usize, number)));
    }
    places.sort_unstable();
    let mut inside = vec![0_u32; different.len()];
    let (mut count, mut from) = (0_usize, 0);
    let mut best: Option<(usize, usize, usize)> = None;
    for &(at, number) in &places {
        if let Some(n) = inside.get_mut(number) {
            count += usize::from(*n == 0);
            *n += 1;
        }
        while let Some(&(first, old)) = places.get(from)
            && first + window < at
        {
            if let Some(n) = inside.get_mut(old) {
                *n -= 1;
                count -= usize::from(*n == 0);
            }
            from += 1;
        }
        if best.is_none_or(|best| count > best.0) {
            best = Some((count, places.get(from).map_or(at, |place| place.0), at));
        }
    }
    best.map(|(_, first, last)| (first, last))
}

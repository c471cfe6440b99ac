//! What is shown of a finding: which parts, in which form, and where in both texts.

use std::collections::BTreeMap;

use super::cover::Cover;
use super::finding::{Form, ItemSpan, Seen};
use super::index::{Own, Target, Targets};
use super::item::{BenchmarkItem, Part};
use super::text::Unit;

/// The parts of `item` that were found, the question first.
pub(super) fn seen(
    targets: &Targets,
    item: &BenchmarkItem,
    own: &[Own],
    covers: &BTreeMap<usize, Cover>,
    text: &str,
    units: &[Unit],
) -> Vec<Seen> {
    let mut all: Vec<Seen> = Vec::new();
    let mut choices: Vec<usize> = Vec::new();
    for (piece, cover) in covers {
        let Some(own) = own.get(*piece) else { continue };
        let Some(target) = own.target.and_then(|target| targets.get(target)) else { continue };
        let one = one_seen(item, own, target, cover, text, units);
        if own.piece.part == Part::Choices {
            choices.push(cover.in_document().0);
            // Choices are seen together.
            if let Some(others) = all.iter_mut().find(|seen| seen.part == Part::Choices) {
                others.form = others.form.max(one.form);
                others.units += one.units;
                others.found += one.found;
                others.item.extend(one.item);
                others.document.extend(one.document);
                continue;
            }
        }
        all.push(one);
    }
    let there = own.iter().filter(|own| own.piece.part == Part::Choices);
    let units_of = |own: &Own| own.target.and_then(|target| targets.get(target)).map_or(0, |target| target.units.len());
    let (count, length) = there.fold((0, 0), |sum, own| (sum.0 + 1, sum.1 + units_of(own) as u32));
    if let Some(seen) = all.iter_mut().find(|seen| seen.part == Part::Choices) {
        seen.units = length;
        seen.score = f64::from(seen.found) / f64::from(length.max(1));
        if choices.len() < count {
            seen.form = Form::Piece;
        } else if seen.form < Form::Edited && !choices.is_sorted() {
            seen.form = Form::Reordered;
        }
        seen.document.sort_unstable();
    }
    all.sort_by(|one, two| two.score.total_cmp(&one.score).then(one.part.cmp(&two.part)));
    // The question first, as it decides.
    all.sort_by_key(|seen| seen.part != Part::Question);
    all
}

/// One piece, its stretches in both texts, and its form.
fn one_seen(item: &BenchmarkItem, own: &Own, target: &Target, cover: &Cover, text: &str, units: &[Unit]) -> Seen {
    let mut in_item: Vec<ItemSpan> = Vec::new();
    let mut in_document: Vec<(u64, u64)> = Vec::new();
    let mut last: Option<(usize, usize)> = None;
    let base = own.piece.range.start as u32;
    for (i, j) in &cover.pairs {
        let (Some((start, end)), Some(unit)) = (own.places.get(*i), units.get(*j)) else { continue };
        let follows = last == Some((i.wrapping_sub(1), j.wrapping_sub(1)));
        match (in_item.last_mut(), in_document.last_mut()) {
            (Some(of_item), Some(of_document)) if follows => {
                of_item.end = base + end;
                of_document.1 = unit.end as u64;
            }
            _ => {
                let choice = own.piece.choice as u32;
                in_item.push(ItemSpan { field: own.piece.field, choice, start: base + start, end: base + end });
                in_document.push((unit.start as u64, unit.end as u64));
            }
        }
        last = Some((*i, *j));
    }
    let whole = cover.pairs.len() == target.units.len();
    let form = match (in_item.as_slice(), in_document.as_slice()) {
        ([of_item], [of_document]) if whole => {
            let ours = item.field(own.piece.field, own.piece.choice).get(of_item.start as usize..of_item.end as usize);
            let theirs = text.get(of_document.0 as usize..of_document.1 as usize);
            if ours == theirs { Form::Verbatim } else { Form::Normalised }
        }
        _ if cover.counted < 0.75 && cover.pairs.len() * 5 >= cover.extent() * 4 => Form::Piece,
        _ => Form::Edited,
    };
    Seen {
        part: own.piece.part,
        form,
        score: cover.weighted,
        units: target.units.len() as u32,
        found: cover.pairs.len() as u32,
        item: in_item,
        document: in_document,
    }
}

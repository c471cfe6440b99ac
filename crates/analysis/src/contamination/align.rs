//! Where the units of an item stand in a document, in their order.

/// The score of two equal units side by side.
const MATCH: i32 = 2;
/// The score of one unit in place of another.
const REPLACED: i32 = -1;
/// The score of a unit that only one side has.
const SKIPPED: i32 = -1;
/// An alignment that scores less is chance: three units in a row.
const LEAST: i32 = 3 * MATCH;
/// An alignment of more cells than this is not computed.
const MOST_CELLS: usize = 1 << 22;

/// The pairs of equal units (place in `item`, place in `document`), both rising, of the best local alignment
/// (Smith and Waterman 1981; match +2, replacement and gap -1), and then of the best ones before and after it, so that
/// a long insertion does not hide the rest. The first of equals is taken.
pub(super) fn aligned(item: &[u64], document: &[u64]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    add(item, document, (0, 0), &mut pairs, 3);
    pairs
}

/// Which units a text may have: a bit for each of them, and for others by chance.
#[derive(Debug)]
pub(super) struct Present([u64; Self::WORDS]);

impl Present {
    const WORDS: usize = 256;

    pub(super) fn new(units: &[u64]) -> Self {
        let mut present = Self([0; Self::WORDS]);
        for unit in units {
            if let Some(word) = present.0.get_mut(*unit as usize / 64 % Self::WORDS) {
                *word |= 1 << (unit % 64);
            }
        }
        present
    }

    /// False only if the text does not have `unit`.
    pub(super) fn has(&self, unit: u64) -> bool {
        self.0.get(unit as usize / 64 % Self::WORDS).is_some_and(|word| word >> (unit % 64) & 1 == 1)
    }
}

fn add(item: &[u64], document: &[u64], at: (usize, usize), pairs: &mut Vec<(usize, usize)>, depth: usize) {
    let best = local(item, document);
    let (Some(&(i0, j0)), Some(&(i1, j1))) = (best.first(), best.last()) else { return };
    let both = |i: (usize, usize), j: (usize, usize)| (item.get(i.0..i.1), document.get(j.0..j.1));
    if depth > 0
        && let (Some(item), Some(document)) = both((0, i0), (0, j0))
    {
        add(item, document, at, pairs, depth - 1);
    }
    pairs.extend(best.iter().map(|(i, j)| (at.0 + i, at.1 + j)));
    if depth > 0
        && let (Some(item), Some(document)) = both((i1 + 1, item.len()), (j1 + 1, document.len()))
    {
        add(item, document, (at.0 + i1 + 1, at.1 + j1 + 1), pairs, depth - 1);
    }
}

/// The pairs of the best local alignment, none if it scores less than [`LEAST`].
fn local(item: &[u64], document: &[u64]) -> Vec<(usize, usize)> {
    let (rows, columns) = (item.len(), document.len());
    if rows < 3 || columns < 3 || rows.saturating_mul(columns) > MOST_CELLS {
        return Vec::new();
    }
    // It has three pairs of equal units or more.
    let present = Present::new(document);
    if item.iter().filter(|unit| present.has(**unit)).take(3).count() < 3 {
        return Vec::new();
    }
    const STOP: u8 = 0;
    const BOTH: u8 = 1;
    const ITEM: u8 = 2;
    const DOCUMENT: u8 = 3;
    let mut from = vec![STOP; rows * columns];
    let mut scores = vec![0_i32; columns + 1];
    let mut best = (0, 0, 0);
    for ((i, unit), row) in item.iter().enumerate().zip(from.chunks_exact_mut(columns)) {
        // `scores[j + 1]` still is that of the row above.
        let (mut diagonal, mut left) = (0, 0);
        for (j, ((other, way), slot)) in document.iter().zip(row).zip(scores.iter_mut().skip(1)).enumerate() {
            let up = *slot;
            let step = if unit == other { MATCH } else { REPLACED };
            let mut score = (diagonal + step, BOTH);
            if up + SKIPPED > score.0 {
                score = (up + SKIPPED, ITEM);
            }
            if left + SKIPPED > score.0 {
                score = (left + SKIPPED, DOCUMENT);
            }
            if score.0 <= 0 {
                score = (0, STOP);
            }
            (diagonal, left) = (up, score.0);
            (*slot, *way) = score;
            if score.0 > best.0 {
                best = (score.0, i, j);
            }
        }
    }
    let mut pairs = Vec::new();
    if best.0 < LEAST {
        return pairs;
    }
    let (_, mut i, mut j) = best;
    loop {
        let way = from.get(i * columns + j).copied().unwrap_or(STOP);
        if way == BOTH && item.get(i) == document.get(j) {
            pairs.push((i, j));
        }
        let (di, dj) = match way {
            BOTH => (1, 1),
            ITEM => (1, 0),
            DOCUMENT => (0, 1),
            _ => break,
        };
        if i < di || j < dj {
            break;
        }
        (i, j) = (i - di, j - dj);
    }
    pairs.reverse();
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn units(text: &str) -> Vec<u64> {
        text.bytes().map(u64::from).collect()
    }

    fn shown(item: &str, document: &str) -> String {
        aligned(&units(item), &units(document)).iter().map(|(i, _)| char::from(item.as_bytes()[*i])).collect()
    }

    #[test]
    fn known_alignments() {
        // By hand.
        assert_eq!(shown("abcdefgh", "xxabcdefghxx"), "abcdefgh");
        assert_eq!(shown("abcdefgh", "xabcxefghx"), "abcefgh");
        assert_eq!(shown("abcdefgh", "abcd..................efgh"), "abcdefgh");
        assert_eq!(shown("abcdefgh", "ab"), "");
        assert_eq!(shown("abcdefgh", "hgfedcba"), "");
    }

    /// The best score by the recurrence over all pairs, without a matrix of ways.
    fn best_score(item: &[u64], document: &[u64]) -> i32 {
        let mut scores = vec![vec![0; document.len() + 1]; item.len() + 1];
        let mut best = 0;
        for i in 1..=item.len() {
            for j in 1..=document.len() {
                let step = if item[i - 1] == document[j - 1] { 2 } else { -1 };
                let score = (scores[i - 1][j - 1] + step).max(scores[i - 1][j] - 1).max(scores[i][j - 1] - 1).max(0);
                scores[i][j] = score;
                best = best.max(score);
            }
        }
        best
    }

    proptest! {
        #[test]
        fn a_local_alignment_has_the_best_score(item in "[abcd]{0,20}", document in "[abcd]{0,40}") {
            let (item, document) = (units(&item), units(&document));
            let pairs = local(&item, &document);
            let best = best_score(&item, &document);
            prop_assert_eq!(pairs.is_empty(), best < LEAST || item.len() < 3 || document.len() < 3);
            if let (Some(first), Some(last)) = (pairs.first(), pairs.last()) {
                let mut score = 2 * pairs.len() as i32;
                for two in pairs.windows(2) {
                    let (i, j) = (two[1].0 - two[0].0 - 1, two[1].1 - two[0].1 - 1);
                    // Replacements first, then gaps: the longer side of what lies between.
                    score -= i.max(j) as i32;
                }
                prop_assert_eq!(score, best);
                prop_assert!(first.0 <= last.0);
            }
        }

        #[test]
        fn pairs_are_equal_units_in_order(item in "[abcd]{0,20}", document in "[abcd]{0,40}") {
            let (item, document) = (units(&item), units(&document));
            let pairs = aligned(&item, &document);
            prop_assert!(pairs.iter().all(|(i, j)| item[*i] == document[*j]));
            prop_assert!(pairs.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 < two[1].1));
        }
    }
}

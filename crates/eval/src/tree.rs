//! Sequences as a tree: what several of them begin with is there once.

use std::ops::Range;

/// Consecutive tokens of all sequences of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// The stretch before it.
    pub(crate) after: Option<usize>,
    /// The positions of its tokens.
    pub(crate) positions: Range<usize>,
    /// The sequences that have it, in the order of the tree.
    pub(crate) sequences: Range<usize>,
}

/// A tree of sequences.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The sequences, by their index, sorted by their tokens.
    pub(crate) order: Vec<usize>,
    /// A stretch comes after the one that it continues, and the stretches of some sequences before those of the next.
    pub(crate) stretches: Vec<Stretch>,
}

impl Tree {
    /// The tree of sequences, none of which is empty, with stretches of at most `longest` tokens.
    pub(crate) fn new(sequences: &[&[u32]], longest: usize) -> Self {
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|at| (sequences[*at], *at));
        let mut stretches: Vec<Stretch> = Vec::new();
        // Ranges of the order whose sequences have the same tokens up to a position, and the stretch before it.
        let mut open: Vec<(Range<usize>, usize, Option<usize>)> = vec![(0..order.len(), 0, None)];
        while let Some((range, from, after)) = open.pop() {
            let Some((first, last)) = range.clone().next().zip(range.clone().next_back()) else { continue };
            let (first, last) = (sequences[order[first]], sequences[order[last]]);
            // They are sorted: what the first and the last have in common, all have.
            let common = from + first[from..].iter().zip(&last[from..]).take_while(|(a, b)| a == b).count();
            let mut at = (from, after);
            while at.0 < common {
                let end = common.min(at.0.saturating_add(longest));
                stretches.push(Stretch { after: at.1, positions: at.0..end, sequences: range.clone() });
                at = (end, Some(stretches.len() - 1));
            }
            // Sequences that end here are the first ones. The others are divided by their next token.
            let ended = range.clone().take_while(|at| sequences[order[*at]].len() == common).count();
            let rest = range.start + ended..range.end;
            let mut groups: Vec<Range<usize>> = Vec::new();
            for at in rest {
                match groups.last_mut() {
                    Some(group) if sequences[order[group.start]][common] == sequences[order[at]][common] => {
                        group.end = at + 1
                    }
                    _ => groups.push(at..at + 1),
                }
            }
            open.extend(groups.into_iter().rev().map(|group| (group, common, at.1)));
        }
        Self { order, stretches }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Numbers that are the same in every run: Knuth's linear congruential generator.
    fn below(state: &mut u64, n: u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) % n
    }

    #[test]
    fn every_prefix_is_there_once_and_every_sequence_whole() {
        let mut state = 1;
        for _ in 0..300 {
            let count = 1 + below(&mut state, 12);
            let sequences: Vec<Vec<u32>> = (0..count)
                .map(|_| (0..1 + below(&mut state, 9)).map(|_| below(&mut state, 2) as u32).collect())
                .collect();
            let views: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
            let longest = 1 + below(&mut state, 5) as usize;
            let tree = Tree::new(&views, longest);
            let prefixes: BTreeSet<&[u32]> = views.iter().flat_map(|s| (1..=s.len()).map(|end| &s[..end])).collect();
            let tokens: usize = tree.stretches.iter().map(|stretch| stretch.positions.len()).sum();
            assert_eq!(tokens, prefixes.len());
            let mut found: Vec<Vec<u32>> = vec![Vec::new(); views.len()];
            for (at, stretch) in tree.stretches.iter().enumerate() {
                assert!(stretch.after.is_none_or(|after| after < at) && stretch.positions.len() <= longest);
                let end = stretch.after.map_or(0, |after| tree.stretches[after].positions.end);
                assert_eq!(end, stretch.positions.start);
                for sequence in stretch.sequences.clone() {
                    let sequence = tree.order[sequence];
                    found[sequence].extend_from_slice(&views[sequence][stretch.positions.clone()]);
                }
            }
            assert_eq!(found, sequences);
        }
    }
}

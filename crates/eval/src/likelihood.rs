//! The likelihood of many sequences with one model.
//!
//! What several sequences begin with is computed once, only the logits that are asked for are computed, and nothing is
//! padded. None of it changes a bit of a result.

use std::collections::BTreeMap;

use retrace_model::{Inference, Node, Part, Reader, Score};

use crate::EvalError;
use crate::tree::{Stretch, Tree};

/// Tokens that are computed together: enough for products of matrices to be fast, and little enough that their
/// activations need little memory.
pub(crate) const TOGETHER: usize = 2048;

/// Tokens for a model, and those that come after the last ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// What the model reads; not empty.
    pub(crate) inputs: Vec<u32>,
    /// What comes after each of its last tokens; not more than there are inputs.
    pub(crate) targets: Vec<u32>,
}

/// A node, what is asked of it, and the same with the sequence of each question.
type Asked = (Node, Vec<(usize, u32)>, Vec<(usize, u32, usize)>);

/// How the model predicts each target of each sequence: `each` is called once for each sequence, with its index, when it
/// has been computed.
pub(crate) fn predictions(
    model: &Inference,
    sequences: &[Sequence],
    each: &mut dyn FnMut(usize, Vec<Score>) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    let inputs: Vec<&[u32]> = sequences.iter().map(|sequence| sequence.inputs.as_slice()).collect();
    let tree = Tree::new(&inputs, TOGETHER);
    // Of each stretch, the index after the last one of the stretches after it.
    let mut ends: Vec<usize> = (1..=tree.stretches.len()).collect();
    for (at, stretch) in tree.stretches.iter().enumerate().rev() {
        if let Some(after) = stretch.after {
            ends[after] = ends[after].max(ends[at]);
        }
    }
    let mut all: Vec<Vec<Score>> = sequences.iter().map(|s| Vec::with_capacity(s.targets.len())).collect();
    let mut reader = Reader::new(model);
    let mut nodes: BTreeMap<usize, Node> = BTreeMap::new();
    let mut first = 0;
    while first < tree.stretches.len() {
        let mut tokens = 0;
        let many = |stretch: &&Stretch| {
            tokens += stretch.positions.len();
            tokens <= TOGETHER
        };
        let end = first + tree.stretches[first..].iter().take_while(many).count().max(1);
        // For each stretch: what is asked, and the sequence of each question.
        let mut asked: Vec<Asked> = Vec::with_capacity(end - first);
        for at in first..end {
            let stretch = &tree.stretches[at];
            let node = reader.node(stretch.after.and_then(|after| nodes.get(&after)).copied())?;
            nodes.insert(at, node);
            let mut questions: Vec<(usize, u32, usize)> = Vec::new();
            for sequence in stretch.sequences.clone().map(|at| tree.order[at]) {
                let Sequence { inputs, targets } = &sequences[sequence];
                let start = inputs.len() - targets.len();
                for position in stretch.positions.start.max(start)..stretch.positions.end {
                    questions.push((position - stretch.positions.start, targets[position - start], sequence));
                }
            }
            questions.sort_unstable();
            let pairs: Vec<(usize, u32)> = questions.iter().map(|(row, target, _)| (*row, *target)).collect();
            asked.push((node, pairs, questions));
        }
        let mut parts = Vec::with_capacity(asked.len());
        for (at, (node, pairs, _)) in (first..end).zip(&asked) {
            let stretch = &tree.stretches[at];
            let tokens = &inputs[tree.order[stretch.sequences.start]][stretch.positions.clone()];
            parts.push(Part { node: *node, tokens, asked: pairs, keep: ends[at] > end });
        }
        for ((.., questions), scores) in asked.iter().zip(reader.read(&parts)?) {
            // A sequence's stretches come in its order, and a stretch's questions in that of its tokens.
            for ((.., sequence), score) in questions.iter().zip(scores) {
                all[*sequence].push(score);
            }
        }
        nodes.retain(|at, node| {
            let needed = ends[*at] > end;
            if !needed {
                reader.forget(*node);
            }
            needed
        });
        for stretch in &tree.stretches[first..end] {
            for sequence in stretch.sequences.clone().map(|at| tree.order[at]) {
                if inputs[sequence].len() == stretch.positions.end {
                    each(sequence, std::mem::take(&mut all[sequence]))?;
                }
            }
        }
        first = end;
    }
    Ok(())
}

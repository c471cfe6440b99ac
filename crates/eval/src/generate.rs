//! Text that a model writes after many contexts: always the most likely token.

use std::collections::BTreeMap;

use retrace_model::{Inference, Node, Part, Reader, Score};

use crate::likelihood::TOGETHER;
use crate::tree::{Stretch, Tree};
use crate::{EvalError, Prompts};

/// A context that is continued.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    /// Its tokens; not empty.
    pub(crate) context: &'a [u32],
    /// The text ends before each of these.
    pub(crate) until: &'a [String],
    /// The greatest number of tokens.
    pub(crate) most: usize,
    /// The index of the request.
    pub(crate) request: usize,
}

/// A sequence that is being written.
struct Active {
    start: usize,
    node: Node,
    written: Vec<u32>,
    /// The stretch with the context's last token.
    stretch: usize,
}

/// A way to find the end of a text: the spelling, and how many of the last tokens are looked at.
struct Stop<'a> {
    spelling: &'a str,
    tokens: usize,
}

/// The text after each context: `each` is called once for each request, with its index, when its text is finished. At
/// most `memory` bytes of keys and values are kept, but always those of one sequence.
pub(crate) fn generate(
    model: &Inference,
    prompts: &Prompts,
    starts: &[Start<'_>],
    memory: usize,
    each: &mut dyn FnMut(usize, String) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    let contexts: Vec<&[u32]> = starts.iter().map(|start| start.context).collect();
    let tree = Tree::new(&contexts, TOGETHER);
    let mut lengths: BTreeMap<&str, usize> = BTreeMap::new();
    for spelling in starts.iter().flat_map(|start| start.until) {
        if !lengths.contains_key(spelling.as_str()) {
            // The same text can have more tokens than this, by which the harness misses few ends.
            lengths.insert(spelling, prompts.length(spelling)? + 2);
        }
    }
    let description = model.description();
    let token = 8 * description.num_hidden_layers * description.num_key_value_heads * description.head_size();
    let room = memory / token.max(1);
    let mut reader = Reader::new(model);
    if description.parameters() <= memory as u128 / 4 {
        reader = reader.packed();
    }
    // Of the stretches that are kept: the node, and how many sequences still need it.
    let mut kept: BTreeMap<usize, (Node, usize)> = BTreeMap::new();
    let mut active: Vec<Active> = Vec::new();
    let (mut next, mut held) = (0, 0);
    while next < tree.stretches.len() || !active.is_empty() {
        // The next token of each text that is being written, and as many contexts as there is room for.
        let first = next;
        let mut tokens = active.len();
        while let Some(stretch) = tree.stretches.get(next) {
            let ended = stretch.sequences.clone().filter(|at| contexts[tree.order[*at]].len() == stretch.positions.end);
            let later: usize = ended.map(|at| starts[tree.order[at]].most).sum();
            let (more, fits) = (stretch.positions.len() + later, tokens + stretch.positions.len() <= TOGETHER);
            let none = active.is_empty() && next == first;
            if !none && (!fits || held + more > room) {
                break;
            }
            let node = reader.node(stretch.after.and_then(|after| kept.get(&after)).map(|(node, _)| *node))?;
            kept.insert(next, (node, stretch.sequences.len()));
            held += more;
            tokens += stretch.positions.len();
            next += 1;
        }
        let mut parts = Vec::new();
        for text in &active {
            let tokens = text.written.last_chunk::<1>().map_or(&[][..], |last| last);
            parts.push(Part { node: text.node, tokens, asked: &[(0, 0)], keep: true });
        }
        let ends: Vec<[(usize, u32); 1]> =
            tree.stretches[first..next].iter().map(|stretch| [(stretch.positions.len() - 1, 0)]).collect();
        let last = |stretch: &Stretch| {
            stretch.sequences.clone().any(|at| contexts[tree.order[at]].len() == stretch.positions.end)
        };
        for (at, end) in (first..next).zip(&ends) {
            let stretch = &tree.stretches[at];
            let tokens = &contexts[tree.order[stretch.sequences.start]][stretch.positions.clone()];
            let asked: &[(usize, u32)] = if last(stretch) { end } else { &[] };
            parts.push(Part { node: kept[&at].0, tokens, asked, keep: true });
        }
        let mut scores = reader.read(&parts)?.into_iter();
        let mut going = Vec::with_capacity(active.len());
        let mut written: Vec<(Active, Score)> = Vec::new();
        for text in active {
            written.extend(scores.next().and_then(|scores| scores.first().copied()).map(|score| (text, score)));
        }
        for (at, score) in (first..next).zip(scores) {
            let (stretch, Some(score)) = (&tree.stretches[at], score.first()) else { continue };
            for start in stretch.sequences.clone().map(|at| tree.order[at]) {
                if contexts[start].len() == stretch.positions.end {
                    let node = reader.node(Some(kept[&at].0))?;
                    written.push((Active { start, node, written: Vec::new(), stretch: at }, *score));
                }
            }
        }
        for (mut text, score) in written {
            let start = &starts[text.start];
            if !score.loss.is_finite() {
                return Err(EvalError::NotFiniteAnswer { request: start.request });
            }
            text.written.push(score.best);
            let stops = start.until.iter().map(|spelling| Stop { spelling, tokens: lengths[spelling.as_str()] });
            let length = start.context.len() + text.written.len();
            let full = text.written.len() >= start.most || length >= description.max_position_embeddings;
            if !full && !prompts.ends().contains(&score.best) && !stopped(prompts, &text.written, stops)? {
                going.push(text);
                continue;
            }
            each(start.request, cut(prompts.text(&text.written, true)?, start.until))?;
            reader.forget(text.node);
            held = held.saturating_sub(start.most);
            let mut at = Some(text.stretch);
            while let Some(stretch) = at {
                at = tree.stretches[stretch].after;
                if let Some((node, needed)) = kept.get_mut(&stretch) {
                    *needed -= 1;
                    if *needed == 0 {
                        reader.forget(*node);
                        kept.remove(&stretch);
                        held = held.saturating_sub(tree.stretches[stretch].positions.len());
                    }
                }
            }
        }
        active = going;
    }
    Ok(())
}

/// Whether the last tokens spell an end.
fn stopped<'a>(prompts: &Prompts, written: &[u32], stops: impl Iterator<Item = Stop<'a>>) -> Result<bool, EvalError> {
    for Stop { spelling, tokens } in stops {
        let last = &written[written.len().saturating_sub(tokens)..];
        if prompts.text(last, false)?.contains(spelling) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The text before each of the ends, in their order. An empty one does not end anything.
fn cut(mut text: String, until: &[String]) -> String {
    for end in until.iter().filter(|end| !end.is_empty()) {
        if let Some(at) = text.find(end.as_str()) {
            text.truncate(at);
        }
    }
    text
}

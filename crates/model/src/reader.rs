//! Reading tokens with a model: what several sequences begin with is computed once, and sequences are continued.
//!
//! The tokens are a tree. A [`Node`] is a stretch of tokens; a sequence is the tokens of a node after those of all nodes
//! before it. Several nodes can come after the same one. How sequences are divided into nodes, which of them are read
//! together and in which order changes no bit of a score.

use std::sync::Arc;

use retrace_numerics::cross_entropy::{Score, scores};

use crate::continuing::{Branch, Continuing, Step};
use crate::{Inference, ModelError};

/// A stretch of tokens in a [`Reader`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    index: usize,
    /// A node that was forgotten can have the same index, and another birth.
    birth: u64,
}

/// Tokens that are read: the next ones of a node.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The node; each node has at most one part in a call.
    pub node: Node,
    /// Its next tokens; not empty.
    pub tokens: &'a [u32],
    /// Questions: the index of one of these tokens, ascending, and a token that may follow it.
    pub asked: &'a [(usize, u32)],
    /// Whether the node can be continued after this call. Otherwise it needs no memory then.
    pub keep: bool,
}

/// Reads tokens, with the keys and values of those that were read before.
#[derive(Debug)]
pub struct Reader<'m> {
    model: &'m Inference,
    branches: Vec<Option<Branch>>,
    states: Vec<State>,
    births: u64,
    packed: bool,
}

/// What can be done with a node.
#[derive(Debug, Clone, Copy)]
struct State {
    birth: u64,
    /// Whether it was read, and its keys and values were not kept.
    spent: bool,
    /// Whether a node after it was read: then it cannot get longer.
    followed: bool,
}

impl<'m> Reader<'m> {
    /// A reader that has read nothing. With an engine that only computes complete sequences, each call computes the
    /// sequences from their beginning.
    pub const fn new(model: &'m Inference) -> Self {
        Self { model, branches: Vec::new(), states: Vec::new(), births: 0, packed: false }
    }

    /// The same, and the model keeps its weights a second time in the form that products read: calls with few tokens are
    /// faster, and it needs twice the memory of weights in f32.
    #[must_use]
    pub fn packed(self) -> Self {
        Self { packed: true, ..self }
    }

    /// A new node without tokens, after the tokens that `after` has when it is first read, or at the beginning.
    ///
    /// # Errors
    /// If `after` was forgotten.
    pub fn node(&mut self, after: Option<Node>) -> Result<Node, ModelError> {
        let after = after.map(|node| self.index(node)).transpose()?;
        let branch = Branch { after, ..Branch::default() };
        self.births += 1;
        let state = State { birth: self.births, spent: false, followed: false };
        let free = self.branches.iter().position(Option::is_none);
        let index = free.unwrap_or(self.branches.len());
        if free.is_none() {
            self.branches.push(None);
            self.states.push(state);
        }
        (self.branches[index], self.states[index]) = (Some(branch), state);
        Ok(Node { index, birth: state.birth })
    }

    /// Frees the memory of a node. The nodes after it must be forgotten too before the next call of [`Self::read`] that
    /// reads them.
    pub fn forget(&mut self, node: Node) {
        if let Ok(index) = self.index(node) {
            self.branches[index] = None;
        }
    }

    /// Reads the parts; a node must come after the node that it continues. The scores of each part's questions.
    ///
    /// # Errors
    /// If a node cannot be continued, a sequence is longer than the model's, or a token or a question does not exist.
    /// Nothing is read then.
    pub fn read(&mut self, parts: &[Part<'_>]) -> Result<Vec<Vec<Score>>, ModelError> {
        let mut steps = Vec::with_capacity(parts.len());
        let before = self.states.clone();
        let lengths: Vec<usize> = self.branches.iter().map(|b| b.as_ref().map_or(0, |b| b.tokens.len())).collect();
        for part in parts {
            match self.accept(part, &steps) {
                Ok(step) => steps.push(step),
                Err(refused) => {
                    self.states = before;
                    for (branch, length) in self.branches.iter_mut().zip(lengths) {
                        if let Some(branch) = branch {
                            branch.tokens.truncate(length);
                        }
                    }
                    return Err(refused);
                }
            }
        }
        let all = match self.model.continuing(self.packed) {
            Some((layers, tape)) => {
                let mut asked = Vec::new();
                let mut first = 0;
                for part in parts {
                    asked.extend(part.asked.iter().map(|(row, target)| (first + row, *target)));
                    first += part.tokens.len();
                }
                let ids: Arc<[u32]> = parts.iter().flat_map(|part| part.tokens).copied().collect();
                layers.read(Continuing::new(tape, &mut self.branches, &steps), &ids, &asked)?
            }
            None => self.read_whole(parts, &steps)?,
        };
        for step in steps.iter().filter(|step| !step.keep) {
            self.states[step.branch].spent = true;
        }
        let mut all = all.into_iter();
        Ok(parts.iter().map(|part| all.by_ref().take(part.asked.len()).collect()).collect())
    }

    /// The scores, from the logits of complete sequences.
    fn read_whole(&self, parts: &[Part<'_>], steps: &[Step]) -> Result<Vec<Score>, ModelError> {
        let mut all = Vec::new();
        let width = self.model.description().vocab_size;
        for (part, step) in parts.iter().zip(steps).filter(|(part, _)| !part.asked.is_empty()) {
            let sequence = self.sequence(step.branch);
            let mut logits = self.model.logits(&sequence, sequence.len())?;
            all.extend(scores(&mut logits[(sequence.len() - step.rows) * width..], width, part.asked));
        }
        Ok(all)
    }

    /// The tokens up to the end of a branch.
    fn sequence(&self, branch: usize) -> Vec<u32> {
        let mut stretches = Vec::new();
        let mut at = Some(branch);
        while let Some(branch) = at.and_then(|at| self.branches[at].as_ref()) {
            stretches.push(branch.tokens.as_slice());
            at = branch.after;
        }
        stretches.into_iter().rev().flatten().copied().collect()
    }

    fn index(&self, node: Node) -> Result<usize, ModelError> {
        let known = self.states.get(node.index).is_some_and(|state| state.birth == node.birth);
        match known && self.branches[node.index].is_some() {
            true => Ok(node.index),
            false => Err(refuse("the node was forgotten")),
        }
    }

    /// Gives a part's tokens to its branch, if it can be read after `earlier` ones.
    fn accept(&mut self, part: &Part<'_>, earlier: &[Step]) -> Result<Step, ModelError> {
        let index = self.index(part.node)?;
        if part.tokens.is_empty() {
            return Err(refuse("no tokens are read"));
        }
        if self.states[index].spent || self.states[index].followed || earlier.iter().any(|step| step.branch == index) {
            return Err(refuse("the node cannot be continued"));
        }
        let (after, own) = self.branches[index].as_ref().map_or((None, 0), |b| (b.after, b.tokens.len()));
        let mut first = 0;
        let mut at = after;
        while let Some(before) = at {
            let here = !self.states[before].spent || earlier.iter().any(|step| step.branch == before);
            match &self.branches[before] {
                Some(branch) if here && !branch.tokens.is_empty() => {
                    first = first.max(branch.first + branch.tokens.len());
                    at = branch.after;
                }
                _ => return Err(refuse("a node before it is not kept, or was not read")),
            }
        }
        let (end, longest) = (first + own + part.tokens.len(), self.model.description().max_position_embeddings);
        if end > longest {
            return Err(ModelError::Input(format!("a sequence of {end} tokens is longer than {longest}")));
        }
        let vocabulary = self.model.description().vocab_size;
        let targets = part.asked.iter().map(|(_, target)| target);
        if let Some(id) = part.tokens.iter().chain(targets).find(|id| **id as usize >= vocabulary) {
            return Err(ModelError::Input(format!("token {id} is outside the vocabulary of {vocabulary}")));
        }
        let ascending = part.asked.is_sorted_by_key(|(row, _)| *row);
        if !ascending || part.asked.last().is_some_and(|(row, _)| *row >= part.tokens.len()) {
            return Err(refuse("the questions are not about tokens of the part, in ascending order"));
        }
        if let Some(after) = after {
            self.states[after].followed = true;
        }
        if let Some(branch) = &mut self.branches[index] {
            branch.first = first;
            branch.tokens.extend_from_slice(part.tokens);
        }
        Ok(Step { branch: index, rows: part.tokens.len(), keep: part.keep })
    }
}

fn refuse(what: &str) -> ModelError {
    ModelError::Input(what.to_owned())
}

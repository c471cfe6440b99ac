//! The batch of any step.

use std::collections::BTreeSet;
use std::sync::Arc;

use retrace_corpus::order::{DataOrder, PhaseOrder};
use retrace_corpus::tokens::TokenShard;
use retrace_files::Root;
use retrace_spec::run::{Phase, Validation};
use retrace_spec::{Digest, RelPath, Run, Step};

use crate::TrainError;

/// The input of a step.
#[derive(Debug)]
pub struct Batch {
    /// The input tokens, sequence after sequence.
    pub inputs: Vec<u32>,
    /// The token after each; `None` if it does not count in the loss.
    pub targets: Vec<Option<u32>>,
    /// BLAKE3, in its own domain, over the sequences' digests, in order.
    pub digest: Digest,
    /// For each sequence: BLAKE3, in its own domain, over its tokens (inputs and the last target) and then the
    /// positions of the targets that do not count, from 0, each a little-endian `u32`.
    pub sequences: Vec<Digest>,
}

impl Batch {
    /// The factor that turns the sum of its losses into their mean: 1 / the number of targets that count, or 1 if none
    /// does.
    pub fn scale(&self) -> f64 {
        1.0 / self.targets.iter().flatten().count().max(1) as f64
    }
}

/// The batches of a run, each a function of its step alone.
#[derive(Debug)]
pub struct Batches {
    order: DataOrder,
    /// By phase and source.
    shards: Vec<Vec<Arc<TokenShard>>>,
    names: Vec<Vec<RelPath>>,
    batch_size: usize,
    sequence_length: usize,
    mask_document_ends: bool,
}

impl Batches {
    /// Opens the token shards of `run`, whose paths are relative to `root`.
    ///
    /// # Errors
    /// If a shard cannot be read, is too short for one sequence, or contains tokens for which the model has no
    /// embedding.
    pub fn open(root: &Root, run: &Run) -> Result<Self, TrainError> {
        let mut opened = std::collections::BTreeMap::new();
        let mut shards = Vec::new();
        for phase in &run.phases {
            let mut sources = Vec::new();
            for source in &phase.mix {
                let path = &source.tokens;
                let shard = match opened.get(path) {
                    Some(shard) => Arc::clone(shard),
                    None => {
                        let shard = Arc::new(open_shard(root, path, run, 1)?);
                        opened.insert(path.clone(), Arc::clone(&shard));
                        shard
                    }
                };
                sources.push(shard);
            }
            shards.push(sources);
        }
        let sizes: Vec<Vec<(u32, u64)>> = run
            .phases
            .iter()
            .zip(&shards)
            .map(|(phase, shards)| {
                let sources = phase.mix.iter().zip(shards);
                sources.map(|(source, shard)| (source.share, shard.sequences(run.sequence_length))).collect()
            })
            .collect();
        let phases: Vec<PhaseOrder<'_>> =
            run.phases.iter().zip(&sizes).map(|(phase, sources)| PhaseOrder { steps: phase.steps, sources }).collect();
        let order = DataOrder::new(run.order, run.seed, run.batch_size as u64, &phases);
        let Run { batch_size, sequence_length, mask_document_ends, .. } = *run;
        let of_phase = |phase: &Phase| phase.mix.iter().map(|source| source.tokens.clone()).collect();
        let names = run.phases.iter().map(of_phase).collect();
        Ok(Self { order, shards, names, batch_size, sequence_length, mask_document_ends })
    }

    /// The order of the sequences.
    pub const fn order(&self) -> &DataOrder {
        &self.order
    }

    /// The shards of documents that the run's token shards are made from.
    pub fn sources(&self) -> BTreeSet<&RelPath> {
        self.shards.iter().flatten().flat_map(|tokens| tokens.shards()).collect()
    }

    /// The steps whose batches contain a token of the document at `line` of `shard`, as an input or as a target; `None`
    /// if no token shard of the run has the document.
    pub fn seen(&self, shard: &RelPath, line: usize) -> Option<BTreeSet<Step>> {
        let mut steps: Option<BTreeSet<Step>> = None;
        for (phase, sources) in self.shards.iter().enumerate() {
            for (source, tokens) in sources.iter().enumerate() {
                let Some(name) = tokens.shards().iter().position(|name| name == shard) else { continue };
                let place = (name as u32, line as u32);
                let found = tokens.documents().binary_search_by_key(&place, |entry| (entry.shard, entry.line));
                let Ok(document) = found else { continue };
                let steps = steps.get_or_insert_default();
                for sequence in tokens.sequences_of(document, self.sequence_length) {
                    steps.extend(self.order.seen(phase, source, sequence).map(|(step, _)| step));
                }
            }
        }
        steps
    }

    /// The source of the sequence at `slot` of the batch of `step`, as a text: the token shard, the sequence, and the
    /// documents that it includes or cuts.
    ///
    /// # Errors
    /// If the run has no such step.
    pub(crate) fn place(&self, step: Step, slot: u64) -> Result<String, TrainError> {
        let drawn = self.order.draw(step, slot)?;
        let shard = &self.shards[drawn.phase][drawn.source];
        let name = &self.names[drawn.phase][drawn.source];
        let cut = |document: &usize| shard.sequences_of(*document, self.sequence_length).contains(&drawn.sequence);
        let documents = (0..shard.documents().len()).filter(cut).filter_map(|at| {
            let entry = shard.documents().get(at)?;
            Some(format!("{}:{}", shard.shards().get(entry.shard as usize)?, entry.line))
        });
        let documents = documents.collect::<Vec<_>>().join(", ");
        Ok(format!("sequence {} of {name} (documents {documents})", drawn.sequence))
    }

    /// The batch of update number `step`.
    ///
    /// # Errors
    /// If the run has no such step.
    pub fn batch(&self, step: Step) -> Result<Batch, TrainError> {
        let (mut inputs, mut targets, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
        for slot in 0..self.batch_size as u64 {
            let drawn = self.order.draw(step, slot)?;
            let shard = &self.shards[drawn.phase][drawn.source];
            let sequence = shard.sequence(drawn.sequence, self.sequence_length)?;
            let follow = targets_of(shard, drawn.sequence, &sequence, self.mask_document_ends);
            sequences.push(sequence_digest(&sequence, &follow));
            inputs.extend_from_slice(&sequence[..self.sequence_length]);
            targets.extend(follow);
        }
        let mut hasher = blake3::Hasher::new_derive_key("retrace 2026 batch");
        sequences.iter().for_each(|digest| {
            hasher.update(digest.as_bytes());
        });
        Ok(Batch { inputs, targets, digest: hasher.finalize().into(), sequences })
    }
}

/// The digest of a sequence's tokens, and of which targets do not count.
fn sequence_digest(tokens: &[u32], targets: &[Option<u32>]) -> Digest {
    let masked = targets.iter().enumerate().filter(|(_, target)| target.is_none()).map(|(place, _)| place as u32);
    let bytes: Vec<u8> = tokens.iter().copied().chain(masked).flat_map(u32::to_le_bytes).collect();
    let mut hasher = blake3::Hasher::new_derive_key("retrace 2026 sequence");
    hasher.update(&bytes).finalize().into()
}

/// Opens a token shard with at least this many sequences of `run`'s length.
fn open_shard(root: &Root, path: &RelPath, run: &Run, sequences: u64) -> Result<TokenShard, TrainError> {
    let shard = TokenShard::open(root.file(path)?)?;
    let refuse = |what: String| Err(TrainError::Tokens { path: path.under(root.path()), what });
    let (length, vocabulary) = (run.sequence_length, run.model.vocab_size);
    if shard.vocabulary() as usize > vocabulary {
        return refuse(format!(
            "its tokenizer has {} tokens, but the model has embeddings for {vocabulary}",
            shard.vocabulary()
        ));
    }
    match (shard.sequences(length), sequences) {
        (found, needed) if found >= needed => Ok(shard),
        (0, _) => {
            refuse(format!("its {} tokens are fewer than one sequence of {length} and its last target", shard.tokens()))
        }
        (found, needed) => refuse(format!("it has {found} sequences of {length} tokens, and {needed} are needed")),
    }
}

/// The tokens after each token of sequence `index` except the last; with `mask`, `None` where a document begins.
fn targets_of(shard: &TokenShard, index: u64, sequence: &[u32], mask: bool) -> Vec<Option<u32>> {
    let mut targets: Vec<Option<u32>> = sequence[1..].iter().copied().map(Some).collect();
    if mask {
        // The first token of a sequence is not a target.
        let starts = shard.document_starts(index, targets.len()).filter(|place| *place > 0);
        starts.for_each(|place| targets[place - 1] = None);
    }
    targets
}

/// The sequences on which a run is validated: inputs and targets, one after another.
///
/// # Errors
/// If the shard cannot be read, has too few sequences, or contains tokens for which the model has no embedding.
pub(crate) fn held_out(root: &Root, run: &Run, validation: &Validation) -> Result<Sequences, TrainError> {
    let (mut inputs, mut targets) = (Vec::new(), Vec::new());
    let shard = open_shard(root, &validation.tokens, run, validation.sequences)?;
    for index in 0..validation.sequences {
        let sequence = shard.sequence(index, run.sequence_length)?;
        inputs.extend_from_slice(&sequence[..run.sequence_length]);
        targets.extend(targets_of(&shard, index, &sequence, run.mask_document_ends));
    }
    Ok((inputs, targets))
}

/// Inputs and targets.
pub(crate) type Sequences = (Vec<u32>, Vec<Option<u32>>);

//! A model of any of the supported architectures, for any engine: its weights' names, and its computation.

use std::sync::Arc;

use retrace_numerics::cross_entropy::{Loss, Row, Score, scores};
use retrace_numerics::heads::{Heads, Order};
use retrace_spec::Model;
use retrace_spec::model::{Architecture, RopeScaling};

use crate::ModelError;
use crate::continuing::Continuing;
use crate::gpt_neox::GptNeox;
use crate::llama::Llama;
use crate::network::{Bounds, MicroBatch};
use crate::olmo::Olmo;
use crate::olmo2::Olmo2;
use crate::operations::{Operations, Targets};
use crate::weights::{Layout, Parameter};

/// The name and shape of every weight; empty for an unknown architecture.
pub(crate) fn shapes(model: &Model) -> Vec<(String, Vec<usize>)> {
    match model.architecture {
        Architecture::Llama | Architecture::Qwen3 | Architecture::SmolLm3 => Llama::shapes(model),
        Architecture::GptNeox => GptNeox::shapes(model),
        Architecture::Olmo => Olmo::shapes(model),
        Architecture::Olmo2 | Architecture::Olmo3 => Olmo2::shapes(model),
        Architecture::Own => Vec::new(),
    }
}

/// Whether a tensor that is not a weight may be stored with the weights: tables that follow from the configuration, as
/// in older checkpoints.
pub(crate) fn is_table(name: &str) -> bool {
    let tables = [".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias"];
    tables.iter().any(|end| name.ends_with(end))
}

/// The names of the embedding and the head.
pub(crate) fn ends(architecture: Architecture) -> (&'static str, &'static str) {
    match architecture {
        Architecture::GptNeox => ("gpt_neox.embed_in.weight", "embed_out.weight"),
        _ => ("model.embed_tokens.weight", "lm_head.weight"),
    }
}

/// The layout of the model's heads in a row of queries, keys and values.
pub(crate) fn heads(model: &Model, positions: usize, order: Order) -> Heads {
    Heads {
        positions,
        heads: model.num_attention_heads,
        key_heads: model.num_key_value_heads,
        size: model.head_size(),
        order,
    }
}

/// A model, without its weights and independent of the engine.
#[derive(Debug)]
pub(crate) struct Layers {
    layout: Layout,
    bounds: Bounds,
    family: Family,
    head: Parameter,
    tied: bool,
}

#[derive(Debug)]
enum Family {
    Llama(Llama),
    GptNeox(GptNeox),
    Olmo(Olmo),
    Olmo2(Olmo2),
}

impl Layers {
    /// The model of this description, which must have passed its check.
    ///
    /// # Errors
    /// If its architecture is not supported here.
    pub(crate) fn new(model: &Model) -> Result<Self, ModelError> {
        let layout = Layout::of(model);
        let family = match model.architecture {
            Architecture::Llama | Architecture::Qwen3 | Architecture::SmolLm3 => {
                Family::Llama(Llama::new(model, &layout)?)
            }
            Architecture::GptNeox => Family::GptNeox(GptNeox::new(model, &layout)?),
            Architecture::Olmo => Family::Olmo(Olmo::new(model, &layout)?),
            Architecture::Olmo2 | Architecture::Olmo3 => Family::Olmo2(Olmo2::new(model, &layout)?),
            Architecture::Own => return Err(ModelError::Own),
        };
        let (embedding, head) = ends(model.architecture);
        let head = layout.find(if model.tie_word_embeddings { embedding } else { head })?;
        // With dynamic scaling a model reads longer sequences; that is the purpose of the scaling.
        let bounded = !matches!(model.rope_scaling, Some(RopeScaling::Dynamic { .. }));
        let bounds = Bounds { vocabulary: model.vocab_size, longest: model.max_position_embeddings, bounded };
        Ok(Self { layout, bounds, family, head, tied: model.tie_word_embeddings })
    }

    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The head, if it is the embedding.
    pub(crate) fn tied(&self) -> Option<Parameter> {
        self.tied.then_some(self.head)
    }

    /// The last layer's output, normalised.
    fn hidden<O: Operations>(&self, o: &mut O, inputs: &[u32], positions: usize) -> Result<O::Value, ModelError> {
        let ids: Arc<[u32]> = self.bounds.accept(inputs, positions)?;
        self.outputs(o, &ids, positions)
    }

    /// The last layer's output, normalised, of tokens that were checked, in sequences of at most `positions`.
    fn outputs<O: Operations>(&self, o: &mut O, ids: &Arc<[u32]>, positions: usize) -> Result<O::Value, ModelError> {
        match &self.family {
            Family::Llama(family) => family.hidden(o, ids, positions),
            Family::GptNeox(family) => family.hidden(o, ids, positions),
            Family::Olmo(family) => family.hidden(o, ids, positions),
            Family::Olmo2(family) => family.hidden(o, ids, positions),
        }
    }

    /// Computes the parts that `o` has, whose tokens are `ids`, and the scores of `asked`: rows, ascending, and their
    /// targets.
    pub(crate) fn read(
        &self,
        mut o: Continuing<'_, '_>,
        ids: &Arc<[u32]>,
        asked: &[(usize, u32)],
    ) -> Result<Vec<Score>, ModelError> {
        let positions = o.longest();
        let x = self.outputs(&mut o, ids, positions)?;
        let mut rows: Vec<usize> = asked.iter().map(|(row, _)| *row).collect();
        rows.dedup();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let x = o.rows(&x, &rows);
        let mut all = Vec::with_capacity(asked.len());
        let mut left = asked;
        o.logits(&x, self.head, &mut |first, logits| {
            let chunk = &rows[first..first + logits.len() / self.bounds.vocabulary];
            let end = chunk.last().map_or(0, |last| left.partition_point(|(row, _)| row <= last));
            let (now, later) = left.split_at(end);
            let place = |(row, target): &(usize, u32)| (chunk.partition_point(|known| known < row), *target);
            let now: Vec<(usize, u32)> = now.iter().map(place).collect();
            all.extend(scores(logits, self.bounds.vocabulary, &now));
            left = later;
        })?;
        Ok(all)
    }

    /// As [`Network::logits`](crate::Network::logits), computed by `o`.
    pub(crate) fn logits<O: Operations>(
        &self,
        mut o: O,
        inputs: &[u32],
        positions: usize,
    ) -> Result<Vec<f32>, ModelError> {
        let x = self.hidden(&mut o, inputs, positions)?;
        let mut all = Vec::with_capacity(inputs.len() * self.bounds.vocabulary);
        o.logits(&x, self.head, &mut |_, logits| all.extend_from_slice(logits))?;
        Ok(all)
    }

    /// As [`Network::losses`](crate::Network::losses), computed by `o`.
    pub(crate) fn losses<O: Operations>(
        &self,
        mut o: O,
        inputs: &[u32],
        targets: &[Option<u32>],
        positions: usize,
    ) -> Result<Vec<f32>, ModelError> {
        self.bounds.accept_targets(inputs, targets)?;
        let x = self.hidden(&mut o, inputs, positions)?;
        let (loss, vocabulary) = (Loss { z_weight: 0.0 }, self.bounds.vocabulary);
        let mut rows = vec![Row::default(); targets.len()];
        o.logits(&x, self.head, &mut |first, logits| {
            let chunk = first..first + logits.len() / vocabulary;
            loss.forward(logits, vocabulary, &targets[chunk.clone()], &mut rows[chunk]);
        })?;
        Ok(rows.into_iter().map(|row| row.loss).collect())
    }

    /// As [`Network::gradient`](crate::Network::gradient), computed by `o`.
    pub(crate) fn gradient<O: Operations>(
        &self,
        mut o: O,
        micro_batch: &MicroBatch<'_>,
        gradient: &mut [f32],
    ) -> Result<Vec<Row>, ModelError> {
        let MicroBatch { inputs, targets, positions, loss, scale, .. } = *micro_batch;
        self.bounds.accept_targets(inputs, targets)?;
        let x = self.hidden(&mut o, inputs, positions)?;
        o.loss(x, self.head, Targets { targets, loss, scale }, gradient)
    }
}

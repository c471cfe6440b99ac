//! The state that a run keeps from step to step, and its checkpoints.

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;
use retrace_files::safetensors::{self, floats_digest, tensor_root};
use retrace_files::{EntryKind, FileError, RegularFile, Root};
use retrace_model::{Layout, ModelError, Weights, check_memory, hub, take_floats, tensors};
use retrace_spec::{CheckpointName, Digest, Model, PathError, RelPath, Run, Step, Tokens};
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// The name of the checkpoint's file with the optimizer's moments.
pub(crate) const OPTIMIZER: &str = "optimizer.safetensors";
/// The name of the checkpoint's file with the rest of the state.
const STATE: &str = "state.json";

/// The state of a run after a step.
#[derive(Debug, Clone)]
pub struct State {
    /// Updates so far.
    pub step: Step,
    /// Tokens trained on so far.
    pub tokens: Tokens,
    /// Updates that the optimizer's moments have received: the steps except outliers, plus those of a released
    /// checkpoint with which the run began.
    pub updates: u64,
    /// The weights.
    pub weights: Weights,
    /// The optimizer's moments, with the layout of the weights.
    pub(crate) first_moment: Vec<f32>,
    pub(crate) second_moment: Vec<f32>,
}

/// The content of `state.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stated {
    retrace: String,
    /// The digest of the run that made the checkpoint.
    pub(crate) run: Digest,
    numerics: u32,
    pub(crate) step: Step,
    pub(crate) tokens: Tokens,
    pub(crate) updates: u64,
    /// The tensor root over weights and moments.
    pub(crate) state: Digest,
    /// The digest of the journal's last line at that time.
    pub(crate) journal: Digest,
}

/// No `state.json` is longer than this.
const LONGEST_STATE: u64 = 1 << 20;
const SCHEMA: &str = "checkpoint/1";

impl State {
    /// The state before the first step of `run`, whose paths are relative to `root` and whose model's weights have
    /// this layout.
    ///
    /// # Errors
    /// If the checkpoint to start with cannot be read, or does not fit the run's model.
    pub fn initial(root: &Root, run: &Run, layout: &Layout) -> Result<Self, TrainError> {
        // Memory for the weights, both moments and a gradient, and for the activations of one micro-batch.
        check_memory(&run.model, 4, run.micro_batch_size * run.sequence_length)?;
        let Some(start) = &run.start else {
            return Ok(Self::before(Weights::initial(&run.model, layout.clone(), run.seed)));
        };
        let directory = root.directory(&start.checkpoint)?;
        let path = directory.path().to_owned();
        let mut state = Self::before(of_model(&directory, run)?);
        if let Some(updates) = start.optimizer_updates {
            if directory.has(&inside(STATE)?) {
                let found = read_stated(directory.file(&inside(STATE)?)?)?.updates;
                if found != updates {
                    let what = format!("its moments have had {found} updates, not {updates}");
                    return Err(TrainError::Start { path, what });
                }
            }
            (state.first_moment, state.second_moment) = read_moments(&directory, &state.weights)?;
            state.updates = updates;
        }
        Ok(state)
    }

    fn before(weights: Weights) -> Self {
        let zeros = vec![0.0; weights.values().len()];
        let (step, tokens, first_moment) = (Step(0), Tokens(0), zeros.clone());
        Self { step, tokens, updates: 0, first_moment, second_moment: zeros, weights }
    }

    /// The digest of every tensor of the state, by name.
    pub fn tensor_digests(&self) -> BTreeMap<String, Digest> {
        let layout = self.weights.layout();
        let mut parts = Vec::new();
        for (name, shape, range) in layout.iter() {
            let [first, second] = moment_names(name);
            parts.push((name.to_owned(), shape, &self.weights.values()[range.clone()]));
            parts.push((first, shape, &self.first_moment[range.clone()]));
            parts.push((second, shape, &self.second_moment[range]));
        }
        let digest = |(name, shape, values): (String, &[usize], &[f32])| (name, floats_digest(shape, values));
        parts.into_par_iter().map(digest).collect::<Vec<_>>().into_iter().collect()
    }

    /// The digest of every tensor of the weights, sorted by name.
    pub fn weight_digests(&self) -> Vec<(&str, Digest)> {
        let tensors: Vec<_> = self.weights.layout().iter().collect();
        let digest = |(name, shape, range): (_, &[usize], Range<usize>)| {
            (name, floats_digest(shape, &self.weights.values()[range]))
        };
        tensors.into_par_iter().map(digest).collect()
    }

    /// The tensor root over the weights, which the manifest has for `model.safetensors`.
    pub fn weights_root(&self) -> Digest {
        tensor_root(self.weight_digests().into_iter())
    }

    /// The tensor root over weights and moments.
    pub fn digest(&self) -> Digest {
        let digests = self.tensor_digests();
        tensor_root(digests.iter().map(|(name, digest)| (name.as_str(), *digest)))
    }

    /// Saves the state, which has the digest `state`, as a checkpoint of `run` below `output`: the directory is
    /// written completely or not at all.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(
        &self,
        run: &Run,
        output: &Root,
        tokenizer: &[u8],
        run_digest: Digest,
        state: Digest,
        journal: Digest,
    ) -> Result<(), TrainError> {
        output.whole_directory(&directory_of(self.step)?, |partial| {
            hub::write(partial, &run.model, &self.weights)?;
            write_moments(partial, self.weights.layout(), &self.first_moment, &self.second_moment)?;
            let stated = Stated {
                retrace: SCHEMA.to_owned(),
                run: run_digest,
                numerics: run.numerics,
                step: self.step,
                tokens: self.tokens,
                updates: self.updates,
                state,
                journal,
            };
            let state_path = partial.path().join(STATE);
            let mut json = serde_json::to_vec_pretty(&stated).map_err(|e| FileError::Json {
                path: state_path.clone(),
                line: 0,
                what: e.to_string(),
            })?;
            json.push(b'\n');
            partial.write(&inside(STATE)?, &json)?;
            partial.write(&inside("tokenizer.json")?, tokenizer)?;
            Ok::<(), TrainError>(())
        })
    }

    /// Loads the checkpoint of `step` below `output` and checks its tensors against its state file. Also returns the
    /// digests of the run that made it and of the journal's last line at that time.
    ///
    /// # Errors
    /// If a file cannot be read, or contradicts another.
    pub fn load(output: &Root, step: Step) -> Result<(Self, Digest, Digest), TrainError> {
        let (state, stated) = Self::read(output, step)?;
        let path = directory_of(step)?.under(output.path());
        if stated.step != step {
            let what = format!("step: is {}, but its directory is that of step {step}", stated.step);
            return Err(FileError::Json { path: path.join(STATE), line: 1, what }.into());
        }
        match state.digest() {
            found if found == stated.state => Ok((state, stated.run, stated.journal)),
            found => Err(TrainError::Damaged { path, stated: stated.state, found }),
        }
    }

    /// Reads the checkpoint of `step` below `output`, and its state file, without comparing them.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn read(output: &Root, step: Step) -> Result<(Self, Stated), TrainError> {
        let directory = output.directory(&directory_of(step)?)?;
        let stated = read_stated(directory.file(&inside(STATE)?)?)?;
        let (_, weights) = hub::read(&directory)?;
        let (first_moment, second_moment) = read_moments(&directory, &weights)?;
        let Stated { tokens, updates, .. } = stated;
        Ok((Self { step, tokens, updates, weights, first_moment, second_moment }, stated))
    }

    /// The numbers of the tensor called `name`, a weight or a moment.
    pub(crate) fn tensor(&self, name: &str) -> Option<&[f32]> {
        let (values, weight) = match name.split_once('.') {
            Some(("first_moment", weight)) => (self.first_moment.as_slice(), weight),
            Some(("second_moment", weight)) => (self.second_moment.as_slice(), weight),
            _ => (self.weights.values(), name),
        };
        let (.., range) = self.weights.layout().iter().find(|(known, ..)| *known == weight)?;
        values.get(range)
    }
}

/// The weights in a hub directory, which must fit the model of `run`.
pub(crate) fn of_model(directory: &Root, run: &Run) -> Result<Weights, TrainError> {
    let (model, weights) = hub::read(directory)?;
    // Only its context length and the distribution of its initial weights may differ.
    let seen = Model {
        max_position_embeddings: run.model.max_position_embeddings,
        rope_theta: run.model.rope_theta,
        rope_scaling: run.model.rope_scaling.clone(),
        initializer_range: run.model.initializer_range,
        ..model
    };
    match seen == run.model {
        true => Ok(weights),
        false => {
            let what = "its config.json differs from `model` in the run file".to_owned();
            Err(TrainError::Start { path: directory.path().to_owned(), what })
        }
    }
}

/// Writes the optimizer's moments of weights with that layout into a checkpoint's directory.
///
/// # Errors
/// If the file cannot be written.
pub fn write_moments(directory: &Root, layout: &Layout, first: &[f32], second: &[f32]) -> Result<(), TrainError> {
    let mut moments = tensors(layout, first, |name| moment_names(name)[0].clone());
    moments.extend(tensors(layout, second, |name| moment_names(name)[1].clone()));
    safetensors::write_views(directory.create(&inside(OPTIMIZER)?)?, &moments)?;
    Ok(())
}

/// The moments of `weights` in a checkpoint's directory.
pub(crate) fn read_moments(directory: &Root, weights: &Weights) -> Result<(Vec<f32>, Vec<f32>), TrainError> {
    let mut moments = safetensors::read_all(&directory.file(&inside(OPTIMIZER)?)?)?;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (name, shape, _) in weights.layout().iter() {
        let names = moment_names(name);
        first.extend(take_floats(&mut moments, &names[0], shape)?);
        second.extend(take_floats(&mut moments, &names[1], shape)?);
    }
    match moments.pop_first() {
        Some((name, _)) => Err(ModelError::Unknown { name }.into()),
        None => Ok((first, second)),
    }
}

fn read_stated(file: RegularFile) -> Result<Stated, FileError> {
    let path = file.path().to_owned();
    let refuse = |line: usize, what: String| FileError::Json { path: path.clone(), line, what };
    let text = file.read(LONGEST_STATE)?;
    let stated: Stated = serde_json::from_slice(&text).map_err(|e| refuse(e.line(), e.to_string()))?;
    match stated.retrace == SCHEMA {
        true => Ok(stated),
        false => Err(refuse(2, format!("retrace: is {:?}; this version reads {SCHEMA:?}", stated.retrace))),
    }
}

/// The digest of the state, from the `state.json` that is `file`.
///
/// # Errors
/// If it cannot be read, or is not valid.
pub fn stated_digest(file: RegularFile) -> Result<Digest, TrainError> {
    Ok(read_stated(file)?.state)
}

/// The name of a moment of the weight called `name`.
pub(crate) fn moment_names(name: &str) -> [String; 2] {
    [format!("first_moment.{name}"), format!("second_moment.{name}")]
}

/// The path of the checkpoint of `step` below a run's directory.
///
/// # Errors
/// Cannot fail in practice: such a name is a path.
pub fn directory_of(step: Step) -> Result<RelPath, FileError> {
    inside(&CheckpointName::of_step(step))
}

/// The path of a file directly in a directory.
pub(crate) fn inside(name: &str) -> Result<RelPath, FileError> {
    name.parse().map_err(|e: PathError| FileError::Name { path: name.into(), what: e.to_string() })
}

/// The steps that have a complete checkpoint below a run's directory, ascending.
///
/// # Errors
/// If the directory cannot be read.
pub fn checkpoints(output: &Root) -> Result<Vec<Step>, TrainError> {
    let step = |(name, kind): (String, EntryKind)| match kind {
        EntryKind::Directory => CheckpointName::of(&name).step.filter(|step| CheckpointName::of_step(*step) == name),
        // A link in the place of a checkpoint is refused when it is opened.
        _ => None,
    };
    let mut steps: Vec<Step> = output.list()?.into_iter().filter_map(step).collect();
    steps.sort();
    Ok(steps)
}

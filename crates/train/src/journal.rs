//! The journal: one line per step, each with the digest of the line before.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use retrace_files::{FileError, Root};
use retrace_spec::{Digest, Step, Tokens};
use serde::{Deserialize, Serialize};

use crate::state::inside;
use crate::{Checks, TrainError};

/// The record of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The update's number, from 1.
    pub step: Step,
    /// The phase of the step.
    pub phase: String,
    /// Tokens trained on so far.
    pub tokens: Tokens,
    /// The learning rate.
    pub learning_rate: f64,
    /// The mean loss, in nats per token, before the update.
    pub loss: f64,
    /// The bits of `loss`, 16 hexadecimal digits.
    pub loss_bits: String,
    /// The gradient's norm over all weights, before clipping.
    pub grad_norm: f64,
    /// Whether the step was an outlier and did not change the weights.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outlier: bool,
    /// The mean loss on the held-out tokens, after the update, if it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// The batch's digest.
    pub batch: Digest,
    /// For each sequence of the batch, in order.
    pub sequences: Checks,
    /// The tensor root of the weights after the update.
    pub weights: Digest,
    /// For each tensor of the weights, sorted by name.
    pub tensors: Checks,
    /// The tensor root of weights and moments after the update, if a checkpoint is saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Digest>,
    /// The digest of the line before; for the first line, the run's digest.
    pub previous: Digest,
}

impl Line {
    /// The line's bytes, without the line's end.
    fn bytes(&self, path: &Path) -> Result<Vec<u8>, TrainError> {
        serde_json::to_vec(self).map_err(|e| TrainError::Journal {
            path: path.to_owned(),
            line: self.step.get() as usize,
            what: e.to_string(),
        })
    }
}

/// A longer journal is not read: with a few hundred bytes per line it has tens of millions of steps.
const LONGEST: u64 = 16 << 30;

/// A journal on disk.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    run: Digest,
    lines: Vec<Line>,
    /// The digest of the last line, or the run's digest.
    head: Digest,
    file: Option<File>,
}

impl Journal {
    /// The journal's name in a run's directory.
    pub const NAME: &'static str = "journal.jsonl";

    /// Begins a journal in the directory of the run with the given digest.
    ///
    /// # Errors
    /// If there is one already, or it cannot be written.
    pub fn create(directory: &Root, run: Digest) -> Result<Self, TrainError> {
        let (name, path) = (inside(Self::NAME)?, directory.path().join(Self::NAME));
        if directory.has(&name) {
            return Err(TrainError::Exists { path });
        }
        directory.write(&name, b"")?;
        Ok(Self { path, run, lines: Vec::new(), head: run, file: Some(directory.append(&name)?) })
    }

    /// Reads the journal in a run's directory and checks its chain. An incomplete last line, which a killed process
    /// can leave, is ignored.
    ///
    /// # Errors
    /// If it cannot be read, or a line is not valid or does not continue the chain.
    pub fn read(directory: &Root) -> Result<Self, TrainError> {
        let path = &directory.path().join(Self::NAME);
        let bytes = directory.file(&inside(Self::NAME)?)?.read(LONGEST)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut lines: Vec<Line> = Vec::new();
        let mut head: Option<Digest> = None;
        let mut run = Digest::of(b"");
        for (at, text) in bytes[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
            let text = &text[..text.len() - 1];
            let refuse = |what: String| TrainError::Journal { path: path.to_owned(), line: at + 1, what };
            let line: Line = serde_json::from_slice(text).map_err(|e| refuse(e.to_string()))?;
            if line.loss_bits != format!("{:016x}", line.loss.to_bits()) {
                return Err(refuse(format!("gives the bits of the loss {} as {}", line.loss, line.loss_bits)));
            }
            if line.step.get() != at as u64 + 1 {
                return Err(refuse(format!("is for step {} instead of step {}", line.step, at + 1)));
            }
            match head {
                None => run = line.previous,
                Some(head) if head != line.previous => {
                    return Err(refuse(format!(
                        "gives the digest of the line before as {}, but that line has {head}",
                        line.previous
                    )));
                }
                Some(_) => {}
            }
            head = Some(Digest::of(text));
            lines.push(line);
        }
        Ok(Self { path: path.to_owned(), run, head: head.unwrap_or(run), lines, file: None })
    }

    /// Removes everything after `step` and opens the journal for appending, if its last line then has the digest
    /// `saved`.
    ///
    /// # Errors
    /// If it does not reach that step, has another digest there, or cannot be written.
    pub fn cut_to(
        mut self,
        directory: &Root,
        step: Step,
        run: Digest,
        saved: Option<Digest>,
    ) -> Result<Self, TrainError> {
        if (self.lines.len() as u64) < step.get() {
            let what = format!("ends at step {}, before the checkpoint of step {step}", self.lines.len());
            return Err(TrainError::Journal { path: self.path, line: self.lines.len(), what });
        }
        self.lines.truncate(step.get() as usize);
        let mut bytes = Vec::new();
        self.head = run;
        for line in &self.lines {
            let text = line.bytes(&self.path)?;
            self.head = Digest::of(&text);
            bytes.extend(text);
            bytes.push(b'\n');
        }
        self.run = run;
        // Before anything is written: the journal of another run is not changed.
        if let Some(saved) = saved.filter(|saved| *saved != self.head) {
            let what =
                format!("its line has digest {}, but the checkpoint was saved after a line with {saved}", self.head);
            return Err(TrainError::Journal { path: self.path, line: step.get() as usize, what });
        }
        directory.write(&inside(Self::NAME)?, &bytes)?;
        self.file = Some(directory.append(&inside(Self::NAME)?)?);
        Ok(self)
    }

    /// Adds a line; its `previous` is set here.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&mut self, mut line: Line) -> Result<(), TrainError> {
        line.previous = self.head;
        let mut bytes = line.bytes(&self.path)?;
        let head = Digest::of(&bytes);
        bytes.push(b'\n');
        if let Some(file) = &mut self.file {
            let io = |source| FileError::Io { path: self.path.clone(), doing: "write", source };
            file.write_all(&bytes).map_err(io)?;
        }
        self.head = head;
        self.lines.push(line);
        Ok(())
    }

    /// Waits until every line is on disk.
    ///
    /// # Errors
    /// If writing to the disk fails.
    pub fn sync(&self) -> Result<(), TrainError> {
        if let Some(file) = &self.file {
            file.sync_data().map_err(|source| FileError::Io { path: self.path.clone(), doing: "sync", source })?;
        }
        Ok(())
    }

    /// The digest of the last line; the run's digest, if there is none.
    pub const fn head(&self) -> Digest {
        self.head
    }

    /// The digest of the line of `step`, if the journal reaches it; the run's digest for step 0.
    pub fn head_at(&self, step: Step) -> Option<Digest> {
        match step.get() as usize {
            0 => Some(self.run),
            at if at == self.lines.len() => Some(self.head),
            at => self.lines.get(at).map(|next| next.previous),
        }
    }

    /// The digest of the journal's run, according to its first line.
    pub const fn run(&self) -> Digest {
        self.run
    }

    /// The lines, from step 1 on.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The line of `step`.
    pub fn line(&self, step: Step) -> Option<&Line> {
        self.lines.get(step.get().checked_sub(1)? as usize)
    }
}

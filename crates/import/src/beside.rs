//! What the files of an import say about each other.
//!
//! Each file is read alone, in any order. What it takes from others is collected before.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::evaluated::Evaluated;
use crate::trainer_state::History;
use crate::{ImportKind, lm_eval, mlflow, sqlite, tensorboard, trainer_state};

/// What other files say about a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Beside {
    /// Nothing.
    #[default]
    Nothing,
    /// The model that its samples are of, and how many examples their prompts had.
    Model(Evaluated, Option<u64>),
    /// Several models of the import have names that end alike: its run has this name.
    Run(String),
    /// A later event file of its directory begins again at this step: its points from there on are gone.
    PurgedFrom(u64),
    /// What its history is of, beside those of other files.
    History(History),
    /// It belongs to a deleted run.
    Deleted,
    /// The transactions of a database that are not in its file.
    Wal(Vec<u8>),
    /// It has a file of such transactions, which cannot be read.
    UnreadWal,
    /// It has a file by which an interrupted transaction is undone.
    Rollback,
    /// The runs whose own files have these metrics of a model too.
    Runs(HashSet<String>),
}

/// Reads a file of the import; `None`, if it cannot be read.
pub(crate) type ReadFile<'a> = dyn Fn(&Path) -> Option<Vec<u8>> + Sync + 'a;

/// What the files of an import say about each other, by their paths. A file that is not here has nothing beside it.
pub(crate) fn of(kind: ImportKind, files: &[&Path], read: &ReadFile<'_>) -> HashMap<PathBuf, Beside> {
    match kind {
        ImportKind::LmEval => lm_eval::models(files, read),
        ImportKind::TensorBoard => tensorboard::purged(files, read),
        ImportKind::TrainerState => trainer_state::histories(files, read),
        ImportKind::MlFlow => mlflow::beside(files, read).into_iter().chain(sqlite::beside(files, read)).collect(),
        ImportKind::Trackio => sqlite::beside(files, read),
        _ => HashMap::new(),
    }
}

//! The kinds of imports.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::sqlite;

/// The tool that wrote the files, which determines how they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportKind {
    /// lm-evaluation-harness: results and samples.
    LmEval,
    /// EleutherAI's tree of evaluations of Pythia.
    PythiaEvals,
    /// A list of released checkpoints.
    CheckpointList,
    /// Any table, by a mapping of its columns.
    Csv,
    /// Logs and exports of Weights & Biases.
    Wandb,
    /// TensorBoard's event files.
    TensorBoard,
    /// MLflow's databases and directories.
    MlFlow,
    /// trackio's databases.
    Trackio,
    /// The state of a Trainer of transformers.
    TrainerState,
    /// The text output of trainers.
    TextLog,
    /// `config.json` and YAML.
    Configs,
    /// The tables of READMEs.
    Readme,
}

impl ImportKind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::LmEval,
        Self::PythiaEvals,
        Self::CheckpointList,
        Self::Csv,
        Self::Wandb,
        Self::TensorBoard,
        Self::MlFlow,
        Self::Trackio,
        Self::TrainerState,
        Self::TextLog,
        Self::Configs,
        Self::Readme,
    ];

    /// Whether a [`Mapping`](crate::Mapping) defines the meaning of its columns.
    pub const fn is_mapped(self) -> bool {
        matches!(self, Self::Csv | Self::Wandb | Self::Trackio)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LmEval => "lm-eval",
            Self::PythiaEvals => "pythia-evals",
            Self::CheckpointList => "checkpoint-list",
            Self::Csv => "csv",
            Self::Wandb => "wandb",
            Self::TensorBoard => "tensorboard",
            Self::MlFlow => "mlflow",
            Self::Trackio => "trackio",
            Self::TrainerState => "trainer-state",
            Self::TextLog => "text-log",
            Self::Configs => "configs",
            Self::Readme => "readme",
        }
    }

    /// The names of its files in a directory.
    pub const fn names(self) -> &'static str {
        match self {
            Self::LmEval => "*.json, samples_*.jsonl",
            Self::PythiaEvals => "*.json, *.csv",
            Self::CheckpointList => "*.csv, *revisions*.txt, *refs*.txt, *refs*.json",
            Self::Csv => "*.csv",
            Self::Wandb => "*.wandb, *.csv, *.jsonl",
            Self::TensorBoard => "*tfevents*",
            Self::MlFlow => "*.db, *.sqlite, meta.yaml, metrics/*, params/*, tags/*",
            Self::Trackio => "*.db",
            Self::TrainerState => "trainer_state.json",
            Self::TextLog => "*.log, *.out",
            Self::Configs => "*.json, *.yaml, *.yml",
            Self::Readme => "*.md",
        }
    }

    /// The maximum size of the file at this path: it is read into memory completely.
    pub(crate) fn largest(self, path: &Path) -> u64 {
        match self {
            Self::MlFlow if path.to_str().is_some_and(sqlite::is_database) => 1 << 30,
            Self::LmEval | Self::PythiaEvals | Self::TrainerState => 256 << 20,
            Self::Csv | Self::Wandb | Self::TensorBoard | Self::Trackio | Self::TextLog => 1 << 30,
            Self::CheckpointList | Self::MlFlow | Self::Configs | Self::Readme => 16 << 20,
        }
    }

    /// Whether the file at this path below a directory is one of this kind.
    pub(crate) fn takes(self, path: &str) -> bool {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        match self {
            Self::LmEval => ending == "json" || name.starts_with("samples_") && ending == "jsonl",
            Self::PythiaEvals => matches!(ending, "json" | "csv"),
            Self::Csv => ending == "csv",
            Self::CheckpointList => match ending {
                "csv" => true,
                "txt" => name.contains("revisions") || name.contains("refs"),
                "json" => name.contains("refs"),
                _ => false,
            },
            Self::Wandb => matches!(ending, "wandb" | "csv" | "jsonl"),
            Self::TensorBoard => name.contains("tfevents"),
            Self::Trackio => sqlite::is_named(name),
            Self::MlFlow => {
                sqlite::is_named(name)
                    || name == "meta.yaml"
                    || folders.split('/').any(|folder| matches!(folder, "metrics" | "params" | "tags"))
            }
            Self::TrainerState => name == "trainer_state.json",
            Self::TextLog => matches!(ending, "log" | "out"),
            Self::Configs => matches!(ending, "json" | "yaml" | "yml"),
            Self::Readme => ending == "md",
        }
    }
}

impl fmt::Display for ImportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ImportKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("{text:?} is not a kind of import"))
    }
}

//! `retrace import`

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use retrace_import::{Kind, Mapping, Options};

use super::{Exit, open};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Bring what others publish into the tables: evaluations, logs, checkpoint lists, configs
///
/// Reads files of a kind, directories with all that lies in them, and puts their rows into the tables
/// in DIR, which `retrace query` asks. Every row says which file it is from and where it stands there;
/// nothing is filled in that a file does not say.
///
/// A file is known by its release and its source: the last part of the PATH given and what lies below
/// it. Importing it again replaces its rows. What cannot be read is told, with its place, here and in
/// the table `sources`; the rest goes on, and the exit code is 1. Of a file at most 1 GiB is read (256 MiB
/// of JSON, 16 MiB of configs, READMEs and lists) and as many rows are taken as 3 GiB of memory
/// hold, with names of at most 512 bytes.
///
/// One process at a time writes to the tables in DIR; a second one is told which that is. An import that
/// was cut off says so in `sources` until it is done again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Kinds, and which files of a directory they take:
  lm-eval          *.json, samples_*.jsonl  results and samples of lm-evaluation-harness
  pythia-evals     *.json, *.csv            EleutherAI's evaluations of every checkpoint of Pythia
  checkpoint-list  *.csv                    lists of released checkpoints, as OLMo's
  csv              *.csv                    any table; --mapping says what its columns are
  wandb            *.csv, *.jsonl           exported histories, charts and tables of runs
  tensorboard      *tfevents*               scalars of event files
  mlflow           meta.yaml, metrics/*, params/*
  trainer-state    trainer_state.json       of transformers' Trainer
  text-log         *.log, *.out             lines of Megatron, GPT-NeoX and their kin
  configs          *.json, *.yaml, *.yml    every value, as a claim

Examples:
  retrace import pythia-evals pythia/evals --tokens-per-step 2097152
  retrace import checkpoint-list configs/official-1124 --release OLMo-2 -o release/tables
  retrace import csv ladder-runs --mapping ladder.yaml
  retrace import tensorboard runs && retrace query \"select * from sources where problem is not null\"

A mapping:
  retrace: mapping/1
  run: run_id                # without it, the file's name
  step: [_step, step]        # the first of these that the table has
  tokens: throughput/total_tokens?   # with a question mark: a table may lack it
  claims: [gpu, torch]       # what a line says of its run
  skip: ['_.*']              # left out
  metrics:                   # regular expressions of whole names; groups: task, metric, shots
    - {column: 'eval/downstream_bpb/(?<task>.+)_(?<shots>[0-9]+)shot_bpb', metric: bpb}
Also: loss, learning_rate, grad_norm; of a table with a line a value: task, shots, metric, value,
stderr. All other columns of numbers are metrics by their own names.")]
pub(crate) struct Import {
    /// Whose files they are
    #[arg(value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::name)).try_map(|kind| kind.parse::<Kind>()))]
    kind: Kind,
    /// Files, or directories
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Where the tables are
    #[arg(short, long, value_name = "DIR", default_value = "tables")]
    output: PathBuf,
    /// The release; without it, the name of the directory
    #[arg(long, value_name = "NAME")]
    release: Option<String>,
    /// What the columns of tables mean (for csv and wandb)
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// How many tokens a step learns from, where the files do not say how many there were
    #[arg(long, value_name = "N")]
    tokens_per_step: Option<u64>,
}

/// The most files whose problems are told one by one; the table `sources` has all.
const TOLD: usize = 20;

impl Import {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let mapping = match &self.mapping {
            Some(path) if matches!(self.kind, Kind::Csv | Kind::Wandb) => open::<Mapping>(path)?.document,
            Some(_) => {
                return Err(Failure::usage(
                    format!("--mapping says nothing of {}", self.kind),
                    "leave it out, or import the tables as csv or wandb",
                ));
            }
            None => Mapping::default(),
        };
        let options = Options { release: self.release.clone(), mapping, tokens_per_step: self.tokens_per_step };
        let progress = terminal.progress();
        let imported = retrace_import::import(self.kind, &self.paths, &options, &self.output, progress.as_ref())?;
        let problems: Vec<_> =
            imported.sources.iter().filter_map(|source| Some((&source.source, source.problem.as_ref()?))).collect();
        let report = serde_json::json!({
            "files": imported.sources.len(),
            "problems": problems.iter().map(|(source, what)| serde_json::json!({"source": source, "what": what})).collect::<Vec<_>>(),
            "rows": imported.rows,
        });
        terminal.result("import/1", &report, |out| {
            let rows = imported.rows.iter().filter(|(_, rows)| **rows > 0);
            rows.into_iter().try_for_each(|(table, rows)| {
                let path = self.output.join(format!("{table}.parquet"));
                writeln!(out, "{}: {}", path.display(), count(*rows, "row"))
            })
        })?;
        for (source, what) in problems.iter().take(TOLD) {
            terminal.say(Tone::Bad, "problem", format_args!("{source}: {what}"));
        }
        if problems.len() > TOLD {
            let more = count(problems.len() - TOLD, "more file");
            terminal.say(Tone::Bad, "problem", format_args!("{more}; the table sources names all"));
        }
        let rows: usize = imported.rows.iter().filter(|(table, _)| **table != "sources").map(|(_, rows)| rows).sum();
        let files = count(imported.sources.len(), "file");
        let wrong = if problems.is_empty() { String::new() } else { format!(", {} with problems", problems.len()) };
        terminal.say(Tone::Good, "imported", format_args!("{} of {files}{wrong}", count(rows, "row")));
        Ok(Exit::holds(problems.is_empty()))
    }
}

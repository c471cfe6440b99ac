//! `retrace import`

use std::collections::HashMap;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use retrace_import::{ImportKind, Mapping, Options};

use super::{Exit, open};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Import published evaluations, logs, checkpoint lists and configs into tables
///
/// Reads files of one kind, or all such files of a directory, and adds their rows to the tables in DIR,
/// for `retrace query`. Every row names its file and the place in that file. A value that a file does not
/// give stays empty.
///
/// A file is identified by its release and its source: the last part of the given PATH, and the path
/// below it. Importing a file again replaces its rows; if the content differs, this is reported, because
/// it may be another file with the same name. If part of a file cannot be read, the problem and its place
/// are reported here and in the table `sources`; the rest is imported, and the exit code is 1.
/// Limits per file: 1 GiB (JSON 256 MiB; configs, READMEs and lists 16 MiB), rows that fit in 3 GiB of
/// memory, and names of 512 bytes.
///
/// Only one process at a time can write to the tables in DIR; a second one reports which process that is.
/// After an interrupted import, `sources` says so until the import is repeated.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Kinds, and the files that each reads from a directory:
  lm-eval          *.json, samples_*.jsonl  results and samples of lm-evaluation-harness
  pythia-evals     *.json, *.csv            EleutherAI's evaluations of all Pythia checkpoints
  checkpoint-list  *.csv, *revisions*.txt, *refs*.txt, *refs*.json
                                            lists of released checkpoints, or of revisions
  csv              *.csv                    any table; --mapping gives the meaning of its columns
  wandb            *.wandb, *.csv, *.jsonl  logs of runs; exported histories, charts and tables of runs
  tensorboard      *tfevents*               scalars and hyperparameters of event files
  mlflow           *.db, *.sqlite, meta.yaml, metrics/*, params/*, tags/*
  trackio          *.db                     databases of projects
  trainer-state    trainer_state.json       of transformers' Trainer
  text-log         *.log, *.out             logs of Megatron, GPT-NeoX, nanotron, OLMo,
                                            torchtitan, litgpt, nanochat and similar
  configs          *.json, *.yaml, *.yml    every value, as a claim of the release
  readme           *.md                     tables in Markdown and reports of nanochat, as claims

Examples:
  retrace import pythia-evals pythia/evals --tokens-per-step 2097152
  retrace import checkpoint-list configs/official-1124 --release OLMo-2 -o release/tables
  retrace import csv ladder-runs --mapping ladder.yaml
  retrace import tensorboard runs && retrace query \"select * from sources where problem is not null\"

A mapping:
  retrace: mapping/1
  run: run_id                # default: the file's name
  step: [train/global_step, _step]   # the first of these columns that the table has
  tokens: throughput/total_tokens?   # a question mark: the column is optional
  claims: [gpu, torch]       # columns about the run as a whole
  skip: ['_.*']              # columns to leave out
  metrics:                   # regular expressions for whole names; groups: task, metric, shots
    - {column: 'eval/downstream_bpb/(?<task>.+)_(?<shots>[0-9]+)shot_bpb', metric: bpb}
More fields: loss, learning_rate, grad_norm; and for a table with one value per line: task, shots,
metric, value, stderr. Every other numeric column is a metric of its own name.")]
pub(crate) struct Import {
    /// The kind of the files
    #[arg(value_parser = PossibleValuesParser::new(ImportKind::ALL.map(ImportKind::name)).try_map(|kind| kind.parse::<ImportKind>()))]
    kind: ImportKind,
    /// Files, or directories
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The directory of the tables
    #[arg(short, long, value_name = "DIR", default_value = "tables")]
    output: PathBuf,
    /// The release's name [default: the directory's name]
    #[arg(long, value_name = "NAME")]
    release: Option<String>,
    /// A document that gives the meaning of columns (for csv, wandb and trackio)
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// Tokens per step, used if the files give no token counts
    #[arg(long, value_name = "N")]
    tokens_per_step: Option<u64>,
}

/// The maximum number of files whose problems are listed; the table `sources` has all.
const TOLD: usize = 20;

impl Import {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let mapping = match &self.mapping {
            Some(path) if self.kind.is_mapped() => open::<Mapping>(path)?.document,
            Some(_) => {
                return Err(Failure::usage(
                    format!("--mapping does not apply to {}", self.kind),
                    "leave it out, or import the files as csv, wandb or trackio",
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
            "notes": imported.notes.iter().map(|(source, what)| serde_json::json!({"source": source, "what": what})).collect::<Vec<_>>(),
            "replaced": imported.replaced.iter().map(|(release, source)| serde_json::json!({"release": release, "source": source})).collect::<Vec<_>>(),
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
            terminal.say(Tone::Bad, "problem", format_args!("{more}; the table sources lists all"));
        }
        if let Some((release, _)) = imported.replaced.first() {
            let of = named(&imported.replaced.iter().map(|(_, source)| source.as_str()).collect::<Vec<_>>());
            let what = format_args!(
                "{of}: {release} had other content under the same name; if those were other files, import both with --release"
            );
            terminal.say(Tone::Faint, "replaced", what);
        }
        for (what, of) in by_note(&imported.notes).into_iter().take(TOLD) {
            terminal.say(Tone::Faint, "note", format_args!("{of}: {what}"));
        }
        let rows: usize = imported.rows.iter().filter(|(table, _)| **table != "sources").map(|(_, rows)| rows).sum();
        let files = count(imported.sources.len(), "file");
        let wrong = if problems.is_empty() { String::new() } else { format!(", {} with problems", problems.len()) };
        terminal.say(Tone::Good, "imported", format_args!("{} of {files}{wrong}", count(rows, "row")));
        Ok(Exit::holds(problems.is_empty()))
    }
}

/// Each note once, with the file that it is about, and how many others.
fn by_note(notes: &[(String, String)]) -> Vec<(&str, String)> {
    let mut files: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (source, what) in notes {
        let place = *places.entry(what).or_insert_with(|| {
            files.push((what, Vec::new()));
            files.len() - 1
        });
        files[place].1.push(source);
    }
    files.into_iter().map(|(what, of)| (what, named(&of))).collect()
}

/// The first of these files, and how many others.
fn named(files: &[&str]) -> String {
    match files {
        [first, _, ..] => format!("{first} and {}", count(files.len() - 1, "other file")),
        _ => files.concat(),
    }
}

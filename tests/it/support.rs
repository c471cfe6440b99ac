//! The binary, and a small release for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use retrace_corpus::tokens::Writer;
use retrace_files::{WalkEntry, hash_file, walk};
use retrace_numerics::random::Stream;
use retrace_spec::Digest;
use serde_json::Value;
use tempfile::TempDir;

/// The existing verbs, as the help lists them.
pub(crate) const VERBS: &[&str] = &[
    "tour",
    "make",
    "seal",
    "verify",
    "diff",
    "sign",
    "export",
    "clean",
    "tokenize",
    "train",
    "work",
    "replay",
    "eval",
    "logits",
    "generate",
    "convert",
    "query",
    "report",
    "import",
    "average",
    "audit",
    "openness",
    "cluster",
    "stats",
    "completions",
    "man",
];

/// A checkpoint of PyTorch, its export to llama2.c, and PyTorch's results with it; `make.py` there makes them.
pub(crate) const LLAMA2C: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../files/tests/llama2c");

/// The binary, in an environment without any variable that it reads.
pub(crate) fn retrace() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_retrace"));
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "RETRACE_ISA", "RAYON_NUM_THREADS", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    // So that no notes are written to the user's own directories.
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.stdin(Stdio::null());
    command
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("UTF-8 on standard output"),
            err: String::from_utf8(output.stderr).expect("UTF-8 on standard error"),
        }
    }
}

impl Ran {
    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "standard output:\n{}\nstandard error:\n{}", self.out, self.err);
        self
    }

    /// Asserts that the error contains all of `parts`.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in standard error:\n{}", self.err);
        }
        self
    }

    /// The one JSON document on standard output, which must have the name `schema` and sorted keys.
    #[track_caller]
    pub(crate) fn json(&self, schema: &str) -> Value {
        let value: Value = serde_json::from_str(&self.out).expect("one JSON document");
        assert_eq!(value["schema"], format!("retrace.{schema}"));
        let mut sorted = value.clone();
        sorted.sort_all_objects();
        assert_eq!(self.out, format!("{sorted:#}\n"), "keys are not sorted");
        value
    }
}

/// Runs the binary with these arguments.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    retrace().args(arguments).output().expect("the binary runs").into()
}

/// A new directory, with the raw corpus and the recipes of a small release.
pub(crate) struct Release {
    directory: TempDir,
}

pub(crate) const CLEAN: &str = "\
retrace: clean/1
name: clean
input: [raw/*.jsonl]
output: clean
rules:
  - {rule: characters, at_least: 10, at_most: 1000}
deduplicate: exact
";

pub(crate) const TOKENIZE: &str = "\
retrace: tokenize/1
name: tokenize
tokenizer: {from: train, path: tokenizer/tokenizer.json, vocab_size: 300, end_of_text: <|end|>}
shards:
  - {input: [clean/en-*.jsonl], output: tokens/en.tokens}
";

impl Release {
    /// Forty documents in two shards, of which one is too short and one occurs twice.
    pub(crate) fn new() -> Self {
        let release = Self { directory: tempfile::tempdir().unwrap() };
        let line = |id: usize, text: &str| format!("{{\"id\":\"{id}\",\"text\":\"{text}\",\"lang\":\"en\"}}\n");
        let text = |id: usize| format!("Document {id} tells of {} rivers and {} hills.", id * 7 % 13, id * 5 % 11);
        let mut shards = [String::new(), String::new()];
        for id in 0..38 {
            shards[id % 2] += &line(id, &text(id));
        }
        shards[0] += &line(38, "short");
        shards[1] += &line(39, &text(4));
        for (index, shard) in shards.iter().enumerate() {
            release.write(&format!("raw/en-{index:02}.jsonl"), shard);
        }
        release.write("clean.yaml", CLEAN);
        release.write("tokenize.yaml", TOKENIZE);
        release
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.path(path)).unwrap()
    }

    /// Runs the binary in the release's directory.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        retrace().args(arguments).current_dir(self.root()).output().expect("the binary runs").into()
    }

    /// All files in the directory with their bytes, except scratch files.
    pub(crate) fn content(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut content = Vec::new();
        let mut directories = vec![self.root().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.ends_with(".retrace") {
                    continue;
                }
                if path.is_dir() {
                    directories.push(path);
                } else {
                    content.push((path.strip_prefix(self.root()).unwrap().to_owned(), fs::read(&path).unwrap()));
                }
            }
        }
        content.sort();
        content
    }
}

/// A run file of a model so small that a step takes milliseconds; the parts that differ from test to test are in
/// capitals.
const SMALL_RUN: &str = "retrace: run/1
name: small
seed: 1
numerics: 1
model: {architecture: llama, vocab_size: 64, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2,
  num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 64, rope_theta: 10000.0,
  rms_norm_eps: 1.0e-5, initializer_range: 0.05}
tokenizer: tokenizer.json
output: runs/small
sequence_length: 64
batch_size: BATCH
micro_batch_size: 2
dropout: 0.1
optimizer: {beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8, weight_decay: 0.1, clip: 1.0}
phases:
  - {name: one, steps: STEPS, learning_rate: {schedule: cosine, warmup: 10, peak: 0.01, floor: 0.001},
     mix: [{tokens: a.tokens, share: 1}]}
checkpoint_every: EVERY
";

/// A small run that can be trained in `root`, as `run.yaml`. Another `offset` gives other tokens.
pub(crate) fn small_run(root: &Path, steps: u64, batch: u64, every: u64, offset: u64) {
    let numbers = [("STEPS", steps), ("BATCH", batch), ("EVERY", every)];
    let run = numbers.iter().fold(SMALL_RUN.to_owned(), |run, (name, number)| run.replace(name, &number.to_string()));
    fs::write(root.join("run.yaml"), run).unwrap();
    fs::write(root.join("tokenizer.json"), "{}").unwrap();
    let mut writer =
        Writer::create(retrace_files::WholeFile::create(&root.join("a.tokens")).unwrap(), 64, Digest::of(b"")).unwrap();
    writer.begin_shard("raw.jsonl".parse().unwrap());
    let noise = Stream::new(1, "tokens");
    let tokens: Vec<u32> = (0..9000).map(|i| (i * 7 + offset + noise.below(0, i, 3)) as u32 % 64).collect();
    writer.add(1, &tokens).unwrap();
    writer.finish().unwrap();
}

/// `retrace train` of the small run in `root`.
pub(crate) fn train_small(root: &Path, more: &[&str]) -> Command {
    let mut command = retrace();
    command.current_dir(root).args(["train", "run.yaml"]).args(more);
    command
}

/// Every file of the runs in `root`, with its digest.
pub(crate) fn run_files(root: &Path) -> Vec<(String, Digest)> {
    let found = walk(&root.join("runs"), &|_| false).unwrap();
    let path = |found: &WalkEntry| found.path().under(&root.join("runs"));
    found.iter().map(|found| (found.path().to_string(), hash_file(&path(found)).unwrap().1)).collect()
}

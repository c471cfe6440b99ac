//! The binary, and a small release for it to work on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The verbs that there are, as the help lists them.
pub(crate) const VERBS: &[&str] = &[
    "tour", "seal", "verify", "diff", "sign", "export", "clean", "tokenize", "train", "work", "replay", "eval",
    "logits", "generate", "convert", "query", "import", "average", "audit", "openness", "cluster", "stats",
];

/// The binary, in an environment without anything that it listens to.
pub(crate) fn retrace() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_retrace"));
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "RETRACE_ISA", "RAYON_NUM_THREADS", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// What came of a command.
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

    /// Asserts that the error says all of `parts`.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in standard error:\n{}", self.err);
        }
        self
    }

    /// The one JSON document on standard output, which must be called `schema` and have its keys
    /// sorted.
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

/// A directory of its own, with the raw corpus and the recipes of a small release.
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
    /// Forty documents in two shards, of which one is too short and one is there twice.
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

    /// Everything in the directory with its bytes, but for scratch.
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

//! The texts for users: every help text, and the error messages of the binary, as files in `tests/it/wording`. `just
//! wording` writes these files again.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::support::{Ran, VERBS, retrace, small_run};

mod snapshot;

/// The width of the help texts.
const WIDTH: &str = "100";

fn help(verb: &[String]) -> String {
    let ran: Ran = retrace().args(verb).arg("--help").env("COLUMNS", WIDTH).output().unwrap().into();
    let ran = ran.code(0);
    assert_eq!(ran.err, "", "{verb:?}");
    ran.out
}

/// The verbs that a help text lists.
fn verbs(help: &str) -> Vec<String> {
    let lists = ["Verbs:", "Commands:"];
    let listed = help.lines().skip_while(|line| !lists.contains(line)).skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Every help text, by the arguments that show it.
fn helps() -> Vec<(Vec<String>, String)> {
    let mut left = vec![Vec::new()];
    let mut all = Vec::new();
    while let Some(words) = left.pop() {
        let text = help(&words);
        left.extend(verbs(&text).into_iter().map(|verb| words.iter().cloned().chain([verb]).collect()));
        all.push((words, text));
    }
    all
}

#[test]
fn help_is_as_written_down() {
    let helps = helps();
    let found: BTreeSet<&str> =
        helps.iter().filter(|(words, _)| words.len() == 1).map(|(w, _)| w[0].as_str()).collect();
    assert_eq!(found, VERBS.iter().copied().collect(), "the verbs that the help lists");
    let name = |words: &[String]| if words.is_empty() { "retrace".to_owned() } else { words.join("-") };
    let texts: Vec<_> = helps.into_iter().map(|(words, text)| (format!("{}.txt", name(&words)), text)).collect();
    snapshot::compare("help", &texts);
}

/// Commands in a directory with a small run and some damaged files, one error each.
const ERRORS: &[&[&str]] = &[
    &["verify"],
    &["verfy", "manifest.yaml"],
    &["verify", "manifest.yaml"],
    &["verify", "run.yaml"],
    &["verify", "SHA256SUMS"],
    &["verify", "sealed/manifest.yaml", "--only", "kind=song"],
    &["verify", "sealed/manifest.yaml", "--public-key", "run.yaml"],
    &["sign", "sealed/manifest.yaml", "--key", "run.yaml"],
    &["seal", "links"],
    &["seal", "sealed", "--nest", "empty"],
    &["export", "sha256sums", "sealed/manifest.yaml"],
    &["export", "slsa", "sealed/manifest.yaml"],
    &["export", "oms", "sealed/manifest.yaml"],
    &["diff", "sealed", "nowhere"],
    &["clean", "clean.yaml"],
    &["clean", "unknown-field.yaml"],
    &["tokenize", "run.yaml"],
    &["train", "run.yaml", "--resume"],
    &["train", "half.yaml"],
    &["work", "run.yaml", "--coordinator", "127.0.0.1:1"],
    &["work", "run.yaml", "--coordinator", "127.0.0.1:1", "--token", "short-token"],
    &["work", "run.yaml", "--coordinator", "127.0.0.1:1", "--token", "token", "--patience", "0"],
    &["replay", "sealed/manifest.yaml"],
    &["eval", "sealed", "--tasks", "a.yaml"],
    &["eval", "empty", "--tasks", "a.yaml"],
    &["logits", "model", "--tokens", "ids.json", "-o", "logits.safetensors"],
    &["generate", "model"],
    &["convert", "run.yaml", "-o", "converted"],
    &["query", "select * from nothing", "sealed"],
    &["query", "select path frm artifacts", "sealed"],
    &["query", "@learning-curv", "sealed"],
    &["query", "select 1", "empty"],
    &["query", "select 1", "run.yaml"],
    &["query", "select 1", "broken.parquet"],
    &["import", "csv", "empty"],
    &["average", "sealed", "--against", "sealed"],
    &["stats", "empty"],
    &["report", "contamination", "--benchmark", "a.yaml", "--corpus", "ids.json"],
    &["report", "contamination", "--benchmark", "benchmark.jsonl", "--corpus", "ids.json"],
    &["report", "contamination", "--benchmark", "benchmark.jsonl", "--fields", "text=question", "--corpus", "ids.json"],
    &["report", "checkpoints", "--tables", "ids.json", "-o", "page"],
    &["report", "release", "sealed/manifest.yaml", "-o", "sealed/page"],
    &["audit", "sealed", "--only", "no-such-rule"],
    &["audit", "sealed", "--rules", "rules"],
    &["openness", "run.yaml"],
    &["make", "empty"],
    &["make", "circle"],
];

#[test]
fn errors_are_as_written_down() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    small_run(root, 20, 2, 20, 0);
    let run = fs::read_to_string(root.join("run.yaml")).unwrap();
    let clean = |input: &str, output: &str| {
        format!("retrace: clean/1\nname: {output}\ninput: [{input}]\noutput: {output}\nrules: []\ndeduplicate: exact\n")
    };
    for directory in ["sealed", "links", "empty", "model", "circle", "rules"] {
        fs::create_dir(root.join(directory)).unwrap();
    }
    for (path, text) in [
        ("sealed/file.txt", "text\n".to_owned()),
        ("half.yaml", run.replace("\nbatch_size: 2", "\nbatch_size: 3")),
        ("clean.yaml", clean("raw/*.jsonl", "clean")),
        ("unknown-field.yaml", clean("raw/*.jsonl", "clean").replace("deduplicate", "dedupe")),
        ("circle/one.yaml", clean("two/*.jsonl", "one")),
        ("circle/two.yaml", clean("one/*.jsonl", "two")),
        ("rules/mine.sql", "select 1\n".to_owned()),
        ("SHA256SUMS", "no checksum\n".to_owned()),
        ("model/config.json", "{\"architectures\": [\"BertModel\"]}".to_owned()),
        ("ids.json", "[[1, 2]]".to_owned()),
        ("benchmark.jsonl", "{\"prompt\": \"Why?\"}\n".to_owned()),
        ("broken.parquet", "no table".to_owned()),
    ] {
        fs::write(root.join(path), text).unwrap();
    }
    for (name, token) in [("token", "0123456789abcdef0123456789abcdef"), ("short-token", "0123")] {
        fs::write(root.join(name), token).unwrap();
        fs::set_permissions(root.join(name), Permissions::from_mode(0o600)).unwrap();
    }
    std::os::unix::fs::symlink("../run.yaml", root.join("links/run.yaml")).unwrap();
    let sealed: Ran = retrace().current_dir(root).args(["seal", "sealed", "--quiet"]).output().unwrap().into();
    sealed.code(0);
    let mut text = String::new();
    for words in ERRORS {
        let ran: Ran = retrace().current_dir(root).args(*words).env("COLUMNS", WIDTH).output().unwrap().into();
        text += &format!("$ retrace {}\n{}exit code {}\n\n", words.join(" "), ran.err, ran.code);
    }
    snapshot::compare("said", &[("errors.txt".to_owned(), text)]);
}

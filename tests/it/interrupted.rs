//! Training that is killed, or whose disk is full: what is there is whole, and it goes on to the same
//! bits.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use retrace_corpus::tokens::Writer;
use retrace_files::{hash_file, walk};
use retrace_numerics::random::Stream;
use retrace_spec::Digest;
use tempfile::tempdir;

use crate::support::{Ran, retrace};

const RUN: &str = "retrace: run/1
name: small
seed: 1
numerics: 1
model: {architecture: llama, vocab_size: 64, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2,
  num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 64, rope_theta: 10000.0,
  rms_norm_eps: 1.0e-5, initializer_range: 0.05}
tokenizer: tokenizer.json
output: runs/small
sequence_length: 64
batch_size: 4
micro_batch_size: 2
optimizer: {beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8, weight_decay: 0.1, clip: 1.0}
phases:
  - {name: one, steps: 300, learning_rate: {schedule: cosine, warmup: 10, peak: 0.01, floor: 0.001},
     mix: [{tokens: a.tokens, share: 1}]}
checkpoint_every: 7
";

fn prepare(root: &Path) {
    fs::write(root.join("run.yaml"), RUN).unwrap();
    fs::write(root.join("tokenizer.json"), "{}").unwrap();
    let mut writer = Writer::create(&root.join("a.tokens"), 64, Digest::of(b"")).unwrap();
    writer.begin_shard("raw.jsonl".parse().unwrap());
    let noise = Stream::new(1, "tokens");
    let tokens: Vec<u32> = (0..9000).map(|i| (i * 7 + noise.below(0, i, 3)) as u32 % 64).collect();
    writer.add(1, &tokens).unwrap();
    writer.finish().unwrap();
}

fn train(root: &Path, more: &[&str]) -> Command {
    let mut command = retrace();
    command.current_dir(root).args(["train", "run.yaml"]).args(more);
    command
}

/// Every file of the run, with its digest.
fn files(root: &Path) -> Vec<(String, Digest)> {
    let found = walk(&root.join("runs"), &|_| false).unwrap();
    let path = |found: &retrace_files::Found| found.path().under(&root.join("runs"));
    found.iter().map(|found| (found.path().to_string(), hash_file(&path(found)).unwrap().1)).collect()
}

/// What an undisturbed run leaves.
fn undisturbed() -> Vec<(String, Digest)> {
    let directory = tempdir().unwrap();
    prepare(directory.path());
    Ran::from(train(directory.path(), &[]).output().unwrap()).code(0);
    files(directory.path())
}

#[test]
fn killed_twelve_times_it_ends_in_the_same_bits() {
    let expected = undisturbed();
    let directory = tempdir().unwrap();
    let root = directory.path();
    prepare(root);
    let journal = root.join("runs/small/journal.jsonl");
    let lines = || fs::read(&journal).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count());
    // Moments that differ from test to test: the clock has the last word on when each kill lands.
    let chance = Stream::new(std::process::id().into(), "kills");
    for kill in 0..12u64 {
        let resume: &[&str] = if kill == 0 { &[] } else { &["--resume"] };
        let mut child = train(root, resume).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let until = lines() + chance.below(0, kill, 20) as usize;
        // The first kills come at any moment, before the first step too; the others after some steps.
        let mut waited = 0;
        while kill > 3 && lines() <= until && waited < 20_000 {
            sleep(Duration::from_millis(1));
            waited += 1;
        }
        sleep(Duration::from_micros(chance.below(1, kill, 30_000)));
        assert!(child.try_wait().unwrap().is_none(), "it had ended by itself before kill {kill}");
        child.kill().unwrap();
        child.wait().unwrap();
        if kill == 0 && !journal.exists() {
            // Killed before it had begun: there is nothing to resume.
            fs::remove_dir_all(root.join("runs")).ok();
            Ran::from(train(root, &["--resume"]).output().unwrap()).code(2).says(&["no whole checkpoint"]);
            let mut child = train(root, &[]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            while !journal.exists() {
                sleep(Duration::from_millis(1));
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    assert!(lines() < 300, "it had ended before it was resumed for the last time");
    Ran::from(train(root, &["--resume"]).output().unwrap()).code(0);
    assert_eq!(files(root), expected);
}

/// In a mount namespace of its own, a small tmpfs holds the run's directory.
#[test]
fn a_full_disk_loses_nothing() {
    let here = Command::new("unshare").args(["--map-root-user", "--mount", "true"]).output();
    if !here.is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no mount namespace to be had");
        return;
    }
    let directory = tempdir().unwrap();
    let root = directory.path();
    prepare(root);
    fs::create_dir(root.join("runs")).unwrap();
    // Twice full, at other sizes, then roomy. What is there is copied out for a look each time.
    let script = r#"
        set -u
        cd "$1"
        mount -t tmpfs -o size=4m none runs || exit 77
        "$2" train run.yaml 2>first.err; echo $? >first.code
        cp -a runs first
        mount -o remount,size=9300k runs
        "$2" train run.yaml --resume 2>second.err; echo $? >second.code
        cp -a runs second
        mount -o remount,size=400m runs
        "$2" train run.yaml --resume 2>third.err; echo $? >third.code
        rm -rf third; cp -a runs third
    "#;
    let ran = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .args([root, Path::new(env!("CARGO_BIN_EXE_retrace"))])
        .output()
        .unwrap();
    if ran.status.code() == Some(77) {
        println!("skipped: no tmpfs can be mounted");
        return;
    }
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let expected = undisturbed();
    for time in ["first", "second"] {
        assert_eq!(read(&format!("{time}.code")).trim(), "2");
        let error = read(&format!("{time}.err"));
        assert!(error.contains("No space left on device") && error.contains("runs/small"), "{error}");
        let there = root.join(time);
        // Every checkpoint that has its name is one of the undisturbed run's, to the last file.
        let mut checkpoints = 0;
        for found in walk(&there, &|_| false).unwrap() {
            let path = found.path().to_string();
            if path.contains("/step-") && !path.contains(".partial") {
                let digest = hash_file(&found.path().under(&there)).unwrap().1;
                assert!(expected.contains(&(path.clone(), digest)), "{time}: {path}");
                checkpoints += usize::from(path.ends_with("/state.json"));
            }
        }
        assert!(checkpoints > 1, "{time}: {checkpoints}");
    }
    assert_eq!(read("third.code").trim(), "0", "{}", read("third.err"));
    fs::remove_dir_all(root.join("runs")).unwrap();
    fs::rename(root.join("third"), root.join("runs")).unwrap();
    assert_eq!(files(root), expected);
}

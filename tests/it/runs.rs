//! Training that is killed and resumed, replayed and queried.

use std::hash::{BuildHasher, RandomState};
use std::process::Stdio;
use std::time::Duration;

use crate::support::{Release, retrace};

pub(crate) const RUN: &str = "\
retrace: run/1
name: small
seed: 1
numerics: 1
model:
  architecture: llama
  vocab_size: 300
  hidden_size: 32
  intermediate_size: 64
  num_hidden_layers: 2
  num_attention_heads: 4
  num_key_value_heads: 2
  max_position_embeddings: 32
  rope_theta: 10000.0
  rms_norm_eps: 1.0e-5
  initializer_range: 0.05
tokenizer: tokenizer/tokenizer.json
output: runs/small
sequence_length: 32
batch_size: 4
micro_batch_size: 2
optimizer: {beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8, weight_decay: 0.1, clip: 1.0}
phases:
  - name: fundamental
    steps: 30
    learning_rate: {schedule: cosine, warmup: 3, peak: 0.01, floor: 0.001}
    mix: [{tokens: tokens/en.tokens, share: 1}]
  - name: decay
    steps: 10
    learning_rate: {schedule: half_life, peak: 0.005, half_life: 5, floor: 0.0}
    mix: [{tokens: tokens/en.tokens, share: 1}]
checkpoint_every: 10
";

/// A release that is ready for training.
fn tokenized() -> Release {
    let release = Release::new();
    release.write("run.yaml", RUN);
    release.run(&["clean", "clean.yaml"]).code(0);
    release.run(&["tokenize", "tokenize.yaml"]).code(0);
    release
}

pub(crate) fn trained() -> Release {
    let release = tokenized();
    release.run(&["train", "run.yaml"]).code(0);
    release
}

#[test]
fn killed_ten_times_at_any_moment_the_run_ends_with_the_same_bits() {
    let expected = trained().content();
    let release = tokenized();
    let mut kills = 0;
    while kills < 10 {
        let mut command = retrace();
        let resume = release.path("runs").exists();
        command.args(["train", "run.yaml"]).args(resume.then_some("--resume")).current_dir(release.root());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // At any time: from before the first byte to after the last step.
        let moment = RandomState::new().hash_one(kills) % 400;
        std::thread::sleep(Duration::from_millis(moment));
        if child.try_wait().unwrap().is_some() {
            // It was complete before the kill. That does not count: start again.
            std::fs::remove_dir_all(release.path("runs")).unwrap();
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    let resume = release.path("runs/small/journal.jsonl").exists();
    let last = if resume { vec!["train", "run.yaml", "--resume"] } else { vec!["train", "run.yaml"] };
    release.run(&last).code(0);
    let left: Vec<_> =
        release.content().into_iter().filter(|(path, _)| !path.to_string_lossy().contains("retrace-partial")).collect();
    assert_eq!(
        left.iter().map(|(path, _)| path).collect::<Vec<_>>(),
        expected.iter().map(|(path, _)| path).collect::<Vec<_>>()
    );
    assert!(left == expected, "some file has other bytes");
}

#[test]
fn threads_and_instruction_sets_make_no_difference() {
    let expected = trained().content();
    for (name, value) in [("RAYON_NUM_THREADS", "1"), ("RAYON_NUM_THREADS", "7"), ("RETRACE_ISA", "baseline")] {
        let release = tokenized();
        let mut train = retrace();
        train.args(["train", "run.yaml", "--quiet"]).env(name, value).current_dir(release.root());
        assert!(train.stdout(Stdio::null()).status().unwrap().success());
        assert!(release.content() == expected, "{name}={value} gave other bytes");
    }
}

#[test]
fn a_replay_holds_until_the_seed_is_changed() {
    let release = trained();
    release.run(&["seal", "."]).code(0);
    let replayed = release.run(&["replay", "manifest.yaml", "--json"]).code(0).json("replay/2");
    assert_eq!(replayed["holds"], true);
    let stretch = &replayed["replays"][0];
    assert_eq!((stretch["from"].as_u64(), stretch["to"].as_u64()), (Some(20), Some(30)));
    release.run(&["replay", "manifest.yaml", "--from", "0", "--to", "40"]).code(0).says(&["the same bits"]);

    release.write("run.yaml", RUN.replace("seed: 1", "seed: 2"));
    let ran = release.run(&["replay", "manifest.yaml", "--from", "10", "--to", "20"]).code(1);
    assert!(ran.out.contains("step 11, the config differs: seed was 1 and is 2"), "{}", ran.out);
    assert!(ran.out.contains("run.yaml"), "{}", ran.out);
    ran.says(&["the first step that differs is 11: the config differs"]);
    // From the start, because the initial weights differ already.
    release.run(&["replay", "manifest.yaml", "--from", "0", "--to", "10"]).code(1).says(&["differs is 0"]);

    release
        .run(&["replay", "manifest.yaml", "--from", "5", "--to", "10"])
        .code(2)
        .says(&["no checkpoint of step 5", "0, 10, 20, 30, 40"]);
    release.run(&["replay", "manifest.yaml", "--step", "train-none"]).code(2).says(&["train-small"]);
}

#[test]
fn a_sample_of_stretches_says_what_it_proves() {
    let release = trained();
    release.run(&["seal", "."]).code(0);
    let sampled = |arguments: &[&str]| release.run(&[&["replay", "manifest.yaml"], arguments].concat());
    sampled(&["--sample", "1", "--seed", "a"]).code(0).says(&["1 of 4 segments", "4 or more", "95 %", "--seed a"]);
    sampled(&["--sample", "9"]).code(0).says(&["4 of 4 segments", "these are all"]);
    let chosen = |seed: &str| {
        let result = sampled(&["--sample", "2", "--seed", seed, "--json"]).code(0).json("replay/2");
        result["sample"]["chosen"].to_string()
    };
    assert_eq!(chosen("a"), chosen("a"));
    assert!(["b", "c", "d", "e", "f", "g"].iter().any(|seed| chosen(seed) != chosen("a")));
    sampled(&["--sample", "1", "--from", "0"]).code(2);
}

#[test]
fn every_step_of_a_release_is_done_again() {
    let release = trained();
    release.run(&["seal", "."]).code(0);
    let all = |arguments: &[&str]| release.run(&[&["replay", "manifest.yaml", "--all"], arguments].concat());
    all(&["-o", "replayed.json"]).code(0).says(&["same bits clean", "3 of 3 steps give the same bits"]);
    let statement: serde_json::Value = serde_json::from_slice(&release.read("replayed.json")).unwrap();
    let manifest = String::from_utf8(release.read("manifest.yaml")).unwrap();
    let root = statement["subject"][0]["digest"]["retraceRoot"].as_str().unwrap();
    assert!(manifest.contains(&format!("b3:{root}")), "{root}");
    assert_eq!(statement["predicate"]["steps"].as_array().unwrap().len(), 3);

    // An output of a step is missing.
    let path = "clean/ledger.jsonl";
    let (ledger, tokens) = (release.read(path), release.read("tokens/en.tokens"));
    release.write(path, b"{}\n");
    let ran = all(&[]).code(1);
    assert!(ran.out.contains("clean: clean/ledger.jsonl here, which is not what the step made"), "{}", ran.out);
    release.write(path, ledger);
    // An input of a step is missing: the step cannot be replayed, and is not reported as different.
    release.write("tokens/en.tokens", [&tokens[..], b"x"].concat());
    let ran = all(&[]).code(1);
    assert!(ran.out.contains("not replayed  train-small: tokens/en.tokens is not what the step read"), "{}", ran.out);
    release.write("tokens/en.tokens", tokens);
    // A training that does not lead to the published result is diagnosed.
    let path = "runs/small/step-000020/model.safetensors";
    let mut bytes = release.read(path);
    *bytes.last_mut().unwrap() ^= 0x40;
    release.write(path, bytes);
    let ran = all(&[]).code(1);
    assert!(ran.out.contains("train-small: step 20, the checkpoint differs"), "{}", ran.out);
}

#[test]
fn what_cannot_be_replayed_is_no_success() {
    let release = trained();
    let step = serde_json::json!({"id": "../elsewhere", "kind": "import", "inputs": [], "outputs": []});
    release.write(".retrace/steps/elsewhere.json", step.to_string());
    release.run(&["seal", "."]).code(0);
    let ran = release.run(&["replay", "manifest.yaml", "--all"]).code(2);
    assert!(ran.out.contains("not replayed  ../elsewhere: it has no document"), "{}", ran.out);
    ran.says(&["3 of 4 steps give the same bits; 1 could not be replayed here"]);

    for step in [10, 20, 30, 40] {
        std::fs::remove_dir_all(release.path(&format!("runs/small/step-0000{step}"))).unwrap();
    }
    release.run(&["replay", "manifest.yaml", "--sample", "2"]).code(2).says(&["fewer than two checkpoints"]);
}

#[test]
fn a_checkpoint_that_is_not_the_runs_is_looked_into() {
    let release = trained();
    release.run(&["seal", "."]).code(0);
    let path = "runs/small/step-000020/model.safetensors";
    let mut bytes = release.read(path);
    *bytes.last_mut().unwrap() ^= 0x40;
    release.write(path, bytes);
    let stretch = ["replay", "manifest.yaml", "--from", "20", "--to", "30"];
    let ran = release.run(&stretch).code(1);
    let said = "step 20, the checkpoint differs: 1 of its ";
    assert!(ran.out.contains(said) && ran.out.contains("[model.norm.weight]"), "{}", ran.out);
    let ran = release.run(&[&stretch[..], &["--localise"]].concat()).code(1);
    assert!(ran.out.contains("model.norm.weight[") && ran.out.contains("recorded "), "{}", ran.out);
}

#[test]
fn a_flipped_bit_in_a_checkpoint_is_named_with_its_tensor() {
    let release = trained();
    release.run(&["seal", "."]).code(0);
    let path = "runs/small/step-000020/model.safetensors";
    let mut bytes = release.read(path);
    *bytes.last_mut().unwrap() ^= 1;
    release.write(path, bytes);
    let ran = release.run(&["verify", "manifest.yaml"]).code(1);
    assert!(ran.out.contains(path) && ran.out.contains("model.norm.weight"), "{}", ran.out);
    assert_eq!(ran.out.lines().count(), 1, "{}", ran.out);
}

#[test]
fn models_are_evaluated_and_bad_ones_refused() {
    let release = trained();
    release.write(
        "tasks/words.yaml",
        "retrace: task/1\nname: words\nmeasure: bits_per_byte\nitems: words.jsonl\nprefix: <|end|>\n",
    );
    release.write("tasks/words.jsonl", "{\"id\":\"1\",\"text\":\"Document 3 tells of 8 rivers and 4 hills.\"}\n");
    let value = |model: &str| {
        let ran = release
            .run(&["eval", model, "--tasks", "words", "--include-path", "tasks", "--json"])
            .code(0)
            .json("eval/1");
        ran["models"][0]["results"]["words"]["bits_per_byte,none"].as_f64().unwrap()
    };
    // The effect of training is visible.
    assert!(value("runs/small/step-000040") < 0.8 * value("runs/small/step-000000"));
    let path = "runs/small/step-000040/model.safetensors";
    let mut lying = release.read(path);
    lying[3] = 1;
    release.write(path, lying);
    let before = release.content();
    let ran = release.run(&["eval", "runs/small/step-000040", "--tasks", "tasks/words.yaml", "-o", "results"]).code(2);
    ran.says(&["model.safetensors", "byte 0"]);
    release.run(&["train", "run.yaml", "--resume"]).code(2).says(&["model.safetensors", "byte 0"]);
    assert!(release.content() == before, "something was written");
}

#[test]
fn a_release_is_asked_in_sql() {
    let release = trained();
    release.run(&["seal", "."]).code(0);
    let csv = release.run(&[
        "query",
        "select kind, count(*) as n from artifacts group by kind order by kind",
        ".",
        "--format",
        "csv",
    ]);
    assert!(csv.code(0).out.starts_with("kind,n\ncheckpoint,25\n"));
    release.run(&["query", "select * from artifact", "."]).code(2).says(&["the nearest table is artifacts"]);
    release.run(&["query", "delete from artifacts", "."]).code(2);
    release.run(&["query", "select 1", "raw"]).code(2).says(&["has no tables"]);
}

//! `--engine`: both engines make the same files, and a replay states which engine it used.

use crate::runs::{RUN, trained};
use crate::support::{Ran, Release, run};

pub(crate) const TASK: &str = "\
retrace: task/1
name: rivers
measure: bits_per_byte
items: rivers.jsonl
prefix: <|end|>
";
const EVAL: &str = "\
retrace: eval/1
name: eval-small
models: [runs/small/step-*]
tasks: [tasks/rivers.yaml]
output: eval
";

/// A release with a run and a task.
fn release() -> Release {
    let release = trained();
    release.write("tasks/rivers.yaml", TASK);
    release.write("tasks/rivers.jsonl", "{\"id\": \"1\", \"text\": \"Document 3 tells of 8 rivers and 4 hills.\"}\n");
    release.write("eval.yaml", EVAL);
    release
}

fn by(release: &Release, arguments: &[&str]) -> Ran {
    release.run(&[arguments, &["--engine", "candle"]].concat())
}

#[test]
fn a_release_made_by_candle_is_the_same_bytes() {
    let fused = release();
    fused.run(&["eval", "eval.yaml"]).code(0);
    fused.run(&["seal", ".", "--name", "r"]).code(0);
    let candle = release();
    std::fs::remove_dir_all(candle.path("runs")).unwrap();
    by(&candle, &["train", "run.yaml"]).code(0);
    by(&candle, &["eval", "eval.yaml"]).code(0);
    candle.run(&["seal", ".", "--name", "r"]).code(0);
    let (fused, candle) = (fused.content(), candle.content());
    let names =
        |content: &[(std::path::PathBuf, Vec<u8>)]| content.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(names(&fused), names(&candle));
    for ((path, fused), (_, candle)) in fused.iter().zip(&candle) {
        assert!(fused == candle, "{} differs", path.display());
    }
}

#[test]
fn a_replay_says_which_engine_it_was() {
    let release = release();
    release.run(&["seal", ".", "--name", "r"]).code(0);
    let stretch = ["replay", "manifest.yaml", "--from", "10", "--to", "30"];
    by(&release, &stretch).code(0).says(&["3 checkpoints: the same bits (engine candle)"]);
    release.run(&stretch).code(0).says(&["3 checkpoints: the same bits (engine fused)"]);
    let told = by(&release, &["replay", "manifest.yaml", "--json"]).code(0).json("replay/2");
    assert_eq!((&told["engine"], &told["holds"]), (&"candle".into(), &true.into()));

    // A note of one engine does not count for the other: a user who requests a second implementation gets it.
    let all = ["replay", "manifest.yaml", "--all", "--notes"];
    let notes = tempfile::tempdir().unwrap();
    let notes = notes.path().join("notes");
    let noted = [&all[..], &[notes.to_str().unwrap()]].concat();
    release.run(&noted).code(0).says(&["3 of 3 steps give the same bits (engine fused)"]);
    release.run(&noted).code(0).says(&["3 of them by notes on earlier replays"]);
    let statement = notes.with_file_name("replayed.json");
    let ran = by(&release, &[&noted[..], &["-o", statement.to_str().unwrap()]].concat()).code(0);
    assert!(!ran.err.contains("by notes"), "{}", ran.err);
    let statement: serde_json::Value = serde_json::from_slice(&std::fs::read(statement).unwrap()).unwrap();
    assert_eq!(statement["predicate"]["replayer"]["engine"], "candle");

    // A step that differs is found by candle, too.
    release.write("run.yaml", RUN.replace("seed: 1", "seed: 2"));
    let ran = by(&release, &["replay", "manifest.yaml", "--from", "10", "--to", "20"]).code(1);
    assert!(ran.out.contains("seed was 1 and is 2"), "{}", ran.out);
    ran.says(&["(engine candle): the first step that differs is 11"]);
}

#[test]
fn what_a_model_says_does_not_depend_on_the_engine() {
    let release = release();
    release.write("ids.json", "[[1, 2, 3], [4, 5, 6]]");
    let model = "runs/small/step-000040";
    release.run(&["logits", model, "--tokens", "ids.json", "-o", "fused.safetensors"]).code(0);
    by(&release, &["logits", model, "--tokens", "ids.json", "-o", "candle.safetensors"]).code(0);
    assert!(release.read("fused.safetensors") == release.read("candle.safetensors"));
    for verb in [
        &["generate", model, "--prompt", "Document", "--tokens", "12", "--temperature", "0.8"][..],
        &["eval", model, "--tasks", "tasks/rivers.yaml"],
    ] {
        let fused = release.run(verb).code(0).out;
        assert!(!fused.is_empty());
        assert_eq!(fused, by(&release, verb).code(0).out);
    }
}

#[test]
fn an_engine_that_there_is_not_is_refused() {
    run(&["train", "run.yaml", "--engine", "torch"]).code(2).says(&["fused", "candle"]);
    run(&["train", "run.yaml", "--engine", "candle", "--workers", "2"]).code(2).says(&["--workers"]);
    // A model that is computed by a user's own code is not computed here.
    let release = release();
    let own = RUN.replace("architecture: llama", "architecture: own").replace("  rms_norm_eps: 1.0e-5\n", "");
    release.write("own.yaml", own.replace("output: runs/small", "output: runs/own"));
    release.run(&["train", "own.yaml"]).code(2).says(&["an architecture of its own"]);
    assert!(!release.path("runs/own").exists());
}

//! A real model, trained by others: stories260K of llama2.c (Karpathy, 2023), loaded, asked, and
//! trained on.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{Ran, retrace};

/// Where the model lies, if it is here.
fn released() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/models/stories260K");
    if !path.exists() {
        println!("skipped: stories260K is not here");
        return None;
    }
    Some(path)
}

/// Stories of the kind that it was trained on, which it has not seen: ours.
const STORIES: [&str; 2] = [
    "Once upon a time, there was a little boy named Tim. Tim had a red ball. He loved to play with his ball in the \
     garden. One day, the ball rolled under a big tree. Tim was sad. His mom came and said, \"Do not cry, Tim. I will \
     help you.\" They looked and looked. At last, Tim saw the ball. He was very happy and gave his mom a big hug.",
    "Anna had a small dog. The dog liked to run and jump. One sunny day, Anna and her dog went to the park. They saw \
     a bird in a tree. The dog wanted to play with the bird, but the bird was scared and flew away. Anna said, \"It is \
     okay. We can find a new friend.\" They walked home and had some milk.",
];

/// What llama2.c itself writes with this model at temperature 0: the beginning of the output that its
/// own test expects (`test_all.py`).
const THEIRS: &str = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One \
                      day, she saw a big, red ball.";

fn run(root: &Path, arguments: &[&str]) -> Ran {
    Ran::from(retrace().current_dir(root).args(arguments).output().unwrap())
}

fn jsonl(path: &Path, texts: impl Iterator<Item = String>) {
    let lines = texts.enumerate().map(|(id, text)| {
        json!({"id": format!("{id}"), "text": text, "source": "tests", "lang": "en"}).to_string() + "\n"
    });
    fs::write(path, lines.collect::<String>()).unwrap();
}

/// Bits a byte of our stories, by each model.
fn bits_per_byte(root: &Path, models: &[&str]) -> Vec<f64> {
    let arguments = [&["eval", "--json", "--tasks", "stories.yaml"], models].concat();
    let result: Value = serde_json::from_str(&run(root, &arguments).code(0).out).unwrap();
    let of = |model: &Value| model["results"]["stories"]["bits_per_byte,none"].as_f64().unwrap();
    result["models"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn a_real_model_is_loaded_asked_and_trained_on() {
    let Some(released) = released() else { return };
    let directory = tempdir().unwrap();
    let root = directory.path();
    let tokenizer = released.join("tok512.bin");
    for (name, file) in [("model", "stories260K.bin"), ("impostor", "stories260K.rvspoc.bin")] {
        let arguments = [
            "convert",
            &released.join(file).display().to_string(),
            "--tokenizer",
            &tokenizer.display().to_string(),
            "-o",
            name,
        ];
        run(root, &arguments).code(0).says(&["260032 parameters"]);
    }
    let generated = run(root, &["generate", "model", "--prefix", "<s>", "--tokens", "60"]).code(0).out;
    assert!(generated.starts_with(THEIRS), "{generated}");

    let task = "retrace: task/1\nname: stories\nmeasure: bits_per_byte\nitems: stories.jsonl\nprefix: <s>\n";
    fs::write(root.join("stories.yaml"), task).unwrap();
    jsonl(&root.join("stories.jsonl"), STORIES.iter().map(|story| (*story).to_owned()));
    let bits = bits_per_byte(root, &["model", "impostor"]);
    // A byte is 8 bits; a child's story is well below one a byte to who has read many.
    assert!(bits[0] < 0.8 && bits[1] > 4.0, "{bits:?}");

    // Trained on, from its released weights, on what it wrote itself, as long as its documents are.
    fs::create_dir(root.join("clean")).unwrap();
    let written = (0..6).map(|seed| {
        let (seed, drawn) = (seed.to_string(), ["--temperature", "0.9", "--tokens", "100"]);
        let arguments = [&["generate", "model", "--prefix", "<s>", "--seed", &seed], &drawn[..]].concat();
        run(root, &arguments).code(0).out.trim_end().to_owned()
    });
    jsonl(&root.join("clean/stories.jsonl"), written.chain(STORIES.iter().map(|story| (*story).to_owned())));
    fs::write(
        root.join("tokenize.yaml"),
        "retrace: tokenize/1\nname: tokenize\ntokenizer: {from: file, path: model/tokenizer.json, end_of_text: <s>}\n\
         shards: [{input: [clean/*.jsonl], output: stories.tokens}]\n",
    )
    .unwrap();
    run(root, &["tokenize", "tokenize.yaml"]).code(0);
    fs::write(
        root.join("run.yaml"),
        "retrace: run/1\nname: on\nseed: 1\nnumerics: 1\nmodel: {config: model/config.json}\n\
         start: {checkpoint: model}\ntokenizer: model/tokenizer.json\noutput: runs/on\nsequence_length: 64\n\
         batch_size: 4\nmicro_batch_size: 4\nmask_document_ends: true\n\
         optimizer: {beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8, weight_decay: 0.1, clip: 1.0}\n\
         phases:\n  - name: on\n    steps: 50\n    mix: [{tokens: stories.tokens, share: 1}]\n    \
         learning_rate: {schedule: linear, warmup: 5, peak: 0.0005, floor: 0.0}\ncheckpoint_every: 25\n",
    )
    .unwrap();
    run(root, &["train", "run.yaml"]).code(0).says(&["on for 50 steps"]);
    let bits = bits_per_byte(root, &["model", "runs/on/step-000000", "runs/on/step-000050"]);
    assert_eq!(bits[0], bits[1], "it began with the released weights");
    assert!(bits[2] < bits[0], "{bits:?}: it has seen these stories now");
    run(root, &["seal", ".", "--name", "on"]).code(0);
    run(root, &["replay", "manifest.yaml", "--from", "0", "--to", "25"]).code(0).says(&["the same bits"]);
}

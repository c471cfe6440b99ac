//! Models of llama2.c (Karpathy, 2023), trained by others: converted, evaluated, and trained further.

use std::fs;
use std::path::Path;

use retrace_files::safetensors::read;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{LLAMA2C, Ran, retrace};

pub(crate) fn run(root: &Path, arguments: &[&str]) -> Ran {
    Ran::from(retrace().current_dir(root).args(arguments).output().unwrap())
}

pub(crate) fn jsonl(path: &Path, texts: impl Iterator<Item = String>) {
    let lines = texts.enumerate().map(|(id, text)| {
        json!({"id": format!("{id}"), "text": text, "source": "tests", "lang": "en"}).to_string() + "\n"
    });
    fs::write(path, lines.collect::<String>()).unwrap();
}

/// Bits per byte of the task's texts, for each model.
pub(crate) fn bits_per_byte(root: &Path, models: &[&str]) -> Vec<f64> {
    let arguments = [&["eval", "--json", "--tasks", "stories.yaml"], models].concat();
    let result: Value = serde_json::from_str(&run(root, &arguments).code(0).out).unwrap();
    let of = |model: &Value| model["results"]["stories"]["bits_per_byte,none"].as_f64().unwrap();
    result["models"].as_array().unwrap().iter().map(of).collect()
}

/// `retrace convert` of the model in `file` to `name`.
pub(crate) fn convert(root: &Path, file: &Path, tokenizer: &Path, name: &str) -> Ran {
    let [file, tokenizer] = [file, tokenizer].map(|path| path.display().to_string());
    run(root, &["convert", &file, "--tokenizer", &tokenizer, "-o", name]).code(0)
}

/// Writes a task of these texts.
pub(crate) fn task(root: &Path, texts: &[&str]) {
    let task = "retrace: task/1\nname: stories\nmeasure: bits_per_byte\nitems: stories.jsonl\nprefix: <s>\n";
    fs::write(root.join("stories.yaml"), task).unwrap();
    jsonl(&root.join("stories.jsonl"), texts.iter().map(|story| (*story).to_owned()));
}

#[test]
fn a_model_of_pytorch_is_loaded_asked_and_trained_on() {
    let directory = tempdir().unwrap();
    let root = directory.path();
    let made = Path::new(LLAMA2C);
    // In llama2.c's format: 3 special tokens, the bytes, and the letters that the texts need.
    let bytes = (0..=255u8).map(|byte| format!("<0x{byte:02X}>"));
    let letters = ["e", " ", "n", "d", "o", "a", "t", "s", "an", "and", " and", " t", "he"].map(str::to_owned);
    let pieces = ["<unk>", "\n<s>\n", "\n</s>\n"].map(str::to_owned).into_iter().chain(bytes).chain(letters);
    let mut form = 9u32.to_le_bytes().to_vec();
    for (at, piece) in pieces.enumerate() {
        form.extend((-(at as f32)).to_le_bytes());
        form.extend((piece.len() as i32).to_le_bytes());
        form.extend(piece.as_bytes());
    }
    fs::write(root.join("tokens.bin"), form).unwrap();
    convert(root, &made.join("model.bin"), &root.join("tokens.bin"), "model").says(&["3176 parameters"]);

    // PyTorch's result, from the same numbers.
    let expected = read(&made.join("expected.safetensors")).unwrap();
    let integers = |name: &str| -> Vec<i64> {
        expected[name].bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
    };
    let floats =
        |bytes: &[u8]| -> Vec<f32> { bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect() };
    fs::write(root.join("ids.json"), json!([integers("ids")]).to_string()).unwrap();
    run(root, &["logits", "model", "--tokens", "ids.json", "-o", "logits.safetensors"]).code(0);
    let ours = floats(&read(&root.join("logits.safetensors")).unwrap()["logits"].bytes);
    let theirs = floats(&expected["logits"].bytes);
    assert_eq!(ours.len(), theirs.len());
    let off = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(off <= 1e-4, "{off:e}");
    // Its 12 most likely tokens, starting with the byte M, whose id is 3 + 77.
    let told = run(root, &["generate", "model", "--prefix", "<0x4D>", "--tokens", "11", "--json"]).code(0);
    assert_eq!(told.json("generate/1")["tokens"], json!(integers("greedy")));

    let texts = ["the sand and the stone and the sea", "and the hand and the head and the nest"];
    task(root, &texts);
    fs::create_dir(root.join("clean")).unwrap();
    jsonl(&root.join("clean/stories.jsonl"), texts.iter().cycle().take(40).map(|text| (*text).to_owned()));
    trained_on(root, 32);
}

/// Trains the model in `model` further, on `clean/stories.jsonl`, and replays the beginning.
pub(crate) fn trained_on(root: &Path, sequence_length: usize) {
    fs::write(
        root.join("tokenize.yaml"),
        "retrace: tokenize/1\nname: tokenize\ntokenizer: {from: file, path: model/tokenizer.json, end_of_text: <s>}\n\
         shards: [{input: [clean/*.jsonl], output: stories.tokens}]\n",
    )
    .unwrap();
    run(root, &["tokenize", "tokenize.yaml"]).code(0);
    let document = format!(
        "retrace: run/1\nname: on\nseed: 1\nnumerics: 1\nmodel: {{config: model/config.json}}\n\
         start: {{checkpoint: model}}\ntokenizer: model/tokenizer.json\noutput: runs/on\n\
         sequence_length: {sequence_length}\nbatch_size: 4\nmicro_batch_size: 4\nmask_document_ends: true\n\
         optimizer: {{beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8, weight_decay: 0.1, clip: 1.0}}\n\
         phases:\n  - name: on\n    steps: 50\n    mix: [{{tokens: stories.tokens, share: 1}}]\n    \
         learning_rate: {{schedule: linear, warmup: 5, peak: 0.0005, floor: 0.0}}\ncheckpoint_every: 25\n",
    );
    fs::write(root.join("run.yaml"), document).unwrap();
    run(root, &["train", "run.yaml"]).code(0).says(&["on for 50 steps"]);
    let bits = bits_per_byte(root, &["model", "runs/on/step-000000", "runs/on/step-000050"]);
    assert_eq!(bits[0], bits[1], "it began with the released weights");
    assert!(bits[2] < bits[0], "{bits:?}: it has seen these stories now");
    run(root, &["seal", ".", "--name", "on"]).code(0);
    run(root, &["replay", "manifest.yaml", "--from", "0", "--to", "25"]).code(0).says(&["the same bits"]);
}

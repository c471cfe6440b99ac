//! Tests on data of others that are stored beside the repository and are not a part of it.
//!
//! All such tests are here or in another file of this name, and none runs unless requested: `.ci/run real-data` runs
//! them if the data are available, and otherwise prints their number. Everything that they test also has a test elsewhere
//! that needs no data.

use std::fs;
use std::path::{Path, PathBuf};

use retrace_checkpoint::Checkpoint;
use retrace_corpus::tokenizer::Tokenizer;
use retrace_files::{Algorithm, RegularFile, Silent};
use retrace_manifest::{SealOptions, Side, diff, merge, read_list, seal, verify};
use serde_json::Value;
use tempfile::tempdir;

use crate::foreign::becomes_what_its_export_becomes;
use crate::import::every_value_of_a_tree_is_imported;
use crate::stories::{self, bits_per_byte, convert, jsonl, task, trained_on};
use crate::support::{Ran, Release, retrace};

/// The path of an item of the data.
#[track_caller]
fn data(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(path);
    assert!(path.exists(), "{} is not there: this test is for where it is", path.display());
    path
}

/// A byte-level tokenizer for English and Chinese.
#[test]
#[ignore = "real data"]
fn a_real_tokenizer_is_opened() {
    let tokenizer = Tokenizer::read(RegularFile::open(&data("tokenizers/minimind/tokenizer.json")).unwrap()).unwrap();
    assert_eq!(tokenizer.vocabulary(), 6400);
    let text = "松下问童子，言师采药去。";
    assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
}

/// `dirty` contains pages labelled zh that are mostly English, and marks them.
#[test]
#[ignore = "real data"]
fn the_script_rule_finds_what_people_found() {
    let release = Release::new();
    let (mut wrong, mut clean) = (0, 0);
    for entry in fs::read_dir(data("corpus/dirty")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let text = fs::read_to_string(&path).unwrap();
            let kind = |line: &&str| serde_json::from_str::<Value>(line).unwrap()["kind"] == "mislabelled-language";
            let lines: Vec<&str> = text.lines().filter(kind).collect();
            wrong += lines.len();
            if !lines.is_empty() {
                release.write(&format!("wrong/{}", path.file_name().unwrap().display()), lines.join("\n") + "\n");
            }
        }
    }
    for entry in fs::read_dir(data("corpus/clean")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        clean += text.lines().count();
        release.write(&format!("right/{}", path.file_name().unwrap().display()), text);
    }
    let dropped = |directory: &str| {
        let recipe = format!(
            "retrace: clean/1\nname: {directory}\ninput: [{directory}/*.jsonl]\noutput: clean/{directory}\n\
             rules:\n  - {{rule: script, at_least: 0.3}}\n"
        );
        release.write("script.yaml", recipe);
        let told = release.run(&["clean", "script.yaml", "--json"]).code(0).json("clean/1");
        told["dropped"]["script"].as_u64().unwrap_or(0) as usize
    };
    let (found, false_alarms) = (dropped("wrong"), dropped("right"));
    assert!(wrong > 0 && found * 10 >= wrong * 9, "{found} of {wrong}");
    assert!(clean > 0 && false_alarms * 200 <= clean, "{false_alarms} of {clean}");
}

/// Lists, each by the tool of its name. They describe the same files, so they must agree.
#[test]
#[ignore = "real data"]
fn real_lists_are_read_and_agree() {
    let samples = data("interop");
    let read = |name: &str| read_list(name, &fs::read_to_string(samples.join(name)).unwrap()).unwrap().files;
    let (gnu, bsd, b3) = (read("SHA256SUMS"), read("SHA256SUMS.bsd"), read("B3SUMS"));
    assert!(!gnu.is_empty());
    let mut all = gnu.clone();
    assert_eq!(merge(&mut all, "SHA256SUMS.bsd", bsd), []);
    assert_eq!(merge(&mut all, "B3SUMS", b3), []);
    assert_eq!(all.len(), gnu.len(), "the same files");
    assert!(all.iter().all(|entry| entry.checksums.len() == 2));
    assert!(read("checklist.chk").iter().all(|e| e.checksums[0].algorithm() == Algorithm::Md5));
    let tree = read("hf-tree.json");
    assert!(tree.iter().all(|entry| entry.size.is_some() && entry.checksums.len() == 1));
    let dvc = read("dvc.dir");
    assert!(dvc.len() > 5 && dvc.iter().all(|entry| entry.checksums[0].algorithm() == Algorithm::Md5));
    let croissant = read("croissant-fragment.json");
    assert_eq!(
        (croissant.len(), croissant[0].path.as_str(), croissant[0].size),
        (1, "data/shard-000.jsonl", Some(123))
    );
    // The pointer of a file that is in SHA256SUMS: the two agree.
    let pointer = read("lfs-pointer.txt");
    assert!(gnu.iter().any(|entry| entry.checksums == pointer[0].checksums));
}

/// A model and another of the same size and header with other weights, as published.
#[test]
#[ignore = "real data"]
fn two_real_files_of_one_shape_differ_by_their_tensors() {
    let models = data("models/stories260K");
    let (a, b) = (models.join("stories260K.bin"), models.join("stories260K.rvspoc.bin"));
    let found = diff(&Side::of_file(&a).unwrap(), &Side::of_file(&b).unwrap()).unwrap();
    let checkpoint = &found.checkpoints[0];
    // 5 layers of 9 tensors, the embedding, the last norm, two tables of rotations.
    assert_eq!(checkpoint.equal + checkpoint.tensors.len(), 5 * 9 + 4);
    let names: Vec<&str> = checkpoint.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert!(names.contains(&"layers.0.wq"), "{names:?}");
    let directory = tempfile::tempdir().unwrap();
    fs::copy(&a, directory.path().join("model.bin")).unwrap();
    let options = SealOptions { name: "m".to_owned(), tool: "t".to_owned(), ..SealOptions::default() };
    let manifest = seal(directory.path(), &options, &Silent).unwrap();
    fs::remove_file(directory.path().join("model.bin")).unwrap();
    fs::copy(&b, directory.path().join("model.bin")).unwrap();
    let verified = verify(&manifest, directory.path(), None, &Silent).unwrap();
    let finding = verified.findings().next().unwrap();
    assert_eq!(finding.tensors, names);
}

/// A checkpoint of a model and its optimizer, beside the model's export to llama2.c.
#[test]
#[ignore = "real data"]
fn a_real_checkpoint_has_the_numbers_of_its_export() {
    let models = data("models/llama2xs");
    let read = |name: &str| Checkpoint::open(&models.join(name)).unwrap().read_all().unwrap();
    let (ours, theirs) = (read("ckpt.pt"), read("model.bin"));
    let mut compared = 0;
    for (name, tensor) in theirs.iter().filter(|(name, _)| !name.starts_with("freq_cis")) {
        let name = match name.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) {
            None if name == "token_embedding_table" => "model.tok_embeddings.weight".to_owned(),
            None => "model.norm.weight".to_owned(),
            Some((layer, matrix)) => {
                let module = match matrix {
                    "rms_att_weight" => "attention_norm".to_owned(),
                    "rms_ffn_weight" => "ffn_norm".to_owned(),
                    "wq" | "wk" | "wv" | "wo" => format!("attention.{matrix}"),
                    _ => format!("feed_forward.{matrix}"),
                };
                format!("model.layers.{layer}.{module}.weight")
            }
        };
        assert_eq!(&ours[&name], tensor, "{name}");
        compared += 1;
    }
    assert!(compared > 40 && ours.keys().any(|name| name.starts_with("optimizer.state.")));
}

#[test]
#[ignore = "real data"]
fn a_real_pytorch_checkpoint_becomes_what_its_export_becomes() {
    becomes_what_its_export_becomes(&data("models/llama2xs"), 279_232, 500);
}

#[test]
#[ignore = "real data"]
fn real_models_are_asked_for_their_weights() {
    let models = [data("models/stories260K/stories260K.bin"), data("models/llama2xs/ckpt.pt")];
    let ran = Ran::from(retrace().arg("stats").args(&models).arg("--json").output().unwrap()).code(0);
    for (at, weights) in [260_032, 279_232].into_iter().enumerate() {
        let told = ran.json("stats/1");
        let tensors = told["checkpoints"][at]["tensors"].as_array().unwrap();
        assert!(tensors.iter().all(|tensor| tensor["norm"].as_f64().unwrap() > 0.0));
        let elements: u64 = tensors.iter().map(|tensor| tensor["elements"].as_u64().unwrap()).sum();
        assert!(elements >= weights, "{elements}");
    }
}

#[test]
#[ignore = "real data"]
fn one_model_of_the_real_pythia_tree() {
    every_value_of_a_tree_is_imported(&data("evals/pythia/evals/pythia-v1/pythia-70m"), 27);
}

/// Stories of the same kind as its training data, which it has not seen: written for this test.
const STORIES: [&str; 2] = [
    "Once upon a time, there was a little boy named Tim. Tim had a red ball. He loved to play with his ball in the \
     garden. One day, the ball rolled under a big tree. Tim was sad. His mom came and said, \"Do not cry, Tim. I will \
     help you.\" They looked and looked. At last, Tim saw the ball. He was very happy and gave his mom a big hug.",
    "Anna had a small dog. The dog liked to run and jump. One sunny day, Anna and her dog went to the park. They saw \
     a bird in a tree. The dog wanted to play with the bird, but the bird was scared and flew away. Anna said, \"It is \
     okay. We can find a new friend.\" They walked home and had some milk.",
];

/// The output of llama2.c itself with this model at temperature 0: the beginning of the output that its own test
/// expects (`test_all.py`).
const THEIRS: &str = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One \
                      day, she saw a big, red ball.";

/// stories260K of llama2.c, and another model of its shape.
#[test]
#[ignore = "real data"]
fn a_real_model_is_loaded_asked_and_trained_on() {
    let released = data("models/stories260K");
    let directory = tempdir().unwrap();
    let root = directory.path();
    for (name, file) in [("model", "stories260K.bin"), ("impostor", "stories260K.rvspoc.bin")] {
        convert(root, &released.join(file), &released.join("tok512.bin"), name).says(&["260032 parameters"]);
    }
    let generated = stories::run(root, &["generate", "model", "--prefix", "<s>", "--tokens", "60"]).code(0).out;
    assert!(generated.starts_with(THEIRS), "{generated}");

    task(root, &STORIES);
    let bits = bits_per_byte(root, &["model", "impostor"]);
    // A byte is 8 bits; a model trained on many children's stories needs well below one bit per byte.
    assert!(bits[0] < 0.8 && bits[1] > 4.0, "{bits:?}");

    // Training is continued from its released weights, on its own output, with the length of its documents.
    fs::create_dir(root.join("clean")).unwrap();
    let written = (0..6).map(|seed| {
        let (seed, drawn) = (seed.to_string(), ["--temperature", "0.9", "--tokens", "100"]);
        let arguments = [&["generate", "model", "--prefix", "<s>", "--seed", &seed], &drawn[..]].concat();
        stories::run(root, &arguments).code(0).out.trim_end().to_owned()
    });
    jsonl(&root.join("clean/stories.jsonl"), written.chain(STORIES.iter().map(|story| (*story).to_owned())));
    trained_on(root, 64);
}

/// GSM8K and HumanEval are not in the corpus, and of 40 planted questions each is found where it was planted.
#[test]
#[ignore = "real data"]
fn planted_items_of_real_benchmarks_are_found_in_a_real_corpus() {
    let release = Release::new();
    let gsm8k = data("bench/gsm8k/grade_school_math/data/test.jsonl");
    let humaneval = data("bench/humaneval/data/HumanEval.jsonl.gz");
    let shards: Vec<PathBuf> = (0..4)
        .map(|number| data(&format!("corpus/clean/en-{number:05}.jsonl")))
        .chain([data("corpus/clean/zh-00000.jsonl")])
        .collect();
    let report = |corpus: &[PathBuf]| {
        let mut command = retrace();
        command.args(["report", "contamination", "--benchmark"]).args([&gsm8k, &humaneval]);
        command
            .args(["--fields", "question=prompt,id=task_id,solution=canonical_solution", "--json", "--corpus"])
            .args(corpus);
        Ran::from(command.output().unwrap())
    };
    let alarms = |report: &Value| -> u64 {
        let alarms = report["false_alarms"].as_array().unwrap().iter();
        alarms.map(|alarms| alarms["flagged"]["count"].as_u64().unwrap()).sum()
    };
    // Not `Ran::json`: the corpus has characters that are written as escapes.
    let json = |ran: Ran| -> Value { serde_json::from_str(&ran.out).unwrap() };
    let clean = json(report(&shards).code(0));
    assert_eq!(alarms(&clean), 0);
    let questions: Vec<Value> =
        fs::read_to_string(&gsm8k).unwrap().lines().take(40).map(|line| serde_json::from_str(line).unwrap()).collect();
    let text = fs::read_to_string(&shards[0]).unwrap();
    let mut documents: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let places: Vec<usize> = (0..questions.len()).map(|number| number * documents.len() / questions.len()).collect();
    for (place, question) in places.iter().zip(&questions) {
        let before = documents[*place]["text"].as_str().unwrap().to_owned();
        documents[*place]["text"] = format!("{before}\n{}", question["question"].as_str().unwrap()).into();
    }
    release.write("planted.jsonl", documents.iter().map(|document| format!("{document}\n")).collect::<String>());
    let mut planted = shards;
    planted[0] = release.path("planted.jsonl");
    let planted = json(report(&planted).code(1));
    let leaks = planted["findings"].as_array().unwrap().iter().filter(|hit| hit["verdict"] == "leak");
    let mut found: Vec<(u64, u64)> =
        leaks.map(|hit| (hit["item"].as_str().unwrap().parse().unwrap(), hit["line"].as_u64().unwrap())).collect();
    found.sort_unstable();
    let expected: Vec<(u64, u64)> = (1..).zip(places.iter().map(|place| *place as u64 + 1)).collect();
    assert_eq!(found, expected);
    assert_eq!(alarms(&planted), 0);
}

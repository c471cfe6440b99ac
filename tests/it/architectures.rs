//! The families of models with the verbs that compute, and models of other architectures with all verbs.

use std::collections::BTreeMap;
use std::fs;

use retrace_files::safetensors::{self, Dtype, Tensor};
use serde_json::json;

use crate::runs::RUN;
use crate::support::Release;

/// What the run file says of a model of a family, in place of a Llama's.
const FAMILIES: [(&str, &str); 2] = [
    ("qwen3", "  architecture: qwen3\n  head_dim: 10\n"),
    ("smollm3", "  architecture: smollm3\n  no_rope_layers: [1, 0]\n  tie_word_embeddings: true\n"),
];

#[test]
fn a_family_is_trained_evaluated_and_replayed() {
    for (family, model) in FAMILIES {
        let release = Release::new();
        let run = RUN.replace("  architecture: llama\n", model).replace("runs/small", "runs/m");
        release.write("run.yaml", &run);
        release.write("ids.json", "[[1, 2, 3, 4], [9, 8, 7, 6]]");
        release.write("tasks/rivers.yaml", crate::engines::TASK);
        release
            .write("tasks/rivers.jsonl", "{\"id\": \"1\", \"text\": \"Document 3 tells of 8 rivers and 4 hills.\"}\n");
        release.run(&["clean", "clean.yaml"]).code(0);
        release.run(&["tokenize", "tokenize.yaml"]).code(0);
        release.run(&["train", "run.yaml", "--workers", "2"]).code(0);
        let by_workers = fs::read(release.path("runs/m/step-000040/model.safetensors")).unwrap();
        fs::remove_dir_all(release.path("runs")).unwrap();
        release.run(&["train", "run.yaml"]).code(0);
        assert!(by_workers == fs::read(release.path("runs/m/step-000040/model.safetensors")).unwrap(), "{family}");

        let mut logits = Vec::new();
        for engine in ["fused", "candle"] {
            let arguments = ["logits", "runs/m/step-000040", "--tokens", "ids.json", "-o", "l.safetensors"];
            release.run(&[&arguments[..], &["--engine", engine]].concat()).code(0).says(&["2 x 4 x 300"]);
            logits.push(fs::read(release.path("l.safetensors")).unwrap());
        }
        assert!(logits[0] == logits[1], "{family}");
        fs::remove_file(release.path("l.safetensors")).unwrap();
        release.run(&["eval", "runs/m/step-000040", "--tasks", "tasks/rivers.yaml", "-o", "results.json"]).code(0);
        release.run(&["stats", "runs/m/step-000040"]).code(0);
        release.run(&["seal", "."]).code(0);
        release.run(&["replay", "manifest.yaml"]).code(0);
        let start = "seed: 1\nstart: {checkpoint: runs/m/step-000040}";
        let more = run.replace("name: small", "name: more").replace("seed: 1", start);
        release.write("more.yaml", more.replace("output: runs/m", "output: runs/more"));
        release.run(&["train", "more.yaml"]).code(0);
        release.run(&["replay", "more.yaml", "--tolerance", "runs/more/step-000040"]).code(0);
    }
}

/// A checkpoint with two experts, as far as a reader of tensors can tell.
fn experts(release: &Release, directory: &str, model_type: &str, class: &str, first: f32) {
    let tensor = |values: [f32; 4]| {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Tensor { dtype: Dtype::F32, shape: vec![2, 2], bytes }
    };
    let tensors = BTreeMap::from([
        ("model.embed_tokens.weight".to_owned(), tensor([1.0, 2.0, 3.0, 4.0])),
        ("model.layers.0.mlp.experts.0.up_proj.weight".to_owned(), tensor([first, 0.5, 0.25, 1.0])),
        ("model.layers.0.mlp.experts.1.up_proj.weight".to_owned(), tensor([-1.0, 0.5, 0.25, 1.0])),
        ("model.layers.0.mlp.gate.weight".to_owned(), tensor([1.0, 0.0, 0.0, 1.0])),
    ]);
    let config = json!({"architectures": [class], "model_type": model_type, "num_experts": 2, "hidden_size": 2});
    release.write(&format!("{directory}/config.json"), config.to_string());
    safetensors::write(&release.path(&format!("{directory}/model.safetensors")), &tensors).unwrap();
}

#[test]
fn other_architectures_are_checked_but_not_computed() {
    let release = Release::new();
    release.run(&["clean", "clean.yaml"]).code(0);
    release.run(&["tokenize", "tokenize.yaml"]).code(0);
    release.write("ids.json", "[[0, 1]]");
    release.write("tasks/rivers.yaml", crate::engines::TASK);
    release.write("tasks/rivers.jsonl", "{\"id\": \"1\", \"text\": \"rivers\"}\n");
    let (before, rest) = RUN.split_once("model:\n").unwrap();
    let after = &rest[rest.find("tokenizer:").unwrap()..];
    release.write("run.yaml", format!("{before}model: {{config: model/config.json}}\n{after}"));
    release.write("start.yaml", RUN.replace("seed: 1", "seed: 1\nstart: {checkpoint: model}"));
    for (model_type, class) in
        [("olmoe", "OlmoeForCausalLM"), ("qwen3_moe", "Qwen3MoeForCausalLM"), ("jamba", "JambaForCausalLM")]
    {
        let _ = fs::remove_dir_all(release.path("model"));
        experts(&release, "model", model_type, class, 3.0);
        experts(&release, "other", model_type, class, 3.5);
        release.run(&["seal", "model", "-o", "model.yaml"]).code(0);
        release.run(&["verify", "model.yaml", "model"]).code(0);
        let differs = release.run(&["verify", "model.yaml", "other"]).code(1);
        assert!(format!("{}{}", differs.out, differs.err).contains("experts.0.up_proj"), "{differs:?}");
        let differs = release.run(&["diff", "model", "other"]).code(1);
        assert!(format!("{}{}", differs.out, differs.err).contains("experts.0.up_proj"), "{differs:?}");
        release.run(&["stats", "model"]).code(0);

        release.write("model/tokenizer.json", release.read("tokenizer/tokenizer.json"));
        for arguments in [
            &["logits", "model", "--tokens", "ids.json", "-o", "l.safetensors"][..],
            &["generate", "model", "--prefix", "a"],
            &["eval", "model", "--tasks", "tasks/rivers.yaml", "-o", "results"],
            &["train", "run.yaml"],
            &["train", "start.yaml"],
        ] {
            let said = format!("{class} (model_type \"{model_type}\") is not computed here");
            let ran = release.run(arguments).code(2);
            ran.says(&["model/config.json", &said, "qwen3, smollm3", "`retrace seal`, `verify`, `diff` and `stats`"]);
        }
        let made = ["l.safetensors", "results", "runs/small/journal.jsonl", "runs/small/step-000000"];
        assert!(made.iter().all(|path| !release.path(path).exists()));
    }
}

//! Requests for more memory than there is, or for endless work, give an error immediately.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::tempdir;

use crate::support::{Ran, Release, retrace, small_run, train_small};

/// Runs the binary in `root` in 4 GB of address space; it must end within seconds.
#[cfg(unix)]
fn within_limits(root: &Path, arguments: &[&str]) -> Ran {
    let started = Instant::now();
    let mut command = std::process::Command::new("sh");
    let script = "ulimit -v 4194304; exec \"$0\" \"$@\"";
    command.current_dir(root).args(["-c", script]).arg(retrace().get_program()).args(arguments);
    let ran = Ran::from(command.stdin(std::process::Stdio::null()).output().unwrap());
    assert!(started.elapsed() < Duration::from_secs(60), "{arguments:?}: {:?}", started.elapsed());
    assert!(ran.err.len() < 10_000, "{} bytes of errors", ran.err.len());
    ran
}

const TOKENIZER: &str = r#"{"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
    "post_processor": null, "decoder": null, "truncation": null, "padding": null,
    "model": {"type": "BPE", "vocab": {"x": 0}, "merges": []}}"#;

#[cfg(unix)]
#[test]
fn a_description_that_asks_for_too_much_is_refused() {
    let directory = tempdir().unwrap();
    let root = directory.path();
    small_run(root, 12, 4, 12, 0);
    Ran::from(train_small(root, &[]).output().unwrap()).code(0);
    let written = fs::read_to_string(root.join("run.yaml")).unwrap();
    let wide = "hidden_size: 65536, intermediate_size: 65536, num_hidden_layers: 20";
    for (from, to, told) in [
        (
            "num_hidden_layers: 2",
            "num_hidden_layers: 1000000",
            "num_hidden_layers: 1000000 is more than the limit of 10000",
        ),
        ("hidden_size: 64", "hidden_size: 1073741824", "the limit is 2^40"),
        ("batch_size: 4\n", "batch_size: 1073741824\n", "2^28 tokens per step"),
        // A length that would fit in the memory of another machine.
        ("hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2", wide, "bytes of memory"),
    ] {
        let other = written.replace(from, to).replace("runs/small", "runs/other");
        assert_ne!(other, written);
        fs::write(root.join("other.yaml"), other).unwrap();
        within_limits(root, &["train", "other.yaml"]).code(2).says(&[told, "help:"]);
        assert!(!root.join("runs/other").join("journal.jsonl").exists(), "{to}");
    }
    fs::write(root.join("runs/small/step-000012/tokenizer.json"), TOKENIZER.replace('x', "a")).unwrap();
    let config = root.join("runs/small/step-000012/config.json");
    let written = fs::read_to_string(&config).unwrap();
    for (from, to, told) in [
        (
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 30000000",
            "num_hidden_layers: 30000000 is more than the limit of 10000",
        ),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 10000", "missing from the weights"),
        ("\"hidden_size\": 64", "\"hidden_size\": 65536", "bytes of memory"),
        ("\"num_attention_heads\": 4", "\"num_attention_heads\": 4, \"head_dim\": 18446744073709551615", "head_dim"),
    ] {
        let other = written.replace(from, to);
        assert_ne!(other, written, "{from} is not in {written}");
        fs::write(&config, other).unwrap();
        for verb in [
            &["generate", "runs/small/step-000012", "--prompt", "a", "--tokens", "1"][..],
            &["logits", "runs/small/step-000012", "--tokens", "ids.json", "-o", "logits.safetensors"],
        ] {
            fs::write(root.join("ids.json"), "[[1, 2, 3]]").unwrap();
            within_limits(root, verb).code(2).says(&[told]);
        }
    }
}

#[cfg(unix)]
#[test]
fn a_header_of_a_million_tensors_is_refused() {
    let directory = tempdir().unwrap();
    let root = directory.path();
    let entries =
        (0..1_600_000).map(|at| format!("\"{at}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}"));
    let header = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    fs::create_dir(root.join("model")).unwrap();
    fs::write(root.join("model/model.safetensors"), bytes).unwrap();
    within_limits(root, &["stats", "model"]).code(2).says(&["more than 262144 entries"]);
}

#[cfg(unix)]
#[test]
fn pipes_are_not_waited_for() {
    let release = Release::new();
    for path in ["a/model.safetensors", "b/config.json"] {
        release.write(path, "");
        fs::remove_file(release.path(path)).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(release.path(path)).status().unwrap().success());
    }
    release.write("ids.json", "[[1]]");
    release.write("b/tokenizer.json", TOKENIZER);
    for arguments in [
        &["stats", "a"][..],
        &["average", "a", "--against", "a"],
        &["generate", "b", "--prompt", "x"],
        &["logits", "b", "--tokens", "ids.json", "-o", "out.safetensors"],
        &["logits", "a", "--tokens", "b/config.json", "-o", "out.safetensors"],
        &["convert", "a/model.safetensors", "-o", "made"],
        &["tokenize", "b/config.json"],
        &["train", "b/config.json"],
    ] {
        within_limits(release.root(), arguments).code(2).says(&["not a regular file"]);
    }
}

#[cfg(unix)]
#[test]
fn a_document_of_brackets_is_refused_at_once() {
    let release = Release::new();
    for (name, text) in [
        ("brackets", ("[".repeat(100) + "\n").repeat(10_000)),
        ("dashes", ("- ".repeat(100) + "x\n").repeat(5_000)),
        ("quoted", "x: |\n '\ny:\n".to_owned() + &" [\"]\",\n".repeat(100_000)),
        ("blanks", format!("x: 'a{}{}'", "\n".repeat(1 << 19), "b\n".repeat(1 << 18))),
    ] {
        release.write("hostile.yaml", &text);
        let started = Instant::now();
        for verb in ["clean", "tokenize", "train", "verify"] {
            within_limits(release.root(), &[verb, "hostile.yaml"]).code(2);
        }
        release.run(&["import", "configs", "hostile.yaml"]).code(1).says(&["hostile.yaml: "]);
        assert!(started.elapsed() < Duration::from_secs(20), "{name}: {:?}", started.elapsed());
    }
}

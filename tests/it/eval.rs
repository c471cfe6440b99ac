//! `eval`, end to end, on a model whose likelihoods follow from its weights by hand computation.
//!
//! The model is a Llama with one layer whose attention weighs all positions equally. With n tokens in its vocabulary
//! it has width 2n: an embedding is a one in its first half, attention copies the mean of all embeddings so far into
//! the second half, and the head is two matrices side by side. So the scores of the next token are one column of the
//! first matrix, for the last token, plus the mean of the second one's columns over all tokens in the window: the
//! result shows which tokens are in the window.
//!
//! Every text's tokens are written by hand, so that an additional or missing token is detected too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use retrace_files::safetensors::{Dtype, Tensor, write};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{Ran, retrace};

/// The tokens. `Ġ` is a space and `çĮ«` are the three bytes of 猫, as byte-level BPE spells them.
const VOCABULARY: [&str; 12] = ["<|end|>", "a", "b", "c", "Ġ", "ç", "Į", "«", "Ġa", "ab", "çĮ", "Ġc"];
/// The merges, in order of priority.
const MERGES: [[&str; 2]; 4] = [["Ġ", "a"], ["a", "b"], ["ç", "Į"], ["Ġ", "c"]];
/// The model's context length.
const LONGEST: usize = 8;
const TOKENS: usize = VOCABULARY.len();
const WIDTH: usize = 2 * TOKENS;
const EPSILON: f64 = 1e-5;

/// The head: how much `last`, the last token, or an earlier token contributes to the score of `next`. Exact in
/// binary32.
fn head(next: usize, column: usize) -> f64 {
    match column.checked_sub(TOKENS) {
        None => (next * 7 + column * 5) as f64 % 11.0 / 8.0,
        Some(seen) => (next * 3 + seen * seen) as f64 % 7.0 / 4.0,
    }
}

/// The factor of RMSNorm for numbers whose squares have the sum `squares`.
fn norm(squares: f64) -> f64 {
    1.0 / (squares / WIDTH as f64 + EPSILON).sqrt()
}

fn ids(tokens: &[&str]) -> Vec<usize> {
    tokens.iter().map(|token| VOCABULARY.iter().position(|known| known == token).unwrap()).collect()
}

/// ln p of each of `tokens` except the first, given those before it.
fn log_likelihoods(tokens: &[usize]) -> Vec<f64> {
    let mut values = Vec::new();
    for at in 1..tokens.len() {
        let seen = &tokens[..at];
        let mean: Vec<f64> =
            (0..TOKENS).map(|token| seen.iter().filter(|s| **s == token).count() as f64 / at as f64).collect();
        let scale = norm(1.0 + mean.iter().map(|share| share * share).sum::<f64>());
        let scores: Vec<f64> = (0..TOKENS)
            .map(|next| {
                let of_mean: f64 = mean.iter().enumerate().map(|(seen, share)| share * head(next, TOKENS + seen)).sum();
                scale * (head(next, seen[at - 1]) + of_mean)
            })
            .collect();
        values.push(scores[tokens[at]] - scores.iter().map(|score| score.exp()).sum::<f64>().ln());
    }
    values
}

/// Writes the model.
fn model(directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": TOKENS, "hidden_size": WIDTH,
        "intermediate_size": 2, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1,
        "max_position_embeddings": LONGEST, "rms_norm_eps": EPSILON, "rope_theta": 10000.0, "hidden_act": "silu",
        "tie_word_embeddings": false, "torch_dtype": "float32", "bos_token_id": 0, "eos_token_id": 0,
    });
    fs::write(directory.join("config.json"), config.to_string()).unwrap();
    let mut tensors = BTreeMap::new();
    let mut put = |name: &str, shape: [usize; 2], number: &dyn Fn(usize, usize) -> f64| {
        let numbers = (0..shape[0] * shape[1]).map(|at| number(at / shape[1], at % shape[1]) as f32);
        let shape = if shape[0] == 1 { vec![shape[1]] } else { shape.to_vec() };
        let bytes = numbers.flat_map(f32::to_le_bytes).collect();
        tensors.insert(name.to_owned(), Tensor { dtype: Dtype::F32, shape, bytes });
    };
    let one = |yes: bool| f64::from(u8::from(yes));
    put("model.embed_tokens.weight", [TOKENS, WIDTH], &|token, column| one(token == column));
    put("lm_head.weight", [TOKENS, WIDTH], &head);
    put("model.norm.weight", [1, WIDTH], &|_, _| 1.0);
    for name in ["input_layernorm", "post_attention_layernorm"] {
        put(&format!("model.layers.0.{name}.weight"), [1, WIDTH], &|_, _| 1.0);
    }
    for name in ["q_proj", "k_proj"] {
        put(&format!("model.layers.0.self_attn.{name}.weight"), [WIDTH, WIDTH], &|_, _| 0.0);
    }
    let into_second = |row: usize, column: usize| one(row == column + TOKENS) / norm(1.0);
    put("model.layers.0.self_attn.v_proj.weight", [WIDTH, WIDTH], &into_second);
    put("model.layers.0.self_attn.o_proj.weight", [WIDTH, WIDTH], &|row, column| one(row == column));
    for (name, shape) in [("gate_proj", [2, WIDTH]), ("up_proj", [2, WIDTH]), ("down_proj", [WIDTH, 2])] {
        put(&format!("model.layers.0.mlp.{name}.weight"), shape, &|_, _| 0.0);
    }
    write(&directory.join("model.safetensors"), &tensors).unwrap();
    let vocabulary: BTreeMap<&str, usize> = VOCABULARY.iter().enumerate().map(|(id, token)| (*token, id)).collect();
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let end = json!({"id": 0, "content": VOCABULARY[0], "special": true, "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false});
    let tokenizer = json!({
        "version": "1.0", "added_tokens": [end], "normalizer": null, "pre_tokenizer": bytes, "post_processor": null,
        "decoder": bytes,
        "model": {"type": "BPE", "unk_token": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary,
            "merges": MERGES},
    });
    fs::write(directory.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

/// A text, or a choice, with its tokens.
type Tokenized = (&'static str, &'static [&'static str]);

/// Tasks of texts, with their tokens, in windows with as many tokens as the context length; each window except the
/// first also sees one token of the one before. The harness has the same result for the first task, where all windows
/// are full. In the second, the last window is not full: the harness would extend it with earlier tokens; here it sees
/// only one.
const TEXTS: [(&str, &[Tokenized]); 2] = [
    (
        "full",
        &[
            ("abc", &["ab", "c"]),
            (
                "猫a 猫b c ab ca cab b",
                &["çĮ", "«", "a", "Ġ", "çĮ", "«", "b", "Ġc", "Ġa", "b", "Ġc", "a", "Ġc", "ab", "Ġ", "b"],
            ),
        ],
    ),
    ("rest", &[("猫a 猫b c ab ca", &["çĮ", "«", "a", "Ġ", "çĮ", "«", "b", "Ġc", "Ġa", "b", "Ġc", "a"])]),
];

/// A question: its text and tokens, its choices with the tokens that each adds, and the correct one.
struct Question {
    text: &'static str,
    tokens: &'static [&'static str],
    choices: &'static [Tokenized],
    answer: usize,
}

/// The text between question and choice, and the questions.
const TASKS: [(&str, &str, &[Question]); 3] = [
    (
        "spaced",
        " ",
        &[
            Question {
                text: "ab c",
                tokens: &["ab", "Ġc"],
                choices: &[("ab", &["Ġa", "b"]), ("猫", &["Ġ", "çĮ", "«"]), ("cc", &["Ġc", "c"])],
                answer: 0,
            },
            // White space at the end of a question belongs to the continuation.
            Question {
                text: "c ",
                tokens: &["c"],
                choices: &[
                    ("a", &["Ġ", "Ġa"]),
                    ("b", &["Ġ", "Ġ", "b"]),
                    ("猫a猫a", &["Ġ", "Ġ", "çĮ", "«", "a", "çĮ", "«", "a"]),
                ],
                answer: 2,
            },
            // Longer than the context: the beginning is lost.
            Question {
                text: "abcabcabcabc",
                tokens: &["ab", "c", "ab", "c", "ab", "c", "ab", "c"],
                choices: &[("b", &["Ġ", "b"]), ("猫", &["Ġ", "çĮ", "«"]), ("a", &["Ġa"])],
                answer: 2,
            },
            // If choices are equal, the first counts.
            Question { text: "b", tokens: &["b"], choices: &[("c", &["Ġc"]), ("c", &["Ġc"])], answer: 1 },
            Question { text: "", tokens: &[], choices: &[("a", &["Ġa"]), ("ca", &["Ġc", "a"])], answer: 0 },
        ],
    ),
    (
        "joined",
        "",
        &[
            Question { text: "b", tokens: &["b"], choices: &[("ca", &["c", "a"]), ("c", &["c"])], answer: 1 },
            Question {
                text: "a",
                tokens: &["a"],
                choices: &[("c", &["c"]), ("ac猫", &["a", "c", "çĮ", "«"])],
                answer: 1,
            },
        ],
    ),
    (
        // Encoded together, the question's last letter and the choice's first are one token, `ab`, which is not a part
        // of the choice. Here it is the context of the choice; the harness uses the question's own tokens there.
        "merged",
        "",
        &[
            Question { text: "ca", tokens: &["c", "ab"], choices: &[("bb", &["b"]), ("bbc", &["b", "c"])], answer: 0 },
            Question {
                text: "cca",
                tokens: &["c", "c", "ab"],
                choices: &[("bbc", &["b", "c"]), ("bb", &["b"])],
                answer: 0,
            },
        ],
    ),
];

/// The results of lm-evaluation-harness 0.4.13 for this model (transformers 5.24.0, torch 2.15.0, binary32), as
/// `harness.py` runs it: by task, metric and value.
const THEIRS: [(&str, &str, f64); 9] = [
    ("full", "bits_per_byte", 4.567_124_364_737_364_5),
    ("spaced", "acc", 0.6),
    ("spaced", "acc_stderr", 0.244_948_974_278_317_83),
    ("spaced", "acc_norm", 0.4),
    ("spaced", "acc_norm_stderr", 0.244_948_974_278_317_83),
    ("joined", "acc", 0.5),
    ("joined", "acc_stderr", 0.5),
    ("joined", "acc_norm", 0.5),
    ("joined", "acc_norm_stderr", 0.5),
];

/// Writes the model and the tasks.
fn setting(root: &Path) {
    model(&root.join("tiny/model"));
    let task = |name: &str, measure: &str, delimiter: &str, items: Vec<Value>| {
        let task = format!(
            "retrace: task/1\nname: {name}\nmeasure: {measure}\nitems: {name}.jsonl\nprefix: <|end|>\ndelimiter: '{delimiter}'\n"
        );
        fs::write(root.join(format!("{name}.yaml")), task).unwrap();
        fs::write(root.join(format!("{name}.jsonl")), items.iter().map(|item| format!("{item}\n")).collect::<String>())
            .unwrap();
    };
    for (name, texts) in TEXTS {
        let text = |(id, (text, _)): (usize, &(&str, _))| json!({"id": id.to_string(), "text": text});
        task(name, "bits_per_byte", " ", texts.iter().enumerate().map(text).collect());
    }
    for (name, delimiter, questions) in TASKS {
        let question = |(id, question): (usize, &Question)| {
            let choices: Vec<&str> = question.choices.iter().map(|(choice, _)| *choice).collect();
            json!({"id": id.to_string(), "question": question.text, "choices": choices, "answer": question.answer})
        };
        task(name, "multiple_choice", delimiter, questions.iter().enumerate().map(question).collect());
    }
}

#[track_caller]
fn near(found: &Value, expected: f64, what: &str) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{what}: {found} is no number"));
    assert!((found - expected).abs() < 2e-5, "{what}: {found}, not {expected}");
}

/// The mean of outcomes, and its standard error, from the variance of an outcome of two.
fn accuracy(right: usize, of: usize) -> (f64, f64) {
    let mean = right as f64 / of as f64;
    (mean, (mean * (1.0 - mean) / (of - 1) as f64).sqrt())
}

#[test]
fn scores_are_those_of_the_weights_by_hand_and_of_the_harness() {
    let directory = tempdir().unwrap();
    let root = directory.path();
    setting(root);
    let mut command = retrace();
    command.current_dir(root).args([
        "eval",
        "tiny/model",
        "--tasks",
        "full.yaml,rest.yaml,spaced.yaml,joined.yaml,merged.yaml",
    ]);
    command.args(["-o", "results", "--json"]);
    let told = Ran::from(command.output().unwrap()).code(0).json("eval/1");
    let written: Value = serde_json::from_slice(&fs::read(root.join("results/tiny-model.json")).unwrap()).unwrap();
    let (results, samples) = (&told["models"][0]["results"], &written["samples"]);
    assert_eq!(results, &written["results"]);

    for (name, texts) in TEXTS {
        let (mut nats, mut bytes) = (0.0, 0);
        for (at, (text, tokens)) in texts.iter().enumerate() {
            let all = [&ids(&VOCABULARY[..1])[..], &ids(tokens)].concat();
            let pieces = (0..tokens.len()).step_by(LONGEST).map(|from| &all[from..all.len().min(from + LONGEST + 1)]);
            let value: f64 = pieces.flat_map(log_likelihoods).sum();
            near(&samples[name][at]["log_likelihoods"][0], value, text);
            nats -= value;
            bytes += text.len();
        }
        near(&results[name]["bits_per_byte,none"], nats / bytes as f64 / 2f64.ln(), name);
    }

    for (name, _, questions) in TASKS {
        let (mut right, mut right_by_character) = (0, 0);
        for (at, question) in questions.iter().enumerate() {
            let (mut best, mut best_by_character) = ((0, f64::MIN), (0, f64::MIN));
            for (index, (choice, adds)) in question.choices.iter().enumerate() {
                let all = [&ids(&VOCABULARY[..1])[..], &ids(question.tokens), &ids(adds)].concat();
                let seen = &all[all.len().saturating_sub(LONGEST + 1)..];
                let values = log_likelihoods(seen);
                let value: f64 = values[values.len() - adds.len()..].iter().sum();
                near(&samples[name][at]["log_likelihoods"][index], value, &format!("{} {choice}", question.text));
                for (best, value) in
                    [(&mut best, value), (&mut best_by_character, value / choice.chars().count() as f64)]
                {
                    // No two are so close that rounding could decide, except equal ones.
                    assert!(value == best.1 || (value - best.1).abs() > 1e-3, "{} {choice}", question.text);
                    if value > best.1 {
                        *best = (index, value);
                    }
                }
            }
            assert_eq!(samples[name][at]["correct"], best.0 == question.answer, "{}", question.text);
            right += usize::from(best.0 == question.answer);
            right_by_character += usize::from(best_by_character.0 == question.answer);
        }
        for (metric, right) in [("acc", right), ("acc_norm", right_by_character)] {
            let (mean, error) = accuracy(right, questions.len());
            near(&results[name][format!("{metric},none")], mean, &format!("{name}: {metric}"));
            near(&results[name][format!("{metric}_stderr,none")], error, &format!("{name}: the error of {metric}"));
        }
    }
    for (task, metric, value) in THEIRS {
        near(&results[task][format!("{metric},none")], value, &format!("{task}: {metric}"));
    }
}

/// The current results of the harness are those above.
#[test]
#[ignore = "starts lm-evaluation-harness: `just harness`"]
fn harness_says_what_is_written_here() {
    let directory = tempdir().unwrap();
    setting(directory.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/it/harness.py");
    let ran = Ran::from(Command::new("python3").arg(script).arg(directory.path()).output().unwrap()).code(0);
    let theirs: Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    for (task, metric, value) in THEIRS {
        near(&theirs[task][format!("{metric},none")], value, &format!("{task}: {metric}"));
    }
}

/// A task file in the form of the harness, on the same model: no token is put before a text, because the tokenizer adds
/// none; the rest is by hand as above.
#[test]
fn a_task_file_of_the_harness_is_scored_by_its_rules() {
    let directory = tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    model(&at("run/m"));
    let special = json!({"bos_token": VOCABULARY[0], "eos_token": VOCABULARY[0]});
    fs::write(at("run/m/tokenizer_config.json"), special.to_string()).unwrap();
    let (_, _, questions) = &TASKS[0];
    let documents = questions.iter().map(|question| {
        let choices: Vec<&str> = question.choices.iter().map(|(choice, _)| *choice).collect();
        json!({"asked": question.text, "options": choices, "right": question.answer}).to_string() + "\n"
    });
    fs::create_dir_all(at("data/own/letters")).unwrap();
    fs::write(at("data/own/letters/test.jsonl"), documents.collect::<String>()).unwrap();
    fs::create_dir_all(at("tasks")).unwrap();
    let task = "task: letters\ndataset_path: own/letters\ntest_split: test\noutput_type: multiple_choice\n\
                doc_to_text: asked\ndoc_to_choice: options\ndoc_to_target: right\n\
                metric_list:\n- metric: acc\n- metric: acc_norm\nmetadata: {version: 1.0}\n";
    fs::write(at("tasks/letters.yaml"), task).unwrap();
    fs::write(at("tasks/own.yaml"), task.replace("letters\nd", "own\nprocess_docs: !function own.shuffled\nd"))
        .unwrap();
    fs::write(at("tasks/own.py"), "def shuffled(documents):\n    return documents.shuffle(1)\n").unwrap();
    let run = |task: &str, more: &[&str]| {
        let mut command = retrace();
        command.current_dir(&directory).args(["eval", "run/m", "--harness", "0.4.13", "--include-path", "tasks"]);
        command.args(["--data", "data", "--tasks", task]).args(more);
        Ran::from(command.output().unwrap())
    };
    let first = run("letters", &["-o", "out"]).code(0).says(&["evaluated 1 model on 1 task", "prompts of letters"]);
    assert!(first.out.contains("acc_norm") && first.out.contains("letters"), "{}", first.out);

    let text = |path: &str| fs::read_to_string(at(path)).unwrap();
    let samples = text("out/run-m/samples_letters.jsonl");
    let (mut correct, mut by_character) = (0, 0);
    for (line, question) in samples.lines().zip(questions.iter()) {
        let line: Value = serde_json::from_str(line).unwrap();
        let mut expected = Vec::new();
        // A text without context begins after the token that begins every text.
        let context = if question.tokens.is_empty() { &VOCABULARY[..1] } else { question.tokens };
        for (choice, tokens) in question.choices {
            let all = ids(&[context, *tokens].concat());
            let seen = &all[all.len().saturating_sub(LONGEST + 1)..];
            let value: f64 = log_likelihoods(seen).iter().rev().take(tokens.len()).sum();
            let told: f64 = line["resps"][expected.len()][0][0].as_str().unwrap().parse().unwrap();
            assert!((told - value).abs() < 1e-4, "{choice}: {told}, not {value}");
            expected.push((value, value / choice.chars().count() as f64));
        }
        let first_best = |of: fn(&(f64, f64)) -> f64| {
            let best = expected.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
            expected.iter().position(|values| of(values) == best).unwrap()
        };
        correct += usize::from(first_best(|values| values.0) == question.answer);
        by_character += usize::from(first_best(|values| values.1) == question.answer);
    }
    assert_eq!(samples.lines().count(), questions.len());
    let results: Value = serde_json::from_str(&text("out/run-m/results.json")).unwrap();
    let share = |count: usize| count as f64 / questions.len() as f64;
    assert_eq!(results["results"]["letters"]["acc,none"], share(correct));
    assert_eq!(results["results"]["letters"]["acc_norm,none"], share(by_character));

    // The same again, from the kept answers and without them.
    for kept in [true, false] {
        if !kept {
            fs::remove_dir_all(at("out")).unwrap();
        }
        run("letters", &["-o", "out"]).code(0);
        assert_eq!(text("out/run-m/samples_letters.jsonl"), samples);
        assert_eq!(serde_json::from_str::<Value>(&text("out/run-m/results.json")).unwrap(), results);
    }
    // Nothing in Python is executed.
    run("own", &[]).code(2).says(&["the function `shuffled`", "which is not ported"]);
    run("lettres", &[]).code(2).says(&["there is no task"]);
    let other = retrace().args(["eval", "m", "--harness", "0.4.12", "--tasks", "a"]).output().unwrap();
    Ran::from(other).code(2).says(&["0.4.12 are not known"]);
}

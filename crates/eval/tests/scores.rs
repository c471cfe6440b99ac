//! Scores compared with the same sums computed from the model's logits, one text at a time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use retrace_corpus::tokenizer::Tokenizer;
use retrace_eval::{Items, LoadedTask, Question, Text, score};
use retrace_files::Root;
use retrace_model::{Engine, Inference, Layout, Weights};
use retrace_spec::model::Model;
use retrace_spec::{Document, Seed, Task};

fn setting() -> (Inference, Tokenizer) {
    let texts = ["the cat sat on the mat", "猫坐在垫子上", "the dog sat"];
    let tokenizer = Tokenizer::train(std::path::Path::new("t"), texts.into_iter(), 270, "<|end|>").unwrap();
    let model = format!(
        "architecture: llama\nvocab_size: {}\nhidden_size: 16\nintermediate_size: 24\nnum_hidden_layers: 1\n\
         num_attention_heads: 2\nnum_key_value_heads: 1\nmax_position_embeddings: 8\nrope_theta: 10000.0\n\
         rms_norm_eps: 1.0e-5\ninitializer_range: 0.5\n",
        tokenizer.vocabulary()
    );
    let model: Model = serde_yaml::from_str(&model).unwrap();
    let weights = Weights::initial(&model, Layout::of(&model), Seed(1));
    (Inference::new(&model, weights, Engine::default()).unwrap(), tokenizer)
}

/// ln p(target | inputs), from the last row of logits, in binary64.
fn next(model: &Inference, inputs: &[u32], target: u32) -> f64 {
    let logits = model.logits(inputs, inputs.len()).unwrap();
    let last = logits.chunks(model.description().vocab_size).last().unwrap();
    let last: Vec<f64> = last.iter().map(|x| f64::from(*x)).collect();
    last[target as usize] - last.iter().map(|x| x.exp()).sum::<f64>().ln()
}

fn task(measure: &str, delimiter: &str) -> Task {
    let text = format!(
        "retrace: task/1\nname: t\nmeasure: {measure}\nitems: i.jsonl\nprefix: <|end|>\ndelimiter: '{delimiter}'\n"
    );
    Task::parse(&text, "t.yaml").unwrap()
}

#[test]
fn bits_per_byte_are_the_likelihoods_of_every_token() {
    let (model, tokenizer) = setting();
    let texts = ["the cat sat on the mat and the dog sat too", "猫", "坐在垫子上的猫"];
    let items = texts.iter().enumerate().map(|(i, t)| Text { id: i.to_string(), text: (*t).to_owned() }).collect();
    let loaded = LoadedTask { task: task("bits_per_byte", " "), items: Items::Texts(items) };
    let scores = score(&model, &tokenizer, &loaded).unwrap();
    let mut total = 0.0;
    for text in texts {
        let tokens = tokenizer.encode(text).unwrap();
        for (window, chunk) in tokens.chunks(8).enumerate() {
            let before = if window == 0 { tokenizer.id_of("<|end|>").unwrap() } else { tokens[window * 8 - 1] };
            let all = [&[before], chunk].concat();
            total -= (1..all.len()).map(|n| next(&model, &all[..n], all[n])).sum::<f64>();
        }
    }
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    let expected = total / (std::f64::consts::LN_2 * bytes as f64);
    assert!((scores.metrics[0].value - expected).abs() < 1e-4, "{} against {expected}", scores.metrics[0].value);
}

#[test]
fn choices_are_compared_by_their_likelihood() {
    let (model, tokenizer) = setting();
    let choices: Vec<String> = ["mat", "dog sat", "猫"].iter().map(|c| (*c).to_owned()).collect();
    let questions: Vec<Question> = (0..3)
        .map(|answer| Question {
            id: answer.to_string(),
            question: "the cat sat".to_owned(),
            choices: choices.clone(),
            answer,
        })
        .collect();
    let loaded = LoadedTask { task: task("multiple_choice", " "), items: Items::Questions(questions) };
    let scores = score(&model, &tokenizer, &loaded).unwrap();
    let prefix = tokenizer.id_of("<|end|>").unwrap();
    let context = tokenizer.encode("the cat sat").unwrap().len();
    for (choice, value) in choices.iter().zip(&scores.samples[0].log_likelihoods) {
        let whole = tokenizer.encode(&format!("the cat sat {choice}")).unwrap();
        let all = [&[prefix], &whole[..]].concat();
        let expected: f64 = (context + 1..all.len()).map(|n| next(&model, &all[n.saturating_sub(8)..n], all[n])).sum();
        // If the text is longer than the model's 8 positions, the windows are disjoint and not sliding.
        if all.len() <= 9 {
            assert!((value - expected).abs() < 1e-4, "{choice}: {value} against {expected}");
        }
    }
    // The same choice is selected for each of the three questions, and is correct for one of them.
    assert_eq!(scores.metrics[0].name, "acc");
    assert!((scores.metrics[0].value - 1.0 / 3.0).abs() < 1e-12);
    assert_eq!(scores.samples.iter().filter(|s| s.correct == Some(true)).count(), 1);
}

#[test]
fn items_that_are_not_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("i.jsonl");
    for (measure, text, expected) in [
        ("bits_per_byte", "", "no items"),
        ("bits_per_byte", "{\"id\":\"1\",\"text\":\"\"}\n", "empty"),
        ("bits_per_byte", "{\"id\":\"1\"}\n", "missing field"),
        (
            "multiple_choice",
            "{\"id\":\"1\",\"question\":\"q\",\"choices\":[\"a\"],\"answer\":1}\n",
            "not one of the choices",
        ),
        ("multiple_choice", "{\"id\":\"1\",\"question\":\"q\",\"choices\":[\"a\",\"\"],\"answer\":0}\n", "empty"),
        ("multiple_choice", "{\"id\":\"1\",\"question\":\"q\",\"cho", "truncated"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error =
            LoadedTask::read(&Root::open(directory.path()).unwrap(), task(measure, " ")).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("i.jsonl:1"), "{error}");
    }
}

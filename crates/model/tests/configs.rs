//! What `config.json` may say: other spellings of one model, and what is refused, with the field.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use retrace_files::{RegularFile, Root};
use retrace_model::{ModelError, hub};
use retrace_spec::Model;
use retrace_spec::model::UsesRope;
use serde_json::{Map, Value, json};

fn hub_case(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hub").join(name).join("config.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn read(text: &str) -> Result<Model, ModelError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    std::fs::write(&path, text).unwrap();
    hub::read_config(RegularFile::open(&path).unwrap())
}

/// The configuration with other fields; null removes one.
fn with(config: &Value, changes: Value) -> String {
    let mut config: Map<String, Value> = config.as_object().unwrap().clone();
    for (field, value) in changes.as_object().unwrap().clone() {
        match value {
            Value::Null => config.remove(&field),
            value => config.insert(field, value),
        };
    }
    Value::Object(config).to_string()
}

#[test]
fn other_spellings_are_the_same_model() {
    for name in ["llama", "qwen3", "smollm3"] {
        let [new, old] = ["", "-old-config"].map(|end| read(&hub_case(&format!("{name}{end}")).to_string()).unwrap());
        assert_eq!(new, old);
    }
}

/// The defaults of `Qwen3Config` and `SmolLM3Config` in transformers 5.24.0.
#[test]
fn missing_fields_are_those_of_transformers() {
    let qwen3 = hub_case("qwen3");
    let model = read(&with(&qwen3, json!({"head_dim": null, "rope_parameters": null, "rms_norm_eps": null}))).unwrap();
    assert_eq!((model.head_dim, model.rope_theta, model.rms_norm_eps), (Some(128), 1e4, Some(1e-6)));
    assert!(!model.tie_word_embeddings);
    let smollm3 = hub_case("smollm3");
    let missing = json!({"no_rope_layers": null, "no_rope_layer_interval": null, "tie_word_embeddings": null,
                         "rope_parameters": null, "num_hidden_layers": 6, "layer_types": null});
    let model = read(&with(&smollm3, missing)).unwrap();
    use UsesRope::{No, Yes};
    assert_eq!(model.no_rope_layers, Some(vec![Yes, Yes, Yes, No, Yes, Yes]));
    assert!(model.tie_word_embeddings);
    assert_eq!(model.rope_theta, 2e6);
}

#[test]
fn what_cannot_be_computed_is_refused_with_its_field() {
    let (qwen3, smollm3) = (hub_case("qwen3"), hub_case("smollm3"));
    let sliding = json!(["full_attention", "sliding_attention"]);
    let four = |kind: &str| json!([kind, kind, kind, kind]);
    for (config, changes, said) in [
        (&qwen3, json!({"num_key_value_heads": null}), "num_key_value_heads is missing"),
        (&qwen3, json!({"num_key_value_heads": 3}), "num_key_value_heads: 3 does not divide"),
        (&qwen3, json!({"use_sliding_window": true}), "sliding_window: is missing"),
        (
            &qwen3,
            json!({"use_sliding_window": true, "sliding_window": 0, "max_window_layers": 0,
                             "layer_types": null}),
            "sliding_window: 0",
        ),
        (&qwen3, json!({"layer_types": sliding, "sliding_window": 8}), "layer_types: has sliding_attention, but"),
        (&qwen3, json!({"layer_types": ["full_attention", "chunked_attention"]}), "layer_types: unknown variant"),
        (
            &qwen3,
            json!({"layer_types": ["sliding_attention"], "use_sliding_window": true, "sliding_window": 8}),
            "layer_types: lists 1 layers of 2",
        ),
        (&qwen3, json!({"layer_types": ["full_attention"]}), "layer_types: lists 1 layers of 2"),
        (&qwen3, json!({"no_bias": false}), "no_bias: is false"),
        (&qwen3, json!({"attention_bias": true, "no_bias": true}), "no_bias: is true"),
        (&qwen3, json!({"mlp_bias": true}), "mlp_bias: does not belong to qwen3"),
        (&qwen3, json!({"head_dim": 9}), "an even number of elements per head, not 9"),
        (&qwen3, json!({"hidden_act": "gelu"}), "hidden_act: is \"gelu\""),
        (
            &qwen3,
            json!({"rope_parameters": {"rope_type": "longrope", "factor": 2.0}}),
            "rope_parameters: unknown variant",
        ),
        (&qwen3, json!({"num_experts": 8}), "num_experts: is unknown"),
        (&qwen3, json!({"quantization_config": {"bits": 4}}), "quantization_config: is unknown"),
        (&qwen3, json!({"no_rope_layers": [1, 1]}), "no_rope_layers: is unknown"),
        (&qwen3, json!({"num_hidden_layers": 1_000_000_000_000_u64}), "num_hidden_layers: 1000000000000 is more than"),
        (&smollm3, json!({"no_rope_layers": [1, 1]}), "no_rope_layers: lists 2 layers of 4"),
        (&smollm3, json!({"no_rope_layers": []}), "no_rope_layers: lists 0 layers of 4"),
        (&smollm3, json!({"no_rope_layers": [1, 1, 2, 0]}), "no_rope_layers: 2 is neither 1"),
        (&smollm3, json!({"no_rope_layers": [1, 1, -1, 0]}), "no_rope_layers: invalid value"),
        (&smollm3, json!({"no_rope_layers": [true, true, true, false]}), "no_rope_layers: invalid type"),
        (&smollm3, json!({"no_rope_layers": null, "no_rope_layer_interval": 0}), "no_rope_layer_interval: 0 is not"),
        (
            &smollm3,
            json!({"layer_types": four("sliding_attention"), "sliding_window": 8}),
            "layer_types: has sliding_attention, but use_sliding_window is false",
        ),
        (&smollm3, json!({"pretraining_tp": "two"}), "pretraining_tp: invalid type"),
    ] {
        let refused = read(&with(config, changes)).expect_err(said);
        assert!(matches!(refused, ModelError::Config { .. }), "{refused}");
        assert!(refused.to_string().contains(said), "{refused} does not contain {said:?}");
    }
}

/// A window that no layer has is no part of the model.
#[test]
fn a_window_without_a_layer_is_left_out() {
    for name in ["qwen3", "smollm3"] {
        let config = hub_case(name);
        let plain = read(&config.to_string()).unwrap();
        let all_full = vec!["full_attention"; plain.num_hidden_layers];
        for changes in [
            json!({"sliding_window": 4096}),
            json!({"use_sliding_window": true, "sliding_window": 4096, "layer_types": all_full}),
        ] {
            assert_eq!(read(&with(&config, changes)).unwrap(), plain);
        }
    }
}

#[test]
fn other_architectures_are_named() {
    for (model_type, class) in [
        ("qwen3_moe", "Qwen3MoeForCausalLM"),
        ("olmoe", "OlmoeForCausalLM"),
        ("olmo_hybrid", "OlmoHybridForCausalLM"),
        ("flex_olmo", "FlexOlmoForCausalLM"),
        ("mixtral", "MixtralForCausalLM"),
        ("deepseek_v3", "DeepseekV3ForCausalLM"),
        ("mamba2", "Mamba2ForCausalLM"),
        ("jamba", "JambaForCausalLM"),
        ("apertus", "ApertusForCausalLM"),
    ] {
        let text = json!({"model_type": model_type, "architectures": [class], "num_experts": 8}).to_string();
        let refused = read(&text).unwrap_err();
        assert!(matches!(&refused, ModelError::NotComputed { architecture, .. } if architecture.contains(class)));
        let said = format!("{class} (model_type \"{model_type}\") is not computed here");
        assert!(refused.to_string().ends_with(&said), "{refused}");
    }
    let refused = read("{\"model_type\": \"olmoe\", \"architectures\": 3}").unwrap_err();
    assert!(refused.to_string().ends_with("model_type \"olmoe\" is not computed here"), "{refused}");
}

#[test]
fn half_a_configuration_is_refused() {
    for name in ["qwen3-sliding-yarn", "smollm3-sliding-yarn"] {
        let text = hub_case(name).to_string();
        for end in (0..text.len()).step_by(7) {
            assert!(read(&text[..end]).is_err());
        }
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        std::fs::write(directory.path().join("config.json"), &text).unwrap();
        assert!(hub::read(&root).is_err(), "without weights");
    }
}

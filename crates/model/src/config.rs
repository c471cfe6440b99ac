//! `config.json` of transformers, in the format of its version 5 and in the one before.

use retrace_spec::Model;
use retrace_spec::model::{Activation, Architecture, LayerType, RopeScaling};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Fields that do not affect the computation.
const IGNORED: [&str; 34] = [
    "_attn_implementation_autoset",
    "_flash_attn_2_enabled",
    "_name_or_path",
    "add_cross_attention",
    "architectures",
    "attention_dropout",
    "attn_implementation",
    "auto_map",
    "bos_token_id",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "cross_attention_hidden_size",
    "dtype",
    "eos_token_id",
    "finetuning_task",
    "hidden_dropout",
    "id2label",
    "is_decoder",
    "is_encoder_decoder",
    "label2id",
    "model_type",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "prefix",
    "problem_type",
    "return_dict",
    "tie_encoder_decoder",
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
    "unk_token_id",
    "use_cache",
    "vocab_file",
];

/// The fields that are not processed yet.
struct Fields(Map<String, Value>);

impl Fields {
    /// The field called `name`; `None` if it is missing or null.
    fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, String> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value).map(Some).map_err(|e| format!("{name}: {e}")),
        }
    }

    fn need<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, String> {
        self.take(name)?.ok_or_else(|| format!("{name} is missing"))
    }

    /// Returns an error for a field whose value is not the one that the computation here needs.
    fn must_be<T: DeserializeOwned + PartialEq + std::fmt::Debug>(
        &mut self,
        name: &str,
        value: T,
    ) -> Result<(), String> {
        match self.take::<T>(name)? {
            Some(other) if other != value => Err(format!("{name}: is {other:?}; only {value:?} is supported")),
            _ => Ok(()),
        }
    }
}

/// RoPE's fields, in either format.
struct Rope {
    theta: Option<f64>,
    share: Option<f64>,
    scaling: Option<RopeScaling>,
}

/// One dictionary of RoPE's parameters.
fn rope(name: &str, value: Value) -> Result<Rope, String> {
    let Value::Object(map) = value else { return Err(format!("{name}: is not an object")) };
    let mut fields = Fields(map);
    let (theta, share) = (fields.take("rope_theta")?, fields.take("partial_rotary_factor")?);
    let (new, old) = (fields.take::<String>("rope_type")?, fields.take::<String>("type")?);
    if let (Some(new), Some(old)) = (&new, &old)
        && new != old
    {
        return Err(format!("{name}: rope_type {new:?} and type {old:?} contradict each other"));
    }
    let kind = new.or(old).unwrap_or_else(|| "default".to_owned());
    let mut map = fields.0;
    map.retain(|_, value| !value.is_null());
    if kind == "default" {
        return match map.keys().next() {
            Some(field) => Err(format!("{name}.{field}: is unknown")),
            None => Ok(Rope { theta, share, scaling: None }),
        };
    }
    if kind == "yarn" {
        // Transformers' defaults, whether written or not.
        if map.remove("truncate").is_some_and(|truncate| truncate != Value::Bool(true)) {
            return Err(format!("{name}.truncate: only true is supported"));
        }
    }
    map.insert("rope_type".to_owned(), Value::String(kind));
    let scaling = serde_json::from_value(Value::Object(map)).map_err(|e| format!("{name}: {e}"))?;
    Ok(Rope { theta, share, scaling: Some(scaling) })
}

/// RoPE's parameters, in either position.
fn take_rope(fields: &mut Fields, architecture: Architecture) -> Result<Rope, String> {
    let (theta_field, share_field) = match architecture {
        Architecture::GptNeox => ("rotary_emb_base", "rotary_pct"),
        _ => ("rope_theta", "partial_rotary_factor"),
    };
    let (theta, share) = (fields.take::<f64>(theta_field)?, fields.take::<f64>(share_field)?);
    // Version 5 writes `rope_parameters`; the version before writes `rope_scaling` if there is any.
    let mut said = match fields.take::<Value>("rope_parameters")? {
        None => Rope { theta: None, share: None, scaling: None },
        Some(Value::Object(mut map)) if map.contains_key("full_attention") => {
            let full = rope("rope_parameters.full_attention", map.remove("full_attention").unwrap_or_default())?;
            if let Some(value) = map.remove("sliding_attention") {
                let sliding = rope("rope_parameters.sliding_attention", value)?;
                if sliding.scaling.is_some() || sliding.theta.or(full.theta) != full.theta {
                    return Err("rope_parameters.sliding_attention: only plain RoPE with the same rope_theta can \
                                be computed here"
                        .to_owned());
                }
            }
            match map.keys().next() {
                Some(field) => return Err(format!("rope_parameters.{field}: is unknown")),
                None => full,
            }
        }
        Some(value) => rope("rope_parameters", value)?,
    };
    if let Some(value) = fields.take::<Value>("rope_scaling")? {
        let old = rope("rope_scaling", value)?;
        if said.scaling.is_some() && said.scaling != old.scaling {
            return Err("rope_scaling and rope_parameters contradict each other".to_owned());
        }
        said.scaling = old.scaling;
        said.theta = said.theta.or(old.theta);
    }
    for (field, outside, inside) in [(theta_field, theta, said.theta), (share_field, share, said.share)] {
        if let (Some(outside), Some(inside)) = (outside, inside)
            && outside != inside
        {
            return Err(format!("{field} {outside} and rope_parameters' {inside} contradict each other"));
        }
    }
    Ok(Rope { theta: theta.or(said.theta), share: share.or(said.share), scaling: said.scaling })
}

/// The model that a `config.json` describes.
pub(crate) fn from_json(text: &str) -> Result<Model, String> {
    let map: Map<String, Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut fields = Fields(map);
    let kind: String = fields.need("model_type")?;
    let families = Architecture::ALL;
    let Some(architecture) = families.into_iter().find(|family| family.name() == kind) else {
        let known = families.map(Architecture::name).join(", ");
        return Err(format!("model_type: {kind:?} is not supported; supported are {known}"));
    };
    let neox = architecture == Architecture::GptNeox;
    let heads: usize = fields.need("num_attention_heads")?;
    let hidden_size: usize = fields.need("hidden_size")?;
    let key_heads = if neox { None } else { fields.take("num_key_value_heads")? };
    let rope = take_rope(&mut fields, architecture)?;
    let hidden_act = match neox {
        true => Some(fields.take::<Activation>("hidden_act")?.unwrap_or(Activation::Gelu)),
        false => {
            fields.must_be("hidden_act", "silu".to_owned())?;
            None
        }
    };
    let mut head_dim: Option<usize> = fields.take("head_dim")?;
    if head_dim.is_some_and(|size| architecture != Architecture::Llama && size.checked_mul(heads) == Some(hidden_size))
    {
        head_dim = None;
    }
    if !neox && !rope.share.is_none_or(|share| share == 1.0) {
        return Err("partial_rotary_factor: only 1 is supported".to_owned());
    }
    fields.must_be("pretraining_tp", 1)?;
    let max_position_embeddings = fields.need("max_position_embeddings")?;
    let model = Model {
        architecture,
        vocab_size: fields.need("vocab_size")?,
        hidden_size,
        intermediate_size: fields.need("intermediate_size")?,
        num_hidden_layers: fields.need("num_hidden_layers")?,
        num_attention_heads: heads,
        num_key_value_heads: key_heads.unwrap_or(heads),
        head_dim,
        max_position_embeddings,
        rope_theta: rope.theta.unwrap_or(10_000.0),
        rope_scaling: rope.scaling,
        rotary_pct: neox.then(|| rope.share.unwrap_or(0.25)),
        rms_norm_eps: match architecture {
            Architecture::GptNeox | Architecture::Olmo | Architecture::Own => None,
            Architecture::Llama => Some(fields.take("rms_norm_eps")?.unwrap_or(1e-6)),
            Architecture::Olmo2 | Architecture::Olmo3 => Some(fields.take("rms_norm_eps")?.unwrap_or(1e-5)),
        },
        layer_norm_eps: match neox {
            true => Some(fields.take("layer_norm_eps")?.unwrap_or(1e-5)),
            false => None,
        },
        use_parallel_residual: match neox {
            true => Some(fields.take("use_parallel_residual")?.unwrap_or(true)),
            false => None,
        },
        hidden_act,
        attention_bias: fields.take("attention_bias")?.unwrap_or(neox),
        mlp_bias: fields.take("mlp_bias")?.unwrap_or(false),
        clip_qkv: fields.take("clip_qkv")?,
        sliding_window: match architecture {
            Architecture::Olmo3 => Some(fields.take("sliding_window")?.unwrap_or(4096)),
            _ => fields.take("sliding_window")?,
        },
        layer_types: fields.take::<Vec<LayerType>>("layer_types")?,
        tie_word_embeddings: fields.take("tie_word_embeddings")?.unwrap_or(false),
        initializer_range: fields.take("initializer_range")?.unwrap_or(0.02),
    };
    let unknown = fields.0.iter().find(|(name, value)| !value.is_null() && !IGNORED.contains(&name.as_str()));
    if let Some((name, _)) = unknown {
        return Err(format!("{name}: is unknown, so its effect would be missing"));
    }
    model.check().map_err(|(field, what)| format!("{}: {what}", field.trim_start_matches("model.")))?;
    Ok(model)
}

/// The `config.json` of a model, in the format of transformers 5; earlier versions can read it too, because the fields
/// that they need are also written.
pub(crate) fn to_json(model: &Model) -> Value {
    let class = match model.architecture {
        Architecture::Llama => "LlamaForCausalLM",
        Architecture::GptNeox => "GPTNeoXForCausalLM",
        Architecture::Olmo => "OlmoForCausalLM",
        Architecture::Olmo2 => "Olmo2ForCausalLM",
        Architecture::Olmo3 => "Olmo3ForCausalLM",
        // transformers has no such class, and reports that when it reads the file.
        Architecture::Own => "Own",
    };
    let mut json = json!({
        "architectures": [class],
        "model_type": model.architecture.name(),
        "vocab_size": model.vocab_size,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.intermediate_size,
        "num_hidden_layers": model.num_hidden_layers,
        "num_attention_heads": model.num_attention_heads,
        "max_position_embeddings": model.max_position_embeddings,
        "initializer_range": model.initializer_range,
        "attention_bias": model.attention_bias,
        "tie_word_embeddings": model.tie_word_embeddings,
        "torch_dtype": "float32",
    });
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            json[name] = value;
        }
    };
    if model.architecture == Architecture::GptNeox {
        put("rotary_emb_base", json!(model.rope_theta));
        put("rotary_pct", json!(model.rotary_pct));
    } else {
        put("num_key_value_heads", json!(model.num_key_value_heads));
        put("rope_theta", json!(model.rope_theta));
        put("hidden_act", json!("silu"));
    }
    if model.architecture == Architecture::Llama {
        put("mlp_bias", json!(model.mlp_bias));
    }
    put("rope_scaling", json!(model.rope_scaling));
    put("head_dim", json!(model.head_dim));
    put("rms_norm_eps", json!(model.rms_norm_eps));
    put("layer_norm_eps", json!(model.layer_norm_eps));
    put("use_parallel_residual", json!(model.use_parallel_residual));
    put("hidden_act", json!(model.hidden_act));
    put("clip_qkv", json!(model.clip_qkv));
    put("sliding_window", json!(model.sliding_window));
    put("layer_types", json!(model.layer_types));
    json
}

//! `config.json` of transformers, in the format of its version 5 and in the one before.

use retrace_spec::Model;
use retrace_spec::model::{Activation, Architecture, LayerType, RopeScaling, UsesRope};
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

/// Why a `config.json` does not describe a model that is computed here.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is not valid, or has a value that is not supported.
    Invalid(String),
    /// It is of an architecture that is not computed here, with this name.
    NotComputed(String),
}

impl From<String> for Refused {
    fn from(what: String) -> Self {
        Self::Invalid(what)
    }
}

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

/// What is said of single layers.
struct Layers {
    sliding_window: Option<usize>,
    layer_types: Option<Vec<LayerType>>,
    no_rope_layers: Option<Vec<UsesRope>>,
}

/// What is said of each of `layers` layers, with what transformers assumes where nothing is said
/// (`Qwen3Config.__post_init__` and `SmolLM3Config.__post_init__`, 5.24.0). A list without sliding attention is left out.
fn take_layers(fields: &mut Fields, architecture: Architecture, layers: usize) -> Result<Layers, String> {
    let no_rope_layers = match architecture {
        Architecture::SmolLm3 => Some(take_no_rope_layers(fields, layers)?),
        _ => None,
    };
    let sliding_window = fields.take("sliding_window")?;
    let layer_types = fields.take::<Vec<LayerType>>("layer_types")?;
    if !matches!(architecture, Architecture::Qwen3 | Architecture::SmolLm3) {
        let usual = (architecture == Architecture::Olmo3).then_some(4096);
        return Ok(Layers { sliding_window: sliding_window.or(usual), layer_types, no_rope_layers });
    }
    if let Some(types) = layer_types.as_ref().filter(|types| types.len() != layers) {
        return Err(format!("layer_types: lists {} layers of {layers}", types.len()));
    }
    let first_with_window: usize = fields.take("max_window_layers")?.unwrap_or(28);
    let slides = |layer_types: &[LayerType]| layer_types.contains(&LayerType::Sliding);
    if !fields.take("use_sliding_window")?.unwrap_or(false) {
        return match layer_types {
            // Transformers' implementations of attention do not agree whether such a layer slides.
            Some(types) if slides(&types) => {
                Err("layer_types: has sliding_attention, but use_sliding_window is false".to_owned())
            }
            _ => Ok(Layers { sliding_window: None, layer_types: None, no_rope_layers }),
        };
    }
    if sliding_window.is_none() {
        return Err("sliding_window: is missing, but use_sliding_window is true".to_owned());
    }
    let usual = |layer: usize| match no_rope_layers.as_ref().map(|uses| uses.get(layer)) {
        None if layer >= first_with_window => LayerType::Sliding,
        Some(Some(UsesRope::No)) => LayerType::Sliding,
        _ => LayerType::Full,
    };
    let layer_types = layer_types.unwrap_or_else(|| (0..layers).map(usual).collect());
    match slides(&layer_types) {
        true => Ok(Layers { sliding_window, layer_types: Some(layer_types), no_rope_layers }),
        false => Ok(Layers { sliding_window: None, layer_types: None, no_rope_layers }),
    }
}

/// Which layers of SmolLM3 use RoPE: a list, or else all but every so many.
fn take_no_rope_layers(fields: &mut Fields, layers: usize) -> Result<Vec<UsesRope>, String> {
    let every = fields.take::<usize>("no_rope_layer_interval")?.unwrap_or(4);
    match fields.take("no_rope_layers")? {
        Some(listed) => Ok(listed),
        None if every == 0 => Err("no_rope_layer_interval: 0 is not supported".to_owned()),
        None => {
            let uses = |layer: usize| if (layer + 1).is_multiple_of(every) { UsesRope::No } else { UsesRope::Yes };
            Ok((0..layers).map(uses).collect())
        }
    }
}

/// The model that a `config.json` describes.
pub(crate) fn from_json(text: &str) -> Result<Model, Refused> {
    let map: Map<String, Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut fields = Fields(map);
    let kind: String = fields.need("model_type")?;
    let Some(architecture) = Architecture::ALL.into_iter().find(|family| family.name() == kind) else {
        let class = fields.take::<Vec<String>>("architectures").ok().flatten().unwrap_or_default();
        return Err(Refused::NotComputed(match class.first() {
            Some(class) => format!("{class} (model_type {kind:?})"),
            None => format!("model_type {kind:?}"),
        }));
    };
    Ok(of_family(architecture, fields)?)
}

/// The model of that family which `fields` describe.
fn of_family(architecture: Architecture, mut fields: Fields) -> Result<Model, String> {
    use Architecture::{GptNeox, Llama, Olmo, Olmo2, Olmo3, Own, Qwen3, SmolLm3};
    let neox = architecture == GptNeox;
    let heads: usize = fields.need("num_attention_heads")?;
    let hidden_size: usize = fields.need("hidden_size")?;
    let num_hidden_layers: usize = fields.need("num_hidden_layers")?;
    if num_hidden_layers > Model::MOST_LAYERS {
        return Err(format!("num_hidden_layers: {num_hidden_layers} is more than the limit of {}", Model::MOST_LAYERS));
    }
    let key_heads = match architecture {
        GptNeox => None,
        // Transformers would take 32 or 4, whatever the number of query heads.
        Qwen3 | SmolLm3 => Some(fields.need("num_key_value_heads")?),
        _ => fields.take("num_key_value_heads")?,
    };
    let rope = take_rope(&mut fields, architecture)?;
    let layers = take_layers(&mut fields, architecture, num_hidden_layers)?;
    let hidden_act = match neox {
        true => Some(fields.take::<Activation>("hidden_act")?.unwrap_or(Activation::Gelu)),
        false => {
            fields.must_be("hidden_act", "silu".to_owned())?;
            None
        }
    };
    let said: Option<usize> = fields.take("head_dim")?;
    let head_dim = match architecture {
        Qwen3 => Some(said.unwrap_or(128)),
        Llama | SmolLm3 => said,
        _ => said.filter(|size| size.checked_mul(heads) != Some(hidden_size)),
    };
    let attention_bias = fields.take("attention_bias")?.unwrap_or(neox);
    if architecture == Qwen3 {
        // Levanter writes it; transformers does not read it.
        fields.must_be("no_bias", !attention_bias)?;
    }
    if !neox && !rope.share.is_none_or(|share| share == 1.0) {
        return Err("partial_rotary_factor: only 1 is supported".to_owned());
    }
    if architecture == SmolLm3 {
        // The published files have 2; transformers does not read it.
        fields.take::<usize>("pretraining_tp")?;
    }
    fields.must_be("pretraining_tp", 1)?;
    let max_position_embeddings = fields.need("max_position_embeddings")?;
    let model = Model {
        architecture,
        vocab_size: fields.need("vocab_size")?,
        hidden_size,
        intermediate_size: fields.need("intermediate_size")?,
        num_hidden_layers,
        num_attention_heads: heads,
        num_key_value_heads: key_heads.unwrap_or(heads),
        head_dim,
        max_position_embeddings,
        rope_theta: rope.theta.unwrap_or(if architecture == SmolLm3 { 2e6 } else { 1e4 }),
        rope_scaling: rope.scaling,
        rotary_pct: neox.then(|| rope.share.unwrap_or(0.25)),
        rms_norm_eps: match architecture {
            GptNeox | Olmo | Own => None,
            Llama | Qwen3 | SmolLm3 => Some(fields.take("rms_norm_eps")?.unwrap_or(1e-6)),
            Olmo2 | Olmo3 => Some(fields.take("rms_norm_eps")?.unwrap_or(1e-5)),
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
        attention_bias,
        mlp_bias: fields.take("mlp_bias")?.unwrap_or(false),
        clip_qkv: fields.take("clip_qkv")?,
        sliding_window: layers.sliding_window,
        layer_types: layers.layer_types,
        no_rope_layers: layers.no_rope_layers,
        tie_word_embeddings: fields.take("tie_word_embeddings")?.unwrap_or(architecture == SmolLm3),
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
        Architecture::Qwen3 => "Qwen3ForCausalLM",
        Architecture::SmolLm3 => "SmolLM3ForCausalLM",
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
    if matches!(model.architecture, Architecture::Llama | Architecture::SmolLm3) {
        put("mlp_bias", json!(model.mlp_bias));
    }
    if matches!(model.architecture, Architecture::Qwen3 | Architecture::SmolLm3) {
        put("use_sliding_window", json!(model.sliding_window.is_some()));
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
    put("no_rope_layers", json!(model.no_rope_layers));
    if model.architecture == Architecture::SmolLm3 {
        // If they are missing, transformers takes those of the released model, which the vocabulary may not have.
        for token in ["bos_token_id", "eos_token_id", "pad_token_id"] {
            json[token] = Value::Null;
        }
    }
    json
}

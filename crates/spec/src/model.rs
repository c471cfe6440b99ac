//! A language model's shape, with the field names of a Hugging Face `config.json`.

use serde::{Deserialize, Serialize};

use crate::document::Complaint;

/// A decoder of one of the supported families. Fields that a family does not have are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The family.
    pub architecture: Architecture,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; the number of query heads is a multiple of it, and each serves the same number of query
    /// heads.
    pub num_key_value_heads: usize,
    /// Elements per head. Qwen3; Llama and SmolLM3, where it is `hidden_size` / `num_attention_heads` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// RoPE's base.
    pub rope_theta: f64,
    /// How RoPE is stretched beyond the length that a model was first trained on. Llama, Qwen3 and SmolLM3; OLMo 3, in
    /// layers with full attention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// The fraction of each head's elements that RoPE rotates. GPT-NeoX only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotary_pct: Option<f64>,
    /// RMSNorm's epsilon. Llama, OLMo 2 and 3, Qwen3, SmolLM3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rms_norm_eps: Option<f64>,
    /// LayerNorm's epsilon. GPT-NeoX; OLMo 1 uses 1e−5 always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_norm_eps: Option<f64>,
    /// GPT-NeoX: whether attention and feed-forward block read the same input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_parallel_residual: Option<bool>,
    /// GPT-NeoX: which form of GELU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_act: Option<Activation>,
    /// Whether projections of the attention block have biases.
    #[serde(default, skip_serializing_if = "is_false")]
    pub attention_bias: bool,
    /// Whether projections of the feed-forward block have biases. Llama and SmolLM3; GPT-NeoX always does.
    #[serde(default, skip_serializing_if = "is_false")]
    pub mlp_bias: bool,
    /// OLMo 1: queries, keys and values are clipped to this absolute value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_qkv: Option<f64>,
    /// How many positions a query of a layer with sliding attention sees, including its own. OLMo 3; Qwen3 and SmolLM3,
    /// if `layer_types` has such layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sliding_window: Option<usize>,
    /// Each layer's attention. If left out: in OLMo 3, three sliding and one full, repeated; in Qwen3 and SmolLM3, all
    /// full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_types: Option<Vec<LayerType>>,
    /// SmolLM3: which layers use RoPE, 1, and which do not, 0. In spite of the field's name, which is transformers', a
    /// layer with 1 uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_rope_layers: Option<Vec<UsesRope>>,
    /// Whether the output head shares its weights with the embedding.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tie_word_embeddings: bool,
    /// Standard deviation of the initial weights.
    pub initializer_range: f64,
}

const fn is_false(value: &bool) -> bool {
    !*value
}

/// The families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// RMSNorm, RoPE, SwiGLU, grouped-query attention: Llama, MAP-Neo, Amber.
    Llama,
    /// LayerNorm, partial RoPE, GELU, biases, a parallel residual: Pythia.
    GptNeox,
    /// LayerNorm without parameters, SwiGLU, clipped projections.
    Olmo,
    /// RMSNorm after each block, and on queries and keys.
    Olmo2,
    /// OLMo 2 with sliding windows.
    Olmo3,
    /// Llama with RMSNorm on each head's queries and keys: Qwen3, Marin's Delphi.
    Qwen3,
    /// Llama with layers that do not use RoPE.
    #[serde(rename = "smollm3")]
    SmolLm3,
    /// A module of the user's own, passed to the library; this program without it cannot compute the model. The module
    /// defines the meaning of the other fields.
    Own,
}

impl Architecture {
    /// All families.
    pub const ALL: [Self; 8] =
        [Self::Llama, Self::GptNeox, Self::Olmo, Self::Olmo2, Self::Olmo3, Self::Qwen3, Self::SmolLm3, Self::Own];

    /// The name that Hugging Face uses, and this crate's documents too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::GptNeox => "gpt_neox",
            Self::Olmo => "olmo",
            Self::Olmo2 => "olmo2",
            Self::Olmo3 => "olmo3",
            Self::Qwen3 => "qwen3",
            Self::SmolLm3 => "smollm3",
            Self::Own => "own",
        }
    }
}

/// The forms of GELU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// With the error function.
    #[serde(rename = "gelu")]
    Gelu,
    /// With tanh.
    #[serde(rename = "gelu_new", alias = "gelu_fast", alias = "gelu_pytorch_tanh")]
    GeluNew,
}

/// Which positions a layer's queries see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LayerType {
    /// The last `sliding_window` positions.
    #[serde(rename = "sliding_attention")]
    Sliding,
    /// All earlier positions.
    #[serde(rename = "full_attention")]
    Full,
}

/// Whether a layer uses RoPE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum UsesRope {
    /// It does not.
    No,
    /// It does.
    Yes,
}

impl TryFrom<u8> for UsesRope {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            0 => Ok(Self::No),
            1 => Ok(Self::Yes),
            _ => Err(format!("{number} is neither 1, a layer with RoPE, nor 0, a layer without")),
        }
    }
}

impl From<UsesRope> for u8 {
    fn from(uses: UsesRope) -> Self {
        match uses {
            UsesRope::No => 0,
            UsesRope::Yes => 1,
        }
    }
}

/// How RoPE's frequencies are stretched, as Hugging Face computes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "rope_type", rename_all = "snake_case")]
pub enum RopeScaling {
    /// Every frequency divided by `factor` (Chen et al., 2023).
    Linear {
        /// How much longer sequences become.
        factor: f64,
    },
    /// A larger base where a sequence is longer than `max_position_embeddings`.
    Dynamic {
        /// How much longer sequences may become.
        factor: f64,
    },
    /// Llama 3.1's: low frequencies are divided, high ones are kept, those between are blended.
    Llama3 {
        /// Divisor of low frequencies.
        factor: f64,
        /// Wavelengths over the original length divided by this are low frequencies.
        low_freq_factor: f64,
        /// Wavelengths under the original length divided by this are high frequencies.
        high_freq_factor: f64,
        /// The length that the model was first trained on.
        original_max_position_embeddings: usize,
    },
    /// YaRN (Peng et al., 2023).
    Yarn {
        /// How much longer sequences become.
        factor: f64,
        /// The length that the model was first trained on.
        original_max_position_embeddings: usize,
        /// Factor of cosines and sines; 0.1·ln(factor) + 1 if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attention_factor: Option<f64>,
        /// A frequency with at least this many turns within the original length is kept; 32 if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beta_fast: Option<f64>,
        /// A frequency with at most this many turns within the original length is divided; 1 if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beta_slow: Option<f64>,
    },
}

/// OLMo 1's epsilon.
const OLMO_EPSILON: f64 = 1e-5;
/// More parameters are refused: 2^40, which are 4 TiB as f32.
const MOST_PARAMETERS: u128 = 1 << 40;

impl Model {
    /// More layers are refused: models have up to a few hundred, and each uses memory before any weight is read.
    pub const MOST_LAYERS: usize = 10_000;

    /// Elements per head.
    pub const fn head_size(&self) -> usize {
        match self.head_dim {
            Some(size) => size,
            None => self.hidden_size / self.num_attention_heads,
        }
    }

    /// The epsilon of its norms.
    pub fn norm_epsilon(&self) -> f64 {
        self.rms_norm_eps.or(self.layer_norm_eps).unwrap_or(OLMO_EPSILON)
    }

    /// The number of elements of its matrices, without biases and the parameters of norms.
    pub fn parameters(&self) -> u128 {
        let wide = |size: usize| size as u128;
        let (hidden, size) = (wide(self.hidden_size), wide(self.head_size()));
        let rows = size * (wide(self.num_attention_heads) + wide(self.num_key_value_heads));
        // The query and output projections, then keys and values; then the feed-forward block's.
        let matrices = if self.architecture == Architecture::GptNeox { 2 } else { 3 };
        let layer = 2 * hidden * rows + matrices * hidden * wide(self.intermediate_size);
        let ends = if self.tie_word_embeddings { 1 } else { 2 };
        wide(self.num_hidden_layers) * layer + ends * hidden * wide(self.vocab_size)
    }

    /// How many of a head's elements RoPE rotates.
    pub fn rotary_size(&self) -> usize {
        match self.rotary_pct {
            Some(share) => (self.head_size() as f64 * share) as usize,
            None => self.head_size(),
        }
    }

    /// How many positions a query of layer `layer` sees, including its own; `None` if all earlier ones.
    pub fn window(&self, layer: usize) -> Option<usize> {
        match self.layer_type(layer) {
            LayerType::Sliding => self.sliding_window,
            LayerType::Full => None,
        }
    }

    /// Whether layer `layer` uses RoPE.
    pub fn uses_rope(&self, layer: usize) -> bool {
        let listed = self.no_rope_layers.as_ref().and_then(|layers| layers.get(layer));
        listed.is_none_or(|uses| *uses == UsesRope::Yes)
    }

    fn layer_type(&self, layer: usize) -> LayerType {
        match (&self.layer_types, self.architecture) {
            (Some(types), _) => types.get(layer).copied().unwrap_or(LayerType::Full),
            (None, Architecture::Olmo3) if !(layer + 1).is_multiple_of(4) => LayerType::Sliding,
            (None, _) => LayerType::Full,
        }
    }

    /// Whether the values are valid together.
    ///
    /// # Errors
    /// The first field that is not valid, and why.
    pub fn check(&self) -> Result<(), Complaint> {
        let complain = |field: &str, what: String| Err((format!("model.{field}"), what));
        positive(&[
            ("model.vocab_size", self.vocab_size),
            ("model.hidden_size", self.hidden_size),
            ("model.intermediate_size", self.intermediate_size),
            ("model.num_hidden_layers", self.num_hidden_layers),
            ("model.num_attention_heads", self.num_attention_heads),
            ("model.num_key_value_heads", self.num_key_value_heads),
            ("model.max_position_embeddings", self.max_position_embeddings),
            ("model.head_dim", self.head_dim.unwrap_or(1)),
            ("model.sliding_window", self.sliding_window.unwrap_or(1)),
        ])?;
        if self.num_hidden_layers > Self::MOST_LAYERS {
            let what = format!("{} is more than the limit of {}", self.num_hidden_layers, Self::MOST_LAYERS);
            return complain("num_hidden_layers", what);
        }
        self.check_family()?;
        let (heads, key_heads) = (self.num_attention_heads, self.num_key_value_heads);
        if self.head_dim.is_none() && !self.hidden_size.is_multiple_of(heads) {
            return complain(
                "num_attention_heads",
                format!("{heads} does not divide hidden_size {}", self.hidden_size),
            );
        }
        if !heads.is_multiple_of(key_heads) {
            return complain("num_key_value_heads", format!("{key_heads} does not divide num_attention_heads {heads}"));
        }
        if self.rotary_pct.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return complain("rotary_pct", "is not a fraction between 0 and 1".to_owned());
        }
        if !self.rotary_size().is_multiple_of(2) {
            let what = format!("RoPE needs an even number of elements per head, not {}", self.rotary_size());
            return complain(if self.rotary_pct.is_some() { "rotary_pct" } else { "num_attention_heads" }, what);
        }
        let parameters = self.parameters();
        if parameters > MOST_PARAMETERS {
            let what = format!("gives {parameters} parameters in all; the limit is 2^40");
            return complain("hidden_size", what);
        }
        within(&[
            ("model.rope_theta", self.rope_theta, 1.0, f64::MAX),
            ("model.rms_norm_eps", self.rms_norm_eps.unwrap_or(0.0), 0.0, 1.0),
            ("model.layer_norm_eps", self.layer_norm_eps.unwrap_or(0.0), 0.0, 1.0),
            ("model.clip_qkv", self.clip_qkv.unwrap_or(1.0), f64::MIN_POSITIVE, f64::MAX),
            ("model.initializer_range", self.initializer_range, 0.0, 1.0),
        ])?;
        self.rope_scaling.as_ref().map_or(Ok(()), RopeScaling::check)
    }

    /// Whether it has the fields that its family needs, and no others.
    fn check_family(&self) -> Result<(), Complaint> {
        use Architecture::{GptNeox, Llama, Olmo, Olmo2, Olmo3, Qwen3, SmolLm3};
        let family = self.architecture;
        let needs: [(&str, bool, &[Architecture]); 6] = [
            ("rms_norm_eps", self.rms_norm_eps.is_some(), &[Llama, Olmo2, Olmo3, Qwen3, SmolLm3]),
            ("layer_norm_eps", self.layer_norm_eps.is_some(), &[GptNeox]),
            ("rotary_pct", self.rotary_pct.is_some(), &[GptNeox]),
            ("use_parallel_residual", self.use_parallel_residual.is_some(), &[GptNeox]),
            ("hidden_act", self.hidden_act.is_some(), &[GptNeox]),
            ("no_rope_layers", self.no_rope_layers.is_some(), &[SmolLm3]),
        ];
        let may: [(&str, bool, &[Architecture]); 6] = [
            ("head_dim", self.head_dim.is_some(), &[Llama, Qwen3, SmolLm3]),
            ("rope_scaling", self.rope_scaling.is_some(), &[Llama, Olmo3, Qwen3, SmolLm3]),
            ("mlp_bias", self.mlp_bias, &[Llama, SmolLm3]),
            ("clip_qkv", self.clip_qkv.is_some(), &[Olmo]),
            ("sliding_window", self.sliding_window.is_some(), &[Olmo3, Qwen3, SmolLm3]),
            ("layer_types", self.layer_types.is_some(), &[Olmo3, Qwen3, SmolLm3]),
        ];
        let complain = |field: &str, what: String| Err((format!("model.{field}"), what));
        for (field, there, families) in needs {
            if families.contains(&family) && !there {
                return complain(field, format!("is missing; {} needs it", family.name()));
            }
            if !families.contains(&family) && there {
                return complain(field, format!("does not belong to {}", family.name()));
            }
        }
        for (field, there, families) in may {
            if there && !families.contains(&family) {
                return complain(field, format!("does not belong to {}", family.name()));
            }
        }
        if family == GptNeox && self.num_key_value_heads != self.num_attention_heads {
            return complain("num_key_value_heads", "differs from num_attention_heads; gpt_neox has no groups".into());
        }
        // Transformers would take 128 for it.
        if family == Qwen3 && self.head_dim.is_none() {
            return complain("head_dim", "is missing; qwen3 needs it".into());
        }
        self.check_layers()
    }

    /// Whether what is said of single layers is valid. A model has one description: a run that states its model and the
    /// `config.json` of its checkpoints are compared.
    fn check_layers(&self) -> Result<(), Complaint> {
        let complain = |field: &str, what: String| Err((format!("model.{field}"), what));
        let slides = self.layer_types.as_ref().map(|types| types.contains(&LayerType::Sliding));
        let olmo3 = self.architecture == Architecture::Olmo3;
        match (slides, self.sliding_window) {
            (_, None) if olmo3 => return complain("sliding_window", "is missing; olmo3 needs it".into()),
            (Some(true), None) => {
                return complain("sliding_window", "is missing; layer_types has sliding_attention".into());
            }
            (None, Some(_)) if !olmo3 => {
                return complain("sliding_window", "has no effect without layer_types".into());
            }
            (Some(false), _) if !olmo3 => {
                return complain("layer_types", "has no sliding_attention; leave it out".into());
            }
            _ => {}
        }
        for (field, listed) in [
            ("layer_types", self.layer_types.as_ref().map(Vec::len)),
            ("no_rope_layers", self.no_rope_layers.as_ref().map(Vec::len)),
        ] {
            if let Some(listed) = listed.filter(|listed| *listed != self.num_hidden_layers) {
                return complain(field, format!("lists {listed} layers of {}", self.num_hidden_layers));
            }
        }
        Ok(())
    }
}

impl RopeScaling {
    fn check(&self) -> Result<(), Complaint> {
        let (Self::Linear { factor }
        | Self::Dynamic { factor }
        | Self::Llama3 { factor, .. }
        | Self::Yarn { factor, .. }) = self;
        within(&[("model.rope_scaling.factor", *factor, 1.0, 1e6)])?;
        match self {
            Self::Linear { .. } | Self::Dynamic { .. } => Ok(()),
            Self::Llama3 { low_freq_factor, high_freq_factor, original_max_position_embeddings, .. } => {
                positive(&[(
                    "model.rope_scaling.original_max_position_embeddings",
                    *original_max_position_embeddings,
                )])?;
                within(&[("model.rope_scaling.low_freq_factor", *low_freq_factor, f64::MIN_POSITIVE, 1e6)])?;
                if high_freq_factor <= low_freq_factor {
                    let what = format!("{high_freq_factor} is not above low_freq_factor {low_freq_factor}");
                    return Err(("model.rope_scaling.high_freq_factor".to_owned(), what));
                }
                Ok(())
            }
            Self::Yarn { original_max_position_embeddings, attention_factor, beta_fast, beta_slow, .. } => {
                positive(&[(
                    "model.rope_scaling.original_max_position_embeddings",
                    *original_max_position_embeddings,
                )])?;
                let least = f64::MIN_POSITIVE;
                within(&[
                    ("model.rope_scaling.attention_factor", attention_factor.unwrap_or(1.0), least, 1e6),
                    ("model.rope_scaling.beta_fast", beta_fast.unwrap_or(32.0), least, 1e6),
                    ("model.rope_scaling.beta_slow", beta_slow.unwrap_or(1.0), least, 1e6),
                ])
            }
        }
    }
}

/// Returns an error for a size that is 0 or much too large.
pub(crate) fn positive(values: &[(&str, usize)]) -> Result<(), Complaint> {
    match values.iter().find(|(_, value)| !(1..=1 << 30).contains(value)) {
        Some((field, value)) => Err(((*field).to_owned(), format!("{value} is not between 1 and 2^30"))),
        None => Ok(()),
    }
}

/// Returns an error for a value that is not in its range, or is NaN.
pub(crate) fn within(ranges: &[(&str, f64, f64, f64)]) -> Result<(), Complaint> {
    match ranges.iter().find(|(_, value, least, most)| !(least..=most).contains(&value)) {
        Some((field, value, least, most)) => {
            Err(((*field).to_owned(), format!("{value} is not between {least} and {most}")))
        }
        None => Ok(()),
    }
}

//! The methods by name.

use serde::{Deserialize, Serialize};

/// How items are searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Ours: common spans in order, weighted by rarity, the parts of an item told apart.
    Spans,
    /// GPT-3 (Brown et al. 2020, appendix C): any n-gram of words, n from 8 to 13 by the benchmark.
    Gpt3,
    /// PaLM (Chowdhery et al. 2022): 70 % of an item's 8-grams of words.
    Palm,
    /// Llama 2 (Touvron et al. 2023, appendix A.6): 80 % of an item's units in spans of more than ten.
    Llama2,
    /// OLMo (Paloma, Magnusson et al. 2023): a whole paragraph of at least 13 words.
    Olmo,
    /// decon (OLMo 3): sampled 5-grams weighted by their rarity among items.
    Decon,
}

impl Method {
    /// All methods, ours first.
    pub const ALL: [Self; 6] = [Self::Spans, Self::Gpt3, Self::Palm, Self::Llama2, Self::Olmo, Self::Decon];

    /// The name that it is called by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Gpt3 => "gpt3",
            Self::Palm => "palm",
            Self::Llama2 => "llama2",
            Self::Olmo => "olmo",
            Self::Decon => "decon",
        }
    }

    /// The method called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

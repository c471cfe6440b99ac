//! Requests as tokens, by the rules of lm-evaluation-harness 0.4.13 (its model `hf`, with transformers 5).
//!
//! Tokens depend on the tokenizer's files and not on the weights: requests are encoded once for all checkpoints with the
//! same tokenizer.

use rayon::prelude::*;
use retrace_corpus::PromptTokenizer;
use retrace_corpus::tokenizer::Tokenizer;
use retrace_files::Root;
use retrace_harness::{Generation, Request};
use retrace_spec::Digest;
use serde_json::{Map, Value};

use crate::EvalError;

/// The greatest number of tokens that are generated, if neither the request nor the task says one.
const MOST_GENERATED: usize = 256;
/// No configuration of a tokenizer is longer than this.
const LONGEST_CONFIG: u64 = 64 << 20;
/// Settings of a generation that change nothing if the most likely token is always chosen.
const WITHOUT_EFFECT: [&str; 6] = ["until", "do_sample", "temperature", "top_p", "top_k", "min_p"];
/// The names of the greatest number of tokens, the first that is there counts.
const MOST_NAMES: [&str; 4] = ["max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens"];
/// Settings of a model's generation that change what is generated, with the values that change nothing.
const NEUTRAL: [(&str, f64); 5] = [
    ("repetition_penalty", 1.0),
    ("no_repeat_ngram_size", 0.0),
    ("encoder_repetition_penalty", 1.0),
    ("num_beams", 1.0),
    ("min_new_tokens", 0.0),
];

/// A request as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// How likely a continuation of a context is.
    Continuation {
        /// The tokens before it; not empty.
        context: Vec<u32>,
        /// Its tokens; not empty.
        continuation: Vec<u32>,
    },
    /// How likely a text is.
    Text {
        /// The token before the text.
        prefix: u32,
        /// Its tokens.
        tokens: Vec<u32>,
    },
    /// What the model writes after a context.
    Generation {
        /// The tokens before it; not empty.
        context: Vec<u32>,
        /// The text ends before each of these. The last one is the end of a text, if the tokenizer has one.
        until: Vec<String>,
        /// The greatest number of tokens.
        most: usize,
    },
}

/// How a model is prompted: its tokenizer, and its special tokens.
#[derive(Debug)]
pub struct Prompts {
    tokenizer: PromptTokenizer,
    digest: Digest,
    /// The token before a text without context: the begin of a text, or else its end.
    prefix: u32,
    prefix_text: String,
    /// The end of a text, as it is spelled.
    end: Option<String>,
    /// The tokens after which nothing is generated.
    ends: Vec<u32>,
    added: Added,
}

/// What is added to a text.
#[derive(Debug, Clone, Copy)]
enum Added {
    Nothing,
    /// What the `tokenizer.json` says.
    ByTokenizer,
    /// The begin of a text, if there is such a token.
    Begin(Option<u32>),
}

impl Prompts {
    /// Reads how the model in `directory` is prompted: `tokenizer.json` and, if they are there, `tokenizer_config.json`,
    /// `special_tokens_map.json`, `generation_config.json` and `config.json`. `add_bos` is the harness's argument
    /// `add_bos_token`.
    ///
    /// # Errors
    /// If a file cannot be read, or contains a setting that would change answers and is not supported.
    pub fn read(directory: &Root, add_bos: Option<bool>) -> Result<Self, EvalError> {
        let tokenizer = Tokenizer::read(directory.file(&path("tokenizer.json")?)?)?;
        let config = object(directory, "tokenizer_config.json")?;
        let map = object(directory, "special_tokens_map.json")?;
        let refuse = |file: &str, what: String| EvalError::Prompts { path: directory.path().join(file), what };
        if flag(&config, "clean_up_tokenization_spaces") == Some(true) {
            let what = "clean_up_tokenization_spaces: only false is supported".to_owned();
            return Err(refuse("tokenizer_config.json", what));
        }
        if flag(&config, "split_special_tokens") == Some(true) {
            return Err(refuse("tokenizer_config.json", "split_special_tokens: only false is supported".to_owned()));
        }
        let named = |name: &str| config.get(name).or_else(|| map.get(name)).and_then(spelled);
        let all: Vec<&str> =
            ["bos_token", "eos_token", "unk_token", "pad_token"].into_iter().filter_map(named).collect();
        let prompts = tokenizer.for_prompts(&all)?;
        let id = |name: &str| match named(name) {
            None => Ok(None),
            Some(token) => match prompts.id_of(token) {
                Some(id) => Ok(Some(id)),
                None => Err(refuse("tokenizer_config.json", format!("{name}: the tokenizer has no token {token:?}"))),
            },
        };
        let (begin, end) = (id("bos_token")?, id("eos_token")?);
        let Some(prefix) = begin.or(end) else {
            let what = "neither bos_token nor eos_token is named, so a text without context has no beginning";
            return Err(refuse("tokenizer_config.json", what.to_owned()));
        };
        // With a `tokenizer.json`, transformers 5 ignores add_bos_token and add_eos_token of its configuration, and a
        // tokenizer of GPT-NeoX adds nothing.
        let class = config.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
        let added = match add_bos {
            None if class.starts_with("GPTNeoXTokenizer") => Added::Nothing,
            None => Added::ByTokenizer,
            Some(true) => Added::Begin(begin),
            Some(false) => Added::Nothing,
        };
        let ends = ends(directory)?;
        let decides = (tokenizer.digest().to_string(), &all, begin, end, format!("{added:?}"), &ends);
        Ok(Self {
            digest: Digest::of(format!("{decides:?}").as_bytes()),
            prefix,
            prefix_text: prompts.decode(&[prefix], false)?,
            end: named("eos_token").map(str::to_owned),
            ends,
            added,
            tokenizer: prompts,
        })
    }

    /// The digest of the tokenizer's file and of everything else that decides how requests become tokens, and tokens
    /// text.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The tokens after which nothing is generated.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The text of tokens that were generated, without special tokens if `plain`.
    pub(crate) fn text(&self, tokens: &[u32], plain: bool) -> Result<String, EvalError> {
        Ok(self.tokenizer.decode(tokens, plain)?)
    }

    /// The number of tokens of a text on its own.
    pub(crate) fn length(&self, text: &str) -> Result<usize, EvalError> {
        Ok(self.tokenizer.encode(text, false)?.len())
    }

    /// The requests as tokens.
    ///
    /// # Errors
    /// If a request cannot be answered: the error has its index.
    pub fn ask(&self, requests: &[Request]) -> Result<Vec<Ask>, EvalError> {
        let ask = |(request, asked): (usize, &Request)| {
            self.one(asked).map_err(|why| match why {
                Why::Refused(what) => EvalError::Request { request, what },
                Why::Failed(error) => error,
            })
        };
        requests.par_iter().enumerate().map(ask).collect()
    }

    fn one(&self, request: &Request) -> Result<Ask, Why> {
        match request {
            Request::Continuation { context, continuation } => {
                let (context, continuation) = match context.is_empty() {
                    true => {
                        let tokens = self.tokenizer.encode(continuation, false).map_err(EvalError::from)?;
                        match tokens.split_first() {
                            // The continuation already begins with the beginning of a text.
                            Some((first, rest)) if *first == self.prefix => (vec![*first], rest.to_vec()),
                            _ => (vec![self.prefix], tokens),
                        }
                    }
                    false => self.pair(context, continuation)?,
                };
                if context.is_empty() || continuation.is_empty() {
                    let which = if context.is_empty() { "context" } else { "continuation" };
                    return Err(Why::Refused(format!("the {which} has no tokens")));
                }
                Ok(Ask::Continuation { context, continuation })
            }
            Request::Text { text } => Ok(Ask::Text { prefix: self.prefix, tokens: self.encode(text)? }),
            Request::Generation { context, settings } => {
                let (mut until, most) = settings_of(settings)?;
                if let Some(end) = self.end.as_ref().filter(|end| !until.contains(end)) {
                    until.push(end.clone());
                }
                let context = self.encode(context)?;
                match context.is_empty() {
                    true => Err(Why::Refused("the context has no tokens".to_owned())),
                    false => Ok(Ask::Generation { context, until, most }),
                }
            }
        }
    }

    /// A text's tokens, with what is added to it unless it spells the beginning of a text itself.
    fn encode(&self, text: &str) -> Result<Vec<u32>, EvalError> {
        let added = if text.starts_with(&self.prefix_text) { Added::Nothing } else { self.added };
        let by_tokenizer = matches!(added, Added::ByTokenizer);
        let tokens = self.tokenizer.encode(text, by_tokenizer)?;
        Ok(match added {
            Added::Nothing | Added::ByTokenizer => tokens,
            Added::Begin(begin) => begin.into_iter().chain(tokens).collect(),
        })
    }

    /// Context and continuation are encoded together and split after as many tokens as the context alone has. White
    /// space at the context's end is moved to the continuation first.
    fn pair(&self, context: &str, continuation: &str) -> Result<(Vec<u32>, Vec<u32>), EvalError> {
        let bare = context.trim_end_matches(is_space);
        let mut whole = self.encode(&format!("{context}{continuation}"))?;
        let context = self.encode(bare)?;
        let continuation = whole.split_off(context.len().min(whole.len()));
        Ok((context, continuation))
    }
}

/// Why a request has no tokens.
enum Why {
    Refused(String),
    Failed(EvalError),
}

impl From<EvalError> for Why {
    fn from(error: EvalError) -> Self {
        Self::Failed(error)
    }
}

/// What Python's `str.rstrip` removes: white space, and the four separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Where a generation ends. Only the most likely token can be chosen.
fn settings_of(settings: &Generation) -> Result<(Vec<String>, usize), Why> {
    let refuse = |what: String| Err(Why::Refused(what));
    let written = settings.written.to_json();
    let number = |name: &str| written.get(name).and_then(Value::as_f64);
    let sampled = match written.get("do_sample") {
        None | Some(Value::Null) => number("temperature").unwrap_or(0.0) > 0.0,
        Some(says) => says != &Value::Bool(false),
    };
    if sampled {
        return refuse(
            "tokens are to be sampled (do_sample, temperature), and only the most likely can be chosen".to_owned(),
        );
    }
    let known = |name: &str| WITHOUT_EFFECT.contains(&name) || MOST_NAMES.contains(&name);
    let neutral = |name: &str, value: &Value| {
        NEUTRAL.iter().any(|(known, neutral)| *known == name && value.as_f64() == Some(*neutral))
    };
    if let Some((name, _)) =
        written.iter().find(|(name, value)| !known(name) && !neutral(name, value) && !value.is_null())
    {
        return refuse(format!("the setting {name} of a generation is not supported"));
    }
    let said = settings.max_gen_toks.map(|most| Value::from(most as u64));
    let most = match said
        .as_ref()
        .or_else(|| MOST_NAMES.iter().find_map(|name| written.get(*name).filter(|v| !v.is_null())))
    {
        None => Some(MOST_GENERATED),
        Some(most) => most.as_u64().and_then(|most| usize::try_from(most).ok()).filter(|most| *most > 0),
    };
    match most {
        Some(most) => Ok((settings.until.clone(), most)),
        None => refuse("the greatest number of generated tokens is not a positive number".to_owned()),
    }
}

fn path(name: &str) -> Result<retrace_spec::RelPath, EvalError> {
    name.parse().map_err(|e: retrace_spec::PathError| EvalError::Prompts { path: name.into(), what: e.to_string() })
}

/// The object in a JSON file; empty, if there is no such file.
fn object(directory: &Root, name: &str) -> Result<Map<String, Value>, EvalError> {
    if !directory.has(&path(name)?) {
        return Ok(Map::new());
    }
    let text = directory.file(&path(name)?)?.text(LONGEST_CONFIG)?;
    let refuse = |e: serde_json::Error| EvalError::Prompts { path: directory.path().join(name), what: e.to_string() };
    serde_json::from_str(&text).map_err(refuse)
}

fn flag(config: &Map<String, Value>, name: &str) -> Option<bool> {
    config.get(name).and_then(Value::as_bool)
}

/// A token's spelling: a text, or an object with its content.
fn spelled(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

/// The ids after which the model generates nothing: those of `generation_config.json`, or else of `config.json`.
fn ends(directory: &Root) -> Result<Vec<u32>, EvalError> {
    let name = "generation_config.json";
    let generation = object(directory, name)?;
    let refuse = |file: &str, what: String| EvalError::Prompts { path: directory.path().join(file), what };
    for (setting, neutral) in NEUTRAL {
        if generation.get(setting).is_some_and(|value| !value.is_null() && value.as_f64() != Some(neutral)) {
            return Err(refuse(name, format!("{setting}: is not supported")));
        }
    }
    let (file, found) = match generation.get("eos_token_id") {
        _ if directory.has(&path(name)?) => (name, generation.get("eos_token_id").cloned()),
        _ => ("config.json", object(directory, "config.json")?.remove("eos_token_id")),
    };
    let id = |value: &Value| {
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| refuse(file, "eos_token_id: not a token".to_owned()))
    };
    match found {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(ids)) => ids.iter().map(id).collect(),
        Some(one) => Ok(vec![id(&one)?]),
    }
}

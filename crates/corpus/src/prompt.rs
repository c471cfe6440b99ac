//! Text that was written for a model: a prompt, in which special tokens have their meaning.

use std::path::PathBuf;

use tokenizers::{AddedToken, Tokenizer as Hub};

use crate::CorpusError;
use crate::tokenizer::guarded;

/// A tokenizer for prompts, as Hugging Face's transformers uses it. Unlike in documents of a corpus, text that spells a
/// special token is that token.
#[derive(Debug)]
pub struct PromptTokenizer {
    path: PathBuf,
    hub: Hub,
}

impl PromptTokenizer {
    /// `special` are tokens that are special, even if `hub` has them as tokens of text.
    pub(crate) fn new(path: PathBuf, mut hub: Hub, special: &[&str]) -> Result<Self, CorpusError> {
        let known = special.iter().filter(|token| hub.token_to_id(token).is_some());
        let tokens: Vec<AddedToken> = known.map(|token| AddedToken::from(*token, true)).collect();
        guarded(&path, || hub.add_special_tokens(tokens).map(drop))?;
        hub.set_encode_special_tokens(false);
        Ok(Self { path, hub })
    }

    /// The tokens of `text`, with those that the `tokenizer.json` adds to a text (`post_processor`) if `added`.
    ///
    /// # Errors
    /// If the text cannot be encoded.
    pub fn encode(&self, text: &str, added: bool) -> Result<Vec<u32>, CorpusError> {
        let encoding = guarded(&self.path, || self.hub.encode_fast(text, added))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens, without special tokens if `plain`.
    ///
    /// # Errors
    /// If they cannot be decoded.
    pub fn decode(&self, tokens: &[u32], plain: bool) -> Result<String, CorpusError> {
        guarded(&self.path, || self.hub.decode(tokens, plain))
    }

    /// The id of a token.
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.hub.token_to_id(token)
    }
}

//! Byte-level BPE, trained and applied by the `tokenizers` crate.

use std::path::{Path, PathBuf};

use retrace_files::FileError;
use retrace_spec::Digest;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as Hub};

use crate::CorpusError;

/// A tokenizer, as its `tokenizer.json` has it.
#[derive(Debug)]
pub struct Tokenizer {
    path: PathBuf,
    hub: Hub,
    json: Vec<u8>,
}

impl Tokenizer {
    /// Opens the `tokenizer.json` at `path`.
    ///
    /// # Errors
    /// If it cannot be read, or is not one.
    pub fn open(path: &Path) -> Result<Self, CorpusError> {
        let json = std::fs::read(path).map_err(FileError::io(path, "read"))?;
        let hub = Hub::from_bytes(&json).map_err(|e| refuse(path, &e))?;
        Ok(Self { path: path.to_owned(), hub, json })
    }

    /// Trains a byte-level BPE of `vocab_size` tokens on `texts`; `end_of_text` gets id 0 and the 256
    /// bytes the next ones. `path` is where it will be, and is not touched.
    ///
    /// Equal counts are decided by the tokens' ids and ids follow from the order of merges, so the
    /// same texts give the same bytes, whatever the order of texts or the number of threads.
    ///
    /// # Errors
    /// If the texts cannot be trained on.
    pub fn train<'a>(
        path: &Path,
        texts: impl Iterator<Item = &'a str> + Send,
        vocab_size: usize,
        end_of_text: &str,
    ) -> Result<Self, CorpusError> {
        let bytes = ByteLevel::default().add_prefix_space(false);
        let mut hub = Hub::new(BPE::default());
        hub.with_pre_tokenizer(Some(bytes)).with_decoder(Some(bytes));
        let trainer = BpeTrainer::builder()
            .show_progress(false)
            .vocab_size(vocab_size)
            .min_frequency(2)
            .special_tokens(vec![AddedToken::from(end_of_text, true)])
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        hub.train(&mut TrainerWrapper::from(trainer), texts).map_err(|e| refuse(path, &e))?;
        let json = hub.to_string(true).map_err(|e| refuse(path, &e))?.into_bytes();
        Ok(Self { path: path.to_owned(), hub, json })
    }

    /// The `tokenizer.json`.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// The digest of the `tokenizer.json`.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.json)
    }

    /// One more than the largest id.
    pub fn vocabulary(&self) -> u32 {
        let largest = self.hub.get_vocab(true).into_values().max();
        largest.map_or(0, |id| id + 1)
    }

    /// The id of a token.
    ///
    /// # Errors
    /// If there is no such token.
    pub fn id_of(&self, token: &str) -> Result<u32, CorpusError> {
        let none = || CorpusError::Tokenizer { path: self.path.clone(), what: format!("it has no token {token:?}") };
        self.hub.token_to_id(token).ok_or_else(none)
    }

    /// The tokens of `text`, with none added.
    ///
    /// # Errors
    /// If the text cannot be encoded.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, CorpusError> {
        let encoding = self.hub.encode_fast(text, false).map_err(|e| refuse(&self.path, &e))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens.
    ///
    /// # Errors
    /// If they cannot be decoded.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, CorpusError> {
        self.hub.decode(tokens, false).map_err(|e| refuse(&self.path, &e))
    }
}

fn refuse(path: &Path, e: &tokenizers::Error) -> CorpusError {
    CorpusError::Tokenizer { path: path.to_owned(), what: e.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 4] =
        ["the cat sat on the mat", "the mat sat on the cat", "猫坐在垫子上，垫子在猫下", "垫子上的猫"];

    fn trained(texts: &[&str], threads: usize) -> Tokenizer {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Tokenizer::train(Path::new("t.json"), texts.iter().copied(), 290, "<|end|>")).unwrap()
    }

    #[test]
    fn training_gives_the_same_bytes_always() {
        let first = trained(&TEXTS, 1);
        let turned: Vec<&str> = TEXTS.into_iter().rev().collect();
        for threads in [1, 2, 5] {
            assert_eq!(trained(&TEXTS, threads).json(), first.json());
            assert_eq!(trained(&turned, threads).json(), first.json());
        }
        assert_eq!(first.id_of("<|end|>").unwrap(), 0);
        assert!(first.id_of("none").is_err());
        // Fewer than asked for: pairs that come once are not merged.
        assert!((258..=290).contains(&first.vocabulary()));
    }

    /// The first merge of the algorithm (Sennrich et al., 2016), by hand: in TEXTS the commonest
    /// pair of bytes within words is `a`, `t` (cat, sat, mat, twice each).
    #[test]
    fn merges_the_commonest_pair_first() {
        let json: serde_json::Value = serde_json::from_slice(trained(&TEXTS[..2], 1).json()).unwrap();
        assert_eq!(json["model"]["merges"][0], serde_json::json!(["a", "t"]));
    }

    #[test]
    fn any_text_comes_back() {
        let tokenizer = trained(&TEXTS, 2);
        for text in ["", "the cat", "  spaces\n\nand\ttabs ", "猫 and 龍 and 🦀", "<|end|>"] {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn a_real_tokenizer_is_opened() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/tokenizers/minimind/tokenizer.json");
        if !path.exists() {
            return;
        }
        let tokenizer = Tokenizer::open(&path).unwrap();
        assert_eq!(tokenizer.vocabulary(), 6400);
        let text = "松下问童子，言师采药去。";
        assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
    }
}

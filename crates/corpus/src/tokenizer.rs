//! Byte-level BPE, trained and applied by the `tokenizers` crate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retrace_files::RegularFile;
use retrace_spec::Digest;
use retrace_spec::foreign::concise;
use retrace_spec::guard;
use serde_json::json;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::{ModelWrapper, TrainerWrapper};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as Hub};

use crate::{CorpusError, PromptTokenizer};

/// No `tokenizer.json` is longer than this: those with the largest vocabularies have some thirty megabytes.
const LONGEST: u64 = 256 << 20;

/// A tokenizer, as defined by its `tokenizer.json`.
#[derive(Debug)]
pub struct Tokenizer {
    path: PathBuf,
    hub: Hub,
    json: Vec<u8>,
    vocabulary: u32,
}

impl Tokenizer {
    /// Reads the `tokenizer.json` that is `file`.
    ///
    /// # Errors
    /// If it cannot be read, or is not valid.
    pub fn read(file: RegularFile) -> Result<Self, CorpusError> {
        let path = file.path().to_owned();
        let json = file.read(LONGEST)?;
        Self::of(&path, read(&path, &json)?, json)
    }

    /// A byte-pair encoding in llama2.c's format: the longest token's length, then each token's score (f32), length
    /// (i32) and bytes, all little-endian; its first ids are unknown, begin, end, and the 256 bytes. Pairs are merged
    /// in descending order of the score of the merged token, and a text begins with a space, as in SentencePiece, from
    /// which it was exported. `path` is the future path of the `tokenizer.json`; it is not accessed.
    ///
    /// # Errors
    /// If `bytes` do not have that format.
    pub fn from_llama2c(path: &Path, bytes: &[u8]) -> Result<Self, CorpusError> {
        let refuse_form = |what: String| CorpusError::Tokenizer { path: path.to_owned(), what };
        let pieces = llama2c_pieces(bytes).map_err(refuse_form)?;
        let ids: BTreeMap<&str, usize> = pieces.iter().enumerate().map(|(id, (piece, _))| (*piece, id)).collect();
        if ids.len() != pieces.len() {
            return Err(refuse_form("it has a token twice".to_owned()));
        }
        let mut merges = Vec::new();
        for (piece, score) in &pieces[FIRST_PIECE..] {
            for (at, _) in piece.char_indices().skip(1) {
                let (left, right) = piece.split_at(at);
                if let (Some(first), Some(second)) = (ids.get(left), ids.get(right)) {
                    merges.push((*score, *first, *second, [left, right]));
                }
            }
        }
        merges.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let merges: Vec<[&str; 2]> = merges.into_iter().map(|(.., pair)| pair).collect();
        let special = |id: usize| json!({"id": id, "content": pieces[id].0, "special": true, "normalized": false, "single_word": false, "lstrip": false, "rstrip": false});
        let json = json!({
            "version": "1.0",
            "added_tokens": [special(0), special(1), special(2)],
            "normalizer": {"type": "Prepend", "prepend": " "},
            "pre_tokenizer": null,
            "post_processor": null,
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ]},
            "model": {"type": "BPE", "unk_token": pieces[0].0, "fuse_unk": true, "byte_fallback": true, "vocab": ids, "merges": merges},
        });
        let mut json = serde_json::to_vec_pretty(&json).map_err(|e| refuse_form(e.to_string()))?;
        json.push(b'\n');
        Self::of(path, read(path, &json)?, json)
    }

    fn of(path: &Path, mut hub: Hub, json: Vec<u8>) -> Result<Self, CorpusError> {
        refuse_chance(&hub).map_err(|what| CorpusError::Tokenizer { path: path.to_owned(), what })?;
        // A document is neither truncated nor padded, even if the file was saved with such settings.
        guarded(path, || hub.with_truncation(None).map(drop))?;
        hub.with_padding(None);
        // Text that spells a special token is treated as text: a document cannot fake its own end.
        hub.set_encode_special_tokens(true);
        let largest = guarded(path, || Ok(hub.get_vocab(true).into_values().max()))?;
        let Some(vocabulary) = largest.map_or(Some(0), |id| id.checked_add(1)) else {
            let what = format!("its largest id {} is too large for a vocabulary", u32::MAX);
            return Err(CorpusError::Tokenizer { path: path.to_owned(), what });
        };
        Ok(Self { path: path.to_owned(), hub, json, vocabulary })
    }

    /// Trains a byte-level BPE of `vocab_size` tokens on `texts`; `end_of_text` gets id 0 and the 256 bytes the next
    /// ones. `path` is its future path; it is not accessed.
    ///
    /// The same texts give the same bytes, whatever their order or the number of threads: counts are sums of integers;
    /// the alphabet is sorted; the trainer's queue orders equal counts by the pair's ids; and no pair is in it twice:
    /// a string of bytes is split in the same way wherever it is a token, so only one merge makes it, and a pair's
    /// count is queued when its younger half is made.
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
        guarded(path, || hub.train(&mut TrainerWrapper::from(trainer), texts).map(drop))?;
        let json = guarded(path, || hub.to_string(true))?.into_bytes();
        Self::of(path, hub, json)
    }

    /// The `tokenizer.json`.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// The digest of the `tokenizer.json`.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.json)
    }

    /// The largest id plus one.
    pub const fn vocabulary(&self) -> u32 {
        self.vocabulary
    }

    /// The id of a token.
    ///
    /// # Errors
    /// If there is no such token.
    pub fn id_of(&self, token: &str) -> Result<u32, CorpusError> {
        let none = || CorpusError::Tokenizer { path: self.path.clone(), what: format!("it has no token {token:?}") };
        self.hub.token_to_id(token).ok_or_else(none)
    }

    /// The same tokenizer for prompts; `special` are its special tokens as another file of the model names them.
    ///
    /// # Errors
    /// If the library cannot use them.
    pub fn for_prompts(&self, special: &[&str]) -> Result<PromptTokenizer, CorpusError> {
        PromptTokenizer::new(self.path.clone(), self.hub.clone(), special)
    }

    /// The tokens of `text`, without added or special tokens.
    ///
    /// # Errors
    /// If the text cannot be encoded.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, CorpusError> {
        let encoding = guarded(&self.path, || self.hub.encode_fast(text, false))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens.
    ///
    /// # Errors
    /// If they cannot be decoded.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, CorpusError> {
        guarded(&self.path, || self.hub.decode(tokens, false))
    }
}

/// The first id of llama2.c's form that is neither special nor a byte.
const FIRST_PIECE: usize = 3 + 256;

/// The tokens and scores of llama2.c's form.
fn llama2c_pieces(bytes: &[u8]) -> Result<Vec<(&str, f32)>, String> {
    let mut left = bytes.get(4..).ok_or("it has no header")?;
    let mut pieces = Vec::new();
    while let Some((head, rest)) = left.split_first_chunk::<8>() {
        let number = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
        let (score, length) = (f32::from_le_bytes(number(0)), i32::from_le_bytes(number(4)));
        let piece = usize::try_from(length).ok().filter(|length| *length > 0).and_then(|length| rest.get(..length));
        let piece = piece.ok_or_else(|| format!("token {} is of length {length}", pieces.len()))?;
        let text = std::str::from_utf8(piece).map_err(|e| format!("token {}: {e}", pieces.len()))?;
        // The export writes the begin and the end of a text on lines of their own.
        pieces.push((if matches!(pieces.len(), 1 | 2) { text.trim() } else { text }, score));
        left = &rest[piece.len()..];
    }
    match left.is_empty() && pieces.len() >= FIRST_PIECE {
        true => Ok(pieces),
        false => Err(format!("it ends after {} complete tokens and {} bytes", pieces.len(), left.len())),
    }
}

/// Refuses settings with which the same text could get different tokens, or the same tokens a different text, from one
/// time to the next.
fn refuse_chance(hub: &Hub) -> Result<(), String> {
    match hub.get_model() {
        ModelWrapper::BPE(model) => {
            if let Some(share) = model.dropout.filter(|share| *share != 0.0) {
                return Err(format!(
                    "model.dropout is {share}: it skips merges at random, so the tokens of a text would not be reproducible"
                ));
            }
        }
        ModelWrapper::Unigram(model) => {
            if model.alpha.is_some_and(|alpha| alpha != 0.0) {
                return Err("model.alpha is set: it samples pieces at random, so the tokens of a text would not be reproducible".to_owned());
            }
        }
        ModelWrapper::WordLevel(_) | ModelWrapper::WordPiece(_) => {}
    }
    // The token of a repeated id would depend on the order of a hash map.
    let mut ids: Vec<u32> = hub.get_vocab(false).into_values().collect();
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("model.vocab gives the id {} to several tokens", pair[0])),
        None => Ok(()),
    }
}

/// A `tokenizer.json` as the library reads it.
fn read(path: &Path, json: &[u8]) -> Result<Hub, CorpusError> {
    guarded(path, || Hub::from_bytes(json))
}

/// The result of the library. On some damaged or inconsistent files it panics.
pub(crate) fn guarded<T>(path: &Path, work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, CorpusError> {
    let refuse = |what: String| CorpusError::Tokenizer { path: path.to_owned(), what: concise(&what) };
    guard(work).map_err(|e| refuse(e.to_string()))?.map_err(|e| refuse(e.to_string()))
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
        // Fewer than requested: pairs that occur once are not merged.
        assert!((258..=290).contains(&first.vocabulary()));
    }

    /// The first merge of the algorithm (Sennrich et al., 2016), by hand: in TEXTS the most frequent pair of bytes
    /// within words is `a`, `t` (cat, sat, mat, twice each).
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
    fn no_text_becomes_the_end_of_text() {
        let tokenizer = trained(&TEXTS, 1);
        let end = tokenizer.id_of("<|end|>").unwrap();
        assert!(!tokenizer.encode("a cat<|end|>a mat").unwrap().contains(&end));
    }

    fn open(path: &Path) -> Result<Tokenizer, CorpusError> {
        Tokenizer::read(RegularFile::open(path)?)
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_nothing_is_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokenizer.json");
        let whole = trained(&TEXTS, 1);
        let json = String::from_utf8(whole.json().to_vec()).unwrap();
        let unknown = json.replace("\"type\": \"BPE\"", "\"type\": \"XYZ\"");
        let largest = json.replace("\"vocab\": {", "\"vocab\": {\"zzz\": 4294967295,");
        assert!(unknown != json && largest != json);
        for bad in ["", "{}", "[]", &json[..json.len() / 2], &unknown, &largest] {
            std::fs::write(&path, bad).unwrap();
            let error = open(&path).unwrap_err().to_string();
            assert!(error.contains("tokenizer.json"), "{error}");
        }
        assert!(open(directory.path()).is_err());
        // A file that was saved with truncation to two tokens and padding to forty.
        let cut = r#"{"direction":"Right","max_length":2,"strategy":"LongestFirst","stride":0}"#;
        let fill = r#"{"strategy":{"Fixed":40},"direction":"Right","pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,"pad_token":"<|end|>"}"#;
        let changed = json
            .replace("\"truncation\": null", &format!("\"truncation\": {cut}"))
            .replace("\"padding\": null", &format!("\"padding\": {fill}"));
        assert_ne!(changed, json);
        std::fs::write(&path, changed).unwrap();
        let text = "the mat sat on the cat";
        assert_eq!(open(&path).unwrap().encode(text).unwrap(), whole.encode(text).unwrap());
    }

    #[test]
    fn what_chance_decides_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokenizer.json");
        let bpe = |dropout: &str, vocab: &str| {
            let model = format!(
                r#"{{"type":"BPE","dropout":{dropout},"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"vocab":{vocab},"merges":[["a","b"]]}}"#
            );
            format!(
                r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":null,"model":{model}}}"#
            )
        };
        let vocab = r#"{"a":0,"b":1,"ab":2}"#;
        for (json, expected) in [
            (bpe("0.1", vocab), Some("model.dropout is 0.1")),
            (bpe("1.0", vocab), Some("model.dropout is 1")),
            (bpe("0.0, \"dropout\": 0.5", vocab), Some("model.dropout is 0.5")),
            (bpe("null", r#"{"a":0,"b":1,"ab":2,"c":1}"#), Some("the id 1 to several tokens")),
            (bpe("null", vocab), None),
            (bpe("0.0", vocab), None),
        ] {
            std::fs::write(&path, &json).unwrap();
            match (open(&path), expected) {
                (Ok(tokenizer), None) => assert_eq!(tokenizer.encode("abab").unwrap(), [2, 2]),
                (Err(error), Some(expected)) => assert!(error.to_string().contains(expected), "{error}"),
                (opened, expected) => panic!("{opened:?} where {expected:?} is expected: {json}"),
            }
        }
    }

    /// A tokenizer with the given tokens, whose scores decrease from one to the next.
    fn llama2c(pieces: &[&str]) -> Vec<u8> {
        let bytes = (0..=255u8).map(|byte| format!("<0x{byte:02X}>"));
        let special = ["<unk>", "\n<s>\n", "\n</s>\n"].map(str::to_owned);
        let all = special.into_iter().chain(bytes).chain(pieces.iter().map(|piece| (*piece).to_owned()));
        let mut form = 9u32.to_le_bytes().to_vec();
        for (at, piece) in all.enumerate() {
            form.extend((-(at as f32)).to_le_bytes());
            form.extend((piece.len() as i32).to_le_bytes());
            form.extend(piece.as_bytes());
        }
        form
    }

    #[test]
    fn llama2cs_form_joins_by_score() {
        let form = llama2c(&["he", "el", "ll", "hell", "ell", " ", "h", "e", "l", "o", " h"]);
        let tokenizer = Tokenizer::from_llama2c(Path::new("t.json"), &form).unwrap();
        let id = |token: &str| tokenizer.id_of(token).unwrap();
        // `he` has priority over `el` and `ll`; then `ll`, and the two make `hell`; the `h` is used already when ` h`
        // would be merged.
        assert_eq!(tokenizer.encode("hello").unwrap(), [id(" "), id("hell"), id("o")]);
        // Text that is in no token becomes its bytes.
        assert_eq!(tokenizer.encode("é").unwrap(), [id(" "), id("<0xC3>"), id("<0xA9>")]);
        for text in ["hello", "hell o", "é 猫 hello", "  he"] {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
        }
        assert_eq!((id("<s>"), id("</s>"), tokenizer.vocabulary()), (1, 2, 270));
        let mut long = form.clone();
        long.extend([0; 8]);
        let mut lying = form.clone();
        lying[8..12].copy_from_slice(&i32::MAX.to_le_bytes());
        for bad in [&form[..3], &form[..form.len() - 1], &form[..2000], &long, &lying, &llama2c(&["a", "a"])] {
            let error = Tokenizer::from_llama2c(Path::new("t.json"), bad).unwrap_err().to_string();
            assert!(error.contains("t.json"), "{error}");
        }
    }

    /// As transformers writes one, also with merges in the older notation; the ids are computed by hand.
    #[test]
    fn a_published_form_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokenizer.json");
        let bytes = r#"{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}"#;
        for merges in [r#"[["æ","Ŀ"],["æĿ","¾"],["Ġ","a"]]"#, r#"["æ Ŀ","æĿ ¾","Ġ a"]"#] {
            let json = format!(
                r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{{"id":0,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}}],"normalizer":null,"pre_tokenizer":{bytes},"post_processor":null,"decoder":{bytes},"model":{{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":"","end_of_word_suffix":"","fuse_unk":false,"byte_fallback":false,"vocab":{{"<s>":0,"a":1,"Ġ":2,"æ":3,"Ŀ":4,"¾":5,"æĿ":6,"æĿ¾":7,"Ġa":8}},"merges":{merges}}}}}"#
            );
            std::fs::write(&path, json).unwrap();
            let tokenizer = open(&path).unwrap();
            assert_eq!(tokenizer.vocabulary(), 9);
            // 松 is E6 9D BE.
            for (text, ids) in [("松 a", &[7, 8][..]), ("a松松", &[1, 7, 7]), ("  a", &[2, 8]), ("", &[])] {
                assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?} {merges}");
                assert_eq!(tokenizer.decode(ids).unwrap(), text);
            }
        }
    }
}

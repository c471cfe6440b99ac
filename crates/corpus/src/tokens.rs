//! Token shards: the tokens of many documents, one after another, and the document of each.
//!
//! The format, all numbers little-endian:
//!
//! ```text
//! "RTTOKENS"  version: u32 = 1  vocabulary: u32  width: u32 (2 or 4)  0: u32  tokenizer: 32 bytes
//! tokens      width bytes each
//! documents   first token: u64  shard: u32  line: u32 (from 1)
//! shards      length: u32  path: UTF-8
//! tokens: u64  documents: u64  bytes of all shards' names: u64  "RTTOKEND"
//! ```
//!
//! `tokenizer` is the digest of the `tokenizer.json`. Counts are at the end, so that a shard can be written
//! sequentially.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use retrace_files::{FileError, RegularFile, WholeFile};
use retrace_spec::{Digest, RelPath};

use crate::CorpusError;

const HEAD: &[u8; 8] = b"RTTOKENS";
const TAIL: &[u8; 8] = b"RTTOKEND";
const HEAD_LENGTH: u64 = 56;
const TAIL_LENGTH: u64 = 32;
const DOCUMENT_LENGTH: u64 = 16;

/// The start of a document's tokens, and the location of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The first token.
    pub first: u64,
    /// The shard, as an index of [`TokenShard::shards`].
    pub shard: u32,
    /// The line in the shard, from 1.
    pub line: u32,
}

/// A token shard on disk; its table of documents is in memory.
#[derive(Debug)]
pub struct TokenShard {
    path: PathBuf,
    file: Mutex<File>,
    vocabulary: u32,
    width: u64,
    tokenizer: Digest,
    tokens: u64,
    documents: Vec<Entry>,
    shards: Vec<RelPath>,
}

impl TokenShard {
    /// Opens the shard that is `opened`.
    ///
    /// # Errors
    /// If it cannot be read, or is not a token shard in which every byte belongs to a field.
    pub fn open(opened: RegularFile) -> Result<Self, CorpusError> {
        let (path, length) = (&opened.path().to_owned(), opened.size());
        let mut file = opened.into_file();
        let refuse = |at: u64, what: String| CorpusError::Tokens { path: path.to_owned(), at, what };
        if length < HEAD_LENGTH + TAIL_LENGTH {
            return Err(refuse(
                length,
                format!("the file has {length} bytes, too few for a token shard; it is truncated"),
            ));
        }
        let mut read = |at: u64, length: u64| -> Result<Vec<u8>, CorpusError> {
            let mut bytes = vec![0; length as usize];
            file.seek(SeekFrom::Start(at)).map_err(FileError::io(path, "read"))?;
            file.read_exact(&mut bytes).map_err(FileError::io(path, "read"))?;
            Ok(bytes)
        };
        let head = read(0, HEAD_LENGTH)?;
        let (version, vocabulary, width) = (u32_at(&head, 8), u32_at(&head, 12), u64::from(u32_at(&head, 16)));
        if head[..8] != *HEAD || version != 1 {
            return Err(refuse(0, "this is not a token shard of version 1".to_owned()));
        }
        if width != width_of(vocabulary) {
            let what = format!("it has tokens of {width} bytes, which does not fit a vocabulary of {vocabulary}");
            return Err(refuse(16, what));
        }
        if u32_at(&head, 20) != 0 {
            return Err(refuse(20, "the reserved bytes are not 0".to_owned()));
        }
        let mut tokenizer = [0; 32];
        tokenizer.copy_from_slice(&head[24..56]);
        let tail_at = length - TAIL_LENGTH;
        let tail = read(tail_at, TAIL_LENGTH)?;
        if tail[24..] != *TAIL {
            return Err(refuse(
                tail_at,
                "the end mark is missing: the file is truncated, or has extra bytes at the end".to_owned(),
            ));
        }
        let (tokens, documents, names) = (u64_at(&tail, 0), u64_at(&tail, 8), u64_at(&tail, 16));
        let sizes = [
            Some(HEAD_LENGTH),
            tokens.checked_mul(width),
            documents.checked_mul(DOCUMENT_LENGTH),
            Some(names),
            Some(TAIL_LENGTH),
        ];
        let total = sizes.into_iter().try_fold(0u64, |sum, size| sum.checked_add(size?));
        if total != Some(length) {
            let what = format!(
                "the header gives {tokens} tokens, {documents} documents and {names} bytes of names, which does not fit the {length} bytes of the file"
            );
            return Err(refuse(tail_at, what));
        }
        let documents_at = HEAD_LENGTH + tokens * width;
        let names_at = documents_at + documents * DOCUMENT_LENGTH;
        let names = read(names_at, names)?;
        let shards = read_names(&names).map_err(|(at, what)| refuse(names_at + at, what))?;
        let table = read(documents_at, documents * DOCUMENT_LENGTH)?;
        let mut entries: Vec<Entry> = Vec::with_capacity(documents as usize);
        for (number, bytes) in table.chunks_exact(DOCUMENT_LENGTH as usize).enumerate() {
            let entry = Entry { first: u64_at(bytes, 0), shard: u32_at(bytes, 8), line: u32_at(bytes, 12) };
            let follows = match entries.last() {
                None => entry.first == 0,
                Some(last) => last.first < entry.first && (last.shard, last.line) < (entry.shard, entry.line),
            };
            if !follows || entry.first >= tokens || entry.shard as usize >= shards.len() || entry.line == 0 {
                let at = documents_at + number as u64 * DOCUMENT_LENGTH;
                return Err(refuse(at, format!("document {number} is out of order or outside the shard")));
            }
            entries.push(entry);
        }
        if entries.is_empty() != (tokens == 0) {
            return Err(refuse(documents_at, "some tokens belong to no document".to_owned()));
        }
        let file = Mutex::new(file);
        Ok(Self {
            path: path.to_owned(),
            file,
            vocabulary,
            width,
            tokenizer: tokenizer.into(),
            tokens,
            documents: entries,
            shards,
        })
    }

    /// The exclusive upper limit of its tokens.
    pub const fn vocabulary(&self) -> u32 {
        self.vocabulary
    }

    /// The digest of the tokenizer that made it.
    pub const fn tokenizer(&self) -> Digest {
        self.tokenizer
    }

    /// The number of tokens.
    pub const fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The documents, in order.
    pub fn documents(&self) -> &[Entry] {
        &self.documents
    }

    /// The source shards of the documents.
    pub fn shards(&self) -> &[RelPath] {
        &self.shards
    }

    /// The number of sequences of `length` tokens, each followed by one more token.
    pub fn sequences(&self, length: usize) -> u64 {
        self.tokens.saturating_sub(1).checked_div(length as u64).unwrap_or(0)
    }

    /// The tokens of sequence `index`: `length` and the next one.
    ///
    /// # Errors
    /// If there is no such sequence, or the file has changed or contains a token outside its vocabulary.
    pub fn sequence(&self, index: u64, length: usize) -> Result<Vec<u32>, CorpusError> {
        let refuse = |at: u64, what: String| CorpusError::Tokens { path: self.path.clone(), at, what };
        if index >= self.sequences(length) {
            return Err(refuse(HEAD_LENGTH, format!("there is no sequence {index} of {length} tokens")));
        }
        let at = HEAD_LENGTH + index * length as u64 * self.width;
        let mut bytes = vec![0; (length + 1) * self.width as usize];
        {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(at)).map_err(FileError::io(&self.path, "read"))?;
            file.read_exact(&mut bytes).map_err(FileError::io(&self.path, "read"))?;
        }
        let tokens: Vec<u32> = match self.width {
            2 => bytes.as_chunks().0.iter().map(|b| u32::from(u16::from_le_bytes(*b))).collect(),
            _ => bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect(),
        };
        match tokens.iter().position(|token| *token >= self.vocabulary) {
            Some(bad) => Err(refuse(
                at + bad as u64 * self.width,
                format!("token {} is outside the vocabulary of {}", tokens[bad], self.vocabulary),
            )),
            None => Ok(tokens),
        }
    }

    /// The positions in sequence `index`, from 0 to `length`, whose token is the first of a document.
    pub fn document_starts(&self, index: u64, length: usize) -> impl Iterator<Item = usize> + '_ {
        let first = index * length as u64;
        let from = self.documents.partition_point(|entry| entry.first < first);
        let starts = self.documents[from..].iter().map(move |entry| (entry.first - first) as usize);
        starts.take_while(move |place| *place <= length)
    }

    /// The sequences that contain a token of document `number`, as inputs or as the last target.
    pub fn sequences_of(&self, number: usize, length: usize) -> std::ops::Range<u64> {
        let Some(entry) = self.documents.get(number).filter(|_| length > 0) else { return 0..0 };
        let end = self.documents.get(number + 1).map_or(self.tokens, |next| next.first);
        let first = entry.first.saturating_sub(1) / length as u64;
        first..((end - 1) / length as u64 + 1).min(self.sequences(length))
    }
}

/// Bytes per token: two if every token fits.
const fn width_of(vocabulary: u32) -> u64 {
    if vocabulary > 1 << 16 { 4 } else { 2 }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn read_names(mut bytes: &[u8]) -> Result<Vec<RelPath>, (u64, String)> {
    let whole = bytes.len();
    let mut names = Vec::new();
    while !bytes.is_empty() {
        let at = (whole - bytes.len()) as u64;
        let refuse = |what: &str| (at, what.to_owned());
        let (length, rest) = bytes.split_first_chunk().ok_or_else(|| refuse("the name of a shard is truncated"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let (name, rest) = rest.split_at_checked(length).ok_or_else(|| refuse("the name of a shard is truncated"))?;
        let name = std::str::from_utf8(name).map_err(|_| refuse("the name of a shard is not UTF-8"))?;
        names.push(name.parse().map_err(|e: retrace_spec::PathError| refuse(&e.to_string()))?);
        bytes = rest;
    }
    Ok(names)
}

/// A token shard that is being written.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: WholeFile,
    wide: bool,
    tokens: u64,
    documents: Vec<Entry>,
    shards: Vec<RelPath>,
}

impl Writer {
    /// Begins the shard that will be `file`, of tokens below `vocabulary`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(file: WholeFile, vocabulary: u32, tokenizer: Digest) -> Result<Self, CorpusError> {
        let wide = width_of(vocabulary) == 4;
        let mut writer = Self { path: file.path(), file, wide, tokens: 0, documents: Vec::new(), shards: Vec::new() };
        writer.put(HEAD)?;
        for number in [1, vocabulary, if wide { 4 } else { 2 }, 0] {
            writer.put(&number.to_le_bytes())?;
        }
        writer.put(tokenizer.as_bytes())?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), CorpusError> {
        Ok(self.file.write_all(bytes).map_err(FileError::io(&self.path, "write"))?)
    }

    /// The documents that follow are from `shard`.
    pub fn begin_shard(&mut self, shard: RelPath) {
        self.shards.push(shard);
    }

    /// Adds the tokens, at least one, of the document at `line` of the shard.
    ///
    /// # Errors
    /// If writing to the disk fails.
    pub fn add(&mut self, line: usize, tokens: &[u32]) -> Result<(), CorpusError> {
        let shard = self.shards.len().saturating_sub(1) as u32;
        self.documents.push(Entry { first: self.tokens, shard, line: line as u32 });
        self.tokens += tokens.len() as u64;
        let mut bytes = Vec::with_capacity(tokens.len() * 4);
        for token in tokens {
            let token = token.to_le_bytes();
            bytes.extend_from_slice(if self.wide { &token } else { &token[..2] });
        }
        self.put(&bytes)
    }

    /// Finishes the shard; returns the number of its tokens.
    ///
    /// # Errors
    /// If writing to the disk fails.
    pub fn finish(mut self) -> Result<u64, CorpusError> {
        let (documents, shards) = (std::mem::take(&mut self.documents), std::mem::take(&mut self.shards));
        for Entry { first, shard, line } in &documents {
            self.put(&first.to_le_bytes())?;
            self.put(&shard.to_le_bytes())?;
            self.put(&line.to_le_bytes())?;
        }
        let mut names = 0u64;
        for shard in &shards {
            let name = shard.as_str().as_bytes();
            self.put(&(name.len() as u32).to_le_bytes())?;
            self.put(name)?;
            names += 4 + name.len() as u64;
        }
        for number in [self.tokens, documents.len() as u64, names] {
            self.put(&number.to_le_bytes())?;
        }
        self.put(TAIL)?;
        self.file.commit()?;
        Ok(self.tokens)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn write(path: &Path, vocabulary: u32) {
        let mut writer = Writer::create(WholeFile::create(path).unwrap(), vocabulary, Digest::of(b"t")).unwrap();
        writer.begin_shard("clean/a.jsonl".parse().unwrap());
        writer.add(1, &[1, 2, 3, 0]).unwrap();
        writer.add(4, &[4, 0]).unwrap();
        writer.begin_shard("clean/乙.jsonl".parse().unwrap());
        writer.add(1, &[5, 6, 7, 8, 0]).unwrap();
        assert_eq!(writer.finish().unwrap(), 11);
    }

    #[test]
    fn is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.tokens");
        for vocabulary in [9, 1 << 17] {
            write(&path, vocabulary);
            let shard = TokenShard::open(RegularFile::open(&path).unwrap()).unwrap();
            assert_eq!((shard.tokens(), shard.vocabulary(), shard.tokenizer()), (11, vocabulary, Digest::of(b"t")));
            assert_eq!(shard.sequences(5), 2);
            assert_eq!(shard.sequence(0, 5).unwrap(), [1, 2, 3, 0, 4, 0]);
            assert_eq!(shard.sequence(1, 5).unwrap(), [0, 5, 6, 7, 8, 0]);
            assert!(shard.sequence(2, 5).is_err());
            assert_eq!(shard.documents()[2], Entry { first: 6, shard: 1, line: 1 });
            assert_eq!(shard.shards()[1].as_str(), "clean/乙.jsonl");
        }
    }

    #[test]
    fn the_sequences_of_a_document_are_those_that_hold_its_tokens() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.tokens");
        write(&path, 9);
        let shard = TokenShard::open(RegularFile::open(&path).unwrap()).unwrap();
        for length in 1..=10 {
            for (number, bounds) in [0..4u64, 4..6, 6..11].into_iter().enumerate() {
                let holds = |sequence: u64| {
                    let first = sequence * length as u64;
                    first < bounds.end && bounds.start <= first + length as u64
                };
                let expected: Vec<u64> = (0..shard.sequences(length)).filter(|s| holds(*s)).collect();
                assert_eq!(shard.sequences_of(number, length).collect::<Vec<_>>(), expected, "{number} by {length}");
            }
        }
    }

    #[test]
    fn no_tokens_are_a_shard_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.tokens");
        let writer = Writer::create(WholeFile::create(&path).unwrap(), 9, Digest::of(b"t")).unwrap();
        assert_eq!(writer.finish().unwrap(), 0);
        let shard = TokenShard::open(RegularFile::open(&path).unwrap()).unwrap();
        for length in [0, 1, 5] {
            assert_eq!((shard.sequences(length), shard.sequences_of(0, length)), (0, 0..0));
            assert!(shard.sequence(0, length).is_err());
        }
    }

    #[test]
    fn what_is_not_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.tokens");
        write(&path, 9);
        let whole = std::fs::read(&path).unwrap();
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            TokenShard::open(RegularFile::open(&path).unwrap())
                .and_then(|shard| (0..shard.sequences(2)).try_for_each(|i| shard.sequence(i, 2).map(|_| ())))
                .is_err()
        };
        assert!(!refused(&whole));
        for length in 0..whole.len() {
            assert!(refused(&whole[..length]), "cut to {length}");
        }
        assert!(refused(&[&whole[..], &[0]].concat()));
        let changed = |at: usize, bytes: &[u8]| {
            let mut copy = whole.clone();
            copy[at..at + bytes.len()].copy_from_slice(bytes);
            copy
        };
        let documents = HEAD_LENGTH as usize + 22;
        let tail = whole.len() - TAIL_LENGTH as usize;
        for (at, bytes) in [
            (0, &b"X"[..]),
            (8, &[2]),
            (12, &[5]),
            (16, &[3]),
            (16, &[4]),
            (20, &[1]),
            (HEAD_LENGTH as usize, &[9, 0]),
            (documents, &[1]),
            (documents + 16, &[0]),
            (documents + 16, &[200]),
            (documents + 8, &[7]),
            (documents + 12, &[0]),
            (documents + 28, &[1]),
            (documents + 48, &[255, 255, 255, 255]),
            (tail, &[255; 8]),
            (tail + 8, &[255; 8]),
            (tail + 16, &[255; 8]),
            (tail + 24, b"X"),
        ] {
            assert!(refused(&changed(at, bytes)), "byte {at}");
        }
    }
}

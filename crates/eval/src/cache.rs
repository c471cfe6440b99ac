//! Answers that are kept in a file, so that a run that was ended goes on, and parts of a run are put together.
//!
//! A record is found by what determines the answer: the model's weights and description, the tokenizer, and the tokens
//! of the request with what is asked. Paths and names play no part. The file begins with [`HEADER`], and records follow:
//! the length of the content and the same number with all bits turned (4 bytes each, little-endian), the content, and
//! the first 16 bytes of its BLAKE3 digest. The content is the key (32 bytes), the kind of the answer (1 byte), and the
//! answer: a binary64 number and one byte, a binary64 number, or a text in UTF-8.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use retrace_files::{FileError, Lock, RegularFile, Root};
use retrace_harness::Response;
use retrace_model::Inference;
use retrace_spec::{Digest, RelPath};

use crate::answer::length;
use crate::{Ask, EvalError, Limits, Prompts, answer};

/// The first bytes of a file of answers.
const HEADER: &[u8] = b"retrace-answers/1\n";
/// The greatest length of a record's content.
const LONGEST: usize = 16 << 20;
/// No file of answers is longer.
const LARGEST: u64 = 64 << 30;
/// The bytes of a record's digest that are kept.
const CHECK: usize = 16;
/// The kinds of answers.
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const GENERATION: u8 = 2;

/// What determines an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of the answer of the model `model` (the digest of its tensors and of its description) to `ask`, if it
    /// reads at most `length` tokens.
    pub fn new(model: Digest, prompts: Digest, length: usize, ask: &Ask) -> Self {
        let mut bytes = HEADER.to_vec();
        bytes.extend_from_slice(model.as_bytes());
        bytes.extend_from_slice(prompts.as_bytes());
        let number = |bytes: &mut Vec<u8>, number: usize| bytes.extend_from_slice(&(number as u64).to_le_bytes());
        let tokens = |bytes: &mut Vec<u8>, tokens: &[u32]| {
            number(bytes, tokens.len());
            bytes.extend(tokens.iter().flat_map(|token| token.to_le_bytes()));
        };
        number(&mut bytes, length);
        match ask {
            Ask::Continuation { context, continuation } => {
                bytes.push(CONTINUATION);
                tokens(&mut bytes, context);
                tokens(&mut bytes, continuation);
            }
            Ask::Text { prefix, tokens: text } => {
                bytes.push(TEXT);
                tokens(&mut bytes, &[*prefix]);
                tokens(&mut bytes, text);
            }
            Ask::Generation { context, until, most } => {
                bytes.push(GENERATION);
                tokens(&mut bytes, context);
                number(&mut bytes, *most);
                number(&mut bytes, until.len());
                for end in until {
                    number(&mut bytes, end.len());
                    bytes.extend_from_slice(end.as_bytes());
                }
            }
        }
        Self(*Digest::of(&bytes).as_bytes())
    }
}

/// A file of answers, which one process at a time writes.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    file: File,
    known: HashMap<Key, Response>,
    _lock: Lock,
}

impl Cache {
    /// Opens the file of answers at `path`, or makes a new one. The beginning of a record at the file's end, which a
    /// process left that was ended while it wrote, is dropped.
    ///
    /// # Errors
    /// If another process writes it, it is not a file of answers, or a record was changed.
    pub fn open(path: &Path) -> Result<Self, EvalError> {
        let (root, name) = Root::of_file(path)?;
        let lock = Lock::file(root.again()?, name)?;
        let name = name.to_str().and_then(|name| name.parse::<RelPath>().ok());
        let name = name.ok_or_else(|| corrupt(path, 0, "the name of the file is not a plain name"))?;
        let mut known = HashMap::new();
        if !root.has(&name) {
            root.write(&name, HEADER)?;
        }
        let whole = read(root.file(&name)?, &mut known)?;
        let mut file = root.append(&name)?;
        let io = FileError::io(path, "write");
        let written = file.set_len(whole).and_then(|()| if whole == 0 { file.write_all(HEADER) } else { Ok(()) });
        written.and_then(|()| file.sync_data()).map_err(io)?;
        Ok(Self { path: path.to_owned(), file, known, _lock: lock })
    }

    /// The answer with this key.
    pub fn get(&self, key: Key) -> Option<&Response> {
        self.known.get(&key)
    }

    /// The number of answers.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are no answers.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Adds an answer, in one write.
    ///
    /// # Errors
    /// If it cannot be written, or there is another answer with the same key.
    pub fn put(&mut self, key: Key, response: &Response) -> Result<(), EvalError> {
        if let Some(known) = self.known.get(&key) {
            return match same(known, response) {
                true => Ok(()),
                false => Err(corrupt(&self.path, 0, "it has another answer to the same request")),
            };
        }
        let mut content = key.0.to_vec();
        match response {
            Response::Continuation { log_likelihood, greedy } => {
                content.push(CONTINUATION);
                content.extend_from_slice(&log_likelihood.to_le_bytes());
                content.push(u8::from(*greedy));
            }
            Response::Text(log_likelihood) => {
                content.push(TEXT);
                content.extend_from_slice(&log_likelihood.to_le_bytes());
            }
            Response::Generation(text) => {
                content.push(GENERATION);
                content.extend_from_slice(text.as_bytes());
            }
        }
        let length = u32::try_from(content.len()).ok().filter(|length| *length as usize <= LONGEST);
        let length = length.ok_or_else(|| corrupt(&self.path, 0, "an answer is too long to be kept"))?;
        let mut record = length.to_le_bytes().to_vec();
        record.extend_from_slice(&(!length).to_le_bytes());
        record.extend_from_slice(&content);
        record.extend_from_slice(&Digest::of(&content).as_bytes()[..CHECK]);
        self.file.write_all(&record).map_err(FileError::io(&self.path, "write"))?;
        self.known.insert(key, response.clone());
        Ok(())
    }

    /// Adds the answers of another file.
    ///
    /// # Errors
    /// As [`Self::open`] and [`Self::put`].
    pub fn merge(&mut self, other: RegularFile) -> Result<(), EvalError> {
        let mut known = HashMap::new();
        read(other, &mut known)?;
        // The same bytes, whatever the order of the hash map.
        for (key, response) in known.into_iter().collect::<BTreeMap<_, _>>() {
            self.put(key, &response)?;
        }
        self.sync()
    }

    /// Waits until all answers are on the disk.
    ///
    /// # Errors
    /// If the system reports one.
    pub fn sync(&self) -> Result<(), EvalError> {
        Ok(self.file.sync_data().map_err(FileError::io(&self.path, "write"))?)
    }
}

/// As [`answer`], with the answers that are kept in `cache`, to which the others are added as they come. `model` is the
/// digest of the model's tensors and of its description. `done` is called with the number of requests that are answered.
///
/// # Errors
/// As [`answer`], and if the cache cannot be written.
pub fn answer_with(
    cache: &mut Cache,
    model: (&Inference, Digest),
    prompts: &Prompts,
    asks: &[Ask],
    limits: Limits,
    done: &mut dyn FnMut(usize),
) -> Result<Vec<Response>, EvalError> {
    let (model, digest) = model;
    let length = length(model, limits)?;
    let keys: Vec<Key> = asks.iter().map(|ask| Key::new(digest, prompts.digest(), length, ask)).collect();
    // Of each answer that is missing, the first request.
    let mut missing: BTreeMap<Key, usize> = BTreeMap::new();
    for (request, key) in keys.iter().enumerate().filter(|(_, key)| cache.get(**key).is_none()) {
        missing.entry(*key).or_insert(request);
    }
    let mut requests: Vec<usize> = missing.into_values().collect();
    requests.sort_unstable();
    let mut times: HashMap<Key, usize> = HashMap::new();
    keys.iter().for_each(|key| *times.entry(*key).or_default() += 1);
    let mut answered = keys.iter().filter(|key| cache.get(**key).is_some()).count();
    done(answered);
    let open: Vec<Ask> = requests.iter().map(|request| asks[*request].clone()).collect();
    let result = answer(model, prompts, &open, limits, &mut |at, response| {
        let key = keys[requests[at]];
        cache.put(key, &response)?;
        answered += times[&key];
        done(answered);
        Ok(())
    });
    cache.sync()?;
    result.map_err(|error| match error {
        EvalError::Request { request, what } => EvalError::Request { request: requests[request], what },
        EvalError::NotFiniteAnswer { request } => EvalError::NotFiniteAnswer { request: requests[request] },
        other => other,
    })?;
    let response = |(request, key): (usize, &Key)| {
        let known = cache.get(*key).filter(|known| fits(known, &asks[request]));
        known.cloned().ok_or_else(|| corrupt(&cache.path, 0, "an answer does not fit its request"))
    };
    keys.iter().enumerate().map(response).collect()
}

/// Which of `requests` requests part `part` of `parts`, counted from 1, has: the same number for all parts, but for one.
pub const fn part(requests: usize, part: usize, parts: usize) -> Range<usize> {
    requests * (part - 1) / parts..requests * part / parts
}

/// Whether two answers are the same to the bit.
fn same(a: &Response, b: &Response) -> bool {
    let bits = |response: &Response| match response {
        Response::Continuation { log_likelihood, greedy } => Some((log_likelihood.to_bits(), *greedy)),
        Response::Text(log_likelihood) => Some((log_likelihood.to_bits(), false)),
        Response::Generation(_) => None,
    };
    a == b && bits(a) == bits(b)
}

fn fits(response: &Response, ask: &Ask) -> bool {
    matches!(
        (response, ask),
        (Response::Continuation { .. }, Ask::Continuation { .. })
            | (Response::Text(_), Ask::Text { .. })
            | (Response::Generation(_), Ask::Generation { .. })
    )
}

fn corrupt(path: &Path, offset: u64, what: &str) -> EvalError {
    EvalError::Cache { path: path.to_owned(), offset, what: what.to_owned() }
}

/// Reads all records of a file into `known`; the number of bytes until the end of the last complete one.
fn read(file: RegularFile, known: &mut HashMap<Key, Response>) -> Result<u64, EvalError> {
    let path = file.path().to_owned();
    if file.size() > LARGEST {
        return Err(corrupt(&path, 0, "the file is too long to be one of answers"));
    }
    let mut from = BufReader::new(file.into_file().take(LARGEST));
    let mut header = [0; HEADER.len()];
    let count = fill(&mut from, &mut header, &path)?;
    if header[..count] != HEADER[..count] {
        return Err(corrupt(&path, 0, "it is not a file of answers"));
    }
    if count < HEADER.len() {
        return Ok(0);
    }
    let mut offset = HEADER.len() as u64;
    let mut content = Vec::new();
    loop {
        let mut lengths = [[0; 4]; 2];
        if fill(&mut from, lengths.as_flattened_mut(), &path)? < 8 {
            return Ok(offset);
        }
        let [length, turned] = lengths.map(u32::from_le_bytes);
        let size = length as usize;
        if length != !turned || size > LONGEST || size <= size_of::<Key>() {
            return Err(corrupt(&path, offset, "the length of a record is not one"));
        }
        content.resize(size + CHECK, 0);
        if fill(&mut from, &mut content, &path)? < size + CHECK {
            return Ok(offset);
        }
        let (record, check) = content.split_at(size);
        if Digest::of(record).as_bytes()[..CHECK] != *check {
            return Err(corrupt(&path, offset, "the content of a record is not what was written"));
        }
        let (key, response) = parse(record).map_err(|what| corrupt(&path, offset, what))?;
        if known.get(&key).is_some_and(|other| !same(other, &response)) {
            return Err(corrupt(&path, offset, "there are two answers to the same request"));
        }
        known.insert(key, response);
        offset += (8 + size + CHECK) as u64;
    }
}

/// Fills `buffer` as far as the file goes; the number of bytes.
fn fill(from: &mut impl Read, buffer: &mut [u8], path: &Path) -> Result<usize, EvalError> {
    let mut count = 0;
    while count < buffer.len() {
        match from.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FileError::io(path, "read")(error).into()),
        }
    }
    Ok(count)
}

/// A record's content.
fn parse(record: &[u8]) -> Result<(Key, Response), &'static str> {
    let (key, rest) = record.split_first_chunk::<32>().ok_or("a record has no key")?;
    let (kind, rest) = rest.split_first().ok_or("a record has no answer")?;
    let number = |bytes: &[u8]| {
        let number = f64::from_le_bytes(bytes.try_into().map_err(|_| "an answer has another length")?);
        match number.is_nan() || number == f64::INFINITY {
            true => Err("a log-likelihood is not a number"),
            false => Ok(number),
        }
    };
    let response = match (*kind, rest) {
        (CONTINUATION, [value @ .., greedy @ (0 | 1)]) => {
            Response::Continuation { log_likelihood: number(value)?, greedy: *greedy == 1 }
        }
        (TEXT, value) => Response::Text(number(value)?),
        (GENERATION, text) => {
            Response::Generation(std::str::from_utf8(text).map_err(|_| "a text is not UTF-8")?.to_owned())
        }
        _ => return Err("an answer is of no known kind"),
    };
    Ok((Key(*key), response))
}

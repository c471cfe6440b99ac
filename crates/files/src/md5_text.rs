//! The MD5 that DVC before version 3 computes (`md5-dos2unix`): of a text with its line ends as LF.
//!
//! As `Dos2UnixHashStreamFile` and `istextblock` of dvc-data 3.18 (`hashfile/hash.py`, `hashfile/istextfile.py`). Each
//! block of 1 MiB is judged by its first 512 bytes, and CR and LF in two blocks are no line end.

use md5::{Digest as _, Md5};

const BLOCK: usize = 1 << 20;
/// The bytes of a block that decide whether it is text.
const JUDGED: usize = 512;

pub(crate) struct Md5Text {
    hasher: Md5,
    /// The beginning of a block.
    block: Vec<u8>,
}

impl Md5Text {
    pub(crate) fn new() -> Self {
        Self { hasher: Md5::new(), block: Vec::new() }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            if self.block.len() == BLOCK {
                self.end_block();
            }
            bytes = rest;
        }
    }

    fn end_block(&mut self) {
        if is_text(self.block.get(..JUDGED).unwrap_or(&self.block)) {
            let mut lines = self.block.split(|byte| *byte == b'\n').peekable();
            while let Some(line) = lines.next() {
                match (lines.peek(), line.strip_suffix(b"\r")) {
                    (Some(_), Some(line)) => self.hasher.update(line),
                    _ => self.hasher.update(line),
                }
                if lines.peek().is_some() {
                    self.hasher.update(b"\n");
                }
            }
        } else {
            self.hasher.update(&self.block);
        }
        self.block.clear();
    }

    pub(crate) fn finish(mut self) -> [u8; 16] {
        self.end_block();
        self.hasher.finalize().into()
    }
}

/// Whether at most 30 % of the bytes are no ASCII text, and none is zero.
fn is_text(bytes: &[u8]) -> bool {
    let text = |byte: &&u8| matches!(byte, 32..=126 | b'\n' | b'\r' | b'\t' | 0x0c | 0x08);
    let other = bytes.len() - bytes.iter().filter(text).count();
    !bytes.contains(&0) && other * 10 <= bytes.len() * 3
}

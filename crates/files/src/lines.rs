//! A strict reader of JSON lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use serde::de::DeserializeOwned;

use crate::{FileError, RegularFile};

/// The longest line that is read: larger than the largest document of a corpus.
pub(crate) const LONGEST: u64 = 64 << 20;

/// The values of a file of JSON lines, each with its line number from 1.
///
/// An item is an error if its line is not UTF-8, is not a valid value, or is empty or too long, or if the last line
/// has no line end, which shows that the file was truncated. After an error the iterator ends.
pub fn json_lines<T: DeserializeOwned>(
    file: RegularFile,
) -> impl Iterator<Item = Result<(usize, T), FileError>> + use<T> {
    let path = file.path().to_owned();
    let reader = BufReader::with_capacity(1 << 18, file.into_file());
    let lines = Lines { path, reader, line: 0, at: 0, ended: false };
    lines.map(|line| {
        let (path, number, text) = line?;
        let value = serde_json::from_str(&text);
        value.map(|value| (number, value)).map_err(|e| {
            // serde_json counts lines too, but it received only this one.
            let text = e.to_string();
            let what = match text.rsplit_once(" at line ") {
                Some((what, _)) => format!("{what} at column {}", e.column()),
                None => text,
            };
            FileError::Json { path, line: number, what }
        })
    })
}

struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    line: usize,
    at: u64,
    ended: bool,
}

impl Lines {
    fn next_line(&mut self) -> Result<Option<String>, FileError> {
        self.line += 1;
        let refuse = |line, what: String| FileError::Json { path: self.path.clone(), line, what };
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(LONGEST).read_until(b'\n', &mut bytes);
        let read = read.map_err(FileError::io(&self.path, "read"))? as u64;
        if read == 0 {
            return Ok(None);
        }
        self.at += read;
        if bytes.pop() != Some(b'\n') {
            let what = match read {
                LONGEST => format!("is longer than {LONGEST} bytes"),
                _ => format!("has no line end: the file is truncated at byte {}", self.at),
            };
            return Err(refuse(self.line, what));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(refuse(self.line, "is empty; every line is one JSON value".to_owned()));
        }
        String::from_utf8(bytes).map(Some).map_err(|e| {
            let at = self.at - read + e.utf8_error().valid_up_to() as u64;
            refuse(self.line, format!("is not UTF-8 at byte {at}"))
        })
    }
}

impl Iterator for Lines {
    type Item = Result<(PathBuf, usize, String), FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let line = self.next_line().transpose()?;
        self.ended = line.is_err();
        Some(line.map(|text| (self.path.clone(), self.line, text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_line_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shard.jsonl");
        let read = |bytes: &[u8]| -> Result<Vec<(usize, u32)>, FileError> {
            std::fs::write(&path, bytes).unwrap();
            json_lines::<u32>(RegularFile::open(&path)?).collect()
        };
        assert_eq!(read(b"").unwrap(), []);
        assert_eq!(read(b"1\n22\n").unwrap(), [(1, 1), (2, 22)]);
        for (bytes, place, what) in [
            (&b"1\n2"[..], "shard.jsonl:2", "truncated at byte 3"),
            (b"1\n\n2\n", "shard.jsonl:2", "is empty"),
            (b"1\nx\n2\n", "shard.jsonl:2", "expected value"),
            (b"1\n2 3\n", "shard.jsonl:2", "trailing"),
            (b"1\n\xff\n", "shard.jsonl:2", "not UTF-8 at byte 2"),
        ] {
            let error = read(bytes).unwrap_err().to_string();
            assert!(error.contains(place) && error.contains(what), "{error}");
            assert!(!error.contains("line 1"), "{error}: the line is of the file, not of itself");
        }
        let error = read(&vec![b' '; LONGEST as usize + 1]).unwrap_err().to_string();
        assert!(error.contains("shard.jsonl:1: is longer than"), "{error}");
    }
}

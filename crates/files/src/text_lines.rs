//! Lines of text files of others, plain or compressed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use crate::lines::LONGEST;
use crate::{FileError, RegularFile};

/// The lines of a text file that may be compressed by gzip or zstd, which its first bytes tell. Memory is that of the
/// longest line. Unlike [`json_lines`](crate::json_lines), a file of others: its last line may have no line end.
pub struct TextLines {
    path: PathBuf,
    reader: BufReader<Box<dyn Read + Send>>,
    form: Form,
    consumed: Arc<AtomicU64>,
    line: u64,
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Gzip,
    Zstd,
}

/// Counts the bytes that are read of a file.
struct Counted {
    file: File,
    consumed: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.consumed.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl std::fmt::Debug for TextLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextLines").field("path", &self.path).field("form", &self.form).finish_non_exhaustive()
    }
}

impl TextLines {
    /// The lines of `file`.
    ///
    /// # Errors
    /// If it cannot be read, or its name says that it is compressed and its first bytes do not.
    pub fn open(file: RegularFile) -> Result<Self, FileError> {
        let path = file.path().to_owned();
        let consumed = Arc::new(AtomicU64::new(0));
        let counted = Counted { file: file.into_file(), consumed: Arc::clone(&consumed) };
        let mut bytes = BufReader::with_capacity(1 << 18, counted);
        let first = bytes.fill_buf().map_err(FileError::io(&path, "read"))?;
        let form = match first {
            [0x1f, 0x8b, ..] => Form::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Form::Zstd,
            _ => Form::Plain,
        };
        if form == Form::Plain
            && let Some(named) = named(&path)
        {
            let what = format!("its name says {named}, and its first bytes are not those of {named}");
            return Err(FileError::Damaged { path, place: "byte 0".to_owned(), what });
        }
        let reader: Box<dyn Read + Send> = match form {
            Form::Plain => Box::new(bytes),
            Form::Gzip => Box::new(MultiGzDecoder::new(bytes)),
            Form::Zstd => {
                let decoder = zstd::Decoder::with_buffer(bytes);
                Box::new(decoder.map_err(FileError::io(&path, "read"))?)
            }
        };
        Ok(Self { path, reader: BufReader::with_capacity(1 << 18, reader), form, consumed, line: 0 })
    }

    /// Whether the file is compressed.
    pub fn is_compressed(&self) -> bool {
        self.form != Form::Plain
    }

    /// The number of bytes of the file that were read so far.
    pub fn consumed(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }

    /// Puts the next line into `line`, without its line end, and returns its number from 1; none at the end.
    ///
    /// # Errors
    /// If the file cannot be read, or its compression is damaged or incomplete: there are no lines after that. If the line
    /// is too long ([`FileError::Json`]): the next line follows.
    pub fn next_line(&mut self, line: &mut Vec<u8>) -> Result<Option<u64>, FileError> {
        line.clear();
        let read = self.reader.by_ref().take(LONGEST).read_until(b'\n', line);
        let read = read.map_err(|error| self.damaged(error))? as u64;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if read == LONGEST {
            line.clear();
            self.reader.skip_until(b'\n').map_err(|error| self.damaged(error))?;
            let what = format!("is longer than {LONGEST} bytes");
            return Err(FileError::Json { path: self.path.clone(), line: self.line as usize, what });
        }
        Ok(Some(self.line))
    }

    fn damaged(&self, error: io::Error) -> FileError {
        let form = match self.form {
            Form::Plain => return FileError::io(&self.path, "read")(error),
            Form::Gzip => "gzip",
            Form::Zstd => "zstd",
        };
        let what = match error.kind() {
            io::ErrorKind::UnexpectedEof => format!("the {form} stream ends too early: the file is incomplete"),
            _ => format!("the {form} stream is damaged: {error}"),
        };
        let place = format!("after line {}, within the first {} bytes", self.line, self.consumed());
        FileError::Damaged { path: self.path.clone(), place, what }
    }
}

/// The compression that a file's name says.
fn named(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "gz" => Some("gzip"),
        "zst" => Some("zstd"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn read(name: &str, bytes: &[u8]) -> Result<Vec<(u64, String)>, FileError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut lines = TextLines::open(RegularFile::open(&path)?)?;
        let (mut line, mut all) = (Vec::new(), Vec::new());
        while let Some(number) = lines.next_line(&mut line)? {
            all.push((number, String::from_utf8(line.clone()).unwrap()));
        }
        Ok(all)
    }

    #[test]
    fn each_form_has_the_same_lines() {
        let text = b"one\n\ntwo \xe6\x96\x87\nthree";
        let expected: Vec<(u64, String)> =
            [(1, "one"), (2, ""), (3, "two \u{6587}"), (4, "three")].map(|(at, text)| (at, text.to_owned())).into();
        assert_eq!(read("a.jsonl", text).unwrap(), expected);
        assert_eq!(read("a.jsonl.gz", &gzip(text)).unwrap(), expected);
        assert_eq!(read("a.jsonl", &gzip(text)).unwrap(), expected, "the bytes tell, not the name");
        let both = [gzip(&text[..7]), gzip(&text[7..])].concat();
        assert_eq!(read("a.jsonl.gz", &both).unwrap(), expected, "members one after the other");
        let zstd = zstd::encode_all(&text[..], 3).unwrap();
        assert_eq!(read("a.jsonl.zst", &zstd).unwrap(), expected);
        let both = [zstd::encode_all(&text[..7], 3).unwrap(), zstd::encode_all(&text[7..], 3).unwrap()].concat();
        assert_eq!(read("a.jsonl.zst", &both).unwrap(), expected);
        assert_eq!(read("a.jsonl", b"").unwrap(), []);
    }

    #[test]
    fn damaged_streams_are_named_with_their_place() {
        let text: Vec<u8> = (0..20_000).flat_map(|n| format!("line {}\n", n * 7919 % 10_007).into_bytes()).collect();
        for (name, whole) in [("a.gz", gzip(&text)), ("a.zst", zstd::encode_all(&text[..], 3).unwrap())] {
            let cut = read(name, &whole[..whole.len() / 2]).unwrap_err().to_string();
            assert!(cut.contains("after line ") && cut.contains("ends too early"), "{cut}");
            let mut changed = whole.clone();
            let middle = changed.len() / 2;
            changed[middle..middle + 8].iter_mut().for_each(|byte| *byte ^= 0x55);
            let said = read(name, &changed).unwrap_err().to_string();
            assert!(said.contains("after line "), "{said}");
            let said = read(name, b"{}\n").unwrap_err().to_string();
            assert!(said.contains("byte 0") && said.contains("its name says"), "{said}");
        }
    }
}

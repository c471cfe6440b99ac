//! A range of a file as a file of its own.

use std::io::{self, Read, Seek, SeekFrom};

use crate::{FileError, RegularFile};

/// A range of a file that is read as a file of its own. Short reads are answered from a window.
pub(crate) struct Section<'a> {
    file: &'a RegularFile,
    /// Where it begins in the file.
    begin: u64,
    length: u64,
    at: u64,
    window: Vec<u8>,
    /// Where the window begins in the section.
    first: u64,
}

impl<'a> Section<'a> {
    /// Bytes that are read for a short read.
    const WINDOW: u64 = 4 << 10;

    pub(crate) const fn new(file: &'a RegularFile, begin: u64, length: u64) -> Self {
        Self { file, begin, length, at: 0, window: Vec::new(), first: 0 }
    }

    pub(crate) const fn length(&self) -> u64 {
        self.length
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.length.saturating_sub(self.at);
        let wanted = buffer.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        let buffer = &mut buffer[..wanted];
        if wanted == 0 {
            return Ok(0);
        }
        let within = |first: u64, length: usize, at: u64| {
            at.checked_sub(first).filter(|offset| *offset < length as u64).map(|offset| offset as usize)
        };
        let unreadable = |error: FileError| io::Error::other(error.to_string());
        let begin = |at: u64| self.begin.checked_add(at).ok_or_else(|| io::Error::other("beyond any file"));
        if wanted as u64 >= Self::WINDOW {
            self.file.read_at(buffer, begin(self.at)?).map_err(unreadable)?;
            self.at += wanted as u64;
            return Ok(wanted);
        }
        if within(self.first, self.window.len(), self.at).is_none() {
            // The archive's list is read backwards from the end, so that the window also has what is before.
            let first = self.at.saturating_sub(Self::WINDOW / 2);
            let length = (self.length - first).min(Self::WINDOW);
            let from = begin(first)?;
            self.window.resize(length as usize, 0);
            self.first = first;
            if let Err(error) = self.file.read_at(&mut self.window, from) {
                self.window.clear();
                return Err(unreadable(error));
            }
        }
        let Some(offset) = within(self.first, self.window.len(), self.at) else { return Ok(0) };
        let now = wanted.min(self.window.len() - offset);
        buffer[..now].copy_from_slice(&self.window[offset..offset + now]);
        self.at += now as u64;
        Ok(now)
    }
}

impl Seek for Section<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a cursor over the same bytes: the same after any sequence of seeks and reads.
        #[test]
        fn it_is_read_as_a_file(before in 0u64..9000, length in 0u64..9000, steps in prop::collection::vec((0i64..9500, any::<bool>(), 0usize..6000), 0..12)) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("whole");
            let whole: Vec<u8> = (0..before + length + 5).map(|at| (at * 7919 % 251) as u8).collect();
            std::fs::write(&path, &whole).unwrap();
            let file = RegularFile::open(&path).unwrap();
            let mut section = Section::new(&file, before, length);
            let mut cursor = io::Cursor::new(&whole[before as usize..(before + length) as usize]);
            for (to, from_end, count) in steps {
                let to = if from_end { SeekFrom::End(-to) } else { SeekFrom::Start(to as u64) };
                let (ours, theirs) = (section.seek(to), cursor.seek(to));
                prop_assert_eq!(ours.as_ref().ok(), theirs.as_ref().ok());
                let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                section.by_ref().take(count as u64).read_to_end(&mut ours).unwrap();
                cursor.by_ref().take(count as u64).read_to_end(&mut theirs).unwrap();
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}

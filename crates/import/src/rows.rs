//! The result of reading a file: rows of tables, and the problems.

use std::fmt::{self, Display};
use std::path::Path;

#[cfg(test)]
use retrace_spec::Digest;
use retrace_spec::foreign::{concise, excerpt};
use retrace_spec::{Step, Tokens};
use retrace_tables::{Checkpoint, Claim, Metric, Sample, TrainLog};

use crate::beside::Beside;

/// A part that could not be read: its position and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem(String);

impl Problem {
    pub(crate) fn at(place: impl Display, what: impl Display) -> Self {
        // Both may quote any content of the file.
        Self(format!("{}: {}", excerpt(&place.to_string()), concise(&what.to_string())))
    }

    /// A problem of the complete file.
    pub(crate) fn whole(what: impl Into<String>) -> Self {
        Self(concise(&what.into()))
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    /// Its release.
    pub(crate) release: &'a str,
    /// Its name in the tables.
    pub(crate) source: &'a str,
    /// Its path.
    pub(crate) path: &'a Path,
    /// Its content.
    pub(crate) bytes: &'a [u8],
    /// What other files of the same import say about it.
    pub(crate) beside: &'a Beside,
}

impl Input<'_> {
    /// The file's name.
    pub(crate) fn name(&self) -> &str {
        self.source.rsplit('/').next().unwrap_or_default()
    }

    /// The file's name without its ending.
    pub(crate) fn stem(&self) -> &str {
        self.name().rsplit_once('.').map_or(self.name(), |(stem, _)| stem)
    }

    /// The file's path below the directory that was given, without its ending: it distinguishes files of the same name
    /// in several directories.
    pub(crate) fn below(&self) -> &str {
        let path = self.source.split_once('/').map_or(self.source, |(_, below)| below);
        let ending = self.name().len() - self.stem().len();
        &path[..path.len() - ending]
    }

    /// The name of the directory that contains the file, or of the one `above` it.
    pub(crate) fn folder(&self, above: usize) -> String {
        folder(self.path, above)
    }

    pub(crate) fn metric(
        &self,
        run: &str,
        step: Option<u64>,
        task: &str,
        metric: &str,
        value: f64,
        place: String,
    ) -> Metric {
        Metric {
            release: self.release.to_owned(),
            run: run.to_owned(),
            step: step.map(Step),
            tokens: None,
            task: task.to_owned(),
            shots: None,
            metric: metric.to_owned(),
            value,
            stderr: None,
            source: self.source.to_owned(),
            place,
            is_group: None,
            time: None,
        }
    }
}

/// The name of the directory that contains a file, or of the one `above` it.
pub(crate) fn folder(file: &Path, above: usize) -> String {
    let path = std::path::absolute(file).unwrap_or_default();
    let folder = path.ancestors().nth(above + 1).and_then(Path::file_name);
    folder.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The longest name that is accepted. Each row has its own copy of its names, so names as long as the file would make
/// the rows as large as the file's size squared.
pub(crate) const LONGEST_NAME: usize = 512;
/// Approximate memory of a row, without its names. Two bytes of a file can be a row.
const ROW: usize = 300;
/// The maximum memory of a file's rows.
const MOST_BYTES: usize = 3 << 30;

/// The maximum number of problems of a file that are listed one by one.
const TOLD: usize = 3;

/// The rows of a file, and its problems.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) metrics: Vec<Metric>,
    pub(crate) train_log: Vec<TrainLog>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) checkpoints: Vec<Checkpoint>,
    pub(crate) claims: Vec<Claim>,
    /// Their approximate memory.
    bytes: usize,
    problems: Vec<Problem>,
    untold: usize,
    /// What is not wrong, but good to know.
    notes: Vec<Problem>,
}

impl Rows {
    /// Whether there is memory for a row at `place` and its names are acceptable; records a problem if not.
    pub(crate) fn accept(&mut self, place: impl Display, names: &[&str]) -> bool {
        if self.bytes > MOST_BYTES {
            self.problem(Problem::at(
                place,
                format_args!("the rows reached the limit of {MOST_BYTES} bytes; the rest is not imported"),
            ));
            return false;
        }
        let longest = names.iter().map(|name| name.len()).max().unwrap_or_default();
        self.bytes += ROW + names.iter().map(|name| name.len()).sum::<usize>();
        if longest > LONGEST_NAME {
            self.problem(Problem::at(place, format_args!("a name has {longest} bytes; the limit is {LONGEST_NAME}")));
        }
        longest <= LONGEST_NAME
    }

    pub(crate) fn claim(
        &mut self,
        input: &Input<'_>,
        subject: &str,
        name: &str,
        value: &str,
        number: Option<f64>,
        place: &str,
    ) {
        if self.accept(place, &[subject, name, place]) {
            self.claims.push(Claim {
                release: input.release.to_owned(),
                subject: subject.to_owned(),
                name: name.to_owned(),
                value: value.to_owned(),
                number,
                source: input.source.to_owned(),
                place: place.to_owned(),
            });
        }
    }

    /// Records a problem; the rest of the file is still read.
    pub(crate) fn problem(&mut self, problem: Problem) {
        if self.problems.len() < TOLD {
            self.problems.push(problem);
        } else {
            self.untold += 1;
        }
    }

    /// Records something that is not wrong, but that the user should know: how a file was understood.
    pub(crate) fn note(&mut self, note: Problem) {
        if self.notes.len() < TOLD {
            self.notes.push(note);
        }
    }

    /// The notes, as sentences.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.iter().map(ToString::to_string).collect()
    }

    /// All problems as a sentence, if there are any.
    pub(crate) fn problems(&self) -> Option<String> {
        let mut all = self.problems.iter().map(ToString::to_string).collect::<Vec<_>>();
        if self.untold > 0 {
            all.push(format!("and {} more", self.untold));
        }
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// The number of rows in all tables.
    pub(crate) fn len(&self) -> usize {
        self.metrics.len() + self.train_log.len() + self.samples.len() + self.checkpoints.len() + self.claims.len()
    }

    /// Adds the rows and problems of another part of the file.
    pub(crate) fn append(&mut self, other: Self) {
        self.metrics.extend(other.metrics);
        self.train_log.extend(other.train_log);
        self.samples.extend(other.samples);
        self.checkpoints.extend(other.checkpoints);
        self.claims.extend(other.claims);
        self.bytes += other.bytes;
        other.problems.into_iter().for_each(|problem| self.problem(problem));
        self.untold += other.untold;
        other.notes.into_iter().for_each(|note| self.note(note));
    }

    /// Sets the tokens that a row's checkpoint was trained on, if the file does not state them.
    pub(crate) fn fill_tokens(&mut self, per_step: u64) {
        let fill = |step: Option<Step>, tokens: &mut Option<Tokens>| {
            *tokens = tokens.or_else(|| step?.get().checked_mul(per_step).map(Tokens));
        };
        self.metrics.iter_mut().for_each(|row| fill(row.step, &mut row.tokens));
        self.train_log.iter_mut().for_each(|row| fill(Some(row.step), &mut row.tokens));
        self.checkpoints.iter_mut().for_each(|row| fill(row.step, &mut row.tokens));
    }
}

/// The result of reading these bytes, for tests of a reader.
#[cfg(test)]
pub(crate) fn read_as(source: &str, bytes: &[u8], read: impl Fn(&Input<'_>, &mut Rows) -> Result<(), Problem>) -> Rows {
    read_beside(source, bytes, &Beside::Nothing, read)
}

/// As [`read_as`], with what other files say about this one.
#[cfg(test)]
pub(crate) fn read_beside(
    source: &str,
    bytes: &[u8],
    beside: &Beside,
    read: impl Fn(&Input<'_>, &mut Rows) -> Result<(), Problem>,
) -> Rows {
    let mut rows = Rows::default();
    let path = Path::new("/somewhere").join(source);
    if let Err(problem) = read(&Input { release: "r", source, path: &path, bytes, beside }, &mut rows) {
        rows.problem(problem);
    }
    rows
}

/// Asserts that no prefix of a file, and no file with one changed byte, causes a panic.
#[cfg(test)]
pub(crate) fn survives(source: &str, bytes: &[u8], read: impl Fn(&Input<'_>, &mut Rows) -> Result<(), Problem>) {
    for at in 0..bytes.len() {
        read_as(source, &bytes[..at], &read);
        let mut turned = bytes.to_vec();
        turned[at] ^= 0xff;
        read_as(source, &turned, &read);
    }
    // `just fuzz` runs many more of these.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256u64);
    for case in 0..cases {
        let drawn = *Digest::of(format!("{source}/{case}").as_bytes()).as_bytes();
        let mut changed = bytes.to_vec();
        for change in drawn.chunks_exact(4).take(1 + usize::from(drawn[31]) % 7) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % (changed.len() + 1);
            let other = usize::from(change[3]) * changed.len() / 256;
            match change[2] % 8 {
                0 => changed.truncate(at),
                1 => changed.extend_from_within(other.min(at)..at),
                2 => changed.splice(at..at, *b"99999999999999999999").for_each(drop),
                3 => changed.splice(at..at, *b"[[{\"NaN\":-1e999,").for_each(drop),
                4 => changed.splice(at..at, [0xff, 0, b'\r', b'\n', b'"', b',']).for_each(drop),
                5 => changed.drain(other.min(at)..at).for_each(drop),
                _ if at < changed.len() => changed[at] = change[3],
                _ => changed.push(change[3]),
            }
        }
        read_as(source, &changed, &read);
    }
}

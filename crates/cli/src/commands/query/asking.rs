//! The options of every verb that queries tables: how far tables and queries are trusted.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use retrace_query::{By, Limits, Options, Session, Stores, UnknownPart};

use crate::environment;
use crate::terminal::{Terminal, Tone};

/// How far tables and queries are trusted.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Asking {
    /// Do not check tables against the release's manifest or their own checksums
    #[arg(long)]
    unchecked: bool,
    /// Let SQL from files (rules and named queries) read any file and URL
    #[arg(long)]
    trust_queries: bool,
    /// Stop a query after this time; 0 means no limit
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    timeout: Duration,
    /// Stop a query that needs more memory than this, such as 800M or 4G [default: half of the memory]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<usize>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is not a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

/// Bytes, or with a suffix letter, powers of 1024.
fn size(text: &str) -> Result<usize, String> {
    let shift = match text.chars().last().map(|c| c.to_ascii_uppercase()) {
        Some('K') => 10,
        Some('M') => 20,
        Some('G') => 30,
        Some('T') => 40,
        _ => 0,
    };
    let number = if shift == 0 { text } else { &text[..text.len() - 1] };
    let number: usize = number.parse().map_err(|_| "it is not a size such as 800M or 4G")?;
    number
        .checked_shl(shift)
        .filter(|size| size >> shift == number && *size > 0)
        .ok_or("the size is 0 or too large".to_owned())
}

impl Asking {
    /// In the form that the query crate uses.
    pub(crate) fn options(&self) -> Options {
        let limits = Limits {
            time: Some(self.timeout).filter(|time| !time.is_zero()),
            memory: self.memory.or_else(|| environment::memory().map(|memory| memory / 2)),
        };
        Options {
            stores: Stores::new(environment::object_stores()).with_proxies(environment::proxies()),
            partitions: NonZeroUsize::new(rayon::current_num_threads()).unwrap_or(NonZeroUsize::MIN),
            limits,
            checked: !self.unchecked,
            notes: environment::cache_directory().map(|cache| cache.join("checked")),
            trusting: self.trust_queries,
            texts: Vec::new(),
        }
    }

    /// Prints which parts of releases are missing in an answer, and which files no manifest covers, unless it printed
    /// that before.
    pub(crate) fn tell(&self, session: &Session, said: &mut BTreeSet<String>, terminal: &Terminal) {
        for UnknownPart { manifest, part } in session.unknown() {
            let what = format!("{manifest}: {}: {}", part.at, part.why);
            if said.insert(what.clone()) {
                terminal.say(Tone::Bad, "incomplete", format_args!("artifacts and steps: {what}"));
            }
        }
        if self.unchecked {
            return;
        }
        let mut new = |by: By| {
            let files = session.held().into_iter().filter(|held| held.by == by && said.insert(held.file.clone()));
            files.map(|held| held.file).collect::<Vec<_>>()
        };
        for (by, what) in [
            (By::Checksum, "no manifest covers them; they match their own checksums"),
            (By::Nothing, "no manifest covers them, and they have no checksums"),
        ] {
            let files = new(by);
            if let Some((first, more)) = files.split_first() {
                let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
                terminal.say(Tone::Faint, "not sealed", format!("{first}{more}: {what}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_by_hand() {
        for (text, bytes) in [("1", 1), ("10k", 10 << 10), ("800M", 800 << 20), ("4G", 4 << 30)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "0", "-1", "1.5G", "4X", "99999999999T", "é"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "-1", "nan", "inf", "1e300", "a"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}

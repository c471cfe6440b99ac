//! What a launcher or a collector of logs puts before each line of a process: `[default0]:` (torchrun), `0: ` (srun -l),
//! `worker-1: ` (pdsh), `node1  | ` (docker compose), `(RayTrainWorker pid=7) ` (Ray), `[pod/a/b] ` (kubectl), and the time
//! (docker, kubectl).

use std::borrow::Cow;

use crate::value::seconds;

/// The most that are before one line.
const MOST: usize = 4;
/// A longer text is no name of a process.
const LONGEST: usize = 128;

/// A line without escape sequences that set colours (ECMA-48, SGR). Anything may be in a log; it is read as UTF-8.
pub(crate) fn plain(line: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(line);
    if !text.contains("\x1b[") {
        return text;
    }
    let mut pieces = text.split("\x1b[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').strip_prefix('m') {
            Some(rest) => plain.push_str(rest),
            None => plain.extend(["\x1b[", piece]),
        }
    }
    plain.into()
}

/// The names of the process in what is before a line, with spaces between, and the line. A time is no name.
pub(crate) fn split(line: &str) -> (Cow<'_, str>, &str) {
    let (mut names, mut rest) = (Cow::Borrowed(""), line);
    for _ in 0..MOST {
        let Some((name, after)) = time(rest).or_else(|| name(rest)) else { break };
        rest = after;
        if names.is_empty() {
            names = name.into();
        } else if !name.is_empty() {
            names = format!("{names} {name}").into();
        }
    }
    (names, rest)
}

/// A time as containers have it, which is before the name of the stream where that is told too: `2025-03-01T12:30:01.5Z `,
/// `2025-03-01T12:30:01.5Z stdout F `.
fn time(text: &str) -> Option<(&str, &str)> {
    let (time, rest) = text.split_once(' ')?;
    seconds(time).filter(|_| time.contains('T'))?;
    let stream = ["stdout F ", "stderr F "].into_iter().find_map(|stream| rest.strip_prefix(stream));
    Some(("", stream.unwrap_or(rest)))
}

/// The first name of a process before a text.
fn name(text: &str) -> Option<(&str, &str)> {
    let bracket = |open: char, close: char| text.strip_prefix(open)?.split_once(close);
    let named = if let Some((name, rest)) = bracket('[', ']') {
        let is_pod = name.starts_with("pod/");
        let rest = rest.strip_prefix(if is_pod { ' ' } else { ':' })?;
        (is_pod || is_name(name)).then_some((name, rest))?
    } else if let Some((name, rest)) = bracket('(', ')') {
        (name, rest.strip_prefix(' ').filter(|_| name.contains("pid="))?)
    } else {
        let text = text.trim_start();
        let end = text.find(|c: char| !is_in_name(c))?;
        let (name, rest) = text.split_at_checked(end)?;
        // The name of a count is no process: `step1: …`.
        let counts = ["step", "iter", "epoch"].iter().any(|word| name.to_ascii_lowercase().starts_with(word));
        let rest = rest.strip_prefix(": ").or_else(|| rest.trim_start_matches(' ').strip_prefix("| "))?;
        (name, Some(rest).filter(|_| is_name(name) && !counts)?)
    };
    (named.0.len() <= LONGEST).then_some(named)
}

/// Whether this may name a process: one of several, so it has a number.
fn is_name(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_digit()) && text.chars().all(is_in_name)
}

fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_before_a_line() {
        for (line, name, rest) in [
            ("[default0]:    a=1", "default0", "    a=1"),
            ("[rank13]: x", "rank13", " x"),
            ("0:     a=1", "0", "    a=1"),
            (" 7: x", "7", "x"),
            ("node1  | x", "node1", "x"),
            ("worker-0: x", "worker-0", "x"),
            ("10.0.0.1: [default3]:x", "10.0.0.1 default3", "x"),
            ("(RayTrainWorker pid=7, ip=10.0.0.1)     a=1", "RayTrainWorker pid=7, ip=10.0.0.1", "    a=1"),
            ("[pod/job-0/main] x", "pod/job-0/main", "x"),
            ("2025-03-01T12:30:01.123456789Z     a=1", "", "    a=1"),
            ("2025-03-01T12:30:01.5+00:00 stdout F x", "", "x"),
            ("3: 2025-03-01T12:30:01Z x", "3", "x"),
            // These are of the line itself.
            ("    a=1", "", "    a=1"),
            ("[2024-05-01 12:00:00] iteration 1/2", "", "[2024-05-01 12:00:00] iteration 1/2"),
            ("2025-06-28 11:48:34.886 | INFO | x", "", "2025-06-28 11:48:34.886 | INFO | x"),
            ("iteration: 1 / 2 | a: 1", "", "iteration: 1 / 2 | a: 1"),
            ("step1: x", "", "step1: x"),
            ("[step=1/2]", "", "[step=1/2]"),
            ("", "", ""),
        ] {
            assert_eq!(split(line), (name.into(), rest), "{line}");
        }
        assert_eq!(split(&"1: ".repeat(1000)).0, "1 1 1 1");
    }

    #[test]
    fn colours_are_no_text() {
        assert_eq!(plain(b"\x1b[36m(W pid=1)\x1b[0m a\x1b[1;31mb"), "(W pid=1) ab");
        assert_eq!(plain(b"a\x1b[2Kb\x1b["), "a\x1b[2Kb\x1b[");
        assert_eq!(plain(b"\xff"), "\u{fffd}");
    }
}

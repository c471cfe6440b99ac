//! Regular expressions of Python, as far as the engine here reads them in the same way.

use fancy_regex::{Captures, Regex};
use retrace_spec::foreign::excerpt;

/// `re.sub(pattern, with, text, count)`; all of them if `count` is 0.
///
/// # Errors
/// If the pattern is not read here, or asks for too much.
pub(crate) fn replaced(pattern: &str, text: &str, with: &str, count: usize) -> Result<String, String> {
    let refused = |what: &dyn std::fmt::Display| format!("the pattern {:?}: {what}", excerpt(pattern));
    let regex = Regex::new(pattern).map_err(|error| refused(&error))?;
    let parts = parts(with)?;
    let (mut out, mut end, mut done) = (String::new(), 0, 0);
    for found in regex.captures_iter(text) {
        let found = found.map_err(|error| refused(&error))?;
        let Some(whole) = found.get(0) else { continue };
        out.push_str(&text[end..whole.start()]);
        parts.iter().try_for_each(|part| part.write(&found, &mut out))?;
        end = whole.end();
        done += 1;
        if done == count {
            break;
        }
    }
    out.push_str(&text[end..]);
    Ok(out)
}

/// `re.findall(pattern, text)`: the first group of each match, or the match if there is no group.
///
/// # Errors
/// As [`replaced`].
pub(crate) fn found(pattern: &str, text: &str) -> Result<Vec<String>, String> {
    let refused = |what: &dyn std::fmt::Display| format!("the pattern {:?}: {what}", excerpt(pattern));
    let regex = Regex::new(pattern).map_err(|error| refused(&error))?;
    let mut all = Vec::new();
    for found in regex.captures_iter(text) {
        let found = found.map_err(|error| refused(&error))?;
        let wanted = usize::from(found.len() > 1);
        all.push(found.get(wanted).map_or_else(String::new, |group| group.as_str().to_owned()));
    }
    Ok(all)
}

enum Part {
    Text(String),
    Group(usize),
}

impl Part {
    fn write(&self, found: &Captures<'_>, out: &mut String) -> Result<(), String> {
        match self {
            Self::Text(text) => out.push_str(text),
            Self::Group(number) if *number >= found.len() => return Err(format!("there is no group {number}")),
            Self::Group(number) => out.push_str(found.get(*number).map_or("", |group| group.as_str())),
        }
        Ok(())
    }
}

/// The parts of a replacement: `\1` is a group.
fn parts(with: &str) -> Result<Vec<Part>, String> {
    let (mut parts, mut text) = (Vec::new(), String::new());
    let mut characters = with.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match characters.next() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('\\') => text.push('\\'),
            Some(digit @ '1'..='9') => {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Group(digit as usize - '0' as usize));
            }
            other => return Err(format!("the replacement has `\\{}`", other.unwrap_or(' '))),
        }
    }
    parts.push(Part::Text(text));
    Ok(parts)
}

//! Python's `re.sub`.

use fancy_regex::Captures;

use super::Pattern;

/// `re.sub(pattern, with, text, count)`; all of them if `count` is 0.
///
/// # Errors
/// If the pattern is not read here, or asks for too much.
pub(crate) fn replaced(pattern: &str, text: &str, with: &str, count: usize) -> Result<String, String> {
    let parts = parts(with)?;
    let (mut out, mut end, mut done, mut wrong) = (String::new(), 0, 0, None);
    let pattern = Pattern::new(pattern).map_err(|error| error.to_string())?;
    let searched = pattern.each(text, |found| {
        let Some(whole) = found.get(0).filter(|_| count == 0 || done < count) else { return };
        out.push_str(&text[end..whole.start()]);
        if let Err(what) = parts.iter().try_for_each(|part| part.write(found, &mut out)) {
            wrong.get_or_insert(what);
        }
        end = whole.end();
        done += 1;
    });
    searched.map_err(|error| error.to_string())?;
    if let Some(what) = wrong {
        return Err(what);
    }
    out.push_str(&text[end..]);
    Ok(out)
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

//! Whether two answers in LaTeX are the same text after the normalization that the tasks on mathematics share.

use crate::substitution::found;

/// What a Python exception of the normalization is here: the texts are then compared as they are.
struct Failed;

/// Whether two answers are the same; if one is none, only if both are.
pub(super) fn is_equivalent(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same_latex(a, b, false),
        // The task normalizes a missing answer, which fails, and then compares.
        (a, b) => a == b,
    }
}

/// Whether two texts of LaTeX are the same. A fraction `a/b` of other things than numbers is no reason to give up,
/// unless `strict`.
pub(super) fn same_latex(a: &str, b: &str, strict: bool) -> bool {
    match (normal(a, strict), normal(b, strict)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// The last `\\boxed{…}` or `\\fbox{…}` of a text.
pub(super) fn boxed(text: &str) -> Option<String> {
    if let Some((_, rest)) = text.rsplit_once("\\boxed ") {
        return Some(format!("\\boxed {}", rest.split('$').next().unwrap_or_default()));
    }
    braced(text)
}

fn braced(text: &str) -> Option<String> {
    let at = text.rfind("\\boxed").or_else(|| text.rfind("\\fbox"))?;
    let mut open = 0_i64;
    for (place, c) in text[at..].char_indices() {
        open += i64::from(c == '{') - i64::from(c == '}');
        if c == '}' && open == 0 {
            return Some(text[at..=at + place].to_owned());
        }
    }
    None
}

/// What is in the box.
pub(super) fn without_box(text: &str) -> Result<String, String> {
    if text.contains("\\boxed ") {
        let inner = text.strip_prefix("\\boxed ");
        return inner.map(str::to_owned).ok_or_else(|| "the answer does not begin with its box".to_owned());
    }
    let inner = text.strip_prefix("\\boxed{").and_then(|text| text.strip_suffix('}'));
    inner.map(str::to_owned).ok_or_else(|| "the answer is in no box".to_owned())
}

/// The answer that a longer text gives: in its box, between dollar signs, after `=`, or its last number.
pub(super) fn in_text(text: &str) -> Result<Option<String>, String> {
    let last = |text: &str| match text.rsplit_once('=') {
        Some((_, last)) => last.trim_start_matches(' ').to_owned(),
        None => text.to_owned(),
    };
    if text.contains("\\boxed") {
        return Ok(braced(text).and_then(|text| without_plain_box(&text)).map(|text| last(&text)));
    }
    let dollars = found(r"\$(.*)\$", text)?.pop().map(|text| last(&text));
    if let Some(answer) = dollars.filter(|answer| !answer.is_empty()) {
        return Ok(Some(answer));
    }
    if text.contains('=') {
        let answer = last(text);
        let answer = answer.trim_end_matches('.');
        return Ok(Some(answer.split("\\n").next().unwrap_or_default().to_owned()));
    }
    Ok(found(r"(?:\$)?\d+(?:\.\d+)?(?![\w\d])", text)?.pop())
}

fn without_plain_box(text: &str) -> Option<String> {
    text.strip_prefix("\\boxed{")?.strip_suffix('}').map(str::to_owned)
}

fn normal(text: &str, strict: bool) -> Result<String, Failed> {
    let mut out = text.replace('\n', "");
    for (old, new) in [
        ("\\!", ""),
        ("\\\\", "\\"),
        ("tfrac", "frac"),
        ("dfrac", "frac"),
        ("\\left", ""),
        ("\\right", ""),
        ("^{\\circ}", ""),
        ("^\\circ", ""),
        ("\\$", ""),
    ] {
        out = out.replace(old, new);
    }
    if let Some((before, after)) = out.split_once("\\text{ ") {
        if after.contains("\\text{ ") {
            return Err(Failed);
        }
        out = before.to_owned();
    }
    out = out.replace("\\%", "").replace(" .", " 0.").replace("{.", "{0.");
    if out.is_empty() {
        return Ok(out);
    }
    if out.starts_with('.') {
        out.insert(0, '0');
    }
    if let Some((left, right)) = out.split_once('=')
        && !right.contains('=')
        && left.chars().count() <= 2
    {
        out = right.to_owned();
    }
    out = fractions(&roots(&out)?.replace(' ', ""))?;
    if out == "0.5" {
        "\\frac{1}{2}".clone_into(&mut out);
    }
    slash(out, strict)
}

fn roots(text: &str) -> Result<String, Failed> {
    let mut parts = text.split("\\sqrt");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.chars().next().ok_or(Failed)? {
            '{' => out += &format!("\\sqrt{part}"),
            c => out += &format!("\\sqrt{{{c}}}{}", &part[c.len_utf8()..]),
        }
    }
    Ok(out)
}

fn fractions(text: &str) -> Result<String, Failed> {
    let mut parts = text.split("\\frac");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut rest = part.chars();
        let first = rest.next().ok_or(Failed)?;
        out += "\\frac";
        if first == '{' {
            out += part;
            continue;
        }
        let Some(second) = rest.next() else { return Ok(text.to_owned()) };
        let second = if second == '{' { "{".to_owned() } else { format!("{{{second}}}") };
        out += &format!("{{{first}}}{second}{}", rest.as_str());
    }
    Ok(out)
}

/// `a/b` of whole numbers as a fraction.
fn slash(text: String, strict: bool) -> Result<String, Failed> {
    let Some((a, b)) = text.split_once('/').filter(|(_, b)| !b.contains('/')) else { return Ok(text) };
    let is_whole = |number: &str| {
        let digits = number.strip_prefix(['-', '+']).unwrap_or(number);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_whole(a) || !is_whole(b) {
        return if strict { Err(Failed) } else { Ok(text) };
    }
    let as_written = |number: &str| {
        let digits = number.strip_prefix('-').unwrap_or(number);
        digits == "0" && !number.starts_with('-') || !digits.starts_with(['0', '+'])
    };
    if as_written(a) && as_written(b) { Ok(format!("\\frac{{{a}}}{{{b}}}")) } else { Ok(text) }
}

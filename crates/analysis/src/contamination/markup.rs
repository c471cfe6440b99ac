//! Markup and escapes in texts: what stands there for a character, and what is as if it were not there.

/// HTML elements whose tags separate nothing.
const INLINE: &str = "a abbr b cite code em font i kbd label mark q s small span strong sub sup tt u";

/// Other HTML elements.
const BLOCK: &str = "address article aside audio blockquote body br button caption center col colgroup dd details \
    div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hr html iframe \
    img input legend li link main meta nav noscript ol option p picture pre script section select \
    source style summary table tbody td textarea tfoot th thead time title tr ul video wbr";

/// Entities by name that stand for something else than a separator or an apostrophe are few in running text.
const LETTERS: &str = "agrave à aacute á acirc â atilde ã auml ä aring å aelig æ ccedil ç egrave è eacute é \
    ecirc ê euml ë iacute í icirc î iuml ï ntilde ñ oacute ó ocirc ô ouml ö oslash ø szlig ß \
    uacute ú ucirc û uuml ü";

/// The longest tag or link target, in bytes: a `<` without an end is not searched through the rest of a document.
const LONGEST_TAG: usize = 2000;

/// What a place in a text is, if it is no letter.
pub(super) enum Markup {
    /// Nothing but a character.
    None,
    /// So many bytes that separate units.
    Separator(usize),
    /// So many bytes that are as if they were not there.
    Nothing(usize),
    /// So many bytes that stand for a character.
    Character(usize, char),
}

/// What stands at the ASCII character `i` of `text`, which is no letter, digit or space.
pub(super) fn markup(text: &str, i: usize, in_word: bool) -> Markup {
    let bytes = text.as_bytes();
    let at = |k: usize| bytes.get(i + k).copied().unwrap_or(b' ');
    match at(0) {
        b'\'' => Markup::Nothing(1),
        b',' if in_word && bytes.get(i.wrapping_sub(1)).is_some_and(u8::is_ascii_digit) && groups(text, i + 1) => {
            Markup::Nothing(1)
        }
        b'<' if at(1) == b'<' => calculation(bytes, i),
        b'<' => tag(bytes, i),
        b'&' => entity(text, i),
        b'\\' => escape(bytes, i),
        b']' if at(1) == b'(' => link(bytes, i),
        _ => Markup::None,
    }
}

/// Whether exactly three digits of either width stand at `i`.
pub(super) fn groups(text: &str, i: usize) -> bool {
    let mut next = text.get(i..).unwrap_or_default().chars();
    let digit = |c: Option<char>| matches!(c, Some('0'..='9' | '０'..='９'));
    (0..3).all(|_| digit(next.next())) && !digit(next.next())
}

/// `<<48/2=24>>`, as in GSM8K's solutions.
fn calculation(bytes: &[u8], i: usize) -> Markup {
    let inside = bytes.iter().skip(i + 2).take(100);
    let length = inside
        .take_while(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'*' | b'/' | b'=' | b'.' | b'%' | b'(' | b')' | b' '))
        .count();
    let end = i + 2 + length;
    if length > 0 && bytes.get(end..end + 2) == Some(b">>") { Markup::Separator(length + 4) } else { Markup::None }
}

/// A tag or comment. A name of HTML and then `>`, or an attribute with `=`: `a<b and c>d` has no tag.
fn tag(bytes: &[u8], i: usize) -> Markup {
    let rest = bytes.get(i..bytes.len().min(i + LONGEST_TAG)).unwrap_or_default();
    if rest.starts_with(b"<!--") {
        let end = rest.windows(3).position(|three| three == b"-->");
        return end.map_or(Markup::None, |end| Markup::Separator(end + 3));
    }
    let closing = usize::from(rest.get(1) == Some(&b'/') || rest.get(1) == Some(&b'!'));
    let name: String = rest
        .iter()
        .skip(1 + closing)
        .take(11)
        .take_while(|b| b.is_ascii_alphanumeric())
        .map(|b| char::from(b.to_ascii_lowercase()))
        .collect();
    let inline = INLINE.split(' ').any(|known| known == name);
    if !inline && BLOCK.split(' ').all(|known| known != name) && name != "doctype" {
        return Markup::None;
    }
    let after = 1 + closing + name.len();
    let end = rest.iter().skip(after).position(|b| matches!(b, b'>' | b'<')).map(|end| after + end);
    let Some(end) = end.filter(|end| rest.get(*end) == Some(&b'>')) else { return Markup::None };
    let attributes = rest.get(after..end).unwrap_or_default().trim_ascii();
    let plain = attributes.is_empty() || attributes == b"/" || name == "doctype";
    let named = attributes.contains(&b'=') && rest.get(after).is_some_and(u8::is_ascii_whitespace);
    if !plain && !named {
        return Markup::None;
    }
    if inline { Markup::Nothing(end + 1) } else { Markup::Separator(end + 1) }
}

/// `&name;`, `&#65;` or `&#x41;`, with any number of `amp;` in between.
fn entity(text: &str, i: usize) -> Markup {
    let mut start = i + 1;
    while text.get(start..start + 4) == Some("amp;") {
        start += 4;
    }
    let rest = text.as_bytes().get(start..).unwrap_or_default();
    let length = rest.iter().take(10).take_while(|b| b.is_ascii_alphanumeric() || **b == b'#').count();
    let name = text.get(start..start + length).unwrap_or_default();
    if name.is_empty() || rest.get(length) != Some(&b';') {
        return if start > i + 1 { Markup::Separator(start - i) } else { Markup::None };
    }
    let whole = start + length + 1 - i;
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
            None => number.parse(),
        };
        return match code.ok().and_then(char::from_u32) {
            Some('\'') => Markup::Nothing(whole),
            Some(c) => Markup::Character(whole, c),
            None => Markup::None,
        };
    }
    let lower = name.to_ascii_lowercase();
    let letter = LETTERS.split(' ').skip_while(|known| *known != lower).nth(1).and_then(|letter| letter.chars().next());
    match letter {
        Some(c) => Markup::Character(whole, c),
        None if matches!(name, "apos" | "rsquo" | "lsquo" | "shy" | "zwnj" | "zwj") => Markup::Nothing(whole),
        None => Markup::Separator(whole),
    }
}

/// Backslashes and what they escape. `\nabla` loses its first letter, as a line end would: in both texts.
fn escape(bytes: &[u8], i: usize) -> Markup {
    let slashes = bytes.iter().skip(i).take_while(|b| **b == b'\\').count();
    let code = |at: usize| {
        let digits = bytes.get(at..at + 4).and_then(|digits| std::str::from_utf8(digits).ok())?;
        if digits.bytes().all(|b| b.is_ascii_hexdigit()) { u32::from_str_radix(digits, 16).ok() } else { None }
    };
    match bytes.get(i + slashes) {
        Some(b'n' | b'r' | b't') => Markup::Separator(slashes + 1),
        Some(b'\'') => Markup::Nothing(slashes + 1),
        Some(b'u') => {
            let Some(first) = code(i + slashes + 1) else { return Markup::Separator(slashes) };
            let whole = slashes + 5;
            if let Some(c) = char::from_u32(first) {
                return Markup::Character(whole, c);
            }
            // The second half of a pair of surrogates.
            let more = bytes.iter().skip(i + whole).take_while(|b| **b == b'\\').count();
            let second = (bytes.get(i + whole + more) == Some(&b'u')).then(|| code(i + whole + more + 1)).flatten();
            match second {
                Some(second) if (0xD800..0xDC00).contains(&first) && (0xDC00..0xE000).contains(&second) => {
                    let c = char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00));
                    c.map_or(Markup::Separator(whole), |c| Markup::Character(whole + more + 5, c))
                }
                _ => Markup::Separator(whole),
            }
        }
        _ => Markup::Separator(slashes),
    }
}

/// The target of a Markdown link, `](https://…)`.
fn link(bytes: &[u8], i: usize) -> Markup {
    let rest = bytes.get(i..bytes.len().min(i + LONGEST_TAG)).unwrap_or_default();
    let target = rest.get(2..).unwrap_or_default();
    if !(target.starts_with(b"http") || target.starts_with(b"/") || target.starts_with(b"#")) {
        return Markup::None;
    }
    match target.iter().position(|b| b.is_ascii_whitespace() || *b == b')') {
        Some(end) if target.get(end) == Some(&b')') => Markup::Separator(end + 3),
        _ => Markup::None,
    }
}

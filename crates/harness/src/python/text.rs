//! Methods of Python's `str` that differ from Rust's.

/// `str.isspace` of one character: Rust does not count the separators of files and records.
pub const fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// `str.strip()`.
pub fn stripped(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.split()`.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// `str.isdigit`, of the digits that can be in a number: ASCII.
pub fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `str.capitalize`: the first letter large, all others small.
pub fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    let first: String = rest.next().map_or_else(String::new, |c| c.to_uppercase().collect());
    // A ligature is a title if only its first letter is large.
    let mut letters = first.chars();
    let head: String = letters.next().into_iter().chain(letters.flat_map(char::to_lowercase)).collect();
    head + &rest.as_str().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_python_says() {
        assert_eq!(stripped("\u{1f}\u{3000}a b\u{a0}\n"), "a b");
        assert_eq!(words("\u{1c}a\u{3000}b ").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((is_digits("01"), is_digits(""), is_digits("-1")), (true, false, false));
        assert_eq!(capitalized("élan VITAL"), "Élan vital");
        assert_eq!((capitalized("ßa"), capitalized("")), ("Ssa".to_owned(), String::new()));
    }
}

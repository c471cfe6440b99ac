//! Texts as units that can be compared, each with its place in the original text.
//!
//! A unit is one Han or kana character, one letter of another script without spaces between words (Thai, Lao, Burmese,
//! Khmer) with its marks, or a run of other letters and digits. Units are compared after NFKC, in lower
//! case, with Traditional characters as Simplified ones. Everything else separates units and is not compared:
//! punctuation, white space, HTML tags and comments, the targets of Markdown links, and GSM8K's `<<…>>` calculations.
//! Apostrophes and characters without width are dropped and separate nothing, nor do tags inside a line (`<b>`).
//! Entities (`&lt;`, `&#65;`) and the escapes of JSON (`\n`, `\"`, `\u4e2d`), also escaped twice, are read as what
//! they stand for. A comma between groups of three digits is dropped.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::markup::{Markup, groups, markup};
use super::simplified::Simplified;

/// A word or a character, and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    /// Of the normalised characters. Two units are equal if this is equal.
    pub(super) hash: u64,
    /// Where it starts in the original text, in bytes.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// Whether it is one character of a script without spaces between words.
    pub(super) cjk: bool,
}

/// Reads texts as units.
#[derive(Debug)]
pub(super) struct Reader {
    simplified: Simplified,
}

/// The unit that is being read.
struct Word<'a> {
    out: &'a mut Vec<Unit>,
    /// Its normalised characters so far, in UTF-8; none if no unit is open.
    letters: Vec<u8>,
    start: usize,
    end: usize,
}

const SEED: u64 = 0xCBF2_9CE4_8422_2325;

impl Word<'_> {
    const fn open(&self) -> bool {
        !self.letters.is_empty()
    }

    fn push(&mut self, c: char, start: usize, end: usize) {
        self.extend(c.encode_utf8(&mut [0; 4]).as_bytes(), start, end);
    }

    fn extend(&mut self, letters: &[u8], start: usize, end: usize) {
        if !self.open() {
            self.start = start;
        }
        self.letters.extend_from_slice(letters);
        self.end = end;
    }

    fn close(&mut self) {
        if self.open() {
            let (hash, rest) = self
                .letters
                .as_chunks::<8>()
                .0
                .iter()
                .fold((SEED, 0), |(hash, length), eight| (step(hash, u64::from_le_bytes(*eight)), length + 8));
            let hash = match self.letters.get(rest..) {
                Some(rest) if !rest.is_empty() => step(hash, first_eight(rest, 0)),
                _ => hash,
            };
            self.out.push(Unit { hash, start: self.start, end: self.end, cjk: false });
            self.letters.clear();
        }
    }

    fn alone(&mut self, c: char, start: usize, end: usize) {
        self.close();
        // No unit that is a word has the byte 0xFF.
        let hash = step(SEED, u64::from(c as u32) << 8 | 0xFF);
        self.out.push(Unit { hash, start, end, cjk: true });
    }
}

/// The hash value of a unit whose next eight bytes, those after its end 0, are `eight`. No two units of up to eight
/// bytes have the same: no unit has the character 0.
const fn step(hash: u64, eight: u64) -> u64 {
    mixed(hash ^ eight)
}

/// The eight bytes at `i`, the first one lowest; 0 after the end.
#[inline(always)]
fn first_eight(bytes: &[u8], i: usize) -> u64 {
    match bytes.get(i..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(eight) => u64::from_le_bytes(*eight),
        None => bytes.iter().skip(i).rev().fold(0, |sum, b| sum << 8 | u64::from(*b)),
    }
}

/// How many of eight bytes, from the lowest, are ASCII letters and digits.
#[inline(always)]
const fn alphanumeric(eight: u64) -> u32 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    // In bytes without their highest bit, `+` carries into that bit from a bound on, and into no other byte.
    let low = eight & !HIGH;
    let lower = low | (0x20 * ONES);
    let letter = (lower + (0x80 - b'a' as u64) * ONES) & !(lower + (0x7F - b'z' as u64) * ONES);
    let digit = (low + (0x80 - b'0' as u64) * ONES) & !(low + (0x7F - b'9' as u64) * ONES);
    let other = (!(letter | digit) & HIGH) | (eight & HIGH);
    other.trailing_zeros() / 8
}

/// The bits of `x` spread over all 64 (the finaliser of `SplitMix64`).
pub(super) const fn mixed(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { simplified: Simplified::new() }
    }

    /// The units of `text`, in order, in place of what `out` had.
    pub(super) fn units(&self, text: &str, out: &mut Vec<Unit>) {
        out.clear();
        let bytes = text.as_bytes();
        let mut word = Word { out, letters: Vec::new(), start: 0, end: 0 };
        let mut i = 0;
        while let Some(&b) = bytes.get(i) {
            if b.is_ascii_alphanumeric() {
                i = self.word(text, i, &mut word);
            } else if separates(b) {
                word.close();
                i += 1;
            } else if b < 0x80 {
                i += match markup(text, i, word.open()) {
                    Markup::None => {
                        word.close();
                        1
                    }
                    Markup::Separator(length) => {
                        word.close();
                        length
                    }
                    Markup::Nothing(length) => length,
                    Markup::Character(length, c) => {
                        let mut buffer = [0; 4];
                        self.normalised(c.encode_utf8(&mut buffer), i, i + length, &mut word);
                        length
                    }
                };
            } else {
                i = self.not_ascii(text, i, b, &mut word);
            }
        }
        word.close();
    }

    /// Reads ASCII letters and digits from `i` on, eight at a time, and says where what follows is. Most are a whole
    /// unit between two separators.
    #[inline(always)]
    fn word(&self, text: &str, i: usize, word: &mut Word<'_>) -> usize {
        let bytes = text.as_bytes();
        let (mut hash, mut end) = (SEED, i);
        loop {
            let eight = first_eight(bytes, end);
            let length = alphanumeric(eight);
            end += length as usize;
            if length == 8 {
                hash = step(hash, eight | LOWER);
                continue;
            }
            if length > 0 {
                hash = step(hash, (eight | LOWER) & ((1 << (8 * length)) - 1));
            }
            break;
        }
        let next = bytes.get(end).copied().unwrap_or(b' ');
        if !word.open() && separates(next) {
            word.out.push(Unit { hash, start: i, end, cjk: false });
            return end + 1;
        }
        // A mark over an ASCII letter starts with one of two bytes.
        let marked = matches!(next, 0xCC | 0xCD);
        let plain = end - usize::from(marked);
        for at in i..plain {
            let lower = bytes.get(at).copied().unwrap_or(b' ').to_ascii_lowercase();
            word.extend(&[lower], at, at + 1);
        }
        if marked { self.cluster(text, plain, word) } else { plain }
    }

    /// Reads the character at `i` that is not ASCII, and says where the next one is.
    fn not_ascii(&self, text: &str, i: usize, lead: u8, word: &mut Word<'_>) -> usize {
        if (0xE4..=0xE9).contains(&lead) {
            // Almost always a common ideograph, which NFKC leaves alone.
            if let Some(c @ '\u{4E00}'..='\u{9FFF}') = text.get(i..i + 3).and_then(|c| c.chars().next()) {
                word.alone(self.simplified.of(c), i, i + 3);
                return i + 3;
            }
        }
        let rest = text.get(i..).unwrap_or_default();
        let mark = rest.chars().next().unwrap_or(' ');
        let digit_before = || matches!(text.get(..i).and_then(|before| before.chars().next_back()), Some('０'..='９'));
        if mark == '，' && word.open() && digit_before() && groups(text, i + '，'.len_utf8()) {
            return i + '，'.len_utf8();
        }
        // Frequent marks, of three bytes each. Neither ASCII nor an ideograph joins them.
        let separates = matches!(
            mark,
            '“' | '”' | '–' | '—' | '、'..='。' | '《' | '》' | '，' | '：' | '；' | '？' | '！' | '（' | '）'
        );
        if (separates || matches!(mark, '’' | '‘'))
            && matches!(rest.as_bytes().get(3), None | Some(0..0x80 | 0xE4..=0xE9))
        {
            if separates {
                word.close();
            }
            return i + 3;
        }
        self.cluster(text, i, word)
    }

    /// Reads the character at `i` together with the marks after it, which NFKC may join.
    fn cluster(&self, text: &str, i: usize, word: &mut Word<'_>) -> usize {
        let rest = text.get(i..).unwrap_or_default();
        let joins = |c: char| is_combining_mark(c) || matches!(c, '\u{FF9E}' | '\u{FF9F}' | '\u{1160}'..='\u{11FF}');
        let length = rest
            .char_indices()
            .skip(1)
            .find(|(_, c)| !joins(*c))
            .map_or(rest.len(), |(at, _)| at)
            .max(rest.chars().next().map_or(1, char::len_utf8));
        self.normalised(rest.get(..length).unwrap_or_default(), i, i + length, word);
        i + length
    }

    fn normalised(&self, cluster: &str, start: usize, end: usize, word: &mut Word<'_>) {
        if cluster.starts_with(|c| is_unspaced_letter(c) && !is_combining_mark(c)) {
            let mut letters = cluster.nfkc().filter(|c| c.is_alphanumeric() || is_combining_mark(*c)).peekable();
            word.close();
            if letters.peek().is_some() {
                let hash = letters.fold(SEED, |hash, c| step(hash, u64::from(c as u32) << 8 | 0xFF));
                word.out.push(Unit { hash, start, end, cjk: true });
            }
            return;
        }
        for c in cluster.nfkc().flat_map(char::to_lowercase) {
            if is_cjk(c) {
                word.alone(self.simplified.of(c), start, end);
            } else if c.is_alphanumeric() || is_combining_mark(c) && word.open() && !without_width(c) {
                word.push(c, start, end);
            } else if !without_width(c) && !matches!(c, '\'' | '’' | '‘' | 'ʼ') {
                word.close();
            }
        }
    }
}

/// The bit that makes ASCII letters small and leaves digits as they are, in eight bytes.
const LOWER: u64 = 0x2020_2020_2020_2020;

/// Whether an ASCII character always ends a unit: it is no letter or digit, and none that markup may start with.
const fn separates(b: u8) -> bool {
    const SEPARATES: [bool; 256] = {
        let mut table = [false; 256];
        let mut b = 0;
        while b < 0x80 {
            let markup = matches!(b as u8, b'\'' | b',' | b'<' | b'&' | b'\\' | b']');
            table[b] = !(b as u8).is_ascii_alphanumeric() && !markup;
            b += 1;
        }
        table
    };
    SEPARATES[b as usize]
}

/// Characters that are not seen: joiners, marks of direction, soft hyphens, variation selectors.
const fn without_width(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{2064}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}')
}

/// Thai, Lao, Burmese and Khmer, by block: alphabets without spaces between words.
const fn is_unspaced_letter(c: char) -> bool {
    matches!(c,
        '\u{0E01}'..='\u{0EFF}'     // Thai, Lao
        | '\u{1000}'..='\u{109F}' | '\u{A9E0}'..='\u{A9FF}' | '\u{AA60}'..='\u{AA7F}' // Burmese
        | '\u{1780}'..='\u{17FF}') // Khmer
}

/// Whether no spaces stand between the words of the character's script.
pub(super) const fn is_unspaced(c: char) -> bool {
    is_cjk(c) || is_unspaced_letter(c)
}

/// Han characters and kana, by block: scripts without spaces between words.
pub(super) const fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{2E80}'..='\u{2FDF}'     // radicals
        | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3038}'..='\u{303B}' // 々〆〇, numerals
        | '\u{3041}'..='\u{3096}' | '\u{309D}'..='\u{309F}' // hiragana
        | '\u{30A1}'..='\u{30FA}' | '\u{30FC}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' // katakana
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' // ideographs
        | '\u{20000}'..='\u{3FFFF}') // the planes of ideographs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn units(text: &str) -> Vec<Unit> {
        let mut out = Vec::new();
        Reader::new().units(text, &mut out);
        out
    }

    fn hashes(text: &str) -> Vec<u64> {
        units(text).iter().map(|unit| unit.hash).collect()
    }

    /// The parts of `text` that its units stand for.
    fn slices(text: &str) -> String {
        units(text).iter().map(|unit| &text[unit.start..unit.end]).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn texts_that_say_the_same_have_the_same_units() {
        // By hand; the right side is plain lower-case words.
        for (text, same) in [
            ("Don't stop, it’s 3.14!", "dont stop its 3 14"),
            ("$1,234,567 or 1,23", "1234567 or 1 23"),
            ("１，２３４，５６７ １，２３", "1234567 1 23"),
            ("ＡＢＣ　１２３，（全角）", "abc 123 全 角"),
            ("漢語與計算機", "汉语与计算机"),
            ("一 二\u{200B}三\u{FEFF}四", "一二三四"),
            ("zero\u{200B}width so\u{AD}ft", "zerowidth soft"),
            ("cafe\u{301} CAFÉ caf&eacute; caf\\u00e9", "café café café café"),
            ("ﬁ ① ㍿ ｶﾞ", "fi 1 株式会社 ガ"),
            ("<p class=\"x\">The <b>b</b>ig <i>dog</i><br/>ran</p><!-- no -->", "the big dog ran"),
            ("if a<b and c>d", "if a b and c d"),
            ("<path d=\"M 12\"/>", "path d m 12"),
            ("x &lt; y &amp;amp;#20013; &#x4E2D; don&#39;t", "x y 中 中 dont"),
            ("a\\nb \\\"q\\\" \\\\u4e2d\\u6587 \\ud840\\udc00 don\\'t", "a b q 中文 𠀀 dont"),
            ("**bold** _it_ `code` [text](https://example.org/a?b) # h", "bold it code text h"),
            ("= <<48/2=24>>24 clips", "24 clips"),
            ("has_close_elements(xs)", "has close elements xs"),
            ("한국어 text", "한국어 text"),
        ] {
            assert_eq!(hashes(text), hashes(same), "{text} = {}", slices(text));
        }
        assert_ne!(hashes("abc"), hashes("ab c"));
        assert_ne!(hashes("3.14"), hashes("314"));
    }

    #[test]
    fn units_know_their_place() {
        for (text, expected) in [
            ("Don't, 1,000 cafe\u{301}!", "Don't|1,000|cafe\u{301}"),
            ("他說&#x4E2D;文 AB", "他|說|&#x4E2D;|文|AB"),
            ("x\\u00e9y <b>b</b>ig", "x\\u00e9y|b</b>ig"),
            ("①㍿", "①|㍿|㍿|㍿|㍿"),
        ] {
            assert_eq!(slices(text), expected);
        }
    }

    /// The units one character after the other, without shortcuts: their letters, places and whether they are alone.
    fn slowly(text: &str) -> Vec<(String, usize, usize, bool)> {
        let simplified = Simplified::new();
        let mut all: Vec<(String, usize, usize, bool)> = Vec::new();
        let mut word: Option<(String, usize, usize)> = None;
        let joins = |c: char| is_combining_mark(c) || matches!(c, '\u{FF9E}' | '\u{FF9F}' | '\u{1160}'..='\u{11FF}');
        let mut i = 0;
        while let Some(first) = text[i..].chars().next() {
            let close = |all: &mut Vec<_>, word: &mut Option<(String, usize, usize)>| {
                all.extend(word.take().map(|(letters, start, end)| (letters, start, end, false)));
            };
            let special = first.is_ascii() && !first.is_ascii_alphanumeric();
            let found = if special { markup(text, i, word.is_some()) } else { Markup::None };
            let wide = |c: Option<char>| matches!(c, Some('０'..='９'));
            let (length, cluster) = match found {
                Markup::Separator(length) => {
                    close(&mut all, &mut word);
                    (length, String::new())
                }
                Markup::Nothing(length) => (length, String::new()),
                Markup::Character(length, c) => (length, c.to_string()),
                Markup::None if special => {
                    close(&mut all, &mut word);
                    (1, String::new())
                }
                Markup::None
                    if first == '，'
                        && word.is_some()
                        && wide(text[..i].chars().next_back())
                        && groups(text, i + 3) =>
                {
                    (3, String::new())
                }
                Markup::None => {
                    let rest = &text[i + first.len_utf8()..];
                    let marks: String = if ('\u{4E00}'..='\u{9FFF}').contains(&first) {
                        String::new()
                    } else {
                        rest.chars().take_while(|c| joins(*c)).collect()
                    };
                    (first.len_utf8() + marks.len(), format!("{first}{marks}"))
                }
            };
            if cluster.starts_with(|c| is_unspaced_letter(c) && !is_combining_mark(c)) {
                close(&mut all, &mut word);
                let letters: String = cluster.nfkc().filter(|c| c.is_alphanumeric() || is_combining_mark(*c)).collect();
                if !letters.is_empty() {
                    all.push((letters, i, i + length, true));
                }
                i += length;
                continue;
            }
            for c in cluster.nfkc().flat_map(char::to_lowercase) {
                if is_cjk(c) {
                    close(&mut all, &mut word);
                    all.push((simplified.of(c).to_string(), i, i + length, true));
                } else if c.is_alphanumeric() || is_combining_mark(c) && word.is_some() && !without_width(c) {
                    let (letters, _, end) = word.get_or_insert((String::new(), i, i));
                    letters.push(c);
                    *end = i + length;
                } else if !without_width(c) && !matches!(c, '\'' | '’' | '‘' | 'ʼ') {
                    close(&mut all, &mut word);
                }
            }
            i += length;
        }
        all.extend(word.map(|(letters, start, end)| (letters, start, end, false)));
        all
    }

    proptest! {
        #[test]
        fn shortcuts_change_nothing(
            text in "([a-zA-Z]{1,20}|[0-9]{1,9}|[ .,\n'’“”‘–—、。，：；？！（）《》<>&;/\\\\\"\\]_-]|[中漢字文]|[éÉßñ×]|\u{301}|[０-９ａ-ｃ]|[\u{200B}\u{AD}\u{FEFF}]|[ｶﾞ①㍿각\u{1160}]|[กາำ່ကក្]|<b>|&amp;|&#39;|\\\\n|\\\\u4e2d|\\PC){0,40}"
        ) {
            let (units, expected) = (units(&text), slowly(&text));
            let places = |unit: &Unit| (unit.start, unit.end, unit.cjk);
            prop_assert_eq!(
                units.iter().map(places).collect::<Vec<_>>(),
                expected.iter().map(|(_, start, end, cjk)| (*start, *end, *cjk)).collect::<Vec<_>>()
            );
            // Equal units have equal hash values, and others have others.
            for (one, (letters, ..)) in units.iter().zip(&expected) {
                for (two, (others, ..)) in units.iter().zip(&expected) {
                    prop_assert_eq!(one.hash == two.hash, letters == others, "{} {}", letters, others);
                }
            }
        }

        #[test]
        fn any_text_survives(text in "([a<>&;/\\\\\"'n u4e#x.,0-9中漢\u{301}\u{AC00}\u{1160}!-]|\\PC){0,60}") {
            let all = units(&text);
            for unit in &all {
                prop_assert!(text.get(unit.start..unit.end).is_some_and(|slice| !slice.is_empty()));
            }
            prop_assert!(all.is_sorted_by_key(|unit| unit.start));
        }

        #[test]
        fn width_case_and_spacing_do_not_matter(text in "[A-Za-z0-9 漢字中文]{0,40}") {
            let wide: String = text
                .to_uppercase()
                .chars()
                .map(|c| match c { '!'..='~' => char::from_u32(c as u32 + 0xFEE0).unwrap(), ' ' => '\u{3000}', c => c })
                .collect();
            prop_assert_eq!(hashes(&text), hashes(&wide));
        }
    }
}

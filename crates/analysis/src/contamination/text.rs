//! Texts as units that can be compared, each with its place in the original text.
//!
//! A unit is one Han or kana character, or a run of other letters and digits. Units are compared after NFKC, in lower
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
    hash: u64,
    start: usize,
    end: usize,
    open: bool,
}

const SEED: u64 = 0xCBF2_9CE4_8422_2325;

impl Word<'_> {
    #[inline(always)]
    fn push(&mut self, c: u32, start: usize, end: usize) {
        if !self.open {
            self.open = true;
            self.hash = SEED;
            self.start = start;
        }
        // FNV-1a over characters.
        self.hash = (self.hash ^ u64::from(c)).wrapping_mul(0x100_0000_01B3);
        self.end = end;
    }

    #[inline(always)]
    fn close(&mut self) {
        if self.open {
            self.open = false;
            self.out.push(Unit { hash: mixed(self.hash), start: self.start, end: self.end, cjk: false });
        }
    }

    fn alone(&mut self, c: char, start: usize, end: usize) {
        self.close();
        let hash = mixed((SEED ^ u64::from(c as u32)).wrapping_mul(0x100_0000_01B3));
        self.out.push(Unit { hash, start, end, cjk: true });
    }
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
        let mut word = Word { out, hash: SEED, start: 0, end: 0, open: false };
        let mut i = 0;
        while let Some(&b) = bytes.get(i) {
            if b.is_ascii_alphanumeric() {
                // A mark over an ASCII letter starts with one of two bytes.
                if matches!(bytes.get(i + 1), Some(0xCC | 0xCD)) {
                    i = self.cluster(text, i, &mut word);
                } else {
                    word.push(u32::from(b.to_ascii_lowercase()), i, i + 1);
                    i += 1;
                }
            } else if b == b' ' {
                word.close();
                i += 1;
            } else if b < 0x80 {
                i += match markup(text, i, word.open) {
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
        let digit_before = || matches!(text.get(..i).and_then(|before| before.chars().next_back()), Some('０'..='９'));
        if rest.starts_with('，') && word.open && digit_before() && groups(text, i + '，'.len_utf8()) {
            return i + '，'.len_utf8();
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
        for c in cluster.nfkc().flat_map(char::to_lowercase) {
            if is_cjk(c) {
                word.alone(self.simplified.of(c), start, end);
            } else if c.is_alphanumeric() || is_combining_mark(c) && word.open && !without_width(c) {
                word.push(c as u32, start, end);
            } else if !without_width(c) && !matches!(c, '\'' | '’' | '‘' | 'ʼ') {
                word.close();
            }
        }
    }
}

/// Characters that are not seen: joiners, marks of direction, soft hyphens, variation selectors.
const fn without_width(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{2064}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}')
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

    proptest! {
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

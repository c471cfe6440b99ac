//! What a search for benchmark items found in documents, and how it is cut from them.

use std::collections::BTreeMap;
use std::ops::Range;

use retrace_spec::RelPath;

/// What was found in the documents of some shards, by shard and line, from 1.
pub type Found = BTreeMap<RelPath, BTreeMap<usize, FoundIn>>;

/// What was found in a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundIn {
    /// The document's id.
    pub document: String,
    /// The items, and how each was found.
    pub items: Vec<String>,
    /// The stretches of its text that were found: first byte and end.
    pub spans: Vec<(u64, u64)>,
    /// Parts of its text as they were searched: first byte and text.
    pub excerpts: Vec<(u64, String)>,
}

impl FoundIn {
    /// The stretches of `text` that were found, in order, none touching another.
    ///
    /// # Errors
    /// Why this cannot be the document that was searched.
    pub(crate) fn check(&self, id: &str, text: &str) -> Result<Vec<(u64, u64)>, String> {
        if self.document != id {
            return Err(format!("the document is {id:?}, and items were found in {:?}", self.document));
        }
        for (start, excerpt) in &self.excerpts {
            let there = text.as_bytes().get(*start as usize..).unwrap_or_default();
            if !there.starts_with(excerpt.as_bytes()) {
                return Err(format!("the text of {id:?} at byte {start} is not what was searched"));
            }
        }
        let mut spans = self.spans.clone();
        spans.sort_unstable();
        let mut apart: Vec<(u64, u64)> = Vec::new();
        for (start, end) in spans {
            if start >= end || text.get(start as usize..end as usize).is_none() {
                return Err(format!("the text of {id:?} has no bytes {start} to {end} that begin and end a character"));
            }
            match apart.last_mut() {
                Some(last) if last.1 >= start => last.1 = last.1.max(end),
                _ => apart.push((start, end)),
            }
        }
        Ok(apart)
    }
}

/// `text` without the stretches `spans`, which are in order and within it.
pub(crate) fn without(text: &str, spans: &[(u64, u64)]) -> String {
    let mut left = String::with_capacity(text.len());
    let mut at = 0;
    for (start, end) in spans {
        left.push_str(text.get(at..*start as usize).unwrap_or_default());
        at = *end as usize;
    }
    left.push_str(text.get(at..).unwrap_or_default());
    left
}

/// Where in `line`, a JSON object, the text of the field `name` stands, with its quotation marks.
pub(crate) fn text_in(line: &[u8], name: &str) -> Option<Range<usize>> {
    let (mut depth, mut at) = (0, 0);
    let (mut key_follows, mut is_text) = (false, false);
    loop {
        match *line.get(at)? {
            b'"' => {
                let mut end = at + 1;
                while *line.get(end)? != b'"' {
                    end += if line.get(end) == Some(&b'\\') { 2 } else { 1 };
                }
                let string = at..end + 1;
                at = end;
                match (depth, key_follows) {
                    (1, true) => {
                        // A key may be written with escapes.
                        let key: Option<String> =
                            line.get(string).and_then(|string| serde_json::from_slice(string).ok());
                        is_text = key.as_deref() == Some(name);
                        key_follows = false;
                    }
                    (1, false) if is_text => return Some(string),
                    _ => {}
                }
            }
            b'{' | b'[' => {
                depth += 1;
                key_follows = depth == 1;
            }
            b'}' | b']' => depth -= 1,
            b',' => key_follows = depth == 1,
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_line_is_found_whatever_is_around_it() {
        for (line, expected) in [
            (r#"{"text": "a\"b\\", "id": "1"}"#, r#""a\"b\\""#),
            (r#"{"id":"text","meta":{"text":"no","list":["text",{"text":"no"}]},"text":"中\n文"}"#, r#""中\n文""#),
            (r#" { "a,{" : [1, -2.5e3, null, true] , "te\u0078t" : "x" , "more": "text"}"#, r#""x""#),
            (r#"{"id": "1", "a": "text", "b": "text"}"#, ""),
            (r#"{"text": 5, "id": "x"}"#, ""),
            (r#"{"text": "never ends"#, ""),
            ("", ""),
        ] {
            let found = text_in(line.as_bytes(), "text").map_or("", |range| &line[range]);
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn only_the_document_that_was_searched_is_cut() {
        let text = "一二三 four five 六";
        let found = |spans: &[(u64, u64)]| FoundIn {
            document: "a".to_owned(),
            spans: spans.to_vec(),
            excerpts: vec![(3, "二三".to_owned())],
            ..FoundIn::default()
        };
        let cut = |spans: &[(u64, u64)]| found(spans).check("a", text).map(|spans| without(text, &spans));
        assert_eq!(cut(&[]).unwrap(), text);
        assert_eq!(cut(&[(0, text.len() as u64)]).unwrap(), "");
        // In any order, one inside another, touching.
        assert_eq!(cut(&[(15, 19), (3, 9), (6, 9), (0, 3)]).unwrap(), " four  六");
        for wrong in [(1, 3), (3, 4), (5, 3), (3, 3), (0, 500), (u64::MAX - 1, u64::MAX)] {
            assert!(cut(&[wrong]).unwrap_err().contains("that begin and end a character"), "{wrong:?}");
        }
        assert!(found(&[]).check("b", text).unwrap_err().contains("the document is \"b\""));
        assert!(found(&[]).check("a", "一二二").unwrap_err().contains("byte 3 is not what was searched"));
        assert!(found(&[]).check("a", "").is_err());
    }
}

//! The source text of a function in Python, with everything of its module that it mentions. The digest of this text
//! says which function it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use retrace_files::RegularFile;

use crate::HarnessError;

/// A larger module is refused.
const LARGEST: u64 = 4 << 20;
/// Words of the language, which name nothing.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];
/// At most so many modules import each other.
const MOST_MODULES: usize = 32;

/// The text that defines `name` in a module: its statement at top level, and in the order of the file all others that
/// define names which these mention; then the same of what they import from modules beside it. If a module makes names
/// as it runs (`globals()`), the text of a name that it does not define is the whole module.
///
/// # Errors
/// If the module cannot be read, or does not define the name.
pub fn definition(module: &Path, name: &str) -> Result<String, HarnessError> {
    let mut texts = Vec::new();
    follow(module, Some(name), &mut BTreeSet::new(), &mut texts)?;
    Ok(texts.join("\n"))
}

fn follow(
    module: &Path,
    name: Option<&str>,
    seen: &mut BTreeSet<(PathBuf, Option<String>)>,
    texts: &mut Vec<String>,
) -> Result<(), HarnessError> {
    let refuse = |what: String| HarnessError::TaskFile { path: module.to_owned(), what };
    if !seen.insert((module.to_owned(), name.map(str::to_owned))) {
        return Ok(());
    }
    if seen.len() > MOST_MODULES {
        return Err(refuse(format!("it imports more than {MOST_MODULES} functions of other modules")));
    }
    let text = RegularFile::open(module)?.text(LARGEST)?;
    let statements: Vec<Statement<'_>> = statements(&text).into_iter().map(Statement::of).collect();
    let mut wanted = vec![name.is_none(); statements.len()];
    if let Some(name) = name {
        let mut names: Vec<&str> = vec![name];
        let mut known: BTreeSet<&str> = names.iter().copied().collect();
        while let Some(name) = names.pop() {
            for (statement, wanted) in statements.iter().zip(&mut wanted) {
                if !*wanted && statement.defines(name) {
                    *wanted = true;
                    names.extend(statement.mentioned.iter().filter(|name| known.insert(name)));
                }
            }
        }
        let is_defined = statements.iter().any(|statement| statement.defines(name));
        if !is_defined && statements.iter().any(|statement| statement.text.contains("globals()")) {
            // The module makes the name as it runs, so everything in it counts.
            return follow(module, None, seen, texts);
        }
        if !is_defined {
            return Err(refuse(format!("it does not define `{name}`")));
        }
    }
    let kept: Vec<&Statement<'_>> =
        statements.iter().zip(&wanted).filter(|(_, wanted)| **wanted).map(|(statement, _)| statement).collect();
    texts.push(kept.iter().map(|statement| statement.text).collect::<Vec<_>>().join("\n"));
    for statement in kept {
        for (other, name) in imports(statement.text) {
            if let Some(path) = local(module, &other) {
                follow(&path, name.as_deref(), seen, texts)?;
            }
        }
    }
    Ok(())
}

/// The file of a module that is imported, if it is beside this one or in the same tree of tasks.
fn local(module: &Path, name: &str) -> Option<PathBuf> {
    let directory = module.parent()?;
    let (mut from, mut rest) = (directory.to_owned(), name);
    if let Some(inner) = name.strip_prefix("lm_eval.tasks.") {
        from = directory.ancestors().find(|path| path.ends_with("tasks"))?.to_owned();
        rest = inner;
    } else if let Some(inner) = name.strip_prefix('.') {
        rest = inner;
        while let Some(inner) = rest.strip_prefix('.') {
            (from, rest) = (from.parent()?.to_owned(), inner);
        }
    }
    let path = crate::yaml::normal(&from.join(format!("{}.py", rest.replace('.', "/"))));
    path.is_file().then_some(path)
}

/// The modules that a statement imports, each with the name that it takes from it, or none if it takes all.
fn imports(statement: &str) -> Vec<(String, Option<String>)> {
    let flat = statement.replace(['(', ')', '\\', '\n'], " ");
    let words: Vec<&str> = flat.split_whitespace().collect();
    let mut found = Vec::new();
    match words.as_slice() {
        ["from", module, "import", names @ ..] => {
            for name in names.join(" ").split(',') {
                let name = name.split_whitespace().next();
                found.extend(name.map(|name| ((*module).to_owned(), (name != "*").then(|| name.to_owned()))));
            }
        }
        ["import", modules @ ..] => {
            for module in modules.join(" ").split(',') {
                found.extend(module.split_whitespace().next().map(|module| (module.to_owned(), None)));
            }
        }
        _ => {}
    }
    found
}

struct Statement<'a> {
    text: &'a str,
    defined: Vec<&'a str>,
    mentioned: BTreeSet<&'a str>,
}

impl<'a> Statement<'a> {
    fn of(text: &'a str) -> Self {
        let mentioned: BTreeSet<&str> = identifiers(text).filter(|word| !KEYWORDS.contains(word)).collect();
        let of_definition = |line: &&str| ["def ", "class ", "async "].iter().any(|word| line.starts_with(word));
        let line = match text.starts_with('@') {
            true => text.lines().find(of_definition),
            false => text.lines().next(),
        };
        let line = line.unwrap_or(text);
        let mut words = identifiers(line);
        let defined = match words.next() {
            Some("def" | "class") => words.next().into_iter().collect(),
            Some("async") => words.nth(1).into_iter().collect(),
            // What is imported under another name is known by that.
            Some("from" | "import") => mentioned.iter().copied().collect(),
            // What these may define is not decided here.
            Some("if" | "try" | "for" | "while" | "with") => mentioned.iter().copied().collect(),
            _ => match text.find('=') {
                Some(at) => identifiers(&text[..at]).collect(),
                None => Vec::new(),
            },
        };
        Self { text, defined, mentioned }
    }

    fn defines(&self, name: &str) -> bool {
        self.defined.contains(&name)
    }
}

fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty() && !word.starts_with(|c: char| c.is_ascii_digit()))
}

/// The statements at top level, decorators included, without the comments and empty lines between them.
fn statements(text: &str) -> Vec<&str> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut state = Inside::default();
    let (mut at, mut decorated) = (0, false);
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        let first = line.chars().next().unwrap_or('\n');
        let begins = state.is_outside() && !first.is_whitespace() && first != '#';
        let word = content.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let goes_on = decorated || matches!(word, "else" | "elif" | "except" | "finally");
        let is_comment = state.is_outside() && content.trim_start().starts_with('#');
        if begins {
            decorated = first == '@';
        }
        let belongs = !content.is_empty() && (!is_comment || first.is_whitespace());
        match found.last_mut() {
            Some(last) if !begins || goes_on => {
                last.1 = if belongs { at + content.len() } else { last.1 };
            }
            _ if begins => found.push((at, at + content.len())),
            _ => {}
        }
        state.line(line);
        at += line.len();
    }
    found.into_iter().map(|(from, to)| &text[from..to]).collect()
}

/// Whether a line is inside of something that began on an earlier one.
#[derive(Default)]
struct Inside {
    brackets: usize,
    quote: Option<&'static str>,
    continued: bool,
}

impl Inside {
    const fn is_outside(&self) -> bool {
        self.brackets == 0 && self.quote.is_none() && !self.continued
    }

    fn line(&mut self, line: &str) {
        self.continued = false;
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            if let Some(quote) = self.quote {
                if let Some(after) = rest.strip_prefix(quote) {
                    (self.quote, rest) = (None, after);
                    continue;
                }
                if c == '\n' && quote.len() == 1 {
                    self.quote = None;
                }
                let skipped = if c == '\\' { rest.chars().nth(1).map_or(0, char::len_utf8) } else { 0 };
                rest = &rest[c.len_utf8() + skipped..];
                continue;
            }
            match c {
                '#' => return,
                '\'' | '"' => {
                    let quotes: [&'static str; 2] = if c == '"' { ["\"\"\"", "\""] } else { ["'''", "'"] };
                    let quote = if rest.starts_with(quotes[0]) { quotes[0] } else { quotes[1] };
                    self.quote = Some(quote);
                    rest = &rest[quote.len()..];
                    continue;
                }
                '(' | '[' | '{' => self.brackets += 1,
                ')' | ']' | '}' => self.brackets = self.brackets.saturating_sub(1),
                '\\' if rest.trim_end() == "\\" => self.continued = true,
                _ => {}
            }
            rest = &rest[c.len_utf8()..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = r#""""What it is for.

def not_a_function(): pass
"""
import re
from pieces import (
    cut as cut_up,
    join,
)

# A comment.
LETTERS = [
    "a",  # not ] an end
    'it\'s',
]
TEXT = """
def neither():
    return 1
"""


@decorated(
    1
)
def first(x):
    # inside
    return helper(x) + f"{LETTERS}"

# between


def helper(x):

    return re.sub("a", "b", x)
async def second():
    return first
if True:
    other = 1
else:
    other = 2
unused = 3
"#;

    #[test]
    fn a_function_has_what_it_mentions() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("module.py");
        std::fs::write(&path, MODULE).unwrap();
        let pieces = "def cut(x):\n    return x\n\n\ndef join(x):\n    return cut(x)\n";
        std::fs::write(directory.path().join("pieces.py"), pieces).unwrap();
        assert_eq!(
            definition(&path, "helper").unwrap(),
            "import re\ndef helper(x):\n\n    return re.sub(\"a\", \"b\", x)"
        );
        let first = definition(&path, "first").unwrap();
        let expected = "import re\nLETTERS = [\n    \"a\",  # not ] an end\n    'it\\'s',\n]\n@decorated(\n    1\n)\ndef first(x):\n    # inside\n    return helper(x) + f\"{LETTERS}\"\ndef helper(x):\n\n    return re.sub(\"a\", \"b\", x)";
        assert_eq!(first, expected);
        assert_eq!(definition(&path, "second").unwrap(), format!("{expected}\nasync def second():\n    return first"));
        assert_eq!(definition(&path, "other").unwrap(), "if True:\n    other = 1\nelse:\n    other = 2");
        let cut = definition(&path, "cut_up").unwrap();
        assert_eq!(
            cut,
            "from pieces import (\n    cut as cut_up,\n    join,\n)\ndef cut(x):\n    return x\ndef cut(x):\n    return x\ndef join(x):\n    return cut(x)"
        );
        let made = "names = [\"x\"]\nglobals().update({n: 1 for n in names})\n";
        let other = directory.path().join("made.py");
        std::fs::write(&other, made).unwrap();
        assert_eq!(definition(&other, "x").unwrap(), made.trim_end());
        for missing in ["neither", "not_a_function", "absent"] {
            definition(&path, missing).unwrap_err();
        }
    }
}

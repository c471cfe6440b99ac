//! Jinja templates of tasks, as the harness renders them: undefined names are errors, line ends at the end stay, and
//! values are written as Python writes them.

use std::sync::OnceLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior};
use minijinja_contrib::pycompat;
use retrace_spec::{foreign, guard};

use crate::python::{Dict, Value, capitalized, is_space, words};

/// A template stops after so many operations: a text of a few bytes can ask for a loop without end.
const FUEL: u64 = 5_000_000;
/// The name under which the environment has its only template.
const NAME: &str = "template";

/// A template of a task.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    /// The text, if nothing in it is a template.
    plain: Option<String>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// If it is no template.
    pub fn new(source: &str) -> Result<Self, String> {
        // Jinja reads every line end as the same one.
        let source = source.replace("\r\n", "\n").replace('\r', "\n");
        if !source.contains("{{") && !source.contains("{%") && !source.contains("{#") {
            return Ok(Self { environment: Environment::empty(), plain: Some(source) });
        }
        let mut environment = environment().clone();
        let added = guard(|| environment.add_template_owned(NAME, source)).map_err(|gave_up| gave_up.to_string())?;
        added.map_err(|error| said(&error))?;
        Ok(Self { environment, plain: None })
    }

    /// Renders the template for a document.
    ///
    /// # Errors
    /// If it asks for what the document does not have, or for what is not supported.
    pub fn render(&self, document: &Dict) -> Result<String, String> {
        if let Some(plain) = &self.plain {
            return Ok(plain.clone());
        }
        let context = minijinja::Value::from_pairs(document.iter().map(|(key, value)| (key.to_owned(), given(value))));
        let rendered = guard(|| self.environment.get_template(NAME).and_then(|template| template.render(context)));
        rendered.map_err(|gave_up| gave_up.to_string())?.map_err(|error| said(&error))
    }
}

fn said(error: &Error) -> String {
    let detail =
        error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    let line = error.line().map_or_else(String::new, |line| format!(" (line {line} of the template)"));
    format!("{}{line}", foreign::concise(&detail))
}

fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
            environment.set_syntax(syntax);
        }
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(method);
        environment.set_formatter(|out, _, value| {
            if value.is_undefined() {
                return Err(Error::from(ErrorKind::UndefinedError));
            }
            out.write_str(&taken(value)?.shown()).map_err(|_| Error::from(ErrorKind::WriteFailure))
        });
        environment.add_filter("string", |value: &minijinja::Value| taken(value).map(|value| value.shown()));
        environment.add_filter("trim", |text: &str, which: Option<&str>| trimmed(text, which, true, true));
        environment.add_filter("capitalize", capitalized_text);
        environment.add_filter("int", |value: &minijinja::Value| taken(value).map(|value| whole(&value)));
        environment.add_filter("join", |list: &minijinja::Value, with: Option<&str>| joined(list, with.unwrap_or("")));
        environment.add_filter("regex_replace", regex_replace);
        environment
    })
}

fn capitalized_text(text: &str) -> String {
    capitalized(text)
}

/// A value of a document as a template has it.
fn given(value: &Value) -> minijinja::Value {
    match value {
        Value::None => ().into(),
        Value::Bool(truth) => (*truth).into(),
        Value::Int(number) => i64::try_from(*number).map_or_else(|_| (*number).into(), Into::into),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(list) => list.iter().map(given).collect(),
        Value::Dict(dict) => {
            minijinja::Value::from_pairs(dict.iter().map(|(key, value)| (key.to_owned(), given(value))))
        }
        Value::Function(function) => function.name.as_str().into(),
    }
}

/// What a template computed.
fn taken(value: &minijinja::Value) -> Result<Value, Error> {
    let wrong = |what: String| Error::new(ErrorKind::InvalidOperation, what);
    Ok(match value.kind() {
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => Value::None,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number if value.is_integer() => {
            Value::Int(i128::try_from(value.clone()).map_err(|_| wrong("a number has more than 128 bits".to_owned()))?)
        }
        ValueKind::Number => Value::Float(f64::try_from(value.clone())?),
        ValueKind::String => Value::from(value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            let list: Vec<Value> = value.try_iter()?.map(|item| taken(&item)).collect::<Result<_, _>>()?;
            Value::List(list)
        }
        ValueKind::Map => {
            let mut dict = Dict::default();
            for key in value.try_iter()? {
                let name = key.as_str().ok_or_else(|| wrong("a key is no text".to_owned()))?;
                dict.insert(name, taken(&value.get_item(&key)?)?);
            }
            Value::Dict(dict)
        }
        kind => return Err(wrong(format!("a value of the kind {kind} cannot be written"))),
    })
}

/// The filter `int`: 0 of what is no number.
fn whole(value: &Value) -> i64 {
    match value {
        Value::Float(number) => *number as i64,
        Value::Text(text) => {
            let text = text.trim_matches(is_space);
            text.parse().or_else(|_| text.parse::<f64>().map(|number| number as i64)).unwrap_or(0)
        }
        other => other.int().and_then(|number| i64::try_from(number).ok()).unwrap_or(0),
    }
}

fn joined(list: &minijinja::Value, with: &str) -> Result<String, Error> {
    let texts: Vec<String> =
        list.try_iter()?.map(|item| taken(&item).map(|item| item.shown())).collect::<Result<_, _>>()?;
    Ok(texts.join(with))
}

fn trimmed(text: &str, which: Option<&str>, start: bool, end: bool) -> String {
    let of = |c: char| which.map_or_else(|| is_space(c), |which| which.contains(c));
    let text = if start { text.trim_start_matches(of) } else { text };
    if end { text.trim_end_matches(of) } else { text }.to_owned()
}

/// The harness's own filter, `re.sub`.
fn regex_replace(text: &str, pattern: &str, with: &str, count: Option<usize>) -> Result<String, Error> {
    crate::substitution::replaced(pattern, text, with, count.unwrap_or(0))
        .map_err(|what| Error::new(ErrorKind::InvalidOperation, what))
}

/// Methods of Python's types: those that the library lacks, or has otherwise.
fn method(
    state: &mut State<'_, '_>,
    value: &minijinja::Value,
    name: &str,
    arguments: &[minijinja::Value],
) -> Result<minijinja::Value, Error> {
    let not_found = || Error::new(ErrorKind::InvalidOperation, format!("`{name}` does not find its argument"));
    match (value.as_str(), name) {
        (Some(text), "strip" | "lstrip" | "rstrip") => {
            let (which,): (Option<&str>,) = from_args(arguments)?;
            Ok(trimmed(text, which, name != "rstrip", name != "lstrip").into())
        }
        (Some(text), "split") if arguments.first().is_none_or(minijinja::Value::is_none) && arguments.len() < 2 => {
            Ok(words(text).collect())
        }
        (Some(text), "capitalize") => {
            let () = from_args(arguments)?;
            Ok(capitalized(text).into())
        }
        (Some(text), "join") => {
            let (list,): (&minijinja::Value,) = from_args(arguments)?;
            joined(list, text).map(Into::into)
        }
        (Some(text), "index") => {
            let (what,): (&str,) = from_args(arguments)?;
            let at = text.find(what).ok_or_else(not_found)?;
            Ok(text[..at].chars().count().into())
        }
        (None, "index") if value.kind() == ValueKind::Seq || value.kind() == ValueKind::Iterable => {
            let (what,): (&minijinja::Value,) = from_args(arguments)?;
            let what = taken(what)?;
            for (at, item) in value.try_iter()?.enumerate() {
                if taken(&item)?.equals(&what) {
                    return Ok(at.into());
                }
            }
            Err(not_found())
        }
        _ => pycompat::unknown_method_callback(state, value, name, arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str, document: &str) -> Result<String, String> {
        let document: Value = serde_json::from_str(document).unwrap();
        Template::new(template)?.render(document.dict().unwrap())
    }

    /// What Jinja2 3.1.6 renders, with the environment of the harness.
    #[test]
    fn as_jinja2_renders() {
        let document =
            r#"{"q":" A\u3000b ","n":3,"f":1e16,"t":true,"none":null,"list":["x","it's"],"d":{"z":1,"a":[2.0]}}"#;
        for (template, expected) in [
            ("{{q}}\n", " A\u{3000}b \n"),
            ("a\r\n{{n}}", "a\n3"),
            ("{{list}}", "['x', \"it's\"]"),
            ("{{d}} {{d.a[0]}} {{none}} {{t}} {{f}}", "{'z': 1, 'a': [2.0]} 2.0 None True 1e+16"),
            ("{{[q, n]}}", "[' A\\u3000b ', 3]"),
            ("{{q.strip()}}|{{q|trim}}|{{q.split()}}", "A\u{3000}b|A\u{3000}b|['A', 'b']"),
            ("{{list.index(\"it's\")}} {{'abc'.index('c')}} {{['A','B'].index('B')}}", "1 2 1"),
            ("{{list|join(', ')}} {{', '.join(list)}} {{'7'|int + 1}} {{'x'|int}}", "x, it's x, it's 8 0"),
            ("{{'abcdef'[1:-1]}} {{q[::-1]}} {{list[-1][0]}}", "bcde  b\u{3000}A  i"),
            ("{% for c in list %}{{loop.index0}}{{c}}{% endfor %}", "0x1it's"),
            ("{{'a' if n > 2 else 'b'}}{{'c' if missing is defined else 'd'}}", "ad"),
            ("{%- set x = n // 2 %} {{x}} {{n / 2}} {{7 % 4}} {{2 ** 3}}", " 1 1.5 3 8"),
            ("{{'a1b22'|regex_replace('([0-9]+)', '<\\\\1>')}}", "a<1>b<22>"),
            ("{{'hELLO wORLD'.capitalize()}} {{'a-b-c'.split('-')[-1]}}", "Hello world c"),
            ("{{n ~ '-' ~ t}}", "3-True"),
        ] {
            assert_eq!(rendered(template, document).as_deref(), Ok(expected), "{template}");
        }
        for template in [
            "{{missing}}",
            "{{d.missing}}",
            "{{list.index('y')}}",
            "{% if missing %}{% endif %}",
            "{{ n",
            "{{ q.nothing() }}",
        ] {
            rendered(template, document).unwrap_err();
        }
        rendered("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "{}").unwrap_err();
    }
}

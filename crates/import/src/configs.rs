//! `config.json` and YAML, as claims with dotted names.
//!
//! The subject of the claims is the file's name, or the name of its directory if the file is just called
//! `config.json` or `tokenizer_config.json`.

use retrace_spec::read_yaml;

use crate::json;
use crate::rows::{Input, Problem, Rows};
use crate::value::{Value, Yaml};

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let stem = input.stem();
    let plain = matches!(stem, "config" | "params" | "hparams" | "meta") || stem.ends_with("_config");
    let subject = if plain { input.folder(0) } else { stem.to_owned() };
    read_as(input, &subject, rows)
}

/// Reads them as claims about `subject`.
pub(crate) fn read_as(input: &Input<'_>, subject: &str, rows: &mut Rows) -> Result<(), Problem> {
    let mut take = |value: &Value<'_>| {
        if !matches!(value, Value::Object(_) | Value::Array(_)) {
            return Err(Problem::whole("not a config: neither an object nor a list"));
        }
        value.leaves("", "", &mut |name, place, text, number| {
            rows.claim(input, subject, name, text, number, place);
        });
        Ok(())
    };
    if input.name().ends_with(".json") {
        return take(&json::read(input.bytes)?);
    }
    let text = std::str::from_utf8(input.bytes)
        .map_err(|e| Problem::at(format_args!("byte {}", e.valid_up_to()), "not UTF-8"))?;
    // The problem's message has the file's name already.
    let mut room = Yaml::room(text);
    let value = read_yaml(text, "", Yaml::new(&mut room));
    take(&value.map_err(|e| Problem::whole(e.to_string().trim_start_matches(':').to_owned()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, survives};

    fn told(source: &str, text: &str) -> Vec<(String, String, String, Option<f64>, String)> {
        let rows = read_as(source, text.as_bytes(), read);
        assert_eq!(rows.problems(), None, "{source}");
        // NaN is not equal to itself.
        let number = |number: Option<f64>| number.filter(|number| !number.is_nan());
        let told = rows.claims.into_iter();
        told.map(|claim| (claim.subject, claim.name, claim.value, number(claim.number), claim.place)).collect()
    }

    #[test]
    fn values_by_dotted_names() {
        let row = |name: &str, value: &str, number, place: &str| {
            ("m".to_owned(), name.to_owned(), value.to_owned(), number, place.to_owned())
        };
        assert_eq!(
            told(
                "models/m/config.json",
                r#"{"hidden_size": 768, "rope": {"theta": 1e-05, "a/b": null}, "layers": ["x", []], "tied": false}"#
            ),
            [
                row("hidden_size", "768", Some(768.0), "/hidden_size"),
                row("rope.theta", "1e-05", Some(1e-5), "/rope/theta"),
                row("rope.a/b", "null", None, "/rope/a~1b"),
                row("layers.0", "x", None, "/layers/0"),
                row("layers.1", "[]", None, "/layers/1"),
                row("tied", "false", None, "/tied"),
            ]
        );
        let yaml = "model:\n  d_model: 2048\n  clip: null\n1: [0.5, .nan]\nalias: &a {x: 1}\nagain: *a\n";
        assert_eq!(
            told("configs/m.yaml", yaml),
            [
                row("model.d_model", "2048", Some(2048.0), "/model/d_model"),
                row("model.clip", "null", None, "/model/clip"),
                row("1.0", "0.5", Some(0.5), "/1/0"),
                row("1.1", "NaN", None, "/1/1"),
                row("alias.x", "1", Some(1.0), "/alias/x"),
                row("again.x", "1", Some(1.0), "/again/x"),
            ]
        );
    }

    #[test]
    fn what_is_no_config_is_told_and_anything_is_survived() {
        let deep = "[".repeat(10_000);
        let bomb: String = (1..30).fold("a0: &a0 [x]\n".to_owned(), |text, at| {
            let before = at - 1;
            text + &format!("a{at}: &a{at} [*a{before},*a{before},*a{before},*a{before},*a{before},*a{before}]\n")
        });
        // Each alias once, for a value that is as long as all aliases together.
        let wide = format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(20_000), "*a,".repeat(20_000));
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(40_000), "*a,".repeat(20_000));
        let names = format!("{{\"{}\": [{}0]}}", "n".repeat(100_000), "0,".repeat(100_000));
        for (source, text, expected) in [
            ("c.yaml", "a: 1\na: 2\n", "duplicate key \"a\""),
            ("c.yaml", "a: [1\n", "2:1"),
            ("c.yaml", "a: !tag x\n", "tags"),
            ("c.yaml", "x", "neither an object nor a list"),
            ("c.yaml", deep.as_str(), "1:65: more than 64 levels of nesting"),
            ("c.yaml", bomb.as_str(), "repetition limit"),
            ("c.yaml", wide.as_str(), "its aliases"),
            ("c.yaml", long.as_str(), "its aliases"),
            ("c.json", names.as_str(), "a name has 10000"),
            ("c.json", deep.as_str(), "levels of nesting"),
            ("c.json", "{\"a\": 1", "the file ends"),
            ("c.json", "1", "neither an object nor a list"),
        ] {
            let problems = read_as(source, text.as_bytes(), read).problems().unwrap_or_default();
            assert!(problems.contains(expected), "{problems:?} lacks {expected:?}");
        }
        assert!(read_as("c.yaml", b"a: \xff", read).problems().unwrap().contains("byte 3: not UTF-8"));
        survives("c.yaml", b"a: &x {b: [1, 2.5]}\nc: *x\nd: \"q\"\n", read);
    }
}

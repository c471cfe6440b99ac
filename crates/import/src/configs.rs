//! `config.json` and YAML, as claims with dotted names.
//!
//! They are said of what the file is named after, or of its directory where the file is just called
//! `config.json` or `tokenizer_config.json`.

use retrace_spec::read_yaml;

use crate::json;
use crate::rows::{Input, Problem, Rows};
use crate::value::Value;

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let stem = input.stem();
    let plain = matches!(stem, "config" | "params" | "hparams" | "meta") || stem.ends_with("_config");
    let subject = if plain { input.folder(0) } else { stem.to_owned() };
    read_as(input, &subject, rows)
}

/// Reads them as said of `subject`.
pub(crate) fn read_as(input: &Input<'_>, subject: &str, rows: &mut Rows) -> Result<(), Problem> {
    let mut take = |value: &Value<'_>| {
        if !matches!(value, Value::Object(_) | Value::Array(_)) {
            return Err(Problem::whole("no config: neither an object nor a list"));
        }
        value.leaves("", "", &mut |name, place, text, number| {
            rows.claims.push(input.claim(subject, name, text, number, place));
        });
        Ok(())
    };
    if input.name().ends_with(".json") {
        return take(&json::read(input.bytes)?);
    }
    let text = std::str::from_utf8(input.bytes)
        .map_err(|e| Problem::at(format_args!("byte {}", e.valid_up_to()), "not UTF-8"))?;
    // The file is named beside the problem already.
    let value: Value<'static> =
        read_yaml(text, "").map_err(|e| Problem::whole(e.to_string().trim_start_matches(':').to_owned()))?;
    take(&value)
}

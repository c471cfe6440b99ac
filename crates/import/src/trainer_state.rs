//! `trainer_state.json`, as the Trainer of transformers writes it: its `log_history`, and the rest as
//! claims.
//!
//! The run is the directory that the file lies in, or the one above where that is `checkpoint-N`.

use crate::json;
use crate::label::Label;
use crate::rows::{Input, Problem, Rows};
use crate::scalars::{Logged, Meaning, Measured};
use crate::value::{Value, pointer};

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let value = json::read(input.bytes)?;
    let Some(history) = value.get("log_history").and_then(Value::array) else {
        return Err(Problem::whole("no trainer's state: it has no list `log_history`"));
    };
    let folder = input.folder(0);
    let in_checkpoint = folder.starts_with("checkpoint-") && Label::of(&folder).step.is_some();
    let run = if in_checkpoint { input.folder(1) } else { folder };
    for (index, entry) in history.iter().enumerate() {
        let place = pointer(["log_history", &index.to_string()]);
        let Some(entries) = entry.object() else {
            rows.problem(Problem::at(place, "no object"));
            continue;
        };
        let mut logged = Logged::default();
        for (name, value) in entries {
            let (Value::Number(text), name) = (value, name.as_ref()) else { continue };
            let fits = match (name, Meaning::of(name)) {
                // `train_loss` is the mean over all steps, said at the end.
                ("train_loss", _) | (_, Meaning::Other) => {
                    let (task, metric) = name
                        .split_once('_')
                        .filter(|(task, _)| matches!(*task, "eval" | "train" | "test"))
                        .unwrap_or(("", name));
                    let number = text.parse();
                    logged.rest.extend(number.iter().map(|value| Measured {
                        task,
                        metric,
                        value: *value,
                        ..Measured::default()
                    }));
                    number.is_ok()
                }
                (_, meaning) => logged.take_as(meaning, text),
            };
            if !fits {
                rows.problem(Problem::at(&place, format_args!("{name} is {text}, no whole number")));
            }
        }
        logged.give(input, &run, &place, rows);
    }
    for (key, value) in value.object().unwrap_or_default().iter().filter(|(key, _)| key != "log_history") {
        value.leaves(key, &pointer([key.as_ref()]), &mut |name, place, text, number| {
            rows.claims.push(input.claim(&run, name, text, number, place));
        });
    }
    Ok(())
}

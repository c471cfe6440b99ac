//! The text that trainers print: Megatron's and GPT-NeoX's iteration and validation lines, and lines
//! of `name:value` after `step:N/M` or `Epoch:[E/EPOCHS](N/M)`.
//!
//! Other lines are passed over. The run is the file's name.

use std::borrow::Cow;

use crate::rows::{Input, Problem, Rows};
use crate::scalars::{Logged, Meaning, Measured};
use crate::value::whole;

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let before = rows.len();
    let mut any = false;
    for (index, line) in input.bytes.split(|byte| *byte == b'\n').enumerate() {
        // A log may hold anything, but what is read of it is ASCII.
        let line: Cow<'_, str> = String::from_utf8_lossy(line);
        let Some((mut logged, fields)) = megatron(&line).or_else(|| counted(&line)) else { continue };
        any = true;
        let place = format!("line {}", index + 1);
        for Field { task, name, text } in fields {
            let fits = match (task, Meaning::of(name)) {
                ("train", meaning) if meaning != Meaning::Other => logged.take_as(meaning, text),
                _ => {
                    let number = text.parse();
                    logged.rest.extend(number.iter().map(|value| Measured {
                        task,
                        metric: name,
                        value: *value,
                        ..Measured::default()
                    }));
                    number.is_ok()
                }
            };
            if !fits {
                rows.problem(Problem::at(&place, format_args!("{name} is {text:?}, no such number")));
            }
        }
        if logged.step.is_none() {
            rows.problem(Problem::at(&place, "its step is no whole number"));
        }
        logged.give(input, input.stem(), &place, rows);
    }
    if !any && rows.len() == before {
        return Err(Problem::whole("no line of it is one of training that is known"));
    }
    Ok(())
}

/// A number of a line, by its name.
struct Field<'a> {
    task: &'static str,
    name: &'a str,
    text: &'a str,
}

/// `iteration 100/ 500 | learning rate: 1E-05 | lm loss: 2.5E+00 | …` after whatever a launcher puts
/// before it, or `validation loss at iteration 100 | lm loss value: 2.5 | …`.
fn megatron(line: &str) -> Option<(Logged<'_>, Vec<Field<'_>>)> {
    let mut parts = line.split('|').map(str::trim);
    let head = parts.by_ref().find(|part| part.contains("iteration "))?;
    let (before, after) = head.rsplit_once("iteration ")?;
    let validation = before.contains("loss at");
    let number = if validation {
        after.split([' ', ':']).next()?
    } else {
        after.split_once('/').filter(|(_, total)| whole(total.trim()).is_some())?.0
    };
    let step = whole(number.trim());
    let task = match before {
        _ if !validation => "train",
        _ if after.contains("test set") || before.contains("test loss") => "test",
        _ => "validation",
    };
    // What stands before the iteration is of it too: `samples/sec: 12.3 | iteration …`.
    let all = line.split('|').map(str::trim).filter(|part| *part != head);
    let fields: Vec<Field<'_>> = all
        .filter_map(|part| {
            let (name, text) = part.rsplit_once(':')?;
            let name = name.rsplit(']').next()?.trim();
            let text = text.trim().trim_end_matches("TFLOPS").trim_end();
            (!name.is_empty() && text.split_ascii_whitespace().count() == 1).then_some(Field { task, name, text })
        })
        .collect();
    (!fields.is_empty()).then(|| (Logged { step, ..Logged::default() }, fields))
}

/// `step:100/1750 val_loss:3.25 …`, or `Epoch:[2/3](100/44173) loss:6.4 …`: step 100 of the second
/// epoch is step 44173 + 100 of the run.
fn counted(line: &str) -> Option<(Logged<'_>, Vec<Field<'_>>)> {
    let (step, rest) = if let Some((_, rest)) = line.split_once("Epoch:[") {
        let (epochs, rest) = rest.split_once("](")?;
        let (steps, rest) = rest.split_once(')')?;
        let (epoch, _) = epochs.split_once('/')?;
        let (step, total) = steps.split_once('/')?;
        let before = whole(epoch)?.checked_sub(1)?.checked_mul(whole(total)?)?;
        (whole(step)?.checked_add(before), rest)
    } else {
        let (_, rest) = line.split_once("step:")?;
        let (step, rest) = rest.split_once('/')?;
        let (total, rest) = rest.split_once(' ')?;
        whole(total)?;
        (Some(whole(step)?), rest)
    };
    let fields = rest.split_ascii_whitespace().filter_map(|word| {
        let (name, text) = word.split_once(':')?;
        // Units stand behind their numbers: `115.0min`.
        let text = text.trim_end_matches(':');
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let text = if text.parse::<f64>().is_err() && !number.is_empty() { number } else { text };
        let task = if name.starts_with("val") { "validation" } else { "train" };
        Some(Field { task, name, text })
    });
    let fields: Vec<Field<'_>> = fields.collect();
    (!fields.is_empty()).then(|| (Logged { step, ..Logged::default() }, fields))
}

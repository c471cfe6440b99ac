//! The text output of trainers: Megatron's and GPT-NeoX's iteration and validation lines, and lines of `name:value`
//! after `step:N/M` or `Epoch:[E/EPOCHS](N/M)`.
//!
//! Other lines are skipped. The run is the file's name.

use std::borrow::Cow;

use crate::rows::{Input, Problem, Rows};
use crate::scalars::{Logged, Meaning, Measured};
use crate::value::whole;

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let before = rows.len();
    let mut any = false;
    for (index, line) in input.bytes.split(|byte| *byte == b'\n').enumerate() {
        // A log may contain anything, but only ASCII is read from it.
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
                rows.problem(Problem::at(&place, format_args!("{name} is {text:?}, not a valid number")));
            }
        }
        if logged.step.is_none() {
            rows.problem(Problem::at(&place, "its step is not an integer"));
        }
        logged.give(input, input.stem(), &place, rows);
    }
    if !any && rows.len() == before {
        return Err(Problem::whole("it has no known line of a training log"));
    }
    Ok(())
}

/// A number in a line, by its name.
struct Field<'a> {
    task: &'static str,
    name: &'a str,
    text: &'a str,
}

/// `iteration 100/ 500 | learning rate: 1E-05 | lm loss: 2.5E+00 | …` after any prefix of a launcher, or `validation
/// loss at iteration 100 | lm loss value: 2.5 | …`.
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
    // The text before the iteration belongs to it too: `samples/sec: 12.3 | iteration …`.
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
        // Units follow their numbers: `115.0min`.
        let text = text.trim_end_matches(':');
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let text = if text.parse::<f64>().is_err() && !number.is_empty() { number } else { text };
        let task = if name.starts_with("val") { "validation" } else { "train" };
        Some(Field { task, name, text })
    });
    let fields: Vec<Field<'_>> = fields.collect();
    (!fields.is_empty()).then(|| (Logged { step, ..Logged::default() }, fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, survives};

    fn rows(text: &str) -> Rows {
        read_as("logs/run.log", text.as_bytes(), read)
    }

    #[test]
    fn lines_of_megatron_and_gpt_neox() {
        let text = "0:  iteration      100/  500000 | consumed samples:       102400 | consumed tokens:    209715200 | \
            elapsed time per iteration (s): 1.50 | learning rate: 1.000E-05 | global batch size:  1024 | lm loss: 2.500000E+00 | \
            loss scale: 4096.0 | grad norm: 0.750 | number of skipped iterations:   0 | TFLOPs: 50.25 |\n\
            0: valid loss at iteration 100 | lm loss value: 2.25 | lm loss PPL: 9.5 | \n\
            samples/sec: 12.5 | iteration 200/ 143000 | elapsed time per iteration (ms): 80.0 | learning rate: 6.000E-06 | \
            approximate flops per GPU: 3.5TFLOPS | lm_loss: nan | number of nan iterations: 0 |\n\
            [2024-05-01 12:00:00] iteration 300/ 500 | learning rate: 1.0 | lm loss: 0.5 |\n\
            saving checkpoint at iteration  100 to checkpoints/x\n";
        let rows = rows(text);
        assert_eq!(rows.problems(), None);
        let [first, second, third] = rows.train_log.as_slice() else { panic!("{:?}", rows.train_log) };
        assert_eq!((first.run.as_str(), first.step.0, first.tokens.map(|t| t.0)), ("run", 100, Some(209_715_200)));
        assert_eq!((first.loss, first.learning_rate, first.grad_norm), (Some(2.5), Some(1e-5), Some(0.75)));
        assert!(second.step.0 == 200 && second.loss.unwrap().is_nan() && second.learning_rate == Some(6e-6));
        assert_eq!((third.step.0, third.place.as_str()), (300, "line 4"));
        let metric =
            |name: &str| rows.metrics.iter().find(|row| row.metric == name).map(|row| (row.task.as_str(), row.value));
        assert_eq!(metric("TFLOPs"), Some(("train", 50.25)));
        assert_eq!(metric("lm loss value"), Some(("validation", 2.25)));
        assert_eq!(metric("samples/sec"), Some(("train", 12.5)));
        assert_eq!(metric("approximate flops per GPU"), Some(("train", 3.5)));
    }

    #[test]
    fn lines_that_count_steps() {
        let text = "2025-06-28 11:48:34.886 | INFO | x:28 - Epoch:[2/3](100/44173) loss:6.460 lr:0.000549993677 epoch_Time:115.0min:\n\
            step:1000/1750 val_loss:3.25 train_time:1500ms step_avg:1.50ms\nanything: else\n";
        let rows = rows(text);
        assert_eq!(rows.problems(), None);
        let [log] = rows.train_log.as_slice() else { panic!("{:?}", rows.train_log) };
        assert_eq!((log.step.0, log.loss, log.learning_rate), (44_273, Some(6.46), Some(0.000_549_993_677)));
        let found: Vec<_> =
            rows.metrics.iter().map(|row| (row.task.as_str(), row.metric.as_str(), row.value)).collect();
        assert_eq!(
            found,
            [
                ("train", "epoch_Time", 115.0),
                ("validation", "val_loss", 3.25),
                ("train", "train_time", 1500.0),
                ("train", "step_avg", 1.5)
            ]
        );
    }

    #[test]
    fn what_does_not_fit_is_told_and_anything_is_survived() {
        for (text, expected) in [
            ("nothing\n", "no known line"),
            ("", "no known line"),
            (" iteration 1/ 2 | lm loss: x1 | learning rate: 1.0 |\n", "line 1: lm loss is \"x1\""),
            (" iteration 99999999999999999999999/ 2 | lm loss: 1.0 |\n", "line 1: its step"),
            ("Epoch:[1/1](x/3) loss:1\n", "no known line"),
        ] {
            let problems = rows(text).problems().unwrap_or_default();
            assert!(problems.contains(expected), "{problems:?} lacks {expected:?}");
        }
        let bytes = b"\xff\xfe junk\n iteration 1/ 2 | lm loss: 1.0 | \xe5\x8e |\n";
        assert_eq!(read_as("a.log", bytes, read).train_log.len(), 1);
        survives("a.log", bytes, read);
        survives("a.log", b"Epoch:[1/1](100/44173) loss:6.460 lr:0.0005:\nstep:1/2 a:b c:1ms\n", read);
    }
}

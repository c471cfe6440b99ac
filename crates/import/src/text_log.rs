//! The text output of trainers: iteration and validation lines of Megatron, GPT-NeoX and nanotron; lines of `name:value`
//! after `step:N/M` or `Epoch:[E/EPOCHS](N/M)`; and OLMo's `[step=N/M,…]` with a line `name=value` for each metric below.
//!
//! Other lines are skipped. The run is the file's name. Where several processes print the same steps, the first one gives them
//! (`processes.rs`).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::launcher;
use crate::processes::{Compared, Place, Processes};
use crate::rows::{Input, Problem, Rows};
use crate::scalars::{Log, Logged, Meaning, Measured};
use crate::value::whole;

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let (mut processes, mut first) = (Processes::default(), None);
    entries(input.bytes, |entry| {
        first.get_or_insert(entry.line);
        processes.add(&entry.process);
    });
    let Some(first) = first else { return Err(Problem::whole("it has no known line of a training log")) };
    if processes.are_several() {
        entries(input.bytes, |entry| {
            if let Some(place) = entry.place() {
                processes.look(&entry.process, place, entry.line, &entry.compared());
            }
        });
    }
    let (mut log, mut rounded_tokens, mut other_processes) = (Log::default(), false, false);
    entries(input.bytes, |mut entry| {
        let place = format!("line {}", entry.line);
        let compared = entry.compared();
        if let Some(other) = entry.place().and_then(|at| processes.compare(&entry.process, at, &compared)) {
            other_processes = true;
            if let Some(differs) = other.differs {
                rows.problem(Problem::at(&place, differs));
            }
            let only = |name: &str| {
                compared.iter().zip(other.only).any(|(of, only)| only && of.is_some_and(|of| of.0 == name))
            };
            entry.fields.retain(|field| only(field.name));
            if entry.fields.is_empty() {
                return;
            }
        }
        let mut logged = Logged::at(entry.step, None);
        for Field { task, name, text } in entry.fields {
            let (number, rounded) = number(text);
            let fits = match (task, Meaning::of(name)) {
                (Some("train") | None, Meaning::Tokens) if rounded => {
                    rounded_tokens = true;
                    true
                }
                (Some("train") | None, meaning) if meaning != Meaning::Other => logged.take_as(meaning, name, &number),
                // A duration as people read it: `2:03:04`.
                (_, Meaning::Other) if text.contains(':') => true,
                (task, _) => {
                    let number = number.parse();
                    logged.rest.extend(number.iter().map(|value| match task {
                        Some(task) => Measured { task, metric: name, value: *value, ..Measured::default() },
                        None => Measured::named(name, *value),
                    }));
                    number.is_ok()
                }
            };
            if !fits {
                rows.problem(Problem::at(&place, format_args!("{name} is {text:?}, not a valid number")));
            }
        }
        if entry.step.is_none() {
            rows.problem(Problem::at(&place, "its step is not an integer"));
        }
        logged.give(input, input.stem(), &place, rows, &mut log);
    });
    if rounded_tokens {
        rows.note(Problem::whole("its tokens are left out: they are rounded, as `10.5M`"));
    }
    if other_processes {
        rows.note(Problem::whole(
            "several processes print the same steps: those of the first one are read; losses, learning rates and gradient \
             norms of the others are compared with them, and the rest is left out",
        ));
    }
    if rows.len() == 0 && rows.problems().is_none() {
        return Err(Problem::whole(format!("it has lines with a step, from line {first} on, but none with numbers")));
    }
    Ok(())
}

/// The numbers of a step at one place of a log.
struct Entry<'a> {
    /// The process that printed them; empty, if the lines do not tell.
    process: String,
    /// The number of its first line.
    line: usize,
    /// The step, if it is valid.
    step: Option<u64>,
    fields: Vec<Field<'a>>,
}

impl<'a> Entry<'a> {
    /// Its step, and what kind of numbers it has; `None` without a step.
    fn place(&self) -> Option<Place> {
        let task = self.fields.first().and_then(|field| field.task);
        Some((self.step?, task.unwrap_or("train")))
    }

    /// Its numbers that are the same for every process.
    fn compared(&self) -> Compared<'a> {
        let mut compared = Compared::default();
        for field in &self.fields {
            let (at, by_name) = match Meaning::of(field.name) {
                Meaning::Loss => (0, true),
                Meaning::LearningRate => (1, true),
                Meaning::GradNorm => (2, true),
                _ if field.name.to_ascii_lowercase().contains("loss") => (0, false),
                _ => continue,
            };
            if let (Some(slot), Ok(value)) = (compared.get_mut(at), number(field.text).0.parse())
                && (slot.is_none()
                    || by_name && slot.is_some_and(|(name, _)| Meaning::of(name) != Meaning::of(field.name)))
            {
                *slot = Some((field.name, value));
            }
        }
        compared
    }
}

/// A line of OLMo with a step, and the metrics below it so far.
struct Block {
    process: String,
    line: usize,
    step: Option<u64>,
    metrics: Vec<(String, String)>,
    names: HashSet<String>,
}

impl Block {
    fn give(self, each: &mut impl FnMut(Entry<'_>)) {
        let Self { process, line, step, metrics, .. } = self;
        let fields = metrics.iter().map(|(name, text)| Field { task: None, name, text }).collect();
        each(Entry { process, line, step, fields });
    }
}

/// Calls `each` for the numbers of every step, in the order of the log.
fn entries(bytes: &[u8], mut each: impl FnMut(Entry<'_>)) {
    // The lines of several processes may be mixed: the metrics below a step are of the process that printed it.
    let mut open: HashMap<String, Block> = HashMap::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let (index, line) = (index + 1, launcher::plain(line));
        let (launched, line) = launcher::split(&line);
        if let Some(block) = open.get_mut(launched.as_ref()) {
            let field = olmo_field(line).filter(|_| line.starts_with([' ', '\t']));
            let is_new = field.as_ref().is_some_and(|field| !block.names.contains(field.name));
            if let Some(Field { name, text, .. }) = field.filter(|_| is_new) {
                block.names.insert(name.to_owned());
                block.metrics.push((name.to_owned(), text.to_owned()));
                continue;
            }
            // Another message of the logger, whose metrics are of something else. Any other line, as a warning of a
            // library, ends nothing.
            if begins_with_date(line) || olmo_step(line).is_some() {
                open.remove(launched.as_ref()).into_iter().for_each(|block| block.give(&mut each));
            }
        }
        let process = |of: Option<&str>| match of {
            Some(of) if launched.is_empty() => of.to_owned(),
            Some(of) => format!("{launched} {of}"),
            None => launched.to_string(),
        };
        if let Some(step) = olmo_step(line) {
            let process = process(olmo_process(line));
            let block = Block { process, line: index, step, metrics: Vec::new(), names: HashSet::new() };
            open.insert(launched.into_owned(), block);
        } else if let Some((step, fields)) = megatron(line).or_else(|| counted(line)) {
            each(Entry { process: process(nanotron_process(line)), line: index, step, fields });
        }
    }
    let mut rest: Vec<Block> = open.into_values().collect();
    rest.sort_by_key(|block| block.line);
    rest.into_iter().for_each(|block| block.give(&mut each));
}

/// Whether a line begins with a date: `2025-03-01 …`, `[2025-03-01 …`.
fn begins_with_date(line: &str) -> bool {
    let date = line.trim_start_matches('[').as_bytes();
    let is_digit = |at: usize| date.get(at).is_some_and(u8::is_ascii_digit);
    [0, 1, 2, 3, 5, 6, 8, 9].into_iter().all(is_digit) && [4, 7].into_iter().all(|at| date.get(at) == Some(&b'-'))
}

/// A number as Rust reads it, and whether it was rounded for people: `1,048,576` is exact, `10.5M` is not.
fn number(text: &str) -> (Cow<'_, str>, bool) {
    let units = [("K", "e3"), ("M", "e6"), ("G", "e9"), ("B", "e9"), ("T", "e12")];
    let is_number =
        |text: &str| text.starts_with(|c: char| c.is_ascii_digit() || c == '-') && text.parse::<f64>().is_ok();
    for (unit, power) in units {
        if let Some(digits) = text.strip_suffix(unit).filter(|digits| is_number(digits)) {
            return (format!("{digits}{power}").into(), true);
        }
    }
    let (whole, rest) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default().trim_start_matches('-');
    let grouped = |group: &str| group.len() == 3 && group.bytes().all(|byte| byte.is_ascii_digit());
    if whole.contains(',') && (1..=3).contains(&first.len()) && groups.all(grouped) {
        let rest = rest.map_or_else(String::new, |rest| format!(".{rest}"));
        return (format!("{}{rest}", whole.replace(',', "")).into(), false);
    }
    (text.into(), false)
}

/// A number in a line, by its name.
struct Field<'a> {
    /// The task, if the form of the line says it and not the name.
    task: Option<&'static str>,
    name: &'a str,
    text: &'a str,
}

/// The step of a line, if it is valid, and its numbers.
type Read<'a> = (Option<u64>, Vec<Field<'a>>);

/// `iteration 100/ 500 | learning rate: 1E-05 | lm loss: 2.5E+00 | …` after any prefix of a launcher, or `validation
/// loss at iteration 100 | lm loss value: 2.5 | …`; nanotron's `iteration: 1 / 500 | lm_loss: 7.25 | …`.
fn megatron(line: &str) -> Option<Read<'_>> {
    let mut parts = line.split('|').map(str::trim);
    let cut = |part: &'_ str| -> Option<usize> {
        let found = ["iteration ", "iteration: "].into_iter().filter_map(|word| Some(part.rfind(word)? + word.len()));
        found.max()
    };
    let head = parts.by_ref().find(|part| cut(part).is_some())?;
    let (before, after) = head.split_at_checked(cut(head)?)?;
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
    let all = line.split('|').map(str::trim).enumerate().filter(|(_, part)| *part != head);
    let fields: Vec<Field<'_>> = all
        .filter_map(|(at, part)| {
            let part = if at == 0 { part.rsplit(']').next()?.trim_start_matches([':', ' ']) } else { part };
            // A value is all that is after the name: `eta: 1 day, 2:03:04` is no number.
            let (name, text) = part.split_once(':')?;
            let (name, text) = (name.trim(), text.trim().trim_end_matches("TFLOPS").trim_end());
            let task = Some(task);
            (!name.is_empty() && text.split_ascii_whitespace().count() == 1).then_some(Field { task, name, text })
        })
        .collect();
    (!fields.is_empty()).then_some((step, fields))
}

/// The process that printed a line of nanotron: `[INFO|DP=0|PP=1|TP=0]` is `DP=0|PP=1|TP=0`, and on several nodes
/// `[INFO|DP=0|PP=1|TP=0|ip-26-0-1]` is `DP=0|PP=1|TP=0|ip-26-0-1`.
fn nanotron_process(line: &str) -> Option<&str> {
    let from = line.find("|DP=")? + 1;
    let process = line.get(from..)?.split_once(']')?.0;
    process.split('|').all(|part| !part.is_empty() && !part.contains(' ')).then_some(process)
}

/// The process that printed a line of OLMo, which is after the time: `2025-03-01 12:30:01.181 host:0 …` is `host:0`.
fn olmo_process(line: &str) -> Option<&str> {
    let process = line.split_ascii_whitespace().nth(2)?;
    let (host, rank) = process.rsplit_once(':')?;
    (begins_with_date(line) && !host.is_empty() && rank.parse::<u32>().is_ok()).then_some(process)
}

/// The step in a line of OLMo or OLMo-core, whose metrics are below it: `… [step=100/5000,epoch=0]`.
fn olmo_step(line: &str) -> Option<Option<u64>> {
    let (_, rest) = line.split_once("[step=")?;
    let end = rest.find(|c: char| !matches!(c, '0'..='9' | ',' | '/'))?;
    let (step, total) = rest.get(..end)?.trim_end_matches(',').split_once('/')?;
    let plain = |text: &str| whole(&number(text).0);
    plain(total).map(|_| plain(step))
}

/// A metric of OLMo or OLMo-core: `    optim/total_grad_norm=198.4`.
fn olmo_field(line: &str) -> Option<Field<'_>> {
    let (name, text) = line.trim().rsplit_once('=')?;
    Some(Field { task: None, name, text }).filter(|_| number(text).0.parse::<f64>().is_ok())
}

/// `step:100/1750 val_loss:3.25 …`, or `Epoch:[2/3](100/44173) loss:6.4 …`: step 100 of the second
/// epoch is step 44173 + 100 of the run.
fn counted(line: &str) -> Option<Read<'_>> {
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
        Some(Field { task: Some(task), name, text })
    });
    let fields: Vec<Field<'_>> = fields.collect();
    (!fields.is_empty()).then_some((step, fields))
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

    /// As nanotron prints them: numbers for people, once by each process.
    #[test]
    fn lines_of_nanotron() {
        let line = |pp: u32, step: u32, loss: &str| {
            format!(
                "11/02/2025 08:31:01 [INFO|DP=0|PP={pp}|TP=0]: iteration: {step} / 200000 | consumed_tokens: 10.5M | \
                 tokens_per_sec: 31.5K | lm_loss: {loss} | lr: 1e-05 | grad_norm: 0.91\n"
            )
        };
        let text: String = [(1, 1, "7"), (0, 1, "7"), (0, 2, "6.5"), (1, 2, "6.5")]
            .map(|(pp, step, loss)| line(pp, step, loss))
            .concat();
        let rows = rows(&format!("11/02/2025 08:15:00 [INFO|DP=0|PP=0|TP=0]: Config:\n{text}"));
        assert_eq!(rows.problems(), None);
        let told: Vec<_> = rows
            .train_log
            .iter()
            .map(|row| (row.step.0, row.tokens, row.loss, row.learning_rate, row.grad_norm))
            .collect();
        assert_eq!(
            told,
            [7.0, 6.5].map(|loss| (if loss == 7.0 { 1 } else { 2 }, None, Some(loss), Some(1e-5), Some(0.91)))
        );
        let metrics: Vec<_> = rows.metrics.iter().map(|row| (row.metric.as_str(), row.value)).collect();
        assert_eq!(metrics, [("tokens_per_sec", 31_500.0), ("tokens_per_sec", 31_500.0)]);
        let notes = rows.notes().join("; ");
        assert!(notes.contains("its tokens are left out") && notes.contains("several processes"), "{notes}");
    }

    fn told(rows: &Rows) -> Vec<(u64, Option<f64>, Option<f64>, &str)> {
        rows.train_log.iter().map(|row| (row.step.0, row.loss, row.learning_rate, &row.place[..])).collect()
    }

    #[test]
    fn another_process_is_compared_and_what_only_it_has_is_taken() {
        let line = |process: &str, step: u32, loss: &str, more: &str| {
            format!(
                "11/02/2025 08:31:01 [INFO|{process}]: iteration: {step} / 9 | lm_loss: {loss} | tokens_per_sec: 1{step}{more}\n"
            )
        };
        // Nodes have names, the last of which is of other hosts; the second process has a NaN, and a rate of its own.
        let (one, two, later) = ("DP=0|PP=0|TP=0|ip-1", "DP=0|PP=1|TP=0|ip-2", "DP=0|PP=1|TP=0|ip-9");
        let text = [
            line(one, 1, "7", ""),
            line(two, 1, "7.0", " | lr: 0.5"),
            line(two, 2, "nan", ""),
            line(one, 2, "6.5", ""),
            line(later, 2, "6.5", ""),
            line(later, 3, "6", ""),
        ];
        let rows = rows(&text.concat());
        assert_eq!(
            told(&rows),
            [(1, Some(7.0), Some(0.5), "line 1"), (2, Some(6.5), None, "line 4"), (3, Some(6.0), None, "line 6"),]
        );
        assert_eq!(rows.metrics.iter().map(|row| row.value).collect::<Vec<_>>(), [11.0, 12.0, 13.0]);
        let expected =
            "line 3: lm_loss is NaN in DP=0|PP=1|TP=0|ip-2, and 6.5 in DP=0|PP=0|TP=0|ip-1 (line 4), which is taken";
        assert_eq!(rows.problems().as_deref(), Some(expected));
    }

    /// One process that logs a step again after a restart has it twice, as in any log.
    #[test]
    fn lines_of_srun_are_of_its_tasks() {
        let line = |task: u32, step: u32, loss: &str| {
            format!(
                "{task}:  iteration {step}/ 9 | samples/sec: {task}.5 | lm loss: {loss} | eta: 1 day, 2:03:04 | left: 2:03 |\n"
            )
        };
        let both = |step, loss| [line(0, step, loss), line(1, step, loss)].concat();
        let text = [
            both(1, "4"),
            both(2, "3"),
            both(2, "3.5"),
            "1: validation loss at iteration 2 | lm loss value: 5 |\n".to_owned(),
        ];
        let rows = rows(&text.concat());
        assert_eq!(rows.problems(), None);
        assert_eq!(
            told(&rows),
            [(1, Some(4.0), None, "line 1"), (2, Some(3.0), None, "line 3"), (2, Some(3.5), None, "line 5")]
        );
        let metrics: Vec<_> = rows.metrics.iter().map(|row| (&row.metric[..], row.value)).collect();
        let speed = ("samples/sec", 0.5);
        assert_eq!(metrics, [speed, speed, speed, ("lm loss value", 5.0)]);
        assert!(rows.notes()[0].contains("several processes"), "{:?}", rows.notes());
    }

    #[test]
    fn blocks_of_olmo_behind_what_a_launcher_writes() {
        let block = |prefix: &dyn Fn(u32) -> String, host: &str, step: u32, loss: &str| {
            let lines = [
                format!("2025-03-01 12:30:0{step}.181 {host}:0  olmo.train:908  INFO    [step={step}/9,epoch=0]"),
                format!("    train/CrossEntropyLoss={loss}"),
                "/x.py:7: UserWarning: a=1".to_owned(),
                "  warnings.warn(".to_owned(),
                "    optim/total_grad_norm=0.5".to_owned(),
                "2025-03-01 12:30:09.181 INFO c4-validation".to_owned(),
                "    eval/loss=1".to_owned(),
            ];
            lines.iter().zip(0..).map(|(line, at)| format!("{}{line}\n", prefix(at))).collect::<Vec<_>>()
        };
        let prefixes: [&dyn Fn(u32) -> String; 7] = [
            &|_| String::new(),
            &|_| "[default0]:".to_owned(),
            &|_| "0: ".to_owned(),
            &|at| format!("2025-03-01T12:30:01.12345678{at}Z "),
            &|_| "node1  | ".to_owned(),
            &|_| "\u{1b}[36m(RayTrainWorker pid=7)\u{1b}[0m ".to_owned(),
            &|at| format!("[pod/a-0/main] 2025-03-01T12:30:0{at}Z "),
        ];
        for prefix in prefixes {
            let text = [block(prefix, "a", 1, "4.5"), block(prefix, "a", 2, "nan"), block(prefix, "b", 2, "nan")];
            let rows = rows(&text.concat().concat());
            assert_eq!((rows.problems(), rows.metrics.len()), (None, 0), "{}", prefix(0));
            let [one, two] = rows.train_log.as_slice() else { panic!("{}{:?}", prefix(0), rows.train_log) };
            assert_eq!(
                (one.loss, one.grad_norm, two.grad_norm, &two.place[..]),
                (Some(4.5), Some(0.5), Some(0.5), "line 8")
            );
            assert!(two.loss.unwrap().is_nan());
        }
        // Two tasks at once.
        let (one, two) = (block(&|_| "0: ".to_owned(), "a", 1, "4.5"), block(&|_| "1: ".to_owned(), "b", 2, "3.5"));
        let rows = rows(&one.iter().zip(&two).map(|(one, two)| format!("{one}{two}")).collect::<String>());
        assert_eq!(rows.problems(), None);
        assert_eq!(told(&rows), [(1, Some(4.5), None, "line 1"), (2, Some(3.5), None, "line 2")]);
    }

    #[test]
    fn a_log_without_a_number_is_told() {
        let lines = "date [step=1/9,epoch=0]\n??    train/loss=4\n";
        assert!(rows(lines).problems().unwrap().contains("from line 1 on"));
    }

    /// As OLMo and OLMo-core print them.
    #[test]
    fn blocks_of_olmo() {
        let text = "2025-03-01 12:30:01.181 host:0  olmo.train:908  INFO    [step=1/500000,epoch=0]\n    \
            optim/total_grad_norm=198.4\n    train/CrossEntropyLoss=11.27\n    train/Perplexity=78,433\n    \
            throughput/total_tokens=1,048,576\n    note=a, b\nother line\n    train/CrossEntropyLoss=1\n\
            2026-02-25 10:00:01.181 host:0  INFO  [step=2,000/1,413,814,epoch=1,eta=12 days 3h]\r\n    train/CE loss=9.5\r\n    \
            optim/LR (group 0)=0.0003\r\n";
        let rows = rows(text);
        assert_eq!(rows.problems(), None);
        let told: Vec<_> = rows
            .train_log
            .iter()
            .map(|row| {
                (row.step.0, row.tokens.map(|t| t.0), row.loss, row.grad_norm, row.learning_rate, &row.place[..])
            })
            .collect();
        assert_eq!(
            told,
            [
                (1, Some(1_048_576), Some(11.27), Some(198.4), None, "line 1"),
                (2000, None, Some(9.5), None, Some(0.0003), "line 9")
            ]
        );
        let [row] = rows.metrics.as_slice() else { panic!("{:?}", rows.metrics) };
        assert_eq!((&row.task[..], &row.metric[..], row.value), ("train", "Perplexity", 78_433.0));
    }

    #[test]
    fn numbers_for_people() {
        for (text, expected, rounded) in [
            ("1,048,576", "1048576", false),
            ("31,204.5", "31204.5", false),
            ("1,04", "1,04", false),
            (",123", ",123", false),
            ("10.5M", "10.5e6", true),
            ("1.5TFLOPS", "1.5TFLOPS", false),
            ("nanK", "nanK", false),
            ("-2K", "-2e3", true),
            ("nan", "nan", false),
            ("", "", false),
        ] {
            assert_eq!(number(text), (expected.into(), rounded), "{text}");
        }
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
        let mixed = "0: iteration 1/ 2 | lm loss: 1.0 | a: 2 |\n1: iteration 1/ 2 | lm loss: nan |\n\u{1b}[1m0: x [step=1/2,e]\n\
            1: x [step=1/2]\n0:     a=1\n1:     a=1\n2025-03-01T12:30:01Z a [INFO|DP=0|PP=1]: iteration: 1 / 2 | b: 2\n";
        survives("a.log", mixed.as_bytes(), read);
        survives("a.log", b"Epoch:[1/1](100/44173) loss:6.460 lr:0.0005:\nstep:1/2 a:b c:1ms\n", read);
    }
}

//! The text output of trainers: iteration and validation lines of Megatron, GPT-NeoX and nanotron; lines of `name:value`
//! after `step:N/M` or `Epoch:[E/EPOCHS](N/M)`; torchtitan's `step: N  name: value  …`; nanochat's `step N/M (P%) | name:
//! value | …`; litgpt's `iter I step N | …`; and OLMo's `[step=N/M,…]` with a line `name=value` for each metric below.
//!
//! Other lines are skipped. The run is the file's name. Where several processes print the same steps, the first one gives them
//! (`processes.rs`).
//!
//! Sources of the forms: `torchtitan/components/metrics.py`, `scripts/base_train.py` of nanochat, `litgpt/pretrain.py`,
//! `olmo_core/train/callbacks/console_logger.py`, each as of 2026.

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
    let (mut log, mut notes) = (Log::default(), Notes::default());
    notes.without_loss = entries(input.bytes, |mut entry| {
        let place = format!("line {}", entry.line);
        let compared = entry.compared();
        if let Some(other) = entry.place().and_then(|at| processes.compare(&entry.process, at, &compared)) {
            notes.other_processes = true;
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
        notes.without_step |= matches!(entry.at, At::Iteration(_));
        let is = |name: &str| entry.fields.iter().any(|field| field.name == name);
        notes.moving_average |= is("lrm") && is("loss");
        let mut logged = Logged::at(entry.step(), None);
        for Field { task, name, text } in entry.fields {
            let (number, rounded) = number(text);
            let fits = match (task, Meaning::of(name)) {
                (Some("train") | None, Meaning::Tokens) if rounded => {
                    notes.rounded_tokens = true;
                    true
                }
                (Some("train") | None, meaning) if meaning != Meaning::Other => logged.take_as(meaning, name, &number),
                // A duration as people read it: `2:03:04`.
                (_, Meaning::Other) if text.contains(':') => true,
                (task, _) => {
                    notes.rounded |= rounded;
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
        if matches!(entry.at, At::Unknown) {
            rows.problem(Problem::at(&place, "its step is not an integer"));
        }
        logged.give(input, input.stem(), &place, rows, &mut log);
    });
    notes.give(rows);
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
    at: At,
    fields: Vec<Field<'a>>,
}

impl<'a> Entry<'a> {
    /// Its step, if it has one.
    fn step(&self) -> Option<u64> {
        match self.at {
            At::Step(step) | At::Both { step, .. } => Some(step),
            At::Iteration(_) | At::Unknown => None,
        }
    }

    /// Its step, and what kind of numbers it has; `None` without a step.
    fn place(&self) -> Option<Place> {
        let task = self.fields.first().and_then(|field| field.task);
        Some((self.step()?, task.unwrap_or("train")))
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
    at: At,
    metrics: Vec<(String, String)>,
    names: HashSet<String>,
}

impl Block {
    fn give(self, each: &mut impl FnMut(Entry<'_>)) {
        let Self { process, line, at, metrics, .. } = self;
        let fields = metrics.iter().map(|(name, text)| Field { task: None, name, text }).collect();
        each(Entry { process, line, at, fields });
    }
}

/// Calls `each` for the numbers of every step, in the order of the log. Returns whether lines of processes that do not
/// compute the loss are left out.
fn entries(bytes: &[u8], mut each: impl FnMut(Entry<'_>)) -> bool {
    // The lines of several processes may be mixed: the metrics below a step are of the process that printed it.
    let mut open: HashMap<String, Block> = HashMap::new();
    // litgpt's last iteration, and its step.
    let mut last = None;
    let mut without_loss = false;
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
            let block = Block { process, line: index, at: At::step(step), metrics: Vec::new(), names: HashSet::new() };
            open.insert(launched.into_owned(), block);
            continue;
        }
        let forms = [megatron, counted, torchtitan, litgpt, nanochat];
        let Some((at, fields)) = forms.into_iter().find_map(|form| form(line)) else { continue };
        if is_torchtitan(&fields)
            && fields.iter().any(|field| field.name == "loss" && number(field.text).0.parse() == Ok(-1.0))
        {
            without_loss = true;
            continue;
        }
        let at = match (at, last) {
            (At::Both { iteration, step }, _) => {
                last = Some((iteration, step));
                at
            }
            (At::Iteration(iteration), Some((of, step))) if of == iteration => At::Step(step),
            _ => at,
        };
        each(Entry { process: process(nanotron_process(line)), line: index, at, fields });
    }
    let mut rest: Vec<Block> = open.into_values().collect();
    rest.sort_by_key(|block| block.line);
    rest.into_iter().for_each(|block| block.give(&mut each));
    without_loss
}

/// Whether a line begins with a date: `2025-03-01 …`, `[2025-03-01 …`.
fn begins_with_date(line: &str) -> bool {
    let date = line.trim_start_matches('[').as_bytes();
    let is_digit = |at: usize| date.get(at).is_some_and(u8::is_ascii_digit);
    [0, 1, 2, 3, 5, 6, 8, 9].into_iter().all(is_digit) && [4, 7].into_iter().all(|at| date.get(at) == Some(&b'-'))
}

/// What the lines of a log say of its numbers.
#[derive(Default)]
struct Notes {
    rounded_tokens: bool,
    rounded: bool,
    other_processes: bool,
    without_loss: bool,
    without_step: bool,
    moving_average: bool,
}

impl Notes {
    fn give(&self, rows: &mut Rows) {
        for (so, what) in [
            (self.rounded_tokens, "its tokens are left out: they are rounded, as `10.5M`"),
            (self.moving_average, "its losses are moving averages, as nanochat prints them"),
            (
                self.other_processes,
                "several processes print the same steps: those of the first one are read; losses, learning rates and \
                 gradient norms of the others are compared with them, and the rest is left out",
            ),
            (self.without_loss, "lines of processes that do not compute the loss, and print -1, are left out"),
            (self.without_step, "validation losses whose line has an iteration, and no step, have no step"),
            (self.rounded, "numbers such as `31.5K` are as they were printed: rounded"),
        ] {
            if so {
                rows.note(Problem::whole(what));
            }
        }
    }
}

/// Where a line is in its run.
#[derive(Clone, Copy)]
enum At {
    Step(u64),
    /// A step, and the micro-batch after which it was printed.
    Both {
        iteration: u64,
        step: u64,
    },
    /// A micro-batch.
    Iteration(u64),
    /// At a step that is not valid.
    Unknown,
}

impl At {
    fn step(step: Option<u64>) -> Self {
        step.map_or(Self::Unknown, Self::Step)
    }
}

/// A number as Rust reads it, and whether it was rounded for people: `1,048,576` is exact, `10.5M` is not.
fn number(text: &str) -> (Cow<'_, str>, bool) {
    let units = [("K", "e3"), ("k", "e3"), ("M", "e6"), ("G", "e9"), ("B", "e9"), ("T", "e12")];
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

/// Where a line is, and its numbers.
type Read<'a> = (At, Vec<Field<'a>>);

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
    (!fields.is_empty()).then_some((At::step(step), fields))
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
    let end = rest.find(|c: char| !matches!(c, '0'..='9' | ',' | '/' | '?'))?;
    let (step, total) = rest.get(..end)?.trim_end_matches(',').split_once('/')?;
    let plain = |text: &str| whole(&number(text).0);
    (plain(total).is_some() || total == "???").then(|| plain(step))
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
    (!fields.is_empty()).then_some((At::step(step), fields))
}

/// The number before a unit: `5.21GiB(6.2%)`, `123.45ms`. `31.5K` is a number.
fn before_unit(text: &str) -> &str {
    if number(text).0.parse::<f64>().is_ok() {
        return text;
    }
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',' | '-'))).unwrap_or(text.len());
    text.get(..end).filter(|text| !text.is_empty()).unwrap_or(text)
}

/// The metric that only torchtitan's lines have.
fn is_torchtitan(fields: &[Field<'_>]) -> bool {
    fields.iter().any(|field| field.name == "tps")
}

/// `step: 10  loss:  7.1234  grad_norm:  1.5000  memory:  5.21GiB(6.2%)  tps: 1,234  …` after any prefix, and the same after
/// `validate`.
fn torchtitan(line: &str) -> Option<Read<'_>> {
    let (before, rest) = line.split_once("step:")?;
    let mut words = rest.split_ascii_whitespace();
    let step = whole(words.next()?)?;
    let task = if before.trim_end().ends_with("validate") { "validation" } else { "train" };
    let mut fields = Vec::new();
    while let (Some(name), Some(text)) = (words.next(), words.next()) {
        let name = name.strip_suffix(':')?;
        fields.push(Field { task: Some(task), name, text: before_unit(text) });
    }
    (fields.first()?.name == "loss").then_some((At::Step(step), fields))
}

/// `Epoch 1 | iter 16 step 2 | loss train: 10.500, val: n/a | iter time: 35.20 ms …`, whose `val` is of an earlier step, and
/// `iter 16: val loss 10.1234, val time: 12.30 ms`.
fn litgpt(line: &str) -> Option<Read<'_>> {
    let field = |task, name, text: &str| -> Option<Field<'_>> {
        let at = line.find(text)? + text.len();
        let text = line.get(at..)?.split([',', ' ']).next()?;
        Some(Field { task: Some(task), name, text })
    };
    if let Some((iteration, _)) =
        line.trim_start().strip_prefix("iter ").and_then(|rest| rest.split_once(": val loss "))
    {
        return Some((At::Iteration(whole(iteration)?), vec![field("validation", "loss", ": val loss ")?]));
    }
    let (_, rest) = line.split_once("| iter ")?;
    let (iteration, rest) = rest.split_once(" step ")?;
    let (step, _) = rest.split_once(" |")?;
    let fields = [field("train", "loss", "| loss train: "), field("train", "iter time", "| iter time: ")];
    let at = At::Both { iteration: whole(iteration)?, step: whole(step)? };
    Some((at, fields.into_iter().flatten().collect()))
}

/// `step 00010/21400 (0.05%) | loss: 10.5 | lrm: 1.00 | dt: 123.45ms | …`, `Step 00250 | Validation bpb: 1.25`, after any
/// prefix.
fn nanochat(line: &str) -> Option<Read<'_>> {
    let mut parts = line.split('|').map(str::trim);
    let head = parts.next()?;
    let at = head
        .rfind("tep ")
        .filter(|at| at.checked_sub(1).is_some_and(|at| matches!(head.get(at..=at), Some("s" | "S"))))?;
    let mut words = head.get(at + 4..)?.split_ascii_whitespace();
    let (step, percent) = (words.next()?, words.next());
    let step = whole(step.split_once('/').map_or(step, |(step, _)| step))?;
    if percent.is_some_and(|percent| !percent.starts_with('(')) {
        return None;
    }
    let fields = parts.filter_map(|part| {
        let (name, text) = part.split_once(':')?;
        let text = before_unit(text.split_ascii_whitespace().next()?);
        Some((name.trim(), text)).filter(|(name, _)| !name.is_empty())
    });
    let fields: Vec<(&str, &str)> = fields.collect();
    let trains = fields.iter().any(|(name, _)| Meaning::of(name) == Meaning::Loss);
    let task = |name: &str| match name {
        _ if name.starts_with("Validation ") => Some("validation"),
        _ => trains.then_some("train"),
    };
    let fields: Vec<_> = fields.into_iter().map(|(name, text)| Field { task: task(name), name, text }).collect();
    (!fields.is_empty()).then_some((At::Step(step), fields))
}

#[cfg(test)]
mod tests;

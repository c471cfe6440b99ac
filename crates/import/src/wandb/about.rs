//! What a log of wandb says of its run: config, summary, name and end.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost::Message;

use super::record::{Entry, Wrong, field, object, parts};
use crate::history::scalars;
use crate::protobuf::fields;
use crate::rows::{Input, Problem, Rows};
use crate::value::{Value, pointer};

/// The most memory for the texts of config and summary.
const MOST_TOLD: usize = 256 << 20;

/// `RunRecord`, with the fields that are read.
#[derive(Clone, PartialEq, Message)]
struct Run {
    #[prost(string, tag = "1")]
    run_id: String,
    #[prost(string, tag = "2")]
    entity: String,
    #[prost(string, tag = "3")]
    project: String,
    #[prost(string, tag = "6")]
    run_group: String,
    #[prost(string, tag = "7")]
    job_type: String,
    #[prost(string, tag = "8")]
    display_name: String,
    #[prost(string, tag = "9")]
    notes: String,
    #[prost(string, tag = "12")]
    sweep_id: String,
    #[prost(message, optional, tag = "17")]
    start_time: Option<Timestamp>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// `RunExitRecord`.
#[derive(Clone, PartialEq, Message)]
struct Exit {
    #[prost(int32, tag = "1")]
    exit_code: i32,
}

/// What the records say of the run as a whole; later ones change what earlier ones said.
#[derive(Default)]
pub(super) struct About {
    run: Option<(usize, Run)>,
    tags: Vec<String>,
    exit: Option<(usize, i32)>,
    config: Told,
    summary: Told,
    left_out: BTreeMap<&'static str, usize>,
}

impl About {
    pub(super) fn take(&mut self, at: usize, record: &[u8]) -> Result<(), Wrong> {
        parts(record, |tag, part| {
            match tag {
                field::CONFIG => self.config.change(at, part, true)?,
                field::SUMMARY => self.summary.change(at, part, false)?,
                field::RUN => {
                    let mut tags = Vec::new();
                    fields(part, |tag, part| {
                        match tag {
                            4 => self.config.change(at, part, true)?,
                            5 => self.summary.change(at, part, false)?,
                            10 => tags.push(String::from_utf8_lossy(part).into_owned()),
                            _ => {}
                        }
                        Ok::<(), Wrong>(())
                    })?;
                    (self.run, self.tags) = (Some((at, Run::decode(part)?)), tags);
                }
                field::EXIT => self.exit = Some((at, Exit::decode(part)?.exit_code)),
                _ => {
                    let of = field::LEFT_OUT.into_iter().find(|(_, tags)| tags.contains(&tag));
                    if let Some((what, _)) = of {
                        *self.left_out.entry(what).or_default() += 1;
                    }
                }
            }
            Ok(())
        })
    }

    /// The id of the run.
    pub(super) fn id(&self) -> Option<&str> {
        self.run.as_ref().map(|(_, run)| run.run_id.as_str()).filter(|id| !id.is_empty())
    }

    pub(super) fn give(self, input: &Input<'_>, run: &str, rows: &mut Rows) {
        if let Some((at, of)) = &self.run {
            let place = format!("byte {at}");
            let time = of.start_time.as_ref().map(|time| time.seconds as f64 + f64::from(time.nanos) / 1e9);
            let time = time.map_or_else(String::new, |time| time.to_string());
            for (name, text) in [
                ("run_name", &of.display_name),
                ("entity", &of.entity),
                ("project", &of.project),
                ("run_group", &of.run_group),
                ("job_type", &of.job_type),
                ("notes", &of.notes),
                ("sweep_id", &of.sweep_id),
                ("start_time", &time),
            ] {
                if !text.is_empty() {
                    rows.claim(input, run, name, text, text.parse().ok(), &place);
                }
            }
            for (index, tag) in self.tags.iter().enumerate() {
                rows.claim(input, run, &format!("tags.{index}"), tag, tag.parse().ok(), &place);
            }
        }
        self.config.give(input, run, "config", rows);
        self.summary.give(input, run, "summary", rows);
        match self.exit {
            Some((at, code)) => {
                let text = code.to_string();
                rows.claim(input, run, "exit_code", &text, Some(f64::from(code)), &format!("byte {at}"));
            }
            None => rows.note(Problem::whole("it does not say that its run ended: it was killed, or had not ended")),
        }
        let mut all = String::new();
        for (what, records) in self.left_out {
            let _ = write!(all, "{}{records} of {what}", if all.is_empty() { "" } else { ", " });
        }
        if !all.is_empty() {
            rows.note(Problem::whole(format!("records that are not imported: {all}")));
        }
    }
}

/// Values by their dotted names, each with its place: a config or a summary, of which each record changes a part.
#[derive(Default)]
struct Told {
    values: BTreeMap<String, (String, Option<f64>, usize)>,
    bytes: usize,
}

impl Told {
    /// Applies a `ConfigRecord` or a `SummaryRecord`. Of a summary only numbers and texts are kept.
    fn change(&mut self, at: usize, record: &[u8], is_config: bool) -> Result<(), Wrong> {
        let (mut changed, mut removed) = (Vec::new(), Vec::new());
        fields(record, |tag, item| {
            match tag {
                1 => changed.push(Entry::of(item)?),
                2 => removed.push(Entry::of(item)?),
                _ => {}
            }
            Ok::<(), Wrong>(())
        })?;
        removed.iter().for_each(|entry| self.remove(&entry.keys.join(".")));
        let mut wrong = None;
        let object = object(&changed, &mut |name, problem| {
            wrong.get_or_insert_with(|| format!("{name}: {problem}"));
        });
        // What wandb says of itself.
        let own = |name: &str| name == "_wandb" || name.starts_with("_wandb.");
        if is_config {
            for (name, value) in object.object().unwrap_or_default().iter().filter(|(name, _)| !own(name)) {
                self.remove(name);
                value.leaves(name, &pointer([name.as_ref()]), &mut |name, _, text, number| {
                    self.put(name, text, number, at);
                });
            }
        } else {
            scalars(&object, &mut |name, value| {
                if let (false, Value::Number(text) | Value::String(text)) = (own(name), value) {
                    self.put(name, text, value.figure(), at);
                }
            });
        }
        match wrong {
            Some(what) => Err(Wrong::Value(what)),
            None if self.bytes > MOST_TOLD => Err(Wrong::Told(MOST_TOLD)),
            None => Ok(()),
        }
    }

    fn put(&mut self, name: &str, text: &str, number: Option<f64>, at: usize) {
        if self.bytes > MOST_TOLD {
            return;
        }
        // With what a map needs for an entry.
        self.bytes += name.len() + text.len() + 100;
        if let Some((old, ..)) = self.values.insert(name.to_owned(), (text.to_owned(), number, at)) {
            self.bytes -= name.len() + old.len() + 100;
        }
    }

    /// Removes a value, and all below its name.
    fn remove(&mut self, name: &str) {
        let below: Vec<String> =
            self.values.range(format!("{name}.")..format!("{name}/")).map(|(name, _)| name.clone()).collect();
        for name in below.iter().map(String::as_str).chain([name]) {
            if let Some((old, ..)) = self.values.remove(name) {
                self.bytes -= name.len() + old.len() + 100;
            }
        }
    }

    fn give(self, input: &Input<'_>, run: &str, what: &str, rows: &mut Rows) {
        for (name, (text, number, at)) in self.values {
            rows.claim(input, run, &format!("{what}.{name}"), &text, number, &format!("byte {at}"));
        }
    }
}

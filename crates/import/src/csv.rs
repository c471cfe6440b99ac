//! Comma-separated tables, by a mapping of their columns.

use std::collections::HashSet;

use ::csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};

use crate::history::{Cell, History};
use crate::mapping::Plan;
use crate::rows::{Input, Problem, Rows};
use crate::scalars::CALLS;

/// A table's text, record by record.
pub(crate) struct Table<'a> {
    reader: Reader<&'a [u8]>,
    lines: Lines<'a>,
    pub(crate) names: Vec<String>,
}

/// The lines of a text, which end with `\n`, `\r\n` or `\r`. (The reader's own count is one too low after `\r\n`.)
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the record that begins at or after this byte, which is not before the one asked for last.
    fn of(&mut self, byte: u64) -> u64 {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX);
        while let Some(next) = self.bytes.get(self.at) {
            let ends = *next == b'\n' || *next == b'\r' && self.bytes.get(self.at + 1) != Some(&b'\n');
            // Empty lines before a record are skipped.
            if self.at >= byte && !matches!(next, b'\n' | b'\r') {
                break;
            }
            self.line += u64::from(ends);
            self.at += 1;
        }
        self.line
    }
}

impl<'a> Table<'a> {
    /// Reads the line with the columns' names, each of which must be unique.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, Problem> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = ReaderBuilder::new().from_reader(bytes);
        let refuse = |what: String| Problem::at("line 1", what);
        let header = reader.headers().map_err(|e| refuse(reason(&e)))?;
        let names: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        if names.is_empty() {
            return Err(Problem::whole("not a table: it is empty"));
        }
        let mut seen = HashSet::new();
        if let Some(name) = names.iter().find(|name| !seen.insert(*name)) {
            return Err(refuse(format!("it has the column {name:?} twice")));
        }
        Ok(Self { reader, lines: Lines { bytes, at: 0, line: 1 }, names })
    }

    /// Calls `each` for every valid record, with its line number; the others are problems.
    pub(crate) fn each(mut self, rows: &mut Rows, mut each: impl FnMut(u64, &Cells<'_>, &mut Rows)) {
        let mut record = ByteRecord::new();
        loop {
            let next = self.reader.read_byte_record(&mut record);
            match next {
                Ok(false) => return,
                Ok(true) => {
                    let line = self.lines.of(record.position().map_or(0, ::csv::Position::byte));
                    match record.iter().position(|cell| std::str::from_utf8(cell).is_err()) {
                        None => each(line, &Cells(&record), rows),
                        Some(at) => {
                            let name = self.names.get(at).map_or("", String::as_str);
                            rows.problem(Problem::at(format_args!("line {line}, column {name:?}"), "not UTF-8"));
                        }
                    }
                }
                Err(error) => {
                    let line = self.lines.of(error.position().or(record.position()).map_or(0, ::csv::Position::byte));
                    rows.problem(Problem::at(format_args!("line {line}"), reason(&error)));
                    if !matches!(error.kind(), ErrorKind::UnequalLengths { .. }) {
                        return;
                    }
                }
            }
        }
    }
}

/// What is wrong, without the position, which is shown separately.
fn reason(error: &::csv::Error) -> String {
    match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => format!("{len} cells instead of {expected_len}"),
        ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

/// The cells of a record.
pub(crate) struct Cells<'a>(&'a ByteRecord);

impl Cells<'_> {
    /// The text of a cell; `None` if it is empty.
    pub(crate) fn get(&self, column: usize) -> Option<&str> {
        let text = std::str::from_utf8(self.0.get(column)?).ok()?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// The cells that are not empty.
    fn all(&self) -> Vec<Cell<'_>> {
        (0..self.0.len()).filter_map(|at| Some((at, self.get(at)?))).collect()
    }
}

/// Reads a table: `metrics` and `train_log`, and claims from the columns for which the mapping says so.
pub(crate) fn read(input: &Input<'_>, plan: &Plan, rows: &mut Rows) -> Result<(), Problem> {
    let table = Table::open(input.bytes)?;
    let names = table.names.clone();
    let mut history = History::new(plan, &names, "column", CALLS, rows);
    // The problems of the first reading are the same as those of the second.
    Table::open(input.bytes)?.each(&mut Rows::default(), |_, cells, _| history.look(input.below(), &cells.all()));
    history.looked(rows);
    let before = rows.len();
    let mut records = 0;
    table.each(rows, |line, cells, rows| {
        records += 1;
        history.record(input, input.below(), &format!("line {line}"), &cells.all(), rows);
    });
    if records > 0 && rows.len() == before {
        return Err(Problem::whole(format!("nothing to import: no column has numbers: {}", names.join(", "))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use retrace_spec::Document;

    use super::*;
    use crate::mapping::Mapping;
    use crate::rows::{read_as, survives};

    fn rows(mapping: &str, bytes: &[u8]) -> Rows {
        let mapping = Mapping::parse(&format!("retrace: mapping/1\n{mapping}"), "m").unwrap();
        read_as("dir/a run.csv", bytes, |input, rows| read(input, &Plan::new(&mapping), rows))
    }

    fn told(rows: &Rows) -> Vec<(&str, &str, &str, f64)> {
        rows.metrics.iter().map(|row| (row.run.as_str(), row.task.as_str(), row.metric.as_str(), row.value)).collect()
    }

    #[test]
    fn names_say_what_columns_are_where_no_mapping_does() {
        let rows = rows("", b"\xef\xbb\xbf_step,optim/learning_rate_group0,eval/c4/CrossEntropyLoss,note,acc,acc_stderr\n200,0.5,6.25,hello,0.75,0.125\n400,,NaN,,,\n");
        assert_eq!(rows.problems(), None);
        assert_eq!(told(&rows)[..2], [("a run", "eval/c4", "CrossEntropyLoss", 6.25), ("a run", "", "acc", 0.75)]);
        assert_eq!(rows.metrics[1].stderr, Some(0.125));
        assert!(rows.metrics[2].value.is_nan() && rows.metrics.len() == 3);
        let [log] = rows.train_log.as_slice() else { panic!("{:?}", rows.train_log) };
        assert_eq!((log.step.0, log.learning_rate, log.loss, log.place.as_str()), (200, Some(0.5), None, "line 2"));
    }

    /// As litgpt's metrics.csv has them: `iter` counts micro-batches, and Lightning Fabric writes its own `step`.
    #[test]
    fn steps_that_differ_are_told() {
        let rows = rows("", b"step,iter,loss,tokens,total_tokens\n0,1,2.5,100,800\n1,2,2.25,200,1600\n");
        let log: Vec<_> = rows.train_log.iter().map(|row| (row.step.0, row.tokens.map(|t| t.0))).collect();
        assert_eq!(log, [(1, Some(800)), (2, Some(1600))]);
        assert_eq!(rows.notes(), ["the step is `iter`; `step`, which counts differently, is not used"]);
        let rows = self::rows("", b"step,iter,loss\n1,1,2.5\n2,,2.25\n");
        assert_eq!((rows.notes(), rows.train_log.len()), (Vec::new(), 2));
        let rows = self::rows("step: step\n", b"step,iter,loss\n0,1,2.5\n");
        assert_eq!((rows.notes(), rows.train_log[0].step.0), (Vec::new(), 0));
    }

    #[test]
    fn a_mapping_says_what_columns_are() {
        let mapping = "run: id\nstep: [none, s]\ntokens: t?\ngrad_norm: none?\nclaims: [gpu]\nskip: ['x.*']\nmetrics:\n  - {column: 'bpb/(?<task>.+)_(?<shots>[0-9]+)shot', metric: bpb}\n";
        let rows =
            rows(mapping, b"id,s,t,gpu,x1,bpb/arc_easy_5shot,lr\nr1,10,2.0e3,H100,1,0.5,0.25\nr2,20,4000,A100,1,,\n");
        assert_eq!(rows.problems(), None);
        let row = &rows.metrics[0];
        assert_eq!(
            (row.run.as_str(), row.step.map(|s| s.0), row.tokens.map(|t| t.0), row.shots),
            ("r1", Some(10), Some(2000), Some(5))
        );
        assert_eq!((row.task.as_str(), row.metric.as_str(), rows.metrics.len()), ("arc_easy", "bpb", 1));
        assert_eq!(rows.train_log[0].learning_rate, Some(0.25));
        let claims: Vec<_> =
            rows.claims.iter().map(|c| (c.subject.as_str(), c.name.as_str(), c.value.as_str())).collect();
        assert_eq!(claims, [("r1", "gpu", "H100"), ("r2", "gpu", "A100")]);
    }

    #[test]
    fn a_line_a_value() {
        let rows = rows("", b"run,step,task,metric,value,stderr,shots\nr,1,arc,acc,0.5,0.25,3\n");
        assert_eq!(told(&rows), [("r", "arc", "acc", 0.5)]);
        assert_eq!((rows.metrics[0].stderr, rows.metrics[0].shots), (Some(0.25), Some(3)));
    }

    /// As Keras's CSVLogger writes them, with its ends of lines.
    #[test]
    fn an_epoch_is_the_step_only_where_there_is_no_other() {
        let keras = rows("", b"epoch,accuracy,loss,val_loss\r\n0,0.25,4.5,5\r\n1,0.5,3.5,4\r\n");
        assert_eq!(keras.problems(), None);
        let log: Vec<_> = keras.train_log.iter().map(|row| (row.step.0, row.loss, &row.place[..])).collect();
        assert_eq!(log, [(0, Some(4.5), "line 2"), (1, Some(3.5), "line 3")]);
        assert!(keras.metrics.iter().all(|row| row.step.is_some()) && keras.notes()[0].contains("epoch"));
        for (table, steps) in [
            (&b"epoch,step,loss\n0,10,4\n0,20,3\n"[..], vec![10, 20]),
            (b"epoch,_step,loss\n0,10,4\n1,,3\n", vec![10]),
            (b"epoch,loss\n0.5,4\n1,3\n", vec![]),
            (b"epoch,loss\n0,4\n0,3\n1,2\n", vec![]),
            (b"run,epoch,loss\na,0,4\nb,0,3\na,1,2\n", vec![0, 0, 1]),
        ] {
            let rows = rows("", table);
            let told: Vec<u64> = rows.train_log.iter().map(|row| row.step.0).collect();
            assert_eq!(rows.notes().join(" ").contains("it has no steps, so"), steps.is_empty());
            assert_eq!(told, steps);
            // What is no step is a metric.
            let epochs: Vec<_> = rows.metrics.iter().filter(|row| row.metric == "epoch").map(|row| row.step).collect();
            assert_eq!(
                epochs,
                vec![None; if steps.is_empty() { table.split(|byte| *byte == b'\n').count() - 2 } else { 0 }]
            );
        }
    }

    #[test]
    fn times_are_numbers_or_have_a_zone() {
        for (table, time) in [
            (&b"step,timestamp,loss\n1,1750000010.5,4\n"[..], Some(1_750_000_010.5)),
            (b"step,timestamp,loss\n1,2025-06-15T15:06:50.5Z,4\n", Some(1_750_000_010.5)),
            (b"step,timestamp,loss\n1,2025-06-15 15:06:50,4\n", None),
        ] {
            let rows = rows("", table);
            assert_eq!((rows.problems(), rows.train_log[0].time), (None, time));
        }
    }

    #[test]
    fn twins_against_samples_have_no_step() {
        let rows = rows("", b"step,lm loss,lm loss vs samples,grad vs samples\n10,4,,\n2560,,4,0.5\n");
        assert_eq!((rows.problems(), rows.train_log.len()), (None, 1));
        let told: Vec<_> = rows.metrics.iter().map(|row| (&row.metric[..], row.step)).collect();
        assert_eq!(told, [("grad vs samples", None)]);
    }

    #[test]
    fn what_does_not_fit_is_told_and_the_rest_goes_on_and_anything_is_survived() {
        for (mapping, bytes, expected, metrics) in [
            ("", &b"step,m\n1,2\n1,2,3\n3,4\n"[..], "line 3: 3 cells instead of 2", 2),
            ("", b"step,m\n1,2\nx,3\n", "line 3, column \"step\": \"x\" is not a valid number", 2),
            ("", b"step,m\n1,2\n2,2\n3,bad\n", "line 4, column \"m\": \"bad\" is not a valid number", 2),
            ("", b"step,m\n1,2\n2,\xff\n", "line 3, column \"m\": not UTF-8", 1),
            ("", b"m,m\n1,2\n", "line 1: it has the column \"m\" twice", 0),
            ("", b"", "empty", 0),
            ("", b"\xff\xfe,a\n1,2\n", "line 1: not UTF-8", 0),
            ("", b"a,b\nx,y\n", "no column has numbers", 0),
            ("step: t\ntokens: u?", b"m\n1\n", "no column t", 1),
            ("", b"step,m\n-1.5,2\n", "\"-1.5\" is not a valid number", 1),
            ("", b"step,m\r\n1,0.5\r\n\r\nx,0.75\r\n", "line 4, column \"step\"", 2),
            ("", b"step,m\r\n1,2\r\n1,2,3\r\n", "line 3: 3 cells instead of 2", 1),
            ("", b"step,m\r1,2\rx,3\r", "line 3, column \"step\"", 2),
        ] {
            let rows = rows(mapping, bytes);
            let problems = rows.problems().unwrap_or_default();
            assert!(problems.contains(expected), "{problems:?} lacks {expected:?}");
            assert_eq!(rows.metrics.len(), metrics, "{expected}");
        }
        survives("a.csv", b"step,\"m\nx\",lr\n1,\"2\",3\n4,5,6\n", |input, rows| read(input, &Plan::default(), rows));
    }

    #[test]
    fn many_columns_take_no_longer_for_each() {
        let names = |with: &str| (0..100_000).map(|at| format!("m{at}{with}")).collect::<Vec<_>>().join(",");
        let numbers = vec!["0.5"; 100_000].join(",");
        let started = std::time::Instant::now();
        let table = format!("step,{},{}\n1,{numbers},{numbers}\n", names(""), names("_stderr"));
        let rows = rows("claims: [m7]\n", table.as_bytes());
        assert_eq!((rows.metrics.len(), rows.claims.len(), rows.problems()), (99_999, 1, None));
        assert_eq!(rows.metrics[0].stderr, Some(0.5));
        assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    }

    #[test]
    fn a_name_as_long_as_its_file_is_not_copied_into_every_row() {
        let (long, many) = ("n".repeat(100_000), vec!["0.5"; 10_000].join(","));
        let names = (0..10_000).map(|at| format!("m{at}")).collect::<Vec<_>>().join(",");
        let table = format!("run,{names}\n{long},{many}\nb,{many}\n");
        let rows = rows("", table.as_bytes());
        assert_eq!(rows.metrics.len(), 10_000);
        assert!(rows.problems().unwrap().contains("line 2: a name has 100000 bytes"), "{:?}", rows.problems());
    }

    #[test]
    fn a_mapping_that_cannot_be_meant_is_refused() {
        for (mapping, expected) in
            [("skip: ['(']", "skip.0"), ("metrics: [{column: '['}]", "metrics.0.column"), ("stepp: x", "stepp")]
        {
            let error = Mapping::parse(&format!("retrace: mapping/1\n{mapping}\n"), "m").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

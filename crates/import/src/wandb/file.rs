//! `run-ID.wandb`, the log that wandb writes of every run, offline or not: its history, and its config, its summary and
//! what it says of the run as claims.
//!
//! After seven bytes (`:W&B`, 0xbee1, a version) it has records in the form of LevelDB's log (`doc/log_format.md` in
//! LevelDB; blocks of 32 KiB, chunks with checksum, length and type), with the CRC-32 of zlib as checksum. A record is
//! a message `Record` of `wandb/proto/wandb_internal.proto` (0.31); its field numbers are the ones used here.
//!
//! The run is its id, because only the id is unique: names can be repeated. A chunk that is damaged is told, and reading
//! goes on with the next block, as in wandb.

use super::about::About;
use super::blocks::records;
use super::record::{Entry, Said, Wrong, field, object, parts};
use crate::history::{Take, objects};
use crate::mapping::Plan;
use crate::protobuf::fields;
use crate::rows::{Input, Problem, Rows};
use crate::scalars::CALLS;

/// What a file begins with, before its version.
const MAGIC: &[u8] = b":W&B\xe1\xbe";
/// The versions that are read; 1 is for values that are not texts of JSON.
const VERSIONS: [u8; 2] = [0, 1];

/// Whether a file is such a log.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

pub(super) fn read(input: &Input<'_>, plan: &Plan, rows: &mut Rows) -> Result<(), Problem> {
    if !is(input.bytes) {
        return Err(Problem::at("byte 0", "not a log of wandb: it does not begin with `:W&B`"));
    }
    match input.bytes.get(MAGIC.len()) {
        Some(version) if VERSIONS.contains(version) => {}
        Some(version) => return Err(Problem::at("byte 6", format!("its version is {version}, which is not known"))),
        None => return Err(Problem::at("byte 6", "the file ends inside its header")),
    }
    let mut about = About::default();
    // The problems of the records themselves are the same as those of the last reading.
    records(input.bytes, &mut Rows::default(), |at, record, _| {
        if let Err(error) = about.take(at, record) {
            rows.problem(Problem::at(format_args!("byte {at}"), error));
        }
    });
    let stem = input.stem();
    let run = about.id().unwrap_or_else(|| stem.strip_prefix("run-").unwrap_or(stem)).to_owned();
    let any = objects(input, plan, rows, &|rows, take| {
        records(input.bytes, rows, |at, record, rows| {
            if let Err(error) = history(at, record, &run, rows, take) {
                rows.problem(Problem::at(format_args!("byte {at}"), error));
            }
        });
    });
    if !any {
        rows.note(Problem::whole("its run logged nothing"));
    }
    about.give(input, &run, rows);
    Ok(())
}

/// Gives the line of a history, if the record at this byte is one.
fn history(at: usize, record: &[u8], run: &str, rows: &mut Rows, take: &mut Take<'_>) -> Result<(), Wrong> {
    parts(record, |tag, history| {
        if tag != field::HISTORY {
            return Ok(());
        }
        let (mut entries, mut step) = (Vec::new(), None);
        fields(history, |tag, field| {
            match tag {
                1 => entries.push(Entry::of(field)?),
                2 => step = Some(Entry { keys: vec![CALLS.to_owned()], value: Said::of_step(field)? }),
                _ => {}
            }
            Ok::<(), Wrong>(())
        })?;
        entries.extend(step.filter(|_| !entries.iter().any(|entry| entry.keys == [CALLS])));
        let place = format!("byte {at}");
        let line = object(&entries, &mut |name, problem| {
            rows.problem(Problem::at(&place, format_args!("{name}: {problem}")));
        });
        take(run, &place, &line, rows);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost::encoding::{encode_key, encode_varint};

    use super::super::blocks::{BLOCK, HEADER};
    use super::super::record::{HistoryStep, Item, LONGEST};
    use super::*;
    use crate::rows::{read_as, survives};

    /// Written by wandb 0.31.0 (`tests/trackers/make.py`).
    const REAL: &[u8] = include_bytes!("../../tests/trackers/run-abcd1234.wandb");
    const NAME: &str = "wandb/run-20261130_080000-abcd1234/run-abcd1234.wandb";

    fn rows(bytes: &[u8]) -> Rows {
        read_as(NAME, bytes, |input, rows| read(input, &Plan::default(), rows))
    }

    /// A field with a length.
    fn field(tag: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_key(tag, prost::encoding::WireType::LengthDelimited, &mut bytes);
        encode_varint(content.len() as u64, &mut bytes);
        [bytes, content.to_vec()].concat()
    }

    fn item(keys: &[&str], json: &str) -> Item {
        let nested_key = keys.iter().map(|key| (*key).to_owned()).collect();
        Item { nested_key, value_json: json.to_owned(), ..Item::default() }
    }

    /// A record with these items.
    fn record(of: u32, items: &[Item]) -> Vec<u8> {
        field(of, &items.iter().flat_map(|item| field(1, &item.encode_to_vec())).collect::<Vec<_>>())
    }

    /// A file with these records, as the documentation of LevelDB's log says.
    fn file(version: u8, records: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = [MAGIC, &[version]].concat();
        for record in records {
            let (mut rest, mut first) = (record.as_slice(), true);
            loop {
                let left = BLOCK - bytes.len() % BLOCK;
                if left < HEADER {
                    bytes.resize(bytes.len() + left, 0);
                    continue;
                }
                let (data, after) = rest.split_at(rest.len().min(left - HEADER));
                rest = after;
                let kind = match (first, rest.is_empty()) {
                    (true, true) => 1u8,
                    (true, false) => 2,
                    (false, false) => 3,
                    (false, true) => 4,
                };
                let sum = crc32fast::hash(&[&[kind], data].concat());
                bytes.extend([&sum.to_le_bytes()[..], &(data.len() as u16).to_le_bytes(), &[kind], data].concat());
                first = false;
                if rest.is_empty() {
                    break;
                }
            }
        }
        bytes
    }

    fn step(number: usize, more: &[Item]) -> Vec<u8> {
        let items = [&[item(&["_step"], &number.to_string()), item(&["loss"], &format!("{number}.5"))], more].concat();
        record(field::HISTORY, &items)
    }

    fn losses(rows: &Rows) -> Vec<(u64, Option<f64>)> {
        rows.train_log.iter().map(|row| (row.step.0, row.loss)).collect()
    }

    #[test]
    fn a_log_of_wandb() {
        let rows = rows(REAL);
        assert_eq!(rows.problems(), None);
        let log: Vec<_> = rows.train_log.iter().map(|row| (&row.run[..], row.step.0, row.loss)).collect();
        let loss = |step: u64, loss| ("abcd1234", step, Some(loss));
        assert_eq!(log, [loss(0, 2.5), loss(10, 1.25), loss(20, 2.5 / 3.0), loss(30, 0.625)]);
        assert!(rows.train_log.iter().all(|row| row.time.is_some_and(|time| (1.79e9..1.8e9).contains(&time))));
        let values = |metric: &str| -> Vec<f64> {
            rows.metrics.iter().filter(|row| row.metric == metric).map(|row| row.value).collect()
        };
        assert_eq!(values("nested.a"), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(values("nested.b.c"), [0.0, 0.1, 0.2, 0.1 * 3.0]);
        let odd = values("odd");
        assert!(odd[1].is_nan() && odd[0] == 1.0 && odd[2..] == [f64::INFINITY, f64::NEG_INFINITY], "{odd:?}");
        // Neither histograms nor lists nor texts are metrics.
        assert_eq!(rows.metrics.len(), 12);
        let claims: Vec<_> = rows.claims.iter().map(|claim| (&claim.name[..], &claim.value[..])).collect();
        for expected in [
            ("run_name", "first"),
            ("project", "small"),
            ("notes", "a note"),
            ("tags.0", "base"),
            ("config.lr", "0.001"),
            ("config.late", "7"),
            ("config.optimizer.name", "adamw"),
            ("config.optimizer.betas.1", "0.95"),
            ("summary.best", "0.125"),
            ("summary.train/loss", "0.625"),
            ("exit_code", "0"),
        ] {
            assert!(claims.contains(&expected), "{expected:?} is not in {claims:?}");
        }
        assert!(rows.claims.iter().all(|claim| claim.subject == "abcd1234" && !claim.name.contains("_wandb")));
        assert_eq!(
            rows.notes(),
            [
                "the step is `train/global_step`; `_step`, which counts differently, is not used",
                "values that are no numbers and are not imported: 12, the first as `text`",
            ]
        );
    }

    #[test]
    fn records_over_several_blocks_and_where_a_run_was_killed() {
        let text = format!("\"{}\"", "x".repeat(100_000));
        // The second record ends so that no header fits into the rest of its block.
        let records: Vec<_> = (0..40).map(|at| step(at, &[item(&["text"], &text[..at * 977 % 40_000 + 1])])).collect();
        let records: Vec<_> = records
            .into_iter()
            .enumerate()
            .map(|(at, record)| if at == 7 { step(7, &[item(&["text"], &text)]) } else { record })
            .collect();
        let whole = file(0, &records);
        let ends: Vec<usize> = (1..=records.len()).map(|count| file(0, &records[..count]).len()).collect();
        // Texts that were cut are no JSON; the numbers beside them are read.
        assert_eq!(losses(&rows(&whole)), (0..40).map(|at| (at, Some(at as f64 + 0.5))).collect::<Vec<_>>());
        for length in (HEADER..whole.len()).step_by(50_021).chain(ends.iter().copied()) {
            let before = ends.iter().filter(|end| **end <= length).count();
            let rows = rows(&whole[..length]);
            assert_eq!(losses(&rows).len(), before, "{length}");
            let ended = ends.contains(&length) || length == HEADER;
            let problems = rows.problems().unwrap_or_default();
            assert_eq!(
                problems.contains("the file ends inside a record") || problems.contains("and "),
                !ended || problems.contains("and "),
                "{length}: {problems}"
            );
            assert!(rows.notes().iter().any(|note| note.contains("does not say that its run ended")));
        }
    }

    #[test]
    fn every_chunk_that_is_damaged_is_told_and_the_next_block_is_read() {
        let records: Vec<_> = (0..3000).map(|at| step(at, &[])).collect();
        let whole = file(0, &records);
        assert!(whole.len() > 3 * BLOCK);
        let mut damaged = whole.clone();
        damaged[BLOCK + 5000] ^= 1;
        let rows = rows(&damaged);
        let problems = rows.problems().unwrap();
        assert!(problems.contains("the checksum of a chunk is wrong; the rest of its block is left out"), "{problems}");
        let read = losses(&rows);
        assert!(read.contains(&(0, Some(0.5))) && read.contains(&(2999, Some(2999.5))) && read.len() < 3000);
        // Exactly the records that have a byte in the second block after the damage are missing.
        let end_of = |count: usize| file(0, &records[..count]).len();
        let missing = (0..3000).filter(|at| !read.contains(&(*at, Some(*at as f64 + 0.5))));
        for at in missing.map(|at| at as usize).step_by(40) {
            assert!(end_of(at + 1) > BLOCK + 5000 && end_of(at) < 2 * BLOCK, "{at}");
        }
    }

    /// As the fields of wandb 0.31's `HistoryItem` allow.
    #[test]
    fn values_that_are_not_json() {
        let of = |key: &str| Item { key: key.to_owned(), ..Item::default() };
        let items = [
            Item { integer: Some(-3), ..of("i") },
            Item { number: Some(0.1), ..of("loss") },
            Item { number: Some(f64::NEG_INFINITY), ..of("n") },
            Item { number: Some(f64::NAN), ..of("nan") },
            Item { text: Some("5".to_owned()), ..of("t") },
            Item { boolean: Some(true), ..of("b") },
            Item { json: Some("{\"a\": 7}".to_owned()), ..of("j") },
            of("none"),
        ];
        let counted = field(2, &HistoryStep { num: 12 }.encode_to_vec());
        let history = items.iter().flat_map(|item| field(1, &item.encode_to_vec())).chain(counted).collect::<Vec<_>>();
        let rows = rows(&file(1, &[field(field::HISTORY, &history)]));
        assert_eq!((rows.problems(), losses(&rows)), (None, vec![(12, Some(0.1))]));
        let mut told: Vec<_> = rows.metrics.iter().map(|row| (&row.metric[..], row.value.to_bits())).collect();
        told.sort_unstable();
        let bits = |value: f64| value.to_bits();
        assert_eq!(
            told,
            [("i", bits(-3.0)), ("j.a", bits(7.0)), ("n", bits(f64::NEG_INFINITY)), ("nan", bits(f64::NAN))]
        );
        assert!(rows.train_log[0].run == "abcd1234");
    }

    #[test]
    fn later_records_change_config_and_summary() {
        let config = |items: &[Item], removed: &[Item]| {
            let removed = removed.iter().flat_map(|item| field(2, &item.encode_to_vec()));
            let changed = items.iter().flat_map(|item| field(1, &item.encode_to_vec()));
            field(field::CONFIG, &changed.chain(removed).collect::<Vec<_>>())
        };
        let records = [
            config(&[item(&["a"], "{\"x\": 1, \"y\": [1, 2]}"), item(&["a.z"], "3"), item(&["gone"], "4")], &[]),
            config(&[item(&["a"], "5")], &[item(&["gone"], "")]),
            record(
                field::SUMMARY,
                &[item(&["best"], "1"), item(&["h", "_type"], "\"histogram\""), item(&["h", "n"], "9")],
            ),
            record(field::SUMMARY, &[item(&["best"], "2")]),
            field(7, b""),
            field(7, b""),
            field(13, b""),
        ];
        let rows = rows(&file(0, &records));
        let told: Vec<_> = rows.claims.iter().map(|claim| (&claim.name[..], &claim.value[..])).collect();
        assert_eq!(told, [("config.a", "5"), ("summary.best", "2")]);
        let notes = rows.notes().join("; ");
        assert!(notes.contains("records that are not imported: 1 of console output, 2 of system metrics"), "{notes}");
        assert!(notes.contains("its run logged nothing"), "{notes}");
    }

    #[test]
    fn what_does_not_fit_is_told_and_anything_is_survived() {
        let keys = vec!["k"; 200];
        let long = field(9, &vec![0; LONGEST]);
        for (bytes, expected) in [
            (b"PK\x03\x04".to_vec(), "byte 0: not a log of wandb"),
            (MAGIC.to_vec(), "byte 6: the file ends"),
            ([MAGIC, &[9]].concat(), "byte 6: its version is 9"),
            (file(0, &[vec![0xff; 20]]), "byte 7: not a record of wandb"),
            (file(0, &[record(field::HISTORY, &[item(&["a"], "{1}")])]), "byte 7: a: line 1, column 2"),
            (file(0, &[record(field::CONFIG, &[item(&["a"], "[1")])]), "byte 7: a: line 1"),
            (file(0, &[record(field::HISTORY, &[item(&keys, "1")])]), "byte 7: a value below 200 keys"),
            (file(0, &[step(1, &[item(&[&"n".repeat(600)], "1")])]), "byte 7: a name has 600 bytes"),
            (file(0, &[long]), "a record has 33554"),
            ([&file(0, &[])[..], &[0; 100]].concat(), "byte 7: there are zeros"),
            ([&file(0, &[])[..], &[0, 0, 0, 0, 0xff, 0xff, 1]].concat(), "byte 7: a chunk is longer than its block"),
        ] {
            let problems = rows(&bytes).problems().unwrap_or_default();
            assert!(problems.contains(expected), "{problems:?} lacks {expected:?}");
        }
        survives(NAME, REAL, |input, rows| read(input, &Plan::default(), rows));
        // Also where the checksums are right.
        survives(NAME, &step(7, &[item(&["a", "b"], "[1, {\"x\": 2}]")]), |input, rows| {
            let records = [input.bytes.to_vec(), field(field::CONFIG, input.bytes), field(field::RUN, input.bytes)];
            read(&Input { bytes: &file(0, &records), ..*input }, &Plan::default(), rows)
        });
    }
}

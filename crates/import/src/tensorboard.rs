//! TensorBoard's event files: TFRecords of `Event` messages, of which the scalars are read, either as a `simple_value`
//! or a tensor.
//!
//! A record is its length (u64), the masked CRC-32C of that (u32), its bytes and their masked CRC-32C, all
//! little-endian. The run is the directory below the one given, as in TensorBoard.
//!
//! The hyperparameters of a run (`hparams.rs`) are claims.
//!
//! A writer that begins again at a step says so (`SessionLog.START`). As in TensorBoard, the points from that step on that
//! were written before, also in earlier files of the directory, are gone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use prost::{DecodeError, Message};

use crate::beside::{Beside, ReadFile};
use crate::hparams::{self, Hparams};
use crate::protobuf::fields;
use crate::rows::{Input, Problem, Rows};
use crate::scalars::{Log, Logged, Measured, against_another_axis};

/// A longer record is refused: the largest scalar summaries have kilobytes.
const LONGEST: u64 = 256 << 20;

/// `tensorflow.Event`, with the fields that are read.
#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    /// A `tensorflow.Summary`, whose values are decoded one by one, because two bytes can be a value.
    #[prost(bytes = "vec", tag = "5")]
    summary: Vec<u8>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

/// `tensorflow.SessionLog`.
#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// The status of a writer that begins.
const START: i32 = 1;

/// The places and steps at which a writer began again, in a file.
fn starts(bytes: &[u8]) -> Vec<(usize, u64)> {
    let (mut starts, mut rest) = (Vec::new(), bytes);
    while let Ok((data, after)) = record(rest) {
        let event = data.ok().and_then(|data| Event::decode(data).ok());
        let begins = event.filter(|event| event.session_log.as_ref().is_some_and(|log| log.status == START));
        starts.extend(begins.map(|event| (bytes.len() - rest.len(), u64::try_from(event.step).unwrap_or(0))));
        rest = after;
    }
    starts
}

/// For event files: the step from which on later files of their directory begin again. TensorBoard reads them in the
/// order of their names.
pub(crate) fn purged(files: &[&Path], read: &ReadFile<'_>) -> HashMap<PathBuf, Beside> {
    let mut directories: BTreeMap<&Path, Vec<&Path>> = BTreeMap::new();
    for path in files {
        directories.entry(path.parent().unwrap_or(path)).or_default().push(path);
    }
    let mut purged = HashMap::new();
    for mut files in directories.into_values().filter(|files| files.len() > 1) {
        files.sort();
        let mut from = u64::MAX;
        for path in files.into_iter().rev() {
            if from < u64::MAX {
                purged.insert(path.to_owned(), Beside::PurgedFrom(from));
            }
            let starts = read(path).map(|bytes| starts(&bytes)).unwrap_or_default();
            from = starts.into_iter().map(|(_, step)| step).fold(from, u64::min);
        }
    }
    purged
}

/// Calls `each` for every value of a `tensorflow.Summary`.
fn values(summary: &[u8], mut each: impl FnMut(&SummaryValue)) -> Result<(), DecodeError> {
    fields(summary, |tag, value| {
        if tag == 1 {
            each(&SummaryValue::decode(value)?);
        }
        Ok(())
    })
}

/// `tensorflow.Summary.Value`.
#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "8")]
    tensor: Option<Tensor>,
    #[prost(message, optional, tag = "9")]
    metadata: Option<Metadata>,
}

/// `tensorflow.SummaryMetadata`.
#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(message, optional, tag = "1")]
    plugin: Option<Plugin>,
}

/// `tensorflow.SummaryMetadata.PluginData`.
#[derive(Clone, PartialEq, Message)]
struct Plugin {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    content: Vec<u8>,
}

/// `tensorflow.TensorProto`.
#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
    #[prost(bytes = "vec", tag = "4")]
    content: Vec<u8>,
    #[prost(float, repeated, tag = "5")]
    floats: Vec<f32>,
    #[prost(double, repeated, tag = "6")]
    doubles: Vec<f64>,
}

/// `tensorflow.TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "2")]
    dim: Vec<Dim>,
}

/// `tensorflow.TensorShapeProto.Dim`.
#[derive(Clone, PartialEq, Message)]
struct Dim {
    #[prost(int64, tag = "1")]
    size: i64,
}

impl SummaryValue {
    /// The number, if this is an f32 or f64 scalar.
    fn scalar(&self) -> Option<f64> {
        if let Some(value) = self.simple_value {
            return Some(f64::from(value));
        }
        let tensor = self.tensor.as_ref()?;
        let dims = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
        if dims.iter().any(|dim| dim.size != 1) {
            return None;
        }
        // DT_FLOAT and DT_DOUBLE.
        match (tensor.dtype, tensor.content.as_slice()) {
            (1, []) => tensor.floats.first().map(|value| f64::from(*value)),
            (1, content) => Some(f64::from(f32::from_le_bytes(content.try_into().ok()?))),
            (2, []) => tensor.doubles.first().copied(),
            (2, content) => Some(f64::from_le_bytes(content.try_into().ok()?)),
            _ => None,
        }
    }
}

/// The masked CRC-32C of TFRecords.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A record, or what is wrong with it.
type Record<'a> = Result<&'a [u8], String>;

/// The next record and the bytes after it. If a record is invalid but its end is known, its error is returned together
/// with the rest.
fn record(bytes: &[u8]) -> Result<(Record<'_>, &[u8]), String> {
    let truncated = || "the file ends inside a record".to_owned();
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(truncated)?;
    let (sum, rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
    if masked(length) != u32::from_le_bytes(*sum) {
        return Err("the checksum of a record's length is wrong; nothing after it is read".to_owned());
    }
    let length = u64::from_le_bytes(*length);
    if length > LONGEST {
        return Err(format!("a record has {length} bytes; the limit is {LONGEST}"));
    }
    let (data, rest) =
        usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)).ok_or_else(truncated)?;
    let (sum, rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
    let fits = masked(data) == u32::from_le_bytes(*sum);
    Ok((fits.then_some(data).ok_or_else(|| "the checksum of a record is wrong".to_owned()), rest))
}

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) {
    let folders: Vec<&str> = input.source.split('/').collect();
    let run = match folders.as_slice() {
        [_, below @ .., _] if !below.is_empty() => below.join("/"),
        _ => input.folder(0),
    };
    let later = if let Beside::PurgedFrom(step) = input.beside { *step } else { u64::MAX };
    // For each place at which a writer began again, the least step of it and all later ones.
    let mut starts = starts(input.bytes);
    starts.iter_mut().rev().fold(later, |least, (_, step)| {
        *step = least.min(*step);
        *step
    });
    let mut starts = starts.into_iter().peekable();
    let mut purged = 0;
    let mut log = Log::default();
    let mut hparams = Hparams::default();
    // Megatron writes a scalar a second time, with the number of samples as its step.
    let (mut tags, mut twins) = (HashSet::new(), Vec::new());
    let mut rest = input.bytes;
    while !rest.is_empty() {
        let at = input.bytes.len() - rest.len();
        let place = format!("byte {at}");
        let (data, after) = match record(rest) {
            Ok(read) => read,
            Err(what) => {
                rows.problem(Problem::at(place, what));
                break;
            }
        };
        rest = after;
        let event = data.and_then(|data| Event::decode(data).map_err(|e| format!("not an event: {e}")));
        let event = match event {
            Ok(event) => event,
            Err(what) => {
                rows.problem(Problem::at(&place, what));
                continue;
            }
        };
        while starts.next_if(|(start, _)| *start <= at).is_some() {}
        let gone_from = starts.peek().map_or(later, |(_, step)| *step);
        let read = values(&event.summary, |value| {
            let plugin = value.metadata.as_ref().and_then(|metadata| metadata.plugin.as_ref());
            if let Some(plugin) = plugin.filter(|plugin| plugin.name == hparams::PLUGIN) {
                let read = hparams.take(&plugin.content, |name, text, number| {
                    rows.claim(input, &run, name, text, number, &place);
                });
                if let Err(error) = read {
                    rows.problem(Problem::at(&place, format_args!("not data of hparams: {error}")));
                }
                return;
            }
            let Some(number) = value.scalar() else { return };
            let step = u64::try_from(event.step).ok().filter(|step| *step > 0 || !hparams.is_result(&value.tag));
            if step.is_some_and(|step| step >= gone_from) {
                purged += 1;
                return;
            }
            if against_another_axis(&value.tag).is_some() {
                if rows.accept(&place, &[&value.tag]) {
                    twins.push((place.clone(), value.tag.clone(), event.wall_time, number));
                }
                return;
            }
            if !tags.contains(&value.tag) {
                tags.insert(value.tag.clone());
            }
            if event.step < 0 {
                rows.note(Problem::at(&place, "its step is negative, so its values have no step"));
            } else if step.is_none() {
                rows.note(Problem::whole(
                    "the results beside its hyperparameters have no step; TensorBoard shows step 0",
                ));
            }
            let mut logged = Logged::at(step, Some(event.wall_time));
            logged.take_number(&value.tag, number);
            logged.give(input, &run, &place, rows, &mut log);
        });
        if let Err(error) = read {
            rows.problem(Problem::at(&place, format_args!("not an event: {error}")));
        }
    }
    for (place, tag, time, number) in &twins {
        if against_another_axis(tag).is_some_and(|tag| !tags.contains(tag)) {
            let mut logged = Logged::at(None, Some(*time));
            logged.rest.push(Measured::named(tag, *number));
            logged.give(input, &run, place, rows, &mut log);
        }
    }
    if purged > 0 {
        let what = format!("{purged} values are gone, as in TensorBoard: a writer began again at a step before them");
        rows.note(Problem::whole(what));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, read_beside, survives};

    fn record_of(message: &[u8]) -> Vec<u8> {
        let length = (message.len() as u64).to_le_bytes();
        let sums = [masked(&length), masked(message)].map(u32::to_le_bytes);
        [&length, sums[0].as_slice(), message, &sums[1]].concat()
    }

    /// An event of step 7 with this summary, both short: tag 2 is the step, tag 5 the summary.
    fn event(summary: &[u8]) -> Vec<u8> {
        record_of(&[&[0x10, 7, 0x2a, summary.len() as u8][..], summary].concat())
    }

    #[test]
    fn a_step_that_comes_again_and_again_takes_no_longer_each_time() {
        // A value: tag 1 of the summary; in it, the name `lr` and the simple value 0.5.
        let value = [&[0x0a, 9, 0x0a, 2][..], b"lr", &[0x15], &0.5f32.to_le_bytes()].concat();
        let bytes = event(&value).repeat(200_000);
        let started = std::time::Instant::now();
        let rows = read_as("runs/a/events.tfevents", &bytes, read);
        assert_eq!((rows.train_log.len(), rows.problems()), (200_000, None));
        assert!(started.elapsed() < std::time::Duration::from_secs(30), "{:?}", started.elapsed());
    }

    #[test]
    fn empty_values_and_unknown_fields_are_passed_over() {
        let value = [&[0x0a, 9, 0x0a, 2][..], b"lr", &[0x15], &0.5f32.to_le_bytes()].concat();
        // Two values of no bytes, and a field 9 of one byte, before the value that is read; then an incomplete one.
        let whole = event(&[&[0x0a, 0, 0x0a, 0, 0x4a, 1, 0][..], &value].concat());
        let bytes = [whole, event(&value[..6])].concat();
        let rows = read_as("runs/a/events.tfevents", &bytes, read);
        assert_eq!(rows.train_log.len(), 1);
        assert!(rows.problems().unwrap().contains("not an event"), "{:?}", rows.problems());
    }

    /// Written by tensorboardX 2.6.5: the version, then train/loss 2.5, lr 0.125 and eval/c4/acc 0.25, all of step 1.
    const SIMPLE: &str = "1800000000000000a37f4b2209be227fbbdbc1da411a0d627261696e2e4576656e743a321eece2a7\
        200000000000000029eda95009000000000000f03f10012a130a110a0a747261696e2f6c6f73731500002040d1595c87\
        1800000000000000a37f4b2209000000000000f03f10012a0b0a090a026c72150000003e85a567a7\
        210000000000000001 7becf609000000000000f03f10012a140a120a0b6576616c2f63342f616363150000803ef1643f03";
    /// Written by tensorboard 2.21.0: the version, then eval/acc of step 7 as an f32 tensor of 0.5 and as an f64
    /// tensor of 0.1.
    const TENSORS: &str = "4800000000000000fe92489d09754f7ebbdbc1da411a0d627261696e2e4576656e743a32522e0a2c74656e736f\
        72626f6172642e73756d6d6172792e7772697465722e6576656e745f66696c655f77726974657202f9895025\
        00000000000000eabc36f309000000000000f03f10072a180a160a086576616c2f616363420a080112002a040000003f7de3104d\
        290000000000000037ff5f0009000000000000f03f10072a1c0a1a0a086576616c2f616363420e0802120032089a9999999999b93f4ae4bf35";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            hex.bytes().filter_map(|digit| char::from(digit).to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
        super::read(input, rows);
        Ok(())
    }

    #[test]
    fn checksums_of_rfc_3720() {
        // Appendix B.4: 32 bytes of zeros, and of ones.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c::crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn scalars_of_both_writers() {
        let rows = read_as("logs/a/b/events.out.tfevents.1", &bytes(SIMPLE), read);
        assert_eq!(rows.problems(), None);
        let [log] = rows.train_log.as_slice() else { panic!("{:?}", rows.train_log) };
        assert_eq!(
            (log.run.as_str(), log.step.0, log.loss, log.learning_rate, log.place.as_str()),
            ("a/b", 1, Some(2.5), Some(0.125), "byte 40")
        );
        let [row] = rows.metrics.as_slice() else { panic!("{:?}", rows.metrics) };
        assert_eq!((row.task.as_str(), row.metric.as_str(), row.value), ("eval/c4", "acc", 0.25));
        let rows = read_as("logs/events.out.tfevents.1", &bytes(TENSORS), read);
        assert_eq!(rows.problems(), None);
        let found: Vec<_> =
            rows.metrics.iter().map(|row| (row.run.as_str(), row.step.map(|s| s.0), row.value)).collect();
        assert_eq!(found, [("logs", Some(7), 0.5), ("logs", Some(7), 0.1)]);
    }

    #[test]
    fn what_is_damaged_is_told_and_what_is_whole_is_kept_and_anything_is_survived() {
        let whole = bytes(SIMPLE);
        let changed = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        };
        let huge: Vec<u8> = {
            let length = u64::MAX.to_le_bytes();
            [&length[..], &masked(&length).to_le_bytes()].concat()
        };
        for (bytes, expected, left) in [
            (whole[..whole.len() - 1].to_vec(), "byte 128: the file ends inside a record", 1),
            (whole[..45].to_vec(), "byte 40: the file ends inside a record", 0),
            (changed(40), "byte 40: the checksum of a record's length", 0),
            (changed(60), "byte 40: the checksum of a record is wrong", 2),
            (huge, "byte 0: a record has 18446744073709551615 bytes", 0),
            (b"not an event file".to_vec(), "byte 0: the checksum of a record's length", 0),
        ] {
            let rows = read_as("l/events.out.tfevents.1", &bytes, read);
            let problems = rows.problems().unwrap_or_default();
            assert!(problems.contains(expected), "{problems:?} lacks {expected:?}");
            assert_eq!(rows.len(), left, "{expected}");
        }
        survives("l/e.tfevents.1", &whole, read);
        survives("l/e.tfevents.1", &bytes(TENSORS), read);
        assert_eq!(read_as("l/e.tfevents.1", b"", read).problems(), None);
    }

    /// Written by tensorboardX 2.6.5: train/loss at steps 10, 20 and 30, eval/acc at step -1, `lm loss vs samples` at 2560,
    /// `lm loss` at 5, and `ppl vs samples` at 2560.
    const FIRST: &str = "1800000000000000a37f4b2209a52db6b273c3da411a0d627261696e2e4576656e743a32121b8f6c200000000000000029ed\
        a950090000000000948f40100a2a130a110a0a747261696e2f6c6f737315000040401e222c81200000000000000029eda950\
        090000000000e48f4010142a130a110a0a747261696e2f6c6f737315000000400f45e833200000000000000029eda9500900\
        000000001a9040101e2a130a110a0a747261696e2f6c6f7373150000803fe78be5fc2700000000000000bbe1b14609000000\
        0000408f4010ffffffffffffffffff012a110a0f0a086576616c2f616363150000003fba944148290000000000000037ff5f\
        00090000000000488f401080142a1b0a190a126c6d5f6c6f73735f76735f73616d706c65731500008040807dee981d000000\
        00000000602fdf23090000000000488f4010052a100a0e0a076c6d5f6c6f737315000080407bdfc4022500000000000000ea\
        bc36f3090000000000488f401080142a170a150a0e70706c5f76735f73616d706c6573150000004148df5349";
    /// Then, with `purge_step=20`, train/loss at steps 20 and 30.
    const AGAIN: &str = "1800000000000000a37f4b2209a6c104b373c3da411a0d627261696e2e4576656e743a32db6402ad1a00000000000000129b\
        d82d0988df04b373c3da4110141a0d627261696e2e4576656e743a32db7a106a0f000000000000006d532b0909bfe204b373\
        c3da4110143a0208013ec2bdfd200000000000000029eda950090000000000929f4010142a130a110a0a747261696e2f6c6f\
        7373150000e040d1c9068e200000000000000029eda950090000000000ba9f40101e2a130a110a0a747261696e2f6c6f7373\
        150000c0405404edf5";

    fn losses(rows: &Rows) -> Vec<(u64, Option<f64>, Option<f64>)> {
        rows.train_log.iter().map(|row| (row.step.0, row.loss, row.time)).collect()
    }

    /// What the EventAccumulator of tensorboard 2.21 has of these two files.
    #[test]
    fn points_that_a_restart_purged_are_gone() {
        let files = HashMap::from([
            ("logs/run/e.1.a", bytes(FIRST)),
            ("logs/run/e.2.b", bytes(AGAIN)),
            ("logs/x/e.0", bytes(AGAIN)),
        ]);
        let paths: Vec<&Path> = files.keys().map(Path::new).collect();
        let beside = purged(&paths, &|path| files.get(path.to_str()?).cloned());
        assert_eq!(beside, HashMap::from([(PathBuf::from("logs/run/e.1.a"), Beside::PurgedFrom(20))]));
        let first = read_beside("logs/run/e.1.a", &bytes(FIRST), &Beside::PurgedFrom(20), read);
        assert_eq!(losses(&first), [(10, Some(3.0), Some(1010.5)), (5, Some(4.0), Some(1001.0))]);
        assert!(first.notes().join("; ").contains("4 values are gone"), "{:?}", first.notes());
        let again = read_as("logs/run/e.2.b", &bytes(AGAIN), read);
        assert_eq!(losses(&again), [(20, Some(7.0), Some(2020.5)), (30, Some(6.0), Some(2030.5))]);
        assert_eq!((first.problems(), again.problems(), again.notes()), (None, None, Vec::new()));
        // The same in one file.
        let both = read_as("logs/run/e.1", &[bytes(FIRST), bytes(AGAIN)].concat(), read);
        assert_eq!(losses(&both), [losses(&first), losses(&again)].concat());
        survives("logs/run/e.1", &[bytes(FIRST), bytes(AGAIN)].concat(), read);
    }

    #[test]
    fn numbers_of_samples_and_negative_numbers_are_no_steps() {
        let rows = read_as("logs/run/e.1", &bytes(FIRST), read);
        assert_eq!(rows.problems(), None);
        assert_eq!(losses(&rows).iter().map(|row| row.0).collect::<Vec<_>>(), [10, 20, 30, 5]);
        let told: Vec<_> = rows.metrics.iter().map(|row| (&row.metric[..], row.step, row.value)).collect();
        assert_eq!(told, [("acc", None, 0.5), ("ppl_vs_samples", None, 8.0)]);
        assert!(rows.notes()[0].contains("its step is negative"), "{:?}", rows.notes());
    }

    /// The tags of Megatron-DeepSpeed, whose step is a number of samples, tokens or operations; and of a writer by hand.
    #[test]
    fn no_other_axis_is_one_of_steps() {
        let value = |tag: &str| {
            let value = [&[0x0a, tag.len() as u8][..], tag.as_bytes(), &[0x15], &0.5f32.to_le_bytes()].concat();
            event(&[&[0x0a, value.len() as u8][..], &value].concat())
        };
        let tags = [
            "lm-loss-training/lm loss",
            "lm-loss-training/lm loss vs gigaflops (without embeddings)",
            "lm-loss-training/lm loss vs tokens",
            "steps-vs-samples/y=steps,x=samples",
            "steps-vs-tokens/y=steps,x=tokens",
        ];
        let rows = read_as("logs/run/e.1", &tags.map(value).concat(), read);
        assert_eq!((rows.problems(), losses(&rows)), (None, vec![(7, Some(0.5), Some(0.0))]));
        let told: Vec<_> = rows.metrics.iter().map(|row| (&row.metric[..], row.step)).collect();
        assert_eq!(told, [("y=steps,x=samples", None), ("y=steps,x=tokens", None)]);
        for tag in ["Loss/train", "loss/train", "train-loss"] {
            assert_eq!(losses(&read_as("logs/run/e.1", &value(tag), read)), [(7, Some(0.5), Some(0.0))], "{tag}");
        }
    }

    /// Written by torch 2.15's `add_hparams({"lr": 0.125, "opt": "adamw", "tied": True, "layers": 4}, {"hparam/accuracy": 0.75,
    /// "hparam/loss": 1.5})` with tensorboard 2.21.
    const HPARAMS: &str = "4800000000000000fe92489d0939b0c1c380c3da411a0d627261696e2e4576656e743a32522e0a2c74656e736f72626f6172642e7375\
        6d6d6172792e7772697465722e6576656e745f66696c655f7772697465720a7e8a0c810000000000000002cd165609cab7c1c380c3da\
        412a760a740a145f68706172616d735f2f6578706572696d656e744a5c0a5a0a0768706172616d73124f124d22060a026c7220032207\
        0a036f7074200122080a04746965642003220a0a066c617965727320032a130a11120f68706172616d2f61636375726163792a0f0a0d\
        120b68706172616d2f6c6f7373b45267fe8500000000000000e98acc59090fb8c1c380c3da412a7a0a780a1c5f68706172616d735f2f\
        73657373696f6e5f73746172745f696e666f4a580a560a0768706172616d73124b1a490a0e0a036f707412071a056164616d770a0f0a\
        026c72120911000000000000c03f0a110a0474696564120911000000000000f03f0a130a066c61796572731209110000000000001040\
        0bae7e193c00000000000000c8b7a3520933b8c1c380c3da412a310a2f0a1a5f68706172616d735f2f73657373696f6e5f656e645f69\
        6e666f4a110a0f0a0768706172616d7312042202080197f894e52300000000000000b09f774309f7b8c1c380c3da412a180a160a0f68\
        706172616d2f6163637572616379150000403f8a435c2a1f00000000000000514b4418093ab9c1c380c3da412a140a120a0b68706172\
        616d2f6c6f7373150000c03f26f90c4b";

    #[test]
    fn hyperparameters_are_claims_and_results_have_no_step() {
        let rows = read_as("logs/run/1/e.0", &bytes(HPARAMS), read);
        assert_eq!(rows.problems(), None);
        let mut told: Vec<_> =
            rows.claims.iter().map(|claim| (&claim.name[..], &claim.value[..], claim.number)).collect();
        told.sort_by(|a, b| a.partial_cmp(b).unwrap());
        // PyTorch writes `True` as 1.
        assert_eq!(
            told,
            [
                ("hparams.layers", "4", Some(4.0)),
                ("hparams.lr", "0.125", Some(0.125)),
                ("hparams.opt", "adamw", None),
                ("hparams.tied", "1", Some(1.0))
            ]
        );
        assert!(rows.claims.iter().all(|claim| claim.subject == "run/1"));
        let told: Vec<_> =
            rows.metrics.iter().map(|row| (&row.task[..], &row.metric[..], row.step, row.value)).collect();
        assert_eq!(told, [("hparam", "accuracy", None, 0.75), ("hparam", "loss", None, 1.5)]);
        assert!(rows.notes()[0].contains("have no step"), "{:?}", rows.notes());
        survives("logs/run/1/e.0", &bytes(HPARAMS), read);
    }

    /// A record with correct checksums whose bytes are not an event.
    #[test]
    fn a_lying_record_is_told() {
        let data = [0x2a, 0xff, 0xff, 0xff, 0xff, 0x0f];
        let length = (data.len() as u64).to_le_bytes();
        let record = [&length[..], &masked(&length).to_le_bytes(), &data, &masked(&data).to_le_bytes()].concat();
        let problems = read_as("l/e.tfevents.1", &record, read).problems().unwrap();
        assert!(problems.contains("byte 0: not an event"), "{problems}");
    }
}

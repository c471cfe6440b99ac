//! TensorBoard's event files: TFRecords of `Event` messages, of which the scalars are read, either as a `simple_value`
//! or a tensor.
//!
//! A record is its length (u64), the masked CRC-32C of that (u32), its bytes and their masked CRC-32C, all
//! little-endian. The run is the directory below the one given, as in TensorBoard.

use std::collections::{BTreeMap, HashMap};

use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use prost::{DecodeError, Message};

use crate::rows::{Input, Problem, Rows};
use crate::scalars::{Logged, Meaning, Measured, task_and_metric};

/// A longer record is refused: the largest scalar summaries have kilobytes.
const LONGEST: u64 = 256 << 20;

/// `tensorflow.Event`, with the fields that are read.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    /// A `tensorflow.Summary`, whose values are decoded one by one, because two bytes can be a value.
    #[prost(bytes = "vec", tag = "5")]
    summary: Vec<u8>,
}

/// Calls `each` for every value of a `tensorflow.Summary`.
fn values(mut summary: &[u8], mut each: impl FnMut(&SummaryValue)) -> Result<(), DecodeError> {
    while summary.has_remaining() {
        let (tag, kind) = decode_key(&mut summary)?;
        if (tag, kind) != (1, WireType::LengthDelimited) {
            skip_field(kind, tag, &mut summary, DecodeContext::default())?;
            continue;
        }
        let mut value = SummaryValue::default();
        value.merge_length_delimited(&mut summary)?;
        each(&value);
    }
    Ok(())
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
    // Loss, learning rate and gradient norm of a step are separate events.
    let mut training: BTreeMap<(u64, usize), (usize, Logged<'_>)> = BTreeMap::new();
    // How often each of the three was logged at a step: repeated values are kept.
    let mut times: HashMap<u64, [usize; 3]> = HashMap::new();
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
        let read = values(&event.summary, |value| {
            let Some(number) = value.scalar() else { return };
            let Ok(step) = u64::try_from(event.step) else {
                return rows.problem(Problem::at(&place, format_args!("{} is of step {}", value.tag, event.step)));
            };
            let meaning = Meaning::of(&value.tag);
            let field = match meaning {
                Meaning::Loss => 0,
                Meaning::LearningRate => 1,
                Meaning::GradNorm => 2,
                _ => {
                    let (task, metric) = task_and_metric(&value.tag);
                    let measured = Measured { task, metric, value: number, ..Measured::default() };
                    let logged = Logged { step: Some(step), rest: vec![measured], ..Logged::default() };
                    return logged.give(input, &run, &place, rows);
                }
            };
            let time = &mut times.entry(step).or_default()[field];
            let (_, logged) = training.entry((step, *time)).or_insert_with(|| (at, Logged::default()));
            *time += 1;
            *[&mut logged.loss, &mut logged.learning_rate, &mut logged.grad_norm][field] = Some(number);
        });
        if let Err(error) = read {
            rows.problem(Problem::at(&place, format_args!("not an event: {error}")));
        }
    }
    for ((step, _), (at, logged)) in training {
        Logged { step: Some(step), ..logged }.give(input, &run, &format!("byte {at}"), rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, survives};

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

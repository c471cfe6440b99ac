//! TensorBoard's event files: TFRecords of `Event` messages, of which the scalars are read, be they a
//! `simple_value` or a tensor.
//!
//! A record is its length (u64), the masked CRC-32C of that (u32), its bytes and their masked CRC-32C,
//! all little endian. The run is the directory below the one given, as TensorBoard has it.

use std::collections::BTreeMap;

use prost::Message;

use crate::rows::{Input, Problem, Rows};
use crate::scalars::{Logged, Meaning, Measured, task_and_metric};

/// A longer record is refused: the largest scalar summaries are kilobytes.
const LONGEST: u64 = 256 << 20;

/// `tensorflow.Event`, as far as it is read.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// `tensorflow.Summary`.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
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
    /// The number, if this is one: f32 and f64 scalars.
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

/// The CRC-32C as TFRecords hold it.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The next record and what comes after it. What is wrong with one whose end is still known comes
/// with that.
fn record(bytes: &[u8]) -> Result<(Result<&[u8], String>, &[u8]), String> {
    let truncated = || "the file ends within a record".to_owned();
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(truncated)?;
    let (sum, rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
    if masked(length) != u32::from_le_bytes(*sum) {
        return Err("the checksum of a record's length does not fit it; nothing after it is read".to_owned());
    }
    let length = u64::from_le_bytes(*length);
    if length > LONGEST {
        return Err(format!("a record of {length} bytes; at most {LONGEST} are read"));
    }
    let (data, rest) =
        usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)).ok_or_else(truncated)?;
    let (sum, rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
    let fits = masked(data) == u32::from_le_bytes(*sum);
    Ok((fits.then_some(data).ok_or_else(|| "the checksum of a record does not fit it".to_owned()), rest))
}

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) {
    let folders: Vec<&str> = input.source.split('/').collect();
    let run = match folders.as_slice() {
        [_, below @ .., _] if !below.is_empty() => below.join("/"),
        _ => input.folder(0),
    };
    // Loss, learning rate and gradient norm of a step are events of their own.
    let mut training: BTreeMap<(u64, usize), (usize, Logged<'_>)> = BTreeMap::new();
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
        let event = data.and_then(|data| Event::decode(data).map_err(|e| format!("no event: {e}")));
        let event = match event {
            Ok(event) => event,
            Err(what) => {
                rows.problem(Problem::at(&place, what));
                continue;
            }
        };
        for value in event.summary.iter().flat_map(|summary| &summary.value) {
            let Some(number) = value.scalar() else { continue };
            let Ok(step) = u64::try_from(event.step) else {
                rows.problem(Problem::at(&place, format_args!("{} is of step {}", value.tag, event.step)));
                continue;
            };
            match Meaning::of(&value.tag) {
                meaning @ (Meaning::Loss | Meaning::LearningRate | Meaning::GradNorm) => {
                    // The first row of the step that lacks it: what is logged twice is kept twice.
                    let field = |logged: &Logged<'_>| match meaning {
                        Meaning::Loss => logged.loss,
                        Meaning::LearningRate => logged.learning_rate,
                        _ => logged.grad_norm,
                    };
                    let taken = training.range((step, 0)..=(step, usize::MAX));
                    let index = taken.take_while(|(_, (_, logged))| field(logged).is_some()).count();
                    let (_, logged) = training.entry((step, index)).or_insert_with(|| (at, Logged::default()));
                    match meaning {
                        Meaning::Loss => logged.loss = Some(number),
                        Meaning::LearningRate => logged.learning_rate = Some(number),
                        _ => logged.grad_norm = Some(number),
                    }
                }
                _ => {
                    let (task, metric) = task_and_metric(&value.tag);
                    let measured = Measured { task, metric, value: number, ..Measured::default() };
                    let logged = Logged { step: Some(step), rest: vec![measured], ..Logged::default() };
                    logged.give(input, &run, &place, rows);
                }
            }
        }
    }
    for ((step, _), (at, logged)) in training {
        Logged { step: Some(step), ..logged }.give(input, &run, &format!("byte {at}"), rows);
    }
}

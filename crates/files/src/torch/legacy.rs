//! What `torch.save` wrote before 1.6, and writes since with `_use_new_zipfile_serialization=False`.
//!
//! Five pickles, one after the other: a number that marks the format, its version, the writer's byte order, the content,
//! and the keys of the storages. Then each storage in the order of its key in that list: the number of its elements as
//! an `i64`, and the elements. As `_legacy_save` of PyTorch 2.15 (`torch/serialization.py`).

use std::collections::BTreeMap;

use retrace_spec::foreign::{excerpt, shown};

use super::pickle::{self, Value, Values};
use super::{Checkpoint, LONGEST_PICKLE, MOST_ENTRIES, NOT_PLAIN, Plain, bytes_per_number, dtype};
use crate::{FileError, RegularFile};

/// The instructions that make the number which marks the format.
const MAGIC: &[u8] = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
/// Before it there are the pickle's version and, from the fourth on, the length of a frame.
const BEFORE_MAGIC: [usize; 2] = [2, 11];
/// Bytes that tell whether a file has this format.
pub(super) const START: usize = BEFORE_MAGIC[1] + MAGIC.len();
const VERSION: i64 = 1001;

/// Whether a file that begins with these bytes has this format.
pub(super) fn is_start(start: &[u8; START]) -> bool {
    start[0] == 0x80 && BEFORE_MAGIC.iter().any(|at| start.get(*at..).is_some_and(|rest| rest.starts_with(MAGIC)))
}

/// Reads `file`, except the numbers; or says why that cannot be done.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn read(file: &RegularFile) -> Result<Result<Checkpoint, String>, FileError> {
    let length = file.size().min(LONGEST_PICKLE);
    let mut bytes = vec![0; length as usize];
    file.read_at(&mut bytes, 0)?;
    let mut rest = bytes.as_slice();
    let Pickles { values, top, keys } = match Pickles::read(&mut rest) {
        Ok(pickles) => pickles,
        // Whatever the reason is, the pickles might go on.
        Err(_) if length < file.size() => {
            return Ok(Err(format!("{NOT_PLAIN}; or its pickles are longer than {LONGEST_PICKLE} bytes")));
        }
        Err(why) => return Ok(Err(why)),
    };
    let mut known = match storages(&values) {
        Ok(known) => known,
        Err(why) => return Ok(Err(why)),
    };
    let mut at = length - rest.len() as u64;
    drop(bytes);
    let mut storages = BTreeMap::new();
    for key in keys {
        let refuse = |what: &str| Ok(Err(format!("its storage {} {what}", shown(&excerpt(&key)))));
        let Some(Storage { numbers, size_of_one }) = known.remove(&key) else {
            return refuse("is listed twice, or belongs to no tensor");
        };
        let Some(begin) = at.checked_add(8).filter(|begin| *begin <= file.size()) else {
            return refuse("is cut off");
        };
        let mut stated = [0; 8];
        file.read_at(&mut stated, at)?;
        if u64::from_le_bytes(stated) != numbers {
            return refuse("does not have the length that its tensor states");
        }
        let size = numbers.checked_mul(size_of_one);
        let end = size.and_then(|size| begin.checked_add(size)).filter(|end| *end <= file.size());
        let (Some(size), Some(end)) = (size, end) else { return refuse("is cut off") };
        storages.insert(key, (begin, size));
        at = end;
    }
    Ok(Ok(Checkpoint { values, top, storages, length: file.size() }))
}

/// The content, and the keys of the storages in their order.
struct Pickles {
    values: Values,
    top: pickle::Id,
    keys: Vec<String>,
}

impl Pickles {
    /// Reads all pickles; what follows them remains in `bytes`.
    fn read(bytes: &mut &[u8]) -> Result<Self, String> {
        let mut next = || pickle::read_next(bytes, super::MOST_INSTRUCTIONS).ok_or_else(|| NOT_PLAIN.to_owned());
        next()?;
        let (values, version) = next()?;
        if !matches!(values.get(version), Some(Value::Int(VERSION))) {
            return Err("it has an unknown version of PyTorch's format before 1.6".to_owned());
        }
        let (values, info) = next()?;
        let little = Plain { values: &values, id: info }.get("little_endian");
        if !little.is_some_and(|little| matches!(little.value(), Some(Value::Bool(true)))) {
            return Err("its numbers are big-endian, or it does not say what they are".to_owned());
        }
        let (values, top) = next()?;
        let (listed, list) = next()?;
        let keys: Option<Vec<String>> =
            Plain { values: &listed, id: list }.items().map(|key| key.text().map(str::to_owned)).collect();
        match keys {
            Some(keys) if keys.len() <= MOST_ENTRIES => Ok(Self { values, top, keys }),
            _ => Err(format!("its list of storages has other keys than texts, or more than {MOST_ENTRIES}")),
        }
    }
}

/// What the content says of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Storage {
    numbers: u64,
    /// Bytes per number.
    size_of_one: u64,
}

/// What the references of the content say of each storage. All of one storage must say the same.
fn storages(values: &Values) -> Result<BTreeMap<String, Storage>, String> {
    let mut storages = BTreeMap::new();
    for id in values.persistent() {
        let malformed = || "a reference to a storage is malformed".to_owned();
        let items: Vec<Plain<'_>> = Plain { values, id }.items().collect();
        // The first text, the class, the key, the device, the number of elements and, of a view, its place in another
        // storage, which PyTorch has not written since 0.4.
        let [kind, class, key, _, numbers, rest @ ..] = items.as_slice() else { return Err(malformed()) };
        let key = key.text().filter(|_| kind.text() == Some("storage")).ok_or_else(malformed)?;
        if rest.iter().any(|view| !matches!(view.value(), Some(Value::Other))) {
            return Err(format!("its storage {} is a view of another", shown(&excerpt(key))));
        }
        let Some(Value::Global(class)) = class.value() else { return Err(malformed()) };
        let size_of_one = match class.as_str() {
            "torch.storage.UntypedStorage" | "torch.UntypedStorage" => 1,
            typed => dtype(typed).map(bytes_per_number).ok_or_else(|| {
                format!("its storage {} is of {}, which is not read here", shown(&excerpt(key)), shown(&excerpt(typed)))
            })?,
        };
        let storage = Storage { numbers: numbers.count().ok_or_else(malformed)?, size_of_one };
        match storages.insert(key.to_owned(), storage) {
            Some(other) if other != storage => {
                return Err(format!("its storage {} has two lengths or types", shown(&excerpt(key))));
            }
            _ => {}
        }
    }
    Ok(storages)
}

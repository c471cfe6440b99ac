//! The records of a log of wandb: the form of LevelDB's log, with the CRC-32 of zlib.

use crate::rows::{Problem, Rows};

/// Blocks have this many bytes; chunks do not cross them.
pub(super) const BLOCK: usize = 32 << 10;
/// The length of the file's header, and of each chunk's.
pub(super) const HEADER: usize = 7;

/// Calls `each` for every record, with the byte at which it begins.
pub(super) fn records(bytes: &[u8], rows: &mut Rows, mut each: impl FnMut(usize, &[u8], &mut Rows)) {
    let mut at = HEADER;
    // The record that has begun in an earlier chunk, and where.
    let mut begun: Option<(usize, Vec<u8>)> = None;
    // After damage, the rest of a record may come.
    let mut lost = false;
    while at < bytes.len() {
        let left = BLOCK - at % BLOCK;
        if left < HEADER {
            at += left;
            continue;
        }
        let place = begun.as_ref().map_or(at, |(at, _)| *at);
        let (kind, data) = match chunk(bytes.get(at..).unwrap_or_default(), left) {
            Ok(chunk) => chunk,
            Err(Unread::Ended) => {
                begun = Some((place, Vec::new()));
                break;
            }
            Err(Unread::Damaged(what)) => {
                rows.problem(Problem::at(
                    format_args!("byte {at}"),
                    format_args!("{what}; the rest of its block is left out"),
                ));
                (begun, lost) = (None, true);
                at += left;
                continue;
            }
        };
        if matches!(kind, Kind::Full | Kind::First) && begun.take().is_some() {
            rows.problem(Problem::at(format_args!("byte {place}"), "a record has no end"));
        }
        match (kind, &mut begun) {
            (Kind::Full, _) => each(at, data, rows),
            (Kind::First, begun) => *begun = Some((at, data.to_vec())),
            (Kind::Middle, Some((_, record))) => record.extend_from_slice(data),
            (Kind::Last, Some((_, record))) => {
                record.extend_from_slice(data);
                each(place, record, rows);
                begun = None;
            }
            (Kind::Middle | Kind::Last, None) if lost => {}
            (Kind::Middle | Kind::Last, None) => {
                rows.problem(Problem::at(format_args!("byte {at}"), "a record has no begin"));
            }
        }
        lost &= matches!(kind, Kind::Middle);
        at += HEADER + data.len();
    }
    if let Some((place, _)) = begun {
        let what = "the file ends inside a record: the run was killed or had not ended; all before is read";
        rows.problem(Problem::at(format_args!("byte {place}"), what));
    }
}

/// Which part of a record a chunk is.
#[derive(Clone, Copy)]
enum Kind {
    Full,
    First,
    Middle,
    Last,
}

/// Why a chunk cannot be read.
enum Unread {
    /// The file ends inside it.
    Ended,
    Damaged(&'static str),
}

/// The chunk at the begin of these bytes, in a block that has so many bytes `left`.
fn chunk(bytes: &[u8], left: usize) -> Result<(Kind, &[u8]), Unread> {
    let (sum, rest) = bytes.split_first_chunk::<4>().ok_or(Unread::Ended)?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or(Unread::Ended)?;
    let (kind, rest) = rest.split_first().ok_or(Unread::Ended)?;
    let (sum, length) = (u32::from_le_bytes(*sum), usize::from(u16::from_le_bytes(*length)));
    if length > left - HEADER {
        return Err(Unread::Damaged("a chunk is longer than its block"));
    }
    if (sum, length, *kind) == (0, 0, 0) {
        return Err(Unread::Damaged("there are zeros instead of a chunk"));
    }
    let data = rest.get(..length).ok_or(Unread::Ended)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[*kind]);
    hasher.update(data);
    if hasher.finalize() != sum {
        return Err(Unread::Damaged("the checksum of a chunk is wrong"));
    }
    let kind = match kind {
        1 => Kind::Full,
        2 => Kind::First,
        3 => Kind::Middle,
        4 => Kind::Last,
        _ => return Err(Unread::Damaged("the type of a chunk is not known")),
    };
    Ok((kind, data))
}

//! The fields of a message of Protocol Buffers, one by one.
//!
//! A repeated field of two bytes becomes a message of a hundred in memory, so messages that repeat are not decoded at
//! once.

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Calls `each` for the fields of a message that have a length (texts, bytes and messages), with their tags. Others are
/// skipped.
pub(crate) fn fields<'a, E: From<DecodeError>>(
    mut message: &'a [u8],
    mut each: impl FnMut(u32, &'a [u8]) -> Result<(), E>,
) -> Result<(), E> {
    while !message.is_empty() {
        let (tag, kind) = decode_key(&mut message)?;
        if kind != WireType::LengthDelimited {
            skip_field(kind, tag, &mut message, DecodeContext::default())?;
            continue;
        }
        // The error of a field that is longer than its message, which has no public constructor.
        let whole = message;
        let length = usize::try_from(decode_varint(&mut message)?).ok();
        let Some((field, rest)) = length.and_then(|length| message.split_at_checked(length)) else {
            skip_field(kind, tag, &mut &*whole, DecodeContext::default())?;
            return Ok(());
        };
        message = rest;
        each(tag, field)?;
    }
    Ok(())
}

//! Sums as bytes, for sending between partitions and machines.

use super::wide::{DIGITS, Wide};
use super::{Exact, Form};

/// A sum as bytes, little-endian: a window is `1`, its base (u16), the number of its bytes that follow (u8), and those
/// bytes, sign-extended if fewer than it has; digits are `2`, the three counts (i64), the index of the first digit
/// that follows (u16), the number of digits (u16), and the digits (i64 each).
impl<const WORDS: usize> Exact<WORDS> {
    /// Appends the sum's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        match &self.form {
            Form::Window { base, words } => {
                let fill = if words[WORDS - 1] >> 63 == 1 { 0xff } else { 0 };
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                // The last stored byte must have the sign.
                let used = bytes.iter().rposition(|byte| *byte != fill).map_or(0, |at| at + 1);
                let used = if used == 0 && fill == 0 { 0 } else { (used + 1).min(bytes.len()) };
                out.push(1);
                out.extend(base.to_le_bytes());
                out.push(used as u8);
                out.extend(&bytes[..used]);
            }
            Form::Wide(wide) => {
                let mut wide = wide.clone();
                wide.carry();
                let first = wide.digits.iter().position(|digit| *digit != 0).unwrap_or(0);
                let end = wide.digits.iter().rposition(|digit| *digit != 0).map_or(first, |at| at + 1);
                out.push(2);
                for count in wide.specials {
                    out.extend(count.to_le_bytes());
                }
                out.extend((first as u16).to_le_bytes());
                out.extend(((end - first) as u16).to_le_bytes());
                out.extend(wide.digits[first..end].iter().flat_map(|digit| digit.to_le_bytes()));
            }
        }
    }

    /// Reads a sum from the start of `bytes`, which then begins after it; `None` if there is none.
    pub fn read(bytes: &mut &[u8]) -> Option<Self> {
        let [form] = take(bytes)?;
        match form {
            1 => {
                let base = u16::from_le_bytes(take(bytes)?);
                let [used] = take(bytes)?;
                let (kept, rest) = bytes.split_at_checked(usize::from(used))?;
                *bytes = rest;
                if kept.len() > 8 * WORDS || i32::from(base) > 32 * DIGITS as i32 - 64 * WORDS as i32 {
                    return None;
                }
                let fill = if kept.last().is_some_and(|last| last >> 7 == 1) { u64::MAX } else { 0 };
                let mut words = [fill; WORDS];
                for (at, byte) in kept.iter().enumerate() {
                    let (word, bit) = (&mut words[at / 8], 8 * (at % 8));
                    *word = *word & !(0xff << bit) | u64::from(*byte) << bit;
                }
                Some(Self { form: Form::Window { base, words } })
            }
            2 => {
                let mut specials = [0; 3];
                for count in &mut specials {
                    *count = i64::from_le_bytes(take(bytes)?);
                }
                let first = usize::from(u16::from_le_bytes(take(bytes)?));
                let count = usize::from(u16::from_le_bytes(take(bytes)?));
                let mut digits = [0; DIGITS];
                for digit in digits.get_mut(first..first.checked_add(count)?)? {
                    *digit = i64::from_le_bytes(take(bytes)?);
                    if digit.unsigned_abs() > u64::from(u32::MAX) {
                        return None;
                    }
                }
                Some(Self { form: Form::Wide(Box::new(Wide { digits, waiting: 1, specials })) })
            }
            _ => None,
        }
    }
}

/// The next `N` bytes.
pub(in crate::functions) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (next, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*next)
}

//! The types of a tensor's numbers.

use serde::{Deserialize, Serialize};

/// The type of a tensor's numbers: all of safetensors 0.8 (`tensor.rs`, `Dtype`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, non_camel_case_types, reason = "the format's own names")]
pub enum Dtype {
    BOOL,
    F4,
    F6_E2M3,
    F6_E3M2,
    U8,
    I8,
    F8_E5M2,
    F8_E4M3,
    F8_E8M0,
    F8_E4M3FNUZ,
    F8_E5M2FNUZ,
    U16,
    I16,
    F16,
    BF16,
    U32,
    I32,
    F32,
    C64,
    U64,
    I64,
    F64,
}

impl Dtype {
    /// Bits per number. A complex number is one number.
    pub const fn bits(self) -> u64 {
        match self {
            Self::F4 => 4,
            Self::F6_E2M3 | Self::F6_E3M2 => 6,
            Self::BOOL | Self::U8 | Self::I8 => 8,
            Self::F8_E5M2 | Self::F8_E4M3 | Self::F8_E8M0 | Self::F8_E4M3FNUZ | Self::F8_E5M2FNUZ => 8,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 16,
            Self::U32 | Self::I32 | Self::F32 => 32,
            Self::C64 | Self::U64 | Self::I64 | Self::F64 => 64,
        }
    }

    /// Bytes per number; `None` if several numbers share a byte.
    pub const fn bytes(self) -> Option<u64> {
        match self.bits() {
            bits if bits % 8 == 0 => Some(bits / 8),
            _ => None,
        }
    }

    /// Bytes of so many numbers; `None` if that is no whole number of bytes, or too large.
    pub fn length_of(self, numbers: u64) -> Option<u64> {
        let bits = numbers.checked_mul(self.bits())?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference implementation has no list of its types, so each has its line here.
    #[test]
    fn names_and_bits_are_those_of_safetensors() {
        let names = "BOOL F4 F6_E2M3 F6_E3M2 U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ \
                     U16 I16 F16 BF16 U32 I32 F32 C64 U64 I64 F64";
        for name in names.split_whitespace() {
            let ours: Dtype = serde_json::from_value(name.into()).unwrap();
            let theirs: safetensors::Dtype = serde_json::from_value(name.into()).unwrap();
            assert_eq!(ours.bits(), theirs.bitsize() as u64, "{name}");
            assert_eq!(format!("{ours:?}"), name);
        }
    }

    #[test]
    fn numbers_that_share_bytes_fill_them() {
        for (dtype, numbers, length) in [
            (Dtype::F4, 6, Some(3)),
            (Dtype::F4, 5, None),
            (Dtype::F6_E2M3, 4, Some(3)),
            (Dtype::F6_E2M3, 2, None),
            (Dtype::F64, 3, Some(24)),
            (Dtype::F64, u64::MAX / 64 + 1, None),
        ] {
            assert_eq!(dtype.length_of(numbers), length, "{numbers} of {dtype:?}");
        }
    }
}

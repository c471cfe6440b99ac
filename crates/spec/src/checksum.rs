//! Digests of other tools, as lists of these tools contain them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Digest;

/// How a checksum is computed from a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// BLAKE3, 256 bits: retrace's own, and `b3sum`'s.
    Blake3,
    /// SHA-256: `sha256sum`, LFS pointers, OMS bundles.
    Sha256,
    /// SHA-1 of the bytes. Broken: collisions can be made.
    Sha1,
    /// SHA-1 of `blob LENGTH\0` and the bytes, as git names a file. Broken as SHA-1 is.
    GitBlob,
    /// MD5. Broken: collisions can be made in seconds.
    Md5,
    /// MD5 as DVC before version 3 computes it: of a text with its line ends as LF. Broken as MD5 is.
    Md5Text,
    /// The hash of Xet storage, which hubs list as `xetHash`: a tree over keyed BLAKE3 of chunks. Its bytes are in the
    /// order of its hexadecimal form, in which each eight bytes are reversed.
    Xet,
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Self; 7] =
        [Self::Blake3, Self::Sha256, Self::Sha1, Self::GitBlob, Self::Md5, Self::Md5Text, Self::Xet];

    /// The name that is written before the hexadecimal digits.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blake3 => "b3",
            Self::Sha256 => "sha256",
            Self::Sha1 => "sha1",
            Self::GitBlob => "git",
            Self::Md5 => "md5",
            Self::Md5Text => "md5-dos2unix",
            Self::Xet => "xet",
        }
    }

    /// Length of a checksum in bytes.
    pub const fn length(self) -> usize {
        match self {
            Self::Blake3 | Self::Sha256 | Self::Xet => 32,
            Self::Sha1 | Self::GitBlob => 20,
            Self::Md5 | Self::Md5Text => 16,
        }
    }

    /// Whether no practical way is known to make two files with the same checksum.
    pub const fn is_strong(self) -> bool {
        matches!(self, Self::Blake3 | Self::Sha256 | Self::Xet)
    }
}

/// A checksum and how it was computed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checksum {
    algorithm: Algorithm,
    /// The bytes; those beyond the algorithm's length are zero.
    bytes: [u8; 32],
}

impl Checksum {
    /// A checksum from `bytes`, if their number is right for `algorithm`.
    pub fn new(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        let mut all = [0; 32];
        all.get_mut(..bytes.len())?.copy_from_slice(bytes);
        (bytes.len() == algorithm.length()).then_some(Self { algorithm, bytes: all })
    }

    /// A checksum from its hexadecimal digits, in upper or lower case.
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Option<Self> {
        let byte = |at: usize| hex.get(at..at + 2).filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
        let bytes: Option<Vec<u8>> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(byte(at)?, 16).ok()).collect();
        Self::new(algorithm, &bytes?)
    }

    /// How it was computed.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.length()]
    }

    /// The hexadecimal digits, without the algorithm.
    pub fn hex(&self) -> String {
        hex(self.bytes())
    }
}

/// The hexadecimal digits of `bytes`.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |four: u8| char::from(DIGITS[usize::from(four & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

impl From<Digest> for Checksum {
    fn from(digest: Digest) -> Self {
        Self { algorithm: Algorithm::Blake3, bytes: *digest.as_bytes() }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Checksum {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text.split_once(':').and_then(|(name, hex)| {
            let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)?;
            Self::from_hex(algorithm, hex)
        });
        named.ok_or_else(|| format!("{text:?} is not an algorithm, `:` and the right number of hexadecimal digits"))
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_is_written_and_refuses_other_lengths() {
        for algorithm in Algorithm::ALL {
            let checksum = Checksum::new(algorithm, &vec![0xa5; algorithm.length()]).unwrap();
            assert_eq!(Checksum::from_hex(algorithm, &checksum.hex()), Some(checksum));
            assert_eq!(Checksum::from_hex(algorithm, &checksum.hex().to_uppercase()), Some(checksum));
            assert_eq!(checksum.to_string().parse(), Ok(checksum));
            assert!(checksum.hex().parse::<Checksum>().is_err());
            for wrong in ["", "a", "+5", "zz", "é", &checksum.hex()[1..], &format!("{}00", checksum.hex())] {
                assert_eq!(Checksum::from_hex(algorithm, wrong), None, "{wrong:?}");
            }
        }
    }
}

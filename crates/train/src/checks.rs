//! Prefixes of digests, in a line of the journal.

use retrace_spec::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The first four bytes of each of several digests, in order; written as eight hexadecimal digits each.
///
/// A digest over all of them shows whether anything differs. The prefixes show which of them differs, and are short
/// enough to store for every sequence and tensor of every step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checks(Vec<[u8; 4]>);

impl Checks {
    /// Their number.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The indices at which they differ; if one has more than the other, including the additional ones.
    pub fn differ(&self, other: &Self) -> Vec<usize> {
        (0..self.count().max(other.count())).filter(|at| self.0.get(*at) != other.0.get(*at)).collect()
    }
}

impl<'a> FromIterator<&'a Digest> for Checks {
    fn from_iter<I: IntoIterator<Item = &'a Digest>>(digests: I) -> Self {
        let first = |digest: &Digest| -> [u8; 4] { std::array::from_fn(|at| digest.as_bytes()[at]) };
        Self(digests.into_iter().map(first).collect())
    }
}

impl Serialize for Checks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits: String = self.0.iter().map(|check| format!("{:08x}", u32::from_be_bytes(*check))).collect();
        serializer.serialize_str(&digits)
    }
}

impl<'de> Deserialize<'de> for Checks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let refuse = || serde::de::Error::custom("is not eight lower-case hexadecimal digits for each digest");
        if !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(refuse());
        }
        let (checks, rest) = digits.as_bytes().as_chunks::<8>();
        let read = |check: &[u8; 8]| {
            let check = std::str::from_utf8(check).ok()?;
            u32::from_str_radix(check, 16).ok().map(u32::to_be_bytes)
        };
        match rest {
            [] => checks.iter().map(read).collect::<Option<_>>().map(Self).ok_or_else(refuse),
            _ => Err(refuse()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_the_beginnings_in_order() {
        let digests = [Digest::of(b"a"), Digest::of(b"b"), Digest::of(b"c")];
        let checks: Checks = digests.iter().collect();
        let text = serde_json::to_string(&checks).unwrap();
        let hex = |digest: &Digest| digest.to_string()["b3:".len()..][..8].to_owned();
        assert_eq!(text, format!("\"{}\"", digests.iter().map(hex).collect::<String>()));
        assert_eq!(serde_json::from_str::<Checks>(&text).unwrap(), checks);
        let other: Checks = [digests[0], Digest::of(b"x")].iter().collect();
        assert_eq!(checks.differ(&other), [1, 2]);
        assert_eq!(checks.differ(&checks), [0; 0]);
        for wrong in ["\"0\"", "\"0123456G\"", "\"0123456A\"", "\"12345678é\"", "12345678"] {
            assert!(serde_json::from_str::<Checks>(wrong).is_err(), "{wrong}");
        }
    }
}

//! Numbers as bytes for sending: binary32, little-endian, one after another. TLS authenticates every record,
//! so the bytes arrive unchanged.

use prost::bytes::Bytes;

/// The maximum size of a message in bytes.
pub(crate) const CHUNK: usize = 1 << 20;

/// Data that can be sent without copying it first.
#[derive(Debug)]
struct Floats(Vec<f32>);

impl AsRef<[u8]> for Floats {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// The numbers as bytes.
pub(crate) fn to_bytes(mut values: Vec<f32>) -> Bytes {
    if cfg!(target_endian = "big") {
        values.iter_mut().for_each(|value| *value = f32::from_bits(value.to_bits().swap_bytes()));
    }
    Bytes::from_owner(Floats(values))
}

/// Bytes, divided into the pieces in which they are sent.
pub(crate) fn chunks(bytes: Bytes) -> impl Iterator<Item = Bytes> {
    (0..bytes.len()).step_by(CHUNK).map(move |at| bytes.slice(at..bytes.len().min(at + CHUNK)))
}

/// Numbers that arrive in pieces.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    bytes: usize,
}

impl Assembly {
    /// Copies the next piece into `values`; false if it is longer than the remaining space.
    pub(crate) fn add(&mut self, values: &mut [f32], chunk: &[u8]) -> bool {
        let all: &mut [u8] = bytemuck::cast_slice_mut(values);
        let Some(place) = all.get_mut(self.bytes..).and_then(|rest| rest.get_mut(..chunk.len())) else { return false };
        place.copy_from_slice(chunk);
        self.bytes += chunk.len();
        true
    }

    /// Whether `values` are complete.
    pub(crate) const fn is_whole(&self, values: &[f32]) -> bool {
        self.bytes == size_of_val(values)
    }

    /// Whether `values` are complete; resets the state.
    pub(crate) fn finish(&mut self, values: &mut [f32]) -> bool {
        let whole = self.is_whole(values);
        if cfg!(target_endian = "big") {
            values.iter_mut().for_each(|value| *value = f32::from_bits(value.to_bits().swap_bytes()));
        }
        self.bytes = 0;
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_arrive_as_they_were_sent() {
        let values: Vec<f32> = (0..700_001).map(|i| (i as f32).sin()).collect();
        let bytes = to_bytes(values.clone());
        assert_eq!(bytes[4..8], values[1].to_le_bytes());
        let (mut assembly, mut arrived) = (Assembly::default(), vec![0.0; values.len()]);
        for chunk in chunks(bytes.clone()) {
            assert!(!assembly.is_whole(&arrived) && assembly.add(&mut arrived, &chunk));
        }
        assert!(assembly.is_whole(&arrived) && !assembly.add(&mut arrived, &[0]));
        assert!(assembly.finish(&mut arrived));
        assert_eq!(arrived, values);
        // The last piece is missing, then all of them.
        chunks(bytes.slice(..bytes.len() - 4)).for_each(|chunk| assert!(assembly.add(&mut arrived, &chunk)));
        assert!(!assembly.finish(&mut arrived) && !assembly.finish(&mut arrived));
    }
}

//! The checkpoint format of llama2.c, its first version.
//!
//! Seven little-endian `i32` (width, hidden width, layers, heads, key-value heads, vocabulary, longest sequence; the
//! vocabulary is negative if the output matrix is not the embedding), then f32 matrices in one fixed order
//! (github.com/karpathy/llama2.c, `export.py`, `legacy_export`). The format has no names and no magic number: a file
//! has this format if its header implies exactly its length.

use std::collections::BTreeMap;

use crate::safetensors::{Dtype, TensorLocation};
use crate::{FileError, RegularFile};

/// Length of the header in bytes.
const HEADER: u64 = 28;
/// More layers than any model has: this limits what a header can cause this code to allocate.
const MOST_LAYERS: u64 = 10_000;

/// The location of each tensor of `file`, layer by layer; `None` if it is not such a file.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn read_header(file: &RegularFile) -> Result<Option<BTreeMap<String, TensorLocation>>, FileError> {
    let length = file.size();
    let mut header = [0; HEADER as usize];
    if length <= HEADER {
        return Ok(None);
    }
    file.read_at(&mut header, 0)?;
    let numbers: Vec<i32> = header.as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect();
    Ok(places(&numbers, length))
}

fn places(header: &[i32], length: u64) -> Option<BTreeMap<String, TensorLocation>> {
    let [width, hidden, layers, heads, kv_heads, vocabulary, longest] = *header.first_chunk::<7>()?;
    let positive = |number: i32| u64::try_from(number).ok().filter(|number| *number > 0);
    let (width, hidden, layers) = (positive(width)?, positive(hidden)?, positive(layers)?);
    let (heads, kv_heads, longest) = (positive(heads)?, positive(kv_heads)?, positive(longest)?);
    let (tied, vocabulary) = (vocabulary > 0, positive(vocabulary.checked_abs()?)?);
    if width % heads != 0 || layers > MOST_LAYERS {
        return None;
    }
    let head = width / heads;
    let kv_width = head.checked_mul(kv_heads)?;
    let mut places = BTreeMap::new();
    let mut at = HEADER;
    let mut put = |name: String, shape: &[u64]| -> Option<()> {
        let bytes = shape.iter().try_fold(4u64, |bytes, size| bytes.checked_mul(*size))?;
        let shape = shape.iter().map(|size| usize::try_from(*size).ok()).collect::<Option<_>>()?;
        let place = TensorLocation { dtype: Dtype::F32, shape, begin: at, length: bytes, strides: None };
        at = at.checked_add(bytes).filter(|end| *end <= length)?;
        places.insert(name, place);
        Some(())
    };
    put("token_embedding_table".to_owned(), &[vocabulary, width])?;
    let stacked: [(&str, &[u64]); 9] = [
        ("rms_att_weight", &[width]),
        ("wq", &[width, width]),
        ("wk", &[kv_width, width]),
        ("wv", &[kv_width, width]),
        ("wo", &[width, width]),
        ("rms_ffn_weight", &[width]),
        ("w1", &[hidden, width]),
        ("w2", &[width, hidden]),
        ("w3", &[hidden, width]),
    ];
    for (name, shape) in stacked {
        (0..layers).try_for_each(|layer| put(format!("layers.{layer}.{name}"), shape))?;
    }
    put("rms_final_weight".to_owned(), &[width])?;
    put("freq_cis_real".to_owned(), &[longest, head / 2])?;
    put("freq_cis_imag".to_owned(), &[longest, head / 2])?;
    if !tied {
        put("wcls".to_owned(), &[vocabulary, width])?;
    }
    (at == length).then_some(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Counted by hand: a width of 4, hidden width 6, 2 layers, 2 heads, 1 key-value head, 3 tokens, 5 positions.
    #[test]
    fn a_small_file_has_its_tensors_where_they_are() {
        let header = [4, 6, 2, 2, 1, 3, 5];
        let layer = 4 + 16 + 8 + 8 + 16 + 4 + 24 + 24 + 24;
        let tied = 28 + 4 * (12 + 2 * layer + 4 + 5 + 5);
        let places = super::places(&header, tied).unwrap();
        assert_eq!(places.len(), 1 + 2 * 9 + 3);
        let place = &places["layers.1.wk"];
        assert_eq!((place.begin, &place.shape[..]), (28 + 4 * (12 + 2 * 4 + 2 * 16 + 8), &[2, 4][..]));
        let last = &places["freq_cis_imag"];
        assert_eq!(last.begin + last.length, tied);
        assert!(super::places(&header, tied + 4).is_none() && super::places(&header, tied - 4).is_none());
        let untied = [4, 6, 2, 2, 1, -3, 5];
        assert!(super::places(&untied, tied).is_none());
        assert!(super::places(&untied, tied + 48).unwrap().contains_key("wcls"));
    }

    proptest! {
        /// With any header: no panic and no overflow.
        #[test]
        fn any_header_is_survived(header in prop::collection::vec(any::<i32>(), 7), small in prop::collection::vec(-2i32..9, 7), length in 0u64..5000) {
            let _ = places(&header, length);
            let _ = places(&small, length);
            let _ = places(&[i32::MAX, 1, i32::MAX, 1, i32::MAX, i32::MIN, 1], u64::MAX);
        }
    }
}

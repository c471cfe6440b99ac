use super::*;
use crate::{RegularFile, Root, Wanted, file_tensors, hash_beneath};
use proptest::prelude::*;

fn tensor(dtype: Dtype, shape: &[usize], seed: u8) -> Tensor {
    let length = shape.iter().product::<usize>() * dtype.bits() as usize / 8;
    Tensor {
        dtype,
        shape: shape.to_vec(),
        bytes: (0..length).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect(),
    }
}

fn some() -> BTreeMap<String, Tensor> {
    let tensors = [
        ("b.weight", tensor(Dtype::F32, &[2, 3], 1)),
        ("a", tensor(Dtype::BF16, &[5], 2)),
        ("scalar", tensor(Dtype::I64, &[], 3)),
        ("空 \"quoted\"", tensor(Dtype::U8, &[0, 4], 4)),
    ];
    tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect()
}

/// The bytes of a file with this header, and `data` after it.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn the_reference_crate_reads_what_we_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.safetensors");
    let digest = write(&path, &some()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(digest, Digest::of(&bytes));
    let theirs = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(theirs.len(), some().len());
    for (name, tensor) in some() {
        let view = theirs.tensor(&name).unwrap();
        assert_eq!((view.data(), view.shape()), (&tensor.bytes[..], &tensor.shape[..]));
    }
    assert_eq!(read(&path).unwrap(), some());
}

#[test]
fn we_read_what_the_reference_crate_writes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.safetensors");
    let ours = tensor(Dtype::F32, &[2, 3], 9);
    let view = ::safetensors::tensor::TensorView::new(::safetensors::Dtype::F32, vec![2, 3], &ours.bytes).unwrap();
    let metadata = Some([("k".to_owned(), "v".to_owned())].into());
    ::safetensors::serialize_to_file([("w", view)], metadata, &path).unwrap();
    assert_eq!(read(&path).unwrap()["w"], ours);
}

#[test]
fn a_header_that_lies_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.safetensors");
    let one = |entry: &str| format!("{{\"w\":{entry}}}");
    let good = r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    let data = [0u8; 8];
    std::fs::write(&path, file(&one(good), &data)).unwrap();
    assert!(read(&path).is_ok());
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "takes 8"),
        (vec![1, 2, 3], "takes 8"),
        (u64::MAX.to_le_bytes().to_vec(), "the limit is"),
        (99_999_999u64.to_le_bytes().to_vec(), "only 0 follow"),
        (file("", &[]), "the header cannot be read"),
        (file("[]", &[]), "an object of tensors"),
        (file("{\"w\":", &data), "the header cannot be read"),
        (file(&format!("{{\"w\":{good},\"w\":{good}}}"), &data), "occurs twice"),
        (file(&one(r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}"#), &data), "unknown field"),
        (file(&one(r#"{"dtype":"F31","shape":[2],"data_offsets":[0,8]}"#), &data), "unknown variant"),
        (file(&one(r#"{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}"#), &data), "the header cannot be read"),
        (file(&one(r#"{"dtype":"F32","shape":[3],"data_offsets":[0,8]}"#), &data), "needs 12 bytes"),
        (file(&one(r#"{"dtype":"F32","shape":[2],"data_offsets":[8,0]}"#), &data), "needs 8 bytes"),
        (file(&one(r#"{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}"#), &data), "too large"),
        (file(&one(r#"{"dtype":"F32","shape":[4],"data_offsets":[0,16]}"#), &data), "truncated"),
        (file(&one(r#"{"dtype":"F32","shape":[1],"data_offsets":[4,8]}"#), &data), "gap"),
        (file(&one(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#), &data), "4 bytes follow"),
        (file(&format!("{{\"v\":{good},\"w\":{good}}}"), &data), "overlaps"),
        (file(&format!("{{\"__metadata__\":{{\"a\":\"1\",\"a\":\"2\"}},\"w\":{good}}}"), &data), "\"a\" occurs twice"),
        // The bytes before the `x`: 8 of the length, 2 of the first line, 2 of the second.
        (file("{\n  x", &data), "byte 12"),
        (file(&format!("{{\"__metadata__\":{{\"a\":1}},\"w\":{good}}}"), &data), "the header cannot be read"),
    ];
    for (bytes, expected) in cases {
        std::fs::write(&path, &bytes).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} lacks {expected:?}");
        assert!(
            ::safetensors::SafeTensors::deserialize(&bytes).is_err()
                || error.contains("unknown field")
                || error.contains("occurs twice"),
            "{error}"
        );
    }
}

#[test]
fn what_only_costs_memory_is_refused() {
    let refused = |header: &str| {
        let bytes = file(header, &[]);
        let error = places(Path::new("x"), header.as_bytes(), bytes.len() as u64).unwrap_err().to_string();
        assert!(error.len() < 2 * LONGEST_NAME, "{} bytes of error", error.len());
        error
    };
    let entry = r#"{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#;
    let many = |n: usize| format!("{{{}}}", (0..n).map(|at| format!("\"{at}\":{entry}")).collect::<Vec<_>>().join(","));
    assert!(refused(&many(MOST_TENSORS + 1)).contains("more than 262144 entries"));
    let whole = many(1000);
    assert_eq!(places(Path::new("x"), whole.as_bytes(), 8 + whole.len() as u64).unwrap().len(), 1000);
    assert!(refused(&format!("{{\"{}\":{entry}}}", "n".repeat(1 << 20))).contains("a name has 1048576 bytes"));
    let flat = entry.replace("[0]", &format!("[{}0]", "1,".repeat(1 << 20)));
    assert!(refused(&format!("{{\"w\":{flat}}}")).contains("more than 32 dimensions"));
    let texts = (0..=MOST_TENSORS).map(|at| format!("\"{at}\":\"\"")).collect::<Vec<_>>().join(",");
    assert!(refused(&format!("{{\"__metadata__\":{{{texts}}}}}")).contains("more than 262144 entries"));
    assert!(refused(r#"{"__metadata__":{},"__metadata__":{}}"#).contains("occurs twice"));
}

#[test]
fn what_could_not_be_read_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.safetensors");
    let short = Tensor { dtype: Dtype::F32, shape: vec![2], bytes: vec![0; 7] };
    let vast = Tensor { dtype: Dtype::F32, shape: vec![usize::MAX, 2], bytes: vec![] };
    for (name, tensor) in [("w", short), ("w", vast), (METADATA, tensor(Dtype::U8, &[1], 0))] {
        assert!(write(&path, &BTreeMap::from([(name.to_owned(), tensor)])).is_err(), "{name}");
        assert!(!path.exists());
    }
}

proptest! {
    /// For any bytes there is a result: no panic, and never an allocation beyond the file's size.
    #[test]
    fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0u64..220, at in 0usize..300, with in any::<u8>()) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.safetensors");
        if bytes.len() >= 8 { bytes[..8].copy_from_slice(&length.to_le_bytes()); }
        std::fs::write(&path, &bytes).unwrap();
        let _ = read(&path);
        write(&path, &some()).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(byte) = bytes.get_mut(at) { *byte = with; }
        std::fs::write(&path, &bytes).unwrap();
        let _ = read(&path);
    }

    #[test]
    fn the_root_is_of_the_tensors_alone(spaces in 0usize..20, metadata in "[a-z]{0,9}", flip in 0usize..42) {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("x.safetensors"), directory.path().join("y.safetensors"));
        write(&path, &some()).unwrap();
        let tensors_of = |path: &Path| file_tensors(&RegularFile::open(path).unwrap(), "x.safetensors").unwrap().tensors().unwrap();
        let root = tensors_of(&path).root;
        // The tensor digests computed in the same pass as the file's digest are the same.
        let (opened, wanted) = (Root::open(directory.path()).unwrap(), Wanted { tensors: true, ..Wanted::default() });
        let hashed = hash_beneath(&opened, &"x.safetensors".parse().unwrap(), wanted, &crate::Silent).unwrap();
        prop_assert_eq!(hashed.tensors.unwrap().unwrap(), tensors_of(&path));
        // Tensors in reverse order, other metadata, other padding.
        let (mut entries, mut data) = (vec![format!("\"__metadata__\":{{\"m\":\"{metadata}\"}}")], Vec::new());
        for (name, tensor) in some().iter().rev() {
            let begin = data.len();
            data.extend(&tensor.bytes);
            entries.push(format!("{}:{{\"shape\":{:?},\"data_offsets\":[{begin},{}],\"dtype\":\"{:?}\"}}",
                serde_json::to_string(name).unwrap(), tensor.shape, data.len(), tensor.dtype));
        }
        let header = format!("{{{}}}{}", entries.join(","), " ".repeat(spaces));
        std::fs::write(&other, file(&header, &data)).unwrap();
        prop_assert_eq!(tensors_of(&other).root, root);
        // Any flipped bit or changed name, dtype or shape is detected.
        let flip = flip % data.len();
        data[flip] ^= 1;
        std::fs::write(&other, file(&header, &data)).unwrap();
        prop_assert_ne!(tensors_of(&other).root, root);
        data[flip] ^= 1;
        for (from, to) in [("b.weight", "b.height"), ("\"F32\"", "\"I32\""), ("[2, 3]", "[3, 2]")] {
            prop_assert!(header.contains(from));
            std::fs::write(&other, file(&header.replace(from, to), &data)).unwrap();
            prop_assert_ne!(tensors_of(&other).root, root);
        }
    }
}

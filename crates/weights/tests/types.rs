//! Statistics and distances of tensors whose elements are complex, or share bytes; expected values by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may take a thing for granted")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retrace_checkpoint::Checkpoint;
use retrace_files::Silent;
use retrace_files::safetensors::{self, Dtype, Tensor};
use retrace_weights::{StatsError, apart, stats};

fn checkpoint(root: &Path, name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> PathBuf {
    let path = root.join(format!("{name}.safetensors"));
    let tensor = Tensor { dtype, shape: shape.to_vec(), bytes };
    safetensors::write(&path, &BTreeMap::from([("w".to_owned(), tensor)])).unwrap();
    path
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn a_complex_element_is_its_parts() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let first = checkpoint(root, "1", Dtype::C64, &[2, 1], floats(&[3.0, 4.0, 0.0, 12.0]));
    let second = checkpoint(root, "2", Dtype::C64, &[2, 1], floats(&[3.0, 0.0, 3.0, 12.0]));
    let real = checkpoint(root, "3", Dtype::F32, &[2, 1], floats(&[3.0, 1.0]));
    let found = stats(&[first.clone(), second.clone(), real.clone()], &[0, 0, 0], true, &Silent).unwrap();
    // |3 + 4i|² + |12i|² = 169; the difference is 4i and 3.
    assert_eq!((found[0].elements, found[0].norm, found[0].max, found[0].stable_rank), (2, 13.0, Some(12.0), None));
    assert_eq!(found[1].distance_to_previous, Some(5.0));
    assert_eq!(found[2].distance_to_previous, None, "real and complex numbers are not compared");
    let tensor = |path: &Path| Checkpoint::open(path).unwrap().tensors()["w"].clone();
    let distance = apart(&tensor(&first), &tensor(&second)).unwrap().distance;
    assert_eq!((distance.differing, distance.of, distance.largest), (2, 4, 4.0));
    let distance = apart(&tensor(&first), &tensor(&real)).unwrap().distance;
    // 3 is 3 + 0i.
    assert_eq!((distance.differing, distance.of, distance.largest), (3, 4, 12.0));
}

#[test]
fn elements_that_share_bytes_are_all_read() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    // Codes 1 and 7 are 0.5 and 6; more than one block of statistics and of distances.
    let numbers = (1 << 18) + 6;
    let first = checkpoint(root, "1", Dtype::F4, &[numbers], vec![0x71; numbers / 2]);
    let mut other = vec![0x71; numbers / 2];
    *other.last_mut().unwrap() = 0x70;
    let second = checkpoint(root, "2", Dtype::F4, &[numbers], other);
    let found = stats(&[first.clone(), second.clone()], &[0, 0], false, &Silent).unwrap();
    assert_eq!((found[0].elements, found[0].mean, found[0].min), (numbers as u64, Some(3.25), Some(0.5)));
    assert_eq!((found[1].distance_to_previous, found[1].min), (Some(0.5), Some(0.0)));
    let tensor = |path: &Path| Checkpoint::open(path).unwrap().tensors()["w"].clone();
    let distance = apart(&tensor(&first), &tensor(&second)).unwrap().distance;
    assert_eq!((distance.differing, distance.of, distance.largest), (1, numbers as u64, 0.5));
}

#[test]
fn numbers_that_nobody_defines_have_no_statistics() {
    let directory = tempfile::tempdir().unwrap();
    let six = checkpoint(directory.path(), "1", Dtype::F6_E3M2, &[4], vec![1, 2, 3]);
    let error = stats(&[six], &[0], false, &Silent).unwrap_err();
    assert!(matches!(error, StatsError::Numbers { .. }), "{error}");
}

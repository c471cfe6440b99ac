//! Floats of 8 and 4 bits, against ml_dtypes (`minifloat/make.py`).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may take a thing for granted")]

use retrace_files::safetensors::Dtype;
use retrace_weights::numbers;

#[test]
fn every_code_is_the_number_of_ml_dtypes() {
    let mut compared = 0;
    for line in include_str!("minifloat/values.tsv").lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, code, number] = fields[..] else { panic!("{line}") };
        let dtype: Dtype = serde_json::from_value(name.into()).unwrap();
        let (code, expected): (u8, f64) = (code.parse().unwrap(), number.parse().unwrap());
        let found = numbers(dtype, &[code]);
        // The second number of a byte is in its upper half.
        if dtype == Dtype::F4 {
            assert_eq!(found[0].to_bits(), numbers(dtype, &[code << 4 | 5])[1].to_bits());
            assert_eq!(numbers(dtype, &[code << 4 | 5])[0], 3.0);
        }
        let same = found[0].to_bits() == expected.to_bits() || found[0].is_nan() && expected.is_nan();
        assert!(same, "{line}: {found:?}");
        compared += 1;
    }
    assert_eq!(compared, 5 * 256 + 16);
}

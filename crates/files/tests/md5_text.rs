//! MD5 of texts as DVC before version 3 computes it, against its own code (`md5_text/make.py`).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may take a thing for granted")]

use retrace_files::{Algorithm, checksum};

#[test]
fn are_those_of_dvc() {
    let mut compared = 0;
    for line in include_str!("md5_text/hashes.tsv").lines().filter(|line| !line.starts_with('#')) {
        let (content, hash) = line.split_once('\t').unwrap();
        let bytes: Vec<u8> = content
            .split(',')
            .filter(|piece| !piece.is_empty())
            .flat_map(|piece| {
                let (hex, count) = piece.split_once('*').unwrap();
                let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                let unit: Vec<u8> = (0..hex.len()).step_by(2).map(digits).collect();
                unit.repeat(count.parse().unwrap())
            })
            .collect();
        assert_eq!(checksum(Algorithm::Md5Text, &bytes).unwrap().hex(), hash, "{}", &content[..content.len().min(80)]);
        compared += 1;
    }
    assert!(compared > 20, "{compared}");
}

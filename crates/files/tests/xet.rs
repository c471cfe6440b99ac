//! Hashes of Xet storage, against those that Hugging Face's own client computes (`xet/make.py`).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may take a thing for granted")]

use retrace_files::{Algorithm, checksum};

/// As `random` in `make.py`.
fn random(mut seed: u64, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        out.extend(seed.to_le_bytes());
    }
    out.truncate(length);
    out
}

/// As `content` in `make.py`.
fn content(kind: &str, seed: u64, length: usize) -> Vec<u8> {
    match kind {
        "zeros" => vec![0; length],
        "lines" => {
            let mut out = Vec::new();
            for n in 0.. {
                if out.len() >= length {
                    break;
                }
                out.extend(format!("line {n} of {seed}\n").into_bytes());
            }
            out.truncate(length);
            out
        }
        "period" => random(seed, 1000).into_iter().cycle().take(length).collect(),
        "random" => random(seed, length),
        other => panic!("{other}"),
    }
}

#[test]
fn are_those_of_the_hubs_client() {
    let mut compared = 0;
    for line in include_str!("xet/hashes.tsv").lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [kind, seed, length, hash] = fields[..] else { panic!("{line}") };
        let bytes = content(kind, seed.parse().unwrap(), length.parse().unwrap());
        assert_eq!(checksum(Algorithm::Xet, &bytes).unwrap().hex(), hash, "{line}");
        compared += 1;
    }
    assert!(compared > 40, "{compared}");
}

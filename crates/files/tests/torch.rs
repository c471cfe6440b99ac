//! Files of `torch.save`, against the same tensors written by safetensors' own library (`torch/make.py`).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may take a thing for granted")]

use std::path::Path;

use retrace_files::{Found, RegularFile, file_tensors};
use retrace_spec::manifest::Tensors;

fn tensors(name: &str) -> Tensors {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch").join(name);
    match file_tensors(&RegularFile::open(&path).unwrap(), name).unwrap() {
        Found::Tensors(tensors) => tensors,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn every_form_has_the_tensors_of_its_twin() {
    for (name, count) in [("types", 23), ("views", 9)] {
        let twin = tensors(&format!("{name}.safetensors"));
        assert_eq!(twin.digests.len(), count, "{name}");
        for form in ["", "-before-1.6-protocol-2", "-before-1.6-protocol-4"] {
            assert_eq!(tensors(&format!("{name}{form}.pt")), twin, "{name}{form}");
        }
    }
}

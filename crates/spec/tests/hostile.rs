//! Maliciously changed documents are either read or refused; nothing else may happen.

#![allow(clippy::unwrap_used, reason = "a test may take a thing for granted")]

use std::path::PathBuf;

use proptest::prelude::*;
use retrace_spec::manifest::{Artifact, ArtifactKind};
use retrace_spec::{CleanRecipe, Digest, Document, Manifest, Run, Task, TokenizeRecipe};

fn manifest() -> Manifest {
    let artifact = |path: &str| Artifact {
        path: path.parse().unwrap(),
        kind: ArtifactKind::Other,
        size: 3,
        digest: Digest::of(path.as_bytes()),
        sha256: None,
        slices: Vec::new(),
        tensors: None,
    };
    Manifest::new("m", "t", vec!["i".parse().unwrap()], vec![artifact("a"), artifact("b/c")], vec![]).unwrap()
}

/// A valid text of each kind of document.
fn good(which: usize) -> String {
    let tour = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../manifests/tour");
    let read = |name: &str| std::fs::read_to_string(tour.join(name)).unwrap();
    match which {
        0 => manifest().to_yaml().unwrap(),
        1 => serde_json::to_string(&manifest()).unwrap(),
        2 => read("base.yaml"),
        3 => read("clean.yaml"),
        4 => read("tokenize.yaml"),
        _ => read("tasks/facts-en.yaml"),
    }
}

fn parse_all(text: &str) {
    let _ = CleanRecipe::parse(text, "x");
    let _ = TokenizeRecipe::parse(text, "x");
    let _ = Run::parse(text, "x");
    let _ = Task::parse(text, "x");
    // Every text that is read as a manifest has the root of its entries; other texts are refused.
    if let Ok(read) = Manifest::parse(text, "x") {
        let again = Manifest::new(&read.name, &read.tool, read.ignored, read.artifacts, read.steps).unwrap();
        assert_eq!(again.root, read.root);
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(
        text in any::<String>(),
        which in 0usize..6,
        from: prop::sample::Index,
        length in 0usize..12,
        with in "[-:#&*!|>'\"{}\\[\\], \n\t0-9a-z.%@`~?]{0,12}",
    ) {
        parse_all(&text);
        parse_all(&with);
        // Similar to a valid text: some of it removed, other text inserted.
        let mut near: Vec<char> = good(which).chars().collect();
        let from = from.index(near.len());
        let to = (from + length).min(near.len());
        near.splice(from..to, with.chars());
        parse_all(&near.into_iter().collect::<String>());
    }
}

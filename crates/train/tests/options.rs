//! Optional settings of a run file: each has its effect, and a replay reproduces it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;

use retrace_corpus::tokens::TokenShard;
use retrace_files::RegularFile;
use retrace_files::safetensors::tensor_root;
use retrace_files::{Progress, Silent};
use retrace_model::{Engine, Inference, hub};
use retrace_spec::{Document, Run, Step};
use retrace_train::{Batch, Batches, Journal, State, TrainError, checkpoints};

mod small;

use small::{RUN, checkpoint, files, initial, opened, prepare, replay, train};

/// The small run with additional lines in its file.
fn with(lines: &str) -> Run {
    Run::parse(&format!("{RUN}{lines}\n"), "run.yaml").unwrap()
}

fn trained(root: &Path, run: &Run) -> Journal {
    prepare(root);
    train(&opened(root), run, false, &Silent).unwrap()
}

#[test]
fn documents_do_not_follow_from_one_another() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    prepare(root);
    let (plain, masked) = (with(""), with("mask_document_ends: true"));
    let mut counts = [0, 0];
    for step in 1..=12 {
        let batch = |run: &Run| Batches::open(&opened(root), run).unwrap().batch(Step(step)).unwrap();
        let (plain, masked) = (batch(&plain), batch(&masked));
        assert_eq!(plain.inputs, masked.inputs, "the same tokens are read");
        let unmasked = |batch: &Batch, at: usize| batch.targets[at * 16..][..16].iter().all(Option::is_some);
        for (at, (plain, with_masks)) in plain.sequences.iter().zip(&masked.sequences).enumerate() {
            assert_eq!(plain == with_masks, unmasked(&masked, at), "the digest covers what does not count");
        }
        counts[0] += plain.targets.iter().flatten().count();
        counts[1] += masked.targets.iter().flatten().count();
        let differ = plain.targets.iter().zip(&masked.targets).filter(|(plain, masked)| plain != masked);
        assert!(differ.clone().all(|(_, masked)| masked.is_none()));
    }
    assert!(counts[0] == 12 * 6 * 16 && counts[1] < counts[0], "{counts:?}");
    // The targets: each document's first token, wherever the sequences are cut.
    let shard = TokenShard::open(RegularFile::open(&root.join("a.tokens")).unwrap()).unwrap();
    for length in [1, 7, 16, 700, 1999] {
        let found: Vec<u64> = (0..shard.sequences(length))
            .flat_map(|index| {
                let places = shard.document_starts(index, length).collect::<Vec<_>>();
                places.into_iter().map(move |place| index * length as u64 + place as u64)
            })
            .collect();
        let read = shard.sequences(length) * length as u64;
        let mut expected: Vec<u64> = [0].into_iter().chain((700..2000).step_by(90)).collect();
        expected.retain(|start| *start <= read);
        // The last token of a sequence is the first of the next.
        let mut once = found.clone();
        once.dedup();
        assert_eq!(once, expected, "length {length}");
    }
    trained(root, &masked);
    assert!(replay(&opened(root), &masked, (Step(4), Step(12)), false, &Silent).unwrap().holds());
}

#[test]
fn outliers_move_nothing_and_are_replayed_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    // So narrow that some steps are outliers, so wide that some are not.
    let run = with("outliers: {window: 6, deviations: 0.5}");
    let journal = trained(root, &run);
    let outliers = journal.lines().iter().filter(|line| line.outlier).count();
    assert!((1..10).contains(&outliers), "{outliers}");
    let output = root.join("runs/small");
    let (start, ..) = State::load(&opened(&output), Step(0)).unwrap();
    let mut weights = tensor_root(start.weight_digests().into_iter());
    for line in journal.lines() {
        assert_eq!(line.weights == weights, line.outlier, "step {}", line.step);
        weights = line.weights;
    }
    let (last, ..) = State::load(&opened(&output), Step(12)).unwrap();
    assert_eq!(last.updates, 12 - outliers as u64, "the optimizer does not count them");
    for from in [0, 4, 8] {
        assert!(replay(&opened(root), &run, (Step(from), Step(12)), false, &Silent).unwrap().holds(), "from {from}");
    }
    // Killed after a checkpoint, it resumes with the same previous steps.
    let expected = files(root);
    fs::remove_dir_all(checkpoint(&output, Step(12))).unwrap();
    train(&opened(root), &run, true, &Silent).unwrap();
    assert_eq!(files(root), expected);
}

#[test]
fn the_validation_loss_is_that_of_the_saved_weights() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let run = with("validation: {tokens: b.tokens, sequences: 9, every: 8}\nmask_document_ends: true");
    let journal = trained(root, &run);
    let measured: Vec<u64> =
        journal.lines().iter().filter(|line| line.validation_loss.is_some()).map(|line| line.step.get()).collect();
    assert_eq!(measured, [8, 12]);
    let shard = TokenShard::open(RegularFile::open(&root.join("b.tokens")).unwrap()).unwrap();
    for step in [8, 12] {
        let (model, weights) = hub::read(&opened(checkpoint(root.join("runs/small"), Step(step)))).unwrap();
        let model = Inference::new(&model, weights, Engine::default()).unwrap();
        let losses: Vec<f32> = (0..9)
            .flat_map(|index| {
                let sequence = shard.sequence(index, 16).unwrap();
                let targets: Vec<Option<u32>> = sequence[1..].iter().copied().map(Some).collect();
                model.losses(&sequence[..16], &targets, 16).unwrap()
            })
            .collect();
        // No document begins within the first nine sequences.
        let mean = losses.iter().copied().map(f64::from).sum::<f64>() / losses.len() as f64;
        let found = journal.line(Step(step)).unwrap().validation_loss.unwrap();
        assert!((found - mean).abs() < 1e-6, "step {step}: {found}, not {mean}");
    }
    assert!(replay(&opened(root), &run, (Step(4), Step(12)), false, &Silent).unwrap().holds());
    let many = with("validation: {tokens: b.tokens, sequences: 900, every: 8}");
    fs::create_dir(root.join("other")).unwrap();
    let error = train(&opened(root.join("other")), &many, false, &Silent).unwrap_err();
    assert!(matches!(error, TrainError::File(_)), "{error}");
    fs::remove_dir_all(root.join("runs")).unwrap();
    let error = train(&opened(root), &many, false, &Silent).unwrap_err().to_string();
    assert!(error.contains("124 sequences") && error.contains("900"), "{error}");
}

/// Stops after some steps, as a kill would.
struct Stop(std::sync::atomic::AtomicU64);

impl Progress for Stop {
    fn advance(&self, _: u64) {
        assert!(self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) != 1, "stopped");
    }
}

#[test]
fn checkpoints_that_need_not_stay_are_removed() {
    let text = RUN.replace("checkpoint_every: 4", "checkpoint_every: 1\nretention: {last: 2, every: 5}");
    let run = Run::parse(&text, "run.yaml").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let output = root.join("runs/small");
    trained(root, &run);
    let expected = files(root);
    assert_eq!(checkpoints(&opened(&output)).unwrap(), [0, 5, 8, 10, 11, 12].map(Step));
    for after in [3, 7, 11] {
        fs::remove_dir_all(&output).unwrap();
        let stop = Stop(after.into());
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| train(&opened(root), &run, false, &stop)));
        assert!(ended.is_err());
        // Killed while a checkpoint was being removed, which leaves a part of it under a hidden name.
        fs::create_dir_all(output.join(".step-000001.0123456789abcdef.retrace-partial")).unwrap();
        train(&opened(root), &run, true, &Silent).unwrap();
        assert_eq!(files(root), expected, "after {after} steps");
        assert!(!output.join(".step-000001.0123456789abcdef.retrace-partial").exists());
    }
}

#[test]
fn a_run_starts_from_a_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let first = with("");
    trained(root, &first);
    let (saved, ..) = State::load(&opened(root.join("runs/small")), Step(8)).unwrap();
    let then = |start: &str| {
        let text = format!("{RUN}start: {{checkpoint: runs/small/step-000008{start}}}\n");
        Run::parse(&text.replace("output: runs/small", "output: runs/then"), "then.yaml").unwrap()
    };
    let (with_moments, without) = (then(", optimizer_updates: 8"), then(""));
    let state = initial(&opened(root), &with_moments).unwrap();
    assert_eq!((state.digest(), state.updates, state.step), (saved.digest(), 8, Step(0)));
    let state = initial(&opened(root), &without).unwrap();
    assert_eq!((&state.weights, state.updates), (&saved.weights, 0));
    assert_ne!(state.digest(), saved.digest(), "its moments are zeros");
    for run in [&with_moments, &without] {
        train(&opened(root), run, false, &Silent).unwrap();
        assert!(replay(&opened(root), run, (Step(0), Step(12)), false, &Silent).unwrap().holds());
        fs::remove_dir_all(root.join("runs/then")).unwrap();
    }
    let refused = |run: &Run| initial(&opened(root), run).unwrap_err().to_string();
    assert!(refused(&then(", optimizer_updates: 9")).contains("have had 8 updates"));
    let text = RUN.replace("num_key_value_heads: 2", "num_key_value_heads: 4");
    let other = Run { start: without.start.clone(), ..Run::parse(&text, "other.yaml").unwrap() };
    assert!(refused(&other).contains("config.json differs"));
    // A model may be trained with a longer context than before.
    let text = RUN.replace("max_position_embeddings: 32", "max_position_embeddings: 64");
    let longer = Run { start: without.start.clone(), ..Run::parse(&text, "longer.yaml").unwrap() };
    assert!(initial(&opened(root), &longer).is_ok());
    fs::remove_file(root.join("runs/small/step-000008/model.safetensors")).unwrap();
    assert!(refused(&without).contains("model.safetensors"));
}
